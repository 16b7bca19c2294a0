//! When a call wants to be woken, why, and what is done then.
//!
//! Deadlines are fields of what they belong to; nothing is set or cleared here. Deliberately absent: the legs' own
//! timers (`leg`).

use serde::{Deserialize, Serialize};

use crate::base::now::{Mono, earliest};
use crate::call::bridge::silent_until;
use crate::call::control::{Control, Cx};
use crate::call::journal::Gate;
use crate::call::leg::LegTimer;
use crate::call::legs::CALLER;
use crate::call::phase::Phase;

/// Why a call wants to be woken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum CallTimer {
    /// A leg's own timer.
    Leg(LegTimer),
    /// The store has not answered in time.
    Barrier,
    /// 183 is repeated, or a caller in early media is answered.
    Early,
    /// A caller without a greeting has to be let in.
    Settle,
    /// Position and estimate are spoken.
    Position,
    /// A playing's end was never reported.
    Play,
    /// A code or number took too long.
    Code,
    /// An agent's phone has been silent too long.
    Silence,
    /// A holding agent's phone is asked for a sign of life.
    Probe,
    /// An emergency line is tried again.
    Emergency,
    /// Ports are asked for again.
    Media,
    /// An ended call is closed.
    Closing,
    /// An ended call counts as over.
    Cleared,
}

impl Control {
    /// The next deadline and its reason.
    #[must_use]
    pub fn deadline(&self) -> Option<(Mono, CallTimer)> {
        let own = [
            match self.gate {
                Gate::Shut { until, .. } => Some((until, CallTimer::Barrier)),
                Gate::Open { .. } => None,
            },
            self.media_retry.map(|at| (at, CallTimer::Media)),
            self.handover.as_ref().and_then(|handover| handover.again_at).map(|at| (at, CallTimer::Emergency)),
        ];
        let caller = self.legs.alive(CALLER).into_iter().flat_map(|caller| {
            let answer = caller.early_since.filter(|_| self.early_is_ours()).map(|at| at + self.origins.early_max);
            [answer, caller.early_again].map(|at| at.map(|at| (at, CallTimer::Early)))
        });
        let legs = self.legs.iter().filter(|leg| leg.is_alive()).flat_map(|leg| {
            [
                leg.play.as_ref().map(|playing| (playing.until, CallTimer::Play)),
                leg.codes.deadline().map(|at| (at, CallTimer::Code)),
                silent_until(leg).map(|at| (at, CallTimer::Silence)),
                leg.probe_at.map(|at| (at, CallTimer::Probe)),
            ]
        });
        let phase = match &self.phase {
            Phase::Queueing(queueing) => [
                queueing.settle_at.map(|at| (at, CallTimer::Settle)),
                queueing.speak_at.map(|at| (at, CallTimer::Position)),
            ],
            Phase::Ending { close_at, until } => {
                [Some((*until, CallTimer::Cleared)), close_at.map(|at| (at, CallTimer::Closing))]
            }
            Phase::Announcing | Phase::Dialling(_) | Phase::Talking(_) => [None, None],
            Phase::Over => return None,
        };
        earliest(own.into_iter().chain(caller).chain(legs).chain(phase))
    }

    /// Does everything that is due.
    pub(super) fn on_deadline(&mut self, cx: &mut Cx<'_>) {
        self.gate.expire(cx.now.mono);
        self.codes_due(cx);
        if !self.phase.is_live() {
            return;
        }
        self.early_due(cx);
        self.queueing_due(cx);
        self.plays_due(cx);
        self.silence_due(cx);
        self.probes_due(cx);
        self.emergency_due(cx);
    }
}
