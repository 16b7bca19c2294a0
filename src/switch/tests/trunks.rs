//! Far ends probed and judged, names located, caps both ways, maintenance, loops.

use super::*;
use crate::base::now::Mono as Instant;
use crate::call::words::{FarEnd, FarNews};
use crate::event::alarm::AlarmName;
use crate::switch::locate::{Found, Question, Records, Search, Wanted};

/// Three far ends of one order, probed each 10 s; a trunk with one; nothing by name.
const PLAIN: &[&str] = &[
    "trunk.carrier.to=[{uri=\"sip:127.0.0.1:7000\",order=1,weight=1},{uri=\"sip:127.0.0.1:7001\",order=1,weight=3},\
     {uri=\"sip:127.0.0.1:7002\",order=1,weight=0},{uri=\"sip:127.0.0.1:7003\",order=2,weight=9}]",
    "sip.options_interval=\"10s\"",
];

fn mono(ms: u64) -> Instant {
    at(ms).mono
}

pub(super) fn far(trunk: &str, remote: &str) -> FarEnd {
    FarEnd { trunk: TrunkName::new(trunk), transport: Transport::Udp, remote: remote.parse().unwrap() }
}

pub(super) fn carrier_number(emergency: bool) -> Query {
    Query::Trunk { trunk: TrunkName::new("carrier"), number: Arc::from("04768337772"), emergency }
}

pub(super) fn response(request: &Message, status: u16, lines: &str) -> String {
    let text = String::from_utf8_lossy(request.bytes()).into_owned();
    let kept =
        text.lines().filter(|line| ["Via:", "From:", "Call-ID:", "CSeq:"].iter().any(|name| line.starts_with(name)));
    let kept: String = kept.map(|line| format!("{line}\r\n")).collect();
    let to = text.lines().find(|line| line.starts_with("To:")).unwrap_or_default();
    format!("SIP/2.0 {status} X\r\n{kept}{to};tag=t\r\n{lines}Content-Length: 0\r\n\r\n")
}

impl Bench {
    /// Lets time pass; what was sent meanwhile, with the moment.
    pub(super) fn pass(&mut self, ms: u64) -> Vec<(u64, Flow, Message)> {
        let end = self.ms + ms;
        let mut sent = Vec::new();
        self.out.clear();
        self.switch.tend(at(self.ms), &Sockets, &mut self.out);
        loop {
            for effect in &self.out {
                if let SwitchEffect::Transmit(flow, bytes) = effect {
                    sent.push((self.ms, *flow, Message::datagram(bytes.clone()).unwrap()));
                }
            }
            self.kept.append(&mut self.out);
            match self.switch.deadline().filter(|due| *due <= mono(end)) {
                Some(due) => {
                    self.ms = self.ms.max(due.since(mono(0)).as_millis() as u64 + 1).min(end);
                    self.switch.on_deadline(at(self.ms), &mut self.out);
                    self.switch.tend(at(self.ms), &Sockets, &mut self.out);
                }
                None => break,
            }
        }
        self.ms = end;
        sent
    }

    /// Lets time pass while each far end answers its OPTIONS with a status, or not.
    fn probed(&mut self, ms: u64, answers: impl Fn(u16) -> Option<u16>) {
        for _ in 0..ms / 100 {
            for (_, flow, message) in self.pass(100) {
                let status = answers(flow.remote.port()).filter(|_| message.is(&Method::Options));
                if let Some(status) = status {
                    self.bytes(flow, response(&message, status, ""));
                    self.kept.append(&mut self.out);
                }
            }
        }
    }

    fn turns(&mut self) -> Vec<(u16, bool)> {
        let turned = self.kept.iter().filter_map(|effect| match effect {
            SwitchEffect::Count(Counted::Turned(far, up)) => Some((far.remote.port(), *up)),
            _ => None,
        });
        let turned = turned.collect();
        self.kept.retain(|effect| matches!(effect, SwitchEffect::Alarm(_)));
        turned
    }

