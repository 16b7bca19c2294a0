//! Calls that begin at an agent's phone: outside, to colleagues, to emergency lines; sent on, taken over, given up.

use std::collections::BTreeSet;
use std::time::Duration;

use bytes::Bytes;
use switch12345::acd::words::DeskState;
use switch12345::base::hotline::Channel;
use switch12345::call::legs::Room;
use switch12345::event::agent::AgentState;
use switch12345::event::call::Happening;

use crate::sim::phone::Manner;
use crate::sim::world::World;

/// An agent, a colleague, the carrier's far end ("caller"), and others who can be fetched.
fn world(seed: u64) -> World {
    let mut world = World::new(seed);
    world.phone("1001", 7_201, Manner::RINGS);
    world.phone("1002", 7_202, Manner::answers(400));
    world.phone("caller", 7_000, Manner::answers(500));
    world.phone("seats", 7_103, Manner::answers(300));
    world.phone("desk1", 7_101, Manner::answers(300));
    world.phone("desk2", 7_102, Manner::answers(300));
    world
}

fn dials(seed: u64, number: &str) -> World {
    let mut world = world(seed);
    world.agent_dials("1001", number);
    world
}

fn talks(world: &World, names: &[&str]) -> bool {
    names.iter().all(|name| world.phones[*name].talks())
        && world.call.as_ref().is_some_and(|call| call.control().legs().members(Room::MAIN).len() == names.len())
}

fn talk(seed: u64, number: &str, far: &str) -> World {
    let mut world = dials(seed, number);
    assert!(world.until(Duration::from_secs(5), |world| talks(world, &["1001", far])), "{}", world.story());
    world.run_for(Duration::from_secs(1));
    world
}

fn end(mut world: World) {
    for name in world.phones.keys().copied().collect::<Vec<_>>() {
        world.hang_up(name);
    }
    world.finish();
    world.assert_clean();
}

fn final_status(world: &World) -> Option<u16> {
    world.phones["1001"].lines.first().and_then(|line| line.failed)
}

/// What the far end was shown.
fn invite_of(world: &World, name: &str) -> String {
    let line = world.phones[name].lines.first().unwrap_or_else(|| panic!("{name} was not called\n{}", world.story()));
    String::from_utf8_lossy(line.invite.as_ref().expect("it was called").bytes()).into_owned()
}

