//! Arbitrary and damaged bytes against everything that reads from the network: nothing panics, and what is accepted
//! can be read through every accessor and written again.
//!
//! That work is linear is by construction (each scan in `sip::parse`, `sip::text` and `sip::frame` only goes forward,
//! and says so); here inputs are chosen to be the worst for a scan that goes back.

//!
//! | file | against |
//! |---|---|
//! | here | the message parser, every header's reader, the framer |
//! | `fuzz/bodies` | session descriptions, multipart bodies |
//! | `fuzz/transactions` | the four transaction machines: any events in any order |
//! | `fuzz/calls` | the switch and live calls, one of them an emergency |
//!
//! `SWITCH12345_FUZZ` multiplies the number of cases; what fails is kept in a `.proptest-regressions` file and tried
//! first ever after.

#![expect(clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

use bytes::Bytes;
use proptest::prelude::*;
use switch12345::sip::frame::{Frame, Framer};
use switch12345::sip::header::address::{Contacts, NameAddr};
use switch12345::sip::header::auth::Auth;
use switch12345::sip::header::cseq::CSeq;
use switch12345::sip::header::diverted::{Diversion, HistoryEntry};
use switch12345::sip::header::event::{Event, SubscriptionState};
use switch12345::sip::header::identity::{Identities, Privacy};
use switch12345::sip::header::reason::Reason;
use switch12345::sip::header::refer::{ReferTo, Replaces};
use switch12345::sip::header::reliable::RAck;
use switch12345::sip::header::route::Routes;
use switch12345::sip::header::session::SessionExpires;
use switch12345::sip::header::user_to_user::UserToUser;
use switch12345::sip::header::via::Via;
use switch12345::sip::message::{Message, Name};
use switch12345::sip::parse::Limits;
use switch12345::sip::print::Draft;
use switch12345::sip::text;
use switch12345::sip::uri::Uri;

#[path = "fuzz/bodies.rs"]
mod bodies;
#[path = "fuzz/calls.rs"]
mod calls;
#[path = "sim/engine.rs"]
#[expect(dead_code, unreachable_pub, reason = "each test binary uses its own part of the harness")]
mod engine;
#[path = "sim/media.rs"]
#[expect(dead_code, reason = "each test binary uses its own part of the harness")]
mod media;
#[path = "sim/town.rs"]
#[expect(unreachable_pub, reason = "shared by several test binaries")]
mod town;
#[path = "fuzz/transactions.rs"]
mod transactions;
#[path = "sim/wire.rs"]
#[expect(dead_code, unreachable_pub, reason = "each test binary uses its own part of the harness")]
mod wire;

/// This many cases, or a multiple of them.
fn cases(usual: u32) -> ProptestConfig {
    let times = std::env::var("SWITCH12345_FUZZ").ok().and_then(|times| times.parse().ok()).unwrap_or(1);
    ProptestConfig::with_cases(usual.saturating_mul(times))
}

/// Pieces out of which a generator makes messages that get far into the parser before they fail.
const PIECES: [&[u8]; 44] = [
    b"INVITE sip:12345@10.0.0.1 SIP/2.0\r\n",
    b"SIP/2.0 200 OK\r\n",
    b"Via: SIP/2.0/UDP 10.0.0.9:5060;rport;branch=z9hG4bKa\r\n",
    b"v: SIP / 2.0 / TCP [2001:db8::1] ; received = 1.2.3.4 , SIP/2.0/UDP h\r\n",
    b"From: \"\xd5\x5c\" <sip:1@h>;tag=a\r\n",
    b"f: Bell, A <tel:+86-1>;tag=b\r\n",
    b"To: <sip:2@h>\r\n",
    b"t: sip:2@h;tag=c\r\n",
    b"Call-ID: c1\r\n",
    b"i : c2\r\n",
    b"CSeq: 1 INVITE\r\n",
    b"CSeq: 2 ACK\r\n",
    b"Max-Forwards: 70\r\n",
    b"Contact: *\r\n",
    b"m: <sip:1@h;x=y?Replaces=a%3Bto-tag%3D1>;q=0.5;expires=7, \"x\" <sip:2@h>\r\n",
    b"Route: <sip:p;lr>, <sips:q:5061>\r\n",
    b"Record-Route: <sip:p;lr>\r\n",
    b"P-Asserted-Identity: \"a,b\" <sip:1@h>, <tel:1>\r\n",
    b"History-Info: <sip:a@h?Reason=SIP%3Bcause%3D302>;index=1.1\r\n",
    b"Diversion: <sip:a@h>;reason=user-busy\r\n",
    b"Refer-To: <sip:a@h?Replaces=x%3Bto-tag%3D1%3Bfrom-tag%3D2>\r\n",
    b"Authorization: Digest username=\"1001\", nonce=\"x\", nc=1\r\n",
    b"Content-Length: 5\r\n",
    b"l : 0\r\n",
    b"Content-Type: application/sdp\r\n",
    b"Require: a, b\r\n",
    b"X-Odd: 1\r\n",
    b"\r\n",
    b"\r\n\r\n",
    b"\r",
    b"\n",
    b"\r\n ",
    b"\0",
    b"\"",
    b"\\\"",
    b"<",
    b">",
    b",",
    b";",
    b":",
    b"\x81",
    b"\x85\x5c\"",
    b"%",
    b"12345",
];

