//! One UDP socket with the transactions on it (RFC 3261 §17), and 2xx to INVITE repeated until its ACK (§13.3.1.4).
//!
//! | side | what is kept | until |
//! |---|---|---|
//! | client | a channel per branch and method; the request is sent again at T1, 2·T1, … | final answer, 64·T1 |
//! | client, INVITE | the ACK, sent again for each repeated final answer | 64·T1 |
//! | server | the bytes of the last answer, sent again for each repeated request | 64·T1 |
//! | server, INVITE | the final answer, sent again at T1, 2·T1, … | ACK, 64·T1 |
//!
//! Limits: 64 unread answers per transaction and 256 unread requests; what comes beyond is dropped, as on a real wire.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use rsip::headers::ToTypedHeader as _;
use rsip::headers::UntypedHeader as _;
use rsip::message::HeadersExt as _;
use rsip::{Header, Headers, Method, Request, Response, SipMessage};
use tokio::net::UdpSocket;
use tokio::sync::{mpsc, watch};
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep_until};

use crate::demo::peer::{PeerFault, Sight, Witness, locked, token};

const T1: Duration = Duration::from_millis(500);
const T2: Duration = Duration::from_secs(4);
/// Timers B, F, H and the lives of everything kept.
const LIFE: Duration = Duration::from_secs(32);

/// Branch and method: one transaction.
type Key = (String, String);
/// Call-ID and CSeq number: one INVITE of a dialog.
type Invite = (String, u32);

/// What of a message decides where it belongs.
#[derive(Clone, Debug)]
pub struct Facts {
    /// The branch of the top Via.
    pub branch: String,
    /// The CSeq number.
    pub sequence: u32,
    /// The CSeq method.
    pub method: Method,
    /// The dialog's Call-ID.
    pub call_id: String,
    /// The user part of From.
    pub from_user: String,
    /// Whether To carries a tag.
    pub to_tagged: bool,
}

impl Facts {
    /// Reads them; the fault names what is missing.
    ///
    /// # Errors
    /// [`PeerFault::Message`] when a header is missing or unreadable.
    pub fn of(message: &SipMessage) -> Result<Self, PeerFault> {
        let fault = |why: rsip::Error| PeerFault::message("a SIP message", why);
        let via = message.via_header().map_err(fault)?.typed().map_err(fault)?;
        let sequence = message.cseq_header().map_err(fault)?.typed().map_err(fault)?;
        let from = message.from_header().map_err(fault)?.typed().map_err(fault)?;
        let to = message.to_header().map_err(fault)?.typed().map_err(fault)?;
        Ok(Self {
            branch: via.branch().map(ToString::to_string).unwrap_or_default(),
            sequence: sequence.seq,
            method: sequence.method,
            call_id: message.call_id_header().map_err(fault)?.value().to_owned(),
            from_user: from.uri.user().unwrap_or_default().to_owned(),
            to_tagged: to.tag().is_some(),
        })
    }

    fn key(&self) -> Key {
        let method = if self.method == Method::Ack { Method::Invite } else { self.method };
        (self.branch.clone(), method.to_string())
    }
}

/// A request that came, with the way to answer it.
#[derive(Debug)]
pub struct Arrived {
    /// The request.
    pub request: Request,
    /// What of it matters.
    pub facts: Facts,
    /// Where answers go.
    pub reply: Reply,
}

struct Inner {
    socket: UdpSocket,
    local: SocketAddr,
    party: Arc<str>,
    witness: Arc<dyn Witness>,
    clients: Mutex<BTreeMap<Key, mpsc::Sender<Response>>>,
    servers: Mutex<BTreeMap<Key, Option<Bytes>>>,
    acks: Mutex<BTreeMap<Invite, (Bytes, SocketAddr)>>,
    unacknowledged: Mutex<BTreeMap<Invite, watch::Sender<bool>>>,
}

/// A party's place on the network; clones share it.
#[derive(Clone)]
pub struct Endpoint {
    inner: Arc<Inner>,
}

impl std::fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Endpoint({} at {})", self.inner.party, self.inner.local)
    }
}

/// Ends a socket's receiving task when dropped.
#[derive(Debug)]
pub struct Listening(AbortHandle);

