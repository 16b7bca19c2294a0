//! An emergency hand-over never drops the caller and never leaves him in silence.

use std::time::Duration;

use switch12345::base::id::LegId;
use switch12345::call::legs::{CALLER, Room};
use switch12345::call::words::OperatorCommand;
use switch12345::event::call::{AttemptResult, Happening, LegRole};
use switch12345::event::reason::{EndReason, EndedBy};

use crate::sim::phone::Manner;
use crate::sim::world::World;

/// A talk with an agent who stays; the first desk's line is dead, the second answers.
fn talk(seed: u64) -> World {
    let mut world = World::new(seed);
    world.phone("1001", 7_201, Manner::answers(300));
    world.phone("desk1", 7_101, Manner::RINGS);
    world.phone("desk2", 7_102, Manner::answers(1_500));
    world.kill("desk1");
    world.dial("12301");
    assert!(world.until(Duration::from_secs(5), |world| world.phase() == Some("talking")), "{}", world.story());
    world.run_for(Duration::from_secs(1));
    world
}

fn key_120(world: &mut World) {
    world.operate(OperatorCommand::Emergency { line: "120".into(), by: None });
}

fn with_desk(world: &World) -> bool {
    let Some(call) = &world.call else { return false };
    let members = call.control().legs().members(Room::MAIN);
    let is_desk = |leg: &LegId| call.control().legs().named(*leg).is_some_and(|leg| leg.role == LegRole::Emergency);
    members.contains(&CALLER) && members.iter().any(is_desk)
}

#[test]
fn one_key_joins_caller_agent_and_desk_and_the_agent_may_leave() {
    let mut world = talk(1);
    world.key("1001", "*20");
    assert!(world.until(Duration::from_secs(10), with_desk), "{}", world.story());
    world.run_for(Duration::from_secs(3));
    assert_eq!(world.call.as_ref().map(|call| call.control().legs().members(Room::MAIN).len()), Some(3));
    world.hang_up("1001");
    world.run_for(Duration::from_secs(2));
    assert!(with_desk(&world) && world.phones["caller"].talks(), "{}", world.story());
    world.hang_up("caller");
    world.finish();
    world.assert_clean();
    let answered = |what: &Happening| {
        matches!(what, Happening::EmergencyResult { result: AttemptResult::Answered, agent_stayed: true, .. })
    };
    assert_eq!(world.count(answered), 1);
}

#[test]
fn the_agents_phone_may_die_or_hang_up_at_any_instant() {
    for (seed, step) in (0..50).map(|step| (step + 10, step)) {
        for dies in [true, false] {
            let mut world = talk(seed);
            key_120(&mut world);
            world.run_for(Duration::from_millis(step * 120));
            if dies {
                world.kill("1001")
            } else {
                world.hang_up("1001")
            }
            let reached = world.until(Duration::from_secs(20), with_desk);
            assert!(reached, "seed {seed}, dies {dies}\n{}", world.story());
            world.run_for(Duration::from_secs(45));
            assert!(with_desk(&world) && world.phones["caller"].talks(), "seed {seed}\n{}", world.story());
            let members = world.call.as_ref().map(|call| call.control().legs().members(Room::MAIN).len());
            assert_eq!(members, Some(2), "seed {seed}\n{}", world.story());
            world.hang_up("caller");
            world.finish();
            world.assert_clean();
            assert_ended_by_caller(&world);
        }
    }
}

fn assert_ended_by_caller(world: &World) {
    let by_caller = |what: &Happening| matches!(what, Happening::Ended { by: EndedBy::Caller, .. });
    assert_eq!(world.count(by_caller), 1, "{}", world.story());
}

