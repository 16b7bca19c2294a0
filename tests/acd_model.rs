//! The ACD beside a plain model of it, under generated inputs; equal after every step.
//!
//! The model has no index, no deadline set and no notion of "what changed": it keeps flat lists, recomputes
//! everything from them, and serves callers by trying each in order of rank. It shares with the machine only the
//! words and the directory. Estimates and the 5-second telling of places are left to unit tests.

#![expect(clippy::indexing_slicing, clippy::unwrap_used, reason = "a test panics on what is not there")]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use proptest::prelude::*;
use proptest::test_runner::FileFailurePersistence;
use switch12345::acd::directory::{AcdDirectory, AgentEntry, NoAgentPolicy, QueueRule, Strategy as Choice};
use switch12345::acd::words::{
    AcdInput, AcdVerdict, DeskCommand, DeskState, LineCause, LineState, OfferOutcome, QueueRequest, SkillNeed, Wants,
};
use switch12345::acd::{Acd, AcdAlarm, AcdEffect, AlarmState};
use switch12345::base::id::{AgentId, CallId, JoinId, LegId, OfferId, QueueId, SkillName, TenantName, Ulid};
use switch12345::base::now::{Mono, Now};
use switch12345::event::call::OverflowCause;
use switch12345::rtp::command::MediaLeg;

const START_S: u64 = 1_000;

fn mono(t: u64) -> Mono {
    Mono(t * 1_000_000_000)
}

fn now(t: u64) -> Now {
    Now { mono: mono(t), wall: Timestamp::UNIX_EPOCH }
}

fn secs(span: Duration) -> u64 {
    span.as_secs()
}

fn call(n: usize) -> CallId {
    CallId(Ulid::compose(Timestamp::UNIX_EPOCH, 0, &TenantName::new("p"), n as u64))
}

fn queue_id(n: usize) -> QueueId {
    QueueId { tenant: TenantName::new("p"), queue: ["main", "law", "hall"][n % 3].into() }
}

fn agent_id(n: usize) -> AgentId {
    AgentId::new(["a0", "a1", "a2", "a3", "a4", "a5"][n % 6])
}

// ---- the model

#[derive(Clone, Debug)]
struct Agent {
    entry: AgentEntry,
    removed: bool,
    desk: DeskState,
    chosen: bool,
    reachable: bool,
    lost: Option<u64>,
    rest: Option<u64>,
    back_off: Option<u64>,
    wrap: Option<(u64, u64, bool)>,
    work: Option<Work>,
    lines: BTreeMap<MediaLeg, (LineState, LineCause)>,
    /// Lines of offers that were lost: in use, but never work.
    void: BTreeSet<MediaLeg>,
    unanswered: u8,
    idle: u64,
    calls: u64,
    last_offer: u64,
}

#[derive(Clone, Debug)]
struct Work {
    call: CallId,
    queue: Option<QueueId>,
    talked: bool,
    grace: Option<u64>,
}

#[derive(Clone, Debug)]
struct Wait {
    join: JoinId,
    wants: Wants,
    entered: u64,
    max_at: Option<u64>,
    relax_at: Option<u64>,
    relaxed: bool,
    overdue: bool,
    refused: BTreeMap<AgentId, u64>,
    paused: Option<u64>,
}

#[derive(Clone, Debug)]
struct Offer {
    id: OfferId,
    join: JoinId,
    agent: AgentId,
    queue: Option<QueueId>,
    until: u64,
    rings: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Due {
    Wait(JoinId),
    Offer(OfferId),
    Agent(AgentId),
}

#[derive(Clone, Debug, Default)]
struct Model {
    t: u64,
    rules: BTreeMap<QueueId, (QueueRule, bool)>,
    agents: BTreeMap<AgentId, Agent>,
    waits: Vec<Wait>,
    offers: Vec<Offer>,
    asked: BTreeMap<CallId, QueueId>,
    kept: BTreeMap<QueueId, AgentId>,
    made: u64,
    verdicts: Vec<AcdVerdict>,
    alarms: Vec<(AcdAlarm, AlarmState)>,
}

impl Model {
    fn offer_of(&self, agent: &AgentId) -> Option<&Offer> {
        self.offers.iter().find(|offer| offer.agent == *agent)
    }

    fn offers_of(&self, join: JoinId) -> Vec<Offer> {
        self.offers.iter().filter(|offer| offer.join == join).cloned().collect()
    }

    fn is_on(agent: &Agent) -> bool {
        agent.entry.takes_calls
            && !agent.removed
            && agent.desk == DeskState::Ready
            && agent.reachable
            && agent.lost.is_none()
            && agent.rest.is_none()
    }

    fn is_free(&self, id: &AgentId) -> bool {
        let agent = &self.agents[id];
        Self::is_on(agent)
            && agent.back_off.is_none()
            && agent.wrap.is_none()
            && agent.work.is_none()
            && agent.lines.is_empty()
            && self.offer_of(id).is_none()
    }

    fn on(&self, queue: &QueueId) -> usize {
        self.agents.values().filter(|agent| agent.entry.queues.contains(queue) && Self::is_on(agent)).count()
    }

    fn signed_in(&self, queue: &QueueId) -> usize {
        let serves = |agent: &&Agent| agent.entry.queues.contains(queue) && agent.entry.takes_calls && !agent.removed;
        self.agents.values().filter(serves).filter(|agent| agent.desk != DeskState::SignedOut).count()
    }

    fn shown(&self, id: &AgentId) -> &'static str {
        let agent = &self.agents[id];
        let does = |state| agent.lines.values().any(|(line, _)| *line == state);
        let offer = self.offer_of(id);
        if does(LineState::Talking) || agent.work.as_ref().is_some_and(|work| work.grace.is_some()) {
            "talking"
        } else if does(LineState::Held) {
            "held"
        } else if does(LineState::Ringing) || offer.is_some_and(|offer| offer.rings) {
            "ringing"
        } else if agent.removed {
            "logged_out"
        } else if offer.is_some() {
            "reserved"
        } else if agent.desk == DeskState::SignedOut {
            "logged_out"
        } else if !agent.reachable || agent.lost.is_some() {
            "unreachable"
        } else if agent.wrap.is_some() {
            "wrap_up"
        } else if agent.desk != DeskState::Ready || agent.rest.is_some() {
            "not_ready"
        } else {
            "ready"
        }
    }

