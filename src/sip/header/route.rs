//! Lists of addresses that requests travel by: Route, Record-Route, Path, Service-Route.
//!
//! Deliberately absent: building a dialog's route set and choosing the next hop. RFC 3261 §20.30, §20.34, §12.1,
//! §16.12; RFC 3327 §4.

use serde::{Deserialize, Serialize};

use super::super::message::{Message, Name};
use super::super::text::BadSyntax;
use super::super::uri::Uri;
use super::address::NameAddr;

/// Addresses in order, kept as written.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Routes(Vec<NameAddr>);

impl Routes {
    /// Reads all lines of a field.
    ///
    /// # Errors
    /// Says what the first bad address breaks.
    pub fn of(message: &Message, name: Name) -> Result<Self, BadSyntax> {
        message.addresses(name).map(|address| address.and_then(checked)).collect::<Result<_, _>>().map(Self)
    }

    /// Reads values already cut at their commas.
    ///
    /// # Errors
    /// Says what the first bad address breaks.
    pub fn parse<'a>(values: impl Iterator<Item = &'a [u8]>) -> Result<Self, BadSyntax> {
        values.map(|value| NameAddr::parse(value).and_then(checked)).collect::<Result<_, _>>().map(Self)
    }

    /// The same addresses from last to first: Record-Route of a response as the caller's route set
    /// (RFC 3261 §12.1.2).
    #[must_use]
    pub fn reversed(mut self) -> Self {
        self.0.reverse();
        self
    }

    /// The addresses.
    #[must_use]
    pub fn as_slice(&self) -> &[NameAddr] {
        &self.0
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The first address.
    #[must_use]
    pub fn first(&self) -> Option<Uri> {
        self.0.first().and_then(|address| address.uri().ok())
    }

    /// The value of one line holding them all; empty when there is none.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        self.0.iter().map(|address| &address.bytes()[..]).collect::<Vec<_>>().join(&b", "[..])
    }
}

fn checked(address: NameAddr) -> Result<NameAddr, BadSyntax> {
    if !address.uri()?.is_sip() {
        return Err(BadSyntax("route is no sip address"));
    }
    Ok(address.detached())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sip::text;

    #[test]
    fn what_is_written_reads_back() {
        let value = b"<sip:a@p1;lr>;x=1, <sip:p2:5070;transport=tcp;lr>";
        let routes = Routes::parse(text::pieces(value, b',')).unwrap();
        assert_eq!(routes.to_bytes(), value);
        assert_eq!(routes.first().unwrap().host_str(), "p1");
        assert_eq!(routes.reversed().to_bytes(), b"<sip:p2:5070;transport=tcp;lr>, <sip:a@p1;lr>;x=1");
        assert!(Routes::default().is_empty() && Routes::default().to_bytes().is_empty());
    }

    #[test]
    fn what_cannot_be_routed_to_is_refused() {
        for value in [&b"<http://x>"[..], b"<sip:a b>", b"<tel:1>", b"\"open"] {
            assert!(Routes::parse([value].into_iter()).is_err());
        }
    }
}
