//! WebSockets: who is let in, one SIP message in each message, and everything over the same flow.

use futures_util::{SinkExt as _, StreamExt as _};
use rustls::pki_types::ServerName;
use rustls::pki_types::pem::PemObject as _;
use tokio_rustls::TlsConnector;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::protocol::Message as Web;
use tokio_tungstenite::tungstenite::{Error, Utf8Bytes};

use super::*;

type Page<S> = Result<WebSocketStream<S>, u16>;

/// Opens a WebSocket as a page does; the HTTP status when it is refused.
async fn page<S>(stream: S, protocol: Option<&str>, origin: Option<&str>) -> Page<S>
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
{
    let mut request = "ws://127.0.0.1/any/path".into_client_request().unwrap();
    for (name, value) in [("Sec-WebSocket-Protocol", protocol), ("Origin", origin)] {
        if let Some(value) = value {
            request.headers_mut().insert(name, HeaderValue::from_str(value).unwrap());
        }
    }
    match bounded(tokio_tungstenite::client_async(request, stream)).await {
        Ok((page, response)) => {
            assert_eq!(response.headers().get("Sec-WebSocket-Protocol").unwrap(), "sip");
            Ok(page)
        }
        Err(Error::Http(refused)) => Err(refused.status().as_u16()),
        Err(other) => panic!("{other}"),
    }
}

async fn open(bench: &Bench) -> WebSocketStream<TcpStream> {
    let stream = TcpStream::connect(bench.at()).await.unwrap();
    page(stream, Some("sip"), None).await.unwrap()
}

async fn next(page: &mut WebSocketStream<TcpStream>) -> Web {
    bounded(page.next()).await.unwrap().unwrap()
}

fn text(bytes: &[u8]) -> Web {
    Web::Text(Utf8Bytes::try_from(Bytes::copy_from_slice(bytes)).unwrap())
}

#[tokio::test]
async fn each_message_is_one_sip_message_and_answers_go_over_the_same_flow() {
    let mut bench = Bench::open(Side::Agent, Transport::Ws).await;
    let mut page = open(&bench).await;
    page.send(text(&message(1))).await.unwrap();
    let (flow, bytes) = bench.packet().await;
    assert_eq!((flow.transport, &bytes[..]), (Transport::Ws, &message(1)[..]));
    // Without Content-Length, and with octets that are no UTF-8.
    let odd = b"OPTIONS sip:a@h SIP/2.0\r\nSubject: \xd6\xd0\r\n\r\nbody";
    page.send(Web::Binary(Bytes::from_static(odd))).await.unwrap();
    assert_eq!(bench.packet().await, (flow, Bytes::from_static(odd)));
    bench.net.send(&flow, Bytes::from_static(b"SIP/2.0 200 OK\r\n\r\n"));
    assert_eq!(next(&mut page).await, text(b"SIP/2.0 200 OK\r\n\r\n"));
    bench.net.send_for_call(&flow, Bytes::from_static(odd));
    assert_eq!(next(&mut page).await, Web::Binary(Bytes::from_static(odd)));
    drop(page);
    assert_eq!(bench.event().await, NetEvent::Closed { flow: flow.id, carried_calls: true });
    assert_eq!(bench.count(|net| &net.framing_faults), 0, "who is gone has broken nothing");
    assert_eq!(bench.net.flow_to(Side::Agent, Transport::Ws, &peer_at(flow.remote)), None, "nobody is called by it");
}

#[tokio::test]
async fn a_message_in_several_frames_is_one_message() {
    use tokio_tungstenite::tungstenite::protocol::frame::Frame;
    use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};
    let mut bench = Bench::open(Side::Agent, Transport::Ws).await;
    let mut page = open(&bench).await;
    let whole = message(1);
    let (first, rest) = whole.split_at(20);
    let frame = |part: &[u8], code, last| Web::Frame(Frame::message(part.to_vec(), OpCode::Data(code), last));
    page.send(frame(first, Data::Text, false)).await.unwrap();
    page.send(frame(rest, Data::Continue, true)).await.unwrap();
    assert_eq!(bench.packet().await.1, whole);
}

