//! Races between two legs and between a call and a registration (RFC 5407 and its like), through the whole engine.
//!
//! The races inside one leg are tested beside it; here the same instant is met by the call, the queue and the switch.

use std::time::Duration;

use switch12345::event::call::Happening;
use switch12345::sip::message::Name;

use crate::engine::{Engine, udp};
use crate::rfc3665::{ALICE, BOB, alice_hangs_up, at, bob, ends_clean, engine, ringing, talking, text};
use crate::wire::{Talk, sdp_with, words};
use switch12345::base::flow::Side;

fn cancel_of(alice: &Talk) -> String {
    let mut cancelling = alice.clone();
    cancelling.target = format!("sip:{}@10.0.0.1:5060", alice.number);
    cancelling.request("CANCEL", "", "")
}

#[test]
fn rfc5407_3_1_2_a_cancel_crosses_the_agents_200_before_it_reached_us() {
    // The CANCEL is first: Alice gets 487, and Bob's 200, which crosses our CANCEL, is acknowledged and hung up.
    let mut engine = engine();
    let (alice, bob, invite) = ringing(&mut engine);
    engine.receive(alice.flow, cancel_of(&alice));
    let sent = engine.expect(at(ALICE), &["200 CANCEL", "487 INVITE"]);
    engine.receive(alice.flow, alice.ack_refusal(&sent[1]));
    let cancel = engine.expect(at(BOB), &["CANCEL"]).remove(0);
    engine.receive(bob.flow, bob.accept(&invite));
    let sent = engine.expect(at(BOB), &["ACK", "BYE"]);
    engine.receive(bob.flow, bob.answer(&cancel, 200, "", ""));
    engine.receive(bob.flow, bob.answer(&sent[1], 200, "", ""));
    engine.expect_silence();
    ends_clean(&mut engine);
    assert_eq!(engine.count(|what| matches!(what, Happening::Answered { .. })), 0);
}

#[test]
fn rfc5407_3_1_2_a_cancel_after_our_200_changes_nothing() {
    // The 200 is first: the CANCEL finds a transaction that is over; it is answered, and the talk goes on.
    let mut engine = engine();
    let (mut alice, bob, invite) = ringing(&mut engine);
    engine.receive(bob.flow, bob.accept(&invite));
    engine.expect(at(BOB), &["ACK"]);
    let ok = engine.expect(at(ALICE), &["200 INVITE"]).remove(0);
    engine.receive(alice.flow, cancel_of(&alice));
    engine.expect(at(ALICE), &["200 CANCEL"]);
    engine.expect_silence();
    alice.learn(&ok);
    let ack = alice.ack("");
    engine.receive(alice.flow, ack);
    alice_hangs_up(&mut engine, &mut alice, &bob);
    assert_eq!(engine.count(|what| matches!(what, Happening::Answered { .. })), 1);
}

#[test]
fn a_caller_who_cancels_and_calls_again_at_once_has_two_calls_and_two_tickets() {
    let mut engine = engine();
    let (first, bob, invite) = ringing(&mut engine);
    engine.receive(first.flow, cancel_of(&first));
    let sent = engine.expect(at(ALICE), &["200 CANCEL", "487 INVITE"]);
    engine.receive(first.flow, first.ack_refusal(&sent[1]));
    let mut second = Talk::caller(first.flow, "12369", "again");
    engine.receive(second.flow, second.invite());
    let cancel = engine.sent_to(at(BOB)).remove(0);
    engine.receive(bob.flow, bob.answer(&cancel, 200, "", ""));
    engine.receive(bob.flow, bob.answer(&invite, 487, "", ""));
    engine.run_for(Duration::from_secs(1));
    let to_bob = engine.sent_to(at(BOB));
    assert!(words(&to_bob).contains(&"INVITE".to_owned()), "{:?}\n{}", words(&to_bob), engine.story());
    engine.receive(second.flow, cancel_of(&second));
    let sent = engine.sent_to(at(ALICE));
    let last = sent.last().expect("487");
    engine.receive(second.flow, second.ack_refusal(last));
    engine.run_for(Duration::from_secs(70));
    assert_eq!(engine.count(|what| matches!(what, Happening::Started(_))), 2);
    assert_eq!(engine.tables().calls, 0, "{}", engine.story());
}

#[test]
fn rfc5407_3_2_1_byes_cross() {
    let mut engine = engine();
    let (mut alice, mut bob) = talking(&mut engine);
    let (ours, theirs) = (alice.request("BYE", "", ""), bob.request("BYE", "", ""));
    engine.receive(alice.flow, ours);
    engine.receive(bob.flow, theirs);
    engine.expect(at(ALICE), &["200 BYE"]);
    let sent = engine.expect(at(BOB), &["BYE", "200 BYE"]);
    engine.receive(bob.flow, bob.answer(&sent[0], 200, "", ""));
    engine.expect_silence();
    ends_clean(&mut engine);
    assert_eq!(engine.count(|what| matches!(what, Happening::Ended { .. })), 1);
}

