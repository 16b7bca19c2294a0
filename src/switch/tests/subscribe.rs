//! Lamps: subscriptions to agents' lines, what they show, and how each of them ends.

use super::*;
use crate::sip::print::Draft;

const LINES: &str = "Event: dialog\r\nAccept: application/dialog-info+xml\r\nExpires: 600\r\n";

fn lamp() -> Flow {
    Flow { transport: Transport::Udp, ..phone() }
}

fn subscribe(named: &str, lines: &str) -> String {
    request("SUBSCRIBE", "1002", named, lines)
}

/// `1002`'s leg 1 in a call.
fn line(call: CallId) -> (AgentId, MediaLeg) {
    (AgentId::new("1002"), MediaLeg { call, leg: LegId(1) })
}

struct Shown {
    /// `Subscription-State`.
    state: String,
    version: u32,
    /// The words of the dialogs' states.
    dialogs: Vec<String>,
}

impl Bench {
    /// 1001 watches 1002; the NOTIFY that came at once.
    fn watch(&mut self, flow: Flow, named: &str, lines: &str) -> Message {
        self.with_password(flow, &|more| subscribe(named, &format!("{lines}{more}")), "1001", "demo-1001");
        assert_eq!(self.statuses(), [200], "{named}");
        self.notifies().remove(0)
    }

    fn notifies(&self) -> Vec<Message> {
        self.sent().into_iter().filter(|sent| sent.is(&Method::Notify)).collect()
    }

    /// Lets the switch do what is due by now.
    fn due(&mut self) -> Vec<Message> {
        self.out.clear();
        while let Some(due) = self.switch.deadline().filter(|due| *due <= at(self.ms).mono) {
            let now = Now { mono: due.max(at(0).mono), wall: at(self.ms).wall };
            self.switch.on_deadline(now, &mut self.out);
        }
        self.notifies()
    }

    fn answer_notify(&mut self, notify: &Message, status: u16) {
        let answer = Draft::response(notify, status, None).finish();
        self.bytes(lamp(), answer.bytes().to_vec());
    }

    fn line_is(&mut self, call: CallId, state: LineState) -> Vec<Message> {
        let (agent, leg) = line(call);
        self.switch.note_line(agent, leg, state);
        self.due()
    }

    /// A request inside the subscription that `notify` belongs to.
    fn again(&mut self, notify: &Message, cseq: u32, lines: &str) -> u16 {
        let tag = String::from_utf8_lossy(notify.from_tag().unwrap()).into_owned();
        let within = |more: &str| {
            subscribe("w", &format!("{lines}{more}"))
                .replace("To: <sip:1002@127.0.0.1>", &format!("To: <sip:1002@127.0.0.1>;tag={tag}"))
                .replace("branch=z9hG4bKw", &format!("branch=z9hG4bKw{cseq}"))
                .replace("CSeq: 1 ", &format!("CSeq: {cseq} "))
        };
        self.bytes(lamp(), within(""));
        let challenge = self.sent().remove(0);
        if challenge.status() != Some(401) {
            return challenge.status().unwrap();
        }
        let authorization = answer(&challenge, &within(""), "1001", "demo-1001");
        let lines = format!("Authorization: {authorization}\r\n");
        self.bytes(lamp(), within(&lines).replace(&format!("CSeq: {cseq} "), &format!("CSeq: {} ", cseq + 1)));
        self.statuses()[0]
    }
}

fn shown(notify: &Message) -> Shown {
    let body = String::from_utf8(notify.body().to_vec()).unwrap();
    let between =
        |text: &str, from: &str, to: &str| text.split(from).nth(1).unwrap().split(to).next().unwrap().to_owned();
    Shown {
        state: String::from_utf8_lossy(notify.header(Name::SubscriptionState).unwrap()).into_owned(),
        version: between(&body, "dialog-info\" version=\"", "\"").parse().unwrap(),
        dialogs: body.split("<state>").skip(1).map(|rest| rest.split('<').next().unwrap().to_owned()).collect(),
    }
}

