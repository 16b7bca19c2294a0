//! What came of each call, for people and as JSON.
//!
//! Numbers of citizens are masked in everything shown.

use serde::Serialize;
use serde_json::{Value, json};

use crate::demo::ladder::{Row, drawn};
use crate::demo::receiver::TicketEvent;

/// One check of sound.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Hearing {
    /// Who listened.
    pub who: String,
    /// Whose tones were to be heard, in hertz.
    pub wanted_hz: Vec<u32>,
    /// Whether they were.
    pub heard: bool,
}

/// One call.
#[derive(Clone, Debug, Default, Serialize)]
pub struct CallReport {
    /// Its short name.
    pub call: String,
    /// What it shows.
    pub story: String,
    /// What was dialled.
    pub dialled: String,
    /// The citizen's number, masked.
    pub caller: String,
    /// Whether everything went as it should.
    pub ok: bool,
    /// Whether somebody answered.
    pub answered: bool,
    /// Who answered, in order.
    pub answered_by: Vec<String>,
    /// Whether everybody heard everybody.
    pub audio_ok: bool,
    /// Each listening.
    pub audio: Vec<Hearing>,
    /// The engine's ticket.
    pub ticket_id: Option<String>,
    /// The receiver's number.
    pub ticket_no: Option<String>,
    /// Its events.
    pub tickets: Vec<Value>,
    /// What went wrong.
    pub faults: Vec<String>,
    /// How long it took.
    pub seconds: f64,
    /// The messages.
    pub ladder: Vec<Row>,
}

impl CallReport {
    /// Notes what went wrong.
    pub fn fault(&mut self, fault: impl ToString) {
        self.faults.push(fault.to_string());
    }

    /// Checks a fact; what it should have been is said when it is not.
    pub fn expect<T: PartialEq + std::fmt::Debug>(&mut self, what: &str, found: T, wanted: T) {
        if found != wanted {
            self.fault(format!("{what} is {found:?}, not {wanted:?}"));
        }
    }

    /// Takes the ticket's events over and checks what every ticket must be: one, numbered without gaps, opened first,
    /// closed once at the end.
    pub fn take_tickets(&mut self, events: &[TicketEvent], merge_mode: Option<&str>, changes: &[&str]) {
        self.ticket_id = events.first().map(|event| event.ticket_id.clone());
        self.tickets = events
            .iter()
            .map(|event| json!({ "seq": event.seq, "type": event.kind, "change": event.change }))
            .collect();
        let (Some(first), Some(last)) = (events.first(), events.last()) else {
            self.fault("no ticket came");
            return;
        };
        if events.iter().any(|event| event.ticket_id != first.ticket_id) {
            self.fault("more than one ticket was opened");
        }
        let numbered = events.iter().zip(1_u64..).all(|(event, at)| (event.seq, event.delivery_seq) == (at, at));
        if !numbered {
            self.fault("the ticket's events have gaps in their numbers");
        }
        self.expect("the first event", first.kind.as_str(), "ticket.opened");
        let opened = events.iter().filter(|event| event.kind == "ticket.opened").count();
        let closed = events.iter().filter(|event| event.kind == "ticket.closed").count();
        self.expect("how often the ticket was opened and closed", (opened, closed), (1, 1));
        for change in changes {
            if !events.iter().any(|event| event.change == *change) {
                self.fault(format!("the ticket has no event {change}"));
            }
        }
        let ticket = |key: &str| last.body.get("ticket").and_then(|ticket| ticket.get(key)).and_then(Value::as_str);
        let dialled = self.dialled.clone();
        self.expect("the ticket's dialled number", ticket("dialled"), Some(dialled.as_str()));
        self.expect("the ticket's merge mode", ticket("merge_mode"), merge_mode);
    }

    /// Whether a ticket was opened for it.
    #[must_use]
    pub fn opened(&self) -> bool {
        self.has("ticket.opened")
    }

    /// Whether its ticket was closed.
    #[must_use]
    pub fn closed(&self) -> bool {
        self.has("ticket.closed")
    }

    fn has(&self, kind: &str) -> bool {
        self.tickets.iter().any(|event| event.get("type").and_then(Value::as_str) == Some(kind))
    }

