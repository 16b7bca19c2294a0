//! Where a host name leads: which records to ask for, and in which order what they name is tried.
//!
//! RFC 3263 §4.1 (transport by NAPTR, else by which SRV records there are), §4.2 (port and address by SRV, else A and
//! AAAA); RFC 2782 (priority, then a draw by weight). Records are values: the engine asks, this module says what for
//! until nothing is left to ask, and draws anew for each call. Deliberately absent: asking, ages of records
//! (`names`), and enquiries about literal addresses.
//!
//! | the URI says | transport | port |
//! |---|---|---|
//! | transport and port | its own | its own; A and AAAA |
//! | a port only | UDP | its own; A and AAAA |
//! | a transport only | its own | SRV; without, 5060 or 5061 |
//! | neither | NAPTR; without, every one we speak that has SRV records; without, UDP | SRV; without, 5060 |
//!
//! | limit | value |
//! |---|---|
//! | services taken of a name | 8 |
//! | hosts taken of a service | 16 |
//! | addresses taken of a host | 8 |

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use crate::base::flow::Transport;
use crate::plan::trunk::TrunkTarget;

const SERVICES: usize = 8;
const HOSTS: usize = 16;
const ADDRESSES: usize = 8;

/// What is to be located: the parts of a URI that decide.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Wanted {
    /// The host name, without a final dot, in lower case.
    pub host: String,
    /// The port, where the URI has one.
    pub port: Option<u16>,
    /// The transport, where it has one.
    pub transport: Option<Transport>,
}

impl Wanted {
    /// What a target needs located; `None` when its host is an address.
    #[must_use]
    pub fn of(target: &TrunkTarget) -> Option<Self> {
        if target.host.trim_matches(['[', ']']).parse::<IpAddr>().is_ok() {
            return None;
        }
        let host = target.host.trim_end_matches('.').to_ascii_lowercase();
        Some(Self { host, port: target.port, transport: target.transport })
    }
}

/// A NAPTR record (RFC 3403 §4.1).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Naptr {
    /// Lower ones first, and only then the next.
    pub order: u16,
    /// Lower ones first within an order.
    pub preference: u16,
    /// `s` says that the replacement has SRV records.
    pub flags: String,
    /// `SIP+D2U`, `SIP+D2T`, `SIPS+D2T`.
    pub service: String,
    /// Where to look further.
    pub replacement: String,
}

/// An SRV record (RFC 2782).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Srv {
    /// Lower ones first.
    pub priority: u16,
    /// Share among those of one priority.
    pub weight: u16,
    /// The port.
    pub port: u16,
    /// The host; `.` says that the service is not offered.
    pub target: String,
}

/// Something to ask the DNS.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Question {
    /// NAPTR records of a name.
    Naptr(String),
    /// SRV records of a name.
    Srv(String),
    /// A and AAAA records of a name.
    Addresses(String),
}

/// What the DNS said; an empty list says that there are none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Records {
    /// To [`Question::Naptr`].
    Naptr(Vec<Naptr>),
    /// To [`Question::Srv`].
    Srv(Vec<Srv>),
    /// To [`Question::Addresses`].
    Addresses(Vec<IpAddr>),
}

/// A host that serves, with the rank of its service.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Host {
    rank: (u16, u16),
    weight: u16,
    /// How it is spoken to.
    pub transport: Transport,
    /// Its port.
    pub port: u16,
    /// Its addresses.
    pub addresses: Vec<IpAddr>,
}

/// All that serve a name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    hosts: Vec<Host>,
}

impl Found {
    /// Whether nobody serves it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.hosts.iter().all(|host| host.addresses.is_empty())
    }

    /// Every address in the order of the records, for who wants them all.
    pub fn all(&self) -> impl Iterator<Item = (Transport, SocketAddr)> {
        self.hosts.iter().flat_map(Host::addresses)
    }

    /// The addresses in the order one call tries them: by rank, and within a rank by the draw of RFC 2782.
    pub fn drawn(&self, mut draw: impl FnMut() -> u64) -> Vec<(Transport, SocketAddr)> {
        let mut ranks = BTreeMap::<_, Vec<&Host>>::new();
        for host in &self.hosts {
            ranks.entry(host.rank).or_default().push(host);
        }
        let shares = |host: &&Host| u32::from(host.weight);
        ranks.into_values().flat_map(|hosts| by_weight(hosts, shares, &mut draw)).flat_map(Host::addresses).collect()
    }
}

impl Host {
    fn addresses(&self) -> impl Iterator<Item = (Transport, SocketAddr)> {
        self.addresses.iter().map(|ip| (self.transport, SocketAddr::new(*ip, self.port)))
    }
}

/// Puts equals in a random order in which each is the next with the chance of its weight; those of weight 0 come only
/// when no other is left (RFC 2782 gives them "a very small chance"; ours is none, so that 0 can mean reserve).
pub fn by_weight<T>(mut left: Vec<T>, weight: impl Fn(&T) -> u32, mut draw: impl FnMut() -> u64) -> Vec<T> {
    let mut ordered = Vec::with_capacity(left.len());
    while !left.is_empty() {
        let total: u64 = left.iter().map(|one| u64::from(weight(one))).sum();
        let mut at = draw().checked_rem(total).unwrap_or(0);
        let next = left.iter().position(|one| {
            let share = u64::from(weight(one));
            let here = total == 0 || at < share;
            at = at.saturating_sub(share);
            here
        });
        ordered.push(left.remove(next.unwrap_or(0)));
    }
    ordered
}

