//! Offers: one reservation of one agent for one wait, made, answered, lost or taken back.
//!
//! An agent holds at most one ([`super::agent::Agent::offer`]); a wait holds as many as its queue's strategy rings at
//! once, and has one winner. What an outcome does to the agent:
//!
//! | outcome | agent | the same wait |
//! |---|---|---|
//! | answered | at work; unanswered count zero | over, other offers revoked |
//! | refused | not offered for 5 s | not offered to him for 20 s |
//! | rang out, limit reached | not ready (`rna`), returns by himself | goes on at once |
//! | rang out, last ready agent | stays ready, alarm, not offered for 5 s | may come again |
//! | rang out, below the limit | as refused | as refused |
//! | no response | unreachable | goes on at once |
//! | withdrawn by the call | untouched | rests for 1 s: the call is about to leave it |
//! | revoked by us | untouched | goes on at once |
//!
//! A call that says nothing about an offer until 5 s after the ring time is taken as rang out when it had
//! reported ringing, else as no response, and the offer is revoked. Offers made by `Reserve` mark a phone
//! as unreachable but carry no other consequence: a consult that is refused is no missed queue call.
//! Deliberately absent: which wait and which agent ([`super::queue`]).

use std::time::Duration;

use crate::acd::agent::{BACK_OFF, LINE_GRACE, PROBE_AFTER, Work};
use crate::acd::words::{AcdVerdict, OfferOutcome};
use crate::acd::{Acd, AcdAlarm, AcdEffect, AcdTimer, AlarmState, emit};
use crate::base::id::{AgentId, CallId, JoinId, OfferId, QueueId};
use crate::base::now::{Mono, Now};
use crate::event::agent::AgentHappening;
use crate::event::call::OfferEnd;

/// How long after the ring time the call's word is waited for.
pub const OFFER_GRACE: Duration = Duration::from_secs(5);

/// For how long a caller is not offered again to an agent who refused him.
pub const SPARE_FOR: Duration = Duration::from_secs(20);

/// For how long a wait is not offered after its call withdrew an offer, so that the two never toss offers to and fro.
pub const PAUSE: Duration = Duration::from_secs(1);

/// How long an agent asked for by name is rung.
pub const DIRECT_RING: Duration = Duration::from_secs(20);

/// One reservation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Offer {
    pub(super) join: JoinId,
    pub(super) agent: AgentId,
    /// The queue; absent when the agent was asked for by name.
    pub(super) queue: Option<QueueId>,
    /// When the call's silence is taken for an outcome.
    until: Mono,
    rings: bool,
}

impl Acd {
    /// Offers a wait to an agent that was picked for it.
    pub(super) fn offer_wait(&mut self, now: Now, join: JoinId, agent: AgentId, out: &mut Vec<AcdEffect>) {
        let Some(queue) = self.waits.get(&join).map(|wait| wait.wants.queue.clone()) else { return };
        let Some(ring) = self.queues.get(&queue).map(|queue| queue.rule.ring) else { return };
        let offer = self.reserve(now, join, &agent, Some(queue), ring, out);
        if let Some(wait) = self.waits.get_mut(&join) {
            wait.offers.insert(offer);
        }
        self.appetite(join);
        out.push(AcdEffect::Verdict(join.call, AcdVerdict::Offer { join, offer, agent, ring }));
    }

    pub(super) fn on_reserve(&mut self, now: Now, join: JoinId, agent: &AgentId, out: &mut Vec<AcdEffect>) {
        let known = self.waits.contains_key(&join) || self.direct.contains_key(&join);
        let free = self.agents.get(agent).is_some_and(|agent| agent.blocked().is_none());
        if known || !free {
            self.stale += u64::from(known);
            out.push(AcdEffect::Verdict(join.call, AcdVerdict::Unavailable(join, agent.clone())));
            return;
        }
        self.reserve_directly(now, join, agent, out);
    }

    /// A colleague's call rings whoever can be reached and whose line is free; what he chose is for callers of queues.
    pub(super) fn on_summon(&mut self, now: Now, join: JoinId, agent: &AgentId, out: &mut Vec<AcdEffect>) {
        let known = self.waits.contains_key(&join) || self.direct.contains_key(&join);
        let found = self.agents.get(agent).filter(|agent| !agent.removed && agent.reachable);
        let verdict = match found {
            None => AcdVerdict::Absent(join, agent.clone()),
            Some(found) if known || found.offer.is_some() || found.work.is_some() || !found.lines.is_empty() => {
                self.stale += u64::from(known);
                AcdVerdict::Unavailable(join, agent.clone())
            }
            Some(_) => return self.reserve_directly(now, join, agent, out),
        };
        out.push(AcdEffect::Verdict(join.call, verdict));
    }

