//! From texts to a plan, or to every fault in them: the one way a plan comes into being.
//!
//! Order: the configuration, what the command line sets over it, the dialplan files with their trunks, the agents,
//! the places, checks across files, lints, test rows. Deliberately absent: the disk; a [`Files`] is handed in.

use std::collections::BTreeSet;
use std::sync::Arc;

use jiff::Timestamp;
use sha2::{Digest as _, Sha256};

use crate::base::hotline::MergeMode;
use crate::base::id::{ConfigHash, TenantName};
use crate::base::secret::Secret;
use crate::plan::check;
use crate::plan::diagnose::{At, Diagnostic, Faults, Sources};
use crate::plan::emergency;
use crate::plan::lint;
use crate::plan::model::{EmergencyLine, Hotline, HotlineKey, HotlineStatus, Plan, Prompt, Tenant};
use crate::plan::prompts::WORDING;
use crate::plan::read_settings::{SettingsDraft, read_agents, read_settings};
use crate::plan::read_tenant::{Reading, TenantDraft, default_queue, read_tenant};
use crate::plan::rows::{self, Tally};
use crate::plan::service::ServiceClass;
use crate::plan::source::{Entry, Node, Table, Value, parse, parse_moment};
use crate::plan::step::DialTarget;

/// Where texts come from: the disk, or a test's memory.
pub trait Files {
    /// Reads one file.
    ///
    /// # Errors
    /// Why it cannot be read, in words.
    fn read(&self, path: &str) -> Result<String, String>;

    /// The `.toml` files of a directory, sorted by name, as paths that [`Files::read`] takes.
    ///
    /// # Errors
    /// Why it cannot be listed, in words.
    fn list(&self, directory: &str) -> Result<Vec<String>, String>;
}

/// What to load.
#[derive(Clone, Copy, Debug)]
pub struct Request<'r> {
    /// The configuration file.
    pub config: &'r str,
    /// `key.path=VALUE` settings of the command line, in order.
    pub set: &'r [String],
    /// Overlays loaded beside those of the configuration, by file stem: `demo`.
    pub overlays: &'r [String],
    /// The moment dated lints are as of.
    pub wall: Timestamp,
}

/// What came of it.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The plan; `None` when there is any error.
    pub plan: Option<Arc<Plan>>,
    /// The texts, for showing faults.
    pub sources: Sources,
    /// Every fault, by place.
    pub diagnostics: Vec<Diagnostic>,
    /// The outcome of the test rows.
    pub tests: Tally,
    /// Overlays found in the directory, loaded or not.
    pub overlays: Vec<String>,
}

/// One dialplan file.
struct PlanFile {
    overlay: bool,
    table: Table,
}

/// Loads everything.
#[must_use]
pub fn load(files: &dyn Files, request: &Request<'_>) -> Loaded {
    let mut sources = Sources::default();
    let mut faults = Faults::default();
    let wording = parse(&mut sources, "built-in wording", WORDING, &mut faults);
    if let Err(why) = files.read(request.config) {
        // Without a configuration every trunk and agent the places name would be missing: one fault says it all.
        faults
            .nowhere("E0122", format!("cannot read `{}`: {why}", request.config))
            .help("`--config FILE` names the configuration, config/switch.toml of the working directory when left out");
        let (tests, overlays) = (Tally::default(), Vec::new());
        return Loaded { plan: None, sources, diagnostics: faults.into_sorted(), tests, overlays };
    }
    let mut config = read_file(files, request.config, &mut sources, &mut faults);
    let set = command_line(request.set, &mut sources, &mut faults);
    let directory = peek(&set, "dialplans").or_else(|| peek(&config, "dialplans")).unwrap_or("dialplans").to_owned();
    let mut wanted: Vec<String> = request.overlays.to_vec();
    wanted.extend(peek_list(&config, "overlays"));
    wanted.extend(peek_list(&set, "overlays"));
    let (mut plan_files, overlays) = read_plans(files, &directory, &wanted, &mut sources, &mut faults);
    for file in &mut plan_files {
        take_trunks(file, &mut config, &mut faults);
    }
    config.lay_over(set);
    let mut settings = read_settings(&config, &sources, &mut faults);
    load_agents(files, request.config, &mut settings, &mut sources, &mut faults);
    load_passwords(files, &mut settings, &mut faults);
    let mut drafts = read_tenants(&plan_files, &sources, &mut faults);
    for draft in &mut drafts {
        complete(draft, &settings, &wording);
    }
    check::check(&settings, &drafts, &sources, &mut faults);
    lint::lint(&settings, &drafts, request.wall, &mut faults);
    let hash = hash(&sources);
    let mut tests = Tally::default();
    let mut plan = None;
    if !faults.any_error() {
        let tenants = drafts.iter().map(|draft| (draft.tenant.name.clone(), Arc::new(draft.tenant.clone())));
        let made = Plan { hash, tenants: tenants.collect(), settings: Arc::new(settings.settings) };
        let overlaid: BTreeSet<Arc<str>> = drafts.iter().flat_map(|draft| draft.overlay_files.clone()).collect();
        for draft in &drafts {
            rows::run(&made, draft, &overlaid, &sources, request.wall, &mut tests, &mut faults);
        }
        plan = (!faults.any_error()).then(|| Arc::new(made));
    }
    Loaded { plan, sources, diagnostics: faults.into_sorted(), tests, overlays }
}

