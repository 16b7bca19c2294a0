//! Challenges to requests of ours: a trunk's 401 and 407, answered with its account.
//!
//! The account comes in with the response it is needed for and is not kept; what is kept is the standing with the
//! server: realm, nonce and how often it was used. A request is tried again at most twice; a challenge of a realm other
//! than the account's, or than that of the first challenge where the account names none, is not answered.
//! RFC 3261 §22.2, §22.3; RFC 8760. Deliberately absent: sending credentials before they are asked for.

use serde::{Deserialize, Serialize};

use super::Leg;
use crate::plan::trunk::TrunkCredential;
use crate::sip::digest::Account;
use crate::sip::digest::client::{ClientAuth, Subject};
use crate::sip::header::auth::Auth;
use crate::sip::message::{Message, Name};

/// The standing with the one server that challenges a leg.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(super) struct Standing {
    client: ClientAuth,
    realm: Option<Vec<u8>>,
}

/// Whether a response asks for credentials.
pub(super) const fn is_challenge(response: &Message) -> bool {
    matches!(response.status(), Some(401 | 407))
}

impl Leg {
    /// The header field that answers a challenge to `request`; none when it cannot or may not be answered.
    pub(super) fn prove(
        &mut self,
        credential: Option<&TrunkCredential>,
        request: &Message,
        challenge: &Message,
    ) -> Option<(Name, Vec<u8>)> {
        let credential = credential?;
        let (asks, proves) = match challenge.status()? {
            401 => (Name::WwwAuthenticate, Name::Authorization),
            407 => (Name::ProxyAuthenticate, Name::ProxyAuthorization),
            _ => return None,
        };
        let cnonce = self.minter.cnonce();
        let standing = self.standing.get_or_insert_default();
        let only = credential.realm.as_deref().map(str::as_bytes).or(standing.realm.as_deref());
        let offered = challenge.headers(asks).filter(|value| {
            let realm = Auth::parse(value).ok().and_then(|auth| auth.get("realm").map(<[u8]>::to_vec));
            realm.is_some_and(|realm| only.is_none_or(|only| only == realm))
        });
        let account = Account { user: credential.user.clone(), password: credential.password.clone() };
        let subject = Subject { method: request.cseq_method().as_str(), uri: request.request_uri()?, cnonce: &cnonce };
        let value = standing.client.answer(offered, &account, subject).ok()?;
        if standing.realm.is_none() {
            standing.realm = Auth::parse(&value).ok().and_then(|auth| auth.get("realm").map(<[u8]>::to_vec));
        }
        Some((proves, value))
    }

    /// A request was answered with something else than a challenge: the next one may be tried as often again.
    pub(super) fn proven(&mut self) {
        if let Some(standing) = &mut self.standing {
            standing.client.settled();
        }
    }
}
