//! Session descriptions and multipart bodies out of pieces, damaged and cut.

use bytes::Bytes;
use proptest::prelude::*;
use switch12345::sdp;
use switch12345::sip::message::Message;
use switch12345::sip::multipart;

const LINES: [&str; 30] = [
    "v=0",
    "o=- 1 1 IN IP4 10.0.0.1",
    "o=- 18446744073709551616 -1 IN IP6 ::1",
    "s=-",
    "s=\u{4e2d}\u{6587}",
    "c=IN IP4 10.0.0.1",
    "c=IN IP4 224.2.1.1/127/3",
    "c=IN IP6 2001:db8::1",
    "c=IN IP4 0.0.0.0",
    "t=0 0",
    "b=AS:64",
    "m=audio 30000 RTP/AVP 8 0 101",
    "m=audio 0 RTP/AVP 8",
    "m=audio 99999 RTP/AVP 8",
    "m=audio 30000/2 RTP/SAVP 8",
    "m=video 30002 RTP/AVP 96",
    "m=image 30004 udptl t38",
    "m=audio 9 UDP/TLS/RTP/SAVPF 111 8",
    "m=",
    "a=rtpmap:101 telephone-event/8000",
    "a=rtpmap:300 PCMA/8000/1",
    "a=fmtp:101 0-15",
    "a=sendonly",
    "a=inactive",
    "a=ptime:20",
    "a=ptime:-1",
    "a=rtcp:30001 IN IP4 10.0.0.2",
    "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:AAAA",
    "a=",
    "=",
];

fn description() -> impl Strategy<Value = Vec<u8>> {
    let ends = prop::sample::select(vec!["\r\n", "\n", "\r", ""]);
    let line = (prop::sample::select(LINES.to_vec()), ends).prop_map(|(line, end)| format!("{line}{end}"));
    (prop::collection::vec(line, 0..40), prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4))
        .prop_map(|(lines, changes)| {
            let mut bytes = lines.concat().into_bytes();
            for (at, octet) in changes {
                if !bytes.is_empty() {
                    let at = at.index(bytes.len());
                    bytes[at] = octet;
                }
            }
            bytes
        })
}

fn with_body(kind: &str, body: &[u8]) -> Option<Message> {
    let head = format!(
        "MESSAGE sip:h SIP/2.0\r\nVia: SIP/2.0/UDP h;branch=z9hG4bKa\r\nFrom: <sip:a@h>;tag=1\r\nTo: <sip:b@h>\r\n\
         Call-ID: c\r\nCSeq: 1 MESSAGE\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    Message::datagram(Bytes::from([head.as_bytes(), body].concat())).ok()
}

fn read_parts(message: &Message) {
    for part in multipart::parts(message) {
        let whole = message.body().len();
        assert!(part.head().len() + part.body().len() <= whole, "a part is inside the body");
        let _ = (part.header("Content-Type").map(<[u8]>::len), part.is_content("application/sdp"));
    }
    let _ = multipart::part(message, "application/sdp").map(|part| sdp::parse::parse(part.body()).is_ok());
}

proptest! {
    #![proptest_config(crate::cases(1_500))]

    #[test]
    fn session_descriptions_are_survived(body in description()) {
        if let Ok(read) = sdp::parse::parse(&body) {
            let _ = format!("{read:?}");
        }
    }

    #[test]
    fn arbitrary_octets_as_a_session_description_are_survived(body in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = sdp::parse::parse(&body).is_ok();
    }

    #[test]
    fn multipart_bodies_are_survived(
        boundary in "[a-z'()+_,./:=? -]{0,75}",
        pieces in prop::collection::vec(prop::sample::select(vec![
            "--", "\r\n", "\n", "X", "Content-Type: application/sdp\r\n", "\r\n\r\n", "v=0\r\n", "--X", "--X--", "\r\n--X\r\n", " \t",
        ]), 0..40),
        quoted: bool,
    ) {
        let body = pieces.concat().replace('X', &boundary);
        let kind = if quoted { format!("multipart/mixed;boundary=\"{boundary}\"") } else { format!("multipart/mixed;boundary={boundary}") };
        if let Some(message) = with_body(&kind, body.as_bytes()) {
            read_parts(&message);
        }
    }

    #[test]
    fn joined_parts_read_back(parts in prop::collection::vec((Just(&b"Content-Type: a/b"[..]), prop::collection::vec(any::<u8>(), 0..60)), 1..6)) {
        let pairs: Vec<(&[u8], &[u8])> = parts.iter().map(|(head, body)| (*head, &body[..])).collect();
        let (kind, body) = multipart::join(pairs.iter().copied());
        let message = with_body(&kind, &body).expect("a message");
        let read = multipart::parts(&message);
        prop_assert_eq!(read.len(), pairs.len());
        for (part, (_, body)) in read.iter().zip(&pairs) {
            prop_assert_eq!(&part.body()[..], *body);
        }
    }
}
