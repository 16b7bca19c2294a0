//! What each call's messages looked like: parties as columns, time downwards, tickets between.
//!
//! Every peer tells the [`Recorder`] what it sent and saw; the engine itself tells nothing. A dialog belongs to the
//! citizen whose number stands in the From of its INVITE.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use serde::Serialize;
use tokio::time::Instant;

use crate::demo::peer::{Sight, Witness, locked};

/// Who stands in the middle of every ladder.
pub const ENGINE: &str = "switch12345";
/// Screen cells between two columns.
const COLUMN: usize = 26;
/// Cells before the first column's line, after the time.
const MARGIN: usize = 8;
/// The most messages kept; a demonstration has some hundreds.
const KEPT: usize = 20_000;

/// Keeps everything the peers saw.
#[derive(Debug, Default)]
pub struct Recorder {
    seen: Mutex<Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    sights: Vec<Sight>,
    callers: BTreeMap<String, String>,
}

impl Witness for Recorder {
    fn saw(&self, sight: Sight) {
        let mut seen = locked(&self.seen);
        if sight.begins {
            seen.callers.entry(sight.call_id.clone()).or_insert_with(|| sight.from.clone());
        }
        if seen.sights.len() < KEPT {
            seen.sights.push(sight);
        }
    }
}

/// One line of a ladder.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Row {
    /// Seconds since the call began.
    pub at_s: f64,
    /// The sender's column; `None` for a remark.
    pub from: Option<String>,
    /// The receiver's column.
    pub to: Option<String>,
    /// What was said.
    pub text: String,
}

impl Recorder {
    /// Every message of a citizen's calls, in order.
    #[must_use]
    pub fn of(&self, caller: &str) -> Vec<Sight> {
        let seen = locked(&self.seen);
        let belongs = |sight: &&Sight| seen.callers.get(&sight.call_id).is_some_and(|found| found == caller);
        let mut sights: Vec<Sight> = seen.sights.iter().filter(belongs).cloned().collect();
        sights.sort_by_key(|sight| sight.at);
        sights
    }
}

/// Puts messages and remarks (tickets) into rows; times count from the first message.
#[must_use]
pub fn rows(sights: &[Sight], remarks: &[(Instant, String)]) -> Vec<Row> {
    let Some(start) = sights.first().map(|sight| sight.at) else { return Vec::new() };
    let seconds = |at: Instant| at.saturating_duration_since(start).as_secs_f64();
    let messages = sights.iter().map(|sight| {
        let (party, engine) = (sight.party.to_string(), ENGINE.to_owned());
        let (from, to) = if sight.sent { (party, engine) } else { (engine, party) };
        Row { at_s: seconds(sight.at), from: Some(from), to: Some(to), text: sight.text.clone() }
    });
    let remarks = remarks.iter().map(|(at, text)| Row { at_s: seconds(*at), from: None, to: None, text: text.clone() });
    let mut rows: Vec<Row> = messages.chain(remarks).collect();
    rows.sort_by(|a, b| a.at_s.total_cmp(&b.at_s));
    rows
}

/// Draws rows as text, one line each after a heading line.
#[must_use]
pub fn drawn(rows: &[Row]) -> Vec<String> {
    let columns = columns(rows);
    let mut heading = Line::empty(columns.len());
    for (at, party) in columns.iter().enumerate() {
        heading.write_centred(centre(at), party);
    }
    let mut lines = vec![heading.text()];
    for row in rows {
        let mut line = Line::with_lines(columns.len());
        let place = |party: &Option<String>| columns.iter().position(|known| Some(known) == party.as_ref());
        match (place(&row.from), place(&row.to)) {
            (Some(from), Some(to)) => line.arrow(from, to, &row.text),
            _ => line.remark(&row.text),
        }
        let text = line.text();
        lines.push(format!("{:7.3}{}", row.at_s, text.get(7..).unwrap_or_default()));
    }
    lines
}

/// Who appears, the caller's side first, the engine next, the others as they come.
fn columns(rows: &[Row]) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    for party in rows.iter().flat_map(|row| [&row.from, &row.to]).flatten() {
        if !found.contains(party) {
            found.push(party.clone());
        }
    }
    if let Some(at) = found.iter().position(|party| party == ENGINE).filter(|at| *at > 1) {
        let engine = found.remove(at);
        found.insert(1, engine);
    }
    found
}

const fn centre(column: usize) -> usize {
    MARGIN + 4 + column * COLUMN
}

/// A line of screen cells; a wide character takes two, the second empty.
struct Line {
    cells: Vec<Option<char>>,
}

impl Line {
    fn empty(columns: usize) -> Self {
        Self { cells: vec![Some(' '); centre(columns.saturating_sub(1)) + COLUMN / 2] }
    }

    fn with_lines(columns: usize) -> Self {
        let mut line = Self::empty(columns);
        for column in 0..columns {
            line.put(centre(column), '|');
        }
        line
    }

