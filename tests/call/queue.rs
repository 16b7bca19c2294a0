//! Waiting: how the caller is let in, what he hears, agents who do not answer, and agents who are lost.

use std::time::Duration;

use bytes::Bytes;
use switch12345::acd::words::AcdVerdict;
use switch12345::base::id::LegId;
use switch12345::call::legs::CALLER;
use switch12345::call::words::{CallInput, OperatorCommand};
use switch12345::event::call::{Happening, OfferEnd};
use switch12345::event::reason::{EndReason, EndedBy};
use switch12345::rtp::command::Source;

use crate::sim::phone::Manner;
use crate::sim::world::World;

#[test]
fn nothing_shows_before_the_store_has_it_or_two_hundred_milliseconds_have_passed() {
    for store in [true, false] {
        let mut world = World::new(1);
        world.phone("1001", 7_201, Manner::answers(300));
        world.store = store;
        world.dial("12369");
        assert!(world.until(Duration::from_secs(2), |world| world.call.is_some()));
        let begun = world.now.mono;
        let shown = |world: &World| world.count(|what| matches!(what, Happening::LegAnswered { .. })) > 0;
        assert!(world.until(Duration::from_secs(2), shown), "{}", world.story());
        let waited = world.now.mono.since(begun);
        assert_eq!(waited == Duration::from_millis(200), !store, "{waited:?}\n{}", world.story());
        assert_eq!(world.call.as_ref().map(|call| call.control().is_unstored()), Some(!store));
        world.hang_up("caller");
        world.finish();
        world.assert_clean();
    }
}

#[test]
fn without_a_greeting_the_caller_rings_until_the_agent_answers() {
    let mut world = World::new(2);
    world.phone("1001", 7_201, Manner::answers(3_000));
    world.dial("12301");
    world.run_for(Duration::from_secs(2));
    assert!(!world.phones["caller"].talks(), "{}", world.story());
    world.run_for(Duration::from_secs(2));
    assert!(world.phones["caller"].talks(), "{}", world.story());
    world.hang_up("caller");
    world.finish();
    world.assert_clean();
}

#[test]
fn without_anybody_to_ring_the_caller_is_let_in_and_hears_music() {
    let mut world = World::new(3);
    world.dial("12301");
    world.run_for(Duration::from_secs(2));
    assert!(world.phones["caller"].talks(), "{}", world.story());
    assert_eq!(world.media.legs.get(&CALLER).map(|leg| &leg.hears), Some(&Source::Music));
    world.hang_up("caller");
    world.finish();
    world.assert_clean();
    let abandoned = |what: &Happening| matches!(what, Happening::Abandoned { .. });
    assert_eq!(world.count(abandoned), 1, "{}", world.story());
}

#[test]
fn an_agent_who_lets_it_ring_is_followed_by_the_next() {
    let mut world = World::new(4);
    world.phone("1001", 7_201, Manner::RINGS);
    world.phone("1002", 7_202, Manner::answers(500));
    world.dial("12369");
    world.run_for(Duration::from_secs(30));
    assert!(world.phones["1002"].talks() && world.phones["caller"].talks(), "{}", world.story());
    let rang_out = |what: &Happening| matches!(what, Happening::OfferEnded { end: OfferEnd::NoAnswer, .. });
    assert_eq!(world.count(rang_out), 1, "{}", world.story());
    world.hang_up("caller");
    world.finish();
    world.assert_clean();
}

#[test]
fn a_dead_phone_is_unreachable_and_the_next_agent_is_rung() {
    let mut world = World::new(5);
    world.phone("1001", 7_201, Manner::RINGS);
    world.phone("1002", 7_202, Manner::answers(500));
    world.kill("1001");
    world.dial("12369");
    world.run_for(Duration::from_secs(12));
    assert!(world.phones["1002"].talks() && world.phones["caller"].talks(), "{}", world.story());
    let dead = |what: &Happening| matches!(what, Happening::OfferEnded { end: OfferEnd::Unreachable, .. });
    assert_eq!(world.count(dead), 1, "{}", world.story());
    world.hang_up("caller");
    world.finish();
    world.assert_clean();
}

