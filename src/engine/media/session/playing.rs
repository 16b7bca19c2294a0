//! Clips one after the other, as 20 ms frames of A-law.

use std::sync::Arc;

use crate::engine::media::library::ClipLibrary;
use crate::rtp::command::{Codec, Play};
use crate::rtp::g711::ALAW_SILENCE;
use crate::rtp::tone::{BEEP_LEN, Tone};

/// Samples per millisecond.
const RATE_MS: usize = 8;

/// One [`Play`] under way.
#[derive(Debug)]
pub(super) struct Playing {
    pub(super) play: Box<Play>,
    next_clip: usize,
    round: u16,
    at: usize,
    sound: Sound,
    unknown: u32,
}

#[derive(Debug)]
enum Sound {
    Next,
    Clip(Arc<[u8]>),
    Beep,
    Pause,
    Ended,
}

impl Playing {
    pub(super) const fn new(play: Box<Play>) -> Self {
        Self { play, next_clip: 0, round: 0, at: 0, sound: Sound::Next, unknown: 0 }
    }

    /// Fills the next samples with A-law; `true` when nothing is left after them.
    pub(super) fn fill(&mut self, clips: &ClipLibrary, frame: &mut [u8]) -> bool {
        let mut rest = frame;
        while !rest.is_empty() {
            if let Sound::Next = self.sound {
                self.begin_next(clips);
            }
            let part = match &self.sound {
                Sound::Clip(clip) => {
                    let left = clip.get(self.at..).unwrap_or_default();
                    let part = left.len().min(rest.len());
                    for (code, source) in rest.iter_mut().zip(left) {
                        *code = *source;
                    }
                    part
                }
                Sound::Beep => {
                    let part = (BEEP_LEN as usize).saturating_sub(self.at).min(rest.len()).min(160);
                    let mut samples = [0; 160];
                    Tone::Beep.fill(self.at as u64, &mut samples);
                    Codec::Pcma.encode(&samples, rest.get_mut(..part).unwrap_or_default());
                    part
                }
                Sound::Pause => {
                    let left = usize::from(self.play.pause_ms) * RATE_MS;
                    let part = left.saturating_sub(self.at).min(rest.len());
                    rest.iter_mut().take(part).for_each(|code| *code = ALAW_SILENCE);
                    part
                }
                Sound::Next | Sound::Ended => {
                    rest.fill(ALAW_SILENCE);
                    rest.len()
                }
            };
            self.at += part;
            if part < rest.len() {
                self.sound = Sound::Next;
            }
            rest = rest.get_mut(part..).unwrap_or_default();
        }
        self.is_over()
    }

    /// Unknown clips met since the last call.
    pub(super) fn take_unknown(&mut self) -> u32 {
        std::mem::take(&mut self.unknown)
    }

    fn is_over(&self) -> bool {
        let whole = match &self.sound {
            Sound::Clip(clip) => self.at >= clip.len(),
            Sound::Beep => self.at >= BEEP_LEN as usize,
            Sound::Pause | Sound::Next => false,
            Sound::Ended => return true,
        };
        whole && self.next_clip >= self.play.clips.len() && self.round + 1 >= self.play.times.max(1)
    }

    fn begin_next(&mut self, clips: &ClipLibrary) {
        self.at = 0;
        if self.next_clip >= self.play.clips.len() {
            self.round += 1;
            if self.play.clips.is_empty() || self.round >= self.play.times.max(1) {
                self.sound = Sound::Ended;
                return;
            }
            self.next_clip = 0;
            if self.play.pause_ms > 0 {
                self.sound = Sound::Pause;
                return;
            }
        }
        let name = self.play.clips.get(self.next_clip);
        self.next_clip += 1;
        // An empty clip would make this a loop without end.
        let found = name.and_then(|name| clips.clip(&self.play.tenant, name)).filter(|clip| !clip.is_empty());
        self.sound = match found {
            Some(clip) => Sound::Clip(Arc::clone(clip)),
            None => {
                self.unknown += 1;
                Sound::Beep
            }
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rtp::command::{PlayToken, Source};

    fn playing(clips: &[&str], times: u16, pause_ms: u16) -> Playing {
        Playing::new(Box::new(Play {
            token: PlayToken(1),
            tenant: "p".into(),
            clips: clips.iter().map(|clip| Arc::from(*clip)).collect(),
            times,
            pause_ms,
            barge_in: false,
            then: Source::Nothing,
        }))
    }

    fn played(mut playing: Playing) -> (Vec<u8>, u32) {
        let mut library = ClipLibrary::default();
        library.put("", "a", &[1; 200]);
        library.put("p", "b", &[2; 160]);
        library.put("", "empty", &[]);
        let mut sound = Vec::new();
        for _ in 0..100 {
            let mut frame = [0; 160];
            let over = playing.fill(&library, &mut frame);
            sound.extend(frame);
            if over {
                return (sound, playing.take_unknown());
            }
        }
        panic!("never over");
    }

    #[test]
    fn clips_follow_each_other_without_a_gap_and_the_last_frame_is_filled_with_silence() {
        let (sound, unknown) = played(playing(&["a", "b"], 1, 0));
        assert_eq!((sound.len(), unknown), (480, 0));
        assert_eq!((sound[199], sound[200], sound[359], sound[360], sound[479]), (1, 2, 2, ALAW_SILENCE, ALAW_SILENCE));
        assert_eq!(played(playing(&["b"], 1, 0)).0.len(), 160);
    }

    #[test]
    fn rounds_are_parted_by_the_pause_and_none_follows_the_last() {
        let (sound, _) = played(playing(&["b"], 3, 20));
        let firsts: Vec<u8> = sound.chunks(160).map(|frame| frame[0]).collect();
        assert_eq!(firsts, [2, ALAW_SILENCE, 2, ALAW_SILENCE, 2]);
        assert_eq!(played(playing(&["b"], 0, 20)).0.len(), 160);
    }

    #[test]
    fn what_is_missing_is_a_counted_beep_and_no_clip_at_all_ends_at_once() {
        let (sound, unknown) = played(playing(&["missing", "empty"], 1, 0));
        assert_eq!((sound.len(), unknown), (2 * BEEP_LEN as usize, 2));
        assert!(sound[5..100].iter().any(|code| *code != ALAW_SILENCE));
        assert_eq!(played(playing(&[], 9, 9)).0.len(), 160);
    }
}