    pub(super) fn alarms(&mut self) -> Vec<(AlarmName, String, bool)> {
        let found = std::mem::take(&mut self.kept).into_iter().filter_map(|effect| match effect {
            SwitchEffect::Alarm(note) => Some((note.name, note.subject, note.raised)),
            _ => None,
        });
        found.collect()
    }

    fn ports(&mut self) -> Vec<u16> {
        self.find(carrier_number(false)).iter().map(|target| target.flow.remote.port()).collect()
    }

    fn news(&mut self, remote: &str, news: FarNews) {
        let call = CallId(Ulid::from_bits(1));
        self.switch.on_far(at(self.ms), (call, LegId(1)), &far("carrier", remote), news, &mut self.kept);
    }
}

#[test]
fn nothing_is_probed_before_the_switch_is_tended_and_every_far_end_within_a_second_after() {
    let mut bench = Bench::new(PLAIN);
    assert_eq!(bench.switch.deadline(), None);
    let mut asked: Vec<_> = bench
        .pass(1_000)
        .iter()
        .map(|(_, flow, message)| {
            assert!(message.is(&Method::Options), "{message:?}");
            flow.remote.port()
        })
        .collect();
    asked.sort_unstable();
    asked.dedup();
    assert_eq!(asked, [7_000, 7_001, 7_002, 7_003, 7_101]);
    assert_eq!(bench.switch.trunk_views(at(0)).first().map(|trunk| trunk.state), Some("up"), "unknown is in use");
}

#[test]
fn zero_is_never() {
    let mut bench = Bench::new(&["sip.options_interval=\"0s\""]);
    assert!(bench.pass(600_000).is_empty());
    bench.news("127.0.0.1:7000", FarNews::Lost);
    bench.news("127.0.0.1:7000", FarNews::Lost);
    assert_eq!(bench.turns(), [(7_000, false)], "calls judge it all the same");
    bench.pass(59_000);
    assert!(bench.switch.trunks.is_down(&far("carrier", "127.0.0.1:7000")));
    bench.pass(2_000);
    assert!(!bench.switch.trunks.is_down(&far("carrier", "127.0.0.1:7000")), "and forget: no probe brings it back");
}

#[test]
fn two_losses_take_a_far_end_out_of_use_and_two_answers_bring_it_back() {
    let mut bench = Bench::new(PLAIN);
    bench.probed(30_000, |port| (port != 7_001).then_some(200));
    assert_eq!(bench.turns(), [(7_001, false)]);
    assert_eq!(bench.ports().last(), Some(&7_001), "last, but not left out");
    bench.probed(9_000, |_| Some(200));
    assert!(bench.turns().is_empty(), "one good answer is not enough");
    bench.probed(10_000, |_| Some(200));
    assert_eq!(bench.turns(), [(7_001, true)]);
}

#[test]
fn any_answer_is_a_sign_of_life_except_503_and_408() {
    for (status, alive) in [(200, true), (404, true), (405, true), (483, true), (603, true), (503, false), (408, false)]
    {
        let mut bench = Bench::new(PLAIN);
        bench.probed(30_000, |_| Some(status));
        assert_eq!(bench.turns().is_empty(), alive, "{status}");
    }
}

#[test]
fn the_alarm_lasts_while_no_far_end_is_in_use() {
    let mut bench = Bench::new(PLAIN);
    bench.probed(30_000, |port| (port == 7_003).then_some(200));
    assert_eq!(bench.alarms(), [(AlarmName::TrunkDown, "desk".to_owned(), true)]);
    bench.probed(30_000, |_| None);
    assert_eq!(bench.alarms(), [(AlarmName::TrunkDown, "carrier".to_owned(), true)]);
    assert_eq!(bench.ports().len(), 4, "a call tries them rather than nothing");
    bench.probed(30_000, |port| (port == 7_003).then_some(200));
    assert_eq!(bench.alarms(), [(AlarmName::TrunkDown, "carrier".to_owned(), false)]);
    bench.switch.replan(plan(&[PLAIN, &["trunk.desk.to=[\"sip:127.0.0.1:7109\"]"]].concat()), &mut Vec::new());
    bench.pass(1);
    assert_eq!(bench.alarms(), [(AlarmName::TrunkDown, "desk".to_owned(), false)], "a far end that is new is in use");
}

