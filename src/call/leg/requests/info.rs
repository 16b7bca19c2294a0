//! INFO: digits that phones send as signalling.
//!
//! Deliberately absent: INFO packages. RFC 6086.

use super::super::asked::info_digit;
use super::super::words::LegEvent;
use super::super::{Leg, LegOut, LegRules};
use crate::base::now::Now;
use crate::call::words::Arrived;

impl Leg {
    pub(super) fn on_info(&mut self, now: Now, rules: &LegRules, arrived: &Arrived, out: &mut Vec<LegOut>) {
        let request = &arrived.message;
        self.respond_plain(now, rules, arrived, 200, out);
        if let Some(digit) = info_digit(request) {
            out.push(LegOut::Event(LegEvent::Digit(digit)));
        }
    }
}
