//! REFER, consults and three-way calls: the caller is never lost, whoever leaves whenever.

use std::time::Duration;

use switch12345::call::legs::{CALLER, Room};
use switch12345::call::words::{Destination, OperatorCommand};
use switch12345::event::call::{AttemptResult, Fallback, Happening};
use switch12345::rtp::command::Source;

use crate::sim::phone::Manner;
use crate::sim::world::World;

/// A talk of caller and 1001; 1002 and the department can be fetched.
fn talk(seed: u64) -> World {
    let mut world = World::new(seed);
    world.phone("1001", 7_201, Manner::answers(300));
    world.phone("seats", 7_103, Manner::answers(800));
    world.dial("12301");
    assert!(world.until(Duration::from_secs(5), |world| world.phase() == Some("talking")), "{}", world.story());
    world.run_for(Duration::from_secs(1));
    world
}

fn refer(world: &mut World, to: &str) {
    let extra = format!("Refer-To: <sip:{to}@127.0.0.1:5060>\r\n");
    world.with_phone("1001", |phone, _, out| phone.raw(0, "REFER", &extra, "", out));
}

/// The transfer of a consult: Replaces names the dialog of the second line as the engine sees it.
fn refer_consult(world: &mut World) {
    let Some(line) = world.phones["1001"].lines.get(1) else { return };
    let Some((engine, mine)) = line.tags.clone() else { return };
    let call = String::from_utf8_lossy(&line.call_id).replace('@', "%40");
    let extra =
        format!("Refer-To: <sip:12366@127.0.0.1:5060?Replaces={call}%3Bto-tag%3D{engine}%3Bfrom-tag%3D{mine}>\r\n");
    world.with_phone("1001", |phone, _, out| phone.raw(0, "REFER", &extra, "", out));
}

fn consult(world: &mut World) {
    world.with_phone("1001", |phone, now, out| {
        phone.direct(0, "sendonly", out);
        phone.dial(now, "12366", "1001", out);
    });
}

fn members(world: &World) -> usize {
    world.call.as_ref().map_or(0, |call| call.control().legs().members(Room::MAIN).len())
}

fn with_seats(world: &World) -> bool {
    world.phones["seats"].talks()
        && world.phones["caller"].talks()
        && world.phones["1001"].is_idle()
        && members(world) == 2
}

fn end(mut world: World) -> World {
    world.hang_up("caller");
    world.finish();
    world.assert_clean();
    world
}

#[test]
fn a_blind_transfer_reaches_its_target_and_frees_the_agent() {
    let mut world = talk(1);
    refer(&mut world, "12366");
    world.until(Duration::from_secs(10), with_seats);
    world.run_for(Duration::from_secs(40));
    assert!(with_seats(&world), "{}", world.story());
    assert_eq!(world.phones["1001"].notified, [100, 180, 200], "{}", world.story());
    end(world);
}

#[test]
fn a_busy_target_gives_the_caller_back() {
    for status in [486, 480, 503] {
        let mut world = talk(2);
        world.phone("seats", 7_103, Manner::refuses(status));
        refer(&mut world, "12366");
        world.run_for(Duration::from_secs(5));
        assert!(world.phones["1001"].talks() && world.phones["caller"].talks() && members(&world) == 2);
        assert_eq!(world.phones["1001"].notified.last(), Some(&status), "{}", world.story());
        let back =
            |what: &Happening| matches!(what, Happening::TransferResult { fallback: Some(Fallback::Transferor), .. });
        assert_eq!(world.count(back), 1, "{}", world.story());
        end(world);
    }
}

#[test]
fn the_transferor_may_hang_up_at_any_moment_after_refer() {
    for at in 0..100 {
        let mut world = talk(100 + at);
        refer(&mut world, "12366");
        world.run_for(Duration::from_millis(60 + at * 20));
        world.hang_up("1001");
        world.run_for(Duration::from_secs(40));
        assert!(with_seats(&world), "at {at}\n{}", world.story());
        end(world);
    }
}

#[test]
fn a_transfer_nobody_answers_after_the_transferor_left_goes_back_to_the_queue() {
    let mut world = talk(3);
    world.phone("seats", 7_103, Manner::refuses(486));
    world.phone("1002", 7_202, Manner::answers(300));
    refer(&mut world, "12366");
    world.run_for(Duration::from_millis(70));
    world.hang_up("1001");
    world.run_for(Duration::from_secs(8));
    assert!(world.phones["caller"].talks() && world.phones["1002"].talks(), "{}", world.story());
    let queued = |what: &Happening| matches!(what, Happening::Queued { rejoined: true, .. });
    assert_eq!(world.count(queued), 1, "{}", world.story());
    end(world);
}

