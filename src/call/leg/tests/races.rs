//! Messages that cross: the flows of RFC 5407 that concern a user agent, and their neighbours, at each instant.

use super::script::{Solo, sdp, theirs};
use super::*;

/// A leg of theirs that we have answered and whose ACK has not come.
fn moratorium(offer: Option<&str>) -> Solo {
    let mut solo = Solo::called("", offer, Reliable::Offered);
    solo.act(local_media(20_000));
    solo.act(LegAction::Ring);
    solo.act(LegAction::Answer);
    assert_eq!(solo.newest().status(), Some(200));
    solo
}

/// A leg of ours that talks and has just said BYE.
fn mortal() -> Solo {
    let mut solo = Solo::answered("a", "");
    solo.act(LegAction::HangUp(EndReason::Normal));
    assert_eq!(solo.count("BYE"), 1);
    solo
}

#[test]
fn rfc5407_3_1_1_a_repeated_invite_in_the_moratorium_state_changes_nothing() {
    let mut solo = moratorium(Some(&sdp(30_000)));
    let (before, sent) = (solo.leg.clone(), solo.sent.len());
    solo.hear(theirs("INVITE", "", 7, "", Some(&sdp(30_000))));
    assert_eq!((&solo.leg, solo.sent.len()), (&before, sent), "only its own timer repeats the 200");
    solo.request("ACK", 7, "", None);
    assert_eq!(solo.count_events(|event| *event == LegEvent::Confirmed), 1);
}

#[test]
fn rfc5407_3_1_2_a_cancel_in_the_moratorium_state_is_answered_200_and_the_talk_goes_on() {
    let mut solo = moratorium(Some(&sdp(30_000)));
    solo.hear(theirs("CANCEL", "", 7, "", None));
    assert_eq!((solo.newest().status(), solo.newest().cseq_method()), (Some(200), &Method::Cancel));
    solo.request("ACK", 7, "", None);
    assert!(solo.heard.contains(&LegEvent::Confirmed) && solo.count_events(is_end) == 0, "{:?}", solo.heard);
    solo.request("BYE", 8, "", None);
    assert_eq!((solo.newest().status(), solo.count_events(is_end)), (Some(200), 1));
}

#[test]
fn rfc5407_3_1_3_and_3_1_6_a_bye_in_the_moratorium_state_ends_the_talk_with_or_without_the_ack() {
    for ack in [true, false] {
        let mut solo = moratorium(Some(&sdp(30_000)));
        solo.request("BYE", 8, "", None);
        assert_eq!((solo.newest().status(), solo.newest().cseq_method()), (Some(200), &Method::Bye));
        if ack {
            solo.request("ACK", 7, "", None);
        }
        let answers = solo.count("SIP/2.0 200");
        solo.wait(Duration::from_secs(70));
        assert_eq!((solo.count_events(is_end), solo.leg.is_over()), (1, true), "{:?}", solo.heard);
        assert_eq!((solo.count("BYE"), solo.count("SIP/2.0 200")), (0, answers), "nothing is repeated to who has gone");
    }
}

#[test]
fn rfc5407_3_1_4_a_re_invite_before_the_ack_is_served_when_the_first_offer_is_answered() {
    let mut solo = moratorium(Some(&sdp(30_000)));
    solo.request("INVITE", 8, "", Some(&sdp(31_000)));
    assert_eq!((solo.newest().status(), solo.newest().cseq().number), (Some(200), 8));
    assert_eq!(solo.ports(), [30_000, 31_000]);
    solo.request("ACK", 7, "", None);
    solo.request("ACK", 8, "", None);
    let answers = solo.count("SIP/2.0 200");
    solo.wait(Duration::from_secs(70));
    assert_eq!((solo.count("SIP/2.0 200"), solo.leg.state()), (answers, LegState::Talking));
    // The ACK of the first is lost for good: its 200 alone is given up.
    let mut solo = moratorium(Some(&sdp(30_000)));
    solo.request("INVITE", 8, "", Some(&sdp(31_000)));
    solo.request("ACK", 8, "", None);
    assert_eq!((solo.newest().status(), solo.leg.state()), (Some(200), LegState::Talking));
}

