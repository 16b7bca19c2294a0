//! An INVITE of ours: repeated until something answers, acknowledged when refused, cancelled on wish.
//!
//! RFC 3261 §17.1.1 with RFC 6026 §7.2 (Accepted), RFC 3261 §9.1 (CANCEL).
//!
//! | state | leaves by |
//! |---|---|
//! | Calling | 1xx → Proceeding; 2xx → Accepted; 300–699 → Completed; timer B, transport error → over |
//! | Proceeding | 2xx → Accepted; 300–699 → Completed; 64·T1 after CANCEL, transport error → over |
//! | Completed | timer D, transport error → over; repeated finals are acknowledged again |
//! | Accepted | timer M → over; every 2xx is told |
//!
//! A wish to cancel waits for the first provisional. The CANCEL's own transaction lives inside this one and is dropped
//! with the first final answer: repeating it has no purpose any more.
//!
//! Deliberately absent: the ACK of a 2xx (dialog), the choice of the next target, ringing limits (call).

use serde::{Deserialize, Serialize};

use super::client::Client;
use super::derived;
use super::timers::SipTimers;
use super::{Repeat, TuEvent, TxEffect, TxEnd, Wire};
use crate::base::now::{Mono, Now};
use crate::sip::header::reason::Reason;
use crate::sip::message::{Message, Method};

/// The client INVITE transaction.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ClientInvite {
    timers: SipTimers,
    reliable: bool,
    state: State,
    /// What the CANCEL says of its reason.
    reason: Option<Box<[u8]>>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
enum State {
    Calling { request: Box<Message>, repeat: Option<Repeat>, give_up: Mono, cancel_wished: bool },
    Proceeding { request: Box<Message>, cancel: Option<Box<Cancelling>> },
    Completed { ack: Wire, until: Mono },
    Accepted { crossed: bool, until: Mono },
    Terminated,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
struct Cancelling {
    transaction: Client,
    give_up: Mono,
}

impl ClientInvite {
    /// Sends the INVITE. `reliable` is the transport's word ([`crate::base::flow::Transport::is_reliable`]).
    pub fn start(now: Now, request: Message, reliable: bool, timers: &SipTimers, out: &mut Vec<TxEffect>) -> Self {
        out.push(TxEffect::Transmit(Wire::from(&request)));
        let state = State::Calling {
            request: Box::new(request),
            repeat: Repeat::first(now.mono, timers.t1, reliable),
            give_up: now.mono + timers.give_up(),
            cancel_wished: false,
        };
        Self { timers: *timers, reliable, state, reason: None }
    }

    /// Takes a response with this transaction's branch, to INVITE or to its CANCEL.
    pub fn on_response(&mut self, now: Now, response: &Message, out: &mut Vec<TxEffect>) {
        let Some(status) = response.status() else {
            return;
        };
        if *response.cseq_method() == Method::Cancel {
            self.on_cancel_response(now, response);
            return;
        }
        match &mut self.state {
            State::Calling { .. } | State::Proceeding { .. } => match status {
                100..200 => self.on_provisional(now, response, out),
                200..300 => self.on_success(now, response, out),
                _ => self.on_refusal(now, response, out),
            },
            State::Completed { ack, .. } if status >= 300 => out.push(TxEffect::Transmit(ack.clone())),
            State::Accepted { crossed, .. } if (200..300).contains(&status) => {
                out.push(TxEffect::Tell(success(*crossed, response)));
            }
            State::Completed { .. } | State::Accepted { .. } | State::Terminated => {}
        }
    }

    /// Gives the CANCEL a Reason, when one is still to be sent (RFC 3326 §3.1: a phone that rang elsewhere lists no
    /// missed call).
    pub fn cancel_because(&mut self, reason: &Reason) {
        self.reason = Some(reason.to_bytes().into_boxed_slice());
    }

    /// Wishes the INVITE cancelled: at once when something has answered, else with the first provisional. After a
    /// final answer it does nothing.
    pub fn cancel(&mut self, now: Now, out: &mut Vec<TxEffect>) {
        match &mut self.state {
            State::Calling { cancel_wished, .. } => *cancel_wished = true,
            State::Proceeding { cancel: Some(_), .. }
            | State::Completed { .. }
            | State::Accepted { .. }
            | State::Terminated => {}
            State::Proceeding { .. } => self.send_cancel(now, out),
        }
    }

    /// Acts on the timers that are due.
    pub fn on_deadline(&mut self, now: Now, out: &mut Vec<TxEffect>) {
        match &mut self.state {
            State::Calling { give_up, .. } if *give_up <= now.mono => self.give_up(out),
            State::Calling { request, repeat, .. } => {
                if Repeat::is_due(repeat, now.mono, |last| last.saturating_mul(2)) {
                    out.push(TxEffect::Transmit(Wire::from(request.as_ref())));
                }
            }
            State::Proceeding { cancel: Some(cancel), .. } if cancel.give_up <= now.mono => self.give_up(out),
            State::Proceeding { cancel: Some(cancel), .. } => {
                let mut inner = Vec::new();
                cancel.transaction.on_deadline(now, &mut inner);
                out.extend(inner.into_iter().filter(|effect| matches!(effect, TxEffect::Transmit(_))));
            }
            State::Completed { until, .. } | State::Accepted { until, .. } if *until <= now.mono => {
                self.end(TxEnd::Completed, out);
            }
            State::Proceeding { .. } | State::Completed { .. } | State::Accepted { .. } | State::Terminated => {}
        }
    }

