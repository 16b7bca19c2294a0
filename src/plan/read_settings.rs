//! Reads `config/switch.toml` and `config/agents.toml` into [`Settings`], collecting every fault.
//!
//! Deliberately absent: checks that need the dialplans (`check`). Defaults are `contract.md` §2's.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use crate::base::flow::Transport;
use crate::base::id::{AgentId, QueueId, QueueName, SkillName, TenantName, TrunkName};
use crate::base::number::AreaCode;
use crate::base::secret::Secret;
use crate::plan::diagnose::{At, Faults, Sources};
use crate::plan::read_trunk::read_trunk;
use crate::plan::settings::{
    Agent, AgentRole, Credential, DigestHash, HttpSettings, Limits, Listen, MediaSettings, SecretSource, Settings,
    SipSettings, TicketEndpoint, TicketSettings, TlsSettings,
};
use crate::plan::source::{Fields, Spot, Table, Value, wrong_type};
use crate::plan::trunk::{NumberRule, SourceMatch};
use crate::plan::words;

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3_600);
/// Any span a setting may have.
const ANY: std::ops::RangeInclusive<Duration> = Duration::ZERO..=Duration::from_secs(86_400 * 366);

/// Settings with the places in the files that later checks label.
pub(super) struct SettingsDraft {
    pub(super) settings: Settings,
    pub(super) trunk_at: BTreeMap<TrunkName, At>,
    pub(super) from_at: Vec<(SourceMatch, TrunkName, At)>,
    /// Rules for called numbers: the trunk, its direction, the rule and its place.
    pub(super) rule_at: Vec<(TrunkName, &'static str, NumberRule, At)>,
    /// Files that hold trunks' passwords, still to be read.
    pub(super) password_files: Vec<(TrunkName, String, At)>,
    pub(super) agent_at: BTreeMap<AgentId, At>,
    pub(super) queue_refs: Vec<(AgentId, QueueId, At)>,
    pub(super) class_refs: Vec<(TenantName, Arc<str>, At)>,
    pub(super) demo_passwords: Vec<At>,
    pub(super) agents_file: Option<String>,
    pub(super) listen_at: Option<At>,
}

/// Reads the settings document; agents follow by [`read_agents`].
pub(super) fn read_settings(table: &Table, sources: &Sources, faults: &mut Faults) -> SettingsDraft {
    let mut fields = Fields::new(table, "the configuration");
    let path = |fields: &mut Fields<'_>, key, default: &str, faults: &mut Faults| {
        fields.text(key, faults).map_or_else(|| default.to_owned(), |found| found.value.to_owned())
    };
    let node = fields.integer("node", 0_u16, 0..=1023, faults);
    let data_dir = path(&mut fields, "data_dir", "data", faults);
    let dialplans = path(&mut fields, "dialplans", "dialplans", faults);
    let prompts = path(&mut fields, "prompts", "prompts", faults);
    let agents_file = fields.text("agents", faults).map(|found| found.value.to_owned());
    let overlays = fields.texts("overlays", faults).unwrap_or_default();
    let sip_table = fields.table("sip", faults);
    let sip = read_sip(sip_table, faults);
    let listen_at = sip_table.and_then(|sip| sip.get("agent_listen")).map(|entry| entry.node.at);
    let media = read_media(fields.table("media", faults), faults);
    let http = read_http(fields.table("http", faults), faults);
    let ticket = read_ticket(fields.table("ticket", faults), faults);
    let limits = read_limits(fields.table("limits", faults), faults);
    let trunks = fields.table("trunk", faults);
    fields.finish(faults);
    let settings = Settings {
        node,
        data_dir,
        dialplans,
        overlays: overlays.into_iter().map(|found| found.value.to_owned()).collect(),
        prompts,
        sip,
        media,
        http,
        trunks: BTreeMap::new(),
        agents: BTreeMap::new(),
        ticket,
        limits,
    };
    let mut draft = SettingsDraft {
        settings,
        trunk_at: BTreeMap::new(),
        from_at: Vec::new(),
        rule_at: Vec::new(),
        password_files: Vec::new(),
        agent_at: BTreeMap::new(),
        queue_refs: Vec::new(),
        class_refs: Vec::new(),
        demo_passwords: Vec::new(),
        agents_file,
        listen_at,
    };
    for entry in trunks.map(|trunks| trunks.entries.as_slice()).unwrap_or_default() {
        let Value::Table(table) = &entry.node.value else {
            wrong_type(&entry.node, "a table", faults);
            continue;
        };
        read_trunk(&mut draft, &entry.key, entry.key_at, table, sources, faults);
    }
    draft
}

