//! Multipart bodies: their parts, byte-exact, without a copy.
//!
//! RFC 2046 §5.1 (delimiters, preamble and epilogue, header fields of a part), RFC 5621 §3 (multipart in SIP).
//! A carrier joins an SDP to a PIDF-LO, to ISUP or to a caller's card this way; whoever reads one part leaves the
//! others untouched. A body cut short ends with its last part.
//!
//! Deliberately absent: parts inside parts, transfer encodings (SIP bodies are binary, RFC 3261 §7.4).
//! Limit: [`PARTS_MAX`] parts, the rest is not looked at.

use bytes::Bytes;

use super::header::param;
use super::message::Message;
use super::text;

/// Most parts read of one body.
pub const PARTS_MAX: usize = 16;
/// Longest boundary (RFC 2046 §5.1.1), octets.
const BOUNDARY_MAX: usize = 70;

/// One part of a multipart body.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Part {
    head: Bytes,
    body: Bytes,
}

impl Part {
    /// The first value of a header field of the part, by its name in any case.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&[u8]> {
        lines(&self.head).find_map(|line| {
            let (key, value) = text::split_once(line, b':')?;
            text::trim(key).eq_ignore_ascii_case(name.as_bytes()).then(|| text::trim(value))
        })
    }

    /// Whether the part has that type, parameters aside: `application/sdp`. Without a type it is `text/plain`.
    #[must_use]
    pub fn is_content(&self, kind: &str) -> bool {
        type_of(self.header("Content-Type").unwrap_or(b"text/plain")).eq_ignore_ascii_case(kind.as_bytes())
    }

    /// Its header fields as they stand, without the empty line.
    #[must_use]
    pub const fn head(&self) -> &Bytes {
        &self.head
    }

    /// Its octets.
    #[must_use]
    pub const fn body(&self) -> &Bytes {
        &self.body
    }
}

/// The parts of a message's body; none when it is not multipart.
#[must_use]
pub fn parts(message: &Message) -> Vec<Part> {
    let Some(boundary) = message.content_type().and_then(boundary) else { return Vec::new() };
    split(&message.body_bytes(), &boundary)
}

/// The first part of a message's body that has that type.
#[must_use]
pub fn part(message: &Message, kind: &str) -> Option<Part> {
    parts(message).into_iter().find(|part| part.is_content(kind))
}

/// Joins parts, each its header fields and its octets, into a body: its Content-Type value, and the body. Octets stay
/// as they are; a header without a last line end gets one.
#[must_use]
pub fn join<'p>(parts: impl Iterator<Item = (&'p [u8], &'p [u8])> + Clone) -> (String, Bytes) {
    let taken = |boundary: &str| {
        let delimiter = format!("--{boundary}").into_bytes();
        parts.clone().any(|(_, body)| memchr::memmem::find(body, &delimiter).is_some())
    };
    let boundary = (0_u32..).map(|nth| format!("switch12345-{nth}")).find(|boundary| !taken(boundary));
    let boundary = boundary.unwrap_or_default();
    let mut out = Vec::new();
    for (head, body) in parts {
        out.extend(format!("--{boundary}\r\n").into_bytes());
        out.extend(head);
        if !head.is_empty() && !head.ends_with(b"\n") {
            out.extend(b"\r\n");
        }
        out.extend(b"\r\n");
        out.extend(body);
        out.extend(b"\r\n");
    }
    out.extend(format!("--{boundary}--\r\n").into_bytes());
    (format!("multipart/mixed;boundary={boundary}"), Bytes::from(out))
}

/// The boundary of a `multipart/...` Content-Type value.
fn boundary(content_type: &[u8]) -> Option<Vec<u8>> {
    let (kind, section) = text::split_once(content_type, b';')?;
    let is_multipart = text::trim(kind).get(..10).is_some_and(|begin| begin.eq_ignore_ascii_case(b"multipart/"));
    let value = text::unquote(param::param(section, "boundary").flatten()?).into_owned();
    (is_multipart && !value.is_empty() && value.len() <= BOUNDARY_MAX).then_some(value)
}

fn split(body: &Bytes, boundary: &[u8]) -> Vec<Part> {
    let mut found = Vec::new();
    let mut begun: Option<usize> = None;
    for (at, next, last) in delimiters(body, boundary) {
        if let Some(begin) = begun.replace(next) {
            found.extend(body.get(begin..at).map(|part| read(&body.slice_ref(part))));
        }
        if last || found.len() >= PARTS_MAX {
            return found;
        }
    }
    if let Some(rest) = begun.and_then(|begin| body.get(begin..)).filter(|rest| !rest.is_empty()) {
        found.push(read(&body.slice_ref(rest)));
    }
    found
}

