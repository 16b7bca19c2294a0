//! An INVITE of ours, until its final answer has been acknowledged.
//!
//! RFC 3261 §13.2, §9.1, §15, §18.1.1 (size), §22.2 (challenges); RFC 3262 §4; early dialogs are `forks`.
//!
//! | it goes on until | then the call hears |
//! |---|---|
//! | a 2xx | `Answered`; a later 2xx of another fork is acknowledged and gets BYE |
//! | 401 or 407 our account can answer | nothing: it is tried again, at most twice |
//! | 422 with a Min-SE | nothing: it is tried once more with that interval (RFC 4028 §7.3) |
//! | the stream it went over for its size fails unanswered | nothing: it is tried once more as a datagram |
//! | any other refusal | `Failed` with its status, and the Contacts of a 3xx |
//! | an offer or answer in a reliable 1xx that cannot be spoken | `Failed` 488, cancelled |
//! | nothing responds for `dead_after` | `Failed` 408, not responded; a late 2xx is acknowledged and gets BYE |
//! | it rings longer than `ring` | `Failed` 408; cancelled, likewise |
//!
//! Without ports it carries no offer; the callee's is then answered in ACK or PRACK, if the ports are known by then.
//! Deliberately absent: the next target (the call has the list), following a redirection.

use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::forks::Forks;
use super::incoming::sdp_of;
use super::requests::{ASKED_MOST, Asked};
use super::words::{CONTACTS_MOST, LegEvent, Outgoing};
use super::{Leg, LegOut, LegRules, LegState, stamp};
use crate::base::flow::Flow;
use crate::base::now::{Mono, Now};
use crate::call::carried::CarriedPart;
use crate::event::reason::EndReason;
use crate::plan::trunk::Reliable;
use crate::sip::dialog::{Opening, try_again};
use crate::sip::header::address::{Contacts, NameAddr};
use crate::sip::header::reason::Reason;
use crate::sip::header::reliable::RAck;
use crate::sip::message::{Message, Method, Name};
use crate::sip::multipart;
use crate::sip::offer_answer::{Answering, Slot};
use crate::sip::prack::Provisional;
use crate::sip::print::Draft;
use crate::sip::session_timer::{Asked as AskedTimer, agreed_in};
use crate::sip::transaction::client_invite::ClientInvite;
use crate::sip::transaction::{TuEvent, TxEffect};

/// Larger requests do not go as a datagram where there is a stream (RFC 3261 §18.1.1), octets.
const DATAGRAM_MOST: usize = 1300;

/// The INVITE and its transaction.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(super) struct Calling {
    pub(super) request: Message,
    pub(super) transaction: ClientInvite,
    pub(super) forks: Forks,
    /// Where it goes when the stream it was too large not to use cannot be opened.
    fallback: Option<Flow>,
    dead_at: Option<Mono>,
    dead_after: Duration,
    ring_until: Mono,
    /// Whether it was tried again with the interval of a 422.
    tried_again: bool,
    /// Whether the call was told how it ended.
    told: bool,
}

impl Calling {
    pub(super) fn transaction_deadline(&self) -> Option<Mono> {
        self.transaction.deadline()
    }

    pub(super) const fn dead_at(&self) -> Option<Mono> {
        self.dead_at
    }

    pub(super) fn ring_until(&self) -> Option<Mono> {
        (!self.told).then_some(self.ring_until)
    }

    pub(super) fn is_over(&self) -> bool {
        self.transaction.is_over()
    }

    /// Whether a response is to this INVITE or its CANCEL: the branch alone is what a stranger may have overheard.
    pub(super) fn is_ours(&self, response: &Message) -> bool {
        response.via().branch() == self.request.via().branch()
            && response.cseq().number == self.request.cseq().number
            && matches!(response.cseq_method(), Method::Invite | Method::Cancel)
            && response.call_id() == self.request.call_id()
            && response.from_tag() == self.request.from_tag()
    }

    pub(super) const fn slot(&self) -> Slot {
        Slot::invite(self.request.cseq().number)
    }

    /// Whether its final answer still counts.
    pub(super) const fn is_wanted(&self) -> bool {
        !self.told
    }
}

