//! `Via`: the path a request took, and so the path of its responses.
//!
//! Deliberately absent: choosing where a response goes when the stored flow is gone (the transport's work).
//! RFC 3261 §20.42, §18.2.1, §18.2.2; RFC 3581 (`rport`); RFC 5118 §4.5 (`received` with or without brackets).

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use bytes::Bytes;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::super::text::{self, BadSyntax, Span};
use super::super::uri;
use super::param::{self, Param};
use crate::base::flow::Transport;

/// The beginning of every branch minted by an element that follows RFC 3261 §8.1.1.7.
pub const MAGIC_COOKIE: &[u8] = b"z9hG4bK";

/// One Via value.
#[derive(Clone, PartialEq, Eq, Hash, Default)]
pub struct Via {
    raw: Bytes,
    transport: Span,
    sent_by: Span,
    host: Span,
    port: Option<u16>,
    params: Span,
    branch: Option<Span>,
}

impl Via {
    /// Reads one value (no list).
    ///
    /// # Errors
    /// Says what the value breaks.
    pub fn from_bytes(raw: Bytes) -> Result<Self, BadSyntax> {
        let (front, params) = text::split_once(&raw, b';').unwrap_or((&raw, b""));
        let (version, rest) = protocol(front)?;
        if !version {
            return Err(BadSyntax("Via of another protocol"));
        }
        let end = rest.iter().position(|byte| !text::is_token_byte(*byte)).unwrap_or(rest.len());
        let (transport, rest) = rest.split_at_checked(end).unwrap_or((rest, b""));
        let sent_by = text::trim(rest);
        if transport.is_empty() || sent_by.len() == rest.len() {
            return Err(BadSyntax("Via without transport or sent-by"));
        }
        let (host, port) = uri::host_port(sent_by)?;
        if !text::is_param_section(params) {
            return Err(BadSyntax("bad parameters"));
        }
        let branch = param::param(params, "branch").flatten();
        let span = |part| Span::of(&raw, part);
        let (transport, sent_by, host) = (span(transport), span(sent_by), span(host));
        let (branch, params) = (branch.map(span), span(params));
        Ok(Self { raw, transport, sent_by, host, port, params, branch })
    }

    /// Reads one value from bytes that are copied.
    ///
    /// # Errors
    /// Says what the value breaks.
    pub fn parse(value: &[u8]) -> Result<Self, BadSyntax> {
        Self::from_bytes(Bytes::copy_from_slice(text::trim(value)))
    }

    /// Composes the value an element puts on a request it sends: `SIP/2.0/UDP sent-by;branch=...;rport`.
    #[must_use]
    pub fn compose(transport: Transport, sent_by: &str, branch: &[u8]) -> Vec<u8> {
        let mut out = format!("SIP/2.0/{} {sent_by}", transport.via_name()).into_bytes();
        param::push_param(&mut out, "branch", Some(branch));
        param::push_param(&mut out, "rport", None);
        out
    }

    /// The value as written.
    #[must_use]
    pub const fn bytes(&self) -> &Bytes {
        &self.raw
    }

    /// The transport as written.
    #[must_use]
    pub fn transport(&self) -> &[u8] {
        self.transport.slice(&self.raw)
    }

    /// The transport, when it is one of ours.
    #[must_use]
    pub fn known_transport(&self) -> Option<Transport> {
        [Transport::Udp, Transport::Tcp, Transport::Tls, Transport::Ws, Transport::Wss]
            .into_iter()
            .find(|transport| self.transport().eq_ignore_ascii_case(transport.via_name().as_bytes()))
    }

    /// Host and port as written: the part of a transaction key that tells senders apart.
    #[must_use]
    pub fn sent_by(&self) -> &[u8] {
        self.sent_by.slice(&self.raw)
    }

    /// The host of sent-by, an IPv6 address with its brackets.
    #[must_use]
    pub fn host(&self) -> &[u8] {
        self.host.slice(&self.raw)
    }

    /// The port of sent-by, when written.
    #[must_use]
    pub const fn port(&self) -> Option<u16> {
        self.port
    }

    /// The branch, when present.
    #[must_use]
    pub fn branch(&self) -> Option<&[u8]> {
        self.branch.map(|branch| branch.slice(&self.raw))
    }

    /// The branch when it alone identifies the transaction: it begins with the magic cookie and goes on after it.
    /// The bare cookie counts as no branch (RFC 4475 §3.2.1).
    #[must_use]
    pub fn unique_branch(&self) -> Option<&[u8]> {
        self.branch().filter(|branch| {
            branch.len() > MAGIC_COOKIE.len()
                && branch.get(..MAGIC_COOKIE.len()).is_some_and(|head| head.eq_ignore_ascii_case(MAGIC_COOKIE))
        })
    }

