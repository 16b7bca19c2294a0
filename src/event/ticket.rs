//! The ticket: one document per call, built from its events alone, and the shape in which it is published.
//!
//! [`TicketFold`] is the fold; [`Ticket`] the document as receivers see it; [`Published`] one message about it
//! (`contract.md` §5, fields of `domain.md` §4b). Deliberately absent: delivery, storage, masks per receiver; repeat
//! candidates (`repeat_*`, `prior_ticket_ids`), whose facts no event carries yet.
//!
//! Limits: each list of the document holds at most [`LIST_MAX`] entries; what is beyond is counted in `left_out`.

use std::sync::Arc;

use jiff::Timestamp;
use jiff::tz::Offset;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest, Sha256};

use crate::base::hotline::{CallerKind, CallerTrust, Channel, MergeMode, SeatPolicy};
use crate::base::id::{AgentId, CallId, EventId, QueueName, SkillName, TenantName, TicketId, TrunkName, Ulid};
use crate::event::call::{
    CallSource, Change, EmergencyMode, Fallback, HandlingWay, LegRole, RegionBasis, TransferKind,
};
use crate::event::reason::EndedBy;

mod fold;

pub use fold::TicketFold;

/// The schema word of every body.
pub const SCHEMA: &str = "switch12345.ticket/1";
/// The most entries each list of the document holds.
pub const LIST_MAX: usize = 256;
/// An answer counts as quick up to this wait (GB/T 33358), milliseconds.
pub const QUICK_ANSWER_MS: u64 = 15_000;

/// A moment as tickets show it: RFC 3339 with milliseconds in +08:00 (Asia/Shanghai, which knows no summer time).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(Timestamp);

impl From<Timestamp> for Moment {
    fn from(at: Timestamp) -> Self {
        Self(Timestamp::from_millisecond(at.as_millisecond()).unwrap_or(at))
    }
}

impl From<Moment> for Timestamp {
    fn from(moment: Moment) -> Self {
        moment.0
    }
}

impl std::fmt::Display for Moment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let at = Offset::constant(8).to_datetime(self.0);
        write!(
            f,
            "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}+08:00",
            at.year(),
            at.month(),
            at.day(),
            at.hour(),
            at.minute(),
            at.second(),
            at.millisecond()
        )
    }
}

impl Serialize for Moment {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Moment {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Timestamp::deserialize(deserializer).map(Self)
    }
}

/// How far the ticket is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Progress {
    /// The call lives.
    #[default]
    Open,
    /// The last talk ended; wrap-up, survey, recordings may follow.
    Ended,
    /// 通话归档.
    Closed,
}

