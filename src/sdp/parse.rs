//! Reads a session description tolerantly and keeps what it does not understand.
//!
//! Lines may end in CRLF, LF or CR alone; text that is not UTF-8 is replaced, not refused; a missing `o=`, `s=`, `t=`
//! or `c=`, an unreadable attribute or an unknown line never spoils the rest, because carriers' gear leaves out what
//! RFC 8866 §5 demands. Only the order and number of `m=` lines matters for an answer (RFC 3264 §6), so even a
//! broken `m=` line keeps its place. Deliberately absent: deciding anything (`negotiate`).
//!
//! Limits: 65,536 bytes, 512 lines, 32 media lines; beyond them the description is refused whole.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use serde::{Deserialize, Serialize};

use crate::rtp::command::Direction;

/// Longest description read, bytes: a UDP datagram cannot carry more.
const BYTES_MAX: usize = 65_536;
/// Most lines read; real descriptions have under a hundred.
const LINES_MAX: usize = 512;
/// Most `m=` lines read.
const MEDIA_MAX: usize = 32;

/// The body is no session description that could be answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum ParseFault {
    /// No line of the form `x=` was found.
    #[error("the body holds no session description")]
    NotSdp,
    /// A limit of this module was passed.
    #[error("the session description is too large")]
    TooLarge,
}

/// A session description as read.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct SessionDescription {
    /// The value of `o=`, unread.
    pub origin: Option<Box<str>>,
    /// The session's `c=` address.
    pub connection: Connection,
    /// The session's direction attribute, as its author wrote it.
    pub direction: Option<Direction>,
    /// The media lines in order.
    pub media: Vec<MediaDescription>,
    /// Session attributes other than the direction.
    pub attributes: Vec<Attribute>,
    /// Other session lines, kept as written.
    pub others: Vec<Box<str>>,
}

/// What a `c=` line says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Connection {
    /// There is none, or it names a host.
    #[default]
    Absent,
    /// An address; the unspecified one means hold (RFC 3264 §8.4).
    Address(IpAddr),
}

impl Connection {
    /// The address, where there is one.
    #[must_use]
    pub const fn address(self) -> Option<IpAddr> {
        match self {
            Self::Absent => None,
            Self::Address(address) => Some(address),
        }
    }
}

/// One `m=` line and what belongs to it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct MediaDescription {
    /// `audio`, `video`, `image`, …
    pub kind: Box<str>,
    /// The port; 0 is a refused or removed stream.
    pub port: u16,
    /// `RTP/AVP`, `udptl`, …
    pub protocol: Box<str>,
    /// Payload types or other formats, in the author's order of preference.
    pub formats: Vec<Box<str>>,
    /// The line's own `c=` address.
    pub connection: Connection,
    /// The line's own direction attribute, as its author wrote it.
    pub direction: Option<Direction>,
    /// The other attributes in order.
    pub attributes: Vec<Attribute>,
}

impl MediaDescription {
    /// The value of the first attribute of that name.
    #[must_use]
    pub fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes.iter().find(|attribute| attribute.is(name)).map(|attribute| &*attribute.value)
    }

    /// Whether an attribute of that name is there.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.attributes.iter().any(|attribute| attribute.is(name))
    }

    /// The encoding of a payload type: from `a=rtpmap`, else the static table (RFC 3551 §6) as far as it concerns us.
    #[must_use]
    pub fn encoding(&self, payload_type: u8) -> Option<Encoding> {
        self.attributes
            .iter()
            .filter(|attribute| attribute.is("rtpmap"))
            .find_map(|attribute| Encoding::of_rtpmap(&attribute.value, payload_type))
            .or_else(|| match payload_type {
                0 => Some(Encoding::new("PCMU")),
                8 => Some(Encoding::new("PCMA")),
                13 => Some(Encoding::new("CN")),
                _ => None,
            })
    }

    /// The payload types in order; formats that are no payload type are left out.
    pub fn payload_types(&self) -> impl Iterator<Item = u8> + '_ {
        self.formats.iter().filter_map(|format| format.parse().ok()).filter(|payload_type| *payload_type < 128)
    }
}

/// Name, clock rate and channels of a payload type.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Encoding {
    name: Box<str>,
    rate: u32,
    channels: u8,
}

impl Encoding {
    fn new(name: &str) -> Self {
        Self { name: name.into(), rate: 8000, channels: 1 }
    }