    fn rank(&self, wait: &Wait) -> (bool, i128, Mono, JoinId) {
        let step = self.rules[&wait.wants.queue].0.age_step.as_nanos() as i128;
        let aged = i128::from(wait.wants.joined_at.0) - i128::from(wait.wants.priority) * step;
        (!wait.wants.head, aged, wait.wants.joined_at, wait.join)
    }

    fn in_order(&self, queue: Option<&QueueId>) -> Vec<JoinId> {
        let mut waits: Vec<_> =
            self.waits.iter().filter(|wait| queue.is_none_or(|queue| wait.wants.queue == *queue)).collect();
        waits.sort_by_key(|wait| self.rank(wait));
        waits.iter().map(|wait| wait.join).collect()
    }

    fn is_hungry(&self, wait: &Wait) -> bool {
        let width = match self.rules[&wait.wants.queue].0.strategy {
            Choice::RingAll { cap } => usize::from(cap.max(1)),
            _ => 1,
        };
        !wait.overdue && wait.paused.is_none() && self.offers_of(wait.join).len() < width
    }

    /// Missing preferred levels and, for `BestSkill`, missing levels to the best; `None` = unsuitable.
    fn fit(&self, agent: &Agent, wait: &Wait) -> Option<(u32, u32)> {
        let (mut gap, mut lack) = (0, 0);
        for need in &wait.wants.needs {
            let has = agent.entry.skills.get(&need.skill).copied().unwrap_or(0);
            if need.required && !wait.relaxed && (has == 0 || has < need.level) {
                return None;
            }
            gap += u32::from(need.level.saturating_sub(has));
            lack += u32::from(10 - has);
        }
        let by_level = self.rules[&wait.wants.queue].0.strategy == Choice::BestSkill;
        Some((gap, if by_level { lack } else { 0 }))
    }

    fn may_have(&self, id: &AgentId, wait: &Wait) -> bool {
        self.is_free(id)
            && self.agents[id].entry.queues.contains(&wait.wants.queue)
            && !wait.wants.avoid.contains(id)
            && !wait.refused.contains_key(id)
            && self.fit(&self.agents[id], wait).is_some()
    }

    fn best_agent(&self, wait: &Wait) -> Option<AgentId> {
        let strategy = self.rules[&wait.wants.queue].0.strategy;
        let key = |id: &AgentId| {
            let agent = &self.agents[id];
            let turn = match strategy {
                Choice::FewestCalls => (agent.calls, agent.idle),
                Choice::RoundRobin => (agent.last_offer, agent.idle),
                Choice::Ordered => (0, 0),
                _ => (0, agent.idle),
            };
            (self.fit(agent, wait), turn, id.clone())
        };
        self.agents.keys().filter(|id| self.may_have(id, wait)).min_by_key(|id| key(id)).cloned()
    }

    fn settle_queues(&mut self) {
        let queues: Vec<_> = self.rules.keys().cloned().collect();
        for queue in queues {
            if let Some(agent) = self.kept.get(&queue).cloned() {
                let still = self.agents.get(&agent).is_some_and(Self::is_on)
                    && self.agents[&agent].entry.queues.contains(&queue);
                if self.on(&queue) > 1 || !still || self.rules[&queue].1 {
                    self.kept.remove(&queue);
                    self.alarms.push((AcdAlarm::LastReadyKept { queue: queue.clone(), agent }, AlarmState::Cleared));
                }
            }
            if self.rules[&queue].0.no_agent == NoAgentPolicy::Leave && self.signed_in(&queue) == 0 {
                for join in self.in_order(Some(&queue)) {
                    self.end(join);
                    self.verdicts.push(AcdVerdict::Overflow(join, OverflowCause::NoAgent));
                }
            }
        }
    }

