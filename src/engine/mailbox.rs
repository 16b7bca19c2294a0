//! The calls' mailboxes: bounded, with room kept for what must not be lost.
//!
//! | input | room | when full |
//! |---|---|---|
//! | SIP | 64 places less the 24 kept | dropped and counted; UDP peers repeat, a stream's call faults alone |
//! | verdicts, stored, operator, media reports that decide | all 64 | counted; cannot happen while a call has few open requests |
//! | quality figures | as SIP | dropped; the next ones replace them |
//!
//! An empty mailbox has no memory for inputs: a channel of tokio's takes 2.6 KB a call before the first one. Deliberately
//! absent: what an input means.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use dashmap::DashMap;
use tokio::sync::Notify;

use crate::base::id::CallId;
use crate::call::words::CallInput;
use crate::rtp::command::MediaReport;

/// Places in one mailbox.
pub const MAILBOX: usize = 64;
const KEPT: usize = 24;
/// An emptied mailbox keeps room for this many.
const ROOM: usize = 8;

/// Why an input was not posted.
#[derive(Debug, PartialEq, Eq)]
pub enum NotPosted {
    /// The call is over.
    Gone,
    /// There is no room for it now.
    Full(CallInput),
}

/// All live calls' mailboxes, reached by id from any thread.
#[derive(Debug, Default)]
pub struct Mailboxes {
    boxes: DashMap<CallId, Arc<Pile>>,
    dropped: AtomicU64,
}

/// What waits for one call.
#[derive(Debug)]
struct Pile {
    inputs: Mutex<Inputs>,
    filled: Notify,
}

#[derive(Debug)]
struct Inputs {
    waiting: VecDeque<CallInput>,
    open: bool,
}

impl Pile {
    fn lock(&self) -> MutexGuard<'_, Inputs> {
        self.inputs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn close(&self) {
        self.lock().open = false;
        self.filled.notify_one();
    }
}

/// The call's own end of its mailbox.
#[derive(Debug)]
pub struct Mailbox(Arc<Pile>);

impl Mailbox {
    /// Waits for the next input; `None` once the mailbox is closed and empty. May be given up at any await.
    pub async fn recv(&mut self) -> Option<CallInput> {
        loop {
            let (input, open) = self.take();
            if input.is_some() || !open {
                return input;
            }
            self.0.filled.notified().await;
        }
    }

    /// The next input, when there is one.
    pub fn try_recv(&mut self) -> Option<CallInput> {
        self.take().0
    }

    fn take(&self) -> (Option<CallInput>, bool) {
        let mut inputs = self.0.lock();
        let input = inputs.waiting.pop_front();
        if inputs.waiting.is_empty() && inputs.waiting.capacity() > ROOM {
            inputs.waiting = VecDeque::new();
        }
        (input, inputs.open)
    }
}

impl Drop for Mailbox {
    fn drop(&mut self) {
        let mut inputs = self.0.lock();
        inputs.open = false;
        inputs.waiting.clear();
    }
}

impl Mailboxes {
    /// Opens a mailbox for a new call.
    pub fn open(&self, call: CallId) -> Mailbox {
        let inputs = Mutex::new(Inputs { waiting: VecDeque::new(), open: true });
        let pile = Arc::new(Pile { inputs, filled: Notify::new() });
        self.boxes.insert(call, Arc::clone(&pile));
        Mailbox(pile)
    }

    /// Closes a call's mailbox.
    pub fn close(&self, call: CallId) {
        if let Some((_, pile)) = self.boxes.remove(&call) {
            pile.close();
        }
    }

    /// Closes all: every call ends at once, because the engine stops.
    pub fn close_all(&self) {
        self.boxes.retain(|_, pile| {
            pile.close();
            false
        });
    }

