//! The tables against the formulas of G.711.

use super::*;

#[test]
fn known_levels_of_the_recommendation() {
    for (code, level) in [(0xd5_u8, 8_i16), (0x55, -8), (0xaa, 32256), (0x2a, -32256), (0xd4, 24), (0xc5, 264)] {
        assert_eq!(alaw_to_linear(code), level, "{code:#x}");
    }
    for (code, level) in [(0xff_u8, 0_i16), (0x7f, 0), (0x80, 32124), (0x00, -32124), (0xfe, 8), (0xf0, 120)] {
        assert_eq!(ulaw_to_linear(code), level, "{code:#x}");
    }
    assert_eq!([0, -1, 32767, -32768].map(linear_to_alaw), [0xd5, 0x55, 0xaa, 0x2a]);
    assert_eq!([0, -1, 32767, -32768].map(linear_to_ulaw), [0xff, 0x7f, 0x80, 0x00]);
}

#[test]
fn every_sample_is_coded_by_the_reference_formula_and_within_half_a_step() {
    for sample in i16::MIN..=i16::MAX {
        assert_eq!(linear_to_alaw(sample), compress_alaw(sample));
        assert_eq!(linear_to_ulaw(sample), compress_ulaw(sample));
        let magnitude = i32::from(sample).abs();
        let near = |decoded: i16| (i32::from(decoded) - i32::from(sample)).abs();
        // Half a step of the segment: 1/32 of the level in the upper segments, plus the finest step.
        assert!(near(alaw_to_linear(linear_to_alaw(sample))) <= magnitude / 32 + 16, "{sample}");
        assert!(near(ulaw_to_linear(linear_to_ulaw(sample))) <= magnitude / 32 + 8 || magnitude > 32124, "{sample}");
    }
}

#[test]
fn every_code_decodes_and_encodes_to_itself() {
    for code in 0..=255 {
        assert_eq!(linear_to_alaw(alaw_to_linear(code)), code);
        // µ-law has two zeros; the negative one comes back as the positive (G.711 table 2).
        let expected = if code == 0x7f { 0xff } else { code };
        assert_eq!(linear_to_ulaw(ulaw_to_linear(code)), expected);
    }
}

#[test]
fn direct_conversion_keeps_sign_and_lands_within_one_level_of_the_detour() {
    for code in 0..=255_u8 {
        let (direct, detour) = (alaw_to_ulaw(code), linear_to_ulaw(alaw_to_linear(code)));
        assert_eq!(direct & 0x80, code & 0x80, "{code:#x}");
        assert!(direct.abs_diff(detour) <= 1, "{code:#x}: {direct:#x} {detour:#x}");
        let (direct, detour) = (ulaw_to_alaw(code) ^ 0x55, linear_to_alaw(ulaw_to_linear(code)) ^ 0x55);
        assert_eq!(direct & 0x80, code & 0x80, "{code:#x}");
        assert!(direct == detour || (direct & 0x7f).abs_diff(detour & 0x7f) <= 1 || code == 0x7f, "{code:#x}");
    }
    assert_eq!((alaw_to_ulaw(0x55), ulaw_to_alaw(0xff)), (0x7e, 0xd5));
}

#[test]
fn there_and_back_changes_nothing_after_the_first_time() {
    for code in 0..=255_u8 {
        let once = ulaw_to_alaw(alaw_to_ulaw(code));
        assert_eq!(ulaw_to_alaw(alaw_to_ulaw(once)), once, "{code:#x}");
    }
}

#[test]
fn frames_convert_as_far_as_both_sides_reach() {
    let mut codes = [ALAW_SILENCE; 4];
    Codec::Pcma.convert(Codec::Pcmu, &mut codes);
    assert_eq!(codes, [0xfe; 4]);
    Codec::Pcma.encode(&[0, 0], &mut codes);
    assert_eq!(codes, [ALAW_SILENCE, ALAW_SILENCE, 0xfe, 0xfe]);
    let mut samples = [1_i16; 3];
    Codec::Pcmu.decode(&[0xff, 0x80], &mut samples);
    assert_eq!(samples, [0, 32124, 1]);
}
