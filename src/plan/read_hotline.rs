//! Reads hotlines, their steps, emergency lines and test rows of a place's file.
//!
//! Deliberately absent: whether queues, trunks, units and prompts named here exist (`check`).

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use crate::base::hotline::{MergeMode, SeatPolicy};
use crate::base::id::{AgentId, QueueName, SkillName, TrunkName};
use crate::plan::diagnose::At;
use crate::plan::emergency;
use crate::plan::model::{
    AfterCutoff, Cutoff, EmergencyLine, Hotline, HotlineKey, HotlineStatus, SeatRoute, StepRule, Transition,
};
use crate::plan::read_settings::read_area;
use crate::plan::read_tenant::{Reading, Reference, TenantDraft, read_hours};
use crate::plan::source::{Fields, Spot, Table, Value, wrong_type};
use crate::plan::step::{DialTarget, When};
use crate::plan::words::{self, ModeWord};

const SECOND: Duration = Duration::from_secs(1);
const DAY: Duration = Duration::from_secs(86_400);
/// How long a department or an emergency desk is rung by default.
const DIAL_RING: Duration = Duration::from_secs(30);

/// A `[[test]]` row.
#[derive(Clone, Debug)]
pub(super) struct TestRow {
    pub(super) at: At,
    pub(super) dialled: Spot<String>,
    pub(super) from: String,
    pub(super) moment: Option<Timestamp>,
    pub(super) trunk: Option<Spot<TrunkName>>,
    pub(super) agent: Option<Spot<AgentId>>,
    pub(super) hotline: Option<Spot<String>>,
    pub(super) mode: Option<Spot<Option<MergeMode>>>,
    pub(super) target: Option<Spot<String>>,
}

/// Reads one `[[hotline]]`.
pub(super) fn read_hotline(draft: &mut TenantDraft, table: &Table, r: &mut Reading<'_>) {
    let mut fields = Fields::new(table, "a hotline");
    let base_area = draft.tenant.area;
    let number = fields.need("number", r.faults);
    let is_main = number.as_ref().is_some_and(|found| found.value == "12345");
    let area = read_area(&mut fields, "area", r.faults).or(base_area);
    let name = if is_main { fields.text("name", r.faults) } else { fields.need("name", r.faults) };
    let spoken = fields.text("spoken_name", r.faults);
    let unit = named(draft, &mut fields, "unit", |name| Reference::Unit(name.to_owned()), r);
    let status = read_status(&mut fields, r);
    let (mode, seats) = read_mode(&mut fields, is_main, status, r);
    let skill = fields.text("skill", r.faults);
    let skill_level = fields.integer("skill_level", 1_u8, 1..=10, r.faults);
    let queue = named(draft, &mut fields, "queue", |name| Reference::Queue(QueueName::new(name)), r);
    let priority = fields.integer("priority", 0_u8, 0..=100, r.faults);
    let services = fields.texts("services", r.faults).unwrap_or_default();
    let topic = fields.text("topic", r.faults);
    let greeting = named(draft, &mut fields, "greeting", |name| Reference::Prompt(name.to_owned()), r);
    let transition = fields.table("transition", r.faults).and_then(|table| read_transition(draft, table, r));
    let cutoff = fields.table("cutoff", r.faults).and_then(|table| read_cutoff(table, r));
    let merged_into = named(draft, &mut fields, "merged_into", |name| Reference::Hotline(Arc::from(name)), r);
    let seats_at = fields.entry("seats_at");
    let seat_route = fields.table("seats_at", r.faults).and_then(|table| read_seat_route(draft, table, r));
    let _free_text = fields.text("remark", r.faults);
    let steps = read_steps(draft, &mut fields, r);
    fields.finish(r.faults);
    let Some(number) = number else { return };
    if !check_number(draft, &number, area.is_some(), r) {
        return;
    }
    if status == HotlineStatus::NotOpened {
        nothing_behind(&number, queue.as_ref().map(|found| found.at), seats_at.map(|entry| entry.key_at), r);
    }
    let key = HotlineKey { area, number: Arc::from(number.value) };
    if seats == Some(SeatPolicy::Kept) && seats_at.is_none() && steps.is_empty() && status == HotlineStatus::Open {
        draft.seats_missing.push((key.clone(), number.at));
    }
    let name = name.map_or_else(|| draft.tenant.line_name.clone(), |found| found.value.to_owned());
    let skill = skill.map(|found| SkillName::new(found.value));
    let hotline = Hotline {
        tenant: draft.tenant.name.clone(),
        area,
        number: Arc::clone(&key.number),
        spoken_name: spoken.map_or_else(|| name.clone(), |found| found.value.to_owned()),
        name,
        unit: unit.map(|found| Arc::from(found.value)),
        mode,
        seats,
        topic: topic
            .map(|found| found.value.to_owned())
            .or_else(|| skill.as_ref().map(ToString::to_string))
            .unwrap_or_default(),
        skill,
        skill_level,
        queue: queue.map_or_else(|| draft.tenant.main_queue.clone(), |found| QueueName::new(found.value)),
        priority,
        status,
        services: services.into_iter().map(|found| found.value.to_owned()).collect(),
        greeting: greeting.map(|found| found.value.to_owned()),
        transition,
        cutoff,
        merged_into: merged_into.map(|found| Arc::from(found.value)),
        seat_route,
        steps,
        declared: r.sources.place(number.at),
    };
    insert(draft, key, hotline, number.at, r);
}

