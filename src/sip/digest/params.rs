//! The parameters of digest challenges and answers, as views into a read header value.
//!
//! RFC 7616 §3.3 and §3.4. Deliberately absent: header grammar ([`crate::sip::header::auth`]).

use super::Counted;
use crate::sip::header::auth::Auth;

/// A mandatory part of an answer is missing or breaks the syntax.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Unreadable;

/// Credentials.
#[derive(Clone, Copy)]
pub(super) struct Answer<'a> {
    pub(super) username: &'a [u8],
    pub(super) nonce: &'a [u8],
    pub(super) uri: &'a [u8],
    pub(super) response: &'a [u8],
    pub(super) algorithm: Option<&'a [u8]>,
    /// The qop inputs with the count as a number; `None` for an RFC 2617 answer without qop.
    pub(super) counted: Option<(Counted<'a>, u32)>,
}

impl<'a> Answer<'a> {
    pub(super) fn read(auth: &'a Auth) -> Result<Self, Unreadable> {
        let find = |name| auth.get(name).ok_or(Unreadable);
        Ok(Self {
            username: find("username")?,
            nonce: find("nonce")?,
            uri: find("uri")?,
            response: find("response")?,
            algorithm: auth.get("algorithm"),
            counted: counted(auth)?,
        })
    }
}

fn counted(auth: &Auth) -> Result<Option<(Counted<'_>, u32)>, Unreadable> {
    let Some(qop) = auth.get("qop") else {
        return Ok(None);
    };
    let (Some(cnonce), Some(nc)) = (auth.get("cnonce"), auth.get("nc")) else {
        return Err(Unreadable);
    };
    let number = std::str::from_utf8(nc).ok().filter(|text| text.len() == 8 && !text.starts_with('+'));
    let number = number.and_then(|text| u32::from_str_radix(text, 16).ok());
    match number {
        Some(number) if qop.eq_ignore_ascii_case(b"auth") => Ok(Some((Counted { nc, cnonce }, number))),
        _ => Err(Unreadable),
    }
}

/// A challenge.
#[derive(Clone, Copy)]
pub(super) struct Asked<'a> {
    pub(super) realm: &'a [u8],
    pub(super) nonce: &'a [u8],
    pub(super) opaque: Option<&'a [u8]>,
    pub(super) algorithm: Option<&'a [u8]>,
    pub(super) stale: bool,
    /// Whether the answer carries `qop=auth`.
    pub(super) counted: bool,
}

impl<'a> Asked<'a> {
    /// `None` for another scheme and where only qop forms are offered that we do not speak.
    pub(super) fn read(auth: &'a Auth) -> Option<Self> {
        let counted = auth.offers("qop", "auth");
        if !auth.is_digest() || (!counted && auth.get("qop").is_some()) {
            return None;
        }
        Some(Self {
            realm: auth.get("realm")?,
            nonce: auth.get("nonce")?,
            opaque: auth.get("opaque"),
            algorithm: auth.get("algorithm"),
            stale: auth.get("stale").is_some_and(|word| word.eq_ignore_ascii_case(b"true")),
            counted,
        })
    }
}