impl Leg {
    pub(super) fn call_out(&mut self, now: Now, rules: &LegRules, wanted: Outgoing, out: &mut Vec<LegOut>) {
        if self.state != LegState::Calling || self.outgoing.is_some() {
            return;
        }
        self.trunk.clone_from(&wanted.target.trunk);
        let mut flow = wanted.target.flow;
        self.description.came_from(flow.remote.ip());
        let body = self.description.offer(Slot::invite(1)).ok().flatten();
        let names = [self.minter.branch(), self.minter.tag(), self.minter.sip_call_id()];
        let mut request = write_invite(rules, &wanted, &flow, &names, body.clone());
        let mut fallback = None;
        if let Some(stream) = wanted.target.stream
            && !flow.transport.is_reliable()
            && request.bytes().len() > DATAGRAM_MOST
        {
            fallback = Some(flow);
            flow = stream;
            request = write_invite(rules, &wanted, &flow, &names, body);
        }
        self.flow = Some(flow);
        let mut effects = Vec::new();
        let reliable = flow.transport.is_reliable();
        let transaction = ClientInvite::start(now, request.clone(), reliable, &rules.timers, &mut effects);
        self.outgoing = Some(Box::new(Calling {
            request,
            transaction,
            forks: Forks::default(),
            fallback,
            dead_at: Some(now.mono + wanted.dead_after),
            dead_after: wanted.dead_after,
            tried_again: false,
            ring_until: now.mono + wanted.ring,
            told: false,
        }));
        self.transmit(effects, out);
    }

    /// Sends the INVITE once more over `flow`, changed by `change`; the transaction before it goes on acknowledging
    /// repetitions of its refusal.
    pub(super) fn call_again(
        &mut self,
        now: Now,
        rules: &LegRules,
        flow: Flow,
        change: impl FnOnce(Draft) -> Draft,
        out: &mut Vec<LegOut>,
    ) {
        let Some(calling) = &mut self.outgoing else { return };
        let request = change(try_again(&calling.request, &flow, &self.minter.branch())).finish();
        let mut effects = Vec::new();
        let reliable = flow.transport.is_reliable();
        let transaction = ClientInvite::start(now, request.clone(), reliable, &rules.timers, &mut effects);
        let before = std::mem::replace(&mut calling.transaction, transaction);
        if !before.is_over() {
            self.asked.push(Asked::refused(&calling.request, before));
        }
        calling.request = request;
        calling.forks = Forks::default();
        calling.dead_at = Some(now.mono + calling.dead_after);
        self.dialog = None;
        self.flow = Some(flow);
        self.description = self.description.restarted(calling.slot(), sdp_of(&calling.request));
        self.transmit(effects, out);
    }

    pub(super) fn outgoing_deadline(&mut self, now: Now, rules: &LegRules, out: &mut Vec<LegOut>) {
        let Some(calling) = &mut self.outgoing else { return };
        let mut effects = Vec::new();
        calling.transaction.on_deadline(now, &mut effects);
        let dead = calling.dead_at.is_some_and(|at| at <= now.mono);
        let rung_out = calling.ring_until <= now.mono;
        self.take_calling(now, rules, effects, out);
        if self.state < LegState::Talking && (dead || rung_out) {
            self.fail_calling(408, !dead, Vec::new(), out);
            self.cancel(now, rules, out);
        }
    }

    /// The call gives the attempt up.
    pub(super) fn give_up(&mut self, now: Now, rules: &LegRules, reason: EndReason, out: &mut Vec<LegOut>) {
        self.leave();
        if let Some(calling) = &mut self.outgoing {
            calling.told = true;
            calling.transaction.cancel_because(&if reason == EndReason::AnsweredElsewhere {
                Reason::sip(200, "Call completed elsewhere")
            } else {
                Reason::q850(reason.q850().into())
            });
        }
        self.cancel(now, rules, out);
    }

    fn cancel(&mut self, now: Now, rules: &LegRules, out: &mut Vec<LegOut>) {
        let Some(calling) = &mut self.outgoing else { return };
        let mut effects = Vec::new();
        calling.dead_at = None;
        calling.transaction.cancel(now, &mut effects);
        self.take_calling(now, rules, effects, out);
    }

