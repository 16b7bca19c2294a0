//! SIPp as carrier and SIPp as agents: every spelling reaches its queue and agent, either side hangs up, a ticket each.

use std::fs;
use std::path::Path;

use serde_json::json;

use crate::rig::{Engine, Peer, Sipp, folder, free_port, has, header};
use crate::tickets::Tickets;

/// One dialled spelling and what the agent's phone is told.
struct Row {
    uri: &'static str,
    caller: &'static str,
    hotline: &'static str,
    name: &'static str,
    mode: Option<&'static str>,
    shown: &'static str,
    /// The only agents it may reach.
    agents: &'static [&'static str],
}

const SPECIALISTS: &[Row] = &[
    Row {
        uri: "sip:12369@switch",
        caller: "13804760001",
        hotline: "12369",
        name: "环境保护投诉举报电话",
        mode: Some("dual_merged"),
        shown: "12369环保举报热线 13804760001",
        agents: &["1001"],
    },
    Row {
        uri: "sip:96119@switch",
        caller: "13804760002",
        hotline: "96119",
        name: "火灾隐患举报投诉电话",
        mode: Some("absorbed"),
        shown: "96119火灾隐患举报热线 13804760002",
        agents: &["1002"],
    },
];

const ANYBODY: &[&str] = &["1003", "1004", "1005", "1006", "1007", "1008"];

const SPELLINGS: &[Row] = &[
    Row {
        uri: "sip:12345@switch",
        caller: "13804760003",
        hotline: "12345",
        name: "赤峰市12345政务服务便民热线",
        mode: None,
        shown: "赤峰市12345政务服务便民热线 13804760003",
        agents: ANYBODY,
    },
    Row {
        uri: "sip:+864768337772@switch",
        caller: "13804760004",
        hotline: "8337772",
        name: "市长热线",
        mode: Some("absorbed"),
        shown: "市长热线 13804760004",
        agents: ANYBODY,
    },
    Row {
        uri: "tel:+864768337772",
        caller: "13804760005",
        hotline: "8337772",
        name: "市长热线",
        mode: Some("absorbed"),
        shown: "市长热线 13804760005",
        agents: ANYBODY,
    },
    Row {
        uri: "tel:12369;phone-context=+86476",
        caller: "13804760006",
        hotline: "12369",
        name: "环境保护投诉举报电话",
        mode: Some("dual_merged"),
        shown: "12369环保举报热线 13804760006",
        agents: ANYBODY,
    },
    Row {
        uri: "sip:047612369@switch",
        caller: "13804760007",
        hotline: "12369",
        name: "环境保护投诉举报电话",
        mode: Some("dual_merged"),
        shown: "12369环保举报热线 13804760007",
        agents: ANYBODY,
    },
    Row {
        uri: "sip:96119;phone-context=+86476@switch;user=phone",
        caller: "13804760008",
        hotline: "96119",
        name: "火灾隐患举报投诉电话",
        mode: Some("absorbed"),
        shown: "96119火灾隐患举报热线 13804760008",
        agents: ANYBODY,
    },
];

/// Registers agents by SIPp with digest; their phones are at `port`.
pub(crate) fn register(dir: &Path, engine: &Engine, agents: &[&str], port: u16) {
    let name = format!("register-{port}");
    let lines: String = agents
        .iter()
        .map(|agent| format!("{agent};[authentication username={agent} password=demo-{agent}];127.0.0.1:{port}\n"))
        .collect();
    let file = dir.join(format!("{name}.in"));
    fs::write(&file, format!("SEQUENTIAL\n{lines}")).expect("the test's folder");
    let (count, at) = (agents.len().to_string(), port.to_string());
    let options = ["-inf", &file.to_string_lossy(), "-m", &count, "-p", &at];
    Sipp::start(dir, &name, "register.xml", Some(engine.agent["udp"]), &options).succeed();
    agents.iter().for_each(|agent| engine.await_agent(agent, "ready"));
}

/// A citizen behind the carrier.
fn caller(dir: &Path, engine: &Engine, row: &Row, scenario: &str, more: &[&str]) -> Sipp {
    let transport = if more.contains(&"t1") { "tcp" } else { "udp" };
    let at = engine.trunk[transport];
    let dialled = row.uri.replace("switch", &at.to_string());
    let port = free_port().to_string();
    let keys = ["-key", "dialled", &dialled, "-key", "citizen", row.caller, "-m", "1", "-p", &port];
    Sipp::start(dir, &format!("caller-{}", row.caller), scenario, Some(at), &[&keys[..], more].concat())
}

/// Checks what the agent's phone was told, and gives call and ticket.
fn check_invite(row: &Row, invite: &str) -> String {
    let told = |name| header(invite, name);
    assert_eq!(told("X-Hotline"), Some(row.hotline), "{}: {invite}", row.uri);
    assert_eq!(told("X-Hotline-Name"), Some(row.name), "{}", row.uri);
    assert_eq!(told("X-Merge-Mode"), row.mode, "{}", row.uri);
    assert_eq!(told("X-Call-Id").map(str::len), Some(26), "{}", row.uri);
    let history = told("History-Info").expect("History-Info");
    assert!(history.starts_with(&format!("<sip:{}@", row.hotline)), "{history}");
    let from = told("From").expect("From");
    assert!(from.starts_with(&format!("\"{}\" <sip:{}@", row.shown, row.caller)), "{from}");
    let agent = invite.strip_prefix("INVITE sip:").and_then(|rest| rest.split('@').next()).expect("an agent");
    assert!(row.agents.contains(&agent), "{} reached {agent}", row.uri);
    told("X-Ticket-Id").expect("X-Ticket-Id").to_owned()
}

