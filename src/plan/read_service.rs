//! Reads `[[service_class]]` of a place's file, and what goes with it in `[tenant]`.
//!
//! Deliberately absent: judging by a class (`service`), whether a class named elsewhere exists (`check`).

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::base::id::TrunkName;
use crate::base::number::DIGITS_MAX;
use crate::plan::diagnose::{At, Faults};
use crate::plan::emergency;
use crate::plan::read_tenant::{Reading, Reference, TenantDraft};
use crate::plan::service::{DEFAULT_CLASS, ServiceClass};
use crate::plan::source::{Fields, Table};

/// `outside` and `service_class` of `[tenant]`.
pub(super) struct Head {
    pub(super) outside: Vec<TrunkName>,
    pub(super) class: Arc<str>,
    pub(super) references: Vec<(Reference, At)>,
}

/// Reads the trunks to the public network and the class of agents who name none.
pub(super) fn read_head(fields: &mut Fields<'_>, faults: &mut Faults) -> Head {
    let mut head = Head { outside: Vec::new(), class: Arc::from(DEFAULT_CLASS), references: Vec::new() };
    for found in fields.texts("outside", faults).unwrap_or_default() {
        let name = TrunkName::new(found.value);
        head.references.push((Reference::Outside(name.clone()), found.at));
        if head.outside.contains(&name) {
            faults
                .error("E0105", found.at, format!("trunk `{name}` stands twice"), "second time")
                .help("`outside` names the trunks to the public network in order of trial, each once");
            continue;
        }
        head.outside.push(name);
    }
    if let Some(found) = fields.text("service_class", faults) {
        head.class = Arc::from(found.value);
        head.references.push((Reference::Class(Arc::clone(&head.class)), found.at));
    }
    head
}

/// Reads one `[[service_class]]`.
pub(super) fn read_class(draft: &mut TenantDraft, table: &Table, r: &mut Reading<'_>) {
    let mut fields = Fields::new(table, "a service class");
    let name = fields.need("name", r.faults);
    let mut seen: BTreeMap<String, (bool, At)> = BTreeMap::new();
    read_prefixes(&mut fields, "prefixes", true, &mut seen, r.faults);
    read_prefixes(&mut fields, "deny", false, &mut seen, r.faults);
    fields.finish(r.faults);
    let Some(name) = name else { return };
    if let Some(first) = draft.class_at.insert(name.value.to_owned(), name.at) {
        r.faults
            .error("E0105", name.at, format!("service class `{}` stands twice", name.value), "second time")
            .also(first, "first here");
        return;
    }
    let class = ServiceClass {
        name: Arc::from(name.value),
        prefixes: seen.into_iter().map(|(prefix, (allowed, _))| (prefix, allowed)).collect(),
        declared: r.sources.place(name.at),
    };
    draft.tenant.classes.insert(name.value.to_owned(), Arc::new(class));
}

fn read_prefixes(
    fields: &mut Fields<'_>,
    key: &'static str,
    allowed: bool,
    seen: &mut BTreeMap<String, (bool, At)>,
    faults: &mut Faults,
) {
    for found in fields.texts(key, faults).unwrap_or_default() {
        let prefix = found.value;
        let digits = prefix.strip_prefix('+').unwrap_or(prefix);
        let readable = !prefix.is_empty()
            && prefix.len() <= DIGITS_MAX
            && !prefix.starts_with("00")
            && digits.bytes().all(|byte| byte.is_ascii_digit());
        if !readable {
            faults
                .error("E0104", found.at, format!("`{prefix}` is no prefix of a number"), "cannot be read")
                .help("digits of the normal form: \"0476\", \"138\", \"95\"; \"+\" for numbers abroad");
            continue;
        }
        if let Some(name) = emergency::base_name(prefix).filter(|_| !allowed) {
            faults
                .error("E0111", found.at, format!("{prefix} is an emergency number"), "cannot be denied")
                .help(format!("{name} is decided before any class; take it out"));
        }
        if let Some((before, first)) = seen.insert(prefix.to_owned(), (allowed, found.at)) {
            let message = if before == allowed {
                format!("prefix `{prefix}` stands twice")
            } else {
                format!("prefix `{prefix}` is both allowed and denied")
            };
            faults.error("E0105", found.at, message, "second time").also(first, "first here");
        }
    }
}
