//! Real sockets on loopback: every wait is for an event and bounded.

use std::sync::atomic::AtomicU32;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::*;
use crate::base::id::{TenantName, TrunkName};
use crate::plan::model::Declared;
use crate::plan::trunk::{CallSource, IncomingFormat, OutgoingFormat, Reliable, TrunkHealth, TrunkTls};

mod limits;
mod paths;
mod secure;
mod web;

const BOUND: Duration = Duration::from_secs(10);
const PER_ADDRESS: u32 = 4;

struct Bench {
    net: Net,
    packets: Packets,
    stop: CancellationToken,
}

impl Drop for Bench {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// Settings with these listeners on free loopback ports.
fn settings(listen: &[(Side, Transport)]) -> NetSettings {
    let address = "127.0.0.1:0".parse().unwrap();
    NetSettings {
        listen: listen.iter().map(|(side, transport)| at(*side, *transport, address)).collect(),
        advertise: None,
        keep_alive: Duration::ZERO,
        connections_per_address: PER_ADDRESS,
        connections_max: 8,
        times: Times::default(),
        known: Known::default(),
    }
}

fn at(side: Side, transport: Transport, address: SocketAddr) -> ListenAddress {
    ListenAddress { side, transport, address }
}

impl Bench {
    async fn open(side: Side, transport: Transport) -> Self {
        Self::with(settings(&[(side, transport)])).await
    }

    #[expect(clippy::unused_async, reason = "sockets are bound inside a runtime")]
    async fn with(settings: NetSettings) -> Self {
        let stop = CancellationToken::new();
        let (net, packets) = Net::bind(settings, stop.clone()).unwrap();
        Self { net, packets, stop }
    }

    fn at(&self) -> SocketAddr {
        self.net.listeners().next().unwrap().local
    }

    async fn event(&mut self) -> NetEvent {
        let mut events = Vec::new();
        bounded(self.packets.recv_many(&mut events, 1)).await;
        events.remove(0)
    }

    async fn packet(&mut self) -> (Flow, Bytes) {
        match self.event().await {
            NetEvent::Packet { flow, bytes } => (flow, bytes),
            NetEvent::Closed { flow, .. } => panic!("{flow:?} closed"),
        }
    }

    async fn closed(&mut self) -> FlowId {
        match self.event().await {
            NetEvent::Closed { flow, .. } => flow,
            NetEvent::Packet { bytes, .. } => panic!("{}", String::from_utf8_lossy(&bytes)),
        }
    }

