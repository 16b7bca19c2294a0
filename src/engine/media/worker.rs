//! One media thread: waits, receives, lets sessions decide, keeps the grid.
//!
//! A turn is: wait for descriptors; sample the clock once; one receive per ready socket; then commands; then frames
//! and upkeep that are due; then the timer is armed for the next. Deliberately absent: locks, files, logging beyond
//! the start, and every decision about media (`session`).

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rustix::event::{Timespec, epoll};
use rustix::time::{Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, timerfd_create, timerfd_settime};
use thread_priority::unix::{
    RealtimeThreadSchedulePolicy, ThreadSchedulePolicy, set_thread_priority_and_policy, thread_native_id,
};
use thread_priority::{ThreadPriority, ThreadPriorityValue};

use super::clock::MediaClock;
use super::library::ClipLibrary;
use super::ports::PortPool;
use super::ring::{Parcel, Ring, RingEnd, Word};
use super::session::{Arrival, Channel, Grid, Outlet, Session, SocketKey, Surroundings};
use super::sockets::{SocketPair, Sockets, of_token};
use super::status::{Counters, Priority, bump};
use super::wheel::{Wake, Wheel};
use super::worker_of;
use crate::base::id::{CallId, LegId};
use crate::base::now::Mono;
use crate::rtp::command::{LegKind, LocalMedia, MediaClass, MediaCommand, MediaLeg, MediaReport, RefusedWhy};
use crate::rtp::sequence::scramble;

/// Descriptors handled in one turn.
const EVENTS_MAX: usize = 256;
/// Commands handled in one turn.
const WORDS_MAX: usize = 256;
/// Ports tried before a leg is refused; others may sit on some of our range.
const BINDS_MAX: usize = 16;
/// How often a session's upkeep runs.
const UPKEEP: Duration = Duration::from_millis(500);
/// Work after which the thread lets its equals run (kernel throttling of real-time threads stays on beside it).
const TURN_MAX: Duration = Duration::from_millis(2);
const WAKE_TOKEN: u64 = u64::MAX;
const TIMER_TOKEN: u64 = u64::MAX - 1;
const NANOS_PER_MS: u64 = 1_000_000;

/// What a worker is made from.
pub(super) struct Setting {
    pub(super) index: usize,
    pub(super) address: IpAddr,
    pub(super) advertised: IpAddr,
    pub(super) ports: PortPool,
    pub(super) clock: MediaClock,
    pub(super) clips: Arc<ClipLibrary>,
    pub(super) seed: u64,
    pub(super) counters: Arc<Counters>,
    pub(super) stop: Arc<AtomicBool>,
    pub(super) rings: Vec<Ring>,
}

struct Entry {
    session: Session,
    due_ms: u64,
    phase: u8,
    framed: bool,
    next_upkeep: Mono,
}

pub(super) struct Worker<R> {
    setting: Setting,
    ring: RingEnd,
    sockets: Sockets<R>,
    timer: OwnedFd,
    armed_ms: Option<u64>,
    wheel: Wheel,
    sessions: Vec<Option<Entry>>,
    free: Vec<usize>,
    calls: BTreeMap<CallId, usize>,
    /// Words to other workers whose rings were full.
    parcels: VecDeque<(usize, Word)>,
}

