//! Two legs talking to each other over a wire that delays, loses and repeats, in virtual time.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use jiff::Timestamp;

use super::words::{LegAction, LegEvent, Outgoing};
use super::{Leg, LegNames, LegOut, LegRules, LegState, Sender};
use crate::base::flow::{Flow, FlowId, Side, Transport};
use crate::base::id::{CallId, LegId, TenantName, Ulid};
use crate::base::now::{Mono, Now};
use crate::call::words::{Arrived, Target};
use crate::event::reason::EndReason;
use crate::plan::trunk::Reliable;
use crate::rtp::command::{Codec, LocalMedia};
use crate::sip::message::{Message, Method, Name};
use crate::sip::session_timer::SessionPolicy;
use crate::sip::token::TokenKey;
use crate::sip::transaction::timers::SipTimers;

const HOP: Duration = Duration::from_millis(20);

fn rules() -> LegRules {
    LegRules {
        timers: SipTimers::default(),
        session: SessionPolicy { interval: Duration::from_secs(1_800), min_se: Duration::from_secs(90) },
        product: "switch12345".into(),
    }
}

fn names(nth: u16) -> LegNames {
    let call = CallId(Ulid::compose(Timestamp::UNIX_EPOCH, 1, &TenantName::new("p"), u64::from(nth)));
    LegNames {
        call,
        leg: LegId(nth),
        key: TokenKey::new([7; 16]),
        seed: u64::from(nth) + 1,
        reliable: Reliable::Offered,
    }
}

fn address(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}

fn flow(local: u16, remote: u16) -> Flow {
    let (local, remote) = (address(local), address(remote));
    Flow { id: FlowId(1), side: Side::Agent, transport: Transport::Udp, local, remote }
}

fn local_media(port: u16) -> LegAction {
    let (rtp, rtcp) = (address(port), address(port + 1));
    LegAction::Local(Box::new(LocalMedia { rtp, rtcp, ice: None, fingerprint: None, crypto: Vec::new() }))
}

fn outgoing() -> Outgoing {
    Outgoing {
        target: Target {
            flow: flow(5062, 6000),
            uri: "sip:1001@127.0.0.1:6000".into(),
            to: "sip:1001@127.0.0.1".into(),
            route: Vec::new(),
            trunk: None,
            trusted: false,
            stream: None,
            reliable: Reliable::default(),
            hops: None,
        },
        display: Bytes::from_static("12369 环保".as_bytes()),
        from: "sip:13800001234@127.0.0.1:5060".into(),
        parts: Vec::new(),
        headers: vec![("X-Hotline".into(), Bytes::from_static(b"12369"))],
        ring: Duration::from_secs(20),
        dead_after: Duration::from_secs(3),
        max_forwards: 69,
    }
}

/// A caller's leg, a callee's leg (born of the first INVITE), and what is on the wire between them.
struct Pair {
    now: Now,
    caller: Leg,
    callee: Option<Leg>,
    wire: VecDeque<(Mono, bool, Bytes)>,
    heard: Vec<(bool, LegEvent)>,
    sent: usize,
    /// Which sends are lost, counted over both directions.
    lost: Vec<usize>,
    /// Whether the callee's provisional answers are reliable.
    policy: Reliable,
}

impl Pair {
    fn new(lost: &[usize]) -> Self {
        Self {
            now: Now { mono: Mono(1_000_000_000), wall: Timestamp::UNIX_EPOCH },
            caller: Leg::outgoing(&names(1)),
            callee: None,
            wire: VecDeque::new(),
            heard: Vec::new(),
            sent: 0,
            lost: lost.to_vec(),
            policy: Reliable::Offered,
        }
    }

    fn calling(lost: &[usize]) -> Self {
        let mut pair = Self::new(lost);
        pair.act(true, local_media(20_000));
        pair.act(true, LegAction::Invite(Box::new(outgoing())));
        pair
    }

    fn talking(lost: &[usize]) -> Self {
        let mut pair = Self::calling(lost);
        pair.until(|pair| pair.callee.is_some());
        pair.act(false, LegAction::Ring);
        pair.act(false, local_media(30_000));
        pair.act(false, LegAction::Answer);
        pair.until(|pair| pair.has(false, &LegEvent::Confirmed));
        pair
    }

