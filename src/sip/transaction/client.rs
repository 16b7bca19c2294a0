//! A request of ours other than INVITE and ACK.
//!
//! RFC 3261 §17.1.2.
//!
//! | state | leaves by |
//! |---|---|
//! | Trying | 1xx → Proceeding; 200–699 → Completed; timer F, transport error → over |
//! | Proceeding | 200–699 → Completed; timer F, transport error → over; repeats every T2 |
//! | Completed | timer K → over; repeated answers are absorbed |
//!
//! Deliberately absent: what the answer means.

use serde::{Deserialize, Serialize};

use super::timers::SipTimers;
use super::{Repeat, TuEvent, TxEffect, TxEnd, Wire};
use crate::base::now::{Mono, Now};
use crate::sip::message::Message;

/// The client non-INVITE transaction.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Client {
    timers: SipTimers,
    reliable: bool,
    state: State,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
enum State {
    Trying { request: Wire, repeat: Option<Repeat>, give_up: Mono },
    Proceeding { request: Wire, repeat: Option<Repeat>, give_up: Mono },
    Completed { until: Mono },
    Terminated,
}

impl Client {
    /// Sends the request.
    pub fn start(now: Now, request: Message, reliable: bool, timers: &SipTimers, out: &mut Vec<TxEffect>) -> Self {
        let request = Wire::from(&request);
        out.push(TxEffect::Transmit(request.clone()));
        let repeat = Repeat::first(now.mono, timers.t1, reliable);
        let state = State::Trying { request, repeat, give_up: now.mono + timers.give_up() };
        Self { timers: *timers, reliable, state }
    }

    /// Takes a response with this transaction's branch and method.
    pub fn on_response(&mut self, now: Now, response: &Message, out: &mut Vec<TxEffect>) {
        let Some(status) = response.status() else {
            return;
        };
        let (State::Trying { request, repeat, give_up } | State::Proceeding { request, repeat, give_up }) = &self.state
        else {
            return;
        };
        if status < 200 {
            self.state = State::Proceeding { request: request.clone(), repeat: *repeat, give_up: *give_up };
            out.push(TxEffect::Tell(TuEvent::Response(Box::new(response.clone()))));
            return;
        }
        out.push(TxEffect::Tell(TuEvent::Response(Box::new(response.clone()))));
        if self.reliable {
            self.end(TxEnd::Completed, out);
        } else {
            self.state = State::Completed { until: now.mono + self.timers.linger(false) };
        }
    }

    /// Acts on the timers that are due.
    pub fn on_deadline(&mut self, now: Now, out: &mut Vec<TxEffect>) {
        let timers = self.timers;
        match &mut self.state {
            State::Trying { give_up, .. } | State::Proceeding { give_up, .. } if *give_up <= now.mono => {
                out.push(TxEffect::Tell(TuEvent::NoAnswer));
                self.end(TxEnd::TimedOut, out);
            }
            State::Trying { request, repeat, .. } => {
                if Repeat::is_due(repeat, now.mono, |last| timers.doubled(last)) {
                    out.push(TxEffect::Transmit(request.clone()));
                }
            }
            State::Proceeding { request, repeat, .. } => {
                if Repeat::is_due(repeat, now.mono, |_| timers.t2) {
                    out.push(TxEffect::Transmit(request.clone()));
                }
            }
            State::Completed { until } if *until <= now.mono => self.end(TxEnd::Completed, out),
            State::Completed { .. } | State::Terminated => {}
        }
    }

    /// The transport could not send (RFC 3261 §17.1.4).
    pub fn on_transport_error(&mut self, out: &mut Vec<TxEffect>) {
        if self.is_open() {
            out.push(TxEffect::Tell(TuEvent::Unreachable));
            self.end(TxEnd::Unreachable, out);
        }
    }

    /// The request, as long as no final answer has come.
    #[must_use]
    pub const fn request(&self) -> Option<&Wire> {
        match &self.state {
            State::Trying { request, .. } | State::Proceeding { request, .. } => Some(request),
            State::Completed { .. } | State::Terminated => None,
        }
    }

    /// The earliest timer.
    #[must_use]
    pub fn deadline(&self) -> Option<Mono> {
        match &self.state {
            State::Trying { repeat, give_up, .. } | State::Proceeding { repeat, give_up, .. } => {
                Some(Repeat::deadline(repeat.as_ref(), *give_up))
            }
            State::Completed { until } => Some(*until),
            State::Terminated => None,
        }
    }

    /// Whether [`TxEffect::Done`] has been given.
    #[must_use]
    pub const fn is_over(&self) -> bool {
        matches!(self.state, State::Terminated)
    }

    /// Whether no final answer has come yet.
    #[must_use]
    pub const fn is_open(&self) -> bool {
        matches!(self.state, State::Trying { .. } | State::Proceeding { .. })
    }

    /// The state's name in RFC 3261 figure 6, in lower case.
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
