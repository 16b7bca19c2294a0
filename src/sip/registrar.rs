//! Who can be reached where: the bindings of each agent's address of record.
//!
//! RFC 3261 §10.3, RFC 3327 (Path), RFC 5626 §6 (a phone's flows, named by `+sip.instance` and `reg-id`), §5.3 (a flow
//! that failed).
//!
//! | request | what happens |
//! |---|---|
//! | no Contact | nothing; the answer lists the bindings |
//! | `Contact: *`, Expires 0 | all bindings go that this Call-ID and CSeq may remove |
//! | Contact, interval 0 | that binding goes |
//! | Contact, interval below the least | 423 with Min-Expires, nothing changes |
//! | Contact, other interval | bound or refreshed, for at most the longest interval |
//! | Call-ID of a binding with a CSeq that is not higher | 500, nothing changes |
//! | Path, and no `Supported: path` | 420, nothing changes |
//! | `reg-id` and `Supported: outbound` through a proxy that put no `ob` into Path | 439, nothing changes |
//! | `reg-id` and `Supported: outbound` otherwise | the binding is the phone's flow of that number, whatever its address |
//! | `+sip.instance` without such a `reg-id` | bindings of the same phone before it restarted (other Call-ID) go |
//!
//! A binding is reached over the flow its REGISTER came over: that is what passes a NAT, and what a browser's
//! `.invalid` address means. Only a datagram phone that registers from another port than it names, with no NAT between
//! (its Via tells the truth and the address is the same), is reached at the port it names; so nobody can bind an
//! address of somebody else.
//!
//! A request is carried out wholly or not at all. Deliberately absent: authentication ([`super::digest`]) and which
//! user may register which address (`switch`); choosing a binding to call; GRUU; Service-Route.
//! Limits: [`RegistrarLimits`]; beyond `per_agent` the binding that would expire first gives way, beyond `total` a
//! new one is refused with 503; what one binding keeps of its request is at most 2,048 octets (400).

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::message::{Message, Name};
use super::print::Draft;
use super::text;
use super::uri::Uri;
use crate::base::flow::{Flow, FlowId};
use crate::base::id::AgentId;
use crate::base::now::{Mono, Now};
use wish::{Asked, Wish, Wishes};

mod wish;

/// How often a phone is asked to show that its flow lives, at the least (RFC 5626 §4.4.1).
const FLOW_TIMER_S: u32 = 120;

/// How long and how many.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct RegistrarLimits {
    /// The least interval granted.
    pub least: Duration,
    /// The longest interval granted; also what a request gets that names none.
    pub longest: Duration,
    /// Bindings of one agent.
    pub per_agent: usize,
    /// Bindings in all.
    pub total: usize,
}

impl Default for RegistrarLimits {
    fn default() -> Self {
        Self { least: Duration::from_secs(60), longest: Duration::from_secs(3600), per_agent: 8, total: 10_000 }
    }
}

/// One place where an agent can be reached.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Binding {
    /// Never reused within a registrar.
    pub id: u64,
    /// The request-URI of requests to it.
    pub uri: Uri,
    /// Preference in thousandths, the highest first.
    pub q: u16,
    /// When it ends.
    pub expires_at: Mono,
    /// What requests to it go over.
    pub flow: Flow,
    /// Route values of requests to it (RFC 3327 §5.3).
    pub path: Vec<Bytes>,
    /// Which phone it is, where the phone says so.
    pub instance: Option<Instance>,
    call_id: Bytes,
    cseq: u32,
}

/// A phone, and which of its flows (RFC 5626 §4.1, §4.2).
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Instance {
    /// The `+sip.instance`, without its quotes.
    pub id: Bytes,
    /// The `reg-id`, where outbound applies.
    pub reg_id: Option<u32>,
}

/// What changed.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum RegistrarEffect {
    /// A new binding.
    Bound {
        /// Whose.
        agent: AgentId,
        /// Which.
        binding: u64,
        /// Whether the agent had none before.
        first: bool,
    },
    /// A binding lives on.
    Refreshed {
        /// Whose.
        agent: AgentId,
        /// Which.
        binding: u64,
        /// Whether it is over another flow now.
        moved: bool,
    },
    /// A binding is gone.
    Gone {
        /// Whose.
        agent: AgentId,
        /// Which.
        binding: u64,
        /// Why.
        why: GoneWhy,
        /// Whether the agent has none left.
        last: bool,
    },
}

/// Why a binding is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum GoneWhy {
    /// The phone took it back.
    Unregistered,
    /// It was not refreshed in time.
    Expired,
    /// The same phone bound another address, or a newer binding needed its place.
    Replaced,
    /// Its connection is gone, or an edge proxy says that it is (430).
    FlowLost,
    /// The agent is no more.
    Withdrawn,
}

