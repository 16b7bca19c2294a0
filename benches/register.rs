//! What a registration costs: challenge and answer through the switch alone, and with its four system calls over a pair
//! of UDP sockets; and what a binding weighs. Goal: <= 190 us of CPU per registration with the system calls.

#![expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a bench that cannot go on stops")]
#![expect(clippy::disallowed_methods, reason = "a bench measures")]

use std::fmt::Write as _;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use rustix::time::{ClockId, clock_gettime};
use switch12345::base::flow::{Flow, FlowId, Side, Transport};
use switch12345::base::now::{Mono, Now};
use switch12345::base::secret::Secret;
use switch12345::plan::load::{Files, Request, load};
use switch12345::plan::model::Plan;
use switch12345::sip::digest::Account;
use switch12345::sip::digest::client::{ClientAuth, Subject};
use switch12345::sip::message::{Message, Name};
use switch12345::sip::token::TokenKey;
use switch12345::switch::words::SwitchEffect;
use switch12345::switch::{Secrets, Switch};

const PHONES: usize = 3_000;
const ROUNDS: usize = 10;

const CONFIG: &str = r#"
[limits]
registrations_max = 40000
[trunk.carrier]
tenant = "p"
area = "0476"
from = ["192.0.2.1/32"]
to = ["sip:192.0.2.1"]
emergency = true
"#;

const PLACE: &str = r#"
[tenant]
name = "p"
title = "某市"
line_name = "某市12345政务服务便民热线"
area = "0476"
main_queue = "main"
[prompts]
greeting = ""
[[queue]]
name = "main"
[[emergency]]
number = "110"
name = "110"
routes = [{ trunk = "carrier", number = "110" }]
[[emergency]]
number = "119"
name = "119"
routes = [{ trunk = "carrier", number = "119" }]
[[emergency]]
number = "120"
name = "120"
routes = [{ trunk = "carrier", number = "120" }]
[[emergency]]
number = "122"
name = "122"
routes = [{ trunk = "carrier", number = "122" }]
[[hotline]]
number = "12345"
"#;

struct Generated(String);

impl Files for Generated {
    fn read(&self, path: &str) -> Result<String, String> {
        match path {
            "config/switch.toml" => Ok(CONFIG.to_owned()),
            "config/agents.toml" => Ok(self.0.clone()),
            "dialplans/p.toml" => Ok(PLACE.to_owned()),
            other => Err(format!("no {other}")),
        }
    }

    fn list(&self, _directory: &str) -> Result<Vec<String>, String> {
        Ok(vec!["dialplans/p.toml".to_owned()])
    }
}

fn user(nth: usize) -> String {
    format!("{}", 10_000 + nth)
}

fn plan() -> Arc<Plan> {
    let agents = (0..PHONES).fold(String::new(), |mut text, nth| {
        let id = user(nth);
        let _ =
            writeln!(text, "[[agent]]\nid = \"{id}\"\ntenant = \"p\"\npassword = \"secret-{id}\"\nqueues = [\"main\"]");
        text
    });
    let wall = "2026-11-20T02:00:00Z".parse().unwrap();
    let loaded = load(&Generated(agents), &Request { config: "config/switch.toml", set: &[], overlays: &[], wall });
    let faults = loaded.diagnostics.iter().map(|fault| loaded.sources.render(fault, false)).collect::<String>();
    loaded.plan.unwrap_or_else(|| panic!("{faults}"))
}

fn switch(plan: &Arc<Plan>) -> Switch {
    let secrets = Secrets { tokens: TokenKey::new([5; 16]), nonces: [6; 32], seed: 7 };
    Switch::new(Arc::clone(plan), &secrets, "switch12345")
}

fn flow(remote: SocketAddr) -> Flow {
    let local = "127.0.0.1:5062".parse().unwrap();
    Flow { id: FlowId(1), side: Side::Agent, transport: Transport::Udp, local, remote }
}

