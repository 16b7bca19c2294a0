//! A decision told to people and scripts: where the call goes, every rule looked at, and which agents could take it.
//!
//! Deliberately absent: deciding; it listens to `Plan::route`. What agents are doing now is the queues' to say: here
//! eligibility is by sign-in and skill only.

use std::fmt;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::base::hotline::{MergeMode, SeatPolicy};
use crate::plan::model::{Declared, Plan};
use crate::plan::route::{Facts, Route, Trace};
use crate::plan::step::{DialPurpose, QueueStep, Step};

/// Where a call goes first, in one word and a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// `queue`, `trunk`, `seats`, `emergency`, `announce` or `reject`.
    pub kind: &'static str,
    /// The queue, trunk, line, prompt or status.
    pub name: String,
}

impl Target {
    /// The target of a decision: its first step.
    #[must_use]
    pub fn of(route: &Route) -> Self {
        Self::of_step(&route.first)
    }

    /// The target of a step.
    #[must_use]
    pub fn of_step(step: &Step) -> Self {
        let (kind, name) = match step {
            Step::Announce { prompt, .. } => ("announce", prompt.name.clone()),
            Step::Queue(queue) => ("queue", queue.queue.queue.to_string()),
            Step::Dial(dial) => {
                let trunk = dial.targets.first().map(|target| target.trunk.to_string()).unwrap_or_default();
                match dial.purpose {
                    DialPurpose::Emergency => {
                        let number = dial.callee.chars().take_while(char::is_ascii_digit).collect::<String>();
                        ("emergency", if number.is_empty() { dial.callee.clone() } else { number })
                    }
                    DialPurpose::KeptSeats => ("seats", trunk),
                    DialPurpose::Transit | DialPurpose::SubCentre | DialPurpose::Department => ("trunk", trunk),
                }
            }
            Step::Reject { status, .. } => ("reject", status.to_string()),
            Step::Release => ("reject", "release".to_owned()),
            Step::Finished => ("reject", "finished".to_owned()),
        };
        Self { kind, name }
    }

    /// Whether an expectation fits: `queue`, or `queue main`.
    #[must_use]
    pub fn is(&self, expected: &str) -> bool {
        let mut words = expected.split_whitespace();
        let kind = words.next().is_some_and(|kind| kind == self.kind);
        kind && words.next().is_none_or(|name| name == self.name) && words.next().is_none()
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind, self.name)
    }
}

/// One rule that was looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reason {
    /// The rule.
    pub rule: String,
    /// Where it is written, where it is.
    pub declared: Option<Declared>,
    /// Whether it was taken.
    pub took: bool,
    /// Why.
    pub because: String,
}

impl Reason {
    fn place(&self) -> Option<&Declared> {
        self.declared.as_ref().filter(|place| place.line > 0)
    }

    pub(super) fn json(&self) -> Value {
        let place = self.place();
        json!({
            "file": place.map(|place| &*place.file),
            "line": place.map(|place| place.line),
            "column": place.map(|place| place.column),
            "rule": self.rule,
            "took": self.took,
            "because": self.because,
        })
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "  {} {}: {}", if self.took { "+" } else { "-" }, self.rule, self.because)?;
        match self.place() {
            Some(place) => write!(f, "  {}:{}:{}", place.file, place.line, place.column),
            None => Ok(()),
        }
    }
}

/// An agent and whether the call may be offered to him.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// The agent.
    pub id: String,
    /// By sign-in and skill.
    pub eligible: bool,
    /// Why.
    pub because: String,
}

/// A decision with its reasons.
#[derive(Clone, Debug)]
pub struct Explanation {
    /// The decision.
    pub route: Route,
    /// Every rule looked at, in order.
    pub why: Vec<Reason>,
    /// Agents of the queue it goes to.
    pub agents: Vec<Candidate>,
}

/// Keeps every rule it hears of.
pub(super) struct Listener(pub(super) Vec<Reason>);

impl Trace for Listener {
    fn rule(&mut self, rule: &str, declared: Option<&Declared>, took: bool, because: &dyn Fn() -> String) {
        self.0.push(Reason { rule: rule.to_owned(), declared: declared.cloned(), took, because: because() });
    }
}

/// Decides a call and tells why.
#[must_use]
pub fn explain(plan: &Plan, facts: &Facts<'_>, wall: Timestamp) -> Explanation {
    let mut listener = Listener(Vec::new());
    let route = plan.route(facts, wall, &mut listener);
    let queue = std::iter::once(&route.first).chain(route.cursor.then()).find_map(|step| match step {
        Step::Queue(queue) => Some(queue),
        Step::Announce { .. } | Step::Dial(_) | Step::Reject { .. } | Step::Release | Step::Finished => None,
    });
    let agents = queue.map(|queue| candidates(plan, queue)).unwrap_or_default();
    Explanation { route, why: listener.0, agents }
}

