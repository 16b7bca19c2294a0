//! Streams cut at every octet, and smuggled lengths.

use super::*;
use crate::sip::message::{Message, Method};

const HEAD: &str =
    "Via: SIP/2.0/TCP 10.0.0.9;branch=z9hG4bKa\r\nFrom: <sip:a@h>;tag=f\r\nTo: <sip:b@h>\r\nCall-ID: c\r\n";

fn request(method: &str, more: &str, body: &str) -> String {
    format!("{method} sip:b@h SIP/2.0\r\n{HEAD}CSeq: 1 {method}\r\n{more}\r\n{body}")
}

fn frames(framer: &mut Framer, bytes: &[u8]) -> Vec<Frame> {
    framer.push(bytes);
    std::iter::from_fn(|| framer.next_frame()).collect()
}

fn cut(bytes: &[u8]) -> Vec<Frame> {
    frames(&mut Framer::new(Limits::DEFAULT), bytes)
}

fn methods(frames: &[Frame]) -> Vec<Method> {
    frames
        .iter()
        .map(|frame| match frame {
            Frame::Message(bytes) => Message::framed(bytes.clone()).unwrap().method().unwrap().clone(),
            other => panic!("{other:?}"),
        })
        .collect()
}

fn broken(bytes: &[u8]) -> Malformed {
    let mut framer = Framer::new(Limits::DEFAULT);
    let all = frames(&mut framer, bytes);
    assert!(framer.is_broken());
    assert!(frames(&mut framer, request("OPTIONS", "l: 0\r\n", "").as_bytes()).is_empty(), "nothing after a fault");
    match all.as_slice() {
        [Frame::Fault(fault)] => fault.clone(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn messages_come_whole_however_the_stream_is_cut() {
    let stream = request("INVITE", "l: 4\r\n", "v=0\r") + &request("ACK", "Content-Length : 0\r\n", "");
    assert_eq!(methods(&cut(stream.as_bytes())), [Method::Invite, Method::Ack]);
    for at in 0..=stream.len() {
        let mut framer = Framer::new(Limits::DEFAULT);
        let (one, two) = stream.as_bytes().split_at(at);
        let all = [frames(&mut framer, one), frames(&mut framer, two)].concat();
        assert_eq!((methods(&all), framer.pending()), (vec![Method::Invite, Method::Ack], 0), "{at}");
    }
    let mut framer = Framer::new(Limits::DEFAULT);
    let all: Vec<_> = stream.bytes().flat_map(|byte| frames(&mut framer, &[byte])).collect();
    assert_eq!(methods(&all), [Method::Invite, Method::Ack]);
}

#[test]
fn a_bye_inside_a_body_stays_inside() {
    let inner = request("BYE", "l: 0\r\n", "");
    for spelling in ["Content-Length : N", "l:N", "Content-Length\t: N", "content-length:\r\n N"] {
        let length = spelling.replace('N', &inner.len().to_string());
        let stream = request("INVITE", &format!("{length}\r\n"), &inner) + &request("OPTIONS", "l: 0\r\n", "");
        assert_eq!(methods(&cut(stream.as_bytes())), [Method::Invite, Method::Options], "{spelling}");
    }
}

#[test]
fn two_lengths_end_the_stream_before_a_smuggled_bye() {
    let inner = request("BYE", "l: 0\r\n", "");
    for lengths in [
        format!("Content-Length: {}\r\nContent-Length: 0\r\n", inner.len()),
        format!("Content-Length: 0\r\nl : {}\r\n", inner.len()),
        "l: 0\r\nl: 0\r\n".to_owned(),
    ] {
        let fault = broken(request("INVITE", &lengths, &inner).as_bytes());
        assert_eq!((fault.status, fault.response_bytes().is_some()), (400, true));
    }
}

#[test]
fn a_length_missing_negative_or_overflowing_ends_the_stream() {
    for more in ["", "l: -1\r\n", "l: x\r\n", "l: 18446744073709551617\r\n", "l: 1e3\r\n", "l:\r\n"] {
        assert_eq!(broken(request("INVITE", more, "").as_bytes()).status, 400, "{more}");
    }
}

#[test]
fn a_message_above_the_limit_ends_the_stream_at_its_header() {
    for length in ["65537", "4294967296", "18446744073709551615"] {
        let fault = broken(request("INVITE", &format!("l: {length}\r\n"), "").as_bytes());
        assert_eq!((fault.status, fault.response_bytes().is_some()), (513, true), "{length}");
    }
    let head = request("INVITE", "l: 00000\r\n", "").len();
    let fits = Limits::DEFAULT.message - head;
    let whole = request("INVITE", &format!("l: {fits}\r\n"), &"b".repeat(fits));
    assert_eq!((whole.len(), methods(&cut(whole.as_bytes())).len()), (Limits::DEFAULT.message, 1));
}

#[test]
fn a_header_section_above_the_limit_ends_the_stream_whether_it_ends_or_not() {
    let filler = "X: y\r\n".repeat(Limits::DEFAULT.head);
    assert_eq!(broken(request("INVITE", &format!("{filler}l: 0\r\n"), "").as_bytes()).status, 513);
    assert_eq!(broken(&vec![b'a'; Limits::DEFAULT.head + 1]).status, 513);
    let mut framer = Framer::new(Limits::DEFAULT);
    assert_eq!(frames(&mut framer, &vec![b'a'; Limits::DEFAULT.head]), []);
    assert!(!framer.is_broken());
}

#[test]
fn bare_line_feeds_end_the_stream() {
    let fault = broken(request("INVITE", "Subject: a\nl: 0\r\n", "").as_bytes());
    assert_eq!(fault.status, 400);
    assert!(
        cut(request("INVITE", "l: 0\r\n", "").replace("\r\n", "\n").as_bytes()).is_empty(),
        "still waiting for CRLF"
    );
}

#[test]
fn a_malformed_message_whose_end_is_certain_costs_only_itself() {
    let bad = request("INVITE", "l: 2\r\n", "ab").replace("CSeq: 1", "CSeq: x");
    let all = cut((bad + &request("OPTIONS", "l: 0\r\n", "")).as_bytes());
    let [Frame::Message(bad), Frame::Message(good)] = all.as_slice() else { panic!("{all:?}") };
    assert_eq!(Message::framed(bad.clone()).unwrap_err().status, 400);
    assert!(Message::framed(good.clone()).is_ok());
}

#[test]
fn a_double_crlf_is_a_ping_and_a_single_one_is_not() {
    assert_eq!(cut(b"\r\n\r\n"), [Frame::KeepAlive]);
    assert_eq!(cut(b"\r\n"), []);
    assert_eq!(cut(b"\r\n\r\n\r\n\r\n"), [Frame::KeepAlive, Frame::KeepAlive]);
    let mut framer = Framer::new(Limits::DEFAULT);
    let all: Vec<_> = b"\r\n\r\n".iter().flat_map(|byte| frames(&mut framer, &[*byte])).collect();
    assert_eq!(all, [Frame::KeepAlive]);
    let stream = format!("\r\n{0}\r\n\r\n{0}\r\n", request("OPTIONS", "l: 0\r\n", ""));
    let kinds: Vec<_> = cut(stream.as_bytes()).iter().map(|frame| matches!(frame, Frame::KeepAlive)).collect();
    assert_eq!(kinds, [false, true, false]);
}

#[test]
fn http_on_a_sip_port_ends_the_stream_in_silence() {
    assert!(broken(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").response_bytes().is_none());
}
