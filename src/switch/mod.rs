//! Whose packet is this: routes every message to its leg, answers what belongs to no call, and lets new calls in.
//!
//! | a message | goes |
//! |---|---|
//! | response | by the branch we minted, to its leg or to the request of our own (`own`) |
//! | request with a To-tag | by the tag we minted, to its leg; unknown: 481 (ACK: silence) |
//! | repeated INVITE, CANCEL, ACK without a tag of ours | by the key of the INVITE |
//! | INVITE from a trunk | plan, admission, a new call; unknown source: 403 |
//! | SUBSCRIBE from an agent | digest; watches a line (`subscribe`) |
//! | INVITE from an agent | digest; then a consult leg, a call of his own or a star code (`outside`) |
//! | REGISTER | digest, bindings ([`desk`]) |
//! | OPTIONS | 200 |
//! | anything else outside a call | 405 or 481 |
//!
//! Nothing that is refused here leaves state behind, and how much one address can be refused has a rate
//! (`throttle`); trunks and registered phones are exempt. Deliberately absent: sockets. RFC 3261 §8.2, §10.3, §11,
//! §17.2.3; RFC 3891.
//!
//! | limit | value |
//! |---|---|
//! | answered REGISTERs remembered for repetitions | 8,192, oldest forgotten first |

use std::sync::Arc;

use bytes::Bytes;

use crate::acd::words::{AcdInput, LineState};
use crate::base::flow::{Flow, FlowId, Side, Transport};
use crate::base::id::{AgentId, CallId, LegId, TenantName, Ulid};
use crate::base::now::{Mono, Now};
use crate::call::leg::words::EXTENSIONS;
use crate::call::words::{Arrived, CallInput};
use crate::plan::model::Plan;
use crate::rtp::command::MediaLeg;
use crate::sip::keep_alive::KeepAlive;
use crate::sip::message::{Message, Method, Name, stateless_tag};
use crate::sip::multipart::part;
use crate::sip::print::Draft;
use crate::sip::session_timer::{Asked, SessionPolicy};
use crate::sip::token::TokenKey;
use crate::sip::transaction::key::TxKey;
use crate::switch::admission::Admission;
use crate::switch::calls::Calls;
use crate::switch::desk::Desk;
use crate::switch::hops::HopGuard;
use crate::switch::own::{Outcome, Own};
use crate::switch::subscribe::Subscriptions;
use crate::switch::trunks::Trunks;
use crate::switch::words::{Counted, SwitchEffect};

pub mod admission;
pub mod calls;
mod codes;
pub mod damping;
pub mod desk;
mod find;
mod hops;
mod incoming;
pub mod locate;
mod outbound_registration;
mod outside;
mod own;
mod reading;
mod subscribe;
mod throttle;
pub mod trunks;
pub mod words;

/// Extensions a REGISTER may require.
const REGISTER_SUPPORTED: &[&str] = &["path", "outbound"];
/// Methods served on the trunk side.
const ALLOW: &str = "INVITE, ACK, CANCEL, BYE, OPTIONS, PRACK, UPDATE, REFER, NOTIFY, INFO";
/// Methods served on the agent side.
const AGENT_ALLOW: &str = "INVITE, ACK, CANCEL, BYE, OPTIONS, PRACK, UPDATE, REFER, NOTIFY, INFO, REGISTER, SUBSCRIBE";

/// Bodies a request may bring.
const ACCEPT: &str = "application/sdp, multipart/mixed";

/// The engine's secrets and its beginning randomness; all come in as values.
#[derive(Clone)]
pub struct Secrets {
    /// Signs tags and branches.
    pub tokens: TokenKey,
    /// Signs digest nonces.
    pub nonces: [u8; 32],
    /// Seeds call ids.
    pub seed: u64,
}

