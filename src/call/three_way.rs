//! What people ask of a live call: a third party, a hand-over, marks, hanging up; by API or by star code.
//!
//! A third party is rung while the others talk on; its answer makes the talk a mix, and whoever leaves leaves the
//! others talking (`bridge`). Deliberately absent: who may ask (`engine/http`, `switch`).

use std::sync::Arc;

use crate::base::id::{AgentId, LegId};
use crate::call::attempt::{Aim, Attempt};
use crate::call::codes::{CodeReader, FixedCode, Keyed};
use crate::call::control::{Control, Cx, Gone};
use crate::call::failure::Failure;
use crate::call::leg::words::LegAction;
use crate::call::legs::{CALLER, Room};
use crate::call::phase::Phase;
use crate::call::words::{Destination, OperatorCommand};
use crate::event::call::{AttemptResult, Happening, LegRole, TransferKind};
use crate::event::reason::{EndReason, EndedBy};
use crate::rtp::command::{DigitPolicy, MediaCommand};

impl Control {
    pub(super) fn on_operator(&mut self, cx: &mut Cx<'_>, command: OperatorCommand) {
        if !self.phase.is_live() {
            return;
        }
        match command {
            OperatorCommand::ThreeWay { to, by } => self.three_way(cx, &to, by),
            OperatorCommand::Emergency { line, by } => self.hand_over(cx, &line, by),
            OperatorCommand::HangUp { leg: None, reason } => self.end_unless_guarded(cx, EndedBy::Operator, reason),
            OperatorCommand::HangUp { leg: Some(CALLER), reason } => {
                self.end_unless_guarded(cx, EndedBy::Operator, reason);
            }
            OperatorCommand::HangUp { leg: Some(leg), reason } => self.drop_leg(cx, leg, reason),
            OperatorCommand::Classify { by, classification } => {
                self.emit(cx, Happening::Classified { agent: by, classification });
            }
            OperatorCommand::Malicious { by, reason } => {
                self.emit(cx, Happening::Malicious { agent: by, reason, notice_played: false });
            }
            OperatorCommand::Drain => self.end_unless_guarded(cx, EndedBy::Engine, EndReason::Draining),
        }
    }

    fn drop_leg(&mut self, cx: &mut Cx<'_>, leg: LegId, reason: EndReason) {
        if self.legs.alive(leg).is_some() {
            cx.act(leg, LegAction::HangUp(reason));
            self.leg_gone(cx, leg, Gone::HungUp(EndReason::Normal));
        }
    }

    fn three_way(&mut self, cx: &mut Cx<'_>, to: &Destination, by: Option<AgentId>) {
        let talking = matches!(self.phase, Phase::Talking(_)) && self.legs.members(Room::MAIN).len() >= 2;
        if !talking {
            return;
        }
        if let Destination::Number { number, .. } = to
            && let Some(line) = self.emergency_line(cx, number)
        {
            self.hand_over(cx, &line, by);
            return;
        }
        let wanted = self.resolve(cx, to, by.as_ref());
        let transfer = self.mint_transfer();
        self.emit(
            cx,
            Happening::TransferStarted {
                transfer,
                transfer_kind: TransferKind::ThreeWay,
                leg: None,
                by,
                target_unit: wanted.as_ref().ok().and_then(|wanted| wanted.callee.unit.clone()),
                target_number: match to {
                    Destination::Number { number, .. } => Some(Arc::clone(number)),
                    Destination::Agent(_) | Destination::Queue(_) | Destination::Unit(_) => None,
                },
            },
        );
        match wanted {
            Ok(wanted) => {
                self.begin(cx, Aim::ThreeWay { transfer }, wanted.callee, wanted.ways, wanted.ring);
            }
            Err(refusal) => {
                let (status, _) = refusal.answer();
                self.fetch_failed(cx, transfer, Failure { status, responded: true, rang: false });
            }
        }
    }

    pub(super) fn third_answered(&mut self, cx: &mut Cx<'_>, transfer: u16, leg: LegId) {
        let somebody = matches!(self.phase, Phase::Talking(_)) && !self.legs.members(Room::MAIN).is_empty();
        if !somebody {
            self.hang_up(cx, leg, EndReason::AnsweredElsewhere);
            self.withdrawn(cx, transfer);
            return;
        }
        self.enter_room(leg, Room::MAIN);
        self.emit(
            cx,
            Happening::TransferResult { transfer, result: AttemptResult::Answered, sip_code: None, fallback: None },
        );
        self.emit_answered(cx, leg);
        if self.legs.members(Room::MAIN).len() > 2 {
            self.emit(cx, Happening::ConferenceJoined { leg });
        }
        if let Some(prompt) = self.three_way_prompt(cx.plans.pinned) {
            self.play(cx, leg, crate::call::legs::PlayFor::Note, &prompt);
        }
    }

