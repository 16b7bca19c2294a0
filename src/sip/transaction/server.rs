//! A request of theirs other than INVITE and ACK.
//!
//! RFC 3261 §17.2.2; RFC 4320 §4.2 (no answer is sent later than 64·T1, when the client has given up).
//!
//! | state | leaves by |
//! |---|---|
//! | Trying | our 1xx → Proceeding; our 200–699 → Completed; 64·T1 → over |
//! | Proceeding | our 200–699 → Completed; 64·T1, transport error → over; repeated requests get the 1xx again |
//! | Completed | timer J, transport error → over; repeated requests get the answer again |
//!
//! Deliberately absent: what the request means. Only the bytes of the last response are kept.

use serde::{Deserialize, Serialize};

use super::timers::SipTimers;
use super::{TuEvent, TxEffect, TxEnd, Wire};
use crate::base::now::{Mono, Now};
use crate::sip::message::Message;

/// The server non-INVITE transaction.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Server {
    timers: SipTimers,
    reliable: bool,
    state: State,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
enum State {
    Trying { give_up: Mono },
    Proceeding { response: Wire, give_up: Mono },
    Completed { response: Wire, until: Mono },
    Terminated,
}

impl Server {
    /// Begins with the request's first arrival; the caller has it already.
    #[must_use]
    pub fn new(now: Now, reliable: bool, timers: &SipTimers) -> Self {
        Self { timers: *timers, reliable, state: State::Trying { give_up: now.mono + timers.give_up() } }
    }

    /// Sends an answer of ours. After a final one it does nothing (RFC 3261 §17.2.2).
    pub fn respond(&mut self, now: Now, response: &Message, out: &mut Vec<TxEffect>) {
        let Some(status) = response.status() else {
            return;
        };
        let (State::Trying { give_up } | State::Proceeding { give_up, .. }) = self.state else {
            return;
        };
        let response = Wire::from(response);
        out.push(TxEffect::Transmit(response.clone()));
        if status < 200 {
            self.state = State::Proceeding { response, give_up };
        } else if self.reliable {
            self.end(TxEnd::Completed, out);
        } else {
            self.state = State::Completed { response, until: now.mono + self.timers.timer_j(false) };
        }
    }

    /// Takes a repetition of the request.
    pub fn on_request(&mut self, out: &mut Vec<TxEffect>) {
        match &self.state {
            State::Proceeding { response, .. } | State::Completed { response, .. } => {
                out.push(TxEffect::Transmit(response.clone()));
            }
            State::Trying { .. } | State::Terminated => {}
        }
    }

    /// Acts on the timers that are due.
    pub fn on_deadline(&mut self, now: Now, out: &mut Vec<TxEffect>) {
        match self.state {
            State::Trying { give_up } | State::Proceeding { give_up, .. } if give_up <= now.mono => {
                out.push(TxEffect::Tell(TuEvent::NeverAnswered));
                self.end(TxEnd::TimedOut, out);
            }
            State::Completed { until, .. } if until <= now.mono => self.end(TxEnd::Completed, out),
            State::Trying { .. } | State::Proceeding { .. } | State::Completed { .. } | State::Terminated => {}
        }
    }

    /// The transport could not send (RFC 3261 §17.2.4).
    pub fn on_transport_error(&mut self, out: &mut Vec<TxEffect>) {
        match self.state {
            State::Proceeding { .. } | State::Completed { .. } => {
                out.push(TxEffect::Tell(TuEvent::Unreachable));
                self.end(TxEnd::Unreachable, out);
            }
            State::Trying { .. } | State::Terminated => {}
        }
    }

    /// The earliest timer.
    #[must_use]
    pub const fn deadline(&self) -> Option<Mono> {
        match self.state {
            State::Trying { give_up } | State::Proceeding { give_up, .. } => Some(give_up),
            State::Completed { until, .. } => Some(until),
            State::Terminated => None,
        }
    }

    /// Whether [`TxEffect::Done`] has been given.
    #[must_use]
    pub const fn is_over(&self) -> bool {
        matches!(self.state, State::Terminated)
    }

    /// Whether we still owe a final answer.
    #[must_use]
    pub const fn is_open(&self) -> bool {
        matches!(self.state, State::Trying { .. } | State::Proceeding { .. })
    }

    /// The state's name in RFC 3261 figure 8, in lower case.
    #[must_use]
    pub const fn state_name(&self) -> &'static str {
        match self.state {
            State::Trying { .. } => "trying",
            State::Proceeding { .. } => "proceeding",
            State::Completed { .. } => "completed",
            State::Terminated => "terminated",
        }
    }

    fn end(&mut self, how: TxEnd, out: &mut Vec<TxEffect>) {
        self.state = State::Terminated;
        out.push(TxEffect::Done(how));
    }
}
