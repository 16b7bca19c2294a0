//! What must hold after every call, whatever happened in it.

use std::collections::BTreeMap;
use std::time::Duration;

use switch12345::base::id::LegId;
use switch12345::event::call::Happening;

use super::world::World;

/// Longest silence an answered caller may hear.
pub(crate) const SILENCE_MAX: Duration = Duration::from_millis(200);

impl World {
    /// Checks a call that is over.
    #[track_caller]
    pub(crate) fn assert_clean(&self) {
        let story = || format!("\n{}", self.story());
        assert!(self.call.as_ref().is_some_and(|call| call.is_over()), "the call is not over{}", story());
        assert!(self.acd.is_quiet(), "the ACD still has something of the call{}", story());
        assert!(self.media.legs.is_empty(), "ports left over: {:?}{}", self.media.legs, story());
        for phone in self.phones.values() {
            assert!(phone.is_idle(), "{} has a line left{}", phone.name, story());
        }
        assert!(self.strangers.is_empty(), "sent to {:?}{}", self.strangers, story());
        if self.call.as_ref().is_some_and(|call| call.control().is_ticketed()) {
            self.assert_journal();
        } else {
            assert!(self.journal.is_empty(), "something of a call without a ticket{}", story());
        }
        assert!(self.media.longest_silence <= SILENCE_MAX, "dead air of {:?}{}", self.media.longest_silence, story());
    }

    #[track_caller]
    fn assert_journal(&self) {
        let story = || format!("\n{}", self.story());
        let mut open = BTreeMap::<LegId, i32>::new();
        let mut transfers = BTreeMap::<u16, (u32, u32)>::new();
        let (mut started, mut ended, mut closed) = (0, 0, 0);
        for (index, event) in self.journal.iter().enumerate() {
            assert_eq!(event.journal_seq, index as u64 + 1, "a gap in the journal{}", story());
            match &event.what {
                Happening::Started(_) => started += 1,
                Happening::LegStarted { leg, .. } => *open.entry(*leg).or_default() += 1,
                Happening::LegEnded { leg, .. } => *open.entry(*leg).or_default() -= 1,
                Happening::TransferStarted { transfer, .. } => transfers.entry(*transfer).or_default().0 += 1,
                Happening::TransferResult { transfer, .. } => transfers.entry(*transfer).or_default().1 += 1,
                Happening::Ended { .. } => ended += 1,
                Happening::Closed => closed += 1,
                _ => {}
            }
        }
        assert_eq!((started, ended, closed), (1, 1, 1), "begun, ended and closed once{}", story());
        assert!(matches!(self.journal.first().map(|event| &event.what), Some(Happening::Started(_))));
        assert!(matches!(self.journal.last().map(|event| &event.what), Some(Happening::Closed)), "{}", story());
        assert!(transfers.values().all(|one| *one == (1, 1)), "each transfer has one result: {transfers:?}{}", story());
        assert!(open.values().all(|open| *open == 0), "every leg ends once: {open:?}{}", story());
    }
}
