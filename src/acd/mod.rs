//! All queues and all agents, in one machine, because agents are what calls contend for.
//!
//! Calls, the switch and agents speak to it in the words of [`words`]; `(now, input)` goes in, effects come out.
//! One rule makes every decision: *as long as a caller wants an agent and a free, suitable one exists, the caller
//! first in the one global order is offered to the agent first in his queue's order* ([`rank`]). It is kept true after
//! every step, so nothing polls, and a step looks only at the agents and callers it changed.
//!
//! A wait ends exactly once: `Won`, `Overflow`, `Leave` or `CallGone`. An agent is in at most one offer. An answer
//! about an offer that is no longer current is dropped and counted ([`Acd::stale`]). Deadlines that are due are
//! taken before any input, so a late driver decides as a punctual one.
//!
//! What the engine must report: `CallGone` for every call that ever spoke here; `Line … Idle` for every line reported
//! as in use (a losing phone of a ring-all is not offered another call before its leg is gone); `Reachable(_, true)`
//! at every registration, also a refresh: it is the sign of life of a phone that did not respond.
//!
//! Deliberately absent: SIP, media, plan evaluation (an overflowed call asks its plan what next), call-backs.
//! Limits: one decision looks at each group of equally skilled idle agents and each group of callers with equal
//! needs once; positions are told at most every 5 s ([`TELL_EVERY`]).
#![warn(clippy::wildcard_enum_match_arm)]

pub mod agent;
mod desk;
pub mod directory;
pub mod estimate;
pub mod offer;
pub mod queue;
pub mod rank;
mod reconfigure;
pub mod view;
mod wait;
pub mod words;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use crate::acd::agent::{Agent, AgentTimer};
use crate::acd::directory::AcdDirectory;
use crate::acd::offer::Offer;
use crate::acd::queue::{Queue, Wait, WaitTimer};
use crate::acd::rank::{SkillNumbers, WaitRank};
use crate::acd::words::{AcdInput, AcdVerdict, QueueRequest};
use crate::base::id::{AgentId, CallId, JoinId, OfferId, QueueId};
use crate::base::now::{Mono, Now};
use crate::event::agent::{AgentEvent, AgentHappening};

/// How often callers are told a changed place.
pub const TELL_EVERY: Duration = Duration::from_secs(5);

/// Out of the ACD.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AcdEffect {
    /// To a call.
    Verdict(CallId, AcdVerdict),
    /// What happened to an agent.
    Emit(AgentEvent),
    /// An alarm is raised, or cleared.
    Alarm(AcdAlarm, AlarmState),
}

/// Whether an alarm begins or ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AlarmState {
    /// It stands from now on.
    Raised,
    /// It is over.
    Cleared,
}

/// What supervisors must look at.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum AcdAlarm {
    /// The last ready agent of a queue let an offer ring out and was kept ready.
    LastReadyKept {
        /// The queue.
        queue: QueueId,
        /// The agent.
        agent: AgentId,
    },
}

/// Whose deadline comes next, and which.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AcdTimer {
    /// A wait's.
    Wait(JoinId, WaitTimer),
    /// An offer about which its call said nothing in time.
    Offer(OfferId),
    /// An agent's.
    Agent(AgentId, AgentTimer),
    /// Places are told to a queue's callers.
    Tell(QueueId),
}

/// What is remembered of a call until it is gone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct CallTrace {
    /// The queue it waited in last; decides the wrap-up also after transfers.
    queue: Option<QueueId>,
    /// Agents it reported lines of, or was won by.
    agents: BTreeSet<AgentId>,
}

/// What one step changed and has not been settled yet; empty between steps.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Unsettled {
    /// Free agents to find callers for.
    agents: BTreeSet<AgentId>,
    /// Callers to find agents for.
    waits: BTreeSet<WaitRank>,
    /// Agents whose shown state may differ.
    shown: BTreeSet<AgentId>,
    /// Queues whose number of agents changed.
    queues: BTreeSet<QueueId>,
}

/// All queues and all agents.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Acd {
    numbers: SkillNumbers,
    queues: BTreeMap<QueueId, Queue>,
    agents: BTreeMap<AgentId, Agent>,
    waits: BTreeMap<JoinId, Wait>,
    offers: BTreeMap<OfferId, Offer>,
    direct: BTreeMap<JoinId, OfferId>,
    calls: BTreeMap<CallId, CallTrace>,
    timers: BTreeSet<(Mono, AcdTimer)>,
    unsettled: Unsettled,
    offers_made: u64,
    stale: u64,
}

