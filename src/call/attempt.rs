//! Fetching somebody: ordered ways, each with its targets, until one answers.
//!
//! One mechanism serves the queue, the plan's dial steps, three-way calls, transfers, consults and emergency
//! hand-overs; what differs is the [`Aim`], which says what an answer or a failure means. Bindings of an agent and
//! hosts of a trunk are tried one after the other, not forked. An agent's answer counts only after the ACD's `Won`.
//!
//! | ring | enters on | leaves on |
//! |---|---|---|
//! | `Finding` | an offer, or a trunk's turn | `Found`, revoke, cancel |
//! | `Calling` | a target | answered, failed (next target, next way), revoke, cancel |
//! | `Answered` | an offered agent's answer | `Won`, `Revoke`, the leg's end, cancel |
//!
//! Deliberately absent: who should be fetched, and what the caller hears meanwhile.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::acd::words::{AcdVerdict, LineCause, OfferOutcome, QueueRequest, Wants};
use crate::base::id::{AgentId, JoinId, LegId, LookupId, OfferId};
use crate::call::control::{Control, Cx, Doing};
use crate::call::failure::{Failure, offer_end};
use crate::call::leg::words::LegAction;
use crate::call::legs::{CallLeg, Stage};
use crate::call::words::{Query, Target, Targets};
use crate::event::call::{AttemptResult, Happening, LegRole, OfferEnd, Party};
use crate::event::reason::EndReason;
use crate::plan::step::DialTarget;
use crate::rtp::command::Source;

/// Names an attempt within its call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct AttemptId(pub u16);

/// What an answer is for.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Aim {
    /// The caller's own wait.
    Queue,
    /// The plan's dial step.
    Step,
    /// The hand-over to an emergency line.
    Emergency,
    /// A third party joins the talk.
    ThreeWay {
        /// Its number among the call's transfers.
        transfer: u16,
    },
    /// Takes the place of an agent who sent REFER.
    Blind {
        /// Its number among the call's transfers.
        transfer: u16,
        /// The leg that asked.
        from: LegId,
    },
    /// An agent's second line calls somebody.
    Consult {
        /// That line.
        line: LegId,
        /// Its number among the call's transfers.
        transfer: u16,
    },
}

/// One way to somebody.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Way {
    /// Whoever a queue offers.
    Queue(Box<Wants>),
    /// This agent, if free.
    Agent(AgentId),
    /// This agent for a colleague, whatever he chose, unless his line is in use.
    Colleague(AgentId),
    /// A number over a trunk.
    Trunk(DialTarget),
}

/// Who is being fetched.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Callee {
    /// What the leg will be to the call.
    pub role: LegRole,
    /// The unit behind it.
    pub unit: Option<Arc<str>>,
}

/// What the attempt waits for in the ACD.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Wait {
    /// A queue's offers.
    Queue(JoinId, Box<Wants>),
    /// One agent.
    Agent(JoinId),
}

impl Wait {
    pub(super) const fn join(&self) -> JoinId {
        match self {
            Self::Queue(join, _) | Self::Agent(join) => *join,
        }
    }
}

/// Somebody being rung.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Ring {
    /// The ACD's reservation, when it is an agent.
    pub offer: Option<(OfferId, AgentId)>,
    /// The number, when it is a trunk.
    pub over: Option<DialTarget>,
    /// For how long.
    pub ring: Duration,
    /// How far.
    pub stage: RingStage,
}

/// How far a ring is.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum RingStage {
    /// The switch is asked where.
    Finding(LookupId),
    /// A target is called.
    Calling {
        /// Its leg.
        leg: LegId,
        /// Targets not yet tried.
        rest: Vec<Target>,
    },
    /// An offered agent has answered; the ACD decides.
    Answered {
        /// His leg.
        leg: LegId,
    },
}

