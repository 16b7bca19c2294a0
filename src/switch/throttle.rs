//! Bounds what one address can make the switch answer without ever showing a password.
//!
//! Every request out of a dialog takes a token from its address's bucket and finds it empty or not; a proof gives back
//! what it cost. The buckets are a fixed array chosen by a keyed hash, so a flood from made-up addresses grows nothing
//! and nobody can choose whose bucket to empty; two addresses share one by chance (1 in 1,024). Deliberately absent:
//! trunks and registered phones (the caller exempts who is known by address), requests within dialogs, connections (`engine/net`).
//!
//! | limit | value |
//! |---|---|
//! | requests of one address at once | 4,000 |
//! | and per second after that | 400 |

use super::damping::Source;
use crate::base::now::{Mono, Now};

const SLOTS: usize = 1_024;
const BURST: u64 = 4_000;
const PER_SECOND: u64 = 400;
const NANOS: u64 = 1_000_000_000;

/// The buckets. A slot holds the moment at which its bucket is full again: one number says all.
#[derive(Debug)]
pub(super) struct Throttle {
    key: u64,
    full_at: Vec<Mono>,
}

impl Throttle {
    /// All full; `key` is secret.
    pub(super) fn new(key: u64) -> Self {
        Self { key, full_at: vec![Mono::ZERO; SLOTS] }
    }

    /// Takes a token; `false` when there is none.
    pub(super) fn admit(&mut self, now: Now, source: Source) -> bool {
        let Some(full_at) = self.slot(source) else { return true };
        let missing = u64::try_from(full_at.since(now.mono).as_nanos()).unwrap_or(u64::MAX);
        if missing > (BURST - 1) * NANOS / PER_SECOND {
            return false;
        }
        *full_at = Mono(now.mono.0.max(full_at.0) + NANOS / PER_SECOND);
        true
    }

    /// Gives tokens back.
    pub(super) fn refund(&mut self, source: Source, tokens: u64) {
        if let Some(full_at) = self.slot(source) {
            full_at.0 = full_at.0.saturating_sub(tokens * NANOS / PER_SECOND);
        }
    }

    fn slot(&mut self, source: Source) -> Option<&mut Mono> {
        let mixed = source.as_bytes().iter().fold(self.key, |mixed, byte| mix(mixed ^ u64::from(*byte)));
        self.full_at.get_mut(mixed as usize % SLOTS)
    }
}

/// The finaliser of SplitMix64.
const fn mix(mut bits: u64) -> u64 {
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn at(ms: u64) -> Now {
        Now { mono: Mono(NANOS), wall: jiff::Timestamp::UNIX_EPOCH }.after(Duration::from_millis(ms))
    }

    fn source(address: &str) -> Source {
        Source::of(address.parse().unwrap())
    }

    #[test]
    fn a_burst_then_a_rate_and_another_address_is_not_touched() {
        let mut throttle = Throttle::new(7);
        let flood = source("10.0.0.1");
        let admitted = (0..10_000).filter(|_| throttle.admit(at(0), flood)).count();
        assert_eq!(admitted, 4_000);
        let admitted = (0..10_000).filter(|nth| throttle.admit(at(nth / 10), flood)).count();
        assert_eq!(admitted, 399, "one second of 400, its last one not yet due");
        assert!(throttle.admit(at(1_000), source("10.0.0.2")));
        assert_eq!((0..10_000).filter(|_| throttle.admit(at(60_000), flood)).count(), 4_000, "full again");
    }

    #[test]
    fn who_proves_himself_pays_nothing() {
        let mut throttle = Throttle::new(7);
        let phones = source("10.0.0.1");
        for nth in 0..100_000 {
            assert!(throttle.admit(at(0), phones) && throttle.admit(at(0), phones), "{nth}");
            throttle.refund(phones, 2);
        }
        throttle.refund(phones, 1_000);
        let admitted = (0..10_000).filter(|_| throttle.admit(at(0), phones)).count();
        assert_eq!(admitted, 4_000, "nothing is saved up");
    }

    #[test]
    fn a_flood_from_made_up_addresses_grows_nothing() {
        let mut throttle = Throttle::new(7);
        for nth in 0..50_000_u32 {
            throttle.admit(at(0), Source::of(std::net::Ipv4Addr::from(nth).into()));
        }
        assert_eq!(throttle.full_at.len(), SLOTS);
    }
}
