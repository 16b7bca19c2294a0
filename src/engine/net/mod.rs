//! Sockets: SIP listeners and connections, packets in with their flow, bytes out over a flow.
//!
//! | transport | in | out |
//! |---|---|---|
//! | udp | a listener each | from the listener |
//! | tcp, tls | accepted | over what is open to the peer, else opened by the first message |
//! | ws, wss | accepted | over what the peer opened, only |
//!
//! What comes in waits in one queue in which every source address has its share (`fair`); a send never waits: UDP is
//! tried once, a connection has a bounded queue of its own and a full one fails that send.
//! Several listeners may serve a side and transport: a trunk names the one it uses, the first of its address family is
//! taken otherwise. Each flow carries our address as its peer should see it: the trunk's `advertise`, `sip.advertise`,
//! the listener's own, or, for a listener on all addresses, the one packets to that peer leave from.
//! Deliberately absent: what a packet means; PROXY protocol, so a load balancer in front hides who connects.
//! RFC 3261 §18, RFC 5626 §3.5.1 (keep-alive), RFC 5923 (reuse), RFC 7118 (WebSocket).
//!
//! | limit | value | by |
//! |---|---|---|
//! | waiting for the switch | 4,096 datagrams, 1,024 of them for known trunks; 32 KiB of each connection, 128 KiB of a trunk's | `inbox` |
//! | header section, message | 16 KiB, 64 KiB | [`Limits`](crate::sip::parse::Limits) |
//! | connections per address and side; of strangers per side | `sip.connections_per_address`, `sip.connections_max` | `places` |
//! | handshakes | 10 s; ours 2 s, after 2 s to connect | `connection` |
//! | queue of one connection | 512 messages | `connection` |
//! | first message, rest of a message, idle, pong | 30 s, 30 s, 2 h, 10 s | `patience` |
//! | a peer that takes no octets | 10 s | `stream` |
//! | ways to peers | 4,096 | `ways` |

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use bytes::Bytes;
use dashmap::DashMap;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::{TcpListener, UdpSocket};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::base::flow::{Flow, FlowId, Side, Transport};
use crate::plan::trunk::{SourceMatch, Trunk};
use crate::sip::header::route::Routes;
use crate::sip::message::{Message, Name};
use crate::switch::words::Peer;

pub(super) mod certificate;
mod connection;
mod fair;
mod inbox;
mod patience;
mod places;
mod stream;
mod tls;
mod udp;
mod ways;
mod ws;

pub use inbox::Packets;
pub use patience::Times;
pub use tls::{TlsFault, TlsFiles};

use connection::Outgoing;
use fair::Standing;
use inbox::Inbox;
use places::Places;
use tls::Tls;
use ways::{Onward, Way, Ways};

const BACKLOG: i32 = 1_024;
/// How often TLS files are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(10);
/// Peers whose route is remembered, for listeners on all addresses; all are forgotten when there are more.
const ROUTES: usize = 4_096;

/// From the sockets to the switch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NetEvent {
    /// A datagram, or one message of a connection.
    Packet {
        /// What it came over.
        flow: Flow,
        /// The bytes.
        bytes: Bytes,
    },
    /// A connection is gone, or could not be opened.
    Closed {
        /// Which flow it served.
        flow: FlowId,
        /// Whether a call ever sent something over its connection.
        carried_calls: bool,
    },
}

/// One address to listen on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListenAddress {
    /// Which side it serves.
    pub side: Side,
    /// How bytes travel.
    pub transport: Transport,
    /// Where.
    pub address: SocketAddr,
}

/// What the sockets are opened with.
#[derive(Clone, Debug)]
pub struct NetSettings {
    /// Every listener.
    pub listen: Vec<ListenAddress>,
    /// Our address as peers should see it, where it is not the listener's own.
    pub advertise: Option<IpAddr>,
    /// How often our connections, and all WebSockets, are asked for a sign of life; zero = never.
    pub keep_alive: Duration,
    /// Connections one address may have on a side.
    pub connections_per_address: u32,
    /// Connections those who are no known trunk may have together on a side.
    pub connections_max: u32,
    /// How long peers are borne with.
    pub times: Times,
    /// What may change while the engine runs.
    pub known: Known,
}