fn read_sip(table: Option<&Table>, faults: &mut Faults) -> SipSettings {
    let mut sip = SipSettings {
        trunk_listen: at_home(&[(Transport::Udp, 5060), (Transport::Tcp, 5060)]),
        agent_listen: at_home(&[
            (Transport::Udp, 5062),
            (Transport::Tcp, 5062),
            (Transport::Tls, 5063),
            (Transport::Ws, 7080),
            (Transport::Wss, 7443),
        ]),
        advertise: None,
        tls: TlsSettings::default(),
        ws_origins: Vec::new(),
        keep_alive: 2 * MINUTE,
        connections_per_address: 512,
        connections_max: 8_192,
        realm: "switch12345".to_owned(),
        digest: vec![DigestHash::Md5],
        t1: Duration::from_millis(500),
        t2: 4 * SECOND,
        t4: 5 * SECOND,
        session_expires: 1_800 * SECOND,
        min_se: 90 * SECOND,
        register_min: 30 * SECOND,
        register_max: HOUR,
        options_interval: 30 * SECOND,
        dns_servers: Vec::new(),
    };
    let Some(table) = table else { return sip };
    let mut fields = Fields::new(table, "`sip`");
    if let Some(listen) = read_listen(&mut fields, "trunk_listen", faults) {
        sip.trunk_listen = listen;
    }
    if let Some(listen) = read_listen(&mut fields, "agent_listen", faults) {
        sip.agent_listen = listen;
    }
    if let Some(found) = fields.text("advertise", faults) {
        sip.advertise = read_ip(&found, faults);
    }
    read_connections(&mut sip, &mut fields, faults);
    if let Some(found) = fields.text("realm", faults) {
        sip.realm = found.value.to_owned();
    }
    if let Some(found) = fields.texts("digest", faults) {
        let word = |one: Spot<&str>| words::word(words::DIGESTS, one.value, one.at, "digest algorithm", faults);
        let digest = found.into_iter().filter_map(word).collect::<Vec<_>>();
        if !digest.is_empty() {
            sip.digest = digest;
        }
    }
    sip.t1 = fields.duration("t1", sip.t1, Duration::from_millis(10)..=10 * SECOND, faults);
    sip.t2 = fields.duration("t2", sip.t2, Duration::from_millis(10)..=MINUTE, faults);
    sip.t4 = fields.duration("t4", sip.t4, Duration::from_millis(10)..=MINUTE, faults);
    sip.session_expires = fields.duration("session_expires", sip.session_expires, 90 * SECOND..=24 * HOUR, faults);
    sip.min_se = fields.duration("min_se", sip.min_se, 90 * SECOND..=HOUR, faults);
    sip.register_min = fields.duration("register_min", sip.register_min, SECOND..=HOUR, faults);
    sip.register_max = fields.duration("register_max", sip.register_max, 10 * SECOND..=24 * HOUR, faults);
    sip.options_interval = fields.duration("options_interval", sip.options_interval, ANY, faults);
    for found in fields.texts("dns_servers", faults).unwrap_or_default() {
        let with_port = found.value.parse().ok();
        match with_port.or_else(|| found.value.parse().ok().map(|ip| SocketAddr::new(ip, 53))) {
            Some(server) => sip.dns_servers.push(server),
            None => {
                faults
                    .error("E0104", found.at, format!("`{}` is no DNS server", found.value), "cannot be read")
                    .help("write an address, with a port when it is not 53: \"192.0.2.53\" or \"192.0.2.53:5353\"");
            }
        }
    }
    fields.finish(faults);
    sip
}

