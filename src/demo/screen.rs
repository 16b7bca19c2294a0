//! What a person, or a script with `--json`, sees of the story while it runs.

use std::io::{IsTerminal as _, Write as _, stdout};
use std::sync::Mutex;

use serde::Serialize;
use serde_json::Value;
use tokio::time::Instant;

use crate::demo::peer::locked;
use crate::demo::receiver::TicketEvent;
use crate::demo::report::{CallReport, Summary, masked};

/// Standard output, one writer at a time.
#[derive(Debug)]
pub struct Screen {
    json: bool,
    colour: bool,
    began: Instant,
    turn: Mutex<()>,
}

impl Screen {
    /// Colour only on a terminal.
    #[must_use]
    pub fn new(json: bool) -> Self {
        Self { json, colour: !json && stdout().is_terminal(), began: Instant::now(), turn: Mutex::default() }
    }

    /// Lines for a person; nothing with `--json`.
    pub fn say(&self, lines: &[String]) {
        if !self.json {
            self.write(lines);
        }
    }

    /// A line for whoever started it, beside the objects too.
    #[expect(clippy::print_stderr, reason = "with --json standard output holds objects only")]
    pub fn note(&self, line: &str) {
        if self.json {
            eprintln!("{line}");
        } else {
            self.write(&[line.to_owned()]);
        }
    }

    /// A ticket event, as it arrives.
    pub fn ticket(&self, event: &TicketEvent) {
        let dialled = event.body.get("ticket").and_then(|ticket| ticket.get("dialled")).and_then(Value::as_str);
        self.say(&[format!(
            "{:7.3}  [ticket] {:<14} #{:<2} {:<18} {} {}",
            event.at.saturating_duration_since(self.began).as_secs_f64(),
            event.kind,
            event.seq,
            event.change,
            dialled.unwrap_or_default(),
            masked(&event.caller)
        )]);
    }

    /// A call that has ended, with its ladder.
    pub fn call(&self, report: &CallReport) {
        self.say(&report.lines(self.colour));
    }

    /// A call whose ticket is closed, or should be.
    pub fn closed(&self, report: &CallReport) {
        if self.json {
            self.object(report);
        }
    }

    /// The end.
    pub fn summary(&self, reports: &[CallReport], summary: Summary, further: &[String]) {
        if self.json {
            self.object(&summary);
            return;
        }
        let mut lines = vec![String::new(), "== 结果".to_owned()];
        for report in reports {
            let verdict = if report.ok { "ok    " } else { "FAILED" };
            let ticket = report.ticket_no.as_deref().unwrap_or("-");
            lines.push(format!("  {verdict}  {ticket}  {:5.1} s  {}  {}", report.seconds, report.call, report.story));
            lines.extend(report.faults.iter().map(|fault| format!("          !! {fault}")));
        }
        lines.extend(further.iter().map(|fault| format!("  !! {fault}")));
        lines.push(format!(
            "  {} 通来电, {} 通接听, {} 通双向有声; 工单 {} 张开立, {} 张归档; {} 通有误; 用时 {:.0} s",
            summary.calls,
            summary.answered,
            summary.audio_ok,
            summary.tickets_opened,
            summary.tickets_closed,
            summary.failed,
            self.began.elapsed().as_secs_f64()
        ));
        self.write(&lines);
    }

    fn object(&self, object: &impl Serialize) {
        if let Ok(text) = serde_json::to_string(object) {
            self.write(&[text]);
        }
    }

    fn write(&self, lines: &[String]) {
        let _turn = locked(&self.turn);
        let mut out = stdout().lock();
        for line in lines {
            // A reader that has gone (`| head`) does not end the story.
            let _ = writeln!(out, "{line}");
        }
        let _ = out.flush();
    }
}
