//! What happens to agents: states as people see them, and offers made and ended.
//!
//! The ACD emits these; statistics, the console and supervisors' views are folds over them. Deliberately absent:
//! whatever belongs to a call ([`super::call`]), names of persons, numbers of citizens.
//!
//! | state shown | when |
//! |---|---|
//! | `logged_out` | signed out and no line in use |
//! | `talking` `held` `ringing` | what the lines do, in this order of precedence |
//! | `reserved` | offered a call, the phone has not rung yet |
//! | `unreachable` | the phone is not registered or did not respond at all |
//! | `wrap_up` | after queue work |
//! | `not_ready` | chosen, or `rna` after an unanswered offer |
//! | `ready` | otherwise |

use std::sync::Arc;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::base::id::{AgentId, JoinId, OfferId, QueueId, TenantName};
use crate::base::now::Mono;
use crate::event::call::OfferEnd;

/// One thing that happened to an agent.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct AgentEvent {
    /// The agent.
    pub agent: AgentId,
    /// The place.
    pub tenant: TenantName,
    /// When, as people read it.
    pub at: Timestamp,
    /// When, for durations.
    pub mono: Mono,
    /// What.
    pub what: AgentHappening,
}

/// The state of an agent, as shown to people.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum AgentState {
    /// 签出
    #[default]
    LoggedOut,
    /// 示闲
    Ready,
    /// 预占: offered a call, the phone does not ring yet.
    Reserved,
    /// 振铃
    Ringing,
    /// 通话
    Talking,
    /// 保持
    Held,
    /// 话后整理
    WrapUp,
    /// 示忙
    NotReady {
        /// The reason code chosen, or `rna`.
        reason: Arc<str>,
    },
    /// 失联: no registration, or no response at all.
    Unreachable,
}

impl AgentState {
    /// The word used in JSON and figures.
    #[must_use]
    pub const fn word(&self) -> &'static str {
        match self {
            Self::LoggedOut => "logged_out",
            Self::Ready => "ready",
            Self::Reserved => "reserved",
            Self::Ringing => "ringing",
            Self::Talking => "talking",
            Self::Held => "held",
            Self::WrapUp => "wrap_up",
            Self::NotReady { .. } => "not_ready",
            Self::Unreachable => "unreachable",
        }
    }
}

/// What may happen to an agent.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum AgentHappening {
    /// The state shown changed; one event per step of the ACD, from what it was before to what it is after.
    State {
        /// Before.
        from: AgentState,
        /// After.
        to: AgentState,
    },
    /// The agent was reserved.
    Offered {
        /// The reservation.
        offer: OfferId,
        /// The wait it serves.
        join: JoinId,
        /// The queue; absent for a call to this very agent.
        queue: Option<QueueId>,
    },
    /// The reservation ended.
    OfferEnded {
        /// The reservation.
        offer: OfferId,
        /// The wait it served.
        join: JoinId,
        /// How.
        end: OfferEnd,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_is_written_with_its_word() {
        let state = AgentState::NotReady { reason: Arc::from("rest") };
        let json = serde_json::to_string(&state).unwrap();
        assert_eq!(json, r#"{"state":"not_ready","reason":"rest"}"#);
        assert_eq!(serde_json::from_str::<AgentState>(&json).unwrap(), state);
        assert_eq!(state.word(), "not_ready");
    }
}
