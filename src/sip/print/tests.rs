//! Messages written and read back.

use super::*;
use crate::sip::header::address::NameAddr;

fn invite() -> Message {
    Draft::request(&Method::Invite, b"sip:12345@h")
        .header(Name::Via, "SIP/2.0/UDP 10.0.0.9:5060;rport;branch=z9hG4bKa, SIP/2.0/TCP up;branch=z9hG4bKb")
        .header(Name::Via, "SIP/2.0/TLS origin;branch=z9hG4bKc")
        .header(Name::RecordRoute, "<sip:p1;lr>, <sip:p2;lr>")
        .header(Name::From, "\"\u{8d64}\u{5cf0}\" <sip:13800001234@h>;tag=f")
        .header(Name::To, "<sip:12345@h>")
        .header(Name::CallId, "c1")
        .header(Name::CSeq, "7 INVITE")
        .header(Name::MaxForwards, "70")
        .header(Name::Timestamp, "54")
        .body("application/sdp", "v=0\r\n")
        .finish()
}

fn wire(message: &Message) -> String {
    String::from_utf8(message.bytes().to_vec()).unwrap()
}

#[test]
fn a_request_is_written_in_the_order_given() {
    let message = invite();
    assert!(message.is_complete());
    assert!(wire(&message).starts_with("INVITE sip:12345@h SIP/2.0\r\nVia: SIP/2.0/UDP 10.0.0.9:5060;rport"));
    assert!(wire(&message).ends_with("Content-Type: application/sdp\r\nContent-Length: 5\r\n\r\nv=0\r\n"));
    assert_eq!(Message::datagram(message.bytes().clone()).unwrap(), message);
}

#[test]
fn a_response_copies_what_matching_needs() {
    let source = "192.0.2.7:40000".parse().unwrap();
    let response = Draft::response(&invite(), 180, None).via_source(source).to_tag(b"t9").finish();
    assert_eq!(
        wire(&response),
        "SIP/2.0 180 Ringing\r\n\
         Via: SIP/2.0/UDP 10.0.0.9:5060;branch=z9hG4bKa;received=192.0.2.7;rport=40000\r\n\
         Via: SIP/2.0/TCP up;branch=z9hG4bKb\r\nVia: SIP/2.0/TLS origin;branch=z9hG4bKc\r\n\
         From: \"\u{8d64}\u{5cf0}\" <sip:13800001234@h>;tag=f\r\nTo: <sip:12345@h>;tag=t9\r\nCall-ID: c1\r\n\
         CSeq: 7 INVITE\r\nRecord-Route: <sip:p1;lr>, <sip:p2;lr>\r\nContent-Length: 0\r\n\r\n"
    );
    assert!(response.is_complete());
}

#[test]
fn record_route_is_copied_only_where_a_dialog_is_made() {
    for (status, copied) in [(100, false), (183, true), (200, true), (302, false), (486, false)] {
        let response = Draft::response(&invite(), status, None).finish();
        assert_eq!(response.header(Name::RecordRoute).is_some(), copied, "{status}");
        assert_eq!(response.header(Name::Timestamp).is_some(), status == 100, "{status}");
    }
}

#[test]
fn a_to_tag_that_is_there_stays() {
    let request = Draft::from_message(&invite()).replace(Name::To, "<sip:12345@h>;tag=old").finish();
    assert_eq!(Draft::response(&request, 200, None).to_tag(b"new").finish().to_tag(), Some(&b"old"[..]));
}

#[test]
fn no_header_can_be_injected() {
    let evil = "x\r\nVia: evil\r\n\r\nBYE\0";
    let message = Draft::request(&Method::Options, evil.as_bytes())
        .header(Name::Subject, evil)
        .header_raw(b"X-Note", evil.as_bytes())
        .header_raw(b"X\r\nVia: evil\r\nY", b"1")
        .header_raw(b"content-length", b"99")
        .header_raw(b"l", b"99")
        .header(Name::ContentLength, "99")
        .prepend(Name::Via, evil)
        .body(evil, "b")
        .finish();
    let response = Draft::response(&message, 999, Some(evil)).to_tag(evil.as_bytes()).finish();
    for written in [&message, &response] {
        let head = wire(written);
        let head = head.split_once("\r\n\r\n").unwrap().0;
        assert!(!head.contains("\nVia: evil") && !head.contains("\nBYE") && !head.contains('\0'), "{head}");
        assert_eq!(head.matches("Content-Length").count(), 1);
    }
    assert_eq!((message.body(), response.status()), (&b"b"[..], Some(699)));
    assert_eq!(message.request_uri(), Some(&b"xVia:evilBYE"[..]));
}

#[test]
fn gbk_bytes_pass_through_a_draft_unchanged() {
    let from = b"\"\xd5\x5c\xb7\xe5\" <sip:1@h>;tag=f";
    let request = Draft::from_message(&invite()).replace(Name::From, from).finish();
    let response = Draft::response(&request, 200, None).to_tag(b"t").finish();
    assert_eq!(response.header(Name::From), Some(&from[..]));
    assert_eq!(Draft::from_message(&request).finish().from(), &NameAddr::parse(from).unwrap());
}

#[test]
fn a_message_can_be_changed() {
    let message = invite();
    let same = Draft::from_message(&message).finish();
    assert_eq!(same, message);
    let changed = Draft::from_message(&message)
        .prepend(Name::Via, "SIP/2.0/UDP us;branch=z9hG4bKus")
        .without(Name::RecordRoute)
        .without_body()
        .header_opt(Name::Subject, None::<&str>)
        .header_opt(Name::Priority, Some("emergency"))
        .finish();
    assert_eq!((changed.via().branch(), changed.body()), (Some(&b"z9hG4bKus"[..]), &b""[..]));
    assert_eq!((changed.content_type(), changed.header(Name::RecordRoute)), (None, None));
    assert_eq!(changed.header(Name::Priority), Some(&b"emergency"[..]));
    let back = Draft::from_message(&changed).without_top(Name::Via).finish();
    assert_eq!(back.via(), message.via());
}

#[test]
fn a_draft_that_lacks_fields_becomes_a_message_that_says_so() {
    let bare = Draft::request(&Method::Bye, b"sip:h").finish();
    assert!(!bare.is_complete());
    assert_eq!((bare.call_id(), bare.from_tag(), bare.via().branch()), (&b""[..], None, None));
    assert_eq!(bare.method(), Some(&Method::Bye));
}
