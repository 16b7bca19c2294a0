//! Addresses: `sip:`, `sips:`, `tel:`, and others as far as their scheme.
//!
//! Lenient where carriers are odd: an empty user part, `_` in a host, a percent sign that escapes nothing, unknown
//! parameters. Strict where a second reading could mean another host: octets outside printable ASCII, spaces, `<>`
//! and `"`, more than one `@`, a port that is no port, an IPv6 address without brackets. The password of a user part
//! is skipped and never shown.
//!
//! Deliberately absent: resolution (RFC 3263) and number plans.
//!
//! RFC 3261 §19.1, RFC 3966 §3 (`tel:`), RFC 5118 §4 (IPv6 references; the three colons of an old grammar are read as
//! two, §4.10). One pass over the bytes, offsets into one `Bytes`.

mod grammar;

use std::borrow::Cow;
use std::fmt;
use std::net::{IpAddr, SocketAddr};

use bytes::Bytes;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use self::grammar::Parts;
pub(crate) use self::grammar::host_port;
pub use self::grammar::{host_addr, is_header_byte, is_param_byte, is_user_byte};
use super::text::{self, BadSyntax, Span};
use crate::base::secret::Masked;

/// The scheme of an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scheme {
    /// `sip:`
    Sip,
    /// `sips:`
    Sips,
    /// `tel:`
    Tel,
    /// Any other: kept, not understood.
    Other,
}

impl Scheme {
    /// The scheme with its colon; empty for [`Scheme::Other`].
    #[must_use]
    pub const fn prefix(self) -> &'static str {
        match self {
            Self::Sip => "sip:",
            Self::Sips => "sips:",
            Self::Tel => "tel:",
            Self::Other => "",
        }
    }
}

/// A host as written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Host<'a> {
    /// A domain name.
    Name(&'a str),
    /// An address.
    Addr(IpAddr),
}

impl Host<'_> {
    /// The address, when the host is one.
    #[must_use]
    pub const fn addr(&self) -> Option<IpAddr> {
        match self {
            Self::Addr(addr) => Some(*addr),
            Self::Name(_) => None,
        }
    }
}

/// An address with its bytes.
///
/// Equality is by bytes; [`Uri::is_equivalent`] compares by meaning.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Uri {
    raw: Bytes,
    scheme: Scheme,
    user: Option<Span>,
    host: Span,
    port: Option<u16>,
    params: Span,
    headers: Option<Span>,
}

impl Uri {
    /// Reads an address from bytes that are copied.
    ///
    /// # Errors
    /// Says what the address breaks.
    pub fn parse(bytes: impl AsRef<[u8]>) -> Result<Self, BadSyntax> {
        Self::from_bytes(Bytes::copy_from_slice(bytes.as_ref()))
    }

    /// Reads an address from bytes that are kept.
    ///
    /// # Errors
    /// Says what the address breaks.
    pub fn from_bytes(raw: Bytes) -> Result<Self, BadSyntax> {
        let parts = Parts::of(&raw)?;
        let span = |part: &[u8]| Span::of(&raw, part);
        let (scheme, user, host, port) = (parts.scheme, parts.user.map(span), span(parts.host), parts.port);
        let (params, headers) = (span(parts.params), parts.headers.map(span));
        Ok(Self { raw, scheme, user, host, port, params, headers })
    }

    /// Composes `sip:user@host:port`; the user part is escaped, other octets of the host dropped.
    ///
    /// # Errors
    /// When the host is none.
    pub fn compose(scheme: Scheme, user: Option<&[u8]>, host: &str, port: Option<u16>) -> Result<Self, BadSyntax> {
        let mut raw = scheme.prefix().as_bytes().to_vec();
        if let Some(user) = user {
            text::percent_encode_into(&mut raw, user, is_user_byte);
            if scheme != Scheme::Tel {
                raw.push(b'@');
            }
        }
        if scheme != Scheme::Tel {
            raw.extend(host.bytes());
            if let Some(port) = port {
                raw.extend(format!(":{port}").into_bytes());
            }
        }
        Self::from_bytes(Bytes::from(raw))
    }

