//! Where messages go: route sets, targets, transports; and bodies in an odd form.

use super::script::{Solo, sdp};
use super::*;

#[test]
fn the_ack_goes_to_the_contact_over_the_flow_of_the_invite() {
    let mut solo = Solo::calling(outgoing());
    let answer = solo.response(&solo.last("INVITE"), 200, "a", "", Some(&sdp(30_000)));
    let answer =
        String::from_utf8(answer.to_vec()).unwrap().replace("sip:a@127.0.0.1:6000", "sip:line2@127.0.0.1:6001");
    solo.flow = flow(5062, 6000);
    solo.hear(answer.into());
    let (over, ack) = solo.sent.last().expect("an ACK");
    assert!(ack.is(&Method::Ack) && ack.request_uri() == Some(b"sip:line2@127.0.0.1:6001"), "{ack:?}");
    assert_eq!(*over, flow(5062, 6000));
}

#[test]
fn a_session_refresh_has_its_own_dialogs_headers_and_description() {
    let mut pair = Pair::talking(&[]);
    pair.caller.updates = false;
    pair.until(|pair| pair.wire.iter().any(|(_, caller, bytes)| *caller && bytes.starts_with(b"INVITE")));
    let refresh = sent_by_caller(&pair, b"INVITE");
    let names = pair.caller.dialog_names().expect("a dialog");
    assert_eq!(refresh.call_id(), &names.call_id[..]);
    assert_eq!(refresh.from_tag(), Some(&names.local_tag[..]));
    assert_eq!(refresh.to_tag(), Some(&names.remote_tag[..]));
    assert_eq!(refresh.header_named(b"X-Hotline"), None, "what introduced the call is not said again");
    assert!(String::from_utf8_lossy(refresh.body()).contains("m=audio 20000 "), "our own port");
}

fn routes(message: &Message) -> Vec<String> {
    message.headers(Name::Route).map(|value| String::from_utf8_lossy(value).into_owned()).collect()
}

#[test]
fn rfc3261_s12_1_2_requests_follow_the_route_set_of_the_2xx_and_no_later_one() {
    let mut solo = Solo::calling(outgoing());
    solo.respond("INVITE", 180, "a", "Record-Route: <sip:early.example;lr>", None);
    let recorded = "Record-Route: <sip:near.example;lr>\r\nRecord-Route: <sip:far.example;lr>";
    solo.respond("INVITE", 200, "a", recorded, Some(&sdp(30_000)));
    let set = ["<sip:far.example;lr>", "<sip:near.example;lr>"];
    assert_eq!(routes(&solo.last("ACK")), set, "reversed, and that of the 2xx");
    solo.act(LegAction::Refresh);
    assert_eq!(routes(&solo.last("INVITE")), set);
    let other = "Record-Route: <sip:hijack.example;lr>";
    solo.respond("INVITE", 200, "a", other, Some(&sdp(30_000)));
    assert_eq!(routes(&solo.last("ACK")), set);
    solo.request("UPDATE", 5, other, None);
    solo.act(LegAction::HangUp(EndReason::Normal));
    let bye = solo.last("BYE");
    assert_eq!(
        (routes(&bye), bye.request_uri()),
        (set.map(str::to_owned).to_vec(), Some(&b"sip:caller@127.0.0.1:6000"[..]))
    );
}

#[test]
fn rfc3261_s12_2_1_1_a_strict_router_takes_the_request_uri() {
    let mut solo = Solo::answered("a", "Record-Route: <sip:loose.example;lr>\r\nRecord-Route: <sip:strict.example>");
    solo.act(LegAction::HangUp(EndReason::Normal));
    let bye = solo.last("BYE");
    assert_eq!(bye.request_uri(), Some(&b"sip:strict.example"[..]));
    assert_eq!(routes(&bye), ["<sip:loose.example;lr>", "<sip:a@127.0.0.1:6000>"]);
}

