//! Emits what happened, numbered without gaps, and holds what must not show before the first event is stored.
//!
//! | gate | enters on | leaves on |
//! |---|---|---|
//! | open | an emergency call; `Stored`; 200 ms | – |
//! | shut | any other call's start | `Stored(1)` or more, or 200 ms (then the call counts as unstored) |
//!
//! Deliberately absent: storing.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::base::now::Mono;

/// How long showing waits for the store (`contract.md` §5).
pub const BARRIER: Duration = Duration::from_millis(200);

/// Whether anything may show yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Gate {
    /// Yes.
    Open {
        /// Whether it went on without the store.
        unstored: bool,
    },
    /// Not before this event is stored or this moment comes.
    Shut {
        /// The event that must be stored.
        seq: u64,
        /// When the call goes on anyway.
        until: Mono,
    },
}

impl Gate {
    pub(super) const fn is_open(self) -> bool {
        matches!(self, Self::Open { .. })
    }

    /// Opens when the event it waits for is stored; whether it opened just now.
    pub(super) const fn stored(&mut self, stored: u64) -> bool {
        match *self {
            Self::Shut { seq, .. } if stored >= seq => {
                *self = Self::Open { unstored: false };
                true
            }
            Self::Shut { .. } | Self::Open { .. } => false,
        }
    }

    /// Opens when the time is over; whether it opened just now.
    pub(super) fn expire(&mut self, now: Mono) -> bool {
        match *self {
            Self::Shut { until, .. } if until <= now => {
                *self = Self::Open { unstored: true };
                true
            }
            Self::Shut { .. } | Self::Open { .. } => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_gate_opens_once_by_the_store_or_by_time() {
        let shut = Gate::Shut { seq: 1, until: Mono::ZERO + BARRIER };
        let mut gate = shut;
        assert!(!gate.stored(0));
        assert!(gate.stored(2));
        assert_eq!(gate, Gate::Open { unstored: false });
        assert!(!gate.expire(Mono(u64::MAX)));
        let mut gate = shut;
        assert!(!gate.expire(Mono::ZERO + BARRIER - Duration::from_nanos(1)));
        assert!(gate.expire(Mono::ZERO + BARRIER));
        assert_eq!(gate, Gate::Open { unstored: true });
    }
}
