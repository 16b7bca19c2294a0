//! The durable store: journal, tickets and outbox in one SQLite file, written by one thread with group commit.
//!
//! An event is stored once its transaction is on the disk (WAL, `synchronous = FULL`), and only then its reply is
//! called; whatever a kill -9 leaves is whole. Appending never blocks. Where nobody waits for the reply (every event
//! of a call after its first, results of posts) writing may wait 20 ms for company, because a commit costs as much as
//! ten events. Deliberately absent: sending (that is [`webhook`](crate::engine::webhook)), retention, masks.
//!
//! Limits: [`EVENTS_PER_CALL`] events of each admitted call may wait for the disk; beyond them a call uses the half
//! of the queue nobody needs, and then its event comes back as [`NoRoom`].

use std::fs::File;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use jiff::Timestamp;
use rusqlite::{Connection, TransactionBehavior};

use crate::base::id::{CallId, TicketId};
use crate::base::now::Now;
use crate::event::call::{CallEvent, Happening};

mod journal;
mod outbox;
mod queue;
mod read;
mod schema;
mod writer;

pub use outbox::{Disposition, Redrive, Settlement};
#[doc(hidden)]
pub use read::DUE_LANES;
pub use read::{Backlog, DeliveryRow, Due, EventRow, PAGE_MAX, Picked, TicketFilter, TicketRow};
pub use schema::SCHEMA_VERSION;

use journal::Folds;
use queue::Queue;
use writer::Writer;

/// Events of one call that may wait for the disk at any time.
pub const EVENTS_PER_CALL: usize = 32;
/// Rooms kept for emergency calls and for the store's own work beside `calls_max`.
pub const EXTRA_ROOMS: usize = 256;

/// How to open a store.
#[derive(Clone, Debug)]
pub struct StoreSettings {
    /// The directory; made when missing. One process at a time.
    pub dir: PathBuf,
    /// The receivers by name; each new event is owed to all of them.
    pub endpoints: Vec<String>,
    /// Calls that may be live at once.
    pub calls_max: usize,
    /// The largest the file may grow, bytes; `None` is no bound.
    pub max_bytes: Option<u64>,
}

/// What the store tells of itself. Called on the writer thread: it must not block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoreNews {
    /// A transaction was committed: something may be due.
    Committed,
    /// The disk failed; the same work is tried again.
    WriteFailed {
        /// How often in a row.
        failures: u32,
        /// Whether the disk (or the bound) is full.
        full: bool,
    },
    /// Writing works again.
    WriteRecovered {
        /// How often it had failed.
        failures: u32,
    },
    /// Something could not be written at all and is lost: a fault of ours.
    Refused {
        /// The database's word.
        because: String,
    },
    /// A receiver gave a ticket a number.
    TicketNo {
        /// The call.
        call: CallId,
        /// The ticket.
        ticket: TicketId,
        /// The number.
        ticket_no: String,
    },
    /// A receiver answered 410 and is parked.
    Parked {
        /// Its name.
        endpoint: String,
    },
}

