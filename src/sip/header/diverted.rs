//! How a call came to be diverted: `Diversion` and `History-Info`.
//!
//! Deliberately absent: which of them to believe. RFC 5806 §4, RFC 7044 §5 (indices, embedded Reason and Privacy),
//! RFC 7544 (the two beside each other).
//!
//! Limit: an index has at most [`DEPTH_MAX`] levels.

use std::borrow::Cow;

use super::super::message::{Message, Name};
use super::super::text::{self, BadSyntax};
use super::super::uri::{self, Uri};
use super::address::NameAddr;
use super::identity::Privacy;
use super::param;
use super::reason::Reason;

/// Most levels of an index that are read.
pub const DEPTH_MAX: usize = 16;

/// One diversion: who diverted, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diversion(pub NameAddr);

impl Diversion {
    /// The diversions of a message, the latest first, unreadable ones passed over.
    pub fn of(message: &Message) -> impl Iterator<Item = Self> {
        message.addresses(Name::Diversion).flatten().map(Self)
    }

    /// Composes a value.
    #[must_use]
    pub fn compose(from: &Uri, reason: &str, counter: u32) -> Self {
        let counter = counter.to_string();
        let params = [("reason", Some(reason.as_bytes())), ("counter", Some(counter.as_bytes()))];
        Self(NameAddr::compose(None, from.as_bytes(), &params))
    }

    /// The reason in lower case: `unconditional`, `user-busy`, `no-answer`, `deflection`.
    #[must_use]
    pub fn reason(&self) -> Option<String> {
        let reason = self.0.param("reason").flatten()?;
        Some(text::decode(&text::unquote(reason)).to_ascii_lowercase())
    }

    /// How many diversions this one stands for; 1 when not said (RFC 5806 §4).
    #[must_use]
    pub fn counter(&self) -> u32 {
        self.0.param("counter").flatten().and_then(text::seconds).unwrap_or(1)
    }

    /// Whether the diverting party is to be hidden.
    #[must_use]
    pub fn is_private(&self) -> bool {
        self.0.param("privacy").flatten().is_some_and(|value| !text::unquote(value).eq_ignore_ascii_case(b"off"))
    }

    /// The value to write.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        self.0.bytes().to_vec()
    }
}

/// One address a request was sent to, and its place in the tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HistoryEntry {
    /// The value as written.
    pub address: NameAddr,
    /// The index: `1.2.1` as `[1, 2, 1]`.
    pub index: Vec<u32>,
}

impl HistoryEntry {
    /// Reads one value (no list).
    ///
    /// # Errors
    /// When the address or the index cannot be read.
    pub fn parse(value: &[u8]) -> Result<Self, BadSyntax> {
        let address = NameAddr::parse(value)?;
        address.uri()?;
        let index = address.param("index").flatten().ok_or(BadSyntax("entry without index"))?;
        let index: Vec<u32> = index
            .split(|byte| *byte == b'.')
            .take(DEPTH_MAX + 1)
            .map(|level| text::number(level).and_then(|level| u32::try_from(level).ok()).ok_or(BadSyntax("bad index")))
            .collect::<Result<_, _>>()?;
        if index.len() > DEPTH_MAX {
            return Err(BadSyntax("index too deep"));
        }
        Ok(Self { address, index })
    }

    /// The entries of a message in order, unreadable ones passed over.
    pub fn of(message: &Message) -> impl Iterator<Item = Self> {
        message.values(Name::HistoryInfo).filter_map(|value| Self::parse(value).ok())
    }

    /// Composes an entry; a reason goes into the address as an embedded header.
    #[must_use]
    pub fn compose(target: &Uri, index: &[u32], reason: Option<&Reason>) -> Self {
        let mut address = target.without_headers().as_bytes().to_vec();
        if let Some(reason) = reason {
            address.extend(b"?Reason=");
            text::percent_encode_into(&mut address, &reason.to_bytes(), uri::is_header_byte);
        }
        let dotted = index.iter().map(u32::to_string).collect::<Vec<_>>().join(".");
        let address = NameAddr::compose(None, &address, &[("index", Some(dotted.as_bytes()))]);
        Self { address, index: index.to_vec() }
    }

    /// The address without embedded headers.
    ///
    /// # Errors
    /// Says what the address breaks.
    pub fn target(&self) -> Result<Uri, BadSyntax> {
        self.address.uri().map(|uri| uri.without_headers())
    }

    /// The embedded reasons: why the request went on from here.
    #[must_use]
    pub fn reasons(&self) -> Vec<Reason> {
        let Some(value) = self.embedded("Reason") else { return Vec::new() };
        text::pieces(&value, b',').filter_map(|piece| Reason::parse(piece).ok()).collect()
    }

