//! The host tasks of a job that this process has: those that wait for a permit and those that run.
//!
//! Never here: when a job is over (the dispatcher's), what a host does (`host_task`).

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use tokio::sync::OwnedSemaphorePermit;
use tokio::task::{Id, JoinError, JoinSet};
use tokio::time::{Interval, MissedTickBehavior};

use super::EngineError;
use super::cancel::HostStop;
use super::host_task::{HostTask, Left};
use super::job_run::JobRun;
use super::journal::JournalError;
use super::orders::Orders;
use crate::domain::event::{Event, EventKind};
use crate::domain::failure::{Code, Failure};
use crate::domain::id::{JobId, Seq, TaskId};
use crate::domain::outcome::Outcome;
use crate::domain::record::HostRecord;
use crate::meters;
use crate::store::{Asked, Claim, Lease, Take, TaskRow, Which, Write};

/// Events read at a time when a job is taken up again.
const PAGE: u32 = 5_000;
/// Outcomes written at once when hosts end that were never begun: as many as share a transaction.
const TOGETHER: usize = 500;
/// Hosts claimed at a time, at most, where others work on the job too: enough that a claim is no cost, few enough that the
/// others get their part.
const PIECE: usize = 32;
/// Of so many hosts that an executor may have in flight, one more may be claimed and wait then: the next one begins without a
/// claim of its own, and yet nobody keeps many hosts that another could begin.
const PER_WAITING: usize = 8;
/// Shortest pause between two looks for hosts of executors that died.
const LOOK: Duration = Duration::from_millis(200);

/// The host tasks of a job that this process has.
pub(super) struct Crew<'a> {
    context: Arc<JobRun>,
    lease: &'a dyn Lease,
    queue: VecDeque<(TaskRow, HostRecord)>,
    running: JoinSet<Result<(), Left>>,
    claims: HashMap<Id, (Claim, HostStop)>,
    /// The last claim was a full piece: there may be more.
    more: bool,
    pub(super) trouble: Option<EngineError>,
    /// Somebody else has one of the hosts now.
    pub(super) fenced: bool,
}

impl<'a> Crew<'a> {
    pub(super) fn new(context: Arc<JobRun>, lease: &'a dyn Lease) -> Self {
        let (queue, running, claims) = (VecDeque::new(), JoinSet::new(), HashMap::new());
        Self { context, lease, queue, running, claims, more: false, trouble: None, fenced: false }
    }

    /// Claims hosts that nobody works on: all of them, or the next few where others share the job. How many.
    pub(super) async fn enlist(&mut self) -> Result<usize, EngineError> {
        if !self.lease.is_shared() {
            return self.claim(Which::All).await;
        }
        let wanted = self.wanted();
        if wanted == 0 {
            return Ok(0);
        }
        let enlisted = self.claim(Which::Next(u32::try_from(wanted).unwrap_or(u32::MAX))).await?;
        self.more = enlisted == wanted;
        Ok(enlisted)
    }

    /// Hosts that may wait for a permit where others could begin them.
    fn waiting(&self) -> usize {
        self.context.site.limits.concurrency / PER_WAITING
    }

    /// How many hosts to claim now. Whoever has none takes one, also while other jobs have all permits: he would else leave a
    /// job that has work, and be called back to it at once.
    fn wanted(&self) -> usize {
        let least = usize::from(self.queue.is_empty() && self.running.is_empty());
        (self.context.limits.free_hosts() + self.waiting()).saturating_sub(self.queue.len()).clamp(least, PIECE)
    }

    async fn claim(&mut self, which: Which) -> Result<usize, EngineError> {
        let queued = self.queue.iter().map(|(task, _)| task.id);
        let mine: Vec<TaskId> = self.claims.values().map(|(claim, _)| claim.task).chain(queued).collect();
        let (job, clouds) = (self.context.job, &*self.context.clouds);
        let take = Take { job, owner: self.lease.owner(), mine: &mine, which, clouds };
        let tasks = self.context.store.claim(take).await?;
        if tasks.is_empty() {
            return Ok(0);
        }
        let whole = mine.is_empty() && which == Which::All;
        let mut records = if whole { records(&self.context).await? } else { records_of(&self.context, &tasks).await? };
        let enlisted = tasks.len();
        self.queue.extend(tasks.into_iter().map(|task| {
            let record = records.remove(&task.index).unwrap_or_default();
            (task, record)
        }));
        Ok(enlisted)
    }