/// Why a store cannot be opened or read.
#[derive(Debug, thiserror::Error)]
pub enum StoreFault {
    /// The directory cannot be used.
    #[error("cannot use the data directory {dir}: {source}")]
    Directory {
        /// The directory.
        dir: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Another process has it.
    #[error("the data directory {dir} is in use by another process")]
    InUse {
        /// The directory.
        dir: PathBuf,
    },
    /// A newer engine wrote it.
    #[error("the store was written by a newer engine (schema {found}, this engine knows {known}); nothing was changed")]
    NewerSchema {
        /// The file's.
        found: u32,
        /// Ours.
        known: u32,
    },
    /// The database failed.
    #[error("store: {0}")]
    Database(#[from] rusqlite::Error),
}

/// An event is on the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stored {
    /// The call.
    pub call: CallId,
    /// Its event.
    pub journal_seq: u64,
}

/// The queue has no room for this event: the disk has been standing still for long.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("the journal queue is full")]
pub struct NoRoom(pub Box<CallEvent>);

/// Called once an event is stored, on the writer thread: it must not block.
type Reply<T> = Box<dyn FnOnce(T) + Send>;

enum Job {
    Event { event: Box<CallEvent>, reply: Option<Reply<Stored>>, _slot: Slot },
    Settle { said: Box<Settlement>, reply: Box<dyn FnOnce() + Send> },
    Park { endpoint: String, parked: Option<(Timestamp, String)>, reply: Box<dyn FnOnce() + Send> },
    Redrive { which: Redrive, at: Timestamp, reply: Reply<usize> },
    CloseOrphans { at: Timestamp, reply: Reply<usize> },
    Amend { ticket: TicketId, at: Timestamp, what: Box<Happening>, reply: Reply<bool> },
}

struct Shared {
    queue: Queue<Job>,
    rooms: AtomicUsize,
    calls_max: usize,
    /// `u64::MAX` is no bound.
    max_bytes: AtomicU64,
    clock: Arc<dyn Fn() -> Now + Send + Sync>,
    watch: Box<dyn Fn(StoreNews) + Send + Sync>,
}

/// The store. Dropping it without [`Store::close`] leaves queued events unwritten, as a kill would.
pub struct Store {
    shared: Arc<Shared>,
    readers: [Mutex<Connection>; 2],
    sender: Mutex<Connection>,
    writer: Mutex<Option<JoinHandle<()>>>,
    alive_at: Timestamp,
    _lock: File,
}

/// One call's room in the queue, held while the call lives.
pub struct Room {
    shared: Arc<Shared>,
    waiting: Arc<AtomicUsize>,
}

/// One event's place; given back when its job is gone.
struct Slot(Arc<AtomicUsize>);

impl Drop for Slot {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        self.shared.rooms.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Store {
    /// Opens or makes the store in a directory and starts its writer.
    ///
    /// # Errors
    /// When the directory cannot be used or is in use, or the file is newer than this engine.
    pub fn open(
        settings: StoreSettings,
        clock: Arc<dyn Fn() -> Now + Send + Sync>,
        watch: impl Fn(StoreNews) + Send + Sync + 'static,
    ) -> Result<Self, StoreFault> {
        let lock = lock_dir(&settings.dir)?;
        let mut connection = schema::open_writer(&settings.dir, clock().wall.as_millisecond())?;
        let tx = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let endpoints = outbox::register(&tx, &settings.endpoints)?;
        let alive_at: i64 = tx.query_row("SELECT value FROM meta WHERE key = 'alive_at'", [], |row| row.get(0))?;
        tx.commit()?;
        let reader = || schema::open_reader(&settings.dir).map(Mutex::new);
        let (readers, sender) = ([reader()?, reader()?], reader()?);
        let shared = Arc::new(Shared {
            queue: Queue::new(waiting_max(settings.calls_max), writer::BATCH_MAX),
            rooms: AtomicUsize::new(0),
            calls_max: settings.calls_max,
            max_bytes: AtomicU64::new(settings.max_bytes.unwrap_or(u64::MAX)),
            clock,
            watch: Box::new(watch),
        });
        let writer = Writer {
            shared: Arc::clone(&shared),
            dir: settings.dir.clone(),
            connection,
            endpoints,
            folds: Folds::default(),
            max_bytes: u64::MAX,
        };
        let thread = std::thread::Builder::new().name("store".into()).spawn(move || writer.run());
        let thread = thread.map_err(|source| StoreFault::Directory { dir: settings.dir, source })?;
        let alive_at = Timestamp::from_millisecond(alive_at).unwrap_or_default();
        Ok(Self { shared, readers, sender, writer: Mutex::new(Some(thread)), alive_at, _lock: lock })
    }

    /// Room for one more call, or `None` when `calls_max` calls have theirs: the call is refused with 503.
    #[must_use]
    pub fn try_reserve(&self) -> Option<Room> {
        let most = self.shared.calls_max;
        self.shared
            .rooms
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |used| (used < most).then_some(used + 1))
            .ok()?;
        Some(Room { shared: Arc::clone(&self.shared), waiting: Arc::default() })
    }

    /// Room for an emergency call: never refused.
    #[must_use]
    pub fn reserve_emergency(&self) -> Room {
        self.shared.rooms.fetch_add(1, Ordering::Relaxed);
        Room { shared: Arc::clone(&self.shared), waiting: Arc::default() }
    }

    /// Events and other work that wait for the disk.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.shared.queue.len()
    }

    /// Whether half the queue is taken: the disk does not keep up, and no more calls should begin.
    #[must_use]
    pub fn is_behind(&self) -> bool {
        self.shared.queue.len() > self.shared.queue.capacity() / 2
    }

    /// The last moment the process before this one is known to have lived.
    #[must_use]
    pub const fn alive_at(&self) -> Timestamp {
        self.alive_at
    }

    /// Ends every call that is open in the file as a fault of ours (`call.ended`, cause `internal`, then
    /// `ticket.closed`), as of the last moment its process is known to have lived, so that no duration is
    /// overstated. Call it before the first new call. The reply says how many there were; `false`: not accepted.
    pub fn close_orphans(&self, reply: impl FnOnce(usize) + Send + 'static) -> bool {
        self.put(Job::CloseOrphans { at: self.alive_at, reply: Box::new(reply) })
    }

