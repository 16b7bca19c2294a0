//! The four transactions of RFC 3261 §17, corrected by RFC 6026, as pure machines.
//!
//! Each machine takes `(now, input)` and pushes [`TxEffect`]s; its timers are deadlines shown by `deadline()`. A
//! machine sees only messages that [`key`] matched to it. State tables are data: `tests/tables/*.toml`, executed by
//! `tests/sip_tables.rs`.
//!
//! | machine | a request of | of method | beside RFC 3261 |
//! |---|---|---|---|
//! | [`client_invite::ClientInvite`] | ours | INVITE | Accepted and timer M (RFC 6026); owns the CANCEL it sends |
//! | [`client::Client`] | ours | all others | |
//! | [`server_invite::ServerInvite`] | theirs | INVITE | Accepted and timer L (RFC 6026); answers the CANCELs it gets |
//! | [`server::Server`] | theirs | all others | gives up unanswered at 64·T1 (RFC 4320 §4.2) |
//!
//! The 2xx to INVITE belongs to no transaction: [`accepted::Accepted2xx`] repeats ours until its ACK, the dialog keeps
//! our ACK for theirs.
//!
//! Deliberately absent: sockets, tables of transactions, and matching a message to a call (`switch`). `100 Trying` is
//! a response like any other: whoever creates the server transaction sends it at once.
//! Limits: a client INVITE that rings has no timer (RFC 3261 §17.1.1.2 gives it none); the call floor bounds ringing
//! with `cancel`, which is bounded by 64·T1 (§9.1).

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::base::now::Mono;
use crate::sip::message::Message;

pub mod accepted;
pub mod client;
pub mod client_invite;
mod derived;
pub mod key;
pub mod server;
pub mod server_invite;
pub mod timers;

/// A message ready to send: only its bytes, because a repetition needs nothing else.
#[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Wire(Bytes);

impl Wire {
    /// The bytes.
    #[must_use]
    pub const fn bytes(&self) -> &Bytes {
        &self.0
    }

    /// The message again, for who wants to look into it.
    #[must_use]
    pub fn message(&self) -> Message {
        Message::own(self.0.clone())
    }

    /// The bytes, taken out.
    #[must_use]
    pub fn into_bytes(self) -> Bytes {
        self.0
    }
}

impl From<&Message> for Wire {
    fn from(message: &Message) -> Self {
        Self(message.bytes().clone())
    }
}

/// Method or status and size: neither numbers nor credentials.
impl fmt::Debug for Wire {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut words = self.0.split(|byte| *byte == b' ');
        let first = words.next().unwrap_or_default();
        let word = if first.eq_ignore_ascii_case(b"SIP/2.0") { words.next().unwrap_or_default() } else { first };
        let shown = word.get(..word.len().min(16)).unwrap_or_default();
        write!(f, "Wire({}, {} octets)", shown.escape_ascii(), self.0.len())
    }
}

/// What a transaction wants done, in order.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum TxEffect {
    /// Sends this over the transaction's flow.
    Transmit(Wire),
    /// Tells the transaction user.
    Tell(TuEvent),
    /// The transaction is over; comes once and last.
    Done(TxEnd),
}

/// What a transaction tells its user.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum TuEvent {
    /// Client: a provisional, the first final, or any 2xx to INVITE (repeated and forked ones too).
    Response(Box<Message>),
    /// Client: a 2xx to an INVITE we cancelled; it needs ACK and then BYE (RFC 3261 §9.1).
    Crossed(Box<Message>),
    /// Client: nothing final came in time; counts as 408 (RFC 3261 §8.1.3.1).
    NoAnswer,
    /// The message could not be sent; for a client it counts as 503 (RFC 3261 §8.1.3.1).
    Unreachable,
    /// Server INVITE: a CANCEL came and was answered 200; answer the INVITE 487 (RFC 3261 §9.2).
    Cancelled,
    /// Server INVITE: the ACK of a 2xx came with the INVITE's own branch (RFC 6026 §7.1).
    Acked(Box<Message>),
    /// Server: the ACK never came (timer H, or 64·T1 of a 2xx: RFC 3261 §13.3.1.4 wants BYE), or the PRACK of a
    /// reliable 1xx (RFC 3262 §3 wants 5xx).
    AckMissing,
    /// Server: the user never answered a non-INVITE request (RFC 4320 §4.2).
    NeverAnswered,
}

/// How a transaction ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum TxEnd {
    /// As the RFC draws it.
    Completed,
    /// A timer gave up.
    TimedOut,
    /// The transport failed.
    Unreachable,
}

/// A repetition: when next, and after which interval that was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(super) struct Repeat {
    at: Mono,
    interval: Duration,
}

impl Repeat {
    pub(super) fn first(now: Mono, interval: Duration, reliable: bool) -> Option<Self> {
        (!reliable).then(|| Self { at: now + interval, interval })
    }

    /// Whether it is time. The next one counts from now: after a stall nothing is sent twice at once.
    pub(super) fn is_due(repeat: &mut Option<Self>, now: Mono, next: impl FnOnce(Duration) -> Duration) -> bool {
        match repeat {
            Some(due) if due.at <= now => {
                due.interval = next(due.interval);
                due.at = now + due.interval;
                true
            }
            _ => false,
        }
    }

    pub(super) fn deadline(repeat: Option<&Self>, until: Mono) -> Mono {
        repeat.map_or(until, |repeat| repeat.at.min(until))
    }
}

#[cfg(test)]
mod tests;