/// The whole ticket as it now stands. Names are those of `domain.md` §4b; `null` means not known (yet).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ticket {
    /// The receiver's number.
    pub ticket_no: Option<Arc<str>>,
    /// How far it is.
    pub status: Progress,
    /// A service test call (003 art. 15).
    pub test_call: bool,
    /// Phone, callback, outbound, subcentre.
    pub channel: Channel,
    /// Public, 110, province, subcentre, callback.
    pub source: CallSource,
    /// An outside reference, unchanged.
    pub external_ref: Option<Arc<str>>,
    /// The ticket a return visit is about.
    pub about_ticket_no: Option<Arc<str>>,
    /// The ticket this one descends from.
    pub parent_ticket_id: Option<TicketId>,
    /// The trunk it came in on.
    pub trunk: Option<TrunkName>,
    /// The Call-ID of the first leg.
    pub sip_call_id: Arc<str>,
    /// The plan and configuration that decided, 16 hex digits.
    pub config_hash: Option<Arc<str>>,

    /// The called number as received.
    pub dialled_raw: Arc<str>,
    /// In normal form, without area.
    pub dialled: Arc<str>,
    /// The area that belongs to it.
    pub area_code: Option<Arc<str>>,
    /// The hotline's official name.
    pub hotline_name: Option<Arc<str>>,
    /// `None` for 12345 itself.
    pub merge_mode: Option<MergeMode>,
    /// The mode in Chinese.
    pub merge_mode_name: Option<Arc<str>>,
    /// What became of the seats.
    pub seat_policy: Option<SeatPolicy>,
    /// The unit responsible for the hotline.
    pub responsible_unit: Option<Arc<str>>,
    /// The emergency line, when the number dialled is one.
    pub emergency_line: Option<Arc<str>>,

    /// The caller as received.
    pub caller_raw: Arc<str>,
    /// The caller in normal form; empty when hidden.
    pub caller: Arc<str>,
    /// What the caller's number is.
    pub caller_kind: CallerKind,
    /// How far to believe it.
    pub caller_trust: CallerTrust,
    /// Whether the caller asked not to be shown to departments.
    pub caller_private: bool,
    /// The numbers the call was diverted from.
    pub diverted_from: Vec<Arc<str>>,

    /// A region, when something tells one.
    pub region_candidate: Option<Arc<str>>,
    /// How it was found.
    pub region_basis: Option<RegionBasis>,
    /// The region path an agent set, outermost first.
    pub region: Vec<Arc<str>>,

    /// When the INVITE came.
    pub accepted_at: Option<Moment>,
    /// When somebody first answered.
    pub answered_at: Option<Moment>,
    /// When the last talk ended.
    pub ended_at: Option<Moment>,
    /// When nothing more was expected.
    pub closed_at: Option<Moment>,
    /// Outside working hours.
    pub after_hours: bool,
    /// A workday by the place's calendar.
    pub workday: bool,
    /// The deadline rule set.
    pub rule_set: Option<Arc<str>>,
    /// When it is due for dispatch.
    pub dispatch_due_at: Option<Moment>,

    /// The queue it waits or last waited in.
    pub queue: Option<QueueName>,
    /// Skills wanted.
    pub skill: Vec<SkillName>,
    /// Higher is sooner.
    pub priority: Option<u8>,
    /// How many waited before it.
    pub position: Option<u32>,
    /// When it first joined a queue.
    pub queued_at: Option<Moment>,
    /// Prompts played, in order.
    pub prompts_played: Vec<Arc<str>>,

    /// The agent who answered last.
    pub agent_id: Option<AgentId>,
    /// The first taker (首接), never changed.
    pub first_agent_id: Option<AgentId>,
    /// The role of the leg that answered last.
    pub role: Option<LegRole>,
    /// From the start to the first answer, or to the end when nobody answered.
    pub wait_ms: Option<u64>,
    /// Whether the first answer came within 15 s.
    pub within_15s: Option<bool>,

    /// All legs, in order of their start.
    pub legs: Vec<Leg>,
    /// All transfers.
    pub transfers: Vec<Transfer>,
    /// The talk of three or more.
    pub conference: Conference,
    /// Hand-overs to emergency lines.
    pub emergency: Vec<Emergency>,
    /// Attempts to reach units' contacts.
    pub contacts: Vec<Contact>,
    /// Whether a duty contact was tried.
    pub duty_contact_used: bool,

    /// 咨询, 求助, 投诉, 举报, 意见建议.
    pub r#type: Option<Arc<str>>,
    /// The field of the matter.
    pub field: Option<Arc<str>>,
    /// Whether the matter was not accepted.
    pub not_accepted: bool,
    /// Why not.
    pub not_accepted_reason: Option<Arc<str>>,
    /// Whether the caller was told so.
    pub told: Option<bool>,
    /// 紧要事项.
    pub urgent: Option<bool>,
    /// The caller wants confidentiality.
    pub confidential: Option<bool>,
    /// Which service of several.
    pub sub_service: Option<Arc<str>>,
    /// How it was handled.
    pub handling_way: Option<HandlingWay>,
    /// Tags.
    pub tags: Vec<Arc<str>>,

    /// Whether an agent marked the call malicious.
    pub malicious: bool,
    /// The mark itself.
    pub malicious_report: Option<Malicious>,
    /// The satisfaction survey.
    pub survey: Option<Survey>,
    /// The result of a return visit or call-back.
    pub callback: Option<Callback>,
    /// Complete recordings.
    pub recordings: Vec<Recording>,

    /// Who ended the call.
    pub ended_by: Option<EndedBy>,
    /// Why, a word of `EndReason`.
    pub cause: Option<Arc<str>>,
    /// The final status of the caller's leg, when it was never answered.
    pub sip_code: Option<u16>,
    /// The Q.850 cause.
    pub q850: Option<u8>,
    /// Talk.
    pub talk_ms: Option<u64>,
    /// Hold.
    pub hold_ms: Option<u64>,
    /// Time with nobody after the first answer.
    pub requeue_ms: Option<u64>,
    /// `wait_ms + talk_ms + hold_ms + requeue_ms`.
    pub duration_ms: Option<u64>,
    /// Whether the caller left before anybody answered.
    pub abandoned: bool,
    /// Entries left out of lists that were full.
    pub left_out: u32,
}