    fn act(&mut self, by_caller: bool, action: LegAction) {
        let mut out = Vec::new();
        let now = self.now;
        self.leg(by_caller).act(now, &rules(), action, &mut out);
        self.take(by_caller, out);
    }

    fn leg(&mut self, caller: bool) -> &mut Leg {
        if caller { &mut self.caller } else { self.callee.as_mut().expect("the INVITE arrived") }
    }

    fn take(&mut self, by_caller: bool, out: Vec<LegOut>) {
        for effect in out {
            match effect {
                LegOut::Transmit(_, bytes) => {
                    if !self.lost.contains(&self.sent) {
                        self.wire.push_back((self.now.mono + HOP, by_caller, bytes));
                    }
                    self.sent += 1;
                }
                LegOut::Event(event) => self.heard.push((by_caller, event)),
            }
        }
    }

    fn inject(&mut self, from_caller: bool, bytes: Bytes) {
        let message = Message::datagram(bytes).expect("our own messages parse");
        let flow = if from_caller { flow(6000, 5062) } else { flow(5062, 6000) };
        let arrived = Arrived { message, flow };
        let mut out = Vec::new();
        let now = self.now;
        match (&mut self.callee, from_caller) {
            (None, true) => {
                let names = LegNames { reliable: self.policy, ..names(2) };
                self.callee = Some(Leg::incoming(now, &names, &rules(), &arrived, &mut out));
            }
            (Some(callee), true) => callee.on_sip(now, &rules(), Sender::default(), &arrived, &mut out),
            (_, false) => self.caller.on_sip(now, &rules(), Sender::default(), &arrived, &mut out),
        }
        self.take(!from_caller, out);
    }

    /// Jumps to the next delivery or deadline; `false` when nothing is left to happen.
    fn step(&mut self) -> bool {
        let arrival = self.wire.front().map(|(at, ..)| *at);
        let caller = self.caller.deadline().map(|(at, _)| at);
        let callee = self.callee.as_ref().and_then(Leg::deadline).map(|(at, _)| at);
        let Some(at) = [arrival, caller, callee].into_iter().flatten().min() else { return false };
        self.now = self.now.after(at.since(self.now.mono));
        if arrival == Some(at) {
            let (_, from_caller, bytes) = self.wire.pop_front().expect("it was there");
            self.inject(from_caller, bytes);
        } else {
            let by_caller = caller == Some(at);
            let mut out = Vec::new();
            let now = self.now;
            self.leg(by_caller).on_deadline(now, &rules(), &mut out);
            self.take(by_caller, out);
        }
        true
    }

    /// Lets happen what happens until then.
    fn run_to(&mut self, end: Mono) {
        let next = |pair: &Self| {
            let arrival = pair.wire.front().map(|(at, ..)| *at);
            let callee = pair.callee.as_ref().and_then(Leg::deadline);
            let deadlines = [pair.caller.deadline(), callee].into_iter().flatten().map(|(at, _)| at);
            deadlines.chain(arrival).min()
        };
        while next(self).is_some_and(|at| at <= end) {
            self.step();
        }
        self.now = self.now.after(end.since(self.now.mono));
    }

    fn until(&mut self, done: impl Fn(&Self) -> bool) {
        for _ in 0..10_000 {
            if done(self) {
                return;
            }
            assert!(self.step(), "nothing more happens: {:?}", self.heard);
        }
        panic!("a livelock: {:?}", self.heard);
    }

    /// Lets everything happen that still can, but never longer than all timers of RFC 3261 need.
    fn drain(&mut self) {
        let last = self.now.mono + SipTimers::default().give_up() * 3 + Duration::from_secs(30);
        while self.step() {
            assert!(self.now.mono < last, "transactions never end: {:?} {:?}", self.caller, self.callee);
        }
        assert!(self.caller.is_over(), "{:?}", self.caller);
        assert!(self.callee.as_ref().is_none_or(Leg::is_over), "{:?}", self.callee);
    }

    fn has(&self, caller: bool, event: &LegEvent) -> bool {
        self.heard.contains(&(caller, event.clone()))
    }

    fn count(&self, wanted: impl Fn(&(bool, LegEvent)) -> bool) -> usize {
        self.heard.iter().filter(|event| wanted(event)).count()
    }
}

fn failed(status: u16, responded: bool) -> LegEvent {
    LegEvent::Failed { status, responded, contacts: Vec::new() }
}

