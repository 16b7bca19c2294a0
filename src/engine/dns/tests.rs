//! A DNS server of the tests' own on loopback: one UDP socket, answers written by hand.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::net::UdpSocket;

use super::*;
use crate::plan::settings::Listen;

const NAPTR: u16 = 35;
const SRV: u16 = 33;
const A: u16 = 1;
const AAAA: u16 = 28;

/// Name and type to records (age in seconds, data); an unknown name has none.
type Zone = BTreeMap<(&'static str, u16), Vec<(u32, Vec<u8>)>>;

fn labels(name: &str) -> Vec<u8> {
    let mut out = Vec::new();
    for label in name.split('.').filter(|label| !label.is_empty()) {
        out.push(u8::try_from(label.len()).unwrap());
        out.extend(label.as_bytes());
    }
    out.push(0);
    out
}

fn srv_data(priority: u16, weight: u16, port: u16, target: &str) -> Vec<u8> {
    let mut out: Vec<u8> = [priority, weight, port].iter().flat_map(|number| number.to_be_bytes()).collect();
    out.extend(labels(target));
    out
}

fn naptr_data(order: u16, preference: u16, service: &str, replacement: &str) -> Vec<u8> {
    let mut out: Vec<u8> = [order, preference].iter().flat_map(|number| number.to_be_bytes()).collect();
    for text in ["s", service, ""] {
        out.push(u8::try_from(text.len()).unwrap());
        out.extend(text.as_bytes());
    }
    out.extend(labels(replacement));
    out
}

/// What the server answers to a query: the zone's records, or a status alone.
fn reply(zone: &Zone, query: &[u8], status: u8) -> Option<Vec<u8>> {
    let mut at = 12;
    let mut name = String::new();
    while *query.get(at)? != 0 {
        let length = usize::from(*query.get(at)?);
        if !name.is_empty() {
            name.push('.');
        }
        name.push_str(&String::from_utf8_lossy(query.get(at + 1..at + 1 + length)?).to_lowercase());
        at += 1 + length;
    }
    let kind = u16::from_be_bytes([*query.get(at + 1)?, *query.get(at + 2)?]);
    let question = query.get(12..at + 5)?;
    let known = zone.keys().any(|(known, _)| *known == name);
    let records =
        zone.iter().find(|((known, of), _)| *known == name && *of == kind).map(|(_, records)| records.clone());
    let records = records.filter(|_| status == 0).unwrap_or_default();
    let status = if status == 0 && !known { 3 } else { status };
    let mut out = query.get(..2)?.to_vec();
    out.extend([0x81, 0x80 | status, 0, 1]);
    out.extend(u16::try_from(records.len()).unwrap().to_be_bytes());
    out.extend([0, 0, 0, 0]);
    out.extend(question);
    for (age, data) in records {
        out.extend([0xc0, 12]);
        out.extend(kind.to_be_bytes());
        out.extend([0, 1]);
        out.extend(age.to_be_bytes());
        out.extend(u16::try_from(data.len()).unwrap().to_be_bytes());
        out.extend(data);
    }
    Some(out)
}

/// Starts a server; its address and the count of its queries. `status` is what it says instead of records, `None`
/// that it says nothing.
async fn serve(zone: Zone, status: Option<u8>) -> (SocketAddr, Arc<AtomicU64>) {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let at = socket.local_addr().unwrap();
    let asked = Arc::<AtomicU64>::default();
    let count = Arc::clone(&asked);
    let tasks = tokio_util::task::TaskTracker::new();
    tasks.spawn(async move {
        let mut buffer = [0; 1_500];
        while let Ok((length, from)) = socket.recv_from(&mut buffer).await {
            count.fetch_add(1, Ordering::Relaxed);
            let answer = status.and_then(|status| reply(&zone, buffer.get(..length)?, status));
            if let Some(answer) = answer {
                let _ = socket.send_to(&answer, from).await;
            }
        }
    });
    (at, asked)
}

fn dns(server: SocketAddr) -> Dns {
    let listen = |transport| Listen { transport, addr: "127.0.0.1:5060".parse().unwrap() };
    Dns::new(&[server], &[listen(Transport::Udp), listen(Transport::Tcp)])
}

fn wanted(host: &str, port: Option<u16>) -> Wanted {
    Wanted { host: host.to_owned(), port, transport: None }
}

fn all(found: &Found) -> Vec<String> {
    found.all().map(|(transport, at)| format!("{}:{at}", transport.param_name())).collect()
}

#[tokio::test]
async fn rfc3263_a_name_is_followed_through_naptr_srv_and_both_address_families() {
    let zone = Zone::from([
        (
            ("carrier.example", NAPTR),
            vec![
                (300, naptr_data(50, 10, "SIP+D2T", "_sip._tcp.carrier.example")),
                (300, naptr_data(90, 10, "SIP+D2U", "_sip._udp.carrier.example")),
            ],
        ),
        (("_sip._tcp.carrier.example", SRV), vec![(120, srv_data(1, 0, 5_070, "a.carrier.example"))]),
        (("_sip._udp.carrier.example", SRV), vec![(120, srv_data(1, 0, 5_060, "b.carrier.example"))]),
        (("a.carrier.example", A), vec![(60, vec![192, 0, 2, 1])]),
        (("a.carrier.example", AAAA), vec![(90, [0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1].to_vec())]),
        (("b.carrier.example", A), vec![(600, vec![192, 0, 2, 2])]),
    ]);
    let (server, _) = serve(zone, Some(0)).await;
    let (found, age) = dns(server).locate(wanted("carrier.example", None)).await.unwrap();
    assert_eq!(all(&found), ["tcp:192.0.2.1:5070", "tcp:[2001:db8::1]:5070", "udp:192.0.2.2:5060"]);
    assert_eq!(age, Duration::from_secs(60), "the shortest age of all records");
}

#[tokio::test]
async fn a_name_with_a_port_asks_for_addresses_only_and_a_missing_one_is_no_fault() {
    let (server, asked) = serve(Zone::from([(("a.example", A), vec![(7, vec![192, 0, 2, 9])])]), Some(0)).await;
    let dns = dns(server);
    let (found, age) = dns.locate(wanted("a.example", Some(5_080))).await.unwrap();
    assert_eq!((all(&found), age), (vec!["udp:192.0.2.9:5080".to_owned()], Duration::from_secs(7)));
    assert_eq!(asked.load(Ordering::Relaxed), 2, "A and AAAA");
    let (found, _) = dns.locate(wanted("nowhere.example", Some(5_080))).await.unwrap();
    assert!(found.is_empty());
}

#[tokio::test]
async fn a_server_that_fails_is_a_fault_and_no_empty_answer() {
    let (server, _) = serve(Zone::new(), Some(2)).await;
    assert!(dns(server).locate(wanted("a.example", Some(5_080))).await.is_err());
}

#[tokio::test]
async fn a_server_that_says_nothing_is_given_up() {
    let (server, _) = serve(Zone::new(), None).await;
    assert!(dns(server).locate(wanted("a.example", Some(5_080))).await.is_err());
}

#[tokio::test]
async fn a_name_that_is_none_is_a_fault() {
    let (server, _) = serve(Zone::new(), Some(0)).await;
    assert!(dns(server).locate(wanted(&"x".repeat(300), Some(5_080))).await.is_err());
}
