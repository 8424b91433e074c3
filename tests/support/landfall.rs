//! The built binary, run as an operator runs it: with a data directory and a site file of its own, `--output json` read
//! back as events and a result.
//!
//! [`Landfall::run`] waits for the end; [`Landfall::begin`] gives a [`Running`] whose events can be waited for, and that can
//! be killed or interrupted at any of them. Whatever is still running when its value is dropped is killed.

#![allow(dead_code, reason = "every test binary uses its own part of this")]

use std::io::{BufRead, BufReader, Read};
use std::net::IpAddr;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::world::Host;

/// Longest wait for one event. Real hosts on a busy machine, with retries in between.
const PATIENCE: Duration = Duration::from_secs(180);

/// One installation of Landfall.
pub struct Landfall {
    dir: TempDir,
    /// Address of the job record; a file of the data directory without it.
    database: Option<String>,
}

/// A command that ended.
pub struct Done {
    /// Exit code; 128 + number for a signal, as a shell tells it.
    pub exit: i32,
    pub stdout: String,
    pub stderr: String,
}

/// A `run` or `resume` that ended by itself.
pub struct Report {
    pub exit: i32,
    /// Event lines, in order.
    pub events: Vec<Value>,
    /// The last line: the job's result, or the API's envelope when nothing ran.
    pub result: Value,
    pub stdout: String,
    pub stderr: String,
}

/// A `run` or `resume` in progress.
pub struct Running {
    child: Child,
    lines: Receiver<String>,
    seen: Vec<String>,
    stderr: Option<JoinHandle<String>>,
}

impl Landfall {
    pub fn new() -> Self {
        let dir = tempfile::Builder::new().prefix("landfall-real-").tempdir().expect("a directory for landfall");
        std::fs::write(dir.path().join("site.toml"), "").expect("a site file");
        Self { dir, database: None }
    }

    /// One that has this package.
    #[track_caller]
    pub fn with(package: &Path) -> Self {
        let landfall = Self::new();
        landfall.add(package);
        landfall
    }

    #[track_caller]
    pub fn add(&self, package: &Path) {
        let done = self.call(&["package", "add", &package.display().to_string()]);
        assert_eq!(done.exit, 0, "package add: {}{}", done.stdout, done.stderr);
    }

    /// Declares a site.
    pub fn site(&self, toml: &str) {
        std::fs::write(self.dir.path().join("site.toml"), toml).expect("a site file");
    }

    /// Puts the job record into a database.
    pub fn record_in(&mut self, url: String) {
        self.database = Some(url);
    }

    /// The data directory; what is beside it (job and site files) is the caller's.
    pub fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    /// A place for files of the test.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// Writes a job file and gives its path.
    pub fn job_file(&self, job: &Value) -> PathBuf {
        let file = self.dir.path().join("job.json");
        std::fs::write(&file, job.to_string()).expect("a job file");
        file
    }

    /// The binary with what makes it this installation, and nothing of the test's own environment.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_landfall"));
        self.settle(&mut command, arguments);
        command
    }

    /// The same, run by another program (`strace -o FILE`).
    pub fn command_under(&self, program: &[&str], arguments: &[&str]) -> Command {
        let (name, own) = program.split_first().expect("a program");
        let mut command = Command::new(name);
        command.args(own).arg(env!("CARGO_BIN_EXE_landfall"));
        self.settle(&mut command, arguments);
        command
    }

    fn settle(&self, command: &mut Command, arguments: &[&str]) {
        command.arg("--data-dir").arg(self.data()).arg("--site").arg(self.dir.path().join("site.toml")).args(arguments);
        command.env_clear().env("PATH", "/usr/bin:/bin").env("HOME", self.dir.path()).env("LANG", "C.UTF-8");
        command.envs(self.database.iter().map(|url| ("LANDFALL_DATABASE_URL", url)));
        command.stdin(Stdio::null());
    }

    /// Runs any command to its end.
    #[track_caller]
    pub fn call(&self, arguments: &[&str]) -> Done {
        let output = self.command(arguments).output().expect("the binary runs");
        Done::new(output.status, &output.stdout, &output.stderr)
    }

    /// Runs a job to its end.
    #[track_caller]
    pub fn run(&self, job: &Value) -> Report {
        self.begin(job).report()
    }

    /// Runs a job to its end; every host must have become SUCCESS.
    #[track_caller]
    pub fn succeed(&self, job: &Value) -> Report {
        self.run(job).succeeded()
    }

    /// Starts a job.
    #[track_caller]
    pub fn begin(&self, job: &Value) -> Running {
        let file = self.job_file(job);
        Running::spawn(self.command(&["run", &file.display().to_string(), "--output", "json"]))
    }

    /// Goes on with a job.
    #[track_caller]
    pub fn begin_resume(&self, job: i64) -> Running {
        Running::spawn(self.command(&["job", "resume", &job.to_string(), "--output", "json"]))
    }

    /// Goes on with a job until its end.
    #[track_caller]
    pub fn resume(&self, job: i64) -> Report {
        self.begin_resume(job).report()
    }

    /// The job's details as the record has them.
    #[track_caller]
    pub fn show(&self, job: i64) -> Value {
        let done = self.call(&["job", "show", &job.to_string(), "--output", "json"]);
        assert_eq!(done.exit, 0, "job show: {}", done.stderr);
        serde_json::from_str(&done.stdout).expect("job show prints JSON")
    }

    /// What the record knows of one step of the first host.
    #[track_caller]
    pub fn step(&self, job: i64, step: &str) -> Value {
        let view = self.show(job);
        let steps = view["list"][0]["steps"].as_array().expect("steps");
        steps.iter().find(|known| known["step"] == step).unwrap_or_else(|| panic!("no step {step} in {view}")).clone()
    }
}

