//! One SIP message: its bytes, and where in them the fields lie.
//!
//! A [`Message`] always holds exactly what was or will be on the wire (folded lines joined); every other field is an
//! offset into those bytes. Two messages are equal when their bytes are. A message made by a
//! [`Draft`](super::print::Draft) may lack fields that a received one must have; those read as empty.
//!
//! Deliberately absent: changing a message in place (make a [`Draft`](super::print::Draft) from it), and SDP.
//!
//! RFC 3261 §7, §8.1.1, §8.2.2.2, §16.3; RFC 4475 §3.3 (what is well-formed and still wrong).

mod check;
mod method;
mod name;
mod phrase;

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

pub use check::Refusal;
pub use method::Method;
pub use name::Name;
pub use phrase::default_phrase;

use super::header::address::{Contacts, NameAddr};
use super::header::cseq::CSeq;
use super::header::via::Via;
use super::parse::{self, Framing, Limits, Line, Start};
use super::text::{self, BadSyntax, Span};
use super::uri::Uri;

/// A request or a response.
#[derive(Clone)]
pub struct Message {
    pub(super) bytes: Bytes,
    pub(super) start: Start,
    /// Shared by clones, and no longer than the header section.
    pub(super) lines: Arc<[Line]>,
    pub(super) body_at: usize,
    pub(super) via: Via,
    pub(super) from: NameAddr,
    pub(super) to: NameAddr,
    pub(super) call_id: Span,
    pub(super) cseq: CSeq,
    pub(super) max_forwards: Option<u8>,
}

impl Message {
    /// Reads a message that is one datagram or one WebSocket frame, within the default limits.
    ///
    /// # Errors
    /// What is malformed, and the answer to give if one can be given.
    pub fn datagram(bytes: Bytes) -> Result<Self, Malformed> {
        Self::datagram_within(bytes, &Limits::DEFAULT)
    }

    /// Reads a message that is one datagram or one WebSocket frame.
    ///
    /// # Errors
    /// What is malformed, and the answer to give if one can be given.
    pub fn datagram_within(bytes: Bytes, limits: &Limits) -> Result<Self, Malformed> {
        parse::read(bytes, Framing::Datagram, limits).strict()
    }

    /// Reads a message that a [`Framer`](super::frame::Framer) cut out of a stream.
    ///
    /// # Errors
    /// What is malformed, and the answer to give if one can be given.
    pub fn framed(bytes: Bytes) -> Result<Self, Malformed> {
        Self::framed_within(bytes, &Limits::DEFAULT)
    }

    /// Reads a message that a [`Framer`](super::frame::Framer) with these limits cut out of a stream.
    ///
    /// # Errors
    /// What is malformed, and the answer to give if one can be given.
    pub fn framed_within(bytes: Bytes, limits: &Limits) -> Result<Self, Malformed> {
        parse::read(bytes, Framing::Stream, limits).strict()
    }

    /// Reads bytes this engine wrote itself; missing fields read as empty.
    pub(super) fn own(bytes: Bytes) -> Self {
        let limits = Limits { head: usize::MAX, message: usize::MAX };
        parse::read(bytes, Framing::Datagram, &limits).message
    }

    /// The message on the wire.
    #[must_use]
    pub const fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// Whether this is a request.
    #[must_use]
    pub const fn is_request(&self) -> bool {
        matches!(self.start, Start::Request { .. })
    }

    /// Whether this is a response.
    #[must_use]
    pub const fn is_response(&self) -> bool {
        !self.is_request()
    }

    /// The method of a request.
    #[must_use]
    pub const fn method(&self) -> Option<&Method> {
        match &self.start {
            Start::Request { method, .. } => Some(method),
            Start::Response { .. } => None,
        }
    }

    /// Whether this is a request of that method.
    #[must_use]
    pub fn is(&self, method: &Method) -> bool {
        self.method() == Some(method)
    }

    /// The status of a response.
    #[must_use]
    pub const fn status(&self) -> Option<u16> {
        match self.start {
            Start::Response { status, .. } => Some(status),
            Start::Request { .. } => None,
        }
    }

    /// The reason phrase of a response; empty for a request.
    #[must_use]
    pub fn reason_phrase(&self) -> &[u8] {
        match self.start {
            Start::Response { phrase, .. } => phrase.slice(&self.bytes),
            Start::Request { .. } => b"",
        }
    }

    /// The request-URI as written.
    #[must_use]
    pub fn request_uri(&self) -> Option<&[u8]> {
        match self.start {
            Start::Request { uri, .. } => Some(uri.slice(&self.bytes)),
            Start::Response { .. } => None,
        }
    }

