//! SSH on the wire: our transport against servers in this process, good and bad ones.
//!
//! Everything goes over real loopback sockets. What only a real sshd can show is in `tests/real`.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    unreachable_pub,
    reason = "a test that cannot go on has failed"
)]

mod client;
#[path = "../support/proxy.rs"]
mod proxy;

mod broken;
mod factors;
mod files;
mod gateways;
mod hostcerts;
mod hostkeys;
mod liars;
mod login;
mod play;
mod process;
mod server;
mod signers;
mod strangers;
