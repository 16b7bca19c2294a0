//! Agents' phones that are busy, dead, late or no longer wanted: the caller is never lost over them.

use serde_json::json;

use crate::rig::{Engine, Peer, folder, has};

const CALLER: &str = "13804760041";

fn dial(engine: &Engine, caller: &mut Peer) {
    caller.say(&json!({ "do": "call", "to": format!("sip:12345@{}", engine.trunk["udp"]) }));
}

#[test]
fn a_caller_who_gives_up_while_a_phone_rings_gets_487_and_the_phone_stops() {
    if !has(&["python3"]) {
        return;
    }
    let dir = folder("give-up");
    let engine = Engine::small(&dir, &[]);
    let mut agent = Peer::agent(&dir, &engine, "1001", &["--answer", "ring"]);
    let mut caller = Peer::phone(&dir, CALLER, engine.trunk["udp"], &[]);
    dial(&engine, &mut caller);
    assert_eq!(caller.expect("progress")["status"], 180);
    agent.expect("ringing");
    caller.say(&json!({ "do": "bye", "call": format!("{CALLER}-1") }));
    assert_eq!(caller.expect("refused")["status"], 487);
    assert_eq!(agent.expect("down")["by"], "cancel");
    engine.await_agent("1001", "ready");
    engine.await_quiet();
}

#[test]
fn a_busy_phone_a_dead_phone_and_a_late_phone_cost_nobody_his_call() {
    if !has(&["python3"]) {
        return;
    }
    let dir = folder("phones");
    let engine = Engine::small(&dir, &[]);
    let mut busy = Peer::agent(&dir, &engine, "1001", &["--answer", "status:486"]);
    let mut other = Peer::agent(&dir, &engine, "1002", &["--tone", "700"]);
    let mut caller = Peer::phone(&dir, CALLER, engine.trunk["udp"], &[]);
    let hang_up = |nth: u32| json!({ "do": "bye", "call": format!("{CALLER}-{nth}") });
    dial(&engine, &mut caller);
    caller.expect("up");
    other.expect("up");
    caller.say(&hang_up(1));
    other.expect("down");

    // Nobody answers: one phone is dead, the other signed off. The caller waits, answered, until one comes back.
    busy.process.kill();
    other.say(&json!({ "do": "unregister" }));
    other.expect("unregistered");
    dial(&engine, &mut caller);
    caller.expect("up");
    let calls = engine.get("/api/v1/calls");
    assert!(calls.as_array().is_some_and(|calls| calls.iter().any(|call| call["phase"] == "queueing")), "{calls}");
    other.say(&json!({ "do": "register" }));
    other.expect("up");
    caller.say(&json!({ "do": "listen", "call": format!("{CALLER}-2"), "freq": 700 }));
    caller.expect("heard");
    caller.say(&hang_up(2));
    other.expect("down");
    engine.await_quiet();
}
