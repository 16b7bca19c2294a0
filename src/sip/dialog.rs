//! Dialogs: ids, route sets, targets, sequence numbers, and the messages inside them.
//!
//! How to use one, in order:
//!
//! - we called: send an [`Opening`]; make a [`Dialog::uac`] from each 1xx (101–199) or 2xx with a To-tag not seen
//!   yet; give later responses to [`Dialog::on_response`]; acknowledge a 2xx with [`Dialog::ack`] and each repetition
//!   of it with [`Dialog::ack_again`]. A 2xx from a fork we do not want gets its own dialog, its ACK and a BYE
//!   ([`Dialog::dismiss`]).
//! - we were called: make a [`Dialog::uas`] with our tag, write answers with [`Dialog::respond`].
//! - either way: check each request with [`Dialog::on_request`], write ours with [`Dialog::request`].
//!
//! The route set is fixed when the dialog is confirmed; only the target moves, by a Contact in a re-INVITE, UPDATE or
//! SUBSCRIBE (or our answer to one) that succeeds. All sends go over the stored [`Flow`]: request-URI and Route say where a
//! message is meant to go, not over what.
//!
//! Deliberately absent: transactions, bodies ([`super::offer_answer`]), subscriptions' lifetimes, SIPS policy.
//! RFC 3261 §12, §13.2.2.4, §13.3, §14, §16.12.1 (strict routers); RFC 3891 §3 (Replaces); RFC 3311 §5;
//! RFC 6141 §4 (a refused request moves no target); RFC 5057 §5.1 (481).

use std::fmt;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::header::address::NameAddr;
use super::header::cseq::{CSEQ_END, CSeq};
use super::header::refer::Replaces;
use super::header::via::Via;
use super::message::{Message, Method, Name};
use super::print::Draft;
use super::transaction::Wire;
use super::uri::Uri;
use crate::base::flow::Flow;

/// Hops a request of ours may take (RFC 3261 §8.1.1.6).
const MAX_FORWARDS: &str = "70";
/// What a `Replaces` says for a tag that is missing (RFC 3891 §3).
const NO_TAG: &[u8] = b"0";

/// What tells one dialog from all others (RFC 3261 §12).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct DialogId {
    /// The Call-ID header value.
    pub call_id: Bytes,
    /// Our tag.
    pub local_tag: Bytes,
    /// Theirs; empty when they sent none, as elements older than RFC 3261 do.
    pub remote_tag: Bytes,
}

impl DialogId {
    /// The dialog a request of theirs is in; `None` when it has no To-tag.
    #[must_use]
    pub fn of_request(request: &Message) -> Option<Self> {
        Some(Self::new(request.call_id(), request.to_tag()?, request.from_tag().unwrap_or_default()))
    }

    /// The dialog a response of theirs is in; `None` when it has no To-tag.
    #[must_use]
    pub fn of_response(response: &Message) -> Option<Self> {
        Some(Self::new(response.call_id(), response.from_tag().unwrap_or_default(), response.to_tag()?))
    }

    /// Puts an id together.
    #[must_use]
    pub fn new(call_id: &[u8], local_tag: &[u8], remote_tag: &[u8]) -> Self {
        Self {
            call_id: Bytes::copy_from_slice(call_id),
            local_tag: Bytes::copy_from_slice(local_tag),
            remote_tag: Bytes::copy_from_slice(remote_tag),
        }
    }
}

/// How far a dialog has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum DialogState {
    /// A provisional answer made it.
    Early,
    /// A 2xx made or confirmed it.
    Confirmed,
    /// A BYE was sent or taken, or the INVITE was refused.
    Terminated,
}

/// Why a request inside a dialog is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, thiserror::Error)]
pub enum DialogFault {
    /// Its CSeq number is below the last one (RFC 3261 §12.2.2).
    #[error("CSeq out of order")]
    OutOfOrder,
    /// The dialog is over.
    #[error("the dialog is over")]
    Over,
}

impl DialogFault {
    /// The status that refuses.
    #[must_use]
    pub const fn status(self) -> u16 {
        match self {
            Self::OutOfOrder => 500,
            Self::Over => 481,
        }
    }
}