impl Acd {
    /// Builds the machine: every agent signed out and not registered, every queue empty.
    #[must_use]
    pub fn new(directory: AcdDirectory) -> Self {
        let mut acd = Self::default();
        let start = Now { mono: Mono::ZERO, wall: jiff::Timestamp::UNIX_EPOCH };
        acd.reconfigure(start, directory, &mut Vec::new());
        acd
    }

    /// Takes one input in.
    pub fn handle(&mut self, now: Now, input: AcdInput, out: &mut Vec<AcdEffect>) {
        if self.deadline().is_some_and(|(at, _)| at <= now.mono) {
            self.fire(now, out);
            self.settle(now, out);
        }
        match input {
            AcdInput::Call(call, request) => self.on_request(now, call, request, out),
            AcdInput::CallGone(call) => self.on_call_gone(now, call, out),
            AcdInput::Reachable(agent, reachable) => self.on_reachable(now, &agent, reachable, out),
            AcdInput::Desk(agent, command) => self.on_desk(now, &agent, command, out),
            AcdInput::Deadline => {}
        }
        self.settle(now, out);
    }

    /// The next deadline and whose it is.
    #[must_use]
    pub fn deadline(&self) -> Option<(Mono, AcdTimer)> {
        self.timers.first().cloned()
    }

    /// How many inputs named something that is no longer, or never was, current.
    #[must_use]
    pub const fn stale(&self) -> u64 {
        self.stale
    }

    /// Whether no wait, offer, line or remembered call is left; what every test ends with.
    #[must_use]
    pub fn is_quiet(&self) -> bool {
        self.waits.is_empty()
            && self.offers.is_empty()
            && self.direct.is_empty()
            && self.calls.is_empty()
            && self.agents.values().all(|agent| agent.lines.is_empty() && agent.offer.is_none() && agent.work.is_none())
    }

    fn on_request(&mut self, now: Now, call: CallId, request: QueueRequest, out: &mut Vec<AcdEffect>) {
        match request {
            QueueRequest::Join(join, _)
            | QueueRequest::Leave(join)
            | QueueRequest::Reserve(join, _)
            | QueueRequest::Summon(join, _)
                if join.call != call =>
            {
                self.stale += 1;
            }
            QueueRequest::Join(join, wants) => self.on_join(now, join, wants, out),
            QueueRequest::Leave(join) => self.on_leave(now, join, out),
            QueueRequest::Reserve(join, agent) => self.on_reserve(now, join, &agent, out),
            QueueRequest::Summon(join, agent) => self.on_summon(now, join, &agent, out),
            QueueRequest::Outcome(offer, outcome) => self.on_outcome(now, call, offer, outcome, out),
            QueueRequest::Line { leg, .. } if leg.call != call => self.stale += 1,
            QueueRequest::Line { agent, leg, state, cause } => self.on_line(now, &agent, leg, state, cause, out),
        }
    }

    fn on_call_gone(&mut self, now: Now, call: CallId, out: &mut Vec<AcdEffect>) {
        let own = JoinId { call, nth: 0 }..=JoinId { call, nth: u16::MAX };
        let waits: Vec<_> = self.waits.range(own.clone()).map(|(join, _)| *join).collect();
        let direct: Vec<_> = self.direct.range(own).map(|(join, _)| *join).collect();
        for join in waits.into_iter().chain(direct) {
            self.on_leave(now, join, out);
        }
        let trace = self.calls.remove(&call).unwrap_or_default();
        for agent in trace.agents {
            self.drop_lines(now, &agent, call);
        }
    }

    /// Takes all deadlines that are due, in their order.
    fn fire(&mut self, now: Now, out: &mut Vec<AcdEffect>) {
        while let Some((at, _)) = self.timers.first() {
            if *at > now.mono {
                break;
            }
            let Some((_, timer)) = self.timers.pop_first() else { break };
            match timer {
                AcdTimer::Wait(join, _) => self.on_wait_deadline(now, join, out),
                AcdTimer::Offer(offer) => self.on_offer_deadline(now, offer, out),
                AcdTimer::Agent(agent, _) => self.on_agent_deadline(now, &agent),
                AcdTimer::Tell(queue) => self.on_tell(now, &queue, out),
            }
        }
    }

