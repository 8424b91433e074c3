//! Order, time and concurrency: one pipeline per host, no barrier between hosts.
//!
//! ```text
//!  Engine::run(job) ─► dispatcher ──spawns──► host task ─► connect ─► probe ─► … ─► outcome
//!                         │                      │ every change of state
//!                         │                      ▼
//!                         └── JobFinished ──► journal (group commit) ──► record ──► feeds
//! ```
//! Four laws (`reference/style.md` 7.4): StepStarted is durable before the step's first byte, StepFinished before the next
//! StepStarted; every wait is a select over the work, its deadline and the stop; permits are taken in one order; a soft stop
//! lets the step finish, a hard one lets go and records Interrupted, never Failed.
//!
//! Never here: printing, SQL, russh, choosing steps. To add a step kind: its file in `steps`, its arm in `host_task`.

mod ask;
mod become_root;
pub mod bucket;
pub mod cancel;
pub mod check;
pub mod clock;
pub mod collect;
mod crew;
mod dispatcher;
pub mod gateways;
mod halt;
mod host_keys;
mod host_task;
mod inbox;
mod job_run;
pub mod journal;
mod keep;
pub mod limits;
pub mod manual;
mod measure;
mod orders;
mod payload;
pub mod progress;
mod renewed;
pub mod retry;
mod settling;
mod steps;
mod stopwatch;
mod talk;
mod terminate;
mod vault;
mod way_back;
mod windows;

use std::sync::Arc;

use tokio::sync::Semaphore;
use tokio_util::task::TaskTracker;

use crate::domain::Timestamp;
use crate::domain::id::JobId;
use crate::domain::package::Role;
use crate::domain::site::Site;
use crate::packages::PackageSource;
use crate::store::{Lease, Store, StoreError};
use crate::transport::{HostKeys, Transport};
use cancel::Stop;
use clock::Clock;
use gateways::Gateways;
use gateways::roster::MakeGateways;
use host_keys::RecordedKeys;
use journal::{Journal, JournalError};
use limits::Limits;
use progress::{Board, Progress};
use steps::connect::Ways;

/// Logs that are fetched from hosts at once: each is up to 16 MiB, a few times over until it is answered.
const COLLECTING: usize = 4;

/// Makes the transport once the engine can give it the record's host keys.
pub type MakeTransport = Box<dyn FnOnce(Arc<dyn HostKeys>) -> Arc<dyn Transport> + Send>;

/// What an engine is made of.
pub struct Parts {
    /// The job record.
    pub store: Arc<dyn Store>,
    /// Where packages are.
    pub packages: Arc<dyn PackageSource>,
    /// The site.
    pub site: Arc<Site>,
    /// What time it is.
    pub clock: Arc<dyn Clock>,
    /// The way to hosts.
    pub transport: MakeTransport,
    /// What it may lead through.
    pub gateways: MakeGateways,
    /// Hosts of these clouds are worked on; none given: of all.
    pub clouds: Vec<i64>,
}

/// Works on jobs in this process.
pub struct Engine {
    store: Arc<dyn Store>,
    packages: Arc<dyn PackageSource>,
    site: Arc<Site>,
    clock: Arc<dyn Clock>,
    transport: Arc<dyn Transport>,
    limits: Arc<Limits>,
    gateways: Arc<Gateways>,
    clouds: Arc<[i64]>,
    journal: Journal,
    board: Board,
    /// Places for those who fetch a log from a host.
    collecting: Semaphore,
    /// Archives that hosts fetch by themselves.
    shelf: manual::Shelf,
}

/// How a run of a job ended for this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// Every host ended.
    Finished,
    /// It was stopped; `resume` goes on.
    Interrupted,
    /// Nothing is left for this process; other executors work on the rest.
    Elsewhere,
}

/// A run of a job could not go on.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The record failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The record failed while it was written.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The journal contradicts itself.
    #[error("the journal of job {0} contradicts itself")]
    Corrupt(JobId, #[source] crate::domain::state::IllegalEvent),
}

impl Engine {
    /// Joins the parts and starts the journal. Needs a running runtime.
    #[must_use]
    pub fn new(parts: Parts) -> Self {
        let Parts { store, packages, site, clock, transport, gateways, clouds } = parts;
        let limits = Arc::new(Limits::new(&site.limits));
        let journal = Journal::start(store.clone(), limits.clone(), &TaskTracker::new());
        let keys = RecordedKeys { store: store.clone(), journal: journal.clone(), clock: clock.clone() };
        Self {
            limits,
            clouds: clouds.into(),
            gateways: Arc::new(Gateways::new(gateways, site.limits.gateway_mb_per_s)),
            transport: transport(Arc::new(keys)),
            journal,
            board: Board::default(),
            collecting: Semaphore::new(COLLECTING),
            shelf: manual::Shelf::default(),
            store,
            packages,
            site,
            clock,
        }
    }

    /// Works on a held job until every host ended, nothing is left for this process, or `stop` made it let go.
    ///
    /// # Errors
    /// When the record fails. Hosts that were being worked on are taken up by the next run.
    pub async fn run(&self, job: JobId, lease: &dyn Lease, stop: Stop) -> Result<Ended, EngineError> {
        dispatcher::run(self, job, lease, stop).await
    }

    /// What time it is.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// The clouds whose hosts it works on; none: all.
    #[must_use]
    pub fn clouds(&self) -> &[i64] {
        &self.clouds
    }

    /// The ways to hosts of that role.
    fn ways(&self, role: Role) -> Ways<'_> {
        Ways {
            transport: &self.transport,
            limits: &self.limits,
            site: &self.site,
            gateways: &self.gateways,
            store: &self.store,
            accepts_new_key: false,
            role,
        }
    }

    /// What the running hosts are sending right now.
    #[must_use]
    pub fn progress(&self) -> Vec<Progress> {
        self.board.snapshot()
    }
}
