//! Messages read whole, broken and hostile.

use super::*;
use crate::sip::message::Malformed;

const HEAD: &str = "Via: SIP/2.0/UDP 10.0.0.9:5060;branch=z9hG4bKa\r\nFrom: <sip:13800001234@h>;tag=f\r\n\
                    To: <sip:12345@h>\r\nCall-ID: c1\r\nCSeq: 7 INVITE\r\nMax-Forwards: 70\r\n";

fn invite(more: &str, body: &str) -> Bytes {
    Bytes::from(format!("INVITE sip:12345@h SIP/2.0\r\n{HEAD}{more}\r\n{body}"))
}

fn read_ok(bytes: impl Into<Bytes>) -> Message {
    let bytes = bytes.into();
    Message::datagram(bytes.clone()).unwrap_or_else(|fault| panic!("{fault}: {}", text::decode(&bytes)))
}

fn fault(bytes: impl Into<Bytes>) -> Malformed {
    let bytes = bytes.into();
    match Message::datagram(bytes.clone()) {
        Ok(_) => panic!("accepted: {}", text::decode(&bytes)),
        Err(fault) => fault,
    }
}

fn answered(bytes: impl Into<Bytes>, status: u16) -> String {
    let fault = fault(bytes);
    assert_eq!(fault.status, status, "{}", fault.phrase);
    String::from_utf8(fault.response_bytes().expect("an answer").to_vec()).unwrap()
}

#[test]
fn a_plain_invite_gives_its_routable_fields() {
    let message = read_ok(invite("l: 4\r\n", "v=0\r"));
    assert_eq!((message.method(), message.status()), (Some(&Method::Invite), None));
    assert_eq!(message.uri().unwrap().unwrap().user(), Some(&b"12345"[..]));
    assert_eq!(message.via().unique_branch(), Some(&b"z9hG4bKa"[..]));
    assert_eq!((message.from_tag(), message.to_tag()), (Some(&b"f"[..]), None));
    assert_eq!((message.call_id(), message.cseq().number), (&b"c1"[..], 7));
    assert_eq!((message.max_forwards(), message.body()), (Some(70), &b"v=0\r"[..]));
}

#[test]
fn a_content_length_with_white_space_before_its_colon_counts() {
    for spelling in ["Content-Length : 5", "Content-Length\t:5", "l  :  5", "CONTENT-LENGTH: 005"] {
        assert_eq!(
            read_ok(invite(&format!("{spelling}\r\n"), "12345BYE sip:x SIP/2.0")).body(),
            b"12345",
            "{spelling}"
        );
    }
}

#[test]
fn two_content_lengths_are_a_fault_even_when_they_agree() {
    for more in ["l: 5\r\nContent-Length: 0\r\n", "l: 5\r\nl: 5\r\n", "Content-Length : 5\r\nContent-Length: 5\r\n"] {
        assert!(answered(invite(more, "12345"), 400).contains("two Content-Length fields"));
    }
}

#[test]
fn a_content_length_that_is_no_length_is_a_fault() {
    for value in ["-5", "+5", "5 5", "5,5", "0x5", "", "99999999999999999999999999", "18446744073709551616", "6", "5;x"]
    {
        answered(invite(&format!("l: {value}\r\n"), "12345"), 400);
    }
}

#[test]
fn octets_behind_a_datagrams_body_are_dropped() {
    let message = read_ok(invite("l: 2\r\n", "ab\r\nBYE sip:x SIP/2.0\r\n\r\n"));
    assert_eq!((message.body(), message.bytes().ends_with(b"\r\n\r\nab")), (&b"ab"[..], true));
}

#[test]
fn a_bare_line_feed_or_carriage_return_in_the_header_is_a_fault() {
    answered(invite("Subject: a\nContent-Length: 0\r\n", ""), 400);
    answered(invite("Subject: a\rContent-Length: 0\r\n", ""), 400);
    answered(invite("Subject: a\n b\r\n", ""), 400);
    assert!(fault(HEAD.replace("\r\n", "\n")).response_bytes().is_none());
}

#[test]
fn line_ends_in_the_body_are_the_bodys_business() {
    assert_eq!(read_ok(invite("", "v=0\na\rb\r\n c\0")).body(), b"v=0\na\rb\r\n c\0");
}

#[test]
fn folded_lines_are_joined() {
    let message = read_ok(invite("Subject: one\r\n two\r\n\tthree\r\nl:\r\n 3\r\nX:\r\n \r\n", "a\r\n b"));
    assert_eq!(message.header(Name::Subject), Some(&b"one   two  \tthree"[..]));
    assert_eq!((message.body(), message.header_named(b"x")), (&b"a\r\n"[..], Some(&b""[..])));
    fault("INVITE sip:12345@h SIP/2.0\r\n x\r\n".to_owned() + HEAD + "\r\n");
}