#[test]
fn rfc6665_s4_2_a_subscription_is_granted_and_told_the_full_state_at_once() {
    let mut bench = Bench::new(&[]);
    let call = bench.call("12345", "a");
    bench.line_is(call, LineState::Talking);
    let record = "Record-Route: <sip:edge;lr>\r\n";
    let notify = bench.watch(lamp(), "w", &format!("{LINES}{record}"));
    let granted = bench.sent().remove(0);
    assert_eq!(granted.header(Name::Expires), Some(&b"600"[..]));
    assert!(granted.contact().is_some() && granted.header(Name::RecordRoute).is_some());
    assert_eq!(granted.to_tag(), notify.from_tag());
    assert_eq!((notify.to_tag(), notify.call_id()), (Some(&b"fw"[..]), &b"w@h"[..]));
    assert_eq!(notify.request_uri(), Some(&b"sip:c@127.0.0.1:7000"[..]));
    assert_eq!(
        (notify.header(Name::Route), notify.header(Name::Event)),
        (Some(&b"<sip:edge;lr>"[..]), Some(&b"dialog"[..]))
    );
    assert!(notify.is_content("application/dialog-info+xml"));
    let shown = shown(&notify);
    assert_eq!((shown.state.as_str(), shown.version), ("active;expires=600", 0));
    assert_eq!(shown.dialogs, ["confirmed"]);
    let body = String::from_utf8_lossy(notify.body()).into_owned();
    assert!(body.contains("entity=\"sip:1002@127.0.0.1\"") && !body.contains("04761234567"), "{body}");
}

#[test]
fn a_call_is_shown_ringing_talking_held_and_gone_in_this_order() {
    let mut bench = Bench::new(&[]);
    let call = bench.call("12345", "a");
    let mut notify = bench.watch(lamp(), "w", LINES);
    assert!(shown(&notify).dialogs.is_empty());
    let states = [
        (LineState::Ringing, "early"),
        (LineState::Talking, "confirmed"),
        (LineState::Held, "confirmed"),
        (LineState::Idle, "terminated"),
    ];
    for (version, (state, word)) in (1..).zip(states) {
        bench.answer_notify(&notify, 200);
        notify = bench.line_is(call, state).remove(0);
        let shown = shown(&notify);
        assert_eq!((shown.version, shown.dialogs), (version, vec![word.to_owned()]));
    }
    bench.answer_notify(&notify, 200);
    assert!(bench.line_is(call, LineState::Idle).is_empty(), "no news, no NOTIFY");
    let next = bench.call("12345", "b");
    let notify = bench.line_is(next, LineState::Ringing).remove(0);
    assert_eq!(shown(&notify).dialogs, ["early"], "an end is told once");
}

#[test]
fn one_notify_is_in_flight_and_the_next_says_how_things_stand() {
    let mut bench = Bench::new(&[]);
    let call = bench.call("12345", "a");
    let first = bench.watch(lamp(), "w", LINES);
    for state in [LineState::Ringing, LineState::Talking, LineState::Idle, LineState::Ringing] {
        assert!(bench.line_is(call, state).is_empty(), "the first is not answered yet");
    }
    bench.answer_notify(&first, 100);
    assert!(bench.due().is_empty(), "a provisional answer is none");
    bench.answer_notify(&first, 200);
    let second = bench.due().remove(0);
    assert_eq!((shown(&second).version, shown(&second).dialogs), (1, vec!["early".to_owned()]));
    assert_eq!((first.cseq().number, second.cseq().number), (1, 2));
    bench.answer_notify(&first, 200);
    assert!(bench.line_is(call, LineState::Talking).is_empty(), "a repeated answer is to the first one");
}

#[test]
fn a_call_that_ends_without_a_word_ends_the_lamp_too() {
    let mut bench = Bench::new(&[]);
    let call = bench.call("12345", "a");
    bench.line_is(call, LineState::Talking);
    let notify = bench.watch(lamp(), "w", LINES);
    bench.answer_notify(&notify, 200);
    bench.switch.call_over(call);
    let notify = bench.due().remove(0);
    assert_eq!(shown(&notify).dialogs, ["terminated"]);
}

