//! Advice on plans that could run: what nobody can reach, what nobody answers, what has changed since it was printed.
//!
//! Deliberately absent: errors. A lint never changes a decision; dated lints are as of a moment handed in.

use std::collections::BTreeSet;

use jiff::Timestamp;
use toml::de::{DeTable, DeValue};

use crate::base::calendar::china;
use crate::base::id::{QueueId, QueueName};
use crate::plan::diagnose::{Faults, nearest};
use crate::plan::emergency::BASE;
use crate::plan::model::{Hotline, StepRule, Tenant};
use crate::plan::prompts::WORDING;
use crate::plan::read_settings::SettingsDraft;
use crate::plan::read_tenant::{Reference, TenantDraft};
use crate::plan::settings::Agent;
use crate::plan::step::{DialTarget, When};
use crate::plan::trunk::{SourceMatch, Trunk};

/// How far ahead a calendar must reach, in days.
const CALENDAR_AHEAD: u16 = 45;
/// What became of national numbers since the plans were printed.
const NUMBER_STATUS: &str = include_str!("number_status.toml");

/// Looks at everything.
pub(super) fn lint(settings: &SettingsDraft, drafts: &[TenantDraft], wall: Timestamp, faults: &mut Faults) {
    let changed = changed_numbers();
    for trunk in settings.settings.trunks.values() {
        trunk_use(trunk, settings, faults);
    }
    for draft in drafts {
        place(draft, settings, faults);
        queues(draft, settings, faults);
        skills(draft, settings, faults);
        seats(draft, faults);
        calendar(draft, wall, faults);
        prompts(draft, faults);
        number_status(draft, &changed, wall, faults);
        approved(draft, faults);
    }
}

fn trunk_use(trunk: &Trunk, settings: &SettingsDraft, faults: &mut Faults) {
    let Some(at) = settings.trunk_at.get(&trunk.name).copied() else { return };
    let name = &trunk.name;
    if trunk.register.is_some() && trunk.credential.is_none() {
        faults
            .warning("W0232", at, format!("trunk `{name}` registers without a credential"), "cannot answer a challenge")
            .help("carriers answer REGISTER with 401: give credential = { user = \"…\", password_file = \"…\" }");
    }
    if trunk.busy_out {
        faults
            .warning("W0233", at, format!("trunk `{name}` is out of use for maintenance"), "busy_out = true")
            .help("new calls in get 503, none go out but emergencies; take it out when the work is done");
    }
    let everybody = |source: &SourceMatch| matches!(source, SourceMatch::Net(_, 0));
    if trunk.trusted && trunk.from.iter().any(everybody) {
        faults
            .warning("W0234", at, format!("trunk `{name}` trusts every address"), "anybody can claim any number")
            .help("name the carrier's networks in `from`, or set trusted = false");
    }
    if trunk.credential.as_ref().is_some_and(|credential| credential.realm.is_none()) {
        faults
            .note(
                "N0305",
                at,
                format!("the credential of trunk `{name}` names no `realm`"),
                "the first realm asked for",
            )
            .help("give the realm of the carrier's challenge, so that no other ever gets an answer");
    }
}

fn place(draft: &TenantDraft, settings: &SettingsDraft, faults: &mut Faults) {
    let place = &draft.tenant;
    if place.area.is_none() {
        faults
            .warning("W0201", draft.name_at, format!("place `{}` has no area code", place.name), "no `area`")
            .help("only numbers dialled without an area are found; set area = \"0…\" when it is known");
    }
    let mut trunks = settings.settings.trunks.values().filter(|trunk| trunk.tenant == place.name);
    if !trunks.any(|trunk| !trunk.from.is_empty()) {
        faults
            .warning("W0213", draft.name_at, format!("no trunk leads to place `{}`", place.name), "gets no calls")
            .help("give a trunk with `from` this `tenant`");
    }
    let takes =
        |route: &DialTarget| settings.settings.trunks.get(&route.trunk).is_some_and(|trunk| !trunk.to.is_empty());
    let reachable = |number: &str| place.emergency.get(number).is_some_and(|line| line.routes.iter().any(takes));
    let cut_off: Vec<&str> = BASE.iter().filter(|(number, _)| !reachable(number)).map(|(_, name)| *name).collect();
    if !cut_off.is_empty() {
        let message = format!("{} cannot be reached from `{}`", cut_off.join(", "), place.name);
        faults
            .warning("W0215", draft.name_at, message, "no way out")
            .help("give a trunk of the place `to = [\"sip:…\"]`, or write `[[emergency]]` with its routes");
    }
}

