//! One test per rule of the queues, named after the fault it keeps away.

#![expect(clippy::wildcard_enum_match_arm, reason = "a test looks at the verdicts it is about")]

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use crate::acd::agent::SkipReason;
use crate::acd::directory::{AcdDirectory, AgentEntry, QueueRule, Strategy};
use crate::acd::words::{
    AcdInput, AcdVerdict, DeskCommand, DeskState, LineCause, LineState, OfferOutcome, QueueRequest, SkillNeed, Wants,
};
use crate::acd::{Acd, AcdAlarm, AcdEffect, AlarmState};
use crate::base::id::{AgentId, CallId, JoinId, LegId, OfferId, QueueId, SkillName, TenantName, Ulid};
use crate::base::now::{Mono, Now};
use crate::event::call::OverflowCause;
use crate::rtp::command::MediaLeg;

const S: Duration = Duration::from_secs(1);

mod queueing;

fn queue_id(name: &str) -> QueueId {
    QueueId { tenant: TenantName::new("p"), queue: name.into() }
}

fn rule() -> QueueRule {
    QueueRule::default()
}

fn agent(queues: &[&str]) -> AgentEntry {
    AgentEntry::new(TenantName::new("p"), queues.iter().map(|name| queue_id(name)))
}

fn skilled(queues: &[&str], skills: &[(&str, u8)]) -> AgentEntry {
    let skills = skills.iter().map(|(name, level)| (SkillName::new(name), *level)).collect();
    AgentEntry { skills, ..agent(queues) }
}

fn join(n: u64) -> JoinId {
    let call = CallId(Ulid::compose(Timestamp::UNIX_EPOCH, 0, &TenantName::new("p"), n));
    JoinId { call, nth: 0 }
}

fn leg(call: u64) -> MediaLeg {
    MediaLeg { call: join(call).call, leg: LegId(1) }
}

/// A machine with its clock.
struct World {
    acd: Acd,
    now: Now,
    out: Vec<AcdEffect>,
}

impl World {
    fn new(queues: &[(&str, QueueRule)], agents: &[(&str, AgentEntry)]) -> Self {
        let mut world = Self {
            acd: Acd::new(directory(queues, agents)),
            now: Now { mono: Mono(1_000_000_000_000), wall: Timestamp::UNIX_EPOCH },
            out: Vec::new(),
        };
        for (id, _) in agents {
            world.give(AcdInput::Reachable(AgentId::new(id), true));
            world.pass(S);
        }
        world
    }

    /// One queue `main` with these rules and agents `a`, `b`, … idle in this order.
    fn main(rule: QueueRule, agents: usize) -> Self {
        let names = ["a", "b", "c", "d"];
        let agents: Vec<_> = names.into_iter().take(agents).map(|name| (name, agent(&["main"]))).collect();
        Self::new(&[("main", rule)], &agents)
    }

    fn give(&mut self, input: AcdInput) -> Vec<AcdVerdict> {
        let mut out = Vec::new();
        self.acd.handle(self.now, input, &mut out);
        let verdicts = out
            .iter()
            .filter_map(|effect| match effect {
                AcdEffect::Verdict(_, verdict) => Some(verdict.clone()),
                AcdEffect::Emit(_) | AcdEffect::Alarm(..) => None,
            })
            .collect();
        self.out = out;
        verdicts
    }

    /// Lets time pass, stopping at each deadline.
    fn pass(&mut self, span: Duration) -> Vec<AcdVerdict> {
        let end = self.now.after(span);
        let mut verdicts = Vec::new();
        while let Some((at, _)) = self.acd.deadline().filter(|(at, _)| *at <= end.mono) {
            self.now = self.now.after(at.since(self.now.mono));
            verdicts.extend(self.give(AcdInput::Deadline));
        }
        self.now = self.now.after(end.mono.since(self.now.mono));
        verdicts
    }

    fn wants(&self, queue: &str) -> Wants {
        Wants {
            queue: queue_id(queue),
            needs: Vec::new(),
            priority: 0,
            joined_at: self.now.mono,
            head: false,
            avoid: Vec::new(),
            hotline: Arc::from("12345"),
        }
    }

    fn join_with(&mut self, n: u64, wants: Wants) -> Vec<AcdVerdict> {
        self.request(n, QueueRequest::Join(join(n), Box::new(wants)))
    }

    fn join(&mut self, n: u64) -> Vec<AcdVerdict> {
        let wants = self.wants("main");
        self.join_with(n, wants)
    }

