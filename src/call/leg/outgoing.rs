//! An INVITE of ours, until its final answer has been acknowledged.
//!
//! RFC 3261 §13.2, §9.1, §15; late and forked 2xx are acknowledged and hung up (RFC 3261 §13.2.2.4).
//!
//! | it goes on until | then the call hears |
//! |---|---|
//! | a 2xx | `Answered`; a later 2xx of another fork is acknowledged and gets BYE |
//! | 422 with a Min-SE | nothing: it is tried once more with that interval (RFC 4028 §7.3) |
//! | any other refusal | `Failed` with its status, and the Contacts of a 3xx |
//! | nothing responds for `dead_after` | `Failed` 408, not responded; a late 2xx is acknowledged and gets BYE |
//! | it rings longer than `ring` | `Failed` 408; cancelled, likewise |
//!
//! Deliberately absent: the next target (the call has the list), challenges, following a redirection.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::incoming::sdp_of;
use super::requests::Asked;
use super::words::{CONTACTS_MOST, LegEvent, Outgoing};
use super::{Leg, LegOut, LegRules, LegState, stamp};
use crate::base::flow::Flow;
use crate::base::now::{Mono, Now};
use crate::call::carried::CarriedPart;
use crate::event::reason::EndReason;
use crate::sip::dialog::{Dialog, Opening, try_again};
use crate::sip::header::address::{Contacts, NameAddr};
use crate::sip::message::{Message, Method, Name};
use crate::sip::multipart;
use crate::sip::offer_answer::{Answering, Slot};
use crate::sip::print::Draft;
use crate::sip::session_timer::{Asked as AskedTimer, agreed_in};
use crate::sip::transaction::client_invite::ClientInvite;
use crate::sip::transaction::{TuEvent, TxEffect};

/// The INVITE and its transaction.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(super) struct Calling {
    request: Message,
    transaction: ClientInvite,
    dead_at: Option<Mono>,
    dead_after: Duration,
    ring_until: Mono,
    /// Whether it was tried again with the interval of a 422.
    tried_again: bool,
    /// Whether the call was told how it ended.
    told: bool,
    /// What goes beside our description each time it is sent.
    parts: Vec<CarriedPart>,
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

    pub(super) fn is_ours(&self, response: &Message) -> bool {
        response.via().branch() == self.request.via().branch()
    }

    const fn slot(&self) -> Slot {
        Slot::invite(self.request.cseq().number)
    }
}

impl Leg {
    pub(super) fn call_out(&mut self, now: Now, rules: &LegRules, wanted: Outgoing, out: &mut Vec<LegOut>) {
        if self.state != LegState::Calling || self.outgoing.is_some() {
            return;
        }
        let flow = wanted.target.flow;
        self.flow = Some(flow);
        self.description.came_from(flow.remote.ip());
        let body = self.description.offer(Slot::invite(1)).ok().flatten();
        let request = self.write_invite(rules, &wanted, &flow, body);
        let mut effects = Vec::new();
        let reliable = flow.transport.is_reliable();
        let transaction = ClientInvite::start(now, request.clone(), reliable, &rules.timers, &mut effects);
        self.outgoing = Some(Box::new(Calling {
            request,
            transaction,
            dead_at: Some(now.mono + wanted.dead_after),
            dead_after: wanted.dead_after,
            tried_again: false,
            ring_until: now.mono + wanted.ring,
            told: false,
            parts: wanted.parts,
        }));
        self.transmit(effects, out);
    }

    fn write_invite(
        &mut self,
        rules: &LegRules,
        wanted: &Outgoing,
        flow: &Flow,
        body: Option<bytes::Bytes>,
    ) -> Message {
        let branch = self.minter.branch();
        let tag = self.minter.tag();
        let call_id = self.minter.sip_call_id();
        let display = (!wanted.display.is_empty()).then_some(wanted.display.as_ref());
        let from = NameAddr::compose(display, wanted.from.as_bytes(), &[("tag", Some(tag.as_bytes()))]);
        let to = NameAddr::compose(None, wanted.target.to.as_bytes(), &[]);
        let routes: Vec<_> =
            wanted.target.route.iter().map(|route| bytes::Bytes::copy_from_slice(route.as_bytes())).collect();
        let (expires, min_se) = rules.session.ask(None);
        let contact = stamp::contact(flow);
        let opening = Opening {
            target: wanted.target.uri.as_bytes(),
            from: &from,
            to: &to,
            call_id: &call_id,
            cseq: 1,
            contact: contact.as_bytes(),
            routes: &routes,
            flow,
        };
        let mut draft = stamp::introduce(opening.request(&Method::Invite, &branch))
            .replace(Name::MaxForwards, wanted.max_forwards.to_string())
            .header(Name::UserAgent, rules.product.as_bytes())
            .header(Name::SessionExpires, expires.to_string())
            .header(Name::MinSe, min_se.as_secs().to_string());
        for (name, value) in &wanted.headers {
            draft = draft.header_raw(name.as_bytes(), value);
        }
        describe(draft, body, &wanted.parts).finish()
    }

