//! One leg: its peer's description, the source accepted, the stream it sends, and what it hears.

use std::net::SocketAddr;

use super::control::Control;
use super::digits::DigitGate;
use super::playing::Playing;
use super::{Channel, Count, Outlet, SocketKey, Surroundings};
use crate::base::id::{CallId, LegId};
use crate::base::now::Mono;
use crate::engine::media::latch::{Latch, Verdict};
use crate::rtp::command::{Codec, LocalMedia, MediaReport, PlayToken, RemoteMedia, Source};
use crate::rtp::dtmf::{Detector, Pressed, Speaker};
use crate::rtp::jitter::Jitter;
use crate::rtp::mixer::{FRAME, Mixer};
use crate::rtp::packet::{self, HEADER_LEN, Header, PACKET_MAX, Parsed};
use crate::rtp::sequence::{Outgoing, Reception};
use crate::rtp::tone::Tone;

/// Longest packet made here, samples: 60 ms.
const PTIME_MAX: usize = 480;

/// [`Source`] without its data, for the packet path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Voice {
    Nothing,
    Silence,
    Leg(LegId),
    Mix,
    Music,
    Tone(Tone),
    Play,
}

impl Voice {
    const fn of(source: &Source) -> Self {
        match source {
            Source::Nothing => Self::Nothing,
            Source::Silence => Self::Silence,
            Source::Leg(leg) => Self::Leg(*leg),
            Source::Mix => Self::Mix,
            Source::Music => Self::Music,
            Source::RingBack => Self::Tone(Tone::RingBack),
            Source::BusyTone => Self::Tone(Tone::Busy),
            Source::Play(_) => Self::Play,
        }
    }
}

/// What a leg says into a mix.
#[derive(Debug)]
struct Mixing {
    jitter: Jitter,
    own: [i16; FRAME],
}

/// A packet that was accepted, as its listeners need it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Heard {
    parsed: Parsed,
    what: Payload,
    muted: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Payload {
    Audio(Codec),
    Noise,
    Event { kept: bool },
}

#[derive(Debug)]
pub(super) struct Leg {
    pub(super) id: LegId,
    pub(super) socket: SocketKey,
    pub(super) local: LocalMedia,
    pub(super) remote: Option<RemoteMedia>,
    pub(super) latch: Option<Latch>,
    pub(super) restricted: Option<SocketAddr>,
    pub(super) reception: Reception,
    pub(super) outgoing: Outgoing,
    pub(super) control: Control,
    pub(super) muted: bool,
    pub(super) gate: DigitGate,
    pub(super) voice: Voice,
    source: Source,
    detector: Detector,
    speaker: Speaker,
    event_timestamp: u32,
    playing: Option<Playing>,
    last_token: Option<PlayToken>,
    tone_at: u64,
    mixing: Option<Box<Mixing>>,
    pending: Vec<u8>,
}

impl Leg {
    pub(super) fn new(id: LegId, socket: SocketKey, local: LocalMedia, seed: u64) -> Self {
        Self {
            id,
            socket,
            local,
            remote: None,
            latch: None,
            restricted: None,
            reception: Reception::default(),
            outgoing: Outgoing::new(seed),
            control: Control::default(),
            muted: false,
            gate: DigitGate::default(),
            voice: Voice::Nothing,
            source: Source::Nothing,
            detector: Detector::default(),
            speaker: Speaker::default(),
            event_timestamp: 0,
            playing: None,
            last_token: None,
            tone_at: 0,
            mixing: None,
            pending: Vec::new(),
        }
    }

    /// Whether frames must be made for it.
    pub(super) fn needs_frames(&self) -> bool {
        let speaks = !matches!(self.voice, Voice::Nothing | Voice::Leg(_)) || !self.speaker.is_idle();
        self.remote.is_some() && speaks
    }

    /// Sets the peer's description. The accepted source stays unless the address changed.
    pub(super) fn describe(&mut self, now: Mono, remote: RemoteMedia, out: &mut impl Outlet) {
        if self.remote.as_ref() == Some(&remote) {
            return;
        }
        if !self.latch.as_ref().is_some_and(|latch| latch.is_for(remote.rtp, remote.learn)) {
            self.latch = Some(Latch::new(now, remote.rtp, remote.learn));
            self.restrict(now, out);
        }
        if remote.rtcp.is_some() {
            out.open_rtcp(self.socket);
        }
        self.control.described(now);
        self.pending.clear();
        self.remote = Some(remote);
    }

    /// Sets what it hears.
    pub(super) fn hear(&mut self, call: CallId, source: Source, out: &mut impl Outlet) {
        if source == self.source {
            return;
        }
        if let Source::Play(play) = &source
            && self.last_token == Some(play.token)
        {
            if self.playing.is_none() {
                self.hear(call, play.then.clone(), out);
            }
            return;
        }
        self.report_played(call, false, out);
        self.set_source(source);
    }

