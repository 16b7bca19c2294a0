//! Calls that begin at an agent's phone: outside, to a colleague or a queue, to an emergency line, or a star code.
//!
//! | the agent dials | rung | ticket |
//! |---|---|---|
//! | an emergency line | its routes, without end | one, `outbound` |
//! | a number of the public network, a unit's contact, a hotline's own seats | over trunks, in order | one, `outbound` |
//! | a colleague, a queue | his phone; whoever is offered | none, until somebody outside is fetched into the call |
//! | a star code | nobody: 200, a short tone, BYE | none |
//!
//! The agent is leg 0 and stands where a citizen's call has the citizen; what differs is said here: nobody waits in a
//! queue again when the far party is lost, the place's 12345 is presented instead of a caller, and a far party whom the
//! agent has sent on is not hung up when the agent leaves. Deliberately absent: who may dial what (`plan::outward`),
//! what a code does to the desk (`switch`).

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::acd::words::LineCause;
use crate::base::calendar::china;
use crate::base::hotline::{CallerTrust, Channel};
use crate::base::id::{AgentId, LegId, TenantName};
use crate::base::now::Now;
use crate::base::number::{AreaCode, CallerNumber};
use crate::call::attempt::{Aim, Attempt};
use crate::call::carried::Carried;
use crate::call::control::{Control, Cx, Doing, Plans};
use crate::call::destination::Wanted;
use crate::call::failure::Failure;
use crate::call::journal::{BARRIER, Gate};
use crate::call::leg::words::LegAction;
use crate::call::legs::{CALLER, CallLeg, PlayFor, Room};
use crate::call::phase::{Dialling, Phase};
use crate::call::setup::Origins;
use crate::call::words::Identity;
use crate::event::call::{
    Barrier, CallSource, CallerFacts, Happening, HotlineFacts, LegRole, Party, RegionBasis, Started,
};
use crate::event::reason::{EndReason, EndedBy};
use crate::plan::outward::{Outward, OutwardWay};
use crate::plan::route::Caller;
use crate::plan::step::{Announcement, Cursor, DialPurpose, DialStep};
use crate::rtp::command::Source;

/// The number presented for calls of ours where a trunk says no other.
const PRESENTED: &str = "12345";
/// The clip that says a code was taken.
const CONFIRMED: &str = "confirm";
/// How long early media of a far end may last; the far end's own, so it only bounds repetitions.
const EARLY_MAX: Duration = Duration::from_secs(60);

/// An INVITE of an agent who is in no talk, as the switch understood it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct AgentCall {
    /// The agent, proved.
    pub agent: AgentId,
    /// His place.
    pub tenant: TenantName,
    /// What he wants.
    pub wish: Wish,
    /// The number dialled, as it came.
    pub dialled_raw: Arc<str>,
    /// Its Call-ID header.
    pub sip_call_id: Arc<str>,
    /// Its Max-Forwards.
    pub max_forwards: u8,
}

/// What an agent's INVITE is for.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Wish {
    /// To reach somebody, as the plan decided; never a refused way.
    Reach(Box<Outward>),
    /// A star code that was taken: it is answered and confirmed.
    Code,
}

/// What stays known of a call an agent began.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ByAgent {
    /// The agent.
    pub agent: AgentId,
    /// The number dialled, as it came.
    pub dialled_raw: Arc<str>,
    /// Its area, where it has one.
    pub area: Option<AreaCode>,
    /// The Call-ID header of his INVITE.
    pub sip_call_id: Arc<str>,
}

impl Control {
    /// A call that began at an agent's phone. Its leg [`CALLER`] is made already.
    pub fn of_agent(now: Now, plans: Plans<'_>, identity: Identity, call: &AgentCall, out: &mut Vec<Doing>) -> Self {
        let origins = origins(now, plans, call);
        let cursor = Cursor::empty(origins.tenant.clone(), now.wall);
        let mut control = Self::bare(identity, origins, cursor);
        let cx = &mut Cx { now, plans, out };
        let (ticketed, emergency) = match &call.wish {
            Wish::Code => (false, false),
            Wish::Reach(outward) => match outward.way {
                OutwardWay::Emergency(_) => (true, true),
                OutwardWay::Seats(_) | OutwardWay::Named { .. } | OutwardWay::Outside(_) => (true, false),
                OutwardWay::Agent(_) | OutwardWay::Queue(_) | OutwardWay::Refused(_) => (false, false),
            },
        };
        control.first_agent = Some(call.agent.clone());
        control.ticketed = false;
        if ticketed {
            control.open_ticket(cx, if emergency { Barrier::None } else { Barrier::Hold });
        }
        let party = Party { agent: Some(call.agent.clone()), ..Party::default() };
        control.legs.add(CallLeg::new(CALLER, LegRole::Agent, party.clone(), true, LineCause::Own));
        control.emit(cx, Happening::LegStarted { leg: CALLER, role: LegRole::Agent, party });
        control.allocate(cx, CALLER, emergency);
        control.report_line(cx, CALLER);
        match &call.wish {
            Wish::Code => control.confirm_code(cx),
            Wish::Reach(outward) => control.reach(cx, outward),
        }
        control.settle(cx);
        control
    }

