//! Phones behind connections, NATs and edge proxies: RFC 5626 §6 and RFC 3327 §5.3.

use super::*;

const OUTBOUND: &str = "Supported: path, outbound\n";

fn contact(host: &str, reg_id: u32) -> String {
    format!("Contact: <sip:1001@{host};ob>;+sip.instance=\"<urn:uuid:7>\";reg-id={reg_id}\n{OUTBOUND}")
}

/// A REGISTER that an edge proxy passed on.
fn through(edge_path: &str, call_id: &str, cseq: u32, lines: &str) -> Message {
    let request = register(call_id, cseq, &format!("{lines}{edge_path}"));
    let text = String::from_utf8(request.bytes().to_vec()).unwrap();
    let edge = "Via: SIP/2.0/TCP edge;branch=z9hG4bKe\r\nVia: ";
    Message::datagram(Bytes::from(text.replacen("Via: ", edge, 1))).unwrap()
}

fn udp(remote: &str) -> Flow {
    Flow { transport: Transport::Udp, remote: remote.parse().unwrap(), ..flow(1) }
}

fn via(request: &Message, sent_by: &str) -> Message {
    let text = String::from_utf8(request.bytes().to_vec()).unwrap();
    Message::datagram(Bytes::from(text.replacen("SIP/2.0/TCP h;", &format!("SIP/2.0/UDP {sent_by};"), 1))).unwrap()
}

#[test]
fn the_flow_of_a_number_moves_with_its_phone_whatever_its_address() {
    let mut bench = Bench::new();
    bench.send_over(flow(1), 0, &register("one", 1, &contact("a1.invalid", 1))).unwrap();
    let again = bench.send_over(flow(2), 10, &register("two", 1, &contact("b2.invalid", 1))).unwrap();
    assert!(again.outbound);
    assert_eq!(again.listed.len(), 1);
    let value = String::from_utf8(again.listed[0].value()).unwrap();
    assert_eq!(value, "<sip:1001@b2.invalid;ob>;expires=3600;+sip.instance=\"<urn:uuid:7>\";reg-id=1");
    assert_eq!(bench.out, [RegistrarEffect::Refreshed { agent: agent(), binding: 1, moved: true }]);
    bench.registrar.on_flow_lost(FlowId(1), &mut bench.out);
    assert_eq!(bench.held().len(), 1, "the flow it had before is not its flow any more");
}

#[test]
fn two_flows_of_one_phone_live_side_by_side_and_each_goes_alone() {
    let mut bench = Bench::new();
    bench.send_over(flow(1), 0, &register("c", 1, &contact("a.invalid", 1))).unwrap();
    bench.send_over(flow(2), 0, &register("c", 2, &contact("a.invalid", 2))).unwrap();
    assert_eq!(bench.held().len(), 2, "one address, two flows");
    bench.out.clear();
    bench.registrar.on_flow_lost(FlowId(1), &mut bench.out);
    assert_eq!(bench.gone(), [(GoneWhy::FlowLost, false)]);
    assert_eq!(bench.held()[0].flow, flow(2));
}

#[test]
fn an_older_request_does_not_bring_a_former_flow_back() {
    let mut bench = Bench::new();
    bench.send_over(flow(2), 0, &register("c", 7, &contact("new.invalid", 1))).unwrap();
    let late = bench.send_over(flow(1), 1, &register("c", 6, &contact("old.invalid", 1)));
    assert_eq!(late.unwrap_err(), RegistrarFault::OutOfOrder);
    assert_eq!(bench.held()[0].flow, flow(2));
}

#[test]
fn one_request_binds_one_flow() {
    let mut bench = Bench::new();
    let two = format!("{}Contact: <sip:1001@other>\n", contact("a.invalid", 1));
    assert_eq!(bench.send(0, 1, &two).unwrap_err().status(), 400);
    let one_and_farewell = format!("{}Contact: <sip:1001@other>;expires=0\n", contact("a.invalid", 1));
    assert_eq!(bench.send(0, 2, &one_and_farewell).unwrap().len(), 1);
}

