//! Branches and tags that name their call and leg, with a check value, so that any message finds its way back.
//!
//! A token is 28 bytes in base 32 (Crockford, lower case, 45 characters): 16 bytes of [`CallId`], 2 of [`LegId`],
//! 4 of a counter, 6 of check value. The check value is SHA-256 over secret, kind and the 22 bytes before it, cut to
//! 48 bits: the input has one length only, so a plain prefix key is sound, and it costs one compression.
//! A branch never reads as a tag, because the kind is part of the check. What the switch does outside any call has
//! kinds of its own, with a number where calls have their names.
//!
//! Deliberately absent: a random source (the secret comes in) and any table of tokens given out.
//! RFC 3261 §8.1.1.7 (branch), §19.3 (tags: unique, at least 32 random bits; the check value supplies them).

use std::fmt;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use crate::base::id::{CallId, LegId, Ulid};

/// The cookie of every RFC 3261 branch (§8.1.1.7).
pub const MAGIC_COOKIE: &str = "z9hG4bK";

const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
const NAMED_BYTES: usize = 22;
const CHECK_BYTES: usize = 6;
const TOKEN_BYTES: usize = NAMED_BYTES + CHECK_BYTES;
/// 28 bytes are 224 bits: 45 digits of 5 bits with one bit of padding.
const TOKEN_CHARS: usize = 45;

#[derive(Clone, Copy)]
enum Kind {
    Branch = 1,
    Tag = 2,
    SipCallId = 3,
    Nonce = 4,
    OwnBranch = 5,
    OwnTag = 6,
    OwnName = 7,
}

/// The engine's secret for check values; never shown.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct TokenKey([u8; 16]);

impl fmt::Debug for TokenKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenKey(…)")
    }
}

impl TokenKey {
    /// Wraps 16 secret bytes.
    #[must_use]
    pub const fn new(secret: [u8; 16]) -> Self {
        Self(secret)
    }

    /// The branch number `n` of a leg, cookie included. Each client transaction needs a fresh `n`.
    #[must_use]
    pub fn branch(&self, call: CallId, leg: LegId, n: u32) -> String {
        self.token(MAGIC_COOKIE, Kind::Branch, call, leg, n)
    }

    /// The local tag number `n` of a leg.
    #[must_use]
    pub fn tag(&self, call: CallId, leg: LegId, n: u32) -> String {
        self.token("", Kind::Tag, call, leg, n)
    }

    /// A Call-ID header value for a dialog we begin.
    #[must_use]
    pub fn sip_call_id(&self, call: CallId, leg: LegId, n: u32) -> String {
        self.token("", Kind::SipCallId, call, leg, n)
    }

    /// A client nonce for digest answers.
    #[must_use]
    pub fn cnonce(&self, call: CallId, leg: LegId, n: u32) -> String {
        self.token("", Kind::Nonce, call, leg, n)
    }

    /// The call and leg a branch was minted for; `None` when it is not ours.
    #[must_use]
    pub fn read_branch(&self, branch: &[u8]) -> Option<(CallId, LegId)> {
        let (cookie, token) = branch.split_at_checked(MAGIC_COOKIE.len())?;
        if !cookie.eq_ignore_ascii_case(MAGIC_COOKIE.as_bytes()) {
            return None;
        }
        self.read(Kind::Branch, token)
    }

    /// The call and leg a local tag was minted for; `None` when it is not ours.
    #[must_use]
    pub fn read_tag(&self, tag: &[u8]) -> Option<(CallId, LegId)> {
        self.read(Kind::Tag, tag)
    }

    /// The branch of the switch's own transaction number `n`, cookie included.
    #[must_use]
    pub fn own_branch(&self, n: u64) -> String {
        self.own(MAGIC_COOKIE, Kind::OwnBranch, n)
    }

    /// The local tag of the switch's own dialog number `n`.
    #[must_use]
    pub fn own_tag(&self, n: u64) -> String {
        self.own("", Kind::OwnTag, n)
    }

    /// A name for whatever else the switch's own number `n` needs: Call-ID, From-tag, client nonce.
    #[must_use]
    pub fn own_name(&self, n: u64) -> String {
        self.own("", Kind::OwnName, n)
    }

    /// The number of the switch's own transaction; `None` when the branch is a leg's, or none of ours.
    #[must_use]
    pub fn read_own_branch(&self, branch: &[u8]) -> Option<u64> {
        let (cookie, token) = branch.split_at_checked(MAGIC_COOKIE.len())?;
        let ours = cookie.eq_ignore_ascii_case(MAGIC_COOKIE.as_bytes());
        ours.then(|| self.read_own(Kind::OwnBranch, token)).flatten()
    }