    /// The `received` address, brackets or not.
    #[must_use]
    pub fn received(&self) -> Option<IpAddr> {
        self.param("received").flatten().and_then(uri::host_addr)
    }

    /// `rport`: outer `None` when absent, inner `None` when it asks to be filled in.
    #[must_use]
    pub fn rport(&self) -> Option<Option<u16>> {
        self.param("rport").map(|value| value.and_then(text::number).and_then(|port| u16::try_from(port).ok()))
    }

    /// A parameter by name: outer `None` when absent, inner `None` when it has no value.
    #[must_use]
    pub fn param(&self, name: &str) -> Option<Option<&[u8]>> {
        param::param(self.params.slice(&self.raw), name)
    }

    /// The parameters in order.
    pub fn params(&self) -> impl Iterator<Item = Param<'_>> {
        param::params(self.params.slice(&self.raw))
    }

    /// The value with `received` and `rport` filled in from where the request really came from
    /// (RFC 3261 §18.2.1, RFC 3581 §4). What the sender claimed in them is replaced.
    #[must_use]
    pub fn stamped(&self, source: SocketAddr) -> Vec<u8> {
        let asks_port = self.param("rport").is_some();
        let differs = uri::host_addr(self.host()).is_none_or(|host| host.to_canonical() != source.ip().to_canonical());
        let mut out = self.front().to_vec();
        for param in self.params() {
            if param.name.eq_ignore_ascii_case(b"received") || param.name.eq_ignore_ascii_case(b"rport") {
                continue;
            }
            out.push(b';');
            out.extend(param.name);
            if let Some(value) = param.value {
                out.push(b'=');
                out.extend(value);
            }
        }
        if asks_port || differs {
            out.extend(format!(";received={}", source.ip().to_canonical()).into_bytes());
        }
        if asks_port {
            out.extend(format!(";rport={}", source.port()).into_bytes());
        }
        out
    }

    /// Where a response goes when it cannot go back over its flow: `maddr`, else `received` and `rport`, else
    /// sent-by; `None` when that is a name to resolve (RFC 3261 §18.2.2).
    #[must_use]
    pub fn response_address(&self) -> Option<SocketAddr> {
        let default = if self.known_transport() == Some(Transport::Tls) { 5061 } else { 5060 };
        let port = self.port.unwrap_or(default);
        if let Some(maddr) = self.param("maddr").flatten() {
            return uri::host_addr(maddr).map(|addr| SocketAddr::new(addr, port));
        }
        if let Some(received) = self.received() {
            return Some(SocketAddr::new(received, self.rport().flatten().unwrap_or(port)));
        }
        uri::host_addr(self.host()).map(|addr| SocketAddr::new(addr, port))
    }

    fn front(&self) -> &[u8] {
        text::split_once(&self.raw, b';').map_or(&self.raw, |(front, _)| text::trim_end(front))
    }
}

impl fmt::Debug for Via {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Via({})", text::decode(&self.raw))
    }
}

impl Serialize for Via {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.raw.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Via {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = Bytes::deserialize(deserializer)?;
        if raw.is_empty() {
            return Ok(Self::default());
        }
        Self::from_bytes(raw).map_err(serde::de::Error::custom)
    }
}

