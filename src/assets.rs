//! What is embedded in the binary: the scripts that run on targets, the templates of service files, the table of exit codes.
//!
//! To add a script: its parts here, its contract in `scripts/README.md`, its story in `tests/scripts`.

pub mod windows;

use std::sync::LazyLock;

use serde::Deserialize;

use crate::domain::failure::ScriptExit;
use crate::domain::host::Os;
use crate::domain::package::Role;

/// One constant line that works in any login shell; see [`probe_line`].
const PROBE: &str = include_str!("../scripts/unix/probe.sh");
/// Unit file of an agent.
pub const UNIT: &str = include_str!("../templates/linux/unit.service.j2");
/// The service of an agent for SMF, on Solaris.
pub const MANIFEST: &str = include_str!("../templates/solaris/manifest.xml.j2");
/// What starts and stops an agent that no service of the system watches over.
pub const INIT: &str = include_str!("../templates/unix/init.sh.j2");
/// What starts an agent in the foreground.
pub const START: &str = include_str!("../templates/unix/start.sh.j2");
/// What runs a command of an agent on Windows.
pub const BATCH: &str = include_str!("../templates/windows/command.cmd.j2");
/// The command that a person pastes who installs by hand.
pub const MANUAL_COMMAND: &str = include_str!("../templates/manual/command.sh.j2");
/// The same for cmd.exe.
pub const MANUAL_COMMAND_WINDOWS: &str = include_str!("../templates/manual/command.cmd.j2");
/// The words beside it, in Chinese.
pub const MANUAL_ZH: &str = include_str!("../templates/manual/zh.toml");
/// The words beside it, in English.
pub const MANUAL_EN: &str = include_str!("../templates/manual/en.toml");
const EXIT_CODES: &str = include_str!("../scripts/exit_codes.toml");

/// A file of `scripts/unix`.
macro_rules! part {
    ($name:literal) => {
        include_str!(concat!("../scripts/unix/", $name, ".sh"))
    };
}

/// One text of several parts. Every function stands in one part only, before the part that calls it.
fn program(parts: &[&str]) -> String {
    parts.join("\n")
}

/// The same for a command line, without what only people read: dropbear takes no command of more than 9000 bytes, and ends the
/// connection where one is longer.
fn command(parts: &[&str]) -> String {
    let lines = parts.iter().flat_map(|part| part.lines()).map(str::trim_start);
    lines.filter(|line| !line.is_empty() && !line.starts_with('#')).collect::<Vec<_>>().join("\n")
}

const PRELUDE: &str = part!("prelude");
const CLOCK: &str = part!("clock");
const PROCESS: &str = part!("process");
const FAMILY: &str = part!("family");
const LOCK: &str = part!("lock");
const STATE: &str = part!("state");
const DIGEST: &str = part!("digest");
const STDIN: &str = part!("stdin");
const RECEIVE: &str = part!("receive");
const RUNS: &str = part!("runs");
const LOG: &str = part!("log");
const REACH: &str = part!("reach");

/// Receives a payload by content address.
pub static PUT: LazyLock<String> = LazyLock::new(|| command(&[PRELUDE, DIGEST, STATE, STDIN, part!("put")]));
/// Receives a bundle of files.
pub static BUNDLE: LazyLock<String> = LazyLock::new(|| command(&[PRELUDE, STATE, STDIN, RECEIVE, part!("bundle")]));
/// Receives a run and starts it.
pub static START_RUN: LazyLock<String> = LazyLock::new(|| command(&[PRELUDE, STATE, STDIN, RECEIVE, part!("start")]));
/// What finds a process and those that belong to it, for [`INIT`], which stands alone on the host.
pub static LIVES: LazyLock<String> = LazyLock::new(|| program(&[CLOCK, PROCESS, FAMILY]));
/// Starts a script detached and keeps its result.
pub static RUNNER: LazyLock<String> = LazyLock::new(|| program(&[PRELUDE, CLOCK, PROCESS, FAMILY, LOCK, RUNS, part!("runner")]));
/// Ends a run.
pub static KILL: LazyLock<String> = LazyLock::new(|| command(&[PRELUDE, CLOCK, PROCESS, FAMILY, LOCK, part!("kill")]));
/// Streams a run's log from an offset.
pub static FOLLOW: LazyLock<String> = LazyLock::new(|| command(&[PRELUDE, CLOCK, PROCESS, LOG, part!("follow")]));
/// Sends a run's log as it is now.
pub static COLLECT: LazyLock<String> = LazyLock::new(|| command(&[PRELUDE, LOG, part!("collect")]));
/// Takes away what is no longer needed.
pub static CLEANUP: LazyLock<String> = LazyLock::new(|| command(&[PRELUDE, CLOCK, PROCESS, RUNS, part!("cleanup")]));
/// Asks the agent where the executor cannot.
pub static HEALTH: LazyLock<String> = LazyLock::new(|| command(&[PRELUDE, CLOCK, FAMILY, REACH, part!("health")]));
/// Measures how far servers are, where the executor cannot.
pub static MEASURE: LazyLock<String> = LazyLock::new(|| command(&[PRELUDE, CLOCK, FAMILY, REACH, part!("measure")]));
/// Installs, upgrades, uninstalls, restarts, reloads an agent on Linux.
pub static AGENT: LazyLock<String> = LazyLock::new(|| agent_with(&[include_str!("../scripts/linux/service.sh")]));
/// The same for the proxy of a zone.
pub static PROXY: LazyLock<String> =
    LazyLock::new(|| agent_with(&[include_str!("../scripts/linux/service.sh"), include_str!("../scripts/linux/proxy.sh")]));