    /// Makes the rule of the module true again and reports what changed.
    fn settle(&mut self, now: Now, out: &mut Vec<AcdEffect>) {
        for queue in std::mem::take(&mut self.unsettled.queues) {
            self.settle_queue(&queue, out);
        }
        while let Some(rank) = self.next_to_serve() {
            let picked = self.waits.get(&rank.join).and_then(|wait| {
                let queue = self.queues.get(&wait.wants.queue)?;
                queue.pick_agent(wait)
            });
            match picked {
                Some(agent) => self.offer_wait(now, rank.join, agent, out),
                None => {
                    self.unsettled.waits.remove(&rank);
                }
            }
        }
        for id in std::mem::take(&mut self.unsettled.shown) {
            self.show(now, &id, out);
        }
    }

    /// The first caller who may find an agent: one that changed, or the first suitable one of an agent that changed.
    fn next_to_serve(&mut self) -> Option<WaitRank> {
        let mut best = self.unsettled.waits.first().copied();
        let candidates = std::mem::take(&mut self.unsettled.agents);
        for id in candidates {
            let Some(agent) = self.agents.get(&id) else { continue };
            let mut first: Option<WaitRank> = None;
            for (queue, _) in &agent.standing {
                if let Some(queue) = self.queues.get(queue) {
                    first = queue.pick_wait(&id, &agent.skills, first, &self.waits);
                }
            }
            if let Some(first) = first {
                best = Some(best.map_or(first, |best| best.min(first)));
                self.unsettled.agents.insert(id);
            }
        }
        best
    }

    fn show(&mut self, now: Now, id: &AgentId, out: &mut Vec<AcdEffect>) {
        let Some(agent) = self.agents.get_mut(id) else { return };
        let to = agent.shown();
        if agent.shown.0 != to {
            let (from, _) = std::mem::replace(&mut agent.shown, (to.clone(), now));
            out.push(emit(now, id, agent, AgentHappening::State { from, to }));
        }
        if agent.removed && agent.lines.is_empty() && agent.work.is_none() && agent.offer.is_none() {
            self.disarm(id);
            self.agents.remove(id);
        }
    }

    /// Brings indices, counts and the deadline of an agent in line with its fields; called after every change.
    fn refresh(&mut self, id: &AgentId) {
        let Some(agent) = self.agents.get_mut(id) else { return };
        let entry = Arc::clone(&agent.entry);
        let counts = agent.counts();
        if counts != agent.counted {
            for name in &entry.queues {
                if let Some(queue) = self.queues.get_mut(name) {
                    let before = agent.counted;
                    queue.signed_in =
                        (queue.signed_in + u32::from(counts.signed_in)).saturating_sub(before.signed_in.into());
                    queue.on = (queue.on + u32::from(counts.on)).saturating_sub(before.on.into());
                    self.unsettled.queues.insert(name.clone());
                }
            }
            agent.counted = counts;
        }
        let free = agent.blocked().is_none();
        let mut standing = Vec::new();
        if free {
            for name in &entry.queues {
                if let Some(queue) = self.queues.get(name) {
                    standing.push((name.clone(), agent.turn(id, queue.rule.strategy)));
                }
            }
            self.unsettled.agents.insert(id.clone());
        } else {
            self.unsettled.agents.remove(id);
        }
        if standing != agent.standing {
            for (name, turn) in &agent.standing {
                if let Some(queue) = self.queues.get_mut(name) {
                    queue.unstand(&agent.skills, turn);
                }
            }
            for (name, turn) in &standing {
                if let Some(queue) = self.queues.get_mut(name) {
                    queue.stand(&agent.skills, turn.clone());
                }
            }
            agent.standing = standing;
        }
        let due = agent.deadline();
        if due != agent.armed {
            if let Some((at, timer)) = agent.armed {
                self.timers.remove(&(at, AcdTimer::Agent(id.clone(), timer)));
            }
            if let Some((at, timer)) = due {
                self.timers.insert((at, AcdTimer::Agent(id.clone(), timer)));
            }
            agent.armed = due;
        }
        self.unsettled.shown.insert(id.clone());
    }

    fn disarm(&mut self, id: &AgentId) {
        if let Some((at, timer)) = self.agents.get_mut(id).and_then(|agent| agent.armed.take()) {
            self.timers.remove(&(at, AcdTimer::Agent(id.clone(), timer)));
        }
    }
}

fn emit(now: Now, id: &AgentId, agent: &Agent, what: AgentHappening) -> AcdEffect {
    let tenant = agent.entry.tenant.clone();
    AcdEffect::Emit(AgentEvent { agent: id.clone(), tenant, at: now.wall, mono: now.mono, what })
}

#[cfg(test)]
mod tests;