    fn settle(&mut self) {
        self.settle_queues();
        'serve: loop {
            for join in self.in_order(None) {
                let wait = self.waits.iter().find(|wait| wait.join == join).unwrap().clone();
                if self.is_hungry(&wait)
                    && let Some(agent) = self.best_agent(&wait)
                {
                    let ring = self.rules[&wait.wants.queue].0.ring;
                    let offer = self.reserve(join, &agent, Some(wait.wants.queue.clone()), ring);
                    self.verdicts.push(AcdVerdict::Offer { join, offer, agent, ring });
                    continue 'serve;
                }
            }
            break;
        }
        let idle = |agent: &Agent| agent.lines.is_empty() && agent.work.is_none();
        let offered: BTreeSet<_> = self.offers.iter().map(|offer| offer.agent.clone()).collect();
        self.agents.retain(|id, agent| !(agent.removed && idle(agent) && !offered.contains(id)));
    }

    fn reserve(&mut self, join: JoinId, agent: &AgentId, queue: Option<QueueId>, ring: Duration) -> OfferId {
        self.made += 1;
        let id = OfferId(self.made);
        self.agents.get_mut(agent).unwrap().last_offer = self.made;
        let until = self.t + secs(ring) + 5;
        self.offers.push(Offer { id, join, agent: agent.clone(), queue, until, rings: false });
        id
    }

    /// The wait is over; its offers stay to be dealt with.
    fn end(&mut self, join: JoinId) {
        self.waits.retain(|wait| wait.join != join);
        let waits = &self.waits;
        self.rules.retain(|id, (_, closing)| !*closing || waits.iter().any(|wait| wait.wants.queue == *id));
        let rules = &self.rules;
        self.kept.retain(|queue, _| rules.contains_key(queue));
    }

    fn lose(&mut self, id: OfferId, revoke: bool) {
        let Some(offer) = self.offers.iter().find(|offer| offer.id == id).cloned() else { return };
        self.offers.retain(|offer| offer.id != id);
        self.void_lines(&offer);
        if revoke {
            self.verdicts.push(AcdVerdict::Revoke { join: offer.join, offer: id });
        }
        let left = self.offers_of(offer.join).len();
        if self.waits.iter().any(|wait| wait.join == offer.join && wait.overdue) && left == 0 {
            self.end(offer.join);
            self.verdicts.push(AcdVerdict::Overflow(offer.join, OverflowCause::MaxWait));
        }
    }

    fn revoke_of(&mut self, agent: &AgentId) {
        if let Some(id) = self.offer_of(agent).map(|offer| offer.id) {
            self.lose(id, true);
        }
    }

    fn refused(&mut self, offer: &Offer) {
        let t = self.t;
        if offer.queue.is_none() {
            return;
        }
        if let Some(wait) = self.waits.iter_mut().find(|wait| wait.join == offer.join) {
            wait.refused.insert(offer.agent.clone(), t + 20);
        }
        self.agents.get_mut(&offer.agent).unwrap().back_off = Some(t + 5);
    }

    fn rang_out(&mut self, offer: &Offer) {
        let Some(queue) = &offer.queue else { return };
        let rule = self.rules[queue].0.clone();
        let agent = self.agents.get_mut(&offer.agent).unwrap();
        agent.unanswered += 1;
        if rule.ring_no_answer == 0 || agent.unanswered < rule.ring_no_answer {
            return self.refused(offer);
        }
        agent.unanswered = 0;
        let served = agent.entry.queues.clone();
        let alone: Vec<_> = served
            .into_iter()
            .filter(|queue| self.rules.get(queue).is_some_and(|(_, closing)| !closing) && self.on(queue) <= 1)
            .collect();
        let agent = self.agents.get_mut(&offer.agent).unwrap();
        if alone.is_empty() {
            agent.rest = Some(self.t + secs(rule.ring_no_answer_rest));
            return;
        }
        agent.back_off = Some(self.t + 5);
        for queue in alone {
            if self.kept.insert(queue.clone(), offer.agent.clone()).as_ref() != Some(&offer.agent) {
                let alarm = AcdAlarm::LastReadyKept { queue, agent: offer.agent.clone() };
                self.alarms.push((alarm, AlarmState::Raised));
            }
        }
    }

    fn due(&self) -> Option<(u64, Due)> {
        let waits = self.waits.iter().flat_map(|wait| {
            let refused = wait.refused.values().copied().min();
            [wait.max_at, wait.relax_at, refused, wait.paused]
                .into_iter()
                .flatten()
                .map(|at| (at, Due::Wait(wait.join)))
        });
        let offers = self.offers.iter().map(|offer| (offer.until, Due::Offer(offer.id)));
        let agents = self.agents.iter().flat_map(|(id, agent)| {
            let wrap = agent.wrap.map(|wrap| wrap.0);
            let grace = agent.work.as_ref().and_then(|work| work.grace);
            let all = [wrap, agent.rest, agent.lost, agent.back_off, grace];
            all.into_iter().flatten().map(|at| (at, Due::Agent(id.clone())))
        });
        waits.chain(offers).chain(agents).min()
    }

    fn fire(&mut self) {
        let t = self.t;
        while let Some((_, due)) = self.due().filter(|(at, _)| *at <= t) {
            match due {
                Due::Wait(join) => self.fire_wait(join),
                Due::Offer(id) => {
                    let offer = self.offers.iter().find(|offer| offer.id == id).unwrap().clone();
                    if offer.rings {
                        self.rang_out(&offer);
                    } else {
                        self.agents.get_mut(&offer.agent).unwrap().lost = Some(t + 30);
                    }
                    self.lose(id, true);
                }
                Due::Agent(id) => self.fire_agent(&id),
            }
        }
    }

    fn fire_wait(&mut self, join: JoinId) {
        let t = self.t;
        let none_rings = self.offers_of(join).is_empty();
        let wait = self.waits.iter_mut().find(|wait| wait.join == join).unwrap();
        wait.refused.retain(|_, until| *until > t);
        wait.paused = wait.paused.filter(|at| *at > t);
        if wait.max_at.is_some_and(|at| at <= t) {
            wait.max_at = None;
            wait.overdue = true;
            if none_rings {
                self.end(join);
                self.verdicts.push(AcdVerdict::Overflow(join, OverflowCause::MaxWait));
                return;
            }
        }
        if wait.relax_at.is_some_and(|at| at <= t) {
            wait.relax_at = None;
            wait.relaxed = true;
        }
    }

    fn fire_agent(&mut self, id: &AgentId) {
        let t = self.t;
        let agent = self.agents.get_mut(id).unwrap();
        for returns in [&mut agent.rest, &mut agent.lost] {
            if returns.is_some_and(|at| at <= t) {
                *returns = None;
                agent.idle = t;
            }
        }
        agent.back_off = agent.back_off.filter(|at| *at > t);
        if agent.work.as_ref().and_then(|work| work.grace).is_some_and(|at| at <= t) {
            agent.work = None;
        }
        if agent.wrap.is_some_and(|wrap| wrap.0 <= t) {
            agent.wrap = None;
            agent.idle = t;
        }
    }

    fn join(&mut self, join: JoinId, wants: &Wants) {
        let taken = self.waits.iter().any(|wait| wait.join == join) || !self.offers_of(join).is_empty();
        if taken {
            return;
        }
        let queue = &wants.queue;
        let waiting = self.in_order(Some(queue)).len();
        let cause = match self.rules.get(queue) {
            None => Some(OverflowCause::Closed),
            Some((_, true)) if !wants.head => Some(OverflowCause::Closed),
            Some((rule, _)) if self.signed_in(queue) == 0 && rule.no_agent != NoAgentPolicy::Join => {
                Some(OverflowCause::NoAgent)
            }
            Some((rule, _)) if waiting >= rule.size as usize && !wants.head => Some(OverflowCause::Full),
            Some(_) => None,
        };
        if let Some(cause) = cause {
            self.verdicts.push(AcdVerdict::Overflow(join, cause));
            return;
        }
        self.asked.insert(join.call, queue.clone());
        let rule = &self.rules[queue].0;
        self.waits.push(Wait {
            join,
            wants: wants.clone(),
            entered: self.t,
            max_at: rule.max_wait.map(|span| self.t + secs(span)),
            relax_at: rule.skill_relax.map(|span| self.t + secs(span)),
            relaxed: false,
            overdue: false,
            refused: BTreeMap::new(),
            paused: None,
        });
        let ahead = self.in_order(Some(queue)).iter().position(|other| *other == join).unwrap();
        let agents_on = self.on(queue) as u32;
        let position = switch12345::acd::words::Position { ahead: ahead as u32, ewt: None, agents_on };
        self.verdicts.push(AcdVerdict::Queued(join, position));
    }

    fn leave(&mut self, join: JoinId) {
        self.end(join);
        for offer in self.offers_of(join) {
            self.void_lines(&offer);
        }
        self.offers.retain(|offer| offer.join != join);
    }

    fn void_lines(&mut self, offer: &Offer) {
        let agent = self.agents.get_mut(&offer.agent).unwrap();
        let lines = agent.lines.keys().filter(|leg| leg.call == offer.join.call).copied();
        agent.void.extend(lines.collect::<Vec<_>>());
    }

    fn ask_for(&mut self, join: JoinId, agent: &AgentId) {
        let taken = self.waits.iter().any(|wait| wait.join == join) || !self.offers_of(join).is_empty();
        if taken || !self.agents.contains_key(agent) || !self.is_free(agent) {
            self.verdicts.push(AcdVerdict::Unavailable(join, agent.clone()));
            return;
        }
        let ring = Duration::from_secs(20);
        let offer = self.reserve(join, agent, None, ring);
        self.verdicts.push(AcdVerdict::Reserved { join, offer, agent: agent.clone(), ring });
    }

    fn summon(&mut self, join: JoinId, id: &AgentId) {
        let taken = self.waits.iter().any(|wait| wait.join == join) || !self.offers_of(join).is_empty();
        let found = self.agents.get(id).filter(|agent| !agent.removed && agent.reachable);
        let Some(agent) = found else {
            self.verdicts.push(AcdVerdict::Absent(join, id.clone()));
            return;
        };
        if taken || agent.work.is_some() || !agent.lines.is_empty() || self.offer_of(id).is_some() {
            self.verdicts.push(AcdVerdict::Unavailable(join, id.clone()));
            return;
        }
        let ring = Duration::from_secs(20);
        let offer = self.reserve(join, id, None, ring);
        self.verdicts.push(AcdVerdict::Reserved { join, offer, agent: id.clone(), ring });
    }

    fn outcome(&mut self, id: OfferId, outcome: OfferOutcome) {
        let Some(offer) = self.offers.iter().find(|offer| offer.id == id).cloned() else { return };
        match outcome {
            OfferOutcome::Ringing => self.offers.iter_mut().for_each(|offer| offer.rings |= offer.id == id),
            OfferOutcome::Answered => self.win(&offer),
            OfferOutcome::Rejected => {
                self.refused(&offer);
                self.lose(id, false);
            }
            OfferOutcome::NoAnswer => {
                self.rang_out(&offer);
                self.lose(id, false);
            }
            OfferOutcome::Unreachable => {
                self.agents.get_mut(&offer.agent).unwrap().lost = Some(self.t + 30);
                self.lose(id, false);
            }
            OfferOutcome::Withdrawn => {
                let t = self.t;
                if let Some(wait) = self.waits.iter_mut().find(|wait| wait.join == offer.join) {
                    wait.paused = Some(t + 1);
                }
                self.lose(id, false);
            }
        }
    }

    fn win(&mut self, offer: &Offer) {
        let call = offer.join.call;
        let agent = self.agents.get_mut(&offer.agent).unwrap();
        agent.unanswered = 0;
        agent.calls += u64::from(offer.queue.is_some());
        let void = &agent.void;
        let talked = agent.lines.iter().any(|(leg, (state, cause))| {
            *cause == LineCause::Queue && *state != LineState::Ringing && !void.contains(leg)
        });
        let has_line = agent.lines.keys().any(|leg| leg.call == call);
        let queue = offer.queue.clone().or_else(|| self.asked.get(&call).cloned());
        agent.work = Some(Work { call, queue, talked, grace: (!has_line).then_some(self.t + 10) });
        if offer.queue.is_some() {
            let kept: Vec<_> =
                self.kept.iter().filter(|(_, kept)| **kept == offer.agent).map(|(q, _)| q.clone()).collect();
            for queue in kept {
                self.kept.remove(&queue);
                let alarm = AcdAlarm::LastReadyKept { queue, agent: offer.agent.clone() };
                self.alarms.push((alarm, AlarmState::Cleared));
            }
        }
        self.verdicts.push(AcdVerdict::Won { join: offer.join, offer: offer.id });
        self.offers.retain(|other| other.id != offer.id);
        self.end(offer.join);
        for other in self.offers_of(offer.join) {
            self.lose(other.id, true);
        }
    }

    fn line(&mut self, id: &AgentId, leg: MediaLeg, state: LineState, cause: LineCause) {
        let Some(agent) = self.agents.get_mut(id) else { return };
        if state == LineState::Idle {
            agent.lines.remove(&leg);
            agent.void.remove(&leg);
            return self.line_gone(id, leg.call);
        }
        agent.lines.insert(leg, (state, cause));
        agent.lost = None;
        if let Some(work) = agent.work.as_mut().filter(|work| work.call == leg.call) {
            work.grace = None;
        }
        let offered = self.offers.iter().any(|offer| offer.agent == *id && offer.join.call == leg.call);
        let is_work = !offered && !agent.void.contains(&leg);
        if state != LineState::Ringing && cause == LineCause::Queue && is_work {
            if agent.wrap.take().is_some() {
                agent.idle = self.t;
            }
            let queue = self.asked.get(&leg.call).cloned();
            match agent.work.as_mut() {
                Some(work) if work.talked => {}
                Some(work) if work.call == leg.call => {
                    work.talked = true;
                    work.queue = work.queue.clone().or(queue);
                }
                _ => agent.work = Some(Work { call: leg.call, queue, talked: true, grace: None }),
            }
        }
        if self.offer_of(id).is_some_and(|offer| offer.join.call != leg.call) {
            self.revoke_of(id);
        }
    }

    fn line_gone(&mut self, id: &AgentId, call: CallId) {
        let Some(agent) = self.agents.get_mut(id) else { return };
        let Some(work) = agent.work.clone() else { return };
        let is_queue =
            |(leg, line): (&MediaLeg, &(LineState, LineCause))| line.1 == LineCause::Queue && !agent.void.contains(leg);
        let queue_line = agent.lines.iter().any(is_queue);
        let line_of_it = agent.lines.keys().any(|leg| leg.call == work.call);
        let over = if work.talked { !queue_line } else { !line_of_it && (work.grace.is_none() || work.call == call) };
        if !over {
            return;
        }
        agent.work = None;
        if !work.talked {
            return;
        }
        let of_call = work.queue.and_then(|queue| self.rules.get(&queue));
        let served = agent.entry.queues.iter().find_map(|queue| self.rules.get(queue));
        let length = of_call.or(served).map_or(Duration::from_secs(10), |(rule, _)| rule.wrap_up);
        let length = secs(agent.entry.wrap_up.unwrap_or(length));
        if length == 0 || agent.removed || agent.desk == DeskState::SignedOut {
            agent.idle = self.t;
        } else {
            agent.wrap = Some((self.t + length, length, false));
        }
    }

    fn desk(&mut self, id: &AgentId, command: &DeskCommand) {
        let t = self.t;
        let Some(agent) = self.agents.get_mut(id) else { return };
        match command {
            DeskCommand::Choose(state) => {
                if *state == DeskState::Ready && (agent.desk != DeskState::Ready || agent.rest.is_some()) {
                    agent.idle = t;
                }
                if agent.desk == DeskState::SignedOut && *state != DeskState::SignedOut {
                    agent.calls = 0;
                }
                (agent.desk, agent.chosen, agent.rest, agent.unanswered) = (state.clone(), true, None, 0);
                if agent.wrap.take().is_some() {
                    agent.idle = t;
                }
                if *state != DeskState::Ready {
                    self.revoke_of(id);
                }
            }
            DeskCommand::EndWrapUp => {
                if agent.wrap.take().is_some() {
                    agent.idle = t;
                }
            }
            DeskCommand::ExtendWrapUp => {
                if let Some((until, length, false)) = agent.wrap {
                    agent.wrap = Some((until + length, length, true));
                }
            }
        }
    }

    fn reach(&mut self, id: &AgentId, reachable: bool) {
        let t = self.t;
        let Some(agent) = self.agents.get_mut(id) else { return };
        if !reachable {
            agent.reachable = false;
            return self.revoke_of(id);
        }
        if !agent.reachable || agent.lost.is_some() {
            agent.idle = t;
        }
        (agent.reachable, agent.lost) = (true, None);
        if agent.desk == DeskState::SignedOut && !agent.chosen && agent.entry.sign_in_on_register {
            (agent.desk, agent.calls, agent.unanswered) = (DeskState::Ready, 0, 0);
        }
    }

    fn gone(&mut self, call: CallId) {
        let waits: Vec<_> = self.waits.iter().filter(|wait| wait.join.call == call).map(|wait| wait.join).collect();
        waits.into_iter().for_each(|join| self.leave(join));
        self.offers.retain(|offer| offer.join.call != call);
        let agents: Vec<_> = self.agents.keys().cloned().collect();
        for id in agents {
            let agent = self.agents.get_mut(&id).unwrap();
            let lines = agent.lines.len();
            agent.lines.retain(|leg, _| leg.call != call);
            agent.void.retain(|leg| leg.call != call);
            let had_line = agent.lines.len() < lines;
            if had_line || agent.work.as_ref().is_some_and(|work| work.call == call) {
                self.line_gone(&id, call);
            }
        }
        self.asked.remove(&call);
    }

    fn reconfigure(&mut self, directory: &AcdDirectory) {
        for (id, (_, closing)) in &mut self.rules {
            *closing = !directory.queues.contains_key(id);
        }
        for (id, rule) in &directory.queues {
            self.rules.insert(id.clone(), (rule.clone(), false));
        }
        for (id, entry) in &directory.agents {
            let t = self.t;
            let agent = self.agents.entry(id.clone()).or_insert_with(|| Agent {
                entry: entry.clone(),
                removed: false,
                desk: DeskState::SignedOut,
                chosen: false,
                reachable: false,
                lost: None,
                rest: None,
                back_off: None,
                wrap: None,
                work: None,
                lines: BTreeMap::new(),
                void: BTreeSet::new(),
                unanswered: 0,
                idle: t,
                calls: 0,
                last_offer: 0,
            });
            let mut queues = entry.queues.clone();
            let closing = |queue: &&QueueId| self.rules.get(*queue).is_some_and(|(_, closing)| *closing);
            queues.extend(agent.entry.queues.iter().filter(closing).cloned());
            agent.entry = AgentEntry { queues, ..entry.clone() };
        }
        for (id, agent) in &mut self.agents {
            agent.removed = !directory.agents.contains_key(id);
        }
        let misplaced = |offer: &&Offer| {
            let agent = &self.agents[&offer.agent];
            let serves = offer.queue.as_ref().is_none_or(|queue| agent.entry.queues.contains(queue));
            agent.removed || !agent.entry.takes_calls || !serves
        };
        let misplaced: Vec<_> = self.offers.iter().filter(misplaced).map(|offer| offer.id).collect();
        misplaced.into_iter().for_each(|id| self.lose(id, true));
        for wait in &mut self.waits {
            let rule = &self.rules[&wait.wants.queue].0;
            (wait.overdue, wait.relaxed) = (false, false);
            wait.max_at = rule.max_wait.map(|span| wait.entered + secs(span));
            wait.relax_at = rule.skill_relax.map(|span| wait.entered + secs(span));
        }
        self.settle_queues();
        self.end(JoinId { call: call(usize::MAX >> 1), nth: u16::MAX });
    }
}

