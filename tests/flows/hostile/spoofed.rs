//! Every kind of message, in every state of a call, with one thing wrong: nothing changes, and what is answered is 481.
//!
//! | state | how far |
//! |---|---|
//! | ringing | Alice's INVITE has 180, Bob's phone rings |
//! | answered | our 200 to Alice is not acknowledged |
//! | talking | both legs confirmed |
//! | changing | our 200 to Alice's re-INVITE is not acknowledged |
//! | leaving | Alice has hung up, our BYE to Bob is not answered |
//! | cancelled | Alice has cancelled, our CANCEL to Bob is not answered |
//! | over | nothing is left |
//!
//! The call is compared before and after as a value. A lower CSeq number from the right peer is answered 500, as
//! RFC 3261 §12.2.2 wants it. On the agents' side a dialog follows its phone to another address (NAT, roaming), so
//! another source is a fault on the trunks' side only.

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash as _, Hasher as _};
use std::time::Duration;

use switch12345::base::flow::{Flow, Side};
use switch12345::base::id::CallId;
use switch12345::call::Call;
use switch12345::sip::message::Message;

use crate::engine::{Engine, Tables, udp};
use crate::rfc3665::{ALICE, BOB, at, engine, ringing, talking};
use crate::wire::{Talk, read, sdp_with, word};

const REQUESTS: [&str; 12] =
    ["ACK", "BYE", "CANCEL", "INVITE", "INFO", "REFER", "NOTIFY", "OPTIONS", "MESSAGE", "UPDATE", "PRACK", "SUBSCRIBE"];
const RESPONSES: [u16; 13] = [100, 180, 183, 200, 202, 302, 401, 404, 408, 481, 486, 491, 503];
const STRANGER: &str = "203.0.113.66:5060";
const OTHER_TRUNK: &str = "10.2.0.9:5060";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    None,
    ToTag,
    ToTagOfTheOtherLeg,
    FromTag,
    NoFromTag,
    CallId,
    LowerCSeq,
    OtherBranch,
    CSeqMethod,
    OtherSide,
    Stranger,
    OtherTrunk,
}

const OF_REQUESTS: [Fault; 9] = [
    Fault::ToTag,
    Fault::ToTagOfTheOtherLeg,
    Fault::FromTag,
    Fault::NoFromTag,
    Fault::CallId,
    Fault::LowerCSeq,
    Fault::OtherSide,
    Fault::Stranger,
    Fault::OtherTrunk,
];
const OF_RESPONSES: [Fault; 8] = [
    Fault::OtherBranch,
    Fault::FromTag,
    Fault::NoFromTag,
    Fault::CallId,
    Fault::CSeqMethod,
    Fault::OtherSide,
    Fault::Stranger,
    Fault::OtherTrunk,
];

/// A call stopped at some point, with both peers as they see it.
struct Scene {
    engine: Engine,
    alice: Talk,
    /// Alice's side as it was at her INVITE, for CANCEL and for the ACK's number.
    inviting: Talk,
    bob: Talk,
    /// Our requests toward Bob so far.
    asked: Vec<Message>,
}

impl Scene {
    fn ringing() -> Self {
        let mut engine = engine();
        let (alice, bob, invite) = ringing(&mut engine);
        let mut inviting = alice.clone();
        inviting.target = "sip:12369@10.0.0.1:5060".to_owned();
        Self { engine, alice, inviting, bob, asked: vec![invite] }
    }

    fn answered() -> Self {
        let mut scene = Self::ringing();
        let ok = scene.bob.accept(&scene.asked[0]);
        scene.engine.receive(scene.bob.flow, ok);
        scene.engine.wire.clear();
        scene
    }

    fn talking() -> Self {
        let mut scene = Self::answered();
        let ack = scene.alice.ack("");
        scene.engine.receive(scene.alice.flow, ack);
        // A first request of Bob's, so that a lower number exists.
        let question = scene.bob.request("OPTIONS", "", "");
        scene.engine.receive(scene.bob.flow, question);
        scene.engine.expect(at(BOB), &["200 OPTIONS"]);
        scene
    }

    fn changing() -> Self {
        let mut scene = Self::talking();
        let hold = scene.alice.request("INVITE", "", &sdp_with("10.1.0.7", 30_000, 2, "sendonly"));
        scene.engine.receive(scene.alice.flow, hold);
        scene.engine.expect(at(ALICE), &["200 INVITE"]);
        scene.engine.wire.clear();
        scene
    }