/// The switch.
pub struct Switch {
    plan: Arc<Plan>,
    tokens: TokenKey,
    product: String,
    random: Draws,
    calls: Calls,
    desk: Desk,
    own: Own,
    subscriptions: Subscriptions,
    admission: Admission,
    trunks: Trunks,
    hops: HopGuard,
}

impl Switch {
    /// A switch with nothing in it yet.
    #[must_use]
    pub fn new(plan: Arc<Plan>, secrets: &Secrets, product: &str) -> Self {
        let desk = Desk::new(&plan.settings, secrets.nonces);
        let admission = Admission::new(plan.settings.limits.calls_max, plan.settings.limits.calls_per_second);
        Self {
            plan,
            tokens: secrets.tokens,
            product: product.to_owned(),
            random: Draws(secrets.seed),
            calls: Calls::default(),
            desk,
            own: Own::new(secrets.tokens),
            subscriptions: Subscriptions::new(secrets.tokens),
            admission,
            trunks: Trunks::new(secrets.tokens),
            hops: HopGuard::new(&secrets.tokens),
        }
    }

    /// Takes a datagram, or one framed message of a stream.
    pub fn receive(&mut self, now: Now, flow: Flow, bytes: Bytes, out: &mut Vec<SwitchEffect>) {
        if flow.transport == Transport::Udp
            && let Some(keep_alive) = KeepAlive::of(&bytes, flow.remote)
        {
            if let KeepAlive::Answer(answer) = keep_alive
                && self.bears(now, &flow, out)
            {
                out.push(SwitchEffect::Transmit(flow, answer));
            }
            return;
        }
        let parsed = if flow.transport.is_stream() { Message::framed(bytes) } else { Message::datagram(bytes) };
        let message = match parsed {
            Ok(message) => message,
            Err(malformed) => {
                out.push(SwitchEffect::Count(Counted::Malformed));
                if !self.bears(now, &flow, out) {
                    return;
                }
                out.extend(malformed.response_bytes().map(|bytes| SwitchEffect::Transmit(flow, bytes)));
                return;
            }
        };
        match message.method().cloned() {
            None => self.on_response(now, message, flow, out),
            Some(method) => self.on_request(now, &method, Arrived { message, flow }, out),
        }
    }

    /// A connection is gone.
    pub fn closed(&mut self, now: Now, flow: FlowId, out: &mut Vec<SwitchEffect>) {
        self.desk.closed(flow, out);
        let mut outcomes = Vec::new();
        self.subscriptions.closed(flow);
        self.own.closed(flow, &mut outcomes);
        self.on_outcomes(now, outcomes, out);
        self.registrations_lose(now, flow);
    }

    /// A call counts no more; its names live until [`Self::call_over`].
    pub fn call_closed(&mut self, call: CallId) {
        self.admission.leave(call);
    }

    /// A call is over; a call that did not end whole leaves nothing of itself here either.
    pub fn call_over(&mut self, call: CallId) {
        for agent in self.calls.remove(call) {
            self.subscriptions.changed(&agent);
        }
        self.admission.leave(call);
        self.trunks.forget_call(call);
        self.hops.over(call);
    }

    /// An agent's leg changed, as its call said.
    pub fn note_line(&mut self, agent: AgentId, leg: MediaLeg, state: LineState) {
        if self.calls.note_line(agent.clone(), leg, state) {
            self.subscriptions.changed(&agent);
        }
    }

    /// A new plan is in force.
    pub fn replan(&mut self, plan: Arc<Plan>, out: &mut Vec<SwitchEffect>) {
        self.desk.replan(&plan.settings, out);
        self.subscriptions.retain(|agent| plan.settings.agents.contains_key(agent));
        self.admission.set_caps(plan.settings.limits.calls_max, plan.settings.limits.calls_per_second);
        self.plan = plan;
        self.trunks.replan();
    }

    /// From now on only emergency calls are let in.
    pub const fn drain(&mut self) {
        self.admission.drain();
    }

