//! What a receiver answered, made harmless: it is shown to people, and its number goes onto agents' phones.

use serde::Deserialize;

use super::retry::Outcome;

/// The longest number taken from a receiver, characters.
pub const TICKET_NO_MAX: usize = 64;
/// The most of an answer kept for people, characters.
pub const SHOWN_MAX: usize = 200;

/// An answer and what is taken from it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// What decides about the delivery.
    pub outcome: Outcome,
    /// The beginning of it, on one line.
    pub shown: String,
    /// The receiver's number for the ticket.
    pub ticket_no: Option<String>,
}

#[derive(Deserialize)]
struct Body {
    ticket_no: Option<String>,
}

impl Answer {
    /// Reads an answer; a number is taken from a 2xx only.
    #[must_use]
    pub fn new(outcome: Outcome, body: &[u8]) -> Self {
        let accepted = outcome.status().is_some_and(|status| (200..300).contains(&status));
        let said = accepted.then(|| serde_json::from_slice::<Body>(body).ok()).flatten();
        Self {
            outcome,
            shown: one_line(&String::from_utf8_lossy(body), SHOWN_MAX),
            ticket_no: said.and_then(|said| said.ticket_no).and_then(|number| ticket_no(&number)),
        }
    }

    /// No answer came. The URL is not repeated: it may carry a token.
    #[must_use]
    pub fn unreachable(fault: &reqwest::Error) -> Self {
        let shown = if fault.is_timeout() {
            "no answer in time"
        } else if fault.is_connect() {
            "cannot connect"
        } else {
            "connection lost"
        };
        Self { outcome: Outcome::NoAnswer, shown: shown.to_owned(), ticket_no: None }
    }
}

/// A number fit to be shown: not empty, not long, without control or direction characters. One that is not is
/// ignored, not mended: a shortened number would name another ticket.
fn ticket_no(number: &str) -> Option<String> {
    let number = number.trim();
    let fit = !number.is_empty() && number.chars().count() <= TICKET_NO_MAX && number.chars().all(is_harmless);
    fit.then(|| number.to_owned())
}

fn one_line(text: &str, most: usize) -> String {
    text.chars()
        .map(|symbol| if is_harmless(symbol) { symbol } else { ' ' })
        .take(most)
        .collect::<String>()
        .trim()
        .to_owned()
}

const fn is_harmless(symbol: char) -> bool {
    !matches!(symbol, '\0'..='\x1f' | '\x7f'..='\u{9f}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(status: u16, body: &str) -> Option<String> {
        Answer::new(Outcome::Status { status, retry_after: None }, body.as_bytes()).ticket_no
    }

    #[test]
    fn a_number_is_taken_from_a_good_answer_only() {
        assert_eq!(number(200, r#"{"ticket_no":" 赤峰-2026-0001 ","more":1}"#).as_deref(), Some("赤峰-2026-0001"));
        assert_eq!(number(500, r#"{"ticket_no":"1"}"#), None);
        for body in ["", "ok", "[]", r#"{"ticket_no":7}"#, r#"{"ticket_no":""}"#, r#"{"ticket_no":null}"#] {
            assert_eq!(number(200, body), None, "{body}");
        }
    }

    #[test]
    fn hostile_numbers_are_ignored() {
        assert_eq!(number(200, &format!(r#"{{"ticket_no":"{}"}}"#, "9".repeat(65))), None);
        assert_eq!(number(200, &format!(r#"{{"ticket_no":"{}"}}"#, "9".repeat(64))).map(|n| n.len()), Some(64));
        assert_eq!(number(200, "{\"ticket_no\":\"1\\r\\nX-Evil: 1\"}"), None);
        assert_eq!(number(200, "{\"ticket_no\":\"1\u{202e}2\"}"), None);
    }

    #[test]
    fn what_is_shown_is_short_and_one_line() {
        let answer = Answer::new(Outcome::NoAnswer, format!("a\r\nb\x1b[31m{}", "x".repeat(500)).as_bytes());
        assert!(answer.shown.starts_with("a  b [31mx"));
        assert_eq!(answer.shown.chars().count(), SHOWN_MAX);
    }
}
