//! The validated model of a trunk: who it is, where it leads, how it is probed, and the form of what it says.
//!
//! Deliberately absent: reading it from TOML (`read_trunk`), its live state (`switch`). Every default is
//! `contract.md` §2's, or what carriers commonly take.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::base::flow::Transport;
use crate::base::id::{TenantName, TrunkName};
use crate::base::number::AreaCode;
use crate::base::secret::Secret;
use crate::plan::model::Declared;

/// A line to a carrier, an emergency centre, a department or another platform.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trunk {
    /// Its name.
    pub name: TrunkName,
    /// The place calls from it belong to.
    pub tenant: TenantName,
    /// The area of 7- and 8-digit numbers and short codes that come over it.
    pub area: Option<AreaCode>,
    /// Source addresses by which it is known; empty = calls out only.
    pub from: Vec<SourceMatch>,
    /// Where calls out go, in order; the next one is tried when one fails.
    pub to: Vec<TrunkTarget>,
    /// Calls at once, in and out together; 0 = no bound of its own.
    pub max_calls: u32,
    /// New calls a second, in and out together; 0 = no bound of its own.
    pub max_cps: u32,
    /// Whether a citizen's number may be shown to it (P-Asserted-Identity out) and its own is believed.
    pub trusted: bool,
    /// Whether a caller who must wait is answered (200) first, or kept in early media (183).
    pub answer_before_queue: bool,
    /// How long early media may last before 200 is sent.
    pub early_media_max: Duration,
    /// Whether it is a dedicated line of an emergency centre (never capped, never probed out of use).
    pub emergency: bool,
    /// Who sends calls over it, as the ticket's `source` says.
    pub source: CallSource,
    /// Added to the priority of its calls.
    pub priority: u8,
    /// Out of use for maintenance: new calls in get 503, none go out; live calls and emergencies go on.
    pub busy_out: bool,
    /// How its targets are probed.
    pub health: TrunkHealth,
    /// Our registration at it; it is then known by that too.
    pub register: Option<Arc<TrunkRegistration>>,
    /// How we prove ourselves when it challenges (401, 407).
    pub credential: Option<Arc<TrunkCredential>>,
    /// Whether provisional answers are made reliable with it (RFC 3262).
    pub reliable: Reliable,
    /// Our listener that serves it, when there are several; the first of the transport otherwise.
    pub interface: Option<SocketAddr>,
    /// The address it should see in Via, Contact and SDP; `sip.advertise` otherwise.
    pub advertise: Option<IpAddr>,
    /// How TLS to it is checked.
    pub tls: TrunkTls,
    /// How what comes from it is read.
    pub incoming: IncomingFormat,
    /// How what goes to it is written.
    pub outgoing: OutgoingFormat,
    /// Whether it leads to another platform that may send calls back: our hop list is written and read on it.
    pub platform: bool,
    /// Where it is written.
    pub declared: Declared,
}

/// A source address or network by which a trunk is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SourceMatch {
    /// One address and port.
    Peer(SocketAddr),
    /// A network: address and prefix length in bits.
    Net(IpAddr, u8),
}

/// One place a trunk's calls go to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct TrunkTarget {
    /// Host name or literal address.
    pub host: String,
    /// Port; when the URI has none, SRV decides for a name (RFC 3263 §4.2), 5060 or 5061 for an address.
    pub port: Option<u16>,
    /// The transport of the URI; when it says none, NAPTR decides for a name (RFC 3263 §4.1), UDP otherwise. A `sips:`
    /// URI is TLS.
    pub transport: Option<Transport>,
    /// Lower ones are tried first.
    pub order: u16,
    /// Its share of the calls among those of the same order; 0 = only when no other is left.
    pub weight: u16,
}

impl TrunkTarget {
    /// The port to use where no SRV record says another.
    #[must_use]
    pub fn port_or_default(&self) -> u16 {
        let secure = self.transport == Some(Transport::Tls);
        self.port.unwrap_or(if secure { 5061 } else { 5060 })
    }

    /// The transport to use where no NAPTR record says another.
    #[must_use]
    pub fn transport_or_default(&self) -> Transport {
        self.transport.unwrap_or(Transport::Udp)
    }
}

/// How a trunk's targets are probed with OPTIONS, and when one counts as down or up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct TrunkHealth {
    /// How often; zero = never. `sip.options_interval` by default.
    pub interval: Duration,
    /// Probes lost in a row before a target is out of use.
    pub down_after: u8,
    /// Probes answered in a row before it is back.
    pub up_after: u8,
}

/// A registration of ours at a carrier.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TrunkRegistration {
    /// Where REGISTER goes (the outbound proxy where there is one).
    pub proxy: TrunkTarget,
    /// The domain registered in: the Request-URI's host.
    pub domain: String,
    /// The user registered, such as `864761234567`: `86`, area and number.
    pub user: String,
    /// The interval asked for.
    pub expires: Duration,
}

/// What a carrier may ask of us.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TrunkCredential {
    /// The user name of the digest.
    pub user: String,
    /// Its password.
    pub password: Secret,
    /// The only realm it is shown to; any realm of the trunk's first challenge when `None`.
    pub realm: Option<String>,
}

/// Reliable provisional answers on a trunk (RFC 3262).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reliable {
    /// Never offered; a peer that requires it still gets it.
    Off,
    /// Offered, and used with a peer that supports it and a body to carry.
    #[default]
    Offered,
    /// Required of the peer.
    Required,
}

