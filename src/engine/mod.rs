//! Sockets, clocks, threads, files.

pub mod store;
