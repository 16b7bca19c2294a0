//! A user agent: dials, is rung, answers, and sorts what arrives to its calls.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU32, AtomicU64};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rsip::headers::ToTypedHeader as _;
use rsip::headers::UntypedHeader as _;
use rsip::message::HeadersExt as _;
use rsip::{Header, Method, Request, Response};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, timeout_at};

use crate::demo::peer::dialog::{Call, Dialog, Draft, Target};
use crate::demo::peer::sdp::{Remote, answer, offer};
use crate::demo::peer::stream::Stream;
use crate::demo::peer::transaction::{Arrived, Endpoint, Listening, Reply};
use crate::demo::peer::{PeerFault, Witness, locked, token};

/// A telephone, or a trunk's far end; clones share it.
#[derive(Clone, Debug)]
pub struct Phone {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    endpoint: Endpoint,
    user: String,
    dialogs: Mutex<BTreeMap<String, Arc<Dialog>>>,
    ringing: Mutex<BTreeMap<String, watch::Sender<bool>>>,
    _listening: Listening,
}

impl Phone {
    /// Opens a phone; calls to it come out of the receiver (32 at most wait there, more are answered 486).
    ///
    /// # Errors
    /// [`PeerFault::System`] when the address is taken.
    pub async fn open(
        address: SocketAddr,
        party: &str,
        user: &str,
        witness: Arc<dyn Witness>,
    ) -> Result<(Self, mpsc::Receiver<Incoming>), PeerFault> {
        let (endpoint, mut requests, listening) = Endpoint::bind(address, party, witness).await?;
        let shared = Arc::new(Shared {
            endpoint,
            user: user.to_owned(),
            dialogs: Mutex::default(),
            ringing: Mutex::default(),
            _listening: listening,
        });
        let phone = Self { shared };
        let (rung, incoming) = mpsc::channel(32);
        let weak = Arc::downgrade(&phone.shared);
        tokio::spawn(async move {
            while let Some(arrived) = requests.recv().await {
                let Some(shared) = weak.upgrade() else { return };
                Self { shared }.sort(arrived, &rung).await;
            }
        });
        Ok((phone, incoming))
    }

    /// Its place on the network.
    #[must_use]
    pub fn endpoint(&self) -> &Endpoint {
        &self.shared.endpoint
    }

    /// The user part it is known by.
    #[must_use]
    pub fn user(&self) -> &str {
        &self.shared.user
    }

    /// Its Contact.
    #[must_use]
    pub fn contact(&self) -> String {
        format!("<sip:{}@{}>", self.shared.user, self.shared.endpoint.local())
    }

    async fn sort(&self, arrived: Arrived, rung: &mpsc::Sender<Incoming>) {
        let dialog = locked(&self.shared.dialogs).get(&arrived.facts.call_id).cloned();
        if let Some(dialog) = dialog.filter(|_| arrived.facts.to_tagged) {
            dialog.arrived(arrived).await;
            return;
        }
        match arrived.request.method {
            Method::Ack => {}
            Method::Cancel => {
                let waiting = locked(&self.shared.ringing).remove(&arrived.facts.call_id);
                if let Some(cancelled) = waiting {
                    cancelled.send_replace(true);
                }
            }
            Method::Options => {
                let allow = Header::Other("Allow".into(), "INVITE, ACK, CANCEL, BYE, OPTIONS, INFO, NOTIFY".into());
                arrived.reply.send(200, &token(), &[allow], None).await;
            }
            Method::Invite if !arrived.facts.to_tagged => self.rung(arrived, rung).await,
            _ => arrived.reply.send(481, &token(), &[], None).await,
        }
    }

    async fn rung(&self, arrived: Arrived, rung: &mpsc::Sender<Incoming>) {
        let (cancel, cancelled) = watch::channel(false);
        locked(&self.shared.ringing).insert(arrived.facts.call_id.clone(), cancel);
        let tag = token();
        let reply = arrived.reply.clone();
        tokio::spawn(refuse_when_cancelled(reply.clone(), tag.clone(), cancelled.clone()));
        let incoming = Incoming {
            phone: self.clone(),
            request: arrived.request,
            call_id: arrived.facts.call_id,
            reply,
            tag,
            cancelled,
        };
        if let Err(full) = rung.try_send(incoming) {
            full.into_inner().refuse(486).await;
        }
    }