/// What the sockets know of peers, and what they show them.
#[derive(Clone, Debug, Default)]
pub struct Known {
    /// The trunks.
    pub trunks: Vec<Arc<Trunk>>,
    /// Our certificate; needed where a listener is TLS or WSS.
    pub tls: Option<TlsFiles>,
    /// Web origins a WebSocket may come from; any when empty.
    pub ws_origins: Arc<[String]>,
}

/// Why the sockets cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum NetFault {
    /// An address.
    #[error("cannot listen on {}:{}: {source}", at.transport.param_name(), at.address)]
    Listen {
        /// Where.
        at: ListenAddress,
        /// Why.
        source: io::Error,
    },
    /// A certificate or key.
    #[error(transparent)]
    Tls(#[from] TlsFault),
}

/// Figures of the network side.
#[derive(Debug, Default)]
pub struct NetCounters {
    /// Datagrams dropped because their source had its share, or nobody had room.
    pub dropped_in: AtomicU64,
    /// Sends that failed or found a full queue.
    pub dropped_out: AtomicU64,
    /// Connections closed for breaking the framing rules.
    pub framing_faults: AtomicU64,
    /// Connections closed at once because there were too many.
    pub turned_away: AtomicU64,
    /// TLS and WebSocket handshakes that failed.
    pub handshakes_failed: AtomicU64,
}

/// A listener as bound, and the flow of what comes in by it.
#[derive(Clone, Copy, Debug)]
struct Listener {
    flow: Flow,
    bound: SocketAddr,
}

enum Sink {
    Udp(Arc<UdpSocket>),
    /// With whether a call has sent something over it.
    Stream(mpsc::Sender<Outgoing>, Arc<AtomicBool>),
}

enum Bound {
    Udp(Arc<UdpSocket>),
    Stream(TcpListener),
}

/// What is known of a peer when something comes from it.
struct Seen {
    trunk: Option<Arc<Trunk>>,
    /// Our address as it should see it.
    local: SocketAddr,
}

struct Shared {
    listeners: Vec<Listener>,
    advertise: Option<IpAddr>,
    keep_alive: Duration,
    times: Times,
    known: ArcSwap<Known>,
    tls: Tls,
    sinks: DashMap<FlowId, Sink>,
    ways: Mutex<Ways>,
    routes: DashMap<IpAddr, IpAddr>,
    places: Arc<Places>,
    next_flow: AtomicU64,
    counters: NetCounters,
    inbox: Arc<Inbox>,
    stop: CancellationToken,
    tasks: TaskTracker,
}

/// All listeners and connections; clones share them.
#[derive(Clone)]
pub struct Net(Arc<Shared>);

impl Net {
    /// Opens every listener, or none.
    ///
    /// # Errors
    /// The first address that cannot be bound or file that cannot be used, with the reason.
    pub fn bind(settings: NetSettings, stop: CancellationToken) -> Result<(Self, Packets), NetFault> {
        let tls = Tls::default();
        tls.load(settings.known.tls.as_ref(), &settings.known.trunks)?;
        let (inbox, packets) = Inbox::open();
        let (mut listeners, mut sockets) = (Vec::new(), Vec::new());
        for (id, wanted) in (1..).map(FlowId).zip(&settings.listen) {
            let fault = |source| NetFault::Listen { at: *wanted, source };
            let (socket, bound) = bind(wanted).map_err(fault)?;
            let remote = SocketAddr::new(wanted.address.ip(), 0);
            let flow = Flow { id, side: wanted.side, transport: wanted.transport, local: bound, remote };
            let listener =
                Listener { flow: Flow { local: advertised(bound, [settings.advertise, None]), ..flow }, bound };
            listeners.push(listener);
            sockets.push((socket, listener));
        }
        let shared = Arc::new(Shared {
            next_flow: AtomicU64::new(listeners.len() as u64 + 1),
            listeners,
            advertise: settings.advertise,
            keep_alive: settings.keep_alive,
            times: settings.times,
            known: ArcSwap::from_pointee(settings.known),
            tls,
            sinks: DashMap::new(),
            ways: Mutex::default(),
            routes: DashMap::new(),
            places: Places::new(settings.connections_per_address, settings.connections_max),
            counters: NetCounters::default(),
            inbox,
            stop,
            tasks: TaskTracker::new(),
        });
        for (socket, at) in sockets {
            match socket {
                Bound::Udp(socket) => {
                    shared.sinks.insert(at.flow.id, Sink::Udp(Arc::clone(&socket)));
                    shared.tasks.spawn(udp::receive(Arc::clone(&shared), socket, at));
                }
                Bound::Stream(socket) => drop(shared.tasks.spawn(connection::accept(Arc::clone(&shared), socket, at))),
            }
        }
        shared.tasks.spawn(look_at_files(Arc::clone(&shared)));
        Ok((Self(shared), packets))
    }

