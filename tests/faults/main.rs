//! Every fault of the way × every step that needs the host, against real hosts: the record tells the truth, nothing is done
//! twice, and a host that can be reached again gets its agent.
//!
//! ```text
//! engine ─► Saboteur (a Transport) ─► SshTransport ─► Proxy ─► sshd of a host of the test world
//!              │ knows by the command line what is asked, and breaks the way at that ask: once
//!              └──► the host itself, beside SSH: waits until a deed is done whose answer is to be lost
//! ```
//! Everything but the two wrappers is what an operator runs: request, engine, SQLite record, repository, scripts, sshd. One
//! host per cell, all of them in one job, so that the whole table takes as long as its longest cell. No cell depends on
//! chance: a fault strikes at a byte, or when its deed is done.
//!
//! - To add a fault: a variant of [`proxy::Fault`], its line in `cells::FAULTS`, its lines in `matrix::TABLE`.
//! - To add a step: one that changes the host is found by itself, and fails here until `cells::ASKS` names what it asks, and
//!   `saboteur::deed` says how its deed is seen on the host.
//! - To add a moment: a variant of [`cells::Moment`], and what the saboteur does then.

#![allow(
    missing_docs,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr,
    reason = "a test that goes wrong should stop where it does; it is no part of the program"
)]

#[path = "../support/asks.rs"]
mod asks;
#[path = "../support/package.rs"]
mod package;
#[path = "../support/proxy.rs"]
mod proxy;
#[path = "../support/world.rs"]
mod world;

mod cells;
mod host;
mod matrix;
mod saboteur;
mod stage;
