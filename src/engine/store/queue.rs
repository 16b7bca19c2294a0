//! The bounded queue in front of the writer thread: many put, one takes in batches.
//!
//! Unlike a channel it never allocates its capacity at once, takes many entries under one lock, and can tell the
//! taker to go on with what is queued ([`Queue::drain`]) or to drop it ([`Queue::abandon`]).
//!
//! Entries nobody waits for are given [`LINGER`] to be joined by others: what a batch costs hardly depends on its
//! length. An urgent entry ends the wait, and everything before it goes with it.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How long entries that are not urgent may wait for company.
pub(super) const LINGER: Duration = Duration::from_millis(20);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    Open,
    Draining,
    Abandoned,
}

pub(super) struct Queue<T> {
    inner: Mutex<Inner<T>>,
    filled: Condvar,
    capacity: usize,
    /// The most entries taken at once; so many do not wait for more.
    batch: usize,
}

struct Inner<T> {
    entries: VecDeque<T>,
    /// Whether somebody waits for one of the entries.
    urgent: bool,
    mode: Mode,
}

impl<T> Queue<T> {
    pub(super) fn new(capacity: usize, batch: usize) -> Self {
        let inner = Mutex::new(Inner { entries: VecDeque::new(), urgent: false, mode: Mode::Open });
        Self { inner, filled: Condvar::new(), capacity, batch }
    }

    pub(super) const fn capacity(&self) -> usize {
        self.capacity
    }

    pub(super) fn len(&self) -> usize {
        self.lock().entries.len()
    }

    /// Appends, or gives the entry back when `limit` (at most the capacity) entries wait or the queue is closed.
    pub(super) fn put(&self, entry: T, limit: usize, urgent: bool) -> Result<(), T> {
        let mut inner = self.lock();
        if inner.mode != Mode::Open || inner.entries.len() >= limit.min(self.capacity) {
            return Err(entry);
        }
        inner.entries.push_back(entry);
        inner.urgent |= urgent;
        let waiting = inner.entries.len();
        drop(inner);
        // The taker is woken to begin its wait and to end it, not for each entry between.
        if urgent || waiting == 1 || waiting == self.batch {
            self.filled.notify_one();
        }
        Ok(())
    }

    /// Waits for entries and takes what has come together; `None` when there will be no more.
    pub(super) fn take(&self) -> Option<Vec<T>> {
        let empty = |inner: &mut Inner<T>| inner.mode == Mode::Open && inner.entries.is_empty();
        let inner = self.filled.wait_while(self.lock(), empty).unwrap_or_else(PoisonError::into_inner);
        let lonely =
            |inner: &mut Inner<T>| inner.mode == Mode::Open && !inner.urgent && inner.entries.len() < self.batch;
        let waited = self.filled.wait_timeout_while(inner, LINGER, lonely);
        let mut inner = waited.unwrap_or_else(PoisonError::into_inner).0;
        if inner.mode == Mode::Abandoned || inner.entries.is_empty() {
            return None;
        }
        let count = inner.entries.len().min(self.batch);
        let taken = inner.entries.drain(..count).collect();
        // What is left fills the next batch or has waited long enough.
        inner.urgent = !inner.entries.is_empty();
        Some(taken)
    }

    /// Waits for `span`, or less when the queue is closed meanwhile; says how it then stands.
    pub(super) fn pause(&self, span: Duration) -> Mode {
        let inner = self.lock();
        if inner.mode == Mode::Abandoned {
            return Mode::Abandoned;
        }
        let waited = self.filled.wait_timeout_while(inner, span, |inner| inner.mode != Mode::Abandoned);
        waited.unwrap_or_else(PoisonError::into_inner).0.mode
    }

    /// Refuses new entries; the taker finishes what is queued.
    pub(super) fn drain(&self) {
        self.close(Mode::Draining);
    }

    /// Refuses new entries; the taker stops after its present batch, as if the process had died.
    pub(super) fn abandon(&self) {
        self.close(Mode::Abandoned);
    }

    fn close(&self, mode: Mode) {
        let mut inner = self.lock();
        if inner.mode == Mode::Open {
            inner.mode = mode;
        }
        drop(inner);
        self.filled.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, Inner<T>> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_holds_no_more_than_its_bound_and_keeps_order() {
        let queue = Queue::new(3, 2);
        for entry in 0..3 {
            queue.put(entry, usize::MAX, false).unwrap();
        }
        assert_eq!(queue.put(3, usize::MAX, true), Err(3));
        assert_eq!(queue.take(), Some(vec![0, 1]));
        assert_eq!(queue.put(4, 1, true), Err(4), "a lower limit than the capacity counts");
        queue.put(4, 2, false).unwrap();
        queue.drain();
        assert_eq!(queue.put(5, usize::MAX, true), Err(5));
        assert_eq!(queue.take(), Some(vec![2, 4]));
        assert_eq!(queue.take(), None);
    }

    #[test]
    fn what_nobody_waits_for_goes_with_what_somebody_waits_for() {
        let queue = Queue::new(9, 8);
        queue.put(1, 9, false).unwrap();
        queue.put(2, 9, true).unwrap();
        queue.put(3, 9, false).unwrap();
        assert_eq!(queue.take(), Some(vec![1, 2, 3]));
        queue.put(4, 9, false).unwrap();
        assert_eq!(queue.take(), Some(vec![4]), "alone it goes too, a little later");
    }

    #[test]
    fn abandoned_it_gives_nothing_more() {
        let queue = Queue::new(3, 3);
        queue.put(1, 3, true).unwrap();
        queue.abandon();
        assert_eq!(queue.take(), None);
        assert_eq!(queue.pause(Duration::from_secs(3600)), Mode::Abandoned);
    }
}
