//! Checks across files: whether what is named exists, and whether two places claim the same.
//!
//! Deliberately absent: advice on plans that work (`lint`).

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use crate::base::id::{QueueName, TrunkName};
use crate::plan::diagnose::{At, Faults, Sources, nearest};
use crate::plan::emergency::BASE;
use crate::plan::model::{Hotline, HotlineKey, Tenant};
use crate::plan::read_settings::SettingsDraft;
use crate::plan::read_tenant::{Reference, TenantDraft};
use crate::plan::trunk::SourceMatch;

/// Checks everything.
pub(super) fn check(settings: &SettingsDraft, drafts: &[TenantDraft], sources: &Sources, faults: &mut Faults) {
    trunk_places(settings, drafts, faults);
    trunk_sources(settings, faults);
    trunk_rules(settings, drafts, faults);
    listeners(settings, faults);
    demo_passwords(settings, faults);
    agent_queues(settings, drafts, faults);
    agent_classes(settings, drafts, faults);
    for draft in drafts {
        for (reference, at) in &draft.references {
            exists(reference, *at, draft, settings, faults);
        }
        emergencies(draft, faults);
        merge_loops(draft, faults);
        overflow_loops(draft, faults);
        main_entry(draft, sources, faults);
    }
}

fn missing(what: &str, name: &str, at: At, hint: Option<String>, faults: &mut Faults) {
    faults.error("E0109", at, format!("there is no {what} `{name}`"), "not defined").maybe_help(hint);
}

fn near<'n>(name: &str, known: impl IntoIterator<Item = &'n str> + Clone) -> Option<String> {
    match nearest(name, known.clone()) {
        Some(near) => Some(format!("did you mean `{near}`?")),
        None => {
            let names: Vec<_> = known.into_iter().take(12).collect();
            (!names.is_empty()).then(|| format!("known: {}", names.join(", ")))
        }
    }
}

fn trunk_places(settings: &SettingsDraft, drafts: &[TenantDraft], faults: &mut Faults) {
    for trunk in settings.settings.trunks.values() {
        if drafts.iter().any(|draft| draft.tenant.name == trunk.tenant) {
            continue;
        }
        let Some(at) = settings.trunk_at.get(&trunk.name) else { continue };
        let names: Vec<_> = drafts.iter().map(|draft| draft.tenant.name.as_str()).collect();
        let hint = near(trunk.tenant.as_str(), names.iter().copied());
        faults
            .error("E0109", *at, format!("trunk `{}` leads to no place `{}`", trunk.name, trunk.tenant), "this trunk")
            .maybe_help(hint);
    }
}

/// Two trunks may not claim the same source with the same precision.
fn trunk_sources(settings: &SettingsDraft, faults: &mut Faults) {
    let mut seen: BTreeMap<SourceMatch, (&TrunkName, At)> = BTreeMap::new();
    for (source, trunk, at) in &settings.from_at {
        match seen.get(&network(*source)) {
            Some((other, first)) => {
                faults
                    .error("E0113", *at, format!("trunk `{trunk}` and trunk `{other}` claim the same source"), "here")
                    .also(*first, "and here")
                    .help("a packet belongs to one trunk: the longest prefix wins, equal ones cannot be told apart");
            }
            None => drop(seen.insert(network(*source), (trunk, *at))),
        }
    }
}

/// A rule for called numbers may neither change an emergency number nor make one out of a hotline.
fn trunk_rules(settings: &SettingsDraft, drafts: &[TenantDraft], faults: &mut Faults) {
    for (name, way, rule, at) in &settings.rule_at {
        let Some(trunk) = settings.settings.trunks.get(name) else { continue };
        let place = drafts.iter().map(|draft| &draft.tenant).find(|place| place.name == trunk.tenant);
        let added = place.into_iter().flat_map(|place| place.emergency.keys().map(String::as_str));
        let lines: BTreeSet<&str> = BASE.iter().map(|(number, _)| *number).chain(added).collect();
        let changed = |number: &&str| rule.apply(number) != *number;
        if let Some(number) = lines.iter().copied().find(changed) {
            let message = format!("the {way} rule of trunk `{name}` would make {number} into {}", rule.apply(number));
            faults.error("E0141", *at, message, "an emergency number").help(
                "a rule may not fit them whole: `add_from_length = 7` leaves short codes alone, and no prefix of `strip` \
                 begins one",
            );
        }
        let hotlines = place.into_iter().flat_map(|place| place.hotlines.keys());
        let turned = |number: &&str| lines.contains(rule.apply(number).as_str()) && !lines.contains(*number);
        if let Some(number) = hotlines.map(|key| &*key.number).find(turned) {
            let message =
                format!("the {way} rule of trunk `{name}` would make hotline {number} into an emergency call");
            let line = rule.apply(number);
            faults.error("E0141", *at, message, &format!("{number} becomes {line}")).help("strip a longer prefix");
        }
    }
}

