//! The trunks as people see them.
//!
//! Deliberately absent: how it is shown (`engine::http`, `cli`).

use serde::Serialize;

use super::targets;
use crate::base::now::Now;
use crate::plan::trunk::{Trunk, TrunkTarget};
use crate::switch::Switch;
use crate::switch::locate::Wanted;

/// One trunk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TrunkView {
    /// Its name.
    pub trunk: String,
    /// Its place.
    pub tenant: String,
    /// `up`, `down` (no far end in use), `busy_out`, `not_registered`.
    pub state: &'static str,
    /// Calls in and legs out that live.
    pub calls: usize,
    /// Legs out among them.
    pub calls_out: usize,
    /// Calls it may carry, in and out together; zero is no cap.
    pub max_calls: u32,
    /// New calls a second it may carry, in and out together; zero is no cap.
    pub max_cps: u32,
    /// Whether it is out of use for maintenance.
    pub busy_out: bool,
    /// Where calls out go.
    pub to: Vec<String>,
    /// The same with their addresses and health.
    pub targets: Vec<TargetView>,
    /// Our registration at it, where it has one.
    pub registration: Option<RegistrationView>,
}

/// One target.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TargetView {
    /// As configured: `udp:host:port`.
    pub target: String,
    /// Lower ones are tried first.
    pub order: u16,
    /// Its share among those of the same order.
    pub weight: u16,
    /// `known`, `unknown` or `failing`, for a host name.
    pub dns: Option<&'static str>,
    /// Where it leads.
    pub addresses: Vec<FarView>,
}

/// One address of a target.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FarView {
    /// `udp:192.0.2.1:5060`.
    pub address: String,
    /// `up`, `down` or `unknown` (never heard or lost).
    pub state: &'static str,
}

/// One registration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RegistrationView {
    /// Who we are there.
    pub user: String,
    /// Where.
    pub domain: String,
    /// Whether it holds.
    pub registered: bool,
    /// For how many seconds it does.
    pub expires_s: u64,
    /// Why it does not.
    pub fault: String,
}

impl Switch {
    /// All trunks.
    #[must_use]
    pub fn trunk_views(&self, now: Now) -> Vec<TrunkView> {
        self.plan.settings.trunks.values().map(|trunk| self.trunk_view(now, trunk)).collect()
    }

    fn trunk_view(&self, now: Now, trunk: &Trunk) -> TrunkView {
        let targets: Vec<_> = targets(trunk).map(|target| self.target_view(trunk, target)).collect();
        let registration = self.trunks.registration(&trunk.name).map(|registration| RegistrationView {
            user: registration.settings().user.clone(),
            domain: registration.settings().domain.clone(),
            registered: registration.is_registered(),
            expires_s: registration.until().map_or(0, |until| until.since(now.mono).as_secs()),
            fault: registration.fault().to_owned(),
        });
        let busy_out = self.trunks.is_busy_out(trunk);
        let mut states = targets.iter().flat_map(|target| &target.addresses).map(|far| far.state).peekable();
        let down = states.peek().is_some() && states.all(|state| state == "down");
        let state = match &registration {
            _ if busy_out => "busy_out",
            _ if down => "down",
            Some(registration) if !registration.registered => "not_registered",
            Some(_) | None => "up",
        };
        TrunkView {
            trunk: trunk.name.to_string(),
            tenant: trunk.tenant.to_string(),
            state,
            calls: self.admission.live_on(&trunk.name),
            calls_out: self.admission.out_on(&trunk.name),
            max_calls: trunk.max_calls,
            max_cps: trunk.max_cps,
            busy_out,
            to: targets.iter().map(|target| target.target.clone()).collect(),
            targets,
            registration,
        }
    }

    fn target_view(&self, trunk: &Trunk, target: &TrunkTarget) -> TargetView {
        let dns = Wanted::of(target).map(|name| {
            let names = &self.trunks.names;
            if names.fails(&name) {
                "failing"
            } else if names.known(&name).is_some() {
                "known"
            } else {
                "unknown"
            }
        });
        let far = self.trunks.far_of(trunk, target);
        let addresses = far.into_iter().map(|(far, health)| FarView {
            address: format!("{}:{}", far.transport.param_name(), far.remote),
            state: health.word(),
        });
        TargetView {
            target: format!(
                "{}:{}:{}",
                target.transport_or_default().param_name(),
                target.host,
                target.port_or_default()
            ),
            order: target.order,
            weight: target.weight,
            dns,
            addresses: addresses.collect(),
        }
    }
}
