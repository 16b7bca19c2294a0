//! Sockets: SIP listeners and connections, packets in with their flow, bytes out over a flow.
//!
//! Every packet goes to the one switch queue (4,096 places). When it is full a datagram is dropped and counted (UDP
//! peers repeat) and a stream's reader waits, which slows its peer down.
//! A send never waits: UDP is tried once, a stream has a bounded queue of its own and a full one fails that send.
//! Deliberately absent: what a packet means. RFC 3261 §18, RFC 5626 §3.5.1 (keep-alive).
//!
//! | limit | value |
//! |---|---|
//! | queue to the switch | 4,096 packets |
//! | queue of one connection | 512 messages |
//! | connections per address and side | 512 |
//! | idle connection, nothing ever received whole | 30 s |
//! | idle connection | 2 h |
//! | opening a connection | 4 s |
//! | a peer that takes no bytes | 10 s |

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use dashmap::DashMap;
use tokio::net::{TcpListener, UdpSocket};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::base::flow::{Flow, FlowId, Side, Transport};
use crate::switch::words::Peer;

mod stream;
mod udp;

/// Places in the queue to the switch.
pub const SWITCH_QUEUE: usize = 4_096;
const CONNECTION_QUEUE: usize = 512;
const CONNECTIONS_PER_ADDRESS: u64 = if cfg!(test) { 4 } else { 512 };
const FIRST_MESSAGE_WITHIN: Duration = Duration::from_secs(30);
const IDLE: Duration = Duration::from_secs(2 * 60 * 60);
const CONNECT_WITHIN: Duration = Duration::from_secs(4);
const WRITE_WITHIN: Duration = Duration::from_secs(10);
const ACCEPT_AGAIN_AFTER: Duration = Duration::from_millis(100);

/// From the sockets to the switch.
#[derive(Clone, Debug)]
pub enum NetEvent {
    /// A datagram, or one framed message of a stream.
    Packet {
        /// What it came over.
        flow: Flow,
        /// The bytes.
        bytes: Bytes,
    },
    /// A connection is gone.
    Closed(FlowId),
}

/// One address to listen on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListenAddress {
    /// Which side it serves.
    pub side: Side,
    /// UDP or TCP.
    pub transport: Transport,
    /// Where.
    pub address: SocketAddr,
}

/// Figures of the network side.
#[derive(Debug, Default)]
pub struct NetCounters {
    /// Packets dropped because the switch queue was full.
    pub dropped_in: AtomicU64,
    /// Sends that failed or found a full queue.
    pub dropped_out: AtomicU64,
    /// Streams closed for breaking the framing rules.
    pub framing_faults: AtomicU64,
    /// Streams closed at once because their address had too many.
    pub turned_away: AtomicU64,
}

enum Sink {
    Udp(Arc<UdpSocket>),
    Stream(mpsc::Sender<Bytes>),
}

struct Shared {
    sinks: DashMap<FlowId, Sink>,
    opened: DashMap<(Side, SocketAddr), Flow>,
    per_address: DashMap<(Side, IpAddr), u64>,
    next_flow: AtomicU64,
    counters: NetCounters,
    to_switch: mpsc::Sender<NetEvent>,
    stop: CancellationToken,
    tasks: TaskTracker,
}

/// All listeners and connections; clones share them.
#[derive(Clone)]
pub struct Net {
    shared: Arc<Shared>,
    listeners: Arc<BTreeMap<(Side, Transport, bool), Flow>>,
}

impl Net {
    /// Opens every listener, or none.
    ///
    /// # Errors
    /// The first address that cannot be bound, with the reason.
    pub async fn bind(
        addresses: &[ListenAddress],
        advertise: Option<IpAddr>,
        to_switch: mpsc::Sender<NetEvent>,
        stop: CancellationToken,
    ) -> Result<Self, (ListenAddress, io::Error)> {
        let shared = Arc::new(Shared {
            sinks: DashMap::new(),
            opened: DashMap::new(),
            per_address: DashMap::new(),
            next_flow: AtomicU64::new(1),
            counters: NetCounters::default(),
            to_switch,
            stop,
            tasks: TaskTracker::new(),
        });
        let mut listeners = BTreeMap::new();
        for wanted in addresses {
            let flow = listen(&shared, wanted, advertise).await.map_err(|fault| (*wanted, fault))?;
            listeners.entry((wanted.side, wanted.transport, wanted.address.is_ipv6())).or_insert(flow);
        }
        Ok(Self { shared, listeners: Arc::new(listeners) })
    }