    /// Forgets a source that lives in the call it leaves.
    pub(super) fn forget_source(&mut self, call: CallId, out: &mut impl Outlet) {
        self.hear(call, Source::Nothing, out);
        self.last_token = None;
    }

    /// Queues digits for its peer.
    pub(super) fn speak(&mut self, digits: &str, out: &mut impl Outlet) {
        let lost = match self.remote.as_ref().and_then(|remote| remote.dtmf) {
            Some(_) => self.speaker.push(digits),
            None => digits.chars().count(),
        };
        (0..lost).for_each(|_| out.count(Count::LostDigit));
    }

    /// Counts a datagram that is of no use.
    pub(super) fn refuse(&mut self, out: &mut impl Outlet) {
        self.control.refused += 1;
        out.count(Count::Refused);
    }

    /// Takes an RTP packet of its peer; says what its listeners get.
    pub(super) fn on_rtp(
        &mut self,
        now: Mono,
        call: CallId,
        from: SocketAddr,
        packet: &[u8],
        out: &mut impl Outlet,
    ) -> Option<Heard> {
        let known = packet::parse(packet).and_then(|parsed| Some((parsed, self.payload_of(&parsed)?)));
        let (Some((parsed, what)), Some(latch)) = (known, &mut self.latch) else {
            self.refuse(out);
            return None;
        };
        match latch.admit(now, from, &parsed.header) {
            Verdict::Refused => {
                self.refuse(out);
                return None;
            }
            Verdict::Latched => {
                out.report(call, MediaReport::Latched { leg: self.id, source: from });
                self.restrict(now, out);
            }
            Verdict::Accepted => {}
        }
        self.reception.on_packet(now, &parsed.header);
        if self.control.heard(now) {
            out.report(call, MediaReport::Resumed { leg: self.id });
        }
        if !self.remote.as_ref().is_some_and(|remote| remote.direction.receives()) {
            return None;
        }
        let what = match what {
            Payload::Event { .. } => self.on_event(now, call, &parsed, packet, out),
            Payload::Audio(codec) => {
                self.on_audio(now, call, &parsed, codec, packet, out);
                what
            }
            Payload::Noise => what,
        };
        Some(Heard { parsed, what, muted: self.muted })
    }

    /// Sends a packet of the leg it hears to its own peer.
    pub(super) fn relay(&mut self, now: Mono, from: LegId, heard: &Heard, packet: &mut [u8], out: &mut impl Outlet) {
        let Some(remote) = &self.remote else { return };
        let key = u32::from(from.0);
        let payload_type = match heard.what {
            Payload::Audio(_) => Some(remote.payload_type),
            Payload::Noise => remote.comfort_noise,
            Payload::Event { kept } => remote.dtmf.filter(|_| !kept),
        };
        let to = self.latch.as_ref().and_then(Latch::destination).filter(|_| remote.direction.sends());
        let (Some(payload_type), Some(to), true) = (payload_type, to, self.speaker.is_idle()) else {
            self.outgoing.skip(key, &heard.parsed.header);
            return;
        };
        let length = heard.parsed.end - heard.parsed.start;
        let Some(header) = self.outgoing.relay(now, key, &heard.parsed.header, length) else { return };
        let header = Header { payload_type, ..header };
        match heard.what {
            Payload::Audio(codec) if heard.muted || codec != remote.codec => {
                let mut copy = [0; PACKET_MAX];
                let Some(copy) = copy.get_mut(..packet.len()) else { return };
                copy.copy_from_slice(packet);
                if let Some(payload) = copy.get_mut(heard.parsed.start..heard.parsed.end) {
                    if heard.muted {
                        payload.fill(remote.codec.silence());
                    } else {
                        codec.convert(remote.codec, payload);
                    }
                }
                packet::rewrite(copy, &header);
                out.send(self.socket, Channel::Rtp, to, copy);
            }
            Payload::Audio(_) | Payload::Noise | Payload::Event { .. } => {
                packet::rewrite(packet, &header);
                out.send(self.socket, Channel::Rtp, to, packet);
            }
        }
        out.count(Count::Relayed);
    }

    /// Adds what it says to a mix it takes part in.
    pub(super) fn mix_into(&mut self, mixer: &mut Mixer) {
        let Some(mixing) = &mut self.mixing else { return };
        if mixing.jitter.pull(&mut mixing.own) {
            if self.muted {
                mixing.own.fill(0);
            }
            mixer.add(&mixing.own);
        }
    }

    /// Lets frames pass unmade.
    pub(super) fn skip(&mut self, frames: u32) {
        self.outgoing.pass(frames.saturating_mul(FRAME as u32));
    }