/// Reads a value as everything it could be taken for.
fn read_value(value: &[u8]) {
    let _ = (Via::parse(value), CSeq::parse(value), RAck::parse(value), Event::parse(value), Privacy::parse(value));
    let _ = (SessionExpires::parse(value), SubscriptionState::parse(value), ReferTo::parse(value));
    let _ = (UserToUser::parse(value), Contacts::parse(text::pieces(value, b',')));
    if let Ok(address) = NameAddr::parse(value) {
        let _ = (address.display_text(), address.uri(), address.q_thousandths(), address.expires());
        let tagged = address.with_tag(b"t1");
        assert_eq!(tagged.tag(), Some(&b"t1"[..]), "{}", text::decode(value));
        assert_eq!(tagged.uri_bytes(), address.uri_bytes());
        let _ = (Diversion(address.clone()).reason(), HistoryEntry::parse(value).map(|entry| entry.reasons()));
    }
    if let Ok(auth) = Auth::parse(value) {
        assert_eq!(Auth::parse(&auth.to_bytes()).as_ref().map(Auth::scheme), Ok(auth.scheme()));
    }
    if let Ok(replaces) = Replaces::parse(value) {
        assert_eq!(Replaces::parse(&replaces.to_bytes()), Ok(replaces));
    }
    if let Ok(reason) = Reason::parse(value) {
        assert_eq!(Reason::parse(&reason.to_bytes()).map(|again| again.cause), Ok(reason.cause));
    }
}

fn read_uri(bytes: &[u8]) {
    let Ok(uri) = Uri::parse(bytes) else { return };
    let _ = (uri.host(), uri.dialled(), uri.phone_context(), uri.address_of_record(), format!("{uri:?}"));
    assert!(uri.is_equivalent(&uri.clone()));
    assert_eq!(Uri::parse(uri.to_string()).as_ref(), Ok(&uri));
    let changed = uri.with_param("x", Some("y"));
    assert!(uri.scheme() == switch12345::sip::uri::Scheme::Other || changed.param("x") == Some(Some(b"y")), "{uri}");
    assert!(changed.without_param("x").param("x").is_none());
    assert_eq!(uri.without_headers().headers().count(), 0);
}

/// Reads all there is in a message and writes it again.
fn read_message(message: &Message) {
    let _ = (message.check_request(), message.check_extensions(&["timer"]), format!("{message:?}"));
    let _ = (message.uri(), message.contact(), message.contacts(), message.expires(), message.is_content("a/b"));
    let _ = (Identities::of(message, Name::PAssertedIdentity), Routes::of(message, Name::Route));
    let _ = (HistoryEntry::of(message).count(), Diversion::of(message).count());
    for (_, value) in message.all_headers() {
        assert!(!value.contains(&b'\n') && !value.contains(&b'\r'));
        read_value(value);
    }
    let again = Draft::from_message(message).finish();
    assert_eq!(again.body(), message.body());
    assert_eq!(again.from(), message.from());
    assert!(again.is_complete(), "{}", text::decode(message.bytes()));
    if message.is_request() {
        let source = ([192, 0, 2, 1], 5060).into();
        let response = Draft::response(message, 200, None).via_source(source).to_tag(b"t").finish();
        assert!(response.is_complete(), "{}", text::decode(response.bytes()));
        assert!(response.to_tag().is_some());
    }
}

