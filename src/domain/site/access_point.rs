//! An access point: the servers that agents connect to, and the places of agents there.
//!
//! Never here: which one a host takes (`plan::nearest`).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Paths, target_path};

/// Where agents connect to, and where they live on a host.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AccessPoint {
    /// `ap_id`.
    pub id: i64,
    /// Shown in messages and templates.
    #[serde(default)]
    pub name: String,
    /// Server lists by purpose (`cluster`, `file`, `data`), each `address:port`.
    #[serde(default)]
    pub servers: BTreeMap<String, Vec<String>>,
    /// Paths on Linux, AIX and Solaris.
    #[serde(default)]
    pub linux: Paths,
    /// Paths on Windows.
    #[serde(default)]
    pub windows: Paths,
}

impl Default for AccessPoint {
    fn default() -> Self {
        Self { id: 1, name: "default".into(), servers: BTreeMap::new(), linux: Paths::default(), windows: Paths::default() }
    }
}

impl AccessPoint {
    /// Paths that are none of their system.
    pub(super) fn path_faults(&self) -> impl Iterator<Item = String> {
        let of_linux = |path: &str| (!path.starts_with('/')).then_some("must be an absolute path that begins with /");
        let linux = self.linux.given().filter_map(move |(name, path)| {
            let fault = target_path::fault(path).or_else(|| of_linux(path))?;
            Some(format!("linux.{name} {fault}"))
        });
        let windows = self.windows.given().filter_map(|(name, path)| {
            let fault = target_path::fault(path).or_else(|| target_path::windows_fault(path))?;
            Some(format!("windows.{name} {fault}"))
        });
        linux.chain(windows)
    }
}