/// One leg of the call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Leg {
    /// The leg's number within the call.
    pub leg: u16,
    /// What it is to the call.
    pub role: LegRole,
    /// The unit behind it.
    pub unit: Option<Arc<str>>,
    /// The agent behind it.
    pub agent_id: Option<AgentId>,
    /// The number called or calling.
    pub number: Option<Arc<str>>,
    /// The trunk it goes over.
    pub trunk: Option<TrunkName>,
    /// When it began.
    pub started_at: Moment,
    /// When it was answered.
    pub answered_at: Option<Moment>,
    /// When it ended.
    pub ended_at: Option<Moment>,
    /// Why it ended.
    pub reason: Option<Arc<str>>,
    /// The final SIP status.
    pub sip_code: Option<u16>,
}

/// One transfer, consult or transit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Transfer {
    /// Counts from 1.
    pub transfer: u16,
    /// What kind.
    pub kind: TransferKind,
    /// Who asked.
    pub by_agent_id: Option<AgentId>,
    /// The unit aimed at.
    pub target_unit: Option<Arc<str>>,
    /// The number aimed at.
    pub target_number: Option<Arc<str>>,
    /// When it was asked for.
    pub requested_at: Moment,
    /// When the target answered.
    pub answered_at: Option<Moment>,
    /// `answered`, `failed`, `withdrawn`; `null` while it runs.
    pub result: Option<Arc<str>>,
    /// Why it failed.
    pub cause: Option<Arc<str>>,
    /// The final SIP status.
    pub sip_code: Option<u16>,
    /// Where the call went instead.
    pub fallback: Option<Fallback>,
}

/// The talk of three or more.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Conference {
    /// Its parties, in order of joining.
    pub parties: Vec<ConferenceParty>,
}

/// One party of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConferenceParty {
    /// The leg.
    pub leg: u16,
    /// Its role.
    pub role: Option<LegRole>,
    /// The unit.
    pub unit: Option<Arc<str>>,
    /// The agent.
    pub agent_id: Option<AgentId>,
    /// The number, masked.
    pub number_masked: Option<Arc<str>>,
    /// When it joined.
    pub joined_at: Moment,
    /// When it left.
    pub left_at: Option<Moment>,
}

/// One hand-over to an emergency line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Emergency {
    /// The line.
    pub line: Arc<str>,
    /// How.
    pub mode: EmergencyMode,
    /// The agent who pressed the key.
    pub by_agent_id: Option<AgentId>,
    /// When it was asked for.
    pub asked_at: Moment,
    /// When the desk answered.
    pub handed_over_at: Option<Moment>,
    /// `answered`, `failed`, `withdrawn`; `null` while it runs.
    pub result: Option<Arc<str>>,
    /// Why it failed.
    pub cause: Option<Arc<str>>,
    /// Whether the agent was still there.
    pub agent_stayed: Option<bool>,
    /// Whether the citizen's number was presented.
    pub cli_presented: Option<bool>,
    /// The routes tried.
    pub attempts: Vec<EmergencyAttempt>,
}

/// One route tried for an emergency line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EmergencyAttempt {
    /// The leg.
    pub leg: u16,
    /// The trunk.
    pub trunk: TrunkName,
    /// `answered`, `failed`, `withdrawn`; `null` while trying.
    pub result: Option<Arc<str>>,
    /// Why it failed.
    pub cause: Option<Arc<str>>,
}

/// One attempt to reach a unit's contact.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Contact {
    /// The unit.
    pub unit: Arc<str>,
    /// `work` or `duty`.
    pub number_kind: Arc<str>,
    /// The number.
    pub number: Arc<str>,
    /// When.
    pub at: Moment,
    /// `answered`, `failed`, `withdrawn`.
    pub result: Arc<str>,
    /// Why it failed.
    pub cause: Option<Arc<str>>,
}

/// The mark of a malicious call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Malicious {
    /// Why.
    pub reason: Arc<str>,
    /// Who marked it.
    pub agent_id: Option<AgentId>,
    /// Whether the notice was played.
    pub notice_played: bool,
    /// When.
    pub at: Moment,
}

/// The satisfaction survey.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Survey {
    /// Whether it was asked.
    pub asked: bool,
    /// 1 (非常满意) to 5 (非常不满意).
    pub answer: Option<u8>,
    /// The word of the answer.
    pub word: Option<Arc<str>>,
    /// `dtmf` or `none`.
    pub by: Arc<str>,
    /// What is judged.
    pub about: Arc<str>,
    /// The agent judged.
    pub agent_id: Option<AgentId>,
}

