//! Faults of configuration and dialplan files: where they are, what is wrong, what to do, shown as text or JSON.
//!
//! Deliberately absent: finding faults. Codes are stable: `E01xx` errors, `W02xx` warnings, `N03xx` notes; the word
//! of each code never changes its meaning. Limits: [`FAULTS_MAX`] faults are kept.

use std::cmp::Ordering;
use std::ops::Range;
use std::sync::Arc;

use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};

use crate::plan::model::Declared;

/// Faults kept in one run; a broken generator must not fill memory.
pub const FAULTS_MAX: usize = 2_000;

/// How bad a fault is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// The plan cannot be used.
    Error,
    /// It can, but somebody should look.
    Warning,
    /// How something was understood.
    Note,
}

impl Severity {
    /// The word in JSON.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Note => "note",
        }
    }
}

/// A stretch of one source text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct At {
    /// Which source.
    pub(super) file: u16,
    /// First byte.
    pub(super) start: u32,
    /// One past the last byte.
    pub(super) end: u32,
}

/// A source text with its name.
#[derive(Clone, Debug)]
pub struct Source {
    /// The file's name, or `command line`.
    pub name: Arc<str>,
    /// Its text.
    pub text: Arc<str>,
    /// The text as it may be shown: secrets starred out, byte for byte.
    shown: String,
    lines: Vec<usize>,
}

/// All texts one plan is made from.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    files: Vec<Source>,
}

/// One marked place of a fault.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Label {
    /// Where.
    pub at: At,
    /// What is there.
    pub text: String,
}

/// One fault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// How bad.
    pub severity: Severity,
    /// Stable code.
    pub code: &'static str,
    /// What is wrong, a lower-case fragment.
    pub message: String,
    /// Where; the first is the place itself, others what it clashes with.
    pub labels: Vec<Label>,
    /// What to do.
    pub help: Option<String>,
}

impl Diagnostic {
    /// Adds another place.
    pub fn also(&mut self, at: At, text: impl Into<String>) -> &mut Self {
        self.labels.push(Label { at, text: text.into() });
        self
    }

    /// Adds what to do.
    pub fn help(&mut self, text: impl Into<String>) -> &mut Self {
        self.help = Some(text.into());
        self
    }

    /// Adds what to do, where there is something to say.
    pub fn maybe_help(&mut self, text: Option<String>) -> &mut Self {
        self.help = text;
        self
    }
}

/// Collects faults; reading goes on after each.
#[derive(Clone, Debug, Default)]
pub struct Faults {
    list: Vec<Diagnostic>,
    spare: Option<Box<Diagnostic>>,
}

impl Faults {
    /// Adds an error at a place.
    pub fn error(&mut self, code: &'static str, at: At, message: impl Into<String>, label: &str) -> &mut Diagnostic {
        self.push(Severity::Error, code, Some(at), message.into(), label)
    }

    /// Adds a warning at a place.
    pub fn warning(&mut self, code: &'static str, at: At, message: impl Into<String>, label: &str) -> &mut Diagnostic {
        self.push(Severity::Warning, code, Some(at), message.into(), label)
    }

    /// Adds a note at a place.
    pub fn note(&mut self, code: &'static str, at: At, message: impl Into<String>, label: &str) -> &mut Diagnostic {
        self.push(Severity::Note, code, Some(at), message.into(), label)
    }

    /// Adds an error that has no place in a text (a file that cannot be read).
    pub fn nowhere(&mut self, code: &'static str, message: impl Into<String>) -> &mut Diagnostic {
        self.push(Severity::Error, code, None, message.into(), "")
    }

    fn push(
        &mut self,
        severity: Severity,
        code: &'static str,
        at: Option<At>,
        message: String,
        label: &str,
    ) -> &mut Diagnostic {
        let labels = at.map(|at| Label { at, text: label.to_owned() }).into_iter().collect();
        let fault = Diagnostic { severity, code, message, labels, help: None };
        if self.list.len() < FAULTS_MAX {
            self.list.push(fault);
            if let Some(last) = self.list.last_mut() {
                return last;
            }
        }
        // The list is full: the caller still gets one to write on.
        self.spare.insert(Box::new(Diagnostic {
            severity,
            code,
            message: String::new(),
            labels: Vec::new(),
            help: None,
        }))
    }

