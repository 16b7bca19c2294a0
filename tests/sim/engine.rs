//! The whole engine without sockets, threads and files: the real switch, calls, queues and plan, in virtual time.
//!
//! Packets go in by [`Engine::receive`], time by [`Engine::run_until`]; what would leave on the wire stands in
//! [`Engine::wire`]. What the parts say to each other is delivered at once and in order; the slow paths between them
//! are the business of `world`.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use switch12345::acd::directory::AcdDirectory;
use switch12345::acd::words::{AcdInput, QueueRequest};
use switch12345::acd::{Acd, AcdEffect};
use switch12345::base::flow::{Flow, FlowId, Side, Transport};
use switch12345::base::id::{CallId, LegId, LookupId};
use switch12345::base::now::{Mono, Now};
use switch12345::call::control::Plans;
use switch12345::call::leg::LegRules;
use switch12345::call::words::{CallEffect, CallInput, OperatorCommand, Query};
use switch12345::call::{Call, Origin, Terms};
use switch12345::event::call::{CallEvent, Happening};
use switch12345::plan::model::Plan;
use switch12345::rtp::command::{MediaLeg, MediaReport};
use switch12345::sip::session_timer::SessionPolicy;
use switch12345::sip::token::TokenKey;
use switch12345::sip::transaction::timers::SipTimers;
use switch12345::switch::words::{Beginning, Counted, NewCall, Paths, Peer, SwitchEffect};
use switch12345::switch::{Secrets, Switch};

use crate::media::Media;

/// Where carriers reach the engine.
pub const TRUNK_SIDE: &str = "10.0.0.1:5060";
/// Where phones reach it.
pub const AGENT_SIDE: &str = "10.0.0.1:5062";

/// The path between a peer and us. Datagrams share one flow; a stream has its own.
pub fn flow(side: Side, transport: Transport, remote: SocketAddr) -> Flow {
    let local = if side == Side::Trunk { TRUNK_SIDE } else { AGENT_SIDE };
    let stream = match remote.ip() {
        std::net::IpAddr::V4(ip) => u64::from(u32::from(ip)) << 16 | u64::from(remote.port()),
        std::net::IpAddr::V6(_) => u64::from(remote.port()),
    };
    let id = match (transport, side) {
        (Transport::Udp, Side::Trunk) => 1,
        (Transport::Udp, Side::Agent) => 2,
        _ => stream << 2 | u64::from(side == Side::Agent) << 1,
    };
    Flow { id: FlowId(id), side, transport, local: local.parse().expect("an address"), remote }
}

/// A peer's path, by its address as text.
pub fn udp(side: Side, remote: &str) -> Flow {
    flow(side, Transport::Udp, remote.parse().expect("an address"))
}

struct Everywhere;

impl Paths for Everywhere {
    fn flow_to(&self, side: Side, transport: Transport, peer: &Peer<'_>) -> Option<Flow> {
        Some(flow(side, transport, peer.remote))
    }
}

enum Todo {
    Switch(SwitchEffect),
    Call(CallId, CallInput),
    Effect(CallId, CallEffect),
    Acd(AcdInput),
    Find(CallId, LookupId, Query),
}

pub struct Engine {
    pub now: Now,
    pub plan: Arc<Plan>,
    pub switch: Switch,
    pub acd: Acd,
    pub calls: BTreeMap<CallId, Call>,
    pub media: BTreeMap<CallId, Media>,
    pub journal: BTreeMap<CallId, Vec<CallEvent>>,
    /// What left, in order; a network or a test takes it away.
    pub wire: VecDeque<(Flow, Bytes)>,
    pub counted: BTreeMap<Counted, u64>,
    /// What passed, line by line, while [`Self::logging`].
    pub log: Vec<String>,
    pub logging: bool,
    pub rules: LegRules,
    key: TokenKey,
    todo: VecDeque<Todo>,
    due: BTreeSet<(Mono, CallId)>,
    due_of: BTreeMap<CallId, Mono>,
    clips: BTreeMap<(Mono, u64), (CallId, MediaReport)>,
    clips_begun: u64,
    closed: BTreeSet<CallId>,
}