    /// The transport could not send (RFC 3261 §17.1.4).
    pub fn on_transport_error(&mut self, out: &mut Vec<TxEffect>) {
        match self.state {
            State::Calling { .. } | State::Proceeding { .. } | State::Completed { .. } => {
                out.push(TxEffect::Tell(TuEvent::Unreachable));
                self.end(TxEnd::Unreachable, out);
            }
            State::Accepted { .. } | State::Terminated => {}
        }
    }

    /// The INVITE, as long as no final answer has come.
    #[must_use]
    pub fn request(&self) -> Option<&Message> {
        match &self.state {
            State::Calling { request, .. } | State::Proceeding { request, .. } => Some(request),
            State::Completed { .. } | State::Accepted { .. } | State::Terminated => None,
        }
    }

    /// The earliest timer.
    #[must_use]
    pub fn deadline(&self) -> Option<Mono> {
        match &self.state {
            State::Calling { repeat, give_up, .. } => Some(Repeat::deadline(repeat.as_ref(), *give_up)),
            State::Proceeding { cancel, .. } => cancel
                .as_ref()
                .map(|cancel| cancel.transaction.deadline().map_or(cancel.give_up, |at| at.min(cancel.give_up))),
            State::Completed { until, .. } | State::Accepted { until, .. } => Some(*until),
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
        matches!(self.state, State::Calling { .. } | State::Proceeding { .. })
    }

    /// The state's name in RFC 3261 figure 5, in lower case.
    #[must_use]
    pub const fn state_name(&self) -> &'static str {
        match self.state {
            State::Calling { .. } => "calling",
            State::Proceeding { .. } => "proceeding",
            State::Completed { .. } => "completed",
            State::Accepted { .. } => "accepted",
            State::Terminated => "terminated",
        }
    }

    fn on_provisional(&mut self, now: Now, response: &Message, out: &mut Vec<TxEffect>) {
        if let State::Calling { request, cancel_wished, .. } = &self.state {
            let wished = *cancel_wished;
            self.state = State::Proceeding { request: request.clone(), cancel: None };
            if wished {
                self.send_cancel(now, out);
            }
        }
        out.push(TxEffect::Tell(TuEvent::Response(Box::new(response.clone()))));
    }

    fn on_success(&mut self, now: Now, response: &Message, out: &mut Vec<TxEffect>) {
        let crossed = match &self.state {
            State::Calling { cancel_wished, .. } => *cancel_wished,
            State::Proceeding { cancel, .. } => cancel.is_some(),
            State::Completed { .. } | State::Accepted { .. } | State::Terminated => false,
        };
        self.state = State::Accepted { crossed, until: now.mono + self.timers.give_up() };
        out.push(TxEffect::Tell(success(crossed, response)));
    }

    fn on_refusal(&mut self, now: Now, response: &Message, out: &mut Vec<TxEffect>) {
        let (State::Calling { request, .. } | State::Proceeding { request, .. }) = &self.state else {
            return;
        };
        let ack = Wire::from(&derived::ack_of_refusal(request, response));
        out.push(TxEffect::Transmit(ack.clone()));
        out.push(TxEffect::Tell(TuEvent::Response(Box::new(response.clone()))));
        if self.reliable {
            self.end(TxEnd::Completed, out);
        } else {
            self.state = State::Completed { ack, until: now.mono + self.timers.timer_d(false) };
        }
    }

    fn on_cancel_response(&mut self, now: Now, response: &Message) {
        if let State::Proceeding { cancel: Some(cancel), .. } = &mut self.state {
            // Whatever it says, only the INVITE's own final answer counts; this just stops the repetition.
            cancel.transaction.on_response(now, response, &mut Vec::new());
        }
    }

    fn send_cancel(&mut self, now: Now, out: &mut Vec<TxEffect>) {
        let State::Proceeding { request, cancel } = &mut self.state else {
            return;
        };
        let message = derived::cancel_of(request, self.reason.as_deref());
        let transaction = Client::start(now, message, self.reliable, &self.timers, out);
        *cancel = Some(Box::new(Cancelling { transaction, give_up: now.mono + self.timers.give_up() }));
    }

    fn give_up(&mut self, out: &mut Vec<TxEffect>) {
        out.push(TxEffect::Tell(TuEvent::NoAnswer));
        self.end(TxEnd::TimedOut, out);
    }

    fn end(&mut self, how: TxEnd, out: &mut Vec<TxEffect>) {
        self.state = State::Terminated;
        out.push(TxEffect::Done(how));
    }
}

fn success(crossed: bool, response: &Message) -> TuEvent {
    let response = Box::new(response.clone());
    if crossed { TuEvent::Crossed(response) } else { TuEvent::Response(response) }
}
