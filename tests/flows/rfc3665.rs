//! The call flows of RFC 3665, as far as a UA and B2BUA takes part in them; what is asserted is what we send.
//!
//! Alice comes over a carrier's trunk, Bob is an agent's phone (or, where a proxy stands before him, the seats a
//! hotline has kept). Proxies of a flow appear as what they leave in the messages: Via and Record-Route.

use std::net::SocketAddr;
use std::time::Duration;

use switch12345::base::flow::{Flow, Side};
use switch12345::event::call::Happening;
use switch12345::sip::message::{Message, Name};

use crate::engine::{Engine, Tables, udp};
use crate::wire::{Talk, answer, authorization, authorization_with, read, sdp, sdp_with, words};

pub(crate) const ALICE: &str = "10.1.0.7:5060";
pub(crate) const BOB: &str = "10.8.0.1:5060";
pub(crate) const SEATS: &str = "10.3.0.1:5060";

pub(crate) fn alice() -> Flow {
    udp(Side::Trunk, ALICE)
}

pub(crate) fn bob() -> Flow {
    udp(Side::Agent, BOB)
}

pub(crate) fn at(address: &str) -> SocketAddr {
    address.parse().expect("an address")
}

pub(crate) fn text(message: &Message, name: Name) -> String {
    String::from_utf8_lossy(message.header(name).unwrap_or_default()).into_owned()
}

pub(crate) fn all(message: &Message, name: Name) -> Vec<String> {
    message.values(name).map(|value| String::from_utf8_lossy(value).into_owned()).collect()
}

/// An engine with Bob's phone registered.
pub(crate) fn engine() -> Engine {
    let mut engine = Engine::new(2);
    engine.register("1001", bob());
    engine
}

/// Alice has dialled and Bob's phone rings: both sides of the call, and the INVITE at Bob.
pub(crate) fn ringing(engine: &mut Engine) -> (Talk, Talk, Message) {
    let mut alice = Talk::caller(alice(), "12369", "a");
    engine.receive(alice.flow, alice.invite());
    engine.expect(at(ALICE), &["100 INVITE"]);
    let invite = engine.expect(at(BOB), &["INVITE"]).remove(0);
    let bob = Talk::callee(bob(), &invite, "tb");
    engine.receive(bob.flow, bob.answer(&invite, 180, "", ""));
    let rings = engine.expect(at(ALICE), &["180 INVITE"]).remove(0);
    alice.learn(&rings);
    engine.expect_silence();
    (alice, bob, invite)
}

/// Alice and Bob talk.
pub(crate) fn talking(engine: &mut Engine) -> (Talk, Talk) {
    let (mut alice, bob, invite) = ringing(engine);
    engine.receive(bob.flow, bob.accept(&invite));
    engine.expect(at(BOB), &["ACK"]);
    let ok = engine.expect(at(ALICE), &["200 INVITE"]).remove(0);
    alice.learn(&ok);
    let ack = alice.ack("");
    engine.receive(alice.flow, ack);
    engine.expect_silence();
    (alice, bob)
}

/// Whatever still waits ends in its time, and nothing is left.
#[track_caller]
pub(crate) fn ends_clean(engine: &mut Engine) {
    engine.run_for(Duration::from_secs(64 / 2 + 5));
    let tables = engine.tables();
    assert_eq!(
        tables,
        Tables { answered_registers: tables.answered_registers, ..Tables::default() },
        "{}",
        engine.story()
    );
    engine.assert_journals();
}

/// Alice hangs up; Bob is told and answers.
#[track_caller]
pub(crate) fn alice_hangs_up(engine: &mut Engine, alice: &mut Talk, bob: &Talk) {
    let bye = alice.request("BYE", "", "");
    engine.receive(alice.flow, bye);
    engine.expect(alice.flow.remote, &["200 BYE"]);
    let bye = engine.expect(bob.flow.remote, &["BYE"]).remove(0);
    engine.receive(bob.flow, bob.answer(&bye, 200, "", ""));
    engine.expect_silence();
    ends_clean(engine);
}

