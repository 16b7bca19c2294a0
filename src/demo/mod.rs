//! The story on one machine.

pub mod agent;
pub mod carrier;
pub mod exchange;
pub mod peer;
