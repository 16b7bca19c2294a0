//! Walking on through a call's plan when a step has ended.
//!
//! | step in hand | outcome | next |
//! |---|---|---|
//! | announce | any | the next step, else finished |
//! | queue, dial | done | finished: the call is with somebody |
//! | queue, dial | anything else | the next step that applies at this hour, else the final status |
//! | reject, release | any | the same again: a call ends once, however often it asks |
//!
//! Deliberately absent: deciding where a call begins; that is `route`.

use jiff::Timestamp;

use crate::base::calendar::china;
use crate::plan::model::{Plan, Tenant};
use crate::plan::step::{Cursor, Outcome, OverflowReason, Step, When};

impl Plan {
    /// The next step after the one in hand ended this way; opening hours are those of `wall`.
    #[must_use]
    pub fn advance(&self, at: &mut Cursor, outcome: Outcome, wall: Timestamp) -> Step {
        let tenant = self.tenants.get(&at.tenant);
        match (at.current(), outcome) {
            (Some(step @ (Step::Reject { .. } | Step::Release)), _) => return step.clone(),
            (Some(Step::Queue(_) | Step::Dial(_)), Outcome::Done) => {
                at.at = at.steps.len();
                return Step::Finished;
            }
            (Some(_) | None, _) => {}
        }
        let announced = matches!(at.current(), Some(Step::Announce { .. }));
        at.at = at.at.saturating_add(1).min(at.steps.len());
        at.skip_closed(tenant.map(AsRef::as_ref), wall);
        match at.current() {
            Some(step) => step.clone(),
            None if announced => Step::Finished,
            None => final_answer(outcome),
        }
    }
}

impl Cursor {
    /// Moves past steps that do not apply at this hour.
    pub(super) fn skip_closed(&mut self, tenant: Option<&Tenant>, wall: Timestamp) {
        while self.steps.get(self.at).is_some_and(|planned| !applies(planned.when, tenant, wall)) {
            self.at += 1;
        }
    }
}

fn applies(when: When, tenant: Option<&Tenant>, wall: Timestamp) -> bool {
    let open = || tenant.is_some_and(|tenant| tenant.work_hours.open_at(&tenant.calendar, china(wall)));
    match when {
        When::Always => true,
        When::WorkHours => open(),
        When::OffHours => !open(),
    }
}

/// What a caller gets when nothing is left: what came back, as received, with the nearest Q.850 cause.
const fn final_answer(outcome: Outcome) -> Step {
    let (status, q850) = match outcome {
        Outcome::Done => return Step::Finished,
        Outcome::Busy => (486, Some(17)),
        Outcome::NoAnswer => (480, Some(19)),
        Outcome::Failed { status } => (status, None),
        Outcome::Overflow(OverflowReason::Full | OverflowReason::NoQueue) => (480, Some(42)),
        Outcome::Overflow(OverflowReason::MaxWait) => (480, Some(19)),
    };
    Step::Reject { status, q850 }
}
