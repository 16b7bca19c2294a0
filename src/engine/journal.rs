//! From calls to the store: each call's room, its events in order, and `Stored` back into its mailbox.
//!
//! Also the one place where events become figures. Deliberately absent: rendering and delivery (`store`, `webhook`).

use std::sync::Arc;
use std::sync::atomic::Ordering;

use dashmap::DashMap;

use super::mailbox::Mailboxes;
use super::store::{Room, Store, Stored};
use super::views::Figures;
use crate::base::id::CallId;
use crate::call::words::CallInput;
use crate::event::call::{Barrier, CallEvent};

/// The journal as calls see it; clones share it.
#[derive(Clone)]
pub struct Journal {
    store: Arc<Store>,
    rooms: Arc<DashMap<CallId, Room>>,
    mailboxes: Arc<Mailboxes>,
    figures: Arc<Figures>,
}

impl Journal {
    /// A journal over an open store.
    #[must_use]
    pub fn new(store: Arc<Store>, mailboxes: Arc<Mailboxes>, figures: Arc<Figures>) -> Self {
        Self { store, rooms: Arc::default(), mailboxes, figures }
    }

    /// Reserves a call's room before it begins; `false` when there is none (never for an emergency).
    #[must_use]
    pub fn open(&self, call: CallId, emergency: bool) -> bool {
        let room = if emergency { Some(self.store.reserve_emergency()) } else { self.store.try_reserve() };
        match room {
            Some(room) => {
                self.rooms.insert(call, room);
                true
            }
            None => false,
        }
    }

    /// Gives a call's room back.
    pub fn close(&self, call: CallId) {
        self.rooms.remove(&call);
    }

    /// Queues an event; where the call waits for it, `Stored` comes back.
    pub fn append(&self, event: CallEvent, barrier: Barrier) {
        self.figures.count(&event);
        let call = event.call;
        let Some(room) = self.rooms.get(&call) else {
            self.lose(call);
            return;
        };
        let reply = (barrier == Barrier::Hold).then(|| {
            let mailboxes = Arc::clone(&self.mailboxes);
            let reply: Box<dyn FnOnce(Stored) + Send> = Box::new(move |stored: Stored| {
                mailboxes.post(stored.call, CallInput::Stored(stored.journal_seq));
            });
            reply
        });
        if room.append(event, reply).is_err() {
            self.lose(call);
        }
    }

    fn lose(&self, call: CallId) {
        self.figures.unjournaled.fetch_add(1, Ordering::Relaxed);
        tracing::error!(%call, "an event could not be journaled: the disk has been standing still");
    }
}
