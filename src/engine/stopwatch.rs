//! How long steps of one host take, and how they and the host end, told to the meters once it is durable.

use std::time::Duration;

use tokio::time::Instant;

use crate::domain::event::EventKind;
use crate::domain::job::JobKind;
use crate::meters;

/// Of one host.
pub(super) struct Stopwatch {
    kind: JobKind,
    begun: Instant,
}

impl Stopwatch {
    pub(super) fn new(kind: JobKind) -> Self {
        Self { kind, begun: Instant::now() }
    }

    /// Is there anything in it to be told?
    pub(super) fn wants(event: &EventKind) -> bool {
        matches!(
            event,
            EventKind::StepStarted { .. }
                | EventKind::StepFinished { .. }
                | EventKind::AttemptFailed { .. }
                | EventKind::HostFinished { .. }
        )
    }

    /// It is in the record now.
    pub(super) fn saw(&mut self, event: &EventKind) {
        match event {
            EventKind::StepStarted { .. } => self.begun = Instant::now(),
            EventKind::StepFinished { step, outcome, .. } => meters::step_ended(*step, outcome, self.took()),
            EventKind::AttemptFailed { step, failure, .. } => {
                meters::step_tried_again(*step, self.took());
                meters::failed(failure.class, failure.step.or(Some(*step)));
            }
            EventKind::HostFinished { outcome } => {
                meters::host_finished(self.kind, outcome);
                if let Some(failure) = outcome.failure() {
                    meters::failed(failure.class, failure.step);
                }
            }
            _ => {}
        }
    }

    fn took(&self) -> Duration {
        self.begun.elapsed()
    }
}