/// The INVITE each row's agent got, by the number calling; a resent one counts once.
fn invite_of<'a>(row: &Row, received: &'a [String]) -> &'a str {
    let shown = format!("{}\" <", row.caller);
    let mut found = received.iter().filter(|message| {
        message.starts_with("INVITE ") && header(message, "From").is_some_and(|from| from.contains(&shown))
    });
    let first = found.next().unwrap_or_else(|| panic!("nobody was rung for {}", row.uri));
    assert!(found.all(|again| header(again, "Call-ID") == header(first, "Call-ID")), "{} rang twice", row.uri);
    first
}

#[test]
fn every_spelling_reaches_its_agent_and_leaves_one_whole_ticket() {
    if !has(&["sipp", "python3"]) {
        return;
    }
    let dir = folder("calls");
    let tickets_at = free_port();
    let mut receiver = Peer::receiver(tickets_at, &[]);
    let engine = Engine::shipped(&dir, &[format!("ticket.endpoint.local.url=\"http://127.0.0.1:{tickets_at}/\"")]);
    let mut tickets = Tickets::default();

    // The citizen hangs up; two specialists are there, and the skill decides.
    let port = free_port();
    register(&dir, &engine, &["1001", "1002"], port);
    let mut agents = Sipp::start(&dir, "specialists", "agent.xml", None, &["-m", "2", "-p", &port.to_string()]);
    agents.await_listening(port);
    let mut calling: Vec<_> =
        SPECIALISTS.iter().map(|row| caller(&dir, &engine, row, "caller.xml", &["-d", "4500"])).collect();
    calling.iter_mut().for_each(Sipp::succeed);
    agents.succeed();
    let received = agents.received();
    let mut opened: Vec<_> = SPECIALISTS.iter().map(|row| check_invite(row, invite_of(row, &received))).collect();

    // The agent hangs up, after the greeting (before it the caller would go back to the queue); whoever is free serves. One call comes over TCP.
    for agent in ["1001", "1002"] {
        engine.post(&format!("/api/v1/agents/{agent}/state"), &json!({ "state": "not_ready", "reason": "吃饭" }));
        engine.await_agent(agent, "not_ready");
    }
    let port = free_port();
    register(&dir, &engine, ANYBODY, port);
    let count = SPELLINGS.len().to_string();
    let options = ["-m", &count, "-d", "4500", "-p", &port.to_string()];
    let mut agents = Sipp::start(&dir, "anybody", "agent_hangs_up.xml", None, &options);
    agents.await_listening(port);
    let transports = ["u1", "t1", "u1", "u1", "u1", "u1"];
    let mut calling: Vec<_> = SPELLINGS
        .iter()
        .zip(transports)
        .map(|(row, transport)| caller(&dir, &engine, row, "caller_hung_up.xml", &["-t", transport]))
        .collect();
    calling.iter_mut().for_each(Sipp::succeed);
    agents.succeed();
    let received = agents.received();
    opened.extend(SPELLINGS.iter().map(|row| check_invite(row, invite_of(row, &received))));

    tickets.await_closed(&mut receiver, opened.len());
    assert_eq!(tickets.events.len(), opened.len(), "one ticket a call");
    for (row, ticket) in SPECIALISTS.iter().chain(SPELLINGS).zip(&opened) {
        let events = &tickets.events[ticket];
        let changes = tickets.changes(ticket);
        let order = ["call.started", "call.queued", "call.offered", "call.answered", "call.ended"];
        let mut rest = changes.iter();
        assert!(order.iter().all(|change| rest.any(|found| found == change)), "{changes:?}");
        let whole = &events[events.len() - 1]["ticket"];
        assert!(whole.to_string().contains(row.caller), "the ticket has the whole number: {whole}");
    }
    engine.await_quiet();
    let listed = engine.get("/api/v1/tickets");
    assert_eq!(listed.as_array().map(Vec::len), Some(opened.len()));
    assert!(!listed.to_string().contains("13804760001"), "a listing masks numbers: {listed}");
}

#[test]
fn calls_over_a_lossy_carrier_are_whole() {
    if !has(&["sipp", "python3"]) {
        return;
    }
    const CALLS: usize = 60;
    let dir = folder("lossy");
    let tickets_at = free_port();
    let mut receiver = Peer::receiver(tickets_at, &[]);
    let engine = Engine::small(&dir, &[format!("ticket.endpoint.local.url=\"http://127.0.0.1:{tickets_at}/\"")]);
    let port = free_port();
    register(&dir, &engine, &["1001", "1002", "1003", "1004", "1005"], port);
    let agents = Sipp::start(&dir, "agents", "agent.xml", None, &["-p", &port.to_string()]);
    agents.await_listening(port);
    let at = engine.trunk["udp"];
    let (dialled, port, count) = (format!("sip:12345@{at}"), free_port().to_string(), CALLS.to_string());
    let keys = ["-key", "dialled", &*dialled, "-key", "citizen", "13804760010", "-p", &port, "-m", &count];
    let more = ["-l", "5", "-r", "20", "-d", "200"];
    Sipp::start(&dir, "callers", "caller_over_loss.xml", Some(at), &[&keys[..], &more].concat()).succeed();
    let mut tickets = Tickets::default();
    tickets.await_closed(&mut receiver, CALLS);
    assert_eq!(tickets.events.len(), CALLS, "a resent INVITE is no second call");
    engine.await_quiet();
}