    fn request(&mut self, n: u64, request: QueueRequest) -> Vec<AcdVerdict> {
        self.give(AcdInput::Call(join(n).call, request))
    }

    fn outcome(&mut self, n: u64, offer: u64, outcome: OfferOutcome) -> Vec<AcdVerdict> {
        self.request(n, QueueRequest::Outcome(OfferId(offer), outcome))
    }

    fn desk(&mut self, agent: &str, state: DeskState) -> Vec<AcdVerdict> {
        self.give(AcdInput::Desk(AgentId::new(agent), DeskCommand::Choose(state)))
    }

    fn line(&mut self, agent: &str, n: u64, state: LineState, cause: LineCause) -> Vec<AcdVerdict> {
        self.request(n, QueueRequest::Line { agent: AgentId::new(agent), leg: leg(n), state, cause })
    }

    /// Takes a call through answer and talk to the end of the line.
    fn talk(&mut self, agent: &str, n: u64, offer: u64, span: Duration) -> Vec<AcdVerdict> {
        self.line(agent, n, LineState::Ringing, LineCause::Queue);
        self.outcome(n, offer, OfferOutcome::Answered);
        self.line(agent, n, LineState::Talking, LineCause::Queue);
        self.pass(span);
        self.line(agent, n, LineState::Idle, LineCause::Queue)
    }

    fn state(&self, agent: &str) -> &'static str {
        self.acd.agent_state(&AgentId::new(agent)).unwrap().word()
    }

    fn alarms(&self) -> Vec<(AcdAlarm, AlarmState)> {
        let alarms = self.out.iter().filter_map(|effect| match effect {
            AcdEffect::Alarm(alarm, state) => Some((alarm.clone(), *state)),
            AcdEffect::Verdict(..) | AcdEffect::Emit(_) => None,
        });
        alarms.collect()
    }
}

fn directory(queues: &[(&str, QueueRule)], agents: &[(&str, AgentEntry)]) -> AcdDirectory {
    AcdDirectory::new(
        queues.iter().map(|(name, rule)| (queue_id(name), rule.clone())),
        agents.iter().map(|(name, entry)| (AgentId::new(name), entry.clone())),
    )
}

fn offered(verdicts: &[AcdVerdict]) -> Vec<(u64, String)> {
    let offers = verdicts.iter().filter_map(|verdict| match verdict {
        AcdVerdict::Offer { offer, agent, .. } => Some((offer.0, agent.to_string())),
        _ => None,
    });
    offers.collect()
}

fn joins_offered(verdicts: &[AcdVerdict]) -> Vec<JoinId> {
    let joins = verdicts.iter().filter_map(|verdict| match verdict {
        AcdVerdict::Offer { join, .. } => Some(*join),
        _ => None,
    });
    joins.collect()
}

fn overflowed(verdicts: &[AcdVerdict]) -> Vec<(JoinId, OverflowCause)> {
    let ends = verdicts.iter().filter_map(|verdict| match verdict {
        AcdVerdict::Overflow(join, cause) => Some((*join, *cause)),
        _ => None,
    });
    ends.collect()
}

fn not_ready(reason: &str) -> DeskState {
    DeskState::NotReady { reason: Arc::from(reason) }
}

fn need(skill: &str, level: u8, required: bool) -> SkillNeed {
    SkillNeed { skill: SkillName::new(skill), level, required }
}

#[test]
fn registering_signs_in_once_and_a_reconnect_never_changes_what_was_chosen() {
    let mut world = World::main(rule(), 1);
    assert_eq!(world.state("a"), "ready");
    world.desk("a", not_ready("lunch"));
    world.give(AcdInput::Reachable(AgentId::new("a"), false));
    assert_eq!(world.state("a"), "unreachable");
    world.give(AcdInput::Reachable(AgentId::new("a"), true));
    assert_eq!(world.state("a"), "not_ready");
    world.desk("a", DeskState::SignedOut);
    world.give(AcdInput::Reachable(AgentId::new("a"), true));
    assert_eq!(world.state("a"), "logged_out");
}

#[test]
fn configured_otherwise_registering_signs_nobody_in() {
    let entry = AgentEntry { sign_in_on_register: false, ..agent(&["main"]) };
    let world = World::new(&[("main", rule())], &[("a", entry)]);
    assert_eq!(world.state("a"), "logged_out");
}

