//! Messages of odd shape: too long, too deep, folded, compact, lying about their length, with octets of no charset.

use std::time::Duration;

use bytes::Bytes;
use switch12345::base::flow::{Flow, Side, Transport};
use switch12345::sip::frame::{Frame, Framer};
use switch12345::sip::parse::Limits;

use crate::engine::{Engine, first_line, flow, udp};
use crate::rfc3665::{ALICE, BOB, alice_hangs_up, at, engine, talking};
use crate::wire::{Talk, sdp, words};

fn tcp(side: Side, remote: &str) -> Flow {
    flow(side, Transport::Tcp, remote.parse().expect("an address"))
}

/// First statuses given to a message of a known trunk.
fn statuses(engine: &mut Engine, flow: Flow, text: impl Into<Bytes>) -> Vec<u16> {
    engine.receive(flow, text);
    let sent = engine.sent_to(flow.remote);
    sent.iter().filter_map(switch12345::sip::message::Message::status).collect()
}

fn invite(extra: &str) -> String {
    let mut caller = Talk::caller(udp(Side::Trunk, ALICE), "12369", "shape");
    let body = sdp("10.1.0.7", 30_000);
    caller.request("INVITE", extra, &body)
}

/// Everything odd goes in beside a talk; the talk is not touched and ends as any other.
fn beside_a_talk(odd: &[(String, Flow)]) {
    let mut engine = engine();
    let (mut alice, bob) = talking(&mut engine);
    let id = engine.call().control().identity().call;
    for (text, flow) in odd {
        let before = engine.calls[&id].clone();
        engine.receive(*flow, text.clone());
        engine.wire.clear();
        assert_eq!(engine.calls[&id], before, "{}", first_line(text.as_bytes()));
    }
    for call in engine.calls.keys().copied().filter(|call| *call != id).collect::<Vec<_>>() {
        let reason = switch12345::event::reason::EndReason::Normal;
        engine.operate(call, switch12345::call::words::OperatorCommand::HangUp { leg: None, reason });
    }
    engine.run_for(Duration::from_secs(80));
    engine.wire.clear();
    alice_hangs_up(&mut engine, &mut alice, &bob);
}

#[test]
fn header_lines_beyond_the_bounds_are_refused_and_those_within_are_carried() {
    let flow = udp(Side::Trunk, "10.1.0.8:5060");
    let mut engine = Engine::new(1);
    let long = format!("X-Long: {}\r\n", "a".repeat(4_000));
    assert_eq!(statuses(&mut engine, flow, invite(&long))[0], 100);
    let mut engine = Engine::new(1);
    let huge = format!("X-Long: {}\r\n", "a".repeat(60_000));
    let given = statuses(&mut engine, flow, invite(&huge));
    assert!(given == [400] || given == [513], "{given:?}");
    let many = (0..10_000).map(|nth| format!("X-{nth}: 1\r\n")).collect::<String>();
    let given = statuses(&mut engine, flow, invite(&many));
    assert!(given == [400] || given == [513] || given.is_empty(), "{given:?}");
    assert_eq!(engine.tables().calls, 0);
}

#[test]
fn a_thousand_vias_and_a_deep_route_are_refused_or_answered_whole() {
    let vias = (0..1_000).map(|nth| format!("Via: SIP/2.0/UDP h{nth};branch=z9hG4bKv{nth}\r\n")).collect::<String>();
    let routes = (0..500).map(|nth| format!("Record-Route: <sip:p{nth};lr>\r\n")).collect::<String>();
    for extra in [vias, routes] {
        let mut engine = engine();
        let flow = udp(Side::Trunk, "10.1.0.8:5060");
        engine.receive(flow, invite(&extra));
        let sent = engine.sent_to(flow.remote);
        let given = sent[0].status();
        assert!(matches!(given, Some(100 | 400 | 513)), "{given:?}");
        if given == Some(100) {
            assert!(sent[0].bytes().len() < 65_000, "an answer fits a datagram");
        }
    }
}

#[test]
fn octets_of_no_charset_folding_and_compact_names_are_read() {
    let flow = udp(Side::Trunk, "10.1.0.8:5060");
    let folded = invite("X-Folded: one\r\n two\r\n\tthree\r\n");
    let compact =
        invite("").replace("Via:", "v:").replace("From:", "f:").replace("To:", "t:").replace("Call-ID:", "i:");
    let compact = compact.replace("Contact:", "m :").replace("Content-Type:", "c:").replace("Content-Length:", "l:");
    for text in [folded, compact] {
        let mut engine = Engine::new(1);
        assert_eq!(statuses(&mut engine, flow, text)[0], 100);
    }
    let mut engine = Engine::new(1);
    let gbk = [b"From: \"\xd5\xc5\xc8\xfd\xd5\x5c\" <sip:1".as_slice(), b"3"].concat();
    let text = invite("").into_bytes();
    let at = text.windows(13).position(|window| window == b"From: <sip:13").expect("a From");
    let text = [&text[..at], &gbk, &text[at + 13..]].concat();
    assert_eq!(statuses(&mut engine, flow, text)[0], 100, "{}", engine.story());
    let mut engine = Engine::new(1);
    let nul = invite("X-Nul: a\0b\r\n");
    assert_eq!(statuses(&mut engine, flow, nul), [400]);
}

