//! What requests of theirs ask for, read from their headers and bodies: whom a REFER names, which digit an INFO holds.
//!
//! RFC 3515 §2.1, RFC 3891 §3, RFC 3892 §3. Deliberately absent: whether it is granted.

use super::words::Replaces;
use crate::sip::header::address::NameAddr;
use crate::sip::message::{Message, Name};

pub(super) struct ReferTarget {
    pub(super) uri: Box<str>,
    pub(super) replaces: Option<Replaces>,
}

impl ReferTarget {
    pub(super) fn read(value: &[u8]) -> Option<Self> {
        let address = NameAddr::parse(value).ok()?;
        let uri = address.uri().ok()?;
        let replaces = uri.header("Replaces").and_then(|value| read_replaces(&value));
        Some(Self { uri: String::from_utf8_lossy(uri.without_headers().as_bytes()).into(), replaces })
    }
}

fn read_replaces(value: &[u8]) -> Option<Replaces> {
    let text = std::str::from_utf8(value).ok()?;
    let mut parts = text.split(';');
    let call_id = parts.next()?.trim();
    let mut replaces = Replaces { call_id: call_id.into(), to_tag: "".into(), from_tag: "".into(), early_only: false };
    for part in parts {
        match part.trim().split_once('=') {
            Some(("to-tag", tag)) => replaces.to_tag = tag.trim().into(),
            Some(("from-tag", tag)) => replaces.from_tag = tag.trim().into(),
            None if part.trim() == "early-only" => replaces.early_only = true,
            _ => {}
        }
    }
    (!replaces.to_tag.is_empty()).then_some(replaces)
}

/// The URI of Referred-By (RFC 3892 §3).
pub(super) fn referred_by(request: &Message) -> Option<Box<str>> {
    let uri = NameAddr::parse(request.header(Name::ReferredBy)?).ok()?.uri().ok()?;
    Some(String::from_utf8_lossy(uri.without_headers().as_bytes()).into())
}

/// Whether an INFO has one of the bodies that carry digits.
pub(super) fn is_digit_info(request: &Message) -> bool {
    ["application/dtmf-relay", "application/dtmf"].iter().any(|kind| request.is_content(kind))
}

/// The digit of an INFO in one of the two forms phones send.
pub(super) fn info_digit(request: &Message) -> Option<char> {
    let body = std::str::from_utf8(request.body()).ok()?;
    let word = if request.is_content("application/dtmf-relay") {
        body.lines().find_map(|line| {
            let (key, value) = line.split_once('=')?;
            key.trim().eq_ignore_ascii_case("signal").then(|| value.trim())
        })?
    } else if request.is_content("application/dtmf") {
        body.trim()
    } else {
        return None;
    };
    let digit = word.chars().next()?.to_ascii_uppercase();
    matches!(digit, '0'..='9' | '*' | '#' | 'A'..='D').then_some(digit)
}
