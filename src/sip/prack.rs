//! Provisional answers made reliable: who has to acknowledge what.
//!
//! RFC 3262. [`Acknowledging`] is our side as caller, one per early dialog: it says which 1xx needs a PRACK.
//! [`Reliable`] is our side as callee, one per INVITE: it numbers a 1xx and repeats it until its PRACK.
//!
//! | callee state | leaves by |
//! |---|---|
//! | free | [`Reliable::send`] → waiting |
//! | waiting | its PRACK → free; 64·T1 → free, and the user refuses the INVITE with 5xx (§3); repeats at T1, doubling |
//!
//! Deliberately absent: the PRACK's own transactions, bodies ([`super::offer_answer`]), and deciding whether 100rel is
//! used. A final answer may overtake a PRACK ([`Reliable::stop`]), unless the 1xx carried an offer or answer that is
//! still unacknowledged (§3); [`Reliable::is_waiting`] tells.
//! Limits: one unacknowledged 1xx at a time, as §3 asks for the first and allows for all.

use serde::{Deserialize, Serialize};

use super::header::cseq::CSeq;
use super::header::reliable::{RAck, parse_rseq};
use super::message::{Message, Method, Name};
use super::print::Draft;
use super::transaction::timers::SipTimers;
use super::transaction::{Repeat, TuEvent, TxEffect, Wire};
use crate::base::now::{Mono, Now};

/// The option tag.
pub const OPTION_TAG: &str = "100rel";

/// What a 1xx asks of us as caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Provisional {
    /// Nothing: it is not reliable.
    Plain,
    /// A PRACK with this RAck.
    Acknowledge(RAck),
    /// Nothing: it is a repetition, or came before its turn and will be repeated; it is not to be acted on.
    Ignore,
}

/// Which reliable 1xx of one early dialog have come.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Acknowledging {
    last: Option<u32>,
}

impl Acknowledging {
    /// None has come.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes a 1xx of the dialog (RFC 3262 §4).
    pub fn on_provisional(&mut self, response: &Message) -> Provisional {
        let rseq = response.header(Name::RSeq).and_then(|value| parse_rseq(value).ok());
        let reliable = response.has_token(Name::Require, OPTION_TAG);
        let Some(rseq) = rseq.filter(|_| reliable && response.status().is_some_and(|s| (101..200).contains(&s))) else {
            return Provisional::Plain;
        };
        if self.last.is_some_and(|last| rseq != last.wrapping_add(1)) {
            return Provisional::Ignore;
        }
        self.last = Some(rseq);
        Provisional::Acknowledge(RAck { rseq, cseq: response.cseq().clone() })
    }
}

/// Our reliable 1xx to one INVITE.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Reliable {
    next: u32,
    waiting: Option<Waiting>,
    /// What a final answer overtook: its PRACK may still come.
    overtaken: Option<RAck>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
struct Waiting {
    rack: RAck,
    response: Wire,
    repeat: Option<Repeat>,
    give_up: Mono,
}

