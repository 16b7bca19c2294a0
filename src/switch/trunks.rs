//! The trunks as they live: which far ends are in use, our registrations, maintenance, and what is told of it.
//!
//! Everything is looked after in one place, [`Switch::tend`], which the engine calls whenever the switch is due: names
//! are asked for, far ends probed, registrations refreshed, calls that wait for a name answered. Nothing of it begins
//! before the first call of it. A far end is one address of a target, so that each address of a name is judged by
//! itself. Deliberately absent: who is let in (`admission`), the order a call tries far ends in (`find`).
//! RFC 3261 §11 (OPTIONS).
//!
//! | limit | value |
//! |---|---|
//! | far ends looked after | 2,048; more are used and never judged |
//! | calls that wait for a name | 1,024; more go on with what is known |
//! | a probe without an answer | 4 s, or its interval when that is shorter: lost |
//! | a far end that is never probed and was lost in calls | in use again after 60 s |

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use super::desk::settings_timers;
use super::outbound_registration::{Registration, Then};
use super::own::{Errand, Fate};
use super::words::{Counted, Paths, Peer, SwitchEffect};
use super::{Draws, Switch};
use crate::base::flow::{Flow, FlowId, Side, Transport};
use crate::base::id::{CallId, LegId, LookupId, TrunkName, Ulid};
use crate::base::now::{Mono, Now};
use crate::call::words::{Arrived, FarEnd, FarNews};
use crate::event::alarm::{AlarmName, AlarmNote};
use crate::plan::model::Plan;
use crate::plan::trunk::{Trunk, TrunkTarget};
use crate::sip::dialog::Opening;
use crate::sip::header::address::NameAddr;
use crate::sip::message::{Message, Method, Name};
use crate::sip::token::{Minter, TokenKey};
use crate::switch::locate::{Found, Wanted};

mod health;
mod names;
pub mod view;

use health::{Health, Turn};
use names::{Learnt, Names};

const FAR_ENDS: usize = 2_048;
const WAITING: usize = 1_024;
const PROBE_WITHIN: Duration = Duration::from_secs(4);
const FORGET_AFTER: Duration = Duration::from_secs(60);
/// First probes are spread over this, so that a start is no burst.
const SPREAD: Duration = Duration::from_secs(1);
/// The call whose names our own requests bear; no call has this id.
const NOBODY: CallId = CallId(Ulid::from_bits(0));

/// When a far end is asked, or what is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Probe {
    /// Nothing is due.
    Never,
    /// To be sent then.
    Due(Mono),
    /// Under way until it counts as lost; the next one after it.
    Sent { nth: u32, lost_at: Mono, next: Mono },
    /// Never probed: its losses are forgotten then.
    Forget(Mono),
}

#[derive(Clone, Debug)]
struct Far {
    host: String,
    health: Health,
    probe: Probe,
    probed: u32,
}

/// A call that waits for a name.
#[derive(Clone, Debug)]
pub(super) struct Waiting {
    pub(super) until: Mono,
    pub(super) call: CallId,
    pub(super) lookup: LookupId,
    pub(super) trunk: TrunkName,
    pub(super) number: Arc<str>,
    pub(super) emergency: bool,
}

/// The state of all trunks.
pub(super) struct Trunks {
    names: Names,
    far: BTreeMap<FarEnd, Far>,
    registrations: BTreeMap<TrunkName, Registration>,
    busy_out: BTreeMap<TrunkName, bool>,
    waiting: Vec<Waiting>,
    raised: BTreeSet<(AlarmName, String)>,
    minter: Minter,
    begun: bool,
    /// The plan or an address has changed since everything was last laid out.
    stale: bool,
    leaving: bool,
}

impl Trunks {
    pub(super) const fn new(key: TokenKey) -> Self {
        Self {
            names: Names::new(),
            far: BTreeMap::new(),
            registrations: BTreeMap::new(),
            busy_out: BTreeMap::new(),
            waiting: Vec::new(),
            raised: BTreeSet::new(),
            minter: Minter::new(key, NOBODY, LegId(0)),
            begun: false,
            stale: true,
            leaving: false,
        }
    }

    /// The plan changed.
    pub(super) const fn replan(&mut self) {
        self.stale = true;
    }