    fn fail_calling(&mut self, status: u16, responded: bool, contacts: Vec<Box<str>>, out: &mut Vec<LegOut>) {
        let Some(calling) = &mut self.outgoing else { return };
        calling.dead_at = None;
        if !calling.told {
            calling.told = true;
            out.push(LegOut::Event(LegEvent::Failed { status, responded, contacts }));
        }
        self.leave();
    }

    pub(super) fn take_calling(&mut self, now: Now, rules: &LegRules, effects: Vec<TxEffect>, out: &mut Vec<LegOut>) {
        let mut told = Vec::new();
        let mut sent = Vec::new();
        for effect in effects {
            match effect {
                TxEffect::Transmit(wire) => sent.push(TxEffect::Transmit(wire)),
                TxEffect::Tell(event) => told.push(event),
                TxEffect::Done(_) => {}
            }
        }
        self.transmit(sent, out);
        for event in told {
            match event {
                TuEvent::Response(response) => self.on_invite_told(now, rules, &response, out),
                TuEvent::Crossed(response) => self.dismiss(now, rules, &response, out),
                TuEvent::NoAnswer => self.fail_calling(408, false, Vec::new(), out),
                TuEvent::Unreachable => self.fail_calling(503, false, Vec::new(), out),
                TuEvent::Cancelled | TuEvent::Acked(_) | TuEvent::AckMissing | TuEvent::NeverAnswered => {}
            }
        }
    }

    fn on_invite_told(&mut self, now: Now, rules: &LegRules, response: &Message, out: &mut Vec<LegOut>) {
        let Some(calling) = &mut self.outgoing else { return };
        calling.dead_at = None;
        let slot = calling.slot();
        match response.status().unwrap_or(500) {
            100 => {}
            199 if self.state < LegState::Talking => self.end_fork(response),
            101..200 => self.on_progress(now, rules, response, slot, out),
            200..300 => self.on_success(now, rules, response, slot, out),
            status => {
                let _ = self.description.on_response(slot, Answering::Failure, None, &mut Vec::new());
                if status != 422 || !self.call_longer(now, rules, response, out) {
                    calling_over(&mut self.outgoing);
                    self.dialog = None;
                    self.fail_calling(status, true, moved_to(response), out);
                }
            }
        }
    }

    fn on_progress(&mut self, now: Now, rules: &LegRules, response: &Message, slot: Slot, out: &mut Vec<LegOut>) {
        if self.state >= LegState::Talking || !self.turn_to(response) {
            return;
        }
        let (Some(calling), full) = (&mut self.outgoing, self.asked.len() >= ASKED_MOST) else { return };
        let wanted = match &self.dialog {
            // Over the bound it counts as not come: the callee repeats it.
            Some(_) if full && response.header(Name::RSeq).is_some() => return,
            Some(_) => calling.forks.acknowledging.on_provisional(response),
            None => Provisional::Plain,
        };
        let answering = match wanted {
            Provisional::Ignore => return,
            Provisional::Plain => Answering::Provisional,
            Provisional::Acknowledge(_) => Answering::ReliableProvisional,
        };
        self.learn(response);
        if let Some(dialog) = &mut self.dialog {
            dialog.on_response(response);
        }
        if self.state == LegState::Calling && matches!(response.status(), Some(180 | 183)) {
            self.state = LegState::Ringing;
            out.push(LegOut::Event(LegEvent::Ringing));
        }
        let mut events = Vec::new();
        let answer = self.description.on_response(slot, answering, sdp_of(response), &mut events);
        out.extend(events.into_iter().map(LegOut::Event));
        if let Provisional::Acknowledge(rack) = wanted {
            let unspeakable = answer.is_err();
            self.send_prack(now, rules, &rack, answer.ok().flatten(), out);
            if unspeakable {
                self.fail_calling(488, true, Vec::new(), out);
                self.cancel(now, rules, out);
            }
        }
    }

