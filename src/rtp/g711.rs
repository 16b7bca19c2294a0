//! G.711 by table, bit-exact to ITU-T G.711 and the reference code of G.191, and A-law to µ-law without the detour.
//!
//! Tables are made at compile time from the reference formulas. The direct conversions follow tables 3 and 4 of
//! G.711, which differ by one step from decode-and-encode at some levels, so that a signal converted there and back
//! does not wander. Deliberately absent: any other codec, packet loss concealment.

use super::command::Codec;

/// The A-law code of silence (the smallest positive level), 0xD5.
pub const ALAW_SILENCE: u8 = 0xd5;
/// The µ-law code of silence, 0xFF.
pub const ULAW_SILENCE: u8 = 0xff;

static ALAW_TO_LINEAR: [i16; 256] = linear_table(true);
static ULAW_TO_LINEAR: [i16; 256] = linear_table(false);
/// By the 13 high bits of a sample: A-law looks at no more.
static LINEAR_TO_ALAW: [u8; 8192] = code_table(true);
/// By the 14 high bits of a sample: µ-law looks at no more. Twice the size, so indexed by 14 bits.
static LINEAR_TO_ULAW: [u8; 16384] = code_table(false);
static ALAW_TO_ULAW: [u8; 256] = alaw_to_ulaw_table();
static ULAW_TO_ALAW: [u8; 256] = ulaw_to_alaw_table();

/// Decodes one A-law byte to 16 bits.
#[must_use]
pub fn alaw_to_linear(code: u8) -> i16 {
    ALAW_TO_LINEAR.get(usize::from(code)).copied().unwrap_or(0)
}

/// Decodes one µ-law byte to 16 bits.
#[must_use]
pub fn ulaw_to_linear(code: u8) -> i16 {
    ULAW_TO_LINEAR.get(usize::from(code)).copied().unwrap_or(0)
}

/// Encodes one 16-bit sample to A-law.
#[must_use]
pub fn linear_to_alaw(sample: i16) -> u8 {
    LINEAR_TO_ALAW.get(usize::from(sample.cast_unsigned() >> 3)).copied().unwrap_or(ALAW_SILENCE)
}

/// Encodes one 16-bit sample to µ-law.
#[must_use]
pub fn linear_to_ulaw(sample: i16) -> u8 {
    LINEAR_TO_ULAW.get(usize::from(sample.cast_unsigned() >> 2)).copied().unwrap_or(ULAW_SILENCE)
}

/// Converts one A-law byte to µ-law (table 4/G.711).
#[must_use]
pub fn alaw_to_ulaw(code: u8) -> u8 {
    ALAW_TO_ULAW.get(usize::from(code)).copied().unwrap_or(ULAW_SILENCE)
}

/// Converts one µ-law byte to A-law (table 3/G.711).
#[must_use]
pub fn ulaw_to_alaw(code: u8) -> u8 {
    ULAW_TO_ALAW.get(usize::from(code)).copied().unwrap_or(ALAW_SILENCE)
}

impl Codec {
    /// The code of silence.
    #[must_use]
    pub const fn silence(self) -> u8 {
        match self {
            Self::Pcma => ALAW_SILENCE,
            Self::Pcmu => ULAW_SILENCE,
        }
    }

    /// Decodes as many samples as both slices hold.
    pub fn decode(self, codes: &[u8], samples: &mut [i16]) {
        let table = match self {
            Self::Pcma => &ALAW_TO_LINEAR,
            Self::Pcmu => &ULAW_TO_LINEAR,
        };
        for (sample, code) in samples.iter_mut().zip(codes) {
            *sample = table.get(usize::from(*code)).copied().unwrap_or(0);
        }
    }

    /// Encodes as many samples as both slices hold.
    pub fn encode(self, samples: &[i16], codes: &mut [u8]) {
        let encode = match self {
            Self::Pcma => linear_to_alaw,
            Self::Pcmu => linear_to_ulaw,
        };
        for (code, sample) in codes.iter_mut().zip(samples) {
            *code = encode(*sample);
        }
    }

    /// Converts codes of this codec in place to another's.
    pub fn convert(self, to: Self, codes: &mut [u8]) {
        let table = match (self, to) {
            (Self::Pcma, Self::Pcmu) => &ALAW_TO_ULAW,
            (Self::Pcmu, Self::Pcma) => &ULAW_TO_ALAW,
            (Self::Pcma, Self::Pcma) | (Self::Pcmu, Self::Pcmu) => return,
        };
        for code in codes {
            *code = table.get(usize::from(*code)).copied().unwrap_or(*code);
        }
    }
}

