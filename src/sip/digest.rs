//! Digest authentication: the arithmetic both sides share.
//!
//! RFC 8760 (SHA-256 for SIP), RFC 7616 §3.4, RFC 3261 §22, RFC 2617 §3.2.2 (answers without qop).
//! [`server`] challenges and verifies, [`client`] answers challenges.
//!
//! Deliberately absent: `auth-int` (bodies pass unchanged and are signed nowhere), `-sess` algorithms and
//! `userhash`: no phone or carrier asks for them; password storage.

use std::fmt;

use md5::Md5;
use serde::{Deserialize, Serialize};
use sha2::{Sha256, Sha512_256};

use crate::base::secret::Secret;

pub mod client;
mod params;
pub mod server;

/// Hash algorithms, the weakest first so that `Ord` ranks them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Algorithm {
    /// Still all that many desk phones and carriers know.
    #[serde(rename = "MD5")]
    Md5,
    /// RFC 8760's mandatory one.
    #[serde(rename = "SHA-256")]
    Sha256,
    /// RFC 8760's optional one.
    #[serde(rename = "SHA-512-256")]
    Sha512Trunc256,
}

impl Algorithm {
    /// The word on the wire.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Md5 => "MD5",
            Self::Sha256 => "SHA-256",
            Self::Sha512Trunc256 => "SHA-512-256",
        }
    }

    /// Reads the `algorithm` parameter; absent means MD5 (RFC 7616 §3.3).
    #[must_use]
    pub fn read(word: Option<&[u8]>) -> Option<Self> {
        let Some(word) = word else {
            return Some(Self::Md5);
        };
        [Self::Md5, Self::Sha256, Self::Sha512Trunc256]
            .into_iter()
            .find(|algorithm| word.eq_ignore_ascii_case(algorithm.word().as_bytes()))
    }

    fn hash(self, parts: &[&[u8]]) -> String {
        match self {
            Self::Md5 => hex(&hashed::<Md5>(parts)),
            Self::Sha256 => hex(&hashed::<Sha256>(parts)),
            Self::Sha512Trunc256 => hex(&hashed::<Sha512_256>(parts)),
        }
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// A user and the shared secret.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Account {
    /// The digest user name.
    pub user: String,
    /// The password.
    pub password: Secret,
}

/// What the request line contributes.
#[derive(Clone, Copy, Debug)]
pub struct Line<'a> {
    /// The method as sent.
    pub method: &'a [u8],
    /// The `uri` parameter.
    pub uri: &'a [u8],
}

/// `qop=auth`'s inputs.
#[derive(Clone, Copy, Debug)]
pub struct Counted<'a> {
    /// Eight hexadecimal digits.
    pub nc: &'a [u8],
    /// The client's nonce.
    pub cnonce: &'a [u8],
}

/// Computes the `response` parameter in lower-case hexadecimal (RFC 7616 §3.4.1); without `counted` the RFC 2617
/// form.
#[must_use]
pub fn response(
    algorithm: Algorithm,
    user: &[u8],
    realm: &[u8],
    password: &[u8],
    line: Line<'_>,
    nonce: &[u8],
    counted: Option<Counted<'_>>,
) -> String {
    let ha1 = algorithm.hash(&[user, b":", realm, b":", password]);
    response_of(algorithm, &ha1, line, nonce, counted)
}

/// The same from the stored hash of user, realm and password (HA1, RFC 7616 §3.4.2).
fn response_of(algorithm: Algorithm, ha1: &str, line: Line<'_>, nonce: &[u8], counted: Option<Counted<'_>>) -> String {
    let ha2 = algorithm.hash(&[line.method, b":", line.uri]);
    match counted {
        Some(Counted { nc, cnonce }) => {
            algorithm.hash(&[ha1.as_bytes(), b":", nonce, b":", nc, b":", cnonce, b":auth:", ha2.as_bytes()])
        }
        None => algorithm.hash(&[ha1.as_bytes(), b":", nonce, b":", ha2.as_bytes()]),
    }
}

fn hashed<D: sha2::Digest>(parts: &[&[u8]]) -> Vec<u8> {
    let mut state = D::new();
    for part in parts {
        state.update(part);
    }
    state.finalize().to_vec()
}

fn hex(bytes: &[u8]) -> String {
    use fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests;
