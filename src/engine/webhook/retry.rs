//! What becomes of a delivery after an attempt: pure, so that the schedule is a table test.
//!
//! | answer | what follows |
//! |---|---|
//! | 2xx | done |
//! | 409, where the endpoint says so | done |
//! | 410 | the endpoint is parked, the event kept |
//! | 429, 502, 503, 504 | again; not before Retry-After (at most [`RETRY_AFTER_MAX`]) |
//! | 400, 413, 422 | again, dead after [`REFUSALS_MAX`] |
//! | anything else, redirects too, or none | again by the schedule |
//! | [`GIVE_UP_AFTER`] since the event became due | dead |

use std::time::Duration;

use jiff::Timestamp;
use sha2::{Digest, Sha256};

use crate::base::id::EventId;
use crate::engine::store::Disposition;

/// Waits after the first, second, … failed attempt; the last one repeats.
pub const SCHEDULE: [Duration; 9] = [
    Duration::from_secs(5),
    Duration::from_secs(30),
    Duration::from_secs(2 * 60),
    Duration::from_secs(5 * 60),
    Duration::from_secs(15 * 60),
    Duration::from_secs(30 * 60),
    Duration::from_secs(3600),
    Duration::from_secs(2 * 3600),
    Duration::from_secs(4 * 3600),
];
/// An event not delivered by then is a dead letter.
pub const GIVE_UP_AFTER: Duration = Duration::from_secs(72 * 3600);
/// Attempts at an event the receiver calls malformed.
pub const REFUSALS_MAX: u32 = 3;
/// The longest a receiver may put us off.
pub const RETRY_AFTER_MAX: Duration = Duration::from_secs(4 * 3600);
/// Jitter, parts of a thousand each way.
const JITTER: u64 = 200;

/// What an attempt met.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// An answer.
    Status {
        /// The HTTP status.
        status: u16,
        /// How long the receiver asks us to wait.
        retry_after: Option<Duration>,
    },
    /// None: not connected, reset, or too slow.
    NoAnswer,
}

impl Outcome {
    /// The status, when there was an answer.
    #[must_use]
    pub const fn status(&self) -> Option<u16> {
        match self {
            Self::Status { status, .. } => Some(*status),
            Self::NoAnswer => None,
        }
    }
}

/// The circumstances of an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// Attempts before this one.
    pub tries: u32,
    /// When the event first became due.
    pub first_at: Timestamp,
    /// Now.
    pub now: Timestamp,
    /// 0..1000, from [`jitter`].
    pub jitter: u64,
    /// Whether 409 means the receiver has the event already.
    pub conflict_is_done: bool,
}

/// What is to become of the delivery.
#[must_use]
pub fn next_attempt(outcome: &Outcome, attempt: &Attempt) -> Disposition {
    match *outcome {
        Outcome::Status { status: 200..=299, .. } => Disposition::Done,
        Outcome::Status { status: 409, .. } if attempt.conflict_is_done => Disposition::Done,
        Outcome::Status { status: 410, .. } => Disposition::Park,
        Outcome::Status { status: 400 | 413 | 422, .. } if attempt.tries + 1 >= REFUSALS_MAX => Disposition::Dead,
        Outcome::Status { status: 429 | 502 | 503 | 504, retry_after } => {
            attempt.again(retry_after.unwrap_or_default().min(RETRY_AFTER_MAX))
        }
        Outcome::Status { .. } | Outcome::NoAnswer => attempt.again(Duration::ZERO),
    }
}

impl Attempt {
    fn again(&self, at_least: Duration) -> Disposition {
        let last = SCHEDULE.len() - 1;
        let step = usize::try_from(self.tries).unwrap_or(last).min(last);
        let wait = SCHEDULE.get(step).copied().unwrap_or_default();
        let millis = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
        let wait = Duration::from_millis(millis * (1000 - JITTER + 2 * JITTER * self.jitter.min(1000) / 1000) / 1000);
        let later = |from: Timestamp, span: Duration| from.checked_add(span).unwrap_or(Timestamp::MAX);
        let at = later(self.now, wait.max(at_least));
        // The last attempt lies at the end of the term, not before it.
        let end = later(self.first_at, GIVE_UP_AFTER);
        if self.now >= end { Disposition::Dead } else { Disposition::Retry { at: at.min(end) } }
    }
}

/// A number in 0..1000 that differs from attempt to attempt and is the same in every run with the same seed.
#[must_use]
pub fn jitter(seed: u64, event: EventId, tries: u32) -> u64 {
    let mut hash = Sha256::new();
    hash.update(seed.to_be_bytes());
    hash.update(event.0.bits().to_be_bytes());
    hash.update(tries.to_be_bytes());
    hash.finalize().iter().take(4).fold(0, |bits, byte| bits << 8 | u64::from(*byte)) % 1001
}

