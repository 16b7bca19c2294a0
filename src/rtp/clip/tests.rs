//! WAV files read, and refused.

use super::*;
use crate::rtp::tone::level_of;

fn wav(tag: u16, channels: u16, rate: u32, bits: u16, data: &[u8]) -> Vec<u8> {
    let mut file = b"RIFF\0\0\0\0WAVELIST\x03\0\0\0abc\0fmt \x10\0\0\0".to_vec();
    file.extend(tag.to_le_bytes());
    file.extend(channels.to_le_bytes());
    file.extend(rate.to_le_bytes());
    file.extend([0; 6]);
    file.extend(bits.to_le_bytes());
    file.extend(b"data");
    file.extend((data.len() as u32).to_le_bytes());
    file.extend(data);
    file
}

fn tone(rate: u32, hertz: f64, channels: usize) -> Vec<u8> {
    (0..rate)
        .map(|at| (std::f64::consts::TAU * hertz * f64::from(at) / f64::from(rate)).sin() * 10_000.0)
        .flat_map(|sample| (sample as i16).to_le_bytes().repeat(channels))
        .collect()
}

fn decoded(alaw: &[u8]) -> Vec<i16> {
    alaw.iter().map(|code| alaw_to_linear(*code)).collect()
}

#[test]
fn every_coding_read_gives_the_same_sound() {
    let samples: Vec<i16> = (0..160).map(|at| (at - 80) * 300).collect();
    let expected: Vec<u8> = samples.iter().map(|sample| linear_to_alaw(*sample)).collect();
    let pcm: Vec<u8> = samples.iter().flat_map(|sample| sample.to_le_bytes()).collect();
    assert_eq!(read_wav(&wav(1, 1, 8000, 16, &pcm)).unwrap(), expected);
    assert_eq!(read_wav(&wav(6, 1, 8000, 8, &expected)).unwrap(), expected);
    let stereo: Vec<u8> = samples.iter().flat_map(|sample| sample.to_le_bytes().repeat(2)).collect();
    assert_eq!(read_wav(&wav(1, 2, 8000, 16, &stereo)).unwrap(), expected);
    assert_eq!(read_wav(&wav(1, 1, 8000, 8, &[128, 255])).unwrap(), [0xd5, linear_to_alaw(127 << 8)]);
    assert_eq!(read_wav(&wav(7, 1, 8000, 8, &[0xff])).unwrap(), [0xd5]);
}

#[test]
fn other_rates_keep_a_tone_in_the_band_and_lose_one_beyond_it() {
    for rate in [11_025, 16_000, 22_050, 44_100, 48_000] {
        let kept = decoded(&read_wav(&wav(1, 1, rate, 16, &tone(rate, 1000.0, 1))).unwrap());
        assert!(kept.len().abs_diff(8000) <= 1, "{rate}: {}", kept.len());
        let level = level_of(&kept[400..7600], 1000.0);
        assert!((level - 10_000.0).abs() < 150.0, "{rate}: {level}");
        let beyond = decoded(&read_wav(&wav(1, 1, rate, 16, &tone(rate, 5000.0, 1))).unwrap());
        // Without a filter it would fold to 3000 Hz at full level.
        let folded = level_of(&beyond[400..7600], 3000.0);
        assert!(folded < 60.0, "{rate}: {folded}");
    }
}

#[test]
fn faults_name_what_is_wrong() {
    assert_eq!(read_wav(b""), Err(WavFault::NotWave));
    assert_eq!(read_wav(b"RIFF\0\0\0\0WAVE"), Err(WavFault::NoFormat));
    assert_eq!(read_wav(b"RIFF\0\0\0\0WAVEfmt \x02\0\0\0\x01\0"), Err(WavFault::NoFormat));
    assert_eq!(read_wav(b"RIFF\0\0\0\0WAVEdata\x02\0\0\0\x01\0"), Err(WavFault::NoFormat));
    assert_eq!(read_wav(&wav(1, 1, 8000, 16, &[])), Err(WavFault::NoData));
    assert_eq!(read_wav(&wav(1, 1, 8000, 24, &[0; 6])), Err(WavFault::Coding { tag: 1, bits: 24 }));
    assert_eq!(read_wav(&wav(85, 1, 8000, 0, &[0; 6])), Err(WavFault::Coding { tag: 85, bits: 0 }));
    assert_eq!(read_wav(&wav(1, 3, 8000, 16, &[0; 6])), Err(WavFault::Channels(3)));
    assert_eq!(read_wav(&wav(1, 1, 96_000, 16, &[0; 6])), Err(WavFault::Rate(96_000)));
    assert_eq!(read_wav(&wav(6, 1, 8000, 8, &vec![0; SAMPLES_MAX + 1])), Err(WavFault::TooLong));
}

#[test]
fn a_length_past_the_end_takes_what_is_there() {
    let mut file = wav(6, 1, 8000, 8, &[1, 2, 3]);
    let at = file.len() - 7;
    file[at..at + 4].copy_from_slice(&u32::MAX.to_le_bytes());
    assert_eq!(read_wav(&file).unwrap(), [1, 2, 3]);
}

proptest::proptest! {
    #[test]
    fn no_bytes_panic(tail in proptest::collection::vec(proptest::num::u8::ANY, 0..80)) {
        let _ = read_wav(&[b"RIFF\0\0\0\0WAVEfmt ".as_slice(), &tail].concat());
    }
}