/// Each delimiter line: where the octets before it end, where those after it begin, whether it is the closing one. The
/// line break before a delimiter belongs to the delimiter (RFC 2046 §5.1.1).
fn delimiters<'a>(body: &'a [u8], boundary: &'a [u8]) -> impl Iterator<Item = (usize, usize, bool)> + 'a {
    let mut at = 0;
    body.split_inclusive(|byte| *byte == b'\n').filter_map(move |line| {
        let start = at;
        at += line.len();
        let rest = line.strip_prefix(b"--")?.strip_prefix(boundary)?;
        let (last, rest) = rest.strip_prefix(b"--").map_or((false, rest), |rest| (true, rest));
        let padding = rest.strip_suffix(b"\n").map_or(rest, |rest| rest.strip_suffix(b"\r").unwrap_or(rest));
        if !padding.iter().all(|byte| text::is_space(*byte)) {
            return None;
        }
        let before = body.get(..start).unwrap_or_default();
        let before = before.strip_suffix(b"\n").map_or(before, |rest| rest.strip_suffix(b"\r").unwrap_or(rest));
        Some((before.len(), at, last))
    })
}

/// Takes a part's header fields from its octets; a part that begins with an empty line has none.
fn read(part: &Bytes) -> Part {
    let mut at = 0;
    for line in part.split_inclusive(|byte| *byte == b'\n') {
        if matches!(line, b"\r\n" | b"\n") {
            return Part { head: part.slice(..at), body: part.slice(at + line.len()..) };
        }
        at += line.len();
    }
    Part { head: part.clone(), body: Bytes::new() }
}

fn lines(head: &[u8]) -> impl Iterator<Item = &[u8]> {
    head.split(|byte| *byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line))
}

fn type_of(value: &[u8]) -> &[u8] {
    text::trim(value.split(|byte| *byte == b';').next().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(content_type: &str, body: &str) -> Message {
        let text = format!(
            "INVITE sip:a@x SIP/2.0\r\nVia: SIP/2.0/UDP h;branch=z9hG4bKa\r\nFrom: <sip:b@y>;tag=f\r\nTo: <sip:a@x>\r\n\
             Call-ID: c\r\nCSeq: 1 INVITE\r\nContent-Type: {content_type}\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        Message::datagram(Bytes::from(text)).unwrap()
    }

    const BOTH: &str = "preamble\r\n--b1\r\nContent-Type: application/sdp;charset=utf-8\r\n\r\nv=0\r\ns=-\r\n\r\n--b1 \r\n\
                        content-type: application/pidf+xml\r\nContent-ID: <x@y>\r\n\r\n<a>\r\n--b1x\r\n</a>\r\n--b1--\r\nrest";

    #[test]
    fn rfc2046_s5_1_parts_are_byte_exact() {
        let message = message("multipart/mixed; boundary=\"b1\"", BOTH);
        let [sdp, pidf] = &parts(&message)[..] else { panic!("two parts") };
        assert_eq!(&sdp.body()[..], b"v=0\r\ns=-\r\n");
        assert_eq!(&pidf.body()[..], b"<a>\r\n--b1x\r\n</a>");
        assert_eq!(pidf.header("content-id"), Some(&b"<x@y>"[..]));
        assert!(sdp.is_content("application/sdp") && pidf.is_content("Application/PIDF+xml"));
        assert_eq!(part(&message, "application/pidf+xml").as_ref(), Some(pidf));
        assert_eq!(part(&message, "application/isup"), None);
    }

    #[test]
    fn what_is_joined_comes_apart_again_whatever_the_parts_hold() {
        let sdp = (&b"Content-Type: application/sdp"[..], &b"v=0\r\n"[..]);
        let tricky = (&b"Content-ID: <a@b>\r\n"[..], &b"\r\n--switch12345-0\r\n--switch12345-1--\xff\n"[..]);
        let (kind, body) = join([sdp, tricky, (b"", b"")].into_iter());
        assert_eq!(kind, "multipart/mixed;boundary=switch12345-2");
        let found = split(&body, b"switch12345-2");
        let read: Vec<_> = found.iter().map(|part| (&part.head()[..], &part.body()[..])).collect();
        let ended = (&b"Content-Type: application/sdp\r\n"[..], sdp.1);
        assert_eq!(read, [ended, tricky, (&b""[..], &b""[..])]);
    }

    #[test]
    fn bare_line_feeds_a_missing_end_and_parts_without_header_are_read() {
        let message = message("multipart/mixed;boundary=b", "--b\nContent-Type: application/sdp\n\nv=0\n--b\n\nplain");
        let [sdp, plain] = &parts(&message)[..] else { panic!("two parts") };
        assert_eq!((&sdp.body()[..], &plain.body()[..]), (&b"v=0"[..], &b"plain"[..]));
        assert!(plain.is_content("text/plain") && plain.head().is_empty());
    }

    #[test]
    fn what_is_not_multipart_has_no_parts() {
        for kind in ["application/sdp", "multipart/mixed", "multipart/mixed;boundary=", "text/multipart;boundary=b1"] {
            assert_eq!(parts(&message(kind, BOTH)), [], "{kind}");
        }
        let long = format!("multipart/mixed;boundary={}", "b".repeat(71));
        assert_eq!(parts(&message(&long, BOTH)), []);
    }

    #[test]
    fn no_more_parts_are_read_than_the_limit() {
        let body = "--b\r\n\r\nx\r\n".repeat(PARTS_MAX + 5);
        assert_eq!(parts(&message("multipart/mixed;boundary=b", &body)).len(), PARTS_MAX);
    }
}
