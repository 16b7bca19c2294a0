//! Every kind of message in, what the switch makes of it, and nothing left over.

use std::collections::BTreeMap;
use std::time::Duration;

use super::words::Paths;
use super::*;
use crate::base::flow::Transport;
use crate::base::id::{LookupId, TrunkName};
use crate::base::secret::Secret;
use crate::call::words::{FIRST_CONSULT, Query, Target};
use crate::plan::load::{Files, Request, load};
use crate::plan::route::Verdict;
use crate::sip::digest::Account;
use crate::sip::digest::client::{ClientAuth, Subject};
use crate::switch::words::NewCall;

const CONFIG: &str = r#"
[trunk.carrier]
tenant = "p"
area = "0476"
from = ["127.0.0.1/32"]
to = ["sip:127.0.0.1:7000", "sip:carrier.example:7001;transport=tcp"]

[trunk.desk]
tenant = "p"
to = ["sip:127.0.0.1:7101"]
emergency = true
"#;

const AGENTS: &str = r#"
[[agent]]
id = "1001"
tenant = "p"
password = "demo-1001"
queues = ["main"]

[[agent]]
id = "1002"
tenant = "p"
password = "demo-1002"
queues = ["main"]
"#;

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
number = "110"
name = "110"
routes = [{ trunk = "desk", number = "110" }]
[[emergency]]
number = "119"
name = "119"
routes = [{ trunk = "desk", number = "119" }]
[[emergency]]
number = "120"
name = "120"
routes = [{ trunk = "desk", number = "120" }]
[[emergency]]
number = "122"
name = "122"
routes = [{ trunk = "desk", number = "122" }]

[[unit]]
name = "环保局"

[[hotline]]
number = "12345"
[[hotline]]
number = "12369"
name = "环境保护投诉举报电话"
spoken_name = "12369环保举报热线"
unit = "环保局"
mode = "整体并入"
"#;

struct Memory(BTreeMap<&'static str, &'static str>);

impl Files for Memory {
    fn read(&self, path: &str) -> Result<String, String> {
        self.0.get(path).map(|text| (*text).to_owned()).ok_or_else(|| format!("no {path}"))
    }

    fn list(&self, _directory: &str) -> Result<Vec<String>, String> {
        Ok(vec!["dialplans/p.toml".to_owned()])
    }
}

fn plan(set: &[&str]) -> Arc<Plan> {
    let files = Memory(BTreeMap::from([
        ("config/switch.toml", CONFIG),
        ("config/agents.toml", AGENTS),
        ("dialplans/p.toml", PLACE),
    ]));
    let set: Vec<String> = set.iter().map(|one| (*one).to_owned()).collect();
    let wall = at(0).wall;
    let loaded = load(&files, &Request { config: "config/switch.toml", set: &set, overlays: &[], wall });
    let faults = loaded.diagnostics.iter().map(|fault| loaded.sources.render(fault, false)).collect::<String>();
    loaded.plan.unwrap_or_else(|| panic!("{faults}"))
}

fn at(ms: u64) -> Now {
    let wall = "2026-11-20T02:00:00Z".parse().unwrap();
    Now { mono: Mono(1_000_000_000), wall }.after(Duration::from_millis(ms))
}

fn trunk_side(remote: &str) -> Flow {
    Flow {
        id: FlowId(1),
        side: Side::Trunk,
        transport: Transport::Udp,
        local: "127.0.0.1:5060".parse().unwrap(),
        remote: remote.parse().unwrap(),
    }
}

fn carrier() -> Flow {
    trunk_side("127.0.0.1:7000")
}

fn phone() -> Flow {
    Flow {
        id: FlowId(7),
        side: Side::Agent,
        transport: Transport::Tcp,
        local: "127.0.0.1:5062".parse().unwrap(),
        remote: "127.0.0.1:40000".parse().unwrap(),
    }
}