#[test]
fn a_caller_whose_agent_is_lost_goes_to_the_head_of_the_queue() {
    let mut world = World::new(6);
    world.phone("1001", 7_201, Manner::answers(300));
    world.dial("12369");
    assert!(world.until(Duration::from_secs(10), |world| world.phase() == Some("talking")));
    world.phone("1002", 7_202, Manner::answers(300));
    world.kill("1001");
    world.run_for(Duration::from_secs(40));
    assert!(world.phones["1002"].talks() && world.phones["caller"].talks(), "{}", world.story());
    let back = |what: &Happening| matches!(what, Happening::Queued { rejoined: true, .. });
    assert_eq!(world.count(back), 1, "{}", world.story());
    let kept = |what: &Happening| matches!(what, Happening::Answered { first_agent: Some(first), .. } if first.as_str() == "1001");
    assert_eq!(world.count(kept), 2, "the first agent stays the first\n{}", world.story());
    world.hang_up("caller");
    world.finish();
    world.assert_clean();
}

#[test]
fn a_full_media_worker_ends_the_call_with_its_cause() {
    let mut world = World::new(7);
    world.media.refuse.insert(CALLER, 1);
    world.dial("12369");
    world.finish();
    world.assert_clean();
    let cause = |what: &Happening| {
        matches!(what, Happening::Ended { by: EndedBy::Engine, reason: EndReason::MediaOverload, sip_code: Some(503) })
    };
    assert_eq!(world.count(cause), 1, "{}", world.story());
    assert_eq!(world.phones["caller"].lines.first().and_then(|line| line.failed), Some(503));
}

#[test]
fn a_sub_centre_that_is_down_hands_the_caller_to_the_queue_with_his_age() {
    let mut world = World::new(8);
    world.phone("1001", 7_201, Manner::answers(300));
    world.dial("12366");
    world.run_for(Duration::from_secs(20));
    assert!(world.phones["1001"].talks() && world.phones["caller"].talks(), "{}", world.story());
    world.hang_up("caller");
    world.finish();
    world.assert_clean();
}

#[test]
fn an_unknown_number_hears_why_and_gets_404() {
    let mut world = World::new(9);
    world.dial("99999");
    world.finish();
    world.assert_clean();
    assert_eq!(world.phones["caller"].lines.first().and_then(|line| line.failed), Some(404), "{}", world.story());
    assert!(world.media.caller_heard.iter().any(|source| matches!(source, Source::Play(_))), "{}", world.story());
}

#[test]
fn an_agents_invite_names_hotline_caller_ticket_and_number() {
    let mut world = World::new(10);
    world.phone("1001", 7_201, Manner::answers(300));
    world.dial("12369");
    assert!(world.until(Duration::from_secs(10), |world| world.phase() == Some("talking")));
    let invite = world.phones["1001"].lines.first().and_then(|line| line.invite.clone()).expect("an INVITE");
    let header = |name: &[u8]| invite.header_named(name).map(|value| String::from_utf8_lossy(value).into_owned());
    assert_eq!(header(b"X-Hotline").as_deref(), Some("12369"));
    assert_eq!(header(b"X-Hotline-Name").as_deref(), Some("环境保护投诉举报电话"));
    assert_eq!(header(b"X-Merge-Mode").as_deref(), Some("dual_merged"));
    assert!(header(b"X-Ticket-Id").is_some_and(|id| id.len() == 26) && header(b"X-Call-Id").is_some());
    assert!(header(b"X-Ticket-No").is_none());
    assert!(header(b"History-Info").is_some_and(|value| value.contains("12369")));
    assert!(
        header(b"From").is_some_and(|from| from.contains("12369环保举报热线 13800001234")),
        "{:?}",
        header(b"From")
    );
    world.hang_up("caller");
    world.finish();
    world.assert_clean();
}

#[test]
fn packets_may_be_lost_and_the_call_still_ends_clean() {
    for seed in 1..=150 {
        let mut world = World::new(seed);
        world.loss = 15;
        world.phone("1001", 7_201, Manner::answers(300).hanging_up_after(4_000));
        world.dial("12369");
        world.finish();
        if world.call.is_some() {
            world.assert_clean();
        }
    }
}