    pub(super) fn deadline(&self) -> Option<Mono> {
        if !self.begun {
            return None;
        }
        if self.stale {
            return Some(Mono::ZERO);
        }
        let probes = self.far.values().filter_map(|far| match far.probe {
            Probe::Never => None,
            Probe::Due(at) | Probe::Forget(at) | Probe::Sent { lost_at: at, .. } => Some(at),
        });
        let waiting = self.waiting.iter().map(|waiting| waiting.until);
        let registrations = self.registrations.values().filter_map(Registration::deadline);
        probes.chain(waiting).chain(registrations).chain(self.names.deadline()).min()
    }

    /// Whether a far end is out of use.
    pub(super) fn is_down(&self, far: &FarEnd) -> bool {
        self.far.get(far).is_some_and(|far| far.health.is_down())
    }

    /// Whether a trunk is out of use for maintenance.
    pub(super) fn is_busy_out(&self, trunk: &Trunk) -> bool {
        self.busy_out.get(&trunk.name).copied().unwrap_or(trunk.busy_out)
    }

    pub(super) fn registration(&self, trunk: &TrunkName) -> Option<&Registration> {
        self.registrations.get(trunk)
    }

    /// Whether the first answer on a name of this trunk is still on its way and nothing else is known.
    pub(super) fn is_awaited(&self, trunk: &Trunk) -> bool {
        let wanted: Vec<_> = targets(trunk).map(Wanted::of).collect();
        let known = |name: &Option<Wanted>| name.as_ref().is_none_or(|name| self.names.known(name).is_some());
        let awaited = |name: &Option<Wanted>| name.as_ref().is_some_and(|name| self.names.is_awaited(name));
        !wanted.iter().any(known) && wanted.iter().any(awaited)
    }

    /// Keeps a call's question until its name is known; whether there was room.
    pub(super) fn wait(&mut self, waiting: Waiting) -> bool {
        let room = self.begun && self.waiting.len() < WAITING;
        if room {
            self.waiting.push(waiting);
        }
        room
    }

    /// Takes back what waited and need not any more.
    fn answerable(&mut self, now: Mono, plan: &Plan) -> Vec<Waiting> {
        let (ready, waiting) = std::mem::take(&mut self.waiting).into_iter().partition(|waiting| {
            waiting.until <= now || plan.trunk(&waiting.trunk).is_none_or(|trunk| !self.is_awaited(trunk))
        });
        self.waiting = waiting;
        ready
    }

    pub(super) fn forget_call(&mut self, call: CallId) {
        self.waiting.retain(|waiting| waiting.call != call);
    }

    /// Where a target leads, drawn anew for each call.
    pub(super) fn located(&self, target: &TrunkTarget, draws: &mut Draws) -> Vec<(Transport, SocketAddr)> {
        match Wanted::of(target) {
            Some(name) => self.names.known(&name).map(|found| found.drawn(|| draws.next())).unwrap_or_default(),
            None => literal(target).into_iter().collect(),
        }
    }

    fn all_of(&self, target: &TrunkTarget) -> Vec<(Transport, SocketAddr)> {
        match Wanted::of(target) {
            Some(name) => self.names.known(&name).map(|found| found.all().collect()).unwrap_or_default(),
            None => literal(target).into_iter().collect(),
        }
    }

    /// The far ends of a target and how they are.
    fn far_of(&self, trunk: &Trunk, target: &TrunkTarget) -> Vec<(FarEnd, Health)> {
        let end = |(transport, remote)| FarEnd { trunk: trunk.name.clone(), transport, remote };
        let health = |end: &FarEnd| self.far.get(end).map_or(Health::Unknown, |far| far.health);
        self.all_of(target).into_iter().map(end).map(|end| (end.clone(), health(&end))).collect()
    }