#[test]
fn a_probe_under_way_is_one_and_its_late_or_foreign_answer_nothing() {
    let mut bench = Bench::new(PLAIN);
    let sent = bench.pass(9_900);
    let first = sent.iter().find(|(_, flow, _)| flow.remote.port() == 7_000).cloned().unwrap();
    let branches: std::collections::BTreeSet<_> = sent
        .iter()
        .filter(|(_, flow, _)| flow.remote.port() == 7_000)
        .map(|one| one.2.via().branch().unwrap().to_vec())
        .collect();
    assert_eq!(branches.len(), 1, "repetitions of one request");
    bench.bytes(first.1, response(&first.2, 200, ""));
    let health = |bench: &Bench| format!("{:?}", bench.switch.trunk_views(at(0))[0].targets[0].addresses[0].state);
    let before = health(&bench);
    let forged = response(&first.2, 200, "").replace("z9hG4bK", "z9hG4bKx");
    bench.bytes(first.1, forged);
    assert!(bench.counted(&Counted::Stray));
    assert_eq!(health(&bench), before);
    bench.pass(64_000);
    assert!(bench.switch.own.len() <= 5, "no more than one probe a far end lives");
}

#[test]
fn calls_judge_far_ends_as_probes_do() {
    let mut bench = Bench::new(PLAIN);
    bench.pass(1);
    bench.news("127.0.0.1:7000", FarNews::Lost);
    bench.news("127.0.0.1:7000", FarNews::Alive);
    bench.news("127.0.0.1:7000", FarNews::Lost);
    assert!(bench.turns().is_empty());
    bench.news("127.0.0.1:7000", FarNews::Lost);
    assert_eq!(bench.turns(), [(7_000, false)]);
    bench.news("127.0.0.1:9999", FarNews::Lost);
    assert!(bench.turns().is_empty(), "nobody we know");
}

#[test]
fn order_then_weight_then_the_reserve() {
    let mut bench = Bench::new(PLAIN);
    let mut first = BTreeMap::<u16, u32>::new();
    for _ in 0..2_000 {
        let ports = bench.ports();
        assert_eq!((ports.len(), &ports[2..]), (4, &[7_002, 7_003][..]));
        *first.entry(ports[0]).or_default() += 1;
        bench.ms += 1;
    }
    let share = f64::from(first[&7_001]) / 2_000.0;
    assert!((0.70..0.80).contains(&share), "{share}");
    bench.pass(1);
    for port in [7_000, 7_001] {
        bench.news(&format!("127.0.0.1:{port}"), FarNews::Lost);
        bench.news(&format!("127.0.0.1:{port}"), FarNews::Lost);
    }
    assert_eq!(bench.ports()[..2], [7_002, 7_003], "the reserve comes in when no other of its order is in use");
}

pub(super) fn located(host: &str, last: u8) -> (Wanted, Found) {
    let name = Wanted { host: host.into(), port: Some(7_001), transport: Some(Transport::Tcp) };
    let mut search = Search::new(name.clone(), Vec::new());
    search.answer(Question::Addresses(host.into()), Records::Addresses(vec![[192, 0, 2, last].into()]));
    (name, search.found())
}

