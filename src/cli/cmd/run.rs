//! `landfall run`: a job file → a recorded job → its end.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use serde_json::Value;
use zeroize::Zeroizing;

use super::follow::{self, Work};
use super::{answered, language, open};
use crate::cli::args::{Output, Run};
use crate::cli::exit::{CliError, ExitStatus};
use crate::cli::{Context, ask, report};
use crate::config;
use crate::domain::event::HostRef;
use crate::domain::id::Seq;
use crate::lifecycle::Signals;
use crate::service::Stop;
use crate::service::answer::FilterEntry;
use crate::service::request::{Fault, SecretSources};
use crate::service::submit::{Caller, Rejection};

/// Largest job file: 100,000 hosts with a key each.
const LARGEST: u64 = 512 << 20;

pub(crate) async fn run(run: Run, context: &mut Context) -> Result<ExitStatus, CliError> {
    let result = submit_and_follow(run, context).await;
    answered(result, context)
}

async fn submit_and_follow(run: Run, context: &mut Context) -> Result<ExitStatus, CliError> {
    let body = read(&run.file)?;
    let stop = Stop::new();
    let mut signals = Signals::listen(stop.clone()).map_err(|source| CliError::System { what: "take signals", source })?;
    let asked = if run.ask_password { Some(ask::password(&mut signals).await?) } else { None };
    let sources = SecretSources { references: true, asked, base: directory(&run.file) };
    let caller = Caller { name: config::caller_name(), language: language(), sources };
    let app = open(context).await?;
    let accepted = match app.service.submit(&body, &caller).await {
        Ok(accepted) => accepted,
        Err(Rejection::Service(error)) => return Err(error.into()),
        Err(rejection) => return Ok(refused(&rejection, &run.file, context)),
    };
    drop(body);
    let feed = app.service.feed(accepted.job, Seq::default());
    let (service, worker, held) = (app.service.clone(), app.service.clone(), stop.clone());
    let work = Work { service, job: accepted.job, feed, signals, stop };
    let mut reporter = report::choose(context);
    follow::follow(work, async move { worker.run(accepted.job, accepted.lease, held).await }, reporter.as_mut()).await
}

/// Prints why nothing was recorded.
fn refused(rejection: &Rejection, file: &Path, context: &mut Context) -> ExitStatus {
    let Context { out, output, .. } = context;
    out.error(rejection);
    let status = match rejection {
        Rejection::Faults(faults) => {
            faults.iter().for_each(|fault| out.note(fault_line(fault, file)));
            if faults.iter().any(|fault| fault.path == "package") {
                out.hint("`landfall package list` shows the packages, `landfall package add FILE.tgz` adds one");
            }
            ExitStatus::Usage
        }
        Rejection::NoProxy(entries) | Rejection::AllFiltered(entries) => {
            entries.iter().for_each(|entry| out.note(entry_line(entry)));
            ExitStatus::NotAccepted
        }
        Rejection::Service(_) => ExitStatus::Internal,
    };
    if *output == Output::Json {
        out.json(&rejection.envelope(language()));
    }
    status
}

fn fault_line(fault: &Fault, file: &Path) -> String {
    if fault.path.is_empty() {
        format!("{}: {}", name(file), fault.message)
    } else {
        format!("{}: {}", fault.path, fault.message)
    }
}

fn entry_line(entry: &FilterEntry) -> String {
    // An address that the request got wrong is shown as it stands there.
    let host = match entry.ip.parse() {
        Ok(ip) => crate::cli::text::host(HostRef { ip, bk_cloud_id: entry.bk_cloud_id }),
        Err(_) => entry.ip.clone(),
    };
    format!("{host}: {}: {}", entry.exception, entry.msg)
}

/// The job file's JSON; a syntax error is told with file, line and column.
fn read(file: &Path) -> Result<Value, CliError> {
    let what = || name(file);
    let bytes = bytes(file).map_err(|source| CliError::Read { what: what(), source })?;
    serde_json::from_slice(&bytes).map_err(|error| {
        let message = error.to_string();
        let place = format!(" at line {} column {}", error.line(), error.column());
        let message = message.strip_suffix(&place).unwrap_or(&message);
        CliError::Usage(format!("{}:{}:{}: not JSON: {message}", what(), error.line(), error.column()))
    })
}

/// The file's bytes, wiped when they are dropped: there may be passwords in them.
fn bytes(file: &Path) -> io::Result<Zeroizing<Vec<u8>>> {
    let mut bytes = Zeroizing::new(Vec::new());
    let read = if is_stdin(file) {
        io::stdin().lock().take(LARGEST + 1).read_to_end(&mut bytes)?
    } else {
        let mut file = File::open(file)?;
        // The size at once, so that growing leaves no copies behind.
        bytes.reserve_exact(usize::try_from(file.metadata()?.len().min(LARGEST)).unwrap_or(0) + 1);
        file.by_ref().take(LARGEST + 1).read_to_end(&mut bytes)?
    };
    if read as u64 > LARGEST { Err(io::Error::other(format!("longer than {LARGEST} bytes"))) } else { Ok(bytes) }
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

    #[test]
    fn broken_json_is_told_with_its_place() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("job.json");
        std::fs::write(&file, "{\n  \"hosts\": [}\n}").unwrap();
        let error = read(&file).unwrap_err();
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
