//! What happens inside a dialog: hang-up, hold and refresh, transfer wishes, digits, questions.
//!
//! | request of theirs | answer |
//! |---|---|
//! | BYE | 200; the talk is over |
//! | INVITE | 200 with the description that fits, 491 on glare, 488 when nothing fits (the talk stays as it was) |
//! | REFER | 202 and a NOTIFY at once; the call decides, [`super::words::LegAction::ReferProgress`] reports |
//! | INFO | 200; a digit is told |
//! | NOTIFY, OPTIONS | 200 |
//! | anything else | 405 with Allow |
//!
//! Deliberately absent: UPDATE, PRACK, INFO packages. RFC 3261 §12.2, §14, §15; RFC 3515 §2.4; RFC 3891; RFC 4028.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::asked::{ReferTarget, info_digit};
use super::incoming::{q850_of, sdp_of, transmit_over};
use super::words::LegEvent;
use super::{Leg, LegOut, LegRules, LegState, stamp};
use crate::base::flow::Flow;
use crate::base::now::{Mono, Now};
use crate::call::words::Arrived;
use crate::event::reason::EndReason;
use crate::sip::message::{Message, Method, Name, default_phrase};
use crate::sip::offer_answer::{Answering, Heard, Slot, glare_wait};
use crate::sip::print::Draft;
use crate::sip::session_timer::{Asked as AskedTimer, agreed_in};
use crate::sip::transaction::accepted::Accepted2xx;
use crate::sip::transaction::client::Client;
use crate::sip::transaction::client_invite::ClientInvite;
use crate::sip::transaction::server::Server;
use crate::sip::transaction::server_invite::ServerInvite;
use crate::sip::transaction::{TuEvent, TxEffect};

/// Server transactions kept at once inside one dialog; a peer that opens more is refused 503.
const SERVED_MOST: usize = 32;
/// When a refused refresh is tried again.
const REFUSED_WAIT: Duration = Duration::from_secs(60);

/// A request of ours in the dialog.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(super) struct Asked {
    branch: Vec<u8>,
    method: Method,
    cseq: u32,
    machine: AskedMachine,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
enum AskedMachine {
    Plain(Client),
    Invite(Box<ClientInvite>),
}

impl Asked {
    /// A refused INVITE whose ACK must be repeated with the refusal.
    pub(super) fn refused(request: &Message, client: ClientInvite) -> Self {
        let branch = request.via().branch().unwrap_or_default().to_vec();
        let machine = AskedMachine::Invite(Box::new(client));
        Self { branch, method: Method::Invite, cseq: request.cseq().number, machine }
    }

    pub(super) fn deadline(&self) -> Option<Mono> {
        match &self.machine {
            AskedMachine::Plain(client) => client.deadline(),
            AskedMachine::Invite(client) => client.deadline(),
        }
    }

    pub(super) fn is_over(&self) -> bool {
        match &self.machine {
            AskedMachine::Plain(client) => client.is_over(),
            AskedMachine::Invite(client) => client.is_over(),
        }
    }

    fn on_response(&mut self, now: Now, response: &Message, effects: &mut Vec<TxEffect>) {
        match &mut self.machine {
            AskedMachine::Plain(client) => client.on_response(now, response, effects),
            AskedMachine::Invite(client) => client.on_response(now, response, effects),
        }
    }

    fn on_deadline(&mut self, now: Now, effects: &mut Vec<TxEffect>) {
        match &mut self.machine {
            AskedMachine::Plain(client) => client.on_deadline(now, effects),
            AskedMachine::Invite(client) => client.on_deadline(now, effects),
        }
    }

    fn on_transport_error(&mut self, effects: &mut Vec<TxEffect>) {
        match &mut self.machine {
            AskedMachine::Plain(client) => client.on_transport_error(effects),
            AskedMachine::Invite(client) => client.on_transport_error(effects),
        }
    }
}

/// A request of theirs in the dialog and our answer, kept for repetitions.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(super) struct Served {
    /// Where the request came from, and where its answers go (RFC 3261 §18.2.2).
    flow: Flow,
    branch: Vec<u8>,
    method: Method,
    cseq: u32,
    machine: ServedMachine,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
