//! What the record keeps of hosts that a person installs (`is_manual`): one-time tokens and the run that each led to, as
//! digests.
//!
//! ```text
//!  offer ─► token (digest, expires) ──spend, once──► run token (digest) with a claim of its own ─► reports append by that claim
//!             └─ revoke, expire                        └─ another script fetched, retried, ended: the claim is over, and it with it
//! ```
//! No executor claims such a host: whoever fetched the script last has it, by the epoch that fetching raised. Each request of the
//! script that appends raises it again, so that of two that come together, in whatever processes, one appends on what it read.
//!
//! Never here: the tokens themselves, and the clock.

use std::time::Duration;

use crate::domain::Timestamp;
use crate::domain::id::{JobId, TaskId};

use super::TaskRow;

/// How long a one-time token can be spent, and how long a host is waited for of which no command was asked: a working day
/// and the night after it.
pub const TOKEN_LIFE: Duration = Duration::from_secs(86_400);

/// A one-time token, to be kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offer {
    /// Whose script it fetches.
    pub task: TaskId,
    /// SHA-256 of the token, hex.
    pub token: String,
    /// It counts before that.
    pub until: Timestamp,
}

/// A one-time token is to be spent.
#[derive(Clone, Copy, Debug)]
pub struct Spend<'a> {
    /// Whose it is.
    pub task: TaskId,
    /// Its SHA-256, hex.
    pub token: &'a str,
    /// SHA-256 of the run token that comes in its place, hex.
    pub run: &'a str,
    /// When.
    pub at: Timestamp,
}

/// An unfinished host that a person installs.
#[derive(Clone, Debug)]
pub struct ManualHost {
    /// Its task.
    pub row: TaskRow,
    /// It ends then when no script was fetched.
    pub until: Timestamp,
    /// The run that has it.
    pub run: Option<ManualRun>,
}

/// A script that was fetched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ManualRun {
    /// SHA-256 of its token, hex.
    pub token: String,
    /// When it was heard of last.
    pub seen: Timestamp,
}

/// Which unfinished hosts are waited for no longer.
#[derive(Clone, Copy, Debug)]
pub struct Overdue {
    /// Those of which no script was fetched by their time, seen from now.
    pub now: Timestamp,
    /// Those whose script was not heard of since.
    pub silent: Timestamp,
    /// Those that are to be cancelled whose script was not heard of since, or was never fetched.
    pub deaf: Timestamp,
    /// So many at most.
    pub most: u32,
}

/// One-time tokens are not to be spent any more.
#[derive(Clone, Copy, Debug)]
pub struct Revoke<'a> {
    /// Those of this job.
    pub job: JobId,
    /// Of these hosts only.
    pub tasks: Option<&'a [TaskId]>,
    /// When.
    pub at: Timestamp,
}
