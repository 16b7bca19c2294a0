//! The three reports an agent's state is made of, and wrap-up.
//!
//! | report | effect |
//! |---|---|
//! | registration appears | signed out and nothing chosen: ready; else only reachable again |
//! | registration goes | unreachable; a running offer is revoked; nothing chosen changes |
//! | a person chooses | that state; ends wrap-up and rest; not ready or signed out revokes a running offer |
//! | a line comes into use | not offered; a line of another call revokes a running offer |
//! | a queue line is in talk | at work; ends a wrap-up that still runs |
//! | last queue line idle after a talk | wrap-up: the agent's own length, else the queue's of the call |
//!
//! A signed-out agent has no wrap-up. An unanswered offer has none, nor has an answer that did not win: until `Won` a
//! line of the offering call is no work, and when the offer is lost it never will be. Deliberately absent: star codes and the API,
//! which both arrive here as [`DeskCommand`]s.

use std::time::Duration;

use crate::acd::agent::{Line, WrapUp};
use crate::acd::directory::QueueRule;
use crate::acd::words::{DeskCommand, DeskState, LineCause, LineState};
use crate::acd::{Acd, AcdEffect};
use crate::base::id::{AgentId, CallId, QueueId};
use crate::base::now::Now;
use crate::rtp::command::MediaLeg;

impl Acd {
    pub(super) fn on_reachable(&mut self, now: Now, id: &AgentId, reachable: bool, out: &mut Vec<AcdEffect>) {
        let Some(agent) = self.agents.get_mut(id) else {
            self.stale += 1;
            return;
        };
        if reachable {
            let was_away = !agent.reachable || agent.lost_until.is_some();
            agent.reachable = true;
            agent.lost_until = None;
            if agent.desk == DeskState::SignedOut && !agent.chosen && agent.entry.sign_in_on_register {
                agent.desk = DeskState::Ready;
                agent.sign_in(now);
            }
            if was_away {
                agent.idle_since = now.mono;
            }
        } else {
            agent.reachable = false;
            self.revoke_of(now, id, out);
        }
        self.refresh(id);
    }

    pub(super) fn on_desk(&mut self, now: Now, id: &AgentId, command: DeskCommand, out: &mut Vec<AcdEffect>) {
        let Some(agent) = self.agents.get_mut(id) else {
            self.stale += 1;
            return;
        };
        match command {
            DeskCommand::Choose(state) => {
                let was_idle = agent.desk == DeskState::Ready && agent.rest_until.is_none();
                if agent.desk == DeskState::SignedOut && state != DeskState::SignedOut {
                    agent.sign_in(now);
                }
                let ready = state == DeskState::Ready;
                agent.desk = state;
                agent.chosen = true;
                agent.rest_until = None;
                agent.unanswered = 0;
                if ready && !was_idle {
                    agent.idle_since = now.mono;
                }
                self.end_wrap_up(now, id);
                if !ready {
                    self.revoke_of(now, id, out);
                }
            }
            DeskCommand::EndWrapUp => self.end_wrap_up(now, id),
            DeskCommand::ExtendWrapUp => {
                if let Some(wrap) = agent.wrap.as_mut()
                    && !wrap.extended
                {
                    wrap.extended = true;
                    wrap.until = wrap.until + wrap.length;
                }
            }
        }
        self.refresh(id);
    }

    pub(super) fn on_line(
        &mut self,
        now: Now,
        id: &AgentId,
        leg: MediaLeg,
        state: LineState,
        cause: LineCause,
        out: &mut Vec<AcdEffect>,
    ) {
        let Some(agent) = self.agents.get_mut(id) else {
            self.stale += 1;
            return;
        };
        match state {
            LineState::Idle => {
                agent.lines.remove(&leg);
                self.after_line(now, id, leg.call);
            }
            LineState::Ringing | LineState::Talking | LineState::Held => {
                let trace = self.calls.entry(leg.call).or_default();
                trace.agents.insert(id.clone());
                let void = agent.lines.get(&leg).is_some_and(|line| line.void);
                agent.lines.insert(leg, Line { state, cause, void });
                agent.lost_until = None;
                let own_call = agent.work.as_mut().filter(|work| work.call == leg.call);
                if let Some(work) = own_call {
                    work.grace_until = None;
                }
                let offered = agent.offer.and_then(|(offer, _)| self.offers.get(&offer));
                let unconfirmed = void || offered.is_some_and(|offer| offer.join.call == leg.call);
                let talks_for_queue = state != LineState::Ringing && cause == LineCause::Queue && !unconfirmed;
                if talks_for_queue {
                    agent.work_for(now, leg.call, trace.queue.as_ref());
                }
                if talks_for_queue {
                    self.end_wrap_up(now, id);
                }
                self.revoke_for_line(now, id, leg.call, out);
            }
        }
        self.refresh(id);
    }

