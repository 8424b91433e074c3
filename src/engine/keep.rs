//! A host that fails with a plugin has its agent all the same, proved and running: the inventory has to know.
//!
//! ```text
//! install_plugins ─ fails ─► StepFinished(failed) ─► register ─► Failed(why), with the plugin named
//! ```
//! A retry goes on with that plugin; what is registered stays so.

use super::host_task::{Halt, HostTask};
use super::steps;
use crate::domain::event::EventKind;
use crate::domain::outcome::Outcome;
use crate::domain::plan::{StepKind, Work};
use crate::domain::state::HostState;

impl HostTask {
    /// Registers what was proved, when a plugin is what the host ends with.
    pub(super) async fn keep_proved(&mut self, outcome: &Outcome) -> Result<(), Halt> {
        let ends = matches!(outcome, Outcome::Failed { .. } | Outcome::Unknown { .. } | Outcome::Terminated { .. });
        if !ends || !self.is_proved_and_unregistered() {
            return Ok(());
        }
        let mut events: Vec<EventKind> = self.end_of_step(outcome).into_iter().collect();
        // A cancelled script that may still run keeps its step open: whoever tries again has to look for it.
        let is_between = events.is_empty() && matches!(self.record.state, HostState::Ready);
        if events.is_empty() && !is_between {
            return Ok(());
        }
        let step = StepKind::Register;
        let attempt = self.attempt_of(step);
        events.push(EventKind::StepStarted { step, attempt, run_id: None });
        self.append(events).await?;
        let went = steps::finish::register(self).await?;
        self.append(vec![EventKind::StepFinished { step, attempt, outcome: went.outcome, figures: went.figures }]).await
    }

    fn is_proved_and_unregistered(&self) -> bool {
        let Some(plan) = &self.record.plan else { return false };
        let installs = matches!(plan.work, Work::Install { .. }) && !plan.plugins.is_empty();
        installs && self.record.is_done(StepKind::Verify) && !self.record.is_done(StepKind::Register)
    }
}