    pub(super) fn third_failed(&mut self, cx: &mut Cx<'_>, transfer: u16, attempt: &Attempt) {
        self.fetch_failed(cx, transfer, attempt.failed.unwrap_or(Failure::NOWHERE));
    }

    pub(super) fn on_digit(&mut self, cx: &mut Cx<'_>, id: LegId, digit: char) {
        let now = cx.now.mono;
        let Some(leg) = self.legs.alive_mut(id).filter(|leg| leg.party.agent.is_some() && leg.talks()) else { return };
        let keyed = leg.codes.key(now, digit);
        self.on_keyed(cx, id, keyed);
    }

    /// A digit by INFO: no worker passes it on by itself, so what belongs to no code is sent on here.
    pub(super) fn on_info_digit(&mut self, cx: &mut Cx<'_>, id: LegId, digit: char) {
        let outside = |call: &Self| call.legs.alive(id).is_some_and(|leg| leg.codes == CodeReader::Outside);
        let before = outside(self);
        self.on_digit(cx, id, digit);
        if before && outside(self) {
            self.pass_on(cx, id, digit.encode_utf8(&mut [0; 4]));
        }
    }

    /// Codes and numbers that took too long.
    pub(super) fn codes_due(&mut self, cx: &mut Cx<'_>) {
        let now = cx.now.mono;
        for id in self.legs.names(|leg| leg.codes.deadline().is_some_and(|until| until <= now)) {
            if let Some(keyed) = self.legs.named_mut(id).map(|leg| leg.codes.expire(now)) {
                self.on_keyed(cx, id, keyed);
            }
        }
    }

    fn on_keyed(&mut self, cx: &mut Cx<'_>, id: LegId, keyed: Keyed) {
        let agent = self.legs.alive(id).and_then(|leg| leg.party.agent.clone());
        match keyed {
            Keyed::Nothing => {}
            Keyed::Code(code) => self.on_code(cx, id, code, agent),
            Keyed::NumberBegins => cx.media(MediaCommand::Digits { leg: id, digits: DigitPolicy::Swallow }),
            Keyed::NumberGivenUp => cx.media(MediaCommand::Digits { leg: id, digits: DigitPolicy::Codes }),
            Keyed::Number(number) => {
                cx.media(MediaCommand::Digits { leg: id, digits: DigitPolicy::Codes });
                let to = Destination::Number { trunk: None, number: Arc::from(&*number) };
                self.three_way(cx, &to, agent);
            }
            Keyed::PassOn(digits) => self.pass_on(cx, id, &digits),
        }
    }

    fn pass_on(&self, cx: &mut Cx<'_>, id: LegId, digits: &str) {
        let Some(room) = self.legs.alive(id).and_then(|leg| leg.room) else { return };
        for leg in self.legs.members(room).into_iter().filter(|leg| *leg != id) {
            cx.media(MediaCommand::SendDigits { leg, digits: digits.into() });
        }
    }

    fn on_code(&mut self, cx: &mut Cx<'_>, id: LegId, code: [char; 2], agent: Option<AgentId>) {
        let ending = code.iter().collect::<String>();
        let line = self
            .tenant(cx.plans.newest)
            .and_then(|tenant| tenant.emergency.values().find(|line| line.number.ends_with(&ending)))
            .map(|line| line.number.clone());
        if let Some(line) = line {
            self.hand_over(cx, &line, agent);
            return;
        }
        match FixedCode::of(code) {
            Some(FixedCode::OwnUnit) => {
                let unit = self.origins.hotline.as_ref().and_then(|hotline| hotline.unit.clone());
                if let Some(unit) = unit {
                    self.three_way(cx, &Destination::Unit(unit), agent);
                }
            }
            Some(FixedCode::DropLast) => {
                let third = self.legs.members(Room::MAIN).into_iter().rev().find(|leg| {
                    *leg != id
                        && *leg != CALLER
                        && self.legs.alive(*leg).is_some_and(|leg| leg.role != LegRole::Emergency)
                });
                if let Some(third) = third {
                    self.drop_leg(cx, third, EndReason::Normal);
                }
            }
            Some(FixedCode::Malicious) => {
                let reason = Arc::from("code");
                self.emit(cx, Happening::Malicious { agent, reason, notice_played: false });
            }
            None => self.pass_on(cx, id, &format!("*{ending}")),
        }
    }
}
