//! Several early dialogs of one INVITE, their descriptions, and the 2xx of those that lose.

use super::super::forks::EARLY_MOST;
use super::script::{Solo, sdp};
use super::*;

#[test]
fn rfc3261_s12_1_early_media_follows_the_latest_description_and_the_2xx_picks_one() {
    let mut solo = Solo::calling(outgoing());
    solo.respond("INVITE", 183, "a", "", Some(&sdp(30_000)));
    solo.respond("INVITE", 180, "b", "", None);
    solo.respond("INVITE", 183, "b", "", Some(&sdp(31_000)));
    solo.respond("INVITE", 180, "a", "", None);
    assert_eq!(solo.ports(), [30_000, 31_000]);
    // The winner's description is the one of its own 183.
    solo.respond("INVITE", 200, "a", "", None);
    assert_eq!(solo.ports(), [30_000, 31_000, 30_000]);
    assert_eq!(solo.count_events(|event| *event == LegEvent::Answered), 1);
    assert_eq!(solo.last("ACK").request_uri(), Some(&b"sip:a@127.0.0.1:6000"[..]));
}

#[test]
fn rfc3262_s4_each_early_dialog_has_its_own_order_of_reliable_answers() {
    let mut solo = Solo::calling(outgoing());
    let rel = |rseq: u32| format!("Require: 100rel\r\nRSeq: {rseq}");
    solo.respond("INVITE", 183, "a", &rel(10), Some(&sdp(30_000)));
    solo.respond("INVITE", 183, "b", &rel(90), Some(&sdp(31_000)));
    solo.respond("INVITE", 180, "a", &rel(11), None);
    solo.respond("INVITE", 180, "b", &rel(93), None);
    let racks: Vec<_> =
        solo.sent.iter().filter_map(|(_, sent)| Some((sent.to_tag()?, sent.header(Name::RAck)?))).collect();
    assert_eq!(racks, [(&b"a"[..], &b"10 1 INVITE"[..]), (b"b", b"90 1 INVITE"), (b"a", b"11 1 INVITE")]);
    solo.respond("INVITE", 200, "b", "", None);
    assert_eq!((solo.leg.state(), solo.ports()), (LegState::Talking, vec![30_000, 31_000]));
    solo.act(LegAction::HangUp(EndReason::Normal));
    let bye = solo.last("BYE");
    assert_eq!((bye.to_tag(), bye.cseq().number), (Some(&b"b"[..]), 3), "counted in its own dialog");
}

#[test]
fn rfc3261_s13_2_2_4_a_late_2xx_of_another_fork_gets_ack_and_bye_once() {
    let mut solo = Solo::calling(outgoing());
    solo.respond("INVITE", 180, "a", "Require: 100rel\r\nRSeq: 1", None);
    solo.respond("INVITE", 200, "b", "", Some(&sdp(30_000)));
    for _ in 0..3 {
        solo.respond("INVITE", 200, "a", "", Some(&sdp(31_000)));
        solo.respond("INVITE", 200, "c", "", Some(&sdp(32_000)));
        solo.respond("INVITE", 200, "b", "", Some(&sdp(30_000)));
    }
    let to = |method: &str, tag: &[u8]| {
        let is = |message: &Message| {
            message.method().is_some_and(|own| own.as_str() == method) && message.to_tag() == Some(tag)
        };
        solo.sent.iter().filter(|(_, message)| is(message)).count()
    };
    assert_eq!([to("ACK", b"a"), to("ACK", b"b"), to("ACK", b"c")], [3, 4, 3]);
    assert_eq!([to("BYE", b"a"), to("BYE", b"b"), to("BYE", b"c")], [1, 0, 1]);
    assert_eq!((solo.leg.state(), solo.ports()), (LegState::Talking, vec![30_000]));
}

#[test]
fn more_early_dialogs_than_the_bound_are_ignored_but_one_of_them_may_answer() {
    let mut solo = Solo::calling(outgoing());
    for nth in 0..EARLY_MOST + 5 {
        let port = u16::try_from(30_000 + nth * 2).unwrap();
        solo.respond("INVITE", 183, &format!("t{nth}"), "", Some(&sdp(port)));
    }
    assert_eq!(solo.ports().len(), EARLY_MOST);
    solo.respond("INVITE", 200, "t11", "", Some(&sdp(40_000)));
    assert_eq!((solo.leg.state(), solo.ports().last()), (LegState::Talking, Some(&40_000)));
}

