//! Where somebody is: an agent's phones by their bindings, a trunk's far ends in the order a call tries them.
//!
//! The targets of a trunk come by their order, those of one order by a draw with their weights, the addresses of a name
//! as RFC 3263 says. Then those in use come first and those out of use last, whatever their order: a call tries them
//! rather than nothing. A trunk at its cap, out of use for maintenance, or leading back where the call came from has no
//! far end at all, so that the plan's next route is taken; caps and maintenance do not concern emergencies.
//! Deliberately absent: trying them (`call`), health (`trunks`), the DNS (`locate`).
//!
//! | limit | value |
//! |---|---|
//! | far ends given to one call | 16 |
//! | a question waits for the first answer of the DNS | 2 s |

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::trunks::{Waiting, targets};
use super::words::{Counted, Paths, Peer, SwitchEffect};
use super::{Draws, Switch};
use crate::base::flow::{Side, Transport};
use crate::base::id::{AgentId, CallId, LookupId};
use crate::base::now::Now;
use crate::call::words::{CallInput, FarEnd, Query, Target, Targets};
use crate::plan::trunk::{Reliable, Trunk, TrunkTarget};
use crate::switch::admission::Caps;
use crate::switch::locate::by_weight;

const FAR_ENDS: usize = 16;
const DNS_WITHIN: Duration = Duration::from_secs(2);

impl Switch {
    /// Answers a call's question, at once or when the DNS has answered; there is always an answer, also when it is
    /// empty.
    pub fn find(
        &mut self,
        now: Now,
        (call, lookup): (CallId, LookupId),
        query: &Query,
        paths: &dyn Paths,
        out: &mut Vec<SwitchEffect>,
    ) {
        match query {
            Query::Agent(agent) => answer(call, lookup, self.phones(agent), out),
            Query::Trunk { trunk, number, emergency } => {
                let (trunk, number, emergency) = (trunk.clone(), Arc::clone(number), *emergency);
                let waiting = Waiting { until: now.mono + DNS_WITHIN, call, lookup, trunk, number, emergency };
                let awaited = self.plan.trunk(&waiting.trunk).is_some_and(|trunk| self.trunks.is_awaited(trunk));
                if !awaited || !self.trunks.wait(waiting.clone()) {
                    self.answer_waiting(now, &waiting, paths, out);
                }
            }
        }
    }

    /// Answers with what is known now.
    pub(super) fn answer_waiting(
        &mut self,
        now: Now,
        waiting: &Waiting,
        paths: &dyn Paths,
        out: &mut Vec<SwitchEffect>,
    ) {
        let found = self.far_ends(now, waiting, paths, out);
        answer(waiting.call, waiting.lookup, found, out);
    }

    fn phones(&self, agent: &AgentId) -> Vec<Target> {
        let text = |bytes: &[u8]| -> Arc<str> { Arc::from(String::from_utf8_lossy(bytes)) };
        self.desk
            .bindings(agent)
            .into_iter()
            .map(|binding| Target {
                flow: binding.flow,
                uri: text(binding.uri.as_bytes()),
                to: Arc::from(format!("sip:{agent}@{}", self.plan.settings.sip.realm)),
                route: binding.path.iter().map(|path| text(path)).collect(),
                trunk: None,
                trusted: true,
                stream: None,
                reliable: Reliable::default(),
                hops: None,
            })
            .collect()
    }

    fn far_ends(&mut self, now: Now, asked: &Waiting, paths: &dyn Paths, out: &mut Vec<SwitchEffect>) -> Vec<Target> {
        let plan = Arc::clone(&self.plan);
        let Some(trunk) = plan.trunk(&asked.trunk) else { return Vec::new() };
        let hops = if trunk.platform { self.hops.onward(asked.call, &trunk.name) } else { None };
        if trunk.platform && hops.is_none() {
            return Vec::new();
        }
        let number = plan.called_out(trunk, &asked.number);
        let found: Vec<_> = self
            .ways(trunk)
            .into_iter()
            .filter_map(|(target, end)| self.target(trunk, target, end, &number, paths))
            .map(|target| Target { hops: hops.clone(), ..target })
            .take(FAR_ENDS)
            .collect();
        if found.is_empty() {
            return found;
        }
        let emergency = asked.emergency || trunk.emergency;
        let caps = self.caps_of(trunk);
        match self.admission.admit_out(now, (asked.call, asked.lookup), (&trunk.name, caps), emergency) {
            Ok(()) => found,
            Err(refused) => {
                out.push(SwitchEffect::Count(Counted::RefusedOut(trunk.name.clone(), refused)));
                Vec::new()
            }
        }
    }

