//! Bytes to message: lines, fields, and what to answer when they are malformed.
//!
//! Decisions taken here, each with a test:
//!
//! - Lines end in CRLF. A bare CR or LF in the header section is a fault (400): two elements that disagree on where a
//!   header ends can be made to disagree on where a message ends.
//! - White space before the colon is legal and honoured (RFC 3261 §7.3.1), so `Content-Length : 5` counts. A line
//!   without a colon or whose name is no token is a fault, never skipped.
//! - A folded line is joined by overwriting CRLF with two spaces, which keeps every offset; bytes of such a message
//!   are the joined ones.
//! - NUL is a fault unless it is a quoted pair (RFC 4475 §3.1.1.2).
//! - Two Content-Length lines are a fault even when they agree. In a datagram, octets beyond the length are dropped;
//!   fewer than it are a fault. In a stream the length is mandatory (RFC 3261 §18.3).
//! - Values are bytes of any charset; only the fields that route are read.
//!
//! A malformed request is answered when it has a Via and is no ACK; anything else meets silence.
//!
//! Deliberately absent: what is wrong by meaning rather than by form ([`Message::check_request`]).
//!
//! Limits: [`Limits`]. Work: the header section is scanned for NUL, for line ends and for colons, each once; the
//! values of at most six fields are read once more; joining folds adds one copy and one more round. So parsing is
//! linear in the length of the header section, and the body is not read at all.

use bytes::Bytes;

use super::header::address::NameAddr;
use super::header::cseq::CSeq;
use super::header::via::Via;
use super::message::{Malformed, Message, Method, Name, ReplyParts};
use super::text::{self, Span};

/// How large messages may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Start line and header fields, in octets.
    pub head: usize,
    /// The whole message, in octets.
    pub message: usize,
}

impl Limits {
    /// 16 KiB of header section, 64 KiB of message: above anything a carrier sends with a recorded history, below
    /// what would let strangers fill memory.
    pub const DEFAULT: Self = Self { head: 16 * 1024, message: 64 * 1024 };
}

impl Default for Limits {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// How the end of a message is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Framing {
    /// By the datagram.
    Datagram,
    /// By Content-Length.
    Stream,
}

/// One header line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Line {
    pub(super) name: Name,
    pub(super) key: Span,
    pub(super) value: Span,
}

/// The start line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Start {
    Request { method: Method, uri: Span },
    Response { status: u16, phrase: Span },
}

/// What the bytes break; the first fault found is the one told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fault {
    status: u16,
    phrase: String,
}

/// A message as far as it could be read. Fields that are missing or bad are empty, and then there is a fault.
pub(super) struct Reading {
    pub(super) message: Message,
    pub(super) fault: Option<Fault>,
    /// Whether the start line says that a peer speaking SIP sent a request.
    answerable: bool,
}

impl Reading {
    pub(super) fn strict(self) -> Result<Message, Malformed> {
        let Some(Fault { status, phrase }) = self.fault else { return Ok(self.message) };
        let reply = self.answerable.then(|| ReplyParts::of(&self.message)).flatten();
        Err(Malformed { status, phrase, reply: reply.map(Box::new) })
    }
}

/// Reads a message.
pub(super) fn read(bytes: Bytes, framing: Framing, limits: &Limits) -> Reading {
    let mut bytes = bytes;
    while bytes.starts_with(b"\r\n") {
        bytes = bytes.slice(2..);
    }
    let mut reading = Reader::new(bytes);
    if reading.bytes.len() > limits.message {
        reading.fault(513, "Message Too Large");
    }
    reading.lines(limits);
    reading.finish(framing)
}

/// The value of the one Content-Length of a header section.
///
/// # Errors
/// When the section cannot be cut into lines, or has two lengths, or one that is no length.
pub(super) fn content_length(head: &[u8]) -> Result<Option<usize>, &'static str> {
    let joined;
    let head = if is_folded(head) {
        joined = unfold(head);
        &joined
    } else {
        head
    };
    let mut length = None;
    let mut rest = head;
    let mut lines = 0;
    while let Some(line) = next_line(&mut rest)? {
        lines += 1;
        if line.is_empty() {
            break;
        }
        if lines == 1 {
            continue;
        }
        let Some((key, value)) = text::split_once(line, b':') else { return Err("header line without colon") };
        if Name::parse(text::trim_end(key)) != Name::ContentLength {
            continue;
        }
        let value = text::number(text::trim(value)).and_then(|value| usize::try_from(value).ok());
        if length.replace(value.ok_or("bad Content-Length")?).is_some() {
            return Err("two Content-Length fields");
        }
    }
    let end = head.len() - rest.len();
    if has_bare_line_feed(head.get(..end).unwrap_or_default(), lines) {
        return Err("bare line feed in header");
    }
    Ok(length)
}

