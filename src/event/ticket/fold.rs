//! The fold from a call's events to its ticket.
//!
//! Every event is applied once and in order; one that was seen already changes nothing. A fold can be written down
//! after any event and read back: it goes on as if it had never stopped.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{
    Callback, ConferenceParty, Contact, Emergency, EmergencyAttempt, LIST_MAX, Leg, Malicious, Moment, Progress,
    Published, QUICK_ANSWER_MS, Recording, Survey, Ticket, TicketType, Transfer, event_id,
};
use crate::base::hotline::MergeMode;
use crate::base::id::{AgentId, CallId, LegId, TenantName, TicketId};
use crate::base::secret::Masked;
use crate::event::call::{
    AttemptResult, CallEvent, Classification, EmergencyMode, Happening, LegRole, Party, RegionBasis, Started,
};
use crate::event::reason::{EndReason, EndedBy};
use crate::event::span::Spans;

/// What a call's events have said so far.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TicketFold {
    document: Ticket,
    spans: Spans,
    seq: u64,
    journal_seq: u64,
    identity: Option<Identity>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Identity {
    call: CallId,
    ticket: TicketId,
    tenant: TenantName,
}

impl TicketFold {
    /// Applies one event and says what is to be published, if anything.
    pub fn apply(&mut self, event: &CallEvent) -> Option<Published> {
        if event.journal_seq <= self.journal_seq {
            return None;
        }
        self.journal_seq = event.journal_seq;
        if self.identity.is_none() {
            self.identity = Some(Identity { call: event.call, ticket: event.ticket, tenant: event.tenant.clone() });
        }
        let was_closed = self.is_closed();
        self.spans.apply(event);
        self.take(event);
        let change = event.what.change()?;
        let kind = match &event.what {
            Happening::Closed if was_closed => return None,
            _ if self.seq == 0 => TicketType::Opened,
            _ if was_closed => TicketType::Amended,
            Happening::Closed => TicketType::Closed,
            _ => TicketType::Updated,
        };
        self.seq += 1;
        Some(Published {
            event_id: event_id(event.ticket, &event.tenant, self.seq, event.at),
            kind,
            change,
            call: event.call,
            ticket: event.ticket,
            tenant: event.tenant.clone(),
            seq: self.seq,
            occurred_at: event.at.into(),
            document: self.document.clone(),
        })
    }

    /// The document as it stands.
    #[must_use]
    pub const fn document(&self) -> &Ticket {
        &self.document
    }

    /// The document, without the fold around it.
    #[must_use]
    pub fn into_document(self) -> Ticket {
        self.document
    }

    /// The number of the last published event; 0 before the first.
    #[must_use]
    pub const fn seq(&self) -> u64 {
        self.seq
    }

    /// The number of the last event applied.
    #[must_use]
    pub const fn journal_seq(&self) -> u64 {
        self.journal_seq
    }

    /// The call and the place, once an event was seen.
    #[must_use]
    pub fn identity(&self) -> Option<(CallId, &TenantName)> {
        self.identity.as_ref().map(|identity| (identity.call, &identity.tenant))
    }

    /// How the call's time divides.
    #[must_use]
    pub const fn spans(&self) -> &Spans {
        &self.spans
    }

