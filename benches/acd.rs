//! What one decision of the ACD costs: 1,500 agents × 1,000 waiting, and whether a queued call costs more in a long
//! queue.
//!
//! `cargo bench --bench acd`. Two populations: *usual*, 12 sets of skills and 8 kinds of needs; *worst*, every agent
//! with skills of his own and every caller with needs of his own, so that no group of the indices has two members.
#![expect(clippy::print_stdout, clippy::disallowed_methods, reason = "a bench reads the clock and prints")]

use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use switch12345::acd::directory::{AcdDirectory, AgentEntry, QueueRule};
use switch12345::acd::words::{
    AcdInput, AcdVerdict, DeskCommand, DeskState, LineCause, LineState, OfferOutcome, QueueRequest, SkillNeed, Wants,
};
use switch12345::acd::{Acd, AcdEffect};
use switch12345::base::id::{AgentId, CallId, JoinId, LegId, OfferId, QueueId, SkillName, TenantName, Ulid};
use switch12345::base::now::{Mono, Now};
use switch12345::rtp::command::MediaLeg;

const AGENTS: u64 = 1_500;
const SKILLS: u64 = 40;

fn queue_id(n: u64) -> QueueId {
    QueueId { tenant: TenantName::new("chifeng"), queue: format!("queue-{}", n % 5).as_str().into() }
}

fn agent_id(n: u64) -> AgentId {
    AgentId::new(format!("{}", 1_000 + n))
}

fn join_id(n: u64) -> JoinId {
    JoinId { call: CallId(Ulid::compose(Timestamp::UNIX_EPOCH, 1, &TenantName::new("chifeng"), n)), nth: 0 }
}

/// How varied skills and needs are.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Variety {
    Usual,
    Worst,
}

struct Floor {
    acd: Acd,
    now: Now,
    out: Vec<AcdEffect>,
    next: u64,
    variety: Variety,
}

impl Floor {
    fn new(variety: Variety) -> Self {
        let agents = (0..AGENTS).map(|n| {
            let kind = if variety == Variety::Usual { n % 12 } else { n };
            let mut entry = AgentEntry::new(TenantName::new("chifeng"), (0..3).map(|k| queue_id(n + k)));
            for k in 0..6 {
                let skill = SkillName::new(format!("skill-{}", (kind * 7 + k * 5) % SKILLS));
                entry.skills.insert(skill, 1 + ((kind / 40 + k) % 10) as u8);
            }
            (agent_id(n), entry)
        });
        let queues = (0..5).map(|n| (queue_id(n), QueueRule { size: 5_000, ..QueueRule::default() }));
        let acd = Acd::new(AcdDirectory::new(queues, agents));
        let now = Now { mono: Mono(1_000_000_000), wall: Timestamp::UNIX_EPOCH };
        let mut floor = Self { acd, now, out: Vec::new(), next: 0, variety };
        for n in 0..AGENTS {
            floor.give(AcdInput::Reachable(agent_id(n), true));
        }
        floor
    }

    fn give(&mut self, input: AcdInput) -> Duration {
        self.now = self.now.after(Duration::from_micros(1));
        self.out.clear();
        let start = Instant::now();
        self.acd.handle(self.now, input, &mut self.out);
        start.elapsed()
    }

    fn join(&mut self) -> (JoinId, Duration) {
        let n = self.next;
        self.next += 1;
        let join = join_id(n);
        let kind = if self.variety == Variety::Usual { n % 8 } else { n };
        let need = |k: u64, required| SkillNeed {
            skill: SkillName::new(format!("skill-{}", (kind * 3 + k * 11) % SKILLS)),
            level: 1 + ((kind / 40 + k) % 10) as u8,
            required,
        };
        let wants = Wants {
            queue: queue_id(n),
            needs: vec![need(0, false), need(1, false)],
            priority: (n % 3) as u8,
            joined_at: self.now.mono,
            head: false,
            avoid: Vec::new(),
            hotline: Arc::from("12345"),
        };
        (join, self.give(AcdInput::Call(join.call, QueueRequest::Join(join, Box::new(wants)))))
    }

    fn offer(&self) -> Option<(JoinId, OfferId, AgentId)> {
        self.out.iter().find_map(|effect| match effect {
            AcdEffect::Verdict(_, AcdVerdict::Offer { join, offer, agent, .. }) => Some((*join, *offer, agent.clone())),
            AcdEffect::Verdict(..) | AcdEffect::Emit(_) | AcdEffect::Alarm(..) => None,
        })
    }