    fn reserve_directly(&mut self, now: Now, join: JoinId, agent: &AgentId, out: &mut Vec<AcdEffect>) {
        let offer = self.reserve(now, join, agent, None, DIRECT_RING, out);
        self.direct.insert(join, offer);
        let verdict = AcdVerdict::Reserved { join, offer, agent: agent.clone(), ring: DIRECT_RING };
        out.push(AcdEffect::Verdict(join.call, verdict));
    }

    pub(super) fn on_outcome(
        &mut self,
        now: Now,
        call: CallId,
        id: OfferId,
        outcome: OfferOutcome,
        out: &mut Vec<AcdEffect>,
    ) {
        if self.offers.get(&id).is_none_or(|offer| offer.join.call != call) {
            self.stale += 1;
            return;
        }
        match outcome {
            OfferOutcome::Ringing => self.on_ringing(id),
            OfferOutcome::Answered => self.win(now, id, out),
            OfferOutcome::Rejected => {
                self.refused(now, id);
                self.lose(now, id, OfferEnd::Rejected, out);
            }
            OfferOutcome::NoAnswer => {
                self.rang_out(now, id, out);
                self.lose(now, id, OfferEnd::NoAnswer, out);
            }
            OfferOutcome::Unreachable => {
                self.no_response(now, id);
                self.lose(now, id, OfferEnd::Unreachable, out);
            }
            OfferOutcome::Withdrawn => {
                self.pause_of(now, id);
                self.lose(now, id, OfferEnd::Withdrawn, out);
            }
        }
    }

    /// The call said nothing in time.
    pub(super) fn on_offer_deadline(&mut self, now: Now, id: OfferId, out: &mut Vec<AcdEffect>) {
        let Some(offer) = self.offers.get(&id) else { return };
        let join = offer.join;
        let end = if offer.rings {
            self.rang_out(now, id, out);
            OfferEnd::NoAnswer
        } else {
            self.no_response(now, id);
            OfferEnd::Unreachable
        };
        out.push(AcdEffect::Verdict(join.call, AcdVerdict::Revoke { join, offer: id }));
        self.lose(now, id, end, out);
    }

    /// Takes the agent's offer back, if there is one; the caller keeps his place.
    pub(super) fn revoke_of(&mut self, now: Now, agent: &AgentId, out: &mut Vec<AcdEffect>) {
        let Some((id, _)) = self.agents.get(agent).and_then(|agent| agent.offer) else { return };
        let Some(join) = self.offers.get(&id).map(|offer| offer.join) else { return };
        out.push(AcdEffect::Verdict(join.call, AcdVerdict::Revoke { join, offer: id }));
        self.lose(now, id, OfferEnd::Withdrawn, out);
    }

    /// Frees the agent of an offer and forgets it, without a word to the call.
    pub(super) fn release(&mut self, now: Now, id: OfferId, end: OfferEnd, out: &mut Vec<AcdEffect>) {
        let Some(offer) = self.offers.remove(&id) else { return };
        self.timers.remove(&(offer.until, AcdTimer::Offer(id)));
        self.direct.remove(&offer.join);
        if let Some(wait) = self.waits.get_mut(&offer.join) {
            wait.offers.remove(&id);
        }
        if let Some(agent) = self.agents.get_mut(&offer.agent) {
            agent.offer = None;
            if end != OfferEnd::Answered {
                let lost = agent.lines.iter_mut().filter(|(leg, _)| leg.call == offer.join.call);
                lost.for_each(|(_, line)| line.void = true);
            }
            out.push(emit(now, &offer.agent, agent, AgentHappening::OfferEnded { offer: id, join: offer.join, end }));
        }
        self.refresh(&offer.agent);
    }

    fn reserve(
        &mut self,
        now: Now,
        join: JoinId,
        id: &AgentId,
        queue: Option<QueueId>,
        ring: Duration,
        out: &mut Vec<AcdEffect>,
    ) -> OfferId {
        self.offers_made += 1;
        let offer = OfferId(self.offers_made);
        let until = now.mono + ring + OFFER_GRACE;
        self.timers.insert((until, AcdTimer::Offer(offer)));
        if let Some(agent) = self.agents.get_mut(id) {
            agent.offer = Some((offer, false));
            agent.last_offer = self.offers_made;
            out.push(emit(now, id, agent, AgentHappening::Offered { offer, join, queue: queue.clone() }));
        }
        self.offers.insert(offer, Offer { join, agent: id.clone(), queue, until, rings: false });
        self.refresh(id);
        offer
    }

    fn on_ringing(&mut self, id: OfferId) {
        let Some(offer) = self.offers.get_mut(&id) else { return };
        offer.rings = true;
        let agent = offer.agent.clone();
        if let Some(agent) = self.agents.get_mut(&agent) {
            agent.offer = Some((id, true));
        }
        self.refresh(&agent);
    }

