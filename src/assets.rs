//! What is embedded in the binary: the scripts that run on targets, the templates of service files, the table of exit codes.
//!
//! To add a script: its parts here, its contract in `scripts/README.md`, its story in `tests/scripts`.

use std::sync::LazyLock;

use serde::Deserialize;

use crate::domain::failure::ScriptExit;

/// One constant line that works in any login shell; see [`probe_line`].
const PROBE: &str = include_str!("../scripts/linux/probe.sh");
/// Unit file of an agent.
pub const UNIT: &str = include_str!("../templates/linux/unit.service.j2");
/// Init script of an agent where systemd does not run.
pub const INIT: &str = include_str!("../templates/linux/init.sh.j2");
/// What starts an agent in the foreground.
pub const START: &str = include_str!("../templates/linux/start.sh.j2");
const EXIT_CODES: &str = include_str!("../scripts/exit_codes.toml");

/// A file of `scripts/linux`.
macro_rules! part {
    ($name:literal) => {
        include_str!(concat!("../scripts/linux/", $name, ".sh"))
    };
}

/// One text of several parts. Every function stands in one part only, before the part that calls it.
fn program(parts: &[&str]) -> String {
    parts.join("\n")
}

const PRELUDE: &str = part!("prelude");
const PROCESS: &str = part!("process");
const STATE: &str = part!("state");
const STDIN: &str = part!("stdin");
const RECEIVE: &str = part!("receive");
const RUNS: &str = part!("runs");
const LOG: &str = part!("log");

/// Receives a payload by content address.
pub static PUT: LazyLock<String> = LazyLock::new(|| program(&[PRELUDE, STATE, STDIN, part!("put")]));
/// Receives a bundle of files.
pub static BUNDLE: LazyLock<String> = LazyLock::new(|| program(&[PRELUDE, STATE, STDIN, RECEIVE, part!("bundle")]));
/// Receives a run and starts it.
pub static START_RUN: LazyLock<String> = LazyLock::new(|| program(&[PRELUDE, STATE, STDIN, RECEIVE, part!("start")]));
/// Starts a script detached and keeps its result.
pub static RUNNER: LazyLock<String> = LazyLock::new(|| program(&[PRELUDE, PROCESS, RUNS, part!("runner")]));
/// Streams a run's log from an offset.
pub static FOLLOW: LazyLock<String> = LazyLock::new(|| program(&[PRELUDE, PROCESS, LOG, part!("follow")]));
/// Sends a run's log as it is now.
pub static COLLECT: LazyLock<String> = LazyLock::new(|| program(&[PRELUDE, LOG, part!("collect")]));
/// Takes away what is no longer needed.
pub static CLEANUP: LazyLock<String> = LazyLock::new(|| program(&[PRELUDE, PROCESS, RUNS, part!("cleanup")]));
/// Asks the agent where the executor cannot.
pub static HEALTH: LazyLock<String> = LazyLock::new(|| program(&[PRELUDE, part!("health")]));
/// Installs, upgrades, uninstalls, restarts, reloads.
pub static AGENT: LazyLock<String> =
    LazyLock::new(|| program(&[PRELUDE, PROCESS, part!("service"), part!("upgrade"), part!("agent")]));

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
