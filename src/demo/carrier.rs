//! The far ends of trunks: the carrier that citizens call through, sub-centre and emergency desk, and a dead route.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use tokio::sync::mpsc;

use crate::demo::exchange::Exchange;
use crate::demo::peer::transaction::{Endpoint, Listening};
use crate::demo::peer::ua::{Dial, Dialling, Phone};
use crate::demo::peer::{PeerFault, Witness};

/// Any free port of loopback.
pub const ANYWHERE: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// A trunk's far end: calls come out of it and go into it.
#[derive(Clone, Debug)]
pub struct Carrier {
    phone: Phone,
}

impl Carrier {
    /// Opens it; what rings there goes to the exchange.
    ///
    /// # Errors
    /// [`PeerFault::System`] when no port is free.
    pub async fn open(party: &str, exchange: &Exchange, witness: Arc<dyn Witness>) -> Result<Self, PeerFault> {
        let (phone, incoming) = Phone::open(ANYWHERE, party, "trunk", witness).await?;
        exchange.serve(incoming);
        Ok(Self { phone })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.phone.endpoint().local()
    }

    /// A citizen calls: the number asserted by the carrier, as carriers in China write it.
    ///
    /// # Errors
    /// [`PeerFault`] when the call cannot be begun.
    pub async fn call(&self, to: SocketAddr, number: &str, from: &str, hertz: f64) -> Result<Dialling, PeerFault> {
        let asserted = format!("<sip:+86{from}@{};user=phone>", self.address().ip());
        let headers = vec![("P-Asserted-Identity".to_owned(), asserted)];
        self.phone.dial(&Dial { to, number, from, headers, hertz }).await
    }
}

/// A trunk whose far end takes every message and answers none.
#[derive(Debug)]
pub struct DeadEnd {
    endpoint: Endpoint,
    _listening: Listening,
}

impl DeadEnd {
    /// Opens it.
    ///
    /// # Errors
    /// [`PeerFault::System`] when no port is free.
    pub async fn open(party: &str, witness: Arc<dyn Witness>) -> Result<Self, PeerFault> {
        let (endpoint, requests, listening) = Endpoint::bind(ANYWHERE, party, witness).await?;
        tokio::spawn(swallow(requests));
        Ok(Self { endpoint, _listening: listening })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.endpoint.local()
    }
}

async fn swallow(mut requests: mpsc::Receiver<crate::demo::peer::transaction::Arrived>) {
    while requests.recv().await.is_some() {}
}
