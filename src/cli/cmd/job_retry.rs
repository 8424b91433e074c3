//! `landfall job retry`: tries hosts again that failed or were cancelled, each from its first step not known to be done, or
//! from the first of all; with other logins where some are given.

use super::watch::{Watched, recall, watch};
use super::{answered, follow, job_resume, open};
use crate::cli::args::Retry;
use crate::cli::exit::{CliError, ExitStatus};
use crate::cli::job_source::Draft;
use crate::cli::report::{self, Reporter};
use crate::cli::{Context, text};
use crate::config;
use crate::domain::audit::{Action, Asker};
use crate::domain::id::JobId;
use crate::service::ask::{Again, Retried, RetryAsk};
use crate::service::logins::LoginList;
use crate::service::submit::Rejection;
use crate::service::{Service, ServiceError, StoreError};

pub(crate) async fn run(typed: Retry, context: &mut Context) -> Result<ExitStatus, CliError> {
    let result = retry(typed, context).await;
    answered(result, context)
}

async fn retry(typed: Retry, context: &mut Context) -> Result<ExitStatus, CliError> {
    let id = JobId(typed.id);
    let draft = typed.credentials.as_deref().map(Draft::logins).transpose()?;
    let service = open(context).await?.service;
    let mut reporter = report::choose(context);
    let asked = ask(&service, typed, draft.as_ref()).await?;
    if asked.passed_over > 0 {
        reporter.note(&format!("{} passed over: of hosts that are not tried again", text::count(asked.passed_over, "login")));
    }
    if asked.hosts.is_empty() {
        let which = if draft.is_some() { "no host that another login came for" } else { "no host" };
        reporter.note(&format!("{which} of job {id} failed: there is nothing to try again"));
        return follow::conclude(&service, id, Ok(()), reporter.as_mut()).await;
    }
    reporter.note(&format!("job {id}: {} to be tried again", text::count(asked.hosts.len(), "host")));
    if service.is_by_hand(id).await? {
        reporter.note(&format!("a person carries it out: `landfall job commands {id}` gives new commands"));
        return Ok(ExitStatus::Success);
    }
    attend(&service, id, reporter.as_mut()).await
}

async fn ask(service: &Service, typed: Retry, draft: Option<&Draft>) -> Result<Retried, CliError> {
    let again = match (typed.hosts.is_empty(), draft) {
        (false, _) => Again::Hosts(typed.hosts),
        // A password that was refused already must not be offered once more because another one was mended.
        (true, Some(_)) if !typed.failed => Again::Listed,
        (true, _) => Again::Failed,
    };
    let by = Asker::at_terminal(config::caller_name()).asks(Action::Retry);
    let sources = draft.map(Draft::login_sources);
    let logins = draft.zip(sources.as_ref()).map(|(draft, sources)| LoginList { body: &draft.body, sources });
    let ask = RetryAsk { again, logins, from_start: typed.from_start, by };
    service.retry(JobId(typed.id), &ask).await.map_err(|rejection| match (draft, rejection) {
        (Some(draft), rejection) => draft.refused(rejection),
        (None, Rejection::Service(error)) => error.into(),
        (None, rejection) => CliError::Rejected { rejection: Box::new(rejection), notes: Vec::new() },
    })
}

/// Works on the job here, or follows it where somebody does already.
async fn attend(service: &Service, id: JobId, reporter: &mut dyn Reporter) -> Result<ExitStatus, CliError> {
    let mut feed = recall(service, id, reporter).await?;
    loop {
        match job_resume::here(service, feed.clone(), reporter).await {
            Err(CliError::Service(error)) if matches!(*error, ServiceError::Store(StoreError::Held { .. })) => {}
            other => return other,
        }
        match watch(service, &mut feed, id, reporter, None).await? {
            Watched::Ended => return follow::conclude(service, id, Ok(()), reporter).await,
            // Whoever worked on it let go of it between the asking and the look.
            Watched::Abandoned => {}
            Watched::Left | Watched::Late => return Ok(ExitStatus::Interrupted),
        }
    }
}
