//! The clock, the network, the store and the small switch that joins a call to its phones.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use switch12345::acd::directory::{AcdDirectory, AgentEntry, QueueRule, Strategy};
use switch12345::acd::words::AcdInput;
use switch12345::acd::{Acd, AcdEffect};
use switch12345::base::flow::{Flow, FlowId, Side, Transport};
use switch12345::base::id::{AgentId, CallId, LegId, TenantName, TicketId, TrunkName, Ulid};
use switch12345::base::now::{Mono, Now};
use switch12345::call::carried::Carried;
use switch12345::call::control::Plans;
use switch12345::call::leg::LegRules;
use switch12345::call::legs::CALLER;
use switch12345::call::setup::Inbound;
use switch12345::call::words::{
    Arrived, CallEffect, CallInput, FIRST_CONSULT, FarEnd, FarNews, Identity, OperatorCommand, Query, Target, Targets,
};
use switch12345::call::{Call, Origin, Terms};
use switch12345::event::call::CallEvent;
use switch12345::plan::model::Plan;
use switch12345::plan::route::Facts;
use switch12345::plan::trunk::Reliable;
use switch12345::rtp::command::MediaReport;
use switch12345::sip::message::{Message, Method};
use switch12345::sip::session_timer::SessionPolicy;
use switch12345::sip::token::TokenKey;
use switch12345::sip::transaction::timers::SipTimers;

use super::phone::{Manner, Phone};

pub(crate) const ENGINE: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 5060);

