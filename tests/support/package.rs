//! Agent packages for tests, made with the `tar` and `flate2` crates, and those of `examples/`.
//!
//! [`Package::tiny`] is an agent of a few lines of sh that needs nothing on its host but `sleep`; the methods make it big,
//! silent or mortal. Every one has a name of its own, so that several fit into one data directory.

#![allow(dead_code, reason = "every test binary uses its own part of this")]

use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use flate2::Compression;
use flate2::write::GzEncoder;
use sha2::{Digest as _, Sha256};

/// Where node_exporter listens.
pub const NODE_EXPORTER_PORT: u16 = 9100;

/// What will be a package.
pub struct Package {
    name: String,
    role: &'static str,
    os: &'static str,
    cpu: &'static str,
    /// The inside of the table `vars`.
    vars: &'static str,
    /// Does the service control manager of Windows start it?
    service: bool,
    version: String,
    start: String,
    stop: Option<String>,
    health: String,
    /// Where it goes; its template has the same path with `.j2`.
    configs: Vec<String>,
    files: Vec<(String, u32, Vec<u8>)>,
    compression: Compression,
}

/// A package that was made.
pub struct Archive {
    pub file: PathBuf,
    pub sha256: String,
    pub size: u64,
    /// (path, SHA-256) of what it unpacks to.
    pub files: Vec<(String, String)>,
}

impl Package {
    /// An agent that lives and is well.
    pub fn tiny(name: &str) -> Self {
        Self {
            name: name.into(),
            role: "agent",
            os: "linux",
            cpu: "any",
            vars: "",
            service: false,
            version: "1.0.0".into(),
            start: "exec sh bin/agent".into(),
            stop: None,
            health: "command = \"test -f {{ paths.release }}/bin/agent\"".into(),
            configs: Vec::new(),
            // One child that is waited for: TERM ends the group, and nothing of it stays.
            files: vec![("bin/agent".into(), 0o755, b"#!/bin/sh\nwhile :; do sleep 5; done\n".to_vec())],
            compression: Compression::fast(),
        }
    }

    /// A service of Windows, which answers on port 9100 with its version.
    pub fn windows(name: &str, program: Vec<u8>) -> Self {
        Self {
            os: "windows",
            start: "bin/agent.exe --port {{ vars.port }}".into(),
            health: "http = \"http://127.0.0.1:{{ vars.port }}/\"".into(),
            vars: "port = 9100, greeting = \"hello\"",
            service: true,
            files: vec![("bin/agent.exe".into(), 0o755, program)],
            ..Self::tiny(name)
        }
        .config("etc/agent.conf", "greeting = {{ vars.greeting }}\n")
    }

    /// An agent for any Unix, which answers on port 9100 with its version.
    pub fn unix(name: &str, program: Vec<u8>) -> Self {
        Self {
            os: "any",
            start: "exec bin/agent --port {{ vars.port }}".into(),
            health: "http = \"http://127.0.0.1:{{ vars.port }}/\"".into(),
            vars: "port = 9100, greeting = \"hello\"",
            files: vec![("bin/agent".into(), 0o755, program)],
            ..Self::tiny(name)
        }
        .config("etc/agent.conf", "greeting = {{ vars.greeting }}\n")
    }

    /// For that system and CPU only.
    pub fn built_for(mut self, os: &'static str, cpu: &'static str) -> Self {
        (self.os, self.cpu) = (os, cpu);
        self
    }

    /// For proxies of zones.
    pub fn proxy(mut self) -> Self {
        self.role = "proxy";
        self
    }

    /// A plugin that comes with every install.
    pub fn plugin(name: &str) -> Self {
        Self { role: "plugin", ..Self::tiny(name) }
    }

    /// No service: a task starts it.
    pub fn no_service(mut self) -> Self {
        self.service = false;
        self
    }

    pub fn named(mut self, name: &str) -> Self {
        self.name = name.into();
        self
    }

    /// Comes with every install.
    pub fn plugin_too(mut self) -> Self {
        self.role = "plugin";
        self
    }

    pub fn version(mut self, version: &str) -> Self {
        self.version = version.into();
        self
    }

    pub fn start(mut self, command: &str) -> Self {
        self.start = command.into();
        self
    }

    pub fn stop(mut self, command: &str) -> Self {
        self.stop = Some(command.into());
        self
    }

    /// One line of the table `[health]`: `tcp = "127.0.0.1:9"`.
    pub fn health(mut self, line: &str) -> Self {
        self.health = line.into();
        self
    }

    /// With a configuration file made of this template.
    pub fn config(mut self, to: &str, template: &str) -> Self {
        self.configs.push(to.into());
        self.files.push((format!("{to}.j2"), 0o644, template.as_bytes().to_vec()));
        self
    }

    /// An agent that starts and never answers.
    pub fn silent(self) -> Self {
        self.health("tcp = \"127.0.0.1:9999\"\ntimeout_s = 2")
    }

    /// With a file of `bytes` bytes that no compressor makes smaller.
    pub fn with_noise(mut self, bytes: usize) -> Self {
        self.files.push(("share/noise.bin".into(), 0o644, noise(bytes)));
        self
    }

