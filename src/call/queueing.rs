//! Waiting for an agent: greeting, ringing under it, music, place announcements, the winner.
//!
//! | caller | when |
//! |---|---|
//! | 200, or 183 where the trunk says so, then the greeting | a greeting is set |
//! | 180 while a phone rings, 200 on its answer | no greeting, and an offer comes at once |
//! | 200 or 183, then music | no greeting, and nobody could be rung within 500 ms |
//! | music at once | back from a lost agent or a failed transfer |
//!
//! Deliberately absent: ranking and order (`acd`).

use std::sync::Arc;
use std::time::Duration;

use crate::acd::words::{Position, SkillNeed, Wants};
use crate::base::id::{JoinId, LegId};
use crate::call::attempt::{Aim, Attempt, AttemptId, Callee, Wait, Way};
use crate::call::control::{Control, Cx};
use crate::call::legs::{CALLER, PlayFor, Room};
use crate::call::phase::{Greeting, Phase, Queueing, SETTLE, Talking};
use crate::event::call::{Happening, LegRole, OverflowCause};
use crate::event::reason::{EndReason, EndedBy};
use crate::plan::model::GreetingRule;
use crate::plan::step::{Outcome, OverflowReason, QueueStep};
use crate::rtp::command::Source;

/// How long an agent is rung where neither the queue nor the ACD says (`contract.md` §2).
const RING: Duration = Duration::from_secs(20);

impl Control {
    /// The caller begins to wait, or waits again with the old join time.
    pub(super) fn enter_queue(&mut self, cx: &mut Cx<'_>, step: QueueStep, again: bool) {
        let wants = self.wants(&step, again);
        let ring = cx.plans.pinned.queue(&step.queue).map_or(RING, |queue| queue.ring);
        self.queue_step = Some(Arc::new(step.clone()));
        let answered = self.legs.alive(CALLER).is_some_and(|leg| leg.talks());
        let greeting = step.greeting.clone().filter(|_| !again && !self.greeted);
        self.phase = Phase::Queueing(Box::new(Queueing {
            step,
            again,
            greeting: if greeting.is_some() { Greeting::Playing } else { Greeting::Over },
            winner: None,
            settle_at: (!answered && greeting.is_none()).then(|| cx.now.mono + SETTLE),
            position: None,
            speak_at: None,
        }));
        self.park_caller(Source::Music);
        if let Some(greeting) = greeting {
            self.greeted = true;
            self.open_caller();
            self.play(cx, CALLER, PlayFor::Greeting, &greeting);
        }
        self.begin(
            cx,
            Aim::Queue,
            Callee { role: LegRole::Agent, unit: None },
            vec![Way::Queue(Box::new(wants))],
            ring,
        );
    }

    fn wants(&self, step: &QueueStep, again: bool) -> Wants {
        Wants {
            queue: step.queue.clone(),
            needs: step
                .skills
                .iter()
                .map(|need| SkillNeed { skill: need.skill.clone(), level: need.level, required: true })
                .collect(),
            priority: step.priority,
            joined_at: self.joined_at.unwrap_or(self.origins.invited.mono),
            head: again,
            avoid: self.avoid.clone(),
            hotline: Arc::clone(&self.origins.number),
        }
    }

    /// The caller waits again, ahead of others of his priority, because whoever served him is gone.
    pub(super) fn requeue(&mut self, cx: &mut Cx<'_>) {
        if self.is_of_agent() {
            self.end(cx, EndedBy::Remote, EndReason::Normal);
            return;
        }
        let step = self.queue_step.as_deref().cloned().or_else(|| {
            let tenant = self.tenant(cx.plans.pinned)?;
            let queue = tenant.queues.get(&tenant.main_queue)?;
            Some(QueueStep {
                queue: queue.id.clone(),
                skills: Vec::new(),
                priority: 0,
                greeting: None,
                max_wait: None,
                whisper: None,
            })
        });
        match step {
            Some(step) => self.enter_queue(cx, step, true),
            None => self.advance(cx, Outcome::Failed { status: 480 }),
        }
    }

    /// The agent's leg that won and waits for the greeting's end.
    pub(super) fn winner(&self) -> Option<LegId> {
        match &self.phase {
            Phase::Queueing(queueing) => queueing.winner,
            Phase::Announcing | Phase::Dialling(_) | Phase::Talking(_) | Phase::Ending { .. } | Phase::Over => None,
        }
    }

