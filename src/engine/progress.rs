//! What the running hosts are sending right now: a board that is looked at, not a stream that must be read.
//!
//! One entry per upload in flight, so it is bounded by the upload limit. Progress is never journaled; the bytes sent are, with
//! the step that sent them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use crate::domain::host::Address;
use crate::domain::plan::StepKind;

/// One transfer in flight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// The host.
    pub host: Address,
    /// The step that sends.
    pub step: StepKind,
    /// Bytes at the target, what it had before included.
    pub done: u64,
    /// Bytes in all.
    pub total: u64,
}

/// All transfers in flight.
#[derive(Clone, Debug, Default)]
pub struct Board {
    entries: Arc<Mutex<BTreeMap<Address, Progress>>>,
}

impl Board {
    /// Puts a transfer on the board; it leaves when the entry is dropped.
    #[must_use]
    pub fn enter(&self, progress: Progress) -> Entry {
        self.lock().insert(progress.host, progress);
        Entry { board: self.clone(), host: progress.host }
    }

    /// The board as it is now.
    #[must_use]
    pub fn snapshot(&self) -> Vec<Progress> {
        self.lock().values().copied().collect()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<Address, Progress>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A transfer on the board.
#[derive(Debug)]
pub struct Entry {
    board: Board,
    host: Address,
}

impl Entry {
    /// Moves it to `done` bytes.
    pub fn at(&self, done: u64) {
        if let Some(progress) = self.board.lock().get_mut(&self.host) {
            progress.done = done;
        }
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.board.lock().remove(&self.host);
    }
}
