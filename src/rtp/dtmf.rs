//! Digits as RFC 4733 events: heard once per key press, and spoken.
//!
//! A press is one RTP timestamp (RFC 4733 §2.5.1.2). It ends with the first packet carrying the E bit, or, when all
//! three of those are lost, with the next press, with audio that lies behind it, or after 200 ms without a packet.
//! Deliberately absent: what a digit means, tones in the audio band, events beyond `0`–`9 * # A`–`D` (flash and the
//! rest are ignored), long-duration segments (§2.5.1.3).
//!
//! | state | input | next | says |
//! |---|---|---|---|
//! | idle | packet of a new timestamp, no E | pressed | begins |
//! | idle | packet of a new timestamp with E | idle | begins, ended |
//! | idle | packet of the last timestamp | idle | nothing (repeat) |
//! | pressed | same timestamp, no E | pressed | nothing |
//! | pressed | same timestamp, E | idle | ended |
//! | pressed | later timestamp | pressed | ended (the lost one), begins |
//! | pressed | audio 50 ms behind it, or 200 ms of nothing | idle | ended |

use std::collections::VecDeque;
use std::time::Duration;

use crate::base::now::Mono;

/// The characters of the events 0–15 in order.
const KEYS: [char; 16] = ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9', '*', '#', 'A', 'B', 'C', 'D'];
/// A press without a packet for this long has ended: four packet intervals of the slowest gear (50 ms).
const SILENT_END: Duration = Duration::from_millis(200);
/// Audio this far behind a press ends it: 50 ms of samples.
const AUDIO_BEHIND: u32 = 400;
/// Most digits waiting to be sent toward one leg.
const QUEUE_MAX: usize = 64;
/// Samples of one 20 ms step.
const STEP: u16 = 160;
/// Steps of a press without E: 80 ms; the first end packet says 100 ms.
const STEPS_HELD: u8 = 4;
/// End packets (RFC 4733 §2.5.1.4), 20 ms apart: the 60 ms between two digits.
const STEPS_END: u8 = 3;
/// Level of the event, dBm0 without sign.
const VOLUME: u8 = 10;

/// A press that ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Pressed {
    /// Which key.
    pub digit: char,
    /// How long it was held, ms.
    pub held_ms: u16,
}

/// What one event packet meant.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Step {
    /// The key of a press that begins with this packet.
    pub begins: Option<char>,
    /// The press before, whose end packets were lost.
    pub lost_end: Option<Pressed>,
    /// The press of this packet, ended by it.
    pub ended: Option<Pressed>,
}

/// Hears presses in one stream.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Detector {
    current: Option<Press>,
    last: Option<u32>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Press {
    timestamp: u32,
    digit: char,
    duration: u16,
    heard: Mono,
}

impl Press {
    const fn ended(&self) -> Pressed {
        Pressed { digit: self.digit, held_ms: self.duration / 8 }
    }
}

impl Detector {
    /// Takes an event packet's timestamp and payload.
    pub fn on_event(&mut self, now: Mono, timestamp: u32, payload: &[u8]) -> Step {
        let mut step = Step::default();
        let [event, flags, high, low, ..] = *payload else { return step };
        let Some(digit) = KEYS.get(usize::from(event)).copied() else { return step };
        let duration = u16::from_be_bytes([high, low]);
        let old = self.is_old(timestamp);
        match &mut self.current {
            Some(press) if press.timestamp == timestamp => {
                press.duration = press.duration.max(duration);
                press.heard = now;
            }
            _ if old => return step,
            current => {
                step.lost_end = current.take().map(|press| press.ended());
                *current = Some(Press { timestamp, digit, duration, heard: now });
                self.last = Some(timestamp);
                step.begins = Some(digit);
            }
        }
        if flags & 0x80 != 0 {
            step.ended = self.current.take().map(|press| press.ended());
        }
        step
    }

    /// Takes the timestamp of an audio packet; says when a press ended before it.
    pub fn on_audio(&mut self, timestamp: u32) -> Option<Pressed> {
        let press = self.current.as_ref()?;
        let behind = timestamp.wrapping_sub(press.timestamp).wrapping_sub(u32::from(press.duration));
        if !(AUDIO_BEHIND..0x8000_0000).contains(&behind) {
            return None;
        }
        self.current.take().map(|press| press.ended())
    }

    /// Says when a press ended because nothing came any more.
    pub fn on_time(&mut self, now: Mono) -> Option<Pressed> {
        let press = self.current.as_ref()?;
        if now.since(press.heard) < SILENT_END {
            return None;
        }
        self.current.take().map(|press| press.ended())
    }

    /// Whether a key is down.
    #[must_use]
    pub const fn is_pressed(&self) -> bool {
        self.current.is_some()
    }

    fn is_old(&self, timestamp: u32) -> bool {
        self.last.is_some_and(|last| timestamp.wrapping_sub(last).cast_signed() <= 0)
    }
}

/// One event packet to send.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct EventFrame {
    /// The four payload bytes.
    pub payload: [u8; 4],
    /// Whether it is the first of its press: a new timestamp and the marker bit.
    pub begins: bool,
}

/// Speaks digits: 100 ms each, 60 ms apart, one packet per 20 ms.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Speaker {
    waiting: VecDeque<u8>,
    current: Option<(u8, u8)>,
}

