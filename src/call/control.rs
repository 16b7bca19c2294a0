//! Call control: who is fetched, who hears whom and what is reported, in words of telephony only.
//!
//! [`Control`] never sees a message; [`Call`](super::Call) couples it with the legs that do. Every input ends in
//! `Control::settle`, the one place where waiting actions are released and every leg is told what it hears, so no
//! path can forget either. Deliberately absent: SIP, SDP, sockets, clocks.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::acd::words::{AcdVerdict, LineState, QueueRequest};
use crate::base::id::{AgentId, LegId, LookupId};
use crate::base::now::{Mono, Now};
use crate::call::attempt::{Aim, Attempt};
use crate::call::bridge::PROBE_EVERY;
use crate::call::emergency::{HandOver, MEDIA_RETRY};
use crate::call::failure::Failure;
use crate::call::journal::Gate;
use crate::call::leg::words::{LegAction, LegEvent};
use crate::call::legs::{CALLER, Legs, Stage};
use crate::call::mints::Mints;
use crate::call::phase::Phase;
use crate::call::setup::Origins;
use crate::call::words::{CallEffect, FarEnd, FarNews, Identity, OperatorCommand, Query, Targets};
use crate::event::call::{Barrier, CallEvent, Happening};
use crate::event::reason::{EndReason, EndedBy};
use crate::plan::model::{Plan, Tenant};
use crate::plan::step::{Cursor, QueueStep};
use crate::rtp::command::{
    Codec, DigitPolicy, LegKind, LocalMedia, MediaClass, MediaCommand, MediaLeg, MediaReport, RefusedWhy, Source,
};

/// The plans a call is decided with.
#[derive(Clone, Copy, Debug)]
pub struct Plans<'a> {
    /// The one in force when the call came; decides everything but emergency lines.
    pub pinned: &'a Plan,
    /// The newest; emergency routes always come from it.
    pub newest: &'a Plan,
}

/// What reaches call control.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum ControlInput {
    /// A leg reports.
    Leg(LegId, LegEvent),
    /// A leg's peer asks for a transfer; `replaces` is the leg behind the dialog it names, inner `None` when that
    /// dialog is not one of this call.
    Refer {
        /// Who asks.
        leg: LegId,
        /// Whom to call, when no dialog is named.
        to: Box<str>,
        /// Whose dialog is to be taken over.
        replaces: Option<Option<LegId>>,
    },
    /// An agent of this call calls out on a second line; the leg is made already.
    Consult {
        /// That line.
        leg: LegId,
        /// The agent.
        agent: AgentId,
        /// The number dialled.
        dialled: Arc<str>,
    },
    /// An agent's other phone wants to take over one of his talks; the leg is made already.
    Replace {
        /// The new line.
        leg: LegId,
        /// The agent.
        agent: AgentId,
        /// The leg whose dialog it names; `None` when that is none of this call.
        named: Option<LegId>,
    },
    /// From the media worker.
    Media(MediaReport),
    /// From the ACD.
    Acd(AcdVerdict),
    /// From the switch.
    Found(LookupId, Targets),
    /// From people.
    Operator(Box<OperatorCommand>),
    /// The journal has stored everything up to this event.
    Stored(u64),
    /// The receiver numbered the ticket.
    TicketNo(Arc<str>),
    /// A deadline came.
    Deadline,
}

/// What call control wants done.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Doing {
    /// Make an outgoing leg of this name.
    Make(LegId),
    /// Tell a leg.
    Act(LegId, LegAction),
    /// Forget a leg that is over.
    Drop(LegId),
    /// Tell the world.
    Effect(CallEffect),
}

/// Media asked for ahead of the first outgoing leg.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(super) struct Spare {
    pub(super) leg: LegId,
    pub(super) local: Option<Box<LocalMedia>>,
}

