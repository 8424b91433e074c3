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

use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::args::JobSource;
use super::exit::CliError;
use super::{Context, ask};
use crate::domain::event::HostRef;
use crate::domain::job::JobKind;
use crate::domain::package::PackageChoice;
use crate::lifecycle::Signals;
use crate::service::answer::FilterEntry;
use crate::service::host_list::{self, Places};
use crate::service::request::{self, Envelopes, Fault, SecretSources};
use crate::service::submit::Rejection;

/// Largest job file: 100,000 hosts with a key each.
const LARGEST: u64 = 512 << 20;

/// A job as a person gave it; nothing of it is checked but its syntax.
pub(super) struct Draft {
    /// The body of the published API.
    pub(super) body: Value,
    /// Of a host list: where everything in the body came from.
    places: Option<Places>,
    file: String,
    base: PathBuf,
    ask: bool,
}

impl Draft {
    /// Reads the job that was named. A host list that has faults of its own is checked to its end here, so that all its
    /// faults are told at once.
    pub(super) fn read(typed: &JobSource, context: &mut Context) -> Result<Self, CliError> {
        match (&typed.file, &typed.hosts) {
            (Some(file), _) => Ok(Self::of(file, job_json(file)?, None, typed)),
            (None, Some(file)) => Self::from_list(file, typed, context),
            (None, None) => Err(CliError::Usage("name a job file, or a host list with `--hosts`".into())),
        }
    }

    fn of(file: &Path, body: Value, places: Option<Places>, typed: &JobSource) -> Self {
        Self { body, places, file: name(file), base: directory(file), ask: typed.ask_password }
    }

    fn from_list(file: &Path, typed: &JobSource, context: &mut Context) -> Result<Self, CliError> {
        let Some(given) = given(typed) else { return Err(CliError::Usage("`--hosts` needs `--kind`".into())) };
        let bytes = bytes(file, host_list::LARGEST)?;
        let list = host_list::read(&bytes, &given).map_err(|what| CliError::Usage(format!("{}: {what}", name(file))))?;
        drop(bytes);
        if let Some(sheet) = list.sheet.filter(|_| typed.sheet.is_none()) {
            let (file, of) = (name(file), sheet.of);
            context.out.note(format!("{file}: taking sheet `{}`, the first of {of}; `--sheet NAME` takes another", sheet.name));
        }
        let faulty = list.places.is_faulty();
        let draft = Self::of(file, list.body, Some(list.places), typed);
        if faulty {
            // Nobody is asked for the password of a list that is refused anyway.
            let asked = typed.ask_password.then(|| "not asked yet".into());
            let sources = SecretSources { asked, envelopes: Envelopes::Unread, ..draft.login_sources() };
            let faults = request::parse(&draft.body, &context.settings.site()?, &sources).err().unwrap_or_default();
            return Err(draft.rejected(Rejection::Faults(faults)));
        }
        Ok(draft)
    }

    /// Reads other logins for hosts of a recorded job: a table with the columns of a host list, or JSON with the hosts of a
    /// job file, as a list or as the job file itself.
    pub(super) fn logins(file: &Path) -> Result<Self, CliError> {
        let bytes = bytes(file, host_list::LARGEST)?;
        let typed = JobSource::default();
        if matches!(bytes.trim_ascii_start().first(), Some(b'[' | b'{')) {
            let body = match parsed(file, &bytes)? {
                Value::Object(object) if object.contains_key("hosts") => Value::Object(object),
                Value::Object(one) => json!({"hosts": [one]}),
                hosts => json!({"hosts": hosts}),
            };
            return Ok(Self::of(file, body, None, &typed));
        }
        let (business, access_point, sheet) = (None, None, None);
        // The kind is the job's.
        let given =
            host_list::Given { kind: JobKind::RestartAgent, business, access_point, package: PackageChoice::default(), sheet };
        let list = host_list::read(&bytes, &given).map_err(|what| CliError::Usage(format!("{}: {what}", name(file))))?;
        let faulty = list.places.is_faulty();
        let draft = Self::of(file, list.body, Some(list.places), &typed);
        if faulty { Err(draft.refused(Rejection::Faults(Vec::new()))) } else { Ok(draft) }
    }

    /// Where the secrets of logins come from.
    pub(super) fn login_sources(&self) -> SecretSources {
        SecretSources { references: true, base: self.base.clone(), ..SecretSources::default() }
    }

    /// Why the service did not take the logins, in the terms of what the person gave.
    pub(super) fn refused(&self, rejection: Rejection) -> CliError {
        match rejection {
            Rejection::Service(error) => error.into(),
            Rejection::Faults(faults) => {
                let faults = self.placed(faults);
                let notes = faults.iter().map(|fault| self.fault_line(fault)).collect();
                CliError::Logins { faults, notes }
            }
            rejection => CliError::Rejected { rejection: Box::new(rejection), notes: Vec::new() },
        }
    }

    /// Faults where the person finds them.
    fn placed(&self, faults: Vec<Fault>) -> Vec<Fault> {
        match &self.places {
            Some(places) => places.faults(&self.body, faults),
            None => faults,
        }
    }

    /// Where its secrets come from. Asks for the password, if that was wanted: call it when everything else is ready.
    pub(super) async fn secrets(&self, signals: &mut Signals) -> Result<SecretSources, CliError> {
        let asked = if self.ask { Some(ask::password("password of the hosts: ", signals).await?) } else { None };
        Ok(SecretSources { asked, ..self.login_sources() })
    }

    /// Why the service did not take the job, in the terms of what the person gave.
    pub(super) fn rejected(&self, rejection: Rejection) -> CliError {
        let rejection = match rejection {
            Rejection::Faults(faults) => Rejection::Faults(self.placed(faults)),
            rejection => rejection,
        };
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
        let Fault { path, message, .. } = fault;
        match (&self.places, path.as_str()) {
            (_, "") => format!("{}: {message}", self.file),
            (Some(_), path) => format!("{} {path}: {message}", self.file),
            (None, path) => format!("{path}: {message}"),
        }
    }
}

/// What the flags say of a host list.
fn given(typed: &JobSource) -> Option<host_list::Given> {
    let package =
        typed.package.as_deref().map(|text| text.split_once('@').map_or((text, None), |(name, version)| (name, Some(version))));
    let package = package.map_or_else(PackageChoice::default, |(name, version)| PackageChoice {
        name: Some(name.to_owned()),
        version: version.map(str::to_owned),
    });
    let (business, access_point, sheet) = (typed.biz, typed.ap, typed.sheet.clone());
    Some(host_list::Given { kind: typed.kind?, business, access_point, package, sheet })
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
fn job_json(file: &Path) -> Result<Value, CliError> {
    parsed(file, &bytes(file, LARGEST)?)
}

fn parsed(file: &Path, bytes: &[u8]) -> Result<Value, CliError> {
    serde_json::from_slice(bytes).map_err(|error| {
        let message = error.to_string();
        let place = format!(" at line {} column {}", error.line(), error.column());
        let message = message.strip_suffix(&place).unwrap_or(&message);
        CliError::Usage(format!("{}:{}:{}: not JSON: {message}", name(file), error.line(), error.column()))
    })
}

/// The file's bytes, wiped when they are dropped: there may be passwords in them.
fn bytes(file: &Path, largest: u64) -> Result<Zeroizing<Vec<u8>>, CliError> {
    bounded(file, largest).map_err(|source| CliError::Read { what: name(file), source })
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
        let error = job_json(&file).unwrap_err();
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