impl Speaker {
    /// Appends digits; characters that are no key, and digits beyond 64 waiting, are left out. Returns how many were
    /// left out.
    pub fn push(&mut self, digits: &str) -> usize {
        let mut left_out = 0;
        for digit in digits.chars() {
            let event =
                KEYS.iter().position(|key| *key == digit.to_ascii_uppercase()).and_then(|at| u8::try_from(at).ok());
            match event.filter(|_| self.waiting.len() < QUEUE_MAX) {
                Some(event) => self.waiting.push_back(event),
                None => left_out += 1,
            }
        }
        left_out
    }

    /// Whether nothing is left to send.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.current.is_none() && self.waiting.is_empty()
    }

    /// The packet of the next 20 ms step.
    pub fn step(&mut self) -> Option<EventFrame> {
        let (event, step) = match self.current {
            Some(current) => current,
            None => (self.waiting.pop_front()?, 0),
        };
        let end = step >= STEPS_HELD;
        let duration = u16::from(step.min(STEPS_HELD) + 1) * STEP;
        let [high, low] = duration.to_be_bytes();
        self.current = (step + 1 < STEPS_HELD + STEPS_END).then_some((event, step + 1));
        Some(EventFrame { payload: [event, u8::from(end) << 7 | VOLUME, high, low], begins: step == 0 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packet(event: u8, end: bool, duration: u16) -> [u8; 4] {
        let [high, low] = duration.to_be_bytes();
        [event, u8::from(end) << 7 | 10, high, low]
    }

    #[test]
    fn a_press_counts_once_however_often_its_end_is_repeated() {
        let mut detector = Detector::default();
        assert_eq!(detector.on_event(Mono(0), 1000, &packet(5, false, 160)).begins, Some('5'));
        assert_eq!(detector.on_event(Mono(1), 1000, &packet(5, false, 320)), Step::default());
        let step = detector.on_event(Mono(2), 1000, &packet(5, true, 800));
        assert_eq!(step.ended, Some(Pressed { digit: '5', held_ms: 100 }));
        for _ in 0..2 {
            assert_eq!(detector.on_event(Mono(3), 1000, &packet(5, true, 800)), Step::default());
        }
        assert_eq!(detector.on_event(Mono(4), 3000, &packet(5, true, 800)).ended.map(|p| p.digit), Some('5'));
    }

    #[test]
    fn lost_end_packets_still_end_a_press_in_three_ways() {
        let mut detector = Detector::default();
        detector.on_event(Mono(0), 1000, &packet(11, false, 640));
        let step = detector.on_event(Mono(1), 5000, &packet(1, false, 160));
        assert_eq!((step.lost_end, step.begins), (Some(Pressed { digit: '#', held_ms: 80 }), Some('1')));
        assert_eq!(detector.on_audio(5160 + AUDIO_BEHIND - 1), None);
        assert_eq!(detector.on_audio(5160 + AUDIO_BEHIND), Some(Pressed { digit: '1', held_ms: 20 }));
        detector.on_event(Mono(0), 9000, &packet(2, false, 160));
        assert_eq!(detector.on_time(Mono(0) + SILENT_END - Duration::from_nanos(1)), None);
        assert_eq!(detector.on_time(Mono(0) + SILENT_END).map(|p| p.digit), Some('2'));
        assert!(!detector.is_pressed());
    }

    #[test]
    fn late_and_reordered_packets_make_no_second_press() {
        let mut detector = Detector::default();
        detector.on_event(Mono(0), 1000, &packet(3, true, 800));
        detector.on_event(Mono(0), u32::MAX, &packet(3, false, 800));
        let mut wrapped = Detector::default();
        wrapped.on_event(Mono(0), u32::MAX - 10, &packet(3, true, 800));
        assert_eq!(wrapped.on_event(Mono(0), 900, &packet(4, false, 160)).begins, Some('4'));
        assert_eq!(wrapped.on_event(Mono(0), u32::MAX - 10, &packet(3, true, 800)), Step::default());
        assert!(wrapped.is_pressed() && !detector.is_pressed());
    }

    #[test]
    fn what_is_no_key_is_ignored() {
        let mut detector = Detector::default();
        for payload in [&packet(16, true, 800)[..], &[], &[1, 0x80, 0]] {
            assert_eq!(detector.on_event(Mono(0), 1, payload), Step::default());
        }
    }

    #[test]
    fn spoken_digits_are_heard_as_spoken() {
        let (mut speaker, mut detector) = (Speaker::default(), Detector::default());
        assert_eq!(speaker.push("12x*#d"), 1);
        let (mut heard, mut timestamp, mut packets) = (String::new(), 0, 0);
        while let Some(frame) = speaker.step() {
            timestamp += if frame.begins { 1280 } else { 0 };
            packets += 1;
            let step = detector.on_event(Mono(0), timestamp, &frame.payload);
            assert_eq!(step.lost_end, None);
            heard.extend(step.ended.map(|pressed| {
                assert_eq!(pressed.held_ms, 100);
                pressed.digit
            }));
        }
        assert_eq!((heard.as_str(), packets), ("12*#D", 35));
        assert!(speaker.is_idle());
    }

    #[test]
    fn the_queue_of_digits_is_bounded() {
        let mut speaker = Speaker::default();
        assert_eq!(speaker.push(&"1".repeat(QUEUE_MAX + 3)), 3);
    }
}
