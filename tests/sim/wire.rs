//! Peers whose messages are written by hand: a caller, a callee, and a phone that registers.
//!
//! Nothing of the engine's dialog or transaction code is used on this side, so a fault there cannot hide itself.

use std::net::SocketAddr;

use bytes::Bytes;
use switch12345::base::flow::Flow;
use switch12345::base::secret::Secret;
use switch12345::sip::digest::Account;
use switch12345::sip::digest::client::{ClientAuth, Subject};
use switch12345::sip::message::{Message, Method, Name};

use crate::engine::Engine;

/// One dialog, as the peer sees it.
#[derive(Clone, Debug)]
pub struct Talk {
    pub flow: Flow,
    /// The number it called or was called by.
    pub number: String,
    pub call_id: String,
    /// From in our requests, without tag.
    pub own: String,
    pub own_tag: String,
    /// To in our requests, without tag.
    pub theirs: String,
    pub their_tag: String,
    /// Request-URI of our requests.
    pub target: String,
    /// Route lines of our requests.
    pub routes: Vec<String>,
    /// CSeq number of our last request.
    pub cseq: u32,
    /// Branch of our last request.
    pub branch: String,
    branches: u32,
}

/// A session description with G.711 and digits.
pub fn sdp(ip: &str, port: u16) -> String {
    sdp_with(ip, port, 1, "sendrecv")
}

pub fn sdp_with(ip: &str, port: u16, version: u32, direction: &str) -> String {
    format!(
        "v=0\r\no=- 4711 {version} IN IP4 {ip}\r\ns=-\r\nc=IN IP4 {ip}\r\nt=0 0\r\nm=audio {port} RTP/AVP 8 0 101\r\n\
         a=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-15\r\na={direction}\r\n"
    )
}

/// Content-Type, Content-Length and body.
pub fn content(body: &str) -> String {
    let kind = if body.is_empty() { "" } else { "Content-Type: application/sdp\r\n" };
    format!("{kind}Content-Length: {}\r\n\r\n{body}", body.len())
}

impl Talk {
    /// A caller before its INVITE; `name` makes Call-ID, tag and branches its own.
    pub fn caller(flow: Flow, number: &str, name: &str) -> Self {
        let engine = flow.local;
        Self {
            flow,
            number: number.to_owned(),
            call_id: format!("{name}@{}", flow.remote.ip()),
            own: format!("<sip:13800001234@{}>", flow.remote.ip()),
            own_tag: format!("t{name}"),
            theirs: format!("<sip:{number}@{engine}>"),
            their_tag: String::new(),
            target: format!("sip:{number}@{engine}"),
            routes: Vec::new(),
            cseq: 0,
            branch: String::new(),
            branches: 0,
        }
    }

    /// A callee, by the INVITE that came to it.
    pub fn callee(flow: Flow, invite: &Message, tag: &str) -> Self {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let contact = invite.contact().expect("an INVITE has a Contact");
        Self {
            flow,
            number: String::new(),
            call_id: text(invite.call_id()),
            own: untagged(&text(invite.to().bytes())),
            own_tag: tag.to_owned(),
            theirs: untagged(&text(invite.from().bytes())),
            their_tag: text(invite.from_tag().unwrap_or_default()),
            target: text(contact.uri_bytes()),
            routes: invite.values(Name::RecordRoute).map(text).collect(),
            cseq: 100,
            branch: String::new(),
            branches: 0,
        }
    }

    /// A request with the next CSeq number (ACK and CANCEL: with the last one) and a fresh branch (CANCEL: the last).
    pub fn request(&mut self, method: &str, extra: &str, body: &str) -> String {
        if !matches!(method, "ACK" | "CANCEL") {
            self.cseq += 1;
        }
        if method != "CANCEL" {
            self.branches += 1;
            self.branch = format!("z9hG4bK{}{}", self.own_tag, self.branches);
        }
        self.written(method, self.cseq, extra, body)
    }

    /// A request with this CSeq number and the last branch.
    pub fn written(&self, method: &str, cseq: u32, extra: &str, body: &str) -> String {
        let Self { flow, call_id, own, own_tag, theirs, target, branch, .. } = self;
        let via = flow.transport.via_name();
        let me = flow.remote;
        let tag = if self.their_tag.is_empty() || method == "CANCEL" {
            String::new()
        } else {
            format!(";tag={}", self.their_tag)
        };
        let routes = self.routes.iter().map(|route| format!("Route: {route}\r\n")).collect::<String>();
        format!(
            "{method} {target} SIP/2.0\r\nVia: SIP/2.0/{via} {me};branch={branch}\r\nMax-Forwards: 70\r\n{routes}\
             From: {own};tag={own_tag}\r\nTo: {theirs}{tag}\r\nCall-ID: {call_id}\r\nCSeq: {cseq} {method}\r\n\
             Contact: <sip:peer@{me}>\r\n{extra}{}",
            content(body)
        )
    }

    /// The INVITE with an offer.
    pub fn invite(&mut self) -> String {
        let body = sdp(&self.flow.remote.ip().to_string(), 30_000);
        self.request("INVITE", "", &body)
    }

    /// Learns tag, target and route set from an answer to our INVITE.
    pub fn learn(&mut self, answer: &Message) {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        self.their_tag = text(answer.to_tag().expect("an answer with a tag"));
        if let Some(contact) = answer.contact() {
            self.target = text(contact.uri_bytes());
        }
        self.routes = answer.values(Name::RecordRoute).map(text).collect();
        self.routes.reverse();
    }

