//! What happens inside a dialog: hang-up, hold and refresh, transfer wishes, digits, questions.
//!
//! | request of theirs | answer |
//! |---|---|
//! | BYE | 200; the talk is over; 200 too when it crosses ours |
//! | INVITE | 200 with the description that fits, 491 on glare, 500 when too soon, 488 when nothing fits (the talk stays as it was), 422 below our Min-SE |
//! | UPDATE | likewise; in an early dialog too |
//! | PRACK | 200 when its 1xx waits for it, else 481 |
//! | REFER | 202 and a NOTIFY at once; the call decides, [`super::words::LegAction::ReferProgress`] reports |
//! | INFO | 200, a digit is told; 469 for a package, 415 for a body nobody reads |
//! | NOTIFY | 481: we subscribe to nothing |
//! | SUBSCRIBE | 489: nothing can be subscribed to in a call's dialog |
//! | OPTIONS | 200 |
//! | anything else | 405 with Allow |
//! | with an extension required that we have not | 420, but for BYE |
//! | with a CSeq below the last | 500 |
//! | with other tags | 481, silence for ACK |
//!
//! | file | what |
//! |---|---|
//! | `bye` | hang-up |
//! | `reinvite` | their re-INVITE: hold, resume, address change |
//! | `update` | their UPDATE |
//! | `refresh` | our UPDATE or re-INVITE |
//! | `refer` | transfer wishes and how they go |
//! | `info` | digits |
//!
//! Deliberately absent: INFO packages. RFC 3261 §12.2, §14, §15; RFC 3311; RFC 3515 §2.4; RFC 3891; RFC 4028; RFC 6086.
//! Limits: [`SERVED_MOST`] requests of theirs, [`ASKED_MOST`] PRACKs and other requests of ours.

use serde::{Deserialize, Serialize};

use super::incoming::{sdp_of, transmit_over};
use super::proof::is_challenge;
use super::words::EXTENSIONS;
use super::{Leg, LegOut, LegRules, stamp};
use crate::base::flow::Flow;
use crate::base::now::{Mono, Now};
use crate::call::words::Arrived;
use crate::plan::trunk::TrunkCredential;
use crate::sip::message::{Message, Method, Name};
use crate::sip::offer_answer::{Answering, Carrier, Slot};
use crate::sip::print::Draft;
use crate::sip::transaction::accepted::Accepted2xx;
use crate::sip::transaction::client::Client;
use crate::sip::transaction::client_invite::ClientInvite;
use crate::sip::transaction::server::Server;
use crate::sip::transaction::server_invite::ServerInvite;
use crate::sip::transaction::{TuEvent, TxEffect, Wire};

mod bye;
mod info;
pub(super) mod refer;
mod refresh;
mod reinvite;
mod update;

/// Server transactions kept at once inside one dialog; a peer that opens more is refused 503.
const SERVED_MOST: usize = 32;
/// Requests of ours kept at once inside one dialog; over it no more reliable 1xx is acknowledged.
pub(super) const ASKED_MOST: usize = 32;