    /// The call as lines for a person.
    #[must_use]
    pub fn lines(&self, colour: bool) -> Vec<String> {
        let paint = |code: &str, text: String| if colour { format!("\x1b[{code}m{text}\x1b[0m") } else { text };
        let mut lines = vec![String::new()];
        lines.push(paint("1", format!("== {}  {}  ({})", self.call, self.story, self.caller)));
        lines.extend(
            drawn(&self.ladder).into_iter().map(
                |line| {
                    if line.contains("[ticket]") { paint("36", line) } else { line }
                },
            ),
        );
        let hearing = |hearing: &Hearing| {
            let tones = hearing.wanted_hz.iter().map(|hertz| format!("{hertz} Hz")).collect::<Vec<_>>().join(" + ");
            format!("{} <- {tones}{}", hearing.who, if hearing.heard { "" } else { " (没有听到)" })
        };
        let heard = self.audio.iter().map(hearing).collect::<Vec<_>>().join("; ");
        lines.push(format!("   听到: {heard}"));
        for fault in &self.faults {
            lines.push(paint("31", format!("   !! {fault}")));
        }
        lines
    }
}

/// The last line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Summary {
    /// Calls made.
    pub calls: usize,
    /// Calls somebody answered.
    pub answered: usize,
    /// Tickets opened.
    pub tickets_opened: usize,
    /// Tickets closed.
    pub tickets_closed: usize,
    /// Calls in which everybody heard everybody.
    pub audio_ok: usize,
    /// Calls in which something was not as it should be.
    pub failed: usize,
}

impl Summary {
    /// Counts.
    #[must_use]
    pub fn of(reports: &[CallReport]) -> Self {
        let count = |is: fn(&CallReport) -> bool| reports.iter().filter(|report| is(report)).count();
        Self {
            calls: reports.len(),
            answered: count(|report| report.answered),
            tickets_opened: count(CallReport::opened),
            tickets_closed: count(CallReport::closed),
            audio_ok: count(|report| report.audio_ok),
            failed: count(|report| !report.ok),
        }
    }
}

/// A citizen's number as shown: `138****0001`.
#[must_use]
pub fn masked(number: &str) -> String {
    match (number.get(..3), number.len().checked_sub(4).and_then(|at| number.get(at..))) {
        (Some(head), Some(tail)) if number.len() > 7 => format!("{head}****{tail}"),
        _ => "****".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::time::Instant;

    fn event(seq: u64, kind: &str, change: &str) -> TicketEvent {
        TicketEvent {
            at: Instant::now(),
            ticket_id: "t".to_owned(),
            caller: "13800000001".to_owned(),
            kind: kind.to_owned(),
            change: change.to_owned(),
            seq,
            delivery_seq: seq,
            body: json!({ "ticket": { "dialled": "12369", "merge_mode": "dual_merged" } }),
        }
    }

    fn report() -> CallReport {
        CallReport { dialled: "12369".to_owned(), ..CallReport::default() }
    }

    #[test]
    fn a_whole_ticket_is_no_fault_and_every_lack_is_one() {
        let whole = [event(1, "ticket.opened", "call.started"), event(2, "ticket.closed", "call.ended")];
        let mut good = report();
        good.take_tickets(&whole, Some("dual_merged"), &["call.ended"]);
        assert_eq!(good.faults, Vec::<String>::new());
        assert!(good.opened() && good.closed());
        let gap = [event(1, "ticket.opened", "call.started"), event(3, "ticket.closed", "call.ended")];
        let twice = [event(1, "ticket.opened", "call.started"), event(2, "ticket.opened", "call.started")];
        let cases: [(&[TicketEvent], Option<&str>, &[&str]); 5] = [
            (&[], Some("dual_merged"), &[]),
            (&gap, Some("dual_merged"), &[]),
            (&twice, Some("dual_merged"), &[]),
            (&whole, None, &[]),
            (&whole, Some("dual_merged"), &["emergency.started"]),
        ];
        for (events, mode, changes) in cases {
            let mut bad = report();
            bad.take_tickets(events, mode, changes);
            assert!(!bad.faults.is_empty(), "{mode:?} {changes:?}");
        }
    }

    #[test]
    fn numbers_are_masked_whatever_they_are() {
        for (number, shown) in [("13800000001", "138****0001"), ("120", "****"), ("", "****"), ("1234567", "****")] {
            assert_eq!(masked(number), shown);
        }
    }

    #[test]
    fn the_summary_counts_calls() {
        let good = CallReport { ok: true, answered: true, audio_ok: true, ..report() };
        let summary = Summary::of(&[good, report()]);
        assert_eq!((summary.calls, summary.answered, summary.audio_ok, summary.failed), (2, 1, 1, 1));
    }
}