// ---- generated inputs

#[derive(Clone, Debug)]
enum Op {
    Join { call: usize, fresh: bool, queue: usize, needs: usize, priority: u8, head: bool, avoid: usize, age: u64 },
    Leave(usize),
    Reserve { call: usize, agent: usize, colleague: bool },
    Outcome { nth: usize, stale: bool, outcome: OfferOutcome },
    Line { agent: usize, call: usize, leg: u16, state: LineState, cause: LineCause },
    LineOfOffer { nth: usize, state: LineState },
    HangUp(usize),
    Desk(usize, DeskCommand),
    Reach(usize, bool),
    Gone(usize),
    Pass(u64),
    Reconfigure(usize),
}

fn outcome() -> impl Strategy<Value = OfferOutcome> {
    prop_oneof![
        3 => Just(OfferOutcome::Ringing),
        6 => Just(OfferOutcome::Answered),
        2 => Just(OfferOutcome::Rejected),
        2 => Just(OfferOutcome::NoAnswer),
        1 => Just(OfferOutcome::Unreachable),
        1 => Just(OfferOutcome::Withdrawn),
    ]
}

fn line_state() -> impl Strategy<Value = LineState> {
    prop_oneof![Just(LineState::Idle), Just(LineState::Ringing), Just(LineState::Talking), Just(LineState::Held)]
}