/// Why a REGISTER is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, thiserror::Error)]
pub enum RegistrarFault {
    /// A Contact cannot be read, or `*` is used otherwise than to remove all.
    #[error("bad Contact")]
    BadContact,
    /// The interval is below the least.
    #[error("interval too brief, at least {least_s} s")]
    TooBrief {
        /// For the Min-Expires header.
        least_s: u32,
    },
    /// An older request came after a newer one.
    #[error("CSeq out of order")]
    OutOfOrder,
    /// No room for another binding.
    #[error("too many bindings")]
    Full,
    /// There is a Path, and the phone does not know what that is.
    #[error("Path without support for it")]
    PathUnsupported,
    /// The phone counts on its first hop for its flow, and the first hop does not keep flows.
    #[error("first hop lacks outbound support")]
    FirstHop,
}

impl RegistrarFault {
    /// The status that refuses.
    #[must_use]
    pub const fn status(self) -> u16 {
        match self {
            Self::BadContact => 400,
            Self::TooBrief { .. } => 423,
            Self::OutOfOrder => 500,
            Self::Full => 503,
            Self::PathUnsupported => 420,
            Self::FirstHop => 439,
        }
    }

    /// Adds the headers the refusal needs.
    #[must_use]
    pub fn dress(self, draft: Draft) -> Draft {
        match self {
            Self::TooBrief { least_s } => draft.header(Name::MinExpires, least_s.to_string()),
            Self::Full | Self::OutOfOrder => draft.header(Name::RetryAfter, "10"),
            Self::PathUnsupported => draft.header(Name::Unsupported, "path"),
            Self::BadContact | Self::FirstHop => draft,
        }
    }
}

/// One binding in the answer to a REGISTER.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Listed {
    /// The address.
    pub uri: Uri,
    /// Preference in thousandths.
    pub q: u16,
    /// Seconds left, rounded up.
    pub expires_s: u64,
    /// Which phone it is, where the phone says so.
    pub instance: Option<Instance>,
}

/// A REGISTER that was carried out.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Registered {
    /// All bindings of the agent.
    pub listed: Vec<Listed>,
    /// Whether a flow was bound by RFC 5626, which the answer must say.
    pub outbound: bool,
    /// The Path of the request, for the answer.
    pub path: Vec<Bytes>,
}

impl Registered {
    /// Adds what a 200 says: the bindings, the Path, what was applied.
    #[must_use]
    pub fn dress(&self, draft: Draft) -> Draft {
        let draft = self.listed.iter().fold(draft, |draft, binding| draft.header(Name::Contact, binding.value()));
        let draft = self.path.iter().fold(draft, |draft, path| draft.header(Name::Path, path));
        let draft = draft.header(Name::Supported, "path, outbound");
        if self.outbound {
            draft.header(Name::Require, "outbound").header_raw(b"Flow-Timer", FLOW_TIMER_S.to_string().as_bytes())
        } else {
            draft
        }
    }
}

impl Listed {
    /// The Contact value.
    #[must_use]
    pub fn value(&self) -> Vec<u8> {
        let q = match self.q {
            1000.. => String::new(),
            q => format!(";q=0.{q:03}"),
        };
        let tail = format!(">{q};expires={}", self.expires_s);
        let mut value = [b"<", self.uri.as_bytes(), tail.as_bytes()].concat();
        if let Some(instance) = &self.instance {
            value.extend_from_slice(b";+sip.instance=");
            text::quote_into(&mut value, &instance.id);
            let reg_id = instance.reg_id.map(|reg_id| format!(";reg-id={reg_id}"));
            value.extend_from_slice(reg_id.unwrap_or_default().as_bytes());
        }
        value
    }
}

/// All bindings of all agents.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Registrar {
    limits: RegistrarLimits,
    bindings: BTreeMap<AgentId, Vec<Binding>>,
    due: BTreeSet<(Mono, AgentId, u64)>,
    over: BTreeSet<(FlowId, AgentId, u64)>,
    minted: u64,
}

/// A request, and how it came.
struct Came<'a> {
    request: &'a Message,
    path: &'a [Bytes],
    flow: Flow,
}

impl Registrar {
    /// Nobody is registered.
    #[must_use]
    pub fn new(limits: RegistrarLimits) -> Self {
        Self { limits, ..Self::default() }
    }

