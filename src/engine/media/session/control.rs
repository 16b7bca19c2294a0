//! A leg's RTCP, its silence watch and its figures.
//!
//! RFC 3550 §6: a compound report each five seconds to a peer that may be sent to, BYE on leaving. A peer's report or
//! BYE counts only from the host whose RTP is accepted and, for BYE, for the SSRC heard.

use std::net::SocketAddr;
use std::time::Duration;

use super::leg::Leg;
use super::{Arrival, Channel, Outlet, Surroundings};
use crate::base::id::CallId;
use crate::base::now::Mono;
use crate::engine::media::clock::ntp_since_start;
use crate::engine::media::latch::Latch;
use crate::rtp::command::{MediaReport, Quality};
use crate::rtp::rtcp::{self, Item, SenderInfo};

/// Between two reports of ours, to the peer and to the call (RFC 3550 §6.2 minimum).
const REPORT_EVERY: Duration = Duration::from_secs(5);
/// Silence that is told to the call, and each time again.
const STALL: Duration = Duration::from_secs(5);
/// Silence after which a learning leg listens to other sources again.
const RELEARN: Duration = Duration::from_secs(10);

/// What a leg keeps for this.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Control {
    pub(super) refused: u64,
    last_heard: Mono,
    stalls_told: u32,
    next_report: Option<Mono>,
    last_sender_report: Option<(u32, Mono)>,
    rtcp_source: Option<SocketAddr>,
    rtt_us: Option<u32>,
    said_bye: bool,
}

impl Control {
    /// The peer's description was set: silence counts from here.
    pub(super) fn described(&mut self, now: Mono) {
        self.last_heard = now;
        self.next_report.get_or_insert(now + REPORT_EVERY);
    }

    /// A packet was accepted; `true` when that ends a silence told to the call.
    pub(super) const fn heard(&mut self, now: Mono) -> bool {
        self.last_heard = now;
        let resumed = self.stalls_told > 0;
        self.stalls_told = 0;
        resumed
    }
}

impl Leg {
    /// Does what is due by time.
    pub(super) fn upkeep(&mut self, now: Mono, call: CallId, world: Surroundings<'_>, out: &mut impl Outlet) {
        self.end_silent_press(now, call, out);
        self.restrict(now, out);
        self.watch_silence(now, call, out);
        if self.control.next_report.is_some_and(|due| due <= now) {
            self.control.next_report = Some(now + REPORT_EVERY);
            self.send_report(now, world, false, out);
            out.report(call, MediaReport::Quality { leg: self.id, quality: self.quality() });
        }
    }

    /// Says goodbye to peer and call.
    pub(super) fn leave(&mut self, now: Mono, call: CallId, world: Surroundings<'_>, out: &mut impl Outlet) {
        self.report_played(call, false, out);
        self.send_report(now, world, true, out);
        out.report(call, MediaReport::Quality { leg: self.id, quality: self.quality() });
    }

    /// Takes an RTCP datagram.
    pub(super) fn on_rtcp(
        &mut self,
        now: Mono,
        call: CallId,
        arrival: Arrival,
        packet: &[u8],
        world: Surroundings<'_>,
        out: &mut impl Outlet,
    ) {
        let Arrival { channel, from, .. } = arrival;
        let peer = self.latch.as_ref().and_then(Latch::destination);
        let known = match channel {
            Channel::Rtp => peer == Some(from),
            Channel::Rtcp => peer.is_some_and(|peer| peer.ip() == from.ip()),
        };
        if !known {
            self.refuse(out);
            return;
        }
        if channel == Channel::Rtcp {
            self.control.rtcp_source = Some(from);
        }
        let (heard, ours) = (self.reception.ssrc(), self.outgoing.ssrc());
        let ntp = world.ntp_at_start.wrapping_add(ntp_since_start(now));
        let control = &mut self.control;
        let mut leaving = false;
        let sound = rtcp::read(packet, |item| match item {
            Item::Sender { ssrc, info } if Some(ssrc) == heard => {
                control.last_sender_report = Some((rtcp::ntp_middle(info.ntp), now));
            }
            Item::Block { block, .. } if block.ssrc == ours => {
                let trip = rtcp::round_trip(ntp, &block).map(|trip| u64::from(trip) * 1_000_000 / 65_536);
                control.rtt_us = trip.and_then(|us| u32::try_from(us).ok()).or(control.rtt_us);
            }
            Item::Bye { ssrc } => leaving |= Some(ssrc) == heard,
            Item::Sender { .. } | Item::Block { .. } => {}
        });
        if leaving && !control.said_bye {
            control.said_bye = true;
            out.report(call, MediaReport::RtcpBye { leg: self.id });
        }
        if !sound {
            self.refuse(out);
        }
    }