    /// Sends bytes over a flow; what cannot be sent is dropped and counted (the transaction layer repeats).
    pub fn send(&self, flow: &Flow, bytes: Bytes) {
        self.0.send(flow, bytes, false);
    }

    /// The same for a call, which wants to hear when the flow is gone.
    pub fn send_for_call(&self, flow: &Flow, bytes: Bytes) {
        self.0.send(flow, bytes, true);
    }

    /// The flow that reaches a peer from one of our sides: the UDP listener of its address family, or a connection,
    /// opened by the first message sent over it and told as closed when it cannot be. `None` when that side has no such
    /// listener (the one the trunk names), a WebSocket would have to be opened, or there are too many ways already.
    #[must_use]
    pub fn flow_to(&self, side: Side, transport: Transport, peer: &Peer<'_>) -> Option<Flow> {
        self.0.flow_to(side, transport, peer)
    }

    /// Puts other trunks, files and origins in force for what comes from now on, and reads all TLS files again.
    pub async fn apply(&self, known: Known) {
        self.0.known.store(Arc::new(known));
        self.0.routes.clear();
        self.reload().await;
    }

    async fn reload(&self) {
        let shared = Arc::clone(&self.0);
        let _ = tokio::task::spawn_blocking(move || shared.reload()).await;
    }

    /// Waits, once the engine has stopped, until what was queued for connections is written or given up.
    pub async fn ended(&self) {
        self.0.tasks.close();
        self.0.tasks.wait().await;
    }

    /// Addresses really bound, as peers should see them, for the log and for port 0.
    pub fn listeners(&self) -> impl Iterator<Item = &Flow> {
        self.0.listeners.iter().map(|listener| &listener.flow)
    }

    /// Drop and fault figures.
    #[must_use]
    pub fn counters(&self) -> &NetCounters {
        &self.0.counters
    }

    /// Connections open now.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.0.sinks.iter().filter(|sink| matches!(**sink, Sink::Stream(..))).count()
    }
}

impl Shared {
    fn mint(&self) -> FlowId {
        FlowId(self.next_flow.fetch_add(1, Ordering::Relaxed))
    }

    fn ways(&self) -> MutexGuard<'_, Ways> {
        self.ways.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn reload(&self) {
        let known = self.known.load();
        self.tls.reload(known.tls.as_ref(), &known.trunks);
    }

