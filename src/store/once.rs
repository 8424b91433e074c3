//! Submissions with a key: what a record keeps of them, so that each is recorded once.

use std::time::Duration;

use crate::domain::id::JobId;

/// How long a submission's key counts.
pub const KEY_LIFE: Duration = Duration::from_secs(24 * 3600);

/// What makes a submission be recorded once, however often it comes.
#[derive(Clone, Debug)]
pub struct Once {
    /// Who asks; keys of others are other keys.
    pub app: String,
    /// The key.
    pub key: String,
    /// What is asked for: [`super::Store::fingerprint`].
    pub fingerprint: String,
    /// What is answered beside the job's number, whenever it comes again.
    pub answer: String,
}

/// The submission that came first with a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct First {
    /// The job that came of it.
    pub job: JobId,
    /// What was asked for.
    pub fingerprint: String,
    /// What was answered beside the job's number.
    pub answer: String,
}

/// What became of a submission with a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Created {
    /// It was recorded.
    New(JobId),
    /// Nothing was: the key counts for this one.
    Before(First),
}
