//! How long a caller will probably wait: positions × mean handling time ÷ agents on.
//!
//! Simple and honest: no figure until a call of the queue has been handled, none while no agent is on, rounded up to
//! ten seconds, and never higher than what the same caller was told before unless somebody was put in front of him.
//! Deliberately absent: forecasting (`simulate`).

use std::time::Duration;

use crate::acd::words::Position;

/// Weight of the newest call in the running mean: 1/8, about the last dozen calls.
const SMOOTHING: u64 = 8;

/// What an estimate is rounded up to; people hear minutes, and equal figures need no message.
const GRAIN_S: u64 = 10;

/// The running mean of how long agents are busy with one call of a queue.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct MeanHandling {
    nanos: Option<u64>,
}

impl MeanHandling {
    /// Takes one handled call in: from the answer to the end of wrap-up.
    pub fn add(&mut self, busy: Duration) {
        let new = u64::try_from(busy.as_nanos()).unwrap_or(u64::MAX);
        self.nanos = Some(match self.nanos {
            None => new,
            Some(mean) if new >= mean => mean + (new - mean) / SMOOTHING,
            Some(mean) => mean - (mean - new) / SMOOTHING,
        });
    }

    /// The place to be told to a caller, given the place told last.
    #[must_use]
    pub fn position(self, ahead: u32, agents_on: u32, told: Option<Position>) -> Position {
        let fresh = self.wait_s(ahead, agents_on);
        let ceiling = told.filter(|told| ahead <= told.ahead).and_then(|told| told.ewt);
        let ewt = match (fresh, ceiling) {
            (Some(fresh), Some(ceiling)) => Some(fresh.min(ceiling)),
            (fresh, _) => fresh,
        };
        Position { ahead, ewt, agents_on }
    }

    fn wait_s(self, ahead: u32, agents_on: u32) -> Option<Duration> {
        let nanos = self.nanos?;
        if agents_on == 0 {
            return None;
        }
        let total = u128::from(nanos) * (u128::from(ahead) + 1) / u128::from(agents_on);
        let seconds = u64::try_from(total.div_ceil(1_000_000_000)).unwrap_or(u64::MAX / GRAIN_S);
        Some(Duration::from_secs(seconds.div_ceil(GRAIN_S).saturating_mul(GRAIN_S)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after_one_call_of(seconds: u64) -> MeanHandling {
        let mut mean = MeanHandling::default();
        mean.add(Duration::from_secs(seconds));
        mean
    }

    #[test]
    fn no_estimate_without_data_or_agents() {
        assert_eq!(MeanHandling::default().position(3, 5, None).ewt, None);
        assert_eq!(after_one_call_of(100).position(3, 0, None).ewt, None);
    }

    #[test]
    fn the_estimate_is_positions_times_mean_over_agents() {
        assert_eq!(after_one_call_of(100).position(3, 4, None).ewt, Some(Duration::from_secs(100)));
    }

    #[test]
    fn an_estimate_that_rises_is_told_only_to_who_was_overtaken() {
        let mut mean = after_one_call_of(100);
        let told = mean.position(3, 4, None);
        (0..20).for_each(|_| mean.add(Duration::from_secs(900)));
        assert_eq!(mean.position(3, 4, Some(told)).ewt, told.ewt);
        assert!(mean.position(4, 4, Some(told)).ewt > told.ewt);
    }
}