#[test]
fn longest_idle_first_and_own_calls_are_not_interrupted() {
    let mut world = World::main(rule(), 3);
    world.line("a", 90, LineState::Talking, LineCause::Own);
    assert_eq!(offered(&world.join(1)), [(1, "b".to_owned())]);
    world.line("a", 90, LineState::Idle, LineCause::Own);
    assert_eq!(world.state("a"), "ready");
    assert_eq!(offered(&world.join(2)), [(2, "a".to_owned())]);
}

#[test]
fn an_agent_is_in_one_offer_only_and_the_second_caller_waits() {
    let mut world = World::main(rule(), 1);
    assert_eq!(offered(&world.join(1)).len(), 1);
    let second = world.join(2);
    assert!(matches!(second.as_slice(), [AcdVerdict::Queued(_, position)] if position.ahead == 1));
    assert_eq!(offered(&world.request(1, QueueRequest::Leave(join(1)))), [(2, "a".to_owned())]);
}

#[test]
fn ring_all_answered_by_two_has_one_winner() {
    let mut world = World::main(QueueRule { strategy: Strategy::RingAll { cap: 2 }, ..rule() }, 3);
    assert_eq!(offered(&world.join(1)).len(), 2);
    let first = world.outcome(1, 2, OfferOutcome::Answered);
    assert_eq!(
        first,
        [AcdVerdict::Won { join: join(1), offer: OfferId(2) }, AcdVerdict::Revoke { join: join(1), offer: OfferId(1) }]
    );
    let stale = world.acd.stale();
    assert_eq!(world.outcome(1, 1, OfferOutcome::Answered), []);
    assert_eq!(world.acd.stale(), stale + 1);
    assert_eq!(world.state("a"), "ready");
}

#[test]
fn rang_out_goes_not_ready_and_returns_by_himself_after_thirty_seconds() {
    let mut world = World::main(rule(), 2);
    world.join(1);
    world.outcome(1, 1, OfferOutcome::Ringing);
    assert_eq!(world.state("a"), "ringing");
    assert_eq!(offered(&world.outcome(1, 1, OfferOutcome::NoAnswer)), [(2, "b".to_owned())]);
    assert_eq!(world.state("a"), "not_ready");
    world.request(1, QueueRequest::Leave(join(1)));
    world.pass(29 * S);
    assert_eq!(world.state("a"), "not_ready");
    world.pass(S);
    assert_eq!(world.state("a"), "ready");
}

#[test]
fn the_last_ready_agent_stays_ready_and_an_alarm_stands_until_he_answers() {
    let mut world = World::main(rule(), 1);
    world.join(1);
    world.outcome(1, 1, OfferOutcome::NoAnswer);
    assert_eq!(world.state("a"), "ready");
    assert!(matches!(world.alarms().as_slice(), [(_, AlarmState::Raised)]));
    assert_eq!(offered(&world.pass(5 * S)), [(2, "a".to_owned())]);
    world.outcome(1, 2, OfferOutcome::Answered);
    assert!(matches!(world.alarms().as_slice(), [(_, AlarmState::Cleared)]));
}

#[test]
fn the_alarm_of_a_kept_agent_clears_when_another_comes() {
    let mut world = World::main(rule(), 2);
    world.desk("b", not_ready("rest"));
    world.join(1);
    world.outcome(1, 1, OfferOutcome::NoAnswer);
    assert_eq!(world.alarms().len(), 1);
    world.desk("b", DeskState::Ready);
    assert!(matches!(world.alarms().as_slice(), [(_, AlarmState::Cleared)]));
}

#[test]
fn the_number_of_unanswered_offers_is_a_setting() {
    let mut world = World::main(QueueRule { ring_no_answer: 2, ..rule() }, 2);
    world.join(1);
    world.outcome(1, 1, OfferOutcome::NoAnswer);
    assert_eq!(world.state("a"), "ready");
    world.request(1, QueueRequest::Leave(join(1)));
    world.pass(6 * S);
    world.join(2);
    world.outcome(2, 3, OfferOutcome::NoAnswer);
    assert_eq!(world.state("a"), "not_ready");
}