#[test]
fn a_trunk_that_wants_it_gets_early_media_and_an_answer_after_its_time() {
    let mut world = World::new(11);
    world.over = "plain";
    world.dial("12369");
    world.run_for(Duration::from_secs(15));
    assert!(!world.phones["caller"].talks() && world.media.is_audible(CALLER), "{}", world.story());
    world.run_for(Duration::from_secs(7));
    assert!(world.phones["caller"].talks() && world.media.is_audible(CALLER), "{}", world.story());
    world.hang_up("caller");
    world.finish();
    world.assert_clean();
}

#[test]
fn a_call_may_be_stored_and_read_back_before_every_input() {
    for dialled in ["12369", "12366", "120"] {
        let mut world = World::new(12);
        world.restart = true;
        world.phone("1001", 7_201, Manner::answers(300).hanging_up_after(3_000));
        world.phone("seats", 7_103, Manner::refuses(486));
        world.phone("desk1", 7_101, Manner::answers(600).hanging_up_after(3_000));
        world.dial(dialled);
        world.finish();
        world.assert_clean();
        assert_eq!(world.count(|what| matches!(what, Happening::Answered { .. })), 1, "{}", world.story());
    }
}

#[test]
fn a_phone_that_dies_with_a_consult_open_is_dead_on_both_lines() {
    let mut world = World::new(13);
    world.phone("1001", 7_201, Manner::answers(300));
    world.phone("seats", 7_103, Manner::answers(300));
    world.dial("12369");
    assert!(world.until(Duration::from_secs(10), |world| world.phase() == Some("talking")));
    world.run_for(Duration::from_secs(3));
    world.with_phone("1001", |phone, now, out| {
        phone.direct(0, "sendonly", out);
        phone.dial(now, "12366", "1001", out);
    });
    world.run_for(Duration::from_secs(2));
    world.phone("1002", 7_202, Manner::answers(300));
    world.kill("1001");
    world.run_for(Duration::from_secs(40));
    assert!(world.phones["1002"].talks() && world.phones["caller"].talks(), "{}", world.story());
    world.hang_up("caller");
    world.finish();
    world.assert_clean();
}

#[test]
fn marks_and_ticket_numbers_are_kept_and_an_ordinary_call_drains() {
    let mut world = World::new(14);
    world.phone("1001", 7_201, Manner::answers(300));
    world.phone("1002", 7_202, Manner::answers(300));
    world.dial("12369");
    assert!(world.until(Duration::from_secs(10), |world| world.phase() == Some("talking")));
    world.tell_call(CallInput::TicketNo("A-1".into()));
    world.tell_call(CallInput::TicketNo("A-1".into()));
    let classification = Box::default();
    world.operate(OperatorCommand::Classify { by: None, classification });
    world.key("1001", "*66*311002#");
    world.run_for(Duration::from_secs(3));
    let invite = world.phones["1002"].lines.first().and_then(|line| line.invite.clone()).expect("an INVITE");
    assert_eq!(invite.header_named(b"X-Ticket-No"), Some(b"A-1".as_slice()));
    assert_eq!(world.count(|what| matches!(what, Happening::TicketNo { .. })), 1);
    assert_eq!(world.count(|what| matches!(what, Happening::Malicious { .. } | Happening::Classified { .. })), 2);
    world.operate(OperatorCommand::Drain);
    world.finish();
    world.assert_clean();
    let drained = |what: &Happening| matches!(what, Happening::Ended { reason: EndReason::Draining, .. });
    assert_eq!(world.count(drained), 1);
}

#[test]
fn a_phone_that_dies_while_it_holds_the_caller_is_found_out() {
    let mut world = World::new(15);
    world.phone("1001", 7_201, Manner::answers(300));
    world.dial("12369");
    assert!(world.until(Duration::from_secs(10), |world| world.phase() == Some("talking")));
    world.run_for(Duration::from_secs(3));
    world.with_phone("1001", |phone, _, out| phone.direct(0, "sendonly", out));
    world.run_for(Duration::from_secs(2));
    world.phone("1002", 7_202, Manner::answers(300));
    if let Some(phone) = world.phones.get_mut("1001") {
        phone.dead = true;
    }
    world.run_for(Duration::from_secs(75));
    assert!(world.phones["1002"].talks() && world.phones["caller"].talks(), "{}", world.story());
    world.hang_up("caller");
    world.finish();
    world.assert_clean();
}

