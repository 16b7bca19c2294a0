//! What the ACD is configured with: queues with their rules, agents with their skills.
//!
//! A value without behaviour: the plan is mapped to it, tests and `simulate` write it down by hand. Deliberately
//! absent: files and their faults (`plan`), and everything that changes while calls run ([`super::agent`]).

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::base::id::{AgentId, QueueId, SkillName, TenantName};
use crate::plan::model::{self, Plan};
use crate::plan::settings;

/// Most phones that ring for one caller in a queue that rings all.
const RING_ALL: u16 = 10;

/// All queues and agents, of all places.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AcdDirectory {
    /// Queues and their rules.
    pub queues: BTreeMap<QueueId, QueueRule>,
    /// Agents.
    pub agents: BTreeMap<AgentId, AgentEntry>,
}

impl AcdDirectory {
    /// Maps a plan: the queues of all its places, all its agents.
    #[must_use]
    pub fn from_plan(plan: &Plan) -> Self {
        let queues = plan.tenants.values().flat_map(|tenant| tenant.queues.values());
        let agents = plan.settings.agents.values();
        Self::new(
            queues.map(|queue| (queue.id.clone(), QueueRule::from_plan(queue))),
            agents.map(|agent| (agent.id.clone(), AgentEntry::from_plan(agent))),
        )
    }

    /// Puts queues and agents together.
    #[must_use]
    pub fn new(
        queues: impl IntoIterator<Item = (QueueId, QueueRule)>,
        agents: impl IntoIterator<Item = (AgentId, AgentEntry)>,
    ) -> Self {
        Self { queues: queues.into_iter().collect(), agents: agents.into_iter().collect() }
    }
}

/// How one queue behaves. The defaults are `contract.md` §2's.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct QueueRule {
    /// How long an agent is rung.
    pub ring: Duration,
    /// Wrap-up after a talk; zero = none. The agent may end it early.
    pub wrap_up: Duration,
    /// Most callers waiting at once; callers who come back (`head`) are let in beyond it.
    pub size: u32,
    /// Longest wait, counted from joining this queue; `None` = no bound.
    pub max_wait: Option<Duration>,
    /// Offers an agent may let ring out in a row before he goes not ready; 0 = any number.
    pub ring_no_answer: u8,
    /// After how long an agent who went not ready that way returns by himself.
    pub ring_no_answer_rest: Duration,
    /// One more priority for each this long a caller has waited; at least one second.
    pub age_step: Duration,
    /// After how long in this queue required skills count as preferred; `None` = never.
    pub skill_relax: Option<Duration>,
    /// What to do while nobody is signed in.
    pub no_agent: NoAgentPolicy,
    /// Which free agent is offered a call.
    pub strategy: Strategy,
}

impl QueueRule {
    /// Maps a queue of a plan; what a plan does not say yet is as by default.
    #[must_use]
    pub fn from_plan(queue: &model::Queue) -> Self {
        Self {
            ring: queue.ring,
            wrap_up: queue.wrap_up,
            size: queue.size,
            max_wait: queue.max_wait,
            ring_no_answer: queue.ring_no_answer,
            ring_no_answer_rest: queue.ring_no_answer_rest,
            age_step: queue.age_step,
            skill_relax: queue.skill_relax,
            no_agent: NoAgentPolicy::default(),
            strategy: match queue.strategy {
                model::Strategy::LongestIdle => Strategy::LongestIdle,
                model::Strategy::BestSkill => Strategy::BestSkill,
                model::Strategy::Ordered => Strategy::Ordered,
                model::Strategy::RingAll => Strategy::RingAll { cap: RING_ALL },
            },
        }
    }
}

impl Default for QueueRule {
    fn default() -> Self {
        Self {
            ring: Duration::from_secs(20),
            wrap_up: Duration::from_secs(10),
            size: 1_000,
            max_wait: None,
            ring_no_answer: 1,
            ring_no_answer_rest: Duration::from_secs(30),
            age_step: Duration::from_secs(60),
            skill_relax: None,
            no_agent: NoAgentPolicy::default(),
            strategy: Strategy::default(),
        }
    }
}

/// What becomes of callers while no agent of the queue is signed in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NoAgentPolicy {
    /// Callers join and wait.
    #[default]
    Join,
    /// New callers overflow, those already waiting stay.
    Stay,
    /// New callers overflow, and those waiting overflow when the last agent signs out.
    Leave,
}

/// Which of the free, suitable agents is offered a call. In all of them the smallest shortfall of preferred skills
/// goes first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Strategy {
    /// Who has been idle longest.
    #[default]
    LongestIdle,
    /// Who has the highest levels of the skills asked for, then longest idle.
    BestSkill,
    /// Who took the fewest queue calls since signing in, then longest idle.
    FewestCalls,
    /// Whose last offer lies farthest back.
    RoundRobin,
    /// Who was busy for the least share of the time since signing in, as it stood when he became free.
    LeastOccupied,
    /// Always in the order of agent ids.
    Ordered,
    /// Up to `cap` agents at once, longest idle first; the first who answers wins.
    RingAll {
        /// Most phones ringing for one wait; at least one.
        cap: u16,
    },
}

impl Strategy {
    /// How many agents may ring for one wait at once.
    #[must_use]
    pub const fn width(self) -> usize {
        match self {
            Self::RingAll { cap: 0 } => 1,
            Self::RingAll { cap } => cap as usize,
            Self::LongestIdle
            | Self::BestSkill
            | Self::FewestCalls
            | Self::RoundRobin
            | Self::LeastOccupied
            | Self::Ordered => 1,
        }
    }
}

/// One agent, as configured.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct AgentEntry {
    /// The place.
    pub tenant: TenantName,
    /// Queues served, all of them in one global order of callers.
    pub queues: BTreeSet<QueueId>,
    /// Skills with level 1–10, 10 the best.
    pub skills: BTreeMap<SkillName, u8>,
    /// Whether the seat's role takes calls at all; others are never offered one.
    pub takes_calls: bool,
    /// Overrides the queue's wrap-up.
    pub wrap_up: Option<Duration>,
    /// Whether the phone's registration takes an agent who chose nothing yet from signed-out to ready.
    pub sign_in_on_register: bool,
}

impl AgentEntry {
    /// Maps an agent of a plan.
    #[must_use]
    pub fn from_plan(agent: &settings::Agent) -> Self {
        Self {
            tenant: agent.tenant.clone(),
            queues: agent.queues.iter().cloned().collect(),
            skills: agent.skills.clone(),
            takes_calls: agent.role.takes_calls(),
            wrap_up: agent.wrap_up,
            sign_in_on_register: agent.sign_in_on_register,
        }
    }

    /// An agent of one place who serves these queues, has no skills and signs in by registering.
    #[must_use]
    pub fn new(tenant: TenantName, queues: impl IntoIterator<Item = QueueId>) -> Self {
        Self {
            tenant,
            queues: queues.into_iter().collect(),
            skills: BTreeMap::new(),
            takes_calls: true,
            wrap_up: None,
            sign_in_on_register: true,
        }
    }
}
