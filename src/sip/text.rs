//! The lexical ground of SIP: octets, tokens, quoted strings, lists, and how bytes become text at the edge.
//!
//! Everything works on bytes. Text is decoded only for people to read ([`decode`]): UTF-8 where it is UTF-8,
//! otherwise GB18030, which carriers and old exchanges in China send. The trap is that the second octet of a GBK
//! character may be `\` (0x5C), which a plain reading takes for an escape and so loses the closing quote; a value
//! that is not UTF-8 is therefore scanned character by character ([`is_wide`]).
//!
//! Deliberately absent: header grammar. Every scan here reads each octet a bounded number of times and never goes
//! back, so work is linear in the length of the input.
//!
//! RFC 3261 §25.1 (basic rules), §7.3.1 (lists).

use std::borrow::Cow;

/// What a value breaks, in words fit for a reason phrase.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BadSyntax(pub &'static str);

/// A stretch of a byte string, kept as offsets so that a parsed value can own its bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Span {
    at: u32,
    len: u32,
}

impl Span {
    /// The place of `part` within `whole`, of which it must be a sub-slice; anything else gives the empty span.
    pub(crate) fn of(whole: &[u8], part: &[u8]) -> Self {
        let at = (part.as_ptr() as usize).wrapping_sub(whole.as_ptr() as usize);
        if at.checked_add(part.len()).is_none_or(|end| end > whole.len()) {
            return Self::default();
        }
        Self { at: u32::try_from(at).unwrap_or(0), len: u32::try_from(part.len()).unwrap_or(0) }
    }

    /// The stretch itself.
    pub(crate) fn slice(self, whole: &[u8]) -> &[u8] {
        let at = self.at as usize;
        whole.get(at..at.saturating_add(self.len as usize)).unwrap_or_default()
    }
}

/// Whether an octet may stand in a token (RFC 3261 §25.1).
#[must_use]
#[expect(clippy::indexing_slicing, reason = "an octet is an index below 256")]
pub const fn is_token_byte(byte: u8) -> bool {
    TOKEN_BYTES[byte as usize]
}

/// One answer for each octet: this is asked of every octet of every header name.
#[expect(clippy::indexing_slicing, reason = "worked out at compile time")]
const TOKEN_BYTES: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0_u8;
    while byte < 128 {
        table[byte as usize] = byte.is_ascii_alphanumeric()
            || matches!(byte, b'-' | b'.' | b'!' | b'%' | b'*' | b'_' | b'+' | b'`' | b'\'' | b'~');
        byte += 1;
    }
    table
};

/// Whether the bytes form a token.
#[must_use]
pub fn is_token(bytes: &[u8]) -> bool {
    !bytes.is_empty() && bytes.iter().all(|byte| is_token_byte(*byte))
}

/// Whether an octet is linear white space once folds are undone.
#[must_use]
pub const fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t')
}

/// Takes white space off both ends.
#[must_use]
pub fn trim(bytes: &[u8]) -> &[u8] {
    trim_end(trim_start(bytes))
}

/// Takes white space off the beginning.
#[must_use]
pub fn trim_start(mut bytes: &[u8]) -> &[u8] {
    while let [first, rest @ ..] = bytes {
        if !is_space(*first) {
            break;
        }
        bytes = rest;
    }
    bytes
}

/// Takes white space off the end.
#[must_use]
pub fn trim_end(mut bytes: &[u8]) -> &[u8] {
    while let [rest @ .., last] = bytes {
        if !is_space(*last) {
            break;
        }
        bytes = rest;
    }
    bytes
}

/// Splits at the first occurrence of an octet, without regard to quotes.
#[must_use]
pub fn split_once(bytes: &[u8], at: u8) -> Option<(&[u8], &[u8])> {
    let place = memchr::memchr(at, bytes)?;
    Some((bytes.get(..place)?, bytes.get(place + 1..)?))
}

/// Reads a whole decimal number; `None` when it is empty, holds another octet or does not fit.
#[must_use]
pub fn number(bytes: &[u8]) -> Option<u64> {
    if bytes.is_empty() {
        return None;
    }
    bytes.iter().try_fold(0_u64, |value, byte| {
        byte.is_ascii_digit().then_some(())?;
        value.checked_mul(10)?.checked_add(u64::from(byte - b'0'))
    })
}

/// Reads delta-seconds, a number too large for 32 bits being the largest there is (RFC 3261 §20.19, RFC 4475
/// §3.1.2.4).
#[must_use]
pub fn seconds(bytes: &[u8]) -> Option<u32> {
    if bytes.is_empty() || !bytes.iter().all(u8::is_ascii_digit) {
        return None;
    }
    Some(number(bytes).and_then(|value| u32::try_from(value).ok()).unwrap_or(u32::MAX))
}

/// Whether quoted strings of this value must be scanned by GBK characters, because it is not UTF-8.
#[must_use]
pub fn is_wide(value: &[u8]) -> bool {
    std::str::from_utf8(value).is_err()
}

