//! The validated, immutable dialplan: places with their hotlines, queues, units and emergency lines.
//!
//! Deliberately absent: TOML (`read`), routing (`route`), and the engine's own settings (`settings`), which a plan
//! carries so that one snapshot is everything a call needs.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::base::calendar::{Calendar, WorkHours};
use crate::base::hotline::{MergeMode, SeatPolicy};
use crate::base::id::{AgentId, ConfigHash, QueueId, QueueName, SkillName, TenantName, TrunkName};
use crate::base::number::AreaCode;
use crate::plan::service::ServiceClass;
use crate::plan::settings::{Agent, Settings};
use crate::plan::step::{DialTarget, When};
use crate::plan::trunk::Trunk;

/// One snapshot of configuration and dialplans.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// The hash of all texts it was made from.
    pub hash: ConfigHash,
    /// The engine's settings.
    pub settings: Arc<Settings>,
    /// Places by name.
    pub tenants: BTreeMap<TenantName, Arc<Tenant>>,
}

/// A place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tenant {
    /// Its name in files and ids.
    pub name: TenantName,
    /// Its name for people: 赤峰市.
    pub title: String,
    /// The official name of its line: 赤峰市12345政务服务便民热线.
    pub line_name: String,
    /// Its area; `None` matches only numbers without one.
    pub area: Option<AreaCode>,
    /// Hotlines by area and number, matched as a whole.
    pub hotlines: BTreeMap<HotlineKey, Arc<Hotline>>,
    /// Queues by name.
    pub queues: BTreeMap<QueueName, Arc<Queue>>,
    /// The queue of 12345 itself.
    pub main_queue: QueueName,
    /// Units by name.
    pub units: BTreeMap<String, Arc<Unit>>,
    /// Emergency lines of the place, at least the four of the base list.
    pub emergency: BTreeMap<String, Arc<EmergencyLine>>,
    /// Texts by prompt name, place first.
    pub prompts: BTreeMap<String, Prompt>,
    /// Water, power, gas, heat, bus.
    pub utilities: Vec<Utility>,
    /// Districts and counties.
    pub regions: Vec<Region>,
    /// Work calendar.
    pub calendar: Calendar,
    /// Working hours of departments.
    pub work_hours: WorkHours,
    /// Whether a caller of a number the place does not know hears so before the 404.
    pub unknown_prompt: bool,
    /// Classes of service by name, those every place has among them.
    pub classes: BTreeMap<String, Arc<ServiceClass>>,
    /// The class of agents who name none.
    pub class: Arc<str>,
    /// Trunks to the public network, in order of trial; empty = found by what the trunks are.
    pub outside: Vec<TrunkName>,
    /// Numbers a notice of the place lists as its approved hotlines; empty = no list.
    pub approved: Vec<Arc<str>>,
}

/// The key of a hotline within its place.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct HotlineKey {
    /// The area; `None` for short codes of a place that has set none.
    pub area: Option<AreaCode>,
    /// The whole number, digits.
    pub number: Arc<str>,
}

/// One dialled number and what was decided for it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Hotline {
    /// The place.
    pub tenant: TenantName,
    /// The area it belongs to.
    pub area: Option<AreaCode>,
    /// The number, digits.
    pub number: Arc<str>,
    /// The name in the merging list.
    pub name: String,
    /// The name short enough to speak.
    pub spoken_name: String,
    /// The responsible unit.
    pub unit: Option<Arc<str>>,
    /// The merge mode; `None` for 12345 itself.
    pub mode: Option<MergeMode>,
    /// What became of the seats; `None` for 12345 itself.
    pub seats: Option<SeatPolicy>,
    /// The skill its calls need.
    pub skill: Option<SkillName>,
    /// The skill level asked for, 1–10.
    pub skill_level: u8,
    /// The queue its calls wait in.
    pub queue: QueueName,
    /// Priority of its calls, 0 ordinary.
    pub priority: u8,
    /// Whether it is served here at all.
    pub status: HotlineStatus,
    /// Services that share the number; the agent picks (`domain.md` E12).
    pub services: Vec<String>,
    /// What is whispered to the agent and shown first: 环保.
    pub topic: String,
    /// Its greeting prompt, where it is not its mode's.
    pub greeting: Option<String>,
    /// A transition prompt between two moments.
    pub transition: Option<Transition>,
    /// What happens after a cut-off.
    pub cutoff: Option<Cutoff>,
    /// Another hotline whose queue, skill and greeting serve it, instead of 12345's.
    pub merged_into: Option<Arc<str>>,
    /// Where kept seats or a sub-centre are reached.
    pub seat_route: Option<SeatRoute>,
    /// Steps written out, instead of those of the mode.
    pub steps: Vec<StepRule>,
    /// Where it is written.
    pub declared: Declared,
}

