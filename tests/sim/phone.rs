//! A telephone, a carrier or a desk: legs of our own making, driven by a manner.
//!
//! The legs are the engine's own [`Leg`]; independent implementations talk to the engine in the demo and on the wire.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use switch12345::base::flow::{Flow, FlowId, Side, Transport};
use switch12345::base::id::{CallId, LegId, TenantName, Ulid};
use switch12345::base::now::{Mono, Now};
use switch12345::call::leg::words::{LegAction, LegEvent, Outgoing};
use switch12345::call::leg::{Leg, LegNames, LegOut, LegRules, LegState, Sender};
use switch12345::call::words::{Arrived, Target};
use switch12345::event::reason::EndReason;
use switch12345::plan::trunk::Reliable;
use switch12345::rtp::command::LocalMedia;
use switch12345::sip::message::{Message, Method};
use switch12345::sip::print::Draft;
use switch12345::sip::token::TokenKey;

/// What a telephone does by itself.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Manner {
    /// When it rings (180) after the INVITE; `None` = it does not say so.
    pub(crate) ring_after: Option<Duration>,
    /// When it answers after the INVITE.
    pub(crate) answer_after: Option<Duration>,
    /// When and with what it refuses.
    pub(crate) refuse: Option<(Duration, u16)>,
    /// How long after its answer it hangs up.
    pub(crate) talk_for: Option<Duration>,
}

impl Manner {
    pub(crate) const RINGS: Self =
        Self { ring_after: Some(Duration::from_millis(20)), answer_after: None, refuse: None, talk_for: None };

    pub(crate) fn answers(after_ms: u64) -> Self {
        Self { answer_after: Some(Duration::from_millis(after_ms)), ..Self::RINGS }
    }

    pub(crate) fn refuses(status: u16) -> Self {
        Self { refuse: Some((Duration::from_millis(100), status)), ..Self::RINGS }
    }