    pub(super) fn on_invite_response(&mut self, now: Now, rules: &LegRules, response: &Message, out: &mut Vec<LegOut>) {
        let Some(calling) = &mut self.outgoing else { return };
        let mut effects = Vec::new();
        calling.transaction.on_response(now, response, &mut effects);
        self.take_calling(now, rules, effects, out);
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
    pub(super) fn give_up(&mut self, now: Now, rules: &LegRules, _reason: EndReason, out: &mut Vec<LegOut>) {
        self.leave();
        if let Some(calling) = &mut self.outgoing {
            calling.told = true;
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

    pub(super) fn fail_calling(
        &mut self,
        status: u16,
        responded: bool,
        contacts: Vec<Box<str>>,
        out: &mut Vec<LegOut>,
    ) {
        let Some(calling) = &mut self.outgoing else { return };
        calling.dead_at = None;
        if !calling.told {
            calling.told = true;
            out.push(LegOut::Event(LegEvent::Failed { status, responded, contacts }));
        }
        self.leave();
    }

    fn take_calling(&mut self, now: Now, rules: &LegRules, effects: Vec<TxEffect>, out: &mut Vec<LegOut>) {
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
                TuEvent::Crossed(response) => self.say_goodbye_to(now, rules, &response, out),
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
            101..200 => {
                if self.state == LegState::Calling {
                    self.state = LegState::Ringing;
                    out.push(LegOut::Event(LegEvent::Ringing));
                }
                if self.state == LegState::Ringing {
                    let mut events = Vec::new();
                    let _ = self.description.on_response(slot, Answering::Provisional, sdp_of(response), &mut events);
                    out.extend(events.into_iter().map(LegOut::Event));
                }
            }
            200..300 => self.on_success(now, rules, response, slot, out),
            status => {
                let mut events = Vec::new();
                let _ = self.description.on_response(slot, Answering::Failure, None, &mut events);
                if status != 422 || !self.call_longer(now, rules, response, out) {
                    self.fail_calling(status, true, moved_to(response), out);
                }
            }
        }
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
        let (expires, min_se) = rules.session.ask(longer);
        let mut draft = try_again(&calling.request, &flow, &self.minter.branch())
            .replace(Name::SessionExpires, expires.to_string())
            .replace(Name::MinSe, min_se.as_secs().to_string());
        let slot = Slot::invite(calling.request.cseq().number.saturating_add(1));
        if let Some(body) = self.description.offer(slot).ok().flatten() {
            draft = describe(draft, Some(body), &calling.parts);
        }
        let request = draft.finish();
        let mut effects = Vec::new();
        let reliable = flow.transport.is_reliable();
        let transaction = ClientInvite::start(now, request.clone(), reliable, &rules.timers, &mut effects);
        let before = std::mem::replace(&mut calling.transaction, transaction);
        self.asked.push(Asked::refused(&calling.request, before));
        calling.request = request;
        calling.dead_at = Some(now.mono + calling.dead_after);
        calling.tried_again = true;
        self.transmit(effects, out);
        true
    }

    fn on_success(&mut self, now: Now, rules: &LegRules, response: &Message, slot: Slot, out: &mut Vec<LegOut>) {
        let known = self.dialog.as_ref().map(|dialog| response.to_tag() == Some(&dialog.id().remote_tag[..]));
        match known {
            Some(true) => return self.repeat_ack(slot.cseq, out),
            Some(false) => return self.say_goodbye_to(now, rules, response, out),
            None if self.state >= LegState::Talking => return self.say_goodbye_to(now, rules, response, out),
            None => {}
        }
        let Some(flow) = self.flow else { return };
        let Some(calling) = &self.outgoing else { return };
        let Some(dialog) = Dialog::uac(&calling.request, response, flow, stamp::contact(&flow)) else {
            return self.fail_calling(500, true, Vec::new(), out);
        };
        self.dialog = Some(dialog);
        let mut events = Vec::new();
        let agreed = self.description.on_response(slot, Answering::Success, sdp_of(response), &mut events);
        self.send_ack(slot.cseq, agreed.as_ref().ok().cloned().flatten(), out);
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

    pub(super) fn send_ack(&mut self, cseq: u32, body: Option<bytes::Bytes>, out: &mut Vec<LegOut>) {
        let (Some(flow), Some(dialog)) = (self.flow, &mut self.dialog) else { return };
        let branch = self.minter.branch();
        let wire = dialog.ack(cseq, &branch, &[], body.map(|body| ("application/sdp", body)));
        out.push(LegOut::Transmit(flow, wire.into_bytes()));
    }

    fn repeat_ack(&self, cseq: u32, out: &mut Vec<LegOut>) {
        let again = self.dialog.as_ref().and_then(|dialog| dialog.ack_again(cseq));
        if let (Some(flow), Some(wire)) = (self.flow, again) {
            out.push(LegOut::Transmit(flow, wire.into_bytes()));
        }
    }

    /// A 2xx nobody wants any more: acknowledged, then hung up. A repetition of it is acknowledged by a new BYE's
    /// failure at the latest; the peer's own 64·T1 bounds it.
    fn say_goodbye_to(&mut self, now: Now, rules: &LegRules, response: &Message, out: &mut Vec<LegOut>) {
        let (Some(flow), Some(calling)) = (self.flow, &self.outgoing) else { return };
        let Some(mut dialog) = Dialog::uac(&calling.request, response, flow, stamp::contact(&flow)) else { return };
        let (ack, bye) = dialog.dismiss(&self.minter.branch(), &self.minter.branch());
        out.push(LegOut::Transmit(flow, ack.into_bytes()));
        self.ask(now, rules, bye, out);
    }

    /// The connection the INVITE went over is gone before its answer.
    pub(super) fn calling_unreachable(&mut self, now: Now, rules: &LegRules, out: &mut Vec<LegOut>) {
        let Some(calling) = &mut self.outgoing else { return };
        let mut effects = Vec::new();
        calling.transaction.on_transport_error(&mut effects);
        self.take_calling(now, rules, effects, out);
    }
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
fn describe(draft: Draft, sdp: Option<bytes::Bytes>, parts: &[CarriedPart]) -> Draft {
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