/// One call without its protocol.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Control {
    pub(super) identity: Identity,
    pub(super) origins: Arc<Origins>,
    pub(super) cursor: Arc<Cursor>,
    /// Whether there is a ticket; without one nothing is journalled.
    pub(super) ticketed: bool,
    pub(super) journal_seq: u64,
    pub(super) gate: Gate,
    pub(super) legs: Legs,
    pub(super) phase: Phase,
    pub(super) attempts: Vec<Attempt>,
    pub(super) handover: Option<HandOver>,
    pub(super) spare: Option<Spare>,
    pub(super) queue_step: Option<Arc<QueueStep>>,
    pub(super) joined_at: Option<Mono>,
    pub(super) avoid: Vec<AgentId>,
    pub(super) greeted: bool,
    pub(super) first_agent: Option<AgentId>,
    pub(super) ticket_no: Option<Arc<str>>,
    pub(super) served: bool,
    pub(super) ended: bool,
    pub(super) media_retry: Option<Mono>,
    pub(super) mints: Mints,
}

/// What every step of call control is handed.
pub(super) struct Cx<'a> {
    pub(super) now: Now,
    pub(super) plans: Plans<'a>,
    pub(super) out: &'a mut Vec<Doing>,
}

impl Cx<'_> {
    pub(super) fn queue(&mut self, request: QueueRequest) {
        self.out.push(Doing::Effect(CallEffect::Queue(request)));
    }

    pub(super) fn find(&mut self, lookup: LookupId, query: Query) {
        self.out.push(Doing::Effect(CallEffect::Find(lookup, query)));
    }

    pub(super) fn far(&mut self, leg: LegId, far: &FarEnd, news: FarNews) {
        self.out.push(Doing::Effect(CallEffect::Far(leg, far.clone(), news)));
    }

    pub(super) fn media(&mut self, command: MediaCommand) {
        self.out.push(Doing::Effect(CallEffect::Media(command)));
    }

    pub(super) fn act(&mut self, leg: LegId, action: LegAction) {
        self.out.push(Doing::Act(leg, action));
    }
}

impl Control {
    /// Takes one input.
    pub fn handle(&mut self, now: Now, plans: Plans<'_>, input: ControlInput, out: &mut Vec<Doing>) {
        let cx = &mut Cx { now, plans, out };
        match input {
            ControlInput::Leg(leg, event) => self.on_leg(cx, leg, event),
            ControlInput::Refer { leg, to, replaces } => self.on_refer(cx, leg, &to, replaces),
            ControlInput::Consult { leg, agent, dialled } => self.on_consult(cx, leg, agent, &dialled),
            ControlInput::Replace { leg, agent, named } => self.on_replace(cx, leg, &agent, named),
            ControlInput::Media(report) => self.on_media(cx, report),
            ControlInput::Acd(verdict) => self.on_acd(cx, verdict),
            ControlInput::Found(lookup, targets) => self.on_found(cx, lookup, targets),
            ControlInput::Operator(command) => self.on_operator(cx, *command),
            ControlInput::Stored(seq) => {
                self.gate.stored(seq);
            }
            ControlInput::TicketNo(number) => {
                if self.ticket_no.as_ref() != Some(&number) {
                    self.ticket_no = Some(Arc::clone(&number));
                    if !self.is_closed() {
                        self.emit(cx, Happening::TicketNo { ticket_no: number });
                    }
                }
            }
            ControlInput::Deadline => self.on_deadline(cx),
        }
        self.settle(cx);
    }

    /// Releases what may go and tells every leg what it hears; closes the call when nothing is left.
    pub(super) fn settle(&mut self, cx: &mut Cx<'_>) {
        for leg in self.legs.names(|leg| !leg.waiting.is_empty()) {
            self.release_waiting(cx, leg);
        }
        for leg in self.legs.names(|leg| leg.connected) {
            let base = self.legs.named(leg).map(|leg| self.legs.base_of(leg));
            if let (Some(base), Some(leg)) = (base, self.legs.named_mut(leg))
                && let Some(command) = leg.tune(base)
            {
                cx.media(command);
            }
        }
        self.close_when_empty(cx);
    }