#[test]
fn a_refresh_is_told_the_state_and_moves_the_target_and_an_end_is_confirmed() {
    let mut bench = Bench::new(&[]);
    let notify = bench.watch(lamp(), "w", LINES);
    bench.answer_notify(&notify, 200);
    bench.ms += 300_000;
    assert_eq!(bench.again(&notify, 10, LINES), 200);
    let refreshed = bench.notifies().remove(0);
    assert_eq!((shown(&refreshed).state.as_str(), shown(&refreshed).version), ("active;expires=600", 1));
    bench.answer_notify(&refreshed, 200);
    assert_eq!(bench.again(&notify, 5, LINES), 500, "an older request");
    assert_eq!(bench.again(&notify, 20, "Event: dialog;id=7\r\n"), 481, "another event");
    assert_eq!(bench.again(&notify, 30, "Event: dialog\r\nExpires: 30\r\n"), 423);
    assert_eq!(bench.again(&notify, 40, "Event: dialog\r\nExpires: 0\r\n"), 200);
    let last = bench.notifies().remove(0);
    assert_eq!(shown(&last).state, "terminated;reason=timeout");
    bench.answer_notify(&last, 200);
    assert_eq!(bench.again(&notify, 50, LINES), 481);
    bench.ms += 40_000;
    bench.due();
    assert_eq!(bench.switch.watching(), (0, 0, 0));
}

#[test]
fn unrefreshed_it_expires_with_a_last_word() {
    let mut bench = Bench::new(&[]);
    let notify = bench.watch(lamp(), "w", LINES);
    bench.answer_notify(&notify, 200);
    bench.ms += 599_999;
    assert!(bench.due().is_empty());
    bench.ms += 1;
    assert_eq!(shown(&bench.due().remove(0)).state, "terminated;reason=timeout");
    assert_eq!(bench.switch.watching().1, 0);
}

#[test]
fn expires_0_fetches_once() {
    let mut bench = Bench::new(&[]);
    let notify = bench.watch(lamp(), "w", "Event: dialog\r\nExpires: 0\r\n");
    assert_eq!(shown(&notify).state, "terminated;reason=timeout");
    assert_eq!(bench.switch.watching(), (0, 0, 1));
    bench.answer_notify(&notify, 200);
    assert_eq!(bench.switch.watching(), (0, 0, 0));
}

#[test]
fn a_notify_that_fails_ends_the_subscription() {
    for status in [481, 404, 503, 302] {
        let mut bench = Bench::new(&[]);
        let notify = bench.watch(lamp(), "w", LINES);
        bench.answer_notify(&notify, status);
        assert_eq!(bench.switch.watching(), (0, 0, 0), "{status}");
    }
    let mut bench = Bench::new(&[]);
    bench.watch(lamp(), "w", LINES);
    bench.ms += 31_999;
    assert_eq!(bench.due().len(), 10, "repeated");
    assert_eq!(bench.switch.watching().0, 1);
    bench.ms += 1;
    bench.due();
    assert_eq!(bench.switch.watching(), (0, 0, 0), "unanswered for 64 T1");
}

#[test]
fn a_lost_connection_takes_its_subscriptions() {
    let mut bench = Bench::new(&[]);
    let other = Flow { id: FlowId(8), ..phone() };
    let notify = bench.watch(phone(), "w", LINES);
    bench.watch(other, "v", LINES);
    bench.answer_notify(&notify, 200);
    bench.switch.closed(at(0), phone().id, &mut Vec::new());
    assert_eq!((bench.switch.watching().0, bench.switch.watching().2), (1, 1));
    bench.switch.closed(at(0), other.id, &mut Vec::new());
    assert_eq!(bench.switch.watching(), (0, 0, 0), "with the NOTIFY in flight over it");
}

