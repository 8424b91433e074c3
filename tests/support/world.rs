//! The test world from Rust: real SSH hosts for the length of a test.
//!
//! [`World::up`] calls `tests/world/world up`, which makes every host out of namespaces and waits until its SSH server
//! answers; dropping the [`World`] takes all of it down. A world of a test that was killed is reaped by the next `up`,
//! because this process is named as its owner. There is no skipping: a host that cannot be had fails the test, with
//! the script's own words.

#![allow(dead_code, reason = "every test binary uses its own part of this")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;
use tempfile::TempDir;

/// The script that does the work; see `tests/world/README.md` for the kinds of hosts.
const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/world/world");

/// A running world. Worlds of different tests share nothing but the machine.
pub struct World {
    dir: TempDir,
    hosts: Vec<Host>,
    /// An address where packets vanish: connecting to it times out.
    pub blackhole: String,
    /// An address that refuses every connection.
    pub closed: String,
    /// The private key that hosts of kind `key` accept.
    pub key_file: PathBuf,
    /// The same key, encrypted with [`World::passphrase`].
    pub encrypted_key_file: PathBuf,
    pub passphrase: String,
}

/// One host and how to log in to it. What a kind does not have is `None`.
#[derive(Debug, Clone)]
pub struct Host {
    pub name: String,
    pub kind: String,
    pub ip: String,
    pub ip6: String,
    pub port: u16,
    pub user: String,
    pub password: Option<String>,
    pub key_file: Option<String>,
    pub sudo_password: Option<String>,
    /// The public host key as in a known_hosts line: `ssh-ed25519 AAAA…`.
    pub host_key: String,
}

impl World {
    /// Brings up hosts given as (name, kind).
    #[track_caller]
    pub fn up(hosts: &[(&str, &str)]) -> Self {
        let pairs: Vec<String> = hosts.iter().map(|(name, kind)| format!("{name}={kind}")).collect();
        Self::bring_up(&pairs)
    }

    /// Brings up `count` hosts of one kind, called `h1` and so on.
    #[track_caller]
    pub fn count(count: usize, kind: &str) -> Self {
        Self::bring_up(&["--count".to_owned(), count.to_string(), kind.to_owned()])
    }

    #[track_caller]
    fn bring_up(what: &[String]) -> Self {
        let dir = tempfile::Builder::new()
            .prefix("landfall-world-")
            .tempdir()
            .unwrap_or_else(|error| panic!("no directory for a test world: {error}"));
        let owner = std::process::id().to_string();
        let mut arguments = vec!["--owner", owner.as_str()];
        arguments.extend(what.iter().map(String::as_str));
        succeed(script(dir.path(), "up", &arguments), "world up");

        let listed = succeed(script(dir.path(), "list", &["--json"]), "world list");
        let world: Value =
            serde_json::from_str(&listed).unwrap_or_else(|error| panic!("`world list --json` is no JSON: {error}\n{listed}"));
        let hosts = world["hosts"].as_array().map(Vec::as_slice).unwrap_or_default();
        Self {
            hosts: hosts.iter().map(Host::from_json).collect(),
            blackhole: text(&world, "blackhole"),
            closed: text(&world, "closed"),
            key_file: text(&world, "key_file").into(),
            encrypted_key_file: text(&world, "encrypted_key_file").into(),
            passphrase: text(&world, "passphrase"),
            dir,
        }
    }

    /// The world's own directory: `hosts.json`, `ssh_config`, `known_hosts`, the client's keys.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// All hosts, in the order they were asked for.
    pub fn hosts(&self) -> &[Host] {
        &self.hosts
    }

    #[track_caller]
    pub fn host(&self, name: &str) -> &Host {
        self.hosts.iter().find(|host| host.name == name).unwrap_or_else(|| panic!("this world has no host `{name}`"))
    }

    /// Runs a line of shell as root on the host, beside SSH, and returns what it printed. A failing line fails the
    /// test; [`World::output`] leaves that to the caller.
    #[track_caller]
    pub fn exec(&self, name: &str, line: &str) -> String {
        succeed(self.output(name, line), &format!("`{line}` on {name}"))
    }

