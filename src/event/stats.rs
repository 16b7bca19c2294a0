//! The figures: counters per place, hotline and queue, as a fold over all calls' events.
//!
//! | figure | formula |
//! |---|---|
//! | `offered` | calls that began and count: test calls are kept apart (E41) |
//! | `answered` | of these, calls somebody answered |
//! | `answered_15s` | of these, first answers within 15 s of the INVITE (GB/T 33358) |
//! | `abandoned` | calls whose caller left before anybody answered |
//! | `failed` | calls ended unanswered for any other reason |
//! | `waiting`, `talking` | calls in that state now |
//! | [`Counters::service_level`] | `answered_15s` ÷ (`answered` + `abandoned`): who gave up counts against us |
//! | [`Counters::answer_rate`] | `answered` ÷ (`answered` + `abandoned` + `failed`) |
//! | [`Counters::mean_wait_ms`] (ASA) | `wait_ms_answered` ÷ `answered` |
//!
//! A queue's figures count calls by the first queue they joined. Deliberately absent: time windows and gauges of
//! agents. Limits: [`LIVE_MAX`] live calls, [`KEYS_MAX`] keys (keys come from configuration; a number not in the
//! plan counts under the hotline `other`).

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Serialize;

use crate::base::id::{CallId, QueueName, TenantName};
use crate::event::call::{CallEvent, Happening};
use crate::event::ticket::QUICK_ANSWER_MS;

/// The most live calls followed at once.
pub const LIVE_MAX: usize = 65_536;
/// The most hotlines, and the most queues, counted apart.
pub const KEYS_MAX: usize = 4_096;
/// The hotline of numbers the plan does not know.
pub const OTHER: &str = "other";

/// What is counted for one key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counters {
    /// Calls that began.
    pub offered: u64,
    /// Calls somebody answered.
    pub answered: u64,
    /// First answers within 15 s.
    pub answered_15s: u64,
    /// Callers who left first.
    pub abandoned: u64,
    /// Ended unanswered otherwise.
    pub failed: u64,
    /// Waits of the answered calls, added up.
    pub wait_ms_answered: u64,
    /// Test calls, in no other counter.
    pub test_calls: u64,
    /// Calls nobody has answered yet, now.
    pub waiting: u64,
    /// Calls that were answered and live, now.
    pub talking: u64,
}

impl Counters {
    /// The share answered within 15 s of those that could be; `None` before the first.
    #[must_use]
    pub fn service_level(&self) -> Option<f64> {
        share(self.answered_15s, self.answered + self.abandoned)
    }

    /// The share answered at all.
    #[must_use]
    pub fn answer_rate(&self) -> Option<f64> {
        share(self.answered, self.answered + self.abandoned + self.failed)
    }

    /// The mean wait of the answered (ASA), milliseconds.
    #[must_use]
    pub fn mean_wait_ms(&self) -> Option<f64> {
        share(self.wait_ms_answered, self.answered)
    }
}

#[expect(clippy::cast_precision_loss, reason = "a share needs no more than 52 bits")]
fn share(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64)
}

/// A hotline of a place, or [`OTHER`].
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct HotlineKey {
    /// The place.
    pub tenant: TenantName,
    /// The number in the plan.
    pub hotline: Arc<str>,
}

/// The fold.
#[derive(Clone, Debug, Default)]
pub struct Stats {
    total: Counters,
    hotlines: BTreeMap<HotlineKey, Counters>,
    queues: BTreeMap<(TenantName, QueueName), Counters>,
    live: BTreeMap<CallId, Live>,
    unfollowed: u64,
}

#[derive(Clone, Debug)]
struct Live {
    hotline: HotlineKey,
    queue: Option<(TenantName, QueueName)>,
    answered: bool,
    abandoned: bool,
}