    /// The number of the switch's own dialog; `None` when the tag is a leg's, or none of ours.
    #[must_use]
    pub fn read_own_tag(&self, tag: &[u8]) -> Option<u64> {
        self.read_own(Kind::OwnTag, tag)
    }

    fn own(&self, prefix: &str, kind: Kind, n: u64) -> String {
        self.token(prefix, kind, CallId(Ulid::from_bits(u128::from(n))), LegId(0), 0)
    }

    fn read_own(&self, kind: Kind, token: &[u8]) -> Option<u64> {
        self.read(kind, token).and_then(|(number, _)| u64::try_from(number.0.bits()).ok())
    }

    fn token(&self, prefix: &str, kind: Kind, call: CallId, leg: LegId, n: u32) -> String {
        let mut bytes = Vec::with_capacity(TOKEN_BYTES);
        bytes.extend_from_slice(&call.0.bits().to_be_bytes());
        bytes.extend_from_slice(&leg.0.to_be_bytes());
        bytes.extend_from_slice(&n.to_be_bytes());
        let check = self.check(kind, &bytes);
        bytes.extend_from_slice(&check);
        let mut text = String::with_capacity(prefix.len() + TOKEN_CHARS);
        text.push_str(prefix);
        encode(&bytes, &mut text);
        text
    }

    fn read(&self, kind: Kind, token: &[u8]) -> Option<(CallId, LegId)> {
        let bytes = decode(token)?;
        let (named, check) = bytes.split_at_checked(NAMED_BYTES)?;
        if !bool::from(self.check(kind, named).ct_eq(check)) {
            return None;
        }
        let (call, rest) = named.split_first_chunk::<16>()?;
        let (leg, _) = rest.split_first_chunk::<2>()?;
        let call = CallId(Ulid::from_bits(u128::from_be_bytes(*call)));
        Some((call, LegId(u16::from_be_bytes(*leg))))
    }

    fn check(&self, kind: Kind, named: &[u8]) -> [u8; CHECK_BYTES] {
        let full = Sha256::new().chain_update(self.0).chain_update([kind as u8]).chain_update(named).finalize();
        let mut check = [0; CHECK_BYTES];
        for (to, from) in check.iter_mut().zip(full) {
            *to = from;
        }
        check
    }
}

/// Mints one leg's branches and tags, each once.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Minter {
    key: TokenKey,
    call: CallId,
    leg: LegId,
    counter: u32,
}

impl Minter {
    /// Begins at zero for a leg that has minted nothing yet.
    #[must_use]
    pub const fn new(key: TokenKey, call: CallId, leg: LegId) -> Self {
        Self { key, call, leg, counter: 0 }
    }

    /// A fresh branch.
    pub fn branch(&mut self) -> String {
        let n = self.next();
        self.key.branch(self.call, self.leg, n)
    }

    /// A fresh local tag.
    pub fn tag(&mut self) -> String {
        let n = self.next();
        self.key.tag(self.call, self.leg, n)
    }

    /// A fresh Call-ID header value.
    pub fn sip_call_id(&mut self) -> String {
        let n = self.next();
        self.key.sip_call_id(self.call, self.leg, n)
    }

    /// A fresh client nonce.
    pub fn cnonce(&mut self) -> String {
        let n = self.next();
        self.key.cnonce(self.call, self.leg, n)
    }

    const fn next(&mut self) -> u32 {
        let n = self.counter;
        self.counter = self.counter.wrapping_add(1);
        n
    }
}

fn encode(bytes: &[u8], text: &mut String) {
    let mut held = 0_u32;
    let mut bits = 0;
    for byte in bytes {
        held = (held << 8) | u32::from(*byte);
        bits += 8;
        while bits >= 5 {
            bits -= 5;
            push_digit(held >> bits, text);
        }
        held &= (1 << bits) - 1;
    }
    if bits > 0 {
        push_digit(held << (5 - bits), text);
    }
}

fn push_digit(value: u32, text: &mut String) {
    let digit = ALPHABET.get((value & 31) as usize).copied().unwrap_or(b'0');
    text.push(char::from(digit));
}

