//! What an agent's INVITE begins: calls of his own, star codes, talks taken over; and what it never reaches.

use super::trunks::{carrier_number, far};
use super::*;
use crate::acd::words::{DeskCommand, DeskState};
use crate::call::agent_call::{AgentCall, Wish};
use crate::call::words::FarNews;
use crate::plan::outward::OutwardWay;

/// The far end alone that needs no look-up.
const TO: &str = "trunk.carrier.to=[\"sip:127.0.0.1:7000\"]";

impl Bench {
    /// An INVITE of 1001, proved.
    fn invites(&mut self, uri: &str, named: &str, more: &str) -> String {
        let dial = |lines: &str| {
            let text = request("INVITE", "X", named, &format!("{more}{lines}"));
            text.replacen("INVITE sip:X@127.0.0.1 ", &format!("INVITE {uri} "), 1)
        };
        let first = dial("");
        self.bytes(phone(), first.clone());
        assert_eq!(self.statuses(), [401]);
        let authorization = answer(&self.sent().remove(0), &first, "1001", "demo-1001");
        let again = dial(&format!("Authorization: {authorization}\r\n"));
        let again = again.replace("branch=z9hG4bK", "branch=z9hG4bK2").replace("CSeq: 1 ", "CSeq: 2 ");
        self.bytes(phone(), again.clone());
        again
    }

    fn own(&self) -> Option<(&NewCall, &AgentCall)> {
        let new = self.begun()?;
        match &new.facts {
            Beginning::Agent(call) => Some((new, call)),
            Beginning::Trunk(_) => None,
        }
    }

    fn way(&self) -> Option<OutwardWay> {
        match &self.own()?.1.wish {
            Wish::Reach(outward) => Some(outward.way.clone()),
            Wish::Code => None,
        }
    }

    fn refusal(&self) -> (u16, String) {
        let answer = self.sent().remove(0);
        let phrase = String::from_utf8_lossy(answer.bytes()).lines().next().unwrap_or_default().to_owned();
        (answer.status().unwrap(), phrase.splitn(3, ' ').nth(2).unwrap_or_default().to_owned())
    }

    fn end(&mut self) {
        let live = self.begun().map(|new| new.identity.call);
        self.switch.call_over(live.unwrap());
        assert_eq!((self.switch.calls().names(), self.switch.admission().live()), (0, 0));
    }
}

