//! The parameter file of a script run: `key=value` lines (`scripts/README.md`). No secret is ever in it.

use crate::domain::failure::{Code, Failure};
use crate::domain::id::{Epoch, RunId, TaskId};
use crate::domain::plan::{Plan, StepKind, Work};

/// The run a parameter file is for.
#[derive(Clone, Debug)]
pub struct Run {
    /// Its id on the target.
    pub id: RunId,
    /// The step that runs it.
    pub step: StepKind,
    /// The host task.
    pub task: TaskId,
    /// Number of the claim.
    pub epoch: Epoch,
}

/// The parameter file of `run`.
///
/// `plan` is as the step sees it.
///
/// # Errors
/// [`Code::Template`] when a value does not fit on a line.
pub fn render(plan: &Plan, run: &Run) -> Result<String, Failure> {
    let installed = plan.work.installed();
    let stage = stage_dir(plan, (run.task, run.step));
    let mut lines: Vec<(&str, String)> = vec![
        ("run_id", run.id.to_string()),
        ("task", run.task.to_string()),
        ("action", plan.work.action(run.step).into()),
        ("state", plan.state_dir.clone()),
        ("name", installed.name.clone()),
        ("version", installed.version.clone()),
        ("release", installed.release.clone()),
        ("digest", installed.digest.clone()),
        ("setup_path", plan.paths.setup_path.clone()),
        ("data_path", plan.paths.data_path.clone()),
        ("run_path", plan.paths.run_path.clone()),
        ("log_path", plan.paths.log_path.clone()),
        ("temp_path", plan.paths.temp_path.clone()),
        ("stage", stage),
        ("process", "own".into()),
    ];
    if plan.is_windows() {
        lines.push(("service", if installed.service { "yes" } else { "no" }.into()));
    }
    if let Some(user) = &installed.user {
        lines.push(("user", user.clone()));
    }
    if let Work::Install { package, payload, .. } = &plan.work {
        lines.push(("blob", blob_path(plan, &payload.sha256)));
        lines.push(("form", payload.form.word().into()));
        lines.push(("need_kb", (package.unpacked / 1024 + 1024).to_string()));
    }
    for config in plan.work.configures().map_or(&[][..], |package| &package.manifest.config) {
        lines.push(("config", format!("{} {}", config.mode, config.to)));
    }
    let mut text = String::new();
    for (key, value) in lines {
        if value.contains(['\n', '\r', '\0']) {
            return Err(Failure::new(Code::Template, format!("{key} must be one line")));
        }
        text.extend([key, "=", &value, "\n"]);
    }
    Ok(text)
}

/// Where the rendered files of a task are on the target; a plugin's are apart.
#[must_use]
pub fn stage_dir(plan: &Plan, of: (TaskId, StepKind)) -> String {
    plan.place(&["stage", &stage_name(of)])
}

/// The directory's own name.
#[must_use]
pub fn stage_name((task, step): (TaskId, StepKind)) -> String {
    let plugin = step.plugin().map_or_else(String::new, |plugin| format!("-{}", plugin.slug()));
    format!("{task}{plugin}")
}

/// Where a payload is on the target.
#[must_use]
pub fn blob_path(plan: &Plan, sha256: &str) -> String {
    plan.place(&["blobs", sha256])
}

/// Where a run is on the target.
#[must_use]
pub fn run_dir(plan: &Plan, run: &RunId) -> String {
    plan.place(&["runs", run.as_str()])
}