enum ServedMachine {
    Plain(Server),
    Invite(Box<ServerInvite>, Option<Accepted2xx>),
}

impl Served {
    pub(super) fn deadline(&self) -> Option<Mono> {
        match &self.machine {
            ServedMachine::Plain(server) => server.deadline(),
            ServedMachine::Invite(server, accepted) => {
                [server.deadline(), accepted.as_ref().and_then(Accepted2xx::deadline)].into_iter().flatten().min()
            }
        }
    }

    pub(super) fn is_over(&self) -> bool {
        match &self.machine {
            ServedMachine::Plain(server) => server.is_over(),
            ServedMachine::Invite(server, accepted) => {
                server.is_over() && accepted.as_ref().is_none_or(Accepted2xx::is_over)
            }
        }
    }

    fn is_repeated_by(&self, request: &Message) -> bool {
        let same = request.via().branch() == Some(&self.branch[..]) && request.cseq().number == self.cseq;
        same && (request.is(&self.method) || (self.method == Method::Invite && request.is(&Method::Cancel)))
    }
}

/// The implicit subscription of a REFER (RFC 3515 §2.4.4).
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(super) struct Subscription {
    /// The REFER's CSeq number, its `id` when there are several (RFC 3515 §2.4.6).
    id: u32,
}

impl Leg {
    pub(super) fn is_repeated(&self, request: &Message) -> bool {
        self.served.iter().any(|served| served.is_repeated_by(request))
            || (request.is(&Method::Invite) && self.is_of_incoming(request))
    }

    pub(super) fn on_repeated(&mut self, now: Now, arrived: &Arrived, out: &mut Vec<LegOut>) {
        let request = &arrived.message;
        let mut effects = Vec::new();
        if let Some(served) = self.served.iter_mut().find(|served| served.is_repeated_by(request)) {
            match &mut served.machine {
                ServedMachine::Plain(server) => server.on_request(&mut effects),
                ServedMachine::Invite(server, _) => server.on_request(now, request, &mut effects),
            }
        } else if let Some(incoming) = &mut self.incoming {
            incoming.repeated(now, request, &mut effects);
        }
        transmit_over(arrived.flow, effects, out);
    }

    pub(super) fn on_dialog_request(&mut self, now: Now, rules: &LegRules, arrived: &Arrived, out: &mut Vec<LegOut>) {
        let request = &arrived.message;
        // A BYE refused would leave a talk nobody is in.
        if self.served.len() >= SERVED_MOST && !request.is(&Method::Bye) {
            return Self::refuse(rules, arrived, 503, out);
        }
        let in_dialog = self.dialog.as_ref().is_some_and(|dialog| {
            dialog.id().call_id == request.call_id()
                && request.to_tag() == Some(&dialog.id().local_tag[..])
                && request.from_tag().unwrap_or_default() == &dialog.id().remote_tag[..]
        });
        if !in_dialog {
            return Self::refuse(rules, arrived, 481, out);
        }
        if let Some(dialog) = &mut self.dialog {
            // The peer may have come back over a new connection; answers and later requests go there.
            if self.flow.is_some_and(|flow| flow.transport.is_reliable() && flow.id != arrived.flow.id) {
                dialog.move_flow(arrived.flow);
                self.flow = Some(arrived.flow);
            }
            if let Err(fault) = dialog.on_request(request) {
                return self.respond_plain(now, rules, arrived, fault.status(), out);
            }
        }
        match request.method() {
            Some(Method::Bye) => self.on_bye(now, rules, arrived, out),
            Some(Method::Invite) => self.on_reinvite(now, rules, arrived, out),
            Some(Method::Refer) => self.on_refer(now, rules, arrived, out),
            Some(Method::Info) => self.on_info(now, rules, arrived, out),
            Some(Method::Notify | Method::Options) => self.respond_plain(now, rules, arrived, 200, out),
            _ => self.respond_plain(now, rules, arrived, 405, out),
        }
    }

