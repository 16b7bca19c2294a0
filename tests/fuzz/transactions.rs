//! Any events in any order against each transaction machine.
//!
//! | holds | |
//! |---|---|
//! | it ends | driven by its deadlines, once the user of it has cancelled or answered |
//! | once | `Done` is said once, and nothing is said or sent after it |
//! | one outcome | at most one refusal is told; a request other than INVITE has at most one final answer |
//! | no spin | a deadline served lies no longer in the past |

use std::time::Duration;

use bytes::Bytes;
use proptest::prelude::*;
use switch12345::base::flow::{Flow, FlowId, Side, Transport};
use switch12345::base::now::{Mono, Now};
use switch12345::sip::message::Message;
use switch12345::sip::print::Draft;
use switch12345::sip::transaction::client::Client;
use switch12345::sip::transaction::client_invite::ClientInvite;
use switch12345::sip::transaction::server::Server;
use switch12345::sip::transaction::server_invite::ServerInvite;
use switch12345::sip::transaction::timers::SipTimers;
use switch12345::sip::transaction::{TuEvent, TxEffect};

#[derive(Clone, Debug)]
enum Event {
    /// Theirs or ours, as the machine has it.
    Status(u16),
    Request(&'static str),
    OkToCancel,
    Cancel,
    TransportError,
    /// Time passes; what is due happens on the way, or only at the end of it.
    Wait(u32, bool),
}

enum Machine {
    ClientInvite(ClientInvite),
    Client(Client),
    ServerInvite(ServerInvite),
    Server(Server),
}

struct Bench {
    now: Now,
    machine: Machine,
    request: Message,
    refusals: usize,
    finals: usize,
    done: usize,
}

fn request(method: &str) -> Message {
    let text = format!(
        "{method} sip:12345@127.0.0.1 SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.2;branch=z9hG4bK-1\r\nFrom: <sip:a@x>;tag=f\r\n\
         To: <sip:b@y>\r\nCall-ID: c\r\nCSeq: 7 {method}\r\nMax-Forwards: 70\r\nContent-Length: 0\r\n\r\n"
    );
    Message::datagram(Bytes::from(text)).expect("a request")
}

impl Bench {
    fn new(kind: u8, reliable: bool, out: &mut Vec<TxEffect>) -> Self {
        let now = Now { mono: Mono(1), wall: jiff::Timestamp::UNIX_EPOCH };
        let timers = SipTimers::default();
        let address = "127.0.0.1:5060".parse().expect("an address");
        let transport = if reliable { Transport::Tcp } else { Transport::Udp };
        let flow = Flow { id: FlowId(1), side: Side::Trunk, transport, local: address, remote: address };
        let request = request(if kind.is_multiple_of(2) { "INVITE" } else { "OPTIONS" });
        let machine = match kind {
            0 => Machine::ClientInvite(ClientInvite::start(now, request.clone(), reliable, &timers, out)),
            1 => Machine::Client(Client::start(now, request.clone(), reliable, &timers, out)),
            2 => Machine::ServerInvite(ServerInvite::new("ours", &flow, &timers)),
            _ => Machine::Server(Server::new(now, reliable, &timers)),
        };
        Self { now, machine, request, refusals: 0, finals: 0, done: 0 }
    }

