//! From calls to the store: each call's room, its events in order, and `Stored` back into its mailbox.
//!
//! Also the one place where events become figures, and where a call that could not end itself is ended on its ticket.
//! Deliberately absent: rendering and delivery (`store`, `webhook`).

use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};

use dashmap::DashMap;

use super::mailbox::Mailboxes;
use super::store::{Room, Store, Stored};
use super::views::Figures;
use crate::base::id::{CallId, TenantName, TicketId};
use crate::base::now::Now;
use crate::call::words::CallInput;
use crate::event::call::{Barrier, CallEvent, Happening};
use crate::event::reason::{EndReason, EndedBy};

/// What the last event of a call said, so that another can follow it without a gap.
struct Last {
    ticket: TicketId,
    tenant: TenantName,
    journal_seq: u64,
    ended: bool,
    closed: bool,
}

struct Open {
    room: Room,
    last: Option<Last>,
}

/// The journal as calls see it; clones share it.
#[derive(Clone)]
pub struct Journal {
    store: Arc<Store>,
    open: Arc<DashMap<CallId, Open>>,
    mailboxes: Arc<Mailboxes>,
    figures: Arc<Figures>,
}

impl Journal {
    /// A journal over an open store.
    #[must_use]
    pub fn new(store: Arc<Store>, mailboxes: Arc<Mailboxes>, figures: Arc<Figures>) -> Self {
        Self { store, open: Arc::default(), mailboxes, figures }
    }

    /// Reserves a call's room before it begins; `false` when there is none (never for an emergency).
    #[must_use]
    pub fn open(&self, call: CallId, emergency: bool) -> bool {
        let room = if emergency { Some(self.store.reserve_emergency()) } else { self.store.try_reserve() };
        match room {
            Some(room) => {
                self.open.insert(call, Open { room, last: None });
                true
            }
            None => false,
        }
    }

    /// Whether no more calls should begin: the disk is full, or so far behind that events would be lost.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.figures.disk_full.load(Ordering::Relaxed) || self.store.is_behind()
    }

    /// Gives a call's room back.
    pub fn close(&self, call: CallId) {
        self.open.remove(&call);
    }

    /// Queues an event; where the call waits for it, `Stored` comes back.
    pub fn append(&self, event: CallEvent, barrier: Barrier) {
        self.figures.count(&event);
        let call = event.call;
        let Some(mut open) = self.open.get_mut(&call) else {
            self.lose(call);
            return;
        };
        let ended = open.last.as_ref().is_some_and(|last| last.ended);
        open.last = Some(Last {
            ticket: event.ticket,
            tenant: event.tenant.clone(),
            journal_seq: event.journal_seq,
            ended: ended || matches!(event.what, Happening::Ended { .. }),
            closed: matches!(event.what, Happening::Closed),
        });
        let reply = (barrier == Barrier::Hold).then(|| {
            let mailboxes = Arc::clone(&self.mailboxes);
            let reply: Box<dyn FnOnce(Stored) + Send> = Box::new(move |stored: Stored| {
                mailboxes.post(stored.call, CallInput::Stored(stored.journal_seq));
            });
            reply
        });
        if open.room.append(event, reply).is_err() {
            self.lose(call);
        }
    }

    /// Ends the ticket of a call that cannot do it itself any more: `Ended` by us and `Closed`, as far as they were not
    /// said. A call that said nothing has no ticket.
    pub fn abort(&self, call: CallId, now: Now, reason: EndReason) {
        let wanted = [Happening::Ended { by: EndedBy::Engine, reason, sip_code: None }, Happening::Closed];
        for what in wanted {
            let next = self.open.get(&call).and_then(|open| {
                let last = open.last.as_ref()?;
                let said = if matches!(what, Happening::Closed) { last.closed } else { last.ended };
                (!said).then(|| (last.ticket, last.tenant.clone(), last.journal_seq + 1))
            });
            let Some((ticket, tenant, journal_seq)) = next else { continue };
            let event = CallEvent { call, ticket, tenant, journal_seq, at: now.wall, mono: now.mono, what };
            self.append(event, Barrier::None);
        }
    }

    /// Tells which live calls have said their last word, without holding the journal.
    #[must_use]
    pub(super) fn closed(&self) -> Closed {
        Closed(Arc::downgrade(&self.open))
    }

    fn lose(&self, call: CallId) {
        self.figures.unjournaled.fetch_add(1, Ordering::Relaxed);
        tracing::error!(%call, "an event could not be journaled: the disk has been standing still");
    }
}

/// Which live calls have said their last word: a later fact amends the ticket.
#[derive(Clone)]
pub(super) struct Closed(Weak<DashMap<CallId, Open>>);

impl Closed {
    pub(super) fn contains(&self, call: CallId) -> bool {
        let Some(open) = self.0.upgrade() else { return true };
        // A call has its room from before its first event until it is closed.
        open.get(&call).is_none_or(|open| open.last.as_ref().is_some_and(|last| last.closed))
    }
}
