//! upload_files: rendered configuration and service files go to the task's stage directory, in one stream.

use bytes::Bytes;

use crate::assets;
use crate::domain::event::Figures;
use crate::domain::failure::{Code, Failure};
use crate::domain::plan::Step;
use crate::engine::host_task::{Halt, HostTask, Went, within};
use crate::plan::params;
use crate::plan::render::{self, RenderedFile, Values};

pub(in crate::engine) async fn carry_out(task: &mut HostTask, step: Step) -> Result<Went, Halt> {
    let plan = task.plan()?;
    let Some(package) = plan.work.configures() else {
        return Ok(Went::unchanged("nothing to upload"));
    };
    let installed = plan.work.installed();
    let archive = task.job.payloads.archive(package).await?;
    let values = Values::of(&task.row.spec, package, &plan.paths, &installed.vars);
    let files = render::stage(&package.manifest, installed, &values, &archive.templates)?;
    within(step, bring(task, &params::stage_dir(&plan, task.row.id), &files)).await?;
    let bytes: usize = files.iter().map(|file| file.bytes.len()).sum();
    Ok(Went::changed(Figures::detail(format!("{} files, {bytes} bytes", files.len()))))
}

async fn bring(task: &mut HostTask, stage: &str, files: &[RenderedFile]) -> Result<(), Halt> {
    let list = triples(files);
    let mut args = vec![stage];
    args.extend(list.iter().map(String::as_str));
    let name = format!("{}.files", task.row.id);
    let mut talk = task.talk_with(&assets::BUNDLE, &args, (&name, stream(files))).await?;
    match talk.last().await?.as_deref() {
        Some("stored") => Ok(()),
        other => {
            let message = format!("the host did not store the files ({})", other.unwrap_or("no answer"));
            Err(Failure::new(Code::ConnectionLost, message).with_tail(&talk.complaint()).into())
        }
    }
}

/// NAME MODE SIZE of each file, as `receive.sh` wants them.
pub(super) fn triples(files: &[RenderedFile]) -> Vec<String> {
    files.iter().flat_map(|file| [file.name.clone(), file.mode.clone(), file.bytes.len().to_string()]).collect()
}

/// The files' bytes one after another.
pub(super) fn stream(files: &[RenderedFile]) -> Bytes {
    files.iter().flat_map(|file| file.bytes.iter().copied()).collect()
}