/// A request; `named` tells it from others, `lines` are further header lines.
fn request(method: &str, user: &str, named: &str, lines: &str) -> String {
    let invite = if method == "CANCEL" || method == "ACK" { "INVITE" } else { method };
    let branch = format!("z9hG4bK{}{named}", if method == "REGISTER" { "r" } else { "" });
    let cseq = if method == "CANCEL" || method == "ACK" { method } else { invite };
    format!(
        "{method} sip:{user}@127.0.0.1 SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1:7000;branch={branch}\r\n\
         From: <sip:04761234567@127.0.0.1>;tag=f{named}\r\nTo: <sip:{user}@127.0.0.1>\r\nCall-ID: {named}@h\r\n\
         CSeq: 1 {cseq}\r\nContact: <sip:c@127.0.0.1:7000>\r\nMax-Forwards: 70\r\n{lines}Content-Length: 0\r\n\r\n"
    )
}

/// An INVITE with a body that describes no session.
fn hello(user: &str) -> String {
    request("INVITE", user, "hello", "Content-Type: text/plain\r\n")
        .replace("Content-Length: 0\r\n\r\n", "Content-Length: 5\r\n\r\nhello")
}

struct Bench {
    switch: Switch,
    key: TokenKey,
    ms: u64,
    out: Vec<SwitchEffect>,
}

impl Bench {
    fn new(set: &[&str]) -> Self {
        let key = TokenKey::new([5; 16]);
        let secrets = Secrets { tokens: key, nonces: [6; 32], seed: 7 };
        Self { switch: Switch::new(plan(set), &secrets, "switch12345"), key, ms: 0, out: Vec::new() }
    }

    fn bytes(&mut self, flow: Flow, bytes: impl Into<Vec<u8>>) -> &mut Self {
        self.out.clear();
        self.switch.receive(at(self.ms), flow, Bytes::from(bytes.into()), &mut self.out);
        self
    }

    fn sent(&self) -> Vec<Message> {
        let read = |bytes: &Bytes| Message::datagram(bytes.clone()).unwrap();
        self.out
            .iter()
            .filter_map(|effect| match effect {
                SwitchEffect::Transmit(_, bytes) => Some(read(bytes)),
                _ => None,
            })
            .collect()
    }

    fn statuses(&self) -> Vec<u16> {
        self.sent().iter().filter_map(Message::status).collect()
    }

    fn begun(&self) -> Option<&NewCall> {
        self.out.iter().find_map(|effect| match effect {
            SwitchEffect::Begin(new) => Some(&**new),
            _ => None,
        })
    }

    fn delivered(&self) -> Vec<(CallId, LegId, String)> {
        self.out
            .iter()
            .filter_map(|effect| match effect {
                SwitchEffect::Deliver(call, CallInput::Sip(leg, arrived)) => {
                    Some((*call, *leg, arrived.message.cseq_method().as_str().to_owned()))
                }
                _ => None,
            })
            .collect()
    }

    fn counted(&self, counted: &Counted) -> bool {
        self.out.iter().any(|effect| matches!(effect, SwitchEffect::Count(found) if found == counted))
    }

    fn call(&mut self, user: &str, named: &str) -> CallId {
        self.bytes(carrier(), request("INVITE", user, named, ""));
        self.begun().unwrap_or_else(|| panic!("{user} begins no call")).identity.call
    }

    /// A request of a phone that answers the challenge; returns what was sent the second time.
    fn with_password(&mut self, flow: Flow, request: &dyn Fn(&str) -> String, user: &str, password: &str) -> String {
        let first = request("");
        self.bytes(flow, first);
        assert_eq!(self.statuses(), [401]);
        let challenge = self.sent().remove(0);
        let authorization = answer(&challenge, &request(""), user, password);
        let again =
            request(&format!("Authorization: {authorization}\r\n")).replace("branch=z9hG4bK", "branch=z9hG4bK2");
        let again = again.replace("CSeq: 1 ", "CSeq: 2 ");
        self.bytes(flow, again.clone());
        again
    }

    fn register(&mut self, agent: &str, named: &str) -> String {
        let again = self.with_password(
            phone(),
            &|lines| request("REGISTER", agent, named, lines),
            agent,
            &format!("demo-{agent}"),
        );
        assert_eq!(self.statuses(), [200]);
        again
    }

