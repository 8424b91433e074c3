//! probe.sh as one constant line, to a shell nobody knows yet.

use landfall::assets::PROBE_LINE;

use crate::sandbox::{Answer, Sandbox, under_every_shell};
use crate::target::{Agent, STATE, file, put, sha256};

fn probe(host: &Sandbox, setup: &str) -> Vec<String> {
    facts(&host.script(&PROBE_LINE, &[""; 0], setup.as_bytes()))
}

fn facts(answer: &Answer) -> Vec<String> {
    assert_eq!((answer.code, answer.stderr.as_str()), (0, ""));
    let said = answer.text();
    let inside = said.strip_prefix("\n@@lf:ready@@\n@@lf:begin@@\n").unwrap().strip_suffix("@@lf:end@@\n").unwrap();
    // Nothing but answers, one a line.
    inside.lines().map(|line| line.strip_prefix("@@lf:").unwrap().strip_suffix("@@").unwrap().to_owned()).collect()
}

fn values(facts: &[String], key: &str) -> Vec<String> {
    facts.iter().filter_map(|line| line.strip_prefix(&format!("{key}=")).map(str::to_owned)).collect()
}

#[test]
fn the_line_has_nothing_that_a_foreign_shell_would_read() {
    let line = PROBE_LINE.as_str();
    assert!(line.is_ascii() && !line.contains(['\'', '\\', '!', '\n', '\t']), "{line}");
    assert!(!line.contains(" # "), "a comment would swallow the rest");
}

#[test]
fn every_fact_comes_as_one_line() {
    under_every_shell(|host| {
        host.sh("printf 'NAME=x\\nID=\"rocky\"\\nVERSION_ID=\"9.4\"\\n' >/etc/os-release");
        let facts = probe(host, "/opt/land/agents\n/tmp/agents\n");
        for key in ["os", "release", "cpu", "distro", "shell", "uid", "user", "home", "boot", "init", "tools", "setup", "temp"] {
            assert_eq!(values(&facts, key).len(), 1, "{key} in {facts:?}");
        }
        let expected =
            [("os", "Linux"), ("uid", "0"), ("user", "root"), ("home", "/root"), ("shell", "/bin/sh"), ("distro", "rocky 9.4")];
        for (key, value) in expected {
            assert_eq!(values(&facts, key), [value]);
        }
        assert_eq!(values(&facts, "boot"), [host.sh("cat /proc/sys/kernel/random/boot_id")]);
        assert_eq!(values(&facts, "init"), ["sysv"]);
        let tools = values(&facts, "tools");
        for tool in ["gzip", "tar", "sha256sum", "setsid", "bash", "dd"] {
            assert!(tools[0].split(' ').any(|known| known == tool), "{tools:?}");
        }
        let setup = &values(&facts, "setup")[0];
        assert!(
            setup.starts_with("/opt ") && setup.ends_with(" rw") && setup.split(' ').nth(1).unwrap().parse::<u64>().unwrap() > 0
        );
        assert!(values(&facts, "temp")[0].starts_with("/tmp "), "{facts:?}");
        assert_eq!(values(&facts, "place").len(), 4);
        assert!(values(&facts, "place")[0].starts_with("/var/lib/landfall ") && values(&facts, "place")[0].ends_with(" ok"));
        assert!(values(&facts, "state").is_empty() && values(&facts, "lock").is_empty());
        host.sh("mkdir -p /run/systemd/system");
        assert_eq!(values(&probe(host, ""), "init"), ["systemd"]);
        assert!(values(&probe(host, ""), "setup").is_empty());
    });
}

#[test]
fn root_also_learns_the_state_and_what_is_installed() {
    under_every_shell(|host| {
        let toml = "name = \"demo\"\nstart = 'a \\n %s \\\\ $x `y` @@lf:end'\n  indented = 1\nlast = 2";
        let agent = Agent { extra: vec![file("landfall.toml", 0o600, toml)], ..Agent::default() };
        agent.does(host, "install");
        put(host, STATE, b"other");
        host.sh("mkdir /opt/landfall && chown 1 /opt/landfall; ln -s /tmp /usr/local/landfall");
        let facts = probe(host, "/opt/land/agents");
        assert_eq!(values(&facts, "state"), [STATE]);
        let mut blobs = values(&facts, "blob");
        blobs.sort();
        let mut expected = vec![format!("{} 5", sha256(b"other")), format!("{} {}", sha256(&agent.blob), agent.blob.len())];
        expected.sort();
        assert_eq!(blobs, expected);
        assert!(values(&facts, "lock")[0].starts_with("released task-run_script-"));
        assert_eq!(values(&facts, "installed"), ["/opt/land/agents/demo/landfall.toml"]);
        assert_eq!(values(&facts, "toml").join("\n"), toml);
        // Wherever the request says that agents are: what is there was noted by its install.
        let elsewhere = probe(host, "/usr/local/gse");
        assert_eq!(values(&elsewhere, "installed"), ["/opt/land/agents/demo/landfall.toml"]);
        assert_eq!(values(&elsewhere, "toml").join("\n"), toml);
        let verdicts: Vec<_> = values(&facts, "place").iter().map(|place| place.rsplit(' ').next().unwrap().to_owned()).collect();
        assert_eq!(verdicts, ["ok", "link", "link", "ok"]);
    });
}

#[test]
fn an_ordinary_account_learns_what_it_may() {
    under_every_shell(|host| {
        Agent::default().does(host, "install");
        host.write("/tmp/probe", PROBE_LINE.as_bytes(), 0o644);
        let facts = facts(&host.script("exec su -s /bin/sh -c 'echo /opt/land | sh /tmp/probe' daemon", &[""; 0], b""));
        assert_eq!(values(&facts, "user"), ["daemon"]);
        assert!(values(&facts, "setup")[0].ends_with(" ro"), "{facts:?}");
        for key in ["state", "place", "blob", "lock", "installed", "toml"] {
            assert!(values(&facts, key).is_empty(), "{key}");
        }
    });
}

#[test]
fn mounts_that_cannot_be_written_or_run_from_are_told() {
    under_every_shell(|host| {
        host.sh(
            "mkdir /opt/ro /opt/noexec; mount -t tmpfs -o ro ro /opt/ro; mount -t tmpfs -o noexec,size=5m noexec /opt/noexec",
        );
        assert!(values(&probe(host, "/opt/ro/agents"), "setup")[0].ends_with(" ro"));
        assert_eq!(values(&probe(host, "/opt/noexec/a b/c"), "setup"), ["/opt/noexec 5120 noexec"]);
    });
}

#[test]
fn what_is_asked_for_may_come_as_arguments_where_there_is_no_stdin() {
    under_every_shell(|host| {
        let by_stdin = probe(host, "/opt/land/agents\n/tmp/agents\n");
        assert!(values(&by_stdin, "stdin").is_empty());
        assert_eq!(values(&probe(host, ""), "stdin"), ["none"]);
        let by_arguments = facts(&host.script(&PROBE_LINE, &["/opt/land/agents", "/tmp/agents"], b""));
        assert!(values(&by_arguments, "stdin").is_empty());
        for key in ["setup", "temp"] {
            assert_eq!(values(&by_arguments, key)[0].split(' ').next(), values(&by_stdin, key)[0].split(' ').next(), "{key}");
        }
    });
}
