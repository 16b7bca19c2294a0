//! Queue music made in code, so that nothing with somebody's rights in it is shipped.
//!
//! Thirty-two seconds of soft plucked notes over a slow pentatonic progression, looping without a seam; loudest about
//! −12 dBm0. Deterministic.

use std::f64::consts::TAU;

use crate::rtp::g711::linear_to_alaw;

const RATE: usize = 8000;
const BEATS: usize = 64;
/// Samples of a beat: half a second.
const BEAT: usize = RATE / 2;
/// Highest peak after scaling.
const PEAK: f64 = 7000.0;
/// Steps above A3 in semitones: one bar of eight beats per row (A minor, F, C, G without their clashing notes).
const MELODY: [[i8; 8]; 8] = [
    [0, 7, 12, 15, 12, 7, 10, 7],
    [-4, 3, 8, 12, 15, 12, 8, 3],
    [3, 7, 10, 15, 19, 15, 10, 7],
    [-2, 5, 10, 12, 17, 12, 10, 5],
    [0, 7, 12, 15, 19, 15, 12, 7],
    [-4, 3, 8, 15, 12, 8, 12, 8],
    [3, 10, 15, 19, 22, 19, 15, 10],
    [-2, 5, 10, 14, 12, 10, 5, 3],
];

/// The whole loop as A-law at 8 kHz.
#[must_use]
pub fn composed() -> Vec<u8> {
    let mut sound = vec![0.0_f64; BEATS * BEAT];
    for (bar, notes) in MELODY.iter().enumerate() {
        for (beat, note) in notes.iter().enumerate() {
            let start = (bar * notes.len() + beat) * BEAT;
            pluck(&mut sound, start, frequency(*note), 1.0);
            if beat % 4 == 0 {
                pluck(&mut sound, start, frequency(*note) / 2.0, 0.8);
            }
        }
    }
    let loudest = sound.iter().fold(1.0_f64, |loudest, sample| loudest.max(sample.abs()));
    sound.iter().map(|sample| linear_to_alaw((sample / loudest * PEAK) as i16)).collect()
}

fn frequency(semitones: i8) -> f64 {
    220.0 * 2.0_f64.powf(f64::from(semitones) / 12.0)
}

/// Adds a decaying note with two soft overtones; what rings past the end goes on at the beginning.
fn pluck(sound: &mut [f64], start: usize, hertz: f64, level: f64) {
    let length = sound.len();
    for at in 0..3 * RATE {
        let time = at as f64 / RATE as f64;
        let envelope = level * (time * 60.0).min(1.0) * (-2.2 * time).exp();
        let phase = TAU * hertz * time;
        let tone = phase.sin() + 0.3 * (2.0 * phase).sin() * (-2.0 * time).exp() + 0.1 * (3.0 * phase).sin();
        if let Some(sample) = sound.get_mut((start + at) % length) {
            *sample += envelope * tone;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rtp::g711::alaw_to_linear;

    #[test]
    fn the_loop_is_32_seconds_without_silence_clipping_or_a_seam() {
        let music = composed();
        assert_eq!(music.len(), 32 * RATE);
        let samples: Vec<i32> = music.iter().map(|code| i32::from(alaw_to_linear(*code))).collect();
        assert!(samples.iter().all(|sample| sample.abs() < 8000));
        assert!(samples.chunks(RATE / 4).all(|part| part.iter().any(|sample| sample.abs() > 500)));
        let steepest = samples.windows(2).map(|pair| (pair[1] - pair[0]).abs()).max().unwrap();
        assert!((samples[0] - samples[samples.len() - 1]).abs() <= steepest);
    }
}
