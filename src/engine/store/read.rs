//! Reading the store: listings for people, and the due lanes for the sender. Every call here blocks on the disk.

use std::sync::{Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension as _, Row};
use serde::Serialize;

use super::journal::{blob, parse};
use super::{Store, StoreFault};
use crate::base::id::{CallId, EventId, TenantName, TicketId, Ulid};
use crate::event::call::CallEvent;
use crate::event::ticket::{Moment, Rendered, Ticket, TicketFold};

/// The most rows of one page.
pub const PAGE_MAX: usize = 1_000;

/// How lanes are picked; its plan is under test, because a sender asks it with 200,000 lanes due.
#[doc(hidden)]
pub const DUE_LANES: &str = "SELECT ticket, call, head, tries, next_at, first_at FROM lane
    WHERE endpoint = ?1 AND next_at IS NOT NULL ORDER BY next_at LIMIT ?2";

/// Which tickets to list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TicketFilter {
    /// Of this place only.
    pub tenant: Option<TenantName>,
    /// To this number only.
    pub dialled: Option<String>,
    /// Closed ones only (`true`), open ones only (`false`).
    pub closed: Option<bool>,
    /// Older than this ticket: the last of the page before.
    pub before: Option<TicketId>,
}

/// One ticket with its identity.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TicketRow {
    /// The ticket.
    pub ticket_id: TicketId,
    /// The call.
    pub call_id: CallId,
    /// The place.
    pub tenant: TenantName,
    /// Its published events so far.
    pub seq: u64,
    /// The number the receiver gave, even where no event said so yet.
    pub receiver_no: Option<String>,
    /// The document.
    pub ticket: Ticket,
}

/// One published event and how its deliveries stand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventRow {
    /// Its id.
    pub event_id: EventId,
    /// Its number within the ticket.
    pub seq: u64,
    /// The body, complete but for the endpoint's number.
    pub body: Rendered,
    /// Its deliveries.
    pub deliveries: Vec<DeliveryRow>,
}

/// One delivery.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DeliveryRow {
    /// The endpoint.
    pub endpoint: String,
    /// The ticket.
    pub ticket_id: TicketId,
    /// The event.
    pub event_id: EventId,
    /// The endpoint's own number.
    pub delivery_seq: u64,
    /// `pending`, `done`, `dead`.
    pub state: &'static str,
    /// Attempts so far.
    pub tries: u32,
    /// The last status.
    pub status: Option<u16>,
    /// The last answer, shortened.
    pub answer: Option<String>,
    /// When it was last attempted.
    pub settled_at: Option<Moment>,
}

/// How one endpoint stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Backlog {
    /// The endpoint.
    pub endpoint: String,
    /// Tickets with something to deliver.
    pub lanes: u64,
    /// Events to deliver; exact unless dead letters were redriven.
    pub events: u64,
    /// Dead letters.
    pub dead: u64,
    /// The longest any event has been waiting since.
    pub oldest: Option<Moment>,
    /// Since when it is parked.
    pub parked_at: Option<Moment>,
    /// Why it is parked.
    pub parked_because: Option<String>,
}

/// The head of a lane that is due.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Due {
    /// The ticket.
    pub ticket: TicketId,
    /// Its call.
    pub call: CallId,
    /// The event.
    pub event_id: EventId,
    /// The endpoint's own number for it.
    pub delivery_seq: u64,
    /// Attempts so far.
    pub tries: u32,
    /// Since when it is the head.
    pub first_at: Timestamp,
    /// The body to post.
    pub body: Vec<u8>,
}

/// What a look at an endpoint's lanes found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Picked {
    /// Due heads, longest due first.
    pub due: Vec<Due>,
    /// When the next lane falls due, if none of those left out is due already.
    pub next_at: Option<Timestamp>,
}