impl Ring {
    pub(super) const fn leg(&self) -> Option<LegId> {
        match self.stage {
            RingStage::Finding(_) => None,
            RingStage::Calling { leg, .. } | RingStage::Answered { leg } => Some(leg),
        }
    }
}

/// Fetching somebody.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Attempt {
    /// Its name.
    pub id: AttemptId,
    /// What for.
    pub aim: Aim,
    /// Whom.
    pub callee: Callee,
    /// Ways not yet tried.
    pub ways: Vec<Way>,
    /// What it waits for in the ACD.
    pub wait: Option<Wait>,
    /// Who is being rung.
    pub rings: Vec<Ring>,
    /// How long each rings, unless the ACD says.
    pub ring: Duration,
    /// Redirections followed.
    pub redirects: u8,
    /// The final status of the last failure.
    pub failed: Option<Failure>,
}

impl Control {
    /// Begins to fetch somebody.
    pub(super) fn begin(
        &mut self,
        cx: &mut Cx<'_>,
        aim: Aim,
        callee: Callee,
        ways: Vec<Way>,
        ring: Duration,
    ) -> AttemptId {
        let id = self.mint_attempt();
        self.attempts.push(Attempt {
            id,
            aim,
            callee,
            ways,
            wait: None,
            rings: Vec::new(),
            ring,
            redirects: 0,
            failed: None,
        });
        self.next_way(cx, id);
        id
    }

    fn next_way(&mut self, cx: &mut Cx<'_>, id: AttemptId) {
        let Some(index) = self.attempts.iter().position(|attempt| attempt.id == id) else { return };
        let Some(attempt) = self.attempts.get_mut(index) else { return };
        attempt.wait = None;
        if attempt.ways.is_empty() {
            let attempt = self.attempts.remove(index);
            self.attempt_failed(cx, &attempt);
            return;
        }
        let ring = attempt.ring;
        match attempt.ways.remove(0) {
            Way::Queue(wants) => self.join_queue(cx, id, wants),
            Way::Agent(agent) => {
                let join = self.mint_join();
                self.set_wait(id, Wait::Agent(join));
                cx.queue(QueueRequest::Reserve(join, agent));
            }
            Way::Colleague(agent) => {
                let join = self.mint_join();
                self.set_wait(id, Wait::Agent(join));
                cx.queue(QueueRequest::Summon(join, agent));
            }
            Way::Trunk(over) => {
                let lookup = self.mint_lookup();
                let emergency = matches!(self.aim_of(id), Some(Aim::Emergency));
                let query =
                    Query::Trunk { trunk: over.trunk.clone(), number: Arc::from(over.number.as_str()), emergency };
                self.add_ring(id, Ring { offer: None, over: Some(over), ring, stage: RingStage::Finding(lookup) });
                cx.find(lookup, query);
            }
        }
    }

    /// Joins the queue of an attempt, again with the old join time when it waited before.
    pub(super) fn join_queue(&mut self, cx: &mut Cx<'_>, id: AttemptId, wants: Box<Wants>) {
        let join = self.mint_join();
        self.set_wait(id, Wait::Queue(join, wants.clone()));
        cx.queue(QueueRequest::Join(join, wants));
    }

    fn set_wait(&mut self, id: AttemptId, wait: Wait) {
        if let Some(attempt) = self.attempts.iter_mut().find(|attempt| attempt.id == id) {
            attempt.wait = Some(wait);
        }
    }

    fn add_ring(&mut self, id: AttemptId, ring: Ring) {
        if let Some(attempt) = self.attempts.iter_mut().find(|attempt| attempt.id == id) {
            attempt.rings.push(ring);
        }
    }

    fn aim_of(&self, id: AttemptId) -> Option<&Aim> {
        self.attempts.iter().find(|attempt| attempt.id == id).map(|attempt| &attempt.aim)
    }

    /// The attempt whose wait in the ACD this is.
    fn waiting_in(&self, join: JoinId) -> Option<&Attempt> {
        self.attempts.iter().find(|attempt| attempt.wait.as_ref().is_some_and(|wait| wait.join() == join))
    }