    /// Makes the frame due at `due` and sends what fills a packet.
    pub(super) fn on_frame(
        &mut self,
        now: Mono,
        due: Mono,
        call: CallId,
        mixer: &Mixer,
        world: Surroundings<'_>,
        out: &mut impl Outlet,
    ) {
        let Some(remote) = &self.remote else { return };
        let (codec, sends) = (remote.codec, remote.direction.sends());
        let mut frame = [0; FRAME];
        let over = match self.fill(due, codec, mixer, world, &mut frame) {
            Filled::Nothing => {
                self.send_digit(now, out);
                return;
            }
            Filled::Frame => false,
            Filled::Last => true,
        };
        if let Some(playing) = &mut self.playing {
            (0..playing.take_unknown()).for_each(|_| out.count(Count::UnknownClip));
        }
        if self.send_digit(now, out) {
            self.outgoing.pass(FRAME as u32);
        } else if sends {
            self.packetise(now, &frame, out);
        }
        if over {
            self.end_playing(call, true, out);
        }
    }

    /// Ends a press of which nothing more came.
    pub(super) fn end_silent_press(&mut self, now: Mono, call: CallId, out: &mut impl Outlet) {
        if let Some(pressed) = self.detector.on_time(now) {
            self.on_pressed(now, call, pressed, out);
        }
    }

    /// Ends its playing, if any, without setting what comes after.
    pub(super) fn report_played(&mut self, call: CallId, complete: bool, out: &mut impl Outlet) -> Option<Source> {
        let playing = self.playing.take()?;
        out.report(call, MediaReport::PlayDone { leg: self.id, token: playing.play.token, complete });
        Some(playing.play.then)
    }

    /// Connects the socket to whom the latch trusts, or opens it again.
    pub(super) fn restrict(&mut self, now: Mono, out: &mut impl Outlet) {
        let peer = self.latch.as_mut().and_then(|latch| latch.firm_peer(now));
        if peer != self.restricted {
            self.restricted = peer;
            out.restrict(self.socket, peer);
        }
    }

    fn set_source(&mut self, source: Source) {
        self.voice = Voice::of(&source);
        self.tone_at = 0;
        self.pending.clear();
        if self.voice != Voice::Mix {
            self.mixing = None;
        } else if self.mixing.is_none() {
            self.mixing = Some(Box::new(Mixing { jitter: Jitter::default(), own: [0; FRAME] }));
        }
        if let Source::Play(play) = &source {
            self.last_token = Some(play.token);
            self.playing = Some(Playing::new(play.clone()));
        }
        self.source = source;
    }

    fn end_playing(&mut self, call: CallId, complete: bool, out: &mut impl Outlet) {
        if let Some(then) = self.report_played(call, complete, out) {
            self.set_source(then);
        }
    }

    fn payload_of(&self, parsed: &Parsed) -> Option<Payload> {
        let remote = self.remote.as_ref()?;
        let number = parsed.header.payload_type;
        if number == remote.payload_type {
            Some(Payload::Audio(remote.codec))
        } else if Some(number) == remote.dtmf {
            Some(Payload::Event { kept: true })
        } else if Some(number) == remote.comfort_noise {
            Some(Payload::Noise)
        } else {
            // Some gear sends the other G.711 law than it agreed to; the static numbers leave no doubt.
            match number {
                0 => Some(Payload::Audio(Codec::Pcmu)),
                8 => Some(Payload::Audio(Codec::Pcma)),
                _ => None,
            }
        }
    }

    fn on_audio(
        &mut self,
        now: Mono,
        call: CallId,
        parsed: &Parsed,
        codec: Codec,
        packet: &[u8],
        out: &mut impl Outlet,
    ) {
        if self.detector.is_pressed()
            && let Some(pressed) = self.detector.on_audio(parsed.header.timestamp)
        {
            self.on_pressed(now, call, pressed, out);
        }
        if let Some(mixing) = &mut self.mixing {
            let payload = parsed.payload(packet);
            let mut samples = [0; PACKET_MAX];
            codec.decode(payload, &mut samples);
            let samples = samples.get(..payload.len().min(PTIME_MAX * 2)).unwrap_or_default();
            mixing.jitter.push(parsed.header.ssrc, parsed.header.timestamp, samples);
        }
    }

    fn on_event(&mut self, now: Mono, call: CallId, parsed: &Parsed, packet: &[u8], out: &mut impl Outlet) -> Payload {
        let timestamp = parsed.header.timestamp;
        let step = self.detector.on_event(now, timestamp, parsed.payload(packet));
        if let Some(pressed) = step.lost_end {
            self.on_pressed(now, call, pressed, out);
        }
        if let Some(digit) = step.begins {
            self.gate.begins(now, timestamp, digit);
            if self.playing.as_ref().is_some_and(|playing| playing.play.barge_in) {
                self.end_playing(call, false, out);
            }
        }
        if let Some(pressed) = step.ended {
            self.on_pressed(now, call, pressed, out);
        }
        Payload::Event { kept: self.gate.is_kept(timestamp) }
    }

