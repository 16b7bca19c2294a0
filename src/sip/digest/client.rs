//! Digest as the side that is asked: answers to 401 and 407.
//!
//! RFC 3261 §22.2 and §22.3, RFC 8760 §2.4: of the challenges offered the topmost one we can meet is answered, so a
//! server's preference decides and a challenge below it cannot draw out a weaker answer. A request is tried at most
//! twice after its first sending; the same nonce refused without `stale` ends it at once.
//!
//! Deliberately absent: several realms in one request (a trunk has one account), and storing accounts.

use serde::{Deserialize, Serialize};

use super::{Account, Algorithm, Counted, Line, params, response};
use crate::sip::header::auth::Auth;

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
        let offered: Vec<_> = challenges.into_iter().filter_map(|value| Auth::parse(value).ok()).collect();
        let found = offered.iter().find_map(|auth| {
            let asked = params::Asked::read(auth)?;
            Some((asked, Algorithm::read(asked.algorithm)?))
        });
        let (asked, algorithm) = found.ok_or(Unanswerable::Unsupported)?;
        let same = self.given.as_ref().is_some_and(|given| given.nonce == asked.nonce);
        if self.tries >= TRIES || (self.tries > 0 && same && !asked.stale) {
            return Err(Unanswerable::Refused);
        }
        self.tries += 1;
        let count = self.given.as_ref().filter(|_| same).map_or(0, |given| given.count);
        let given = Given {
            realm: asked.realm.to_vec(),
            nonce: asked.nonce.to_vec(),
            opaque: asked.opaque.map(<[u8]>::to_vec),
            algorithm,
            algorithm_named: asked.algorithm.is_some(),
            counted: asked.counted,
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
        let mut value = Auth::new("Digest")
            .quoted("username", &account.user)
            .quoted("realm", &self.realm)
            .quoted("nonce", &self.nonce)
            .quoted("uri", subject.uri)
            .quoted("response", &proof);
        if self.algorithm_named {
            value = value.token("algorithm", self.algorithm.word());
        }
        if counted.is_some() {
            value = value.quoted("cnonce", subject.cnonce).token("qop", "auth").token("nc", &nc);
        }
        if let Some(opaque) = &self.opaque {
            value = value.quoted("opaque", opaque);
        }
        value.to_bytes()
    }
}