    /// Adds a fact to a closed ticket: it is published as `ticket.amended`. The reply is `false` when there is no
    /// such ticket or its call still lives (then the call itself has to say it).
    pub fn amend(
        &self,
        ticket: TicketId,
        at: Timestamp,
        what: Happening,
        reply: impl FnOnce(bool) + Send + 'static,
    ) -> bool {
        self.put(Job::Amend { ticket, at, what: Box::new(what), reply: Box::new(reply) })
    }

    /// Notes what an attempt to deliver came to; the reply follows when it is stored.
    pub fn settle(&self, said: Settlement, reply: impl FnOnce() + Send + 'static) -> bool {
        self.put(Job::Settle { said: Box::new(said), reply: Box::new(reply) })
    }

    /// Parks an endpoint: its events are kept and not sent.
    pub fn park(&self, endpoint: &str, at: Timestamp, because: &str, reply: impl FnOnce() + Send + 'static) -> bool {
        let (endpoint, parked) = (endpoint.to_owned(), Some((at, because.to_owned())));
        self.put(Job::Park { endpoint, parked, reply: Box::new(reply) })
    }

    /// Lets a parked endpoint go on.
    pub fn re_enable(&self, endpoint: &str, reply: impl FnOnce() + Send + 'static) -> bool {
        self.put(Job::Park { endpoint: endpoint.to_owned(), parked: None, reply: Box::new(reply) })
    }

    /// Sends dead letters again, with the ids, numbers and bodies they had; the reply says how many.
    pub fn redrive(&self, which: Redrive, at: Timestamp, reply: impl FnOnce(usize) + Send + 'static) -> bool {
        self.put(Job::Redrive { which, at, reply: Box::new(reply) })
    }

    /// Sets the largest the file may grow, bytes; the next transaction, or the next try of one, obeys it.
    pub fn set_max_bytes(&self, bytes: Option<u64>) {
        self.shared.max_bytes.store(bytes.unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// Writes what is queued and ends the writer. When the disk does not work it is given a few tries.
    pub fn close(&self) {
        self.shared.queue.drain();
        self.join();
    }

    fn put(&self, job: Job) -> bool {
        let urgent = !matches!(job, Job::Settle { .. });
        self.shared.queue.put(job, usize::MAX, urgent).is_ok()
    }

    const fn reader_connections(&self) -> &[Mutex<Connection>; 2] {
        &self.readers
    }

    const fn sender_connection(&self) -> &Mutex<Connection> {
        &self.sender
    }

    fn join(&self) {
        let thread = self.writer.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread
            && thread.join().is_err()
        {
            tracing::error!("the store's writer panicked");
        }
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        self.shared.queue.abandon();
        self.join();
    }
}

impl Room {
    /// Queues an event without waiting. Where `reply` is given it is called once the event is on the disk.
    ///
    /// # Errors
    /// When the disk has been standing still so long that neither this call nor the queue has room.
    pub fn append(&self, event: CallEvent, reply: Option<Box<dyn FnOnce(Stored) + Send>>) -> Result<(), NoRoom> {
        let before = self.waiting.fetch_add(1, Ordering::Relaxed);
        let slot = Slot(Arc::clone(&self.waiting));
        let capacity = self.shared.queue.capacity();
        let limit = if before < EVENTS_PER_CALL { capacity } else { capacity / 2 };
        let urgent = reply.is_some();
        let job = Job::Event { event: Box::new(event), reply, _slot: slot };
        match self.shared.queue.put(job, limit, urgent) {
            Err(Job::Event { event, .. }) => Err(NoRoom(event)),
            _ => Ok(()),
        }
    }
}

const fn waiting_max(calls_max: usize) -> usize {
    EVENTS_PER_CALL.saturating_mul(calls_max.saturating_add(EXTRA_ROOMS))
}

fn lock_dir(dir: &std::path::Path) -> Result<File, StoreFault> {
    let fault = |source| StoreFault::Directory { dir: dir.to_owned(), source };
    std::fs::create_dir_all(dir).map_err(fault)?;
    let file = File::options().create(true).truncate(false).write(true).open(dir.join("lock")).map_err(fault)?;
    rustix::fs::flock(&file, rustix::fs::FlockOperation::NonBlockingLockExclusive)
        .map_err(|_| StoreFault::InUse { dir: dir.to_owned() })?;
    Ok(file)
}
