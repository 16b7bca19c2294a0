//! Searches through made-up zones, and draws counted.

use super::*;

#[derive(Default)]
struct Zone {
    naptr: BTreeMap<&'static str, Vec<Naptr>>,
    srv: BTreeMap<&'static str, Vec<Srv>>,
    addresses: BTreeMap<&'static str, Vec<IpAddr>>,
    asked: Vec<Question>,
}

fn naptr(order: u16, preference: u16, service: &str, replacement: &str) -> Naptr {
    Naptr { order, preference, flags: "s".into(), service: service.into(), replacement: replacement.into() }
}

fn srv(priority: u16, weight: u16, port: u16, target: &str) -> Srv {
    Srv { priority, weight, port, target: target.into() }
}

fn ip(last: u8) -> IpAddr {
    IpAddr::from([192, 0, 2, last])
}

impl Zone {
    fn search(&mut self, host: &str, port: Option<u16>, transport: Option<Transport>) -> Found {
        let wanted = Wanted { host: host.into(), port, transport };
        let mut search = Search::new(wanted, vec![Transport::Udp, Transport::Tcp, Transport::Tls]);
        for _ in 0..10 {
            let questions = search.questions();
            if questions.is_empty() {
                return search.found();
            }
            for question in questions {
                self.asked.push(question.clone());
                let records = match &question {
                    Question::Naptr(name) => Records::Naptr(self.naptr.get(name.as_str()).cloned().unwrap_or_default()),
                    Question::Srv(name) => Records::Srv(self.srv.get(name.as_str()).cloned().unwrap_or_default()),
                    Question::Addresses(name) => {
                        Records::Addresses(self.addresses.get(name.as_str()).cloned().unwrap_or_default())
                    }
                };
                search.answer(question, records);
            }
        }
        panic!("the search does not end: {:?}", self.asked);
    }
}

fn ways(found: &Found) -> Vec<String> {
    let shown = |(transport, at): (Transport, SocketAddr)| format!("{}:{at}", transport.param_name());
    found.drawn(|| 0).into_iter().map(shown).collect()
}

#[test]
fn rfc3263_s4_2_a_port_asks_for_addresses_only() {
    let mut zone = Zone { addresses: BTreeMap::from([("carrier.example", vec![ip(1), ip(2)])]), ..Zone::default() };
    let found = zone.search("carrier.example", Some(5_080), None);
    assert_eq!(ways(&found), ["udp:192.0.2.1:5080", "udp:192.0.2.2:5080"]);
    assert_eq!(zone.asked, [Question::Addresses("carrier.example".into())]);
    let found = zone.search("carrier.example", Some(5_080), Some(Transport::Tcp));
    assert_eq!(ways(&found), ["tcp:192.0.2.1:5080", "tcp:192.0.2.2:5080"]);
}

#[test]
fn rfc3263_s4_1_naptr_chooses_the_transport_and_srv_the_port() {
    let mut zone = Zone {
        naptr: BTreeMap::from([(
            "carrier.example",
            vec![
                naptr(90, 50, "SIP+D2U", "_sip._udp.carrier.example."),
                naptr(50, 50, "SIPS+D2T", "_sips._tcp.carrier.example."),
                naptr(50, 10, "SIP+D2S", "_sip._sctp.carrier.example."),
            ],
        )]),
        srv: BTreeMap::from([
            ("_sips._tcp.carrier.example", vec![srv(2, 0, 5_071, "b.example"), srv(1, 0, 5_061, "a.example")]),
            ("_sip._udp.carrier.example", vec![srv(0, 0, 5_060, "c.example")]),
        ]),
        addresses: BTreeMap::from([("a.example", vec![ip(1)]), ("b.example", vec![ip(2)]), ("c.example", vec![ip(3)])]),
        ..Zone::default()
    };
    let found = zone.search("carrier.example", None, None);
    assert_eq!(ways(&found), ["tls:192.0.2.1:5061", "tls:192.0.2.2:5071", "udp:192.0.2.3:5060"]);
    assert!(!zone.asked.contains(&Question::Srv("_sip._sctp.carrier.example".into())), "a transport we do not speak");
}