#[test]
fn routes_that_fail_in_any_way_are_tried_again_and_again_with_words_meanwhile() {
    for status in [503, 486, 404, 603] {
        let mut world = talk(7);
        world.phone("desk2", 7_102, Manner::refuses(status));
        key_120(&mut world);
        world.run_for(Duration::from_secs(8));
        world.hang_up("1001");
        world.run_for(Duration::from_secs(30));
        assert!(world.phones["caller"].talks(), "{status}\n{}", world.story());
        let tried = world.count(|what| matches!(what, Happening::EmergencyAttempt { result: Some(_), .. }));
        assert!(tried > 10, "{status}: {tried}\n{}", world.story());
        let spoken = |what: &Happening| matches!(what, Happening::PromptPlayed { leg: CALLER, prompt } if prompt.as_ref() == "emergency_trying");
        assert!(world.count(spoken) > 5, "{status}\n{}", world.story());
        world.phone("desk2", 7_102, Manner::answers(300));
        assert!(world.until(Duration::from_secs(15), with_desk), "{status}\n{}", world.story());
        let answered = AttemptResult::Answered;
        let booked = |what: &Happening| matches!(what, Happening::EmergencyAttempt { result: Some(result), .. } if *result == answered);
        assert_eq!(world.count(booked), 1, "{status}\n{}", world.story());
        world.hang_up("caller");
        world.finish();
        world.assert_clean();
        assert_ended_by_caller(&world);
    }
}

#[test]
fn nothing_but_the_caller_ends_a_hand_over() {
    let mut world = talk(3);
    key_120(&mut world);
    world.operate(OperatorCommand::Drain);
    world.operate(OperatorCommand::HangUp { leg: None, reason: EndReason::Normal });
    world.operate(OperatorCommand::HangUp { leg: Some(CALLER), reason: EndReason::Normal });
    assert!(world.until(Duration::from_secs(10), with_desk), "{}", world.story());
    world.hang_up("caller");
    world.run_for(Duration::from_secs(2));
    assert!(world.phones["1001"].talks() && world.phones["desk2"].talks(), "the others go on\n{}", world.story());
    world.hang_up("1001");
    world.finish();
    world.assert_clean();
}

#[test]
fn a_desk_that_hangs_up_leaves_the_caller_to_an_agent() {
    let mut world = talk(4);
    key_120(&mut world);
    world.hang_up("1001");
    assert!(world.until(Duration::from_secs(10), with_desk), "{}", world.story());
    world.hang_up("desk2");
    world.run_for(Duration::from_secs(15));
    assert!(world.phones["caller"].talks() && world.phones["1001"].talks(), "{}", world.story());
    world.hang_up("caller");
    world.finish();
    world.assert_clean();
}

#[test]
fn a_direct_call_reaches_the_second_route_or_hears_why_not() {
    let mut world = World::new(5);
    world.phone("desk2", 7_102, Manner::refuses(503));
    world.store = false;
    world.dial("120");
    world.run_for(Duration::from_secs(10));
    let first = world.journal.first().map(|event| event.mono);
    assert!(first.is_some() && world.media.is_audible(CALLER), "{}", world.story());
    world.phone("desk2", 7_102, Manner::answers(300));
    assert!(world.until(Duration::from_secs(15), |world| world.phones["caller"].talks()), "{}", world.story());
    assert!(!world.call.as_ref().is_some_and(|call| call.control().is_unstored()), "an emergency waits for no store");
    world.hang_up("desk2");
    world.finish();
    world.assert_clean();
}

#[test]
fn a_caller_refused_ports_in_an_emergency_gets_them_later() {
    let mut world = World::new(6);
    world.phone("desk1", 7_101, Manner::answers(300));
    world.media.refuse.insert(CALLER, 3);
    world.dial("120");
    assert!(world.until(Duration::from_secs(15), |world| world.phones["caller"].talks()), "{}", world.story());
    world.hang_up("caller");
    world.finish();
    world.assert_clean();
}

#[test]
fn a_second_line_is_still_called_when_the_first_desk_leaves() {
    for agent_leaves in [false, true] {
        let mut world = talk(20);
        key_120(&mut world);
        assert!(world.until(Duration::from_secs(10), with_desk), "{}", world.story());
        world.operate(OperatorCommand::Emergency { line: "119".into(), by: None });
        world.run_for(Duration::from_millis(300));
        if agent_leaves {
            world.hang_up("1001");
            world.run_for(Duration::from_millis(200));
        }
        world.with_phone("desk2", |phone, now, out| phone.hang_up_line(now, 0, out));
        world.run_for(Duration::from_millis(300));
        assert!(!with_desk(&world) && world.media.is_audible(CALLER), "{}", world.story());
        assert!(world.until(Duration::from_secs(5), with_desk), "{agent_leaves}\n{}", world.story());
        world.run_for(Duration::from_secs(3));
        let members = world.call.as_ref().map(|call| call.control().legs().members(Room::MAIN).len());
        assert_eq!(members, Some(if agent_leaves { 2 } else { 3 }), "{}", world.story());
        world.hang_up("caller");
        world.finish();
        world.assert_clean();
    }
}

