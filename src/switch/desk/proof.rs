//! Who a request of the agents' side comes from, shown by digest.
//!
//! | credentials | answer |
//! |---|---|
//! | none for our realm | 401 |
//! | unreadable | 400 |
//! | on a nonce that will not do | 401, stale |
//! | of an unknown user, wrong, or not checked because somebody guesses | 401, all alike |
//!
//! Deliberately absent: what an agent may do. RFC 3261 §22.1, §22.2; RFC 7616.

use super::{Desk, answer, draft};
use crate::base::flow::Flow;
use crate::base::id::AgentId;
use crate::base::now::Now;
use crate::call::words::Arrived;
use crate::plan::settings::{Credential, Settings};
use crate::sip::digest::server::{Claim, Known, Verdict};
use crate::sip::message::Name;
use crate::switch::damping::{Source, Who};
use crate::switch::words::{Counted, SwitchEffect};

/// What a proof costs: the request that was challenged, and the one that answered.
const PROOF_TOKENS: u64 = 2;

/// What a request's credentials are worth.
pub(in crate::switch) enum Proof {
    /// It comes from this agent.
    Agent(AgentId),
    /// It was answered already (401 or 400).
    Answered,
}

impl Desk {
    /// Whether this address may draw another answer without having shown a password.
    pub(in crate::switch) fn bears(&mut self, now: Now, flow: &Flow) -> bool {
        self.throttle.admit(now, Source::of(flow.remote.ip()))
    }

    /// Whether a request claims to be from an agent who has a phone registered at the very address and port it came
    /// from: no stranger, though not proven yet.
    pub(in crate::switch) fn is_registered(&self, arrived: &Arrived) -> bool {
        let user = arrived.message.from().uri().ok().and_then(|uri| uri.user_text());
        user.is_some_and(|user| self.registered_at(&user, &arrived.flow).is_some())
    }

    /// Judges a request's credentials; a wrong or missing one is challenged.
    pub(in crate::switch) fn prove(
        &mut self,
        now: Now,
        settings: &Settings,
        product: &str,
        arrived: &Arrived,
        out: &mut Vec<SwitchEffect>,
    ) -> Proof {
        let request = &arrived.message;
        let source = Source::of(arrived.flow.remote.ip());
        let uri = request.request_uri().unwrap_or_default();
        let read = self.authenticator.read(now, source.as_bytes(), uri, request.headers(Name::Authorization));
        let verdict = match read {
            Ok(claim) => self.weigh(now, settings, arrived, source, &claim, out),
            Err(verdict) => verdict,
        };
        match verdict {
            Verdict::Granted { user } => {
                self.throttle.refund(source, PROOF_TOKENS);
                return Proof::Agent(AgentId::new(user));
            }
            Verdict::Malformed => answer(arrived, draft(arrived, product, 400), out),
            Verdict::Challenge { stale } => {
                out.push(SwitchEffect::Count(Counted::Challenged));
                let challenges = self.authenticator.challenges(now, source.as_bytes(), stale);
                let response = challenges.iter().fold(draft(arrived, product, 401), |draft, challenge| {
                    draft.header(Name::WwwAuthenticate, challenge)
                });
                answer(arrived, response, out);
            }
        }
        Proof::Answered
    }

    /// Checks a claim, unless somebody is guessing; counts a wrong one.
    fn weigh(
        &mut self,
        now: Now,
        settings: &Settings,
        arrived: &Arrived,
        source: Source,
        claim: &Claim,
        out: &mut Vec<SwitchEffect>,
    ) -> Verdict {
        let who = Who::new(source, claim.user(), self.registered_at(claim.user(), &arrived.flow));
        if !self.damping.checks(now, &who) {
            out.push(SwitchEffect::Count(Counted::Unchecked));
            return Verdict::Challenge { stale: false };
        }
        let method = arrived.message.method().map_or("", |method| method.as_str());
        let verdict = self.authenticator.judge(now, claim, method, known_of(settings, claim.user()));
        match verdict {
            Verdict::Granted { .. } => self.damping.proved(now, &who),
            Verdict::Challenge { stale: false } => {
                let (address, user) = (arrived.flow.remote.ip(), claim.user());
                out.extend(self.damping.failed(now, &who).into_iter().map(|(paused, pause)| {
                    SwitchEffect::Count(Counted::Guessing { address, user: user.to_owned(), paused, pause })
                }));
            }
            Verdict::Challenge { stale: true } | Verdict::Malformed => {}
        }
        verdict
    }

    /// The port a request came from, where a phone of that user is registered at just that address and port.
    fn registered_at(&self, user: &str, flow: &Flow) -> Option<u16> {
        let mut bindings = self.registrar.bindings(&AgentId::new(user)).iter();
        bindings.any(|binding| binding.flow.remote == flow.remote).then(|| flow.remote.port())
    }

    /// Failed proofs remembered.
    #[must_use]
    pub fn failures(&self) -> usize {
        self.damping.remembered()
    }
}

fn known_of(settings: &Settings, user: &str) -> Option<Known> {
    Some(match &settings.agents.get(&AgentId::new(user))?.credential {
        Credential::Password(password) => Known::Password(password.clone()),
        Credential::Ha1(ha1) => Known::Ha1(ha1.clone()),
    })
}
