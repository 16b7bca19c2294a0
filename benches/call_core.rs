//! Whole calls through the call core and the ACD, without sockets: INVITE, greeting, queue, agent's answer, talk, BYE,
//! and the hour-glass of timers until nothing of the call is left. Target: ≥ 3,000 calls a second and core.
//!
//! `cargo bench --bench call_core`. Counted is what the engine does: reading every message from bytes, naming its leg
//! from branch or tag, routing, `Call::handle`, `Acd::handle`, printing what goes out. The carrier and the agents'
//! phones are played by text between the counted pieces. Not counted: sockets, tasks, media, journal. Two rounds: one
//! call after another, and [`TOGETHER`] calls in step, so that one call's memory is cold when its turn comes.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a bench stops and prints"
)]

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use jiff::Timestamp;
use switch12345::acd::directory::AcdDirectory;
use switch12345::acd::words::{AcdInput, QueueRequest};
use switch12345::acd::{Acd, AcdEffect};
use switch12345::base::flow::{Flow, FlowId, Side, Transport};
use switch12345::base::id::{AgentId, CallId, TenantName, TicketId, TrunkName, Ulid};
use switch12345::base::now::{Mono, Now};
use switch12345::call::carried::Carried;
use switch12345::call::control::Plans;
use switch12345::call::leg::LegRules;
use switch12345::call::setup::Inbound;
use switch12345::call::words::{Arrived, CallEffect, CallInput, Identity, Query, Target, Targets};
use switch12345::call::{Call, Origin, Terms};
use switch12345::engine::disk::Disk;
use switch12345::event::call::Barrier;
use switch12345::plan::load::{Files, Request, load};
use switch12345::plan::model::Plan;
use switch12345::plan::route::Facts;
use switch12345::plan::trunk::Reliable;
use switch12345::rtp::command::{LocalMedia, MediaCommand, MediaReport, Source};
use switch12345::sip::message::{Message, Method};
use switch12345::sip::session_timer::SessionPolicy;
use switch12345::sip::token::TokenKey;
use switch12345::sip::transaction::timers::SipTimers;

const AGENTS: usize = 1_000;
const TOGETHER: usize = 400;
const ROUNDS: usize = 15;
const ENGINE: &str = "127.0.0.1:5060";

/// The shipped files, with many agents.
struct Shipped;

impl Files for Shipped {
    fn read(&self, path: &str) -> Result<String, String> {
        if path != "config/agents.toml" {
            return Disk.read(path);
        }
        let mut text = String::new();
        for nth in 0..AGENTS {
            let id = 2_000 + nth;
            let _ = writeln!(
                text,
                "[[agent]]\nid = \"{id}\"\nname = \"座席{id}\"\ntenant = \"chifeng\"\npassword = \"demo-{id}\"\n\
                 queues = [\"main\"]\nskills = {{ \"环保\" = {} }}",
                1 + nth % 10
            );
        }
        Ok(text)
    }

    fn list(&self, directory: &str) -> Result<Vec<String>, String> {
        Disk.list(directory)
    }
}

/// What waits for the engine's attention.
enum Waiting {
    Wire(Side, Bytes),
    Call(CallInput),
    Acd(QueueRequest),
}

/// One call and those who take part in it.
struct Story {
    call: Option<Call>,
    id: CallId,
    waiting: VecDeque<Waiting>,
    /// The caller's dialog once there is one: the To header with the engine's tag.
    to: Option<String>,
    talks: bool,
    hung_up: bool,
    told_gone: bool,
    messages: u64,
}

struct Engine {
    now: Now,
    plan: Arc<Plan>,
    acd: Acd,
    rules: LegRules,
    key: TokenKey,
    spent: Duration,
    effects: Vec<CallEffect>,
    verdicts: Vec<AcdEffect>,
    calls: u64,
}

fn flow(side: Side) -> Flow {
    let (port, id) = if side == Side::Agent { (5_999, 2) } else { (5_070, 1) };
    let remote = SocketAddr::from(([127, 0, 0, 1], port));
    Flow { id: FlowId(id), side, transport: Transport::Udp, local: ENGINE.parse().unwrap(), remote }
}

const SDP: &str = "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n\
                   m=audio 40000 RTP/AVP 8 0 101\r\na=rtpmap:101 telephone-event/8000\r\na=sendrecv\r\n";

/// The value of a header as written.
fn header<'t>(text: &'t str, name: &str) -> &'t str {
    text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": ")).unwrap_or_default()
}

