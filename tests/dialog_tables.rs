//! Executes the state tables of the dialog and of offer and answer: each pair of state and event.
//!
//! A table lists its events and, for each state, how to reach it and what each event does there. A pair without a
//! row, or with two, fails.

#![expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

use bytes::Bytes;
use serde::Deserialize;
use switch12345::base::flow::{Flow, FlowId, Side, Transport};
use switch12345::sip::dialog::{Dialog, DialogState};
use switch12345::sip::message::{Message, Method};
use switch12345::sip::offer_answer::{Answering, Exchange, Heard, NotNow, Owed, Refusal, Slot};

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
    rows: Vec<Vec<String>>,
}

/// A machine of a table: it takes an event by its name, says what came of it, and names its state.
trait Bench {
    fn feed(&mut self, event: &str) -> String;
    fn state(&self) -> &'static str;
}

fn run(text: &str, begin: impl Fn(&str) -> Box<dyn Bench>) {
    let table: Table = toml::from_str(text).unwrap();
    assert!(table.source.contains("RFC "), "{}: no source", table.machine);
    for state in &table.state {
        for row in &state.rows {
            assert!(table.events.contains(&row[0]), "{}: unlisted event `{}`", table.machine, row[0]);
        }
        for event in &table.events {
            let place = format!("{}: `{}` on `{event}`", table.machine, state.name);
            let rows: Vec<_> = state.rows.iter().filter(|row| row[0] == *event).collect();
            let mut bench = begin(&table.machine);
            for step in &state.reach {
                bench.feed(step);
            }
            assert_eq!(bench.state(), state.name.split(',').next().unwrap(), "{place}: not reached");
            let effect = bench.feed(event);
            let is = (bench.state(), effect.as_str());
            assert_eq!(rows.len(), 1, "{place}: rows; it is {is:?}");
            assert_eq!(is, (rows[0][1].as_str(), rows[0][2].as_str()), "{place}");
        }
    }
}

const TARGET: &[u8] = b"sip:first@127.0.0.2";
const MOVED: &[u8] = b"sip:moved@127.0.0.2";

struct DialogBench {
    dialog: Dialog,
    invite: Message,
    branch: u32,
}

fn message(start: &str, cseq: u32, method: &str, from: &str, to: &str, contact: &[u8]) -> Message {
    let contact = String::from_utf8_lossy(contact).into_owned();
    let text = format!(
        "{start}\r\nVia: SIP/2.0/UDP 127.0.0.2;branch=z9hG4bKt\r\nMax-Forwards: 70\r\nFrom: <sip:a@x>{from}\r\n\
         To: <sip:b@y>{to}\r\nCall-ID: c\r\nCSeq: {cseq} {method}\r\nContact: <{contact}>\r\n\
         Record-Route: <sip:{method}.example;lr>\r\nContent-Length: 0\r\n\r\n"
    );
    Message::datagram(Bytes::from(text)).unwrap()
}

impl DialogBench {
    fn new(machine: &str) -> Self {
        let address = "127.0.0.1:5060".parse().unwrap();
        let flow =
            Flow { id: FlowId(1), side: Side::Trunk, transport: Transport::Udp, local: address, remote: address };
        let invite = message("INVITE sip:b@y SIP/2.0", 10, "INVITE", ";tag=a", "", TARGET);
        let dialog = if machine == "dialog of a caller" {
            let ringing = message("SIP/2.0 180 Ringing", 10, "INVITE", ";tag=a", ";tag=b", TARGET);
            Dialog::uac(&invite, &ringing, flow, "<sip:12345@127.0.0.1>")
        } else {
            Dialog::uas(&invite, b"b", flow, "<sip:12345@127.0.0.1>")
        };
        Self { dialog: dialog.unwrap(), invite, branch: 0 }
    }

    fn says(&mut self, method: &str, status: u16) {
        let start = format!("SIP/2.0 {status} X");
        let cseq = if method == "INVITE" { 10 } else { self.dialog.local_cseq() };
        self.dialog.on_response(&message(&start, cseq, method, ";tag=a", ";tag=b", MOVED));
    }

    fn asks(&mut self, method: &str, cseq: u32) -> String {
        let request =
            message(&format!("{method} sip:12345@127.0.0.1 SIP/2.0"), cseq, method, ";tag=b", ";tag=a", MOVED);
        match self.dialog.on_request(&request) {
            Err(fault) => format!("refuse {}", fault.status()),
            Ok(()) if method == "BYE" || method == "ACK" => String::new(),
            Ok(()) => {
                drop(self.dialog.respond(&request, 200, None));
                String::new()
            }
        }
    }
}