impl Done {
    fn new(status: ExitStatus, stdout: &[u8], stderr: &[u8]) -> Self {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Self { exit: code(status), stdout: text(stdout), stderr: text(stderr) }
    }
}

impl Report {
    fn new(exit: i32, lines: &[String], stderr: String) -> Self {
        let stdout = lines.join("\n");
        let mut values: Vec<Value> = lines
            .iter()
            .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("not JSON ({error}): {line}\n{stderr}")))
            .collect();
        let result = values.pop().unwrap_or(Value::Null);
        Self { exit, events: values, result, stdout, stderr }
    }

    /// Fails with everything that was said unless every host became SUCCESS.
    #[track_caller]
    pub fn succeeded(self) -> Self {
        let went_well = self.exit == 0 && self.result["status"] == "SUCCESS";
        assert!(went_well, "exit {}: {}\n{}\n{}", self.exit, self.result, self.course(), self.stderr);
        self
    }

    /// The events without the plans, which are long.
    fn course(&self) -> String {
        let events = self.events.iter().filter(|event| event["kind"] != "plan_settled");
        events.map(Value::to_string).collect::<Vec<_>>().join("\n")
    }

    /// Number of the job.
    #[track_caller]
    pub fn job(&self) -> i64 {
        self.result["job_id"].as_i64().unwrap_or_else(|| panic!("no job: {}\n{}", self.result, self.stderr))
    }

    /// The result of one host.
    #[track_caller]
    pub fn host(&self, ip: &str) -> &Value {
        let hosts = self.result["hosts"].as_array().unwrap_or_else(|| panic!("no hosts: {}\n{}", self.result, self.stderr));
        // An IPv6 address has several spellings.
        let wanted: IpAddr = ip.parse().expect("an address");
        let meant = |host: &&Value| host["ip"].as_str().and_then(|ip| ip.parse().ok()) == Some(wanted);
        hosts.iter().find(meant).unwrap_or_else(|| panic!("no host {ip} in {}", self.result))
    }

    /// (class, code, step) of a host's failure; it must have failed, and with something to say.
    #[track_caller]
    pub fn failure(&self, ip: &str) -> (&str, &str, &str) {
        let host = self.host(ip);
        let failure = &host["failure"];
        assert!(failure.is_object(), "{ip} did not fail: {host}\n{}", self.stderr);
        assert!(failure["message"].as_str().is_some_and(|text| !text.is_empty()), "no cause: {failure}");
        assert!(failure["remedy"].as_str().is_some_and(|text| !text.is_empty()), "no remedy: {failure}");
        let word = |key: &str| failure[key].as_str().unwrap_or_default();
        (word("class"), word("code"), word("step"))
    }

    /// Events of a kind about one host, in order.
    pub fn events_of<'a>(&'a self, ip: &'a str, kind: &'a str) -> impl Iterator<Item = &'a Value> {
        self.events.iter().filter(move |event| event["host"]["ip"] == ip && event["kind"] == kind)
    }
}