/// Reads a key that names something defined elsewhere.
fn named<'t>(
    draft: &mut TenantDraft,
    fields: &mut Fields<'t>,
    key: &'static str,
    reference: impl Fn(&str) -> Reference,
    r: &mut Reading<'_>,
) -> Option<Spot<&'t str>> {
    let found = fields.text(key, r.faults)?;
    draft.references.push((reference(found.value), found.at));
    Some(found)
}

/// A number that is not opened has neither queue nor seats.
fn nothing_behind(number: &Spot<&str>, queue: Option<At>, seats: Option<At>, r: &mut Reading<'_>) {
    let Some(at) = queue.or(seats) else { return };
    r.faults
        .error("E0117", at, format!("{} is not opened here and cannot have seats", number.value), "for nobody")
        .help("a number that is not opened gets its prompt and 404; take this key out");
}

fn insert(draft: &mut TenantDraft, key: HotlineKey, hotline: Hotline, at: At, r: &mut Reading<'_>) {
    if let Some(first) = draft.hotline_at.get(&key) {
        r.faults
            .error("E0110", at, format!("{} stands twice in this place", key.number), "shadowed: never reached")
            .also(*first, "this entry comes first")
            .help("keep one entry; two services on one number go into `services = [\"…\", \"…\"]`");
        return;
    }
    draft.hotline_at.insert(key.clone(), at);
    draft.tenant.hotlines.insert(key, Arc::new(hotline));
}

/// Whether the number can stand as a key.
fn check_number(draft: &TenantDraft, number: &Spot<&str>, has_area: bool, r: &mut Reading<'_>) -> bool {
    let digits = number.value;
    if !digits.bytes().all(|byte| byte.is_ascii_digit()) || !(3..=12).contains(&digits.len()) {
        r.faults
            .error("E0104", number.at, format!("`{digits}` is no hotline number"), "needs 3 to 12 digits")
            .help("write the number without its area code; the area is a key of its own");
        return false;
    }
    if digits.starts_with('0') {
        r.faults
            .error("E0104", number.at, format!("`{digits}` begins with an area code"), "the key is area and number")
            .help("write area = \"0476\" and the number without it");
        return false;
    }
    if let Some(name) = emergency::base_name(digits) {
        r.faults
            .error("E0111", number.at, format!("{digits} is an emergency number"), "would be rewritten")
            .help(format!("{name} is decided before the dialplan; its routes go into `[[emergency]]`"));
        return false;
    }
    if matches!(digits.len(), 7 | 8) && !has_area {
        r.faults
            .error("E0112", number.at, format!("{digits} has no area"), "7 and 8 digits need one")
            .help(format!("set area = \"…\" here or in [tenant] of `{}`", draft.tenant.name));
        return false;
    }
    true
}

