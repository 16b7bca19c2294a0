//! Many messages: what is refused keeps nothing, what is kept is small and goes in time, and others are still served.

use std::time::Duration;

use switch12345::base::flow::Side;
use switch12345::switch::words::Counted;

use crate::engine::{Engine, Tables, udp};
use crate::rfc3665::{ALICE, BOB, alice, at, engine, talking};
use crate::wire::{Talk, authorization, read};

const MANY: u32 = 100_000;
const STRANGER: &str = "203.0.113.66:5060";

/// Resident memory of this process in bytes; `None` where it cannot be told, or other tests run beside this one.
fn resident() -> Option<usize> {
    std::env::var("RUST_TEST_THREADS").ok().filter(|threads| threads == "1")?;
    let text = std::fs::read_to_string("/proc/self/statm").ok()?;
    text.split(' ').nth(1)?.parse::<usize>().ok().map(|pages| pages * 4_096)
}

/// An INVITE of a stranger; only names and numbers differ.
fn strange(method: &str, nth: u32) -> String {
    let mut talk = Talk::caller(udp(Side::Trunk, STRANGER), "12345", &format!("s{nth}"));
    talk.request(method, "", "")
}

/// What one address may draw at once.
const BURST: u32 = 4_000;

/// Tells how many were answered; the others are counted and hear nothing.
fn flood(engine: &mut Engine, side: Side, source: &str, method: &str, count: u32, wanted: u16) -> u32 {
    let flow = udp(side, source);
    let throttled = |engine: &Engine| engine.counted.get(&Counted::Throttled).copied().unwrap_or_default();
    let before = throttled(engine);
    let mut silent = 0;
    for nth in 0..count {
        engine.receive(flow, strange(method, nth));
        match engine.wire.pop_front() {
            Some((to, bytes)) => {
                assert_eq!(to, flow);
                assert!(
                    bytes.starts_with(format!("SIP/2.0 {wanted} ").as_bytes()),
                    "{}",
                    String::from_utf8_lossy(&bytes)
                );
            }
            None => silent += 1,
        }
        assert!(engine.wire.is_empty());
    }
    assert_eq!(throttled(engine) - before, u64::from(silent));
    count - silent
}

#[test]
fn invites_from_an_unknown_source_are_answered_without_state() {
    let mut engine = engine();
    engine.logging = false;
    let before = engine.tables();
    assert_eq!(flood(&mut engine, Side::Trunk, STRANGER, "INVITE", 1_000, 403), 1_000);
    let memory = resident();
    assert_eq!(flood(&mut engine, Side::Trunk, STRANGER, "INVITE", MANY, 403), BURST - 1_000);
    assert_eq!(engine.tables(), before);
    if let (Some(before), Some(after)) = (memory, resident()) {
        assert!(after.saturating_sub(before) < 8 << 20, "grew by {} octets", after - before);
    }
    assert_eq!(engine.counted.get(&Counted::UnknownSource), Some(&u64::from(BURST)));
}

#[test]
fn unproven_phones_and_requests_outside_of_calls_keep_nothing() {
    let mut engine = engine();
    engine.logging = false;
    let before = engine.tables();
    let kinds = [("INVITE", 401), ("REGISTER", 401), ("OPTIONS", 200), ("BYE", 481), ("NONSENSE", 501)];
    for (nth, (method, wanted)) in kinds.into_iter().enumerate() {
        let source = format!("10.8.7.{}:5060", nth + 7);
        assert_eq!(flood(&mut engine, Side::Agent, &source, method, 5_000, wanted), BURST, "{method}");
    }
    assert_eq!(engine.tables(), before);
}

#[test]
fn an_answered_register_costs_less_than_a_kilobyte_and_is_forgotten_in_time() {
    let mut engine = Engine::new(1);
    engine.logging = false;
    let flow = udp(Side::Agent, BOB);
    let mut phone = Talk::caller(flow, "1001", "reg");
    (phone.own, phone.theirs) = ("<sip:1001@phones>".to_owned(), "<sip:1001@phones>".to_owned());
    phone.target = "sip:10.0.0.1:5062".to_owned();
    let mut register = |engine: &mut Engine| {
        let first = phone.request("REGISTER", "", "");
        engine.receive(flow, first.clone());
        let challenge = engine.expect(at(BOB), &["401 REGISTER"]).remove(0);
        let proof = authorization(&challenge, &read(first), "1001");
        let again = phone.request("REGISTER", &proof, "");
        engine.receive(flow, again);
        engine.expect(at(BOB), &["200 REGISTER"]);
    };
    for _ in 0..200 {
        register(&mut engine);
    }
    let memory = resident();
    let count = 4_000;
    for _ in 0..count {
        register(&mut engine);
    }
    assert_eq!(engine.switch.desk().remembered(), 200 + count);
    if let (Some(before), Some(after)) = (memory, resident()) {
        let each = after.saturating_sub(before) / count;
        assert!(each < 1_024, "{each} octets each");
    }
    engine.run_for(Duration::from_secs(32));
    assert_eq!(engine.switch.desk().remembered(), 0, "64·T1 later");
}

