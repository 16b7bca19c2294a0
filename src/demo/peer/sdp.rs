//! Session descriptions as text: G.711 A-law and RFC 4733 digits, one audio line (RFC 8866, RFC 3264).
//!
//! Written and read line by line, on purpose not with the engine's code. Deliberately absent: other codecs, ICE, SRTP.

use std::fmt::Write as _;
use std::net::{IpAddr, SocketAddr};

use crate::demo::peer::PeerFault;

/// The payload type of A-law (RFC 3551 §6).
pub const PCMA: u8 = 8;
/// What an address line that is missing leaves.
const NOWHERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED);
/// The payload type offered for digits.
pub const DIGITS: u8 = 101;

/// Which way sound flows, from the view of whoever wrote it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// Both ways.
    SendRecv,
    /// The writer only sends.
    SendOnly,
    /// The writer only receives.
    RecvOnly,
    /// Neither.
    Inactive,
}

impl Direction {
    const fn word(self) -> &'static str {
        match self {
            Self::SendRecv => "sendrecv",
            Self::SendOnly => "sendonly",
            Self::RecvOnly => "recvonly",
            Self::Inactive => "inactive",
        }
    }

    fn read(word: &str) -> Option<Self> {
        [Self::SendRecv, Self::SendOnly, Self::RecvOnly, Self::Inactive].into_iter().find(|way| way.word() == word)
    }

    /// What the other side answers to it.
    #[must_use]
    pub const fn answered(self) -> Self {
        match self {
            Self::SendOnly => Self::RecvOnly,
            Self::RecvOnly => Self::SendOnly,
            same => same,
        }
    }

    /// Whether whoever wrote it wants to hear something.
    #[must_use]
    pub const fn listens(self) -> bool {
        matches!(self, Self::SendRecv | Self::RecvOnly)
    }
}

/// What the other side described.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remote {
    /// Where it hears.
    pub address: SocketAddr,
    /// The payload type of its digits.
    pub digits: Option<u8>,
    /// Its direction.
    pub direction: Direction,
    /// Every media line as written (`audio 4000 RTP/AVP 8`), to be answered in order.
    lines: Vec<String>,
    /// Which of them is the audio line used.
    audio: usize,
}

impl Remote {
    /// Reads a description.
    ///
    /// # Errors
    /// [`PeerFault::Message`] when there is no audio line with A-law and an address.
    pub fn read(body: &[u8]) -> Result<Self, PeerFault> {
        let fault = |why: &str| PeerFault::message("the session description", why);
        let text = str::from_utf8(body).map_err(|_| fault("it is no text"))?;
        let mut connection: Option<IpAddr> = None;
        let mut lines: Vec<String> = Vec::new();
        let mut found: Option<Self> = None;
        let mut at_audio = false;
        for line in text.lines() {
            let Some((kind, value)) = line.trim_end().split_once('=') else { continue };
            match (kind, value) {
                ("c", value) => {
                    let address = value.rsplit(' ').next().and_then(|address| address.parse().ok());
                    match &mut found {
                        Some(audio) if at_audio => {
                            if let Some(address) = address {
                                audio.address.set_ip(address);
                            }
                        }
                        _ if lines.is_empty() => connection = address,
                        _ => {}
                    }
                }
                ("m", value) => {
                    at_audio = found.is_none() && usable(value).is_some();
                    if at_audio {
                        let port = usable(value).unwrap_or_default();
                        let address = SocketAddr::new(connection.unwrap_or(NOWHERE), port);
                        let direction = Direction::SendRecv;
                        found = Some(Self { address, digits: None, direction, lines: Vec::new(), audio: lines.len() });
                    }
                    lines.push(value.to_owned());
                }
                ("a", value) if at_audio => {
                    if let Some(audio) = &mut found {
                        audio.attribute(value);
                    }
                }
                _ => {}
            }
        }
        let mut found = found.ok_or_else(|| fault("no audio line carries A-law"))?;
        if found.address.ip().is_unspecified() {
            return Err(fault("no address to send to"));
        }
        found.lines = lines;
        Ok(found)
    }

    fn attribute(&mut self, value: &str) {
        if let Some(direction) = Direction::read(value) {
            self.direction = direction;
        }
        if let Some(map) = value.strip_prefix("rtpmap:")
            && let Some((number, "telephone-event/8000")) = map.split_once(' ')
        {
            self.digits = number.parse().ok();
        }
    }
}