#[tokio::test]
async fn the_sub_protocol_is_wanted_and_origins_where_they_are_listed() {
    let status = async |bench: &Bench, protocol, origin| {
        let stream = TcpStream::connect(bench.at()).await.unwrap();
        page(stream, protocol, origin).await.map(drop)
    };
    let bench = Bench::open(Side::Agent, Transport::Ws).await;
    assert_eq!(status(&bench, Some("sip"), Some("https://anywhere.example")).await, Ok(()));
    assert_eq!(status(&bench, Some("chat"), None).await, Err(400));
    assert_eq!(status(&bench, None, None).await, Err(400));
    let listed = Known { ws_origins: ["https://desk.example".to_owned()].into(), ..Known::default() };
    bench.net.apply(listed).await;
    assert_eq!(status(&bench, Some("sip"), Some("https://desk.example")).await, Ok(()));
    assert_eq!(status(&bench, Some("sip"), Some("https://anywhere.example")).await, Err(403));
    assert_eq!(status(&bench, Some("sip"), None).await, Err(403));
    assert_eq!(bench.count(|net| &net.handshakes_failed), 4);
}

#[tokio::test]
async fn rfc7118_s6_keep_alives_are_answered_and_ours_are_pings() {
    let mut settings = settings(&[(Side::Agent, Transport::Ws)]);
    settings.keep_alive = Duration::from_millis(300);
    settings.times.pong = Duration::from_millis(300);
    let mut bench = Bench::with(settings).await;
    let mut page = open(&bench).await;
    page.send(text(b"\r\n\r\n")).await.unwrap();
    assert_eq!(next(&mut page).await, text(b"\r\n"));
    page.send(Web::Ping(Bytes::from_static(b"there?"))).await.unwrap();
    assert_eq!(next(&mut page).await, Web::Pong(Bytes::from_static(b"there?")));
    for _ in 0..3 {
        // Reading answers it.
        assert_eq!(next(&mut page).await, Web::Ping(Bytes::new()));
    }
    page.send(text(&message(1))).await.unwrap();
    let (flow, _) = bench.packet().await;
    assert_eq!(bench.closed().await, flow.id, "nobody reads, so nobody answers");
}

#[tokio::test]
async fn a_message_above_the_limit_ends_the_connection() {
    let mut bench = Bench::open(Side::Agent, Transport::Ws).await;
    let mut page = open(&bench).await;
    let _ = page.send(Web::Binary(Bytes::from(vec![b'x'; 66_000]))).await;
    bench.closed().await;
    assert_eq!(bench.count(|net| &net.framing_faults), 1);
}

#[tokio::test]
async fn a_frame_that_drips_in_is_not_waited_for() {
    let mut settings = settings(&[(Side::Agent, Transport::Ws)]);
    settings.times.rest = Duration::from_millis(300);
    let mut bench = Bench::with(settings).await;
    let mut page = open(&bench).await;
    page.send(text(&message(1))).await.unwrap();
    bench.packet().await;
    // A masked binary frame of 100 octets that never comes whole.
    let mut stream = page.into_inner();
    stream.write_all(&[0x82, 0x80 | 100, 1, 2, 3, 4, b'x']).await.unwrap();
    bench.closed().await;
    ended(&mut stream).await;
}

#[tokio::test]
async fn junk_in_place_of_a_handshake_ends_it() {
    let bench = Bench::open(Side::Agent, Transport::Ws).await;
    let mut peer = TcpStream::connect(bench.at()).await.unwrap();
    peer.write_all(&message(1)).await.unwrap();
    ended(&mut peer).await;
    until(|| bench.count(|net| &net.handshakes_failed) == 1).await;
    let mut endless = TcpStream::connect(bench.at()).await.unwrap();
    let _ = endless.write_all(&[&b"GET / HTTP/1.1\r\n"[..], &b"X: y\r\n".repeat(20_000)].concat()).await;
    ended(&mut endless).await;
    until(|| bench.count(|net| &net.handshakes_failed) == 2).await;
}

#[tokio::test]
async fn a_secure_web_socket_is_served_with_the_same_certificate() {
    let folder = Folder::new();
    let mut settings = settings(&[(Side::Agent, Transport::Wss)]);
    let files = certificate::generated(&folder.0, &[]).unwrap();
    let mut roots = rustls::RootCertStore::empty();
    roots.add(rustls::pki_types::CertificateDer::from_pem_file(&files.certificate).unwrap()).unwrap();
    settings.known.tls = Some(files);
    let mut bench = Bench::with(settings).await;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let stream = TcpStream::connect(bench.at()).await.unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    let stream = bounded(TlsConnector::from(Arc::new(config)).connect(name, stream)).await.unwrap();
    let mut page = page(stream, Some("xmpp, sip"), None).await.unwrap();
    page.send(text(&message(1))).await.unwrap();
    let (flow, bytes) = bench.packet().await;
    assert_eq!((flow.transport, &bytes[..]), (Transport::Wss, &message(1)[..]));
    bench.net.send(&flow, Bytes::from_static(b"answer"));
    assert_eq!(bounded(page.next()).await.unwrap().unwrap(), text(b"answer"));
}
