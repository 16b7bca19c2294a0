//! RFC 3261 §10.3 step by step.

mod outbound;

use proptest::prelude::*;

use super::*;
use crate::base::flow::{Side, Transport};

fn at(seconds: u64) -> Now {
    Now { mono: Mono::ZERO, wall: jiff::Timestamp::UNIX_EPOCH }.after(Duration::from_secs(seconds))
}

fn flow(id: u64) -> Flow {
    Flow {
        id: FlowId(id),
        side: Side::Agent,
        transport: Transport::Tcp,
        local: "127.0.0.1:5062".parse().unwrap(),
        remote: "127.0.0.1:40000".parse().unwrap(),
    }
}

fn register(call_id: &str, cseq: u32, lines: &str) -> Message {
    let text = format!(
        "REGISTER sip:12345.example SIP/2.0\r\nVia: SIP/2.0/TCP h;branch=z9hG4bK{call_id}{cseq}\r\n\
         From: <sip:1001@12345.example>;tag=f\r\nTo: <sip:1001@12345.example>\r\nCall-ID: {call_id}\r\n\
         CSeq: {cseq} REGISTER\r\nMax-Forwards: 70\r\n{}Content-Length: 0\r\n\r\n",
        lines.replace('\n', "\r\n")
    );
    Message::datagram(Bytes::from(text)).unwrap()
}

struct Bench {
    registrar: Registrar,
    out: Vec<RegistrarEffect>,
}

impl Bench {
    fn new() -> Self {
        Self { registrar: Registrar::new(RegistrarLimits::default()), out: Vec::new() }
    }

    fn send(&mut self, seconds: u64, cseq: u32, lines: &str) -> Result<Vec<String>, RegistrarFault> {
        self.send_as("c", seconds, cseq, lines)
    }

    fn send_as(&mut self, call_id: &str, seconds: u64, cseq: u32, lines: &str) -> Result<Vec<String>, RegistrarFault> {
        let request = register(call_id, cseq, lines);
        let registered = self.send_over(flow(1), seconds, &request)?;
        Ok(registered.listed.iter().map(|listed| String::from_utf8(listed.value()).unwrap()).collect())
    }

    fn send_over(&mut self, flow: Flow, seconds: u64, request: &Message) -> Result<Registered, RegistrarFault> {
        self.out.clear();
        self.registrar.register(at(seconds), &agent(), request, flow, &mut self.out)
    }

    fn held(&self) -> &[Binding] {
        self.registrar.bindings(&agent())
    }

    fn gone(&self) -> Vec<(GoneWhy, bool)> {
        self.out
            .iter()
            .filter_map(|effect| match effect {
                RegistrarEffect::Gone { why, last, .. } => Some((*why, *last)),
                _ => None,
            })
            .collect()
    }
}

fn agent() -> AgentId {
    AgentId::new("1001")
}

#[test]
fn rfc3261_s10_3_a_contact_is_bound_refreshed_and_listed() {
    let mut bench = Bench::new();
    let listed = bench.send(0, 1, "Contact: <sip:1001@10.0.0.1:5071>;q=0.5\nExpires: 600\n").unwrap();
    assert_eq!(listed, ["<sip:1001@10.0.0.1:5071>;q=0.500;expires=600"]);
    assert_eq!(bench.out, [RegistrarEffect::Bound { agent: agent(), binding: 1, first: true }]);
    let listed = bench.send(100, 2, "Contact: <sip:1001@10.0.0.1:5071>;expires=300\n").unwrap();
    assert_eq!(listed, ["<sip:1001@10.0.0.1:5071>;expires=300"]);
    assert_eq!(bench.out, [RegistrarEffect::Refreshed { agent: agent(), binding: 1, moved: false }]);
    assert_eq!(bench.send(150, 3, "").unwrap(), ["<sip:1001@10.0.0.1:5071>;expires=250"], "a query lists");
    assert_eq!(bench.registrar.deadline(), Some(at(400).mono));
}