    /// The request-URI.
    #[must_use]
    pub fn uri(&self) -> Option<Result<Uri, BadSyntax>> {
        self.request_uri().map(|uri| Uri::from_bytes(self.bytes.slice_ref(uri)))
    }

    /// The first value of a field, white space trimmed.
    #[must_use]
    pub fn header(&self, name: Name) -> Option<&[u8]> {
        self.headers(name).next()
    }

    /// The values of all lines of a field.
    pub fn headers(&self, name: Name) -> impl Iterator<Item = &[u8]> {
        self.lines.iter().filter(move |line| line.name == name).map(|line| line.value.slice(&self.bytes))
    }

    /// The first value of a field by the bytes of its name, in any case; known names and compact forms too.
    #[must_use]
    pub fn header_named<'a>(&'a self, name: &[u8]) -> Option<&'a [u8]> {
        self.headers_named(name).next()
    }

    /// The values of all lines of a field by the bytes of its name.
    pub fn headers_named<'a>(&'a self, name: &[u8]) -> impl Iterator<Item = &'a [u8]> {
        let known = Name::parse(name);
        self.lines
            .iter()
            .filter(move |line| {
                line.name == known && (known != Name::Other || line.key.slice(&self.bytes).eq_ignore_ascii_case(name))
            })
            .map(|line| line.value.slice(&self.bytes))
    }

    /// All lines in order: name as written, value.
    pub fn all_headers(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.lines.iter().map(|line| (line.key.slice(&self.bytes), line.value.slice(&self.bytes)))
    }

    /// All lines in order: known name, name as written, value.
    pub fn named_headers(&self) -> impl Iterator<Item = (Name, &[u8], &[u8])> {
        self.lines.iter().map(|line| (line.name, line.key.slice(&self.bytes), line.value.slice(&self.bytes)))
    }

    /// The values of a field over all its lines, cut at commas where its grammar is a list; empty ones left out.
    pub fn values(&self, name: Name) -> impl Iterator<Item = &[u8]> {
        // No octet of a value is a line feed, so a field that is no list is one piece.
        let separator = if name.is_list() { b',' } else { b'\n' };
        self.headers(name).flat_map(move |value| text::pieces(value, separator)).filter(|value| !value.is_empty())
    }

    /// Whether a list of tokens holds one, in any case: `Supported: 100rel, replaces`.
    #[must_use]
    pub fn has_token(&self, name: Name, token: &str) -> bool {
        self.values(name).any(|value| value.eq_ignore_ascii_case(token.as_bytes()))
    }

    /// The body.
    #[must_use]
    pub fn body(&self) -> &[u8] {
        self.bytes.get(self.body_at..).unwrap_or_default()
    }

    /// The body, keeping the message's bytes alive.
    #[must_use]
    pub fn body_bytes(&self) -> Bytes {
        self.bytes.slice_ref(self.body())
    }

    /// The topmost Via.
    #[must_use]
    pub const fn via(&self) -> &Via {
        &self.via
    }

    /// From.
    #[must_use]
    pub const fn from(&self) -> &NameAddr {
        &self.from
    }

    /// To.
    #[must_use]
    pub const fn to(&self) -> &NameAddr {
        &self.to
    }

    /// The tag of From; none from an element of the time before RFC 3261.
    #[must_use]
    pub fn from_tag(&self) -> Option<&[u8]> {
        self.from.tag()
    }

    /// The tag of To.
    #[must_use]
    pub fn to_tag(&self) -> Option<&[u8]> {
        self.to.tag()
    }

    /// Call-ID.
    #[must_use]
    pub fn call_id(&self) -> &[u8] {
        self.call_id.slice(&self.bytes)
    }

    /// CSeq.
    #[must_use]
    pub const fn cseq(&self) -> &CSeq {
        &self.cseq
    }

    /// The method a response answers or a request has: the one in CSeq.
    #[must_use]
    pub const fn cseq_method(&self) -> &Method {
        &self.cseq.method
    }

    /// Max-Forwards, when present.
    #[must_use]
    pub const fn max_forwards(&self) -> Option<u8> {
        self.max_forwards
    }

    /// The first Contact with an address; none for `*` or a bad one.
    #[must_use]
    pub fn contact(&self) -> Option<NameAddr> {
        let value = self.values(Name::Contact).next().filter(|value| *value != b"*")?;
        NameAddr::from_bytes(self.bytes.slice_ref(value)).ok()
    }

    /// All Contacts.
    ///
    /// # Errors
    /// Says what the first bad one breaks.
    pub fn contacts(&self) -> Result<Contacts, BadSyntax> {
        Contacts::parse(self.values(Name::Contact))
    }

    /// The addresses of a field that is a list of them, in order (Route, Record-Route, Path, P-Asserted-Identity).
    pub fn addresses(&self, name: Name) -> impl Iterator<Item = Result<NameAddr, BadSyntax>> {
        self.values(name).map(|value| NameAddr::from_bytes(self.bytes.slice_ref(value)))
    }

    /// Content-Type as written.
    #[must_use]
    pub fn content_type(&self) -> Option<&[u8]> {
        self.header(Name::ContentType)
    }

    /// Whether the body has that type, parameters aside: `application/sdp`.
    #[must_use]
    pub fn is_content(&self, kind: &str) -> bool {
        let bare = |value: &[u8]| text::trim(value.split(|byte| *byte == b';').next().unwrap_or_default()).to_vec();
        self.content_type().is_some_and(|value| bare(value).eq_ignore_ascii_case(kind.as_bytes()))
    }

    /// Content-Length, when present. The body is already cut to it.
    #[must_use]
    pub fn content_length(&self) -> Option<usize> {
        self.header(Name::ContentLength).and_then(text::number).and_then(|length| usize::try_from(length).ok())
    }

    /// Expires in seconds, when present and a number.
    #[must_use]
    pub fn expires(&self) -> Option<u32> {
        self.header(Name::Expires).and_then(text::seconds)
    }

    /// Whether a draft became a message that another element would accept.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        parse::read(self.bytes.clone(), Framing::Stream, &Limits::DEFAULT).fault.is_none()
    }
}

