//! Flows between peers written by hand and the whole engine without sockets, message by message, in virtual time.

#![expect(clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a broken flow is a failed test")]

#[path = "../sim/engine.rs"]
#[expect(dead_code, unreachable_pub, reason = "each test binary uses its own part of the harness")]
mod engine;
#[path = "../sim/media.rs"]
#[expect(dead_code, reason = "each test binary uses its own part of the harness")]
mod media;
#[path = "../sim/phone.rs"]
#[expect(dead_code, reason = "the tests of whole calls use the rest of it")]
mod phone;
#[path = "../sim/town.rs"]
#[expect(unreachable_pub, reason = "shared by several test binaries")]
mod town;
#[path = "../sim/wire.rs"]
#[expect(unreachable_pub, reason = "shared by several test binaries")]
mod wire;

mod hostile;
mod network;
mod rfc3665;
mod rfc5407;
