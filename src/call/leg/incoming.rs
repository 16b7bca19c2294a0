//! An INVITE of theirs, from its first arrival to the ACK of our answer.
//!
//! RFC 3261 §13.3, §15.1.2, §9.2; RFC 6026; RFC 3262 §3. 180 and 200 carry the same To-tag, 183 and 200 the same
//! description, unless a reliable 183 has settled it.
//!
//! | our answer | then |
//! |---|---|
//! | 1xx that must be reliable (`super::reliable`) | repeated until its PRACK; after 64·T1 the INVITE gets 504 |
//! | 2xx | repeated T1…T2 until the ACK; after 64·T1 the leg is lost and gets a BYE |
//! | 300–699 | repeated by the transaction until the ACK |

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use std::time::Duration;

use super::reliable::Reliably;
use super::words::LegEvent;
use super::{Leg, LegOut, LegRules, LegState, stamp};
use crate::base::flow::Flow;
use crate::base::now::{Mono, Now};
use crate::call::words::Arrived;
use crate::sip::dialog::Dialog;
use crate::sip::message::{Message, Name};
use crate::sip::multipart;
use crate::sip::offer_answer::{Answering, Slot};
use crate::sip::print::Draft;
use crate::sip::session_timer::Asked as AskedTimer;
use crate::sip::transaction::accepted::Accepted2xx;
use crate::sip::transaction::server_invite::ServerInvite;
use crate::sip::transaction::{TuEvent, TxEffect};

/// The INVITE and what was answered.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(super) struct Incoming {
    request: Message,
    flow: Flow,
    tag: String,
    transaction: ServerInvite,
    accepted: Option<Accepted2xx>,
    pub(super) provisional: Option<Box<Reliably>>,
}

impl Incoming {
    pub(super) fn new(request: Message, flow: Flow, tag: String, rules: &LegRules) -> Self {
        let transaction = ServerInvite::new(tag.clone().into_bytes(), &flow, &rules.timers);
        Self { request, flow, tag, transaction, accepted: None, provisional: None }
    }

    pub(super) const fn request(&self) -> &Message {
        &self.request
    }

    pub(super) fn slot(&self) -> Slot {
        Slot::invite(self.request.cseq().number)
    }

    pub(super) fn deadline(&self) -> Option<Mono> {
        let accepted = self.accepted.as_ref().and_then(Accepted2xx::deadline);
        let provisional = self.provisional.as_ref().and_then(|provisional| provisional.deadline());
        [self.transaction.deadline(), accepted, provisional].into_iter().flatten().min()
    }

    pub(super) fn is_over(&self) -> bool {
        self.transaction.is_over() && self.accepted.as_ref().is_none_or(Accepted2xx::is_over)
    }

    /// The caller has gone without an ACK.
    pub(super) fn forget_ack(&mut self) {
        self.accepted = None;
    }

    pub(super) fn awaits_ack(&self) -> bool {
        self.accepted.as_ref().is_some_and(|accepted| !accepted.is_over())
    }

    /// Whether a request has this transaction's branch and sender (RFC 3261 §17.2.3; CANCEL and ACK count), and speaks
    /// of the same dialog: a branch alone is easily guessed.
    pub(super) fn matches(&self, request: &Message) -> bool {
        request.via().branch() == self.request.via().branch()
            && request.via().sent_by() == self.request.via().sent_by()
            && request.cseq().number == self.request.cseq().number
            && self.is_same_dialog(request)
    }

    fn is_same_dialog(&self, request: &Message) -> bool {
        request.call_id() == self.request.call_id()
            && request.from_tag() == self.request.from_tag()
            && request.to_tag().is_none_or(|tag| tag == self.tag.as_bytes())
    }

    /// A response of ours with everything the request decides.
    pub(super) fn response(&self, rules: &LegRules, status: u16) -> Draft {
        Draft::response(&self.request, status, None)
            .via_source(self.flow.remote)
            .to_tag(self.tag.as_bytes())
            .header(Name::Server, rules.product.as_bytes())
    }

    pub(super) fn respond(&mut self, now: Now, response: &Message, effects: &mut Vec<TxEffect>) {
        self.transaction.respond(now, response, effects);
    }

    /// A final answer is on its way: no provisional is repeated any more.
    fn finish_provisionals(&mut self) {
        if let Some(provisional) = &mut self.provisional {
            provisional.stop();
        }
    }

    pub(super) fn accept(&mut self, now: Now, rules: &LegRules, response: &Message, effects: &mut Vec<TxEffect>) {
        self.transaction.respond(now, response, effects);
        let cseq = self.request.cseq().number;
        self.accepted = Some(Accepted2xx::start(now, cseq, response.into(), &rules.timers));
    }

    pub(super) fn repeated(&mut self, now: Now, request: &Message, effects: &mut Vec<TxEffect>) {
        self.transaction.on_request(now, request, effects);
    }