    /// Whether the ticket was closed.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.document.status == Progress::Closed
    }

    /// The events that end this call as a fault of ours, for a call nobody holds any more: its open legs end, then
    /// the call, then the ticket closes. Empty when it is closed already. `at` is the last moment the call is known
    /// to have lived.
    #[must_use]
    pub fn give_up(&self, at: jiff::Timestamp) -> Vec<CallEvent> {
        let (Some(identity), false, Some((mono, last))) = (&self.identity, self.is_closed(), self.spans.last()) else {
            return Vec::new();
        };
        let at = at.max(last);
        let passed = std::time::Duration::try_from(at.duration_since(last)).unwrap_or_default();
        let legs = self.document.legs.iter().filter(|leg| leg.ended_at.is_none());
        let mut facts: Vec<Happening> = legs
            .map(|leg| Happening::LegEnded { leg: LegId(leg.leg), reason: EndReason::Internal, sip_code: None })
            .collect();
        if !self.spans.is_ended() {
            facts.push(Happening::Ended { by: EndedBy::Engine, reason: EndReason::Internal, sip_code: None });
        }
        facts.push(Happening::Closed);
        (self.journal_seq + 1..)
            .zip(facts)
            .map(|(journal_seq, what)| CallEvent {
                call: identity.call,
                ticket: identity.ticket,
                tenant: identity.tenant.clone(),
                journal_seq,
                at,
                mono: mono + passed,
                what,
            })
            .collect()
    }

    /// A fact that came after the ticket was closed, as the next event of the call. `None` while the call may still
    /// speak for itself.
    #[must_use]
    pub fn late_fact(&self, at: jiff::Timestamp, what: Happening) -> Option<CallEvent> {
        let identity = self.identity.as_ref().filter(|_| self.is_closed())?;
        let (mono, last) = self.spans.last()?;
        let journal_seq = self.journal_seq + 1;
        let (call, ticket, tenant) = (identity.call, identity.ticket, identity.tenant.clone());
        Some(CallEvent { call, ticket, tenant, journal_seq, at: at.max(last), mono, what })
    }

    fn take(&mut self, event: &CallEvent) {
        let at = Moment::from(event.at);
        let doc = &mut self.document;
        match &event.what {
            Happening::Started(started) => doc.begin(at, started),
            Happening::LegStarted { leg, role, party } => doc.leg_started(*leg, *role, party, at),
            Happening::LegAnswered { leg } => {
                if let Some(leg) = doc.leg(*leg) {
                    leg.answered_at.get_or_insert(at);
                }
            }
            Happening::LegEnded { leg, reason, sip_code } => doc.leg_ended(*leg, *reason, *sip_code, at),
            Happening::PromptPlayed { prompt, .. } => {
                push(&mut doc.prompts_played, Arc::clone(prompt), &mut doc.left_out);
            }
            Happening::Queued { queue, skills, priority, position, .. } => {
                doc.queue = Some(queue.clone());
                doc.skill.clone_from(skills);
                doc.priority = Some(*priority);
                doc.position = Some(*position);
                doc.queued_at.get_or_insert(at);
            }
            Happening::Answered { leg, role, agent, first_agent, wait_ms } => {
                doc.answered(*leg, *role, agent.as_ref(), first_agent.as_ref(), *wait_ms, at);
            }
            Happening::Classified { classification, .. } => doc.classified(classification, at),
            Happening::Abandoned { wait_ms } => {
                doc.abandoned = true;
                doc.wait_ms.get_or_insert(*wait_ms);
                doc.within_15s.get_or_insert(false);
            }
            Happening::TransferStarted { .. } | Happening::TransferResult { .. } => doc.transfer(&event.what, at),
            Happening::ConferenceJoined { leg } => doc.joined(*leg, at),
            Happening::ConferenceLeft { leg } => doc.left(*leg, at),
            Happening::EmergencyStarted { .. }
            | Happening::EmergencyAttempt { .. }
            | Happening::EmergencyResult { .. } => doc.emergency(&event.what, at),
            Happening::Ended { by, reason, sip_code } => {
                doc.ended(*by, *reason, *sip_code, at);
                doc.durations(&self.spans);
            }
            Happening::Closed => {
                doc.status = Progress::Closed;
                doc.closed_at.get_or_insert(at);
                doc.durations(&self.spans);
            }
            other => doc.after_talk(other, at),
        }
    }
}