/// The result of a return visit or call-back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Callback {
    /// Which attempt.
    pub attempt: u16,
    /// 响应
    pub contacted: bool,
    /// 解决
    pub resolved: Option<bool>,
    /// 满意
    pub satisfied: Option<bool>,
    /// Free reason.
    pub reason: Option<Arc<str>>,
}

/// A complete recording.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recording {
    /// Its id.
    pub id: Arc<str>,
    /// SHA-256, lower-case hex.
    pub sha256: Arc<str>,
    /// Length, rounded to whole seconds.
    pub seconds: u64,
    /// Length in milliseconds.
    pub duration_ms: u64,
}

/// The type word of a published event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum TicketType {
    /// The first one.
    #[serde(rename = "ticket.opened")]
    Opened,
    /// The ticket changed.
    #[serde(rename = "ticket.updated")]
    Updated,
    /// 通话归档, once.
    #[serde(rename = "ticket.closed")]
    Closed,
    /// A fact that came later.
    #[serde(rename = "ticket.amended")]
    Amended,
}

/// One message to receivers: the envelope and the whole ticket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Published {
    /// The receiver's idempotency key.
    pub event_id: EventId,
    /// Opened, updated, closed, amended.
    pub kind: TicketType,
    /// What happened.
    pub change: Change,
    /// The call.
    pub call: CallId,
    /// The ticket.
    pub ticket: TicketId,
    /// The place.
    pub tenant: TenantName,
    /// Counts the ticket's published events without gaps.
    pub seq: u64,
    /// When it happened, whenever it is delivered.
    pub occurred_at: Moment,
    /// The document at that moment.
    pub document: Ticket,
}

/// A body rendered once: only the endpoint's own `delivery_seq` stands between the two halves, so each retry to an
/// endpoint carries the same bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rendered {
    /// Up to and including `"delivery_seq":`.
    pub head: Vec<u8>,
    /// From the comma after it.
    pub tail: Vec<u8>,
}

impl Rendered {
    /// The body for an endpoint's `delivery_seq`.
    #[must_use]
    pub fn body(&self, delivery_seq: u64) -> Vec<u8> {
        let number = delivery_seq.to_string();
        let mut body = Vec::with_capacity(self.head.len() + number.len() + self.tail.len());
        body.extend_from_slice(&self.head);
        body.extend_from_slice(number.as_bytes());
        body.extend_from_slice(&self.tail);
        body
    }
}

#[derive(Serialize)]
struct Head<'a> {
    schema: &'static str,
    r#type: TicketType,
    event_id: EventId,
    ticket_id: TicketId,
    call_id: CallId,
    seq: u64,
    delivery_seq: &'a str,
}

#[derive(Serialize)]
struct Tail<'a> {
    occurred_at: Moment,
    tenant: &'a TenantName,
    change: Change,
    ticket: &'a Ticket,
}

impl Published {
    /// Renders the body of `contract.md` §5, its keys in the order printed there.
    ///
    /// # Errors
    /// When the document cannot be written as JSON, which no document of ours does.
    pub fn render(&self) -> Result<Rendered, serde_json::Error> {
        let mut head = serde_json::to_vec(&Head {
            schema: SCHEMA,
            r#type: self.kind,
            event_id: self.event_id,
            ticket_id: self.ticket,
            call_id: self.call,
            seq: self.seq,
            delivery_seq: "",
        })?;
        head.truncate(head.len().saturating_sub("\"\"}".len()));
        let mut tail = serde_json::to_vec(&Tail {
            occurred_at: self.occurred_at,
            tenant: &self.tenant,
            change: self.change,
            ticket: &self.document,
        })?;
        if let Some(first) = tail.first_mut() {
            *first = b',';
        }
        Ok(Rendered { head, tail })
    }
}

/// The id of a ticket's published event. It depends on ticket, number and time alone, so a transaction that is run
/// again, or a replay of the journal, mints the same id.
fn event_id(ticket: TicketId, tenant: &TenantName, seq: u64, at: Timestamp) -> EventId {
    let mut hash = Sha256::new();
    hash.update(ticket.0.bits().to_be_bytes());
    hash.update(seq.to_be_bytes());
    let random = hash.finalize().iter().take(8).fold(0_u64, |bits, byte| bits << 8 | u64::from(*byte));
    EventId(Ulid::compose(at, ticket.0.node(), tenant, random))
}
