//! The job record: jobs, host tasks, journals, outputs, sealed credentials, inventory, pinned host keys.
//!
//! One trait, one conformance suite (`tests/store/`), one module per backend. Rules of a backend:
//! - what does not exist is `Ok(None)`, never an error;
//! - time is a parameter; a backend has no clock;
//! - [`Store::commit`] is one transaction for the whole batch, with multi-row statements; a stale epoch refuses its own
//!   write only;
//! - events are never changed or deleted; state is their fold ([`crate::domain::record`]). The status columns are a copy
//!   for lists, written in the same transaction as the event that changes them.
//!
//! Never here: deciding what happens next. To add a backend: implement [`Store`], add it to the conformance suite and `app`.

mod asking;
mod inventory;
pub mod manual;
pub mod news;
pub mod once;
pub mod page;
pub mod postgres;
mod row;
pub mod seal;
mod sql;
pub mod sqlite;

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;

use crate::domain::Timestamp;
use crate::domain::admission::Exclusion;
use crate::domain::audit::{Asking, AuditLine};
use crate::domain::credential::{Credential, SecretBytes};
use crate::domain::event::{Event, EventKind};
use crate::domain::host::{Address, HostSpec};
use crate::domain::id::{Epoch, JobId, Seq, TaskId};
use crate::domain::job::{Statistics, Status};
use crate::domain::plan::StepKind;
use crate::domain::spec::{JobSpec, TaskSpec};
pub use asking::{Cancel, KeyChange, NewLogin, Resealed, Retry, Take, Which};
pub use inventory::{HostRow, PinnedKey, Proxies};
use manual::{ManualHost, Offer, Overdue, Revoke, Spend};
use news::News;
use once::{Created, First, Once};
use page::{HostFilter, JobFilter, JobOrder, Known, Page, Standing, TaskFilter};

/// The record did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// It cannot be reached or written; trying again later may help.
    #[error("the job record is not available: {what}")]
    Unavailable {
        /// What was tried.
        what: String,
        /// What the database says.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Somebody else was first.
    #[error("{0}")]
    Conflict(String),
    /// Another live process holds the job.
    #[error("job {job} is held by process {pid}")]
    Held {
        /// The job.
        job: JobId,
        /// The holder.
        pid: u32,
    },
    /// What is stored cannot be read.
    #[error("the job record is corrupt: {what}")]
    Corrupt {
        /// What was found.
        what: String,
    },
    /// The key file does not fit the sealed credentials.
    #[error("{0}")]
    Key(String),
}

/// A job to be recorded.
#[derive(Clone, Debug)]
pub struct NewJob {
    /// What it is.
    pub spec: JobSpec,
    /// Whose it is in lists: `bk_username`, else whoever asks.
    pub created_by: String,
    /// For the audit.
    pub by: Asking,
    /// Was it accepted by `serve`? Then every executor over the record takes it up; a job of `run` waits for the person who
    /// began it.
    pub served: bool,
    /// Its hosts, in the order of the request, left-out ones included.
    pub hosts: Vec<NewHost>,
}

impl NewJob {
    /// Does a person carry it out, so that no executor may claim its hosts?
    #[must_use]
    pub fn is_manual(&self) -> bool {
        self.spec.kind.touches_host() && self.hosts.iter().any(|host| host.spec.host.is_manual)
    }
}

/// A host of a job to be recorded.
#[derive(Clone, Debug)]
pub struct NewHost {
    /// Its identity.
    pub id: TaskId,
    /// What it is.
    pub spec: TaskSpec,
    /// Sealed before it is stored. `None` for hosts that are left out.
    pub credential: Option<Credential>,
    /// Why it is left out.
    pub exclusion: Option<Exclusion>,
}

/// A recorded job.
#[derive(Clone, Debug)]
pub struct JobRow {
    /// Its number.
    pub id: JobId,
    /// What it is.
    pub spec: JobSpec,
    /// Who asked for it.
    pub created_by: String,
    /// May any executor take it up?
    pub served: bool,
    /// When.
    pub created_at: Timestamp,
    /// When its last host ended.
    pub finished_at: Option<Timestamp>,
    /// Its hosts by status.
    pub statistics: Statistics,
    /// Its status, folded.
    pub status: Status,
}

