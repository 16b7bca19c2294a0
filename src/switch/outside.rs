//! New INVITEs of agents: proof, then a consult, a call of their own, a star code, or a refusal that leaves nothing.
//!
//! | the INVITE | what follows |
//! |---|---|
//! | wrong or no password | 401 |
//! | with Replaces | his talk with that dialog moves to this phone; no such dialog: 481 |
//! | a star code | the desk changes; 200 and a tone (`codes`) |
//! | in a talk | a consult leg of that call |
//! | an emergency line | a call, past every cap and drain |
//! | anybody else the plan and his class of service allow | a call; over a cap or draining: 503 |
//! | anything else | 403 or 404 |
//!
//! The host of the Request-URI, Route and maddr name nobody: only the number counts. RFC 3261 §16.12, §22; RFC 3891 §3.
//!
//! | limit | value |
//! |---|---|
//! | calls of one agent's own at once in which he still has his line, emergencies aside | 4, then 486 |

use std::sync::Arc;

use super::codes::Dialled;
use super::desk::Proof;
use super::words::{Beginning, Counted, NewCall, SwitchEffect};
use super::{Switch, admission};
use crate::acd::words::AcdInput;
use crate::base::id::{AgentId, CallId, TicketId};
use crate::base::now::Now;
use crate::call::agent_call::{AgentCall, Wish};
use crate::call::leg::words::Replaces;
use crate::call::legs::CALLER;
use crate::call::words::{Arrived, CallInput, Identity};
use crate::plan::outward::{Outward, OutwardWay, Refusal};
use crate::sip::header::refer;
use crate::sip::message::Name;
use crate::sip::transaction::key::{MergeKey, TxKey};

/// Max-Forwards assumed when an INVITE has none (RFC 3261 §16.6 step 3).
const MAX_FORWARDS: u8 = 70;
/// Calls of one agent's own at once: as many lines as a desk telephone commonly has.
const OWN_MOST: usize = 4;

/// An INVITE of an agent who has proved himself, and what it is filed under.
struct Asked {
    agent: AgentId,
    dialled: String,
    arrived: Arrived,
    key: TxKey,
    merge: Option<MergeKey>,
}

impl Switch {
    pub(super) fn on_agent_invite(
        &mut self,
        now: Now,
        key: TxKey,
        merge: Option<MergeKey>,
        arrived: Arrived,
        out: &mut Vec<SwitchEffect>,
    ) {
        let plan = Arc::clone(&self.plan);
        let proof = self.desk.prove(now, &plan.settings, &self.product, &arrived, out);
        let Proof::Agent(agent) = proof else { return };
        let dialled = arrived.message.uri().and_then(Result::ok).and_then(|uri| uri.dialled()).unwrap_or_default();
        let outward = plan.agent_dials(&agent, &dialled, &mut ());
        let emergency = matches!(&outward, Some(Outward { way: OutwardWay::Emergency(_), .. }));
        // An emergency call is not turned away for what it requires beyond us.
        let fits = |out: &mut Vec<_>| {
            self.require(&arrived, out) && self.readable(&arrived, out) && self.lasting(&arrived, out)
        };
        if !emergency && !fits(out) {
            return;
        }
        if arrived.message.max_forwards() == Some(0) {
            return self.refuse(&arrived, 483, None, &[], out);
        }
        let asked = Asked { agent, dialled, arrived, key, merge };
        if let Some(value) = asked.arrived.message.header(Name::Replaces).filter(|_| !emergency) {
            let named = refer::Replaces::parse(value).ok();
            return self.on_replaces(asked, named, out);
        }
        match Dialled::read(&asked.dialled) {
            Dialled::Code(command) => {
                let told = SwitchEffect::Acd(AcdInput::Desk(asked.agent.clone(), command));
                self.begin_own(now, asked, Wish::Code, true, Some(told), out);
            }
            Dialled::UnknownCode => self.refuse(&asked.arrived, 404, Some("Unknown Star Code"), &[], out),
            Dialled::Number => match (self.calls.talk_of(&asked.agent), outward) {
                (Some(call), _) => self.on_consult(call, asked, out),
                (None, Some(outward)) => self.on_own_call(now, asked, outward, out),
                (None, None) => self.refuse(&asked.arrived, 403, None, &[], out),
            },
        }
    }

