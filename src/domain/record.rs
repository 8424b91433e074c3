//! The record of one host task: its journal folded into steps with start, finish and result.
//!
//! The terminal, the API and recovery all read this one fold, so they cannot disagree.

use serde::Serialize;

use super::Timestamp;
use super::admission::Exclusion;
use super::event::{EventKind, Figures};
use super::failure::Failure;
use super::id::RunId;
use super::outcome::{Outcome, StepOutcome};
use super::plan::{Plan, Step, StepKind};
use super::state::{HostState, IllegalEvent};

/// One step as it went.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct StepRecord {
    /// Which.
    #[serde(flatten, serialize_with = "super::step_fields::step::serialize")]
    pub step: StepKind,
    /// How often it was tried.
    pub attempts: u32,
    /// First start.
    pub started: Timestamp,
    /// Start of the last attempt: a takeover is not a new one.
    pub attempt_started: Timestamp,
    /// End of the last attempt.
    pub finished: Option<Timestamp>,
    /// Result of the last attempt.
    pub outcome: Option<StepOutcome>,
    /// Figures of the last attempt, bytes of all attempts.
    pub figures: Figures,
    /// Failures of the attempts before.
    pub failures: Vec<Failure>,
    /// The run of the last attempt.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub run_id: Option<RunId>,
    /// It was tried before a retry from the first step: it counts as not begun, but its attempts go on.
    #[serde(skip)]
    pub is_past: bool,
}

/// A host task, folded.
#[derive(Clone, Debug, Default)]
pub struct HostRecord {
    /// Where it stands.
    pub state: HostState,
    /// Its tries.
    pub attempts: u32,
    /// Its settled plan.
    pub plan: Option<Plan>,
    /// Its steps, in the order they began.
    pub steps: Vec<StepRecord>,
    /// Why it was left out.
    pub exclusion: Option<Exclusion>,
    /// When an executor took it first.
    pub started: Option<Timestamp>,
    /// When it ended.
    pub finished: Option<Timestamp>,
    /// Another host key took the place of the pinned one: it may not happen twice.
    pub key_replaced: bool,
}

impl HostRecord {
    /// Takes the next event of this host.
    ///
    /// # Errors
    /// When the event cannot follow.
    pub fn apply(&mut self, event: &EventKind, at: Timestamp) -> Result<(), IllegalEvent> {
        self.state = self.state.next(event)?;
        match event {
            EventKind::HostIgnored { exclusion } => self.exclusion = Some(exclusion.clone()),
            EventKind::HostStarted => {
                self.started.get_or_insert(at);
                self.finished = None;
            }
            EventKind::AttemptStarted { attempt } => self.attempts = *attempt,
            EventKind::PlanSettled { plan } => self.plan = Some((**plan).clone()),
            EventKind::StepAdded { step, timeout_s, after } => {
                if let Some(plan) = &mut self.plan {
                    plan.add(Step { kind: *step, timeout_s: *timeout_s }, *after);
                }
            }
            EventKind::StepStarted { step, attempt, run_id } => self.begin(*step, *attempt, run_id.clone(), at),
            EventKind::StepFinished { step, outcome, figures, .. } => {
                if let Some(record) = self.step_mut(*step) {
                    record.finished = Some(at);
                    record.outcome = Some(outcome.clone());
                    let before = record.figures.bytes_sent;
                    record.figures = figures.clone();
                    record.figures.bytes_sent = match (before, figures.bytes_sent) {
                        (None, None) => None,
                        (a, b) => Some(a.unwrap_or(0) + b.unwrap_or(0)),
                    };
                }
            }
            EventKind::AttemptFailed { step, failure, .. } => {
                // Another try follows, always; who was only asked to wait has not had the last one yet.
                self.attempts += u32::from(!failure.asks_to_wait());
                if let Some(record) = self.step_mut(*step) {
                    record.failures.push(failure.clone());
                    record.finished = Some(at);
                }
            }
            EventKind::HostFinished { .. } => self.finished = Some(at),
            EventKind::RetryAsked { from_start, .. } => {
                // Where nothing was tried yet, the first try is still to come.
                self.attempts += u32::from(self.attempts > 0);
                self.finished = None;
                if *from_start {
                    self.plan = None;
                    self.steps.iter_mut().for_each(|record| record.is_past = true);
                }
                self.forget_way_back();
            }
            EventKind::HostKeyReplaced { .. } => self.key_replaced = true,
            EventKind::JobAccepted { .. }
            | EventKind::JobFinished { .. }
            | EventKind::CancelAsked { .. }
            | EventKind::Unknown => {}
        }
        Ok(())
    }

    fn begin(&mut self, step: StepKind, attempt: u32, run_id: Option<RunId>, at: Timestamp) {
        if let Some(record) = self.step_mut(step) {
            if attempt > record.attempts {
                record.attempts = attempt;
                record.attempt_started = at;
            }
            record.finished = None;
            record.outcome = None;
            record.run_id = run_id;
            record.is_past = false;
            return;
        }
        let figures = Figures::default();
        let failures = Vec::new();
        self.steps.push(StepRecord {
            step,
            attempts: attempt,
            started: at,
            attempt_started: at,
            finished: None,
            outcome: None,
            figures,
            failures,
            run_id,
            is_past: false,
        });
    }

