//! upload_files: rendered configuration and service files go to the task's stage directory, in one stream.

use bytes::Bytes;

use crate::assets;
use crate::domain::event::Figures;
use crate::domain::failure::{Code, Failure};
use crate::domain::package::PackageEntry;
use crate::domain::plan::{Plan, Step, StepKind};
use crate::domain::spec::TaskSpec;
use crate::engine::host_task::{Halt, HostTask, Went, within};
use crate::plan::params;
use crate::plan::render::{self, RenderedFile, Templates, Values};

pub(in crate::engine) async fn carry_out(task: &mut HostTask, step: Step) -> Result<Went, Halt> {
    let plan = task.plan_of(step.kind)?;
    let Some(package) = plan.work.configures() else {
        return Ok(Went::unchanged("nothing to upload"));
    };
    let archive = task.job.payloads.archive(package).await?;
    let files = rendered(&plan, package, &archive.templates, &task.row.spec)?;
    within(step, bring(task, &plan, step.kind, &files)).await?;
    let bytes: usize = files.iter().map(|file| file.bytes.len()).sum();
    Ok(Went::changed(Figures::detail(format!("{} files, {bytes} bytes", files.len()))))
}

/// The files that a plan brings beside the package.
pub(in crate::engine) fn rendered(
    plan: &Plan,
    package: &PackageEntry,
    templates: &Templates,
    task: &TaskSpec,
) -> Result<Vec<RenderedFile>, Failure> {
    let installed = plan.work.installed();
    let values = Values::of(task, package, &plan.paths, &installed.vars, &installed.upstream);
    render::stage(&package.manifest, installed, &values, templates, plan.system())
}

async fn bring(task: &mut HostTask, plan: &Plan, step: StepKind, files: &[RenderedFile]) -> Result<(), Halt> {
    let mut talk = if plan.is_windows() {
        let name = params::stage_name((task.row.id, step));
        task.stage_files(plan, &name, files).await?;
        task.call(plan, "bundle", &[&name]).await?
    } else {
        let stage = params::stage_dir(plan, (task.row.id, step));
        let list = triples(files);
        let mut args = vec![stage.as_str()];
        args.extend(list.iter().map(String::as_str));
        let name = format!("{}.files", task.row.id);
        task.talk_with(&assets::BUNDLE, &args, (&name, stream(files))).await?
    };
    match talk.last().await?.as_deref() {
        Some("stored") => Ok(()),
        other => {
            let message = format!("the host did not store the files ({})", other.unwrap_or("no answer"));
            Err(Failure::new(Code::ConnectionLost, message).with_tail(&talk.complaint()).into())
        }
    }
}

/// NAME MODE SIZE of each file, as `receive.sh` wants them.
pub(in crate::engine) fn triples(files: &[RenderedFile]) -> Vec<String> {
    files.iter().flat_map(|file| [file.name.clone(), file.mode.clone(), file.bytes.len().to_string()]).collect()
}

/// The files' bytes one after another.
pub(in crate::engine) fn stream(files: &[RenderedFile]) -> Bytes {
    files.iter().flat_map(|file| file.bytes.iter().copied()).collect()
}
