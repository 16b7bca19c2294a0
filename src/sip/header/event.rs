//! `Event` and `Subscription-State`.
//!
//! Deliberately absent: subscriptions. RFC 6665 §8.2, RFC 3515 §2.4.4 (`refer` with the CSeq as `id`).

use super::super::text::{self, BadSyntax};
use super::param;

/// An event package, with the id that tells subscriptions within a dialog apart.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Event {
    /// The package with its templates: `refer`, `presence.winfo`.
    pub package: String,
    /// The id.
    pub id: Option<Vec<u8>>,
}

impl Event {
    /// Reads a value.
    ///
    /// # Errors
    /// When the package is no token.
    pub fn parse(value: &[u8]) -> Result<Self, BadSyntax> {
        let (package, section) = text::split_once(value, b';').unwrap_or((value, b""));
        let package = text::trim(package);
        if !text::is_token(package) {
            return Err(BadSyntax("bad event package"));
        }
        let id = param::param(section, "id").flatten().map(<[u8]>::to_vec);
        Ok(Self { package: text::decode(package).into_owned(), id })
    }

    /// The value to write.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = self.package.clone().into_bytes();
        if let Some(id) = &self.id {
            param::push_param(&mut out, "id", Some(id));
        }
        out
    }
}

/// How a subscription stands.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum SubscriptionState {
    /// It is accepted, for that many seconds more.
    Active(Option<u32>),
    /// It waits to be accepted, for that many seconds more.
    Pending(Option<u32>),
    /// It is over, for that reason.
    Terminated(Option<String>),
    /// An extension; to be taken as neither over nor accepted.
    Other(String),
}

impl SubscriptionState {
    /// Reads a value.
    ///
    /// # Errors
    /// When the state is no token.
    pub fn parse(value: &[u8]) -> Result<Self, BadSyntax> {
        let (state, section) = text::split_once(value, b';').unwrap_or((value, b""));
        let state = text::trim(state);
        if !text::is_token(state) {
            return Err(BadSyntax("bad subscription state"));
        }
        let expires = param::param(section, "expires").flatten().and_then(text::seconds);
        let reason = param::param(section, "reason").flatten().map(|reason| text::decode(reason).into_owned());
        Ok(match state.to_ascii_lowercase().as_slice() {
            b"active" => Self::Active(expires),
            b"pending" => Self::Pending(expires),
            b"terminated" => Self::Terminated(reason),
            _ => Self::Other(text::decode(state).into_owned()),
        })
    }

    /// The value to write.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let (word, expires, reason) = match self {
            Self::Active(expires) => ("active", *expires, None),
            Self::Pending(expires) => ("pending", *expires, None),
            Self::Terminated(reason) => ("terminated", None, reason.as_deref()),
            Self::Other(word) => (word.as_str(), None, None),
        };
        let mut out = word.as_bytes().to_vec();
        if let Some(expires) = expires {
            param::push_param(&mut out, "expires", Some(expires.to_string().as_bytes()));
        }
        if let Some(reason) = reason {
            param::push_param(&mut out, "reason", Some(reason.as_bytes()));
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_reads_back() {
        for text in ["refer;id=93809824", "presence.winfo", "dialog"] {
            assert_eq!(Event::parse(text.as_bytes()).unwrap().to_bytes(), text.as_bytes());
        }
        for text in ["active;expires=60", "pending", "terminated;reason=noresource", "terminated", "waiting"] {
            assert_eq!(SubscriptionState::parse(text.as_bytes()).unwrap().to_bytes(), text.as_bytes());
        }
    }

    #[test]
    fn case_and_order_do_not_matter_and_garbage_is_refused() {
        assert_eq!(
            SubscriptionState::parse(b"Terminated ; retry-after=5; reason=timeout"),
            Ok(SubscriptionState::Terminated(Some("timeout".to_owned())))
        );
        assert!(
            Event::parse(b"").is_err() && Event::parse(b"a b").is_err() && SubscriptionState::parse(b";x").is_err()
        );
    }
}
