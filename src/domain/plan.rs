//! Plans: the ordered, stored list of what will be done on a host.
//!
//! A plan is a value, not code: it can be stored, shown to a person, and taken up again after a crash. It is made in two
//! pure passes (`crate::plan`): the *outline* is stored with the job, the *settled* plan before the first change.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::host::{Os, System};
use super::installed::Installed;
use super::package::PackageEntry;
use super::shell::Dialect;
use super::site::{AccessPoint, HostPaths};
use super::step_fields;
pub use super::step_fields::PluginName;

/// What a step does, and to which plugin where a plan has several steps of a kind: no two steps of a plan are the same. Its
/// word is its id on the wire. How it is written and read: [`super::step_fields`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StepKind {
    /// Log in.
    Connect,
    /// Learn what the host is, and become root.
    Probe,
    /// Measure the access points from the host, and settle the plan with the nearest (`ap_id: -1`).
    ChooseAccessPoint,
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
    /// Bring one plugin, start it, and ask it.
    InstallPlugins(PluginName),
    /// Take one plugin away.
    RemovePlugins(PluginName),
    /// The old proxy of a replacement: wait until the new one is proved, then take nobody through this one any more.
    SwitchRouting,
    /// Point the agents behind the old proxy at the zone's other proxies, by a job of their own.
    RepointAgents,
    /// Let those end who are taken through the old proxy still.
    DrainGateway,
    /// Write the inventory.
    Register,
    /// Take the host out of the inventory, with its kept logins. The machine is not touched.
    Forget,
    /// Take away what is no longer needed.
    Cleanup,
}

impl StepKind {
    /// All ids on the wire, in the order above.
    pub const WORDS: [&'static str; 17] = [
        "connect",
        "probe",
        "choose_access_point",
        "upload_package",
        "upload_files",
        "run_script",
        "verify",
        "verify_gone",
        "switch_back",
        "install_plugins",
        "remove_plugins",
        "switch_routing",
        "repoint_agents",
        "drain_gateway",
        "register",
        "forget",
        "cleanup",
    ];

    /// The id on the wire.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Probe => "probe",
            Self::ChooseAccessPoint => "choose_access_point",
            Self::UploadPackage => "upload_package",
            Self::UploadFiles => "upload_files",
            Self::RunScript => "run_script",
            Self::Verify => "verify",
            Self::VerifyGone => "verify_gone",
            Self::SwitchBack => "switch_back",
            Self::InstallPlugins(_) => "install_plugins",
            Self::RemovePlugins(_) => "remove_plugins",
            Self::SwitchRouting => "switch_routing",
            Self::RepointAgents => "repoint_agents",
            Self::DrainGateway => "drain_gateway",
            Self::Register => "register",
            Self::Forget => "forget",
            Self::Cleanup => "cleanup",
        }
    }

    /// The plugin it is about; most steps are about none.
    #[must_use]
    pub fn plugin(&self) -> Option<&PluginName> {
        match self {
            Self::InstallPlugins(plugin) | Self::RemovePlugins(plugin) => Some(plugin),
            _ => None,
        }
    }

    /// One word for both halves of it: `install_plugins:NAME`.
    #[must_use]
    pub fn key(&self) -> String {
        self.plugin().map_or_else(|| self.word().to_owned(), |plugin| format!("{}:{plugin}", self.word()))
    }

    /// Reads [`Self::key`].
    #[must_use]
    pub fn from_key(key: &str) -> Option<Self> {
        let (word, plugin) = key.split_once(':').map_or((key, None), |(word, plugin)| (word, Some(plugin)));
        step_fields::read::<serde::de::value::Error>(word, plugin).ok()
    }

    /// What recovery may do with the step when it had begun.
    #[must_use]
    pub fn effect(self) -> Effect {
        match self {
            Self::Connect | Self::Probe | Self::ChooseAccessPoint | Self::Verify | Self::VerifyGone | Self::DrainGateway => {
                Effect::ReadOnly
            }
            // A run is guarded by its run id on the target (DESIGN 11).
            Self::UploadPackage
            | Self::UploadFiles
            | Self::RunScript
            | Self::SwitchBack
            | Self::InstallPlugins(_)
            | Self::RemovePlugins(_)
            | Self::SwitchRouting
            | Self::RepointAgents
            | Self::Register
            | Self::Forget
            | Self::Cleanup => Effect::Idempotent,
        }
    }

    /// Is it done on the host itself, so that it needs a session?
    #[must_use]
    pub fn is_on_host(self) -> bool {
        !matches!(
            self,
            Self::Connect | Self::SwitchRouting | Self::RepointAgents | Self::DrainGateway | Self::Register | Self::Forget
        )
    }

    /// Does it start a script on the host, detached?
    #[must_use]
    pub fn is_run(self) -> bool {
        matches!(self, Self::RunScript | Self::SwitchBack) || self.plugin().is_some()
    }

    /// Does a person see the host changed by it?
    #[must_use]
    pub fn changes_host(self) -> bool {
        matches!(self, Self::UploadPackage | Self::UploadFiles | Self::RunScript | Self::SwitchBack | Self::Cleanup)
            || self.plugin().is_some()
    }
}

