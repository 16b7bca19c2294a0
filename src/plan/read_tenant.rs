//! Reads a place's dialplan file: place, queues, units, regions, utilities, calendar, prompts.
//!
//! Deliberately absent: hotlines, emergency lines and test rows (`read_hotline`), and checks across files (`check`).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use jiff::civil::{Date, Time};

use crate::base::calendar::{Calendar, Days, Opening, WorkHours};
use crate::base::id::{QueueId, QueueName, TenantName, TrunkName};
use crate::base::number::AreaCode;
use crate::plan::diagnose::{At, Faults, Sources};
use crate::plan::model::{
    Contact, ContactKind, GreetingRule, HotlineKey, Prompt, Queue, Region, Strategy, Tenant, Unit, UnitKind, Utility,
    UtilityWay,
};
use crate::plan::read_hotline::{TestRow, read_emergency, read_hotline, read_target, read_test};
use crate::plan::read_service;
use crate::plan::read_settings::read_area;
use crate::plan::source::{Entry, Fields, Spot, Table, Value, wrong_type};
use crate::plan::step::When;
use crate::plan::words;

/// Something a file names that must exist somewhere else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Reference {
    Queue(QueueName),
    Trunk(TrunkName),
    Unit(String),
    Prompt(String),
    Region(String),
    Hotline(Arc<str>),
    Class(Arc<str>),
    /// A trunk that must take calls out.
    Outside(TrunkName),
}

/// A place as read, with what later checks need to point at.
pub(super) struct TenantDraft {
    pub(super) tenant: Tenant,
    pub(super) extends: bool,
    pub(super) name_at: At,
    pub(super) references: Vec<(Reference, At)>,
    pub(super) tests: Vec<TestRow>,
    pub(super) hotline_at: BTreeMap<HotlineKey, At>,
    pub(super) emergency_at: BTreeMap<String, At>,
    pub(super) queue_at: BTreeMap<QueueName, At>,
    pub(super) class_at: BTreeMap<String, At>,
    pub(super) prompt_at: BTreeMap<String, At>,
    pub(super) seats_missing: Vec<(HotlineKey, At)>,
    pub(super) overlay_files: BTreeSet<Arc<str>>,
}

/// What reading a table of a place needs.
pub(super) struct Reading<'r> {
    pub(super) sources: &'r Sources,
    pub(super) faults: &'r mut Faults,
}

/// Reads one dialplan file whose `trunk` tables were taken out before. `area` hands an overlay its place's area.
pub(super) fn read_tenant(
    table: &Table,
    base_area: impl Fn(&TenantName) -> Option<AreaCode>,
    r: &mut Reading<'_>,
) -> Option<TenantDraft> {
    let mut fields = Fields::new(table, "a dialplan file");
    let Some(head) = fields.table("tenant", r.faults) else {
        let at = fields.at();
        r.faults
            .error("E0102", At { end: at.start, ..at }, "a dialplan file has no `[tenant]`", "in this file")
            .help("begin it with [tenant] and the place's `name`, `title`, `line_name` and `area`");
        return None;
    };
    let mut draft = read_head(head, base_area, r)?;
    for table in fields.tables("queue", r.faults) {
        read_queue(&mut draft, table, r);
    }
    for table in fields.tables("unit", r.faults) {
        read_unit(&mut draft, table, r);
    }
    for table in fields.tables("region", r.faults) {
        read_region(&mut draft, table, r);
    }
    for table in fields.tables("utility", r.faults) {
        read_utility(&mut draft, table, r);
    }
    if let Some(table) = fields.table("work_hours", r.faults) {
        draft.tenant.work_hours = read_work_hours(table, r);
    }
    if let Some(table) = fields.table("calendar", r.faults) {
        draft.tenant.calendar = read_calendar(table, r);
    }
    for entry in fields.table("prompts", r.faults).map(|table| table.entries.as_slice()).unwrap_or_default() {
        read_prompt(&mut draft, entry, r);
    }
    for table in fields.tables("emergency", r.faults) {
        read_emergency(&mut draft, table, r);
    }
    for table in fields.tables("hotline", r.faults) {
        read_hotline(&mut draft, table, r);
    }
    for table in fields.tables("service_class", r.faults) {
        read_service::read_class(&mut draft, table, r);
    }
    for table in fields.tables("test", r.faults) {
        read_test(&mut draft, table, r);
    }
    let _trunks_taken_before = fields.entry("trunk");
    fields.finish(r.faults);
    Some(draft)
}

