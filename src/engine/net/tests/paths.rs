//! Ways out: opened by the first message, used again, replaced when gone, from the right one of our addresses.

use super::*;

fn to(bench: &Bench, transport: Transport, peer: &Peer<'_>) -> Option<Flow> {
    bench.net.flow_to(Side::Trunk, transport, peer)
}

async fn carrier() -> (TcpListener, SocketAddr) {
    let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = socket.local_addr().unwrap();
    (socket, at)
}

#[tokio::test]
async fn asking_opens_nothing_and_the_first_message_does() {
    let mut bench = Bench::open(Side::Trunk, Transport::Tcp).await;
    let (carrier, remote) = carrier().await;
    let flow = to(&bench, Transport::Tcp, &peer_at(remote)).unwrap();
    assert_eq!(bench.net.connections(), 0);
    bench.net.send(&flow, Bytes::from_static(b"one"));
    bench.net.send(&flow, Bytes::from_static(b"two"));
    assert_eq!(to(&bench, Transport::Tcp, &peer_at(remote)), Some(flow), "one connection serves all calls");
    let (mut peer, from) = bounded(carrier.accept()).await.unwrap();
    assert_eq!(from.ip(), bench.at().ip());
    assert_eq!(read(&mut peer, 6).await, b"onetwo");
    peer.write_all(&message(1)).await.unwrap();
    assert_eq!(bench.packet().await, (flow, Bytes::from(message(1))));
    drop(peer);
    assert_eq!(bench.closed().await, flow.id);
    bench.net.send(&flow, Bytes::from_static(b"bye"));
    let (mut peer, _) = bounded(carrier.accept()).await.unwrap();
    assert_eq!(read(&mut peer, 3).await, b"bye", "a dialog outlives its connection");
    assert_eq!(bench.count(|net| &net.dropped_out), 0);
    let later = to(&bench, Transport::Tcp, &peer_at(remote)).unwrap();
    assert_ne!(later, flow, "news of the old one's end cannot hit the new");
    bench.net.send(&later, Bytes::from_static(b"more"));
    assert_eq!(read(&mut peer, 4).await, b"more");
}

#[tokio::test]
async fn a_dead_target_is_told_as_a_closed_flow_to_the_call_that_tried() {
    let mut bench = Bench::open(Side::Trunk, Transport::Tcp).await;
    let (taken, remote) = carrier().await;
    drop(taken);
    let flow = to(&bench, Transport::Tcp, &peer_at(remote)).unwrap();
    bench.net.send_for_call(&flow, Bytes::from_static(b"invite"));
    assert_eq!(bench.event().await, NetEvent::Closed { flow: flow.id, carried_calls: true });
    assert_eq!(bench.net.connections(), 0);
}

#[tokio::test]
async fn a_connection_without_calls_says_so_when_it_ends() {
    let mut bench = Bench::open(Side::Agent, Transport::Tcp).await;
    let mut peer = TcpStream::connect(bench.at()).await.unwrap();
    peer.write_all(&message(1)).await.unwrap();
    let (flow, _) = bench.packet().await;
    bench.net.send(&flow, Bytes::from_static(b"answer"));
    read(&mut peer, 6).await;
    drop(peer);
    assert_eq!(bench.event().await, NetEvent::Closed { flow: flow.id, carried_calls: false });
    bench.net.send(&flow, Bytes::from_static(b"bye"));
    assert_eq!(bench.count(|net| &net.dropped_out), 1, "a phone is not called back at the port it came from");
}

fn carried(via: &str) -> Vec<u8> {
    format!(
        "OPTIONS sip:a@h SIP/2.0\r\nVia: SIP/2.0/TCP {via};branch=z9hG4bK1\r\nFrom: <sip:a@h>;tag=1\r\nTo: <sip:a@h>\r\n\
         Call-ID: c\r\nCSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n"
    )
    .into_bytes()
}

fn with_carrier(transport: Transport) -> NetSettings {
    let mut settings = settings(&[(Side::Trunk, transport)]);
    settings.known = knowing(vec![trunk("127.0.0.0/8", TrunkTls::default())]);
    settings
}

#[tokio::test]
async fn rfc5923_a_connection_with_alias_is_used_to_call_its_peer() {
    let mut bench = Bench::with(with_carrier(Transport::Tcp)).await;
    let (listening, remote) = carrier().await;
    let mut peer = TcpStream::connect(bench.at()).await.unwrap();
    peer.write_all(&carried(&format!("192.0.2.66:{};alias", remote.port()))).await.unwrap();
    let (flow, _) = bench.packet().await;
    let back = to(&bench, Transport::Tcp, &peer_at(remote)).unwrap();
    assert_eq!(back, flow, "at the address it comes from, whatever Via claims");
    bench.net.send(&back, Bytes::from_static(b"ring"));
    assert_eq!(read(&mut peer, 4).await, b"ring");
    let claimed = SocketAddr::new("192.0.2.66".parse().unwrap(), remote.port());
    assert_ne!(to(&bench, Transport::Tcp, &peer_at(claimed)), Some(flow), "nobody is led to another's address");
    drop((peer, listening));
    bench.closed().await;
    assert_ne!(to(&bench, Transport::Tcp, &peer_at(remote)), Some(flow));
}