    /// Lays everything out anew for the plan and the addresses known.
    fn lay_out(&mut self, now: Mono, plan: &Plan, draws: &mut Draws, out: &mut Vec<SwitchEffect>) {
        self.stale = false;
        let trunks = &plan.settings.trunks;
        self.names.keep(now, trunks.values().flat_map(|trunk| all_targets(trunk)).filter_map(Wanted::of).collect());
        self.busy_out.retain(|trunk, _| trunks.contains_key(trunk));
        let mut wanted = BTreeMap::new();
        for trunk in trunks.values() {
            for target in targets(trunk) {
                for (transport, remote) in self.all_of(target) {
                    let far = FarEnd { trunk: trunk.name.clone(), transport, remote };
                    wanted.entry(far).or_insert_with(|| (target.host.clone(), trunk.health.interval));
                }
            }
        }
        self.far.retain(|far, _| wanted.contains_key(far));
        for (far, (host, interval)) in wanted {
            let spread = interval.min(SPREAD).mul_f64(f64::from(draws.thousandths()) / 1_000.0);
            let first = if interval.is_zero() { Probe::Never } else { Probe::Due(now + spread) };
            let room = self.far.len() < FAR_ENDS;
            match self.far.get_mut(&far) {
                Some(known) if interval.is_zero() != matches!(known.probe, Probe::Never | Probe::Forget(_)) => {
                    known.probe = first;
                }
                Some(_) => {}
                None if room => {
                    self.far.insert(far, Far { host, health: Health::Unknown, probe: first, probed: 0 });
                }
                None => {}
            }
        }
        self.lay_out_registrations(now, plan);
        let gone = self.raised.iter().filter(|(name, subject)| match name {
            AlarmName::TrunkDown => !trunks.contains_key(&TrunkName::new(subject)),
            AlarmName::TrunkNotRegistered => !self.registrations.contains_key(&TrunkName::new(subject)),
            AlarmName::DnsFailing => !self.names.has_host(subject),
        });
        for (name, subject) in gone.cloned().collect::<Vec<_>>() {
            self.alarm(name, &subject, None, out);
        }
        for trunk in trunks.keys() {
            self.tell_down(trunk, out);
        }
    }

    fn lay_out_registrations(&mut self, now: Mono, plan: &Plan) {
        let wanted = |name: &TrunkName| {
            let trunk = plan.settings.trunks.get(name)?;
            Some((trunk.register.as_ref()?, trunk.credential.as_ref()))
        };
        self.registrations.retain(|name, registration| {
            wanted(name).is_some_and(|(settings, credential)| registration.is_for(settings, credential))
        });
        for name in plan.settings.trunks.keys().filter(|_| !self.leaving) {
            if let Some((settings, credential)) = wanted(name).filter(|_| !self.registrations.contains_key(name)) {
                let made = Registration::new(now, Arc::clone(settings), credential.cloned(), &mut self.minter);
                self.registrations.insert(name.clone(), made);
            }
        }
    }

    /// Books a sign of life of a far end, or its loss.
    fn judge(&mut self, now: Mono, plan: &Plan, far: &FarEnd, alive: bool, out: &mut Vec<SwitchEffect>) {
        let Some(rules) = plan.trunk(&far.trunk).map(|trunk| trunk.health) else { return };
        let Some(known) = self.far.get_mut(far) else { return };
        let turn = if alive { known.health.answered(rules) } else { known.health.lost(rules) };
        if rules.interval.is_zero() && turn == Some(Turn::Down) {
            known.probe = Probe::Forget(now + FORGET_AFTER);
        }
        if let Some(turn) = turn {
            out.push(SwitchEffect::Count(Counted::Turned(far.clone(), turn == Turn::Up)));
            self.tell_down(&far.trunk, out);
        }
    }

    /// Raises or clears the alarm of a trunk none of whose far ends is in use.
    fn tell_down(&mut self, trunk: &TrunkName, out: &mut Vec<SwitchEffect>) {
        let mut ends = self.far.iter().filter(|(far, _)| far.trunk == *trunk).peekable();
        let down = ends.peek().is_some() && ends.all(|(_, far)| far.health.is_down());
        self.alarm(AlarmName::TrunkDown, trunk.as_str(), down.then_some("no far end answers"), out);
    }

    /// Raises an alarm with its cause, or clears it; only changes are told.
    fn alarm(&mut self, name: AlarmName, subject: &str, cause: Option<&str>, out: &mut Vec<SwitchEffect>) {
        let key = (name, subject.to_owned());
        let changed = if cause.is_some() { self.raised.insert(key) } else { self.raised.remove(&key) };
        if changed {
            let (subject, detail) = (subject.to_owned(), cause.unwrap_or_default().to_owned());
            out.push(SwitchEffect::Alarm(AlarmNote { name, subject, raised: cause.is_some(), detail }));
        }
    }
}

/// The targets calls go to: the trunk's own, or the registrar's proxy where it has none.
pub(super) fn targets(trunk: &Trunk) -> impl Iterator<Item = &TrunkTarget> {
    let proxy = trunk.register.as_ref().filter(|_| trunk.to.is_empty()).map(|register| &register.proxy);
    trunk.to.iter().chain(proxy)
}

fn all_targets(trunk: &Trunk) -> impl Iterator<Item = &TrunkTarget> {
    trunk.to.iter().chain(trunk.register.as_ref().map(|register| &register.proxy))
}

