//! The live calls and the names by which packets find them.
//!
//! A leg is found by the tag or branch we minted (they name it, with a check value), or by the key of the INVITE that
//! made it. Removal happens in one place, [`Calls::remove`].

use std::collections::BTreeMap;

use crate::acd::words::LineState;
use crate::base::id::{AgentId, CallId, LegId};
use crate::call::legs::CALLER;
use crate::call::words::FIRST_CONSULT;
use crate::rtp::command::MediaLeg;
use crate::sip::transaction::key::{MergeKey, TxKey};

#[derive(Debug, Default)]
struct Live {
    keys: Vec<TxKey>,
    merges: Vec<MergeKey>,
    consults: u16,
    /// The agent at whose phone it began.
    by: Option<AgentId>,
}

/// All live calls.
#[derive(Debug, Default)]
pub struct Calls {
    live: BTreeMap<CallId, Live>,
    invites: BTreeMap<TxKey, MediaLeg>,
    merges: BTreeMap<MergeKey, TxKey>,
    lines: BTreeMap<AgentId, BTreeMap<MediaLeg, LineState>>,
    own: BTreeMap<AgentId, usize>,
}

impl Calls {
    /// A call begins with this INVITE as its leg 0.
    pub fn begin(&mut self, call: CallId, leg: LegId, key: TxKey, merge: Option<MergeKey>) {
        self.live.entry(call).or_default();
        self.add(MediaLeg { call, leg }, key, merge);
    }

    /// The name of the next leg that an INVITE from outside makes in this call; `None` when the call is gone or has
    /// had more of them than can be named.
    pub fn begin_consult(&mut self, call: CallId, key: TxKey, merge: Option<MergeKey>) -> Option<LegId> {
        let live = self.live.get_mut(&call)?;
        let leg = LegId(FIRST_CONSULT.0.checked_add(live.consults)?);
        live.consults += 1;
        self.add(MediaLeg { call, leg }, key, merge);
        Some(leg)
    }

    /// Notes at whose phone a call began.
    pub fn note_own(&mut self, agent: &AgentId, call: CallId) {
        if let Some(live) = self.live.get_mut(&call).filter(|live| live.by.is_none()) {
            live.by = Some(agent.clone());
            *self.own.entry(agent.clone()).or_default() += 1;
        }
    }

    fn forget_own(&mut self, by: Option<AgentId>) {
        let Some(agent) = by else { return };
        if let Some(count) = self.own.get_mut(&agent) {
            *count = count.saturating_sub(1);
        }
        self.own.retain(|_, count| *count > 0);
    }

    /// How many calls that began at an agent's phone he still has a line in. A call lives on while its last messages
    /// may be repeated; that holds no line of a telephone.
    #[must_use]
    pub fn own_of(&self, agent: &AgentId) -> usize {
        self.own.get(agent).copied().unwrap_or_default()
    }

    fn add(&mut self, leg: MediaLeg, key: TxKey, merge: Option<MergeKey>) {
        if let Some(live) = self.live.get_mut(&leg.call) {
            live.keys.push(key.clone());
            live.merges.extend(merge.clone());
        }
        if let Some(merge) = merge {
            self.merges.insert(merge, key.clone());
        }
        self.invites.insert(key, leg);
    }

    /// Whether a call lives.
    #[must_use]
    pub fn is_live(&self, call: CallId) -> bool {
        self.live.contains_key(&call)
    }

    /// The leg an INVITE with this key made.
    #[must_use]
    pub fn by_invite(&self, key: &TxKey) -> Option<MediaLeg> {
        self.invites.get(key).copied()
    }

    /// Whether the same request came before by another way (RFC 3261 §8.2.2.2).
    #[must_use]
    pub fn is_merged(&self, merge: &MergeKey, key: &TxKey) -> bool {
        self.merges.get(merge).is_some_and(|first| first != key)
    }

    /// Notes what an agent's leg does, as its call said; whether that is news.
    pub fn note_line(&mut self, agent: AgentId, leg: MediaLeg, state: LineState) -> bool {
        if state == LineState::Idle && leg.leg == CALLER {
            let by = self.live.get_mut(&leg.call).and_then(|live| live.by.take_if(|by| *by == agent));
            self.forget_own(by);
        }
        let lines = self.lines.entry(agent.clone()).or_default();
        let before = lines.get(&leg).copied();
        if state == LineState::Idle {
            lines.remove(&leg);
        } else if self.live.contains_key(&leg.call) {
            lines.insert(leg, state);
        }
        let news = before != lines.get(&leg).copied();
        if lines.is_empty() {
            self.lines.remove(&agent);
        }
        news
    }

    /// What an agent's legs do.
    #[must_use]
    pub fn lines_of(&self, agent: &AgentId) -> Vec<(MediaLeg, LineState)> {
        self.lines.get(agent).into_iter().flatten().map(|(leg, state)| (*leg, *state)).collect()
    }

    /// The call an agent talks in.
    #[must_use]
    pub fn talk_of(&self, agent: &AgentId) -> Option<CallId> {
        let talking = |state: &LineState| matches!(state, LineState::Talking | LineState::Held);
        self.lines.get(agent)?.iter().find(|(_, state)| talking(state)).map(|(leg, _)| leg.call)
    }

    /// A call is over; the agents who still had a leg in it.
    pub fn remove(&mut self, call: CallId) -> Vec<AgentId> {
        let Some(live) = self.live.remove(&call) else { return Vec::new() };
        self.forget_own(live.by);
        for key in live.keys {
            self.invites.remove(&key);
        }
        for merge in live.merges {
            self.merges.remove(&merge);
        }
        let mut freed = Vec::new();
        self.lines.retain(|agent, lines| {
            let before = lines.len();
            lines.retain(|leg, _| leg.call != call);
            if lines.len() < before {
                freed.push(agent.clone());
            }
            !lines.is_empty()
        });
        freed
    }

    /// How many live.
    #[must_use]
    pub fn len(&self) -> usize {
        self.live.len()
    }

    /// Whether none lives.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.live.is_empty()
    }

    /// Names held for live calls; zero when none lives.
    #[must_use]
    pub fn names(&self) -> usize {
        self.invites.len() + self.merges.len() + self.lines.len() + self.own.len()
    }
}