fn at_home(ports: &[(Transport, u16)]) -> Vec<Listen> {
    let listen = |(transport, port): &(Transport, u16)| Listen {
        transport: *transport,
        addr: SocketAddr::from((Ipv4Addr::LOCALHOST, *port)),
    };
    ports.iter().map(listen).collect()
}

fn read_connections(sip: &mut SipSettings, fields: &mut Fields<'_>, faults: &mut Faults) {
    sip.tls = read_tls(fields.table("tls", faults), faults);
    for found in fields.texts("ws_origins", faults).unwrap_or_default() {
        let rest = found.value.split_once("://").map(|(_, rest)| rest);
        if !rest.is_some_and(|rest| !rest.is_empty() && !rest.contains('/')) {
            faults
                .error("E0104", found.at, format!("`{}` is no web origin", found.value), "cannot be read")
                .help("write scheme and host (and port) as browsers do, like \"https://desk.example.gov.cn\"");
            continue;
        }
        sip.ws_origins.push(found.value.to_owned());
    }
    sip.keep_alive = fields.duration("keep_alive", sip.keep_alive, ANY, faults);
    sip.connections_per_address =
        fields.integer("connections_per_address", sip.connections_per_address, 1..=100_000, faults);
    sip.connections_max = fields.integer("connections_max", sip.connections_max, 1..=1_000_000, faults);
}

fn read_tls(table: Option<&Table>, faults: &mut Faults) -> TlsSettings {
    let Some(table) = table else { return TlsSettings::default() };
    let mut fields = Fields::new(table, "`sip.tls`");
    let certificate = fields.text("certificate", faults);
    let key = fields.text("key", faults);
    let client_ca = fields.text("client_ca", faults).map(|found| found.value.to_owned());
    fields.finish(faults);
    let identity = match (certificate, key) {
        (Some(certificate), Some(key)) => Some((certificate.value.to_owned(), key.value.to_owned())),
        (Some(one), None) | (None, Some(one)) => {
            faults
                .error("E0102", one.at, "`certificate` and `key` belong together", "only this one is set")
                .help("name both PEM files, or neither: one is generated then");
            None
        }
        (None, None) => None,
    };
    TlsSettings { identity, client_ca }
}

fn read_listen(fields: &mut Fields<'_>, key: &'static str, faults: &mut Faults) -> Option<Vec<Listen>> {
    let mut listen: Vec<Listen> = Vec::new();
    for found in fields.texts(key, faults)? {
        let parsed = found
            .value
            .split_once(':')
            .and_then(|(word, addr)| Some(Listen { transport: transport_word(word)?, addr: addr.parse().ok()? }));
        let Some(one) = parsed else {
            faults
                .error("E0104", found.at, format!("`{}` is no listening address", found.value), "cannot be read")
                .help("write it like \"udp:127.0.0.1:5060\" or \"tcp:[::1]:5060\"");
            continue;
        };
        if listen.contains(&one) && one.addr.port() != 0 {
            faults.error("E0105", found.at, format!("`{}` stands twice", found.value), "second time");
            continue;
        }
        listen.push(one);
    }
    Some(listen)
}

pub(super) fn transport_word(word: &str) -> Option<Transport> {
    [Transport::Udp, Transport::Tcp, Transport::Tls, Transport::Ws, Transport::Wss]
        .into_iter()
        .find(|transport| transport.param_name().eq_ignore_ascii_case(word.trim()))
}

pub(super) fn read_ip(found: &Spot<&str>, faults: &mut Faults) -> Option<IpAddr> {
    let ip = found.value.parse().ok();
    if ip.is_none() {
        faults
            .error("E0104", found.at, format!("`{}` is no IP address", found.value), "cannot be read")
            .help("write an address such as \"192.0.2.10\"; names are not looked up here");
    }
    ip
}

