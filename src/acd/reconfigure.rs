//! A new directory while callers wait and agents talk.
//!
//! | what | rule |
//! |---|---|
//! | waiting callers | keep join time and place; rank and limits follow the new rules |
//! | agents who stay | keep what they chose, lines, wrap-up, rest; a running offer stays if they still serve its queue |
//! | agents who go | offer revoked; forgotten when the last line ends |
//! | queues that go | take nobody new (except callers who come back), live until empty, served as before |
//!
//! Deliberately absent: reading a plan.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::acd::agent::{Agent, Counted};
use crate::acd::directory::{AcdDirectory, AgentEntry, QueueRule};
use crate::acd::queue::Queue;
use crate::acd::rank::{SkillNumbers, WaitRank};
use crate::acd::{Acd, AcdEffect};
use crate::base::id::{AgentId, QueueId};
use crate::base::now::Now;

impl Acd {
    /// Goes over to another directory.
    pub fn reconfigure(&mut self, now: Now, directory: AcdDirectory, out: &mut Vec<AcdEffect>) {
        self.fire(now, out);
        self.settle(now, out);
        let gone = self.apply_queues(&directory.queues);
        self.apply_agents(now, &directory.agents, &gone, out);
        self.rerank();
        let agents: Vec<_> = self.agents.keys().cloned().collect();
        for id in agents {
            self.refresh(&id);
        }
        for queue in self.queues.keys().cloned().collect::<Vec<_>>() {
            self.settle_queue(&queue, out);
            if self.queues.get(&queue).is_some_and(Queue::is_done) {
                self.drop_queue(&queue);
            }
        }
        self.fire(now, out);
        self.unsettled.agents.clear();
        self.settle(now, out);
    }

    /// Returns the queues that are closing from now on.
    fn apply_queues(&mut self, rules: &BTreeMap<QueueId, QueueRule>) -> BTreeSet<QueueId> {
        for (id, queue) in &mut self.queues {
            queue.closing = !rules.contains_key(id);
        }
        for (id, rule) in rules {
            let rule = Arc::new(rule.clone());
            let queue = self.queues.entry(id.clone()).or_insert_with(|| Queue::new(Arc::clone(&rule)));
            queue.rule = rule;
        }
        self.queues.iter().filter(|(_, queue)| queue.closing).map(|(id, _)| id.clone()).collect()
    }

    fn apply_agents(
        &mut self,
        now: Now,
        entries: &BTreeMap<AgentId, AgentEntry>,
        closing: &BTreeSet<QueueId>,
        out: &mut Vec<AcdEffect>,
    ) {
        for queue in self.queues.values_mut() {
            queue.idle.clear();
            (queue.on, queue.signed_in) = (0, 0);
        }
        for (id, entry) in entries {
            let agent = self.agents.entry(id.clone());
            let agent = agent.or_insert_with(|| Agent::new(now, Arc::new(entry.clone()), Default::default()));
            let mut entry = entry.clone();
            entry.queues.extend(agent.entry.queues.iter().filter(|queue| closing.contains(*queue)).cloned());
            agent.entry = Arc::new(entry);
            agent.removed = false;
        }
        self.numbers = SkillNumbers::of(self.agents.values().map(|agent| agent.entry.as_ref()));
        for (id, agent) in &mut self.agents {
            agent.removed = !entries.contains_key(id);
            agent.skills = self.numbers.skills(&agent.entry);
            agent.standing.clear();
            agent.counted = Counted::default();
        }
        let misplaced: Vec<_> = self
            .offers
            .values()
            .filter(|offer| self.agents.get(&offer.agent).is_none_or(|agent| !may_be_rung(agent, offer.queue.as_ref())))
            .map(|offer| offer.agent.clone())
            .collect();
        for agent in misplaced {
            self.revoke_of(now, &agent, out);
        }
    }

    fn rerank(&mut self) {
        for queue in self.queues.values_mut() {
            queue.order.clear();
            queue.hungry.clear();
        }
        self.unsettled.waits.clear();
        for (join, wait) in &mut self.waits {
            let Some(queue) = self.queues.get_mut(&wait.wants.queue) else { continue };
            let rule = &queue.rule;
            wait.rank = WaitRank::of(*join, &wait.wants, rule.age_step);
            wait.relax_at = rule.skill_relax.map(|span| wait.entered + span);
            wait.max_at = rule.max_wait.map(|span| wait.entered + span);
            wait.overdue = false;
            wait.needs = self.numbers.needs(&wait.wants.needs, false);
            queue.order.insert(wait.rank);
        }
        let joins: Vec<_> = self.waits.keys().copied().collect();
        for join in joins {
            self.appetite(join);
        }
    }
}

fn may_be_rung(agent: &Agent, queue: Option<&QueueId>) -> bool {
    !agent.removed && agent.entry.takes_calls && queue.is_none_or(|queue| agent.entry.queues.contains(queue))
}
