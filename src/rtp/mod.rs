//! Media as samples, packets and words between a call and its media worker; no sockets.
//!
//! A call never touches a packet and a worker never decides routing: they speak through [`command`].

pub mod command;