#[test]
fn a_fold_behind_a_bare_carriage_return_does_not_begin_reading_for_ever() {
    answered(invite("Subject: a\r\n\rX: b\r\n c\r\n", ""), 400);
    answered(invite(&"X: a\r\n b\r\n\r".repeat(100), ""), 400);
}

#[test]
fn lines_of_any_charset_do_not_end_the_header() {
    let mut bytes = b"INVITE sip:12345@h SIP/2.0\r\nSubject: \xb3\xe0\xb7\xe5\xff\xfe\r\n".to_vec();
    bytes.extend(HEAD.replace("From: ", "X-After: kept\r\nFrom: ").bytes());
    bytes.extend(b"\r\n");
    let message = read_ok(bytes);
    assert_eq!(message.header(Name::Subject), Some(&b"\xb3\xe0\xb7\xe5\xff\xfe"[..]));
    assert_eq!(message.header_named(b"X-AFTER"), Some(&b"kept"[..]));
}

#[test]
fn a_gbk_backslash_before_a_closing_quote_does_not_break_from() {
    let mut bytes = b"INVITE sip:12345@h SIP/2.0\r\n".to_vec();
    let (before, after) = HEAD.split_once("From: ").unwrap();
    bytes.extend([before.as_bytes(), b"From: \"\xd5\x5c\" ", after.as_bytes(), b"\r\n"].concat());
    let message = read_ok(bytes.clone());
    assert_eq!((message.from_tag(), message.from().display()), (Some(&b"f"[..]), &b"\"\xd5\x5c\""[..]));
    assert_eq!(&message.bytes()[..], bytes, "raw bytes pass on");
}

#[test]
fn nul_is_a_fault_unless_quoted() {
    answered(invite("Subject: a\0b\r\n", ""), 400);
    answered(invite("Sub\0ject: ab\r\n", ""), 400);
    read_ok(invite("Subject: \"a\\\0b\"\r\n", ""));
}

#[test]
fn a_line_without_colon_or_with_an_odd_name_is_a_fault() {
    for line in ["Content-Length 5", "Content Length: 5", ": 5", "中文: x", "X\u{b}Y: 1"] {
        answered(invite(&format!("{line}\r\n"), ""), 400);
    }
}

#[test]
fn header_section_and_message_have_bounds() {
    let filler = |octets: usize| format!("X: {}\r\n", "a".repeat(octets));
    let fits = Limits::DEFAULT.head - invite(&filler(0), "").len();
    read_ok(invite(&filler(fits), ""));
    assert!(answered(invite(&filler(fits + 1), ""), 513).contains("Message Too Large"));
    let fits = Limits::DEFAULT.message - invite("", "").len();
    read_ok(invite("", &"b".repeat(fits)));
    answered(invite("", &"b".repeat(fits + 1)), 513);
    let limits = Limits { head: 100, message: 1000 };
    assert_eq!(Message::datagram_within(invite("", ""), &limits).unwrap_err().status, 513);
}

#[test]
fn a_very_long_line_is_read_within_the_bound_and_refused_beyond() {
    let message = read_ok(invite(&format!("Subject: {}\r\n", "x".repeat(15_000)), ""));
    assert_eq!(message.header(Name::Subject).map(<[u8]>::len), Some(15_000));
    let endless = Bytes::from(format!("INVITE sip:h SIP/2.0\r\nVia: {}", "x".repeat(60_000)));
    assert_eq!(fault(endless).status, 513);
}

#[test]
fn a_via_list_with_commas_and_quotes_is_cut_right() {
    let list = "Via: SIP/2.0/TCP 10.0.0.1;x=\"a, SIP/2.0/UDP evil;branch=z9hG4bKevil\\\"\";branch=z9hG4bK1, \
                SIP/2.0/UDP 10.0.0.2;branch=z9hG4bK2\r\n";
    let message = read_ok(format!("INVITE sip:h SIP/2.0\r\n{list}{HEAD}\r\n"));
    assert_eq!(message.via().branch(), Some(&b"z9hG4bK1"[..]));
    let values: Vec<_> = message.values(Name::Via).map(|value| Via::parse(value).unwrap()).collect();
    assert_eq!(values.iter().filter_map(Via::branch).collect::<Vec<_>>(), [&b"z9hG4bK1"[..], b"z9hG4bK2", b"z9hG4bKa"]);
}

#[test]
fn a_missing_or_repeated_field_is_named_in_the_answer() {
    let whole = String::from_utf8(invite("", "").to_vec()).unwrap();
    for (name, line) in HEAD.split_inclusive("\r\n").filter_map(|line| Some((line.split_once(':')?.0, line))) {
        if !["Via", "Max-Forwards"].contains(&name) {
            assert!(answered(whole.replace(line, ""), 400).contains(&format!("no {name}")));
        }
        if name != "Via" {
            assert!(answered(whole.replace(line, &line.repeat(2)), 400).contains(&format!("two {name} fields")));
        }
    }
}

