//! Reliable provisional answers on one side of a call, on the other, on both and on neither: each leg runs its own.

use std::time::Duration;

use switch12345::event::call::Happening;
use switch12345::plan::trunk::Reliable;

use crate::sim::phone::Manner;
use crate::sim::world::World;

const ALL: [Reliable; 3] = [Reliable::Off, Reliable::Offered, Reliable::Required];

fn called(caller: Reliable, agent: Reliable, seed: u64, number: &str) -> World {
    let mut world = World::new(seed);
    world.phone("1001", 7_201, Manner::answers(500).hanging_up_after(5_000));
    world.with_phone("caller", |phone, _, _| phone.reliable = caller);
    world.with_phone("1001", |phone, _, _| phone.reliable = agent);
    world.dial(number);
    world
}

#[test]
fn a_call_is_made_whichever_side_makes_its_provisional_answers_reliable() {
    for caller in ALL {
        for agent in ALL {
            let mut world = called(caller, agent, 1, "12369");
            let bridged = world.until(Duration::from_secs(20), |world| world.phase() == Some("talking"));
            assert!(bridged, "{caller:?} {agent:?}: {}", world.story());
            world.finish();
            world.assert_clean();
            let answered = world.count(|what| matches!(what, Happening::Answered { .. }));
            assert_eq!(answered, 1, "{caller:?} {agent:?}: {}", world.story());
        }
    }
}
