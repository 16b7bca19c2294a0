//! Reads a `[trunk.NAME]` table of `config/switch.toml`, collecting every fault.
//!
//! The form of its messages (`[trunk.NAME.incoming]`, `[trunk.NAME.outgoing]`) is `read_format`'s. Deliberately absent:
//! clashes between trunks and with the places' emergency lines (`check`), the files a path names (`load`).

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use super::read_format::{is_host, read_incoming, read_outgoing};
use super::read_settings::{SettingsDraft, read_area, read_ip, read_secret, transport_word};
use crate::base::flow::Transport;
use crate::base::id::{TenantName, TrunkName};
use crate::base::secret::Secret;
use crate::plan::diagnose::{At, Faults, Sources};
use crate::plan::settings::SecretSource;
use crate::plan::source::{Fields, Node, Spot, Table, Value, text_of, wrong_type};
use crate::plan::trunk::{
    CallSource, Reliable, SourceMatch, Trunk, TrunkCredential, TrunkHealth, TrunkRegistration, TrunkTarget, TrunkTls,
};
use crate::plan::words;

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const DAY: Duration = Duration::from_secs(86_400);

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
    let name = TrunkName::new(name);
    let register = fields.table("register", faults).and_then(|table| read_registration(table, faults));
    let mut to = read_targets(&mut fields, faults);
    if let (true, Some(register)) = (to.is_empty(), &register) {
        to.push(register.proxy.clone());
    }
    let early_media_max = fields.duration("early_media_max", MINUTE, SECOND..=10 * MINUTE, faults);
    let trunk = Trunk {
        name: name.clone(),
        tenant: TenantName::new(tenant.as_ref().map_or("", |tenant| tenant.value)),
        area: read_area(&mut fields, "area", faults),
        from: read_sources(draft, &name, &mut fields, faults),
        to,
        max_calls: fields.integer("max_calls", 0_u32, 0..=100_000, faults),
        max_cps: fields.integer("max_cps", 0_u32, 0..=10_000, faults),
        trusted: fields.bool("trusted", true, faults),
        answer_before_queue: fields.bool("answer_before_queue", true, faults),
        early_media_max,
        emergency: fields.bool("emergency", false, faults),
        source: fields
            .text("source", faults)
            .and_then(|found| words::word(words::SOURCES, found.value, found.at, "call source", faults))
            .unwrap_or(CallSource::Public),
        priority: fields.integer("priority", 0_u8, 0..=100, faults),
        busy_out: fields.bool("busy_out", false, faults),
        health: TrunkHealth {
            interval: fields.duration(
                "options_interval",
                draft.settings.sip.options_interval,
                Duration::ZERO..=DAY,
                faults,
            ),
            down_after: fields.integer("down_after", 2_u8, 1..=20, faults),
            up_after: fields.integer("up_after", 2_u8, 1..=20, faults),
        },
        credential: read_credential(draft, &name, &mut fields, faults),
        register: register.map(Arc::new),
        reliable: fields
            .text("reliable", faults)
            .and_then(|found| words::word(words::RELIABLE, found.value, found.at, "way of 100rel", faults))
            .unwrap_or(Reliable::Offered),
        interface: read_interface(draft, &mut fields, faults),
        advertise: fields.text("advertise", faults).and_then(|found| read_ip(&found, faults)),
        tls: fields.table("tls", faults).map(|table| read_tls(table, faults)).unwrap_or_default(),
        incoming: read_incoming(draft, &name, fields.table("incoming", faults), faults),
        outgoing: read_outgoing(draft, &name, fields.table("outgoing", faults), faults),
        platform: fields.bool("platform", false, faults),
        declared: sources.place(key_at),
    };
    fields.finish(faults);
    if ["from", "to", "register"].iter().all(|way| table.get(way).is_none()) {
        faults
            .warning("W0231", key_at, format!("trunk `{name}` has neither `from` nor `to`"), "carries no call")
            .help("`from` says who may call in over it, `to` where calls go out");
    }
    draft.trunk_at.insert(name.clone(), key_at);
    if tenant.is_some() {
        draft.settings.trunks.insert(name, Arc::new(trunk));
    }
}