fn is_end(event: &LegEvent) -> bool {
    matches!(event, LegEvent::Bye { .. } | LegEvent::Failed { .. } | LegEvent::Cancelled | LegEvent::Lost)
}

#[test]
fn a_call_rings_is_answered_talks_and_ends_from_either_side() {
    for caller_hangs_up in [true, false] {
        let mut pair = Pair::talking(&[]);
        assert!(pair.has(true, &LegEvent::Ringing) && pair.has(true, &LegEvent::Answered));
        for side in [true, false] {
            let described = pair.count(|(who, event)| {
                *who == side && matches!(event, LegEvent::Remote(remote) if remote.codec == Codec::Pcma)
            });
            assert_eq!(described, 1, "side {side}: {:?}", pair.heard);
        }
        pair.act(caller_hangs_up, LegAction::HangUp(EndReason::Normal));
        pair.until(|pair| pair.has(!caller_hangs_up, &LegEvent::Bye { q850: Some(16) }));
        pair.drain();
        assert_eq!(pair.count(|(_, event)| is_end(event)), 1, "{:?}", pair.heard);
        assert_eq!(pair.count(|(_, event)| *event == LegEvent::Over), 2);
    }
}

#[test]
fn every_single_lost_packet_of_a_call_is_made_good() {
    for lost in 0..12 {
        let mut pair = Pair::talking(&[lost]);
        pair.act(true, LegAction::HangUp(EndReason::Normal));
        pair.until(|pair| pair.count(|(caller, event)| !*caller && matches!(event, LegEvent::Bye { .. })) == 1);
        pair.drain();
        assert_eq!(pair.count(|(_, event)| is_end(event)), 1, "lost {lost}: {:?}", pair.heard);
        assert_eq!(pair.count(|(_, event)| *event == LegEvent::Answered), 1, "lost {lost}");
    }
}

#[test]
fn hanging_up_at_every_instant_of_the_set_up_leaves_nothing_behind() {
    for steps in 0..14 {
        let mut pair = Pair::calling(&[]);
        let mut acted = 0;
        for _ in 0..steps {
            pair.step();
            if pair.callee.is_some() && acted == 0 {
                acted = 1;
                pair.act(false, LegAction::Ring);
                pair.act(false, local_media(30_000));
                pair.act(false, LegAction::Answer);
            }
        }
        pair.act(true, LegAction::HangUp(EndReason::Abandoned));
        pair.drain();
        if pair.callee.is_some() && acted == 1 {
            let ended = pair.count(|(caller, event)| !*caller && is_end(event));
            assert_eq!(ended, 1, "hung up after {steps} steps: {:?}", pair.heard);
        }
    }
}

#[test]
fn a_cancelled_call_is_answered_487_once_and_says_so() {
    let mut pair = Pair::calling(&[]);
    pair.until(|pair| pair.callee.is_some());
    pair.act(false, LegAction::Ring);
    pair.until(|pair| pair.has(true, &LegEvent::Ringing));
    pair.act(true, LegAction::HangUp(EndReason::Abandoned));
    pair.until(|pair| pair.has(false, &LegEvent::Cancelled));
    pair.act(false, LegAction::Answer);
    pair.drain();
    assert_eq!(pair.count(|(_, event)| is_end(event)), 1, "the asker knows already: {:?}", pair.heard);
    assert!(!pair.has(true, &LegEvent::Answered));
}

#[test]
fn a_refusal_arrives_with_its_status() {
    let mut pair = Pair::calling(&[]);
    pair.until(|pair| pair.callee.is_some());
    pair.act(false, LegAction::Reject { status: 486, q850: Some(17), retry_after: None });
    pair.until(|pair| pair.has(true, &failed(486, true)));
    pair.drain();
}

#[test]
fn a_dead_callee_is_known_after_dead_after_and_a_ringing_one_after_ring() {
    let mut dead = Pair::calling(&(0..200).collect::<Vec<_>>());
    let began = dead.now.mono;
    dead.until(|pair| pair.has(true, &failed(408, false)));
    assert_eq!(dead.now.mono.since(began), Duration::from_secs(3));
    dead.drain();

    let mut ringing = Pair::calling(&[]);
    let began = ringing.now.mono;
    ringing.until(|pair| pair.callee.is_some());
    ringing.act(false, LegAction::Ring);
    ringing.until(|pair| pair.has(true, &failed(408, true)));
    assert_eq!(ringing.now.mono.since(began), Duration::from_secs(20));
    ringing.until(|pair| pair.has(false, &LegEvent::Cancelled));
    ringing.drain();
}