    fn release_waiting(&mut self, cx: &mut Cx<'_>, id: LegId) {
        let open = self.gate.is_open();
        let mut ready = Vec::new();
        if let Some(leg) = self.legs.alive_mut(id) {
            let may_go = |action: &LegAction| open && (leg.local || matches!(action, LegAction::Ring));
            let count = leg.waiting.iter().take_while(|action| may_go(action)).count();
            ready.extend(leg.waiting.drain(..count));
        }
        for action in ready {
            let what = match action {
                LegAction::Answer => {
                    self.set_talking(id);
                    Some(Happening::LegAnswered { leg: id })
                }
                LegAction::Ring => Some(Happening::LegRinging { leg: id }),
                LegAction::Early => {
                    self.note_early(cx, id);
                    None
                }
                LegAction::Local(_)
                | LegAction::Prefer(_)
                | LegAction::Invite(_)
                | LegAction::Reject { .. }
                | LegAction::HangUp(_)
                | LegAction::ReferProgress { .. }
                | LegAction::Refresh
                | LegAction::Keep
                | LegAction::Forgive => None,
            };
            if let Some(codec) = self.codec_beside(id).filter(|_| !matches!(action, LegAction::Ring)) {
                cx.act(id, LegAction::Prefer(codec));
            }
            cx.act(id, action);
            if let Some(what) = what {
                self.emit(cx, what);
            }
        }
    }

    /// The codec another leg speaks already; the same on both sides needs no conversion.
    fn codec_beside(&self, id: LegId) -> Option<Codec> {
        self.legs.iter().filter(|leg| leg.id != id && leg.is_alive()).find_map(|leg| leg.codec)
    }

    fn set_talking(&mut self, id: LegId) {
        if let Some(leg) = self.legs.alive_mut(id) {
            leg.stage = Stage::Talking;
            leg.early_since = None;
            leg.early_again = None;
        }
    }

    /// Queues an action that must wait for ports and the barrier.
    pub(super) fn act_when_ready(&mut self, leg: LegId, action: LegAction) {
        if let Some(leg) = self.legs.alive_mut(leg) {
            leg.waiting.push(action);
        }
    }

    fn on_leg(&mut self, cx: &mut Cx<'_>, id: LegId, event: LegEvent) {
        if event == LegEvent::Over {
            if self.legs.alive(id).is_some() {
                self.leg_gone(cx, id, Gone::Lost);
            }
            self.legs.drop(id);
            cx.out.push(Doing::Drop(id));
            return;
        }
        let Some(leg) = self.legs.alive_mut(id) else { return };
        match event {
            LegEvent::Ringing => {
                if leg.stage == Stage::Setup {
                    leg.stage = Stage::Ringing;
                    self.emit(cx, Happening::LegRinging { leg: id });
                    self.ring_rings(cx, id);
                }
            }
            LegEvent::Remote(remote) => {
                leg.connected = true;
                leg.codec = Some(remote.codec);
                cx.media(MediaCommand::Remote { leg: id, remote });
                self.early_media(id);
            }
            LegEvent::Answered => {
                leg.stage = Stage::Talking;
                if let Some(far) = &leg.far {
                    cx.far(id, far, FarNews::Alive);
                }
                self.emit(cx, Happening::LegAnswered { leg: id });
                self.report_line(cx, id);
                self.watch_digits(cx, id);
                self.ring_answered(cx, id);
            }
            LegEvent::Confirmed => {
                self.report_line(cx, id);
                self.watch_digits(cx, id);
            }
            LegEvent::Failed { status, responded, contacts } => {
                let rang = leg.stage == Stage::Ringing;
                self.redirected(cx, id, status, &contacts);
                self.leg_gone(cx, id, Gone::Failed(Failure { status, responded, rang }));
            }
            LegEvent::Cancelled => self.leg_gone(cx, id, Gone::Cancelled),
            LegEvent::Bye { q850 } => {
                let why = q850.map_or(EndReason::Normal, EndReason::of_cause);
                self.leg_gone(cx, id, Gone::HungUp(why));
            }
            LegEvent::Lost => self.leg_gone(cx, id, Gone::Lost),
            LegEvent::Held => self.set_hold(cx, id, true),
            LegEvent::Resumed => self.set_hold(cx, id, false),
            LegEvent::Digit(digit) => self.on_info_digit(cx, id, digit),
            LegEvent::Refer { .. } | LegEvent::Over => {}
        }
    }

    fn set_hold(&mut self, cx: &mut Cx<'_>, id: LegId, held: bool) {
        let Some(leg) = self.legs.alive_mut(id).filter(|leg| leg.on_hold != held) else { return };
        leg.on_hold = held;
        leg.probe_at = (held && leg.party.agent.is_some()).then(|| cx.now.mono + PROBE_EVERY);
        leg.silent_since = None;
        self.emit(cx, if held { Happening::Held { leg: id } } else { Happening::Resumed { leg: id } });
        self.report_line(cx, id);
    }