#[test]
fn a_revoked_offer_stops_ringing() {
    let mut world = World::new(16);
    world.phone("1001", 7_201, Manner::RINGS);
    world.dial("12369");
    world.run_for(Duration::from_secs(2));
    let offered = world.journal.iter().find_map(|event| match &event.what {
        Happening::Offered { offer, join, .. } => Some((*offer, *join)),
        _ => None,
    });
    let (offer, join) = offered.expect("an offer");
    world.tell_call(CallInput::Acd(AcdVerdict::Revoke { join, offer }));
    world.run_for(Duration::from_secs(2));
    assert!(world.phones["1001"].lines.iter().all(|line| line.leg.has_ended()), "{}", world.story());
    world.hang_up("caller");
    world.finish();
    world.assert_clean();
}

/// An offer of codecs we do not speak, of the same length.
fn unspeakable(name: &'static str, bytes: Bytes) -> Bytes {
    if name != "caller" || !bytes.starts_with(b"INVITE") {
        return bytes;
    }
    let text = String::from_utf8(bytes.to_vec()).expect("ASCII");
    text.replace("RTP/AVP 8 0", "RTP/AVP 9 4")
        .replace("rtpmap:8 PCMA", "rtpmap:9 G722")
        .replace("rtpmap:0 PCMU", "rtpmap:4 G723")
        .into()
}

#[test]
fn an_offer_without_a_codec_of_ours_is_refused_488_before_anybody_is_rung() {
    for (over, dialled) in [("carrier", "12301"), ("carrier", "12369"), ("plain", "12369"), ("plain", "12366")] {
        let mut world = World::new(17);
        world.over = over;
        world.edit = Some(unspeakable);
        world.phone("1001", 7_201, Manner::answers(3_000));
        world.phone("seats", 7_103, Manner::answers(3_000));
        world.dial(dialled);
        world.run_for(Duration::from_secs(2));
        assert_eq!(world.phones["caller"].lines.first().and_then(|line| line.failed), Some(488), "{}", world.story());
        let rung = ["1001", "seats"].iter().any(|name| !world.phones[name].is_idle());
        assert!(!rung, "nobody rings for a caller who is gone\n{}", world.story());
        world.finish();
        world.assert_clean();
        let cause = |what: &Happening| {
            matches!(what, Happening::Ended { by: EndedBy::Engine, reason: EndReason::NoCodec, sip_code: Some(488) })
        };
        assert_eq!(world.count(cause), 1, "{over} {dialled}\n{}", world.story());
        assert_eq!(world.count(|what| matches!(what, Happening::LegAnswered { .. })), 0, "{}", world.story());
    }
}

const SDP: &str =
    "v=0\r\no=- 5 5 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio 40000 RTP/AVP 8\r\n";

/// The INVITE of a caller who lets us offer, and knows no reliable provisional answers.
fn offerless(name: &'static str, bytes: Bytes) -> Bytes {
    if name != "caller" || !bytes.starts_with(b"INVITE") {
        return bytes;
    }
    let text = String::from_utf8(bytes.to_vec()).expect("ASCII");
    let head = text.split("\r\n\r\n").next().expect("a head");
    let lines = head.split("\r\n").filter(|line| !line.starts_with("Content-") && !line.starts_with("Supported"));
    let head = lines.collect::<Vec<_>>().join("\r\n");
    format!("{head}\r\nContent-Length: 0\r\n\r\n").into()
}