fn literal(target: &TrunkTarget) -> Option<(Transport, SocketAddr)> {
    let ip: IpAddr = target.host.trim_matches(['[', ']']).parse().ok()?;
    Some((target.transport_or_default(), SocketAddr::new(ip, target.port_or_default())))
}

/// Whether a response says that its sender lives: all do, except 503 (not now) and 408 (its next hop is silent).
fn is_alive(response: &Message) -> bool {
    !matches!(response.status(), Some(503 | 408) | None)
}

impl Switch {
    /// Looks after the trunks: whatever is due of names, probes, registrations and calls that wait for a name.
    pub fn tend(&mut self, now: Now, paths: &dyn Paths, out: &mut Vec<SwitchEffect>) {
        let plan = Arc::clone(&self.plan);
        self.trunks.begun = true;
        if self.trunks.stale {
            let mut draws = self.random.fork();
            self.trunks.lay_out(now.mono, &plan, &mut draws, out);
            self.hops.keep(|trunk| plan.settings.trunks.contains_key(trunk));
        }
        out.extend(self.trunks.names.ask(now.mono).into_iter().map(SwitchEffect::Locate));
        for waiting in self.trunks.answerable(now.mono, &plan) {
            self.answer_waiting(now, &waiting, paths, out);
        }
        self.tend_probes(now, &plan, paths, out);
        self.tend_registrations(now, &plan, paths, out);
    }

    fn tend_probes(&mut self, now: Now, plan: &Plan, paths: &dyn Paths, out: &mut Vec<SwitchEffect>) {
        let due = |probe: Probe| match probe {
            Probe::Never => false,
            Probe::Due(at) | Probe::Forget(at) | Probe::Sent { lost_at: at, .. } => at <= now.mono,
        };
        let ends = self.trunks.far.iter().filter(|(_, far)| due(far.probe)).map(|(end, _)| end.clone());
        for end in ends.collect::<Vec<_>>() {
            let (Some(far), Some(trunk)) = (self.trunks.far.get_mut(&end), plan.trunk(&end.trunk)) else { continue };
            match far.probe {
                Probe::Never => {}
                Probe::Forget(_) => {
                    (far.health, far.probe) = (Health::Unknown, Probe::Never);
                    self.trunks.tell_down(&end.trunk, out);
                }
                Probe::Sent { nth, next, .. } => {
                    far.probe = Probe::Due(next.max(now.mono));
                    self.own.forget(&Errand::Probe(end.clone(), nth));
                    self.trunks.judge(now.mono, plan, &end, false, out);
                }
                Probe::Due(_) => {
                    let interval = trunk.health.interval;
                    far.probed = far.probed.wrapping_add(1);
                    let (nth, host) = (far.probed, far.host.clone());
                    let peer = Peer { remote: end.remote, name: &host, trunk: Some(trunk) };
                    let sent = paths
                        .flow_to(Side::Trunk, end.transport, &peer)
                        .is_some_and(|flow| self.probe(now, flow, &end, nth, out));
                    let (lost_at, next) = (now.mono + PROBE_WITHIN.min(interval), now.mono + interval);
                    if let Some(far) = self.trunks.far.get_mut(&end) {
                        far.probe = if sent { Probe::Sent { nth, lost_at, next } } else { Probe::Due(next) };
                    }
                }
            }
        }
    }

    /// Sends an OPTIONS; whether there was room for it.
    fn probe(&mut self, now: Now, flow: Flow, end: &FarEnd, nth: u32, out: &mut Vec<SwitchEffect>) -> bool {
        let (timers, product) = (settings_timers(&self.plan.settings), &self.product);
        let minter = &mut self.trunks.minter;
        let param = match flow.transport {
            Transport::Udp => String::new(),
            other => format!(";transport={}", other.param_name()),
        };
        let target = format!("sip:{}{param}", flow.remote);
        let (ours, tag) = (format!("sip:12345@{}", flow.local), minter.tag());
        let compose = |branch: &str| {
            let opening = Opening {
                target: target.as_bytes(),
                from: &NameAddr::compose(None, ours.as_bytes(), &[("tag", Some(tag.as_bytes()))]),
                to: &NameAddr::compose(None, target.as_bytes(), &[]),
                call_id: &minter.sip_call_id(),
                cseq: 1,
                contact: b"",
                routes: &[],
                flow: &flow,
            };
            let draft = opening.request(&Method::Options, branch);
            draft.header(Name::Accept, "application/sdp").header(Name::UserAgent, product).finish()
        };
        self.own.begin(now, &timers, flow, Errand::Probe(end.clone(), nth), compose, out).is_ok()
    }