#[test]
fn a_name_is_asked_for_ahead_used_when_known_and_its_failing_is_told() {
    let mut bench = Bench::new(&[]);
    bench.pass(1);
    let asked = |bench: &Bench| bench.kept.iter().filter(|effect| matches!(effect, SwitchEffect::Locate(_))).count();
    assert_eq!((asked(&bench), bench.ports()), (1, vec![7_000]), "the address does not wait for the name");
    let (name, found) = located("carrier.example", 7);
    bench.switch.located(at(bench.ms), &name, Some((found, Duration::from_secs(60))), &mut Vec::new());
    assert_eq!(bench.ports(), [7_000, 7_001]);
    bench.pass(48_100);
    assert_eq!(asked(&bench), 2, "asked again before it is too old");
    bench.kept.clear();
    let mut out = Vec::new();
    bench.switch.located(at(bench.ms), &name, None, &mut out);
    bench.kept.append(&mut out);
    assert_eq!(bench.alarms(), [(AlarmName::DnsFailing, "carrier.example".to_owned(), true)]);
    assert_eq!(bench.ports(), [7_000, 7_001], "the last good answer stays");
}

/// A trunk that is known by its name alone.
const NAMED: &[&str] = &["trunk.carrier.to=[\"sip:carrier.example:7001;transport=tcp\"]"];

fn question(bench: &mut Bench, nth: u32) {
    let call = CallId(Ulid::from_bits(1));
    let mut out = Vec::new();
    bench.switch.find(at(bench.ms), (call, LookupId(nth)), &carrier_number(false), &Sockets, &mut out);
    bench.kept.append(&mut out);
}

fn answers(bench: &mut Bench) -> Vec<(u32, usize)> {
    let found = std::mem::take(&mut bench.kept).into_iter().filter_map(|effect| match effect {
        SwitchEffect::Deliver(_, CallInput::Found(LookupId(nth), targets)) => Some((nth, targets.0.len())),
        _ => None,
    });
    found.collect()
}

#[test]
fn a_call_waits_two_seconds_for_the_first_answer_and_not_a_moment_for_a_later_one() {
    let (name, found) = located("carrier.example", 7);
    let mut bench = Bench::new(NAMED);
    bench.pass(1);
    question(&mut bench, 1);
    bench.pass(1_990);
    assert!(answers(&mut bench).is_empty());
    bench.pass(20);
    assert_eq!(answers(&mut bench), [(1, 0)], "then it goes on with what is known");
    question(&mut bench, 2);
    bench.pass(500);
    bench.switch.located(at(bench.ms), &name, Some((found, Duration::from_secs(60))), &mut Vec::new());
    bench.pass(1);
    assert_eq!(answers(&mut bench), [(2, 1)]);
    question(&mut bench, 3);
    assert_eq!(answers(&mut bench), [(3, 1)]);
    bench.switch.located(at(bench.ms), &name, None, &mut Vec::new());
    question(&mut bench, 4);
    assert_eq!(answers(&mut bench), [(4, 1)]);
}

#[test]
fn a_call_that_ends_waits_no_more_and_only_so_many_wait() {
    let mut bench = Bench::new(NAMED);
    bench.pass(1);
    question(&mut bench, 1);
    bench.switch.call_over(CallId(Ulid::from_bits(1)));
    bench.pass(5_000);
    assert!(answers(&mut bench).is_empty());
    let mut bench = Bench::new(NAMED);
    bench.pass(1);
    for nth in 0..1_100 {
        question(&mut bench, nth);
    }
    assert_eq!(answers(&mut bench).len(), 1_100 - 1_024, "the others go on at once");
    bench.pass(2_100);
    assert_eq!(answers(&mut bench).len(), 1_024);
}