    /// The bytes that a line of shell printed.
    #[track_caller]
    pub fn bytes(&self, name: &str, line: &str) -> Vec<u8> {
        let output = self.output(name, line);
        assert!(output.status.success(), "`{line}` on {name}: {}", String::from_utf8_lossy(&output.stderr));
        output.stdout
    }

    /// Writes a file on the host.
    #[track_caller]
    pub fn put(&self, name: &str, path: &str, bytes: &[u8]) {
        let mut command = Command::new(SCRIPT);
        command.args(["exec", "--dir"]).arg(self.dir()).args([name, "/bin/sh", "-c", &format!("cat >'{path}'")]);
        let mut child = command.stdin(Stdio::piped()).spawn().unwrap_or_else(|error| panic!("cannot run {SCRIPT}: {error}"));
        child.stdin.take().and_then(|mut stdin| std::io::Write::write_all(&mut stdin, bytes).ok()).expect("it takes the bytes");
        assert!(child.wait().is_ok_and(|status| status.success()), "{path} on {name} was not written");
    }

    /// Like [`World::exec`], with exit code and both streams.
    pub fn output(&self, name: &str, line: &str) -> Output {
        script(self.dir(), "exec", &[name, "/bin/sh", "-c", line])
    }

    /// Switches the host off, as if its power was cut: connections fall silent, the disk stays.
    #[track_caller]
    pub fn stop(&self, name: &str) {
        succeed(script(self.dir(), "stop", &[name]), "world stop");
    }

    /// Switches the host on again, with a new boot id and the same host key; returns when its SSH server answers.
    #[track_caller]
    pub fn start(&self, name: &str) {
        succeed(script(self.dir(), "start", &[name]), "world start");
    }

    /// Pulls the network cable out: nothing is refused, nothing is answered.
    #[track_caller]
    pub fn cut(&self, name: &str) {
        succeed(script(self.dir(), "cut", &[name]), "world cut");
    }

    /// From now on only the other hosts reach it: it is in a zone of theirs.
    #[track_caller]
    pub fn hide(&self, names: &[&str]) {
        succeed(script(self.dir(), "hide", names), "world hide");
    }

    /// Puts the network cable back.
    #[track_caller]
    pub fn heal(&self, name: &str) {
        succeed(script(self.dir(), "heal", &[name]), "world heal");
    }
}

impl Drop for World {
    fn drop(&mut self) {
        let output = script(self.dir.path(), "down", &[]);
        // A second panic would abort and hide the first one, which is the one that matters.
        if std::thread::panicking() {
            eprint!("{}", String::from_utf8_lossy(&output.stderr));
        } else {
            succeed(output, "world down");
        }
    }
}

impl Host {
    fn from_json(host: &Value) -> Self {
        let optional = |key: &str| host[key].as_str().map(str::to_owned);
        let port = host["port"].as_u64().and_then(|port| u16::try_from(port).ok());
        Self {
            name: text(host, "name"),
            kind: text(host, "kind"),
            ip: text(host, "ip"),
            ip6: text(host, "ip6"),
            port: port.unwrap_or_else(|| panic!("`world` told no port: {host}")),
            user: text(host, "user"),
            password: optional("password"),
            key_file: optional("key_file"),
            sudo_password: optional("sudo_password"),
            host_key: text(host, "host_key"),
        }
    }
}

fn text(value: &Value, key: &str) -> String {
    match value[key].as_str() {
        Some(text) => text.to_owned(),
        None => panic!("`world` told no `{key}`: {value}"),
    }
}

fn script(dir: &Path, command: &str, arguments: &[&str]) -> Output {
    Command::new(SCRIPT)
        .arg(command)
        .arg("--dir")
        .arg(dir)
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .unwrap_or_else(|error| panic!("cannot run {SCRIPT}: {error}"))
}

/// The standard output of a command that must have gone well.
#[track_caller]
fn succeed(output: Output, what: &str) -> String {
    assert!(
        output.status.success(),
        "{what} failed ({})\n{}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    String::from_utf8_lossy(&output.stdout).into_owned()
}
