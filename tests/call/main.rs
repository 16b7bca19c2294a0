//! Whole calls in virtual time: real SIP, real plan, real ACD, a slow network; one file per behaviour.

#![expect(clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a broken world is a failed test")]

#[path = "../sim/mod.rs"]
mod sim;

mod basic;
mod cancel_sweep;
mod emergency;
mod failover;
mod hand_over_sweep;
mod outside;
mod queue;
mod reliable;
mod ring_all;
mod transfer;
