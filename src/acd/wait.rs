//! Waits: joining, leaving, overflowing, and being told the place.
//!
//! A wait whose longest time is over while an agent rings keeps that last chance and overflows when it is lost.
//! Deliberately absent: where an overflowed call goes; its plan says that, keeping `joined_at`.

use std::collections::{BTreeMap, BTreeSet};

use crate::acd::directory::NoAgentPolicy;
use crate::acd::queue::Wait;
use crate::acd::rank::WaitRank;
use crate::acd::words::{AcdVerdict, Wants};
use crate::acd::{Acd, AcdAlarm, AcdEffect, AcdTimer, AlarmState, TELL_EVERY};
use crate::base::id::{JoinId, QueueId};
use crate::base::now::Now;
use crate::event::call::{OfferEnd, OverflowCause};

impl Acd {
    pub(super) fn on_join(&mut self, now: Now, join: JoinId, mut wants: Box<Wants>, out: &mut Vec<AcdEffect>) {
        if self.waits.contains_key(&join) || self.direct.contains_key(&join) {
            self.stale += 1;
            return;
        }
        wants.joined_at = wants.joined_at.min(now.mono);
        if let Some(cause) = self.turns_away(&wants) {
            out.push(AcdEffect::Verdict(join.call, AcdVerdict::Overflow(join, cause)));
            return;
        }
        let Some(queue) = self.queues.get_mut(&wants.queue) else { return };
        let rank = WaitRank::of(join, &wants, queue.rule.age_step);
        queue.order.insert(rank);
        let position = queue.mean.position(queue.ahead(&rank), queue.on, None);
        if queue.tell_at.is_none() {
            let at = now.mono + TELL_EVERY;
            queue.tell_at = Some(at);
            self.timers.insert((at, AcdTimer::Tell(wants.queue.clone())));
        }
        self.calls.entry(join.call).or_default().queue = Some(wants.queue.clone());
        let wait = Wait {
            needs: self.numbers.needs(&wants.needs, false),
            rank,
            entered: now.mono,
            max_at: queue.rule.max_wait.map(|span| now.mono + span),
            relax_at: queue.rule.skill_relax.map(|span| now.mono + span),
            overdue: false,
            refused: BTreeMap::new(),
            paused_until: None,
            offers: BTreeSet::new(),
            told: Some(position),
            armed: None,
            wants,
        };
        self.waits.insert(join, wait);
        self.appetite(join);
        out.push(AcdEffect::Verdict(join.call, AcdVerdict::Queued(join, position)));
    }

    /// The call no longer wants the wait or the reservation; it withdraws its own legs, so nothing is revoked.
    pub(super) fn on_leave(&mut self, now: Now, join: JoinId, out: &mut Vec<AcdEffect>) {
        if let Some(offer) = self.direct.get(&join).copied() {
            self.release(now, offer, OfferEnd::Withdrawn, out);
        } else if let Some(wait) = self.end_wait(join) {
            for offer in wait.offers {
                self.release(now, offer, OfferEnd::Withdrawn, out);
            }
        } else {
            self.stale += 1;
        }
    }

    pub(super) fn on_wait_deadline(&mut self, now: Now, join: JoinId, out: &mut Vec<AcdEffect>) {
        let Some(wait) = self.waits.get_mut(&join) else { return };
        wait.armed = None;
        wait.refused.retain(|_, until| *until > now.mono);
        wait.paused_until = wait.paused_until.filter(|at| *at > now.mono);
        if wait.max_at.is_some_and(|at| at <= now.mono) {
            wait.max_at = None;
            wait.overdue = true;
            if wait.offers.is_empty() {
                self.overflow(join, OverflowCause::MaxWait, out);
                return;
            }
        }
        if wait.relax_at.is_some_and(|at| at <= now.mono) {
            wait.relax_at = None;
            if let Some(queue) = self.queues.get_mut(&wait.wants.queue) {
                queue.set_hungry(wait, false);
            }
            wait.needs = self.numbers.needs(&wait.wants.needs, true);
        }
        self.appetite(join);
    }

    /// Tells every caller of a queue whose place or estimate changed.
    pub(super) fn on_tell(&mut self, now: Now, id: &QueueId, out: &mut Vec<AcdEffect>) {
        let Some(queue) = self.queues.get_mut(id) else { return };
        queue.tell_at = None;
        for (ahead, rank) in (0_u32..).zip(&queue.order) {
            let Some(wait) = self.waits.get_mut(&rank.join) else { continue };
            let position = queue.mean.position(ahead, queue.on, wait.told);
            if wait.told != Some(position) {
                wait.told = Some(position);
                out.push(AcdEffect::Verdict(rank.join.call, AcdVerdict::Progress(rank.join, position)));
            }
        }
        if !queue.order.is_empty() {
            let at = now.mono + TELL_EVERY;
            queue.tell_at = Some(at);
            self.timers.insert((at, AcdTimer::Tell(id.clone())));
        }
    }