/// Queues that some call can come to.
fn reachable(place: &Tenant) -> BTreeSet<QueueName> {
    let mut found: BTreeSet<QueueName> = BTreeSet::from([place.main_queue.clone()]);
    for hotline in place.hotlines.values() {
        found.insert(hotline.queue.clone());
        found.extend(hotline.seat_route.iter().filter_map(|route| route.queue.clone()));
        found.extend(hotline.steps.iter().filter_map(|step| match step {
            StepRule::Queue { name, .. } => Some(name.clone()),
            StepRule::Announce { .. } | StepRule::Dial { .. } | StepRule::Reject { .. } | StepRule::Release => None,
        }));
    }
    loop {
        let more: Vec<_> = found
            .iter()
            .filter_map(|name| place.queues.get(name)?.overflow.clone())
            .filter(|name| !found.contains(name))
            .collect();
        if more.is_empty() {
            return found;
        }
        found.extend(more);
    }
}

fn agents_of<'s>(settings: &'s SettingsDraft, id: &QueueId) -> impl Iterator<Item = &'s Agent> {
    let id = id.clone();
    settings
        .settings
        .agents
        .values()
        .map(AsRef::as_ref)
        .filter(move |agent| agent.role.takes_calls() && agent.queues.contains(&id))
}

fn queues(draft: &TenantDraft, settings: &SettingsDraft, faults: &mut Faults) {
    let reachable = reachable(&draft.tenant);
    for (name, queue) in &draft.tenant.queues {
        let at = draft.queue_at.get(name).copied().unwrap_or(draft.name_at);
        if !reachable.contains(name) {
            faults
                .warning("W0202", at, format!("no call can come to queue `{name}`"), "unreachable")
                .help("no hotline, step or overflow names it");
        } else if agents_of(settings, &queue.id).next().is_none() {
            let place = &draft.tenant.name;
            faults.warning("W0203", at, format!("queue `{name}` of `{place}` has no agent"), "nobody answers").help(
                format!("sign agents in: queues = [\"{name}\"] (or \"{place}/{name}\" for agents of other places)"),
            );
        }
    }
}

fn skills(draft: &TenantDraft, settings: &SettingsDraft, faults: &mut Faults) {
    for (key, at) in &draft.hotline_at {
        let Some(hotline) = draft.tenant.hotlines.get(key) else { continue };
        let Some(skill) = &hotline.skill else { continue };
        let id = QueueId { tenant: draft.tenant.name.clone(), queue: hotline.queue.clone() };
        let mut agents = agents_of(settings, &id).peekable();
        if agents.peek().is_none() {
            continue;
        }
        if !agents.any(|agent| agent.skills.get(skill).is_some_and(|level| *level >= hotline.skill_level)) {
            let message = format!("no agent of queue `{}` has the skill `{skill}` of {}", hotline.queue, key.number);
            faults
                .warning("W0206", *at, message, "nobody is first for its calls")
                .help("give the skill to somebody in config/agents.toml");
        }
    }
}

fn seats(draft: &TenantDraft, faults: &mut Faults) {
    for (key, at) in &draft.seats_missing {
        faults
            .warning("W0211", *at, format!("{} keeps its seats but has no way to them", key.number), "no `seats_at`")
            .help("until `seats_at = { trunk = \"…\", number = \"…\" }` is set, its calls wait in 12345's queue");
    }
}

