//! Phones that all answer by themselves under one call: 200 calls, one bridge each, and what such a call costs.

use std::fs;

use crate::calls::register;
use crate::rig::{Engine, Peer, Sipp, folder, free_port, has};
use crate::tickets::Tickets;

const CALLS: usize = 200;

#[test]
fn two_hundred_calls_ring_two_phones_each_and_get_one_bridge_each() {
    if !has(&["sipp", "python3"]) {
        return;
    }
    let dir = folder("ring-all");
    let tickets_at = free_port();
    let mut receiver = Peer::receiver(tickets_at, &[]);
    let engine = Engine::small(&dir, &[format!("ticket.endpoint.local.url=\"http://127.0.0.1:{tickets_at}/\"")]);
    // Two SIPp processes with one agent each: both ring for every call, one call at a time.
    let ports = [free_port(), free_port()];
    for (agent, port) in ["1011", "1012"].iter().zip(ports) {
        register(&dir, &engine, &[agent], port);
    }
    let phones: Vec<_> = ports
        .iter()
        .map(|port| {
            let options = ["-p", &port.to_string()];
            let phone = Sipp::start(&dir, &format!("phone-{port}"), "agent_in_a_race.xml", None, &options);
            phone.await_listening(*port);
            phone
        })
        .collect();
    let before = engine.ticks();
    let at = engine.trunk["udp"];
    let (dialled, port, count) = (format!("sip:12302@{at}"), free_port().to_string(), CALLS.to_string());
    let options =
        ["-key", "dialled", &*dialled, "-key", "citizen", "13804760009", "-p", &port, "-m", &count, "-l", "1"];
    let more = ["-d", "20", "-r", "200", "-trace_rtt", "-rtt_freq", "1"];
    let mut callers = Sipp::start(&dir, "callers", "caller.xml", Some(at), &[&options[..], &more].concat());
    callers.succeed();
    let spent = engine.ticks() - before;
    println!("{CALLS} calls, each rung on two phones: {} ms of CPU in this build", spent * 10);

    let mut tickets = Tickets::default();
    tickets.await_closed(&mut receiver, CALLS);
    let mut won = [0, 0];
    for (ticket, events) in &tickets.events {
        let answered = events.iter().filter(|event| event["change"] == "call.answered").count();
        assert_eq!(answered, 1, "{ticket}: {:?}", tickets.changes(ticket));
        let winner = &events[events.len() - 1]["ticket"]["agent_id"];
        won[usize::from(winner == "1012")] += 1;
    }
    assert_eq!(tickets.events.len(), CALLS);
    println!("bridges by phone: {won:?}");
    engine.await_quiet();
    // Every phone that answered was acknowledged and sent home: nobody is left in a talk.
    for phone in &phones {
        let stat = phone.counter("CurrentCall");
        assert_eq!(stat, 0, "a phone is still in a call");
        // A CANCEL may come before the phone has answered, which a SIPp scenario cannot wait for.
        assert_eq!(phone.counter("FailedCall(C)"), phone.complaints("unexpected CANCEL"), "nothing else went wrong");
        assert!(phone.counter("SuccessfulCall(C)") > 0, "a phone was never rung");
    }
    let _ = fs::remove_dir_all(&dir);
}