#[test]
fn a_consult_is_transferred_and_the_caller_hears_music_meanwhile() {
    let mut world = talk(4);
    consult(&mut world);
    world.run_for(Duration::from_secs(3));
    assert_eq!(world.media.legs.get(&CALLER).map(|leg| &leg.hears), Some(&Source::Music), "{}", world.story());
    refer_consult(&mut world);
    world.run_for(Duration::from_secs(40));
    assert!(with_seats(&world), "{}", world.story());
    assert_eq!(world.phones["1001"].notified, [100, 200]);
    end(world);
}

#[test]
fn a_consult_may_be_transferred_while_it_still_rings() {
    let mut world = talk(5);
    consult(&mut world);
    world.run_for(Duration::from_millis(400));
    refer_consult(&mut world);
    world.run_for(Duration::from_millis(100));
    world.with_phone("1001", |phone, now, out| phone.hang_up_line(now, 0, out));
    world.run_for(Duration::from_secs(40));
    assert!(with_seats(&world), "{}", world.story());
    end(world);
}

#[test]
fn a_consult_that_fails_or_is_given_up_leaves_the_talk_alone() {
    for gives_up in [true, false] {
        let mut world = talk(6);
        let manner = if gives_up { Manner::RINGS } else { Manner::refuses(486) };
        world.phone("seats", 7_103, manner);
        consult(&mut world);
        world.run_for(Duration::from_secs(1));
        if gives_up {
            world.with_phone("1001", |phone, now, out| phone.hang_up_line(now, 1, out));
            world.run_for(Duration::from_secs(1));
        }
        world.with_phone("1001", |phone, _, out| phone.direct(0, "sendrecv", out));
        world.run_for(Duration::from_secs(2));
        assert!(
            matches!(world.media.legs.get(&CALLER).map(|leg| &leg.hears), Some(Source::Leg(_))),
            "{}",
            world.story()
        );
        assert!(!world.phones["seats"].talks() && members(&world) == 2, "{}", world.story());
        end(world);
    }
}

/// A consult and its transfer, with one party hanging up or dying before or after one delivery.
fn swept(seed: u64) -> World {
    let mut world = talk(seed);
    consult(&mut world);
    world
}

#[test]
fn every_party_may_leave_before_and_after_every_delivery_of_an_attended_transfer() {
    let mut dry = swept(7);
    let first = dry.delivered;
    dry.run_for(Duration::from_millis(1_500));
    refer_consult(&mut dry);
    dry.run_for(Duration::from_secs(2));
    let last = dry.delivered;
    for party in ["caller", "1001", "seats"] {
        for (at, after) in (first + 1..=last).flat_map(|at| [(at, false), (at, true)]) {
            let mut world = swept(7);
            world.hook = Some((at, after, Box::new(move |world| world.hang_up(party))));
            world.run_for(Duration::from_millis(1_500));
            refer_consult(&mut world);
            world.run_for(Duration::from_secs(40));
            let caller_left = party == "caller" || !world.phones["caller"].talks();
            if !caller_left {
                assert!(world.media.is_audible(CALLER), "{party} at {at} {after}\n{}", world.story());
            }
            end(world);
        }
    }
}

#[test]
fn three_talk_and_whoever_leaves_leaves_the_others_talking() {
    for leaves in ["caller", "1001", "seats"] {
        let mut world = talk(8);
        world.key("1001", "*33");
        assert!(world.until(Duration::from_secs(10), |world| members(world) == 3), "{}", world.story());
        world.run_for(Duration::from_secs(3));
        assert!(
            world.media.legs.values().all(|leg| leg.hears == Source::Mix),
            "{:?}\n{}",
            world.media.legs,
            world.story()
        );
        world.hang_up(leaves);
        world.run_for(Duration::from_secs(4));
        let talking = ["caller", "1001", "seats"].into_iter().filter(|name| world.phones[name].talks()).count();
        assert_eq!((talking, members(&world)), (2, 2), "{leaves}\n{}", world.story());
        assert!(world.media.legs.values().all(|leg| matches!(leg.hears, Source::Leg(_))), "{:?}", world.media.legs);
        let left = if leaves == "caller" { "1001" } else { "caller" };
        world.hang_up(left);
        world.finish();
        world.assert_clean();
    }
}

