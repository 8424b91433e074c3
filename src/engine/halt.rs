//! How work on a step ends: it went, or it stopped, and why.
//!
//! Never here: what follows from it (`host_task`).

use std::future::Future;

use super::journal::JournalError;
use crate::domain::event::Figures;
use crate::domain::failure::{Code, Failure};
use crate::domain::outcome::StepOutcome;
use crate::domain::plan::{Plan, Step};
use crate::store::StoreError;

/// Why a host task ended without an outcome.
#[derive(Debug)]
pub(super) enum Left {
    /// The record failed.
    Journal(JournalError),
    /// Somebody else has the host now.
    Fenced,
}

/// Why work on a host stopped.
#[derive(Debug)]
pub(super) enum Halt {
    /// The step failed.
    Failed(Failure),
    /// Nobody can say what became of the run.
    Unknown(Failure),
    /// There is nothing to do on this host.
    Nothing(String),
    /// A stop was asked for.
    Stopped,
    /// The record failed or refused.
    Left(Left),
}

impl From<Failure> for Halt {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

impl From<crate::transport::TransportError> for Halt {
    fn from(error: crate::transport::TransportError) -> Self {
        Self::Failed(error.into())
    }
}

impl From<StoreError> for Halt {
    /// A record that cannot be had, or whose key is elsewhere, is no fault of the host: it is let go, and taken up by the
    /// next run. What is stored of this host alone and cannot be read is.
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Unavailable { .. } | StoreError::Key(_) => {
                Self::Left(Left::Journal(JournalError::Failed(error.to_string().into())))
            }
            _ => Self::Failed(Failure::new(Code::Store, error.to_string())),
        }
    }
}

/// How a step went, when it went.
#[derive(Debug)]
pub(super) struct Went {
    pub(super) outcome: StepOutcome,
    pub(super) figures: Figures,
    /// What it settled. Durable in one transaction with its end: a plan that stands needs no second probe.
    pub(super) plan: Option<Box<Plan>>,
}

impl Went {
    pub(super) fn new(outcome: StepOutcome, figures: Figures) -> Self {
        Self { outcome, figures, plan: None }
    }

    pub(super) fn changed(figures: Figures) -> Self {
        Self::new(StepOutcome::Done { changed: true }, figures)
    }

    pub(super) fn unchanged(detail: impl Into<String>) -> Self {
        Self::new(StepOutcome::Done { changed: false }, Figures::detail(detail))
    }
}

/// The step's deadline round what the host does. What this process waits for stays outside: permits, a package that is being
/// read, the record. run_script has one of its own, because a run must be ended before it may be called late.
pub(super) async fn within<T, E: Into<Halt>>(step: Step, work: impl Future<Output = Result<T, E>>) -> Result<T, Halt> {
    let Some(deadline) = step.deadline() else { return work.await.map_err(Into::into) };
    match tokio::time::timeout(deadline, work).await {
        Ok(done) => done.map_err(Into::into),
        Err(_) => {
            let message = format!("{} did not end within {} s", step.kind, step.timeout_s);
            Err(Failure::new(Code::StepTimeout, message).into())
        }
    }
}
