//! REFER: the wish for a transfer, and the NOTIFYs that say how it goes.
//!
//! Deliberately absent: the transfer. RFC 3515 §2.4; RFC 3891.

use serde::{Deserialize, Serialize};

use super::super::asked::{ReferTarget, referred_by};
use super::super::words::LegEvent;
use super::super::{Leg, LegOut, LegRules, LegState};
use crate::base::now::Now;
use crate::call::words::Arrived;
use crate::sip::message::{Method, Name, default_phrase};

/// The implicit subscription of a REFER (RFC 3515 §2.4.4).
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(in crate::call::leg) struct Subscription {
    /// The REFER's CSeq number, its `id` when there are several (RFC 3515 §2.4.6).
    id: u32,
}

impl Leg {
    pub(super) fn on_refer(&mut self, now: Now, rules: &LegRules, arrived: &Arrived, out: &mut Vec<LegOut>) {
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
        out.push(LegOut::Event(LegEvent::Refer {
            to: target.uri,
            replaces: target.replaces,
            referred_by: referred_by(request),
        }));
    }

    pub(in crate::call::leg) fn report_refer(
        &mut self,
        now: Now,
        rules: &LegRules,
        status: u16,
        out: &mut Vec<LegOut>,
    ) {
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
}
