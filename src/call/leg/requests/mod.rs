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
//! | file | what |
//! |---|---|
//! | `bye` | hang-up |
//! | `reinvite` | their re-INVITE: hold, resume, address change |
//! | `refresh` | ours |
//! | `refer` | transfer wishes and how they go |
//! | `info` | digits |
//!
//! Deliberately absent: UPDATE, PRACK, INFO packages. RFC 3261 §12.2, §14, §15; RFC 3515 §2.4; RFC 3891; RFC 4028.

use serde::{Deserialize, Serialize};

use super::incoming::transmit_over;
use super::{Leg, LegOut, LegRules, stamp};
use crate::base::flow::Flow;
use crate::base::now::{Mono, Now};
use crate::call::words::Arrived;
use crate::sip::message::{Message, Method, Name};
use crate::sip::offer_answer::{Answering, Slot};
use crate::sip::print::Draft;
use crate::sip::transaction::accepted::Accepted2xx;
use crate::sip::transaction::client::Client;
use crate::sip::transaction::client_invite::ClientInvite;
use crate::sip::transaction::server::Server;
use crate::sip::transaction::server_invite::ServerInvite;
use crate::sip::transaction::{TuEvent, TxEffect};

mod bye;
mod info;
pub(super) mod refer;
mod refresh;
mod reinvite;

/// Server transactions kept at once inside one dialog; a peer that opens more is refused 503.
const SERVED_MOST: usize = 32;

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