    fn send_prack(&mut self, now: Now, rules: &LegRules, rack: &RAck, body: Option<Bytes>, out: &mut Vec<LegOut>) {
        let branch = self.minter.branch();
        let Some(dialog) = &mut self.dialog else { return };
        let draft = dialog
            .request(&Method::Prack, &branch)
            .header(Name::RAck, rack.to_string())
            .header(Name::UserAgent, rules.product.as_bytes());
        let draft = match body {
            Some(body) => draft.body("application/sdp", body),
            None => draft,
        };
        self.ask(now, rules, draft.finish(), out);
    }

    /// Tries once more with the session interval a 422 asks for; whether it did.
    fn call_longer(&mut self, now: Now, rules: &LegRules, refusal: &Message, out: &mut Vec<LegOut>) -> bool {
        let (Some(flow), Some(calling)) = (self.flow, &mut self.outgoing) else { return false };
        let wanted = AskedTimer::of(refusal).min_se;
        let asked = agreed_in(&calling.request).map_or(0, |asked| asked.seconds);
        let longer = wanted.filter(|least| least.as_secs() > u64::from(asked));
        if longer.is_none() || calling.tried_again || calling.told || self.state >= LegState::Talking {
            return false;
        }
        calling.tried_again = true;
        self.least = longer;
        let (expires, min_se) = rules.session.ask(longer);
        let change = |draft: Draft| {
            draft.replace(Name::SessionExpires, expires.to_string()).replace(Name::MinSe, min_se.as_secs().to_string())
        };
        self.call_again(now, rules, flow, change, out);
        true
    }

    fn on_success(&mut self, now: Now, rules: &LegRules, response: &Message, slot: Slot, out: &mut Vec<LegOut>) {
        if self.state >= LegState::Talking {
            let again = self.dialog.as_ref().filter(|dialog| response.to_tag() == Some(&dialog.id().remote_tag[..]));
            match again.and_then(|dialog| dialog.ack_again(slot.cseq)) {
                Some(wire) => out.extend(self.flow.map(|flow| LegOut::Transmit(flow, wire.into_bytes()))),
                None => self.dismiss(now, rules, response, out),
            }
            return;
        }
        self.turn_to(response);
        let Some(dialog) = &mut self.dialog else { return self.fail_calling(500, true, Vec::new(), out) };
        dialog.on_response(response);
        self.learn(response);
        let mut events = Vec::new();
        let agreed = self.description.on_response(slot, Answering::Success, sdp_of(response), &mut events);
        self.description.confirm(&mut events);
        self.send_ack(slot.cseq, agreed.as_ref().ok().cloned().flatten(), out);
        calling_over(&mut self.outgoing);
        if agreed.is_err() {
            // An answer we cannot speak: the dialog stands, so it is ended with BYE (RFC 3261 §13.2.2.4).
            self.fail_calling(488, true, Vec::new(), out);
            return self.send_bye(now, rules, EndReason::NoCodec, out);
        }
        self.session.set(now, agreed_in(response), true);
        self.state = LegState::Talking;
        if let Some(calling) = &mut self.outgoing {
            calling.told = true;
        }
        out.extend(events.into_iter().map(LegOut::Event));
        out.push(LegOut::Event(LegEvent::Answered));
    }

    /// The ACK of a 2xx, with the credentials its INVITE carried (RFC 3261 §22.1).
    pub(super) fn send_ack(&mut self, cseq: u32, body: Option<Bytes>, out: &mut Vec<LegOut>) {
        let (Some(flow), Some(dialog)) = (self.flow, &mut self.dialog) else { return };
        let branch = self.minter.branch();
        let request = self.outgoing.as_ref().map(|calling| &calling.request).filter(|own| own.cseq().number == cseq);
        let names = [Name::Authorization, Name::ProxyAuthorization];
        let proofs: Vec<_> = names.into_iter().filter_map(|name| Some((name, request?.header(name)?))).collect();
        let wire = dialog.ack(cseq, &branch, &proofs, body.map(|body| ("application/sdp", body)));
        out.push(LegOut::Transmit(flow, wire.into_bytes()));
    }

