//! The beginning of an inbound call: its facts, its first event, and the walk along the plan's steps.
//!
//! Deliberately absent: the routing decision itself (`plan`), admission (`switch`).

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::acd::words::LineCause;
use crate::base::calendar::china;
use crate::base::hotline::Channel;
use crate::base::id::{LegId, TenantName, TrunkName};
use crate::base::now::Now;
use crate::call::agent_call::ByAgent;
use crate::call::carried::Carried;
use crate::call::control::{Control, Cx, Doing, Plans, Spare};
use crate::call::journal::{BARRIER, Gate};
use crate::call::leg::words::LegAction;
use crate::call::legs::{CALLER, CallLeg, Legs, PlayFor, Stage};
use crate::call::mints::Mints;
use crate::call::phase::Phase;
use crate::call::words::Identity;
use crate::event::call::{
    Barrier, CallSource, CallerFacts, Happening, HotlineFacts, LegRole, Party, RegionBasis, Started,
};
use crate::event::reason::{EndReason, EndedBy};
use crate::plan::model::Hotline;
use crate::plan::route::{Caller, Route, Verdict};
use crate::plan::step::{Announcement, Cursor, DialPurpose, Outcome, Step};
use crate::plan::trunk;
use crate::rtp::command::Source;

/// How often 183 is repeated to a caller in early media (`contract.md` §4, RFC 3261 §13.3.1.1).
const EARLY_EVERY: Duration = Duration::from_secs(60);

/// An INVITE that passed admission, as the switch understood it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Inbound {
    /// The trunk it came over.
    pub trunk: TrunkName,
    /// What the plan decided.
    pub route: Route,
    /// Its Call-ID header.
    pub sip_call_id: Arc<str>,
    /// Numbers it was diverted from, nearest last.
    pub diverted_from: Vec<Arc<str>>,
    /// Its Max-Forwards.
    pub max_forwards: u8,
    /// The caller's display name, octets as they came; empty for none.
    pub display: Bytes,
    /// Another system's number of the matter, or a ticket of ours that comes back.
    pub external_ref: Option<Arc<str>>,
    /// What of the INVITE goes on to far parties.
    pub carried: Carried,
}

/// What stays known of a call's beginning.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Origins {
    /// The place.
    pub tenant: TenantName,
    /// The trunk it came over; `None` for a call that began at an agent's phone.
    pub trunk: Option<TrunkName>,
    /// The agent who began it, when one did.
    pub by_agent: Option<Box<ByAgent>>,
    /// When.
    pub invited: Now,
    /// The number dialled, in normal form.
    pub number: Arc<str>,
    /// The hotline, when it is one.
    pub hotline: Option<Arc<Hotline>>,
    /// Who calls.
    pub caller: Caller,
    /// The caller's display name, octets as they came; empty for none.
    pub display: Bytes,
    /// What of the INVITE goes on to far parties.
    pub carried: Carried,
    /// Max-Forwards of the INVITE.
    pub max_forwards: u8,
    /// Whether a caller who must wait is answered at once.
    pub answer_first: bool,
    /// How long early media may last.
    pub early_max: Duration,
}

impl Control {
    /// A call that came over a trunk. Its leg [`CALLER`] is made already.
    pub fn inbound(now: Now, plans: Plans<'_>, identity: Identity, inbound: &Inbound, out: &mut Vec<Doing>) -> Self {
        let route = &inbound.route;
        let trunk = plans.pinned.trunk(&inbound.trunk);
        let emergency = matches!(route.verdict, Verdict::Emergency(_));
        let origins = Origins {
            tenant: route.tenant.clone(),
            trunk: Some(inbound.trunk.clone()),
            by_agent: None,
            invited: now,
            number: Arc::from(route.number.as_str()),
            hotline: route.hotline.clone(),
            caller: route.caller.clone(),
            display: inbound.display.clone(),
            carried: inbound.carried.clone(),
            max_forwards: inbound.max_forwards,
            answer_first: trunk.is_none_or(|trunk| trunk.answer_before_queue),
            early_max: trunk.map_or(EARLY_EVERY, |trunk| trunk.early_media_max),
        };
        let mut call = Self::bare(identity, origins, route.cursor.clone());
        let cx = &mut Cx { now, plans, out };
        let barrier = if emergency { Barrier::None } else { Barrier::Hold };
        let started = call.started(cx, inbound);
        call.emit_held(cx, Happening::Started(Box::new(started)), barrier);
        if !emergency {
            call.gate = Gate::Shut { seq: call.journal_seq, until: now.mono + BARRIER };
        }
        let number = call.origins.caller.number.normal.as_str();
        let party = Party { number: Some(Arc::from(number)), trunk: Some(inbound.trunk.clone()), ..Party::default() };
        call.legs.add(CallLeg::new(CALLER, LegRole::Caller, party.clone(), true, LineCause::Own));
        call.emit(cx, Happening::LegStarted { leg: CALLER, role: LegRole::Caller, party });
        call.allocate(cx, CALLER, emergency);
        if matches!(route.first, Step::Queue(_) | Step::Dial(_)) && !emergency {
            call.ask_spare(cx);
        }
        call.start_step(cx, route.first.clone());
        call.settle(cx);
        call
    }