    /// Carries out a REGISTER for `agent` that came over `flow`; the answer lists all bindings of the agent.
    ///
    /// # Errors
    /// The request is refused and nothing has changed.
    pub fn register(
        &mut self,
        now: Now,
        agent: &AgentId,
        request: &Message,
        flow: Flow,
        out: &mut Vec<RegistrarEffect>,
    ) -> Result<Registered, RegistrarFault> {
        self.on_deadline(now, out);
        let asked = Asked::read(request, &self.limits)?;
        self.check(agent, request, &asked.wishes)?;
        let outbound = asked.outbound;
        match asked.wishes {
            Wishes::Nothing => {}
            Wishes::RemoveAll => {
                for id in self.ids(agent, |_| true) {
                    self.remove(agent, id, GoneWhy::Unregistered, out);
                }
            }
            Wishes::Each(wishes) => {
                let came = Came { request, path: &asked.path, flow };
                for wish in wishes {
                    self.carry_out(now, agent, &came, wish, out);
                }
            }
        }
        Ok(Registered { listed: self.listed(now, agent), outbound, path: asked.path })
    }

    /// Other limits from now on; bindings that are more stay until they end.
    pub const fn set_limits(&mut self, limits: RegistrarLimits) {
        self.limits = limits;
    }

    /// Removes the bindings of agents who are no more.
    pub fn retain(&mut self, is: impl Fn(&AgentId) -> bool, out: &mut Vec<RegistrarEffect>) {
        let gone: Vec<_> = self.bindings.keys().filter(|agent| !is(agent)).cloned().collect();
        for agent in gone {
            for id in self.ids(&agent, |_| true) {
                self.remove(&agent, id, GoneWhy::Withdrawn, out);
            }
        }
    }

    /// An edge proxy on `flow` says that the flow behind it to the agent's phone is gone (430). Which one it is cannot
    /// be told where the agent has several behind that proxy; then nothing changes.
    pub fn on_flow_failed(&mut self, agent: &AgentId, flow: &Flow, out: &mut Vec<RegistrarEffect>) {
        let behind = |binding: &Binding| {
            !binding.path.is_empty() && (binding.flow.id, binding.flow.remote) == (flow.id, flow.remote)
        };
        if let [one] = self.ids(agent, behind)[..] {
            self.remove(agent, one, GoneWhy::FlowLost, out);
        }
    }

    /// Removes what has expired.
    pub fn on_deadline(&mut self, now: Now, out: &mut Vec<RegistrarEffect>) {
        while let Some((at, agent, id)) = self.due.first().cloned() {
            if at > now.mono {
                break;
            }
            self.remove(&agent, id, GoneWhy::Expired, out);
        }
    }

    /// Removes every binding over a connection that is gone. Datagrams have none: a UDP listener's id is not to be
    /// given here.
    pub fn on_flow_lost(&mut self, flow: FlowId, out: &mut Vec<RegistrarEffect>) {
        let from = (flow, AgentId::new(""), 0);
        let lost = self.over.range(from..).take_while(|(over, ..)| *over == flow);
        let lost: Vec<_> = lost.map(|(_, agent, id)| (agent.clone(), *id)).collect();
        for (agent, id) in lost {
            self.remove(&agent, id, GoneWhy::FlowLost, out);
        }
    }

    /// The next expiry.
    #[must_use]
    pub fn deadline(&self) -> Option<Mono> {
        self.due.first().map(|(at, ..)| *at)
    }

    /// An agent's bindings, the most wanted first; among equals the newest first.
    #[must_use]
    pub fn bindings(&self, agent: &AgentId) -> &[Binding] {
        self.bindings.get(agent).map_or(&[], Vec::as_slice)
    }

    /// Everybody who is registered.
    pub fn agents(&self) -> impl Iterator<Item = (&AgentId, &[Binding])> {
        self.bindings.iter().map(|(agent, list)| (agent, list.as_slice()))
    }

    /// All bindings.
    #[must_use]
    pub fn len(&self) -> usize {
        self.due.len()
    }

