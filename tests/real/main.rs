//! The built binary against real hosts of the test world (`tests/world/README.md`): every story an operator could tell, with
//! a real sshd, a real shell and a real agent at the other end. It needs root; without it every test fails and says so.
//!
//! To add a story: a test named by the behaviour, in the module it belongs to, with a world of its own (a host costs 0.2 s).

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

#[path = "../support/landfall.rs"]
mod landfall;
#[path = "../support/package.rs"]
mod package;
#[path = "../support/postgres.rs"]
mod postgres;
#[path = "../support/proxy.rs"]
mod proxy;
#[path = "../support/server.rs"]
mod server;
#[path = "../support/world.rs"]
mod world;

mod scene;
mod target;

mod agents;
mod api;
mod asked;
mod boot;
mod by_hand;
mod collect;
mod crash;
mod doors;
mod executors;
mod gateways;
mod giants;
mod gse;
mod kinds;
mod life;
mod link;
mod lists;
mod logins;
mod nearest;
mod no_stdin;
mod plugins;
mod privilege;
mod proxies;
mod refusals;
mod replaces;
mod secrets;
mod servers;
mod statuses;
mod stop;
mod systemd;
mod transfer;
mod unix;
mod upgrade;
mod values;
mod windows;
mod windows_by_hand;