    /// The same address with a parameter added at its end, before any headers; a parameter of that name goes.
    #[must_use]
    pub fn with_param(&self, name: &str, value: Option<&str>) -> Self {
        let kept = self.without_param(name);
        let (head, headers) = match kept.headers {
            Some(headers) => {
                let headers = headers.slice(&kept.raw);
                (kept.raw.get(..kept.raw.len() - headers.len() - 1).unwrap_or_default(), Some(headers))
            }
            None => (&kept.raw[..], None),
        };
        let mut raw = head.to_vec();
        raw.push(b';');
        text::percent_encode_into(&mut raw, name.as_bytes(), is_param_byte);
        if let Some(value) = value {
            raw.push(b'=');
            text::percent_encode_into(&mut raw, value.as_bytes(), is_param_byte);
        }
        if let Some(headers) = headers {
            raw.push(b'?');
            raw.extend(headers);
        }
        Self::from_bytes(Bytes::from(raw)).unwrap_or_else(|_| self.clone())
    }

    /// The same address without a parameter.
    #[must_use]
    pub fn without_param(&self, name: &str) -> Self {
        if self.param(name).is_none() {
            return self.clone();
        }
        let mut raw = self.core().to_vec();
        for (key, value) in self.params().filter(|(key, _)| !key.eq_ignore_ascii_case(name.as_bytes())) {
            raw.push(b';');
            raw.extend(key);
            if let Some(value) = value {
                raw.push(b'=');
                raw.extend(value);
            }
        }
        if let Some(headers) = self.headers {
            raw.push(b'?');
            raw.extend(headers.slice(&self.raw));
        }
        Self::from_bytes(Bytes::from(raw)).unwrap_or_else(|_| self.clone())
    }

    /// The same address without its `?headers`, as a request-URI needs it (RFC 3261 §19.1.5).
    #[must_use]
    pub fn without_headers(&self) -> Self {
        let Some(headers) = self.headers else { return self.clone() };
        let end = self.raw.len() - headers.slice(&self.raw).len() - 1;
        Self { raw: self.raw.slice(..end), headers: None, ..self.clone() }
    }

    /// The same address in bytes of its own, so that it no longer keeps the message it came in alive.
    #[must_use]
    pub fn detached(&self) -> Self {
        Self { raw: Bytes::copy_from_slice(&self.raw), ..self.clone() }
    }

    /// The bytes as received or composed.
    #[must_use]
    pub const fn bytes(&self) -> &Bytes {
        &self.raw
    }