fn read_status(fields: &mut Fields<'_>, r: &mut Reading<'_>) -> HotlineStatus {
    const WORDS: &words::Words<HotlineStatus> = &[
        ("open", HotlineStatus::Open),
        ("not_opened", HotlineStatus::NotOpened),
        ("不再开通", HotlineStatus::NotOpened),
    ];
    fields
        .text("status", r.faults)
        .and_then(|found| words::word(WORDS, found.value, found.at, "status of a hotline", r.faults))
        .unwrap_or_default()
}

/// Reads `mode` and `seats` and whether they agree.
fn read_mode(
    fields: &mut Fields<'_>,
    is_main: bool,
    status: HotlineStatus,
    r: &mut Reading<'_>,
) -> (Option<MergeMode>, Option<SeatPolicy>) {
    let written = fields.text("mode", r.faults);
    let seats_written = fields.text("seats", r.faults);
    let seats = seats_written.as_ref().and_then(|found| words::seats(found.value, found.at, r.faults));
    if is_main {
        if let Some(found) = written.or(seats_written) {
            r.faults
                .error("E0115", found.at, "12345 has no merge mode", "what others are merged into")
                .help("take `mode` and `seats` out of this entry");
        }
        return (None, None);
    }
    let Some(written) = written else {
        if status == HotlineStatus::Open {
            r.faults
                .error("E0102", fields.at(), "a hotline has no `mode`", "in this table")
                .help("absorbed / 整体并入, dual_merged, dual_kept, sub_centre / 设分中心");
        }
        return (None, seats);
    };
    let Some(word) = words::mode(written.value, written.at, r.faults) else { return (None, seats) };
    let dual = if seats == Some(SeatPolicy::Kept) { MergeMode::DualKept } else { MergeMode::DualMerged };
    let mode = match word {
        ModeWord::Exact(mode) | ModeWord::Variant(mode) => mode,
        ModeWord::BareDual | ModeWord::VariantDual => dual,
    };
    if matches!(word, ModeWord::Variant(_) | ModeWord::VariantDual) {
        let message = format!("`{}` is read as {}", written.value, mode.name_zh());
        r.faults.note("N0302", written.at, message, "a variant").help(format!("write `{}`", mode.word()));
    }
    if matches!(word, ModeWord::BareDual | ModeWord::VariantDual) && seats_written.is_none() {
        r.faults
            .note("N0301", written.at, format!("`{}` without `seats` is read as 座席并入", written.value), "no seats")
            .help("write seats = \"座席并入\" or seats = \"保留座席\"");
    }
    let own = match mode {
        MergeMode::Absorbed | MergeMode::DualMerged => SeatPolicy::Merged,
        MergeMode::DualKept | MergeMode::SubCentre => SeatPolicy::Kept,
    };
    if let (Some(seats), Some(found)) = (seats, &seats_written)
        && seats != own
        && mode != MergeMode::Absorbed
    {
        r.faults
            .error("E0115", found.at, format!("`{}` contradicts the mode", found.value), "these seats")
            .also(written.at, format!("{} means seats {}", mode.name_zh(), own.word()));
    }
    (Some(mode), Some(seats.unwrap_or(own)))
}