fn read_head(
    table: &Table,
    base_area: impl Fn(&TenantName) -> Option<AreaCode>,
    r: &mut Reading<'_>,
) -> Option<TenantDraft> {
    let mut fields = Fields::new(table, "`tenant`");
    let extends = fields.text("extends", r.faults);
    let name = match &extends {
        Some(found) => Some(found.clone()),
        None => fields.need("name", r.faults),
    };
    let required = extends.is_none();
    let title = if required { fields.need("title", r.faults) } else { fields.text("title", r.faults) };
    let line_name = fields.text("line_name", r.faults);
    let area = read_area(&mut fields, "area", r.faults);
    let main_queue = fields.text("main_queue", r.faults);
    let unknown_prompt = fields.bool("unknown_prompt", true, r.faults);
    let approved = fields.texts("approved", r.faults).unwrap_or_default();
    let service = read_service::read_head(&mut fields, r.faults);
    fields.finish(r.faults);
    let name = name?;
    if name.value.is_empty() || !name.value.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_')) {
        r.faults
            .error("E0104", name.at, format!("`{}` cannot be a place's name", name.value), "this name")
            .help("letters, digits, `-` and `_` only: it is part of file names and events");
        return None;
    }
    let tenant_name = TenantName::new(name.value);
    let area = if required { area } else { area.or_else(|| base_area(&tenant_name)) };
    let title = title.map_or_else(String::new, |found| found.value.to_owned());
    let main = QueueName::new(main_queue.as_ref().map_or("main", |found| found.value));
    let mut references = service.references;
    references.extend(main_queue.map(|found| (Reference::Queue(main.clone()), found.at)));
    let tenant = Tenant {
        line_name: line_name.map_or_else(|| format!("{title}12345政务服务便民热线"), |found| found.value.to_owned()),
        name: tenant_name,
        title,
        area,
        hotlines: BTreeMap::new(),
        queues: BTreeMap::new(),
        main_queue: main,
        units: BTreeMap::new(),
        emergency: BTreeMap::new(),
        prompts: BTreeMap::new(),
        utilities: Vec::new(),
        regions: Vec::new(),
        calendar: Calendar::default(),
        work_hours: WorkHours::default(),
        unknown_prompt,
        classes: BTreeMap::new(),
        class: service.class,
        outside: service.outside,
        approved: approved.into_iter().map(|found| Arc::from(found.value)).collect(),
    };
    Some(TenantDraft {
        tenant,
        extends: !required,
        name_at: name.at,
        references,
        tests: Vec::new(),
        hotline_at: BTreeMap::new(),
        emergency_at: BTreeMap::new(),
        queue_at: BTreeMap::new(),
        class_at: BTreeMap::new(),
        prompt_at: BTreeMap::new(),
        seats_missing: Vec::new(),
        overlay_files: BTreeSet::new(),
    })
}

/// The queue every place has when it writes none: `contract.md` §2's defaults.
pub(super) fn default_queue(tenant: &TenantName, name: &QueueName) -> Queue {
    let seconds = Duration::from_secs;
    Queue {
        id: QueueId { tenant: tenant.clone(), queue: name.clone() },
        title: name.to_string(),
        strategy: Strategy::LongestIdle,
        ring: seconds(20),
        wrap_up: seconds(10),
        size: 1_000,
        max_wait: None,
        ring_no_answer: 1,
        ring_no_answer_rest: seconds(30),
        age_step: seconds(60),
        skill_relax: Some(Duration::ZERO),
        greeting: GreetingRule::Finish,
        position_first: Some(seconds(20)),
        position_every: seconds(45),
        music: "music".to_owned(),
        announce_agent: true,
        overflow: None,
        declared: crate::plan::model::Declared::default(),
    }
}