/// A network without the host bits somebody may have written.
fn network(source: SourceMatch) -> SourceMatch {
    match source {
        SourceMatch::Peer(_) => source,
        SourceMatch::Net(IpAddr::V4(ip), bits) => {
            let mask = u32::MAX.checked_shl(32 - u32::from(bits.min(32))).unwrap_or(0);
            SourceMatch::Net(Ipv4Addr::from_bits(ip.to_bits() & mask).into(), bits)
        }
        SourceMatch::Net(IpAddr::V6(ip), bits) => {
            let mask = u128::MAX.checked_shl(128 - u32::from(bits.min(128))).unwrap_or(0);
            SourceMatch::Net(Ipv6Addr::from_bits(ip.to_bits() & mask).into(), bits)
        }
    }
}

fn listeners(settings: &SettingsDraft, faults: &mut Faults) {
    let sip = &settings.settings.sip;
    for agent in sip.agent_listen.iter().filter(|listen| listen.addr.port() != 0) {
        if sip.trunk_listen.contains(agent) {
            let message =
                format!("{}:{} is both a trunk and an agent listener", agent.transport.param_name(), agent.addr);
            match settings.listen_at {
                Some(at) => faults.error("E0105", at, message, "these listeners"),
                None => faults.nowhere("E0105", message),
            }
            .help("carriers are known by address and agents by password: each side needs listeners of its own");
        }
    }
}

fn demo_passwords(settings: &SettingsDraft, faults: &mut Faults) {
    let sip = &settings.settings.sip;
    let open = sip.trunk_listen.iter().chain(&sip.agent_listen).find(|listen| !listen.addr.ip().is_loopback());
    let (Some(open), Some(first)) = (open, settings.demo_passwords.first()) else { return };
    let count = settings.demo_passwords.len();
    let message = format!("{count} agents have demo passwords while {} is open to others", open.addr);
    let fault = faults.error("E0114", *first, message, "the first of them");
    if let Some(at) = settings.listen_at {
        fault.also(at, "listening");
    }
    fault.help("give agents passwords of their own, or listen on loopback only");
}

fn agent_queues(settings: &SettingsDraft, drafts: &[TenantDraft], faults: &mut Faults) {
    for agent in settings.settings.agents.values() {
        if !drafts.iter().any(|draft| draft.tenant.name == agent.tenant)
            && let Some(at) = settings.agent_at.get(&agent.id)
        {
            let names: Vec<_> = drafts.iter().map(|draft| draft.tenant.name.as_str()).collect();
            let hint = near(agent.tenant.as_str(), names.iter().copied());
            let message = format!("agent `{}` belongs to no place `{}`", agent.id, agent.tenant);
            faults.error("E0109", *at, message, "this agent").maybe_help(hint);
        }
    }
    for (_, queue, at) in &settings.queue_refs {
        let Some(draft) = drafts.iter().find(|draft| draft.tenant.name == queue.tenant) else {
            continue;
        };
        if !draft.tenant.queues.contains_key(&queue.queue) {
            let names: Vec<_> = draft.tenant.queues.keys().map(QueueName::as_str).collect();
            missing("queue", queue.queue.as_str(), *at, near(queue.queue.as_str(), names.iter().copied()), faults);
        }
    }
}

fn agent_classes(settings: &SettingsDraft, drafts: &[TenantDraft], faults: &mut Faults) {
    for (tenant, class, at) in &settings.class_refs {
        let Some(draft) = drafts.iter().find(|draft| draft.tenant.name == *tenant) else { continue };
        class_exists(class, *at, &draft.tenant, faults);
    }
}

fn class_exists(name: &str, at: At, place: &Tenant, faults: &mut Faults) {
    if !place.classes.contains_key(name) {
        let known = place.classes.keys().map(String::as_str);
        missing("service class", name, at, near(name, known), faults);
    }
}