    /// What follows when the number of a queue's agents changed.
    pub(super) fn settle_queue(&mut self, id: &QueueId, out: &mut Vec<AcdEffect>) {
        let Some(queue) = self.queues.get_mut(id) else { return };
        if let Some(agent) = queue.kept.clone() {
            let still_on =
                self.agents.get(&agent).is_some_and(|agent| agent.counted.on && agent.entry.queues.contains(id));
            if queue.on > 1 || !still_on || queue.closing {
                queue.kept = None;
                let alarm = AcdAlarm::LastReadyKept { queue: id.clone(), agent };
                out.push(AcdEffect::Alarm(alarm, AlarmState::Cleared));
            }
        }
        if queue.signed_in == 0 && queue.rule.no_agent == NoAgentPolicy::Leave {
            let waiting: Vec<_> = queue.order.iter().map(|rank| rank.join).collect();
            for join in waiting {
                if self.waits.get(&join).is_some_and(|wait| wait.offers.is_empty()) {
                    self.overflow(join, OverflowCause::NoAgent, out);
                }
            }
        }
    }

    /// An offer of this wait was lost.
    pub(super) fn after_loss(&mut self, join: JoinId, out: &mut Vec<AcdEffect>) {
        match self.waits.get(&join) {
            Some(wait) if wait.overdue && wait.offers.is_empty() => self.overflow(join, OverflowCause::MaxWait, out),
            Some(_) => self.appetite(join),
            None => {}
        }
    }

    /// Brings the waiting index and the deadline of a wait in line with its fields; called after every change.
    pub(super) fn appetite(&mut self, join: JoinId) {
        let Some(wait) = self.waits.get_mut(&join) else { return };
        let due = wait.deadline();
        if due != wait.armed {
            if let Some((at, timer)) = wait.armed {
                self.timers.remove(&(at, AcdTimer::Wait(join, timer)));
            }
            if let Some((at, timer)) = due {
                self.timers.insert((at, AcdTimer::Wait(join, timer)));
            }
            wait.armed = due;
        }
        let Some(queue) = self.queues.get_mut(&wait.wants.queue) else { return };
        let hungry = !wait.overdue && wait.paused_until.is_none() && wait.offers.len() < queue.rule.strategy.width();
        queue.set_hungry(wait, hungry);
        if hungry {
            self.unsettled.waits.insert(wait.rank);
        } else {
            self.unsettled.waits.remove(&wait.rank);
        }
    }

    /// Takes a wait out of everything; its offers are left to the caller of this.
    pub(super) fn end_wait(&mut self, join: JoinId) -> Option<Wait> {
        let wait = self.waits.remove(&join)?;
        if let Some((at, timer)) = wait.armed {
            self.timers.remove(&(at, AcdTimer::Wait(join, timer)));
        }
        self.unsettled.waits.remove(&wait.rank);
        if let Some(queue) = self.queues.get_mut(&wait.wants.queue) {
            queue.set_hungry(&wait, false);
            queue.order.remove(&wait.rank);
            if queue.is_done() {
                self.drop_queue(&wait.wants.queue);
            }
        }
        Some(wait)
    }

    /// Forgets a queue, empty and no longer configured.
    pub(super) fn drop_queue(&mut self, id: &QueueId) {
        if let Some(at) = self.queues.remove(id).and_then(|queue| queue.tell_at) {
            self.timers.remove(&(at, AcdTimer::Tell(id.clone())));
        }
    }

    fn overflow(&mut self, join: JoinId, cause: OverflowCause, out: &mut Vec<AcdEffect>) {
        if self.end_wait(join).is_some() {
            out.push(AcdEffect::Verdict(join.call, AcdVerdict::Overflow(join, cause)));
        }
    }

    /// Why a caller is not let in; those who come back are let in as long as the queue lives.
    fn turns_away(&self, wants: &Wants) -> Option<OverflowCause> {
        let Some(queue) = self.queues.get(&wants.queue) else { return Some(OverflowCause::Closed) };
        if queue.closing && !wants.head {
            return Some(OverflowCause::Closed);
        }
        if queue.signed_in == 0 && queue.rule.no_agent != NoAgentPolicy::Join {
            return Some(OverflowCause::NoAgent);
        }
        let full = u32::try_from(queue.order.len()).unwrap_or(u32::MAX) >= queue.rule.size;
        (full && !wants.head).then_some(OverflowCause::Full)
    }
}