    fn of_rtpmap(value: &str, payload_type: u8) -> Option<Self> {
        let (number, encoding) = value.trim().split_once(|c: char| c.is_ascii_whitespace())?;
        if number.parse() != Ok(payload_type) {
            return None;
        }
        let mut parts = encoding.trim().split('/');
        let name = parts.next()?.trim();
        let rate = parts.next().and_then(|rate| rate.trim().parse().ok()).unwrap_or(8000);
        let channels = parts.next().and_then(|channels| channels.trim().parse().ok()).unwrap_or(1);
        Some(Self { name: name.into(), rate, channels })
    }

    /// Whether it is this encoding at 8 kHz, one channel. Names know no case (RFC 4855 §3).
    #[must_use]
    pub fn is_8k(&self, name: &str) -> bool {
        self.rate == 8000 && self.channels == 1 && self.name.eq_ignore_ascii_case(name)
    }
}

/// One `a=` line.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Attribute {
    /// What stands before the colon.
    pub name: Box<str>,
    /// What stands behind it; empty for a property attribute.
    pub value: Box<str>,
}

impl Attribute {
    fn is(&self, name: &str) -> bool {
        self.name.eq_ignore_ascii_case(name)
    }
}

/// Reads a body.
///
/// # Errors
///
/// [`ParseFault`] when nothing in it looks like a session description, or it passes a limit.
pub fn parse(body: &[u8]) -> Result<SessionDescription, ParseFault> {
    if body.len() > BYTES_MAX {
        return Err(ParseFault::TooLarge);
    }
    let mut session = SessionDescription::default();
    let mut lines = 0_usize;
    for raw in body.split(|byte| matches!(byte, b'\r' | b'\n')) {
        let text = String::from_utf8_lossy(raw);
        let Some((kind, value)) = split_line(&text) else { continue };
        lines += 1;
        if lines > LINES_MAX || session.media.len() > MEDIA_MAX {
            return Err(ParseFault::TooLarge);
        }
        read_line(&mut session, kind, value);
    }
    if lines == 0 { Err(ParseFault::NotSdp) } else { Ok(session) }
}

fn split_line(text: &str) -> Option<(char, &str)> {
    let (kind, value) = text.trim_start().split_once('=')?;
    let mut letters = kind.trim_end().chars();
    match (letters.next(), letters.next()) {
        (Some(letter), None) if letter.is_ascii_alphabetic() => Some((letter.to_ascii_lowercase(), value.trim())),
        _ => None,
    }
}

fn read_line(session: &mut SessionDescription, kind: char, value: &str) {
    match (kind, session.media.last_mut()) {
        ('m', _) => session.media.push(read_media(value)),
        ('c', Some(media)) => media.connection = read_connection(value),
        ('c', None) => session.connection = read_connection(value),
        ('a', Some(media)) => match read_direction(value) {
            Some(direction) => media.direction = Some(direction),
            None => media.attributes.push(read_attribute(value)),
        },
        ('a', None) => match read_direction(value) {
            Some(direction) => session.direction = Some(direction),
            None => session.attributes.push(read_attribute(value)),
        },
        ('o', None) => session.origin = Some(value.into()),
        (_, Some(_)) => {}
        (kind, None) => session.others.push(format!("{kind}={value}").into()),
    }
}

fn read_media(value: &str) -> MediaDescription {
    let mut words = value.split_ascii_whitespace();
    let kind = words.next().unwrap_or("unknown").into();
    // `49170/2` asks for two port pairs (RFC 8866 §5.14); one is all a telephone stream needs.
    let port = words.next().and_then(|port| port.split('/').next()).and_then(|port| port.parse().ok()).unwrap_or(0);
    let protocol = words.next().unwrap_or("RTP/AVP").into();
    let formats = words.map(Into::into).collect();
    MediaDescription { kind, port, protocol, formats, ..MediaDescription::default() }
}

fn read_connection(value: &str) -> Connection {
    let mut words = value.split_ascii_whitespace();
    let (network, family) = (words.next(), words.next());
    if !network.is_some_and(|network| network.eq_ignore_ascii_case("IN")) {
        return Connection::Absent;
    }
    // A multicast time-to-live or a count may follow a slash (RFC 8866 §5.7).
    let text = words.next().and_then(|address| address.split('/').next()).unwrap_or_default();
    let text = text.trim_start_matches('[').trim_end_matches(']');
    let address = match family {
        Some("IP6") => text.parse::<Ipv6Addr>().map(IpAddr::V6).ok(),
        _ => None,
    };
    address
        .or_else(|| text.parse::<Ipv4Addr>().map(IpAddr::V4).ok())
        .or_else(|| text.parse().ok())
        .map_or(Connection::Absent, Connection::Address)
}

