//! One call from the INVITE to the last BYE.

use std::time::Duration;

use switch12345::event::call::Happening;

use crate::sim::phone::Manner;
use crate::sim::world::World;

#[test]
fn a_caller_is_greeted_rung_through_bridged_and_hung_up() {
    let mut world = World::new(1);
    world.phone("1001", 7_201, Manner::answers(500).hanging_up_after(5_000));
    world.dial("12369");
    let bridged = world.until(Duration::from_secs(20), |world| world.phase() == Some("talking"));
    assert!(bridged, "{}", world.story());
    world.finish();
    world.assert_clean();
    let left = world.call.as_ref().map(|call| (call.legs().count(), call.control().legs().is_empty()));
    assert_eq!(left, Some((0, true)), "confirmed dialogs are removed");
    assert_eq!(world.count(|what| matches!(what, Happening::Answered { .. })), 1, "{}", world.story());
}
