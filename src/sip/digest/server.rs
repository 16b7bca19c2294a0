//! Digest as the side that asks: challenges and verdicts.
//!
//! RFC 3261 §22.1, RFC 8760 §2.3 (the strongest algorithm is offered first), RFC 7616 §3.4 and §5.
//! A nonce is issue time, a counter and the algorithm with a check value (HMAC-SHA-256 under the engine's key, cut to
//! 96 bits), so nothing is stored for a challenge that nobody answers, and an answer by a weaker algorithm than its
//! nonce was given for is refused. The check covers the peer too: only who can hear our challenges can answer one, so
//! nobody fails in another's name. After a nonce's first good answer its counts are remembered: a window of 64, because
//! UDP reorders.
//!
//! | answer | verdict |
//! |---|---|
//! | the nonce is not ours (any more), not this peer's, too old, or its count was used | `Challenge { stale: true }` without a look at the password: nothing can be tried out on an old nonce |
//! | none of ours, unknown user, wrong password | `Challenge { stale: false }`, all alike in shape and cost |
//! | unreadable | `Malformed` |
//!
//! Deliberately absent: where passwords live (the caller finds them), `auth-int`, and slowing down guesses (`switch`).
//! Limits: [`DigestPolicy::remembered`] nonces; when full the oldest goes and every nonce as old becomes stale.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use hmac::{Hmac, KeyInit as _, Mac as _};
use serde::{Deserialize, Serialize};
use sha2::Sha256;
use subtle::ConstantTimeEq as _;

use super::{Algorithm, Line, hex, params, response_of};
use crate::base::now::Now;
use crate::base::secret::Secret;
use crate::sip::header::auth::Auth;

const CHECK_BYTES: usize = 12;
const HEAD_BYTES: usize = 13;
const WINDOW: u32 = 64;

/// The engine's secret for nonces; never shown.
#[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct NonceKey([u8; 32]);

impl NonceKey {
    /// Wraps 32 secret bytes.
    #[must_use]
    pub const fn new(secret: [u8; 32]) -> Self {
        Self(secret)
    }

    fn mac(&self, parts: &[&[u8]]) -> [u8; 32] {
        let mut block = [0_u8; 64];
        for (to, from) in block.iter_mut().zip(self.0) {
            *to = from;
        }
        let mut mac = Hmac::<Sha256>::new(&block.into());
        for part in parts {
            mac.update(part);
        }
        mac.finalize().into_bytes().into()
    }
}

impl fmt::Debug for NonceKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("NonceKey(…)")
    }
}

/// What is asked of clients.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct DigestPolicy {
    /// Offered and accepted, in the order of the challenges; the strongest belongs first (RFC 8760 §2.3).
    pub algorithms: Vec<Algorithm>,
    /// How long a nonce may be used.
    pub nonce_life: Duration,
    /// Whether answers without qop are taken (RFC 2617 clients); each nonce then serves one request.
    pub without_qop: bool,
    /// How many answered nonces are remembered.
    pub remembered: usize,
}

impl Default for DigestPolicy {
    fn default() -> Self {
        Self {
            algorithms: vec![Algorithm::Sha256, Algorithm::Md5],
            nonce_life: Duration::from_secs(300),
            without_qop: true,
            remembered: 16_384,
        }
    }
}

/// What is known of a user.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Known {
    /// The password.
    Password(Secret),
    /// `MD5(user:realm:password)` in hexadecimal; cannot answer for another algorithm.
    Ha1(Secret),
}

impl Known {
    fn ha1(&self, algorithm: Algorithm, user: &[u8], realm: &[u8]) -> String {
        let (Self::Password(secret) | Self::Ha1(secret)) = self;
        // Hashed in either case, so that time does not tell which is kept.
        let hashed = std::hint::black_box(algorithm.hash(&[user, b":", realm, b":", secret.reveal().as_bytes()]));
        match self {
            Self::Password(_) => hashed,
            Self::Ha1(ha1) => ha1.reveal().to_ascii_lowercase(),
        }
    }

    fn serves(&self, algorithm: Algorithm) -> bool {
        matches!(self, Self::Password(_)) || algorithm == Algorithm::Md5
    }
}

impl From<Secret> for Known {
    fn from(password: Secret) -> Self {
        Self::Password(password)
    }
}

/// What an answer is worth.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Verdict {
    /// The user has shown the password.
    Granted {
        /// The digest user name.
        user: String,
    },
    /// Ask (again) with [`Authenticator::challenges`].
    Challenge {
        /// The nonce will not do: the phone need not ask its user (RFC 7616 §3.3).
        stale: bool,
    },
    /// The answer breaks the syntax: 400.
    Malformed,
}