    /// Takes over what another collected.
    pub(super) fn extend(&mut self, other: Self) {
        let room = FAULTS_MAX.saturating_sub(self.list.len());
        self.list.extend(other.list.into_iter().take(room));
    }

    /// Whether any error was found.
    #[must_use]
    pub fn any_error(&self) -> bool {
        self.list.iter().any(|fault| fault.severity == Severity::Error)
    }

    /// The faults by file and place, errors of no place first.
    #[must_use]
    pub fn into_sorted(mut self) -> Vec<Diagnostic> {
        self.list.sort_by(|left, right| match (left.labels.first(), right.labels.first()) {
            (Some(a), Some(b)) => (a.at, left.code).cmp(&(b.at, right.code)),
            (None, Some(_)) => Ordering::Less,
            (Some(_), None) => Ordering::Greater,
            (None, None) => left.message.cmp(&right.message),
        });
        self.list.dedup();
        self.list
    }
}

impl Sources {
    /// Adds a text; at most 65,535 are told apart.
    pub(super) fn add(&mut self, name: &str, text: &str) -> u16 {
        let lines = std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect();
        self.files.push(Source { name: Arc::from(name), text: Arc::from(text), shown: text.to_owned(), lines });
        u16::try_from(self.files.len() - 1).unwrap_or(u16::MAX)
    }

    /// Stars out a secret, so that no fault beside it shows it.
    pub(super) fn hide(&mut self, at: At) {
        let Some(file) = self.files.get_mut(usize::from(at.file)) else { return };
        let span = Self::span(file, at);
        let stars: String = file
            .shown
            .get(span.clone())
            .unwrap_or_default()
            .bytes()
            .map(|byte| if byte == b'\n' { '\n' } else { '*' })
            .collect();
        if file.shown.get(span.clone()).is_some() {
            file.shown.replace_range(span, &stars);
        }
    }

    /// The texts.
    #[must_use]
    pub fn files(&self) -> &[Source] {
        &self.files
    }

    fn file(&self, at: At) -> Option<&Source> {
        self.files.get(usize::from(at.file))
    }

    /// File, line and column of a place.
    #[must_use]
    pub fn place(&self, at: At) -> Declared {
        let Some(file) = self.file(at) else { return Declared::default() };
        let start = at.start as usize;
        let line = file.lines.partition_point(|begin| *begin <= start).max(1);
        let begin = file.lines.get(line - 1).copied().unwrap_or(0);
        let column = file.text.get(begin..start).map_or(0, |before| before.chars().count()) + 1;
        Declared {
            file: Arc::clone(&file.name),
            line: u32::try_from(line).unwrap_or(u32::MAX),
            column: u32::try_from(column).unwrap_or(u32::MAX),
        }
    }

    /// The bytes of a place, on character boundaries and inside the text.
    fn span(file: &Source, at: At) -> Range<usize> {
        let clamp = |byte: u32| {
            let mut byte = (byte as usize).min(file.text.len());
            while !file.text.is_char_boundary(byte) || !file.shown.is_char_boundary(byte) {
                byte -= 1;
            }
            byte
        };
        let (start, end) = (clamp(at.start), clamp(at.end));
        start..end.max(start)
    }

    /// One fault as people read it: message, source lines with labels, hint.
    #[must_use]
    pub fn render(&self, fault: &Diagnostic, colour: bool) -> String {
        let level = match fault.severity {
            Severity::Error => Level::ERROR,
            Severity::Warning => Level::WARNING,
            Severity::Note => Level::NOTE,
        };
        let mut group = Group::with_title(level.primary_title(fault.message.as_str()).id(fault.code));
        let mut shown: Vec<u16> = Vec::new();
        for label in &fault.labels {
            if shown.contains(&label.at.file) {
                continue;
            }
            shown.push(label.at.file);
            let Some(file) = self.file(label.at) else { continue };
            let mut snippet = Snippet::source(file.shown.as_str()).path(&*file.name);
            for (nth, other) in fault.labels.iter().enumerate().filter(|(_, other)| other.at.file == label.at.file) {
                let kind = if nth == 0 { AnnotationKind::Primary } else { AnnotationKind::Context };
                snippet = snippet.annotation(kind.span(Self::span(file, other.at)).label(other.text.as_str()));
            }
            group = group.element(snippet);
        }
        if let Some(help) = &fault.help {
            group = group.element(Level::HELP.message(help.as_str()));
        }
        let renderer = if colour { Renderer::styled() } else { Renderer::plain() };
        renderer.render(&[group])
    }

