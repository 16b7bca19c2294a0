//! Good, damaged and arbitrary messages from all sides against an engine in which people talk, one of them with an
//! emergency desk.
//!
//! Nothing panics, every message that leaves is well-formed, the emergency call goes on whatever comes (its own
//! peers' BYE and answers aside, which are not sent), and when everybody has hung up nothing is left.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use proptest::prelude::*;
use switch12345::base::flow::{Flow, Side, Transport};
use switch12345::base::id::CallId;
use switch12345::call::words::OperatorCommand;
use switch12345::event::reason::EndReason;
use switch12345::sip::message::Message;

use crate::engine::{Engine, Tables, flow, udp};
use crate::wire::{Talk, answer, sdp, sdp_with};

const ALICE: &str = "10.1.0.7:5060";
const BOB: &str = "10.8.0.1:5060";
const CITIZEN: &str = "10.1.0.8:5060";
const DESK: &str = "10.9.0.1:5060";
const METHODS: [&str; 14] = [
    "ACK",
    "BYE",
    "CANCEL",
    "INVITE",
    "INFO",
    "REFER",
    "NOTIFY",
    "OPTIONS",
    "MESSAGE",
    "UPDATE",
    "PRACK",
    "SUBSCRIBE",
    "REGISTER",
    "NONSENSE",
];

struct Town {
    engine: Engine,
    emergency: CallId,
    /// Dialogs of the ordinary call.
    ordinary: [Talk; 2],
    /// Dialogs of the emergency.
    guarded: [Talk; 2],
    /// Requests of ours to the ordinary call's peers, to be answered.
    asked: Vec<(Flow, Message)>,
}

fn at(text: &str) -> SocketAddr {
    text.parse().expect("an address")
}

/// One call, answered at both ends.
fn talk(engine: &mut Engine, caller: Flow, callee: Flow, number: &str, name: &str) -> [Talk; 2] {
    let mut from = Talk::caller(caller, number, name);
    engine.receive(caller, from.invite());
    let invite = engine.sent_to(callee.remote).pop().expect("an INVITE");
    let to = Talk::callee(callee, &invite, &format!("u{name}"));
    engine.receive(callee, to.accept(&invite));
    engine.sent_to(callee.remote);
    let ok = engine.sent_to(caller.remote).pop().expect("an answer");
    assert_eq!(ok.status(), Some(200), "{}", engine.story());
    from.learn(&ok);
    let ack = from.ack("");
    engine.receive(caller, ack);
    [from, to]
}

impl Town {
    fn new() -> Self {
        let mut engine = Engine::new(2);
        engine.logging = true;
        engine.register("1001", udp(Side::Agent, BOB));
        let guarded = talk(&mut engine, udp(Side::Trunk, CITIZEN), udp(Side::Trunk, DESK), "120", "help");
        let emergency = *engine.calls.keys().next().expect("a call");
        let ordinary = talk(&mut engine, udp(Side::Trunk, ALICE), udp(Side::Agent, BOB), "12369", "talk");
        engine.wire.clear();
        engine.logging = false;
        Self { engine, emergency, ordinary, guarded, asked: Vec::new() }
    }

    /// The message a step means, whole and right.
    fn compose(&self, step: &Step) -> Vec<u8> {
        let method = METHODS[step.method % METHODS.len()];
        let extra = match method {
            "REFER" => "Refer-To: <sip:1002@phones>\r\n",
            "PRACK" => "RAck: 1 1 INVITE\r\n",
            "SUBSCRIBE" | "NOTIFY" => "Event: refer\r\nSubscription-State: active\r\n",
            _ => "",
        };
        let body = if matches!(method, "INVITE" | "UPDATE") {
            sdp_with("10.1.0.9", 30_100, 3, "sendonly")
        } else {
            String::new()
        };
        match step.kind % 6 {
            0 | 1 => {
                let mut talk = self.ordinary[step.which % 2].clone();
                talk.cseq += u32::try_from(step.number % 50).expect("small");
                talk.request(method, extra, &body).into_bytes()
            }
            2 => {
                let mut talk = self.guarded[step.which % 2].clone();
                talk.cseq += u32::try_from(step.number % 50).expect("small");
                let method = if matches!(method, "BYE" | "CANCEL") { "INFO" } else { method };
                talk.request(method, extra, &body).into_bytes()
            }
            3 if !self.asked.is_empty() => {
                let (_, request) = &self.asked[step.number % self.asked.len()];
                let status =
                    [100, 180, 183, 200, 202, 302, 401, 407, 408, 422, 481, 487, 491, 503, 603][step.method % 15];
                answer(request, status, "fuzz", "", &sdp("10.8.0.1", 31_000)).into_bytes()
            }
            4 => {
                let mut talk = Talk::caller(
                    self.flow(step),
                    ["12345", "12369", "12366", "12380", "99999"][step.number % 5],
                    &format!("n{}", step.number),
                );
                talk.request(method, extra, &body).into_bytes()
            }
            _ => crate::PIECES
                .iter()
                .cycle()
                .skip(step.number % 44)
                .step_by(step.which % 5 + 1)
                .take(12)
                .copied()
                .collect::<Vec<_>>()
                .concat(),
        }
    }

