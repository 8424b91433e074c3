//! register and cleanup: the inventory learns of it, the target keeps only what the next job can use.

use crate::assets;
use crate::domain::event::Figures;
use crate::domain::host::Os;
use crate::domain::outcome::StepOutcome;
use crate::domain::plan::{Step, Work};
use crate::engine::host_task::{Halt, HostTask, Went, within};
use crate::engine::retry::is_link;
use crate::store::{HostRow, Write};

/// Runs kept on a target (DESIGN 11).
const KEEP_RUNS: &str = "5";

pub(in crate::engine) async fn register(task: &mut HostTask) -> Result<Went, Halt> {
    let plan = task.plan()?;
    let installed = plan.work.installed();
    let (write, detail) = match &plan.work {
        Work::Install { package, .. } => {
            // What the request left open is known as far as the package is for one system only.
            let (os, cpu) = (&package.manifest.os, &package.manifest.cpu);
            let mut spec = task.row.spec.host.clone();
            spec.os_type = spec.os_type.or(Os::of_package(os));
            let row = HostRow {
                address: task.row.address,
                spec,
                package: installed.name.clone(),
                version: installed.version.clone(),
                digest: installed.digest.clone(),
                cpu: Some(cpu.clone()).filter(|cpu| cpu != "any").unwrap_or_default(),
                job: task.job.job,
                at: task.job.clock.now(),
            };
            (Write::Register(Box::new(row)), format!("{} {}", installed.name, installed.version))
        }
        Work::Uninstall { .. } => (Write::Forget(task.row.address), format!("{} is gone", installed.name)),
        Work::Restart { .. } | Work::Reload { .. } => return Ok(Went::unchanged("nothing to register")),
    };
    task.write(write).await?;
    Ok(Went::changed(Figures::detail(detail)))
}

/// The host goes out of the inventory, and its kept logins with it; the machine is not touched.
pub(in crate::engine) async fn forget(task: &mut HostTask) -> Result<Went, Halt> {
    let address = task.row.address;
    let known = task.job.store.host(address).await?;
    task.write(Write::Remove(address)).await?;
    Ok(match known {
        Some(row) => Went::changed(Figures::detail(format!("{} {} of job {}", row.package, row.version, row.job))),
        None => Went::unchanged("the inventory did not know the host"),
    })
}

/// A target that could not be tidied has its agent all the same: a warning, not a failure. A lost connection is tried again
/// first, because what is left behind now nobody takes away later; the host task warns in the end.
pub(in crate::engine) async fn cleanup(task: &mut HostTask, step: Step) -> Result<Went, Halt> {
    let plan = task.plan()?;
    let owner = task.row.id.to_string();
    let (keep, mode) = match &plan.work {
        Work::Install { payload, package, .. } => (format!("{} {}", payload.sha256, package.sha256), "keep"),
        Work::Uninstall { .. } => (String::new(), "purge"),
        Work::Restart { .. } | Work::Reload { .. } => return Ok(Went::unchanged("nothing to tidy up")),
    };
    let tidied = async {
        let mut talk = task.talk(&assets::CLEANUP, &[&plan.state_dir, &owner, KEEP_RUNS, &keep, mode]).await?;
        talk.last().await
    };
    match within(step, tidied).await {
        Ok(Some(word)) if word == "done" => Ok(Went::changed(Figures::default())),
        Ok(_) => Ok(warned(&"the host gave no answer")),
        Err(Halt::Failed(failure)) if !is_link(&failure) => Ok(warned(&failure)),
        Err(halt) => Err(halt),
    }
}

pub(in crate::engine) fn warned(why: &dyn std::fmt::Display) -> Went {
    Went::new(StepOutcome::Warned { message: format!("not tidied up: {why}") }, Figures::default())
}