fn read_transition(draft: &mut TenantDraft, table: &Table, r: &mut Reading<'_>) -> Option<Transition> {
    let mut fields = Fields::new(table, "`transition`");
    let from = fields.moment("from", false, r.faults);
    let until = fields.moment("until", true, r.faults);
    let prompt = fields.text("prompt", r.faults);
    let at = fields.at();
    fields.finish(r.faults);
    if let Some(found) = &prompt {
        draft.references.push((Reference::Prompt(found.value.to_owned()), found.at));
    }
    match (&from, &until) {
        // One that was written and could not be read has its own fault.
        (None, None) if table.get("from").or_else(|| table.get("until")).is_some() => return None,
        (None, None) => {
            r.faults
                .error("E0118", at, "a transition has neither `from` nor `until`", "when?")
                .help("a transition prompt is dated; without dates leave the table out");
            return None;
        }
        (Some(from), Some(until)) if from.value >= until.value => {
            r.faults.error("E0118", until.at, "the transition ends before it begins", "until").also(from.at, "from");
            return None;
        }
        _ => {}
    }
    Some(Transition {
        from: from.map(|found| found.value),
        until: until.map(|found| found.value),
        prompt: prompt.map_or_else(|| "transition".to_owned(), |found| found.value.to_owned()),
    })
}

fn read_cutoff(table: &Table, r: &mut Reading<'_>) -> Option<Cutoff> {
    let mut fields = Fields::new(table, "`cutoff`");
    let moment = fields.moment("at", false, r.faults);
    if moment.is_none() && table.get("at").is_none() {
        r.faults.error("E0102", table.at, "`cutoff` has no `at`", "in this table");
    }
    let after = fields
        .text("after", r.faults)
        .and_then(|found| words::word(words::AFTER_CUTOFF, found.value, found.at, "end of a number", r.faults))
        .unwrap_or(AfterCutoff::AnnounceRoute);
    fields.finish(r.faults);
    Some(Cutoff { at: moment?.value, after })
}

fn read_seat_route(draft: &mut TenantDraft, table: &Table, r: &mut Reading<'_>) -> Option<SeatRoute> {
    let mut fields = Fields::new(table, "`seats_at`");
    let queue = fields.text("queue", r.faults);
    let targets = read_targets(draft, &mut fields, r);
    let ring = fields.duration("ring", DIAL_RING, SECOND..=600 * SECOND, r.faults);
    let hours = read_hours(&mut fields, When::Always, r);
    let fall_back = fields.bool("fall_back", true, r.faults);
    let at = fields.at();
    fields.finish(r.faults);
    if let Some(found) = &queue {
        draft.references.push((Reference::Queue(QueueName::new(found.value)), found.at));
    }
    if queue.is_none() && targets.is_empty() {
        r.faults
            .error("E0124", at, "`seats_at` names no seats", "where are they?")
            .help("give `trunk` and `number`, `targets = [{ trunk = \"…\", number = \"…\" }]`, or `queue`");
        return None;
    }
    Some(SeatRoute { queue: queue.map(|found| QueueName::new(found.value)), targets, ring, hours, fall_back })
}

/// `trunk` and `number`, or `targets` with several.
fn read_targets(draft: &mut TenantDraft, fields: &mut Fields<'_>, r: &mut Reading<'_>) -> Vec<DialTarget> {
    let mut targets = Vec::new();
    if fields.entry("trunk").is_some() || fields.entry("number").is_some() {
        targets.extend(read_target(draft, fields, r));
    }
    for table in fields.tables("targets", r.faults) {
        let mut inner = Fields::new(table, "a target");
        targets.extend(read_target(draft, &mut inner, r));
        inner.finish(r.faults);
    }
    targets
}

/// Reads `trunk` and `number` of the table in hand.
pub(super) fn read_target(draft: &mut TenantDraft, fields: &mut Fields<'_>, r: &mut Reading<'_>) -> Option<DialTarget> {
    let trunk = fields.need("trunk", r.faults);
    let number = fields.need("number", r.faults);
    let (trunk, number) = (trunk?, number?);
    let digits = number.value.strip_prefix('+').unwrap_or(number.value);
    if !digits.bytes().all(|byte| byte.is_ascii_digit() || matches!(byte, b'*' | b'#')) || digits.is_empty() {
        r.faults
            .error("E0104", number.at, format!("`{}` cannot be dialled", number.value), "needs digits")
            .help("write the number as the trunk wants it: digits, with a leading + where it does");
        return None;
    }
    let name = TrunkName::new(trunk.value);
    draft.references.push((Reference::Trunk(name.clone()), trunk.at));
    Some(DialTarget { trunk: name, number: number.value.to_owned() })
}