impl Engine {
    pub fn new(agents: usize) -> Self {
        let wall = "2026-11-20T02:00:00Z".parse().expect("a moment");
        let plan = crate::town::plan(agents, wall);
        let key = TokenKey::new([7; 16]);
        let secrets = Secrets { tokens: key, nonces: [5; 32], seed: 1 };
        Self {
            now: Now { mono: Mono(1_000_000_000), wall },
            switch: Switch::new(Arc::clone(&plan), &secrets, "switch12345"),
            acd: Acd::new(AcdDirectory::from_plan(&plan)),
            plan,
            calls: BTreeMap::new(),
            media: BTreeMap::new(),
            journal: BTreeMap::new(),
            wire: VecDeque::new(),
            counted: BTreeMap::new(),
            log: Vec::new(),
            logging: true,
            rules: LegRules {
                timers: SipTimers::default(),
                session: SessionPolicy { interval: Duration::from_secs(1_800), min_se: Duration::from_secs(90) },
                product: "switch12345".into(),
            },
            key,
            todo: VecDeque::new(),
            due: BTreeSet::new(),
            due_of: BTreeMap::new(),
            clips: BTreeMap::new(),
            clips_begun: 0,
            closed: BTreeSet::new(),
        }
    }

    /// A packet comes in.
    pub fn receive(&mut self, flow: Flow, bytes: impl Into<Bytes>) {
        let bytes = bytes.into();
        self.note(|| format!("< {} {}", flow.remote, first_line(&bytes)));
        let mut out = Vec::new();
        self.switch.receive(self.now, flow, bytes, &mut out);
        self.todo.extend(out.into_iter().map(Todo::Switch));
        self.work();
    }

    /// A connection is gone.
    pub fn closed(&mut self, flow: Flow) {
        let mut out = Vec::new();
        self.switch.closed(self.now, flow.id, &mut out);
        self.todo.extend(out.into_iter().map(Todo::Switch));
        for call in self.calls.keys() {
            self.todo.push_back(Todo::Call(*call, CallInput::TransportDown(flow.id)));
        }
        self.work();
    }

    /// Somebody asks something of a call by the API.
    pub fn operate(&mut self, call: CallId, command: OperatorCommand) {
        self.todo.push_back(Todo::Call(call, CallInput::Operator(Box::new(command))));
        self.work();
    }

    /// When anything here wants to be woken.
    pub fn deadline(&self) -> Option<Mono> {
        let calls = self.due.first().map(|(at, _)| *at);
        let clips = self.clips.keys().next().map(|(at, _)| *at);
        let acd = self.acd.deadline().map(|(at, _)| at);
        [calls, clips, acd, self.switch.deadline()].into_iter().flatten().min()
    }

    /// Lets time pass up to a moment; everything due on the way happens at its own time.
    pub fn run_until(&mut self, end: Mono) {
        while let Some(at) = self.deadline().filter(|at| *at <= end) {
            self.at(at);
            self.wake();
        }
        self.at(end);
    }

    pub fn run_for(&mut self, span: Duration) {
        self.run_until(self.now.mono + span);
    }

    fn at(&mut self, moment: Mono) {
        self.now = self.now.after(moment.max(self.now.mono).since(self.now.mono));
    }

    /// Acts on whatever is due now.
    pub fn wake(&mut self) {
        let now = self.now.mono;
        while let Some((_, call)) = self.due.first().copied().filter(|(at, _)| *at <= now) {
            self.tell(call, CallInput::Deadline);
            self.work();
        }
        while let Some(entry) = self.clips.first_entry().filter(|entry| entry.key().0 <= now) {
            let (call, report) = entry.remove();
            if let MediaReport::PlayDone { leg, token, .. } = report
                && self.media.get_mut(&call).is_some_and(|media| media.clip_ended(leg, token))
            {
                self.todo.push_back(Todo::Call(call, CallInput::Media(report)));
            }
        }
        if self.acd.deadline().is_some_and(|(at, _)| at <= now) {
            self.todo.push_back(Todo::Acd(AcdInput::Deadline));
        }
        if self.switch.deadline().is_some_and(|at| at <= now) {
            let mut out = Vec::new();
            self.switch.on_deadline(self.now, &mut out);
            self.todo.extend(out.into_iter().map(Todo::Switch));
        }
        self.work();
    }

    fn work(&mut self) {
        while let Some(todo) = self.todo.pop_front() {
            match todo {
                Todo::Switch(effect) => self.obey_switch(effect),
                Todo::Call(call, input) => self.tell(call, input),
                Todo::Effect(call, effect) => self.obey_call(call, effect),
                Todo::Acd(input) => self.tell_acd(input),
                Todo::Find(call, lookup, query) => {
                    let mut out = Vec::new();
                    self.switch.find(self.now, (call, lookup), &query, &Everywhere, &mut out);
                    self.todo.extend(out.into_iter().map(Todo::Switch));
                }
            }
        }
    }