    fn on_bye(&mut self, now: Now, rules: &LegRules, arrived: &Arrived, out: &mut Vec<LegOut>) {
        self.respond_plain(now, rules, arrived, 200, out);
        if self.state == LegState::Waiting {
            // BYE on an early dialog ends the INVITE too (RFC 3261 §15.1.2).
            out.push(LegOut::Event(LegEvent::Cancelled));
            return self.reject(now, rules, 487, None, None, out);
        }
        self.bye_after_ack = None;
        if self.state < LegState::Leaving {
            self.leave();
            out.push(LegOut::Event(LegEvent::Bye { q850: q850_of(&arrived.message) }));
        }
    }

    fn on_reinvite(&mut self, now: Now, rules: &LegRules, arrived: &Arrived, out: &mut Vec<LegOut>) {
        let request = &arrived.message;
        let slot = Slot::invite(request.cseq().number);
        if self.state != LegState::Talking {
            // Before our answer to the first INVITE a second one is too soon (RFC 3261 §14.2).
            return self.refuse_reinvite(now, rules, arrived, 500, out);
        }
        match self.description.on_request(slot, sdp_of(request)) {
            Err(refusal) => self.refuse_reinvite(now, rules, arrived, refusal.status(), out),
            Ok(Heard::Offer(_) | Heard::OfferWanted) => match self.description.body_for(slot, Answering::Success) {
                Ok(body) => self.accept_reinvite(now, rules, arrived, body, out),
                Err(_) => {
                    self.description.refuse(slot);
                    self.refuse_reinvite(now, rules, arrived, 488, out);
                }
            },
            Ok(_) => self.refuse_reinvite(now, rules, arrived, 488, out),
        }
    }

    fn accept_reinvite(
        &mut self,
        now: Now,
        rules: &LegRules,
        arrived: &Arrived,
        body: Option<bytes::Bytes>,
        out: &mut Vec<LegOut>,
    ) {
        let request = &arrived.message;
        let Some(dialog) = &mut self.dialog else { return };
        let mut draft = stamp::introduce(dialog.respond(request, 200, None).via_source(arrived.flow.remote))
            .header(Name::Server, rules.product.as_bytes());
        if let Ok(granted) = rules.session.grant(&AskedTimer::of(request)) {
            draft = draft.header(Name::SessionExpires, granted.expires.to_string());
            if granted.require {
                draft = draft.header(Name::Require, "timer");
            }
            self.session.set(now, Some(granted.expires), false);
        }
        if let Some(body) = body {
            draft = draft.body("application/sdp", body);
        }
        self.serve_invite(now, rules, arrived, &draft.finish(), out);
        let mut events = Vec::new();
        self.description.tell_answered(&mut events);
        out.extend(events.into_iter().map(LegOut::Event));
    }

    fn refuse_reinvite(&mut self, now: Now, rules: &LegRules, arrived: &Arrived, status: u16, out: &mut Vec<LegOut>) {
        let request = &arrived.message;
        let Some(dialog) = &mut self.dialog else { return };
        let mut draft = dialog
            .respond(request, status, None)
            .via_source(arrived.flow.remote)
            .header(Name::Server, rules.product.as_bytes());
        if status == 500 {
            draft = draft.header(Name::RetryAfter, "1");
        }
        self.serve_invite(now, rules, arrived, &draft.finish(), out);
    }

    fn serve_invite(&mut self, now: Now, rules: &LegRules, arrived: &Arrived, answer: &Message, out: &mut Vec<LegOut>) {
        let request = &arrived.message;
        let Some(dialog) = &self.dialog else { return };
        let mut server = ServerInvite::new(dialog.id().local_tag.clone(), &arrived.flow, &rules.timers);
        let mut effects = Vec::new();
        server.respond(now, answer, &mut effects);
        let accepted = answer
            .status()
            .filter(|status| (200..300).contains(status))
            .map(|_| Accepted2xx::start(now, request.cseq().number, answer.into(), &rules.timers));
        self.served.push(Served {
            flow: arrived.flow,
            branch: request.via().branch().unwrap_or_default().to_vec(),
            method: Method::Invite,
            cseq: request.cseq().number,
            machine: ServedMachine::Invite(Box::new(server), accepted),
        });
        transmit_over(arrived.flow, effects, out);
    }