    /// Takes away what a call that is gone left on an agent.
    pub(super) fn drop_lines(&mut self, now: Now, id: &AgentId, call: CallId) {
        let Some(agent) = self.agents.get_mut(id) else { return };
        agent.lines.retain(|leg, _| leg.call != call);
        self.after_line(now, id, call);
        self.refresh(id);
    }

    pub(super) fn on_agent_deadline(&mut self, now: Now, id: &AgentId) {
        let Some(agent) = self.agents.get_mut(id) else { return };
        agent.armed = None;
        let is_due = |at: Option<_>| at.is_some_and(|at| at <= now.mono);
        if is_due(agent.rest_until) {
            agent.rest_until = None;
            agent.idle_since = now.mono;
        }
        if is_due(agent.lost_until) {
            agent.lost_until = None;
            agent.idle_since = now.mono;
        }
        if is_due(agent.back_off_until) {
            agent.back_off_until = None;
        }
        let wrapped = is_due(agent.wrap.as_ref().map(|wrap| wrap.until));
        if is_due(agent.work.as_ref().and_then(|work| work.grace_until)) {
            agent.work = None;
        }
        if wrapped {
            self.end_wrap_up(now, id);
        }
        self.refresh(id);
    }

    /// A phone in use for something else can no longer be rung for its offer.
    fn revoke_for_line(&mut self, now: Now, id: &AgentId, call: CallId, out: &mut Vec<AcdEffect>) {
        let offer = self.agents.get(id).and_then(|agent| agent.offer).and_then(|(offer, _)| self.offers.get(&offer));
        if offer.is_some_and(|offer| offer.join.call != call) {
            self.revoke_of(now, id, out);
        }
    }

    /// Ends the work when its last line is gone.
    fn after_line(&mut self, now: Now, id: &AgentId, call: CallId) {
        let Some(agent) = self.agents.get_mut(id) else { return };
        let Some(work) = agent.work.as_ref() else { return };
        let over = if work.talked {
            !agent.has_queue_line()
        } else {
            !agent.has_line_of(work.call) && (work.grace_until.is_none() || work.call == call)
        };
        if !over {
            return;
        }
        let Some(work) = agent.work.take() else { return };
        if !work.talked {
            return;
        }
        let length = self.wrap_up_of(id, work.queue.as_ref());
        let Some(agent) = self.agents.get_mut(id) else { return };
        agent.wrap =
            Some(WrapUp { until: now.mono + length, length, extended: false, queue: work.queue, since: work.since });
        let signed_out = agent.desk == DeskState::SignedOut || agent.removed;
        if length.is_zero() || signed_out {
            self.end_wrap_up(now, id);
        }
    }

    fn end_wrap_up(&mut self, now: Now, id: &AgentId) {
        let Some(agent) = self.agents.get_mut(id) else { return };
        let Some(wrap) = agent.wrap.take() else { return };
        let busy = now.mono.since(wrap.since);
        agent.busy = agent.busy.saturating_add(busy);
        agent.idle_since = now.mono;
        if let Some(queue) = wrap.queue.as_ref().and_then(|queue| self.queues.get_mut(queue)) {
            queue.mean.add(busy);
        }
    }

    fn wrap_up_of(&self, id: &AgentId, queue: Option<&QueueId>) -> Duration {
        let Some(agent) = self.agents.get(id) else { return Duration::ZERO };
        let served = || agent.entry.queues.iter().find_map(|queue| self.queues.get(queue));
        agent.entry.wrap_up.unwrap_or_else(|| {
            let rule = queue.and_then(|queue| self.queues.get(queue)).or_else(served).map(|queue| &queue.rule);
            rule.map_or_else(|| QueueRule::default().wrap_up, |rule| rule.wrap_up)
        })
    }
}
