//! The validated model of `config/switch.toml` and `config/agents.toml`.
//!
//! Deliberately absent: reading the files and their faults (`read`), and everything a place decides (`model`).
//! Every duration has its unit in its type; every default is `contract.md` §2's.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::base::flow::{Side, Transport};
use crate::base::id::{AgentId, QueueId, SkillName, TenantName, TrunkName};
use crate::base::secret::Secret;
use crate::plan::model::Declared;
use crate::plan::trunk::{HeaderRule, Trunk};

/// Everything the engine is configured with, beside the places' dialplans.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// This engine's number, 0–1023, inside every id it mints.
    pub node: u16,
    /// Where the database and recordings live.
    pub data_dir: String,
    /// The directory of dialplan files.
    pub dialplans: String,
    /// Dialplan files that extend a place (`[tenant] extends`) and are loaded: `["demo"]`.
    pub overlays: Vec<String>,
    /// The directory of prompt recordings; `prompts/<tenant>/<clip>.wav` wins over `prompts/<clip>.wav`.
    pub prompts: String,
    /// SIP on both sides.
    pub sip: SipSettings,
    /// RTP.
    pub media: MediaSettings,
    /// The HTTP API and console.
    pub http: HttpSettings,
    /// Trunks by name.
    pub trunks: BTreeMap<TrunkName, Arc<Trunk>>,
    /// Agents by id.
    pub agents: BTreeMap<AgentId, Arc<Agent>>,
    /// Where ticket events go.
    pub ticket: TicketSettings,
    /// Bounds of the whole engine.
    pub limits: Limits,
}

/// SIP listeners and timers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SipSettings {
    /// Listeners for carriers.
    pub trunk_listen: Vec<Listen>,
    /// Listeners for agents' phones.
    pub agent_listen: Vec<Listen>,
    /// The address written into Via, Contact and SDP when it differs from the listener's.
    pub advertise: Option<IpAddr>,
    /// Our certificate, and whether peers must show one.
    pub tls: TlsSettings,
    /// Web origins a WebSocket may come from; any when empty.
    pub ws_origins: Vec<String>,
    /// How often connections of ours, and all WebSockets, are asked for a sign of life; zero = never.
    pub keep_alive: Duration,
    /// Connections one address may have on a side.
    pub connections_per_address: u32,
    /// Connections those who are no known trunk may have together on a side.
    pub connections_max: u32,
    /// The digest realm.
    pub realm: String,
    /// Digest algorithms offered to phones, in the order of the challenges.
    pub digest: Vec<DigestHash>,
    /// RFC 3261 §17.1.1.1 timer T1.
    pub t1: Duration,
    /// T2.
    pub t2: Duration,
    /// T4.
    pub t4: Duration,
    /// RFC 4028 session interval.
    pub session_expires: Duration,
    /// RFC 4028 smallest session interval accepted.
    pub min_se: Duration,
    /// Shortest registration accepted (423 below it).
    pub register_min: Duration,
    /// Longest registration granted.
    pub register_max: Duration,
    /// How often a trunk is asked with OPTIONS; zero = never.
    pub options_interval: Duration,
    /// Who is asked for host names, for networks without the system's; empty = the system's.
    pub dns_servers: Vec<SocketAddr>,
}

/// TLS of our listeners.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsSettings {
    /// PEM files of our certificate (with those between it and its authority) and of its key; one is generated into the
    /// data directory when `None`.
    pub identity: Option<(String, String)>,
    /// PEM file of the authorities of which peers that connect must show a certificate; none is asked for when `None`.
    pub client_ca: Option<String>,
}

/// A hash of digest authentication.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DigestHash {
    /// RFC 3261 §22.4.
    Md5,
    /// RFC 8760.
    Sha256,
}

/// One listening address: `udp:127.0.0.1:5060`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Listen {
    /// The transport.
    pub transport: Transport,
    /// Address and port; port 0 lets the system choose.
    pub addr: SocketAddr,
}

/// RTP addresses, ports and workers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MediaSettings {
    /// The address packets come to and leave from.
    pub address: IpAddr,
    /// First port (even).
    pub port_min: u16,
    /// Last port, itself included.
    pub port_max: u16,
    /// Port pairs kept for emergency calls.
    pub emergency_pairs: u16,
    /// Worker threads; 0 = one per core.
    pub workers: u16,
    /// A leg that sends nothing this long is reported stalled.
    pub stall_after: Duration,
}

