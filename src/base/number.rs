//! Telephone numbers as carriers write them, and what they mean: dialled forms and caller forms.
//!
//! Deliberately absent: which numbers exist (that is the plan's), and any guess of a region from a mobile number.
//! Sources: `domain.md` §3.3; RFC 3966 for `tel:` numbers and `phone-context`.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::base::hotline::CallerKind;

/// A long-distance area code, shown with its leading zero: `0476`, `010`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AreaCode(u16);

impl AreaCode {
    /// Reads `0476`, `476`, `010` or `10`.
    ///
    /// The rule of the national plan: two digits after the zero for 010, 020–025 and 027–029, otherwise three.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let digits = text.strip_prefix('0').unwrap_or(text);
        (digits.len() == Self::len_of(digits)? && digits.bytes().all(|byte| byte.is_ascii_digit()))
            .then(|| digits.parse().ok().map(Self))?
    }

    /// Splits digits that begin with an area code without its zero: `4768337772` → 0476, `8337772`.
    #[must_use]
    pub fn split(digits: &str) -> Option<(Self, &str)> {
        let (area, rest) = digits.split_at_checked(Self::len_of(digits)?)?;
        Some((Self::parse(area)?, rest))
    }

    /// How many digits the area code at the start of these digits has, without its zero.
    fn len_of(digits: &str) -> Option<usize> {
        match digits.as_bytes() {
            [b'1', b'0', ..] => Some(2),
            [b'2', b'0'..=b'5' | b'7'..=b'9', ..] => Some(2),
            [b'3'..=b'9', ..] => Some(3),
            _ => None,
        }
    }

    /// The digits without the leading zero, as they follow +86.
    #[must_use]
    pub fn without_zero(self) -> String {
        self.0.to_string()
    }
}

impl fmt::Display for AreaCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "0{}", self.0)
    }
}

impl fmt::Debug for AreaCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for AreaCode {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for AreaCode {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| serde::de::Error::custom("not an area code"))
    }
}

/// A caller's number: as it came, and what it means.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct CallerNumber {
    /// As the carrier wrote it.
    pub raw: String,
    /// Normal form: mobile 11 digits, landline area code with zero and number, foreign with `+`; empty when hidden.
    pub normal: String,
    /// What kind of number it is.
    pub kind: CallerKind,
    /// The area of a landline; never guessed for a mobile.
    pub area: Option<AreaCode>,
}
