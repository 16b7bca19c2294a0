//! What a worker counts, readable from outside while it runs.

use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};

use super::session::Count;

/// Whether a worker has real-time priority.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Priority {
    /// Not asked for, or not yet.
    #[default]
    Ordinary,
    /// SCHED_FIFO 1.
    Realtime,
    /// Asked for and refused by the system.
    Refused,
}

/// The figures of one worker.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WorkerStatus {
    /// Its priority.
    pub priority: Priority,
    /// Legs it carries now.
    pub legs: u64,
    /// Port pairs not in use.
    pub ports_free: u64,
    /// Packets passed from leg to leg.
    pub relayed: u64,
    /// Datagrams refused.
    pub refused: u64,
    /// Packets the system did not take.
    pub unsent: u64,
    /// Clips asked for that do not exist.
    pub unknown_clips: u64,
    /// Digits that could not be sent.
    pub lost_digits: u64,
    /// Wake-ups of the 20 ms grid.
    pub ticks: u64,
    /// Those more than 1 ms late.
    pub ticks_late: u64,
    /// The latest of all, microseconds.
    pub latest_us: u64,
    /// Frames never made after a stall.
    pub frames_skipped: u64,
    /// Reports lost because a call's mailbox stayed full.
    pub reports_lost: u64,
}

/// The figures where the worker writes them.
#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) priority: AtomicU8,
    pub(super) legs: AtomicU64,
    pub(super) ports_free: AtomicU64,
    pub(super) relayed: AtomicU64,
    pub(super) refused: AtomicU64,
    pub(super) unsent: AtomicU64,
    pub(super) unknown_clips: AtomicU64,
    pub(super) lost_digits: AtomicU64,
    pub(super) ticks: AtomicU64,
    pub(super) ticks_late: AtomicU64,
    pub(super) latest_us: AtomicU64,
    pub(super) frames_skipped: AtomicU64,
    pub(super) reports_lost: AtomicU64,
}

impl Counters {
    /// Counts one; only the worker writes, so no read-modify-write across threads is needed.
    pub(super) fn count(&self, what: Count) {
        let counter = match what {
            Count::Relayed => &self.relayed,
            Count::Refused => &self.refused,
            Count::UnknownClip => &self.unknown_clips,
            Count::LostDigit => &self.lost_digits,
        };
        bump(counter, 1);
    }

    pub(super) fn set_priority(&self, priority: Priority) {
        self.priority.store(priority as u8, Ordering::Relaxed);
    }

    pub(super) fn read(&self) -> WorkerStatus {
        let of = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        WorkerStatus {
            priority: match self.priority.load(Ordering::Relaxed) {
                1 => Priority::Realtime,
                2 => Priority::Refused,
                _ => Priority::Ordinary,
            },
            legs: of(&self.legs),
            ports_free: of(&self.ports_free),
            relayed: of(&self.relayed),
            refused: of(&self.refused),
            unsent: of(&self.unsent),
            unknown_clips: of(&self.unknown_clips),
            lost_digits: of(&self.lost_digits),
            ticks: of(&self.ticks),
            ticks_late: of(&self.ticks_late),
            latest_us: of(&self.latest_us),
            frames_skipped: of(&self.frames_skipped),
            reports_lost: of(&self.reports_lost),
        }
    }
}

/// Adds to a counter that only this thread writes: a plain load and store, no bus lock.
pub(super) fn bump(counter: &AtomicU64, by: u64) {
    counter.store(counter.load(Ordering::Relaxed).wrapping_add(by), Ordering::Relaxed);
}