#[test]
fn the_answer_says_what_was_applied() {
    let mut bench = Bench::new();
    let answer = |registered: &Registered| registered.dress(Draft::response(&register("c", 1, ""), 200, None)).finish();
    let plain = bench.send_over(flow(1), 0, &register("p", 1, "Contact: <sip:a@h>\n")).unwrap();
    let plain = answer(&plain);
    assert_eq!((plain.header(Name::Require), plain.header_named(b"Flow-Timer")), (None, None));
    let bound = bench.send_over(flow(1), 0, &register("c", 1, &contact("a.invalid", 1))).unwrap();
    let bound = answer(&bound);
    assert_eq!(bound.header(Name::Require), Some(&b"outbound"[..]));
    assert_eq!(bound.header_named(b"Flow-Timer"), Some(&b"120"[..]));
    assert!(bound.has_token(Name::Supported, "outbound") && bound.has_token(Name::Supported, "path"));
}

#[test]
fn a_first_hop_that_keeps_no_flows_is_told_to_the_phone_that_counts_on_it() {
    let mut bench = Bench::new();
    let lines = contact("10.1.1.1", 1);
    for path in ["", "Path: <sip:edge;lr>\n"] {
        let refused = bench.send_over(flow(1), 0, &through(path, "c", 1, &lines)).unwrap_err();
        assert_eq!((refused, refused.status()), (RegistrarFault::FirstHop, 439), "{path}");
    }
    assert!(bench.registrar.is_empty());
    let kept = bench.send_over(flow(1), 0, &through("Path: <sip:token@edge;lr;ob>\n", "c", 1, &lines)).unwrap();
    assert!(kept.outbound);
    let plain = through("", "d", 1, "Contact: <sip:1001@10.1.1.2>;+sip.instance=\"<urn:uuid:8>\";reg-id=1\n");
    assert!(!bench.send_over(flow(1), 0, &plain).unwrap().outbound, "it does not count on it");
}

#[test]
fn reg_id_without_the_extension_or_without_a_phone_is_not_looked_at() {
    let mut bench = Bench::new();
    let numbered = "Contact: <sip:1001@10.0.0.1>;+sip.instance=\"<urn:uuid:7>\";reg-id=1\n";
    assert!(!bench.send_over(flow(1), 0, &register("c", 1, numbered)).unwrap().outbound);
    let nobody = format!("Contact: <sip:1001@10.0.0.2>;reg-id=1\n{OUTBOUND}");
    assert!(!bench.send_over(flow(1), 0, &register("c", 2, &nobody)).unwrap().outbound);
    for bad in ["0", "x", "2147483648"] {
        let lines =
            format!("Contact: <sip:1001@10.0.0.3>;+sip.instance=\"<urn:uuid:9>\";reg-id={bad};expires=60\n{OUTBOUND}");
        assert!(
            !bench.send_over(flow(1), 0, &register("c", 3, &lines)).unwrap_or_else(|fault| panic!("{fault}")).outbound
        );
        bench.registrar.on_deadline(at(60), &mut Vec::new());
        bench = Bench::new();
    }
}

#[test]
fn a_phone_that_restarted_leaves_no_binding_behind_and_two_lines_of_one_phone_stay() {
    let mut bench = Bench::new();
    let line = |port: u16| format!("Contact: <sip:1001@10.0.0.1:{port}>;+sip.instance=\"<urn:uuid:7>\"\n");
    bench.send_as("boot1", 0, 1, &line(5071)).unwrap();
    bench.send_as("boot1", 0, 2, &line(5072)).unwrap();
    assert_eq!(bench.held().len(), 2);
    bench.send_as("boot2", 5, 1, &line(6071)).unwrap();
    assert_eq!(bench.gone(), [(GoneWhy::Replaced, false); 2]);
    assert_eq!(bench.held().len(), 1);
}

#[test]
fn rfc3327_s5_3_path_is_kept_answered_and_needs_a_phone_that_knows_it() {
    let mut bench = Bench::new();
    let path = "Path: <sip:edge1;lr>, <sip:edge2;lr>\n";
    let refused = bench.send(0, 1, &format!("Contact: <sip:a@h>\n{path}")).unwrap_err();
    assert_eq!((refused, refused.status()), (RegistrarFault::PathUnsupported, 420));
    let answer = refused.dress(Draft::response(&register("c", 1, ""), 420, None)).finish();
    assert_eq!(answer.header(Name::Unsupported), Some(&b"path"[..]));
    let lines = format!("Contact: <sip:a@h>\nSupported: path\n{path}");
    let registered = bench.send_over(flow(1), 0, &register("c", 2, &lines)).unwrap();
    let answer = registered.dress(Draft::response(&register("c", 2, ""), 200, None)).finish();
    assert_eq!(answer.values(Name::Path).collect::<Vec<_>>(), [b"<sip:edge1;lr>", b"<sip:edge2;lr>"]);
    assert_eq!(bench.held()[0].path, registered.path);
    assert_eq!(bench.held()[0].flow, flow(1));
    bench.send(0, 3, "Contact: <sip:a@h>\n").unwrap();
    assert!(bench.held()[0].path.is_empty(), "the newest request counts");
}

