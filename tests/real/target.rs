//! Looking at a host from beside SSH, and holding things up on it.

use std::collections::BTreeSet;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::package::NODE_EXPORTER_PORT;
use crate::world::{Host, World};

/// Longest wait for something that has to come by itself.
const PATIENCE: Duration = Duration::from_secs(60);

/// Waits until something holds.
#[track_caller]
pub fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < end, "{what}: not within {} s", PATIENCE.as_secs());
        sleep(Duration::from_millis(50));
    }
}

/// Does a line of shell succeed on the host?
pub fn holds(world: &World, name: &str, line: &str) -> bool {
    world.output(name, line).status.success()
}

/// What node_exporter answers, asked over the network like a scraper does.
pub fn metrics(host: &Host) -> Option<String> {
    let mut stream = TcpStream::connect((host.ip.as_str(), NODE_EXPORTER_PORT)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(5))).ok()?;
    stream.write_all(b"GET /metrics HTTP/1.0\r\nHost: test\r\n\r\n").ok()?;
    let mut text = Vec::new();
    stream.read_to_end(&mut text).ok()?;
    Some(String::from_utf8_lossy(&text).into_owned())
}

/// Fails unless the agent answers with metrics.
#[track_caller]
pub fn assert_answers(host: &Host) {
    let text = metrics(host).unwrap_or_else(|| panic!("{}: nobody listens on port {NODE_EXPORTER_PORT}", host.name));
    assert!(text.starts_with("HTTP/1.0 200") && text.contains("node_exporter_build_info"), "{}: {text:.300}", host.name);
}

/// Fails when anything of node_exporter runs or listens.
#[track_caller]
pub fn assert_gone(world: &World, host: &Host) {
    assert!(metrics(host).is_none(), "{}: something still answers", host.name);
    let processes = world.exec(&host.name, "cat /proc/[0-9]*/cmdline | tr '\\0' ' '");
    assert!(!processes.contains("node_exporter"), "{}: {processes}", host.name);
}

/// Run ids in the order in which the host started them.
pub fn runs_started(world: &World, name: &str) -> Vec<String> {
    let history = world.exec(name, "cat /var/lib/landfall/history.log 2>/dev/null || :");
    history.lines().filter_map(|line| line.rsplit_once("run START ").map(|(_, id)| id.trim().to_owned())).collect()
}

/// Fails when a run id was started twice.
#[track_caller]
pub fn assert_no_run_twice(world: &World, name: &str) -> Vec<String> {
    let runs = runs_started(world, name);
    let distinct: BTreeSet<_> = runs.iter().collect();
    assert_eq!(distinct.len(), runs.len(), "{name}: a run was started twice: {runs:?}");
    runs
}

/// Everything on the host but what a login itself leaves behind and Landfall's own state: kind, mode, owner, size, target.
pub fn listing(world: &World, name: &str) -> String {
    let spared = "-path /var/lib/landfall -o -path /var/log/sshd.log -o -path /var/log/wtmp -o -path /var/log/lastlog \
        -o -path /var/log/btmp -o -path /run/utmp -o -path /run/motd.dynamic -o -path /run/sudo -o -path /var/lib/sudo";
    world.exec(
        name,
        &format!(
            "find / /run /tmp /dev/shm -xdev \\( {spared} \\) -prune \
             -o -type d -printf '%y %m %U:%G %p\\n' -o -printf '%y %m %U:%G %s %p -> %l\\n' | sort"
        ),
    )
}

/// What stands in one listing and not in the other.
pub fn difference(before: &str, after: &str) -> Vec<String> {
    let (old, new): (BTreeSet<_>, BTreeSet<_>) = (before.lines().collect(), after.lines().collect());
    let gone = old.difference(&new).map(|line| format!("- {line}"));
    let come = new.difference(&old).map(|line| format!("+ {line}"));
    gone.chain(come).collect()
}

/// How often the host's sshd said so.
pub fn sshd_said(world: &World, name: &str, words: &str) -> usize {
    world.exec(name, "cat /var/log/sshd.log").matches(words).count()
}

/// The run id that a `run_script` step began with.
#[track_caller]
pub fn run_id(event: &Value) -> String {
    event["run_id"].as_str().unwrap_or_else(|| panic!("no run id: {event}")).to_owned()
}

/// From now on an install script waits on this host, in the middle of its work, until [`let_go`].
pub fn hold_scripts(world: &World, name: &str) {
    world.exec(
        name,
        "mv /usr/bin/tar /usr/bin/tar.real && : >/tmp/hold && cat >/usr/bin/tar <<'TAR'\n\
         #!/bin/sh\n\
         while [ -e /tmp/hold ]; do : >/tmp/held; sleep 0.1; done\n\
         exec /usr/bin/tar.real \"$@\"\n\
         TAR\n\
         chmod 755 /usr/bin/tar",
    );
}

/// Waits until a script is held up.
#[track_caller]
pub fn await_held(world: &World, name: &str) {
    until("a script that is held up", || holds(world, name, "test -e /tmp/held"));
}

pub fn let_go(world: &World, name: &str) {
    world.exec(name, "rm -f /tmp/hold");
}

/// Waits until somebody follows a script of the host.
#[track_caller]
pub fn await_followed(world: &World, name: &str) {
    until("somebody who follows the script", || holds(world, name, "grep -q '[c]ontrol beat' /proc/[0-9]*/cmdline 2>/dev/null"));
    // Its first lines are on their way.
    sleep(Duration::from_millis(500));
}
