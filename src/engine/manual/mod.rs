//! Hosts that a person installs (`is_manual`): nobody logs in. A script that the person fetched and runs there asks for its
//! plan, does the steps, and tells how each went; the record fills as it does over SSH.
//!
//! ```text
//!  one-time token ──spent, once──► begin    HostStarted, AttemptStarted          (the claim that spending raised appends)
//!  facts of the probe ───────────► settle   probe begins and ends, PlanSettled   ─► sheet: what the script needs to know
//!  START step ───────────────────► report   StepStarted
//!  lines of the run's log ───────►          output of run_script
//!  DONE | FAILED step ───────────►          StepFinished; register is done here; after the last step HostFinished
//!  nothing ──────────────────────► sweep    `manual_expired`, or Unknown while a script may run there
//! ```
//! Who has the host: whoever fetched the script last. Spending a token raises the epoch, so what an earlier script still
//! sends is refused as stale; no executor ever claims the host. Each request that appends raises it again, and reads the journal
//! after that: what two requests of one script do at the same time never contradicts. The same script may be begun again: steps that are done stay
//! done, a run that was started is found again by its id. A cancel is told to the script with the next answer, and it ends
//! what it started. Two differences to SSH: the probe has been made when its StepStarted is written (it changes nothing), and
//! no step is tried again by itself: the person is there.
//!
//! Never here: tokens (the service's), HTTP. To let another step be done by hand: what it tells in `words`, its function in
//! `scripts/unix/manual.sh`, and its part of `scripts/windows/manual.bat`.

mod batch;
mod report;
mod sheet;
mod sweep;
mod words;

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;

use super::dispatcher;
use super::journal::JournalError;
use super::payload::Payloads;
use super::settling::{self, Wanted};
use super::{Engine, EngineError};
use crate::domain::event::{EventKind, Figures};
use crate::domain::facts::Facts;
use crate::domain::failure::{Code, Failure};
use crate::domain::host::Os;
use crate::domain::id::{JobId, RunId};
use crate::domain::outcome::{Outcome, StepOutcome};
use crate::domain::plan::{Plan, Privilege, StepKind};
use crate::domain::record::HostRecord;
use crate::domain::state::HostState;
use crate::meters;
use crate::plan::by_hand;
use crate::store::{Claim, JobRow, StoreError, TaskRow, Write};

pub use report::{Entry, Report, Told};
pub use sheet::{Part, Piece};

/// Jobs whose archives are kept in memory at once: each is a package, and hosts of one job come about the same time.
const SHELF: usize = 4;

/// A visit of a script came to nothing.
#[derive(Debug, thiserror::Error)]
pub enum ManualError {
    /// The record or the packages failed.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// Somebody else has the host now, or it has ended.
    #[error("another script has the host, or it has ended")]
    Over,
    /// It asks for, or tells, what cannot be now.
    #[error("{0}")]
    OutOfTurn(String),
    /// What was asked for cannot be made.
    #[error(transparent)]
    Failed(#[from] Failure),
}

impl From<StoreError> for ManualError {
    fn from(error: StoreError) -> Self {
        Self::Engine(error.into())
    }
}

/// Archives of the jobs whose hosts came last.
#[derive(Default)]
pub(super) struct Shelf(Mutex<VecDeque<(JobId, Arc<Payloads>)>>);

impl Shelf {
    fn of(&self, job: JobId, new: impl FnOnce() -> Payloads) -> Arc<Payloads> {
        let mut shelf = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, payloads)) = shelf.iter().find(|(of, _)| *of == job) {
            return payloads.clone();
        }
        if shelf.len() >= SHELF {
            shelf.pop_front();
        }
        let payloads = Arc::new(new());
        shelf.push_back((job, payloads.clone()));
        payloads
    }
}

/// One request of a script, with what is known of its host.
pub struct Visit {
    job: JobRow,
    row: TaskRow,
    claim: Claim,
    record: HostRecord,
    payloads: Arc<Payloads>,
}

/// What comes of the facts.
#[derive(Debug)]
pub enum Settled {
    /// The plan, as the script reads it.
    Sheet(Bytes),
    /// The host task has ended.
    Ended(Outcome),
}

impl Engine {
    /// Reads what there is of a host that a script comes for. Its row is as the record has it now.
    ///
    /// # Errors
    /// When the record fails.
    pub async fn visit(&self, row: TaskRow) -> Result<Visit, ManualError> {
        let job = self.store.job(row.job).await?.ok_or(ManualError::Over)?;
        let mut record = HostRecord::default();
        for event in self.store.host_events(row.job, &[row.index]).await? {
            record.apply(&event.kind, event.at).map_err(|error| EngineError::Corrupt(row.job, error))?;
        }
        let claim = Claim { job: row.job, task: row.id, index: row.index, epoch: row.epoch };
        let payloads = self.shelf.of(row.job, || Payloads::new(self.packages.clone()));
        Ok(Visit { job, row, claim, record, payloads })
    }

    /// The script was fetched: the host task begins, or goes on.
    ///
    /// # Errors
    /// [`ManualError::Over`]; when the record fails.
    pub async fn begin_manual(&self, visit: &mut Visit) -> Result<(), ManualError> {
        let attempt = visit.record.attempts.max(1);
        self.append(visit, vec![EventKind::HostStarted, EventKind::AttemptStarted { attempt }]).await
    }