fn read_direction(value: &str) -> Option<Direction> {
    [
        ("sendrecv", Direction::SendRecv),
        ("sendonly", Direction::SendOnly),
        ("recvonly", Direction::RecvOnly),
        ("inactive", Direction::Inactive),
    ]
    .into_iter()
    .find(|(word, _)| value.eq_ignore_ascii_case(word))
    .map(|(_, direction)| direction)
}

fn read_attribute(value: &str) -> Attribute {
    let (name, value) = value.split_once(':').unwrap_or((value, ""));
    Attribute { name: name.trim().into(), value: value.trim().into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    const USUAL: &str = "v=0\r\no=- 1 1 IN IP4 10.0.0.1\r\ns=-\r\nc=IN IP4 10.0.0.1\r\nt=0 0\r\n\
        m=audio 4000 RTP/AVP 8 0 101\r\na=rtpmap:101 telephone-event/8000\r\na=ptime:20\r\na=sendonly\r\n";

    #[test]
    fn the_three_line_ends_read_alike() {
        let usual = parse(USUAL.as_bytes()).unwrap();
        assert_eq!(parse(USUAL.replace("\r\n", "\n").as_bytes()).unwrap(), usual);
        assert_eq!(parse(USUAL.replace("\r\n", "\r").as_bytes()).unwrap(), usual);
        assert_eq!(usual.media[0].direction, Some(Direction::SendOnly));
        assert_eq!(usual.media[0].payload_types().collect::<Vec<_>>(), [8, 0, 101]);
        assert_eq!(usual.media[0].attribute("PTIME"), Some("20"));
    }

    #[test]
    fn broken_lines_keep_their_place() {
        let read =
            parse(b"m=\nm=audio abc\nm=audio 70000 RTP/AVP 8\nm=video 5/2 RTP/AVP 31\nx=\xff\xfe\na=\n").unwrap();
        assert_eq!(read.media.len(), 4);
        assert_eq!(read.media.iter().map(|media| media.port).collect::<Vec<_>>(), [0, 0, 0, 5]);
    }

    #[test]
    fn addresses_of_both_families_and_host_names() {
        for (line, expected) in [
            ("c=IN IP4 192.0.2.1/127", Some("192.0.2.1")),
            ("c=IN IP6 2001:db8::1", Some("2001:db8::1")),
            ("c=in IP4 0.0.0.0", Some("0.0.0.0")),
            ("c=IN IP4 gw.example", None),
            ("c=IN", None),
        ] {
            let read = parse(line.as_bytes()).unwrap();
            assert_eq!(read.connection.address().map(|a| a.to_string()).as_deref(), expected, "{line}");
        }
    }

    #[test]
    fn encodings_by_map_and_by_number() {
        let read = parse(
            b"m=audio 4 RTP/AVP 97 8 18\na=rtpmap:97 pcma/8000/1\na=rtpmap:96 opus/48000/2\na=rtpmap:junk\na=rtpmap:",
        )
        .unwrap();
        let media = &read.media[0];
        assert!(media.encoding(97).unwrap().is_8k("PCMA") && media.encoding(8).unwrap().is_8k("PCMA"));
        assert!(media.encoding(18).is_none() && !media.encoding(96).unwrap().is_8k("opus"));
    }

    #[test]
    fn limits_refuse_the_whole() {
        assert_eq!(parse(b""), Err(ParseFault::NotSdp));
        assert_eq!(parse(b"{\"not\": \"sdp\"}"), Err(ParseFault::NotSdp));
        assert_eq!(parse(&vec![b'x'; BYTES_MAX + 1]), Err(ParseFault::TooLarge));
        assert_eq!(parse("a=x\n".repeat(LINES_MAX + 1).as_bytes()), Err(ParseFault::TooLarge));
        assert!(parse("a=x\n".repeat(LINES_MAX).as_bytes()).is_ok());
        assert_eq!(parse("m=audio 1 RTP/AVP 8\n".repeat(MEDIA_MAX + 2).as_bytes()), Err(ParseFault::TooLarge));
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_panic(body in proptest::collection::vec(proptest::num::u8::ANY, 0..600)) {
            let _ = parse(&body);
        }
    }
}
