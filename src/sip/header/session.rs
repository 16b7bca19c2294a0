//! `Session-Expires` and `Min-SE`.
//!
//! Deliberately absent: the timer. RFC 4028 §4, §5.

use serde::{Deserialize, Serialize};

use super::super::text::{self, BadSyntax};
use super::param;

/// Who refreshes a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Refresher {
    /// The side that sent the request.
    Uac,
    /// The side that answered it.
    Uas,
}

/// How long a session lasts without a refresh.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct SessionExpires {
    /// The interval in seconds.
    pub seconds: u32,
    /// Who refreshes it, when said.
    pub refresher: Option<Refresher>,
}

impl SessionExpires {
    /// Reads a value; a refresher that is neither word counts as none.
    ///
    /// # Errors
    /// When the interval is no number.
    pub fn parse(value: &[u8]) -> Result<Self, BadSyntax> {
        let (seconds, section) = interval(value)?;
        let refresher = match param::param(section, "refresher").flatten() {
            Some(word) if word.eq_ignore_ascii_case(b"uac") => Some(Refresher::Uac),
            Some(word) if word.eq_ignore_ascii_case(b"uas") => Some(Refresher::Uas),
            _ => None,
        };
        Ok(Self { seconds, refresher })
    }
}

impl std::fmt::Display for SessionExpires {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.refresher {
            None => write!(f, "{}", self.seconds),
            Some(Refresher::Uac) => write!(f, "{};refresher=uac", self.seconds),
            Some(Refresher::Uas) => write!(f, "{};refresher=uas", self.seconds),
        }
    }
}

/// Reads a Min-SE in seconds.
///
/// # Errors
/// When it is no number.
pub fn parse_min_se(value: &[u8]) -> Result<u32, BadSyntax> {
    interval(value).map(|(seconds, _)| seconds)
}

fn interval(value: &[u8]) -> Result<(u32, &[u8]), BadSyntax> {
    let (seconds, section) = text::split_once(value, b';').unwrap_or((value, b""));
    Ok((text::seconds(text::trim(seconds)).ok_or(BadSyntax("bad interval"))?, section))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_reads_back() {
        for text in ["1800", "90;refresher=uac", "4294967295;refresher=uas"] {
            assert_eq!(SessionExpires::parse(text.as_bytes()).unwrap().to_string(), text);
        }
        let odd = SessionExpires::parse(b" 1800 ; x=y ; Refresher = UAS").unwrap();
        assert_eq!(odd, SessionExpires { seconds: 1800, refresher: Some(Refresher::Uas) });
    }

    #[test]
    fn what_is_no_number_is_refused() {
        for text in ["", "soon", "-1", ";refresher=uac"] {
            assert!(SessionExpires::parse(text.as_bytes()).is_err() && parse_min_se(text.as_bytes()).is_err());
        }
        assert_eq!(parse_min_se(b"90;x"), Ok(90));
    }
}
