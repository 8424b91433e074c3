//! The job record in one SQLite file: the default, for one machine.
//!
//! One connection writes, so that transactions of this process queue up instead of failing; a few others read beside it
//! (WAL). Other processes may have the same file open: every write transaction begins `immediate` and waits its turn.
//! A commit is on the disk before it is acknowledged (`synchronous = full`).
//!
//! ```text
//!  journal.rs  commit of a batch ─┬─ credentials.rs  seal, retention, purge
//!                                 ├─ inventory.rs    hosts, pinned keys
//!                                 └─ output.rs       head and tail of step output
//!  jobs.rs     create, claim          queries.rs   lists, events, busy hosts        asked.rs  cancel, retry
//!                                             pages.rs     pages of lists, journals of a few hosts
//!  open.rs     file, pragmas, migrations            lease.rs   who holds a job
//! ```
//!
//! Never here: what an event means for a host (`domain`), and clocks. To add a table: a new file in `migrations/sqlite`
//! (never an edit of an old one), and the room of its rows here.

mod asked;
mod credentials;
mod inventory;
mod jobs;
mod journal;
mod lease;
mod open;
mod output;
mod pages;
mod queries;

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use sqlx::query_builder::Separated;
use sqlx::{QueryBuilder, Sqlite, SqlitePool, Transaction};

use super::page::{JobFilter, JobOrder, Known, Page, TaskFilter};
use super::row::corrupt;
use super::seal::Seal;
use super::{Asked, HostRow, JobRow, Lease, NewJob, OutputChunk, PinnedKey, Store, StoreError, TaskRow, Write, Written};
use crate::domain::Timestamp;
use crate::domain::credential::Credential;
use crate::domain::event::Event;
use crate::domain::host::{Address, HostSpec};
use crate::domain::id::{JobId, Seq, TaskId};
use crate::domain::plan::StepKind;

/// A write transaction.
type Tx = Transaction<'static, Sqlite>;

/// Rows in one statement. Where the gain of multi-row statements ends (`reference/performance.md` 8), and far below the
/// 32,766 parameters a statement of SQLite may have.
const ROWS: usize = 200;

/// The job record in one SQLite file.
#[derive(Debug)]
pub struct SqliteStore {
    readers: SqlitePool,
    writer: SqlitePool,
    seal: Arc<Seal>,
    locks: PathBuf,
}

impl SqliteStore {
    /// Opens the record at `path`, made 0600 when it is absent (its directory 0700), and brings it to this release's form.
    /// Jobs are held by locks under `data_dir`.
    ///
    /// # Errors
    /// [`StoreError::Key`] when credentials in it are sealed under another key, [`StoreError::Corrupt`] when it is no
    /// record or that of a later release, [`StoreError::Unavailable`] when it cannot be opened.
    pub async fn open(path: &Path, data_dir: &Path, seal: Seal) -> Result<Self, StoreError> {
        let (writer, readers) = open::pools(path).await?;
        credentials::check_key(&readers, &seal).await?;
        Ok(Self { readers, writer, seal: Arc::new(seal), locks: data_dir.join("jobs") })
    }

    /// Begins a write transaction. `immediate`: it takes its turn now, so no later statement of it can find itself too late.
    async fn begin(&self) -> Result<Tx, StoreError> {
        self.writer.begin_with("begin immediate").await.map_err(failed("begin a transaction"))
    }
}

#[async_trait]
impl Store for SqliteStore {
    async fn create_job(&self, job: NewJob, at: Timestamp) -> Result<JobId, StoreError> {
        jobs::create(self, job, at).await
    }

    async fn hold(&self, job: JobId) -> Result<Box<dyn Lease>, StoreError> {
        lease::hold(self.locks.clone(), job).await
    }

    async fn holder(&self, job: JobId) -> Result<Option<u32>, StoreError> {
        lease::holder_of(self.locks.clone(), job).await
    }

    async fn claim(&self, job: JobId, mine: &[TaskId]) -> Result<Vec<TaskRow>, StoreError> {
        jobs::claim(self, job, mine).await
    }

    async fn ask_cancel(&self, job: JobId, reason: &str, at: Timestamp) -> Result<bool, StoreError> {
        asked::cancel(self, job, reason, at).await
    }

    async fn ask_retry(&self, job: JobId, tasks: &[TaskId], reason: &str, at: Timestamp) -> Result<Vec<TaskId>, StoreError> {
        asked::retry(self, job, tasks, (reason, at)).await
    }

    async fn asked(&self, job: JobId) -> Result<Asked, StoreError> {
        asked::asked(&self.readers, job).await
    }

    async fn commit(&self, batch: Vec<Write>) -> Result<Vec<Written>, StoreError> {
        journal::commit(self, batch).await
    }

    async fn job(&self, id: JobId) -> Result<Option<JobRow>, StoreError> {
        queries::job(&self.readers, id).await
    }

    async fn jobs(&self, limit: u32) -> Result<Vec<JobRow>, StoreError> {
        queries::jobs(&self.readers, limit).await
    }

    async fn tasks(&self, job: JobId) -> Result<Vec<TaskRow>, StoreError> {
        queries::tasks(&self.readers, job).await
    }

