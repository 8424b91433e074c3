//! The use cases that both doors call: submit, run, resume, follow, look.
//!
//! Never here: a flag, a colour, an HTTP status; how a step is done (the engine's).

mod admit;
pub mod answer;
pub mod ask;
pub mod check;
pub mod collect;
pub mod details;
pub mod envelope;
pub mod feed;
pub mod host_list;
pub mod inventory;
pub mod keys;
pub mod logins;
pub mod manual;
mod measure;
pub mod once;
pub mod operate;
pub mod preview;
mod replace;
pub mod request;
pub mod shift;
pub mod submit;
pub mod view;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::domain::caller::Denied;
use crate::domain::failure::Failure;
use crate::domain::host::Address;
use crate::domain::id::{JobId, RunId};
use crate::domain::job::{JobKind, Status};
use crate::domain::site::{Language, Site};
use crate::domain::state::IllegalEvent;
use crate::engine::{Ended, Engine, EngineError};
use crate::meters;
use crate::store::news::Topic;
use crate::store::{Lease, Store};

// What the doors need of the rooms below: they name this one only.
pub use crate::engine::cancel::{GRACE, Stop};
pub use crate::engine::progress::Progress;
pub use crate::packages::{PackageError, PackageSource};
pub use crate::store::{OutputChunk, PinnedKey, StoreError};

