//! Keep-alives that come as datagrams between SIP messages: a STUN Binding request gets its answer.
//!
//! A phone behind a NAT sends them so that its way back stays open; one that registered its flow over UDP takes silence
//! for a dead flow (RFC 5626 §4.4.2, §8). Deliberately absent: every other use of STUN, requests with attributes that
//! must be understood (dropped), bare line ends (`engine/net` drops them). RFC 8489 §5, §14.2.

use std::net::{IpAddr, SocketAddr};

use bytes::Bytes;

const BINDING_REQUEST: [u8; 2] = [0x00, 0x01];
const BINDING_ANSWER: [u8; 2] = [0x01, 0x01];
const XOR_MAPPED_ADDRESS: [u8; 2] = [0x00, 0x20];
const COOKIE: [u8; 4] = [0x21, 0x12, 0xa4, 0x42];

/// What a datagram is, beside SIP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeepAlive {
    /// Nothing is to be sent.
    Unanswered,
    /// This is the answer.
    Answer(Bytes),
}

impl KeepAlive {
    /// Reads a datagram from `source`; `None` when it is no keep-alive.
    #[must_use]
    pub fn of(datagram: &[u8], source: SocketAddr) -> Option<Self> {
        let (head, attributes) = datagram.split_at_checked(20)?;
        let (kind, rest) = head.split_first_chunk::<2>()?;
        let (length, rest) = rest.split_first_chunk::<2>()?;
        let (cookie, transaction) = rest.split_first_chunk::<4>()?;
        let fits = usize::from(u16::from_be_bytes(*length)) == attributes.len();
        if *kind != BINDING_REQUEST || *cookie != COOKIE || !fits {
            return None;
        }
        if !is_optional(attributes) {
            return Some(Self::Unanswered);
        }
        Some(Self::Answer(answer(transaction, source)))
    }
}

/// Whether every attribute may be left unread (its type has the first bit set).
fn is_optional(mut attributes: &[u8]) -> bool {
    while let Some((head, rest)) = attributes.split_first_chunk::<4>() {
        let [high, _, length @ ..] = *head;
        let padded = usize::from(u16::from_be_bytes(length)).next_multiple_of(4);
        match rest.get(padded..) {
            Some(rest) if high & 0x80 != 0 => attributes = rest,
            _ => return false,
        }
    }
    attributes.is_empty()
}

fn answer(transaction: &[u8], source: SocketAddr) -> Bytes {
    let mask = COOKIE.iter().chain(transaction).copied();
    let (family, address) = match source.ip().to_canonical() {
        IpAddr::V4(v4) => (1, v4.octets().to_vec()),
        IpAddr::V6(v6) => (2, v6.octets().to_vec()),
    };
    let mut value = vec![0, family];
    value.extend(source.port().to_be_bytes().iter().zip(COOKIE).map(|(byte, mask)| byte ^ mask));
    value.extend(address.iter().zip(mask).map(|(byte, mask)| byte ^ mask));
    // A family, a port and an address: 8 or 20 octets.
    let length = value.len() as u16;
    let mut out = BINDING_ANSWER.to_vec();
    out.extend((length + 4).to_be_bytes());
    out.extend(COOKIE);
    out.extend(transaction);
    out.extend(XOR_MAPPED_ADDRESS);
    out.extend(length.to_be_bytes());
    out.extend(value);
    Bytes::from(out)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// RFC 5769 §2.1.
    const TRANSACTION: [u8; 12] = [0xb7, 0xe7, 0xa7, 0x01, 0xbc, 0x34, 0xd6, 0x86, 0xfa, 0x87, 0xdf, 0xae];

    fn request(attributes: &[u8]) -> Vec<u8> {
        let length = (attributes.len() as u16).to_be_bytes();
        [&BINDING_REQUEST[..], &length, &COOKIE, &TRANSACTION, attributes].concat()
    }

    fn answered(datagram: &[u8], source: &str) -> Option<Vec<u8>> {
        match KeepAlive::of(datagram, source.parse().unwrap())? {
            KeepAlive::Answer(bytes) => Some(bytes.to_vec()),
            KeepAlive::Unanswered => None,
        }
    }

    #[test]
    fn rfc5769_s2_2_the_address_is_told_as_the_example_has_it() {
        let answer = answered(&request(&[]), "192.0.2.1:32853").unwrap();
        assert_eq!(answer[..8], [0x01, 0x01, 0x00, 0x0c, 0x21, 0x12, 0xa4, 0x42]);
        assert_eq!(answer[8..20], TRANSACTION);
        assert_eq!(answer[20..], [0x00, 0x20, 0x00, 0x08, 0x00, 0x01, 0xa1, 0x47, 0xe1, 0x12, 0xa6, 0x43]);
    }

    #[test]
    fn rfc5769_s2_3_and_an_ipv6_one() {
        let answer = answered(&request(&[]), "[2001:db8:1234:5678:11:2233:4455:6677]:32853").unwrap();
        let expected = [
            0x00, 0x20, 0x00, 0x14, 0x00, 0x02, 0xa1, 0x47, 0x01, 0x13, 0xa9, 0xfa, 0xa5, 0xd3, 0xf1, 0x79, 0xbc, 0x25,
            0xf4, 0xb5, 0xbe, 0xd2, 0xb9, 0xd9,
        ];
        assert_eq!(answer[20..], expected);
    }

    #[test]
    fn what_is_no_keep_alive_is_left_to_others() {
        let source = "192.0.2.1:5060".parse().unwrap();
        let mut answer = request(&[]);
        answer[0] = 1;
        let mut elsewhere = request(&[]);
        elsewhere[5] = 0;
        let short = &request(&[])[..19];
        for datagram in [&answer[..], &elsewhere, short, b"OPTIONS sip:h SIP/2.0\r\n\r\n", b"\r\n\r\n", b""] {
            assert_eq!(KeepAlive::of(datagram, source), None);
        }
    }

    #[test]
    fn attributes_that_may_be_ignored_are_and_others_draw_no_answer() {
        let software = [0x80, 0x22, 0x00, 0x02, b'x', b'y', 0, 0];
        assert!(answered(&request(&software), "192.0.2.1:5060").is_some());
        let username = [0x00, 0x06, 0x00, 0x02, b'x', b'y', 0, 0];
        assert!(answered(&request(&username), "192.0.2.1:5060").is_none());
        assert!(answered(&request(&software[..6]), "192.0.2.1:5060").is_none());
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_panic_and_never_answered_longer_than_twice(bytes: Vec<u8>, tail: Vec<u8>) {
            let source = "192.0.2.1:5060".parse().unwrap();
            for datagram in [bytes, request(&tail)] {
                if let Some(KeepAlive::Answer(answer)) = KeepAlive::of(&datagram, source) {
                    prop_assert!(answer.len() <= datagram.len() * 2);
                }
            }
        }
    }
}
