//! `switch12345 route NUMBER`: the decision a live call would get, with every rule looked at.

use std::process::ExitCode;

use clap::Args;
use jiff::Timestamp;

use crate::base::id::{AgentId, TrunkName};
use crate::cli::{Configuration, answer, complain, moment, parse_at};
use crate::plan::explain::explain;
use crate::plan::explain_outward::explain_agent;
use crate::plan::model::Plan;
use crate::plan::route::Facts;

/// Explains what would happen to a call.
#[derive(Debug, Args)]
pub(super) struct RouteCommand {
    /// The number dialled, in any form a carrier writes.
    number: String,
    #[command(flatten)]
    configuration: Configuration,
    /// The caller's number.
    #[arg(long, value_name = "NUMBER", default_value = "13800001234")]
    from: String,
    /// The moment of the call.
    #[arg(long, value_name = "RFC3339", value_parser = parse_at)]
    at: Option<Timestamp>,
    /// The trunk it comes over; the first one that calls come in by when none is named.
    #[arg(long, value_name = "NAME")]
    trunk: Option<String>,
    /// The agent who dials it himself, instead of a caller over a trunk.
    #[arg(long, value_name = "ID", conflicts_with_all = ["from", "trunk", "diverted"])]
    agent: Option<String>,
    /// The number it was forwarded from (Diversion, History-Info).
    #[arg(long, value_name = "NUMBER")]
    diverted: Vec<String>,
    /// Overlays to load beside the dialplans: demo.
    #[arg(long, value_name = "NAME")]
    overlay: Vec<String>,
    /// One JSON object instead of text.
    #[arg(long)]
    json: bool,
}

impl RouteCommand {
    #[expect(clippy::print_stderr, reason = "a command's complaints go to standard error")]
    pub(super) fn run(&self) -> ExitCode {
        let wall = moment(self.at);
        let loaded = self.configuration.load(&self.overlay, wall);
        let Some(plan) = &loaded.plan else {
            complain(&loaded);
            return ExitCode::FAILURE;
        };
        if let Some(agent) = &self.agent {
            return self.run_agent(plan, &AgentId::new(agent.as_str()));
        }
        let Some(trunk) = self.trunk_of(plan) else {
            let known: Vec<_> = plan.settings.trunks.keys().map(TrunkName::as_str).collect();
            eprintln!("there is no such trunk to come over; known: {}", known.join(", "));
            return ExitCode::from(2);
        };
        let diverted: Vec<&str> = self.diverted.iter().map(String::as_str).collect();
        let facts = Facts {
            trunk: &trunk,
            dialled: &self.number,
            from: Some(&self.from),
            asserted: &[],
            private: false,
            diverted: &diverted,
        };
        let explanation = explain(plan, &facts, wall);
        if self.json {
            answer(&explanation.json().to_string());
        } else {
            answer(explanation.to_string().trim_end());
        }
        ExitCode::SUCCESS
    }

    #[expect(clippy::print_stderr, reason = "a command's complaints go to standard error")]
    fn run_agent(&self, plan: &Plan, agent: &AgentId) -> ExitCode {
        let Some(explanation) = explain_agent(plan, agent, &self.number) else {
            eprintln!("there is no agent {agent}");
            return ExitCode::from(2);
        };
        if self.json {
            answer(&explanation.json().to_string());
        } else {
            answer(explanation.to_string().trim_end());
        }
        ExitCode::SUCCESS
    }

    fn trunk_of(&self, plan: &Plan) -> Option<TrunkName> {
        let mut trunks = plan.settings.trunks.values();
        let found = match &self.trunk {
            Some(name) => trunks.find(|trunk| trunk.name.as_str() == name),
            None => trunks.find(|trunk| !trunk.from.is_empty()),
        };
        found.map(|trunk| trunk.name.clone())
    }
}
