//! The jobs that a process works on in the background: those it is given, and those of `serve` that nobody works on.
//!
//! ```text
//! take_up(job) ─► join ─► Service::run ─► ended ─► let go        look (when there are news, and now and then):
//!      ▲            └─ somebody has it for himself ─► let him     jobs of `serve` with something to do are taken up
//!      └──────────────── opened again meanwhile? ◄┘               a stop: each job's own, then wait for all
//! ```
//! Where the record is shared, other executors work on the same jobs; each takes the hosts that it can begin.
//! The limits of hosts in flight are the engine's, so however many jobs there are, no more hosts are worked on at once.
//!
//! Never here: what a job does (the engine's), signals (`lifecycle`).

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::{MissedTickBehavior, sleep};
use tokio_util::task::TaskTracker;

use super::{Service, ServiceError, Stop};
use crate::domain::id::JobId;
use crate::engine::Ended;
use crate::store::StoreError;
use crate::store::news::{News, Topic};

/// A job that cannot be worked on is left alone for so long.
const BROKEN: Duration = Duration::from_secs(15);
/// Pause after a look that failed.
const PAUSE: Duration = Duration::from_secs(1);
/// Between two purges of credentials and keys whose time has come (DESIGN 11).
const PURGE: Duration = Duration::from_secs(3600);
/// A host that is let go of has that long to say so in the record.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// The jobs that this process works on.
#[derive(Clone)]
pub struct Shift {
    service: Service,
    stop: Stop,
    jobs: Arc<Mutex<HashMap<JobId, Stop>>>,
    tracker: TaskTracker,
}

impl Shift {
    /// Nothing to do yet.
    #[must_use]
    pub fn new(service: Service, stop: Stop) -> Self {
        Self { service, stop, jobs: Arc::default(), tracker: TaskTracker::new() }
    }

    /// Works on a job from now on, unless this process or another one does, or the shift is over.
    pub fn take_up(&self, job: JobId) {
        if let Some(stop) = self.enter(job) {
            let shift = self.clone();
            self.tracker.spawn(async move { shift.work(job, stop).await });
        }
    }

    /// Takes up what is left over, again and again, until the stop; then sees that everything is let go of properly.
    pub async fn run(&self) {
        let mut news = self.service.store.news();
        let mut purge = tokio::time::interval(PURGE);
        purge.set_missed_tick_behavior(MissedTickBehavior::Delay);
        // What was left over before this process began.
        let mut done = self.look().await;
        loop {
            if let Err(error) = &done {
                tracing::warn!(%error, "cannot look after the job record");
                sleep(PAUSE).await;
            }
            done = tokio::select! {
                () = self.stop.asked() => break,
                () = self.something_to_do(&mut news) => self.look().await,
                _ = purge.tick() => self.sweep().await,
            };
        }
        self.each(|stop| stop.soft(self.stop.reason()));
        self.tracker.close();
        tokio::select! {
            () = self.tracker.wait() => return,
            () = self.stop.over() => self.each(|stop| stop.hard(self.stop.reason())),
        }
        if tokio::time::timeout(LAST_WORDS, self.tracker.wait()).await.is_err() {
            tracing::warn!("some hosts were let go of without a word in the record");
        }
    }

    /// Takes away what is not to be kept any longer.
    async fn sweep(&self) -> Result<(), ServiceError> {
        self.service.purge_credentials().await?;
        self.service.purge_keys().await?;
        Ok(())
    }

    /// Waits for news, or until a hold of somebody who died may have ended: nothing tells that.
    async fn something_to_do(&self, news: &mut News) {
        let patience = self.service.patience();
        let look = if patience.is_zero() { news.period() } else { patience / 10 };
        tokio::select! {
            () = news.next(Topic::calls) => {}
            () = sleep(look) => {}
        }
    }

    async fn look(&self) -> Result<(), ServiceError> {
        for job in self.service.store.left_over(self.service.engine.clouds()).await? {
            self.take_up(job);
        }
        Ok(())
    }

    fn each(&self, tell: impl Fn(&Stop)) {
        self.lock().values().for_each(tell);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<JobId, Stop>> {
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The job's own stop; `None` when it is worked on already, or nothing is begun any more.
    fn enter(&self, job: JobId) -> Option<Stop> {
        let mut jobs = self.lock();
        // Asked under the lock: whoever tells all jobs to stop has it after that.
        if self.stop.is_asked() {
            return None;
        }
        match jobs.entry(job) {
            Entry::Occupied(_) => None,
            Entry::Vacant(place) => Some(place.insert(Stop::new()).clone()),
        }
    }

    async fn work(&self, job: JobId, mut stop: Stop) {
        loop {
            let worked = self.work_once(job, stop).await;
            if let Err(error) = &worked {
                tracing::error!(%job, error = error as &dyn std::error::Error, "cannot work on a job");
                // Looks come several times a second, and nothing is better by the next one.
                tokio::select! {
                    () = sleep(BROKEN) => {}
                    () = self.stop.asked() => {}
                }
            }
            self.lock().remove(&job);
            match worked {
                Ok(Some(Ended::Finished)) => {}
                // The next look takes it up again, when there is something to do.
                Ok(Some(Ended::Elsewhere | Ended::Interrupted) | None) | Err(_) => return,
            }
            // A host that was opened again after the last look, by somebody who saw the job here still.
            match self.service.is_finished(job).await {
                Ok(false) => match self.enter(job) {
                    Some(again) => stop = again,
                    None => return,
                },
                Ok(true) | Err(_) => return,
            }
        }
    }

    /// `None` when another process has the job for itself.
    async fn work_once(&self, job: JobId, stop: Stop) -> Result<Option<Ended>, ServiceError> {
        match self.service.store.join(job).await {
            Ok(lease) => self.service.run(job, lease, stop).await.map(Some),
            Err(StoreError::Held { pid, .. }) => {
                tracing::debug!(%job, pid, "another process works on it");
                Ok(None)
            }
            Err(error) => Err(error.into()),
        }
    }
}

impl Service {
    /// Removes the credentials whose time has come; how many.
    ///
    /// # Errors
    /// When the record fails.
    pub async fn purge_credentials(&self) -> Result<u64, ServiceError> {
        self.purge_at(self.now()).await
    }
}