    /// The embedded privacy.
    #[must_use]
    pub fn privacy(&self) -> Privacy {
        self.embedded("Privacy").and_then(|value| Privacy::parse(&value).ok()).unwrap_or_default()
    }

    /// The `cause` of the address (RFC 4458 §2.1): 302 unconditional, 486 busy, 408 no answer.
    #[must_use]
    pub fn cause(&self) -> Option<u16> {
        let uri = self.address.uri().ok()?;
        let cause = uri.param("cause").flatten().and_then(text::number)?;
        u16::try_from(cause).ok()
    }

    /// The value to write.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        self.address.bytes().to_vec()
    }

    fn embedded(&self, name: &str) -> Option<Vec<u8>> {
        self.address.uri().ok()?.header(name).map(Cow::into_owned)
    }
}

/// Writes a parameter list onto a history value: the `rc`, `mp` or `np` of RFC 7044 §5.
#[must_use]
pub fn with_target_param(entry: &HistoryEntry, kind: &str, index: &[u32]) -> Vec<u8> {
    let mut out = entry.to_bytes();
    let dotted = index.iter().map(u32::to_string).collect::<Vec<_>>().join(".");
    param::push_param(&mut out, kind, Some(dotted.as_bytes()));
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sip::message::Method;
    use crate::sip::print::Draft;

    #[test]
    fn a_diversion_reads_back() {
        let from: Uri = "tel:+864768337772".parse().unwrap();
        let composed = Diversion::compose(&from, "no-answer", 2);
        assert_eq!(composed.to_bytes(), b"<tel:+864768337772>;reason=no-answer;counter=2");
        let read = Diversion(NameAddr::parse(&composed.to_bytes()).unwrap());
        assert_eq!((read.reason().as_deref(), read.counter(), read.is_private()), (Some("no-answer"), 2, false));
        let carrier = Diversion(
            NameAddr::parse(b"\"\xb3\xe0\xb7\xe5\" <sip:12345@h>;Reason=\"Unconditional\";privacy=full").unwrap(),
        );
        assert_eq!(
            (carrier.reason().as_deref(), carrier.counter(), carrier.is_private()),
            (Some("unconditional"), 1, true)
        );
    }

    #[test]
    fn history_reads_back_with_embedded_headers() {
        let target: Uri = "sip:12345@cf.gov.cn;cause=302".parse().unwrap();
        let entry = HistoryEntry::compose(&target, &[1, 2], Some(&Reason::sip(302, "Moved, \"far\"")));
        let read = HistoryEntry::parse(&entry.to_bytes()).unwrap();
        assert_eq!(read, entry);
        assert_eq!((read.index.as_slice(), read.cause()), (&[1, 2][..], Some(302)));
        assert_eq!(read.reasons(), [Reason::sip(302, "Moved, \"far\"")]);
        assert_eq!(read.target().unwrap(), target);
        assert!(with_target_param(&read, "rc", &[1]).ends_with(b";index=1.2;rc=1"));
    }

    #[test]
    fn entries_come_in_order_from_lines_and_lists() {
        let message = Draft::request(&Method::Invite, b"sip:h")
            .header(
                Name::HistoryInfo,
                "<sip:a@h?Privacy=history&Reason=SIP%3Bcause%3D486>;index=1, <sip:b@h>;index=1.1",
            )
            .header(Name::HistoryInfo, "<sip:c@h>;index=1.2;mp=1, <sip:no-index@h>, \"open")
            .header(Name::Diversion, "<sip:x@h>;reason=user-busy, <sip:y@h>;reason=deflection")
            .finish();
        let entries: Vec<_> = HistoryEntry::of(&message).collect();
        assert_eq!(
            entries.iter().map(|entry| entry.index.clone()).collect::<Vec<_>>(),
            [vec![1], vec![1, 1], vec![1, 2]]
        );
        assert!(entries[0].privacy().history && entries[0].reasons()[0].cause == Some(486));
        let reasons: Vec<_> = Diversion::of(&message).filter_map(|diversion| diversion.reason()).collect();
        assert_eq!(reasons, ["user-busy", "deflection"]);
    }

    #[test]
    fn an_index_has_a_bound() {
        let deep = |levels: usize| format!("<sip:a@h>;index={}", vec!["1"; levels].join("."));
        assert!(HistoryEntry::parse(deep(DEPTH_MAX).as_bytes()).is_ok());
        assert!(HistoryEntry::parse(deep(DEPTH_MAX + 1).as_bytes()).is_err());
        assert!(HistoryEntry::parse(b"<sip:a@h>;index=1..2").is_err());
    }
}