/// A place in a file.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Declared {
    /// File as named on the command line or found in its directory.
    pub file: Arc<str>,
    /// Line, from 1.
    pub line: u32,
    /// Column in characters, from 1.
    pub column: u32,
}

/// Whether a number is served.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HotlineStatus {
    /// Served.
    #[default]
    Open,
    /// Never answered here, or cancelled before: prompt, then 404 (`domain.md` E05).
    NotOpened,
}

/// A transition prompt between two moments (`domain.md` E03).
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Transition {
    /// From this moment on.
    pub from: Option<Timestamp>,
    /// Until just before this moment.
    pub until: Option<Timestamp>,
    /// The prompt's name.
    pub prompt: String,
}

/// The end of a cancelled number (`domain.md` E04).
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Cutoff {
    /// From this moment on.
    pub at: Timestamp,
    /// What a caller who still reaches us gets.
    pub after: AfterCutoff,
}

/// What happens to calls after a cut-off.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AfterCutoff {
    /// Says so and routes; nobody who still reaches us is turned away.
    #[default]
    AnnounceRoute,
    /// Says so and hangs up.
    AnnounceRelease,
    /// 404 after the prompt.
    Reject,
}

/// One step as written in a file.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StepRule {
    /// Plays a prompt.
    Announce {
        /// Its name.
        prompt: String,
        /// In early media, because a refusal follows.
        early: bool,
    },
    /// Waits in a queue.
    Queue {
        /// Its name.
        name: QueueName,
        /// A skill other than the hotline's.
        skill: Option<SkillName>,
        /// The longest wait.
        max_wait: Option<Duration>,
        /// A greeting other than the mode's.
        greeting: Option<String>,
    },
    /// Rings somebody over trunks.
    Dial {
        /// In order.
        targets: Vec<DialTarget>,
        /// How long each rings.
        ring: Duration,
        /// Hours in which it is tried.
        hours: When,
        /// Played meanwhile.
        prompt: Option<String>,
    },
    /// Refuses.
    Reject {
        /// SIP status.
        status: u16,
    },
    /// Hangs up an answered call.
    Release,
}

/// Where a department's seats or a sub-centre are.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct SeatRoute {
    /// Seats that are agents of ours: their queue. Tried before the trunks.
    pub queue: Option<QueueName>,
    /// Trunks and numbers, in order.
    pub targets: Vec<DialTarget>,
    /// How long each rings, or how long the seats' queue is waited in.
    pub ring: Duration,
    /// Hours in which the seats are tried.
    pub hours: When,
    /// Whether 12345's queue takes over on failure.
    pub fall_back: bool,
}

/// How agents of a queue are chosen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Strategy {
    /// Who has been idle longest, best skill first.
    #[default]
    LongestIdle,
    /// Best skill level, then longest idle.
    BestSkill,
    /// In a fixed order of agent id.
    Ordered,
    /// Several at once, the longest idle first; the first who answers has the call.
    RingAll,
}

/// When an agent may end the greeting.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GreetingRule {
    /// An answer waits for the greeting's end.
    #[default]
    Finish,
    /// An answer cuts it.
    Cut,
}

