//! Agents' own calls over the wire: to each other, out through the carrier, to 120, and star codes.

use serde_json::{Value, json};

use crate::rig::{Engine, Peer, folder, free_port, has, until};

const FAR: &str = "04768337772";

fn dials(peer: &mut Peer, engine: &Engine, number: &str) {
    peer.say(&json!({ "do": "call", "to": format!("sip:{number}@{}", engine.agent["udp"]) }));
}

fn hears(peer: &mut Peer, call: &str, freq: u32) {
    peer.say(&json!({ "do": "listen", "call": call, "freq": freq }));
    peer.expect("heard");
}

fn shown(ringing: &Value) -> String {
    ringing["headers"].to_string()
}

#[test]
fn agents_call_each_other_and_out_and_say_by_code_what_they_do() {
    if !has(&["python3"]) {
        return;
    }
    let dir = folder("outside");
    let (far_at, desk_at) = (free_port(), free_port());
    let engine = Engine::small(
        &dir,
        &[
            format!("trunk.carrier.to=[\"sip:127.0.0.1:{far_at}\"]"),
            format!("trunk.desk-first.to=[\"sip:127.0.0.1:{desk_at}\"]"),
        ],
    );
    let trunk = engine.trunk["udp"];
    let bind = |port: u16| format!("127.0.0.1:{port}");
    let mut far = Peer::phone(&dir, FAR, trunk, &["--bind", &bind(far_at), "--answer", "100", "--tone", "1300"]);
    let mut desk = Peer::phone(&dir, "120", trunk, &["--bind", &bind(desk_at), "--answer", "100"]);
    let mut one = Peer::agent(&dir, &engine, "1001", &["--tone", "700"]);
    let mut two = Peer::agent(&dir, &engine, "1002", &["--tone", "1000", "--answer", "100"]);

    dials(&mut one, &engine, "1002");
    let ringing = two.expect("ringing");
    assert!(shown(&ringing).contains("sip:1001@"), "{ringing}");
    one.expect("up");
    hears(&mut one, "1001-1", 1_000);
    hears(&mut two, "1002-1", 700);
    engine.await_agent("1002", "talking");
    two.say(&json!({ "do": "bye", "call": "1002-1" }));
    one.expect("down");
    engine.await_quiet();

    dials(&mut one, &engine, "8337772");
    let ringing = far.expect("ringing");
    let headers = shown(&ringing);
    assert!(ringing["uri"].as_str().is_some_and(|uri| uri.starts_with(&format!("sip:{FAR}@"))), "{ringing}");
    assert!(headers.contains("sip:12345@") && !headers.contains("1001"), "{headers}");
    one.expect("up");
    hears(&mut one, "1001-2", 1_300);
    hears(&mut far, &format!("{FAR}-1"), 700);
    far.say(&json!({ "do": "bye", "call": format!("{FAR}-1") }));
    one.expect("down");
    engine.await_quiet();

    dials(&mut one, &engine, "13800001234");
    assert_eq!(one.expect("refused")["status"], 403, "not of his class");
    dials(&mut one, &engine, "120");
    desk.expect("up");
    one.expect("up");
    one.say(&json!({ "do": "bye", "call": "1001-4" }));
    desk.expect("down");
    engine.await_quiet();

    for (code, state) in [("*512", "not_ready"), ("*50", "ready"), ("*54", "logged_out"), ("*53", "ready")] {
        dials(&mut one, &engine, code);
        one.expect("up");
        one.expect("down");
        engine.await_agent("1001", state);
    }
    dials(&mut one, &engine, "*99");
    assert_eq!(one.expect("refused")["status"], 404);
    engine.await_quiet();
    let tickets = engine.get("/api/v1/tickets");
    assert_eq!(tickets.as_array().map(Vec::len), Some(2), "outside and 120: {tickets}");
}

#[test]
fn what_an_agent_chose_outlives_a_restart() {
    if !has(&["python3"]) {
        return;
    }
    let dir = folder("chosen");
    let engine = Engine::small(&dir, &[]);
    let mut one = Peer::agent(&dir, &engine, "1001", &[]);
    dials(&mut one, &engine, "*513");
    one.expect("down");
    engine.await_agent("1001", "not_ready");
    let kept = dir.join("data/chosen.jsonl");
    until("the choice is kept", || std::fs::read_to_string(&kept).ok()?.contains("meeting").then_some(()));
    drop((engine, one));
    let engine = Engine::small(&dir, &[]);
    let mut one = Peer::phone(&dir, "1001", engine.agent["udp"], &["--password", "demo-1001"]);
    one.say(&json!({ "do": "register" }));
    one.expect("registered");
    engine.await_agent("1001", "not_ready");
    let _two = Peer::agent(&dir, &engine, "1002", &[]);
}
