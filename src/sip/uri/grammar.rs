//! The grammar of addresses: which octets may stand where, hosts, and the cut into parts.
//!
//! RFC 3261 §25.1, RFC 3966 §3, RFC 5118 §4.10.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::super::text::{self, BadSyntax};
use super::Scheme;

/// Octets a user part may hold unescaped (RFC 3261 §25.1).
#[must_use]
pub const fn is_user_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(
            byte,
            b'-' | b'_'
                | b'.'
                | b'!'
                | b'~'
                | b'*'
                | b'\''
                | b'('
                | b')'
                | b'&'
                | b'='
                | b'+'
                | b'$'
                | b','
                | b';'
                | b'?'
                | b'/'
        )
}

/// Octets a parameter may hold unescaped (RFC 3261 §25.1).
#[must_use]
pub const fn is_param_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(
            byte,
            b'-' | b'_'
                | b'.'
                | b'!'
                | b'~'
                | b'*'
                | b'\''
                | b'('
                | b')'
                | b'['
                | b']'
                | b'/'
                | b':'
                | b'&'
                | b'+'
                | b'$'
        )
}

/// Octets an embedded header may hold unescaped (RFC 3261 §25.1).
#[must_use]
pub const fn is_header_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(byte, b'-' | b'_' | b'.' | b'!' | b'~' | b'*' | b'\'' | b'(' | b')')
        || matches!(byte, b'[' | b']' | b'/' | b'?' | b':' | b'+' | b'$')
}

/// Reads an address literal; an IPv6 one with or without brackets, three colons in a row read as two.
#[must_use]
pub fn host_addr(host: &[u8]) -> Option<IpAddr> {
    let host = std::str::from_utf8(host).ok()?;
    if host.len() > 48 {
        return None;
    }
    let bare = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host);
    if bare.contains(':') {
        let v6 = bare.parse::<Ipv6Addr>().or_else(|_| bare.replacen(":::", "::", 1).parse());
        return v6.ok().map(IpAddr::V6);
    }
    bare.parse::<Ipv4Addr>().ok().map(IpAddr::V4)
}

/// Splits `host`, `host:port`, `[v6]` or `[v6]:port`, white space around the colon allowed as in a Via.
pub(crate) fn host_port(bytes: &[u8]) -> Result<(&[u8], Option<u16>), BadSyntax> {
    let (host, rest) = if bytes.first() == Some(&b'[') {
        let end = bytes.iter().position(|byte| *byte == b']').ok_or(BadSyntax("open IPv6 reference"))?;
        let (host, rest) = bytes.split_at_checked(end + 1).ok_or(BadSyntax("open IPv6 reference"))?;
        if host_addr(host).is_none() {
            return Err(BadSyntax("bad IPv6 reference"));
        }
        (host, text::trim_start(rest))
    } else {
        let end = bytes.iter().position(|byte| *byte == b':').unwrap_or(bytes.len());
        let (host, rest) = bytes.split_at_checked(end).unwrap_or((bytes, b""));
        let host = text::trim_end(host);
        let is_name = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_');
        if host.is_empty() || !host.iter().all(is_name) {
            return Err(BadSyntax("bad host"));
        }
        (host, rest)
    };
    let port = match rest.split_first() {
        None => None,
        Some((b':', digits)) => {
            let digits = text::trim(digits);
            Some(text::number(digits).and_then(|port| u16::try_from(port).ok()).ok_or(BadSyntax("bad port"))?)
        }
        Some(_) => return Err(BadSyntax("bad host")),
    };
    Ok((host, port))
}

/// The parts of an address.
pub(super) struct Parts<'a> {
    pub(super) scheme: Scheme,
    pub(super) user: Option<&'a [u8]>,
    pub(super) host: &'a [u8],
    pub(super) port: Option<u16>,
    pub(super) params: &'a [u8],
    pub(super) headers: Option<&'a [u8]>,
}

impl<'a> Parts<'a> {
    pub(super) fn of(raw: &'a [u8]) -> Result<Self, BadSyntax> {
        // Without an early way out, so that the compiler can look at many octets at once.
        let legal = |byte: u8| byte.wrapping_sub(0x21) < 0x5e && byte != b'<' && byte != b'>' && byte != b'"';
        if !raw.iter().fold(true, |all, byte| all & legal(*byte)) {
            return Err(BadSyntax("illegal octet in address"));
        }
        let (scheme, rest) = text::split_once(raw, b':').ok_or(BadSyntax("address without scheme"))?;
        let scheme = match scheme {
            word if word.eq_ignore_ascii_case(b"sip") => Scheme::Sip,
            word if word.eq_ignore_ascii_case(b"sips") => Scheme::Sips,
            word if word.eq_ignore_ascii_case(b"tel") => Scheme::Tel,
            [first, tail @ ..] if first.is_ascii_alphabetic() => {
                let legal = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.');
                if !tail.iter().all(legal) || rest.is_empty() {
                    return Err(BadSyntax("bad scheme"));
                }
                Scheme::Other
            }
            _ => return Err(BadSyntax("bad scheme")),
        };
        match scheme {
            Scheme::Sip | Scheme::Sips => Self::sip(scheme, rest),
            Scheme::Tel => Self::tel(rest),
            Scheme::Other => Ok(Self { scheme, user: None, host: b"", port: None, params: b"", headers: None }),
        }
    }

    fn sip(scheme: Scheme, rest: &'a [u8]) -> Result<Self, BadSyntax> {
        let (user, rest) = match text::split_once(rest, b'@') {
            Some((_, after)) if after.contains(&b'@') => return Err(BadSyntax("two at signs in address")),
            Some((user, after)) => (Some(user), after),
            None => (None, rest),
        };
        let user = user.map(|user| text::split_once(user, b':').map_or(user, |(user, _password)| user));
        let (rest, headers) = match text::split_once(rest, b'?') {
            Some((rest, headers)) => (rest, Some(headers)),
            None => (rest, None),
        };
        let (place, params) = text::split_once(rest, b';').unwrap_or((rest, b""));
        let (host, port) = host_port(place)?;
        Ok(Self { scheme, user, host, port, params, headers })
    }

    fn tel(rest: &'a [u8]) -> Result<Self, BadSyntax> {
        let (number, params) = text::split_once(rest, b';').unwrap_or((rest, b""));
        let legal = |byte: &u8| byte.is_ascii_hexdigit() || b"*#-.()+%pPwW".contains(byte);
        if number.is_empty() || !number.iter().all(legal) {
            return Err(BadSyntax("bad telephone number"));
        }
        Ok(Self { scheme: Scheme::Tel, user: Some(number), host: b"", port: None, params, headers: None })
    }
}