fn decode(text: &[u8]) -> Option<Vec<u8>> {
    if text.len() != TOKEN_CHARS {
        return None;
    }
    let mut bytes = Vec::with_capacity(TOKEN_BYTES);
    let mut held = 0_u32;
    let mut bits = 0;
    for symbol in text {
        let digit = digit_value(symbol.to_ascii_lowercase())?;
        held = (held << 5) | digit;
        bits += 5;
        if bits >= 8 {
            bits -= 8;
            bytes.push((held >> bits & 0xff) as u8);
            held &= (1 << bits) - 1;
        }
    }
    (bytes.len() == TOKEN_BYTES && held == 0).then_some(bytes)
}

const fn digit_value(symbol: u8) -> Option<u32> {
    let value = match symbol {
        b'0'..=b'9' => symbol - b'0',
        b'a'..=b'h' => symbol - b'a' + 10,
        b'j' | b'k' => symbol - b'j' + 18,
        b'm' | b'n' => symbol - b'm' + 20,
        b'p'..=b't' => symbol - b'p' + 22,
        b'v'..=b'z' => symbol - b'v' + 27,
        _ => return None,
    };
    Some(value as u32)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn call(bits: u128) -> CallId {
        CallId(Ulid::from_bits(bits))
    }

    proptest! {
        #[test]
        fn a_token_names_its_call_and_leg(bits: u128, leg: u16, n: u32, secret: [u8; 16]) {
            let key = TokenKey::new(secret);
            let branch = key.branch(call(bits), LegId(leg), n);
            prop_assert!(branch.starts_with(MAGIC_COOKIE));
            prop_assert_eq!(branch.len(), MAGIC_COOKIE.len() + TOKEN_CHARS);
            prop_assert_eq!(key.read_branch(branch.as_bytes()), Some((call(bits), LegId(leg))));
            prop_assert_eq!(key.read_branch(branch.to_ascii_uppercase().as_bytes()), Some((call(bits), LegId(leg))));
            let tag = key.tag(call(bits), LegId(leg), n);
            prop_assert_eq!(key.read_tag(tag.as_bytes()), Some((call(bits), LegId(leg))));
        }

        #[test]
        fn any_bytes_are_read_without_panic(bytes: Vec<u8>) {
            let key = TokenKey::new([7; 16]);
            prop_assert_eq!(key.read_branch(&bytes), None);
            prop_assert_eq!(key.read_tag(&bytes), None);
        }
    }

    #[test]
    fn a_changed_character_or_a_foreign_secret_reads_as_none() {
        let key = TokenKey::new([1; 16]);
        let tag = key.tag(call(99), LegId(3), 5);
        for at in 0..tag.len() {
            let mut forged = tag.clone().into_bytes();
            forged[at] = if forged[at] == b'0' { b'1' } else { b'0' };
            assert_eq!(key.read_tag(&forged), None, "position {at}");
        }
        assert_eq!(TokenKey::new([2; 16]).read_tag(tag.as_bytes()), None);
    }

    #[test]
    fn a_branch_is_no_tag_and_a_tag_no_branch() {
        let key = TokenKey::new([1; 16]);
        let branch = key.branch(call(1), LegId(0), 0);
        assert_eq!(key.read_tag(&branch.as_bytes()[MAGIC_COOKIE.len()..]), None);
        let tag = key.tag(call(1), LegId(0), 0);
        assert_eq!(key.read_branch(format!("{MAGIC_COOKIE}{tag}").as_bytes()), None);
    }

    #[test]
    fn what_is_the_switchs_own_is_no_legs() {
        let key = TokenKey::new([1; 16]);
        let (branch, tag, name) = (key.own_branch(7), key.own_tag(7), key.own_name(7));
        assert_eq!((key.read_own_branch(branch.as_bytes()), key.read_branch(branch.as_bytes())), (Some(7), None));
        assert_eq!((key.read_own_tag(tag.as_bytes()), key.read_tag(tag.as_bytes())), (Some(7), None));
        assert_eq!((key.read_own_tag(name.as_bytes()), key.read_tag(name.as_bytes())), (None, None));
        let leg = key.branch(call(7), LegId(0), 0);
        assert_eq!(key.read_own_branch(leg.as_bytes()), None);
        assert_eq!(key.read_own_tag(key.tag(call(7), LegId(0), 0).as_bytes()), None);
        assert_eq!(TokenKey::new([2; 16]).read_own_branch(branch.as_bytes()), None);
    }

    #[test]
    fn a_minter_never_repeats_itself() {
        let mut minter = Minter::new(TokenKey::new([1; 16]), call(1), LegId(0));
        let mut seen = std::collections::BTreeSet::new();
        for _ in 0..50 {
            assert!(seen.insert(minter.branch()) && seen.insert(minter.tag()));
        }
        assert!(!format!("{minter:?}").contains("[1, 1"));
    }
}
