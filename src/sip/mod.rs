//! SIP as bytes, messages, transactions and dialogs.
//!
//! | module | holds |
//! |---|---|
//! | [`text`] | tokens, quoted strings, lists, charsets |
//! | [`uri`] | `sip:`, `sips:` and `tel:` addresses |
//! | [`header`] | one module per family of header field values |
//! | [`message`] | a message and its fields |
//! | [`multipart`] | the parts of a body |
//! | [`parse`] | bytes to message, and the limits |
//! | [`frame`] | streams to messages |
//! | [`mod@print`] | writing messages |
//! | [`transaction`] | the machines of RFC 3261 §17 |
//! | [`dialog`] | dialogs, their route sets and sequence numbers |
//! | [`offer_answer`] | who owes an offer or an answer |
//! | [`prack`] | provisional answers made reliable |
//! | [`session_timer`] | who refreshes a session, and when it counts as dead |
//! | [`digest`] | challenges and credentials |
//! | [`token`] | branches and tags that name call and leg |
//! | [`registrar`] | bindings of addresses of record |
//!
//! Deliberately absent: sockets, clocks, SDP. A body is bytes.

pub mod dialog;
pub mod digest;
pub mod frame;
pub mod header;
pub mod keep_alive;
pub mod message;
pub mod multipart;
pub mod offer_answer;
pub mod parse;
pub mod prack;
pub mod print;
pub mod registrar;
pub mod session_timer;
pub mod text;
pub mod token;
pub mod transaction;
pub mod uri;