    /// Works until no host is left that it may begin, and none runs.
    pub(super) async fn work(&mut self, orders: &mut Orders) -> Result<(), EngineError> {
        let (limits, stop) = (self.context.limits.clone(), self.context.stop.clone());
        let mut look = self.look();
        loop {
            if self.is_stopped() || self.trouble.is_some() {
                self.dismiss().await;
            } else if self.more && self.queue.len() <= self.waiting() / 4 {
                self.enlist().await?;
            }
            if self.queue.is_empty() && self.running.is_empty() {
                return Ok(());
            }
            tokio::select! {
                permit = limits.host(), if !self.queue.is_empty() => self.start_next(permit),
                // Reaped while others start: a finished task that nobody joins keeps its memory.
                Some(ended) = self.running.join_next_with_id() => self.ended(ended).await,
                asked = orders.changed() => self.obey(asked).await?,
                // Hosts of an executor that died are free when its hold ends; nothing tells.
                _ = look.tick(), if self.may_look() => drop(self.enlist().await?),
                () = stop.asked(), if !self.is_stopped() => {}
            }
        }
    }

    fn look(&self) -> Interval {
        let mut look = tokio::time::interval((self.context.store.patience() / 10).max(LOOK));
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        // The first tick is due at once, and the claim was just now.
        look.reset();
        look
    }

    fn may_look(&self) -> bool {
        self.lease.is_shared() && self.queue.is_empty() && !self.is_stopped() && self.trouble.is_none()
    }

    pub(super) fn is_stopped(&self) -> bool {
        self.context.stop.is_asked()
    }

    /// Does what is asked of the job. Hosts to be cancelled are claimed for that, whoever had them, when he is dead.
    pub(super) async fn obey(&mut self, asked: Asked) -> Result<(), EngineError> {
        if asked.count == 0 || self.is_stopped() && !self.context.stop.is_cancelled() {
            return Ok(());
        }
        self.claim(Which::Cancelled).await?;
        if asked.cancel {
            self.context.stop.cancel();
            return Ok(());
        }
        let cancelled = self.context.store.cancelled(self.context.job).await?;
        self.claims.values().filter(|(claim, _)| cancelled.contains(&claim.task)).for_each(|(_, stop)| stop.cancel());
        let queue = std::mem::take(&mut self.queue);
        let (ending, waiting): (Vec<_>, Vec<_>) = queue.into_iter().partition(|(task, _)| cancelled.contains(&task.id));
        self.queue = waiting.into();
        self.end_unbegun(ending).await;
        if !self.is_stopped() {
            self.enlist().await?;
        }
        Ok(())
    }

    /// Begins no more hosts. Of a cancelled job those that have nothing running are ended here; the others are still
    /// visited, so that what runs there is ended too.
    async fn dismiss(&mut self) {
        let queue = std::mem::take(&mut self.queue);
        if self.context.stop.is_cancelled() && self.trouble.is_none() {
            self.end_unbegun(queue.into()).await;
        }
    }

    /// Ends cancelled hosts that have nothing running; the others go to the front of the queue.
    async fn end_unbegun(&mut self, cancelled: Vec<(TaskRow, HostRecord)>) {
        let (visited, ended): (Vec<_>, Vec<_>) =
            cancelled.into_iter().partition(|(_, record)| record.run_in_flight() || record.is_half_upgraded());
        visited.into_iter().rev().for_each(|host| self.queue.push_front(host));
        let (job, journal) = (self.context.job, self.context.journal.clone());
        let (kind, at) = (self.context.spec.kind, self.context.clock.now());
        let ending = ended.into_iter().map(|(task, record)| {
            let claim = Claim { job, task: task.id, index: task.index, epoch: task.epoch };
            let when = if record.started.is_some() { "between steps" } else { "before it began" };
            let outcome = Outcome::Terminated { why: format!("cancelled {when}") };
            let write = Write::Host { claim, at, events: vec![EventKind::HostFinished { outcome: outcome.clone() }] };
            let journal = journal.clone();
            async move { journal.write(write).await.inspect(|()| meters::host_finished(kind, &outcome)) }
        });
        let written: Vec<Result<(), JournalError>> =
            futures_util::stream::iter(ending).buffer_unordered(TOGETHER).collect().await;
        for error in written.into_iter().filter_map(Result::err) {
            match error {
                JournalError::Stale => self.fenced = true,
                error @ JournalError::Failed(_) => self.broken(error),
            }
        }
    }

