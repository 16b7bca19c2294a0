//! Name-addresses: From, To, Contact, Route, Refer-To and their kin.
//!
//! The display name is bytes and stays so: a GBK name is passed on as it came and decoded only to be read. Lenient:
//! a comma or other odd octets in an unquoted display name, where a field holds a single address.
//!
//! Deliberately absent: meaning. RFC 3261 §20.10, §25.1; §20 (an address with `?` must stand in `<>`).

use std::borrow::Cow;
use std::fmt;

use bytes::Bytes;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::super::text::{self, BadSyntax, Span};
use super::super::uri::Uri;
use super::param::{self, Param};

/// A display name, an address and parameters.
#[derive(Clone, PartialEq, Eq, Hash, Default)]
pub struct NameAddr {
    raw: Bytes,
    display: Span,
    uri: Span,
    params: Span,
    tag: Option<Span>,
}

impl NameAddr {
    /// Reads one value; the address inside is read when asked for.
    ///
    /// # Errors
    /// Says what the value breaks.
    pub fn from_bytes(raw: Bytes) -> Result<Self, BadSyntax> {
        let trimmed = text::trim(&raw);
        let raw = if trimmed.len() == raw.len() { raw } else { raw.slice_ref(trimmed) };
        let Parts { display, uri, params } = Parts::of(&raw)?;
        if !text::is_param_section(params) {
            return Err(BadSyntax("bad parameters"));
        }
        let tag = param::param(params, "tag").flatten().filter(|tag| !tag.is_empty());
        let span = |part| Span::of(&raw, part);
        let (display, uri, params, tag) = (span(display), span(uri), span(params), tag.map(span));
        Ok(Self { raw, display, uri, params, tag })
    }

    /// Reads one value from bytes that are copied.
    ///
    /// # Errors
    /// Says what the value breaks.
    pub fn parse(value: &[u8]) -> Result<Self, BadSyntax> {
        Self::from_bytes(Bytes::copy_from_slice(text::trim(value)))
    }

    /// Composes `"display" <uri>;params`: the display name is quoted, the address stripped of what would end it.
    #[must_use]
    pub fn compose(display: Option<&[u8]>, uri: &[u8], params: &[(&str, Option<&[u8]>)]) -> Self {
        let mut out = Vec::with_capacity(uri.len() + 64);
        if let Some(display) = display {
            text::quote_into(&mut out, display);
            out.push(b' ');
        }
        out.push(b'<');
        out.extend(uri.iter().filter(|byte| matches!(byte, 0x21..=0x7e) && !matches!(byte, b'<' | b'>' | b'"')));
        out.push(b'>');
        for (name, value) in params {
            param::push_param(&mut out, name, *value);
        }
        Self::from_bytes(Bytes::from(out)).unwrap_or_default()
    }

    /// The value as written.
    #[must_use]
    pub const fn bytes(&self) -> &Bytes {
        &self.raw
    }

    /// The display name as written, a quoted one with its quotes; empty when there is none.
    #[must_use]
    pub fn display(&self) -> &[u8] {
        self.display.slice(&self.raw)
    }

    /// The display name's octets with the quotes undone: GBK stays GBK.
    #[must_use]
    pub fn display_plain(&self) -> Cow<'_, [u8]> {
        text::unquote(self.display())
    }

    /// The display name as text: quotes undone, UTF-8 or else GB18030.
    #[must_use]
    pub fn display_text(&self) -> Option<String> {
        let plain = self.display_plain();
        (!plain.is_empty()).then(|| text::decode(&plain).into_owned())
    }

    /// The address as written.
    #[must_use]
    pub fn uri_bytes(&self) -> &[u8] {
        self.uri.slice(&self.raw)
    }

    /// The address.
    ///
    /// # Errors
    /// Says what the address breaks.
    pub fn uri(&self) -> Result<Uri, BadSyntax> {
        Uri::from_bytes(self.raw.slice_ref(self.uri_bytes()))
    }

    /// The `tag`, when present and not empty.
    #[must_use]
    pub fn tag(&self) -> Option<&[u8]> {
        self.tag.map(|tag| tag.slice(&self.raw))
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

    /// The preference of a Contact in thousandths; 1000 when none is given or it is not one (RFC 3261 §20.10).
    #[must_use]
    pub fn q_thousandths(&self) -> u16 {
        self.param("q").flatten().and_then(thousandths).unwrap_or(1000)
    }

    /// The `expires` of a Contact in seconds (RFC 3261 §10.2.1.1).
    #[must_use]
    pub fn expires(&self) -> Option<u32> {
        self.param("expires").flatten().and_then(text::seconds)
    }

    /// The value with its `tag` set to another.
    #[must_use]
    pub fn with_tag(&self, tag: &[u8]) -> Self {
        let mut out = self.without_tag();
        param::push_param(&mut out, "tag", Some(tag));
        Self::from_bytes(Bytes::from(out)).unwrap_or_else(|_| self.clone())
    }

    /// The value with no `tag`, other parameters kept.
    #[must_use]
    pub fn without_tag(&self) -> Vec<u8> {
        let params = self.params.slice(&self.raw);
        if self.tag.is_none() && param::param(params, "tag").is_none() {
            return self.raw.to_vec();
        }
        let cut = if params.is_empty() { 0 } else { params.len() + 1 };
        let mut out = text::trim_end(self.raw.get(..self.raw.len() - cut).unwrap_or(&self.raw)).to_vec();
        for param in self.params().filter(|param| !param.name.eq_ignore_ascii_case(b"tag")) {
            out.push(b';');
            out.extend(param.name);
            if let Some(value) = param.value {
                out.push(b'=');
                out.extend(value);
            }
        }
        out
    }

    /// The same value in bytes of its own, so that it no longer keeps the message it came in alive.
    #[must_use]
    pub fn detached(&self) -> Self {
        Self { raw: Bytes::copy_from_slice(&self.raw), ..self.clone() }
    }
}

