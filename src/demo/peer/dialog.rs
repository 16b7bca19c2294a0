//! An answered call as one party has it: tags, targets, its sound, and its end (RFC 3261 §12).
//!
//! Deliberately absent: route sets (the engine records none), early dialogs of forks, hold of our own.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rsip::headers::ToTypedHeader as _;
use rsip::headers::UntypedHeader as _;
use rsip::{Header, Headers, Method, Request, Uri};
use tokio::sync::watch;
use tokio::time::timeout;

use crate::demo::peer::sdp::{Remote, answer, offer};
use crate::demo::peer::stream::Stream;
use crate::demo::peer::transaction::{Arrived, Endpoint};
use crate::demo::peer::{PeerFault, locked};

/// How long a BYE may stay unanswered.
const BYE_WITHIN: Duration = Duration::from_secs(5);

/// How a call ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// This party hung up.
    Here,
    /// The other side did.
    There,
}

/// What a dialog consists of.
#[derive(Debug)]
pub(super) struct Dialog {
    pub(super) endpoint: Endpoint,
    pub(super) contact: String,
    pub(super) call_id: String,
    /// Our From (or To) as it stands in our requests, with the tag.
    pub(super) local: String,
    /// Theirs.
    pub(super) remote: String,
    pub(super) target: Mutex<Target>,
    pub(super) sequence: AtomicU32,
    pub(super) version: AtomicU64,
    pub(super) stream: Stream,
    pub(super) end: watch::Sender<Option<End>>,
}

/// Where requests within the dialog go.
#[derive(Clone, Debug)]
pub(super) struct Target {
    pub(super) uri: String,
    pub(super) address: SocketAddr,
}

impl Target {
    /// The Contact of a message; without a readable one what it was before.
    pub(super) fn of(message: &impl rsip::message::HeadersExt, before: Self) -> Self {
        let contact = message.contact_header().ok().and_then(|contact| contact.typed().ok());
        let Some(uri) = contact.map(|contact| contact.uri) else { return before };
        let ip = uri.host_with_port.host.to_string().parse().ok();
        let port = uri.port().map_or(5060, |port| *port.value());
        let address = ip.map_or(before.address, |ip| SocketAddr::new(ip, port));
        Self { uri: uri.to_string(), address }
    }
}

/// Puts a request together.
pub(super) struct Draft<'d> {
    pub(super) method: Method,
    pub(super) uri: &'d str,
    pub(super) via: String,
    pub(super) from: &'d str,
    pub(super) to: &'d str,
    pub(super) call_id: &'d str,
    pub(super) sequence: u32,
    pub(super) contact: Option<&'d str>,
    pub(super) more: Vec<Header>,
    pub(super) body: Option<String>,
}

impl Draft<'_> {
    pub(super) fn request(self) -> Result<Request, PeerFault> {
        let uri = Uri::try_from(self.uri).map_err(|why| PeerFault::message("a request-URI", why))?;
        let mut headers = Headers::default();
        headers.push(rsip::headers::Via::new(self.via).into());
        headers.push(rsip::headers::MaxForwards::new("70").into());
        headers.push(rsip::headers::From::new(self.from).into());
        headers.push(rsip::headers::To::new(self.to).into());
        headers.push(rsip::headers::CallId::new(self.call_id).into());
        headers.push(rsip::headers::CSeq::new(format!("{} {}", self.sequence, self.method)).into());
        if let Some(contact) = self.contact {
            headers.push(rsip::headers::Contact::new(contact).into());
        }
        headers.push(rsip::headers::UserAgent::new("switch12345 demo peer").into());
        headers.extend(self.more);
        let body = self.body.unwrap_or_default().into_bytes();
        if !body.is_empty() {
            headers.push(rsip::headers::ContentType::new("application/sdp").into());
        }
        headers.push(rsip::headers::ContentLength::new(body.len().to_string()).into());
        Ok(Request { method: self.method, uri, version: rsip::Version::V2, headers, body })
    }
}