#[tokio::test]
async fn a_connection_without_alias_or_of_a_stranger_is_not_used_to_call() {
    for known in [true, false] {
        let mut settings = with_carrier(Transport::Tcp);
        if !known {
            settings.known = Known::default();
        }
        let mut bench = Bench::with(settings).await;
        let (_listening, remote) = carrier().await;
        let mut peer = TcpStream::connect(bench.at()).await.unwrap();
        let alias = if known { "" } else { ";alias" };
        peer.write_all(&carried(&format!("127.0.0.1:{}{alias}", remote.port()))).await.unwrap();
        let (flow, _) = bench.packet().await;
        assert_ne!(to(&bench, Transport::Tcp, &peer_at(remote)), Some(flow));
    }
}

#[tokio::test]
async fn a_connection_that_comes_from_the_listening_port_is_used_to_call() {
    let mut bench = Bench::with(with_carrier(Transport::Tcp)).await;
    let mut peer = TcpStream::connect(bench.at()).await.unwrap();
    peer.write_all(&carried("127.0.0.1")).await.unwrap();
    let (flow, _) = bench.packet().await;
    assert_eq!(to(&bench, Transport::Tcp, &peer_at(peer.local_addr().unwrap())), Some(flow));
}

#[tokio::test]
async fn rfc3261_s18_2_2_an_answer_whose_connection_is_gone_goes_to_where_via_says_the_peer_listens() {
    let mut bench = Bench::with(with_carrier(Transport::Tcp)).await;
    let (listening, remote) = carrier().await;
    let via = format!("192.0.2.66:{}", remote.port());
    let mut peer = TcpStream::connect(bench.at()).await.unwrap();
    peer.write_all(&carried(&via)).await.unwrap();
    let (flow, request) = bench.packet().await;
    drop(peer);
    bench.closed().await;
    let text = String::from_utf8(request.to_vec()).unwrap();
    let answer = Bytes::from(text.replace("OPTIONS sip:a@h SIP/2.0", "SIP/2.0 200 OK"));
    bench.net.send(&flow, answer.clone());
    let (mut again, _) = bounded(listening.accept()).await.unwrap();
    assert_eq!(read(&mut again, answer.len()).await, answer);
    let target = format!("OPTIONS sip:a@{remote} SIP/2.0");
    let request = Bytes::from(text.replace("OPTIONS sip:a@h SIP/2.0", &target));
    bench.net.send(&flow, request.clone());
    assert_eq!(read(&mut again, request.len()).await, request, "over the same one");
}

#[tokio::test]
async fn our_connections_are_asked_for_a_sign_of_life() {
    let mut settings = settings(&[(Side::Trunk, Transport::Tcp)]);
    settings.keep_alive = Duration::from_millis(200);
    settings.times.pong = Duration::from_millis(300);
    let mut bench = Bench::with(settings).await;
    let (carrier, remote) = carrier().await;
    let flow = to(&bench, Transport::Tcp, &peer_at(remote)).unwrap();
    bench.net.send(&flow, Bytes::from_static(b"x"));
    let (mut peer, _) = bounded(carrier.accept()).await.unwrap();
    read(&mut peer, 1).await;
    assert_eq!(read(&mut peer, 8).await, b"\r\n\r\n\r\n\r\n", "a peer that never answers is asked again");
    peer.write_all(b"\r\n").await.unwrap();
    // From now on it must answer: one more ping, then the end.
    let said = ended(&mut peer).await;
    assert!(said.ends_with(b"\r\n\r\n") && said.len() <= 12, "{said:?}");
    assert_eq!(bench.closed().await, flow.id);
}

