//! Dialogs as RFC 3261 §12 builds them, from both ends.

use super::*;
use crate::base::flow::{FlowId, Side, Transport};

const CONTACT: &str = "<sip:us@127.0.0.1:5060>";

fn flow() -> Flow {
    Flow {
        id: FlowId(1),
        side: Side::Trunk,
        transport: Transport::Udp,
        local: "127.0.0.1:5060".parse().unwrap(),
        remote: "127.0.0.2:5070".parse().unwrap(),
    }
}

fn message(text: &str) -> Message {
    let text = text.replace('\n', "\r\n") + "Content-Length: 0\r\n\r\n";
    Message::datagram(Bytes::from(text)).unwrap()
}

fn their_request(method: &str, cseq: u32, to_tag: &str, extra: &str) -> Message {
    message(&format!(
        "{method} sip:us@127.0.0.1 SIP/2.0\nVia: SIP/2.0/UDP peer.example;rport;branch=z9hG4bK{method}{cseq}\n\
         From: \"p\" <sip:peer@peer.example>;tag=theirs\nTo: <sip:12345@us.example>{to_tag}\nCall-ID: c1\n\
         CSeq: {cseq} {method}\nMax-Forwards: 70\n{extra}"
    ))
}

fn our_invite() -> Message {
    let opening = Opening {
        target: b"sip:1001@10.0.0.1",
        from: &NameAddr::parse(b"<sip:12345@us.example>;tag=ours").unwrap(),
        to: &NameAddr::parse(b"<sip:1001@us.example>").unwrap(),
        call_id: "c2",
        cseq: 1,
        contact: CONTACT.as_bytes(),
        routes: &[],
        flow: &flow(),
    };
    opening.request(&Method::Invite, "z9hG4bKfirst").finish()
}

fn answer(request: &Message, status: u16, tag: &str, lines: &[(Name, &str)]) -> Message {
    let draft = Draft::response(request, status, None).to_tag(tag.as_bytes());
    lines.iter().fold(draft, |draft, (name, value)| draft.header(*name, value)).finish()
}

fn uac(status: u16, lines: &[(Name, &str)]) -> Dialog {
    let invite = our_invite();
    Dialog::uac(&invite, &answer(&invite, status, "theirs", lines), flow(), CONTACT).unwrap()
}

fn lines(message: &Message, name: Name) -> Vec<&str> {
    message.headers(name).map(|value| std::str::from_utf8(value).unwrap()).collect()
}

const CONTACT_1: (Name, &str) = (Name::Contact, "<sip:1001@10.0.0.1:5071>");

#[test]
fn rfc3261_s8_1_1_an_opening_has_all_it_must_have() {
    let invite = our_invite();
    assert!(invite.is_complete());
    assert_eq!(invite.via().sent_by(), b"127.0.0.1:5060");
    assert_eq!(invite.via().branch(), Some(&b"z9hG4bKfirst"[..]));
    assert_eq!(lines(&invite, Name::Contact), [CONTACT]);
}

#[test]
fn rfc3261_s12_1_2_uac_reverses_record_route_and_takes_the_contact() {
    let mut dialog =
        uac(200, &[(Name::RecordRoute, "<sip:p2.example;lr>"), (Name::RecordRoute, "<sip:p1.example;lr>"), CONTACT_1]);
    assert_eq!(dialog.state(), DialogState::Confirmed);
    let bye = dialog.bye("z9hG4bKbye").finish();
    assert!(bye.is_complete());
    assert_eq!(bye.request_uri(), Some(&b"sip:1001@10.0.0.1:5071"[..]));
    assert_eq!(lines(&bye, Name::Route), ["<sip:p1.example;lr>", "<sip:p2.example;lr>"]);
    assert_eq!((bye.from_tag(), bye.to_tag()), (Some(&b"ours"[..]), Some(&b"theirs"[..])));
    assert_eq!(bye.cseq(), &CSeq::new(2, Method::Bye));
    assert_eq!(dialog.state(), DialogState::Terminated);
}