    fn send(self: &Arc<Self>, flow: &Flow, bytes: Bytes, for_call: bool) {
        let posted = self.post(flow.id, flow.remote, &bytes, for_call);
        if !posted.unwrap_or_else(|| self.send_onward(flow, &bytes, for_call)) {
            self.counters.dropped_out.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Hands bytes to a socket or connection; `None` when there is none for that flow.
    fn post(&self, id: FlowId, remote: SocketAddr, bytes: &Bytes, for_call: bool) -> Option<bool> {
        Some(match self.sinks.get(&id)?.value() {
            Sink::Udp(socket) => socket.try_send_to(bytes, remote).is_ok(),
            Sink::Stream(queue, carries_calls) => {
                if for_call {
                    carries_calls.store(true, Ordering::Relaxed);
                }
                queue.try_send(Outgoing::Message(bytes.clone())).is_ok()
            }
        })
    }

    /// Sends over a connection that is opened now, or has taken the place of the flow's own.
    fn send_onward(self: &Arc<Self>, flow: &Flow, bytes: &Bytes, for_call: bool) -> bool {
        let id = {
            let mut ways = self.ways();
            let mut onward = ways.onward(flow.id, || self.mint());
            if onward.is_none()
                && let Some(way) = self.way_back(flow, bytes)
            {
                ways.lead(flow.id, way);
                onward = ways.onward(flow.id, || self.mint());
            }
            match onward {
                None => return false,
                Some(Onward::Over(id)) => id,
                Some(Onward::Open(id, way)) => {
                    connection::open(self, id, &way);
                    id
                }
            }
        };
        self.post(id, flow.remote, bytes, for_call) == Some(true)
    }

    /// The way to a carrier whose own connection is gone: its address, at the port its message says it listens on (the
    /// Via of the request we answer, RFC 3261 §18.2.2; the first Route or the target of a request). A phone cannot be
    /// called back at the port it came from.
    fn way_back(&self, flow: &Flow, bytes: &Bytes) -> Option<Way> {
        if flow.side != Side::Trunk || !flow.transport.is_stream() {
            return None;
        }
        let message = Message::datagram(bytes.clone()).ok()?;
        let port = if message.is_request() {
            let route = Routes::of(&message, Name::Route).ok().and_then(|routes| routes.first());
            route.or_else(|| message.uri()?.ok())?.port_or_default()
        } else {
            let via = message.via();
            via.port().unwrap_or_else(|| connection::default_port(via.known_transport()))
        };
        let known = self.known.load();
        let trunk = known.trunk_at(flow.transport, flow.remote)?;
        let secure = trunk.to.iter().find(|target| target.transport == Some(Transport::Tls));
        let tls = if flow.transport == Transport::Tls { Some((secure?.host.clone(), trunk.tls.clone())) } else { None };
        let serves = |at: &&Listener| (at.flow.side, at.flow.transport) == (flow.side, flow.transport);
        let at = self.listeners.iter().filter(serves).find(|at| at.bound.is_ipv4() == flow.remote.is_ipv4())?;
        Some(Way {
            side: flow.side,
            transport: flow.transport,
            local: flow.local,
            from: at.bound.ip(),
            remote: SocketAddr::new(flow.remote.ip(), port),
            tls,
        })
    }

    fn flow_to(&self, side: Side, transport: Transport, peer: &Peer<'_>) -> Option<Flow> {
        let remote = peer.remote;
        let mut fit = self
            .listeners
            .iter()
            .filter(|at| (at.flow.side, at.flow.transport, at.bound.is_ipv4()) == (side, transport, remote.is_ipv4()));
        let at = match peer.trunk.and_then(|trunk| trunk.interface) {
            None => fit.next()?,
            // An interface is named by one of its listeners; another transport of it has another port.
            Some(named) => {
                fit.clone().find(|at| at.bound == named).or_else(|| fit.find(|at| at.bound.ip() == named.ip()))?
            }
        };
        let local = self.local(at, peer.trunk, || self.route(remote));
        match transport {
            Transport::Udp => Some(Flow { remote, local, ..at.flow }),
            Transport::Ws | Transport::Wss => None,
            Transport::Tcp | Transport::Tls => {
                let settings = || peer.trunk.map(|trunk| trunk.tls.clone()).unwrap_or_default();
                let tls = (transport == Transport::Tls).then(|| (peer.name.to_owned(), settings()));
                let way = Way { side, transport, local, from: at.bound.ip(), remote, tls };
                self.ways().flow(&way, || self.mint())
            }
        }
    }

    /// Who sends, and the address it should see. `actual` says which of our addresses it used, where that is known.
    fn seen(
        &self,
        at: &Listener,
        transport: Transport,
        remote: SocketAddr,
        actual: impl FnOnce() -> Option<IpAddr>,
    ) -> Seen {
        let trunk = match at.flow.side {
            Side::Trunk => self.known.load().trunk_at(transport, remote).cloned(),
            Side::Agent => None,
        };
        let local = self.local(at, trunk.as_deref(), || actual().or_else(|| self.route(remote)));
        Seen { trunk, local }
    }

    fn local(&self, at: &Listener, trunk: Option<&Trunk>, actual: impl FnOnce() -> Option<IpAddr>) -> SocketAddr {
        let local = advertised(at.bound, [trunk.and_then(|trunk| trunk.advertise), self.advertise]);
        if !local.ip().is_unspecified() {
            return local;
        }
        SocketAddr::new(actual().unwrap_or_else(|| local.ip()), local.port())
    }

    /// The address packets to a peer leave from.
    fn route(&self, remote: SocketAddr) -> Option<IpAddr> {
        if let Some(known) = self.routes.get(&remote.ip()) {
            return Some(*known);
        }
        let any: IpAddr = if remote.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
        // Connecting a datagram socket sends nothing; it asks the kernel for its route.
        let socket = std::net::UdpSocket::bind((any, 0)).ok()?;
        socket.connect(remote).ok()?;
        let local = socket.local_addr().ok()?.ip();
        if self.routes.len() >= ROUTES {
            self.routes.clear();
        }
        self.routes.insert(remote.ip(), local);
        Some(local)
    }
}

impl Seen {
    const fn standing(&self) -> Standing {
        if self.trunk.is_some() { Standing::Known } else { Standing::Stranger }
    }
}

impl Known {
    /// The trunk known at an address, as [`Settings::trunk_for`](crate::plan::settings::Settings::trunk_for) chooses;
    /// connections do not come from the port a trunk is known by.
    fn trunk_at(&self, transport: Transport, remote: SocketAddr) -> Option<&Arc<Trunk>> {
        let closeness = |from: &SourceMatch| match from {
            SourceMatch::Peer(peer) if transport != Transport::Udp => {
                from.specificity(SocketAddr::new(remote.ip(), peer.port()))
            }
            SourceMatch::Peer(_) | SourceMatch::Net(..) => from.specificity(remote),
        };
        let best = |trunk: &Arc<Trunk>| trunk.from.iter().filter_map(closeness).max();
        self.trunks.iter().filter_map(|trunk| Some((best(trunk)?, trunk))).max_by_key(|(best, _)| *best).map(|it| it.1)
    }
}

/// The first address of the listener's family that is to be seen in place of its own.
fn advertised(bound: SocketAddr, instead: [Option<IpAddr>; 2]) -> SocketAddr {
    let fits = |ip: &IpAddr| ip.is_ipv4() == bound.is_ipv4();
    SocketAddr::new(instead.into_iter().flatten().find(fits).unwrap_or_else(|| bound.ip()), bound.port())
}

fn bind(wanted: &ListenAddress) -> io::Result<(Bound, SocketAddr)> {
    if wanted.transport == Transport::Udp {
        let socket = UdpSocket::from_std(udp::bind(wanted.address)?)?;
        let bound = socket.local_addr()?;
        return Ok((Bound::Udp(Arc::new(socket)), bound));
    }
    let socket = Socket::new(Domain::for_address(wanted.address), Type::STREAM, Some(Protocol::TCP))?;
    if wanted.address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    // A restart must not wait for the connections of the last run to be forgotten.
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&wanted.address.into())?;
    socket.listen(BACKLOG)?;
    let socket = TcpListener::from_std(socket.into())?;
    let bound = socket.local_addr()?;
    Ok((Bound::Stream(socket), bound))
}

/// Reads TLS files again when they change.
async fn look_at_files(shared: Arc<Shared>) {
    while tokio::time::timeout(LOOK_EVERY, shared.stop.cancelled()).await.is_err() {
        let looked = Arc::clone(&shared);
        let looking = move || {
            if looked.tls.is_stale() {
                looked.reload();
            }
        };
        let _ = tokio::task::spawn_blocking(looking).await;
    }
}

#[cfg(test)]
mod tests;