impl fmt::Display for StepKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())?;
        self.plugin().map_or(Ok(()), |plugin| write!(f, " {plugin}"))
    }
}

/// A word of [`StepKind::WORDS`]; which plugin stands beside it.
impl utoipa::PartialSchema for StepKind {
    fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::Schema> {
        let text = utoipa::openapi::schema::ObjectBuilder::new().schema_type(utoipa::openapi::schema::Type::String);
        text.enum_values(Some(Self::WORDS)).into()
    }
}

impl utoipa::ToSchema for StepKind {}

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
    #[serde(flatten, with = "step_fields::kind")]
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
    /// The account is an administrator of Windows, with all its rights in its token.
    Elevated,
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
            Self::Elevated => "administrator",
        }
    }

    /// Do programs run on a terminal then?
    #[must_use]
    pub fn is_on_terminal(self) -> bool {
        match self {
            Self::Root | Self::Sudo | Self::Doas | Self::Elevated => false,
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
    /// The files of it one by one, for a host without tar.
    Tree,
}

impl Form {
    /// The word in parameters and records.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
            Self::Tar => "tar",
            Self::Tree => "tree",
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
    /// Where SFTP puts what a command should have been given as its stdin, on a host that gives commands none. On Windows the
    /// state directory, as SFTP calls it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inbox: Option<String>,
    /// What the host runs.
    #[serde(default)]
    pub os: Os,
    /// Windows: the code page in which its batch files are read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub codepage: Option<u32>,
    /// Tool that checks digests there.
    pub digest_tool: String,
    /// Places on the host.
    pub paths: HostPaths,
    /// The access point that was chosen for a host that asked for the nearest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub access_point: Option<AccessPoint>,
    /// What to do.
    pub work: Work,
    /// What to do with each plugin, in steps of their own.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub plugins: Vec<Work>,
}

impl Plan {
    /// Is it for a host whose programs are batch files?
    #[must_use]
    pub fn is_windows(&self) -> bool {
        self.dialect == Dialect::Windows
    }

    /// What files for the host depend on.
    #[must_use]
    pub fn system(&self) -> System {
        System { os: self.os, codepage: self.codepage }
    }

    /// A place below the state directory, as the host itself calls it.
    #[must_use]
    pub fn place(&self, parts: &[&str]) -> String {
        let between = if self.is_windows() { "\\" } else { "/" };
        std::iter::once(self.state_dir.as_str()).chain(parts.iter().copied()).collect::<Vec<_>>().join(between)
    }

    /// What to do with that plugin.
    #[must_use]
    pub fn plugin(&self, name: &PluginName) -> Option<&Work> {
        self.plugins.iter().find(|work| work.installed().name == name.as_str())
    }

    /// The plan as that step sees it: to the step of a plugin the plugin is all there is.
    #[must_use]
    pub fn of_step(&self, step: StepKind) -> Option<Self> {
        let Some(name) = step.plugin() else { return Some(self.clone()) };
        let work = self.plugin(name)?.clone();
        Some(Self { paths: work.installed().paths.clone(), work, plugins: Vec::new(), ..self.clone() })
    }

    /// The step for people: with the plugin's version.
    #[must_use]
    pub fn name_of(&self, step: StepKind) -> String {
        match step.plugin().and_then(|name| self.plugin(name)) {
            Some(work) => format!("{step} {}", work.installed().version),
            None => step.to_string(),
        }
    }

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
