//! What a job and a host task are, as the record keeps them: everything a run needs but its secrets.

use serde::{Deserialize, Serialize};

use super::host::HostSpec;
use super::job::JobKind;
use super::package::PackageChoice;
use super::plan::Step;
use super::site::{AccessPoint, Paths};

/// What a job is, beside its hosts. Stored as JSON.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct JobSpec {
    /// Its kind.
    pub kind: JobKind,
    /// The package to install.
    #[serde(default)]
    pub package: PackageChoice,
    /// Package variables (extension field `vars`).
    #[serde(default)]
    pub vars: serde_json::Map<String, serde_json::Value>,
    /// Paths for all hosts (extension field `paths`).
    #[serde(default)]
    pub paths: Paths,
    /// Upload budget of the job in MB/s (`limits.upload_mb_per_s`); 0 = none.
    #[serde(default)]
    pub upload_mb_per_s: u32,
    /// The businesses of its hosts, in ascending order.
    #[serde(default)]
    pub businesses: Vec<i64>,
}

/// What a host task is. Stored as JSON; no secret in it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TaskSpec {
    /// The host as requested.
    pub host: HostSpec,
    /// Its access point, as the site had it at submission.
    pub access_point: AccessPoint,
    /// Name of its cloud.
    pub cloud_name: String,
    /// The outline of its plan.
    pub outline: Vec<Step>,
}
