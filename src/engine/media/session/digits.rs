//! Which of a leg's digits reach the others.
//!
//! | policy | a press | passed on |
//! |---|---|---|
//! | `Pass` | any | yes |
//! | `Swallow` | any | no |
//! | `Codes` | `*` | no; opens a window of 1.5 s from its end for two more |
//! | `Codes` | within the window, at most two | no |
//! | `Codes` | any other | yes |

use std::time::Duration;

use crate::base::now::Mono;
use crate::rtp::command::DigitPolicy;

/// How long after a `*` the rest of a code may follow.
const WINDOW: Duration = Duration::from_millis(1500);
/// Digits of a code behind its `*`.
const FOLLOWING: u8 = 2;

/// Decides once per press.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct DigitGate {
    policy: DigitPolicy,
    window: Window,
    /// The press decided last: its timestamp and whether it is kept back.
    press: Option<(u32, bool)>,
}

#[derive(Clone, Copy, Debug, Default)]
enum Window {
    #[default]
    Closed,
    /// The `*` is still held.
    Pressed,
    Open {
        until: Mono,
        left: u8,
    },
}

impl DigitGate {
    /// Sets the policy; presses begun go on as decided.
    pub(super) fn set(&mut self, policy: DigitPolicy) {
        if self.policy != policy {
            (self.policy, self.window) = (policy, Window::Closed);
        }
    }

    /// A press begins.
    pub(super) fn begins(&mut self, now: Mono, timestamp: u32, digit: char) {
        let kept = match self.policy {
            DigitPolicy::Pass => false,
            DigitPolicy::Swallow => true,
            DigitPolicy::Codes => self.keeps(now, digit),
        };
        self.press = Some((timestamp, kept));
    }

    /// A press ended.
    pub(super) fn ended(&mut self, now: Mono, digit: char) {
        if let (Window::Pressed, '*') = (self.window, digit) {
            self.window = Window::Open { until: now + WINDOW, left: FOLLOWING };
        }
    }

    /// Whether packets of the press with this timestamp are kept back; late packets of an earlier one always are.
    pub(super) fn is_kept(&self, timestamp: u32) -> bool {
        self.press.is_none_or(|(current, kept)| kept || current != timestamp)
    }

    fn keeps(&mut self, now: Mono, digit: char) -> bool {
        match (&mut self.window, digit) {
            (window, '*') => {
                *window = Window::Pressed;
                true
            }
            // The end of the `*` is still on its way: this key came after it.
            (window @ Window::Pressed, _) => {
                *window = Window::Open { until: now + WINDOW, left: FOLLOWING - 1 };
                true
            }
            (Window::Open { until, left }, _) if now <= *until && *left > 0 => {
                *left -= 1;
                true
            }
            (window, _) => {
                *window = Window::Closed;
                false
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(gate: &mut DigitGate, ms: u64, digit: char) -> bool {
        let timestamp = (ms * 8) as u32;
        gate.begins(Mono(ms * 1_000_000), timestamp, digit);
        gate.ended(Mono(ms * 1_000_000), digit);
        gate.is_kept(timestamp)
    }

    #[test]
    fn a_star_and_two_digits_are_kept_and_a_menu_digit_passes() {
        let mut gate = DigitGate::default();
        gate.set(DigitPolicy::Codes);
        let presses = [(0, '1'), (100, '*'), (900, '1'), (1600, '2'), (1601, '3'), (5000, '*'), (6501, '1')];
        let decided = presses.map(|(ms, digit)| kept(&mut gate, ms, digit));
        assert_eq!(decided, [false, true, true, true, false, true, false]);
    }

    #[test]
    fn a_digit_before_the_lost_end_of_the_star_belongs_to_the_code() {
        let mut gate = DigitGate::default();
        gate.set(DigitPolicy::Codes);
        gate.begins(Mono(0), 0, '*');
        assert!(kept(&mut gate, 200, '1') && kept(&mut gate, 300, '2') && !kept(&mut gate, 400, '3'));
    }

    #[test]
    fn the_other_policies_are_plain_and_old_packets_never_pass() {
        let mut gate = DigitGate::default();
        assert!(!kept(&mut gate, 1, '*') && gate.is_kept(7));
        gate.set(DigitPolicy::Swallow);
        assert!(kept(&mut gate, 2, '5'));
    }
}
