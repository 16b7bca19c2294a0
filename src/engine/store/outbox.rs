//! The outbox within one transaction: bodies, what is owed to whom, and the lanes that keep the order.
//!
//! A lane is one ticket toward one endpoint. Only its head is ever due, so order per ticket and one in flight hold
//! by construction, and a dead endpoint costs one due row per ticket.

use jiff::Timestamp;
use rusqlite::{OptionalExtension as _, Transaction};

use super::journal::blob;
use crate::base::id::{CallId, TicketId, Ulid};
use crate::event::ticket::Published;

pub(super) const PENDING: i64 = 0;
pub(super) const DONE: i64 = 1;
pub(super) const DEAD: i64 = 2;

/// What one attempt to deliver came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settlement {
    /// The endpoint's name.
    pub endpoint: String,
    /// The ticket.
    pub ticket: TicketId,
    /// Which of its deliveries to this endpoint.
    pub delivery_seq: u64,
    /// What is to become of it.
    pub disposition: Disposition,
    /// The status answered, when one was.
    pub status: Option<u16>,
    /// What was answered or went wrong, shortened, for people.
    pub answer: String,
    /// The receiver's number for the ticket, when it gave one.
    pub ticket_no: Option<String>,
    /// When.
    pub at: Timestamp,
}

/// What is to become of a delivery after an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Disposition {
    /// Delivered.
    Done,
    /// Again, then.
    Retry {
        /// Not before this moment.
        at: Timestamp,
    },
    /// Kept, but no longer tried; later events of the ticket go on.
    Dead,
    /// The endpoint wants no more until it is re-enabled; the event is kept.
    Park,
}

/// Which dead letters to send again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Redrive {
    /// All of one endpoint.
    Endpoint(String),
    /// All of one ticket, to every endpoint.
    Ticket(TicketId),
}

/// Writes a body and owes it to each endpoint.
pub(super) fn publish(tx: &Transaction<'_>, published: &Published, endpoints: &[i64]) -> rusqlite::Result<()> {
    let body = published.render().map_err(|fault| rusqlite::Error::ToSqlConversionFailure(Box::new(fault)))?;
    let ticket = blob(published.ticket.0.bits());
    let at = Timestamp::from(published.occurred_at).as_millisecond();
    tx.prepare_cached("INSERT INTO event (event_id, ticket, seq, at, head, tail) VALUES (?1, ?2, ?3, ?4, ?5, ?6)")?
        .execute((blob(published.event_id.0.bits()), ticket, published.seq, at, body.head, body.tail))?;
    let event = tx.last_insert_rowid();
    for endpoint in endpoints {
        // An idle lane starts anew with this event as its head.
        let sent: i64 = tx
            .prepare_cached(
                "INSERT INTO lane (endpoint, ticket, call, sent, head, tries, next_at, first_at)
                 VALUES (?1, ?2, ?3, 1, 1, 0, ?4, ?4)
                 ON CONFLICT (endpoint, ticket) DO UPDATE SET sent = sent + 1, head = coalesce(head, sent + 1),
                    next_at = coalesce(next_at, excluded.next_at), first_at = coalesce(first_at, excluded.first_at)
                 RETURNING sent",
            )?
            .query_row((endpoint, ticket, blob(published.call.0.bits()), at), |row| row.get(0))?;
        tx.prepare_cached(
            "INSERT INTO delivery (endpoint, ticket, delivery_seq, event, state, tries) VALUES (?1, ?2, ?3, ?4, 0, 0)",
        )?
        .execute((endpoint, ticket, sent, event))?;
    }
    Ok(())
}

