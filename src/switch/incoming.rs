//! New INVITEs over a trunk: a citizen's call, or a refusal that leaves nothing behind; agents' are `outside`'s.
//!
//! A trunk is known by its source address or by our registration at it, never by a header (`contract.md` §2); what an
//! INVITE says of its numbers is `reading`'s and judged by the plan. RFC 3261 §8.2.2.

use std::sync::Arc;

use bytes::Bytes;

use super::reading::{Numbers, reference, under_rules};
use super::words::{Beginning, Counted, NewCall, SwitchEffect};
use super::{Switch, admission};
use crate::base::flow::Side;
use crate::base::id::{CallId, LegId, TicketId};
use crate::base::now::Now;
use crate::call::carried::Carried;
use crate::call::setup::Inbound;
use crate::call::words::{Arrived, Identity};
use crate::plan::route::Verdict;
use crate::sip::message::Name;
use crate::sip::transaction::key::{MergeKey, TxKey};

/// Max-Forwards assumed when an INVITE has none (RFC 3261 §16.6 step 3).
const MAX_FORWARDS: u8 = 70;
/// Name of a call's first leg.
const CALLER: LegId = LegId(0);

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
        mut arrived: Arrived,
        out: &mut Vec<SwitchEffect>,
    ) {
        let Some((trunk, by_contact)) = self.trunk_of(&arrived) else {
            out.push(SwitchEffect::Count(Counted::UnknownSource));
            return self.refuse(&arrived, 403, None, &[], out);
        };
        if let Some(changed) = under_rules(&arrived.message, &trunk.incoming.headers) {
            arrived.message = changed;
        }
        let numbers = Numbers::read(&arrived.message, &trunk, &self.plan, by_contact);
        let route = numbers.with_facts(&trunk.name, |facts| self.plan.route(facts, now.wall, &mut ()));
        let emergency = matches!(route.verdict, Verdict::Emergency(_));
        // An emergency call is not turned away for what it requires beyond us: the call itself can still be made.
        let fits = |out: &mut Vec<_>| {
            self.require(&arrived, out) && self.readable(&arrived, out) && self.lasting(&arrived, out)
        };
        if !emergency && !fits(out) {
            return;
        }
        // No dialog of a carrier's is moved by a carrier: transfers go by REFER, which no trunk may send.
        if !emergency && arrived.message.header(Name::Replaces).is_some() {
            return self.refuse(&arrived, 403, Some("Replaces Not Allowed From Here"), &[], out);
        }
        if arrived.message.max_forwards() == Some(0) {
            return self.refuse(&arrived, 483, None, &[], out);
        }
        let hops = match self.hops.judge(&self.tokens, &arrived.message, trunk.platform) {
            Ok(hops) => hops,
            Err(looped) => {
                let (status, phrase) = looped.answer();
                out.push(SwitchEffect::Count(Counted::Looped(trunk.name.clone())));
                return self.refuse(&arrived, status, Some(phrase), &[], out);
            }
        };
        let call = CallId(self.mint(now, &route.tenant));
        let caps = self.caps_of(&trunk);
        if let Err(refused) = self.admission.admit(now, call, Some((&trunk.name, caps)), emergency || trunk.emergency) {
            out.push(SwitchEffect::Count(Counted::Refused(Some(trunk.name.clone()), refused)));
            let after = admission::RETRY_AFTER.as_secs().to_string();
            return self.refuse(&arrived, 503, None, &[(Name::RetryAfter, &after)], out);
        }
        let ticket = TicketId(self.mint(now, &route.tenant));
        let seed = self.draw();
        self.calls.begin(call, CALLER, key, merge);
        if trunk.platform {
            self.hops.began(call, &trunk.name, hops);
        }
        out.push(SwitchEffect::Count(Counted::Admitted(trunk.name.clone())));
        let carried = Carried::of(&arrived.message, self.plan.settings.copied(&trunk.tenant));
        if carried.left_out() > 0 {
            out.push(SwitchEffect::Count(Counted::LeftOut(trunk.name.clone(), carried.left_out())));
        }
        let facts = Inbound {
            trunk: trunk.name.clone(),
            sip_call_id: Arc::from(String::from_utf8_lossy(arrived.message.call_id())),
            diverted_from: numbers.diverted.iter().rev().map(|number| Arc::from(number.as_str())).collect(),
            max_forwards: arrived.message.max_forwards().unwrap_or(MAX_FORWARDS),
            display: Bytes::copy_from_slice(&arrived.message.from().display_plain()),
            external_ref: reference(&arrived.message, &trunk),
            carried,
            route,
        };
        let identity = Identity { call, ticket, seed, advertised: None };
        out.push(SwitchEffect::Begin(Box::new(NewCall {
            identity,
            invite: arrived,
            facts: Beginning::Trunk(Box::new(facts)),
            emergency,
        })));
    }
}
