//! One job: takes its unfinished hosts, starts as many as the limits allow, and closes the job when the last one ended.
//!
//! ```text
//! claim ─► queue ──permit──► host task ─► outcome          orders: a cancel empties the queue and ends what runs,
//!   ▲                                        │                     a retry claims the hosts that were opened again
//!   └──── opened again meanwhile? ◄── close ◄┘
//! ```

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use futures_util::StreamExt;
use tokio::sync::OwnedSemaphorePermit;
use tokio::task::{Id, JoinError, JoinSet};

use super::cancel::Stop;
use super::host_task::{HostTask, JobRun, Left};
use super::journal::JournalError;
use super::orders::Orders;
use super::payload::Payloads;
use super::{Ended, Engine, EngineError, bucket::Bucket};
use crate::domain::event::{Event, EventKind};
use crate::domain::failure::{Code, Failure};
use crate::domain::id::{JobId, Seq, TaskId};
use crate::domain::job::Status;
use crate::domain::outcome::Outcome;
use crate::domain::record::HostRecord;
use crate::store::{Asked, Claim, TaskRow, Write};

/// Events read at a time when a job is taken up again.
const PAGE: u32 = 5_000;

/// Outcomes written at once when hosts end that were never begun: as many as share a transaction.
const TOGETHER: usize = 500;

