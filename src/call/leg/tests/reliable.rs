//! Reliable provisional answers, ours and theirs (RFC 3262), and what may ride in them (RFC 6337).

use super::script::{Solo, sdp, theirs};
use super::*;

const RELIABLE: &str = "Require: 100rel\r\nRSeq: ";

fn rel(rseq: u32) -> String {
    format!("{RELIABLE}{rseq}\r\n")
}

#[test]
fn rfc3262_s4_an_invite_says_what_the_trunk_is_to_be_offered() {
    for (policy, supported, required) in
        [(Reliable::Off, false, false), (Reliable::Offered, true, false), (Reliable::Required, true, true)]
    {
        let mut wanted = outgoing();
        wanted.target.reliable = policy;
        let invite = Solo::calling(wanted).last("INVITE");
        assert_eq!(invite.has_token(Name::Supported, "100rel"), supported, "{policy:?}");
        assert_eq!(invite.has_token(Name::Require, "100rel"), required, "{policy:?}");
    }
}

#[test]
fn rfc3262_s4_each_reliable_1xx_is_acknowledged_in_order_and_its_repetition_is_not_heard() {
    let mut solo = Solo::calling(outgoing());
    solo.respond("INVITE", 183, "a", &rel(41), Some(&sdp(30_000)));
    let prack = solo.last("PRACK");
    assert_eq!(prack.header(Name::RAck), Some(&b"41 1 INVITE"[..]));
    assert_eq!((prack.to_tag(), prack.cseq().number), (Some(&b"a"[..]), 2));
    assert_eq!(prack.request_uri(), Some(&b"sip:a@127.0.0.1:6000"[..]));
    assert_eq!((solo.ports(), solo.count_events(|event| *event == LegEvent::Ringing)), (vec![30_000], 1));
    solo.respond("INVITE", 183, "a", &rel(41), Some(&sdp(30_000)));
    solo.respond("INVITE", 180, "a", &rel(43), None);
    assert_eq!(solo.count("PRACK"), 1, "a repetition, and one before its turn");
    solo.respond("PRACK", 200, "a", "", None);
    solo.respond("INVITE", 180, "a", &rel(42), None);
    assert_eq!(solo.last("PRACK").header(Name::RAck), Some(&b"42 1 INVITE"[..]));
    // The answer is settled by the 183: a 200 without a description makes the talk, another one changes nothing.
    solo.respond("INVITE", 200, "a", "", Some(&sdp(31_000)));
    assert_eq!((solo.leg.state(), solo.ports()), (LegState::Talking, vec![30_000]));
    assert_eq!(solo.count("ACK"), 1);
}

#[test]
fn rfc3262_s4_a_prack_is_repeated_until_its_answer() {
    let mut solo = Solo::calling(outgoing());
    solo.respond("INVITE", 183, "a", &rel(1), Some(&sdp(30_000)));
    solo.wait(Duration::from_millis(1_600));
    assert_eq!(solo.count("PRACK"), 3, "0, 500, 1500 ms");
    solo.respond("PRACK", 200, "a", "", None);
    solo.wait(Duration::from_secs(4));
    assert_eq!(solo.count("PRACK"), 3);
}

#[test]
fn no_more_pracks_are_open_than_the_bound() {
    let mut solo = Solo::calling(outgoing());
    for rseq in 1..60 {
        solo.respond("INVITE", 180, "a", &rel(rseq), None);
    }
    assert_eq!(solo.count("PRACK"), 32);
}

#[test]
fn rfc3262_s5_an_offer_in_a_reliable_1xx_is_answered_in_its_prack() {
    let mut solo = Solo::calling(outgoing());
    // Without ports the INVITE has no offer.
    let mut leg = Leg::outgoing(&names(1));
    let mut out = Vec::new();
    leg.act(solo.now, &rules(), LegAction::Invite(Box::new(outgoing())), &mut out);
    (solo.leg, solo.sent) = (leg, Vec::new());
    solo.take(out);
    assert_eq!(solo.last("INVITE").body(), b"");
    solo.act(local_media(20_000));
    solo.respond("INVITE", 183, "a", &rel(5), Some(&sdp(30_000)));
    let prack = solo.last("PRACK");
    assert!(String::from_utf8_lossy(prack.body()).contains("m=audio 20000 "), "{:?}", prack.bytes());
    solo.respond("INVITE", 200, "a", "", None);
    assert_eq!((solo.leg.state(), solo.ports()), (LegState::Talking, vec![30_000]));
    assert_eq!(solo.last("ACK").body(), b"");
}