impl Bench for DialogBench {
    fn feed(&mut self, event: &str) -> String {
        let before = (self.dialog.target().clone(), self.dialog.routes().to_vec(), self.dialog.local_cseq());
        self.branch += 1;
        let words: Vec<&str> = event.split(' ').collect();
        let said = match words[..] {
            ["they", "answer", status] => {
                self.says("INVITE", status.parse().unwrap());
                String::new()
            }
            ["they", "answer", status, "to", method] => {
                self.says(method, status.parse().unwrap());
                String::new()
            }
            ["they", "ask", method] => self.asks(method, 20),
            ["they", "ask", "an", "old", method] => self.asks(method, 5),
            ["we", "answer", status] => {
                drop(self.dialog.respond(&self.invite, status.parse().unwrap(), None));
                String::new()
            }
            ["we", "ask", method] => {
                let method = Method::parse(method.as_bytes()).unwrap();
                drop(self.dialog.request(&method, "z9hG4bKo"));
                String::new()
            }
            _ => panic!("no event {event}"),
        };
        let mut effects = vec![said];
        if *self.dialog.target() != before.0 {
            effects.push("target moves".to_owned());
        }
        if self.dialog.routes() != before.1 {
            effects.push("routes are set".to_owned());
        }
        if self.dialog.local_cseq() != before.2 {
            effects.push("number counts".to_owned());
        }
        effects.retain(|effect| !effect.is_empty());
        effects.join("; ")
    }

    fn state(&self) -> &'static str {
        match self.dialog.state() {
            DialogState::Early => "early",
            DialogState::Confirmed => "confirmed",
            DialogState::Terminated => "terminated",
        }
    }
}

#[derive(Default)]
struct ExchangeBench(Exchange);

/// What a message of theirs meant.
fn heard(heard: &Heard) -> &'static str {
    match heard {
        Heard::Nothing => "nothing",
        Heard::Offer(_) => "offer",
        Heard::OfferWanted => "offer wanted",
        Heard::Answer(_) => "answer",
        Heard::Preview(_) => "preview",
        Heard::Kept => "kept",
        Heard::Missing => "missing",
    }
}

fn admitted(result: Result<Heard, Refusal>) -> String {
    result.map_or_else(|refusal| format!("refuse {}", refusal.status()), |said| heard(&said).to_owned())
}

fn sent(result: Result<(), NotNow>) -> String {
    match result {
        Ok(()) => "sent".to_owned(),
        Err(NotNow::Pending) => "not now".to_owned(),
        Err(NotNow::NotOwed) => "not owed".to_owned(),
    }
}

impl Bench for ExchangeBench {
    fn feed(&mut self, event: &str) -> String {
        let (who, rest) = event.split_once(' ').unwrap();
        let (what, described) = rest.strip_suffix(" with body").map_or((rest, false), |what| (what, true));
        let body = described.then(|| Bytes::from(format!("v=0 {who}")));
        let exchange = &mut self.0;
        let slot = match what {
            "UPDATE" | "2xx to UPDATE" | "refusal of UPDATE" => Slot::update(2),
            "PRACK" | "2xx to PRACK" => Slot::prack(2),
            _ => Slot::invite(1),
        };
        let answering = match what {
            "1xx" => Answering::Provisional,
            "reliable 1xx" => Answering::ReliableProvisional,
            "refusal" | "refusal of UPDATE" => Answering::Failure,
            _ => Answering::Success,
        };
        match (who, what) {
            ("their", "INVITE" | "UPDATE" | "PRACK") => admitted(exchange.on_request(slot, body)),
            ("our", "INVITE" | "UPDATE" | "PRACK") => sent(exchange.send_request(slot, body)),
            ("their", "ACK") => heard(&exchange.on_ack(1, body)).to_owned(),
            ("our", "ACK") => sent(exchange.send_ack(1, body)),
            ("their", _) => heard(&exchange.on_response(slot, answering, body)).to_owned(),
            ("our", _) => sent(exchange.send_response(slot, answering, body)),
            _ => panic!("no event {event}"),
        }
    }

    fn state(&self) -> &'static str {
        match self.0.owed() {
            Owed::Nothing => "nothing",
            Owed::OurOffer { .. } => "our offer",
            Owed::TheirOffer { .. } => "their offer",
            Owed::TheirFirst(_) => "their first",
            Owed::OurFirst(_) => "our first",
        }
    }
}

#[test]
fn rfc3261_s12_dialog_of_a_caller_table() {
    run(include_str!("tables/dialog_caller.toml"), |machine| Box::new(DialogBench::new(machine)));
}

#[test]
fn rfc3261_s12_dialog_of_a_callee_table() {
    run(include_str!("tables/dialog_callee.toml"), |machine| Box::new(DialogBench::new(machine)));
}

#[test]
fn rfc3264_s8_rfc6337_s2_offer_and_answer_table() {
    run(include_str!("tables/offer_answer.toml"), |_| Box::new(ExchangeBench::default()));
}
