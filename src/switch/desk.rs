//! Agents' phones: who has shown the password, where they are registered, and what the queues hear of it.
//!
//! A REGISTER or SUBSCRIBE over datagrams that was proven is remembered with its answer for the time its repetitions may come,
//! because a repeated one would fail the nonce count. Challenges keep no state. Which flow reaches a phone is
//! [`registrar`](crate::sip::registrar)'s; who guesses passwords is slowed down by [`damping`](super::damping) and who
//! asks without end is not answered by `throttle`. Deliberately absent: Service-Route, GRUU.
//! RFC 3261 §10.3, §22; RFC 3327; RFC 5626 §6; RFC 7616.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;

use super::damping::Damping;
use super::reachable;
use super::throttle::Throttle;
use super::words::SwitchEffect;
use crate::base::flow::{Flow, FlowId};
use crate::base::id::AgentId;
use crate::base::now::{Mono, Now};
use crate::call::words::Arrived;
use crate::plan::settings::{DigestHash, Settings};
use crate::sip::digest::Algorithm;
use crate::sip::digest::server::{Authenticator, DigestPolicy, NonceKey};
use crate::sip::message::{Message, Name, stateless_tag};
use crate::sip::print::Draft;
use crate::sip::registrar::{Binding, Registrar, RegistrarEffect, RegistrarLimits};
use crate::sip::transaction::key::TxKey;
use crate::sip::transaction::timers::SipTimers;
use crate::sip::uri::Uri;

mod proof;

pub(super) use proof::Proof;

/// Answered requests remembered at once.
const REMEMBERED: usize = 8_192;

/// Registrations and the proof behind them.
pub struct Desk {
    authenticator: Authenticator,
    damping: Damping,
    throttle: Throttle,
    registrar: Registrar,
    answered: BTreeMap<TxKey, Bytes>,
    forget: VecDeque<(Mono, TxKey)>,
}

impl Desk {
    pub(super) fn new(settings: &Settings, nonces: [u8; 32]) -> Self {
        let policy = DigestPolicy { algorithms: algorithms(settings), ..DigestPolicy::default() };
        let slots = nonces.iter().fold(1, |key: u64, byte| key.rotate_left(7) ^ u64::from(*byte));
        Self {
            authenticator: Authenticator::new(&settings.sip.realm, NonceKey::new(nonces), policy),
            damping: Damping::new(),
            throttle: Throttle::new(slots),
            registrar: Registrar::new(limits(settings)),
            answered: BTreeMap::new(),
            forget: VecDeque::new(),
        }
    }

    /// Other settings: who is no agent any more is registered no more; realm, algorithms and limits hold from now on.
    pub(super) fn replan(&mut self, settings: &Settings, out: &mut Vec<SwitchEffect>) {
        self.authenticator.set(&settings.sip.realm, algorithms(settings));
        self.registrar.set_limits(limits(settings));
        let mut effects = Vec::new();
        self.registrar.retain(|agent| settings.agents.contains_key(agent), &mut effects);
        self.tell(effects, out);
    }

    /// Where an agent's phones are, best first.
    #[must_use]
    pub fn bindings(&self, agent: &AgentId) -> Vec<&Binding> {
        let mut bindings: Vec<_> = self.registrar.bindings(agent).iter().collect();
        bindings.sort_by_key(|binding| (std::cmp::Reverse(binding.q), std::cmp::Reverse(binding.id)));
        bindings
    }

    /// All registered agents with the number of their phones.
    pub fn registered(&self) -> impl Iterator<Item = (&AgentId, usize)> {
        self.registrar.agents().map(|(agent, bindings)| (agent, bindings.len()))
    }

    pub(super) fn register(
        &mut self,
        now: Now,
        settings: &Settings,
        product: &str,
        key: TxKey,
        arrived: &Arrived,
        out: &mut Vec<SwitchEffect>,
    ) {
        if self.repeat(now, &key, arrived, out) {
            return;
        }
        let Proof::Agent(agent) = self.prove(now, settings, product, arrived, out) else { return };
        let request = &arrived.message;
        // The address of record must be the agent's own (RFC 3261 §10.3 step 4).
        let named = request.to().uri().ok().and_then(|uri: Uri| uri.user_text());
        if named.as_deref() != Some(agent.as_str()) {
            return answer(arrived, draft(arrived, product, 403), out);
        }
        let mut effects = Vec::new();
        let registered = self.registrar.register(now, &agent, request, arrived.flow, &mut effects);
        let response = match &registered {
            Ok(registered) => registered.dress(draft(arrived, product, 200)),
            Err(fault) => fault.dress(draft(arrived, product, fault.status())),
        };
        let response = response.header(Name::Date, http_date(now)).finish();
        self.answer_once(now, &settings_timers(settings), key, arrived, &response, out);
        self.tell(effects, out);
        // A refresh is a sign of life too.
        if registered.is_ok() && !self.registrar.bindings(&agent).is_empty() {
            out.push(reachable(agent, true));
        }
    }