    /// Takes an ACK; says whether it is the first for our 2xx.
    fn acked(&mut self, now: Now, ack: &Message, effects: &mut Vec<TxEffect>) -> bool {
        let (same_dialog, same_branch) = (self.is_same_dialog(ack), self.matches(ack));
        match &mut self.accepted {
            Some(accepted) if same_dialog => accepted.on_ack(ack.cseq().number, &mut Vec::new()),
            None if same_branch => {
                self.transaction.on_request(now, ack, effects);
                false
            }
            Some(_) | None => false,
        }
    }

    /// Runs the timers; says whether the ACK of our 2xx was given up.
    pub(super) fn on_deadline(&mut self, now: Now, effects: &mut Vec<TxEffect>) -> bool {
        self.transaction.on_deadline(now, effects);
        let mut own = Vec::new();
        if let Some(accepted) = &mut self.accepted {
            accepted.on_deadline(now, &mut own);
        }
        let missing = own.iter().any(|effect| matches!(effect, TxEffect::Tell(TuEvent::AckMissing)));
        effects.extend(own.into_iter().filter(|effect| matches!(effect, TxEffect::Transmit(_))));
        missing
    }
}

impl Leg {
    pub(super) fn begin_incoming(&mut self, now: Now, rules: &LegRules, invite: &Arrived, out: &mut Vec<LegOut>) {
        let tag = self.minter.tag();
        let mut incoming = Incoming::new(invite.message.clone(), invite.flow, tag.clone(), rules);
        let mut effects = Vec::new();
        let trying = Draft::response(&invite.message, 100, None).via_source(invite.flow.remote).finish();
        incoming.respond(now, &trying, &mut effects);
        self.flow = Some(invite.flow);
        self.learn(&invite.message);
        self.dialog = Dialog::uas(&invite.message, tag.as_bytes(), invite.flow, stamp::contact(&invite.flow));
        self.description.came_from(invite.flow.remote.ip());
        // The first request of a dialog can meet neither glare nor an older offer.
        let _ = self.description.on_request(incoming.slot(), sdp_of(&invite.message));
        self.transmit(effects, out);
        self.incoming = Some(Box::new(incoming));
    }

    pub(super) fn is_of_incoming(&self, request: &Message) -> bool {
        self.incoming.as_ref().is_some_and(|incoming| incoming.matches(request))
    }

    pub(super) fn awaits_ack(&self) -> bool {
        self.incoming.as_ref().is_some_and(|incoming| incoming.awaits_ack())
    }

    pub(super) fn answer(&mut self, now: Now, rules: &LegRules, out: &mut Vec<LegOut>) {
        if self.state != LegState::Waiting {
            return;
        }
        let (Some(incoming), Some(flow)) = (&mut self.incoming, self.flow) else { return };
        if incoming.provisional.as_mut().is_some_and(|provisional| provisional.holds_answer()) {
            return;
        }
        let Ok(body) = self.description.body_for(incoming.slot(), Answering::Success) else {
            return self.refuse_offer(now, rules, out);
        };
        incoming.finish_provisionals();
        let mut draft = stamp::introduce(incoming.response(rules, 200)).header(Name::Contact, stamp::contact(&flow));
        let asked = AskedTimer::of(incoming.request());
        if let Ok(granted) = rules.session.grant(&asked) {
            draft = draft.header(Name::SessionExpires, granted.expires.to_string());
            if granted.require {
                draft = draft.header(Name::Require, "timer");
            }
            self.session.set(now, Some(granted.expires), false);
        }
        if let Some(body) = body {
            draft = draft.body("application/sdp", body);
        }
        let mut effects = Vec::new();
        incoming.accept(now, rules, &draft.finish(), &mut effects);
        // Confirms the dialog; the bytes on the wire are those above.
        if let (Some(dialog), Some(incoming)) = (&mut self.dialog, &self.incoming) {
            drop(dialog.respond(incoming.request(), 200, None));
        }
        self.state = LegState::Talking;
        self.transmit(effects, out);
        self.tell_answered(out);
    }

    /// An offer nothing of which we speak is refused at once, before anybody is rung for it.
    pub(super) fn check_offer(&mut self, now: Now, rules: &LegRules, out: &mut Vec<LegOut>) {
        if self.state == LegState::Waiting && !self.description.can_answer() {
            self.refuse_offer(now, rules, out);
        }
    }

    pub(super) fn refuse_offer(&mut self, now: Now, rules: &LegRules, out: &mut Vec<LegOut>) {
        out.push(LegOut::Event(LegEvent::Failed { status: 488, responded: true, contacts: Vec::new() }));
        self.reject(now, rules, 488, None, None, out);
    }

