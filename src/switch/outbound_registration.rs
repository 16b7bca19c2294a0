//! Our registration at a carrier that knows us by one: asked for, proven, refreshed, and taken back at the end.
//!
//! | state | enters on | leaves by |
//! |---|---|---|
//! | resting | birth, a failure, a grant | its moment → asking; its connection gone → asking within 5 s |
//! | asking | a REGISTER sent | 2xx → resting until the refresh; 401/407 it can answer → asking again; 423 → asking again for longer; anything else, or nothing → resting, for longer each time |
//! | leaving | the engine drains | 2xx, a refusal, nothing → gone |
//!
//! A grant holds until it runs out, whatever becomes of its refreshes. The Contact has a user part nobody can guess, so
//! that a call to it is known to come by way of the registrar. Deliberately absent: sending and timers of transactions
//! (`own`), several flows to one registrar (RFC 5626), Path and Service-Route.
//! RFC 3261 §10.2, §22; RFC 5626 §4.5 (the shape of the back-off); 3GPP TS 24.229 §5.1.1.4.1 (when to refresh).
//!
//! | limit | value |
//! |---|---|
//! | challenges answered in a row | 2, of one realm only |
//! | 423 obeyed | once a round, up to 1 day |
//! | rest after the nth failure in a row | 5 s · 2ⁿ⁻¹, at most 30 min, of which half to all by a draw; longer when Retry-After says so |

use std::sync::Arc;
use std::time::Duration;

use crate::base::flow::{Flow, FlowId, Transport};
use crate::base::now::Mono;
use crate::plan::trunk::{TrunkCredential, TrunkRegistration};
use crate::sip::dialog::Opening;
use crate::sip::digest::Account;
use crate::sip::digest::client::{ClientAuth, Subject};
use crate::sip::header::address::{Contacts, NameAddr};
use crate::sip::header::auth::Auth;
use crate::sip::message::{Message, Method, Name};
use crate::sip::token::Minter;

const REST: Duration = Duration::from_secs(5);
const REST_MOST: Duration = Duration::from_secs(30 * 60);
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);
/// A grant longer than twice this is refreshed this long before it ends, a shorter one at its half.
const BEFORE_THE_END: Duration = Duration::from_secs(600);

/// What is to be done after an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Then {
    /// Ask again at once.
    Again,
    /// Registered now.
    Registered,
    /// It failed; the next try is scheduled.
    Failed,
    /// Nothing is left of it.
    Gone,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Resting(Mono),
    Asking,
    Leaving,
    Gone,
}

/// One registration.
#[derive(Clone, Debug)]
pub(super) struct Registration {
    settings: Arc<TrunkRegistration>,
    credential: Option<Arc<TrunkCredential>>,
    /// The user part of our Contact.
    contact: String,
    call_id: String,
    tag: String,
    cseq: u32,
    auth: ClientAuth,
    /// The realm of the first challenge.
    realm: Option<Vec<u8>>,
    /// The answer to the last challenge, for the next request only.
    proof: Option<(Name, Vec<u8>)>,
    expires: Duration,
    lengthened: bool,
    state: State,
    until: Option<Mono>,
    flow: Option<Flow>,
    failures: u32,
    /// Why it is not registered.
    fault: String,
}

impl Registration {
    pub(super) fn new(
        now: Mono,
        settings: Arc<TrunkRegistration>,
        credential: Option<Arc<TrunkCredential>>,
        minter: &mut Minter,
    ) -> Self {
        Self {
            expires: settings.expires,
            settings,
            credential,
            contact: minter.tag(),
            call_id: minter.sip_call_id(),
            tag: minter.tag(),
            cseq: 0,
            auth: ClientAuth::new(),
            realm: None,
            proof: None,
            lengthened: false,
            state: State::Resting(now),
            until: None,
            flow: None,
            failures: 0,
            fault: String::new(),
        }
    }

    /// Whether it was made for these settings.
    pub(super) fn is_for(&self, settings: &Arc<TrunkRegistration>, credential: Option<&Arc<TrunkCredential>>) -> bool {
        self.settings == *settings && self.credential.as_ref() == credential
    }

    /// When something is due: a try, a refresh, or the end of the grant.
    pub(super) fn deadline(&self) -> Option<Mono> {
        let next = match self.state {
            State::Resting(at) => Some(at),
            State::Asking | State::Leaving | State::Gone => None,
        };
        [next, self.until].into_iter().flatten().min()
    }

    /// Whether a REGISTER is to be sent now.
    pub(super) fn is_due(&self, now: Mono) -> bool {
        matches!(self.state, State::Resting(at) if at <= now)
    }