    /// The ACK of a 2xx.
    pub fn ack(&mut self, body: &str) -> String {
        self.request("ACK", "", body)
    }

    /// The ACK of a refusal: the INVITE's branch, the answer's tag (RFC 3261 §17.1.1.3).
    pub fn ack_refusal(&self, answer: &Message) -> String {
        let mut own = self.clone();
        own.their_tag = String::from_utf8_lossy(answer.to_tag().unwrap_or_default()).into_owned();
        own.written("ACK", answer.cseq().number, "", "")
    }

    /// An answer of this peer to a request of theirs; everything that must be copied is.
    pub fn answer(&self, request: &Message, status: u16, extra: &str, body: &str) -> String {
        answer(request, status, &self.own_tag, &format!("Contact: <sip:peer@{}>\r\n{extra}", self.flow.remote), body)
    }

    /// A 200 with an answer or offer.
    pub fn accept(&self, request: &Message) -> String {
        self.answer(request, 200, "", &sdp(&self.flow.remote.ip().to_string(), 31_000))
    }
}

/// An answer to a request, with this To-tag unless it has one.
pub fn answer(request: &Message, status: u16, tag: &str, extra: &str, body: &str) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let lines = |name: Name, word: &str| {
        request.headers(name).map(|value| format!("{word}: {}\r\n", text(value))).collect::<String>()
    };
    let tagged = if request.to_tag().is_some() || status == 100 { String::new() } else { format!(";tag={tag}") };
    format!(
        "SIP/2.0 {status} Answer\r\n{}{}{}To: {}{tagged}\r\n{}{}{extra}{}",
        lines(Name::Via, "Via"),
        lines(Name::RecordRoute, "Record-Route"),
        lines(Name::From, "From"),
        text(request.header(Name::To).unwrap_or_default()),
        lines(Name::CallId, "Call-ID"),
        lines(Name::CSeq, "CSeq"),
        content(body)
    )
}

fn untagged(value: &str) -> String {
    value.split(";tag=").next().unwrap_or_default().to_owned()
}

/// Parses what was written by hand.
pub fn read(text: impl Into<Bytes>) -> Message {
    let bytes = text.into();
    Message::datagram(bytes.clone()).unwrap_or_else(|fault| panic!("{fault:?}:\n{}", String::from_utf8_lossy(&bytes)))
}

/// `INVITE`, or `200 INVITE`.
pub fn word(message: &Message) -> String {
    match message.status() {
        Some(status) => format!("{status} {}", message.cseq_method()),
        None => message.method().map(Method::to_string).unwrap_or_default(),
    }
}

pub fn words(messages: &[Message]) -> Vec<String> {
    messages.iter().map(word).collect()
}

impl Engine {
    /// Takes away everything that was sent to an address.
    pub fn sent_to(&mut self, remote: SocketAddr) -> Vec<Message> {
        let sent = std::mem::take(&mut self.wire);
        let (theirs, others): (Vec<_>, Vec<_>) = sent.into_iter().partition(|(flow, _)| flow.remote == remote);
        self.wire = others.into();
        theirs.into_iter().map(|(_, bytes)| read(bytes)).collect()
    }

    /// Takes away the messages sent to an address, which must be these.
    #[track_caller]
    pub fn expect(&mut self, remote: SocketAddr, wanted: &[&str]) -> Vec<Message> {
        let sent = self.sent_to(remote);
        assert_eq!(words(&sent), wanted, "to {remote}\n{}", self.story());
        sent
    }

    /// Nothing at all is on its way to anybody.
    #[track_caller]
    pub fn expect_silence(&self) {
        let left: Vec<_> =
            self.wire.iter().map(|(flow, bytes)| (flow.remote, crate::engine::first_line(bytes))).collect();
        assert!(left.is_empty(), "{left:?}\n{}", self.story());
    }

    /// Registers a phone with its password; it is reachable over `flow` from now on.
    #[track_caller]
    pub fn register(&mut self, agent: &str, flow: Flow) {
        let mut phone = Talk::caller(flow, agent, &format!("reg{agent}"));
        (phone.own, phone.theirs) = (format!("<sip:{agent}@phones>"), format!("<sip:{agent}@phones>"));
        phone.target = format!("sip:{}", flow.local);
        let first = phone.request("REGISTER", "Expires: 3600\r\n", "");
        self.receive(flow, first.clone());
        let challenge = self.expect(flow.remote, &["401 REGISTER"]).remove(0);
        let proof = authorization(&challenge, &read(first), agent);
        let again = phone.request("REGISTER", &format!("Expires: 3600\r\n{proof}"), "");
        self.receive(flow, again);
        self.expect(flow.remote, &["200 REGISTER"]);
    }
}

/// The Authorization line of an agent for a challenged request.
pub fn authorization(challenge: &Message, request: &Message, agent: &str) -> String {
    authorization_with(challenge, request, agent, &format!("demo-{agent}"))
}

pub fn authorization_with(challenge: &Message, request: &Message, agent: &str, password: &str) -> String {
    let account = Account { user: agent.to_owned(), password: Secret::new(password) };
    let method = request.method().map(Method::to_string).unwrap_or_default();
    let subject = Subject { method: &method, uri: request.request_uri().unwrap_or_default(), cnonce: "c" };
    let value = ClientAuth::new()
        .answer(challenge.headers(Name::WwwAuthenticate), &account, subject)
        .expect("a challenge that can be answered");
    format!("Authorization: {}\r\n", String::from_utf8_lossy(&value))
}