    fn win(&mut self, now: Now, id: OfferId, out: &mut Vec<AcdEffect>) {
        let Some(Offer { join, agent: agent_id, queue, .. }) = self.offers.get(&id).cloned() else { return };
        let from_queue = queue.is_some();
        let trace = self.calls.entry(join.call).or_default();
        trace.agents.insert(agent_id.clone());
        let queue = queue.or_else(|| trace.queue.clone());
        if let Some(agent) = self.agents.get_mut(&agent_id) {
            agent.unanswered = 0;
            agent.calls += u64::from(from_queue);
            let grace_until = (!agent.has_line_of(join.call)).then(|| now.mono + LINE_GRACE);
            let talked = agent.talks_for_queue();
            agent.work = Some(Work { call: join.call, queue: queue.clone(), since: now.mono, talked, grace_until });
        }
        if from_queue {
            self.answered_again(&agent_id, out);
        }
        self.release(now, id, OfferEnd::Answered, out);
        out.push(AcdEffect::Verdict(join.call, AcdVerdict::Won { join, offer: id }));
        if let Some(wait) = self.end_wait(join) {
            for other in wait.offers {
                out.push(AcdEffect::Verdict(join.call, AcdVerdict::Revoke { join, offer: other }));
                self.release(now, other, OfferEnd::Withdrawn, out);
            }
        }
    }

    /// Ends an offer that did not win; its wait goes on, unless this was its last.
    fn lose(&mut self, now: Now, id: OfferId, end: OfferEnd, out: &mut Vec<AcdEffect>) {
        let Some(join) = self.offers.get(&id).map(|offer| offer.join) else { return };
        self.release(now, id, end, out);
        self.after_loss(join, out);
    }

    fn pause_of(&mut self, now: Now, id: OfferId) {
        let Some(join) = self.offers.get(&id).map(|offer| offer.join) else { return };
        if let Some(wait) = self.waits.get_mut(&join) {
            wait.paused_until = Some(now.mono + PAUSE);
        }
    }

    fn refused(&mut self, now: Now, id: OfferId) {
        let Some(Offer { join, agent, queue: Some(_), .. }) = self.offers.get(&id).cloned() else { return };
        if let Some(wait) = self.waits.get_mut(&join) {
            wait.refused.insert(agent.clone(), now.mono + SPARE_FOR);
        }
        if let Some(agent) = self.agents.get_mut(&agent) {
            agent.back_off_until = Some(now.mono + BACK_OFF);
        }
    }

    fn no_response(&mut self, now: Now, id: OfferId) {
        let Some(offer) = self.offers.get(&id) else { return };
        if let Some(agent) = self.agents.get_mut(&offer.agent) {
            agent.lost_until = Some(now.mono + PROBE_AFTER);
        }
    }

    fn rang_out(&mut self, now: Now, id: OfferId, out: &mut Vec<AcdEffect>) {
        let Some(Offer { agent: agent_id, queue: Some(queue), .. }) = self.offers.get(&id).cloned() else { return };
        let Some(rule) = self.queues.get(&queue).map(|queue| queue.rule.clone()) else { return };
        let Some(agent) = self.agents.get_mut(&agent_id) else { return };
        agent.unanswered = agent.unanswered.saturating_add(1);
        if rule.ring_no_answer == 0 || agent.unanswered < rule.ring_no_answer {
            self.refused(now, id);
            return;
        }
        agent.unanswered = 0;
        let served = agent.entry.queues.iter();
        let last_of = |name: &&QueueId| self.queues.get(*name).is_some_and(|queue| queue.on <= 1 && !queue.closing);
        let alone: Vec<_> = served.filter(last_of).cloned().collect();
        if alone.is_empty() {
            agent.rest_until = Some(now.mono + rule.ring_no_answer_rest);
            return;
        }
        agent.back_off_until = Some(now.mono + BACK_OFF);
        for name in alone {
            let Some(queue) = self.queues.get_mut(&name) else { continue };
            if queue.kept.as_ref() != Some(&agent_id) {
                queue.kept = Some(agent_id.clone());
                let alarm = AcdAlarm::LastReadyKept { queue: name, agent: agent_id.clone() };
                out.push(AcdEffect::Alarm(alarm, AlarmState::Raised));
            }
        }
    }

    /// An answer shows that the agent who was kept ready is there.
    fn answered_again(&mut self, agent: &AgentId, out: &mut Vec<AcdEffect>) {
        let Some(entry) = self.agents.get(agent).map(|agent| agent.entry.clone()) else { return };
        for name in &entry.queues {
            if let Some(queue) = self.queues.get_mut(name)
                && queue.kept.as_ref() == Some(agent)
            {
                queue.kept = None;
                let alarm = AcdAlarm::LastReadyKept { queue: name.clone(), agent: agent.clone() };
                out.push(AcdEffect::Alarm(alarm, AlarmState::Cleared));
            }
        }
    }
}
