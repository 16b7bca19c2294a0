//! How a call's time divides into waiting, talking, holding and waiting again: one rule for ticket and call record.
//!
//! Every millisecond from the call's first event to its [`Happening::Ended`] belongs to exactly one of four, so the
//! sum is always the call's duration:
//!
//! | part | when |
//! |---|---|
//! | `wait` | before the first [`Happening::Answered`] (all of it, when nobody ever answers) |
//! | `talk` | after it, while somebody is with the caller and the talk is not held |
//! | `hold` | after it, while the caller, or everybody who is with the caller, holds |
//! | `requeue` | after it, while nobody is with the caller (back in a queue, a transfer's target still ringing) |
//!
//! Somebody is with the caller from `Answered` or `ConferenceJoined` until the leg ends or leaves. Time is monotonic;
//! where an event's monotonic reading is older than its predecessor's (another process wrote it) wall time serves.
//! Deliberately absent: rounding; parts are nanoseconds until they are read.

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::base::id::LegId;
use crate::base::now::Mono;
use crate::event::call::{CallEvent, Happening, LegRole};

/// The running division of one call's time.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spans {
    wait: u64,
    talk: u64,
    hold: u64,
    requeue: u64,
    last: Option<(Mono, Timestamp)>,
    caller: Option<LegId>,
    with_caller: BTreeSet<LegId>,
    holding: BTreeSet<LegId>,
    answered: bool,
    ended: bool,
}

impl Spans {
    /// Counts the time up to this event, then takes note of what it changes. Call it once per event, in order.
    pub fn apply(&mut self, event: &CallEvent) {
        self.pass(event);
        match &event.what {
            Happening::LegStarted { leg, role: LegRole::Caller, .. } => self.caller = Some(*leg),
            Happening::Answered { leg, .. } => {
                self.answered = true;
                self.with_caller.insert(*leg);
            }
            Happening::ConferenceJoined { leg } if self.caller != Some(*leg) => {
                self.with_caller.insert(*leg);
            }
            Happening::ConferenceLeft { leg } | Happening::LegEnded { leg, .. } => {
                self.with_caller.remove(leg);
                self.holding.remove(leg);
            }
            Happening::Held { leg } => {
                self.holding.insert(*leg);
            }
            Happening::Resumed { leg } => {
                self.holding.remove(leg);
            }
            Happening::Ended { .. } => self.ended = true,
            _ => {}
        }
    }

    /// From the start to the first answer, or to now or the end when nobody answered, milliseconds.
    #[must_use]
    pub const fn wait_ms(&self) -> u64 {
        self.wait / 1_000_000
    }

    /// Talk, milliseconds. Parts are cut to whole milliseconds so that they add up to [`Self::duration_ms`].
    #[must_use]
    pub const fn talk_ms(&self) -> u64 {
        (self.wait + self.talk) / 1_000_000 - self.wait_ms()
    }

    /// Hold, milliseconds.
    #[must_use]
    pub const fn hold_ms(&self) -> u64 {
        (self.wait + self.talk + self.hold) / 1_000_000 - (self.wait + self.talk) / 1_000_000
    }

    /// Time with nobody after the first answer, milliseconds.
    #[must_use]
    pub const fn requeue_ms(&self) -> u64 {
        self.duration_ms() - (self.wait + self.talk + self.hold) / 1_000_000
    }

    /// From the start to now or the end, milliseconds.
    #[must_use]
    pub const fn duration_ms(&self) -> u64 {
        (self.wait + self.talk + self.hold + self.requeue) / 1_000_000
    }

    /// Whether somebody answered.
    #[must_use]
    pub const fn is_answered(&self) -> bool {
        self.answered
    }

    /// Whether the last talk ended.
    #[must_use]
    pub const fn is_ended(&self) -> bool {
        self.ended
    }

    /// The readings of the last event.
    #[must_use]
    pub const fn last(&self) -> Option<(Mono, Timestamp)> {
        self.last
    }

    fn pass(&mut self, event: &CallEvent) {
        let before = self.last.replace((event.mono, event.at));
        let Some((mono, at)) = before else { return };
        if self.ended {
            return;
        }
        let passed = if event.mono >= mono {
            event.mono.0 - mono.0
        } else {
            u64::try_from(event.at.duration_since(at).as_nanos()).unwrap_or(0)
        };
        let part = if !self.answered {
            &mut self.wait
        } else if self.with_caller.is_empty() {
            &mut self.requeue
        } else if self.is_held() {
            &mut self.hold
        } else {
            &mut self.talk
        };
        *part = part.saturating_add(passed);
    }

    fn is_held(&self) -> bool {
        self.caller.is_some_and(|leg| self.holding.contains(&leg)) || self.with_caller.is_subset(&self.holding)
    }
}
