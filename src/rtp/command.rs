//! What a call tells its media worker, and what the worker reports.
//!
//! Every command describes a *state* and may be repeated without harm: "this leg hears that source", never "start"
//! or "stop". A leg hears exactly one [`Source`] at a time, so bridging two legs is two commands, a conference is
//! one per party, and no order of delivery can leave a leg in an unnamed condition. Tokens are `(CallId, LegId)`;
//! one [`MediaCommand::ReleaseCall`] frees all a call ever held.
//!
//! Deliberately absent: sockets, ports, clocks (`engine/media`), and who should hear whom (`call`).
//!
//! | state of a leg in the worker | enters on | leaves on |
//! |---|---|---|
//! | absent | – | `Allocate` → allocated or `Refused` |
//! | allocated (ports bound, nothing sent) | `Allocate` | `Remote`, `Release*` |
//! | connected (peer's description known; sends; latches onto the peer's packets) | `Remote` | `Remote` (changed), `Release*` |

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::base::id::{CallId, LegId};

/// Names one leg's media across tasks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct MediaLeg {
    /// The call.
    pub call: CallId,
    /// The leg within it.
    pub leg: LegId,
}

/// How the leg's packets are protected.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum LegKind {
    /// Plain RTP/AVP.
    #[default]
    Plain,
    /// SRTP with keys in the SDP (RFC 4568).
    Srtp,
    /// ICE and DTLS-SRTP, for browsers.
    Ice,
}

/// Whether a leg may use the places kept for emergency calls.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum MediaClass {
    /// An ordinary call.
    #[default]
    Ordinary,
    /// Part of an emergency call or hand-over: reserved ports, never refused while any is left.
    Emergency,
}

/// The audio codecs carried. Nothing beyond G.711 is ever transcoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Codec {
    /// G.711 A-law, static payload type 8.
    Pcma,
    /// G.711 µ-law, static payload type 0.
    Pcmu,
}

/// Which way audio may flow, as seen from us.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Direction {
    /// Both ways.
    #[default]
    SendRecv,
    /// We send, the peer does not (the peer said `recvonly`).
    SendOnly,
    /// The peer sends, we do not (the peer holds us with its own music, or said `sendonly`).
    RecvOnly,
    /// Neither.
    Inactive,
}

impl Direction {
    /// Whether we may send.
    #[must_use]
    pub const fn sends(self) -> bool {
        matches!(self, Self::SendRecv | Self::SendOnly)
    }

    /// Whether we listen.
    #[must_use]
    pub const fn receives(self) -> bool {
        matches!(self, Self::SendRecv | Self::RecvOnly)
    }
}

/// What the peer's description says, once offer and answer have met.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct RemoteMedia {
    /// Where the peer wants RTP. Learning may prefer the source actually seen ([`Self::learn`]).
    pub rtp: SocketAddr,
    /// Where the peer wants RTCP; `None` with `rtcp-mux`.
    pub rtcp: Option<SocketAddr>,
    /// The one audio codec agreed.
    pub codec: Codec,
    /// Its payload type on this leg, both ways.
    pub payload_type: u8,
    /// Payload type of `telephone-event/8000` on this leg, when agreed.
    pub dtmf: Option<u8>,
    /// Payload type of comfort noise (13), when agreed.
    pub comfort_noise: Option<u8>,
    /// Packet length to send, 10–60 ms; 20 by default.
    pub ptime_ms: u16,
    /// Which way audio may flow.
    pub direction: Direction,
    /// Whether the source may differ from the described address (the peer sits behind NAT). A stranger still needs
    /// consistent packets before anything is sent to it.
    pub learn: bool,
}

/// A spoken or played clip, by the name `prompts/<name>.wav`; the place's own recording wins over the shared one.
pub type Clip = Arc<str>;

/// Tells one playing apart from the next on the same leg.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct PlayToken(pub u32);

/// What one leg hears.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Source {
    /// Nothing is sent (before the answer, or on purpose).
    #[default]
    Nothing,
    /// Silence frames are sent, so that the peer sees a live stream.
    Silence,
    /// The other leg's packets, relayed without decoding where both speak the same codec.
    Leg(LegId),
    /// Everybody else whose source is `Mix` too (mix-minus).
    Mix,
    /// The shared queue music; all listeners hear the same position.
    Music,
    /// Ring-back tone as heard in China: 450 Hz, 1 s on, 4 s off.
    RingBack,
    /// Busy or congestion tone: 450 Hz, 350 ms on, 350 ms off.
    BusyTone,
    /// Clips one after the other; then [`Play::then`], and a [`MediaReport::PlayDone`].
    Play(Box<Play>),
}

/// A sequence of clips for one leg.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Play {
    /// Comes back in the report. The same token again is the same playing: it goes on, it does not begin anew.
    pub token: PlayToken,
    /// The place whose own recordings win.
    pub tenant: Arc<str>,
    /// Played in order; an unknown clip is a short tone and a counted fault, never silence.
    pub clips: Vec<Clip>,
    /// How often the whole sequence is played, at least once.
    pub times: u16,
    /// Silence between two rounds.
    pub pause_ms: u16,
    /// Whether a digit ends it at once.
    pub barge_in: bool,
    /// What the leg hears afterwards, until told otherwise.
    pub then: Source,
}

