//! One call's media: who hears what, packet by packet and frame by frame. Pure.
//!
//! Time, datagrams and commands come in; packets, socket wishes and reports go out through [`Outlet`]. The worker
//! around it owns sockets and the wheel; a test owns neither. Every command describes a state and may be repeated.
//! Deliberately absent: ports, `Allocate` and `Release*` (the worker makes and drops legs), recording, SRTP.
//!
//! | a leg hears | what is sent to it |
//! |---|---|
//! | `Nothing` | nothing but digits |
//! | `Leg(x)` | x's packets as they come, numbers and payload type rewritten, A-law and µ-law converted where they differ |
//! | anything else | a packet per `ptime`, from 20 ms frames made on the worker's grid |
//!
//! Limits: 64 digits waiting per leg; a datagram over 1,500 bytes is refused.

use std::net::SocketAddr;

use super::library::ClipLibrary;
use crate::base::id::{CallId, LegId};
use crate::base::now::Mono;
use crate::rtp::command::{LocalMedia, MediaCommand, MediaReport};
use crate::rtp::mixer::Mixer;
use crate::rtp::packet::{Kind, PACKET_MAX, classify};

use leg::{Leg, Voice};

mod control;
mod digits;
mod leg;
mod playing;

/// The worker's name for a leg's pair of sockets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SocketKey(pub usize);

/// Which socket of the pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Channel {
    /// The even port.
    Rtp,
    /// The odd port.
    Rtcp,
}

/// Where a datagram came in and from whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arrival {
    /// The leg it came to.
    pub leg: LegId,
    /// On which of its sockets.
    pub channel: Channel,
    /// Its source.
    pub from: SocketAddr,
}

/// Something worth counting that is nobody's business one by one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Count {
    /// A packet went from one leg to another.
    Relayed,
    /// A datagram was not from the accepted source, or no RTP, or of a payload type not agreed.
    Refused,
    /// A clip that the library does not have was asked for.
    UnknownClip,
    /// A digit could not be sent (none agreed with the peer, or too many waiting).
    LostDigit,
}

/// What a session does to the world.
pub trait Outlet {
    /// Sends a datagram.
    fn send(&mut self, socket: SocketKey, channel: Channel, to: SocketAddr, packet: &[u8]);
    /// Lets the kernel drop everybody but `peer`; with `None` everybody is heard.
    fn restrict(&mut self, socket: SocketKey, peer: Option<SocketAddr>);
    /// Binds the RTCP port, if it is not.
    fn open_rtcp(&mut self, socket: SocketKey);
    /// Tells the call.
    fn report(&mut self, call: CallId, report: MediaReport);
    /// Counts.
    fn count(&mut self, what: Count);
}

/// What sessions share and only read.
#[derive(Clone, Copy, Debug)]
pub struct Surroundings<'a> {
    /// Clips and music.
    pub clips: &'a ClipLibrary,
    /// NTP time at [`Mono::ZERO`].
    pub ntp_at_start: u64,
}

/// The media of one call.
#[derive(Debug)]
pub struct Session {
    call: CallId,
    legs: Vec<Leg>,
}

impl Session {
    /// A call without legs.
    #[must_use]
    pub const fn new(call: CallId) -> Self {
        Self { call, legs: Vec::new() }
    }

    /// Whose media it is.
    #[must_use]
    pub const fn call(&self) -> CallId {
        self.call
    }

    /// Adds a leg whose sockets are bound; `seed` gives its stream's numbers. A leg of that name already there stays.
    pub fn add(&mut self, leg: LegId, socket: SocketKey, local: LocalMedia, seed: u64) {
        if self.leg(leg).is_none() {
            if self.legs.is_empty() {
                // Most calls have two, and a vector that grows by itself takes room for four.
                self.legs.reserve_exact(2);
            }
            self.legs.push(Leg::new(leg, socket, local, seed));
        }
    }

    /// Takes a leg out: its playing ends, its last figures are reported, its peer hears an RTCP BYE.
    pub fn remove(
        &mut self,
        now: Mono,
        leg: LegId,
        world: Surroundings<'_>,
        out: &mut impl Outlet,
    ) -> Option<SocketKey> {
        let at = self.legs.iter().position(|candidate| candidate.id == leg)?;
        let mut leg = self.legs.remove(at);
        leg.leave(now, self.call, world, out);
        Some(leg.socket)
    }

    /// Takes a leg out for another call, with its stream's numbers and its latch.
    pub fn give(&mut self, leg: LegId, out: &mut impl Outlet) -> Option<MovedLeg> {
        let at = self.legs.iter().position(|candidate| candidate.id == leg)?;
        let mut leg = self.legs.remove(at);
        leg.forget_source(self.call, out);
        Some(MovedLeg(leg))
    }

    /// Takes in a leg of another call under a new name; its ports are reported as if allocated now.
    pub fn adopt(&mut self, moved: MovedLeg, name: LegId, socket: SocketKey, out: &mut impl Outlet) {
        let MovedLeg(mut leg) = moved;
        (leg.id, leg.socket) = (name, socket);
        out.report(self.call, MediaReport::Allocated { leg: name, local: Box::new(leg.local.clone()) });
        self.legs.push(leg);
    }

    /// What was written into the SDP for a leg.
    #[must_use]
    pub fn local(&self, leg: LegId) -> Option<&LocalMedia> {
        self.leg(leg).map(|leg| &leg.local)
    }

