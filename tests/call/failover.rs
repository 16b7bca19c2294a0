//! A trunk with several far ends: the call lands on the one that lives, and the caller notices nothing of the others.

use std::time::Duration;

use switch12345::base::now::Mono;
use switch12345::call::words::{CallInput, FarNews};
use switch12345::event::call::{Happening, LegRole};

use crate::sim::phone::Manner;
use crate::sim::world::World;

const DEAD: u16 = 7_105;
const MUTE: u16 = 7_106;

/// A call to a sub-centre whose trunk has three far ends; `before` are the first two.
fn world(seed: u64, before: [Option<Manner>; 2]) -> World {
    let mut world = World::new(seed);
    for ((name, port), manner) in [("dead", DEAD), ("mute", MUTE)].into_iter().zip(before) {
        world.phone(name, port, manner.unwrap_or(Manner::RINGS));
        if manner.is_none() {
            world.kill(name);
        }
    }
    world.phone("seats", 7_103, Manner::answers(300).hanging_up_after(5_000));
    world.trunks.insert("seats", vec!["dead", "mute", "seats"]);
    world
}

fn news(world: &World, port: u16) -> Vec<FarNews> {
    world.far.iter().filter(|(_, far, _)| far.remote.port() == port).map(|(_, _, news)| *news).collect()
}

fn ringing_answers(world: &World) -> usize {
    world.story().lines().filter(|line| line.contains("engine > 7000 SIP/2.0 180")).count()
}

fn rung_at(world: &World) -> Duration {
    let rung = |name: &&str| world.phones[*name].lines.iter().any(|line| !line.heard.is_empty());
    assert!(rung(&"seats"), "{}", world.story());
    world.now.mono.since(Mono(1_000_000_000))
}

#[test]
fn dead_mute_and_good_the_call_lands_on_the_good_one_in_less_than_4_s() {
    for seed in 0..40 {
        let mut world = world(seed, [None, None]);
        world.dial("12366");
        let reached = world.until(Duration::from_secs(10), |world| !world.phones["seats"].lines.is_empty());
        assert!(reached, "seed {seed}\n{}", world.story());
        let after = world.now.mono.since(Mono(1_000_000_000));
        assert!(after < Duration::from_secs(3), "seed {seed}: rung after {after:?}");
        world.until(Duration::from_secs(10), |world| world.phase() == Some("talking"));
        assert!(rung_at(&world) < Duration::from_secs(4), "seed {seed}\n{}", world.story());
        world.finish();
        world.assert_clean();
        assert!(ringing_answers(&world) <= 1, "seed {seed}\n{}", world.story());
        assert_eq!(news(&world, DEAD).last_chunk(), Some(&[FarNews::Lost, FarNews::Over]));
        assert_eq!(news(&world, MUTE), [FarNews::Begun(None), FarNews::Lost, FarNews::Over]);
        assert_eq!(news(&world, 7_103), [FarNews::Begun(None), FarNews::Alive, FarNews::Over]);
    }
}

#[test]
fn a_refusal_that_concerns_the_host_goes_on_and_one_that_concerns_the_callee_does_not() {
    for (status, goes_on, sign) in [
        (503, true, FarNews::Lost),
        (408, true, FarNews::Lost),
        (500, true, FarNews::Alive),
        (486, false, FarNews::Alive),
        (404, false, FarNews::Alive),
        (603, false, FarNews::Alive),
    ] {
        let refuses = Manner { ring_after: None, ..Manner::refuses(status) };
        let mut world = world(3, [Some(refuses), Some(refuses)]);
        world.dial("12366");
        let talked = world.until(Duration::from_secs(5), |world| !world.phones["seats"].lines.is_empty());
        assert_eq!(talked, goes_on, "{status}\n{}", world.story());
        assert!(news(&world, DEAD).contains(&sign), "{status}\n{}", world.story());
        world.finish();
        world.assert_clean();
        assert!(ringing_answers(&world) <= 1, "{status}\n{}", world.story());
    }
}

