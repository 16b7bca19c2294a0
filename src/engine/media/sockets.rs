//! A worker's sockets and its way out: sends, connects, reports.
//!
//! A pair's RTP port is bound at once, its RTCP port when it is first needed, because 4,000 legs that never use it
//! would double the descriptors. Deliberately absent: deciding anything.

use std::collections::{BTreeSet, VecDeque};
use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use rustix::event::epoll;

use super::session::{Channel, Count, Outlet, SocketKey};
use super::status::{Counters, bump};
use crate::base::id::{CallId, LegId};
use crate::rtp::command::MediaReport;

/// Reports kept while mailboxes are full.
const BACKLOG_MAX: usize = 1024;
/// DSCP EF (RFC 3246) in the TOS byte.
const TOS_EF: u8 = 46 << 2;

/// A leg's sockets.
#[derive(Debug)]
pub(super) struct SocketPair {
    pub(super) rtp: UdpSocket,
    pub(super) rtcp: Option<UdpSocket>,
    /// The even port.
    pub(super) port: u16,
    /// The worker whose range the port is of.
    pub(super) home: usize,
}

impl SocketPair {
    /// Binds the RTP port.
    pub(super) fn bind(address: IpAddr, port: u16, home: usize) -> io::Result<Self> {
        Ok(Self { rtp: bound(address, port)?, rtcp: None, port, home })
    }
}

fn bound(address: IpAddr, port: u16) -> io::Result<UdpSocket> {
    let socket = UdpSocket::bind(SocketAddr::new(address, port))?;
    socket.set_nonblocking(true)?;
    // Marking is a wish; a container may forbid it.
    let _ = match address {
        IpAddr::V4(_) => rustix::net::sockopt::set_ip_tos(&socket, TOS_EF),
        IpAddr::V6(_) => rustix::net::sockopt::set_ipv6_tclass(&socket, u32::from(TOS_EF)),
    };
    Ok(socket)
}

#[derive(Debug)]
pub(super) struct Slot {
    pub(super) pair: SocketPair,
    pub(super) session: usize,
    pub(super) leg: LegId,
    peer: Option<SocketAddr>,
}

pub(super) struct Sockets<R> {
    epoll: OwnedFd,
    address: IpAddr,
    slots: Vec<Option<Slot>>,
    free: Vec<usize>,
    reports: R,
    backlog: VecDeque<(CallId, MediaReport)>,
    counters: Arc<Counters>,
}

impl<R: Fn(CallId, MediaReport) -> Result<(), MediaReport>> Sockets<R> {
    pub(super) fn new(address: IpAddr, reports: R, counters: Arc<Counters>) -> io::Result<Self> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let (slots, free, backlog) = (Vec::new(), Vec::new(), VecDeque::new());
        Ok(Self { epoll, address, slots, free, reports, backlog, counters })
    }

    /// Watches a descriptor that is no leg's.
    pub(super) fn watch(&self, descriptor: impl AsFd, token: u64) -> io::Result<()> {
        let data = epoll::EventData::new_u64(token);
        Ok(epoll::add(&self.epoll, descriptor, data, epoll::EventFlags::IN)?)
    }

    /// Waits for something to read. An interruption is an empty result.
    pub(super) fn wait(&self, events: &mut Vec<epoll::Event>) {
        events.clear();
        let _ = epoll::wait(&self.epoll, rustix::buffer::spare_capacity(events), None);
    }

    /// Takes a pair in.
    pub(super) fn insert(&mut self, pair: SocketPair, session: usize, leg: LegId) -> io::Result<SocketKey> {
        let at = self.free.pop().unwrap_or_else(|| {
            self.slots.push(None);
            self.slots.len() - 1
        });
        let watched = self.watch(&pair.rtp, token(at, Channel::Rtp)).and_then(|()| match &pair.rtcp {
            Some(rtcp) => self.watch(rtcp, token(at, Channel::Rtcp)),
            None => Ok(()),
        });
        if let Err(fault) = watched {
            self.free.push(at);
            return Err(fault);
        }
        let peer = pair.rtp.peer_addr().ok();
        if let Some(slot) = self.slots.get_mut(at) {
            *slot = Some(Slot { pair, session, leg, peer });
        }
        Ok(SocketKey(at))
    }

    /// Takes a pair out; it is watched no more.
    pub(super) fn remove(&mut self, key: SocketKey) -> Option<SocketPair> {
        let slot = self.slots.get_mut(key.0)?.take()?;
        self.free.push(key.0);
        let _ = epoll::delete(&self.epoll, &slot.pair.rtp);
        if let Some(rtcp) = &slot.pair.rtcp {
            let _ = epoll::delete(&self.epoll, rtcp);
        }
        Some(slot.pair)
    }

    pub(super) fn slot(&self, at: usize) -> Option<&Slot> {
        self.slots.get(at)?.as_ref()
    }

    /// Offers the reports kept back once more.
    pub(super) fn flush(&mut self) {
        let mut full = BTreeSet::new();
        // Every report is taken out and put back once at most, so the order stays.
        for _ in 0..self.backlog.len() {
            let Some((call, report)) = self.backlog.pop_front() else { return };
            let refused = if full.contains(&call) { Err(report) } else { (self.reports)(call, report) };
            if let Err(report) = refused {
                full.insert(call);
                self.backlog.push_back((call, report));
            }
        }
    }
}