#[test]
fn an_answer_repeats_what_matching_needs_and_no_more() {
    let answer = answered(invite("l: -1\r\nAuthorization: Digest response=\"x\"\r\nSubject: s\r\n", "body"), 400);
    assert!(answer.starts_with("SIP/2.0 400 Bad Request (Content-Length)\r\nVia: SIP/2.0/UDP 10.0.0.9:5060;branch="));
    let parsed = read_ok(answer.clone());
    assert_eq!((parsed.status(), parsed.call_id(), parsed.cseq().number), (Some(400), &b"c1"[..], 7));
    assert!(parsed.to_tag().is_some() && parsed.body().is_empty());
    assert!(!answer.contains("Authorization") && !answer.contains("Subject"));
    assert_eq!(answer, answered(invite("l: -1\r\n", "x"), 400), "a retransmission gets the same tag");
}

#[test]
fn what_cannot_be_answered_meets_silence() {
    let ack = String::from_utf8(invite("l: -1\r\n", "").to_vec()).unwrap().replace("INVITE", "ACK");
    let no_via = format!("INVITE sip:h SIP/2.0\r\n{}l: x\r\n\r\n", HEAD.replace("Via:", "X:"));
    let response = format!("SIP/2.0 200 OK\r\n{HEAD}l: -1\r\n\r\n");
    for bytes in
        [ack.as_str(), &no_via, &response, "", "\r\n\r\n", "\0\0\0\0", "GET / HTTP/1.1\r\nHost: x\r\n\r\n", "hello"]
    {
        assert!(fault(bytes.to_owned()).response_bytes().is_none(), "{bytes}");
    }
}

#[test]
fn the_request_line_has_one_space_between_its_parts() {
    for line in [
        "INVITE  sip:12345@h SIP/2.0",
        "INVITE sip:12345@h  SIP/2.0",
        "INVITE sip:12345@h; lr SIP/2.0",
        "INVITE sip:12345@h SIP/2.0 ",
        "INVITE sip:12345@h\tSIP/2.0",
        "INVITE SIP/2.0",
        "IN\"VITE sip:12345@h SIP/2.0",
        "INVITE sip:12345@h SIP/2.x",
    ] {
        answered(format!("{line}\r\n{HEAD}\r\n"), 400);
    }
    read_ok(format!("INVITE sip:12345@h sip/2.0\r\n{HEAD}\r\n"));
}

#[test]
fn another_version_is_answered_505() {
    for version in ["SIP/7.0", "SIP/2.1", "SIP/1.0", "SIP/20.00"] {
        answered(format!("INVITE sip:12345@h {version}\r\n{HEAD}\r\n"), 505);
    }
}

#[test]
fn a_status_line_has_three_digits_and_any_phrase() {
    for line in
        ["SIP/2.0 200 OK", "SIP/2.0 200 ", "SIP/2.0 200", "sip/2.0 699 = 2**3 \u{43e}\u{43a}", "SIP/2.0 100 \u{1}"]
    {
        assert!(read_ok(format!("{line}\r\n{HEAD}\r\n")).is_response(), "{line}");
    }
    for line in
        ["SIP/2.0 4294967301 better", "SIP/2.0 99 x", "SIP/2.0 700 x", "SIP/2.0 2x0 x", "SIP/3.0 200 OK", "SIP/2.0"]
    {
        assert!(fault(format!("{line}\r\n{HEAD}\r\n")).response_bytes().is_none(), "{line}");
    }
}

#[test]
fn numbers_out_of_range_are_faults() {
    for (good, bad) in [
        ("CSeq: 7", "CSeq: 36893488147419103232"),
        ("CSeq: 7", "CSeq: -1"),
        ("rds: 70", "rds: 256"),
        ("rds: 70", "rds: x"),
    ] {
        answered(String::from_utf8(invite("", "").to_vec()).unwrap().replace(good, bad), 400);
    }
}

#[test]
fn a_call_id_is_one_word() {
    for bad in ["", "a b"] {
        answered(
            String::from_utf8(invite("", "").to_vec()).unwrap().replace("Call-ID: c1", &format!("Call-ID: {bad}")),
            400,
        );
    }
}

#[test]
fn line_ends_before_a_message_are_skipped() {
    assert_eq!(read_ok([&b"\r\n\r\n"[..], &invite("", "")].concat()).bytes(), &invite("", ""));
}

#[test]
fn a_message_cut_anywhere_is_refused_and_never_misread() {
    let whole = invite("l: 4\r\n", "v=0\r");
    for end in 0..whole.len() {
        assert!(Message::datagram(whole.slice(..end)).is_err(), "{end}");
    }
}

#[test]
fn the_length_of_a_framed_message_must_be_exact() {
    assert!(Message::framed(invite("l: 2\r\n", "ab")).is_ok());
    for (more, body) in [("", ""), ("l: 2\r\n", "a"), ("l: 2\r\n", "abc")] {
        assert_eq!(Message::framed(invite(more, body)).unwrap_err().status, 400);
    }
}