/// One peer-to-peer relationship (RFC 3261 §12).
#[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Dialog {
    id: DialogId,
    state: DialogState,
    local: Bytes,
    remote: Bytes,
    contact: Bytes,
    target: Bytes,
    routes: Vec<Bytes>,
    local_cseq: u32,
    remote_cseq: Option<u32>,
    flow: Flow,
    ack: Option<Ack>,
    /// Our BYE is out and theirs has not come: one that crossed ours is answered like any other.
    may_cross: bool,
}

#[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
struct Ack {
    cseq: u32,
    wire: Wire,
}

impl Dialog {
    /// The dialog that a response to our INVITE makes: 101–299 with a To-tag; otherwise `None`. `contact` is our
    /// Contact value. A 1xx without Contact keeps the request-URI as target until a response brings one.
    #[must_use]
    pub fn uac(request: &Message, response: &Message, flow: Flow, contact: impl Into<Bytes>) -> Option<Self> {
        let state = match response.status()? {
            101..200 => DialogState::Early,
            200..300 => DialogState::Confirmed,
            _ => return None,
        };
        let id = DialogId::of_response(response)?;
        let target = contact_uri(response).unwrap_or_else(|| detached(request.request_uri().unwrap_or_default()));
        Some(Self {
            id,
            state,
            local: detached(request.from().bytes()),
            remote: detached(response.to().bytes()),
            contact: contact.into(),
            target,
            routes: reversed_record_route(response),
            local_cseq: request.cseq().number,
            remote_cseq: None,
            flow,
            ack: None,
            may_cross: false,
        })
    }

    /// The early dialog that an INVITE of theirs asks for, with `tag` as our tag; `None` when it has no Contact that
    /// could be a target (to be answered 400). [`Dialog::respond`] confirms it with a 2xx.
    #[must_use]
    pub fn uas(request: &Message, tag: &[u8], flow: Flow, contact: impl Into<Bytes>) -> Option<Self> {
        let routes = request.values(Name::RecordRoute).map(detached).collect();
        Some(Self {
            id: DialogId::new(request.call_id(), tag, request.from_tag().unwrap_or_default()),
            state: DialogState::Early,
            local: detached(request.to().with_tag(tag).bytes()),
            remote: detached(request.from().bytes()),
            contact: contact.into(),
            target: contact_uri(request)?,
            routes,
            local_cseq: 0,
            remote_cseq: Some(request.cseq().number),
            flow,
            ack: None,
            may_cross: false,
        })
    }

    /// Takes a response to a request of ours inside this dialog, or one more to the INVITE that made it. A first 2xx
    /// confirms an early dialog and fixes its route set; a 2xx to INVITE or UPDATE moves the target; 481 ends the
    /// dialog, unless it is about a subscription in it (RFC 5057 §5.1; so does 408, not counted here: a peer that was
    /// silent once is not yet gone).
    pub fn on_response(&mut self, response: &Message) {
        let Some(status) = response.status() else {
            return;
        };
        let method = response.cseq_method();
        match status {
            200..300 if self.state == DialogState::Early && *method == Method::Invite => {
                self.state = DialogState::Confirmed;
                self.routes = reversed_record_route(response);
                self.move_target(response);
            }
            200..300 if moves_target(method) => self.move_target(response),
            101..200 if self.state == DialogState::Early && *method == Method::Invite => self.move_target(response),
            481 if self.state == DialogState::Confirmed && ends_on_481(method) => {
                self.state = DialogState::Terminated;
            }
            300.. if self.state == DialogState::Early && *method == Method::Invite => {
                self.state = DialogState::Terminated;
            }
            _ => {}
        }
    }

    /// Checks a request of theirs against the order of requests; ACK and CANCEL are exempt. A BYE ends the dialog; one
    /// that crossed ours is no fault (RFC 5407 §3.2.1).
    ///
    /// # Errors
    /// The request must be refused with [`DialogFault::status`].
    pub fn on_request(&mut self, request: &Message) -> Result<(), DialogFault> {
        if request.is(&Method::Ack) || request.is(&Method::Cancel) {
            return Ok(());
        }
        let number = request.cseq().number;
        if self.remote_cseq.is_some_and(|last| number < last) {
            return Err(DialogFault::OutOfOrder);
        }
        let crosses = self.may_cross && request.is(&Method::Bye);
        if self.state == DialogState::Terminated && !crosses {
            return Err(DialogFault::Over);
        }
        self.remote_cseq = Some(number);
        if request.is(&Method::Bye) {
            self.state = DialogState::Terminated;
            self.may_cross = false;
        }
        Ok(())
    }

