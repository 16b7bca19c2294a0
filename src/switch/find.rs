//! Where somebody is: an agent's phones by their bindings, a trunk's far ends by its targets.
//!
//! Deliberately absent: DNS (the engine resolves host names and hands the addresses in), trunk health, weights.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use super::Switch;
use super::words::{Paths, Peer, SwitchEffect};
use crate::base::flow::{Side, Transport};
use crate::base::id::{AgentId, CallId, LookupId, TrunkName};
use crate::call::words::{CallInput, Query, Target, Targets};
use crate::plan::trunk::{Reliable, TrunkTarget};

impl Switch {
    /// Answers a call's question; there is always an answer, also when it is empty.
    pub fn find(&self, call: CallId, lookup: LookupId, query: &Query, paths: &dyn Paths, out: &mut Vec<SwitchEffect>) {
        let targets = match query {
            Query::Agent(agent) => self.phones(agent),
            Query::Trunk { trunk, number, .. } => self.far_ends(trunk, number, paths),
        };
        out.push(SwitchEffect::Deliver(call, CallInput::Found(lookup, Box::new(Targets(targets)))));
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
            })
            .collect()
    }

    fn far_ends(&self, name: &TrunkName, number: &str, paths: &dyn Paths) -> Vec<Target> {
        let Some(trunk) = self.plan.trunk(name) else { return Vec::new() };
        let number = self.plan.called_out(trunk, number);
        trunk
            .to
            .iter()
            .flat_map(|target| self.addresses(target).into_iter().map(move |remote| (target, remote)))
            .filter_map(|(target, remote)| {
                let transport = target.transport_or_default();
                let flow =
                    paths.flow_to(Side::Trunk, transport, &Peer { remote, name: &target.host, trunk: Some(trunk) })?;
                let param = match transport {
                    Transport::Udp => String::new(),
                    other => format!(";transport={}", other.param_name()),
                };
                Some(Target {
                    flow,
                    uri: Arc::from(format!("{}{param}", trunk.outgoing.to_address(&number, &remote.to_string()))),
                    to: Arc::from(trunk.outgoing.to_address(&number, &remote.to_string())),
                    route: Vec::new(),
                    trunk: Some(name.clone()),
                    trusted: trunk.trusted,
                    stream: None,
                    reliable: trunk.reliable,
                })
            })
            .collect()
    }

    fn addresses(&self, target: &TrunkTarget) -> Vec<SocketAddr> {
        match target.host.trim_matches(['[', ']']).parse::<IpAddr>() {
            Ok(ip) => vec![SocketAddr::new(ip, target.port_or_default())],
            Err(_) => {
                let known = self.resolved.get(&target.host).map_or(&[][..], Vec::as_slice);
                known.iter().map(|found| SocketAddr::new(found.ip(), target.port_or_default())).collect()
            }
        }
    }
}