/// Credentials for our realm on a good nonce; what they are worth is still open.
#[derive(Debug)]
pub struct Claim {
    auth: Auth,
    user: String,
    algorithm: Algorithm,
    nonce: NonceId,
}

impl Claim {
    /// Who is claimed to be there.
    #[must_use]
    pub fn user(&self) -> &str {
        &self.user
    }
}

/// Challenges requests and judges the answers, for one realm.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Authenticator {
    realm: String,
    key: NonceKey,
    policy: DigestPolicy,
    issued: u32,
    counts: BTreeMap<NonceId, Window>,
    /// Nonces up to here that are not in `counts` may have been used.
    forgotten: Option<NonceId>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
struct NonceId {
    issued_ms: u64,
    serial: u32,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
struct Window {
    highest: u32,
    /// Bit n: count `highest - n` was used.
    used: u64,
}

impl Window {
    fn admit(&mut self, nc: u32) -> bool {
        if nc > self.highest {
            let shift = nc - self.highest;
            self.used = if shift >= WINDOW { 1 } else { self.used << shift | 1 };
            self.highest = nc;
            return true;
        }
        let behind = self.highest - nc;
        let bit = 1_u64.checked_shl(behind).unwrap_or(0);
        let fresh = bit != 0 && self.used & bit == 0;
        self.used |= bit;
        fresh
    }
}

impl Authenticator {
    /// Nothing issued yet.
    #[must_use]
    pub fn new(realm: impl Into<String>, key: NonceKey, policy: DigestPolicy) -> Self {
        Self { realm: realm.into(), key, policy, issued: 0, counts: BTreeMap::new(), forgotten: None }
    }

    /// Another realm and other algorithms from now on; challenges of the former realm are stale.
    pub fn set(&mut self, realm: &str, algorithms: Vec<Algorithm>) {
        realm.clone_into(&mut self.realm);
        self.policy.algorithms = algorithms;
    }

    /// Fresh values for WWW-Authenticate or Proxy-Authenticate, one header field each, in this order, good for `peer`.
    pub fn challenges(&mut self, now: Now, peer: &[u8], stale: bool) -> Vec<Vec<u8>> {
        let id = NonceId { issued_ms: wall_ms(now), serial: self.issued };
        self.issued = self.issued.wrapping_add(1);
        let challenge = |algorithm: &Algorithm| {
            let value = Auth::new("Digest")
                .quoted("realm", &self.realm)
                .quoted("nonce", self.nonce(id, *algorithm, peer))
                .token("algorithm", algorithm.word())
                .quoted("qop", "auth");
            if stale { value.token("stale", "true") } else { value }.to_bytes()
        };
        self.policy.algorithms.iter().map(challenge).collect()
    }

    /// Reads a request's Authorization (or Proxy-Authorization) values as far as no password is needed.
    ///
    /// # Errors
    /// The verdict, where it is clear already.
    pub fn read<'v>(
        &self,
        now: Now,
        peer: &[u8],
        request_uri: &[u8],
        values: impl IntoIterator<Item = &'v [u8]>,
    ) -> Result<Claim, Verdict> {
        let realm = self.realm.as_bytes();
        let ours = values
            .into_iter()
            .filter_map(|value| Auth::parse(value).ok())
            .find(|auth| auth.is_digest() && auth.get("realm") == Some(realm));
        let auth = ours.ok_or(Verdict::Challenge { stale: false })?;
        let answer = params::Answer::read(&auth).map_err(|_| Verdict::Malformed)?;
        if !same_resource(answer.uri, request_uri) {
            return Err(Verdict::Malformed);
        }
        let algorithm = Algorithm::read(answer.algorithm).filter(|found| self.policy.algorithms.contains(found));
        let algorithm = algorithm.ok_or(Verdict::Challenge { stale: false })?;
        let user = std::str::from_utf8(answer.username).map_err(|_| Verdict::Challenge { stale: false })?.to_owned();
        let counted = answer.counted.is_some() || self.policy.without_qop;
        let nonce = self.read_nonce(answer.nonce, algorithm, peer).filter(|id| counted && self.is_young(now, *id));
        let nonce = nonce.ok_or(Verdict::Challenge { stale: true })?;
        Ok(Claim { auth, user, algorithm, nonce })
    }

