//! Order, skills, bounds, reloads and views; the offers' rules are beside [`super::World`].

use std::collections::BTreeMap;
use std::time::Duration;

use super::S;
use super::{
    World, agent, directory, join, joins_offered, need, not_ready, offered, overflowed, queue_id, rule, skilled,
};
use crate::acd::AcdEffect;
use crate::acd::agent::SkipReason;
use crate::acd::directory::{AgentEntry, NoAgentPolicy, QueueRule, Strategy};
use crate::acd::words::{AcdInput, AcdVerdict, DeskState, LineCause, LineState, OfferOutcome, QueueRequest, Wants};
use crate::base::id::{AgentId, OfferId};
use crate::event::call::OverflowCause;

#[test]
fn nobody_waits_behind_a_lower_rank_and_age_beats_priority_in_time() {
    let mut world = World::main(rule(), 0);
    let early = world.wants("main");
    world.join_with(1, early);
    world.pass(59 * S);
    let urgent = Wants { priority: 1, ..world.wants("main") };
    world.join_with(2, urgent);
    world.pass(2 * S);
    let late = Wants { priority: 1, ..world.wants("main") };
    world.join_with(3, late);
    let back = Wants { head: true, ..world.wants("main") };
    world.join_with(4, back);
    assert_eq!(world.acd.waiting(&queue_id("main")), [join(4), join(2), join(1), join(3)]);
}

#[test]
fn one_global_order_over_all_queues_an_agent_serves() {
    let queues = [("main", rule()), ("law", rule())];
    let mut world = World::new(&queues, &[("a", agent(&["main", "law"]))]);
    world.desk("a", not_ready("rest"));
    for (n, queue) in [(1, "law"), (2, "main"), (3, "law")] {
        let wants = world.wants(queue);
        world.join_with(n, wants);
        world.pass(S);
    }
    assert_eq!(joins_offered(&world.desk("a", DeskState::Ready)), [join(1)]);
    for (n, next) in [(1, 2), (2, 3)] {
        assert_eq!(joins_offered(&world.request(n, QueueRequest::Leave(join(n)))), [join(next)]);
    }
}

#[test]
fn required_skills_bind_and_preferred_ones_order() {
    let agents = [
        ("a", skilled(&["main"], &[("tax", 3)])),
        ("b", skilled(&["main"], &[("tax", 7)])),
        ("c", skilled(&["main"], &[("mongolian", 10)])),
    ];
    let mut world = World::new(&[("main", rule())], &agents);
    let wants = Wants { needs: vec![need("tax", 5, true)], ..world.wants("main") };
    assert_eq!(offered(&world.join_with(1, wants)), [(1, "b".to_owned())]);
    let wants = Wants { needs: vec![need("mongolian", 5, false)], ..world.wants("main") };
    assert_eq!(offered(&world.join_with(2, wants)), [(2, "c".to_owned())]);
    let wants = Wants { needs: vec![need("welding", 1, true)], ..world.wants("main") };
    assert_eq!(offered(&world.join_with(3, wants)), []);
    let reasons: BTreeMap<_, _> = world.acd.explain(join(3)).into_iter().collect();
    assert_eq!(reasons.get(&AgentId::new("a")), Some(&Some(SkipReason::Skill)));
    assert_eq!(reasons.get(&AgentId::new("b")), Some(&Some(SkipReason::Reserved)));
}

#[test]
fn required_skills_relax_after_their_time() {
    let queue = QueueRule { skill_relax: Some(30 * S), ..rule() };
    let mut world = World::new(&[("main", queue)], &[("a", agent(&["main"]))]);
    let wants = Wants { needs: vec![need("tax", 5, true)], ..world.wants("main") };
    assert_eq!(offered(&world.join_with(1, wants)), []);
    assert_eq!(offered(&world.pass(29 * S)), []);
    assert_eq!(joins_offered(&world.pass(S)), [join(1)]);
}

#[test]
fn strategies_choose_as_their_names_say() {
    let choose = |strategy, agents: &[(&str, AgentEntry)]| {
        let mut world = World::new(&[("main", QueueRule { strategy, wrap_up: S, ..rule() })], agents);
        world.join(1);
        world.talk("a", 1, 1, 5 * S);
        world.pass(2 * S);
        world.join(2);
        world.talk("b", 2, 2, 900 * S);
        world.pass(2 * S);
        let wants = Wants { needs: vec![need("tax", 1, false)], ..world.wants("main") };
        offered(&world.join_with(3, wants))
    };
    let plain = [("a", skilled(&["main"], &[("tax", 5)])), ("b", skilled(&["main"], &[("tax", 8)]))];
    assert_eq!(choose(Strategy::LongestIdle, &plain), [(3, "a".to_owned())]);
    assert_eq!(choose(Strategy::RoundRobin, &plain), [(3, "a".to_owned())]);
    assert_eq!(choose(Strategy::FewestCalls, &plain), [(3, "a".to_owned())]);
}

