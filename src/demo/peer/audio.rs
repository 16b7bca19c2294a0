//! A tone to say, and an ear that knows which tones it hears (Goertzel), both on A-law at 8 kHz.
//!
//! "Heard" means: the tone's frequency carries its share of the power of what arrived, in [`WINDOWS`] windows of
//! [`WINDOW`] samples one after the other. A count of packets says nothing here; neither do a prompt, music or the
//! party's own echo.

use std::collections::VecDeque;
use std::f64::consts::TAU;

use crate::rtp::g711::{alaw_to_linear, linear_to_alaw};

/// Samples a second.
pub const RATE: u32 = 8000;
/// Samples in a packet: 20 ms.
pub const FRAME: usize = 160;
/// Samples looked at together: 400 ms, so that a bin is 2.5 Hz wide.
pub const WINDOW: usize = 3200;
/// How many windows in a row must hold the tones: 1.6 s of talk.
pub const WINDOWS: u32 = 4;
/// How much of a window's power each expected tone must carry; of two equal tones each carries a half.
const SHARE: f64 = 0.2;
/// Below this mean square a window is silence (about −45 dBm0).
const FLOOR: f64 = 10_000.0;
/// The peak of a tone said: about −13 dBm0, low enough for a mix of three.
const PEAK: f64 = 7000.0;

/// A tone that goes on.
#[derive(Clone, Debug)]
pub struct Tone {
    phase: f64,
    step: f64,
}

impl Tone {
    /// A tone of so many hertz.
    #[must_use]
    pub fn new(hertz: f64) -> Self {
        Self { phase: 0.0, step: TAU * hertz / f64::from(RATE) }
    }

    /// The next 20 ms as A-law.
    pub fn frame(&mut self) -> [u8; FRAME] {
        std::array::from_fn(|_| {
            let sample = self.phase.sin() * PEAK;
            self.phase = (self.phase + self.step) % TAU;
            #[expect(clippy::cast_possible_truncation, reason = "a peak of 7000 is within 16 bits")]
            let sample = sample as i16;
            linear_to_alaw(sample)
        })
    }
}

/// What part of the power of `samples` lies at `hertz`, 0 to 1 (Goertzel's recurrence).
#[must_use]
pub fn share(samples: &[i16], hertz: f64) -> f64 {
    let total: f64 = samples.iter().map(|sample| f64::from(*sample).powi(2)).sum();
    if total <= 0.0 {
        return 0.0;
    }
    let omega = TAU * hertz / f64::from(RATE);
    let coefficient = 2.0 * omega.cos();
    let (mut one, mut two) = (0.0_f64, 0.0_f64);
    for sample in samples {
        let next = f64::from(*sample) + coefficient * one - two;
        two = one;
        one = next;
    }
    let power = one.mul_add(one, two * two) - coefficient * one * two;
    #[expect(clippy::cast_precision_loss, reason = "a window has thousands of samples, not 2^52")]
    let length = samples.len() as f64;
    (2.0 * power / (length * total)).min(1.0)
}

/// The last stretch of what was received.
#[derive(Clone, Debug, Default)]
pub struct Ear {
    recent: VecDeque<i16>,
}

impl Ear {
    /// Takes a packet's A-law.
    pub fn take(&mut self, payload: &[u8]) {
        self.recent.extend(payload.iter().map(|code| alaw_to_linear(*code)));
        let old = self.recent.len().saturating_sub(WINDOW);
        self.recent.drain(..old);
    }

    /// The last [`WINDOW`] samples, fewer at the start.
    #[must_use]
    pub fn window(&self) -> Vec<i16> {
        self.recent.iter().copied().collect()
    }
}

/// Which tones are to be heard, and what was heard last.
#[derive(Clone, Debug)]
pub struct Listening {
    wanted: Vec<f64>,
    unwanted: Vec<f64>,
    in_a_row: u32,
    last: String,
}

impl Listening {
    /// Listens for all of `wanted` and none of `unwanted`, in hertz.
    #[must_use]
    pub fn new(wanted: &[f64], unwanted: &[f64]) -> Self {
        let last = "nothing at all".to_owned();
        Self { wanted: wanted.to_vec(), unwanted: unwanted.to_vec(), in_a_row: 0, last }
    }