fn outside(bench: &Bench) -> Vec<(String, String)> {
    match bench.way() {
        Some(OutwardWay::Outside(targets)) => {
            targets.iter().map(|target| (target.trunk.to_string(), target.number.clone())).collect()
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_agent_in_no_talk_begins_a_call_of_his_own() {
    let mut bench = Bench::new(&[]);
    let again = bench.invites("sip:1002@127.0.0.1", "a", "");
    let (new, call) = bench.own().unwrap();
    assert_eq!((call.agent.as_str(), call.tenant.as_str(), &*call.dialled_raw), ("1001", "p", "1002"));
    assert!(!new.emergency && bench.way() == Some(OutwardWay::Agent(AgentId::new("1002"))));
    let call = new.identity.call;
    bench.bytes(phone(), again);
    assert_eq!(bench.delivered(), [(call, LegId(0), "INVITE".to_owned())], "a repetition makes no second call");
    bench.switch.call_over(call);
    assert_eq!((bench.switch.calls().names(), bench.switch.admission().live()), (0, 0));
    bench.invites("sip:8337772@127.0.0.1", "b", "");
    assert_eq!(outside(&bench), [("carrier".to_owned(), "04768337772".to_owned())]);
    bench.end();
}

#[test]
fn what_his_class_or_the_plan_does_not_know_is_refused_and_leaves_nothing() {
    let mut bench = Bench::new(&[]);
    for (uri, status, phrase) in [
        ("sip:13800001234@127.0.0.1", 403, "Number Not Allowed By Class Of Service"),
        ("sip:+12125550100@127.0.0.1", 403, "Number Not Allowed By Class Of Service"),
        ("sip:bob@127.0.0.1", 404, "Number Not In The Plan"),
        ("sip:127.0.0.1", 404, "Number Not In The Plan"),
        ("sip:*99@127.0.0.1", 404, "Unknown Star Code"),
        ("sip:*20@127.0.0.1", 404, "Unknown Star Code"),
    ] {
        bench.invites(uri, uri, "");
        assert_eq!(bench.refusal(), (status, phrase.to_owned()), "{uri}");
        bench.assert_nothing_held();
    }
    bench.invites("sip:1002@127.0.0.1", "hops", "");
    bench.end();
}

#[test]
fn nobody_is_relayed_by_a_foreign_host_maddr_or_route() {
    let mut bench = Bench::new(&[]);
    for (nth, (uri, more)) in [
        ("sip:8337772@evil.example", ""),
        ("sip:8337772@127.0.0.1;maddr=192.0.2.66", ""),
        ("sip:8337772@127.0.0.1:5062;transport=tcp", "Route: <sip:192.0.2.66;lr>\r\n"),
        ("sips:8337772@evil.example;maddr=192.0.2.66", "Route: <sip:127.0.0.1:5062;lr>, <sip:evil.example>\r\n"),
        ("tel:8337772;phone-context=evil.example", ""),
    ]
    .into_iter()
    .enumerate()
    {
        bench.invites(uri, &format!("n{nth}"), more);
        assert_eq!(outside(&bench), [("carrier".to_owned(), "04768337772".to_owned())], "{uri}");
        bench.end();
    }
    for uri in ["sip:bob@evil.example", "sip:13800001234@evil.example", "sip:bob@127.0.0.1;maddr=192.0.2.66"] {
        bench.invites(uri, uri, "");
        assert!(bench.begun().is_none() && bench.statuses()[0] >= 403, "{uri}");
    }
}

#[test]
fn an_emergency_passes_class_caps_and_drain_and_nothing_else_does() {
    let mut bench = Bench::new(&["limits.calls_max=1"]);
    bench.switch.drain();
    bench.invites("sip:1002@127.0.0.1", "a", "");
    assert_eq!(bench.statuses(), [503]);
    assert_eq!(bench.sent()[0].header(Name::RetryAfter), Some(&b"5"[..]));
    assert!(bench.counted(&Counted::Refused(None, admission::Refused::Draining)));
    bench.invites("sip:8337772@127.0.0.1", "b", "");
    assert_eq!(bench.statuses(), [503]);
    bench.assert_nothing_held();
    for (nth, uri) in
        ["sip:120@evil.example", "sip:0476120@h", "sip:110@h", "sip:119@h", "sip:122@h"].iter().enumerate()
    {
        bench.invites(uri, &format!("e{nth}"), "Require: unheard-of\r\nReplaces: x;to-tag=a;from-tag=b\r\n");
        assert!(bench.own().is_some_and(|(new, _)| new.emergency), "{uri}");
        assert!(matches!(bench.way(), Some(OutwardWay::Emergency(_))));
    }
    assert_eq!(bench.switch.calls().len(), 5, "more than one agent's four, and beyond the cap");
}

#[test]
fn a_star_code_changes_the_desk_and_is_confirmed_whatever_the_load() {
    let away = |reason: &str| DeskCommand::Choose(DeskState::NotReady { reason: Arc::from(reason) });
    let mut bench = Bench::new(&["limits.calls_max=1"]);
    bench.call("12345", "full");
    bench.switch.drain();
    for (nth, (code, command)) in [
        ("*50", DeskCommand::Choose(DeskState::Ready)),
        ("%2A51", away("break")),
        ("*513#", away("meeting")),
        ("*52", DeskCommand::EndWrapUp),
        ("*54", DeskCommand::Choose(DeskState::SignedOut)),
    ]
    .into_iter()
    .enumerate()
    {
        let again = bench.invites(&format!("sip:{}@127.0.0.1", code.replace('#', "%23")), &format!("c{nth}"), "");
        let told = bench.out.iter().filter_map(|effect| match effect {
            SwitchEffect::Acd(AcdInput::Desk(agent, command)) => Some((agent.as_str(), command.clone())),
            _ => None,
        });
        assert_eq!(told.collect::<Vec<_>>(), [("1001", command)], "{code}");
        assert!(bench.own().is_some_and(|(_, call)| call.wish == Wish::Code), "{code}");
        let call = bench.begun().unwrap().identity.call;
        bench.bytes(phone(), again);
        assert!(!bench.out.iter().any(|effect| matches!(effect, SwitchEffect::Acd(_))), "told once");
        bench.switch.call_over(call);
    }
    assert_eq!(bench.switch.calls().len(), 1);
}

#[test]
fn one_agents_own_calls_are_bounded() {
    let mut bench = Bench::new(&[]);
    let mut calls = Vec::new();
    for nth in 0..4 {
        bench.invites("sip:1002@127.0.0.1", &format!("o{nth}"), "");
        calls.push(bench.begun().unwrap().identity.call);
    }
    bench.invites("sip:1002@127.0.0.1", "more", "");
    assert_eq!(bench.refusal(), (486, "Too Many Calls Of One Agent".to_owned()));
    bench.switch.call_over(calls.remove(0));
    bench.invites("sip:1002@127.0.0.1", "again", "");
    calls.push(bench.begun().unwrap().identity.call);
    let line = |leg| MediaLeg { call: calls[0], leg };
    bench.switch.note_line(AgentId::new("1001"), line(LegId(1)), LineState::Idle);
    bench.invites("sip:1002@127.0.0.1", "n", "");
    assert_eq!(bench.statuses(), [486], "his own line counts");
    bench.switch.note_line(AgentId::new("1001"), line(LegId(0)), LineState::Idle);
    bench.switch.note_line(AgentId::new("1001"), line(LegId(0)), LineState::Idle);
    bench.invites("sip:1002@127.0.0.1", "h", "");
    calls.push(bench.begun().unwrap().identity.call);
    bench.invites("sip:1002@127.0.0.1", "z", "");
    assert_eq!(bench.statuses(), [486]);
    calls.into_iter().for_each(|call| bench.switch.call_over(call));
    bench.assert_nothing_held();
}

#[test]
fn the_leg_out_of_an_agents_own_call_counts_on_its_trunk_until_it_is_over() {
    let mut bench = Bench::new(&["sip.options_interval=\"0s\"", "trunk.carrier.max_calls=1", TO]);
    bench.invites("sip:8337772@127.0.0.1", "a", "");
    let call = bench.begun().unwrap().identity.call;
    let name = TrunkName::new("carrier");
    let find = |bench: &mut Bench, nth: u32| {
        let mut out = Vec::new();
        bench.switch.find(at(bench.ms), (call, LookupId(nth)), &carrier_number(false), &Sockets, &mut out);
        !out.iter().any(|effect| matches!(effect, SwitchEffect::Count(Counted::RefusedOut(..))))
    };
    assert_eq!(bench.switch.admission().live_on(&name), 0, "its own leg came over no trunk");
    assert!(find(&mut bench, 1));
    let end = far("carrier", "127.0.0.1:7000");
    let begun = FarNews::Begun(Some(LookupId(1)));
    bench.switch.on_far(at(bench.ms), (call, LegId(1)), &end, begun, &mut Vec::new());
    assert_eq!(bench.switch.admission().live_on(&name), 1);
    assert!(!find(&mut bench, 2));
    bench.switch.call_over(call);
    assert_eq!((bench.switch.admission().live_on(&name), bench.switch.admission().live()), (0, 0));
}

#[test]
fn replaces_finds_its_call_by_our_tag_and_none_from_a_trunk() {
    let mut bench = Bench::new(&[]);
    let call = bench.call("12345", "a");
    let ours = String::from_utf8(bench.key.tag(call, LegId(1), 1).into()).unwrap();
    let replaces = |tag: &str| format!("Replaces: a@h;to-tag={tag};from-tag=theirs\r\n");
    bench.invites("sip:12345@127.0.0.1", "r", &replaces(&ours));
    let delivered = bench.out.iter().find_map(|effect| match effect {
        SwitchEffect::Deliver(to, CallInput::Replace { leg, agent, replaces, .. }) => {
            Some((*to, *leg >= FIRST_CONSULT, agent.to_string(), replaces.from_tag.to_string()))
        }
        _ => None,
    });
    assert_eq!(delivered, Some((call, true, "1001".to_owned(), "theirs".to_owned())));
    bench.invites("sip:12345@127.0.0.1", "s", &replaces("nobody"));
    assert_eq!(bench.statuses(), [481]);
    for bad in ["Replaces: a@h\r\n".to_owned(), replaces(&ours).repeat(2)] {
        bench.invites("sip:12345@127.0.0.1", "t", &bad);
        assert_eq!(bench.statuses(), [400], "{bad}");
    }
    bench.bytes(carrier(), request("INVITE", "12345", "u", &replaces(&ours)));
    assert_eq!(bench.statuses(), [403]);
    bench.bytes(carrier(), request("INVITE", "120", "v", &replaces(&ours)));
    assert!(bench.begun().is_some_and(|new| new.emergency), "an emergency is let in without it");
    bench.switch.call_over(call);
    bench.invites("sip:12345@127.0.0.1", "w", &replaces(&ours));
    assert_eq!(bench.statuses(), [481], "the call is over");
}
