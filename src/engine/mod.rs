//! Sockets, clocks, threads, files.

pub mod store;
pub mod webhook;
