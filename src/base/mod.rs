//! Words every floor shares: ids, time as a value, hotline vocabulary, network flows, secrets.
//!
//! Deliberately absent: anything that acts. Nothing here reads a clock, a socket, a file or a random source.

pub mod calendar;
pub mod flow;
pub mod hotline;
pub mod id;
pub mod now;
pub mod number;
pub mod secret;