#[test]
fn rfc5407_3_1_5_a_re_invite_before_the_ack_that_owes_an_answer_gets_491() {
    let mut solo = moratorium(None);
    solo.request("INVITE", 8, "", Some(&sdp(31_000)));
    assert_eq!((solo.newest().status(), solo.newest().cseq().number), (Some(491), 8));
    solo.request("ACK", 8, "", None);
    solo.request("ACK", 7, "", Some(&sdp(30_000)));
    assert_eq!((solo.ports(), solo.leg.state()), (vec![30_000], LegState::Talking));
    assert!(solo.heard.contains(&LegEvent::Confirmed));
}

#[test]
fn rfc5407_3_2_1_both_say_bye() {
    let mut solo = mortal();
    solo.request("BYE", 5, "", None);
    assert_eq!((solo.newest().status(), solo.count_events(is_end)), (Some(200), 0), "{:?}", solo.heard);
    solo.respond("BYE", 200, "a", "", None);
    solo.wait(Duration::from_secs(70));
    assert!(solo.leg.is_over());
    for apart_ms in 0..60 {
        let mut pair = Pair::talking(&[]);
        pair.act(true, LegAction::HangUp(EndReason::Normal));
        let at = pair.now.mono + Duration::from_millis(apart_ms);
        pair.run_to(at);
        pair.act(false, LegAction::HangUp(EndReason::Normal));
        pair.drain();
        assert!(pair.count(|(_, event)| is_end(event)) <= 1, "{apart_ms} ms apart: {:?}", pair.heard);
    }
}

#[test]
fn rfc5407_3_2_2_a_re_invite_after_our_bye_gets_481() {
    let mut solo = mortal();
    solo.request("INVITE", 5, "", Some(&sdp(31_000)));
    assert_eq!((solo.newest().status(), solo.ports()), (Some(481), vec![30_000]));
    solo.request("ACK", 5, "", None);
    solo.respond("BYE", 200, "a", "", None);
    solo.wait(Duration::from_secs(70));
    assert!(solo.leg.is_over());
}

#[test]
fn rfc5407_3_2_3_the_200_of_our_re_invite_after_our_bye_is_acknowledged() {
    let mut solo = Solo::answered("a", "");
    solo.act(LegAction::Refresh);
    assert_eq!(solo.count("INVITE"), 2);
    solo.act(LegAction::HangUp(EndReason::Normal));
    let acks = solo.count("ACK");
    for nth in 1..4 {
        solo.respond("INVITE", 200, "a", "", Some(&sdp(31_000)));
        assert_eq!(solo.count("ACK"), acks + nth, "each repetition too");
    }
    assert_eq!(solo.ports(), [30_000], "nobody listens any more");
    solo.respond("BYE", 200, "a", "", None);
    solo.wait(Duration::from_secs(70));
    assert!(solo.leg.is_over(), "{:?}", solo.leg);
}

#[test]
fn rfc5407_3_2_4_our_bye_waits_for_the_ack_of_our_200() {
    let mut solo = moratorium(Some(&sdp(30_000)));
    solo.act(LegAction::HangUp(EndReason::Normal));
    assert_eq!(solo.count("BYE"), 0, "RFC 3261 §15");
    solo.request("ACK", 7, "", None);
    assert_eq!(solo.count("BYE"), 1);
    solo.request("ACK", 7, "", None);
    assert_eq!(solo.count("BYE"), 1, "a second ACK in the mortal state is nothing");
    solo.respond("BYE", 200, "theirs", "", None);
    solo.wait(Duration::from_secs(70));
    assert!(solo.leg.is_over());
}