#[test]
fn rfc6228_a_199_ends_its_early_dialog_only() {
    let mut solo = Solo::calling(outgoing());
    solo.respond("INVITE", 183, "a", "", Some(&sdp(30_000)));
    solo.respond("INVITE", 183, "b", "", Some(&sdp(31_000)));
    solo.respond("INVITE", 199, "b", "", None);
    assert_eq!(solo.leg.dialog_names().map(|names| names.remote_tag), Some(b"a".to_vec()));
    solo.respond("INVITE", 199, "a", "", None);
    assert_eq!(solo.leg.dialog_names(), None);
    solo.respond("INVITE", 183, "c", "", Some(&sdp(32_000)));
    solo.respond("INVITE", 200, "c", "", None);
    assert_eq!((solo.leg.state(), solo.ports()), (LegState::Talking, vec![30_000, 31_000, 32_000]));
}

#[test]
fn early_media_is_told_whichever_1xx_brings_it_and_only_180_and_183_ring() {
    for (first, second, rings) in [(183, 180, true), (180, 183, true), (181, 182, false), (182, 180, true)] {
        for described in [first, second] {
            let mut solo = Solo::calling(outgoing());
            for status in [first, second] {
                solo.respond("INVITE", status, "a", "", (status == described).then(|| sdp(30_000)).as_deref());
            }
            assert_eq!(solo.ports(), [30_000], "{first} {second}");
            assert_eq!(solo.count_events(|event| *event == LegEvent::Ringing), usize::from(rings));
            solo.respond("INVITE", 200, "a", "", None);
            assert_eq!(solo.leg.state(), LegState::Talking, "a preview stands in for the answer: {:?}", solo.heard);
        }
    }
    // Old gear sends no tag before its 200.
    let mut solo = Solo::calling(outgoing());
    let text = String::from_utf8(solo.response(&solo.last("INVITE"), 183, "a", "", Some(&sdp(30_000))).to_vec());
    solo.hear(text.unwrap().replace(";tag=a", "").into());
    solo.respond("INVITE", 200, "a", "", None);
    assert_eq!((solo.leg.state(), solo.ports()), (LegState::Talking, vec![30_000]));
}

#[test]
fn rfc3311_an_update_in_an_early_dialog_moves_early_media_of_that_dialog() {
    let mut solo = Solo::calling(outgoing());
    let reliable = "Require: 100rel\r\nRSeq: 1\r\nAllow: INVITE, UPDATE";
    solo.respond("INVITE", 183, "a", reliable, Some(&sdp(30_000)));
    solo.respond("PRACK", 200, "a", "", None);
    solo.request("UPDATE", 5, "", Some(&sdp(33_000)));
    assert_eq!(solo.newest().status(), Some(200));
    assert!(String::from_utf8_lossy(solo.newest().body()).contains("m=audio 20000 "));
    assert_eq!(solo.ports(), [30_000, 33_000]);
    // Before its answer to ours an offer of theirs is glare.
    let mut solo = Solo::calling(outgoing());
    solo.respond("INVITE", 183, "a", "", Some(&sdp(30_000)));
    solo.request("UPDATE", 5, "", Some(&sdp(33_000)));
    assert_eq!((solo.newest().status(), solo.ports()), (Some(491), vec![30_000]));
}

#[test]
fn a_refusal_ends_all_early_dialogs() {
    let mut solo = Solo::calling(outgoing());
    solo.respond("INVITE", 180, "a", "", None);
    solo.respond("INVITE", 180, "b", "", None);
    let late = solo.text("INFO", 9, "", None);
    solo.respond("INVITE", 486, "b", "", None);
    assert!(solo.heard.contains(&failed(486, true)));
    solo.hear(late);
    assert_eq!(solo.newest().status(), Some(481));
    solo.wait(Duration::from_secs(64));
    assert!(solo.leg.is_over());
}

#[test]
fn the_contacts_of_a_3xx_are_told_in_the_order_wished_and_bounded() {
    let mut solo = Solo::calling(outgoing());
    let many: String = (0..20).map(|nth| format!(", <sip:{nth}@127.0.0.9>;q=0.1")).collect();
    let invite = solo.last("INVITE");
    let moved = crate::sip::print::Draft::response(&invite, 302, None)
        .to_tag(b"a")
        .header(
            Name::Contact,
            format!("<sip:low@127.0.0.9>;q=0.2, <sip:10086@127.0.0.9;user=phone?Subject=x>;q=0.9{many}"),
        )
        .finish();
    solo.hear(moved.bytes().clone());
    let [LegEvent::Failed { status: 302, responded: true, contacts }] = &solo.heard[..] else {
        panic!("{:?}", solo.heard)
    };
    assert_eq!(contacts.len(), 8);
    assert_eq!(&contacts[..2], [Box::from("sip:10086@127.0.0.9;user=phone"), Box::from("sip:low@127.0.0.9")]);
    assert_eq!(solo.count("INVITE"), 1, "nothing is called by itself");
}
