//! Jobs: their kinds, and the status of a job as a fold over its hosts.

use serde::{Deserialize, Serialize};

use super::outcome::Outcome;
use super::package::Role;

/// What a job does. The published table plus `REPLACE_PROXY`, which the document names but forgets to list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[expect(missing_docs, reason = "the published words say it")]
pub enum JobKind {
    InstallAgent,
    RestartAgent,
    ReinstallAgent,
    UninstallAgent,
    RemoveAgent,
    UpgradeAgent,
    ReloadAgent,
    InstallProxy,
    RestartProxy,
    ReinstallProxy,
    UninstallProxy,
    UpgradeProxy,
    ReloadProxy,
    ReplaceProxy,
}

impl JobKind {
    /// All kinds.
    pub const ALL: [Self; 14] = [
        Self::InstallAgent,
        Self::RestartAgent,
        Self::ReinstallAgent,
        Self::UninstallAgent,
        Self::RemoveAgent,
        Self::UpgradeAgent,
        Self::ReloadAgent,
        Self::InstallProxy,
        Self::RestartProxy,
        Self::ReinstallProxy,
        Self::UninstallProxy,
        Self::UpgradeProxy,
        Self::ReloadProxy,
        Self::ReplaceProxy,
    ];

    /// The published word.
    #[must_use]
    pub fn wire_name(self) -> &'static str {
        match self {
            Self::InstallAgent => "INSTALL_AGENT",
            Self::RestartAgent => "RESTART_AGENT",
            Self::ReinstallAgent => "REINSTALL_AGENT",
            Self::UninstallAgent => "UNINSTALL_AGENT",
            Self::RemoveAgent => "REMOVE_AGENT",
            Self::UpgradeAgent => "UPGRADE_AGENT",
            Self::ReloadAgent => "RELOAD_AGENT",
            Self::InstallProxy => "INSTALL_PROXY",
            Self::RestartProxy => "RESTART_PROXY",
            Self::ReinstallProxy => "REINSTALL_PROXY",
            Self::UninstallProxy => "UNINSTALL_PROXY",
            Self::UpgradeProxy => "UPGRADE_PROXY",
            Self::ReloadProxy => "RELOAD_PROXY",
            Self::ReplaceProxy => "REPLACE_PROXY",
        }
    }

    /// Reads [`Self::wire_name`].
    #[must_use]
    pub fn from_wire(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.wire_name() == name)
    }

    /// Does it concern proxies or agents?
    #[must_use]
    pub fn role(self) -> Role {
        match self {
            Self::InstallProxy
            | Self::RestartProxy
            | Self::ReinstallProxy
            | Self::UninstallProxy
            | Self::UpgradeProxy
            | Self::ReloadProxy
            | Self::ReplaceProxy => Role::Proxy,
            Self::InstallAgent
            | Self::RestartAgent
            | Self::ReinstallAgent
            | Self::UninstallAgent
            | Self::RemoveAgent
            | Self::UpgradeAgent
            | Self::ReloadAgent => Role::Agent,
        }
    }

    /// Does it put a package on the host?
    #[must_use]
    pub fn installs(self) -> bool {
        matches!(
            self,
            Self::InstallAgent
                | Self::ReinstallAgent
                | Self::UpgradeAgent
                | Self::InstallProxy
                | Self::ReinstallProxy
                | Self::UpgradeProxy
                | Self::ReplaceProxy
        )
    }

    /// Does it render configuration, which tells the access point?
    #[must_use]
    pub fn configures(self) -> bool {
        self.installs() || matches!(self, Self::ReloadAgent | Self::ReloadProxy)
    }

    /// Must the request bring a login? Elsewhere a kept one may stand in (upstream's rule 6, `reference/upstream.md` 1.4).
    #[must_use]
    pub fn needs_login(self) -> bool {
        matches!(self, Self::InstallAgent | Self::InstallProxy | Self::ReplaceProxy)
    }

    /// Can a person do it who runs a script on the host? An upgrade may have to be switched back, which wants somebody to
    /// decide it, and the script of a proxy is another one.
    #[must_use]
    pub fn can_be_by_hand(self) -> bool {
        matches!(self, Self::InstallAgent | Self::ReinstallAgent | Self::UninstallAgent | Self::RestartAgent | Self::ReloadAgent)
    }

    /// Does it touch the machine? REMOVE_AGENT only forgets it (DESIGN 2), so that no login is used.
    #[must_use]
    pub fn touches_host(self) -> bool {
        self != Self::RemoveAgent
    }

    /// Does it put another release beside the one that is there?
    #[must_use]
    pub fn upgrades(self) -> bool {
        matches!(self, Self::UpgradeAgent | Self::UpgradeProxy)
    }
}

