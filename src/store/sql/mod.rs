//! The job record in a database that speaks SQL: every statement and every row, once for all of them.
//!
//! ```text
//!  journal.rs  commit of a batch ─┬─ credentials.rs  seal, retention, purge            keys.rs   key pairs, change of keys
//!                                 ├─ inventory.rs    hosts, pinned keys    host_id.rs  their numbers
//!                                 └─ output.rs       head and tail of step output
//!  jobs.rs     create, claim          queries.rs   lists, events, busy hosts        asked.rs  cancel, retry
//!  once.rs     submissions with a key
//!  session.rs  one statement          insert.rs    many rows                       pages.rs  pages of lists
//!  audit.rs    who asked for what    manual.rs   tokens and runs of hosts that a person installs
//! ```
//!
//! What the databases differ in stays with them: how one is opened (`sqlite`, `postgres`), how a job is held ([`Holds`]),
//! and what a transaction has to lock ([`Session::lock_jobs`]), for SQLite has one writer and PostgreSQL has many.
//!
//! Never here: what an event means for a host (`domain`), and clocks. To add a table: a new file in each of `migrations/`
//! (never an edit of an old one), and the room of its rows here.

mod asked;
mod audit;
pub(super) mod credentials;
mod host_id;
mod insert;
mod inventory;
mod jobs;
mod journal;
mod keys;
mod manual;
mod once;
mod output;
mod pages;
mod proxies;
mod queries;
pub(super) mod session;
mod trouble;

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use sqlx::SqlitePool;

use self::credentials::LoginDraft;
pub(super) use self::session::computed;
use self::session::{Session, numbers, query};
pub(in crate::store) use self::trouble::{failed, not_migrated};
use super::manual::{ManualHost, Offer, Overdue, Revoke, Spend};
use super::news::{News, Teller, Topic};
use super::once::{Created, First, Once};
use super::page::{HostFilter, JobFilter, JobOrder, Known, Page, Standing, TaskFilter};
use super::postgres::outage::{self, Server};
use super::row::{corrupt, micros};
use super::seal::Seal;
use super::sqlite;
use super::{
    Asked, Cancel, HostRow, JobRow, KeyChange, Lease, NewJob, NewLogin, OutputChunk, PinnedKey, Proxies, Resealed, Retry, Store,
    StoreError, Take, TaskRow, Write, Written,
};
use crate::domain::Timestamp;
use crate::domain::audit::AuditLine;
use crate::domain::credential::{Credential, SecretBytes};
use crate::domain::event::Event;
use crate::domain::host::{Address, HostSpec};
use crate::domain::id::{JobId, Seq, TaskId};
use crate::domain::plan::StepKind;

/// How a job is held for one process.
#[async_trait]
pub trait Holds: Send + Sync {
    /// See [`Store::hold`].
    async fn hold(&self, job: JobId) -> Result<Box<dyn Lease>, StoreError>;

    /// See [`Store::join`].
    async fn join(&self, job: JobId) -> Result<Box<dyn Lease>, StoreError> {
        self.hold(job).await
    }

    /// See [`Store::holder`].
    async fn holder(&self, job: JobId) -> Result<Option<u32>, StoreError>;

    /// See [`Store::patience`].
    fn patience(&self) -> Duration {
        Duration::ZERO
    }
}

/// The job record in a database.
#[derive(Debug)]
pub struct SqlStore<H> {
    record: Record,
    holds: H,
}

impl<H> SqlStore<H> {
    pub(super) fn new(pools: Pools, seal: Seal, holds: H, teller: Teller) -> Self {
        Self { record: Record { pools, seal: Arc::new(seal), teller }, holds }
    }
}

/// Connections to the database.
#[derive(Debug)]
pub(super) enum Pools {
    /// One writes, so that transactions of this process queue up instead of failing; the others read beside it.
    /// `soiled`: secrets were removed, and their bytes may stand in the log of the file still.
    Sqlite { writer: SqlitePool, readers: SqlitePool, soiled: AtomicBool },
    /// All are alike.
    Postgres(Arc<Server>),
}