    /// A call of which nothing has happened yet.
    pub(super) fn bare(identity: Identity, origins: Origins, cursor: Cursor) -> Self {
        Self {
            identity,
            origins: Arc::new(origins),
            cursor: Arc::new(cursor),
            ticketed: true,
            journal_seq: 0,
            gate: Gate::Open { unstored: false },
            legs: Legs::default(),
            phase: Phase::Announcing,
            attempts: Vec::new(),
            handover: None,
            spare: None,
            queue_step: None,
            joined_at: None,
            avoid: Vec::new(),
            greeted: false,
            first_agent: None,
            ticket_no: None,
            served: false,
            ended: false,
            media_retry: None,
            mints: Mints::default(),
        }
    }

    /// Asks for the ports of the first outgoing leg ahead of it.
    pub(super) fn ask_spare(&mut self, cx: &mut Cx<'_>) {
        if let Some(leg) = self.mint_leg() {
            self.allocate(cx, leg, false);
            self.spare = Some(Spare { leg, local: None });
        }
    }

    fn started(&self, cx: &Cx<'_>, inbound: &Inbound) -> Started {
        let route = &inbound.route;
        let caller = &route.caller;
        let civil = china(cx.now.wall);
        let tenant = self.tenant(cx.plans.pinned);
        let area = |code: crate::base::number::AreaCode| -> Arc<str> { Arc::from(code.to_string()) };
        let (region_candidate, region_basis) = match (caller.number.area, route.area) {
            (Some(code), _) => (Some(area(code)), Some(RegionBasis::CallerArea)),
            (None, Some(code)) => (Some(area(code)), Some(RegionBasis::DialledArea)),
            (None, None) => (tenant.map(|tenant| Arc::from(tenant.title.as_str())), tenant.map(|_| RegionBasis::Trunk)),
        };
        let mut diverted_from = inbound.diverted_from.clone();
        if let (true, Some(number)) = (diverted_from.is_empty(), &route.diverted_from) {
            diverted_from.push(Arc::from(number.as_str()));
        }
        Started {
            channel: Channel::Phone,
            source: source_of(route.source),
            trunk: Some(inbound.trunk.clone()),
            dialled_raw: Arc::from(route.dialled_raw.as_str()),
            dialled: Arc::from(route.number.as_str()),
            area_code: route.area.map(area),
            hotline: route.hotline.as_deref().map(HotlineFacts::from),
            emergency_line: match &route.verdict {
                Verdict::Emergency(line) => Some(Arc::from(line.number.as_str())),
                Verdict::Hotline | Verdict::NotOpened | Verdict::CutOff | Verdict::Unknown => None,
            },
            caller: CallerFacts {
                raw: Arc::from(caller.number.raw.as_str()),
                number: Arc::from(caller.number.normal.as_str()),
                kind: caller.number.kind,
                trust: caller.trust,
                private: caller.private,
                area_code: caller.number.area.map(area),
            },
            diverted_from,
            region_candidate,
            region_basis,
            after_hours: tenant.is_some_and(|tenant| !tenant.work_hours.open_at(&tenant.calendar, civil)),
            workday: tenant.is_none_or(|tenant| tenant.calendar.is_workday(civil.date())),
            rule_set: None,
            dispatch_due_at: None,
            test_call: false,
            external_ref: inbound.external_ref.clone(),
            about_ticket_no: None,
            parent_ticket: None,
            sip_call_id: Arc::clone(&inbound.sip_call_id),
            config_hash: cx.plans.pinned.hash,
        }
    }

    /// Walks on in the plan.
    pub(super) fn advance(&mut self, cx: &mut Cx<'_>, outcome: Outcome) {
        let step = cx.plans.pinned.advance(Arc::make_mut(&mut self.cursor), outcome, cx.now.wall);
        self.start_step(cx, step);
    }

    pub(super) fn start_step(&mut self, cx: &mut Cx<'_>, step: Step) {
        match step {
            Step::Announce { prompt, early } => {
                self.phase = Phase::Announcing;
                if early {
                    self.early_caller()
                } else {
                    self.answer_caller()
                }
                if let Some(caller) = self.legs.alive_mut(CALLER) {
                    caller.room = None;
                }
                self.play(cx, CALLER, PlayFor::Step, &prompt);
            }
            Step::Queue(step) => self.enter_queue(cx, step, false),
            Step::Dial(step) if step.purpose == DialPurpose::Emergency => self.dial_emergency(cx, &step),
            Step::Dial(step) => self.dial(cx, step),
            Step::Reject { status, q850 } => self.reject(cx, status, q850),
            Step::Release => self.end(cx, EndedBy::Engine, EndReason::RejectedByPlan),
            Step::Finished => self.end(cx, EndedBy::Engine, EndReason::Normal),
        }
    }