    pub(crate) fn hanging_up_after(self, talk_ms: u64) -> Self {
        Self { talk_for: Some(Duration::from_millis(talk_ms)), ..self }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Plan {
    Ring,
    Answer,
    Refuse(u16),
    HangUp,
}

/// One line in use.
#[derive(Clone, Debug)]
pub(crate) struct Line {
    pub(crate) leg: Leg,
    pub(crate) call_id: Vec<u8>,
    pub(crate) todo: Vec<(Mono, Plan)>,
    pub(crate) answered: bool,
    pub(crate) over: bool,
    pub(crate) heard: Vec<LegEvent>,
    /// The final status an outgoing call of this phone got.
    pub(crate) failed: Option<u16>,
    /// Headers of the INVITE that came.
    pub(crate) invite: Option<Message>,
    /// The engine's tag and ours, from the last answer with both.
    pub(crate) tags: Option<(String, String)>,
    /// Whether requests were written by hand on it.
    raw: bool,
}

#[derive(Clone, Debug)]
pub(crate) struct Phone {
    pub(crate) name: &'static str,
    pub(crate) addr: SocketAddr,
    pub(crate) engine: SocketAddr,
    pub(crate) transport: Transport,
    pub(crate) manner: Manner,
    pub(crate) lines: Vec<Line>,
    /// Neither sends nor hears anything any more.
    pub(crate) dead: bool,
    pub(crate) rules: LegRules,
    /// Whether its provisional answers are reliable, and whether it asks for ours to be.
    pub(crate) reliable: Reliable,
    /// NOTIFY bodies that came, as status codes of their sipfrag.
    pub(crate) notified: Vec<u16>,
    raw: u32,
}

impl Phone {
    pub(crate) fn new(name: &'static str, port: u16, engine: SocketAddr, manner: Manner, rules: LegRules) -> Self {
        let addr = SocketAddr::from(([127, 0, 0, 1], port));
        let transport = Transport::Udp;
        let (lines, notified) = (Vec::new(), Vec::new());
        let reliable = Reliable::Offered;
        Self { name, addr, engine, transport, manner, lines, dead: false, rules, reliable, notified, raw: 1_000 }
    }

    fn flow(&self) -> Flow {
        Flow { id: FlowId(1), side: Side::Agent, transport: self.transport, local: self.addr, remote: self.engine }
    }

    fn names(&self) -> LegNames {
        let nth = u16::try_from(self.lines.len()).expect("few lines");
        let random = u64::from(self.addr.port());
        let call = CallId(Ulid::compose(jiff::Timestamp::UNIX_EPOCH, 1, &TenantName::new("phones"), random));
        LegNames {
            call,
            leg: LegId(nth),
            key: TokenKey::new([9; 16]),
            seed: random + u64::from(nth),
            reliable: self.reliable,
        }
    }

    fn local(&self) -> LegAction {
        let media = |extra: u16| {
            let port = 40_000 + (self.addr.port() % 1_000) * 8 + u16::try_from(self.lines.len()).expect("few") * 2;
            SocketAddr::new(self.addr.ip(), port + extra)
        };
        let (rtp, rtcp) = (media(0), media(1));
        LegAction::Local(Box::new(LocalMedia { rtp, rtcp, ice: None, fingerprint: None, crypto: Vec::new() }))
    }

    /// Calls a number.
    pub(crate) fn dial(&mut self, now: Now, number: &str, from: &str, out: &mut Vec<Bytes>) -> usize {
        let mut leg = Leg::outgoing(&self.names());
        let wanted = Outgoing {
            target: Target {
                flow: self.flow(),
                uri: format!("sip:{number}@{}", self.engine).into(),
                to: format!("sip:{number}@{}", self.engine).into(),
                route: Vec::new(),
                trunk: None,
                trusted: true,
                stream: None,
                reliable: self.reliable,
                hops: None,
            },
            display: Bytes::new(),
            from: format!("sip:{from}@{}", self.addr).into(),
            headers: Vec::new(),
            parts: Vec::new(),
            ring: Duration::from_secs(3_600),
            dead_after: Duration::from_secs(30),
            max_forwards: 70,
        };
        let mut told = Vec::new();
        leg.act(now, &self.rules, self.local(), &mut told);
        leg.act(now, &self.rules, LegAction::Invite(Box::new(wanted)), &mut told);
        self.lines.push(Line {
            leg,
            call_id: Vec::new(),
            todo: Vec::new(),
            answered: false,
            over: false,
            heard: Vec::new(),
            failed: None,
            invite: None,
            tags: None,
            raw: false,
        });
        let line = self.lines.len() - 1;
        self.take(now, line, told, out);
        line
    }

    /// Takes a datagram.
    pub(crate) fn receive(&mut self, now: Now, bytes: Bytes, out: &mut Vec<Bytes>) {
        if self.dead {
            return;
        }
        let message = Message::datagram(bytes).expect("the engine sends valid messages");
        if message.via().branch().is_some_and(|branch| branch.starts_with(b"z9hG4bKraw")) {
            self.on_raw_answer(&message, out);
            return;
        }
        if message.is(&Method::Notify) {
            let body = String::from_utf8_lossy(message.body()).into_owned();
            self.notified.extend(body.split(' ').nth(1).and_then(|status| status.parse::<u16>().ok()));
            // Its REFER was written by hand, so its leg knows of no subscription.
            out.push(Draft::response(&message, 200, None).finish().bytes().clone());
            return;
        }
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        if let (None, Some(engine), Some(mine)) = (message.method(), message.to_tag(), message.from_tag())
            && let Some(line) = self.lines.iter_mut().find(|line| line.call_id == message.call_id())
        {
            line.tags = Some((text(engine), text(mine)));
        }
        let found = self.lines.iter().position(|line| line.call_id == message.call_id());
        let arrived = Arrived { message, flow: self.flow() };
        let mut told = Vec::new();
        let line = match found {
            Some(line) => {
                let rules = self.rules.clone();
                if let Some(line) = self.lines.get_mut(line) {
                    line.leg.on_sip(now, &rules, Sender::default(), &arrived, &mut told);
                }
                line
            }
            None if arrived.message.is(&Method::Invite) && arrived.message.to_tag().is_none() => {
                self.ring(now, &arrived, &mut told)
            }
            None => return,
        };
        self.take(now, line, told, out);
    }

    fn ring(&mut self, now: Now, arrived: &Arrived, told: &mut Vec<LegOut>) -> usize {
        let mut leg = Leg::incoming(now, &self.names(), &self.rules, arrived, told);
        leg.act(now, &self.rules, self.local(), told);
        let manner = self.manner;
        let at = |after: Duration| now.mono + after;
        let mut todo = Vec::new();
        todo.extend(manner.ring_after.map(|after| (at(after), Plan::Ring)));
        todo.extend(manner.answer_after.map(|after| (at(after), Plan::Answer)));
        todo.extend(manner.refuse.map(|(after, status)| (at(after), Plan::Refuse(status))));
        self.lines.push(Line {
            leg,
            call_id: arrived.message.call_id().to_vec(),
            todo,
            answered: false,
            over: false,
            heard: Vec::new(),
            failed: None,
            invite: Some(arrived.message.clone()),
            tags: None,
            raw: false,
        });
        self.lines.len() - 1
    }

    fn take(&mut self, now: Now, line: usize, told: Vec<LegOut>, out: &mut Vec<Bytes>) {
        let talk_for = self.manner.talk_for;
        let Some(line) = self.lines.get_mut(line) else { return };
        for one in told {
            match one {
                LegOut::Transmit(_, bytes) => {
                    if line.call_id.is_empty() {
                        let message = Message::datagram(bytes.clone()).expect("our own message");
                        line.call_id = message.call_id().to_vec();
                    }
                    out.push(bytes);
                }
                LegOut::Event(event) => {
                    match &event {
                        LegEvent::Answered | LegEvent::Confirmed => {
                            line.answered = true;
                            line.todo.extend(talk_for.map(|span| (now.mono + span, Plan::HangUp)));
                        }
                        LegEvent::Over => line.over = true,
                        LegEvent::Failed { status, .. } => line.failed = Some(*status),
                        _ => {}
                    }
                    line.heard.push(event);
                }
            }
        }
    }

    /// The next thing this phone does by itself.
    pub(crate) fn deadline(&self) -> Option<Mono> {
        if self.dead {
            return None;
        }
        let lines = self.lines.iter().filter(|line| !line.over);
        lines
            .flat_map(|line| {
                let own = line.leg.deadline().map(|(at, _)| at);
                line.todo.iter().map(|(at, _)| *at).chain(own)
            })
            .min()
    }

    pub(crate) fn on_deadline(&mut self, now: Now, out: &mut Vec<Bytes>) {
        for index in 0..self.lines.len() {
            let mut told = Vec::new();
            let rules = self.rules.clone();
            let Some(line) = self.lines.get_mut(index).filter(|line| !line.over) else { continue };
            if line.leg.deadline().is_some_and(|(at, _)| at <= now.mono) {
                line.leg.on_deadline(now, &rules, &mut told);
            }
            let (due, later): (Vec<_>, Vec<_>) = line.todo.drain(..).partition(|(at, _)| *at <= now.mono);
            line.todo = later;
            for (_, plan) in due {
                let action = match plan {
                    Plan::Ring => LegAction::Ring,
                    Plan::Answer => LegAction::Answer,
                    Plan::Refuse(status) => LegAction::Reject { status, q850: None, retry_after: None },
                    Plan::HangUp => LegAction::HangUp(EndReason::Normal),
                };
                line.leg.act(now, &rules, action, &mut told);
            }
            self.take(now, index, told, out);
        }
    }

    /// Hangs up, cancels or refuses on every line that is not over.
    pub(crate) fn hang_up(&mut self, now: Now, out: &mut Vec<Bytes>) {
        for index in 0..self.lines.len() {
            self.hang_up_line(now, index, out);
        }
    }

    pub(crate) fn hang_up_line(&mut self, now: Now, index: usize, out: &mut Vec<Bytes>) {
        let mut told = Vec::new();
        let rules = self.rules.clone();
        if let Some(line) = self.lines.get_mut(index).filter(|line| !self.dead && !line.over) {
            line.todo.clear();
            if line.raw && line.leg.state() == LegState::Talking {
                // The hand-written requests have run ahead of the leg's own CSeq.
                line.over = true;
                self.raw(index, "BYE", "", "", out);
                return;
            }
            line.leg.act(now, &rules, LegAction::HangUp(EndReason::Normal), &mut told);
        }
        self.take(now, index, told, out);
    }

    /// Whether some line talks.
    pub(crate) fn talks(&self) -> bool {
        !self.dead && self.lines.iter().any(|line| !line.over && line.leg.state() == LegState::Talking)
    }

    /// Whether no line is left in use.
    pub(crate) fn is_idle(&self) -> bool {
        self.dead || self.lines.iter().all(|line| line.over)
    }

    /// A request in the dialog of a line, written by hand: REFER, or a re-INVITE with a direction.
    pub(crate) fn raw(&mut self, line: usize, method: &str, extra: &str, body: &str, out: &mut Vec<Bytes>) {
        let Some(names) = self.lines.get(line).filter(|_| !self.dead).and_then(|line| line.leg.dialog_names()) else {
            return;
        };
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("ASCII");
        if let Some(line) = self.lines.get_mut(line) {
            line.raw = true;
        }
        self.raw += 1;
        let (cseq, me, engine) = (self.raw, self.addr, self.engine);
        let content =
            if body.is_empty() || extra.contains("Content-Type") { "" } else { "Content-Type: application/sdp\r\n" };
        let head = format!(
            "{method} sip:engine@{engine} SIP/2.0\r\nVia: SIP/2.0/UDP {me};branch=z9hG4bKraw{cseq}\r\n\
             Max-Forwards: 70\r\nFrom: <sip:me@{me}>;tag={}\r\nTo: <sip:engine@{engine}>;tag={}\r\nCall-ID: {}\r\n\
             CSeq: {cseq} {method}\r\nContact: <sip:me@{me}>\r\n{extra}{content}Content-Length: {}\r\n\r\n{body}",
            text(&names.local_tag),
            text(&names.remote_tag),
            text(&names.call_id),
            body.len()
        );
        out.push(head.into());
    }

    fn on_raw_answer(&mut self, message: &Message, out: &mut Vec<Bytes>) {
        let invite = message.cseq_method() == &Method::Invite;
        if invite && message.status().is_some_and(|status| status >= 200) {
            let (me, engine) = (self.addr, self.engine);
            let text = |bytes: Option<&[u8]>| String::from_utf8(bytes.unwrap_or_default().to_vec()).expect("ASCII");
            let cseq = message.cseq().number;
            let ack = format!(
                "ACK sip:engine@{engine} SIP/2.0\r\nVia: SIP/2.0/UDP {me};branch=z9hG4bKrawack{cseq}\r\nMax-Forwards: 70\r\n\
                 From: <sip:me@{me}>;tag={}\r\nTo: <sip:engine@{engine}>;tag={}\r\nCall-ID: {}\r\nCSeq: {cseq} ACK\r\n\
                 Content-Length: 0\r\n\r\n",
                text(message.from_tag()),
                text(message.to_tag()),
                text(Some(message.call_id()))
            );
            out.push(ack.into());
        }
    }

    /// Holds (`sendonly`) or resumes (`sendrecv`) a line.
    pub(crate) fn direct(&mut self, line: usize, direction: &str, out: &mut Vec<Bytes>) {
        let port = 40_000 + (self.addr.port() % 1_000) * 8;
        let body = format!(
            "v=0\r\no=- 1 {} IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio {port} RTP/AVP 8 101\r\n\
             a=rtpmap:101 telephone-event/8000\r\na={direction}\r\n",
            self.raw + 10
        );
        self.raw(line, "INVITE", "", &body, out);
    }
}