fn desk() -> impl Strategy<Value = DeskCommand> {
    prop_oneof![
        4 => Just(DeskCommand::Choose(DeskState::Ready)),
        1 => Just(DeskCommand::Choose(DeskState::SignedOut)),
        2 => Just(DeskCommand::Choose(DeskState::NotReady { reason: Arc::from("rest") })),
        1 => Just(DeskCommand::EndWrapUp),
        1 => Just(DeskCommand::ExtendWrapUp),
    ]
}

fn op() -> impl Strategy<Value = Op> {
    let join = (
        0..40_usize,
        any::<bool>(),
        0..3_usize,
        0..5_usize,
        0..3_u8,
        prop::bool::weighted(0.1),
        0..12_usize,
        0..90_u64,
    )
        .prop_map(|(call, fresh, queue, needs, priority, head, avoid, age)| Op::Join {
            call,
            fresh,
            queue,
            needs,
            priority,
            head,
            avoid,
            age,
        });
    let cause = prop_oneof![Just(LineCause::Queue), Just(LineCause::Own)];
    let line = (0..6_usize, 0..40_usize, 0..2_u16, line_state(), cause)
        .prop_map(|(agent, call, leg, state, cause)| Op::Line { agent, call, leg, state, cause });
    prop_oneof![
        12 => join,
        2 => (0..40_usize).prop_map(Op::Leave),
        2 => (0..40_usize, 0..7_usize, any::<bool>())
            .prop_map(|(call, agent, colleague)| Op::Reserve { call, agent, colleague }),
        14 => (0..20_usize, prop::bool::weighted(0.1), outcome())
            .prop_map(|(nth, stale, outcome)| Op::Outcome { nth, stale, outcome }),
        2 => line,
        6 => (0..20_usize, line_state()).prop_map(|(nth, state)| Op::LineOfOffer { nth, state }),
        6 => (0..20_usize).prop_map(Op::HangUp),
        5 => (0..6_usize, desk()).prop_map(|(agent, command)| Op::Desk(agent, command)),
        6 => (0..6_usize, prop::bool::weighted(0.8)).prop_map(|(agent, on)| Op::Reach(agent, on)),
        2 => (0..40_usize).prop_map(Op::Gone),
        10 => prop_oneof![6 => 0..12_u64, 1 => 12..400_u64].prop_map(Op::Pass),
        1 => (0..4_usize).prop_map(Op::Reconfigure),
    ]
}

