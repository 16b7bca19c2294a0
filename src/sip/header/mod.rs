//! Header field values, each with a reading and a writing that agree.
//!
//! A parsed address or Via owns its bytes (a slice of the message it came in) and gives views into them, so it can be
//! stored in a dialog or a call. Values that we mostly write ourselves are plain structs.
//!
//! | module | fields |
//! |---|---|
//! | [`via`] | Via |
//! | [`address`] | From, To, Contact, Refer-To, Referred-By |
//! | [`route`] | Route, Record-Route, Path, Service-Route |
//! | [`cseq`], [`reliable`] | CSeq, RAck, RSeq |
//! | [`auth`] | WWW-Authenticate, Authorization and the proxy's two |
//! | [`refer`] | Replaces, Target-Dialog, the address of a Refer-To |
//! | [`event`] | Event, Subscription-State |
//! | [`session`] | Session-Expires, Min-SE |
//! | [`reason`] | Reason |
//! | [`identity`] | P-Asserted-Identity, P-Preferred-Identity, Privacy |
//! | [`diverted`] | Diversion, History-Info |
//! | [`user_to_user`] | User-to-User |
//!
//! Deliberately absent: what to do about a value. RFC 3261 §20, §25.1.

pub mod address;
pub mod auth;
pub mod cseq;
pub mod diverted;
pub mod event;
pub mod identity;
pub mod param;
pub mod reason;
pub mod refer;
pub mod reliable;
pub mod route;
pub mod session;
pub mod user_to_user;
pub mod via;