impl Ticket {
    fn begin(&mut self, at: Moment, started: &Started) {
        let hotline = started.hotline.as_ref();
        self.test_call = started.test_call;
        self.channel = started.channel;
        self.source = started.source;
        self.external_ref.clone_from(&started.external_ref);
        self.about_ticket_no.clone_from(&started.about_ticket_no);
        self.parent_ticket_id = started.parent_ticket;
        self.trunk.clone_from(&started.trunk);
        self.sip_call_id = Arc::clone(&started.sip_call_id);
        self.config_hash = Some(Arc::from(format!("{:016x}", started.config_hash.0)));
        self.dialled_raw = Arc::clone(&started.dialled_raw);
        self.dialled = Arc::clone(&started.dialled);
        self.area_code.clone_from(&started.area_code);
        self.hotline_name = hotline.map(|hotline| Arc::clone(&hotline.name));
        self.merge_mode = hotline.and_then(|hotline| hotline.merge_mode);
        self.merge_mode_name = self.merge_mode.map(MergeMode::name_zh).map(Arc::from);
        self.seat_policy = hotline.and_then(|hotline| hotline.seat_policy);
        self.responsible_unit = hotline.and_then(|hotline| hotline.unit.clone());
        self.emergency_line.clone_from(&started.emergency_line);
        self.caller_raw = Arc::clone(&started.caller.raw);
        self.caller = Arc::clone(&started.caller.number);
        self.caller_kind = started.caller.kind;
        self.caller_trust = started.caller.trust;
        self.caller_private = started.caller.private;
        self.diverted_from = started.diverted_from.iter().take(LIST_MAX).cloned().collect();
        self.region_candidate.clone_from(&started.region_candidate);
        self.region_basis = started.region_basis;
        self.accepted_at = Some(at);
        self.after_hours = started.after_hours;
        self.workday = started.workday;
        self.rule_set.clone_from(&started.rule_set);
        self.dispatch_due_at = started.dispatch_due_at.map(Moment::from);
    }

    fn leg(&mut self, leg: LegId) -> Option<&mut Leg> {
        self.legs.iter_mut().rev().find(|known| known.leg == leg.0)
    }

    fn leg_started(&mut self, leg: LegId, role: LegRole, party: &Party, at: Moment) {
        let leg = Leg {
            leg: leg.0,
            role,
            unit: party.unit.clone(),
            agent_id: party.agent.clone(),
            number: party.number.clone(),
            trunk: party.trunk.clone(),
            started_at: at,
            answered_at: None,
            ended_at: None,
            reason: None,
            sip_code: None,
        };
        push(&mut self.legs, leg, &mut self.left_out);
    }

    fn leg_ended(&mut self, leg: LegId, reason: EndReason, sip_code: Option<u16>, at: Moment) {
        if let Some(leg) = self.leg(leg).filter(|leg| leg.ended_at.is_none()) {
            leg.ended_at = Some(at);
            leg.reason = Some(Arc::from(reason.word()));
            leg.sip_code = sip_code;
        }
        self.left(leg, at);
    }

    fn answered(
        &mut self,
        leg: LegId,
        role: LegRole,
        agent: Option<&AgentId>,
        first: Option<&AgentId>,
        wait_ms: u64,
        at: Moment,
    ) {
        if let Some(leg) = self.leg(leg) {
            leg.answered_at.get_or_insert(at);
        }
        if self.answered_at.is_none() {
            self.answered_at = Some(at);
            self.wait_ms = Some(wait_ms);
            self.within_15s = Some(wait_ms <= QUICK_ANSWER_MS);
        }
        self.role = Some(role);
        if agent.is_some() {
            self.agent_id = agent.cloned();
        }
        if self.first_agent_id.is_none() {
            self.first_agent_id = first.or(agent).cloned();
        }
    }

