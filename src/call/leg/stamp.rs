//! The header fields every message of ours carries beside what dialog and transaction own.

use bytes::Bytes;

use crate::base::flow::{Flow, Transport};
use crate::event::reason::EndReason;
use crate::sip::message::Name;
use crate::sip::print::Draft;

/// Methods served inside a dialog.
pub(super) const ALLOW: &str = "INVITE, ACK, CANCEL, BYE, OPTIONS, PRACK, UPDATE, REFER, NOTIFY, INFO";
/// Extensions understood.
pub(super) const SUPPORTED: &str = "100rel, norefersub, replaces, timer";
/// Likewise, toward a trunk that is not to be offered reliable provisional answers.
pub(super) const SUPPORTED_PLAIN: &str = "norefersub, replaces, timer";
/// Bodies understood.
pub(super) const ACCEPT: &str = "application/sdp, application/dtmf-relay, application/dtmf, multipart/mixed";

/// `<sip:12345@OURS>`, where the peer reaches us over this flow.
pub(super) fn contact(flow: &Flow) -> String {
    let param = match flow.transport {
        Transport::Udp => "",
        Transport::Tcp => ";transport=tcp",
        Transport::Tls => ";transport=tls",
        Transport::Ws | Transport::Wss => ";transport=ws",
    };
    format!("<sip:12345@{}{param}>", flow.local)
}

/// Allow and Supported: what a message that makes or keeps a dialog says of us.
pub(super) fn introduce(draft: Draft) -> Draft {
    draft.header(Name::Allow, ALLOW).header(Name::Supported, SUPPORTED)
}

/// A session description as the body, where there is one.
pub(super) fn described(draft: Draft, body: Option<Bytes>) -> Draft {
    match body {
        Some(body) => draft.body("application/sdp", body),
        None => draft,
    }
}

/// `Reason: Q.850;cause=N` (RFC 3326).
pub(super) fn cause(draft: Draft, q850: u8) -> Draft {
    draft.header(Name::Reason, format!("Q.850;cause={q850}"))
}

/// The Reason of an ended talk, with the engine's own word as text.
pub(super) fn end_reason(draft: Draft, reason: EndReason) -> Draft {
    draft.header(Name::Reason, format!("Q.850;cause={};text=\"{}\"", reason.q850(), reason.word()))
}