    /// Whether the journal can take more calls.
    pub const fn set_journal_full(&mut self, full: bool) {
        self.admission.set_journal_full(full);
    }

    /// Acts on whatever is due.
    pub fn on_deadline(&mut self, now: Now, out: &mut Vec<SwitchEffect>) {
        self.desk.on_deadline(now, out);
        let mut outcomes = Vec::new();
        self.own.on_deadline(now, out, &mut outcomes);
        self.on_outcomes(now, outcomes, out);
        self.notify(now, out);
    }

    /// When to wake; for [`Self::on_deadline`] and [`Self::tend`].
    #[must_use]
    pub fn deadline(&self) -> Option<Mono> {
        let own = [self.desk.deadline(), self.own.deadline(), self.subscriptions.deadline(), self.trunks.deadline()];
        own.into_iter().flatten().min()
    }

    /// The registrations.
    #[must_use]
    pub const fn desk(&self) -> &Desk {
        &self.desk
    }

    /// Subscriptions that live, names held for them, and requests of our own without an answer.
    #[must_use]
    pub fn watching(&self) -> (usize, usize, usize) {
        (self.subscriptions.len(), self.subscriptions.names(), self.own.len())
    }

    /// The live calls.
    #[must_use]
    pub const fn calls(&self) -> &Calls {
        &self.calls
    }

    /// Who is let in.
    #[must_use]
    pub const fn admission(&self) -> &Admission {
        &self.admission
    }

    /// The plan in force.
    #[must_use]
    pub const fn plan(&self) -> &Arc<Plan> {
        &self.plan
    }

    fn on_response(&mut self, now: Now, message: Message, flow: Flow, out: &mut Vec<SwitchEffect>) {
        let (ours, outcome) = self.own.on_response(now, &message);
        if ours {
            return self.on_outcomes(now, outcome, out);
        }
        let named = message.via().branch().and_then(|branch| self.tokens.read_branch(branch));
        match named.filter(|(call, _)| self.calls.is_live(*call)) {
            Some((call, leg)) => {
                if message.status() == Some(430) && flow.side == Side::Agent {
                    self.flow_failed(&message, &flow, out);
                }
                deliver(call, leg, Arrived { message, flow }, out);
            }
            None => out.push(SwitchEffect::Count(Counted::Stray)),
        }
    }

    /// An edge proxy between us and a phone answered 430: the binding behind it is dead (RFC 5626 §5.3).
    fn flow_failed(&mut self, response: &Message, flow: &Flow, out: &mut Vec<SwitchEffect>) {
        if let Some(agent) = response.to().uri().ok().and_then(|uri| uri.user_text()) {
            self.desk.flow_failed(&AgentId::new(agent), flow, out);
        }
    }

    /// What the switch's own requests came to.
    fn on_outcomes(&mut self, now: Now, outcomes: impl IntoIterator<Item = Outcome>, out: &mut Vec<SwitchEffect>) {
        for Outcome { errand, fate } in outcomes {
            match errand {
                own::Errand::Notify(number) => self.subscriptions.notified(number, &fate),
                own::Errand::Probe(end, nth) => self.on_probed(now, (&end, nth), &fate, out),
                own::Errand::Register(trunk) => self.on_registered(now, &trunk, &fate, out),
            }
        }
    }

