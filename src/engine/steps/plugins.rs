//! install_plugins and remove_plugins: one plugin each, from its first byte to its answer.
//!
//! What is several steps of an agent is one of a plugin: it is tried again as a whole, and everything in it finds what is
//! there already. Only its run is begun once: one that is in flight is followed, and nothing is brought under its feet.

use crate::domain::event::Figures;
use crate::domain::failure::{Code, Failure};
use crate::domain::id::RunId;
use crate::domain::plan::{Step, StepKind};
use crate::engine::host_task::{Halt, HostTask, Went, within};
use crate::engine::steps::{files, script, upload, verify};

/// Seconds for asking a plugin where the plan asks no agent.
const ASK_S: u64 = 600;

pub(in crate::engine) async fn install(task: &mut HostTask, attempt: u32, step: Step) -> Result<Went, Halt> {
    let plan = task.plan_of(step.kind)?;
    let installed = plan.work.installed();
    let mut brought = None;
    if !is_begun(task, attempt, step).await? {
        let uploaded = upload::carry_out(task, step.kind).await?;
        files::carry_out(task, Step { timeout_s: files_timeout(task)?, ..step }).await?;
        brought = Some(uploaded.figures);
    }
    script::carry_out(task, attempt, step).await?;
    let asking = Step { timeout_s: timeout_of(task, StepKind::Verify)?.unwrap_or(ASK_S), ..step };
    let proved = within(asking, verify::proved(task, &installed.health, step.kind)).await?;
    let how = proved.figures.detail.unwrap_or_default();
    let detail = Some(format!("{} {} {how}", installed.name, installed.version));
    Ok(Went::changed(Figures { detail, ..brought.unwrap_or_default() }))
}

pub(in crate::engine) async fn remove(task: &mut HostTask, attempt: u32, step: Step) -> Result<Went, Halt> {
    script::carry_out(task, attempt, step).await?;
    let asking = Step { timeout_s: timeout_of(task, StepKind::VerifyGone)?.unwrap_or(ASK_S), ..step };
    within(asking, verify::gone(task, step.kind)).await
}

/// Is its run on the host already? Then what it needs was brought.
async fn is_begun(task: &mut HostTask, attempt: u32, step: Step) -> Result<bool, Halt> {
    if !task.in_flight {
        return Ok(false);
    }
    task.in_flight = script::was_started(task, &RunId::new(task.row.id, step.kind, attempt)).await?;
    Ok(task.in_flight)
}

fn timeout_of(task: &HostTask, kind: StepKind) -> Result<Option<u64>, Failure> {
    Ok(task.plan()?.steps.iter().find(|planned| planned.kind == kind).map(|planned| planned.timeout_s))
}

fn files_timeout(task: &HostTask) -> Result<u64, Failure> {
    let timeout_s = timeout_of(task, StepKind::UploadFiles)?;
    timeout_s.ok_or_else(|| Failure::new(Code::Internal, "the plan brings no files"))
}