/// A queue and its rules.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Queue {
    /// Place and name.
    pub id: QueueId,
    /// Title for people.
    pub title: String,
    /// How agents are chosen.
    pub strategy: Strategy,
    /// How long an agent is rung.
    pub ring: Duration,
    /// Wrap-up after a talk; the agent may end it early.
    pub wrap_up: Duration,
    /// Most callers waiting.
    pub size: u32,
    /// Longest wait; `None` = no bound.
    pub max_wait: Option<Duration>,
    /// Offers an agent may let ring out before he goes not ready.
    pub ring_no_answer: u8,
    /// After how long an agent who went not ready that way returns by himself.
    pub ring_no_answer_rest: Duration,
    /// One more priority for each this long a caller has waited.
    pub age_step: Duration,
    /// After how long a needed skill is waived, zero = at once: it then only decides who is first; `None` = never.
    pub skill_relax: Option<Duration>,
    /// Whether an answer waits for the greeting's end.
    pub greeting: GreetingRule,
    /// When position and estimate are first spoken.
    pub position_first: Option<Duration>,
    /// How often after that.
    pub position_every: Duration,
    /// The music clip.
    pub music: String,
    /// Whether the agent's number is spoken to both after the answer.
    pub announce_agent: bool,
    /// Where the caller goes when the queue is full or the wait too long, before the call ends.
    pub overflow: Option<QueueName>,
    /// Where it is written.
    pub declared: Declared,
}

/// A prompt's text as written, with `{variables}`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Prompt {
    /// The text.
    pub text: String,
    /// Whether the place wrote it itself (its recordings then lie under its own directory).
    pub own: bool,
    /// A single recording of the whole text, where the place has one.
    pub file: Option<String>,
}

/// A responsible unit.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Unit {
    /// Its name.
    pub name: String,
    /// What it is.
    pub kind: UnitKind,
    /// Ways to reach it, in order.
    pub contacts: Vec<Contact>,
}

/// Kinds of units (`domain.md` E18).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UnitKind {
    /// 政府部门
    #[default]
    Government,
    /// 垂直管理
    Vertical,
    /// 驻地国企
    StateEnterprise,
    /// 公共事业
    PublicUtility,
    /// 党群、人大、政协、法院、检察院、纪检监察
    Party,
    /// 群团
    MassOrganisation,
}

/// One way to reach a unit.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Contact {
    /// What it is.
    pub kind: ContactKind,
    /// The number dialled.
    pub target: DialTarget,
    /// When it is answered.
    pub hours: When,
}

/// Which of a unit's telephones.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ContactKind {
    /// 咨询电话
    #[default]
    Work,
    /// 值班电话
    Duty,
}

/// An emergency line of a place.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct EmergencyLine {
    /// 110, 119, 120, 122 or one the place adds (12395).
    pub number: String,
    /// Its name as spoken: 120急救中心.
    pub name: String,
    /// Where its calls go, in order; full strings (110, 0476110, or a dedicated trunk).
    pub routes: Vec<DialTarget>,
    /// How long each route rings.
    pub ring: Duration,
}

/// A utility's desk.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Utility {
    /// Its name.
    pub name: String,
    /// The region it serves; `None` = the whole place.
    pub region: Option<String>,
    /// Whether the call is transferred or the number is read out.
    pub way: UtilityWay,
    /// The number.
    pub number: String,
    /// The trunk for a transfer.
    pub trunk: Option<TrunkName>,
}

/// How a caller is sent to a utility.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UtilityWay {
    /// The call is transferred.
    #[default]
    Transfer,
    /// The number is read out twice.
    Announce,
}

/// A district or county of a place.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Region {
    /// Code path or name, unique.
    pub code: String,
    /// Its name.
    pub name: String,
    /// The region above it; `None` = directly under the place.
    pub parent: Option<String>,
    /// Its 热线工作站, a unit's name.
    pub work_station: Option<String>,
}

impl Plan {
    /// A place by name.
    #[must_use]
    pub fn tenant(&self, name: &TenantName) -> Option<&Arc<Tenant>> {
        self.tenants.get(name)
    }

    /// A queue by id.
    #[must_use]
    pub fn queue(&self, id: &QueueId) -> Option<&Arc<Queue>> {
        self.tenants.get(&id.tenant)?.queues.get(&id.queue)
    }

    /// All queues of all places.
    pub fn queues(&self) -> impl Iterator<Item = &Arc<Queue>> {
        self.tenants.values().flat_map(|tenant| tenant.queues.values())
    }

    /// An agent by id.
    #[must_use]
    pub fn agent(&self, id: &AgentId) -> Option<&Arc<Agent>> {
        self.settings.agents.get(id)
    }

    /// A trunk by name.
    #[must_use]
    pub fn trunk(&self, name: &TrunkName) -> Option<&Arc<Trunk>> {
        self.settings.trunks.get(name)
    }
}