#[test]
fn caps_hold_both_ways_and_never_an_emergency() {
    let mut bench = Bench::new(&[PLAIN, &["trunk.carrier.max_calls=2"]].concat());
    let call = bench.call("12345", "a");
    let find = |bench: &mut Bench, nth: u32, emergency: bool| {
        let mut out = Vec::new();
        let query = carrier_number(emergency);
        bench.switch.find(at(bench.ms), (call, LookupId(nth)), &query, &Sockets, &mut out);
        let refused = out.iter().any(|effect| matches!(effect, SwitchEffect::Count(Counted::RefusedOut(..))));
        let found = out.iter().any(
            |effect| matches!(effect, SwitchEffect::Deliver(_, CallInput::Found(_, targets)) if !targets.0.is_empty()),
        );
        assert_ne!(refused, found);
        found
    };
    assert!(find(&mut bench, 1, false));
    assert!(!find(&mut bench, 2, false), "no far end: the plan's next route");
    assert!(find(&mut bench, 3, true));
    bench.bytes(carrier(), request("INVITE", "12345", "b", ""));
    assert_eq!(bench.statuses(), [503]);
    bench.call("110", "c");
    let end = far("carrier", "127.0.0.1:7000");
    for (nth, leg) in [(1, LegId(1)), (3, LegId(2))] {
        let begun = FarNews::Begun(Some(LookupId(nth)));
        bench.switch.on_far(at(bench.ms), (call, leg), &end, begun, &mut Vec::new());
    }
    assert_eq!(bench.switch.trunk_views(at(0))[0].calls, 4);
    for leg in [LegId(1), LegId(2)] {
        bench.switch.on_far(at(bench.ms), (call, leg), &end, FarNews::Over, &mut Vec::new());
    }
    bench.switch.call_over(call);
    assert!(bench.call("12345", "d") != call);
}

#[test]
fn a_trunk_out_of_use_for_maintenance_takes_and_gives_emergencies_only() {
    let mut bench = Bench::new(PLAIN);
    let live = bench.call("12345", "live");
    assert!(bench.switch.set_busy_out(&TrunkName::new("carrier"), true));
    assert!(!bench.switch.set_busy_out(&TrunkName::new("nobody"), true));
    bench.bytes(carrier(), request("INVITE", "12345", "a", ""));
    assert_eq!(bench.statuses(), [503]);
    assert_eq!(bench.sent()[0].header(Name::RetryAfter), Some(&b"5"[..]));
    let why = admission::Refused::TrunkBusyOut;
    assert!(bench.counted(&Counted::Refused(Some(TrunkName::new("carrier")), why)));
    bench.call("120", "b");
    assert!(bench.ports().is_empty());
    assert_eq!(bench.find(carrier_number(true)).len(), 4);
    bench.bytes(carrier(), request("CANCEL", "12345", "live", ""));
    assert_eq!(bench.delivered().len(), 1, "live calls go on");
    let _ = live;
    assert!(bench.switch.set_busy_out(&TrunkName::new("carrier"), false));
    bench.call("12345", "c");
    let mut bench = Bench::new(&["trunk.carrier.busy_out=true"]);
    bench.bytes(carrier(), request("INVITE", "12345", "a", ""));
    assert_eq!(bench.statuses(), [503], "by configuration");
    assert!(bench.switch.set_busy_out(&TrunkName::new("carrier"), false));
    bench.call("12345", "c");
}

const PLATFORM: &[&str] = &[
    "trunk.carrier.platform=true",
    "trunk.carrier.to=[\"sip:127.0.0.1:7000\"]",
    "trunk.north.tenant=\"p\"",
    "trunk.north.from=[\"127.0.0.9/32\"]",
    "trunk.north.to=[\"sip:127.0.0.9:5060\"]",
    "trunk.north.platform=true",
];

fn hops_toward(bench: &mut Bench, trunk: &str, call: CallId) -> Option<String> {
    let query = Query::Trunk { trunk: TrunkName::new(trunk), number: Arc::from("12345"), emergency: false };
    let mut out = Vec::new();
    bench.switch.find(at(bench.ms), (call, LookupId(1)), &query, &Sockets, &mut out);
    out.iter().find_map(|effect| match effect {
        SwitchEffect::Deliver(_, CallInput::Found(_, targets)) => {
            targets.0.first().map(|target| target.hops.as_deref().unwrap_or("none").to_owned())
        }
        _ => None,
    })
}

