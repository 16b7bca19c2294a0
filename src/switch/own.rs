//! The switch's own requests outside any call: one room for their transactions, found by the branch that numbers them.
//!
//! An [`Errand`] says what a request was for and comes back once, with its [`Outcome`]. A transaction leaves the room
//! with its final answer: an answer that comes again is known as ours by the check value in its branch, so that
//! timer K needs no state. Deliberately absent: what an answer means, credentials (another request, another errand),
//! INVITE. RFC 3261 §17.1.2, §8.1.3.1.
//!
//! | what happens | outcome |
//! |---|---|
//! | final answer with the branch and the method | [`Fate::Answered`] |
//! | 64·T1 without one | [`Fate::NoAnswer`] |
//! | its connection is gone | [`Fate::Unreachable`] |
//!
//! | limit | value |
//! |---|---|
//! | requests without a final answer | 8,192; one more is not sent |

use std::collections::{BTreeMap, BTreeSet};

use super::words::SwitchEffect;
use crate::base::flow::{Flow, FlowId};
use crate::base::id::TrunkName;
use crate::base::now::{Mono, Now};
use crate::call::words::FarEnd;
use crate::sip::message::{Message, Method};
use crate::sip::token::TokenKey;
use crate::sip::transaction::client::Client;
use crate::sip::transaction::timers::SipTimers;
use crate::sip::transaction::{TuEvent, TxEffect};

/// Requests without a final answer.
pub(super) const OWN_MAX: usize = 8_192;

/// What a request was for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Errand {
    /// The state of a line to the subscription with this number.
    Notify(u64),
    /// Whether a far end of a trunk lives: the nth probe of it.
    Probe(FarEnd, u32),
    /// Our registration at a trunk.
    Register(TrunkName),
}

/// How a request ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// A final answer came.
    Answered(Box<Message>),
    /// None came in time; counts as 408.
    NoAnswer,
    /// The connection is gone; counts as 503.
    Unreachable,
}

/// An errand that is done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Outcome {
    /// What it was for.
    pub(super) errand: Errand,
    /// How it ended.
    pub(super) fate: Fate,
}

/// There is no room for another request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NoRoom;

struct Open {
    client: Client,
    method: Method,
    flow: Flow,
    errand: Errand,
}

/// The transactions.
pub(super) struct Own {
    key: TokenKey,
    minted: u64,
    open: BTreeMap<u64, Open>,
    due: BTreeSet<(Mono, u64)>,
}

impl Own {
    /// None yet.
    pub(super) const fn new(key: TokenKey) -> Self {
        Self { key, minted: 0, open: BTreeMap::new(), due: BTreeSet::new() }
    }

    /// Sends a request over `flow`; `compose` writes it with the branch it is given.
    ///
    /// # Errors
    /// There is no room; nothing was sent.
    pub(super) fn begin(
        &mut self,
        now: Now,
        timers: &SipTimers,
        flow: Flow,
        errand: Errand,
        compose: impl FnOnce(&str) -> Message,
        out: &mut Vec<SwitchEffect>,
    ) -> Result<(), NoRoom> {
        if self.open.len() >= OWN_MAX {
            return Err(NoRoom);
        }
        self.minted += 1;
        let request = compose(&self.key.own_branch(self.minted));
        let method = request.cseq_method().clone();
        let mut effects = Vec::new();
        let client = Client::start(now, request, flow.transport.is_reliable(), timers, &mut effects);
        self.due.extend(client.deadline().map(|at| (at, self.minted)));
        self.open.insert(self.minted, Open { client, method, flow, errand });
        transmit(effects, flow, out);
        Ok(())
    }

    /// Whether a response is to a request of the switch, and the outcome if it is the end of one.
    pub(super) fn on_response(&mut self, now: Now, response: &Message) -> (bool, Option<Outcome>) {
        let number = response.via().branch().and_then(|branch| self.key.read_own_branch(branch));
        let Some(number) = number else { return (false, None) };
        let answers = |open: &&mut Open| open.method == *response.cseq_method();
        let Some(open) = self.open.get_mut(&number).filter(answers) else { return (true, None) };
        let (before, mut effects) = (open.client.deadline(), Vec::new());
        open.client.on_response(now, response, &mut effects);
        if open.client.is_open() {
            self.reset(number, before);
            return (true, None);
        }
        let outcome = self.end(number, before, Fate::Answered(Box::new(response.clone())));
        (true, outcome)
    }

    /// A connection is gone, and with it every request over it.
    pub(super) fn closed(&mut self, flow: FlowId, outcomes: &mut Vec<Outcome>) {
        let lost = self.open.iter().filter(|(_, open)| open.flow.id == flow);
        let lost: Vec<_> = lost.map(|(number, open)| (*number, open.client.deadline())).collect();
        outcomes.extend(lost.into_iter().filter_map(|(number, due)| self.end(number, due, Fate::Unreachable)));
    }

    /// Repeats and gives up what is due.
    pub(super) fn on_deadline(&mut self, now: Now, out: &mut Vec<SwitchEffect>, outcomes: &mut Vec<Outcome>) {
        while let Some((at, number)) = self.due.first().copied().filter(|(at, _)| *at <= now.mono) {
            let Some(open) = self.open.get_mut(&number) else {
                self.due.remove(&(at, number));
                continue;
            };
            let mut effects = Vec::new();
            open.client.on_deadline(now, &mut effects);
            if effects.contains(&TxEffect::Tell(TuEvent::NoAnswer)) {
                outcomes.extend(self.end(number, Some(at), Fate::NoAnswer));
                continue;
            }
            transmit(effects, open.flow, out);
            self.reset(number, Some(at));
        }
    }

    /// The earliest timer.
    pub(super) fn deadline(&self) -> Option<Mono> {
        self.due.first().map(|(at, _)| *at)
    }

    /// Gives up what is no longer waited for, without a word.
    pub(super) fn forget(&mut self, errand: &Errand) {
        let found = self.open.iter().filter(|(_, open)| open.errand == *errand);
        let found: Vec<_> = found.map(|(number, open)| (*number, open.client.deadline())).collect();
        for (number, due) in found {
            self.end(number, due, Fate::Unreachable);
        }
    }

    /// Requests without a final answer.
    pub(super) fn len(&self) -> usize {
        self.open.len()
    }

    fn reset(&mut self, number: u64, before: Option<Mono>) {
        if let Some(at) = before {
            self.due.remove(&(at, number));
        }
        self.due.extend(self.open.get(&number).and_then(|open| open.client.deadline()).map(|at| (at, number)));
    }

    fn end(&mut self, number: u64, due: Option<Mono>, fate: Fate) -> Option<Outcome> {
        if let Some(at) = due {
            self.due.remove(&(at, number));
        }
        self.open.remove(&number).map(|open| Outcome { errand: open.errand, fate })
    }
}

fn transmit(effects: Vec<TxEffect>, flow: Flow, out: &mut Vec<SwitchEffect>) {
    out.extend(effects.into_iter().filter_map(|effect| match effect {
        TxEffect::Transmit(wire) => Some(SwitchEffect::Transmit(flow, wire.into_bytes())),
        TxEffect::Tell(_) | TxEffect::Done(_) => None,
    }));
}

#[cfg(test)]
mod tests;