impl Stats {
    /// Applies one event. Each call's events come once and in order.
    pub fn apply(&mut self, event: &CallEvent) {
        match &event.what {
            Happening::Started(started) => {
                let hotline =
                    started.hotline.as_ref().map_or_else(|| Arc::from(OTHER), |hotline| Arc::clone(&hotline.number));
                let key = HotlineKey { tenant: event.tenant.clone(), hotline };
                if started.test_call {
                    self.total.test_calls += 1;
                    if let Some(counters) = bounded(&mut self.hotlines, &key) {
                        counters.test_calls += 1;
                    }
                    return;
                }
                if self.live.len() >= LIVE_MAX {
                    self.unfollowed += 1;
                    return;
                }
                let live = Live { hotline: key, queue: None, answered: false, abandoned: false };
                self.count(&live, |counters| {
                    counters.offered += 1;
                    counters.waiting += 1;
                });
                self.live.insert(event.call, live);
            }
            Happening::Queued { queue, .. } => self.queued(event, queue),
            Happening::Answered { wait_ms, .. } => self.answered(event.call, *wait_ms),
            Happening::Abandoned { .. } => {
                if let Some(live) = self.live.get_mut(&event.call) {
                    live.abandoned = true;
                }
            }
            Happening::Ended { .. } | Happening::Closed => self.ended(event.call),
            _ => {}
        }
    }

    /// All calls.
    #[must_use]
    pub const fn total(&self) -> &Counters {
        &self.total
    }

    /// By hotline, in the order of their keys.
    pub fn hotlines(&self) -> impl Iterator<Item = (&HotlineKey, &Counters)> {
        self.hotlines.iter()
    }

    /// By queue, in the order of their keys.
    pub fn queues(&self) -> impl Iterator<Item = (&TenantName, &QueueName, &Counters)> {
        self.queues.iter().map(|((tenant, queue), counters)| (tenant, queue, counters))
    }

    /// Calls left out because [`LIVE_MAX`] others were live.
    #[must_use]
    pub const fn unfollowed(&self) -> u64 {
        self.unfollowed
    }

    fn queued(&mut self, event: &CallEvent, queue: &QueueName) {
        let key = (event.tenant.clone(), queue.clone());
        let Some(live) = self.live.get_mut(&event.call).filter(|live| live.queue.is_none() && !live.answered) else {
            return;
        };
        live.queue = Some(key.clone());
        if let Some(counters) = bounded(&mut self.queues, &key) {
            counters.offered += 1;
            counters.waiting += 1;
        }
    }

    fn answered(&mut self, call: CallId, wait_ms: u64) {
        let Some(live) = self.live.get_mut(&call).filter(|live| !live.answered) else { return };
        live.answered = true;
        let live = live.clone();
        self.count(&live, |counters| {
            counters.answered += 1;
            counters.answered_15s += u64::from(wait_ms <= QUICK_ANSWER_MS);
            counters.wait_ms_answered = counters.wait_ms_answered.saturating_add(wait_ms);
            counters.waiting = counters.waiting.saturating_sub(1);
            counters.talking += 1;
        });
    }

    fn ended(&mut self, call: CallId) {
        let Some(live) = self.live.remove(&call) else { return };
        self.count(&live, |counters| match (live.answered, live.abandoned) {
            (true, _) => counters.talking = counters.talking.saturating_sub(1),
            (false, true) => {
                counters.abandoned += 1;
                counters.waiting = counters.waiting.saturating_sub(1);
            }
            (false, false) => {
                counters.failed += 1;
                counters.waiting = counters.waiting.saturating_sub(1);
            }
        });
    }

    fn count(&mut self, live: &Live, change: impl Fn(&mut Counters)) {
        change(&mut self.total);
        if let Some(counters) = bounded(&mut self.hotlines, &live.hotline) {
            change(counters);
        }
        if let Some(counters) = live.queue.as_ref().and_then(|key| bounded(&mut self.queues, key)) {
            change(counters);
        }
    }
}

fn bounded<'a, K: Ord + Clone>(all: &'a mut BTreeMap<K, Counters>, key: &K) -> Option<&'a mut Counters> {
    if all.len() >= KEYS_MAX && !all.contains_key(key) {
        return None;
    }
    Some(all.entry(key.clone()).or_default())
}
