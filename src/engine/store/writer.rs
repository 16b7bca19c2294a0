//! The one thread that writes: takes what is queued, writes it in one transaction, answers everybody who waits.
//!
//! | outcome of a commit | what follows |
//! |---|---|
//! | committed | every job of the batch is answered, in order |
//! | the disk failed or is full | nothing is answered; an alarm; the same batch again after 50 ms, doubling to 2 s |
//! | one job cannot be written at all | its batch is written job by job; that job is refused with an alarm |
//!
//! A batch that is run again meets what it already wrote as "stored already": nothing is doubled.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, TransactionBehavior};

use super::journal::Folds;
use super::queue::Mode;
use super::{Job, Shared, StoreNews, Stored, outbox, schema};
use crate::base::id::CallId;

/// The most jobs of one transaction.
pub(super) const BATCH_MAX: usize = 512;
/// The most pages a file of SQLite can have: no bound.
const PAGES_MAX: u64 = 4_294_967_294;
const PAUSE_MIN: Duration = Duration::from_millis(50);
const PAUSE_MAX: Duration = Duration::from_secs(2);
/// How often a batch is tried again once the store is being closed.
const CLOSING_TRIES: u32 = 5;

pub(super) struct Writer {
    pub(super) shared: Arc<Shared>,
    pub(super) dir: PathBuf,
    pub(super) connection: Connection,
    pub(super) endpoints: Vec<i64>,
    pub(super) folds: Folds,
    /// The bound the connection obeys.
    pub(super) max_bytes: u64,
}

/// What a job came to, told once its transaction is committed.
enum Outcome {
    Done,
    Count(usize),
    Known(bool),
    NewNumber(CallId),
}