    /// The bytes as received or composed.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.raw
    }

    /// The scheme.
    #[must_use]
    pub const fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// Whether this is a `sip:` or `sips:` address.
    #[must_use]
    pub const fn is_sip(&self) -> bool {
        matches!(self.scheme, Scheme::Sip | Scheme::Sips)
    }

    /// The user part as written, without password; of a `tel:` address the number without parameters.
    #[must_use]
    pub fn user(&self) -> Option<&[u8]> {
        self.user.map(|user| user.slice(&self.raw))
    }

    /// The user part with its escapes undone.
    #[must_use]
    pub fn user_decoded(&self) -> Option<Cow<'_, [u8]>> {
        self.user().map(text::percent_decode)
    }

    /// The user part as readable text: what a dialplan compares.
    #[must_use]
    pub fn user_text(&self) -> Option<String> {
        self.user_decoded().map(|user| text::decode(&user).into_owned())
    }

    /// What was dialled: the user part up to any `;` inside it, visual separators `-.()` taken out when the rest is
    /// a telephone number (RFC 3966 §3); a `tel:` number keeps its `+`.
    #[must_use]
    pub fn dialled(&self) -> Option<String> {
        let user = self.user_text()?;
        let number = user.split(';').next().unwrap_or_default();
        let bare: String = number.chars().filter(|symbol| !matches!(symbol, '-' | '.' | '(' | ')')).collect();
        let digits = bare.strip_prefix('+').unwrap_or(&bare);
        let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit() || b"*#".contains(&byte));
        Some(if is_number { bare } else { number.to_owned() })
    }

    /// The `phone-context` of a `tel:` address or of a telephone user part (RFC 3966 §5.1.5).
    #[must_use]
    pub fn phone_context(&self) -> Option<&[u8]> {
        let user = self.user().unwrap_or_default();
        let inside = text::pieces(user, b';').skip(1).find_map(|piece| {
            let (name, value) = text::split_once(piece, b'=')?;
            name.eq_ignore_ascii_case(b"phone-context").then_some(value)
        });
        inside.or_else(|| self.param("phone-context").flatten())
    }

    /// The host as written, an IPv6 address with its brackets; empty where the scheme has none.
    #[must_use]
    pub fn host_bytes(&self) -> &[u8] {
        self.host.slice(&self.raw)
    }

    /// The host as written, an IPv6 address with its brackets; empty where the scheme has none.
    #[must_use]
    pub fn host_str(&self) -> &str {
        std::str::from_utf8(self.host_bytes()).unwrap_or_default()
    }

    /// The host.
    #[must_use]
    pub fn host(&self) -> Host<'_> {
        host_addr(self.host_bytes()).map_or_else(|| Host::Name(self.host_str()), Host::Addr)
    }

    /// The port, when written.
    #[must_use]
    pub const fn port(&self) -> Option<u16> {
        self.port
    }

    /// The port to use: as written, else 5061 for `sips:` or `transport=tls`, else 5060 (RFC 3261 §19.1.2).
    #[must_use]
    pub fn port_or_default(&self) -> u16 {
        let secured = || {
            self.scheme == Scheme::Sips
                || self.transport().is_some_and(|transport| transport.eq_ignore_ascii_case(b"tls"))
        };
        self.port.unwrap_or_else(|| if secured() { 5061 } else { 5060 })
    }

    /// Address and port, when the host is an address.
    #[must_use]
    pub fn socket_addr(&self) -> Option<SocketAddr> {
        self.host().addr().map(|addr| SocketAddr::new(addr, self.port_or_default()))
    }

    /// The `transport` parameter.
    #[must_use]
    pub fn transport(&self) -> Option<&[u8]> {
        self.param("transport").flatten()
    }

    /// Whether `;lr` is present: a loose router (RFC 3261 §19.1.1).
    #[must_use]
    pub fn is_loose_router(&self) -> bool {
        self.param("lr").is_some()
    }

    /// A parameter: outer `None` when absent, inner `None` when it has no value.
    #[must_use]
    pub fn param(&self, name: &str) -> Option<Option<&[u8]>> {
        self.params().find(|(key, _)| key.eq_ignore_ascii_case(name.as_bytes())).map(|(_, value)| value)
    }

    /// The parameters in order, as written.
    pub fn params(&self) -> impl Iterator<Item = (&[u8], Option<&[u8]>)> {
        self.params
            .slice(&self.raw)
            .split(|byte| *byte == b';')
            .filter(|piece| !piece.is_empty())
            .map(|piece| text::split_once(piece, b'=').map_or((piece, None), |(name, value)| (name, Some(value))))
    }

    /// The embedded headers (`?name=value&...`) in order, as written; decode values with
    /// [`text::percent_decode`].
    pub fn headers(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        let headers = self.headers.map(|headers| headers.slice(&self.raw)).unwrap_or_default();
        headers
            .split(|byte| *byte == b'&')
            .filter(|piece| !piece.is_empty())
            .map(|piece| text::split_once(piece, b'=').unwrap_or((piece, b"")))
    }

    /// An embedded header with its escapes undone.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<Cow<'_, [u8]>> {
        self.headers()
            .find(|(key, _)| text::percent_decode(key).eq_ignore_ascii_case(name.as_bytes()))
            .map(|(_, value)| text::percent_decode(value))
    }

    /// The address of record as bytes: scheme, decoded and re-escaped user, lower-case host, no parameters, no
    /// port (RFC 3261 §10.3 item 5).
    #[must_use]
    pub fn address_of_record(&self) -> Vec<u8> {
        let mut out = self.scheme.prefix().as_bytes().to_vec();
        if self.scheme == Scheme::Other {
            return self.raw.to_vec();
        }
        if let Some(user) = self.user_decoded() {
            text::percent_encode_into(&mut out, &user, is_user_byte);
            if self.scheme != Scheme::Tel {
                out.push(b'@');
            }
        }
        out.extend(self.host_bytes().to_ascii_lowercase());
        out
    }

    /// Whether two addresses mean the same (RFC 3261 §19.1.4): user by case, host without, `user`, `ttl`, `method`,
    /// `maddr` and `transport` must be in both or neither, any other parameter equal where both have it.
    #[must_use]
    pub fn is_equivalent(&self, other: &Self) -> bool {
        if self.scheme != other.scheme || self.port != other.port {
            return false;
        }
        if self.scheme == Scheme::Other {
            return self.raw == other.raw;
        }
        if self.user_decoded() != other.user_decoded() || !self.host_bytes().eq_ignore_ascii_case(other.host_bytes()) {
            return false;
        }
        let agree = |one: &Self, two: &Self| {
            one.params().all(|(name, _)| {
                let name = std::str::from_utf8(name).unwrap_or_default();
                let binding = ["user", "ttl", "method", "maddr", "transport"];
                // Of a parameter that stands twice, which none may, the first counts on both sides.
                match (one.param(name), two.param(name)) {
                    (Some(value), Some(twin)) => same_value(value, twin),
                    _ => !binding.iter().any(|word| name.eq_ignore_ascii_case(word)),
                }
            })
        };
        let headers = |uri: &Self| {
            let mut all: Vec<_> = uri
                .headers()
                .map(|(name, value)| (name.to_ascii_lowercase(), text::percent_decode(value).into_owned()))
                .collect();
            all.sort();
            all
        };
        agree(self, other) && agree(other, self) && headers(self) == headers(other)
    }

    /// Scheme, user, password and host with port: all before parameters and headers.
    fn core(&self) -> &[u8] {
        let params = self.params.slice(&self.raw).len();
        let headers = self.headers.map_or(0, |headers| headers.slice(&self.raw).len() + 1);
        let params = if params == 0 { 0 } else { params + 1 };
        self.raw.get(..self.raw.len() - headers - params).unwrap_or(&self.raw)
    }
}