#[test]
fn an_answer_whose_ack_never_comes_is_lost_and_hung_up() {
    let mut pair = Pair::calling(&[]);
    pair.until(|pair| pair.callee.is_some());
    pair.act(false, local_media(30_000));
    pair.act(false, LegAction::Answer);
    pair.lost = (pair.sent..10_000).collect();
    pair.until(|pair| pair.has(false, &LegEvent::Lost));
    assert!(pair.callee.as_ref().is_some_and(Leg::has_ended));
}

#[test]
fn a_hang_up_before_the_ack_waits_for_it() {
    let mut pair = Pair::calling(&[]);
    pair.until(|pair| pair.callee.is_some());
    pair.act(false, local_media(30_000));
    pair.act(false, LegAction::Answer);
    let before = pair.sent;
    pair.act(false, LegAction::HangUp(EndReason::Normal));
    assert_eq!(pair.sent, before, "RFC 3261 §15: no BYE before the ACK");
    pair.until(|pair| pair.count(|(caller, event)| *caller && matches!(event, LegEvent::Bye { .. })) == 1);
    pair.drain();
}

#[test]
fn early_media_describes_the_callee_before_the_answer() {
    let mut pair = Pair::calling(&[]);
    pair.until(|pair| pair.callee.is_some());
    pair.act(false, local_media(30_000));
    pair.act(false, LegAction::Early);
    pair.until(|pair| pair.count(|(caller, event)| *caller && matches!(event, LegEvent::Remote(_))) == 1);
    pair.act(false, LegAction::Answer);
    pair.until(|pair| pair.has(true, &LegEvent::Answered));
    assert_eq!(
        pair.count(|(_, event)| matches!(event, LegEvent::Remote(_))),
        2,
        "183 and 200 carry the same description: {:?}",
        pair.heard
    );
}

#[test]
fn the_session_is_refreshed_by_its_refresher_and_a_dead_peer_is_found() {
    let mut pair = Pair::talking(&[]);
    pair.now = pair.now.after(Duration::from_secs(40));
    for _ in 0..40 {
        pair.step();
    }
    assert!(pair.now.mono.since(Mono(0)) > Duration::from_secs(1_800), "refreshes keep the talk alive");
    assert_eq!(pair.count(|(_, event)| is_end(event)), 0, "{:?}", pair.heard);
    pair.lost = (pair.sent..100_000).collect();
    pair.wire.clear();
    pair.until(|pair| pair.has(true, &LegEvent::Lost) && pair.has(false, &LegEvent::Lost));
}

fn refer_from_callee(pair: &Pair) -> Bytes {
    let names = pair.callee.as_ref().and_then(Leg::dialog_names).expect("talking");
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("ASCII");
    format!(
        "REFER sip:12345@127.0.0.1:5062 SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1:6000;branch=z9hG4bKrefer1\r\n\
         Max-Forwards: 70\r\nFrom: <sip:1001@127.0.0.1>;tag={}\r\nTo: <sip:13800001234@127.0.0.1>;tag={}\r\n\
         Call-ID: {}\r\nCSeq: 77 REFER\r\nContact: <sip:1001@127.0.0.1:6000>\r\n\
         Refer-To: <sip:120@127.0.0.1?Replaces=abc%40x%3Bto-tag%3Dt1%3Bfrom-tag%3Df1>\r\nContent-Length: 0\r\n\r\n",
        text(&names.local_tag),
        text(&names.remote_tag),
        text(&names.call_id)
    )
    .into()
}

#[test]
fn refer_is_accepted_once_reported_and_repeated_without_harm() {
    let mut pair = Pair::talking(&[]);
    let refer = refer_from_callee(&pair);
    pair.inject(false, refer.clone());
    pair.inject(false, refer);
    let refers = pair.count(|(caller, event)| {
        *caller
            && matches!(event, LegEvent::Refer { to, replaces: Some(replaces), .. }
            if &**to == "sip:120@127.0.0.1" && &*replaces.call_id == "abc@x" && &*replaces.to_tag == "t1")
    });
    assert_eq!(refers, 1, "{:?}", pair.heard);
    pair.act(true, LegAction::ReferProgress { status: 200 });
    let notified =
        pair.wire.iter().filter(|(_, from_caller, bytes)| *from_caller && bytes.starts_with(b"NOTIFY")).count();
    assert_eq!(notified, 2, "100 at once, then the final one");
    pair.act(true, LegAction::HangUp(EndReason::Transferred));
    pair.drain();
}