    /// Sends bytes over a flow; what cannot be sent is dropped and counted (the transaction layer repeats).
    pub fn send(&self, flow: &Flow, bytes: Bytes) {
        let sent = match self.shared.sinks.get(&flow.id).as_deref() {
            Some(Sink::Udp(socket)) => socket.try_send_to(&bytes, flow.remote).is_ok(),
            Some(Sink::Stream(queue)) => queue.try_send(bytes).is_ok(),
            None => self.reopened(flow).is_some_and(|open| self.shared.queue(&open, bytes)),
        };
        if !sent {
            self.shared.counters.dropped_out.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Another connection in place of one to a carrier that is gone: its dialogs live on (RFC 3261 §18.1.1). A phone
    /// cannot be called back at the port it came from.
    fn reopened(&self, flow: &Flow) -> Option<Flow> {
        let ours = flow.side == Side::Trunk && flow.transport.is_reliable();
        let peer = Peer { remote: flow.remote, name: "", trunk: None };
        if ours { self.flow_to(flow.side, flow.transport, &peer) } else { None }
    }

    /// The flow that reaches `remote` from one of our sides: the UDP listener of that address family, or a stream,
    /// opened now if there is none. `None` when that side has no such listener.
    #[must_use]
    pub fn flow_to(&self, side: Side, transport: Transport, peer: &Peer<'_>) -> Option<Flow> {
        let remote = peer.remote;
        let listener = self.listeners.get(&(side, transport, remote.is_ipv6()))?;
        if transport == Transport::Udp {
            return Some(Flow { remote, ..*listener });
        }
        if let Some(open) = self.shared.opened.get(&(side, remote)) {
            return Some(*open);
        }
        Some(stream::open(&self.shared, side, transport, listener.local, remote))
    }

    /// Addresses really bound, for the log and for port 0.
    pub fn listeners(&self) -> impl Iterator<Item = &Flow> {
        self.listeners.values()
    }

    /// Drop and fault figures.
    #[must_use]
    pub fn counters(&self) -> &NetCounters {
        &self.shared.counters
    }

    /// Streams open now.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.shared.sinks.iter().filter(|sink| matches!(**sink, Sink::Stream(_))).count()
    }
}

impl Shared {
    fn mint(&self) -> FlowId {
        FlowId(self.next_flow.fetch_add(1, Ordering::Relaxed))
    }

    /// Queues bytes on a stream; `false` when it is gone or its queue is full.
    fn queue(&self, flow: &Flow, bytes: Bytes) -> bool {
        match self.sinks.get(&flow.id).as_deref() {
            Some(Sink::Stream(queue)) => queue.try_send(bytes).is_ok(),
            Some(Sink::Udp(_)) | None => false,
        }
    }

    /// Hands a datagram to the switch, or drops it.
    fn deliver(&self, flow: Flow, bytes: Bytes) {
        if self.to_switch.try_send(NetEvent::Packet { flow, bytes }).is_err() {
            self.counters.dropped_in.fetch_add(1, Ordering::Relaxed);
        }
    }
}

async fn listen(shared: &Arc<Shared>, wanted: &ListenAddress, advertise: Option<IpAddr>) -> io::Result<Flow> {
    let id = shared.mint();
    let seen_as = |bound: SocketAddr| match advertise {
        Some(ip) if ip.is_ipv4() == bound.is_ipv4() => SocketAddr::new(ip, bound.port()),
        _ => bound,
    };
    match wanted.transport {
        Transport::Udp => {
            let socket = Arc::new(UdpSocket::from_std(udp::bind(wanted.address)?)?);
            let flow = Flow {
                id,
                side: wanted.side,
                transport: Transport::Udp,
                local: seen_as(socket.local_addr()?),
                remote: SocketAddr::new(wanted.address.ip(), 0),
            };
            shared.sinks.insert(id, Sink::Udp(Arc::clone(&socket)));
            shared.tasks.spawn(udp::receive(Arc::clone(shared), socket, flow));
            Ok(flow)
        }
        Transport::Tcp => {
            let listener = TcpListener::bind(wanted.address).await?;
            let flow = Flow {
                id,
                side: wanted.side,
                transport: Transport::Tcp,
                local: seen_as(listener.local_addr()?),
                remote: SocketAddr::new(wanted.address.ip(), 0),
            };
            shared.tasks.spawn(stream::accept(Arc::clone(shared), listener, flow));
            Ok(flow)
        }
        other @ (Transport::Tls | Transport::Ws | Transport::Wss) => Err(io::Error::new(
            io::ErrorKind::Unsupported,
            format!("{} is not served by this build", other.param_name()),
        )),
    }
}

#[cfg(test)]
mod tests;
