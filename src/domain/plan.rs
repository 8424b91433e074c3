//! Plans: the ordered, stored list of what will be done on a host.
//!
//! A plan is a value, not code: it can be stored, shown to a person, and taken up again after a crash. It is made in two
//! pure passes (`crate::plan`): the *outline* is stored with the job, the *settled* plan before the first change.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::installed::Installed;
use super::package::PackageEntry;
use super::shell::Dialect;
use super::site::HostPaths;

/// What a step does; its word is its id on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum StepKind {
    /// Log in.
    Connect,
    /// Learn what the host is, and become root.
    Probe,
    /// Bring the package.
    UploadPackage,
    /// Bring rendered configuration.
    UploadFiles,
    /// Run the install script, detached.
    RunScript,
    /// Ask the agent.
    Verify,
    /// Make sure that it is gone.
    VerifyGone,
    /// After an upgrade in vain: start the old release again, and ask it. In the record only then.
    SwitchBack,
    /// Write the inventory.
    Register,
    /// Take the host out of the inventory, with its kept logins. The machine is not touched.
    Forget,
    /// Take away what is no longer needed.
    Cleanup,
}

impl StepKind {
    /// The id on the wire.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Probe => "probe",
            Self::UploadPackage => "upload_package",
            Self::UploadFiles => "upload_files",
            Self::RunScript => "run_script",
            Self::Verify => "verify",
            Self::VerifyGone => "verify_gone",
            Self::SwitchBack => "switch_back",
            Self::Register => "register",
            Self::Forget => "forget",
            Self::Cleanup => "cleanup",
        }
    }

    /// What recovery may do with the step when it had begun.
    #[must_use]
    pub fn effect(self) -> Effect {
        match self {
            Self::Connect | Self::Probe | Self::Verify | Self::VerifyGone => Effect::ReadOnly,
            // A run is guarded by its run id on the target (DESIGN 11).
            Self::UploadPackage
            | Self::UploadFiles
            | Self::RunScript
            | Self::SwitchBack
            | Self::Register
            | Self::Forget
            | Self::Cleanup => Effect::Idempotent,
        }
    }

    /// Is it done on the host itself, so that it needs a session?
    #[must_use]
    pub fn is_on_host(self) -> bool {
        !matches!(self, Self::Connect | Self::Register | Self::Forget)
    }

    /// Does it start a script on the host, detached?
    #[must_use]
    pub fn is_run(self) -> bool {
        matches!(self, Self::RunScript | Self::SwitchBack)
    }

    /// Does a person see the host changed by it?
    #[must_use]
    pub fn changes_host(self) -> bool {
        matches!(self, Self::UploadPackage | Self::UploadFiles | Self::RunScript | Self::SwitchBack | Self::Cleanup)
    }
}

impl fmt::Display for StepKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// What recovery may do with a step that had begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Effect {
    /// Changes nothing.
    ReadOnly,
    /// Twice is as good as once.
    Idempotent,
    /// Must not be done twice.
    OneShot,
}

/// One step of a plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// What it does.
    pub kind: StepKind,
    /// Deadline of one attempt, seconds. Uploads have a progress deadline instead and carry 0.
    pub timeout_s: u64,
}

impl Step {
    /// The deadline; `None` where progress is the deadline.
    #[must_use]
    pub fn deadline(&self) -> Option<Duration> {
        (self.timeout_s > 0).then(|| Duration::from_secs(self.timeout_s))
    }
}

/// How root is reached on the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Privilege {
    /// The account is root.
    Root,
    /// By sudo; a password goes out only at its own prompt.
    Sudo,
    /// By sudo on a terminal, which it insists on (requiretty).
    SudoOnTerminal,
    /// By su, which asks on a terminal only, and for root's own password.
    Su,
    /// By doas, which asks nothing.
    Doas,
    /// By doas, which asks on a terminal only.
    DoasOnTerminal,
}

impl Privilege {
    /// For people.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Root => "root",
            Self::Sudo => "sudo",
            Self::SudoOnTerminal => "sudo on a terminal",
            Self::Su => "su",
            Self::Doas => "doas",
            Self::DoasOnTerminal => "doas on a terminal",
        }
    }

    /// Do programs run on a terminal then?
    #[must_use]
    pub fn is_on_terminal(self) -> bool {
        match self {
            Self::Root | Self::Sudo | Self::Doas => false,
            Self::SudoOnTerminal | Self::Su | Self::DoasOnTerminal => true,
        }
    }
}

