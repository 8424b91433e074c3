//! switch_back: the release before the upgrade is started again, and asked. In one step, because only both are a way back.

use crate::domain::event::Figures;
use crate::domain::failure::{Code, Failure};
use crate::domain::plan::{Step, StepKind};
use crate::engine::host_task::{Halt, HostTask, Went, within};
use crate::engine::steps::{script, verify};

pub(in crate::engine) async fn carry_out(task: &mut HostTask, attempt: u32, step: Step) -> Result<Went, Halt> {
    let plan = task.plan()?;
    let previous = plan.work.previous().ok_or_else(|| Failure::new(Code::Internal, "there is no release to go back to"))?;
    script::carry_out(task, attempt, step).await?;
    let asking = plan.steps.iter().find(|planned| planned.kind == StepKind::Verify).map_or(step.timeout_s, |ask| ask.timeout_s);
    let asking = Step { timeout_s: asking, ..step };
    let proved = within(asking, verify::proved(task, &previous.health, step.kind)).await?;
    let how = proved.figures.detail.unwrap_or_default();
    Ok(Went::changed(Figures::detail(format!("{} {} {how}", previous.name, previous.version))))
}