#[test]
fn an_offer_that_cannot_be_spoken_in_a_reliable_1xx_fails_the_call_and_is_cancelled() {
    let mut solo = Solo::calling(outgoing());
    let foreign = sdp(30_000).replace("RTP/AVP 8 101", "RTP/AVP 18");
    solo.respond("INVITE", 183, "a", &rel(5), Some(&foreign));
    assert_eq!((solo.count("PRACK"), solo.count("CANCEL")), (1, 1));
    assert!(solo.heard.contains(&failed(488, true)), "{:?}", solo.heard);
}

/// A caller's leg that has sent 183, and the RSeq of it, when it is reliable.
fn early(extra: &str, body: Option<&str>, policy: Reliable) -> (Solo, Option<String>) {
    let mut solo = Solo::called(extra, body, policy);
    solo.act(local_media(20_000));
    solo.act(LegAction::Early);
    let rseq = solo.newest().header(Name::RSeq).map(|value| String::from_utf8_lossy(value).into_owned());
    (solo, rseq)
}

#[test]
fn rfc3262_s3_who_gets_reliable_answers() {
    let offer = sdp(30_000);
    for (says, policy, on_180, on_183) in [
        ("", Reliable::Required, false, false),
        ("Supported: 100rel", Reliable::Off, false, false),
        ("Supported: 100rel", Reliable::Offered, false, true),
        ("Supported: 100rel", Reliable::Required, true, true),
        ("Require: 100rel", Reliable::Off, true, true),
        ("Require: 100rel", Reliable::Offered, true, true),
    ] {
        let (solo, rseq) = early(says, Some(&offer), policy);
        assert_eq!(rseq.is_some(), on_183, "{says} {policy:?}");
        assert_eq!(solo.newest().has_token(Name::Require, "100rel"), on_183);
        let mut solo = Solo::called(says, Some(&offer), policy);
        solo.act(LegAction::Ring);
        assert_eq!(solo.newest().status(), Some(180));
        assert_eq!(solo.newest().header(Name::RSeq).is_some(), on_180, "{says} {policy:?}");
    }
}

#[test]
fn rfc3262_s3_the_200_waits_for_the_prack_of_a_described_1xx_at_each_instant() {
    for answered_after_ms in (0..6_000).step_by(250) {
        let (mut solo, rseq) = early("Supported: 100rel", Some(&sdp(30_000)), Reliable::Offered);
        solo.wait(Duration::from_millis(answered_after_ms));
        solo.act(LegAction::Answer);
        assert_eq!(solo.count("SIP/2.0 200"), 0, "held at {answered_after_ms} ms");
        solo.wait(Duration::from_secs(1));
        solo.request("PRACK", 8, &format!("RAck: {} 7 INVITE", rseq.expect("reliable")), None);
        let answers: Vec<_> = solo.sent.iter().filter(|(_, message)| message.status() == Some(200)).collect();
        let methods: Vec<_> = answers.iter().map(|(_, message)| message.cseq_method().as_str()).collect();
        assert_eq!(methods, ["PRACK", "INVITE"]);
        let before = solo.count("SIP/2.0 183");
        solo.request("ACK", 7, "", None);
        solo.wait(Duration::from_secs(9));
        assert_eq!((solo.count("SIP/2.0 183"), solo.leg.state()), (before, LegState::Talking));
    }
}

