//! Why a call or a leg ended: one enum, and the one table between it, SIP statuses and Q.850 causes.
//!
//! Nothing else in the engine maps a status to a reason. Sources: RFC 3398 §7.2.6.1 and §8.2.6.1 for the mapping,
//! RFC 3326 for the Reason header. Deliberately absent: wording for people.

use serde::{Deserialize, Serialize};

/// Who ended a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EndedBy {
    /// The citizen hung up or cancelled.
    Caller,
    /// The agent hung up.
    Agent,
    /// A department, sub-centre, emergency desk or other far party hung up.
    Remote,
    /// A supervisor or operator ended it through the API.
    Operator,
    /// The engine ended it (rejected, dissuaded, drained, faulted).
    Engine,
}

/// Why a call or leg ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EndReason {
    /// Hung up in the ordinary way.
    Normal,
    /// The caller gave up before anybody answered.
    Abandoned,
    /// Busy.
    Busy,
    /// Rang and was not answered.
    NoAnswer,
    /// Declined.
    Declined,
    /// The number is not in the plan, or not opened.
    UnknownNumber,
    /// The plan refuses the call.
    RejectedByPlan,
    /// No common codec.
    NoCodec,
    /// The far end was not reachable (no response, transport failure, 480, 503).
    Unreachable,
    /// A far end answered with this final status that no other reason names.
    Failed(u16),
    /// No route is left.
    NoRoute,
    /// A routing loop was stopped.
    Loop,
    /// Over a cap.
    Overload,
    /// No media ports, or the media worker was overloaded.
    MediaOverload,
    /// A dialog died: no ACK, session timer, 481 in the dialog, or RTP gone for good.
    LegLost,
    /// Answered elsewhere (the loser of a ring-all, or a revoked offer).
    AnsweredElsewhere,
    /// Replaced or transferred away; the call goes on without this leg.
    Transferred,
    /// The engine is shutting down.
    Draining,
    /// A fault of ours.
    Internal,
}

impl EndReason {
    /// The reason behind a final SIP status (RFC 3261 §21) of a leg we called.
    #[must_use]
    pub const fn of_status(status: u16) -> Self {
        match status {
            200..=299 => Self::Normal,
            404 | 410 | 484 | 604 => Self::UnknownNumber,
            408 | 480 => Self::NoAnswer,
            482 | 483 => Self::Loop,
            486 | 600 => Self::Busy,
            487 => Self::Abandoned,
            488 | 606 | 415 => Self::NoCodec,
            502..=504 => Self::Unreachable,
            603 => Self::Declined,
            other => Self::Failed(other),
        }
    }

    /// The final status we answer an unanswered leg with.
    #[must_use]
    pub const fn status(self) -> u16 {
        match self {
            Self::Normal | Self::Transferred => 480,
            Self::Abandoned | Self::AnsweredElsewhere => 487,
            Self::Busy => 486,
            Self::NoAnswer | Self::LegLost => 480,
            Self::Declined => 603,
            Self::UnknownNumber => 404,
            Self::RejectedByPlan => 403,
            Self::NoCodec => 488,
            Self::Unreachable | Self::NoRoute | Self::Overload | Self::MediaOverload | Self::Draining => 503,
            Self::Failed(status) => status,
            Self::Loop => 482,
            Self::Internal => 500,
        }
    }

    /// The reason behind the Q.850 cause with which a peer hung up (RFC 3326; RFC 3398 §7.2.4.1 for what causes mean);
    /// one that says nothing of its own is an ordinary end.
    #[must_use]
    pub const fn of_cause(cause: u8) -> Self {
        match cause {
            1 | 22 | 28 => Self::UnknownNumber,
            2 | 3 => Self::NoRoute,
            17 => Self::Busy,
            18 | 20 | 27 | 38 | 41 => Self::Unreachable,
            19 => Self::NoAnswer,
            21 | 55 | 57 => Self::Declined,
            25 => Self::Loop,
            26 => Self::AnsweredElsewhere,
            34 | 42 | 44 | 47 => Self::Overload,
            65 | 70 | 79 | 88 => Self::NoCodec,
            102 => Self::LegLost,
            _ => Self::Normal,
        }
    }

    /// The Q.850 cause for a Reason header and the call record.
    #[must_use]
    pub const fn q850(self) -> u8 {
        match self {
            Self::Normal | Self::Abandoned | Self::Transferred => 16,
            Self::Busy => 17,
            Self::NoAnswer => 19,
            Self::Declined | Self::RejectedByPlan => 21,
            Self::AnsweredElsewhere => 26,
            Self::UnknownNumber => 1,
            Self::NoCodec => 65,
            Self::Unreachable => 18,
            Self::NoRoute => 3,
            Self::Loop => 25,
            Self::Overload | Self::MediaOverload => 42,
            Self::LegLost => 102,
            Self::Draining => 41,
            Self::Failed(_) | Self::Internal => 127,
        }
    }

    /// The word used in tickets and JSON.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Normal => "normal",
            Self::Abandoned => "abandoned",
            Self::Busy => "busy",
            Self::NoAnswer => "no_answer",
            Self::Declined => "declined",
            Self::UnknownNumber => "unknown_number",
            Self::RejectedByPlan => "rejected_by_plan",
            Self::NoCodec => "no_codec",
            Self::Unreachable => "unreachable",
            Self::Failed(_) => "failed",
            Self::NoRoute => "no_route",
            Self::Loop => "loop",
            Self::Overload => "overload",
            Self::MediaOverload => "media_overload",
            Self::LegLost => "leg_lost",
            Self::AnsweredElsewhere => "answered_elsewhere",
            Self::Transferred => "transferred",
            Self::Draining => "draining",
            Self::Internal => "internal",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_a_far_end_sends_come_back_as_the_same_class() {
        for status in [404, 486, 480, 488, 503, 603, 482] {
            assert_eq!(EndReason::of_status(status).status(), status);
        }
        assert_eq!(EndReason::of_status(599).status(), 599);
    }

    #[test]
    fn causes_a_peer_hangs_up_with_come_back_as_the_same_cause() {
        for cause in [1, 3, 16, 17, 18, 19, 21, 25, 26, 42, 65, 102] {
            assert_eq!(EndReason::of_cause(cause).q850(), cause);
        }
        for cause in [0, 31, 111, 127, 255] {
            assert_eq!(EndReason::of_cause(cause), EndReason::Normal);
        }
    }
}