#[test]
fn best_skill_and_fixed_order() {
    let agents = [("a", skilled(&["main"], &[("tax", 5)])), ("b", skilled(&["main"], &[("tax", 8)]))];
    let queue = QueueRule { strategy: Strategy::BestSkill, ..rule() };
    let mut world = World::new(&[("main", queue)], &agents);
    let wants = Wants { needs: vec![need("tax", 1, true)], ..world.wants("main") };
    assert_eq!(offered(&world.join_with(1, wants)), [(1, "b".to_owned())]);
    let mut world = World::main(QueueRule { strategy: Strategy::Ordered, wrap_up: Duration::ZERO, ..rule() }, 2);
    world.join(1);
    world.talk("a", 1, 1, 5 * S);
    assert_eq!(offered(&world.join(2)), [(2, "a".to_owned())]);
}

#[test]
fn a_full_queue_turns_away_but_not_one_who_comes_back() {
    let mut world = World::main(QueueRule { size: 2, ..rule() }, 0);
    world.join(1);
    world.join(2);
    assert_eq!(overflowed(&world.join(3)), [(join(3), OverflowCause::Full)]);
    let wants = Wants { head: true, ..world.wants("main") };
    assert!(matches!(world.join_with(4, wants).as_slice(), [AcdVerdict::Queued(..)]));
}

#[test]
fn the_longest_wait_ends_once_and_never_under_a_ringing_phone() {
    let mut world = World::main(QueueRule { max_wait: Some(30 * S), ..rule() }, 1);
    world.join(1);
    world.join(2);
    world.pass(15 * S);
    world.outcome(1, 1, OfferOutcome::Ringing);
    world.request(1, QueueRequest::Leave(join(1)));
    assert_eq!(overflowed(&world.pass(19 * S)), []);
    assert_eq!(overflowed(&world.outcome(2, 2, OfferOutcome::Rejected)), [(join(2), OverflowCause::MaxWait)]);
    assert_eq!(overflowed(&world.pass(60 * S)), []);
}

#[test]
fn without_agents_the_policy_decides() {
    let join_policy = |no_agent| World::main(QueueRule { no_agent, ..rule() }, 1);
    let mut world = join_policy(NoAgentPolicy::Join);
    world.desk("a", DeskState::SignedOut);
    assert_eq!(overflowed(&world.join(1)), []);
    let mut world = join_policy(NoAgentPolicy::Stay);
    world.desk("a", not_ready("rest"));
    world.join(1);
    assert_eq!(overflowed(&world.desk("a", DeskState::SignedOut)), []);
    assert_eq!(overflowed(&world.join(2)), [(join(2), OverflowCause::NoAgent)]);
    let mut world = join_policy(NoAgentPolicy::Leave);
    world.desk("a", not_ready("rest"));
    world.join(1);
    assert_eq!(overflowed(&world.desk("a", DeskState::SignedOut)), [(join(1), OverflowCause::NoAgent)]);
}

#[test]
fn an_agent_asked_for_by_name_is_held_for_one_call() {
    let mut world = World::main(rule(), 1);
    let reserve = QueueRequest::Reserve(join(1), AgentId::new("a"));
    assert!(matches!(world.request(1, reserve).as_slice(), [AcdVerdict::Reserved { .. }]));
    let reserve = QueueRequest::Reserve(join(2), AgentId::new("a"));
    assert!(matches!(world.request(2, reserve).as_slice(), [AcdVerdict::Unavailable(..)]));
    world.outcome(1, 1, OfferOutcome::Rejected);
    assert_eq!(world.state("a"), "ready");
    assert!(world.acd.offers.is_empty() && world.acd.direct.is_empty());
}

#[test]
fn avoided_agents_and_other_places_are_left_out() {
    let mut world = World::main(rule(), 2);
    let wants = Wants { avoid: vec![AgentId::new("a")], ..world.wants("main") };
    assert_eq!(offered(&world.join_with(1, wants)), [(1, "b".to_owned())]);
    let explained: BTreeMap<_, _> = world.acd.explain(join(1)).into_iter().collect();
    assert_eq!(explained.get(&AgentId::new("a")), Some(&Some(SkipReason::Avoided)));
}