    /// Posts without waiting. `false` when the call is gone, or there was no room and the input was dropped.
    pub fn post(&self, call: CallId, input: CallInput) -> bool {
        let posted = self.offer(call, input);
        if matches!(posted, Err(NotPosted::Full(_))) {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
        posted.is_ok()
    }

    /// Posts without waiting, or gives the input back, so that who can wait may try again.
    ///
    /// # Errors
    /// When the call is gone or there is no room for such an input.
    pub fn offer(&self, call: CallId, input: CallInput) -> Result<(), NotPosted> {
        let Some(pile) = self.boxes.get(&call) else { return Err(NotPosted::Gone) };
        let most = if may_drop(&input) { MAILBOX - KEPT } else { MAILBOX };
        let mut inputs = pile.lock();
        if !inputs.open {
            return Err(NotPosted::Gone);
        }
        if inputs.waiting.len() >= most {
            return Err(NotPosted::Full(input));
        }
        inputs.waiting.push_back(input);
        drop(inputs);
        pile.filled.notify_one();
        Ok(())
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
        CallInput::Sip(..) | CallInput::Consult { .. } | CallInput::Replace { .. } => true,
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::flow::FlowId;
    use crate::base::id::{LegId, TenantName, Ulid};
    use crate::rtp::command::RefusedWhy;

    fn call(nth: u64) -> CallId {
        CallId(Ulid::compose(jiff::Timestamp::UNIX_EPOCH, 0, &TenantName::new("p"), nth))
    }

    /// A packet in its smallest form.
    fn packet() -> CallInput {
        let bytes = "BYE sip:1@h SIP/2.0\r\nVia: SIP/2.0/UDP h;branch=z9hG4bK1\r\nFrom: <sip:1@h>;tag=a\r\n\
                     To: <sip:2@h>;tag=b\r\nCall-ID: c\r\nCSeq: 2 BYE\r\nContent-Length: 0\r\n\r\n";
        let message = crate::sip::message::Message::datagram(bytes::Bytes::from_static(bytes.as_bytes())).unwrap();
        let flow = crate::base::flow::Flow {
            id: FlowId(1),
            side: crate::base::flow::Side::Trunk,
            transport: crate::base::flow::Transport::Udp,
            local: "127.0.0.1:5060".parse().unwrap(),
            remote: "127.0.0.1:7000".parse().unwrap(),
        };
        CallInput::Sip(LegId(0), Box::new(crate::call::words::Arrived { message, flow }))
    }

    fn refused() -> CallInput {
        CallInput::Media(MediaReport::Refused { leg: LegId(0), why: RefusedWhy::Overloaded })
    }

    #[test]
    fn packets_leave_room_for_what_must_not_be_lost() {
        let boxes = Mailboxes::default();
        let mut mailbox = boxes.open(call(1));
        let packets = (0..MAILBOX).filter(|_| boxes.post(call(1), packet())).count();
        assert_eq!(packets, MAILBOX - KEPT);
        assert_eq!(boxes.dropped(), KEPT as u64);
        let verdicts = (0..MAILBOX).filter(|_| boxes.post(call(1), CallInput::Stored(1))).count();
        assert_eq!(verdicts, KEPT);
        assert_eq!(boxes.offer(call(1), refused()), Err(NotPosted::Full(refused())), "given back, not lost");
        assert!(mailbox.try_recv().is_some());
        assert!(!boxes.post(call(1), packet()), "the kept room is not for packets, also when it empties first");
        assert_eq!(boxes.offer(call(1), refused()), Ok(()));
    }

    #[test]
    fn a_closed_mailbox_takes_nothing_and_counts_no_drop() {
        let boxes = Mailboxes::default();
        let mailbox = boxes.open(call(1));
        assert_eq!(boxes.offer(call(2), refused()), Err(NotPosted::Gone));
        drop(mailbox);
        assert_eq!(boxes.offer(call(1), refused()), Err(NotPosted::Gone));
        boxes.close(call(1));
        assert!(!boxes.post(call(1), refused()));
        assert_eq!((boxes.dropped(), boxes.len()), (0, 0));
    }

    #[tokio::test]
    async fn what_was_posted_before_the_close_still_comes() {
        let boxes = Mailboxes::default();
        let mut mailbox = boxes.open(call(1));
        assert!(boxes.post(call(1), CallInput::Stored(1)) && boxes.post(call(1), CallInput::Stored(2)));
        boxes.close_all();
        assert_eq!(mailbox.recv().await, Some(CallInput::Stored(1)));
        assert_eq!(mailbox.recv().await, Some(CallInput::Stored(2)));
        assert_eq!(mailbox.recv().await, None);
    }

    #[tokio::test]
    async fn a_wait_given_up_loses_no_input() {
        let boxes = Mailboxes::default();
        let mut mailbox = boxes.open(call(1));
        tokio::select! {
            biased;
            _ = mailbox.recv() => panic!("nothing was posted"),
            () = std::future::ready(()) => {}
        }
        assert!(boxes.post(call(1), CallInput::Stored(1)));
        assert_eq!(mailbox.recv().await, Some(CallInput::Stored(1)));
    }
}