/// A recorded host task.
#[derive(Clone, Debug)]
pub struct TaskRow {
    /// Its identity.
    pub id: TaskId,
    /// Its position in the request, from 0.
    pub index: u32,
    /// Its job.
    pub job: JobId,
    /// Which host it is.
    pub address: Address,
    /// What it is.
    pub spec: TaskSpec,
    /// Its wire status, a copy of the fold's.
    pub status: Status,
    /// Claims so far.
    pub epoch: Epoch,
    /// Is it to be cancelled?
    pub cancel_asked: bool,
}

/// Who appends: the claim that gives the right to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Claim {
    /// The job.
    pub job: JobId,
    /// The host task.
    pub task: TaskId,
    /// Its position in the request.
    pub index: u32,
    /// Number of the claim.
    pub epoch: Epoch,
}

/// One write of a batch.
#[derive(Clone, Debug)]
pub enum Write {
    /// Events of one host task.
    Host {
        /// The right to append.
        claim: Claim,
        /// When they happened.
        at: Timestamp,
        /// In order.
        events: Vec<EventKind>,
    },
    /// Events of the job itself.
    Job {
        /// The job.
        job: JobId,
        /// When they happened.
        at: Timestamp,
        /// In order.
        events: Vec<EventKind>,
    },
    /// A piece of a step's output.
    Output(OutputChunk),
    /// What a host has now: replaces its inventory row. A host without a number (`bk_host_id`), or with one that is another
    /// host's, keeps the number it has, or gets one that no host ever had.
    Register(Box<HostRow>),
    /// The host has nothing any more: its inventory row goes. It keeps its number.
    Forget(Address),
    /// The host is no longer ours: its inventory row goes, its number, and the logins that ended jobs kept. A host task that is still
    /// at it has its own until it ends.
    Remove(Address),
    /// A proxy that carries nobody any more, because that job replaced it. Until it is registered as a proxy again this wins over
    /// inventory and site file.
    Retire {
        /// The proxy.
        proxy: Address,
        /// The job that replaced it.
        job: JobId,
        /// When.
        at: Timestamp,
    },
    /// The host key that was seen first.
    PinKey(PinnedKey),
    /// A host key in the place of the one that is pinned, if one is.
    ReplaceKey(PinnedKey),
}

/// What became of one write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Written {
    /// It is durable; the last `seq` it took, where it took any.
    Done(Option<Seq>),
    /// Refused: the claim is not the latest one of its host task, the host task has ended, what is written to does not
    /// exist, or a job is to be finished that has an unfinished host.
    Stale,
}

/// A piece of a step's output. Losing one never changes state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutputChunk {
    /// The host task.
    pub task: TaskId,
    /// The step.
    pub step: StepKind,
    /// Its attempt.
    pub attempt: u32,
    /// Where the piece begins in the output of that attempt, bytes.
    pub offset: u64,
    /// The bytes as the target wrote them.
    pub data: Bytes,
}

/// What was asked of a job by whoever does not work on it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Asked {
    /// How often something was asked; grows with every cancel and retry.
    pub count: i64,
    /// Is the whole job to be cancelled?
    pub cancel: bool,
}

/// The first MiB and the last 9 MiB of an attempt's output are kept (DESIGN 4).
pub const OUTPUT_HEAD: u64 = 1 << 20;
/// See [`OUTPUT_HEAD`].
pub const OUTPUT_TAIL: u64 = 9 << 20;

/// Keeps the job for this process; dropping it lets go.
#[async_trait]
pub trait Lease: Send + Sync + std::fmt::Debug {
    /// Name of this hold, for claims. No other hold ever has it.
    fn owner(&self) -> &str;

    /// May others work on the job at the same time?
    fn is_shared(&self) -> bool {
        false
    }

    /// Waits until another process may have the job: nothing more may be begun then. Never, where a hold cannot be lost.
    async fn lost(&self) {
        std::future::pending().await
    }

    /// Lets go and returns when everybody can see that.
    async fn release(self: Box<Self>) {}
}

