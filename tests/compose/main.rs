//! The built binary against the containers of `docker-compose.yml`, by the files of `examples/containers`: what an integrator
//! does who starts from there. It needs a container engine; without one every test fails and says what to do.
//! `scripts/test.sh --no-containers` leaves this binary out, and that alone.
//!
//! To add a story: a test named by the behaviour, with a project of its own ([`project::Project`]) of as few services as do.

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
#[path = "../support/world.rs"]
mod world;

mod project;

mod example;
mod images;
mod served;
