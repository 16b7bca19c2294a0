//! Who goes first: the order of waiting callers, and the order of agents for one caller.
//!
//! Both are derived `Ord`s over plain structs, compared field by field, never a score: no weight can make a worse
//! fit win after long enough. The order of callers is *static*: a wait's place is fixed by when it began and its
//! priority, where one priority is worth one `age_step` of waiting. That is `priority + age / age_step` compared
//! exactly: it ages, nobody starves (a caller can be overtaken only by those who join within `Δpriority × age_step`
//! after him), and two callers never change places while both wait.
//! Deliberately absent: whether an agent is free ([`super::agent`]).
//!
//! Limits: 65,534 skill names; a skill nobody has is one more.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::acd::directory::{AgentEntry, Strategy};
use crate::acd::words::{SkillNeed, Wants};
use crate::base::id::{AgentId, JoinId, SkillName};
use crate::base::now::Mono;

/// The least worth of one priority, so that a step of zero cannot switch priorities off.
const AGE_STEP_MIN: Duration = Duration::from_secs(1);

/// The best level there is.
const LEVEL_MAX: u8 = 10;

/// A waiting caller's place; the smallest goes first, over all queues.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WaitRank {
    /// False for callers who come back after a lost agent or a failed transfer: they go before all others.
    first_time: bool,
    /// When the caller would have joined to stand here with priority zero, in nanoseconds.
    aged_from: i128,
    joined_at: Mono,
    /// The wait.
    pub join: JoinId,
}

impl WaitRank {
    /// The place of a wait.
    #[must_use]
    pub fn of(join: JoinId, wants: &Wants, age_step: Duration) -> Self {
        let step = i128::try_from(age_step.max(AGE_STEP_MIN).as_nanos()).unwrap_or(i128::MAX >> 16);
        let aged_from = i128::from(wants.joined_at.0) - i128::from(wants.priority) * step;
        Self { first_time: !wants.head, aged_from, joined_at: wants.joined_at, join }
    }
}

/// An agent's turn among the equally skilled of one queue; does not change while he is idle.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Turn {
    /// What the strategy counts; zero where it counts nothing.
    pub tally: u64,
    /// Since when the agent has had no work.
    pub idle_since: Mono,
    /// The agent.
    pub agent: AgentId,
}

/// An agent's place for one caller; the smallest is offered the call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct AgentRank<'a> {
    fit: Fit,
    turn: &'a Turn,
}

impl<'a> AgentRank<'a> {
    /// Puts skills before turns.
    #[must_use]
    pub const fn new(fit: Fit, turn: &'a Turn) -> Self {
        Self { fit, turn }
    }

    /// The agent.
    #[must_use]
    pub const fn agent(&self) -> &'a AgentId {
        &self.turn.agent
    }
}

/// How well skills meet needs; smaller is better.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fit {
    /// Levels missing from preferred skills, summed.
    skill_gap: u32,
    /// Levels missing to the best in all skills asked for; zero unless the strategy looks at it.
    skill_lack: u32,
}

/// A skill's number within one directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct SkillNo(u16);

/// No agent has this skill.
const NOBODYS: SkillNo = SkillNo(u16::MAX);

/// The numbers of the skills of one directory.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SkillNumbers(BTreeMap<SkillName, SkillNo>);

impl SkillNumbers {
    /// Numbers the skills of all agents.
    #[must_use]
    pub fn of<'a>(agents: impl IntoIterator<Item = &'a AgentEntry>) -> Self {
        let mut numbers = BTreeMap::new();
        for skill in agents.into_iter().flat_map(|agent| agent.skills.keys()) {
            let next = SkillNo(u16::try_from(numbers.len()).unwrap_or(u16::MAX));
            if !numbers.contains_key(skill) {
                numbers.insert(skill.clone(), next);
            }
        }
        Self(numbers)
    }

    /// An agent's skills, numbered.
    #[must_use]
    pub fn skills(&self, entry: &AgentEntry) -> Skills {
        let mut skills: Vec<_> = entry.skills.iter().map(|(name, level)| (self.number(name), *level)).collect();
        skills.sort_unstable();
        Skills(skills.into())
    }

    /// A caller's needs, numbered; with `relaxed` the required ones are only preferred.
    #[must_use]
    pub fn needs(&self, needs: &[SkillNeed], relaxed: bool) -> Needs {
        let mut numbered: Vec<_> = needs
            .iter()
            .map(|need| (self.number(&need.skill), need.level.min(LEVEL_MAX), need.required && !relaxed))
            .collect();
        numbered.sort_unstable();
        Needs(numbered.into())
    }

    fn number(&self, skill: &SkillName) -> SkillNo {
        self.0.get(skill).copied().unwrap_or(NOBODYS)
    }
}

/// What an agent can do; agents with equal skills are one group of the idle index.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Skills(Arc<[(SkillNo, u8)]>);

/// What a caller needs; waits with equal needs are one group of the waiting index.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Needs(Arc<[(SkillNo, u8, bool)]>);

impl Skills {
    /// How well these skills meet the needs; `None` when a required one is missing or too low.
    #[must_use]
    pub fn fit(&self, needs: &Needs, strategy: Strategy) -> Option<Fit> {
        let by_level = matches!(strategy, Strategy::BestSkill);
        let mut fit = Fit::default();
        for (skill, level, required) in needs.0.iter() {
            let has = self.level(*skill);
            let missing = level.saturating_sub(has);
            if *required && (missing > 0 || has == 0) {
                return None;
            }
            fit.skill_gap += u32::from(missing);
            if by_level {
                fit.skill_lack += u32::from(LEVEL_MAX.saturating_sub(has));
            }
        }
        Some(fit)
    }

    fn level(&self, skill: SkillNo) -> u8 {
        if skill == NOBODYS {
            return 0;
        }
        self.0.iter().find(|(number, _)| *number == skill).map_or(0, |(_, level)| *level)
    }
}