    /// Judges a claim by what is known of its user: a password, or the MD5 hash HA1, which answers MD5 challenges only.
    /// The work is the same whether the user is known or not.
    pub fn judge(&mut self, now: Now, claim: &Claim, method: &str, known: Option<Known>) -> Verdict {
        let Ok(answer) = params::Answer::read(&claim.auth) else { return Verdict::Malformed };
        let (realm, algorithm) = (self.realm.as_bytes(), claim.algorithm);
        let stand_in = Known::Password(Secret::new(hex(&self.key.mac(&[b"unknown user", answer.username]))));
        let ha1 = known.as_ref().unwrap_or(&stand_in).ha1(algorithm, answer.username, realm);
        let line = Line { method: method.as_bytes(), uri: answer.uri };
        let expected = response_of(algorithm, &ha1, line, answer.nonce, answer.counted.map(|(counted, _)| counted));
        let given = answer.response.to_ascii_lowercase();
        let right = bool::from(expected.as_bytes().ct_eq(&given));
        if !right || !known.is_some_and(|known| known.serves(algorithm)) {
            return Verdict::Challenge { stale: false };
        }
        if self.use_nonce(now, claim.nonce, answer.counted.map(|(_, nc)| nc)) {
            Verdict::Granted { user: claim.user.clone() }
        } else {
            Verdict::Challenge { stale: true }
        }
    }

    fn is_young(&self, now: Now, id: NonceId) -> bool {
        let present = wall_ms(now);
        let life = u64::try_from(self.policy.nonce_life.as_millis()).unwrap_or(u64::MAX);
        // A nonce from the future was issued before the wall clock was set back: it has no honest age.
        id.issued_ms <= present && present - id.issued_ms <= life
    }

    /// Whether this nonce may serve this request; marks the count used.
    fn use_nonce(&mut self, now: Now, id: NonceId, nc: Option<u32>) -> bool {
        while self.counts.first_key_value().is_some_and(|(oldest, _)| !self.is_young(now, *oldest)) {
            self.counts.pop_first();
        }
        if !self.counts.contains_key(&id) {
            if self.forgotten.is_some_and(|forgotten| id <= forgotten) {
                return false;
            }
            if self.counts.len() >= self.policy.remembered.max(1)
                && let Some((evicted, _)) = self.counts.pop_first()
            {
                self.forgotten = self.forgotten.max(Some(evicted));
            }
        }
        let window = self.counts.entry(id).or_default();
        match nc {
            Some(nc) => window.admit(nc),
            None => {
                let unused = *window == Window::default();
                *window = Window { highest: u32::MAX, used: u64::MAX };
                unused
            }
        }
    }

    /// Nonces whose counts are remembered.
    #[must_use]
    pub fn remembered(&self) -> usize {
        self.counts.len()
    }

    fn nonce(&self, id: NonceId, algorithm: Algorithm, peer: &[u8]) -> String {
        let mut bytes = Vec::with_capacity(HEAD_BYTES + CHECK_BYTES);
        bytes.extend_from_slice(&id.issued_ms.to_be_bytes());
        bytes.extend_from_slice(&id.serial.to_be_bytes());
        bytes.push(algorithm as u8);
        let check = self.key.mac(&[b"nonce", &bytes, &[peer.len() as u8], peer, self.realm.as_bytes()]);
        bytes.extend(check.into_iter().take(CHECK_BYTES));
        hex(&bytes)
    }

    fn read_nonce(&self, nonce: &[u8], algorithm: Algorithm, peer: &[u8]) -> Option<NonceId> {
        let text = std::str::from_utf8(nonce).ok().filter(|text| text.is_ascii())?;
        let issued_ms = u64::from_str_radix(text.get(..16)?, 16).ok()?;
        let serial = u32::from_str_radix(text.get(16..24)?, 16).ok()?;
        let id = NonceId { issued_ms, serial };
        bool::from(self.nonce(id, algorithm, peer).as_bytes().ct_eq(nonce)).then_some(id)
    }
}

fn wall_ms(now: Now) -> u64 {
    u64::try_from(now.wall.as_millisecond()).unwrap_or(0)
}

/// Whether the `uri` parameter names what the request line does (RFC 7616 §3.4.6). Phones write it with or without
/// port and parameters, so those do not count, nor does the case of letters.
fn same_resource(uri: &[u8], request_uri: &[u8]) -> bool {
    fn core(uri: &[u8]) -> Vec<u8> {
        let end = uri.iter().position(|byte| matches!(byte, b';' | b'?')).unwrap_or(uri.len());
        let core = uri.get(..end).unwrap_or(uri);
        let port = core.iter().rposition(|byte| *byte == b':').filter(|at| {
            let digits = core.get(at + 1..).unwrap_or_default();
            *at > 4 && !digits.is_empty() && digits.len() <= 5 && digits.iter().all(u8::is_ascii_digit)
        });
        core.get(..port.unwrap_or(core.len())).unwrap_or(core).to_ascii_lowercase()
    }
    core(uri) == core(request_uri)
}

#[cfg(test)]
mod tests;
