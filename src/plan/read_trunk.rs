//! Reads a `[trunk.NAME]` table of `config/switch.toml`, collecting every fault.
//!
//! Deliberately absent: clashes between trunks (`check`).

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use super::read_settings::{SettingsDraft, read_area, transport_word};
use crate::base::flow::Transport;
use crate::base::id::{TenantName, TrunkName};
use crate::plan::diagnose::{At, Faults, Sources};
use crate::plan::source::{Fields, Table};
use crate::plan::trunk::{
    CallSource, IncomingFormat, OutgoingFormat, Reliable, SourceMatch, Trunk, TrunkHealth, TrunkTarget, TrunkTls,
};
use crate::plan::words;

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);

/// Reads one trunk into the draft.
pub(super) fn read_trunk(
    draft: &mut SettingsDraft,
    name: &str,
    key_at: At,
    table: &Table,
    sources: &Sources,
    faults: &mut Faults,
) {
    let mut fields = Fields::new(table, "a trunk");
    let tenant = fields.need("tenant", faults);
    let area = read_area(&mut fields, "area", faults);
    let name = TrunkName::new(name);
    let mut from = Vec::new();
    for found in fields.texts("from", faults).unwrap_or_default() {
        let Some(source) = parse_source(found.value) else {
            faults
                .error("E0104", found.at, format!("`{}` is no network or address", found.value), "cannot be read")
                .help("write a network like \"192.0.2.0/24\", an address, or \"192.0.2.1:5060\"");
            continue;
        };
        draft.from_at.push((source, name.clone(), found.at));
        from.push(source);
    }
    let mut to = Vec::new();
    for found in fields.texts("to", faults).unwrap_or_default() {
        match parse_target(found.value) {
            Some(target) => to.push(target),
            None => {
                faults
                    .error("E0104", found.at, format!("`{}` is no target of a trunk", found.value), "cannot be read")
                    .help("write it like \"sip:192.0.2.1:5060;transport=udp\"");
            }
        }
    }
    let max_calls = fields.integer("max_calls", 0_u32, 0..=100_000, faults);
    let max_cps = fields.integer("max_cps", 0_u32, 0..=10_000, faults);
    let trusted = fields.bool("trusted", true, faults);
    let answer_before_queue = fields.bool("answer_before_queue", true, faults);
    let early_media_max = fields.duration("early_media_max", MINUTE, SECOND..=10 * MINUTE, faults);
    let emergency = fields.bool("emergency", false, faults);
    let source = fields
        .text("source", faults)
        .and_then(|found| words::word(words::SOURCES, found.value, found.at, "call source", faults))
        .unwrap_or(CallSource::Public);
    let priority = fields.integer("priority", 0_u8, 0..=100, faults);
    fields.finish(faults);
    draft.trunk_at.insert(name.clone(), key_at);
    let Some(tenant) = tenant else { return };
    let trunk = Trunk {
        name: name.clone(),
        tenant: TenantName::new(tenant.value),
        area,
        from,
        to,
        max_calls,
        max_cps,
        trusted,
        answer_before_queue,
        early_media_max,
        emergency,
        source,
        priority,
        busy_out: false,
        health: TrunkHealth { interval: draft.settings.sip.options_interval, down_after: 2, up_after: 2 },
        register: None,
        credential: None,
        reliable: Reliable::default(),
        interface: None,
        advertise: None,
        tls: TrunkTls::default(),
        incoming: IncomingFormat::default(),
        outgoing: OutgoingFormat::default(),
        platform: false,
        declared: sources.place(key_at),
    };
    draft.settings.trunks.insert(name, Arc::new(trunk));
}

fn parse_source(text: &str) -> Option<SourceMatch> {
    if let Ok(peer) = text.parse() {
        return Some(SourceMatch::Peer(peer));
    }
    let (ip, bits) = text.split_once('/').map_or((text, None), |(ip, bits)| (ip, Some(bits)));
    let ip: IpAddr = ip.parse().ok()?;
    let most = if ip.is_ipv4() { 32 } else { 128 };
    let bits = bits.map_or(Some(most), |bits| bits.parse().ok().filter(|bits| *bits <= most))?;
    Some(SourceMatch::Net(ip, bits))
}

fn parse_target(text: &str) -> Option<TrunkTarget> {
    let (secure, rest) = match text.strip_prefix("sips:") {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix("sip:").unwrap_or(text)),
    };
    let mut parts = rest.split(';');
    let authority = parts.next()?;
    let mut transport = secure.then_some(Transport::Tls);
    for param in parts {
        let (name, value) = param.split_once('=')?;
        if !name.eq_ignore_ascii_case("transport") {
            return None;
        }
        transport = Some(transport_word(value)?);
    }
    let target = |host: &str, port| TrunkTarget { host: host.to_owned(), port, transport, order: 0, weight: 1 };
    if let Ok(addr) = authority.parse::<SocketAddr>() {
        return Some(target(&addr.ip().to_string(), Some(addr.port())));
    }
    let bracketed = authority.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    let (host, port) = match (bracketed, authority.rsplit_once(':')) {
        (Some(ip), _) => (ip, None),
        (None, Some((host, port))) => (host, Some(port.parse::<u16>().ok()?)),
        (None, None) => (authority, None),
    };
    let fine = !host.is_empty()
        && port != Some(0)
        && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b':'));
    fine.then(|| target(host, port))
}