#[test]
fn rfc3262_s3_a_1xx_without_description_holds_nothing_and_its_late_prack_is_taken() {
    let mut solo = Solo::called("Require: 100rel", Some(&sdp(30_000)), Reliable::Offered);
    solo.act(LegAction::Ring);
    let rseq = String::from_utf8_lossy(solo.newest().header(Name::RSeq).expect("reliable")).into_owned();
    solo.act(local_media(20_000));
    solo.act(LegAction::Answer);
    assert_eq!(solo.newest().status(), Some(200));
    assert!(!solo.newest().body().is_empty());
    solo.request("PRACK", 8, &format!("RAck: {rseq} 7 INVITE"), None);
    assert_eq!(solo.newest().status(), Some(200), "{:?}", solo.newest());
}

#[test]
fn rfc3262_s3_the_next_1xx_waits_and_only_the_newest_goes_out() {
    let mut solo = Solo::called("Require: 100rel", Some(&sdp(30_000)), Reliable::Offered);
    solo.act(LegAction::Ring);
    solo.act(local_media(20_000));
    solo.act(LegAction::Ring);
    solo.act(LegAction::Early);
    assert_eq!((solo.count("SIP/2.0 180"), solo.count("SIP/2.0 183")), (1, 0));
    let first: u32 = String::from_utf8_lossy(solo.newest().header(Name::RSeq).expect("reliable")).parse().unwrap();
    solo.request("PRACK", 8, &format!("RAck: {first} 7 INVITE"), None);
    assert_eq!((solo.count("SIP/2.0 180"), solo.count("SIP/2.0 183")), (1, 1));
    assert_eq!(solo.newest().header(Name::RSeq), Some((first + 1).to_string().as_bytes()));
}

#[test]
fn rfc3262_s3_without_prack_the_invite_is_refused_at_64_t1_but_an_emergency_is_answered_on() {
    let (mut solo, _) = early("Require: 100rel", Some(&sdp(30_000)), Reliable::Offered);
    solo.wait(Duration::from_millis(31_999));
    assert_eq!(solo.leg.state(), LegState::Waiting);
    assert_eq!(solo.count("SIP/2.0 183"), 7, "0, 0.5, 1.5, 3.5, 7.5, 15.5, 31.5 s");
    solo.wait(Duration::from_millis(1));
    assert_eq!(solo.newest().status(), Some(504));
    assert_eq!(solo.count_events(is_end), 1);

    let (mut solo, _) = early("Require: 100rel", Some(&sdp(30_000)), Reliable::Offered);
    solo.act(LegAction::Keep);
    solo.act(LegAction::Answer);
    solo.wait(Duration::from_secs(33));
    assert_eq!((solo.count_events(is_end), solo.leg.state()), (0, LegState::Talking));
    assert!(solo.count("SIP/2.0 200") > 0);
}

#[test]
fn rfc3262_s3_a_prack_for_nothing_gets_481_and_changes_nothing() {
    let (mut solo, rseq) = early("Require: 100rel", Some(&sdp(30_000)), Reliable::Offered);
    let rseq = rseq.expect("reliable");
    for rack in ["1 7 INVITE", &format!("{rseq} 6 INVITE"), &format!("{rseq} 7 BYE"), "nonsense"] {
        let cseq = 8 + u32::try_from(solo.sent.len()).unwrap();
        solo.request("PRACK", cseq, &format!("RAck: {rack}"), None);
        assert_eq!(solo.newest().status(), Some(481), "{rack}");
    }
    solo.act(LegAction::Answer);
    assert_eq!(solo.count("SIP/2.0 200"), 0, "still held");
}

