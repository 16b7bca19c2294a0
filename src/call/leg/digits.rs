//! A digit in the body of an INFO, as older phones send it.
//!
//! Deliberately absent: digits in RTP (RFC 4733), which the media worker hears.

use crate::sip::message::Message;

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