#[test]
fn rfc3261_s12_1_1_uas_keeps_record_route_in_order_and_answers_with_its_tag() {
    let invite = their_request(
        "INVITE",
        7,
        "",
        "Record-Route: <sip:p1.example;lr>, <sip:p2.example;lr>\nContact: <sip:peer@10.1.1.1>\n",
    );
    let mut dialog = Dialog::uas(&invite, b"ours", flow(), CONTACT).unwrap();
    let ok = dialog.respond(&invite, 200, None).finish();
    assert_eq!(ok.to_tag(), Some(&b"ours"[..]));
    assert_eq!(lines(&ok, Name::Contact), [CONTACT]);
    assert_eq!(lines(&ok, Name::RecordRoute), ["<sip:p1.example;lr>, <sip:p2.example;lr>"]);
    assert_eq!(ok.via().rport(), Some(Some(5070)), "the answer's Via says where the request came from");
    assert_eq!(dialog.state(), DialogState::Confirmed);
    let bye = dialog.bye("z9hG4bKbye").finish();
    assert_eq!(lines(&bye, Name::Route), ["<sip:p1.example;lr>", "<sip:p2.example;lr>"]);
    assert_eq!(bye.request_uri(), Some(&b"sip:peer@10.1.1.1"[..]));
    assert_eq!(lines(&bye, Name::To), ["\"p\" <sip:peer@peer.example>;tag=theirs"]);
}

#[test]
fn rfc3261_s8_2_6_2_a_100_carries_no_tag_of_ours() {
    let invite = their_request("INVITE", 7, "", "Contact: <sip:peer@10.1.1.1>\n");
    let mut dialog = Dialog::uas(&invite, b"ours", flow(), CONTACT).unwrap();
    assert_eq!(dialog.respond(&invite, 100, None).finish().to_tag(), None);
    assert_eq!(dialog.respond(&invite, 180, None).finish().to_tag(), Some(&b"ours"[..]));
    assert_eq!(dialog.respond(&invite, 486, None).finish().contact(), None);
    assert_eq!(dialog.state(), DialogState::Terminated);
}

#[test]
fn rfc3261_s12_1_1_an_invite_without_a_usable_contact_makes_no_dialog() {
    for contact in ["", "Contact: <tel:110>\n"] {
        let invite = their_request("INVITE", 7, "", contact);
        assert!(Dialog::uas(&invite, b"ours", flow(), CONTACT).is_none());
    }
}

#[test]
fn the_route_set_is_not_overwritten_by_an_in_dialog_2xx() {
    let mut dialog = uac(200, &[(Name::RecordRoute, "<sip:p1.example;lr>"), CONTACT_1]);
    let again = dialog.request(&Method::Invite, "z9hG4bKre").finish();
    dialog.on_response(&answer(
        &again,
        200,
        "theirs",
        &[(Name::RecordRoute, "<sip:evil.example;lr>"), (Name::Contact, "<sip:1001@10.0.0.9>")],
    ));
    assert_eq!(dialog.routes(), [Bytes::from("<sip:p1.example;lr>")]);
    assert_eq!(dialog.target(), "sip:1001@10.0.0.9", "the target does move");
}

#[test]
fn rfc3261_s13_2_2_4_a_2xx_fixes_the_route_set_of_an_early_dialog() {
    let invite = our_invite();
    let mut dialog = uac(180, &[(Name::RecordRoute, "<sip:p1.example;lr>"), CONTACT_1]);
    assert_eq!(dialog.state(), DialogState::Early);
    dialog.on_response(&answer(&invite, 200, "theirs", &[(Name::RecordRoute, "<sip:p2.example;lr>"), CONTACT_1]));
    assert_eq!(dialog.state(), DialogState::Confirmed);
    assert_eq!(dialog.routes(), [Bytes::from("<sip:p2.example;lr>")]);
}