/// Reads a moment as files and `--at` write it; local forms are China's time.
#[must_use]
pub fn moment(text: &str) -> Option<Timestamp> {
    parse_moment(text, false)
}

fn read_file(files: &dyn Files, path: &str, sources: &mut Sources, faults: &mut Faults) -> Table {
    match files.read(path) {
        Ok(text) => parse(sources, path, &text, faults),
        Err(why) => {
            faults.nowhere("E0122", format!("cannot read `{path}`: {why}"));
            parse(sources, path, "", faults)
        }
    }
}

/// What `--set` says, as one tree over the configuration.
fn command_line(set: &[String], sources: &mut Sources, faults: &mut Faults) -> Table {
    let mut all = parse(sources, "command line", "", faults);
    for text in set {
        let mut own = Faults::default();
        let table = parse(sources, "command line", text, &mut own);
        let wrong = own.any_error() || table.entries.len() != 1;
        if wrong {
            let file = table.at.file;
            let at = At { file, start: 0, end: u32::try_from(text.len()).unwrap_or(u32::MAX) };
            faults
                .error("E0128", at, format!("`--set {text}` cannot be read"), "not `key.path=VALUE`")
                .help("the value is TOML: quote strings, as in --set 'data_dir=\"/srv/data\"'");
            continue;
        }
        all.lay_over(table);
    }
    all
}

/// Whether a text can follow `--set`: one `key.path=VALUE` with a value of TOML.
///
/// # Errors
/// How it is written.
pub fn setting(text: &str) -> Result<String, String> {
    let (mut sources, mut faults) = (Sources::default(), Faults::default());
    let table = parse(&mut sources, "command line", text, &mut faults);
    if faults.any_error() || table.entries.len() != 1 {
        return Err(
            "write key.path=VALUE, the value as TOML: strings quoted, as in 'data_dir=\"/srv/data\"'".to_owned()
        );
    }
    Ok(text.to_owned())
}

fn peek<'t>(table: &'t Table, key: &str) -> Option<&'t str> {
    match &table.get(key)?.node.value {
        Value::Text(text) => Some(text),
        _ => None,
    }
}

fn peek_list(table: &Table, key: &str) -> Vec<String> {
    let Some(Entry { node: Node { value: Value::Array(nodes), .. }, .. }) = table.get(key) else { return Vec::new() };
    nodes
        .iter()
        .filter_map(|node| match &node.value {
            Value::Text(text) => Some(text.clone()),
            _ => None,
        })
        .collect()
}

fn read_plans(
    files: &dyn Files,
    directory: &str,
    wanted: &[String],
    sources: &mut Sources,
    faults: &mut Faults,
) -> (Vec<PlanFile>, Vec<String>) {
    let mut found = Vec::new();
    let mut overlays = Vec::new();
    let paths = files.list(directory).unwrap_or_else(|why| {
        faults.nowhere("E0122", format!("cannot list the dialplans in `{directory}`: {why}"));
        Vec::new()
    });
    if paths.is_empty() && !faults.any_error() {
        faults
            .nowhere("E0122", format!("no dialplan in `{directory}`"))
            .help("each place has a file there, `<place>.toml`");
    }
    for path in paths {
        let stem = path.rsplit(['/', '\\']).next().unwrap_or(&path).trim_end_matches(".toml").to_owned();
        let (known, mut own) = (sources.clone(), Faults::default());
        let table = read_file(files, &path, sources, &mut own);
        let overlay = matches!(
            table.get("tenant"),
            Some(Entry { node: Node { value: Value::Table(head), .. }, .. }) if head.get("extends").is_some()
        );
        if overlay {
            overlays.push(stem.clone());
            if !wanted.contains(&stem) {
                *sources = known;
                continue;
            }
        }
        faults.extend(own);
        found.push(PlanFile { overlay, table });
    }
    for missing in wanted.iter().filter(|wanted| !overlays.contains(wanted)) {
        faults
            .nowhere("E0109", format!("no overlay `{missing}` in `{directory}`"))
            .help("an overlay is a dialplan file with `extends = \"<place>\"` in its [tenant]");
    }
    found.sort_by_key(|file| file.overlay);
    (found, overlays)
}

