//! `landfall manual`: records a job of `is_manual` hosts, and prints for each host the command that a person runs there.
//! `landfall job commands`: the same for a job that is recorded already, or takes commands back.

use super::{answered, language, open};
use crate::cli::args::{Commands, Manual, Output};
use crate::cli::exit::{CliError, ExitStatus};
use crate::cli::job_source::Draft;
use crate::cli::{Context, text};
use crate::config;
use crate::domain::event::HostRef;
use crate::domain::id::JobId;
use crate::lifecycle::Signals;
use crate::service::manual::HostCommand;
use crate::service::submit::Caller;
use crate::service::{Service, Stop};

/// Where `serve` listens when nothing else is said.
const NEAREST: &str = "http://127.0.0.1:8420";

pub(crate) async fn run(typed: Manual, context: &mut Context) -> Result<ExitStatus, CliError> {
    let result = record(typed, context).await;
    answered(result, context)
}

async fn record(typed: Manual, context: &mut Context) -> Result<ExitStatus, CliError> {
    let draft = Draft::read(&typed.source, context)?;
    let mut signals = Signals::listen(Stop::new()).map_err(|source| CliError::System { what: "take signals", source })?;
    let sources = draft.secrets(&mut signals).await?;
    let caller = Caller { served: true, ..Caller::at_terminal(config::caller_name(), language(), sources) };
    let service = open(context).await?.service;
    let recorded = service.record_by_hand(&draft.body, &caller).await.map_err(|rejection| draft.rejected(rejection))?;
    let job = recorded.job;
    context.out.note(format!("job {job} accepted"));
    for entry in &recorded.filtered {
        context.out.warning(format!("{} is left out: {}", entry.ip, entry.msg));
    }
    let commands = service.host_commands(job, &[], &base(&service, typed.url)).await?;
    show(job, &commands, context);
    Ok(if recorded.filtered.is_empty() { ExitStatus::Success } else { ExitStatus::Unsuccessful })
}

pub(crate) async fn commands(typed: Commands, context: &mut Context) -> Result<ExitStatus, CliError> {
    let job = JobId(typed.id);
    let service = open(context).await?.service;
    if typed.revoke {
        let count = service.revoke_commands(job, &typed.hosts).await?;
        match context.output {
            Output::Json => context.out.json(&serde_json::json!({"revoked": count})),
            Output::Text => context.out.line(format!("{count} unused command(s) of job {job} taken back")),
        }
        return Ok(ExitStatus::Success);
    }
    let commands = service.host_commands(job, &typed.hosts, &base(&service, typed.url)).await?;
    if commands.is_empty() {
        context.out.note(format!("no host of job {job} waits for a command"));
    }
    show(job, &commands, context);
    Ok(ExitStatus::Success)
}

fn base(service: &Service, typed: Option<String>) -> String {
    typed.or_else(|| service.public_url().map(str::to_owned)).unwrap_or_else(|| NEAREST.into())
}

fn show(job: JobId, commands: &[HostCommand], context: &mut Context) {
    if context.output == Output::Json {
        context.out.json(&serde_json::json!({"job_id": job, "list": commands}));
        return;
    }
    for command in commands {
        let host = text::host(HostRef { ip: command.ip, bk_cloud_id: command.bk_cloud_id });
        let line = format!("# {host}: as root, once, until {:.0}\n{}\n", command.expires_at, command.command);
        context.out.data(&line);
    }
}