#[test]
fn what_cannot_be_watched_is_refused_with_the_reason() {
    let mut bench = Bench::new(&[]);
    for (nth, event) in ["", "Event: presence\r\n", "Event: message-summary\r\n", "Event: reg\r\n"].iter().enumerate() {
        bench.bytes(lamp(), subscribe(&format!("e{nth}"), event));
        assert_eq!(bench.statuses(), [489], "{event}");
        assert_eq!(bench.sent()[0].header(Name::AllowEvents), Some(&b"dialog"[..]));
    }
    bench.bytes(lamp(), subscribe("x", "Event: dialog\r\nAccept: application/pidf+xml, text/plain\r\n"));
    assert_eq!(bench.statuses(), [406]);
    bench.bytes(lamp(), subscribe("y", &format!("{LINES}Require: eventlist\r\n")));
    assert_eq!(bench.statuses(), [420]);
    let brief = |more: &str| subscribe("z", &format!("Event: dialog\r\nExpires: 59\r\n{more}"));
    bench.with_password(lamp(), &brief, "1001", "demo-1001");
    assert_eq!((bench.statuses(), bench.sent()[0].header(Name::MinExpires)), (vec![423], Some(&b"60"[..])));
    let nobody = |more: &str| request("SUBSCRIBE", "1999", "n", &format!("{LINES}{more}"));
    bench.with_password(lamp(), &nobody, "1001", "demo-1001");
    assert_eq!(bench.statuses(), [404]);
    let mute =
        |more: &str| subscribe("m", &format!("{LINES}{more}")).replace("Contact: <sip:c@127.0.0.1:7000>\r\n", "");
    bench.with_password(lamp(), &mute, "1001", "demo-1001");
    assert_eq!(bench.statuses(), [400]);
    for method in ["MESSAGE", "PUBLISH"] {
        bench.bytes(lamp(), request(method, "1002", method, ""));
        assert_eq!(bench.statuses(), [405], "{method}");
        assert!(bench.sent()[0].has_token(Name::Allow, "SUBSCRIBE"));
    }
    assert_eq!(bench.switch.watching(), (0, 0, 0));
}

#[test]
fn nobody_else_refreshes_or_ends_it() {
    let mut bench = Bench::new(&[]);
    let notify = bench.watch(lamp(), "w", LINES);
    let tag = String::from_utf8_lossy(notify.from_tag().unwrap()).into_owned();
    let to = format!("To: <sip:1002@127.0.0.1>;tag={tag}");
    let within = |more: &str| {
        subscribe("w", &format!("Event: dialog\r\nExpires: 0\r\n{more}"))
            .replace("To: <sip:1002@127.0.0.1>", &to)
            .replace("branch=z9hG4bKw", "branch=z9hG4bKother")
    };
    bench.with_password(lamp(), &within, "1002", "demo-1002");
    assert_eq!(bench.statuses(), [481], "another agent");
    for (method, forged) in [("SUBSCRIBE", "x"), ("NOTIFY", &*tag), ("BYE", &*tag)] {
        let stray = request(method, "1002", &format!("s{method}"), LINES)
            .replace("To: <sip:1002@127.0.0.1>", &format!("To: <sip:1002@127.0.0.1>;tag={forged}"));
        bench.bytes(lamp(), stray);
        assert_eq!(bench.statuses(), [481], "{method}");
    }
    assert_eq!(bench.switch.watching().0, 1);
}

#[test]
fn a_repeated_subscribe_gets_its_answer_and_makes_no_second_one() {
    let mut bench = Bench::new(&[]);
    let again = bench.with_password(lamp(), &|more| subscribe("w", &format!("{LINES}{more}")), "1001", "demo-1001");
    let first = bench.sent().remove(0);
    bench.bytes(lamp(), again);
    assert_eq!(bench.sent().len(), 1);
    assert_eq!(bench.sent()[0].bytes(), first.bytes());
    assert_eq!(bench.switch.watching().0, 1);
}

#[test]
fn subscriptions_are_bounded_for_one_agent_and_the_oldest_gives_way() {
    let mut bench = Bench::new(&[]);
    for nth in 0..64 {
        bench.ms += 10;
        let notify = bench.watch(lamp(), &format!("w{nth}"), LINES);
        bench.answer_notify(&notify, 200);
    }
    bench.watch(lamp(), "more", LINES);
    let told = bench.notifies();
    assert_eq!(told.len(), 2);
    let ended = told.iter().find(|notify| shown(notify).state.starts_with("terminated")).unwrap();
    assert_eq!((shown(ended).state.as_str(), ended.call_id()), ("terminated;reason=giveup", &b"w0@h"[..]));
    assert_eq!(bench.switch.watching().0, 64);
}

#[test]
fn a_reload_ends_what_concerns_agents_who_are_no_more() {
    let mut bench = Bench::new(&[]);
    let notify = bench.watch(lamp(), "w", LINES);
    bench.answer_notify(&notify, 200);
    let mut fewer = Plan::clone(&plan(&[]));
    Arc::make_mut(&mut fewer.settings).agents.remove(&AgentId::new("1002"));
    bench.switch.replan(Arc::new(fewer), &mut Vec::new());
    assert_eq!(shown(&bench.due().remove(0)).state, "terminated;reason=noresource");
    assert_eq!(bench.switch.watching().1, 0);
}
