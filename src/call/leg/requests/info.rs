//! INFO: digits that phones send as signalling.
//!
//! RFC 6086 §4.2.2 (packages are refused by 469, none is spoken), §2 (legacy use without a package).
//!
//! | INFO | answer |
//! |---|---|
//! | `application/dtmf-relay`, `application/dtmf` | 200; a digit is told |
//! | no body | 200: a sign of life |
//! | with an Info-Package | 469 |
//! | another body | 415 with Accept |
//!
//! Deliberately absent: INFO of our own.

use super::super::asked::{info_digit, is_digit_info};
use super::super::words::LegEvent;
use super::super::{Leg, LegOut, LegRules, LegState};
use crate::base::now::Now;
use crate::call::words::Arrived;

impl Leg {
    pub(super) fn on_info(&mut self, now: Now, rules: &LegRules, arrived: &Arrived, out: &mut Vec<LegOut>) {
        let request = &arrived.message;
        let status = if request.header_named(b"Info-Package").is_some() {
            469
        } else if request.body().is_empty() || is_digit_info(request) {
            200
        } else {
            415
        };
        self.respond_plain(now, rules, arrived, status, out);
        if let Some(digit) = info_digit(request).filter(|_| status == 200 && self.state < LegState::Leaving) {
            out.push(LegOut::Event(LegEvent::Digit(digit)));
        }
    }
}