/// The database, and the seal of the credentials in it.
#[derive(Debug)]
pub(super) struct Record {
    pools: Pools,
    seal: Arc<Seal>,
    teller: Teller,
}

impl Pools {
    /// Begins a transaction that writes.
    async fn begin(&self) -> Result<Session, StoreError> {
        match self {
            // `immediate`: it takes its turn now, so no later statement of it can find itself too late.
            Self::Sqlite { writer, .. } => {
                let begun = writer.begin_with("begin immediate").await;
                begun.map(Session::Sqlite).map_err(failed("begin a transaction"))
            }
            Self::Postgres(server) => server.begin("begin").await,
        }
    }

    /// Secrets were removed.
    fn soil(&self, removed: u64) {
        if let (Self::Sqlite { soiled, .. }, 1..) = (self, removed) {
            soiled.store(true, Ordering::Relaxed);
        }
    }

    /// Takes the bytes of secrets that were removed out of the log as well; the file itself has zeros in their place. A log
    /// that somebody reads just now is left for the next time. PostgreSQL keeps them until it writes over them.
    async fn scrub(&self) -> Result<(), StoreError> {
        let Self::Sqlite { writer, soiled, .. } = self else { return Ok(()) };
        if soiled.swap(false, Ordering::Relaxed) && !sqlite::truncate_log(writer).await? {
            soiled.store(true, Ordering::Relaxed);
        }
        Ok(())
    }

    /// Begins a transaction that reads: all its statements see the same.
    pub(super) async fn read(&self) -> Result<Session, StoreError> {
        match self {
            Self::Sqlite { readers, .. } => readers.begin().await.map(Session::Sqlite).map_err(failed("begin to read")),
            Self::Postgres(server) => server.begin("begin isolation level repeatable read, read only").await,
        }
    }
}

impl Record {
    async fn begin(&self) -> Result<Session, StoreError> {
        self.pools.begin().await
    }

    async fn read(&self) -> Result<Session, StoreError> {
        self.pools.read().await
    }
}

impl Session {
    /// Whoever else changes these jobs or their hosts waits until this transaction is over. Comes before anything is read
    /// that must stay true until then.
    async fn lock_jobs(&mut self, jobs: impl IntoIterator<Item = JobId>) -> Result<(), StoreError> {
        if let Self::Sqlite(_) = self {
            return Ok(());
        }
        // In one order: two that lock the same jobs never wait for each other.
        let jobs: std::collections::BTreeSet<i64> = jobs.into_iter().map(|job| job.0).collect();
        if jobs.is_empty() {
            return Ok(());
        }
        let lock = query("select 1 from job where id in list($1) order by id for update").list(numbers(jobs));
        lock.execute(self, "lock jobs").await?;
        Ok(())
    }

    /// Whoever else wants to take hosts for a job waits until this transaction is over, so that none of them finds a host
    /// taken under its hands. Comes before [`Session::lock_jobs`].
    async fn queue_for_hosts(&mut self) -> Result<(), StoreError> {
        if let Self::Sqlite(_) = self {
            return Ok(());
        }
        query("select pg_advisory_xact_lock(5007215081)").execute(self, "queue for hosts").await?;
        Ok(())
    }

    /// Makes it durable. `what` was done.
    async fn commit(self, what: &'static str) -> Result<(), StoreError> {
        match self {
            Self::Sqlite(tx) => tx.commit().await.map_err(failed(what)),
            Self::Postgres(tx, server) => server.commit(tx, &[], what).await,
        }
    }

    /// [`Session::commit`], then tells whoever waits for it.
    async fn commit_telling(self, teller: &Teller, topics: &[Topic], what: &'static str) -> Result<(), StoreError> {
        match self {
            Self::Sqlite(tx) => {
                tx.commit().await.map_err(failed(what))?;
                topics.iter().for_each(|topic| teller.tell(*topic));
                Ok(())
            }
            // Every process hears it from the server, this one too.
            Self::Postgres(tx, server) => server.commit(tx, topics, what).await,
        }
    }
}

#[async_trait]
impl<H: Holds> Store for SqlStore<H> {
    async fn create_job(&self, job: NewJob, at: Timestamp) -> Result<JobId, StoreError> {
        jobs::create(&self.record, job, at).await
    }

