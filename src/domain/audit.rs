//! Who asked for what, when and from where: a line for every submission, retry and cancel, kept with the job.
//!
//! Never here: who may (`caller`). To add a deed: [`Action`], and whoever asks for it names it.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::Timestamp;

/// What was asked for, by the name that the door has for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// A job, by `install/`.
    Install,
    /// A job, by `operate/`.
    Operate,
    /// A job, by `landfall run`.
    Run,
    /// To try hosts again.
    Retry,
    /// To try one host again.
    RetryNode,
    /// To cancel, by `revoke/`.
    Revoke,
    /// To cancel, by `landfall job cancel`.
    Cancel,
    /// A job that points agents at another proxy, by the job that replaces theirs.
    Repoint,
}

impl Action {
    /// The stored word.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Install => "install",
            Self::Operate => "operate",
            Self::Run => "run",
            Self::Retry => "retry",
            Self::RetryNode => "retry_node",
            Self::Revoke => "revoke",
            Self::Cancel => "cancel",
            Self::Repoint => "repoint",
        }
    }
}

/// Where somebody asks from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// A terminal of this machine.
    Terminal,
    /// Over the network, from there.
    Address(IpAddr),
}

impl std::fmt::Display for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Terminal => f.write_str("cli"),
            Self::Address(ip) => ip.fmt(f),
        }
    }
}

/// Who asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asker {
    /// The app that was authenticated; none at the terminal, and where no apps are declared.
    pub app: Option<String>,
    /// The person: `bk_username`, as the app says it; at the terminal the operating system's user.
    pub user: String,
    /// From where.
    pub source: Source,
}

impl Asker {
    /// Somebody at a terminal of this machine.
    #[must_use]
    pub fn at_terminal(user: impl Into<String>) -> Self {
        Self { app: None, user: user.into(), source: Source::Terminal }
    }

    /// What the journal says of it.
    #[must_use]
    pub fn reason(&self) -> String {
        format!("asked by {}", self.user)
    }

    /// This one asks for that.
    #[must_use]
    pub fn asks(&self, action: Action) -> Asking {
        Asking { asker: self.clone(), action }
    }
}

/// Somebody asks for something: what the record takes with a submission, a retry or a cancel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asking {
    /// Who.
    pub asker: Asker,
    /// For what.
    pub action: Action,
}

/// A line of the audit.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct AuditLine {
    /// When it was asked for.
    pub at: Timestamp,
    /// What.
    pub action: Action,
    /// The app that was authenticated, if apps are.
    pub app: Option<String>,
    /// The person.
    pub user: String,
    /// The caller's address, or `cli`.
    pub source: String,
    /// More about it.
    pub detail: Detail,
}

/// What else there is to say of a deed. Stored as JSON.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Detail {
    /// Hosts that it was about.
    pub hosts: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stored_words_are_those_that_are_shown() {
        use Action::{Cancel, Install, Operate, Repoint, Retry, RetryNode, Revoke, Run};
        for action in [Install, Operate, Run, Retry, RetryNode, Revoke, Cancel, Repoint] {
            assert_eq!(serde_json::to_value(action).unwrap(), action.word());
        }
    }

    #[test]
    fn the_journal_names_the_person() {
        assert_eq!(Asker::at_terminal("root").reason(), "asked by root");
        let asker = Asker { source: Source::Address("::1".parse().unwrap()), ..Asker::at_terminal("ann") };
        assert_eq!((asker.source.to_string().as_str(), Source::Terminal.to_string().as_str()), ("::1", "cli"));
    }
}
