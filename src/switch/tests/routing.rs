//! Every message to its leg, and what belongs nowhere to its refusal.

use super::*;

#[test]
fn a_repeated_invite_and_every_cancel_reach_the_leg_the_first_made() {
    let mut bench = Bench::new(&[]);
    let call = bench.call("12345", "a");
    for method in ["INVITE", "CANCEL", "CANCEL", "ACK"] {
        bench.bytes(carrier(), request(method, "12345", "a", ""));
        assert_eq!(bench.delivered(), [(call, LegId(0), method.to_owned())]);
        assert!(bench.begun().is_none() && bench.statuses().is_empty());
    }
    bench.bytes(carrier(), request("CANCEL", "12345", "other", ""));
    assert_eq!(bench.statuses(), [481]);
    bench.switch.call_over(call);
    bench.bytes(carrier(), request("CANCEL", "12345", "a", ""));
    assert_eq!(bench.statuses(), [481], "after the call there is nothing to cancel");
    bench.assert_nothing_held();
}

#[test]
fn rfc3261_s8_2_2_2_the_same_request_by_another_way_gets_482() {
    let mut bench = Bench::new(&[]);
    let call = bench.call("12345", "a");
    let merged = request("INVITE", "12345", "a", "").replace("branch=z9hG4bK", "branch=z9hG4bKfork");
    bench.bytes(carrier(), merged);
    assert_eq!(bench.statuses(), [482]);
    assert!(bench.counted(&Counted::Merged));
    bench.switch.call_over(call);
    bench.assert_nothing_held();
}

#[test]
fn a_request_in_no_dialog_of_ours_gets_481_and_its_ack_silence() {
    let mut bench = Bench::new(&[]);
    let call = bench.call("12345", "a");
    let tagged = |method: &str, tag: &str| {
        request(method, "12345", "x", "")
            .replace("To: <sip:12345@127.0.0.1>", &format!("To: <sip:12345@127.0.0.1>;tag={tag}"))
    };
    let ours = bench.key.tag(call, LegId(0), 1);
    let forged = TokenKey::new([0; 16]).tag(call, LegId(0), 1);
    let flip = if ours.ends_with('a') { "b" } else { "a" };
    let near = format!("{}{flip}", &ours[..ours.len() - 1]);
    for tag in ["theirs", &forged, &near] {
        bench.bytes(carrier(), tagged("BYE", tag));
        assert_eq!(bench.statuses(), [481], "{tag}");
        assert!(bench.delivered().is_empty());
        bench.bytes(carrier(), tagged("ACK", tag));
        assert!(bench.statuses().is_empty() && bench.delivered().is_empty());
    }
    bench.bytes(carrier(), tagged("BYE", &ours));
    assert_eq!(bench.delivered(), [(call, LegId(0), "BYE".to_owned())]);
    bench.switch.call_over(call);
    bench.bytes(carrier(), tagged("BYE", &ours));
    assert_eq!(bench.statuses(), [481], "the call is over");
}

#[test]
fn a_response_goes_by_a_branch_of_ours_to_its_leg_and_any_other_nowhere() {
    let mut bench = Bench::new(&[]);
    let call = bench.call("12345", "a");
    let response = |branch: &str| {
        format!(
            "SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP 127.0.0.1:5060;branch={branch}\r\nFrom: <sip:a@h>;tag=1\r\n\
             To: <sip:b@h>;tag=2\r\nCall-ID: c\r\nCSeq: 1 INVITE\r\nContent-Length: 0\r\n\r\n"
        )
    };
    let ours = bench.key.branch(call, LegId(3), 1);
    for foreign in [TokenKey::new([0; 16]).branch(call, LegId(3), 1), "z9hG4bKtheirs".into(), "old".into()] {
        bench.bytes(carrier(), response(&foreign));
        assert_eq!(bench.out, [SwitchEffect::Count(Counted::Stray)]);
    }
    bench.bytes(carrier(), response(&ours));
    assert_eq!(bench.delivered(), [(call, LegId(3), "INVITE".to_owned())]);
}

#[test]
fn what_cannot_be_served_is_refused_with_the_reason() {
    let mut bench = Bench::new(&[]);
    let hops = request("INVITE", "12345", "a", "").replace("Max-Forwards: 70", "Max-Forwards: 0");
    bench.bytes(carrier(), hops);
    assert_eq!(bench.statuses(), [483]);
    bench.bytes(carrier(), request("INVITE", "12345", "b", "Require: 100rel, precondition, timer\r\n"));
    assert_eq!(bench.statuses(), [420]);
    assert_eq!(bench.sent()[0].header(Name::Unsupported), Some(&b"precondition"[..]));
    bench.bytes(carrier(), request("INVITE", "12345", "s", "Supported: timer\r\nSession-Expires: 60\r\n"));
    assert_eq!(bench.statuses(), [422]);
    assert_eq!(bench.sent()[0].header(Name::MinSe), Some(&b"90"[..]));
    bench.bytes(carrier(), hello("12345"));
    assert_eq!(bench.statuses(), [415]);
    assert_eq!(bench.sent()[0].header(Name::Accept), Some(&b"application/sdp, multipart/mixed"[..]));
    for (method, status) in
        [("SUBSCRIBE", 405), ("MESSAGE", 405), ("BYE", 481), ("PRACK", 481), ("FROBNICATE", 501), ("OPTIONS", 200)]
    {
        bench.bytes(carrier(), request(method, "12345", method, ""));
        assert_eq!(bench.statuses(), [status], "{method}");
        let allow = bench.sent()[0].header(Name::Allow).is_some();
        assert_eq!(allow, status != 481, "{method}");
    }
    let twisted = request("INVITE", "12345", "c", "").replace("CSeq: 1 INVITE", "CSeq: 1 BYE");
    bench.bytes(carrier(), twisted);
    assert_eq!(bench.statuses(), [400]);
    let headless = request("INVITE", "12345", "d", "").replace("From:", "Frm:");
    bench.bytes(carrier(), headless);
    let told = |effect: &SwitchEffect| matches!(effect, SwitchEffect::Transmit(_, answer) if answer.starts_with(b"SIP/2.0 400 "));
    assert!(bench.out.iter().any(told) && bench.counted(&Counted::Malformed));
    bench.bytes(carrier(), "\u{0}\u{1}not sip at all");
    assert!(bench.statuses().is_empty());
    bench.assert_nothing_held();
}

#[test]
fn every_table_is_empty_again_after_the_longest_timer() {
    let mut bench = Bench::new(&[]);
    let calls: Vec<CallId> = (0..20).map(|nth| bench.call("12345", &format!("c{nth}"))).collect();
    bench.register("1001", "r");
    bench.with_password(
        phone(),
        &|lines| request("REGISTER", "1001", "gone", &format!("Expires: 0\r\n{lines}")),
        "1001",
        "demo-1001",
    );
    for call in calls {
        bench.switch.note_line(AgentId::new("1001"), MediaLeg { call, leg: LegId(1) }, LineState::Talking);
        bench.switch.call_over(call);
        bench.switch.note_line(AgentId::new("1001"), MediaLeg { call, leg: LegId(1) }, LineState::Talking);
    }
    bench.ms += 64 * 500 + 5_000;
    while let Some(due) = bench.switch.deadline().filter(|due| *due <= at(bench.ms).mono) {
        bench.switch.on_deadline(Now { mono: due, wall: at(bench.ms).wall }, &mut bench.out);
    }
    bench.assert_nothing_held();
}