    /// The sockets of all legs.
    pub fn legs(&self) -> impl Iterator<Item = (LegId, SocketKey)> + '_ {
        self.legs.iter().map(|leg| (leg.id, leg.socket))
    }

    /// Whether no leg is left.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.legs.is_empty()
    }

    /// Whether some leg must be fed each 20 ms.
    #[must_use]
    pub fn needs_frames(&self) -> bool {
        self.legs.iter().any(Leg::needs_frames)
    }

    /// Takes a command about a leg that is here. Those about ports are the worker's and do nothing here.
    pub fn apply(&mut self, now: Mono, command: MediaCommand, out: &mut impl Outlet) {
        let call = self.call;
        match command {
            MediaCommand::Remote { leg, remote } => {
                if let Some(leg) = self.leg_mut(leg) {
                    leg.describe(now, *remote, out);
                }
            }
            MediaCommand::Hear { leg, source } => {
                if let Some(leg) = self.leg_mut(leg) {
                    leg.hear(call, source, out);
                }
            }
            MediaCommand::Mute { leg, muted } => {
                if let Some(leg) = self.leg_mut(leg) {
                    leg.muted = muted;
                }
            }
            MediaCommand::Digits { leg, digits } => {
                if let Some(leg) = self.leg_mut(leg) {
                    leg.gate.set(digits);
                }
            }
            MediaCommand::SendDigits { leg, digits } => {
                if let Some(leg) = self.leg_mut(leg) {
                    leg.speak(&digits, out);
                }
            }
            MediaCommand::Allocate { .. }
            | MediaCommand::Release { .. }
            | MediaCommand::ReleaseCall
            | MediaCommand::Move { .. } => {}
        }
    }

    /// Takes a datagram that came to a leg.
    pub fn on_datagram(
        &mut self,
        now: Mono,
        arrival: Arrival,
        packet: &mut [u8],
        world: Surroundings<'_>,
        out: &mut impl Outlet,
    ) {
        let (call, Arrival { leg, channel, from }) = (self.call, arrival);
        let Some(at) = self.legs.iter().position(|candidate| candidate.id == leg) else { return };
        let Some(speaker) = self.legs.get_mut(at) else { return };
        let heard = match classify(packet) {
            Kind::Rtp if channel == Channel::Rtp && packet.len() <= PACKET_MAX => {
                speaker.on_rtp(now, call, from, packet, out)
            }
            Kind::Rtcp => {
                speaker.on_rtcp(now, call, arrival, packet, world, out);
                return;
            }
            Kind::Rtp | Kind::Stun | Kind::Dtls | Kind::Other => {
                speaker.refuse(out);
                return;
            }
        };
        let Some(heard) = heard else { return };
        for listener in self.legs.iter_mut().filter(|listener| listener.voice == Voice::Leg(leg)) {
            listener.relay(now, leg, &heard, packet, out);
        }
    }

    /// Makes the 20 ms frames due: `frames` of them, the first due at `first_due`, after `skipped` that were due while
    /// the machine stood still and are lost.
    pub fn on_frames(&mut self, now: Mono, grid: Grid, world: Surroundings<'_>, out: &mut impl Outlet) {
        if grid.skipped > 0 {
            self.legs.iter_mut().for_each(|leg| leg.skip(grid.skipped));
        }
        for nth in 0..u64::from(grid.frames) {
            let due = Mono(grid.first_due.0 + nth * 20_000_000);
            let mut mixer = Mixer::default();
            for leg in &mut self.legs {
                leg.mix_into(&mut mixer);
            }
            for leg in &mut self.legs {
                leg.on_frame(now, due, self.call, &mixer, world, out);
            }
        }
    }

    /// Does what is due by time: stalls, key presses without an end, probation of learnt sources, RTCP, figures.
    pub fn on_upkeep(&mut self, now: Mono, world: Surroundings<'_>, out: &mut impl Outlet) {
        for leg in &mut self.legs {
            leg.upkeep(now, self.call, world, out);
        }
    }

    fn leg(&self, id: LegId) -> Option<&Leg> {
        self.legs.iter().find(|leg| leg.id == id)
    }

    fn leg_mut(&mut self, id: LegId) -> Option<&mut Leg> {
        self.legs.iter_mut().find(|leg| leg.id == id)
    }
}

/// Frames due on the 20 ms grid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grid {
    /// When the first of them was due.
    pub first_due: Mono,
    /// How many are made.
    pub frames: u32,
    /// How many before them are not.
    pub skipped: u32,
}

/// Most frames made at once after a stall, beside the one that is due.
const CATCH_UP: u64 = 2;
/// The grid, ns.
const FRAME_NANOS: u64 = 20_000_000;

impl Grid {
    /// What to do now about a frame that was due at `due`: catch up with at most two more, skip the rest.
    #[must_use]
    pub fn at(now: Mono, due: Mono) -> Self {
        let late = now.0.saturating_sub(due.0) / FRAME_NANOS;
        let skipped = late.saturating_sub(CATCH_UP);
        let frames = u32::try_from(late - skipped + 1).unwrap_or(1);
        let skipped_count = u32::try_from(skipped).unwrap_or(u32::MAX / 160);
        Self { first_due: Mono(due.0 + skipped * FRAME_NANOS), frames, skipped: skipped_count }
    }

    /// When the next frame is due.
    #[must_use]
    pub const fn next_due(&self) -> Mono {
        Mono(self.first_due.0 + self.frames as u64 * FRAME_NANOS)
    }
}

/// A leg on its way from one call to another.
#[derive(Debug)]
pub struct MovedLeg(Leg);

impl MovedLeg {
    /// Its sockets where it came from.
    #[must_use]
    pub const fn socket(&self) -> SocketKey {
        self.0.socket
    }
}

#[cfg(test)]
mod tests;
