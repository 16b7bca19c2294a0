//! Talks: who joins them, what a far party of the plan means, and what happens when somebody leaves.
//!
//! | leaves | others are left with the caller | the caller is alone |
//! |---|---|---|
//! | caller | two or more go on; one is hung up | – |
//! | agent, by hanging up | they go on | a hand-over or third party is being fetched: stays for it; else the call ends |
//! | agent, lost or silent for 30 s | they go on | … stays for it; else the head of the queue, with the old join time |
//! | emergency desk, hung up | they go on | the head of the queue (a direct call: the call ends) |
//! | emergency desk, lost | it is called again | it is called again |
//! | department, sub-centre, third party, hung up | they go on | the call ends |
//! | … lost | they go on | the head of the queue |
//!
//! Deliberately absent: how anybody got there.

use crate::base::id::LegId;
use crate::base::now::Mono;
use crate::call::attempt::{Aim, Attempt, Callee, Way};
use crate::call::control::{Control, Cx, Gone};
use crate::call::failure::Failure;
use crate::call::leg::words::LegAction;
use crate::call::legs::{CALLER, CallLeg, PlayFor, Room};
use crate::call::phase::{Dialling, Phase, Talking};
use crate::event::call::{AttemptResult, Fallback, Happening, LegRole, TransferKind};
use crate::event::reason::{EndReason, EndedBy};
use crate::plan::step::{DialPurpose, DialStep, Outcome};
use crate::rtp::command::{PlayToken, Source};

impl Control {
    pub(super) fn enter_room(&mut self, leg: LegId, room: Room) {
        if let Some(leg) = self.legs.alive_mut(leg) {
            leg.room = Some(room);
        }
    }

    /// Rings the far party of a dial step.
    pub(super) fn dial(&mut self, cx: &mut Cx<'_>, step: DialStep) {
        let transfer = self.mint_transfer();
        let (role, kind) = match step.purpose {
            DialPurpose::Transit => (LegRole::Outside, TransferKind::Transit),
            DialPurpose::KeptSeats => (LegRole::Department, TransferKind::KeptSeats),
            DialPurpose::SubCentre => (LegRole::SubCentre, TransferKind::Subcentre),
            DialPurpose::Emergency => (LegRole::Emergency, TransferKind::Emergency),
            DialPurpose::Department => (LegRole::Department, TransferKind::Blind),
        };
        let unit = (!step.callee.is_empty()).then(|| std::sync::Arc::from(step.callee.as_str()));
        self.emit(
            cx,
            Happening::TransferStarted {
                transfer,
                transfer_kind: kind,
                leg: None,
                by: None,
                target_unit: unit.clone(),
                target_number: step.targets.first().map(|target| std::sync::Arc::from(target.number.as_str())),
            },
        );
        let ways = step.targets.iter().cloned().map(Way::Trunk).collect();
        let (ring, prompt) = (step.ring, step.prompt.clone());
        self.phase = Phase::Dialling(Box::new(Dialling { step, transfer: Some(transfer) }));
        self.park_caller(Source::RingBack);
        if let Some(prompt) = prompt {
            self.open_caller();
            self.play(cx, CALLER, PlayFor::Note, &prompt);
        }
        self.begin(cx, Aim::Step, Callee { role, unit }, ways, ring);
    }

    pub(super) fn dial_answered(&mut self, cx: &mut Cx<'_>, leg: LegId) {
        let Phase::Dialling(dialling) = &self.phase else {
            self.hang_up(cx, leg, EndReason::AnsweredElsewhere);
            return;
        };
        let transfer = dialling.transfer;
        self.phase = Phase::Talking(Talking { direct: false });
        self.answer_caller();
        if let Some(caller) = self.legs.alive_mut(CALLER) {
            caller.play = None;
        }
        self.enter_room(CALLER, Room::MAIN);
        self.enter_room(leg, Room::MAIN);
        if let Some(transfer) = transfer {
            self.emit(
                cx,
                Happening::TransferResult { transfer, result: AttemptResult::Answered, sip_code: None, fallback: None },
            );
        }
        self.emit_answered(cx, leg);
    }

    pub(super) fn dial_failed(&mut self, cx: &mut Cx<'_>, attempt: &Attempt) {
        let Phase::Dialling(dialling) = &self.phase else { return };
        let Some(transfer) = dialling.transfer else { return self.far_failed(cx, attempt) };
        let failure = attempt.failed.unwrap_or(Failure::NOWHERE);
        let back = self.cursor.then().next().map_or(Fallback::End, |step| match step {
            crate::plan::step::Step::Queue(_) => Fallback::Queue,
            crate::plan::step::Step::Dial(_) => Fallback::NextTarget,
            crate::plan::step::Step::Announce { .. } => Fallback::Announcement,
            crate::plan::step::Step::Reject { .. }
            | crate::plan::step::Step::Release
            | crate::plan::step::Step::Finished => Fallback::End,
        });
        self.emit(
            cx,
            Happening::TransferResult {
                transfer,
                result: AttemptResult::Failed(failure.reason()),
                sip_code: failure.responded.then_some(failure.status),
                fallback: Some(back),
            },
        );
        self.advance(cx, failure.step());
    }