    fn told_reachable(&self) -> Vec<(String, bool)> {
        self.out
            .iter()
            .filter_map(|effect| match effect {
                SwitchEffect::Acd(AcdInput::Reachable(agent, is)) => Some((agent.to_string(), *is)),
                _ => None,
            })
            .collect()
    }

    fn assert_nothing_held(&self) {
        assert_eq!((self.switch.calls().names(), self.switch.calls().len()), (0, 0));
        assert_eq!(self.switch.admission().live(), 0);
        assert_eq!(self.switch.desk().remembered(), 0);
        assert_eq!(self.switch.desk().registered().count(), 0);
    }
}

fn answer(challenge: &Message, request: &str, user: &str, password: &str) -> String {
    let request = Message::datagram(Bytes::from(request.to_owned())).unwrap();
    let account = Account { user: user.to_owned(), password: Secret::new(password) };
    let method = match request.method() {
        Some(Method::Register) => "REGISTER",
        _ => "INVITE",
    };
    let subject = Subject { method, uri: request.request_uri().unwrap(), cnonce: "c" };
    let value = ClientAuth::new().answer(challenge.headers(Name::WwwAuthenticate), &account, subject).unwrap();
    String::from_utf8(value).unwrap()
}

#[test]
fn an_invite_from_a_trunk_begins_a_call_with_its_route() {
    let mut bench = Bench::new(&[]);
    bench.bytes(carrier(), request("INVITE", "12369", "a", ""));
    let new = bench.begun().unwrap();
    assert_eq!(new.facts.trunk, TrunkName::new("carrier"));
    assert_eq!(new.facts.route.number, "12369");
    assert_eq!(new.facts.route.verdict, Verdict::Hotline);
    assert_eq!(new.facts.route.caller.number.raw, "04761234567");
    assert!(!new.emergency);
    bench.bytes(carrier(), request("INVITE", "120", "b", ""));
    let new = bench.begun().unwrap();
    assert!(new.emergency && matches!(new.facts.route.verdict, Verdict::Emergency(_)));
    bench.bytes(carrier(), request("INVITE", "13811012345", "c", ""));
    assert_eq!(bench.begun().unwrap().facts.route.verdict, Verdict::Unknown, "110 inside a number is no emergency");
}

#[test]
fn an_unknown_source_gets_403_and_is_counted() {
    let mut bench = Bench::new(&[]);
    bench.bytes(trunk_side("10.9.9.9:5060"), request("INVITE", "12345", "a", ""));
    assert_eq!(bench.statuses(), [403]);
    assert!(bench.counted(&Counted::UnknownSource));
    bench.bytes(trunk_side("10.9.9.9:5060"), request("OPTIONS", "12345", "b", ""));
    assert_eq!(bench.statuses(), [403]);
    bench.assert_nothing_held();
}

#[test]
fn a_repeated_invite_and_every_cancel_reach_the_leg_the_first_made() {
    let mut bench = Bench::new(&[]);
    let call = bench.call("12345", "a");
    for method in ["INVITE", "CANCEL", "CANCEL", "ACK"] {
        bench.bytes(carrier(), request(method, "12345", "a", ""));
        assert_eq!(bench.delivered(), [(call, LegId(0), method.to_owned())]);
        assert!(bench.begun().is_none() && bench.statuses().is_empty());
    }
    bench.bytes(carrier(), request("CANCEL", "12345", "other", ""));
    assert_eq!(bench.statuses(), [481]);
    bench.switch.call_over(call);
    bench.bytes(carrier(), request("CANCEL", "12345", "a", ""));
    assert_eq!(bench.statuses(), [481], "after the call there is nothing to cancel");
    bench.assert_nothing_held();
}

#[test]
fn rfc3261_s8_2_2_2_the_same_request_by_another_way_gets_482() {
    let mut bench = Bench::new(&[]);
    let call = bench.call("12345", "a");
    let merged = request("INVITE", "12345", "a", "").replace("branch=z9hG4bK", "branch=z9hG4bKfork");
    bench.bytes(carrier(), merged);
    assert_eq!(bench.statuses(), [482]);
    assert!(bench.counted(&Counted::Merged));
    bench.switch.call_over(call);
    bench.assert_nothing_held();
}

