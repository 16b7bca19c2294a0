//! The method of a request.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A SIP method; compared by case (RFC 3261 §7.1).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Method {
    /// RFC 3261 §13.
    Invite,
    /// RFC 3261 §13.2.2.4.
    Ack,
    /// RFC 3261 §9.
    Cancel,
    /// RFC 3261 §15.
    Bye,
    /// RFC 3261 §11.
    Options,
    /// RFC 3261 §10.
    Register,
    /// RFC 3515.
    Refer,
    /// RFC 6665.
    Notify,
    /// RFC 6665.
    Subscribe,
    /// RFC 6086.
    Info,
    /// RFC 3262.
    Prack,
    /// RFC 3311.
    Update,
    /// RFC 3428.
    Message,
    /// RFC 3903.
    Publish,
    /// A method this engine does not know.
    Other(Arc<str>),
}

impl Method {
    /// Every method known by name.
    pub const KNOWN: [Self; 14] = [
        Self::Invite,
        Self::Ack,
        Self::Cancel,
        Self::Bye,
        Self::Options,
        Self::Register,
        Self::Refer,
        Self::Notify,
        Self::Subscribe,
        Self::Info,
        Self::Prack,
        Self::Update,
        Self::Message,
        Self::Publish,
    ];

    /// Reads a method; `None` when the bytes are no token.
    #[must_use]
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        Some(match bytes {
            b"INVITE" => Self::Invite,
            b"ACK" => Self::Ack,
            b"CANCEL" => Self::Cancel,
            b"BYE" => Self::Bye,
            b"OPTIONS" => Self::Options,
            b"REGISTER" => Self::Register,
            b"REFER" => Self::Refer,
            b"NOTIFY" => Self::Notify,
            b"SUBSCRIBE" => Self::Subscribe,
            b"INFO" => Self::Info,
            b"PRACK" => Self::Prack,
            b"UPDATE" => Self::Update,
            b"MESSAGE" => Self::Message,
            b"PUBLISH" => Self::Publish,
            other if super::super::text::is_token(other) => Self::Other(Arc::from(std::str::from_utf8(other).ok()?)),
            _ => return None,
        })
    }

    /// The word on the wire.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::Invite => "INVITE",
            Self::Ack => "ACK",
            Self::Cancel => "CANCEL",
            Self::Bye => "BYE",
            Self::Options => "OPTIONS",
            Self::Register => "REGISTER",
            Self::Refer => "REFER",
            Self::Notify => "NOTIFY",
            Self::Subscribe => "SUBSCRIBE",
            Self::Info => "INFO",
            Self::Prack => "PRACK",
            Self::Update => "UPDATE",
            Self::Message => "MESSAGE",
            Self::Publish => "PUBLISH",
            Self::Other(word) => word,
        }
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for Method {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for Method {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let word = String::deserialize(deserializer)?;
        Self::parse(word.as_bytes()).ok_or_else(|| serde::de::Error::custom("not a method"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_known_method_reads_back() {
        for method in Method::KNOWN {
            assert_eq!(Method::parse(method.as_str().as_bytes()), Some(method.clone()));
        }
    }

    #[test]
    fn methods_are_compared_by_case_and_must_be_tokens() {
        assert_eq!(Method::parse(b"invite"), Some(Method::Other(Arc::from("invite"))));
        assert_eq!(Method::parse(b"IN VITE"), None);
        assert_eq!(Method::parse(b""), None);
    }
}