/// A phone's REGISTER, challenged and proven; the final answer.
fn register(engine: &mut Engine, phone: &mut Talk, extra: &str) -> Message {
    let first = phone.request("REGISTER", "", "").replace(&format!("Contact: <sip:peer@{BOB}>\r\n"), extra);
    engine.receive(phone.flow, first.clone());
    let challenge = engine.expect(phone.flow.remote, &["401 REGISTER"]).remove(0);
    assert!(text(&challenge, Name::WwwAuthenticate).starts_with("Digest realm="), "{challenge:?}");
    engine.receive(phone.flow, proven(phone, &first, &challenge, "demo-1001", extra));
    engine.sent_to(phone.flow.remote).remove(0)
}

fn proven(phone: &mut Talk, first: &str, challenge: &Message, password: &str, extra: &str) -> String {
    let proof = authorization_with(challenge, &read(first.to_owned()), "1001", password);
    phone.request("REGISTER", &proof, "").replace(&format!("Contact: <sip:peer@{BOB}>\r\n"), extra)
}

fn phone() -> Talk {
    let mut phone = Talk::caller(bob(), "1001", "reg");
    (phone.own, phone.theirs) = ("<sip:1001@phones>".to_owned(), "<sip:1001@phones>".to_owned());
    phone.target = "sip:10.0.0.1:5062".to_owned();
    phone
}

fn contact(ip: &str) -> String {
    format!("Contact: <sip:1001@{ip}>\r\nExpires: 600\r\n")
}

#[test]
fn rfc3665_2_1_successful_new_registration() {
    let mut engine = Engine::new(1);
    let mut phone = phone();
    let granted = register(&mut engine, &mut phone, &contact("10.8.0.1"));
    assert_eq!(words(std::slice::from_ref(&granted)), ["200 REGISTER"]);
    assert_eq!(all(&granted, Name::Contact), ["<sip:1001@10.8.0.1>;expires=600"]);
    assert_eq!(engine.switch.desk().registered().count(), 1);
}

#[test]
fn rfc3665_2_2_update_of_contact_list() {
    let mut engine = Engine::new(1);
    let mut phone = phone();
    register(&mut engine, &mut phone, &contact("10.8.0.1"));
    let granted = register(&mut engine, &mut phone, &contact("10.8.0.2"));
    let mut contacts = all(&granted, Name::Contact);
    contacts.sort();
    assert_eq!(contacts, ["<sip:1001@10.8.0.1>;expires=600", "<sip:1001@10.8.0.2>;expires=600"]);
}

#[test]
fn rfc3665_2_3_request_for_current_contact_list() {
    let mut engine = Engine::new(1);
    let mut phone = phone();
    register(&mut engine, &mut phone, &contact("10.8.0.1"));
    engine.run_for(Duration::from_secs(100));
    let listed = register(&mut engine, &mut phone, "");
    assert_eq!(all(&listed, Name::Contact), ["<sip:1001@10.8.0.1>;expires=500"], "what is left of it");
}

#[test]
fn rfc3665_2_4_cancellation_of_registration() {
    let mut engine = Engine::new(1);
    let mut phone = phone();
    register(&mut engine, &mut phone, &contact("10.8.0.1"));
    let gone = register(&mut engine, &mut phone, "Contact: *\r\nExpires: 0\r\n");
    assert_eq!(words(std::slice::from_ref(&gone)), ["200 REGISTER"]);
    assert!(all(&gone, Name::Contact).is_empty());
    assert_eq!(engine.switch.desk().registered().count(), 0);
}

#[test]
fn rfc3665_2_5_unsuccessful_registration() {
    let mut engine = Engine::new(1);
    let mut phone = phone();
    let first = phone.request("REGISTER", "", "");
    engine.receive(phone.flow, first.clone());
    let challenge = engine.expect(at(BOB), &["401 REGISTER"]).remove(0);
    let wrong = proven(&mut phone, &first, &challenge, "guessed", &contact("10.8.0.1"));
    engine.receive(phone.flow, wrong);
    engine.expect(at(BOB), &["401 REGISTER"]);
    assert_eq!(engine.switch.desk().registered().count(), 0);
    assert_eq!(engine.switch.desk().remembered(), 0, "a refusal keeps nothing");
}

