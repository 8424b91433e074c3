//! `landfall job watch`: follows a job that another process works on, as `run` shows its own.

use super::watch::{Watched, recall, watch};
use super::{answered, follow, open};
use crate::cli::Context;
use crate::cli::args::Output;
use crate::cli::exit::{CliError, ExitStatus};
use crate::cli::report;
use crate::domain::id::{JobId, Seq};
use crate::service::ServiceError;

pub(crate) async fn run(id: i64, context: &mut Context) -> Result<ExitStatus, CliError> {
    let result = look_on(JobId(id), context).await;
    answered(result, context)
}

async fn look_on(id: JobId, context: &mut Context) -> Result<ExitStatus, CliError> {
    let service = open(context).await?.service;
    let job = service.job(id).await?.ok_or(ServiceError::NoJob(id))?;
    let is_json = context.output == Output::Json;
    let mut reporter = report::choose(context);
    // A program gets every event; a person sees what is new, and the rest in the figures.
    let mut feed = if is_json { service.feed(id, Seq::default()) } else { recall(&service, id, reporter.as_mut()).await? };
    if let Some(pid) = job.held_by {
        reporter.note(&format!("job {id} is worked on by process {pid}; Ctrl-C leaves it alone"));
    }
    match watch(&service, &mut feed, id, reporter.as_mut(), None).await? {
        Watched::Left => {
            reporter.note(&format!("left: job {id} goes on without you; `landfall job cancel {id}` would end it"));
            Ok(ExitStatus::Interrupted)
        }
        Watched::Ended | Watched::Abandoned | Watched::Late => follow::conclude(&service, id, Ok(()), reporter.as_mut()).await,
    }
}
