//! The terminal door: words typed → a use case → words printed and an exit code.
//!
//! ```text
//! argv ─► args ─► cmd::* ─► Service ─► report::* ─► Printer ─► stdout: data
//!                    └─► CliError ─► exit code, hint          stderr: everything else
//! ```
//! Never here: what a job means (the service's), what a host is told (the engine's).
//!
//! To add a command: [`args`] tells how.

mod args;
mod ask;
mod cmd;
mod exit;
mod job_source;
mod out;
mod quiet;
mod report;
mod style;
mod text;

use std::error::Error;
use std::ffi::OsString;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser as _;

use crate::app::Part;
use crate::config::{Flags, Settings};
use crate::{lifecycle, telemetry};
use args::{Command, CommandLine, Common, Hostkey, Job, Key, Output, Package, Site};
use exit::{CliError, ExitStatus};
use out::Printer;
use style::Paint;

/// What every command has at hand.
struct Context {
    settings: Settings,
    output: Output,
    out: Printer,
    /// For stdout.
    paint: Paint,
    logs: telemetry::Logs,
}

/// Carries out a command line.
pub fn run(argv: impl IntoIterator<Item = OsString>) -> ExitCode {
    let line = match CommandLine::try_parse_from(argv) {
        Ok(line) => line,
        Err(refusal) => {
            // Help and version come this way too. Somebody who closed the pipe has read enough.
            let _ = refusal.print();
            return if refusal.use_stderr() { ExitStatus::Usage } else { ExitStatus::Success }.into();
        }
    };
    let Common { data_dir, site, database_url, output, verbose } = line.common;
    let logs = telemetry::start(verbose, Paint::stderr().is_coloured());
    lifecycle::raise_file_limit();
    let settings = Settings::settle(Flags { data_dir, site, database_url });
    let mut context = Context { settings, output, out: Printer::new(), paint: Paint::stdout(), logs };
    let result = carry_out(line.command, &mut context);
    let status = result.unwrap_or_else(|error| {
        tell(&error, &mut context.out);
        ExitStatus::of_error(&error)
    });
    match context.out.close() {
        Ok(()) => status.into(),
        Err(source) => {
            tell(&CliError::System { what: "write to stdout", source }, &mut context.out);
            ExitStatus::Internal.into()
        }
    }
}

fn carry_out(command: Command, context: &mut Context) -> Result<ExitStatus, CliError> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|source| CliError::System { what: "start the runtime", source })?;
    let result = runtime.block_on(dispatch(command, context));
    // What is still running then was told to let go; it must not keep the process.
    runtime.shutdown_timeout(Duration::from_secs(1));
    result
}

async fn dispatch(command: Command, context: &mut Context) -> Result<ExitStatus, CliError> {
    match command {
        Command::Run(run) => cmd::run::run(run, context).await,
        Command::Plan(source) => cmd::plan::run(source, context).await,
        Command::Manual(typed) => cmd::manual::run(typed, context).await,
        Command::Check(source) => cmd::check::run(source, context).await,
        Command::Serve { listen, executor_only, api_only, clouds } => {
            cmd::serve::run(listen, (Part::of(executor_only, api_only), clouds), context).await
        }
        Command::Job(Job::List { limit }) => cmd::job_list::list(limit, context).await,
        Command::Job(Job::Show { id, host }) => cmd::job_show::show(id, host, context).await,
        Command::Job(Job::Log { id, host: Some(host), follow: true, .. }) => cmd::job_log_follow::follow(id, host, context).await,
        Command::Job(Job::Log { id, host: Some(host), from_target: true, .. }) => {
            cmd::job_log_target::fetch(id, host, context).await
        }
        Command::Job(Job::Log { id, host, .. }) => cmd::job_log::log(id, host, context).await,
        Command::Job(Job::Watch { id }) => cmd::job_watch::run(id, context).await,
        Command::Job(Job::Retry(typed)) => cmd::job_retry::run(typed, context).await,
        Command::Job(Job::Commands(typed)) => cmd::manual::commands(typed, context).await,
        Command::Job(Job::Cancel { id }) => cmd::job_cancel::run(id, context).await,
        Command::Job(Job::Resume { id, credentials }) => cmd::job_resume::resume(id, credentials.as_deref(), context).await,
        Command::Package(Package::Add { file }) => cmd::package_add::add(&file, context).await,
        Command::Package(Package::List) => cmd::package_list::list(context).await,
        Command::Package(Package::Verify) => cmd::package_verify::verify(context).await,
        Command::Hostkey(Hostkey::List) => cmd::hostkey_list::list(context).await,
        Command::Hostkey(Hostkey::Forget { ip, cloud, port }) => cmd::hostkey_forget::forget(ip, cloud, port, context).await,
        Command::Key(Key::Rotate { prepare }) => cmd::key_rotate::rotate(prepare, context).await,
        Command::Key(Key::Purge { at }) => cmd::key_purge::purge(at, context).await,
        Command::Site(Site::Check) => cmd::site_check::check(context),
        Command::Site(Site::HashSecret) => cmd::site_hash_secret::hash(context).await,
        Command::Man { directory } => cmd::man::write(&directory, context),
        Command::Completions { shell } => Ok(cmd::completions::write(shell, context)),
    }
}

/// Prints an error with its causes, each once, and what to do about it.
fn tell(error: &CliError, out: &mut Printer) {
    out.error(chain(error));
    if let CliError::Rejected { notes, .. } | CliError::Logins { notes, .. } = error {
        notes.iter().for_each(|note| out.told(note));
    }
    if let Some(hint) = report::hint::hint(error) {
        out.hint(hint);
    }
}

/// An error and its causes on one line. A cause that the sentence before quotes already is not repeated.
fn chain(error: &dyn Error) -> String {
    let mut text = without_source_lines(&error.to_string());
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = without_source_lines(&error.to_string());
        if !text.contains(&more) {
            text.push_str(": ");
            text.push_str(&more);
        }
        cause = error.source();
    }
    text
}

/// A parser's message without the lines it quotes from the file (`3 | password = ...`): those may hold secrets.
fn without_source_lines(message: &str) -> String {
    let is_quote =
        |line: &&str| !line.trim_start().trim_start_matches(|c: char| c.is_ascii_digit()).trim_start().starts_with('|');
    let lines: Vec<&str> = message.lines().filter(is_quote).map(str::trim).collect();
    lines.join(": ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::ConfigError;

    #[test]
    fn every_cause_is_told_once() {
        let inner = std::io::Error::other("no such thing");
        let error = anyhow::Error::from(inner).context("cannot open").context("cannot begin: cannot open");
        assert_eq!(chain(error.as_ref()), "cannot begin: cannot open: no such thing");
    }

    #[test]
    fn a_wrong_site_file_is_told_with_its_place_and_without_its_lines() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("site.toml");
        std::fs::write(&path, "[limits]\nuploads = 3\n[[proxy]]\npassword = hunter2\n").unwrap();
        let error = Settings::settle(Flags { site: Some(path), ..Flags::default() }).site().unwrap_err();
        assert!(matches!(error, ConfigError::Syntax { .. }));
        let text = chain(&error);
        assert!(text.contains("line 4, column") && !text.contains("hunter2"), "{text}");
        assert!(!text.contains('\n'), "{text}");
    }
}
