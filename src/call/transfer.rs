//! Transfers an agent's phone asks for: REFER to a number, a consult on a second line, REFER with Replaces.
//!
//! | REFER | what happens | the caller meanwhile | on failure |
//! |---|---|---|---|
//! | to a number (blind) | it is rung; on its answer it takes the transferor's place | stays with the transferor; alone: ring-back | back with the transferor; alone: head of the queue |
//! | Replaces a consult that talks | the consulted party takes the transferor's place at once | – | – |
//! | Replaces a consult that still rings | as blind, on the ringing leg | as blind | as blind |
//! | to an emergency line | the hand-over begins; the transferor may leave | never alone in silence | tried without end |
//!
//! The transferor may hang up at any moment after REFER: nothing here depends on his leg. Deliberately absent: the
//! REFER and NOTIFY messages (`leg`).

use std::sync::Arc;

use crate::acd::words::LineCause;
use crate::base::id::{AgentId, LegId};
use crate::call::attempt::{Aim, Attempt};
use crate::call::control::{Control, Cx};
use crate::call::destination::user_of;
use crate::call::failure::Failure;
use crate::call::leg::words::LegAction;
use crate::call::legs::{CALLER, CallLeg, Room};
use crate::call::phase::Phase;
use crate::call::words::Destination;
use crate::event::call::{AttemptResult, Fallback, Happening, LegRole, Party, TransferKind};
use crate::event::reason::EndReason;
use crate::plan::outward::Refusal;
use crate::rtp::command::Source;

impl Control {
    pub(super) fn refer_progress(&mut self, cx: &mut Cx<'_>, leg: LegId, status: u16) {
        if self.legs.alive(leg).is_some() {
            cx.act(leg, LegAction::ReferProgress { status });
        }
    }

    pub(super) fn on_refer(&mut self, cx: &mut Cx<'_>, leg: LegId, to: &str, replaces: Option<Option<LegId>>) {
        let Some(record) = self.legs.alive(leg) else { return };
        let agent = record.party.agent.clone();
        let fits = agent.is_some() && self.legs.alive(CALLER).is_some() && matches!(self.phase, Phase::Talking(_));
        match replaces {
            _ if !fits => self.refer_progress(cx, leg, 403),
            Some(None) => self.refer_progress(cx, leg, 481),
            Some(Some(named)) => self.attended(cx, leg, named),
            None => self.blind(cx, leg, to, agent),
        }
    }

    fn blind(&mut self, cx: &mut Cx<'_>, leg: LegId, to: &str, by: Option<AgentId>) {
        if self.legs.alive(leg).and_then(|leg| leg.room) != Some(Room::MAIN) {
            self.refer_progress(cx, leg, 403);
            return;
        }
        let number = user_of(to);
        if let Some(line) = self.emergency_line(cx, number) {
            self.hand_over(cx, &line, by);
            self.refer_progress(cx, leg, 200);
            return;
        }
        let to = Destination::Number { trunk: None, number: Arc::from(number) };
        let wanted = match self.resolve(cx, &to, by.as_ref()) {
            Ok(wanted) => wanted,
            Err(refusal) => return self.refer_progress(cx, leg, refusal.answer().0),
        };
        let transfer = self.mint_transfer();
        self.emit(
            cx,
            Happening::TransferStarted {
                transfer,
                transfer_kind: wanted.kind(TransferKind::Blind),
                leg: None,
                by,
                target_unit: wanted.callee.unit.clone(),
                target_number: Some(Arc::from(number)),
            },
        );
        self.begin(cx, Aim::Blind { transfer, from: leg }, wanted.callee, wanted.ways, wanted.ring);
    }

    /// The REFER names another dialog of this call: the far party of that one takes the transferor's place.
    fn attended(&mut self, cx: &mut Cx<'_>, leg: LegId, named: LegId) {
        let room_of = |id: LegId| self.legs.alive(id).and_then(|leg| leg.room);
        let (main, line) = if room_of(leg) == Some(Room::MAIN) { (leg, named) } else { (named, leg) };
        if room_of(main) != Some(Room::MAIN) || main == line {
            self.refer_progress(cx, leg, 481);
            return;
        }
        if let Some(room) = room_of(line).filter(|room| *room != Room::MAIN) {
            let targets = self.legs.members(room).into_iter().filter(|member| *member != line).collect::<Vec<_>>();
            self.refer_progress(cx, leg, 200);
            let (transfer, result) = (room.0, AttemptResult::Answered);
            self.emit(cx, Happening::TransferResult { transfer, result, sip_code: None, fallback: None });
            for target in targets {
                self.enter_room(target, Room::MAIN);
                self.emit_answered(cx, target);
            }
            self.hang_up(cx, leg, EndReason::Transferred);
            self.hang_up(cx, if leg == main { line } else { main }, EndReason::Transferred);
            return;
        }
        // The consulted party still rings: the transfer goes on without the transferor's second line.
        let ringing = self.attempts.iter_mut().find_map(|attempt| match attempt.aim {
            Aim::Consult { line: own, transfer } if own == line => Some((attempt, transfer)),
            Aim::Consult { .. }
            | Aim::Queue
            | Aim::Step
            | Aim::Emergency
            | Aim::ThreeWay { .. }
            | Aim::Blind { .. } => None,
        });
        let Some((attempt, transfer)) = ringing else {
            self.refer_progress(cx, leg, 481);
            return;
        };
        attempt.aim = Aim::Blind { transfer, from: main };
        self.hang_up(cx, line, EndReason::Transferred);
    }

