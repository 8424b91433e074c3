//! Where a host task stands, and which event may follow. Recovery is this function folded over the journal.

use super::admission::Exception;
use super::event::EventKind;
use super::job::Status;
use super::outcome::Outcome;
use super::plan::StepKind;

/// Where a host task stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum HostState {
    /// Nobody took it yet.
    #[default]
    Pending,
    /// Between steps: just taken, settled, or waiting for another try.
    Ready,
    /// In a step.
    Running {
        /// Which.
        step: StepKind,
        /// Its attempt.
        attempt: u32,
    },
    /// Ended; `Interrupted` may be taken up again.
    Finished(Outcome),
    /// Never begun, and never will be.
    LeftOut {
        /// Why.
        exception: Exception,
    },
}

/// An event that cannot follow.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("event {event} cannot follow state {state:?}")]
pub struct IllegalEvent {
    /// The state.
    pub state: HostState,
    /// The event's word.
    pub event: &'static str,
}

impl HostState {
    /// The state after `event`.
    ///
    /// # Errors
    /// When the event is not legal here; the journal is corrupt or two executors wrote it.
    pub fn next(&self, event: &EventKind) -> Result<Self, IllegalEvent> {
        let illegal = || Err(IllegalEvent { state: self.clone(), event: event.word() });
        match (self, event) {
            (_, EventKind::Unknown | EventKind::CancelAsked { .. } | EventKind::HostKeyReplaced { .. }) => Ok(self.clone()),
            (Self::Pending, EventKind::HostIgnored { exclusion }) => Ok(Self::LeftOut { exception: exclusion.exception }),
            // A takeover after a crash finds any state that is not terminal.
            (
                Self::Pending | Self::Ready | Self::Running { .. } | Self::Finished(Outcome::Interrupted { .. }),
                EventKind::HostStarted,
            ) => Ok(Self::Ready),
            (Self::Ready, EventKind::AttemptStarted { .. } | EventKind::PlanSettled { .. } | EventKind::StepAdded { .. }) => {
                Ok(Self::Ready)
            }
            (Self::Ready, EventKind::StepStarted { step, attempt, .. }) => Ok(Self::Running { step: *step, attempt: *attempt }),
            // The probe settles the plan while it runs.
            (Self::Running { .. }, EventKind::PlanSettled { .. }) => Ok(self.clone()),
            (Self::Running { step, .. }, EventKind::StepFinished { step: ended, .. }) if step == ended => Ok(Self::Ready),
            (Self::Running { step, .. }, EventKind::AttemptFailed { step: failed, .. }) if step == failed => Ok(Self::Ready),
            (Self::Ready, EventKind::AttemptFailed { .. }) => Ok(Self::Ready),
            // Also one that was let go may end without having been taken up again: its job was cancelled.
            (
                Self::Pending | Self::Ready | Self::Running { .. } | Self::Finished(Outcome::Interrupted { .. }),
                EventKind::HostFinished { outcome },
            ) => Ok(Self::Finished(outcome.clone())),
            (Self::Finished(outcome), EventKind::RetryAsked { .. }) if outcome.may_be_retried() => Ok(Self::Pending),
            _ => illegal(),
        }
    }

    /// The wire status.
    #[must_use]
    pub fn status(&self) -> Status {
        match self {
            Self::Pending => Status::Pending,
            Self::Ready | Self::Running { .. } => Status::Running,
            Self::Finished(outcome) => Status::of_outcome(outcome),
            Self::LeftOut { exception } => exception.status(),
        }
    }

    /// Will it never move again by itself?
    #[must_use]
    pub fn is_terminal(&self) -> bool {
        match self {
            Self::Finished(outcome) => outcome.is_terminal(),
            Self::LeftOut { .. } => true,
            Self::Pending | Self::Ready | Self::Running { .. } => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::outcome::StepOutcome;

    fn started(step: StepKind) -> EventKind {
        EventKind::StepStarted { step, attempt: 1, run_id: None }
    }

    fn finished(step: StepKind) -> EventKind {
        EventKind::StepFinished { step, attempt: 1, outcome: StepOutcome::Done { changed: true }, figures: Default::default() }
    }

    fn ended(outcome: Outcome) -> EventKind {
        EventKind::HostFinished { outcome }
    }

    fn fold(events: &[EventKind]) -> Result<HostState, IllegalEvent> {
        events.iter().try_fold(HostState::Pending, |state, event| state.next(event))
    }

    #[test]
    fn a_host_goes_through_its_steps_to_an_outcome() {
        let events = [EventKind::HostStarted, started(StepKind::Connect), finished(StepKind::Connect), ended(Outcome::Succeeded)];
        assert_eq!(fold(&events), Ok(HostState::Finished(Outcome::Succeeded)));
    }

    #[test]
    fn a_takeover_is_legal_in_every_state_that_is_not_terminal() {
        let interrupted = Outcome::Interrupted { why: "x".into() };
        for before in [
            vec![],
            vec![EventKind::HostStarted],
            vec![EventKind::HostStarted, started(StepKind::RunScript)],
            vec![ended(interrupted)],
        ] {
            let mut events = before;
            events.push(EventKind::HostStarted);
            assert_eq!(fold(&events), Ok(HostState::Ready), "{events:?}");
        }
    }

    #[test]
    fn what_cannot_follow_is_named() {
        for events in [
            vec![started(StepKind::Connect)],
            vec![EventKind::HostStarted, started(StepKind::Connect), finished(StepKind::Probe)],
            vec![EventKind::HostStarted, started(StepKind::Connect), started(StepKind::Probe)],
            vec![EventKind::HostStarted, ended(Outcome::Succeeded), EventKind::HostStarted],
        ] {
            assert!(fold(&events).is_err(), "{events:?}");
        }
    }
}
