//! A media worker without packets: ports, what each leg hears, clips that end, and the watch for dead air.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use switch12345::base::id::LegId;
use switch12345::base::now::Mono;
use switch12345::call::legs::CALLER;
use switch12345::rtp::command::{LocalMedia, MediaCommand, MediaReport, PlayToken, Source};

/// How long every clip sequence lasts.
pub(crate) const CLIP: Duration = Duration::from_millis(2_000);

#[derive(Clone, Debug, Default)]
pub(crate) struct MediaLeg {
    pub(crate) connected: bool,
    pub(crate) hears: Source,
    playing: Option<PlayToken>,
}

#[derive(Debug, Default)]
pub(crate) struct Media {
    pub(crate) legs: BTreeMap<LegId, MediaLeg>,
    /// Refuse the next this many allocations of these legs.
    pub(crate) refuse: BTreeMap<LegId, u32>,
    pub(crate) sent_digits: Vec<(LegId, String)>,
    pub(crate) policies: Vec<(LegId, switch12345::rtp::command::DigitPolicy)>,
    silent_since: Option<Mono>,
    pub(crate) longest_silence: Duration,
    /// Everything the caller was told to hear, in order.
    pub(crate) caller_heard: Vec<Source>,
}

impl Media {
    /// Obeys; answers come back with a delay after which they arrive.
    pub(crate) fn obey(&mut self, command: MediaCommand) -> Vec<(Duration, MediaReport)> {
        let mut reports = Vec::new();
        match command {
            MediaCommand::Allocate { leg, .. } => {
                if let Some(left) = self.refuse.get_mut(&leg).filter(|left| **left > 0) {
                    *left -= 1;
                    let why = switch12345::rtp::command::RefusedWhy::NoPorts;
                    reports.push((Duration::ZERO, MediaReport::Refused { leg, why }));
                    return reports;
                }
                self.legs.entry(leg).or_default();
                let port = 20_000 + leg.0 % 1_000 * 2;
                let at = |port| SocketAddr::from(([127, 0, 0, 1], port));
                let local =
                    LocalMedia { rtp: at(port), rtcp: at(port + 1), ice: None, fingerprint: None, crypto: Vec::new() };
                reports.push((Duration::ZERO, MediaReport::Allocated { leg, local: Box::new(local) }));
            }
            MediaCommand::Remote { leg, .. } => {
                if let Some(leg) = self.legs.get_mut(&leg) {
                    leg.connected = true;
                }
            }
            MediaCommand::Hear { leg, source } => self.hear(leg, source, &mut reports),
            MediaCommand::Release { leg } => {
                self.legs.remove(&leg);
            }
            MediaCommand::ReleaseCall => self.legs.clear(),
            MediaCommand::SendDigits { leg, digits } => self.sent_digits.push((leg, digits.into())),
            MediaCommand::Digits { leg, digits } => self.policies.push((leg, digits)),
            MediaCommand::Mute { .. } | MediaCommand::Move { .. } => {}
        }
        reports
    }

    fn hear(&mut self, id: LegId, source: Source, reports: &mut Vec<(Duration, MediaReport)>) {
        let Some(leg) = self.legs.get_mut(&id) else { return };
        if let Source::Play(play) = &source {
            if leg.playing != Some(play.token) {
                leg.playing = Some(play.token);
                reports.push((CLIP, MediaReport::PlayDone { leg: id, token: play.token, complete: true }));
            }
        } else {
            leg.playing = None;
        }
        if id == CALLER {
            self.caller_heard.push(source.clone());
        }
        leg.hears = source;
    }

    /// A clip sequence has come to its end; whether it was still the current one.
    pub(crate) fn clip_ended(&mut self, id: LegId, token: PlayToken) -> bool {
        let Some(leg) = self.legs.get_mut(&id).filter(|leg| leg.playing == Some(token)) else { return false };
        leg.playing = None;
        if let Source::Play(play) = leg.hears.clone() {
            leg.hears = play.then;
        }
        true
    }

    /// Whether the leg hears anything at all.
    pub(crate) fn is_audible(&self, id: LegId) -> bool {
        let Some(leg) = self.legs.get(&id) else { return false };
        match &leg.hears {
            Source::Nothing | Source::Silence => false,
            Source::Leg(other) => self.legs.get(other).is_some_and(|other| other.connected),
            Source::Mix => {
                let mixed =
                    |(other, leg): (&LegId, &MediaLeg)| *other != id && leg.connected && leg.hears == Source::Mix;
                self.legs.iter().any(mixed)
            }
            Source::Music | Source::RingBack | Source::BusyTone | Source::Play(_) => true,
        }
    }

    /// Books for how long an answered caller has heard nothing.
    pub(crate) fn watch(&mut self, now: Mono, answered: bool) {
        let silent = answered && self.legs.get(&CALLER).is_some_and(|leg| leg.connected) && !self.is_audible(CALLER);
        match (silent, self.silent_since) {
            (true, None) => self.silent_since = Some(now),
            (true, Some(since)) => self.longest_silence = self.longest_silence.max(now.since(since)),
            (false, Some(since)) => {
                self.longest_silence = self.longest_silence.max(now.since(since));
                self.silent_since = None;
            }
            (false, None) => {}
        }
    }
}
