//! Landfall puts agents on machines: it takes an install job, logs in to every host of it over SSH, uploads the agent package
//! and the install script, runs it, proves that the agent answers, and keeps a durable record of what happened to every host.
//!
//! # Words
//! *job*, *host task*, *plan*, *step*, *attempt*, *outcome*, *failure*, *event*, *site*, *package*: one word per thing, here, in
//! the record, on the terminal and on the wire. Each is a type in [`domain`].
//!
//! # Floors
//! Arrows go downward only; `tests/architecture.rs` holds the table.
//! ```text
//! 6  main
//! 5  cli                                  the terminal door; telemetry, lifecycle beside it
//! 4  app                                  joins concrete backends; the HTTP door `api` beside it
//! 3  service                              the use cases that all doors call
//! 2  engine                               order, time, concurrency
//! 1  plan   transport   store   packages   config   assets   meters
//! 0  domain                               values and rules: no await, no clock, no I/O
//! ```
//! - [`domain`]: what a job, a host, a plan, an event or a failure is, and what may follow what.
//! - [`plan`]: which steps a host gets and with what; pure.
//! - [`transport`]: reaching a host; `ssh` alone names russh.
//! - [`store`]: the job record; `sql` has the statements, `sqlite` and `postgres` what they differ in.
//! - [`packages`]: the package repository.
//! - [`config`]: environment, site file, places.
//! - [`meters`]: figures of this process for Prometheus.
//! - [`assets`]: scripts and templates embedded in the binary.
//! - [`engine`]: one pipeline per host, no barrier; journals before it shows.
//! - [`service`]: submit, run, follow, look.
//! - [`app`]: the composition root.
//! - [`api`]: the HTTP door: envelope, endpoints, server-sent events.
//! - [`cli`]: flags, bars, exit codes.
//!
//! # The life of one host
//! [`service::submit`] checks the whole request and records the job in one transaction. `engine::dispatcher` claims its hosts and
//! starts as many as the limits allow. `engine::host_task` takes a host through its steps (`engine::steps`), each journaled before
//! its first byte; the probe settles the plan ([`plan::settle`]), which is journaled before the first change. The script runs
//! detached on the target (`scripts/unix/runner.sh`) and is followed by byte offset, so a lost connection or a dead executor finds
//! it again. Doors read what happened from the record ([`service::feed`]).

pub mod api;
pub mod app;
pub mod assets;
pub mod cli;
pub mod config;
pub mod domain;
pub mod engine;
pub mod lifecycle;
pub mod meters;
pub mod packages;
pub mod plan;
pub mod service;
pub mod store;
pub mod telemetry;
pub mod transport;