    fn start_next(&mut self, permit: Option<OwnedSemaphorePermit>) {
        let Some((task, record)) = self.queue.pop_front() else { return };
        let claim = Claim { job: self.context.job, task: task.id, index: task.index, epoch: task.epoch };
        let (context, stop) = (self.context.clone(), HostStop::new(self.context.stop.clone()));
        if task.cancel_asked {
            stop.cancel();
        }
        let own = stop.clone();
        let handle =
            self.running.spawn(async move { HostTask::new(context, (task, claim), record, own).in_place(permit).run().await });
        self.claims.insert(handle.id(), (claim, stop));
    }

    async fn ended(&mut self, ended: Result<(Id, Result<(), Left>), JoinError>) {
        match ended {
            Ok((id, result)) => {
                self.claims.remove(&id);
                match result {
                    Ok(()) => {}
                    Err(Left::Fenced) => self.fenced = true,
                    Err(Left::Journal(error)) => self.broken(error),
                }
            }
            // Let go because the record failed: the next run takes the host up.
            Err(error) if error.is_cancelled() => {
                self.claims.remove(&error.id());
            }
            // One host's fault of ours must not take the others down, nor go unrecorded.
            Err(error) => {
                let Some((claim, _)) = self.claims.remove(&error.id()) else { return };
                let failure = Failure::new(Code::Internal, "the host task broke off").because(error);
                let outcome = Outcome::Failed { failure };
                let events = vec![EventKind::HostFinished { outcome: outcome.clone() }];
                let write = Write::Host { claim, at: self.context.clock.now(), events };
                match self.context.journal.write(write).await {
                    Ok(()) => meters::host_finished(self.context.spec.kind, &outcome),
                    // The host is somebody else's by now.
                    Err(JournalError::Stale) => {}
                    Err(error) => self.broken(error),
                }
            }
        }
    }

    /// The record failed: nothing more can be recorded, so every host is let go at once. What runs on them goes on by itself.
    fn broken(&mut self, error: JournalError) {
        self.trouble.get_or_insert(error.into());
        self.running.abort_all();
    }
}

/// The journals of hosts, folded, by position in the request.
type Records = HashMap<u32, HostRecord>;

/// Those of all hosts of the job, page by page: at its begin every host is wanted.
async fn records(context: &JobRun) -> Result<Records, EngineError> {
    let mut records = Records::new();
    let mut after = Seq(0);
    loop {
        let events = context.store.events(context.job, after, PAGE).await?;
        let Some(last) = events.last() else { return Ok(records) };
        after = last.seq;
        fold(context.job, &mut records, &events)?;
    }
}

/// Those of a few: the hosts that run meanwhile must not wait until a large journal was read.
async fn records_of(context: &JobRun, tasks: &[TaskRow]) -> Result<Records, EngineError> {
    let indexes: Vec<u32> = tasks.iter().map(|task| task.index).collect();
    let mut records = Records::new();
    fold(context.job, &mut records, &context.store.host_events(context.job, &indexes).await?)?;
    Ok(records)
}

fn fold(job: JobId, records: &mut Records, events: &[Event]) -> Result<(), EngineError> {
    for event in events {
        if let Some(index) = event.host_index {
            let record = records.entry(index).or_default();
            record.apply(&event.kind, event.at).map_err(|error| EngineError::Corrupt(job, error))?;
        }
    }
    Ok(())
}
