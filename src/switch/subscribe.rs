//! Who watches whose line (busy lamps): subscriptions to the `dialog` event of agents, and their NOTIFYs.
//!
//! A subscription is a dialog whose local tag numbers it with a check value. Each change of the watched line makes it
//! due; one NOTIFY is in flight at a time, and the next one says how things stand by then, so that states come in order
//! and a slow phone misses intermediate ones only. Every document is full, its version one higher than the last.
//!
//! | what happens | the subscription |
//! |---|---|
//! | SUBSCRIBE | lives; full state at once |
//! | SUBSCRIBE in its dialog | lives on; full state at once |
//! | Expires 0, or no refresh in time | ends with `terminated;reason=timeout`; a first one with Expires 0 thus fetches |
//! | one more than its subscriber may have | the one that would end first ends, `terminated;reason=giveup` |
//! | subscriber or watched agent is no more | ends, `terminated;reason=noresource` |
//! | NOTIFY refused, unanswered, or its connection lost | is gone without a word |
//!
//! Deliberately absent: partial documents, other events (489), lists of agents in one subscription (RFC 4662), who
//! talks with whom: a document names the watched agent and nobody else. RFC 6665 §4.2, RFC 4235 §3, §4.
//!
//! | limit | value |
//! |---|---|
//! | subscriptions of one agent | 64 |
//! | in all | 6,000; one more gets 503 |
//! | interval | 60 s (423) to 3,600 s |
//! | NOTIFYs sent in one go | 256, then packets have their turn |

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bytes::Bytes;

use super::calls::Calls;
use super::own::{Errand, Fate, Own};
use super::words::SwitchEffect;
use crate::base::flow::FlowId;
use crate::base::id::AgentId;
use crate::base::now::{Mono, Now};
use crate::rtp::command::MediaLeg;
use crate::sip::dialog::Dialog;
use crate::sip::header::event::SubscriptionState;
use crate::sip::message::{Message, Method, Name};
use crate::sip::token::TokenKey;
use crate::sip::transaction::timers::SipTimers;

mod document;
mod requests;

/// The one event there is.
pub(super) const PACKAGE: &str = "dialog";

const PER_AGENT: usize = 64;
const TOTAL: usize = 6_000;
const BATCH: usize = 256;
/// How long NOTIFYs wait when there is no room for their transactions.
const NO_ROOM_WAIT: Duration = Duration::from_secs(1);

/// Why a subscription ends, in the words of RFC 6665 §4.1.3.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ending {
    Timeout,
    GiveUp,
    NoResource,
}

impl Ending {
    const fn word(self) -> &'static str {
        match self {
            Self::Timeout => "timeout",
            Self::GiveUp => "giveup",
            Self::NoResource => "noresource",
        }
    }
}

/// A subscription to begin.
struct Wanted {
    subscriber: AgentId,
    watched: AgentId,
    /// The Event value, sent back as it came.
    event: Bytes,
    /// The address watched, as the phone wrote it.
    entity: String,
    dialog: Dialog,
    expires: Duration,
}

#[derive(Debug)]
struct Subscription {
    subscriber: AgentId,
    watched: AgentId,
    event: Bytes,
    entity: String,
    dialog: Dialog,
    expires_at: Mono,
    version: u32,
    in_flight: bool,
    /// What has changed waits for the NOTIFY in flight.
    changed: bool,
    /// Dialogs the phone has been told of and not of their end.
    shown: Vec<MediaLeg>,
    ending: Option<Ending>,
}

/// All subscriptions.
#[derive(Debug)]
pub(super) struct Subscriptions {
    key: TokenKey,
    minted: u64,
    all: BTreeMap<u64, Subscription>,
    watchers: BTreeSet<(AgentId, u64)>,
    of: BTreeSet<(AgentId, u64)>,
    due: BTreeSet<(Mono, u64)>,
    /// Those that owe a NOTIFY and have none in flight.
    ready: BTreeSet<u64>,
    ready_from: Mono,
}

