//! Emergency lines: calls passed straight through, and the one-key hand-over from a talk.
//!
//! The caller's leg is never held and never ended by us while a hand-over goes on ([`Control::is_guarded`]). Routes
//! are tried in order, each with its targets; when all have failed the caller hears what he can do himself, and the
//! round begins anew, without end, until the desk answers or the caller hangs up.
//!
//! | hand-over | caller hears | agent |
//! |---|---|---|
//! | desk rings, agent there | the agent | talks on |
//! | desk rings, agent gone (hung up, crashed, silent) | the emergency prompt, again and again | – |
//! | desk answered, agent there | agent and desk, mixed | leaves when ready |
//! | desk answered, agent gone | the desk | – |
//! | desk lost | as if it had not answered yet; it is called again | |
//! | another line's key before the desk answered | as before; the newer line is called instead | talks on |
//!
//! Deliberately absent: which numbers are emergencies (`plan`), reserved ports and channels (`engine`, `switch`).

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::base::id::{AgentId, LegId, TrunkName};
use crate::base::now::Mono;
use crate::call::attempt::{Aim, Callee, Way};
use crate::call::control::{Control, Cx};
use crate::call::failure::Failure;
use crate::call::leg::words::LegAction;
use crate::call::legs::{CALLER, PlayFor, Room};
use crate::call::phase::{Dialling, Phase, Talking};
use crate::event::call::{AttemptResult, EmergencyMode, Happening, LegRole};
use crate::event::reason::{EndReason, EndedBy};
use crate::plan::step::{DialStep, DialTarget};
use crate::rtp::command::Source;

/// How long a hand-over rests between two rounds of its routes: the desk's trunk has just failed, and the caller
/// hears the spoken instruction meanwhile.
const ROUND_REST: Duration = Duration::from_secs(2);
/// From how many legs on a call rests longer, so that those it may name last beyond a day.
const MANY_LEGS: u16 = 2_048;
/// The least rest then.
const LATE_REST: Duration = Duration::from_secs(5);
/// The rest for each leg of the round that failed, then.
const LATE_REST_PER_LEG: Duration = Duration::from_secs(3);
/// How long each route rings where the plan does not say.
const RING: Duration = Duration::from_secs(20);
/// When ports are asked for again that an emergency caller was refused.
pub(super) const MEDIA_RETRY: Duration = Duration::from_millis(500);

/// A hand-over to an emergency line, from its start until its desk has hung up.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct HandOver {
    /// 110, 119, 120, 122, ….
    pub line: Arc<str>,
    /// Its name as spoken.
    pub name: Arc<str>,
    /// Who pressed the key.
    pub by: Option<AgentId>,
    /// Whether the number itself was dialled.
    pub direct: bool,
    /// Routes the plan gave a direct call; the line's own follow.
    pub routes: Vec<DialTarget>,
    /// How many rounds have failed since the last answer.
    pub round: u16,
    /// How many legs the call had named when this round began.
    pub legs_before: u16,
    /// When the next round begins.
    pub again_at: Option<Mono>,
    /// The desk's leg, once it has answered.
    pub desk: Option<LegId>,
}

/// How long to rest after a round, by the legs the call has named and those of the round.
fn rest_after(named: u16, of_round: u16) -> Duration {
    if named < MANY_LEGS { ROUND_REST } else { LATE_REST.max(LATE_REST_PER_LEG * u32::from(of_round)) }
}

impl Control {
    /// Whether the caller's leg must not be ended by us.
    #[must_use]
    pub fn is_guarded(&self) -> bool {
        self.handover.is_some() && self.phase.is_live()
    }

    /// A call for an emergency number itself: straight through.
    pub(super) fn dial_emergency(&mut self, cx: &mut Cx<'_>, step: &DialStep) {
        let line = Arc::clone(&self.origins.number);
        self.handover = Some(HandOver {
            line: Arc::clone(&line),
            name: Arc::from(step.callee.as_str()),
            by: None,
            direct: true,
            routes: step.targets.clone(),
            round: 0,
            legs_before: 0,
            again_at: None,
            desk: None,
        });
        self.phase = Phase::Dialling(Box::new(Dialling { step: step.clone(), transfer: None }));
        self.park_caller(Source::RingBack);
        self.emit(cx, Happening::EmergencyStarted { line, mode: EmergencyMode::Direct, by: None });
        self.begin_round(cx);
    }

