//! Which try of a step this is, and what follows one that failed: a pause and another pass, or the end.
//!
//! Never here: what may be tried again at all (`retry`).

use std::time::Duration;

use super::{GAIN, Halt, HostTask, IN_FLIGHT_PAUSE};
use crate::domain::Timestamp;
use crate::domain::event::EventKind;
use crate::domain::failure::Failure;
use crate::domain::plan::{Step, StepKind};
use crate::engine::retry::{self, Whose, is_link};

impl HostTask {
    /// Number of the attempt that begins now.
    pub(in crate::engine) fn attempt_of(&mut self, kind: StepKind) -> u32 {
        let before = self.record.step(kind).map_or(0, |record| record.attempts);
        let same = if kind.is_run() {
            // The run goes on by itself while we reconnect or are replaced. One whose end was seen needs another id, and so
            // does one of before a retry from the first step: starting the new one ends it.
            self.in_flight && !self.record.step(kind).is_some_and(|record| record.is_past || record.outcome.is_some())
        } else {
            self.taken_over.take_if(|taken| *taken == kind).is_some()
        };
        if same { before.max(1) } else { before + 1 }
    }

    /// Decides what follows a failure: a pause and another pass, or the end.
    pub(super) async fn after(&mut self, failure: Failure) -> Result<(), Halt> {
        let step = failure.step.unwrap_or(StepKind::Connect);
        if self.session.take_if(|_| step != StepKind::Connect).is_some() {
            tracing::debug!(host = %self.row.address, step = %step, code = %failure.code, "session dropped");
        }
        let tried = self.tried.entry((step, Whose::of(&failure))).or_insert(0);
        *tried += 1;
        let tried = *tried;
        let pause = match self.in_flight_until(&failure) {
            Some(left) if !left.is_zero() => Some(Duration::from_secs(u64::from(tried)).min(IN_FLIGHT_PAUSE).min(left)),
            // A run that is taken up long after its deadline gets the usual tries to tell how it ended.
            _ => retry::pause(&failure, step.effect(), tried),
        };
        let Some(pause) = pause else { return Err(self.gives_up(failure)) };
        let retry_in_ms = u64::try_from(pause.as_millis()).unwrap_or(u64::MAX);
        self.append(vec![EventKind::AttemptFailed { step, failure, retry_in_ms }]).await?;
        tokio::select! {
            () = tokio::time::sleep(pause) => Ok(()),
            () = self.stop.asked() => Err(Halt::Stopped),
        }
    }

    /// Whatever keeps us from asking, a script in flight goes on or went on: nobody can say how it ended.
    pub(super) fn gives_up(&self, failure: Failure) -> Halt {
        if self.in_flight { Halt::Unknown(failure) } else { Halt::Failed(failure) }
    }

    /// How long a host may stay out of reach while its script is known to run; `None` when that is not the case.
    fn in_flight_until(&self, failure: &Failure) -> Option<Duration> {
        let kind = self.run_step();
        let run = self.record.step(kind).filter(|_| self.in_flight && is_link(failure))?;
        let timeout = self.steps().iter().find(|step| step.kind == kind).and_then(Step::deadline)?;
        let gone = self.job.clock.now().duration_since(self.run_began(run.step)).unsigned_abs();
        Some(timeout.saturating_sub(gone))
    }

    /// When the script of a step began: with its attempt, unless that had something to bring first.
    pub(in crate::engine) fn run_began(&self, step: StepKind) -> Timestamp {
        let recorded = || self.record.step(step).map_or_else(|| self.job.clock.now(), |record| record.attempt_started);
        match step.plugin() {
            Some(_) => self.run_began.unwrap_or_else(|| if self.in_flight { recorded() } else { self.job.clock.now() }),
            None => recorded(),
        }
    }

    /// The host has so many bytes of the package. One that gets further with every try, however often the line breaks, is
    /// not one that was tried in vain.
    pub(in crate::engine) fn has_bytes(&mut self, step: StepKind, arrived: u64) {
        let before = self.arrived.filter(|(of, _)| *of == step).map_or(0, |(_, before)| before);
        if arrived >= before + GAIN {
            self.arrived = Some((step, arrived));
            self.tried.retain(|(tried, _), _| *tried != step);
        }
    }
}
