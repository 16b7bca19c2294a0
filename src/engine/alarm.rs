//! The alarms room: what is wrong now, and what was.
//!
//! Whoever notices a condition raises it here and clears it when it ends; here it is logged, counted
//! (`switch12345_alarm{name}`), and kept for the API and the command line. A condition that is raised again while it
//! lasts is the same alarm. Deliberately absent: names and severities (`event::alarm`), telling other systems.
//!
//! | limit | value |
//! |---|---|
//! | alarms that last | 1,024; more are logged and not kept |
//! | alarms that are over | 256, oldest forgotten first |

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, PoisonError};

use jiff::Timestamp;
use serde::Serialize;

use crate::event::alarm::{AlarmName, AlarmNote, Severity};

const LASTING: usize = 1_024;
const OVER: usize = 256;

/// An alarm as shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Alarm {
    /// What.
    pub name: AlarmName,
    /// How bad.
    pub severity: Severity,
    /// Of whom.
    pub subject: String,
    /// The cause, as far as known.
    pub detail: String,
    /// Since when.
    pub raised_at: Timestamp,
    /// Until when; none while it lasts.
    pub cleared_at: Option<Timestamp>,
}

#[derive(Debug, Default)]
struct Kept {
    lasting: BTreeMap<(AlarmName, String), Alarm>,
    over: VecDeque<Alarm>,
}

/// All alarms.
#[derive(Debug, Default)]
pub struct Alarms {
    kept: Mutex<Kept>,
}

impl Alarms {
    /// Takes note of a condition that begins or ends.
    pub fn note(&self, at: Timestamp, note: AlarmNote) {
        let AlarmNote { name, subject, raised, detail } = note;
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (name, subject);
        if !raised {
            let Some(mut alarm) = kept.lasting.remove(&key) else { return };
            tracing::info!(alarm = name.word(), subject = alarm.subject, "alarm cleared");
            alarm.cleared_at = Some(at);
            if kept.over.len() >= OVER {
                kept.over.pop_front();
            }
            kept.over.push_back(alarm);
        } else if let Some(known) = kept.lasting.get_mut(&key) {
            known.detail = detail;
        } else {
            let severity = name.severity();
            tracing::warn!(alarm = name.word(), ?severity, subject = key.1, detail, "alarm raised");
            if kept.lasting.len() < LASTING {
                let subject = key.1.clone();
                let alarm = Alarm { name, severity, subject, detail, raised_at: at, cleared_at: None };
                kept.lasting.insert(key, alarm);
            }
        }
        let lasting = kept.lasting.keys().filter(|(kept, _)| *kept == name).count();
        metrics::gauge!("switch12345_alarm", "name" => name.word()).set(lasting as f64);
    }

    /// Those that last, the worst first, then those that are over, the latest first.
    #[must_use]
    pub fn list(&self) -> Vec<Alarm> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let mut shown: Vec<_> = kept.lasting.values().cloned().collect();
        shown.sort_by_key(|alarm| (std::cmp::Reverse(alarm.severity), alarm.raised_at));
        shown.extend(kept.over.iter().rev().cloned());
        shown
    }

    /// How many last.
    #[must_use]
    pub fn lasting(&self) -> usize {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).lasting.len()
    }

    /// Shows every name in the figures, also those that never rang.
    pub fn describe(&self) {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        for name in AlarmName::ALL {
            let lasting = kept.lasting.keys().filter(|(kept, _)| *kept == name).count();
            metrics::gauge!("switch12345_alarm", "name" => name.word()).set(lasting as f64);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn note(name: AlarmName, subject: &str, raised: bool) -> AlarmNote {
        AlarmNote { name, subject: subject.to_owned(), raised, detail: "because".to_owned() }
    }

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_000 + seconds).unwrap_or(Timestamp::UNIX_EPOCH)
    }

    #[test]
    fn an_alarm_lasts_from_its_first_raising_to_its_clearing() {
        let alarms = Alarms::default();
        alarms.note(at(0), note(AlarmName::DnsFailing, "carrier.example", true));
        alarms.note(at(1), note(AlarmName::TrunkDown, "carrier", true));
        alarms.note(at(2), note(AlarmName::TrunkDown, "carrier", true));
        let shown = alarms.list();
        assert_eq!(shown.iter().map(|alarm| alarm.name.word()).collect::<Vec<_>>(), ["trunk_down", "dns_failing"]);
        assert_eq!((shown.first().map(|alarm| alarm.raised_at), alarms.lasting()), (Some(at(1)), 2));
        alarms.note(at(3), note(AlarmName::TrunkDown, "carrier", false));
        alarms.note(at(4), note(AlarmName::TrunkDown, "carrier", false));
        alarms.note(at(4), note(AlarmName::TrunkDown, "never", false));
        let shown = alarms.list();
        assert_eq!(shown.last().map(|alarm| (alarm.raised_at, alarm.cleared_at)), Some((at(1), Some(at(3)))));
        assert_eq!((shown.len(), alarms.lasting()), (2, 1));
    }

    #[test]
    fn no_more_are_kept_than_fit() {
        let alarms = Alarms::default();
        for nth in 0..3_000 {
            alarms.note(at(nth), note(AlarmName::DnsFailing, &nth.to_string(), true));
        }
        assert_eq!(alarms.lasting(), LASTING);
        for nth in 0..3_000 {
            alarms.note(at(nth), note(AlarmName::DnsFailing, &nth.to_string(), false));
        }
        assert_eq!((alarms.lasting(), alarms.list().len()), (0, OVER));
    }
}
