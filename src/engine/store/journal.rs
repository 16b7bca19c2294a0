//! The journal within one transaction: each event is written, folded into its ticket, and what it publishes is put
//! into the outbox.
//!
//! The folds of live calls are kept in memory between transactions; they are only a copy of the `ticket` rows and
//! are dropped whenever a transaction fails. Limit: [`FOLDS_MAX`] folds are kept.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use rusqlite::{OptionalExtension as _, Transaction};

use super::outbox;
use crate::base::id::{TicketId, Ulid};
use crate::event::call::{CallEvent, Happening};
use crate::event::ticket::TicketFold;

/// The most folds kept in memory.
const FOLDS_MAX: usize = 16_384;

#[derive(Default)]
pub(super) struct Folds {
    kept: BTreeMap<TicketId, TicketFold>,
    changed: BTreeSet<TicketId>,
}

impl Folds {
    /// Forgets everything, after a transaction that failed.
    pub(super) fn forget(&mut self) {
        self.kept.clear();
        self.changed.clear();
    }

    /// Writes one event; an event that is stored already changes nothing.
    pub(super) fn append(
        &mut self,
        tx: &Transaction<'_>,
        event: &CallEvent,
        endpoints: &[i64],
    ) -> rusqlite::Result<()> {
        self.load(tx, event.ticket)?;
        let fold = self.kept.entry(event.ticket).or_default();
        if event.journal_seq <= fold.journal_seq() {
            return Ok(());
        }
        if event.journal_seq != fold.journal_seq() + 1 {
            tracing::error!(call = %event.call, stored = fold.journal_seq(), came = event.journal_seq, "journal gap");
        }
        tx.prepare_cached("INSERT INTO journal VALUES (?1, ?2, ?3, ?4)")?.execute((
            blob(event.call.0.bits()),
            event.journal_seq,
            event.at.as_millisecond(),
            json(event)?,
        ))?;
        self.changed.insert(event.ticket);
        if let Some(published) = fold.apply(event) {
            outbox::publish(tx, &published, endpoints)?;
        }
        Ok(())
    }

    /// Ends every call that is still open in the file, as a fault of ours; says how many there were.
    pub(super) fn close_orphans(
        &mut self,
        tx: &Transaction<'_>,
        at: Timestamp,
        endpoints: &[i64],
    ) -> rusqlite::Result<usize> {
        let live: Vec<[u8; 16]> = tx
            .prepare_cached("SELECT ticket FROM ticket WHERE closed = 0")?
            .query_map([], |row| row.get(0))?
            .collect::<Result<_, _>>()?;
        for ticket in &live {
            let ticket = TicketId(Ulid::from_bits(u128::from_be_bytes(*ticket)));
            self.load(tx, ticket)?;
            let facts = self.kept.get(&ticket).map(|fold| fold.give_up(at)).unwrap_or_default();
            for event in &facts {
                self.append(tx, event, endpoints)?;
            }
        }
        Ok(live.len())
    }

    /// Adds a fact to a closed ticket; `false` when the ticket is not there or its call still lives.
    pub(super) fn amend(
        &mut self,
        tx: &Transaction<'_>,
        ticket: TicketId,
        at: Timestamp,
        what: &Happening,
        endpoints: &[i64],
    ) -> rusqlite::Result<bool> {
        self.load(tx, ticket)?;
        let Some(event) = self.kept.get(&ticket).and_then(|fold| fold.late_fact(at, what.clone())) else {
            return Ok(false);
        };
        self.append(tx, &event, endpoints)?;
        Ok(true)
    }

    /// Writes the state of each ticket that changed.
    pub(super) fn flush(&mut self, tx: &Transaction<'_>) -> rusqlite::Result<()> {
        let mut write = tx.prepare_cached(
            "INSERT INTO ticket (ticket, call, tenant, opened_at, closed, dialled, ticket_no, state)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
             ON CONFLICT (ticket) DO UPDATE SET closed = excluded.closed, state = excluded.state,
                ticket_no = coalesce(excluded.ticket_no, ticket.ticket_no)",
        )?;
        for ticket in &self.changed {
            let Some(fold) = self.kept.get(ticket) else { continue };
            let Some((call, tenant)) = fold.identity() else { continue };
            let document = fold.document();
            let opened = document.accepted_at.map_or(0, |at| Timestamp::from(at).as_millisecond());
            write.execute((
                blob(ticket.0.bits()),
                blob(call.0.bits()),
                tenant.as_str(),
                opened,
                fold.is_closed(),
                &*document.dialled,
                document.ticket_no.as_deref(),
                json(fold)?,
            ))?;
        }
        Ok(())
    }

    /// Called after the commit: closed tickets are no longer kept.
    pub(super) fn committed(&mut self) {
        for ticket in std::mem::take(&mut self.changed) {
            if self.kept.get(&ticket).is_some_and(TicketFold::is_closed) {
                self.kept.remove(&ticket);
            }
        }
        if self.kept.len() > FOLDS_MAX {
            self.kept.clear();
        }
    }

    fn load(&mut self, tx: &Transaction<'_>, ticket: TicketId) -> rusqlite::Result<()> {
        if self.kept.contains_key(&ticket) {
            return Ok(());
        }
        let state: Option<String> = tx
            .prepare_cached("SELECT state FROM ticket WHERE ticket = ?1")?
            .query_row([blob(ticket.0.bits())], |row| row.get(0))
            .optional()?;
        if let Some(state) = state {
            self.kept.insert(ticket, parse(&state)?);
        }
        Ok(())
    }
}

/// An id as it lies in the file.
pub(super) const fn blob(bits: u128) -> [u8; 16] {
    bits.to_be_bytes()
}

pub(super) fn json<T: serde::Serialize>(value: &T) -> rusqlite::Result<String> {
    serde_json::to_string(value).map_err(|fault| rusqlite::Error::ToSqlConversionFailure(Box::new(fault)))
}

pub(super) fn parse<T: serde::de::DeserializeOwned>(text: &str) -> rusqlite::Result<T> {
    serde_json::from_str(text)
        .map_err(|fault| rusqlite::Error::FromSqlConversionFailure(0, rusqlite::types::Type::Text, Box::new(fault)))
}
