//! Which transaction a message belongs to.
//!
//! | key | made of | RFC 3261 |
//! |---|---|---|
//! | [`TxKey`] of a request | branch, sent-by, method (an ACK counts as INVITE) | §17.2.3 |
//! | the same, from an element older than RFC 3261 | request-URI, From-tag, Call-ID, CSeq number, topmost Via | §17.2.3 |
//! | [`ClientKey`] of a response | branch, CSeq method | §17.1.3 |
//! | [`MergeKey`] of a request without To-tag | From-tag, Call-ID, CSeq | §8.2.2.2 |
//!
//! The To-tag plays no part in the old key: an ACK has the tag of our answer, which the INVITE had not, and within
//! one dialog the CSeq number tells requests apart.
//!
//! Deliberately absent: tables; the switch and the calls have them.

use std::fmt;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::base::flow::Transport;
use crate::sip::header::via::Via;
use crate::sip::message::{Message, Method};

/// Finds the server transaction of a request.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct TxKey {
    identity: Bytes,
    method: Method,
}

impl TxKey {
    /// The key of a request; `None` for a response.
    #[must_use]
    pub fn of(request: &Message) -> Option<Self> {
        let method = match request.method()? {
            Method::Ack => Method::Invite,
            method => method.clone(),
        };
        let via = request.via();
        let identity = match via.unique_branch() {
            Some(branch) => by_branch(branch, via),
            None => by_fields(request),
        };
        Some(Self { identity: Bytes::from(identity), method })
    }

    /// The key of the INVITE that a CANCEL with this key is about (RFC 3261 §9.2).
    #[must_use]
    pub fn of_invite(&self) -> Self {
        Self { identity: self.identity.clone(), method: Method::Invite }
    }

    /// The method matched on.
    #[must_use]
    pub const fn method(&self) -> &Method {
        &self.method
    }
}

/// The identity is not shown: an old key holds the number dialled.
impl fmt::Debug for TxKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TxKey({}, {} octets)", self.method, self.identity.len())
    }
}

/// Finds the client transaction of a response.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ClientKey {
    branch: Bytes,
    method: Method,
}

impl ClientKey {
    /// The key of a response, or of the request it answers; `None` without a branch.
    #[must_use]
    pub fn of(message: &Message) -> Option<Self> {
        let branch = Bytes::from(message.via().branch()?.to_ascii_lowercase());
        Some(Self { branch, method: message.cseq_method().clone() })
    }
}

/// Tells a request that reached us twice by different ways (482) from a retransmission.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct MergeKey {
    from_tag: Bytes,
    call_id: Bytes,
    cseq: u32,
    method: Method,
}

impl MergeKey {
    /// The key of a request outside any dialog. Two such requests with one merge key and different [`TxKey`]s are
    /// one request, merged. `None` for ACK and CANCEL, for a request with a To-tag, and for one without a From-tag.
    #[must_use]
    pub fn of(request: &Message) -> Option<Self> {
        let method = request.method().filter(|method| !matches!(method, Method::Ack | Method::Cancel))?;
        if request.to_tag().is_some() {
            return None;
        }
        Some(Self {
            from_tag: Bytes::copy_from_slice(request.from_tag()?),
            call_id: Bytes::copy_from_slice(request.call_id()),
            cseq: request.cseq().number,
            method: method.clone(),
        })
    }
}

fn by_branch(branch: &[u8], via: &Via) -> Vec<u8> {
    let mut identity = Vec::with_capacity(branch.len() + via.sent_by().len() + 8);
    identity.push(b'b');
    identity.extend_from_slice(branch);
    identity.push(b'\n');
    identity.extend_from_slice(via.host());
    identity.make_ascii_lowercase();
    let usual = if via.known_transport() == Some(Transport::Tls) { 5061 } else { 5060 };
    identity.push(b'\n');
    identity.extend_from_slice(&via.port().unwrap_or(usual).to_be_bytes());
    identity
}