    async fn events(&self, job: JobId, after: Seq, limit: u32) -> Result<Vec<Event>, StoreError> {
        queries::events(&self.readers, job, after, limit).await
    }

    async fn output(&self, task: TaskId) -> Result<Vec<OutputChunk>, StoreError> {
        output::read(&self.readers, task).await
    }

    async fn output_after(&self, task: TaskId, after: i64, limit: u32) -> Result<(Vec<OutputChunk>, i64), StoreError> {
        output::after(&self.readers, task, (after, limit)).await
    }

    async fn output_end(&self, task: TaskId, step: StepKind, attempt: u32) -> Result<u64, StoreError> {
        output::end(&self.readers, (task, step, attempt)).await
    }

    async fn busy(&self, hosts: &[Address]) -> Result<Vec<(Address, JobId)>, StoreError> {
        queries::held(&self.readers, hosts).await
    }

    async fn credential(&self, task: TaskId) -> Result<Option<Credential>, StoreError> {
        credentials::read(self, task).await
    }

    async fn kept_logins(&self, hosts: &[Address]) -> Result<Vec<(Address, HostSpec, Credential)>, StoreError> {
        credentials::kept_logins(self, hosts).await
    }

    async fn purge_credentials(&self, now: Timestamp) -> Result<u64, StoreError> {
        credentials::purge(self, now).await
    }

    async fn host(&self, address: Address) -> Result<Option<HostRow>, StoreError> {
        inventory::host(&self.readers, address).await
    }

    async fn job_page(&self, filter: &JobFilter, order: JobOrder, page: Page) -> Result<(u64, Vec<JobRow>), StoreError> {
        pages::jobs(&self.readers, filter, order, page).await
    }

    async fn task_page(&self, job: JobId, filter: &TaskFilter, page: Page) -> Result<(u64, Vec<TaskRow>), StoreError> {
        pages::tasks(&self.readers, job, filter, page).await
    }

    async fn host_events(&self, job: JobId, hosts: &[u32]) -> Result<Vec<Event>, StoreError> {
        pages::host_events(&self.readers, job, hosts).await
    }

    async fn known_hosts(&self, which: Known<'_>) -> Result<Vec<HostRow>, StoreError> {
        pages::known_hosts(&self.readers, which).await
    }

    async fn pinned_key(&self, cloud: i64, address: IpAddr, port: u16) -> Result<Option<PinnedKey>, StoreError> {
        inventory::pinned_key(&self.readers, cloud, address, port).await
    }

    async fn pinned_keys(&self) -> Result<Vec<PinnedKey>, StoreError> {
        inventory::pinned_keys(&self.readers).await
    }

    async fn forget_keys(&self, host: Address, port: Option<u16>) -> Result<u64, StoreError> {
        inventory::forget_keys(self, host, port).await
    }
}

/// Translates what sqlx says, once. `what` was tried.
fn failed(what: &'static str) -> impl Fn(sqlx::Error) -> StoreError {
    move |error| {
        // The low byte of an extended result code is its family: 11 SQLITE_CORRUPT, 26 SQLITE_NOTADB.
        let family = error.as_database_error().and_then(|error| error.code()?.parse::<u32>().ok()).map(|code| code & 0xff);
        match (&error, family) {
            (_, Some(11 | 26)) | (sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_), _) => corrupt(error.to_string()),
            _ => StoreError::Unavailable { what: what.into(), source: Box::new(error) },
        }
    }
}

/// Runs work that only computes (sealing ten thousand credentials) away from the tasks that must answer.
async fn computed<T, F>(work: F) -> Result<T, StoreError>
where
    T: Send + 'static,
    F: FnOnce() -> Result<T, StoreError> + Send + 'static,
{
    let stopped = |error| StoreError::Unavailable { what: "computation".into(), source: Box::new(error) };
    tokio::task::spawn_blocking(work).await.map_err(stopped)?
}

/// Inserts rows by multi-row statements: `head values (…), (…) tail`.
async fn insert<T, F>(tx: &mut Tx, (head, tail): (&'static str, &'static str), rows: &[T], bind: F) -> Result<(), StoreError>
where
    F: Fn(&mut Separated<'_, Sqlite, &'static str>, &T) + Send,
    T: Sync,
{
    for chunk in rows.chunks(ROWS) {
        let mut query = QueryBuilder::<Sqlite>::new(head);
        query.push_values(chunk, |mut row, item| bind(&mut row, item));
        query.push(tail);
        // Only the full chunk comes again: the others would drive useful statements out of the cache.
        let statement = query.build().persistent(chunk.len() == ROWS);
        statement.execute(&mut **tx).await.map_err(failed("insert rows"))?;
    }
    Ok(())
}

/// A list as one parameter, for `in (select value from json_each($1))`: any length, one statement text.
fn list<T: serde::Serialize>(items: impl IntoIterator<Item = T>) -> Result<String, StoreError> {
    super::row::json("a list", &items.into_iter().collect::<Vec<_>>())
}

/// Hosts as one parameter: pairs of cloud and address.
fn host_list(hosts: &[Address]) -> Result<String, StoreError> {
    list(hosts.iter().map(|host| (host.cloud, host.ip.to_string())))
}