#[test]
fn rfc5407_3_1_6_bye_before_the_ack_of_our_200() {
    let mut engine = engine();
    let (mut alice, bob, invite) = ringing(&mut engine);
    engine.receive(bob.flow, bob.accept(&invite));
    engine.expect(at(BOB), &["ACK"]);
    let ok = engine.expect(at(ALICE), &["200 INVITE"]).remove(0);
    alice.learn(&ok);
    let (ack, bye) = (alice.ack(""), alice.request("BYE", "", ""));
    engine.receive(alice.flow, bye);
    engine.expect(at(ALICE), &["200 BYE"]);
    let bye = engine.expect(at(BOB), &["BYE"]).remove(0);
    engine.receive(bob.flow, bob.answer(&bye, 200, "", ""));
    engine.receive(alice.flow, ack);
    engine.expect_silence();
    ends_clean(&mut engine);
}

#[test]
fn an_agent_who_hangs_up_before_the_caller_acknowledged_is_followed_by_one_bye_after_the_ack() {
    let mut engine = engine();
    let (mut alice, mut bob, invite) = ringing(&mut engine);
    engine.receive(bob.flow, bob.accept(&invite));
    engine.expect(at(BOB), &["ACK"]);
    let ok = engine.expect(at(ALICE), &["200 INVITE"]).remove(0);
    let bye = bob.request("BYE", "", "");
    engine.receive(bob.flow, bye);
    engine.expect(at(BOB), &["200 BYE"]);
    engine.expect_silence();
    alice.learn(&ok);
    let ack = alice.ack("");
    engine.receive(alice.flow, ack);
    let bye = engine.expect(at(ALICE), &["BYE"]).remove(0);
    engine.receive(alice.flow, alice.answer(&bye, 200, "", ""));
    ends_clean(&mut engine);
}

#[test]
fn a_phone_that_registers_anew_while_it_rings_keeps_its_call() {
    let mut engine = engine();
    let (mut alice, bob, invite) = ringing(&mut engine);
    engine.register("1001", udp(Side::Agent, "10.8.0.77:5060"));
    engine.expect_silence();
    engine.receive(bob.flow, bob.accept(&invite));
    engine.expect(at(BOB), &["ACK"]);
    let ok = engine.expect(at(ALICE), &["200 INVITE"]).remove(0);
    alice.learn(&ok);
    let ack = alice.ack("");
    engine.receive(alice.flow, ack);
    engine.register("1001", udp(Side::Agent, "10.8.0.77:5060"));
    alice_hangs_up(&mut engine, &mut alice, &bob);
}

#[test]
fn a_phone_whose_registration_runs_out_keeps_its_talk() {
    let mut engine = engine();
    let (mut alice, bob) = talking(&mut engine);
    engine.closed(bob.flow);
    engine.run_for(Duration::from_secs(200));
    assert!(!engine.wire.iter().any(|(_, bytes)| bytes.starts_with(b"BYE")), "{}", engine.story());
    engine.wire.clear();
    alice_hangs_up(&mut engine, &mut alice, &bob);
}

#[test]
fn a_registration_gives_a_waiting_caller_his_agent_at_once() {
    let mut engine = Engine::new(1);
    let mut alice = Talk::caller(crate::rfc3665::alice(), "12369", "a");
    engine.receive(alice.flow, alice.invite());
    engine.run_for(Duration::from_secs(5));
    assert!(!engine.wire.iter().any(|(flow, _)| flow.remote == at(BOB)), "nobody to ring");
    engine.sent_to(at(ALICE));
    let mut phone = Talk::caller(bob(), "1001", "reg1001");
    (phone.own, phone.theirs) = ("<sip:1001@phones>".to_owned(), "<sip:1001@phones>".to_owned());
    phone.target = "sip:10.0.0.1:5062".to_owned();
    let first = phone.request("REGISTER", "", "");
    engine.receive(phone.flow, first.clone());
    let challenge = engine.expect(at(BOB), &["401 REGISTER"]).remove(0);
    let proof = crate::wire::authorization(&challenge, &crate::wire::read(first), "1001");
    let again = phone.request("REGISTER", &proof, "");
    engine.receive(phone.flow, again);
    let sent = engine.expect(at(BOB), &["200 REGISTER", "INVITE"]);
    assert_eq!(text(&sent[1], Name::CSeq), "1 INVITE");
}

#[test]
fn an_emergency_outlives_a_reinvite_that_nobody_acknowledges() {
    let (citizen, desk) = (udp(Side::Trunk, "10.1.0.8:5060"), udp(Side::Trunk, "10.9.0.1:5060"));
    let mut engine = Engine::new(1);
    let mut caller = Talk::caller(citizen, "120", "help");
    engine.receive(citizen, caller.invite());
    let invite = engine.expect(desk.remote, &["INVITE"]).remove(0);
    let mut callee = Talk::callee(desk, &invite, "td");
    engine.receive(desk, callee.accept(&invite));
    let ok = engine.sent_to(citizen.remote).pop().expect("an answer");
    caller.learn(&ok);
    let ack = caller.ack("");
    engine.receive(citizen, ack);
    engine.wire.clear();
    for talk in [&mut caller, &mut callee] {
        let hold = talk.request("INVITE", "", &sdp_with("10.1.0.9", 30_100, 3, "sendonly"));
        engine.receive(talk.flow, hold);
        engine.run_for(Duration::from_secs(70));
        let ends = engine.wire.iter().any(|(_, bytes)| bytes.starts_with(b"BYE"));
        assert!(!ends && engine.call().control().phase().is_live(), "{}", engine.story());
    }
    engine.wire.clear();
    alice_hangs_up(&mut engine, &mut caller, &callee);
}