    /// Settles the plan by what the probe answered, once; afterwards it only says the plan again.
    ///
    /// # Errors
    /// [`ManualError::Over`]; when the record fails.
    pub async fn settle_manual(&self, visit: &mut Visit, answers: &str) -> Result<Settled, ManualError> {
        if visit.record.plan.is_none() {
            let mut events = vec![visit.starts(StepKind::Probe)];
            if visit.is_in(StepKind::Probe) {
                events.clear();
            }
            let attempt = visit.attempt_of(StepKind::Probe);
            let finished = |outcome, figures| EventKind::StepFinished { step: StepKind::Probe, attempt, outcome, figures };
            match visit.settle(answers).await {
                Ok((Some(plan), detail)) => {
                    events.push(EventKind::PlanSettled { plan: Box::new(plan) });
                    events.push(finished(StepOutcome::Done { changed: true }, Figures::detail(detail)));
                    self.append(visit, events).await?;
                }
                Ok((None, _)) => {
                    let why = "no such agent is installed on the host";
                    events.push(finished(StepOutcome::Done { changed: false }, Figures::detail(why)));
                    let outcome = Outcome::Skipped { why: why.into() };
                    return self.end_manual(visit, events, outcome.clone()).await.map(|()| Settled::Ended(outcome));
                }
                Err(failure) => {
                    let failure = failure.at(StepKind::Probe);
                    events.push(finished(StepOutcome::Failed { failure: failure.clone() }, Figures::default()));
                    let outcome = Outcome::Failed { failure };
                    return self.end_manual(visit, events, outcome.clone()).await.map(|()| Settled::Ended(outcome));
                }
            }
        }
        Ok(Settled::Sheet(self.sheet(visit).await?))
    }

    /// Writes events, and then that the host task has ended; of the last one also that the job has.
    async fn end_manual(&self, visit: &mut Visit, mut events: Vec<EventKind>, outcome: Outcome) -> Result<(), ManualError> {
        events.push(EventKind::HostFinished { outcome: outcome.clone() });
        self.append(visit, events).await?;
        meters::host_finished(visit.job.spec.kind, &outcome);
        dispatcher::close(self, visit.row.job).await?;
        Ok(())
    }

    async fn append(&self, visit: &mut Visit, events: Vec<EventKind>) -> Result<(), ManualError> {
        let at = self.now();
        for event in &events {
            visit.record.apply(event, at).map_err(|error| ManualError::OutOfTurn(error.to_string()))?;
        }
        self.write(Write::Host { claim: visit.claim, at, events }).await
    }

    async fn write(&self, write: Write) -> Result<(), ManualError> {
        self.journal.write(write).await.map_err(|error| match error {
            JournalError::Stale => ManualError::Over,
            error @ JournalError::Failed(_) => ManualError::Engine(error.into()),
        })
    }
}

impl Visit {
    /// The system that the script is for.
    #[must_use]
    pub fn os(&self) -> Os {
        by_hand::system(&self.row.spec.host)
    }

    /// Setup path and temp path: what the probe asks for.
    #[must_use]
    pub fn places(&self) -> (String, String) {
        let paths = crate::plan::settle::paths(&self.job.spec, &self.row.spec, self.os());
        (paths.setup_path, paths.temp_path)
    }

    async fn settle(&self, answers: &str) -> Result<(Option<Plan>, String), Failure> {
        let facts = Facts::parse(answers).map_err(|error| Failure::new(Code::NoShell, error.to_string()))?;
        if facts.uid != 0 {
            let (code, whom) =
                if facts.is_windows() { (Code::NotElevated, "an elevated administrator") } else { (Code::NotRoot, "root") };
            return Err(Failure::new(code, format!("the script was run by {}, not by {whom}", facts.user)));
        }
        let detail = format!("{}, by hand", facts.shown());
        let wanted = Wanted { job: &self.job.spec, task: &self.row.spec, payloads: &self.payloads };
        Ok((settling::settle(wanted, &facts, Privilege::Root).await?, detail.trim().to_owned()))
    }

    fn plan(&self) -> Result<&Plan, ManualError> {
        self.record.plan.as_ref().ok_or_else(|| ManualError::OutOfTurn("the plan is not settled".into()))
    }

    fn is_in(&self, kind: StepKind) -> bool {
        matches!(self.record.state, HostState::Running { step, .. } if step == kind)
    }

    /// Number of the attempt that runs, or would begin now. A script whose end was not seen goes on in its own.
    fn attempt_of(&self, kind: StepKind) -> u32 {
        let step = self.record.step(kind);
        let before = step.map_or(0, |step| step.attempts);
        let is_open = step.is_some_and(|step| step.outcome.is_none() && !step.is_past);
        if is_open { before.max(1) } else { before + 1 }
    }

    fn starts(&self, step: StepKind) -> EventKind {
        let attempt = self.attempt_of(step);
        let run_id = step.is_run().then(|| RunId::new(self.row.id, step, attempt));
        EventKind::StepStarted { step, attempt, run_id }
    }
}