/// TLS with a trunk.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct TrunkTls {
    /// PEM file of the authorities that may sign its certificate; the system's when `None`.
    pub ca_file: Option<String>,
    /// PEM files of our certificate and key, where it wants one.
    pub identity: Option<(String, String)>,
    /// Whether calls in over TLS must show a certificate signed by `ca_file`.
    pub mutual: bool,
}

/// How a trunk's messages are read.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct IncomingFormat {
    /// What is done to the called number before the plan sees it.
    pub called: NumberRule,
    /// What is done to the caller's number.
    pub caller: NumberRule,
    /// Where the called number stands.
    pub called_from: CalledFrom,
    /// Header rules, in order, before anything is read.
    pub headers: Vec<HeaderRule>,
}

/// How a trunk's messages are written.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct OutgoingFormat {
    /// What is done to the called number.
    pub called: NumberRule,
    /// What is done to the caller's number.
    pub caller: NumberRule,
    /// `;user=phone` on URIs with numbers.
    pub user_phone: bool,
    /// The host of From and P-Asserted-Identity; our address when `None`.
    pub domain: Option<String>,
    /// The host of Request-URI and To; the target's address when `None`.
    pub peer_domain: Option<String>,
    /// The number presented for our own calls, 12345 as the carrier demands it.
    pub present: Option<String>,
    /// What From carries.
    pub from: FromCarries,
    /// Whether P-Asserted-Identity carries the caller.
    pub asserted: bool,
    /// Whether the number dialled goes along as Diversion.
    pub diversion: bool,
    /// Whether it goes along as History-Info.
    pub history_info: bool,
    /// Header rules, in order, last of all.
    pub headers: Vec<HeaderRule>,
}

impl Default for OutgoingFormat {
    fn default() -> Self {
        Self {
            called: NumberRule::default(),
            caller: NumberRule::default(),
            user_phone: false,
            domain: None,
            peer_domain: None,
            present: None,
            from: FromCarries::Caller,
            asserted: true,
            diversion: true,
            history_info: true,
            headers: Vec::new(),
        }
    }
}

/// A change of a number's form: the first prefix of `strip` that fits goes, then `add` comes in front. Emergency numbers
/// are never changed: whoever applies a rule asks first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct NumberRule {
    /// Prefixes to take off.
    pub strip: Vec<String>,
    /// What to put in front.
    pub add: String,
    /// Digits a number must have at least for `add`; short codes stay as they are.
    pub add_from_length: u8,
}

impl NumberRule {
    /// Whether it changes nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.strip.is_empty() && self.add.is_empty()
    }

    /// The number (`+` and digits, no separators) in its new form. A prefix that is the whole number stays, and nothing
    /// comes in front of a `+`: such a number is complete.
    #[must_use]
    pub fn apply(&self, number: &str) -> String {
        let fits = |prefix: &String| number.strip_prefix(prefix.as_str()).filter(|rest| !rest.is_empty());
        let rest = self.strip.iter().find_map(fits).unwrap_or(number);
        let digits = rest.bytes().filter(u8::is_ascii_digit).count();
        let complete = rest.starts_with('+') || digits < usize::from(self.add_from_length);
        let add = if complete { "" } else { self.add.as_str() };
        format!("{add}{rest}")
    }
}

/// Where the called number stands in an INVITE.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CalledFrom {
    /// In the Request-URI.
    #[default]
    RequestUri,
    /// In To: what a registered trunk's carrier leaves when the Request-URI is our Contact.
    To,
    /// In P-Called-Party-ID, as IMS writes it to a registered line (RFC 7315 §4.2).
    #[serde(rename = "p_called_party_id")]
    CalledParty,
}

/// What From carries toward a trunk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FromCarries {
    /// The caller's number.
    #[default]
    Caller,
    /// The number presented (`present`); the caller stands in P-Asserted-Identity only.
    Present,
}

/// A rule for one header field.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum HeaderRule {
    /// Adds a field.
    Add(String, String),
    /// Removes all fields of a name.
    Remove(String),
    /// Outgoing only: copies all fields of a name from the caller's INVITE, byte-exact.
    Copy(String),
}

/// Who sends the calls of a trunk (`domain.md` §4b `source`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CallSource {
    /// Citizens.
    #[default]
    Public,
    /// The 110 platform passing on what is not urgent.
    #[serde(rename = "110")]
    Police,
    /// The province's platform.
    Province,
    /// A sub-centre or department handing over.
    Subcentre,
}

impl SourceMatch {
    /// How closely this names the source: prefix bits, one more for `ip:port`; `None` when it does not match.
    #[must_use]
    pub fn specificity(&self, source: SocketAddr) -> Option<u16> {
        match (self, source.ip().to_canonical()) {
            (Self::Peer(peer), ip) => {
                (peer.ip().to_canonical() == ip && peer.port() == source.port()).then_some(u16::from(u8::MAX) + 1)
            }
            (Self::Net(IpAddr::V4(net), bits), IpAddr::V4(ip)) => {
                same_bits(&net.octets(), &ip.octets(), *bits).then_some(u16::from(*bits))
            }
            (Self::Net(IpAddr::V6(net), bits), IpAddr::V6(ip)) => {
                same_bits(&net.octets(), &ip.octets(), *bits).then_some(u16::from(*bits))
            }
            (Self::Net(..), _) => None,
        }
    }
}

fn same_bits(left: &[u8], right: &[u8], bits: u8) -> bool {
    let mut left_over = u32::from(bits);
    left.iter().zip(right).all(|(a, b)| {
        let here = left_over.min(8);
        left_over -= here;
        let mask = u8::try_from(0xff00_u32 >> here & 0xff).unwrap_or(0);
        a & mask == b & mask
    })
}