fn exists(reference: &Reference, at: At, draft: &TenantDraft, settings: &SettingsDraft, faults: &mut Faults) {
    let place = &draft.tenant;
    match reference {
        Reference::Queue(name) => {
            if !place.queues.contains_key(name) {
                let known: Vec<_> = place.queues.keys().map(QueueName::as_str).collect();
                missing("queue", name.as_str(), at, near(name.as_str(), known.iter().copied()), faults);
            }
        }
        Reference::Trunk(name) => trunk_exists(name, at, place, settings, faults),
        Reference::Outside(name) => {
            trunk_exists(name, at, place, settings, faults);
            if settings.settings.trunks.get(name).is_some_and(|trunk| trunk.to.is_empty()) {
                faults
                    .error("E0124", at, format!("trunk `{name}` takes no calls out"), "leads nowhere")
                    .help("give the trunk a `to`, or name another one");
            }
        }
        Reference::Class(name) => class_exists(name, at, place, faults),
        Reference::Unit(name) => {
            if !place.units.contains_key(name) {
                let known: Vec<_> = place.units.keys().map(String::as_str).collect();
                missing("unit", name, at, near(name, known.iter().copied()), faults);
            }
        }
        Reference::Prompt(name) => {
            if !place.prompts.contains_key(name) {
                let known: Vec<_> = place.prompts.keys().map(String::as_str).collect();
                missing("prompt", name, at, near(name, known.iter().copied()), faults);
            }
        }
        Reference::Region(code) => {
            let known: Vec<_> = place.regions.iter().map(|region| region.code.as_str()).collect();
            if !known.contains(&code.as_str()) {
                missing("region", code, at, near(code, known.iter().copied()), faults);
            }
        }
        Reference::Hotline(number) => {
            let known: Vec<_> = place.hotlines.keys().map(|key| &*key.number).collect();
            if !known.contains(&&**number) {
                missing("hotline", number, at, near(number, known.iter().copied()), faults);
            }
        }
    }
}

fn trunk_exists(name: &TrunkName, at: At, place: &Tenant, settings: &SettingsDraft, faults: &mut Faults) {
    let known: Vec<_> = settings.trunk_at.keys().map(TrunkName::as_str).collect();
    let Some(trunk_at) = settings.trunk_at.get(name) else {
        missing("trunk", name.as_str(), at, near(name.as_str(), known.iter().copied()), faults);
        return;
    };
    let Some(trunk) = settings.settings.trunks.get(name) else { return };
    if trunk.tenant != place.name {
        faults
            .error("E0131", at, format!("trunk `{name}` belongs to place `{}`", trunk.tenant), "used here")
            .also(*trunk_at, "defined here")
            .help("a trunk belongs to one place; give this place a trunk of its own");
    }
}

/// A number of the dialplan may not be an emergency line that the place adds.
fn emergencies(draft: &TenantDraft, faults: &mut Faults) {
    for (key, at) in &draft.hotline_at {
        let Some(line) = draft.emergency_at.get(&*key.number) else { continue };
        faults
            .error("E0111", *at, format!("{} is an emergency line of this place", key.number), "never reached")
            .also(*line, "decided before the dialplan")
            .help("take one of the two out");
    }
}

fn into<'t>(place: &'t Tenant, hotline: &Hotline) -> Option<&'t Arc<Hotline>> {
    let number = hotline.merged_into.as_ref()?;
    let key = |area| HotlineKey { area, number: Arc::clone(number) };
    place.hotlines.get(&key(hotline.area)).or_else(|| place.hotlines.get(&key(None)))
}

/// A number merged into another is served by that one's own queue: the other may not be merged on.
fn merge_loops(draft: &TenantDraft, faults: &mut Faults) {
    for (key, at) in &draft.hotline_at {
        let Some(hotline) = draft.tenant.hotlines.get(key) else { continue };
        let Some(target) = into(&draft.tenant, hotline) else { continue };
        if target.merged_into.is_none() {
            continue;
        }
        let message = format!("{} is merged into {}, which is itself merged on", key.number, target.number);
        let fault = faults.error("E0119", *at, message, "a chain or a loop");
        let target_key = HotlineKey { area: target.area, number: Arc::clone(&target.number) };
        if let Some(other) = draft.hotline_at.get(&target_key).filter(|other| *other != at) {
            fault.also(*other, "merged on here");
        }
        fault.help("name the hotline that really answers");
    }
}

fn overflow_loops(draft: &TenantDraft, faults: &mut Faults) {
    for (name, at) in &draft.queue_at {
        let mut seen = vec![name];
        let mut next = draft.tenant.queues.get(name).and_then(|queue| queue.overflow.as_ref());
        while let Some(overflow) = next {
            if overflow == name {
                faults
                    .error("E0119", *at, format!("queue `{name}` overflows into itself"), "a loop")
                    .help("the last queue of a chain has no `overflow`");
                break;
            }
            if seen.contains(&overflow) {
                break;
            }
            seen.push(overflow);
            next = draft.tenant.queues.get(overflow).and_then(|queue| queue.overflow.as_ref());
        }
    }
}

/// The main queue must exist, also when no file names it.
fn main_entry(draft: &TenantDraft, sources: &Sources, faults: &mut Faults) {
    let place = &draft.tenant;
    let named = draft.references.iter().any(|(name, _)| *name == Reference::Queue(place.main_queue.clone()));
    if !place.queues.contains_key(&place.main_queue) && !named {
        let file = sources.place(draft.name_at).file;
        faults
            .error("E0109", draft.name_at, format!("{file} has no queue `{}`", place.main_queue), "12345 waits there")
            .help("define it with [[queue]], or name another by `main_queue` in [tenant]");
    }
}
