//! TOML with its places kept: an owned tree in which every key and value knows where it stands.
//!
//! Reading is by [`Fields`]: each key a reader asks for is known, every other is a fault with the nearest known name.
//! Deliberately absent: serde. Its `flatten` and `untagged` lose the place, and one error ends the reading.
//! Limits: a text of at most [`TEXT_MAX`] bytes.

use std::ops::RangeInclusive;
use std::time::Duration;

use jiff::civil::{Date, DateTime};
use jiff::{Timestamp, ToSpan as _};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::base::calendar::from_china;
use crate::plan::diagnose::{At, Diagnostic, Faults, Sources, nearest};

/// The longest text read, in bytes.
pub(super) const TEXT_MAX: usize = 8 << 20;

/// A value and where it stands.
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub(super) at: At,
    pub(super) value: Value,
}

/// A TOML value.
#[derive(Clone, Debug)]
pub(super) enum Value {
    Text(String),
    Integer(i64),
    Float,
    Bool(bool),
    Moment(String),
    Array(Vec<Node>),
    Table(Table),
}

/// A table in the order written.
#[derive(Clone, Debug)]
pub(super) struct Table {
    pub(super) at: At,
    pub(super) entries: Vec<Entry>,
}

/// A key with its value.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) key: String,
    pub(super) key_at: At,
    pub(super) node: Node,
}

/// A value read, with its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Spot<T> {
    pub(super) value: T,
    pub(super) at: At,
}

impl Value {
    const fn kind(&self) -> &'static str {
        match self {
            Self::Text(_) => "a string",
            Self::Integer(_) => "an integer",
            Self::Float => "a float",
            Self::Bool(_) => "a boolean",
            Self::Moment(_) => "a date",
            Self::Array(_) => "an array",
            Self::Table(_) => "a table",
        }
    }
}

/// Parses a text into a tree; syntax faults are collected and the rest is kept.
pub(super) fn parse(sources: &mut Sources, name: &str, text: &str, faults: &mut Faults) -> Table {
    // A byte order mark is what Windows editors write.
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let file = sources.add(name, text);
    let empty = Table { at: At { file, start: 0, end: 0 }, entries: Vec::new() };
    if text.len() > TEXT_MAX {
        faults.nowhere("E0122", format!("`{name}` is longer than {} MiB", TEXT_MAX >> 20));
        return empty;
    }
    let (table, errors) = DeTable::parse_recoverable(text);
    for error in errors {
        let span = error.span().unwrap_or(0..0);
        let at = place(file, span);
        faults.error("E0100", at, format!("not TOML: {}", error.message()), "here");
    }
    let at = place(file, table.span());
    let tree = convert_table(file, at, table.get_ref());
    hide_secrets(&tree, sources);
    tree
}

/// Keys whose values are never shown.
const SECRETS: [&str; 4] = ["password", "ha1", "secret", "previous_secret"];

fn hide_secrets(table: &Table, sources: &mut Sources) {
    for entry in &table.entries {
        // A slip in the key must not show the value either.
        if nearest(&entry.key, SECRETS).is_some() {
            sources.hide(entry.node.at);
        }
        hide_in(&entry.node, sources);
    }
}

fn hide_in(node: &Node, sources: &mut Sources) {
    match &node.value {
        Value::Table(table) => hide_secrets(table, sources),
        Value::Array(nodes) => nodes.iter().for_each(|node| hide_in(node, sources)),
        Value::Text(_) | Value::Integer(_) | Value::Float | Value::Bool(_) | Value::Moment(_) => {}
    }
}

fn place(file: u16, span: std::ops::Range<usize>) -> At {
    let clamp = |byte: usize| u32::try_from(byte).unwrap_or(u32::MAX);
    At { file, start: clamp(span.start), end: clamp(span.end) }
}

fn convert_table(file: u16, at: At, table: &DeTable<'_>) -> Table {
    let entries = table
        .iter()
        .map(|(key, value)| Entry {
            key: key.get_ref().to_string(),
            key_at: place(file, key.span()),
            node: convert(file, value),
        })
        .collect();
    Table { at, entries }
}

