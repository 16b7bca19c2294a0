//! The only way out of a call: everything pending is withdrawn, every leg ended, `Ended` and `Closed` said once.
//!
//! Deliberately absent: wrap-up, surveys and recordings, which outlive the call (`acd`, ticket fold).

use std::time::Duration;

use crate::base::now::Mono;
use crate::call::attempt::{Aim, AttemptId};
use crate::call::control::{Control, Cx};
use crate::call::leg::words::LegAction;
use crate::call::legs::{CALLER, CallLeg, Room, Stage};
use crate::call::phase::Phase;
use crate::event::call::{Happening, LegRole};
use crate::event::reason::{EndReason, EndedBy};
use crate::plan::step::DialPurpose;
use crate::rtp::command::MediaCommand;

/// When a call counts as over whatever its legs say: 64·T1 with the T1 of RFC 3261 §17.1.1.1, and 5 s.
const CLEARED_WITHIN: Duration = Duration::from_secs(37);

/// How long after its end a call may still learn something (a ticket number); its legs' last transactions take longer,
/// but nothing they say matters to anybody.
const CLOSE_AFTER: Duration = Duration::from_secs(1);

fn ending(now: Mono) -> Phase {
    Phase::Ending { close_at: Some(now + CLOSE_AFTER), until: now + CLEARED_WITHIN }
}

impl Control {
    /// Ends the call.
    pub(super) fn end(&mut self, cx: &mut Cx<'_>, by: EndedBy, reason: EndReason) {
        self.end_after(cx, by, reason, None);
    }

    /// Ends the call; `said` is the status its caller was answered with, when he left before our answer.
    pub(super) fn end_after(&mut self, cx: &mut Cx<'_>, by: EndedBy, reason: EndReason, said: Option<u16>) {
        if !self.phase.is_live() {
            return;
        }
        self.drop_emergency(cx);
        if let Phase::Dialling(dialling) = &self.phase
            && dialling.step.purpose != DialPurpose::Emergency
            && self.attempts.iter().any(|attempt| attempt.aim == Aim::Step)
        {
            let transfer = dialling.transfer;
            transfer.into_iter().for_each(|transfer| self.withdrawn(cx, transfer));
        }
        let lines = self.legs.iter().filter(|leg| leg.role == LegRole::Consult && leg.is_alive());
        for room in lines.filter_map(|line| line.room).filter(|room| *room != Room::MAIN).collect::<Vec<_>>() {
            self.withdrawn(cx, room.0);
        }
        self.phase = ending(cx.now.mono);
        for id in self.attempts.iter().map(|attempt| attempt.id).collect::<Vec<AttemptId>>() {
            self.cancel(cx, id);
        }
        let unanswered = self.legs.alive(CALLER).is_some_and(|leg| !leg.talks());
        let leg_reason = if by == EndedBy::Caller { EndReason::Normal } else { reason };
        for leg in self.legs.names(CallLeg::is_alive) {
            self.hang_up(cx, leg, leg_reason);
        }
        let caller_left = by == EndedBy::Caller && !self.served;
        if caller_left {
            let waited = cx.now.mono.since(self.origins.invited.mono);
            self.emit(cx, Happening::Abandoned { wait_ms: u64::try_from(waited.as_millis()).unwrap_or(u64::MAX) });
        }
        let sip_code = unanswered.then(|| reason.status()).or(said);
        self.book_end(cx, by, reason, sip_code);
    }

    /// Gives an unanswered caller the plan's final answer; an answered one is hung up.
    pub(super) fn reject(&mut self, cx: &mut Cx<'_>, status: u16, q850: Option<u8>) {
        let reason = EndReason::of_status(status);
        let answerable = self
            .legs
            .alive(CALLER)
            .is_some_and(|leg| !leg.talks() && !leg.waiting.contains(&LegAction::Answer) && leg.stage != Stage::Gone);
        if answerable {
            cx.act(CALLER, LegAction::Reject { status, q850, retry_after: None });
            self.close_leg(cx, CALLER, reason, Some(status));
            self.phase = ending(cx.now.mono);
            for id in self.attempts.iter().map(|attempt| attempt.id).collect::<Vec<AttemptId>>() {
                self.cancel(cx, id);
            }
            self.book_end(cx, EndedBy::Engine, reason, Some(status));
        } else {
            self.end(cx, EndedBy::Engine, reason);
        }
    }

    fn book_end(&mut self, cx: &mut Cx<'_>, by: EndedBy, reason: EndReason, sip_code: Option<u16>) {
        if !self.ended {
            self.ended = true;
            self.emit(cx, Happening::Ended { by, reason, sip_code });
        }
    }

    /// Ends the call unless that would take an emergency caller from the line.
    pub(super) fn end_unless_guarded(&mut self, cx: &mut Cx<'_>, by: EndedBy, reason: EndReason) {
        if !self.is_guarded() {
            self.end(cx, by, reason);
        }
    }

    /// Says that nothing is left, once.
    pub(super) fn close_when_empty(&mut self, cx: &mut Cx<'_>) {
        let Phase::Ending { close_at, until } = self.phase else { return };
        let over = self.legs.is_empty() || until <= cx.now.mono;
        if close_at.is_some_and(|at| over || at <= cx.now.mono) {
            self.phase = Phase::Ending { close_at: None, until };
            cx.media(MediaCommand::ReleaseCall);
            self.emit(cx, Happening::Closed);
        }
        if over {
            self.phase = Phase::Over;
        }
    }
}
