//! One connection from its first octet to its end, whatever it speaks: accepting, handshakes, opening, its bounded
//! queue, and who is told when it is gone.
//!
//! ```text
//! accepted ── place? ── TLS handshake ── WebSocket handshake ──► messages ──► gone, told
//! opened ──── TCP ───── TLS handshake, name checked ───────────► messages ──► gone, told
//! ```
//!
//! A peer that breaks the rules costs its connection only; its calls live on. Deliberately absent: cutting octets into
//! messages (`stream`, `ws`), and for how long a mute peer is borne with (`patience`).

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use rustls::ServerConfig;
use rustls::pki_types::CertificateDer;
use socket2::{SockRef, TcpKeepalive};
use tokio::io::{self, AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_rustls::{TlsAcceptor, TlsConnector};

use super::fair::Standing;
use super::inbox::Credit;
use super::patience::Terms;
use super::places::Place;
use super::ways::Way;
use super::{Listener, NetEvent, Shared, Sink, stream, tls, ws};
use crate::base::flow::{Flow, FlowId, Side, Transport};
use crate::sip::message::Message;

/// Messages waiting to be written.
pub(super) const QUEUE: usize = 512;
/// Opening a connection of ours, and then again for its TLS handshake. Short, because the next target waits behind it;
/// long enough for one lost SYN to be repeated.
const OPEN_WITHIN: Duration = Duration::from_secs(2);
/// Unacknowledged octets: the kernel gives the connection up.
const UNACKNOWLEDGED_MS: u32 = 30_000;
const PROBE_AFTER: Duration = Duration::from_secs(120);
const PROBE_EVERY: Duration = Duration::from_secs(10);
const ACCEPT_AGAIN_AFTER: Duration = Duration::from_millis(100);

/// What is written to a connection.
#[derive(Clone, Debug)]
pub(super) enum Outgoing {
    /// A message.
    Message(Bytes),
    /// A question whether the peer is there.
    Ping,
    /// The answer to its own.
    Pong,
}

/// A connection that carries messages.
pub(super) struct Connection {
    pub(super) shared: Arc<Shared>,
    pub(super) flow: Flow,
    pub(super) standing: Standing,
    pub(super) queue: mpsc::Sender<Outgoing>,
    /// Whether a call has sent something over it.
    carries_calls: Arc<AtomicBool>,
    credit: Credit,
    pub(super) terms: Terms,
    /// The certificates shown by a trunk whose first message may say that it can be called over this connection.
    listens: Option<Vec<CertificateDer<'static>>>,
    _place: Option<Place>,
}

/// Accepts until the engine stops.
pub(super) async fn accept(shared: Arc<Shared>, socket: TcpListener, at: Listener) {
    loop {
        let accepted = tokio::select! {
            () = shared.stop.cancelled() => return,
            accepted = socket.accept() => accepted,
        };
        let Ok((stream, remote)) = accepted else {
            // Out of descriptors, most likely; accepting again at once would only burn the processor.
            let _ = timeout(ACCEPT_AGAIN_AFTER, shared.stop.cancelled()).await;
            continue;
        };
        let seen = shared.seen(&at, at.flow.transport, remote, || stream.local_addr().ok().map(|local| local.ip()));
        let Some(place) = shared.places.take(at.flow.side, remote, seen.standing()) else {
            shared.counters.turned_away.fetch_add(1, Ordering::Relaxed);
            continue;
        };
        let flow = Flow { id: shared.mint(), remote, local: seen.local, ..at.flow };
        let secured = flow.transport.is_secure().then(|| shared.tls.server(seen.trunk.as_deref()));
        shared.tasks.spawn(greet(Arc::clone(&shared), stream, flow, (seen.standing(), place), secured));
    }
}

/// Any stream of octets, under TLS or not.
pub(super) trait Octets: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Octets for T {}

/// After the handshakes.
enum Shaken {
    Octets(Box<dyn Octets>),
    WebSocket(Box<ws::Socket>),
}

/// How a connection that came in is made secure: `Some(None)` where it must be and no certificate can be used.
type Secured = Option<Option<Arc<ServerConfig>>>;

/// Handshakes, then messages.
async fn greet(
    shared: Arc<Shared>,
    stream: TcpStream,
    flow: Flow,
    (standing, place): (Standing, Place),
    secured: Secured,
) {
    settle(&stream);
    let is_ws = flow.transport.is_web_socket();
    let origins = shared.known.load().ws_origins.clone();
    let shaking = async {
        let (octets, shown) = shake(stream, secured).await?;
        let shaken =
            if is_ws { Shaken::WebSocket(Box::new(ws::shake(octets, origins).await?)) } else { Shaken::Octets(octets) };
        Ok((shaken, shown))
    };
    let shaken = tokio::select! {
        () = shared.stop.cancelled() => return,
        shaken = timeout(shared.times.handshake, shaking) => shaken.unwrap_or_else(|_| Err("too slow".to_owned())),
    };
    let (shaken, shown) = match shaken {
        Ok(shaken) => shaken,
        Err(reason) => {
            shared.counters.handshakes_failed.fetch_add(1, Ordering::Relaxed);
            tracing::debug!(?flow, reason, "a handshake failed");
            return;
        }
    };
    let idle = match (flow.side, standing) {
        (Side::Trunk, Standing::Stranger) => shared.times.idle_stranger,
        (Side::Trunk, Standing::Known) | (Side::Agent, _) => shared.times.idle,
    };
    let ping = if is_ws { Terms::pinging(shared.keep_alive, flow.id.0) } else { None };
    let terms = Terms { times: shared.times, first_message: true, idle, ping, pongs: is_ws };
    let (queue, waiting) = mpsc::channel(QUEUE);
    let carries_calls = Arc::<AtomicBool>::default();
    shared.sinks.insert(flow.id, Sink::Stream(queue.clone(), Arc::clone(&carries_calls)));
    let listens = (flow.side == Side::Trunk && standing == Standing::Known).then_some(shown);
    if let Some(shown) = &listens {
        shared.ways().lead_back(flow, flow.remote, shown.clone());
    }
    let connection = Connection {
        shared,
        flow,
        standing,
        queue,
        carries_calls,
        terms,
        listens,
        credit: Credit::new(standing),
        _place: Some(place),
    };
    match shaken {
        Shaken::Octets(octets) => stream::serve(connection, octets, waiting).await,
        Shaken::WebSocket(socket) => ws::serve(connection, *socket, waiting).await,
    }
}

async fn shake(stream: TcpStream, secured: Secured) -> Result<(Box<dyn Octets>, Vec<CertificateDer<'static>>), String> {
    match secured {
        None => Ok((Box::new(stream), Vec::new())),
        Some(None) => Err("no certificate can be used".to_owned()),
        Some(Some(config)) => {
            let stream = TlsAcceptor::from(config).accept(stream).await.map_err(|fault| fault.to_string())?;
            let shown = stream.get_ref().1.peer_certificates().unwrap_or_default();
            let shown = shown.iter().map(|one| one.clone().into_owned()).collect();
            Ok((Box::new(stream), shown))
        }
    }
}

/// Opens a connection of ours; messages sent meanwhile are written once it stands. Its flow takes messages when this
/// returns.
pub(super) fn open(shared: &Arc<Shared>, id: FlowId, way: &Arc<Way>) {
    let flow = way.flow(id);
    let (queue, waiting) = mpsc::channel(QUEUE);
    let carries_calls = Arc::<AtomicBool>::default();
    shared.sinks.insert(id, Sink::Stream(queue.clone(), Arc::clone(&carries_calls)));
    let connection = Connection {
        shared: Arc::clone(shared),
        flow,
        standing: Standing::Known,
        queue,
        carries_calls,
        terms: Terms {
            times: shared.times,
            first_message: false,
            idle: shared.times.idle,
            ping: Terms::pinging(shared.keep_alive, id.0),
            pongs: false,
        },
        listens: None,
        credit: Credit::new(Standing::Known),
        _place: None,
    };
    let way = Arc::clone(way);
    shared.tasks.spawn(async move {
        let called = tokio::select! {
            () = connection.shared.stop.cancelled() => return,
            called = call(&connection.shared, &way) => called,
        };
        match called {
            Ok(octets) => stream::serve(connection, octets, waiting).await,
            Err(reason) => {
                tracing::warn!(remote = %way.remote, transport = way.transport.param_name(), reason,
                    "a connection cannot be opened");
                connection.close();
            }
        }
    });
}

async fn call(shared: &Shared, way: &Way) -> Result<Box<dyn Octets>, String> {
    let told = |fault: io::Error| fault.to_string();
    let slow = |_| "no answer in time".to_owned();
    let socket = if way.remote.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }.map_err(told)?;
    if !way.from.is_unspecified() {
        socket.bind(SocketAddr::new(way.from, 0)).map_err(told)?;
    }
    let stream = timeout(OPEN_WITHIN, socket.connect(way.remote)).await.map_err(slow)?.map_err(told)?;
    settle(&stream);
    let Some((name, settings)) = &way.tls else { return Ok(Box::new(stream)) };
    let name = tls::server_name(name).ok_or_else(|| format!("`{name}` is no name a certificate could bear"))?;
    let config = shared.tls.client(settings).map_err(|fault| fault.to_string())?;
    let shaking = TlsConnector::from(config).connect(name, stream);
    let stream = timeout(OPEN_WITHIN, shaking).await.map_err(slow)?.map_err(told)?;
    Ok(Box::new(stream))
}

