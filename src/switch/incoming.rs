//! New INVITEs over a trunk: a citizen's call, or a refusal that leaves nothing behind; agents' are `outside`'s.
//!
//! A trunk is known by its source address, never by a header (`contract.md` §2); what an INVITE says of its numbers
//! is read here and judged by the plan. RFC 3261 §8.2.2, RFC 3325, RFC 5806, RFC 7044.

use std::sync::Arc;

use bytes::Bytes;

use super::words::{Counted, NewCall, SwitchEffect};
use super::{Switch, admission};
use crate::base::flow::Side;
use crate::base::id::{CallId, LegId, TicketId};
use crate::base::now::Now;
use crate::call::setup::Inbound;
use crate::call::words::{Arrived, Identity};
use crate::plan::route::{Facts, Route, Verdict};
use crate::plan::trunk::Trunk;
use crate::sip::header::diverted::{Diversion, HistoryEntry};
use crate::sip::header::identity::Privacy;
use crate::sip::message::{Message, Name};
use crate::sip::transaction::key::{MergeKey, TxKey};
use crate::sip::uri::Uri;
use crate::switch::admission::Caps;

/// Max-Forwards assumed when an INVITE has none (RFC 3261 §16.6 step 3).
const MAX_FORWARDS: u8 = 70;
/// Name of a call's first leg.
const CALLER: LegId = LegId(0);

/// What an INVITE says of its numbers.
struct Numbers {
    dialled: String,
    from: Option<String>,
    asserted: Vec<String>,
    private: bool,
    diverted: Vec<String>,
}

impl Switch {
    pub(super) fn on_invite(&mut self, now: Now, key: TxKey, arrived: Arrived, out: &mut Vec<SwitchEffect>) {
        let merge = MergeKey::of(&arrived.message);
        if merge.as_ref().is_some_and(|merge| self.calls.is_merged(merge, &key)) {
            out.push(SwitchEffect::Count(Counted::Merged));
            return self.refuse(&arrived, 482, Some("Merged Request"), &[], out);
        }
        match arrived.flow.side {
            Side::Trunk => self.on_trunk_invite(now, key, merge, arrived, out),
            Side::Agent => self.on_agent_invite(now, key, merge, arrived, out),
        }
    }

    fn on_trunk_invite(
        &mut self,
        now: Now,
        key: TxKey,
        merge: Option<MergeKey>,
        arrived: Arrived,
        out: &mut Vec<SwitchEffect>,
    ) {
        let Some(trunk) = self.plan.settings.trunk_for(arrived.flow.remote).cloned() else {
            out.push(SwitchEffect::Count(Counted::UnknownSource));
            return self.refuse(&arrived, 403, None, &[], out);
        };
        let numbers = Numbers::read(&arrived.message);
        let route = self.decide(now, &trunk, &numbers);
        let emergency = matches!(route.verdict, Verdict::Emergency(_));
        // An emergency call is not turned away for what it requires beyond us: the call itself can still be made.
        if !emergency && (!self.require(&arrived, out) || !self.readable(&arrived, out)) {
            return;
        }
        if arrived.message.max_forwards() == Some(0) {
            return self.refuse(&arrived, 483, None, &[], out);
        }
        let call = CallId(self.mint(now, &route.tenant));
        let caps = Caps { calls: trunk.max_calls, calls_per_second: trunk.max_cps };
        if let Err(refused) = self.admission.admit(now, call, Some((&trunk.name, caps)), emergency || trunk.emergency) {
            out.push(SwitchEffect::Count(Counted::Refused(Some(trunk.name.clone()), refused)));
            let after = admission::RETRY_AFTER.as_secs().to_string();
            return self.refuse(&arrived, 503, None, &[(Name::RetryAfter, &after)], out);
        }
        let ticket = TicketId(self.mint(now, &route.tenant));
        let seed = self.draw();
        self.calls.begin(call, CALLER, key, merge);
        out.push(SwitchEffect::Count(Counted::Admitted(trunk.name.clone())));
        let facts = Inbound {
            trunk: trunk.name.clone(),
            sip_call_id: Arc::from(String::from_utf8_lossy(arrived.message.call_id())),
            diverted_from: numbers.diverted.iter().rev().map(|number| Arc::from(number.as_str())).collect(),
            max_forwards: arrived.message.max_forwards().unwrap_or(MAX_FORWARDS),
            display: Bytes::copy_from_slice(&arrived.message.from().display_plain()),
            route,
        };
        let identity = Identity { call, ticket, seed, advertised: None };
        out.push(SwitchEffect::Begin(Box::new(NewCall { identity, invite: arrived, facts, emergency })));
    }

    fn decide(&self, now: Now, trunk: &Trunk, numbers: &Numbers) -> Route {
        let asserted: Vec<&str> = numbers.asserted.iter().map(String::as_str).collect();
        let diverted: Vec<&str> = numbers.diverted.iter().map(String::as_str).collect();
        let facts = Facts {
            trunk: &trunk.name,
            dialled: &numbers.dialled,
            from: numbers.from.as_deref(),
            asserted: &asserted,
            private: numbers.private,
            diverted: &diverted,
        };
        self.plan.route(&facts, now.wall, &mut ())
    }
}

impl Numbers {
    fn read(invite: &Message) -> Self {
        let user = |uri: Uri| uri.dialled();
        let history = HistoryEntry::of(invite).collect::<Vec<_>>();
        // The last entry is where the call now goes; those before it are where it was sent on from.
        let sent_on = history.len().saturating_sub(1);
        let from_history = history.iter().take(sent_on).rev().filter_map(|entry| user(entry.target().ok()?));
        let from_diversion = Diversion::of(invite).filter_map(|diversion| user(diversion.0.uri().ok()?));
        Self {
            dialled: String::from_utf8_lossy(invite.request_uri().unwrap_or_default()).into_owned(),
            from: invite.from().uri().ok().and_then(user),
            asserted: invite
                .addresses(Name::PAssertedIdentity)
                .filter_map(|address| user(address.ok()?.uri().ok()?))
                .collect(),
            private: invite
                .header(Name::Privacy)
                .and_then(|value| Privacy::parse(value).ok())
                .is_some_and(|privacy| privacy.hides_caller()),
            diverted: from_diversion.chain(from_history).collect(),
        }
    }
}
