//! What the host names of trunks lead to, how old that is, and when it is asked anew.
//!
//! Every name of the plan is asked for ahead of any call, and again in the background before its answer is too old. An
//! answer that was good stays in use when the DNS breaks. Deliberately absent: asking (`engine/dns`), what to ask
//! (`locate`).
//!
//! | a name | leaves by |
//! |---|---|
//! | due | asked → asking |
//! | asking | an answer with addresses → known; none or a fault → failing; no word for 30 s → failing |
//! | known | 4/5 of its age → due |
//! | failing | 5 s, doubling to 60 s → due; what was known before stays in use |
//!
//! | limit | value |
//! |---|---|
//! | names | 1,024; more are not asked for |
//! | age of an answer | 5 s to 1 h |

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::base::now::Mono;
use crate::switch::locate::{Found, Wanted};

const NAMES: usize = 1_024;
/// The shortest and longest an answer is used before it is asked for again.
const AGE: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(60 * 60));
const AGAIN: Duration = Duration::from_secs(5);
const AGAIN_MOST: Duration = Duration::from_secs(60);
/// The engine always answers; this bounds the case that it could not.
const WITHIN: Duration = Duration::from_secs(30);

/// What became of a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::switch) enum Learnt {
    /// It fails now and did not before.
    Fails,
    /// It is answered now and failed before.
    Answered,
    /// As before.
    Same,
}

#[derive(Clone, Debug)]
struct Entry {
    found: Option<Found>,
    due: Mono,
    failures: u32,
}

/// All names.
#[derive(Clone, Debug, Default)]
pub(in crate::switch) struct Names {
    entries: BTreeMap<Wanted, Entry>,
}

impl Names {
    /// No names.
    pub(in crate::switch) const fn new() -> Self {
        Self { entries: BTreeMap::new() }
    }

    /// Whether a host is among them.
    pub(in crate::switch) fn has_host(&self, host: &str) -> bool {
        self.entries.keys().any(|name| name.host == host)
    }

    /// Keeps exactly these names.
    pub(in crate::switch) fn keep(&mut self, now: Mono, wanted: BTreeSet<Wanted>) {
        self.entries.retain(|name, _| wanted.contains(name));
        for name in wanted.into_iter().take(NAMES) {
            self.entries.entry(name).or_insert(Entry { found: None, due: now, failures: 0 });
        }
    }

    /// The names to ask for now; each counts as being asked.
    pub(in crate::switch) fn ask(&mut self, now: Mono) -> Vec<Wanted> {
        let mut asked = Vec::new();
        for (name, entry) in self.entries.iter_mut().filter(|(_, entry)| entry.due <= now) {
            entry.due = now + WITHIN;
            asked.push(name.clone());
        }
        asked
    }

    /// Takes an answer: what was found and how long that holds, or nothing.
    pub(in crate::switch) fn answered(
        &mut self,
        now: Mono,
        name: &Wanted,
        answer: Option<(Found, Duration)>,
    ) -> Learnt {
        let Some(entry) = self.entries.get_mut(name) else { return Learnt::Same };
        let failed = entry.failures > 0;
        match answer.filter(|(found, _)| !found.is_empty()) {
            Some((found, age)) => {
                entry.found = Some(found);
                entry.due = now + age.clamp(AGE.0, AGE.1).mul_f64(0.8);
                entry.failures = 0;
                if failed { Learnt::Answered } else { Learnt::Same }
            }
            None => {
                let wait = AGAIN.saturating_mul(1 << entry.failures.min(8)).min(AGAIN_MOST);
                entry.due = now + wait;
                entry.failures = entry.failures.saturating_add(1);
                if failed { Learnt::Same } else { Learnt::Fails }
            }
        }
    }

    /// What a name leads to; `None` when nothing is known of it.
    pub(in crate::switch) fn known(&self, name: &Wanted) -> Option<&Found> {
        self.entries.get(name)?.found.as_ref()
    }