    fn on_pressed(&mut self, now: Mono, call: CallId, pressed: Pressed, out: &mut impl Outlet) {
        self.gate.ended(now, pressed.digit);
        out.report(call, MediaReport::Digit { leg: self.id, digit: pressed.digit, held_ms: pressed.held_ms });
    }

    fn fill(
        &mut self,
        due: Mono,
        codec: Codec,
        mixer: &Mixer,
        world: Surroundings<'_>,
        frame: &mut [u8; FRAME],
    ) -> Filled {
        let mut samples = [0; FRAME];
        match self.voice {
            Voice::Nothing | Voice::Leg(_) => return Filled::Nothing,
            Voice::Silence => frame.fill(codec.silence()),
            Voice::Mix => {
                let own = self.mixing.as_ref().map_or(&[0; FRAME], |mixing| &mixing.own);
                mixer.minus(own, &mut samples);
                codec.encode(&samples, frame);
            }
            Voice::Tone(tone) => {
                tone.fill(self.tone_at, &mut samples);
                self.tone_at += FRAME as u64;
                codec.encode(&samples, frame);
            }
            Voice::Music => {
                let music = world.clips.music();
                let place = (due.0 / 20_000_000).wrapping_mul(FRAME as u64) % music.len().max(1) as u64;
                let (head, tail) = music.split_at(usize::try_from(place).unwrap_or(0).min(music.len()));
                frame.iter_mut().zip(tail.iter().chain(head)).for_each(|(code, source)| *code = *source);
                Codec::Pcma.convert(codec, frame);
            }
            Voice::Play => {
                let over = self.playing.as_mut().is_none_or(|playing| playing.fill(world.clips, frame));
                Codec::Pcma.convert(codec, frame);
                return if over { Filled::Last } else { Filled::Frame };
            }
        }
        Filled::Frame
    }

    /// Collects frames to packets of the peer's length.
    fn packetise(&mut self, now: Mono, frame: &[u8; FRAME], out: &mut impl Outlet) {
        let length = self.remote.as_ref().map_or(FRAME, |remote| usize::from(remote.ptime_ms) * 8).clamp(80, PTIME_MAX);
        if length == FRAME && self.pending.is_empty() {
            self.send_audio(now, frame, out);
            return;
        }
        self.pending.extend_from_slice(frame);
        while self.pending.len() >= length {
            let mut packet = [0; PTIME_MAX];
            let rest = self.pending.split_off(length);
            if let Some(part) = packet.get_mut(..length) {
                part.copy_from_slice(&self.pending);
                self.send_audio(now, part, out);
            }
            self.pending = rest;
        }
    }

    fn send_audio(&mut self, now: Mono, payload: &[u8], out: &mut impl Outlet) {
        let Some(remote) = &self.remote else { return };
        let Some(to) = self.latch.as_ref().and_then(Latch::destination) else { return };
        let samples = u32::try_from(payload.len()).unwrap_or(0);
        let header = self.outgoing.generate(now, samples, payload.len());
        let header = Header { payload_type: remote.payload_type, ..header };
        let mut packet = [0; HEADER_LEN + PTIME_MAX];
        let Some(packet) = packet.get_mut(..HEADER_LEN + payload.len()) else { return };
        packet::write(packet, &header);
        if let Some(body) = packet.get_mut(HEADER_LEN..) {
            body.copy_from_slice(payload);
        }
        out.send(self.socket, Channel::Rtp, to, packet);
    }

    /// Sends the next packet of a digit, if one is being sent.
    fn send_digit(&mut self, now: Mono, out: &mut impl Outlet) -> bool {
        let Some(frame) = self.speaker.step() else { return false };
        let Some(remote) = &self.remote else { return true };
        let to = self.latch.as_ref().and_then(Latch::destination).filter(|_| remote.direction.sends());
        let (Some(payload_type), Some(to)) = (remote.dtmf, to) else { return true };
        if frame.begins {
            self.event_timestamp = self.outgoing.event_begins(now);
        }
        let header = self.outgoing.event(now, self.event_timestamp, frame.begins, frame.payload.len());
        let mut packet = [0; HEADER_LEN + 4];
        packet::write(&mut packet, &Header { payload_type, ..header });
        if let Some(body) = packet.last_chunk_mut::<4>() {
            *body = frame.payload;
        }
        out.send(self.socket, Channel::Rtp, to, &packet);
        true
    }
}

enum Filled {
    Nothing,
    Frame,
    Last,
}
