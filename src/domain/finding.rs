//! What a look at a host found, before anything is done there: one finding for each thing a job needs of it.

use std::borrow::Cow;

use serde::Serialize;

use super::failure::Failure;

/// What was looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Subject {
    /// Reaching the host and logging in.
    Login,
    /// Becoming root.
    Privilege,
    /// Operating system and CPU.
    System,
    /// A package for this host, its templates filled in; or what is installed, for kinds that act on that.
    Package,
    /// Room where the agent goes.
    SetupPath,
    /// Room where Landfall keeps its state.
    State,
    /// Room in the agent's temp path.
    TempPath,
    /// Commands on the host.
    Tools,
    /// The access point's ports, as the host reaches them.
    AccessPoint,
}

impl Subject {
    /// All, in the order they are looked at.
    pub const ALL: [Self; 9] = [
        Self::Login,
        Self::Privilege,
        Self::System,
        Self::Package,
        Self::SetupPath,
        Self::State,
        Self::TempPath,
        Self::Tools,
        Self::AccessPoint,
    ];

    /// The word in JSON.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Login => "login",
            Self::Privilege => "privilege",
            Self::System => "system",
            Self::Package => "package",
            Self::SetupPath => "setup_path",
            Self::State => "state",
            Self::TempPath => "temp_path",
            Self::Tools => "tools",
            Self::AccessPoint => "access_point",
        }
    }
}

/// Is it as a job needs it?
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Yes.
    Ok,
    /// The job would work, but somebody should know.
    Warning,
    /// The job would fail.
    Failed,
}

/// One finding.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What was looked at.
    pub subject: Subject,
    /// Is it as needed?
    pub verdict: Verdict,
    /// What was found; lower case, no full stop.
    pub detail: String,
    /// Stable word of the code table when it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<Cow<'static, str>>,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remedy: Option<Cow<'static, str>>,
}

impl Finding {
    /// As needed.
    #[must_use]
    pub fn ok(subject: Subject, detail: impl Into<String>) -> Self {
        Self { subject, verdict: Verdict::Ok, detail: detail.into(), code: None, remedy: None }
    }

    /// As needed, with something to know and to do.
    #[must_use]
    pub fn warning(subject: Subject, detail: impl Into<String>, remedy: &'static str) -> Self {
        Self { verdict: Verdict::Warning, remedy: Some(Cow::Borrowed(remedy)), ..Self::ok(subject, detail) }
    }

    /// What a job would fail with.
    #[must_use]
    pub fn failed(subject: Subject, failure: &Failure) -> Self {
        Self {
            verdict: Verdict::Failed,
            code: Some(failure.code.clone()),
            remedy: Some(failure.remedy.clone()),
            ..Self::ok(subject, failure.to_string())
        }
    }

    /// `detail` when the rule holds, else what a job would fail with.
    #[must_use]
    pub fn of(subject: Subject, found: Result<String, Failure>) -> Self {
        match found {
            Ok(detail) => Self::ok(subject, detail),
            Err(failure) => Self::failed(subject, &failure),
        }
    }
}
