//! What a call tells one of its legs, and what a leg reports: telephony without SIP or SDP.
//!
//! A leg owns one dialog with its transactions, its offer/answer and session description; the rest of
//! `call` sees only these words, so that call control can be read, tested and explored without a protocol.
//!
//! | leg state | enters on | leaves on |
//! |---|---|---|
//! | incoming: `Waiting` | INVITE (100 sent) | `Ring`, `Early`, `Answer`, `Reject`, `Cancelled`, `Bye` |
//! | outgoing: `Calling` | `Invite` | `Ringing`, `Answered`, `Failed`, `HangUp` |
//! | `Talking` | `Answer` sent / `Answered` told | `HangUp`, `Bye`, `Lost` |
//! | `Leaving` (a BYE, CANCEL or final answer is on its way) | `HangUp`, `Reject`, `Bye`, `Cancelled` | `Over` |
//! | `Over` (no transaction left) | – | – |
//!
//! Every action is legal in every state: one that no longer fits does nothing, because the peer may always have
//! been faster. Deliberately absent: who should be called or hear whom.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::call::carried::CarriedPart;
use crate::call::words::Target;
use crate::event::reason::EndReason;
use crate::rtp::command::{Codec, LocalMedia, RemoteMedia};

/// Extensions a request may require of us; what our Supported says (RFC 3262, RFC 4488, RFC 3891, RFC 4028).
pub const EXTENSIONS: &[&str] = &["100rel", "norefersub", "replaces", "timer"];

/// Most Contacts of a 3xx that are told.
pub const CONTACTS_MOST: usize = 8;

/// Who is shown to the callee of an outgoing leg, and what else its INVITE carries.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Outgoing {
    /// Where to.
    pub target: Target,
    /// Display name of From, unquoted: UTF-8 toward agents, the caller's own octets toward trunks; empty for none.
    pub display: Bytes,
    /// The address of From, complete.
    pub from: Arc<str>,
    /// More header fields: names and values as they go on the wire (`X-Call-Id`, `P-Asserted-Identity`, …).
    pub headers: Vec<(Box<str>, Bytes)>,
    /// Body parts of the caller's INVITE that go beside our session description.
    pub parts: Vec<CarriedPart>,
    /// How long to wait for an answer before the leg gives up by itself (`Failed` with 408).
    pub ring: Duration,
    /// How long to wait for any response at all before the target counts as dead.
    pub dead_after: Duration,
    /// Max-Forwards to send.
    pub max_forwards: u8,
}

/// What a call wants of a leg.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum LegAction {
    /// Our ports are known (from the media worker). Comes before `Invite`, `Early` and `Answer`.
    Local(Box<LocalMedia>),
    /// The codec the other leg speaks; chosen where both can, so that nothing is converted.
    Prefer(Codec),
    /// Outgoing: send the INVITE with our offer.
    Invite(Box<Outgoing>),
    /// Incoming: 180.
    Ring,
    /// Incoming: 183 with our answer, so that the caller hears prompts before the call is answered.
    Early,
    /// Incoming: 200 with our answer (or offer, when the INVITE had none). Retransmitted until the ACK.
    Answer,
    /// Incoming, unanswered: a final status.
    Reject {
        /// 3xx–6xx.
        status: u16,
        /// Q.850 cause for the Reason header.
        q850: Option<u8>,
        /// For 503.
        retry_after: Option<Duration>,
    },
    /// End the leg, whatever its state: CANCEL, a final status or BYE.
    HangUp(EndReason),
    /// Tell the peer who sent REFER how it goes (NOTIFY with sipfrag, RFC 3515).
    ReferProgress {
        /// The status line to report; final ones end the subscription.
        status: u16,
    },
    /// Refresh the session with an unchanged description (re-INVITE).
    Refresh,
    /// From now on neither its session timer nor an unanswered refresh ends it: the caller of an emergency call.
    Keep,
    /// From now on a re-INVITE of its peer that nobody acknowledges does not end it: a desk of an emergency call, which
    /// still ends with its session timer.
    Forgive,
}

/// What a leg reports.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum LegEvent {
    /// Outgoing: first 180 or 183.
    Ringing,
    /// The peer's description is known or changed; hand it to the media worker.
    Remote(Box<RemoteMedia>),
    /// Outgoing: 200 (already acknowledged).
    Answered,
    /// Incoming: our 200 was acknowledged.
    Confirmed,
    /// Outgoing: it will not be answered.
    Failed {
        /// The final status; 408 when the leg gave up.
        status: u16,
        /// Whether the peer ever responded at all.
        responded: bool,
        /// Where a 3xx says the callee may be instead: Contact URIs, the most wished first, at most
        /// [`CONTACTS_MOST`]. Nothing has been called there; who redirects has no more rights than his own.
        contacts: Vec<Box<str>>,
    },
    /// Incoming: the caller cancelled; 487 is on its way.
    Cancelled,
    /// The peer hung up; it is answered already.
    Bye {
        /// The peer's Reason, as a Q.850 cause, when it gave one.
        q850: Option<u8>,
    },
    /// The dialog died: no ACK, session timer ran out, an in-dialog request was answered 481 or not at all.
    Lost,
    /// The peer put us on hold.
    Held,
    /// The peer resumed.
    Resumed,
    /// The peer asks us to transfer (202 is sent already).
    Refer {
        /// Refer-To: the URI without headers.
        to: Box<str>,
        /// Refer-To's Replaces parameter, decoded, when there is one.
        replaces: Option<Replaces>,
        /// The URI of Referred-By (RFC 3892), when there is one; unproven.
        referred_by: Option<Box<str>>,
    },
    /// A digit by SIP INFO.
    Digit(char),
    /// Nothing is left of the leg; drop it.
    Over,
}

/// A dialog named by Replaces (RFC 3891).
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Replaces {
    /// Call-ID.
    pub call_id: Box<str>,
    /// To-tag as the named dialog's UA sees it.
    pub to_tag: Box<str>,
    /// From-tag as the named dialog's UA sees it.
    pub from_tag: Box<str>,
    /// Only an early dialog may be replaced.
    pub early_only: bool,
}