#[test]
fn rfc3665_3_1_successful_session_establishment() {
    let mut engine = engine();
    let (mut alice, bob, invite) = ringing(&mut engine);
    assert_eq!(invite.uri().map(|uri| uri.map(|uri| uri.to_string())), Some(Ok(format!("sip:peer@{BOB}"))));
    assert_eq!(text(&invite, Name::CSeq), "1 INVITE");
    assert_eq!(invite.all_headers().filter(|(name, _)| name.eq_ignore_ascii_case(b"via")).count(), 1);
    assert!(invite.is_content("application/sdp") && !invite.body().is_empty());
    assert!(invite.from_tag().is_some() && invite.to_tag().is_none());
    engine.receive(bob.flow, bob.accept(&invite));
    let ack = engine.expect(at(BOB), &["ACK"]).remove(0);
    assert_eq!(ack.request_uri(), Some(format!("sip:peer@{BOB}").as_bytes()));
    assert_eq!(text(&ack, Name::CSeq), "1 ACK");
    assert_ne!(ack.via().branch(), invite.via().branch(), "the ACK of a 2xx is a transaction of its own");
    assert_eq!(ack.to_tag(), Some(&b"tb"[..]));
    let ok = engine.expect(at(ALICE), &["200 INVITE"]).remove(0);
    assert_eq!(ok.to_tag(), Some(alice.their_tag.as_bytes()), "the tag of the 180");
    assert!(ok.contact().is_some() && ok.is_content("application/sdp"));
    alice.learn(&ok);
    let ack = alice.ack("");
    engine.receive(alice.flow, ack);
    let bye = bob.clone().request("BYE", "", "");
    engine.receive(bob.flow, bye);
    engine.expect(at(BOB), &["200 BYE"]);
    let bye = engine.expect(at(ALICE), &["BYE"]).remove(0);
    assert_eq!(bye.request_uri(), Some(format!("sip:peer@{ALICE}").as_bytes()));
    assert_eq!((bye.from_tag(), bye.to_tag()), (Some(alice.their_tag.as_bytes()), Some(alice.own_tag.as_bytes())));
    engine.receive(alice.flow, alice.answer(&bye, 200, "", ""));
    engine.expect_silence();
    ends_clean(&mut engine);
    assert_eq!(engine.count(|what| matches!(what, Happening::Answered { .. })), 1);
}

/// Two proxies on Alice's side that record their route.
const PROXIES: &str = "Via: SIP/2.0/UDP ss1.example:5060;branch=z9hG4bKp1;received=10.1.9.1\r\n\
                       Record-Route: <sip:ss2.example;lr>, <sip:ss1.example;lr>\r\n";

#[test]
fn rfc3665_3_2_session_through_two_proxies() {
    let mut engine = engine();
    let mut alice = Talk::caller(alice(), "12369", "a");
    let invite = alice.invite().replacen("Max-Forwards", &format!("{PROXIES}Max-Forwards"), 1);
    engine.receive(alice.flow, invite);
    engine.expect(at(ALICE), &["100 INVITE"]);
    let invite = engine.expect(at(BOB), &["INVITE"]).remove(0);
    let mut bob = Talk::callee(bob(), &invite, "tb");
    engine.receive(bob.flow, bob.accept(&invite));
    let ok = engine.expect(at(ALICE), &["200 INVITE"]).remove(0);
    let hops = all(&ok, Name::Via);
    assert_eq!(hops.len(), 2, "every Via goes back: {hops:?}");
    assert!(hops[1].contains("branch=z9hG4bKp1"), "{hops:?}");
    assert_eq!(all(&ok, Name::RecordRoute), ["<sip:ss2.example;lr>", "<sip:ss1.example;lr>"]);
    alice.learn(&ok);
    alice.routes.clear();
    let ack = alice.ack("");
    engine.receive(alice.flow, ack);
    engine.expect(at(BOB), &["ACK"]);
    let bye = bob.request("BYE", "", "");
    engine.receive(bob.flow, bye);
    engine.expect(at(BOB), &["200 BYE"]);
    let bye = engine.expect(at(ALICE), &["BYE"]).remove(0);
    assert_eq!(all(&bye, Name::Route), ["<sip:ss2.example;lr>", "<sip:ss1.example;lr>"]);
    assert_eq!(bye.request_uri(), Some(format!("sip:peer@{ALICE}").as_bytes()), "loose routers leave the target");
    engine.receive(alice.flow, alice.answer(&bye, 200, "", ""));
    ends_clean(&mut engine);
}

