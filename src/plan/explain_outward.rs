//! An agent's call told to people and scripts: whom the number reaches, over which trunks, and what his class said.
//!
//! Deliberately absent: deciding; it listens to `Plan::agent_dials`.

use std::fmt;

use serde_json::{Value, json};

use crate::base::id::AgentId;
use crate::plan::explain::{Listener, Reason, Target};
use crate::plan::model::Plan;
use crate::plan::outward::{Outward, OutwardWay};
use crate::plan::step::DialTarget;

/// A decision about an agent's call with its reasons.
#[derive(Clone, Debug)]
pub struct AgentExplanation {
    /// Who dials.
    pub agent: AgentId,
    /// His class of service.
    pub class: Option<String>,
    /// His place.
    pub tenant: String,
    /// What he dials.
    pub dialled: String,
    /// The decision.
    pub outward: Outward,
    /// Every rule looked at, in order.
    pub why: Vec<Reason>,
}

/// Decides what an agent reaches by a number and tells why; `None` when the plan does not know him.
#[must_use]
pub fn explain_agent(plan: &Plan, agent: &AgentId, dialled: &str) -> Option<AgentExplanation> {
    let mut listener = Listener(Vec::new());
    let outward = plan.agent_dials(agent, dialled, &mut listener)?;
    Some(AgentExplanation {
        agent: agent.clone(),
        class: plan.class_of(agent).map(|class| class.name.to_string()),
        tenant: plan.agent(agent)?.tenant.to_string(),
        dialled: dialled.to_owned(),
        outward,
        why: listener.0,
    })
}

/// The first target of a decision, in the words of test rows, and those that take over when it fails.
pub(super) fn targets(outward: &Outward) -> (Target, Vec<Target>) {
    let of = |kind: &'static str, name: &str| Target { kind, name: name.to_owned() };
    let first_of = |kind, targets: &[DialTarget]| {
        let mut named = targets.iter().map(|target| of(kind, target.trunk.as_str()));
        (named.next().unwrap_or_else(|| of(kind, "")), named.collect())
    };
    match &outward.way {
        OutwardWay::Emergency(line) => {
            let then = line.routes.iter().map(|route| of("trunk", route.trunk.as_str())).collect();
            (of("emergency", &line.number), then)
        }
        OutwardWay::Agent(agent) => (of("agent", agent.as_str()), Vec::new()),
        OutwardWay::Queue(queue) => (of("queue", queue.queue.as_str()), Vec::new()),
        OutwardWay::Seats(hotline) => {
            first_of("seats", hotline.seat_route.as_ref().map_or(&[][..], |route| &route.targets))
        }
        OutwardWay::Named { target, .. } => (of("trunk", target.trunk.as_str()), Vec::new()),
        OutwardWay::Outside(targets) => first_of("trunk", targets),
        OutwardWay::Refused(refusal) => (of("reject", &refusal.answer().0.to_string()), Vec::new()),
    }
}

impl AgentExplanation {
    fn hotline(&self) -> Option<Value> {
        let OutwardWay::Seats(hotline) = &self.outward.way else { return None };
        Some(json!({ "number": &*hotline.number, "name": hotline.name, "unit": hotline.unit.as_deref() }))
    }

    /// As `route --agent --json` shows it.
    #[must_use]
    pub fn json(&self) -> Value {
        let (target, then) = targets(&self.outward);
        let then: Vec<_> = then.iter().map(ToString::to_string).collect();
        let why: Vec<_> = self.why.iter().map(Reason::json).collect();
        json!({
            "dialled": self.dialled,
            "number": self.outward.number,
            "area_code": self.outward.area.map(|area| area.to_string()),
            "tenant": self.tenant,
            "agent": self.agent.as_str(),
            "service_class": self.class,
            "hotline": self.hotline(),
            "target": { "kind": target.kind, "name": target.name, "skills": [], "then": then },
            "prompts": [],
            "why": why,
            "agents": [],
        })
    }
}

impl fmt::Display for AgentExplanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} → {} for agent {} in {}", self.dialled, self.outward.number, self.agent, self.tenant)?;
        writeln!(f, "class    {}", self.class.as_deref().unwrap_or("none"))?;
        let (target, then) = targets(&self.outward);
        let phrase = match self.outward.way {
            OutwardWay::Refused(refusal) => format!("  {}", refusal.answer().1),
            _ => String::new(),
        };
        writeln!(f, "target   {target}{phrase}")?;
        for next in then {
            writeln!(f, "  then   {next}")?;
        }
        writeln!(f, "why")?;
        self.why.iter().try_for_each(|reason| writeln!(f, "{reason}"))
    }
}
