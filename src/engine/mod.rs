//! Sockets, clocks, threads, files.