#[test]
fn seats_that_take_no_calls_are_never_offered_one() {
    let entry = AgentEntry { takes_calls: false, ..agent(&["main"]) };
    let mut world = World::new(&[("main", rule())], &[("a", entry)]);
    assert_eq!(offered(&world.join(1)), []);
}

#[test]
fn a_reload_resets_neither_agents_nor_waiters() {
    let mut world = World::main(rule(), 2);
    world.desk("b", not_ready("lunch"));
    world.join(1);
    world.join(2);
    let joined = world.now;
    world.pass(10 * S);
    let agents = [("a", agent(&["main"])), ("b", agent(&["main"])), ("new", agent(&["main"]))];
    let mut out = Vec::new();
    world.acd.reconfigure(world.now, directory(&[("main", QueueRule { size: 9, ..rule() })], &agents), &mut out);
    assert_eq!((world.state("a"), world.state("b"), world.state("new")), ("reserved", "not_ready", "logged_out"));
    let waits = world.acd.waits.get(&join(2)).unwrap();
    assert_eq!(waits.wants.joined_at, joined.mono);
    assert!(matches!(world.outcome(1, 1, OfferOutcome::Answered).as_slice(), [AcdVerdict::Won { .. }]));
}

#[test]
fn a_queue_removed_by_a_reload_lives_until_it_is_empty() {
    let mut world = World::new(&[("main", rule()), ("old", rule())], &[("a", agent(&["main", "old"]))]);
    world.desk("a", not_ready("rest"));
    let wants = world.wants("old");
    world.join_with(1, wants.clone());
    let mut out = Vec::new();
    world.acd.reconfigure(world.now, directory(&[("main", rule())], &[("a", agent(&["main"]))]), &mut out);
    assert_eq!(overflowed(&world.join_with(2, wants)), [(join(2), OverflowCause::Closed)]);
    assert_eq!(joins_offered(&world.desk("a", DeskState::Ready)), [join(1)]);
    world.outcome(1, 1, OfferOutcome::Answered);
    assert!(!world.acd.queues.contains_key(&queue_id("old")));
}

#[test]
fn an_agent_removed_by_a_reload_finishes_his_talk() {
    let mut world = World::main(rule(), 2);
    world.join(1);
    world.outcome(1, 1, OfferOutcome::Answered);
    world.line("a", 1, LineState::Talking, LineCause::Queue);
    world.join(2);
    let mut out = Vec::new();
    world.acd.reconfigure(world.now, directory(&[("main", rule())], &[]), &mut out);
    let revoke = AcdEffect::Verdict(join(2).call, AcdVerdict::Revoke { join: join(2), offer: OfferId(2) });
    assert!(out.contains(&revoke));
    assert_eq!(world.state("a"), "talking");
    world.line("a", 1, LineState::Idle, LineCause::Queue);
    assert!(world.acd.agents.is_empty());
}

#[test]
fn places_are_told_when_they_change_and_not_more_often_than_every_five_seconds() {
    let mut world = World::main(rule(), 1);
    (1..=3).for_each(|n| drop(world.join(n)));
    world.request(2, QueueRequest::Leave(join(2)));
    let told = world.pass(5 * S);
    assert!(matches!(told.as_slice(), [AcdVerdict::Progress(id, position)] if *id == join(3) && position.ahead == 1));
    assert_eq!(world.pass(15 * S), []);
}

#[test]
fn requests_about_anothers_wait_or_unknown_agents_are_dropped_and_counted() {
    let mut world = World::main(rule(), 1);
    world.join(1);
    let before = world.acd.stale();
    world.request(2, QueueRequest::Leave(join(1)));
    world.outcome(2, 1, OfferOutcome::Answered);
    world.join(1);
    world.give(AcdInput::Reachable(AgentId::new("nobody"), true));
    world.line("nobody", 1, LineState::Talking, LineCause::Own);
    assert_eq!(world.acd.stale(), before + 5);
    assert_eq!(world.state("a"), "reserved");
}

#[test]
fn views_count_callers_and_agents() {
    let mut world = World::main(rule(), 2);
    (1..=3).for_each(|n| drop(world.join(n)));
    world.pass(7 * S);
    let queues = world.acd.queues_view(world.now);
    assert_eq!((queues[0].waiting, queues[0].offered, queues[0].longest_wait_s), (3, 2, 7));
    assert_eq!(queues[0].agents.get("reserved"), Some(&2));
    let json = serde_json::to_value(&world.acd.agents_view()[0]).unwrap();
    assert_eq!(json["state"], "reserved");
}
