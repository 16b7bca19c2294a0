//! From the sockets to the switch: the [`FairQueue`] behind a lock, and waiting for it to have something.
//!
//! A datagram that finds no place is dropped and counted (UDP peers repeat). A message of a connection is never
//! dropped: its reader waits until the switch has taken enough of what it gave before, so a busy switch slows the peer
//! down. Deliberately absent: whose turn it is (`fair`).
//!
//! | limit | value |
//! |---|---|
//! | datagrams waiting | 4,096, of them 1,024 kept for known trunks |
//! | messages of one connection waiting, counted in whole KiB | 128 KiB of a known trunk, else 32 KiB or one message |

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

use super::NetEvent;
use super::fair::{FairQueue, Places, Standing, source_of};
use crate::base::flow::Flow;

const PLACES: Places = if cfg!(test) { Places { all: 8, kept: 2 } } else { Places { all: 4_096, kept: 1_024 } };
/// A carrier's connection carries hundreds of calls.
const TRUNK_KIB: usize = 128;
const STRANGER_KIB: usize = 32;

/// The sockets' end.
#[derive(Debug)]
pub(super) struct Inbox {
    waiting: Mutex<FairQueue<Posted>>,
    filled: Notify,
}

#[derive(Debug)]
struct Posted {
    event: NetEvent,
    /// Given back to its connection when the switch takes the message.
    _credit: Option<OwnedSemaphorePermit>,
}

/// The switch's end.
#[derive(Debug)]
pub struct Packets(Arc<Inbox>);

/// What one connection may have waiting.
#[derive(Clone, Debug)]
pub(super) struct Credit {
    kib: usize,
    left: Arc<Semaphore>,
}

impl Credit {
    pub(super) fn new(standing: Standing) -> Self {
        let kib = match standing {
            Standing::Known => TRUNK_KIB,
            Standing::Stranger => STRANGER_KIB,
        };
        Self { kib, left: Arc::new(Semaphore::new(kib)) }
    }
}

impl Inbox {
    pub(super) fn open() -> (Arc<Self>, Packets) {
        let inbox = Arc::new(Self { waiting: Mutex::new(FairQueue::new(PLACES)), filled: Notify::new() });
        (Arc::clone(&inbox), Packets(inbox))
    }

    /// Takes a datagram in, copied only when it has a place; `false` when it is dropped.
    pub(super) fn offer(&self, standing: Standing, flow: Flow, datagram: &[u8]) -> bool {
        let make =
            || Posted { event: NetEvent::Packet { flow, bytes: Bytes::copy_from_slice(datagram) }, _credit: None };
        let taken = self.lock().offer(source_of(flow.remote), standing, make);
        if taken {
            self.filled.notify_one();
        }
        taken
    }

    /// Takes a message of a connection in, once the connection has credit for it.
    pub(super) async fn deliver(&self, standing: Standing, flow: Flow, bytes: Bytes, credit: &Credit) {
        // A message longer than all there is takes all there is.
        let kib = u32::try_from((bytes.len() / 1_024 + 1).min(credit.kib)).unwrap_or(1);
        // The semaphore is never closed.
        let Ok(permit) = Arc::clone(&credit.left).acquire_many_owned(kib).await else { return };
        self.put(standing, flow.remote, NetEvent::Packet { flow, bytes }, Some(permit));
    }

    /// Says that a connection is gone.
    pub(super) fn closed(&self, standing: Standing, remote: SocketAddr, event: NetEvent) {
        self.put(standing, remote, event, None);
    }

    fn put(&self, standing: Standing, remote: SocketAddr, event: NetEvent, credit: Option<OwnedSemaphorePermit>) {
        self.lock().put(source_of(remote), standing, Posted { event, _credit: credit });
        self.filled.notify_one();
    }

    fn lock(&self) -> MutexGuard<'_, FairQueue<Posted>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Packets {
    /// Moves up to `most` events into a vector, waiting until there is one; how many it moved. Safe to cancel.
    pub async fn recv_many(&mut self, into: &mut Vec<NetEvent>, most: usize) -> usize {
        // Under a flood there is always something: others on this thread get their turn too.
        tokio::task::coop::consume_budget().await;
        loop {
            let taken = self.take(into, most);
            if taken > 0 {
                return taken;
            }
            self.0.filled.notified().await;
        }
    }

    fn take(&self, into: &mut Vec<NetEvent>, most: usize) -> usize {
        let mut waiting = self.0.lock();
        let before = into.len();
        into.extend(std::iter::from_fn(|| waiting.pop()).take(most).map(|posted| posted.event));
        into.len() - before
    }

    /// Events waiting.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.lock().len()
    }

    /// Whether none waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
