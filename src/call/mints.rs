//! The names a call gives: legs, joins, lookups, playings, attempts, transfers.
//!
//! | name | bound |
//! |---|---|
//! | leg | [`LAST_LEG`]; never given twice, because tickets and tokens name it; then the call makes no more legs |
//! | attempt | begins anew after 65,535, past those still under way |
//! | transfer | begins anew at 1 after 65,535 (0 is the citizen's own talk) |
//! | join, lookup, playing | begin anew when used up; nothing that old is under way any more |
//!
//! Deliberately absent: names of legs that begin outside the call ([`FIRST_CONSULT`], given by the switch).

use serde::{Deserialize, Serialize};

use crate::base::id::{JoinId, LegId, LookupId};
use crate::call::attempt::AttemptId;
use crate::call::control::Control;
use crate::call::words::FIRST_CONSULT;
use crate::rtp::command::PlayToken;

/// The last leg a call names itself.
pub(super) const LAST_LEG: u16 = FIRST_CONSULT.0 - 1;

/// Counters the names are taken from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(super) struct Mints {
    leg: u16,
    join: u16,
    lookup: u32,
    play: u32,
    attempt: u16,
    transfer: u16,
}

impl Mints {
    fn leg(&mut self) -> Option<LegId> {
        if self.leg >= LAST_LEG {
            return None;
        }
        self.leg = self.leg.saturating_add(1);
        Some(LegId(self.leg))
    }

    const fn join(&mut self) -> u16 {
        let nth = self.join;
        self.join = nth.wrapping_add(1);
        nth
    }

    const fn lookup(&mut self) -> LookupId {
        self.lookup = self.lookup.wrapping_add(1);
        LookupId(self.lookup)
    }

    const fn play(&mut self) -> PlayToken {
        self.play = self.play.wrapping_add(1);
        PlayToken(self.play)
    }

    const fn attempt(&mut self) -> AttemptId {
        self.attempt = self.attempt.wrapping_add(1);
        AttemptId(self.attempt)
    }

    fn transfer(&mut self) -> u16 {
        self.transfer = self.transfer.checked_add(1).unwrap_or(1);
        self.transfer
    }
}

impl Control {
    /// The next leg's name; `None` when the call has used them all up.
    pub(super) fn mint_leg(&mut self) -> Option<LegId> {
        self.mints.leg()
    }

    /// How many legs the call has named.
    pub(super) const fn legs_named(&self) -> u16 {
        self.mints.leg
    }

    pub(super) const fn mint_join(&mut self) -> JoinId {
        JoinId { call: self.identity.call, nth: self.mints.join() }
    }

    pub(super) const fn mint_lookup(&mut self) -> LookupId {
        self.mints.lookup()
    }

    pub(super) const fn mint_play(&mut self) -> PlayToken {
        self.mints.play()
    }

    pub(super) fn mint_attempt(&mut self) -> AttemptId {
        loop {
            let id = self.mints.attempt();
            if self.attempts.iter().all(|attempt| attempt.id != id) {
                return id;
            }
        }
    }

    pub(super) fn mint_transfer(&mut self) -> u16 {
        self.mints.transfer()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn legs_are_named_once_each_and_never_like_those_of_the_switch() {
        let mut mints = Mints::default();
        let named = (0..70_000).map_while(|_| mints.leg()).collect::<Vec<_>>();
        assert_eq!(named.len(), usize::from(LAST_LEG));
        assert!(named.is_sorted() && named.first() == Some(&LegId(1)) && named.last() < Some(&FIRST_CONSULT));
        assert_eq!(mints.leg(), None, "and it stays so");
    }

    #[test]
    fn the_other_names_begin_anew_and_no_transfer_is_the_citizens_talk() {
        let mut mints = Mints { lookup: u32::MAX - 10, play: u32::MAX - 10, ..Mints::default() };
        for _ in 0..70_000 {
            assert_ne!(mints.transfer(), 0);
            mints.join();
            mints.lookup();
            mints.play();
            mints.attempt();
        }
    }
}