fn needs(n: usize) -> Vec<SkillNeed> {
    let need = |skill, level, required| SkillNeed { skill: SkillName::new(skill), level, required };
    match n {
        0 | 1 => Vec::new(),
        2 => vec![need("tax", 5, true)],
        3 => vec![need("tax", 9, false), need("mongolian", 2, false)],
        _ => vec![need("mongolian", 1, true)],
    }
}

fn directory(n: usize) -> AcdDirectory {
    let s = Duration::from_secs;
    let strategies = [Choice::LongestIdle, Choice::BestSkill, Choice::FewestCalls, Choice::RoundRobin];
    let policies = [NoAgentPolicy::Join, NoAgentPolicy::Stay, NoAgentPolicy::Join, NoAgentPolicy::Leave];
    let main = QueueRule {
        size: 6,
        ring_no_answer: (n % 3) as u8,
        strategy: strategies[n],
        no_agent: policies[n],
        age_step: s(30 + 15 * n as u64),
        ..QueueRule::default()
    };
    let law = QueueRule { max_wait: Some(s(40)), skill_relax: Some(s(15)), wrap_up: s(0), ..QueueRule::default() };
    let hall = QueueRule { strategy: Choice::RingAll { cap: 2 }, ring: s(9), wrap_up: s(25), ..QueueRule::default() };
    let mut queues = vec![(queue_id(0), main), (queue_id(1), law), (queue_id(2), hall)];
    if n == 2 {
        queues.remove(1);
    }
    let serves: [&[usize]; 6] = [&[0], &[0, 1], &[0, 1, 2], &[2], &[2, 0], &[1]];
    let skills: [&[(&str, u8)]; 6] =
        [&[], &[("tax", 4)], &[("tax", 6), ("mongolian", 3)], &[("tax", 9)], &[], &[("mongolian", 9)]];
    let entry = |k: usize| {
        let mut entry = AgentEntry::new(TenantName::new("p"), serves[(k + n / 3) % 6].iter().map(|q| queue_id(*q)));
        entry.skills = skills[(k + n / 2) % 6].iter().map(|(name, level)| (SkillName::new(name), *level)).collect();
        entry.takes_calls = !(n == 1 && k == 4);
        entry.wrap_up = (k == 3).then_some(s(7));
        entry.sign_in_on_register = k != 5;
        entry
    };
    let agents = (0..6).filter(|k| !(n == 3 && *k == 1)).map(|k| (agent_id(k), entry(k)));
    AcdDirectory::new(queues, agents)
}

// ---- both, side by side

struct Pair {
    acd: Acd,
    model: Model,
    calls: Vec<CallId>,
    next_nth: BTreeMap<CallId, u16>,
    ended: BTreeSet<JoinId>,
}

