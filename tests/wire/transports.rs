//! Phones that come by TCP, TLS and WebSocket, and a flood beside them.

use std::fs;
use std::path::PathBuf;

use serde_json::json;

use crate::rig::{Engine, Peer, folder, has, until};
use crate::sound::{baresip, heard};

const CALLER: &str = "13804760051";
/// Every transport, on free ports.
const ALL: &str = "sip.agent_listen=[\"udp:127.0.0.1:0\",\"tcp:127.0.0.1:0\",\"tls:127.0.0.1:0\",\"ws:127.0.0.1:0\",\
                   \"wss:127.0.0.1:0\"]";

/// The caller reaches the agent 1001, hears his tone, and hangs up.
fn talks(engine: &Engine, caller: &mut Peer, nth: u32) {
    let call = format!("{CALLER}-{nth}");
    caller.say(&json!({ "do": "call", "to": format!("sip:12345@{}", engine.trunk["udp"]) }));
    caller.expect("up");
    caller.say(&json!({ "do": "listen", "call": call, "freq": 700 }));
    caller.expect("heard");
    caller.say(&json!({ "do": "bye", "call": call }));
    caller.expect("down");
}

#[test]
fn an_agent_takes_calls_over_tcp_tls_and_web_sockets_by_the_connection_he_opened() {
    if !has(&["python3"]) {
        return;
    }
    let dir = folder("links");
    let engine = Engine::small(&dir, &[ALL.to_owned()]);
    let mut caller = Peer::phone(&dir, CALLER, engine.trunk["udp"], &["--tone", "1000"]);
    for (nth, transport) in (1..).zip(["tcp", "tls", "ws", "wss"]) {
        let mut agent = Peer::agent_over(transport, &dir, &engine, "1001", &["--tone", "700"]);
        agent.say(&json!({ "do": "options" }));
        assert_eq!(agent.expect("answered")["status"], 200, "{transport}");
        talks(&engine, &mut caller, nth);
        // The BYE came by his connection.
        assert_eq!(agent.expect("down")["by"], "them", "{transport}");
        engine.await_quiet();
        agent.process.kill();
        engine.await_agent("1001", "unreachable");
    }
}

#[test]
fn baresip_serves_as_an_agent_over_tls() {
    if !has(&["python3", "baresip"]) {
        return;
    }
    let dir = folder("baresip-tls");
    let engine = Engine::small(&dir, &[ALL.to_owned()]);
    let _agent = baresip(&dir, &engine, "1001", "tls", 700.0);
    engine.await_agent("1001", "ready");
    let mut caller = Peer::phone(&dir, CALLER, engine.trunk["udp"], &["--tone", "1000"]);
    talks(&engine, &mut caller, 1);
    until("baresip has written 1,000 Hz", || {
        let files = fs::read_dir(dir.join("baresip")).ok()?.filter_map(Result::ok).map(|entry| entry.path());
        let mut decoded: Vec<PathBuf> = files.filter(|path| path.to_string_lossy().ends_with("-dec.wav")).collect();
        decoded.pop().filter(|path| heard(path, 1_000.0) >= 100)
    });
    engine.await_quiet();
}
