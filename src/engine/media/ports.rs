//! Which port pair a leg gets: even for RTP, the next for RTCP; some kept for emergency calls; none reused at once.
//!
//! A pair given back waits five seconds and then at the end of the line, so a late packet or report of the last call
//! cannot reach the next (RFC 3550 §8.2 would let it be taken for a new source). Pure: binding is the worker's.

use std::collections::VecDeque;
use std::time::Duration;

use crate::base::now::Mono;
use crate::rtp::command::MediaClass;
use crate::rtp::sequence::scramble;

/// How long a pair rests after its use.
pub const GUARD: Duration = Duration::from_secs(5);

/// The pairs of one worker.
#[derive(Clone, Debug)]
pub struct PortPool {
    ready: VecDeque<u16>,
    resting: VecDeque<(Mono, u16)>,
    reserved: usize,
}

impl PortPool {
    /// Takes the pairs `share`, `share + of`, … of the range, so that several workers divide it. `reserved` pairs of
    /// this share are left for emergency calls.
    #[must_use]
    pub fn new(first: u16, last: u16, share: u16, of: u16, reserved: usize) -> Self {
        let even = first.saturating_add(first % 2);
        let pairs = (even..last).step_by(2).skip(usize::from(share)).step_by(usize::from(of.max(1)));
        Self { ready: pairs.collect(), resting: VecDeque::new(), reserved }
    }

    /// Puts the pairs into an order drawn from `seed`: a port that cannot be guessed is harder to send into (RFC 6056
    /// §3.1), and a block somebody else sits on is not met in one go.
    #[must_use]
    pub fn shuffled(mut self, seed: u64) -> Self {
        let mut bits = seed;
        for last in (1..self.ready.len()).rev() {
            bits = scramble(bits);
            let other = usize::try_from(bits % (last as u64 + 1)).unwrap_or(last);
            self.ready.swap(last, other);
        }
        self
    }

    /// Takes a pair, named by its even port.
    pub fn take(&mut self, now: Mono, class: MediaClass) -> Option<u16> {
        while let Some((since, port)) = self.resting.front().copied()
            && now.since(since) >= GUARD
        {
            self.resting.pop_front();
            self.ready.push_back(port);
        }
        let kept = match class {
            MediaClass::Ordinary => self.reserved,
            MediaClass::Emergency => 0,
        };
        if self.ready.len() > kept {
            return self.ready.pop_front();
        }
        // An emergency call would rather have a port too early than none.
        match class {
            MediaClass::Ordinary => None,
            MediaClass::Emergency => self.resting.pop_front().map(|(_, port)| port),
        }
    }

    /// Gives a pair back.
    pub fn give_back(&mut self, now: Mono, port: u16) {
        self.resting.push_back((now, port));
    }

    /// Pairs that are not in use.
    #[must_use]
    pub fn free(&self) -> usize {
        self.ready.len() + self.resting.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_are_even_and_divided_among_workers() {
        let mut one = PortPool::new(16_385, 16_400, 0, 2, 0);
        let mut two = PortPool::new(16_385, 16_400, 1, 2, 0);
        let all =
            |pool: &mut PortPool| std::iter::from_fn(|| pool.take(Mono(0), MediaClass::Ordinary)).collect::<Vec<_>>();
        assert_eq!(all(&mut one), [16_386, 16_390, 16_394, 16_398]);
        assert_eq!(all(&mut two), [16_388, 16_392, 16_396]);
    }

    #[test]
    fn shuffling_keeps_every_pair_and_draws_the_order_from_the_seed() {
        let all = |seed| PortPool::new(2000, 2999, 0, 1, 0).shuffled(seed).ready;
        let mut sorted: Vec<u16> = all(1).into();
        sorted.sort_unstable();
        assert_eq!(sorted, (2000..2999).step_by(2).collect::<Vec<_>>());
        assert!(all(1) == all(1) && all(1) != all(2) && all(1) != sorted);
    }

    #[test]
    fn the_last_port_of_the_range_is_the_partner_of_an_even_one() {
        let mut pool = PortPool::new(65_530, 65_535, 0, 1, 0);
        assert_eq!(
            [(); 4].map(|()| pool.take(Mono(0), MediaClass::Ordinary)),
            [Some(65_530), Some(65_532), Some(65_534), None]
        );
    }

    #[test]
    fn reserved_pairs_are_for_emergency_only() {
        let mut pool = PortPool::new(2000, 2007, 0, 1, 2);
        assert!(
            pool.take(Mono(0), MediaClass::Ordinary).is_some() && pool.take(Mono(0), MediaClass::Ordinary).is_some()
        );
        assert_eq!(pool.take(Mono(0), MediaClass::Ordinary), None);
        assert!(
            pool.take(Mono(0), MediaClass::Emergency).is_some() && pool.take(Mono(0), MediaClass::Emergency).is_some()
        );
        assert_eq!(pool.take(Mono(0), MediaClass::Emergency), None);
        pool.give_back(Mono(0), 2000);
        assert_eq!(pool.take(Mono(1), MediaClass::Emergency), Some(2000));
    }

    #[test]
    fn a_pair_rests_before_it_is_used_again() {
        let mut pool = PortPool::new(2000, 2003, 0, 1, 0);
        let first = pool.take(Mono(0), MediaClass::Ordinary).unwrap();
        pool.give_back(Mono(0), first);
        assert_eq!(pool.take(Mono(1), MediaClass::Ordinary), Some(2002));
        assert_eq!(pool.take(Mono(2), MediaClass::Ordinary), None);
        assert_eq!(pool.take(Mono(0) + GUARD, MediaClass::Ordinary), Some(first));
        assert_eq!(pool.free(), 0);
    }
}
