//! The closed vocabulary of what happens in a call.
//!
//! A call emits [`CallEvent`]s with a gap-free `journal_seq`; the shell journals them first and everything else
//! (ticket, call record, figures, console) is a fold. Some happenings are published to ticket receivers
//! ([`Happening::change`]), the others only serve the call record and the ladder.
//!
//! Durations that people read are computed by the folds from [`CallEvent::at`] and [`CallEvent::mono`]. Fields
//! follow `domain.md` §4b; where names differ `contract.md` §5 wins. Deliberately absent: SIP messages, names of
//! persons.

use std::sync::Arc;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::base::hotline::{CallerKind, CallerTrust, Channel, MergeMode, SeatPolicy};
use crate::base::id::{
    AgentId, CallId, ConfigHash, JoinId, LegId, OfferId, QueueName, SkillName, TenantName, TicketId, TrunkName,
};
use crate::base::now::Mono;
use crate::event::reason::{EndReason, EndedBy};

mod change;
mod matter;

pub use change::Change;
pub use matter::{Classification, HandlingWay};

/// One thing that happened.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct CallEvent {
    /// The call.
    pub call: CallId,
    /// The ticket; minted together with the call.
    pub ticket: TicketId,
    /// The place.
    pub tenant: TenantName,
    /// Counts this call's events from 1, without gaps.
    pub journal_seq: u64,
    /// When, as people read it.
    pub at: Timestamp,
    /// When, for durations.
    pub mono: Mono,
    /// What.
    pub what: Happening,
}

/// What a leg is to the call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LegRole {
    /// The citizen.
    Caller,
    /// An agent of 12345.
    Agent,
    /// A second line of an agent, consulting.
    Consult,
    /// A department's seat or contact.
    Department,
    /// A sub-centre.
    SubCentre,
    /// An emergency desk (PSAP).
    Emergency,
    /// A utility's line.
    Utility,
    /// Another 12345 platform.
    Platform,
    /// A supervisor listening, whispering or joining.
    Supervisor,
    /// Any other outside party.
    Outside,
}

/// Who stands behind a leg.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Party {
    /// The agent, for agents' legs.
    pub agent: Option<AgentId>,
    /// The responsible unit, for departments and sub-centres.
    pub unit: Option<Arc<str>>,
    /// The number called or calling.
    pub number: Option<Arc<str>>,
    /// The trunk it goes over.
    pub trunk: Option<TrunkName>,
}

/// The hotline a number stands for.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct HotlineFacts {
    /// The number without area.
    pub number: Arc<str>,
    /// The official name.
    pub name: Arc<str>,
    /// The responsible unit.
    pub unit: Option<Arc<str>>,
    /// `None` for 12345 itself.
    pub merge_mode: Option<MergeMode>,
    /// `None` for 12345 itself.
    pub seat_policy: Option<SeatPolicy>,
}

/// Who calls, and how far that can be believed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct CallerFacts {
    /// As received, unchanged.
    pub raw: Arc<str>,
    /// In normal form; empty when hidden.
    pub number: Arc<str>,
    /// What it is.
    pub kind: CallerKind,
    /// How far to believe it.
    pub trust: CallerTrust,
    /// Whether the caller asked not to be shown (`Privacy: id`); departments then get no number.
    pub private: bool,
    /// The landline's area code, when it tells one.
    pub area_code: Option<Arc<str>>,
}

/// How a region was guessed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RegionBasis {
    /// The area code of a landline caller.
    CallerArea,
    /// The area code dialled.
    DialledArea,
    /// The trunk's place.
    Trunk,
    /// Set by an agent.
    Agent,
}

/// Where the matter comes from (`domain.md` §4b `source`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CallSource {
    /// A citizen.
    #[default]
    Public,
    /// The 110 platform.
    #[serde(rename = "110")]
    Police,
    /// The province's platform.
    Province,
    /// A sub-centre.
    Subcentre,
    /// A call-back.
    Callback,
}

/// All that is known when a call begins.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Started {
    /// Phone, callback, outbound, subcentre.
    pub channel: Channel,
    /// Where it comes from.
    pub source: CallSource,
    /// The trunk it came in on; `None` for agents' own calls.
    pub trunk: Option<TrunkName>,
    /// The called number as received.
    pub dialled_raw: Arc<str>,
    /// The called number in normal form, without area.
    pub dialled: Arc<str>,
    /// The area code that belongs to it.
    pub area_code: Option<Arc<str>>,
    /// The hotline, when the plan knows the number.
    pub hotline: Option<HotlineFacts>,
    /// The emergency line, when the number is one (a pass-through).
    pub emergency_line: Option<Arc<str>>,
    /// Who calls.
    pub caller: CallerFacts,
    /// The numbers it was diverted from, nearest last.
    pub diverted_from: Vec<Arc<str>>,
    /// A region, when something tells one.
    pub region_candidate: Option<Arc<str>>,
    /// How it was found.
    pub region_basis: Option<RegionBasis>,
    /// Outside working hours of the place.
    pub after_hours: bool,
    /// A workday by the place's calendar (swapped days included).
    pub workday: bool,
    /// The deadline rule set of the place.
    pub rule_set: Option<Arc<str>>,
    /// When the ticket is due for dispatch.
    pub dispatch_due_at: Option<Timestamp>,
    /// A configured test caller.
    pub test_call: bool,
    /// An outside reference, for call-backs.
    pub external_ref: Option<Arc<str>>,
    /// The ticket this call is about (return visits).
    pub about_ticket_no: Option<Arc<str>>,
    /// The ticket this one descends from.
    pub parent_ticket: Option<TicketId>,
    /// The Call-ID header of the first leg.
    pub sip_call_id: Arc<str>,
    /// The plan and configuration that decide.
    pub config_hash: ConfigHash,
}