    /// The one key: caller, agent and desk are joined. The newest key counts: a line that has not answered yet is
    /// withdrawn for another one, because a slip of the finger must not block the right desk. The key of a line that
    /// is being called, or whose desk is there, does nothing.
    pub(super) fn hand_over(&mut self, cx: &mut Cx<'_>, line: &str, by: Option<AgentId>) {
        let talking = matches!(self.phase, Phase::Talking(_)) && self.legs.alive(CALLER).is_some();
        let called = self.handover.as_ref().is_some_and(|handover| handover.line.as_ref() == line);
        let known = self.tenant(cx.plans.newest).and_then(|tenant| tenant.emergency.get(line));
        let Some(known) = known.filter(|known| talking && !called && !self.has_desk(&known.name)) else { return };
        self.need_ticket(cx);
        self.drop_emergency(cx);
        let line: Arc<str> = Arc::from(known.number.as_str());
        self.handover = Some(HandOver {
            line: Arc::clone(&line),
            name: Arc::from(known.name.as_str()),
            by: by.clone(),
            direct: false,
            routes: Vec::new(),
            round: 0,
            legs_before: 0,
            again_at: None,
            desk: None,
        });
        self.emit(cx, Happening::EmergencyStarted { line, mode: EmergencyMode::ThreeWay, by });
        self.begin_round(cx);
        self.alone_in_emergency(cx);
    }

    /// Whether somebody of this line is in the citizen's talk.
    fn has_desk(&self, name: &str) -> bool {
        let members = self.legs.members(Room::MAIN);
        members
            .iter()
            .filter_map(|leg| self.legs.alive(*leg))
            .any(|leg| leg.role == LegRole::Emergency && leg.party.unit.as_deref() == Some(name))
    }

    fn begin_round(&mut self, cx: &mut Cx<'_>) {
        let named = self.legs_named();
        let Some(handover) = &mut self.handover else { return };
        cx.act(CALLER, LegAction::Keep);
        handover.legs_before = named;
        handover.again_at = None;
        handover.desk = None;
        let (line, name) = (Arc::clone(&handover.line), Arc::clone(&handover.name));
        let mut routes = handover.routes.clone();
        let known = self.tenant(cx.plans.newest).and_then(|tenant| tenant.emergency.get(line.as_ref()));
        let ring = known.map_or(RING, |known| known.ring);
        for route in known.into_iter().flat_map(|known| &known.routes) {
            if !routes.contains(route) {
                routes.push(route.clone());
            }
        }
        let ways = routes.into_iter().map(Way::Trunk).collect();
        self.begin(cx, Aim::Emergency, Callee { role: LegRole::Emergency, unit: Some(name) }, ways, ring);
    }

    /// Every route has failed: say so, rest, begin anew.
    pub(super) fn round_failed(&mut self, cx: &mut Cx<'_>) {
        let named = self.legs_named();
        let Some(handover) = &mut self.handover else { return };
        handover.round = handover.round.saturating_add(1);
        handover.again_at = Some(cx.now.mono + rest_after(named, named.saturating_sub(handover.legs_before)));
        let first = handover.round == 1;
        if self.alone_in_emergency(cx) {
            return;
        }
        if first {
            let prompt = self.trying_prompt(cx.plans.newest);
            for leg in self.legs.members(Room::MAIN) {
                self.play(cx, leg, PlayFor::Note, &prompt);
            }
        }
    }

    /// Deadlines of a hand-over.
    pub(super) fn emergency_due(&mut self, cx: &mut Cx<'_>) {
        if self.media_retry.is_some_and(|at| at <= cx.now.mono) {
            self.media_retry = None;
            self.allocate(cx, CALLER, true);
        }
        if self.handover.as_ref().and_then(|handover| handover.again_at).is_some_and(|at| at <= cx.now.mono) {
            self.begin_round(cx);
        }
    }

    /// A caller with nobody but a hand-over under way hears what happens; whether he is one.
    pub(super) fn alone_in_emergency(&mut self, cx: &mut Cx<'_>) -> bool {
        let Some(handover) = self.handover.as_ref().filter(|handover| handover.desk.is_none()) else { return false };
        let (direct, failed) = (matches!(self.phase, Phase::Dialling(_)), handover.round > 0);
        if self.legs.alive(CALLER).is_none() || self.legs.members(Room::MAIN).iter().any(|leg| *leg != CALLER) {
            return false;
        }
        if direct && !failed {
            return true;
        }
        if direct {
            self.early_caller();
        }
        let speaking = self.legs.alive(CALLER).and_then(|leg| leg.play.as_ref()).map(|playing| playing.why);
        if let Some(caller) = self.legs.alive_mut(CALLER) {
            caller.idle = Source::RingBack;
        }
        if speaking != Some(PlayFor::Emergency) {
            self.speak_emergency(cx);
        }
        true
    }

    fn speak_emergency(&mut self, cx: &mut Cx<'_>) {
        let failed = self.handover.as_ref().is_some_and(|handover| handover.round > 0);
        let prompt = if failed { self.trying_prompt(cx.plans.newest) } else { self.connecting_prompt(cx.plans.newest) };
        self.play(cx, CALLER, PlayFor::Emergency, &prompt);
    }

    /// The prompt of a caller alone was played; he hears it again while he is.
    pub(super) fn emergency_spoken(&mut self, cx: &mut Cx<'_>, leg: LegId) {
        if leg == CALLER {
            self.alone_in_emergency(cx);
        }
    }