fn convert(file: u16, value: &Spanned<DeValue<'_>>) -> Node {
    let at = place(file, value.span());
    let value = match value.get_ref() {
        DeValue::String(text) => Value::Text(text.to_string()),
        DeValue::Integer(integer) => {
            i64::from_str_radix(integer.as_str(), integer.radix()).map_or(Value::Float, Value::Integer)
        }
        DeValue::Float(_) => Value::Float,
        DeValue::Boolean(bool) => Value::Bool(*bool),
        DeValue::Datetime(moment) => Value::Moment(moment.to_string()),
        DeValue::Array(array) => Value::Array(array.iter().map(|node| convert(file, node)).collect()),
        DeValue::Table(table) => Value::Table(convert_table(file, at, table)),
    };
    Node { at, value }
}

impl Table {
    pub(super) fn get(&self, key: &str) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.key == key)
    }

    /// Takes a key out.
    pub(super) fn take(&mut self, key: &str) -> Option<Entry> {
        let at = self.entries.iter().position(|entry| entry.key == key)?;
        Some(self.entries.remove(at))
    }

    /// Lays another tree over this one: tables merge, everything else is replaced.
    pub(super) fn lay_over(&mut self, other: Self) {
        for entry in other.entries {
            let Some(mine) = self.entries.iter_mut().find(|mine| mine.key == entry.key) else {
                self.entries.push(entry);
                continue;
            };
            match (&mut mine.node.value, entry.node.value) {
                (Value::Table(mine), Value::Table(theirs)) => mine.lay_over(theirs),
                (_, value) => {
                    mine.key_at = entry.key_at;
                    mine.node = Node { at: entry.node.at, value };
                }
            }
        }
    }
}

/// Reads one table key by key; what was never asked for is unknown.
pub(super) struct Fields<'t> {
    table: &'t Table,
    what: &'t str,
    asked: Vec<&'static str>,
}

impl<'t> Fields<'t> {
    pub(super) fn new(table: &'t Table, what: &'t str) -> Self {
        Self { table, what, asked: Vec::new() }
    }

    pub(super) fn at(&self) -> At {
        self.table.at
    }