    fn queueing_mut(&mut self) -> Option<&mut Queueing> {
        match &mut self.phase {
            Phase::Queueing(queueing) => Some(queueing),
            Phase::Announcing | Phase::Dialling(_) | Phase::Talking(_) | Phase::Ending { .. } | Phase::Over => None,
        }
    }

    pub(super) fn on_queued(&mut self, cx: &mut Cx<'_>, join: JoinId, position: Position) {
        let waiting = self.attempts.iter().find_map(|attempt| match &attempt.wait {
            Some(Wait::Queue(own, wants)) if *own == join => Some((attempt.aim == Aim::Queue, wants.clone())),
            Some(Wait::Queue(..) | Wait::Agent(_)) | None => None,
        });
        let Some((own, wants)) = waiting else { return };
        self.emit(
            cx,
            Happening::Queued {
                join,
                queue: wants.queue.queue.clone(),
                skills: wants.needs.iter().map(|need| need.skill.clone()).collect(),
                priority: wants.priority,
                position: position.ahead,
                rejoined: wants.head,
            },
        );
        let first = cx.plans.pinned.queue(&wants.queue).and_then(|queue| queue.position_first);
        if let Some(queueing) = self.queueing_mut().filter(|_| own) {
            queueing.position = Some(position);
            queueing.speak_at = first.map(|first| cx.now.mono + first);
        }
    }

    pub(super) fn on_progress(&mut self, join: JoinId, position: Position) {
        let own = self
            .attempts
            .iter()
            .any(|attempt| attempt.aim == Aim::Queue && attempt.wait.as_ref().is_some_and(|wait| wait.join() == join));
        if let Some(queueing) = self.queueing_mut().filter(|_| own) {
            queueing.position = Some(position);
        }
    }

    /// An offer ended without an answer; an unanswered caller may have to wait after all.
    pub(super) fn offer_over(&mut self, cx: &Cx<'_>) {
        let hears = self.caller_hears();
        if let Some(queueing) = self.queueing_mut().filter(|_| !hears) {
            queueing.settle_at = Some(cx.now.mono + SETTLE);
        }
    }

    /// Deadlines of the wait.
    pub(super) fn queueing_due(&mut self, cx: &mut Cx<'_>) {
        let ringing = self.attempts.iter().any(|attempt| attempt.aim == Aim::Queue && !attempt.rings.is_empty());
        let Some(queueing) = self.queueing_mut() else { return };
        if queueing.settle_at.is_some_and(|at| at <= cx.now.mono) {
            queueing.settle_at = None;
            if !ringing {
                self.open_caller();
            }
        }
        self.speak_position(cx);
    }

    fn speak_position(&mut self, cx: &mut Cx<'_>) {
        let Some(queueing) = self.queueing_mut() else { return };
        if queueing.speak_at.is_none_or(|at| at > cx.now.mono) {
            return;
        }
        let every = cx.plans.pinned.queue(&queueing.step.queue).map_or(RING, |queue| queue.position_every);
        queueing.speak_at = Some(cx.now.mono + every.max(Duration::from_secs(5)));
        let (position, quiet) =
            (queueing.position, queueing.greeting == Greeting::Playing || queueing.winner.is_some());
        let announcement = position.and_then(|position| self.position_prompt(cx.plans.pinned, position));
        if let Some(announcement) = announcement.filter(|_| !quiet && self.caller_hears()) {
            self.play(cx, CALLER, PlayFor::Note, &announcement);
        }
    }

    /// The ACD gave the wait up; the plan says what next.
    pub(super) fn queue_overflowed(&mut self, cx: &mut Cx<'_>, id: AttemptId, cause: OverflowCause) {
        if let Some(attempt) = self.attempts.iter_mut().find(|attempt| attempt.id == id) {
            attempt.wait = None;
        }
        self.cancel(cx, id);
        let reason = match cause {
            OverflowCause::Full => OverflowReason::Full,
            OverflowCause::MaxWait => OverflowReason::MaxWait,
            OverflowCause::NoAgent | OverflowCause::Closed => OverflowReason::NoQueue,
        };
        self.advance(cx, Outcome::Overflow(reason));
    }

