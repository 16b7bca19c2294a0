//! The running engine and foreign peers over real sockets: SIPp as carrier and agents, baresip and a Python telephone
//! for sound, a Python ticket platform, and signals from outside.

#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a broken rig is a failed test"
)]

mod agents;
mod calls;
mod desk;
mod emergency;
mod outage;
mod outside;
mod peers;
mod rig;
mod ring_all;
mod shutdown;
mod sound;
mod tickets;
mod transports;
mod trunks;
