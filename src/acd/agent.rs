//! One agent: what the person chose, whether the phone can be reached, what the lines do, and what follows from it.
//!
//! The state is the product of reports and never set as a whole: [`Agent::shown`] derives the word people see and
//! [`Agent::blocked`] the reason why no call is offered; the choice and its explanation read the same function.
//! Deliberately absent: queues and their order ([`super::queue`]), and when the fields change (`desk`,
//! [`super::offer`]).
//!
//! | field | set by | cleared by |
//! |---|---|---|
//! | `lost_until` | no response at all | registration, a line in use, 30 s ([`PROBE_AFTER`]) |
//! | `rest_until` | rang out | the queue's rest time, any choice of the person |
//! | `back_off_until` | refused, or rang out without going not ready | 5 s ([`BACK_OFF`]) |
//! | `wrap` | last queue line idle after a talk | its end, early end, any choice of the person |
//! | `work` | answer confirmed, or a queue line in talk | last queue line idle, no line 10 s after the answer |

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::acd::directory::{AgentEntry, Strategy};
use crate::acd::rank::{Skills, Turn};
use crate::acd::words::{DeskState, LineCause, LineState};
use crate::base::id::{AgentId, CallId, OfferId, QueueId};
use crate::base::now::{Mono, Now, earliest};
use crate::event::agent::AgentState;
use crate::rtp::command::MediaLeg;

/// After how long an agent whose phone did not respond is tried again; a phone that stays silent costs one caller
/// at most 32 s (timer B) in this.
pub const PROBE_AFTER: Duration = Duration::from_secs(30);

/// For how long an agent who refused is not offered anything; enough to choose a state.
pub const BACK_OFF: Duration = Duration::from_secs(5);

/// After how long without any line a confirmed answer is taken for lost; a call reports lines at once.
pub const LINE_GRACE: Duration = Duration::from_secs(10);

/// The reason code of an agent who let an offer ring out.
pub const REASON_RNA: &str = "rna";

/// Why an agent is not offered a call.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(tag = "skip", rename_all = "snake_case")]
pub enum SkipReason {
    /// The seat's role takes no calls.
    TakesNoCalls,
    /// No longer configured.
    Removed,
    /// Does not serve the queue.
    OtherQueue,
    /// Signed out.
    SignedOut,
    /// Chose not to be ready.
    NotReady {
        /// The reason code.
        reason: Arc<str>,
    },
    /// The phone is not registered.
    NotRegistered,
    /// The phone did not respond; tried again later.
    NoResponse,
    /// Let an offer ring out; returns by himself.
    RangOut,
    /// Reserved for a call, maybe this one.
    Reserved,
    /// Talks, rings or holds.
    OnLine,
    /// Wrap-up.
    WrapUp,
    /// Refused a call moments ago.
    BackOff,
    /// Refused this very call a while ago, or let it ring out.
    RefusedThis,
    /// The call asked not to be offered to him.
    Avoided,
    /// A required skill is missing or too low.
    Skill,
}

/// Which deadline of an agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AgentTimer {
    /// Wrap-up ends.
    WrapUp,
    /// The rest after an unanswered offer ends.
    Rest,
    /// A silent phone is tried again.
    Probe,
    /// The back-off after a refusal ends.
    BackOff,
    /// A confirmed answer without any line is given up.
    LineGrace,
}

/// One of the agent's lines that is in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Line {
    /// What it does; never idle.
    pub state: LineState,
    /// Queue work or own.
    pub cause: LineCause,
    /// Belongs to an offer that was lost: in use until its end, but no work, also when the phone had answered.
    pub void: bool,
}

/// Queue work or a reserved call, from the confirmed answer to the last queue line's end.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Work {
    /// The call.
    pub call: CallId,
    /// The queue the caller came from, when known.
    pub queue: Option<QueueId>,
    /// Since when.
    pub since: Mono,
    /// Whether a queue line was in talk: wrap-up follows.
    pub talked: bool,
    /// Given up then, unless a line shows up.
    pub grace_until: Option<Mono>,
}

/// Wrap-up.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct WrapUp {
    /// Its end.
    pub until: Mono,
    /// Its configured length, which one extension adds again.
    pub length: Duration,
    /// Whether it was extended.
    pub extended: bool,
    /// The queue of the work.
    pub queue: Option<QueueId>,
    /// When that work began.
    pub since: Mono,
}

