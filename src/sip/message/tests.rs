//! Messages looked at and answered.

use super::super::print::Draft;
use super::*;

const INVITE: &[u8] = b"INVITE sip:12345@10.0.0.1;user=phone SIP/2.0\r\n\
    v: SIP/2.0/UDP 10.0.0.9:5060;rport;branch=z9hG4bKa\r\nf: \"\xb3\xe0\xb7\xe5\" <sip:13800001234@ims>;tag=f1\r\n\
    t: <sip:12345@10.0.0.1>\r\ni: c1\r\nCSeq: 7 INVITE\r\nm: <sip:13800001234@10.0.0.9>, <sip:b@h>\r\n\
    k: 100rel, timer\r\nSupported: Replaces\r\nAllow: INVITE,ACK\r\nDate: Sat, 21 Nov 2026 02:00:00 GMT\r\n\
    X-Odd: 1\r\nx-odd: 2\r\nExpires: 60\r\nc: application/SDP ; charset=x\r\n\
    Authorization: Digest username=\"1001\", response=\"beef\"\r\nl: 6\r\n\r\nsecret";

fn invite() -> Message {
    Message::datagram(Bytes::from_static(INVITE)).unwrap()
}

fn request(method: &str, change: impl Fn(String) -> String) -> Message {
    let text = format!(
        "{method} sip:b@h SIP/2.0\r\nVia: SIP/2.0/UDP h;branch=z9hG4bKa\r\nFrom: <sip:a@h>;tag=1\r\nTo: <sip:b@h>\r\n\
         Call-ID: c\r\nCSeq: 1 {method}\r\nContact: <sip:a@h>\r\n\r\n"
    );
    Message::datagram(Bytes::from(change(text))).unwrap()
}

fn refused(message: &Message) -> u16 {
    message.check_request().unwrap_err().status
}

#[test]
fn fields_are_found_by_name_compact_form_and_bytes() {
    let message = invite();
    assert_eq!(message.header(Name::CallId), Some(&b"c1"[..]));
    assert_eq!(message.header_named(b"call-id"), Some(&b"c1"[..]));
    assert_eq!(message.headers_named(b"X-ODD").collect::<Vec<_>>(), [b"1", b"2"]);
    assert_eq!(message.header_named(b"X-Absent"), None);
    assert_eq!(message.all_headers().count(), 16);
    assert_eq!(message.named_headers().next(), Some((Name::Via, &b"v"[..], message.via().bytes().as_ref())));
}

#[test]
fn lists_are_cut_and_dates_are_not() {
    let message = invite();
    assert_eq!(message.values(Name::Supported).collect::<Vec<_>>(), [&b"100rel"[..], b"timer", b"Replaces"]);
    assert!(message.has_token(Name::Supported, "replaces") && !message.has_token(Name::Supported, "rel"));
    assert_eq!(message.values(Name::Date).collect::<Vec<_>>(), [b"Sat, 21 Nov 2026 02:00:00 GMT"]);
    assert_eq!(message.values(Name::Authorization).count(), 1);
    assert_eq!(message.contact().unwrap().uri_bytes(), b"sip:13800001234@10.0.0.9");
    assert_eq!(message.addresses(Name::Contact).filter(Result::is_ok).count(), 2);
}

#[test]
fn typed_fields_are_read() {
    let message = invite();
    assert_eq!((message.expires(), message.content_length(), message.max_forwards()), (Some(60), Some(6), None));
    assert!(message.is_content("application/sdp") && !message.is_content("application"));
    assert_eq!(message.from().display_text().as_deref(), Some("赤峰"));
    assert_eq!(message.body_bytes(), "secret");
    assert!(message.is(&Method::Invite) && !message.is_response());
}

#[test]
fn debug_shows_no_number_name_body_or_credential() {
    let shown = format!("{:?}", invite());
    assert_eq!(shown, "INVITE sip:12345@10.0.0.1 (16 headers, 6 octets of body)");
    let other = request("OPTIONS", |text| text.replace("OPTIONS sip:b@h", "OPTIONS sip:13800001234@h"));
    assert!(format!("{other:?}").contains("138****1234"));
}

#[test]
fn a_message_survives_serde_and_equals_by_bytes() {
    let message = invite();
    let text = serde_json::to_string(&message).unwrap();
    let back: Message = serde_json::from_str(&text).unwrap();
    assert_eq!((&back, back.from_tag(), back.cseq()), (&message, message.from_tag(), message.cseq()));
    assert_ne!(Draft::from_message(&message).header(Name::Subject, "x").finish(), message);
    for address in [message.from().clone(), NameAddr::default()] {
        let text = serde_json::to_string(&address).unwrap();
        assert_eq!(serde_json::from_str::<NameAddr>(&text).unwrap(), address);
    }
    let text = serde_json::to_string(message.via()).unwrap();
    assert_eq!(serde_json::from_str::<Via>(&text).unwrap(), *message.via());
}

#[test]
fn a_good_request_passes() {
    assert_eq!(invite().check_request(), Ok(()));
    assert_eq!(request("REGISTER", |text| text.replace("Contact: <sip:a@h>", "Contact: *")).check_request(), Ok(()));
    assert_eq!(request("INVITE", |text| text.replace("sip:b@h SIP", "tel:+8647612345 SIP")).check_request(), Ok(()));
}

#[test]
fn what_is_wrong_by_meaning_is_refused() {
    assert_eq!(refused(&request("OPTIONS", |text| text.replace("1 OPTIONS", "1 INVITE"))), 400);
    assert_eq!(refused(&request("OPTIONS", |text| text.replace("sip:b@h SIP", "nobodyKnows:x SIP"))), 416);
    assert_eq!(refused(&request("OPTIONS", |text| text.replace("sip:b@h SIP", "<sip:b@h> SIP"))), 400);
    assert_eq!(refused(&request("OPTIONS", |text| text.replace("sip:b@h SIP", "sip:b@h?Route=x SIP"))), 400);
    assert_eq!(refused(&request("OPTIONS", |text| text.replace("bKa", "bKa, ;"))), 400);
    assert_eq!(refused(&request("OPTIONS", |text| text.replace("To: <sip:b@h>", "To: < sip:b@h >"))), 400);
    assert_eq!(refused(&request("OPTIONS", |text| text.replace("<sip:a@h>\r\n\r\n", "sip:a@h?x=y\r\n\r\n"))), 400);
    assert_eq!(refused(&request("OPTIONS", |text| text.replace("Contact: <sip:a@h>", "Contact: *"))), 400);
    assert_eq!(refused(&request("REGISTER", |text| text.replace("To: <sip:b@h>", "To: isbn:298"))), 400);
}

#[test]
fn unknown_extensions_are_listed() {
    let message =
        request("INVITE", |text| text.replace("Contact:", "Require: timer, Nope\r\nProxy-Require: b, c\r\nContact:"));
    let (refusal, unknown) = message.check_extensions(&["timer", "c"]).unwrap_err();
    assert_eq!((refusal.status, unknown), (420, vec!["Nope".to_owned(), "b".to_owned()]));
    assert!(message.check_extensions(&["TIMER", "nope", "b", "c"]).is_ok());
    let ack = request("ACK", |text| text.replace("Contact:", "Require: x\r\nContact:"));
    assert!(ack.check_extensions(&[]).is_ok());
}
