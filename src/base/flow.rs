//! Where a packet came from and where an answer goes: transport, our address, the peer's, the connection.
//!
//! Deliberately absent: sockets. A [`Flow`] is a value that `engine/net` can turn into one.

use std::fmt;
use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

/// SIP transports (RFC 3261 §18, RFC 7118).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Transport {
    /// Datagrams.
    Udp,
    /// A byte stream.
    Tcp,
    /// TLS over TCP.
    Tls,
    /// WebSocket.
    Ws,
    /// WebSocket over TLS.
    Wss,
}

impl Transport {
    /// Whether the transport delivers by itself, so that nothing is retransmitted (RFC 3261 §17).
    #[must_use]
    pub const fn is_reliable(self) -> bool {
        !matches!(self, Self::Udp)
    }

    /// Whether messages have no bounds of their own there, so that Content-Length cuts them (RFC 3261 §18.3); a WebSocket
    /// message is one SIP message (RFC 7118 §4.2).
    #[must_use]
    pub const fn is_stream(self) -> bool {
        matches!(self, Self::Tcp | Self::Tls)
    }

    /// Whether it is a WebSocket.
    #[must_use]
    pub const fn is_web_socket(self) -> bool {
        matches!(self, Self::Ws | Self::Wss)
    }

    /// Whether it is under TLS.
    #[must_use]
    pub const fn is_secure(self) -> bool {
        matches!(self, Self::Tls | Self::Wss)
    }

    /// The word in a Via header.
    #[must_use]
    pub const fn via_name(self) -> &'static str {
        match self {
            Self::Udp => "UDP",
            Self::Tcp => "TCP",
            Self::Tls => "TLS",
            Self::Ws => "WS",
            Self::Wss => "WSS",
        }
    }

    /// The word in a `transport=` parameter and in listener addresses.
    #[must_use]
    pub const fn param_name(self) -> &'static str {
        match self {
            Self::Udp => "udp",
            Self::Tcp => "tcp",
            Self::Tls => "tls",
            Self::Ws => "ws",
            Self::Wss => "wss",
        }
    }
}

/// Which of our sides a listener serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Side {
    /// Carriers: known by address.
    Trunk,
    /// Agents' phones: known by digest.
    Agent,
}

/// A listener or a live connection; never reused while the engine runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct FlowId(pub u64);

/// One path to one peer: what a request came over, and what its answers and in-dialog requests go over.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Flow {
    /// For UDP the listener; for streams the connection. A stream flow whose connection is gone is re-opened by
    /// `engine/net` to `remote` where that is possible.
    pub id: FlowId,
    /// The side it belongs to.
    pub side: Side,
    /// How bytes travel.
    pub transport: Transport,
    /// Our address as the peer should see it (advertised), for Via and Contact.
    pub local: SocketAddr,
    /// The peer's address as seen.
    pub remote: SocketAddr,
}

impl fmt::Debug for Flow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}<->{}#{}", self.transport.param_name(), self.local, self.remote, self.id.0)
    }
}
