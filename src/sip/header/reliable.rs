//! `RAck` and `RSeq`: provisional responses made reliable.
//!
//! Deliberately absent: retransmission and order. RFC 3262 §7.1, §7.2.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::super::text::{self, BadSyntax};
use super::cseq::CSeq;

/// What a PRACK acknowledges.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct RAck {
    /// The RSeq of the response.
    pub rseq: u32,
    /// The CSeq of the response.
    pub cseq: CSeq,
}

impl RAck {
    /// Reads a value.
    ///
    /// # Errors
    /// Says what the value breaks.
    pub fn parse(value: &[u8]) -> Result<Self, BadSyntax> {
        let value = text::trim(value);
        let end = value.iter().position(|byte| text::is_space(*byte)).ok_or(BadSyntax("bad RAck"))?;
        let (rseq, cseq) = value.split_at_checked(end).ok_or(BadSyntax("bad RAck"))?;
        Ok(Self { rseq: parse_rseq(rseq)?, cseq: CSeq::parse(cseq)? })
    }
}

impl fmt::Display for RAck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.rseq, self.cseq)
    }
}

/// Reads an RSeq: 1 to 2^32 - 1.
///
/// # Errors
/// When it is no such number.
pub fn parse_rseq(value: &[u8]) -> Result<u32, BadSyntax> {
    text::number(text::trim(value))
        .and_then(|number| u32::try_from(number).ok())
        .filter(|number| *number > 0)
        .ok_or(BadSyntax("bad RSeq"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_reads_back() {
        for text in ["776656 1 INVITE", "4294967295 2147483647 INVITE"] {
            assert_eq!(RAck::parse(text.as_bytes()).unwrap().to_string(), text);
        }
        assert_eq!(parse_rseq(b" 988789 "), Ok(988_789));
    }

    #[test]
    fn what_is_out_of_range_is_refused() {
        for text in ["", "0 1 INVITE", "1 INVITE", "4294967296 1 INVITE", "1 2147483648 INVITE", "1 1"] {
            assert!(RAck::parse(text.as_bytes()).is_err(), "{text}");
        }
        assert!(parse_rseq(b"0").is_err() && parse_rseq(b"x").is_err());
    }
}
