//! `User-to-User`: a few octets from one user's system to another's.
//!
//! Deliberately absent: meaning of the octets. RFC 7433 §4, RFC 7434 (ISDN, the default purpose).
//!
//! Limit: [`DATA_MAX`] octets are written.

use super::super::text::{self, BadSyntax};
use super::param;

/// Most octets written; ISDN carries 128 with the protocol discriminator (RFC 7434 §7).
pub const DATA_MAX: usize = 128;

/// Octets with what they are for.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct UserToUser {
    /// The octets, decoded.
    pub data: Vec<u8>,
    /// Whether they stand as hexadecimal digits on the wire.
    pub is_hex: bool,
    /// The purpose: `isdn-uui` and others.
    pub purpose: Option<String>,
    /// The content: `isdn-uui` and others.
    pub content: Option<String>,
}

impl UserToUser {
    /// Octets for a purpose, written as hexadecimal digits.
    ///
    /// # Errors
    /// When there are more than [`DATA_MAX`].
    pub fn hex(data: &[u8], purpose: Option<&str>) -> Result<Self, BadSyntax> {
        if data.len() > DATA_MAX {
            return Err(BadSyntax("user-to-user data too long"));
        }
        Ok(Self { data: data.to_vec(), is_hex: true, purpose: purpose.map(str::to_owned), content: None })
    }

    /// Reads one value (no list). Digits without an encoding are octets too, as most senders mean them.
    ///
    /// # Errors
    /// Says what the value breaks.
    pub fn parse(value: &[u8]) -> Result<Self, BadSyntax> {
        let mut pieces = text::pieces(value, b';');
        let written = pieces.next().unwrap_or_default();
        let section = value.get(written.len()..).unwrap_or_default();
        let section = text::split_once(section, b';').map_or(&b""[..], |(_, section)| section);
        let word = |name: &str| {
            param::param(section, name).flatten().map(|word| text::decode(&text::unquote(word)).into_owned())
        };
        let plain = text::unquote(written);
        let octets = unhex(&plain);
        let (data, is_hex) = match (word("encoding"), octets) {
            (Some(encoding), octets) if encoding.eq_ignore_ascii_case("hex") => {
                (octets.ok_or(BadSyntax("bad hexadecimal digits"))?, true)
            }
            (None, Some(octets)) => (octets, true),
            _ if plain.is_empty() => return Err(BadSyntax("no data")),
            _ => (plain.into_owned(), false),
        };
        Ok(Self { data, is_hex, purpose: word("purpose"), content: word("content") })
    }

    /// The value to write.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::new();
        if self.is_hex {
            for octet in &self.data {
                out.extend(format!("{octet:02x}").into_bytes());
            }
            param::push_param(&mut out, "encoding", Some(b"hex"));
        } else {
            text::quote_into(&mut out, &self.data);
            param::push_param(&mut out, "encoding", Some(b"text"));
        }
        for (name, word) in [("purpose", &self.purpose), ("content", &self.content)] {
            if let Some(word) = word {
                param::push_param(&mut out, name, Some(word.as_bytes()));
            }
        }
        out
    }
}

/// The number of octets only.
impl std::fmt::Debug for UserToUser {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "UserToUser({} octets)", self.data.len())
    }
}

fn unhex(digits: &[u8]) -> Option<Vec<u8>> {
    if digits.is_empty() || !digits.len().is_multiple_of(2) {
        return None;
    }
    digits.chunks_exact(2).map(|pair| Some(text::hex(*pair.first()?)? << 4 | text::hex(*pair.get(1)?)?)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_reads_back() {
        let hex = UserToUser::hex(b"\x00A1", Some("isdn-uui")).unwrap();
        assert_eq!(hex.to_bytes(), b"004131;encoding=hex;purpose=isdn-uui");
        assert_eq!(UserToUser::parse(&hex.to_bytes()).unwrap(), hex);
        let words = UserToUser { data: b"a;b\"c".to_vec(), is_hex: false, purpose: None, content: Some("x".into()) };
        assert_eq!(UserToUser::parse(&words.to_bytes()).unwrap(), words);
    }

    #[test]
    fn other_spellings_are_read() {
        let bare = UserToUser::parse(b"56a390f3d2b7310023;Encoding=HEX ; purpose = foo").unwrap();
        assert_eq!((bare.data.len(), bare.purpose.as_deref()), (9, Some("foo")));
        assert_eq!(UserToUser::parse(b"00ff").unwrap().data, [0, 255]);
        assert_eq!(UserToUser::parse(b"ticket-7").unwrap().data, b"ticket-7");
        for value in [&b""[..], b"0g;encoding=hex", b"123;encoding=hex", b";encoding=hex"] {
            assert!(UserToUser::parse(value).is_err());
        }
    }

    #[test]
    fn data_has_a_bound() {
        assert!(UserToUser::hex(&[0; DATA_MAX], None).is_ok());
        assert!(UserToUser::hex(&[0; DATA_MAX + 1], None).is_err());
    }
}
