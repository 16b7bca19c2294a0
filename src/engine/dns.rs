//! The DNS: carries out a search for a name that the switch wants located, record by record.
//!
//! Each search is a task of its own and bounded in time, so that a slow server keeps nobody waiting but that name.
//! Nothing is cached here: the switch keeps answers by their age, and asks again before they are too old.
//! Deliberately absent: what to ask and which host to take (`switch::locate`), when to ask (`switch`).
//!
//! | limit | value |
//! |---|---|
//! | one question | 2 s, twice |
//! | a whole search | 15 s |
//! | records taken of one answer | 64 |

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolverConfig};
use hickory_resolver::net::NetError;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::proto::rr::{Name, RData, RecordType};

use crate::base::flow::Transport;
use crate::plan::settings::Listen;
use crate::switch::locate::{Found, Naptr, Question, Records, Search, Srv, Wanted};

const QUESTION: Duration = Duration::from_millis(if cfg!(test) { 100 } else { 2_000 });
const SEARCH: Duration = Duration::from_secs(15);
const RECORDS: usize = 64;
/// Rounds of questions a search may take: NAPTR, SRV, addresses, and one to spare.
const ROUNDS: usize = 4;
/// How long an answer without any record of its own age holds.
const AGELESS: Duration = Duration::from_secs(60);

/// Who is asked.
#[derive(Clone)]
pub struct Dns {
    resolver: Option<TokioResolver>,
    speaks: Vec<Transport>,
}

impl Dns {
    /// Asks these servers, or the system's when there are none, for what the listeners speak.
    #[must_use]
    pub fn new(servers: &[SocketAddr], listens: &[Listen]) -> Self {
        let mut speaks = Vec::new();
        for listen in listens {
            if !speaks.contains(&listen.transport) {
                speaks.push(listen.transport);
            }
        }
        let resolver = build(servers);
        if let Err(fault) = &resolver {
            tracing::error!(%fault, "no name can be looked up");
        }
        Self { resolver: resolver.ok(), speaks }
    }

    /// Looks a name up; what was found and how long it holds, or why nothing was.
    ///
    /// # Errors
    /// The fault of the question that could not be answered.
    pub async fn locate(&self, wanted: Wanted) -> Result<(Found, Duration), String> {
        let host = wanted.host.clone();
        let search = tokio::time::timeout(SEARCH, self.search(wanted)).await;
        search.unwrap_or_else(|_| Err(format!("`{host}`: no answer within {} s", SEARCH.as_secs())))
    }

    async fn search(&self, wanted: Wanted) -> Result<(Found, Duration), String> {
        let resolver = self.resolver.as_ref().ok_or("no DNS server is configured")?;
        let mut search = Search::new(wanted, self.speaks.clone());
        let mut age = None::<Duration>;
        for _ in 0..ROUNDS {
            let questions = search.questions();
            if questions.is_empty() {
                break;
            }
            for question in questions {
                let (records, holds) = ask(resolver, &question).await?;
                age = [age, holds].into_iter().flatten().min();
                search.answer(question, records);
            }
        }
        Ok((search.found(), age.unwrap_or(AGELESS)))
    }
}

fn build(servers: &[SocketAddr]) -> Result<TokioResolver, NetError> {
    let provider = TokioRuntimeProvider::default();
    let mut builder = if servers.is_empty() {
        TokioResolver::builder(provider)?
    } else {
        let server = |at: &SocketAddr| {
            let connections = [ConnectionConfig::udp(), ConnectionConfig::tcp()].map(|mut connection| {
                connection.port = at.port();
                connection
            });
            NameServerConfig::new(at.ip(), true, connections.to_vec())
        };
        let config = ResolverConfig::from_parts(None, Vec::new(), servers.iter().map(server).collect());
        TokioResolver::builder_with_config(config, provider)
    };
    let options = builder.options_mut();
    options.timeout = QUESTION;
    options.attempts = 2;
    options.cache_size = 0;
    options.try_tcp_on_error = true;
    builder.build()
}

async fn ask(resolver: &TokioResolver, question: &Question) -> Result<(Records, Option<Duration>), String> {
    match question {
        Question::Naptr(name) => {
            let (found, age) = records(resolver, name, RecordType::NAPTR, naptr).await?;
            Ok((Records::Naptr(found), age))
        }
        Question::Srv(name) => {
            let (found, age) = records(resolver, name, RecordType::SRV, srv).await?;
            Ok((Records::Srv(found), age))
        }
        Question::Addresses(name) => {
            let (four, six) = tokio::join!(
                records(resolver, name, RecordType::A, address),
                records(resolver, name, RecordType::AAAA, address),
            );
            // One family that cannot be had does not spoil the other.
            let (mut found, age) = match (four, six) {
                (Ok((mut four, one)), Ok((six, other))) => {
                    four.extend(six);
                    (four, [one, other].into_iter().flatten().min())
                }
                (Ok(known), Err(fault)) | (Err(fault), Ok(known)) if known.0.is_empty() => return Err(fault),
                (Ok(known), Err(_)) | (Err(_), Ok(known)) => known,
                (Err(fault), Err(_)) => return Err(fault),
            };
            found.dedup();
            Ok((Records::Addresses(found), age))
        }
    }
}

/// The records of a name and the shortest of their ages; none is no fault.
async fn records<T>(
    resolver: &TokioResolver,
    name: &str,
    kind: RecordType,
    read: impl Fn(&RData) -> Option<T>,
) -> Result<(Vec<T>, Option<Duration>), String> {
    // With its final dot the name is looked up as it is, in no search domain.
    let whole = Name::from_utf8(format!("{name}.")).map_err(|fault| format!("`{name}`: {fault}"))?;
    match resolver.lookup(whole, kind).await {
        Ok(lookup) => {
            let answers = || lookup.answers().iter().take(RECORDS);
            let age = answers().map(|record| Duration::from_secs(u64::from(record.ttl))).min();
            Ok((answers().filter_map(|record| read(&record.data)).collect(), age))
        }
        Err(fault) if fault.is_no_records_found() => Ok((Vec::new(), None)),
        Err(fault) => Err(format!("`{name}` {kind}: {fault}")),
    }
}

fn text(octets: &[u8]) -> String {
    String::from_utf8_lossy(octets).into_owned()
}

fn host(name: &Name) -> String {
    let shown = name.to_ascii().to_ascii_lowercase();
    if shown == "." { shown } else { shown.trim_end_matches('.').to_owned() }
}

fn naptr(data: &RData) -> Option<Naptr> {
    let RData::NAPTR(naptr) = data else { return None };
    Some(Naptr {
        order: naptr.order,
        preference: naptr.preference,
        flags: text(&naptr.flags),
        service: text(&naptr.services),
        replacement: host(&naptr.replacement),
    })
}

fn srv(data: &RData) -> Option<Srv> {
    let RData::SRV(srv) = data else { return None };
    Some(Srv { priority: srv.priority, weight: srv.weight, port: srv.port, target: host(&srv.target) })
}

fn address(data: &RData) -> Option<IpAddr> {
    match data {
        RData::A(found) => Some(IpAddr::V4(found.0)),
        RData::AAAA(found) => Some(IpAddr::V6(found.0)),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
