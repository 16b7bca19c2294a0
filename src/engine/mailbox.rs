//! The calls' mailboxes: bounded, with room kept for what must not be lost.
//!
//! | input | room | when full |
//! |---|---|---|
//! | SIP | 64 places less the 24 kept | dropped and counted; UDP peers repeat, a stream's call faults alone |
//! | verdicts, stored, operator, media reports that decide | all 64 | counted; cannot happen while a call has few open requests |
//! | quality figures | as SIP | dropped; the next ones replace them |
//!
//! Deliberately absent: what an input means.

use std::sync::atomic::{AtomicU64, Ordering};

use dashmap::DashMap;
use tokio::sync::mpsc;

use crate::base::id::CallId;
use crate::call::words::CallInput;
use crate::rtp::command::MediaReport;

/// Places in one mailbox.
pub const MAILBOX: usize = 64;
const KEPT: usize = 24;

/// All live calls' mailboxes, reached by id from any thread.
#[derive(Debug, Default)]
pub struct Mailboxes {
    boxes: DashMap<CallId, mpsc::Sender<CallInput>>,
    dropped: AtomicU64,
}

impl Mailboxes {
    /// Opens a mailbox for a new call.
    pub fn open(&self, call: CallId) -> mpsc::Receiver<CallInput> {
        let (sender, receiver) = mpsc::channel(MAILBOX);
        self.boxes.insert(call, sender);
        receiver
    }

    /// Closes a call's mailbox.
    pub fn close(&self, call: CallId) {
        self.boxes.remove(&call);
    }

    /// Posts without waiting. `false` when the call is gone or there was no room.
    pub fn post(&self, call: CallId, input: CallInput) -> bool {
        let Some(sender) = self.boxes.get(&call) else { return false };
        let room = sender.capacity();
        if room == 0 || (may_drop(&input) && room <= KEPT) || sender.try_send(input).is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
            return false;
        }
        true
    }

    /// Live calls.
    #[must_use]
    pub fn len(&self) -> usize {
        self.boxes.len()
    }

    /// Whether no call lives.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.boxes.is_empty()
    }

    /// Inputs dropped for want of room.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// The calls that live now, in no order.
    #[must_use]
    pub fn calls(&self) -> Vec<CallId> {
        self.boxes.iter().map(|entry| *entry.key()).collect()
    }
}

const fn may_drop(input: &CallInput) -> bool {
    match input {
        CallInput::Sip(..) | CallInput::Consult { .. } => true,
        CallInput::Media(report) => matches!(report, MediaReport::Quality { .. }),
        CallInput::Acd(_)
        | CallInput::Found(..)
        | CallInput::Operator(_)
        | CallInput::Stored(_)
        | CallInput::TicketNo(_)
        | CallInput::Exchange(_)
        | CallInput::TransportDown(_)
        | CallInput::Deadline => false,
    }
}
