//! The call record: one per call with a segment per leg, as a fold over the call's events.
//!
//! It masks nothing and judges nothing; who may read it is decided above. Durations follow [`Spans`]; a segment's own
//! parts are `ring` (start to answer, or to the end), `talk` and `hold` (answer to end), so they add up to its life.
//! Deliberately absent: storage and export.
//!
//! Limit: [`SEGMENTS_MAX`] segments; what is beyond is counted in `segments_left_out`.

use std::sync::Arc;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::base::hotline::{Channel, MergeMode};
use crate::base::id::{AgentId, CallId, LegId, QueueName, TenantName, TicketId, TrunkName};
use crate::base::now::Mono;
use crate::event::call::{CallEvent, CallSource, Happening, LegRole, OfferEnd};
use crate::event::reason::{EndReason, EndedBy};
use crate::event::span::Spans;
use crate::event::ticket::Moment;

/// The most segments of one record.
pub const SEGMENTS_MAX: usize = 256;

/// One call's record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallRecord {
    /// The call.
    pub call_id: CallId,
    /// Its ticket.
    pub ticket_id: TicketId,
    /// The place.
    pub tenant: TenantName,
    /// Phone, callback, outbound, subcentre.
    pub channel: Channel,
    /// Public, 110, province, subcentre, callback.
    pub source: CallSource,
    /// The trunk it came in on.
    pub trunk: Option<TrunkName>,
    /// The Call-ID of the first leg.
    pub sip_call_id: Arc<str>,
    /// The caller in normal form.
    pub caller: Arc<str>,
    /// The number dialled as received.
    pub dialled_raw: Arc<str>,
    /// The number dialled in normal form.
    pub dialled: Arc<str>,
    /// The area that belongs to it.
    pub area_code: Option<Arc<str>>,
    /// The hotline's merge mode.
    pub merge_mode: Option<MergeMode>,
    /// The plan and configuration that decided, 16 hex digits.
    pub config_hash: Arc<str>,
    /// A service test call.
    pub test_call: bool,
    /// The last queue.
    pub queue: Option<QueueName>,
    /// How often it waited in a queue.
    pub queued: u32,
    /// Offers made to agents.
    pub offers: u32,
    /// Offers that were not answered.
    pub offers_lost: u32,
    /// Transfers, consults and transits.
    pub transfers: u32,
    /// The first taker.
    pub first_agent_id: Option<AgentId>,
    /// When it began.
    pub started_at: Moment,
    /// When somebody first answered.
    pub answered_at: Option<Moment>,
    /// When the last talk ended.
    pub ended_at: Option<Moment>,
    /// Who ended it.
    pub ended_by: Option<EndedBy>,
    /// Why, a word of [`EndReason`].
    pub cause: Option<Arc<str>>,
    /// The final status of the caller's leg, when it was never answered.
    pub sip_code: Option<u16>,
    /// The Q.850 cause.
    pub q850: Option<u8>,
    /// Whether the caller left before anybody answered.
    pub abandoned: bool,
    /// From the start to the first answer, or to the end.
    pub wait_ms: u64,
    /// Talk.
    pub talk_ms: u64,
    /// Hold.
    pub hold_ms: u64,
    /// With nobody after the first answer.
    pub requeue_ms: u64,
    /// The sum of the four.
    pub duration_ms: u64,
    /// One per leg, in order of their start.
    pub segments: Vec<Segment>,
    /// Legs that found no room here.
    pub segments_left_out: u32,
}

/// One leg of the call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Segment {
    /// The leg's number within the call.
    pub leg: LegId,
    /// What it was to the call.
    pub role: LegRole,
    /// The agent behind it.
    pub agent_id: Option<AgentId>,
    /// The unit behind it.
    pub unit: Option<Arc<str>>,
    /// The number called or calling.
    pub number: Option<Arc<str>>,
    /// The trunk it went over.
    pub trunk: Option<TrunkName>,
    /// When it began.
    pub started_at: Moment,
    /// When it rang.
    pub ringing_at: Option<Moment>,
    /// When it was answered.
    pub answered_at: Option<Moment>,
    /// When it ended.
    pub ended_at: Option<Moment>,
    /// From its start to its answer, or to its end.
    pub ring_ms: u64,
    /// From its answer to its end, without hold.
    pub talk_ms: u64,
    /// While it held.
    pub hold_ms: u64,
    /// Why it ended.
    pub cause: Option<Arc<str>>,
    /// The final SIP status.
    pub sip_code: Option<u16>,
    /// The Q.850 cause.
    pub q850: Option<u8>,
    /// Up to when its parts are counted; gone with its end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    since: Option<(Mono, Timestamp)>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    holds: bool,
}

/// The fold.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallRecordFold {
    record: Option<CallRecord>,
    spans: Spans,
    journal_seq: u64,
}

impl CallRecordFold {
    /// Applies one event; one seen already changes nothing.
    pub fn apply(&mut self, event: &CallEvent) {
        if event.journal_seq <= self.journal_seq {
            return;
        }
        self.journal_seq = event.journal_seq;
        self.spans.apply(event);
        if let Happening::Started(_) = event.what {
            self.record = begin(event);
        }
        let Some(record) = &mut self.record else { return };
        record.take(event);
        record.wait_ms = self.spans.wait_ms();
        record.talk_ms = self.spans.talk_ms();
        record.hold_ms = self.spans.hold_ms();
        record.requeue_ms = self.spans.requeue_ms();
        record.duration_ms = self.spans.duration_ms();
    }

    /// The record as it stands; `None` before the call's first event.
    #[must_use]
    pub const fn record(&self) -> Option<&CallRecord> {
        self.record.as_ref()
    }
}

