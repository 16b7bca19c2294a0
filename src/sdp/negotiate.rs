//! Writes offers and answers for one audio stream, and says what the two descriptions together mean.
//!
//! [`SdpSide`] is our side of one dialog's descriptions: a value that is kept in the call, cloned and checkpointed.
//! It numbers bodies (`o=` version rises only when the body changes, RFC 3264 §8), keeps the number and order of
//! `m=` lines over re-offers, and keeps the payload type of digits the peer chose. Directions in [`RemoteMedia`] are
//! as seen from us; on the wire they are as seen by the author.
//!
//! Deliberately absent: which leg should speak what (the call hands in the preferred codec), SRTP and ICE lines
//! (`RTP/SAVP` streams are answered with port 0), host names in `c=`.
//!
//! | the peer's description says | our direction |
//! |---|---|
//! | `sendrecv`, or nothing | `SendRecv` |
//! | `sendonly`, or `sendrecv` with address 0.0.0.0 (RFC 3264 §8.4) | `RecvOnly` |
//! | `recvonly` | `SendOnly` |
//! | `inactive`, or `recvonly` with address 0.0.0.0 | `Inactive` |

use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::parse::{Connection, MediaDescription, SessionDescription, parse};
use crate::rtp::command::{Codec, Direction, LocalMedia, RemoteMedia};

/// The payload type of digits we offer; the one nearly every phone uses.
const DTMF_OFFERED: u8 = 101;
/// Comfort noise, static (RFC 3551 §6).
const COMFORT_NOISE: u8 = 13;
/// Packet length when the peer says nothing (RFC 3551 §4.5), ms.
const PTIME_USUAL_MS: u16 = 20;
/// Shortest packet served, ms.
const PTIME_MIN_MS: u16 = 10;
/// Longest packet served, ms.
const PTIME_MAX_MS: u16 = 60;

/// What we want from an offer or an answer.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Wishes {
    /// The codec that spares a conversion, because the other leg speaks it. Offered first; chosen from an offer
    /// wherever it stands. `None`: A-law first in an offer, the offerer's order in an answer.
    pub preferred: Option<Codec>,
    /// Which way audio may flow at most, as seen from us.
    pub direction: Direction,
    /// Whether digits as RFC 4733 events are wanted.
    pub digits: bool,
    /// Whether comfort noise is understood.
    pub comfort_noise: bool,
    /// Whether RTP and RTCP may share a port (RFC 5761).
    pub rtcp_mux: bool,
    /// Goes into [`RemoteMedia::learn`].
    pub learn: bool,
    /// Where to send when `c=` is missing or a host name: the address the signalling came from.
    pub fallback: Option<IpAddr>,
}

impl Default for Wishes {
    fn default() -> Self {
        Self {
            preferred: None,
            direction: Direction::SendRecv,
            digits: true,
            comfort_noise: true,
            rtcp_mux: true,
            learn: false,
            fallback: None,
        }
    }
}

/// Why two descriptions do not make a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum NoCommonCodec {
    /// No audio line in use; the status is 488.
    #[error("the description has no audio stream in use")]
    NoAudio,
    /// Audio, but over a transport this leg does not speak (SRTP where none was asked for).
    #[error("the audio stream uses a transport other than `RTP/AVP`")]
    Transport,
    /// Audio without PCMA and PCMU.
    #[error("the audio stream offers neither PCMA nor PCMU")]
    NoCodec,
    /// An answer came to a side that had offered nothing.
    #[error("there is no offer of ours that this could answer")]
    NothingOffered,
}

/// An answer of ours and what was agreed by it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Answer {
    /// The body.
    pub bytes: Bytes,
    /// What the media worker must know.
    pub remote: RemoteMedia,
}

/// Our side of one dialog's session descriptions.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct SdpSide {
    session_id: u64,
    version: u64,
    body: Bytes,
    dtmf: u8,
}

impl SdpSide {
    /// Begins a side. `session_id` must differ between sessions of one address; any number drawn at random will do.
    #[must_use]
    pub const fn new(session_id: u64) -> Self {
        // RFC 8866 §5.2 wants the numbers as text of any length; some gear reads 31 bits.
        let session_id = session_id & 0x7fff_ffff;
        Self { session_id, version: session_id, body: Bytes::new(), dtmf: DTMF_OFFERED }
    }

    /// The same side before anything but `body` was sent: for one more dialog that the same offer began.
    #[must_use]
    pub const fn restarted(&self, body: Bytes) -> Self {
        Self { session_id: self.session_id, version: self.session_id, body, dtmf: DTMF_OFFERED }
    }