/// One agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Agent {
    /// As configured.
    pub entry: Arc<AgentEntry>,
    /// The skills, numbered.
    pub skills: Skills,
    /// No longer configured; kept until the last line ends.
    pub removed: bool,
    /// What the person chose.
    pub desk: DeskState,
    /// Whether a person chose it; registering changes only what nobody chose.
    pub chosen: bool,
    /// Whether a registration exists.
    pub reachable: bool,
    /// See the table above.
    pub lost_until: Option<Mono>,
    /// See the table above.
    pub rest_until: Option<Mono>,
    /// See the table above.
    pub back_off_until: Option<Mono>,
    /// See the table above.
    pub wrap: Option<WrapUp>,
    /// See the table above.
    pub work: Option<Work>,
    /// The reservation, and whether the phone rings.
    pub offer: Option<(OfferId, bool)>,
    /// Lines in use.
    pub lines: BTreeMap<MediaLeg, Line>,
    /// Offers that rang out in a row.
    pub unanswered: u8,
    /// Since when without work: end of wrap-up, choosing ready, return from rest or silence. An own call, a refused or
    /// a withdrawn offer does not move it.
    pub idle_since: Mono,
    /// When the person signed in.
    pub signed_in_at: Mono,
    /// Queue calls answered since then.
    pub calls: u64,
    /// Time spent on them.
    pub busy: Duration,
    /// Number of the last offer.
    pub last_offer: u64,
    /// What people see, and since when.
    pub shown: (AgentState, Now),
    /// Where the idle index has this agent.
    pub standing: Vec<(QueueId, Turn)>,
    /// How the queues count this agent.
    pub counted: Counted,
    /// The deadline the index has.
    pub armed: Option<(Mono, AgentTimer)>,
}

/// How an agent counts for the queues served.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Counted {
    /// Takes calls and is not signed out.
    pub signed_in: bool,
    /// Ready and reachable, busy or not: takes a call now or soon.
    pub on: bool,
}

impl Agent {
    /// An agent nobody has heard of yet: signed out, not registered.
    #[must_use]
    pub fn new(now: Now, entry: Arc<AgentEntry>, skills: Skills) -> Self {
        Self {
            entry,
            skills,
            removed: false,
            desk: DeskState::SignedOut,
            chosen: false,
            reachable: false,
            lost_until: None,
            rest_until: None,
            back_off_until: None,
            wrap: None,
            work: None,
            offer: None,
            lines: BTreeMap::new(),
            unanswered: 0,
            idle_since: now.mono,
            signed_in_at: now.mono,
            calls: 0,
            busy: Duration::ZERO,
            last_offer: 0,
            shown: (AgentState::LoggedOut, now),
            standing: Vec::new(),
            counted: Counted::default(),
            armed: None,
        }
    }

    /// Why this agent is offered nothing at all now; `None` = free.
    #[must_use]
    pub fn blocked(&self) -> Option<SkipReason> {
        if self.removed {
            return Some(SkipReason::Removed);
        }
        if !self.entry.takes_calls {
            return Some(SkipReason::TakesNoCalls);
        }
        match &self.desk {
            DeskState::SignedOut => return Some(SkipReason::SignedOut),
            DeskState::NotReady { reason } => return Some(SkipReason::NotReady { reason: Arc::clone(reason) }),
            DeskState::Ready => {}
        }
        let reasons = [
            (!self.reachable, SkipReason::NotRegistered),
            (self.lost_until.is_some(), SkipReason::NoResponse),
            (self.offer.is_some(), SkipReason::Reserved),
            (self.work.is_some() || !self.lines.is_empty(), SkipReason::OnLine),
            (self.wrap.is_some(), SkipReason::WrapUp),
            (self.rest_until.is_some(), SkipReason::RangOut),
            (self.back_off_until.is_some(), SkipReason::BackOff),
        ];
        reasons.into_iter().find_map(|(holds, reason)| holds.then_some(reason))
    }

    /// The word people see.
    #[must_use]
    pub fn shown(&self) -> AgentState {
        if let Some(state) = self.line_shown() {
            return state;
        }
        if self.removed {
            return AgentState::LoggedOut;
        }
        match (&self.desk, self.offer) {
            (_, Some((_, false))) => AgentState::Reserved,
            (DeskState::SignedOut, None) => AgentState::LoggedOut,
            _ if !self.reachable || self.lost_until.is_some() => AgentState::Unreachable,
            _ if self.wrap.is_some() => AgentState::WrapUp,
            (DeskState::NotReady { reason }, _) => AgentState::NotReady { reason: Arc::clone(reason) },
            _ if self.rest_until.is_some() => AgentState::NotReady { reason: Arc::from(REASON_RNA) },
            (DeskState::Ready | DeskState::SignedOut, _) => AgentState::Ready,
        }
    }