#[test]
fn an_emergency_call_is_never_ended_by_its_session_timer() {
    let mut world = World::new(21);
    world.phone("desk1", 7_101, Manner::answers(300));
    world.dial("120");
    assert!(world.until(Duration::from_secs(15), |world| world.phones["caller"].talks()), "{}", world.story());
    world.run_for(Duration::from_secs(2));
    world.kill("caller");
    world.run_for(Duration::from_secs(3_700));
    assert!(world.phase() == Some("talking") && world.phones["desk1"].talks(), "{}", world.story());
    world.hang_up("desk1");
    world.finish();
    world.assert_clean();
}

#[test]
fn a_wrong_key_does_not_block_the_right_line() {
    for agent_leaves in [false, true] {
        let mut world = talk(22);
        world.phone("desk2", 7_102, Manner::RINGS);
        world.key("1001", "*10");
        world.run_for(Duration::from_secs(2));
        assert!(!world.phones["desk2"].is_idle(), "110 rings\n{}", world.story());
        if agent_leaves {
            world.hang_up("1001");
            world.run_for(Duration::from_millis(500));
        }
        world.phone("desk1", 7_101, Manner::answers(1_500));
        key_120(&mut world);
        world.run_for(Duration::from_millis(800));
        // The same key again changes nothing.
        key_120(&mut world);
        assert!(world.until(Duration::from_secs(6), with_desk), "{}", world.story());
        world.run_for(Duration::from_secs(1));
        let members = world.call.as_ref().map(|call| call.control().legs().members(Room::MAIN).len());
        assert_eq!(members, Some(if agent_leaves { 2 } else { 3 }), "{}", world.story());
        assert!(world.phones["desk1"].talks(), "{}", world.story());
        assert!(world.phones["desk2"].lines.iter().all(|line| line.leg.has_ended()), "{}", world.story());
        let result = |wanted: &'static str, which: AttemptResult| move |what: &Happening| matches!(what, Happening::EmergencyResult { line, result, .. } if line.as_ref() == wanted && *result == which);
        assert_eq!(world.count(result("110", AttemptResult::Withdrawn)), 1, "{}", world.story());
        assert_eq!(world.count(result("120", AttemptResult::Answered)), 1, "{}", world.story());
        let started = |what: &Happening| matches!(what, Happening::EmergencyStarted { .. });
        assert_eq!(world.count(started), 2, "{}", world.story());
        // A line whose desk is there is not called a second time, also when another one was pressed in between.
        world.operate(OperatorCommand::Emergency { line: "110".into(), by: None });
        world.run_for(Duration::from_millis(500));
        key_120(&mut world);
        world.run_for(Duration::from_millis(500));
        assert_eq!(world.count(started), 3, "{}", world.story());
        world.hang_up("caller");
        world.finish();
        world.assert_clean();
        assert_eq!(world.count(result("110", AttemptResult::Withdrawn)), 2, "{}", world.story());
    }
}

#[test]
fn a_call_whose_legs_are_used_up_fails_its_attempts_and_goes_on() {
    let mut world = talk(23);
    let call = world.call.take().expect("a call");
    let mut stored = serde_json::to_value(&call).expect("a call can be stored");
    *stored.pointer_mut("/control/mints/leg").expect("the counter of legs") = 0x7ffe.into();
    world.call = Some(serde_json::from_value(stored).expect("a stored call can be read"));
    key_120(&mut world);
    world.run_for(Duration::from_secs(30));
    assert!(world.phones["caller"].talks() && world.phones["1001"].talks(), "{}", world.story());
    assert!(!with_desk(&world) && world.phones["desk2"].is_idle(), "no leg is left for the second route");
    let made = |what: &Happening| matches!(what, Happening::LegStarted { leg: LegId(0x7fff), .. });
    assert_eq!(world.count(made), 1, "{}", world.story());
    world.hang_up("1001");
    world.run_for(Duration::from_secs(30));
    assert!(world.phones["caller"].talks() && world.media.is_audible(CALLER), "{}", world.story());
    world.hang_up("caller");
    world.finish();
    world.assert_clean();
}