#[test]
fn rfc5407_3_3_1_re_invites_that_cross_both_get_491_and_are_made_good() {
    for updates in [false, true] {
        for apart_ms in 0..60 {
            let mut pair = Pair::talking(&[]);
            (pair.caller.updates, pair.callee.as_mut().expect("talking").updates) = (updates, updates);
            let refreshes = pair.sent;
            pair.act(true, LegAction::Refresh);
            let at = pair.now.mono + Duration::from_millis(apart_ms);
            pair.run_to(at);
            pair.act(false, LegAction::Refresh);
            let at = at + Duration::from_secs(30);
            pair.run_to(at);
            assert!(pair.sent >= refreshes + 4, "{apart_ms} ms apart");
            assert_eq!(pair.count(|(_, event)| is_end(event)), 0, "{apart_ms} ms apart: {:?}", pair.heard);
            for side in [true, false] {
                assert!(pair.leg(side).description.exchange().may_invite(), "{apart_ms} ms apart");
            }
        }
    }
    // Named by message: ours is open, theirs gets 491; ours gets 491 and is acknowledged.
    let mut solo = Solo::answered("a", "Session-Expires: 1800;refresher=uac");
    solo.act(LegAction::Refresh);
    solo.request("INVITE", 5, "", Some(&sdp(31_000)));
    assert_eq!((solo.newest().status(), solo.newest().cseq().number), (Some(491), 5));
    solo.respond("INVITE", 491, "a", "", None);
    assert_eq!((solo.last("ACK").cseq().number, solo.ports()), (2, vec![30_000]));
    solo.wait(Duration::from_secs(4));
    assert!(solo.count("INVITE") > 2, "again after its wait");
}

#[test]
fn rfc5407_3_3_2_an_update_that_crosses_our_re_invite_gets_491_when_it_offers() {
    let mut solo = Solo::answered("a", "");
    solo.act(LegAction::Refresh);
    solo.request("UPDATE", 5, "", Some(&sdp(31_000)));
    assert_eq!((solo.newest().status(), solo.ports()), (Some(491), vec![30_000]));
    solo.request("UPDATE", 6, "", None);
    assert_eq!(solo.newest().status(), Some(200), "without an offer there is nothing to cross");
    solo.respond("INVITE", 200, "a", "", Some(&sdp(30_000)));
    solo.request("UPDATE", 7, "", Some(&sdp(31_000)));
    assert_eq!((solo.newest().status(), solo.ports()), (Some(200), vec![30_000, 31_000]));
}

#[test]
fn rfc5407_3_3_3_a_refer_after_our_bye_gets_481_and_a_bye_after_our_202_ends_the_notifying() {
    let refer = "Refer-To: <sip:120@127.0.0.1>";
    let mut solo = mortal();
    solo.request("REFER", 5, refer, None);
    assert_eq!(solo.newest().status(), Some(481));
    assert_eq!(solo.count_events(|event| matches!(event, LegEvent::Refer { .. })), 0);

    let mut solo = Solo::answered("a", "");
    solo.request("REFER", 5, refer, None);
    assert_eq!((solo.count("SIP/2.0 202"), solo.count("NOTIFY")), (1, 1));
    solo.request("BYE", 6, "", None);
    solo.act(LegAction::ReferProgress { status: 200 });
    solo.respond("NOTIFY", 481, "a", "", None);
    assert_eq!((solo.count("NOTIFY"), solo.count_events(is_end)), (1, 1), "{:?}", solo.heard);
    solo.wait(Duration::from_secs(70));
    assert!(solo.leg.is_over());
}

