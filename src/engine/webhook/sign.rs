//! Signatures of Standard Webhooks 1.0: `v1,` and the base64 of HMAC-SHA256 over `id.timestamp.body`.
//!
//! While a secret is rotated both keys sign, the new one first, separated by a space.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

use crate::base::secret::Secret;

/// A key taken from a secret: `whsec_` and base64, or the bytes of the text as they are.
#[derive(Clone)]
pub struct Key(Vec<u8>);

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Key(…)")
    }
}

impl Key {
    /// Reads a secret; `None` when what follows `whsec_` is no base64, or the key is empty.
    #[must_use]
    pub fn new(secret: &Secret) -> Option<Self> {
        let bytes = match secret.reveal().strip_prefix("whsec_") {
            Some(encoded) => STANDARD.decode(encoded).ok()?,
            None => secret.reveal().as_bytes().to_vec(),
        };
        (!bytes.is_empty()).then_some(Self(bytes))
    }

    /// Signs one message.
    #[must_use]
    pub fn sign(&self, id: &str, timestamp: i64, body: &[u8]) -> String {
        // HMAC takes keys of any length, so there is always a code.
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(&self.0) else { return String::new() };
        mac.update(id.as_bytes());
        mac.update(format!(".{timestamp}.").as_bytes());
        mac.update(body);
        format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
    }
}

/// The header's value: one signature per key.
#[must_use]
pub fn signatures(keys: &[Key], id: &str, timestamp: i64, body: &[u8]) -> String {
    keys.iter().map(|key| key.sign(id, timestamp, body)).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

    #[test]
    fn the_independent_implementation_makes_the_same_signature() {
        let theirs = standardwebhooks::Webhook::new(SECRET).unwrap();
        let ours = Key::new(&Secret::new(SECRET)).unwrap();
        let body = "{\"热线\":\"12345\"}";
        assert_eq!(
            ours.sign("01J", 1_800_000_000, body.as_bytes()),
            theirs.sign("01J", 1_800_000_000, body.as_bytes()).unwrap()
        );
        let raw = Key::new(&Secret::new("no prefix")).unwrap();
        let theirs = standardwebhooks::Webhook::from_bytes(b"no prefix".to_vec()).unwrap();
        assert_eq!(raw.sign("a", 1, b"{}"), theirs.sign("a", 1, b"{}").unwrap());
    }

    #[test]
    fn two_keys_sign_while_a_secret_is_rotated() {
        let keys = ["new", "old"].map(|secret| Key::new(&Secret::new(secret)).unwrap());
        let both = signatures(&keys, "a", 1, b"{}");
        assert_eq!(both, format!("{} {}", keys[0].sign("a", 1, b"{}"), keys[1].sign("a", 1, b"{}")));
    }

    #[test]
    fn a_secret_that_is_no_base64_is_refused() {
        for secret in ["whsec_!!", "whsec_", ""] {
            assert!(Key::new(&Secret::new(secret)).is_none(), "{secret:?}");
        }
    }
}