    /// The last body sent; empty before the first.
    #[must_use]
    pub const fn last_body(&self) -> &Bytes {
        &self.body
    }

    /// Writes an offer. After an earlier exchange the streams already refused stay in their places with port 0.
    pub fn offer(&mut self, local: &LocalMedia, wishes: &Wishes) -> Bytes {
        let first = wishes.preferred.unwrap_or(Codec::Pcma);
        let second = if first == Codec::Pcma { Codec::Pcmu } else { Codec::Pcma };
        let stream = Stream {
            codecs: &[(first, static_type(first)), (second, static_type(second))],
            dtmf: wishes.digits.then_some(self.dtmf),
            comfort_noise: wishes.comfort_noise.then_some(COMFORT_NOISE),
            ptime_ms: PTIME_USUAL_MS,
            direction: wishes.direction,
            rtcp_mux: wishes.rtcp_mux,
            protocol: "RTP/AVP",
        };
        let past = parse(&self.body).unwrap_or_default();
        if past.media.is_empty() {
            return self.write(local, &[Slot::Audio(&stream)]);
        }
        let ours = past.media.iter().position(|media| media.port != 0).unwrap_or(0);
        let slots: Vec<Slot<'_>> = past
            .media
            .iter()
            .enumerate()
            .map(|(place, media)| if place == ours { Slot::Audio(&stream) } else { Slot::Refused(media) })
            .collect();
        self.write(local, &slots)
    }

    /// Answers an offer: the first usable audio line is taken, every other line gets port 0 in its place.
    ///
    /// # Errors
    ///
    /// [`NoCommonCodec`] when no line can be taken; nothing is changed then.
    pub fn answer(
        &mut self,
        offer: &SessionDescription,
        local: &LocalMedia,
        wishes: &Wishes,
    ) -> Result<Answer, NoCommonCodec> {
        let (place, media) = usable(offer)?;
        let (codec, payload_type) = choose_codec(media, wishes.preferred).ok_or(NoCommonCodec::NoCodec)?;
        let mux = wishes.rtcp_mux && media.has("rtcp-mux");
        let remote = remote_of(offer, media, (codec, payload_type), wishes, mux);
        let stream = Stream {
            codecs: &[(codec, payload_type)],
            dtmf: remote.dtmf,
            comfort_noise: remote.comfort_noise,
            ptime_ms: remote.ptime_ms,
            direction: remote.direction,
            rtcp_mux: mux,
            protocol: &media.protocol,
        };
        let slots: Vec<Slot<'_>> = offer
            .media
            .iter()
            .enumerate()
            .map(|(at, media)| if at == place { Slot::Audio(&stream) } else { Slot::Refused(media) })
            .collect();
        if let Some(dtmf) = remote.dtmf {
            self.dtmf = dtmf;
        }
        let bytes = self.write(local, &slots);
        Ok(Answer { bytes, remote })
    }

    /// Reads the answer to our last offer. Several codecs in it mean the first (RFC 3264 §7 lets us use any).
    ///
    /// # Errors
    ///
    /// [`NoCommonCodec`] when the peer refused the audio line or names no codec of ours.
    pub fn accept(&mut self, answer: &SessionDescription, wishes: &Wishes) -> Result<RemoteMedia, NoCommonCodec> {
        let offered = parse(&self.body).map_err(|_| NoCommonCodec::NothingOffered)?;
        let remote = accept(&offered, answer, wishes)?;
        if let Some(dtmf) = remote.dtmf {
            self.dtmf = dtmf;
        }
        Ok(remote)
    }

