//! REGISTER with digest (RFC 3261 §10, §22; RFC 2617 §3.2.2), written for the peers alone.
//!
//! Of several challenges the MD5 one is taken. Deliberately absent: auth-int, SHA-256 (the engine's own tests have it).

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::time::Duration;

use md5::{Digest as _, Md5};
use rsip::headers::UntypedHeader as _;
use rsip::{Header, Method, Response};
use tokio::time::{Instant, timeout_at};

use crate::demo::peer::dialog::Draft;
use crate::demo::peer::ua::Phone;
use crate::demo::peer::{PeerFault, token};

/// How long a registration may take.
const WITHIN: Duration = Duration::from_secs(10);

/// A registrar and the account there.
#[derive(Clone, Debug)]
pub struct Account {
    /// Where the registrar listens.
    pub registrar: SocketAddr,
    /// The password of the phone's user.
    pub password: String,
    /// For how long.
    pub expires: Duration,
}

/// Registers the phone, answering one challenge; `expires` zero takes it back.
///
/// # Errors
/// [`PeerFault::Refused`] with the status, [`PeerFault::Late`] when none came.
pub async fn register(phone: &Phone, account: &Account) -> Result<(), PeerFault> {
    let registration = Registration { phone, account, call_id: token(), tag: token() };
    let deadline = Instant::now() + WITHIN;
    let first = registration.attempt(1, None, deadline).await?;
    let last = if first.status_code.code() == 401 {
        let authorization = registration.authorization(&first)?;
        registration.attempt(2, Some(authorization), deadline).await?
    } else {
        first
    };
    match last.status_code.code() {
        200 => Ok(()),
        status => Err(PeerFault::Refused { what: "REGISTER", status }),
    }
}

struct Registration<'r> {
    phone: &'r Phone,
    account: &'r Account,
    call_id: String,
    tag: String,
}

impl Registration<'_> {
    fn uri(&self) -> String {
        format!("sip:{}", self.account.registrar)
    }

    async fn attempt(
        &self,
        sequence: u32,
        authorization: Option<String>,
        deadline: Instant,
    ) -> Result<Response, PeerFault> {
        let user = self.phone.user();
        let address = format!("<sip:{user}@{}>", self.account.registrar.ip());
        let expires = rsip::headers::Expires::new(self.account.expires.as_secs().to_string());
        let mut more: Vec<Header> = vec![expires.into()];
        more.extend(authorization.map(|value| Header::from(rsip::headers::Authorization::new(value))));
        let draft = Draft {
            method: Method::Register,
            uri: &self.uri(),
            via: self.phone.endpoint().via(),
            from: &format!("{address};tag={}", self.tag),
            to: &address,
            call_id: &self.call_id,
            sequence,
            contact: Some(&self.phone.contact()),
            more,
            body: None,
        };
        let mut answers = self.phone.endpoint().request(draft.request()?, self.account.registrar).await?;
        let late = || PeerFault::Late { what: "the answer to REGISTER", seconds: WITHIN.as_secs() };
        loop {
            let answer = timeout_at(deadline, answers.recv()).await.ok().flatten().ok_or_else(late)?;
            if answer.status_code.code() >= 200 {
                return Ok(answer);
            }
        }
    }

    fn authorization(&self, response: &Response) -> Result<String, PeerFault> {
        let challenges = response.headers.iter().filter_map(|header| match header {
            Header::WwwAuthenticate(challenge) => Some(Challenge::read(challenge.value())),
            _ => None,
        });
        let challenge = challenges.flatten().find(Challenge::is_md5);
        let challenge = challenge.ok_or_else(|| PeerFault::message("the 401", "it has no MD5 challenge"))?;
        let uri = self.uri();
        let proof = Proof {
            user: self.phone.user(),
            password: &self.account.password,
            method: "REGISTER",
            uri: &uri,
            cnonce: &token(),
        };
        Ok(proof.header(&challenge))
    }
}

/// A challenge of the Digest scheme.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Challenge {
    realm: String,
    nonce: String,
    algorithm: Option<String>,
    qop_auth: bool,
    opaque: Option<String>,
}

