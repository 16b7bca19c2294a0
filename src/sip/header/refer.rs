//! Transfers: `Replaces`, `Target-Dialog`, and what the address of a Refer-To says.
//!
//! Deliberately absent: the transfer itself. RFC 3515 §2.1, RFC 3891 §6.1, RFC 4538 §7, RFC 5589.

use serde::{Deserialize, Serialize};

use super::super::message::Method;
use super::super::text::{self, BadSyntax};
use super::super::uri::{self, Uri};
use super::address::NameAddr;
use super::param;

/// A dialog named from outside: by Call-ID and both tags as its receiver sees them.
#[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Replaces {
    /// Call-ID.
    pub call_id: Vec<u8>,
    /// The tag that is local to the element asked to replace.
    pub to_tag: Vec<u8>,
    /// The tag that is remote to it.
    pub from_tag: Vec<u8>,
    /// Whether only a dialog not yet confirmed may be replaced.
    pub early_only: bool,
}

impl Replaces {
    /// Reads a value.
    ///
    /// # Errors
    /// When the Call-ID or a tag is missing or given twice (RFC 3891 §3).
    pub fn parse(value: &[u8]) -> Result<Self, BadSyntax> {
        Self::with_tags(value, "to-tag", "from-tag")
    }

    /// Reads a Target-Dialog, whose `remote-tag` and `local-tag` are as its sender sees them: local to the receiver
    /// is the remote one (RFC 4538 §7).
    ///
    /// # Errors
    /// As [`Replaces::parse`].
    pub fn parse_target_dialog(value: &[u8]) -> Result<Self, BadSyntax> {
        Self::with_tags(value, "remote-tag", "local-tag")
    }

    fn with_tags(value: &[u8], to: &str, from: &str) -> Result<Self, BadSyntax> {
        let (call_id, section) = text::split_once(value, b';').ok_or(BadSyntax("no tags"))?;
        let call_id = text::trim(call_id);
        if call_id.is_empty() || call_id.iter().any(|byte| text::is_space(*byte)) {
            return Err(BadSyntax("bad Call-ID"));
        }
        let tag = |name: &str| {
            let mut found = param::params(section).filter(|param| param.name.eq_ignore_ascii_case(name.as_bytes()));
            match (found.next().and_then(|param| param.value), found.next()) {
                (Some(tag), None) if text::is_token(tag) => Ok(tag.to_vec()),
                _ => Err(BadSyntax("bad tag")),
            }
        };
        let early_only = param::param(section, "early-only").is_some();
        Ok(Self { call_id: call_id.to_vec(), to_tag: tag(to)?, from_tag: tag(from)?, early_only })
    }

    /// The value to write.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = self.call_id.clone();
        param::push_param(&mut out, "to-tag", Some(&self.to_tag));
        param::push_param(&mut out, "from-tag", Some(&self.from_tag));
        if self.early_only {
            param::push_param(&mut out, "early-only", None);
        }
        out
    }

    /// The value escaped to stand in an address: `<sip:b@h?Replaces=...>`.
    #[must_use]
    pub fn to_escaped(&self) -> Vec<u8> {
        let mut out = Vec::new();
        text::percent_encode_into(&mut out, &self.to_bytes(), uri::is_header_byte);
        out
    }
}

impl std::fmt::Debug for Replaces {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&text::decode(&self.to_bytes()))
    }
}

/// What a Refer-To asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReferTo {
    /// The value.
    pub address: NameAddr,
    /// The address to request, without embedded headers and without `method`.
    pub target: Uri,
    /// The method to request.
    pub method: Method,
    /// The dialog to replace: present in an attended transfer.
    pub replaces: Option<Replaces>,
}

impl ReferTo {
    /// Reads a value.
    ///
    /// # Errors
    /// Says what the value breaks.
    pub fn parse(value: &[u8]) -> Result<Self, BadSyntax> {
        let address = NameAddr::parse(value)?;
        let uri = address.uri()?;
        let method = match uri.param("method").flatten() {
            Some(method) => Method::parse(method).ok_or(BadSyntax("bad method in address"))?,
            None => Method::Invite,
        };
        let replaces = uri.header("Replaces").map(|value| Replaces::parse(&value)).transpose()?;
        Ok(Self { target: uri.without_headers().without_param("method"), address, method, replaces })
    }

    /// Composes the value for a target, with or without a dialog to replace.
    #[must_use]
    pub fn compose(target: &Uri, replaces: Option<&Replaces>) -> Vec<u8> {
        let mut out = b"<".to_vec();
        out.extend(target.without_headers().as_bytes());
        if let Some(replaces) = replaces {
            out.extend(b"?Replaces=");
            out.extend(replaces.to_escaped());
        }
        out.push(b'>');
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_reads_back() {
        let value = b"12adf2f34456gs5@h;to-tag=12345;from-tag=54321;early-only";
        let replaces = Replaces::parse(value).unwrap();
        assert_eq!((&replaces.call_id[..], &replaces.to_tag[..]), (&b"12adf2f34456gs5@h"[..], &b"12345"[..]));
        assert_eq!((&replaces.from_tag[..], replaces.early_only), (&b"54321"[..], true));
        assert_eq!(replaces.to_bytes(), value);
        let swapped = Replaces::parse(b"a;from-tag=1;to-tag=2").unwrap();
        assert_eq!(Replaces::parse(&swapped.to_bytes()).unwrap(), swapped);
    }

    #[test]
    fn a_tag_missing_or_twice_is_refused() {
        for value in
            ["a", "a;to-tag=1", "a;to-tag=1;from-tag=2;to-tag=3", ";to-tag=1;from-tag=2", "a;to-tag;from-tag=1"]
        {
            assert!(Replaces::parse(value.as_bytes()).is_err(), "{value}");
        }
    }

    #[test]
    fn a_refer_to_carries_the_dialog_to_replace_escaped() {
        let target: Uri = "sip:1002@10.0.0.2:5080;transport=tcp".parse().unwrap();
        let replaces = Replaces::parse(b"a@b;to-tag=1;from-tag=2").unwrap();
        let value = ReferTo::compose(&target, Some(&replaces));
        assert_eq!(value, b"<sip:1002@10.0.0.2:5080;transport=tcp?Replaces=a%40b%3Bto-tag%3D1%3Bfrom-tag%3D2>");
        let read = ReferTo::parse(&value).unwrap();
        assert_eq!((read.target, read.method, read.replaces), (target, Method::Invite, Some(replaces)));
    }

    #[test]
    fn a_refer_to_may_name_a_method_or_a_telephone() {
        let bye = ReferTo::parse(b"\"x\" <sip:a@h;method=BYE;lr>").unwrap();
        assert_eq!((bye.method, bye.target.to_string()), (Method::Bye, "sip:a@h;lr".to_owned()));
        assert_eq!(ReferTo::parse(b"tel:110").unwrap().target.dialled().as_deref(), Some("110"));
        assert!(ReferTo::parse(b"<sip:a@h?Replaces=x>").is_err());
    }

    #[test]
    fn a_target_dialog_is_seen_from_the_other_side() {
        let target = Replaces::parse_target_dialog(b"fa77@h;local-tag=kkaz;remote-tag=6544").unwrap();
        assert_eq!((&target.to_tag[..], &target.from_tag[..]), (&b"6544"[..], &b"kkaz"[..]));
    }
}
