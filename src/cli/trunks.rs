//! `trunks` and `alarms`: the running engine's, through its HTTP API.

use std::process::ExitCode;

use clap::Args;
use serde_json::Value;

use super::status::fetch;
use super::{Configuration, answer};

/// Shows the trunks: far ends, health, registrations, calls and caps.
#[derive(Debug, Args)]
pub(super) struct Trunks {
    #[command(flatten)]
    configuration: Configuration,
    /// Prints the API's answer as it is.
    #[arg(long)]
    json: bool,
}

/// Shows the alarms that last, and the latest that are over.
#[derive(Debug, Args)]
pub(super) struct Alarms {
    #[command(flatten)]
    configuration: Configuration,
    /// Prints the API's answer as it is.
    #[arg(long)]
    json: bool,
}

impl Trunks {
    pub(super) fn run(&self) -> ExitCode {
        show(&self.configuration, "trunks", self.json, trunk_lines)
    }
}

impl Alarms {
    pub(super) fn run(&self) -> ExitCode {
        show(&self.configuration, "alarms", self.json, |alarm| alarm_line(alarm).into_iter().collect())
    }
}

fn show(configuration: &Configuration, path: &str, json: bool, lines: impl Fn(&Value) -> Vec<String>) -> ExitCode {
    let found = match fetch(configuration, path) {
        Ok(found) => found,
        Err(code) => return code,
    };
    if json {
        answer(&format!("{found:#}"));
        return ExitCode::SUCCESS;
    }
    let rows = found.as_array().map(Vec::as_slice).unwrap_or_default();
    let lines: Vec<String> = rows.iter().flat_map(lines).collect();
    answer(&if lines.is_empty() { format!("no {path}") } else { lines.join("\n") });
    ExitCode::SUCCESS
}

fn text<'v>(value: &'v Value, key: &str) -> &'v str {
    value.get(key).and_then(Value::as_str).unwrap_or_default()
}

fn number(value: &Value, key: &str) -> u64 {
    value.get(key).and_then(Value::as_u64).unwrap_or(0)
}

fn list<'v>(value: &'v Value, key: &str) -> impl Iterator<Item = &'v Value> {
    value.get(key).and_then(Value::as_array).into_iter().flatten()
}

/// A line for the trunk, and one for each far end and its registration.
fn trunk_lines(trunk: &Value) -> Vec<String> {
    let cap = |key| match number(trunk, key) {
        0 => "no cap".to_owned(),
        most => format!("at most {most}"),
    };
    let mut lines = vec![format!(
        "{} {}: {}, calls {} ({} out, {}), new calls a second {}",
        text(trunk, "tenant"),
        text(trunk, "trunk"),
        text(trunk, "state"),
        number(trunk, "calls"),
        number(trunk, "calls_out"),
        cap("max_calls"),
        cap("max_cps"),
    )];
    for target in list(trunk, "targets") {
        let (order, weight) = (number(target, "order"), number(target, "weight"));
        let dns = target.get("dns").and_then(Value::as_str).map(|dns| format!(", name {dns}")).unwrap_or_default();
        lines.push(format!("  to {} (order {order}, weight {weight}{dns})", text(target, "target")));
        for address in list(target, "addresses") {
            lines.push(format!("    {} {}", text(address, "address"), text(address, "state")));
        }
    }
    if let Some(registration) = trunk.get("registration").filter(|registration| registration.is_object()) {
        let at = format!("{}@{}", text(registration, "user"), text(registration, "domain"));
        lines.push(match registration.get("registered").and_then(Value::as_bool) {
            Some(true) => format!("  registered as {at} for {} s", number(registration, "expires_s")),
            Some(false) | None => format!("  not registered as {at}: {}", text(registration, "fault")),
        });
    }
    lines
}

/// An alarm in one line.
pub(super) fn alarm_line(alarm: &Value) -> Option<String> {
    let until = match alarm.get("cleared_at").and_then(Value::as_str) {
        Some(cleared) => format!("until {cleared}"),
        None => "lasts".to_owned(),
    };
    Some(format!(
        "{} {} {}: {} (since {}, {until})",
        text(alarm, "severity"),
        alarm.get("name")?.as_str()?,
        text(alarm, "subject"),
        text(alarm, "detail"),
        text(alarm, "raised_at"),
    ))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_trunk_reads_as_lines() {
        let trunk = json!({
            "trunk": "carrier", "tenant": "p", "state": "up", "calls": 3, "calls_out": 1, "max_calls": 30, "max_cps": 0,
            "targets": [{ "target": "udp:carrier.example:5060", "order": 1, "weight": 2, "dns": "known",
                          "addresses": [{ "address": "udp:192.0.2.1:5060", "state": "down" }] }],
            "registration": { "user": "864761234567", "domain": "ims.example", "registered": false, "expires_s": 0,
                              "fault": "answered 403" },
        });
        assert_eq!(
            trunk_lines(&trunk),
            [
                "p carrier: up, calls 3 (1 out, at most 30), new calls a second no cap",
                "  to udp:carrier.example:5060 (order 1, weight 2, name known)",
                "    udp:192.0.2.1:5060 down",
                "  not registered as 864761234567@ims.example: answered 403",
            ]
        );
    }

    #[test]
    fn an_alarm_reads_as_a_line() {
        let alarm = json!({ "name": "trunk_down", "severity": "major", "subject": "carrier",
                            "detail": "no far end answers", "raised_at": "2026-11-20T02:00:00Z", "cleared_at": null });
        let line = "major trunk_down carrier: no far end answers (since 2026-11-20T02:00:00Z, lasts)";
        assert_eq!(alarm_line(&alarm).as_deref(), Some(line));
    }
}