    /// An edge proxy says that the flow to an agent's phone behind it is gone (430, RFC 5626 §5.3).
    pub(super) fn flow_failed(&mut self, agent: &AgentId, flow: &Flow, out: &mut Vec<SwitchEffect>) {
        let mut effects = Vec::new();
        self.registrar.on_flow_failed(agent, flow, &mut effects);
        self.tell(effects, out);
    }

    pub(super) fn closed(&mut self, flow: FlowId, out: &mut Vec<SwitchEffect>) {
        let mut effects = Vec::new();
        self.registrar.on_flow_lost(flow, &mut effects);
        self.tell(effects, out);
    }

    pub(super) fn on_deadline(&mut self, now: Now, out: &mut Vec<SwitchEffect>) {
        let mut effects = Vec::new();
        self.registrar.on_deadline(now, &mut effects);
        self.tell(effects, out);
        self.damping.on_deadline(now);
        self.forget_old(now);
    }

    pub(super) fn deadline(&self) -> Option<Mono> {
        let forget = self.forget.front().map(|(at, _)| *at);
        [self.registrar.deadline(), self.damping.deadline(), forget].into_iter().flatten().min()
    }

    /// Answers remembered for repetitions.
    #[must_use]
    pub fn remembered(&self) -> usize {
        self.answered.len()
    }

    fn tell(&self, effects: Vec<RegistrarEffect>, out: &mut Vec<SwitchEffect>) {
        for effect in effects {
            if let RegistrarEffect::Gone { agent, last: true, .. } = effect
                && self.registrar.bindings(&agent).is_empty()
            {
                out.push(reachable(agent, false));
            }
        }
    }

    /// Answers a repeated request as it was answered; whether it was one.
    pub(super) fn repeat(&mut self, now: Now, key: &TxKey, arrived: &Arrived, out: &mut Vec<SwitchEffect>) -> bool {
        self.forget_old(now);
        let answer = self.answered.get(key).cloned();
        out.extend(answer.iter().map(|answer| SwitchEffect::Transmit(arrived.flow, answer.clone())));
        answer.is_some()
    }

    /// Answers a request whose proof serves once, so that over datagrams its repetitions get the same answer.
    pub(super) fn answer_once(
        &mut self,
        now: Now,
        timers: &SipTimers,
        key: TxKey,
        arrived: &Arrived,
        response: &Message,
        out: &mut Vec<SwitchEffect>,
    ) {
        if !arrived.flow.transport.is_reliable() {
            self.remember(now, timers, key, response);
        }
        out.push(SwitchEffect::Transmit(arrived.flow, response.bytes().clone()));
    }

    fn remember(&mut self, now: Now, timers: &SipTimers, key: TxKey, response: &Message) {
        while self.answered.len() >= REMEMBERED
            && let Some((_, oldest)) = self.forget.pop_front()
        {
            self.answered.remove(&oldest);
        }
        self.forget.push_back((now.mono + timers.give_up(), key.clone()));
        self.answered.insert(key, response.bytes().clone());
    }

    fn forget_old(&mut self, now: Now) {
        while self.forget.front().is_some_and(|(at, _)| *at <= now.mono)
            && let Some((_, key)) = self.forget.pop_front()
        {
            self.answered.remove(&key);
        }
    }
}

pub(super) fn draft(arrived: &Arrived, product: &str, status: u16) -> Draft {
    Draft::response(&arrived.message, status, None)
        .via_source(arrived.flow.remote)
        .to_tag(stateless_tag(&arrived.message).as_bytes())
        .header(Name::Server, product)
}

fn answer(arrived: &Arrived, draft: Draft, out: &mut Vec<SwitchEffect>) {
    out.push(SwitchEffect::Transmit(arrived.flow, draft.finish().bytes().clone()));
}

fn limits(settings: &Settings) -> RegistrarLimits {
    RegistrarLimits {
        least: settings.sip.register_min,
        longest: settings.sip.register_max,
        total: settings.limits.registrations_max as usize,
        ..RegistrarLimits::default()
    }
}

fn algorithms(settings: &Settings) -> Vec<Algorithm> {
    let algorithm = |hash: &DigestHash| match hash {
        DigestHash::Md5 => Algorithm::Md5,
        DigestHash::Sha256 => Algorithm::Sha256,
    };
    settings.sip.digest.iter().map(algorithm).collect()
}

/// The transaction timers of the settings.
pub(crate) fn settings_timers(settings: &Settings) -> SipTimers {
    SipTimers { t1: settings.sip.t1, t2: settings.sip.t2, t4: settings.sip.t4 }
}

/// `Sat, 21 Nov 2026 02:00:00 GMT` (RFC 3261 §20.17).
fn http_date(now: Now) -> String {
    now.wall.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string()
}
