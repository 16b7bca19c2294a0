//! BYE, theirs and ours.
//!
//! Deliberately absent: when to hang up. RFC 3261 §15.

use super::super::incoming::q850_of;
use super::super::words::LegEvent;
use super::super::{Leg, LegOut, LegRules, LegState, stamp};
use crate::base::now::Now;
use crate::call::words::Arrived;
use crate::event::reason::EndReason;
use crate::sip::message::Name;

impl Leg {
    pub(super) fn on_bye(&mut self, now: Now, rules: &LegRules, arrived: &Arrived, out: &mut Vec<LegOut>) {
        self.respond_plain(now, rules, arrived, 200, out);
        if self.state == LegState::Waiting {
            // BYE on an early dialog ends the INVITE too (RFC 3261 §15.1.2).
            out.push(LegOut::Event(LegEvent::Cancelled));
            return self.reject(now, rules, 487, None, None, out);
        }
        self.bye_after_ack = None;
        self.forget_acks();
        if self.state < LegState::Leaving {
            self.leave();
            out.push(LegOut::Event(LegEvent::Bye { q850: q850_of(&arrived.message) }));
        }
    }

    pub(in crate::call::leg) fn send_bye(
        &mut self,
        now: Now,
        rules: &LegRules,
        reason: EndReason,
        out: &mut Vec<LegOut>,
    ) {
        let branch = self.minter.branch();
        let Some(dialog) = &mut self.dialog else { return };
        let bye = stamp::end_reason(dialog.bye(&branch), reason).header(Name::UserAgent, rules.product.as_bytes());
        self.ask(now, rules, bye.finish(), out);
    }
}
