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

    /// Closes all: every call ends at once, because the engine stops.
    pub fn close_all(&self) {
        self.boxes.clear();
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
        let Some(sender) = self.boxes.get(&call) else { return Err(NotPosted::Gone) };
        if may_drop(&input) && sender.capacity() <= KEPT {
            return Err(NotPosted::Full(input));
        }
        sender.try_send(input).map_err(|refused| match refused {
            mpsc::error::TrySendError::Full(input) => NotPosted::Full(input),
            mpsc::error::TrySendError::Closed(_) => NotPosted::Gone,
        })
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
        assert!(mailbox.try_recv().is_ok());
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
}