#[test]
fn rfc3261_s12_1_1_the_callees_route_set_is_the_record_route_in_its_order_and_is_copied_into_the_200() {
    let recorded = "Record-Route: <sip:near.example;lr>\r\nRecord-Route: <sip:far.example;lr>";
    let mut solo = Solo::talking(recorded);
    let answer = solo.sent.iter().find(|(_, sent)| sent.status() == Some(200)).map(|(_, sent)| sent.clone()).unwrap();
    let copied: Vec<_> = answer.headers(Name::RecordRoute).collect();
    assert_eq!(copied, [&b"<sip:near.example;lr>"[..], b"<sip:far.example;lr>"]);
    solo.act(LegAction::HangUp(EndReason::Normal));
    assert_eq!(routes(&solo.last("BYE")), ["<sip:near.example;lr>", "<sip:far.example;lr>"]);
}

#[test]
fn rfc7118_a_contact_that_cannot_be_reached_is_reached_over_its_flow() {
    let mut wanted = outgoing();
    wanted.target.flow.transport = Transport::Ws;
    wanted.target.uri = "sip:1001@df7jal23ls0d.invalid;transport=ws".into();
    let mut solo = Solo::calling(wanted.clone());
    let answer = solo.response(&solo.last("INVITE"), 200, "a", "", Some(&sdp(30_000)));
    let text = String::from_utf8(answer.to_vec()).unwrap();
    solo.hear(text.replace("sip:a@127.0.0.1:6000", "sip:1001@df7jal23ls0d.invalid;transport=ws").into());
    solo.act(LegAction::HangUp(EndReason::Normal));
    for method in ["INVITE", "ACK", "BYE"] {
        let request = solo.last(method);
        assert_eq!(request.request_uri(), Some(wanted.target.uri.as_bytes()), "{method}");
        assert!(String::from_utf8_lossy(request.bytes()).contains("Via: SIP/2.0/WS "), "{method}");
    }
    assert!(solo.sent.iter().all(|(over, _)| *over == wanted.target.flow));
}

/// An INVITE too large for a datagram, with a stream to the same peer.
fn large() -> Outgoing {
    let mut wanted = outgoing();
    wanted.headers.push(("X-Long".into(), Bytes::from(vec![b'x'; 900])));
    let stream = Flow { id: FlowId(9), transport: Transport::Tcp, ..wanted.target.flow };
    wanted.target.stream = Some(stream);
    wanted
}

#[test]
fn rfc3261_s18_1_1_a_large_invite_goes_over_the_stream_and_so_does_its_dialog() {
    let small = Solo::calling(Outgoing { headers: Vec::new(), ..large() });
    assert_eq!(small.sent.last().map(|(over, _)| over.transport), Some(Transport::Udp));
    let mut solo = Solo::calling(large());
    let (over, invite) = solo.sent.last().cloned().expect("an INVITE");
    assert_eq!(over.transport, Transport::Tcp);
    let text = String::from_utf8_lossy(invite.bytes()).into_owned();
    assert!(text.contains("Via: SIP/2.0/TCP ") && text.contains("Contact: <sip:12345@127.0.0.1:5062;transport=tcp>"));
    solo.wait(Duration::from_millis(2_000));
    assert_eq!(solo.count("INVITE"), 1, "a stream repeats by itself");
    solo.flow = over;
    solo.respond("INVITE", 200, "a", "", Some(&sdp(30_000)));
    assert_eq!(solo.sent.last().map(|(over, _)| over.transport), Some(Transport::Tcp));
    let mut alone = large();
    alone.target.stream = None;
    assert_eq!(Solo::calling(alone).sent.last().map(|(over, _)| over.transport), Some(Transport::Udp));
}

#[test]
fn rfc3261_s18_1_1_where_the_stream_cannot_be_opened_the_datagram_goes_after_all() {
    let down = |solo: &mut Solo| {
        let mut out = Vec::new();
        solo.leg.on_transport_down(solo.now, &rules(), FlowId(9), &mut out);
        solo.take(out);
    };
    let mut solo = Solo::calling(large());
    down(&mut solo);
    let (over, invite) = solo.sent.last().cloned().expect("an INVITE");
    assert_eq!((over.transport, solo.count("INVITE")), (Transport::Udp, 2));
    let text = String::from_utf8_lossy(invite.bytes()).into_owned();
    assert!(text.contains("Via: SIP/2.0/UDP ") && text.contains("Contact: <sip:12345@127.0.0.1:5062>\r\n"));
    assert!(text.contains("m=audio 20000 "));
    solo.respond("INVITE", 200, "a", "", Some(&sdp(30_000)));
    assert_eq!((solo.leg.state(), solo.count_events(is_end)), (LegState::Talking, 0));
    // Whoever has responded has it: then the loss of the stream is the loss of the attempt.
    let mut solo = Solo::calling(large());
    solo.respond("INVITE", 180, "a", "", None);
    down(&mut solo);
    assert!(solo.heard.contains(&failed(503, false)) && solo.count("INVITE") == 1, "{:?}", solo.heard);
    // And not twice.
    let mut solo = Solo::calling(large());
    down(&mut solo);
    down(&mut solo);
    assert_eq!((solo.count("INVITE"), solo.count_events(is_end)), (2, 0));
}

