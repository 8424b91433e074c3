//! A cancelled host: what was started on it is ended, as far as it can be reached, and the record says which of both it was.
//!
//! Never here: when to cancel (the dispatcher's), how a run is killed (`steps::script`).

use super::host_task::{Halt, HostTask};
use super::retry::is_link;
use super::steps;
use crate::domain::event::{EventKind, Figures};
use crate::domain::failure::{Code, Failure};
use crate::domain::id::RunId;
use crate::domain::outcome::{Outcome, StepOutcome};
use crate::domain::plan::StepKind;
use crate::domain::state::HostState;

impl HostTask {
    /// The job was cancelled: what was started on the host is ended, as far as it can be reached.
    pub(super) async fn terminate(&mut self) -> Result<Outcome, Halt> {
        let when = match &self.record.state {
            HostState::Running { step, .. } => format!("during {step}"),
            _ => "between steps".into(),
        };
        // A way back is gone to its end.
        if !self.in_flight || self.record.goes_back() {
            let back = if self.record.is_half_upgraded() { format!("; {}", self.back_to_old().await?) } else { String::new() };
            return Ok(Outcome::Terminated { why: format!("cancelled {when}{back}") });
        }
        let run_step = self.run_step();
        let mut why = match self.end_run(run_step).await {
            Ok(()) => {
                self.in_flight = false;
                "the script was ended on the host".to_owned()
            }
            Err(Halt::Failed(failure) | Halt::Unknown(failure)) => {
                format!("the script may still be running on the host: {failure}")
            }
            Err(halt) => return Err(halt),
        };
        if !self.in_flight && self.record.is_half_upgraded() {
            why = format!("{why}; {}", self.back_to_old().await?);
        }
        Ok(Outcome::Terminated { why: format!("cancelled during {run_step}; {why}") })
    }

    /// The session is of no use any more; the step it was used for will be taken up.
    pub(super) async fn lose_session(&mut self, failure: Failure) -> Result<(), Halt> {
        self.session = None;
        match self.record.state {
            HostState::Running { step, .. } => {
                self.append(vec![EventKind::AttemptFailed { step, failure: failure.at(step), retry_in_ms: 0 }]).await
            }
            _ => Ok(()),
        }
    }

    /// Logs in once more to take up a run: the host was let go of, or its session is lost.
    async fn reach_again(&mut self, (run_step, run): (StepKind, &RunId)) -> Result<(), Halt> {
        let mut events = match self.record.state {
            HostState::Ready => Vec::new(),
            _ => vec![EventKind::HostStarted],
        };
        let step = self.row.spec.outline.iter().find(|step| step.kind == StepKind::Connect).copied();
        let step = step.ok_or_else(|| Failure::new(Code::Internal, "the plan does not connect"))?;
        let attempt = self.attempt_of(StepKind::Connect);
        events.push(EventKind::StepStarted { step: step.kind, attempt, run_id: None });
        self.append(events).await?;
        if self.access.credential.is_none() {
            self.access.credential = self.job.store.credential(self.row.id).await?;
        }
        let (outcome, figures) = match steps::connect::carry_out(self, step).await {
            Ok(went) => (went.outcome, went.figures),
            Err(Halt::Failed(failure)) => (StepOutcome::Failed { failure: failure.at(step.kind) }, Figures::default()),
            Err(halt) => return Err(halt),
        };
        let failed = match &outcome {
            StepOutcome::Failed { failure } => Some(failure.clone()),
            _ => None,
        };
        let mut events = vec![EventKind::StepFinished { step: step.kind, attempt, outcome, figures }];
        if failed.is_none() {
            let attempt = self.record.step(run_step).map_or(1, |record| record.attempts);
            events.push(EventKind::StepStarted { step: run_step, attempt, run_id: Some(run.clone()) });
        }
        self.append(events).await?;
        failed.map_or(Ok(()), |failure| Err(failure.into()))
    }

    /// Ends the run that is in flight, by the session there is or by a new one.
    async fn end_run(&mut self, run_step: StepKind) -> Result<(), Halt> {
        let plan = self.plan()?;
        let run = self.record.step(run_step).and_then(|step| step.run_id.clone());
        let run = run.ok_or_else(|| Failure::new(Code::Internal, "the run has no id"))?;
        if self.session.is_some() {
            match steps::script::kill(self, &plan, &run).await {
                // The session may be the very reason why nothing is heard of the host.
                Err(Halt::Failed(failure)) if is_link(&failure) => self.lose_session(failure).await?,
                other => return other,
            }
        }
        self.reach_again((run_step, &run)).await?;
        steps::script::kill(self, &plan, &run).await
    }
}