fn read_queue(draft: &mut TenantDraft, table: &Table, r: &mut Reading<'_>) {
    const DAY: Duration = Duration::from_secs(86_400);
    const SECOND: Duration = Duration::from_secs(1);
    let mut fields = Fields::new(table, "a queue");
    let Some(name) = fields.need("name", r.faults) else { return };
    let key = QueueName::new(name.value);
    let mut queue = default_queue(&draft.tenant.name, &key);
    if let Some(found) = fields.text("title", r.faults) {
        queue.title = found.value.to_owned();
    }
    if let Some(found) = fields.text("strategy", r.faults) {
        let found = words::word(words::STRATEGIES, found.value, found.at, "queue strategy", r.faults);
        queue.strategy = found.unwrap_or_default();
    }
    queue.ring = fields.duration("ring", queue.ring, SECOND..=600 * SECOND, r.faults);
    queue.wrap_up = fields.duration("wrap_up", queue.wrap_up, Duration::ZERO..=DAY, r.faults);
    queue.size = fields.integer("size", queue.size, 1..=100_000, r.faults);
    queue.max_wait = fields.maybe_duration("max_wait", SECOND..=DAY, r.faults);
    queue.ring_no_answer = fields.integer("ring_no_answer", queue.ring_no_answer, 1..=100, r.faults);
    queue.ring_no_answer_rest =
        fields.duration("ring_no_answer_rest", queue.ring_no_answer_rest, Duration::ZERO..=DAY, r.faults);
    queue.age_step = fields.duration("age_step", queue.age_step, SECOND..=DAY, r.faults);
    queue.skill_relax = match fields.word("skill_relax", r.faults) {
        Some("never") => None,
        Some(_) => fields.maybe_duration("skill_relax", Duration::ZERO..=DAY, r.faults),
        None => queue.skill_relax,
    };
    if let Some(found) = fields.text("greeting", r.faults) {
        let found = words::word(words::GREETINGS, found.value, found.at, "greeting rule", r.faults);
        queue.greeting = found.unwrap_or_default();
    }
    queue.position_first = match fields.word("position_first", r.faults) {
        Some("never") => None,
        Some(_) => fields.maybe_duration("position_first", SECOND..=DAY, r.faults),
        None => queue.position_first,
    };
    queue.position_every = fields.duration("position_every", queue.position_every, 5 * SECOND..=DAY, r.faults);
    if let Some(found) = fields.text("music", r.faults) {
        queue.music = found.value.to_owned();
    }
    queue.announce_agent = fields.bool("announce_agent", queue.announce_agent, r.faults);
    if let Some(found) = fields.text("overflow", r.faults) {
        queue.overflow = Some(QueueName::new(found.value));
        draft.references.push((Reference::Queue(QueueName::new(found.value)), found.at));
    }
    fields.finish(r.faults);
    queue.declared = r.sources.place(name.at);
    if let Some(first) = draft.queue_at.insert(key.clone(), name.at) {
        r.faults
            .error("E0105", name.at, format!("queue `{key}` stands twice"), "second time")
            .also(first, "first here");
    }
    draft.tenant.queues.insert(key, Arc::new(queue));
}

fn read_unit(draft: &mut TenantDraft, table: &Table, r: &mut Reading<'_>) {
    let mut fields = Fields::new(table, "a unit");
    let name = fields.need("name", r.faults);
    let kind = fields
        .text("kind", r.faults)
        .and_then(|found| words::word(words::UNIT_KINDS, found.value, found.at, "kind of unit", r.faults))
        .unwrap_or(UnitKind::Government);
    let contacts = fields.tables("contact", r.faults);
    fields.finish(r.faults);
    let contacts = contacts.into_iter().filter_map(|table| read_contact(draft, table, r)).collect();
    let Some(name) = name else { return };
    let unit = Unit { name: name.value.to_owned(), kind, contacts };
    if draft.tenant.units.insert(name.value.to_owned(), Arc::new(unit)).is_some() {
        r.faults
            .error("E0105", name.at, format!("unit `{}` stands twice", name.value), "second time")
            .help("give it one `[[unit]]` with all its contacts");
    }
}

