//! `landfall job resume`: goes on with an interrupted job; of a finished one it prints the result.

use super::follow::{self, Work};
use super::{answered, open};
use crate::cli::exit::{CliError, ExitStatus};
use crate::cli::report::{self, Reporter};
use crate::cli::{Context, text};
use crate::domain::id::{JobId, Seq};
use crate::lifecycle::Signals;
use crate::service::feed::Feed;
use crate::service::view::JobView;
use crate::service::{ServiceError, Stop};

pub(crate) async fn resume(id: i64, context: &mut Context) -> Result<ExitStatus, CliError> {
    let result = go_on(JobId(id), context).await;
    answered(result, context)
}

async fn go_on(id: JobId, context: &mut Context) -> Result<ExitStatus, CliError> {
    let service = open(context).await?.service;
    let mut job = service.job(id).await?.ok_or(ServiceError::NoJob(id))?;
    if open_hosts(&job) > 0 {
        let lease = service.hold(id).await?;
        // Another process may have gone on until the hold.
        job = service.job(id).await?.ok_or(ServiceError::NoJob(id))?;
        if open_hosts(&job) > 0 {
            let stop = Stop::new();
            let signals = Signals::listen(stop.clone()).map_err(|source| CliError::System { what: "take signals", source })?;
            let mut reporter = report::choose(context);
            let feed = recall(service.feed(id, Seq::default()), reporter.as_mut()).await?;
            reporter.note(&format!("job {id} goes on: {} of {} to do", open_hosts(&job), text::count(job.list.len(), "host")));
            let (worker, held) = (service.clone(), stop.clone());
            let work = Work { service, job: id, feed, signals, stop };
            return follow::follow(work, async move { worker.run(id, lease, held).await }, reporter.as_mut()).await;
        }
    }
    report::choose(context).finish(&job);
    Ok(ExitStatus::of_job(&job))
}

/// Hosts that did not end.
fn open_hosts(job: &JobView) -> u64 {
    job.line.statistics.pending_count + job.line.statistics.running_count
}

/// Takes in what happened before; nobody else writes while the job is held.
async fn recall(mut feed: Feed, reporter: &mut dyn Reporter) -> Result<Feed, ServiceError> {
    loop {
        let events = feed.ready().await?;
        if events.is_empty() {
            return Ok(feed);
        }
        reporter.recall(&events);
    }
}
