//! Executes the state tables of `tests/tables/*.toml`: each legal pair of state and event, over UDP and over TCP.
//!
//! A table lists its events and, for each state, how to reach it and what each event does there. A pair without a
//! row, or with two, fails; so does a file without a machine.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use serde::Deserialize;
use switch12345::base::flow::{Flow, FlowId, Side, Transport};
use switch12345::base::now::{Mono, Now};
use switch12345::sip::message::{Message, Method};
use switch12345::sip::print::Draft;
use switch12345::sip::transaction::client::Client;
use switch12345::sip::transaction::client_invite::ClientInvite;
use switch12345::sip::transaction::server::Server;
use switch12345::sip::transaction::server_invite::ServerInvite;
use switch12345::sip::transaction::timers::SipTimers;
use switch12345::sip::transaction::{TuEvent, TxEffect, TxEnd};

#[derive(Deserialize)]
struct Table {
    machine: String,
    source: String,
    events: Vec<String>,
    state: Vec<State>,
}

#[derive(Deserialize)]
struct State {
    name: String,
    reach: Vec<String>,
    only: Option<String>,
    rows: Vec<Vec<String>>,
}

enum Machine {
    ClientInvite(ClientInvite),
    Client(Client),
    ServerInvite(ServerInvite),
    Server(Server),
}

/// A machine, its clock, and the request it is about.
struct Bench {
    now: Now,
    machine: Machine,
    request: Message,
}

fn request(method: &str) -> Message {
    let branch_method = if matches!(method, "ACK" | "CANCEL") { "INVITE" } else { method };
    let text = format!(
        "{method} sip:12345@127.0.0.1 SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.2;branch=z9hG4bK-{branch_method}\r\n\
         From: <sip:a@x>;tag=f\r\nTo: <sip:b@y>\r\nCall-ID: c\r\nCSeq: 7 {method}\r\nMax-Forwards: 70\r\n\
         Content-Length: 0\r\n\r\n"
    );
    Message::datagram(Bytes::from(text)).unwrap()
}

fn response(request: &Message, status: u16) -> Message {
    Draft::response(request, status, None).to_tag(b"peer").finish()
}

impl Bench {
    fn new(name: &str, via: &str, out: &mut Vec<TxEffect>) -> Self {
        let now = Now { mono: Mono(1), wall: jiff::Timestamp::UNIX_EPOCH };
        let timers = SipTimers::default();
        let reliable = via == "tcp";
        let address: SocketAddr = "127.0.0.1:5060".parse().unwrap();
        let transport = if reliable { Transport::Tcp } else { Transport::Udp };
        let flow = Flow { id: FlowId(1), side: Side::Trunk, transport, local: address, remote: address };
        let request = request(if name.ends_with("invite") { "INVITE" } else { "OPTIONS" });
        let machine = match name {
            "client_invite" => Machine::ClientInvite(ClientInvite::start(now, request.clone(), reliable, &timers, out)),
            "client" => Machine::Client(Client::start(now, request.clone(), reliable, &timers, out)),
            "server_invite" => Machine::ServerInvite(ServerInvite::new("ours", &flow, &timers)),
            "server" => Machine::Server(Server::new(now, reliable, &timers)),
            other => panic!("no machine {other}"),
        };
        Self { now, machine, request }
    }

    fn feed(&mut self, event: &str, out: &mut Vec<TxEffect>) {
        match event {
            "timer" => {
                if let Some(at) = self.deadline() {
                    self.now.mono = self.now.mono.max(at);
                }
                self.on_deadline(out);
            }
            "give up" => {
                // Driven as an engine would: from deadline to deadline; only the last turn's effects are of interest.
                let end = self.now.mono + SipTimers::default().give_up() + Duration::from_millis(1);
                while let Some(at) = self.deadline().filter(|at| *at <= end) {
                    self.now.mono = self.now.mono.max(at);
                    out.clear();
                    self.on_deadline(out);
                }
                self.now.mono = end;
            }
            "transport error" => match &mut self.machine {
                Machine::ClientInvite(machine) => machine.on_transport_error(out),
                Machine::Client(machine) => machine.on_transport_error(out),
                Machine::ServerInvite(machine) => machine.on_transport_error(out),
                Machine::Server(machine) => machine.on_transport_error(out),
            },
            event => self.feed_message(event, out),
        }
    }

    fn feed_message(&mut self, event: &str, out: &mut Vec<TxEffect>) {
        let now = self.now;
        match (&mut self.machine, event) {
            (Machine::ClientInvite(machine), "cancel") => machine.cancel(now, out),
            (Machine::ClientInvite(machine), "200 to CANCEL") => {
                machine.on_response(now, &response(&request("CANCEL"), 200), out);
            }
            (Machine::ClientInvite(machine), status) => {
                machine.on_response(now, &response(&self.request, status.parse().unwrap()), out);
            }
            (Machine::Client(machine), status) => {
                machine.on_response(now, &response(&self.request, status.parse().unwrap()), out);
            }
            (Machine::ServerInvite(machine), method @ ("INVITE" | "ACK" | "CANCEL")) => {
                machine.on_request(now, &request(method), out);
            }
            (Machine::ServerInvite(machine), status) => {
                machine.respond(now, &response(&self.request, status.parse().unwrap()), out);
            }
            (Machine::Server(machine), "OPTIONS") => machine.on_request(out),
            (Machine::Server(machine), status) => {
                machine.respond(now, &response(&self.request, status.parse().unwrap()), out);
            }
        }
    }

