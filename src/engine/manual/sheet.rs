//! What a script is told of its plan, as `key=value` lines, and the bytes that it fetches.
//!
//! Never here: how a step is done (`scripts/unix/manual.sh`, `scripts/windows/manual.bat`); what only batch files are told
//! ([`super::batch`]).

use bytes::Bytes;

use super::{Engine, ManualError, Visit};
use crate::domain::failure::{Code, Failure};
use crate::domain::id::RunId;
use crate::domain::package::Question;
use crate::domain::plan::{Plan, StepKind, Work};
use crate::engine::payload::Payload;
use crate::engine::steps::files::{rendered, stream};
use crate::engine::steps::finish::{KEEP_RUNS, kept};
use crate::engine::steps::script::files_of;
use crate::engine::steps::verify::in_current;
use crate::packages::archive::digest;
use crate::plan::params::{self, Run};
use crate::plan::render::RenderedFile;

/// What a script may fetch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Part {
    /// The package, in the form that travels.
    Package,
    /// The rendered files of the plan, one after another.
    Files,
    /// Script, runner and parameters of the run, one after another.
    Run,
    /// What the agent is asked.
    Health,
    /// Windows: one of our programs.
    Program,
    /// Windows: setup path and temp path, a line each.
    Places,
    /// Windows: one of the rendered files.
    File,
    /// Windows: the files of a package that travels unpacked.
    List,
    /// Windows: one of them.
    Leaf,
    /// Windows: the parameters of the run.
    Params,
}

/// Which bytes.
#[derive(Clone, Copy, Debug)]
pub struct Piece {
    /// Of what.
    pub part: Part,
    /// Which of several, from 0.
    pub at: usize,
    /// From there on.
    pub offset: u64,
}

impl Engine {
    /// The plan as the script reads it.
    pub(super) async fn sheet(&self, visit: &Visit) -> Result<Bytes, ManualError> {
        let plan = visit.plan()?;
        let mut lines: Vec<(&str, String)> = vec![
            ("state", plan.state_dir.clone()),
            ("task", visit.row.id.to_string()),
            ("epoch", visit.claim.epoch.0.to_string()),
            ("digest_tool", plan.digest_tool.clone()),
            ("action", plan.work.action(StepKind::RunScript).into()),
        ];
        if let Work::Install { payload, .. } = &plan.work {
            lines.push(("package", format!("{} {}", payload.sha256, payload.size)));
        }
        lines.extend(if plan.is_windows() { visit.batch_lines().await? } else { visit.shell_lines().await? });
        let run = visit.run();
        let attempt = visit.attempt_of(StepKind::RunScript);
        if attempt > 1 {
            // What the attempt before may have left running must not meet this one.
            lines.push(("before", RunId::new(visit.row.id, StepKind::RunScript, attempt - 1).to_string()));
        }
        lines.push(("run_id", run.id.to_string()));
        let log_at = self.store.output_end(visit.row.id, StepKind::RunScript, attempt).await?;
        lines.push(("log_at", log_at.to_string()));
        if let Some((mode, _)) = question(plan) {
            lines.push(("health", format!("{} {mode}", plan.work.installed().health.timeout_s)));
        }
        if let Some((blobs, mode)) = kept(plan) {
            lines.push(("cleanup", format!("{KEEP_RUNS} {mode} {blobs}")));
        }
        let by_hand = plan.steps.iter().filter(|step| !matches!(step.kind, StepKind::Probe | StepKind::Register));
        lines.extend(by_hand.map(|step| ("step", format!("{} {}", step.kind, step.timeout_s))));
        let text = text(&lines)?;
        Ok(if plan.is_windows() { super::batch::encoded(plan, &text)? } else { text.into() })
    }

    /// The bytes of a part.
    ///
    /// # Errors
    /// [`ManualError::OutOfTurn`] when the plan has no such part, or it is shorter; when packages or templates fail.
    pub async fn part(&self, visit: &Visit, wanted: Piece) -> Result<Bytes, ManualError> {
        let whole = match wanted.part {
            Part::Package => visit.payload().await?.map(|payload| payload.bytes),
            Part::Files => visit.files().await?.map(|files| stream(&files)),
            Part::Run => Some(stream(&files_of(visit.plan()?, &visit.run())?)),
            Part::Health => question(visit.plan()?).map(|(_, question)| question.into()),
            Part::Program | Part::Places | Part::File | Part::List | Part::Leaf | Part::Params => {
                visit.batch_part(wanted.part, wanted.at).await?
            }
        };
        let whole = whole.ok_or_else(|| ManualError::OutOfTurn("the plan has no such part".into()))?;
        let offset = usize::try_from(wanted.offset).ok().filter(|offset| *offset <= whole.len());
        Ok(whole.slice(offset.ok_or_else(|| ManualError::OutOfTurn("the part is shorter than that".into()))?..))
    }
}

impl Visit {
    /// What only sh is told: files come in one stream, and are parted by their sizes.
    async fn shell_lines(&self) -> Result<Vec<(&'static str, String)>, ManualError> {
        let plan = self.plan()?;
        let mut lines = Vec::new();
        if let Some(files) = self.files().await? {
            lines.push(("stage", params::stage_dir(plan, (self.row.id, StepKind::UploadFiles))));
            lines.push(("files_sha256", digest(&stream(&files))));
            lines.extend(files.iter().map(|file| ("file", triple(file))));
        }
        let files = files_of(plan, &self.run())?;
        lines.push(("run_sha256", digest(&stream(&files))));
        lines.extend(files.iter().map(|file| ("run_file", triple(file))));
        Ok(lines)
    }

    pub(super) fn run(&self) -> Run {
        let step = StepKind::RunScript;
        let id = RunId::new(self.row.id, step, self.attempt_of(step));
        Run { id, step, task: self.row.id, epoch: self.claim.epoch }
    }

    pub(super) async fn files(&self) -> Result<Option<Vec<RenderedFile>>, ManualError> {
        let plan = self.plan()?;
        let Some(package) = plan.work.configures() else { return Ok(None) };
        let archive = self.payloads.archive(package).await?;
        Ok(Some(rendered(plan, package, &archive.templates, &self.row.spec)?))
    }

    pub(super) async fn payload(&self) -> Result<Option<Payload>, ManualError> {
        let Work::Install { package, payload: wanted, .. } = &self.plan()?.work else { return Ok(None) };
        let archive = self.payloads.archive(package).await?;
        let payload = archive.payload(wanted.form, self.row.spec.host.enable_compression).await?;
        if payload.reference != *wanted {
            return Err(Failure::new(Code::Internal, "the package is not made of the same bytes again").into());
        }
        Ok(Some(payload))
    }
}

/// How the agent is asked, and what.
fn question(plan: &Plan) -> Option<(&'static str, String)> {
    Some(match plan.work.installed().health.question()? {
        Question::Http(url) => ("http", url.to_owned()),
        Question::Tcp(endpoint) => ("tcp", endpoint.to_owned()),
        Question::Command(command) => ("command", in_current(plan, command)),
    })
}

/// The name last: it may hold blanks.
fn triple(file: &RenderedFile) -> String {
    format!("{} {} {}", file.mode, file.bytes.len(), file.name)
}

fn text(lines: &[(&str, String)]) -> Result<String, ManualError> {
    let mut text = String::new();
    for (key, value) in lines {
        if value.contains(['\n', '\r', '\0']) {
            return Err(Failure::new(Code::Template, format!("{key} must be one line")).into());
        }
        text.extend([key, "=", value, "\n"]);
    }
    Ok(text)
}