/// A name being located: what is known so far.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Search {
    wanted: Wanted,
    speaks: Vec<Transport>,
    naptr: Option<Vec<Naptr>>,
    srv: BTreeMap<String, Vec<Srv>>,
    addresses: BTreeMap<String, Vec<IpAddr>>,
}

/// A service to reach: its rank among the services, its transport, where its SRV records stand.
struct Service {
    rank: u16,
    transport: Transport,
    at: String,
}

impl Search {
    /// Nothing asked yet; `speaks` are the transports of our listeners, best first.
    #[must_use]
    pub const fn new(wanted: Wanted, speaks: Vec<Transport>) -> Self {
        Self { wanted, speaks, naptr: None, srv: BTreeMap::new(), addresses: BTreeMap::new() }
    }

    /// What has to be asked next; empty when all is known.
    #[must_use]
    pub fn questions(&self) -> Vec<Question> {
        if self.wants_naptr() && self.naptr.is_none() {
            return vec![Question::Naptr(self.wanted.host.clone())];
        }
        let services = self.services();
        let unknown: Vec<_> = services.iter().filter(|service| !self.srv.contains_key(&service.at)).collect();
        if !unknown.is_empty() {
            return unknown.into_iter().map(|service| Question::Srv(service.at.clone())).collect();
        }
        let mut hosts: Vec<_> =
            services.iter().flat_map(|service| self.served(service)).map(|srv| &srv.target).collect();
        if hosts.is_empty() {
            hosts.push(&self.wanted.host);
        }
        hosts.sort();
        hosts.dedup();
        let unknown = hosts.into_iter().filter(|host| !self.addresses.contains_key(*host));
        unknown.map(|host| Question::Addresses(host.clone())).collect()
    }

    /// Takes an answer.
    pub fn answer(&mut self, question: Question, records: Records) {
        match (question, records) {
            (Question::Naptr(_), Records::Naptr(found)) => self.naptr = Some(found),
            (Question::Srv(at), Records::Srv(found)) => drop(self.srv.insert(at, found)),
            (Question::Addresses(host), Records::Addresses(mut found)) => {
                found.truncate(ADDRESSES);
                self.addresses.insert(host, found);
            }
            (Question::Naptr(_) | Question::Srv(_) | Question::Addresses(_), _) => {}
        }
    }

    /// What serves the name, once nothing is left to ask.
    #[must_use]
    pub fn found(&self) -> Found {
        let mut hosts = Vec::new();
        for service in self.services() {
            hosts.extend(self.served(&service).map(|srv| Host {
                rank: (service.rank, srv.priority),
                weight: srv.weight,
                transport: service.transport,
                port: srv.port,
                addresses: self.addresses.get(&srv.target).cloned().unwrap_or_default(),
            }));
        }
        if hosts.is_empty() {
            let transport = self.wanted.transport.unwrap_or(Transport::Udp);
            let port = self.wanted.port.unwrap_or(if transport == Transport::Tls { 5061 } else { 5060 });
            let addresses = self.addresses.get(&self.wanted.host).cloned().unwrap_or_default();
            hosts.push(Host { rank: (0, 0), weight: 0, transport, port, addresses });
        }
        hosts.retain(|host| !host.addresses.is_empty());
        hosts.sort_by_key(|host| host.rank);
        Found { hosts }
    }

    const fn wants_naptr(&self) -> bool {
        self.wanted.port.is_none() && self.wanted.transport.is_none()
    }

    fn services(&self) -> Vec<Service> {
        if self.wanted.port.is_some() {
            return Vec::new();
        }
        if let Some(transport) = self.wanted.transport {
            return self.conventional(transport, 0).into_iter().collect();
        }
        let mut known: Vec<_> =
            self.naptr.iter().flatten().filter(|naptr| self.transport_of(naptr).is_some()).collect();
        known.sort();
        if known.is_empty() {
            let guessed =
                self.speaks.iter().zip(0..).filter_map(|(transport, rank)| self.conventional(*transport, rank));
            return guessed.take(SERVICES).collect();
        }
        let service = |(naptr, rank): (&Naptr, u16)| {
            Some(Service { rank, transport: self.transport_of(naptr)?, at: plain(&naptr.replacement) })
        };
        known.into_iter().zip(0..).filter_map(service).take(SERVICES).collect()
    }

    /// The SRV name a transport has by convention (RFC 3263 §4.1).
    fn conventional(&self, transport: Transport, rank: u16) -> Option<Service> {
        let prefix = match transport {
            Transport::Udp => "_sip._udp",
            Transport::Tcp => "_sip._tcp",
            Transport::Tls => "_sips._tcp",
            Transport::Ws | Transport::Wss => return None,
        };
        Some(Service { rank, transport, at: format!("{prefix}.{}", self.wanted.host) })
    }

    fn transport_of(&self, naptr: &Naptr) -> Option<Transport> {
        let transport = match naptr.service.to_ascii_uppercase().as_str() {
            "SIP+D2U" => Transport::Udp,
            "SIP+D2T" => Transport::Tcp,
            "SIPS+D2T" => Transport::Tls,
            _ => return None,
        };
        let usable = naptr.flags.eq_ignore_ascii_case("s") && self.speaks.contains(&transport);
        usable.then_some(transport)
    }

    fn served(&self, service: &Service) -> impl Iterator<Item = &Srv> {
        let of_it = self.srv.get(&service.at).into_iter().flatten();
        of_it.filter(|srv| srv.target != "." && !srv.target.is_empty() && srv.port != 0).take(HOSTS)
    }
}

fn plain(name: &str) -> String {
    name.trim_end_matches('.').to_ascii_lowercase()
}

#[cfg(test)]
mod tests;