fn read_steps(draft: &mut TenantDraft, fields: &mut Fields<'_>, r: &mut Reading<'_>) -> Vec<StepRule> {
    let Some(node) = fields.node("steps") else { return Vec::new() };
    let Value::Array(nodes) = &node.value else {
        wrong_type(node, "a list of steps", r.faults);
        return Vec::new();
    };
    let mut steps = Vec::new();
    for node in nodes {
        let Value::Table(table) = &node.value else {
            wrong_type(node, "a step such as { queue = { name = \"main\" } }", r.faults);
            continue;
        };
        let [only] = table.entries.as_slice() else {
            r.faults
                .error("E0129", node.at, "a step is a table with a single key, its verb", "this step")
                .help("verbs: announce, queue, dial, reject, release");
            continue;
        };
        let Value::Table(inner) = &only.node.value else {
            wrong_type(&only.node, "a table", r.faults);
            continue;
        };
        steps.extend(read_step(draft, &only.key, only.key_at, inner, r));
    }
    if nodes.is_empty() {
        r.faults.error("E0129", node.at, "`steps` is empty", "nothing would happen");
    }
    steps
}

fn read_step(draft: &mut TenantDraft, verb: &str, verb_at: At, table: &Table, r: &mut Reading<'_>) -> Option<StepRule> {
    const VERBS: &words::Words<u8> = &[("announce", 0), ("queue", 1), ("dial", 2), ("reject", 3), ("release", 4)];
    let verb = words::word(VERBS, verb, verb_at, "step", r.faults)?;
    let mut fields = Fields::new(table, "this step");
    let step = match verb {
        0 => {
            let prompt = fields.need("prompt", r.faults);
            let early = fields.bool("early", false, r.faults);
            prompt.map(|found| {
                draft.references.push((Reference::Prompt(found.value.to_owned()), found.at));
                StepRule::Announce { prompt: found.value.to_owned(), early }
            })
        }
        1 => {
            let name = fields.need("name", r.faults);
            let skill = fields.text("skill", r.faults).map(|found| SkillName::new(found.value));
            let max_wait = fields.maybe_duration("max_wait", SECOND..=DAY, r.faults);
            let greeting = fields.text("greeting", r.faults);
            draft
                .references
                .extend(greeting.as_ref().map(|found| (Reference::Prompt(found.value.to_owned()), found.at)));
            let greeting = greeting.map(|found| found.value.to_owned());
            name.map(|found| {
                let name = QueueName::new(found.value);
                draft.references.push((Reference::Queue(name.clone()), found.at));
                StepRule::Queue { name, skill, max_wait, greeting }
            })
        }
        2 => {
            let targets = read_targets(draft, &mut fields, r);
            let ring = fields.duration("ring", DIAL_RING, SECOND..=600 * SECOND, r.faults);
            let hours = read_hours(&mut fields, When::Always, r);
            let prompt = fields.text("prompt", r.faults);
            draft.references.extend(prompt.as_ref().map(|found| (Reference::Prompt(found.value.to_owned()), found.at)));
            if targets.is_empty() {
                r.faults.error("E0124", fields.at(), "a dial step names nobody", "who is rung?");
            }
            let prompt = prompt.map(|found| found.value.to_owned());
            Some(StepRule::Dial { targets, ring, hours, prompt })
        }
        3 => Some(StepRule::Reject { status: fields.integer("status", 404_u16, 400..=699, r.faults) }),
        _ => Some(StepRule::Release),
    };
    fields.finish(r.faults);
    step
}

