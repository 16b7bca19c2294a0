//! Media as samples, packets and words between a call and its media worker; no sockets.
//!
//! A call never touches a packet and a worker never decides routing: they speak through [`command`]. Everything here
//! is a value fed with bytes, samples and time; the worker threads around it are `engine::media`. Deliberately
//! absent: SRTP, codecs beyond G.711 (nothing else is ever transcoded).

pub mod clip;
pub mod command;
pub mod dtmf;
pub mod g711;
pub mod jitter;
pub mod mixer;
pub mod packet;
pub mod rtcp;
pub mod sequence;
pub mod tone;
