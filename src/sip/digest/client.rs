//! Digest as the side that is asked: answers to 401 and 407.
//!
//! RFC 3261 §22.2 and §22.3, RFC 8760 §2.4: of the challenges offered the topmost one we can meet is answered, so a
//! server's preference decides and a challenge below it cannot draw out a weaker answer. A request is tried at most
//! twice after its first sending; the same nonce refused without `stale` ends it at once.
//!
//! Deliberately absent: several realms in one request (a trunk has one account), and storing accounts.

use serde::{Deserialize, Serialize};

use super::{Account, Algorithm, Counted, Line, params, response};
use crate::sip::text;

/// How often one request is tried again.
const TRIES: u8 = 2;

/// Why a challenge is not answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Unanswerable {
    /// No challenge by digest with an algorithm and qop we know.
    #[error("no challenge we can answer")]
    Unsupported,
    /// The account was tried and refused.
    #[error("the account was refused")]
    Refused,
}

/// A request to be answered for.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    /// Its method.
    pub method: &'a str,
    /// Its request-URI as sent.
    pub uri: &'a [u8],
    /// A fresh client nonce.
    pub cnonce: &'a str,
}

/// One account's standing with one server.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ClientAuth {
    tries: u8,
    given: Option<Given>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
struct Given {
    realm: Vec<u8>,
    nonce: Vec<u8>,
    opaque: Option<Vec<u8>>,
    algorithm: Algorithm,
    algorithm_named: bool,
    counted: bool,
    count: u32,
}

impl ClientAuth {
    /// Never challenged.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The Authorization value (Proxy-Authorization for 407) that answers these challenge values.
    ///
    /// # Errors
    /// The request is not to be sent again.
    pub fn answer<'v>(
        &mut self,
        challenges: impl IntoIterator<Item = &'v [u8]>,
        account: &Account,
        subject: Subject<'_>,
    ) -> Result<Vec<u8>, Unanswerable> {
        let found = challenges.into_iter().find_map(|value| {
            let asked = params::Asked::read(value)?;
            let algorithm = Algorithm::read(asked.algorithm.as_deref())?;
            let counted = asked.wants_count()?;
            Some((asked, algorithm, counted))
        });
        let (asked, algorithm, counted) = found.ok_or(Unanswerable::Unsupported)?;
        let same = self.given.as_ref().is_some_and(|given| given.nonce == *asked.nonce);
        if self.tries >= TRIES || (self.tries > 0 && same && !asked.stale) {
            return Err(Unanswerable::Refused);
        }
        self.tries += 1;
        let count = self.given.as_ref().filter(|_| same).map_or(0, |given| given.count);
        let given = Given {
            realm: asked.realm.to_vec(),
            nonce: asked.nonce.to_vec(),
            opaque: asked.opaque.as_deref().map(<[u8]>::to_vec),
            algorithm,
            algorithm_named: asked.algorithm.is_some(),
            counted,
            count,
        };
        Ok(self.given.insert(given).value(account, subject))
    }

    /// An answer ahead of any challenge, by the nonce of the last one (RFC 3261 §22.2); `None` before the first, or
    /// when that nonce serves once only.
    pub fn ahead(&mut self, account: &Account, subject: Subject<'_>) -> Option<Vec<u8>> {
        self.given.as_mut().filter(|given| given.counted).map(|given| given.value(account, subject))
    }

    /// The answer was accepted, or another request begins: trying starts anew.
    pub const fn settled(&mut self) {
        self.tries = 0;
    }
}

impl Given {
    fn value(&mut self, account: &Account, subject: Subject<'_>) -> Vec<u8> {
        self.count = self.count.saturating_add(1);
        let nc = format!("{:08x}", self.count);
        let counted = self.counted.then_some(Counted { nc: nc.as_bytes(), cnonce: subject.cnonce.as_bytes() });
        let proof = response(
            self.algorithm,
            account.user.as_bytes(),
            &self.realm,
            account.password.reveal().as_bytes(),
            Line { method: subject.method.as_bytes(), uri: subject.uri },
            &self.nonce,
            counted,
        );
        let mut out = b"Digest username=".to_vec();
        text::quote_into(&mut out, account.user.as_bytes());
        for (name, value) in [
            ("realm", self.realm.as_slice()),
            ("nonce", &self.nonce),
            ("uri", subject.uri),
            ("response", proof.as_bytes()),
        ] {
            push_quoted(&mut out, name, value);
        }
        if self.algorithm_named {
            out.extend_from_slice(b", algorithm=");
            out.extend_from_slice(self.algorithm.word().as_bytes());
        }
        if counted.is_some() {
            push_quoted(&mut out, "cnonce", subject.cnonce.as_bytes());
            out.extend_from_slice(b", qop=auth, nc=");
            out.extend_from_slice(nc.as_bytes());
        }
        if let Some(opaque) = &self.opaque {
            push_quoted(&mut out, "opaque", opaque);
        }
        out
    }
}

fn push_quoted(out: &mut Vec<u8>, name: &str, value: &[u8]) {
    out.extend_from_slice(b", ");
    out.extend_from_slice(name.as_bytes());
    out.push(b'=');
    text::quote_into(out, value);
}