    /// Begins an answer of ours to a request of theirs in this dialog: with our tag, the Via stamped, and our Contact
    /// where one belongs. A 2xx to INVITE confirms the dialog, a 2xx to INVITE, UPDATE or SUBSCRIBE moves the target.
    pub fn respond(&mut self, request: &Message, status: u16, phrase: Option<&str>) -> Draft {
        let method = request.cseq_method();
        if (200..300).contains(&status) {
            if *method == Method::Invite && self.state == DialogState::Early {
                self.state = DialogState::Confirmed;
            }
            if moves_target(method) {
                self.move_target(request);
            }
        }
        if status >= 300 && *method == Method::Invite && self.state == DialogState::Early {
            self.state = DialogState::Terminated;
        }
        let draft = Draft::response(request, status, phrase).via_source(self.flow.remote);
        let draft = if status == 100 { draft } else { draft.to_tag(&self.id.local_tag) };
        let wants_contact = match method {
            Method::Invite => (101..300).contains(&status),
            Method::Update | Method::Subscribe | Method::Refer | Method::Notify => (200..300).contains(&status),
            _ => false,
        };
        draft.header_opt(Name::Contact, wants_contact.then_some(&self.contact))
    }

    /// Begins a request of ours with the next CSeq number: request-URI, Via, Route, Max-Forwards, From, To, Call-ID,
    /// CSeq, and Contact where one belongs. `branch` is fresh. ACK and CANCEL are made elsewhere.
    pub fn request(&mut self, method: &Method, branch: &str) -> Draft {
        self.local_cseq = (self.local_cseq + 1) % CSEQ_END;
        if *method == Method::Bye {
            self.may_cross = self.state != DialogState::Terminated;
            self.state = DialogState::Terminated;
        }
        let draft = self.begin(method, self.local_cseq, branch);
        let wants_contact =
            matches!(method, Method::Invite | Method::Update | Method::Subscribe | Method::Refer | Method::Notify);
        draft.header_opt(Name::Contact, wants_contact.then_some(&self.contact))
    }

    /// Begins a request of ours in this dialog that is tried again after a refusal: the same with a fresh branch and the
    /// next CSeq number (RFC 3261 §8.1.3.5).
    pub fn request_again(&mut self, request: &Message, branch: &str) -> Draft {
        self.local_cseq = (self.local_cseq + 1) % CSEQ_END;
        let number = CSeq::new(self.local_cseq, request.cseq_method().clone());
        Draft::from_message(request)
            .without(Name::Via)
            .prepend(Name::Via, via(&self.flow, branch))
            .replace(Name::CSeq, number.to_string())
    }

    /// The BYE, which ends the dialog.
    pub fn bye(&mut self, branch: &str) -> Draft {
        self.request(&Method::Bye, branch)
    }

    /// The ACK of a 2xx to our INVITE number `cseq`, kept for repetitions of that 2xx. `branch` is fresh; `body` is
    /// the answer, when the 2xx offered. Credentials of the INVITE belong on it too (RFC 3261 §22.1): `extra` lines.
    pub fn ack(&mut self, cseq: u32, branch: &str, extra: &[(Name, &[u8])], body: Option<(&str, Bytes)>) -> Wire {
        let mut draft = self.begin(&Method::Ack, cseq, branch);
        for (name, value) in extra {
            draft = draft.header(*name, value);
        }
        if let Some((content_type, body)) = body {
            draft = draft.body(content_type, body);
        }
        let wire = Wire::from(&draft.finish());
        self.ack = Some(Ack { cseq, wire: wire.clone() });
        wire
    }

    /// The ACK given before, for a repeated 2xx to our INVITE number `cseq`.
    #[must_use]
    pub fn ack_again(&self, cseq: u32) -> Option<Wire> {
        self.ack.as_ref().filter(|ack| ack.cseq == cseq).map(|ack| ack.wire.clone())
    }