    fn tend_registrations(&mut self, now: Now, plan: &Plan, paths: &dyn Paths, out: &mut Vec<SwitchEffect>) {
        for name in self.trunks.registrations.keys().cloned().collect::<Vec<_>>() {
            let mut draws = self.random.fork();
            let Some(registration) = self.trunks.registrations.get_mut(&name) else { continue };
            if registration.runs_out(now.mono) {
                self.tell_registered(&name, out);
            }
            let Some(registration) = self.trunks.registrations.get(&name).filter(|one| one.is_due(now.mono)) else {
                continue;
            };
            let proxy = registration.settings().proxy.clone();
            let ways = self.trunks.located(&proxy, &mut draws);
            // Failure by failure, each address gets its turn.
            let way = ways.get(registration.failures() as usize % ways.len().max(1)).copied();
            let flow = way.and_then(|(transport, remote)| {
                let peer = Peer { remote, name: &proxy.host, trunk: plan.trunk(&name).map(|trunk| &**trunk) };
                paths.flow_to(Side::Trunk, transport, &peer)
            });
            match flow {
                Some(flow) => {
                    if let Some(registration) = self.trunks.registrations.get_mut(&name) {
                        registration.begin(flow);
                    }
                    self.send_register(now, &name, flow, out);
                }
                None => self.registration_lost(now, &name, "the registrar has no address", out),
            }
        }
    }

    fn send_register(&mut self, now: Now, name: &TrunkName, flow: Flow, out: &mut Vec<SwitchEffect>) {
        let timers = settings_timers(&self.plan.settings);
        let Some(registration) = self.trunks.registrations.get_mut(name) else { return };
        let (minter, product) = (&mut self.trunks.minter, &self.product);
        let compose = |branch: &str| registration.request(&flow, product, branch, minter);
        if self.own.begin(now, &timers, flow, Errand::Register(name.clone()), compose, out).is_err() {
            self.registration_lost(now, name, "too many requests are under way", out);
        }
    }

    fn registration_lost(&mut self, now: Now, name: &TrunkName, why: &str, out: &mut Vec<SwitchEffect>) {
        let random = self.random.next();
        if let Some(registration) = self.trunks.registrations.get_mut(name) {
            registration.lost(now.mono, why, random);
        }
        self.tell_registered(name, out);
    }

    fn tell_registered(&mut self, name: &TrunkName, out: &mut Vec<SwitchEffect>) {
        let Some(registration) = self.trunks.registrations.get(name) else { return };
        let cause = (!registration.is_registered() && !registration.is_gone()).then(|| registration.fault().to_owned());
        self.trunks.alarm(AlarmName::TrunkNotRegistered, name.as_str(), cause.as_deref(), out);
    }

    /// A probe of ours ended.
    pub(super) fn on_probed(&mut self, now: Now, (end, nth): (&FarEnd, u32), fate: &Fate, out: &mut Vec<SwitchEffect>) {
        let Some(far) = self.trunks.far.get_mut(end) else { return };
        let Probe::Sent { nth: last, next, .. } = far.probe else { return };
        if last != nth {
            return;
        }
        far.probe = Probe::Due(next);
        let alive = matches!(fate, Fate::Answered(response) if is_alive(response));
        let plan = Arc::clone(&self.plan);
        self.trunks.judge(now.mono, &plan, end, alive, out);
    }

    /// A REGISTER of ours ended.
    pub(super) fn on_registered(&mut self, now: Now, name: &TrunkName, fate: &Fate, out: &mut Vec<SwitchEffect>) {
        let random = self.random.next();
        let Some(registration) = self.trunks.registrations.get_mut(name) else { return };
        let then = match fate {
            Fate::Answered(answer) => registration.answered(now.mono, answer, random, &mut self.trunks.minter),
            Fate::NoAnswer => registration.lost(now.mono, "no answer", random),
            Fate::Unreachable => registration.lost(now.mono, "the connection is gone", random),
        };
        let flow = registration.last_flow();
        if let (Then::Again, Some(flow)) = (then, flow) {
            return self.send_register(now, name, flow, out);
        }
        self.tell_registered(name, out);
    }

