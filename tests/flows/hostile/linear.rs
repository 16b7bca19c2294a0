//! The work a message costs grows with its length, not with its square.
//!
//! No time is asserted: the same input is read at two lengths, one eight times the other, and their ratio is judged.
//! Linear work gives 8, quadratic 64; the line is drawn at 32, with the best of several runs on each side.

use std::hint::black_box;
use std::time::Duration;

use bytes::Bytes;
use rustix::time::{ClockId, clock_gettime};
use switch12345::sip::frame::Framer;
use switch12345::sip::header::address::Contacts;
use switch12345::sip::message::{Message, Name};
use switch12345::sip::parse::Limits;
use switch12345::sip::text;
use switch12345::sip::uri::Uri;

const TIMES: usize = 8;
const LINE: u32 = 32;

/// Processor time of this thread: what else runs on the machine does not count.
fn spent() -> Duration {
    Duration::try_from(clock_gettime(ClockId::ThreadCPUTime)).unwrap_or_default()
}

fn best(mut work: impl FnMut()) -> Duration {
    let run = |work: &mut dyn FnMut()| {
        let begun = spent();
        work();
        spent().saturating_sub(begun)
    };
    (0..5).map(|_| run(&mut work)).min().unwrap_or_default()
}

fn assert_linear(what: &str, short: usize, make: impl Fn(usize) -> Vec<u8>, read: impl Fn(&[u8])) {
    let (small, large) = (make(short), make(short * TIMES));
    let (one, eight) = (best(|| read(&small)), best(|| read(&large)));
    assert!(
        eight < one.max(Duration::from_micros(20)) * LINE,
        "{what}: {one:?} at {short}, {eight:?} at {TIMES} times that"
    );
}

fn wide() -> Limits {
    Limits { message: 8 << 20, head: 8 << 20 }
}

fn read_message(bytes: &[u8]) {
    let Ok(message) = Message::datagram_within(Bytes::copy_from_slice(bytes), &wide()) else { return };
    black_box((message.uri().is_some(), message.contacts().is_ok(), message.check_request().is_ok()));
    black_box((message.values(Name::RecordRoute).count(), message.values(Name::Via).count()));
    black_box(message.from().display_text());
}

fn invite(uri: &str, extra: &str) -> Vec<u8> {
    format!(
        "INVITE {uri} SIP/2.0\r\nVia: SIP/2.0/UDP h;branch=z9hG4bKa\r\nMax-Forwards: 70\r\nFrom: <sip:a@h>;tag=1\r\n\
         To: <sip:b@h>\r\nCall-ID: c\r\nCSeq: 1 INVITE\r\nContact: <sip:a@h>\r\n{extra}Content-Length: 0\r\n\r\n"
    )
    .into_bytes()
}

#[test]
fn a_uri_with_ten_thousand_parameters_is_read_in_linear_time() {
    let params = |count: usize| (0..count).map(|nth| format!(";p{nth}={nth}")).collect::<String>();
    assert_linear(
        "uri",
        1_250,
        |count| format!("sip:a@h{}", params(count)).into_bytes(),
        |bytes| {
            let uri = Uri::parse(bytes).expect("a URI");
            black_box((uri.host(), uri.param("nothing").is_some(), uri.to_string().len()));
        },
    );
    assert_linear("request-URI", 2_000, |count| invite(&format!("sip:a@h{}", params(count)), ""), read_message);
    assert_linear(
        "Contact",
        2_000,
        |count| format!("<sip:a@h>{}", params(count)).into_bytes(),
        |bytes| {
            black_box(Contacts::parse(text::pieces(bytes, b',')).is_ok());
        },
    );
}

#[test]
fn heads_of_many_lines_are_read_in_linear_time() {
    let lines = |line: &'static str| move |count: usize| invite("sip:b@h", &line.repeat(count));
    let kinds = [
        "X-Odd: 1\r\n",
        "v: SIP/2.0/UDP h;branch=z9hG4bKb\r\n",
        "Record-Route: <sip:p;lr>, <sip:q;lr>\r\n",
        "X-Folded: a\r\n b\r\n\tc\r\n",
        "P-Asserted-Identity: \"a,\\\"b\" <sip:1@h>\r\n",
        "History-Info: <sip:a@h?Reason=SIP%3Bcause%3D302>;index=1.1\r\n",
    ];
    for kind in kinds {
        assert_linear(kind, 1_000, lines(kind), read_message);
    }
}

#[test]
fn values_that_tempt_a_scan_to_go_back_are_read_in_linear_time() {
    for piece in ["\"", "\\\"", "<", "<\"", ",", ";", "\"\\", "=\"", "%", "@", ":", "[", "?", "&", " ", "\r\n "] {
        for field in ["Contact: ", "m: <sip:a@h>;", "Authorization: Digest a=", "v: ", "X: ", "Reason: Q.850;", "Via: "]
        {
            let make = |count: usize| {
                let mut value = field.to_owned();
                value.push_str(&piece.repeat(count));
                value.push_str("\r\n");
                invite("sip:b@h", &value)
            };
            assert_linear(&format!("{field}{piece:?}…"), 2_000, make, read_message);
        }
    }
}

#[test]
fn a_stream_fed_byte_by_byte_is_cut_in_linear_time() {
    let feed = |bytes: &[u8]| {
        let mut framer = Framer::new(wide());
        for byte in bytes {
            framer.push(std::slice::from_ref(byte));
            while let Some(frame) = framer.next_frame() {
                black_box(frame);
            }
        }
    };
    assert_linear("one long head", 4_000, |count| invite("sip:b@h", &format!("X: {}\r\n", "a".repeat(count))), feed);
    assert_linear("many lines", 500, |count| invite("sip:b@h", &"X: 1\r\n".repeat(count)), feed);
    assert_linear("a head without end", 4_000, |count| format!("INVITE {}", "a".repeat(count)).into_bytes(), feed);
    assert_linear("keep-alives", 4_000, |count| "\r\n\r\n".repeat(count).into_bytes(), feed);
    assert_linear(
        "a body",
        4_000,
        |count| {
            let head = String::from_utf8(invite("sip:b@h", "")).expect("text");
            format!("{}{}", head.replace("Content-Length: 0", &format!("Content-Length: {count}")), "x".repeat(count))
                .into()
        },
        feed,
    );
}