/// The same, with his answer in the ACK.
fn answering_in_ack(name: &'static str, bytes: Bytes) -> Bytes {
    if name != "caller" || !bytes.starts_with(b"ACK") {
        return offerless(name, bytes);
    }
    let text = String::from_utf8(bytes.to_vec()).expect("ASCII");
    let head = text.split("\r\n\r\n").next().expect("a head");
    let lines = head.split("\r\n").filter(|line| !line.starts_with("Content-"));
    let head = lines.collect::<Vec<_>>().join("\r\n");
    format!("{head}\r\nContent-Type: application/sdp\r\nContent-Length: {}\r\n\r\n{SDP}", SDP.len()).into()
}

#[test]
fn a_caller_who_lets_us_offer_hears_and_is_served() {
    for dialled in ["12369", "12301", "120"] {
        let mut world = World::new(18);
        world.edit = Some(answering_in_ack);
        world.phone("1001", 7_201, Manner::answers(300));
        world.phone("desk1", 7_101, Manner::answers(300));
        world.dial(dialled);
        world.run_for(Duration::from_secs(10));
        assert!(world.phones["caller"].talks() && world.phase() == Some("talking"), "{dialled}\n{}", world.story());
        assert!(world.media.is_audible(CALLER) && world.media.legs[&CALLER].connected, "{}", world.story());
        world.hang_up("caller");
        world.finish();
        world.assert_clean();
    }
}

#[test]
fn a_caller_whose_ack_answers_nothing_is_not_left_in_silence() {
    let mut world = World::new(19);
    world.edit = Some(offerless);
    world.phone("1001", 7_201, Manner::answers(300));
    world.dial("12369");
    world.run_for(Duration::from_secs(5));
    assert_eq!(world.phase(), Some("ending"), "{}", world.story());
    assert!(!world.phones["1001"].talks(), "{}", world.story());
    world.finish();
    world.assert_clean();
}

#[test]
fn a_caller_who_left_the_queue_is_offered_to_nobody() {
    let mut world = World::new(20);
    world.dial("12369");
    assert!(world.until(Duration::from_secs(5), |world| world.phase() == Some("queueing")));
    world.run_for(Duration::from_secs(2));
    world.hang_up("caller");
    world.run_for(Duration::from_secs(1));
    world.phone("1001", 7_201, Manner::answers(300));
    world.run_for(Duration::from_secs(3));
    assert!(!world.story().contains("acd > Offer"), "{}", world.story());
    world.finish();
    world.assert_clean();
}

#[test]
fn a_winner_who_is_gone_before_the_greeting_ends_leaves_the_caller_at_the_head_of_the_queue() {
    for dropped in [false, true] {
        let mut world = World::new(21);
        // The greeting lasts two seconds and is not cut: he answers under it and waits for its end.
        world.phone("1001", 7_201, Manner::answers(300));
        world.dial("12369");
        assert!(world.until(Duration::from_secs(2), |world| world.phase() == Some("won")), "{}", world.story());
        world.run_for(Duration::from_millis(200));
        assert!(world.phase() == Some("won") && world.phones["1001"].talks(), "{}", world.story());
        world.phone("1002", 7_202, Manner::answers(300));
        if dropped {
            world.operate(OperatorCommand::HangUp { leg: Some(LegId(1)), reason: EndReason::LegLost });
        } else {
            world.hang_up("1001");
        }
        world.run_for(Duration::from_secs(10));
        assert!(world.phones["1002"].talks() && world.phones["caller"].talks(), "{}", world.story());
        assert!(!world.phones["1001"].talks(), "{}", world.story());
        let back = |what: &Happening| matches!(what, Happening::Queued { rejoined: true, .. });
        assert_eq!(world.count(back), 1, "{}", world.story());
        let story = world.story();
        let joins = story.lines().filter(|line| line.contains("call > acd Join(")).collect::<Vec<_>>();
        let since = |line: &&str| {
            line.split("joined_at: ").nth(1).and_then(|rest| rest.split(", head").next().map(str::to_owned))
        };
        let times = joins.iter().map(since).collect::<Vec<_>>();
        assert!(times.len() == 2 && times[0].is_some() && times[0] == times[1], "the old join time: {joins:?}");
        world.hang_up("caller");
        world.finish();
        world.assert_clean();
        let tickets = |what: &Happening| matches!(what, Happening::Ended { .. });
        assert_eq!(world.count(tickets), 1, "{}", world.story());
    }
}