    fn quality(&self) -> Quality {
        Quality {
            received: self.reception.received(),
            sent: self.outgoing.packets(),
            lost: self.reception.lost(),
            refused: self.control.refused,
            jitter_us: self.reception.jitter_us(),
            rtt_us: self.control.rtt_us,
        }
    }

    fn watch_silence(&mut self, now: Mono, call: CallId, out: &mut impl Outlet) {
        let Some(remote) = &self.remote else { return };
        if !remote.direction.receives() {
            self.control.last_heard = now;
            return;
        }
        let silent = now.since(self.control.last_heard);
        if silent >= STALL * (self.control.stalls_told + 1) {
            self.control.stalls_told = u32::try_from(silent.as_secs() / STALL.as_secs()).unwrap_or(u32::MAX - 1);
            out.report(call, MediaReport::Stalled { leg: self.id, silent });
        }
        if silent >= RELEARN && self.latch.as_mut().is_some_and(|latch| latch.reopen(now)) {
            self.restrict(now, out);
        }
    }

    fn send_report(&mut self, now: Mono, world: Surroundings<'_>, bye: bool, out: &mut impl Outlet) {
        let Some((channel, to)) = self.rtcp_destination() else { return };
        let ntp = world.ntp_at_start.wrapping_add(ntp_since_start(now));
        let sender = self.outgoing.last().map(|(timestamp, at)| {
            let since = u32::try_from(now.since(at).as_micros() * 8 / 1000).unwrap_or(0);
            let (packets, octets) = (self.outgoing.packets() as u32, self.outgoing.octets() as u32);
            SenderInfo { ntp, rtp: timestamp.wrapping_add(since), packets, octets }
        });
        let mut block = self.reception.report();
        if let (Some(block), Some((middle, at))) = (&mut block, self.control.last_sender_report) {
            block.last_sr = middle;
            block.delay = u32::try_from(now.since(at).as_micros() * 65_536 / 1_000_000).unwrap_or(u32::MAX);
        }
        let mut packet = Vec::with_capacity(128);
        // A name per stream says nothing about us or the caller (RFC 7022 §4.2).
        let cname = format!("{:08x}", self.outgoing.ssrc().rotate_left(13));
        rtcp::write(&mut packet, self.outgoing.ssrc(), sender.as_ref(), block.as_ref(), &cname, bye);
        out.send(self.socket, channel, to, &packet);
    }

    /// Where reports go: with `rtcp-mux` to the RTP peer; else to the described address while RTP comes from the
    /// described one, and to a learnt peer only after its own RTCP came.
    fn rtcp_destination(&self) -> Option<(Channel, SocketAddr)> {
        let (remote, latch) = (self.remote.as_ref()?, self.latch.as_ref()?);
        match remote.rtcp {
            None => latch.destination().map(|to| (Channel::Rtp, to)),
            Some(described) if latch.is_as_described() => {
                Some(described).filter(|to| !to.ip().is_unspecified() && to.port() != 0).map(|to| (Channel::Rtcp, to))
            }
            Some(_) => self.control.rtcp_source.map(|to| (Channel::Rtcp, to)),
        }
    }
}