/// Takes the next line off, without its CRLF; `None` at the end of the bytes. A line feed inside the line is not
/// looked for ([`has_bare_line_feed`]).
fn next_line<'a>(rest: &mut &'a [u8]) -> Result<Option<&'a [u8]>, &'static str> {
    let whole = *rest;
    if whole.is_empty() {
        return Ok(None);
    }
    let end = memchr::memchr(b'\r', whole).unwrap_or(whole.len());
    let (line, after) = whole.split_at_checked(end).unwrap_or((whole, b""));
    match after {
        [b'\r', b'\n', after @ ..] => {
            *rest = after;
            Ok(Some(line))
        }
        [b'\r', after @ ..] if !after.is_empty() => {
            *rest = after;
            Err("bare carriage return in header")
        }
        _ => {
            *rest = b"";
            Err("unterminated header")
        }
    }
}

/// Whether a header section of so many lines, each ended by CRLF, holds a line feed beside theirs.
fn has_bare_line_feed(head: &[u8], lines: usize) -> bool {
    memchr::memchr_iter(b'\n', head).count() != lines
}

/// Whether a CRLF in the header section is followed by white space.
fn is_folded(head: &[u8]) -> bool {
    let mut rest = head;
    while let Ok(Some(line)) = next_line(&mut rest) {
        if line.is_empty() {
            return false;
        }
        if matches!(rest, [b' ' | b'\t', ..]) {
            return true;
        }
    }
    false
}

/// Joins folded lines: CRLF before white space becomes two spaces. The body stays as it is.
fn unfold(bytes: &[u8]) -> Vec<u8> {
    let mut joined = bytes.to_vec();
    let mut at = 0;
    while let Some(next) = joined.get(at..).and_then(|rest| memchr::memchr(b'\r', rest)) {
        at += next;
        match joined.get_mut(at..).unwrap_or_default() {
            [b'\r', b'\n', b'\r', b'\n', ..] => break,
            [cr, lf @ b'\n', b' ' | b'\t', ..] => (*cr, *lf) = (b' ', b' '),
            _ => at += 1,
        }
    }
    joined
}

/// Whether a NUL stands anywhere but behind a backslash.
fn has_bare_nul(head: &[u8]) -> bool {
    memchr::memchr_iter(0, head).any(|at| at.checked_sub(1).and_then(|before| head.get(before)) != Some(&b'\\'))
}

struct Reader {
    bytes: Bytes,
    start: Start,
    lines: Vec<Line>,
    body_at: usize,
    fault: Option<Fault>,
    answerable: bool,
}

impl Reader {
    fn new(bytes: Bytes) -> Self {
        let start = Start::Request { method: Method::Options, uri: Span::default() };
        // An INVITE from a carrier has some twenty lines; one allocation holds them.
        Self { body_at: bytes.len(), bytes, start, lines: Vec::with_capacity(24), fault: None, answerable: false }
    }

    fn fault(&mut self, status: u16, phrase: impl Into<String>) {
        if self.fault.is_none() {
            self.fault = Some(Fault { status, phrase: phrase.into() });
        }
    }

    fn lines(&mut self, limits: &Limits) {
        // Taken out while it is read, to be borrowed beside `self`, and put back at the end.
        let bytes = std::mem::take(&mut self.bytes);
        let is_folded = self.unfolded_lines(&bytes, limits);
        self.bytes = bytes;
        if is_folded {
            self.joined(limits);
        }
    }

