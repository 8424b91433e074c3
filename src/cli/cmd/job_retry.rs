//! `landfall job retry`: tries hosts again that failed or were cancelled, each from its first step not known to be done.

use std::net::IpAddr;

use super::watch::{Watched, recall, watch};
use super::{answered, follow, job_resume, open};
use crate::cli::exit::{CliError, ExitStatus};
use crate::cli::report::{self, Reporter};
use crate::cli::{Context, text};
use crate::config;
use crate::domain::audit::{Action, Asker};
use crate::domain::id::JobId;
use crate::service::ask::Again;
use crate::service::{Service, ServiceError, StoreError};

pub(crate) async fn run(id: i64, hosts: Vec<IpAddr>, context: &mut Context) -> Result<ExitStatus, CliError> {
    let result = retry(JobId(id), hosts, context).await;
    answered(result, context)
}

async fn retry(id: JobId, hosts: Vec<IpAddr>, context: &mut Context) -> Result<ExitStatus, CliError> {
    let service = open(context).await?.service;
    let mut reporter = report::choose(context);
    let again = if hosts.is_empty() { Again::Failed } else { Again::Hosts(hosts) };
    let opened = service.retry(id, &again, &Asker::at_terminal(config::caller_name()).asks(Action::Retry)).await?;
    if opened.is_empty() {
        reporter.note(&format!("no host of job {id} failed: there is nothing to try again"));
        return follow::conclude(&service, id, Ok(()), reporter.as_mut()).await;
    }
    reporter.note(&format!("job {id}: {} to be tried again", text::count(opened.len(), "host")));
    attend(&service, id, reporter.as_mut()).await
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
