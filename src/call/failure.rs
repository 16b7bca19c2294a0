//! Why somebody called did not answer, and what that means: to the ACD, to the plan, to the next target, to the caller.
//!
//! Deliberately absent: trying again (`attempt`).

use serde::{Deserialize, Serialize};

use crate::acd::words::OfferOutcome;
use crate::event::call::OfferEnd;
use crate::event::reason::EndReason;
use crate::plan::step::Outcome;

/// Why a target did not answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Failure {
    /// Its final status; 408 when there was none.
    pub status: u16,
    /// Whether it ever responded.
    pub responded: bool,
    /// Whether it rang.
    pub rang: bool,
}

impl Failure {
    /// No way to it at all.
    pub(super) const NOWHERE: Self = Self { status: 503, responded: false, rang: false };

    /// What it means to the ACD (`contract.md` §4: no response at all = unreachable; rang and unanswered = no answer).
    pub(super) const fn outcome(self) -> OfferOutcome {
        match self.status {
            _ if !self.responded => OfferOutcome::Unreachable,
            408 if self.rang => OfferOutcome::NoAnswer,
            408 | 404 | 410 | 430 | 500..=599 => OfferOutcome::Unreachable,
            _ => OfferOutcome::Rejected,
        }
    }

    /// The status a caller gets for it. A 3xx not followed and a challenge not met are ours to bear: passed on, they
    /// would send the caller's phone to an address of the far end's choosing, or have it prove itself to us.
    pub(super) const fn answer(self) -> u16 {
        match self.status {
            300..=399 => 480,
            401 | 407 => 503,
            408 if !self.responded => 503,
            status => status,
        }
    }

    /// What it means to the plan.
    pub(super) const fn step(self) -> Outcome {
        match self.status {
            486 | 600 => Outcome::Busy,
            408 | 480 if self.responded => Outcome::NoAnswer,
            408 => Outcome::Failed { status: 503 },
            _ => Outcome::Failed { status: self.answer() },
        }
    }

    pub(super) const fn reason(self) -> EndReason {
        if self.responded { EndReason::of_status(self.status) } else { EndReason::Unreachable }
    }

    /// Whether another host or binding of the same party may do better.
    pub(super) const fn worth_another(self, agent: bool) -> bool {
        match self.status {
            486 | 600..=699 => false,
            _ if agent => true,
            408 => !self.rang,
            500..=599 => true,
            _ => !self.responded,
        }
    }
}

pub(super) const fn offer_end(outcome: OfferOutcome) -> OfferEnd {
    match outcome {
        OfferOutcome::Ringing | OfferOutcome::Withdrawn => OfferEnd::Withdrawn,
        OfferOutcome::Answered => OfferEnd::Answered,
        OfferOutcome::Rejected => OfferEnd::Rejected,
        OfferOutcome::NoAnswer => OfferEnd::NoAnswer,
        OfferOutcome::Unreachable => OfferEnd::Unreachable,
    }
}