impl Drop for Listening {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Endpoint {
    /// Opens the socket; requests come out of the receiver while the [`Listening`] lives.
    ///
    /// # Errors
    /// [`PeerFault::System`] when the address is taken.
    pub async fn bind(
        address: SocketAddr,
        party: &str,
        witness: Arc<dyn Witness>,
    ) -> Result<(Self, mpsc::Receiver<Arrived>, Listening), PeerFault> {
        let socket = UdpSocket::bind(address).await.map_err(PeerFault::system("a SIP port"))?;
        let local = socket.local_addr().map_err(PeerFault::system("a SIP port"))?;
        let inner = Arc::new(Inner {
            socket,
            local,
            party: Arc::from(party),
            witness,
            clients: Mutex::default(),
            servers: Mutex::default(),
            acks: Mutex::default(),
            unacknowledged: Mutex::default(),
        });
        let (found, requests) = mpsc::channel(256);
        let task = tokio::spawn(Arc::clone(&inner).receive(found)).abort_handle();
        Ok((Self { inner }, requests, Listening(task)))
    }

    /// Where it is.
    #[must_use]
    pub fn local(&self) -> SocketAddr {
        self.inner.local
    }

    /// Who it is, as shown.
    #[must_use]
    pub fn party(&self) -> &Arc<str> {
        &self.inner.party
    }

    /// A Via of a new transaction.
    #[must_use]
    pub fn via(&self) -> String {
        format!("SIP/2.0/UDP {};rport;branch=z9hG4bK{}", self.inner.local, token())
    }

    /// Begins a client transaction; the receiver closes without a final answer when none came in 64·T1.
    ///
    /// # Errors
    /// [`PeerFault::Message`] when the request lacks what a request needs.
    pub async fn request(&self, request: Request, to: SocketAddr) -> Result<mpsc::Receiver<Response>, PeerFault> {
        let message = SipMessage::Request(request);
        let facts = Facts::of(&message)?;
        let (raw, coming) = mpsc::channel(64);
        let (out, answers) = mpsc::channel(64);
        locked(&self.inner.clients).insert(facts.key(), raw);
        self.inner.witness_message(&message, &facts, true);
        let client = Client { inner: Arc::clone(&self.inner), facts, to, out };
        let bytes = Bytes::from(message.to_string());
        client.inner.send(&bytes, to).await;
        tokio::spawn(client.drive(message, bytes, coming));
        Ok(answers)
    }

    /// Sends the ACK of a 2xx, and again whenever that 2xx comes again.
    ///
    /// # Errors
    /// [`PeerFault::Message`] when the request lacks what a request needs.
    pub async fn acknowledge(&self, ack: Request, to: SocketAddr) -> Result<(), PeerFault> {
        let message = SipMessage::Request(ack);
        let facts = Facts::of(&message)?;
        self.inner.witness_message(&message, &facts, true);
        self.inner.keep_ack(&facts, Bytes::from(message.to_string()), to).await;
        Ok(())
    }
}

impl Inner {
    /// A full or refused socket loses a datagram; repeating it is what transactions are for.
    async fn send(&self, bytes: &Bytes, to: SocketAddr) {
        let _ = self.socket.send_to(bytes, to).await;
    }

    fn witness_message(&self, message: &SipMessage, facts: &Facts, sent: bool) {
        self.witness.saw(Sight {
            at: Instant::now(),
            party: Arc::clone(&self.party),
            sent,
            call_id: facts.call_id.clone(),
            from: facts.from_user.clone(),
            text: described(message, facts),
            begins: facts.method == Method::Invite && !facts.to_tagged && matches!(message, SipMessage::Request(_)),
        });
    }

    async fn receive(self: Arc<Self>, found: mpsc::Sender<Arrived>) {
        let mut buffer = vec![0_u8; 65_536];
        loop {
            let Ok((length, source)) = self.socket.recv_from(&mut buffer).await else { continue };
            let datagram = buffer.get(..length).unwrap_or_default();
            let Ok(message) = SipMessage::try_from(datagram) else { continue };
            let Ok(facts) = Facts::of(&message) else { continue };
            match message {
                SipMessage::Response(response) => self.on_response(response, facts).await,
                SipMessage::Request(request) => Self::on_request(&self, request, facts, source, &found).await,
            }
        }
    }

    async fn on_response(&self, response: Response, facts: Facts) {
        let final_invite = facts.method == Method::Invite && response.status_code.code() >= 200;
        let again = final_invite.then(|| locked(&self.acks).get(&(facts.call_id.clone(), facts.sequence)).cloned());
        if let Some((ack, to)) = again.flatten() {
            self.send(&ack, to).await;
            return;
        }
        let client = locked(&self.clients).get(&facts.key()).cloned();
        let Some(client) = client else { return };
        let message = SipMessage::Response(response);
        self.witness_message(&message, &facts, false);
        if let SipMessage::Response(response) = message {
            let _ = client.try_send(response);
        }
    }