/// As long as what a desk phone sends.
fn register(user: &str, contact: &str, cseq: usize, named: &str, more: &str) -> String {
    format!(
        "REGISTER sip:127.0.0.1 SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1:5071;rport;branch=z9hG4bK{named}c{cseq}\r\n\
         Max-Forwards: 70\r\nFrom: \"{user}\" <sip:{user}@127.0.0.1>;tag=f{named}\r\nTo: <sip:{user}@127.0.0.1>\r\n\
         Call-ID: {named}@127.0.0.1\r\nCSeq: {cseq} REGISTER\r\nContact: <{contact}>;expires=600\r\n\
         User-Agent: Desk Phone 5.1 001565abcdef\r\nAllow: INVITE, ACK, BYE, CANCEL, OPTIONS, INFO, NOTIFY, REFER\r\n\
         Supported: path, outbound\r\n{more}Content-Length: 0\r\n\r\n"
    )
}

fn answer(challenge: &Message, user: &str) -> String {
    let account = Account { user: user.to_owned(), password: Secret::new(format!("secret-{user}")) };
    let subject = Subject { method: "REGISTER", uri: b"sip:127.0.0.1", cnonce: "0a4f113b" };
    let value = ClientAuth::new().answer(challenge.headers(Name::WwwAuthenticate), &account, subject).unwrap();
    format!("Authorization: {}\r\n", String::from_utf8(value).unwrap())
}

fn sent(out: &[SwitchEffect]) -> &Bytes {
    let transmit = |effect: &'_ SwitchEffect| matches!(effect, SwitchEffect::Transmit(..));
    match out.iter().find(|effect| transmit(effect)) {
        Some(SwitchEffect::Transmit(_, bytes)) => bytes,
        _ => panic!("nothing was sent"),
    }
}

fn thread_cpu() -> Duration {
    let spent = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(spent.tv_sec.unsigned_abs(), u32::try_from(spent.tv_nsec).unwrap())
}

fn resident_kib() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches("kB").trim().parse().unwrap()
}

/// Nanoseconds inside the switch for each registration, and the switch with all phones in it.
fn alone(plan: &Arc<Plan>) -> (Vec<u128>, Switch) {
    let mut switch = switch(plan);
    let mut taken = Vec::with_capacity(PHONES * ROUNDS);
    let mut out = Vec::new();
    let wall = "2026-11-20T02:00:00Z".parse().unwrap();
    let mut now = Now { mono: Mono(1_000_000_000), wall };
    for round in 0..ROUNDS {
        for nth in 0..PHONES {
            now = now.after(Duration::from_millis(3));
            let (user, named) = (user(nth), format!("r{round}p{nth}"));
            let from = flow(SocketAddr::new([10, 0, (nth / 250) as u8, (nth % 250) as u8].into(), 5071));
            let contact = format!("sip:{user}@10.0.{}.{}:5071", nth / 250, nth % 250);
            let mut receive = |text: String| {
                out.clear();
                let bytes = Bytes::from(text);
                let start = Instant::now();
                if switch.deadline().is_some_and(|due| due <= now.mono) {
                    switch.on_deadline(now, &mut out);
                }
                switch.receive(now, from, bytes, &mut out);
                (start.elapsed().as_nanos(), Message::datagram(sent(&out).clone()).unwrap())
            };
            let (asked, challenge) = receive(register(&user, &contact, 1, &named, ""));
            let (shown, granted) = receive(register(&user, &contact, 2, &named, &answer(&challenge, &user)));
            assert_eq!(granted.status(), Some(200), "{user}");
            taken.push(asked + shown);
        }
    }
    taken.sort_unstable();
    (taken, switch)
}

