//! Where the citizen is in the call: one variant at a time, with the data legal only there.
//!
//! | phase | enters on | leaves on |
//! |---|---|---|
//! | `Announcing` | an announce step | its end → next step; caller gone → `Ending` |
//! | `Queueing` | a queue step; an agent lost; a transfer failed with nobody left | agent won and greeting over → `Talking`; overflow → next step; caller gone → `Ending` |
//! | `Dialling` | a dial step | answered → `Talking`; all failed → next step (an emergency: again); caller gone → `Ending` |
//! | `Talking` | somebody who can help is with the caller, or is being fetched while he stays | one party left → `Ending`, `Queueing` or still `Talking` (hand-over) |
//! | `Ending` | only through `ending` | last leg over → `Over` |
//! | `Over` | – | – |
//!
//! What goes on beside (a third party being rung, a consult, an emergency hand-over) is not a phase: those are
//! attempts, and the phase says what becomes of the caller meanwhile.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::acd::words::Position;
use crate::base::id::LegId;
use crate::base::now::Mono;
use crate::plan::step::{DialStep, QueueStep};

/// Where the citizen is.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Phase {
    /// Hears an announcement of the plan.
    Announcing,
    /// Waits for an agent.
    Queueing(Box<Queueing>),
    /// Waits for a far party of the plan.
    Dialling(Box<Dialling>),
    /// Talks, or stays while somebody is fetched.
    Talking(Talking),
    /// The call has ended; legs are being cleared.
    Ending {
        /// When nothing more is expected to be said about the call; `None` once that was said.
        close_at: Option<Mono>,
        /// When it counts as over whatever the legs say.
        until: Mono,
    },
    /// Nothing is left.
    Over,
}

/// How far the greeting is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Greeting {
    /// The caller hears it.
    Playing,
    /// It is over, or there is none.
    Over,
}

/// A wait in a queue.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Queueing {
    /// The plan's step.
    pub step: QueueStep,
    /// Whether the caller was in this queue or in talk before.
    pub again: bool,
    /// How far the greeting is.
    pub greeting: Greeting,
    /// The agent's leg that won the wait and waits for the greeting's end.
    pub winner: Option<LegId>,
    /// Until when an unanswered caller may go on hearing the network's ring-back because an agent may answer at once.
    pub settle_at: Option<Mono>,
    /// The last known place.
    pub position: Option<Position>,
    /// When position and estimate are spoken next.
    pub speak_at: Option<Mono>,
}

/// How long a caller without a greeting stays unanswered while no phone rings.
pub const SETTLE: Duration = Duration::from_millis(500);

/// A far party of the plan being rung.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Dialling {
    /// The plan's step.
    pub step: DialStep,
    /// Its number among the call's transfers; `None` where the ticket shows it otherwise: an emergency, an agent's own
    /// call.
    pub transfer: Option<u16>,
}

/// A talk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Talking {
    /// Passed straight through: the far party's hang-up is the call's end even in an emergency.
    pub direct: bool,
}

impl Phase {
    /// Whether the call is still on.
    #[must_use]
    pub const fn is_live(&self) -> bool {
        !matches!(self, Self::Ending { .. } | Self::Over)
    }
}
