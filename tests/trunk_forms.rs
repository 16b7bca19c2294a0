//! Executes `tests/tables/trunk_forms.toml`: what an INVITE of a carrier is read as, and what a carrier is written.
//!
//! The table is for people who know carriers: rows of `[[in]]` name an INVITE's lines and what the plan then sees,
//! rows of `[[out]]` an INVITE and the exact lines of the one that goes on. Lines a row leaves out are the usual ones;
//! `\xNN` is an octet, `{ticket}` the hexadecimal digits of the ticket's id; `{ours}` and `{theirs}` those of a ticket of
//! this place and of another, and in `reference` the ticket itself.

#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde::Deserialize;
use switch12345::base::flow::{Flow, FlowId, Side, Transport};
use switch12345::base::id::{TenantName, TicketId, Ulid};
use switch12345::base::now::{Mono, Now};
use switch12345::call::control::Plans;
use switch12345::call::leg::LegRules;
use switch12345::call::words::{CallEffect, CallInput};
use switch12345::call::{Call, Origin, Terms};
use switch12345::plan::load::{Files, Request, load};
use switch12345::plan::model::Plan;
use switch12345::plan::route::Verdict;
use switch12345::rtp::command::{LocalMedia, MediaCommand, MediaReport};
use switch12345::sip::message::{Message, Method};
use switch12345::sip::session_timer::SessionPolicy;
use switch12345::sip::token::TokenKey;
use switch12345::sip::transaction::timers::SipTimers;
use switch12345::switch::words::{Beginning, NewCall, Paths, Peer, SwitchEffect};
use switch12345::switch::{Secrets, Switch};

#[derive(Deserialize)]
struct Table {
    configuration: String,
    place: String,
    #[serde(rename = "in")]
    incoming: Vec<In>,
    out: Vec<Out>,
}

/// What an INVITE is read as; what a row leaves out is not looked at.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct In {
    title: String,
    /// The trunk's address; 127.0.0.1 when left out.
    from: Option<String>,
    /// The Request-URI.
    to: String,
    /// Lines beside the usual ones, or in their place.
    #[serde(default)]
    lines: Vec<String>,
    number: Option<String>,
    area: Option<String>,
    hotline: Option<String>,
    emergency: Option<bool>,
    caller: Option<String>,
    caller_raw: Option<String>,
    kind: Option<String>,
    trust: Option<String>,
    private: Option<bool>,
    display: Option<String>,
    diverted_from: Option<Vec<String>>,
    forwarded: Option<String>,
    reference: Option<String>,
}

/// What goes on.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Out {
    title: String,
    to: String,
    #[serde(default)]
    lines: Vec<String>,
    /// A body of `kind` instead of the usual offer; `{sdp}` in it is that offer.
    kind: Option<String>,
    body: Option<String>,
    /// The start line.
    starts: Option<String>,
    /// Lines that must be there, whole; From without its tag.
    #[serde(default)]
    sends: Vec<String>,
    /// Names that must not be there.
    #[serde(default)]
    lacks: Vec<String>,
    /// Octets that must stand in the body.
    #[serde(default)]
    holds: Vec<String>,
}

const SDP: &str =
    "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio 30000 RTP/AVP 8\r\n";

fn table() -> Table {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/tables/trunk_forms.toml");
    toml::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

/// Undoes `\xNN`.
fn octets(text: &str) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("\\x") {
        out.extend(before.as_bytes());
        out.push(u8::from_str_radix(after.get(..2).expect("two digits"), 16).expect("hexadecimal digits"));
        rest = after.get(2..).unwrap_or_default();
    }
    out.extend(rest.as_bytes());
    out
}

/// A ticket of a place, as text and as hexadecimal digits.
fn ticket_of(place: &str) -> (String, String) {
    let ticket = TicketId(Ulid::compose(now().wall, 0, &TenantName::new(place), 9)).to_string();
    let digits = ticket.bytes().map(|byte| format!("{byte:02x}")).collect();
    (ticket, digits)
}

fn invite(to: &str, lines: &[String], kind: &str, body: &[u8]) -> Bytes {
    let usual = [
        "Via: SIP/2.0/UDP 127.0.0.1:7000;branch=z9hG4bK1".to_owned(),
        "From: <sip:13800001234@carrier.example>;tag=f".to_owned(),
        format!("To: <{to}>"),
        "Call-ID: 1@carrier.example".to_owned(),
        "CSeq: 1 INVITE".to_owned(),
        "Contact: <sip:c@127.0.0.1:7000>".to_owned(),
        "Max-Forwards: 70".to_owned(),
        format!("Content-Type: {kind}"),
    ];
    let name = |line: &str| line.split(':').next().unwrap_or_default().trim().to_ascii_lowercase();
    let replaced = |line: &String| lines.iter().any(|own| name(own) == name(line));
    let mut out = format!("INVITE {to} SIP/2.0\r\n").into_bytes();
    for line in usual.iter().filter(|line| !replaced(line)).chain(lines) {
        out.extend(octets(line));
        out.extend(b"\r\n");
    }
    out.extend(format!("Content-Length: {}\r\n\r\n", body.len()).into_bytes());
    out.extend(body);
    Bytes::from(out)
}

