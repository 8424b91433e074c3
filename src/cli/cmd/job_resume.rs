//! `landfall job resume`: goes on with an interrupted job; of a finished one it prints the result.

use std::path::Path;

use super::follow::{self, Work};
use super::watch::recall;
use super::{answered, open};
use crate::cli::exit::{CliError, ExitStatus};
use crate::cli::job_source::Draft;
use crate::cli::report::{self, Reporter};
use crate::cli::{Context, text};
use crate::domain::id::JobId;
use crate::lifecycle::Signals;
use crate::service::feed::Feed;
use crate::service::logins::LoginList;
use crate::service::view::JobView;
use crate::service::{Service, ServiceError, Stop};

pub(crate) async fn resume(id: i64, credentials: Option<&Path>, context: &mut Context) -> Result<ExitStatus, CliError> {
    let result = go_on(JobId(id), credentials, context).await;
    answered(result, context)
}

async fn go_on(id: JobId, credentials: Option<&Path>, context: &mut Context) -> Result<ExitStatus, CliError> {
    let draft = credentials.map(Draft::logins).transpose()?;
    let service = open(context).await?.service;
    let job = service.job(id).await?.ok_or(ServiceError::NoJob(id))?;
    let mut reporter = report::choose(context);
    if let Some(draft) = &draft {
        let list = LoginList { body: &draft.body, sources: &draft.login_sources() };
        let given = service.give_logins(id, list).await.map_err(|rejection| draft.refused(rejection))?;
        reporter.note(&format!("job {id}: {} got a new login", text::count(given, "host")));
    }
    if open_hosts(&job) > 0 && service.is_by_hand(id).await? {
        reporter.note(&format!("a person carries job {id} out: `landfall job commands {id}` gives new commands"));
        reporter.finish(&job);
        return Ok(ExitStatus::of_job(&job));
    }
    if open_hosts(&job) > 0 {
        let feed = recall(&service, id, reporter.as_mut()).await?;
        return here(&service, feed, reporter.as_mut()).await;
    }
    reporter.finish(&job);
    Ok(ExitStatus::of_job(&job))
}

/// Works on what is left of the feed's job in this process, and shows what happens from there on.
/// [`crate::service::StoreError::Held`] when another process does.
pub(super) async fn here(service: &Service, feed: Feed, reporter: &mut dyn Reporter) -> Result<ExitStatus, CliError> {
    let id = feed.job();
    let patience = service.patience();
    if let Some(pid) = service.holder(id).await?.filter(|_| !patience.is_zero()) {
        let wait = patience.as_secs();
        reporter
            .note(&format!("process {pid} holds job {id}: waiting up to {wait} s for a sign of life, or the end of its hold"));
    }
    let lease = service.hold(id).await?;
    // Another process may have gone on until the hold.
    let job = service.job(id).await?.ok_or(ServiceError::NoJob(id))?;
    if open_hosts(&job) == 0 {
        reporter.finish(&job);
        return Ok(ExitStatus::of_job(&job));
    }
    let stop = Stop::new();
    let signals = Signals::listen(stop.clone()).map_err(|source| CliError::System { what: "take signals", source })?;
    reporter.note(&format!("job {id} goes on: {} of {} to do", open_hosts(&job), text::count(job.list.len(), "host")));
    let (worker, held) = (service.clone(), stop.clone());
    let work = Work { service: service.clone(), job: id, feed, signals, stop };
    follow::follow(work, async move { worker.run(id, lease, held).await }, reporter).await
}

/// Hosts that did not end.
pub(super) fn open_hosts(job: &JobView) -> u64 {
    job.line.statistics.pending_count + job.line.statistics.running_count
}