    /// A leg over a trunk fares so, as its call says.
    pub fn on_far(
        &mut self,
        now: Now,
        (call, leg): (CallId, LegId),
        far: &FarEnd,
        news: FarNews,
        out: &mut Vec<SwitchEffect>,
    ) {
        let plan = Arc::clone(&self.plan);
        match news {
            FarNews::Begun(asked) => self.admission.begin_out(call, leg, &far.trunk, asked),
            FarNews::Over => self.admission.end_out(call, leg, &far.trunk),
            FarNews::Alive => self.trunks.judge(now.mono, &plan, far, true, out),
            FarNews::Lost => self.trunks.judge(now.mono, &plan, far, false, out),
        }
    }

    /// The DNS said where a name leads and for how long that holds; `None` when it gave nothing.
    pub fn located(&mut self, now: Now, name: &Wanted, answer: Option<(Found, Duration)>, out: &mut Vec<SwitchEffect>) {
        let learnt = self.trunks.names.answered(now.mono, name, answer);
        if learnt != Learnt::Same {
            let cause = (learnt == Learnt::Fails).then_some("the DNS gives no address");
            self.trunks.alarm(AlarmName::DnsFailing, &name.host, cause, out);
        }
        self.trunks.stale = true;
    }

    /// Takes a trunk out of use for maintenance, or back; whether there is such a trunk. Live calls go on, and
    /// emergencies are taken and sent.
    pub fn set_busy_out(&mut self, trunk: &TrunkName, busy_out: bool) -> bool {
        let known = self.plan.settings.trunks.contains_key(trunk);
        if known {
            self.trunks.busy_out.insert(trunk.clone(), busy_out);
        }
        known
    }

    /// Takes our registrations back, as the last thing of a drain.
    pub fn leave_registrars(&mut self, now: Now, out: &mut Vec<SwitchEffect>) {
        self.trunks.leaving = true;
        let names: Vec<_> = self.trunks.registrations.keys().cloned().collect();
        for name in names {
            let Some(registration) = self.trunks.registrations.get_mut(&name) else { continue };
            self.own.forget(&Errand::Register(name.clone()));
            let flow = registration.last_flow();
            if let (true, Some(flow)) = (registration.leave(), flow) {
                self.send_register(now, &name, flow, out);
            }
        }
    }

    /// A connection is gone: what was registered over it can no longer be reached, and is registered anew.
    pub(super) fn registrations_lose(&mut self, now: Now, flow: FlowId) {
        for registration in self.trunks.registrations.values_mut() {
            registration.loses(now.mono, flow, self.random.next());
        }
    }

    /// Whether no registration of ours is left, once [`Self::leave_registrars`] was called.
    #[must_use]
    pub fn has_left_registrars(&self) -> bool {
        self.trunks.registrations.values().all(Registration::is_gone)
    }

    /// The trunk a request comes from, and whether by our Contact at its registrar: that is the surest sign, because
    /// nobody else knows it. Then its address decides.
    pub(super) fn trunk_of(&self, arrived: &Arrived) -> Option<(Arc<Trunk>, bool)> {
        let plan = &self.plan;
        let user = arrived.message.uri().and_then(Result::ok).and_then(|uri| uri.user().map(<[u8]>::to_vec));
        let by_contact = self.trunks.registrations.iter().find(|(_, registration)| {
            user.as_deref().is_some_and(|user| user.eq_ignore_ascii_case(registration.contact().as_bytes()))
        });
        if let Some(trunk) = by_contact.and_then(|(name, _)| plan.trunk(name)) {
            return Some((Arc::clone(trunk), true));
        }
        self.trunk_at(arrived.flow.remote).map(|trunk| (Arc::clone(trunk), false))
    }

    /// The trunk whose address this is: its own first, then that of its registrar, then the networks of `from`.
    pub(super) fn trunk_at(&self, source: SocketAddr) -> Option<&Arc<Trunk>> {
        let by_address = self.plan.settings.trunk_for(source);
        let whole = if source.ip().to_canonical().is_ipv4() { 32 } else { 128 };
        let exact = by_address
            .filter(|trunk| trunk.from.iter().filter_map(|from| from.specificity(source)).any(|bits| bits >= whole));
        let by_registrar = || {
            let there = |registration: &Registration| {
                registration.flow().is_some_and(|flow| flow.remote.ip().to_canonical() == source.ip().to_canonical())
            };
            let found = self.trunks.registrations.iter().find(|(_, registration)| there(registration));
            found.and_then(|(name, _)| self.plan.trunk(name))
        };
        exact.or_else(by_registrar).or(by_address)
    }
}
