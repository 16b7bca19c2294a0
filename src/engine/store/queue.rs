//! The bounded queue in front of the writer thread: many put, one takes in batches.
//!
//! Unlike a channel it never allocates its capacity at once, takes many entries under one lock, and can tell the
//! taker to go on with what is queued ([`Queue::drain`]) or to drop it ([`Queue::abandon`]).

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

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
}

struct Inner<T> {
    entries: VecDeque<T>,
    mode: Mode,
}

impl<T> Queue<T> {
    pub(super) fn new(capacity: usize) -> Self {
        let inner = Mutex::new(Inner { entries: VecDeque::new(), mode: Mode::Open });
        Self { inner, filled: Condvar::new(), capacity }
    }

    pub(super) const fn capacity(&self) -> usize {
        self.capacity
    }

    pub(super) fn len(&self) -> usize {
        self.lock().entries.len()
    }

    /// Appends, or gives the entry back when `limit` (at most the capacity) entries wait or the queue is closed.
    pub(super) fn put(&self, entry: T, limit: usize) -> Result<(), T> {
        let mut inner = self.lock();
        if inner.mode != Mode::Open || inner.entries.len() >= limit.min(self.capacity) {
            return Err(entry);
        }
        inner.entries.push_back(entry);
        drop(inner);
        self.filled.notify_one();
        Ok(())
    }

    /// Waits for at least one entry and takes up to `most`; `None` when there will be no more.
    pub(super) fn take(&self, most: usize) -> Option<Vec<T>> {
        let mut inner = self.lock();
        loop {
            match inner.mode {
                Mode::Abandoned => return None,
                _ if !inner.entries.is_empty() => {
                    let count = inner.entries.len().min(most);
                    return Some(inner.entries.drain(..count).collect());
                }
                Mode::Draining => return None,
                Mode::Open => inner = self.filled.wait(inner).unwrap_or_else(PoisonError::into_inner),
            }
        }
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
        let queue = Queue::new(3);
        for entry in 0..3 {
            queue.put(entry, usize::MAX).unwrap();
        }
        assert_eq!(queue.put(3, usize::MAX), Err(3));
        assert_eq!(queue.take(2), Some(vec![0, 1]));
        assert_eq!(queue.put(4, 1), Err(4), "a lower limit than the capacity counts");
        queue.put(4, 2).unwrap();
        queue.drain();
        assert_eq!(queue.put(5, usize::MAX), Err(5));
        assert_eq!(queue.take(9), Some(vec![2, 4]));
        assert_eq!(queue.take(9), None);
    }

    #[test]
    fn abandoned_it_gives_nothing_more() {
        let queue = Queue::new(3);
        queue.put(1, 3).unwrap();
        queue.abandon();
        assert_eq!(queue.take(9), None);
        assert_eq!(queue.pause(Duration::from_secs(3600)), Mode::Abandoned);
    }
}