#[test]
fn rfc5626_s5_3_a_430_ends_the_one_binding_behind_that_edge() {
    let mut bench = Bench::new();
    let path = format!("{OUTBOUND}Path: <sip:x@edge;lr;ob>\n");
    bench.send_over(flow(1), 0, &register("c", 1, &format!("Contact: <sip:a@h>\n{path}"))).unwrap();
    bench.send_over(flow(1), 0, &register("c", 2, "Contact: <sip:direct@h>\n")).unwrap();
    bench.out.clear();
    bench.registrar.on_flow_failed(&agent(), &flow(2), &mut bench.out);
    bench.registrar.on_flow_failed(&AgentId::new("1002"), &flow(1), &mut bench.out);
    assert!(bench.out.is_empty());
    bench.registrar.on_flow_failed(&agent(), &flow(1), &mut bench.out);
    assert_eq!(bench.gone(), [(GoneWhy::FlowLost, false)]);
    assert_eq!(bench.held()[0].uri.as_bytes(), b"sip:direct@h");
    for (cseq, user) in [(3, "b"), (4, "c")] {
        let lines = format!("Contact: <sip:{user}@h>\n{path}");
        bench.send_over(flow(1), 0, &register("c", cseq, &lines)).unwrap();
    }
    bench.registrar.on_flow_failed(&agent(), &flow(1), &mut bench.out);
    assert_eq!(bench.held().len(), 3, "which of the two it was cannot be told");
}

#[test]
fn a_phone_is_reached_where_it_was_heard_unless_it_names_another_port_of_its_own() {
    let phone = udp("10.0.0.7:40000");
    for (sent_by, named, reached) in [
        ("10.0.0.7:40000", "10.0.0.7:5071", "10.0.0.7:5071"),
        ("10.0.0.7:40000", "10.0.0.7", "10.0.0.7:5060"),
        ("192.168.1.2:5060", "10.0.0.7:5071", "10.0.0.7:40000"),
        ("192.168.1.2:5060", "192.168.1.2:5060", "10.0.0.7:40000"),
        ("10.0.0.7:40000", "10.0.0.8:5071", "10.0.0.7:40000"),
        ("10.0.0.7:40000", "df7jal.invalid", "10.0.0.7:40000"),
        ("10.0.0.7", "10.0.0.7:5071", "10.0.0.7:40000"),
    ] {
        let mut bench = Bench::new();
        let request = via(&register("c", 1, &format!("Contact: <sip:1001@{named}>\n")), sent_by);
        bench.send_over(phone, 0, &request).unwrap();
        assert_eq!(bench.held()[0].flow.remote, reached.parse().unwrap(), "{sent_by} {named}");
    }
}

#[test]
fn what_one_binding_keeps_is_bounded() {
    let mut bench = Bench::new();
    let wide = format!("Contact: <sip:{}@h>\n", "x".repeat(2_100));
    assert_eq!(bench.send(0, 1, &wide).unwrap_err().status(), 400);
    let long = format!("Contact: <sip:a@h>\nSupported: path\nPath: <sip:{}@h;lr>\n", "x".repeat(2_100));
    assert_eq!(bench.send(0, 2, &long).unwrap_err().status(), 400);
    let room = format!("Contact: <sip:{}@h>\n", "x".repeat(2_000));
    bench.send(0, 3, &room).unwrap();
}

#[test]
fn who_is_no_agent_any_more_is_registered_no_more() {
    let mut bench = Bench::new();
    bench.send(0, 1, "Contact: <sip:a@h>, <sip:b@h>\n").unwrap();
    bench.out.clear();
    bench.registrar.retain(|agent| agent.as_str() == "1001", &mut bench.out);
    assert!(bench.out.is_empty());
    bench.registrar.retain(|_| false, &mut bench.out);
    assert_eq!(bench.gone(), [(GoneWhy::Withdrawn, false), (GoneWhy::Withdrawn, true)]);
    assert!(bench.registrar.is_empty() && bench.registrar.over.is_empty());
}
