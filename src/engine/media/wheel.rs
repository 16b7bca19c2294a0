//! A timer wheel of 1 ms slots that wakes sessions on an absolute 20 ms grid.
//!
//! Every session sits in exactly one slot. A session that speaks is due each 20 ms from a phase of its own (so 1,000
//! listeners of music do not burst in one millisecond), a quiet one each 500 ms for its upkeep. A due time is never
//! computed from "now" but from the last due time, so lateness does not add up. Pure: time comes in.
//!
//! Limits: nothing is planned more than 1,023 ms ahead.

use crate::base::now::Mono;

const SLOTS: usize = 1024;
const WORDS: usize = SLOTS / 64;
const NANOS_PER_MS: u64 = 1_000_000;

/// One planned wake-up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wake {
    /// Which session (the worker's own index).
    pub session: usize,
    /// The planned time, ms since the start.
    pub due_ms: u64,
}

/// The wheel.
#[derive(Clone, Debug)]
pub struct Wheel {
    slots: Vec<Vec<Wake>>,
    used: [u64; WORDS],
    /// Every slot before this time is empty.
    cursor_ms: u64,
    load: [u32; 20],
}

impl Wheel {
    /// An empty wheel that begins at `now`.
    #[must_use]
    pub fn new(now: Mono) -> Self {
        Self { slots: vec![Vec::new(); SLOTS], used: [0; WORDS], cursor_ms: now.0 / NANOS_PER_MS, load: [0; 20] }
    }

    /// The least loaded phase of the 20 ms grid, for a new session.
    pub fn choose_phase(&mut self) -> u8 {
        let (phase, load) = (0_u8..).zip(self.load.iter_mut()).min_by_key(|(_, load)| **load).unzip();
        if let Some(load) = load {
            *load += 1;
        }
        phase.unwrap_or(0)
    }

    /// Frees the place of a session in its phase.
    pub fn leave_phase(&mut self, phase: u8) {
        if let Some(load) = self.load.get_mut(usize::from(phase)) {
            *load = load.saturating_sub(1);
        }
    }

    /// The first time on the grid of `phase` that is later than `now`, ms.
    #[must_use]
    pub const fn next_on_grid(now: Mono, phase: u8) -> u64 {
        let next = now.0 / NANOS_PER_MS + 1;
        next + (phase as u64 + 20 - next % 20) % 20
    }

    /// Plans a wake-up; a time already passed is due at once, one beyond the horizon at the horizon.
    pub fn plan(&mut self, wake: Wake) {
        let at = wake.due_ms.clamp(self.cursor_ms, self.cursor_ms + SLOTS as u64 - 1) as usize % SLOTS;
        if let (Some(slot), Some(word)) = (self.slots.get_mut(at), self.used.get_mut(at / 64)) {
            slot.push(wake);
            *word |= 1 << (at % 64);
        }
    }

    /// Moves everything due by `now` into `due`, in order of time.
    pub fn advance(&mut self, now: Mono, due: &mut Vec<Wake>) {
        let now_ms = now.0 / NANOS_PER_MS;
        while let Some(at_ms) = self.next_ms().filter(|at_ms| *at_ms <= now_ms) {
            let at = at_ms as usize % SLOTS;
            if let (Some(slot), Some(word)) = (self.slots.get_mut(at), self.used.get_mut(at / 64)) {
                due.append(slot);
                *word &= !(1 << (at % 64));
            }
            self.cursor_ms = at_ms;
        }
        self.cursor_ms = self.cursor_ms.max(now_ms);
    }

    /// When the next wake-up is due, ms since the start.
    #[must_use]
    pub fn next_ms(&self) -> Option<u64> {
        let start = self.cursor_ms as usize % SLOTS;
        let word_at = |at: usize| self.used.get(at % WORDS).copied().unwrap_or(0);
        let first = word_at(start / 64) & (u64::MAX << (start % 64));
        if first != 0 {
            return Some(self.cursor_ms + (first.trailing_zeros() as usize - start % 64) as u64);
        }
        (1..=WORDS).find_map(|ahead| {
            let word = word_at(start / 64 + ahead);
            let place = ahead * 64 + word.trailing_zeros() as usize;
            (word != 0 && place >= start % 64).then(|| self.cursor_ms + (place - start % 64) as u64)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(at: u64) -> Mono {
        Mono(at * NANOS_PER_MS)
    }

    #[test]
    fn wakes_come_in_order_and_not_early() {
        let mut wheel = Wheel::new(ms(990));
        for (session, due_ms) in [(1, 1500), (2, 995), (3, 995), (4, 2012), (5, 1020)] {
            wheel.plan(Wake { session, due_ms });
        }
        let mut due = Vec::new();
        wheel.advance(ms(994), &mut due);
        assert!(due.is_empty() && wheel.next_ms() == Some(995));
        wheel.advance(ms(1020), &mut due);
        assert_eq!(due.iter().map(|wake| wake.session).collect::<Vec<_>>(), [2, 3, 5]);
        wheel.advance(ms(5000), &mut due);
        assert_eq!(due.iter().map(|wake| wake.session).collect::<Vec<_>>(), [2, 3, 5, 1, 4]);
        assert_eq!(wheel.next_ms(), None);
    }

    #[test]
    fn the_past_is_due_at_once_and_the_far_future_at_the_horizon() {
        let mut wheel = Wheel::new(ms(5000));
        wheel.plan(Wake { session: 1, due_ms: 7 });
        wheel.plan(Wake { session: 2, due_ms: 999_999 });
        assert_eq!(wheel.next_ms(), Some(5000));
        let mut due = Vec::new();
        wheel.advance(ms(5000), &mut due);
        assert_eq!((due.len(), wheel.next_ms()), (1, Some(6023)));
    }

    #[test]
    fn the_grid_is_absolute_and_phases_are_spread() {
        assert_eq!(Wheel::next_on_grid(ms(100), 0), 120);
        assert_eq!(Wheel::next_on_grid(ms(119), 0), 120);
        assert_eq!(Wheel::next_on_grid(ms(120), 0), 140);
        assert_eq!(Wheel::next_on_grid(ms(100), 19), 119);
        let mut wheel = Wheel::new(ms(0));
        let mut phases: Vec<u8> = (0..20).map(|_| wheel.choose_phase()).collect();
        phases.sort_unstable();
        assert_eq!(phases, (0..20).collect::<Vec<_>>());
        wheel.leave_phase(7);
        assert_eq!(wheel.choose_phase(), 7);
    }

    proptest::proptest! {
        #[test]
        fn every_wake_comes_once_and_when_due(plans in proptest::collection::vec((0_u64..1000, 1_u64..50), 1..80)) {
            let mut wheel = Wheel::new(ms(0));
            let (mut now, mut due, mut planned) = (0, Vec::new(), 0);
            for (session, (ahead, step)) in plans.into_iter().enumerate() {
                wheel.plan(Wake { session, due_ms: now + ahead });
                planned += 1;
                now += step;
                let before = due.len();
                wheel.advance(ms(now), &mut due);
                proptest::prop_assert!(due[before..].iter().all(|wake: &Wake| wake.due_ms <= now && wake.due_ms + step > now - step));
            }
            wheel.advance(ms(now + 2000), &mut due);
            proptest::prop_assert_eq!(due.len(), planned);
        }
    }
}
