//! Holds of jobs in memory.

use std::sync::{Mutex, PoisonError};

use landfall::domain::id::JobId;
use landfall::store::Lease;
use landfall::store::news::Topic;

use super::memory_rules::Inner;

/// Somebody who works on a job.
pub(super) struct Hold {
    pub(super) job: JobId,
    pub(super) owner: String,
    pub(super) shared: bool,
}

#[derive(Debug)]
pub(super) struct MemoryLease {
    pub(super) store: std::sync::Weak<Mutex<Inner>>,
    pub(super) job: JobId,
    pub(super) owner: String,
    pub(super) shared: bool,
}

impl Lease for MemoryLease {
    fn owner(&self) -> &str {
        &self.owner
    }

    fn is_shared(&self) -> bool {
        self.shared
    }
}

impl Drop for MemoryLease {
    fn drop(&mut self) {
        if let Some(inner) = self.store.upgrade() {
            let mut inner = inner.lock().unwrap_or_else(PoisonError::into_inner);
            inner.holds.retain(|hold| hold.owner != self.owner);
            inner.teller.tell(Topic::Asked(self.job));
        }
    }
}