/// The nine published statuses, of jobs and of hosts in them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[expect(missing_docs, reason = "the published words say it")]
pub enum Status {
    Pending,
    Running,
    Failed,
    Success,
    PartFailed,
    Terminated,
    Removed,
    Filtered,
    Ignored,
}

impl Status {
    /// The published word.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Pending => "PENDING",
            Self::Running => "RUNNING",
            Self::Failed => "FAILED",
            Self::Success => "SUCCESS",
            Self::PartFailed => "PART_FAILED",
            Self::Terminated => "TERMINATED",
            Self::Removed => "REMOVED",
            Self::Filtered => "FILTERED",
            Self::Ignored => "IGNORED",
        }
    }

    /// The wire status of a host that ended so. Interrupted is not terminal: RUNNING on the wire (DESIGN 5).
    #[must_use]
    pub fn of_outcome(outcome: &Outcome) -> Self {
        match outcome {
            Outcome::Succeeded | Outcome::Skipped { .. } => Self::Success,
            Outcome::Failed { .. } | Outcome::Unknown { .. } => Self::Failed,
            Outcome::Interrupted { .. } => Self::Running,
            Outcome::Terminated { .. } => Self::Terminated,
            Outcome::Removed => Self::Removed,
        }
    }

    /// Status of a job from the statuses of all its hosts, ignored ones included (DESIGN 5).
    #[must_use]
    pub fn fold(hosts: impl IntoIterator<Item = Self>) -> Self {
        let counts = Statistics::of(hosts);
        let open = counts.pending_count + counts.running_count;
        if counts.total_count == 0 || (open > 0 && open == counts.pending_count && counts.settled() == 0) {
            Self::Pending
        } else if open > 0 {
            Self::Running
        } else if counts.failed_count == 0 {
            Self::Success
        } else if counts.success_count == 0 {
            Self::Failed
        } else {
            Self::PartFailed
        }
    }
}

/// Hosts of a job by how they stand, under the published keys.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Statistics {
    /// All hosts of the request.
    pub total_count: u64,
    /// SUCCESS.
    pub success_count: u64,
    /// FAILED and TERMINATED.
    pub failed_count: u64,
    /// IGNORED, FILTERED and REMOVED.
    pub ignored_count: u64,
    /// PENDING.
    pub pending_count: u64,
    /// RUNNING.
    pub running_count: u64,
}

impl Statistics {
    /// Counts the hosts.
    #[must_use]
    pub fn of(hosts: impl IntoIterator<Item = Status>) -> Self {
        let mut counts = Self::default();
        for status in hosts {
            counts.total_count += 1;
            match status {
                Status::Pending => counts.pending_count += 1,
                Status::Running => counts.running_count += 1,
                Status::Success => counts.success_count += 1,
                Status::Failed | Status::Terminated | Status::PartFailed => counts.failed_count += 1,
                Status::Ignored | Status::Filtered | Status::Removed => counts.ignored_count += 1,
            }
        }
        counts
    }

    /// Hosts that began and ended.
    #[must_use]
    pub fn settled(&self) -> u64 {
        self.success_count + self.failed_count
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Status::{Failed, Filtered, Ignored, PartFailed, Pending, Removed, Running, Success, Terminated};

    #[test]
    fn the_status_of_a_job_is_a_fold_over_its_hosts() {
        let table: &[(&[Status], Status)] = &[
            (&[], Pending),
            (&[Pending, Pending], Pending),
            (&[Pending, Ignored], Pending),
            (&[Ignored, Ignored], Success),
            (&[Running, Success], Running),
            (&[Pending, Success], Running),
            (&[Pending, Failed], Running),
            (&[Success, Success], Success),
            (&[Success, Ignored, Filtered, Removed], Success),
            (&[Failed, Ignored], Failed),
            (&[Failed, Failed], Failed),
            (&[Failed, Success], PartFailed),
            (&[Terminated, Success], PartFailed),
            (&[Terminated], Failed),
        ];
        for (hosts, status) in table {
            assert_eq!(Status::fold(hosts.iter().copied()), *status, "{hosts:?}");
        }
    }

    #[test]
    fn wire_names_go_both_ways() {
        for kind in JobKind::ALL {
            assert_eq!(JobKind::from_wire(kind.wire_name()), Some(kind));
            assert_eq!(serde_json::to_value(kind).unwrap(), kind.wire_name());
        }
        assert_eq!(JobKind::from_wire("install_agent"), None);
    }
}
