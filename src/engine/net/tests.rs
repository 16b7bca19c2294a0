//! Real sockets on loopback: every wait is for an event and bounded.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::*;

const BOUND: Duration = Duration::from_secs(10);

struct Bench {
    net: Net,
    packets: mpsc::Receiver<NetEvent>,
    stop: CancellationToken,
}

impl Drop for Bench {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl Bench {
    async fn open(side: Side, transport: Transport, room: usize) -> Self {
        let (to_switch, packets) = mpsc::channel(room);
        let stop = CancellationToken::new();
        let wanted = ListenAddress { side, transport, address: "127.0.0.1:0".parse().unwrap() };
        let net = Net::bind(&[wanted], None, to_switch, stop.clone()).await.unwrap();
        Self { net, packets, stop }
    }

    fn at(&self) -> SocketAddr {
        self.net.listeners().next().unwrap().local
    }

    async fn event(&mut self) -> NetEvent {
        bounded(self.packets.recv()).await.unwrap()
    }

    async fn packet(&mut self) -> (Flow, Bytes) {
        match self.event().await {
            NetEvent::Packet { flow, bytes } => (flow, bytes),
            NetEvent::Closed(flow) => panic!("{flow:?} closed"),
        }
    }

    async fn closed(&mut self) -> FlowId {
        match self.event().await {
            NetEvent::Closed(flow) => flow,
            NetEvent::Packet { bytes, .. } => panic!("{}", String::from_utf8_lossy(&bytes)),
        }
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

async fn read(stream: &mut TcpStream, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    bounded(stream.read_exact(&mut bytes)).await.unwrap();
    bytes
}

#[tokio::test]
async fn datagrams_come_with_their_flow_and_answers_go_back_over_it() {
    let mut bench = Bench::open(Side::Trunk, Transport::Udp, 8).await;
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
    let mut bench = Bench::open(Side::Agent, Transport::Tcp, 64).await;
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
    let bench = Bench::open(Side::Agent, Transport::Tcp, 8).await;
    let mut peer = TcpStream::connect(bench.at()).await.unwrap();
    peer.write_all(b"\r\n\r\n").await.unwrap();
    assert_eq!(read(&mut peer, 2).await, b"\r\n");
}

#[tokio::test]
async fn a_smuggled_length_is_answered_and_ends_the_connection() {
    let mut bench = Bench::open(Side::Trunk, Transport::Tcp, 8).await;
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
async fn one_address_has_a_bounded_number_of_connections() {
    let bench = Bench::open(Side::Agent, Transport::Tcp, 64).await;
    let mut peers = Vec::new();
    for _ in 0..CONNECTIONS_PER_ADDRESS {
        let mut peer = TcpStream::connect(bench.at()).await.unwrap();
        peer.write_all(b"\r\n\r\n").await.unwrap();
        read(&mut peer, 2).await;
        peers.push(peer);
    }
    let mut one_more = TcpStream::connect(bench.at()).await.unwrap();
    assert!(!matches!(bounded(one_more.read(&mut [0; 8])).await, Ok(1..)));
    assert_eq!(bench.net.counters().turned_away.load(Ordering::Relaxed), 1);
    peers.pop();
    until(|| bench.net.connections() < peers.len() + 1).await;
    let mut next = TcpStream::connect(bench.at()).await.unwrap();
    next.write_all(b"\r\n\r\n").await.unwrap();
    assert_eq!(read(&mut next, 2).await, b"\r\n");
}

#[tokio::test]
async fn a_connection_of_ours_sends_what_was_queued_once_it_stands_and_is_opened_again() {
    let mut bench = Bench::open(Side::Trunk, Transport::Tcp, 8).await;
    let carrier = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let remote = carrier.local_addr().unwrap();
    let flow = bench.net.flow_to(Side::Trunk, Transport::Tcp, &peer_at(remote)).unwrap();
    bench.net.send(&flow, Bytes::from_static(b"one"));
    bench.net.send(&flow, Bytes::from_static(b"two"));
    assert_eq!(
        bench.net.flow_to(Side::Trunk, Transport::Tcp, &peer_at(remote)),
        Some(flow),
        "one connection serves all calls"
    );
    let (mut peer, _) = bounded(carrier.accept()).await.unwrap();
    assert_eq!(read(&mut peer, 6).await, b"onetwo");
    peer.write_all(&message(1)).await.unwrap();
    assert_eq!(bench.packet().await, (flow, Bytes::from(message(1))));
    drop(peer);
    assert_eq!(bench.closed().await, flow.id);
    bench.net.send(&flow, Bytes::from_static(b"bye"));
    let (mut peer, _) = bounded(carrier.accept()).await.unwrap();
    assert_eq!(read(&mut peer, 3).await, b"bye", "a dialog outlives its connection");
    assert_eq!(bench.net.counters().dropped_out.load(Ordering::Relaxed), 0);
}

#[tokio::test]
async fn a_dead_target_is_told_as_a_closed_flow() {
    let mut bench = Bench::open(Side::Trunk, Transport::Tcp, 8).await;
    let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let remote = taken.local_addr().unwrap();
    drop(taken);
    let flow = bench.net.flow_to(Side::Trunk, Transport::Tcp, &peer_at(remote)).unwrap();
    assert_eq!(bench.closed().await, flow.id);
    until(|| bench.net.connections() == 0).await;
}

#[tokio::test]
async fn a_busy_switch_slows_streams_down_and_loses_none_of_their_messages() {
    let mut bench = Bench::open(Side::Trunk, Transport::Tcp, 1).await;
    let mut peer = TcpStream::connect(bench.at()).await.unwrap();
    let whole: Vec<u8> = (0..100).flat_map(message).collect();
    peer.write_all(&whole).await.unwrap();
    until(|| bench.packets.len() == 1).await;
    for nth in 0..100 {
        assert_eq!(bench.packet().await.1, message(nth));
    }
    assert_eq!(bench.net.counters().dropped_in.load(Ordering::Relaxed), 0);
}

#[tokio::test]
async fn a_busy_switch_drops_datagrams_and_counts_them() {
    let mut bench = Bench::open(Side::Trunk, Transport::Udp, 1).await;
    let peer = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    for nth in 0..5 {
        peer.send_to(&message(nth), bench.at()).await.unwrap();
    }
    until(|| bench.net.counters().dropped_in.load(Ordering::Relaxed) == 4).await;
    assert_eq!(bench.packet().await.1, message(0));
}

#[tokio::test]
async fn a_transport_that_is_not_served_is_no_listener() {
    let (to_switch, _packets) = mpsc::channel(1);
    let wanted =
        ListenAddress { side: Side::Agent, transport: Transport::Wss, address: "127.0.0.1:0".parse().unwrap() };
    let refused = Net::bind(&[wanted], None, to_switch, CancellationToken::new()).await;
    assert!(refused.is_err_and(|(at, fault)| at == wanted && fault.kind() == io::ErrorKind::Unsupported));
}