    /// A sign of ringing of somebody being fetched.
    pub(super) fn attempt_rings(&mut self, cx: &mut Cx<'_>, aim: &Aim) {
        match aim {
            Aim::Queue | Aim::Step => self.ring_caller(),
            Aim::Emergency => {
                if matches!(self.phase, Phase::Dialling(_)) {
                    self.ring_caller();
                }
            }
            Aim::ThreeWay { .. } => {}
            Aim::Blind { from, .. } => self.refer_progress(cx, *from, 180),
            Aim::Consult { line, .. } => self.act_when_ready(*line, LegAction::Ring),
        }
    }

    /// A peer's description came before its answer: what it sends is heard where nothing of ours is.
    pub(super) fn early_media(&mut self, id: LegId) {
        let early = self.legs.alive(id).is_some_and(|leg| !leg.incoming && !leg.talks());
        let Some(aim) = self.attempt_of(id).map(|attempt| attempt.aim.clone()).filter(|_| early) else { return };
        let listener = match aim {
            Aim::Step => CALLER,
            Aim::Emergency if matches!(self.phase, Phase::Dialling(_)) => CALLER,
            Aim::Consult { line, .. } => line,
            Aim::Queue | Aim::Emergency | Aim::ThreeWay { .. } | Aim::Blind { .. } => return,
        };
        let silent = self.handover.as_ref().is_some_and(|handover| handover.round > 0);
        if listener == CALLER {
            self.early_caller();
        } else {
            self.act_when_ready(listener, LegAction::Early);
        }
        if let Some(leg) = self.legs.alive_mut(listener).filter(|_| !silent) {
            leg.idle = Source::Leg(id);
        }
    }

    /// A leg is gone, by its own doing.
    pub(super) fn leg_gone(&mut self, cx: &mut Cx<'_>, id: LegId, gone: Gone) {
        let Some(leg) = self.legs.alive(id).cloned() else { return };
        let winner = self.winner() == Some(id);
        self.close_leg(cx, id, gone.reason(), gone.sip_code());
        if !self.phase.is_live() {
            return;
        }
        if id == CALLER {
            self.caller_gone(cx, gone);
        } else if self.attempt_of(id).is_some() {
            self.ring_failed(cx, id, failure_of(gone));
        } else if winner {
            self.requeue(cx);
        } else if leg.room == Some(Room::MAIN) {
            self.main_left(cx, &leg, gone);
        } else if let Some(room) = leg.room {
            self.side_left(cx, room);
        } else if leg.role == LegRole::Consult {
            self.cancel_consult(cx, id);
        }
    }

    fn caller_gone(&mut self, cx: &mut Cx<'_>, gone: Gone) {
        if self.far_stays(cx) {
            return;
        }
        let others = self.legs.members(Room::MAIN);
        if others.len() < 2 || !matches!(self.phase, Phase::Talking(_)) {
            let (by, reason) = match gone {
                // Our own refusal: nothing he offered can be spoken.
                Gone::Failed(failure) => (EndedBy::Engine, failure.reason()),
                _ if self.is_of_agent() && self.served => (EndedBy::Agent, EndReason::Normal),
                _ if self.is_of_agent() => (EndedBy::Agent, EndReason::Abandoned),
                _ if self.served => (EndedBy::Caller, EndReason::Normal),
                Gone::HungUp(_) | Gone::Cancelled | Gone::Lost => (EndedBy::Caller, EndReason::Abandoned),
            };
            self.end_after(cx, by, reason, gone.sip_code());
            return;
        }
        self.emit(cx, Happening::ConferenceLeft { leg: CALLER });
        self.drop_emergency(cx);
        let fetched = |attempt: &&Attempt| matches!(attempt.aim, Aim::ThreeWay { .. } | Aim::Blind { .. });
        for id in self.attempts.iter().filter(fetched).map(|attempt| attempt.id).collect::<Vec<_>>() {
            self.cancel(cx, id);
        }
    }

    /// A member of the citizen's talk other than the citizen left.
    fn main_left(&mut self, cx: &mut Cx<'_>, who: &CallLeg, gone: Gone) {
        let others = self.legs.members(Room::MAIN).into_iter().filter(|leg| *leg != CALLER).count();
        if self.legs.alive(CALLER).is_none() {
            if others < 2 {
                self.end(cx, ended_by(who.role), EndReason::Normal);
            }
            return;
        }
        // A desk reached before may leave while another line is being called: only the line's own desk ends a hand-over.
        let desk = self.handover.as_ref().is_some_and(|handover| handover.desk == Some(who.id));
        if desk && gone == Gone::Lost && self.resume_emergency(cx) {
            return;
        }
        if others > 0 {
            self.emit(cx, Happening::ConferenceLeft { leg: who.id });
            if desk {
                self.handover = None;
            } else if others == 1 {
                self.say_agent_left(cx, who.role);
            }
            return;
        }
        let fetching = self.attempts.iter().any(|a| matches!(a.aim, Aim::ThreeWay { .. } | Aim::Blind { .. }));
        if self.alone_in_emergency(cx) {
            return;
        }
        if who.role == LegRole::Emergency {
            self.desk_left(cx);
            return;
        }
        if fetching {
            if let Some(caller) = self.legs.alive_mut(CALLER) {
                caller.idle = Source::RingBack;
            }
        } else if gone == Gone::Lost && !self.is_of_agent() {
            self.avoid.extend(who.party.agent.clone());
            self.requeue(cx);
        } else {
            self.end(cx, ended_by(who.role), gone.reason());
        }
    }