/// Form in which a package travels and is stored on the target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Form {
    /// As stored: a gzip stream of a tar archive.
    Gzip,
    /// Recompressed by zstd.
    Zstd,
    /// A bare tar archive, for a host without gzip.
    Tar,
}

impl Form {
    /// The word in parameters and records.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
            Self::Tar => "tar",
        }
    }
}

/// The bytes that travel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PayloadRef {
    /// SHA-256 of the bytes sent, hex.
    pub sha256: String,
    /// How many there are.
    pub size: u64,
    /// What they are.
    pub form: Form,
}

/// What the plan of a host is about.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "work", rename_all = "snake_case")]
pub enum Work {
    /// Put a package there.
    Install {
        /// The package, as stored.
        package: Box<PackageEntry>,
        /// The bytes that travel.
        payload: PayloadRef,
        /// What will stand in `landfall.toml`.
        installed: Box<Installed>,
        /// An upgrade: what is there, and is gone back to when the new release does not answer.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        previous: Option<Box<Installed>>,
    },
    /// Take away what is there.
    Uninstall {
        /// What is there.
        installed: Box<Installed>,
    },
    /// Stop and start what is there.
    Restart {
        /// What is there.
        installed: Box<Installed>,
    },
    /// Give what is there new configuration.
    Reload {
        /// The package it was installed from: its templates.
        package: Box<PackageEntry>,
        /// What will stand in `landfall.toml`.
        installed: Box<Installed>,
    },
}

impl Work {
    /// What is, or will be, installed.
    #[must_use]
    pub fn installed(&self) -> &Installed {
        match self {
            Self::Install { installed, .. }
            | Self::Uninstall { installed }
            | Self::Restart { installed }
            | Self::Reload { installed, .. } => installed,
        }
    }

    /// The package whose rendered files go to the host.
    #[must_use]
    pub fn configures(&self) -> Option<&PackageEntry> {
        match self {
            Self::Install { package, .. } | Self::Reload { package, .. } => Some(package),
            Self::Uninstall { .. } | Self::Restart { .. } => None,
        }
    }

    /// What an upgrade goes back to.
    #[must_use]
    pub fn previous(&self) -> Option<&Installed> {
        match self {
            Self::Install { previous, .. } => previous.as_deref(),
            Self::Uninstall { .. } | Self::Restart { .. } | Self::Reload { .. } => None,
        }
    }

    /// The action word of the script in that step.
    #[must_use]
    pub fn action(&self, step: StepKind) -> &'static str {
        match self {
            _ if step == StepKind::SwitchBack => "switch_back",
            Self::Install { previous: Some(_), .. } => "upgrade",
            Self::Install { .. } => "install",
            Self::Uninstall { .. } => "uninstall",
            Self::Restart { .. } => "restart",
            Self::Reload { .. } => "reload",
        }
    }
}

/// The settled plan of one host; there is nothing left to choose at run time. Once journaled it stays as it is, but for steps
/// that are added to it, journaled too.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// Version of this shape.
    pub version: u32,
    /// The steps, in order.
    pub steps: Vec<Step>,
    /// State directory on the target.
    pub state_dir: String,
    /// Login shell's rules.
    pub dialect: Dialect,
    /// How root is reached.
    pub privilege: Privilege,
    /// Where SFTP puts what a command should have been given as its stdin, on a host that gives commands none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inbox: Option<String>,
    /// Tool that checks digests there.
    pub digest_tool: String,
    /// Places on the host.
    pub paths: HostPaths,
    /// What to do.
    pub work: Work,
}

impl Plan {
    /// Was an upgrade in vain, so that the old release has to run again?
    #[must_use]
    pub fn goes_back(&self) -> bool {
        self.steps.iter().any(|step| step.kind == StepKind::SwitchBack)
    }

    /// Adds a step behind another one; once only.
    pub fn add(&mut self, step: Step, after: StepKind) {
        if self.steps.iter().any(|known| known.kind == step.kind) {
            return;
        }
        let at = self.steps.iter().position(|known| known.kind == after).map_or(self.steps.len(), |at| at + 1);
        self.steps.insert(at, step);
    }
}
