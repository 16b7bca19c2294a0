//! Whole calls in virtual time: real SIP, real plan, real ACD, a slow network; one file per behaviour.

#[path = "../sim/mod.rs"]
mod sim;

mod basic;
mod cancel_sweep;
mod emergency;
mod queue;
mod ring_all;
mod transfer;