/// The HTTP listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpSettings {
    /// Address and port.
    pub listen: SocketAddr,
}

/// Somebody who takes calls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Agent {
    /// Id, and the user part of the phone's registration.
    pub id: AgentId,
    /// Name shown to supervisors.
    pub name: String,
    /// The place.
    pub tenant: TenantName,
    /// How the phone proves itself.
    pub credential: Credential,
    /// Queues signed in to by default; an agent may serve queues of other places too.
    pub queues: Vec<QueueId>,
    /// Skills with level 1–10, 10 the best.
    pub skills: BTreeMap<SkillName, u8>,
    /// What kind of seat it is; only voice seats get calls.
    pub role: AgentRole,
    /// Overrides the queue's wrap-up.
    pub wrap_up: Option<Duration>,
    /// The class of service: what the agent may dial outside; his place's default when `None`.
    pub class: Option<Arc<str>>,
    /// Whether a phone that registers takes an agent who chose nothing yet from signed-out to ready.
    pub sign_in_on_register: bool,
    /// Where it is written.
    pub declared: Declared,
}

/// A password or its MD5 digest HA1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Credential {
    /// The password in clear.
    Password(Secret),
    /// `MD5(user:realm:password)` in hexadecimal.
    Ha1(Secret),
}

/// Kinds of seats (`domain.md` E23).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AgentRole {
    /// 话务
    #[default]
    Voice,
    /// 专家
    Expert,
    /// 班长
    Supervisor,
    /// 网络
    Web,
    /// 督办
    Oversight,
    /// 回访
    Callback,
    /// 质检
    Quality,
    /// 知识库
    Knowledge,
}

impl AgentRole {
    /// Whether queues offer calls to this kind of seat.
    #[must_use]
    pub const fn takes_calls(self) -> bool {
        matches!(self, Self::Voice | Self::Expert | Self::Supervisor)
    }
}

/// Ticket endpoints by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TicketSettings {
    /// The endpoints.
    pub endpoints: BTreeMap<String, Arc<TicketEndpoint>>,
}

/// One receiver of ticket events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TicketEndpoint {
    /// Its name.
    pub name: String,
    /// Where events are posted.
    pub url: String,
    /// The signing key.
    pub secret: SecretSource,
    /// The key that is being phased out; signatures carry both.
    pub previous_secret: Option<SecretSource>,
    /// How long one post may take.
    pub timeout: Duration,
    /// Posts in flight at once to this endpoint.
    pub connections: u16,
    /// Places whose tickets it gets; empty = all.
    pub tenants: Vec<TenantName>,
}

/// A secret, or the file that holds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SecretSource {
    /// Written in the configuration.
    Inline(Secret),
    /// First line of this file, read at start.
    File(String),
}

/// Bounds of the whole engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Calls at once; more get 503.
    pub calls_max: u32,
    /// New calls a second; more get 503.
    pub calls_per_second: u32,
    /// Registered phones.
    pub registrations_max: u32,
    /// How long a drain waits for calls to end.
    pub drain_max: Duration,
}

impl Settings {
    /// The trunk a packet comes from: `ip:port` beats networks, then the longest prefix wins.
    #[must_use]
    pub fn trunk_for(&self, source: SocketAddr) -> Option<&Arc<Trunk>> {
        self.trunks
            .values()
            .filter_map(|trunk| {
                let best = trunk.from.iter().filter_map(|from| from.specificity(source)).max()?;
                Some((best, trunk))
            })
            .max_by_key(|(best, _)| *best)
            .map(|(_, trunk)| trunk)
    }

    /// Header fields that the trunks of a place copy from a caller's INVITE; some may come twice.
    pub fn copied<'a>(&'a self, tenant: &'a TenantName) -> impl Iterator<Item = &'a str> {
        let own = self.trunks.values().filter(move |trunk| trunk.tenant == *tenant);
        own.flat_map(|trunk| &trunk.outgoing.headers).filter_map(|rule| match rule {
            HeaderRule::Copy(name) => Some(name.as_str()),
            HeaderRule::Add(..) | HeaderRule::Remove(_) => None,
        })
    }

    /// The listeners of one side.
    #[must_use]
    pub fn listeners(&self, side: Side) -> &[Listen] {
        match side {
            Side::Trunk => &self.sip.trunk_listen,
            Side::Agent => &self.sip.agent_listen,
        }
    }
}
