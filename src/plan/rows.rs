//! Runs the `[[test]]` rows of dialplans with the same decision that live calls get.
//!
//! Deliberately absent: anything a row could not say of a real call.

use std::collections::BTreeSet;
use std::sync::Arc;

use jiff::Timestamp;

use crate::base::hotline::MergeMode;
use crate::base::id::TrunkName;
use crate::plan::diagnose::{Faults, Sources, nearest};
use crate::plan::explain::Target;
use crate::plan::explain_outward::targets;
use crate::plan::model::{Hotline, Plan, Tenant};
use crate::plan::outward::OutwardWay;
use crate::plan::read_hotline::TestRow;
use crate::plan::read_tenant::TenantDraft;
use crate::plan::route::Facts;

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
        let Some(found) = decide(plan, draft, row, wall, faults) else {
            tally.failed += 1;
            continue;
        };
        // A row of the place's own file says nothing about an entry that an overlay has replaced.
        let own = sources.place(row.at).file;
        let replaced = found.hotline.as_ref().is_some_and(|found| overlaid.contains(&found.declared.file));
        if replaced && !overlaid.contains(&own) {
            continue;
        }
        if compare(row, &found, faults) {
            tally.passed += 1;
        } else {
            tally.failed += 1;
        }
    }
}

/// What a row's call reaches.
struct Found {
    hotline: Option<Arc<Hotline>>,
    target: Target,
}

/// Decides a row's call: a citizen's over a trunk, or an agent's own.
fn decide(plan: &Plan, draft: &TenantDraft, row: &TestRow, wall: Timestamp, faults: &mut Faults) -> Option<Found> {
    if let Some(agent) = &row.agent {
        let of_place = || plan.settings.agents.values().filter(|agent| agent.tenant == draft.tenant.name);
        if !of_place().any(|known| known.id == agent.value) {
            let near = nearest(agent.value.as_str(), of_place().map(|known| known.id.as_str()));
            faults
                .error("E0109", agent.at, format!("this place has no agent `{}`", agent.value), "not defined")
                .maybe_help(near.map(|near| format!("did you mean `{near}`?")));
            return None;
        }
        let outward = plan.agent_dials(&agent.value, &row.dialled.value, &mut ())?;
        let hotline = match &outward.way {
            OutwardWay::Seats(hotline) => Some(Arc::clone(hotline)),
            _ => None,
        };
        return Some(Found { hotline, target: targets(&outward).0 });
    }
    let named = row.trunk.as_ref().map(|trunk| trunk.value.clone());
    let Some(trunk) = named.or_else(|| default_trunk(plan, &draft.tenant)) else {
        faults
            .error("E0126", row.at, "a test row has no trunk to come over", "this row")
            .help("no trunk with `from` leads to this place; name one by `trunk`");
        return None;
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
    Some(Found { target: Target::of(&route), hotline: route.hotline })
}

/// The trunk a row without one comes over: the first of the place that calls come in by.
fn default_trunk(plan: &Plan, place: &Tenant) -> Option<TrunkName> {
    let mut trunks = plan.settings.trunks.values().filter(|trunk| trunk.tenant == place.name && !trunk.from.is_empty());
    trunks.next().map(|trunk| trunk.name.clone())
}

fn compare(row: &TestRow, found: &Found, faults: &mut Faults) -> bool {
    let mut right = true;
    let mut differs = |at, what: &str, expected: &str, reached: &str| {
        right = false;
        faults
            .error("E0125", at, format!("{} {what} `{reached}`, not `{expected}`", row.dialled.value), "expected")
            .also(row.dialled.at, "for this number");
    };
    let hotline = found.hotline.as_ref().map_or("none", |hotline| &*hotline.number);
    if let Some(expected) = row.hotline.as_ref().filter(|expected| expected.value != hotline) {
        differs(expected.at, "reaches hotline", &expected.value, hotline);
    }
    let mode = found.hotline.as_ref().and_then(|hotline| hotline.mode);
    if let Some(expected) = row.mode.as_ref().filter(|expected| expected.value != mode) {
        let word = |mode: Option<MergeMode>| mode.map_or("none", MergeMode::word);
        differs(expected.at, "has mode", word(expected.value), word(mode));
    }
    let target = &found.target;
    if let Some(expected) = row.target.as_ref().filter(|expected| !target.is(&expected.value)) {
        differs(expected.at, "goes to", &expected.value, &target.to_string());
    }
    right
}