/// Each party hangs up before and after each delivery; the phases met.
fn sweep(number: &str, parties: &[&'static str], seed: u64) -> BTreeSet<&'static str> {
    let begin = || {
        let mut world = dials(seed, number);
        world.phone("caller", 7_000, Manner::answers(500).hanging_up_after(3_000));
        world.phone("1002", 7_202, Manner::answers(400).hanging_up_after(3_000));
        world.phone("desk1", 7_101, Manner::answers(300).hanging_up_after(3_000));
        world
    };
    let mut dry = begin();
    dry.until(Duration::from_secs(30), |world| world.phase() == Some("ending"));
    let deliveries = dry.delivered;
    assert!(deliveries > 5, "{}", dry.story());
    let mut hits = BTreeSet::new();
    for party in parties {
        for at in 1..=deliveries {
            for after in [false, true] {
                let mut world = begin();
                let name = *party;
                world.hook = Some((at, after, Box::new(move |world| world.hang_up(name))));
                // A hang-up before the engine has the INVITE leaves no call at all.
                world.until(Duration::from_secs(40), |world| world.phase() == Some("over"));
                if world.call.is_none() {
                    continue;
                }
                end(world.then(&mut hits));
            }
        }
    }
    hits
}

impl World {
    fn then(self, hits: &mut BTreeSet<&'static str>) -> Self {
        hits.extend(self.hit);
        self
    }
}

#[test]
fn an_outside_call_ends_clean_whoever_hangs_up_whenever() {
    let hits = sweep("8337772", &["1001", "caller"], 1);
    assert!(["dialling", "talking"].iter().all(|phase| hits.contains(phase)), "{hits:?}");
}

#[test]
fn a_colleagues_call_ends_clean_whoever_hangs_up_whenever() {
    let hits = sweep("1002", &["1001", "1002"], 2);
    assert!(["dialling", "talking"].iter().all(|phase| hits.contains(phase)), "{hits:?}");
}

#[test]
fn an_agents_emergency_call_ends_clean_whoever_hangs_up_whenever() {
    let hits = sweep("120", &["1001", "desk1"], 3);
    assert!(["dialling", "talking"].iter().all(|phase| hits.contains(phase)), "{hits:?}");
}

#[test]
fn a_star_code_ends_clean_whenever_the_phone_hangs_up() {
    let hits = sweep("*50", &["1001"], 4);
    assert!(hits.contains("announcing"), "{hits:?}");
}

#[test]
fn an_outside_call_presents_12345_and_nothing_of_the_agent() {
    let world = talk(5, "8337772", "caller");
    let invite = invite_of(&world, "caller");
    assert!(invite.starts_with("INVITE sip:04768337772@"), "{invite}");
    let from = invite.lines().find(|line| line.starts_with("From:")).expect("a From");
    assert!(from.contains("<sip:12345@"), "{from}");
    assert!(invite.contains("P-Asserted-Identity: <sip:12345@"), "{invite}");
    for leak in ["1001", "座席", "X-Ticket", "Diversion", "History-Info", "User-to-User"] {
        assert!(!invite.contains(leak), "{leak} in {invite}");
    }
    let outbound = |what: &Happening| {
        matches!(what, Happening::Started(started) if started.channel == Channel::Outbound
            && started.trunk.is_none() && &*started.dialled == "04768337772" && &*started.dialled_raw == "8337772")
    };
    assert_eq!(world.count(outbound), 1, "{}", world.story());
    let answered = |what: &Happening| matches!(what, Happening::Answered { agent: None, first_agent: Some(first), .. } if first.as_str() == "1001");
    assert_eq!(world.count(answered), 1, "{}", world.story());
    end(world);
}

#[test]
fn an_agent_on_a_call_of_his_own_is_offered_nobody() {
    for number in ["8337772", "1002", "*50"] {
        let mut world = dials(6, number);
        let busy = |world: &World| {
            let views = world.acd.agents_view();
            views.iter().any(|view| view.agent.as_str() == "1001" && view.state == AgentState::Talking)
        };
        assert!(world.until(Duration::from_secs(5), busy), "{number}\n{}", world.story());
        end(world);
    }
}

#[test]
fn what_the_far_end_says_is_what_the_agents_phone_hears() {
    for (status, heard) in [(486, 486), (404, 404), (603, 603), (480, 480), (302, 480), (407, 503), (401, 503)] {
        let mut world = dials(7, "8337772");
        world.phone("caller", 7_000, Manner::refuses(status));
        world.until(Duration::from_secs(10), |world| final_status(world).is_some());
        assert_eq!(final_status(&world), Some(heard), "{status}\n{}", world.story());
        assert!(!world.phones.contains_key("spare"));
        end(world);
    }
}

#[test]
fn a_trunk_that_fails_is_followed_by_the_next_and_a_busy_party_is_not_rung_twice() {
    for (status, second) in [(503, true), (500, true), (486, false), (404, false)] {
        let mut world = world(8);
        world.phone("caller", 7_000, Manner::refuses(status));
        world.phone("spare", 7_009, Manner::answers(300));
        world.agent_dials("1001", "8337772");
        world.until(Duration::from_secs(8), |world| talks(world, &["1001", "spare"]) || final_status(world).is_some());
        assert_eq!(world.phones["spare"].talks(), second, "{status}\n{}", world.story());
        end(world);
    }
}

#[test]
fn a_colleague_rings_whatever_he_chose_and_shows_who_calls() {
    for state in [DeskState::Ready, DeskState::NotReady { reason: "meal".into() }, DeskState::SignedOut] {
        let mut world = world(9);
        world.choose("1002", state.clone());
        world.agent_dials("1001", "1002");
        assert!(world.until(Duration::from_secs(5), |world| talks(world, &["1001", "1002"])), "{state:?}");
        let invite = invite_of(&world, "1002");
        assert!(invite.contains("<sip:1001@") && !invite.contains("X-Hotline"), "{invite}");
        assert!(world.journal.is_empty(), "no ticket between agents");
        end(world);
    }
}

#[test]
fn a_colleague_who_cannot_be_rung_is_busy_or_away() {
    let mut away = World::new(10);
    away.phone("1001", 7_201, Manner::RINGS);
    away.agent_dials("1001", "1002");
    away.until(Duration::from_secs(5), |world| final_status(world).is_some());
    assert_eq!(final_status(&away), Some(480), "{}", away.story());
    end(away);
    let itself = dials(11, "1001");
    let mut itself = itself;
    itself.until(Duration::from_secs(5), |world| final_status(world).is_some());
    assert_eq!(final_status(&itself), Some(486), "{}", itself.story());
    end(itself);
    for status in [486, 603, 480] {
        let mut busy = dials(12, "1002");
        busy.phone("1002", 7_202, Manner::refuses(status));
        busy.until(Duration::from_secs(8), |world| final_status(world).is_some());
        assert_eq!(final_status(&busy), Some(status), "{}", busy.story());
        end(busy);
    }
    let mut dead = dials(13, "1002");
    dead.kill("1002");
    dead.until(Duration::from_secs(40), |world| final_status(world).is_some());
    assert_eq!(final_status(&dead), Some(480), "{}", dead.story());
    end(dead);
}

#[test]
fn an_agents_emergency_call_goes_to_its_routes_with_12345_shown() {
    let mut world = world(14);
    world.phone("desk1", 7_101, Manner::refuses(503));
    world.agent_dials("1001", "0476120");
    assert!(world.until(Duration::from_secs(8), |world| talks(world, &["1001", "desk2"])), "{}", world.story());
    let invite = invite_of(&world, "desk2");
    assert!(invite.starts_with("INVITE sip:0476120@") && invite.contains("From: <sip:12345@"), "{invite}");
    let opened = |what: &Happening| matches!(what, Happening::Started(started) if started.emergency_line.as_deref() == Some("120"));
    assert_eq!(world.count(opened), 1);
    end(world);
}

fn refer(world: &mut World, agent: &'static str, to: &str) {
    let extra = format!("Refer-To: <{to}>\r\n");
    world.with_phone(agent, |phone, _, out| phone.raw(0, "REFER", &extra, "", out));
}

#[test]
fn the_far_party_of_an_own_call_is_sent_on_whenever_the_agent_hangs_up() {
    for at in 0..60 {
        let mut world = talk(100 + at, "8337772", "caller");
        refer(&mut world, "1001", "sip:1002@127.0.0.1:5060");
        world.run_for(Duration::from_millis(60 + at * 20));
        world.hang_up("1001");
        world.run_for(Duration::from_secs(5));
        assert!(talks(&world, &["caller", "1002"]), "at {at}\n{}", world.story());
        end(world);
    }
}

#[test]
fn a_far_party_sent_on_in_vain_is_not_left_in_silence() {
    let mut world = talk(15, "8337772", "caller");
    world.phone("seats", 7_103, Manner::refuses(486));
    refer(&mut world, "1001", "sip:12366@127.0.0.1:5060");
    world.run_for(Duration::from_millis(70));
    world.hang_up("1001");
    world.run_for(Duration::from_secs(45));
    assert!(world.phones["caller"].is_idle(), "{}", world.story());
    end(world);
}

#[test]
fn a_transfer_goes_where_the_transferors_class_allows_and_to_no_host() {
    for (to, status) in [
        ("sip:13800001234@127.0.0.1:5060", 403),
        ("sip:+12125550100@127.0.0.1:5060", 403),
        ("sip:bob@192.0.2.66", 404),
        ("sip:13800001234@192.0.2.66;maddr=192.0.2.67", 403),
    ] {
        let mut world = talk(16, "8337772", "caller");
        refer(&mut world, "1001", to);
        world.run_for(Duration::from_secs(3));
        // The two NOTIFYs may overtake each other; a late one is refused by the phone.
        assert!(
            world.phones["1001"].notified.iter().all(|told| [100, status].contains(told)),
            "{to}\n{}",
            world.story()
        );
        assert_eq!(world.count(|what| matches!(what, Happening::TransferStarted { .. })), 0, "{to}");
        assert!(talks(&world, &["1001", "caller"]), "{to}");
        end(world);
    }
    let mut world = talk(17, "8337772", "caller");
    refer(&mut world, "1001", "sip:12366@192.0.2.66;maddr=192.0.2.67");
    world.run_for(Duration::from_secs(5));
    assert!(talks(&world, &["caller", "seats"]), "the number counts, not the host\n{}", world.story());
    end(world);
}

#[test]
fn no_trunk_may_send_a_call_on_by_refer() {
    let mut world = talk(18, "8337772", "caller");
    let extra = "Refer-To: <sip:12366@127.0.0.1:5060>\r\n";
    world.with_phone("caller", |phone, _, out| phone.raw(0, "REFER", extra, "", out));
    world.run_for(Duration::from_secs(3));
    assert!(talks(&world, &["1001", "caller"]) && world.phones["seats"].lines.is_empty(), "{}", world.story());
    end(world);
}

/// Adds Contacts to the 302 of the carrier's far end, or of an agent's phone.
fn contacts(bytes: Bytes, list: &str) -> Bytes {
    let text = String::from_utf8_lossy(&bytes).into_owned();
    if !text.starts_with("SIP/2.0 302 ") {
        return bytes;
    }
    text.replacen("\r\nContent-Length:", &format!("\r\nContact: {list}\r\nContent-Length:"), 1).into()
}

/// What is done to a packet on its way.
type Edit = fn(&'static str, Bytes) -> Bytes;

#[test]
fn a_trunks_302_reaches_what_the_plan_names_and_never_an_address() {
    let edits: [(Edit, bool); 4] = [
        (|_, bytes| contacts(bytes, "<sip:12366@192.0.2.66>"), true),
        (|_, bytes| contacts(bytes, "<sip:bob@192.0.2.66>, <sip:0476123@192.0.2.66>"), true),
        (|_, bytes| contacts(bytes, "<sip:13900001111@127.0.0.1:7000>"), false),
        (|_, bytes| contacts(bytes, "<sip:120@192.0.2.66>, <tel:+12125550100>"), false),
    ];
    for (nth, (edit, reached)) in edits.into_iter().enumerate() {
        let mut world = world(19);
        world.phone("caller", 7_000, Manner::refuses(302));
        world.edit = Some(edit);
        world.agent_dials("1001", "8337772");
        world.until(Duration::from_secs(8), |world| talks(world, &["1001", "seats"]) || final_status(world).is_some());
        assert_eq!(world.phones["seats"].talks(), reached, "{nth}\n{}", world.story());
        assert_eq!(final_status(&world), (!reached).then_some(480), "{nth}\n{}", world.story());
        assert!(world.phones["desk1"].lines.is_empty());
        end(world);
    }
}

#[test]
fn a_phones_302_goes_by_its_agents_class_and_opens_a_ticket() {
    let edits: [(Edit, bool); 2] = [
        (|name, bytes| if name == "1002" { contacts(bytes, "<sip:8337772@192.0.2.66>") } else { bytes }, true),
        (|name, bytes| if name == "1002" { contacts(bytes, "<sip:13800001234@192.0.2.66>") } else { bytes }, false),
    ];
    for (edit, reached) in edits {
        let mut world = dials(20, "1002");
        world.phone("1002", 7_202, Manner::refuses(302));
        world.edit = Some(edit);
        world.until(Duration::from_secs(8), |world| talks(world, &["1001", "caller"]) || final_status(world).is_some());
        assert_eq!(world.phones["caller"].talks(), reached, "{}", world.story());
        assert_eq!(world.journal.is_empty(), !reached, "a ticket with the first party from outside");
        end(world);
    }
}

#[test]
fn redirections_that_lead_in_a_circle_end() {
    let mut world = world(21);
    world.phone("seats", 7_103, Manner::refuses(302));
    world.phone("caller", 7_000, Manner::refuses(302));
    world.edit = Some(|name, bytes| match name {
        "seats" => contacts(bytes, "<sip:0476123@h>, <sip:12366@h>"),
        "caller" => contacts(bytes, "<sip:12366@h>"),
        _ => bytes,
    });
    world.agent_dials("1001", "8337772");
    world.until(Duration::from_secs(20), |world| final_status(world).is_some());
    assert_eq!(final_status(&world), Some(480), "{}", world.story());
    assert!(world.phones["seats"].lines.len() <= 3, "{}", world.story());
    end(world);
}

#[test]
fn a_third_party_from_outside_gives_a_colleagues_call_its_ticket() {
    let mut world = talk(22, "1002", "1002");
    assert!(world.journal.is_empty());
    world.key("1001", "*3112366#");
    assert!(world.until(Duration::from_secs(5), |world| talks(world, &["1001", "1002", "seats"])), "{}", world.story());
    let legs = world.count(|what| matches!(what, Happening::LegStarted { .. }));
    assert_eq!(legs, 3, "both agents are on the ticket\n{}", world.story());
    world.hang_up("1001");
    world.run_for(Duration::from_secs(2));
    assert!(talks(&world, &["1002", "seats"]), "{}", world.story());
    end(world);
}

#[test]
fn a_consult_out_of_an_own_call_is_handed_over() {
    let mut world = talk(23, "8337772", "caller");
    world.with_phone("1001", |phone, now, out| {
        phone.direct(0, "sendonly", out);
        phone.dial(now, "1002", "1001", out);
    });
    assert!(world.until(Duration::from_secs(5), |world| world.phones["1002"].talks()), "{}", world.story());
    world.run_for(Duration::from_secs(1));
    let line = world.phones["1001"].lines[1].clone();
    let (engine, mine) = line.tags.expect("an answered line");
    let call = String::from_utf8_lossy(&line.call_id).replace('@', "%40");
    let to = format!("sip:1002@127.0.0.1:5060?Replaces={call}%3Bto-tag%3D{engine}%3Bfrom-tag%3D{mine}");
    refer(&mut world, "1001", &to);
    world.run_for(Duration::from_secs(40));
    assert!(talks(&world, &["caller", "1002"]) && world.phones["1001"].is_idle(), "{}", world.story());
    end(world);
}

#[test]
fn a_colleague_who_hangs_up_or_dies_ends_the_call() {
    let mut world = talk(24, "1002", "1002");
    world.hang_up("1002");
    world.run_for(Duration::from_secs(40));
    assert!(world.phones["1001"].is_idle(), "{}", world.story());
    end(world);
    let mut world = talk(25, "1002", "1002");
    world.kill("1002");
    world.run_for(Duration::from_secs(110));
    assert!(world.phones["1001"].is_idle(), "{}", world.story());
    end(world);
}

#[test]
fn one_key_joins_the_emergency_desk_to_an_own_call() {
    let mut world = talk(26, "8337772", "caller");
    world.key("1001", "*20");
    assert!(
        world.until(Duration::from_secs(5), |world| talks(world, &["1001", "caller", "desk1"])),
        "{}",
        world.story()
    );
    world.hang_up("1001");
    world.run_for(Duration::from_secs(2));
    assert!(talks(&world, &["caller", "desk1"]), "{}", world.story());
    end(world);
}

/// A second phone of `by` names the dialog of 1001's first line.
fn takes_over(world: &mut World, by: &'static str, early_only: &str) {
    let names = world.phones["1001"].lines[0].leg.dialog_names().expect("it talks");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (call, engine, mine) = (text(&names.call_id), text(&names.remote_tag), text(&names.local_tag));
    let header = format!("Replaces: {call};to-tag={engine};from-tag={mine}{early_only}");
    world.with_phone(by, |phone, now, out| {
        phone.dial(now, "12345", by, out);
        let invite = String::from_utf8_lossy(&out.pop().expect("an INVITE")).into_owned();
        out.push(invite.replacen("\r\nContent-Type:", &format!("\r\n{header}\r\nContent-Type:"), 1).into());
    });
}

fn citizens_talk(seed: u64) -> World {
    let mut world = World::new(seed);
    world.phone("1001", 7_201, Manner::answers(300));
    world.dial("12301");
    assert!(world.until(Duration::from_secs(5), |world| talks(world, &["caller", "1001"])), "{}", world.story());
    world.run_for(Duration::from_secs(1));
    world
}

#[test]
fn an_agents_other_phone_takes_over_his_talk_and_nobody_elses_does() {
    let mut world = citizens_talk(27);
    takes_over(&mut world, "1001", "");
    world.run_for(Duration::from_secs(40));
    assert!(talks(&world, &["caller", "1001"]), "{}", world.story());
    let lines = &world.phones["1001"].lines;
    assert!(lines[0].over && !lines[1].over, "{}", world.story());
    let transferred = |what: &Happening| {
        matches!(what, Happening::LegEnded { reason: switch12345::event::reason::EndReason::Transferred, .. })
    };
    assert_eq!(world.count(transferred), 1);
    end(world);
    for (by, early_only) in [("1002", ""), ("1001", ";early-only")] {
        let mut world = citizens_talk(28);
        world.phone("1002", 7_202, Manner::RINGS);
        takes_over(&mut world, by, early_only);
        world.run_for(Duration::from_secs(5));
        let failed = world.phones[by].lines.last().and_then(|line| line.failed);
        assert_eq!(failed, Some(481), "{by}\n{}", world.story());
        assert!(talks(&world, &["caller", "1001"]), "{by}");
        end(world);
    }
}

#[test]
fn a_talk_being_taken_over_ends_clean_whenever_either_party_hangs_up() {
    for party in ["caller", "1001"] {
        for at in 0..40 {
            let mut world = citizens_talk(200);
            takes_over(&mut world, "1001", "");
            world.run_for(Duration::from_millis(at * 5));
            world.hang_up(party);
            world.run_for(Duration::from_secs(2));
            end(world);
        }
    }
}
