//! An INVITE of theirs: answered again when repeated, its refusal repeated until the ACK, its CANCELs answered.
//!
//! RFC 3261 §17.2.1 with RFC 6026 §7.1 (Accepted; a transport error ends nothing), RFC 3261 §9.2 (CANCEL).
//!
//! | state | leaves by |
//! |---|---|
//! | Proceeding | our 2xx → Accepted; our 300–699 → Completed; repeated INVITEs get the last 1xx again |
//! | Completed | ACK → Confirmed; timer H → over; repeated INVITEs get the answer again |
//! | Confirmed | timer I → over |
//! | Accepted | timer L → over; repeated INVITEs are absorbed, an ACK is told |
//!
//! CANCEL has the INVITE's branch but is a transaction of its own (RFC 3261 §9.2). It lives inside this machine so
//! that a repeated CANCEL finds its 200 and never a 481, also when the INVITE itself is long over.
//!
//! Deliberately absent: the repetition of a 2xx ([`super::accepted`]), and choosing the answer.

use std::net::SocketAddr;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::derived;
use super::server::Server;
use super::timers::SipTimers;
use super::{Repeat, TuEvent, TxEffect, TxEnd, Wire};
use crate::base::flow::Flow;
use crate::base::now::{Mono, Now};
use crate::sip::message::{Message, Method};

/// The server INVITE transaction.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ServerInvite {
    timers: SipTimers,
    reliable: bool,
    source: SocketAddr,
    tag: Bytes,
    state: State,
    cancel: Option<Box<Server>>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
enum State {
    Proceeding {
        response: Option<Wire>,
    },
    Completed {
        response: Wire,
        repeat: Option<Repeat>,
        give_up: Mono,
    },
    Confirmed {
        until: Mono,
    },
    Accepted {
        until: Mono,
    },
    /// Only the CANCEL's transaction is left.
    Ending(TxEnd),
    Terminated,
}

impl ServerInvite {
    /// Begins with the INVITE's first arrival; the caller has it, sends `100 Trying` through [`Self::respond`] at once
    /// and answers with `tag` as To-tag, which the answer to a CANCEL carries too (RFC 3261 §9.2). `flow` is the one
    /// the INVITE came over.
    #[must_use]
    pub fn new(tag: impl Into<Bytes>, flow: &Flow, timers: &SipTimers) -> Self {
        Self {
            timers: *timers,
            reliable: flow.transport.is_reliable(),
            source: flow.remote,
            tag: tag.into(),
            state: State::Proceeding { response: None },
            cancel: None,
        }
    }

    /// Sends an answer of ours; one that is not legal in the present state is dropped.
    pub fn respond(&mut self, now: Now, response: &Message, out: &mut Vec<TxEffect>) {
        let Some(status) = response.status() else {
            return;
        };
        let bytes = Wire::from(response);
        match (&mut self.state, status) {
            (State::Proceeding { response }, 100..200) => {
                *response = Some(bytes.clone());
                out.push(TxEffect::Transmit(bytes));
            }
            (State::Proceeding { .. }, 200..300) => {
                self.state = State::Accepted { until: now.mono + self.timers.give_up() };
                out.push(TxEffect::Transmit(bytes));
            }
            (State::Proceeding { .. }, _) => {
                out.push(TxEffect::Transmit(bytes.clone()));
                self.state = State::Completed {
                    response: bytes,
                    repeat: Repeat::first(now.mono, self.timers.t1, self.reliable),
                    give_up: now.mono + self.timers.give_up(),
                };
            }
            (State::Accepted { .. }, 200..300) => out.push(TxEffect::Transmit(bytes)),
            _ => {}
        }
    }

    /// Takes a repetition of the INVITE, its ACK or its CANCEL.
    pub fn on_request(&mut self, now: Now, request: &Message, out: &mut Vec<TxEffect>) {
        match request.method() {
            Some(Method::Invite) => self.on_repetition(out),
            Some(Method::Ack) => self.on_ack(now, request, out),
            Some(Method::Cancel) => self.on_cancel(now, request, out),
            _ => {}
        }
    }