fn same_value(one: Option<&[u8]>, two: Option<&[u8]>) -> bool {
    match (one, two) {
        (Some(one), Some(two)) => text::percent_decode(one).eq_ignore_ascii_case(&text::percent_decode(two)),
        (None, None) => true,
        _ => false,
    }
}

/// The address shown with its number masked and without password, parameters or headers.
impl fmt::Debug for Uri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.scheme.prefix())?;
        if self.scheme == Scheme::Other {
            return f.write_str("…");
        }
        if let Some(user) = self.user_text() {
            write!(f, "{}", Masked(&user))?;
        }
        if self.is_sip() {
            write!(f, "@{}", text::decode(self.host_bytes()))?;
            if let Some(port) = self.port {
                write!(f, ":{port}")?;
            }
        }
        Ok(())
    }
}

/// The address as it goes on the wire.
impl fmt::Display for Uri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&text::decode(&self.raw))
    }
}

impl Serialize for Uri {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Uri {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::from_bytes(Bytes::from(text.into_bytes())).map_err(serde::de::Error::custom)
    }
}

impl std::str::FromStr for Uri {
    type Err = BadSyntax;

    fn from_str(text: &str) -> Result<Self, BadSyntax> {
        Self::parse(text)
    }
}

#[cfg(test)]
mod tests;
