//! What a record is asked about work, logins and keys: values of the [`super::Store`] trait.

use crate::domain::Timestamp;
use crate::domain::audit::Asking;
use crate::domain::credential::Credential;
use crate::domain::id::{JobId, TaskId};
use crate::domain::spec::TaskSpec;

/// Host tasks that somebody wants to work on.
#[derive(Clone, Copy, Debug)]
pub struct Take<'a> {
    /// Of this job.
    pub job: JobId,
    /// For this hold ([`super::Lease::owner`]).
    pub owner: &'a str,
    /// Those that he works on already stay as they are.
    pub mine: &'a [TaskId],
    /// How many of the others.
    pub which: Which,
    /// Of these clouds only; none given: of all.
    pub clouds: &'a [i64],
}

/// Which host tasks are claimed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    /// All that nobody alive works on.
    All,
    /// So many of them.
    Next(u32),
    /// Those of them that are to be cancelled.
    Cancelled,
}

impl<'a> Take<'a> {
    /// All that are unfinished.
    #[must_use]
    pub fn all(job: JobId, owner: &'a str) -> Self {
        Self { job, owner, mine: &[], which: Which::All, clouds: &[] }
    }
}

/// Somebody wants a job to be cancelled.
#[derive(Clone, Copy, Debug)]
pub struct Cancel<'a> {
    /// The job.
    pub job: JobId,
    /// These of its hosts; `None` = the job.
    pub tasks: Option<&'a [TaskId]>,
    /// Who wants it.
    pub by: &'a Asking,
    /// When.
    pub at: Timestamp,
}

/// A host task with another login.
#[derive(Clone, Debug)]
pub struct NewLogin {
    /// The host task.
    pub task: TaskId,
    /// What it is from now on: account, port and kind of login are the new ones, everything else is as it was.
    pub spec: TaskSpec,
    /// Sealed before it is stored; takes the place of what was kept. `None` leaves that alone.
    pub credential: Option<Credential>,
}

/// Hosts that shall be tried again.
#[derive(Clone, Debug)]
pub struct Retry {
    /// Which; those that ended otherwise than failed or cancelled are passed over.
    pub tasks: Vec<TaskId>,
    /// Other logins for some of them.
    pub logins: Vec<NewLogin>,
    /// Every step again from the first; else what is done stays done.
    pub from_start: bool,
    /// Who asks.
    pub by: Asking,
    /// When.
    pub at: Timestamp,
}

/// How far a change of keys is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Resealed {
    /// Secrets that were sealed anew just now.
    pub done: u64,
    /// Those still under the old key.
    pub left: u64,
}

/// A change of keys, by what the keys are called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyChange {
    /// The key before.
    pub from: String,
    /// The key after.
    pub to: String,
}
