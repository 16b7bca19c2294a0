//! What the API shows while calls go on: a line per live call, and the engine's figures.
//!
//! Numbers of citizens are masked here already; the whole number is on the ticket. Figures carry labels from the
//! configuration only (hotline, queue, trunk), never a caller's number or an id. Deliberately absent: history (the
//! store), formulas over time (`event::stats`).

use std::sync::atomic::{AtomicBool, AtomicU64};

use dashmap::DashMap;
use serde::Serialize;
use tokio::sync::Notify;

use crate::base::id::{AgentId, CallId};
use crate::base::secret::Masked;
use crate::call::Call;
use crate::call::legs::{CallLeg, Stage};
use crate::call::phase::Phase;
use crate::event::call::{CallEvent, Happening, LegRole};

/// One leg as shown.
#[derive(Clone, Debug, Serialize)]
pub struct LegView {
    /// Its name in the call.
    pub leg: u16,
    /// What it is to the call.
    pub role: LegRole,
    /// `setup`, `ringing`, `talking`, `gone`.
    pub stage: &'static str,
    /// The agent, for agents' legs.
    pub agent: Option<AgentId>,
    /// The unit, for departments.
    pub unit: Option<String>,
    /// The number, masked.
    pub number: Option<String>,
}

/// One live call as shown.
#[derive(Clone, Debug, Serialize)]
pub struct CallView {
    /// The call.
    pub call_id: CallId,
    /// Its ticket; none between agents.
    pub ticket_id: Option<String>,
    /// The receiver's number for it.
    pub ticket_no: Option<String>,
    /// The place.
    pub tenant: String,
    /// The trunk it came over; none for a call that began at an agent's phone.
    pub trunk: Option<String>,
    /// The number dialled.
    pub dialled: String,
    /// The hotline's name.
    pub hotline_name: Option<String>,
    /// The merge mode.
    pub merge_mode: Option<&'static str>,
    /// The caller, masked.
    pub caller: String,
    /// When it came.
    pub since: String,
    /// `announcing`, `queueing`, `dialling`, `talking`, `ending`.
    pub phase: &'static str,
    /// Whether it is an emergency on the line, which we never end.
    pub emergency: bool,
    /// Its legs.
    pub legs: Vec<LegView>,
}

/// All live calls.
#[derive(Debug, Default)]
pub struct CallViews {
    calls: DashMap<CallId, CallView>,
    fewer: Notify,
}

impl CallViews {
    /// Shows a call as it now is.
    pub fn show(&self, call: &Call) {
        let id = call.control().identity().call;
        if let Some(mut view) = self.calls.get_mut(&id) {
            return view.renew(call);
        }
        self.calls.insert(id, CallView::of(call));
    }

    /// Shows a call no more.
    pub fn remove(&self, call: CallId) {
        if self.calls.remove(&call).is_some() {
            self.fewer.notify_waiters();
        }
    }

    /// How many live.
    #[must_use]
    pub fn len(&self) -> usize {
        self.calls.len()
    }

    /// Whether none lives.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.calls.is_empty()
    }

    /// Waits until no call lives.
    pub async fn emptied(&self) {
        loop {
            let fewer = self.fewer.notified();
            tokio::pin!(fewer);
            fewer.as_mut().enable();
            if self.is_empty() {
                return;
            }
            fewer.await;
        }
    }

    /// One call.
    #[must_use]
    pub fn one(&self, call: CallId) -> Option<CallView> {
        self.calls.get(&call).map(|view| view.clone())
    }

    /// All calls, oldest first.
    #[must_use]
    pub fn all(&self) -> Vec<CallView> {
        let mut all: Vec<_> = self.calls.iter().map(|entry| entry.value().clone()).collect();
        all.sort_by_key(|view| view.call_id);
        all
    }

    /// Whether an emergency is on some line.
    #[must_use]
    pub fn any_emergency(&self) -> bool {
        self.calls.iter().any(|entry| entry.emergency)
    }

    /// The live call of an agent.
    #[must_use]
    pub fn of_agent(&self, agent: &AgentId) -> Option<CallId> {
        let on_it = |view: &CallView| view.legs.iter().any(|leg| leg.agent.as_ref() == Some(agent));
        self.calls.iter().find(|entry| on_it(entry.value())).map(|entry| *entry.key())
    }
}