#[test]
fn the_hop_list_grows_and_a_call_never_goes_back() {
    let mut bench = Bench::new(PLATFORM);
    bench.bytes(trunk_side("127.0.0.9:5060"), request("INVITE", "12345", "x", "X-Switch-Hops: west;north\r\n"));
    let from_north = bench.begun().unwrap().identity.call;
    bench.bytes(carrier(), request("INVITE", "12345", "y", "X-Switch-Hops: north; south\r\n"));
    let from_south = bench.begun().unwrap().identity.call;
    assert_eq!(hops_toward(&mut bench, "north", from_north), None, "A to B to A");
    let list = hops_toward(&mut bench, "carrier", from_north).unwrap();
    let ours = list.strip_prefix("west;north;").unwrap().to_owned();
    assert!(ours.len() == 9, "{list}");
    assert_eq!(hops_toward(&mut bench, "carrier", from_south), None);
    assert_eq!(hops_toward(&mut bench, "north", from_south), None, "its platform is in the list already");
    assert_eq!(hops_toward(&mut bench, "desk", from_north).as_deref(), Some("none"), "no platform, no list");
    let home = CallId(Ulid::from_bits(5));
    assert_eq!(hops_toward(&mut bench, "north", home), Some(ours.clone()), "a call of our own citizens");
    bench.bytes(carrier(), request("INVITE", "12345", "z", &format!("X-Switch-Hops: south;{ours}\r\n")));
    assert_eq!(bench.statuses(), [482]);
    assert!(bench.counted(&Counted::Looped(TrunkName::new("carrier"))));
    bench.bytes(carrier(), request("INVITE", "12345", "v", "X-Switch-Hops: a;b;c\r\nX-Switch-Hops: d;e\r\n"));
    assert_eq!(bench.statuses(), [483]);
    bench.bytes(carrier(), request("INVITE", "12345", "w", "X-Switch-Hops: a;b;c;d\r\n"));
    assert!(bench.begun().is_some());
    for call in [from_north, from_south] {
        bench.switch.call_over(call);
    }
    assert_eq!(bench.switch.hops.len(), 1);
}

#[test]
fn a_list_from_anybody_else_is_not_believed() {
    let mut bench = Bench::new(&[]);
    bench.bytes(carrier(), request("INVITE", "12345", "a", "X-Switch-Hops: a;b;c;d;e;f\r\n"));
    assert!(bench.begun().is_some());
}

#[test]
fn rfc5393_an_invite_of_ours_that_comes_back_is_a_loop_unless_somebody_chose_another_target() {
    let mut bench = Bench::new(&[]);
    let call = bench.call("12345", "a");
    let ours = bench.key.branch(call, LegId(3), 1);
    let via = format!("Via: SIP/2.0/UDP 127.0.0.1:5060;branch={ours}\r\n");
    bench.bytes(carrier(), request("INVITE", "12369", "loop", &via));
    assert_eq!(bench.statuses(), [482]);
    let spiral = request("INVITE", "12369", "spiral", &via).replace("To: <sip:12369@", "To: <sip:04768337772@");
    bench.bytes(carrier(), spiral);
    assert!(bench.begun().is_some(), "a department that forwards to us");
    let foreign = via.replace(&ours, &TokenKey::new([0; 16]).branch(call, LegId(3), 1));
    bench.bytes(carrier(), request("INVITE", "12369", "other", &foreign));
    assert!(bench.begun().is_some());
}

#[test]
fn a_dedicated_emergency_line_is_never_capped() {
    let mut bench = Bench::new(&["trunk.desk.max_calls=1", "trunk.desk.max_cps=1"]);
    for _ in 0..3 {
        let query = Query::Trunk { trunk: TrunkName::new("desk"), number: Arc::from("110"), emergency: false };
        assert_eq!(bench.find(query).len(), 1);
    }
}