#[test]
fn rfc3261_s12_2_2_a_reinvite_or_update_that_succeeds_moves_the_target() {
    let invite = their_request("INVITE", 7, "", "Contact: <sip:peer@10.1.1.1>\n");
    let mut dialog = Dialog::uas(&invite, b"ours", flow(), CONTACT).unwrap();
    dialog.respond(&invite, 200, None);
    for (method, cseq, status, target) in [
        ("INVITE", 8, 488, "sip:peer@10.1.1.1"),
        ("INVITE", 9, 200, "sip:peer@10.1.1.9"),
        ("INFO", 10, 200, "sip:peer@10.1.1.9"),
        ("UPDATE", 11, 200, "sip:peer@10.1.1.11"),
    ] {
        let request = their_request(method, cseq, ";tag=ours", &format!("Contact: <sip:peer@10.1.1.{cseq}>\n"));
        dialog.on_request(&request).unwrap();
        dialog.respond(&request, status, None);
        assert_eq!(dialog.target(), target, "{method}");
    }
    assert_eq!(dialog.state(), DialogState::Confirmed, "a refused re-INVITE ends no dialog");
}

#[test]
fn rfc3261_s12_2_2_lower_cseq_is_500_and_ack_and_cancel_are_exempt() {
    let invite = their_request("INVITE", 7, "", "Contact: <sip:peer@10.1.1.1>\n");
    let mut dialog = Dialog::uas(&invite, b"ours", flow(), CONTACT).unwrap();
    let fault = dialog.on_request(&their_request("BYE", 6, ";tag=ours", "")).unwrap_err();
    assert_eq!((fault, fault.status()), (DialogFault::OutOfOrder, 500));
    assert_ne!(dialog.state(), DialogState::Terminated);
    dialog.on_request(&their_request("ACK", 7, ";tag=ours", "")).unwrap();
    dialog.on_request(&their_request("CANCEL", 3, "", "")).unwrap();
    dialog.on_request(&their_request("BYE", 100, ";tag=ours", "")).unwrap();
    assert_eq!(dialog.on_request(&their_request("INFO", 101, ";tag=ours", "")).unwrap_err().status(), 481);
}

#[test]
fn rfc3261_s12_2_1_1_a_strict_router_takes_the_request_uri() {
    let mut dialog =
        uac(200, &[(Name::RecordRoute, "<sip:p2.example;lr>"), (Name::RecordRoute, "<sip:strict.example>"), CONTACT_1]);
    let bye = dialog.bye("z9hG4bKbye").finish();
    assert_eq!(bye.request_uri(), Some(&b"sip:strict.example"[..]));
    assert_eq!(lines(&bye, Name::Route), ["<sip:p2.example;lr>", "<sip:1001@10.0.0.1:5071>"]);
}

#[test]
fn rfc3261_s13_2_2_4_ack_has_the_invites_number_and_is_kept_for_repetitions() {
    let mut dialog = uac(200, &[CONTACT_1]);
    dialog.request(&Method::Info, "z9hG4bKinfo");
    let ack = dialog.ack(1, "z9hG4bKack", &[], Some(("application/sdp", Bytes::from("v=0"))));
    let read = Message::datagram(ack.bytes().clone()).unwrap();
    assert_eq!(read.cseq(), &CSeq::new(1, Method::Ack));
    assert_eq!(read.request_uri(), Some(&b"sip:1001@10.0.0.1:5071"[..]), "to the contact, not to the first target");
    assert_eq!(read.body(), b"v=0");
    assert_eq!(dialog.ack_again(1), Some(ack));
    assert_eq!(dialog.ack_again(2), None);
}

#[test]
fn rfc3261_s13_2_2_4_a_late_fork_gets_ack_and_bye() {
    let invite = our_invite();
    let late = answer(&invite, 200, "fork2", &[(Name::Contact, "<sip:1001@10.0.0.2>")]);
    let mut fork = Dialog::uac(&invite, &late, flow(), CONTACT).unwrap();
    assert_ne!(*fork.id(), *uac(180, &[CONTACT_1]).id());
    let (ack, bye) = fork.dismiss(fork.local_cseq(), "z9hG4bKa", "z9hG4bKb");
    let ack = Message::datagram(ack.into_bytes()).unwrap();
    assert_eq!((ack.cseq().number, bye.cseq().number), (1, 2));
    assert_eq!((ack.to_tag(), bye.to_tag()), (Some(&b"fork2"[..]), Some(&b"fork2"[..])));
    assert_eq!(bye.request_uri(), Some(&b"sip:1001@10.0.0.2"[..]));
    assert_eq!(fork.state(), DialogState::Terminated);
}