const fn expand_alaw(code: u8) -> i16 {
    let bits = code ^ 0x55;
    let exponent = (bits & 0x70) >> 4;
    let mut magnitude = (bits & 0x0f) as i16;
    if exponent > 0 {
        magnitude += 16;
    }
    magnitude = (magnitude << 4) + 8;
    if exponent > 1 {
        magnitude <<= exponent - 1;
    }
    if code & 0x80 == 0 { -magnitude } else { magnitude }
}

const fn expand_ulaw(code: u8) -> i16 {
    let bits = !code;
    let exponent = (bits >> 4) & 7;
    let mantissa = (bits & 0x0f) as i32;
    let step = 8_i32 << exponent;
    let magnitude = (0x80_i32 << exponent) + step * mantissa + step / 2 - 4 * 33;
    if code < 0x80 { -(magnitude as i16) } else { magnitude as i16 }
}

const fn compress_alaw(sample: i16) -> u8 {
    let mut level = if sample < 0 { !sample >> 4 } else { sample >> 4 };
    if level > 15 {
        let mut exponent = 1;
        while level > 31 {
            level >>= 1;
            exponent += 1;
        }
        level = level - 16 + (exponent << 4);
    }
    let sign = if sample >= 0 { 0x80 } else { 0 };
    (level as u8 | sign) ^ 0x55
}

const fn compress_ulaw(sample: i16) -> u8 {
    let mut level = (if sample < 0 { !sample >> 2 } else { sample >> 2 }) + 33;
    if level > 0x1fff {
        level = 0x1fff;
    }
    let mut segment = 1;
    let mut rest = level >> 6;
    while rest != 0 {
        segment += 1;
        rest >>= 1;
    }
    let high = (8 - segment) << 4;
    let low = 0x0f - ((level >> segment) & 0x0f);
    let sign = if sample >= 0 { 0x80 } else { 0 };
    (high | low) as u8 | sign
}

#[expect(clippy::indexing_slicing, reason = "evaluated at compile time, where a wrong index is a build error")]
const fn linear_table(alaw: bool) -> [i16; 256] {
    let mut table = [0; 256];
    let mut code = 0;
    while code < 256 {
        table[code] = if alaw { expand_alaw(code as u8) } else { expand_ulaw(code as u8) };
        code += 1;
    }
    table
}

#[expect(clippy::indexing_slicing, reason = "evaluated at compile time, where a wrong index is a build error")]
const fn code_table<const SIZE: usize>(alaw: bool) -> [u8; SIZE] {
    let step = 65_536 / SIZE;
    let mut table = [0; SIZE];
    let mut place = 0;
    while place < SIZE {
        let sample = (place * step) as u16 as i16;
        table[place] = if alaw { compress_alaw(sample) } else { compress_ulaw(sample) };
        place += 1;
    }
    table
}

/// Table 4/G.711: the µ-law level of the A-law level `level` (both counted from 0 by magnitude).
const fn ulaw_level(level: u8) -> u8 {
    match level {
        0..=7 => level * 2 + 1,
        8..=23 => level + 8,
        24..=31 => 32 + (level - 24) / 2,
        32..=44 => level + 4,
        45 => 48,
        46 | 47 => 49,
        48..=61 => level + 2,
        62 | 63 => 64,
        64..=78 => level + 1,
        _ => level,
    }
}

/// Table 3/G.711: the A-law level of the µ-law level `level` (both counted from 0 by magnitude).
const fn alaw_level(level: u8) -> u8 {
    match level {
        0..=15 => level / 2,
        16..=32 => level - 8,
        33..=35 => 26 + 2 * (level - 33),
        36..=47 => level - 4,
        48 => 45,
        49..=63 => level - 2,
        64..=79 => level - 1,
        _ => level,
    }
}

#[expect(clippy::indexing_slicing, reason = "evaluated at compile time, where a wrong index is a build error")]
const fn alaw_to_ulaw_table() -> [u8; 256] {
    let mut table = [0; 256];
    let mut code = 0;
    while code < 256 {
        let bits = code as u8;
        table[code] = if bits & 0x80 == 0 { 0x7f ^ ulaw_level(bits ^ 0x55) } else { 0xff ^ ulaw_level(bits ^ 0xd5) };
        code += 1;
    }
    table
}

#[expect(clippy::indexing_slicing, reason = "evaluated at compile time, where a wrong index is a build error")]
const fn ulaw_to_alaw_table() -> [u8; 256] {
    let mut table = [0; 256];
    let mut code = 0;
    while code < 256 {
        let bits = code as u8;
        table[code] = if bits & 0x80 == 0 { 0x55 ^ alaw_level(bits ^ 0x7f) } else { 0xd5 ^ alaw_level(bits ^ 0xff) };
        code += 1;
    }
    table
}

#[cfg(test)]
mod tests;