    /// ACK and BYE for a 2xx to our INVITE number `cseq` that nobody wants: a fork that answered late, or one that crossed our CANCEL
    /// (RFC 3261 §13.2.2.4, §9.1).
    pub fn dismiss(&mut self, cseq: u32, ack_branch: &str, bye_branch: &str) -> (Wire, Message) {
        let ack = self.ack(cseq, ack_branch, &[], None);
        (ack, self.bye(bye_branch).finish())
    }

    /// The dialog is over for a reason outside it (its INVITE ended without an answer).
    pub const fn terminate(&mut self) {
        self.state = DialogState::Terminated;
    }

    /// Sends go over another flow from now on: the peer's next message came over it.
    pub const fn move_flow(&mut self, flow: Flow) {
        self.flow = flow;
    }

    /// Our Contact from now on.
    pub fn move_contact(&mut self, contact: impl Into<Bytes>) {
        self.contact = contact.into();
    }

    /// Call-ID and tags.
    #[must_use]
    pub const fn id(&self) -> &DialogId {
        &self.id
    }

    /// How far it has come.
    #[must_use]
    pub const fn state(&self) -> DialogState {
        self.state
    }

    /// What our requests go over.
    #[must_use]
    pub const fn flow(&self) -> &Flow {
        &self.flow
    }

    /// The peer's target address.
    #[must_use]
    pub const fn target(&self) -> &Bytes {
        &self.target
    }

    /// The route set, first hop first.
    #[must_use]
    pub fn routes(&self) -> &[Bytes] {
        &self.routes
    }

    /// The number of our last request.
    #[must_use]
    pub const fn local_cseq(&self) -> u32 {
        self.local_cseq
    }

    /// Our From or To value, with tag.
    #[must_use]
    pub const fn local(&self) -> &Bytes {
        &self.local
    }

    /// Their To or From value, with tag.
    #[must_use]
    pub const fn remote(&self) -> &Bytes {
        &self.remote
    }

    /// Whether a `Replaces` of theirs names this dialog, where the tag `0` stands for none (RFC 3891 §3).
    #[must_use]
    pub fn is_named_by(&self, replaces: &Replaces) -> bool {
        let remote =
            self.id.remote_tag == replaces.from_tag || (self.id.remote_tag.is_empty() && replaces.from_tag == NO_TAG);
        self.id.call_id == replaces.call_id && self.id.local_tag == replaces.to_tag && remote
    }

    /// The `Replaces` that names this dialog to its peer (attended transfer).
    #[must_use]
    pub fn replaces(&self) -> Replaces {
        let to_tag: &[u8] = if self.id.remote_tag.is_empty() { NO_TAG } else { &self.id.remote_tag };
        Replaces {
            call_id: self.id.call_id.to_vec(),
            to_tag: to_tag.to_vec(),
            from_tag: self.id.local_tag.to_vec(),
            early_only: false,
        }
    }

    fn begin(&self, method: &Method, cseq: u32, branch: &str) -> Draft {
        let (uri, routes) = way(&self.target, &self.routes);
        let mut draft = Draft::request(method, &uri)
            .header(Name::Via, via(&self.flow, branch))
            .header(Name::MaxForwards, MAX_FORWARDS)
            .header(Name::From, &self.local)
            .header(Name::To, &self.remote)
            .header(Name::CallId, &self.id.call_id)
            .header(Name::CSeq, CSeq::new(cseq, method.clone()).to_string());
        for route in routes {
            draft = draft.header(Name::Route, route);
        }
        draft
    }

    fn move_target(&mut self, message: &Message) {
        if let Some(target) = contact_uri(message) {
            self.target = target;
        }
    }
}

/// State, tags and numbers; no addresses.
impl fmt::Debug for Dialog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dialog")
            .field("id", &self.id)
            .field("state", &self.state)
            .field("local_cseq", &self.local_cseq)
            .field("remote_cseq", &self.remote_cseq)
            .field("routes", &self.routes.len())
            .field("flow", &self.flow)
            .finish_non_exhaustive()
    }
}

