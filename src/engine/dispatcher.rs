//! One job: takes its unfinished hosts, starts as many as the limits allow, and closes the job when the last one ended.

use std::collections::HashMap;
use std::sync::Arc;

use tokio::task::{Id, JoinError, JoinSet};

use super::cancel::Stop;
use super::host_task::{HostTask, JobRun, Left};
use super::journal::JournalError;
use super::payload::Payloads;
use super::{Ended, Engine, EngineError, bucket::Bucket};
use crate::domain::event::EventKind;
use crate::domain::failure::{Code, Failure};
use crate::domain::id::{JobId, Seq};
use crate::domain::job::Status;
use crate::domain::outcome::Outcome;
use crate::domain::record::HostRecord;
use crate::store::{Claim, TaskRow, Write};

/// Events read at a time when a job is taken up again.
const PAGE: u32 = 5_000;

pub(super) async fn run(engine: &Engine, job: JobId, stop: Stop) -> Result<Ended, EngineError> {
    let Some(row) = engine.store.job(job).await? else { return Ok(Ended::Finished) };
    let tasks = engine.store.claim(job).await?;
    let mut records = records(engine, job).await?;
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
    let mut crew = Crew { context: context.clone(), running: JoinSet::new(), claims: HashMap::new(), trouble: None };
    for task in tasks {
        let record = records.remove(&task.index).unwrap_or_default();
        if !crew.start(task, record).await {
            break;
        }
    }
    while crew.reap().await {}
    if let Some(trouble) = crew.trouble {
        return Err(trouble);
    }
    close(engine, job).await
}

/// The journals of the job's hosts, folded.
async fn records(engine: &Engine, job: JobId) -> Result<HashMap<u32, HostRecord>, EngineError> {
    let mut records: HashMap<u32, HostRecord> = HashMap::new();
    let mut after = Seq(0);
    loop {
        let events = engine.store.events(job, after, PAGE).await?;
        let Some(last) = events.last() else { return Ok(records) };
        after = last.seq;
        for event in &events {
            if let Some(index) = event.host_index {
                records
                    .entry(index)
                    .or_default()
                    .apply(&event.kind, event.at)
                    .map_err(|error| EngineError::Corrupt(job, error))?;
            }
        }
    }
}

/// Writes JobFinished when nothing is left to do.
async fn close(engine: &Engine, job: JobId) -> Result<Ended, EngineError> {
    let tasks = engine.store.tasks(job).await?;
    if tasks.iter().any(|task| matches!(task.status, Status::Pending | Status::Running)) {
        return Ok(Ended::Interrupted);
    }
    let finished = engine.store.job(job).await?.is_some_and(|row| row.finished_at.is_some());
    if !finished {
        let status = Status::fold(tasks.iter().map(|task| task.status));
        let write = Write::Job { job, at: engine.now(), events: vec![EventKind::JobFinished { status }] };
        engine.journal.write(write).await?;
        engine.store.purge_credentials(engine.now()).await?;
    }
    Ok(Ended::Finished)
}

/// The host tasks in flight.
struct Crew {
    context: Arc<JobRun>,
    running: JoinSet<Result<(), Left>>,
    claims: HashMap<Id, Claim>,
    trouble: Option<EngineError>,
}

impl Crew {
    /// Starts a host as soon as there is a place for it; false when no more are to be started.
    async fn start(&mut self, task: TaskRow, record: HostRecord) -> bool {
        let (limits, stop) = (self.context.limits.clone(), self.context.stop.clone());
        let permit = loop {
            if self.trouble.is_some() || stop.is_asked() {
                return false;
            }
            tokio::select! {
                permit = limits.host() => break permit,
                () = stop.asked() => return false,
                // Reaped while others start: a finished task that nobody joins keeps its memory.
                Some(ended) = self.running.join_next_with_id() => self.ended(ended).await,
            }
        };
        let claim = Claim { job: self.context.job, task: task.id, index: task.index, epoch: task.epoch };
        let context = self.context.clone();
        let handle = self.running.spawn(async move {
            let _permit = permit;
            HostTask::new(context, task, claim, record).run().await
        });
        self.claims.insert(handle.id(), claim);
        true
    }

    /// Waits for the next host that ends; false when none is left.
    async fn reap(&mut self) -> bool {
        let Some(ended) = self.running.join_next_with_id().await else { return false };
        self.ended(ended).await;
        true
    }

    async fn ended(&mut self, ended: Result<(Id, Result<(), Left>), JoinError>) {
        match ended {
            Ok((id, result)) => {
                self.claims.remove(&id);
                if let Err(Left::Journal(error)) = result {
                    self.broken(error);
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
