//! What the scripts promise in writing.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::process::{Command, Stdio};

use landfall::assets;
use landfall::domain::host::Os;
use landfall::domain::shell::{self, Dialect};
use landfall::plan::by_hand;

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
        ("kill", assets::KILL.clone()),
        ("follow", assets::FOLLOW.clone()),
        ("collect", assets::COLLECT.clone()),
        ("health", assets::HEALTH.clone()),
        ("measure", assets::MEASURE.clone()),
        ("cleanup", assets::CLEANUP.clone()),
        ("agent", assets::AGENT.clone()),
        ("agent of AIX", assets::AGENT_AIX.clone()),
        ("agent of Solaris", assets::AGENT_SOLARIS.clone()),
    ];
    // The programs within it are those above.
    let part = |name: &str| std::fs::read_to_string(repository().join("scripts/unix").join(name)).unwrap();
    let header = "lf_base=b lf_task=t lf_token=k lf_setup=/s lf_temp=/t\n".to_owned();
    programs.push(("manual", header + &["prelude.sh", "clock.sh", "json.sh", "manual.sh"].map(part).join("\n")));
    let agent = Agent { user: "daemon", ..Agent::default() };
    programs.push(("init.sh.j2", agent.render("init.sh.j2")));
    programs.push(("init.sh.j2 of AIX", agent.render_on("aix", "init.sh.j2")));
    programs.push(("init.sh.j2 of Solaris", agent.render_on("solaris", "init.sh.j2")));
    programs
}

/// What a program does itself, line by line: without comments, and without what it hands to bash or awk as one word.
fn own_lines(program: &str) -> Vec<String> {
    let mut text = program.to_owned();
    for theirs in ["bash -c '", "awk 'BEGIN"] {
        while let Some(start) = text.find(theirs) {
            let body = start + theirs.find('\'').unwrap() + 1;
            let end = body + text[body..].find('\'').unwrap();
            text.replace_range(start..=end, "true");
        }
    }
    text.lines().filter(|line| !line.trim_start().starts_with('#')).map(str::to_owned).collect()
}

#[test]
fn shellcheck_is_content() {
    require("shellcheck", "shellcheck");
    // The line of the probe has lost its directives; the gate checks its file.
    for (name, program) in programs().into_iter().filter(|(name, _)| *name != "probe") {
        let dialect = if name.ends_with("AIX") || name.ends_with("Solaris") { "ksh" } else { "sh" };
        // What comes as a command has lost its directives; the gate checks its parts with these.
        let mut shellcheck = Command::new("shellcheck");
        shellcheck.args(["-s", dialect, "-e", "SC2005,SC2012,SC2016,SC2034,SC2045,SC2046,SC2059,SC2086,SC2209,SC2317", "-"]);
        let mut child = shellcheck.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
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
        for line in own_lines(&program) {
            for word in forbidden {
                assert!(!line.contains(word), "{name} uses {word}: {line}");
            }
        }
    }
}

/// AIX and Solaris read the same texts by a ksh of 1988, and have tools that know no more than POSIX.
#[test]
fn nothing_is_used_that_a_ksh_of_1988_lacks() {
    let forbidden = [
        ("[[ ", "[[ =~ ]] and == are later"),
        (" $'", "no ANSI quotes"),
        ("=$'", "no ANSI quotes"),
        ("+=", "no appending"),
        (" == ", "no == of test"),
        ("unset IFS", "what that means is not sure"),
        ("set -o pipefail", "a pipeline is as good as its last part"),
        ("&>", "not its redirection"),
        ("<(", "no process substitution"),
        (" _ ", "the name _ is its own"),
        (" _ <", "the name _ is its own"),
        ("count=0", "every block, to some dd"),
        ("kill -- ", "a group is named by a signal and its number"),
        ("cp -R", "links become files"),
        ("tail -f", "it has no end"),
    ];
    for (name, program) in programs() {
        for line in own_lines(&program) {
            for (word, why) in forbidden {
                assert!(!line.contains(word), "{name} uses {word} ({why}): {line}");
            }
            assert!(!line.trim_start().starts_with("local "), "{name} has a local variable: {line}");
            // `${x/..}` and `${x:1}`, and the choice `a ? b : c` of arithmetic.
            for piece in line.split("${").skip(1) {
                let rest = piece.trim_start_matches(|c: char| c.is_ascii_alphanumeric() || c == '_');
                assert!(!rest.starts_with('/'), "{name} replaces within a value: {line}");
                let cuts = rest.strip_prefix(':').is_some_and(|rest| !rest.starts_with(['-', '+', '=', '?']));
                assert!(!cuts, "{name} cuts a value: {line}");
            }
            for piece in line.split("$((").skip(1) {
                let inside = piece.split("))").next().unwrap();
                assert!(!inside.contains(['?']) && !inside.contains("++"), "{name} reckons with ? or ++: {line}");
                assert!(!inside.contains("$("), "{name} reckons with the output of a command: {line}");
            }
        }
    }
}