    /// Begins to play something to a leg.
    pub(super) fn play(&mut self, cx: &mut Cx<'_>, leg: LegId, why: PlayFor, what: &Announcement) {
        let token = self.mint_play();
        let tenant: Arc<str> = Arc::from(self.origins.tenant.as_str());
        let Some(record) = self.legs.alive_mut(leg) else { return };
        record.play(cx.now.mono, token, why, &tenant, what);
        self.emit(cx, Happening::PromptPlayed { leg, prompt: Arc::from(what.name.as_str()) });
    }

    /// Whether the caller hears us already, answered or in early media.
    pub(super) fn caller_hears(&self) -> bool {
        self.legs.alive(CALLER).is_some_and(|leg| {
            leg.talks()
                || leg.early_since.is_some()
                || leg.waiting.iter().any(|action| matches!(action, LegAction::Answer | LegAction::Early))
        })
    }

    /// Lets the caller hear us: 200 where the trunk says so, otherwise 183 (`contract.md` §4).
    pub(super) fn open_caller(&mut self) {
        if self.origins.answer_first { self.answer_caller() } else { self.early_caller() }
    }

    pub(super) fn early_caller(&mut self) {
        if !self.caller_hears() {
            self.act_when_ready(CALLER, LegAction::Early);
        }
    }

    pub(super) fn answer_caller(&mut self) {
        let wanted = self
            .legs
            .alive(CALLER)
            .is_some_and(|leg| leg.incoming && !leg.talks() && !leg.waiting.contains(&LegAction::Answer));
        if wanted {
            self.act_when_ready(CALLER, LegAction::Answer);
        }
    }

    pub(super) fn ring_caller(&mut self) {
        if self.caller_hears() {
            return;
        }
        if let Some(caller) = self.legs.alive_mut(CALLER).filter(|leg| leg.stage == Stage::Setup) {
            caller.stage = Stage::Ringing;
            caller.waiting.push(LegAction::Ring);
        }
    }

    /// Books that 183 goes out now.
    pub(super) fn note_early(&mut self, cx: &Cx<'_>, leg: LegId) {
        if let Some(leg) = self.legs.alive_mut(leg) {
            leg.early_since.get_or_insert(cx.now.mono);
            leg.early_again = Some(cx.now.mono + EARLY_EVERY);
        }
    }

    /// Repeats 183, or answers a caller who has been in our early media long enough.
    pub(super) fn early_due(&mut self, cx: &mut Cx<'_>) {
        let early_max = self.origins.early_max;
        let ours = self.early_is_ours();
        let Some(caller) = self.legs.alive_mut(CALLER) else { return };
        if ours && caller.early_since.is_some_and(|since| since + early_max <= cx.now.mono) {
            self.answer_caller();
        } else if caller.early_again.is_some_and(|again| again <= cx.now.mono) {
            caller.early_again = Some(cx.now.mono + EARLY_EVERY);
            cx.act(CALLER, LegAction::Early);
        }
    }

    /// Whether early media comes from us and not from a far party.
    pub(super) fn early_is_ours(&self) -> bool {
        match &self.phase {
            Phase::Queueing(_) => true,
            Phase::Dialling(dialling) => {
                dialling.step.prompt.is_some() || self.handover.as_ref().is_some_and(|h| h.round > 0)
            }
            Phase::Announcing | Phase::Talking(_) | Phase::Ending { .. } | Phase::Over => false,
        }
    }

    /// Where an unconnected caller is left until something better is known.
    pub(super) fn park_caller(&mut self, idle: Source) {
        if let Some(caller) = self.legs.alive_mut(CALLER) {
            caller.room = None;
            caller.idle = idle;
        }
    }
}

impl From<&Hotline> for HotlineFacts {
    fn from(hotline: &Hotline) -> Self {
        Self {
            number: Arc::clone(&hotline.number),
            name: Arc::from(hotline.name.as_str()),
            unit: hotline.unit.clone(),
            merge_mode: hotline.mode,
            seat_policy: hotline.seats,
        }
    }
}

const fn source_of(source: trunk::CallSource) -> CallSource {
    match source {
        trunk::CallSource::Public => CallSource::Public,
        trunk::CallSource::Police => CallSource::Police,
        trunk::CallSource::Province => CallSource::Province,
        trunk::CallSource::Subcentre => CallSource::Subcentre,
    }
}