impl<R: Fn(CallId, MediaReport) -> Result<(), MediaReport>> Outlet for Sockets<R> {
    fn send(&mut self, key: SocketKey, channel: Channel, to: SocketAddr, packet: &[u8]) {
        let Some(Some(slot)) = self.slots.get(key.0) else { return };
        let sent = match (channel, &slot.pair.rtcp) {
            (Channel::Rtp, _) if slot.peer == Some(to) => match slot.pair.rtp.send(packet) {
                // The refusal is an earlier packet's, reported late; this one was not tried.
                Err(fault) if fault.kind() == io::ErrorKind::ConnectionRefused => slot.pair.rtp.send(packet),
                sent => sent,
            },
            (Channel::Rtp, _) => slot.pair.rtp.send_to(packet, to),
            (Channel::Rtcp, Some(rtcp)) => rtcp.send_to(packet, to),
            (Channel::Rtcp, None) => return,
        };
        if sent.is_err() {
            bump(&self.counters.unsent, 1);
        }
    }

    fn restrict(&mut self, key: SocketKey, peer: Option<SocketAddr>) {
        let Some(Some(slot)) = self.slots.get_mut(key.0) else { return };
        let done = match peer {
            Some(peer) => slot.pair.rtp.connect(peer),
            None => rustix::net::connect_unspec(&slot.pair.rtp).map_err(Into::into),
        };
        // Unconnected, the source check of the session still holds.
        slot.peer = peer.filter(|_| done.is_ok());
    }

    fn open_rtcp(&mut self, key: SocketKey) {
        let Some(Some(slot)) = self.slots.get_mut(key.0) else { return };
        if slot.pair.rtcp.is_some() {
            return;
        }
        let Ok(socket) = bound(self.address, slot.pair.port | 1) else {
            bump(&self.counters.unsent, 1);
            return;
        };
        let data = epoll::EventData::new_u64(token(key.0, Channel::Rtcp));
        if epoll::add(&self.epoll, &socket, data, epoll::EventFlags::IN).is_ok() {
            slot.pair.rtcp = Some(socket);
        }
    }

    fn report(&mut self, call: CallId, report: MediaReport) {
        // A report must not overtake an earlier one of its call.
        let waits = self.backlog.iter().any(|(other, _)| *other == call);
        let refused = if waits { Err(report) } else { (self.reports)(call, report) };
        match refused {
            Ok(()) | Err(MediaReport::Quality { .. }) => {}
            Err(report) if self.backlog.len() < BACKLOG_MAX => self.backlog.push_back((call, report)),
            Err(_) => bump(&self.counters.reports_lost, 1),
        }
    }

    fn count(&mut self, what: Count) {
        self.counters.count(what);
    }
}

/// Names a leg's socket in epoll.
pub(super) const fn token(at: usize, channel: Channel) -> u64 {
    (at as u64) << 1
        | match channel {
            Channel::Rtp => 0,
            Channel::Rtcp => 1,
        }
}

/// What a token names.
pub(super) fn of_token(token: u64) -> (usize, Channel) {
    let channel = if token & 1 == 0 { Channel::Rtp } else { Channel::Rtcp };
    (usize::try_from(token >> 1).unwrap_or(usize::MAX), channel)
}

#[cfg(test)]
mod tests {
    use std::cell::{Cell, RefCell};
    use std::rc::Rc;
    use std::sync::atomic::Ordering;

    use super::*;
    use crate::base::id::{TenantName, Ulid};
    use crate::rtp::command::Quality;

    fn call(number: u64) -> CallId {
        CallId(Ulid::compose(jiff::Timestamp::UNIX_EPOCH, 1, &TenantName::new("p"), number))
    }

    fn resumed(leg: u16) -> MediaReport {
        MediaReport::Resumed { leg: LegId(leg) }
    }

    #[test]
    fn a_full_mailbox_gets_its_reports_later_in_order_and_figures_never() {
        let (room, taken) = (Rc::new(Cell::new(false)), Rc::new(RefCell::new(Vec::new())));
        let counters = Arc::new(Counters::default());
        let (has_room, takes) = (Rc::clone(&room), Rc::clone(&taken));
        let reports = move |call: CallId, report: MediaReport| {
            if !has_room.get() {
                return Err(report);
            }
            takes.borrow_mut().push((call, report.leg().0));
            Ok(())
        };
        let mut sockets = Sockets::new("127.0.0.1".parse().unwrap(), reports, Arc::clone(&counters)).unwrap();
        sockets.report(call(1), resumed(1));
        sockets.report(call(1), MediaReport::Quality { leg: LegId(9), quality: Quality::default() });
        room.set(true);
        sockets.report(call(1), resumed(2));
        sockets.report(call(2), resumed(3));
        assert_eq!(*taken.borrow(), [(call(2), 3)]);
        sockets.flush();
        assert_eq!(*taken.borrow(), [(call(2), 3), (call(1), 1), (call(1), 2)]);
        room.set(false);
        (0..BACKLOG_MAX + 5).for_each(|_| sockets.report(call(1), resumed(1)));
        assert_eq!(counters.reports_lost.load(Ordering::Relaxed), 5);
    }

    #[test]
    fn tokens_name_slot_and_channel() {
        for (at, channel) in [(0, Channel::Rtp), (7, Channel::Rtcp)] {
            assert_eq!(of_token(token(at, channel)), (at, channel));
        }
    }
}
