//! The engine over a fake fleet and a record in memory, in virtual time: no network, no disk, no waiting.
//!
//! To add a story: a test in the room it belongs to, with [`world::World`] and one line per trouble (`tests/support/fake`).

#![allow(
    missing_docs,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that fails must say where"
)]

#[path = "../support/asks.rs"]
mod asks;
#[path = "../support/fake/mod.rs"]
mod fake;
#[path = "../support/memory.rs"]
mod memory;
#[path = "../support/order.rs"]
mod order;
mod world;

mod asked;
mod course;
mod gateways;
mod limits;
mod nearest;
mod plugins;
mod record;
mod retries;
mod runs;
mod stops;
mod takeover;
mod together;
mod upgrade;
mod verify;