fn candidates(plan: &Plan, step: &QueueStep) -> Vec<Candidate> {
    let of_place = plan.settings.agents.values().filter(|agent| {
        agent.tenant == step.queue.tenant || agent.queues.iter().any(|queue| queue.tenant == step.queue.tenant)
    });
    of_place
        .map(|agent| {
            let lacking =
                step.skills.iter().find(|need| agent.skills.get(&need.skill).is_none_or(|level| *level < need.level));
            let (eligible, because) = if !agent.role.takes_calls() {
                (false, "this kind of seat takes no calls".to_owned())
            } else if !agent.queues.contains(&step.queue) {
                (false, format!("not signed in to queue {}", step.queue.queue))
            } else if let Some(need) = lacking {
                match need.relax_after {
                    Some(Duration::ZERO) => (true, format!("lacks skill {}: after those who have it", need.skill)),
                    Some(after) => (false, format!("lacks skill {}; eligible after {after:?}", need.skill)),
                    None => (false, format!("lacks skill {}", need.skill)),
                }
            } else {
                let levels: Vec<_> = step
                    .skills
                    .iter()
                    .filter_map(|need| Some(format!(", skill {} level {}", need.skill, agent.skills.get(&need.skill)?)))
                    .collect();
                (true, format!("signed in to queue {}{}", step.queue.queue, levels.concat()))
            };
            Candidate { id: agent.id.to_string(), eligible, because }
        })
        .collect()
}

impl Explanation {
    /// The prompts of the steps, in order.
    fn prompts(&self) -> Vec<Value> {
        let steps = std::iter::once(&self.route.first).chain(self.route.cursor.then());
        steps
            .filter_map(|step| match step {
                Step::Announce { prompt, .. } => Some(prompt),
                Step::Queue(queue) => queue.greeting.as_ref(),
                Step::Dial(dial) => dial.prompt.as_ref(),
                Step::Reject { .. } | Step::Release | Step::Finished => None,
            })
            .map(|prompt| json!({"name": prompt.name, "text": prompt.text}))
            .collect()
    }

    fn skills(&self) -> Vec<String> {
        match &self.route.first {
            Step::Queue(queue) => queue.skills.iter().map(|need| need.skill.to_string()).collect(),
            _ => Vec::new(),
        }
    }

    fn then(&self) -> Vec<String> {
        self.route.cursor.then().map(|step| Target::of_step(step).to_string()).collect()
    }

    /// As `route --json` shows it.
    #[must_use]
    pub fn json(&self) -> Value {
        let route = &self.route;
        let hotline = route.hotline.as_ref().map(|hotline| {
            json!({
                "number": &*hotline.number,
                "name": hotline.name,
                "spoken_name": hotline.spoken_name,
                "unit": hotline.unit.as_deref(),
                "merge_mode": hotline.mode.map(MergeMode::word),
                "merge_mode_name": hotline.mode.map(MergeMode::name_zh),
                "seat_policy": hotline.seats.map(SeatPolicy::word),
                "services": hotline.services,
            })
        });
        let target = Target::of(route);
        let why: Vec<_> = self.why.iter().map(Reason::json).collect();
        let agents: Vec<_> = self
            .agents
            .iter()
            .map(|agent| json!({"id": agent.id, "eligible": agent.eligible, "because": agent.because}))
            .collect();
        json!({
            "dialled": route.dialled_raw,
            "number": route.number,
            "area_code": route.area.map(|area| area.to_string()),
            "tenant": route.tenant.as_str(),
            "hotline": hotline,
            "target": {
                "kind": target.kind,
                "name": target.name,
                "skills": self.skills(),
                "then": self.then(),
            },
            "prompts": self.prompts(),
            "caller": {
                "raw": route.caller.number.raw,
                "number": route.caller.number.normal,
                "kind": route.caller.number.kind,
                "trust": route.caller.trust,
                "area_code": route.caller.number.area.map(|area| area.to_string()),
            },
            "why": why,
            "agents": agents,
        })
    }
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let route = &self.route;
        let area = route.area.map(|area| format!(" ({area})")).unwrap_or_default();
        writeln!(f, "{} → {}{area} in {}", route.dialled_raw, route.number, route.tenant)?;
        if let Some(hotline) = &route.hotline {
            let mode = hotline.mode.map_or("12345", MergeMode::name_zh);
            writeln!(f, "hotline  {} {}  {mode}", hotline.number, hotline.name)?;
            if let Some(unit) = &hotline.unit {
                writeln!(f, "unit     {unit}")?;
            }
        }
        let skills = self.skills();
        let needs = if skills.is_empty() { String::new() } else { format!("  skills {}", skills.join(", ")) };
        writeln!(f, "target   {}{needs}", Target::of(route))?;
        for next in self.then() {
            writeln!(f, "  then   {next}")?;
        }
        for prompt in self.prompts() {
            let text = |key: &str| prompt.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
            writeln!(f, "prompt   {}: {}", text("name"), text("text"))?;
        }
        writeln!(f, "why")?;
        self.why.iter().try_for_each(|reason| writeln!(f, "{reason}"))?;
        if !self.agents.is_empty() {
            writeln!(f, "agents")?;
        }
        for agent in &self.agents {
            writeln!(f, "  {} {}: {}", if agent.eligible { "+" } else { "-" }, agent.id, agent.because)?;
        }
        Ok(())
    }
}