    fn on_request(&mut self, now: Now, method: &Method, arrived: Arrived, out: &mut Vec<SwitchEffect>) {
        if let Err(refusal) = arrived.message.check_request() {
            out.push(SwitchEffect::Count(Counted::Malformed));
            if !self.bears(now, &arrived.flow, out) {
                return;
            }
            return self.refuse(&arrived, refusal.status, Some(&refusal.phrase), &[], out);
        }
        if arrived.message.to_tag().is_some() {
            return self.on_tagged(now, method, arrived, out);
        }
        let Some(key) = TxKey::of(&arrived.message) else { return };
        let about = if matches!(method, Method::Cancel | Method::Ack) { key.of_invite() } else { key.clone() };
        if let Some(leg) = self.calls.by_invite(&about) {
            return deliver(leg.call, leg.leg, arrived, out);
        }
        if !self.desk.is_registered(&arrived) && !self.bears(now, &arrived.flow, out) {
            return;
        }
        match method {
            Method::Ack => out.push(SwitchEffect::Count(Counted::Stray)),
            Method::Cancel => {
                out.push(SwitchEffect::Count(Counted::Stray));
                self.refuse(&arrived, 481, None, &[], out);
            }
            Method::Invite => self.on_invite(now, key, arrived, out),
            Method::Register => self.on_register(now, key, &arrived, out),
            Method::Options => self.on_options(&arrived, out),
            Method::Bye | Method::Info | Method::Notify | Method::Prack | Method::Refer | Method::Update => {
                self.refuse(&arrived, 481, None, &[], out);
            }
            Method::Subscribe if arrived.flow.side == Side::Agent => self.on_subscribe(now, key, &arrived, out),
            Method::Subscribe | Method::Message | Method::Publish => {
                self.refuse(&arrived, 405, None, &[(Name::Allow, allow(arrived.flow.side))], out)
            }
            Method::Other(_) => self.refuse(&arrived, 501, None, &[(Name::Allow, allow(arrived.flow.side))], out),
        }
    }

    fn on_tagged(&mut self, now: Now, method: &Method, arrived: Arrived, out: &mut Vec<SwitchEffect>) {
        let tag = arrived.message.to_tag().unwrap_or_default();
        if let Some((call, leg)) = self.tokens.read_tag(tag).filter(|(call, _)| self.calls.is_live(*call)) {
            return deliver(call, leg, arrived, out);
        }
        let subscription = self.tokens.read_own_tag(tag).filter(|_| *method == Method::Subscribe);
        if !self.bears(now, &arrived.flow, out) {
            return;
        }
        match subscription.filter(|_| arrived.flow.side == Side::Agent) {
            Some(number) => self.on_subscribe_again(now, number, &arrived, out),
            None => {
                out.push(SwitchEffect::Count(Counted::Stray));
                self.refuse(&arrived, 481, None, &[], out);
            }
        }
    }

    fn on_options(&self, arrived: &Arrived, out: &mut Vec<SwitchEffect>) {
        if !self.require(arrived, out) {
            return;
        }
        let known = arrived.flow.side == Side::Agent || self.trunk_of(arrived).is_some();
        let status = if known { 200 } else { 403 };
        let mut headers = vec![(Name::Allow, allow(arrived.flow.side)), (Name::Accept, ACCEPT)];
        if arrived.flow.side == Side::Agent {
            headers.push((Name::AllowEvents, subscribe::PACKAGE));
        }
        self.refuse(arrived, status, None, &headers, out);
    }

    fn on_register(&mut self, now: Now, key: TxKey, arrived: &Arrived, out: &mut Vec<SwitchEffect>) {
        if arrived.flow.side != Side::Agent {
            out.push(SwitchEffect::Count(Counted::UnknownSource));
            return self.refuse(arrived, 403, None, &[], out);
        }
        if !self.require_of(REGISTER_SUPPORTED, arrived, out) {
            return;
        }
        self.desk.register(now, &self.plan.settings, &self.product, key, arrived, out);
    }

    /// Whether this peer may draw another answer; a trunk always. Who may not is counted and hears nothing.
    fn bears(&mut self, now: Now, flow: &Flow, out: &mut Vec<SwitchEffect>) -> bool {
        let trunk = flow.side == Side::Trunk && self.trunk_at(flow.remote).is_some();
        let bears = trunk || self.desk.bears(now, flow);
        if !bears {
            out.push(SwitchEffect::Count(Counted::Throttled));
        }
        bears
    }

    /// Answers 420 when the request requires what we have not.
    fn require(&self, arrived: &Arrived, out: &mut Vec<SwitchEffect>) -> bool {
        self.require_of(EXTENSIONS, arrived, out)
    }

