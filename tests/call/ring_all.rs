//! Two phones that answer by themselves under one call: one bridge, whatever the order of packets.

use std::time::Duration;

use switch12345::event::call::Happening;

use crate::sim::phone::Manner;
use crate::sim::world::World;

#[test]
fn two_auto_answering_agents_get_one_caller_once_in_two_thousand_runs() {
    let (mut first, mut second) = (0, 0);
    for seed in 1..=2_000 {
        let mut world = World::new(seed);
        let quick = |world: &mut World| world.random() % 30;
        let (one, other) = (quick(&mut world), quick(&mut world));
        world.phone("1001", 7_201, Manner::answers(one));
        world.phone("1002", 7_202, Manner::answers(other));
        world.dial("12302");
        world.run_for(Duration::from_secs(3));
        let talking = ["1001", "1002"].map(|name| world.phones[name].talks());
        assert!(talking[0] ^ talking[1], "seed {seed}: {talking:?}\n{}", world.story());
        first += u32::from(talking[0]);
        second += u32::from(talking[1]);
        world.hang_up("caller");
        world.finish();
        world.assert_clean();
        let bridged = world.count(|what| matches!(what, Happening::Answered { .. }));
        assert_eq!(bridged, 1, "seed {seed}\n{}", world.story());
    }
    assert!(first > 100 && second > 100, "both win sometimes: {first} and {second}");
}