fn read_media(table: Option<&Table>, faults: &mut Faults) -> MediaSettings {
    let mut media = MediaSettings {
        address: IpAddr::V4(Ipv4Addr::LOCALHOST),
        port_min: 16_384,
        port_max: 32_767,
        emergency_pairs: 64,
        workers: 0,
        stall_after: 30 * SECOND,
    };
    let Some(table) = table else { return media };
    let mut fields = Fields::new(table, "`media`");
    if let Some(ip) = fields.text("address", faults).and_then(|found| read_ip(&found, faults)) {
        media.address = ip;
    }
    if let Some(found) = fields.text("ports", faults) {
        let range = found.value.split_once('-').and_then(|(first, last)| {
            let range: (u16, u16) = (first.trim().parse().ok()?, last.trim().parse().ok()?);
            (range.0 >= 1_024 && range.1 > range.0).then_some(range)
        });
        match range {
            Some((first, last)) => (media.port_min, media.port_max) = (first.next_multiple_of(2), last),
            None => {
                faults
                    .error("E0104", found.at, format!("`{}` is no port range", found.value), "cannot be read")
                    .help("write first and last port, 1024 or more, like \"16384-32767\"");
            }
        }
    }
    media.emergency_pairs = fields.integer("emergency_pairs", media.emergency_pairs, 0..=1_000, faults);
    media.workers = fields.integer("workers", media.workers, 0..=256, faults);
    media.stall_after = fields.duration("stall_after", media.stall_after, SECOND..=HOUR, faults);
    fields.finish(faults);
    media
}

fn read_http(table: Option<&Table>, faults: &mut Faults) -> HttpSettings {
    let mut listen = SocketAddr::from((Ipv4Addr::LOCALHOST, 8080));
    let Some(table) = table else { return HttpSettings { listen } };
    let mut fields = Fields::new(table, "`http`");
    if let Some(found) = fields.text("listen", faults) {
        match found.value.parse() {
            Ok(addr) => listen = addr,
            Err(_) => {
                faults
                    .error("E0104", found.at, format!("`{}` is no address and port", found.value), "cannot be read")
                    .help("write it like \"127.0.0.1:8080\"");
            }
        }
    }
    fields.finish(faults);
    HttpSettings { listen }
}

fn read_ticket(table: Option<&Table>, faults: &mut Faults) -> TicketSettings {
    let mut ticket = TicketSettings::default();
    let Some(table) = table else { return ticket };
    let mut fields = Fields::new(table, "`ticket`");
    let endpoints = fields.table("endpoint", faults);
    fields.finish(faults);
    for entry in endpoints.map(|endpoints| endpoints.entries.as_slice()).unwrap_or_default() {
        let Value::Table(table) = &entry.node.value else {
            wrong_type(&entry.node, "a table", faults);
            continue;
        };
        if let Some(endpoint) = read_endpoint(&entry.key, entry.key_at, table, faults) {
            ticket.endpoints.insert(entry.key.clone(), Arc::new(endpoint));
        }
    }
    ticket
}

fn read_endpoint(name: &str, key_at: At, table: &Table, faults: &mut Faults) -> Option<TicketEndpoint> {
    let mut fields = Fields::new(table, "a ticket endpoint");
    let url = fields.need("url", faults);
    if let Some(found) = url.as_ref().filter(|url| !is_http_url(url.value)) {
        faults
            .error("E0104", found.at, format!("`{}` is no http or https URL", found.value), "cannot be posted to")
            .help("write it like \"http://127.0.0.1:8090/tickets\"");
    }
    let secret = read_secret(&mut fields, "secret", "secret_file", faults);
    if secret.is_none() {
        faults
            .error("E0102", key_at, format!("ticket endpoint `{name}` has no secret"), "posts could not be signed")
            .help("give `secret = \"…\"` or `secret_file = \"path\"`");
    }
    let previous_secret = read_secret(&mut fields, "previous_secret", "previous_secret_file", faults);
    let timeout = fields.duration("timeout", 10 * SECOND, 100 * Duration::from_millis(1)..=5 * MINUTE, faults);
    let connections = fields.integer("connections", 64_u16, 1..=1_024, faults);
    let tenants = fields.texts("tenants", faults).unwrap_or_default();
    fields.finish(faults);
    Some(TicketEndpoint {
        name: name.to_owned(),
        url: url?.value.to_owned(),
        secret: secret?,
        previous_secret,
        timeout,
        connections,
        tenants: tenants.into_iter().map(|found| TenantName::new(found.value)).collect(),
    })
}

