//! REFER: the wish for a transfer, and the NOTIFYs that say how it goes.
//!
//! RFC 3515 §2.4; RFC 3891; RFC 3892 (Referred-By is told, not believed); RFC 4488 (`Refer-Sub: false`: no NOTIFY).
//!
//! | REFER | answer |
//! |---|---|
//! | in a talk | 202, NOTIFY 100 at once, then what the call reports; with `Refer-Sub: false` no NOTIFY at all |
//! | while an earlier one is being carried out | 491: one transfer at a time; afterwards the next one is taken |
//! | before or after the talk | 491 |
//! | without one readable Refer-To | 400 |
//!
//! The transferor may say BYE at any moment; nothing is notified after it. Deliberately absent: the transfer.

use serde::{Deserialize, Serialize};

use super::super::asked::{ReferTarget, referred_by};
use super::super::words::LegEvent;
use super::super::{Leg, LegOut, LegRules, LegState};
use crate::base::now::Now;
use crate::call::words::Arrived;
use crate::sip::message::{Method, Name, default_phrase};
use crate::sip::print::Draft;

/// The implicit subscription of a REFER (RFC 3515 §2.4.4).
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(in crate::call::leg) struct Subscription {
    /// The REFER's CSeq number, its `id` when there are several (RFC 3515 §2.4.6).
    id: u32,
    /// Whether the transferor wants no NOTIFY (RFC 4488 §4).
    silent: bool,
}

impl Leg {
    pub(super) fn on_refer(&mut self, now: Now, rules: &LegRules, arrived: &Arrived, out: &mut Vec<LegOut>) {
        let request = &arrived.message;
        // RFC 3515 §2.4.1: exactly one.
        let one = request.headers(Name::ReferTo).nth(1).is_none();
        let target = request.header(Name::ReferTo).filter(|_| one).and_then(ReferTarget::read);
        let Some(target) = target else {
            return self.respond_plain(now, rules, arrived, 400, out);
        };
        if self.refer.is_some() || self.state != LegState::Talking {
            return self.respond_plain(now, rules, arrived, 491, out);
        }
        let silent = request.header(Name::ReferSub).is_some_and(|value| value.eq_ignore_ascii_case(b"false"));
        let change = |draft: Draft| if silent { draft.header(Name::ReferSub, "false") } else { draft };
        self.respond_with(now, rules, arrived, 202, change, out);
        self.refer = Some(Subscription { id: request.cseq().number, silent });
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
        if subscription.silent {
            if status >= 200 {
                self.refer = None;
            }
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