/// The job record.
#[async_trait]
pub trait Store: Send + Sync {
    /// Records a job with its hosts, outlines, sealed credentials, and its first events (`JobAccepted`, then `HostIgnored`
    /// for those left out) and its line of the audit in one transaction. Until it returns, the job does not exist. A host
    /// that another unfinished job holds makes a `Conflict`.
    async fn create_job(&self, job: NewJob, at: Timestamp) -> Result<JobId, StoreError>;

    /// What tells one request from another, `what` is asked for included. It says nothing of the body to whoever has not the
    /// key of the record, so that a password in it cannot be guessed by trying.
    fn fingerprint(&self, what: &str, body: &serde_json::Value) -> Result<String, StoreError>;

    /// Is that the fingerprint of this request, under whatever key it was made?
    fn is_same(&self, fingerprint: &str, what: &str, body: &serde_json::Value) -> Result<bool, StoreError> {
        Ok(self.fingerprint(what, body)? == fingerprint)
    }

    /// [`Store::create_job`], unless a job was recorded with this key within [`KEY_LIFE`]. Of several that come at the same
    /// time one is recorded, and the others wait for it.
    async fn create_job_once(&self, job: NewJob, once: Once, at: Timestamp) -> Result<Created, StoreError>;

    /// What was recorded with a key, as long as that counts.
    async fn first_with_key(&self, app: &str, key: &str, now: Timestamp) -> Result<Option<First>, StoreError>;

    /// Removes keys that count no more; returns how many.
    async fn purge_keys(&self, now: Timestamp) -> Result<u64, StoreError>;

    /// Holds a job for this process. A job that a live process holds is [`StoreError::Held`]; to find out that a holder is
    /// not alive may take [`Store::patience`].
    async fn hold(&self, job: JobId) -> Result<Box<dyn Lease>, StoreError>;

    /// Joins those who work on a job. One that somebody holds for himself is [`StoreError::Held`], without any wait. Where a
    /// record has one executor at a time, this is [`Store::hold`].
    async fn join(&self, job: JobId) -> Result<Box<dyn Lease>, StoreError> {
        self.hold(job).await
    }

    /// Unfinished jobs of `serve` in which something is to do that nobody alive does; with `clouds` on hosts of those clouds only.
    async fn left_over(&self, clouds: &[i64]) -> Result<Vec<JobId>, StoreError>;

    /// Makes a job one of `serve`: any executor may take it up.
    async fn hand_over(&self, job: JobId) -> Result<(), StoreError>;

    /// What others write, as it happens.
    fn news(&self) -> News;

    /// How long a job stays held when its holder is killed.
    fn patience(&self) -> Duration {
        Duration::ZERO
    }

    /// Which live process holds a job.
    async fn holder(&self, job: JobId) -> Result<Option<u32>, StoreError>;