#[test]
fn a_cancel_that_crosses_the_200_is_ack_and_bye_at_each_instant() {
    for apart_ms in 0..120 {
        let mut pair = Pair::calling(&[]);
        pair.until(|pair| pair.callee.is_some());
        pair.act(false, LegAction::Ring);
        pair.act(false, local_media(30_000));
        let at = pair.now.mono + Duration::from_millis(apart_ms / 2);
        pair.run_to(at);
        let answers_first = apart_ms % 2 == 0;
        if answers_first {
            pair.act(false, LegAction::Answer);
        }
        pair.act(true, LegAction::HangUp(EndReason::Abandoned));
        if !answers_first {
            pair.act(false, LegAction::Answer);
        }
        pair.drain();
        let ends = pair.count(|(caller, event)| !caller && is_end(event));
        assert_eq!(ends, 1, "{apart_ms}: {:?}", pair.heard);
    }
}

#[test]
fn a_200_lost_any_number_of_times_is_repeated_until_its_ack() {
    for lost in 1..8 {
        let mut solo = moratorium(Some(&sdp(30_000)));
        let mut repeated = 0;
        while repeated < lost {
            solo.wait(Duration::from_millis(100));
            repeated = solo.count("SIP/2.0 200") - 1;
        }
        solo.request("ACK", 7, "", None);
        solo.wait(Duration::from_secs(40));
        assert_eq!((solo.count("SIP/2.0 200"), solo.leg.state()), (lost + 1, LegState::Talking));
    }
}

#[test]
fn a_200_to_us_that_is_repeated_draws_the_same_ack_each_time() {
    let mut solo = Solo::answered("a", "");
    let ack = solo.last("ACK");
    for _ in 0..5 {
        let invite = solo.last("INVITE");
        let again = solo.response(&invite, 200, "a", "", Some(&sdp(30_000)));
        solo.hear(again);
        assert_eq!(solo.newest().bytes(), ack.bytes());
    }
    assert_eq!(solo.count_events(|event| *event == LegEvent::Answered), 1);
}

#[test]
fn a_bye_that_crosses_a_re_invite_ends_the_talk_at_each_instant() {
    for apart_ms in 0..60 {
        for refresher in [true, false] {
            let mut pair = Pair::talking(&[]);
            (pair.caller.updates, pair.callee.as_mut().expect("talking").updates) = (false, false);
            pair.act(refresher, LegAction::Refresh);
            let at = pair.now.mono + Duration::from_millis(apart_ms);
            pair.run_to(at);
            pair.act(!refresher, LegAction::HangUp(EndReason::Normal));
            pair.drain();
            let ends = pair.count(|(_, event)| is_end(event));
            assert_eq!(ends, 1, "{apart_ms} ms apart, {refresher}: {:?}", pair.heard);
        }
    }
}

#[test]
fn a_bye_in_the_early_state_ends_the_invite_with_487() {
    let mut solo = Solo::called("", Some(&sdp(30_000)), Reliable::Offered);
    solo.act(LegAction::Ring);
    solo.request("BYE", 8, "", None);
    assert_eq!((solo.count("SIP/2.0 200"), solo.count("SIP/2.0 487")), (1, 1));
    assert_eq!(solo.heard, [LegEvent::Cancelled]);
}

#[test]
fn a_second_invite_before_the_answer_to_the_first_is_too_soon() {
    let mut solo = Solo::called("", Some(&sdp(30_000)), Reliable::Offered);
    solo.act(LegAction::Ring);
    solo.request("INVITE", 8, "", Some(&sdp(31_000)));
    assert_eq!((solo.newest().status(), solo.leg.state()), (Some(500), LegState::Waiting));
    assert!(solo.newest().header(Name::RetryAfter).is_some());
    solo.act(local_media(20_000));
    solo.act(LegAction::Answer);
    assert_eq!((solo.newest().status(), solo.newest().cseq().number), (Some(200), 7), "the first goes on");
    // And one of theirs while ours is open is glare.
    let mut solo = Solo::calling(outgoing());
    solo.respond("INVITE", 180, "a", "", None);
    solo.request("INVITE", 8, "", Some(&sdp(31_000)));
    assert_eq!(solo.newest().status(), Some(491));
}