impl Subscriptions {
    /// None yet.
    pub(super) const fn new(key: TokenKey) -> Self {
        Self {
            key,
            minted: 0,
            all: BTreeMap::new(),
            watchers: BTreeSet::new(),
            of: BTreeSet::new(),
            due: BTreeSet::new(),
            ready: BTreeSet::new(),
            ready_from: Mono::ZERO,
        }
    }

    /// An agent's line changed.
    pub(super) fn changed(&mut self, agent: &AgentId) {
        for number in numbers(&self.watchers, agent) {
            self.owe(number);
        }
    }

    /// Ends what concerns agents who are no more.
    pub(super) fn retain(&mut self, is: impl Fn(&AgentId) -> bool) {
        let gone = self.all.iter().filter(|(_, held)| !is(&held.subscriber) || !is(&held.watched));
        for number in gone.map(|(number, _)| *number).collect::<Vec<_>>() {
            self.end(number, Ending::NoResource);
        }
    }

    /// A connection is gone, and who subscribed over it cannot be told anything.
    pub(super) fn closed(&mut self, flow: FlowId) {
        let lost = self.all.iter().filter(|(_, held)| held.dialog.flow().id == flow);
        for number in lost.map(|(number, _)| *number).collect::<Vec<_>>() {
            self.remove(number);
        }
    }

    /// How a NOTIFY ended.
    pub(super) fn notified(&mut self, number: u64, fate: &Fate) {
        let taken = matches!(fate, Fate::Answered(answer) if answer.status().is_some_and(|status| status < 300));
        if !taken {
            return self.remove(number);
        }
        let Some(held) = self.all.get_mut(&number) else { return };
        held.in_flight = false;
        if std::mem::take(&mut held.changed) {
            self.ready.insert(number);
        }
    }

    /// Ends what was not refreshed, and sends NOTIFYs that are owed.
    pub(super) fn on_deadline(
        &mut self,
        now: Now,
        calls: &Calls,
        own: &mut Own,
        timers: &SipTimers,
        out: &mut Vec<SwitchEffect>,
    ) {
        while let Some((_, number)) = self.due.first().copied().filter(|(at, _)| *at <= now.mono) {
            self.end(number, Ending::Timeout);
        }
        self.send_owed(now, calls, own, timers, out);
    }

    /// When something is to be done.
    pub(super) fn deadline(&self) -> Option<Mono> {
        let ready = (!self.ready.is_empty()).then_some(self.ready_from);
        self.due.first().map(|(at, _)| *at).into_iter().chain(ready).min()
    }

    /// How many live.
    pub(super) fn len(&self) -> usize {
        self.all.len()
    }

    /// Names held for them; zero when none lives.
    pub(super) fn names(&self) -> usize {
        self.all.len() + self.watchers.len() + self.of.len() + self.due.len() + self.ready.len()
    }

    fn is_full(&self) -> bool {
        self.all.len() >= TOTAL
    }

    /// The number the next subscription gets, for its tag.
    const fn mint(&mut self) -> u64 {
        self.minted += 1;
        self.minted
    }

    fn begin(&mut self, now: Now, number: u64, wanted: Wanted) {
        let Wanted { subscriber, watched, event, entity, dialog, expires } = wanted;
        let mine = numbers(&self.of, &subscriber);
        if mine.len() >= PER_AGENT
            && let Some(first) = mine.into_iter().min_by_key(|held| self.all.get(held).map(|held| held.expires_at))
        {
            self.end(first, Ending::GiveUp);
        }
        self.watchers.insert((watched.clone(), number));
        self.of.insert((subscriber.clone(), number));
        let expires_at = now.mono + expires;
        self.due.insert((expires_at, number));
        let (version, in_flight, changed, shown, ending) = (0, false, false, Vec::new(), None);
        let held = Subscription {
            subscriber,
            watched,
            event,
            entity,
            dialog,
            expires_at,
            version,
            in_flight,
            changed,
            shown,
            ending,
        };
        self.all.insert(number, held);
        self.renew(now, number, expires);
    }

