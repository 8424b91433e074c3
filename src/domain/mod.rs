//! Values and rules: what a job, a host, a plan, an event or a failure *is*, and what may follow what.
//!
//! Never here: waiting, clocks, files, sockets, SQL, JSON of the published API. Everything is a plain value or a pure
//! function, so every rule has a table test that needs no network.
//!
//! To add a failure code: one row in [`failure`]. To add a step kind: [`plan::StepKind`], then the compiler leads on.

pub mod admission;
pub mod audit;
pub mod barred;
pub mod caller;
pub mod codepage;
pub mod credential;
pub mod event;
pub mod facts;
pub mod failure;
pub mod finding;
pub mod host;
pub mod id;
pub mod installed;
pub mod job;
pub mod outcome;
pub mod package;
pub mod plan;
pub mod record;
pub mod run;
pub mod secret_hash;
pub mod shell;
pub mod site;
pub mod spec;
pub mod state;
pub mod step_fields;
pub mod text;
pub mod vars;

/// A moment, UTC, as the executor's clock gave it. Target clocks are never parsed into this.
pub type Timestamp = jiff::Timestamp;
