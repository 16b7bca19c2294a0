//! What people and programs see of queues and agents, and why an agent was chosen or not.
//!
//! Plain values, copied out; times in seconds. [`Acd::explain`] runs the tests of the choice itself
//! ([`Agent::blocked`], [`Wait::spares`], the skill fit), so explanation and decision cannot differ.
//! Deliberately absent: numbers of citizens.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::acd::Acd;
use crate::acd::agent::{Agent, SkipReason};
use crate::acd::queue::{Queue, Wait};
use crate::acd::rank::{AgentRank, WaitRank};
use crate::acd::words::Wants;
use crate::base::id::{AgentId, JoinId, QueueId, QueueName, TenantName};
use crate::base::now::Now;
use crate::event::agent::AgentState;

/// One queue, as shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueueView {
    /// The place.
    pub tenant: TenantName,
    /// The queue.
    pub queue: QueueName,
    /// Callers waiting, those whose offer runs included.
    pub waiting: u32,
    /// Callers for whom at least one phone is being rung.
    pub offered: u32,
    /// How long the longest of them has waited, in seconds.
    pub longest_wait_s: u64,
    /// What a caller joining now would be told, in seconds.
    pub ewt_s: Option<u64>,
    /// Agents ready and reachable, busy or not.
    pub agents_on: u32,
    /// Agents by the word of their state.
    pub agents: BTreeMap<String, u32>,
    /// Whether a reload removed it and it only lives until it is empty.
    pub closing: bool,
}

/// One agent, as shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AgentView {
    /// The agent.
    pub agent: AgentId,
    /// The place.
    pub tenant: TenantName,
    /// The state, with its reason where it has one.
    #[serde(flatten)]
    pub state: AgentState,
    /// Since when.
    pub since: Timestamp,
    /// Whether the phone is registered.
    pub registered: bool,
    /// Lines in use.
    pub lines: u32,
    /// Queue calls answered since signing in.
    pub calls: u64,
    /// Queues served.
    pub queues: Vec<QueueName>,
}

impl Acd {
    /// All queues.
    #[must_use]
    pub fn queues_view(&self, now: Now) -> Vec<QueueView> {
        let mut states: BTreeMap<&QueueId, BTreeMap<String, u32>> = BTreeMap::new();
        for agent in self.agents.values().filter(|agent| !agent.removed) {
            for queue in &agent.entry.queues {
                *states.entry(queue).or_default().entry(agent.shown.0.word().to_owned()).or_default() += 1;
            }
        }
        let view = |(id, queue): (&QueueId, &Queue)| {
            let waits = || queue.order.iter().filter_map(|rank| self.waits.get(&rank.join));
            let waiting = u32::try_from(queue.order.len()).unwrap_or(u32::MAX);
            let offered = waits().filter(|wait| !wait.offers.is_empty()).count();
            QueueView {
                tenant: id.tenant.clone(),
                queue: id.queue.clone(),
                waiting,
                offered: u32::try_from(offered).unwrap_or(u32::MAX),
                longest_wait_s: waits().map(|wait| now.mono.since(wait.wants.joined_at).as_secs()).max().unwrap_or(0),
                ewt_s: queue.mean.position(waiting, queue.on, None).ewt.map(|ewt| ewt.as_secs()),
                agents_on: queue.on,
                agents: states.get(id).cloned().unwrap_or_default(),
                closing: queue.closing,
            }
        };
        self.queues.iter().map(view).collect()
    }

    /// All agents.
    #[must_use]
    pub fn agents_view(&self) -> Vec<AgentView> {
        let view = |(id, agent): (&AgentId, &Agent)| AgentView {
            agent: id.clone(),
            tenant: agent.entry.tenant.clone(),
            state: agent.shown.0.clone(),
            since: agent.shown.1.wall,
            registered: agent.reachable,
            lines: u32::try_from(agent.lines.len()).unwrap_or(u32::MAX),
            calls: agent.calls,
            queues: agent.entry.queues.iter().map(|queue| queue.queue.clone()).collect(),
        };
        self.agents.iter().map(view).collect()
    }

    /// The state shown of one agent.
    #[must_use]
    pub fn agent_state(&self, agent: &AgentId) -> Option<&AgentState> {
        self.agents.get(agent).map(|agent| &agent.shown.0)
    }

    /// The callers of a queue, first to be served first.
    #[must_use]
    pub fn waiting(&self, queue: &QueueId) -> Vec<JoinId> {
        self.queues.get(queue).map(|queue| queue.order.iter().map(|rank| rank.join).collect()).unwrap_or_default()
    }

    /// Why each agent of the place could be offered this wait now (`None`), or why not; the one who would be
    /// offered it first stands first, the skipped follow by id. Empty when the wait is over.
    #[must_use]
    pub fn explain(&self, join: JoinId) -> Vec<(AgentId, Option<SkipReason>)> {
        self.waits.get(&join).map(|wait| self.explain_wait(wait)).unwrap_or_default()
    }

    /// The same for a caller who has not joined.
    #[must_use]
    pub fn explain_wants(&self, now: Now, join: JoinId, wants: &Wants) -> Vec<(AgentId, Option<SkipReason>)> {
        let step = self.queues.get(&wants.queue).map(|queue| queue.rule.age_step).unwrap_or_default();
        self.explain_wait(&Wait {
            wants: Box::new(wants.clone()),
            needs: self.numbers.needs(&wants.needs, false),
            rank: WaitRank::of(join, wants, step),
            entered: now.mono,
            max_at: None,
            relax_at: None,
            overdue: false,
            refused: BTreeMap::new(),
            paused_until: None,
            offers: BTreeSet::new(),
            told: None,
            armed: None,
        })
    }

    fn explain_wait(&self, wait: &Wait) -> Vec<(AgentId, Option<SkipReason>)> {
        let Some(queue) = self.queues.get(&wait.wants.queue) else { return Vec::new() };
        let strategy = queue.rule.strategy;
        let mut fitting = Vec::new();
        let mut skipped = Vec::new();
        for (id, agent) in self.agents.iter().filter(|(_, agent)| agent.entry.tenant == wait.wants.queue.tenant) {
            match (skip_reason(id, agent, wait), agent.skills.fit(&wait.needs, strategy)) {
                (None, Some(fit)) => fitting.push((fit, agent.turn(id, strategy))),
                (None, None) => skipped.push((id.clone(), Some(SkipReason::Skill))),
                (reason, _) => skipped.push((id.clone(), reason)),
            }
        }
        fitting.sort_by(|(fit, turn), (other_fit, other)| {
            AgentRank::new(*fit, turn).cmp(&AgentRank::new(*other_fit, other))
        });
        fitting.into_iter().map(|(_, turn)| (turn.agent, None)).chain(skipped).collect()
    }
}

fn skip_reason(id: &AgentId, agent: &Agent, wait: &Wait) -> Option<SkipReason> {
    if !agent.entry.queues.contains(&wait.wants.queue) {
        return Some(SkipReason::OtherQueue);
    }
    if let Some(reason) = agent.blocked() {
        return Some(reason);
    }
    if !wait.spares(id) {
        return None;
    }
    let refused = wait.refused.contains_key(id);
    Some(if refused { SkipReason::RefusedThis } else { SkipReason::Avoided })
}