    /// An agent won the caller's wait.
    pub(super) fn queue_won(&mut self, cx: &mut Cx<'_>, leg: LegId) {
        let Phase::Queueing(queueing) = &mut self.phase else {
            // The caller is served otherwise by now; the agent is let go.
            self.hang_up(cx, leg, EndReason::AnsweredElsewhere);
            return;
        };
        queueing.winner = Some(leg);
        let rule = cx.plans.pinned.queue(&queueing.step.queue).map(|queue| queue.greeting).unwrap_or_default();
        let whisper = queueing.step.whisper.clone();
        if queueing.greeting == Greeting::Playing && rule == GreetingRule::Finish {
            if let Some(whisper) = whisper {
                self.play(cx, leg, PlayFor::Note, &whisper);
            }
            return;
        }
        self.connect_winner(cx, whisper.as_ref());
    }

    /// The greeting is over: the agent who answered under it gets the caller, or music begins.
    pub(super) fn greeting_over(&mut self, cx: &mut Cx<'_>) {
        let Some(queueing) = self.queueing_mut() else { return };
        queueing.greeting = Greeting::Over;
        if queueing.winner.is_some() {
            self.connect_winner(cx, None);
        }
    }

    fn connect_winner(&mut self, cx: &mut Cx<'_>, whisper: Option<&crate::plan::step::Announcement>) {
        let Some((leg, step)) = self.queueing_mut().and_then(|q| Some((q.winner?, q.step.clone()))) else { return };
        let agent = self.legs.alive(leg).and_then(|leg| leg.party.agent.clone());
        self.first_agent = self.first_agent.take().or_else(|| agent.clone());
        self.phase = Phase::Talking(Talking { direct: false });
        self.avoid.clear();
        self.answer_caller();
        if let Some(caller) = self.legs.alive_mut(CALLER) {
            caller.play = None;
            caller.idle = Source::Music;
        }
        self.enter_room(leg, Room::MAIN);
        self.enter_room(CALLER, Room::MAIN);
        self.emit_answered(cx, leg);
        let announce = cx.plans.pinned.queue(&step.queue).is_some_and(|queue| queue.announce_agent);
        let number = agent.filter(|_| announce).and_then(|agent| self.agent_prompt(cx.plans.pinned, &agent));
        match (whisper, number) {
            (Some(whisper), Some(number)) => {
                let mut both = whisper.clone();
                both.clips.extend(number.clips.iter().cloned());
                self.play(cx, leg, PlayFor::Note, &both);
                self.play(cx, CALLER, PlayFor::Note, &number);
            }
            (None, Some(number)) => {
                self.play(cx, leg, PlayFor::Note, &number);
                self.play(cx, CALLER, PlayFor::Note, &number);
            }
            (Some(whisper), None) => self.play(cx, leg, PlayFor::Note, whisper),
            (None, None) => {}
        }
    }

    /// Books that somebody who can help has the caller.
    pub(super) fn emit_answered(&mut self, cx: &mut Cx<'_>, leg: LegId) {
        let Some(record) = self.legs.alive(leg) else { return };
        let waited = cx.now.mono.since(self.origins.invited.mono);
        let what = Happening::Answered {
            leg,
            role: record.role,
            agent: record.party.agent.clone(),
            first_agent: self.first_agent.clone(),
            wait_ms: u64::try_from(waited.as_millis()).unwrap_or(u64::MAX),
        };
        self.served = true;
        self.emit(cx, what);
    }

    /// What an attempt's answer means; a leg nobody wants any more is let go.
    pub(super) fn attempt_answered(&mut self, cx: &mut Cx<'_>, attempt: &Attempt, leg: LegId) {
        match &attempt.aim {
            Aim::Queue => self.queue_won(cx, leg),
            Aim::Step => self.dial_answered(cx, leg),
            Aim::Emergency => self.desk_answered(cx, leg),
            Aim::ThreeWay { transfer } => self.third_answered(cx, *transfer, leg),
            Aim::Blind { transfer, from } => self.target_answered(cx, *transfer, *from, leg),
            Aim::Consult { line, transfer } => self.consult_answered(cx, *line, *transfer, leg),
        }
    }

    /// What an attempt's failure means.
    pub(super) fn attempt_failed(&mut self, cx: &mut Cx<'_>, attempt: &Attempt) {
        match &attempt.aim {
            Aim::Queue => self.advance(cx, Outcome::Overflow(OverflowReason::NoQueue)),
            Aim::Step => self.dial_failed(cx, attempt),
            Aim::Emergency => self.round_failed(cx),
            Aim::ThreeWay { transfer } => self.third_failed(cx, *transfer, attempt),
            Aim::Blind { transfer, from } => self.target_failed(cx, *transfer, *from, attempt),
            Aim::Consult { line, transfer } => self.consult_failed(cx, *line, *transfer, attempt),
        }
    }
}