    /// One of the desk's targets was called, or failed.
    pub(super) fn emergency_tried(&mut self, cx: &mut Cx<'_>, leg: LegId, failure: Option<Failure>) {
        self.book_emergency_attempt(cx, leg, failure.map(|failure| AttemptResult::Failed(failure.reason())));
    }

    fn book_emergency_attempt(&mut self, cx: &mut Cx<'_>, leg: LegId, result: Option<AttemptResult>) {
        let Some(handover) = &self.handover else { return };
        let trunk = self.legs.named(leg).and_then(|leg| leg.party.trunk.clone());
        let what = Happening::EmergencyAttempt {
            line: Arc::clone(&handover.line),
            leg,
            trunk: trunk.unwrap_or_else(|| TrunkName::new("")),
            result,
        };
        self.emit(cx, what);
    }

    pub(super) fn desk_answered(&mut self, cx: &mut Cx<'_>, leg: LegId) {
        let caller = self.legs.alive(CALLER).is_some();
        let Some(handover) = self.handover.as_mut().filter(|_| caller) else {
            self.hang_up(cx, leg, EndReason::AnsweredElsewhere);
            return;
        };
        handover.desk = Some(leg);
        handover.round = 0;
        cx.act(leg, LegAction::Forgive);
        let direct = handover.direct;
        if !matches!(self.phase, Phase::Talking(_)) {
            self.phase = Phase::Talking(Talking { direct });
        }
        self.answer_caller();
        if let Some(caller) = self.legs.alive_mut(CALLER) {
            caller.play = None;
            caller.idle = Source::RingBack;
        }
        self.enter_room(CALLER, Room::MAIN);
        self.enter_room(leg, Room::MAIN);
        let agent_stayed = self.legs.members(Room::MAIN).len() > 2;
        self.book_emergency_attempt(cx, leg, Some(AttemptResult::Answered));
        self.emergency_result(cx, AttemptResult::Answered, agent_stayed);
        if agent_stayed {
            self.emit(cx, Happening::ConferenceJoined { leg });
        }
        self.emit_answered(cx, leg);
        if let Some(prompt) = self.desk_prompt(cx.plans.newest).filter(|_| !direct) {
            self.play(cx, leg, PlayFor::Note, &prompt);
        }
    }

    fn emergency_result(&mut self, cx: &mut Cx<'_>, result: AttemptResult, agent_stayed: bool) {
        let Some(handover) = &self.handover else { return };
        let mode = match (handover.direct, agent_stayed) {
            (true, _) => EmergencyMode::Direct,
            (false, true) => EmergencyMode::ThreeWay,
            (false, false) => EmergencyMode::Transfer,
        };
        let what = Happening::EmergencyResult {
            line: Arc::clone(&handover.line),
            mode,
            result,
            agent_stayed,
            cli_presented: !self.origins.caller.number.normal.is_empty(),
        };
        self.emit(cx, what);
    }

    /// The desk's leg died under the talk; whether it is being called again.
    pub(super) fn resume_emergency(&mut self, cx: &mut Cx<'_>) -> bool {
        if self.handover.is_none() || self.legs.alive(CALLER).is_none() {
            return false;
        }
        self.begin_round(cx);
        self.alone_in_emergency(cx);
        true
    }

    /// The desk hung up and the caller is alone: a direct call is over, a citizen of ours waits for an agent again.
    pub(super) fn desk_left(&mut self, cx: &mut Cx<'_>) {
        let direct = self.handover.take().is_some_and(|handover| handover.direct);
        if direct {
            self.end(cx, EndedBy::Remote, EndReason::Normal);
        } else {
            self.requeue(cx);
        }
    }

    /// The caller left, or another line was chosen: what was not answered yet is withdrawn.
    pub(super) fn drop_emergency(&mut self, cx: &mut Cx<'_>) {
        if self.handover.as_ref().is_some_and(|handover| handover.desk.is_none()) {
            let agent_stayed = self.legs.members(Room::MAIN).iter().any(|leg| *leg != CALLER);
            self.emergency_result(cx, AttemptResult::Withdrawn, agent_stayed);
        }
        self.handover = None;
        let under_way = self.attempts.iter().find(|attempt| attempt.aim == Aim::Emergency).map(|attempt| attempt.id);
        if let Some(id) = under_way {
            self.cancel(cx, id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::call::mints::LAST_LEG;

    #[test]
    fn the_legs_of_a_call_last_beyond_a_day_however_many_routes_fail_at_once() {
        for of_round in [1, 2, 3, 8, 64] {
            let (mut named, mut rested) = (0_u16, Duration::ZERO);
            while named < LAST_LEG {
                named = named.saturating_add(of_round);
                rested += rest_after(named, of_round);
            }
            assert!(rested > Duration::from_secs(24 * 3_600), "{of_round}: {rested:?}");
        }
        assert_eq!(rest_after(MANY_LEGS - 1, 2), ROUND_REST, "the first half hour of two routes is not slowed down");
        assert_eq!(rest_after(MANY_LEGS, 1), Duration::from_secs(5));
    }
}
