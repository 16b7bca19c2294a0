//! The edges: who may not call, what is no request, and how the engine goes: draining, and what it tells a script.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};

use crate::rig::{Engine, Peer, folder, free_port, has};

#[test]
fn a_drain_lets_talks_end_turns_new_calls_away_and_passes_emergencies() {
    if !has(&["python3"]) {
        return;
    }
    let dir = folder("drain");
    let desk_at = free_port();
    let mut engine = Engine::small(&dir, &[format!("trunk.desk-second.to=[\"sip:127.0.0.1:{desk_at}\"]")]);
    let at = engine.trunk["udp"];
    let desk_bind = format!("127.0.0.1:{desk_at}");
    let mut desk = Peer::phone(&dir, "110", at, &["--bind", &desk_bind, "--tone", "1300"]);
    let mut agent = Peer::agent(&dir, &engine, "1001", &["--tone", "700"]);
    let mut caller = Peer::phone(&dir, "13804760031", at, &["--tone", "1000"]);
    caller.say(&json!({ "do": "call", "to": format!("sip:12345@{at}") }));
    caller.expect("up");
    agent.expect("up");

    engine.terminate();
    crate::rig::until("the drain is known", || (engine.http("GET", "/readyz", None).0 == 503).then_some(()));
    caller.say(&json!({ "do": "call", "to": format!("sip:12369@{at}") }));
    let refused = caller.expect("refused");
    assert_eq!(refused["status"], 503);
    let seconds = refused["headers"]["retry-after"].as_str().and_then(|value| value.parse::<u32>().ok());
    assert!(seconds.is_some_and(|seconds| seconds > 0), "{refused}");

    caller.say(&json!({ "do": "call", "to": format!("sip:110@{at}") }));
    assert_eq!(desk.expect("ringing")["uri"], format!("sip:110@{desk_bind}"));
    caller.expect("up");
    caller.say(&json!({ "do": "listen", "call": "13804760031-3", "freq": 1300 }));
    caller.expect("heard");
    caller.say(&json!({ "do": "bye", "call": "13804760031-3" }));
    desk.expect("down");

    // The talk goes on as if nothing had been said.
    agent.say(&json!({ "do": "listen", "call": "1001-1", "freq": 1000 }));
    agent.expect("heard");
    assert!(engine.process.is_alive(), "a live call keeps the engine");
    caller.say(&json!({ "do": "bye", "call": "13804760031-1" }));
    agent.expect("down");
    assert_eq!(engine.process.end("the drained engine").code(), Some(0));
}

#[test]
fn a_second_sigterm_ends_at_once() {
    if !has(&["python3"]) {
        return;
    }
    let dir = folder("term-twice");
    let mut engine = Engine::small(&dir, &[]);
    let mut caller = Peer::phone(&dir, "13804760032", engine.trunk["udp"], &[]);
    caller.say(&json!({ "do": "call", "to": format!("sip:12345@{}", engine.trunk["udp"]) }));
    crate::rig::until("the caller waits", || engine.get("/api/v1/calls").get(0).map(|_| ()));
    engine.terminate();
    crate::rig::until("the drain is known", || (engine.http("GET", "/readyz", None).0 == 503).then_some(()));
    engine.terminate();
    assert_eq!(engine.process.end("the engine told twice").code(), Some(0));
}

fn invite(to: SocketAddr, from: SocketAddr, transport: &str, lines: &str) -> String {
    format!(
        "INVITE sip:12345@{to} SIP/2.0\r\nVia: SIP/2.0/{transport} {from};rport;branch=z9hG4bKedge{}\r\n\
         Max-Forwards: 70\r\nFrom: <sip:13804760033@{from}>;tag=e\r\nTo: <sip:12345@{to}>\r\n\
         Contact: <sip:13804760033@{from}>\r\n{lines}\r\nContent-Length: 0\r\n\r\n",
        from.port()
    )
}

fn first_answer(socket: &UdpSocket) -> String {
    let mut buffer = [0; 4_096];
    loop {
        let (length, _) = socket.recv_from(&mut buffer).expect("an answer");
        let text = String::from_utf8_lossy(&buffer[..length]).into_owned();
        if !text.starts_with("SIP/2.0 100 ") {
            return text;
        }
    }
}

fn ask(engine: &Engine, source: &str, lines: &str) -> String {
    let to = engine.trunk["udp"];
    let socket = UdpSocket::bind(source).expect("loopback");
    socket.set_read_timeout(Some(Duration::from_secs(10))).expect("a time-out");
    let from = socket.local_addr().expect("bound");
    socket.send_to(invite(to, from, "UDP", lines).as_bytes(), to).expect("loopback");
    first_answer(&socket)
}

#[test]
fn strangers_get_403_and_the_malformed_400() {
    let dir = folder("edges");
    let engine = Engine::small(&dir, &[]);
    let sound = "Call-ID: edge-1\r\nCSeq: 1 INVITE";
    let stranger = ask(&engine, "127.0.0.7:0", sound);
    assert!(stranger.starts_with("SIP/2.0 403 "), "{stranger}");
    let wrong_method = ask(&engine, "127.0.0.1:0", "Call-ID: edge-2\r\nCSeq: 1 BYE");
    assert!(wrong_method.starts_with("SIP/2.0 400 ") && !wrong_method.starts_with("SIP/2.0 400 Bad Request\r"));
    let no_call_id = ask(&engine, "127.0.0.1:0", "CSeq: 1 INVITE");
    assert!(no_call_id.starts_with("SIP/2.0 400 "), "{no_call_id}");

    // Over TCP, byte by byte, and a stranger's request on the phones' side.
    let to = engine.trunk["tcp"];
    let mut stream = TcpStream::connect(to).expect("the TCP listener");
    stream.set_read_timeout(Some(Duration::from_secs(10))).expect("a time-out");
    let from = stream.local_addr().expect("connected");
    let request = invite(to, from, "TCP", "Call-ID: edge-3\r\nCSeq: 0x1 INVITE");
    for byte in request.bytes() {
        stream.write_all(&[byte]).expect("connected");
    }
    let mut answer = [0; 2_048];
    let length = stream.read(&mut answer).expect("an answer");
    let text = String::from_utf8_lossy(&answer[..length]).into_owned();
    assert!(text.starts_with("SIP/2.0 400 "), "{text}");
    assert_eq!(engine.get("/api/v1/tickets").as_array().map(Vec::len), Some(0), "none of them opened a ticket");
}

fn run(arguments: &[&str]) -> (Option<i32>, Value) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_switch12345"));
    let output = command.current_dir(env!("CARGO_MANIFEST_DIR")).args(arguments).output().expect("the binary");
    (output.status.code(), serde_json::from_slice(&output.stdout).unwrap_or_default())
}

#[test]
fn check_and_route_tell_scripts_by_their_exit_status() {
    let plan = ["--config", "tests/wire/plan/switch.toml", "--json"];
    let (code, checked) = run(&[&["check"], &plan[..]].concat());
    assert_eq!((code, &checked["ok"]), (Some(0), &json!(true)), "{checked}");
    let (code, checked) = run(&[&["check"], &plan[..], &["--set", "trunk.carrier.tenant=\"nowhere\""]].concat());
    assert_eq!((code, &checked["ok"]), (Some(1), &json!(false)), "{checked}");
    let (code, routed) = run(&["route", "+864768337772", "--json"]);
    assert_eq!((code, &routed["number"]), (Some(0), &json!("8337772")));
    assert_eq!(run(&["route"]).0, Some(2), "wrong use");
    assert_eq!(run(&["chekc"]).0, Some(2), "wrong use");
}