    pub(super) fn reject(
        &mut self,
        now: Now,
        rules: &LegRules,
        status: u16,
        q850: Option<u8>,
        retry_after: Option<Duration>,
        out: &mut Vec<LegOut>,
    ) {
        if self.state != LegState::Waiting {
            return;
        }
        let Some(incoming) = &mut self.incoming else { return };
        let mut draft = incoming.response(rules, status);
        if let Some(q850) = q850 {
            draft = stamp::cause(draft, q850);
        }
        if let Some(after) = retry_after {
            draft = draft.header(Name::RetryAfter, after.as_secs().max(1).to_string());
        }
        self.description.refuse(incoming.slot());
        incoming.finish_provisionals();
        let mut effects = Vec::new();
        incoming.respond(now, &draft.finish(), &mut effects);
        self.leave();
        self.transmit(effects, out);
    }

    /// A repetition, ACK or CANCEL of the INVITE.
    pub(super) fn on_incoming(&mut self, now: Now, rules: &LegRules, request: &Message, out: &mut Vec<LegOut>) {
        let Some(incoming) = &mut self.incoming else { return };
        let mut effects = Vec::new();
        incoming.repeated(now, request, &mut effects);
        let cancelled = effects.iter().any(|effect| matches!(effect, TxEffect::Tell(TuEvent::Cancelled)));
        self.transmit(effects, out);
        if cancelled && self.state == LegState::Waiting {
            out.push(LegOut::Event(LegEvent::Cancelled));
            self.reject(now, rules, 487, None, None, out);
        }
    }

    pub(super) fn on_ack(&mut self, now: Now, rules: &LegRules, ack: &Message, out: &mut Vec<LegOut>) {
        if self.ack_of_reinvite(now, ack, out) {
            return;
        }
        let Some(incoming) = &mut self.incoming else { return };
        if ack.cseq().number != incoming.request().cseq().number {
            return;
        }
        let mut effects = Vec::new();
        let first = incoming.acked(now, ack, &mut effects);
        self.transmit(effects, out);
        if !first {
            return;
        }
        let mut events = Vec::new();
        let agreed = self.description.on_ack(ack.cseq().number, sdp_of(ack), &mut events);
        out.extend(events.into_iter().map(LegOut::Event));
        out.push(LegOut::Event(LegEvent::Confirmed));
        if let Some(reason) = self.bye_after_ack.take() {
            self.send_bye(now, rules, reason, out);
        } else if agreed.is_err() && !self.kept {
            // Nobody would ever hear anything: better a call that ends than dead air.
            self.lose(now, rules, out);
        }
    }

    pub(super) fn incoming_deadline(&mut self, now: Now, rules: &LegRules, out: &mut Vec<LegOut>) {
        let Some(incoming) = &mut self.incoming else { return };
        let mut effects = Vec::new();
        let missing = incoming.on_deadline(now, &mut effects);
        let unacknowledged = incoming.provisional.as_mut().is_some_and(|own| own.on_deadline(now, &mut effects));
        self.transmit(effects, out);
        if missing {
            match self.bye_after_ack.take() {
                Some(reason) => self.send_bye(now, rules, reason, out),
                None if self.kept => {}
                None => self.lose(now, rules, out),
            }
        }
        if unacknowledged {
            self.provisional_lost(now, rules, out);
        }
    }

    pub(super) fn tell_answered(&mut self, out: &mut Vec<LegOut>) {
        let mut events = Vec::new();
        self.description.tell_answered(&mut events);
        out.extend(events.into_iter().map(LegOut::Event));
    }

    /// Puts a transaction's bytes on the leg's flow.
    pub(super) fn transmit(&self, effects: Vec<TxEffect>, out: &mut Vec<LegOut>) {
        if let Some(flow) = self.flow {
            transmit_over(flow, effects, out);
        }
    }
}

/// Puts a transaction's bytes on a flow; an answer goes to where its request came from (RFC 3261 §18.2.2).
pub(super) fn transmit_over(flow: Flow, effects: Vec<TxEffect>, out: &mut Vec<LegOut>) {
    for effect in effects {
        if let TxEffect::Transmit(wire) = effect {
            out.push(LegOut::Transmit(flow, wire.into_bytes()));
        }
    }
}

/// The session description of a message: its body, or the part of a multipart body that is one.
pub(super) fn sdp_of(message: &Message) -> Option<Bytes> {
    if let Some(part) = multipart::part(message, "application/sdp") {
        return Some(part.body().clone()).filter(|body| !body.is_empty());
    }
    let body = message.body_bytes();
    // Old gear leaves Content-Type out; a body that begins like SDP is one.
    let is_sdp = message.is_content("application/sdp") || (message.content_type().is_none() && body.starts_with(b"v="));
    (is_sdp && !body.is_empty()).then_some(body)
}

/// The reason for a hang-up that the peer gave, as a Q.850 cause.
pub(super) fn q850_of(message: &Message) -> Option<u8> {
    message.values(Name::Reason).find_map(|value| {
        let text = std::str::from_utf8(value).ok()?;
        let (protocol, params) = text.split_once(';')?;
        if !protocol.trim().eq_ignore_ascii_case("q.850") {
            return None;
        }
        params.split(';').find_map(|param| param.trim().strip_prefix("cause=")?.trim().parse().ok())
    })
}