/// Moves a dialplan's trunks into the configuration; each belongs to its file's place.
fn take_trunks(file: &mut PlanFile, config: &mut Table, faults: &mut Faults) {
    let place = match file.table.get("tenant").map(|entry| &entry.node.value) {
        Some(Value::Table(head)) => {
            ["extends", "name"].iter().find_map(|key| head.get(key)).map(|entry| entry.node.clone())
        }
        _ => None,
    };
    let Some(Entry { key, key_at, node: Node { at, value: Value::Table(mut trunks) } }) = file.table.take("trunk")
    else {
        return;
    };
    for entry in &mut trunks.entries {
        if let (Value::Table(trunk), Some(place)) = (&mut entry.node.value, &place)
            && trunk.get("tenant").is_none()
        {
            let key_at = entry.key_at;
            trunk.entries.push(Entry { key: "tenant".to_owned(), key_at, node: place.clone() });
        }
        let Some(Value::Table(known)) = config.get("trunk").map(|entry| &entry.node.value) else { continue };
        if let Some(first) = known.get(&entry.key).filter(|_| !file.overlay) {
            faults
                .error("E0105", entry.key_at, format!("trunk `{}` stands twice", entry.key), "second time")
                .also(first.key_at, "first here")
                .help("keep it in one file");
        }
    }
    let over = Table { at, entries: vec![Entry { key, key_at, node: Node { at, value: Value::Table(trunks) } }] };
    config.lay_over(over);
}

fn load_agents(
    files: &dyn Files,
    config: &str,
    settings: &mut SettingsDraft,
    sources: &mut Sources,
    faults: &mut Faults,
) {
    let beside = || {
        let directory = config.rfind(['/', '\\']).and_then(|at| config.get(..=at)).unwrap_or_default();
        format!("{directory}agents.toml")
    };
    let (path, explicit) = match settings.agents_file.clone() {
        Some(path) => (path, true),
        None => (beside(), false),
    };
    match files.read(&path) {
        Ok(text) => {
            let table = parse(sources, &path, &text, faults);
            read_agents(settings, &table, sources, faults);
        }
        Err(why) if explicit => drop(faults.nowhere("E0122", format!("cannot read `{path}`: {why}"))),
        Err(_) => {}
    }
}

/// Reads the trunks' password files: the first line of each.
fn load_passwords(files: &dyn Files, settings: &mut SettingsDraft, faults: &mut Faults) {
    for (name, path, at) in std::mem::take(&mut settings.password_files) {
        let text = match files.read(&path) {
            Ok(text) => text,
            Err(why) => {
                faults.error("E0122", at, format!("cannot read `{path}`: {why}"), "the trunk's password");
                continue;
            }
        };
        let line = text.lines().next().unwrap_or_default().trim();
        if line.is_empty() {
            faults
                .error("E0122", at, format!("`{path}` holds no password"), "its first line is empty")
                .help("write the password alone on the first line");
            continue;
        }
        if let Some(credential) =
            settings.settings.trunks.get_mut(&name).and_then(|trunk| Arc::make_mut(trunk).credential.as_mut())
        {
            Arc::make_mut(credential).password = Secret::new(line);
        }
    }
}

fn read_tenants(plan_files: &[PlanFile], sources: &Sources, faults: &mut Faults) -> Vec<TenantDraft> {
    let mut drafts: Vec<TenantDraft> = Vec::new();
    for file in plan_files {
        let area = |name: &TenantName| {
            drafts.iter().find(|draft| draft.tenant.name == *name).and_then(|draft| draft.tenant.area)
        };
        let Some(draft) = read_tenant(&file.table, area, &mut Reading { sources, faults: &mut *faults }) else {
            continue;
        };
        let base = drafts.iter_mut().find(|base| base.tenant.name == draft.tenant.name);
        match (base, draft.extends) {
            (Some(base), true) => {
                base.overlay_files.insert(sources.place(draft.name_at).file);
                overlay(base, draft);
            }
            (Some(base), false) => {
                faults
                    .error("E0121", draft.name_at, format!("place `{}` has two files", draft.tenant.name), "second")
                    .also(base.name_at, "first")
                    .help("a file that adds to a place says `extends` instead of `name`");
            }
            (None, true) => {
                faults
                    .error("E0109", draft.name_at, format!("there is no place `{}`", draft.tenant.name), "to extend")
                    .help("`extends` names the `name` of another file's [tenant]");
            }
            (None, false) => drafts.push(draft),
        }
    }
    drafts
}

