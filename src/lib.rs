//! `switch12345`: the SIP/RTP call router of a 12345 government hotline.
//!
//! Floors, lowest first; a module imports only from below (`tests/floors.rs` checks it):
//!
//! | floor | module | what it is |
//! |--:|---|---|
//! | 0 | [`base`] | ids, time as a value, hotline vocabulary |
//! | 1 | [`event`] | the one vocabulary of what happened; ticket, call record and figures are folds over it |
//! | 1 | [`sip`] [`sdp`] [`rtp`] | the protocols, as pure machines over bytes |
//! | 2 | [`plan`] | the dialplan: TOML to a validated model, and the routing decision |
//! | 3 | [`acd`] | all queues and agents |
//! | 4 | [`call`] | one call with all its legs |
//! | 5 | [`switch`] | whose packet is this; registrations, trunks, admission |
//! | 6 | [`engine`] | sockets, clocks, threads, files: the thin loop around the rest |
//! | 7 | [`demo`] | the story on one machine, with peers that share no SIP code with the engine |
//! | 8 | [`cli`] | the command line |
//!
//! The deciding floors (below `engine`) hold no socket, clock, thread or file: `(now, input)` goes in, effects come
//! out. Reading order for a newcomer: this page, `event/call.rs`, `call/mod.rs`, `plan/route.rs`, `acd/rank.rs`,
//! `engine/call_task.rs`.

pub mod acd;
pub mod base;
pub mod call;
pub mod cli;
pub mod demo;
pub mod engine;
pub mod event;
pub mod plan;
pub mod rtp;
pub mod sdp;
pub mod sip;
pub mod switch;