    /// Whether nobody is registered.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.due.is_empty()
    }

    /// An agent's bindings as a REGISTER's answer lists them.
    #[must_use]
    pub fn listed(&self, now: Now, agent: &AgentId) -> Vec<Listed> {
        let left = |at: Mono| u64::try_from(at.since(now.mono).as_nanos().div_ceil(1_000_000_000)).unwrap_or(0);
        self.bindings(agent)
            .iter()
            .map(|binding| Listed {
                uri: binding.uri.clone(),
                q: binding.q,
                expires_s: left(binding.expires_at),
                instance: binding.instance.clone(),
            })
            .collect()
    }

    fn check(&self, agent: &AgentId, request: &Message, wishes: &Wishes) -> Result<(), RegistrarFault> {
        let (call_id, cseq) = (request.call_id(), request.cseq().number);
        let stale = |binding: &Binding| binding.call_id == call_id && cseq <= binding.cseq;
        let held = self.bindings(agent);
        let Wishes::Each(wishes) = wishes else {
            let removes = matches!(wishes, Wishes::RemoveAll);
            return if removes && held.iter().any(stale) { Err(RegistrarFault::OutOfOrder) } else { Ok(()) };
        };
        let mut new = 0;
        for wish in wishes {
            match held.iter().find(|binding| wish.is_for(binding)) {
                Some(binding) if stale(binding) => return Err(RegistrarFault::OutOfOrder),
                Some(_) => {}
                None if wish.interval.is_zero() => {}
                None => new += 1,
            }
        }
        if self.len() + new > self.limits.total || new > self.limits.per_agent {
            return Err(RegistrarFault::Full);
        }
        Ok(())
    }

    fn carry_out(&mut self, now: Now, agent: &AgentId, came: &Came<'_>, wish: Wish, out: &mut Vec<RegistrarEffect>) {
        let Came { request, path, flow } = *came;
        let same = self.bindings(agent).iter().find(|binding| wish.is_for(binding)).map(|b| (b.id, b.flow));
        if wish.interval.is_zero() {
            if let Some((id, _)) = same {
                self.remove(agent, id, GoneWhy::Unregistered, out);
            }
            return;
        }
        let first = self.bindings(agent).is_empty();
        let id = same.map_or_else(|| self.mint(), |(id, _)| id);
        let flow = wish.reached_over(flow, request, path);
        let binding = Binding {
            id,
            q: wish.q,
            expires_at: now.mono + wish.interval,
            flow,
            path: path.to_vec(),
            call_id: Bytes::copy_from_slice(request.call_id()),
            cseq: request.cseq().number,
            instance: wish.instance.clone(),
            uri: wish.uri.clone(),
        };
        self.put(agent, binding);
        out.push(match same {
            Some((_, before)) => {
                RegistrarEffect::Refreshed { agent: agent.clone(), binding: id, moved: before != flow }
            }
            None => RegistrarEffect::Bound { agent: agent.clone(), binding: id, first },
        });
        for former in self.ids(agent, |held| held.id != id && wish.outlives(held, request.call_id())) {
            self.remove(agent, former, GoneWhy::Replaced, out);
        }
        self.displace(agent, id, out);
    }

    /// Makes room: the binding that would expire first gives way, but never the one just made.
    fn displace(&mut self, agent: &AgentId, kept: u64, out: &mut Vec<RegistrarEffect>) {
        while self.bindings(agent).len() > self.limits.per_agent.max(1) {
            let others = self.bindings(agent).iter().filter(|binding| binding.id != kept);
            let Some(id) = others.min_by_key(|binding| (binding.expires_at, binding.id)).map(|binding| binding.id)
            else {
                return;
            };
            self.remove(agent, id, GoneWhy::Replaced, out);
        }
    }

    fn put(&mut self, agent: &AgentId, binding: Binding) {
        let list = self.bindings.entry(agent.clone()).or_default();
        if let Some(at) = list.iter().position(|held| held.id == binding.id) {
            let before = list.remove(at);
            self.due.remove(&(before.expires_at, agent.clone(), before.id));
            self.over.remove(&(before.flow.id, agent.clone(), before.id));
        }
        self.due.insert((binding.expires_at, agent.clone(), binding.id));
        if binding.flow.transport.is_reliable() {
            self.over.insert((binding.flow.id, agent.clone(), binding.id));
        }
        let at = list.iter().position(|held| held.q <= binding.q).unwrap_or(list.len());
        list.insert(at, binding);
    }

    fn remove(&mut self, agent: &AgentId, id: u64, why: GoneWhy, out: &mut Vec<RegistrarEffect>) {
        let Some(list) = self.bindings.get_mut(agent) else {
            return;
        };
        let Some(at) = list.iter().position(|held| held.id == id) else {
            return;
        };
        let gone = list.remove(at);
        let last = list.is_empty();
        if last {
            self.bindings.remove(agent);
        }
        self.due.remove(&(gone.expires_at, agent.clone(), id));
        self.over.remove(&(gone.flow.id, agent.clone(), id));
        out.push(RegistrarEffect::Gone { agent: agent.clone(), binding: id, why, last });
    }

    fn ids(&self, agent: &AgentId, wanted: impl Fn(&Binding) -> bool) -> Vec<u64> {
        self.bindings(agent).iter().filter(|binding| wanted(binding)).map(|binding| binding.id).collect()
    }

    const fn mint(&mut self) -> u64 {
        self.minted += 1;
        self.minted
    }
}

#[cfg(test)]
mod tests;
