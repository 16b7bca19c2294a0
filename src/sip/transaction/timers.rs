//! The timer values of SIP transactions, all derived from T1, T2 and T4.
//!
//! Deliberately absent: running timers. Each machine holds its deadlines as fields and shows the earliest one.
//!
//! RFC 3261 §17.1.1.1 and its table 4; RFC 6026 §7.1 (timers L and M).
//!
//! | timer | value, unreliable | reliable | what it bounds |
//! |---|---|---|---|
//! | A | T1, doubling | none | INVITE is sent again |
//! | B | 64·T1 | 64·T1 | INVITE without any answer |
//! | D | max(32 s, 64·T1) | 0 | non-2xx answers are acknowledged again |
//! | E | T1, doubling to T2 | none | a request is sent again |
//! | F | 64·T1 | 64·T1 | a request without a final answer |
//! | G | T1, doubling to T2 | none | a non-2xx answer to INVITE is sent again |
//! | H | 64·T1 | 64·T1 | ACK does not come |
//! | I | T4 | 0 | repeated ACKs are absorbed |
//! | J | 64·T1 | 0 | repeated requests are answered again |
//! | K | T4 | 0 | repeated answers are absorbed |
//! | L | 64·T1 | 64·T1 | repeated INVITEs after a 2xx are absorbed |
//! | M | 64·T1 | 64·T1 | repeated and forked 2xx are passed on |

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// How many T1 a transaction waits before it gives up (RFC 3261 §17.1.1.2).
const GIVE_UP_T1: u32 = 64;
/// The least time a client absorbs repeated final answers to INVITE over UDP (RFC 3261 §17.1.1.2).
const TIMER_D_LEAST: Duration = Duration::from_secs(32);

/// The three values everything else follows from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct SipTimers {
    /// Round-trip estimate.
    pub t1: Duration,
    /// The longest interval between repetitions of non-INVITE requests and INVITE answers.
    pub t2: Duration,
    /// How long a message may stay in the network.
    pub t4: Duration,
}

impl Default for SipTimers {
    fn default() -> Self {
        Self { t1: Duration::from_millis(500), t2: Duration::from_secs(4), t4: Duration::from_secs(5) }
    }
}

impl SipTimers {
    /// 64·T1: timers B, F, H, L, M, J over UDP, and the limit on 2xx repetition (RFC 3261 §13.3.1.4).
    #[must_use]
    pub fn give_up(&self) -> Duration {
        self.t1.saturating_mul(GIVE_UP_T1)
    }

    /// Timer D.
    #[must_use]
    pub fn timer_d(&self, reliable: bool) -> Duration {
        if reliable { Duration::ZERO } else { self.give_up().max(TIMER_D_LEAST) }
    }

    /// Timer I (server INVITE) and timer K (client non-INVITE).
    #[must_use]
    pub const fn linger(&self, reliable: bool) -> Duration {
        if reliable { Duration::ZERO } else { self.t4 }
    }

    /// Timer J.
    #[must_use]
    pub fn timer_j(&self, reliable: bool) -> Duration {
        if reliable { Duration::ZERO } else { self.give_up() }
    }

    /// The next interval of timers E and G: doubled, at most T2.
    #[must_use]
    pub fn doubled(&self, interval: Duration) -> Duration {
        interval.saturating_mul(2).min(self.t2)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc3261_table_4_defaults() {
        let timers = SipTimers::default();
        assert_eq!(timers.give_up(), Duration::from_secs(32));
        assert_eq!(timers.timer_d(false), Duration::from_secs(32));
        assert_eq!(timers.timer_d(true), Duration::ZERO);
        assert_eq!(timers.linger(false), Duration::from_secs(5));
        assert_eq!(timers.timer_j(false), Duration::from_secs(32));
        assert_eq!(timers.doubled(Duration::from_secs(3)), Duration::from_secs(4));
    }

    #[test]
    fn timer_d_never_falls_below_32_seconds() {
        let quick = SipTimers { t1: Duration::from_millis(100), ..SipTimers::default() };
        assert_eq!(quick.timer_d(false), Duration::from_secs(32));
        assert_eq!(quick.give_up(), Duration::from_millis(6400));
    }
}