/// Reads Retry-After, seconds or an HTTP date (RFC 9110 §10.2.3); a date in the past is no wait.
#[must_use]
pub fn retry_after(text: &str, now: Timestamp) -> Option<Duration> {
    let text = text.trim();
    if let Ok(seconds) = text.parse::<u64>() {
        return Some(Duration::from_secs(seconds));
    }
    let date = jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(text).ok()?;
    Some(Duration::try_from(date.duration_since(now)).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: u64 = 3600;

    fn attempt(tries: u32) -> Attempt {
        let first_at = "2026-11-21T02:00:00Z".parse().unwrap();
        Attempt { tries, first_at, now: first_at, jitter: 500, conflict_is_done: false }
    }

    fn wait(disposition: Disposition, from: Timestamp) -> u64 {
        match disposition {
            Disposition::Retry { at } => u64::try_from(at.duration_since(from).as_secs()).unwrap(),
            other => panic!("{other:?}"),
        }
    }

    fn status(status: u16, retry_after: Option<u64>) -> Outcome {
        Outcome::Status { status, retry_after: retry_after.map(Duration::from_secs) }
    }

    #[test]
    fn failures_follow_the_schedule_up_to_seventy_two_hours() {
        let expected = [5, 30, 120, 300, 900, 1800, HOUR, 2 * HOUR, 4 * HOUR, 4 * HOUR, 4 * HOUR];
        for (tries, seconds) in (0..).zip(expected) {
            for outcome in [Outcome::NoAnswer, status(500, None), status(302, None), status(404, None)] {
                let attempt = attempt(tries);
                assert_eq!(wait(next_attempt(&outcome, &attempt), attempt.now), seconds, "{tries} {outcome:?}");
            }
        }
        let mut now = attempt(0).now;
        let mut tries = 0;
        while let Disposition::Retry { at } = next_attempt(&Outcome::NoAnswer, &Attempt { now, ..attempt(tries) }) {
            (now, tries) = (at, tries + 1);
        }
        assert_eq!(now.duration_since(attempt(0).now).as_hours(), 72, "the last attempt closes the term");
        assert_eq!(tries, 26);
    }

    #[test]
    fn each_answer_has_its_consequence() {
        let at = attempt(0);
        let conflict = Attempt { conflict_is_done: true, ..at };
        assert_eq!(next_attempt(&status(200, None), &at), Disposition::Done);
        assert_eq!(next_attempt(&status(204, None), &at), Disposition::Done);
        assert_eq!(next_attempt(&status(409, None), &conflict), Disposition::Done);
        assert_eq!(wait(next_attempt(&status(409, None), &at), at.now), 5);
        assert_eq!(next_attempt(&status(410, None), &at), Disposition::Park);
        for refused in [400, 413, 422] {
            assert_eq!(wait(next_attempt(&status(refused, None), &attempt(1)), at.now), 30);
            assert_eq!(next_attempt(&status(refused, None), &attempt(2)), Disposition::Dead);
        }
    }

    #[test]
    fn retry_after_puts_off_but_never_hastens_and_is_capped() {
        let at = attempt(0);
        for busy in [429, 502, 503, 504] {
            assert_eq!(wait(next_attempt(&status(busy, Some(60)), &at), at.now), 60);
            assert_eq!(wait(next_attempt(&status(busy, Some(1)), &at), at.now), 5);
            assert_eq!(wait(next_attempt(&status(busy, Some(u64::MAX)), &at), at.now), 4 * HOUR);
        }
        assert_eq!(wait(next_attempt(&status(500, Some(60)), &at), at.now), 5, "500 is not asked");
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let now = "2015-10-21T07:27:00Z".parse().unwrap();
        for (text, seconds) in [
            ("120", Some(120)),
            (" 0 ", Some(0)),
            ("Wed, 21 Oct 2015 07:28:00 GMT", Some(60)),
            ("Wed, 21 Oct 2015 07:20:00 GMT", Some(0)),
            ("-5", None),
            ("soon", None),
            ("", None),
        ] {
            assert_eq!(retry_after(text, now), seconds.map(Duration::from_secs), "{text}");
        }
    }

    #[test]
    fn jitter_stays_within_a_fifth_and_repeats_with_its_seed() {
        let id = |n| EventId(crate::base::id::Ulid::from_bits(n));
        let waits: Vec<u64> = (0..500)
            .map(|n| {
                let at = Attempt { jitter: jitter(7, id(n), 4), ..attempt(4) };
                wait(next_attempt(&Outcome::NoAnswer, &at), at.now)
            })
            .collect();
        assert!(waits.iter().all(|wait| (720..=1080).contains(wait)), "900 s ± 20 %");
        assert!(waits.iter().any(|wait| *wait < 780) && waits.iter().any(|wait| *wait > 1020));
        assert_eq!(jitter(7, id(1), 4), jitter(7, id(1), 4));
    }
}