    fn fingerprint(&self, what: &str, body: &serde_json::Value) -> Result<String, StoreError> {
        self.record.seal.fingerprint(what, body)
    }

    fn is_same(&self, fingerprint: &str, what: &str, body: &serde_json::Value) -> Result<bool, StoreError> {
        self.record.seal.is_same(fingerprint, what, body)
    }

    async fn create_job_once(&self, job: NewJob, once: Once, at: Timestamp) -> Result<Created, StoreError> {
        jobs::create_once(&self.record, job, once, at).await
    }

    async fn first_with_key(&self, app: &str, key: &str, now: Timestamp) -> Result<Option<First>, StoreError> {
        let at = micros(now);
        outage::again(|| async { once::first(&mut self.record.read().await?, (app, key), at).await }).await
    }

    async fn purge_keys(&self, now: Timestamp) -> Result<u64, StoreError> {
        outage::again(|| once::purge(&self.record, now)).await
    }

    async fn hold(&self, job: JobId) -> Result<Box<dyn Lease>, StoreError> {
        self.holds.hold(job).await
    }

    async fn holder(&self, job: JobId) -> Result<Option<u32>, StoreError> {
        self.holds.holder(job).await
    }

    async fn join(&self, job: JobId) -> Result<Box<dyn Lease>, StoreError> {
        self.holds.join(job).await
    }

    fn patience(&self) -> Duration {
        self.holds.patience()
    }

    async fn left_over(&self, clouds: &[i64]) -> Result<Vec<JobId>, StoreError> {
        let jobs = outage::again(|| async { jobs::left_over(&mut self.record.read().await?, clouds).await }).await?;
        let mut free = Vec::new();
        for job in jobs {
            // Where holds are rows, they are part of the question already.
            if matches!(self.record.pools, Pools::Postgres(_)) || self.holds.holder(job).await?.is_none() {
                free.push(job);
            }
        }
        Ok(free)
    }

    async fn hand_over(&self, job: JobId) -> Result<(), StoreError> {
        outage::again(|| jobs::hand_over(&self.record, job)).await
    }

    fn news(&self) -> News {
        self.record.teller.news()
    }

    async fn claim(&self, take: Take<'_>) -> Result<Vec<TaskRow>, StoreError> {
        outage::again(|| jobs::claim(&self.record, take)).await
    }

    async fn ask_cancel(&self, cancel: Cancel<'_>) -> Result<u64, StoreError> {
        outage::again(|| asked::cancel(&self.record, cancel)).await
    }

    async fn cancelled(&self, job: JobId) -> Result<Vec<TaskId>, StoreError> {
        outage::again(|| async { asked::cancelled(&mut self.record.read().await?, job).await }).await
    }

    async fn ask_retry(&self, job: JobId, retry: &Retry) -> Result<Vec<TaskId>, StoreError> {
        let logins = LoginDraft::of(&self.record, &retry.logins, retry.at).await?;
        outage::again(|| asked::retry(&self.record, job, retry, &logins)).await
    }

    async fn give_logins(&self, job: JobId, logins: &[NewLogin], at: Timestamp) -> Result<Vec<TaskId>, StoreError> {
        let logins = LoginDraft::of(&self.record, logins, at).await?;
        outage::again(|| credentials::give(&self.record, job, &logins)).await
    }

    async fn audit(&self, job: JobId) -> Result<Vec<AuditLine>, StoreError> {
        outage::again(|| async { audit::lines(&mut self.record.read().await?, job).await }).await
    }

    async fn asked(&self, job: JobId) -> Result<Asked, StoreError> {
        outage::again(|| async { asked::asked(&mut self.record.read().await?, job).await }).await
    }

    async fn commit(&self, batch: Vec<Write>) -> Result<Vec<Written>, StoreError> {
        outage::again(|| journal::commit(&self.record, &batch)).await
    }

    async fn job(&self, id: JobId) -> Result<Option<JobRow>, StoreError> {
        outage::again(|| async { queries::job(&mut self.record.read().await?, id).await }).await
    }

