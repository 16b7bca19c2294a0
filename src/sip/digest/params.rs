//! The parameters of digest challenges and answers.
//!
//! RFC 7616 §3.3 and §3.4. Values come unquoted. Deliberately absent: other schemes (reading gives `None`).

use std::borrow::Cow;

use super::Counted;
use crate::sip::text;

/// A mandatory part of an answer is missing or breaks the syntax.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Unreadable;

/// An Authorization value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Answer<'a> {
    pub(super) username: Cow<'a, [u8]>,
    pub(super) realm: Cow<'a, [u8]>,
    pub(super) nonce: Cow<'a, [u8]>,
    pub(super) uri: Cow<'a, [u8]>,
    pub(super) response: Cow<'a, [u8]>,
    pub(super) algorithm: Option<Cow<'a, [u8]>>,
    cnonce: Option<Cow<'a, [u8]>>,
    qop: Option<Cow<'a, [u8]>>,
    nc: Option<Cow<'a, [u8]>>,
}

impl<'a> Answer<'a> {
    pub(super) fn read(value: &'a [u8]) -> Option<Self> {
        let section = digest_section(value)?;
        let find = |name| find(section, name);
        Some(Self {
            username: find("username")?,
            realm: find("realm")?,
            nonce: find("nonce")?,
            uri: find("uri")?,
            response: find("response")?,
            algorithm: find("algorithm"),
            cnonce: find("cnonce"),
            qop: find("qop"),
            nc: find("nc"),
        })
    }

    /// The qop inputs with the count as a number; inner `None` for an RFC 2617 answer without qop.
    pub(super) fn counted(&self) -> Result<Option<(Counted<'_>, u32)>, Unreadable> {
        let Some(qop) = &self.qop else {
            return Ok(None);
        };
        let (Some(cnonce), Some(nc)) = (&self.cnonce, &self.nc) else {
            return Err(Unreadable);
        };
        let number = std::str::from_utf8(nc).ok().filter(|text| text.len() == 8 && !text.starts_with('+'));
        let number = number.and_then(|text| u32::from_str_radix(text, 16).ok());
        match number {
            Some(number) if qop.eq_ignore_ascii_case(b"auth") => Ok(Some((Counted { nc, cnonce }, number))),
            _ => Err(Unreadable),
        }
    }
}

/// A WWW-Authenticate or Proxy-Authenticate value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Asked<'a> {
    pub(super) realm: Cow<'a, [u8]>,
    pub(super) nonce: Cow<'a, [u8]>,
    pub(super) opaque: Option<Cow<'a, [u8]>>,
    pub(super) algorithm: Option<Cow<'a, [u8]>>,
    pub(super) stale: bool,
    qop: Option<Cow<'a, [u8]>>,
}

impl<'a> Asked<'a> {
    pub(super) fn read(value: &'a [u8]) -> Option<Self> {
        let section = digest_section(value)?;
        let find = |name| find(section, name);
        Some(Self {
            realm: find("realm")?,
            nonce: find("nonce")?,
            opaque: find("opaque"),
            algorithm: find("algorithm"),
            stale: find("stale").is_some_and(|word| word.eq_ignore_ascii_case(b"true")),
            qop: find("qop"),
        })
    }

    /// Whether the answer carries `qop=auth`; `None` when only forms are offered that we do not speak.
    pub(super) fn wants_count(&self) -> Option<bool> {
        let Some(qop) = &self.qop else {
            return Some(false);
        };
        text::pieces(qop, b',').any(|word| word.eq_ignore_ascii_case(b"auth")).then_some(true)
    }
}

fn digest_section(value: &[u8]) -> Option<&[u8]> {
    let value = text::trim(value);
    let (scheme, section) = value.split_at_checked("Digest".len())?;
    let spaced = section.first().is_some_and(|byte| text::is_space(*byte));
    (scheme.eq_ignore_ascii_case(b"Digest") && spaced).then_some(section)
}

fn find<'a>(section: &'a [u8], name: &str) -> Option<Cow<'a, [u8]>> {
    text::pieces(section, b',')
        .filter_map(|piece| text::split_once(piece, b'='))
        .find(|(found, _)| text::trim(found).eq_ignore_ascii_case(name.as_bytes()))
        .map(|(_, value)| text::unquote(text::trim(value)))
}
