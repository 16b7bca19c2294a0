//! The loop guard: calls that come back to us, or go round between platforms.
//!
//! Max-Forwards falls by one on every call we send on and 0 is refused with 483. Three more guards, because we begin new
//! dialogs and a loop through us looks like new calls:
//!
//! | sign | answer |
//! |---|---|
//! | a Via with a branch of ours, and nobody has chosen another target since (the request-URI still is To's) | 482 |
//! | the same, with another target: a spiral, such as a department forwarding to us | let in; Max-Forwards bounds it |
//! | on a `platform` trunk: our id in `X-Switch-Hops` | 482 |
//! | on a `platform` trunk: 5 ids there | 483 |
//!
//! `X-Switch-Hops: id;id` is written and believed on trunks to other platforms only; its ids are drawn at each start. A
//! call is not sent back over the platform trunk it came by, nor to a platform its list already names.
//! Max-Breadth (RFC 5393 §5) does not apply: it bounds proxies that fork one request to many next hops; we try the
//! far ends of a trunk one after the other, and only registered phones of agents ring side by side.
//! RFC 3261 §8.2.2.2 (482 of merged requests: `calls`), §16.3 (Max-Forwards, loop detection); RFC 5393 §4.2.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::base::id::{CallId, LegId, TrunkName, Ulid};
use crate::sip::header::via::Via;
use crate::sip::message::{Message, Name};
use crate::sip::token::TokenKey;

/// The header field of the list.
const FIELD: &[u8] = b"X-Switch-Hops";
/// Platforms a call may have passed.
const HOPS: usize = 5;
/// The longest id believed.
const ID: usize = 32;

/// The platforms a call has passed, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Hops(Vec<String>);

/// Why a call is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Looped {
    /// It has been here.
    Here,
    /// It has passed too many platforms.
    TooMany,
}

impl Looped {
    /// Status and phrase.
    pub(super) const fn answer(self) -> (u16, &'static str) {
        match self {
            Self::Here => (482, "Loop Detected"),
            Self::TooMany => (483, "Too Many Hops"),
        }
    }
}

/// Where calls from platforms came by, and who sits behind platform trunks.
#[derive(Clone, Debug)]
pub(super) struct HopGuard {
    own: String,
    came: BTreeMap<CallId, (TrunkName, Hops)>,
    behind: BTreeMap<TrunkName, String>,
}

impl HopGuard {
    /// A guard whose id nobody else has, as long as the key is secret.
    pub(super) fn new(key: &TokenKey) -> Self {
        let token = key.cnonce(CallId(Ulid::from_bits(0)), LegId(u16::MAX), 0);
        let own = token.get(token.len().saturating_sub(9)..).unwrap_or_default().to_owned();
        Self { own, came: BTreeMap::new(), behind: BTreeMap::new() }
    }

    /// Judges an INVITE; `platform` says whether its list is believed.
    pub(super) fn judge(&self, key: &TokenKey, invite: &Message, platform: bool) -> Result<Hops, Looped> {
        if came_through_us(key, invite) && !is_retargeted(invite) {
            return Err(Looped::Here);
        }
        let hops = if platform { Hops::read(invite) } else { Hops::default() };
        if hops.0.contains(&self.own) {
            return Err(Looped::Here);
        }
        if hops.0.len() >= HOPS {
            return Err(Looped::TooMany);
        }
        Ok(hops)
    }

    /// A call begins that came over a platform trunk.
    pub(super) fn began(&mut self, call: CallId, trunk: &TrunkName, hops: Hops) {
        if let Some(last) = hops.0.last() {
            self.behind.insert(trunk.clone(), last.clone());
        }
        self.came.insert(call, (trunk.clone(), hops));
    }

    pub(super) fn over(&mut self, call: CallId) {
        self.came.remove(&call);
    }

    /// The list to send along over a platform trunk; `None` when the call must not go there.
    pub(super) fn onward(&self, call: CallId, trunk: &TrunkName) -> Option<Arc<str>> {
        let Some((from, hops)) = self.came.get(&call) else { return Some(Arc::from(self.own.as_str())) };
        let there = self.behind.get(trunk).is_some_and(|behind| hops.0.contains(behind));
        if from == trunk || there {
            return None;
        }
        let list = hops.0.iter().chain([&self.own]).map(String::as_str).collect::<Vec<_>>();
        Some(Arc::from(list.join(";")))
    }

    /// Keeps what is known of these trunks only.
    pub(super) fn keep(&mut self, known: impl Fn(&TrunkName) -> bool) {
        self.behind.retain(|trunk, _| known(trunk));
    }

    /// Calls remembered.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.came.len()
    }
}

impl Hops {
    fn read(invite: &Message) -> Self {
        let ids = invite.headers_named(FIELD).flat_map(|value| value.split(|byte| matches!(byte, b';' | b',')));
        let ids = ids.map(<[u8]>::trim_ascii).filter(|id| !id.is_empty() && id.len() <= ID && id.is_ascii());
        Self(ids.take(HOPS).map(|id| String::from_utf8_lossy(id).into_owned()).collect())
    }
}

/// Whether one of its Vias is ours: nobody else can have written a branch that our key reads.
fn came_through_us(key: &TokenKey, invite: &Message) -> bool {
    let ours = |value: &[u8]| {
        let via = Via::parse(value).ok();
        via.as_ref().and_then(Via::branch).is_some_and(|branch| key.read_branch(branch).is_some())
    };
    invite.values(Name::Via).any(ours)
}

fn is_retargeted(invite: &Message) -> bool {
    let target = invite.uri().and_then(Result::ok).and_then(|uri| uri.dialled());
    target != invite.to().uri().ok().and_then(|uri| uri.dialled())
}