impl<R: Fn(CallId, MediaReport) -> Result<(), MediaReport>> Worker<R> {
    pub(super) fn new(setting: Setting, ring: RingEnd, reports: R) -> io::Result<Self> {
        let sockets = Sockets::new(setting.address, reports, Arc::clone(&setting.counters))?;
        let timer = timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK)?;
        sockets.watch(ring.descriptor(), WAKE_TOKEN)?;
        sockets.watch(&timer, TIMER_TOKEN)?;
        let wheel = Wheel::new(setting.clock.now());
        Ok(Self {
            setting,
            ring,
            sockets,
            timer,
            armed_ms: None,
            wheel,
            sessions: Vec::new(),
            free: Vec::new(),
            calls: BTreeMap::new(),
            parcels: VecDeque::new(),
        })
    }

    /// Runs until told to stop.
    pub(super) fn run(mut self, realtime: bool) {
        if realtime {
            self.ask_for_priority();
        }
        self.note_legs(0);
        let mut events = Vec::with_capacity(EVENTS_MAX);
        let mut due = Vec::new();
        while !self.setting.stop.load(Ordering::Acquire) {
            self.sockets.wait(&mut events);
            let now = self.setting.clock.now();
            self.turn(now, &events, &mut due);
            if self.setting.clock.now().since(now) > TURN_MAX {
                std::thread::yield_now();
            }
        }
    }

    fn ask_for_priority(&self) {
        let Ok(lowest) = ThreadPriorityValue::try_from(1) else { return };
        let granted = set_thread_priority_and_policy(
            thread_native_id(),
            ThreadPriority::Crossplatform(lowest),
            ThreadSchedulePolicy::Realtime(RealtimeThreadSchedulePolicy::Fifo),
        );
        match granted {
            Ok(()) => self.setting.counters.set_priority(Priority::Realtime),
            Err(fault) => {
                self.setting.counters.set_priority(Priority::Refused);
                tracing::warn!(
                    worker = self.setting.index,
                    ?fault,
                    "REAL-TIME PRIORITY REFUSED: sound may stutter when this machine is busy; grant LimitRTPRIO=1 or CAP_SYS_NICE"
                );
            }
        }
    }

    fn turn(&mut self, now: Mono, events: &[epoll::Event], due: &mut Vec<Wake>) {
        let mut told = false;
        for event in events {
            match event.data.u64() {
                WAKE_TOKEN => told = true,
                TIMER_TOKEN => {
                    let _ = rustix::io::read(&self.timer, &mut [0_u8; 8]);
                    self.armed_ms = None;
                }
                token => self.on_readable(now, token),
            }
        }
        // After the sockets: a slot given up here cannot be mistaken for another's in this batch of events.
        if told {
            self.on_words(now);
        }
        self.wheel.advance(now, due);
        for wake in due.drain(..) {
            self.on_due(now, wake);
        }
        self.send_parcels();
        self.sockets.flush();
        self.arm(now);
    }

    fn on_readable(&mut self, now: Mono, token: u64) {
        let (at, channel) = of_token(token);
        let Some(slot) = self.sockets.slot(at) else { return };
        let socket = match channel {
            Channel::Rtp => &slot.pair.rtp,
            Channel::Rtcp => match &slot.pair.rtcp {
                Some(rtcp) => rtcp,
                None => return,
            },
        };
        let mut buffer = [0; 2048];
        // A refused port of the peer shows up here as an error; the stall watch is what cares.
        let Ok((length, from)) = socket.recv_from(&mut buffer) else { return };
        let (leg, session) = (slot.leg, slot.session);
        let Some(Some(entry)) = self.sessions.get_mut(session) else { return };
        let Some(packet) = buffer.get_mut(..length) else { return };
        let world = Surroundings { clips: &self.setting.clips, ntp_at_start: self.setting.clock.ntp_at_start() };
        let arrival = Arrival { leg, channel, from };
        entry.session.on_datagram(now, arrival, packet, world, &mut self.sockets);
    }

    fn on_words(&mut self, now: Mono) {
        self.ring.quiet();
        for _ in 0..WORDS_MAX {
            match self.ring.take() {
                Some(Word::Command(call, command)) => self.on_command(now, call, command),
                Some(Word::Adopt(parcel)) => self.adopt(now, *parcel),
                Some(Word::PortBack(port)) => self.setting.ports.give_back(now, port),
                Some(Word::Clips(clips)) => self.setting.clips = clips,
                None => return,
            }
        }
        self.ring.wake_again();
    }

    fn on_command(&mut self, now: Mono, call: CallId, command: MediaCommand) {
        match command {
            MediaCommand::Allocate { leg, kind, class } => self.allocate(now, call, leg, kind, class),
            MediaCommand::Release { leg } => self.release(now, call, leg),
            MediaCommand::ReleaseCall => self.release_call(now, call),
            MediaCommand::Move { leg, to } => self.give(now, call, leg, to),
            other => {
                let Some(at) = self.calls.get(&call).copied() else { return };
                if let Some(Some(entry)) = self.sessions.get_mut(at) {
                    entry.session.apply(now, other, &mut self.sockets);
                }
                self.begin_frames(now, at);
            }
        }
    }

    fn allocate(&mut self, now: Mono, call: CallId, leg: LegId, kind: LegKind, class: MediaClass) {
        let known = self.entry_of(call).and_then(|entry| entry.session.local(leg)).cloned();
        if let Some(local) = known {
            self.sockets.report(call, MediaReport::Allocated { leg, local: Box::new(local) });
            return;
        }
        let bound = match kind {
            LegKind::Plain => self.bind(now, class),
            LegKind::Srtp | LegKind::Ice => Err(RefusedWhy::UnsupportedKind),
        };
        let added = bound.and_then(|pair| {
            let at = self.session_for(now, call);
            let port = pair.port;
            match self.sockets.insert(pair, at, leg) {
                Ok(key) => Ok((at, key, port)),
                Err(_) => {
                    self.setting.ports.give_back(now, port);
                    self.forget_if_empty(at);
                    Err(RefusedWhy::NoDescriptors)
                }
            }
        });
        match added {
            Ok((at, key, port)) => {
                let address = self.setting.advertised;
                let local = LocalMedia {
                    rtp: SocketAddr::new(address, port),
                    rtcp: SocketAddr::new(address, port | 1),
                    ice: None,
                    fingerprint: None,
                    crypto: Vec::new(),
                };
                self.setting.seed = scramble(self.setting.seed);
                if let Some(Some(entry)) = self.sessions.get_mut(at) {
                    entry.session.add(leg, key, local.clone(), self.setting.seed);
                }
                self.note_legs(1);
                self.sockets.report(call, MediaReport::Allocated { leg, local: Box::new(local) });
            }
            Err(why) => self.sockets.report(call, MediaReport::Refused { leg, why }),
        }
    }

    fn bind(&mut self, now: Mono, class: MediaClass) -> Result<SocketPair, RefusedWhy> {
        for _ in 0..BINDS_MAX {
            let port = self.setting.ports.take(now, class).ok_or(RefusedWhy::NoPorts)?;
            match SocketPair::bind(self.setting.address, port, self.setting.index) {
                Ok(pair) => return Ok(pair),
                Err(fault) => {
                    self.setting.ports.give_back(now, port);
                    if fault.kind() != io::ErrorKind::AddrInUse {
                        return Err(RefusedWhy::NoDescriptors);
                    }
                }
            }
        }
        Err(RefusedWhy::NoPorts)
    }

    fn release(&mut self, now: Mono, call: CallId, leg: LegId) {
        let Some(at) = self.calls.get(&call).copied() else { return };
        let Some(Some(entry)) = self.sessions.get_mut(at) else { return };
        let world = Surroundings { clips: &self.setting.clips, ntp_at_start: self.setting.clock.ntp_at_start() };
        if let Some(key) = entry.session.remove(now, leg, world, &mut self.sockets) {
            self.close(now, key);
        }
        self.forget_if_empty(at);
    }

    fn release_call(&mut self, now: Mono, call: CallId) {
        let legs: Vec<LegId> =
            self.entry_of(call).map(|entry| entry.session.legs().map(|(leg, _)| leg).collect()).unwrap_or_default();
        for leg in legs {
            self.release(now, call, leg);
        }
    }

    fn close(&mut self, now: Mono, key: SocketKey) {
        let Some(pair) = self.sockets.remove(key) else { return };
        if pair.home == self.setting.index {
            self.setting.ports.give_back(now, pair.port);
        } else {
            self.parcels.push_back((pair.home, Word::PortBack(pair.port)));
        }
        self.note_legs(-1);
    }

    fn give(&mut self, now: Mono, call: CallId, leg: LegId, to: MediaLeg) {
        let Some(at) = self.calls.get(&call).copied() else { return };
        let Some(Some(entry)) = self.sessions.get_mut(at) else { return };
        let Some(moved) = entry.session.give(leg, &mut self.sockets) else { return };
        let pair = self.sockets.remove(moved.socket());
        self.note_legs(-1);
        self.forget_if_empty(at);
        let Some(pair) = pair else { return };
        let parcel = Parcel { to, moved, pair };
        let worker = worker_of(to.call, self.setting.rings.len());
        if worker == self.setting.index {
            self.adopt(now, parcel);
        } else {
            self.parcels.push_back((worker, Word::Adopt(Box::new(parcel))));
        }
    }

    fn adopt(&mut self, now: Mono, parcel: Parcel) {
        let Parcel { to, moved, pair } = parcel;
        // The name is taken: the newcomer is the one the call asked for last.
        self.release(now, to.call, to.leg);
        let at = self.session_for(now, to.call);
        let port = (pair.home, pair.port);
        match self.sockets.insert(pair, at, to.leg) {
            Ok(key) => {
                if let Some(Some(entry)) = self.sessions.get_mut(at) {
                    entry.session.adopt(moved, to.leg, key, &mut self.sockets);
                }
                self.note_legs(1);
                self.begin_frames(now, at);
            }
            Err(_) => {
                self.parcels.push_back((port.0, Word::PortBack(port.1)));
                self.forget_if_empty(at);
                self.sockets.report(to.call, MediaReport::Refused { leg: to.leg, why: RefusedWhy::NoDescriptors });
            }
        }
    }

    fn on_due(&mut self, now: Mono, wake: Wake) {
        let Some(Some(entry)) = self.sessions.get_mut(wake.session) else { return };
        if entry.due_ms != wake.due_ms {
            return;
        }
        let world = Surroundings { clips: &self.setting.clips, ntp_at_start: self.setting.clock.ntp_at_start() };
        let due = Mono(wake.due_ms * NANOS_PER_MS);
        let mut next_ms = Wheel::next_on_grid(now, entry.phase);
        if entry.framed {
            let grid = Grid::at(now, due);
            entry.session.on_frames(now, grid, world, &mut self.sockets);
            next_ms = grid.next_due().0 / NANOS_PER_MS;
            note_tick(&self.setting.counters, now.since(due), grid.skipped);
        }
        if now >= entry.next_upkeep {
            entry.next_upkeep = now + UPKEEP;
            entry.session.on_upkeep(now, world, &mut self.sockets);
        }
        entry.framed = entry.session.needs_frames();
        if !entry.framed {
            next_ms = Wheel::next_on_grid(entry.next_upkeep, entry.phase);
        }
        entry.due_ms = next_ms;
        self.wheel.plan(Wake { session: wake.session, due_ms: next_ms });
    }

    /// Puts a session on the 20 ms grid when a command made it speak.
    fn begin_frames(&mut self, now: Mono, at: usize) {
        let Some(Some(entry)) = self.sessions.get_mut(at) else { return };
        if !entry.framed && entry.session.needs_frames() {
            entry.framed = true;
            entry.due_ms = Wheel::next_on_grid(now, entry.phase);
            self.wheel.plan(Wake { session: at, due_ms: entry.due_ms });
        }
    }

    fn session_for(&mut self, now: Mono, call: CallId) -> usize {
        if let Some(at) = self.calls.get(&call) {
            return *at;
        }
        let phase = self.wheel.choose_phase();
        let next_upkeep = now + UPKEEP;
        let due_ms = Wheel::next_on_grid(next_upkeep, phase);
        let entry = Entry { session: Session::new(call), due_ms, phase, framed: false, next_upkeep };
        let at = self.free.pop().unwrap_or_else(|| {
            self.sessions.push(None);
            self.sessions.len() - 1
        });
        if let Some(place) = self.sessions.get_mut(at) {
            *place = Some(entry);
        }
        self.calls.insert(call, at);
        self.wheel.plan(Wake { session: at, due_ms });
        at
    }

    fn forget_if_empty(&mut self, at: usize) {
        let Some(place) = self.sessions.get_mut(at) else { return };
        let Some(entry) = place.take_if(|entry| entry.session.is_empty()) else { return };
        self.calls.remove(&entry.session.call());
        self.wheel.leave_phase(entry.phase);
        self.free.push(at);
    }

    fn entry_of(&self, call: CallId) -> Option<&Entry> {
        self.sessions.get(*self.calls.get(&call)?)?.as_ref()
    }

    fn send_parcels(&mut self) {
        for _ in 0..self.parcels.len() {
            let Some((worker, word)) = self.parcels.pop_front() else { return };
            let Some(ring) = self.setting.rings.get(worker) else { continue };
            if let Err(word) = ring.put(word, true) {
                self.parcels.push_back((worker, word));
                return;
            }
        }
    }

    fn arm(&mut self, now: Mono) {
        let Some(next_ms) = self.wheel.next_ms() else { return };
        if self.armed_ms == Some(next_ms) {
            return;
        }
        let wait = Mono(next_ms * NANOS_PER_MS).since(now).max(Duration::from_nanos(1));
        let it_value =
            Timespec { tv_sec: i64::try_from(wait.as_secs()).unwrap_or(1), tv_nsec: i64::from(wait.subsec_nanos()) };
        let it_interval = Timespec { tv_sec: 0, tv_nsec: 0 };
        let armed = timerfd_settime(&self.timer, TimerfdTimerFlags::empty(), &Itimerspec { it_interval, it_value });
        self.armed_ms = armed.is_ok().then_some(next_ms);
    }

    fn note_legs(&self, by: i64) {
        let counters = &self.setting.counters;
        bump(&counters.legs, by.cast_unsigned());
        counters.ports_free.store(self.setting.ports.free() as u64, Ordering::Relaxed);
    }
}

fn note_tick(counters: &Counters, late: Duration, skipped: u32) {
    let late_us = u64::try_from(late.as_micros()).unwrap_or(u64::MAX);
    bump(&counters.ticks, 1);
    if late_us > 1000 {
        bump(&counters.ticks_late, 1);
    }
    if late_us > counters.latest_us.load(Ordering::Relaxed) {
        counters.latest_us.store(late_us, Ordering::Relaxed);
    }
    bump(&counters.frames_skipped, u64::from(skipped));
}
