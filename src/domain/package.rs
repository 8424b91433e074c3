//! Packages: an agent, proxy or plugin release for one OS and CPU, described by the `package.toml` at its root.
//!
//! Never here: reading archives (`packages`) and filling templates (`plan`).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::host::Os;
use super::step_fields::PluginName;
use super::vars;

/// What a package is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// The monitoring agent of a host.
    Agent,
    /// The proxy of a zone.
    Proxy,
    /// What stands beside an agent or a proxy and is installed with it.
    Plugin,
}

impl Role {
    /// The word in manifests.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Agent => "agent",
            Self::Proxy => "proxy",
            Self::Plugin => "plugin",
        }
    }
}

/// `package.toml` (DESIGN 10).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// `[a-z0-9][a-z0-9._-]*`: directory, service and pid file are named after it.
    pub name: String,
    /// Sorted by its numeric parts.
    pub version: String,
    /// What it is for.
    pub role: Role,
    /// `linux`, `windows`, `aix`, `solaris` or `any`.
    pub os: String,
    /// As `uname -m` says it, or `any`.
    pub cpu: String,
    /// Plugins: installed when a job asks for the latest ones.
    #[serde(default)]
    pub auto_install: bool,
    /// Defaults of `vars.*`.
    #[serde(default)]
    pub vars: serde_json::Map<String, serde_json::Value>,
    /// What to run.
    pub process: Process,
    /// Configuration files.
    #[serde(default)]
    pub config: Vec<ConfigFile>,
    /// How the agent shows that it answers.
    pub health: Health,
}

/// What to run, and how.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Process {
    /// Foreground command, run by `sh -c` in `current`; on Windows by cmd.exe.
    pub start: String,
    /// Windows: is the program that `start` names one that the service control manager can start? Else a scheduled task is made of it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub service: bool,
    /// Command instead of TERM.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stop: Option<String>,
    /// Command instead of a restart when only the configuration changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reload: Option<String>,
    /// Account of the process; root without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// Environment of the process.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub env: BTreeMap<String, String>,
}

/// A configuration file made from a template of the package.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConfigFile {
    /// The template, relative to the package's root.
    pub template: String,
    /// Where it goes, relative to `current`.
    pub to: String,
    /// Octal mode, `0644` without it.
    #[serde(default = "default_mode")]
    pub mode: String,
}

fn default_mode() -> String {
    "0644".into()
}

/// How the agent shows that it answers; exactly one of `http`, `tcp`, `command`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Health {
    /// URL that must answer 2xx, asked from the target itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub http: Option<String>,
    /// `address:port` that must accept a connection.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tcp: Option<String>,
    /// Command that must exit 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command: Option<String>,
    /// Seconds to wait for the first answer.
    #[serde(default = "default_health_timeout")]
    pub timeout_s: u64,
}

fn default_health_timeout() -> u64 {
    20
}

/// What is asked of the agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Question<'a> {
    /// GET this URL.
    Http(&'a str),
    /// Connect to this `address:port`.
    Tcp(&'a str),
    /// Run this command.
    Command(&'a str),
}

impl Health {
    /// The one question; `None` when none or several are given.
    #[must_use]
    pub fn question(&self) -> Option<Question<'_>> {
        match (&self.http, &self.tcp, &self.command) {
            (Some(url), None, None) => Some(Question::Http(url)),
            (None, Some(endpoint), None) => Some(Question::Tcp(endpoint)),
            (None, None, Some(command)) => Some(Question::Command(command)),
            _ => None,
        }
    }
}

/// A package in the repository: its manifest, digest and size.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PackageEntry {
    /// SHA-256 of the stored archive, hex.
    pub sha256: String,
    /// Bytes of the stored archive.
    pub size: u64,
    /// Bytes of its files unpacked.
    pub unpacked: u64,
    /// The manifest at its root.
    pub manifest: Manifest,
}

impl PackageEntry {
    /// Directory name of the release on a target.
    #[must_use]
    pub fn release(&self) -> String {
        format!("{}-{}", self.manifest.version, self.sha256.get(..12).unwrap_or(&self.sha256))
    }

    /// Does it run on that OS and CPU?
    #[must_use]
    pub fn fits(&self, os: Os, cpu: &str) -> bool {
        let manifest = &self.manifest;
        let is_for_it = |built_for: &str| built_for == "any" || built_for == cpu || narrower(os, cpu) == Some(built_for);
        (manifest.os == "any" || manifest.os.eq_ignore_ascii_case(os.word())) && is_for_it(&manifest.cpu)
    }

    /// What tells the best of several that fit: the newest, and of the same version the one that is made for just that CPU, or
    /// for one that it runs as well, or for just that system.
    #[must_use]
    pub fn rank(&self, os: Os, cpu: &str) -> (impl Ord + use<>, u8, bool) {
        let manifest = &self.manifest;
        let closeness = if manifest.cpu == cpu { 2 } else { u8::from(narrower(os, cpu) == Some(manifest.cpu.as_str())) };
        (version_key(&manifest.version), closeness, manifest.os != "any")
    }
}

/// The 32-bit programs that the 64-bit kernels of AIX and Solaris run as well.
fn narrower(os: Os, cpu: &str) -> Option<&'static str> {
    match (os, cpu) {
        (Os::Aix, "ppc64") => Some("powerpc"),
        (Os::Solaris, "x86_64") => Some("i386"),
        _ => None,
    }
}