    /// A blind transfer's target has answered.
    pub(super) fn target_answered(&mut self, cx: &mut Cx<'_>, transfer: u16, from: LegId, leg: LegId) {
        let somebody = self.legs.members(Room::MAIN).iter().any(|member| *member != from);
        if !somebody || !matches!(self.phase, Phase::Talking(_)) {
            self.hang_up(cx, leg, EndReason::AnsweredElsewhere);
            self.withdrawn(cx, transfer);
            return;
        }
        if let Some(caller) = self.legs.alive_mut(CALLER) {
            caller.idle = Source::Music;
        }
        self.enter_room(leg, Room::MAIN);
        self.emit(
            cx,
            Happening::TransferResult { transfer, result: AttemptResult::Answered, sip_code: None, fallback: None },
        );
        self.emit_answered(cx, leg);
        self.refer_progress(cx, from, 200);
        self.hang_up(cx, from, EndReason::Transferred);
    }

    /// A blind transfer's target was not reached: the caller is back with the transferor, or with the queue.
    pub(super) fn target_failed(&mut self, cx: &mut Cx<'_>, transfer: u16, from: LegId, attempt: &Attempt) {
        let failure = attempt.failed.unwrap_or(Failure::NOWHERE);
        self.refer_progress(cx, from, failure.status);
        self.fetch_failed(cx, transfer, failure);
    }

    /// Somebody the talk waited for was not reached; a caller left alone goes back to the queue.
    pub(super) fn fetch_failed(&mut self, cx: &mut Cx<'_>, transfer: u16, failure: Failure) {
        let caller = self.legs.alive(CALLER).is_some() && matches!(self.phase, Phase::Talking(_));
        let alone = caller && self.legs.members(Room::MAIN).len() < 2;
        self.emit(
            cx,
            Happening::TransferResult {
                transfer,
                result: AttemptResult::Failed(failure.reason()),
                sip_code: failure.responded.then_some(failure.status),
                fallback: Some(if alone { Fallback::Queue } else { Fallback::Transferor }),
            },
        );
        let fetching = self.attempts.iter().any(|a| matches!(a.aim, Aim::ThreeWay { .. } | Aim::Blind { .. }));
        if alone && !fetching && !self.alone_in_emergency(cx) {
            self.requeue(cx);
        } else if !fetching {
            self.end_alone(cx, failure.reason());
        }
    }

    /// An agent of this call calls out on a second line.
    pub(super) fn on_consult(&mut self, cx: &mut Cx<'_>, line: LegId, agent: AgentId, dialled: &str) {
        if !self.phase.is_live() {
            cx.act(line, LegAction::HangUp(EndReason::AnsweredElsewhere));
            return;
        }
        let party = Party { agent: Some(agent.clone()), number: Some(Arc::from(dialled)), ..Party::default() };
        self.legs.add(CallLeg::new(line, LegRole::Consult, party.clone(), true, LineCause::Own));
        self.emit(cx, Happening::LegStarted { leg: line, role: LegRole::Consult, party });
        if let Some(leg) = self.legs.alive_mut(line) {
            leg.idle = Source::RingBack;
        }
        self.allocate(cx, line, false);
        self.report_line(cx, line);
        let to = Destination::Number { trunk: None, number: Arc::from(dialled) };
        let wanted = match self.resolve(cx, &to, Some(&agent)) {
            Ok(wanted) => wanted,
            Err(Refusal::NotAllowed) => return self.hang_up(cx, line, EndReason::RejectedByPlan),
            Err(Refusal::NoTrunk) => return self.hang_up(cx, line, EndReason::NoRoute),
            Err(Refusal::NoNumber) => return self.hang_up(cx, line, EndReason::UnknownNumber),
        };
        let transfer = self.mint_transfer();
        self.emit(
            cx,
            Happening::TransferStarted {
                transfer,
                transfer_kind: wanted.kind(TransferKind::Attended),
                leg: Some(line),
                by: Some(agent),
                target_unit: wanted.callee.unit.clone(),
                target_number: Some(Arc::from(dialled)),
            },
        );
        self.begin(cx, Aim::Consult { line, transfer }, wanted.callee, wanted.ways, wanted.ring);
    }

    pub(super) fn consult_answered(&mut self, cx: &mut Cx<'_>, line: LegId, transfer: u16, leg: LegId) {
        if self.legs.alive(line).is_none() {
            self.hang_up(cx, leg, EndReason::AnsweredElsewhere);
            self.withdrawn(cx, transfer);
            return;
        }
        let room = Room(transfer);
        self.enter_room(line, room);
        self.enter_room(leg, room);
        self.act_when_ready(line, LegAction::Answer);
    }

    pub(super) fn consult_failed(&mut self, cx: &mut Cx<'_>, line: LegId, transfer: u16, attempt: &Attempt) {
        let failure = attempt.failed.unwrap_or(Failure::NOWHERE);
        self.hang_up(cx, line, failure.reason());
        self.emit(
            cx,
            Happening::TransferResult {
                transfer,
                result: AttemptResult::Failed(failure.reason()),
                sip_code: failure.responded.then_some(failure.status),
                fallback: Some(Fallback::Transferor),
            },
        );
    }

    /// The agent gave his consult up before it was answered.
    pub(super) fn cancel_consult(&mut self, cx: &mut Cx<'_>, line: LegId) {
        let own = |attempt: &&Attempt| matches!(attempt.aim, Aim::Consult { line: own, .. } if own == line);
        if let Some(id) = self.attempts.iter().find(own).map(|attempt| attempt.id) {
            self.cancel(cx, id);
        }
    }
}