/// The value with its number masked and its display name left out.
impl fmt::Debug for NameAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.uri() {
            Ok(uri) => write!(f, "<{uri:?}>")?,
            Err(fault) => write!(f, "<{fault}>")?,
        }
        self.tag().map_or(Ok(()), |tag| write!(f, ";tag={}", text::decode(tag)))
    }
}

impl Serialize for NameAddr {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.raw.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for NameAddr {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = Bytes::deserialize(deserializer)?;
        if raw.is_empty() {
            return Ok(Self::default());
        }
        Self::from_bytes(raw).map_err(serde::de::Error::custom)
    }
}

/// The value of a Contact field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Contacts {
    /// `*`: all of them, in a REGISTER that removes them (RFC 3261 §10.2.2).
    All,
    /// Addresses in order.
    List(Vec<NameAddr>),
}

impl Contacts {
    /// Reads the values of all Contact fields of a message, already cut at their commas.
    ///
    /// # Errors
    /// Says what the first bad value breaks, or that `*` stands beside another.
    pub fn parse<'a>(values: impl Iterator<Item = &'a [u8]>) -> Result<Self, BadSyntax> {
        let mut list = Vec::new();
        let mut all = false;
        for value in values {
            if value == b"*" {
                all = true;
            } else {
                list.push(NameAddr::parse(value)?);
            }
        }
        match (all, list.is_empty()) {
            (true, true) => Ok(Self::All),
            (true, false) => Err(BadSyntax("Contact * beside an address")),
            (false, _) => Ok(Self::List(list)),
        }
    }
}

/// Reads a qvalue as thousandths (RFC 3261 §25.1).
fn thousandths(value: &[u8]) -> Option<u16> {
    let (whole, fraction) = text::split_once(value, b'.').unwrap_or((value, b""));
    let whole = match whole {
        b"0" | b"" => 0,
        b"1" => 1000,
        _ => return None,
    };
    if fraction.len() > 3 || !fraction.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let scale = [1000_u16, 100, 10, 1].get(fraction.len()).copied()?;
    let fraction = u16::try_from(text::number(fraction).unwrap_or(0)).ok()?;
    Some(whole + fraction * scale).filter(|q| *q <= 1000)
}

/// The parts of a value.
struct Parts<'a> {
    display: &'a [u8],
    uri: &'a [u8],
    /// All after the first `;` behind the address.
    params: &'a [u8],
}

impl<'a> Parts<'a> {
    fn of(value: &'a [u8]) -> Result<Self, BadSyntax> {
        if let Some(after) = value.strip_prefix(b"\"") {
            let close = text::closing_quote(after, text::is_wide(value)).ok_or(BadSyntax("open quote"))?;
            let (display, rest) = value.split_at_checked(close + 2).ok_or(BadSyntax("open quote"))?;
            let rest = text::trim_start(rest).strip_prefix(b"<").ok_or(BadSyntax("display name without <address>"))?;
            let (uri, params) = bracketed(rest)?;
            return Ok(Self { display, uri, params });
        }
        if let Some((display, rest)) = text::split_once(value, b'<') {
            if display.contains(&b'"') {
                return Err(BadSyntax("bad display name"));
            }
            let (uri, params) = bracketed(rest)?;
            return Ok(Self { display: text::trim(display), uri, params });
        }
        let (uri, params) = text::split_once(value, b';').unwrap_or((value, b""));
        if uri.contains(&b'?') {
            return Err(BadSyntax("address with ? outside <>"));
        }
        let uri = text::trim(uri);
        if uri.is_empty() || uri.contains(&b'>') {
            return Err(BadSyntax("bad address"));
        }
        Ok(Self { display: b"", uri, params })
    }
}

/// Reads `uri>;params` after the opening bracket.
fn bracketed(rest: &[u8]) -> Result<(&[u8], &[u8]), BadSyntax> {
    let (uri, rest) = text::split_once(rest, b'>').ok_or(BadSyntax("open < bracket"))?;
    let rest = text::trim(rest);
    if uri.is_empty() {
        return Err(BadSyntax("empty address"));
    }
    match rest.split_first() {
        None => Ok((uri, b"")),
        Some((b';', params)) => Ok((uri, params)),
        Some(_) => Err(BadSyntax("text behind <address>")),
    }
}

#[cfg(test)]
mod tests;