#[test]
fn rfc3665_3_2_through_two_proxies_toward_bob() {
    let mut engine = Engine::new(1);
    let mut alice = Talk::caller(alice(), "12366", "a");
    engine.receive(alice.flow, alice.invite());
    engine.expect(at(ALICE), &["100 INVITE"]);
    let invite = engine.expect(at(SEATS), &["INVITE"]).remove(0);
    let bob = Talk::callee(udp(Side::Trunk, SEATS), &invite, "tb");
    let route = "Record-Route: <sip:ss2.example;lr>, <sip:ss1.example;lr>\r\n";
    let ok = bob.answer(&invite, 200, route, &sdp("10.3.0.9", 31_000));
    engine.receive(bob.flow, ok.replace(&format!("sip:peer@{SEATS}"), "sip:bob@10.3.0.9"));
    let ack = engine.expect(at(SEATS), &["ACK"]).remove(0);
    assert_eq!(
        all(&ack, Name::Route),
        ["<sip:ss1.example;lr>", "<sip:ss2.example;lr>"],
        "in reverse (RFC 3261 §12.1.2)"
    );
    assert_eq!(ack.request_uri(), Some(&b"sip:bob@10.3.0.9"[..]));
    let ok = engine.sent_to(at(ALICE)).pop().expect("an answer");
    assert_eq!(words(std::slice::from_ref(&ok)), ["200 INVITE"]);
    alice.learn(&ok);
    let ack = alice.ack("");
    engine.receive(alice.flow, ack);
    let bye = alice.request("BYE", "", "");
    engine.receive(alice.flow, bye);
    engine.expect(at(ALICE), &["200 BYE"]);
    let bye = engine.expect(at(SEATS), &["BYE"]).remove(0);
    assert_eq!(all(&bye, Name::Route), ["<sip:ss1.example;lr>", "<sip:ss2.example;lr>"]);
    engine.receive(bob.flow, bob.answer(&bye, 200, "", ""));
    ends_clean(&mut engine);
}

#[test]
fn rfc3665_3_3_with_proxy_authentication_a_phone_must_prove_itself_before_a_call_exists() {
    let mut engine = engine();
    let (_, mut bob) = talking(&mut engine);
    let before = engine.tables();
    let mut second = Talk::caller(bob.flow, "12301", "second");
    second.own = "<sip:1001@phones>".to_owned();
    let first = second.invite();
    engine.receive(bob.flow, first.clone());
    let challenge = engine.expect(at(BOB), &["401 INVITE"]).remove(0);
    assert_eq!(engine.tables(), before, "a challenge keeps nothing");
    engine.receive(bob.flow, second.ack_refusal(&challenge));
    engine.expect_silence();
    let proof = authorization(&challenge, &read(first), "1001");
    let again = second.request("INVITE", &proof, &sdp("10.8.0.1", 30_100));
    engine.receive(bob.flow, again);
    let sent = engine.sent_to(at(BOB));
    assert_eq!(words(&sent)[0], "100 INVITE", "{:?}", words(&sent));
    bob.cseq += 1;
}

#[test]
fn rfc3665_3_4_session_after_the_first_proxy_fails() {
    let mut engine = Engine::new(1);
    let mut alice = Talk::caller(alice(), "12333", "a");
    engine.receive(alice.flow, alice.invite());
    engine.expect(at(ALICE), &["100 INVITE"]);
    engine.expect(at("10.4.0.1:5060"), &["INVITE"]);
    // Two sendings without any answer, and the next far end is rung.
    engine.run_for(Duration::from_millis(1_300));
    let invite = engine.expect(at("10.4.0.2:5060"), &["INVITE"]).remove(0);
    let tries = words(&engine.sent_to(at("10.4.0.1:5060")));
    assert!(tries.iter().all(|word| word == "INVITE"), "{tries:?}: nothing to cancel where nobody answered");
    let bob = Talk::callee(udp(Side::Trunk, "10.4.0.2:5060"), &invite, "tb");
    engine.receive(bob.flow, bob.answer(&invite, 180, "", ""));
    let rings = words(&engine.sent_to(at(ALICE)));
    assert_eq!(rings, ["180 INVITE"], "one ringing only");
    engine.receive(bob.flow, bob.accept(&invite));
    engine.expect(bob.flow.remote, &["ACK"]);
    let ok = engine.sent_to(at(ALICE)).pop().expect("an answer");
    assert_eq!(words(std::slice::from_ref(&ok)), ["200 INVITE"]);
    alice.learn(&ok);
    let ack = alice.ack("");
    engine.receive(alice.flow, ack);
    engine.expect_silence();
    alice_hangs_up(&mut engine, &mut alice, &bob);
}