/// Notes the result of an attempt; the call, when its ticket got a number it did not have.
pub(super) fn settle(tx: &Transaction<'_>, said: &Settlement) -> rusqlite::Result<Option<CallId>> {
    let Some(endpoint) = endpoint_id(tx, &said.endpoint)? else { return Ok(None) };
    let (ticket, now) = (blob(said.ticket.0.bits()), said.at.as_millisecond());
    let state = match said.disposition {
        Disposition::Done => DONE,
        Disposition::Dead => DEAD,
        Disposition::Retry { .. } | Disposition::Park => PENDING,
    };
    let changed = tx
        .prepare_cached(
            "UPDATE delivery SET state = ?4, tries = tries + 1, status = ?5, answer = ?6, settled_at = ?7
             WHERE endpoint = ?1 AND ticket = ?2 AND delivery_seq = ?3 AND state = 0",
        )?
        .execute((endpoint, ticket, said.delivery_seq, state, said.status, &said.answer, now))?;
    if changed > 0 {
        match said.disposition {
            Disposition::Done | Disposition::Dead => advance(tx, endpoint, ticket, now)?,
            Disposition::Retry { at } => {
                tx.prepare_cached(
                    "UPDATE lane SET tries = tries + 1, next_at = ?4 WHERE endpoint = ?1 AND ticket = ?2 AND head = ?3",
                )?
                .execute((endpoint, ticket, said.delivery_seq, at.as_millisecond()))?;
            }
            Disposition::Park => park(tx, &said.endpoint, Some((now, &said.answer)))?,
        }
    }
    let Some(number) = &said.ticket_no else { return Ok(None) };
    tx.prepare_cached("UPDATE ticket SET ticket_no = ?2 WHERE ticket = ?1 AND ticket_no IS NOT ?2 RETURNING call")?
        .query_row((ticket, number), |row| row.get(0))
        .optional()
        .map(|call| call.map(|bits| CallId(Ulid::from_bits(u128::from_be_bytes(bits)))))
}

/// Stops an endpoint (`Some`), or lets it go on.
pub(super) fn park(tx: &Transaction<'_>, name: &str, parked: Option<(i64, &str)>) -> rusqlite::Result<()> {
    tx.prepare_cached("UPDATE endpoint SET parked_at = ?2, parked_because = ?3 WHERE name = ?1")?.execute((
        name,
        parked.map(|(at, _)| at),
        parked.map(|(_, because)| because),
    ))?;
    Ok(())
}

/// Makes dead letters pending again, with the numbers they had; says how many.
pub(super) fn redrive(tx: &Transaction<'_>, which: &Redrive, now_ms: i64) -> rusqlite::Result<usize> {
    let read = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get(1)?, row.get(2)?));
    let dead: Vec<(i64, [u8; 16], u64)> = match which {
        Redrive::Endpoint(name) => {
            let Some(endpoint) = endpoint_id(tx, name)? else { return Ok(0) };
            tx.prepare_cached("SELECT endpoint, ticket, delivery_seq FROM delivery WHERE state = 2 AND endpoint = ?1")?
                .query_map([endpoint], read)?
                .collect::<Result<_, _>>()?
        }
        Redrive::Ticket(ticket) => tx
            .prepare_cached("SELECT endpoint, ticket, delivery_seq FROM delivery WHERE state = 2 AND ticket = ?1")?
            .query_map([blob(ticket.0.bits())], read)?
            .collect::<Result<_, _>>()?,
    };
    for (endpoint, ticket, delivery_seq) in &dead {
        tx.prepare_cached(
            "UPDATE delivery SET state = 0, tries = 0 WHERE endpoint = ?1 AND ticket = ?2 AND delivery_seq = ?3",
        )?
        .execute((endpoint, ticket, delivery_seq))?;
        advance(tx, *endpoint, *ticket, now_ms)?;
    }
    Ok(dead.len())
}

/// The endpoints by name, made where they are new.
pub(super) fn register(tx: &Transaction<'_>, names: &[String]) -> rusqlite::Result<Vec<i64>> {
    names
        .iter()
        .map(|name| {
            tx.execute("INSERT OR IGNORE INTO endpoint (name) VALUES (?1)", [name])?;
            tx.query_row("SELECT id FROM endpoint WHERE name = ?1", [name], |row| row.get(0))
        })
        .collect()
}

/// The first pending delivery becomes the lane's head, due now; an empty lane rests.
fn advance(tx: &Transaction<'_>, endpoint: i64, ticket: [u8; 16], now_ms: i64) -> rusqlite::Result<()> {
    let head: Option<u64> = tx
        .prepare_cached("SELECT min(delivery_seq) FROM delivery WHERE endpoint = ?1 AND ticket = ?2 AND state = 0")?
        .query_row((endpoint, ticket), |row| row.get(0))?;
    let due = head.map(|_| now_ms);
    tx.prepare_cached(
        "UPDATE lane SET head = ?3, tries = 0, next_at = ?4, first_at = ?4 WHERE endpoint = ?1 AND ticket = ?2",
    )?
    .execute((endpoint, ticket, head, due))?;
    Ok(())
}

fn endpoint_id(tx: &Transaction<'_>, name: &str) -> rusqlite::Result<Option<i64>> {
    tx.prepare_cached("SELECT id FROM endpoint WHERE name = ?1")?.query_row([name], |row| row.get(0)).optional()
}
