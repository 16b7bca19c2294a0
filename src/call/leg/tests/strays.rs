//! What is not of this dialog or transaction changes nothing and draws 481, 500 or silence.

use super::script::{Solo, sdp, theirs};
use super::*;

fn altered(bytes: &Bytes, from: &str, to: &str) -> Bytes {
    let text = String::from_utf8(bytes.to_vec()).expect("ASCII");
    assert!(text.contains(from), "{from} in {text}");
    text.replacen(from, to, 1).into()
}

/// The leg hears this: nothing about it changes; what it answers, if anything.
fn unmoved(solo: &mut Solo, bytes: Bytes) -> Option<u16> {
    let (before, sent, heard) = (solo.leg.clone(), solo.sent.len(), solo.heard.len());
    let text = String::from_utf8_lossy(&bytes).into_owned();
    solo.hear(bytes);
    assert_eq!(solo.leg, before, "{text}");
    assert_eq!(solo.heard.len(), heard, "{text}");
    solo.sent.get(sent).map(|(_, answer)| answer.status().expect("an answer"))
}

#[test]
fn requests_with_other_tags_or_call_id_draw_481_and_an_ack_silence() {
    for (method, body) in [
        ("BYE", None),
        ("INVITE", Some(sdp(31_000))),
        ("UPDATE", None),
        ("INFO", None),
        ("REFER", None),
        ("PRACK", None),
    ] {
        let mut solo = Solo::talking("");
        let right = solo.text(method, 50, "", body.as_deref());
        for (from, to) in
            [(";tag=theirs", ";tag=stranger"), (";tag=theirs", ""), ("Call-ID: one-call", "Call-ID: other")]
        {
            assert_eq!(unmoved(&mut solo, altered(&right, from, to)), Some(481), "{method} {to}");
        }
        let to_tag = format!("To: <sip:12345@127.0.0.1>;tag={}", {
            let names = solo.leg.dialog_names().expect("a dialog");
            String::from_utf8(names.local_tag).expect("ASCII")
        });
        assert_eq!(unmoved(&mut solo, altered(&right, &to_tag, &format!("{to_tag}x"))), Some(481));
        let ack = solo.text("ACK", 50, "", None);
        assert_eq!(unmoved(&mut solo, altered(&ack, "theirs", "stranger")), None);
    }
}

#[test]
fn the_other_side_of_us_and_unknown_carriers_are_not_heard() {
    let mut solo = Solo::talking("");
    for method in ["BYE", "ACK", "INFO"] {
        solo.flow.side = Side::Trunk;
        let text = solo.text(method, 50, "", None);
        assert_eq!(unmoved(&mut solo, text), (method != "ACK").then_some(481), "{method}");
    }
    // A carrier's dialog is its trunk's: another address of it is, any other is not.
    let trunk =
        |remote: &str| Flow { side: Side::Trunk, remote: remote.parse().expect("an address"), ..flow(5062, 6000) };
    for (remote, known, status) in
        [("127.0.0.1:6999", false, 200), ("127.0.0.9:6000", false, 481), ("127.0.0.9:6000", true, 200)]
    {
        let mut wanted = outgoing();
        wanted.target.flow = trunk("127.0.0.1:6000");
        let mut solo = Solo::calling(wanted);
        solo.respond("INVITE", 200, "a", "", Some(&sdp(30_000)));
        let bye = Message::datagram(solo.text("BYE", 5, "", None)).expect("valid");
        let arrived = Arrived { message: bye, flow: trunk(remote) };
        let mut out = Vec::new();
        solo.leg.on_sip(solo.now, &rules(), Sender { credential: None, known }, &arrived, &mut out);
        solo.take(out);
        assert_eq!(solo.newest().status(), Some(status), "{remote} {known}");
        assert_eq!(solo.leg.has_ended(), status == 200);
    }
}