#[test]
fn rfc3665_3_5_session_through_a_gateway_that_stays_in_the_path() {
    // The gateway has rewritten Contact and SDP to itself, as its single Record-Route says.
    let mut engine = engine();
    let mut alice = Talk::caller(alice(), "12369", "a");
    let gate = "Record-Route: <sip:alg.example;lr>\r\n";
    let invite = alice.invite().replacen("Max-Forwards", &format!("{gate}Max-Forwards"), 1);
    engine.receive(alice.flow, invite);
    engine.expect(at(ALICE), &["100 INVITE"]);
    let invite = engine.expect(at(BOB), &["INVITE"]).remove(0);
    assert!(all(&invite, Name::RecordRoute).is_empty(), "the other leg is a dialog of its own");
    let bob = Talk::callee(bob(), &invite, "tb");
    engine.receive(bob.flow, bob.accept(&invite));
    engine.expect(at(BOB), &["ACK"]);
    let ok = engine.expect(at(ALICE), &["200 INVITE"]).remove(0);
    alice.learn(&ok);
    let ack = alice.ack("");
    engine.receive(alice.flow, ack);
    alice_hangs_up(&mut engine, &mut alice, &bob);
}

#[test]
fn rfc3665_3_6_session_with_sdp_in_the_ack() {
    let mut engine = engine();
    let mut alice = Talk::caller(alice(), "12369", "a");
    let invite = alice.request("INVITE", "", "");
    engine.receive(alice.flow, invite);
    engine.expect(at(ALICE), &["100 INVITE"]);
    let invite = engine.expect(at(BOB), &["INVITE"]).remove(0);
    assert!(!invite.body().is_empty(), "toward Bob we offer");
    let bob = Talk::callee(bob(), &invite, "tb");
    engine.receive(bob.flow, bob.accept(&invite));
    engine.expect(at(BOB), &["ACK"]);
    let ok = engine.expect(at(ALICE), &["200 INVITE"]).remove(0);
    assert!(ok.is_content("application/sdp"), "our 2xx makes the offer");
    alice.learn(&ok);
    let body = sdp("10.1.0.7", 30_000);
    let ack = alice.ack(&body);
    engine.receive(alice.flow, ack);
    engine.expect_silence();
    alice_hangs_up(&mut engine, &mut alice, &bob);
}

#[test]
fn rfc3665_3_6_a_redirection_is_not_followed_to_strangers() {
    let mut engine = engine();
    let mut alice = Talk::caller(alice(), "12366", "a");
    engine.receive(alice.flow, alice.invite());
    let invite = engine.expect(at(SEATS), &["INVITE"]).remove(0);
    let bob = udp(Side::Trunk, SEATS);
    let moved = answer(&invite, 302, "tb", "Contact: <sip:0019005550100@203.0.113.9>\r\n", "");
    engine.receive(bob, moved);
    let ack = engine.expect(at(SEATS), &["ACK"]).remove(0);
    assert_eq!(ack.via().branch(), invite.via().branch(), "the ACK of a refusal is the INVITE's");
    engine.run_for(Duration::from_secs(1));
    let strange: Vec<_> =
        engine.wire.iter().filter(|(flow, _)| flow.remote.ip().to_string() == "203.0.113.9").collect();
    assert!(strange.is_empty(), "nobody is relayed\n{}", engine.story());
    assert_eq!(words(&engine.sent_to(at(BOB)))[0], "INVITE", "the queue behind the seats");
}

#[test]
fn rfc3665_3_7_session_with_reinvite_for_a_changed_address() {
    let mut engine = engine();
    let (mut alice, bob) = talking(&mut engine);
    let body = sdp_with("10.1.0.99", 30_002, 2, "sendrecv");
    let again = alice.request("INVITE", "", &body).replace(&format!("sip:peer@{ALICE}"), "sip:peer@10.1.0.99:5060");
    engine.receive(alice.flow, again);
    let ok = engine.expect(at(ALICE), &["200 INVITE"]).remove(0);
    assert!(ok.is_content("application/sdp"));
    let ack = alice.ack("");
    engine.receive(alice.flow, ack);
    engine.expect_silence();
    let mut bob = bob;
    let bye = bob.request("BYE", "", "");
    engine.receive(bob.flow, bye);
    engine.expect(at(BOB), &["200 BYE"]);
    let bye = engine.expect(at(ALICE), &["BYE"]).remove(0);
    assert_eq!(bye.request_uri(), Some(&b"sip:peer@10.1.0.99:5060"[..]), "the target has moved (RFC 3261 §12.2)");
    engine.receive(alice.flow, alice.answer(&bye, 200, "", ""));
    ends_clean(&mut engine);
}

