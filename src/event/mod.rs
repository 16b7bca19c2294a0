//! The one vocabulary of what happened in a call, and the folds over it.
//!
//! Ticket, call record and figures are folds over [`call::CallEvent`]; nothing else tells them anything, so a replay
//! of the journal rebuilds them byte for byte. Deliberately absent: SIP messages; an event stores codes and numbers.

pub mod agent;
pub mod alarm;
pub mod call;
pub mod cdr;
pub mod reason;
pub mod span;
pub mod stats;
pub mod ticket;