    /// Reads the header section, unless it turns out to be folded.
    fn unfolded_lines(&mut self, bytes: &Bytes, limits: &Limits) -> bool {
        let head = bytes.get(..limits.head).unwrap_or(bytes);
        let mut rest = head;
        match next_line(&mut rest) {
            Ok(Some(line)) if !matches!(rest, [b' ' | b'\t', ..]) => self.start_line(bytes, line),
            Ok(_) => self.fault(400, "Bad Request (start line)"),
            Err(fault) => self.fault(400, format!("Bad Request ({fault})")),
        }
        let mut count = 1;
        loop {
            match next_line(&mut rest) {
                Ok(Some([])) => break,
                Ok(Some(_)) if matches!(rest, [b' ' | b'\t', ..]) => return true,
                Ok(Some(line)) => self.header_line(bytes, line),
                Ok(None) | Err(_) if rest.is_empty() => {
                    let (status, phrase) = match head.len() < bytes.len() {
                        true => (513, "Message Too Large (header section)"),
                        false => (400, "Bad Request (unterminated header)"),
                    };
                    self.fault(status, phrase);
                    break;
                }
                Ok(None) => break,
                Err(fault) => self.fault(400, format!("Bad Request ({fault})")),
            }
            count += 1;
        }
        self.body_at = head.len() - rest.len();
        let head = bytes.get(..self.body_at).unwrap_or_default();
        if has_bare_line_feed(head, count + 1) {
            self.fault(400, "Bad Request (bare line feed in header)");
        }
        if has_bare_nul(head) {
            self.fault(400, "Bad Request (NUL in header)");
        }
        false
    }

    /// Begins anew on the same bytes with folds joined, of which there is then none.
    fn joined(&mut self, limits: &Limits) {
        let joined = Bytes::from(unfold(&self.bytes));
        if joined == self.bytes {
            return self.fault(400, "Bad Request (folding)");
        }
        let fault = self.fault.take();
        *self = Self::new(joined);
        self.fault = fault;
        self.lines(limits);
    }

    fn start_line(&mut self, bytes: &[u8], line: &[u8]) {
        if line.get(..4).is_some_and(|word| word.eq_ignore_ascii_case(b"SIP/")) {
            return self.status_line(bytes, line);
        }
        let word_at = text::trim_end(line).iter().rposition(|byte| text::is_space(*byte)).unwrap_or(0);
        let last = text::trim(line.get(word_at..).unwrap_or_default());
        self.answerable = last.get(..4).is_some_and(|word| word.eq_ignore_ascii_case(b"SIP/"));
        let (method, rest) = text::split_once(line, b' ').unwrap_or((line, b""));
        let at = rest.iter().rposition(|byte| *byte == b' ').unwrap_or(0);
        let (uri, version) = rest.split_at_checked(at).unwrap_or((rest, b""));
        let version = version.strip_prefix(b" ").unwrap_or(version);
        match Method::parse(method) {
            Some(method) => self.start = Start::Request { method, uri: Span::of(bytes, uri) },
            None => self.fault(400, "Bad Request (method)"),
        }
        if self.answerable && is_version(last) && !last.eq_ignore_ascii_case(b"SIP/2.0") {
            self.fault(505, "Version Not Supported");
        } else if !version.eq_ignore_ascii_case(b"SIP/2.0") {
            self.fault(400, "Bad Request (request line)");
        } else if uri.is_empty() || uri.iter().any(|byte| text::is_space(*byte)) {
            self.fault(400, "Bad Request (space in request line)");
        }
    }

    fn status_line(&mut self, bytes: &[u8], line: &[u8]) {
        let (version, rest) = text::split_once(line, b' ').unwrap_or((line, b""));
        let (code, phrase) = text::split_once(rest, b' ').unwrap_or((rest, b""));
        let status =
            text::number(code).filter(|code| (100..700).contains(code)).and_then(|code| u16::try_from(code).ok());
        if !version.eq_ignore_ascii_case(b"SIP/2.0") || code.len() != 3 || status.is_none() {
            self.fault(400, "Bad Response (status line)");
        }
        self.start = Start::Response { status: status.unwrap_or(400), phrase: Span::of(bytes, phrase) };
    }

    fn header_line(&mut self, bytes: &[u8], line: &[u8]) {
        let end = line.iter().position(|byte| !text::is_token_byte(*byte)).unwrap_or(line.len());
        let (key, rest) = line.split_at_checked(end).unwrap_or((line, b""));
        let Some(value) = text::trim_start(rest).strip_prefix(b":").filter(|_| !key.is_empty()) else {
            return self.fault(400, "Bad Request (header name)");
        };
        let (name, value) = (Name::parse(key), text::trim(value));
        self.lines.push(Line { name, key: Span::of(bytes, key), value: Span::of(bytes, value) });
    }