fn is_http_url(url: &str) -> bool {
    let rest = url.strip_prefix("http://").or_else(|| url.strip_prefix("https://"));
    rest.is_some_and(|rest| !rest.is_empty() && !rest.starts_with('/') && !rest.contains(char::is_whitespace))
}

pub(super) fn read_secret(
    fields: &mut Fields<'_>,
    key: &'static str,
    file_key: &'static str,
    faults: &mut Faults,
) -> Option<SecretSource> {
    let inline = fields.text(key, faults);
    let file = fields.text(file_key, faults);
    if let (Some(inline), Some(file)) = (&inline, &file) {
        faults
            .error("E0105", file.at, format!("both `{key}` and `{file_key}` are set"), "this")
            .also(inline.at, "and this")
            .help("keep one");
    }
    file.map(|file| SecretSource::File(file.value.to_owned()))
        .or_else(|| inline.map(|inline| SecretSource::Inline(Secret::new(inline.value))))
}

fn read_limits(table: Option<&Table>, faults: &mut Faults) -> Limits {
    let mut limits =
        Limits { calls_max: 2_000, calls_per_second: 100, registrations_max: 3_000, drain_max: 10 * MINUTE };
    let Some(table) = table else { return limits };
    let mut fields = Fields::new(table, "`limits`");
    limits.calls_max = fields.integer("calls_max", limits.calls_max, 1..=100_000, faults);
    limits.calls_per_second = fields.integer("calls_per_second", limits.calls_per_second, 1..=10_000, faults);
    limits.registrations_max = fields.integer("registrations_max", limits.registrations_max, 1..=100_000, faults);
    limits.drain_max = fields.duration("drain_max", limits.drain_max, ANY, faults);
    fields.finish(faults);
    limits
}

/// Reads an area code key.
pub(super) fn read_area(fields: &mut Fields<'_>, key: &'static str, faults: &mut Faults) -> Option<AreaCode> {
    let found = fields.text(key, faults)?;
    let area = AreaCode::parse(found.value);
    if area.is_none() {
        faults
            .error("E0104", found.at, format!("`{}` is no area code", found.value), "cannot be read")
            .help("write it with its zero, like \"0476\" or \"010\"");
    }
    area
}

/// Reads the agents' file into the draft.
pub(super) fn read_agents(draft: &mut SettingsDraft, table: &Table, sources: &Sources, faults: &mut Faults) {
    let mut fields = Fields::new(table, "the agents' file");
    let agents = fields.tables("agent", faults);
    fields.finish(faults);
    for table in agents {
        read_agent(draft, table, sources, faults);
    }
}

