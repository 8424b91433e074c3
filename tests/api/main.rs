//! The HTTP API of the built binary, asked over a real socket as far as no SSH host is needed; `tests/real/api.rs` has the
//! stories with hosts. Hosts here are ports of this machine: one that answers nonsense fails at once, one that is deaf keeps
//! its host RUNNING.
//!
//! To add a story: a test named by the behaviour, in the module of its endpoint.

#![allow(
    missing_docs,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr,
    clippy::disallowed_methods,
    reason = "a test that goes wrong should stop where it does; it is no part of the program"
)]

#[path = "../support/desk.rs"]
mod desk;
#[path = "../support/package.rs"]
mod package;
#[path = "../support/postgres.rs"]
mod postgres;
#[path = "../support/server.rs"]
mod server;

mod apps;
mod place;

mod admission;
mod asks;
mod audit;
mod by_hand;
mod by_hand_windows;
mod callers;
mod collect;
mod documented;
mod door;
mod envelopes;
mod figures;
mod hosts;
mod keys;
mod large;
mod lists;
mod logins;
mod once;
mod restart;
mod streams;
mod submit;
mod tls;