/// The same as [`AGENT`] on AIX.
pub static AGENT_AIX: LazyLock<String> = LazyLock::new(|| agent_with(&[include_str!("../scripts/aix/agent.ksh")]));
/// The same as [`AGENT`] on Solaris.
pub static AGENT_SOLARIS: LazyLock<String> = LazyLock::new(|| agent_with(&[include_str!("../scripts/solaris/agent.ksh")]));

/// What an agent has of its system comes before what all have.
fn agent_with(of_system: &[&str]) -> String {
    program(&[&[PRELUDE, CLOCK, PROCESS, FAMILY, part!("service")], of_system, &[part!("upgrade"), part!("agent")]].concat())
}

/// What installs there.
#[must_use]
pub fn agent(os: Os, role: Role) -> &'static str {
    match (os, role) {
        (Os::Aix, _) => &AGENT_AIX,
        (Os::Solaris, _) => &AGENT_SOLARIS,
        (_, Role::Proxy) => &PROXY,
        _ => &AGENT,
    }
}

/// The probe as one line without newline, quote, backslash or `!`.
pub static PROBE_LINE: LazyLock<String> = LazyLock::new(|| {
    let lines = PROBE.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines.collect::<Vec<_>>().join(" ")
});

/// What a person runs who installs by hand: the programs that an executor would send, and what calls them in its place. Values
/// that it has to know come before it.
pub static MANUAL: LazyLock<String> = LazyLock::new(|| {
    let programs: [(&str, &str); 8] = [
        ("probe", &PROBE_LINE),
        ("put", &PUT),
        ("bundle", &BUNDLE),
        ("start", &START_RUN),
        ("runner", &RUNNER),
        ("kill", &KILL),
        ("follow", &FOLLOW),
        ("health", &HEALTH),
    ];
    let written = |(name, text): &(&str, &str)| format!("program_{name}() {{\ncat <<'{HERE}'\n{text}\n{HERE}\n}}\n");
    let programs: Vec<String> = programs.iter().chain(&[("cleanup", CLEANUP.as_str())]).map(written).collect();
    program(&[PRELUDE, CLOCK, DIGEST, part!("json"), &programs.concat(), part!("manual")])
});

/// The line that ends a program within a program.
const HERE: &str = "@@landfall@@";

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
    use crate::domain::shell::{self, Dialect};

    #[test]
    fn the_probe_can_be_sent_to_any_login_shell() {
        assert!(!PROBE_LINE.contains(['\n', '\'', '\\', '!']));
        assert!(PROBE_LINE.contains("@@lf:"));
    }

    #[test]
    fn every_command_is_one_that_dropbear_takes() {
        // What comes beside the text: sudo and its prompt, paths, run ids.
        const BESIDE: usize = 600;
        for text in [&*PROBE_LINE, &*PUT, &*BUNDLE, &*START_RUN, &*KILL, &*FOLLOW, &*COLLECT, &*CLEANUP, &*HEALTH, &*MEASURE] {
            let line = shell::command_line(Dialect::Posix, &shell::program(text, &[]));
            assert!(line.len() + BESIDE < 9000, "{} bytes: {}", line.len(), text.get(..60).unwrap_or_default());
        }
    }

    #[test]
    fn the_script_for_a_person_holds_each_program_whole() {
        for text in [&*PUT, &*BUNDLE, &*START_RUN, &*RUNNER, &*KILL, &*FOLLOW, &*HEALTH, &*CLEANUP] {
            assert!(!text.contains(HERE) && MANUAL.contains(text.as_str()));
        }
    }

    #[test]
    fn the_exit_code_table_is_read_and_its_codes_are_unique() {
        let codes: std::collections::BTreeSet<_> = EXITS.iter().map(|row| row.exit).collect();
        assert!(!codes.is_empty() && codes.len() == EXITS.len());
        assert!(codes.iter().all(|code| (1..=255).contains(code)));
    }
}
