//! Their re-INVITE: hold, resume, refresh, a new address or codec.
//!
//! RFC 3261 §14.2; RFC 4028 §9; RFC 5407 §3.1.4, §3.1.5 (before the ACK of the first). Deliberately absent: who hears
//! what meanwhile.

use super::super::incoming::{sdp_of, transmit_over};
use super::super::words::EXTENSIONS;
use super::super::{Leg, LegOut, LegRules, LegState, stamp};
use super::update::agree;
use super::{RETRY_MOST_S, Served, ServedMachine};
use crate::base::now::Now;
use crate::call::words::Arrived;
use crate::sip::message::{Message, Method, Name};
use crate::sip::offer_answer::{Answering, Heard, Slot};
use crate::sip::print::Draft;
use crate::sip::session_timer::{Asked as AskedTimer, Granted};
use crate::sip::transaction::accepted::Accepted2xx;
use crate::sip::transaction::server_invite::ServerInvite;

impl Leg {
    pub(super) fn on_reinvite(&mut self, now: Now, rules: &LegRules, arrived: &Arrived, out: &mut Vec<LegOut>) {
        let request = &arrived.message;
        let slot = Slot::invite(request.cseq().number);
        match self.state {
            LegState::Talking => {}
            // Ours is open still.
            LegState::Calling | LegState::Ringing => return self.refuse_reinvite(now, rules, arrived, 491, out),
            // Before our answer to the first INVITE a second one is too soon (RFC 3261 §14.2).
            LegState::Waiting | LegState::Leaving | LegState::Over => {
                return self.refuse_reinvite(now, rules, arrived, 500, out);
            }
        }
        let Ok(granted) = rules.session.grant(&AskedTimer::of(request)) else {
            return self.refuse_reinvite(now, rules, arrived, 422, out);
        };
        match self.description.on_request(slot, sdp_of(request)) {
            Err(refusal) => self.refuse_reinvite(now, rules, arrived, refusal.status(), out),
            Ok(Heard::Offer(_) | Heard::OfferWanted) => match self.description.body_for(slot, Answering::Success) {
                Ok(body) => self.accept_reinvite(now, rules, arrived, (granted, body), out),
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
        (granted, body): (Granted, Option<bytes::Bytes>),
        out: &mut Vec<LegOut>,
    ) {
        let request = &arrived.message;
        let Some(dialog) = &mut self.dialog else { return };
        let draft = stamp::introduce(dialog.respond(request, 200, None).via_source(arrived.flow.remote))
            .header(Name::Server, rules.product.as_bytes());
        let answer = stamp::described(agree(draft, Some(granted)), body).finish();
        self.session.set(now, Some(granted.expires), false);
        self.learn(request);
        self.serve_invite(now, rules, arrived, &answer, out);
        let mut events = Vec::new();
        self.description.tell_answered(&mut events);
        out.extend(events.into_iter().map(LegOut::Event));
    }

    pub(super) fn refuse_reinvite(
        &mut self,
        now: Now,
        rules: &LegRules,
        arrived: &Arrived,
        status: u16,
        out: &mut Vec<LegOut>,
    ) {
        let request = &arrived.message;
        let seed = self.draw();
        let Some(dialog) = &mut self.dialog else { return };
        // A re-INVITE refused ends nothing, in an early dialog neither; only the answer is made here.
        let mut draft = Draft::response(request, status, None)
            .via_source(arrived.flow.remote)
            .to_tag(&dialog.id().local_tag)
            .header(Name::Server, rules.product.as_bytes());
        if status == 500 {
            draft = draft.header(Name::RetryAfter, (seed % RETRY_MOST_S).to_string());
        }
        if let Err((_, unsupported)) = request.check_extensions(EXTENSIONS) {
            draft = draft.header(Name::Unsupported, unsupported.join(", "));
        }
        if status == 422 {
            draft = draft.header(Name::MinSe, rules.session.least().as_secs().to_string());
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

    /// The peer has gone: no 2xx waits for its ACK any more (RFC 5407 §3.1.6).
    pub(super) fn forget_acks(&mut self) {
        if let Some(incoming) = &mut self.incoming {
            incoming.forget_ack();
        }
        for served in &mut self.served {
            if let ServedMachine::Invite(_, accepted) = &mut served.machine {
                *accepted = None;
            }
        }
    }

    /// An ACK that belongs to a re-INVITE; says whether it did.
    pub(in crate::call::leg) fn ack_of_reinvite(&mut self, now: Now, ack: &Message, out: &mut Vec<LegOut>) -> bool {
        let number = ack.cseq().number;
        if !self.is_in_dialog(ack) {
            return false;
        }
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
}