#[test]
fn strangers_in_the_dialog_change_nothing() {
    let mut pair = Pair::talking(&[]);
    let bye = String::from_utf8(refer_from_callee(&pair).to_vec()).expect("ASCII").replace("REFER", "BYE");
    let wrong_tag = bye.replace(";tag=", ";tag=x");
    pair.inject(false, wrong_tag.into());
    let answer = pair.wire.back().map(|(_, _, bytes)| bytes.clone()).expect("an answer");
    assert!(answer.starts_with(b"SIP/2.0 481"));
    assert_eq!(pair.caller.state(), LegState::Talking);
    let unknown = bye.replace("BYE", "PUBLISH");
    pair.inject(false, unknown.into());
    let answer = pair.wire.back().map(|(_, _, bytes)| bytes.clone()).expect("an answer");
    assert!(answer.starts_with(b"SIP/2.0 405"), "{answer:?}");
}

#[test]
fn hold_and_resume_are_heard() {
    let mut pair = Pair::talking(&[]);
    let reinvite = |pair: &Pair, cseq: u32, direction: &str| -> Bytes {
        let body = format!(
            "v=0\r\no=- 1 {cseq} IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio 30000 RTP/AVP 8 101\r\n\
             a=rtpmap:101 telephone-event/8000\r\na={direction}\r\n"
        );
        let head = String::from_utf8(refer_from_callee(pair).to_vec()).expect("ASCII");
        let head = head
            .replace("REFER", "INVITE")
            .replace("CSeq: 77", &format!("CSeq: {cseq}"))
            .replace("z9hG4bKrefer1", &format!("z9hG4bKre{cseq}"));
        let head = head.split("Refer-To").next().expect("a head").to_owned();
        format!("{head}Content-Type: application/sdp\r\nContent-Length: {}\r\n\r\n{body}", body.len()).into()
    };
    let hold = reinvite(&pair, 80, "sendonly");
    pair.inject(false, hold);
    assert!(pair.has(true, &LegEvent::Held), "{:?}", pair.heard);
    let resume = reinvite(&pair, 81, "sendrecv");
    pair.inject(false, resume);
    assert!(pair.has(true, &LegEvent::Resumed), "{:?}", pair.heard);
}

#[test]
fn a_leg_is_a_value_that_can_be_stored() {
    let pair = Pair::talking(&[]);
    let text = serde_json::to_string(&pair.caller).expect("serialisable");
    let back: Leg = serde_json::from_str(&text).expect("readable");
    assert_eq!(back, pair.caller);
    assert!(back.flow().is_none_or(|flow| flow.remote.port() != 0));
    assert!(pair.callee.as_ref().and_then(Leg::invite).is_some_and(|invite| invite.is(&Method::Invite)));
}

/// A request of the callee's in the dialog, without a body.
fn from_callee(pair: &Pair, method: &str, cseq: u32) -> Bytes {
    let text = String::from_utf8(refer_from_callee(pair).to_vec()).expect("ASCII");
    let text = text
        .replace("REFER", method)
        .replace("CSeq: 77", &format!("CSeq: {cseq}"))
        .replace("z9hG4bKrefer1", &format!("z9hG4bKr{method}{cseq}"));
    let head = text.split("Refer-To").next().expect("a head");
    format!("{head}Content-Length: 0\r\n\r\n").into()
}

#[test]
fn a_bye_is_taken_however_many_transactions_are_open() {
    let mut pair = Pair::talking(&[]);
    for cseq in 100..140 {
        let question = from_callee(&pair, "OPTIONS", cseq);
        pair.inject(false, question);
    }
    let answer = pair.wire.back().map(|(_, _, bytes)| bytes.clone()).expect("an answer");
    assert!(answer.starts_with(b"SIP/2.0 503"), "the bound holds: {answer:?}");
    let bye = from_callee(&pair, "BYE", 200);
    pair.inject(false, bye);
    assert_eq!(pair.count(|(caller, event)| *caller && matches!(event, LegEvent::Bye { .. })), 1);
    assert!(pair.caller.has_ended());
}