/// Sends small messages at once, and lets the kernel find out who is not there any more.
fn settle(stream: &TcpStream) {
    // Without it small responses wait for the peer's delayed ACK.
    let _ = stream.set_nodelay(true);
    let _ = rustix::net::sockopt::set_tcp_user_timeout(stream, UNACKNOWLEDGED_MS);
    let probes = TcpKeepalive::new().with_time(PROBE_AFTER).with_interval(PROBE_EVERY);
    let _ = SockRef::from(stream).set_tcp_keepalive(&probes);
}

impl Connection {
    /// Hands a message to the switch, waiting while this connection has too much there.
    pub(super) async fn deliver(&mut self, bytes: Bytes) {
        // Only the first message is looked at: a peer says `alias` on all or none.
        if let Some(shown) = self.listens.take()
            && let Some(listens) = alias(&bytes, self.flow.remote)
        {
            self.shared.ways().lead_back(self.flow, listens, shown);
        }
        self.shared.inbox.deliver(self.standing, self.flow, bytes, &self.credit).await;
    }

    /// Queues something for the peer; dropped when it takes too little.
    pub(super) fn write(&self, outgoing: Outgoing) {
        let _ = self.queue.try_send(outgoing);
    }

    /// Ends it: nothing more is sent over it, and whoever used it is told.
    pub(super) fn close(self) {
        self.shared.sinks.remove(&self.flow.id);
        let told = self.shared.ways().closed(self.flow.id);
        let carried_calls = self.carries_calls.load(Ordering::Relaxed);
        for flow in told {
            self.shared.inbox.closed(self.standing, self.flow.remote, NetEvent::Closed { flow, carried_calls });
        }
    }
}

/// Where a peer listens, when its request says that this connection may be used to call it (RFC 5923 §4): the address
/// is the one the connection comes from, whatever the request says.
fn alias(bytes: &Bytes, remote: SocketAddr) -> Option<SocketAddr> {
    let message = Message::framed(bytes.clone()).ok().filter(Message::is_request)?;
    let via = message.via();
    via.param("alias")?;
    Some(SocketAddr::new(remote.ip(), via.port().unwrap_or_else(|| default_port(via.known_transport()))))
}

/// The port of a sent-by or URI that names none (RFC 3261 §18.1.1, §19.1.2).
pub(super) const fn default_port(transport: Option<Transport>) -> u16 {
    match transport {
        Some(Transport::Tls | Transport::Wss) => 5061,
        Some(Transport::Udp | Transport::Tcp | Transport::Ws) | None => 5060,
    }
}
