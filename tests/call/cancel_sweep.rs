//! Every party hangs up, cancels or refuses before and after every delivery of whole calls.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::sim::phone::Manner;
use crate::sim::world::World;

/// A call up to its talk, with everybody it may meet.
fn world(dialled: &str, seed: u64) -> World {
    let mut world = World::new(seed);
    world.phone("1001", 7_201, Manner::answers(500).hanging_up_after(6_000));
    world.phone("1002", 7_202, Manner::answers(700).hanging_up_after(6_000));
    world.phone("seats", 7_103, Manner::answers(600).hanging_up_after(6_000));
    world.phone("desk1", 7_101, Manner::answers(600).hanging_up_after(6_000));
    world.phone("desk2", 7_102, Manner::answers(600).hanging_up_after(6_000));
    world.dial(dialled);
    world
}

/// Places the hang-up of every party at every instant; the phases hit.
fn sweep(dialled: &str, parties: &[&'static str], seed: u64) -> BTreeSet<&'static str> {
    let mut dry = world(dialled, seed);
    dry.until(Duration::from_secs(30), |world| world.phase() == Some("ending"));
    let deliveries = dry.delivered;
    assert!(deliveries > 10, "{}", dry.story());
    let mut hits = BTreeSet::new();
    for party in parties {
        for at in 1..=deliveries {
            for after in [false, true] {
                let mut world = world(dialled, seed);
                let name = *party;
                world.hook = Some((at, after, Box::new(move |world| world.hang_up(name))));
                world.finish();
                assert!(world.hook.is_none(), "{party} at {at} was never reached");
                hits.extend(world.hit);
                world.assert_clean();
            }
        }
    }
    hits
}

#[test]
fn a_greeted_call_ends_clean_whoever_hangs_up_whenever() {
    let hits = sweep("12369", &["caller", "1001"], 3);
    assert!(["queueing", "won", "talking"].iter().all(|phase| hits.contains(phase)), "{hits:?}");
}

#[test]
fn a_call_without_greeting_ends_clean_whoever_hangs_up_whenever() {
    let hits = sweep("12301", &["caller", "1001"], 4);
    assert!(["queueing", "talking"].iter().all(|phase| hits.contains(phase)), "{hits:?}");
}

#[test]
fn a_sub_centres_call_ends_clean_whoever_hangs_up_whenever() {
    let hits = sweep("12366", &["caller", "seats"], 5);
    assert!(["dialling", "talking"].iter().all(|phase| hits.contains(phase)), "{hits:?}");
}

#[test]
fn a_direct_emergency_call_ends_clean_whoever_hangs_up_whenever() {
    let hits = sweep("120", &["caller", "desk1"], 6);
    assert!(["dialling", "talking"].iter().all(|phase| hits.contains(phase)), "{hits:?}");
}