    fn classified(&mut self, said: &Classification, at: Moment) {
        fn replace<T: Clone>(field: &mut Option<T>, said: Option<&T>) {
            if said.is_some() {
                *field = said.cloned();
            }
        }
        replace(&mut self.r#type, said.r#type.as_ref());
        replace(&mut self.field, said.field.as_ref());
        replace(&mut self.not_accepted_reason, said.not_accepted_reason.as_ref());
        replace(&mut self.told, said.told.as_ref());
        replace(&mut self.urgent, said.urgent.as_ref());
        replace(&mut self.confidential, said.confidential.as_ref());
        replace(&mut self.sub_service, said.sub_service.as_ref());
        replace(&mut self.handling_way, said.handling_way.as_ref());
        self.not_accepted = self.not_accepted_reason.is_some();
        if let Some(region) = &said.region {
            self.region = region.iter().take(LIST_MAX).cloned().collect();
            self.region_basis = Some(RegionBasis::Agent);
        }
        if let Some(tags) = &said.tags {
            self.tags = tags.iter().take(LIST_MAX).cloned().collect();
        }
        // 投诉, 举报 and enforcement go over at the first moment (000 三(四)).
        let at_once = matches!(said.r#type.as_deref(), Some("投诉" | "举报"))
            || said.tags.iter().flatten().any(|tag| &**tag == "enforcement");
        if at_once {
            self.dispatch_due_at = Some(self.dispatch_due_at.map_or(at, |due| due.min(at)));
        }
    }

    fn transfer(&mut self, what: &Happening, at: Moment) {
        match what {
            Happening::TransferStarted { transfer, transfer_kind, by, target_unit, target_number, .. } => {
                let entry = Transfer {
                    transfer: *transfer,
                    kind: *transfer_kind,
                    by_agent_id: by.clone(),
                    target_unit: target_unit.clone(),
                    target_number: target_number.clone(),
                    requested_at: at,
                    answered_at: None,
                    result: None,
                    cause: None,
                    sip_code: None,
                    fallback: None,
                };
                push(&mut self.transfers, entry, &mut self.left_out);
            }
            Happening::TransferResult { transfer, result, sip_code, fallback } => {
                let Some(entry) = self.transfers.iter_mut().rev().find(|entry| entry.transfer == *transfer) else {
                    return;
                };
                (entry.result, entry.cause) = words(*result);
                entry.answered_at = (*result == AttemptResult::Answered).then_some(at);
                entry.sip_code = *sip_code;
                entry.fallback = *fallback;
            }
            _ => {}
        }
    }

    fn joined(&mut self, leg: LegId, at: Moment) {
        let known = self.leg(leg).map(|leg| leg.clone());
        let party = ConferenceParty {
            leg: leg.0,
            role: known.as_ref().map(|leg| leg.role),
            unit: known.as_ref().and_then(|leg| leg.unit.clone()),
            agent_id: known.as_ref().and_then(|leg| leg.agent_id.clone()),
            number_masked: known.and_then(|leg| leg.number).map(|number| Masked(&number).to_string().into()),
            joined_at: at,
            left_at: None,
        };
        push(&mut self.conference.parties, party, &mut self.left_out);
    }

    fn left(&mut self, leg: LegId, at: Moment) {
        for party in self.conference.parties.iter_mut().filter(|party| party.leg == leg.0) {
            party.left_at.get_or_insert(at);
        }
    }

    fn emergency(&mut self, what: &Happening, at: Moment) {
        match what {
            Happening::EmergencyStarted { line, mode, by } => {
                let entry = new_emergency(line, *mode, by.clone(), at);
                push(&mut self.emergency, entry, &mut self.left_out);
            }
            Happening::EmergencyAttempt { line, leg, trunk, result } => {
                let Some(entry) = self.emergency.iter_mut().rev().find(|entry| entry.line == *line) else { return };
                let (result, cause) = result.map(words).unwrap_or_default();
                match entry.attempts.iter_mut().rev().find(|attempt| attempt.leg == leg.0) {
                    Some(attempt) => (attempt.result, attempt.cause) = (result, cause),
                    None => {
                        let attempt = EmergencyAttempt { leg: leg.0, trunk: trunk.clone(), result, cause };
                        push(&mut entry.attempts, attempt, &mut self.left_out);
                    }
                }
            }
            Happening::EmergencyResult { line, mode, result, agent_stayed, cli_presented } => {
                if !self.emergency.iter().any(|entry| entry.line == *line) {
                    let entry = new_emergency(line, *mode, None, at);
                    push(&mut self.emergency, entry, &mut self.left_out);
                }
                let Some(entry) = self.emergency.iter_mut().rev().find(|entry| entry.line == *line) else { return };
                entry.mode = *mode;
                (entry.result, entry.cause) = words(*result);
                entry.handed_over_at = (*result == AttemptResult::Answered).then_some(at);
                entry.agent_stayed = Some(*agent_stayed);
                entry.cli_presented = Some(*cli_presented);
            }
            _ => {}
        }
    }

    fn after_talk(&mut self, what: &Happening, at: Moment) {
        match what {
            Happening::ContactAttempt { unit, number_kind, number, result } => {
                self.duty_contact_used |= &**number_kind == "duty";
                let (result, cause) = words(*result);
                let (unit, number_kind, number) = (Arc::clone(unit), Arc::clone(number_kind), Arc::clone(number));
                let result = result.unwrap_or_default();
                push(&mut self.contacts, Contact { unit, number_kind, number, at, result, cause }, &mut self.left_out);
            }
            Happening::Malicious { agent, reason, notice_played } => {
                self.malicious = true;
                let (reason, agent_id) = (Arc::clone(reason), agent.clone());
                self.malicious_report = Some(Malicious { reason, agent_id, notice_played: *notice_played, at });
            }
            Happening::Survey { asked, answer, agent } => {
                self.survey = Some(Survey {
                    asked: *asked,
                    answer: *answer,
                    word: answer.and_then(survey_word).map(Arc::from),
                    by: Arc::from(if answer.is_some() { "dtmf" } else { "none" }),
                    about: Arc::from("call_service"),
                    agent_id: agent.clone(),
                });
            }
            Happening::CallbackResult { attempt, contacted, resolved, satisfied, reason } => {
                self.callback = Some(Callback {
                    attempt: *attempt,
                    contacted: *contacted,
                    resolved: *resolved,
                    satisfied: *satisfied,
                    reason: reason.clone(),
                });
            }
            Happening::RecordingReady { recording, sha256, duration_ms } => {
                let entry = Recording {
                    id: Arc::clone(recording),
                    sha256: Arc::clone(sha256),
                    seconds: duration_ms.saturating_add(500) / 1000,
                    duration_ms: *duration_ms,
                };
                push(&mut self.recordings, entry, &mut self.left_out);
            }
            Happening::SubcentreCall { external_ref } => self.external_ref = Some(Arc::clone(external_ref)),
            Happening::TicketNo { ticket_no } => self.ticket_no = Some(Arc::clone(ticket_no)),
            _ => {}
        }
    }

    fn ended(&mut self, by: EndedBy, reason: EndReason, sip_code: Option<u16>, at: Moment) {
        if self.status == Progress::Open {
            self.status = Progress::Ended;
        }
        self.ended_at.get_or_insert(at);
        self.ended_by = Some(by);
        self.cause = Some(Arc::from(reason.word()));
        self.sip_code = sip_code;
        self.q850 = Some(reason.q850());
    }

    fn durations(&mut self, spans: &Spans) {
        // The meter, not the event's own figure: only then do the parts add up.
        self.wait_ms = Some(spans.wait_ms());
        self.talk_ms = Some(spans.talk_ms());
        self.hold_ms = Some(spans.hold_ms());
        self.requeue_ms = Some(spans.requeue_ms());
        self.duration_ms = Some(spans.duration_ms());
    }
}

fn new_emergency(line: &Arc<str>, mode: EmergencyMode, by: Option<AgentId>, at: Moment) -> Emergency {
    Emergency {
        line: Arc::clone(line),
        mode,
        by_agent_id: by,
        asked_at: at,
        handed_over_at: None,
        result: None,
        cause: None,
        agent_stayed: None,
        cli_presented: None,
        attempts: Vec::new(),
    }
}

fn push<T>(list: &mut Vec<T>, entry: T, left_out: &mut u32) {
    if list.len() < LIST_MAX {
        list.push(entry);
    } else {
        *left_out = left_out.saturating_add(1);
    }
}

/// The result word, and the cause where it failed.
fn words(result: AttemptResult) -> (Option<Arc<str>>, Option<Arc<str>>) {
    match result {
        AttemptResult::Answered => (Some(Arc::from("answered")), None),
        AttemptResult::Withdrawn => (Some(Arc::from("withdrawn")), None),
        AttemptResult::Failed(reason) => (Some(Arc::from("failed")), Some(Arc::from(reason.word()))),
    }
}

/// The five grades of the survey (`domain.md` T15).
const fn survey_word(answer: u8) -> Option<&'static str> {
    Some(match answer {
        1 => "非常满意",
        2 => "满意",
        3 => "基本满意",
        4 => "不满意",
        5 => "非常不满意",
        _ => return None,
    })
}