    /// The old release was switched back to: another try of the upgrade switches anew.
    fn forget_way_back(&mut self) {
        let Some(plan) = self.plan.as_mut().filter(|plan| plan.goes_back()) else { return };
        plan.steps.retain(|step| step.kind != StepKind::SwitchBack);
        let undone = [StepKind::RunScript, StepKind::Verify, StepKind::SwitchBack];
        self.steps.iter_mut().filter(|record| undone.contains(&record.step)).for_each(|record| record.is_past = true);
    }

    fn step_mut(&mut self, step: StepKind) -> Option<&mut StepRecord> {
        self.steps.iter_mut().find(|record| record.step == step)
    }

    /// The step as it went, when it began.
    #[must_use]
    pub fn step(&self, step: StepKind) -> Option<&StepRecord> {
        self.steps.iter().find(|record| record.step == step)
    }

    /// Did the step reach its goal?
    #[must_use]
    pub fn is_done(&self, step: StepKind) -> bool {
        let present = self.step(step).filter(|record| !record.is_past);
        present.and_then(|record| record.outcome.as_ref()).is_some_and(StepOutcome::is_done)
    }

    /// The step whose script was started on the host, or may have been, and whose end was not seen.
    #[must_use]
    pub fn open_run(&self) -> Option<&StepRecord> {
        let counts = |step: &&StepRecord| match step.step {
            StepKind::SwitchBack => self.goes_back(),
            kind => kind.is_run(),
        };
        self.steps.iter().filter(counts).rfind(|step| step.outcome.is_none())
    }

    /// Was a script started on the host, or may have been, whose end was not seen?
    #[must_use]
    pub fn run_in_flight(&self) -> bool {
        self.open_run().is_some()
    }

    /// Was an upgrade in vain, so that the old release has to run again?
    #[must_use]
    pub fn goes_back(&self) -> bool {
        self.plan.as_ref().is_some_and(Plan::goes_back)
    }

    /// Did an upgrade begin whose release has not proved itself? The old one may have been left.
    #[must_use]
    pub fn is_half_upgraded(&self) -> bool {
        let is_upgrade = self.plan.as_ref().is_some_and(|plan| plan.work.previous().is_some());
        let has_begun = self.step(StepKind::RunScript).is_some_and(|step| !step.is_past);
        is_upgrade && has_begun && !self.is_done(StepKind::Verify)
    }

    /// Why an upgrade was in vain.
    #[must_use]
    pub fn gate_failure(&self) -> Option<&Failure> {
        let outcome = |kind| self.step(kind).filter(|step| !step.is_past).and_then(|step| step.outcome.as_ref());
        [StepKind::Verify, StepKind::RunScript].into_iter().filter_map(outcome).find_map(|outcome| match outcome {
            StepOutcome::Failed { failure } => Some(failure),
            StepOutcome::Done { .. } | StepOutcome::Warned { .. } | StepOutcome::Skipped { .. } => None,
        })
    }

    /// Payload bytes sent to the host over all steps and attempts.
    #[must_use]
    pub fn bytes_sent(&self) -> u64 {
        self.steps.iter().filter_map(|record| record.figures.bytes_sent).sum()
    }

    /// How it ended, if it did.
    #[must_use]
    pub fn outcome(&self) -> Option<&Outcome> {
        match &self.state {
            HostState::Finished(outcome) => Some(outcome),
            HostState::Pending | HostState::Ready | HostState::Running { .. } | HostState::LeftOut { .. } => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tried(step: StepKind, attempt: u32, outcome: Option<StepOutcome>) -> Vec<EventKind> {
        let mut events = vec![EventKind::StepStarted { step, attempt, run_id: None }];
        events.extend(outcome.map(|outcome| EventKind::StepFinished { step, attempt, outcome, figures: Figures::default() }));
        events
    }

    fn folded(events: Vec<EventKind>) -> HostRecord {
        let mut record = HostRecord::default();
        for event in &events {
            record.apply(event, Timestamp::UNIX_EPOCH).unwrap();
        }
        record
    }

    fn failed(from_start: bool) -> HostRecord {
        let failure = Failure::new(crate::domain::failure::Code::NoSpace, "full");
        let mut events = vec![EventKind::HostStarted, EventKind::AttemptStarted { attempt: 1 }];
        events.extend(tried(StepKind::UploadPackage, 1, Some(StepOutcome::Done { changed: true })));
        events.extend(tried(StepKind::RunScript, 1, Some(StepOutcome::Failed { failure: failure.clone() })));
        events.push(EventKind::HostFinished { outcome: Outcome::Failed { failure } });
        events.push(EventKind::RetryAsked { reason: "x".into(), from_start });
        folded(events)
    }

    #[test]
    fn a_retry_goes_on_where_it_failed_unless_it_is_to_begin_anew() {
        let record = failed(false);
        assert!(record.is_done(StepKind::UploadPackage));
        let record = failed(true);
        assert!(!record.is_done(StepKind::UploadPackage) && record.plan.is_none());
        // What was tried is not forgotten: the next attempt is another one.
        assert_eq!(record.step(StepKind::RunScript).map(|step| step.attempts), Some(1));
        assert_eq!((record.attempts, record.run_in_flight()), (2, false));
    }

    #[test]
    fn a_step_of_the_new_try_is_done_again() {
        let mut record = failed(true);
        record.apply(&EventKind::HostStarted, Timestamp::UNIX_EPOCH).unwrap();
        for event in tried(StepKind::UploadPackage, 2, Some(StepOutcome::Done { changed: false })) {
            record.apply(&event, Timestamp::UNIX_EPOCH).unwrap();
        }
        assert!(record.is_done(StepKind::UploadPackage) && !record.is_done(StepKind::RunScript));
    }
}