impl Writer {
    pub(super) fn run(mut self) {
        while let Some(batch) = self.shared.queue.take() {
            if !self.write(batch) {
                return;
            }
        }
        // A clean end leaves one file; failing to does no harm.
        let _ = self.connection.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)");
    }

    /// Writes a batch however long it takes; `false` when the store was abandoned meanwhile.
    fn write(&mut self, batch: Vec<Job>) -> bool {
        let (mut pause, mut failures) = (PAUSE_MIN, 0_u32);
        loop {
            match self.transact(&batch) {
                Ok(outcomes) => {
                    self.folds.committed();
                    if failures > 0 {
                        (self.shared.watch)(StoreNews::WriteRecovered { failures });
                    }
                    for (job, outcome) in batch.into_iter().zip(outcomes) {
                        self.answer(job, outcome);
                    }
                    (self.shared.watch)(StoreNews::Committed);
                    return true;
                }
                Err(fault) if is_of_the_disk(&fault) => {
                    self.folds.forget();
                    failures += 1;
                    let full = fault.sqlite_error_code() == Some(ErrorCode::DiskFull);
                    tracing::error!(%fault, failures, waiting = batch.len(), "the store cannot write");
                    (self.shared.watch)(StoreNews::WriteFailed { failures, full });
                    match self.shared.queue.pause(pause) {
                        Mode::Abandoned => return false,
                        Mode::Draining if failures > CLOSING_TRIES => return false,
                        Mode::Open | Mode::Draining => {}
                    }
                    pause = (pause * 2).min(PAUSE_MAX);
                    if !full {
                        self.reopen();
                    }
                }
                Err(fault) => {
                    self.folds.forget();
                    return self.write_singly(batch, &fault);
                }
            }
        }
    }

    fn write_singly(&mut self, batch: Vec<Job>, fault: &rusqlite::Error) -> bool {
        if batch.len() > 1 {
            return batch.into_iter().all(|job| self.write(vec![job]));
        }
        tracing::error!(%fault, "the store refuses a job");
        (self.shared.watch)(StoreNews::Refused { because: fault.to_string() });
        true
    }

    fn reopen(&mut self) {
        match schema::open_writer(&self.dir, 0) {
            Ok(connection) => (self.connection, self.max_bytes) = (connection, u64::MAX),
            Err(fault) => tracing::error!(%fault, "the store cannot be opened again"),
        }
    }

    fn transact(&mut self, batch: &[Job]) -> rusqlite::Result<Vec<Outcome>> {
        self.obey_bound()?;
        let tx = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let mut outcomes = Vec::with_capacity(batch.len());
        for job in batch {
            outcomes.push(match job {
                Job::Event { event, .. } => {
                    self.folds.append(&tx, event, &self.endpoints)?;
                    Outcome::Done
                }
                Job::Settle { said, .. } => match outbox::settle(&tx, said)? {
                    Some(call) => Outcome::NewNumber(call),
                    None => Outcome::Done,
                },
                Job::Park { endpoint, parked, .. } => {
                    let parked = parked.as_ref().map(|(at, because)| (at.as_millisecond(), because.as_str()));
                    outbox::park(&tx, endpoint, parked)?;
                    Outcome::Done
                }
                Job::Redrive { which, at, .. } => Outcome::Count(outbox::redrive(&tx, which, at.as_millisecond())?),
                Job::CloseOrphans { at, .. } => Outcome::Count(self.folds.close_orphans(&tx, *at, &self.endpoints)?),
                Job::Amend { ticket, at, what, .. } => {
                    Outcome::Known(self.folds.amend(&tx, *ticket, *at, what, &self.endpoints)?)
                }
            });
        }
        self.folds.flush(&tx)?;
        let now = (self.shared.clock)().wall.as_millisecond();
        tx.prepare_cached("UPDATE meta SET value = ?1 WHERE key = 'alive_at'")?.execute([now])?;
        tx.commit()?;
        Ok(outcomes)
    }

    /// Bounds the file; beyond it writing fails as on a full disk.
    fn obey_bound(&mut self) -> rusqlite::Result<()> {
        let bytes = self.shared.max_bytes.load(Ordering::Relaxed);
        if bytes == self.max_bytes {
            return Ok(());
        }
        let page: u64 = self.connection.query_row("PRAGMA page_size", [], |row| row.get(0))?;
        let pages = (bytes / page.max(1)).clamp(1, PAGES_MAX);
        self.connection.query_row(&format!("PRAGMA max_page_count = {pages}"), [], |_| Ok(()))?;
        self.max_bytes = bytes;
        Ok(())
    }

    fn answer(&self, job: Job, outcome: Outcome) {
        match (job, outcome) {
            (Job::Event { event, reply: Some(reply), .. }, _) => {
                reply(Stored { call: event.call, journal_seq: event.journal_seq });
            }
            (Job::Settle { said, reply }, outcome) => {
                let (ticket, number) = (said.ticket, said.ticket_no);
                if let (Outcome::NewNumber(call), Some(ticket_no)) = (outcome, number) {
                    (self.shared.watch)(StoreNews::TicketNo { call, ticket, ticket_no });
                }
                if said.disposition == outbox::Disposition::Park {
                    (self.shared.watch)(StoreNews::Parked { endpoint: said.endpoint });
                }
                reply();
            }
            (Job::Park { reply, .. }, _) => reply(),
            (Job::Redrive { reply, .. } | Job::CloseOrphans { reply, .. }, Outcome::Count(count)) => reply(count),
            (Job::Amend { reply, .. }, Outcome::Known(known)) => reply(known),
            _ => {}
        }
    }
}

/// Whether the medium is at fault, so that the same work can succeed later.
fn is_of_the_disk(fault: &rusqlite::Error) -> bool {
    matches!(
        fault.sqlite_error_code(),
        Some(
            ErrorCode::DiskFull
                | ErrorCode::SystemIoFailure
                | ErrorCode::DatabaseBusy
                | ErrorCode::DatabaseLocked
                | ErrorCode::ReadOnly
                | ErrorCode::CannotOpen
                | ErrorCode::OutOfMemory
                | ErrorCode::DatabaseCorrupt
                | ErrorCode::NotADatabase
                | ErrorCode::PermissionDenied
                | ErrorCode::FileLockingProtocolFailed
        )
    )
}