    /// An ACK that belongs to a re-INVITE; says whether it did.
    pub(super) fn ack_of_reinvite(&mut self, now: Now, ack: &Message, out: &mut Vec<LegOut>) -> bool {
        let number = ack.cseq().number;
        let Some(served) =
            self.served.iter_mut().find(|served| served.method == Method::Invite && served.cseq == number)
        else {
            return false;
        };
        let ServedMachine::Invite(server, accepted) = &mut served.machine else { return false };
        let (flow, mut effects) = (served.flow, Vec::new());
        match accepted {
            Some(accepted) => {
                accepted.on_ack(number, &mut Vec::new());
            }
            None => server.on_request(now, ack, &mut effects),
        }
        let mut events = Vec::new();
        // Without an answer the talk stays as it was.
        let _ = self.description.on_ack(number, sdp_of(ack), &mut events);
        transmit_over(flow, effects, out);
        out.extend(events.into_iter().map(LegOut::Event));
        true
    }

    fn on_refer(&mut self, now: Now, rules: &LegRules, arrived: &Arrived, out: &mut Vec<LegOut>) {
        let request = &arrived.message;
        let target = request.header(Name::ReferTo).and_then(ReferTarget::read);
        let Some(target) = target else {
            return self.respond_plain(now, rules, arrived, 400, out);
        };
        if self.refer.is_some() || self.state != LegState::Talking {
            return self.respond_plain(now, rules, arrived, 491, out);
        }
        self.respond_plain(now, rules, arrived, 202, out);
        self.refer = Some(Subscription { id: request.cseq().number });
        self.report_refer(now, rules, 100, out);
        out.push(LegOut::Event(LegEvent::Refer { to: target.uri, replaces: target.replaces }));
    }

    pub(super) fn report_refer(&mut self, now: Now, rules: &LegRules, status: u16, out: &mut Vec<LegOut>) {
        let (Some(subscription), Some(dialog)) = (&self.refer, &mut self.dialog) else { return };
        if self.state != LegState::Talking {
            return;
        }
        let state = if status >= 200 { "terminated;reason=noresource" } else { "active;expires=60" };
        let event = format!("refer;id={}", subscription.id);
        let branch = self.minter.branch();
        let notify = dialog
            .request(&Method::Notify, &branch)
            .header(Name::Event, event)
            .header(Name::SubscriptionState, state)
            .header(Name::UserAgent, rules.product.as_bytes())
            .body(
                "message/sipfrag;version=2.0",
                format!("SIP/2.0 {status} {}\r\n", default_phrase(status)).into_bytes(),
            )
            .finish();
        if status >= 200 {
            self.refer = None;
        }
        self.ask(now, rules, notify, out);
    }

    fn on_info(&mut self, now: Now, rules: &LegRules, arrived: &Arrived, out: &mut Vec<LegOut>) {
        let request = &arrived.message;
        self.respond_plain(now, rules, arrived, 200, out);
        if let Some(digit) = info_digit(request) {
            out.push(LegOut::Event(LegEvent::Digit(digit)));
        }
    }

    /// Re-INVITE with our description unchanged; later when an offer is outstanding.
    pub(super) fn refresh(&mut self, now: Now, rules: &LegRules, out: &mut Vec<LegOut>) {
        if self.state != LegState::Talking {
            return;
        }
        if !self.description.exchange().may_invite() {
            return self.session.retry(now, REFUSED_WAIT);
        }
        let (Some(flow), Some(dialog)) = (self.flow, &mut self.dialog) else { return };
        let branch = self.minter.branch();
        let draft = dialog.request(&Method::Invite, &branch);
        let cseq = dialog.local_cseq();
        let Ok(Some(body)) = self.description.offer(Slot::invite(cseq)) else { return };
        let (expires, min_se) = rules.session.ask(None);
        let request = stamp::introduce(draft)
            .header(Name::SessionExpires, expires.to_string())
            .header(Name::MinSe, min_se.as_secs().to_string())
            .header(Name::UserAgent, rules.product.as_bytes())
            .body("application/sdp", body)
            .finish();
        let mut effects = Vec::new();
        let reliable = flow.transport.is_reliable();
        let client = ClientInvite::start(now, request, reliable, &rules.timers, &mut effects);
        let machine = AskedMachine::Invite(Box::new(client));
        self.asked.push(Asked { branch: branch.into_bytes(), method: Method::Invite, cseq, machine });
        self.transmit(effects, out);
    }