    /// Takes the next window; true once enough in a row held the tones.
    pub fn hears(&mut self, window: &[i16]) -> bool {
        let loud = mean_square(window) >= FLOOR;
        let found = |hertz: &f64| (*hertz, share(window, *hertz));
        let shares: Vec<_> = self.wanted.iter().map(found).collect();
        let foreign: Vec<_> = self.unwanted.iter().map(found).filter(|(_, share)| *share >= SHARE / 2.0).collect();
        let good = loud && foreign.is_empty() && shares.iter().all(|(_, share)| *share >= SHARE);
        self.in_a_row = if good { self.in_a_row + 1 } else { 0 };
        if !good {
            self.last = described(loud, &shares, &foreign);
        }
        self.in_a_row >= WINDOWS
    }

    /// What the last bad window held, in words.
    #[must_use]
    pub fn heard(&self) -> String {
        format!("wanted {}; heard {}", hertz_list(&self.wanted), self.last)
    }
}

fn hertz_list(tones: &[f64]) -> String {
    tones.iter().map(|hertz| format!("{hertz:.0} Hz")).collect::<Vec<_>>().join(" + ")
}

fn described(loud: bool, shares: &[(f64, f64)], foreign: &[(f64, f64)]) -> String {
    if !loud {
        return "silence".to_owned();
    }
    let parts = shares.iter().chain(foreign).map(|(hertz, share)| format!("{hertz:.0} Hz {:.0} %", share * 100.0));
    parts.collect::<Vec<_>>().join(", ")
}

fn mean_square(samples: &[i16]) -> f64 {
    if samples.is_empty() {
        return 0.0;
    }
    #[expect(clippy::cast_precision_loss, reason = "a window has thousands of samples, not 2^52")]
    let length = samples.len() as f64;
    samples.iter().map(|sample| f64::from(*sample).powi(2)).sum::<f64>() / length
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tone(hertz: f64, samples: usize) -> Vec<i16> {
        let mut tone = Tone::new(hertz);
        let mut said = Vec::new();
        while said.len() < samples {
            said.extend(tone.frame().iter().map(|code| alaw_to_linear(*code)));
        }
        said.truncate(samples);
        said
    }

    #[test]
    fn a_tone_carries_nearly_all_of_its_own_power_and_none_of_another() {
        let said = tone(400.0, WINDOW);
        assert!(share(&said, 400.0) > 0.95, "{}", share(&said, 400.0));
        for other in [380.0, 420.0, 800.0, 1200.0, 1600.0] {
            assert!(share(&said, other) < 0.02, "{other}: {}", share(&said, other));
        }
    }

    #[test]
    fn each_of_two_tones_carries_half() {
        let both: Vec<i16> = tone(400.0, WINDOW).iter().zip(tone(1600.0, WINDOW)).map(|(a, b)| a + b).collect();
        assert!((share(&both, 400.0) - 0.5).abs() < 0.05);
        assert!((share(&both, 1600.0) - 0.5).abs() < 0.05);
    }

    #[test]
    fn a_lost_packet_does_not_hide_a_tone_and_silence_never_is_one() {
        let mut said = tone(800.0, WINDOW + 160);
        said.drain(1000..1160);
        assert!(share(&said, 800.0) > SHARE);
        assert!(share(&[0; WINDOW], 800.0) < f64::EPSILON);
        assert!(share(&[], 800.0) < f64::EPSILON);
        assert!(!Listening::new(&[], &[]).hears(&[8; WINDOW]), "below the floor");
    }

    #[test]
    fn windows_must_follow_one_another() {
        let (good, bad) = (tone(400.0, WINDOW), tone(450.0, WINDOW));
        let mut listening = Listening::new(&[400.0], &[]);
        for _ in 1..WINDOWS {
            assert!(!listening.hears(&good));
        }
        assert!(!listening.hears(&bad));
        assert!(listening.heard().contains("400 Hz"), "{}", listening.heard());
        for _ in 1..WINDOWS {
            assert!(!listening.hears(&good));
        }
        assert!(listening.hears(&good));
    }

    #[test]
    fn a_tone_that_must_not_be_there_counts() {
        let both: Vec<i16> = tone(400.0, WINDOW).iter().zip(tone(800.0, WINDOW)).map(|(a, b)| a + b).collect();
        let mut listening = Listening::new(&[400.0], &[800.0]);
        for _ in 0..WINDOWS * 2 {
            assert!(!listening.hears(&both));
        }
    }
}
