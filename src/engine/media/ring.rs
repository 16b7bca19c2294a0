//! The bounded way to a worker, with room kept for emergency calls, and the descriptor that wakes it.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use rustix::event::{EventfdFlags, eventfd};

use super::Overloaded;
use super::library::ClipLibrary;
use super::session::MovedLeg;
use super::sockets::SocketPair;
use crate::base::id::CallId;
use crate::rtp::command::{MediaCommand, MediaLeg};

/// Words a ring holds.
pub(super) const RING_LEN: usize = 1024;
/// Of these, the last are for emergency calls and releases.
pub(super) const RING_RESERVED: usize = 128;

/// What a worker is told.
#[derive(Debug)]
pub(super) enum Word {
    /// By a call.
    Command(CallId, MediaCommand),
    /// By another worker: take this leg.
    Adopt(Box<Parcel>),
    /// By another worker: a pair of this worker's range is free.
    PortBack(u16),
    /// By the engine: new clips.
    Clips(Arc<ClipLibrary>),
}

/// A leg between two workers.
#[derive(Debug)]
pub(super) struct Parcel {
    pub(super) to: MediaLeg,
    pub(super) moved: MovedLeg,
    pub(super) pair: SocketPair,
}

/// The sending end; cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Ring {
    sender: SyncSender<Word>,
    depth: Arc<AtomicUsize>,
    wake: Arc<OwnedFd>,
}

/// The receiving end.
#[derive(Debug)]
pub(super) struct RingEnd {
    receiver: Receiver<Word>,
    depth: Arc<AtomicUsize>,
    wake: Arc<OwnedFd>,
}

/// Makes both ends.
pub(super) fn ring() -> io::Result<(Ring, RingEnd)> {
    let (sender, receiver) = sync_channel(RING_LEN);
    let wake = Arc::new(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?);
    let depth = Arc::new(AtomicUsize::new(0));
    let ring = Ring { sender, depth: Arc::clone(&depth), wake: Arc::clone(&wake) };
    Ok((ring, RingEnd { receiver, depth, wake }))
}

impl Ring {
    /// Puts a word in and wakes the worker.
    pub(super) fn offer(&self, word: Word, urgent: bool) -> Result<(), Overloaded> {
        self.put(word, urgent).map_err(|_| Overloaded)
    }

    /// As [`Self::offer`] with the kept room, giving the word back when there is none.
    pub(super) fn put(&self, word: Word, urgent: bool) -> Result<(), Word> {
        let limit = if urgent { RING_LEN } else { RING_LEN - RING_RESERVED };
        if self.depth.fetch_add(1, Ordering::AcqRel) >= limit {
            self.depth.fetch_sub(1, Ordering::AcqRel);
            return Err(word);
        }
        self.sender.try_send(word).map_err(|fault| {
            self.depth.fetch_sub(1, Ordering::AcqRel);
            match fault {
                std::sync::mpsc::TrySendError::Full(word) | std::sync::mpsc::TrySendError::Disconnected(word) => word,
            }
        })?;
        self.wake();
        Ok(())
    }

    /// Wakes the worker.
    pub(super) fn wake(&self) {
        // A full counter means it is awake already.
        let _ = rustix::io::write(&*self.wake, &1_u64.to_ne_bytes());
    }
}

impl RingEnd {
    /// Takes the next word.
    pub(super) fn take(&self) -> Option<Word> {
        let word = self.receiver.try_recv().ok()?;
        self.depth.fetch_sub(1, Ordering::AcqRel);
        Some(word)
    }

    /// Quiets the descriptor; to be called before taking words.
    pub(super) fn quiet(&self) {
        let _ = rustix::io::read(&*self.wake, &mut [0_u8; 8]);
    }

    /// Wakes this worker once more, because words were left.
    pub(super) fn wake_again(&self) {
        let _ = rustix::io::write(&*self.wake, &1_u64.to_ne_bytes());
    }

    /// The descriptor to watch.
    pub(super) fn descriptor(&self) -> BorrowedFd<'_> {
        self.wake.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ordinary_words_leave_room_for_urgent_ones() {
        let (ring, end) = ring().unwrap();
        let word = || Word::PortBack(2);
        let ordinary = (0..RING_LEN).filter(|_| ring.offer(word(), false).is_ok()).count();
        let urgent = (0..RING_LEN).filter(|_| ring.offer(word(), true).is_ok()).count();
        assert_eq!((ordinary, urgent), (RING_LEN - RING_RESERVED, RING_RESERVED));
        assert!(end.take().is_some() && ring.offer(word(), false).is_err() && ring.offer(word(), true).is_ok());
        assert_eq!(std::iter::from_fn(|| end.take()).count(), RING_LEN);
        assert!(ring.offer(word(), false).is_ok());
    }
}