    /// With a file of `bytes` bytes of text, stored hardly compressed.
    pub fn with_text(mut self, bytes: usize) -> Self {
        let mut text = Vec::with_capacity(bytes + 64);
        for line in 0_u64.. {
            if text.len() >= bytes {
                break;
            }
            let _ = writeln!(text, "{line:08} cpu idle={} wait={} steal=0 host=web", line % 97, line * 31 % 101);
        }
        text.truncate(bytes);
        self.files.push(("share/text.log".into(), 0o644, text));
        self.compression = Compression::none();
        self
    }

    /// Writes the archive into `dir`.
    pub fn build(mut self, dir: &Path) -> Archive {
        let stop = self.stop.as_ref().map_or_else(String::new, |stop| format!("stop = {stop:?}\n"));
        let config = |to: &String| format!("[[config]]\ntemplate = \"{to}.j2\"\nto = {to:?}\n");
        let configs: String = self.configs.iter().map(config).collect();
        let manifest = format!(
            "name = {:?}\nversion = {:?}\nrole = \"{}\"\n{}os = \"{}\"\ncpu = \"{}\"\nvars = {{ {} }}\n[process]\nservice = {}\nstart = {:?}\n{stop}{configs}[health]\n{}\n",
            self.name,
            self.version,
            self.role,
            if self.role == "plugin" { "auto_install = true\n" } else { "" },
            self.os,
            self.cpu,
            self.vars,
            self.service,
            self.start,
            self.health
        );
        if self.os != "linux" {
            self.files.push(("version.txt".into(), 0o644, self.version.clone().into_bytes()));
        }
        self.files.push(("package.toml".into(), 0o644, manifest.into_bytes()));
        let file = dir.join(format!("{}-{}-{}-{}.tgz", self.name, self.version, self.os, self.cpu));
        let out = File::create(&file).expect("a package file");
        let mut tar = tar::Builder::new(GzEncoder::new(out, self.compression));
        for (path, mode, bytes) in &self.files {
            let mut header = tar::Header::new_ustar();
            header.set_mode(*mode);
            header.set_size(bytes.len() as u64);
            header.set_mtime(1_700_000_000);
            tar.append_data(&mut header, path, bytes.as_slice()).expect("a tar entry");
        }
        tar.into_inner().and_then(GzEncoder::finish).expect("a whole package");
        let bytes = fs::read(&file).expect("the package");
        let files = self.files.iter().map(|(path, _, bytes)| (path.clone(), hex(bytes))).collect();
        Archive { sha256: hex(&bytes), size: bytes.len() as u64, file, files }
    }
}

/// SHA-256, as `sha256sum` prints it.
pub fn hex(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Bytes without any pattern, the same ones every time (xorshift64*).
fn noise(bytes: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut noise = Vec::with_capacity(bytes + 8);
    while noise.len() < bytes {
        state ^= state >> 12;
        state ^= state << 25;
        state ^= state >> 27;
        noise.extend_from_slice(&state.wrapping_mul(0x2545_f491_4f6c_dd1d).to_le_bytes());
    }
    noise.truncate(bytes);
    noise
}

/// A package of `examples/gse-agent`, of the role `agent` or `proxy`.
#[track_caller]
pub fn gse(role: &str) -> PathBuf {
    let files = ["make-package.sh", "package.toml.in", "share/keep.sh", "bin/gsectl", "bin/gse_agent", "etc/gse_agent.conf.j2"];
    let of_proxy = ["etc/gse_data_proxy.conf.j2", "etc/gse_file_proxy.conf.j2"];
    made_once("gse-agent", &[&files[..], &of_proxy].concat(), &[role])
}

/// The package of `examples/heartbeat`.
#[track_caller]
pub fn heartbeat() -> PathBuf {
    made_once("heartbeat", &["make-package.sh", "package.toml", "bin/heartbeat"], &[])
}

/// The package of `examples/node-exporter`.
#[track_caller]
pub fn node_exporter() -> PathBuf {
    made_once("node-exporter", &["make-package.sh", "package.toml.in", "agent.conf.j2"], &[])
}

/// What the `make-package.sh` of an example makes with `words`: made once, and kept below target/ until its sources change.
#[track_caller]
fn made_once(example: &str, sources: &[&str], words: &[&str]) -> PathBuf {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples").join(example);
    let mut digest = Sha256::new();
    for file in sources {
        let mut text = Vec::new();
        File::open(directory.join(file)).and_then(|mut file| file.read_to_end(&mut text)).expect("the example's files");
        digest.update(&text);
    }
    let mark: String = digest.finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    let name = [&[example], words, &[mark.as_str()]].concat().join("-");
    let kept = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    fs::create_dir_all(&kept).expect("a directory below target/");
    // Tests are processes of their own: the first makes it, the others wait.
    let lock = File::create(kept.join("lock")).expect("a lock file");
    lock.lock().expect("the lock");
    if let Some(file) = archive_in(&kept) {
        return file;
    }
    let output = Command::new(directory.join("make-package.sh"))
        .args(words)
        .arg(&kept)
        .stdin(Stdio::null())
        .output()
        .unwrap_or_else(|error| panic!("cannot run make-package.sh: {error}"));
    assert!(output.status.success(), "make-package.sh failed: {}", String::from_utf8_lossy(&output.stderr));
    archive_in(&kept).expect("make-package.sh made a package")
}

fn archive_in(dir: &Path) -> Option<PathBuf> {
    let entries = fs::read_dir(dir).ok()?;
    entries.filter_map(Result::ok).map(|entry| entry.path()).find(|path| path.extension().is_some_and(|end| end == "tgz"))
}