/// Takes our refreshes off the wire and refuses them with this status; how many there were.
fn refuse_refreshes(pair: &mut Pair, status: u16) -> usize {
    let is_refresh =
        |one: &(Mono, bool, Bytes)| one.1 && (one.2.starts_with(b"INVITE") || one.2.starts_with(b"UPDATE"));
    let (refreshes, rest): (Vec<_>, Vec<_>) = pair.wire.drain(..).partition(is_refresh);
    pair.wire = rest.into();
    for (_, _, bytes) in &refreshes {
        let request = Message::datagram(bytes.clone()).expect("ours");
        let refusal = crate::sip::print::Draft::response(&request, status, None).finish();
        pair.inject(false, refusal.bytes().clone());
    }
    refreshes.len()
}

#[test]
fn a_refused_refresh_is_tried_again_before_the_session_runs_out() {
    for status in [491, 488, 500, 503] {
        let mut pair = Pair::talking(&[]);
        let mut refused = 0;
        while pair.now.mono.since(Mono(0)) < Duration::from_secs(4_000) {
            assert!(pair.step());
            if refused == 0 {
                refused += refuse_refreshes(&mut pair, status);
            }
        }
        assert_eq!(refused, 1, "{status}");
        assert_eq!(pair.count(|(_, event)| is_end(event)), 0, "{status}: {:?}", pair.heard);
    }
}

#[test]
fn a_peer_that_refuses_every_refresh_lives_and_is_not_hung_up() {
    let mut pair = Pair::talking(&[]);
    let mut refused = 0;
    while pair.now.mono.since(Mono(0)) < Duration::from_secs(7_200) {
        let (at, _) = pair.caller.deadline().expect("the session timer runs");
        pair.now = pair.now.after(at.since(pair.now.mono));
        let (now, mut out) = (pair.now, Vec::new());
        pair.caller.on_deadline(now, &rules(), &mut out);
        pair.take(true, out);
        refused += refuse_refreshes(&mut pair, 501);
        pair.wire.clear();
    }
    assert!(refused > 10);
    assert_eq!(pair.caller.state(), LegState::Talking, "{:?}", pair.heard);
}

#[test]
fn a_kept_leg_is_not_ended_by_its_peers_silence() {
    for refreshes in [true, false] {
        let mut pair = Pair::talking(&[]);
        pair.act(refreshes, LegAction::Keep);
        pair.wire.clear();
        while let Some((at, _)) = pair.leg(refreshes).deadline() {
            pair.now = pair.now.after(at.since(pair.now.mono));
            let (now, mut out) = (pair.now, Vec::new());
            pair.leg(refreshes).on_deadline(now, &rules(), &mut out);
            pair.take(refreshes, out);
            pair.wire.clear();
        }
        assert!(pair.now.mono.since(Mono(0)) > Duration::from_secs(900));
        assert_eq!(pair.leg(refreshes).state(), LegState::Talking, "{:?}", pair.heard);
        pair.act(refreshes, LegAction::HangUp(EndReason::Normal));
        assert!(pair.leg(refreshes).has_ended());
    }
}

/// The first message on the wire that begins like this, from the caller's leg.
fn sent_by_caller(pair: &Pair, begins: &[u8]) -> Message {
    let found = pair.wire.iter().find(|(_, from_caller, bytes)| *from_caller && bytes.starts_with(begins));
    Message::datagram(found.map(|(_, _, bytes)| bytes.clone()).expect("it is on the wire")).expect("ours")
}

#[test]
fn what_makes_a_dialog_says_supported_replaces() {
    let mut pair = Pair::calling(&[]);
    let invite = sent_by_caller(&pair, b"INVITE");
    assert!(invite.has_token(Name::Supported, "replaces"));
    pair.until(|pair| pair.callee.is_some());
    pair.act(false, local_media(30_000));
    pair.act(false, LegAction::Answer);
    let answers = pair.wire.iter().filter(|(_, from_caller, bytes)| !from_caller && bytes.starts_with(b"SIP/2.0 200"));
    let answers = answers.map(|(_, _, bytes)| Message::datagram(bytes.clone()).expect("ours")).collect::<Vec<_>>();
    assert!(!answers.is_empty() && answers.iter().all(|answer| answer.has_token(Name::Supported, "replaces")));
}

mod answers;
mod forks;
mod proof;
mod races;
mod reliable;
mod script;
mod strays;
mod timers;
mod ways;