    /// Acts on the timers that are due.
    pub fn on_deadline(&mut self, now: Now, out: &mut Vec<TxEffect>) {
        let timers = self.timers;
        match &mut self.state {
            State::Completed { give_up, .. } if *give_up <= now.mono => {
                out.push(TxEffect::Tell(TuEvent::AckMissing));
                self.state = State::Ending(TxEnd::TimedOut);
            }
            State::Completed { response, repeat, .. } => {
                if Repeat::is_due(repeat, now.mono, |last| timers.doubled(last)) {
                    out.push(TxEffect::Transmit(response.clone()));
                }
            }
            State::Confirmed { until } | State::Accepted { until } if *until <= now.mono => {
                self.state = State::Ending(TxEnd::Completed);
            }
            State::Proceeding { .. }
            | State::Confirmed { .. }
            | State::Accepted { .. }
            | State::Ending(_)
            | State::Terminated => {}
        }
        if let Some(cancel) = &mut self.cancel {
            // Its answer is out already; that it is over is all there is to learn.
            cancel.on_deadline(now, &mut Vec::new());
        }
        self.end_when_quiet(out);
    }

    /// The transport could not send. The state stays, so that repeated INVITEs are not taken for new ones
    /// (RFC 6026 §7.1).
    pub fn on_transport_error(&self, out: &mut Vec<TxEffect>) {
        if matches!(self.state, State::Proceeding { .. } | State::Completed { .. } | State::Accepted { .. }) {
            out.push(TxEffect::Tell(TuEvent::Unreachable));
        }
    }

    /// The earliest timer.
    #[must_use]
    pub fn deadline(&self) -> Option<Mono> {
        let own = match &self.state {
            State::Completed { repeat, give_up, .. } => Some(Repeat::deadline(repeat.as_ref(), *give_up)),
            State::Confirmed { until } | State::Accepted { until } => Some(*until),
            State::Proceeding { .. } | State::Ending(_) | State::Terminated => None,
        };
        let cancel = self.cancel.as_ref().and_then(|cancel| cancel.deadline());
        [own, cancel].into_iter().flatten().min()
    }

    /// Whether [`TxEffect::Done`] has been given.
    #[must_use]
    pub const fn is_over(&self) -> bool {
        matches!(self.state, State::Terminated)
    }

    /// Whether we still owe a final answer.
    #[must_use]
    pub const fn is_open(&self) -> bool {
        matches!(self.state, State::Proceeding { .. })
    }

    /// The state's name in RFC 3261 figure 7, in lower case; `ending` when only a CANCEL's transaction is left.
    #[must_use]
    pub const fn state_name(&self) -> &'static str {
        match self.state {
            State::Proceeding { .. } => "proceeding",
            State::Completed { .. } => "completed",
            State::Confirmed { .. } => "confirmed",
            State::Accepted { .. } => "accepted",
            State::Ending(_) => "ending",
            State::Terminated => "terminated",
        }
    }

    fn on_repetition(&self, out: &mut Vec<TxEffect>) {
        if let State::Proceeding { response: Some(response) } | State::Completed { response, .. } = &self.state {
            out.push(TxEffect::Transmit(response.clone()));
        }
    }

    fn on_ack(&mut self, now: Now, ack: &Message, out: &mut Vec<TxEffect>) {
        match self.state {
            State::Completed { .. } if self.reliable => {
                self.state = State::Ending(TxEnd::Completed);
                self.end_when_quiet(out);
            }
            State::Completed { .. } => {
                self.state = State::Confirmed { until: now.mono + self.timers.linger(false) };
            }
            State::Accepted { .. } => out.push(TxEffect::Tell(TuEvent::Acked(Box::new(ack.clone())))),
            State::Proceeding { .. } | State::Confirmed { .. } | State::Ending(_) | State::Terminated => {}
        }
    }

    fn on_cancel(&mut self, now: Now, cancel: &Message, out: &mut Vec<TxEffect>) {
        if self.is_over() {
            return;
        }
        if let Some(known) = &mut self.cancel
            && !known.is_over()
        {
            known.on_request(out);
            return;
        }
        let mut transaction = Server::new(now, self.reliable, &self.timers);
        let mut inner = Vec::new();
        transaction.respond(now, &derived::ok_to_cancel(cancel, &self.tag, self.source), &mut inner);
        out.extend(inner.into_iter().filter(|effect| matches!(effect, TxEffect::Transmit(_))));
        let first = self.cancel.is_none();
        self.cancel = Some(Box::new(transaction));
        if first && self.is_open() {
            out.push(TxEffect::Tell(TuEvent::Cancelled));
        }
    }

    fn end_when_quiet(&mut self, out: &mut Vec<TxEffect>) {
        if let State::Ending(how) = self.state
            && self.cancel.as_ref().is_none_or(|cancel| cancel.is_over())
        {
            self.state = State::Terminated;
            out.push(TxEffect::Done(how));
        }
    }
}
