//! What a peer may take its time for, and how much of everything it may have.

use super::*;

/// Short enough to wait for, long enough that a busy machine does everything else in it.
const SHORT: Duration = Duration::from_millis(700);

fn brief(transport: Transport, change: impl FnOnce(&mut Times)) -> NetSettings {
    let mut settings = settings(&[(Side::Agent, transport)]);
    change(&mut settings.times);
    settings
}

#[tokio::test]
async fn one_address_has_a_bounded_number_of_connections() {
    let bench = Bench::open(Side::Agent, Transport::Tcp).await;
    let mut peers = Vec::new();
    for _ in 0..PER_ADDRESS {
        let mut peer = TcpStream::connect(bench.at()).await.unwrap();
        peer.write_all(b"\r\n\r\n").await.unwrap();
        read(&mut peer, 2).await;
        peers.push(peer);
    }
    let mut one_more = TcpStream::connect(bench.at()).await.unwrap();
    assert!(ended(&mut one_more).await.is_empty());
    assert_eq!(bench.count(|net| &net.turned_away), 1);
    peers.pop();
    until(|| bench.net.connections() < peers.len() + 1).await;
    // Its place is given back a moment after it is gone.
    bounded(async {
        loop {
            let mut next = TcpStream::connect(bench.at()).await.unwrap();
            let _ = next.write_all(b"\r\n\r\n").await;
            if matches!(next.read(&mut [0; 2]).await, Ok(1..)) {
                break;
            }
        }
    })
    .await;
}

#[tokio::test]
async fn all_addresses_together_have_a_bounded_number_of_connections() {
    let bench = Bench::open(Side::Agent, Transport::Tcp).await;
    let mut peers = Vec::new();
    for nth in 0..9_u8 {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.bind(SocketAddr::from(([127, 0, 1, nth + 1], 0))).unwrap();
        peers.push(socket.connect(bench.at()).await.unwrap());
    }
    assert!(ended(&mut peers[8]).await.is_empty());
    assert_eq!(bench.count(|net| &net.turned_away), 1);
}

#[tokio::test]
async fn a_connection_that_says_nothing_is_closed() {
    for transport in [Transport::Tcp, Transport::Ws] {
        let bench =
            Bench::with(brief(transport, |times| (times.first_message, times.handshake) = (SHORT, SHORT))).await;
        let mut peer = TcpStream::connect(bench.at()).await.unwrap();
        assert!(ended(&mut peer).await.is_empty(), "{transport:?}");
    }
}

#[tokio::test]
async fn a_connection_that_only_pings_is_closed() {
    let bench = Bench::with(brief(Transport::Tcp, |times| times.first_message = SHORT)).await;
    let mut peer = TcpStream::connect(bench.at()).await.unwrap();
    peer.write_all(b"\r\n\r\n").await.unwrap();
    assert_eq!(ended(&mut peer).await, b"\r\n");
}

#[tokio::test]
async fn a_message_that_drips_in_is_not_waited_for() {
    let mut bench = Bench::with(brief(Transport::Tcp, |times| times.rest = SHORT)).await;
    let mut peer = TcpStream::connect(bench.at()).await.unwrap();
    peer.write_all(&message(1)).await.unwrap();
    bench.packet().await;
    let (mut reader, mut writer) = peer.split();
    let mut pace = tokio::time::interval(SHORT / 20);
    let drip = async {
        for octet in message(2) {
            if writer.write_all(&[octet]).await.is_err() {
                break;
            }
            pace.tick().await;
        }
        std::future::pending::<()>().await;
    };
    tokio::select! {
        () = drip => {}
        said = ended(&mut reader) => assert!(said.is_empty()),
    }
    bench.closed().await;
}

#[tokio::test]
async fn an_idle_connection_is_closed() {
    let mut bench = Bench::with(brief(Transport::Tcp, |times| times.idle = SHORT)).await;
    let mut peer = TcpStream::connect(bench.at()).await.unwrap();
    peer.write_all(&message(1)).await.unwrap();
    bench.packet().await;
    assert!(ended(&mut peer).await.is_empty());
    bench.closed().await;
}

#[tokio::test]
async fn a_stranger_on_the_trunk_side_is_borne_with_for_less_long() {
    let mut settings = settings(&[(Side::Trunk, Transport::Tcp)]);
    settings.times.idle_stranger = SHORT;
    settings.known = knowing(vec![trunk("127.0.0.2/32", TrunkTls::default())]);
    let mut bench = Bench::with(settings).await;
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.2:0".parse().unwrap()).unwrap();
    let mut carrier = socket.connect(bench.at()).await.unwrap();
    let mut stranger = TcpStream::connect(bench.at()).await.unwrap();
    for peer in [&mut carrier, &mut stranger] {
        peer.write_all(&message(1)).await.unwrap();
        bench.packet().await;
    }
    assert!(ended(&mut stranger).await.is_empty());
    carrier.write_all(b"\r\n\r\n").await.unwrap();
    assert_eq!(read(&mut carrier, 2).await, b"\r\n");
}

#[tokio::test]
async fn a_header_section_without_end_is_cut_off() {
    let mut bench = Bench::open(Side::Agent, Transport::Tcp).await;
    let mut peer = TcpStream::connect(bench.at()).await.unwrap();
    let mut endless = b"OPTIONS sip:a@h SIP/2.0\r\nVia: SIP/2.0/TCP h;branch=z9hG4bK1\r\n".to_vec();
    endless.extend(b"X: y\r\n".repeat(3_000));
    let _ = peer.write_all(&endless).await;
    let said = ended(&mut peer).await;
    assert!(said.is_empty() || said.starts_with(b"SIP/2.0 513 "), "{}", String::from_utf8_lossy(&said));
    bench.closed().await;
    assert_eq!(bench.count(|net| &net.framing_faults), 1);
}

#[tokio::test]
async fn a_message_above_the_limit_is_refused_by_its_length() {
    let mut bench = Bench::open(Side::Agent, Transport::Tcp).await;
    let mut peer = TcpStream::connect(bench.at()).await.unwrap();
    let large = "MESSAGE sip:a@h SIP/2.0\r\nVia: SIP/2.0/TCP h;branch=z9hG4bK1\r\nFrom: <sip:a@h>;tag=1\r\nTo: <sip:a@h>\r\n\
                 Call-ID: c\r\nCSeq: 1 MESSAGE\r\nContent-Length: 70000\r\n\r\n";
    peer.write_all(large.as_bytes()).await.unwrap();
    let said = ended(&mut peer).await;
    assert!(said.starts_with(b"SIP/2.0 513 "), "{}", String::from_utf8_lossy(&said));
    bench.closed().await;
}

#[tokio::test]
async fn a_peer_that_takes_nothing_is_given_up() {
    let mut bench = Bench::with(brief(Transport::Tcp, |times| times.write = SHORT)).await;
    let mut peer = TcpStream::connect(bench.at()).await.unwrap();
    peer.write_all(&message(1)).await.unwrap();
    let (flow, _) = bench.packet().await;
    let large = Bytes::from(vec![b'x'; 60_000]);
    for _ in 0..1_000 {
        bench.net.send(&flow, large.clone());
    }
    assert!(bench.count(|net| &net.dropped_out) > 0, "its queue is bounded");
    assert_eq!(bench.closed().await, flow.id);
    drop(peer);
}