#[test]
fn no_response_is_unreachable_until_the_next_sign_of_life() {
    let mut world = World::main(rule(), 2);
    world.join(1);
    assert_eq!(offered(&world.outcome(1, 1, OfferOutcome::Unreachable)), [(2, "b".to_owned())]);
    assert_eq!(world.state("a"), "unreachable");
    world.give(AcdInput::Reachable(AgentId::new("a"), true));
    assert_eq!(world.state("a"), "ready");
    world.outcome(1, 2, OfferOutcome::Unreachable);
    world.request(1, QueueRequest::Leave(join(1)));
    world.pass(29 * S);
    assert_eq!(world.state("b"), "unreachable");
    world.pass(S);
    assert_eq!(world.state("b"), "ready");
}

#[test]
fn refused_is_not_the_same_wait_again_at_once() {
    let mut world = World::main(rule(), 1);
    world.join(1);
    assert_eq!(offered(&world.outcome(1, 1, OfferOutcome::Rejected)), []);
    world.join(2);
    assert_eq!(world.acd.explain(join(2)), [(AgentId::new("a"), Some(SkipReason::BackOff))]);
    assert_eq!(joins_offered(&world.pass(5 * S)), [join(2)]);
    world.request(2, QueueRequest::Leave(join(2)));
    assert_eq!(world.acd.explain(join(1)), [(AgentId::new("a"), Some(SkipReason::RefusedThis))]);
    assert_eq!(joins_offered(&world.pass(15 * S)), [join(1)]);
}

#[test]
fn wrap_up_follows_the_talk_and_ends_early_or_is_extended_once() {
    let mut world = World::main(rule(), 1);
    world.join(1);
    world.talk("a", 1, 1, 60 * S);
    assert_eq!(world.state("a"), "wrap_up");
    world.join(2);
    world.give(AcdInput::Desk(AgentId::new("a"), DeskCommand::ExtendWrapUp));
    world.give(AcdInput::Desk(AgentId::new("a"), DeskCommand::ExtendWrapUp));
    assert_eq!(offered(&world.pass(19 * S)), []);
    assert_eq!(joins_offered(&world.pass(S)), [join(2)]);
    world.talk("a", 2, 2, 60 * S);
    world.join(3);
    let ended = world.give(AcdInput::Desk(AgentId::new("a"), DeskCommand::EndWrapUp));
    assert_eq!(joins_offered(&ended), [join(3)]);
}

#[test]
fn wrap_up_of_zero_and_of_the_agent_himself() {
    let mut world = World::main(QueueRule { wrap_up: Duration::ZERO, ..rule() }, 1);
    world.join(1);
    world.talk("a", 1, 1, 9 * S);
    assert_eq!(world.state("a"), "ready");
    let entry = AgentEntry { wrap_up: Some(3 * S), ..agent(&["main"]) };
    let mut world = World::new(&[("main", rule())], &[("a", entry)]);
    world.join(1);
    world.talk("a", 1, 1, 9 * S);
    world.pass(3 * S);
    assert_eq!(world.state("a"), "ready");
}

#[test]
fn wrap_up_is_not_lost_after_a_transfer_and_not_given_for_an_unanswered_offer() {
    let mut world = World::main(QueueRule { wrap_up: 40 * S, ..rule() }, 2);
    world.join(1);
    world.outcome(1, 1, OfferOutcome::Answered);
    world.line("a", 1, LineState::Talking, LineCause::Queue);
    let consult = JoinId { nth: 1, ..join(1) };
    let reserved = world.request(1, QueueRequest::Reserve(consult, AgentId::new("b")));
    assert!(matches!(reserved.as_slice(), [AcdVerdict::Reserved { .. }]));
    let second = MediaLeg { leg: LegId(2), ..leg(1) };
    let mut line = |state, cause| {
        let agent = AgentId::new("b");
        world.request(1, QueueRequest::Line { agent, leg: second, state, cause })
    };
    line(LineState::Ringing, LineCause::Own);
    line(LineState::Talking, LineCause::Own);
    world.outcome(1, 2, OfferOutcome::Answered);
    world.line("a", 1, LineState::Idle, LineCause::Queue);
    assert_eq!(world.state("a"), "wrap_up");
    let mut line = |state, cause| {
        let agent = AgentId::new("b");
        world.request(1, QueueRequest::Line { agent, leg: second, state, cause })
    };
    line(LineState::Talking, LineCause::Queue);
    line(LineState::Idle, LineCause::Queue);
    assert_eq!(world.state("b"), "wrap_up");
    world.pass(39 * S);
    assert_eq!(world.state("b"), "wrap_up");
    world.pass(S);
    assert_eq!((world.state("a"), world.state("b")), ("ready", "ready"));
    world.give(AcdInput::CallGone(join(1).call));
    world.join(2);
    world.line("a", 2, LineState::Ringing, LineCause::Queue);
    world.outcome(2, 3, OfferOutcome::NoAnswer);
    world.line("a", 2, LineState::Idle, LineCause::Queue);
    assert_eq!(world.state("a"), "not_ready");
}

