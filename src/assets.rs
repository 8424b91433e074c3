//! What is embedded in the binary: the scripts that run on targets, the templates of service files, the table of exit codes.
//!
//! To add a script: a constant here, its contract in `scripts/README.md`, its story in `tests/scripts.rs`.

use std::sync::LazyLock;

use serde::Deserialize;

use crate::domain::failure::ScriptExit;

/// One constant line that works in any login shell; see [`probe_line`].
const PROBE: &str = include_str!("../scripts/linux/probe.sh");
/// Receives a payload by content address.
pub const PUT: &str = include_str!("../scripts/linux/put.sh");
/// Receives several small files from one stream.
const RECEIVE: &str = include_str!("../scripts/linux/receive.sh");
const BUNDLE_MAIN: &str = include_str!("../scripts/linux/bundle.sh");
const START_MAIN: &str = include_str!("../scripts/linux/start.sh");
/// Starts a script detached and keeps its result.
pub const RUNNER: &str = include_str!("../scripts/linux/runner.sh");
/// Streams a run's log from an offset.
pub const FOLLOW: &str = include_str!("../scripts/linux/follow.sh");
/// Takes away what is no longer needed.
pub const CLEANUP: &str = include_str!("../scripts/linux/cleanup.sh");
/// Asks the agent where the executor cannot.
pub const HEALTH: &str = include_str!("../scripts/linux/health.sh");
const SERVICE: &str = include_str!("../scripts/linux/service.sh");
const AGENT_MAIN: &str = include_str!("../scripts/linux/agent.sh");
/// Unit file of an agent.
pub const UNIT: &str = include_str!("../templates/linux/unit.service.j2");
/// Init script of an agent where systemd does not run.
pub const INIT: &str = include_str!("../templates/linux/init.sh.j2");
/// What starts an agent in the foreground.
pub const START: &str = include_str!("../templates/linux/start.sh.j2");
const EXIT_CODES: &str = include_str!("../scripts/exit_codes.toml");

/// Installs, uninstalls, restarts, reloads.
pub static AGENT: LazyLock<String> = LazyLock::new(|| format!("{SERVICE}\n{AGENT_MAIN}"));

/// Program that receives a bundle of files.
pub static BUNDLE: LazyLock<String> = LazyLock::new(|| format!("{RECEIVE}\n{BUNDLE_MAIN}"));

/// Program that receives a run and starts it.
pub static START_RUN: LazyLock<String> = LazyLock::new(|| format!("{RECEIVE}\n{START_MAIN}"));

/// The probe as one line without newline, quote, backslash or `!`.
pub static PROBE_LINE: LazyLock<String> = LazyLock::new(|| {
    let lines = PROBE.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines.collect::<Vec<_>>().join(" ")
});

#[derive(Deserialize)]
struct ExitTable {
    code: Vec<ScriptExit>,
}

static EXITS: LazyLock<Vec<ScriptExit>> =
    LazyLock::new(|| toml::from_str::<ExitTable>(EXIT_CODES).map(|table| table.code).unwrap_or_default());

/// The row of a script's exit code.
#[must_use]
pub fn script_exit(code: i32) -> Option<&'static ScriptExit> {
    EXITS.iter().find(|row| row.exit == code)
}

/// The row of a script's exit code by name.
#[must_use]
pub fn script_exit_named(name: &str) -> Option<&'static ScriptExit> {
    EXITS.iter().find(|row| row.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_probe_can_be_sent_to_any_login_shell() {
        assert!(!PROBE_LINE.contains(['\n', '\'', '\\', '!']));
        assert!(PROBE_LINE.contains("@@lf:"));
    }

    #[test]
    fn the_exit_code_table_is_read_and_its_codes_are_unique() {
        let codes: std::collections::BTreeSet<_> = EXITS.iter().map(|row| row.exit).collect();
        assert!(!codes.is_empty() && codes.len() == EXITS.len());
        assert!(codes.iter().all(|code| (1..=255).contains(code)));
    }
}