/// Reads one `[[emergency]]`.
pub(super) fn read_emergency(draft: &mut TenantDraft, table: &Table, r: &mut Reading<'_>) {
    let mut fields = Fields::new(table, "an emergency line");
    let number = fields.need("number", r.faults);
    let name = fields.text("name", r.faults);
    let ring = fields.duration("ring", DIAL_RING, SECOND..=600 * SECOND, r.faults);
    let routes_at = fields.entry("routes").map_or_else(|| fields.at(), |entry| entry.node.at);
    let mut routes = Vec::new();
    for table in fields.tables("routes", r.faults) {
        let mut inner = Fields::new(table, "an emergency route");
        routes.extend(read_target(draft, &mut inner, r));
        inner.finish(r.faults);
    }
    fields.finish(r.faults);
    let Some(number) = number else { return };
    if !number.value.bytes().all(|byte| byte.is_ascii_digit()) || !(3..=12).contains(&number.value.len()) {
        r.faults.error("E0104", number.at, format!("`{}` is no emergency number", number.value), "3 to 12 digits");
        return;
    }
    if routes.is_empty() {
        r.faults
            .error("E0124", routes_at, format!("emergency line {} has no route", number.value), "goes nowhere")
            .help("give routes = [{ trunk = \"…\", number = \"0476110\" }, …], tried in order");
    }
    if let Some(first) = draft.emergency_at.insert(number.value.to_owned(), number.at) {
        r.faults
            .error("E0105", number.at, format!("emergency line {} stands twice", number.value), "second time")
            .also(first, "first here")
            .help("put all its routes into one table, in order");
        return;
    }
    let name = name.map(|found| found.value.to_owned());
    let base = emergency::base_name(number.value).map(str::to_owned);
    let line = EmergencyLine {
        number: number.value.to_owned(),
        name: name.or(base).unwrap_or_else(|| number.value.to_owned()),
        routes,
        ring,
    };
    draft.tenant.emergency.insert(number.value.to_owned(), Arc::new(line));
}

/// Reads one `[[test]]`.
pub(super) fn read_test(draft: &mut TenantDraft, table: &Table, r: &mut Reading<'_>) {
    let mut fields = Fields::new(table, "a test row");
    let own = |found: Spot<&str>| Spot { value: found.value.to_owned(), at: found.at };
    let dialled = fields.need("dialled", r.faults).map(own);
    let from = fields.text("from", r.faults).map_or_else(|| "13800001234".to_owned(), |found| found.value.to_owned());
    let moment = fields.moment("at", false, r.faults).map(|found| found.value);
    let trunk = fields.text("trunk", r.faults).map(|found| Spot { value: TrunkName::new(found.value), at: found.at });
    let agent = fields.text("agent", r.faults).map(|found| Spot { value: AgentId::new(found.value), at: found.at });
    let hotline = fields.text("hotline", r.faults).map(own);
    let mode = fields.text("mode", r.faults);
    let target = fields.text("target", r.faults).map(own);
    let at = fields.at();
    fields.finish(r.faults);
    let mode = mode.and_then(|found| {
        if found.value == "none" {
            return Some(Spot { value: None, at: found.at });
        }
        let mode = match words::mode(found.value, found.at, r.faults)? {
            ModeWord::Exact(mode) | ModeWord::Variant(mode) => mode,
            ModeWord::BareDual | ModeWord::VariantDual => MergeMode::DualMerged,
        };
        Some(Spot { value: Some(mode), at: found.at })
    });
    if let (Some(agent), Some(trunk)) = (&agent, &trunk) {
        r.faults
            .error("E0126", agent.at, "a test row has both `agent` and `trunk`", "who dials")
            .also(trunk.at, "what it comes over")
            .help("an agent's own call comes over no trunk; keep one of the two");
        return;
    }
    if hotline.is_none() && mode.is_none() && target.is_none() {
        r.faults
            .error("E0126", at, "a test row expects nothing", "cannot fail")
            .help("give at least one of `hotline`, `mode`, `target`");
        return;
    }
    draft.references.extend(trunk.as_ref().map(|found| (Reference::Trunk(found.value.clone()), found.at)));
    let Some(dialled) = dialled else { return };
    draft.tests.push(TestRow { at, dialled, from, moment, trunk, agent, hotline, mode, target });
}