    fn on_media(&mut self, cx: &mut Cx<'_>, report: MediaReport) {
        let id = report.leg();
        match report {
            MediaReport::Allocated { leg, local } => {
                if let Some(spare) = self.spare.as_mut().filter(|spare| spare.leg == leg) {
                    spare.local = Some(local);
                } else if let Some(leg) = self.legs.alive_mut(leg).filter(|leg| !leg.local) {
                    leg.local = true;
                    cx.act(id, LegAction::Local(local));
                }
            }
            MediaReport::Refused { why, .. } => self.on_refused(cx, id, why),
            MediaReport::Digit { digit, .. } => self.on_digit(cx, id, digit),
            MediaReport::PlayDone { token, .. } => self.on_play_done(cx, id, token),
            MediaReport::Stalled { silent, .. } => {
                if let Some(leg) = self.legs.alive_mut(id).filter(|leg| !leg.on_hold) {
                    leg.silent_since = Some(cx.now.mono - silent);
                }
            }
            MediaReport::Resumed { .. } | MediaReport::Latched { .. } => {
                if let Some(leg) = self.legs.alive_mut(id) {
                    leg.silent_since = None;
                }
            }
            MediaReport::RtcpBye { .. } | MediaReport::Quality { .. } => {}
        }
    }

    fn on_refused(&mut self, cx: &mut Cx<'_>, id: LegId, why: RefusedWhy) {
        if self.spare.as_ref().is_some_and(|spare| spare.leg == id) {
            self.spare = None;
            return;
        }
        if self.legs.alive(id).is_none() {
            return;
        }
        if id == CALLER && self.is_guarded() {
            self.media_retry = Some(cx.now.mono + MEDIA_RETRY);
            return;
        }
        let emergency = self.attempt_of(id).is_some_and(|attempt| attempt.aim == Aim::Emergency);
        let queued = self.attempt_of(id).is_some_and(|attempt| attempt.aim == Aim::Queue);
        if id == CALLER || (queued && why != RefusedWhy::UnsupportedKind && !emergency) {
            self.end(cx, EndedBy::Engine, EndReason::MediaOverload);
        } else {
            cx.act(id, LegAction::HangUp(EndReason::MediaOverload));
            self.leg_gone(cx, id, Gone::Failed(Failure::NOWHERE));
        }
    }

    /// Ends a leg from our side.
    pub(super) fn hang_up(&mut self, cx: &mut Cx<'_>, id: LegId, reason: EndReason) {
        if self.legs.alive(id).is_some() {
            cx.act(id, LegAction::HangUp(reason));
            self.close_leg(cx, id, reason, None);
        }
    }

    /// Books a leg as ended: event, ports, line state.
    pub(super) fn close_leg(&mut self, cx: &mut Cx<'_>, id: LegId, reason: EndReason, sip_code: Option<u16>) {
        let Some(leg) = self.legs.alive_mut(id) else { return };
        if let Some(far) = leg.far.take() {
            if let Some(news) = leg.sign_of_life(reason, sip_code) {
                cx.far(id, &far, news);
            }
            cx.far(id, &far, FarNews::Over);
        }
        leg.stage = Stage::Gone;
        leg.waiting.clear();
        leg.play = None;
        leg.room = None;
        leg.early_since = None;
        leg.early_again = None;
        leg.silent_since = None;
        leg.probe_at = None;
        for listener in self.legs.iter_mut().filter(|listener| listener.idle == Source::Leg(id)) {
            listener.idle = Source::RingBack;
        }
        cx.media(MediaCommand::Release { leg: id });
        self.emit(cx, Happening::LegEnded { leg: id, reason, sip_code });
        self.report_line(cx, id);
    }

    /// Tells the ACD what an agent's leg does now.
    pub(super) fn report_line(&mut self, cx: &mut Cx<'_>, id: LegId) {
        let Some(leg) = self.legs.named(id) else { return };
        let Some(agent) = leg.party.agent.clone() else { return };
        let state = match leg.stage {
            Stage::Gone => LineState::Idle,
            Stage::Setup | Stage::Ringing => LineState::Ringing,
            Stage::Talking if leg.on_hold => LineState::Held,
            Stage::Talking => LineState::Talking,
        };
        let leg_name = MediaLeg { call: self.identity.call, leg: id };
        cx.queue(QueueRequest::Line { agent, leg: leg_name, state, cause: leg.cause });
    }