#[test]
fn odd_messages_beside_a_talk_do_not_touch_it() {
    let stranger = udp(Side::Trunk, "203.0.113.5:5060");
    let carrier = udp(Side::Trunk, "10.1.0.8:5060");
    let phone = udp(Side::Agent, "10.8.0.200:5060");
    let shapes = [
        invite(&format!("X-Long: {}\r\n", "a".repeat(60_000))),
        invite(&"Via: SIP/2.0/UDP h;branch=z9hG4bKv\r\n".repeat(1_000)),
        invite("X-Nul: a\0b\r\n"),
        invite("Content-Length: 7\r\n"),
        invite("").replace("CSeq: 1", "CSeq: 99999999999999"),
        invite("").replace("Content-Length: ", "Content-Length: -"),
        invite("").replace("SIP/2.0\r\nVia", "SIP/9.0\r\nVia"),
        invite("").replace("INVITE", "ACK"),
        invite("").replace("INVITE", "BYE"),
        invite("Require: nonsense\r\n"),
        invite("Max-Forwards: 0\r\n"),
        "\r\n\r\n".to_owned(),
        String::new(),
        "GET / HTTP/1.1\r\nHost: x\r\n\r\n".to_owned(),
        "SIP/2.0 200 OK\r\n\r\n".to_owned(),
    ];
    let odd: Vec<_> =
        shapes.iter().flat_map(|text| [stranger, carrier, phone].map(|flow| (text.clone(), flow))).collect();
    beside_a_talk(&odd);
}

/// What a framer makes of a stream, fed in pieces of this size.
fn framed(stream: &[u8], piece: usize) -> Vec<Frame> {
    let mut framer = Framer::new(Limits::DEFAULT);
    let mut frames = Vec::new();
    for part in stream.chunks(piece) {
        framer.push(part);
        while let Some(frame) = framer.next_frame() {
            frames.push(frame);
        }
    }
    frames
}

#[test]
fn a_stream_is_cut_into_the_same_messages_whatever_the_pieces() {
    let one = invite("").replace("SIP/2.0/UDP", "SIP/2.0/TCP");
    let two = Talk::caller(tcp(Side::Trunk, ALICE), "12369", "two").request("OPTIONS", "", "");
    let stream = format!("\r\n\r\n{one}\r\n\r\n{two}{one}").into_bytes();
    let whole = framed(&stream, stream.len());
    assert_eq!(whole.iter().filter(|frame| matches!(frame, Frame::Message(_))).count(), 3);
    for piece in 1..stream.len() {
        let messages = |frames: &[Frame]| -> Vec<Bytes> {
            let message = |frame: &Frame| match frame {
                Frame::Message(bytes) => Some(bytes.clone()),
                _ => None,
            };
            frames.iter().filter_map(message).collect()
        };
        assert_eq!(messages(&framed(&stream, piece)), messages(&whole), "pieces of {piece}");
    }
}

#[test]
fn a_length_that_lies_smuggles_no_second_request() {
    let bye = "BYE sip:12345@10.0.0.1 SIP/2.0\r\nVia: SIP/2.0/TCP h;branch=z9hG4bKsmug\r\n\r\n";
    let lies = [
        ("Content-Length : 0\r\n", "white space before the colon"),
        ("Content-Length: 0\r\nContent-Length: 5\r\n", "two lengths"),
        ("Content-Length: +0\r\n", "a sign"),
        ("Content-Length: 0x10\r\n", "another base"),
        ("Content-Length: 18446744073709551616\r\n", "beyond 64 bits"),
        ("l: 0\r\nContent-Length: 3\r\n", "short and long name"),
    ];
    for (lie, what) in lies {
        let mut talk = Talk::caller(tcp(Side::Trunk, ALICE), "12369", "lie");
        let text = talk.request("MESSAGE", lie, bye).replace("Content-Type: application/sdp\r\n", "");
        let frames = framed(text.as_bytes(), text.len());
        let smuggled = frames.iter().any(|frame| matches!(frame, Frame::Message(bytes) if bytes.starts_with(b"BYE")));
        assert!(!smuggled, "{what}: {frames:?}");
    }
}

#[test]
fn a_call_over_a_stream_goes_like_one_over_datagrams() {
    let mut engine = Engine::new(1);
    let (trunk, agent) = (tcp(Side::Trunk, ALICE), tcp(Side::Agent, BOB));
    engine.register("1001", agent);
    let mut alice = Talk::caller(trunk, "12369", "a");
    engine.receive(trunk, alice.invite());
    engine.expect(at(ALICE), &["100 INVITE"]);
    let invite = engine.expect(at(BOB), &["INVITE"]).remove(0);
    assert_eq!(invite.via().known_transport(), Some(Transport::Tcp));
    let bob = Talk::callee(agent, &invite, "tb");
    engine.receive(agent, bob.accept(&invite));
    engine.expect(at(BOB), &["ACK"]);
    let ok = engine.expect(at(ALICE), &["200 INVITE"]).remove(0);
    assert!(ok.contact().is_some_and(|contact| contact.uri_bytes().ends_with(b";transport=tcp")));
    engine.run_for(Duration::from_secs(3));
    let again = words(&engine.sent_to(at(ALICE)));
    assert!(again.iter().all(|word| word == "200 INVITE"), "{again:?}");
    alice.learn(&ok);
    let ack = alice.ack("");
    engine.receive(trunk, ack);
    alice_hangs_up(&mut engine, &mut alice, &bob);
}