    fn count(&self, of: impl Fn(&NetCounters) -> &AtomicU64) -> u64 {
        of(self.net.counters()).load(Ordering::Relaxed)
    }
}

/// A trunk known by a network, with TLS as given.
fn trunk(from: &str, tls: TrunkTls) -> Trunk {
    let (net, bits) = from.split_once('/').unwrap();
    Trunk {
        name: TrunkName::new("carrier"),
        tenant: TenantName::new("p"),
        area: None,
        from: vec![SourceMatch::Net(net.parse().unwrap(), bits.parse().unwrap())],
        to: Vec::new(),
        max_calls: 0,
        max_cps: 0,
        trusted: true,
        answer_before_queue: true,
        early_media_max: Duration::from_secs(60),
        emergency: false,
        source: CallSource::Public,
        priority: 0,
        busy_out: false,
        health: TrunkHealth { interval: Duration::ZERO, down_after: 2, up_after: 2 },
        register: None,
        credential: None,
        reliable: Reliable::Off,
        interface: None,
        advertise: None,
        tls,
        incoming: IncomingFormat::default(),
        outgoing: OutgoingFormat::default(),
        platform: false,
        declared: Declared::default(),
    }
}

fn knowing(trunks: Vec<Trunk>) -> Known {
    Known { trunks: trunks.into_iter().map(Arc::new).collect(), ..Known::default() }
}

/// A directory of its own for one test.
struct Folder(std::path::PathBuf);

impl Folder {
    fn new() -> Self {
        static NTH: AtomicU32 = AtomicU32::new(0);
        let nth = NTH.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("switch12345-net-{}-{nth}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

async fn bounded<T>(event: impl Future<Output = T>) -> T {
    tokio::time::timeout(BOUND, event).await.unwrap()
}

async fn until(told: impl Fn() -> bool) {
    bounded(async {
        while !told() {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

fn peer_at(remote: SocketAddr) -> Peer<'static> {
    Peer { remote, name: "127.0.0.1", trunk: None }
}

fn message(nth: usize) -> Vec<u8> {
    format!("OPTIONS sip:a@h SIP/2.0\r\nCall-ID: {nth}\r\nContent-Length: 2\r\n\r\nhi").into_bytes()
}

async fn read(stream: &mut (impl tokio::io::AsyncRead + Unpin), length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    bounded(stream.read_exact(&mut bytes)).await.unwrap();
    bytes
}

/// Waits until the other end closes; what it said before.
async fn ended(stream: &mut (impl tokio::io::AsyncRead + Unpin)) -> Vec<u8> {
    let mut said = Vec::new();
    // A reset is an end too.
    let _ = bounded(stream.read_to_end(&mut said)).await;
    said
}

#[tokio::test]
async fn datagrams_come_with_their_flow_and_answers_go_back_over_it() {
    let mut bench = Bench::open(Side::Trunk, Transport::Udp).await;
    let peer = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    for ping in [&b"\r\n\r\n"[..], &[0, 0, 0, 0], &message(1)] {
        peer.send_to(ping, bench.at()).await.unwrap();
    }
    let (flow, bytes) = bench.packet().await;
    assert_eq!((flow.side, flow.transport, flow.remote), (Side::Trunk, Transport::Udp, peer.local_addr().unwrap()));
    assert_eq!(bytes, message(1), "keep-alives go no further");
    bench.net.send(&flow, Bytes::from_static(b"answer"));
    let mut buffer = [0; 64];
    let (length, from) = bounded(peer.recv_from(&mut buffer)).await.unwrap();
    assert_eq!((&buffer[..length], from), (&b"answer"[..], bench.at()));
    let found = bench.net.flow_to(Side::Trunk, Transport::Udp, &peer_at(flow.remote)).unwrap();
    assert_eq!(found, flow);
    assert_eq!(bench.net.flow_to(Side::Agent, Transport::Udp, &peer_at(flow.remote)), None);
}

#[tokio::test]
async fn a_stream_is_cut_into_messages_wherever_it_was_split() {
    let mut bench = Bench::open(Side::Agent, Transport::Tcp).await;
    let mut peer = TcpStream::connect(bench.at()).await.unwrap();
    let whole: Vec<u8> = (0..5).flat_map(message).collect();
    let (first, rest) = whole.split_at(30);
    peer.write_all(first).await.unwrap();
    peer.flush().await.unwrap();
    peer.write_all(rest).await.unwrap();
    for nth in 0..5 {
        assert_eq!(bench.packet().await.1, message(nth));
    }
    drop(peer);
    bench.closed().await;
    until(|| bench.net.connections() == 0).await;
}

#[tokio::test]
async fn rfc5626_s3_5_1_a_ping_gets_a_pong() {
    let bench = Bench::open(Side::Agent, Transport::Tcp).await;
    let mut peer = TcpStream::connect(bench.at()).await.unwrap();
    peer.write_all(b"\r\n\r\n").await.unwrap();
    assert_eq!(read(&mut peer, 2).await, b"\r\n");
}

#[tokio::test]
async fn a_smuggled_length_is_answered_and_ends_the_connection() {
    let mut bench = Bench::open(Side::Trunk, Transport::Tcp).await;
    let mut peer = TcpStream::connect(bench.at()).await.unwrap();
    let smuggled = "INVITE sip:12345@h SIP/2.0\r\nVia: SIP/2.0/TCP h;branch=z9hG4bK1\r\nFrom: <sip:a@h>;tag=1\r\n\
                    To: <sip:12345@h>\r\nCall-ID: c\r\nCSeq: 1 INVITE\r\nContent-Length: 0\r\nContent-Length: 200\r\n\r\n\
                    BYE sip:12345@h SIP/2.0\r\nContent-Length: 0\r\n\r\n";
    peer.write_all(smuggled.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    bounded(peer.read_to_end(&mut answer)).await.unwrap();
    assert!(answer.starts_with(b"SIP/2.0 400 "), "{}", String::from_utf8_lossy(&answer));
    bench.closed().await;
    assert_eq!(bench.net.counters().framing_faults.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn a_busy_switch_slows_streams_down_and_loses_none_of_their_messages() {
    let mut bench = Bench::open(Side::Trunk, Transport::Tcp).await;
    let mut peer = TcpStream::connect(bench.at()).await.unwrap();
    let messages = 1_000;
    let writing = tokio::spawn(async move {
        let whole: Vec<u8> = (0..messages).flat_map(message).collect();
        peer.write_all(&whole).await.unwrap();
        peer
    });
    // Each of these costs one KiB of the connection's credit.
    until(|| bench.packets.len() == 32).await;
    for nth in 0..messages {
        assert_eq!(bench.packet().await.1, message(nth));
    }
    assert_eq!(bench.count(|net| &net.dropped_in), 0);
    drop(bounded(writing).await);
}

#[tokio::test]
async fn a_flood_of_datagrams_costs_its_own_address() {
    let mut bench = Bench::open(Side::Agent, Transport::Udp).await;
    let flood = UdpSocket::bind("127.0.0.2:0").await.unwrap();
    for nth in 0..9 {
        flood.send_to(&message(nth), bench.at()).await.unwrap();
    }
    until(|| bench.count(|net| &net.dropped_in) == 6).await;
    let phone = UdpSocket::bind("127.0.0.3:0").await.unwrap();
    phone.send_to(&message(100), bench.at()).await.unwrap();
    until(|| bench.packets.len() == 4).await;
    assert_eq!(bench.packet().await.1, message(0));
    assert_eq!(bench.packet().await.1, message(100), "served second, before what else the flood holds");
    assert_eq!(bench.packet().await.1, message(1));
}
