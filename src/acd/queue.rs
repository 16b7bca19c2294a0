//! One queue: who waits in it, who stands idle for it, and one wait.
//!
//! Two indices make a decision cheap: idle agents grouped by equal skills, each group in the order of turns; and
//! callers who still want an agent grouped by equal needs, each group in the order of ranks. A choice looks at the
//! first of each group only. Deliberately absent: agents' states ([`super::agent`]), offers ([`super::offer`]).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::acd::directory::QueueRule;
use crate::acd::estimate::MeanHandling;
use crate::acd::rank::{AgentRank, Needs, Skills, Turn, WaitRank};
use crate::acd::words::{Position, Wants};
use crate::base::id::{AgentId, JoinId, OfferId};
use crate::base::now::{Mono, earliest};

/// Which deadline of a wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum WaitTimer {
    /// The longest allowed wait is over.
    MaxWait,
    /// Required skills become preferred.
    Relax,
    /// An agent who refused may be offered this call again.
    Forgive,
    /// Offers may be made again.
    Resume,
}

/// One caller in one queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wait {
    /// What the call asked for.
    pub wants: Box<Wants>,
    /// The needs, numbered, as they count now.
    pub needs: Needs,
    /// The place in the global order.
    pub rank: WaitRank,
    /// When this queue was joined.
    pub entered: Mono,
    /// The end of the longest allowed wait.
    pub max_at: Option<Mono>,
    /// When required skills become preferred.
    pub relax_at: Option<Mono>,
    /// Whether the longest wait is over while an offer still runs; then that offer is the last.
    pub overdue: bool,
    /// Agents who refused this call or let it ring out, and until when they are spared.
    pub refused: BTreeMap<AgentId, Mono>,
    /// Its call withdrew an offer; nothing is offered until then.
    pub paused_until: Option<Mono>,
    /// Offers that run.
    pub offers: BTreeSet<OfferId>,
    /// The place told last.
    pub told: Option<Position>,
    /// The deadline the index has.
    pub armed: Option<(Mono, WaitTimer)>,
}

impl Wait {
    /// Whether this agent must not be offered this call now; the part of the choice that belongs to the pair.
    #[must_use]
    pub fn spares(&self, agent: &AgentId) -> bool {
        self.refused.contains_key(agent) || self.wants.avoid.contains(agent)
    }

    /// The earliest deadline.
    #[must_use]
    pub fn deadline(&self) -> Option<(Mono, WaitTimer)> {
        let forgive = self.refused.values().min().copied();
        earliest([
            self.max_at.map(|at| (at, WaitTimer::MaxWait)),
            self.relax_at.map(|at| (at, WaitTimer::Relax)),
            forgive.map(|at| (at, WaitTimer::Forgive)),
            self.paused_until.map(|at| (at, WaitTimer::Resume)),
        ])
    }
}

/// One queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Queue {
    /// The rules.
    pub rule: Arc<QueueRule>,
    /// No longer configured; lives until it is empty.
    pub closing: bool,
    /// Everybody who waits, also those whose offer runs.
    pub order: BTreeSet<WaitRank>,
    /// Those who want (more) agents, by needs.
    pub hungry: BTreeMap<Needs, BTreeSet<WaitRank>>,
    /// Free agents, by skills.
    pub idle: BTreeMap<Skills, BTreeSet<Turn>>,
    /// Agents not signed out.
    pub signed_in: u32,
    /// Agents ready and reachable, busy or not.
    pub on: u32,
    /// The agent kept ready although he let an offer ring out; the alarm stands.
    pub kept: Option<AgentId>,
    /// How long calls take.
    pub mean: MeanHandling,
    /// When positions are told next; set while anybody waits.
    pub tell_at: Option<Mono>,
}

impl Queue {
    /// An empty queue.
    #[must_use]
    pub fn new(rule: Arc<QueueRule>) -> Self {
        Self {
            rule,
            closing: false,
            order: BTreeSet::new(),
            hungry: BTreeMap::new(),
            idle: BTreeMap::new(),
            signed_in: 0,
            on: 0,
            kept: None,
            mean: MeanHandling::default(),
            tell_at: None,
        }
    }

    /// The best free agent for a wait.
    #[must_use]
    pub fn pick_agent(&self, wait: &Wait) -> Option<AgentId> {
        let mut best: Option<AgentRank<'_>> = None;
        for (skills, turns) in &self.idle {
            let Some(fit) = skills.fit(&wait.needs, self.rule.strategy) else { continue };
            for turn in turns {
                let candidate = AgentRank::new(fit, turn);
                if best.is_some_and(|best| best <= candidate) {
                    break;
                }
                if !wait.spares(&turn.agent) {
                    best = Some(candidate);
                    break;
                }
            }
        }
        best.map(|best| best.agent().clone())
    }

    /// The first caller this agent could be offered, if before `bound`.
    #[must_use]
    pub fn pick_wait(
        &self,
        agent: &AgentId,
        skills: &Skills,
        bound: Option<WaitRank>,
        waits: &BTreeMap<JoinId, Wait>,
    ) -> Option<WaitRank> {
        let mut best = bound;
        for (needs, ranks) in &self.hungry {
            if best.is_some_and(|best| ranks.first().is_none_or(|first| best <= *first)) {
                continue;
            }
            if skills.fit(needs, self.rule.strategy).is_none() {
                continue;
            }
            for rank in ranks {
                if best.is_some_and(|best| best <= *rank) {
                    break;
                }
                if waits.get(&rank.join).is_some_and(|wait| !wait.spares(agent)) {
                    best = Some(*rank);
                    break;
                }
            }
        }
        best
    }

    /// How many go before this rank, counted from the nearer end.
    #[must_use]
    pub fn ahead(&self, rank: &WaitRank) -> u32 {
        let mut front = self.order.range(..rank);
        let mut back = self.order.range(rank..);
        let mut steps = 0_usize;
        let ahead = loop {
            if front.next().is_none() {
                break steps;
            }
            if back.next().is_none() {
                break self.order.len().saturating_sub(steps);
            }
            steps += 1;
        };
        u32::try_from(ahead).unwrap_or(u32::MAX)
    }

    /// Puts a wait among those who want agents, or takes it out.
    pub fn set_hungry(&mut self, wait: &Wait, hungry: bool) {
        if hungry {
            self.hungry.entry(wait.needs.clone()).or_default().insert(wait.rank);
        } else if let Some(ranks) = self.hungry.get_mut(&wait.needs) {
            ranks.remove(&wait.rank);
            if ranks.is_empty() {
                self.hungry.remove(&wait.needs);
            }
        }
    }

    /// Whether nothing keeps a removed queue alive.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.closing && self.order.is_empty()
    }

    /// Stands an agent among the idle.
    pub fn stand(&mut self, skills: &Skills, turn: Turn) {
        self.idle.entry(skills.clone()).or_default().insert(turn);
    }

    /// Takes an agent from among the idle.
    pub fn unstand(&mut self, skills: &Skills, turn: &Turn) {
        if let Some(turns) = self.idle.get_mut(skills) {
            turns.remove(turn);
            if turns.is_empty() {
                self.idle.remove(skills);
            }
        }
    }
}