    fn confirm_code(&mut self, cx: &mut Cx<'_>) {
        self.phase = Phase::Announcing;
        self.answer_caller();
        let tone = Announcement { name: CONFIRMED.to_owned(), text: String::new(), clips: vec![Arc::from(CONFIRMED)] };
        self.play(cx, CALLER, PlayFor::Step, &tone);
    }

    fn reach(&mut self, cx: &mut Cx<'_>, outward: &Outward) {
        if let OutwardWay::Emergency(line) = &outward.way {
            self.dial_emergency(cx, &line.dial());
            return;
        }
        match self.wanted(cx, &outward.way) {
            Ok(wanted) => self.fetch_far(cx, wanted),
            Err(refusal) => self.reject(cx, refusal.answer().0, None),
        }
    }

    fn fetch_far(&mut self, cx: &mut Cx<'_>, wanted: Wanted) {
        self.ask_spare(cx);
        let step = DialStep {
            targets: Vec::new(),
            ring: wanted.ring,
            purpose: DialPurpose::Department,
            callee: wanted.callee.unit.as_deref().unwrap_or_default().to_owned(),
            prompt: None,
        };
        self.phase = Phase::Dialling(Box::new(Dialling { step, transfer: None }));
        self.park_caller(Source::RingBack);
        self.begin(cx, Aim::Step, wanted.callee, wanted.ways, wanted.ring);
    }

    /// Whether an agent began this call.
    pub(super) fn is_of_agent(&self) -> bool {
        self.origins.by_agent.is_some()
    }

    /// Nobody was reached; the agent's phone gets what came back.
    pub(super) fn far_failed(&mut self, cx: &mut Cx<'_>, attempt: &Attempt) {
        let colleague = attempt.callee.role == LegRole::Agent;
        let failure = attempt.failed.unwrap_or(Failure::NOWHERE);
        let status = if colleague && !failure.responded { 480 } else { failure.answer() };
        self.reject(cx, status, None);
    }

    /// The agent has left his own call while somebody he asked for is being fetched: whether the far party stays for it.
    pub(super) fn far_stays(&mut self, cx: &mut Cx<'_>) -> bool {
        let fetching = |attempt: &Attempt| matches!(attempt.aim, Aim::ThreeWay { .. } | Aim::Blind { .. });
        let others = self.legs.members(Room::MAIN);
        let talking = matches!(self.phase, Phase::Talking(_));
        let stays = self.is_of_agent() && talking && !others.is_empty() && self.attempts.iter().any(fetching);
        if stays {
            self.drop_emergency(cx);
            for leg in others {
                if let Some(leg) = self.legs.alive_mut(leg) {
                    leg.idle = Source::RingBack;
                }
            }
        }
        stays
    }

    /// Ends a call of an agent's whose far party is alone and for whom nobody is fetched any more.
    pub(super) fn end_alone(&mut self, cx: &mut Cx<'_>, reason: EndReason) {
        let alone = self.legs.alive(CALLER).is_none() && self.legs.members(Room::MAIN).len() < 2;
        if self.is_of_agent() && alone {
            self.end(cx, EndedBy::Engine, reason);
        }
    }

    /// Opens the ticket of a call that has none yet, because somebody outside is fetched.
    pub(super) fn need_ticket(&mut self, cx: &mut Cx<'_>) {
        if self.ticketed {
            return;
        }
        self.open_ticket(cx, Barrier::Hold);
        for leg in self.legs.iter().filter(|leg| leg.is_alive()).map(|leg| leg.id).collect::<Vec<_>>() {
            self.retell_leg(cx, leg);
        }
    }

    /// Says of a leg what a ticket that opens late has missed.
    fn retell_leg(&mut self, cx: &mut Cx<'_>, id: LegId) {
        let Some(leg) = self.legs.alive(id) else { return };
        let (role, party, talks) = (leg.role, leg.party.clone(), leg.talks());
        self.emit(cx, Happening::LegStarted { leg: id, role, party });
        if talks {
            self.emit(cx, Happening::LegAnswered { leg: id });
        }
    }

    fn open_ticket(&mut self, cx: &mut Cx<'_>, barrier: Barrier) {
        self.ticketed = true;
        let started = self.started_by_agent(cx);
        self.emit_held(cx, Happening::Started(Box::new(started)), barrier);
        if barrier == Barrier::Hold {
            self.gate = Gate::Shut { seq: self.journal_seq, until: cx.now.mono + BARRIER };
        }
    }

