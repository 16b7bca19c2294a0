//! Parameters behind a value: `;name=value;flag`.
//!
//! White space is allowed around `;` and `=`, values may be quoted, empty parameters are skipped. Deliberately
//! absent: the parameters of addresses, which allow neither (see `uri`). RFC 3261 §25.1 (generic-param).

use std::borrow::Cow;

use super::super::text;

/// One parameter as written, a quoted value with its quotes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Param<'a> {
    /// The name.
    pub name: &'a [u8],
    /// The value, when there is one.
    pub value: Option<&'a [u8]>,
}

impl<'a> Param<'a> {
    /// The value with quotes and escapes undone.
    #[must_use]
    pub fn plain(&self) -> Option<Cow<'a, [u8]>> {
        self.value.map(text::unquote)
    }
}

/// The parameters in a section that begins after the first `;`.
pub fn params(section: &[u8]) -> impl Iterator<Item = Param<'_>> {
    text::pieces(section, b';').filter(|piece| !piece.is_empty()).map(|piece| {
        text::split_once(piece, b'=').map_or(Param { name: piece, value: None }, |(name, value)| Param {
            name: text::trim_end(name),
            value: Some(text::trim_start(value)),
        })
    })
}

/// A parameter by name: outer `None` when absent, inner `None` when it has no value.
#[must_use]
pub fn param<'a>(section: &'a [u8], name: &str) -> Option<Option<&'a [u8]>> {
    params(section).find(|param| param.name.eq_ignore_ascii_case(name.as_bytes())).map(|param| param.value)
}

/// Writes `;name=value`, quoting the value when it is no token and no host.
pub fn push_param(out: &mut Vec<u8>, name: &str, value: Option<&[u8]>) {
    out.push(b';');
    out.extend(name.bytes());
    let Some(value) = value else { return };
    out.push(b'=');
    let plain = |byte: &u8| text::is_token_byte(*byte) || matches!(byte, b'[' | b']' | b':');
    if !value.is_empty() && value.iter().all(plain) {
        out.extend(value);
    } else {
        text::quote_into(out, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spaces_quotes_and_empty_parameters_are_read() {
        let section = b" tag    = 98asjd8 ;; note=\"a;b=\\\"c\\\"\" ; lr";
        let all: Vec<_> = params(section).map(|param| (param.name, param.plain())).collect();
        assert_eq!(all[0], (&b"tag"[..], Some(Cow::Borrowed(&b"98asjd8"[..]))));
        assert_eq!(all[1].1.as_deref(), Some(&b"a;b=\"c\""[..]));
        assert_eq!(all[2], (&b"lr"[..], None));
        assert_eq!(param(section, "TAG"), Some(Some(&b"98asjd8"[..])));
        assert_eq!(param(section, "q"), None);
    }

    #[test]
    fn writing_quotes_what_is_no_token() {
        let mut out = Vec::new();
        push_param(&mut out, "a", Some(b"x;y"));
        push_param(&mut out, "b", Some(b"z"));
        push_param(&mut out, "c", None);
        push_param(&mut out, "d", Some(b"\r\nVia: x"));
        assert_eq!(out, b";a=\"x;y\";b=z;c;d=\"  Via: x\"");
    }
}
