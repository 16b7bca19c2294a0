//! Each way an errand ends, at its instant, and an empty room afterwards.

use std::time::Duration;

use bytes::Bytes;

use super::*;
use crate::base::flow::{Side, Transport};
use crate::sip::message::Name;
use crate::sip::print::Draft;

fn at(ms: u64) -> Now {
    Now { mono: Mono::ZERO, wall: jiff::Timestamp::UNIX_EPOCH }.after(Duration::from_millis(ms))
}

fn flow(transport: Transport) -> Flow {
    Flow {
        id: FlowId(3),
        side: Side::Agent,
        transport,
        local: "127.0.0.1:5062".parse().unwrap(),
        remote: "127.0.0.1:40000".parse().unwrap(),
    }
}

fn request(branch: &str) -> Message {
    Draft::request(&Method::Notify, b"sip:1001@127.0.0.1")
        .header(Name::Via, format!("SIP/2.0/UDP 127.0.0.1:5062;branch={branch}"))
        .header(Name::From, "<sip:1002@h>;tag=a")
        .header(Name::To, "<sip:1001@h>;tag=b")
        .header(Name::CallId, "c")
        .header(Name::CSeq, "1 NOTIFY")
        .finish()
}

struct Bench {
    own: Own,
    sent: Vec<SwitchEffect>,
    outcomes: Vec<Outcome>,
}

impl Bench {
    fn new() -> Self {
        Self { own: Own::new(TokenKey::new([1; 16])), sent: Vec::new(), outcomes: Vec::new() }
    }

    fn begin(&mut self, transport: Transport, errand: u64) -> Message {
        let mut sent = None;
        let compose = |branch: &str| sent.insert(request(branch)).clone();
        let timers = SipTimers::default();
        self.own.begin(at(0), &timers, flow(transport), Errand::Notify(errand), compose, &mut self.sent).unwrap();
        sent.unwrap()
    }

    fn pass(&mut self, ms: u64) {
        while let Some(due) = self.own.deadline().filter(|due| *due <= at(ms).mono) {
            self.own.on_deadline(Now { mono: due, wall: at(ms).wall }, &mut self.sent, &mut self.outcomes);
        }
    }

    fn answer(&mut self, ms: u64, request: &Message, status: u16) -> (bool, Option<Outcome>) {
        self.own.on_response(at(ms), &Draft::response(request, status, None).finish())
    }

    fn assert_empty(&self) {
        assert_eq!((self.own.len(), self.own.due.len(), self.own.deadline()), (0, 0, None));
    }
}

#[test]
fn an_answer_ends_the_errand_once_and_its_repetition_is_absorbed() {
    let mut bench = Bench::new();
    let request = bench.begin(Transport::Udp, 7);
    assert_eq!(bench.sent, [SwitchEffect::Transmit(flow(Transport::Udp), request.bytes().clone())]);
    assert_eq!(bench.answer(10, &request, 100), (true, None));
    let (ours, outcome) = bench.answer(20, &request, 481);
    let Some(Outcome { errand: Errand::Notify(7), fate: Fate::Answered(answer) }) = outcome else { panic!() };
    assert_eq!((ours, answer.status()), (true, Some(481)));
    bench.assert_empty();
    assert_eq!(bench.answer(30, &request, 200), (true, None));
}

#[test]
fn what_has_another_branch_or_method_ends_nothing() {
    let mut bench = Bench::new();
    let sent = bench.begin(Transport::Udp, 7);
    let foreign = request(&TokenKey::new([2; 16]).own_branch(1));
    assert_eq!(bench.answer(10, &foreign, 200), (false, None));
    let of = Draft::response(&sent, 200, None).replace(Name::CSeq, "1 OPTIONS").finish();
    assert_eq!(bench.own.on_response(at(10), &of), (true, None));
    assert_eq!(bench.own.len(), 1);
}

#[test]
fn rfc3261_s17_1_2_unanswered_it_is_repeated_and_given_up_after_64_t1() {
    let mut bench = Bench::new();
    bench.begin(Transport::Udp, 7);
    bench.pass(31_999);
    assert_eq!((bench.sent.len(), bench.outcomes.len()), (11, 0), "T1 doubled to T2");
    bench.pass(32_000);
    assert_eq!(bench.outcomes, [Outcome { errand: Errand::Notify(7), fate: Fate::NoAnswer }]);
    bench.assert_empty();
}

#[test]
fn over_a_stream_it_is_sent_once_and_ends_with_its_connection() {
    let mut bench = Bench::new();
    bench.begin(Transport::Tcp, 7);
    bench.begin(Transport::Tcp, 8);
    bench.pass(31_999);
    assert_eq!(bench.sent.len(), 2);
    bench.own.closed(FlowId(4), &mut bench.outcomes);
    assert!(bench.outcomes.is_empty());
    bench.own.closed(FlowId(3), &mut bench.outcomes);
    let lost = |errand| Outcome { errand: Errand::Notify(errand), fate: Fate::Unreachable };
    assert_eq!(bench.outcomes, [lost(7), lost(8)]);
    bench.assert_empty();
}

#[test]
fn the_room_is_bounded() {
    let mut bench = Bench::new();
    let first = bench.begin(Transport::Udp, 0);
    for nth in 1..OWN_MAX as u64 {
        bench.begin(Transport::Udp, nth);
    }
    bench.sent.clear();
    let more = |bench: &mut Bench| {
        let timers = SipTimers::default();
        bench.own.begin(at(0), &timers, flow(Transport::Udp), Errand::Notify(1), request, &mut bench.sent)
    };
    assert_eq!((more(&mut bench), bench.sent.len()), (Err(NoRoom), 0));
    bench.answer(1, &first, 200);
    assert_eq!((more(&mut bench), bench.sent.len()), (Ok(()), 1));
    bench.pass(40_000);
    bench.assert_empty();
}

#[test]
fn an_open_transaction_costs_less_than_a_kilobyte() {
    let request = request(&TokenKey::new([1; 16]).own_branch(1));
    assert!(size_of::<Open>() + size_of::<(Mono, u64)>() + request.bytes().len() < 1_024);
    let _: &Bytes = request.bytes();
}

#[test]
fn what_is_forgotten_ends_without_a_word_and_its_late_answer_is_still_ours() {
    let mut bench = Bench::new();
    let (forgotten, kept) = (bench.begin(Transport::Udp, 1), bench.begin(Transport::Udp, 2));
    bench.own.forget(&Errand::Notify(1));
    assert_eq!(bench.own.len(), 1);
    assert_eq!(bench.answer(100, &forgotten, 200), (true, None));
    assert!(bench.answer(100, &kept, 200).1.is_some());
    bench.assert_empty();
}