fn uses_hours(hotline: &Hotline) -> bool {
    let route = hotline.seat_route.as_ref().is_some_and(|route| route.hours != When::Always);
    route || hotline.steps.iter().any(|step| matches!(step, StepRule::Dial { hours, .. } if *hours != When::Always))
}

fn calendar(draft: &TenantDraft, wall: Timestamp, faults: &mut Faults) {
    let place = &draft.tenant;
    let used = place.hotlines.values().any(|hotline| uses_hours(hotline));
    if place.calendar.covers.is_empty() && !used {
        return;
    }
    if let Some(day) = place.calendar.first_uncovered(china(wall).date(), CALENDAR_AHEAD) {
        faults
            .warning("W0207", draft.name_at, format!("the calendar of `{}` does not cover {day}", place.name), "ends")
            .help("add the year's holidays and swapped work days to [calendar] and the year to `covers`");
    }
}

/// A prompt of a name nobody asks for is most likely a slip.
fn prompts(draft: &TenantDraft, faults: &mut Faults) {
    let (known, _) = DeTable::parse_recoverable(WORDING);
    let known: Vec<&str> = known.get_ref().iter().map(|(key, _)| key.get_ref().as_ref()).collect();
    for (name, at) in &draft.prompt_at {
        let used = known.contains(&name.as_str())
            || draft.references.iter().any(|(reference, _)| *reference == Reference::Prompt(name.clone()));
        if !used {
            let hint = nearest(name, known.iter().copied()).map(|near| format!("did you mean `{near}`?"));
            faults.warning("W0210", *at, format!("no call ever plays prompt `{name}`"), "unused").maybe_help(hint);
        }
    }
}

struct Changed {
    number: String,
    now: String,
    since: Option<String>,
    confirmed: bool,
    hint: Option<String>,
}

fn changed_numbers() -> Vec<Changed> {
    let (table, _) = DeTable::parse_recoverable(NUMBER_STATUS);
    let rows = table.get_ref().get("numbers").and_then(|rows| rows.get_ref().as_array());
    let text = |row: &DeValue<'_>, key: &str| row.get(key)?.get_ref().as_str().map(str::to_owned);
    rows.into_iter()
        .flat_map(|rows| rows.iter())
        .filter_map(|row| {
            let row = row.get_ref();
            Some(Changed {
                number: text(row, "number")?,
                now: text(row, "now")?,
                since: text(row, "since"),
                confirmed: row.get("confirmed").and_then(|found| found.get_ref().as_bool()).unwrap_or(false),
                hint: text(row, "hint"),
            })
        })
        .collect()
}

fn number_status(draft: &TenantDraft, changed: &[Changed], wall: Timestamp, faults: &mut Faults) {
    let today = china(wall).date().to_string();
    for (key, at) in &draft.hotline_at {
        let Some(row) = changed.iter().find(|row| row.number == *key.number) else { continue };
        // `2024-06` and `2021` compare as text: a prefix of a day sorts before it.
        if row.since.as_ref().is_some_and(|since| *since > today) {
            continue;
        }
        let since = row.since.as_ref().map(|since| format!("自{since}起")).unwrap_or_default();
        let message = format!("{}{since}: {}", row.number, row.now);
        let hint = row.hint.clone().unwrap_or_else(|| "合并前请核实".to_owned());
        if row.confirmed {
            faults.warning("W0204", *at, message, "the number has changed since the plan was printed").help(hint);
        } else {
            faults.note("N0304", *at, message, "second-hand, to be checked").help(hint);
        }
    }
}

fn approved(draft: &TenantDraft, faults: &mut Faults) {
    let list = &draft.tenant.approved;
    if list.is_empty() {
        return;
    }
    for (key, at) in &draft.hotline_at {
        if &*key.number != "12345" && !list.contains(&key.number) {
            faults
                .warning("W0212", *at, format!("{} is not on the place's approved list", key.number), "a new hotline?")
                .help("原则上不再新增政务热线: cite its approval in `remark` and add it to `approved`");
        }
    }
}