/// Reads `SIP / 2.0 /` with any white space; whether it is that, and what follows.
fn protocol(front: &[u8]) -> Result<(bool, &[u8]), BadSyntax> {
    const BAD: BadSyntax = BadSyntax("bad Via");
    let (name, rest) = text::split_once(front, b'/').ok_or(BAD)?;
    let (version, rest) = text::split_once(rest, b'/').ok_or(BAD)?;
    Ok((text::trim(name).eq_ignore_ascii_case(b"SIP") && text::trim(version) == b"2.0", text::trim_start(rest)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn via(text: &str) -> Via {
        Via::parse(text.as_bytes()).unwrap_or_else(|fault| panic!("{text}: {fault}"))
    }

    #[test]
    fn a_plain_value_comes_apart() {
        let via = via("SIP/2.0/UDP 10.1.2.3:5080;rport;branch=z9hG4bKab;received=10.9.9.9");
        assert_eq!((via.transport(), via.known_transport()), (&b"UDP"[..], Some(Transport::Udp)));
        assert_eq!((via.host(), via.port(), via.sent_by()), (&b"10.1.2.3"[..], Some(5080), &b"10.1.2.3:5080"[..]));
        assert_eq!((via.branch(), via.unique_branch()), (Some(&b"z9hG4bKab"[..]), Some(&b"z9hG4bKab"[..])));
        assert_eq!((via.received(), via.rport()), (Some("10.9.9.9".parse().unwrap()), Some(None)));
    }

    #[test]
    fn odd_spaces_are_read() {
        let via = via("SIP  / 2.0  / TCP     spindle.example.com   ;  branch  =   z9hG4bK9ikj8");
        assert_eq!((via.transport(), via.host()), (&b"TCP"[..], &b"spindle.example.com"[..]));
        assert_eq!(via.branch(), Some(&b"z9hG4bK9ikj8"[..]));
        assert_eq!(self::via("SIP/2.0/UDP h : 5070 ;x").port(), Some(5070));
    }

    #[test]
    fn ipv6_is_read_with_and_without_brackets_in_received() {
        let with = via("SIP/2.0/UDP [2001:db8::9:1]:6050;received=[2001:db8::9:255]");
        let without = via("SIP/2.0/UDP [2001:db8::9:1];received=2001:db8::9:255;branch=z9hG4bKas3");
        assert_eq!(with.received(), without.received());
        assert_eq!((with.host(), with.port()), (&b"[2001:db8::9:1]"[..], Some(6050)));
        assert_eq!(without.branch(), Some(&b"z9hG4bKas3"[..]));
    }

    #[test]
    fn a_bare_cookie_is_no_branch() {
        assert_eq!(via("SIP/2.0/UDP h;branch=z9hG4bK").unique_branch(), None);
        assert_eq!(via("SIP/2.0/UDP h;branch=390skdjuw").unique_branch(), None);
        assert_eq!(via("SIP/2.0/UDP h").branch(), None);
    }

    #[test]
    fn a_quoted_parameter_hides_no_branch() {
        let via = via("SIP/2.0/UDP h;x=\"a;branch=evil, y\";branch=z9hG4bKok");
        assert_eq!(via.branch(), Some(&b"z9hG4bKok"[..]));
    }

    #[test]
    fn faults_are_named() {
        for text in ["", ";", "SIP/2.0/UDP", "SIP/2.0 UDP h", "HTTP/2.0/UDP h", "SIP/3.0/UDP h", "SIP/2.0/UDP h:x", "h"]
        {
            assert!(Via::parse(text.as_bytes()).is_err(), "{text}");
        }
    }

    #[test]
    fn stamping_replaces_what_the_sender_claimed() {
        let source: SocketAddr = "192.0.2.7:40000".parse().unwrap();
        let stamp = |text: &str| String::from_utf8(via(text).stamped(source)).unwrap();
        assert_eq!(
            stamp("SIP/2.0/UDP h;rport;branch=z9hG4bK1"),
            "SIP/2.0/UDP h;branch=z9hG4bK1;received=192.0.2.7;rport=40000"
        );
        assert_eq!(stamp("SIP/2.0/UDP 192.0.2.7;branch=b"), "SIP/2.0/UDP 192.0.2.7;branch=b");
        assert_eq!(
            stamp("SIP/2.0/UDP h;received=1.1.1.1;rport=9;lr"),
            "SIP/2.0/UDP h;lr;received=192.0.2.7;rport=40000"
        );
    }

    #[test]
    fn responses_find_their_way() {
        let to = |text: &str| via(text).response_address().map(|addr| addr.to_string());
        assert_eq!(to("SIP/2.0/UDP h;received=1.2.3.4;rport=99").as_deref(), Some("1.2.3.4:99"));
        assert_eq!(to("SIP/2.0/TLS 1.2.3.4").as_deref(), Some("1.2.3.4:5061"));
        assert_eq!(to("SIP/2.0/UDP 1.2.3.4:7;maddr=5.6.7.8").as_deref(), Some("5.6.7.8:7"));
        assert_eq!(to("SIP/2.0/UDP host.example"), None);
    }

    #[test]
    fn what_is_composed_reads_back() {
        let via = Via::parse(&Via::compose(Transport::Wss, "10.0.0.1:5443", b"z9hG4bKx.1")).unwrap();
        assert_eq!((via.known_transport(), via.sent_by()), (Some(Transport::Wss), &b"10.0.0.1:5443"[..]));
        assert_eq!((via.unique_branch(), via.rport()), (Some(&b"z9hG4bKx.1"[..]), Some(None)));
    }
}