impl PartialEq for Message {
    fn eq(&self, other: &Self) -> bool {
        self.bytes == other.bytes
    }
}

impl Eq for Message {}

impl Hash for Message {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.bytes.hash(state);
    }
}

/// The start line with its number masked, CSeq, and sizes: no names, no bodies, no credentials.
impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.start {
            Start::Request { method, .. } => {
                write!(f, "{method} ")?;
                match self.uri() {
                    Some(Ok(uri)) => write!(f, "{uri:?}")?,
                    _ => f.write_str("…")?,
                }
            }
            Start::Response { status, .. } => write!(f, "{status} to {}", self.cseq)?,
        }
        write!(f, " ({} headers, {} octets of body)", self.lines.len(), self.body().len())
    }
}

impl Serialize for Message {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.bytes.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Message {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Bytes::deserialize(deserializer).map(Self::own)
    }
}

/// Bytes that are no message.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("malformed message: {status} {phrase}")]
pub struct Malformed {
    /// The status to answer with.
    pub status: u16,
    /// The reason phrase: names the fault.
    pub phrase: String,
    /// What an answer needs, when the bytes are a request that can be answered.
    pub reply: Option<Box<ReplyParts>>,
}

impl Malformed {
    /// The answer, when one can be given; to be sent back where the bytes came from, without any state.
    #[must_use]
    pub fn response_bytes(&self) -> Option<Bytes> {
        let reply = self.reply.as_ref()?;
        let mut out = format!("SIP/2.0 {} {}\r\n", self.status, self.phrase).into_bytes();
        out.extend(&reply.lines);
        out.extend(b"Content-Length: 0\r\n\r\n");
        Some(Bytes::from(out))
    }
}

/// The lines of a malformed request that its answer repeats.
#[derive(Clone, PartialEq, Eq)]
pub struct ReplyParts {
    lines: Vec<u8>,
}

impl fmt::Debug for ReplyParts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ReplyParts({} octets)", self.lines.len())
    }
}

impl ReplyParts {
    /// Collects them; `None` without a Via, since then nobody could match the answer.
    pub(super) fn of(request: &Message) -> Option<Self> {
        request.header(Name::Via)?;
        let mut lines = Vec::new();
        let mut push = |name: Name, value: &[u8]| {
            lines.extend(name.as_str().bytes());
            lines.extend(b": ");
            lines.extend(value.iter().map(|byte| if matches!(byte, 0 | b'\r' | b'\n') { b' ' } else { *byte }));
            lines.extend(b"\r\n");
        };
        request.headers(Name::Via).for_each(|value| push(Name::Via, value));
        for name in [Name::From, Name::To, Name::CallId, Name::CSeq] {
            let Some(value) = request.header(name) else { continue };
            match NameAddr::parse(value) {
                Ok(to) if name == Name::To && to.tag().is_none() => {
                    push(name, to.with_tag(stateless_tag(request).as_bytes()).bytes());
                }
                _ => push(name, value),
            }
        }
        Some(Self { lines })
    }
}

/// A tag that is the same for each retransmission of a request (RFC 3261 §8.2.7).
#[must_use]
pub fn stateless_tag(request: &Message) -> String {
    let seed = request.header(Name::Via).unwrap_or_default().iter().chain(request.call_id());
    let hash =
        seed.fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3));
    format!("s{hash:016x}")
}

#[cfg(test)]
mod tests;