    fn ring_where(&mut self, wanted: impl Fn(&Ring) -> bool) -> Option<(AttemptId, &mut Ring)> {
        self.attempts.iter_mut().find_map(|attempt| {
            let id = attempt.id;
            attempt.rings.iter_mut().find(|ring| wanted(ring)).map(|ring| (id, ring))
        })
    }

    fn take_ring(&mut self, wanted: impl Fn(&Ring) -> bool) -> Option<(AttemptId, Ring)> {
        self.attempts.iter_mut().find_map(|attempt| {
            let index = attempt.rings.iter().position(&wanted)?;
            Some((attempt.id, attempt.rings.remove(index)))
        })
    }

    /// The attempt that rings this leg.
    pub(super) fn attempt_of(&self, leg: LegId) -> Option<&Attempt> {
        self.attempts.iter().find(|attempt| attempt.rings.iter().any(|ring| ring.leg() == Some(leg)))
    }

    pub(super) fn on_acd(&mut self, cx: &mut Cx<'_>, verdict: AcdVerdict) {
        match verdict {
            AcdVerdict::Queued(join, position) => self.on_queued(cx, join, position),
            AcdVerdict::Progress(join, position) => self.on_progress(join, position),
            AcdVerdict::Offer { join, offer, agent, ring } | AcdVerdict::Reserved { join, offer, agent, ring } => {
                self.on_offer(cx, join, offer, agent, ring);
            }
            AcdVerdict::Revoke { offer, .. } => self.on_revoke(cx, offer),
            AcdVerdict::Won { join, offer } => self.on_won(cx, join, offer),
            AcdVerdict::Overflow(join, cause) => {
                let Some(attempt) = self.waiting_in(join) else { return };
                let (id, own) = (attempt.id, attempt.aim == Aim::Queue);
                self.emit(cx, Happening::Overflowed { join, cause });
                if own { self.queue_overflowed(cx, id, cause) } else { self.next_way(cx, id) }
            }
            AcdVerdict::Unavailable(join, _) => self.not_free(cx, join, 486),
            AcdVerdict::Absent(join, _) => self.not_free(cx, join, 480),
        }
    }

    fn not_free(&mut self, cx: &mut Cx<'_>, join: JoinId, status: u16) {
        if let Some(attempt) = self.attempts.iter_mut().find(|attempt| attempt.wait == Some(Wait::Agent(join))) {
            let id = attempt.id;
            attempt.failed = Some(Failure { status, responded: true, rang: false });
            self.next_way(cx, id);
        }
    }

    fn on_offer(&mut self, cx: &mut Cx<'_>, join: JoinId, offer: OfferId, agent: AgentId, ring: Duration) {
        let free = self.waiting_in(join).map(|attempt| attempt.id);
        let Some(id) = free.filter(|_| self.phase.is_live() && self.winner().is_none()) else {
            cx.queue(QueueRequest::Outcome(offer, OfferOutcome::Withdrawn));
            return;
        };
        let lookup = self.mint_lookup();
        let stage = RingStage::Finding(lookup);
        self.add_ring(id, Ring { offer: Some((offer, agent.clone())), over: None, ring, stage });
        cx.find(lookup, Query::Agent(agent));
    }

    pub(super) fn on_found(&mut self, cx: &mut Cx<'_>, lookup: LookupId, targets: Targets) {
        let stage = RingStage::Finding(lookup);
        let Some((id, _)) = self.ring_where(|ring| ring.stage == stage) else { return };
        let mut targets = targets.0;
        let first = (!targets.is_empty()).then(|| targets.remove(0));
        let found = |ring: &Ring| ring.stage == stage;
        let Some(leg) = first.and_then(|first| self.call_target(cx, id, found, &first, !targets.is_empty())) else {
            if let Some((_, ring)) = self.take_ring(|ring| ring.stage == stage) {
                self.ring_over(cx, id, &ring, Failure::NOWHERE);
            }
            return;
        };
        if let Some((_, ring)) = self.ring_where(|ring| ring.stage == stage) {
            ring.stage = RingStage::Calling { leg, rest: targets };
            self.told_ringing(cx, leg);
        }
    }