impl Store {
    /// One page of tickets, newest first.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn tickets(&self, filter: &TicketFilter, page: usize) -> Result<Vec<TicketRow>, StoreFault> {
        let connection = self.reader();
        let mut rows = connection.prepare_cached(
            "SELECT ticket, call, tenant, ticket_no, state FROM ticket
             WHERE (?1 IS NULL OR tenant = ?1) AND (?2 IS NULL OR dialled = ?2) AND (?3 IS NULL OR closed = ?3)
               AND (?4 IS NULL OR ticket < ?4) ORDER BY ticket DESC LIMIT ?5",
        )?;
        let tenant = filter.tenant.as_ref().map(TenantName::as_str);
        let before = filter.before.map(|ticket| blob(ticket.0.bits()));
        let limit = i64::try_from(page.min(PAGE_MAX)).unwrap_or(i64::MAX);
        let found = rows.query_map((tenant, &filter.dialled, filter.closed, before, limit), ticket_row)?;
        Ok(found.collect::<Result<_, _>>()?)
    }

    /// One ticket.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn ticket(&self, ticket: TicketId) -> Result<Option<TicketRow>, StoreFault> {
        let connection = self.reader();
        let mut rows =
            connection.prepare_cached("SELECT ticket, call, tenant, ticket_no, state FROM ticket WHERE ticket = ?1")?;
        Ok(rows.query_row([blob(ticket.0.bits())], ticket_row).optional()?)
    }

    /// A ticket's published events in order, with their deliveries.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn events(&self, ticket: TicketId) -> Result<Vec<EventRow>, StoreFault> {
        let connection = self.reader();
        let mut rows = connection
            .prepare_cached("SELECT n, event_id, seq, head, tail FROM event WHERE ticket = ?1 ORDER BY seq")?;
        let key = blob(ticket.0.bits());
        let found = rows.query_map([key], |row| {
            let body = Rendered { head: row.get(3)?, tail: row.get(4)? };
            let event = EventRow { event_id: EventId(id(row, 1)?), seq: row.get(2)?, body, deliveries: Vec::new() };
            Ok((row.get::<_, i64>(0)?, event))
        })?;
        let mut deliveries =
            connection.prepare_cached(&format!("{DELIVERIES} WHERE d.ticket = ?1 AND d.event = ?2"))?;
        found
            .map(|row| {
                let (n, mut event) = row?;
                event.deliveries = deliveries.query_map((key, n), delivery_row)?.collect::<Result<_, _>>()?;
                Ok(event)
            })
            .collect()
    }

    /// The journal of one call, in order.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn journal(&self, call: CallId) -> Result<Vec<CallEvent>, StoreFault> {
        let connection = self.reader();
        let mut rows = connection.prepare_cached("SELECT body FROM journal WHERE call = ?1 ORDER BY journal_seq")?;
        let found = rows.query_map([blob(call.0.bits())], |row| row.get::<_, String>(0))?;
        found.map(|body| Ok(parse(&body?)?)).collect()
    }

    /// One page of dead letters, oldest ticket first.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn dead(&self, page: usize) -> Result<Vec<DeliveryRow>, StoreFault> {
        let connection = self.reader();
        let limit = i64::try_from(page.min(PAGE_MAX)).unwrap_or(i64::MAX);
        let mut rows = connection.prepare_cached(&format!("{DELIVERIES} WHERE d.state = 2 LIMIT ?1"))?;
        let found = rows.query_map([limit], delivery_row)?;
        Ok(found.collect::<Result<_, _>>()?)
    }

    /// How each endpoint stands.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn backlog(&self) -> Result<Vec<Backlog>, StoreFault> {
        let connection = self.reader();
        let mut rows = connection.prepare_cached(
            "SELECT p.name, p.parked_at, p.parked_because,
                (SELECT count(*) FROM lane l WHERE l.endpoint = p.id AND l.next_at IS NOT NULL),
                (SELECT total(l.sent - l.head + 1) FROM lane l WHERE l.endpoint = p.id AND l.next_at IS NOT NULL),
                (SELECT min(l.first_at) FROM lane l WHERE l.endpoint = p.id AND l.next_at IS NOT NULL),
                (SELECT count(*) FROM delivery d WHERE d.endpoint = p.id AND d.state = 2)
             FROM endpoint p ORDER BY p.id",
        )?;
        let found = rows.query_map([], |row| {
            Ok(Backlog {
                endpoint: row.get(0)?,
                parked_at: row.get::<_, Option<i64>>(1)?.map(at).map(Moment::from),
                parked_because: row.get(2)?,
                lanes: row.get(3)?,
                events: row.get::<_, f64>(4)? as u64,
                oldest: row.get::<_, Option<i64>>(5)?.map(at).map(Moment::from),
                dead: row.get(6)?,
            })
        })?;
        Ok(found.collect::<Result<_, _>>()?)
    }

    /// The tickets of calls that are not closed: after a start, those that were live when the process ended.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn orphans(&self) -> Result<Vec<(CallId, TicketId)>, StoreFault> {
        let connection = self.reader();
        let mut rows = connection.prepare_cached("SELECT call, ticket FROM ticket WHERE closed = 0")?;
        let found = rows.query_map([], |row| Ok((CallId(id(row, 0)?), TicketId(id(row, 1)?))))?;
        Ok(found.collect::<Result<_, _>>()?)
    }

    /// Due heads of an endpoint's lanes, at most `most`, without those `busy` names. A parked endpoint has none.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn due(
        &self,
        endpoint: &str,
        now: Timestamp,
        most: usize,
        busy: &dyn Fn(TicketId) -> bool,
        busy_count: usize,
    ) -> Result<Picked, StoreFault> {
        let connection = lock(self.sender_connection());
        let Some(endpoint) = connection
            .prepare_cached("SELECT id FROM endpoint WHERE name = ?1 AND parked_at IS NULL")?
            .query_row([endpoint], |row| row.get::<_, i64>(0))
            .optional()?
        else {
            return Ok(Picked::default());
        };
        let mut lanes = connection.prepare_cached(DUE_LANES)?;
        let mut body = connection.prepare_cached(
            "SELECT e.event_id, e.head, e.tail FROM delivery d JOIN event e ON e.n = d.event
             WHERE d.endpoint = ?1 AND d.ticket = ?2 AND d.delivery_seq = ?3",
        )?;
        let limit = i64::try_from(most + busy_count + 1).unwrap_or(i64::MAX);
        let mut found = lanes.query((endpoint, limit))?;
        let mut picked = Picked::default();
        while let Some(lane) = found.next()? {
            let ticket = TicketId(id(lane, 0)?);
            if busy(ticket) {
                continue;
            }
            let next_at = at(lane.get(4)?);
            if next_at > now || picked.due.len() >= most {
                picked.next_at = Some(next_at);
                break;
            }
            let delivery_seq: u64 = lane.get(2)?;
            let (event_id, rendered) = body.query_row((endpoint, blob(ticket.0.bits()), delivery_seq), |row| {
                Ok((EventId(id(row, 0)?), Rendered { head: row.get(1)?, tail: row.get(2)? }))
            })?;
            picked.due.push(Due {
                ticket,
                call: CallId(id(lane, 1)?),
                event_id,
                delivery_seq,
                tries: lane.get(3)?,
                first_at: lane.get::<_, Option<i64>>(5)?.map_or(now, at),
                body: rendered.body(delivery_seq),
            });
        }
        Ok(picked)
    }

    fn reader(&self) -> MutexGuard<'_, Connection> {
        let [first, second] = self.reader_connections();
        first.try_lock().unwrap_or_else(|_| lock(second))
    }
}