#[test]
fn an_agent_whose_call_dies_with_its_task_is_not_stuck() {
    let mut world = World::main(rule(), 1);
    world.join(1);
    world.outcome(1, 1, OfferOutcome::Answered);
    world.line("a", 1, LineState::Talking, LineCause::Queue);
    world.give(AcdInput::CallGone(join(1).call));
    assert_eq!(world.state("a"), "wrap_up");
    world.pass(10 * S);
    world.join(2);
    assert_eq!(world.state("a"), "reserved");
    world.give(AcdInput::CallGone(join(2).call));
    assert_eq!(world.state("a"), "ready");
    assert!(world.acd.is_quiet());
}

#[test]
fn a_confirmed_answer_without_any_line_is_given_up() {
    let mut world = World::main(rule(), 1);
    world.join(1);
    world.outcome(1, 1, OfferOutcome::Answered);
    assert_eq!(world.state("a"), "talking");
    world.pass(10 * S);
    assert_eq!(world.state("a"), "ready");
}

#[test]
fn an_offer_nobody_speaks_about_ends_by_itself() {
    let mut world = World::main(rule(), 2);
    world.join(1);
    let verdicts = world.pass(25 * S);
    assert!(verdicts.contains(&AcdVerdict::Revoke { join: join(1), offer: OfferId(1) }));
    assert_eq!(world.state("a"), "unreachable");
    world.outcome(1, 2, OfferOutcome::Ringing);
    world.give(AcdInput::Reachable(AgentId::new("a"), true));
    world.pass(25 * S);
    assert_eq!(world.state("b"), "not_ready");
}

#[test]
fn an_agent_who_goes_while_rung_loses_the_offer_and_the_caller_keeps_his_place() {
    let mut world = World::main(rule(), 1);
    world.join(1);
    world.join(2);
    let revoke = AcdVerdict::Revoke { join: join(1), offer: OfferId(1) };
    assert!(world.desk("a", not_ready("rest")).contains(&revoke));
    assert_eq!(joins_offered(&world.desk("a", DeskState::Ready)), [join(1)]);
    let revoke = AcdVerdict::Revoke { join: join(1), offer: OfferId(2) };
    assert!(world.give(AcdInput::Reachable(AgentId::new("a"), false)).contains(&revoke));
    assert_eq!(joins_offered(&world.give(AcdInput::Reachable(AgentId::new("a"), true))), [join(1)]);
    let revoke = AcdVerdict::Revoke { join: join(1), offer: OfferId(3) };
    assert!(world.line("a", 77, LineState::Ringing, LineCause::Own).contains(&revoke));
}

#[test]
fn an_answer_that_did_not_win_brings_no_wrap_up() {
    let mut world = World::main(QueueRule { strategy: Strategy::RingAll { cap: 2 }, ..rule() }, 2);
    world.join(1);
    let second = MediaLeg { leg: LegId(2), ..leg(1) };
    let line = |world: &mut World, agent: &str, leg, state| {
        let (agent, cause) = (AgentId::new(agent), LineCause::Queue);
        world.request(1, QueueRequest::Line { agent, leg, state, cause })
    };
    for state in [LineState::Ringing, LineState::Talking] {
        line(&mut world, "a", leg(1), state);
        line(&mut world, "b", second, state);
    }
    world.outcome(1, 1, OfferOutcome::Answered);
    world.outcome(1, 2, OfferOutcome::Answered);
    line(&mut world, "b", second, LineState::Talking);
    line(&mut world, "b", second, LineState::Idle);
    assert_eq!((world.state("a"), world.state("b")), ("talking", "ready"));
    line(&mut world, "a", leg(1), LineState::Idle);
    assert_eq!(world.state("a"), "wrap_up");
}

#[test]
fn an_offer_the_call_withdraws_is_not_tossed_back_at_once() {
    let mut world = World::main(rule(), 2);
    world.join(1);
    assert_eq!(offered(&world.outcome(1, 1, OfferOutcome::Withdrawn)), []);
    assert_eq!(world.state("a"), "ready");
    assert_eq!(offered(&world.pass(S)), [(2, "a".to_owned())]);
}
