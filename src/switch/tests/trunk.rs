//! What a trunk sends, who may send it, and where a trunk is found.

use super::*;

#[test]
fn an_invite_from_a_trunk_begins_a_call_with_its_route() {
    let mut bench = Bench::new(&[]);
    bench.bytes(carrier(), request("INVITE", "12369", "a", ""));
    let new = bench.begun().unwrap();
    assert_eq!(inbound(new).trunk, TrunkName::new("carrier"));
    assert_eq!(inbound(new).route.number, "12369");
    assert_eq!(inbound(new).route.verdict, Verdict::Hotline);
    assert_eq!(inbound(new).route.caller.number.raw, "04761234567");
    assert!(!new.emergency);
    bench.bytes(carrier(), request("INVITE", "120", "b", ""));
    let new = bench.begun().unwrap();
    assert!(new.emergency && matches!(inbound(new).route.verdict, Verdict::Emergency(_)));
    bench.bytes(carrier(), request("INVITE", "13811012345", "c", ""));
    assert_eq!(inbound(bench.begun().unwrap()).route.verdict, Verdict::Unknown, "110 inside a number is no emergency");
}

#[test]
fn an_unknown_source_gets_403_and_is_counted() {
    let mut bench = Bench::new(&[]);
    bench.bytes(trunk_side("10.9.9.9:5060"), request("INVITE", "12345", "a", ""));
    assert_eq!(bench.statuses(), [403]);
    assert!(bench.counted(&Counted::UnknownSource));
    bench.bytes(trunk_side("10.9.9.9:5060"), request("OPTIONS", "12345", "b", ""));
    assert_eq!(bench.statuses(), [403]);
    bench.assert_nothing_held();
}

#[test]
fn an_emergency_call_is_taken_whatever_it_requires() {
    let mut bench = Bench::new(&[]);
    bench.bytes(carrier(), request("INVITE", "119", "a", "Require: precondition\r\n"));
    assert!(bench.begun().is_some_and(|new| new.emergency));
    bench.bytes(carrier(), hello("110"));
    assert!(bench.begun().is_some_and(|new| new.emergency));
}

#[test]
fn over_the_cap_503_with_retry_after_while_110_passes() {
    let mut bench = Bench::new(&["trunk.carrier.max_calls=2"]);
    let first = bench.call("12345", "a");
    bench.call("12345", "b");
    bench.bytes(carrier(), request("INVITE", "12345", "c", ""));
    assert_eq!(bench.statuses(), [503]);
    assert_eq!(bench.sent()[0].header(Name::RetryAfter), Some(&b"5"[..]));
    assert!(bench.counted(&Counted::Refused(Some(TrunkName::new("carrier")), admission::Refused::TrunkCalls)));
    assert_eq!(bench.switch.calls().len(), 2, "the refused one left nothing");
    bench.call("110", "d");
    bench.switch.call_over(first);
    bench.bytes(carrier(), request("INVITE", "12345", "e", ""));
    assert_eq!(bench.statuses(), [503], "the emergency call counts");
}

#[test]
fn draining_lets_only_emergencies_in() {
    let mut bench = Bench::new(&[]);
    bench.switch.drain();
    bench.bytes(carrier(), request("INVITE", "12345", "a", ""));
    assert_eq!(bench.statuses(), [503]);
    bench.call("122", "b");
}

#[test]
fn a_name_in_gbk_passes_octet_by_octet() {
    let mut bench = Bench::new(&[]);
    let name = b"From: \"\xc4\xe3\xba\xc3\" <sip:04761234567@127.0.0.1>;tag=fa";
    let text = request("INVITE", "12345", "a", "");
    let (before, after) = text.split_once("From: <sip:04761234567@127.0.0.1>;tag=fa").unwrap();
    let bytes = [before.as_bytes(), name, after.as_bytes()].concat();
    bench.bytes(carrier(), bytes);
    let new = bench.begun().unwrap();
    assert!(new.invite.message.bytes().windows(4).any(|window| window == b"\xc4\xe3\xba\xc3"));
    assert_eq!(inbound(new).route.caller.number.raw, "04761234567");
}

#[test]
fn a_trunk_is_found_at_its_addresses_in_order_and_an_unresolved_name_nowhere() {
    let mut bench = Bench::new(&[]);
    let query =
        || Query::Trunk { trunk: TrunkName::new("carrier"), number: Arc::from("04768337772"), emergency: false };
    let found = bench.find(query());
    assert_eq!(found.iter().map(|target| &*target.uri).collect::<Vec<_>>(), ["sip:04768337772@127.0.0.1:7000"]);
    bench.pass(1);
    let (name, known) = trunks::located("carrier.example", 7);
    bench.switch.located(at(0), &name, Some((known, Duration::from_secs(60))), &mut Vec::new());
    let found = bench.find(query());
    assert_eq!(found[1].uri.as_ref(), "sip:04768337772@192.0.2.7:7001;transport=tcp");
    assert_eq!(found[1].flow.transport, Transport::Tcp);
    assert!(
        bench.find(Query::Trunk { trunk: TrunkName::new("none"), number: Arc::from("1"), emergency: true }).is_empty()
    );
}