    pub(super) fn send_bye(&mut self, now: Now, rules: &LegRules, reason: EndReason, out: &mut Vec<LegOut>) {
        let branch = self.minter.branch();
        let Some(dialog) = &mut self.dialog else { return };
        let bye = stamp::end_reason(dialog.bye(&branch), reason).header(Name::UserAgent, rules.product.as_bytes());
        self.ask(now, rules, bye.finish(), out);
    }

    /// Starts the transaction of a request of ours other than INVITE.
    pub(super) fn ask(&mut self, now: Now, rules: &LegRules, request: Message, out: &mut Vec<LegOut>) {
        let Some(flow) = self.flow else { return };
        let mut effects = Vec::new();
        let branch = request.via().branch().unwrap_or_default().to_vec();
        let (method, cseq) = (request.cseq_method().clone(), request.cseq().number);
        let client = Client::start(now, request, flow.transport.is_reliable(), &rules.timers, &mut effects);
        self.asked.push(Asked { branch, method, cseq, machine: AskedMachine::Plain(client) });
        self.transmit(effects, out);
    }

    pub(super) fn on_response(&mut self, now: Now, rules: &LegRules, response: &Message, out: &mut Vec<LegOut>) {
        if self.outgoing.as_ref().is_some_and(|calling| calling.is_ours(response)) {
            return self.on_invite_response(now, rules, response, out);
        }
        let branch = response.via().branch();
        let Some(at) = self.asked.iter().position(|asked| branch == Some(&asked.branch[..])) else { return };
        let Some(asked) = self.asked.get_mut(at) else { return };
        let mut effects = Vec::new();
        asked.on_response(now, response, &mut effects);
        let (method, cseq) = (asked.method.clone(), asked.cseq);
        self.take_asked(now, rules, &method, cseq, effects, out);
    }

    pub(super) fn requests_deadline(&mut self, now: Now, rules: &LegRules, out: &mut Vec<LegOut>) {
        let mut missing = false;
        for served in &mut self.served {
            let mut sent = Vec::new();
            match &mut served.machine {
                ServedMachine::Plain(server) => server.on_deadline(now, &mut sent),
                ServedMachine::Invite(server, accepted) => {
                    server.on_deadline(now, &mut sent);
                    if let Some(accepted) = accepted {
                        let before = accepted.is_over();
                        let mut own = Vec::new();
                        accepted.on_deadline(now, &mut own);
                        missing |=
                            !before && own.iter().any(|effect| matches!(effect, TxEffect::Tell(TuEvent::AckMissing)));
                        sent.extend(own);
                    }
                }
            }
            transmit_over(served.flow, sent, out);
        }
        let mut told = Vec::new();
        for asked in &mut self.asked {
            let mut effects = Vec::new();
            asked.on_deadline(now, &mut effects);
            told.push((asked.method.clone(), asked.cseq, effects));
        }
        for (method, cseq, effects) in told {
            self.take_asked(now, rules, &method, cseq, effects, out);
        }
        if missing {
            self.lose(now, rules, out);
        }
    }

    pub(super) fn fail_transport(&mut self, now: Now, rules: &LegRules, out: &mut Vec<LegOut>) {
        let mut told = Vec::new();
        for asked in &mut self.asked {
            let mut effects = Vec::new();
            asked.on_transport_error(&mut effects);
            told.push((asked.method.clone(), asked.cseq, effects));
        }
        for (method, cseq, effects) in told {
            self.take_asked(now, rules, &method, cseq, effects, out);
        }
        self.calling_unreachable(now, rules, out);
    }