#[test]
fn rfc3261_s10_3_several_contacts_are_ordered_by_q_then_newest() {
    let mut bench = Bench::new();
    bench.send(0, 1, "Contact: <sip:a@h>;q=0.1, <sip:b@h>, <sip:c@h>;q=0.9\n").unwrap();
    let listed = bench.send(0, 2, "Contact: <sip:d@h>\n").unwrap();
    let users: Vec<_> = listed.iter().map(|value| &value[5..6]).collect();
    assert_eq!(users, ["d", "b", "c", "a"]);
}

#[test]
fn rfc3261_s10_3_too_brief_is_423_and_too_long_is_cut() {
    let mut bench = Bench::new();
    let fault = bench.send(0, 1, "Contact: <sip:a@h>;expires=59\n").unwrap_err();
    assert_eq!((fault, fault.status()), (RegistrarFault::TooBrief { least_s: 60 }, 423));
    let refusal = fault.dress(Draft::response(&register("c", 1, ""), 423, None)).finish();
    assert_eq!(refusal.header(Name::MinExpires), Some(&b"60"[..]));
    assert_eq!(bench.send(0, 2, "Contact: <sip:a@h>;expires=99999\n").unwrap(), ["<sip:a@h>;expires=3600"]);
    assert_eq!(bench.send(0, 3, "Contact: <sip:a@h>\n").unwrap(), ["<sip:a@h>;expires=3600"], "none named");
}

#[test]
fn rfc3261_s10_2_2_expires_0_removes_one_and_a_star_removes_all() {
    let mut bench = Bench::new();
    bench.send(0, 1, "Contact: <sip:a@h>, <sip:b@h>, <sip:c@h>\n").unwrap();
    assert_eq!(bench.send(0, 2, "Contact: <sip:b@h>;expires=0\n").unwrap().len(), 2);
    assert_eq!(bench.gone(), [(GoneWhy::Unregistered, false)]);
    assert_eq!(bench.send(0, 3, "Contact: *\n").unwrap_err(), RegistrarFault::BadContact);
    assert_eq!(bench.send(0, 4, "Contact: *\nExpires: 60\n").unwrap_err().status(), 400);
    assert_eq!(bench.send(0, 5, "Contact: *\nExpires: 0\n").unwrap(), [""; 0]);
    assert_eq!(bench.gone(), [(GoneWhy::Unregistered, false), (GoneWhy::Unregistered, true)]);
    assert!(bench.registrar.is_empty() && bench.registrar.deadline().is_none());
}

#[test]
fn rfc3261_s10_3_an_older_request_of_the_same_call_id_changes_nothing() {
    let mut bench = Bench::new();
    bench.send(0, 5, "Contact: <sip:a@h>\n").unwrap();
    let before = bench.registrar.clone();
    for lines in ["Contact: <sip:new@h>, <sip:a@h>\n", "Contact: <sip:a@h>;expires=0\n", "Contact: *\nExpires: 0\n"] {
        assert_eq!(bench.send(1, 5, lines).unwrap_err().status(), 500, "{lines}");
        assert_eq!(bench.send(1, 4, lines).unwrap_err(), RegistrarFault::OutOfOrder, "{lines}");
    }
    assert_eq!(bench.registrar, before);
    bench.send_as("after-reboot", 2, 1, "Contact: <sip:a@h>\n").unwrap();
}

#[test]
fn rfc3261_s10_3_one_bad_contact_spoils_the_whole_request() {
    let mut bench = Bench::new();
    for lines in
        ["Contact: <sip:a@h>, <sip:b@h>;expires=5\n", "Contact: <sip:a@h>, <tel:110>\n", "Contact: <sip:a@h>, *\n"]
    {
        bench.send(0, 1, lines).unwrap_err();
        assert!(bench.registrar.is_empty() && bench.out.is_empty());
    }
}

#[test]
fn a_binding_that_is_not_refreshed_expires_at_its_deadline() {
    let mut bench = Bench::new();
    bench.send(0, 1, "Contact: <sip:a@h>;expires=60, <sip:b@h>;expires=90\n").unwrap();
    bench.out.clear();
    bench.registrar.on_deadline(at(59), &mut bench.out);
    assert_eq!(bench.gone(), []);
    bench.registrar.on_deadline(at(60), &mut bench.out);
    assert_eq!(bench.gone(), [(GoneWhy::Expired, false)]);
    assert_eq!(bench.registrar.deadline(), Some(at(90).mono));
    bench.registrar.on_deadline(at(1000), &mut bench.out);
    assert_eq!(bench.gone(), [(GoneWhy::Expired, false), (GoneWhy::Expired, true)]);
}

