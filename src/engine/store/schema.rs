//! The database file: how it is opened, its tables, and how an older file is brought up to date.
//!
//! Steps are only ever appended; a file written by a newer engine is refused, because writing it could lose what the
//! newer one knows. Ids are 16 bytes, big-endian, so rows lie in the order of their making; times are milliseconds
//! since 1970.
//!
//! | table | a row is |
//! |---|---|
//! | `journal` | one [`CallEvent`](crate::event::call::CallEvent), the truth |
//! | `ticket` | the fold's state after the last event of a call |
//! | `event` | one published body, rendered once |
//! | `delivery` | one body owed to one endpoint: 0 pending, 1 done, 2 dead |
//! | `lane` | the deliveries of one ticket to one endpoint; only `head` is sent, when `next_at` has come |
//! | `endpoint` | one receiver; parked after a 410 |
//! | `meta` | `alive_at`: the last commit |

use std::path::Path;
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};

use super::StoreFault;

/// The newest schema this engine writes.
pub const SCHEMA_VERSION: u32 = 1;

const FILE: &str = "switch12345.db";

const STEPS: [&str; SCHEMA_VERSION as usize] = ["
    CREATE TABLE journal (
        call BLOB NOT NULL, journal_seq INTEGER NOT NULL, at INTEGER NOT NULL, body TEXT NOT NULL,
        PRIMARY KEY (call, journal_seq)
    ) WITHOUT ROWID;
    CREATE TABLE ticket (
        ticket BLOB NOT NULL PRIMARY KEY, call BLOB NOT NULL, tenant TEXT NOT NULL, opened_at INTEGER NOT NULL,
        closed INTEGER NOT NULL, dialled TEXT NOT NULL, ticket_no TEXT, state TEXT NOT NULL
    ) WITHOUT ROWID;
    CREATE INDEX ticket_live ON ticket (ticket) WHERE closed = 0;
    CREATE TABLE event (
        n INTEGER PRIMARY KEY, event_id BLOB NOT NULL, ticket BLOB NOT NULL, seq INTEGER NOT NULL,
        at INTEGER NOT NULL, head BLOB NOT NULL, tail BLOB NOT NULL
    );
    CREATE UNIQUE INDEX event_of_ticket ON event (ticket, seq);
    CREATE TABLE endpoint (
        id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, parked_at INTEGER, parked_because TEXT
    );
    CREATE TABLE delivery (
        endpoint INTEGER NOT NULL, ticket BLOB NOT NULL, delivery_seq INTEGER NOT NULL, event INTEGER NOT NULL,
        state INTEGER NOT NULL, tries INTEGER NOT NULL, status INTEGER, answer TEXT, settled_at INTEGER,
        PRIMARY KEY (endpoint, ticket, delivery_seq)
    ) WITHOUT ROWID;
    CREATE INDEX delivery_dead ON delivery (endpoint, ticket, delivery_seq) WHERE state = 2;
    CREATE TABLE lane (
        endpoint INTEGER NOT NULL, ticket BLOB NOT NULL, call BLOB NOT NULL, sent INTEGER NOT NULL,
        head INTEGER, tries INTEGER NOT NULL, next_at INTEGER, first_at INTEGER,
        PRIMARY KEY (endpoint, ticket)
    ) WITHOUT ROWID;
    CREATE INDEX lane_due ON lane (endpoint, next_at) WHERE next_at IS NOT NULL;
    CREATE TABLE meta (key TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
    INSERT INTO meta VALUES ('alive_at', 0);
"];

/// Opens the file for writing, making or updating it as needed.
pub(super) fn open_writer(dir: &Path, now_ms: i64) -> Result<Connection, StoreFault> {
    let mut connection = Connection::open(dir.join(FILE))?;
    // Bodies of 3 KB fit a page of 8 KB without overflow; only a new file takes the size.
    connection.pragma_update(None, "page_size", 8192)?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "wal_autocheckpoint", 2000)?;
    connection.pragma_update(None, "temp_store", "MEMORY")?;
    connection.busy_timeout(Duration::from_secs(5))?;
    keep_plans(&connection)?;
    connection.set_prepared_statement_cache_capacity(64);
    migrate(&mut connection, now_ms)?;
    Ok(connection)
}

/// Opens the file for reading only.
pub(super) fn open_reader(dir: &Path) -> Result<Connection, StoreFault> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(dir.join(FILE), flags)?;
    connection.busy_timeout(Duration::from_secs(5))?;
    keep_plans(&connection)?;
    connection.set_prepared_statement_cache_capacity(32);
    Ok(connection)
}

/// Lets a cached statement keep its plan: by default SQLite plans one anew whenever a value it looked at while
/// planning (a LIMIT, what a partial index compares) is bound again, which cost more than running it.
fn keep_plans(connection: &Connection) -> Result<(), StoreFault> {
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    Ok(())
}

fn migrate(connection: &mut Connection, now_ms: i64) -> Result<(), StoreFault> {
    let found: u32 = connection.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    if found > SCHEMA_VERSION {
        return Err(StoreFault::NewerSchema { found, known: SCHEMA_VERSION });
    }
    if found == SCHEMA_VERSION {
        return Ok(());
    }
    let step = connection.transaction()?;
    step.execute_batch("CREATE TABLE IF NOT EXISTS migration (version INTEGER PRIMARY KEY, at INTEGER NOT NULL)")?;
    for (version, sql) in (1_u32..).zip(STEPS).skip(found as usize) {
        step.execute_batch(sql)?;
        step.execute("INSERT INTO migration VALUES (?1, ?2)", (version, now_ms))?;
    }
    step.pragma_update(None, "user_version", SCHEMA_VERSION)?;
    step.commit()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use rusqlite::StatementStatus;

    use super::*;

    #[test]
    fn a_statement_is_planned_once_whatever_is_bound() {
        let connection = Connection::open_in_memory().unwrap();
        keep_plans(&connection).unwrap();
        connection.execute_batch(STEPS[0]).unwrap();
        let mut lanes = connection.prepare(super::super::DUE_LANES).unwrap();
        for limit in [1, 64, 65] {
            assert!(lanes.query((1, limit)).unwrap().next().unwrap().is_none());
        }
        assert_eq!(lanes.get_status(StatementStatus::RePrepare), 0);
    }
}