impl Running {
    #[track_caller]
    pub fn spawn(mut command: Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the binary runs");
        let stdout = child.stdout.take().expect("stdout");
        let mut errors = child.stderr.take().expect("stderr");
        let (send, lines) = channel();
        // Both pipes are always drained: one that is full would hold the process up.
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                let _ = send.send(line);
            }
        });
        let stderr = std::thread::spawn(move || {
            let mut text = Vec::new();
            let _ = errors.read_to_end(&mut text);
            String::from_utf8_lossy(&text).into_owned()
        });
        Self { child, lines, seen: Vec::new(), stderr: Some(stderr) }
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits until the job is recorded, and gives its number.
    #[track_caller]
    pub fn accepted(&mut self) -> i64 {
        let event = self.wait_for("job_accepted", |event| event["kind"] == "job_accepted");
        event["job_id"].as_i64().expect("a job id")
    }

    /// Waits until a step has begun on a host.
    #[track_caller]
    pub fn step_started(&mut self, ip: &str, step: &str) -> Value {
        self.wait_for(&format!("{step} on {ip}"), |event| {
            event["kind"] == "step_started" && event["step"] == step && event["host"]["ip"] == ip
        })
    }

    /// Waits for an event; those before it are taken in.
    #[track_caller]
    pub fn wait_for(&mut self, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let until = Instant::now() + PATIENCE;
        loop {
            match self.lines.recv_timeout(until.saturating_duration_since(Instant::now())) {
                Ok(line) => {
                    let event: Value = serde_json::from_str(&line).unwrap_or_else(|error| panic!("not JSON ({error}): {line}"));
                    self.seen.push(line);
                    if wanted(&event) {
                        return event;
                    }
                }
                Err(trouble) => {
                    let why = if trouble == RecvTimeoutError::Timeout { "in time" } else { "before the end" };
                    let seen = self.seen.join("\n");
                    panic!("no {what} {why}; there was:\n{seen}\n{}", self.end(Signal::SIGKILL).stderr);
                }
            }
        }
    }

    /// One Ctrl-C.
    pub fn interrupt(&self) {
        self.signal(Signal::SIGINT);
    }

    fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.child.id()).expect("a pid");
        kill(Pid::from_raw(pid), signal).expect("the process is there");
    }

    /// `kill -9`: nothing of the process gets to say goodbye.
    #[track_caller]
    pub fn kill(mut self) {
        let done = self.end(Signal::SIGKILL);
        assert_eq!(done.exit, 128 + 9, "it had ended by itself: {}\n{}", self.seen.join("\n"), done.stderr);
    }

    /// `kill -9`, unless it has ended by itself.
    pub fn kill_if_alive(mut self) {
        self.end(Signal::SIGKILL);
    }

    fn end(&mut self, signal: Signal) -> Done {
        if self.child.try_wait().ok().flatten().is_none() {
            self.signal(signal);
        }
        self.done()
    }

    fn done(&mut self) -> Done {
        let status = self.child.wait().expect("the process ends");
        self.seen.extend(self.lines.iter());
        let stderr = self.stderr.take().and_then(|thread| thread.join().ok()).unwrap_or_default();
        Done { exit: code(status), stdout: self.seen.join("\n"), stderr }
    }

    /// Waits for the end.
    #[track_caller]
    pub fn report(mut self) -> Report {
        let done = self.done();
        Report::new(done.exit, &self.seen, done.stderr)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn code(status: ExitStatus) -> i32 {
    status.code().or(status.signal().map(|signal| 128 + signal)).unwrap_or(-1)
}

/// A request: INSTALL_AGENT or another kind, on these hosts.
pub fn job<'a>(kind: &str, hosts: impl IntoIterator<Item = &'a Host>) -> Value {
    json!({"job_type": kind, "hosts": hosts.into_iter().map(entry).collect::<Vec<_>>()})
}

pub fn install<'a>(hosts: impl IntoIterator<Item = &'a Host>) -> Value {
    job("INSTALL_AGENT", hosts)
}

pub fn uninstall<'a>(hosts: impl IntoIterator<Item = &'a Host>) -> Value {
    job("UNINSTALL_AGENT", hosts)
}

/// The request's entry for a host, with the login that its kind has.
pub fn entry(host: &Host) -> Value {
    let mut entry = json!({
        "bk_biz_id": 2,
        "bk_cloud_id": 0,
        "ap_id": 1,
        "inner_ip": host.ip,
        "os_type": "LINUX",
        "account": host.user,
        "port": host.port,
    });
    match (&host.password, &host.key_file) {
        (Some(password), _) => {
            entry["auth_type"] = "PASSWORD".into();
            entry["password"] = password.as_str().into();
        }
        (None, key) => {
            entry["auth_type"] = "KEY".into();
            entry["key"] = json!({"file": key});
        }
    }
    if let Some(password) = host.sudo_password.as_ref().filter(|sudo| host.password.as_ref() != Some(sudo)) {
        entry["sudo_password"] = password.as_str().into();
    }
    entry
}
