//! Our own re-INVITE: the session is refreshed with its description unchanged.
//!
//! Deliberately absent: UPDATE. RFC 3261 §14.1; RFC 4028 §10.

use std::time::Duration;

use super::super::incoming::sdp_of;
use super::super::{Leg, LegOut, LegRules, LegState, stamp};
use super::{Asked, AskedMachine};
use crate::base::now::Now;
use crate::sip::message::{Message, Method, Name};
use crate::sip::offer_answer::{Answering, Slot, glare_wait};
use crate::sip::session_timer::agreed_in;
use crate::sip::transaction::client_invite::ClientInvite;

/// When a refused refresh is tried again.
const REFUSED_WAIT: Duration = Duration::from_secs(60);

impl Leg {
    /// Re-INVITE with our description unchanged; later when an offer is outstanding.
    pub(in crate::call::leg) fn refresh(&mut self, now: Now, rules: &LegRules, out: &mut Vec<LegOut>) {
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

    pub(super) fn on_refresh_response(
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
}