#[test]
fn a_request_in_no_dialog_of_ours_gets_481_and_its_ack_silence() {
    let mut bench = Bench::new(&[]);
    let call = bench.call("12345", "a");
    let tagged = |method: &str, tag: &str| {
        request(method, "12345", "x", "")
            .replace("To: <sip:12345@127.0.0.1>", &format!("To: <sip:12345@127.0.0.1>;tag={tag}"))
    };
    let ours = bench.key.tag(call, LegId(0), 1);
    let forged = TokenKey::new([0; 16]).tag(call, LegId(0), 1);
    let flip = if ours.ends_with('a') { "b" } else { "a" };
    let near = format!("{}{flip}", &ours[..ours.len() - 1]);
    for tag in ["theirs", &forged, &near] {
        bench.bytes(carrier(), tagged("BYE", tag));
        assert_eq!(bench.statuses(), [481], "{tag}");
        assert!(bench.delivered().is_empty());
        bench.bytes(carrier(), tagged("ACK", tag));
        assert!(bench.statuses().is_empty() && bench.delivered().is_empty());
    }
    bench.bytes(carrier(), tagged("BYE", &ours));
    assert_eq!(bench.delivered(), [(call, LegId(0), "BYE".to_owned())]);
    bench.switch.call_over(call);
    bench.bytes(carrier(), tagged("BYE", &ours));
    assert_eq!(bench.statuses(), [481], "the call is over");
}

#[test]
fn a_response_goes_by_a_branch_of_ours_to_its_leg_and_any_other_nowhere() {
    let mut bench = Bench::new(&[]);
    let call = bench.call("12345", "a");
    let response = |branch: &str| {
        format!(
            "SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP 127.0.0.1:5060;branch={branch}\r\nFrom: <sip:a@h>;tag=1\r\n\
             To: <sip:b@h>;tag=2\r\nCall-ID: c\r\nCSeq: 1 INVITE\r\nContent-Length: 0\r\n\r\n"
        )
    };
    let ours = bench.key.branch(call, LegId(3), 1);
    for foreign in [TokenKey::new([0; 16]).branch(call, LegId(3), 1), "z9hG4bKtheirs".into(), "old".into()] {
        bench.bytes(carrier(), response(&foreign));
        assert_eq!(bench.out, [SwitchEffect::Count(Counted::Stray)]);
    }
    bench.bytes(carrier(), response(&ours));
    assert_eq!(bench.delivered(), [(call, LegId(3), "INVITE".to_owned())]);
}

#[test]
fn what_cannot_be_served_is_refused_with_the_reason() {
    let mut bench = Bench::new(&[]);
    let hops = request("INVITE", "12345", "a", "").replace("Max-Forwards: 70", "Max-Forwards: 0");
    bench.bytes(carrier(), hops);
    assert_eq!(bench.statuses(), [483]);
    bench.bytes(carrier(), request("INVITE", "12345", "b", "Require: 100rel, timer\r\n"));
    assert_eq!(bench.statuses(), [420]);
    assert_eq!(bench.sent()[0].header(Name::Unsupported), Some(&b"100rel"[..]));
    bench.bytes(carrier(), hello("12345"));
    assert_eq!(bench.statuses(), [415]);
    assert_eq!(bench.sent()[0].header(Name::Accept), Some(&b"application/sdp"[..]));
    for (method, status) in [("SUBSCRIBE", 405), ("MESSAGE", 405), ("BYE", 481), ("FROBNICATE", 501), ("OPTIONS", 200)]
    {
        bench.bytes(carrier(), request(method, "12345", method, ""));
        assert_eq!(bench.statuses(), [status], "{method}");
        let allow = bench.sent()[0].header(Name::Allow).is_some();
        assert_eq!(allow, status != 481, "{method}");
    }
    let twisted = request("INVITE", "12345", "c", "").replace("CSeq: 1 INVITE", "CSeq: 1 BYE");
    bench.bytes(carrier(), twisted);
    assert_eq!(bench.statuses(), [400]);
    let headless = request("INVITE", "12345", "d", "").replace("From:", "Frm:");
    bench.bytes(carrier(), headless);
    let told = |effect: &SwitchEffect| matches!(effect, SwitchEffect::Transmit(_, answer) if answer.starts_with(b"SIP/2.0 400 "));
    assert!(bench.out.iter().any(told) && bench.counted(&Counted::Malformed));
    bench.bytes(carrier(), "\u{0}\u{1}not sip at all");
    assert!(bench.statuses().is_empty());
    bench.assert_nothing_held();
}