/// Why a wait in a queue ended without an agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OverflowCause {
    /// The queue holds as many as it may.
    Full,
    /// The longest allowed wait is over.
    MaxWait,
    /// No agent serves the queue.
    NoAgent,
    /// The plan no longer has the queue.
    Closed,
}

/// How an offer to an agent ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OfferEnd {
    /// The agent answered.
    Answered,
    /// The agent refused.
    Rejected,
    /// Rang out (RNA).
    NoAnswer,
    /// No response at all.
    Unreachable,
    /// The caller left meanwhile, or the offer was revoked.
    Withdrawn,
}

/// What kind of move of a call (`domain.md` §4b `kind`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TransferKind {
    /// Transferor leaves at once.
    Blind,
    /// Transferor talks first.
    Attended,
    /// All three talk.
    ThreeWay,
    /// To an emergency desk.
    Emergency,
    /// To a utility.
    Utility,
    /// To an expert seat.
    Expert,
    /// To a sub-centre.
    Subcentre,
    /// To a department's kept seats.
    KeptSeats,
    /// To a supervisor.
    Supervisor,
    /// To another platform.
    Platform,
    /// An emergency call or other call passed straight through.
    Transit,
}

/// What became of an attempt to reach somebody.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AttemptResult {
    /// They answered.
    Answered,
    /// They did not, for this reason.
    Failed(EndReason),
    /// The asker or the caller gave up first.
    Withdrawn,
}

/// Where the call goes after a failed attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fallback {
    /// The next target of the list.
    NextTarget,
    /// Back to the transferor.
    Transferor,
    /// Back into the queue with the original join time.
    Queue,
    /// A spoken instruction.
    Announcement,
    /// The call ends.
    End,
}

/// How an emergency is handed over (`domain.md` E13, E14).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EmergencyMode {
    /// The number itself was dialled; passed straight through.
    Direct,
    /// The agent leaves once the desk has answered.
    Transfer,
    /// Caller, agent and desk talk.
    ThreeWay,
    /// The number is spoken to the caller.
    Announce,
}

