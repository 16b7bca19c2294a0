//! Whole calls in virtual time: real SIP, real plan, real ACD, a slow network; one file per behaviour.

#[path = "../sim/mod.rs"]
mod sim;

mod basic;
mod cancel_sweep;
