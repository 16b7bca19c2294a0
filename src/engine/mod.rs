//! Sockets, clocks, threads, files.

pub mod disk;
pub mod media;
pub mod store;
pub mod webhook;