    /// Makes a leg toward a target of a ring; `None` when the call's legs are used up.
    fn call_target(
        &mut self,
        cx: &mut Cx<'_>,
        id: AttemptId,
        wanted: impl Fn(&Ring) -> bool,
        target: &Target,
        more: bool,
    ) -> Option<LegId> {
        let attempt = self.attempts.iter().find(|attempt| attempt.id == id)?;
        let ring = attempt.rings.iter().find(|ring| wanted(ring))?;
        let agent = ring.offer.as_ref().map(|(_, agent)| agent.clone());
        let party = Party {
            unit: attempt.callee.unit.clone(),
            number: ring.over.as_ref().map(|over| Arc::from(over.number.as_str())),
            trunk: target.trunk.clone().or_else(|| ring.over.as_ref().map(|over| over.trunk.clone())),
            agent,
        };
        let role = if party.agent.is_some() { LegRole::Agent } else { attempt.callee.role };
        let own = matches!(attempt.aim, Aim::Queue) || matches!(attempt.wait, Some(Wait::Queue(..)));
        let cause = if own { LineCause::Queue } else { LineCause::Own };
        let more = more || attempt.ways.iter().any(|way| matches!(way, Way::Trunk(_)));
        let outgoing = self.outgoing(cx, ring, target, role, more);
        let asked = if let RingStage::Finding(lookup) = ring.stage { Some(lookup) } else { None };
        let leg = self.make_leg(cx, role, party, cause)?;
        self.note_far(cx, leg, target, asked);
        self.act_when_ready(leg, LegAction::Invite(Box::new(outgoing)));
        Some(leg)
    }

    /// Says what ringing a new leg means: to the ticket, and to the ACD.
    fn told_ringing(&mut self, cx: &mut Cx<'_>, leg: LegId) {
        let Some(attempt) = self.attempt_of(leg) else { return };
        let join = attempt.wait.as_ref().map(Wait::join);
        let offer = attempt.rings.iter().find(|ring| ring.leg() == Some(leg)).and_then(|ring| ring.offer.clone());
        let emergency = attempt.aim == Aim::Emergency;
        if let (Some((offer, agent)), Some(join)) = (offer, join) {
            self.emit(cx, Happening::Offered { offer, join, agent, leg });
        }
        if emergency {
            self.emergency_tried(cx, leg, None);
        }
        self.report_line(cx, leg);
    }

    /// The peer of a ring shows a sign of ringing.
    pub(super) fn ring_rings(&mut self, cx: &mut Cx<'_>, leg: LegId) {
        let Some((id, ring)) = self.ring_where(|ring| ring.leg() == Some(leg)) else { return };
        if let Some((offer, _)) = ring.offer {
            cx.queue(QueueRequest::Outcome(offer, OfferOutcome::Ringing));
        }
        if let Some(aim) = self.aim_of(id).cloned() {
            self.attempt_rings(cx, &aim);
        }
    }

    /// The peer of a ring has answered. An agent's answer waits for the ACD's word.
    pub(super) fn ring_answered(&mut self, cx: &mut Cx<'_>, leg: LegId) {
        let Some((id, ring)) = self.ring_where(|ring| ring.leg() == Some(leg)) else { return };
        if let Some((offer, _)) = ring.offer {
            ring.stage = RingStage::Answered { leg };
            cx.queue(QueueRequest::Outcome(offer, OfferOutcome::Answered));
            return;
        }
        let Some(index) = self.attempts.iter().position(|attempt| attempt.id == id) else { return };
        let attempt = self.attempts.remove(index);
        self.attempt_answered(cx, &attempt, leg);
    }