#[test]
fn an_emergency_call_is_taken_whatever_it_requires() {
    let mut bench = Bench::new(&[]);
    bench.bytes(carrier(), request("INVITE", "119", "a", "Require: 100rel\r\n"));
    assert!(bench.begun().is_some_and(|new| new.emergency));
    bench.bytes(carrier(), hello("110"));
    assert!(bench.begun().is_some_and(|new| new.emergency));
}

#[test]
fn over_the_cap_503_with_retry_after_while_110_passes() {
    let mut bench = Bench::new(&["trunk.carrier.max_calls=2"]);
    let first = bench.call("12345", "a");
    bench.call("12345", "b");
    bench.bytes(carrier(), request("INVITE", "12345", "c", ""));
    assert_eq!(bench.statuses(), [503]);
    assert_eq!(bench.sent()[0].header(Name::RetryAfter), Some(&b"5"[..]));
    assert!(bench.counted(&Counted::Refused(Some(TrunkName::new("carrier")), admission::Refused::TrunkCalls)));
    assert_eq!(bench.switch.calls().len(), 2, "the refused one left nothing");
    bench.call("110", "d");
    bench.switch.call_over(first);
    bench.bytes(carrier(), request("INVITE", "12345", "e", ""));
    assert_eq!(bench.statuses(), [503], "the emergency call counts");
}

#[test]
fn draining_lets_only_emergencies_in() {
    let mut bench = Bench::new(&[]);
    bench.switch.drain();
    bench.bytes(carrier(), request("INVITE", "12345", "a", ""));
    assert_eq!(bench.statuses(), [503]);
    bench.call("122", "b");
}

#[test]
fn a_name_in_gbk_passes_octet_by_octet() {
    let mut bench = Bench::new(&[]);
    let name = b"From: \"\xc4\xe3\xba\xc3\" <sip:04761234567@127.0.0.1>;tag=fa";
    let text = request("INVITE", "12345", "a", "");
    let (before, after) = text.split_once("From: <sip:04761234567@127.0.0.1>;tag=fa").unwrap();
    let bytes = [before.as_bytes(), name, after.as_bytes()].concat();
    bench.bytes(carrier(), bytes);
    let new = bench.begun().unwrap();
    assert!(new.invite.message.bytes().windows(4).any(|window| window == b"\xc4\xe3\xba\xc3"));
    assert_eq!(new.facts.route.caller.number.raw, "04761234567");
}

#[test]
fn rfc3261_s10_3_a_phone_registers_and_is_found() {
    let mut bench = Bench::new(&[]);
    bench.register("1001", "r");
    assert_eq!(bench.told_reachable(), [("1001".to_owned(), true)]);
    assert_eq!(bench.switch.desk().registered().count(), 1);
    let found = bench.find(Query::Agent(AgentId::new("1001")));
    assert_eq!(found.len(), 1);
    assert_eq!((found[0].flow, &*found[0].uri), (phone(), "sip:c@127.0.0.1:7000"));
    assert!(bench.find(Query::Agent(AgentId::new("1002"))).is_empty());
}

#[test]
fn a_granted_register_repeated_gets_its_answer_and_a_captured_one_is_challenged() {
    let mut bench = Bench::new(&[]);
    let granted = bench.register("1001", "r");
    let first = bench.sent()[0].bytes().clone();
    bench.ms += 500;
    bench.bytes(phone(), granted.clone());
    assert_eq!(bench.sent()[0].bytes(), &first, "the nonce count is the same, and so is the answer");
    bench.bytes(phone(), granted.replace("branch=z9hG4bK", "branch=z9hG4bKstolen"));
    assert_eq!(bench.statuses(), [401]);
    bench.ms += 32_000;
    bench.switch.on_deadline(at(bench.ms), &mut Vec::new());
    assert_eq!(bench.switch.desk().remembered(), 0);
    bench.bytes(phone(), granted);
    assert_eq!(bench.statuses(), [401]);
}