fn read_contact(draft: &mut TenantDraft, table: &Table, r: &mut Reading<'_>) -> Option<Contact> {
    let mut fields = Fields::new(table, "a contact");
    let kind = fields
        .text("kind", r.faults)
        .and_then(|found| words::word(words::CONTACTS, found.value, found.at, "kind of contact", r.faults))
        .unwrap_or(ContactKind::Work);
    let target = read_target(draft, &mut fields, r);
    let default = if kind == ContactKind::Work { When::WorkHours } else { When::Always };
    let hours = read_hours(&mut fields, default, r);
    fields.finish(r.faults);
    Some(Contact { kind, target: target?, hours })
}

/// Reads `hours = "work"`.
pub(super) fn read_hours(fields: &mut Fields<'_>, default: When, r: &mut Reading<'_>) -> When {
    fields
        .text("hours", r.faults)
        .and_then(|found| words::word(words::HOURS, found.value, found.at, "kind of hours", r.faults))
        .unwrap_or(default)
}

fn read_region(draft: &mut TenantDraft, table: &Table, r: &mut Reading<'_>) {
    let mut fields = Fields::new(table, "a region");
    let name = fields.need("name", r.faults);
    let code = fields.text("code", r.faults);
    let parent = fields.text("parent", r.faults);
    let work_station = fields.text("work_station", r.faults);
    fields.finish(r.faults);
    let Some(name) = name else { return };
    if let Some(found) = &parent {
        draft.references.push((Reference::Region(found.value.to_owned()), found.at));
    }
    if let Some(found) = &work_station {
        draft.references.push((Reference::Unit(found.value.to_owned()), found.at));
    }
    let code = code.unwrap_or_else(|| name.clone());
    if draft.tenant.regions.iter().any(|region| region.code == code.value) {
        r.faults
            .error("E0105", code.at, format!("region `{}` stands twice", code.value), "second time")
            .help("give each region a `code` of its own");
        return;
    }
    draft.tenant.regions.push(Region {
        code: code.value.to_owned(),
        name: name.value.to_owned(),
        parent: parent.map(|found| found.value.to_owned()),
        work_station: work_station.map(|found| found.value.to_owned()),
    });
}

fn read_utility(draft: &mut TenantDraft, table: &Table, r: &mut Reading<'_>) {
    let mut fields = Fields::new(table, "a utility");
    let name = fields.need("name", r.faults);
    let number = fields.need("number", r.faults);
    let region = fields.text("region", r.faults);
    let way = fields
        .text("way", r.faults)
        .and_then(|found| words::word(words::UTILITY_WAYS, found.value, found.at, "way to a utility", r.faults))
        .unwrap_or(UtilityWay::Announce);
    let trunk = fields.text("trunk", r.faults);
    let at = fields.at();
    fields.finish(r.faults);
    if let Some(found) = &region {
        draft.references.push((Reference::Region(found.value.to_owned()), found.at));
    }
    if let Some(found) = &trunk {
        draft.references.push((Reference::Trunk(TrunkName::new(found.value)), found.at));
    }
    if way == UtilityWay::Transfer && trunk.is_none() {
        r.faults
            .error("E0120", at, "a utility that is transferred to has no `trunk`", "this utility")
            .help("name the trunk, or set way = \"announce\" to have the number read out");
    }
    let (Some(name), Some(number)) = (name, number) else { return };
    draft.tenant.utilities.push(Utility {
        name: name.value.to_owned(),
        region: region.map(|found| found.value.to_owned()),
        way,
        number: number.value.to_owned(),
        trunk: trunk.map(|found| TrunkName::new(found.value)),
    });
}