#[test]
fn an_unfinished_request_in_a_dialog_costs_less_than_a_kilobyte_and_is_forgotten_in_time() {
    let mut engine = engine();
    let (mut alice, _) = talking(&mut engine);
    engine.run_for(Duration::from_secs(40));
    let size = |engine: &Engine| serde_json::to_string(engine.call()).expect("a call can be stored").len();
    let (before, quiet) = (size(&engine), engine.call().clone());
    let count = 30;
    for _ in 0..count {
        let question = alice.request("OPTIONS", "", "");
        engine.receive(alice.flow, question);
        engine.expect(at(ALICE), &["200 OPTIONS"]);
    }
    // As text, in which an octet of an answer takes up to four characters.
    let each = (size(&engine) - before) / count / 4;
    assert!(each < 1_024, "{each} octets each");
    engine.run_for(Duration::from_secs(32));
    assert!(size(&engine) <= before + 16, "gone 64·T1 later");
    assert_eq!(engine.call().control(), quiet.control());
}

#[test]
fn more_requests_in_a_dialog_than_are_served_at_once_are_refused_and_bye_is_not() {
    let mut engine = engine();
    let (mut alice, _) = talking(&mut engine);
    let mut refused = 0;
    for _ in 0..1_000 {
        let question = alice.request("OPTIONS", "", "");
        engine.receive(alice.flow, question);
        let answer = engine.sent_to(at(ALICE)).remove(0);
        refused += usize::from(answer.status() == Some(503));
    }
    assert!(refused > 900, "{refused}");
    let bye = alice.request("BYE", "", "");
    engine.receive(alice.flow, bye);
    engine.expect(at(ALICE), &["200 BYE"]);
}

#[test]
fn a_flood_from_one_address_leaves_others_served() {
    let mut engine = engine();
    for (side, method) in [(Side::Trunk, "INVITE"), (Side::Agent, "REGISTER"), (Side::Agent, "INVITE")] {
        let wanted = if side == Side::Trunk { 403 } else { 401 };
        flood(&mut engine, side, STRANGER, method, 4_096, wanted);
    }
    assert!(engine.counted.contains_key(&Counted::Throttled));
    let mut alice = Talk::caller(alice(), "12369", "a");
    engine.receive(alice.flow, alice.invite());
    engine.expect(at(ALICE), &["100 INVITE"]);
    engine.expect(at(BOB), &["INVITE"]);
}

#[test]
fn a_request_that_came_by_two_ways_is_answered_482_and_the_first_goes_on() {
    let mut engine = engine();
    let mut alice = Talk::caller(alice(), "12369", "a");
    let invite = alice.invite();
    engine.receive(alice.flow, invite.clone());
    engine.expect(at(ALICE), &["100 INVITE"]);
    let call = engine.call().clone();
    for nth in 0..50 {
        let other = udp(Side::Trunk, &format!("10.1.0.{}:5060", 100 + nth));
        engine.receive(other, invite.replace(&alice.branch, &format!("z9hG4bKfork{nth}")));
        engine.expect(other.remote, &["482 INVITE"]);
    }
    assert_eq!(*engine.call(), call);
}

#[test]
fn calls_given_up_at_once_leave_nothing_but_their_tickets() {
    let mut engine = engine();
    engine.logging = false;
    let rounds = 20;
    for round in 0..rounds {
        for nth in 0..50 {
            let mut caller = Talk::caller(alice(), "12369", &format!("r{round}n{nth}"));
            engine.receive(caller.flow, caller.invite());
            let cancel = caller.request("CANCEL", "", "");
            engine.receive(caller.flow, cancel);
        }
        engine.wire.clear();
        engine.run_for(Duration::from_secs(70));
        engine.wire.clear();
        let tables = engine.tables();
        assert_eq!(tables, Tables { answered_registers: tables.answered_registers, ..Tables::default() });
    }
    assert_eq!(engine.journal.len(), rounds * 50);
}