#[test]
fn a_stale_nonce_is_said_to_be_stale() {
    let mut bench = Bench::new(&[]);
    bench.bytes(phone(), request("REGISTER", "1001", "r", ""));
    let challenge = bench.sent().remove(0);
    let authorization = answer(&challenge, &request("REGISTER", "1001", "r", ""), "1001", "demo-1001");
    bench.ms += 301_000;
    bench.bytes(phone(), request("REGISTER", "1001", "r2", &format!("Authorization: {authorization}\r\n")));
    assert_eq!(bench.statuses(), [401]);
    let again = bench.sent()[0].header(Name::WwwAuthenticate).unwrap().to_vec();
    assert!(String::from_utf8(again).unwrap().contains("stale=true"));
    bench.assert_nothing_held();
}

#[test]
fn nobody_registers_for_another_or_from_the_trunk_side() {
    let mut bench = Bench::new(&[]);
    bench.with_password(phone(), &|lines| request("REGISTER", "1002", "r", lines), "1001", "demo-1001");
    assert_eq!(bench.statuses(), [403]);
    bench.with_password(phone(), &|lines| request("REGISTER", "1001", "w", lines), "1001", "demo-1002");
    assert_eq!(bench.statuses(), [401]);
    bench.bytes(carrier(), request("REGISTER", "1001", "t", ""));
    assert_eq!(bench.statuses(), [403]);
    bench.bytes(phone(), request("REGISTER", "1001", "q", "Require: outbound\r\n"));
    assert_eq!(bench.statuses(), [420]);
    assert_eq!(bench.switch.desk().registered().count(), 0);
}

#[test]
fn a_connection_that_goes_takes_the_phones_on_it() {
    let mut bench = Bench::new(&[]);
    bench.register("1001", "r");
    bench.out.clear();
    bench.switch.closed(FlowId(8), &mut bench.out);
    assert!(bench.told_reachable().is_empty());
    bench.switch.closed(phone().id, &mut bench.out);
    assert_eq!(bench.told_reachable(), [("1001".to_owned(), false)]);
    assert!(bench.find(Query::Agent(AgentId::new("1001"))).is_empty());
}

#[test]
fn an_agent_out_of_a_talk_may_not_call_and_in_one_he_consults() {
    let mut bench = Bench::new(&[]);
    let invite = |lines: &str| request("INVITE", "1002", "x", lines);
    bench.with_password(phone(), &invite, "1001", "demo-1001");
    assert_eq!(bench.statuses(), [403]);
    let call = bench.call("12345", "a");
    let (agent, leg) = (AgentId::new("1001"), MediaLeg { call, leg: LegId(1) });
    bench.switch.note_line(agent.clone(), leg, LineState::Talking);
    let consult = |lines: &str| request("INVITE", "1002", "y", lines);
    let again = bench.with_password(phone(), &consult, "1001", "demo-1001");
    let leg_of = bench.out.iter().find_map(|effect| match effect {
        SwitchEffect::Deliver(to, CallInput::Consult { leg, agent, dialled, .. }) => {
            assert_eq!((*to, agent.as_str(), &**dialled), (call, "1001", "1002"));
            Some(*leg)
        }
        _ => None,
    });
    let consult_leg = leg_of.unwrap();
    assert!(consult_leg >= FIRST_CONSULT);
    let cancel = request("CANCEL", "1002", "y", "").replace("branch=z9hG4bK", "branch=z9hG4bK2");
    let cancel = cancel.replace("CSeq: 1 ", "CSeq: 2 ");
    bench.bytes(phone(), cancel);
    assert_eq!(bench.delivered(), [(call, consult_leg, "CANCEL".to_owned())]);
    bench.bytes(phone(), again);
    assert_eq!(bench.delivered(), [(call, consult_leg, "INVITE".to_owned())], "a repetition needs no new proof");
    bench.switch.note_line(agent, leg, LineState::Idle);
    bench.switch.call_over(call);
    assert_eq!((bench.switch.calls().names(), bench.switch.admission().live()), (0, 0));
}

