//! Header field values, each with a reading and a writing that agree.
//!
//! A parsed value owns its bytes (a slice of the message it came in) and gives views into them, so it can be stored
//! in a dialog or a call. Values that we mostly write ourselves are plain structs.
//!
//! Deliberately absent: what to do about a value. RFC 3261 §20, §25.1.

pub mod address;
pub mod cseq;
pub mod param;
pub mod via;