    /// Lives for this long from now on, or ends; either is told.
    fn renew(&mut self, now: Now, number: u64, expires: Duration) {
        if expires.is_zero() {
            return self.end(number, Ending::Timeout);
        }
        if let Some(held) = self.all.get_mut(&number) {
            self.due.remove(&(held.expires_at, number));
            held.expires_at = now.mono + expires;
            self.due.insert((held.expires_at, number));
            self.owe(number);
        }
    }

    fn owe(&mut self, number: u64) {
        let Some(held) = self.all.get_mut(&number) else { return };
        if held.in_flight {
            held.changed = true;
        } else {
            self.ready.insert(number);
        }
    }

    /// Nothing more is watched; a last NOTIFY says so.
    fn end(&mut self, number: u64, why: Ending) {
        let Some(held) = self.all.get_mut(&number) else { return };
        held.ending = held.ending.or(Some(why));
        self.due.remove(&(held.expires_at, number));
        self.watchers.remove(&(held.watched.clone(), number));
        self.of.remove(&(held.subscriber.clone(), number));
        self.owe(number);
    }

    fn remove(&mut self, number: u64) {
        if let Some(held) = self.all.remove(&number) {
            self.due.remove(&(held.expires_at, number));
            self.watchers.remove(&(held.watched, number));
            self.of.remove(&(held.subscriber, number));
            self.ready.remove(&number);
        }
    }

    fn send_owed(&mut self, now: Now, calls: &Calls, own: &mut Own, timers: &SipTimers, out: &mut Vec<SwitchEffect>) {
        if now.mono < self.ready_from {
            return;
        }
        for _ in 0..BATCH {
            let Some(number) = self.ready.pop_first() else { return };
            let Some(held) = self.all.get_mut(&number) else { continue };
            let flow = *held.dialog.flow();
            let compose = |branch: &str| held.notify(now, calls, branch);
            if own.begin(now, timers, flow, Errand::Notify(number), compose, out).is_err() {
                self.ready.insert(number);
                self.ready_from = now.mono + NO_ROOM_WAIT;
                return;
            }
            // Nobody cares how the last one ends; its transaction repeats it where that is needed.
            if held.ending.is_some() {
                self.remove(number);
            }
        }
    }
}

impl Subscription {
    fn notify(&mut self, now: Now, calls: &Calls, branch: &str) -> Message {
        let lines = calls.lines_of(&self.watched);
        let lived = |leg: &MediaLeg| lines.iter().any(|(live, _)| live == leg);
        let ended: Vec<_> = self.shown.iter().copied().filter(|leg| !lived(leg)).collect();
        let document = document::write(&self.entity, self.version, &lines, &ended);
        self.shown = lines.into_iter().map(|(leg, _)| leg).collect();
        self.version = self.version.wrapping_add(1);
        self.in_flight = true;
        let state = match self.ending {
            Some(why) => SubscriptionState::Terminated(Some(why.word().to_owned())),
            None => {
                let left = self.expires_at.since(now.mono).as_secs();
                SubscriptionState::Active(Some(u32::try_from(left).unwrap_or(u32::MAX)))
            }
        };
        self.dialog
            .request(&Method::Notify, branch)
            .header(Name::Event, &self.event)
            .header(Name::SubscriptionState, state.to_bytes())
            .body(document::CONTENT_TYPE, document)
            .finish()
    }
}

fn numbers(table: &BTreeSet<(AgentId, u64)>, agent: &AgentId) -> Vec<u64> {
    let from = (agent.clone(), 0);
    table.range(from..).take_while(|(held, _)| held == agent).map(|(_, number)| *number).collect()
}
