//! The running engine: sockets, clocks, threads and files around the deciding floors.
//!
//! | task or thread | owns |
//! |---|---|
//! | `switch_task` | every packet's way in, registrations, admission |
//! | `call_task`, one per call | that call and its pinned plan |
//! | `acd_task` | all queues and agents |
//! | media workers (threads) | packets of sound |
//! | store (thread) | the database |
//! | webhook senders | one per endpoint |
//! | `http` | nothing; it asks the others |
//!
//! A task that drives a machine never waits for a send. [`start`] opens everything or nothing; [`Engine::drain`] lets
//! calls end and keeps taking emergencies; [`Engine::stop`] ends what is left. Deliberately absent: deciding.

pub mod acd_task;
pub mod alarm;
mod apply;
pub mod audit;
pub mod call_task;
mod chosen;
pub mod clock;
pub mod disk;
pub mod dns;
pub mod http;
pub mod journal;
mod listen;
pub mod mailbox;
pub mod media;
pub mod net;
mod numbers;
mod start;
pub mod store;
pub mod switch_task;
pub mod views;
pub mod webhook;

pub use start::{Engine, StartFault, start};

#[cfg(test)]
mod tests;
