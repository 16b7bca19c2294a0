//! Cutting a byte stream into messages.
//!
//! A message ends where the one Content-Length of its header section says (RFC 3261 §18.3). Whenever that is not
//! certain (no length, two of them, one that is no number, lines that do not end in CRLF, a section or message above
//! the limits) the stream cannot be trusted any further: [`Frame::Fault`] is given once and nothing after it, and the
//! connection should be closed after the fault's answer, if it has one. Faults inside a message whose end is certain
//! are told by [`Message::framed`](super::message::Message::framed) and cost only that message.
//!
//! Between messages, CRLF CRLF is a ping that wants a CRLF back, and a lone CRLF the answer to ours
//! (RFC 5626 §3.5.1).
//!
//! Deliberately absent: sockets and timers; a peer that never finishes a message is the connection's to time out.
//!
//! Limits: [`Limits`]; at most one message and one read are held. The search for the end of a header section goes on
//! where it stopped, so work is linear in the octets pushed.

use bytes::{Buf as _, Bytes, BytesMut};

use super::message::Malformed;
use super::parse::{self, Framing, Limits};

/// The answer to a ping (RFC 5626 §3.5.1).
pub const PONG: &[u8] = b"\r\n";

/// A ping of ours (RFC 5626 §3.5.1).
pub const PING: &[u8] = b"\r\n\r\n";

/// One thing found in a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Frame {
    /// The bytes of one message, for [`Message::framed_within`](super::message::Message::framed_within).
    Message(Bytes),
    /// A ping; [`PONG`] is due.
    KeepAlive,
    /// The stream cannot be cut any further.
    Fault(Malformed),
}

/// Cuts one stream.
#[derive(Debug)]
pub struct Framer {
    limits: Limits,
    buffer: BytesMut,
    /// Octets of the buffer up to the last line end seen: no header section ends in them.
    searched: usize,
    /// Octets already searched for a line end, so that a line that comes in pieces is not searched again for each.
    scanned: usize,
    /// The length of the message at the front, once its header section is whole.
    whole: Option<usize>,
    /// CRLFs seen since the last message.
    line_ends: u8,
    broken: bool,
}

impl Framer {
    /// A framer at the beginning of a stream.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self { limits, buffer: BytesMut::new(), searched: 0, scanned: 0, whole: None, line_ends: 0, broken: false }
    }

    /// Takes in what was read; then call [`Framer::next_frame`] until it gives nothing.
    pub fn push(&mut self, bytes: &[u8]) {
        if !self.broken {
            self.buffer.extend_from_slice(bytes);
        }
    }

    /// The next thing in the stream, if it is there in whole.
    pub fn next_frame(&mut self) -> Option<Frame> {
        if self.broken {
            return None;
        }
        if self.whole.is_none() {
            if self.skip_line_ends() {
                return Some(Frame::KeepAlive);
            }
            let head = match self.head_end()? {
                Ok(head) => head,
                Err(fault) => return Some(fault),
            };
            match parse::content_length(self.buffer.get(..head).unwrap_or_default()) {
                Ok(Some(length)) if length <= self.limits.message.saturating_sub(head) => {
                    self.whole = Some(head + length)
                }
                _ => return Some(self.fault(head)),
            }
        }
        let whole = self.whole.filter(|whole| *whole <= self.buffer.len())?;
        (self.whole, self.searched, self.scanned, self.line_ends) = (None, 0, 0, 0);
        Some(Frame::Message(self.buffer.split_to(whole).freeze()))
    }

    /// Whether the stream cannot be cut any further.
    #[must_use]
    pub const fn is_broken(&self) -> bool {
        self.broken
    }

    /// Octets held of a message that is not whole.
    #[must_use]
    pub fn pending(&self) -> usize {
        self.buffer.len()
    }

    /// Takes CRLFs off the front; whether the second of a pair was among them.
    fn skip_line_ends(&mut self) -> bool {
        while self.searched == 0 && self.buffer.starts_with(b"\r\n") {
            self.buffer.advance(2);
            self.scanned = 0;
            self.line_ends += 1;
            if self.line_ends == 2 {
                self.line_ends = 0;
                return true;
            }
        }
        false
    }

    /// The length of the header section with its empty line, once it is there.
    fn head_end(&mut self) -> Option<Result<usize, Frame>> {
        while let Some(step) = memchr::memchr(b'\n', self.buffer.get(self.scanned..).unwrap_or_default()) {
            self.scanned += step + 1;
            self.searched = self.scanned;
            if self.searched > self.limits.head {
                return Some(Err(self.fault(self.searched)));
            }
            if self.buffer.get(..self.searched).is_some_and(|seen| seen.ends_with(b"\r\n\r\n")) {
                return Some(Ok(self.searched));
            }
        }
        self.scanned = self.buffer.len();
        (self.buffer.len() > self.limits.head).then(|| Err(self.fault(self.limits.head)))
    }

    /// Gives the stream up. The parser names the fault in the octets seen.
    fn fault(&mut self, seen: usize) -> Frame {
        self.broken = true;
        let head = std::mem::take(&mut self.buffer).freeze();
        let head = head.slice(..seen.min(head.len()));
        let length = parse::content_length(&head);
        let too_large = matches!(length, Ok(Some(_))) || seen >= self.limits.head;
        let mut malformed = match parse::read(head, Framing::Stream, &Limits::DEFAULT).strict() {
            Err(malformed) => malformed,
            Ok(_) => Malformed { status: 400, phrase: "Bad Request (framing)".to_owned(), reply: None },
        };
        if too_large {
            (malformed.status, malformed.phrase) = (513, "Message Too Large".to_owned());
        }
        Frame::Fault(malformed)
    }
}

#[cfg(test)]
mod tests;