impl Pair {
    fn new() -> Self {
        let mut model = Model::default();
        model.reconfigure(&directory(0));
        model.t = START_S;
        model.agents.values_mut().for_each(|agent| agent.idle = 0);
        let acd = Acd::new(directory(0));
        Self { acd, model, calls: Vec::new(), next_nth: BTreeMap::new(), ended: BTreeSet::new() }
    }

    fn step(&mut self, op: &Op) {
        if let Op::Pass(span) = op {
            self.model.t += span;
        }
        self.model.verdicts.clear();
        self.model.alarms.clear();
        let hungry_before = self.model.clone();
        self.model.fire();
        self.model.settle();
        let mut out = Vec::new();
        if let Op::Reconfigure(n) = op {
            self.acd.reconfigure(now(self.model.t), directory(*n), &mut out);
            self.model.reconfigure(&directory(*n));
            self.model.fire();
        } else {
            let input = self.input(op, &hungry_before);
            self.acd.handle(now(self.model.t), input.clone(), &mut out);
            self.apply(&input);
        }
        self.model.settle();
        self.compare(out);
        self.invariants();
    }

    fn known_call(&mut self, n: usize, fresh: bool) -> CallId {
        if fresh || self.calls.is_empty() {
            self.calls.push(call(self.calls.len()));
            return *self.calls.last().unwrap();
        }
        self.calls[n % self.calls.len()]
    }

    fn new_join(&mut self, call: CallId) -> JoinId {
        let nth = self.next_nth.entry(call).or_default();
        *nth += 1;
        JoinId { call, nth: *nth - 1 }
    }

    /// Makes an input of what is there; the model as it stood before the step says what the world outside knows.
    fn input(&mut self, op: &Op, seen: &Model) -> AcdInput {
        let request = |call, request| AcdInput::Call(call, request);
        match op {
            Op::Join { call, fresh, queue, needs: need, priority, head, avoid, age } => {
                let call = self.known_call(*call, *fresh || *age > 20);
                let join = self.new_join(call);
                let wants = Wants {
                    queue: queue_id(*queue),
                    needs: needs(*need),
                    priority: *priority,
                    joined_at: mono(self.model.t - age),
                    head: *head,
                    avoid: if *avoid < 6 { vec![agent_id(*avoid)] } else { Vec::new() },
                    hotline: Arc::from("12345"),
                };
                request(call, QueueRequest::Join(join, Box::new(wants)))
            }
            Op::Leave(n) => match seen.waits.get(n % seen.waits.len().max(1)) {
                Some(wait) => request(wait.join.call, QueueRequest::Leave(wait.join)),
                None => AcdInput::Deadline,
            },
            Op::Reserve { call, agent, colleague } => {
                let (call, agent) = (self.known_call(*call, false), agent_id(*agent));
                let join = self.new_join(call);
                let reserve = QueueRequest::Reserve(join, agent.clone());
                request(call, if *colleague { QueueRequest::Summon(join, agent) } else { reserve })
            }
            Op::Outcome { nth, stale, outcome } => match seen.offers.get(nth % seen.offers.len().max(1)) {
                Some(offer) => {
                    let id = if *stale { OfferId(offer.id.0.saturating_sub(1)) } else { offer.id };
                    let call = seen.offers.iter().find(|o| o.id == id).map_or(offer.join.call, |o| o.join.call);
                    request(call, QueueRequest::Outcome(id, *outcome))
                }
                None => AcdInput::Deadline,
            },
            Op::Line { agent, call, leg, state, cause } => {
                let (call, agent) = (self.known_call(*call, false), agent_id(*agent));
                let leg = MediaLeg { call, leg: LegId(*leg) };
                request(call, QueueRequest::Line { agent, leg, state: *state, cause: *cause })
            }
            Op::LineOfOffer { nth, state } => {
                let works = seen.agents.iter().filter_map(|(id, agent)| Some((id.clone(), agent.work.as_ref()?.call)));
                let rings = seen.offers.iter().map(|offer| (offer.agent.clone(), offer.join.call));
                let all: Vec<_> = works.chain(rings).collect();
                match all.get(nth % all.len().max(1)) {
                    Some((agent, call)) => {
                        let leg = MediaLeg { call: *call, leg: LegId(7) };
                        let (agent, cause, state) = (agent.clone(), LineCause::Queue, *state);
                        request(*call, QueueRequest::Line { agent, leg, state, cause })
                    }
                    None => AcdInput::Deadline,
                }
            }
            Op::HangUp(n) => {
                let lines = |(id, agent): (&AgentId, &Agent)| {
                    agent.lines.iter().map(|(leg, line)| (id.clone(), *leg, line.1)).collect::<Vec<_>>()
                };
                let all: Vec<_> = seen.agents.iter().flat_map(lines).collect();
                match all.get(n % all.len().max(1)) {
                    Some((agent, leg, cause)) => {
                        let (agent, leg, cause, state) = (agent.clone(), *leg, *cause, LineState::Idle);
                        request(leg.call, QueueRequest::Line { agent, leg, state, cause })
                    }
                    None => AcdInput::Deadline,
                }
            }
            Op::Desk(agent, command) => AcdInput::Desk(agent_id(*agent), command.clone()),
            Op::Reach(agent, reachable) => AcdInput::Reachable(agent_id(*agent), *reachable),
            Op::Gone(n) => AcdInput::CallGone(self.known_call(*n, false)),
            Op::Pass(_) | Op::Reconfigure(_) => AcdInput::Deadline,
        }
    }

    fn apply(&mut self, input: &AcdInput) {
        match input {
            AcdInput::Call(_, QueueRequest::Join(join, wants)) => self.model.join(*join, wants),
            AcdInput::Call(_, QueueRequest::Leave(join)) => {
                self.ended.insert(*join);
                self.model.leave(*join);
            }
            AcdInput::Call(_, QueueRequest::Reserve(join, agent)) => self.model.ask_for(*join, agent),
            AcdInput::Call(_, QueueRequest::Summon(join, agent)) => self.model.summon(*join, agent),
            AcdInput::Call(_, QueueRequest::Outcome(offer, outcome)) => self.model.outcome(*offer, *outcome),
            AcdInput::Call(_, QueueRequest::Line { agent, leg, state, cause }) => {
                self.model.line(agent, *leg, *state, *cause);
            }
            AcdInput::CallGone(call) => self.model.gone(*call),
            AcdInput::Reachable(agent, reachable) => self.model.reach(agent, *reachable),
            AcdInput::Desk(agent, command) => self.model.desk(agent, command),
            AcdInput::Deadline => {}
        }
    }