#[test]
fn responses_that_are_not_ours_change_nothing() {
    for status in [183, 200, 401, 486] {
        let mut solo = Solo::calling(outgoing());
        let invite = solo.last("INVITE");
        let right = solo.response(&invite, status, "a", "", Some(&sdp(30_000)));
        let branch = String::from_utf8_lossy(invite.via().branch().expect("ours")).into_owned();
        let own_tag = String::from_utf8_lossy(invite.from_tag().expect("ours")).into_owned();
        let two = "Via: SIP/2.0/UDP 127.0.0.9;branch=z9hG4bKother\r\nVia:";
        let swaps = [
            (branch.as_str(), "z9hG4bKother".to_owned()),
            (own_tag.as_str(), "stranger".to_owned()),
            ("CSeq: 1 INVITE", "CSeq: 2 INVITE".to_owned()),
            ("CSeq: 1 INVITE", "CSeq: 1 BYE".to_owned()),
            ("Call-ID: ", "Call-ID: x".to_owned()),
            ("From:", format!("Via: SIP/2.0/UDP 127.0.0.9;branch={branch}\r\nFrom:")),
        ];
        for (from, to) in swaps {
            let stray = altered(&right, from, &to);
            assert_eq!(unmoved(&mut solo, stray), None, "{status} {from}");
        }
        assert_eq!(unmoved(&mut solo, altered(&right, "Via:", two)), None, "{status}: another topmost Via");
    }
}

#[test]
fn a_lower_cseq_gets_500_and_an_equal_repetition_its_answer_again() {
    let mut solo = Solo::talking("");
    solo.request("INFO", 50, "", None);
    for (method, body) in [("BYE", None), ("INVITE", Some(sdp(31_000))), ("UPDATE", Some(sdp(31_000)))] {
        solo.request(method, 49, "", body.as_deref());
        assert_eq!((solo.newest().status(), solo.newest().cseq().number), (Some(500), 49), "{method}");
    }
    solo.request("INFO", 50, "", None);
    assert_eq!((solo.newest().status(), solo.newest().cseq().number), (Some(200), 50));
    assert_eq!((solo.leg.state(), solo.ports()), (LegState::Talking, vec![30_000]));
}

#[test]
fn a_cancel_after_the_final_answer_or_of_another_transaction_ends_nothing() {
    let mut solo = Solo::talking("");
    solo.hear(theirs("CANCEL", "", 7, "", None));
    assert_eq!((solo.newest().status(), solo.newest().cseq_method()), (Some(200), &Method::Cancel));
    assert_eq!((solo.leg.state(), solo.count_events(is_end)), (LegState::Talking, 0));

    let mut solo = Solo::called("", Some(&sdp(30_000)), Reliable::Offered);
    let right = theirs("CANCEL", "", 7, "", None);
    for (from, to) in [("z9hG4bKINVITE7", "z9hG4bKother"), (";tag=theirs", ";tag=stranger"), ("one-call", "other")] {
        assert_eq!(unmoved(&mut solo, altered(&right, from, to)), Some(481), "{to}");
    }
    solo.hear(right);
    assert_eq!((solo.newest().status(), solo.newest().cseq_method()), (Some(487), &Method::Invite));
}

#[test]
fn an_ack_with_another_number_tag_or_branch_confirms_nothing() {
    let mut solo = Solo::called("", Some(&sdp(30_000)), Reliable::Offered);
    solo.act(local_media(20_000));
    solo.act(LegAction::Answer);
    for cseq in [6, 8] {
        let ack = solo.text("ACK", cseq, "", None);
        assert_eq!(unmoved(&mut solo, ack), None);
    }
    let right = solo.text("ACK", 7, "", None);
    assert_eq!(unmoved(&mut solo, altered(&right, ";tag=theirs", ";tag=stranger")), None);
    solo.hear(right.clone());
    assert!(solo.heard.contains(&LegEvent::Confirmed));
    assert_eq!(unmoved(&mut solo, right), None, "a second ACK says nothing new");

    // A refusal is repeated until the ACK with the INVITE's own branch.
    let mut solo = Solo::called("", Some(&sdp(30_000)), Reliable::Offered);
    solo.act(LegAction::Reject { status: 486, q850: None, retry_after: None });
    let other = solo.text("ACK", 7, "", None);
    assert_eq!(unmoved(&mut solo, other.clone()), None);
    solo.hear(altered(&other, "z9hG4bKACK7", "z9hG4bKINVITE7"));
    let before = solo.count("SIP/2.0 486");
    solo.wait(Duration::from_secs(3));
    assert_eq!(solo.count("SIP/2.0 486"), before);
}