/// Lays an overlay's entries over its place's.
fn overlay(base: &mut TenantDraft, over: TenantDraft) {
    let (mine, theirs) = (&mut base.tenant, over.tenant);
    mine.hotlines.extend(theirs.hotlines);
    mine.queues.extend(theirs.queues);
    mine.units.extend(theirs.units);
    mine.emergency.extend(theirs.emergency);
    mine.prompts.extend(theirs.prompts);
    mine.utilities.extend(theirs.utilities);
    mine.regions.extend(theirs.regions);
    mine.classes.extend(theirs.classes);
    base.seats_missing.retain(|(key, _)| !over.hotline_at.contains_key(key));
    base.seats_missing.extend(over.seats_missing);
    base.references.extend(over.references);
    base.tests.extend(over.tests);
    base.hotline_at.extend(over.hotline_at);
    base.emergency_at.extend(over.emergency_at);
    base.queue_at.extend(over.queue_at);
    base.prompt_at.extend(over.prompt_at);
}

/// Adds what every place has: the default texts, its main queue, 12345, the four emergency lines.
fn complete(draft: &mut TenantDraft, settings: &SettingsDraft, wording: &Table) {
    let place = &mut draft.tenant;
    for entry in &wording.entries {
        if let Value::Text(text) = &entry.node.value {
            let default = || Prompt { text: text.clone(), own: false, file: None };
            place.prompts.entry(entry.key.clone()).or_insert_with(default);
        }
    }
    for class in ServiceClass::of_every_place(place.area) {
        place.classes.entry(class.name.to_string()).or_insert_with(|| Arc::new(class));
    }
    if place.queues.is_empty() {
        let queue = default_queue(&place.name, &place.main_queue);
        place.queues.insert(place.main_queue.clone(), Arc::new(queue));
    }
    let main = HotlineKey { area: place.area, number: Arc::from("12345") };
    if !place.hotlines.contains_key(&main) {
        let entry = Arc::new(main_hotline(place));
        place.hotlines.insert(main, entry);
    }
    for (number, name) in emergency::BASE {
        if !place.emergency.contains_key(number) {
            let routes = default_routes(place, settings, number);
            let ring = std::time::Duration::from_secs(30);
            let line = EmergencyLine { number: number.to_owned(), name: name.to_owned(), routes, ring };
            place.emergency.insert(number.to_owned(), Arc::new(line));
        }
    }
}

fn main_hotline(place: &Tenant) -> Hotline {
    Hotline {
        tenant: place.name.clone(),
        area: place.area,
        number: Arc::from("12345"),
        name: place.line_name.clone(),
        spoken_name: place.line_name.clone(),
        unit: None,
        mode: None::<MergeMode>,
        seats: None,
        skill: None,
        skill_level: 1,
        queue: place.main_queue.clone(),
        priority: 0,
        status: HotlineStatus::Open,
        services: Vec::new(),
        topic: String::new(),
        greeting: None,
        transition: None,
        cutoff: None,
        merged_into: None,
        seat_route: None,
        steps: Vec::new(),
        declared: crate::plan::model::Declared::default(),
    }
}

/// The routes of a base emergency line the place has not written: each of its trunks that takes calls, dedicated
/// emergency trunks first, plain and then with the area.
fn default_routes(place: &Tenant, settings: &SettingsDraft, number: &str) -> Vec<DialTarget> {
    let mut trunks: Vec<_> = settings
        .settings
        .trunks
        .values()
        .filter(|trunk| trunk.tenant == place.name && !trunk.to.is_empty() && !trunk.from.is_empty())
        .collect();
    trunks.sort_by_key(|trunk| !trunk.emergency);
    let plain = trunks.iter().map(|trunk| DialTarget { trunk: trunk.name.clone(), number: number.to_owned() });
    let with_area = trunks.iter().filter_map(|trunk| {
        let area = trunk.area.or(place.area)?;
        Some(DialTarget { trunk: trunk.name.clone(), number: format!("{area}{number}") })
    });
    plain.chain(with_area).collect()
}

/// The hash of all texts, in order.
fn hash(sources: &Sources) -> ConfigHash {
    let mut hasher = Sha256::new();
    for file in sources.files() {
        hasher.update(file.name.as_bytes());
        hasher.update([0]);
        hasher.update(file.text.as_bytes());
        hasher.update([0]);
    }
    let digest = hasher.finalize();
    ConfigHash(digest.iter().take(8).fold(0, |hash, byte| hash << 8 | u64::from(*byte)))
}
