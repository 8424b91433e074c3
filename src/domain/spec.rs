//! What a job and a host task are, as the record keeps them: everything a run needs but its secrets.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::host::HostSpec;
use super::id::JobId;
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
    /// Install the newest plugins that are marked for it, too (`is_install_latest_plugins`).
    #[serde(default)]
    pub install_latest_plugins: bool,
    /// The businesses of its hosts, in ascending order.
    #[serde(default)]
    pub businesses: Vec<i64>,
    /// REPLACE_PROXY: are the agents behind the old proxy pointed at the new one (`repoint_agents`)?
    #[serde(default)]
    pub repoint_agents: bool,
    /// The job that began this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<JobId>,
}

impl JobSpec {
    /// A job of that kind that asks for nothing beside.
    #[must_use]
    pub fn of(kind: JobKind) -> Self {
        Self {
            kind,
            package: PackageChoice::default(),
            vars: serde_json::Map::new(),
            paths: Paths::default(),
            upload_mb_per_s: 0,
            install_latest_plugins: false,
            businesses: Vec::new(),
            repoint_agents: false,
            parent: None,
        }
    }
}

/// What a host task is. Stored as JSON; no secret in it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TaskSpec {
    /// The host as requested.
    pub host: HostSpec,
    /// Its access point, as the site had it at submission; the first one there is, as long as the nearest is to be found.
    pub access_point: AccessPoint,
    /// Name of its cloud.
    pub cloud_name: String,
    /// What its agent reports to in place of the access point's servers, as far as it is known; none = to those.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub upstream: Vec<IpAddr>,
    /// The outline of its plan.
    pub outline: Vec<Step>,
    /// What its job wants of this host.
    #[serde(default, skip_serializing_if = "Part::is_whole")]
    pub part: Part,
}

impl TaskSpec {
    /// What is done on this host, which is not what the job is called when it is the old proxy of a replacement.
    #[must_use]
    pub fn kind(&self, job: &JobSpec) -> JobKind {
        match self.part {
            Part::Whole => job.kind,
            Part::Retired => JobKind::UninstallProxy,
        }
    }
}

/// What a job wants of one of its hosts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Part {
    /// What its kind says.
    #[default]
    Whole,
    /// REPLACE_PROXY: this is the old proxy, which goes out of service when the other host of the job is a proven one.
    Retired,
}

impl Part {
    fn is_whole(&self) -> bool {
        *self == Self::Whole
    }
}

impl TaskSpec {
    /// From now on the host has this access point: it asked for the nearest, and this is the one.
    pub fn take_access_point(&mut self, point: AccessPoint) {
        self.host.ap_id = point.id;
        self.access_point = point;
    }
}