    /// Forgets a grant that has run out; whether one did.
    pub(super) fn runs_out(&mut self, now: Mono) -> bool {
        let over = self.until.is_some_and(|until| until <= now);
        if over {
            self.until = None;
            if self.fault.is_empty() {
                "the registration ran out".clone_into(&mut self.fault);
            }
        }
        over
    }

    pub(super) const fn is_registered(&self) -> bool {
        self.until.is_some()
    }

    pub(super) const fn until(&self) -> Option<Mono> {
        self.until
    }

    pub(super) const fn is_gone(&self) -> bool {
        matches!(self.state, State::Gone)
    }

    pub(super) fn fault(&self) -> &str {
        &self.fault
    }

    /// The user part of our Contact.
    pub(super) fn contact(&self) -> &str {
        &self.contact
    }

    /// What requests to the registrar go over, while registered.
    pub(super) fn flow(&self) -> Option<Flow> {
        self.flow.filter(|_| self.is_registered())
    }

    /// What the last request went over.
    pub(super) const fn last_flow(&self) -> Option<Flow> {
        self.flow
    }

    /// Failures in a row.
    pub(super) const fn failures(&self) -> u32 {
        self.failures
    }

    pub(super) const fn settings(&self) -> &Arc<TrunkRegistration> {
        &self.settings
    }

    /// Begins a round over this flow.
    pub(super) fn begin(&mut self, flow: Flow) {
        self.flow = Some(flow);
        self.lengthened = false;
        self.auth.settled();
        if self.state != State::Leaving {
            self.state = State::Asking;
        }
    }

    /// Its connection is gone: it registers anew within a few seconds, spread by a draw.
    pub(super) fn loses(&mut self, now: Mono, flow: FlowId, random: u64) {
        let over_it = self.flow.is_some_and(|own| own.id == flow && own.transport.is_reliable());
        if let State::Resting(at) = self.state
            && over_it
        {
            self.state = State::Resting(at.min(now + share(REST, random)));
        }
    }

    /// Begins to take the registration back; whether there is one to take back.
    pub(super) fn leave(&mut self) -> bool {
        let registered = self.is_registered() && self.flow.is_some();
        self.state = if registered { State::Leaving } else { State::Gone };
        self.auth.settled();
        registered
    }

    /// The REGISTER that is due in this state.
    pub(super) fn request(&mut self, flow: &Flow, product: &str, branch: &str, minter: &mut Minter) -> Message {
        let settings = Arc::clone(&self.settings);
        self.cseq = self.cseq.saturating_add(1);
        let domain = format!("sip:{}", settings.domain);
        let ours = format!("sip:{}@{}", settings.user, settings.domain);
        let from = NameAddr::compose(None, ours.as_bytes(), &[("tag", Some(self.tag.as_bytes()))]);
        let to = NameAddr::compose(None, ours.as_bytes(), &[]);
        let seconds = if self.state == State::Leaving { 0 } else { self.expires.as_secs() };
        let contact = format!("{};expires={seconds}", self.contact_on(flow));
        let opening = Opening {
            target: domain.as_bytes(),
            from: &from,
            to: &to,
            call_id: &self.call_id,
            cseq: self.cseq,
            contact: contact.as_bytes(),
            routes: &[],
            flow,
        };
        let mut draft = opening
            .request(&Method::Register, branch)
            .header(Name::Expires, seconds.to_string())
            .header(Name::UserAgent, product);
        let ahead = || {
            let cnonce = minter.cnonce();
            let subject = Subject { method: "REGISTER", uri: domain.as_bytes(), cnonce: &cnonce };
            let value = self.auth.ahead(&account(self.credential.as_deref()?), subject)?;
            Some((Name::Authorization, value))
        };
        if let Some((name, value)) = self.proof.take().or_else(ahead) {
            draft = draft.header(name, value);
        }
        draft.finish()
    }

    fn contact_on(&self, flow: &Flow) -> String {
        let param = match flow.transport {
            Transport::Udp => String::new(),
            other => format!(";transport={}", other.param_name()),
        };
        format!("<sip:{}@{}{param}>", self.contact, flow.local)
    }

    /// Takes a final answer. `random` spreads the next try.
    pub(super) fn answered(&mut self, now: Mono, answer: &Message, random: u64, minter: &mut Minter) -> Then {
        let status = answer.status().unwrap_or(500);
        match status {
            200..300 if self.state == State::Leaving => self.gone(),
            200..300 => self.granted(now, answer, random),
            401 | 407 => match self.prove(answer, minter) {
                Ok(()) => Then::Again,
                Err(why) => self.refused(now, format!("{status}: {why}"), None, random),
            },
            423 if self.lengthen(answer) => Then::Again,
            _ => {
                let after = answer.header(Name::RetryAfter).and_then(leading_number).map(Duration::from_secs);
                self.refused(now, format!("answered {status}"), after, random)
            }
        }
    }