    async fn on_request(
        self: &Arc<Self>,
        request: Request,
        facts: Facts,
        source: SocketAddr,
        found: &mpsc::Sender<Arrived>,
    ) {
        let message = SipMessage::Request(request);
        let acknowledges = facts.method == Method::Ack;
        if acknowledges {
            let waiting = locked(&self.unacknowledged).remove(&(facts.call_id.clone(), facts.sequence));
            match waiting {
                Some(waiting) => waiting.send_replace(true),
                None => return,
            };
        } else {
            let before = locked(&self.servers).get(&facts.key()).cloned();
            if let Some(answered) = before {
                if let Some(bytes) = answered {
                    self.send(&bytes, source).await;
                }
                return;
            }
            locked(&self.servers).insert(facts.key(), None);
            self.forget_server_later(facts.key());
        }
        self.witness_message(&message, &facts, false);
        let SipMessage::Request(request) = message else { return };
        let reply = Reply::new(Arc::clone(self), &request, &facts, source);
        if facts.method == Method::Cancel {
            let invite = (facts.branch.clone(), Method::Invite.to_string());
            let known = locked(&self.servers).contains_key(&invite);
            reply.send(if known { 200 } else { 481 }, "cancel", &[], None).await;
        }
        // A queue that is full loses the request, as a full socket would; it will come again.
        let _ = found.try_send(Arrived { request, facts, reply });
    }

    fn forget_server_later(self: &Arc<Self>, key: Key) {
        let inner = Arc::clone(self);
        tokio::spawn(async move {
            sleep_until(Instant::now() + LIFE).await;
            locked(&inner.servers).remove(&key);
        });
    }

    async fn keep_ack(self: &Arc<Self>, facts: &Facts, bytes: Bytes, to: SocketAddr) {
        let invite = (facts.call_id.clone(), facts.sequence);
        locked(&self.acks).insert(invite.clone(), (bytes.clone(), to));
        self.send(&bytes, to).await;
        let inner = Arc::clone(self);
        tokio::spawn(async move {
            sleep_until(Instant::now() + LIFE).await;
            locked(&inner.acks).remove(&invite);
        });
    }
}

/// A client transaction under way.
struct Client {
    inner: Arc<Inner>,
    facts: Facts,
    to: SocketAddr,
    out: mpsc::Sender<Response>,
}

impl Client {
    async fn drive(self, request: SipMessage, bytes: Bytes, mut coming: mpsc::Receiver<Response>) {
        let invite = self.facts.method == Method::Invite;
        let (mut pause, mut give_up) = (T1, Instant::now() + LIFE);
        let mut again = Instant::now() + pause;
        loop {
            tokio::select! {
                response = coming.recv() => {
                    let Some(response) = response else { break };
                    let status = response.status_code.code();
                    if status < 200 && invite {
                        // The caller decides how long it may ring (RFC 3261 §17.1.1.2).
                        (again, give_up) = (Instant::now() + LIFE * 60, Instant::now() + LIFE * 60);
                    }
                    if invite && status >= 300 {
                        self.acknowledge_failure(&request, &response).await;
                    }
                    let unread = self.out.try_send(response).is_err();
                    if status >= 200 || unread && !invite {
                        break;
                    }
                }
                () = sleep_until(again) => {
                    self.inner.send(&bytes, self.to).await;
                    pause = if invite { pause * 2 } else { (pause * 2).min(T2) };
                    again = Instant::now() + pause;
                }
                () = sleep_until(give_up) => break,
            }
        }
        locked(&self.inner.clients).remove(&self.facts.key());
    }

    /// The ACK of a final answer that is no 2xx belongs to the transaction: same branch (RFC 3261 §17.1.1.3).
    async fn acknowledge_failure(&self, request: &SipMessage, response: &Response) {
        let SipMessage::Request(request) = request else { return };
        let mut headers = Headers::default();
        for header in request.headers.iter() {
            match header {
                Header::Via(_) | Header::From(_) | Header::CallId(_) | Header::MaxForwards(_) => {
                    headers.push(header.clone());
                }
                _ => {}
            }
        }
        if let Ok(to) = response.to_header() {
            headers.push(Header::To(to.clone()));
        }
        headers.push(Header::CSeq(rsip::headers::CSeq::new(format!("{} ACK", self.facts.sequence))));
        headers.push(Header::ContentLength(rsip::headers::ContentLength::default()));
        let ack = Request {
            method: Method::Ack,
            uri: request.uri.clone(),
            version: rsip::Version::V2,
            headers,
            body: Vec::new(),
        };
        let message = SipMessage::Request(ack);
        let mut facts = self.facts.clone();
        (facts.method, facts.to_tagged) = (Method::Ack, true);
        self.inner.witness_message(&message, &facts, true);
        self.inner.keep_ack(&facts, Bytes::from(message.to_string()), self.to).await;
    }
}

/// The way back to whoever asked.
#[derive(Clone)]
pub struct Reply {
    inner: Arc<Inner>,
    facts: Facts,
    source: SocketAddr,
    headers: Vec<Header>,
}

impl std::fmt::Debug for Reply {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Reply({} to {})", self.facts.method, self.source)
    }
}