    fn on_deadline(&mut self, out: &mut Vec<TxEffect>) {
        match &mut self.machine {
            Machine::ClientInvite(machine) => machine.on_deadline(self.now, out),
            Machine::Client(machine) => machine.on_deadline(self.now, out),
            Machine::ServerInvite(machine) => machine.on_deadline(self.now, out),
            Machine::Server(machine) => machine.on_deadline(self.now, out),
        }
    }

    fn deadline(&self) -> Option<Mono> {
        match &self.machine {
            Machine::ClientInvite(machine) => machine.deadline(),
            Machine::Client(machine) => machine.deadline(),
            Machine::ServerInvite(machine) => machine.deadline(),
            Machine::Server(machine) => machine.deadline(),
        }
    }

    fn state(&self) -> &'static str {
        match &self.machine {
            Machine::ClientInvite(machine) => machine.state_name(),
            Machine::Client(machine) => machine.state_name(),
            Machine::ServerInvite(machine) => machine.state_name(),
            Machine::Server(machine) => machine.state_name(),
        }
    }

    fn is_over(&self) -> bool {
        match &self.machine {
            Machine::ClientInvite(machine) => machine.is_over(),
            Machine::Client(machine) => machine.is_over(),
            Machine::ServerInvite(machine) => machine.is_over(),
            Machine::Server(machine) => machine.is_over(),
        }
    }
}

fn word(effect: &TxEffect) -> String {
    match effect {
        TxEffect::Transmit(wire) => {
            let message = Message::datagram(wire.bytes().clone()).expect("what we send is well-formed");
            message.method().map_or_else(
                || format!("send {}", message.status().unwrap()),
                |method: &Method| format!("send {method}"),
            )
        }
        TxEffect::Tell(event) => match event {
            TuEvent::Response(message) => format!("tell {}", message.status().unwrap()),
            TuEvent::Crossed(message) => format!("tell crossed {}", message.status().unwrap()),
            TuEvent::NoAnswer => "tell no answer".to_owned(),
            TuEvent::Unreachable => "tell unreachable".to_owned(),
            TuEvent::Cancelled => "tell cancelled".to_owned(),
            TuEvent::Acked(_) => "tell ack".to_owned(),
            TuEvent::AckMissing => "tell ack missing".to_owned(),
            TuEvent::NeverAnswered => "tell never answered".to_owned(),
        },
        TxEffect::Done(TxEnd::Completed) => "done completed".to_owned(),
        TxEffect::Done(TxEnd::TimedOut) => "done timed out".to_owned(),
        TxEffect::Done(TxEnd::Unreachable) => "done unreachable".to_owned(),
    }
}

fn run_row(table: &Table, state: &State, row: &[String], via: &str) {
    let (event, to, effects) = (&row[0], &row[1], &row[2]);
    let place = format!("{} over {via}: `{}` on `{event}`", table.machine, state.name);
    let mut out = Vec::new();
    let mut bench = Bench::new(&table.machine, via, &mut out);
    for step in &state.reach {
        bench.feed(step, &mut out);
    }
    let is = state.name.split(',').next().unwrap();
    assert_eq!(bench.state(), is, "{place}: not reached");
    let over_before = bench.is_over();
    out.clear();
    bench.feed(event, &mut out);
    let words: Vec<_> = out.iter().map(word).collect();
    assert_eq!(words.join("; "), *effects, "{place}: effects");
    assert_eq!(bench.state(), to, "{place}: next state");
    assert_eq!(bench.is_over() && !over_before, words.last().is_some_and(|last| last.starts_with("done")), "{place}");
}

fn run(text: &str) -> String {
    let table: Table = toml::from_str(text).unwrap();
    assert!(table.source.contains("RFC "), "{}: no source", table.machine);
    let named = |name: &str| table.state.iter().any(|state| state.name.split(',').next() == Some(name));
    for state in &table.state {
        for row in &state.rows {
            assert!(named(&row[1]), "{}: state `{}` has no rows of its own", table.machine, row[1]);
            assert!(
                table.events.contains(&row[0]),
                "{}: `{}` has unlisted event `{}`",
                table.machine,
                state.name,
                row[0]
            );
        }
        for via in ["udp", "tcp"] {
            if state.only.as_deref().is_some_and(|only| only != via) {
                continue;
            }
            for event in &table.events {
                let rows: Vec<_> = state
                    .rows
                    .iter()
                    .filter(|row| row[0] == *event && row.get(3).is_none_or(|only| only == via))
                    .collect();
                let place = format!("{} over {via}: `{}` on `{event}`", table.machine, state.name);
                assert_eq!(rows.len(), 1, "{place}: rows");
                run_row(&table, state, rows[0], via);
            }
        }
    }
    table.machine
}

#[test]
fn rfc3261_s17_1_1_client_invite_table() {
    assert_eq!(run(include_str!("tables/client_invite.toml")), "client_invite");
}

#[test]
fn rfc3261_s17_1_2_client_table() {
    assert_eq!(run(include_str!("tables/client.toml")), "client");
}

#[test]
fn rfc3261_s17_2_1_server_invite_table() {
    assert_eq!(run(include_str!("tables/server_invite.toml")), "server_invite");
}

#[test]
fn rfc3261_s17_2_2_server_table() {
    assert_eq!(run(include_str!("tables/server.toml")), "server");
}