/// From a call to the worker that owns its legs.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum MediaCommand {
    /// Bind ports for a leg. Answered by `Allocated` or `Refused`; repeated, answered again with the same ports.
    Allocate {
        /// The leg.
        leg: LegId,
        /// How its packets are protected.
        kind: LegKind,
        /// Whether reserved ports may be used.
        class: MediaClass,
    },
    /// Set what the peer's description says.
    Remote {
        /// The leg.
        leg: LegId,
        /// The agreed description.
        remote: Box<RemoteMedia>,
    },
    /// Set what a leg hears.
    Hear {
        /// The listening leg.
        leg: LegId,
        /// What it hears from now on.
        source: Source,
    },
    /// Set whether a leg's own sound reaches anybody (mute).
    Mute {
        /// The leg whose microphone is meant.
        leg: LegId,
        /// Whether it is muted.
        muted: bool,
    },
    /// Set whether a leg's RFC 4733 digits are kept from the others while `*` codes are read.
    Digits {
        /// The leg.
        leg: LegId,
        /// What happens to its digits.
        digits: DigitPolicy,
    },
    /// Send digits toward a leg's peer as RFC 4733 events, one after the other (100 ms each, 60 ms apart).
    SendDigits {
        /// The leg.
        leg: LegId,
        /// `0`–`9`, `*`, `#`, `A`–`D`.
        digits: Box<str>,
    },
    /// Free one leg.
    Release {
        /// The leg.
        leg: LegId,
    },
    /// Free all legs of the call.
    ReleaseCall,
    /// Move the leg to another call's worker (used when another citizen's call is joined).
    Move {
        /// The leg.
        leg: LegId,
        /// Its new name.
        to: MediaLeg,
    },
}

/// What happens to the digits a leg's peer keys.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum DigitPolicy {
    /// Reported and passed on.
    #[default]
    Pass,
    /// Reported; never passed on.
    Swallow,
    /// Reported; a `*` and what follows it within 1.5 s is kept back, all other digits pass at once
    /// (`contract.md` §4, codes in a call). The call says by `SendDigits` what turned out to be no code.
    Codes,
}

/// Our side of one leg's media, for the SDP.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct LocalMedia {
    /// Where the peer should send RTP (advertised address).
    pub rtp: SocketAddr,
    /// Where the peer should send RTCP.
    pub rtcp: SocketAddr,
    /// ICE user fragment and password, of an [`LegKind::Ice`] leg.
    pub ice: Option<IceLocal>,
    /// DTLS certificate fingerprint, `sha-256 AB:CD…`, of an [`LegKind::Ice`] leg.
    pub fingerprint: Option<String>,
    /// `a=crypto` values, of an [`LegKind::Srtp`] leg.
    pub crypto: Vec<String>,
}

/// ICE credentials of our side.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct IceLocal {
    /// `a=ice-ufrag`.
    pub ufrag: String,
    /// `a=ice-pwd`.
    pub password: String,
}

/// Why a leg could not have ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum RefusedWhy {
    /// The port range is used up (for this class).
    NoPorts,
    /// The process has no file descriptors left.
    NoDescriptors,
    /// This build or configuration does not serve that kind of leg.
    UnsupportedKind,
    /// The worker's command queue was full.
    Overloaded,
}

/// From a worker to the call that owns the leg.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum MediaReport {
    /// Ports are bound.
    Allocated {
        /// The leg.
        leg: LegId,
        /// What to write into the SDP.
        local: Box<LocalMedia>,
    },
    /// No ports.
    Refused {
        /// The leg.
        leg: LegId,
        /// Why.
        why: RefusedWhy,
    },
    /// The first consistent packets came; where from.
    Latched {
        /// The leg.
        leg: LegId,
        /// The source now accepted.
        source: SocketAddr,
    },
    /// A digit ended (RFC 4733, once per key press).
    Digit {
        /// The leg it came from.
        leg: LegId,
        /// `0`–`9`, `*`, `#`, `A`–`D`.
        digit: char,
        /// How long it was held.
        held_ms: u16,
    },
    /// A playing ended: by its own end, by a digit, or because the leg was told to hear something else.
    PlayDone {
        /// The leg.
        leg: LegId,
        /// Which playing.
        token: PlayToken,
        /// Whether it was played to its end.
        complete: bool,
    },
    /// No packet from the peer for this long though the direction expects some.
    Stalled {
        /// The leg.
        leg: LegId,
        /// For how long.
        silent: Duration,
    },
    /// Packets flow again after `Stalled`.
    Resumed {
        /// The leg.
        leg: LegId,
    },
    /// The peer sent RTCP BYE.
    RtcpBye {
        /// The leg.
        leg: LegId,
    },
    /// Figures of a leg, sent when it is released and at most each 5 s while it lives.
    Quality {
        /// The leg.
        leg: LegId,
        /// The figures.
        quality: Quality,
    },
}

impl MediaReport {
    /// The leg the report is about.
    #[must_use]
    pub const fn leg(&self) -> LegId {
        match self {
            Self::Allocated { leg, .. }
            | Self::Refused { leg, .. }
            | Self::Latched { leg, .. }
            | Self::Digit { leg, .. }
            | Self::PlayDone { leg, .. }
            | Self::Stalled { leg, .. }
            | Self::Resumed { leg }
            | Self::RtcpBye { leg }
            | Self::Quality { leg, .. } => *leg,
        }
    }
}

/// Counters of one leg.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Quality {
    /// Packets accepted from the peer.
    pub received: u64,
    /// Packets sent to the peer.
    pub sent: u64,
    /// Packets missing by sequence number.
    pub lost: u64,
    /// Packets dropped because their source was not the latched one, or were no RTP.
    pub refused: u64,
    /// Interarrival jitter (RFC 3550 §6.4.1), microseconds.
    pub jitter_us: u32,
    /// Round trip from RTCP, when measured.
    pub rtt_us: Option<u32>,
}