    fn put(&mut self, at: usize, symbol: char) {
        if self.cells.len() < at + 2 {
            self.cells.resize(at + 2, Some(' '));
        }
        let places = self.cells.iter_mut().skip(at);
        for (place, cell) in places.zip(std::iter::once(Some(symbol)).chain((width_of(symbol) == 2).then_some(None))) {
            *place = cell;
        }
    }

    fn write(&mut self, mut at: usize, text: &str) {
        for symbol in text.chars() {
            self.put(at, symbol);
            at += width_of(symbol);
        }
    }

    fn write_centred(&mut self, at: usize, text: &str) {
        self.write(at.saturating_sub(width(text) / 2), text);
    }

    fn arrow(&mut self, from: usize, to: usize, text: &str) {
        let (left, right) = (centre(from.min(to)), centre(from.max(to)));
        for at in left + 1..right {
            self.put(at, '-');
        }
        if to > from {
            self.put(right - 1, '>');
        } else {
            self.put(left + 1, '<');
        }
        // Beside the engine's column, so that a long arrow keeps its words at the end they belong to.
        let room = COLUMN - 6;
        let shown = cut(text, room);
        let middle = if from.abs_diff(to) == 1 { usize::midpoint(left, right) } else { right - COLUMN / 2 };
        self.write_centred(middle, &format!(" {shown} "));
    }

    fn remark(&mut self, text: &str) {
        self.write(centre(1) + 2, text);
    }

    fn text(&self) -> String {
        self.cells.iter().flatten().collect::<String>().trim_end().to_owned()
    }
}

/// How many cells a character takes on a terminal: East Asian wide ones two.
const fn width_of(symbol: char) -> usize {
    match symbol as u32 {
        0x1100..=0x115f | 0x2e80..=0xa4cf | 0xac00..=0xd7a3 | 0xf900..=0xfaff | 0xfe30..=0xfe6f | 0xff00..=0xff60 => 2,
        _ => 1,
    }
}

/// How many cells a text takes.
#[must_use]
pub fn width(text: &str) -> usize {
    text.chars().map(width_of).sum()
}

fn cut(text: &str, cells: usize) -> String {
    let mut taken = 0;
    text.chars()
        .take_while(|symbol| {
            taken += width_of(*symbol);
            taken <= cells
        })
        .collect()
}

/// A recorder to hand to peers.
#[must_use]
pub fn recorder() -> Arc<Recorder> {
    Arc::default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sight(party: &str, sent: bool, call_id: &str, text: &str) -> Sight {
        Sight {
            at: Instant::now(),
            party: Arc::from(party),
            sent,
            call_id: call_id.to_owned(),
            from: "13800000001".to_owned(),
            text: text.to_owned(),
            begins: text.starts_with("INVITE"),
        }
    }

    #[test]
    fn a_dialog_belongs_to_the_caller_of_its_invite() {
        let recorder = Recorder::default();
        recorder.saw(sight("来电人", true, "a", "INVITE 12345"));
        recorder.saw(sight("座席1001", true, "b", "REGISTER 1001"));
        recorder.saw(Sight { from: "1001".to_owned(), ..sight("来电人", false, "a", "BYE") });
        let texts: Vec<String> = recorder.of("13800000001").into_iter().map(|sight| sight.text).collect();
        assert_eq!(texts, ["INVITE 12345", "BYE"]);
        assert!(recorder.of("13800000002").is_empty());
    }

    #[test]
    fn arrows_run_between_the_columns_and_wide_names_keep_them_straight() {
        let sights = [
            sight("来电人", true, "a", "INVITE 12345"),
            sight("座席1001", false, "b", "INVITE 1001"),
            sight("座席1001", true, "b", "200 OK"),
            sight("来电人", false, "a", "200 OK"),
        ];
        let lines = drawn(&rows(&sights, &[(Instant::now(), "ticket.opened #1".to_owned())]));
        assert!(
            lines[0].contains("来电人") && lines[0].contains(ENGINE) && lines[0].contains("座席1001"),
            "{lines:#?}"
        );
        assert!(lines[1].contains("INVITE 12345 ") && lines[1].contains("->|"), "{lines:#?}");
        assert!(lines[3].contains("|<-") && lines[3].contains("200 OK"), "{lines:#?}");
        assert!(lines[5].contains("ticket.opened #1"), "{lines:#?}");
        let bars: Vec<usize> = lines[1..5].iter().filter_map(|line| line.rfind('|')).collect();
        assert!(bars.iter().all(|at| *at == centre(2)), "{lines:#?}");
        assert_eq!((width("来电人"), width("abc")), (6, 3));
    }

    #[test]
    fn nothing_seen_draws_only_a_heading() {
        assert!(rows(&[], &[(Instant::now(), "x".to_owned())]).is_empty());
        assert_eq!(drawn(&[]).len(), 1);
    }
}