const DELIVERIES: &str = "SELECT p.name, d.ticket, e.event_id, d.delivery_seq, d.state, d.tries, d.status, d.answer,
    d.settled_at FROM delivery d JOIN endpoint p ON p.id = d.endpoint JOIN event e ON e.n = d.event";

fn delivery_row(row: &Row<'_>) -> rusqlite::Result<DeliveryRow> {
    Ok(DeliveryRow {
        endpoint: row.get(0)?,
        ticket_id: TicketId(id(row, 1)?),
        event_id: EventId(id(row, 2)?),
        delivery_seq: row.get(3)?,
        state: match row.get(4)? {
            super::outbox::PENDING => "pending",
            super::outbox::DONE => "done",
            _ => "dead",
        },
        tries: row.get(5)?,
        status: row.get(6)?,
        answer: row.get(7)?,
        settled_at: row.get::<_, Option<i64>>(8)?.map(at).map(Moment::from),
    })
}

fn ticket_row(row: &Row<'_>) -> rusqlite::Result<TicketRow> {
    let fold: TicketFold = parse(&row.get::<_, String>(4)?)?;
    Ok(TicketRow {
        ticket_id: TicketId(id(row, 0)?),
        call_id: CallId(id(row, 1)?),
        tenant: TenantName::new(row.get::<_, String>(2)?),
        seq: fold.seq(),
        receiver_no: row.get(3)?,
        ticket: fold.into_document(),
    })
}

fn id(row: &Row<'_>, column: usize) -> rusqlite::Result<Ulid> {
    row.get(column).map(|bytes| Ulid::from_bits(u128::from_be_bytes(bytes)))
}

fn at(ms: i64) -> Timestamp {
    Timestamp::from_millisecond(ms).unwrap_or_default()
}

fn lock(connection: &Mutex<Connection>) -> MutexGuard<'_, Connection> {
    connection.lock().unwrap_or_else(PoisonError::into_inner)
}