/// Whether an octet may be the second of a two-octet GBK character.
const fn is_trail(byte: u8) -> bool {
    matches!(byte, 0x40..=0x7e | 0x80..=0xfe)
}

/// Given the bytes after an opening quote, the offset of the closing one.
#[must_use]
pub fn closing_quote(after: &[u8], wide: bool) -> Option<usize> {
    let mut at = 0;
    loop {
        match *after.get(at)? {
            b'"' => return Some(at),
            b'\\' => at += 2,
            0x81..=0xfe if wide => {
                at += if after.get(at + 1).is_some_and(|second| is_trail(*second)) { 2 } else { 1 };
            }
            _ => at += 1,
        }
    }
}

/// Cuts a value at a separator that stands outside quoted strings and outside `<>`.
///
/// Pieces come trimmed; an empty piece is given as such, so that a caller can refuse it. An unterminated quote or
/// bracket makes the rest one piece.
#[must_use]
pub fn pieces(value: &[u8], separator: u8) -> Pieces<'_> {
    let plain = memchr::memchr2(b'"', b'<', value).is_none();
    Pieces { rest: Some(value), separator, plain, wide: None }
}

/// See [`pieces`].
#[derive(Clone, Debug)]
pub struct Pieces<'a> {
    rest: Option<&'a [u8]>,
    separator: u8,
    /// Whether the value holds neither quote nor bracket, so that every separator counts.
    plain: bool,
    /// Whether the value needs a wide scan; worked out once, at the first quote.
    wide: Option<bool>,
}

impl<'a> Pieces<'a> {
    /// What has not been cut yet, without the separator before it.
    #[must_use]
    pub fn remainder(&self) -> &'a [u8] {
        trim(self.rest.unwrap_or_default())
    }
}

impl<'a> Iterator for Pieces<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let rest = self.rest?;
        if self.plain {
            let (piece, rest) =
                split_once(rest, self.separator).map_or((rest, None), |(piece, rest)| (piece, Some(rest)));
            self.rest = rest;
            return Some(trim(piece));
        }
        let mut at = 0;
        let mut bracket = false;
        while let Some(byte) = rest.get(at) {
            match *byte {
                b'"' => {
                    let wide = *self.wide.get_or_insert_with(|| is_wide(rest));
                    match closing_quote(rest.get(at + 1..).unwrap_or_default(), wide) {
                        Some(length) => at += length + 1,
                        None => break,
                    }
                }
                b'<' => bracket = true,
                b'>' => bracket = false,
                byte if byte == self.separator && !bracket => {
                    self.rest = rest.get(at + 1..);
                    return rest.get(..at).map(trim);
                }
                _ => {}
            }
            at += 1;
        }
        self.rest = None;
        Some(trim(rest))
    }
}

/// Whether a section of parameters closes its quotes and has no `<` or `>` outside them, so that what is appended to
/// it is a parameter too.
#[must_use]
pub fn is_param_section(section: &[u8]) -> bool {
    let mut rest = section;
    let mut wide = None;
    while let Some(at) = memchr::memchr3(b'"', b'<', b'>', rest) {
        if rest.get(at) != Some(&b'"') {
            return false;
        }
        let after = rest.get(at + 1..).unwrap_or_default();
        let Some(length) = closing_quote(after, *wide.get_or_insert_with(|| is_wide(section))) else { return false };
        rest = after.get(length + 1..).unwrap_or_default();
    }
    true
}

/// The content of a quoted string with its escapes undone; anything else as it is.
#[must_use]
pub fn unquote(bytes: &[u8]) -> Cow<'_, [u8]> {
    let Some(inner) = bytes.strip_prefix(b"\"").and_then(|rest| rest.strip_suffix(b"\"")) else {
        return Cow::Borrowed(bytes);
    };
    if !inner.contains(&b'\\') {
        return Cow::Borrowed(inner);
    }
    let wide = is_wide(inner);
    let mut plain = Vec::with_capacity(inner.len());
    let mut octets = inner.iter().copied();
    while let Some(byte) = octets.next() {
        match byte {
            b'\\' => plain.extend(octets.next()),
            0x81..=0xfe if wide => {
                plain.push(byte);
                if let Some(second) = octets.clone().next().filter(|second| is_trail(*second)) {
                    plain.push(second);
                    octets.next();
                }
            }
            _ => plain.push(byte),
        }
    }
    Cow::Owned(plain)
}