    fn watch_digits(&self, cx: &mut Cx<'_>, id: LegId) {
        if self.legs.alive(id).is_some_and(|leg| leg.party.agent.is_some()) {
            cx.media(MediaCommand::Digits { leg: id, digits: DigitPolicy::Codes });
        }
    }

    pub(super) fn allocate(&self, cx: &mut Cx<'_>, leg: LegId, emergency: bool) {
        let class = if emergency || self.is_guarded() { MediaClass::Emergency } else { MediaClass::Ordinary };
        cx.media(MediaCommand::Allocate { leg, kind: LegKind::Plain, class });
    }

    /// Journals what happened.
    pub(super) fn emit(&mut self, cx: &mut Cx<'_>, what: Happening) {
        self.emit_held(cx, what, Barrier::None);
    }

    pub(super) fn emit_held(&mut self, cx: &mut Cx<'_>, what: Happening, barrier: Barrier) {
        if !self.ticketed {
            return;
        }
        self.journal_seq += 1;
        let event = CallEvent {
            call: self.identity.call,
            ticket: self.identity.ticket,
            tenant: self.origins.tenant.clone(),
            journal_seq: self.journal_seq,
            at: cx.now.wall,
            mono: cx.now.mono,
            what,
        };
        cx.out.push(Doing::Effect(CallEffect::Emit(Box::new(event), barrier)));
    }

    /// The place of the call, as the pinned plan has it.
    pub(super) fn tenant<'p>(&self, plan: &'p Plan) -> Option<&'p Tenant> {
        plan.tenant(&self.origins.tenant).map(Arc::as_ref)
    }

    /// Whether the call has a ticket.
    #[must_use]
    pub const fn is_ticketed(&self) -> bool {
        self.ticketed
    }

    /// Its names.
    #[must_use]
    pub const fn identity(&self) -> &Identity {
        &self.identity
    }

    /// What stays known of its beginning.
    #[must_use]
    pub fn origins(&self) -> &Origins {
        &self.origins
    }

    /// The first agent who answered.
    #[must_use]
    pub const fn first_agent(&self) -> Option<&AgentId> {
        self.first_agent.as_ref()
    }

    /// The receiver's number for the ticket.
    #[must_use]
    pub const fn ticket_no(&self) -> Option<&Arc<str>> {
        self.ticket_no.as_ref()
    }

    /// All legs.
    #[must_use]
    pub const fn legs(&self) -> &Legs {
        &self.legs
    }

    /// Where the citizen is.
    #[must_use]
    pub const fn phase(&self) -> &Phase {
        &self.phase
    }

    /// Whether the first event was not stored in time (`contract.md` §5 `unstored`).
    #[must_use]
    pub const fn is_unstored(&self) -> bool {
        matches!(self.gate, Gate::Open { unstored: true })
    }

    /// Whether nothing more is said about the call; its legs' last transactions may still run.
    #[must_use]
    pub const fn is_closed(&self) -> bool {
        matches!(self.phase, Phase::Ending { close_at: None, .. } | Phase::Over)
    }

    /// Whether nothing is left of the call.
    #[must_use]
    pub const fn is_over(&self) -> bool {
        matches!(self.phase, Phase::Over)
    }
}

/// How a leg went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Gone {
    /// Its party hung up, and said why.
    HungUp(EndReason),
    /// Its party cancelled before the answer.
    Cancelled,
    /// It died.
    Lost,
    /// It was not answered.
    Failed(Failure),
}

impl Gone {
    pub(super) const fn reason(self) -> EndReason {
        match self {
            Self::HungUp(why) => why,
            Self::Cancelled => EndReason::Abandoned,
            Self::Lost => EndReason::LegLost,
            Self::Failed(failure) => failure.reason(),
        }
    }

    pub(super) const fn sip_code(self) -> Option<u16> {
        match self {
            Self::HungUp(_) | Self::Lost => None,
            Self::Cancelled => Some(487),
            Self::Failed(failure) => Some(failure.status),
        }
    }
}