fn read_agent(draft: &mut SettingsDraft, table: &Table, sources: &Sources, faults: &mut Faults) {
    let mut fields = Fields::new(table, "an agent");
    let id = fields.need("id", faults);
    let tenant = fields.need("tenant", faults);
    let name = fields.text("name", faults);
    let credential = read_credential(draft, &mut fields, faults);
    let queues = fields.texts("queues", faults).unwrap_or_default();
    let skills = read_skills(&mut fields, faults);
    let role = fields
        .text("role", faults)
        .and_then(|found| words::word(words::ROLES, found.value, found.at, "kind of seat", faults))
        .unwrap_or(AgentRole::Voice);
    let wrap_up = fields.maybe_duration("wrap_up", ANY, faults);
    let class = fields.text("class", faults);
    let sign_in_on_register = fields.bool("sign_in_on_register", true, faults);
    let at = fields.at();
    fields.finish(faults);
    let (Some(id), Some(tenant)) = (id, tenant) else { return };
    if !id.value.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.')) {
        faults
            .error("E0104", id.at, format!("`{}` cannot be an agent's id", id.value), "this id")
            .help("letters, digits, `-`, `_` and `.` only: it is the user part of the phone's registration");
    }
    let agent_id = AgentId::new(id.value);
    if let Some(first) = draft.agent_at.get(&agent_id) {
        faults
            .error("E0105", id.at, format!("agent `{agent_id}` stands twice"), "second time")
            .also(*first, "first here");
        return;
    }
    draft.agent_at.insert(agent_id.clone(), id.at);
    let tenant = TenantName::new(tenant.value);
    let mut signed_in = Vec::new();
    for found in queues {
        let (place, queue) = found.value.split_once('/').unwrap_or((tenant.as_str(), found.value));
        let queue = QueueId { tenant: TenantName::new(place), queue: QueueName::new(queue) };
        draft.queue_refs.push((agent_id.clone(), queue.clone(), found.at));
        signed_in.push(queue);
    }
    let class = class.map(|found| {
        let name: Arc<str> = Arc::from(found.value);
        draft.class_refs.push((tenant.clone(), Arc::clone(&name), found.at));
        name
    });
    let Some(credential) = credential else {
        faults
            .error("E0102", at, format!("agent `{agent_id}` has neither `password` nor `ha1`"), "could not register")
            .help("give one of the two");
        return;
    };
    let agent = Agent {
        id: agent_id.clone(),
        name: name.map_or_else(|| agent_id.to_string(), |found| found.value.to_owned()),
        tenant,
        credential,
        queues: signed_in,
        skills,
        role,
        wrap_up,
        class,
        sign_in_on_register,
        declared: sources.place(at),
    };
    draft.settings.agents.insert(agent_id, Arc::new(agent));
}

fn read_credential(draft: &mut SettingsDraft, fields: &mut Fields<'_>, faults: &mut Faults) -> Option<Credential> {
    let password = fields.text("password", faults);
    let ha1 = fields.text("ha1", faults);
    if let (Some(password), Some(ha1)) = (&password, &ha1) {
        faults
            .error("E0105", ha1.at, "both `password` and `ha1` are set", "this")
            .also(password.at, "and this")
            .help("keep one");
    }
    if let Some(found) = ha1 {
        if found.value.len() != 32 || !found.value.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            faults
                .error("E0104", found.at, "`ha1` is no MD5 digest", "needs 32 hexadecimal digits")
                .help("it is MD5(id:realm:password)");
        }
        return Some(Credential::Ha1(Secret::new(found.value.to_ascii_lowercase())));
    }
    let found = password?;
    if found.value.starts_with("demo-") {
        draft.demo_passwords.push(found.at);
    }
    Some(Credential::Password(Secret::new(found.value)))
}

/// Skills as a table of levels, or as a list, each then of the middle level.
fn read_skills(fields: &mut Fields<'_>, faults: &mut Faults) -> BTreeMap<SkillName, u8> {
    const MIDDLE: u8 = 5;
    let mut skills = BTreeMap::new();
    let Some(node) = fields.node("skills") else { return skills };
    match &node.value {
        Value::Table(table) => {
            for entry in &table.entries {
                let Value::Integer(level) = entry.node.value else {
                    wrong_type(&entry.node, "a level from 1 to 10", faults);
                    continue;
                };
                match u8::try_from(level).ok().filter(|level| (1..=10).contains(level)) {
                    Some(level) => drop(skills.insert(SkillName::new(&entry.key), level)),
                    None => {
                        let message = format!("level {level} of skill `{}` is outside 1 to 10", entry.key);
                        faults.error("E0127", entry.node.at, message, "out of range").help("10 is the best");
                    }
                }
            }
        }
        Value::Array(_) => {
            for found in fields.texts("skills", faults).unwrap_or_default() {
                skills.insert(SkillName::new(found.value), MIDDLE);
            }
        }
        Value::Text(_) | Value::Integer(_) | Value::Float | Value::Bool(_) | Value::Moment(_) => {
            wrong_type(node, "a table of skills with levels, or a list", faults);
        }
    }
    skills
}