    fn on_consult(&mut self, call: CallId, asked: Asked, out: &mut Vec<SwitchEffect>) {
        let Asked { agent, dialled, arrived, key, merge } = asked;
        let Some(leg) = self.calls.begin_consult(call, key, merge) else {
            return self.refuse(&arrived, 480, None, &[], out);
        };
        let (dialled, invite) = (Arc::from(dialled), Box::new(arrived));
        out.push(SwitchEffect::Deliver(call, CallInput::Consult { leg, agent, dialled, invite }));
    }

    /// The call looks whether the dialog is the agent's own; here only the call is found, by the tag we minted.
    fn on_replaces(&mut self, asked: Asked, named: Option<refer::Replaces>, out: &mut Vec<SwitchEffect>) {
        let Asked { agent, arrived, key, merge, .. } = asked;
        let Some(named) = named.filter(|_| arrived.message.headers(Name::Replaces).count() == 1) else {
            return self.refuse(&arrived, 400, Some("Bad Replaces"), &[], out);
        };
        let found = self.tokens.read_tag(&named.to_tag).filter(|(call, _)| self.calls.is_live(*call));
        let line = found.and_then(|(call, _)| Some((call, self.calls.begin_consult(call, key, merge)?)));
        let Some((call, leg)) = line else {
            return self.refuse(&arrived, 481, None, &[], out);
        };
        let text = |bytes: &[u8]| Box::from(String::from_utf8_lossy(bytes));
        let replaces = Box::new(Replaces {
            call_id: text(&named.call_id),
            to_tag: text(&named.to_tag),
            from_tag: text(&named.from_tag),
            early_only: named.early_only,
        });
        let invite = Box::new(arrived);
        out.push(SwitchEffect::Deliver(call, CallInput::Replace { leg, agent, replaces, invite }));
    }

    fn on_own_call(&mut self, now: Now, asked: Asked, outward: Outward, out: &mut Vec<SwitchEffect>) {
        let emergency = match outward.way {
            OutwardWay::Refused(refusal) => return self.refuse_number(&asked.arrived, refusal, out),
            OutwardWay::Emergency(_) => true,
            OutwardWay::Agent(_)
            | OutwardWay::Queue(_)
            | OutwardWay::Seats(_)
            | OutwardWay::Named { .. }
            | OutwardWay::Outside(_) => false,
        };
        self.begin_own(now, asked, Wish::Reach(Box::new(outward)), emergency, None, out);
    }

    fn refuse_number(&self, arrived: &Arrived, refusal: Refusal, out: &mut Vec<SwitchEffect>) {
        let (status, phrase) = refusal.answer();
        self.refuse(arrived, status, Some(phrase), &[], out);
    }

    /// Begins a call; `exempt` from caps and drain. A code is: while callers fill the engine, an agent must be able to
    /// say that he is ready for them.
    fn begin_own(
        &mut self,
        now: Now,
        asked: Asked,
        wish: Wish,
        exempt: bool,
        told: Option<SwitchEffect>,
        out: &mut Vec<SwitchEffect>,
    ) {
        let Asked { agent, dialled, arrived, key, merge } = asked;
        let Some(entry) = self.plan.agent(&agent).cloned() else {
            return self.refuse(&arrived, 403, None, &[], out);
        };
        let emergency = matches!(&wish, Wish::Reach(outward) if matches!(outward.way, OutwardWay::Emergency(_)));
        if !emergency && self.calls.own_of(&agent) >= OWN_MOST {
            return self.refuse(&arrived, 486, Some("Too Many Calls Of One Agent"), &[], out);
        }
        let call = CallId(self.mint(now, &entry.tenant));
        if let Err(refused) = self.admission.admit(now, call, None, exempt) {
            out.push(SwitchEffect::Count(Counted::Refused(None, refused)));
            let after = admission::RETRY_AFTER.as_secs().to_string();
            return self.refuse(&arrived, 503, None, &[(Name::RetryAfter, &after)], out);
        }
        out.extend(told);
        let ticket = TicketId(self.mint(now, &entry.tenant));
        let seed = self.draw();
        self.calls.begin(call, CALLER, key, merge);
        self.calls.note_own(&agent, call);
        let facts = AgentCall {
            agent,
            tenant: entry.tenant.clone(),
            wish,
            dialled_raw: Arc::from(dialled),
            sip_call_id: Arc::from(String::from_utf8_lossy(arrived.message.call_id())),
            max_forwards: arrived.message.max_forwards().unwrap_or(MAX_FORWARDS),
        };
        let identity = Identity { call, ticket, seed, advertised: None };
        let new = NewCall { identity, invite: arrived, facts: Beginning::Agent(facts), emergency };
        out.push(SwitchEffect::Begin(Box::new(new)));
    }
}