/// A direct emergency call, where the caller hears the desk's own ringing.
fn emergency(seed: u64, before: [Option<Manner>; 2]) -> World {
    let mut world = world(seed, before);
    world.phone("desk1", 7_101, Manner::answers(400).hanging_up_after(5_000));
    world.trunks.insert("desk-first", vec!["dead", "mute", "desk1"]);
    world.dial("120");
    let talked = world.until(Duration::from_secs(4), |world| world.phase() == Some("talking"));
    assert!(talked && world.phones["desk1"].talks(), "seed {seed}\n{}", world.story());
    assert_eq!(ringing_answers(&world), 1, "seed {seed}\n{}", world.story());
    world
}

#[test]
fn the_caller_hears_one_ringing_however_many_far_ends_were_tried() {
    let rings_then_fails = Some(Manner::refuses(503));
    for (seed, before) in [[None, None], [rings_then_fails, None], [rings_then_fails; 2]].into_iter().enumerate() {
        let mut world = emergency(seed as u64, before);
        world.finish();
        world.assert_clean();
    }
}

#[test]
fn a_closed_connection_sends_the_call_on_at_once() {
    let mut world = world(6, [None, None]);
    world.dial("12366");
    world.until(Duration::from_secs(2), |world| !news(world, DEAD).is_empty());
    world.run_for(Duration::from_millis(100));
    let dead = world.flow("dead").id;
    world.tell_call(CallInput::TransportDown(dead));
    assert_eq!(news(&world, DEAD).last_chunk(), Some(&[FarNews::Lost, FarNews::Over]), "{}", world.story());
    assert_eq!(news(&world, MUTE), [FarNews::Begun(None)], "{}", world.story());
    world.finish();
    world.assert_clean();
}

#[test]
fn a_late_answer_of_one_given_up_is_acknowledged_and_hung_up() {
    for answer_ms in (1_100..1_600).step_by(10) {
        let late = Manner { ring_after: None, ..Manner::answers(answer_ms) };
        let mut world = world(answer_ms, [Some(late), None]);
        world.dial("12366");
        world.until(Duration::from_secs(10), |world| world.phase() == Some("talking"));
        world.run_for(Duration::from_secs(2));
        let talks = ["dead", "seats"].iter().filter(|name| world.phones[**name].talks()).count();
        assert_eq!(talks, 1, "at {answer_ms}\n{}", world.story());
        world.hang_up("caller");
        world.finish();
        world.assert_clean();
        let begun = |what: &Happening| matches!(what, Happening::LegStarted { role: LegRole::SubCentre, .. });
        assert!(world.count(begun) <= 3);
    }
}

#[test]
fn the_last_far_end_and_an_agents_phone_keep_their_longer_patience() {
    let mut world = world(8, [None, None]);
    world.kill("seats");
    world.dial("12366");
    world.until(Duration::from_secs(30), |world| news(world, 7_103).contains(&FarNews::Lost));
    let after = world.now.mono.since(Mono(1_000_000_000));
    assert!(after > Duration::from_millis(6_400) && after < Duration::from_secs(7), "{after:?}\n{}", world.story());
}

#[test]
fn every_leg_over_a_trunk_is_told_to_begin_and_to_end_once() {
    let mut world = World::new(9);
    world.phone("1001", 7_201, Manner::answers(300));
    world.phone("desk1", 7_101, Manner::refuses(503));
    world.phone("desk2", 7_102, Manner::answers(500).hanging_up_after(3_000));
    world.dial("120");
    world.until(Duration::from_secs(10), |world| world.phase() == Some("talking"));
    world.finish();
    world.assert_clean();
    let count = |wanted: fn(&FarNews) -> bool| world.far.iter().filter(|(_, _, news)| wanted(news)).count();
    let begun = count(|news| matches!(news, FarNews::Begun(_)));
    assert!(begun >= 2, "{}", world.story());
    assert_eq!(begun, count(|news| *news == FarNews::Over));
    assert_eq!(count(|news| matches!(news, FarNews::Begun(None))), 0, "each desk is a question of its own");
}