    fn started_by_agent(&self, cx: &Cx<'_>) -> Started {
        let (civil, tenant) = (china(cx.now.wall), self.tenant(cx.plans.pinned));
        let by = self.origins.by_agent.as_ref();
        let (area, caller) = (by.and_then(|by| by.area).map(|area| Arc::from(area.to_string())), &self.origins.caller);
        let number = Arc::clone(&self.origins.number);
        let emergency = tenant.is_some_and(|tenant| tenant.emergency.contains_key(number.as_ref()));
        Started {
            channel: Channel::Outbound,
            source: CallSource::Public,
            trunk: None,
            dialled_raw: by.map_or_else(|| Arc::clone(&number), |by| Arc::clone(&by.dialled_raw)),
            emergency_line: emergency.then(|| Arc::clone(&number)),
            dialled: number,
            hotline: self.origins.hotline.as_deref().map(HotlineFacts::from),
            caller: CallerFacts {
                raw: Arc::from(caller.number.raw.as_str()),
                number: Arc::from(caller.number.normal.as_str()),
                kind: caller.number.kind,
                trust: caller.trust,
                private: false,
                area_code: None,
            },
            diverted_from: Vec::new(),
            region_basis: area.as_ref().map(|_| RegionBasis::DialledArea),
            region_candidate: area.clone(),
            area_code: area,
            after_hours: tenant.is_some_and(|tenant| !tenant.work_hours.open_at(&tenant.calendar, civil)),
            workday: tenant.is_none_or(|tenant| tenant.calendar.is_workday(civil.date())),
            rule_set: None,
            dispatch_due_at: None,
            test_call: false,
            external_ref: None,
            about_ticket_no: None,
            parent_ticket: None,
            sip_call_id: by.map_or_else(|| Arc::from(""), |by| Arc::clone(&by.sip_call_id)),
            config_hash: cx.plans.pinned.hash,
        }
    }

    /// An agent's phone takes over a talk of his other phone (RFC 3891 §3): the new line stands where the old one did.
    /// Nobody picks up a colleague's.
    pub(super) fn on_replace(&mut self, cx: &mut Cx<'_>, leg: LegId, agent: &AgentId, named: Option<LegId>) {
        let own = |old: &&CallLeg| old.talks() && old.party.agent.as_ref() == Some(agent);
        let old = named.filter(|_| self.phase.is_live()).and_then(|old| self.legs.alive(old)).filter(own);
        // Leg 0 is what the call hangs on; it is not exchanged.
        let Some((old, room)) = old.filter(|old| old.id != CALLER).and_then(|old| Some((old.clone(), old.room?)))
        else {
            cx.act(leg, LegAction::Reject { status: 481, q850: None, retry_after: None });
            return;
        };
        let mut line = CallLeg::new(leg, old.role, old.party.clone(), true, old.cause);
        line.idle = old.idle.clone();
        line.room = Some(room);
        self.legs.add(line);
        self.emit(cx, Happening::LegStarted { leg, role: old.role, party: old.party });
        self.allocate(cx, leg, false);
        self.report_line(cx, leg);
        self.act_when_ready(leg, LegAction::Answer);
        self.hang_up(cx, old.id, EndReason::Transferred);
    }
}

fn origins(now: Now, plans: Plans<'_>, call: &AgentCall) -> Origins {
    let name = plans.pinned.agent(&call.agent).map_or("", |agent| agent.name.as_str());
    let number = CallerNumber { raw: PRESENTED.to_owned(), ..CallerNumber::read(PRESENTED, None) };
    let (dialled, area, hotline) = match &call.wish {
        Wish::Code => (Arc::clone(&call.dialled_raw), None, None),
        Wish::Reach(outward) => {
            let hotline = match &outward.way {
                OutwardWay::Seats(hotline) => Some(Arc::clone(hotline)),
                OutwardWay::Emergency(_)
                | OutwardWay::Agent(_)
                | OutwardWay::Queue(_)
                | OutwardWay::Named { .. }
                | OutwardWay::Outside(_)
                | OutwardWay::Refused(_) => None,
            };
            (Arc::from(outward.number.as_str()), outward.area, hotline)
        }
    };
    Origins {
        tenant: call.tenant.clone(),
        trunk: None,
        by_agent: Some(Box::new(ByAgent {
            agent: call.agent.clone(),
            dialled_raw: Arc::clone(&call.dialled_raw),
            area,
            sip_call_id: Arc::clone(&call.sip_call_id),
        })),
        invited: now,
        number: dialled,
        hotline,
        caller: Caller { number, trust: CallerTrust::Asserted, private: false },
        display: Bytes::copy_from_slice(name.as_bytes()),
        carried: Carried::default(),
        max_forwards: call.max_forwards,
        answer_first: true,
        early_max: EARLY_MAX,
    }
}
