//! Emergency numbers: recognised exactly and before the dialplan, which can add to them and never take away.
//!
//! A number is an emergency only as a whole and in a form with one reading: `110`, `0476110`, `+86476110`; never as
//! a part of another (`1381101234`, `96119`). Deliberately absent: carrying the call; that is `call`.

use std::sync::Arc;

use crate::base::number::Candidate;
use crate::plan::model::{EmergencyLine, Tenant};
use crate::plan::step::{DialPurpose, DialStep};

/// The four lines that no file can remove, with their spoken names.
pub const BASE: [(&str, &str); 4] =
    [("110", "110公安"), ("119", "119消防"), ("120", "120急救中心"), ("122", "122交通事故报警")];

/// The spoken name of a base line.
#[must_use]
pub fn base_name(number: &str) -> Option<&'static str> {
    BASE.iter().find(|(base, _)| *base == number).map(|(_, name)| *name)
}

impl Tenant {
    /// The emergency line a reading of a dialled number names.
    #[must_use]
    pub fn emergency_line(&self, reading: &Candidate) -> Option<&Arc<EmergencyLine>> {
        let here = reading.area.is_none() || reading.area == self.area;
        self.emergency.get(reading.number.as_str()).filter(|_| here)
    }
}

impl EmergencyLine {
    /// How the line is reached, for a pass-through call as for an agent's key: its routes in order, no prompt.
    #[must_use]
    pub fn dial(&self) -> DialStep {
        DialStep {
            targets: self.routes.clone(),
            ring: self.ring,
            purpose: DialPurpose::Emergency,
            callee: self.name.clone(),
            prompt: None,
        }
    }
}