    /// The leg of a ring is gone without (or, for an offered agent, after) an answer.
    pub(super) fn ring_failed(&mut self, cx: &mut Cx<'_>, leg: LegId, failure: Failure) {
        let Some((id, ring)) = self.take_ring(|ring| ring.leg() == Some(leg)) else { return };
        let RingStage::Calling { rest, .. } = &ring.stage else {
            // The ACD has the answer already: its Won finds no ring and the wait begins anew, its Revoke changes nothing.
            if let Some((offer, agent)) = ring.offer {
                self.emit(cx, Happening::OfferEnded { offer, agent, end: OfferEnd::Rejected });
            }
            return;
        };
        let mut rest = rest.clone();
        if self.aim_of(id) == Some(&Aim::Emergency) {
            self.emergency_tried(cx, leg, Some(failure));
        }
        if rest.is_empty() || !failure.worth_another(ring.offer.is_some()) {
            self.ring_over(cx, id, &ring, failure);
            return;
        }
        let next = rest.remove(0);
        self.add_ring(id, ring);
        let old = |ring: &Ring| ring.leg() == Some(leg);
        let Some(new) = self.call_target(cx, id, old, &next, !rest.is_empty()) else {
            if let Some((_, ring)) = self.take_ring(old) {
                self.ring_over(cx, id, &ring, failure);
            }
            return;
        };
        if let Some((_, ring)) = self.ring_where(old) {
            ring.stage = RingStage::Calling { leg: new, rest };
            if self.aim_of(id) == Some(&Aim::Emergency) {
                self.emergency_tried(cx, new, None);
            }
            self.report_line(cx, new);
        }
    }

    /// A ring has no target left.
    fn ring_over(&mut self, cx: &mut Cx<'_>, id: AttemptId, ring: &Ring, failure: Failure) {
        let Some(attempt) = self.attempts.iter_mut().find(|attempt| attempt.id == id) else { return };
        attempt.failed = Some(failure);
        let queued = matches!(attempt.wait, Some(Wait::Queue(..)));
        if let Some((offer, agent)) = ring.offer.clone() {
            let outcome = failure.outcome();
            cx.queue(QueueRequest::Outcome(offer, outcome));
            self.emit(cx, Happening::OfferEnded { offer, agent, end: offer_end(outcome) });
        }
        if queued {
            return self.offer_over(cx);
        }
        // Another trunk reaches the same party: one who is busy or refuses is not rung again over it.
        let refused = ring.over.as_ref().filter(|_| !failure.worth_another(false));
        let attempt = self.attempts.iter_mut().find(|attempt| attempt.id == id && attempt.aim != Aim::Emergency);
        if let (Some(over), Some(attempt)) = (refused, attempt) {
            attempt.ways.retain(|way| !matches!(way, Way::Trunk(next) if next.number == over.number));
        }
        self.next_way(cx, id);
    }

    fn on_revoke(&mut self, cx: &mut Cx<'_>, offer: OfferId) {
        let revoked = |ring: &Ring| ring.offer.as_ref().is_some_and(|(id, _)| *id == offer);
        let Some((id, ring)) = self.take_ring(revoked) else { return };
        self.drop_ring(cx, &ring, false, EndReason::AnsweredElsewhere);
        let reserved =
            self.attempts.iter().any(|attempt| attempt.id == id && matches!(attempt.wait, Some(Wait::Agent(_))));
        if reserved { self.next_way(cx, id) } else { self.offer_over(cx) }
    }