/// A use case could not be carried out.
#[derive(Debug, thiserror::Error)]
pub enum ServiceError {
    /// The job record failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A run could not go on.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The package repository failed.
    #[error(transparent)]
    Packages(#[from] PackageError),
    /// There is no such job.
    #[error("there is no job {0}")]
    NoJob(JobId),
    /// The job has no such host.
    #[error("job {job} has no host {host}")]
    NoHost {
        /// The job.
        job: JobId,
        /// Its address.
        host: IpAddr,
    },
    /// The job has no host of that name.
    #[error("job {job} has no host `{instance}`")]
    NoInstance {
        /// The job.
        job: JobId,
        /// What was asked for.
        instance: String,
    },
    /// There is nothing to try again.
    #[error("host {host} of job {job} is {status}: only hosts that failed or were cancelled can be tried again", status = .status.word())]
    NotFailed {
        /// The job.
        job: JobId,
        /// The host.
        host: IpAddr,
        /// How it stands.
        status: Status,
    },
    /// Whoever asks may not.
    #[error(transparent)]
    Denied(#[from] Denied),
    /// There is no run whose log could be fetched.
    #[error("{}", no_run(.job, .host, .gone.as_ref()))]
    NoRun {
        /// The job.
        job: JobId,
        /// The host.
        host: Address,
        /// The run that the host has no more; `None`: none was ever started.
        gone: Option<RunId>,
    },
    /// A host does not give what was asked for.
    #[error("host {host}: {failure}")]
    Unreached {
        /// The host.
        host: Address,
        /// Why.
        failure: Box<Failure>,
    },
    /// Nobody installs the host by hand.
    #[error("host {host} of job {job} is no manual one (`is_manual`): nobody needs a command for it")]
    NotManual {
        /// The job.
        job: JobId,
        /// The host.
        host: Address,
    },
    /// There is no command for a host that has ended.
    #[error("host {host} of job {job} is {status}: there is no command for it any more", status = .status.word())]
    Ended {
        /// The job.
        job: JobId,
        /// The host.
        host: Address,
        /// How it stands.
        status: Status,
    },
    /// A token is wrong, spent, over, or another host's: nothing is told of which.
    #[error("the token is not valid")]
    BadToken,
    /// A script asks for, or tells, what cannot be now.
    #[error("{0}")]
    OutOfTurn(String),
    /// Something cannot be made.
    #[error(transparent)]
    Failed(Failure),
    /// Another job has a host.
    #[error("{0}")]
    Busy(String),
    /// The journal contradicts itself.
    #[error("the journal of the job contradicts itself")]
    Journal(#[from] IllegalEvent),
}

fn no_run(job: &JobId, host: &Address, gone: Option<&RunId>) -> String {
    match gone {
        None => format!("job {job} started no script on host {host}"),
        Some(run) => format!("host {host} has the log of run {run} no more"),
    }
}

/// The use cases.
#[derive(Clone)]
pub struct Service {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) packages: Arc<dyn PackageSource>,
    pub(crate) engine: Arc<Engine>,
    pub(crate) site: Arc<Site>,
    opener: Arc<envelope::Opener>,
}

impl Service {
    /// Joins the parts.
    #[must_use]
    pub fn new(store: Arc<dyn Store>, packages: Arc<dyn PackageSource>, engine: Arc<Engine>, site: Arc<Site>) -> Self {
        Self { store, packages, engine, site, opener: Arc::default() }
    }

    /// Takes an unfinished job for this process. Where a killed holder keeps it for a while, it waits for the end of that.
    ///
    /// # Errors
    /// [`ServiceError::NoJob`]; [`StoreError::Held`] when a live process has it.
    pub async fn hold(&self, job: JobId) -> Result<Box<dyn Lease>, ServiceError> {
        if self.store.job(job).await?.is_none() {
            return Err(ServiceError::NoJob(job));
        }
        Ok(self.store.hold(job).await?)
    }

    /// Works on a held job until every host ended, or `stop` made it let go.
    ///
    /// # Errors
    /// When the record fails; hosts that were running are taken up by the next `resume`.
    pub async fn run(&self, job: JobId, lease: Box<dyn Lease>, stop: Stop) -> Result<Ended, ServiceError> {
        let over = CancellationToken::new();
        let working = async {
            let mut work = std::pin::pin!(self.engine.run(job, lease.as_ref(), stop.clone()));
            let ended = tokio::select! {
                ended = &mut work => ended,
                () = lease.lost() => {
                    meters::lease_lost();
                    stop.hard("the hold of the job could not be renewed: another process may have it");
                    work.await
                }
            };
            over.cancel();
            ended
        };
        let (ended, children) = tokio::join!(working, self.children(job, &stop, &over));
        lease.release().await;
        children?;
        Ok(ended?)
    }

    /// Works on the jobs that a job begins, until that is `over`: whoever has the one must not depend on somebody else for the
    /// others. Those of `serve` are shared with whoever else takes them up.
    async fn children(&self, job: JobId, stop: &Stop, over: &CancellationToken) -> Result<(), ServiceError> {
        let kind = self.store.job(job).await?.map(|parent| parent.spec.kind);
        if kind != Some(JobKind::ReplaceProxy) {
            return Ok(());
        }
        let mut news = self.store.news();
        loop {
            for child in self.store.children(job).await? {
                let Some(row) = self.store.job(child).await? else { continue };
                if stop.is_asked() || row.finished_at.is_some() {
                    continue;
                }
                let lease = if row.served { self.store.join(child).await } else { self.store.hold(child).await };
                match lease {
                    Ok(lease) => {
                        self.engine.run(child, lease.as_ref(), stop.clone()).await?;
                        lease.release().await;
                    }
                    Err(StoreError::Held { .. }) => {}
                    Err(error) => return Err(error.into()),
                }
            }
            tokio::select! {
                () = over.cancelled() => return Ok(()),
                // A job that comes in is told.
                () = news.next(Topic::calls) => {}
            }
        }
    }

    /// The process that works on a job, if any does.
    ///
    /// # Errors
    /// When the record fails.
    pub async fn holder(&self, job: JobId) -> Result<Option<u32>, ServiceError> {
        Ok(self.store.holder(job).await?)
    }

    /// How long a job stays held when its holder is killed.
    #[must_use]
    pub fn patience(&self) -> Duration {
        self.store.patience()
    }

    /// Has every host of the job ended?
    ///
    /// # Errors
    /// [`ServiceError::NoJob`]; when the record fails.
    pub async fn has_ended(&self, job: JobId) -> Result<bool, ServiceError> {
        let row = self.store.job(job).await?.ok_or(ServiceError::NoJob(job))?;
        Ok(row.statistics.pending_count + row.statistics.running_count == 0)
    }

    /// Did the job's journal come to its end? That is after the end of the last host.
    ///
    /// # Errors
    /// [`ServiceError::NoJob`]; when the record fails.
    pub async fn is_finished(&self, job: JobId) -> Result<bool, ServiceError> {
        Ok(self.store.job(job).await?.ok_or(ServiceError::NoJob(job))?.finished_at.is_some())
    }

    /// All pinned host keys, by cloud, address and port.
    ///
    /// # Errors
    /// When the record fails.
    pub async fn host_keys(&self) -> Result<Vec<PinnedKey>, ServiceError> {
        Ok(self.store.pinned_keys().await?)
    }

    /// Forgets the pinned host keys of a host, of one port or of all; how many there were.
    ///
    /// # Errors
    /// When the record fails.
    pub async fn forget_host_keys(&self, host: Address, port: Option<u16>) -> Result<u64, ServiceError> {
        Ok(self.store.forget_keys(host, port).await?)
    }

    /// The language of messages where a caller asks for none.
    #[must_use]
    pub fn language(&self) -> Language {
        self.site.language
    }

    /// What the running hosts are sending right now.
    #[must_use]
    pub fn progress(&self) -> Vec<Progress> {
        self.engine.progress()
    }
}
