//! Every kind of message in, what the switch makes of it, and nothing left over.

use std::collections::BTreeMap;
use std::time::Duration;

use super::words::{Paths, Peer};
use super::*;
use crate::base::flow::Transport;
use crate::base::id::{LookupId, TrunkName};
use crate::base::secret::Secret;
use crate::call::setup::Inbound;
use crate::call::words::{FIRST_CONSULT, Query, Target};
use crate::plan::load::{Files, Request, load};
use crate::plan::route::Verdict;
use crate::sip::digest::Account;
use crate::sip::digest::client::{ClientAuth, Subject};
use crate::switch::words::{Beginning, NewCall};

mod desk;
mod guessing;
mod outside;
mod registration;
mod routing;
mod subscribe;
mod trunk;
mod trunks;

const CONFIG: &str = r#"
[trunk.carrier]
tenant = "p"
area = "0476"
from = ["127.0.0.1/32"]
to = ["sip:127.0.0.1:7000", "sip:carrier.example:7001;transport=tcp"]

[trunk.desk]
tenant = "p"
to = ["sip:127.0.0.1:7101"]
emergency = true
"#;

const AGENTS: &str = r#"
[[agent]]
id = "1001"
tenant = "p"
password = "demo-1001"
queues = ["main"]

[[agent]]
id = "1002"
tenant = "p"
password = "demo-1002"
queues = ["main"]
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
routes = [{ trunk = "desk", number = "110" }]
[[emergency]]
number = "119"
name = "119"
routes = [{ trunk = "desk", number = "119" }]
[[emergency]]
number = "120"
name = "120"
routes = [{ trunk = "desk", number = "120" }]
[[emergency]]
number = "122"
name = "122"
routes = [{ trunk = "desk", number = "122" }]

[[unit]]
name = "环保局"

[[hotline]]
number = "12345"
[[hotline]]
number = "12369"
name = "环境保护投诉举报电话"
spoken_name = "12369环保举报热线"
unit = "环保局"
mode = "整体并入"
"#;

struct Memory(BTreeMap<&'static str, &'static str>);

impl Files for Memory {
    fn read(&self, path: &str) -> Result<String, String> {
        self.0.get(path).map(|text| (*text).to_owned()).ok_or_else(|| format!("no {path}"))
    }

    fn list(&self, _directory: &str) -> Result<Vec<String>, String> {
        Ok(vec!["dialplans/p.toml".to_owned()])
    }
}

fn plan(set: &[&str]) -> Arc<Plan> {
    let files = Memory(BTreeMap::from([
        ("config/switch.toml", CONFIG),
        ("config/agents.toml", AGENTS),
        ("dialplans/p.toml", PLACE),
    ]));
    let set: Vec<String> = set.iter().map(|one| (*one).to_owned()).collect();
    let wall = at(0).wall;
    let loaded = load(&files, &Request { config: "config/switch.toml", set: &set, overlays: &[], wall });
    let faults = loaded.diagnostics.iter().map(|fault| loaded.sources.render(fault, false)).collect::<String>();
    loaded.plan.unwrap_or_else(|| panic!("{faults}"))
}

fn at(ms: u64) -> Now {
    let wall = "2026-11-20T02:00:00Z".parse().unwrap();
    Now { mono: Mono(1_000_000_000), wall }.after(Duration::from_millis(ms))
}

fn trunk_side(remote: &str) -> Flow {
    Flow {
        id: FlowId(1),
        side: Side::Trunk,
        transport: Transport::Udp,
        local: "127.0.0.1:5060".parse().unwrap(),
        remote: remote.parse().unwrap(),
    }
}

fn carrier() -> Flow {
    trunk_side("127.0.0.1:7000")
}

fn phone() -> Flow {
    Flow {
        id: FlowId(7),
        side: Side::Agent,
        transport: Transport::Tcp,
        local: "127.0.0.1:5062".parse().unwrap(),
        remote: "127.0.0.1:40000".parse().unwrap(),
    }
}

/// A request; `named` tells it from others, `lines` are further header lines.
fn request(method: &str, user: &str, named: &str, lines: &str) -> String {
    let invite = if method == "CANCEL" || method == "ACK" { "INVITE" } else { method };
    let branch = format!("z9hG4bK{}{named}", if method == "REGISTER" { "r" } else { "" });
    let cseq = if method == "CANCEL" || method == "ACK" { method } else { invite };
    format!(
        "{method} sip:{user}@127.0.0.1 SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1:7000;branch={branch}\r\n\
         From: <sip:04761234567@127.0.0.1>;tag=f{named}\r\nTo: <sip:{user}@127.0.0.1>\r\nCall-ID: {named}@h\r\n\
         CSeq: 1 {cseq}\r\nContact: <sip:c@127.0.0.1:7000>\r\nMax-Forwards: 70\r\n{lines}Content-Length: 0\r\n\r\n"
    )
}

/// An INVITE with a body that describes no session.
fn hello(user: &str) -> String {
    request("INVITE", user, "hello", "Content-Type: text/plain\r\n")
        .replace("Content-Length: 0\r\n\r\n", "Content-Length: 5\r\n\r\nhello")
}

struct Bench {
    switch: Switch,
    key: TokenKey,
    ms: u64,
    out: Vec<SwitchEffect>,
    /// What was done while time passed.
    kept: Vec<SwitchEffect>,
}