    fn line(&mut self, join: JoinId, agent: &AgentId, state: LineState) -> Duration {
        let leg = MediaLeg { call: join.call, leg: LegId(1) };
        let line = QueueRequest::Line { agent: agent.clone(), leg, state, cause: LineCause::Queue };
        self.give(AcdInput::Call(join.call, line))
    }

    /// Answers the offer just made and begins to talk.
    fn answer(&mut self) -> Option<(JoinId, AgentId, Duration)> {
        let (join, offer, agent) = self.offer()?;
        let mut spent = self.line(join, &agent, LineState::Ringing);
        spent += self.give(AcdInput::Call(join.call, QueueRequest::Outcome(offer, OfferOutcome::Answered)));
        spent += self.line(join, &agent, LineState::Talking);
        Some((join, agent, spent))
    }

    fn fill(&mut self, waiting: u64) -> Vec<(JoinId, AgentId)> {
        let mut talks = Vec::new();
        while talks.len() < AGENTS as usize {
            self.join();
            talks.extend(self.answer().map(|(join, agent, _)| (join, agent)));
        }
        for _ in 0..waiting {
            self.join();
        }
        talks
    }
}

fn report(what: &str, mut spans: Vec<Duration>) {
    spans.sort_unstable();
    let at =
        |share: f64| spans.get((spans.len() as f64 * share) as usize).map_or(0.0, |span| span.as_nanos() as f64 / 1e3);
    println!("{what:<66} median {:>7.1} µs   p99 {:>7.1} µs   n {}", at(0.5), at(0.99), spans.len());
}

/// A caller joins while every agent is idle: the whole floor is looked at.
fn joins_with_all_idle(name: &str, variety: Variety) {
    let mut floor = Floor::new(variety);
    let spans = (0..2_000).map(|_| {
        let (join, span) = floor.join();
        floor.give(AcdInput::Call(join.call, QueueRequest::Leave(join)));
        span
    });
    report(&format!("{name}: join, 1,500 idle agents, offer decided"), spans.collect());
}

/// An agent becomes free (wrap-up ended early) while 1,000 wait.
fn agents_come_free(name: &str, variety: Variety) {
    let mut floor = Floor::new(variety);
    let mut talks = floor.fill(1_000);
    let mut frees = Vec::new();
    let mut joins = Vec::new();
    for turn in 0..3_000 {
        let (join, agent) = talks.swap_remove((turn * 7) % talks.len());
        floor.line(join, &agent, LineState::Idle);
        floor.give(AcdInput::CallGone(join.call));
        frees.push(floor.give(AcdInput::Desk(agent.clone(), DeskCommand::EndWrapUp)));
        talks.extend(floor.answer().map(|(join, agent, _)| (join, agent)));
        joins.push(floor.join().1);
    }
    report(&format!("{name}: agent free, 1,000 waiting, offer decided"), frees);
    report(&format!("{name}: join, nobody free, 1,000 waiting"), joins);
}

/// All the ACD does for one queued call, from join to the agent's next free moment.
fn cost_per_queued_call(waiting: u64) {
    let mut floor = Floor::new(Variety::Usual);
    let mut talks = floor.fill(waiting);
    let mut spans = Vec::new();
    for turn in 0..5_000 {
        let (join, agent) = talks.swap_remove((turn * 7) % talks.len());
        let mut spent = floor.join().1;
        spent += floor.line(join, &agent, LineState::Idle);
        spent += floor.give(AcdInput::Desk(agent.clone(), DeskCommand::EndWrapUp));
        if let Some((join, agent, span)) = floor.answer() {
            spent += span;
            talks.push((join, agent));
        }
        spent += floor.give(AcdInput::CallGone(join.call));
        spans.push(spent);
    }
    report(&format!("whole queued call (6 inputs), {waiting} waiting"), spans);
}

/// Telling 1,000 callers their places.
fn telling(waiting: u64) {
    let mut floor = Floor::new(Variety::Usual);
    floor.fill(waiting);
    let mut spans = Vec::new();
    for turn in 0..50 {
        floor.give(AcdInput::Desk(agent_id(turn), DeskCommand::Choose(DeskState::SignedOut)));
        floor.now = floor.now.after(Duration::from_secs(5));
        spans.push(floor.give(AcdInput::Deadline));
    }
    report(&format!("places told to all of {waiting} waiting, every 5 s"), spans);
}

fn main() {
    joins_with_all_idle("usual", Variety::Usual);
    joins_with_all_idle("worst", Variety::Worst);
    agents_come_free("usual", Variety::Usual);
    agents_come_free("worst", Variety::Worst);
    [10, 100, 1_000].into_iter().for_each(cost_per_queued_call);
    telling(1_000);
}