/// Writes a quoted string: quotes around, `"` and `\` escaped, line ends made spaces.
///
/// Half a GBK character becomes `?`, since it would take the octet after it, perhaps the closing quote, for its own.
pub fn quote_into(out: &mut Vec<u8>, text: &[u8]) {
    let wide = is_wide(text);
    out.push(b'"');
    let mut octets = text.iter().copied();
    while let Some(byte) = octets.next() {
        match byte {
            b'"' | b'\\' => out.extend([b'\\', byte]),
            b'\r' | b'\n' | 0 => out.push(b' '),
            0x81..=0xfe if wide => {
                if let Some(second) = octets.clone().next().filter(|second| is_trail(*second)) {
                    out.extend([byte, second]);
                    octets.next();
                } else {
                    out.push(b'?');
                }
            }
            _ => out.push(byte),
        }
    }
    out.push(b'"');
}

/// Text for people: UTF-8 as it is, otherwise read as GB18030, which never fails.
#[must_use]
pub fn decode(bytes: &[u8]) -> Cow<'_, str> {
    std::str::from_utf8(bytes).map_or_else(|_| encoding_rs::GB18030.decode_without_bom_handling(bytes).0, Cow::Borrowed)
}

/// Undoes `%xx`; a percent sign that begins no escape stays as it is.
#[must_use]
pub fn percent_decode(bytes: &[u8]) -> Cow<'_, [u8]> {
    if !bytes.contains(&b'%') {
        return Cow::Borrowed(bytes);
    }
    let mut plain = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let [first, tail @ ..] = rest {
        rest = tail;
        if *first == b'%'
            && let [high, low, after @ ..] = tail
            && let (Some(high), Some(low)) = (hex(*high), hex(*low))
        {
            plain.push(high << 4 | low);
            rest = after;
        } else {
            plain.push(*first);
        }
    }
    Cow::Owned(plain)
}

/// Writes bytes with `%xx` for every octet the grammar of the place does not allow.
pub fn percent_encode_into(out: &mut Vec<u8>, bytes: &[u8], allowed: impl Fn(u8) -> bool) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    for byte in bytes {
        if allowed(*byte) {
            out.push(*byte);
        } else {
            let digit = |nibble: u8| DIGITS.get(usize::from(nibble & 15)).copied().unwrap_or(b'0');
            out.extend([b'%', digit(byte >> 4), digit(*byte)]);
        }
    }
}

/// The value of a hexadecimal digit.
#[must_use]
pub const fn hex(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        b'A'..=b'F' => Some(byte - b'A' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(value: &[u8]) -> Vec<&[u8]> {
        pieces(value, b',').collect()
    }

    #[test]
    fn a_list_is_cut_outside_quotes_and_brackets_only() {
        assert_eq!(split(b"\"a,b\" <sip:x,y@h>, c ,,d"), [&b"\"a,b\" <sip:x,y@h>"[..], b"c", b"", b"d"]);
        assert_eq!(split(b"\"a\\\",b\", c"), [&b"\"a\\\",b\""[..], b"c"]);
        assert_eq!(split(b"\"open, c"), [&b"\"open, c"[..]]);
    }

    #[test]
    fn a_gbk_backslash_does_not_swallow_the_closing_quote() {
        let value = b"\"\x85\x5c\" <sip:a@h>, b";
        assert_eq!(split(value), [&b"\"\x85\x5c\" <sip:a@h>"[..], b"b"]);
        assert_eq!(unquote(b"\"\x85\x5c\"").as_ref(), b"\x85\x5c");
        let utf8 = "\"中\\\", b\" <sip:a@h>".as_bytes();
        assert_eq!(split(utf8), [utf8]);
    }

    #[test]
    fn text_is_read_as_utf8_and_else_as_gb18030() {
        assert_eq!(decode("赤峰".as_bytes()), "赤峰");
        assert_eq!(decode(b"\xb3\xe0\xb7\xe5"), "赤峰");
        assert_eq!(decode(b"caf\xe9"), decode(b"caf\xe9"), "whatever it is, it does not fail");
    }

    #[test]
    fn quoting_reads_back() {
        for text in [&b"plain"[..], b"a\"b\\c", b"\x85\x5c\x22", "中\\\"".as_bytes()] {
            let mut quoted = Vec::new();
            quote_into(&mut quoted, text);
            assert_eq!(closing_quote(&quoted[1..], is_wide(&quoted)), Some(quoted.len() - 2), "{text:x?}");
            assert_eq!(unquote(&quoted).as_ref(), text, "{text:x?}");
        }
    }

    #[test]
    fn numbers_do_not_overflow() {
        assert_eq!(number(b"36893488147419103232"), None);
        assert_eq!(number(b"-5"), None);
        assert_eq!(number(b""), None);
        assert_eq!(seconds(b"99999999999999999999999"), Some(u32::MAX));
        assert_eq!(seconds(b"soon"), None);
    }

    #[test]
    fn percent_signs_read_and_write() {
        assert_eq!(percent_decode(b"%61%zz%4").as_ref(), b"a%zz%4");
        let mut out = Vec::new();
        percent_encode_into(&mut out, b"a b@", |byte| byte.is_ascii_alphanumeric());
        assert_eq!(out, b"a%20b%40");
    }
}