impl Bench {
    fn new(set: &[&str]) -> Self {
        let key = TokenKey::new([5; 16]);
        let secrets = Secrets { tokens: key, nonces: [6; 32], seed: 7 };
        Self { switch: Switch::new(plan(set), &secrets, "switch12345"), key, ms: 0, out: Vec::new(), kept: Vec::new() }
    }

    fn bytes(&mut self, flow: Flow, bytes: impl Into<Vec<u8>>) -> &mut Self {
        self.out.clear();
        self.switch.receive(at(self.ms), flow, Bytes::from(bytes.into()), &mut self.out);
        self
    }

    fn sent(&self) -> Vec<Message> {
        let read = |bytes: &Bytes| Message::datagram(bytes.clone()).unwrap();
        self.out
            .iter()
            .filter_map(|effect| match effect {
                SwitchEffect::Transmit(_, bytes) => Some(read(bytes)),
                _ => None,
            })
            .collect()
    }

    fn statuses(&self) -> Vec<u16> {
        self.sent().iter().filter_map(Message::status).collect()
    }

    fn begun(&self) -> Option<&NewCall> {
        self.out.iter().find_map(|effect| match effect {
            SwitchEffect::Begin(new) => Some(&**new),
            _ => None,
        })
    }

    fn delivered(&self) -> Vec<(CallId, LegId, String)> {
        self.out
            .iter()
            .filter_map(|effect| match effect {
                SwitchEffect::Deliver(call, CallInput::Sip(leg, arrived)) => {
                    Some((*call, *leg, arrived.message.cseq_method().as_str().to_owned()))
                }
                _ => None,
            })
            .collect()
    }

    fn counted(&self, counted: &Counted) -> bool {
        self.out.iter().any(|effect| matches!(effect, SwitchEffect::Count(found) if found == counted))
    }

    fn call(&mut self, user: &str, named: &str) -> CallId {
        self.bytes(carrier(), request("INVITE", user, named, ""));
        self.begun().unwrap_or_else(|| panic!("{user} begins no call")).identity.call
    }

    /// A request of a phone that answers the challenge; returns what was sent the second time.
    fn with_password(&mut self, flow: Flow, request: &dyn Fn(&str) -> String, user: &str, password: &str) -> String {
        let first = request("");
        self.bytes(flow, first);
        assert_eq!(self.statuses(), [401]);
        let challenge = self.sent().remove(0);
        let authorization = answer(&challenge, &request(""), user, password);
        let again =
            request(&format!("Authorization: {authorization}\r\n")).replace("branch=z9hG4bK", "branch=z9hG4bK2");
        let again = again.replace("CSeq: 1 ", "CSeq: 2 ");
        self.bytes(flow, again.clone());
        again
    }

    fn register(&mut self, agent: &str, named: &str) -> String {
        self.register_over(phone(), agent, named)
    }

    fn register_over(&mut self, flow: Flow, agent: &str, named: &str) -> String {
        let again = self.with_password(
            flow,
            &|lines| request("REGISTER", agent, named, lines),
            agent,
            &format!("demo-{agent}"),
        );
        assert_eq!(self.statuses(), [200]);
        again
    }

    fn told_reachable(&self) -> Vec<(String, bool)> {
        self.out
            .iter()
            .filter_map(|effect| match effect {
                SwitchEffect::Acd(AcdInput::Reachable(agent, is)) => Some((agent.to_string(), *is)),
                _ => None,
            })
            .collect()
    }

    fn assert_nothing_held(&self) {
        assert_eq!((self.switch.calls().names(), self.switch.calls().len()), (0, 0));
        assert_eq!(self.switch.admission().live(), 0);
        assert_eq!(self.switch.desk().remembered(), 0);
        assert_eq!(self.switch.desk().registered().count(), 0);
        assert_eq!(self.switch.watching(), (0, 0, 0));
    }
}

fn inbound(new: &NewCall) -> &Inbound {
    match &new.facts {
        Beginning::Trunk(facts) => facts,
        Beginning::Agent(call) => panic!("{call:?}"),
    }
}

fn answer(challenge: &Message, request: &str, user: &str, password: &str) -> String {
    let request = Message::datagram(Bytes::from(request.to_owned())).unwrap();
    let account = Account { user: user.to_owned(), password: Secret::new(password) };
    let method = request.method().unwrap();
    let subject = Subject { method: method.as_str(), uri: request.request_uri().unwrap(), cnonce: "c" };
    let value = ClientAuth::new().answer(challenge.headers(Name::WwwAuthenticate), &account, subject).unwrap();
    String::from_utf8(value).unwrap()
}

struct Sockets;

impl Paths for Sockets {
    fn flow_to(&self, side: Side, transport: Transport, peer: &Peer<'_>) -> Option<Flow> {
        Some(Flow { side, transport, remote: peer.remote, ..carrier() })
    }
}

impl Bench {
    fn find(&mut self, query: Query) -> Vec<Target> {
        let call = CallId(Ulid::compose(at(0).wall, 0, &TenantName::new("p"), 1));
        let mut out = Vec::new();
        self.switch.find(at(self.ms), (call, LookupId(1)), &query, &Sockets, &mut out);
        let found = out.iter().find_map(|effect| match effect {
            SwitchEffect::Deliver(_, CallInput::Found(LookupId(1), targets)) => Some(targets.0.clone()),
            _ => None,
        });
        found.unwrap_or_else(|| panic!("{out:?}"))
    }
}
