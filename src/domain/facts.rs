//! What a probe learns of a host. Parsing is pure; asking is the engine's, the question itself is `scripts/unix/probe.sh`.
//!
//! Every answer stands between markers (`@@lf:key=value@@`), so whatever a `.bashrc` or a MOTD prints round them is noise.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::installed::Installed;
use super::shell::Dialect;

/// What a probe learned.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Facts {
    /// `uname -s`.
    pub os: String,
    /// `uname -r`; `oslevel` on AIX.
    pub release: String,
    /// `uname -m`; on AIX `powerpc` or `ppc64`, on Solaris `sparc`, `i386` or `x86_64`.
    pub cpu: String,
    /// ID and version of the distribution.
    pub distro: String,
    /// Login shell of the account.
    pub shell: String,
    /// Numeric user id.
    pub uid: u32,
    /// Name of the account.
    pub user: String,
    /// Home directory of the account.
    #[serde(default)]
    pub home: String,
    /// Are commands given no stdin? Only found when something was sent to it.
    #[serde(default)]
    pub no_stdin: bool,
    /// Windows: the state directory as SFTP calls it.
    #[serde(default)]
    pub sftp_dir: Option<String>,
    /// Windows: the code page of the system.
    #[serde(default)]
    pub codepage: Option<u32>,
    /// Solaris: the zone, `global` or its name.
    #[serde(default)]
    pub zone: Option<String>,
    /// Changes with every boot.
    pub boot: String,
    /// `systemd`, `sysv` or `rc`; on AIX `src` or `inittab`, on Solaris `smf` or `rc3`.
    pub init: String,
    /// Which of the tools we ask for are there.
    pub tools: BTreeSet<String>,
    /// Nearest existing ancestor of the setup path.
    pub setup: Option<Room>,
    /// Nearest existing ancestor of the temp path.
    #[serde(default)]
    pub temp: Option<Room>,
    /// Only as root: what needs root to be seen.
    pub root: Option<RootFacts>,
}

/// Free space somewhere.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Room {
    /// The directory that was asked.
    pub path: String,
    /// Free kB (1024 bytes).
    pub free_kb: u64,
    /// `ok`/`rw` when it can be used, else why not.
    pub verdict: String,
}

/// What only root can see.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RootFacts {
    /// State directory that already holds our state.
    pub state: Option<String>,
    /// Places where state could go, in order of preference.
    pub places: Vec<Room>,
    /// Payloads already there: SHA-256 and size.
    pub blobs: Vec<(String, u64)>,
    /// First line of the host lock.
    pub lock: Option<String>,
    /// What is installed under the setup path.
    pub installed: Vec<Installed>,
}

/// The probe's output could not be read.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum ProbeError {
    /// No begin or end marker: the shell never ran it, or was cut.
    #[error("no complete answer to the probe")]
    Incomplete,
    /// A `landfall.toml` on the host is not one.
    #[error("{path} on the host is not readable: {cause}")]
    BadInstalled {
        /// Its path on the host.
        path: String,
        /// What the parser says.
        cause: String,
    },
}

impl Facts {
    /// Dialect of the login shell.
    #[must_use]
    pub fn dialect(&self) -> Dialect {
        if self.is_windows() { Dialect::Windows } else { Dialect::of_login_shell(&self.shell) }
    }

    /// Is it Windows, by cmd.exe's word?
    #[must_use]
    pub fn is_windows(&self) -> bool {
        self.os == "Windows_NT"
    }

    /// System, CPU and what starts services there, in a few words.
    #[must_use]
    pub fn shown(&self) -> String {
        let zone = self.zone.as_ref().map(|zone| format!(", zone {zone}")).unwrap_or_default();
        format!("{} {}, {}{zone}", self.distro, self.cpu, self.init).trim().to_owned()
    }

    /// Is this tool there?
    #[must_use]
    pub fn has(&self, tool: &str) -> bool {
        self.tools.contains(tool)
    }