#[test]
fn rfc3665_3_8_unsuccessful_no_answer() {
    let mut engine = engine();
    let (mut alice, bob, invite) = ringing(&mut engine);
    let mut cancelling = alice.clone();
    cancelling.target = "sip:12369@10.0.0.1:5060".to_owned();
    let cancel = cancelling.request("CANCEL", "", "");
    engine.receive(alice.flow, cancel.clone());
    let sent = engine.expect(at(ALICE), &["200 CANCEL", "487 INVITE"]);
    assert_eq!(sent[0].to_tag(), sent[1].to_tag(), "one tag in both (RFC 3261 §9.2)");
    engine.receive(alice.flow, alice.ack_refusal(&sent[1]));
    engine.receive(alice.flow, cancel);
    engine.expect(at(ALICE), &["200 CANCEL"]);
    let cancel = engine.expect(at(BOB), &["CANCEL"]).remove(0);
    assert_eq!(cancel.via().branch(), invite.via().branch());
    assert_eq!(cancel.request_uri(), invite.request_uri());
    engine.receive(bob.flow, bob.answer(&cancel, 200, "", ""));
    engine.receive(bob.flow, bob.answer(&invite, 487, "", ""));
    let ack = engine.expect(at(BOB), &["ACK"]).remove(0);
    assert_eq!((ack.via().branch(), ack.to_tag()), (invite.via().branch(), Some(&b"tb"[..])));
    engine.expect_silence();
    alice.cseq += 1;
    ends_clean(&mut engine);
}

/// What Alice hears when the kept seats refuse, and nothing stands behind them.
fn refused_with(status: u16) -> (Engine, Vec<Message>) {
    let mut engine = Engine::new(1);
    let mut alice = Talk::caller(alice(), "12333", "a");
    engine.receive(alice.flow, alice.invite());
    engine.expect(at(ALICE), &["100 INVITE"]);
    let seats = at("10.4.0.1:5060");
    let invite = engine.expect(seats, &["INVITE"]).remove(0);
    let flow = udp(Side::Trunk, "10.4.0.1:5060");
    engine.receive(flow, answer(&invite, 180, "tb", "", ""));
    engine.receive(flow, answer(&invite, status, "tb", "", ""));
    engine.expect(seats, &["ACK"]);
    let sent = engine.sent_to(at(ALICE));
    for last in sent.iter().filter(|message| message.status() >= Some(300)) {
        engine.receive(alice.flow, alice.ack_refusal(last));
    }
    engine.expect_silence();
    ends_clean(&mut engine);
    (engine, sent)
}

#[test]
fn rfc3665_3_9_unsuccessful_busy() {
    let (engine, sent) = refused_with(486);
    assert_eq!(words(&sent), ["180 INVITE", "486 INVITE"], "{}", engine.story());
}

#[test]
fn rfc3665_3_10_unsuccessful_no_response_from_user_agent() {
    let mut engine = Engine::new(1);
    let mut alice = Talk::caller(alice(), "12333", "a");
    engine.receive(alice.flow, alice.invite());
    engine.run_for(Duration::from_secs(40));
    for seats in ["10.4.0.1:5060", "10.4.0.2:5060"] {
        let tries = words(&engine.sent_to(at(seats)));
        assert!(
            tries.len() >= 3 && tries.iter().all(|word| word == "INVITE"),
            "{seats}: {tries:?}\n{}",
            engine.story()
        );
    }
    let sent = engine.sent_to(at(ALICE));
    let last = sent.last().expect("an answer");
    assert!(matches!(last.status(), Some(408 | 480 | 503 | 504)), "{:?}\n{}", words(&sent), engine.story());
    engine.receive(alice.flow, alice.ack_refusal(last));
    ends_clean(&mut engine);
}

#[test]
fn rfc3665_3_11_unsuccessful_temporarily_unavailable() {
    let (engine, sent) = refused_with(480);
    assert_eq!(words(&sent), ["180 INVITE", "480 INVITE"], "{}", engine.story());
}
