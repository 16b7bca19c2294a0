//! What phones send: registrations, credentials, consults.

use super::*;

#[test]
fn rfc3261_s10_3_a_phone_registers_and_is_found() {
    let mut bench = Bench::new(&[]);
    bench.register("1001", "r");
    assert_eq!(bench.told_reachable(), [("1001".to_owned(), true)]);
    assert_eq!(bench.switch.desk().registered().count(), 1);
    let found = bench.find(Query::Agent(AgentId::new("1001")));
    assert_eq!(found.len(), 1);
    assert_eq!((found[0].flow, &*found[0].uri), (phone(), "sip:c@127.0.0.1:7000"));
    assert!(bench.find(Query::Agent(AgentId::new("1002"))).is_empty());
}

#[test]
fn a_granted_register_repeated_gets_its_answer_and_a_captured_one_is_challenged() {
    let mut bench = Bench::new(&[]);
    let datagram = Flow { transport: Transport::Udp, ..phone() };
    let granted = bench.register_over(datagram, "1001", "r");
    let first = bench.sent()[0].bytes().clone();
    bench.ms += 500;
    bench.bytes(datagram, granted.clone());
    assert_eq!(bench.sent()[0].bytes(), &first, "the nonce count is the same, and so is the answer");
    bench.bytes(datagram, granted.replace("branch=z9hG4bK", "branch=z9hG4bKstolen"));
    assert_eq!(bench.statuses(), [401]);
    bench.ms += 32_000;
    bench.switch.on_deadline(at(bench.ms), &mut Vec::new());
    assert_eq!(bench.switch.desk().remembered(), 0);
    bench.bytes(datagram, granted);
    assert_eq!(bench.statuses(), [401]);
}

#[test]
fn a_register_over_a_stream_is_not_repeated_and_so_not_remembered() {
    let mut bench = Bench::new(&[]);
    bench.register("1001", "r");
    assert_eq!(bench.switch.desk().remembered(), 0);
}

#[test]
fn a_stale_nonce_is_said_to_be_stale() {
    let mut bench = Bench::new(&[]);
    bench.bytes(phone(), request("REGISTER", "1001", "r", ""));
    let challenge = bench.sent().remove(0);
    let authorization = answer(&challenge, &request("REGISTER", "1001", "r", ""), "1001", "demo-1001");
    bench.ms += 301_000;
    bench.bytes(phone(), request("REGISTER", "1001", "r2", &format!("Authorization: {authorization}\r\n")));
    assert_eq!(bench.statuses(), [401]);
    let again = bench.sent()[0].header(Name::WwwAuthenticate).unwrap().to_vec();
    assert!(String::from_utf8(again).unwrap().contains("stale=true"));
    bench.assert_nothing_held();
}

#[test]
fn nobody_registers_for_another_or_from_the_trunk_side() {
    let mut bench = Bench::new(&[]);
    bench.with_password(phone(), &|lines| request("REGISTER", "1002", "r", lines), "1001", "demo-1001");
    assert_eq!(bench.statuses(), [403]);
    bench.with_password(phone(), &|lines| request("REGISTER", "1001", "w", lines), "1001", "demo-1002");
    assert_eq!(bench.statuses(), [401]);
    bench.bytes(carrier(), request("REGISTER", "1001", "t", ""));
    assert_eq!(bench.statuses(), [403]);
    bench.bytes(phone(), request("REGISTER", "1001", "q", "Require: gruu\r\n"));
    assert_eq!(bench.statuses(), [420]);
    assert_eq!(bench.switch.desk().registered().count(), 0);
}

#[test]
fn rfc5626_s6_a_browsers_flow_is_bound_and_follows_it() {
    let mut bench = Bench::new(&[]);
    let register = |host: &str, named: &str, lines: &str| {
        let contact = format!("Contact: <sip:1001@{host};transport=ws;ob>;+sip.instance=\"<urn:uuid:7>\";reg-id=1\r\n");
        request("REGISTER", "1001", named, &format!("Require: outbound\r\nSupported: path, outbound\r\n{lines}"))
            .replace("Contact: <sip:c@127.0.0.1:7000>\r\n", &contact)
    };
    bench.with_password(phone(), &|lines| register("a1.invalid", "r", lines), "1001", "demo-1001");
    assert_eq!(bench.statuses(), [200]);
    let answer = bench.sent().remove(0);
    assert_eq!(answer.header(Name::Require), Some(&b"outbound"[..]));
    let renewed = Flow { id: FlowId(8), remote: "127.0.0.1:40001".parse().unwrap(), ..phone() };
    bench.with_password(renewed, &|lines| register("b2.invalid", "s", lines), "1001", "demo-1001");
    assert_eq!(bench.statuses(), [200]);
    bench.out.clear();
    bench.switch.closed(at(0), phone().id, &mut bench.out);
    assert!(bench.told_reachable().is_empty(), "the former connection carries nothing");
    let found = bench.find(Query::Agent(AgentId::new("1001")));
    assert_eq!((found.len(), found[0].flow, &*found[0].uri), (1, renewed, "sip:1001@b2.invalid;transport=ws;ob"));
}

