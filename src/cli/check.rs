//! `switch12345 check`: every fault of configuration and dialplans in one run, and their test rows.
//!
//! Overlays (files that extend a place) are checked too, each laid over its place by itself.

use std::collections::BTreeSet;
use std::process::ExitCode;

use clap::Args;
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::cli::{Configuration, answer, moment, parse_at};
use crate::plan::diagnose::Severity;
use crate::plan::load::Loaded;

/// Validates configuration and all dialplans and runs their test rows.
#[derive(Debug, Args)]
pub(super) struct Check {
    #[command(flatten)]
    configuration: Configuration,
    /// The moment dated lints and test rows without one are as of.
    #[arg(long, value_name = "RFC3339", value_parser = parse_at)]
    at: Option<Timestamp>,
    /// One JSON object instead of text.
    #[arg(long)]
    json: bool,
}

impl Check {
    pub(super) fn run(&self) -> ExitCode {
        let wall = moment(self.at);
        let base = self.configuration.load(&[], wall);
        let loads: Vec<Loaded> =
            base.overlays.iter().map(|overlay| self.configuration.load(std::slice::from_ref(overlay), wall)).collect();
        let loads: Vec<&Loaded> = std::iter::once(&base).chain(&loads).collect();
        let ok = loads.iter().all(|loaded| loaded.plan.is_some());
        if self.json {
            print_json(&loads, ok)
        } else {
            print_text(&loads, ok)
        }
        if ok { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    }
}

/// Test rows: an overlay's run repeats its places' rows, so its own count is the fuller one.
fn tests(loads: &[&Loaded]) -> (u32, u32) {
    let most = loads.iter().max_by_key(|loaded| loaded.tests.passed + loaded.tests.failed);
    most.map_or((0, 0), |loaded| {
        (loaded.tests.passed, loads.iter().map(|loaded| loaded.tests.failed).max().unwrap_or(0))
    })
}

fn print_json(loads: &[&Loaded], ok: bool) {
    let mut shown: Vec<Value> = Vec::new();
    for loaded in loads {
        for fault in &loaded.diagnostics {
            let value = loaded.sources.json(fault);
            if !shown.contains(&value) {
                shown.push(value);
            }
        }
    }
    let (passed, failed) = tests(loads);
    answer(&json!({"ok": ok, "diagnostics": shown, "tests": {"passed": passed, "failed": failed}}).to_string());
}

fn print_text(loads: &[&Loaded], ok: bool) {
    use std::io::IsTerminal as _;
    let colour = std::io::stdout().is_terminal();
    let mut shown = BTreeSet::new();
    let mut counts = [0_u32; 3];
    let mut all = String::new();
    // Errors stand last, next to the count: among warnings of years nobody would find them.
    for severity in [Severity::Note, Severity::Warning, Severity::Error] {
        for loaded in loads {
            for fault in loaded.diagnostics.iter().filter(|fault| fault.severity == severity) {
                let text = loaded.sources.render(fault, colour);
                if shown.insert(text.clone()) {
                    all.push_str(&text);
                    all.push_str("\n\n");
                    let [errors, warnings, notes] = &mut counts;
                    *match severity {
                        Severity::Error => errors,
                        Severity::Warning => warnings,
                        Severity::Note => notes,
                    } += 1;
                }
            }
        }
    }
    let [errors, warnings, notes] = counts;
    let (passed, failed) = tests(loads);
    let word = if ok { "ok" } else { "wrong" };
    all.push_str(&format!(
        "{word}: {errors} errors, {warnings} warnings, {notes} notes; test rows: {passed} passed, {failed} failed"
    ));
    answer(&all);
}
