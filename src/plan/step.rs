//! What a call does next, and how the last thing ended: the words between the dialplan and a call.
//!
//! A [`Cursor`] is the rest of a call's plan, a list; a step that fails hands over to the next one
//! (`Plan::advance`). Deliberately absent: doing any of it; that is `call`.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::base::id::{QueueId, SkillName, TenantName, TrunkName};

/// Something spoken: the whole text, and the recordings that make it up in order.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Announcement {
    /// The prompt's name: `greeting`, `transition`, …
    pub name: String,
    /// The text as spoken.
    pub text: String,
    /// Clip names; `prompts/<tenant>/<clip>.wav`, else `prompts/<clip>.wav`.
    pub clips: Vec<Arc<str>>,
}

/// What to do next.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Step {
    /// Play to the caller, then advance with [`Outcome::Done`].
    Announce {
        /// What is played.
        prompt: Announcement,
        /// Before an answer (183), because a refusal follows; otherwise after 200.
        early: bool,
    },
    /// Wait in a queue; agents are rung from the first moment, under the greeting.
    Queue(QueueStep),
    /// Ring somebody over a trunk; the first target that answers has the call.
    Dial(DialStep),
    /// The final answer to the caller.
    Reject {
        /// SIP status.
        status: u16,
        /// Q.850 cause, where one says more.
        q850: Option<u8>,
    },
    /// Hang up an answered call (after an announcement).
    Release,
    /// The plan has nothing more: the last step ended well and the call ends in its own time.
    Finished,
}

/// A wait in a queue.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct QueueStep {
    /// Which queue.
    pub queue: QueueId,
    /// What an agent must know.
    pub skills: Vec<SkillNeed>,
    /// 0 ordinary, higher first.
    pub priority: u8,
    /// Played first, while agents are rung.
    pub greeting: Option<Announcement>,
    /// Overrides the queue's longest wait; then [`Outcome::Overflow`].
    pub max_wait: Option<Duration>,
    /// Played to the agent only, before he hears the caller.
    pub whisper: Option<Announcement>,
}

/// A skill a call needs.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct SkillNeed {
    /// The skill.
    pub skill: SkillName,
    /// The least level, 1–10.
    pub level: u8,
    /// After this long anyone in the queue will do, those who have the skill still first; zero = at once, `None` =
    /// never.
    pub relax_after: Option<Duration>,
}

/// A call out.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct DialStep {
    /// Tried in order.
    pub targets: Vec<DialTarget>,
    /// How long each rings.
    pub ring: Duration,
    /// Why it is called.
    pub purpose: DialPurpose,
    /// Who is called, as spoken and shown: the unit or the emergency line.
    pub callee: String,
    /// Played to the caller while it rings.
    pub prompt: Option<Announcement>,
}

/// One number over one trunk.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct DialTarget {
    /// The trunk (with its own ordered targets).
    pub trunk: TrunkName,
    /// The number sent, whole.
    pub number: String,
}

/// Why a trunk is dialled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DialPurpose {
    /// Passed straight through.
    Transit,
    /// A department's own seats of a 双号并行 number.
    KeptSeats,
    /// 分中心.
    SubCentre,
    /// 110, 119, 120, 122 …: no prompt, no queue, no recording notice, never ended by us.
    Emergency,
    /// A unit's contact.
    Department,
}

/// How a step ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Outcome {
    /// The announcement was played, or the called party answered and has the call.
    Done,
    /// All targets were busy.
    Busy,
    /// Nobody answered in time.
    NoAnswer,
    /// It failed otherwise, with this SIP status (503 when no target could be reached).
    Failed {
        /// SIP status.
        status: u16,
    },
    /// The queue gave the caller up.
    Overflow(OverflowReason),
}

/// Why a queue gave a caller up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OverflowReason {
    /// The queue has its most callers.
    Full,
    /// The longest wait is over.
    MaxWait,
    /// The queue is unknown to the plan in force.
    NoQueue,
}

/// The rest of a call's plan. Self-contained: a reload does not change it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Cursor {
    /// The place, for its hours.
    pub(super) tenant: TenantName,
    /// All steps, in order.
    pub(super) steps: Vec<PlannedStep>,
    /// The step in hand.
    pub(super) at: usize,
    /// When the call came; dated rules hold as of then.
    pub(super) invited: Timestamp,
}

/// A step and when it applies.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(super) struct PlannedStep {
    /// The step.
    pub(super) step: Step,
    /// Only in these hours, as of the moment it is reached.
    pub(super) when: When,
}

/// Hours in which a step applies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum When {
    /// At any hour.
    #[default]
    Always,
    /// In the place's working hours.
    WorkHours,
    /// Outside them.
    OffHours,
}

impl Cursor {
    /// A plan without steps: that of a call which began at an agent's phone.
    #[must_use]
    pub const fn empty(tenant: TenantName, invited: Timestamp) -> Self {
        Self { tenant, steps: Vec::new(), at: 0, invited }
    }

    /// When the call came.
    #[must_use]
    pub const fn invited(&self) -> Timestamp {
        self.invited
    }

    /// The step in hand.
    #[must_use]
    pub fn current(&self) -> Option<&Step> {
        self.steps.get(self.at).map(|planned| &planned.step)
    }

    /// The steps after the one in hand, which take over when it fails.
    pub fn then(&self) -> impl Iterator<Item = &Step> {
        self.steps.iter().skip(self.at + 1).map(|planned| &planned.step)
    }
}