/// The vocabulary. Variants are past facts; journal-only ones have no [`Change`].
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Happening {
    /// The call passed admission. Always the first event.
    Started(Box<Started>),
    /// A leg exists (journal only).
    LegStarted {
        /// The leg.
        leg: LegId,
        /// What it is to the call.
        role: LegRole,
        /// Who stands behind it.
        party: Party,
    },
    /// A leg rings (journal only).
    LegRinging {
        /// The leg.
        leg: LegId,
    },
    /// A leg was answered (journal only; the published facts are below).
    LegAnswered {
        /// The leg.
        leg: LegId,
    },
    /// A leg ended (journal only).
    LegEnded {
        /// The leg.
        leg: LegId,
        /// Why.
        reason: EndReason,
        /// The final SIP status seen or sent, when there was one.
        sip_code: Option<u16>,
    },
    /// A prompt was begun (journal only).
    PromptPlayed {
        /// The leg that hears it.
        leg: LegId,
        /// The prompt's name in the plan.
        prompt: Arc<str>,
    },
    /// The call waits in a queue.
    Queued {
        /// This wait.
        join: JoinId,
        /// The queue.
        queue: QueueName,
        /// Skills wanted.
        skills: Vec<SkillName>,
        /// Higher is sooner.
        priority: u8,
        /// How many wait before it, when it joined.
        position: u32,
        /// Whether it came back with its old join time.
        rejoined: bool,
    },
    /// A wait ended without an agent.
    Overflowed {
        /// The wait.
        join: JoinId,
        /// Why.
        cause: OverflowCause,
    },
    /// An agent's phone is being rung.
    Offered {
        /// The reservation.
        offer: OfferId,
        /// The wait it serves.
        join: JoinId,
        /// The agent.
        agent: AgentId,
        /// The leg toward the agent.
        leg: LegId,
    },
    /// An offer ended (journal only; the answer is [`Self::Answered`]).
    OfferEnded {
        /// The reservation.
        offer: OfferId,
        /// The agent.
        agent: AgentId,
        /// How.
        end: OfferEnd,
    },
    /// Somebody who can help talks with the caller.
    Answered {
        /// The leg that answered.
        leg: LegId,
        /// Its role.
        role: LegRole,
        /// The agent, when it is one.
        agent: Option<AgentId>,
        /// The first agent of the call (首接), never changed later.
        first_agent: Option<AgentId>,
        /// From the INVITE (or the call's origin) to this answer, milliseconds.
        wait_ms: u64,
    },
    /// A leg was put on hold by its party.
    Held {
        /// The leg that holds.
        leg: LegId,
    },
    /// A held leg talks again.
    Resumed {
        /// The leg.
        leg: LegId,
    },
    /// An agent said what the matter is.
    Classified {
        /// Who.
        agent: Option<AgentId>,
        /// What.
        classification: Box<Classification>,
    },
    /// The caller left before anybody answered.
    Abandoned {
        /// From the INVITE to the end, milliseconds.
        wait_ms: u64,
    },
    /// A transfer, consult or transit was begun.
    TransferStarted {
        /// Counts the call's transfers from 1.
        transfer: u16,
        /// What kind.
        transfer_kind: TransferKind,
        /// The leg toward the target.
        leg: Option<LegId>,
        /// Who asked; `None` when the plan did.
        by: Option<AgentId>,
        /// The unit aimed at.
        target_unit: Option<Arc<str>>,
        /// The number aimed at.
        target_number: Option<Arc<str>>,
    },
    /// What became of it.
    TransferResult {
        /// Which one.
        transfer: u16,
        /// The result.
        result: AttemptResult,
        /// The final SIP status, when there was one.
        sip_code: Option<u16>,
        /// Where the call went when it failed.
        fallback: Option<Fallback>,
    },
    /// A party joined a talk of three or more.
    ConferenceJoined {
        /// The leg.
        leg: LegId,
    },
    /// A party left it.
    ConferenceLeft {
        /// The leg.
        leg: LegId,
    },
    /// A hand-over to an emergency line began.
    EmergencyStarted {
        /// 110, 119, 120, 122, ….
        line: Arc<str>,
        /// How.
        mode: EmergencyMode,
        /// The agent who pressed the key; `None` for a direct call.
        by: Option<AgentId>,
    },
    /// One route of an emergency line was tried (journal only).
    EmergencyAttempt {
        /// The line.
        line: Arc<str>,
        /// The leg tried.
        leg: LegId,
        /// The trunk.
        trunk: TrunkName,
        /// What became of it; `None` while trying.
        result: Option<AttemptResult>,
    },
    /// What became of the hand-over.
    EmergencyResult {
        /// The line.
        line: Arc<str>,
        /// How.
        mode: EmergencyMode,
        /// The result.
        result: AttemptResult,
        /// Whether the agent was still there at that moment.
        agent_stayed: bool,
        /// Whether the citizen's number was presented to the desk.
        cli_presented: bool,
    },
    /// A unit's contact was tried.
    ContactAttempt {
        /// The unit.
        unit: Arc<str>,
        /// `work` or `duty`.
        number_kind: Arc<str>,
        /// The number tried.
        number: Arc<str>,
        /// What became of it.
        result: AttemptResult,
    },
    /// An agent marked the call malicious.
    Malicious {
        /// Who.
        agent: Option<AgentId>,
        /// Why.
        reason: Arc<str>,
        /// Whether the notice was played.
        notice_played: bool,
    },
    /// The satisfaction survey.
    Survey {
        /// Whether it was asked.
        asked: bool,
        /// 1–5, when a digit came.
        answer: Option<u8>,
        /// The agent judged.
        agent: Option<AgentId>,
    },
    /// The result of a return visit or call-back.
    CallbackResult {
        /// Which attempt.
        attempt: u16,
        /// Whether the citizen was reached.
        contacted: bool,
        /// Whether the matter is resolved.
        resolved: Option<bool>,
        /// Whether the citizen is satisfied.
        satisfied: Option<bool>,
        /// Free reason.
        reason: Option<Arc<str>>,
    },
    /// A recording is complete.
    RecordingReady {
        /// Its id.
        recording: Arc<str>,
        /// SHA-256, lower-case hex.
        sha256: Arc<str>,
        /// Length in milliseconds.
        duration_ms: u64,
    },
    /// A sub-centre's call that never crossed the engine.
    SubcentreCall {
        /// The sub-centre's own reference.
        external_ref: Arc<str>,
    },
    /// The receiver gave the ticket its number.
    TicketNo {
        /// The number.
        ticket_no: Arc<str>,
    },
    /// The last talk ended. Wrap-up, survey and recordings may follow.
    Ended {
        /// Who ended it.
        by: EndedBy,
        /// Why.
        reason: EndReason,
        /// The SIP status of the caller's leg, when it was never answered.
        sip_code: Option<u16>,
    },
    /// Nothing more can happen: 通话归档. Always the last event (a later fact is an amendment).
    Closed,
}

/// What has to be stored before something may show (`contract.md` §5).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Barrier {
    /// Nothing waits for this event.
    #[default]
    None,
    /// The call waits, at most 200 ms, for `Stored(journal_seq)` before 180/183/200 and its first outgoing INVITE.
    Hold,
}