/// What a job asks to install: the extension field `package`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PackageChoice {
    /// Absent: the site's default, else the only one there is.
    #[serde(default)]
    pub name: Option<String>,
    /// Absent or `latest`: the newest.
    #[serde(default)]
    pub version: Option<String>,
}

impl Manifest {
    /// Everything wrong with the manifest itself.
    #[must_use]
    pub fn faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        let word = |text: &str| {
            text.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit())
                && text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || "._-".contains(c))
        };
        if !word(&self.name) {
            faults.push(format!("name: `{}` must be lower-case letters, digits, `.`, `_`, `-`", self.name));
        }
        if self.role == Role::Plugin && self.name.len() > PluginName::LONGEST {
            faults.push(format!("name: `{}` of a plugin must have at most {} characters", self.name, PluginName::LONGEST));
        }
        if self.version.is_empty() || !self.version.chars().all(|c| c.is_ascii_alphanumeric() || "._+~-".contains(c)) {
            faults.push(format!("version: `{}` must be letters, digits, `.`, `_`, `+`, `~`, `-`", self.version));
        }
        if !["linux", "windows", "aix", "solaris", "any"].contains(&self.os.as_str()) {
            faults.push(format!("os: `{}` is none of linux, windows, aix, solaris, any", self.os));
        }
        if self.cpu.is_empty() {
            faults.push("cpu: must be what `uname -m` says, or `any`".into());
        }
        if self.process.start.trim().is_empty() {
            faults.push("process.start: must be a command".into());
        }
        faults.extend(self.process.faults_on(&self.os));
        for (name, text) in [("name", &self.name), ("version", &self.version), ("cpu", &self.cpu)] {
            if text.len() > LONGEST_WORD {
                faults.push(format!("{name}: must not be longer than {LONGEST_WORD} bytes"));
            }
        }
        if let Some(user) = self.process.user.as_ref().filter(|user| !is_account(user)) {
            faults.push(format!("process.user: `{user}` must be letters, digits, `.`, `_`, `-`, and not begin with `-`"));
        }
        for name in self.process.env.keys().filter(|name| !is_variable(name)) {
            faults.push(format!("process.env: `{name}` is no name of a variable"));
        }
        faults.extend(vars::faults(&self.vars).into_iter().map(|(place, fault)| format!("vars{place}: {fault}")));
        for (index, file) in self.config.iter().enumerate() {
            for (key, path) in [("template", &file.template), ("to", &file.to)] {
                if !is_inner_path(path) {
                    faults.push(format!("config[{index}].{key}: `{path}` must be relative, without `..`"));
                }
            }
            if !(1..=4).contains(&file.mode.len()) || !file.mode.bytes().all(|digit| (b'0'..=b'7').contains(&digit)) {
                faults.push(format!("config[{index}].mode: `{}` is no octal mode", file.mode));
            }
        }
        if self.health.question().is_none() {
            faults.push("health: exactly one of http, tcp, command".into());
        }
        if self.health.http.as_ref().is_some_and(|url| !url.starts_with("http://")) {
            faults.push("health.http: must start with http://".into());
        }
        faults
    }
}

impl Process {
    /// What a system does not have.
    fn faults_on(&self, os: &str) -> impl Iterator<Item = String> {
        let is_windows = os == "windows";
        let faults = [
            (self.service && !is_windows, "process.service: only programs for windows are services"),
            (self.service && !self.env.is_empty(), "process.env: a service gets none; give it a configuration file or arguments"),
            (self.user.is_some() && is_windows, "process.user: on windows an agent runs as the system"),
        ];
        faults.into_iter().filter(|(is_fault, _)| *is_fault).map(|(_, fault)| fault.to_owned())
    }
}

/// Bytes of a word that names files on a target, with what is put before and behind it.
const LONGEST_WORD: usize = 100;

/// An account, for `su` and `chown`.
fn is_account(name: &str) -> bool {
    !name.is_empty() && !name.starts_with('-') && name.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c))
}

/// A name that a shell exports.
fn is_variable(name: &str) -> bool {
    !name.starts_with(|c: char| c.is_ascii_digit())
        && !name.is_empty()
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// Is `path` relative, non-empty, of one line, and free of `..` and empty parts?
#[must_use]
pub fn is_inner_path(path: &str) -> bool {
    !path.is_empty()
        && path.len() <= 1024
        && !path.contains(char::is_control)
        && path.split('/').all(|part| !part.is_empty() && part != ".." && part != ".")
}

/// Order of versions: numeric runs as numbers, the rest as text; `1.10` is newer than `1.9`.
#[must_use]
pub fn version_key(version: &str) -> Vec<(u64, String)> {
    version
        .split(['.', '-', '_', '+', '~'])
        .map(|part| {
            let digits = part.len() - part.trim_start_matches(|c: char| c.is_ascii_digit()).len();
            let (number, rest) = part.split_at(digits);
            (number.parse().unwrap_or(0), rest.to_owned())
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_sort_by_their_numbers() {
        let mut versions = ["1.10.0", "1.9.3", "2.0", "1.9.3-rc1"];
        versions.sort_by_key(|version| version_key(version));
        assert_eq!(versions, ["1.9.3", "1.9.3-rc1", "1.10.0", "2.0"]);
    }

    #[test]
    fn a_path_may_not_leave_its_root() {
        for (path, inner) in
            [("etc/a.conf", true), ("/etc/a", false), ("a/../../b", false), ("", false), ("a//b", false), ("./a", false)]
        {
            assert_eq!(is_inner_path(path), inner, "{path}");
        }
    }
}
