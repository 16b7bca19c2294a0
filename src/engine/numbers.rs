//! The receiver's ticket numbers: to the call while it has something to say, onto the closed ticket afterwards.
//!
//! Deliberately absent: reading the receiver's answer (`webhook`), keeping the number (`store`).

use std::sync::{Arc, OnceLock, Weak};

use super::clock::Clock;
use super::journal::{Closed, Journal};
use super::mailbox::Mailboxes;
use super::store::Store;
use crate::base::id::{CallId, TicketId};
use crate::call::words::CallInput;
use crate::event::call::Happening;

/// Where numbers go; clones share it. The store tells it, so it knows the store only later, and without holding it.
#[derive(Clone)]
pub(super) struct Numbers {
    clock: Clock,
    mailboxes: Arc<Mailboxes>,
    known: Arc<OnceLock<(Weak<Store>, Closed)>>,
}

impl Numbers {
    pub(super) fn new(clock: &Clock, mailboxes: &Arc<Mailboxes>) -> Self {
        Self { clock: clock.clone(), mailboxes: Arc::clone(mailboxes), known: Arc::default() }
    }

    /// Tells it the store and the journal over it.
    pub(super) fn know(&self, store: &Arc<Store>, journal: &Journal) {
        let _ = self.known.set((Arc::downgrade(store), journal.closed()));
    }

    /// A receiver gave a ticket a number. Called on the store's thread; never blocks.
    pub(super) fn given(&self, call: CallId, ticket: TicketId, ticket_no: Arc<str>) {
        let closed = self.known.get().is_some_and(|(_, said)| said.contains(call));
        if !closed && self.mailboxes.post(call, CallInput::TicketNo(Arc::clone(&ticket_no))) {
            return;
        }
        let Some(store) = self.known.get().and_then(|(store, _)| store.upgrade()) else { return };
        let amended = store.amend(ticket, self.clock.now().wall, Happening::TicketNo { ticket_no }, move |amended| {
            if !amended {
                tracing::warn!(%ticket, "a ticket's number came between its call's last words and is kept beside it only");
            }
        });
        if !amended {
            tracing::warn!(%ticket, "a ticket's number could not be noted");
        }
    }
}
