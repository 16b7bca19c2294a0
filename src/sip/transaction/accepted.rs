//! Repeats our 2xx to INVITE until its ACK comes.
//!
//! RFC 3261 §13.3.1.4: T1 doubling to T2, over every transport, for 64·T1; then the user is told and ends the session
//! with BYE. RFC 6026 §7.1 leaves this to the user of the server transaction.
//!
//! Deliberately absent: matching the ACK (dialog and CSeq number do; the caller calls [`Accepted2xx::on_ack`]).

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::timers::SipTimers;
use super::{Repeat, TuEvent, TxEffect, TxEnd, Wire};
use crate::base::now::{Mono, Now};

/// One 2xx waiting for its ACK.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Accepted2xx {
    cseq: u32,
    longest: Duration,
    waiting: Option<Waiting>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
struct Waiting {
    response: Wire,
    repeat: Option<Repeat>,
    give_up: Mono,
}

impl Accepted2xx {
    /// Begins with the 2xx that the server transaction has just sent for INVITE number `cseq`.
    #[must_use]
    pub fn start(now: Now, cseq: u32, response: Wire, timers: &SipTimers) -> Self {
        let repeat = Repeat::first(now.mono, timers.t1, false);
        let waiting = Waiting { response, repeat, give_up: now.mono + timers.give_up() };
        Self { cseq, longest: timers.t2, waiting: Some(waiting) }
    }

    /// Takes an ACK with this CSeq number; says whether it was the one waited for, for the first time.
    pub fn on_ack(&mut self, cseq: u32, out: &mut Vec<TxEffect>) -> bool {
        if cseq != self.cseq || self.waiting.is_none() {
            return false;
        }
        self.waiting = None;
        out.push(TxEffect::Done(TxEnd::Completed));
        true
    }

    /// Repeats the 2xx or gives up.
    pub fn on_deadline(&mut self, now: Now, out: &mut Vec<TxEffect>) {
        let Some(waiting) = &mut self.waiting else {
            return;
        };
        if waiting.give_up <= now.mono {
            self.waiting = None;
            out.push(TxEffect::Tell(TuEvent::AckMissing));
            out.push(TxEffect::Done(TxEnd::TimedOut));
        } else if Repeat::is_due(&mut waiting.repeat, now.mono, |last| last.saturating_mul(2).min(self.longest)) {
            out.push(TxEffect::Transmit(waiting.response.clone()));
        }
    }

    /// The next repetition or the giving up.
    #[must_use]
    pub fn deadline(&self) -> Option<Mono> {
        self.waiting.as_ref().map(|waiting| Repeat::deadline(waiting.repeat.as_ref(), waiting.give_up))
    }

    /// The CSeq number of the INVITE.
    #[must_use]
    pub const fn cseq(&self) -> u32 {
        self.cseq
    }

    /// Whether the ACK came or was given up.
    #[must_use]
    pub const fn is_over(&self) -> bool {
        self.waiting.is_none()
    }
}
