//! The scripts that run on the targets, run: every story once under each of dash, bash, busybox sh and ksh, in a throw-away
//! root. `rules` reads the scripts instead, for what they promise in writing.
//!
//! To add a story: a function that takes a `&Sandbox`, and a test that hands it to `under_every_shell`.

#![allow(
    missing_docs,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that goes wrong should stop where it does"
)]

#[path = "../support/sandbox.rs"]
mod sandbox;

mod boot;
mod health;
mod install;
mod measure;
mod probe;
mod rules;
mod runs;
mod target;
mod transfer;
mod upgrade;
