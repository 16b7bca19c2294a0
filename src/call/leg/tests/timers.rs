//! Session timers: both refreshers, both ways to refresh, and what a refusal does (RFC 4028, RFC 3311).

use super::script::{Solo, sdp};
use super::*;

const MINE: &str = "Session-Expires: 1800;refresher=uac\r\nRequire: timer";
const HALF: Duration = Duration::from_secs(900);

fn updating() -> Solo {
    Solo::answered("a", &format!("{MINE}\r\nAllow: INVITE, UPDATE, BYE"))
}

#[test]
fn rfc4028_s7_4_the_session_is_refreshed_by_update_where_the_peer_allows_it() {
    let mut solo = updating();
    solo.wait(HALF);
    let update = solo.last("UPDATE");
    assert_eq!(update.header(Name::SessionExpires), Some(&b"1800;refresher=uac"[..]));
    assert_eq!((update.body(), solo.count("INVITE")), (&b""[..], 1));
    assert!(update.header(Name::Contact).is_some() && update.to_tag() == Some(b"a"));
    solo.respond("UPDATE", 200, "a", MINE, None);
    solo.wait(HALF);
    assert_eq!(solo.count("UPDATE sip"), 2);
    let mut solo = Solo::answered("a", &format!("{MINE}\r\nAllow: INVITE, BYE"));
    solo.wait(HALF);
    assert_eq!((solo.count("INVITE"), solo.count("UPDATE")), (2, 0));
    assert!(String::from_utf8_lossy(solo.last("INVITE").body()).contains("m=audio 20000 "), "our own port");
}

#[test]
fn rfc3311_a_peer_that_refuses_update_after_all_is_refreshed_by_re_invite() {
    for status in [405, 501] {
        let mut solo = updating();
        solo.wait(HALF);
        solo.respond("UPDATE", status, "a", "", None);
        assert_eq!((solo.count("INVITE"), solo.count("UPDATE")), (2, 1), "{status}");
        solo.respond("INVITE", 200, "a", MINE, Some(&sdp(30_000)));
        assert_eq!(solo.count("ACK"), 2);
        solo.wait(HALF);
        assert_eq!((solo.count("INVITE"), solo.count("UPDATE")), (3, 1), "and from then on");
    }
}

#[test]
fn rfc4028_s7_3_a_422_to_a_refresh_is_followed_with_the_longer_interval() {
    let mut solo = updating();
    solo.wait(HALF);
    solo.respond("UPDATE", 422, "a", "Min-SE: 3600", None);
    let again = solo.last("UPDATE");
    assert_eq!((again.header(Name::MinSe), solo.count("UPDATE")), (Some(&b"3600"[..]), 2));
    assert_eq!(again.header(Name::SessionExpires), Some(&b"3600;refresher=uac"[..]));
    // The same again asks for nothing new.
    solo.respond("UPDATE", 422, "a", "Min-SE: 3600", None);
    assert_eq!((solo.count("UPDATE"), solo.leg.state()), (2, LegState::Talking));
}

#[test]
fn rfc3261_s14_1_after_a_491_the_owner_of_the_call_id_waits_longer() {
    for seed in 0..50 {
        let mut ours = updating();
        ours.leg.seed = seed;
        ours.wait(HALF);
        ours.respond("UPDATE", 491, "a", "", None);
        ours.wait(Duration::from_millis(2_099));
        assert_eq!(ours.count("UPDATE"), 1, "seed {seed}");
        ours.wait(Duration::from_millis(1_901));
        assert!(ours.count("UPDATE") > 1, "seed {seed}");

        let mut theirs =
            Solo::talking("Allow: INVITE, UPDATE\r\nSupported: timer\r\nSession-Expires: 1800;refresher=uas");
        theirs.leg.seed = seed;
        theirs.wait(HALF);
        theirs.respond("UPDATE", 491, "theirs", "", None);
        theirs.wait(Duration::from_millis(2_000));
        assert!(theirs.count("UPDATE") > 1, "seed {seed}");
    }
}

#[test]
fn a_refusal_with_retry_after_is_heeded() {
    let mut solo = updating();
    solo.wait(HALF);
    solo.respond("UPDATE", 500, "a", "Retry-After: 7", None);
    solo.wait(Duration::from_millis(6_999));
    assert_eq!(solo.count("UPDATE"), 1);
    solo.wait(Duration::from_millis(1));
    assert_eq!(solo.count("UPDATE"), 2);
}

#[test]
fn rfc4028_s10_408_481_or_silence_ends_the_session_but_never_an_emergency() {
    for status in [Some(408), Some(481), None] {
        for kept in [false, true] {
            let mut solo = updating();
            if kept {
                solo.act(LegAction::Keep);
            }
            solo.wait(HALF);
            match status {
                Some(status) => solo.respond("UPDATE", status, "a", "", None),
                None => solo.wait(Duration::from_secs(33)),
            }
            assert_eq!(solo.heard.contains(&LegEvent::Lost), !kept, "{status:?}");
            assert_eq!(solo.count("BYE") > 0, !kept);
            if kept {
                solo.wait(Duration::from_secs(4_000));
                assert_eq!(solo.leg.state(), LegState::Talking);
                solo.request("BYE", 9, "", None);
                assert_eq!(solo.newest().status(), Some(200), "it still takes a BYE");
            }
        }
    }
}