    async fn jobs(&self, limit: u32) -> Result<Vec<JobRow>, StoreError> {
        outage::again(|| async { queries::jobs(&mut self.record.read().await?, limit).await }).await
    }

    async fn tasks(&self, job: JobId) -> Result<Vec<TaskRow>, StoreError> {
        outage::again(|| async { queries::tasks(&mut self.record.read().await?, job).await }).await
    }

    async fn events(&self, job: JobId, after: Seq, limit: u32) -> Result<Vec<Event>, StoreError> {
        outage::again(|| async { queries::events(&mut self.record.read().await?, job, after, limit).await }).await
    }

    async fn output(&self, task: TaskId) -> Result<Vec<OutputChunk>, StoreError> {
        outage::again(|| async { output::read(&mut self.record.read().await?, task).await }).await
    }

    async fn output_after(&self, task: TaskId, after: i64, limit: u32) -> Result<(Vec<OutputChunk>, i64), StoreError> {
        outage::again(|| async { output::after(&mut self.record.read().await?, task, (after, limit)).await }).await
    }

    async fn output_end(&self, task: TaskId, step: StepKind, attempt: u32) -> Result<u64, StoreError> {
        outage::again(|| async { output::end(&mut self.record.read().await?, (task, step, attempt)).await }).await
    }

    async fn busy(&self, hosts: &[Address]) -> Result<Vec<(Address, JobId)>, StoreError> {
        outage::again(|| async { queries::held(&mut self.record.read().await?, hosts).await }).await
    }

    async fn credential(&self, task: TaskId) -> Result<Option<Credential>, StoreError> {
        outage::again(|| credentials::read(&self.record, task)).await
    }

    async fn kept_logins(&self, hosts: &[Address]) -> Result<Vec<(Address, HostSpec, Credential)>, StoreError> {
        outage::again(|| credentials::kept_logins(&self.record, hosts)).await
    }

    async fn purge_credentials(&self, now: Timestamp) -> Result<u64, StoreError> {
        outage::again(|| credentials::purge(&self.record, now)).await
    }

    async fn key_pair(&self, name: &str) -> Result<Option<SecretBytes>, StoreError> {
        outage::again(|| keys::pair(&self.record, name)).await
    }

    async fn keep_key_pair(&self, name: &str, private: &SecretBytes, at: Timestamp) -> Result<SecretBytes, StoreError> {
        outage::again(|| keys::keep_pair(&self.record, name, private, at)).await?;
        self.key_pair(name).await?.ok_or_else(|| corrupt(format!("the key pair {name} is gone")))
    }

    async fn prepare_key(&self) -> Result<KeyChange, StoreError> {
        let seal = self.record.seal.clone();
        computed(move || seal.prepare()).await
    }

    async fn reseal(&self, change: &KeyChange, most: u32) -> Result<Resealed, StoreError> {
        outage::again(|| keys::reseal(&self.record, change, most)).await
    }

    async fn retire_key(&self, change: &KeyChange) -> Result<(), StoreError> {
        keys::retire(&self.record, change).await
    }

    async fn offer(&self, offers: &[Offer], now: Timestamp) -> Result<Vec<TaskId>, StoreError> {
        outage::again(|| manual::offer(&self.record, offers, now)).await
    }

    async fn offered(&self, task: TaskId, now: Timestamp) -> Result<Vec<String>, StoreError> {
        outage::again(|| async { manual::offered(&mut self.record.read().await?, task, now).await }).await
    }

    async fn spend(&self, spend: Spend<'_>) -> Result<Option<TaskRow>, StoreError> {
        outage::again(|| manual::spend(&self.record, spend)).await
    }

    async fn manual_host(&self, task: TaskId) -> Result<Option<ManualHost>, StoreError> {
        outage::again(|| async { manual::host(&mut self.record.read().await?, task).await }).await
    }

    async fn heard(&self, task: TaskId, run: &str, at: Timestamp) -> Result<(), StoreError> {
        outage::again(|| manual::heard(&self.record, (task, run), at)).await
    }