impl Reply {
    fn new(inner: Arc<Inner>, request: &Request, facts: &Facts, source: SocketAddr) -> Self {
        let copied = |header: &&Header| {
            matches!(header, Header::Via(_) | Header::From(_) | Header::To(_) | Header::CallId(_) | Header::CSeq(_))
        };
        let headers = request.headers.iter().filter(copied).cloned().collect();
        Self { inner, facts: facts.clone(), source, headers }
    }

    /// Where the request came from.
    #[must_use]
    pub const fn source(&self) -> SocketAddr {
        self.source
    }

    /// Answers; a final answer to INVITE is repeated until its ACK.
    pub async fn send(&self, status: u16, tag: &str, more: &[Header], body: Option<String>) {
        let mut headers = Headers::default();
        for header in &self.headers {
            headers.push(match header {
                Header::To(to) if status > 100 && !self.facts.to_tagged => {
                    Header::To(rsip::headers::To::new(format!("{};tag={tag}", to.value())))
                }
                other => other.clone(),
            });
        }
        headers.extend(more.to_vec());
        let body = body.unwrap_or_default().into_bytes();
        if !body.is_empty() {
            headers.push(Header::ContentType(rsip::headers::ContentType::new("application/sdp")));
        }
        headers.push(Header::ContentLength(rsip::headers::ContentLength::new(body.len().to_string())));
        let response = Response { status_code: status.into(), version: rsip::Version::V2, headers, body };
        let message = SipMessage::Response(response);
        let bytes = Bytes::from(message.to_string());
        self.inner.witness_message(&message, &self.facts, true);
        locked(&self.inner.servers).insert(self.facts.key(), Some(bytes.clone()));
        if self.facts.method == Method::Invite && status >= 200 {
            let (acknowledged, seen) = watch::channel(false);
            let invite = (self.facts.call_id.clone(), self.facts.sequence);
            locked(&self.inner.unacknowledged).insert(invite, acknowledged);
            tokio::spawn(repeat(Arc::clone(&self.inner), bytes.clone(), self.source, seen));
        }
        self.inner.send(&bytes, self.source).await;
    }
}

async fn repeat(inner: Arc<Inner>, bytes: Bytes, to: SocketAddr, mut acknowledged: watch::Receiver<bool>) {
    let end = Instant::now() + LIFE;
    let mut pause = T1;
    loop {
        tokio::select! {
            // Closed or true: it was acknowledged.
            _ = acknowledged.changed() => return,
            () = sleep_until((Instant::now() + pause).min(end)) => {}
        }
        if Instant::now() >= end {
            return;
        }
        inner.send(&bytes, to).await;
        pause = (pause * 2).min(T2);
    }
}

/// A message in a few words, for people.
fn described(message: &SipMessage, facts: &Facts) -> String {
    match message {
        SipMessage::Request(request) => match (&request.method, facts.to_tagged) {
            (Method::Invite, false) => format!("INVITE {}", request.uri.user().unwrap_or_default()),
            (Method::Invite, true) => "re-INVITE".to_owned(),
            (Method::Register, _) => format!("REGISTER {}", facts.from_user),
            (method, _) => method.to_string(),
        },
        SipMessage::Response(response) => {
            let status = spaced(&response.status_code.to_string());
            if facts.method == Method::Invite { status } else { format!("{status} ({})", facts.method) }
        }
    }
}

/// `486 BusyHere` as `486 Busy Here`.
fn spaced(status: &str) -> String {
    let mut text = String::with_capacity(status.len() + 4);
    let mut before = ' ';
    for symbol in status.chars() {
        if symbol.is_uppercase() && before.is_lowercase() {
            text.push(' ');
        }
        text.push(symbol);
        before = symbol;
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_read_as_words() {
        assert_eq!(spaced("486 BusyHere"), "486 Busy Here");
        assert_eq!(spaced("200 OK"), "200 OK");
        assert_eq!(spaced("183 SessionProgress"), "183 Session Progress");
    }
}