    fn flow(&self, step: &Step) -> Flow {
        match step.from % 9 {
            0 | 1 => self.ordinary[step.which % 2].flow,
            2 => self.guarded[step.which % 2].flow,
            3 => udp(Side::Trunk, "10.2.0.9:5060"),
            4 => udp(Side::Trunk, "203.0.113.9:5060"),
            5 => udp(Side::Agent, "203.0.113.9:5060"),
            6 => flow(Side::Agent, Transport::Tcp, at("10.8.0.1:41000")),
            7 => flow(Side::Trunk, Transport::Tcp, at("10.1.0.7:41000")),
            _ => self.ordinary[step.number % 2].flow,
        }
    }

    fn take(&mut self, step: &Step) {
        let mut bytes = self.compose(step);
        for (at, octet, how) in &step.changes {
            let at = at.index(bytes.len().max(1)).min(bytes.len());
            match how % 4 {
                0 if at < bytes.len() => bytes[at] = *octet,
                1 => bytes.insert(at, *octet),
                2 if at < bytes.len() => drop(bytes.remove(at)),
                _ => bytes.truncate(at.max(bytes.len() / 2)),
            }
        }
        self.engine.receive(self.flow(step), bytes);
        self.drain();
        self.engine.run_for(Duration::from_millis(u64::from(step.wait_ms)));
        self.drain();
        let call = self.engine.calls.get(&self.emergency).expect("the emergency call lives");
        assert!(call.control().phase().is_live(), "the emergency call goes on");
        assert_eq!(call.control().legs().iter().filter(|leg| leg.talks()).count(), 2, "both of its parties are there");
    }

    fn drain(&mut self) {
        for (flow, bytes) in std::mem::take(&mut self.engine.wire) {
            // A request that cannot be read is answered with what could be copied of it, which may not be whole.
            let refusal = bytes.starts_with(b"SIP/2.0 4") || bytes.starts_with(b"SIP/2.0 5");
            let Ok(message) = Message::datagram(bytes) else {
                assert!(refusal, "what we send is well-formed");
                continue;
            };
            let guarded = self.guarded.iter().any(|talk| talk.call_id.as_bytes() == message.call_id());
            if message.is_request() && !guarded && self.asked.len() < 50 {
                self.asked.push((flow, message));
            }
        }
    }

    fn end(mut self) {
        for call in self.engine.calls.keys().copied().filter(|call| *call != self.emergency).collect::<Vec<_>>() {
            self.engine.operate(call, OperatorCommand::HangUp { leg: None, reason: EndReason::Normal });
        }
        let [mut citizen, desk] = self.guarded.clone();
        citizen.cseq += 1_000;
        let bye = citizen.request("BYE", "", "");
        self.engine.receive(citizen.flow, bye);
        for message in self.engine.sent_to(desk.flow.remote) {
            self.engine.receive(desk.flow, answer(&message, 200, "fuzz", "", ""));
        }
        self.engine.run_for(Duration::from_secs(64 + 64 + 5));
        let tables = self.engine.tables();
        assert_eq!(tables, Tables { answered_registers: tables.answered_registers, ..Tables::default() });
    }
}

#[derive(Clone, Debug)]
struct Step {
    kind: usize,
    method: usize,
    which: usize,
    number: usize,
    from: usize,
    wait_ms: u16,
    changes: Vec<(prop::sample::Index, u8, u8)>,
}

fn step() -> impl Strategy<Value = Step> {
    let changes = prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), any::<u8>()), 0..4);
    let waits = prop::sample::select(vec![0_u16, 0, 0, 1, 500, 4_000]);
    (0_usize..6, 0_usize..100, 0_usize..100, 0_usize..100, 0_usize..100, waits, changes).prop_map(
        |(kind, method, which, number, from, wait_ms, changes)| Step {
            kind,
            method,
            which,
            number,
            from,
            wait_ms,
            changes,
        },
    )
}

proptest! {
    #![proptest_config(crate::cases(120))]

    #[test]
    fn whatever_comes_an_emergency_goes_on_and_nothing_is_left_of_it(steps in prop::collection::vec(step(), 1..40)) {
        let mut town = Town::new();
        steps.iter().for_each(|step| town.take(step));
        town.end();
    }

    #[test]
    fn arbitrary_octets_from_all_sides_change_no_talk(datagrams in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..200), 1..30)) {
        let mut town = Town::new();
        let before = town.engine.calls.clone();
        for (nth, bytes) in datagrams.into_iter().enumerate() {
            let step = Step { kind: 0, method: 0, which: nth, number: nth, from: nth, wait_ms: 0, changes: Vec::new() };
            town.engine.receive(town.flow(&step), Bytes::from(bytes));
        }
        prop_assert!(town.engine.calls == before);
        town.engine.wire.clear();
        town.end();
    }
}
