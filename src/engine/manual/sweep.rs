//! Hosts that are waited for no longer: nobody fetched a script in time, or the script fell silent, or a cancel found nobody
//! to tell.

use std::time::Duration;

use super::{Engine, ManualError, Visit};
use crate::domain::Timestamp;
use crate::domain::event::{EventKind, Figures};
use crate::domain::failure::{Code, Failure};
use crate::domain::outcome::{Outcome, StepOutcome};
use crate::domain::plan::StepKind;
use crate::domain::state::HostState;
use crate::store::manual::{ManualHost, Overdue};

/// A script that was not heard of for so long has ended, whatever became of it: it beats every ten seconds, and the person
/// needs a while to begin it again after a break.
const SILENCE: Duration = Duration::from_secs(1_800);
/// A script that beats hears of a cancel within ten seconds; one that does not within a minute will not.
const DEAF: Duration = Duration::from_secs(60);
/// Hosts that are ended at a time.
const MOST: u32 = 500;

impl Engine {
    /// Ends what is waited for no longer; how many hosts.
    ///
    /// # Errors
    /// When the record fails.
    pub async fn sweep_manual(&self) -> Result<u64, ManualError> {
        let now = self.now();
        let before = |pause: Duration| now.checked_sub(pause).unwrap_or(Timestamp::MIN);
        let due = Overdue { now, silent: before(SILENCE), deaf: before(DEAF), most: MOST };
        let mut ended = 0;
        for host in self.store.overdue(due).await? {
            let (had_run, until) = (host.run.is_some(), host.until);
            match self.end_overdue(host, had_run, until).await {
                Ok(()) => ended += 1,
                // A script was fetched just now, or another process was first.
                Err(ManualError::Over) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(ended)
    }

    async fn end_overdue(&self, host: ManualHost, had_run: bool, until: Timestamp) -> Result<(), ManualError> {
        let mut visit = self.visit(host.row).await?;
        let in_flight = visit.record.run_in_flight();
        if visit.row.cancel_asked {
            return match (had_run, in_flight) {
                (false, false) => self.terminate_manual(&mut visit, "cancelled before a script was fetched", true).await,
                (true, false) => self.terminate_manual(&mut visit, "cancelled; no script ran on the host", true).await,
                (_, true) => {
                    let why = "cancelled; the host did not answer: its script may still be running";
                    self.terminate_manual(&mut visit, why, false).await
                }
            };
        }
        let message = if had_run {
            format!("the script on the host was not heard of for {} s", SILENCE.as_secs())
        } else {
            format!("no command for the host was run until {until:.0}")
        };
        let failure = Failure::new(Code::ManualExpired, message);
        let mut events = Vec::new();
        let failure = match visit.open_step() {
            Some(step) => {
                let failure = failure.at(step);
                let (attempt, outcome) = (visit.attempt_of(step), StepOutcome::Failed { failure: failure.clone() });
                events.push(EventKind::StepFinished { step, attempt, outcome, figures: Figures::default() });
                failure
            }
            None => failure,
        };
        let outcome = if in_flight { Outcome::Unknown { failure } } else { Outcome::Failed { failure } };
        self.end_manual(&mut visit, events, outcome).await
    }
}

impl Visit {
    /// The step that has begun and not ended.
    pub(super) fn open_step(&self) -> Option<StepKind> {
        match self.record.state {
            HostState::Running { step, .. } => Some(step),
            _ => None,
        }
    }
}
