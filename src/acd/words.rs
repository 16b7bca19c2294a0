//! What calls, the switch and operators tell the ACD, and what it answers.
//!
//! Everything is keyed by [`JoinId`] (one wait) and [`OfferId`] (one reservation of one agent for one wait); an
//! answer about an id that is no longer current is dropped and counted, so no order of delivery can give an agent two
//! offers or a wait two winners. Deliberately absent: SIP, legs other than as names, ranking (`acd/rank.rs`).

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::base::id::{AgentId, CallId, JoinId, OfferId, QueueId, SkillName};
use crate::base::now::Mono;
use crate::event::call::OverflowCause;
use crate::rtp::command::MediaLeg;

/// A skill a call needs.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct SkillNeed {
    /// The skill.
    pub skill: SkillName,
    /// The least level, 1–10; 10 is best.
    pub level: u8,
    /// Required, or only preferred.
    pub required: bool,
}

/// What a waiting call wants.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Wants {
    /// The queue.
    pub queue: QueueId,
    /// Skills, all of them.
    pub needs: Vec<SkillNeed>,
    /// Higher is sooner; ageing adds to it in time.
    pub priority: u8,
    /// Since when the caller waits; kept over overflow and failed transfers.
    pub joined_at: Mono,
    /// Ahead of everybody of the same priority (a caller who comes back after a lost agent or a failed transfer).
    pub head: bool,
    /// Agents not to be offered again (the transferor of a failed transfer, one who just refused).
    pub avoid: Vec<AgentId>,
    /// The legacy number dialled, for figures.
    pub hotline: Arc<str>,
}

/// How an offer ended, as the call saw it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum OfferOutcome {
    /// The phone rings (180): alive, not answered yet.
    Ringing,
    /// Answered; this agent has the call. The ACD confirms or revokes.
    Answered,
    /// The agent refused (486, 603, 480 after ringing).
    Rejected,
    /// Rang out.
    NoAnswer,
    /// No response at all, no binding, or a transport failure.
    Unreachable,
    /// The call no longer wants it (caller left, other winner); the agent did nothing wrong.
    Withdrawn,
}

/// What an agent's line does, reported by calls for every leg of an agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LineState {
    /// The leg is gone.
    Idle,
    /// The leg rings or is being set up.
    Ringing,
    /// In talk.
    Talking,
    /// The agent holds the other side.
    Held,
}

/// Why a line went idle; decides whether wrap-up follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum LineCause {
    /// The leg belongs to a queue call of this wait's queue; wrap-up follows a talk.
    Queue,
    /// The agent's own dialling, a consult, agent to agent: no wrap-up of its own.
    Own,
}

/// From a call to the ACD.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum QueueRequest {
    /// Begin to wait.
    Join(JoinId, Box<Wants>),
    /// Stop waiting (caller left, or served otherwise). Ends any offer of this wait.
    Leave(JoinId),
    /// What became of an offer.
    Outcome(OfferId, OfferOutcome),
    /// Reserve this very agent (consult, transfer to an agent). Answered by `Reserved` or `Unavailable`.
    Reserve(JoinId, AgentId),
    /// Reserve this very agent for a colleague's call, whatever he chose. Answered by `Reserved`, `Unavailable` when his
    /// line is in use or kept for a caller, or `Absent`.
    Summon(JoinId, AgentId),
    /// What an agent's leg does now.
    Line {
        /// The agent.
        agent: AgentId,
        /// The leg.
        leg: MediaLeg,
        /// What it does.
        state: LineState,
        /// Whether queue work or own.
        cause: LineCause,
    },
}

/// What an agent chose (the person's axis).
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum DeskState {
    /// 签出
    #[default]
    SignedOut,
    /// 示闲
    Ready,
    /// 示忙
    NotReady {
        /// A reason code.
        reason: Arc<str>,
    },
}

/// A person's wish.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum DeskCommand {
    /// Choose a state.
    Choose(DeskState),
    /// End wrap-up now.
    EndWrapUp,
    /// Extend wrap-up once.
    ExtendWrapUp,
}

/// Into the ACD.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AcdInput {
    /// From a call.
    Call(CallId, QueueRequest),
    /// A call's task is gone; whatever it still had here ends.
    CallGone(CallId),
    /// Whether the agent's phone can be reached, from the registrations.
    Reachable(AgentId, bool),
    /// From the agent (star code, API) or a supervisor.
    Desk(AgentId, DeskCommand),
    /// A deadline came.
    Deadline,
}

/// A place in a queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Position {
    /// How many are ahead; zero at the front.
    pub ahead: u32,
    /// Estimated wait, when there is one.
    pub ewt: Option<Duration>,
    /// Whether any agent of the queue could take the call now or soon.
    pub agents_on: u32,
}

/// From the ACD to one call.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum AcdVerdict {
    /// The wait has begun.
    Queued(JoinId, Position),
    /// Ring this agent for this wait.
    Offer {
        /// The wait.
        join: JoinId,
        /// The reservation.
        offer: OfferId,
        /// The agent.
        agent: AgentId,
        /// For how long.
        ring: Duration,
    },
    /// Stop that offer; somebody else won or the agent may no longer be rung.
    Revoke {
        /// The wait.
        join: JoinId,
        /// The reservation.
        offer: OfferId,
    },
    /// The answer counts: this offer won the wait, the wait is over.
    Won {
        /// The wait.
        join: JoinId,
        /// The reservation.
        offer: OfferId,
    },
    /// The place in the queue changed.
    Progress(JoinId, Position),
    /// The wait is over without an agent; the plan decides what next.
    Overflow(JoinId, OverflowCause),
    /// The agent asked for by `Reserve` is held for this call.
    Reserved {
        /// The wait named in the request.
        join: JoinId,
        /// The reservation.
        offer: OfferId,
        /// The agent.
        agent: AgentId,
        /// For how long to ring.
        ring: Duration,
    },
    /// The agent asked for is not free.
    Unavailable(JoinId, AgentId),
    /// The agent asked for by `Summon` has no phone that can be reached.
    Absent(JoinId, AgentId),
}