    /// Somebody left a talk beside the citizen's: the other one has nobody to talk to.
    fn side_left(&mut self, cx: &mut Cx<'_>, room: Room) {
        let (transfer, result) = (room.0, AttemptResult::Withdrawn);
        let fallback = Some(Fallback::Transferor);
        self.emit(cx, Happening::TransferResult { transfer, result, sip_code: None, fallback });
        for leg in self.legs.members(room) {
            self.hang_up(cx, leg, EndReason::Normal);
        }
    }

    pub(super) fn on_play_done(&mut self, cx: &mut Cx<'_>, id: LegId, token: PlayToken) {
        let Some(leg) = self.legs.alive_mut(id) else { return };
        let Some(why) = leg.play.as_ref().filter(|playing| playing.play.token == token).map(|playing| playing.why)
        else {
            return;
        };
        leg.play = None;
        self.play_over(cx, id, why);
    }

    /// Playings whose report never came.
    pub(super) fn plays_due(&mut self, cx: &mut Cx<'_>) {
        let due = |leg: &CallLeg| leg.play.as_ref().is_some_and(|playing| playing.until <= cx.now.mono);
        for id in self.legs.names(due) {
            let why = self.legs.alive_mut(id).and_then(|leg| leg.play.take()).map(|playing| playing.why);
            if let Some(why) = why {
                self.play_over(cx, id, why);
            }
        }
    }

    fn play_over(&mut self, cx: &mut Cx<'_>, id: LegId, why: PlayFor) {
        match why {
            PlayFor::Step => {
                if self.phase == Phase::Announcing {
                    self.advance(cx, Outcome::Done);
                }
            }
            PlayFor::Greeting => self.greeting_over(cx),
            PlayFor::Note => {}
            PlayFor::Emergency => self.emergency_spoken(cx, id),
        }
    }

    /// Refreshes the session of agents who hold the caller; one that does not answer is lost.
    pub(super) fn probes_due(&mut self, cx: &mut Cx<'_>) {
        let now = cx.now.mono;
        for leg in self.legs.iter_mut().filter(|leg| leg.probe_at.is_some_and(|at| at <= now)) {
            leg.probe_at = Some(now + PROBE_EVERY);
            cx.act(leg.id, LegAction::Refresh);
        }
    }

    /// Agents' legs from which nothing has come for too long count as lost: the phone is dead, the caller is not.
    pub(super) fn silence_due(&mut self, cx: &mut Cx<'_>) {
        let dead = |leg: &CallLeg| silent_until(leg).is_some_and(|until| until <= cx.now.mono);
        let agents = self.legs.iter().filter(|leg| dead(leg)).filter_map(|leg| leg.party.agent.clone());
        // A dead phone is dead on all its lines; one on hold is not watched itself.
        for agent in agents.collect::<Vec<_>>() {
            for id in self.legs.names(|leg| leg.is_alive() && leg.party.agent.as_ref() == Some(&agent)) {
                cx.act(id, LegAction::HangUp(EndReason::LegLost));
                self.leg_gone(cx, id, Gone::Lost);
            }
        }
    }
}

/// How often the phone of an agent who holds the caller is asked for a sign of life: nothing comes from it by itself,
/// and a caller left with the music would wait for the session timer.
pub(super) const PROBE_EVERY: std::time::Duration = std::time::Duration::from_secs(30);
/// How long an agent's leg may send nothing before it counts as lost (the brief's 30 s; a phone on hold is exempt).
const SILENT_MAX: std::time::Duration = std::time::Duration::from_secs(30);

/// When a silent leg counts as lost.
pub(super) fn silent_until(leg: &CallLeg) -> Option<Mono> {
    let watched = leg.talks() && leg.party.agent.is_some() && !leg.on_hold;
    leg.silent_since.filter(|_| watched).map(|since| since + SILENT_MAX)
}

const fn failure_of(gone: Gone) -> Failure {
    match gone {
        Gone::Failed(failure) => failure,
        Gone::HungUp(_) | Gone::Cancelled => Failure { status: 480, responded: true, rang: true },
        Gone::Lost => Failure::NOWHERE,
    }
}

const fn ended_by(role: LegRole) -> EndedBy {
    match role {
        LegRole::Caller => EndedBy::Caller,
        LegRole::Agent | LegRole::Consult | LegRole::Supervisor => EndedBy::Agent,
        LegRole::Department
        | LegRole::SubCentre
        | LegRole::Emergency
        | LegRole::Utility
        | LegRole::Platform
        | LegRole::Outside => EndedBy::Remote,
    }
}