    /// The tool that checks SHA-256 there, `none` without one.
    #[must_use]
    pub fn digest_tool(&self) -> &'static str {
        ["sha256sum", "shasum", "openssl", "digest", "csum", "certutil"].into_iter().find(|tool| self.has(tool)).unwrap_or("none")
    }

    /// A directory of ours in the account's home, where commands get no stdin; on Windows, where that is not tried, the state
    /// directory.
    #[must_use]
    pub fn inbox(&self) -> Option<String> {
        if self.sftp_dir.is_some() {
            return self.sftp_dir.clone();
        }
        self.no_stdin.then(|| format!("{}/.landfall-inbox", self.home.trim_end_matches('/')))
    }

    /// Reads the output of `probe.sh`.
    ///
    /// # Errors
    /// When the markers are missing, or an installed release describes itself wrongly.
    pub fn parse(output: &str) -> Result<Self, ProbeError> {
        let answers: Vec<&str> = answers(output).collect();
        let begin = answers.iter().position(|answer| *answer == "begin").ok_or(ProbeError::Incomplete)?;
        let end = answers.iter().rposition(|answer| *answer == "end").ok_or(ProbeError::Incomplete)?;
        let mut facts = Self::default();
        let mut installed: Vec<(String, String)> = Vec::new();
        for answer in answers.get(begin + 1..end).ok_or(ProbeError::Incomplete)? {
            let Some((key, value)) = answer.split_once('=') else { continue };
            match key {
                "installed" => installed.push((value.to_owned(), String::new())),
                "toml" => {
                    if let Some((_, text)) = installed.last_mut() {
                        text.push_str(value);
                        text.push('\n');
                    }
                }
                _ => facts.take(key, value),
            }
        }
        if facts.uid == 0 {
            let root = facts.root.get_or_insert_default();
            for (path, text) in installed {
                let parsed =
                    Installed::parse(&text).map_err(|cause| ProbeError::BadInstalled { path, cause: cause.to_string() })?;
                root.installed.push(parsed);
            }
        }
        if facts.os.is_empty() { Err(ProbeError::Incomplete) } else { Ok(facts) }
    }

    fn take(&mut self, key: &str, value: &str) {
        let text = value.to_owned();
        match key {
            "os" => self.os = text,
            "release" => self.release = text,
            "cpu" => self.cpu = text,
            "distro" => self.distro = text,
            "shell" => self.shell = text,
            "uid" => self.uid = value.trim().parse().unwrap_or(u32::MAX),
            "user" => self.user = text,
            "home" => self.home = text,
            "stdin" => self.no_stdin = value == "none",
            "zone" => self.zone = Some(text),
            "codepage" => self.codepage = value.trim().parse().ok(),
            "boot" => self.boot = text,
            "init" => self.init = text,
            "tools" => self.tools = value.split_whitespace().map(str::to_owned).collect(),
            "setup" => self.setup = room(value),
            "temp" => self.temp = room(value),
            _ if self.uid == 0 => self.take_root(key, text),
            _ => {}
        }
    }

    fn take_root(&mut self, key: &str, value: String) {
        let root = self.root.get_or_insert_default();
        match key {
            "state" => root.state = Some(value),
            "place" => root.places.extend(room(&value)),
            "lock" => root.lock = Some(value),
            "blob" => {
                if let Some((digest, size)) = value.split_once(' ') {
                    root.blobs.extend(size.trim().parse().ok().map(|size| (digest.to_owned(), size)));
                }
            }
            _ => {}
        }
    }
}

/// The texts between markers, in order.
pub fn answers(output: &str) -> impl Iterator<Item = &str> {
    output.lines().filter_map(|line| {
        let (_, rest) = line.split_once("@@lf:")?;
        rest.trim_end().strip_suffix("@@")
    })
}

/// Reads `PATH FREE_KB VERDICT`; the path may hold blanks.
fn room(value: &str) -> Option<Room> {
    let mut parts = value.rsplitn(3, ' ');
    let verdict = parts.next()?.to_owned();
    let free_kb = parts.next()?.parse().ok()?;
    Some(Room { path: parts.next()?.to_owned(), free_kb, verdict })
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOISY: &str = "Welcome!\nno newline here@@lf:ready@@\r\n@@lf:begin@@\nmail\n@@lf:os=Linux@@\n@@lf:cpu=x86_64@@\n\
        @@lf:shell=/bin/tcsh@@\n@@lf:uid=0@@\n@@lf:tools=tar gzip shasum@@\n@@lf:setup=/usr/my local 1024 rw@@\n\
        @@lf:place=/var/lib/landfall 5000 ok@@\n@@lf:blob=abc 17@@\n@@lf:end@@\nbye\n";

    #[test]
    fn noise_round_the_answers_does_not_matter() {
        let facts = Facts::parse(NOISY).unwrap();
        assert_eq!((facts.os.as_str(), facts.cpu.as_str(), facts.uid), ("Linux", "x86_64", 0));
        assert_eq!(facts.dialect(), Dialect::Csh);
        assert_eq!(facts.digest_tool(), "shasum");
        assert_eq!(facts.setup.as_ref().map(|room| room.path.as_str()), Some("/usr/my local"));
        let root = facts.root.unwrap();
        assert_eq!(root.places.len(), 1);
        assert_eq!(root.blobs, [("abc".to_owned(), 17)]);
    }

    #[test]
    fn an_answer_that_was_cut_is_no_answer() {
        let cut = NOISY.split("@@lf:end").next().unwrap();
        assert_eq!(Facts::parse(cut), Err(ProbeError::Incomplete));
        assert_eq!(Facts::parse("This account is currently not available."), Err(ProbeError::Incomplete));
    }
}