    /// The connection the INVITE went over is gone before its answer.
    pub(super) fn calling_unreachable(&mut self, now: Now, rules: &LegRules, out: &mut Vec<LegOut>) {
        let Some(calling) = &mut self.outgoing else { return };
        // Whoever has responded has the INVITE; one that nobody has seen may go as a datagram after all.
        let unseen = calling.dead_at.is_some() && calling.transaction.is_open();
        if let Some(datagram) = calling.fallback.take().filter(|_| unseen && !calling.told) {
            calling.transaction.on_transport_error(&mut Vec::new());
            let contact = stamp::contact(&datagram);
            return self.call_again(now, rules, datagram, |draft| draft.replace(Name::Contact, contact), out);
        }
        let mut effects = Vec::new();
        calling.transaction.on_transport_error(&mut effects);
        self.take_calling(now, rules, effects, out);
    }
}

fn calling_over(calling: &mut Option<Box<Calling>>) {
    if let Some(calling) = calling {
        calling.forks.drop_parked();
    }
}

/// Writes the INVITE to go over a flow. `names` are branch, tag and Call-ID.
fn write_invite(
    rules: &LegRules,
    wanted: &Outgoing,
    flow: &Flow,
    [branch, tag, call_id]: &[String; 3],
    body: Option<Bytes>,
) -> Message {
    let display = (!wanted.display.is_empty()).then_some(wanted.display.as_ref());
    let from = NameAddr::compose(display, wanted.from.as_bytes(), &[("tag", Some(tag.as_bytes()))]);
    let to = NameAddr::compose(None, wanted.target.to.as_bytes(), &[]);
    let routes: Vec<_> = wanted.target.route.iter().map(|route| Bytes::copy_from_slice(route.as_bytes())).collect();
    let (expires, min_se) = rules.session.ask(None);
    let contact = stamp::contact(flow);
    let opening = Opening {
        target: wanted.target.uri.as_bytes(),
        from: &from,
        to: &to,
        call_id,
        cseq: 1,
        contact: contact.as_bytes(),
        routes: &routes,
        flow,
    };
    let draft = opening.request(&Method::Invite, branch).header(Name::Allow, stamp::ALLOW);
    let mut draft = match wanted.target.reliable {
        Reliable::Off => draft.header(Name::Supported, stamp::SUPPORTED_PLAIN),
        Reliable::Offered => draft.header(Name::Supported, stamp::SUPPORTED),
        Reliable::Required => draft.header(Name::Supported, stamp::SUPPORTED).header(Name::Require, "100rel"),
    }
    .replace(Name::MaxForwards, wanted.max_forwards.to_string())
    .header(Name::UserAgent, rules.product.as_bytes())
    .header(Name::SessionExpires, expires.to_string())
    .header(Name::MinSe, min_se.as_secs().to_string());
    for (name, value) in &wanted.headers {
        draft = draft.header_raw(name.as_bytes(), value);
    }
    describe(draft, body, &wanted.parts).finish()
}

/// Where a 3xx says the callee may be instead, the most wished first (RFC 3261 §8.1.3.4).
fn moved_to(response: &Message) -> Vec<Box<str>> {
    if !response.status().is_some_and(|status| (300..400).contains(&status)) {
        return Vec::new();
    }
    let Ok(Contacts::List(mut list)) = response.contacts() else { return Vec::new() };
    list.sort_by_key(|contact| std::cmp::Reverse(contact.q_thousandths()));
    let uris = list.iter().filter_map(|contact| contact.uri().ok());
    uris.map(|uri| String::from_utf8_lossy(uri.without_headers().as_bytes()).into()).take(CONTACTS_MOST).collect()
}

/// Puts our description into a request, and the caller's parts beside it (RFC 5621 §3.2).
fn describe(draft: Draft, sdp: Option<Bytes>, parts: &[CarriedPart]) -> Draft {
    if parts.is_empty() {
        return match sdp {
            Some(sdp) => draft.body("application/sdp", sdp),
            None => draft,
        };
    }
    let own = sdp.as_ref().map(|sdp| (&b"Content-Type: application/sdp\r\n"[..], &sdp[..]));
    let theirs = parts.iter().map(|part| (&part.head[..], &part.body[..]));
    let (kind, body) = multipart::join(own.into_iter().chain(theirs));
    draft.body(&kind, body)
}