#[test]
fn rfc3261_s12_1_no_dialog_from_100_refusals_or_answers_without_tag() {
    let invite = our_invite();
    for status in [100, 302, 486] {
        assert!(Dialog::uac(&invite, &answer(&invite, status, "t", &[]), flow(), CONTACT).is_none());
    }
    let untagged = Draft::response(&invite, 180, None).finish();
    assert!(Dialog::uac(&invite, &untagged, flow(), CONTACT).is_none());
}

#[test]
fn rfc5057_s5_1_481_ends_the_dialog_unless_it_is_about_a_subscription() {
    let mut dialog = uac(200, &[CONTACT_1]);
    let notify = dialog.request(&Method::Notify, "z9hG4bKn").finish();
    dialog.on_response(&answer(&notify, 481, "theirs", &[]));
    assert_eq!(dialog.state(), DialogState::Confirmed);
    let again = dialog.request(&Method::Invite, "z9hG4bKre").finish();
    dialog.on_response(&answer(&again, 491, "theirs", &[]));
    assert_eq!(dialog.state(), DialogState::Confirmed);
    dialog.on_response(&answer(&again, 481, "theirs", &[]));
    assert_eq!(dialog.state(), DialogState::Terminated);
}

#[test]
fn rfc3891_s3_replaces_names_our_tag_first() {
    let dialog = uac(200, &[CONTACT_1]);
    let ours = dialog.replaces();
    assert_eq!(ours.to_bytes(), b"c2;to-tag=theirs;from-tag=ours");
    assert!(!dialog.is_named_by(&ours), "that is how the peer names it");
    let theirs = Replaces::parse(b"c2;from-tag=theirs;to-tag=ours").unwrap();
    assert!(dialog.is_named_by(&theirs));
}

#[test]
fn ids_of_both_directions_agree() {
    let invite = our_invite();
    let ok = answer(&invite, 200, "theirs", &[CONTACT_1]);
    let dialog = Dialog::uac(&invite, &ok, flow(), CONTACT).unwrap();
    assert_eq!(DialogId::of_response(&ok).as_ref(), Some(dialog.id()));
    let bye = their_request("BYE", 1, ";tag=ours", "");
    assert_eq!(DialogId::of_request(&bye), Some(DialogId::new(b"c1", b"ours", b"theirs")));
    assert_eq!(DialogId::of_request(&our_invite()), None);
}

#[test]
fn a_dialog_survives_a_checkpoint_and_shows_no_address() {
    let mut dialog = uac(200, &[CONTACT_1]);
    dialog.ack(1, "z9hG4bKack", &[], None);
    let text = serde_json::to_string(&dialog).unwrap();
    assert_eq!(serde_json::from_str::<Dialog>(&text).unwrap(), dialog);
    assert!(!format!("{dialog:?}").contains("1001"));
}

#[test]
fn rfc5407_s3_2_1_a_bye_that_crossed_ours_is_no_fault_and_a_second_one_is() {
    let mut dialog = uac(200, &[CONTACT_1]);
    dialog.bye("z9hG4bKbye");
    assert_eq!(dialog.on_request(&their_request("INFO", 1, ";tag=ours", "")), Err(DialogFault::Over));
    assert_eq!(dialog.on_request(&their_request("BYE", 2, ";tag=ours", "")), Ok(()));
    assert_eq!(dialog.on_request(&their_request("BYE", 3, ";tag=ours", "")), Err(DialogFault::Over));
    let mut ended = uac(200, &[CONTACT_1]);
    assert_eq!(ended.on_request(&their_request("BYE", 2, ";tag=ours", "")), Ok(()));
    ended.bye("z9hG4bKbye");
    assert_eq!(ended.on_request(&their_request("BYE", 3, ";tag=ours", "")), Err(DialogFault::Over), "theirs was first");
}