/// What a request of ours outside any dialog needs (RFC 3261 §8.1.1).
#[derive(Clone, Copy, Debug)]
pub struct Opening<'a> {
    /// The request-URI.
    pub target: &'a [u8],
    /// From, with our tag.
    pub from: &'a NameAddr,
    /// To, without a tag.
    pub to: &'a NameAddr,
    /// A fresh Call-ID; the same for each try of one request.
    pub call_id: &'a str,
    /// The number; one higher for each try of one request.
    pub cseq: u32,
    /// Our Contact value.
    pub contact: &'a [u8],
    /// A route set to begin with: the Path of a binding, an outbound proxy.
    pub routes: &'a [Bytes],
    /// What it goes over.
    pub flow: &'a Flow,
}

impl Opening<'_> {
    /// Begins the request; `branch` is fresh. Contact is left out of OPTIONS, MESSAGE and the like.
    #[must_use]
    pub fn request(&self, method: &Method, branch: &str) -> Draft {
        let (uri, routes) = way(self.target, self.routes);
        let mut draft = Draft::request(method, &uri)
            .header(Name::Via, via(self.flow, branch))
            .header(Name::MaxForwards, MAX_FORWARDS)
            .header(Name::From, self.from.bytes())
            .header(Name::To, self.to.bytes())
            .header(Name::CallId, self.call_id)
            .header(Name::CSeq, CSeq::new(self.cseq, method.clone()).to_string());
        for route in routes {
            draft = draft.header(Name::Route, route);
        }
        let wants_contact = matches!(method, Method::Invite | Method::Register | Method::Subscribe | Method::Refer);
        draft.header_opt(Name::Contact, wants_contact.then_some(self.contact))
    }
}

/// Begins a request outside a dialog that is tried again after a refusal: the same with a fresh branch and the next
/// CSeq number (RFC 3261 §8.1.3.5).
#[must_use]
pub fn try_again(request: &Message, flow: &Flow, branch: &str) -> Draft {
    let number = CSeq::new(request.cseq().number.saturating_add(1), request.cseq_method().clone());
    Draft::from_message(request)
        .without(Name::Via)
        .prepend(Name::Via, via(flow, branch))
        .replace(Name::CSeq, number.to_string())
}

fn via(flow: &Flow, branch: &str) -> Vec<u8> {
    Via::compose(flow.transport, &flow.local.to_string(), branch.as_bytes())
}

/// Request-URI and Route values: with a strict router in front, it takes the request-URI and the target goes last
/// (RFC 3261 §12.2.1.1).
fn way(target: &[u8], routes: &[Bytes]) -> (Bytes, Vec<Bytes>) {
    let strict = routes.split_first().and_then(|(first, rest)| {
        let uri = NameAddr::from_bytes(first.clone()).ok()?.uri().ok()?;
        (!uri.is_loose_router()).then_some((uri, rest))
    });
    match strict {
        Some((uri, rest)) => {
            let last = NameAddr::compose(None, target, &[]).bytes().clone();
            (uri.without_headers().bytes().clone(), rest.iter().cloned().chain([last]).collect())
        }
        None => (detached(target), routes.to_vec()),
    }
}

fn reversed_record_route(response: &Message) -> Vec<Bytes> {
    let mut routes: Vec<_> = response.values(Name::RecordRoute).map(detached).collect();
    routes.reverse();
    routes
}

fn contact_uri(message: &Message) -> Option<Bytes> {
    let contact = message.contact()?;
    let uri = contact.uri().ok().filter(Uri::is_sip)?;
    Some(detached(uri.as_bytes()))
}

/// A copy, so that a dialog does not keep the whole message it came from.
fn detached(bytes: impl AsRef<[u8]>) -> Bytes {
    Bytes::copy_from_slice(bytes.as_ref())
}

const fn moves_target(method: &Method) -> bool {
    matches!(method, Method::Invite | Method::Update | Method::Subscribe)
}

const fn ends_on_481(method: &Method) -> bool {
    matches!(method, Method::Invite | Method::Update | Method::Prack | Method::Bye)
}

#[cfg(test)]
mod pair;
#[cfg(test)]
mod tests;