impl CallView {
    fn of(call: &Call) -> Self {
        let control = call.control();
        let (identity, origins) = (control.identity(), control.origins());
        let hotline = origins.hotline.as_ref();
        Self {
            call_id: identity.call,
            ticket_id: control.is_ticketed().then(|| identity.ticket.to_string()),
            ticket_no: control.ticket_no().map(ToString::to_string),
            tenant: origins.tenant.to_string(),
            trunk: origins.trunk.as_ref().map(ToString::to_string),
            dialled: origins.number.to_string(),
            hotline_name: hotline.map(|hotline| hotline.name.clone()),
            merge_mode: hotline.and_then(|hotline| hotline.mode).map(|mode| mode.word()),
            caller: Masked(&origins.caller.number.normal).to_string(),
            since: origins.invited.wall.to_string(),
            phase: phase(control.phase()),
            emergency: control.is_guarded(),
            legs: control.legs().iter().filter(|leg| leg.is_alive()).map(LegView::of).collect(),
        }
    }

    /// Brings up to date what can change; after most inputs that is nothing.
    fn renew(&mut self, call: &Call) {
        let control = call.control();
        self.phase = phase(control.phase());
        self.emergency = control.is_guarded();
        if self.ticket_no.as_deref() != control.ticket_no().map(AsRef::as_ref) {
            self.ticket_no = control.ticket_no().map(ToString::to_string);
        }
        let alive = || control.legs().iter().filter(|leg| leg.is_alive());
        let same = alive().count() == self.legs.len() && alive().zip(&self.legs).all(|(leg, view)| view.is_of(leg));
        if !same {
            self.legs = alive().map(LegView::of).collect();
        }
    }
}

impl LegView {
    fn of(leg: &CallLeg) -> Self {
        Self {
            leg: leg.id.0,
            role: leg.role,
            stage: stage(leg.stage),
            agent: leg.party.agent.clone(),
            unit: leg.party.unit.as_ref().map(ToString::to_string),
            number: leg.party.number.as_ref().map(|number| Masked(number).to_string()),
        }
    }

    /// Whether it shows the leg as it is; who stands behind a leg never changes.
    fn is_of(&self, leg: &CallLeg) -> bool {
        self.leg == leg.id.0 && self.role == leg.role && self.stage == stage(leg.stage)
    }
}

const fn stage(stage: Stage) -> &'static str {
    match stage {
        Stage::Setup => "setup",
        Stage::Ringing => "ringing",
        Stage::Talking => "talking",
        Stage::Gone => "gone",
    }
}

const fn phase(phase: &Phase) -> &'static str {
    match phase {
        Phase::Announcing => "announcing",
        Phase::Queueing(_) => "queueing",
        Phase::Dialling(_) => "dialling",
        Phase::Talking(_) => "talking",
        Phase::Ending { .. } | Phase::Over => "ending",
    }
}

/// Counters that are no telephony.
#[derive(Debug, Default)]
pub struct Figures {
    /// Panics in calls and in the switch.
    pub panicked: AtomicU64,
    /// Requests the queues' channel refused.
    pub acd_full: AtomicU64,
    /// Notes about agents' lines the switch's channel refused.
    pub switch_full: AtomicU64,
    /// Events that could not be journaled.
    pub unjournaled: AtomicU64,
    /// Whether the disk (or its bound) is full.
    pub disk_full: AtomicBool,
}

impl Figures {
    /// Turns an event into metrics.
    pub fn count(&self, event: &CallEvent) {
        let tenant = event.tenant.to_string();
        match &event.what {
            Happening::Started(started) => {
                let hotline = started.hotline.as_ref().map_or("unknown", |hotline| &*hotline.number).to_owned();
                let hotline = started.emergency_line.as_ref().map_or(hotline, ToString::to_string);
                metrics::counter!("switch12345_calls_started_total", "tenant" => tenant, "hotline" => hotline)
                    .increment(1);
            }
            Happening::Queued { queue, .. } => {
                metrics::counter!("switch12345_calls_queued_total", "tenant" => tenant, "queue" => queue.to_string())
                    .increment(1);
            }
            Happening::Answered { wait_ms, .. } => {
                metrics::counter!("switch12345_calls_answered_total", "tenant" => tenant.clone()).increment(1);
                if *wait_ms <= 15_000 {
                    metrics::counter!("switch12345_calls_answered_15s_total", "tenant" => tenant).increment(1);
                }
            }
            Happening::Abandoned { .. } => {
                metrics::counter!("switch12345_calls_abandoned_total", "tenant" => tenant).increment(1);
            }
            Happening::EmergencyStarted { line, .. } => {
                metrics::counter!("switch12345_emergency_started_total", "tenant" => tenant, "line" => line.to_string())
                    .increment(1);
            }
            Happening::Ended { reason, .. } => {
                metrics::counter!("switch12345_calls_ended_total", "tenant" => tenant, "reason" => reason.word())
                    .increment(1);
            }
            _ => {}
        }
    }
}