/// `$0` in a function is the function's name there; before the first and after the last it is the script's.
#[test]
fn no_function_looks_at_its_own_name() {
    for (name, program) in programs().into_iter().filter(|(name, _)| *name != "probe") {
        let mut function = None;
        for line in own_lines(&program) {
            if let Some((word, _)) = line.split_once("() {") {
                function = (!line.ends_with('}')).then(|| word.to_owned());
            } else if line == "}" {
                function = None;
            }
            if let Some(function) = &function {
                let names_itself = line.contains("$0") || line.contains("${0");
                assert!(!names_itself, "{name}: {function} takes its own name for that of the script: {line}");
            }
        }
    }
}

/// A `)` of `case` ends a `$(` that is open: what has both stands in a function of its own.
#[test]
fn no_case_stands_within_a_command_substitution() {
    for (name, program) in programs() {
        for line in own_lines(&program) {
            for piece in line.split("$(").skip(1).filter(|piece| !piece.starts_with('(')) {
                let inside = piece.split(')').next().unwrap();
                assert!(!inside.trim_start().starts_with("case ") && !inside.contains("; case "), "{name}: {line}");
            }
        }
    }
}

/// What the Bourne shell, which is sh on Solaris 10 and before, says of a text: nothing when it would take it.
fn bourne(text: &str) -> String {
    let lint = repository().join("tests/world/unix/bourne.awk");
    let mut child = Command::new("awk")
        .args(["-v", "shell=sh", "-f"])
        .arg(lint)
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    format!("{}{}", String::from_utf8_lossy(&output.stderr), if output.status.success() { "" } else { "refused" })
}

#[test]
fn what_a_bourne_shell_reads_it_takes() {
    require("awk", "mawk");
    assert_ne!(bourne("echo $(date)\n"), "", "the lint sees nothing");
    for handed_over in [shell::POSIX, shell::ASK, shell::FIND] {
        assert_eq!(bourne(&format!("{handed_over}\n")), "", "{handed_over}");
    }
    for text in [&*assets::PROBE_LINE, &*assets::PUT, &*assets::KILL] {
        let line = shell::command_line(Dialect::Posix, &shell::program(text, &["/var/lib/it's"]));
        assert_eq!(bourne(&format!("{}\n", String::from_utf8(line).unwrap())), "", "{text:.60}");
    }
    let command = by_hand::command(Os::Solaris, "demo", "http://10.0.0.1:8420/x").unwrap();
    assert!(command.starts_with("ksh -c "), "{command}");
    assert_eq!(bourne(&command), "", "{command}");
    // What runs the service script at boot where SMF is not: three lines that the script writes.
    let written = |line: &str| {
        let text = line.trim().strip_prefix("put_line ")?;
        Some(text[1..text.len() - 1].replace("\\\"", "\"").replace("\\$", "$").replace("$quoted", "/opt/a/service"))
    };
    let script: Vec<_> = assets::AGENT_SOLARIS
        .lines()
        .skip_while(|line| *line != "enter_rc() {")
        .take_while(|line| *line != "}")
        .filter_map(written)
        .collect();
    assert_eq!(script[0], "#!/sbin/sh");
    assert_eq!(script[2], "exec /usr/xpg4/bin/sh '/opt/a/service' ${1+\"$@\"}");
    assert_eq!(bourne(&(script.join("\n") + "\n")), "", "{script:?}");
    // SMF gives its methods to /sbin/sh.
    let manifest = Agent { setup: "/opt/it's 100% $x", ..Agent::default() }.render_on("solaris", "manifest.xml.j2");
    let methods: Vec<_> = manifest.split(" exec=\"").skip(1).map(|rest| rest.split('"').next().unwrap()).collect();
    assert_eq!(methods.len(), 2);
    for method in methods {
        let method = method.replace("&apos;", "'").replace("&quot;", "\"").replace("&amp;", "&");
        assert_eq!(bourne(&(method.clone() + "\n")), "", "{method}");
        assert!(method.contains("100%% $x") && !method.contains('\\'), "{method}");
    }
}

/// A secret must not be an argument of a program, and printf is one where print is a builtin.
#[test]
fn a_token_is_written_by_a_builtin() {
    let (_, manual) = programs().into_iter().find(|(name, _)| *name == "manual").unwrap();
    let writes = |line: &&str| line.contains("$lf_token");
    let lines: Vec<_> = manual.lines().map(str::trim).filter(writes).collect();
    assert!(!lines.is_empty());
    for line in lines {
        assert!(line.starts_with("put_line "), "{line}");
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