impl Dialog {
    fn draft(&self, method: Method, sequence: u32) -> Result<(Request, SocketAddr), PeerFault> {
        let target = locked(&self.target).clone();
        let draft = Draft {
            method,
            uri: &target.uri,
            via: self.endpoint.via(),
            from: &self.local,
            to: &self.remote,
            call_id: &self.call_id,
            sequence,
            contact: Some(&self.contact),
            more: Vec::new(),
            body: None,
        };
        Ok((draft.request()?, target.address))
    }

    pub(super) async fn acknowledge(&self, sequence: u32) -> Result<(), PeerFault> {
        let (ack, to) = self.draft(Method::Ack, sequence)?;
        self.endpoint.acknowledge(ack, to).await
    }

    pub(super) fn ended(&self, how: End) {
        self.end.send_if_modified(|end| end.is_none() && end.replace(how).is_none());
    }

    /// A request within the dialog.
    pub(super) async fn arrived(&self, arrived: Arrived) {
        let Arrived { request, reply, .. } = arrived;
        match request.method {
            Method::Bye => {
                reply.send(200, "", &[], None).await;
                self.ended(End::There);
            }
            Method::Invite | Method::Update => {
                let before = locked(&self.target).clone();
                *locked(&self.target) = Target::of(&request, before);
                let version = self.version.fetch_add(1, Ordering::Relaxed) + 1;
                let body = if request.body.is_empty() {
                    Ok(offer(self.stream.local(), version))
                } else {
                    Remote::read(&request.body).map(|remote| {
                        self.stream.follow(&remote);
                        answer(self.stream.local(), version, &remote)
                    })
                };
                let contact = [rsip::headers::Contact::new(self.contact.clone()).into()];
                match body {
                    Ok(body) => reply.send(200, "", &contact, Some(body)).await,
                    Err(_) => reply.send(488, "", &[], None).await,
                }
            }
            Method::Ack => {
                if let Ok(remote) = Remote::read(&request.body) {
                    self.stream.follow(&remote);
                }
            }
            Method::Options | Method::Info | Method::Notify => reply.send(200, "", &[], None).await,
            _ => reply.send(501, "", &[], None).await,
        }
    }
}

/// An answered call.
#[derive(Clone, Debug)]
pub struct Call {
    pub(super) dialog: Arc<Dialog>,
}

impl Call {
    /// Its sound.
    #[must_use]
    pub fn stream(&self) -> &Stream {
        &self.dialog.stream
    }

    /// Its Call-ID.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.dialog.call_id
    }

    /// Whether it has ended.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.dialog.end.borrow().is_some()
    }

    /// Hangs up; nothing to do when the other side was faster.
    ///
    /// # Errors
    /// [`PeerFault::Refused`] or [`PeerFault::Late`] when the BYE is not answered with 200.
    pub async fn hang_up(&self) -> Result<(), PeerFault> {
        if self.is_over() {
            return Ok(());
        }
        self.dialog.ended(End::Here);
        let sequence = self.dialog.sequence.fetch_add(1, Ordering::Relaxed) + 1;
        let (bye, to) = self.dialog.draft(Method::Bye, sequence)?;
        let mut answers = self.dialog.endpoint.request(bye, to).await?;
        let answered = timeout(BYE_WITHIN, async {
            loop {
                match answers.recv().await.map(|answer| answer.status_code.code()) {
                    Some(status) if status < 200 => {}
                    status => return status,
                }
            }
        });
        match answered.await.ok().flatten() {
            // 481: both hung up at the same moment.
            Some(200 | 481) => Ok(()),
            Some(status) => Err(PeerFault::Refused { what: "BYE", status }),
            None => Err(PeerFault::Late { what: "the answer to BYE", seconds: BYE_WITHIN.as_secs() }),
        }
    }

    /// Waits until the other side hangs up.
    ///
    /// # Errors
    /// [`PeerFault::Late`] when it does not.
    pub async fn ended(&self, within: Duration) -> Result<End, PeerFault> {
        let mut end = self.dialog.end.subscribe();
        let late = PeerFault::Late { what: "the other side's BYE", seconds: within.as_secs() };
        let ended = timeout(within, end.wait_for(Option::is_some)).await;
        ended.ok().and_then(Result::ok).and_then(|end| *end).ok_or(late)
    }
}