impl Challenge {
    fn read(value: &str) -> Option<Self> {
        let (scheme, parameters) = value.trim().split_once(' ')?;
        if !scheme.eq_ignore_ascii_case("digest") {
            return None;
        }
        let mut challenge = Self::default();
        for parameter in split_unquoted(parameters) {
            let (name, value) = parameter.split_once('=')?;
            let value = value.trim().trim_matches('"');
            match name.trim().to_ascii_lowercase().as_str() {
                "realm" => challenge.realm = value.to_owned(),
                "nonce" => challenge.nonce = value.to_owned(),
                "opaque" => challenge.opaque = Some(value.to_owned()),
                "algorithm" => challenge.algorithm = Some(value.to_owned()),
                "qop" => challenge.qop_auth = value.split(',').any(|qop| qop.trim() == "auth"),
                _ => {}
            }
        }
        (!challenge.nonce.is_empty()).then_some(challenge)
    }

    fn is_md5(&self) -> bool {
        self.algorithm.as_ref().is_none_or(|algorithm| algorithm.eq_ignore_ascii_case("md5"))
    }
}

/// Splits at commas outside quotes.
fn split_unquoted(text: &str) -> Vec<&str> {
    let mut quoted = false;
    text.split(|symbol| {
        quoted ^= symbol == '"';
        symbol == ',' && !quoted
    })
    .collect()
}

/// What proves that the password is known.
struct Proof<'p> {
    user: &'p str,
    password: &'p str,
    method: &'p str,
    uri: &'p str,
    cnonce: &'p str,
}

impl Proof<'_> {
    fn response(&self, challenge: &Challenge) -> String {
        let secret = hash(&format!("{}:{}:{}", self.user, challenge.realm, self.password));
        let asked = hash(&format!("{}:{}", self.method, self.uri));
        if challenge.qop_auth {
            hash(&format!("{secret}:{}:00000001:{}:auth:{asked}", challenge.nonce, self.cnonce))
        } else {
            hash(&format!("{secret}:{}:{asked}", challenge.nonce))
        }
    }

    fn header(&self, challenge: &Challenge) -> String {
        let mut text = format!(
            "Digest username=\"{}\", realm=\"{}\", nonce=\"{}\", uri=\"{}\", response=\"{}\", algorithm=MD5",
            self.user,
            challenge.realm,
            challenge.nonce,
            self.uri,
            self.response(challenge)
        );
        if challenge.qop_auth {
            let _ = write!(text, ", qop=auth, nc=00000001, cnonce=\"{}\"", self.cnonce);
        }
        if let Some(opaque) = &challenge.opaque {
            let _ = write!(text, ", opaque=\"{opaque}\"");
        }
        text
    }
}

fn hash(text: &str) -> String {
    Md5::digest(text.as_bytes()).iter().fold(String::with_capacity(32), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_rfc_2617_gives_its_response() {
        let challenge = Challenge::read(
            "Digest realm=\"testrealm@host.com\", qop=\"auth,auth-int\", \
             nonce=\"dcd98b7102dd2f0e8b11d0f600bfb0c093\", opaque=\"5ccc069c403ebaf9f0171e9517f40e41\"",
        )
        .unwrap();
        assert!(challenge.is_md5() && challenge.qop_auth);
        let proof = Proof {
            user: "Mufasa",
            password: "Circle Of Life",
            method: "GET",
            uri: "/dir/index.html",
            cnonce: "0a4f113b",
        };
        assert_eq!(proof.response(&challenge), "6629fae49393a05397450978507c4ef1");
        assert!(proof.header(&challenge).contains("opaque=\"5ccc069c403ebaf9f0171e9517f40e41\""));
    }

    #[test]
    fn other_schemes_and_algorithms_are_passed_over() {
        assert_eq!(Challenge::read("Basic realm=\"x\""), None);
        assert_eq!(Challenge::read("Digest realm=\"x\""), None);
        let sha = Challenge::read("Digest realm=\"a,b\", nonce=\"n\", algorithm=SHA-256").unwrap();
        assert!(!sha.is_md5());
        assert_eq!(sha.realm, "a,b");
    }
}