#[test]
fn rfc3327_s5_3_a_phone_behind_an_edge_is_reached_through_its_path() {
    let mut bench = Bench::new(&[]);
    let register = |lines: &str| {
        let path = "Supported: path\r\nPath: <sip:tok@192.0.2.9;lr;ob>\r\n";
        request("REGISTER", "1001", "r", &format!("{path}{lines}"))
    };
    bench.with_password(phone(), &register, "1001", "demo-1001");
    assert_eq!(bench.sent()[0].header(Name::Path), Some(&b"<sip:tok@192.0.2.9;lr;ob>"[..]));
    let found = bench.find(Query::Agent(AgentId::new("1001")));
    assert_eq!(&*found[0].route[0], "<sip:tok@192.0.2.9;lr;ob>");
    let call = bench.call("12345", "a");
    let branch = bench.key.branch(call, LegId(1), 1);
    let failed = format!(
        "SIP/2.0 430 Flow Failed\r\nVia: SIP/2.0/TCP 127.0.0.1:5062;branch={branch}\r\nFrom: <sip:a@h>;tag=1\r\n\
         To: <sip:1001@h>;tag=2\r\nCall-ID: c\r\nCSeq: 1 INVITE\r\nContent-Length: 0\r\n\r\n"
    );
    bench.bytes(phone(), failed);
    assert_eq!(bench.told_reachable(), [("1001".to_owned(), false)]);
    assert_eq!(bench.delivered().len(), 1, "the call hears it too");
    bench.bytes(phone(), request("REGISTER", "1001", "u", "Path: <sip:tok@192.0.2.9;lr>\r\n"));
    assert_eq!(bench.statuses(), [401], "who does not show himself learns nothing of what we lack");
}

#[test]
fn a_reload_ends_the_registrations_of_who_is_no_agent_any_more() {
    let mut bench = Bench::new(&[]);
    bench.register("1001", "r");
    bench.out.clear();
    let mut fewer = Plan::clone(&plan(&[]));
    bench.switch.replan(Arc::new(fewer.clone()), &mut bench.out);
    assert!(bench.told_reachable().is_empty());
    Arc::make_mut(&mut fewer.settings).agents.remove(&AgentId::new("1001"));
    bench.switch.replan(Arc::new(fewer), &mut bench.out);
    assert_eq!(bench.told_reachable(), [("1001".to_owned(), false)]);
    assert_eq!(bench.switch.desk().registered().count(), 0);
}

#[test]
fn a_connection_that_goes_takes_the_phones_on_it() {
    let mut bench = Bench::new(&[]);
    bench.register("1001", "r");
    bench.out.clear();
    bench.switch.closed(at(0), FlowId(8), &mut bench.out);
    assert!(bench.told_reachable().is_empty());
    bench.switch.closed(at(0), phone().id, &mut bench.out);
    assert_eq!(bench.told_reachable(), [("1001".to_owned(), false)]);
    assert!(bench.find(Query::Agent(AgentId::new("1001"))).is_empty());
}

#[test]
fn an_agent_in_a_talk_consults() {
    let mut bench = Bench::new(&[]);
    let call = bench.call("12345", "a");
    let (agent, leg) = (AgentId::new("1001"), MediaLeg { call, leg: LegId(1) });
    bench.switch.note_line(agent.clone(), leg, LineState::Talking);
    let consult = |lines: &str| request("INVITE", "1002", "y", lines);
    let again = bench.with_password(phone(), &consult, "1001", "demo-1001");
    let leg_of = bench.out.iter().find_map(|effect| match effect {
        SwitchEffect::Deliver(to, CallInput::Consult { leg, agent, dialled, .. }) => {
            assert_eq!((*to, agent.as_str(), &**dialled), (call, "1001", "1002"));
            Some(*leg)
        }
        _ => None,
    });
    let consult_leg = leg_of.unwrap();
    assert!(consult_leg >= FIRST_CONSULT);
    let cancel = request("CANCEL", "1002", "y", "").replace("branch=z9hG4bK", "branch=z9hG4bK2");
    let cancel = cancel.replace("CSeq: 1 ", "CSeq: 2 ");
    bench.bytes(phone(), cancel);
    assert_eq!(bench.delivered(), [(call, consult_leg, "CANCEL".to_owned())]);
    bench.bytes(phone(), again);
    assert_eq!(bench.delivered(), [(call, consult_leg, "INVITE".to_owned())], "a repetition needs no new proof");
    bench.switch.note_line(agent, leg, LineState::Idle);
    bench.switch.call_over(call);
    assert_eq!((bench.switch.calls().names(), bench.switch.admission().live()), (0, 0));
}

#[test]
fn who_shows_no_password_makes_no_state() {
    let mut bench = Bench::new(&[]);
    let stranger = Flow { remote: "10.0.0.1:5060".parse().unwrap(), ..phone() };
    for nth in 0..200 {
        bench.ms += 1;
        let named = format!("n{nth}");
        for method in ["REGISTER", "INVITE", "OPTIONS", "BYE", "CANCEL", "ACK", "INFO", "MESSAGE", "WHATEVER"] {
            bench.bytes(stranger, request(method, "1001", &named, ""));
            bench.bytes(trunk_side("10.0.0.1:5060"), request(method, "12345", &named, ""));
        }
        let guess = "Authorization: Digest username=\"1001\", realm=\"switch12345\", nonce=\"x\", uri=\"sip:1001@127.0.0.1\", \
                     response=\"00000000000000000000000000000000\"\r\n";
        bench.bytes(stranger, request("REGISTER", "1001", &format!("g{nth}"), guess));
        assert_eq!(bench.statuses(), [401]);
    }
    bench.assert_nothing_held();
}
