//! WAV files to A-law frames at 8 kHz.
//!
//! RIFF/WAVE with PCM of 8 or 16 bits, A-law or µ-law, one or two channels (two are averaged), 8 to 48 kHz; other
//! rates than 8 kHz pass a windowed-sinc low-pass at load, never while playing. Deliberately absent: compressed
//! formats, 24-bit and floating-point samples (said by name in the fault), files (bytes come in).
//!
//! Limits: 10 minutes of sound.

use super::g711::{alaw_to_linear, linear_to_alaw, ulaw_to_linear};

/// Longest clip, samples at 8 kHz: 10 minutes.
const SAMPLES_MAX: usize = 8000 * 600;
/// The rate everything is brought to.
const RATE: u32 = 8000;
/// Zero crossings of the low-pass on each side.
const CROSSINGS: f64 = 16.0;
/// Cut-off as a part of the lower Nyquist frequency.
const CUTOFF: f64 = 0.92;

const TAG_PCM: u16 = 1;
const TAG_ALAW: u16 = 6;
const TAG_ULAW: u16 = 7;
const TAG_EXTENSIBLE: u16 = 0xfffe;

/// Why a file is no clip.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum WavFault {
    /// The first twelve bytes are not `RIFF….WAVE`.
    #[error("not a RIFF/WAVE file")]
    NotWave,
    /// There is no `fmt ` chunk before the data, or it is cut short.
    #[error("the `fmt ` chunk is missing or cut short")]
    NoFormat,
    /// There is no `data` chunk, or it holds no sample.
    #[error("the `data` chunk is missing or empty")]
    NoData,
    /// A coding this build does not read.
    #[error("format tag {tag} with {bits} bits is not read: use 16-bit PCM, 8-bit PCM, A-law or µ-law")]
    Coding {
        /// The format tag.
        tag: u16,
        /// Bits per sample.
        bits: u16,
    },
    /// More than two channels, or none.
    #[error("{0} channels: one or two are expected")]
    Channels(u16),
    /// Slower than 8 kHz or faster than 48 kHz.
    #[error("{0} samples a second: 8000 to 48000 are expected")]
    Rate(u32),
    /// Longer than 10 minutes.
    #[error("longer than 10 minutes")]
    TooLong,
}

#[derive(Clone, Copy)]
struct Format {
    tag: u16,
    channels: u16,
    rate: u32,
    bits: u16,
}

/// Reads a WAV file into A-law at 8 kHz, one channel.
///
/// # Errors
///
/// [`WavFault`] naming what is wrong with the file.
pub fn read_wav(file: &[u8]) -> Result<Vec<u8>, WavFault> {
    let (format, data) = chunks(file)?;
    if !(1..=2).contains(&format.channels) {
        return Err(WavFault::Channels(format.channels));
    }
    if !(RATE..=48_000).contains(&format.rate) {
        return Err(WavFault::Rate(format.rate));
    }
    let width = usize::from(format.bits / 8) * usize::from(format.channels);
    let frames = data.len().checked_div(width).unwrap_or(0);
    if frames.saturating_mul(RATE as usize) / format.rate as usize > SAMPLES_MAX {
        return Err(WavFault::TooLong);
    }
    if (format.tag, format.channels, format.rate) == (TAG_ALAW, 1, RATE) && !data.is_empty() {
        return Ok(data.to_vec());
    }
    let samples = decode(format, data)?;
    if samples.is_empty() {
        return Err(WavFault::NoData);
    }
    let samples = if format.rate == RATE { samples } else { resampled(&samples, format.rate) };
    Ok(samples.into_iter().map(linear_to_alaw).collect())
}