    /// What a trunk may carry now.
    pub(super) fn caps_of(&self, trunk: &Trunk) -> Caps {
        let busy_out = self.trunks.is_busy_out(trunk);
        Caps { calls: trunk.max_calls, calls_per_second: trunk.max_cps, busy_out }
    }

    /// The far ends of a trunk in the order a call tries them, each once.
    fn ways<'t>(&mut self, trunk: &'t Trunk) -> Vec<(&'t TrunkTarget, FarEnd)> {
        let mut draws = self.random.fork();
        let mut orders = BTreeMap::<u16, Vec<&TrunkTarget>>::new();
        for target in targets(trunk) {
            orders.entry(target.order).or_default().push(target);
        }
        let mut ways: Vec<(&TrunkTarget, FarEnd)> = Vec::new();
        for target in orders.into_values().flat_map(|equals| drawn(equals, &mut draws)).collect::<Vec<_>>() {
            for (transport, remote) in self.trunks.located(target, &mut draws) {
                let end = FarEnd { trunk: trunk.name.clone(), transport, remote };
                if !ways.iter().any(|(_, known)| *known == end) {
                    ways.push((target, end));
                }
            }
        }
        ways.sort_by_key(|(_, end)| self.trunks.is_down(end));
        ways
    }

    fn target(
        &self,
        trunk: &Trunk,
        target: &TrunkTarget,
        end: FarEnd,
        number: &str,
        paths: &dyn Paths,
    ) -> Option<Target> {
        let registered = self.trunks.registration(&trunk.name).filter(|one| is_same(&one.settings().proxy, target));
        let known = registered.and_then(|one| one.flow()).filter(|flow| flow.remote == end.remote);
        let peer = Peer { remote: end.remote, name: &target.host, trunk: Some(trunk) };
        let flow = known.or_else(|| paths.flow_to(Side::Trunk, end.transport, &peer))?;
        let param = match end.transport {
            Transport::Udp => String::new(),
            other => format!(";transport={}", other.param_name()),
        };
        // A registrar's proxy routes by the domain we are registered in, not by its own address.
        let (host, param) = match registered.map(|one| one.settings().domain.clone()) {
            Some(domain) => (domain, String::new()),
            None => (end.remote.to_string(), param),
        };
        let to = trunk.outgoing.to_address(number, &host);
        Some(Target {
            flow,
            uri: Arc::from(format!("{to}{param}")),
            to: Arc::from(to),
            route: Vec::new(),
            trunk: Some(end.trunk),
            trusted: trunk.trusted,
            stream: if end.transport == Transport::Udp {
                paths.flow_to(Side::Trunk, Transport::Tcp, &peer)
            } else {
                None
            },
            reliable: trunk.reliable,
            hops: None,
        })
    }
}

fn is_same(one: &TrunkTarget, other: &TrunkTarget) -> bool {
    (&one.host, one.port, one.transport) == (&other.host, other.port, other.transport)
}

fn answer(call: CallId, lookup: LookupId, found: Vec<Target>, out: &mut Vec<SwitchEffect>) {
    out.push(SwitchEffect::Deliver(call, CallInput::Found(lookup, Box::new(Targets(found)))));
}

fn drawn<'t>(equals: Vec<&'t TrunkTarget>, draws: &mut Draws) -> Vec<&'t TrunkTarget> {
    by_weight(equals, |target| u32::from(target.weight), || draws.next())
}
