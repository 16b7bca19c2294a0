//! Wrappers that keep personal data and secrets out of logs.
//!
//! Deliberately absent: encryption; this only governs what `Debug` and `Display` show.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A secret that never shows itself.
#[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// Wraps a secret text.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The secret itself, for the one place that needs it.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// A telephone number shown masked: `13800001234` as `138****1234`; short numbers (hotlines) stay readable.
#[derive(Clone, Copy)]
pub struct Masked<'a>(pub &'a str);

impl fmt::Display for Masked<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let total = self.0.chars().count();
        if total < 7 {
            return f.write_str(self.0);
        }
        let head = if total >= 10 { 3 } else { 1 };
        let tail = if total >= 10 { 4 } else { 2 };
        for (at, symbol) in self.0.chars().enumerate() {
            let shown = at < head || at >= total - tail;
            write!(f, "{}", if shown { symbol } else { '*' })?;
        }
        Ok(())
    }
}

impl fmt::Debug for Masked<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn citizens_numbers_are_masked_and_hotlines_are_not() {
        assert_eq!(Masked("13800001234").to_string(), "138****1234");
        assert_eq!(Masked("04768337772").to_string(), "047****7772");
        assert_eq!(Masked("8337772").to_string(), "8****72");
        assert_eq!(Masked("12345").to_string(), "12345");
    }

    #[test]
    fn a_secret_never_prints() {
        assert!(!format!("{:?}", Secret::new("demo-1001")).contains("1001"));
    }
}
