//! The whole engine in one process: real sockets on loopback, a store in a directory of its own, a caller and an API
//! client that read bytes. Every wait is for an event and bounded.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use bytes::Bytes;
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpStream, UdpSocket};

use super::{Engine, start};
use crate::plan::load::{Files, Request, load};
use crate::plan::model::Plan;
use crate::sip::message::{Message, Method, Name};

mod api;
mod draining;
mod listening;
mod numbers;
pub(super) mod panics;
mod strangers;

const BOUND: Duration = Duration::from_secs(15);

const PLACE: &str = r#"
[tenant]
name = "p"
title = "某市"
line_name = "某市12345政务服务便民热线"
area = "0476"
main_queue = "main"

[prompts]
greeting = ""

[[queue]]
name = "main"

[[emergency]]
number = "120"
name = "120急救中心"
routes = [{ trunk = "desk", number = "120" }]
[[emergency]]
number = "110"
name = "110报警中心"
routes = [{ trunk = "desk", number = "110" }]
[[emergency]]
number = "119"
name = "119消防"
routes = [{ trunk = "desk", number = "119" }]
[[emergency]]
number = "122"
name = "122交警"
routes = [{ trunk = "desk", number = "122" }]

[[hotline]]
number = "12345"
"#;

struct Memory(BTreeMap<&'static str, String>);

impl Files for Memory {
    fn read(&self, path: &str) -> Result<String, String> {
        self.0.get(path).cloned().ok_or_else(|| format!("no {path}"))
    }

    fn list(&self, _directory: &str) -> Result<Vec<String>, String> {
        Ok(vec!["dialplans/p.toml".to_owned()])
    }
}

async fn bounded<T>(event: impl Future<Output = T>) -> T {
    tokio::time::timeout(BOUND, event).await.expect("in time")
}

struct House {
    engine: Option<Engine>,
    dir: PathBuf,
    sip: SocketAddr,
    http: SocketAddr,
    token: String,
    plan: Arc<Plan>,
    /// Where emergency calls go; silent unless asked.
    desk: UdpSocket,
}

impl Drop for House {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}

impl House {
    async fn open(set: &[&str]) -> Self {
        static NTH: AtomicU32 = AtomicU32::new(0);
        let nth = NTH.fetch_add(1, Ordering::Relaxed);
        let dir = std::env::temp_dir().join(format!("switch12345-engine-{}-{nth}", std::process::id()));
        let desk = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let port = 20_000 + 200 * nth;
        let config = format!(
            "data_dir = \"{}\"\n[sip]\ntrunk_listen = [\"udp:127.0.0.1:0\", \"tcp:127.0.0.1:0\"]\n\
             agent_listen = [\"udp:127.0.0.1:0\"]\n[http]\nlisten = \"127.0.0.1:0\"\n\
             [media]\nports = \"{port}-{}\"\nworkers = 1\nemergency_pairs = 4\n\
             [trunk.carrier]\ntenant = \"p\"\narea = \"0476\"\nfrom = [\"127.0.0.0/8\"]\nto = [\"sip:127.0.0.1:9\"]\n\
             [trunk.desk]\ntenant = \"p\"\nto = [\"sip:{}\"]\nemergency = true\n",
            dir.display(),
            port + 199,
            desk.local_addr().unwrap()
        );
        let agents = "[[agent]]\nid = \"1001\"\ntenant = \"p\"\npassword = \"x1001y\"\nqueues = [\"main\"]\n";
        let files = Memory(BTreeMap::from([
            ("config/switch.toml", config),
            ("config/agents.toml", agents.to_owned()),
            ("dialplans/p.toml", PLACE.to_owned()),
        ]));
        let set: Vec<String> = set.iter().map(|one| (*one).to_owned()).collect();
        let wall = "2026-11-20T02:00:00Z".parse().unwrap();
        let loaded = load(&files, &Request { config: "config/switch.toml", set: &set, overlays: &[], wall });
        let faults = loaded.diagnostics.iter().map(|fault| loaded.sources.render(fault, false)).collect::<String>();
        let plan = loaded.plan.unwrap_or_else(|| panic!("{faults}"));
        let engine = start(Arc::clone(&plan)).await.unwrap();
        let listeners = engine.listeners();
        let sip = listeners.iter().find_map(|at| at.strip_prefix("trunk udp:")).unwrap().parse().unwrap();
        let token = std::fs::read_to_string(engine.token_file()).unwrap().trim().to_owned();
        Self { sip, http: engine.http(), token, plan, dir, desk, engine: Some(engine) }
    }

    fn engine(&self) -> &Engine {
        self.engine.as_ref().unwrap()
    }

    /// One HTTP exchange; the whole answer's status and body.
    async fn http(&self, method: &str, path: &str, headers: &str, body: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(self.http).await.unwrap();
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n{headers}Content-Length: {}\r\n\r\n{body}",
            body.len()
        );
        // A body over the limit may be refused before it was read whole.
        let _ = stream.write_all(request.as_bytes()).await;
        let mut answer = Vec::new();
        let _ = bounded(stream.read_to_end(&mut answer)).await;
        let answer = String::from_utf8(answer).unwrap();
        let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
        let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_default();
        let chunked = head.to_ascii_lowercase().contains("transfer-encoding: chunked");
        let body = if chunked { body.lines().skip(1).step_by(2).collect() } else { body.to_owned() };
        (status, body)
    }

    async fn api(&self, method: &str, path: &str, body: &str) -> (u16, Value) {
        let headers = format!("Authorization: Bearer {}\r\nContent-Type: application/json\r\n", self.token);
        let (status, body) = self.http(method, &format!("/api/v1{path}"), &headers, body).await;
        (status, serde_json::from_str(&body).unwrap_or(Value::Null))
    }

    async fn look(&self, path: &str) -> Value {
        let (status, value) = self.api("GET", path, "").await;
        assert_eq!(status, 200, "{path}: {value}");
        value
    }

    /// Looks again until it is as wanted.
    async fn look_until(&self, path: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        bounded(async {
            loop {
                let value = self.look(path).await;
                if wanted(&value) {
                    return value;
                }
            }
        })
        .await
    }

    /// Stops the engine and starts another over the same directory.
    async fn restart(&mut self) {
        if let Some(engine) = self.engine.take() {
            bounded(engine.stop()).await;
        }
        let engine = start(Arc::clone(&self.plan)).await.unwrap();
        self.http = engine.http();
        self.engine = Some(engine);
    }

    async fn close(mut self) {
        if let Some(engine) = self.engine.take() {
            bounded(engine.stop()).await;
        }
    }
}