    async fn turn(&self, task: TaskId, run: &str, at: Timestamp) -> Result<Option<TaskRow>, StoreError> {
        outage::again(|| manual::turn(&self.record, (task, run), at)).await
    }

    async fn revoke_offers(&self, revoke: Revoke<'_>) -> Result<u64, StoreError> {
        outage::again(|| manual::revoke(&self.record, revoke)).await
    }

    async fn overdue(&self, overdue: Overdue) -> Result<Vec<ManualHost>, StoreError> {
        outage::again(|| async { manual::overdue(&mut self.record.read().await?, overdue).await }).await
    }

    async fn host(&self, address: Address) -> Result<Option<HostRow>, StoreError> {
        outage::again(|| async { inventory::host(&mut self.record.read().await?, address).await }).await
    }

    async fn proxies(&self) -> Result<Proxies, StoreError> {
        outage::again(|| async { proxies::all(&mut self.record.read().await?).await }).await
    }

    async fn behind(&self, proxy: Address) -> Result<Vec<HostRow>, StoreError> {
        outage::again(|| async { proxies::behind(&mut self.record.read().await?, proxy).await }).await
    }

    async fn running_in(&self, cloud: i64) -> Result<Vec<(JobId, TaskId)>, StoreError> {
        outage::again(|| async { proxies::running_in(&mut self.record.read().await?, cloud).await }).await
    }

    async fn children(&self, job: JobId) -> Result<Vec<JobId>, StoreError> {
        outage::again(|| async { proxies::children(&mut self.record.read().await?, job).await }).await
    }

    async fn job_page(&self, filter: &JobFilter, order: JobOrder, page: Page) -> Result<(u64, Vec<JobRow>), StoreError> {
        outage::again(|| async { pages::jobs(&mut self.record.read().await?, filter, order, page).await }).await
    }

    async fn task_page(&self, job: JobId, filter: &TaskFilter, page: Page) -> Result<(u64, Vec<TaskRow>), StoreError> {
        outage::again(|| async { pages::tasks(&mut self.record.read().await?, job, filter, page).await }).await
    }

    async fn host_events(&self, job: JobId, hosts: &[u32]) -> Result<Vec<Event>, StoreError> {
        outage::again(|| async { pages::host_events(&mut self.record.read().await?, job, hosts).await }).await
    }

    async fn standing(&self) -> Result<Standing, StoreError> {
        outage::again(|| async { pages::standing(&mut self.record.read().await?).await }).await
    }

    async fn known_hosts(&self, which: Known<'_>) -> Result<Vec<HostRow>, StoreError> {
        outage::again(|| async { pages::known_hosts(&mut self.record.read().await?, which).await }).await
    }

    async fn host_page(&self, filter: &HostFilter, page: Page) -> Result<(u64, Vec<HostRow>), StoreError> {
        outage::again(|| async { pages::hosts(&mut self.record.read().await?, filter, page).await }).await
    }

    async fn logins_kept_until(&self, hosts: &[Address]) -> Result<Vec<(Address, Option<Timestamp>)>, StoreError> {
        outage::again(|| async { credentials::kept_until(&mut self.record.read().await?, hosts).await }).await
    }

    async fn host_ids(&self, which: Known<'_>) -> Result<Vec<(Address, i64)>, StoreError> {
        outage::again(|| async { host_id::of(&mut self.record.read().await?, which).await }).await
    }

    async fn reserve_host_ids(&self, id: i64) -> Result<(), StoreError> {
        outage::again(|| host_id::reserve(&self.record, id)).await
    }

    async fn pinned_key(&self, cloud: i64, address: IpAddr, port: u16) -> Result<Option<PinnedKey>, StoreError> {
        outage::again(|| async { inventory::pinned_key(&mut self.record.read().await?, cloud, address, port).await }).await
    }

    async fn pinned_keys(&self) -> Result<Vec<PinnedKey>, StoreError> {
        outage::again(|| async { inventory::pinned_keys(&mut self.record.read().await?).await }).await
    }

    async fn forget_keys(&self, host: Address, port: Option<u16>) -> Result<u64, StoreError> {
        outage::again(|| inventory::forget_keys(&self.record, host, port)).await
    }
}