    fn is_over(&self) -> bool {
        match &self.machine {
            Machine::ClientInvite(machine) => machine.is_over(),
            Machine::Client(machine) => machine.is_over(),
            Machine::ServerInvite(machine) => machine.is_over(),
            Machine::Server(machine) => machine.is_over(),
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

    fn on_deadline(&mut self) {
        let mut out = Vec::new();
        match &mut self.machine {
            Machine::ClientInvite(machine) => machine.on_deadline(self.now, &mut out),
            Machine::Client(machine) => machine.on_deadline(self.now, &mut out),
            Machine::ServerInvite(machine) => machine.on_deadline(self.now, &mut out),
            Machine::Server(machine) => machine.on_deadline(self.now, &mut out),
        }
        self.judge(&out);
        assert!(self.deadline().is_none_or(|at| at > self.now.mono), "a deadline in the past would spin");
    }

    /// Lets time pass; a late driver looks once at the end, a punctual one at each deadline.
    fn wait(&mut self, span: Duration, punctual: bool) {
        let end = self.now.mono + span;
        while punctual && let Some(at) = self.deadline().filter(|at| *at <= end) {
            self.now = self.now.after(at.max(self.now.mono).since(self.now.mono));
            self.on_deadline();
        }
        self.now = self.now.after(end.since(self.now.mono));
        if self.deadline().is_some_and(|at| at <= self.now.mono) {
            self.on_deadline();
        }
    }

    fn feed(&mut self, event: &Event) {
        let mut out = Vec::new();
        let now = self.now;
        let answer = |status: u16| Draft::response(&self.request, status, None).to_tag(b"peer").finish();
        match (&mut self.machine, event) {
            (_, Event::Wait(ms, punctual)) => return self.wait(Duration::from_millis(u64::from(*ms)), *punctual),
            (Machine::ClientInvite(machine), Event::Status(status)) => {
                machine.on_response(now, &answer(*status), &mut out)
            }
            (Machine::ClientInvite(machine), Event::OkToCancel) => {
                let ok = Draft::response(&request("CANCEL"), 200, None).to_tag(b"peer").finish();
                machine.on_response(now, &ok, &mut out);
            }
            (Machine::ClientInvite(machine), Event::Cancel) => machine.cancel(now, &mut out),
            (Machine::ClientInvite(machine), Event::TransportError) => machine.on_transport_error(&mut out),
            (Machine::Client(machine), Event::Status(status)) => machine.on_response(now, &answer(*status), &mut out),
            (Machine::Client(machine), Event::TransportError) => machine.on_transport_error(&mut out),
            (Machine::ServerInvite(machine), Event::Status(status)) => machine.respond(now, &answer(*status), &mut out),
            (Machine::ServerInvite(machine), Event::Request(method)) => {
                machine.on_request(now, &request(method), &mut out)
            }
            (Machine::ServerInvite(machine), Event::TransportError) => machine.on_transport_error(&mut out),
            (Machine::Server(machine), Event::Status(status)) => machine.respond(now, &answer(*status), &mut out),
            (Machine::Server(machine), Event::Request(_)) => machine.on_request(&mut out),
            (Machine::Server(machine), Event::TransportError) => machine.on_transport_error(&mut out),
            _ => {}
        }
        self.judge(&out);
    }

    fn judge(&mut self, out: &[TxEffect]) {
        // A 2xx of ours is handed on in Accepted, and an acknowledged refusal may be answered to CANCEL; nothing after Done.
        assert!(self.done == 0 || out.is_empty(), "after the end: {out:?}");
        for effect in out {
            assert_eq!(self.done, 0, "nothing follows the end: {out:?}");
            match effect {
                TxEffect::Done(_) => self.done += 1,
                TxEffect::Tell(TuEvent::Response(response)) => {
                    let status = response.status().unwrap_or_default();
                    self.refusals += usize::from(status >= 300);
                    self.finals += usize::from(status >= 200);
                }
                TxEffect::Tell(TuEvent::NoAnswer | TuEvent::Unreachable) => {}
                TxEffect::Tell(_) | TxEffect::Transmit(_) => {}
            }
        }
        assert!(self.refusals <= 1, "one refusal at most");
        assert!(self.finals <= 1 || matches!(self.machine, Machine::ClientInvite(_)), "one final answer at most");
        assert_eq!(self.done == 1, self.is_over());
        assert!(!self.is_over() || self.deadline().is_none());
    }

    /// What its user does at the latest, and time.
    fn end(&mut self) {
        let last = if matches!(self.machine, Machine::ClientInvite(_)) { Event::Cancel } else { Event::Status(500) };
        self.feed(&last);
        self.wait(Duration::from_secs(200), true);
        if matches!(&self.machine, Machine::Client(_) | Machine::ClientInvite(_)) {
            self.wait(Duration::from_secs(200), true);
        }
        assert!(self.is_over(), "it never ends");
    }
}

fn event() -> impl Strategy<Value = Event> {
    let status = prop::sample::select(vec![
        100, 180, 183, 199, 200, 202, 300, 302, 401, 404, 408, 481, 486, 487, 500, 503, 603, 699,
    ]);
    let waits = prop::sample::select(vec![0, 1, 499, 500, 501, 1_000, 4_000, 5_000, 31_999, 32_000, 33_000, 64_000]);
    prop_oneof![
        5 => status.prop_map(Event::Status),
        4 => prop::sample::select(vec!["INVITE", "ACK", "CANCEL", "OPTIONS"]).prop_map(Event::Request),
        1 => Just(Event::OkToCancel),
        1 => Just(Event::Cancel),
        1 => Just(Event::TransportError),
        5 => (waits, any::<bool>()).prop_map(|(ms, punctual)| Event::Wait(ms, punctual)),
    ]
}

proptest! {
    #![proptest_config(crate::cases(1_500))]

    #[test]
    fn any_events_in_any_order_end_each_machine_once(
        kind in 0_u8..4,
        reliable: bool,
        events in prop::collection::vec(event(), 0..40),
    ) {
        let mut out = Vec::new();
        let mut bench = Bench::new(kind, reliable, &mut out);
        bench.judge(&out);
        events.iter().for_each(|event| bench.feed(event));
        bench.end();
    }
}