#[tokio::test]
async fn a_trunk_names_its_interface_and_the_address_it_sees() {
    let mut settings = settings(&[]);
    let listen = |transport, at: &str| super::at(Side::Trunk, transport, at.parse().unwrap());
    settings.listen = vec![
        listen(Transport::Udp, "127.0.0.1:0"),
        listen(Transport::Udp, "127.0.0.2:0"),
        listen(Transport::Tcp, "127.0.0.2:0"),
        listen(Transport::Udp, "[::1]:0"),
    ];
    settings.advertise = Some("198.51.100.7".parse().unwrap());
    let bench = Bench::with(settings).await;
    let bound: Vec<_> = bench.net.0.listeners.iter().map(|listener| listener.bound).collect();
    let remote = "192.0.2.9:5060".parse().unwrap();
    let flow = |trunk: Option<&Trunk>, transport| {
        bench.net.flow_to(Side::Trunk, transport, &Peer { remote, name: "h", trunk })
    };
    let advertised = |port| Some(SocketAddr::new("198.51.100.7".parse().unwrap(), port));
    assert_eq!(flow(None, Transport::Udp).map(|flow| flow.local), advertised(bound[0].port()));
    let mut named = trunk("192.0.2.0/24", TrunkTls::default());
    named.interface = Some(bound[1]);
    assert_eq!(flow(Some(&named), Transport::Udp).map(|flow| flow.local), advertised(bound[1].port()));
    assert_eq!(flow(Some(&named), Transport::Tcp).map(|flow| flow.local), advertised(bound[2].port()));
    named.advertise = Some("203.0.113.5".parse().unwrap());
    let seen = flow(Some(&named), Transport::Udp).unwrap().local;
    assert_eq!(seen, SocketAddr::new("203.0.113.5".parse().unwrap(), bound[1].port()));
    named.interface = Some("127.0.0.9:5060".parse().unwrap());
    assert_eq!(flow(Some(&named), Transport::Udp), None, "not by another way than the one named");
    assert_eq!(flow(None, Transport::Tls), None, "no such listener");
    let six = Peer { remote: "[2001:db8::9]:5060".parse().unwrap(), name: "h", trunk: None };
    assert_eq!(bench.net.flow_to(Side::Trunk, Transport::Udp, &six).map(|flow| flow.local), Some(bound[3]));
}

#[tokio::test]
async fn what_comes_from_a_trunk_carries_the_address_the_trunk_sees() {
    let mut known = trunk("127.0.0.2/32", TrunkTls::default());
    known.advertise = Some("203.0.113.5".parse().unwrap());
    let mut settings = settings(&[(Side::Trunk, Transport::Udp)]);
    settings.known = knowing(vec![known]);
    let mut bench = Bench::with(settings).await;
    for (from, sees) in [("127.0.0.2:0", "203.0.113.5"), ("127.0.0.3:0", "127.0.0.1")] {
        let peer = UdpSocket::bind(from).await.unwrap();
        peer.send_to(&message(1), bench.at()).await.unwrap();
        assert_eq!(bench.packet().await.0.local.ip(), sees.parse::<IpAddr>().unwrap());
    }
}

#[tokio::test]
async fn a_listener_on_all_addresses_says_the_one_it_is_reached_at() {
    let mut settings = settings(&[]);
    let any = "0.0.0.0:0".parse().unwrap();
    settings.listen = vec![at(Side::Trunk, Transport::Udp, any), at(Side::Trunk, Transport::Tcp, any)];
    let mut bench = Bench::with(settings).await;
    let ports: Vec<_> = bench.net.listeners().map(|flow| flow.local.port()).collect();
    let peer = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    peer.send_to(&message(1), ("127.0.0.1", ports[0])).await.unwrap();
    assert_eq!(bench.packet().await.0.local, SocketAddr::from(([127, 0, 0, 1], ports[0])));
    let mut peer = TcpStream::connect(("127.0.0.5", ports[1])).await.unwrap();
    peer.write_all(&message(1)).await.unwrap();
    assert_eq!(bench.packet().await.0.local, SocketAddr::from(([127, 0, 0, 5], ports[1])));
}

#[tokio::test]
async fn ipv6_is_served_by_every_transport_beside_ipv4_on_the_same_port() {
    let mut settings = settings(&[]);
    settings.listen = vec![at(Side::Trunk, Transport::Udp, "[::1]:0".parse().unwrap())];
    let mut bench = Bench::with(settings).await;
    let peer = UdpSocket::bind("[::1]:0").await.unwrap();
    peer.send_to(&message(1), bench.at()).await.unwrap();
    let (flow, _) = bench.packet().await;
    assert_eq!(flow.local, bench.at());
    bench.net.send(&flow, Bytes::from_static(b"answer"));
    let mut buffer = [0; 16];
    assert_eq!(bounded(peer.recv_from(&mut buffer)).await.unwrap(), (6, bench.at()));
    let port = bench.at().port();
    let mut both = super::settings(&[]);
    both.listen = vec![
        at(Side::Agent, Transport::Tcp, SocketAddr::new("::".parse().unwrap(), port)),
        at(Side::Agent, Transport::Tcp, SocketAddr::new("0.0.0.0".parse().unwrap(), port)),
    ];
    let mut bench = Bench::with(both).await;
    for at in ["[::1]", "127.0.0.1"] {
        let at: SocketAddr = format!("{at}:{port}").parse().unwrap();
        let mut peer = TcpStream::connect(at).await.unwrap();
        peer.write_all(&message(1)).await.unwrap();
        assert_eq!(bench.packet().await.0.local, at);
    }
}

#[tokio::test]
async fn a_port_in_use_is_named() {
    let bench = Bench::open(Side::Trunk, Transport::Tcp).await;
    let mut again = settings(&[]);
    again.listen = vec![at(Side::Agent, Transport::Tcp, bench.at())];
    let fault = Net::bind(again, CancellationToken::new()).err().unwrap().to_string();
    assert!(fault.starts_with(&format!("cannot listen on tcp:{}: ", bench.at())), "{fault}");
    assert!(fault.contains("in use"), "{fault}");
}
