//! The messages a transaction makes by itself: ACK of a refusal, CANCEL, and the answer to CANCEL.
//!
//! RFC 3261 §17.1.1.3, §9.1, §9.2. Deliberately absent: the ACK of a 2xx, which the dialog makes.

use std::net::SocketAddr;

use crate::sip::header::cseq::CSeq;
use crate::sip::message::{Message, Method, Name};
use crate::sip::print::Draft;

/// Hops a request of ours may take (RFC 3261 §8.1.1.6).
const MAX_FORWARDS: &str = "70";

/// The ACK of a 300–699: request-URI, Via, Route, From, Call-ID and CSeq number of the INVITE, To of the answer.
pub(super) fn ack_of_refusal(invite: &Message, response: &Message) -> Message {
    same_hop(invite, &Method::Ack, response.to().bytes()).finish()
}

/// The CANCEL of an INVITE: all of it the INVITE's own, so that it takes the same way, and why (RFC 3326 §2).
pub(super) fn cancel_of(invite: &Message, reason: Option<&[u8]>) -> Message {
    same_hop(invite, &Method::Cancel, invite.to().bytes()).header_opt(Name::Reason, reason).finish()
}

/// The 200 to a CANCEL, with the To-tag of the INVITE's answers.
pub(super) fn ok_to_cancel(cancel: &Message, tag: &[u8], source: SocketAddr) -> Message {
    Draft::response(cancel, 200, None).to_tag(tag).via_source(source).finish()
}

fn same_hop(invite: &Message, method: &Method, to: &[u8]) -> Draft {
    let mut draft = Draft::request(method, invite.request_uri().unwrap_or_default())
        .header(Name::Via, invite.via().bytes())
        .header(Name::MaxForwards, MAX_FORWARDS)
        .header(Name::From, invite.from().bytes())
        .header(Name::To, to)
        .header(Name::CallId, invite.call_id())
        .header(Name::CSeq, CSeq::new(invite.cseq().number, method.clone()).to_string());
    for route in invite.headers(Name::Route) {
        draft = draft.header(Name::Route, route);
    }
    draft
}
