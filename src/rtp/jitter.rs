//! A fixed play-out buffer: packets in as they come, 20 ms frames out on the worker's clock.
//!
//! Used only where audio is decoded to be mixed; a relayed stream keeps the network's own timing. Playing begins when
//! 40 ms are there, so a packet may be up to that late; a silent sender empties the buffer and the next spurt is
//! buffered anew. Missing packets are silence. Deliberately absent: adaptation, concealment, clock skew beyond
//! dropping what has piled up.
//!
//! | state | input | next |
//! |---|---|---|
//! | filling | 40 ms there | playing |
//! | playing | nothing left at a pull | filling (the pull is silence) |
//! | playing | more than 120 ms there | playing, skipped to the newest 60 ms |
//! | any | another SSRC, or a timestamp outside the ring | filling, from that packet |

use super::mixer::FRAME;

/// Ring size, samples: 256 ms.
const RING: usize = 2048;
/// Playing begins with this much, samples: 40 ms.
const BEGIN: i32 = 320;
/// More than this is too late to be talk, samples: 120 ms.
const DEPTH_MAX: i32 = 960;
/// What is kept when too much piled up, samples: 60 ms.
const DEPTH_KEPT: u32 = 480;

/// Play-out buffer of one received stream.
#[derive(Clone, Debug)]
pub struct Jitter {
    ring: Box<[i16; RING]>,
    ssrc: Option<u32>,
    play: u32,
    end: u32,
    playing: bool,
    late: u64,
}

impl Default for Jitter {
    fn default() -> Self {
        Self { ring: Box::new([0; RING]), ssrc: None, play: 0, end: 0, playing: false, late: 0 }
    }
}

impl Jitter {
    /// Takes one packet's samples.
    pub fn push(&mut self, ssrc: u32, timestamp: u32, samples: &[i16]) {
        let length = u32::try_from(samples.len()).unwrap_or(0);
        let ahead = timestamp.wrapping_sub(self.play).cast_signed();
        let reaches = ahead.saturating_add(length.cast_signed());
        let outside = reaches > RING as i32 || ahead < -(RING as i32);
        if self.ssrc != Some(ssrc) || outside || (!self.playing && self.depth() <= 0) {
            self.ring.fill(0);
            self.ssrc = Some(ssrc);
            (self.play, self.end, self.playing) = (timestamp, timestamp, false);
        } else if ahead < 0 {
            self.late += 1;
            return;
        }
        for (at, sample) in (timestamp as usize..).zip(samples.iter().take(RING)) {
            if let Some(slot) = self.ring.get_mut(at % RING) {
                *slot = *sample;
            }
        }
        let end = timestamp.wrapping_add(length);
        if end.wrapping_sub(self.end).cast_signed() > 0 {
            self.end = end;
        }
        self.playing |= self.depth() >= BEGIN;
        if self.depth() > DEPTH_MAX {
            self.skip_to(self.end.wrapping_sub(DEPTH_KEPT));
        }
    }

    /// Gives the next 20 ms; `false` and silence when there is nothing to play.
    pub fn pull(&mut self, frame: &mut [i16; FRAME]) -> bool {
        if self.playing && self.depth() <= 0 {
            self.playing = false;
        }
        if !self.playing {
            frame.fill(0);
            return false;
        }
        for (at, sample) in (self.play as usize..).zip(frame.iter_mut()) {
            *sample = self.ring.get_mut(at % RING).map_or(0, std::mem::take);
        }
        self.play = self.play.wrapping_add(FRAME as u32);
        true
    }

    /// Packets that came after their time.
    #[must_use]
    pub const fn late(&self) -> u64 {
        self.late
    }

    const fn depth(&self) -> i32 {
        self.end.wrapping_sub(self.play).cast_signed()
    }

    fn skip_to(&mut self, play: u32) {
        let mut at = self.play;
        while at != play {
            if let Some(slot) = self.ring.get_mut(at as usize % RING) {
                *slot = 0;
            }
            at = at.wrapping_add(1);
        }
        self.play = play;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame_of(jitter: &mut Jitter) -> (bool, i16) {
        let mut frame = [0; FRAME];
        let played = jitter.pull(&mut frame);
        (played, frame[FRAME / 2])
    }

    #[test]
    fn playing_begins_with_40_ms_and_follows_timestamps_not_arrival() {
        let mut jitter = Jitter::default();
        let base = u32::MAX - 200;
        jitter.push(1, base, &[1; FRAME]);
        assert_eq!(frame_of(&mut jitter), (false, 0));
        jitter.push(1, base.wrapping_add(320), &[3; FRAME]);
        jitter.push(1, base.wrapping_add(160), &[2; FRAME]);
        assert_eq!([(); 4].map(|()| frame_of(&mut jitter)), [(true, 1), (true, 2), (true, 3), (false, 0)]);
    }

    #[test]
    fn a_missing_packet_is_silence_and_a_late_one_is_counted() {
        let mut jitter = Jitter::default();
        jitter.push(1, 0, &[1; FRAME]);
        jitter.push(1, 320, &[3; FRAME]);
        assert_eq!([(); 2].map(|()| frame_of(&mut jitter)), [(true, 1), (true, 0)]);
        jitter.push(1, 160, &[2; FRAME]);
        assert_eq!(jitter.late(), 1);
        assert_eq!(frame_of(&mut jitter), (true, 3));
    }

    #[test]
    fn what_piles_up_is_skipped_to_the_newest_60_ms() {
        let mut jitter = Jitter::default();
        for at in 0..7_i16 {
            jitter.push(1, u32::from(at.cast_unsigned()) * 160, &[at + 1; FRAME]);
        }
        assert_eq!([(); 4].map(|()| frame_of(&mut jitter)), [(true, 5), (true, 6), (true, 7), (false, 0)]);
    }

    #[test]
    fn another_source_or_a_jump_begins_anew() {
        let mut jitter = Jitter::default();
        jitter.push(1, 0, &[1; 480]);
        assert_eq!(frame_of(&mut jitter), (true, 1));
        jitter.push(2, 77, &[2; 480]);
        assert_eq!(frame_of(&mut jitter), (true, 2));
        jitter.push(2, 1_000_000, &[3; 320]);
        assert_eq!([(); 3].map(|()| frame_of(&mut jitter)), [(true, 3), (true, 3), (false, 0)]);
    }

    proptest::proptest! {
        #[test]
        fn no_order_of_packets_panics(packets in proptest::collection::vec((0_u32..3, proptest::num::u32::ANY, 0_usize..700), 0..40)) {
            let mut jitter = Jitter::default();
            let mut frame = [0; FRAME];
            for (ssrc, timestamp, length) in packets {
                jitter.push(ssrc, timestamp, &vec![1; length]);
                jitter.pull(&mut frame);
            }
        }
    }
}