/// A request refused 500 may come again after less than this many seconds (RFC 3261 §14.2, RFC 3311 §5.2).
pub(super) const RETRY_MOST_S: u64 = 11;

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

    fn is_open(&self) -> bool {
        self.request().is_some()
    }

    pub(super) fn is_over(&self) -> bool {
        match &self.machine {
            AskedMachine::Plain(client) => client.is_over(),
            AskedMachine::Invite(client) => client.is_over(),
        }
    }

    /// Whether a response is to this request; its CSeq tells a stray from an answer.
    fn is_answered_by(&self, response: &Message) -> bool {
        response.via().branch() == Some(&self.branch[..])
            && response.cseq().number == self.cseq
            && *response.cseq_method() == self.method
    }

    /// The request, as long as no final answer has come.
    fn request(&self) -> Option<Message> {
        match &self.machine {
            AskedMachine::Plain(client) => client.request().map(Wire::message),
            AskedMachine::Invite(client) => client.request().cloned(),
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
        self.turn_to_tag(request.from_tag().unwrap_or_default());
        if !self.is_in_dialog(request) {
            return Self::refuse(rules, arrived, 481, out);
        }
        if let Some(dialog) = &mut self.dialog {
            // Whoever may not go on changes nothing, nor does a replayed request move the flow.
            if let Err(fault) = dialog.on_request(request) {
                return Self::refuse(rules, arrived, fault.status(), out);
            }
            // The peer may have come back over a new connection; answers and later requests go there.
            if self.flow.is_some_and(|flow| flow.transport.is_reliable() && flow.id != arrived.flow.id) {
                dialog.move_flow(arrived.flow);
                self.flow = Some(arrived.flow);
            }
        }
        // A BYE is taken whatever it requires: refused, it would leave a talk nobody is in.
        if !request.is(&Method::Bye)
            && let Err((refusal, unsupported)) = request.check_extensions(EXTENSIONS)
        {
            let change = |draft: Draft| draft.header(Name::Unsupported, unsupported.join(", "));
            return match request.is(&Method::Invite) {
                true => self.refuse_reinvite(now, rules, arrived, refusal.status, out),
                false => self.respond_with(now, rules, arrived, refusal.status, change, out),
            };
        }
        match request.method() {
            Some(Method::Bye) => self.on_bye(now, rules, arrived, out),
            Some(Method::Invite) => self.on_reinvite(now, rules, arrived, out),
            Some(Method::Update) => self.on_update(now, rules, arrived, out),
            Some(Method::Prack) => self.on_prack(now, rules, arrived, out),
            Some(Method::Refer) => self.on_refer(now, rules, arrived, out),
            Some(Method::Info) => self.on_info(now, rules, arrived, out),
            Some(Method::Options) => self.respond_plain(now, rules, arrived, 200, out),
            Some(Method::Notify) => self.respond_plain(now, rules, arrived, 481, out),
            Some(Method::Subscribe) => self.respond_plain(now, rules, arrived, 489, out),
            _ => self.respond_plain(now, rules, arrived, 405, out),
        }
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

    /// Sends a request once more after a refusal, changed by `change`. An offer in it is offered anew.
    fn ask_again(
        &mut self,
        now: Now,
        rules: &LegRules,
        request: &Message,
        change: impl FnOnce(Draft) -> Draft,
        out: &mut Vec<LegOut>,
    ) {
        let branch = self.minter.branch();
        let (Some(flow), Some(dialog)) = (self.flow, &mut self.dialog) else { return };
        let again = change(dialog.request_again(request, &branch)).finish();
        let before = request.cseq().number;
        let cseq = again.cseq().number;
        let carrier = if request.is(&Method::Invite) { Carrier::Invite } else { Carrier::Update };
        if !request.is(&Method::Invite) && !request.is(&Method::Update) {
            return self.ask(now, rules, again, out);
        }
        self.description.offer_again(Slot { carrier, cseq: before }, Slot { carrier, cseq }, sdp_of(&again));
        if carrier == Carrier::Update {
            return self.ask(now, rules, again, out);
        }
        let mut effects = Vec::new();
        let reliable = flow.transport.is_reliable();
        let client = ClientInvite::start(now, again, reliable, &rules.timers, &mut effects);
        let machine = AskedMachine::Invite(Box::new(client));
        self.asked.push(Asked { branch: branch.into_bytes(), method: Method::Invite, cseq, machine });
        self.transmit(effects, out);
    }

    pub(super) fn on_response(
        &mut self,
        now: Now,
        rules: &LegRules,
        credential: Option<&TrunkCredential>,
        response: &Message,
        out: &mut Vec<LegOut>,
    ) {
        // RFC 3261 §8.1.3.3: more than one Via means that it was meant for somebody else.
        if response.values(Name::Via).nth(1).is_some() {
            return;
        }
        let mut effects = Vec::new();
        let flow = self.flow;
        if let Some(calling) = self.outgoing.as_mut().filter(|calling| calling.is_ours(response)) {
            calling.transaction.on_response(now, response, &mut effects);
            let (request, wanted) = (calling.request.clone(), calling.is_wanted());
            let proof = self.proof(credential, &request, response, &effects).filter(|_| wanted);
            return match (proof, flow) {
                (Some((name, value)), Some(flow)) => {
                    effects.retain(|effect| matches!(effect, TxEffect::Transmit(_)));
                    self.transmit(effects, out);
                    self.call_again(now, rules, flow, |draft| draft.replace(name, value), out);
                }
                _ => self.take_calling(now, rules, effects, out),
            };
        }
        if !self.is_answer_in_dialog(response) {
            return;
        }
        let Some(asked) = self.asked.iter_mut().find(|asked| asked.is_answered_by(response)) else { return };
        let request = is_challenge(response).then(|| asked.request()).flatten();
        asked.on_response(now, response, &mut effects);
        let (method, cseq) = (asked.method.clone(), asked.cseq);
        let proof = request.as_ref().and_then(|request| self.proof(credential, request, response, &effects));
        match (proof, request) {
            (Some((name, value)), Some(request)) => {
                effects.retain(|effect| matches!(effect, TxEffect::Transmit(_)));
                self.transmit(effects, out);
                self.ask_again(now, rules, &request, |draft| draft.replace(name, value), out);
            }
            _ => self.take_asked(now, rules, &method, cseq, effects, out),
        }
    }

    /// The answer to a challenge that has just come for the first time.
    fn proof(
        &mut self,
        credential: Option<&TrunkCredential>,
        request: &Message,
        response: &Message,
        effects: &[TxEffect],
    ) -> Option<(Name, Vec<u8>)> {
        let told = effects.iter().any(|effect| matches!(effect, TxEffect::Tell(TuEvent::Response(_))));
        match is_challenge(response) {
            true if told => self.prove(credential, request, response),
            true => None,
            false => {
                if response.status().is_some_and(|status| status >= 200) {
                    self.proven();
                }
                None
            }
        }
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
        if missing && !self.kept && !self.forgiving {
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
                    if matches!(method, Method::Invite | Method::Update) {
                        let slot = Slot::invite(cseq);
                        if *method == Method::Invite {
                            let _ = self.description.on_response(slot, Answering::Failure, None, &mut Vec::new());
                        }
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

    /// Whether a request is of the leg's dialog: Call-ID and both tags.
    pub(super) fn is_in_dialog(&self, request: &Message) -> bool {
        self.dialog.as_ref().is_some_and(|dialog| {
            dialog.id().call_id == request.call_id()
                && request.to_tag() == Some(&dialog.id().local_tag[..])
                && request.from_tag().unwrap_or_default() == &dialog.id().remote_tag[..]
        })
    }

    /// Whether a response names our side as the leg's dialog does: the branch alone is what a stranger may have overheard.
    fn is_answer_in_dialog(&self, response: &Message) -> bool {
        self.dialog.as_ref().is_none_or(|dialog| {
            dialog.id().call_id == response.call_id() && response.from_tag() == Some(&dialog.id().local_tag[..])
        })
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
        if status < 200 {
            return;
        }
        // What says that the dialog is gone ends no leg that is kept; it must go on taking requests of its peer.
        let same = self.dialog.as_mut().filter(|dialog| response.to_tag() == Some(&dialog.id().remote_tag[..]));
        if let Some(dialog) = same.filter(|_| !(self.kept && status == 481)) {
            dialog.on_response(response);
        }
        if matches!(method, Method::Invite | Method::Update) {
            self.on_refresh_response(now, rules, method, cseq, response, out);
        } else if *method == Method::Notify && matches!(status, 408 | 481) {
            self.refer = None;
        }
    }

    pub(super) fn respond_plain(
        &mut self,
        now: Now,
        rules: &LegRules,
        arrived: &Arrived,
        status: u16,
        out: &mut Vec<LegOut>,
    ) {
        let seed = self.draw();
        let is_question = arrived.message.is(&Method::Options);
        let change = |draft: Draft| match status {
            405 => draft.header(Name::Allow, stamp::ALLOW),
            415 => draft.header(Name::Accept, stamp::ACCEPT),
            469 => draft.header_raw(b"Recv-Info", b""),
            489 => draft.header(Name::AllowEvents, "refer"),
            500 => draft.header(Name::RetryAfter, (seed % RETRY_MOST_S).to_string()),
            _ if is_question => stamp::introduce(draft).header(Name::Accept, stamp::ACCEPT),
            _ => draft,
        };
        self.respond_with(now, rules, arrived, status, change, out);
    }

    /// Answers a request other than INVITE, the answer changed by `change`.
    pub(super) fn respond_with(
        &mut self,
        now: Now,
        rules: &LegRules,
        arrived: &Arrived,
        status: u16,
        change: impl FnOnce(Draft) -> Draft,
        out: &mut Vec<LegOut>,
    ) {
        let request = &arrived.message;
        let Some(dialog) = &mut self.dialog else { return };
        let draft = dialog
            .respond(request, status, None)
            .via_source(arrived.flow.remote)
            .header(Name::Server, rules.product.as_bytes());
        let mut server = Server::new(now, arrived.flow.transport.is_reliable(), &rules.timers);
        let mut effects = Vec::new();
        server.respond(now, &change(draft).finish(), &mut effects);
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
    pub(super) fn refuse(rules: &LegRules, arrived: &Arrived, status: u16, out: &mut Vec<LegOut>) {
        let draft = Draft::response(&arrived.message, status, None)
            .via_source(arrived.flow.remote)
            .header(Name::Server, rules.product.as_bytes());
        out.push(LegOut::Transmit(arrived.flow, draft.finish().bytes().clone()));
    }
}
