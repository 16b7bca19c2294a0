//! Writing messages.
//!
//! A [`Draft`] collects header lines and a body and becomes a [`Message`] whose bytes go on the wire. No header can be
//! injected: CR, LF and NUL in a value become spaces, a name that is no token is refused, spaces and control octets
//! in a request-URI are dropped. Content-Length is always written, and only here.
//!
//! Deliberately absent: choosing what to write, and order beyond "what was added first stands first".
//!
//! RFC 3261 §7, §8.1.1, §8.2.6, §12.1.1 (Record-Route copied), §18.2.1 and RFC 3581 §4 (Via stamped), §20.38
//! (Timestamp copied into 100).

use std::net::SocketAddr;

use bytes::Bytes;

use super::header::address::NameAddr;
use super::header::via::Via;
use super::message::{Message, Method, Name, default_phrase};
use super::text;

/// A message being written.
#[derive(Clone, Debug)]
pub struct Draft {
    start: Vec<u8>,
    /// The topmost Via of a response, kept apart until it is known where the request came from.
    top_via: Option<Via>,
    source: Option<SocketAddr>,
    lines: Vec<u8>,
    body: Bytes,
}

impl Draft {
    /// Begins a request. The caller adds Via, From, To, Call-ID, CSeq and Max-Forwards.
    #[must_use]
    pub fn request(method: &Method, uri: &[u8]) -> Self {
        let mut start = method.as_str().as_bytes().to_vec();
        start.push(b' ');
        start.extend(uri.iter().filter(|byte| **byte > 0x20 && **byte != 0x7f));
        start.extend(b" SIP/2.0\r\n");
        Self::starting(start)
    }

    /// Begins a response to a request: Via, From, To, Call-ID and CSeq are copied, and Record-Route where the
    /// response makes a dialog, and Timestamp into a 100.
    #[must_use]
    pub fn response(request: &Message, status: u16, phrase: Option<&str>) -> Self {
        let status = status.clamp(100, 699);
        let mut start = format!("SIP/2.0 {status} ").into_bytes();
        push_clean(&mut start, phrase.unwrap_or_else(|| default_phrase(status)).as_bytes());
        start.extend(b"\r\n");
        let mut draft = Self::starting(start);
        let mut vias = request.headers(Name::Via);
        if let Some(first) = vias.next() {
            draft.top_via = Some(request.via().clone());
            let mut values = text::pieces(first, b',');
            values.next();
            let others = Some(values.remainder()).filter(|others| !others.is_empty());
            // Lines are copied whole: one line for each value would let a short list grow into a long answer.
            draft = others.into_iter().chain(vias).fold(draft, |draft, value| draft.header(Name::Via, value));
        }
        draft = draft.header(Name::From, request.from().bytes()).header(Name::To, request.to().bytes());
        draft = draft.header(Name::CallId, request.call_id()).header(Name::CSeq, request.cseq().to_string());
        let makes_dialog =
            matches!(request.cseq_method(), Method::Invite | Method::Subscribe | Method::Refer | Method::Notify);
        if makes_dialog && (101..300).contains(&status) {
            for value in request.headers(Name::RecordRoute) {
                draft = draft.header(Name::RecordRoute, value);
            }
        }
        match request.header(Name::Timestamp) {
            Some(value) if status == 100 => draft.header(Name::Timestamp, value),
            _ => draft,
        }
    }

    /// Begins from a message: its start line, all its lines and its body, to be changed.
    #[must_use]
    pub fn from_message(message: &Message) -> Self {
        let head = message.bytes().get(..).unwrap_or_default();
        let end = head.windows(2).position(|pair| pair == b"\r\n").map_or(head.len(), |at| at + 2);
        let mut draft = Self::starting(head.get(..end).unwrap_or_default().to_vec());
        for (name, key, value) in message.named_headers() {
            if name != Name::ContentLength {
                push_line(&mut draft.lines, key, value);
            }
        }
        draft.body = message.body_bytes();
        draft
    }

    fn starting(start: Vec<u8>) -> Self {
        Self { start, top_via: None, source: None, lines: Vec::with_capacity(512), body: Bytes::new() }
    }

    /// Adds a line. Content-Length is left to [`Draft::finish`].
    #[must_use]
    pub fn header(mut self, name: Name, value: impl AsRef<[u8]>) -> Self {
        if !matches!(name, Name::ContentLength | Name::Other) {
            push_line(&mut self.lines, name.as_str().as_bytes(), value.as_ref());
        }
        self
    }

    /// Adds a line when there is a value.
    #[must_use]
    pub fn header_opt(self, name: Name, value: Option<impl AsRef<[u8]>>) -> Self {
        match value {
            Some(value) => self.header(name, value),
            None => self,
        }
    }

    /// Adds a line of any name; a name that is no token and Content-Length are refused without a word.
    #[must_use]
    pub fn header_raw(mut self, name: &[u8], value: &[u8]) -> Self {
        if text::is_token(name) && Name::parse(name) != Name::ContentLength {
            push_line(&mut self.lines, name, value);
        }
        self
    }

