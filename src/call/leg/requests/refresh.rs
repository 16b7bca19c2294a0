//! Our own refresh of the session: UPDATE without a description where the peer allows it, else a re-INVITE with ours
//! unchanged.
//!
//! RFC 3261 §14.1; RFC 3311 §5.1; RFC 4028 §7.4, §10.
//!
//! | answered | then |
//! |---|---|
//! | 2xx | the session timer begins anew |
//! | 405, 501 to UPDATE | at once again, by re-INVITE from now on |
//! | 422 with a longer Min-SE | at once again, with that interval |
//! | 491 | again after 2.1–4 s when the Call-ID is ours, else 0–2 s |
//! | another refusal | again after its Retry-After, or 60 s |
//! | 408, 481, nothing | the leg is lost, unless it is kept |
//!
//! Deliberately absent: changing the session.

use std::time::Duration;

use super::super::incoming::sdp_of;
use super::super::{Leg, LegOut, LegRules, LegState, stamp};
use super::{Asked, AskedMachine};
use crate::base::now::Now;
use crate::sip::header::session::{Refresher, SessionExpires};
use crate::sip::message::{Message, Method, Name};
use crate::sip::offer_answer::{Answering, Slot, glare_wait};
use crate::sip::session_timer::{Asked as AskedTimer, agreed_in};
use crate::sip::transaction::client_invite::ClientInvite;

/// When a refused refresh is tried again, where the refusal does not say.
const REFUSED_WAIT: Duration = Duration::from_secs(60);
/// The longest Retry-After followed; the session would run out.
const RETRY_AFTER_MOST: Duration = Duration::from_secs(120);

impl Leg {
    /// Refreshes the session; later when an offer or another refresh is outstanding.
    pub(in crate::call::leg) fn refresh(&mut self, now: Now, rules: &LegRules, out: &mut Vec<LegOut>) {
        if self.state != LegState::Talking {
            return;
        }
        let is_refresh = |asked: &Asked| matches!(asked.method, Method::Invite | Method::Update);
        let busy = self.asked.iter().any(|asked| is_refresh(asked) && asked.is_open());
        if busy || (!self.updates && !self.description.exchange().may_invite()) {
            return self.session.retry(now, REFUSED_WAIT);
        }
        let (Some(flow), Some(dialog)) = (self.flow, &mut self.dialog) else { return };
        let method = if self.updates { Method::Update } else { Method::Invite };
        let branch = self.minter.branch();
        let draft = dialog.request(&method, &branch);
        let cseq = dialog.local_cseq();
        let (expires, min_se) = rules.session.ask(self.least);
        let expires = SessionExpires { refresher: Some(Refresher::Uac), ..expires };
        let draft = stamp::introduce(draft)
            .header(Name::SessionExpires, expires.to_string())
            .header(Name::MinSe, min_se.as_secs().to_string())
            .header(Name::UserAgent, rules.product.as_bytes());
        if method == Method::Update {
            return self.ask(now, rules, draft.finish(), out);
        }
        let Ok(Some(body)) = self.description.offer(Slot::invite(cseq)) else { return };
        let request = draft.body("application/sdp", body).finish();
        let mut effects = Vec::new();
        let reliable = flow.transport.is_reliable();
        let client = ClientInvite::start(now, request, reliable, &rules.timers, &mut effects);
        let machine = AskedMachine::Invite(Box::new(client));
        self.asked.push(Asked { branch: branch.into_bytes(), method, cseq, machine });
        self.transmit(effects, out);
    }

    /// The final answer to a refresh.
    pub(super) fn on_refresh_response(
        &mut self,
        now: Now,
        rules: &LegRules,
        method: &Method,
        cseq: u32,
        response: &Message,
        out: &mut Vec<LegOut>,
    ) {
        let status = response.status().unwrap_or(500);
        if (200..300).contains(&status) {
            return self.refreshed(now, method, cseq, response, out);
        }
        if *method == Method::Invite {
            let _ = self.description.on_response(Slot::invite(cseq), Answering::Failure, None, &mut Vec::new());
        }
        if self.state != LegState::Talking {
            return;
        }
        match status {
            408 | 481 if self.kept => {}
            408 | 481 => self.lose(now, rules, out),
            405 | 501 if self.updates => {
                self.updates = false;
                self.refresh(now, rules, out);
            }
            422 if self.learn_least(response) => self.refresh(now, rules, out),
            // Whoever refuses is alive; only the refresh has to be repeated (RFC 4028 §10, RFC 3261 §14.1).
            491 => {
                let wait = glare_wait(!self.called_us, self.draw());
                self.session.retry(now, wait);
            }
            _ => {
                let after = response.header(Name::RetryAfter).and_then(seconds);
                self.session.retry(now, after.unwrap_or(REFUSED_WAIT).min(RETRY_AFTER_MOST));
            }
        }
    }

    fn refreshed(&mut self, now: Now, method: &Method, cseq: u32, response: &Message, out: &mut Vec<LegOut>) {
        if *method == Method::Invite {
            let again = self.dialog.as_ref().and_then(|dialog| dialog.ack_again(cseq));
            if let (Some(flow), Some(wire)) = (self.flow, again) {
                out.push(LegOut::Transmit(flow, wire.into_bytes()));
                return;
            }
            let mut events = Vec::new();
            let slot = Slot::invite(cseq);
            let answer = self.description.on_response(slot, Answering::Success, sdp_of(response), &mut events);
            self.send_ack(cseq, answer.ok().flatten(), out);
            out.extend(events.into_iter().filter(|_| self.state == LegState::Talking).map(LegOut::Event));
        }
        if self.state == LegState::Talking {
            self.learn(response);
            self.session.set(now, agreed_in(response), true);
        }
    }

    /// Notes the Min-SE of a 422; whether it asks for more than we did.
    fn learn_least(&mut self, refusal: &Message) -> bool {
        let wanted = AskedTimer::of(refusal).min_se;
        let longer = wanted > self.least && wanted.is_some();
        if longer {
            self.least = wanted;
        }
        longer
    }
}

fn seconds(value: &[u8]) -> Option<Duration> {
    let digits = std::str::from_utf8(value).ok()?.split([';', '(', ' ']).next()?;
    digits.parse().ok().map(Duration::from_secs)
}
