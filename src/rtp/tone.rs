//! Call progress tones as heard in China, and the beep that stands for a missing clip.
//!
//! 450 Hz: ring-back 1 s on, 4 s off; busy and congestion 350 ms on, 350 ms off (GB/T 3380, YD/T 729). A tone is a
//! function of its position in samples, so it needs no state. Deliberately absent: DTMF in the audio band.

use std::f64::consts::TAU;
use std::sync::LazyLock;

/// Samples per second.
const RATE: u64 = 8000;
/// Peak of a sine at −10 dBm0, where a full-scale A-law sine is +3.14 dBm0 (G.711).
const PEAK: f64 = 7217.0;
/// 160 samples hold exactly nine periods of 450 Hz.
static TONE_450: LazyLock<[i16; 160]> = LazyLock::new(|| sine(9));
/// 200 samples hold exactly eleven periods of 440 Hz.
static TONE_440: LazyLock<[i16; 200]> = LazyLock::new(|| sine(11));

/// Length of the beep that stands for a missing clip, samples: 300 ms.
pub const BEEP_LEN: u64 = 2400;

/// A tone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Tone {
    /// 450 Hz, 1 s on, 4 s off.
    RingBack,
    /// 450 Hz, 350 ms on, 350 ms off.
    Busy,
    /// 440 Hz, 300 ms once.
    Beep,
}

impl Tone {
    /// Fills `samples` with the tone from `position` (samples since its beginning) on.
    pub fn fill(self, position: u64, samples: &mut [i16]) {
        for (at, sample) in (position..).zip(samples) {
            *sample = self.sample(at);
        }
    }

    fn sample(self, at: u64) -> i16 {
        let (on, period) = match self {
            Self::RingBack => (RATE, 5 * RATE),
            Self::Busy => (2800, 5600),
            Self::Beep => (BEEP_LEN, u64::MAX),
        };
        if at % period >= on {
            return 0;
        }
        let table: &[i16] = match self {
            Self::RingBack | Self::Busy => &*TONE_450,
            Self::Beep => &*TONE_440,
        };
        let place = usize::try_from(at % table.len() as u64).unwrap_or(0);
        table.get(place).copied().unwrap_or(0)
    }
}

fn sine<const SIZE: usize>(periods: u32) -> [i16; SIZE] {
    std::array::from_fn(|at| {
        let phase = TAU * f64::from(periods) * at as f64 / SIZE as f64;
        (PEAK * phase.sin()).round() as i16
    })
}

/// Power of one frequency in a block, by Goertzel's recursion, as the peak of the equivalent sine. For tests and for
/// checking that a tone sent is the tone heard.
#[must_use]
pub fn level_of(samples: &[i16], hertz: f64) -> f64 {
    let turn = 2.0 * (TAU * hertz / RATE as f64).cos();
    let (one, two) = samples.iter().fold((0.0, 0.0), |(one, two), sample| (f64::from(*sample) + turn * one - two, one));
    let power: f64 = one * one + two * two - turn * one * two;
    2.0 * power.max(0.0).sqrt() / (samples.len().max(1) as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(tone: Tone, position: u64) -> [i16; 800] {
        let mut samples = [1; 800];
        tone.fill(position, &mut samples);
        samples
    }

    #[test]
    fn ring_back_is_one_second_in_five() {
        for second in 0..10 {
            let level = level_of(&block(Tone::RingBack, second * RATE), 450.0);
            assert_eq!(level > 7000.0, second % 5 == 0, "{second}: {level}");
        }
        assert_eq!(block(Tone::RingBack, RATE), [0; 800]);
    }

    #[test]
    fn busy_alternates_each_350_ms_and_a_beep_ends() {
        assert!(level_of(&block(Tone::Busy, 5600), 450.0) > 7000.0);
        assert_eq!(block(Tone::Busy, 2800), [0; 800]);
        assert!(level_of(&block(Tone::Beep, 0), 440.0) > 7000.0);
        assert_eq!(block(Tone::Beep, BEEP_LEN), [0; 800]);
    }

    #[test]
    fn the_level_of_a_pure_tone_is_its_peak_and_that_of_another_is_small() {
        let tone = block(Tone::RingBack, 0);
        assert!((level_of(&tone, 450.0) - PEAK).abs() < 20.0);
        assert!(level_of(&tone, 600.0) < 50.0);
        assert_eq!(level_of(&[], 450.0), 0.0);
    }
}