    /// Adds a line before all others; on a response, behind its topmost Via.
    #[must_use]
    pub fn prepend(mut self, name: Name, value: impl AsRef<[u8]>) -> Self {
        if !matches!(name, Name::ContentLength | Name::Other) {
            let mut lines = Vec::with_capacity(self.lines.len() + 128);
            push_line(&mut lines, name.as_str().as_bytes(), value.as_ref());
            lines.extend(&self.lines);
            self.lines = lines;
        }
        self
    }

    /// Takes all lines of a name away.
    #[must_use]
    pub fn without(mut self, name: Name) -> Self {
        self.lines = self.filtered(|line| Name::parse(line) != name);
        if name == Name::Via {
            self.top_via = None;
        }
        self
    }

    /// Takes all lines of a name away, by the octets of the name in any case; compact forms of known names too.
    #[must_use]
    pub fn without_raw(mut self, name: &[u8]) -> Self {
        match Name::parse(name) {
            Name::Other => self.lines = self.filtered(|line| !text::trim(line).eq_ignore_ascii_case(name)),
            known => return self.without(known),
        }
        self
    }

    /// Takes the first Via away: what an element does to a response it passes on.
    #[must_use]
    pub fn without_top(mut self, name: Name) -> Self {
        let mut seen = false;
        self.lines = self.filtered(|line| {
            let first = !seen && Name::parse(line) == name;
            seen |= first;
            !first
        });
        self
    }

    /// Puts one line in place of all of a name.
    #[must_use]
    pub fn replace(self, name: Name, value: impl AsRef<[u8]>) -> Self {
        self.without(name).header(name, value)
    }

    /// Says where the request came from, so that the topmost Via of its response is stamped with it.
    #[must_use]
    pub const fn via_source(mut self, source: SocketAddr) -> Self {
        self.source = Some(source);
        self
    }

    /// Puts a tag on To, unless it has one.
    #[must_use]
    pub fn to_tag(mut self, tag: &[u8]) -> Self {
        let mut out = Vec::with_capacity(self.lines.len() + tag.len() + 5);
        for line in self.lines.split_inclusive(|byte| *byte == b'\n') {
            let (key, value) = text::split_once(line, b':').unwrap_or((line, b""));
            let value = text::trim(value.strip_suffix(b"\r\n").unwrap_or(value));
            match (Name::parse(key) == Name::To).then(|| NameAddr::parse(value)) {
                Some(Ok(to)) if to.tag().is_none() => push_line(&mut out, key, to.with_tag(tag).bytes()),
                _ => out.extend(line),
            }
        }
        self.lines = out;
        self
    }

    /// Sets body and Content-Type.
    #[must_use]
    pub fn body(mut self, content_type: &str, body: impl Into<Bytes>) -> Self {
        self = self.replace(Name::ContentType, content_type);
        self.body = body.into();
        self
    }

    /// Takes body and Content-Type away.
    #[must_use]
    pub fn without_body(mut self) -> Self {
        self = self.without(Name::ContentType);
        self.body = Bytes::new();
        self
    }

    /// Writes the message. One that lacks mandatory fields is written too and reads as empty there
    /// ([`Message::is_complete`]).
    #[must_use]
    pub fn finish(self) -> Message {
        let mut out = Vec::with_capacity(self.start.len() + self.lines.len() + self.body.len() + 160);
        out.extend(&self.start);
        if let Some(via) = &self.top_via {
            match self.source {
                Some(source) => push_line(&mut out, b"Via", &via.stamped(source)),
                None => push_line(&mut out, b"Via", via.bytes()),
            }
        }
        out.extend(&self.lines);
        out.extend(format!("Content-Length: {}\r\n\r\n", self.body.len()).into_bytes());
        out.extend(&self.body);
        Message::own(Bytes::from(out))
    }

    fn filtered(&self, mut keep: impl FnMut(&[u8]) -> bool) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.lines.len());
        for line in self.lines.split_inclusive(|byte| *byte == b'\n') {
            if keep(text::split_once(line, b':').map_or(line, |(key, _)| key)) {
                out.extend(line);
            }
        }
        out
    }
}

/// Writes `name: value` with nothing in the value that could end the line.
fn push_line(out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    out.extend(name);
    out.extend(b": ");
    push_clean(out, text::trim(value));
    out.extend(b"\r\n");
}

/// Writes a value, CR and LF made spaces, and NUL too unless it is a quoted pair.
fn push_clean(out: &mut Vec<u8>, value: &[u8]) {
    if memchr::memchr3(b'\r', b'\n', 0, value).is_none() {
        out.extend(value);
        return;
    }
    let mut before = 0;
    out.extend(value.iter().map(|byte| {
        let clean = match byte {
            b'\r' | b'\n' => b' ',
            0 if before != b'\\' => b' ',
            byte => *byte,
        };
        before = *byte;
        clean
    }));
}

#[cfg(test)]
mod tests;
