//! The dialplan: TOML with all its faults shown at once, a validated model, and the routing decision.
//!
//! `load` turns texts into a [`model::Plan`] or into diagnostics; `model::Plan::route` decides a call, the same for
//! live calls, `route`, `[[test]]` rows, replay and simulation; `model::Plan::advance` walks on when a step has
//! ended. Deliberately absent: reading files (a [`load::Files`] is handed in), clocks, and doing anything.

pub mod advance;
mod check;
pub mod diagnose;
pub mod emergency;
pub mod explain;
pub mod explain_outward;
mod flow;
mod lint;
pub mod load;
pub mod model;
mod numbers;
pub mod outward;
pub mod prompts;
mod read_format;
mod read_hotline;
mod read_service;
mod read_settings;
mod read_tenant;
mod read_trunk;
pub mod route;
pub mod rows;
pub mod service;
pub mod settings;
mod source;
pub mod step;
pub mod trunk;
mod words;