fn read_sources(
    draft: &mut SettingsDraft,
    name: &TrunkName,
    fields: &mut Fields<'_>,
    faults: &mut Faults,
) -> Vec<SourceMatch> {
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
    from
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

/// Reads `to`: texts and tables `{ uri, order, weight }`, one or a list.
///
/// A target that says neither order nor weight is tried in its turn; one with only a weight shares with the first.
fn read_targets(fields: &mut Fields<'_>, faults: &mut Faults) -> Vec<TrunkTarget> {
    let nodes = match fields.node("to") {
        None => return Vec::new(),
        Some(Node { value: Value::Array(nodes), .. }) => nodes.as_slice(),
        Some(one) => std::slice::from_ref(one),
    };
    let mut known: Vec<(TrunkTarget, At)> = Vec::new();
    for (nth, node) in nodes.iter().enumerate() {
        let turn = u16::try_from(nth).unwrap_or(u16::MAX);
        let target = match &node.value {
            Value::Text(_) => text_of(node, faults)
                .and_then(|found| read_target(&found, faults))
                .map(|target| TrunkTarget { order: turn, ..target }),
            Value::Table(table) => read_target_table(table, turn, faults),
            Value::Integer(_) | Value::Float | Value::Bool(_) | Value::Moment(_) | Value::Array(_) => {
                wrong_type(node, "a target: a string or { uri = \"sip:…\", order = 1, weight = 1 }", faults);
                None
            }
        };
        let Some(target) = target else { continue };
        let same = |other: &TrunkTarget| {
            (&other.host, other.port, other.transport) == (&target.host, target.port, target.transport)
        };
        match known.iter().find(|(other, _)| same(other)) {
            Some((_, first)) => {
                let message = format!("target `{}` stands twice", target.host);
                faults.error("E0105", node.at, message, "second time").also(*first, "first here");
            }
            None => known.push((target, node.at)),
        }
    }
    known.into_iter().map(|(target, _)| target).collect()
}

fn read_target_table(table: &Table, turn: u16, faults: &mut Faults) -> Option<TrunkTarget> {
    let mut fields = Fields::new(table, "a target");
    let uri = fields.need("uri", faults);
    let weighted = table.get("weight").is_some();
    let order = fields.integer("order", if weighted { 0 } else { turn }, 0..=65_535, faults);
    let weight = fields.integer("weight", 1_u16, 0..=65_535, faults);
    fields.finish(faults);
    let target = read_target(&uri?, faults)?;
    Some(TrunkTarget { order, weight, ..target })
}

fn read_target(found: &Spot<&str>, faults: &mut Faults) -> Option<TrunkTarget> {
    let target = parse_target(found.value);
    if target.is_none() {
        faults.error("E0104", found.at, format!("`{}` is no target of a trunk", found.value), "cannot be read").help(
            "write host, port and transport like \"sip:192.0.2.1:5060;transport=udp\", \"sip:ims.example\" (DNS \
                 decides) or \"sips:sbc.example\"; numbers are put in front by each call",
        );
    }
    target
}

fn parse_target(text: &str) -> Option<TrunkTarget> {
    let (secure, rest) = match text.strip_prefix("sips:") {
        Some(rest) => (true, rest),
        None if text.starts_with("tel:") => return None,
        None => (false, text.strip_prefix("sip:").unwrap_or(text)),
    };
    let mut parts = rest.split(';');
    let authority = parts.next()?;
    let mut transport = secure.then_some(Transport::Tls);
    for param in parts {
        if param.eq_ignore_ascii_case("lr") {
            continue;
        }
        let (name, value) = param.split_once('=')?;
        if !name.eq_ignore_ascii_case("transport") {
            return None;
        }
        transport = Some(transport_word(value)?);
    }
    let target = |host: &str, port| TrunkTarget { host: host.to_owned(), port, transport, order: 0, weight: 1 };
    if let Ok(addr) = authority.parse::<SocketAddr>() {
        return (addr.port() != 0).then(|| target(&addr.ip().to_string(), Some(addr.port())));
    }
    let bracketed = authority.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    let (host, port) = match (bracketed, authority.rsplit_once(':')) {
        (Some(ip), _) => return ip.parse::<std::net::Ipv6Addr>().ok().map(|ip| target(&ip.to_string(), None)),
        (None, Some((host, port))) => (host, Some(port.parse::<u16>().ok()?)),
        (None, None) => (authority, None),
    };
    (is_host(host) && port != Some(0)).then(|| target(host, port))
}

fn read_interface(draft: &mut SettingsDraft, fields: &mut Fields<'_>, faults: &mut Faults) -> Option<SocketAddr> {
    let found = fields.text("interface", faults)?;
    let addr = found.value.split_once(':').and_then(|(word, rest)| transport_word(word).map(|_| rest));
    let addr: Option<SocketAddr> = addr.unwrap_or(found.value).parse().ok();
    match addr {
        None => {
            faults
                .error("E0104", found.at, format!("`{}` is no address and port", found.value), "cannot be read")
                .help("name one of `sip.trunk_listen`, like \"192.0.2.10:5060\"");
        }
        Some(addr) if !draft.settings.sip.trunk_listen.iter().any(|listen| listen.addr == addr) => {
            let listen = draft.settings.sip.trunk_listen.iter().map(|listen| listen.addr);
            let known: Vec<_> = listen.collect::<BTreeSet<_>>().iter().map(SocketAddr::to_string).collect();
            faults
                .error("E0109", found.at, format!("no trunk listener is open at {addr}"), "not in sip.trunk_listen")
                .help(format!("known: {}", known.join(", ")));
        }
        Some(_) => {}
    }
    addr
}

fn read_registration(table: &Table, faults: &mut Faults) -> Option<TrunkRegistration> {
    let mut fields = Fields::new(table, "`register`");
    let domain = fields.need("domain", faults).and_then(|found| host_text(&found, faults));
    let user = fields.need("user", faults).and_then(|found| user_text(&found, faults));
    let proxy = match fields.text("proxy", faults) {
        Some(found) => read_target(&found, faults),
        // Without a proxy REGISTER goes to the domain itself (RFC 3261 §10.2).
        None => domain.as_deref().and_then(parse_target),
    };
    let expires = fields.duration("expires", 60 * MINUTE, MINUTE..=DAY, faults);
    fields.finish(faults);
    Some(TrunkRegistration { proxy: proxy?, domain: domain?, user: user?, expires })
}

pub(super) fn host_text(found: &Spot<&str>, faults: &mut Faults) -> Option<String> {
    if is_host(found.value) {
        return Some(found.value.to_owned());
    }
    faults.error("E0104", found.at, format!("`{}` is no host name or address", found.value), "cannot be read").help(
        "write a name or an address alone, like \"ims.nm.example\" or \"192.0.2.1\"; an IPv6 address in brackets",
    );
    None
}

fn user_text(found: &Spot<&str>, faults: &mut Faults) -> Option<String> {
    let fine = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.!~*'()&=+$,;?/%".contains(&byte);
    if found.value.bytes().all(fine) {
        return Some(found.value.to_owned());
    }
    faults
        .error("E0104", found.at, format!("`{}` is no user part of an address", found.value), "cannot be read")
        .help("write it without scheme and host, like \"864768888000\" or \"+864768888000\"");
    None
}

fn read_credential(
    draft: &mut SettingsDraft,
    name: &TrunkName,
    fields: &mut Fields<'_>,
    faults: &mut Faults,
) -> Option<Arc<TrunkCredential>> {
    let table = fields.table("credential", faults)?;
    let mut fields = Fields::new(table, "`credential`");
    let user = fields.need("user", faults);
    let secret = read_secret(&mut fields, "password", "password_file", faults);
    let realm = fields.text("realm", faults).map(|found| found.value.to_owned());
    let at = table.get("password_file").map_or(table.at, |entry| entry.node.at);
    fields.finish(faults);
    let password = match secret {
        Some(SecretSource::Inline(secret)) => secret,
        Some(SecretSource::File(path)) => {
            draft.password_files.push((name.clone(), path, at));
            Secret::new("")
        }
        None => {
            faults
                .error("E0102", table.at, format!("the credential of trunk `{name}` has no password"), "in this table")
                .help("give `password = \"…\"` or `password_file = \"path\"`");
            return None;
        }
    };
    Some(Arc::new(TrunkCredential { user: user?.value.to_owned(), password, realm }))
}

fn read_tls(table: &Table, faults: &mut Faults) -> TrunkTls {
    let mut fields = Fields::new(table, "`tls`");
    let ca_file = fields.text("ca_file", faults).map(|found| found.value.to_owned());
    let certificate = fields.text("certificate", faults);
    let key = fields.text("key", faults);
    let mutual = fields.bool("mutual", false, faults);
    let mutual_at = table.get("mutual").map(|entry| entry.key_at);
    fields.finish(faults);
    if let (true, None, Some(at)) = (mutual, &ca_file, mutual_at) {
        faults
            .error("E0102", at, "`mutual` without `ca_file`", "no authority says which certificates count")
            .help("name the PEM file of the authority that signs the trunk's certificate");
    }
    let identity = match (certificate, key) {
        (Some(certificate), Some(key)) => Some((certificate.value.to_owned(), key.value.to_owned())),
        (Some(alone), None) => {
            faults.error("E0102", alone.at, "a certificate without its `key`", "cannot be shown to anybody");
            None
        }
        (None, Some(alone)) => {
            faults.error("E0102", alone.at, "a key without its `certificate`", "nothing to prove with it");
            None
        }
        (None, None) => None,
    };
    TrunkTls { ca_file, identity, mutual }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_leave_to_dns_what_they_do_not_say() {
        let target = parse_target("sip:ims.nm.example").unwrap();
        assert_eq!((target.port, target.transport), (None, None));
        let target = parse_target("sips:sbc.example:5071;lr").unwrap();
        assert_eq!((target.port, target.transport), (Some(5071), Some(Transport::Tls)));
        let target = parse_target("sip:[2001:db8::5]").unwrap();
        assert_eq!((target.host.as_str(), target.port), ("2001:db8::5", None));
        for text in
            ["", "sip:", "sip:12345@h", "sip:h:0", "sip:h;maddr=x", "tel:110", "sip:h;transport=sctp", "sip:[x]"]
        {
            assert_eq!(parse_target(text), None, "{text}");
        }
    }
}
