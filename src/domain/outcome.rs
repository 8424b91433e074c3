//! How things end: a remote command, a step, a host task. An outcome is not an error.

use serde::{Deserialize, Serialize};

use super::failure::Failure;

/// How a remote command ended. The third way is neither success nor failure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ExitReport {
    /// With an exit code.
    Code(u32),
    /// By a signal, named as in RFC 4254 6.10 (`TERM`, `KILL`, ...).
    Signal(String),
    /// The channel closed and said nothing.
    NoStatus,
}

impl ExitReport {
    /// Did it end with code 0?
    #[must_use]
    pub fn is_success(&self) -> bool {
        *self == Self::Code(0)
    }
}

impl std::fmt::Display for ExitReport {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Code(code) => write!(f, "exit code {code}"),
            Self::Signal(name) => write!(f, "signal {name}"),
            Self::NoStatus => f.write_str("no exit status"),
        }
    }
}

/// How a step ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "result", rename_all = "snake_case")]
pub enum StepOutcome {
    /// Done; `changed` is false when the host already was as wanted.
    Done {
        /// Did the host change?
        changed: bool,
    },
    /// Done, with something the operator should know.
    Warned {
        /// What that is.
        message: String,
    },
    /// Nothing to do.
    Skipped {
        /// Why.
        why: String,
    },
    /// Not done.
    Failed {
        /// Why.
        failure: Failure,
    },
}

impl StepOutcome {
    /// Did the step reach its goal?
    #[must_use]
    pub fn is_done(&self) -> bool {
        !matches!(self, Self::Failed { .. })
    }
}

/// How a host task ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum Outcome {
    /// The agent is as the job wanted it, and that was proved.
    Succeeded,
    /// Nothing had to be done.
    Skipped {
        /// Why.
        why: String,
    },
    /// It is not as wanted.
    Failed {
        /// Why.
        failure: Failure,
    },
    /// Its executor stopped; not terminal, `resume` goes on.
    Interrupted {
        /// What was going on.
        why: String,
    },
    /// It was cancelled.
    Terminated {
        /// How far that was confirmed.
        why: String,
    },
    /// Landfall no longer knows the host: it was forgotten, the machine untouched, or its replaced proxy was taken away.
    Removed,
    /// Nobody can say: the host stayed unreachable while something was running on it.
    Unknown {
        /// What was going on.
        failure: Failure,
    },
}

impl Outcome {
    /// The word in JSON.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Self::Succeeded => "succeeded",
            Self::Skipped { .. } => "skipped",
            Self::Failed { .. } => "failed",
            Self::Interrupted { .. } => "interrupted",
            Self::Terminated { .. } => "terminated",
            Self::Removed => "removed",
            Self::Unknown { .. } => "unknown",
        }
    }

    /// Will this host task never move again by itself?
    #[must_use]
    pub fn is_terminal(&self) -> bool {
        !matches!(self, Self::Interrupted { .. })
    }

    /// May somebody ask for another try? Not where there is nothing left to do.
    #[must_use]
    pub fn may_be_retried(&self) -> bool {
        matches!(self, Self::Failed { .. } | Self::Unknown { .. } | Self::Terminated { .. })
    }

    /// The failure behind the outcome, where there is one.
    #[must_use]
    pub fn failure(&self) -> Option<&Failure> {
        match self {
            Self::Failed { failure } | Self::Unknown { failure } => Some(failure),
            Self::Succeeded | Self::Skipped { .. } | Self::Interrupted { .. } | Self::Terminated { .. } | Self::Removed => None,
        }
    }
}
