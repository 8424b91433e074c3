//! Where a job comes from: a job file or a host list → the body of the published API, where its secrets are, and the way
//! back from a fault of that body to the place the person can correct.
//!
//! ```text
//! JOB.json ─┐
//!           ├─► Draft { body } ─► submit, plan, check ─► Rejection ─► Draft::rejected: hosts[3].port | row 5, column port
//! --hosts  ─┘
//! ```
//! Never here: whether the body is right (the service's).

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use serde_json::Value;
use zeroize::Zeroizing;

use super::args::JobSource;
use super::exit::CliError;
use super::{Context, ask};
use crate::domain::event::HostRef;
use crate::lifecycle::Signals;
use crate::service::answer::FilterEntry;
use crate::service::request::{Fault, SecretSources};
use crate::service::submit::Rejection;

/// Largest job file: 100,000 hosts with a key each.
const LARGEST: u64 = 512 << 20;

/// A job as a person gave it; nothing of it is checked but its syntax.
pub(super) struct Draft {
    /// The body of the published API.
    pub(super) body: Value,
    file: String,
    base: PathBuf,
    ask: bool,
}

impl Draft {
    /// Reads the job that was named.
    pub(super) fn read(typed: &JobSource, _: &mut Context) -> Result<Self, CliError> {
        let Some(file) = &typed.file else {
            return Err(CliError::Usage("host lists cannot be read yet".into()));
        };
        Ok(Self { body: json(file)?, file: name(file), base: directory(file), ask: typed.ask_password })
    }

    /// Where its secrets come from. Asks for the password, if that was wanted: call it when everything else is ready.
    pub(super) async fn secrets(&self, signals: &mut Signals) -> Result<SecretSources, CliError> {
        let asked = if self.ask { Some(ask::password(signals).await?) } else { None };
        Ok(SecretSources { references: true, asked, base: self.base.clone() })
    }

    /// Why the service did not take the job, in the terms of what the person gave.
    pub(super) fn rejected(&self, rejection: Rejection) -> CliError {
        let notes = match &rejection {
            Rejection::Service(_) => Vec::new(),
            Rejection::Faults(faults) => faults.iter().map(|fault| self.fault_line(fault)).collect(),
            Rejection::NoProxy(entries) | Rejection::AllFiltered(entries) => entries.iter().map(entry_line).collect(),
        };
        match rejection {
            Rejection::Service(error) => error.into(),
            rejection => CliError::Rejected { rejection: Box::new(rejection), notes },
        }
    }

    fn fault_line(&self, fault: &Fault) -> String {
        let place = if fault.path.is_empty() { &self.file } else { &fault.path };
        format!("{place}: {}", fault.message)
    }
}

fn entry_line(entry: &FilterEntry) -> String {
    // An address that the request got wrong is shown as it stands there.
    let host = match entry.ip.parse() {
        Ok(ip) => super::text::host(HostRef { ip, bk_cloud_id: entry.bk_cloud_id }),
        Err(_) => entry.ip.clone(),
    };
    format!("{host}: {}: {}", entry.exception, entry.msg)
}

/// The job file's JSON; a syntax error is told with file, line and column.
fn json(file: &Path) -> Result<Value, CliError> {
    let bytes = bytes(file)?;
    serde_json::from_slice(&bytes).map_err(|error| {
        let message = error.to_string();
        let place = format!(" at line {} column {}", error.line(), error.column());
        let message = message.strip_suffix(&place).unwrap_or(&message);
        CliError::Usage(format!("{}:{}:{}: not JSON: {message}", name(file), error.line(), error.column()))
    })
}

/// The file's bytes, wiped when they are dropped: there may be passwords in them.
fn bytes(file: &Path) -> Result<Zeroizing<Vec<u8>>, CliError> {
    bounded(file, LARGEST).map_err(|source| CliError::Read { what: name(file), source })
}

fn bounded(file: &Path, largest: u64) -> io::Result<Zeroizing<Vec<u8>>> {
    let mut bytes = Zeroizing::new(Vec::new());
    let read = if is_stdin(file) {
        io::stdin().lock().take(largest + 1).read_to_end(&mut bytes)?
    } else {
        let mut file = File::open(file)?;
        // The size at once, so that growing leaves no copies behind.
        bytes.reserve_exact(usize::try_from(file.metadata()?.len().min(largest)).unwrap_or(0) + 1);
        file.by_ref().take(largest + 1).read_to_end(&mut bytes)?
    };
    if read as u64 > largest { Err(io::Error::other(format!("longer than {largest} bytes"))) } else { Ok(bytes) }
}

fn is_stdin(file: &Path) -> bool {
    file.as_os_str() == "-"
}

fn name(file: &Path) -> String {
    if is_stdin(file) { "stdin".into() } else { file.display().to_string() }
}

/// Where relative files of the job are looked up.
fn directory(file: &Path) -> PathBuf {
    match file.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
        _ => ".".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::exit::ExitStatus;

    #[test]
    fn broken_json_is_told_with_its_place() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("job.json");
        std::fs::write(&file, "{\n  \"hosts\": [}\n}").unwrap();
        let error = json(&file).unwrap_err();
        let text = error.to_string();
        assert!(text.ends_with("job.json:2:13: not JSON: expected value"), "{text}");
        assert_eq!(ExitStatus::of_error(&error).code(), 2);
    }

    #[test]
    fn relative_secrets_are_beside_the_job_file() {
        for (file, base) in [("job.json", "."), ("-", "."), ("jobs/a.json", "jobs"), ("/etc/a.json", "/etc")] {
            assert_eq!(directory(Path::new(file)), Path::new(base), "{file}");
        }
    }
}