    /// Whether a first answer is on its way.
    pub(in crate::switch) fn is_awaited(&self, name: &Wanted) -> bool {
        self.entries.get(name).is_some_and(|entry| entry.found.is_none() && entry.failures == 0)
    }

    /// Whether the last answer was none.
    pub(in crate::switch) fn fails(&self, name: &Wanted) -> bool {
        self.entries.get(name).is_some_and(|entry| entry.failures > 0)
    }

    pub(in crate::switch) fn deadline(&self) -> Option<Mono> {
        self.entries.values().map(|entry| entry.due).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::switch::locate::{Question, Records, Search};

    fn name(host: &str) -> Wanted {
        Wanted { host: host.into(), port: Some(5_060), transport: None }
    }

    fn found(last: u8) -> Found {
        let mut search = Search::new(name("a.example"), Vec::new());
        search.answer(Question::Addresses("a.example".into()), Records::Addresses(vec![[192, 0, 2, last].into()]));
        search.found()
    }

    fn at(seconds: u64) -> Mono {
        Mono(seconds * 1_000_000_000)
    }

    fn names() -> Names {
        let mut names = Names::default();
        names.keep(at(0), BTreeSet::from([name("a.example")]));
        names
    }

    #[test]
    fn a_name_is_asked_ahead_and_again_before_its_answer_is_too_old() {
        let mut names = names();
        assert!(names.is_awaited(&name("a.example")));
        assert_eq!(names.ask(at(0)), [name("a.example")]);
        assert!(names.ask(at(1)).is_empty(), "one question at a time");
        names.answered(at(1), &name("a.example"), Some((found(1), Duration::from_secs(100))));
        assert_eq!(names.deadline(), Some(at(81)));
        assert_eq!(names.ask(at(81)), [name("a.example")]);
        assert_eq!(names.known(&name("a.example")), Some(&found(1)), "the old answer serves meanwhile");
    }

    #[test]
    fn ages_are_bounded() {
        let mut names = names();
        names.answered(at(0), &name("a.example"), Some((found(1), Duration::ZERO)));
        assert_eq!(names.deadline(), Some(at(4)));
        names.answered(at(0), &name("a.example"), Some((found(1), Duration::from_secs(1_000_000))));
        assert_eq!(names.deadline(), Some(at(2_880)));
    }

    #[test]
    fn the_last_good_answer_stays_while_the_dns_is_broken() {
        let mut names = names();
        names.answered(at(0), &name("a.example"), Some((found(1), Duration::from_secs(10))));
        assert_eq!(names.answered(at(8), &name("a.example"), None), Learnt::Fails);
        let mut now = 8;
        for wait in [5, 10, 20, 40, 60, 60] {
            assert_eq!(names.deadline(), Some(at(now + wait)));
            now += wait;
            assert_eq!(names.ask(at(now)).len(), 1);
            assert_eq!(names.answered(at(now), &name("a.example"), None), Learnt::Same);
        }
        assert_eq!(names.known(&name("a.example")), Some(&found(1)));
        let again = Some((found(2), Duration::from_secs(10)));
        assert_eq!(names.answered(at(now), &name("a.example"), again), Learnt::Answered);
        assert_eq!(names.known(&name("a.example")), Some(&found(2)));
    }

    #[test]
    fn a_name_without_any_answer_is_not_awaited_for_ever() {
        let mut names = names();
        names.ask(at(0));
        assert_eq!(names.answered(at(1), &name("a.example"), Some((Found::default(), AGE.1))), Learnt::Fails);
        assert!(!names.is_awaited(&name("a.example")) && names.fails(&name("a.example")));
    }

    #[test]
    fn names_of_the_plan_only_and_no_more_than_fit() {
        let mut names = names();
        names.keep(at(0), (0..2_000).map(|nth| name(&format!("h{nth}.example"))).collect());
        assert_eq!(names.entries.len(), NAMES);
        names.keep(at(0), BTreeSet::new());
        assert_eq!(names.deadline(), None);
        assert_eq!(names.answered(at(0), &name("a.example"), None), Learnt::Same);
    }
}
