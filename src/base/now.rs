//! Time as a value: the monotonic and the wall reading taken together, and deadlines with a reason.
//!
//! Deliberately absent: sampling. Only `engine/clock.rs` reads the machine's clocks; tests and `simulate` make
//! their own [`Now`].

use std::ops::{Add, Sub};
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// Monotonic time: nanoseconds since the engine (or the test world) began.
///
/// A value rather than an `Instant`, because virtual time, hashing and checkpoints need one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Mono(pub u64);

impl Mono {
    /// The moment the engine began.
    pub const ZERO: Self = Self(0);

    /// Time passed since `earlier`; zero when `earlier` lies in the future.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for Mono {
    type Output = Self;

    fn add(self, span: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)))
    }
}

impl Sub<Duration> for Mono {
    type Output = Self;

    fn sub(self, span: Duration) -> Self {
        Self(self.0.saturating_sub(u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)))
    }
}

/// One sample of both clocks, taken once per loop turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Now {
    /// For every duration and deadline.
    pub mono: Mono,
    /// For what people read and for calendar rules.
    pub wall: Timestamp,
}

impl Now {
    /// The sample that is `span` later on both clocks.
    #[must_use]
    pub fn after(self, span: Duration) -> Self {
        let wall = self.wall.checked_add(span).unwrap_or(Timestamp::MAX);
        Self { mono: self.mono + span, wall }
    }
}

/// Picks the earliest of several optional deadlines, keeping its reason.
pub fn earliest<R>(deadlines: impl IntoIterator<Item = Option<(Mono, R)>>) -> Option<(Mono, R)> {
    deadlines.into_iter().flatten().min_by_key(|(at, _)| *at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn earliest_keeps_the_reason_of_the_first_deadline() {
        let found = earliest([Some((Mono(5), "b")), None, Some((Mono(3), "a"))]);
        assert_eq!(found, Some((Mono(3), "a")));
    }

    #[test]
    fn since_never_wraps() {
        assert_eq!(Mono(3).since(Mono(5)), Duration::ZERO);
    }
}