/// Median nanoseconds for a wrong answer, each from an address of its own so that none is paused.
fn refused(plan: &Arc<Plan>, user_of: impl Fn(usize) -> String) -> u128 {
    let mut switch = switch(plan);
    let mut taken = Vec::with_capacity(PHONES);
    let mut out = Vec::new();
    let wall = "2026-11-20T02:00:00Z".parse().unwrap();
    for nth in 0..PHONES {
        let now = Now { mono: Mono(1_000_000_000), wall }.after(Duration::from_millis(nth as u64));
        let from = flow(SocketAddr::new([10, 1, (nth / 250) as u8, (nth % 250) as u8].into(), 5071));
        let (user, named) = (user_of(nth), format!("g{nth}"));
        switch.receive(now, from, Bytes::from(register(&user, "sip:x@10.0.0.1", 1, &named, "")), &mut out);
        let challenge = Message::datagram(sent(&out).clone()).unwrap();
        let wrong = answer(&challenge, &user).replace("response=\"", "response=\"0");
        let bytes = Bytes::from(register(&user, "sip:x@10.0.0.1", 2, &named, &wrong));
        out.clear();
        let start = Instant::now();
        switch.receive(now, from, bytes, &mut out);
        taken.push(start.elapsed().as_nanos());
        assert!(sent(&out).starts_with(b"SIP/2.0 401 "));
        out.clear();
    }
    taken.sort_unstable();
    taken[PHONES / 2]
}

/// CPU of the serving thread for each registration, system calls included.
fn over_sockets(plan: &Arc<Plan>) -> Duration {
    let server = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = server.local_addr().unwrap();
    let mut switch = switch(plan);
    let serving = std::thread::spawn(move || {
        let (mut buffer, mut out) = (vec![0; 65_536], Vec::new());
        let wall: jiff::Timestamp = "2026-11-20T02:00:00Z".parse().unwrap();
        let began = (Instant::now(), thread_cpu());
        for _ in 0..PHONES * 2 {
            let (size, from) = server.recv_from(&mut buffer).unwrap();
            let now = Now { mono: Mono(1_000_000_000), wall }.after(began.0.elapsed());
            out.clear();
            switch.receive(now, flow(from), Bytes::copy_from_slice(&buffer[..size]), &mut out);
            server.send_to(sent(&out), from).unwrap();
        }
        thread_cpu().saturating_sub(began.1)
    });
    let phone = UdpSocket::bind("127.0.0.1:0").unwrap();
    phone.connect(address).unwrap();
    let mut buffer = vec![0; 65_536];
    let mut ask = |text: String| {
        phone.send(text.as_bytes()).unwrap();
        let size = phone.recv(&mut buffer).unwrap();
        Message::datagram(Bytes::copy_from_slice(&buffer[..size])).unwrap()
    };
    for nth in 0..PHONES {
        let (user, named) = (user(nth), format!("s{nth}"));
        let contact = format!("sip:{user}@127.0.0.1:5071");
        let challenge = ask(register(&user, &contact, 1, &named, ""));
        let granted = ask(register(&user, &contact, 2, &named, &answer(&challenge, &user)));
        assert_eq!(granted.status(), Some(200), "{user}");
    }
    serving.join().unwrap() / u32::try_from(PHONES).unwrap()
}

#[expect(clippy::print_stdout, reason = "a bench reports")]
fn main() {
    let plan = plan();
    let before = resident_kib();
    let (taken, switch) = alone(&plan);
    let grown = resident_kib().saturating_sub(before).saturating_sub(taken.capacity() * 16 / 1024);
    let phones = switch.desk().registered().count();
    println!(
        "switch alone: median {} us  p99 {} us per registration ({} phones, {} rounds)",
        taken[taken.len() / 2] / 1_000,
        taken[taken.len() * 99 / 100] / 1_000,
        PHONES,
        ROUNDS
    );
    let (wrong, unknown) = (refused(&plan, user), refused(&plan, |nth| format!("{}", 60_000 + nth)));
    println!("refused: wrong password median {wrong} ns, unknown user median {unknown} ns");
    println!("with system calls: {} us of CPU per registration", over_sockets(&plan).as_micros());
    println!(
        "memory: {} KiB for {phones} phones, {} answers remembered, their nonces and proofs: {} octets a phone",
        grown,
        switch.desk().remembered(),
        grown * 1024 / phones
    );
}
