//! The job record in one SQLite file: the default, for one machine.
//!
//! One connection writes, so that transactions of this process queue up instead of failing; a few others read beside it
//! (WAL). Other processes may have the same file open: every write transaction begins `immediate` and waits its turn.
//! A commit is on the disk before it is acknowledged (`synchronous = full`).
//!
//! ```text
//!  open.rs   file, pragmas, migrations        lease.rs   who holds a job
//! ```
//!
//! Never here: statements (`store::sql`). To add a pragma: `open.rs`.

mod lease;
mod open;

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use async_trait::async_trait;

pub(super) use self::open::truncate_log;
use super::news::Teller;
use super::seal::Seal;
use super::sql::{Holds, Pools, SqlStore, computed, credentials, failed, not_migrated};
use super::{Lease, StoreError};
use crate::domain::id::JobId;

/// What another process writes is told by nobody, so it is looked for this often.
const PERIOD: Duration = Duration::from_millis(500);

/// The job record in one SQLite file.
pub type SqliteStore = SqlStore<FileLocks>;

/// Jobs are held by locks on files of a directory.
#[derive(Debug)]
pub struct FileLocks(PathBuf);

impl SqliteStore {
    /// Opens the record at `path`, made 0600 when it is absent (its directory 0700), and brings it to this release's form.
    /// Jobs are held by locks under `data_dir`.
    ///
    /// # Errors
    /// [`StoreError::Key`] when credentials in it are sealed under another key, [`StoreError::Corrupt`] when it is no
    /// record or that of a later release, [`StoreError::Unavailable`] when it cannot be opened.
    pub async fn open(path: &Path, data_dir: &Path, seal: Seal) -> Result<Self, StoreError> {
        let (writer, readers) = open::pools(path).await?;
        let pools = Pools::Sqlite { writer, readers, soiled: AtomicBool::new(false) };
        credentials::check_key(&mut pools.read().await?, &seal).await?;
        Ok(Self::new(pools, seal, FileLocks(data_dir.join("jobs")), Teller::new(PERIOD)))
    }
}

#[async_trait]
impl Holds for FileLocks {
    async fn hold(&self, job: JobId) -> Result<Box<dyn Lease>, StoreError> {
        lease::hold(self.0.clone(), job).await
    }

    async fn holder(&self, job: JobId) -> Result<Option<u32>, StoreError> {
        lease::holder_of(self.0.clone(), job).await
    }
}