    pub(super) fn entry(&mut self, key: &'static str) -> Option<&'t Entry> {
        if !self.asked.contains(&key) {
            self.asked.push(key);
        }
        self.table.get(key)
    }

    pub(super) fn node(&mut self, key: &'static str) -> Option<&'t Node> {
        self.entry(key).map(|entry| &entry.node)
    }

    pub(super) fn text(&mut self, key: &'static str, faults: &mut Faults) -> Option<Spot<&'t str>> {
        text_of(self.node(key)?, faults)
    }

    /// A text that must be there.
    pub(super) fn need(&mut self, key: &'static str, faults: &mut Faults) -> Option<Spot<&'t str>> {
        if self.node(key).is_none() {
            faults.error("E0102", self.table.at, format!("{} has no `{key}`", self.what), "in this table");
            return None;
        }
        let found = self.text(key, faults)?;
        if found.value.trim().is_empty() {
            faults.error("E0104", found.at, format!("`{key}` is empty"), "needs a text");
            return None;
        }
        Some(found)
    }

    pub(super) fn bool(&mut self, key: &'static str, default: bool, faults: &mut Faults) -> bool {
        match self.node(key) {
            None => default,
            Some(Node { value: Value::Bool(bool), .. }) => *bool,
            Some(node) => {
                wrong_type(node, "a boolean", faults);
                default
            }
        }
    }

    pub(super) fn integer<T: TryFrom<i64> + Into<i64> + Copy>(
        &mut self,
        key: &'static str,
        default: T,
        range: RangeInclusive<i64>,
        faults: &mut Faults,
    ) -> T {
        let Some(node) = self.node(key) else { return default };
        let Value::Integer(integer) = node.value else {
            wrong_type(node, "an integer", faults);
            return default;
        };
        let found = range.contains(&integer).then(|| T::try_from(integer).ok()).flatten();
        found.unwrap_or_else(|| {
            let message = format!("`{key}` is {integer}, outside {} to {}", range.start(), range.end());
            faults.error("E0127", node.at, message, "out of range");
            default
        })
    }

    pub(super) fn duration(
        &mut self,
        key: &'static str,
        default: Duration,
        range: RangeInclusive<Duration>,
        faults: &mut Faults,
    ) -> Duration {
        self.maybe_duration(key, range, faults).unwrap_or(default)
    }

    pub(super) fn maybe_duration(
        &mut self,
        key: &'static str,
        range: RangeInclusive<Duration>,
        faults: &mut Faults,
    ) -> Option<Duration> {
        let found = self.text_or_hint(key, "a duration such as \"20s\"", faults)?;
        let Some(duration) = parse_duration(found.value) else {
            faults
                .error("E0104", found.at, format!("`{}` is no duration", found.value), "needs a number and a unit")
                .help("write it like \"500ms\", \"20s\", \"3m\", \"1h30m\"");
            return None;
        };
        if !range.contains(&duration) {
            let message = format!("`{key}` is {}, outside {:?} to {:?}", found.value, range.start(), range.end());
            faults.error("E0127", found.at, message, "out of range");
            return None;
        }
        Some(duration)
    }

    /// The text of a key, for words such as `never` beside durations; another type is a fault.
    pub(super) fn word(&mut self, key: &'static str, faults: &mut Faults) -> Option<&'t str> {
        self.text(key, faults).map(|found| found.value)
    }

    fn text_or_hint(&mut self, key: &'static str, wanted: &str, faults: &mut Faults) -> Option<Spot<&'t str>> {
        let node = self.node(key)?;
        match &node.value {
            Value::Text(text) => Some(Spot { value: text, at: node.at }),
            _ => {
                wrong_type(node, wanted, faults);
                None
            }
        }
    }

    /// A list of texts; a single text stands for a list of one.
    pub(super) fn texts(&mut self, key: &'static str, faults: &mut Faults) -> Option<Vec<Spot<&'t str>>> {
        let node = self.node(key)?;
        match &node.value {
            Value::Array(nodes) => Some(nodes.iter().filter_map(|node| text_of(node, faults)).collect()),
            Value::Text(text) => Some(vec![Spot { value: text.as_str(), at: node.at }]),
            _ => {
                wrong_type(node, "a list of strings", faults);
                None
            }
        }
    }

    pub(super) fn table(&mut self, key: &'static str, faults: &mut Faults) -> Option<&'t Table> {
        let node = self.node(key)?;
        match &node.value {
            Value::Table(table) => Some(table),
            _ => {
                wrong_type(node, "a table", faults);
                None
            }
        }
    }

    /// An array of tables (`[[key]]`).
    pub(super) fn tables(&mut self, key: &'static str, faults: &mut Faults) -> Vec<&'t Table> {
        let Some(node) = self.node(key) else { return Vec::new() };
        match &node.value {
            Value::Array(nodes) => nodes
                .iter()
                .filter_map(|node| match &node.value {
                    Value::Table(table) => Some(table),
                    _ => {
                        wrong_type(node, "a table", faults);
                        None
                    }
                })
                .collect(),
            Value::Table(table) => {
                faults
                    .error("E0103", table.at, format!("`{key}` is one table where a list is expected"), "a table")
                    .help(format!("write the header with two brackets: [[{key}]]"));
                Vec::new()
            }
            _ => {
                wrong_type(node, "a list of tables", faults);
                Vec::new()
            }
        }
    }

    /// A moment: a date-time with offset, or a local one or a date, read in China's time. A date is its first second,
    /// or with `end` its last (the moment after it).
    pub(super) fn moment(&mut self, key: &'static str, end: bool, faults: &mut Faults) -> Option<Spot<Timestamp>> {
        let node = self.node(key)?;
        let (Value::Moment(text) | Value::Text(text)) = &node.value else {
            wrong_type(node, "a date or a date with time", faults);
            return None;
        };
        let found = parse_moment(text, end);
        if found.is_none() {
            faults
                .error("E0104", node.at, format!("`{text}` is no moment"), "needs a date, or a date and a time")
                .help("write it like 2026-11-30 or 2026-11-30T18:00:00 (China's time) or with an offset");
        }
        found.map(|value| Spot { value, at: node.at })
    }

    /// Ends the reading: every key that nobody asked for is a fault.
    pub(super) fn finish(self, faults: &mut Faults) {
        for entry in &self.table.entries {
            if !self.asked.contains(&entry.key.as_str()) {
                unknown_key(entry, self.what, &self.asked, faults);
            }
        }
    }
}

fn unknown_key<'f>(entry: &Entry, what: &str, known: &[&str], faults: &'f mut Faults) -> &'f mut Diagnostic {
    let message = format!("{what} has no key `{}`", entry.key);
    let hint = match nearest(&entry.key, known.iter().copied()) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("known keys: {}", known.join(", ")),
    };
    faults.error("E0101", entry.key_at, message, "unknown key").help(hint)
}

pub(super) fn wrong_type(node: &Node, wanted: &str, faults: &mut Faults) {
    let message = format!("expected {wanted}, found {}", node.value.kind());
    faults.error("E0103", node.at, message, node.value.kind());
}

pub(super) fn text_of<'t>(node: &'t Node, faults: &mut Faults) -> Option<Spot<&'t str>> {
    match &node.value {
        Value::Text(text) => Some(Spot { value: text, at: node.at }),
        _ => {
            wrong_type(node, "a string", faults);
            None
        }
    }
}

/// Reads `500ms`, `20s`, `3m`, `1h30m`, `2d`.
pub(super) fn parse_duration(text: &str) -> Option<Duration> {
    let mut rest = text.trim();
    let mut total = Duration::ZERO;
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let (count, tail) = rest.split_at_checked(digits)?;
        let count: u32 = count.parse().ok()?;
        let letters = tail.bytes().take_while(u8::is_ascii_alphabetic).count();
        let (unit, tail) = tail.split_at_checked(letters)?;
        let unit = match unit {
            "ms" => Duration::from_millis(1),
            "s" => Duration::from_secs(1),
            "m" | "min" => Duration::from_secs(60),
            "h" => Duration::from_secs(3_600),
            "d" => Duration::from_secs(86_400),
            _ => return None,
        };
        total = total.checked_add(unit.checked_mul(count)?)?;
        rest = tail;
    }
    Some(total)
}

/// Reads a moment; local forms are China's time.
pub(super) fn parse_moment(text: &str, end: bool) -> Option<Timestamp> {
    if let Ok(moment) = text.parse::<Timestamp>() {
        return Some(moment);
    }
    if text.len() == "2026-11-30".len() {
        let mut day: Date = text.parse().ok()?;
        if end {
            day = day.checked_add(1.day()).ok()?;
        }
        return from_china(day.to_datetime(jiff::civil::Time::midnight()));
    }
    from_china(text.parse::<DateTime>().ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_need_a_unit() {
        assert_eq!(parse_duration("1h30m"), Some(Duration::from_secs(5_400)));
        assert_eq!(parse_duration("500ms"), Some(Duration::from_millis(500)));
        for text in ["", "20", "s", "20 s", "-3s", "1y", "99999999999s", "二十秒"] {
            assert_eq!(parse_duration(text), None, "{text}");
        }
    }

    #[test]
    fn a_date_begins_at_midnight_in_china_and_ends_at_the_next() {
        let show = |text: &str, end| parse_moment(text, end).map(|at| at.to_string());
        assert_eq!(show("2021-11-30", false).as_deref(), Some("2021-11-29T16:00:00Z"));
        assert_eq!(show("2021-11-30", true).as_deref(), Some("2021-11-30T16:00:00Z"));
        assert_eq!(show("2021-11-30T08:00:00", true).as_deref(), Some("2021-11-30T00:00:00Z"));
        assert_eq!(show("2021-11-30T08:00:00+09:00", true).as_deref(), Some("2021-11-29T23:00:00Z"));
        assert_eq!(show("tomorrow", false), None);
    }

    #[test]
    fn what_is_laid_over_replaces_leaves_and_merges_tables() {
        let (mut sources, mut faults) = (Sources::default(), Faults::default());
        let mut base = parse(&mut sources, "a", "x = 1\n[t]\na = 1\nb = 2\n", &mut faults);
        base.lay_over(parse(&mut sources, "command line", "t.b = [3]", &mut faults));
        let Some(Entry { node: Node { value: Value::Table(table), .. }, .. }) = base.get("t") else { panic!() };
        assert!(matches!(table.get("a").map(|entry| &entry.node.value), Some(Value::Integer(1))));
        let replaced = table.get("b").unwrap();
        assert!(matches!(replaced.node.value, Value::Array(_)));
        assert_eq!(&*sources.place(replaced.node.at).file, "command line");
    }

    #[test]
    fn several_syntax_faults_are_found_in_one_run() {
        let (mut sources, mut faults) = (Sources::default(), Faults::default());
        parse(&mut sources, "a", "a = \nb = [1, \nc = 'x\nd = 1\n", &mut faults);
        assert!(faults.into_sorted().len() >= 2);
    }
}