    /// Nothing answered, or there was no way to send.
    pub(super) fn lost(&mut self, now: Mono, why: &str, random: u64) -> Then {
        self.refused(now, why.to_owned(), None, random)
    }

    fn gone(&mut self) -> Then {
        self.state = State::Gone;
        self.until = None;
        Then::Gone
    }

    fn granted(&mut self, now: Mono, answer: &Message, random: u64) -> Then {
        let Some(granted) = self.granted_for(answer) else {
            return self.refused(now, "the answer does not list our contact".to_owned(), None, random);
        };
        let before = if granted > BEFORE_THE_END * 2 { BEFORE_THE_END } else { granted / 2 };
        self.until = Some(now + granted);
        self.state = State::Resting(now + (granted - before));
        self.failures = 0;
        self.fault.clear();
        self.auth.settled();
        Then::Registered
    }

    /// How long our Contact is bound; `None` when it is not. A registrar that lists none binds what was asked.
    fn granted_for(&self, answer: &Message) -> Option<Duration> {
        let header = answer.expires();
        let listed = match answer.contacts() {
            Ok(Contacts::List(listed)) => listed,
            Ok(Contacts::All) | Err(_) => Vec::new(),
        };
        let ours = |contact: &&NameAddr| contact.uri().is_ok_and(|uri| uri.user() == Some(self.contact.as_bytes()));
        let bound = match listed.iter().find(ours) {
            Some(contact) => contact.expires().or(header),
            None if listed.is_empty() => header,
            None => return None,
        };
        let granted = bound.map_or(self.expires, |seconds| Duration::from_secs(u64::from(seconds)));
        (!granted.is_zero()).then_some(granted.min(LONGEST))
    }

    fn prove(&mut self, challenge: &Message, minter: &mut Minter) -> Result<(), String> {
        let credential = self.credential.clone().ok_or("no credential is configured")?;
        let (asked, answers) = if challenge.status() == Some(407) {
            (Name::ProxyAuthenticate, Name::ProxyAuthorization)
        } else {
            (Name::WwwAuthenticate, Name::Authorization)
        };
        let wanted = credential.realm.as_ref().map(|realm| realm.as_bytes().to_vec()).or_else(|| self.realm.clone());
        let realm_of = |value: &&[u8]| Auth::parse(value).ok().and_then(|auth| auth.get("realm").map(<[u8]>::to_vec));
        let ours: Vec<_> =
            challenge.headers(asked).filter(|value| wanted.is_none() || realm_of(value) == wanted).collect();
        if ours.is_empty() {
            return Err("a foreign realm is not answered".to_owned());
        }
        let cnonce = minter.cnonce();
        let domain = format!("sip:{}", self.settings.domain);
        let subject = Subject { method: "REGISTER", uri: domain.as_bytes(), cnonce: &cnonce };
        let first = ours.first().and_then(realm_of);
        let value = self.auth.answer(ours, &account(&credential), subject).map_err(|why| why.to_string())?;
        self.realm = self.realm.take().or(first);
        self.proof = Some((answers, value));
        Ok(())
    }

    fn lengthen(&mut self, refusal: &Message) -> bool {
        let least = refusal.header(Name::MinExpires).and_then(leading_number).map(Duration::from_secs);
        let Some(least) = least.filter(|least| *least > self.expires && *least <= LONGEST && !self.lengthened) else {
            return false;
        };
        self.expires = least;
        self.lengthened = true;
        true
    }

    fn refused(&mut self, now: Mono, why: String, after: Option<Duration>, random: u64) -> Then {
        if self.state == State::Leaving {
            return self.gone();
        }
        self.fault = why;
        self.proof = None;
        let whole = REST.saturating_mul(1 << self.failures.min(16)).min(REST_MOST);
        self.failures = self.failures.saturating_add(1);
        let drawn = whole / 2 + share(whole / 2, random);
        let rest = drawn.max(after.unwrap_or_default().min(REST_MOST));
        // While a grant holds, its refresh is tried again before it ends.
        let latest = self.until.map(|until| now + until.since(now) / 2).filter(|at| at.since(now) > REST);
        let at = now + rest;
        self.state = State::Resting(latest.map_or(at, |latest| at.min(latest)));
        Then::Failed
    }
}

/// A random part of a span.
fn share(span: Duration, random: u64) -> Duration {
    span.saturating_mul(u32::try_from(random % 1_001).unwrap_or(0)) / 1_000
}

fn account(credential: &TrunkCredential) -> Account {
    Account { user: credential.user.clone(), password: credential.password.clone() }
}

/// The number a value begins with: `120 (maintenance)`.
fn leading_number(value: &[u8]) -> Option<u64> {
    let digits = value.iter().take_while(|byte| byte.is_ascii_digit()).count();
    std::str::from_utf8(value.get(..digits)?).ok()?.parse().ok()
}