/// The port of an audio line that is open and lists A-law.
fn usable(line: &str) -> Option<u16> {
    let mut words = line.split(' ');
    let (Some("audio"), Some(port), Some("RTP/AVP")) = (words.next(), words.next(), words.next()) else { return None };
    let port: u16 = port.parse().ok().filter(|port| *port != 0)?;
    words.any(|format| format == "8").then_some(port)
}

/// Writes an offer.
#[must_use]
pub fn offer(local: SocketAddr, version: u64) -> String {
    let mut text = head(local, version);
    text.push_str(&audio(local.port(), DIGITS, Direction::SendRecv));
    text
}

/// Writes the answer to what the other side described: each of its lines, in order, all but the audio refused.
#[must_use]
pub fn answer(local: SocketAddr, version: u64, remote: &Remote) -> String {
    let mut text = head(local, version);
    for (at, line) in remote.lines.iter().enumerate() {
        if at == remote.audio {
            text.push_str(&audio(local.port(), remote.digits.unwrap_or(DIGITS), remote.direction.answered()));
        } else {
            let mut words = line.split(' ');
            let kind = words.next().unwrap_or("audio");
            let rest: Vec<&str> = words.skip(1).collect();
            let _ = write!(text, "m={kind} 0 {}\r\n", rest.join(" "));
        }
    }
    text
}

fn head(local: SocketAddr, version: u64) -> String {
    let (ip, port) = (local.ip(), local.port());
    format!("v=0\r\no=- {port} {version} IN IP4 {ip}\r\ns=call\r\nc=IN IP4 {ip}\r\nt=0 0\r\n")
}

fn audio(port: u16, digits: u8, direction: Direction) -> String {
    format!(
        "m=audio {port} RTP/AVP {PCMA} {digits}\r\na=rtpmap:{PCMA} PCMA/8000\r\na=rtpmap:{digits} telephone-event/8000\r\n\
         a=fmtp:{digits} 0-15\r\na=ptime:20\r\na={}\r\n",
        direction.word()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_offer_reads_as_what_it_says() {
        let local: SocketAddr = "127.0.0.1:40000".parse().unwrap();
        let remote = Remote::read(offer(local, 1).as_bytes()).unwrap();
        assert_eq!((remote.address, remote.digits, remote.direction), (local, Some(DIGITS), Direction::SendRecv));
    }

    #[test]
    fn other_lines_are_answered_in_order_with_port_zero() {
        let body = "v=0\r\no=- 1 1 IN IP4 10.0.0.1\r\ns=-\r\nc=IN IP4 10.0.0.1\r\nt=0 0\r\n\
                    m=video 5000 RTP/AVP 96\r\na=sendonly\r\n\
                    m=audio 4000 RTP/AVP 0 8 97\r\nc=IN IP4 10.0.0.2\r\na=rtpmap:97 telephone-event/8000\r\na=sendonly\r\n\
                    m=image 6000 udptl t38\r\n";
        let remote = Remote::read(body.as_bytes()).unwrap();
        assert_eq!(remote.address, "10.0.0.2:4000".parse().unwrap());
        assert_eq!((remote.digits, remote.direction), (Some(97), Direction::SendOnly));
        assert!(!Direction::SendOnly.listens());
        let answer = answer("127.0.0.1:40000".parse().unwrap(), 2, &remote);
        let lines: Vec<&str> = answer.lines().filter(|line| line.starts_with("m=")).collect();
        assert_eq!(lines, ["m=video 0 RTP/AVP 96", "m=audio 40000 RTP/AVP 8 97", "m=image 0 udptl t38"]);
        assert!(answer.contains("a=recvonly"), "{answer}");
    }

    #[test]
    fn what_cannot_be_spoken_to_is_a_fault() {
        for body in [
            &b"\xff"[..],
            b"",
            b"v=0\r\nc=IN IP4 127.0.0.1\r\nm=audio 0 RTP/AVP 8\r\n",
            b"v=0\r\nc=IN IP4 127.0.0.1\r\nm=audio 4000 RTP/AVP 0\r\n",
            b"v=0\r\nc=IN IP4 0.0.0.0\r\nm=audio 4000 RTP/AVP 8\r\n",
            b"v=0\r\nm=audio 4000 RTP/AVP 8\r\n",
        ] {
            assert!(Remote::read(body).is_err(), "{}", String::from_utf8_lossy(body));
        }
    }
}