    fn write(&mut self, local: &LocalMedia, slots: &[Slot<'_>]) -> Bytes {
        let mut body = self.print(local, slots, self.version);
        if !self.body.is_empty() && *self.body != *body.as_bytes() {
            self.version += 1;
            body = self.print(local, slots, self.version);
        }
        self.body = body.into();
        self.body.clone()
    }

    fn print(&self, local: &LocalMedia, slots: &[Slot<'_>], version: u64) -> String {
        let address = address_text(local.rtp.ip());
        let mut text =
            format!("v=0\r\no=- {} {version} IN {address}\r\ns=-\r\nc=IN {address}\r\nt=0 0\r\n", self.session_id);
        for slot in slots {
            match slot {
                Slot::Audio(stream) => stream.print(local, &mut text),
                Slot::Refused(media) => print_refused(media, &mut text),
            }
        }
        text
    }
}

/// Reads the answer to an offer of ours.
///
/// # Errors
///
/// [`NoCommonCodec`] when the peer refused the audio line or names no codec of ours.
pub fn accept(
    offered: &SessionDescription,
    answer: &SessionDescription,
    wishes: &Wishes,
) -> Result<RemoteMedia, NoCommonCodec> {
    let place = offered.media.iter().position(|media| media.port != 0).ok_or(NoCommonCodec::NothingOffered)?;
    // An answer with fewer lines than the offer breaks RFC 3264 §6; gear that sends one audio line means ours.
    let media = match answer.media.get(place) {
        Some(media) if is_audio(media) => media,
        _ => usable(answer)?.1,
    };
    if media.port == 0 {
        return Err(NoCommonCodec::NoAudio);
    }
    let chosen = choose_codec(media, None).ok_or(NoCommonCodec::NoCodec)?;
    let mux = media.has("rtcp-mux") && offered.media.get(place).is_some_and(|ours| ours.has("rtcp-mux"));
    let asked = offered.media.get(place).and_then(|ours| ours.direction).unwrap_or_default();
    let narrowed = Wishes { direction: both(wishes.direction, asked), ..wishes.clone() };
    Ok(remote_of(answer, media, chosen, &narrowed, mux))
}

enum Slot<'a> {
    Audio(&'a Stream<'a>),
    Refused(&'a MediaDescription),
}

struct Stream<'a> {
    codecs: &'a [(Codec, u8)],
    dtmf: Option<u8>,
    comfort_noise: Option<u8>,
    ptime_ms: u16,
    direction: Direction,
    rtcp_mux: bool,
    protocol: &'a str,
}

impl Stream<'_> {
    fn print(&self, local: &LocalMedia, text: &mut String) {
        let events = self.dtmf.iter();
        let types = self.codecs.iter().map(|(_, payload_type)| payload_type);
        let list = types.chain(self.comfort_noise.iter()).chain(events).map(|number| format!(" {number}"));
        let list: String = list.collect();
        let _ = write!(text, "m=audio {} {}{list}\r\n", local.rtp.port(), self.protocol);
        for (codec, payload_type) in self.codecs {
            let _ = write!(text, "a=rtpmap:{payload_type} {}/8000\r\n", codec_name(*codec));
        }
        if let Some(payload_type) = self.comfort_noise {
            let _ = write!(text, "a=rtpmap:{payload_type} CN/8000\r\n");
        }
        if let Some(payload_type) = self.dtmf {
            let _ = write!(text, "a=rtpmap:{payload_type} telephone-event/8000\r\na=fmtp:{payload_type} 0-15\r\n");
        }
        let _ = write!(text, "a=ptime:{}\r\na={}\r\n", self.ptime_ms, direction_name(self.direction));
        if self.rtcp_mux {
            text.push_str("a=rtcp-mux\r\n");
        }
        if local.rtcp.port() != local.rtp.port().wrapping_add(1) && !self.rtcp_mux {
            let _ = write!(text, "a=rtcp:{}\r\n", local.rtcp.port());
        }
    }
}

/// A refused line repeats kind, transport and formats with port 0 (RFC 3264 §6).
fn print_refused(media: &MediaDescription, text: &mut String) {
    let _ = write!(text, "m={} 0 {}", media.kind, media.protocol);
    if media.formats.is_empty() {
        text.push_str(" 0");
    }
    for format in &media.formats {
        let _ = write!(text, " {format}");
    }
    text.push_str("\r\n");
}

fn is_audio(media: &MediaDescription) -> bool {
    media.kind.eq_ignore_ascii_case("audio")
}

fn is_plain_rtp(media: &MediaDescription) -> bool {
    ["RTP/AVP", "RTP/AVPF"].iter().any(|known| media.protocol.eq_ignore_ascii_case(known))
}

/// The first audio line that can be taken, with its place; else the fault of the line that came nearest.
fn usable(offer: &SessionDescription) -> Result<(usize, &MediaDescription), NoCommonCodec> {
    let mut fault = NoCommonCodec::NoAudio;
    for (place, media) in offer.media.iter().enumerate().filter(|(_, media)| is_audio(media) && media.port != 0) {
        if !is_plain_rtp(media) {
            fault = if fault == NoCommonCodec::NoAudio { NoCommonCodec::Transport } else { fault };
        } else if choose_codec(media, None).is_none() {
            fault = NoCommonCodec::NoCodec;
        } else {
            return Ok((place, media));
        }
    }
    Err(fault)
}