#[test]
fn what_a_calls_dialog_does_not_serve_is_refused_cleanly() {
    let mut solo = Solo::talking("");
    for (method, extra, status, says) in [
        ("MESSAGE", "Content-Type: text/plain", 405, Name::Allow),
        ("SUBSCRIBE", "Event: dialog", 489, Name::AllowEvents),
        ("NOTIFY", "Event: refer\r\nSubscription-State: active", 481, Name::Server),
        ("PUBLISH", "", 405, Name::Allow),
        ("FROBNICATE", "", 405, Name::Allow),
        ("OPTIONS", "", 200, Name::Accept),
        ("INFO", "", 200, Name::Server),
        ("INFO", "Info-Package: foo", 469, Name::Server),
        ("INFO", "Require: precondition", 420, Name::Unsupported),
        ("INVITE", "Require: precondition", 420, Name::Unsupported),
    ] {
        let cseq = 50 + u32::try_from(solo.sent.len()).expect("few");
        solo.request(method, cseq, extra, (method == "MESSAGE").then_some("hello"));
        assert_eq!(solo.newest().status(), Some(status), "{method} {extra}");
        assert!(solo.newest().header(says).is_some(), "{method} {says:?}");
    }
    solo.request("INFO", 90, "Content-Type: application/x-foo", Some("x"));
    assert_eq!(solo.newest().status(), Some(415));
    assert_eq!((solo.leg.state(), solo.count_events(is_end)), (LegState::Talking, 0));
}

#[test]
fn digits_come_in_both_forms_of_info() {
    let mut solo = Solo::talking("");
    let said = [
        ("application/dtmf-relay", "Signal=5\r\nDuration=160\r\n"),
        ("application/dtmf-relay", "Duration=160\r\nsignal= #\r\n"),
        ("application/dtmf", "*"),
        ("application/dtmf", "x"),
    ];
    for (cseq, (kind, body)) in (50..).zip(said) {
        solo.request("INFO", cseq, &format!("Content-Type: {kind}"), Some(body));
        assert_eq!(solo.newest().status(), Some(200), "{body}");
    }
    let digits: Vec<_> = solo.heard.iter().filter(|event| matches!(event, LegEvent::Digit(_))).cloned().collect();
    assert_eq!(digits, [LegEvent::Digit('5'), LegEvent::Digit('#'), LegEvent::Digit('*')]);
}

#[test]
fn rfc4488_a_refer_that_wants_no_notify_gets_none_and_the_next_one_is_taken() {
    let mut solo = Solo::talking("");
    let refer = "Refer-To: <sip:120@127.0.0.1>\r\nReferred-By: \"desk\" <sip:1001@127.0.0.1>;cid=\"x\"";
    solo.request("REFER", 50, &format!("{refer}\r\nRefer-Sub: false\r\nRequire: norefersub"), None);
    assert_eq!((solo.newest().status(), solo.newest().header(Name::ReferSub)), (Some(202), Some(&b"false"[..])));
    solo.request("REFER", 51, refer, None);
    assert_eq!(solo.newest().status(), Some(491), "one transfer at a time");
    solo.act(LegAction::ReferProgress { status: 603 });
    assert_eq!(solo.count("NOTIFY"), 0);
    solo.request("REFER", 52, refer, None);
    solo.act(LegAction::ReferProgress { status: 200 });
    let events: Vec<_> = solo.sent.iter().filter_map(|(_, sent)| sent.header(Name::Event)).collect();
    assert_eq!(events, [b"refer;id=52", b"refer;id=52"]);
    let by = |event: &LegEvent| matches!(event, LegEvent::Refer { referred_by: Some(by), .. } if &**by == "sip:1001@127.0.0.1");
    assert_eq!(solo.count_events(by), 2);
    solo.request("REFER", 53, &format!("{refer}\r\nRefer-To: <sip:119@127.0.0.1>"), None);
    assert_eq!(solo.newest().status(), Some(400), "RFC 3515 §2.4.1: exactly one Refer-To");
}