#[test]
fn a_lost_connection_takes_its_bindings_along() {
    let mut bench = Bench::new();
    bench.send(0, 1, "Contact: <sip:a@h>, <sip:b@h>\n").unwrap();
    bench.registrar.on_flow_lost(FlowId(2), &mut bench.out);
    assert_eq!(bench.registrar.len(), 2);
    bench.out.clear();
    bench.registrar.on_flow_lost(FlowId(1), &mut bench.out);
    assert_eq!(bench.gone(), [(GoneWhy::FlowLost, false), (GoneWhy::FlowLost, true)]);
}

#[test]
fn bindings_of_one_agent_and_of_all_are_bounded() {
    let limits = RegistrarLimits { per_agent: 2, total: 3, ..RegistrarLimits::default() };
    let mut bench = Bench { registrar: Registrar::new(limits), out: Vec::new() };
    for (cseq, contact) in [(1, "a@h>;expires=70"), (2, "b@h>;expires=60"), (3, "c@h>;expires=80")] {
        bench.send(0, cseq, &format!("Contact: <sip:{contact}\n")).unwrap();
    }
    assert_eq!(bench.gone(), [(GoneWhy::Replaced, false)], "the one that would end first gives way");
    assert_eq!(bench.registrar.len(), 2);
    let fault = bench.send(0, 4, "Contact: <sip:d@h>, <sip:e@h>, <sip:f@h>\n").unwrap_err();
    assert_eq!((fault, fault.status()), (RegistrarFault::Full, 503));
    let other = AgentId::new("1002");
    let mut add = |cseq| {
        let request = register("o", cseq, &format!("Contact: <sip:x{cseq}@h>\n"));
        bench
            .registrar
            .register(at(0), &other, &request, flow(2), &mut Vec::new())
            .map(|registered| registered.listed.len())
    };
    assert_eq!((add(1), add(2)), (Ok(1), Err(RegistrarFault::Full)));
}

proptest! {
    #[test]
    fn the_books_agree_after_any_sequence(
        steps in prop::collection::vec((0_u8..3, 0_u8..6, prop::sample::select(vec![0_u32, 60, 90, 3600]), 0_u64..90), 1..60)
    ) {
        let limits = RegistrarLimits { per_agent: 3, total: 6, ..RegistrarLimits::default() };
        let mut registrar = Registrar::new(limits);
        let mut alive = BTreeSet::new();
        let mut clock = 0;
        for (cseq, (who, contact, expires, pause)) in (1..).zip(steps) {
            clock += pause;
            let mut out = Vec::new();
            let agent = AgentId::new(format!("100{who}"));
            let request = register("c", cseq, &format!("Contact: <sip:{contact}@h>;expires={expires}\n"));
            let _ = registrar.register(at(clock), &agent, &request, flow(1), &mut out);
            for effect in out {
                match effect {
                    RegistrarEffect::Bound { binding, .. } => prop_assert!(alive.insert(binding)),
                    RegistrarEffect::Refreshed { binding, .. } => prop_assert!(alive.contains(&binding)),
                    RegistrarEffect::Gone { binding, .. } => prop_assert!(alive.remove(&binding)),
                }
            }
            let held: BTreeSet<_> = registrar.agents().flat_map(|(_, list)| list.iter().map(|held| held.id)).collect();
            prop_assert_eq!(&held, &alive);
            prop_assert_eq!(registrar.len(), held.len());
            prop_assert!(held.len() <= 6);
            prop_assert!(registrar.agents().all(|(_, list)| !list.is_empty() && list.len() <= 3));
        }
        registrar.on_deadline(at(clock + 3600), &mut Vec::new());
        prop_assert!(registrar.is_empty());
    }
}