fn begin(event: &CallEvent) -> Option<CallRecord> {
    let Happening::Started(started) = &event.what else { return None };
    Some(CallRecord {
        call_id: event.call,
        ticket_id: event.ticket,
        tenant: event.tenant.clone(),
        channel: started.channel,
        source: started.source,
        trunk: started.trunk.clone(),
        sip_call_id: Arc::clone(&started.sip_call_id),
        caller: Arc::clone(&started.caller.number),
        dialled_raw: Arc::clone(&started.dialled_raw),
        dialled: Arc::clone(&started.dialled),
        area_code: started.area_code.clone(),
        merge_mode: started.hotline.as_ref().and_then(|hotline| hotline.merge_mode),
        config_hash: Arc::from(format!("{:016x}", started.config_hash.0)),
        test_call: started.test_call,
        queue: None,
        queued: 0,
        offers: 0,
        offers_lost: 0,
        transfers: 0,
        first_agent_id: None,
        started_at: event.at.into(),
        answered_at: None,
        ended_at: None,
        ended_by: None,
        cause: None,
        sip_code: None,
        q850: None,
        abandoned: false,
        wait_ms: 0,
        talk_ms: 0,
        hold_ms: 0,
        requeue_ms: 0,
        duration_ms: 0,
        segments: Vec::new(),
        segments_left_out: 0,
    })
}

impl CallRecord {
    fn take(&mut self, event: &CallEvent) {
        let at = Moment::from(event.at);
        match &event.what {
            Happening::LegStarted { .. } => self.open(event),
            Happening::LegRinging { leg } => {
                self.with(*leg, |segment| _ = segment.ringing_at.get_or_insert(at));
            }
            Happening::LegAnswered { leg } => self.with(*leg, |segment| segment.answer(event)),
            Happening::Answered { leg, first_agent, .. } => {
                self.answered_at.get_or_insert(at);
                if self.first_agent_id.is_none() {
                    self.first_agent_id.clone_from(first_agent);
                }
                self.with(*leg, |segment| segment.answer(event));
            }
            Happening::Held { leg } => self.with(*leg, |segment| segment.hold(event, true)),
            Happening::Resumed { leg } => self.with(*leg, |segment| segment.hold(event, false)),
            Happening::LegEnded { leg, reason, sip_code } => {
                self.with(*leg, |segment| segment.end(event, *reason, *sip_code));
            }
            Happening::Queued { queue, .. } => {
                self.queue = Some(queue.clone());
                self.queued = self.queued.saturating_add(1);
            }
            Happening::Offered { .. } => self.offers = self.offers.saturating_add(1),
            Happening::OfferEnded { end, .. } if *end != OfferEnd::Answered => {
                self.offers_lost = self.offers_lost.saturating_add(1);
            }
            Happening::TransferStarted { .. } => self.transfers = self.transfers.saturating_add(1),
            Happening::Abandoned { .. } => self.abandoned = true,
            Happening::Ended { by, reason, sip_code } => {
                self.ended_at = Some(event.at.into());
                self.ended_by = Some(*by);
                self.cause = Some(Arc::from(reason.word()));
                self.sip_code = *sip_code;
                self.q850 = Some(reason.q850());
            }
            _ => {}
        }
    }

    fn open(&mut self, event: &CallEvent) {
        let Happening::LegStarted { leg, role, party } = &event.what else { return };
        if self.segments.len() >= SEGMENTS_MAX {
            self.segments_left_out = self.segments_left_out.saturating_add(1);
            return;
        }
        self.segments.push(Segment {
            leg: *leg,
            role: *role,
            agent_id: party.agent.clone(),
            unit: party.unit.clone(),
            number: party.number.clone(),
            trunk: party.trunk.clone(),
            started_at: event.at.into(),
            ringing_at: None,
            answered_at: None,
            ended_at: None,
            ring_ms: 0,
            talk_ms: 0,
            hold_ms: 0,
            cause: None,
            sip_code: None,
            q850: None,
            since: Some((event.mono, event.at)),
            holds: false,
        });
    }

    fn with(&mut self, leg: LegId, change: impl FnOnce(&mut Segment)) {
        if let Some(segment) = self.segments.iter_mut().rev().find(|segment| segment.leg == leg) {
            change(segment);
        }
    }
}

impl Segment {
    fn answer(&mut self, event: &CallEvent) {
        if self.answered_at.is_none() {
            self.pass(event);
            self.answered_at = Some(event.at.into());
        }
    }

    fn hold(&mut self, event: &CallEvent, holds: bool) {
        self.pass(event);
        self.holds = holds;
    }

    fn end(&mut self, event: &CallEvent, reason: EndReason, sip_code: Option<u16>) {
        if self.ended_at.is_some() {
            return;
        }
        self.pass(event);
        self.since = None;
        self.ended_at = Some(event.at.into());
        self.cause = Some(Arc::from(reason.word()));
        self.sip_code = sip_code;
        self.q850 = Some(reason.q850());
    }

    fn pass(&mut self, event: &CallEvent) {
        let Some((mono, at)) = self.since.replace((event.mono, event.at)) else {
            self.since = None;
            return;
        };
        // Differences of whole milliseconds: their sum is the whole, however often it is cut.
        let millis = if event.mono >= mono {
            event.mono.0 / 1_000_000 - mono.0 / 1_000_000
        } else {
            u64::try_from(event.at.as_millisecond() - at.as_millisecond()).unwrap_or(0)
        };
        let part = match (self.answered_at, self.holds) {
            (None, _) => &mut self.ring_ms,
            (Some(_), false) => &mut self.talk_ms,
            (Some(_), true) => &mut self.hold_ms,
        };
        *part = part.saturating_add(millis);
    }
}