    fn compare(&mut self, out: Vec<AcdEffect>) {
        let mut verdicts = Vec::new();
        let mut alarms = Vec::new();
        for effect in out {
            match effect {
                AcdEffect::Verdict(_, AcdVerdict::Progress(..)) | AcdEffect::Emit(_) => {}
                AcdEffect::Verdict(_, AcdVerdict::Queued(join, mut position)) => {
                    position.ewt = None;
                    verdicts.push(AcdVerdict::Queued(join, position));
                }
                AcdEffect::Verdict(_, verdict) => verdicts.push(verdict),
                AcdEffect::Alarm(alarm, state) => alarms.push((alarm, state)),
            }
        }
        self.ends_once(&verdicts);
        let sorted = |verdicts: &[AcdVerdict]| {
            let mut texts: Vec<_> = verdicts.iter().map(|verdict| format!("{verdict:?}")).collect();
            texts.sort();
            texts
        };
        assert_eq!(sorted(&verdicts), sorted(&self.model.verdicts), "verdicts: machine, model");
        let texts = |alarms: &[(AcdAlarm, AlarmState)]| {
            alarms.iter().map(|alarm| format!("{alarm:?}")).collect::<BTreeSet<_>>()
        };
        assert_eq!(texts(&alarms), texts(&self.model.alarms), "alarms: machine, model");
        let machine: BTreeMap<_, _> =
            self.acd.agents_view().into_iter().map(|view| (view.agent, view.state.word())).collect();
        let model: BTreeMap<_, _> = self.model.agents.keys().map(|id| (id.clone(), self.model.shown(id))).collect();
        assert_eq!(machine, model, "agents: machine, model");
        for n in 0..3 {
            let queue = queue_id(n);
            assert_eq!(self.acd.waiting(&queue), self.model.in_order(Some(&queue)), "order of {queue:?}");
        }
    }

    fn ends_once(&mut self, verdicts: &[AcdVerdict]) {
        for verdict in verdicts {
            if let AcdVerdict::Overflow(join, _) | AcdVerdict::Won { join, .. } = verdict {
                assert!(self.ended.insert(*join), "{join:?} ended twice");
            }
        }
    }

    fn invariants(&self) {
        let mut reserved = BTreeSet::new();
        for offer in &self.model.offers {
            assert!(reserved.insert(offer.agent.clone()), "{:?} is in two offers", offer.agent);
        }
        for wait in &self.model.waits {
            assert!(!self.ended.contains(&wait.join), "{:?} waits after its end", wait.join);
            let free: Vec<_> = self.acd.explain(wait.join).into_iter().filter(|(_, skip)| skip.is_none()).collect();
            let hungry = self.model.is_hungry(wait);
            assert!(!hungry || free.is_empty(), "{:?} waits while {free:?} is free and suitable", wait.join);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        failure_persistence: Some(Box::new(FileFailurePersistence::WithSource("proptest-regressions"))),
        ..ProptestConfig::default()
    })]

    #[test]
    fn the_machine_and_the_plain_model_agree_after_every_step(ops in prop::collection::vec(op(), 1..150)) {
        let mut pair = Pair::new();
        (0..5).for_each(|agent| pair.step(&Op::Reach(agent, true)));
        for op in &ops {
            pair.step(op);
        }
        for n in 0..pair.calls.len() {
            pair.step(&Op::Gone(n));
        }
        prop_assert!(pair.acd.is_quiet());
    }
}

/// A small seeded generator (SplitMix64), so that a seed names a run.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % sides
    }
}

/// Two phones that answer by themselves, each message between ACD, call and phone 0–49 ms under way.
#[test]
fn two_auto_answer_agents_under_ring_all_have_one_winner_in_2000_seeds() {
    let rule = QueueRule { strategy: Choice::RingAll { cap: 2 }, ..QueueRule::default() };
    for seed in 0..2_000 {
        let mut dice = Dice(seed);
        let agents = (0..2).map(|n| (agent_id(n), AgentEntry::new(TenantName::new("p"), [queue_id(0)])));
        let mut acd = Acd::new(AcdDirectory::new([(queue_id(0), rule.clone())], agents));
        let mut out = Vec::new();
        for n in 0..2 {
            acd.handle(now(1), AcdInput::Reachable(agent_id(n), true), &mut out);
        }
        let caller = JoinId { call: call(1), nth: 0 };
        let wants = Wants {
            queue: queue_id(0),
            needs: Vec::new(),
            priority: 0,
            joined_at: mono(2),
            head: false,
            avoid: Vec::new(),
            hotline: Arc::from("12345"),
        };
        let mut mail =
            BTreeMap::from([((0, 0), AcdInput::Call(caller.call, QueueRequest::Join(caller, Box::new(wants))))]);
        let (mut won, mut revoked, mut sent) = (Vec::new(), Vec::new(), 0);
        while let Some(((at_ms, _), input)) = mail.pop_first() {
            let at = now(2).after(Duration::from_millis(at_ms));
            out.clear();
            acd.handle(at, input, &mut out);
            for effect in &out {
                match effect {
                    AcdEffect::Verdict(call, AcdVerdict::Offer { offer, .. }) => {
                        let mut later = at_ms;
                        for outcome in [OfferOutcome::Ringing, OfferOutcome::Answered] {
                            later += dice.roll(50);
                            sent += 1;
                            mail.insert((later, sent), AcdInput::Call(*call, QueueRequest::Outcome(*offer, outcome)));
                        }
                    }
                    AcdEffect::Verdict(_, AcdVerdict::Won { offer, .. }) => won.push(*offer),
                    AcdEffect::Verdict(_, AcdVerdict::Revoke { offer, .. }) => revoked.push(*offer),
                    _ => {}
                }
            }
        }
        assert_eq!((won.len(), revoked.len()), (1, 1), "seed {seed}");
        assert_ne!(won, revoked, "seed {seed}");
    }
}