fn read_all(bytes: &[u8]) {
    match Message::datagram(Bytes::copy_from_slice(bytes)) {
        Ok(message) => read_message(&message),
        Err(malformed) => drop(malformed.response_bytes()),
    }
    let mut framer = Framer::new(Limits::DEFAULT);
    framer.push(bytes);
    while let Some(frame) = framer.next_frame() {
        if let Frame::Message(bytes) = frame {
            let _ = Message::framed(bytes);
        }
    }
    read_value(bytes);
    read_uri(bytes);
}

fn spliced() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(prop::sample::select(PIECES.to_vec()), 0..40).prop_map(|pieces| pieces.concat())
}

/// A good INVITE with some octets overwritten.
fn damaged() -> impl Strategy<Value = Vec<u8>> {
    let good: Vec<u8> =
        [0, 2, 4, 6, 8, 10, 12, 14, 15, 17, 18, 20, 21, 24, 27].iter().flat_map(|at| PIECES[*at]).copied().collect();
    prop::collection::vec((0..good.len(), any::<u8>()), 0..6).prop_map(move |changes| {
        let mut bytes = good.clone();
        changes.into_iter().for_each(|(at, octet)| bytes[at] = octet);
        bytes
    })
}

proptest! {
    #![proptest_config(cases(2_000))]

    #[test]
    fn arbitrary_octets_are_survived(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        read_all(&bytes);
    }

    #[test]
    fn messages_spliced_from_pieces_are_survived(bytes in spliced()) {
        read_all(&bytes);
    }

    #[test]
    fn damaged_messages_are_survived(bytes in damaged()) {
        read_all(&bytes);
    }

    #[test]
    fn addresses_are_survived(text in "(sips?|tel|x):[a-z0-9%:;=?@&\\[\\].+-]{0,40}") {
        read_uri(text.as_bytes());
    }

    #[test]
    fn any_user_and_value_read_back(user in prop::collection::vec(any::<u8>(), 1..20), display in prop::collection::vec(any::<u8>(), 0..20)) {
        let uri = Uri::compose(switch12345::sip::uri::Scheme::Sip, Some(&user), "h", None).unwrap();
        prop_assert_eq!(uri.user_decoded().unwrap().into_owned(), user);
        let address = NameAddr::compose(Some(&display), uri.as_bytes(), &[("tag", Some(b"1"))]);
        prop_assert_eq!(address.tag(), Some(&b"1"[..]));
        prop_assert_eq!(address.uri_bytes(), uri.as_bytes());
    }

    #[test]
    fn a_stream_gives_the_same_frames_however_it_is_cut(bytes in spliced(), cuts in prop::collection::vec(1_usize..50, 1..20)) {
        let frames = |parts: Vec<&[u8]>| {
            let mut framer = Framer::new(Limits::DEFAULT);
            let mut frames = Vec::new();
            for part in parts {
                framer.push(part);
                frames.extend(std::iter::from_fn(|| framer.next_frame()).map(|frame| match frame {
                    Frame::Fault(_) => None,
                    frame => Some(frame),
                }));
            }
            frames
        };
        let mut rest = &bytes[..];
        let mut parts = Vec::new();
        for cut in cuts.iter().cycle() {
            let (part, after) = rest.split_at((*cut).min(rest.len()));
            parts.push(part);
            rest = after;
            if rest.is_empty() {
                break;
            }
        }
        prop_assert_eq!(frames(vec![&bytes]), frames(parts));
    }
}

#[test]
fn the_worst_inputs_for_a_scan_that_goes_back_are_survived() {
    let head = "INVITE sip:h SIP/2.0\r\nVia: SIP/2.0/UDP h;branch=z9hG4bKa\r\nFrom: <sip:a@h>;tag=1\r\nTo: <sip:b@h>\r\n\
                Call-ID: c\r\nCSeq: 1 INVITE\r\n";
    let worst: [&[u8]; 8] = [b"\"\x85\x5c\"\\", b"\"", b"\\\"", b"<\"", b",", b";", b"\r\n ", b"\"\x85\x5c\",<"];
    for piece in worst {
        for field in ["Contact: ", "m: <sip:a@h>;", "History-Info: ", "v: ", "Authorization: Digest a=", "X: "] {
            let mut bytes = [head, field].concat().into_bytes();
            bytes.extend(piece.repeat(15_000 / piece.len()));
            bytes.extend(b"\r\n\r\n");
            read_all(&bytes);
        }
    }
}