/// Something on its way.
#[derive(Clone, Debug)]
pub(crate) enum Delivery {
    ToEngine(&'static str, Bytes),
    ToPhone(&'static str, Bytes),
    ToCall(Box<CallInput>),
    ToAcd(Box<AcdInput>),
    ClipEnds(MediaReport),
}

/// The delivery at which something is done, whether after it, and what.
pub(crate) type Hook = (usize, bool, Box<dyn FnMut(&mut World)>);

pub(crate) struct World {
    pub(crate) now: Now,
    pub(crate) plan: Arc<Plan>,
    pub(crate) call: Option<Call>,
    pub(crate) acd: Acd,
    pub(crate) phones: BTreeMap<&'static str, Phone>,
    pub(crate) trunks: BTreeMap<&'static str, Vec<&'static str>>,
    pub(crate) media: super::media::Media,
    pub(crate) journal: Vec<CallEvent>,
    /// What the call told the switch of its legs over trunks.
    pub(crate) far: Vec<(LegId, FarEnd, FarNews)>,
    /// Deliveries so far.
    pub(crate) delivered: usize,
    /// Act before (false) or after (true) this delivery.
    pub(crate) hook: Option<Hook>,
    /// The phase at the moment the hook acted.
    pub(crate) hit: Option<&'static str>,
    /// Share of datagrams lost, in percent.
    pub(crate) loss: u64,
    /// The trunk the caller comes over.
    pub(crate) over: &'static str,
    /// Whether the call is stored and read back before every input.
    pub(crate) restart: bool,
    /// Rewrites what phones send, before it is on the wire.
    pub(crate) edit: Option<fn(&'static str, Bytes) -> Bytes>,
    /// Whether the store answers.
    pub(crate) store: bool,
    /// Addresses of nobody the world knows that something was sent to.
    pub(crate) strangers: Vec<SocketAddr>,
    pub(super) rules: LegRules,
    pub(super) key: TokenKey,
    pub(super) id: CallId,
    queue: BTreeMap<(Mono, u64), Delivery>,
    sent: u64,
    rng: u64,
    log: Vec<String>,
    legs_of: BTreeMap<Vec<u8>, LegId>,
    gone: bool,
}

impl World {
    pub(crate) fn new(seed: u64) -> Self {
        let wall = "2026-11-20T02:00:00Z".parse().expect("a moment");
        let plan = super::plan::plan(wall);
        let rules = LegRules {
            timers: SipTimers::default(),
            session: SessionPolicy { interval: Duration::from_secs(1_800), min_se: Duration::from_secs(90) },
            product: "switch12345".into(),
        };
        let place = TenantName::new("p");
        let queues = plan.queues().map(|queue| {
            let strategy =
                if queue.id.queue.as_str() == "all" { Strategy::RingAll { cap: 2 } } else { Strategy::LongestIdle };
            (queue.id.clone(), QueueRule { strategy, ..QueueRule::default() })
        });
        let queues = queues.collect::<Vec<_>>();
        let ids = queues.iter().map(|(id, _)| id.clone()).collect::<Vec<_>>();
        let agents = plan.settings.agents.keys().map(|id| (id.clone(), AgentEntry::new(place.clone(), ids.clone())));
        let acd = Acd::new(AcdDirectory::new(queues, agents));
        let mut world = Self {
            now: Now { mono: Mono(1_000_000_000), wall },
            plan,
            call: None,
            acd,
            phones: BTreeMap::new(),
            trunks: BTreeMap::from([
                ("carrier", vec!["caller"]),
                ("spare", vec!["spare"]),
                ("desk-first", vec!["desk1"]),
                ("desk-second", vec!["desk2"]),
                ("seats", vec!["seats"]),
            ]),
            media: super::media::Media::default(),
            journal: Vec::new(),
            far: Vec::new(),
            delivered: 0,
            hook: None,
            hit: None,
            loss: 0,
            over: "carrier",
            restart: false,
            edit: None,
            store: true,
            strangers: Vec::new(),
            rules,
            key: TokenKey::new([7; 16]),
            id: CallId(Ulid::compose(wall, 1, &place, seed)),
            queue: BTreeMap::new(),
            sent: 0,
            rng: seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1,
            log: Vec::new(),
            legs_of: BTreeMap::new(),
            gone: false,
        };
        world.phone("caller", 7_000, Manner::RINGS);
        world
    }

    /// Puts a phone on a desk. Agents are named by their id.
    pub(crate) fn phone(&mut self, name: &'static str, port: u16, manner: Manner) {
        self.phones.insert(name, Phone::new(name, port, ENGINE, manner, self.rules.clone()));
        if name.chars().all(|c| c.is_ascii_digit()) {
            self.tell_acd(AcdInput::Reachable(AgentId::new(name), true));
        }
    }

    pub(crate) fn random(&mut self) -> u64 {
        self.rng ^= self.rng << 13;
        self.rng ^= self.rng >> 7;
        self.rng ^= self.rng << 17;
        self.rng
    }

    fn between(&mut self, low_ms: u64, high_ms: u64) -> Duration {
        let span = high_ms - low_ms;
        Duration::from_micros(low_ms * 1_000 + self.random() % (span * 1_000 + 1))
    }

    fn send(&mut self, after: Duration, delivery: Delivery) {
        self.sent += 1;
        self.queue.insert((self.now.mono + after, self.sent), delivery);
    }

    /// One hop of network: 10–40 ms, so that packets overtake each other, and some are lost.
    fn hop(&mut self, delivery: Delivery) {
        let lost = self.random() % 100 < self.loss;
        let after = self.between(10, 40);
        if !lost {
            self.send(after, delivery);
        }
    }

    /// The same way within the engine: answers keep their order, as a channel's do.
    fn answer(&mut self, delivery: Delivery) {
        let after = self.between(1, 30);
        let last =
            self.queue.iter().rev().find(|(_, waiting)| same_channel(waiting, &delivery)).map(|((at, _), _)| *at);
        let at = last.map_or(after, |last| after.max(last.since(self.now.mono)));
        self.send(at, delivery);
    }

    fn put_on_wire(&mut self, name: &'static str, bytes: Vec<Bytes>) {
        if self.phones.get(name).is_some_and(|phone| phone.dead) {
            return;
        }
        for one in bytes {
            let one = self.edit.map_or_else(|| one.clone(), |edit| edit(name, one.clone()));
            self.note(|| format!("{name} > {}", first_line(&one)));
            self.hop(Delivery::ToEngine(name, one));
        }
    }

    /// The caller dials.
    pub(crate) fn dial(&mut self, number: &str) {
        self.with_phone("caller", |phone, now, out| {
            phone.dial(now, number, "13800001234", out);
        });
    }

    pub(crate) fn with_phone(&mut self, name: &'static str, act: impl FnOnce(&mut Phone, Now, &mut Vec<Bytes>)) {
        let mut out = Vec::new();
        let now = self.now;
        if let Some(phone) = self.phones.get_mut(name) {
            act(phone, now, &mut out);
        }
        self.put_on_wire(name, out);
    }

    pub(crate) fn hang_up(&mut self, name: &'static str) {
        self.note(|| format!("-- {name} hangs up"));
        self.with_phone(name, |phone, now, out| phone.hang_up(now, out));
    }

    /// The phone loses its power: no packet in or out, and the media worker notices after 30 s.
    pub(crate) fn kill(&mut self, name: &'static str) {
        self.note(|| format!("-- {name} dies"));
        if let Some(phone) = self.phones.get_mut(name) {
            phone.dead = true;
        }
        let agent = AgentId::new(name);
        let Some(call) = &self.call else { return };
        let legs = call.control().legs().iter().filter(|leg| leg.party.agent.as_ref() == Some(&agent));
        for leg in legs.map(|leg| leg.id).collect::<Vec<_>>() {
            let silent = Duration::from_secs(30);
            self.send(silent, Delivery::ToCall(Box::new(CallInput::Media(MediaReport::Stalled { leg, silent }))));
        }
    }

    pub(crate) fn operate(&mut self, command: OperatorCommand) {
        self.tell_call(CallInput::Operator(Box::new(command)));
    }

    pub(crate) fn key(&mut self, agent: &str, digits: &str) {
        let agent = AgentId::new(agent);
        let leg = self.call.as_ref().and_then(|call| {
            call.control().legs().iter().find(|leg| leg.is_alive() && leg.party.agent.as_ref() == Some(&agent))
        });
        let Some(leg) = leg.map(|leg| leg.id) else { return };
        for digit in digits.chars() {
            self.tell_call(CallInput::Media(MediaReport::Digit { leg, digit, held_ms: 100 }));
        }
    }

    pub(super) fn tell_acd(&mut self, input: AcdInput) {
        let mut out = Vec::new();
        self.acd.handle(self.now, input, &mut out);
        for effect in out {
            if let AcdEffect::Verdict(_, verdict) = effect {
                self.note(|| format!("acd > {verdict:?}"));
                self.answer(Delivery::ToCall(Box::new(CallInput::Acd(verdict))));
            }
        }
    }

    fn with_call(&mut self, act: impl FnOnce(&mut Call, Now, Terms<'_>, &mut Vec<CallEffect>)) {
        let plan = Arc::clone(&self.plan);
        let rules = self.rules.clone();
        let terms = Terms { plans: Plans { pinned: &plan, newest: &plan }, legs: &rules, key: self.key };
        let mut out = Vec::new();
        if self.restart {
            self.store_and_restore();
        }
        if let Some(call) = self.call.as_mut() {
            act(call, self.now, terms, &mut out);
        }
        self.carry_out(out);
    }

    /// Puts the call through its stored form, as a restart would.
    fn store_and_restore(&mut self) {
        let Some(call) = self.call.take() else { return };
        let text = serde_json::to_string(&call).expect("a call can be stored");
        let back: Call = serde_json::from_str(&text).expect("a stored call can be read");
        assert_eq!(back, call, "nothing is lost in storing");
        self.call = Some(back);
    }

    pub(crate) fn tell_call(&mut self, input: CallInput) {
        self.with_call(|call, now, terms, out| call.handle(now, terms, input, out));
    }

    fn carry_out(&mut self, effects: Vec<CallEffect>) {
        for effect in effects {
            match effect {
                CallEffect::Transmit(flow, bytes) => {
                    self.note(|| format!("      engine > {} {}", flow.remote.port(), first_line(&bytes)));
                    let to = self.phones.values().find(|phone| phone.addr == flow.remote).map(|phone| phone.name);
                    match to {
                        Some(name) => self.hop(Delivery::ToPhone(name, bytes)),
                        None => self.strangers.push(flow.remote),
                    }
                }
                CallEffect::Media(command) => {
                    self.note(|| format!("      media {command:?}").chars().take(150).collect());
                    for (after, report) in self.media.obey(command) {
                        if matches!(report, MediaReport::PlayDone { .. }) {
                            self.send(after, Delivery::ClipEnds(report));
                        } else {
                            self.answer(Delivery::ToCall(Box::new(CallInput::Media(report))));
                        }
                    }
                }
                CallEffect::Queue(request) => {
                    self.note(|| format!("      call > acd {request:?}"));
                    self.answer(Delivery::ToAcd(Box::new(AcdInput::Call(self.id, request))));
                }
                CallEffect::Find(lookup, query) => {
                    let targets = self.find(&query);
                    self.answer(Delivery::ToCall(Box::new(CallInput::Found(lookup, Box::new(targets)))));
                }
                CallEffect::Emit(event, _) => {
                    self.note(|| format!("      #{} {:?}", event.journal_seq, event.what).chars().take(190).collect());
                    let seq = event.journal_seq;
                    self.journal.push(*event);
                    if self.store {
                        self.answer(Delivery::ToCall(Box::new(CallInput::Stored(seq))));
                    }
                }
                CallEffect::Far(leg, far, news) => {
                    self.note(|| format!("      {leg:?} over {} {} {news:?}", far.trunk, far.remote));
                    self.far.push((leg, far, news));
                }
                CallEffect::Give(_) => {}
            }
        }
    }

    pub(crate) fn flow(&self, name: &str) -> Flow {
        let phone = &self.phones[name];
        let side = if name.chars().all(|c| c.is_ascii_digit()) { Side::Agent } else { Side::Trunk };
        let id = FlowId(u64::from(phone.addr.port()));
        Flow { id, side, transport: Transport::Udp, local: ENGINE, remote: phone.addr }
    }

    fn find(&self, query: &Query) -> Targets {
        let (names, number, trunk) = match query {
            Query::Agent(agent) => (vec![agent.as_str()], agent.to_string(), None),
            Query::Trunk { trunk, number, .. } => {
                (self.trunks.get(trunk.as_str()).cloned().unwrap_or_default(), number.to_string(), Some(trunk.clone()))
            }
        };
        let found = names.into_iter().filter(|name| self.phones.contains_key(name)).map(|name| Target {
            flow: self.flow(name),
            uri: format!("sip:{number}@{}", self.phones[name].addr).into(),
            to: format!("sip:{number}@127.0.0.1").into(),
            route: Vec::new(),
            trunk: trunk.clone(),
            trusted: true,
            stream: None,
            reliable: Reliable::default(),
            hops: None,
        });
        Targets(found.collect())
    }

    fn receive(&mut self, name: &'static str, bytes: Bytes) {
        let message = Message::datagram(bytes).expect("phones send valid messages");
        let flow = self.flow(name);
        let leg = match message.method() {
            None => message.via().branch().and_then(|branch| self.key.read_branch(branch)).map(|(_, leg)| leg),
            Some(_) => match message.to_tag() {
                Some(tag) => self.key.read_tag(tag).map(|(_, leg)| leg),
                None => self.legs_of.get(message.call_id()).copied(),
            },
        };
        if let Some(leg) = leg {
            self.tell_call(CallInput::Sip(leg, Box::new(Arrived { message, flow })));
            return;
        }
        if !message.is(&Method::Invite) {
            return;
        }
        let (call_id, dialled) = (message.call_id().to_vec(), user(&message));
        let invite = Box::new(Arrived { message, flow });
        if self.call.is_none() {
            self.legs_of.insert(call_id, CALLER);
            if flow.side == Side::Agent {
                self.admit_agent(name, invite, &dialled);
            } else {
                self.admit(invite, &dialled);
            }
        } else {
            let nth = self.legs_of.values().filter(|leg| **leg >= FIRST_CONSULT).count();
            let leg = LegId(FIRST_CONSULT.0 + u16::try_from(nth).expect("few consults"));
            self.legs_of.insert(call_id, leg);
            self.tell_call(super::agent_call::second_line(leg, name, &dialled, invite));
        }
    }

    fn admit(&mut self, invite: Box<Arrived>, dialled: &str) {
        let trunk = TrunkName::new(self.over);
        let facts = Facts {
            trunk: &trunk,
            dialled,
            from: Some("13800001234"),
            asserted: &["13800001234"],
            private: false,
            diverted: &[],
        };
        let route = self.plan.route(&facts, self.now.wall, &mut ());
        let facts = Inbound {
            trunk,
            route,
            sip_call_id: String::from_utf8_lossy(invite.message.call_id()).as_ref().into(),
            diverted_from: Vec::new(),
            max_forwards: 70,
            display: Bytes::copy_from_slice(&invite.message.from().display_plain()),
            external_ref: None,
            carried: Carried::default(),
        };
        self.begin(Origin::Inbound { invite, facts: Box::new(facts) });
    }

    pub(super) fn begin(&mut self, origin: Origin) {
        let identity = Identity { call: self.id, ticket: TicketId(self.id.0), seed: 1, advertised: None };
        let plan = Arc::clone(&self.plan);
        let rules = self.rules.clone();
        let terms = Terms { plans: Plans { pinned: &plan, newest: &plan }, legs: &rules, key: self.key };
        let mut out = Vec::new();
        self.call = Some(Call::new(self.now, terms, identity, origin, &mut out));
        self.carry_out(out);
    }

    /// The next moment anything happens.
    fn next(&self) -> Option<Mono> {
        let call = self.call.as_ref().and_then(|call| call.deadline()).map(|(at, _)| at);
        let acd = self.acd.deadline().map(|(at, _)| at);
        let queue = self.queue.keys().next().map(|(at, _)| *at);
        self.phones.values().map(Phone::deadline).chain([call, acd, queue]).flatten().min()
    }

    /// Goes to the next moment and does what happens then; `false` when nothing is left.
    pub(crate) fn step(&mut self) -> bool {
        let Some(at) = self.next() else { return false };
        self.now = self.now.after(at.max(self.now.mono).since(self.now.mono));
        let first = self.queue.keys().next().copied().filter(|(at, _)| *at <= self.now.mono);
        if let Some(key) = first {
            self.delivered += 1;
            self.act_at(false);
            if let Some(delivery) = self.queue.remove(&key) {
                self.deliver(delivery);
            }
            self.act_at(true);
        } else {
            self.wake();
        }
        if !self.gone && self.call.as_ref().is_some_and(Call::is_over) {
            self.gone = true;
            let id = self.id;
            self.answer(Delivery::ToAcd(Box::new(AcdInput::CallGone(id))));
        }
        let answered = self.phones.get("caller").is_some_and(|phone| phone.talks())
            && self.call.as_ref().is_some_and(|call| call.control().phase().is_live());
        self.media.watch(self.now.mono, answered);
        true
    }

    fn wake(&mut self) {
        let now = self.now.mono;
        if self.call.as_ref().and_then(|call| call.deadline()).is_some_and(|(at, _)| at <= now) {
            self.tell_call(CallInput::Deadline);
        }
        if self.acd.deadline().is_some_and(|(at, _)| at <= now) {
            self.tell_acd(AcdInput::Deadline);
        }
        for name in self.phones.keys().copied().collect::<Vec<_>>() {
            if self.phones[name].deadline().is_some_and(|at| at <= now) {
                self.with_phone(name, |phone, now, out| phone.on_deadline(now, out));
            }
        }
    }

    fn act_at(&mut self, after: bool) {
        if self.hook.as_ref().is_none_or(|(at, when, _)| *at != self.delivered || *when != after) {
            return;
        }
        if let Some((_, _, mut act)) = self.hook.take() {
            self.hit = self.phase();
            act(self);
        }
    }

    /// The call's phase, by name.
    pub(crate) fn phase(&self) -> Option<&'static str> {
        use switch12345::call::phase::Phase;
        self.call.as_ref().map(|call| match call.control().phase() {
            Phase::Announcing => "announcing",
            Phase::Queueing(queueing) if queueing.winner.is_some() => "won",
            Phase::Queueing(_) => "queueing",
            Phase::Dialling(_) => "dialling",
            Phase::Talking(_) => "talking",
            Phase::Ending { .. } => "ending",
            Phase::Over => "over",
        })
    }

    fn deliver(&mut self, delivery: Delivery) {
        match delivery {
            Delivery::ToEngine(name, bytes) => {
                self.note(|| format!("engine < {name} {}", first_line(&bytes)));
                self.receive(name, bytes);
            }
            Delivery::ToPhone(name, bytes) => {
                self.with_phone(name, |phone, now, out| phone.receive(now, bytes, out));
            }
            Delivery::ToCall(input) => self.tell_call(*input),
            Delivery::ToAcd(input) => self.tell_acd(*input),
            Delivery::ClipEnds(report) => {
                if let MediaReport::PlayDone { leg, token, .. } = report
                    && self.media.clip_ended(leg, token)
                {
                    self.answer(Delivery::ToCall(Box::new(CallInput::Media(report))));
                }
            }
        }
    }

    /// Runs until something holds, at most this long; whether it held.
    pub(crate) fn until(&mut self, at_most: Duration, held: impl Fn(&Self) -> bool) -> bool {
        let end = self.now.mono + at_most;
        while !held(self) {
            if self.next().is_none_or(|at| at > end) || !self.step() {
                return false;
            }
        }
        true
    }

    /// Runs for a while.
    pub(crate) fn run_for(&mut self, span: Duration) {
        let end = self.now.mono + span;
        while self.next().is_some_and(|at| at <= end) {
            self.step();
        }
        self.now = self.now.after(end.since(self.now.mono));
    }

    /// Runs until nothing of the call is left (agents' wrap-up included); a caller still waiting gives up after a minute.
    pub(crate) fn finish(&mut self) {
        let over = |world: &Self| world.call.as_ref().is_some_and(Call::is_over);
        if !self.until(Duration::from_secs(60), |world| {
            world.call.as_ref().is_some_and(|call| !call.control().phase().is_live())
        }) {
            self.hang_up("caller");
            self.run_for(Duration::from_secs(5));
            for name in self.phones.keys().copied().collect::<Vec<_>>() {
                self.hang_up(name);
            }
        }
        self.until(Duration::from_secs(120), over);
        self.run_for(Duration::from_secs(90));
    }

    fn note(&mut self, line: impl FnOnce() -> String) {
        let at = self.now.mono.0 / 1_000_000 - 1_000;
        self.log.push(format!("{at:>7} {}", line()));
    }

    /// What happened, line by line.
    pub(crate) fn story(&self) -> String {
        self.log.iter().fold(String::new(), |mut text, line| {
            let _ = writeln!(text, "{line}");
            text
        })
    }

    /// Whether an event like this was journalled.
    pub(crate) fn count(&self, wanted: impl Fn(&switch12345::event::call::Happening) -> bool) -> usize {
        self.journal.iter().filter(|event| wanted(&event.what)).count()
    }
}

fn same_channel(one: &Delivery, other: &Delivery) -> bool {
    let kind = |delivery: &Delivery| match delivery {
        Delivery::ToCall(input) => match **input {
            CallInput::Acd(_) => 1,
            CallInput::Media(MediaReport::Stalled { .. }) => 0,
            CallInput::Media(_) => 2,
            CallInput::Stored(_) => 3,
            _ => 4,
        },
        Delivery::ToAcd(_) => 5,
        Delivery::ToEngine(..) | Delivery::ToPhone(..) | Delivery::ClipEnds(_) => 0,
    };
    kind(one) != 0 && kind(one) == kind(other)
}

fn first_line(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).lines().next().unwrap_or_default().to_owned()
}

fn user(message: &Message) -> String {
    let uri = String::from_utf8_lossy(message.request_uri().unwrap_or_default()).into_owned();
    let rest = uri.split_once(':').map_or(uri.as_str(), |(_, rest)| rest);
    rest.split('@').next().unwrap_or_default().to_owned()
}