impl Reliable {
    /// Numbers from a value that `seed` decides (RFC 3262 §3 wants any below 2^31).
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self { next: (seed % 0x7fff_fffe) as u32 + 1, waiting: None, overtaken: None }
    }

    /// Makes the 1xx to INVITE number `cseq` reliable, to be sent by the server transaction; `None` while another
    /// waits for its PRACK.
    pub fn send(&mut self, now: Now, draft: Draft, cseq: u32, timers: &SipTimers) -> Option<Message> {
        if self.waiting.is_some() {
            return None;
        }
        let rseq = self.next;
        self.next = rseq.checked_add(1).unwrap_or(1);
        let message = draft.header(Name::Require, OPTION_TAG).header(Name::RSeq, rseq.to_string()).finish();
        self.waiting = Some(Waiting {
            rack: RAck { rseq, cseq: CSeq::new(cseq, Method::Invite) },
            response: Wire::from(&message),
            repeat: Repeat::first(now.mono, timers.t1, false),
            give_up: now.mono + timers.give_up(),
        });
        Some(message)
    }

    /// Takes a PRACK; `false` means that it acknowledges nothing we wait for and is answered 481 (RFC 3262 §3).
    pub fn on_prack(&mut self, prack: &Message) -> bool {
        let rack = prack.header(Name::RAck).and_then(|value| RAck::parse(value).ok());
        let known = self.waiting.as_ref().map(|waiting| &waiting.rack).or(self.overtaken.as_ref());
        let matches = rack.is_some() && rack.as_ref() == known;
        if matches {
            self.waiting = None;
            self.overtaken = None;
        }
        matches
    }

    /// Repeats the 1xx or gives up: [`TuEvent::AckMissing`], and the INVITE is refused with 5xx.
    pub fn on_deadline(&mut self, now: Now, out: &mut Vec<TxEffect>) {
        let Some(waiting) = &mut self.waiting else {
            return;
        };
        if waiting.give_up <= now.mono {
            self.waiting = None;
            out.push(TxEffect::Tell(TuEvent::AckMissing));
        } else if Repeat::is_due(&mut waiting.repeat, now.mono, |last| last.saturating_mul(2)) {
            out.push(TxEffect::Transmit(waiting.response.clone()));
        }
    }

    /// A final answer is sent: nothing is repeated any more. A PRACK that still comes is taken (RFC 3262 §3).
    pub fn stop(&mut self) {
        if let Some(waiting) = self.waiting.take() {
            self.overtaken = Some(waiting.rack);
        }
    }

    /// The next repetition or the giving up.
    #[must_use]
    pub fn deadline(&self) -> Option<Mono> {
        self.waiting.as_ref().map(|waiting| Repeat::deadline(waiting.repeat.as_ref(), waiting.give_up))
    }

    /// Whether a 1xx waits for its PRACK.
    #[must_use]
    pub const fn is_waiting(&self) -> bool {
        self.waiting.is_some()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use bytes::Bytes;

    use super::*;

    fn at(ms: u64) -> Now {
        Now { mono: Mono::ZERO, wall: jiff::Timestamp::UNIX_EPOCH }.after(Duration::from_millis(ms))
    }

    fn request(method: &str, extra: &str) -> Message {
        let text = format!(
            "{method} sip:a@x SIP/2.0\r\nVia: SIP/2.0/UDP h;branch=z9hG4bKa\r\nFrom: <sip:b@y>;tag=f\r\n\
             To: <sip:a@x>\r\nCall-ID: c\r\nCSeq: 5 {method}\r\n{extra}Content-Length: 0\r\n\r\n"
        );
        Message::datagram(Bytes::from(text)).unwrap()
    }

    fn provisional(status: u16, rseq: Option<u32>) -> Message {
        let draft = Draft::response(&request("INVITE", ""), status, None);
        match rseq {
            Some(rseq) => draft.header(Name::Require, "100rel").header(Name::RSeq, rseq.to_string()).finish(),
            None => draft.finish(),
        }
    }

    fn prack(rack: &str) -> Message {
        request("PRACK", &format!("RAck: {rack}\r\n"))
    }

    #[test]
    fn rfc3262_s4_each_reliable_1xx_is_acknowledged_once_and_in_order() {
        let mut caller = Acknowledging::new();
        assert_eq!(caller.on_provisional(&provisional(180, None)), Provisional::Plain);
        assert_eq!(caller.on_provisional(&provisional(100, Some(8))), Provisional::Plain);
        let expected = RAck { rseq: 9, cseq: CSeq::new(5, Method::Invite) };
        assert_eq!(caller.on_provisional(&provisional(183, Some(9))), Provisional::Acknowledge(expected.clone()));
        assert_eq!(expected.to_string(), "9 5 INVITE");
        assert_eq!(caller.on_provisional(&provisional(183, Some(9))), Provisional::Ignore);
        assert_eq!(caller.on_provisional(&provisional(180, Some(11))), Provisional::Ignore, "10 is missing");
        assert!(matches!(caller.on_provisional(&provisional(180, Some(10))), Provisional::Acknowledge(_)));
        assert!(matches!(caller.on_provisional(&provisional(180, Some(11))), Provisional::Acknowledge(_)));
    }

    #[test]
    fn rfc3262_s3_a_reliable_1xx_is_repeated_doubling_until_its_prack() {
        let timers = SipTimers::default();
        let mut callee = Reliable::new(41);
        let draft = || Draft::response(&request("INVITE", ""), 183, None).to_tag(b"t");
        let sent = callee.send(at(0), draft(), 5, &timers).unwrap();
        assert_eq!((sent.header(Name::RSeq), sent.header(Name::Require)), (Some(&b"42"[..]), Some(&b"100rel"[..])));
        assert!(callee.send(at(0), draft(), 5, &timers).is_none(), "one at a time");
        let mut out = Vec::new();
        let mut times = Vec::new();
        for _ in 0..4 {
            let mono = callee.deadline().unwrap();
            callee.on_deadline(Now { mono, ..at(0) }, &mut out);
            times.push(mono.since(Mono::ZERO).as_millis());
        }
        assert_eq!(times, [500, 1500, 3500, 7500]);
        assert_eq!(out, vec![TxEffect::Transmit(Wire::from(&sent)); 4]);
        for other in ["41 5 INVITE", "42 4 INVITE", "42 5 UPDATE", "x"] {
            assert!(!callee.on_prack(&prack(other)), "{other}");
        }
        assert!(callee.on_prack(&prack("42 5 INVITE")));
        assert!(!callee.on_prack(&prack("42 5 INVITE")), "481 for a second one");
        callee.stop();
        assert!(!callee.on_prack(&prack("42 5 INVITE")));
        assert_eq!(callee.deadline(), None);
        let next = callee.send(at(9000), draft(), 5, &timers).unwrap();
        assert_eq!(next.header(Name::RSeq), Some(&b"43"[..]));
    }

    #[test]
    fn rfc3262_s3_without_prack_it_gives_up_at_64_t1() {
        let mut callee = Reliable::new(u64::MAX);
        callee.send(at(0), Draft::response(&request("INVITE", ""), 180, None), 5, &SipTimers::default()).unwrap();
        let mut out = Vec::new();
        callee.on_deadline(at(32_000), &mut out);
        assert_eq!(out, [TxEffect::Tell(TuEvent::AckMissing)]);
        assert!(!callee.is_waiting());
    }
}
