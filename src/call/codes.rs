//! Star codes of a plain phone in a call: read digit by digit, decided as soon as they can be.
//!
//! | keys | does | why these |
//! |---|---|---|
//! | `*10` | emergency hand-over to 110 | the last two digits of the line |
//! | `*19` | … to 119 | |
//! | `*20` | … to 120 | |
//! | `*22` | … to 122 | |
//! | `*95` | … to 12395, where the place has it; any line a place adds, by its last two digits | |
//! | `*31` number `#` | three-way call with a number, an agent or a queue of the place | 三方 |
//! | `*33` | three-way call with the hotline's own unit (work phone, outside hours the duty phone) | 三方, preset |
//! | `*44` | drop the party that joined last | |
//! | `*66` | mark the call as malicious | |
//!
//! A `*` is held back by the media worker for 1.5 s ([`DigitPolicy::Codes`](crate::rtp::command::DigitPolicy)); what
//! turns out to be no code is given back to be sent on, so a department's menu can be keyed. While a number is keyed
//! after `*31` nothing passes. Emergency lines are matched first and cannot be shadowed by another code.
//! Deliberately absent: codes out of a call (`switch`).

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::base::now::Mono;

/// How long after `*` a code may take: the worker's 1.5 s, and 100 ms for the report's way.
const CODE_WITHIN: Duration = Duration::from_millis(1_600);
/// How long each digit of a number may take.
const DIGIT_WITHIN: Duration = Duration::from_secs(8);
/// The longest number keyed after a code (E.164 has 15 digits; area and access codes come on top).
const NUMBER_MAX: usize = 24;

/// What was keyed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Keyed {
    /// Nothing to do yet, or the digit passed by itself.
    Nothing,
    /// Two digits after `*`.
    Code([char; 2]),
    /// From now on digits belong to a number: nothing may pass.
    NumberBegins,
    /// The number after `*31` is complete.
    Number(Box<str>),
    /// It was no code: these digits were held back and go on.
    PassOn(Box<str>),
    /// The number was given up.
    NumberGivenUp,
}

/// Where a phone is within a code.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum CodeReader {
    /// Digits pass.
    #[default]
    Outside,
    /// After `*`.
    Star {
        /// The digit after it, when it came.
        first: Option<char>,
        /// When the code is given up.
        until: Mono,
    },
    /// After `*31`.
    Number {
        /// What was keyed so far.
        digits: String,
        /// When the number is given up.
        until: Mono,
    },
}

impl CodeReader {
    /// Takes a digit.
    pub(super) fn key(&mut self, now: Mono, digit: char) -> Keyed {
        match self {
            Self::Outside if digit == '*' => {
                *self = Self::Star { first: None, until: now + CODE_WITHIN };
                Keyed::Nothing
            }
            Self::Outside => Keyed::Nothing,
            Self::Star { first: None, until } if digit.is_ascii_digit() => {
                *self = Self::Star { first: Some(digit), until: *until };
                Keyed::Nothing
            }
            Self::Star { first: Some('3'), .. } if digit == '1' => {
                *self = Self::Number { digits: String::new(), until: now + DIGIT_WITHIN };
                Keyed::NumberBegins
            }
            Self::Star { first: Some(first), .. } if digit.is_ascii_digit() => {
                let code = [*first, digit];
                *self = Self::Outside;
                Keyed::Code(code)
            }
            Self::Star { first, .. } => {
                let held = ['*'].into_iter().chain(*first).chain([digit]).collect::<String>();
                *self = Self::Outside;
                Keyed::PassOn(held.into())
            }
            Self::Number { digits, .. } if digit == '#' => {
                let number = std::mem::take(digits);
                *self = Self::Outside;
                if number.is_empty() { Keyed::NumberGivenUp } else { Keyed::Number(number.into()) }
            }
            Self::Number { digits, .. } if digit == '*' || digits.len() >= NUMBER_MAX => {
                *self = Self::Outside;
                Keyed::NumberGivenUp
            }
            Self::Number { digits, until } => {
                digits.push(digit);
                *until = now + DIGIT_WITHIN;
                Keyed::Nothing
            }
        }
    }

    /// When the code or number is given up.
    pub(super) const fn deadline(&self) -> Option<Mono> {
        match self {
            Self::Outside => None,
            Self::Star { until, .. } | Self::Number { until, .. } => Some(*until),
        }
    }

    /// Gives up what took too long.
    pub(super) fn expire(&mut self, now: Mono) -> Keyed {
        if self.deadline().is_none_or(|until| until > now) {
            return Keyed::Nothing;
        }
        match std::mem::take(self) {
            Self::Outside => Keyed::Nothing,
            Self::Star { first, .. } => Keyed::PassOn(['*'].into_iter().chain(first).collect::<String>().into()),
            Self::Number { .. } => Keyed::NumberGivenUp,
        }
    }
}

/// Codes with a fixed meaning; emergency lines are matched before them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FixedCode {
    /// `*33`
    OwnUnit,
    /// `*44`
    DropLast,
    /// `*66`
    Malicious,
}

impl FixedCode {
    /// The code behind two digits.
    pub(super) const fn of(code: [char; 2]) -> Option<Self> {
        match code {
            ['3', '3'] => Some(Self::OwnUnit),
            ['4', '4'] => Some(Self::DropLast),
            ['6', '6'] => Some(Self::Malicious),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keyed(keys: &str) -> Vec<Keyed> {
        let mut reader = CodeReader::default();
        keys.chars().map(|digit| reader.key(Mono::ZERO, digit)).filter(|keyed| *keyed != Keyed::Nothing).collect()
    }

    #[test]
    fn a_star_and_two_digits_are_a_code() {
        assert_eq!(keyed("5*20#"), [Keyed::Code(['2', '0'])]);
    }

    #[test]
    fn three_way_takes_its_number_up_to_the_hash() {
        assert_eq!(keyed("*314768337772#"), [Keyed::NumberBegins, Keyed::Number("4768337772".into())]);
        assert_eq!(keyed("*31#"), [Keyed::NumberBegins, Keyed::NumberGivenUp]);
        let long = format!("*31{}", "1".repeat(NUMBER_MAX + 1));
        assert_eq!(keyed(&long), [Keyed::NumberBegins, Keyed::NumberGivenUp]);
    }

    #[test]
    fn what_is_no_code_goes_on() {
        assert_eq!(keyed("*#"), [Keyed::PassOn("*#".into())]);
        assert_eq!(keyed("*1#"), [Keyed::PassOn("*1#".into())]);
        let mut reader = CodeReader::default();
        reader.key(Mono::ZERO, '*');
        reader.key(Mono::ZERO, '7');
        assert_eq!(reader.expire(Mono::ZERO + CODE_WITHIN - Duration::from_nanos(1)), Keyed::Nothing);
        assert_eq!(reader.expire(Mono::ZERO + CODE_WITHIN), Keyed::PassOn("*7".into()));
        assert_eq!(reader, CodeReader::Outside);
    }
}