    /// The value of the only line of a name; a second line is a fault.
    fn only(&mut self, name: Name) -> Option<Span> {
        let mut values = self.lines.iter().filter(|line| line.name == name);
        let value = values.next()?.value;
        let more = values.next().is_some();
        if more {
            self.fault(400, format!("Bad Request (two {} fields)", name.as_str()));
        }
        Some(value)
    }

    fn required(&mut self, name: Name) -> Span {
        let value = self.only(name);
        if value.is_none() {
            self.fault(400, format!("Bad Request (no {})", name.as_str()));
        }
        value.unwrap_or_default()
    }

    fn value_fault(&mut self, name: Name, fault: text::BadSyntax) {
        self.fault(400, format!("Bad Request ({}: {fault})", name.as_str()));
    }

    fn top_via(&mut self) -> Via {
        let Some(line) = self.lines.iter().find(|line| line.name == Name::Via) else {
            self.fault(400, "Bad Request (no Via)");
            return Via::default();
        };
        let first = text::pieces(line.value.slice(&self.bytes), b',').next().unwrap_or_default();
        Via::from_bytes(self.bytes.slice_ref(first)).unwrap_or_else(|fault| {
            self.value_fault(Name::Via, fault);
            Via::default()
        })
    }

    fn address(&mut self, name: Name) -> NameAddr {
        let value = self.required(name);
        NameAddr::from_bytes(self.bytes.slice_ref(value.slice(&self.bytes))).unwrap_or_else(|fault| {
            self.value_fault(name, fault);
            NameAddr::default()
        })
    }

    fn cseq(&mut self) -> CSeq {
        let value = self.required(Name::CSeq);
        CSeq::parse(value.slice(&self.bytes)).unwrap_or_else(|fault| {
            self.value_fault(Name::CSeq, fault);
            CSeq::new(0, Method::Options)
        })
    }

    fn max_forwards(&mut self) -> Option<u8> {
        let value = self.only(Name::MaxForwards)?;
        let hops = text::number(value.slice(&self.bytes)).and_then(|hops| u8::try_from(hops).ok());
        if hops.is_none() {
            self.fault(400, "Bad Request (Max-Forwards)");
        }
        hops
    }

    /// Finds the end of the body.
    fn end(&mut self, framing: Framing) -> usize {
        let available = self.bytes.len() - self.body_at;
        let length = match self.only(Name::ContentLength) {
            None if framing == Framing::Stream => {
                self.fault(400, "Bad Request (no Content-Length)");
                return self.bytes.len();
            }
            None => return self.bytes.len(),
            Some(value) => text::number(value.slice(&self.bytes)).and_then(|length| usize::try_from(length).ok()),
        };
        match length {
            None => self.fault(400, "Bad Request (Content-Length)"),
            Some(length) if length > available => self.fault(400, "Bad Request (Content-Length beyond message)"),
            Some(length) if length < available && framing == Framing::Stream => {
                self.fault(400, "Bad Request (message beyond Content-Length)");
            }
            Some(length) => return self.body_at + length,
        }
        self.bytes.len()
    }

    fn finish(mut self, framing: Framing) -> Reading {
        let end = self.end(framing);
        let via = self.top_via();
        let from = self.address(Name::From);
        let to = self.address(Name::To);
        let call_id = self.required(Name::CallId);
        let word = call_id.slice(&self.bytes);
        if self.fault.is_none() && (word.is_empty() || word.iter().any(|byte| text::is_space(*byte))) {
            self.fault(400, "Bad Request (Call-ID)");
        }
        let cseq = self.cseq();
        let max_forwards = self.max_forwards();
        let answerable =
            self.answerable && matches!(&self.start, Start::Request { method, .. } if *method != Method::Ack);
        let mut bytes = self.bytes;
        bytes.truncate(end);
        let message = Message {
            bytes,
            start: self.start,
            lines: self.lines.into(),
            body_at: self.body_at,
            via,
            from,
            to,
            call_id,
            cseq,
            max_forwards,
        };
        Reading { message, fault: self.fault, answerable }
    }
}

/// Whether a word is `SIP/` with two numbers, of whatever version (RFC 3261 §7.1).
fn is_version(word: &[u8]) -> bool {
    let digits = |part: &[u8]| !part.is_empty() && part.iter().all(u8::is_ascii_digit);
    word.get(4..)
        .and_then(|rest| text::split_once(rest, b'.'))
        .is_some_and(|(major, minor)| digits(major) && digits(minor))
}

#[cfg(test)]
mod tests;
