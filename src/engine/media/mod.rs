//! The media plane: worker threads that carry every call's packets, without tokio inside.
//!
//! A call's legs all live on one worker, chosen by the call's id; a worker owns sockets, ports, a timer wheel and the
//! [`session::Session`]s that decide. It never blocks but in `epoll_wait`, takes no lock, opens no file and logs no
//! packet. Commands come through a bounded ring with room kept for emergency calls, reports leave through a function
//! that must not block. The reasons for threads, connected sockets and one receive per ready socket are measured
//! figures (`docs/decisions`).
//!
//! Deliberately absent: SRTP and ICE legs (refused as `UnsupportedKind`), recording, io_uring, any routing.
//!
//! | bound | size | when full |
//! |---|---|---|
//! | commands of one worker | 1,024, the last 128 for emergency calls and releases | [`Overloaded`] |
//! | reports a call's mailbox refused | 1,024, figures never kept | dropped, counted |
//! | pairs of ports | the configured range, 64 kept for emergency | `Refused { NoPorts }` |

pub mod clock;
pub mod latch;
pub mod library;
pub mod music;
pub mod ports;
pub mod session;
pub mod status;
pub mod wheel;

mod ring;
mod sockets;
mod worker;

use std::io;
use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{Builder, JoinHandle};

use self::clock::MediaClock;
use self::library::ClipLibrary;
use self::ports::PortPool;
use self::ring::{Ring, Word, ring};
use self::status::{Counters, WorkerStatus};
use self::worker::{Setting, Worker};
use crate::base::id::CallId;
use crate::rtp::command::{MediaClass, MediaCommand, MediaReport};
use crate::rtp::sequence::scramble;

/// How the media plane is laid out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MediaConfig {
    /// Where the ports are bound.
    pub address: IpAddr,
    /// What is written into the SDP instead, behind a translated address.
    pub advertised: IpAddr,
    /// The range the pairs are taken from; 16,384–32,767 as shipped.
    pub ports: RangeInclusive<u16>,
    /// Pairs that only emergency calls may take; 64 as shipped.
    pub reserved_for_emergency: usize,
    /// Threads; at least one is started.
    pub workers: usize,
    /// Whether to ask for SCHED_FIFO priority 1. Without it a loaded machine delays frames by up to 100 ms.
    pub realtime: bool,
}

/// The worker's command ring is full: the call cannot be carried.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[error("the media worker's command queue is full")]
pub struct Overloaded;

/// The running workers. Dropping it stops them.
#[derive(Debug)]
pub struct MediaPlane {
    rings: Vec<Ring>,
    counters: Vec<Arc<Counters>>,
    threads: Vec<JoinHandle<()>>,
    stop: Arc<AtomicBool>,
}

impl MediaPlane {
    /// Starts the workers. `reports` is called on their threads, so it must not block; it gives a report back when
    /// there is no room, and gets it again later unless it is mere figures.
    ///
    /// # Errors
    ///
    /// The operating system's, when no thread, epoll, timer or event descriptor can be had.
    pub fn start<R>(config: &MediaConfig, clips: ClipLibrary, reports: R) -> io::Result<Self>
    where
        R: Fn(CallId, MediaReport) -> Result<(), MediaReport> + Clone + Send + 'static,
    {
        let count = config.workers.clamp(1, 64);
        let clips = Arc::new(clips);
        let clock = MediaClock::start();
        let stop = Arc::new(AtomicBool::new(false));
        let mut seed = [0; 8];
        getrandom::fill(&mut seed).map_err(|fault| io::Error::other(fault.to_string()))?;
        let seed = u64::from_ne_bytes(seed);
        let rings = (0..count).map(|_| ring()).collect::<io::Result<Vec<_>>>()?;
        let (rings, ends): (Vec<_>, Vec<_>) = rings.into_iter().unzip();
        let mut plane =
            Self { rings: rings.clone(), counters: Vec::new(), threads: Vec::new(), stop: Arc::clone(&stop) };
        for (index, end) in ends.into_iter().enumerate() {
            let counters = Arc::new(Counters::default());
            let share = (u16::try_from(index).unwrap_or(0), u16::try_from(count).unwrap_or(1));
            let reserved = config.reserved_for_emergency.div_ceil(count);
            let setting = Setting {
                index,
                address: config.address,
                advertised: config.advertised,
                ports: PortPool::new(*config.ports.start(), *config.ports.end(), share.0, share.1, reserved)
                    .shuffled(scramble(!seed)),
                clock,
                clips: Arc::clone(&clips),
                seed: scramble(seed ^ index as u64),
                counters: Arc::clone(&counters),
                stop: Arc::clone(&stop),
                rings: rings.clone(),
            };
            let worker = Worker::new(setting, end, reports.clone())?;
            let realtime = config.realtime;
            plane.counters.push(counters);
            plane.threads.push(Builder::new().name(format!("media-{index}")).spawn(move || worker.run(realtime))?);
        }
        Ok(plane)
    }

    /// Sends a command to the worker of the call. A release and the allocation of an emergency leg may use the room
    /// kept back.
    ///
    /// # Errors
    ///
    /// [`Overloaded`] when the worker's ring has no room; nothing was sent.
    pub fn send(&self, call: CallId, command: MediaCommand) -> Result<(), Overloaded> {
        let urgent = matches!(
            command,
            MediaCommand::Release { .. }
                | MediaCommand::ReleaseCall
                | MediaCommand::Allocate { class: MediaClass::Emergency, .. }
        );
        self.offer(call, command, urgent)
    }

    /// Sends a command of an emergency call, which may use the room kept back.
    ///
    /// # Errors
    ///
    /// [`Overloaded`] when even that is used up; nothing was sent.
    pub fn send_emergency(&self, call: CallId, command: MediaCommand) -> Result<(), Overloaded> {
        self.offer(call, command, true)
    }

    /// Replaces the clips; a clip being played goes on with the old sound.
    ///
    /// # Errors
    ///
    /// [`Overloaded`] when some worker's ring has no room; repeat it then.
    pub fn replace_clips(&self, clips: ClipLibrary) -> Result<(), Overloaded> {
        let clips = Arc::new(clips);
        self.rings.iter().try_for_each(|ring| ring.offer(Word::Clips(Arc::clone(&clips)), false))
    }

    /// The workers' figures, in order.
    #[must_use]
    pub fn status(&self) -> Vec<WorkerStatus> {
        self.counters.iter().map(|counters| counters.read()).collect()
    }

    fn offer(&self, call: CallId, command: MediaCommand, urgent: bool) -> Result<(), Overloaded> {
        let ring = self.rings.get(worker_of(call, self.rings.len())).ok_or(Overloaded)?;
        ring.offer(Word::Command(call, command), urgent)
    }
}

impl Drop for MediaPlane {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        self.rings.iter().for_each(Ring::wake);
        for thread in self.threads.drain(..) {
            // A worker that panicked has said so on its own.
            drop(thread.join());
        }
    }
}

/// The worker all legs of a call live on.
fn worker_of(call: CallId, workers: usize) -> usize {
    let bits = call.0.bits();
    let mixed = scramble(bits as u64 ^ (bits >> 64) as u64);
    usize::try_from(mixed % workers.max(1) as u64).unwrap_or(0)
}
