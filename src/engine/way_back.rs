//! An upgrade in vain: the release before is started again, and the host fails with why the new one did not answer.
//!
//! ```text
//! run_script | verify ─ fails ─► StepFinished(failed), StepAdded(switch_back) ─► switch_back ─► Failed(why), told with how that went
//! ```
//! Never here: what the script does for it (`scripts/unix/upgrade.sh`), how a step is done (`steps::switch_back`).

use super::cancel::{HostStop, Stop};
use super::host_task::{Halt, HostTask};
use super::retry::is_link;
use crate::assets;
use crate::domain::event::{EventKind, Figures};
use crate::domain::failure::{Code, Failure};
use crate::domain::outcome::{Outcome, StepOutcome};
use crate::domain::plan::StepKind;
use crate::domain::state::HostState;

impl HostTask {
    /// The step whose script runs on the host, if one does.
    pub(super) fn run_step(&self) -> StepKind {
        if self.record.goes_back() {
            return StepKind::SwitchBack;
        }
        self.record.open_run().map_or(StepKind::RunScript, |run| run.step)
    }

    /// Did the new release fail, so that the old one has to run again? A link that failed says nothing about either.
    pub(super) fn must_go_back(&self, failure: &Failure) -> bool {
        let is_gate = matches!(failure.step, Some(StepKind::RunScript | StepKind::Verify));
        let is_first = self.record.step(StepKind::RunScript).is_some_and(|run| run.attempts == 1);
        // A try before this one may have been ended anywhere.
        let is_untouched = is_first && assets::script_exit_named(&failure.code).is_some_and(|row| row.untouched);
        self.record.is_half_upgraded() && is_gate && !is_link(failure) && !is_untouched
    }

    /// The end of the step that failed and the step that follows from it, in one transaction.
    pub(super) async fn turn_back(&mut self, failure: Failure) -> Result<(), Halt> {
        let ended = self.end_of_step(&Outcome::Failed { failure });
        self.append(ended.into_iter().chain([self.step_back()]).collect()).await
    }

    fn step_back(&self) -> EventKind {
        let run = self.row.spec.outline.iter().find(|step| step.kind == StepKind::RunScript);
        let timeout_s = run.map_or(0, |step| step.timeout_s);
        EventKind::StepAdded { step: StepKind::SwitchBack, timeout_s, after: StepKind::Verify }
    }

    /// The release before, for people.
    fn release_before(&self) -> String {
        let previous = self.record.plan.as_ref().and_then(|plan| plan.work.previous());
        previous.map_or_else(String::new, |previous| format!("{} {}", previous.name, previous.version))
    }

    /// Why the upgrade was in vain, and how the way back went.
    fn cause(&self, how: &str) -> Failure {
        let cause = self.record.gate_failure().cloned();
        let cause = cause.unwrap_or_else(|| Failure::new(Code::Cancelled, "the upgrade was cancelled"));
        // Its own causes belong to it, and stand before what came after.
        Failure { message: format!("{cause}; {how}"), causes: Vec::new(), ..cause }
    }

    /// The old release answers again; the upgrade failed all the same.
    pub(super) fn went_back(&self) -> Halt {
        Halt::Failed(self.cause(&format!("{} answers again", self.release_before())))
    }

    /// The way back failed: the cause stays the new release's, and that of the way back is told behind it.
    pub(super) fn strayed(&mut self, halt: Halt) -> Result<Halt, Halt> {
        let (Halt::Failed(failure) | Halt::Unknown(failure)) = &halt else { return Ok(halt) };
        let told = self.cause(&format!("{} does not answer again: {failure}", self.release_before()));
        let is_unknown = matches!(halt, Halt::Unknown(_));
        let ended = self.end_of_step(&Outcome::Failed { failure: failure.clone() });
        self.note(ended.into_iter().collect())?;
        Ok(if is_unknown { Halt::Unknown(told) } else { Halt::Failed(told) })
    }

    /// A cancelled upgrade leaves the old release running, unless the new one has proved itself. Nothing stops this: it is
    /// what the cancel asked for. Gives how it went.
    pub(super) async fn back_to_old(&mut self) -> Result<String, Halt> {
        self.stop = HostStop::new(Stop::new());
        if self.access.credential.is_none() {
            self.access.credential = self.job.store.credential(self.row.id).await?;
        }
        let mut events = match self.record.state {
            HostState::Ready => Vec::new(),
            HostState::Running { step: step @ (StepKind::RunScript | StepKind::Verify), attempt } => {
                let failure = Failure::new(Code::Cancelled, "cancelled").at(step);
                let outcome = StepOutcome::Failed { failure };
                vec![EventKind::StepFinished { step, attempt, outcome, figures: Figures::default() }]
            }
            _ => vec![EventKind::HostStarted],
        };
        if !self.record.goes_back() {
            events.push(self.step_back());
        }
        self.append(events).await?;
        let mut ended = self.pass().await;
        // The session may be the very reason.
        if matches!(&ended, Err(Halt::Failed(failure)) if is_link(failure)) && self.session.is_some() {
            if let Err(Halt::Failed(failure)) = ended {
                self.lose_session(failure).await?;
            }
            ended = self.pass().await;
        }
        let release = self.release_before();
        match ended {
            Ok(()) => Ok(format!("{release} answers again")),
            Err(Halt::Failed(failure) | Halt::Unknown(failure)) => {
                let ended = self.end_of_step(&Outcome::Failed { failure: failure.clone() });
                self.note(ended.into_iter().collect())?;
                Ok(format!("{release} does not answer again: {failure}"))
            }
            Err(halt) => Err(halt),
        }
    }
}