    fn require_of(&self, supported: &[&str], arrived: &Arrived, out: &mut Vec<SwitchEffect>) -> bool {
        match arrived.message.check_extensions(supported) {
            Ok(()) => true,
            Err((refusal, unsupported)) => {
                let list = unsupported.join(", ");
                self.refuse(arrived, refusal.status, None, &[(Name::Unsupported, &list)], out);
                false
            }
        }
    }

    /// Answers 415 to an INVITE whose body holds no session description: taken for one without an offer, its peer would
    /// wait for the answer to what it wrote (RFC 3261 §8.2.3).
    fn readable(&self, arrived: &Arrived, out: &mut Vec<SwitchEffect>) -> bool {
        let message = &arrived.message;
        let is_sdp = message.is_content("application/sdp") || part(message, "application/sdp").is_some();
        let foreign = message.content_type().is_some() && !is_sdp;
        if foreign && !message.body_bytes().is_empty() {
            self.refuse(arrived, 415, None, &[(Name::Accept, ACCEPT)], out);
            return false;
        }
        true
    }

    /// Answers 422 to an INVITE whose session interval is too small for us (RFC 4028 §9): the caller then tries again
    /// with a longer one, so no call is begun for the first try.
    fn lasting(&self, arrived: &Arrived, out: &mut Vec<SwitchEffect>) -> bool {
        let sip = &self.plan.settings.sip;
        let policy = SessionPolicy { interval: sip.session_expires, min_se: sip.min_se };
        let Err(fault) = policy.grant(&Asked::of(&arrived.message)) else { return true };
        let min_se = fault.min_se.as_secs().to_string();
        self.refuse(arrived, 422, None, &[(Name::MinSe, &min_se)], out);
        false
    }

    /// A final answer that keeps no state: a repeated request draws it again.
    fn refuse(
        &self,
        arrived: &Arrived,
        status: u16,
        phrase: Option<&str>,
        headers: &[(Name, &str)],
        out: &mut Vec<SwitchEffect>,
    ) {
        if arrived.message.is(&Method::Ack) {
            return;
        }
        let mut draft = Draft::response(&arrived.message, status, phrase)
            .via_source(arrived.flow.remote)
            .to_tag(stateless_tag(&arrived.message).as_bytes())
            .header(Name::Server, &self.product);
        for (name, value) in headers {
            draft = draft.header(*name, value);
        }
        out.push(SwitchEffect::Transmit(arrived.flow, draft.finish().bytes().clone()));
    }

    const fn draw(&mut self) -> u64 {
        self.random.next()
    }

    fn mint(&mut self, now: Now, tenant: &TenantName) -> Ulid {
        let random = self.draw();
        Ulid::compose(now.wall, self.plan.settings.node, tenant, random)
    }
}

/// Random numbers (SplitMix64): what they are for needs to differ, not to be secret.
struct Draws(u64);

impl Draws {
    const fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// 0 to 1,000.
    fn thousandths(&mut self) -> u32 {
        u32::try_from(self.next() % 1_001).unwrap_or(0)
    }

    /// Others, for use beside these.
    const fn fork(&mut self) -> Self {
        Self(self.next())
    }
}

fn deliver(call: CallId, leg: LegId, arrived: Arrived, out: &mut Vec<SwitchEffect>) {
    out.push(SwitchEffect::Deliver(call, CallInput::Sip(leg, Box::new(arrived))));
}

const fn allow(side: Side) -> &'static str {
    match side {
        Side::Trunk => ALLOW,
        Side::Agent => AGENT_ALLOW,
    }
}

/// What the ACD hears of a phone.
fn reachable(agent: AgentId, is: bool) -> SwitchEffect {
    SwitchEffect::Acd(AcdInput::Reachable(agent, is))
}

#[cfg(test)]
mod tests;