#[test]
fn a_third_party_is_found_by_number_agent_and_api_and_dropped_by_code() {
    let mut world = talk(9);
    world.phone("1002", 7_202, Manner::answers(300));
    world.key("1001", "*311002#");
    assert!(world.until(Duration::from_secs(10), |world| members(world) == 3), "{}", world.story());
    world.key("1001", "*44");
    assert!(world.until(Duration::from_secs(2), |world| members(world) == 2), "{}", world.story());
    assert!(
        world.phones["1001"].talks() && !world.phones["1002"].talks()
            || world.phones["1002"].lines.iter().all(|l| l.leg.has_ended() || l.over || l.answered)
    );
    let to = Destination::Unit("税务局".into());
    world.operate(OperatorCommand::ThreeWay { to, by: None });
    assert!(world.until(Duration::from_secs(10), |world| members(world) == 3), "{}", world.story());
    let joined = world.count(|what| matches!(what, Happening::ConferenceJoined { .. }));
    assert_eq!(joined, 2, "{}", world.story());
    world.operate(OperatorCommand::ThreeWay { to: Destination::Unit("没有".into()), by: None });
    let failed = |what: &Happening| matches!(what, Happening::TransferResult { result: AttemptResult::Failed(_), .. });
    assert_eq!(world.count(failed), 1, "{}", world.story());
    end(world);
}

#[test]
fn digits_that_are_no_code_go_on_to_the_other_side() {
    let mut world = talk(10);
    world.key("1001", "*");
    world.run_for(Duration::from_secs(2));
    world.key("1001", "*7#");
    world.run_for(Duration::from_secs(1));
    let sent = world.media.sent_digits.iter().map(|(leg, digits)| (*leg, digits.as_str())).collect::<Vec<_>>();
    assert_eq!(sent, [(CALLER, "*"), (CALLER, "*7#")]);
    end(world);
}

#[test]
fn a_number_of_the_place_goes_to_its_queue_and_any_other_over_the_callers_trunk() {
    let mut world = talk(11);
    world.phone("1002", 7_202, Manner::answers(300));
    world.key("1001", "*3112369#");
    assert!(world.until(Duration::from_secs(10), |world| members(world) == 3), "{}", world.story());
    assert!(world.phones["1002"].talks(), "{}", world.story());
    world.key("1001", "*44*3113900001111#");
    world.run_for(Duration::from_secs(3));
    let rung = world.phones["caller"].lines.iter().filter(|line| line.invite.is_some()).count();
    assert_eq!(rung, 1, "the carrier is asked for it\n{}", world.story());
    end(world);
}

#[test]
fn digits_by_info_reach_the_other_side_and_codes_by_info_work() {
    let mut world = talk(12);
    let info = |world: &mut World, name: &'static str, digit: char| {
        let body = format!("Signal={digit}\r\nDuration=160\r\n");
        let extra = "Content-Type: application/dtmf-relay\r\n";
        world.with_phone(name, |phone, _, out| phone.raw(0, "INFO", extra, &body, out));
        world.run_for(Duration::from_millis(200));
    };
    info(&mut world, "1001", '5');
    info(&mut world, "caller", '7');
    let agent = world.media.legs.keys().copied().find(|leg| *leg != CALLER).expect("an agent");
    let sent = world.media.sent_digits.iter().map(|(leg, digits)| (*leg, digits.as_str())).collect::<Vec<_>>();
    assert_eq!(sent, [(CALLER, "5"), (agent, "7")], "{}", world.story());
    for digit in "*33".chars() {
        info(&mut world, "1001", digit);
    }
    assert!(world.until(Duration::from_secs(5), |world| members(world) == 3), "{}", world.story());
    assert_eq!(world.media.sent_digits.len(), 2);
    end(world);
}

#[test]
fn a_held_members_bye_leaves_the_others_of_a_three_way_talking() {
    let mut world = talk(13);
    world.key("1001", "*33");
    assert!(world.until(Duration::from_secs(10), |world| members(world) == 3), "{}", world.story());
    world.with_phone("1001", |phone, _, out| phone.direct(0, "sendonly", out));
    world.run_for(Duration::from_secs(2));
    assert_eq!(world.count(|what| matches!(what, Happening::Held { .. })), 1, "{}", world.story());
    world.hang_up("1001");
    world.run_for(Duration::from_secs(10));
    assert!(world.phones["caller"].talks() && world.phones["seats"].talks() && members(&world) == 2);
    assert!(matches!(world.media.legs.get(&CALLER).map(|leg| &leg.hears), Some(Source::Leg(_))), "{}", world.story());
    end(world);
}

#[test]
fn a_consult_that_comes_after_the_end_is_refused_and_opens_nothing() {
    let mut world = talk(14);
    world.hang_up("caller");
    world.run_for(Duration::from_secs(3));
    world.with_phone("1001", |phone, now, out| {
        phone.dial(now, "12366", "1001", out);
    });
    world.run_for(Duration::from_secs(2));
    assert!(!world.phones["1001"].talks(), "{}", world.story());
    world.finish();
    world.assert_clean();
}
