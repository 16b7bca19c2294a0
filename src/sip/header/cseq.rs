//! `CSeq`: the order of requests within a dialog.
//!
//! Deliberately absent: checking that order. RFC 3261 §20.16, §8.1.1.5.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::super::message::Method;
use super::super::text::{self, BadSyntax};

/// The largest sequence number allowed plus one (RFC 3261 §8.1.1.5).
pub const CSEQ_END: u32 = 1 << 31;

/// A sequence number with its method.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct CSeq {
    /// The number, below 2^31.
    pub number: u32,
    /// The method.
    pub method: Method,
}

impl CSeq {
    /// Puts a number and a method together.
    #[must_use]
    pub const fn new(number: u32, method: Method) -> Self {
        Self { number, method }
    }

    /// Reads a value.
    ///
    /// # Errors
    /// Says what the value breaks.
    pub fn parse(value: &[u8]) -> Result<Self, BadSyntax> {
        let value = text::trim(value);
        let end = value.iter().position(|byte| text::is_space(*byte)).ok_or(BadSyntax("bad CSeq"))?;
        let (number, method) = value.split_at_checked(end).ok_or(BadSyntax("bad CSeq"))?;
        if !number.iter().all(u8::is_ascii_digit) {
            return Err(BadSyntax("bad CSeq"));
        }
        let number = text::number(number)
            .and_then(|number| u32::try_from(number).ok())
            .filter(|number| *number < CSEQ_END)
            .ok_or(BadSyntax("CSeq number out of range"))?;
        Ok(Self { number, method: Method::parse(text::trim(method)).ok_or(BadSyntax("bad CSeq method"))? })
    }
}

impl fmt::Display for CSeq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.number, self.method)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_reads_back() {
        for text in ["0 INVITE", "2147483647 ACK", "7 NEWMETHOD"] {
            assert_eq!(CSeq::parse(text.as_bytes()).unwrap().to_string(), text);
        }
        assert_eq!(CSeq::parse(b"0009   INVITE").unwrap(), CSeq::new(9, Method::Invite));
    }

    #[test]
    fn numbers_beyond_the_range_are_refused() {
        for text in ["2147483648 INVITE", "36893488147419103232 REGISTER", "-1 BYE", "1", "INVITE 1", "", "1 IN VITE"] {
            assert!(CSeq::parse(text.as_bytes()).is_err(), "{text}");
        }
    }
}