fn answer(request: &str, status: &str, tag: &str, sdp: bool) -> Bytes {
    let mut text = format!("SIP/2.0 {status}\r\n");
    for line in request.lines().filter(|line| line.starts_with("Via: ") || line.starts_with("Record-Route: ")) {
        let _ = write!(text, "{line}\r\n");
    }
    let to = header(request, "To");
    let tag = if to.contains("tag=") { String::new() } else { format!(";tag={tag}") };
    let body = if sdp { SDP } else { "" };
    let kind = if sdp { "Content-Type: application/sdp\r\n" } else { "" };
    let _ = write!(
        text,
        "From: {}\r\nTo: {to}{tag}\r\nCall-ID: {}\r\nCSeq: {}\r\nContact: <sip:a@127.0.0.1:5999>\r\n{kind}\
         Content-Length: {}\r\n\r\n{body}",
        header(request, "From"),
        header(request, "Call-ID"),
        header(request, "CSeq"),
        body.len()
    );
    text.into()
}

impl Story {
    fn new(nth: u64, wall: Timestamp) -> Self {
        let id = CallId(Ulid::compose(wall, 1, &TenantName::new("chifeng"), nth));
        let mut story = Self {
            call: None,
            id,
            waiting: VecDeque::new(),
            to: None,
            talks: false,
            hung_up: false,
            told_gone: false,
            messages: 0,
        };
        let invite = story.request("INVITE", 1, "<sip:12369@127.0.0.1>", SDP);
        story.waiting.push_back(Waiting::Wire(Side::Trunk, invite));
        story
    }

    fn request(&self, method: &str, cseq: u32, to: &str, body: &str) -> Bytes {
        let id = self.id;
        let kind = if body.is_empty() { "" } else { "Content-Type: application/sdp\r\n" };
        format!(
            "{method} sip:12369@{ENGINE} SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1:5070;branch=z9hG4bK{id}{method}\r\n\
             Max-Forwards: 70\r\nFrom: <sip:13800001234@127.0.0.1>;tag=c{id}\r\nTo: {to}\r\nCall-ID: {id}@carrier\r\n\
             CSeq: {cseq} {method}\r\nContact: <sip:13800001234@127.0.0.1:5070>\r\n\
             P-Asserted-Identity: <sip:13800001234@127.0.0.1>\r\nSupported: timer\r\n{kind}Content-Length: {}\r\n\r\n{body}",
            body.len()
        )
        .into()
    }

    /// What the other side of a flow does with a message of the engine's.
    fn peer_hears(&mut self, side: Side, bytes: &[u8]) {
        let text = String::from_utf8_lossy(bytes).into_owned();
        let mut said = Vec::new();
        match (side, text.split(' ').next().unwrap_or_default()) {
            (_, "INVITE") => {
                let tag = header(&text, "Call-ID").to_owned();
                said.push(answer(&text, "180 Ringing", &tag, false));
                said.push(answer(&text, "200 OK", &tag, true));
            }
            (_, "BYE") => said.push(answer(&text, "200 OK", "", false)),
            (Side::Agent, "ACK") => self.talks = true,
            (Side::Trunk, "SIP/2.0")
                if self.to.is_none() && text.starts_with("SIP/2.0 200") && header(&text, "CSeq") == "1 INVITE" =>
            {
                let to = header(&text, "To").to_owned();
                said.push(self.request("ACK", 1, &to, ""));
                self.to = Some(to);
            }
            _ => {}
        }
        self.waiting.extend(said.into_iter().map(|bytes| Waiting::Wire(side, bytes)));
    }

    fn hang_up(&mut self) {
        let to = self.to.clone().expect("the caller was answered");
        let bye = self.request("BYE", 2, &to, "");
        self.waiting.push_back(Waiting::Wire(Side::Trunk, bye));
        self.hung_up = true;
    }

    fn deadline(&self) -> Option<Mono> {
        self.call.as_ref().and_then(Call::deadline).map(|(at, _)| at)
    }
}

impl Engine {
    fn new() -> Self {
        let wall: Timestamp = "2026-10-20T02:00:00Z".parse().unwrap();
        let loaded = load(&Shipped, &Request { config: "config/switch.toml", set: &[], overlays: &[], wall });
        let plan = loaded.plan.expect("the shipped plan is good");
        let mut engine = Self {
            now: Now { mono: Mono(1_000_000_000), wall },
            acd: Acd::new(AcdDirectory::from_plan(&plan)),
            plan,
            rules: LegRules {
                timers: SipTimers::default(),
                session: SessionPolicy { interval: Duration::from_secs(1_800), min_se: Duration::from_secs(90) },
                product: "switch12345".into(),
            },
            key: TokenKey::new([7; 16]),
            spent: Duration::ZERO,
            effects: Vec::new(),
            verdicts: Vec::new(),
            calls: 0,
        };
        for nth in 0..AGENTS {
            let reachable = AcdInput::Reachable(AgentId::new((2_000 + nth).to_string()), true);
            engine.acd.handle(engine.now, reachable, &mut engine.verdicts);
        }
        engine.verdicts.clear();
        engine
    }