    /// Dials; the call rings until [`Dialling::answered`] says how it went.
    ///
    /// # Errors
    /// [`PeerFault`] when no port is free or a header cannot be written.
    pub async fn dial(&self, dial: &Dial<'_>) -> Result<Dialling, PeerFault> {
        let stream = Stream::open(dial.hertz).await?;
        let call_id = format!("{}@{}", token(), self.endpoint().local().ip());
        let uri = format!("sip:{}@{}", dial.number, dial.to);
        let from = format!("<sip:{}@{}>;tag={}", dial.from, self.endpoint().local(), token());
        let draft = Draft {
            method: Method::Invite,
            uri: &uri,
            via: self.endpoint().via(),
            from: &from,
            to: &format!("<{uri}>"),
            call_id: &call_id,
            sequence: 1,
            contact: Some(&self.contact()),
            more: dial.headers.iter().map(|(name, value)| Header::Other(name.clone(), value.clone())).collect(),
            body: Some(offer(stream.local(), 1)),
        };
        let invite = draft.request()?;
        let answers = self.endpoint().request(invite.clone(), dial.to).await?;
        Ok(Dialling { phone: self.clone(), invite, to: dial.to, uri, from, call_id, stream, answers })
    }

    fn begin(&self, dialog: Dialog) -> Call {
        let dialog = Arc::new(dialog);
        let mut dialogs = locked(&self.shared.dialogs);
        // Calls that are over are swept when the next one begins.
        dialogs.retain(|_, dialog| dialog.end.borrow().is_none());
        dialogs.insert(dialog.call_id.clone(), Arc::clone(&dialog));
        Call { dialog }
    }
}

async fn refuse_when_cancelled(reply: Reply, tag: String, mut cancelled: watch::Receiver<bool>) {
    // Closed: it was answered or refused.
    if cancelled.wait_for(|cancelled| *cancelled).await.is_ok() {
        reply.send(487, &tag, &[], None).await;
    }
}

/// What is dialled.
#[derive(Clone, Debug)]
pub struct Dial<'d> {
    /// Where the INVITE goes.
    pub to: SocketAddr,
    /// The user part of the request-URI.
    pub number: &'d str,
    /// The user part of From.
    pub from: &'d str,
    /// More headers.
    pub headers: Vec<(String, String)>,
    /// The tone the caller says.
    pub hertz: f64,
}

/// A call that was dialled and not yet answered.
#[derive(Debug)]
pub struct Dialling {
    phone: Phone,
    invite: Request,
    to: SocketAddr,
    uri: String,
    from: String,
    call_id: String,
    stream: Stream,
    answers: mpsc::Receiver<Response>,
}

impl Dialling {
    /// Its sound: early media follows a 183.
    #[must_use]
    pub const fn stream(&self) -> &Stream {
        &self.stream
    }

    /// Waits for the final answer.
    ///
    /// # Errors
    /// [`PeerFault::Refused`] with the status, [`PeerFault::Late`] when none came.
    pub async fn answered(mut self, within: Duration) -> Result<Call, PeerFault> {
        let deadline = Instant::now() + within;
        let late = || PeerFault::Late { what: "a final answer to INVITE", seconds: within.as_secs() };
        loop {
            let response = timeout_at(deadline, self.answers.recv()).await.ok().flatten().ok_or_else(late)?;
            let status = response.status_code.code();
            if status >= 300 {
                return Err(PeerFault::Refused { what: "INVITE", status });
            }
            if !response.body.is_empty() {
                let remote = Remote::read(&response.body)?;
                self.stream.follow(&remote);
            }
            if status >= 200 {
                return self.established(&response).await;
            }
        }
    }

    async fn established(self, response: &Response) -> Result<Call, PeerFault> {
        let to = response.to_header().map_err(|why| PeerFault::message("the 200", why))?.value().to_owned();
        let target = Target::of(response, Target { uri: self.uri, address: self.to });
        let dialog = Dialog {
            endpoint: self.phone.endpoint().clone(),
            contact: self.phone.contact(),
            call_id: self.call_id,
            local: self.from,
            remote: to,
            target: Mutex::new(target),
            sequence: AtomicU32::new(1),
            version: AtomicU64::new(1),
            stream: self.stream,
            end: watch::Sender::new(None),
        };
        let call = self.phone.begin(dialog);
        call.dialog.acknowledge(1).await?;
        Ok(call)
    }

