//! The one place where the media plane reads the machine's clocks.
//!
//! Deliberately absent: any other use of time; sessions get [`Mono`] as a value.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::base::now::Mono;

/// Seconds from 1900 to 1970, the offset of NTP time (RFC 5905 §6).
const NTP_OFFSET: u64 = 2_208_988_800;

/// Counts from the moment it was made.
#[derive(Clone, Copy, Debug)]
pub struct MediaClock {
    start: Instant,
    ntp_at_start: u64,
}

impl MediaClock {
    /// Starts counting.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "the media plane's one place that samples the clocks")]
    pub fn start() -> Self {
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self { start: Instant::now(), ntp_at_start: ntp_of(wall).wrapping_add(NTP_OFFSET << 32) }
    }

    /// The time since the start.
    #[must_use]
    pub fn now(&self) -> Mono {
        Mono::ZERO + self.start.elapsed()
    }

    /// NTP time (32.32 bits) of the start; that of any moment is this plus [`ntp_since_start`].
    #[must_use]
    pub const fn ntp_at_start(&self) -> u64 {
        self.ntp_at_start
    }
}

/// The NTP form of the time since the start.
#[must_use]
pub fn ntp_since_start(now: Mono) -> u64 {
    ntp_of(Duration::from_nanos(now.0))
}

fn ntp_of(span: Duration) -> u64 {
    let fraction = (u64::from(span.subsec_nanos()) << 32) / 1_000_000_000;
    span.as_secs() << 32 | fraction
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_a_second_is_half_of_32_bits() {
        assert_eq!(ntp_since_start(Mono(1_500_000_000)), 0x1_8000_0000);
    }
}
