//! A whole hand-over and a whole three-way call, with every party leaving before and after every delivery.

use std::time::Duration;

use switch12345::call::legs::CALLER;
use switch12345::call::words::OperatorCommand;
use switch12345::event::call::Happening;
use switch12345::event::reason::EndedBy;

use crate::sim::phone::Manner;
use crate::sim::world::World;

const SPAN: Duration = Duration::from_secs(5);

/// A talk in which the key for 120 has just been pressed; the first route refuses, the second answers.
fn pressed(seed: u64) -> World {
    let mut world = World::new(seed);
    world.phone("1001", 7_201, Manner::answers(300));
    world.phone("desk1", 7_101, Manner::refuses(503));
    world.phone("desk2", 7_102, Manner::answers(700));
    world.dial("12301");
    assert!(world.until(Duration::from_secs(5), |world| world.phase() == Some("talking")), "{}", world.story());
    world.run_for(Duration::from_secs(1));
    world.operate(OperatorCommand::Emergency { line: "120".into(), by: None });
    world
}

fn deliveries(mut world: World) -> std::ops::RangeInclusive<usize> {
    let first = world.delivered + 1;
    world.run_for(SPAN);
    first..=world.delivered
}

#[test]
fn nobody_but_the_caller_ends_a_hand_over_at_any_delivery() {
    for (party, dies) in [("caller", false), ("1001", false), ("1001", true), ("desk2", false), ("desk1", false)] {
        for (at, after) in deliveries(pressed(11)).flat_map(|at| [(at, false), (at, true)]) {
            let mut world = pressed(11);
            world.hook =
                Some((at, after, Box::new(move |world| if dies { world.kill(party) } else { world.hang_up(party) })));
            world.run_for(SPAN);
            world.run_for(Duration::from_secs(40));
            let story = |world: &World| format!("{party} {at} {after} {dies}\n{}", world.story());
            let by_caller = world.count(|what| matches!(what, Happening::Ended { by: EndedBy::Caller, .. }));
            let ended = world.count(|what| matches!(what, Happening::Ended { .. }));
            if party == "caller" {
                assert_eq!(ended, by_caller, "{}", story(&world));
            } else {
                assert_eq!(ended, 0, "{}", story(&world));
                assert!(world.phones["caller"].talks() && world.media.is_audible(CALLER), "{}", story(&world));
            }
            world.finish();
            world.assert_clean();
        }
    }
}

#[test]
fn a_lossy_network_delays_a_hand_over_but_does_not_undo_it() {
    for seed in 1..=60 {
        let mut world = pressed(seed);
        world.loss = 20;
        world.hang_up("1001");
        world.run_for(Duration::from_secs(60));
        let ended = world.count(|what| matches!(what, Happening::Ended { .. }));
        assert_eq!(ended, 0, "seed {seed}\n{}", world.story());
        world.loss = 0;
        assert!(world.until(Duration::from_secs(60), |world| world.phones["desk2"].talks()), "{}", world.story());
        world.hang_up("caller");
        world.finish();
        world.assert_clean();
    }
}

#[test]
fn a_three_way_call_ends_clean_whoever_leaves_at_any_delivery() {
    let asked = || {
        let mut world = World::new(12);
        world.phone("1001", 7_201, Manner::answers(300));
        world.phone("1002", 7_202, Manner::answers(300));
        world.phone("seats", 7_103, Manner::answers(600));
        world.dial("12301");
        world.until(Duration::from_secs(5), |world| world.phase() == Some("talking"));
        world.run_for(Duration::from_secs(1));
        world.key("1001", "*33");
        world
    };
    for party in ["caller", "1001", "seats"] {
        for (at, after) in deliveries(asked()).flat_map(|at| [(at, false), (at, true)]) {
            let mut world = asked();
            world.hook = Some((at, after, Box::new(move |world| world.hang_up(party))));
            world.run_for(SPAN);
            world.finish();
            world.assert_clean();
        }
    }
}