pub(super) async fn run(engine: &Engine, job: JobId, stop: Stop) -> Result<Ended, EngineError> {
    let Some(row) = engine.store.job(job).await? else { return Ok(Ended::Finished) };
    let context = Arc::new(JobRun {
        job,
        spec: row.spec.clone(),
        payloads: Payloads::new(engine.packages.clone()),
        bandwidth: Bucket::new(row.spec.upload_mb_per_s),
        store: engine.store.clone(),
        journal: engine.journal.clone(),
        transport: engine.transport.clone(),
        limits: engine.limits.clone(),
        board: engine.board.clone(),
        clock: engine.clock.clone(),
        site: engine.site.clone(),
        stop,
    });
    let mut orders = Orders::watch(engine.store.clone(), job).await?;
    let mut crew = Crew::new(context);
    crew.obey(orders.now()).await?;
    loop {
        crew.enlist().await?;
        crew.work(&mut orders).await?;
        if let Some(trouble) = crew.trouble {
            return Err(trouble);
        }
        match close(engine, job).await? {
            // Opened again between the last look and the end.
            Closing::Unfinished if !crew.is_stopped() && !crew.fenced => {}
            Closing::Unfinished => return Ok(Ended::Interrupted),
            Closing::Finished => return Ok(Ended::Finished),
        }
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

enum Closing {
    Finished,
    Unfinished,
}

/// Writes JobFinished when nothing is left to do.
async fn close(engine: &Engine, job: JobId) -> Result<Closing, EngineError> {
    let tasks = engine.store.tasks(job).await?;
    let statuses = || tasks.iter().map(|task| task.status);
    if statuses().any(|status| matches!(status, Status::Pending | Status::Running)) {
        return Ok(Closing::Unfinished);
    }
    if engine.store.job(job).await?.is_some_and(|row| row.finished_at.is_some()) {
        return Ok(Closing::Finished);
    }
    let cancelled = engine.store.asked(job).await?.cancel && statuses().any(|status| status == Status::Terminated);
    let status = if cancelled { Status::Terminated } else { Status::fold(statuses()) };
    let write = Write::Job { job, at: engine.now(), events: vec![EventKind::JobFinished { status }] };
    match engine.journal.write(write).await {
        Ok(()) => {}
        Err(JournalError::Stale) => return Ok(Closing::Unfinished),
        Err(error) => return Err(error.into()),
    }
    engine.store.purge_credentials(engine.now()).await?;
    Ok(Closing::Finished)
}

/// The host tasks of a job that this process has.
struct Crew {
    context: Arc<JobRun>,
    queue: VecDeque<(TaskRow, HostRecord)>,
    running: JoinSet<Result<(), Left>>,
    claims: HashMap<Id, Claim>,
    trouble: Option<EngineError>,
    /// Somebody else has one of the hosts now.
    fenced: bool,
}

impl Crew {
    fn new(context: Arc<JobRun>) -> Self {
        let (queue, running, claims) = (VecDeque::new(), JoinSet::new(), HashMap::new());
        Self { context, queue, running, claims, trouble: None, fenced: false }
    }

    /// Claims the unfinished hosts that it does not have yet.
    async fn enlist(&mut self) -> Result<(), EngineError> {
        let queued = self.queue.iter().map(|(task, _)| task.id);
        let mine: Vec<TaskId> = self.claims.values().map(|claim| claim.task).chain(queued).collect();
        let tasks = self.context.store.claim(self.context.job, &mine).await?;
        if tasks.is_empty() {
            return Ok(());
        }
        let mut records = if mine.is_empty() { records(&self.context).await? } else { records_of(&self.context, &tasks).await? };
        self.queue.extend(tasks.into_iter().map(|task| {
            let record = records.remove(&task.index).unwrap_or_default();
            (task, record)
        }));
        Ok(())
    }

    /// Works until no host is left that it may begin, and none runs.
    async fn work(&mut self, orders: &mut Orders) -> Result<(), EngineError> {
        let (limits, stop) = (self.context.limits.clone(), self.context.stop.clone());
        loop {
            if self.is_stopped() || self.trouble.is_some() {
                self.dismiss().await;
            }
            if self.queue.is_empty() && self.running.is_empty() {
                return Ok(());
            }
            tokio::select! {
                permit = limits.host(), if !self.queue.is_empty() => self.start_next(permit),
                // Reaped while others start: a finished task that nobody joins keeps its memory.
                Some(ended) = self.running.join_next_with_id() => self.ended(ended).await,
                asked = orders.changed() => self.obey(asked).await?,
                () = stop.asked(), if !self.is_stopped() => {}
            }
        }
    }

    fn is_stopped(&self) -> bool {
        self.context.stop.is_asked()
    }

    async fn obey(&mut self, asked: Asked) -> Result<(), EngineError> {
        if asked.cancel {
            self.context.stop.cancel();
            return Ok(());
        }
        if self.is_stopped() { Ok(()) } else { self.enlist().await }
    }

    /// Begins no more hosts. Of a cancelled job those that have nothing running are ended here; the others are still
    /// visited, so that what runs there is ended too.
    async fn dismiss(&mut self) {
        let queue = std::mem::take(&mut self.queue);
        if !self.context.stop.is_cancelled() || self.trouble.is_some() {
            return;
        }
        let (visited, ended): (Vec<_>, Vec<_>) = queue.into_iter().partition(|(_, record)| record.run_in_flight());
        self.queue = visited.into();
        let (job, journal) = (self.context.job, self.context.journal.clone());
        let at = self.context.clock.now();
        let ending = ended.into_iter().map(|(task, record)| {
            let claim = Claim { job, task: task.id, index: task.index, epoch: task.epoch };
            let when = if record.started.is_some() { "between steps" } else { "before it began" };
            let outcome = Outcome::Terminated { why: format!("cancelled {when}") };
            let write = Write::Host { claim, at, events: vec![EventKind::HostFinished { outcome }] };
            let journal = journal.clone();
            async move { journal.write(write).await }
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
        let context = self.context.clone();
        let handle = self.running.spawn(async move {
            let _permit = permit;
            HostTask::new(context, task, claim, record).run().await
        });
        self.claims.insert(handle.id(), claim);
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
                let Some(claim) = self.claims.remove(&error.id()) else { return };
                let failure = Failure::new(Code::Internal, "the host task broke off").because(error);
                let events = vec![EventKind::HostFinished { outcome: Outcome::Failed { failure } }];
                let write = Write::Host { claim, at: self.context.clock.now(), events };
                match self.context.journal.write(write).await {
                    // Stale: the host is somebody else's by now.
                    Ok(()) | Err(JournalError::Stale) => {}
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
