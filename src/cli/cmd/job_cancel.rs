//! `landfall job cancel`: ends a job for good, whoever works on it. Where nobody does, this process ends what still runs.

use std::time::Duration;

use super::watch::{Watched, recall, watch};
use super::{answered, follow, job_resume, open};
use crate::cli::Context;
use crate::cli::exit::{CliError, ExitStatus};
use crate::cli::report::{self, Reporter};
use crate::config;
use crate::domain::audit::{Action, Asker};
use crate::domain::id::JobId;
use crate::service::{Service, ServiceError, StoreError};

/// The process that works on the job looks twice a second, and a host that cannot be reached is given up after a minute.
const PATIENCE: Duration = Duration::from_secs(180);

pub(crate) async fn run(id: i64, context: &mut Context) -> Result<ExitStatus, CliError> {
    let result = cancel(JobId(id), context).await;
    answered(result, context)
}

async fn cancel(id: JobId, context: &mut Context) -> Result<ExitStatus, CliError> {
    let service = open(context).await?.service;
    let mut reporter = report::choose(context);
    let asked = service.cancel(id, &Asker::at_terminal(config::caller_name()).asks(Action::Cancel)).await?;
    if !asked {
        reporter.note(&format!("job {id} has ended already: there is nothing to cancel"));
        follow::conclude(&service, id, Ok(()), reporter.as_mut()).await?;
        return Ok(ExitStatus::Success);
    }
    end(&service, id, reporter.as_mut()).await
}

/// Follows the job to its end, in whatever process that happens.
async fn end(service: &Service, id: JobId, reporter: &mut dyn Reporter) -> Result<ExitStatus, CliError> {
    let mut feed = recall(service, id, reporter).await?;
    // What a person began hears of it from the server that it reports to.
    let by_hand = service.is_by_hand(id).await?;
    loop {
        if !by_hand {
            match job_resume::here(service, feed.clone(), reporter).await {
                // Whatever the hosts came to: the job is ended, as it was asked for.
                Ok(ExitStatus::Success | ExitStatus::Unsuccessful) => return Ok(ExitStatus::Success),
                Ok(status) => return Ok(status),
                Err(CliError::Service(error)) if matches!(*error, ServiceError::Store(StoreError::Held { .. })) => {}
                Err(error) => return Err(error),
            }
        }
        match watch(service, &mut feed, id, reporter, Some(PATIENCE)).await? {
            Watched::Ended => {
                follow::conclude(service, id, Ok(()), reporter).await?;
                return Ok(ExitStatus::Success);
            }
            Watched::Abandoned => {}
            Watched::Left => return Ok(ExitStatus::Interrupted),
            Watched::Late => {
                reporter.note(&format!("job {id} is still worked on after {} s; it is asked to end", PATIENCE.as_secs()));
                return Ok(ExitStatus::Unsuccessful);
            }
        }
    }
}
