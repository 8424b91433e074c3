//! Identities: of jobs, host tasks, runs and events.

use std::fmt;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::plan::StepKind;

/// Number of a job, given by the record; counts up from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct JobId(pub i64);

impl fmt::Display for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Identity of one host in one job, unique over all records.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TaskId(pub Uuid);

impl fmt::Display for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Position of an event in its job's journal: 1, 2, 3 ... without gaps. Order by this, never by time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Seq(pub i64);

/// How often a host task was claimed. Every append carries it; the record refuses an older one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Epoch(pub i64);

/// Names one start of a script on a target: directory, unit name and argument at once, so only `[A-Za-z0-9_-]`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RunId(String);

impl RunId {
    /// The run of `step` in its `attempt`-th try on the host of `task`.
    #[must_use]
    pub fn new(task: TaskId, step: StepKind, attempt: u32) -> Self {
        match step.plugin() {
            None => Self(format!("{task}-{}-{attempt}", step.word())),
            Some(plugin) => Self(format!("{task}-{}-{}-{attempt}", step.word(), plugin.slug())),
        }
    }

    /// The name as it stands on the target.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::plan::PluginName;

    #[test]
    fn a_run_id_is_safe_as_a_file_name_a_unit_name_and_an_argument() {
        let id = RunId::new(TaskId(Uuid::now_v7()), StepKind::RunScript, 2);
        assert!(id.as_str().bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_'));
        assert!(id.as_str().ends_with("-run_script-2"));
        let id = RunId::new(TaskId(Uuid::now_v7()), StepKind::InstallPlugins(PluginName::new("a.b_c-d").unwrap()), 1);
        assert!(id.as_str().bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_'), "{id}");
        assert!(id.as_str().ends_with("-install_plugins-aDb_c-d-1"), "{id}");
    }
}