#[test]
fn rfc5621_a_description_in_a_multipart_body_is_read_both_ways() {
    let body = format!(
        "--b1\r\nContent-Type: application/sdp\r\n\r\n{}\r\n--b1\r\nContent-Type: application/pidf+xml\r\n\r\n<x/>\r\n--b1--\r\n",
        sdp(30_000)
    );
    let kind = "Content-Type: multipart/mixed;boundary=b1";
    let mut solo = Solo::called(kind, Some(&body), Reliable::Offered);
    solo.act(local_media(20_000));
    solo.act(LegAction::Answer);
    assert_eq!(solo.ports(), [30_000]);
    let mut solo = Solo::calling(outgoing());
    let answer = solo.response(&solo.last("INVITE"), 200, "a", "", Some(&body));
    let text = String::from_utf8(answer.to_vec()).unwrap();
    solo.hear(
        text.replace("Content-Type: application/sdp\r\nContent-Length", &format!("{kind}\r\nContent-Length")).into(),
    );
    assert_eq!((solo.ports(), solo.leg.state()), (vec![30_000], LegState::Talking));
}

#[test]
fn an_invite_without_offer_gets_ours_and_is_answered_in_the_ack() {
    for (answer, talks) in [(Some(sdp(30_000)), true), (None, false)] {
        let mut solo = Solo::called("", None, Reliable::Offered);
        solo.act(local_media(20_000));
        solo.act(LegAction::Ring);
        solo.act(LegAction::Answer);
        assert!(String::from_utf8_lossy(solo.newest().body()).contains("m=audio 20000 "));
        solo.wait(Duration::from_secs(3));
        solo.request("ACK", 7, "", answer.as_deref());
        assert_eq!((solo.leg.state() == LegState::Talking, solo.count("BYE")), (talks, usize::from(!talks)));
    }
    // In a talk the same leaves it as it was.
    let mut solo = Solo::talking("");
    solo.request("INVITE", 8, "", None);
    assert!(String::from_utf8_lossy(solo.newest().body()).contains("m=audio 20000 "));
    solo.request("ACK", 8, "", None);
    assert_eq!((solo.leg.state(), solo.ports()), (LegState::Talking, vec![30_000]));
    solo.request("INVITE", 9, "", None);
    solo.request("ACK", 9, "", Some(&sdp(31_000)));
    assert_eq!((solo.leg.state(), solo.ports()), (LegState::Talking, vec![30_000, 31_000]));
}

#[test]
fn an_invite_of_ours_without_ports_has_no_offer_and_the_ack_answers_the_callees() {
    for ready in [true, false] {
        let mut solo = Solo::calling(outgoing());
        let mut out = Vec::new();
        (solo.leg, solo.sent) = (Leg::outgoing(&names(1)), Vec::new());
        solo.leg.act(solo.now, &rules(), LegAction::Invite(Box::new(outgoing())), &mut out);
        solo.take(out);
        assert_eq!(solo.last("INVITE").body(), b"");
        if ready {
            solo.act(local_media(20_000));
        }
        solo.respond("INVITE", 200, "a", "", Some(&sdp(30_000)));
        let answered = String::from_utf8_lossy(solo.last("ACK").body()).contains("m=audio 20000 ");
        assert_eq!((answered, solo.count("BYE")), (ready, usize::from(!ready)), "{:?}", solo.heard);
        assert_eq!(solo.leg.state() == LegState::Talking, ready);
    }
}

#[test]
fn what_supported_says_is_what_may_be_required() {
    assert_eq!(super::super::stamp::SUPPORTED, super::super::words::EXTENSIONS.join(", "));
}