    fn obey_switch(&mut self, effect: SwitchEffect) {
        match effect {
            SwitchEffect::Transmit(flow, bytes) => self.transmit(flow, bytes),
            SwitchEffect::Begin(new) => self.begin(*new),
            SwitchEffect::Deliver(call, input) => self.todo.push_back(Todo::Call(call, input)),
            SwitchEffect::Acd(input) => self.todo.push_back(Todo::Acd(input)),
            other => {
                if let SwitchEffect::Count(counted) = other {
                    *self.counted.entry(counted).or_default() += 1;
                }
            }
        }
    }

    fn begin(&mut self, new: NewCall) {
        let id = new.identity.call;
        self.media.insert(id, Media::default());
        self.journal.insert(id, Vec::new());
        let (plan, rules) = (Arc::clone(&self.plan), self.rules.clone());
        let terms = Terms { plans: Plans { pinned: &plan, newest: &plan }, legs: &rules, key: self.key };
        let mut out = Vec::new();
        let invite = Box::new(new.invite);
        let origin = match new.facts {
            Beginning::Trunk(facts) => Origin::Inbound { invite, facts },
            Beginning::Agent(facts) => Origin::Agent { invite, facts: Box::new(facts) },
        };
        let call = Call::new(self.now, terms, new.identity, origin, &mut out);
        self.calls.insert(id, call);
        self.after(id, out);
    }

    fn tell(&mut self, id: CallId, input: CallInput) {
        let (plan, rules) = (Arc::clone(&self.plan), self.rules.clone());
        let terms = Terms { plans: Plans { pinned: &plan, newest: &plan }, legs: &rules, key: self.key };
        let mut out = Vec::new();
        let Some(call) = self.calls.get_mut(&id) else { return };
        call.handle(self.now, terms, input, &mut out);
        self.after(id, out);
    }

    /// Books a call's next deadline, and its end.
    fn after(&mut self, id: CallId, out: Vec<CallEffect>) {
        self.todo.extend(out.into_iter().map(|effect| Todo::Effect(id, effect)));
        let Some(call) = self.calls.get(&id) else { return };
        let due = call.deadline().map(|(at, _)| at);
        if let Some(before) = self.due_of.remove(&id) {
            self.due.remove(&(before, id));
        }
        if let Some(at) = due {
            self.due_of.insert(id, at);
            self.due.insert((at, id));
        }
        if call.control().is_closed() && self.closed.insert(id) {
            self.switch.call_closed(id);
        }
        if call.is_over() {
            self.calls.remove(&id);
            self.closed.remove(&id);
            if let Some(before) = self.due_of.remove(&id) {
                self.due.remove(&(before, id));
            }
            self.todo.push_back(Todo::Acd(AcdInput::CallGone(id)));
            self.switch.call_over(id);
        }
    }

    fn obey_call(&mut self, id: CallId, effect: CallEffect) {
        match effect {
            CallEffect::Transmit(flow, bytes) => self.transmit(flow, bytes),
            CallEffect::Media(command) => {
                for (after, report) in self.media.entry(id).or_default().obey(command) {
                    if matches!(report, MediaReport::PlayDone { .. }) {
                        self.clips_begun += 1;
                        self.clips.insert((self.now.mono + after, self.clips_begun), (id, report));
                    } else {
                        self.todo.push_back(Todo::Call(id, CallInput::Media(report)));
                    }
                }
            }
            CallEffect::Queue(request) => {
                if let QueueRequest::Line { agent, leg, state, .. } = &request {
                    self.switch.note_line(agent.clone(), *leg, *state);
                }
                self.todo.push_back(Todo::Acd(AcdInput::Call(id, request)));
            }
            CallEffect::Find(lookup, query) => self.todo.push_back(Todo::Find(id, lookup, query)),
            CallEffect::Far(leg, far, news) => {
                let mut out = Vec::new();
                self.switch.on_far(self.now, (id, leg), &far, news, &mut out);
                self.todo.extend(out.into_iter().map(Todo::Switch));
            }
            CallEffect::Emit(event, _) => {
                self.note(|| format!("    #{} {:?}", event.journal_seq, event.what).chars().take(150).collect());
                let seq = event.journal_seq;
                self.journal.entry(id).or_default().push(*event);
                self.todo.push_back(Todo::Call(id, CallInput::Stored(seq)));
            }
            _ => {}
        }
    }

