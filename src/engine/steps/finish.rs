//! register and cleanup: the inventory learns of it, the target keeps only what the next job can use.

use crate::assets;
use crate::domain::Timestamp;
use crate::domain::event::Figures;
use crate::domain::host::Os;
use crate::domain::outcome::StepOutcome;
use crate::domain::package::Role;
use crate::domain::plan::{Plan, Step, Work};
use crate::domain::spec::Part;
use crate::engine::host_task::{Halt, HostTask, Went, within};
use crate::engine::retry::is_link;
use crate::store::{HostRow, TaskRow, Write};

/// Runs kept on a target (DESIGN 11), beside those of plugins.
pub(in crate::engine) const KEEP_RUNS: usize = 5;

pub(in crate::engine) async fn register(task: &mut HostTask) -> Result<Went, Halt> {
    let plan = task.plan()?;
    match registration(&plan, &task.row, task.job.clock.now()) {
        Some((write, detail)) => {
            task.write(write).await?;
            Ok(Went::changed(Figures::detail(detail)))
        }
        None => Ok(Went::unchanged("nothing to register")),
    }
}

/// What the inventory learns of a host whose plan is done, and the same for people.
pub(in crate::engine) fn registration(plan: &Plan, row: &TaskRow, at: Timestamp) -> Option<(Write, String)> {
    let installed = plan.work.installed();
    Some(match &plan.work {
        Work::Install { package, .. } => {
            // What the request left open is known as far as the package is for one system only.
            let (os, cpu) = (&package.manifest.os, &package.manifest.cpu);
            let mut spec = row.spec.host.clone();
            spec.os_type = spec.os_type.or(Os::of_package(os));
            let known = HostRow {
                address: row.address,
                spec,
                package: installed.name.clone(),
                version: installed.version.clone(),
                digest: installed.digest.clone(),
                cpu: Some(cpu.clone()).filter(|cpu| cpu != "any").unwrap_or_default(),
                role: installed.role,
                upstream: installed.upstream.clone(),
                job: row.job,
                at,
            };
            (Write::Register(Box::new(known)), format!("{} {}", installed.name, installed.version))
        }
        // Nobody needs its login any more.
        Work::Uninstall { .. } if row.spec.part == Part::Retired => {
            (Write::Remove(row.address), format!("{} is gone", installed.name))
        }
        Work::Uninstall { .. } => (Write::Forget(row.address), format!("{} is gone", installed.name)),
        Work::Restart { .. } | Work::Reload { .. } => return None,
    })
}

/// An agent that was reloaded reaches everything through what it was configured with now. RELOAD has no step that registers.
pub(in crate::engine) async fn note_upstream(task: &HostTask) -> Result<(), Halt> {
    let Work::Reload { installed, .. } = task.plan()?.work else { return Ok(()) };
    let known = task.job.store.host(task.row.address).await?;
    let upstream = &installed.upstream;
    match known.filter(|row| row.role == Role::Agent && row.upstream != *upstream) {
        Some(row) => task.write(Write::Register(Box::new(HostRow { upstream: upstream.clone(), ..row }))).await,
        None => Ok(()),
    }
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
    let Some((keep, mode)) = kept(&plan) else { return Ok(Went::unchanged("nothing to tidy up")) };
    // The agent's must not be pushed out by those of its plugins.
    let runs = (KEEP_RUNS + plan.plugins.len()).to_string();
    let tidied = async {
        let mut talk = if plan.is_windows() {
            let words: Vec<&str> = [&*owner, &*runs, mode].into_iter().chain(keep.split_whitespace()).collect();
            task.call(&plan, "cleanup", &words).await?
        } else {
            task.talk(&assets::CLEANUP, &[&plan.state_dir, &owner, &runs, &keep, mode]).await?
        };
        talk.last().await
    };
    match within(step, tidied).await {
        Ok(Some(word)) if word == "done" => Ok(Went::changed(Figures::default())),
        Ok(_) => Ok(warned(&"the host gave no answer")),
        Err(Halt::Failed(failure)) if !is_link(&failure) => Ok(warned(&failure)),
        Err(halt) => Err(halt),
    }
}

/// The blobs that stay on a target, parted by blanks, and the word that says what becomes of the others.
pub(in crate::engine) fn kept(plan: &Plan) -> Option<(String, &'static str)> {
    match &plan.work {
        Work::Install { .. } => {
            let blobs = std::iter::once(&plan.work).chain(&plan.plugins).filter_map(|work| match work {
                Work::Install { payload, package, .. } => Some(format!("{} {}", payload.sha256, package.sha256)),
                Work::Uninstall { .. } | Work::Restart { .. } | Work::Reload { .. } => None,
            });
            Some((blobs.collect::<Vec<_>>().join(" "), "keep"))
        }
        Work::Uninstall { .. } => Some((String::new(), "purge")),
        Work::Restart { .. } | Work::Reload { .. } => None,
    }
}

pub(in crate::engine) fn warned(why: &dyn std::fmt::Display) -> Went {
    Went::new(StepOutcome::Warned { message: format!("not tidied up: {why}") }, Figures::default())
}
