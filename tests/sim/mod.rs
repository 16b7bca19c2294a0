//! The engine without sockets: one call, the real ACD and plan, real SIP over a slow and lossy network, in virtual time.

mod agent_call;
pub(crate) mod invariants;
pub(crate) mod media;
pub(crate) mod phone;
pub(crate) mod plan;
pub(crate) mod world;
