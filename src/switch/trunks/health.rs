//! Whether a far end of a trunk is in use: lost and answered requests, with hysteresis.
//!
//! A probe and a call's INVITE count the same. Any response is a sign of life (a refusal is an answer, RFC 3261
//! §11.2), except 503 and 408: the one says "not now", the other comes from a proxy whose next hop is silent.
//!
//! | state | an answer | a loss |
//! |---|---|---|
//! | up | forgets earlier losses | the `down_after`th in a row → down |
//! | down | the `up_after`th in a row → up | forgets earlier answers |
//!
//! A far end begins up: it is wrong to keep calls from it before anything was lost. Deliberately absent: when to probe
//! (`probe`), what a down one still gets (`find`).

use crate::plan::trunk::TrunkHealth;

/// What is known of a far end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::switch) enum Health {
    /// In use; so many losses in a row.
    Up(u8),
    /// Not in use; so many answers in a row.
    Down(u8),
    /// Nothing was heard or lost yet; used like one that is up.
    #[default]
    Unknown,
}

/// A change that people should hear of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::switch) enum Turn {
    /// Out of use now.
    Down,
    /// Back in use now.
    Up,
}

impl Health {
    /// Whether calls go elsewhere first.
    pub(in crate::switch) const fn is_down(self) -> bool {
        matches!(self, Self::Down(_))
    }

    /// The word shown.
    pub(in crate::switch) const fn word(self) -> &'static str {
        match self {
            Self::Up(_) => "up",
            Self::Down(_) => "down",
            Self::Unknown => "unknown",
        }
    }

    /// Something answered.
    pub(in crate::switch) const fn answered(&mut self, rules: TrunkHealth) -> Option<Turn> {
        match *self {
            Self::Up(_) | Self::Unknown => {
                *self = Self::Up(0);
                None
            }
            Self::Down(before) => {
                let good = before.saturating_add(1);
                *self = if good >= rules.up_after { Self::Up(0) } else { Self::Down(good) };
                if good >= rules.up_after { Some(Turn::Up) } else { None }
            }
        }
    }

    /// Something was lost.
    pub(in crate::switch) const fn lost(&mut self, rules: TrunkHealth) -> Option<Turn> {
        let before = match *self {
            Self::Up(before) => before,
            Self::Unknown => 0,
            Self::Down(_) => {
                *self = Self::Down(0);
                return None;
            }
        };
        let losses = before.saturating_add(1);
        *self = if losses >= rules.down_after { Self::Down(0) } else { Self::Up(losses) };
        if losses >= rules.down_after { Some(Turn::Down) } else { None }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const RULES: TrunkHealth = TrunkHealth { interval: Duration::from_secs(30), down_after: 3, up_after: 2 };

    /// Every state and input of the table: `+` an answer, `-` a loss.
    #[test]
    fn the_table_is_what_happens() {
        use Health::{Down, Unknown, Up};
        let table = [
            (Unknown, '+', Up(0), None),
            (Unknown, '-', Up(1), None),
            (Up(0), '+', Up(0), None),
            (Up(2), '+', Up(0), None),
            (Up(0), '-', Up(1), None),
            (Up(1), '-', Up(2), None),
            (Up(2), '-', Down(0), Some(Turn::Down)),
            (Down(0), '-', Down(0), None),
            (Down(1), '-', Down(0), None),
            (Down(0), '+', Down(1), None),
            (Down(1), '+', Up(0), Some(Turn::Up)),
        ];
        for (before, input, after, turn) in table {
            let mut health = before;
            let told = if input == '+' { health.answered(RULES) } else { health.lost(RULES) };
            assert_eq!((health, told), (after, turn), "{before:?} {input}");
        }
    }

    #[test]
    fn one_good_answer_among_losses_brings_nothing_back_and_one_loss_takes_nothing_away() {
        let mut health = Health::Down(0);
        for _ in 0..10 {
            assert_eq!((health.answered(RULES), health.lost(RULES)), (None, None));
        }
        assert!(health.is_down());
        let mut health = Health::Up(0);
        for _ in 0..10 {
            assert_eq!((health.lost(RULES), health.lost(RULES), health.answered(RULES)), (None, None, None));
        }
        assert!(!health.is_down());
    }

    #[test]
    fn the_least_rules_turn_at_once() {
        let rules = TrunkHealth { down_after: 1, up_after: 1, ..RULES };
        let mut health = Health::Unknown;
        assert_eq!(health.lost(rules), Some(Turn::Down));
        assert_eq!(health.answered(rules), Some(Turn::Up));
    }
}