    fn leaving() -> Self {
        let mut scene = Self::talking();
        let bye = scene.alice.request("BYE", "", "");
        scene.engine.receive(scene.alice.flow, bye);
        scene.asked.push(scene.engine.expect(at(BOB), &["BYE"]).remove(0));
        scene.engine.wire.clear();
        scene
    }

    fn cancelled() -> Self {
        let mut scene = Self::ringing();
        let cancel = scene.inviting.clone().request("CANCEL", "", "");
        scene.engine.receive(scene.alice.flow, cancel);
        scene.asked.push(scene.engine.expect(at(BOB), &["CANCEL"]).remove(0));
        scene.engine.wire.clear();
        scene
    }

    fn over() -> Self {
        let mut scene = Self::leaving();
        let ok = scene.bob.answer(&scene.asked[1], 200, "", "");
        scene.engine.receive(scene.bob.flow, ok);
        scene.engine.run_for(Duration::from_secs(60));
        scene.engine.wire.clear();
        assert_eq!(scene.engine.tables().calls, 0);
        scene
    }

    fn snapshot(&self) -> Snapshot {
        let mut hasher = DefaultHasher::new();
        let calls: Vec<_> = self.engine.calls.iter().map(|(id, call)| (*id, call.clone())).collect();
        calls.hash(&mut hasher);
        let said = self.engine.journal.values().map(Vec::len).sum();
        Snapshot { calls, hash: hasher.finish(), tables: self.engine.tables(), said }
    }

    /// Feeds a message and checks that nothing came of it but these statuses, sent back where it came from.
    fn feed(&mut self, place: &str, flow: Flow, text: String, allowed: &[u16]) -> Option<String> {
        let before = self.snapshot();
        self.engine.receive(flow, text.clone());
        let sent = std::mem::take(&mut self.engine.wire);
        let mut faults = Vec::new();
        for (to, bytes) in sent {
            let answer = read(bytes);
            if to != flow || !answer.status().is_some_and(|status| allowed.contains(&status)) {
                faults.push(format!("drew {} to {}", word(&answer), to.remote));
            }
        }
        let after = self.snapshot();
        if after != before {
            let what = [
                (after.calls != before.calls, "call"),
                (after.hash != before.hash, "hash"),
                (after.tables != before.tables, "tables"),
                (after.said != before.said, "journal"),
            ];
            let what = what.iter().filter(|(changed, _)| *changed).map(|(_, name)| *name).collect::<Vec<_>>();
            faults.push(format!("changed {}", what.join(", ")));
        }
        (!faults.is_empty()).then(|| format!("{place}: {}", faults.join("; ")))
    }
}

#[derive(PartialEq, Eq)]
struct Snapshot {
    calls: Vec<(CallId, Call)>,
    hash: u64,
    tables: Tables,
    said: usize,
}

