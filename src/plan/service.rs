//! Classes of service: which numbers of the public network an agent may dial.
//!
//! Numbers are judged in normal form (`base::number`): mobile 11 digits, landline with area and zero, foreign with `+`,
//! service numbers as they are. The longest prefix decides; a number no prefix fits is refused. What the plan itself
//! names (colleagues, queues, hotlines, units' contacts) and emergency lines are no matter of a class.
//!
//! | class every place has | allows |
//! |---|---|
//! | `internal` | nothing beyond what the plan names |
//! | `local` (the default) | landlines of the place's own area; 10, 12, 95, 96, 400 and 800 service numbers |
//! | `national` | all areas, mobiles and those service numbers |
//! | `international` | also `+` |
//!
//! Access codes that lead on to a second number (179…) and charged information lines (160, 168) are in none of them.
//! Deliberately absent: trunks and their order (`outward`).

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::base::number::AreaCode;
use crate::plan::model::Declared;

/// The class of an agent when neither he nor his place names one.
pub const DEFAULT_CLASS: &str = "local";

/// Service numbers charged as local calls or not at all.
const SERVICE: [&str; 6] = ["10", "12", "95", "96", "400", "800"];
/// Landlines of all areas, and mobiles.
const NATIONAL: [&str; 8] = ["0", "13", "14", "15", "16", "17", "18", "19"];
/// Second dial tones and charged information lines.
const NEVER: [&str; 3] = ["160", "168", "179"];

/// What an agent may dial outside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceClass {
    /// Its name.
    pub name: Arc<str>,
    /// Prefixes, and whether numbers that begin so are allowed.
    pub prefixes: BTreeMap<String, bool>,
    /// Where it is written; nowhere for those every place has.
    pub declared: Declared,
}

impl ServiceClass {
    /// The classes a place has without writing them.
    #[must_use]
    pub fn of_every_place(area: Option<AreaCode>) -> [Self; 4] {
        let own = area.map(|area| area.to_string());
        let class = |name: &str, allowed: Vec<&str>| Self {
            name: Arc::from(name),
            prefixes: allowed
                .into_iter()
                .map(|prefix| (prefix.to_owned(), true))
                .chain(NEVER.into_iter().map(|prefix| (prefix.to_owned(), false)))
                .collect(),
            declared: Declared::default(),
        };
        let national = [&NATIONAL[..], &SERVICE[..]].concat();
        [
            class("internal", Vec::new()),
            class("local", SERVICE.into_iter().chain(own.as_deref()).collect()),
            class("national", national.clone()),
            class("international", national.into_iter().chain(["+"]).collect()),
        ]
    }

    /// The prefix that decides about a number in normal form, and whether it allows it.
    #[must_use]
    pub fn judge(&self, number: &str) -> Option<(&str, bool)> {
        let fitting = self.prefixes.iter().filter(|(prefix, _)| number.starts_with(prefix.as_str()));
        fitting.max_by_key(|(prefix, _)| prefix.len()).map(|(prefix, allowed)| (prefix.as_str(), *allowed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allows(class: &str, number: &str) -> bool {
        let classes = ServiceClass::of_every_place(AreaCode::parse("0476"));
        let class = classes.iter().find(|known| &*known.name == class);
        class.and_then(|class| class.judge(number)).is_some_and(|(_, allowed)| allowed)
    }

    #[test]
    fn each_class_allows_what_the_one_before_does_and_more() {
        let rows = [
            ("04768337772", [false, true, true, true]),
            ("95598", [false, true, true, true]),
            ("4001234567", [false, true, true, true]),
            ("01012345678", [false, false, true, true]),
            ("13800001234", [false, false, true, true]),
            ("+85212345678", [false, false, false, true]),
            ("17951008521234", [false; 4]),
            ("16812345", [false; 4]),
            ("", [false; 4]),
        ];
        for (number, expected) in rows {
            let found = ["internal", "local", "national", "international"].map(|class| allows(class, number));
            assert_eq!(found, expected, "{number}");
        }
    }

    #[test]
    fn the_longest_prefix_decides() {
        let prefixes = [("0", true), ("0476", false), ("04768", true)];
        let prefixes = prefixes.map(|(prefix, allowed)| (prefix.to_owned(), allowed)).into();
        let class = ServiceClass { name: Arc::from("c"), prefixes, declared: Declared::default() };
        assert_eq!(class.judge("01012345678"), Some(("0", true)));
        assert_eq!(class.judge("04761234567"), Some(("0476", false)));
        assert_eq!(class.judge("04768337772"), Some(("04768", true)));
        assert_eq!(class.judge("13800001234"), None);
    }
}