#[test]
fn rfc3262_s5_our_offer_in_a_reliable_1xx_is_answered_by_the_prack() {
    let mut solo = Solo::called("Require: 100rel", None, Reliable::Offered);
    solo.act(LegAction::Ring);
    assert_eq!(solo.count("SIP/2.0 180"), 0, "the first reliable one carries the offer, so it waits for our ports");
    solo.act(local_media(20_000));
    assert_eq!(solo.newest().status(), Some(180));
    assert!(String::from_utf8_lossy(solo.newest().body()).contains("m=audio 20000 "));
    let rseq = String::from_utf8_lossy(solo.newest().header(Name::RSeq).expect("reliable")).into_owned();
    solo.act(LegAction::Answer);
    solo.request("PRACK", 8, &format!("RAck: {rseq} 7 INVITE"), Some(&sdp(30_000)));
    assert_eq!(solo.ports(), [30_000]);
    assert_eq!((solo.newest().status(), solo.newest().body()), (Some(200), &b""[..]));
    solo.request("ACK", 7, "", None);
    assert!(solo.heard.contains(&LegEvent::Confirmed) && solo.count_events(is_end) == 0, "{:?}", solo.heard);
}

#[test]
fn our_offer_without_an_answer_in_the_prack_refuses_the_invite() {
    let mut solo = Solo::called("Require: 100rel", None, Reliable::Offered);
    solo.act(local_media(20_000));
    solo.act(LegAction::Ring);
    let rseq = String::from_utf8_lossy(solo.newest().header(Name::RSeq).expect("reliable")).into_owned();
    solo.request("PRACK", 8, &format!("RAck: {rseq} 7 INVITE"), None);
    assert_eq!(solo.count("SIP/2.0 488"), 2, "PRACK and INVITE: {:?}", solo.sent);
    assert_eq!(solo.count_events(is_end), 1);
}

#[test]
fn rfc6337_an_offer_in_the_prack_is_answered_in_its_200() {
    let (mut solo, rseq) = early("Supported: 100rel", Some(&sdp(30_000)), Reliable::Offered);
    solo.request("PRACK", 8, &format!("RAck: {} 7 INVITE", rseq.expect("reliable")), Some(&sdp(31_000)));
    assert_eq!(solo.newest().status(), Some(200));
    assert!(String::from_utf8_lossy(solo.newest().body()).contains("m=audio 20000 "));
    assert_eq!(solo.ports(), [30_000, 31_000]);
}

#[test]
fn a_cancel_while_the_200_is_held_ends_it_once() {
    let (mut solo, _) = early("Require: 100rel", Some(&sdp(30_000)), Reliable::Offered);
    solo.act(LegAction::Answer);
    solo.hear(theirs("CANCEL", "", 7, "", None));
    assert_eq!((solo.count("SIP/2.0 487"), solo.count_events(is_end)), (1, 1), "{:?}", solo.sent);
    let provisionals = solo.count("SIP/2.0 183");
    solo.wait(Duration::from_secs(5));
    assert_eq!(solo.count("SIP/2.0 183"), provisionals, "nothing is repeated after the final answer");
}

#[test]
fn two_of_our_own_legs_make_a_call_with_and_without_100rel() {
    for (caller, callee) in [
        (Reliable::Required, Reliable::Offered),
        (Reliable::Offered, Reliable::Required),
        (Reliable::Off, Reliable::Required),
        (Reliable::Required, Reliable::Off),
    ] {
        for lost in 0..14 {
            let mut pair = Pair::new(&[lost]);
            pair.policy = callee;
            pair.act(true, local_media(20_000));
            let mut wanted = outgoing();
            wanted.target.reliable = caller;
            pair.act(true, LegAction::Invite(Box::new(wanted)));
            pair.until(|pair| pair.callee.is_some());
            pair.act(false, LegAction::Ring);
            pair.act(false, local_media(30_000));
            pair.act(false, LegAction::Early);
            pair.act(false, LegAction::Answer);
            pair.until(|pair| pair.has(false, &LegEvent::Confirmed));
            assert!(pair.has(true, &LegEvent::Answered));
            pair.act(true, LegAction::HangUp(EndReason::Normal));
            pair.until(|pair| pair.count(|(caller, event)| !caller && matches!(event, LegEvent::Bye { .. })) == 1);
            pair.drain();
            let told = pair.count(|(caller, event)| *caller && matches!(event, LegEvent::Remote(_)));
            assert_eq!((told, pair.count(|(_, event)| is_end(event))), (1, 1), "lost {lost}: {:?}", pair.heard);
        }
    }
}