    /// Hangs up before the answer and waits for what the INVITE then gets.
    ///
    /// # Errors
    /// [`PeerFault::Late`] when no final answer comes.
    pub async fn cancel(mut self, within: Duration) -> Result<u16, PeerFault> {
        let via = self.invite.via_header().map_err(|why| PeerFault::message("the INVITE", why))?.value().to_owned();
        let draft = Draft {
            method: Method::Cancel,
            uri: &self.uri,
            via,
            from: &self.from,
            to: &format!("<{}>", self.uri),
            call_id: &self.call_id,
            sequence: 1,
            contact: None,
            more: Vec::new(),
            body: None,
        };
        let _answer = self.phone.endpoint().request(draft.request()?, self.to).await?;
        let deadline = Instant::now() + within;
        let late = || PeerFault::Late { what: "the end of a cancelled INVITE", seconds: within.as_secs() };
        loop {
            let response = timeout_at(deadline, self.answers.recv()).await.ok().flatten().ok_or_else(late)?;
            if response.status_code.code() >= 200 {
                return Ok(response.status_code.code());
            }
        }
    }
}

/// A call that rings here.
#[derive(Debug)]
pub struct Incoming {
    phone: Phone,
    request: Request,
    call_id: String,
    reply: Reply,
    tag: String,
    cancelled: watch::Receiver<bool>,
}

impl Incoming {
    /// Who is rung, as shown.
    #[must_use]
    pub fn party(&self) -> &Arc<str> {
        self.phone.endpoint().party()
    }

    /// The user part of From.
    #[must_use]
    pub fn caller(&self) -> String {
        let from = self.request.from_header().ok().and_then(|from| from.typed().ok());
        from.and_then(|from| from.uri.user().map(str::to_owned)).unwrap_or_default()
    }

    /// The display name of From.
    #[must_use]
    pub fn display(&self) -> String {
        let from = self.request.from_header().ok().and_then(|from| from.typed().ok());
        from.and_then(|from| from.display_name).map(|name| name.trim_matches('"').to_owned()).unwrap_or_default()
    }

    /// The user part of the request-URI.
    #[must_use]
    pub fn number(&self) -> &str {
        self.request.uri.user().unwrap_or_default()
    }

    /// The value of a header SIP itself does not define.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.request.headers.iter().find_map(|header| match header {
            Header::Other(known, value) if known.eq_ignore_ascii_case(name) => Some(value.as_str()),
            _ => None,
        })
    }

    /// Says 180.
    pub async fn ring(&self) {
        self.reply.send(180, &self.tag, &[self.contact()], None).await;
    }

    /// Refuses with a status.
    pub async fn refuse(self, status: u16) {
        if self.leave() {
            self.reply.send(status, &self.tag, &[], None).await;
        }
    }

    /// Answers, saying a tone.
    ///
    /// # Errors
    /// [`PeerFault::Cancelled`] when it was taken back before, another when no port is free or the offer is unusable.
    pub async fn answer(self, hertz: f64) -> Result<Call, PeerFault> {
        let stream = Stream::open(hertz).await?;
        let body = if self.request.body.is_empty() {
            offer(stream.local(), 1)
        } else {
            let remote = Remote::read(&self.request.body)?;
            stream.follow(&remote);
            answer(stream.local(), 1, &remote)
        };
        let value = |header: Result<&str, rsip::Error>| {
            header.map(str::to_owned).map_err(|why| PeerFault::message("the INVITE", why))
        };
        let from = value(self.request.from_header().map(|from| from.value()))?;
        let to = value(self.request.to_header().map(|to| to.value()))?;
        if !self.leave() {
            return Err(PeerFault::Cancelled);
        }
        let source = Target { uri: format!("sip:{}", self.reply.source()), address: self.reply.source() };
        let dialog = Dialog {
            endpoint: self.phone.endpoint().clone(),
            contact: self.phone.contact(),
            call_id: self.call_id.clone(),
            local: format!("{to};tag={}", self.tag),
            remote: from,
            target: Mutex::new(Target::of(&self.request, source)),
            sequence: AtomicU32::new(0),
            version: AtomicU64::new(1),
            stream,
            end: watch::Sender::new(None),
        };
        let call = self.phone.begin(dialog);
        self.reply.send(200, &self.tag, &[self.contact()], Some(body)).await;
        Ok(call)
    }

    /// Waits until the caller takes it back.
    ///
    /// # Errors
    /// [`PeerFault::Late`] when he does not.
    pub async fn taken_back(&mut self, within: Duration) -> Result<(), PeerFault> {
        let late = PeerFault::Late { what: "CANCEL", seconds: within.as_secs() };
        let cancelled = timeout_at(Instant::now() + within, self.cancelled.wait_for(|cancelled| *cancelled));
        cancelled.await.ok().and_then(Result::ok).map(|_| ()).ok_or(late)
    }

    /// Takes it out of the ringing ones; false when a CANCEL was faster.
    fn leave(&self) -> bool {
        locked(&self.phone.shared.ringing).remove(&self.call_id).is_some()
    }

    fn contact(&self) -> Header {
        rsip::headers::Contact::new(self.phone.contact()).into()
    }
}