#[test]
fn rfc4028_s10_a_peer_that_should_refresh_and_does_not_is_lost_and_one_that_does_is_not() {
    let theirs = "Session-Expires: 600;refresher=uas";
    let mut solo = Solo::answered("a", theirs);
    solo.wait(Duration::from_secs(567));
    assert_eq!(solo.leg.state(), LegState::Talking);
    solo.wait(Duration::from_secs(1));
    assert!(solo.heard.contains(&LegEvent::Lost));

    for (method, body) in [("UPDATE", None), ("INVITE", Some(sdp(30_000)))] {
        let mut solo = Solo::answered("a", theirs);
        for cseq in 1..10 {
            solo.wait(Duration::from_secs(300));
            let asked = "Supported: timer\r\nSession-Expires: 600;refresher=uac";
            solo.request(method, cseq, asked, body.as_deref());
            assert_eq!(solo.newest().status(), Some(200), "{method}");
            assert_eq!(solo.newest().header(Name::SessionExpires), Some(&b"600;refresher=uac"[..]));
            assert!(solo.newest().has_token(Name::Require, "timer"));
            if method == "INVITE" {
                solo.request("ACK", cseq, "", None);
            }
        }
        assert_eq!((solo.count_events(is_end), solo.count("UPDATE"), solo.count("INVITE")), (0, 0, 1));
    }
}

#[test]
fn rfc4028_s9_a_refresh_below_our_min_se_gets_422_and_changes_nothing() {
    for (method, body) in [("UPDATE", None), ("INVITE", Some(sdp(31_000)))] {
        let mut solo = Solo::answered("a", "");
        solo.request(method, 5, "Supported: timer\r\nSession-Expires: 60", body.as_deref());
        assert_eq!((solo.newest().status(), solo.newest().header(Name::MinSe)), (Some(422), Some(&b"90"[..])));
        assert_eq!((solo.ports(), solo.leg.state()), (vec![30_000], LegState::Talking));
        // The next one fits.
        solo.request(method, 6, "Supported: timer\r\nSession-Expires: 90", body.as_deref());
        assert_eq!(solo.newest().status(), Some(200), "{method}");
    }
}

#[test]
fn rfc4028_s7_2_without_a_value_in_the_2xx_there_is_no_timer() {
    let mut solo = Solo::answered("a", "");
    solo.wait(Duration::from_secs(100_000));
    assert_eq!((solo.leg.state(), solo.count("UPDATE"), solo.count("INVITE")), (LegState::Talking, 0, 1));
}

#[test]
fn rfc3311_s5_2_an_update_moves_the_description_and_the_target() {
    let mut solo = Solo::answered("a", "Allow: UPDATE");
    let moved = solo.text("UPDATE", 5, "", Some(&sdp(31_000)));
    let moved =
        String::from_utf8(moved.to_vec()).unwrap().replace("sip:caller@127.0.0.1:6000", "sip:moved@127.0.0.1:6001");
    solo.hear(moved.into());
    let answer = solo.newest();
    assert_eq!(answer.status(), Some(200));
    assert!(answer.header(Name::Contact).is_some() && answer.has_token(Name::Allow, "UPDATE"));
    assert!(String::from_utf8_lossy(answer.body()).contains("m=audio 20000 "));
    assert_eq!(solo.ports(), [30_000, 31_000]);
    solo.act(LegAction::HangUp(EndReason::Normal));
    assert_eq!(solo.last("BYE").request_uri(), Some(&b"sip:moved@127.0.0.1:6001"[..]));
    // What cannot be spoken leaves the talk as it was.
    let mut solo = Solo::answered("a", "");
    solo.request("UPDATE", 5, "", Some(&sdp(31_000).replace("RTP/AVP 8 101", "RTP/AVP 18")));
    assert_eq!((solo.newest().status(), solo.ports()), (Some(488), vec![30_000]));
    // Hold and resume.
    solo.request("UPDATE", 6, "", Some(&format!("{}a=sendonly\r\n", sdp(30_000))));
    solo.request("UPDATE", 7, "", Some(&sdp(30_000)));
    assert!(solo.heard.contains(&LegEvent::Held) && solo.heard.contains(&LegEvent::Resumed), "{:?}", solo.heard);
}

#[test]
fn rfc3311_s5_2_an_offer_before_our_answer_is_too_soon() {
    let mut solo = Solo::called("", Some(&sdp(30_000)), Reliable::Offered);
    solo.act(local_media(20_000));
    solo.act(LegAction::Ring);
    solo.request("UPDATE", 8, "", Some(&sdp(31_000)));
    assert_eq!(solo.newest().status(), Some(500), "RFC 3311 §5.2");
    let after = String::from_utf8_lossy(solo.newest().header(Name::RetryAfter).expect("told when")).into_owned();
    assert!(after.parse::<u32>().expect("seconds") <= 10);
    solo.request("UPDATE", 9, "", None);
    assert_eq!(solo.newest().status(), Some(200), "without an offer there is no glare");
    solo.act(LegAction::Answer);
    assert_eq!((solo.newest().status(), solo.ports()), (Some(200), vec![30_000]));
}