struct Memory(BTreeMap<&'static str, String>);

impl Files for Memory {
    fn read(&self, path: &str) -> Result<String, String> {
        self.0.get(path).cloned().ok_or_else(|| format!("no {path}"))
    }

    fn list(&self, _directory: &str) -> Result<Vec<String>, String> {
        Ok(vec!["dialplans/p.toml".to_owned()])
    }
}

fn now() -> Now {
    Now { mono: Mono(1_000_000_000), wall: "2026-11-20T02:00:00Z".parse().unwrap() }
}

fn plan(table: &Table) -> Arc<Plan> {
    let files = Memory(BTreeMap::from([
        ("config/switch.toml", table.configuration.clone()),
        ("dialplans/p.toml", table.place.clone()),
    ]));
    let request = Request { config: "config/switch.toml", set: &[], overlays: &[], wall: now().wall };
    let loaded = load(&files, &request);
    let faults: String = loaded.diagnostics.iter().map(|fault| loaded.sources.render(fault, false)).collect();
    loaded.plan.unwrap_or_else(|| panic!("{faults}"))
}

struct Sockets;

impl Paths for Sockets {
    fn flow_to(&self, side: Side, transport: Transport, peer: &Peer<'_>) -> Option<Flow> {
        Some(Flow { side, transport, remote: peer.remote, ..flow("127.0.0.1") })
    }
}

fn flow(from: &str) -> Flow {
    Flow {
        id: FlowId(1),
        side: Side::Trunk,
        transport: Transport::Udp,
        local: "127.0.0.1:5060".parse().unwrap(),
        remote: SocketAddr::new(from.parse().unwrap(), 7000),
    }
}

fn switch(plan: &Arc<Plan>) -> Switch {
    let secrets = Secrets { tokens: TokenKey::new([5; 16]), nonces: [6; 32], seed: 7 };
    Switch::new(Arc::clone(plan), &secrets, "switch12345")
}

fn begun(switch: &mut Switch, from: &str, invite: Bytes, title: &str) -> Box<NewCall> {
    let mut out = Vec::new();
    switch.receive(now(), flow(from), invite, &mut out);
    let begin = |effect: &SwitchEffect| matches!(effect, SwitchEffect::Begin(_));
    match out.iter().position(begin).map(|at| out.swap_remove(at)) {
        Some(SwitchEffect::Begin(new)) => new,
        _ => panic!("{title}: no call, but {out:?}"),
    }
}

#[test]
fn invites_are_read_as_the_table_says() {
    let table = table();
    let plan = plan(&table);
    assert!(table.incoming.len() >= 40, "{}", table.incoming.len());
    for row in &table.incoming {
        let from = row.from.as_deref().unwrap_or("127.0.0.1");
        let (ours, theirs) = (ticket_of("p"), ticket_of("q"));
        let named = |line: &String| line.replace("{ours}", &ours.1).replace("{theirs}", &theirs.1);
        let lines: Vec<String> = row.lines.iter().map(named).collect();
        let bytes = invite(&row.to, &lines, "application/sdp", SDP.as_bytes());
        let new = begun(&mut switch(&plan), from, bytes, &row.title);
        let Beginning::Trunk(facts) = &new.facts else { panic!("{}: begun by an agent", row.title) };
        let route = &facts.route;
        let check = |what: &str, wanted: &Option<String>, found: &str| {
            if let Some(wanted) = wanted {
                assert_eq!(found, wanted, "{}: {what}", row.title);
            }
        };
        check("number", &row.number, &route.number);
        check("area", &row.area, &route.area.map(|area| area.to_string()).unwrap_or_default());
        let name = route.hotline.as_ref().map(|hotline| hotline.number.to_string());
        check("hotline", &row.hotline, &name.unwrap_or_default());
        check("caller", &row.caller, &route.caller.number.normal);
        check("caller_raw", &row.caller_raw, &route.caller.number.raw);
        check("kind", &row.kind, &format!("{:?}", route.caller.number.kind).to_lowercase());
        check("trust", &row.trust, &format!("{:?}", route.caller.trust).to_lowercase());
        check("forwarded", &row.forwarded, route.diverted_from.as_deref().unwrap_or_default());
        let reference = row.reference.as_ref().map(|text| text.replace("{ours}", &ours.0));
        check("reference", &reference, facts.external_ref.as_deref().unwrap_or_default());
        if let Some(display) = &row.display {
            assert_eq!(facts.display, octets(display), "{}: display", row.title);
        }
        if let Some(wanted) = &row.diverted_from {
            let found: Vec<String> = facts.diverted_from.iter().map(ToString::to_string).collect();
            assert_eq!(found, *wanted, "{}: diverted_from", row.title);
        }
        let emergency = matches!(route.verdict, Verdict::Emergency(_));
        assert_eq!(row.emergency.unwrap_or(emergency), emergency, "{}: emergency", row.title);
        assert_eq!(row.private.unwrap_or(route.caller.private), route.caller.private, "{}: private", row.title);
    }
}

/// Runs a call until it has nothing more to ask, and gives the INVITEs it sent.
fn invites_sent(plan: &Plan, switch: &mut Switch, new: NewCall) -> Vec<Message> {
    let rules = LegRules {
        timers: SipTimers::default(),
        session: SessionPolicy { interval: Duration::from_secs(1_800), min_se: Duration::from_secs(90) },
        product: "switch12345".into(),
    };
    let terms = Terms { plans: Plans { pinned: plan, newest: plan }, legs: &rules, key: TokenKey::new([5; 16]) };
    let id = new.identity.call;
    let Beginning::Trunk(facts) = new.facts else { panic!("begun by an agent") };
    let origin = Origin::Inbound { invite: Box::new(new.invite), facts };
    let mut effects = Vec::new();
    let mut call = Call::new(now(), terms, new.identity, origin, &mut effects);
    let mut todo: VecDeque<CallEffect> = effects.into();
    let mut sent = Vec::new();
    while let Some(effect) = todo.pop_front() {
        let input = match effect {
            CallEffect::Transmit(_, bytes) => {
                let message = Message::datagram(bytes).expect("what we write can be read");
                if message.is(&Method::Invite) {
                    sent.push(message);
                }
                continue;
            }
            CallEffect::Media(MediaCommand::Allocate { leg, .. }) => {
                let at = |port| SocketAddr::from(([127, 0, 0, 1], port));
                let (rtp, rtcp) = (at(20_000 + leg.0), at(30_000 + leg.0));
                let local = LocalMedia { rtp, rtcp, ice: None, fingerprint: None, crypto: Vec::new() };
                CallInput::Media(MediaReport::Allocated { leg, local: Box::new(local) })
            }
            CallEffect::Find(lookup, query) => {
                let mut out = Vec::new();
                switch.find(now(), (id, lookup), &query, &Sockets, &mut out);
                match out.pop() {
                    Some(SwitchEffect::Deliver(_, input)) => input,
                    other => panic!("{other:?}"),
                }
            }
            CallEffect::Emit(event, _) => CallInput::Stored(event.journal_seq),
            _ => continue,
        };
        let mut more = Vec::new();
        call.handle(now(), terms, input, &mut more);
        todo.extend(more);
    }
    sent
}

/// A line as the table writes it: From without its tag.
fn as_written(name: &[u8], value: &[u8]) -> Vec<u8> {
    let mut line = name.to_vec();
    line.extend(b": ");
    let tag = value.windows(5).position(|five| five == b";tag=").filter(|_| name == b"From");
    line.extend(value.get(..tag.unwrap_or(value.len())).unwrap_or_default());
    line
}

fn contains(text: &[u8], wanted: &[u8]) -> bool {
    wanted.is_empty() || text.windows(wanted.len()).any(|window| window == wanted)
}

#[test]
fn invites_are_written_as_the_table_says() {
    let table = table();
    let plan = plan(&table);
    assert!(table.out.len() >= 12, "{}", table.out.len());
    for row in &table.out {
        let title = &row.title;
        let body = row.body.as_deref().unwrap_or("{sdp}").replace('\n', "\r\n").replace("{sdp}", SDP);
        let kind = row.kind.as_deref().unwrap_or("application/sdp");
        let mut switch = switch(&plan);
        let new = begun(&mut switch, "127.0.0.1", invite(&row.to, &row.lines, kind, &octets(&body)), title);
        let ticket: String = new.identity.ticket.to_string().bytes().map(|byte| format!("{byte:02x}")).collect();
        let sent = invites_sent(&plan, &mut switch, *new);
        let [sent] = sent.as_slice() else { panic!("{title}: {} INVITEs", sent.len()) };
        let shown = String::from_utf8_lossy(sent.bytes());
        if let Some(start) = &row.starts {
            assert!(shown.starts_with(&format!("{start}\r\n")), "{title}:\n{shown}");
        }
        let lines: Vec<Vec<u8>> = sent.all_headers().map(|(name, value)| as_written(name, value)).collect();
        for wanted in &row.sends {
            let wanted = octets(&wanted.replace("{ticket}", &ticket));
            assert!(lines.contains(&wanted), "{title}: no {:?} in\n{shown}", String::from_utf8_lossy(&wanted));
        }
        for name in &row.lacks {
            assert!(sent.header_named(name.as_bytes()).is_none(), "{title}: {name} in\n{shown}");
        }
        for wanted in &row.holds {
            let wanted = octets(&wanted.replace('\n', "\r\n"));
            assert!(contains(sent.body(), &wanted), "{title}: {:?} not in\n{shown}", String::from_utf8_lossy(&wanted));
        }
        assert!(sent.is_complete(), "{title}");
    }
}