    fn on_won(&mut self, cx: &mut Cx<'_>, join: JoinId, offer: OfferId) {
        let Some(attempt) = self.waiting_in(join) else { return };
        let id = attempt.id;
        let won = attempt
            .rings
            .iter()
            .find(|ring| ring.offer.as_ref().is_some_and(|(won, _)| *won == offer))
            .and_then(Ring::leg)
            .filter(|leg| self.legs.alive(*leg).is_some_and(CallLeg::talks));
        let Some(leg) = won else {
            // The agent hung up before the verdict came: the ACD's wait is over, the caller's is not.
            match attempt.wait.clone() {
                Some(Wait::Queue(_, wants)) => self.join_queue(cx, id, Box::new(Wants { head: true, ..*wants })),
                Some(Wait::Agent(_)) | None => self.next_way(cx, id),
            }
            return;
        };
        let Some(index) = self.attempts.iter().position(|attempt| attempt.id == id) else { return };
        let mut attempt = self.attempts.remove(index);
        attempt.wait = None;
        for ring in std::mem::take(&mut attempt.rings) {
            match ring.offer {
                Some((won, agent)) if won == offer => {
                    self.emit(cx, Happening::OfferEnded { offer, agent, end: OfferEnd::Answered });
                }
                Some(_) | None => self.drop_ring(cx, &ring, true, EndReason::AnsweredElsewhere),
            }
        }
        self.attempt_answered(cx, &attempt, leg);
    }

    /// Stops an attempt, whatever its state.
    pub(super) fn cancel(&mut self, cx: &mut Cx<'_>, id: AttemptId) {
        let Some(index) = self.attempts.iter().position(|attempt| attempt.id == id) else { return };
        let attempt = self.attempts.remove(index);
        for ring in &attempt.rings {
            self.drop_ring(cx, ring, true, EndReason::Normal);
        }
        if let Some(wait) = &attempt.wait {
            cx.queue(QueueRequest::Leave(wait.join()));
        }
        match attempt.aim {
            Aim::ThreeWay { transfer } | Aim::Consult { transfer, .. } => self.withdrawn(cx, transfer),
            Aim::Blind { transfer, from } => {
                self.withdrawn(cx, transfer);
                self.refer_progress(cx, from, 487);
            }
            Aim::Queue | Aim::Step | Aim::Emergency => {}
        }
    }

    /// Books that nobody waits for a transfer any more.
    pub(super) fn withdrawn(&mut self, cx: &mut Cx<'_>, transfer: u16) {
        let result = AttemptResult::Withdrawn;
        self.emit(cx, Happening::TransferResult { transfer, result, sip_code: None, fallback: None });
    }

    /// Stops a ring; the ACD is told unless it said so itself.
    fn drop_ring(&mut self, cx: &mut Cx<'_>, ring: &Ring, tell: bool, reason: EndReason) {
        if let Some((offer, agent)) = ring.offer.clone() {
            if tell {
                cx.queue(QueueRequest::Outcome(offer, OfferOutcome::Withdrawn));
            }
            self.emit(cx, Happening::OfferEnded { offer, agent, end: OfferEnd::Withdrawn });
        }
        if let Some(leg) = ring.leg() {
            self.hang_up(cx, leg, reason);
        }
    }

    /// Makes an outgoing leg, with the ports asked for ahead when there are some.
    fn make_leg(&mut self, cx: &mut Cx<'_>, role: LegRole, party: Party, cause: LineCause) -> Option<LegId> {
        let emergency = role == LegRole::Emergency;
        let spare = if emergency { None } else { self.spare.take() };
        let id = match &spare {
            Some(spare) => spare.leg,
            None => self.mint_leg()?,
        };
        let mut leg = CallLeg::new(id, role, party.clone(), false, cause);
        leg.idle = Source::Silence;
        leg.stage = Stage::Setup;
        cx.out.push(Doing::Make(id));
        match spare.and_then(|spare| spare.local) {
            Some(local) => {
                leg.local = true;
                cx.out.push(Doing::Act(id, LegAction::Local(local)));
            }
            None => self.allocate(cx, id, emergency),
        }
        self.legs.add(leg);
        self.emit(cx, Happening::LegStarted { leg: id, role, party });
        Some(id)
    }
}