fn chunks(file: &[u8]) -> Result<(Format, &[u8]), WavFault> {
    let (b"RIFF", Some(b"WAVE")) = (file.get(..4).unwrap_or_default(), file.get(8..12)) else {
        return Err(WavFault::NotWave);
    };
    let mut rest = file.get(12..).unwrap_or_default();
    let mut format = None;
    while let Some((head, after)) = rest.split_first_chunk::<8>() {
        let [a, b, c, d, length @ ..] = *head;
        // A recorder that died or streamed leaves a length past the end; what is there counts.
        let length = (u32::from_le_bytes(length) as usize).min(after.len());
        let (body, next) = after.split_at(length);
        match &[a, b, c, d] {
            b"fmt " => format = Some(read_format(body).ok_or(WavFault::NoFormat)?),
            b"data" => return format.map(|format| (format, body)).ok_or(WavFault::NoFormat),
            _ => {}
        }
        rest = next.get(length % 2..).unwrap_or_default();
    }
    Err(if format.is_some() { WavFault::NoData } else { WavFault::NoFormat })
}

fn read_format(body: &[u8]) -> Option<Format> {
    let short = |at: usize| body.get(at..at + 2)?.first_chunk().map(|bytes| u16::from_le_bytes(*bytes));
    let rate = u32::from_le_bytes(*body.get(4..8)?.first_chunk()?);
    let tag = short(0)?;
    // The extensible form carries the real tag as the first two bytes of its sub-format.
    let tag = if tag == TAG_EXTENSIBLE { short(24)? } else { tag };
    Some(Format { tag, channels: short(2)?, rate, bits: short(14)? })
}

fn decode(format: Format, data: &[u8]) -> Result<Vec<i16>, WavFault> {
    let samples: Vec<i16> = match (format.tag, format.bits) {
        (TAG_PCM, 16) => {
            data.chunks_exact(2).filter_map(|pair| pair.first_chunk()).map(|pair| i16::from_le_bytes(*pair)).collect()
        }
        (TAG_PCM, 8) => data.iter().map(|byte| (i16::from(*byte) - 128) << 8).collect(),
        (TAG_ALAW, 8) => data.iter().map(|code| alaw_to_linear(*code)).collect(),
        (TAG_ULAW, 8) => data.iter().map(|code| ulaw_to_linear(*code)).collect(),
        (tag, bits) => return Err(WavFault::Coding { tag, bits }),
    };
    Ok(match format.channels {
        1 => samples,
        _ => samples
            .chunks_exact(2)
            .map(|pair| (pair.iter().map(|sample| i32::from(*sample)).sum::<i32>() / 2) as i16)
            .collect(),
    })
}

/// Brings samples from a higher rate down to 8 kHz.
fn resampled(samples: &[i16], rate: u32) -> Vec<i16> {
    let step = f64::from(rate) / f64::from(RATE);
    let count = (samples.len() as f64 / step) as usize;
    // In periods of the input: cut-off at the output's Nyquist frequency, less the transition band.
    let cutoff = CUTOFF / step;
    let reach = CROSSINGS / cutoff;
    (0..count)
        .map(|at| {
            let centre = at as f64 * step;
            let first = (centre - reach).ceil().max(0.0) as usize;
            let last = ((centre + reach).floor() as usize).min(samples.len().saturating_sub(1));
            let window = samples.get(first..=last).unwrap_or_default();
            let (sum, weights) = (first..).zip(window).fold((0.0, 0.0), |(sum, weights), (place, sample)| {
                let weight = kernel(place as f64 - centre, cutoff, reach);
                (sum + weight * f64::from(*sample), weights + weight)
            });
            let value: f64 = if weights > 0.0 { sum / weights } else { 0.0 };
            value.round().clamp(f64::from(i16::MIN), f64::from(i16::MAX)) as i16
        })
        .collect()
}

/// A sinc with a Hann window.
fn kernel(distance: f64, cutoff: f64, reach: f64) -> f64 {
    let angle = std::f64::consts::PI * distance * cutoff;
    let sinc = if angle.abs() < 1e-9 { 1.0 } else { angle.sin() / angle };
    let window = 0.5 + 0.5 * (std::f64::consts::PI * distance / reach).cos();
    sinc * window.max(0.0)
}

#[cfg(test)]
mod tests;
