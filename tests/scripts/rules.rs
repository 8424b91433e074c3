//! What the scripts promise in writing.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::process::{Command, Stdio};

use landfall::assets;

use crate::sandbox::{SHELLS, require};
use crate::target::{Agent, exit_codes, repository};

/// Every program as it is sent.
fn programs() -> Vec<(&'static str, String)> {
    let mut programs = vec![
        ("probe", assets::PROBE_LINE.clone()),
        ("put", assets::PUT.clone()),
        ("bundle", assets::BUNDLE.clone()),
        ("start", assets::START_RUN.clone()),
        ("runner", assets::RUNNER.clone()),
        ("follow", assets::FOLLOW.clone()),
        ("collect", assets::COLLECT.clone()),
        ("health", assets::HEALTH.clone()),
        ("cleanup", assets::CLEANUP.clone()),
        ("agent", assets::AGENT.clone()),
    ];
    let agent = Agent { user: "daemon", ..Agent::default() };
    programs.push(("init.sh.j2", agent.render("init.sh.j2")));
    programs
}

#[test]
fn shellcheck_is_content() {
    require("shellcheck", "shellcheck");
    // The line of the probe has lost its directives; the gate checks its file.
    for (name, program) in programs().into_iter().filter(|(name, _)| *name != "probe") {
        let mut child =
            Command::new("shellcheck").args(["-s", "sh", "-"]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(program.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stdout));
    }
}

#[test]
fn every_shell_can_read_every_program() {
    for (shell, package) in SHELLS {
        require(shell, package);
        for (name, program) in programs() {
            let words: &[&str] = if shell == "busybox" { &["sh", "-n"] } else { &["-n"] };
            let mut child = Command::new(shell).args(words).stdin(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
            child.stdin.take().unwrap().write_all(program.as_bytes()).unwrap();
            let output = child.wait_with_output().unwrap();
            assert!(output.status.success(), "{name} under {shell}: {}", String::from_utf8_lossy(&output.stderr));
        }
    }
}

#[test]
fn the_exit_codes_of_the_scripts_are_those_of_the_table() {
    let table: BTreeMap<String, i32> = exit_codes().into_iter().map(|(code, name)| (name, code)).collect();
    assert_eq!(table.values().collect::<BTreeSet<_>>().len(), table.len(), "two names for one code");
    let mut named = BTreeMap::new();
    for program in [&assets::AGENT, &assets::RUNNER] {
        for line in program.lines() {
            let Some((name, code)) = line.strip_prefix("EXIT_").and_then(|rest| rest.split_once('=')) else { continue };
            named.insert(name.to_lowercase(), code.parse::<i32>().unwrap());
        }
    }
    assert_eq!(named, table);
    // No constant without a use, no number without a name.
    for (_, program) in programs() {
        for line in program.lines().map(str::trim) {
            assert!(!line.starts_with("die ") || line.contains("EXIT_") || line.starts_with("die \"$1\""), "{line}");
        }
    }
}

#[test]
fn the_table_is_complete() {
    const CLASSES: [&str; 7] = ["script_failed", "transfer", "unprivileged", "incompatible", "lost", "timed_out", "internal"];
    let source = std::fs::read_to_string(repository().join("scripts/exit_codes.toml")).unwrap();
    let table: toml::Table = source.parse().unwrap();
    for code in table["code"].as_array().unwrap() {
        let code = code.as_table().unwrap();
        let keys: Vec<_> = code.keys().map(String::as_str).filter(|key| *key != "untouched").collect();
        assert_eq!(
            keys.iter().collect::<BTreeSet<_>>(),
            ["class", "exit", "message", "name", "remedy", "retry"].iter().collect(),
            "{code:?}"
        );
        assert!(CLASSES.contains(&code["class"].as_str().unwrap()), "{code:?}");
        assert!(code.get("untouched").is_none_or(toml::Value::is_bool), "{code:?}");
        assert!(code["retry"].is_bool() && (1..=255).contains(&code["exit"].as_integer().unwrap()), "{code:?}");
    }
}

#[test]
fn a_function_stands_in_one_part_only() {
    for (name, program) in programs() {
        let functions: Vec<_> =
            program.lines().filter_map(|line| line.split_once("() {")).map(|(function, _)| function).collect();
        assert_eq!(functions.iter().collect::<BTreeSet<_>>().len(), functions.len(), "{name}: {functions:?}");
    }
}

#[test]
fn nothing_is_used_that_a_target_may_lack() {
    let forbidden = [
        "awk ",
        "mktemp",
        "python",
        "perl ",
        "readlink ",
        "stat -c",
        "cp -a",
        "sed -i",
        "grep -P",
        "grep -o",
        "head -c",
        "tar zx",
        "tar xz",
        "tar -z",
        "%N",
        "eval ",
    ];
    for (name, program) in programs() {
        for line in program.lines().filter(|line| !line.trim_start().starts_with('#')) {
            for word in forbidden {
                assert!(!line.contains(word), "{name} uses {word}: {line}");
            }
        }
    }
}

#[test]
fn a_unit_quotes_what_systemd_would_expand() {
    let agent = Agent { setup: "/opt/100% of $it", ..Agent::default() };
    let unit = agent.render("unit.service.j2");
    assert!(unit.starts_with("# Installed by landfall\n[Unit]\n"));
    assert!(unit.contains("\nExecStart=/bin/sh \"/opt/100%% of $$it/demo/start\"\n"), "{unit}");
    for line in ["Type=simple", "Restart=on-failure", "TimeoutStopSec=10", "WantedBy=multi-user.target"] {
        assert!(unit.lines().any(|known| known == line), "{line}");
    }
}