    /// How the queues should count this agent.
    #[must_use]
    pub fn counts(&self) -> Counted {
        let takes_calls = self.entry.takes_calls && !self.removed;
        let signed_in = takes_calls && self.desk != DeskState::SignedOut;
        let ready = takes_calls && self.desk == DeskState::Ready;
        let on = ready && self.reachable && self.lost_until.is_none() && self.rest_until.is_none();
        Counted { signed_in, on }
    }

    /// The turn in a queue of this strategy.
    #[must_use]
    pub fn turn(&self, agent: &AgentId, strategy: Strategy) -> Turn {
        let (tally, idle_since) = match strategy {
            Strategy::LongestIdle | Strategy::BestSkill | Strategy::RingAll { .. } => (0, self.idle_since),
            Strategy::FewestCalls => (self.calls, self.idle_since),
            Strategy::RoundRobin => (self.last_offer, self.idle_since),
            Strategy::LeastOccupied => (self.occupancy_permille(), self.idle_since),
            Strategy::Ordered => (0, Mono::ZERO),
        };
        Turn { tally, idle_since, agent: agent.clone() }
    }

    /// The earliest deadline.
    #[must_use]
    pub fn deadline(&self) -> Option<(Mono, AgentTimer)> {
        earliest([
            self.wrap.as_ref().map(|wrap| (wrap.until, AgentTimer::WrapUp)),
            self.rest_until.map(|at| (at, AgentTimer::Rest)),
            self.lost_until.map(|at| (at, AgentTimer::Probe)),
            self.back_off_until.map(|at| (at, AgentTimer::BackOff)),
            self.work.as_ref().and_then(|work| work.grace_until).map(|at| (at, AgentTimer::LineGrace)),
        ])
    }

    /// Whether a line serves a queue.
    #[must_use]
    pub fn has_queue_line(&self) -> bool {
        self.lines.values().any(|line| line.cause == LineCause::Queue && !line.void)
    }

    /// Whether a line belongs to this call.
    #[must_use]
    pub fn has_line_of(&self, call: CallId) -> bool {
        self.lines.keys().any(|leg| leg.call == call)
    }

    /// Notes that a queue line is in talk; a talk that follows another line of the same work belongs to it.
    pub fn work_for(&mut self, now: Now, call: CallId, queue: Option<&QueueId>) {
        let fresh = || Work { call, queue: queue.cloned(), since: now.mono, talked: true, grace_until: None };
        let work = self.work.get_or_insert_with(fresh);
        if work.talked {
            return;
        }
        if work.call == call {
            work.talked = true;
            work.queue = work.queue.take().or_else(|| queue.cloned());
        } else {
            *work = fresh();
        }
    }

    /// Whether a queue line is past ringing.
    #[must_use]
    pub fn talks_for_queue(&self) -> bool {
        let talks = |line: &Line| line.cause == LineCause::Queue && line.state != LineState::Ringing && !line.void;
        self.lines.values().any(talks)
    }

    /// Begins a shift: figures start again.
    pub fn sign_in(&mut self, now: Now) {
        self.signed_in_at = now.mono;
        self.calls = 0;
        self.busy = Duration::ZERO;
        self.unanswered = 0;
    }

    fn line_shown(&self) -> Option<AgentState> {
        let does = |state| self.lines.values().any(|line| line.state == state);
        if does(LineState::Talking) || self.work.as_ref().is_some_and(|work| work.grace_until.is_some()) {
            return Some(AgentState::Talking);
        }
        if does(LineState::Held) {
            return Some(AgentState::Held);
        }
        let rings = does(LineState::Ringing) || matches!(self.offer, Some((_, true)));
        rings.then_some(AgentState::Ringing)
    }

    fn occupancy_permille(&self) -> u64 {
        let shift = self.idle_since.since(self.signed_in_at).as_nanos().max(1);
        u64::try_from(self.busy.as_nanos().saturating_mul(1_000) / shift).unwrap_or(u64::MAX).min(1_000)
    }
}