/// A state's name and how to come there.
type State = (&'static str, fn() -> Scene);

const STATES: [State; 7] = [
    ("ringing", Scene::ringing),
    ("answered", Scene::answered),
    ("talking", Scene::talking),
    ("changing", Scene::changing),
    ("leaving", Scene::leaving),
    ("cancelled", Scene::cancelled),
    ("over", Scene::over),
];

/// The flow a message with this fault comes over.
fn over(fault: Fault, flow: Flow) -> Flow {
    let other = if flow.side == Side::Trunk { Side::Agent } else { Side::Trunk };
    match fault {
        Fault::OtherSide => udp(other, &flow.remote.to_string()),
        Fault::Stranger => udp(flow.side, STRANGER),
        Fault::OtherTrunk => udp(flow.side, OTHER_TRUNK),
        _ => flow,
    }
}

/// A request of a peer with one thing wrong; `None` where the fault has no meaning.
fn spoiled(method: &str, fault: Fault, peer: &Talk, inviting: Option<&Talk>, other: &Talk) -> Option<String> {
    let mut talk = peer.clone();
    talk.branch = format!("z9hG4bKspoiled{method}{fault:?}");
    let mut number = talk.cseq + 1;
    match (method, inviting) {
        ("CANCEL", Some(inviting)) => {
            talk = inviting.clone();
            number = inviting.cseq;
        }
        ("ACK", Some(inviting)) => number = inviting.cseq.max(peer.cseq),
        ("ACK", None) => number = 1,
        _ => {}
    }
    match fault {
        Fault::ToTag if method == "CANCEL" => return None,
        Fault::ToTagOfTheOtherLeg if method == "CANCEL" => return None,
        Fault::ToTag => {
            let last = if talk.their_tag.ends_with('0') { "1" } else { "0" };
            talk.their_tag.replace_range(talk.their_tag.len() - 1.., last);
        }
        Fault::ToTagOfTheOtherLeg => talk.their_tag.clone_from(&other.their_tag),
        Fault::FromTag => talk.own_tag.push('x'),
        Fault::CallId => talk.call_id.insert(0, 'x'),
        Fault::LowerCSeq => number = 0,
        Fault::OtherBranch => talk.branch.push('x'),
        Fault::Stranger | Fault::OtherTrunk if peer.flow.side == Side::Agent => return None,
        _ => {}
    }
    let extra = match method {
        "REFER" => "Refer-To: <sip:1002@phones>\r\n",
        "NOTIFY" => "Event: refer\r\nSubscription-State: active\r\n",
        "SUBSCRIBE" => "Event: dialog\r\n",
        "PRACK" => "RAck: 1 1 INVITE\r\n",
        _ => "",
    };
    let text = talk.written(method, number, extra, "");
    Some(if fault == Fault::NoFromTag { text.replace(&format!(";tag={}\r\nTo", talk.own_tag), "\r\nTo") } else { text })
}

#[test]
fn requests_with_one_thing_wrong_change_nothing_and_draw_481_or_silence() {
    let mut wrong = Vec::new();
    let mut fed = 0;
    for (state, reach) in STATES {
        let mut scene = reach();
        let (alice, inviting, bob) = (scene.alice.clone(), scene.inviting.clone(), scene.bob.clone());
        let peers = [("Alice", &alice, Some(&inviting), &bob), ("Bob", &bob, None, &alice)];
        for (name, peer, inviting, other) in peers {
            for method in REQUESTS {
                let mut faults = OF_REQUESTS.to_vec();
                if method == "CANCEL" {
                    faults.push(Fault::OtherBranch);
                }
                if state == "over" {
                    faults.push(Fault::None);
                }
                for fault in faults {
                    let early_bob = name == "Bob" && matches!(state, "ringing" | "answered" | "cancelled");
                    if fault == Fault::LowerCSeq && early_bob && !matches!(method, "ACK" | "CANCEL") {
                        continue;
                    }
                    let Some(text) = spoiled(method, fault, peer, inviting, other) else { continue };
                    let place = format!("{state}: {name}'s {method} with {fault:?}");
                    let allowed: &[u16] = match fault {
                        Fault::LowerCSeq => &[481, 500],
                        Fault::NoFromTag => &[481, 400],
                        _ => &[481],
                    };
                    wrong.extend(scene.feed(&place, over(fault, peer.flow), text, allowed));
                    fed += 1;
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{} of {fed}:\n{}", wrong.len(), wrong.join("\n"));
    assert!(fed > 1_000, "{fed}");
}

#[test]
fn responses_with_one_thing_wrong_change_nothing_and_draw_silence() {
    let mut wrong = Vec::new();
    let mut fed = 0;
    for (state, reach) in STATES {
        let mut scene = reach();
        let (bob, asked) = (scene.bob.clone(), scene.asked.clone());
        for request in &asked {
            for status in RESPONSES {
                for fault in OF_RESPONSES {
                    if matches!(fault, Fault::Stranger | Fault::OtherTrunk) {
                        continue;
                    }
                    let body = if status == 200 { sdp_with("10.8.0.1", 31_000, 1, "sendrecv") } else { String::new() };
                    let right = bob.answer(request, status, "", &body);
                    let branch = String::from_utf8_lossy(request.via().branch().unwrap_or_default()).into_owned();
                    let method = request.cseq_method().to_string();
                    let text = match fault {
                        Fault::OtherBranch => {
                            let last = if branch.ends_with('0') { "1" } else { "0" };
                            right.replace(&branch, &format!("{}{last}", &branch[..branch.len() - 1]))
                        }
                        Fault::FromTag => right.replace(&format!(";tag={}", bob.their_tag), ";tag=other"),
                        Fault::NoFromTag => right.replace(&format!(";tag={}", bob.their_tag), ""),
                        Fault::CallId => right.replace(&bob.call_id, "strange@call"),
                        Fault::CSeqMethod => {
                            let other = if method == "BYE" { "INFO" } else { "BYE" };
                            right.replace(&format!(" {method}\r\n"), &format!(" {other}\r\n"))
                        }
                        _ => right,
                    };
                    let place = format!("{state}: {status} to {method} with {fault:?}");
                    wrong.extend(scene.feed(&place, over(fault, bob.flow), text, &[]));
                    fed += 1;
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{} of {fed}:\n{}", wrong.len(), wrong.join("\n"));
    assert!(fed > 500, "{fed}");
}

#[test]
fn responses_from_a_stranger_to_what_we_asked_a_trunk_change_nothing() {
    let mut wrong = Vec::new();
    let mut engine = engine();
    let mut alice = Talk::caller(udp(Side::Trunk, ALICE), "12366", "a");
    engine.receive(alice.flow, alice.invite());
    let invite = engine.expect(at("10.3.0.1:5060"), &["INVITE"]).remove(0);
    engine.wire.clear();
    let seats = Talk::callee(udp(Side::Trunk, "10.3.0.1:5060"), &invite, "ts");
    let bob = seats.clone();
    let mut scene = Scene { engine, inviting: alice.clone(), alice, bob, asked: vec![invite.clone()] };
    for status in RESPONSES {
        for source in [STRANGER, OTHER_TRUNK] {
            let place = format!("{status} from {source}");
            let text = seats.answer(&invite, status, "", "");
            wrong.extend(scene.feed(&place, udp(Side::Trunk, source), text, &[]));
        }
    }
    assert!(wrong.is_empty(), "{}:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn every_request_repeated_draws_the_same_answer_and_nothing_else() {
    for method in ["BYE", "INVITE", "INFO", "REFER", "NOTIFY", "OPTIONS"] {
        let mut engine = engine();
        let (mut alice, mut bob) = talking(&mut engine);
        for talk in [&mut alice, &mut bob] {
            let extra = if method == "REFER" { "Refer-To: <sip:1002@phones>\r\n" } else { "" };
            let body = if method == "INVITE" { sdp_with("10.1.0.7", 30_000, 2, "sendrecv") } else { String::new() };
            let request = talk.request(method, extra, &body);
            engine.receive(talk.flow, request.clone());
            let first: Vec<_> =
                engine.sent_to(talk.flow.remote).iter().filter(|sent| sent.is_response()).cloned().collect();
            assert!(!first.is_empty(), "{method}: no answer\n{}", engine.story());
            engine.wire.clear();
            let before = engine.calls.clone();
            for _ in 0..20 {
                engine.receive(talk.flow, request.clone());
                let again = engine.sent_to(talk.flow.remote);
                let repeated = again.iter().all(|one| first.iter().any(|answer| answer.bytes() == one.bytes()));
                assert!(repeated, "{method}: another answer\n{}", engine.story());
                assert!(again.len() <= 1 && engine.wire.is_empty(), "{method}\n{}", engine.story());
            }
            assert_eq!(engine.calls, before, "{method}: a repetition has changed the call");
            if method == "BYE" {
                break;
            }
        }
    }
}

#[test]
fn answers_go_where_the_packet_came_from_whatever_it_says() {
    let lies = [
        "Via: SIP/2.0/UDP 198.51.100.7:9999;branch=z9hG4bKlie;maddr=198.51.100.8",
        "Via: SIP/2.0/UDP 198.51.100.7:9999;branch=z9hG4bKlie;received=198.51.100.9;rport=7777",
        "Via: SIP/2.0/TCP [2001:db8::1];branch=z9hG4bKlie",
    ];
    for lie in lies {
        for (side, source) in
            [(Side::Trunk, "10.1.0.44:6000"), (Side::Agent, "10.8.0.44:6000"), (Side::Trunk, STRANGER)]
        {
            for method in ["INVITE", "OPTIONS", "REGISTER", "BYE", "MESSAGE", "SUBSCRIBE", "NONSENSE"] {
                let mut engine = Engine::new(1);
                let flow = udp(side, source);
                let mut talk = Talk::caller(flow, "12369", "lie");
                let text = talk.request(method, "Route: <sip:198.51.100.1;lr>\r\n", "");
                let via = format!("Via: SIP/2.0/UDP {source};branch={}", talk.branch);
                assert!(text.contains(&via));
                engine.receive(flow, text.replace(&via, lie));
                engine.run_for(Duration::from_secs(40));
                assert!(!engine.wire.is_empty(), "{method} from {source} is answered");
                for (to, bytes) in &engine.wire {
                    assert_eq!(to, &flow, "{method}: {}", String::from_utf8_lossy(bytes));
                }
            }
        }
    }
}
