//! One job: takes its unfinished hosts, starts as many as the limits allow, and closes the job when the last one ended.
//!
//! ```text
//! claim ─► queue ──permit──► host task ─► outcome          orders: a cancel ends what runs and what waits,
//!   ▲                                        │                     a retry claims the hosts that were opened again
//!   └──── opened again meanwhile? ◄── close ◄┘
//! ```
//! Where executors share a job, each claims a few hosts at a time, as it can begin them; one that finds nothing more to claim
//! leaves, and whoever has the last host closes the job.
//!
//! Never here: the hosts that this process has (`crew`).

use std::sync::Arc;

use super::cancel::Stop;
use super::crew::Crew;
use super::job_run::JobRun;
use super::journal::JournalError;
use super::orders::Orders;
use super::payload::Payloads;
use super::{Ended, Engine, EngineError, bucket::Bucket};
use crate::domain::event::EventKind;
use crate::domain::id::JobId;
use crate::domain::job::Status;
use crate::meters;
use crate::store::{Lease, Write};

pub(super) async fn run(engine: &Engine, job: JobId, lease: &dyn Lease, stop: Stop) -> Result<Ended, EngineError> {
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
        gateways: engine.gateways.clone(),
        clouds: engine.clouds.clone(),
        board: engine.board.clone(),
        clock: engine.clock.clone(),
        site: engine.site.clone(),
        stop,
    });
    let mut orders = Orders::watch(engine.store.clone(), job).await?;
    let mut crew = Crew::new(context, lease);
    crew.obey(orders.now()).await?;
    loop {
        let enlisted = crew.enlist().await?;
        crew.work(&mut orders).await?;
        if let Some(trouble) = crew.trouble {
            return Err(trouble);
        }
        match close(engine, job).await? {
            Closing::Finished => return Ok(Ended::Finished),
            Closing::Unfinished if crew.is_stopped() || crew.fenced => return Ok(Ended::Interrupted),
            // Opened again between the last look and the end, or left by another executor.
            Closing::Unfinished if enlisted > 0 => {}
            Closing::Unfinished => return Ok(Ended::Elsewhere),
        }
    }
}

pub(super) enum Closing {
    Finished,
    Unfinished,
}

/// Writes JobFinished when nothing is left to do.
pub(super) async fn close(engine: &Engine, job: JobId) -> Result<Closing, EngineError> {
    let Some(row) = engine.store.job(job).await? else { return Ok(Closing::Finished) };
    if row.statistics.pending_count + row.statistics.running_count > 0 {
        return Ok(Closing::Unfinished);
    }
    if row.finished_at.is_some() {
        return Ok(Closing::Finished);
    }
    let tasks = engine.store.tasks(job).await?;
    let statuses = || tasks.iter().map(|task| task.status);
    let cancelled = engine.store.asked(job).await?.cancel && statuses().any(|status| status == Status::Terminated);
    let status = if cancelled { Status::Terminated } else { Status::fold(statuses()) };
    let write = Write::Job { job, at: engine.now(), events: vec![EventKind::JobFinished { status }] };
    match engine.journal.write(write).await {
        Ok(()) => meters::job_finished(row.spec.kind, status),
        // A host was opened again, or another executor was first.
        Err(JournalError::Stale) => {
            let row = engine.store.job(job).await?;
            let ended = row.is_none_or(|row| row.finished_at.is_some());
            return Ok(if ended { Closing::Finished } else { Closing::Unfinished });
        }
        Err(error) => return Err(error.into()),
    }
    engine.store.purge_credentials(engine.now()).await?;
    Ok(Closing::Finished)
}