    fn take_asked(
        &mut self,
        now: Now,
        rules: &LegRules,
        method: &Method,
        cseq: u32,
        effects: Vec<TxEffect>,
        out: &mut Vec<LegOut>,
    ) {
        for effect in effects {
            match effect {
                TxEffect::Transmit(wire) => self.transmit(vec![TxEffect::Transmit(wire)], out),
                TxEffect::Tell(TuEvent::Response(response) | TuEvent::Crossed(response)) => {
                    self.on_asked_response(now, rules, method, cseq, &response, out);
                }
                TxEffect::Tell(TuEvent::NoAnswer | TuEvent::Unreachable) => {
                    // RFC 3261 §12.2.1.2: no answer at all to a request in the dialog ends it; a lost NOTIFY only
                    // ends its subscription.
                    if *method == Method::Invite {
                        let _ =
                            self.description.on_response(Slot::invite(cseq), Answering::Failure, None, &mut Vec::new());
                        if !self.kept {
                            self.lose(now, rules, out);
                        }
                    }
                }
                TxEffect::Tell(
                    TuEvent::Cancelled | TuEvent::Acked(_) | TuEvent::AckMissing | TuEvent::NeverAnswered,
                )
                | TxEffect::Done(_) => {}
            }
        }
    }

    fn on_asked_response(
        &mut self,
        now: Now,
        rules: &LegRules,
        method: &Method,
        cseq: u32,
        response: &Message,
        out: &mut Vec<LegOut>,
    ) {
        let status = response.status().unwrap_or(500);
        if let Some(dialog) = &mut self.dialog {
            dialog.on_response(response);
        }
        if *method == Method::Invite {
            return self.on_refresh_response(now, rules, cseq, response, out);
        }
        let dead = matches!(status, 408 | 481) && *method != Method::Bye;
        if dead && *method != Method::Notify {
            self.lose(now, rules, out);
        } else if dead {
            self.refer = None;
        }
    }

    fn on_refresh_response(
        &mut self,
        now: Now,
        rules: &LegRules,
        cseq: u32,
        response: &Message,
        out: &mut Vec<LegOut>,
    ) {
        let slot = Slot::invite(cseq);
        match response.status().unwrap_or(500) {
            ..200 => {}
            200..300 => {
                let again = self.dialog.as_ref().and_then(|dialog| dialog.ack_again(cseq));
                if let (Some(flow), Some(wire)) = (self.flow, again) {
                    out.push(LegOut::Transmit(flow, wire.into_bytes()));
                    return;
                }
                let mut events = Vec::new();
                let answer = self.description.on_response(slot, Answering::Success, sdp_of(response), &mut events);
                self.send_ack(cseq, answer.ok().flatten(), out);
                self.session.set(now, agreed_in(response), true);
                out.extend(events.into_iter().map(LegOut::Event));
            }
            status => {
                let _ = self.description.on_response(slot, Answering::Failure, None, &mut Vec::new());
                if matches!(status, 408 | 481) {
                    return self.lose(now, rules, out);
                }
                // Whoever refuses is alive; only the refresh has to be repeated (RFC 4028 §10, RFC 3261 §14.1).
                let wait =
                    if status == 491 { glare_wait(self.incoming.is_none(), u64::from(cseq)) } else { REFUSED_WAIT };
                self.session.retry(now, wait);
            }
        }
    }

    fn respond_plain(&mut self, now: Now, rules: &LegRules, arrived: &Arrived, status: u16, out: &mut Vec<LegOut>) {
        let request = &arrived.message;
        let Some(dialog) = &mut self.dialog else { return };
        let mut draft = dialog
            .respond(request, status, None)
            .via_source(arrived.flow.remote)
            .header(Name::Server, rules.product.as_bytes());
        if status == 405 || request.is(&Method::Options) {
            draft = draft.header(Name::Allow, stamp::ALLOW);
        }
        let mut server = Server::new(now, arrived.flow.transport.is_reliable(), &rules.timers);
        let mut effects = Vec::new();
        server.respond(now, &draft.finish(), &mut effects);
        self.served.push(Served {
            flow: arrived.flow,
            branch: request.via().branch().unwrap_or_default().to_vec(),
            method: request.cseq_method().clone(),
            cseq: request.cseq().number,
            machine: ServedMachine::Plain(server),
        });
        transmit_over(arrived.flow, effects, out);
    }

    /// An answer that keeps no state: the request is not of this dialog.
    fn refuse(rules: &LegRules, arrived: &Arrived, status: u16, out: &mut Vec<LegOut>) {
        let draft = Draft::response(&arrived.message, status, None)
            .via_source(arrived.flow.remote)
            .header(Name::Server, rules.product.as_bytes());
        out.push(LegOut::Transmit(arrived.flow, draft.finish().bytes().clone()));
    }
}