    #[expect(clippy::disallowed_methods, reason = "a bench measures")]
    fn counted<T>(&mut self, work: impl FnOnce(&mut Self) -> T) -> T {
        let start = Instant::now();
        let done = work(self);
        self.spent += start.elapsed();
        done
    }

    fn take(&mut self, stories: &mut [Story], nth: usize, input: Waiting) {
        let Some(story) = stories.get_mut(nth) else { return };
        match input {
            Waiting::Wire(side, bytes) => {
                story.messages += 1;
                self.counted(|engine| engine.receive(story, side, bytes));
            }
            Waiting::Call(input) => self.counted(|engine| engine.handle(story, input)),
            Waiting::Acd(request) => {
                let id = story.id;
                self.tell_acd(stories, AcdInput::Call(id, request));
            }
        }
        self.carry_out(stories, nth);
    }

    fn handle(&mut self, story: &mut Story, input: CallInput) {
        let terms = Terms { plans: Plans { pinned: &self.plan, newest: &self.plan }, legs: &self.rules, key: self.key };
        if let Some(call) = story.call.as_mut() {
            call.handle(self.now, terms, input, &mut self.effects);
        }
    }

    fn receive(&mut self, story: &mut Story, side: Side, bytes: Bytes) {
        let message = Message::datagram(bytes).expect("peers send valid messages");
        let named = match message.method() {
            None => message.via().branch().and_then(|branch| self.key.read_branch(branch)),
            Some(_) => message.to_tag().and_then(|tag| self.key.read_tag(tag)),
        };
        let arrived = Box::new(Arrived { message, flow: flow(side) });
        match named {
            Some((_, leg)) => self.handle(story, CallInput::Sip(leg, arrived)),
            None if arrived.message.is(&Method::Invite) => self.admit(story, arrived),
            None => panic!("a message nobody waits for"),
        }
    }

    fn admit(&mut self, story: &mut Story, invite: Box<Arrived>) {
        let trunk = TrunkName::new("carrier");
        let facts = Facts {
            trunk: &trunk,
            dialled: "12369",
            from: Some("13800001234"),
            asserted: &["13800001234"],
            private: false,
            diverted: &[],
        };
        let route = self.plan.route(&facts, self.now.wall, &mut ());
        let sip_call_id = String::from_utf8_lossy(invite.message.call_id()).as_ref().into();
        let display = Bytes::new();
        let facts = Box::new(Inbound {
            trunk,
            route,
            sip_call_id,
            diverted_from: Vec::new(),
            max_forwards: 70,
            display,
            external_ref: None,
            carried: Carried::default(),
        });
        let identity = Identity { call: story.id, ticket: TicketId(story.id.0), seed: self.calls, advertised: None };
        self.calls += 1;
        let terms = Terms { plans: Plans { pinned: &self.plan, newest: &self.plan }, legs: &self.rules, key: self.key };
        story.call = Some(Call::new(self.now, terms, identity, Origin::Inbound { invite, facts }, &mut self.effects));
    }

    fn tell_acd(&mut self, stories: &mut [Story], input: AcdInput) {
        self.counted(|engine| engine.acd.handle(engine.now, input, &mut engine.verdicts));
        for effect in std::mem::take(&mut self.verdicts) {
            if let AcdEffect::Verdict(call, verdict) = effect
                && let Some(story) = stories.iter_mut().find(|story| story.id == call)
            {
                story.waiting.push_back(Waiting::Call(CallInput::Acd(verdict)));
            }
        }
    }

    /// Plays everybody the call talks to: the wire, media, the switch, the store.
    fn carry_out(&mut self, stories: &mut [Story], nth: usize) {
        let mut effects = std::mem::take(&mut self.effects);
        let Some(story) = stories.get_mut(nth) else { return };
        for effect in effects.drain(..) {
            match effect {
                CallEffect::Transmit(flow, bytes) => {
                    story.messages += 1;
                    story.peer_hears(flow.side, &bytes);
                }
                CallEffect::Media(command) => {
                    story.waiting.extend(media(command).map(|report| Waiting::Call(CallInput::Media(report))));
                }
                CallEffect::Queue(request) => story.waiting.push_back(Waiting::Acd(request)),
                CallEffect::Find(lookup, query) => {
                    let Query::Agent(agent) = query else { panic!("this call has no trunk leg") };
                    let to: Arc<str> = format!("sip:{agent}@127.0.0.1:5999").into();
                    let target = Target {
                        flow: flow(Side::Agent),
                        uri: Arc::clone(&to),
                        to,
                        route: Vec::new(),
                        trunk: None,
                        trusted: true,
                        stream: None,
                        reliable: Reliable::default(),
                        hops: None,
                    };
                    let found = CallInput::Found(lookup, Box::new(Targets(vec![target])));
                    story.waiting.push_back(Waiting::Call(found));
                }
                CallEffect::Emit(event, Barrier::Hold) => {
                    story.waiting.push_back(Waiting::Call(CallInput::Stored(event.journal_seq)));
                }
                CallEffect::Emit(_, Barrier::None) | CallEffect::Give(_) | CallEffect::Far(..) => {}
            }
        }
        self.effects = effects;
    }