/// A citizen's phone behind the carrier.
struct Caller {
    socket: UdpSocket,
    to: SocketAddr,
    named: String,
    number: &'static str,
    tag: String,
}

impl Caller {
    async fn calls(house: &House, number: &'static str, named: &str) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let caller = Self { socket, to: house.sip, named: named.to_owned(), number, tag: String::new() };
        let port = caller.socket.local_addr().unwrap().port();
        let sdp = "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n\
                   m=audio 40000 RTP/AVP 8 101\r\na=rtpmap:101 telephone-event/8000\r\n";
        let contact = format!("Contact: <sip:c@127.0.0.1:{port}>\r\nContent-Type: application/sdp\r\n");
        caller.send("INVITE", 1, &contact, sdp).await;
        caller
    }

    async fn send(&self, method: &str, cseq: u32, lines: &str, body: &str) {
        let (named, number, at) = (&self.named, self.number, self.socket.local_addr().unwrap());
        let unique = if method == "ACK" { "-ack" } else { "" };
        let text = format!(
            "{method} sip:{number}@{} SIP/2.0\r\nVia: SIP/2.0/UDP {at};branch=z9hG4bK{named}{cseq}{unique}\r\n\
             From: <sip:13912345678@127.0.0.1>;tag=f\r\nTo: <sip:{number}@127.0.0.1>{}\r\nCall-ID: {named}\r\n\
             CSeq: {cseq} {method}\r\nMax-Forwards: 70\r\n{lines}Content-Length: {}\r\n\r\n{body}",
            self.to,
            self.tag,
            body.len()
        );
        self.socket.send_to(text.as_bytes(), self.to).await.unwrap();
    }

    async fn receive(&self) -> Message {
        let mut buffer = vec![0; 65_535];
        let (length, _) = bounded(self.socket.recv_from(&mut buffer)).await.unwrap();
        Message::datagram(Bytes::copy_from_slice(&buffer[..length])).unwrap()
    }

    async fn status(&self, wanted: u16) -> Message {
        loop {
            let message = self.receive().await;
            match message.status() {
                Some(status) if status == wanted => return message,
                Some(status) if status >= 200 => panic!("{status} instead of {wanted}"),
                _ => {}
            }
        }
    }

    /// Takes the 200 and acknowledges it.
    async fn talks(&mut self) {
        let answer = self.status(200).await;
        self.tag = format!(";tag={}", String::from_utf8_lossy(answer.to_tag().unwrap()));
        self.send("ACK", 1, "", "").await;
    }

    /// Waits for a BYE and grants it; returns its Reason.
    async fn hung_up(&self) -> String {
        loop {
            let message = self.receive().await;
            if message.is(&Method::Bye) {
                let answer = crate::sip::print::Draft::response(&message, 200, None).finish();
                self.socket.send_to(answer.bytes(), self.to).await.unwrap();
                let reason = message.header(Name::Reason).unwrap_or_default();
                return String::from_utf8_lossy(reason).into_owned();
            }
        }
    }
}