fn read_work_hours(table: &Table, r: &mut Reading<'_>) -> WorkHours {
    let mut fields = Fields::new(table, "`work_hours`");
    let mut openings: Vec<Opening> = Vec::new();
    for found in fields.texts("openings", r.faults).unwrap_or_default() {
        let Some(opening) = parse_opening(found.value) else {
            r.faults
                .error("E0104", found.at, format!("`{}` is no opening", found.value), "cannot be read")
                .help("write it like \"09:00-12:00\"; the end of a day is 24:00");
            continue;
        };
        if openings.iter().any(|other| other.from < opening.until && opening.from < other.until) {
            r.faults.error("E0118", found.at, format!("opening `{}` overlaps another", found.value), "overlaps");
        }
        openings.push(opening);
    }
    fields.finish(r.faults);
    openings.sort_unstable();
    WorkHours { openings }
}

fn parse_opening(text: &str) -> Option<Opening> {
    let (from, until) = text.split_once('-')?;
    let clock = |text: &str| {
        let (hour, minute) = text.trim().split_once(':')?;
        if minute.len() != 2 {
            return None;
        }
        Time::new(hour.parse().ok()?, minute.parse().ok()?, 0, 0).ok()
    };
    let until = if until.trim() == "24:00" { Opening::END } else { clock(until)? };
    let from = clock(from)?;
    (from < until).then_some(Opening { from, until })
}

fn read_calendar(table: &Table, r: &mut Reading<'_>) -> Calendar {
    let mut fields = Fields::new(table, "`calendar`");
    let mut calendar = Calendar::default();
    for found in fields.texts("off", r.faults).unwrap_or_default() {
        match parse_days(found.value) {
            Some(days) => calendar.off.push(days),
            None => bad_day(&found, "a run of days", "write \"2026-01-01\" or \"2026-01-01/2026-01-03\"", r.faults),
        }
    }
    for found in fields.texts("work", r.faults).unwrap_or_default() {
        match found.value.parse::<Date>() {
            Ok(day) => calendar.work.push(day),
            Err(_) => bad_day(&found, "a day", "write it like \"2026-02-14\"", r.faults),
        }
    }
    if let Some(node) = fields.node("covers") {
        match &node.value {
            Value::Array(years) => {
                for year in years {
                    match year.value {
                        Value::Integer(number) if (2000..=2200).contains(&number) => {
                            calendar.covers.extend(i16::try_from(number).ok());
                        }
                        Value::Text(_)
                        | Value::Integer(_)
                        | Value::Float
                        | Value::Bool(_)
                        | Value::Moment(_)
                        | Value::Array(_)
                        | Value::Table(_) => wrong_type(year, "a year", r.faults),
                    }
                }
            }
            _ => wrong_type(node, "a list of years", r.faults),
        }
    }
    fields.finish(r.faults);
    calendar
}

fn parse_days(text: &str) -> Option<Days> {
    let (first, last) = text.split_once('/').unwrap_or((text, text));
    let days = Days { first: first.trim().parse().ok()?, last: last.trim().parse().ok()? };
    (days.first <= days.last).then_some(days)
}

fn bad_day(found: &Spot<&str>, what: &str, hint: &str, faults: &mut Faults) {
    faults.error("E0104", found.at, format!("`{}` is not {what}", found.value), "cannot be read").help(hint);
}

fn read_prompt(draft: &mut TenantDraft, entry: &Entry, r: &mut Reading<'_>) {
    let prompt = match &entry.node.value {
        Value::Text(text) => Prompt { text: text.clone(), own: true, file: None },
        Value::Table(table) => {
            let mut fields = Fields::new(table, "a prompt");
            let text = fields.need("text", r.faults);
            let file = fields.text("file", r.faults);
            fields.finish(r.faults);
            let Some(text) = text else { return };
            Prompt { text: text.value.to_owned(), own: true, file: file.map(|found| found.value.to_owned()) }
        }
        _ => {
            wrong_type(&entry.node, "a text, or a table with `text` and `file`", r.faults);
            return;
        }
    };
    crate::plan::prompts::check_text(&prompt.text, entry.node.at, r.faults);
    draft.prompt_at.insert(entry.key.clone(), entry.key_at);
    draft.tenant.prompts.insert(entry.key.clone(), prompt);
}