fn by_fields(request: &Message) -> Vec<u8> {
    let cseq = request.cseq().number.to_be_bytes();
    let parts = [
        request.request_uri().unwrap_or_default(),
        request.from_tag().unwrap_or_default(),
        request.call_id(),
        &cseq,
        request.via().bytes(),
    ];
    let mut identity = vec![b'f'];
    for part in parts {
        identity.extend_from_slice(part);
        identity.push(b'\n');
    }
    identity
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(method: &str, via: &str, to: &str) -> Message {
        let text = format!(
            "{method} sip:12345@127.0.0.1 SIP/2.0\r\nVia: SIP/2.0/UDP {via}\r\nFrom: <sip:a@x>;tag=f\r\nTo: {to}\r\n\
             Call-ID: c\r\nCSeq: 7 {method}\r\nMax-Forwards: 70\r\nContent-Length: 0\r\n\r\n"
        );
        Message::datagram(Bytes::from(text)).unwrap()
    }

    fn key(method: &str, via: &str) -> TxKey {
        TxKey::of(&request(method, via, "<sip:b@y>")).unwrap()
    }

    #[test]
    fn rfc3261_s17_2_3_branch_sent_by_and_method_make_the_key() {
        let invite = key("INVITE", "h.example;branch=z9hG4bKa");
        assert_eq!(invite, key("INVITE", "H.EXAMPLE:5060;rport;branch=Z9hG4bKA"));
        assert_ne!(invite, key("INVITE", "h.example:5070;branch=z9hG4bKa"));
        assert_ne!(invite, key("INVITE", "other.example;branch=z9hG4bKa"));
        assert_ne!(invite, key("BYE", "h.example;branch=z9hG4bKa"));
    }

    #[test]
    fn rfc3261_s17_2_3_an_ack_matches_its_invite_and_a_cancel_is_its_own() {
        let via = "h.example;branch=z9hG4bKa";
        assert_eq!(key("ACK", via), key("INVITE", via));
        assert_ne!(key("CANCEL", via), key("INVITE", via));
        assert_eq!(key("CANCEL", via).of_invite(), key("INVITE", via));
    }

    #[test]
    fn rfc3261_s17_2_3_without_the_cookie_the_old_fields_match() {
        for via in ["h.example", "h.example;branch=1", "h.example;branch=z9hG4bK"] {
            let invite = TxKey::of(&request("INVITE", via, "<sip:b@y>")).unwrap();
            let ack = TxKey::of(&request("ACK", via, "<sip:b@y>;tag=ours")).unwrap();
            assert_eq!(invite, ack, "{via}");
            assert_ne!(invite, key("INVITE", "other.example"));
        }
    }

    #[test]
    fn rfc3261_s17_1_3_a_response_is_found_by_branch_and_cseq_method() {
        let cancel = request("CANCEL", "h.example;branch=z9hG4bKa", "<sip:b@y>");
        let answer = crate::sip::print::Draft::response(&cancel, 200, None).finish();
        assert_eq!(ClientKey::of(&answer), ClientKey::of(&cancel));
        let invite = request("INVITE", "h.example;branch=z9hG4bKa", "<sip:b@y>");
        assert_ne!(ClientKey::of(&answer), ClientKey::of(&invite));
    }

    #[test]
    fn rfc3261_s8_2_2_2_merged_requests_share_a_key() {
        let one = request("INVITE", "h.example;branch=z9hG4bKa", "<sip:b@y>");
        let two = request("INVITE", "h.example;branch=z9hG4bKb", "<sip:b@y>");
        assert!(MergeKey::of(&one).is_some() && MergeKey::of(&one) == MergeKey::of(&two));
        assert_ne!(TxKey::of(&one), TxKey::of(&two));
        assert_eq!(MergeKey::of(&request("INVITE", "h;branch=z9hG4bKa", "<sip:b@y>;tag=t")), None);
        assert_eq!(MergeKey::of(&request("ACK", "h;branch=z9hG4bKa", "<sip:b@y>")), None);
    }

    #[test]
    fn a_key_shows_no_number() {
        assert!(!format!("{:?}", key("INVITE", "h.example")).contains("12345"));
    }
}
