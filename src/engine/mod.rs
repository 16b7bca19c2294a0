//! Sockets, clocks, threads, files.

pub mod media;
pub mod store;
pub mod webhook;
