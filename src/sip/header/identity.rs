//! Who a call says it is from: `P-Asserted-Identity`, `P-Preferred-Identity`, `Privacy`.
//!
//! Deliberately absent: trust. Whether a peer may assert is the trunk's configuration. RFC 3325 §9, RFC 3323 §4.2,
//! RFC 7044 §10.1 (`history`).

use super::super::message::{Message, Name};
use super::super::text::{self, BadSyntax};
use super::super::uri::Scheme;
use super::address::NameAddr;

/// The identities of one field: at most one `sip:`/`sips:` and one `tel:` address (RFC 3325 §9.1). Of more, the first
/// of each kind counts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Identities {
    /// The `sip:` or `sips:` address.
    pub sip: Option<NameAddr>,
    /// The `tel:` address.
    pub tel: Option<NameAddr>,
}

impl Identities {
    /// Reads a field of a message; values that cannot be read are passed over, since the call goes on without them.
    #[must_use]
    pub fn of(message: &Message, name: Name) -> Self {
        let mut identities = Self::default();
        for address in message.addresses(name).flatten() {
            let slot = match address.uri().map(|uri| uri.scheme()) {
                Ok(Scheme::Sip | Scheme::Sips) => &mut identities.sip,
                Ok(Scheme::Tel) => &mut identities.tel,
                Ok(Scheme::Other) | Err(_) => continue,
            };
            slot.get_or_insert(address);
        }
        identities
    }

    /// The number, `tel:` before `sip:`, as dialled digits or a name.
    #[must_use]
    pub fn number(&self) -> Option<String> {
        [&self.tel, &self.sip].into_iter().flatten().find_map(|address| address.uri().ok()?.dialled())
    }

    /// The value to write; empty when there is none.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        [&self.sip, &self.tel]
            .into_iter()
            .flatten()
            .map(|address| &address.bytes()[..])
            .collect::<Vec<_>>()
            .join(&b", "[..])
    }
}

/// What a caller wants hidden.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Privacy {
    /// The asserted identity.
    pub id: bool,
    /// Headers that show the way taken.
    pub header: bool,
    /// The session description.
    pub session: bool,
    /// All that the user put in.
    pub user: bool,
    /// Entries of History-Info.
    pub history: bool,
    /// Nothing is to be hidden, whatever others would do.
    pub none: bool,
    /// If it cannot be done, the request is to be refused.
    pub critical: bool,
}

impl Privacy {
    /// Reads a value; unknown words are passed over.
    ///
    /// # Errors
    /// When a word is no token.
    pub fn parse(value: &[u8]) -> Result<Self, BadSyntax> {
        let mut privacy = Self::default();
        for word in value.split(|byte| matches!(byte, b';' | b',')).map(text::trim).filter(|word| !word.is_empty()) {
            if !text::is_token(word) {
                return Err(BadSyntax("bad privacy"));
            }
            if let Some((_, flag)) =
                privacy.flags_mut().into_iter().find(|(name, _)| word.eq_ignore_ascii_case(name.as_bytes()))
            {
                *flag = true;
            }
        }
        Ok(privacy)
    }

    /// Whether the caller's number is to be withheld from the called party.
    #[must_use]
    pub const fn hides_caller(&self) -> bool {
        !self.none && (self.id || self.user)
    }

    /// The value to write; empty when nothing is set.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut copy = *self;
        let words: Vec<_> = copy.flags_mut().into_iter().filter(|(_, flag)| **flag).map(|(name, _)| name).collect();
        words.join(";").into_bytes()
    }

    fn flags_mut(&mut self) -> [(&'static str, &mut bool); 7] {
        [
            ("user", &mut self.user),
            ("header", &mut self.header),
            ("session", &mut self.session),
            ("id", &mut self.id),
            ("history", &mut self.history),
            ("none", &mut self.none),
            ("critical", &mut self.critical),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sip::message::Method;
    use crate::sip::print::Draft;

    fn invite(values: &[&str]) -> Message {
        values
            .iter()
            .fold(Draft::request(&Method::Invite, b"sip:12345@h"), |draft, value| {
                draft.header(Name::PAssertedIdentity, value)
            })
            .finish()
    }

    #[test]
    fn one_sip_and_one_tel_identity_count_on_one_line_or_two() {
        let one = "\"赤峰, 移动\" <sip:+8613800001234@ims.cn;user=phone>, <tel:+8613800001234>";
        let joined = Identities::of(&invite(&[one]), Name::PAssertedIdentity);
        let apart = Identities::of(
            &invite(&[
                "\"赤峰, 移动\" <sip:+8613800001234@ims.cn;user=phone>",
                "tel:+86-138-0000-1234",
                "<sip:other@h>",
            ]),
            Name::PAssertedIdentity,
        );
        assert_eq!(joined.sip, apart.sip);
        assert_eq!((joined.number(), apart.number()), (Some("+8613800001234".into()), Some("+8613800001234".into())));
        assert_eq!(joined.to_bytes(), one.as_bytes());
    }

    #[test]
    fn an_unreadable_identity_is_passed_over() {
        let identities = Identities::of(&invite(&["<mailto:a@b>", "\"open", "<sip:a b>"]), Name::PAssertedIdentity);
        assert_eq!((identities.clone(), identities.number()), (Identities::default(), None));
    }

    #[test]
    fn privacy_reads_back() {
        for text in ["id", "user;header;session;id;critical", "none", "history", ""] {
            assert_eq!(Privacy::parse(text.as_bytes()).unwrap().to_bytes(), text.as_bytes());
        }
        assert!(Privacy::parse(b"ID; Critical;new-word").unwrap().hides_caller());
        assert!(!Privacy::parse(b"none;id").unwrap().hides_caller());
        assert!(Privacy::parse(b"i d").is_err());
    }
}