#[test]
fn rfc3263_s4_1_without_naptr_every_transport_we_speak_is_tried_by_srv() {
    let mut zone = Zone {
        srv: BTreeMap::from([("_sip._tcp.carrier.example", vec![srv(0, 1, 5_070, "a.example")])]),
        addresses: BTreeMap::from([("a.example", vec![ip(1)]), ("carrier.example", vec![ip(9)])]),
        ..Zone::default()
    };
    assert_eq!(ways(&zone.search("carrier.example", None, None)), ["tcp:192.0.2.1:5070"]);
}

#[test]
fn rfc3263_s4_2_without_srv_the_name_itself_at_the_default_port() {
    let mut zone = Zone { addresses: BTreeMap::from([("carrier.example", vec![ip(9)])]), ..Zone::default() };
    assert_eq!(ways(&zone.search("carrier.example", None, None)), ["udp:192.0.2.9:5060"]);
    assert_eq!(ways(&zone.search("carrier.example", None, Some(Transport::Tls))), ["tls:192.0.2.9:5061"]);
    assert!(zone.asked.contains(&Question::Srv("_sips._tcp.carrier.example".into())));
    assert!(zone.search("nowhere.example", None, None).is_empty());
}

#[test]
fn rfc2782_a_target_of_a_single_dot_says_the_service_is_not_there() {
    let mut zone = Zone {
        srv: BTreeMap::from([("_sip._udp.carrier.example", vec![srv(0, 0, 5_060, ".")])]),
        addresses: BTreeMap::from([("carrier.example", vec![ip(9)])]),
        ..Zone::default()
    };
    assert_eq!(ways(&zone.search("carrier.example", None, Some(Transport::Udp))), ["udp:192.0.2.9:5060"]);
}

#[test]
fn rfc2782_priority_decides_first_and_weight_by_its_share() {
    let mut zone = Zone {
        srv: BTreeMap::from([(
            "_sip._udp.carrier.example",
            vec![srv(1, 100, 3, "c.example"), srv(0, 30, 1, "a.example"), srv(0, 10, 2, "b.example")],
        )]),
        addresses: BTreeMap::from([("a.example", vec![ip(1)]), ("b.example", vec![ip(2)]), ("c.example", vec![ip(3)])]),
        ..Zone::default()
    };
    let found = zone.search("carrier.example", None, Some(Transport::Udp));
    let mut state = 7_u64;
    let mut first = BTreeMap::<u16, u32>::new();
    for _ in 0..4_000 {
        let drawn = found.drawn(|| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            state >> 33
        });
        assert_eq!((drawn.len(), drawn[2].1.port()), (3, 3), "a lower priority comes last");
        *first.entry(drawn[0].1.port()).or_default() += 1;
    }
    let share = f64::from(first[&1]) / 4_000.0;
    assert!((0.72..0.78).contains(&share), "{share}");
}

#[test]
fn weight_0_is_a_reserve() {
    for drawn in 0..50 {
        let order = by_weight(vec![("reserve", 0_u32), ("a", 1), ("b", 3)], |one| one.1, || drawn);
        assert_eq!(order[2].0, "reserve");
    }
    let order = by_weight(vec![("a", 0_u32), ("b", 0)], |one| one.1, || 5);
    assert_eq!((order[0].0, order[1].0), ("a", "b"));
}

#[test]
fn long_answers_are_cut() {
    let many = (0..200).map(|nth| srv(0, 1, 5_060 + nth, "a.example")).collect();
    let mut zone = Zone {
        srv: BTreeMap::from([("_sip._udp.carrier.example", many)]),
        addresses: BTreeMap::from([("a.example", (0..200).map(ip).collect())]),
        ..Zone::default()
    };
    let found = zone.search("carrier.example", None, Some(Transport::Udp));
    assert_eq!(found.all().count(), HOSTS * ADDRESSES);
}

#[test]
fn an_address_needs_no_search() {
    let target = |host: &str| TrunkTarget { host: host.into(), port: None, transport: None, order: 0, weight: 1 };
    assert_eq!(Wanted::of(&target("192.0.2.1")), None);
    assert_eq!(Wanted::of(&target("[2001:db8::1]")), None);
    assert_eq!(Wanted::of(&target("Carrier.Example.")).map(|wanted| wanted.host), Some("carrier.example".into()));
}