#[test]
fn who_shows_no_password_makes_no_state() {
    let mut bench = Bench::new(&[]);
    let stranger = Flow { remote: "10.0.0.1:5060".parse().unwrap(), ..phone() };
    for nth in 0..200 {
        bench.ms += 1;
        let named = format!("n{nth}");
        for method in ["REGISTER", "INVITE", "OPTIONS", "BYE", "CANCEL", "ACK", "INFO", "MESSAGE", "WHATEVER"] {
            bench.bytes(stranger, request(method, "1001", &named, ""));
            bench.bytes(trunk_side("10.0.0.1:5060"), request(method, "12345", &named, ""));
        }
        let guess = "Authorization: Digest username=\"1001\", realm=\"switch12345\", nonce=\"x\", uri=\"sip:1001@127.0.0.1\", \
                     response=\"00000000000000000000000000000000\"\r\n";
        bench.bytes(stranger, request("REGISTER", "1001", &format!("g{nth}"), guess));
        assert_eq!(bench.statuses(), [401]);
    }
    bench.assert_nothing_held();
}

#[test]
fn every_table_is_empty_again_after_the_longest_timer() {
    let mut bench = Bench::new(&[]);
    let calls: Vec<CallId> = (0..20).map(|nth| bench.call("12345", &format!("c{nth}"))).collect();
    bench.register("1001", "r");
    bench.with_password(
        phone(),
        &|lines| request("REGISTER", "1001", "gone", &format!("Expires: 0\r\n{lines}")),
        "1001",
        "demo-1001",
    );
    for call in calls {
        bench.switch.note_line(AgentId::new("1001"), MediaLeg { call, leg: LegId(1) }, LineState::Talking);
        bench.switch.call_over(call);
        bench.switch.note_line(AgentId::new("1001"), MediaLeg { call, leg: LegId(1) }, LineState::Talking);
    }
    bench.ms += 64 * 500 + 5_000;
    while let Some(due) = bench.switch.deadline().filter(|due| *due <= at(bench.ms).mono) {
        bench.switch.on_deadline(Now { mono: due, wall: at(bench.ms).wall }, &mut bench.out);
    }
    bench.assert_nothing_held();
}

struct Sockets;

impl Paths for Sockets {
    fn flow_to(&self, side: Side, transport: Transport, remote: SocketAddr) -> Option<Flow> {
        Some(Flow { side, transport, remote, ..carrier() })
    }
}

impl Bench {
    fn find(&mut self, query: Query) -> Vec<Target> {
        let call = CallId(Ulid::compose(at(0).wall, 0, &TenantName::new("p"), 1));
        let mut out = Vec::new();
        self.switch.find(call, LookupId(1), &query, &Sockets, &mut out);
        match out.remove(0) {
            SwitchEffect::Deliver(_, CallInput::Found(LookupId(1), targets)) => targets.0,
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_trunk_is_found_at_its_addresses_in_order_and_an_unresolved_name_nowhere() {
    let mut bench = Bench::new(&[]);
    let query =
        || Query::Trunk { trunk: TrunkName::new("carrier"), number: Arc::from("04768337772"), emergency: false };
    let found = bench.find(query());
    assert_eq!(found.iter().map(|target| &*target.uri).collect::<Vec<_>>(), ["sip:04768337772@127.0.0.1:7000"]);
    bench.switch.resolved("carrier.example", vec!["192.0.2.7:0".parse().unwrap()]);
    let found = bench.find(query());
    assert_eq!(found[1].uri.as_ref(), "sip:04768337772@192.0.2.7:7001;transport=tcp");
    assert_eq!(found[1].flow.transport, Transport::Tcp);
    assert!(
        bench.find(Query::Trunk { trunk: TrunkName::new("none"), number: Arc::from("1"), emergency: true }).is_empty()
    );
}