    /// Claims unfinished host tasks of a held job, in the order of the request: raises their epochs and returns them. What
    /// somebody else works on whose hold is alive is passed over.
    async fn claim(&self, take: Take<'_>) -> Result<Vec<TaskRow>, StoreError>;

    /// Asks whoever works on a job to cancel it or some of its hosts, or whoever takes it up next. Gives how many hosts that
    /// is about: the unfinished ones.
    async fn ask_cancel(&self, cancel: Cancel<'_>) -> Result<u64, StoreError>;

    /// Unfinished host tasks of a job that are to be cancelled.
    async fn cancelled(&self, job: JobId) -> Result<Vec<TaskId>, StoreError>;

    /// Opens host tasks of a job again that failed or were cancelled, with the logins that come for them, in one transaction;
    /// those that ended otherwise are passed over. Returns the opened ones. A host that another unfinished job holds makes
    /// a `Conflict`.
    async fn ask_retry(&self, job: JobId, retry: &Retry) -> Result<Vec<TaskId>, StoreError>;

    /// Gives unfinished host tasks of a job that have no credential any more a new one; returns those.
    async fn give_logins(&self, job: JobId, logins: &[NewLogin], at: Timestamp) -> Result<Vec<TaskId>, StoreError>;

    /// Who asked what of a job, the submission first. What was asked for in vain is not in it.
    async fn audit(&self, job: JobId) -> Result<Vec<AuditLine>, StoreError>;

    /// What was asked of a job.
    async fn asked(&self, job: JobId) -> Result<Asked, StoreError>;

    /// Writes a batch in one transaction; the answers are in the order of the batch.
    async fn commit(&self, batch: Vec<Write>) -> Result<Vec<Written>, StoreError>;

    /// One job.
    async fn job(&self, id: JobId) -> Result<Option<JobRow>, StoreError>;

    /// The newest jobs first.
    async fn jobs(&self, limit: u32) -> Result<Vec<JobRow>, StoreError>;

    /// The host tasks of a job, in the order of the request.
    async fn tasks(&self, job: JobId) -> Result<Vec<TaskRow>, StoreError>;

    /// Events after a cursor, in order of `seq`.
    async fn events(&self, job: JobId, after: Seq, limit: u32) -> Result<Vec<Event>, StoreError>;

    /// Output of a host task, by step and attempt in the order they began, pieces in order of offset.
    async fn output(&self, task: TaskId) -> Result<Vec<OutputChunk>, StoreError>;

    /// The pieces of output of a host task that are stored after cursor `after` (0 at first), at most `limit`, in the order
    /// they came, and the next cursor.
    async fn output_after(&self, task: TaskId, after: i64, limit: u32) -> Result<(Vec<OutputChunk>, i64), StoreError>;

    /// Where the kept output of an attempt ends, bytes; 0 when there is none.
    async fn output_end(&self, task: TaskId, step: StepKind, attempt: u32) -> Result<u64, StoreError>;

    /// Which of these hosts an unfinished job holds.
    async fn busy(&self, hosts: &[Address]) -> Result<Vec<(Address, JobId)>, StoreError>;

    /// The unsealed credential of a host task; `None` when it was purged.
    async fn credential(&self, task: TaskId) -> Result<Option<Credential>, StoreError>;

    /// The newest credential that is still kept for each of these hosts and let us in, with the login it belongs to; of none
    /// such the newest: one that was refused must not stand in the place of one that is taken.
    async fn kept_logins(&self, hosts: &[Address]) -> Result<Vec<(Address, HostSpec, Credential)>, StoreError>;

    /// Removes credentials whose time has come, and what is left of their bytes where the backend can; returns how many.
    async fn purge_credentials(&self, now: Timestamp) -> Result<u64, StoreError>;

    /// Keeps one-time tokens of hosts that a person installs. Gives the hosts that wait for one: one that has ended, or is to
    /// be cancelled, or that an executor works on, gets none.
    async fn offer(&self, offers: &[Offer], now: Timestamp) -> Result<Vec<TaskId>, StoreError>;

    /// Digests of the one-time tokens of a host task that can be spent now.
    async fn offered(&self, task: TaskId, now: Timestamp) -> Result<Vec<String>, StoreError>;

    /// Spends a one-time token: raises the epoch of its host task for the run that fetched the script, and returns that. Once:
    /// `None` for a token that is spent, revoked, over, or of a host that has ended or is to be cancelled.
    async fn spend(&self, spend: Spend<'_>) -> Result<Option<TaskRow>, StoreError>;

    /// An unfinished host that a person installs, with the run that has it; `None` when it has ended, or is none of those.
    async fn manual_host(&self, task: TaskId) -> Result<Option<ManualHost>, StoreError>;

    /// The run that has a host (by the digest of its token) was heard of.
    async fn heard(&self, task: TaskId, run: &str, at: Timestamp) -> Result<(), StoreError>;

    /// The same, and its turn to append: raises the epoch, so that what an earlier request of it still does is refused.
    /// `None` when it has the host no more.
    async fn turn(&self, task: TaskId, run: &str, at: Timestamp) -> Result<Option<TaskRow>, StoreError>;

    /// Takes one-time tokens back that were not spent; how many.
    async fn revoke_offers(&self, revoke: Revoke<'_>) -> Result<u64, StoreError>;

    /// Hosts that a person should have installed, and that are waited for no longer.
    async fn overdue(&self, overdue: Overdue) -> Result<Vec<ManualHost>, StoreError>;

    /// What is known of a host.
    async fn host(&self, address: Address) -> Result<Option<HostRow>, StoreError>;

    /// The proxies that jobs installed, and those that were replaced, by cloud and address; both from one look.
    async fn proxies(&self) -> Result<Proxies, StoreError>;

    /// The agents of its cloud that were configured with a proxy.
    async fn behind(&self, proxy: Address) -> Result<Vec<HostRow>, StoreError>;

    /// The host tasks of a cloud that began and have not ended, with their jobs, in the order of those.
    async fn running_in(&self, cloud: i64) -> Result<Vec<(JobId, TaskId)>, StoreError>;

    /// The jobs that a job began, in the order of their numbers.
    async fn children(&self, job: JobId) -> Result<Vec<JobId>, StoreError>;

    /// The jobs of a page of a list, and how many there are on all its pages; both from one look.
    async fn job_page(&self, filter: &JobFilter, order: JobOrder, page: Page) -> Result<(u64, Vec<JobRow>), StoreError>;

    /// The host tasks of a page, in the order of the request, and how many there are on all pages; both from one look.
    async fn task_page(&self, job: JobId, filter: &TaskFilter, page: Page) -> Result<(u64, Vec<TaskRow>), StoreError>;

    /// The journals of some hosts of a job (by their position in the request), in order of `seq`.
    async fn host_events(&self, job: JobId, hosts: &[u32]) -> Result<Vec<Event>, StoreError>;

    /// How the unfinished jobs stand, in the order of their numbers; from one look.
    async fn standing(&self) -> Result<Standing, StoreError>;

    /// What is known of some hosts, in the order they were asked for; nothing where nothing is known.
    async fn known_hosts(&self, which: Known<'_>) -> Result<Vec<HostRow>, StoreError>;

    /// The hosts of a page of the inventory, by number, and how many there are on all pages; both from one look.
    async fn host_page(&self, filter: &HostFilter, page: Page) -> Result<(u64, Vec<HostRow>), StoreError>;

    /// For which of these hosts a login is kept, and until when; without end when it is long term.
    async fn logins_kept_until(&self, hosts: &[Address]) -> Result<Vec<(Address, Option<Timestamp>)>, StoreError>;

    /// Hosts and their numbers (`bk_host_id`), those of hosts that were uninstalled included, in the order they were asked for;
    /// nothing where there is none.
    async fn host_ids(&self, which: Known<'_>) -> Result<Vec<(Address, i64)>, StoreError>;

    /// Numbers up to this one are not given to hosts any more: somebody else gives them.
    async fn reserve_host_ids(&self, id: i64) -> Result<(), StoreError>;

    /// The pinned key of an endpoint.
    async fn pinned_key(&self, cloud: i64, address: std::net::IpAddr, port: u16) -> Result<Option<PinnedKey>, StoreError>;

    /// All pinned keys, by cloud, address and port.
    async fn pinned_keys(&self) -> Result<Vec<PinnedKey>, StoreError>;

    /// Forgets the pinned keys of a host, of one port or of all; returns how many there were.
    async fn forget_keys(&self, host: Address, port: Option<u16>) -> Result<u64, StoreError>;

    /// The private half of a key pair (PKCS#8); `None` while none of that name is kept.
    async fn key_pair(&self, name: &str) -> Result<Option<SecretBytes>, StoreError>;

    /// Keeps a key pair, sealed, unless there is one of that name already; gives the one that is kept.
    async fn keep_key_pair(&self, name: &str, private: &SecretBytes, at: Timestamp) -> Result<SecretBytes, StoreError>;

    /// Makes the key that secrets will be sealed under next; one that waits already is that key. Nothing is sealed under it
    /// before [`Store::reseal`]. The turn to change keys is this process's from now on.
    async fn prepare_key(&self) -> Result<KeyChange, StoreError>;

    /// Has everybody seal under the next key from now on, and seals at most `most` secrets anew that are under the old one,
    /// in one transaction. Comes after [`Store::prepare_key`], again and again until nothing is left.
    async fn reseal(&self, change: &KeyChange, most: u32) -> Result<Resealed, StoreError>;

    /// Takes the old key, which nothing is sealed under any more, out of the key file.
    async fn retire_key(&self, change: &KeyChange) -> Result<(), StoreError>;
}