    /// One fault as `check --json` shows it.
    #[must_use]
    pub fn json(&self, fault: &Diagnostic) -> serde_json::Value {
        let place = fault.labels.first().map(|label| self.place(label.at));
        let labels: Vec<_> = fault
            .labels
            .iter()
            .map(|label| {
                let place = self.place(label.at);
                serde_json::json!({"file": &*place.file, "line": place.line, "column": place.column, "text": label.text})
            })
            .collect();
        serde_json::json!({
            "severity": fault.severity.word(),
            "code": fault.code,
            "message": fault.message,
            "file": place.as_ref().map(|place| &*place.file),
            "line": place.as_ref().map(|place| place.line),
            "column": place.as_ref().map(|place| place.column),
            "labels": labels,
            "help": fault.help,
        })
    }
}

/// The known word nearest to one that is not known, when near enough to be what was meant.
#[must_use]
pub fn nearest<'w>(word: &str, known: impl IntoIterator<Item = &'w str>) -> Option<&'w str> {
    let reach = (word.chars().count() / 3).clamp(1, 3);
    known
        .into_iter()
        .map(|candidate| (distance(word, candidate), candidate))
        .filter(|(far, candidate)| *far <= reach || candidate.starts_with(word) && word.chars().count() >= 3)
        .min_by_key(|(far, _)| *far)
        .map(|(_, candidate)| candidate)
}

/// Edits between two words: insert, delete, replace, swap of neighbours.
fn distance(left: &str, right: &str) -> usize {
    let left: Vec<char> = left.chars().take(64).flat_map(char::to_lowercase).collect();
    let right: Vec<char> = right.chars().take(64).flat_map(char::to_lowercase).collect();
    let mut before_last: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=right.len()).collect();
    for (row, a) in left.iter().enumerate() {
        let mut line = vec![row + 1];
        for (column, b) in right.iter().enumerate() {
            let at = |line: &[usize], place: usize| line.get(place).copied().unwrap_or(usize::MAX - 1);
            let mut best = at(&last, column) + usize::from(a != b);
            best = best.min(at(&last, column + 1) + 1).min(at(&line, column) + 1);
            let swapped =
                row > 0 && column > 0 && left.get(row - 1) == Some(b) && right.get(column - 1) == Some(a) && a != b;
            if swapped {
                best = best.min(at(&before_last, column - 1) + 1);
            }
            line.push(best);
        }
        before_last = std::mem::replace(&mut last, line);
    }
    last.last().copied().unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nearest_finds_slips_and_leaves_strangers_alone() {
        let known = ["number", "name", "mode", "seats", "spoken_name"];
        assert_eq!(nearest("nubmer", known), Some("number"));
        assert_eq!(nearest("spoken", known), Some("spoken_name"));
        assert_eq!(nearest("Mode", known), Some("mode"));
        assert_eq!(nearest("colour", known), None);
    }

    #[test]
    fn places_count_characters_not_bytes() {
        let mut sources = Sources::default();
        let file = sources.add("a.toml", "名 = 1\n模式 = 2\n");
        let start = u32::try_from("名 = 1\n模式 = ".len()).unwrap();
        let place = sources.place(At { file, start, end: start + 1 });
        assert_eq!((place.line, place.column), (2, 6));
    }

    #[test]
    fn faults_are_bounded() {
        let mut faults = Faults::default();
        for _ in 0..FAULTS_MAX + 5 {
            faults.nowhere("E0199", "again").help("x");
        }
        assert_eq!(faults.list.len(), FAULTS_MAX);
    }
}