    fn tell_acd(&mut self, input: AcdInput) {
        let mut out = Vec::new();
        self.acd.handle(self.now, input, &mut out);
        for effect in out {
            if let AcdEffect::Verdict(call, verdict) = effect {
                self.todo.push_back(Todo::Call(call, CallInput::Acd(verdict)));
            }
        }
    }

    fn transmit(&mut self, flow: Flow, bytes: Bytes) {
        self.note(|| format!("> {} {}", flow.remote, first_line(&bytes)));
        self.wire.push_back((flow, bytes));
    }

    fn note(&mut self, line: impl FnOnce() -> String) {
        if self.logging {
            let at = self.now.mono.0 / 1_000_000 - 1_000;
            self.log.push(format!("{at:>7} {}", line()));
        }
    }

    /// What happened, line by line.
    pub fn story(&self) -> String {
        self.log.join("\n")
    }

    /// The one call that lives.
    #[track_caller]
    pub fn call(&self) -> &Call {
        let mut calls = self.calls.values();
        let first = calls.next().unwrap_or_else(|| panic!("no call\n{}", self.story()));
        assert!(calls.next().is_none(), "one call\n{}", self.story());
        first
    }

    /// How often something was journalled, over all calls.
    pub fn count(&self, wanted: impl Fn(&Happening) -> bool) -> usize {
        self.journal.values().flatten().filter(|event| wanted(&event.what)).count()
    }

    /// Everything that is held for calls and transactions anywhere: what must be zero when nothing goes on.
    pub fn tables(&self) -> Tables {
        Tables {
            calls: self.calls.len(),
            legs: self.calls.values().map(|call| call.legs().count()).sum(),
            switch_calls: self.switch.calls().len(),
            switch_names: self.switch.calls().names(),
            admitted: self.switch.admission().live(),
            answered_registers: self.switch.desk().remembered(),
            ports: self.media.values().map(|media| media.legs.len()).sum(),
            acd_busy: usize::from(!self.acd.is_quiet()),
        }
    }

    /// Whether an agent is in at most one offer, each port belongs to a call that lives, and each call has begun and
    /// ended at most once.
    #[track_caller]
    pub fn assert_sound(&self) {
        let mut offered = BTreeSet::new();
        for call in self.calls.values() {
            let control = call.control();
            let ringing = control.legs().iter().filter(|leg| leg.is_alive() && !leg.talks() && !leg.incoming);
            for agent in ringing.filter_map(|leg| leg.party.agent.clone()) {
                assert!(offered.insert(agent.clone()), "{agent} rings for two calls\n{}", self.story());
            }
        }
        for (id, media) in self.media.iter().filter(|(_, media)| !media.legs.is_empty()) {
            assert!(self.calls.contains_key(id), "ports of no call: {:?}\n{}", media.legs, self.story());
        }
        assert!(self.switch.calls().len() >= self.calls.len(), "a call without a name\n{}", self.story());
        assert!(self.switch.admission().live() <= self.calls.len(), "admission has lost count\n{}", self.story());
    }

    /// Checks one journal from beginning to end.
    #[track_caller]
    pub fn assert_journals(&self) {
        for (id, events) in &self.journal {
            let count = |wanted: fn(&Happening) -> bool| events.iter().filter(|event| wanted(&event.what)).count();
            let started = count(|what| matches!(what, Happening::Started(_)));
            let ended = count(|what| matches!(what, Happening::Ended { .. }));
            let closed = count(|what| matches!(what, Happening::Closed));
            assert_eq!((started, ended, closed), (1, 1, 1), "call {id}: {events:#?}");
            assert!(
                events.iter().enumerate().all(|(at, event)| event.journal_seq == at as u64 + 1),
                "call {id}: a gap"
            );
        }
    }

    /// The legs of the one call that stand, as (leg, MediaLeg).
    pub fn legs(&self) -> Vec<(LegId, MediaLeg)> {
        let call = self.call();
        let id = call.control().identity().call;
        call.legs().map(|(leg, _)| (leg, MediaLeg { call: id, leg })).collect()
    }
}

/// What is held.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tables {
    pub calls: usize,
    pub legs: usize,
    pub switch_calls: usize,
    pub switch_names: usize,
    pub admitted: usize,
    pub answered_registers: usize,
    pub ports: usize,
    pub acd_busy: usize,
}

pub fn first_line(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).lines().next().unwrap_or_default().to_owned()
}
