//! Runs the `[[test]]` rows of dialplans with the same decision that live calls get.
//!
//! Deliberately absent: anything a row could not say of a real call.

use std::collections::BTreeSet;
use std::sync::Arc;

use jiff::Timestamp;

use crate::base::hotline::MergeMode;
use crate::base::id::TrunkName;
use crate::plan::diagnose::{Faults, Sources};
use crate::plan::explain::Target;
use crate::plan::model::{Plan, Tenant};
use crate::plan::read_hotline::TestRow;
use crate::plan::read_tenant::TenantDraft;
use crate::plan::route::{Facts, Route};

/// How the rows went.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Rows that were right.
    pub passed: u32,
    /// Rows that were not.
    pub failed: u32,
}

/// Runs one place's rows.
pub(super) fn run(
    plan: &Plan,
    draft: &TenantDraft,
    overlaid: &BTreeSet<Arc<str>>,
    sources: &Sources,
    wall: Timestamp,
    tally: &mut Tally,
    faults: &mut Faults,
) {
    for row in &draft.tests {
        let trunk = match &row.trunk {
            Some(trunk) => Some(trunk.value.clone()),
            None => default_trunk(plan, &draft.tenant),
        };
        let Some(trunk) = trunk else {
            tally.failed += 1;
            faults
                .error("E0126", row.at, "a test row has no trunk to come over", "this row")
                .help("no trunk with `from` leads to this place; name one by `trunk`");
            continue;
        };
        let facts = Facts {
            trunk: &trunk,
            dialled: &row.dialled.value,
            from: Some(&row.from),
            asserted: &[],
            private: false,
            diverted: &[],
        };
        let route = plan.route(&facts, row.moment.unwrap_or(wall), &mut ());
        // A row of the place's own file says nothing about an entry that an overlay has replaced.
        let own = sources.place(row.at).file;
        let replaced = route.hotline.as_ref().is_some_and(|found| overlaid.contains(&found.declared.file));
        if replaced && !overlaid.contains(&own) {
            continue;
        }
        if compare(row, &route, faults) {
            tally.passed += 1;
        } else {
            tally.failed += 1;
        }
    }
}

/// The trunk a row without one comes over: the first of the place that calls come in by.
fn default_trunk(plan: &Plan, place: &Tenant) -> Option<TrunkName> {
    let mut trunks = plan.settings.trunks.values().filter(|trunk| trunk.tenant == place.name && !trunk.from.is_empty());
    trunks.next().map(|trunk| trunk.name.clone())
}

fn compare(row: &TestRow, route: &Route, faults: &mut Faults) -> bool {
    let mut right = true;
    let mut differs = |at, what: &str, expected: &str, found: &str| {
        right = false;
        faults
            .error("E0125", at, format!("{} {what} `{found}`, not `{expected}`", row.dialled.value), "expected")
            .also(row.dialled.at, "for this number");
    };
    let hotline = route.hotline.as_ref().map_or("none", |hotline| &*hotline.number);
    if let Some(expected) = row.hotline.as_ref().filter(|expected| expected.value != hotline) {
        differs(expected.at, "reaches hotline", &expected.value, hotline);
    }
    let mode = route.hotline.as_ref().and_then(|hotline| hotline.mode);
    if let Some(expected) = row.mode.as_ref().filter(|expected| expected.value != mode) {
        let word = |mode: Option<MergeMode>| mode.map_or("none", MergeMode::word);
        differs(expected.at, "has mode", word(expected.value), word(mode));
    }
    let target = Target::of(route);
    if let Some(expected) = row.target.as_ref().filter(|expected| !target.is(&expected.value)) {
        differs(expected.at, "goes to", &expected.value, &target.to_string());
    }
    right
}