    /// Goes to the next deadline of anybody; `false` when there is none.
    fn wake(&mut self, stories: &mut [Story]) -> bool {
        let acd = self.acd.deadline().map(|(at, _)| at);
        let Some(at) = stories.iter().filter_map(Story::deadline).chain(acd).min() else { return false };
        self.now = self.now.after(at.max(self.now.mono).since(self.now.mono));
        for nth in 0..stories.len() {
            let due = stories.get(nth).and_then(Story::deadline).is_some_and(|at| at <= self.now.mono);
            if due {
                self.take(stories, nth, Waiting::Call(CallInput::Deadline));
            }
        }
        if acd.is_some_and(|at| at <= self.now.mono) {
            self.tell_acd(stories, AcdInput::Deadline);
        }
        true
    }

    /// Runs calls in step to their last timer.
    fn run(&mut self, together: usize) -> Vec<Story> {
        let wall = self.now.wall;
        let first = self.calls;
        let mut stories: Vec<_> = (0..together as u64).map(|nth| Story::new(first + nth, wall)).collect();
        loop {
            let mut moved = false;
            for nth in 0..stories.len() {
                if let Some(input) = stories.get_mut(nth).and_then(|story| story.waiting.pop_front()) {
                    self.take(&mut stories, nth, input);
                    moved = true;
                }
            }
            for nth in 0..stories.len() {
                moved |= self.go_on(&mut stories, nth);
            }
            if !moved && !self.wake(&mut stories) {
                return stories;
            }
        }
    }

    /// What a call does of its own accord when nothing waits for it: hanging up, and being forgotten.
    fn go_on(&mut self, stories: &mut [Story], nth: usize) -> bool {
        let Some(story) = stories.get_mut(nth).filter(|story| story.waiting.is_empty()) else { return false };
        if story.talks && !story.hung_up {
            story.hang_up();
            return true;
        }
        if !story.told_gone && story.call.as_ref().is_some_and(Call::is_over) {
            story.told_gone = true;
            story.call = None;
            let gone = AcdInput::CallGone(story.id);
            self.tell_acd(stories, gone);
            return true;
        }
        false
    }
}

/// A media worker without packets: ports at once, every clip at its end at once.
fn media(command: MediaCommand) -> Option<MediaReport> {
    match command {
        MediaCommand::Allocate { leg, .. } => {
            let port = 20_000 + leg.0 % 1_000 * 2;
            let at = |port| SocketAddr::from(([127, 0, 0, 1], port));
            let local =
                LocalMedia { rtp: at(port), rtcp: at(port + 1), ice: None, fingerprint: None, crypto: Vec::new() };
            Some(MediaReport::Allocated { leg, local: Box::new(local) })
        }
        MediaCommand::Hear { leg, source: Source::Play(play) } => {
            Some(MediaReport::PlayDone { leg, token: play.token, complete: true })
        }
        _ => None,
    }
}

fn main() {
    for (what, together, rounds) in [("one by one", 1, 1_000), ("in step", TOGETHER, ROUNDS)] {
        let mut engine = Engine::new();
        let mut costs = Vec::new();
        let mut messages = 0;
        engine.run(together);
        for _ in 0..rounds {
            engine.spent = Duration::ZERO;
            let stories = engine.run(together);
            costs.push(engine.spent / u32::try_from(together).expect("few"));
            assert!(engine.acd.is_quiet(), "the ACD keeps something of the calls");
            for story in &stories {
                assert!(
                    story.told_gone && story.hung_up && story.messages >= 12,
                    "a call did not go its whole way: talked {}, forgotten {}, {} messages",
                    story.talks,
                    story.told_gone,
                    story.messages
                );
                messages = story.messages;
            }
        }
        costs.sort_unstable();
        let [median, best] = [costs.len() / 2, 0].map(|nth| costs.get(nth).copied().unwrap_or_default());
        println!(
            "whole calls, {together} {what}: median {:.1} µs a call ({:.0} calls/s/core), best round {:.1} µs, {messages} SIP messages each",
            median.as_secs_f64() * 1e6,
            1.0 / median.as_secs_f64(),
            best.as_secs_f64() * 1e6,
        );
    }
}