fn choose_codec(media: &MediaDescription, preferred: Option<Codec>) -> Option<(Codec, u8)> {
    let of = |payload_type: u8| {
        let encoding = media.encoding(payload_type)?;
        let codec = if encoding.is_8k("PCMA") {
            Codec::Pcma
        } else if encoding.is_8k("PCMU") {
            Codec::Pcmu
        } else {
            return None;
        };
        Some((codec, payload_type))
    };
    let offered = || media.payload_types().filter_map(of);
    preferred.and_then(|wanted| offered().find(|(codec, _)| *codec == wanted)).or_else(|| offered().next())
}

fn remote_of(
    session: &SessionDescription,
    media: &MediaDescription,
    (codec, payload_type): (Codec, u8),
    wishes: &Wishes,
    mux: bool,
) -> RemoteMedia {
    let stated = match media.connection {
        Connection::Absent => session.connection,
        own @ Connection::Address(_) => own,
    };
    let held = stated.address().is_some_and(|address| address.is_unspecified());
    let address = stated.address().or(wishes.fallback).unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
    let theirs = mirrored(media.direction.or(session.direction).unwrap_or_default());
    let heard = if held { both(theirs, Direction::RecvOnly) } else { theirs };
    let rtp = SocketAddr::new(address, media.port);
    let with_name = |name: &str| {
        media.payload_types().find(|number| media.encoding(*number).is_some_and(|encoding| encoding.is_8k(name)))
    };
    RemoteMedia {
        rtp,
        rtcp: if mux { None } else { rtcp_address(media, rtp) },
        codec,
        payload_type,
        dtmf: with_name("telephone-event").filter(|_| wishes.digits),
        comfort_noise: with_name("CN").filter(|_| wishes.comfort_noise),
        ptime_ms: ptime_of(media),
        direction: both(heard, wishes.direction),
        learn: wishes.learn || stated.address().is_none(),
    }
}

/// `a=rtcp:port [IN IP4 address]` (RFC 3605 §2.1), else the port after RTP's.
fn rtcp_address(media: &MediaDescription, rtp: SocketAddr) -> Option<SocketAddr> {
    let mut words = media.attribute("rtcp").unwrap_or_default().split_ascii_whitespace();
    let port = words.next().and_then(|port| port.parse().ok()).filter(|port| *port != 0);
    let address = words.nth(2).and_then(|address| address.parse().ok()).unwrap_or_else(|| rtp.ip());
    let port = match port {
        Some(port) => port,
        None => rtp.port().checked_add(1)?,
    };
    Some(SocketAddr::new(address, port))
}

/// The peer's `ptime`, never above its `maxptime`, in whole tens within what we serve.
fn ptime_of(media: &MediaDescription) -> u16 {
    let number = |name| {
        let text = media.attribute(name)?.split('.').next()?;
        text.trim().parse::<u16>().ok().filter(|ms| *ms != 0)
    };
    let wanted = number("ptime").unwrap_or(PTIME_USUAL_MS).min(number("maxptime").unwrap_or(PTIME_MAX_MS));
    (wanted / 10 * 10).clamp(PTIME_MIN_MS, PTIME_MAX_MS)
}

const fn mirrored(direction: Direction) -> Direction {
    match direction {
        Direction::SendOnly => Direction::RecvOnly,
        Direction::RecvOnly => Direction::SendOnly,
        both @ (Direction::SendRecv | Direction::Inactive) => both,
    }
}

const fn both(one: Direction, other: Direction) -> Direction {
    match (one.sends() && other.sends(), one.receives() && other.receives()) {
        (true, true) => Direction::SendRecv,
        (true, false) => Direction::SendOnly,
        (false, true) => Direction::RecvOnly,
        (false, false) => Direction::Inactive,
    }
}

const fn static_type(codec: Codec) -> u8 {
    match codec {
        Codec::Pcma => 8,
        Codec::Pcmu => 0,
    }
}

const fn codec_name(codec: Codec) -> &'static str {
    match codec {
        Codec::Pcma => "PCMA",
        Codec::Pcmu => "PCMU",
    }
}

const fn direction_name(direction: Direction) -> &'static str {
    match direction {
        Direction::SendRecv => "sendrecv",
        Direction::SendOnly => "sendonly",
        Direction::RecvOnly => "recvonly",
        Direction::Inactive => "inactive",
    }
}

fn address_text(address: IpAddr) -> String {
    match address {
        IpAddr::V4(address) => format!("IP4 {address}"),
        IpAddr::V6(address) => {
            address.to_ipv4_mapped().map_or_else(|| format!("IP6 {address}"), |address| format!("IP4 {address}"))
        }
    }
}

#[cfg(test)]
mod tests;
