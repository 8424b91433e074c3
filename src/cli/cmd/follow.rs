//! Follows a job from its first event to its end, whatever comes: events, signals, the end of the engine.

use std::time::Duration;

use anyhow::Context as _;
use tokio::time::MissedTickBehavior;

use crate::cli::exit::{CliError, ExitStatus};
use crate::cli::report::Reporter;
use crate::domain::id::JobId;
use crate::lifecycle::{Asked, Signals};
use crate::service::feed::Feed;
use crate::service::{GRACE, Service, ServiceError, Stop};

/// Between two pictures of what is being sent.
const PULSE: Duration = Duration::from_millis(100);

/// A job that is about to be worked on by this process.
pub(super) struct Work {
    pub(super) service: Service,
    pub(super) job: JobId,
    /// Its events from where they shall be shown.
    pub(super) feed: Feed,
    pub(super) signals: Signals,
    pub(super) stop: Stop,
}

/// Shows the job while `run` works on it.
///
/// The engine has a task of its own, so a terminal or a pipe that does not read holds up no host.
pub(super) async fn follow<T>(
    mut work: Work,
    run: impl Future<Output = Result<T, ServiceError>> + Send + 'static,
    reporter: &mut dyn Reporter,
) -> Result<ExitStatus, CliError> {
    let job = work.job;
    // What is recorded already is shown before the first host is touched.
    let mut unreadable = show_ready(&mut work.feed, reporter).await.err();
    let mut engine = tokio::spawn(async move { run.await.map(drop) });
    let mut pulse = tokio::time::interval(PULSE);
    pulse.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let ended = loop {
        tokio::select! {
            ended = &mut engine => break ended,
            events = work.feed.next(), if unreadable.is_none() => match events {
                Ok(events) => events.iter().for_each(|event| reporter.on(event)),
                Err(error) => unreadable = Some(error),
            },
            _ = pulse.tick(), if reporter.is_live() => reporter.tick(&work.service.progress()),
            asked = work.signals.next() => {
                reporter.note(&told(asked, &work.stop, job));
                if asked == Asked::Leave {
                    engine.abort();
                    return Ok(ExitStatus::Interrupted);
                }
            }
        }
    };
    let result = match ended {
        Ok(result) => result.map_err(anyhow::Error::from),
        Err(panicked) => Err(panicked).context("the engine stopped working"),
    };
    let result = result.and(drain(&mut work.feed, unreadable, reporter).await.map_err(anyhow::Error::from));
    conclude(&work.service, job, result, reporter).await
}

/// Shows one page of what is recorded.
async fn show_ready(feed: &mut Feed, reporter: &mut dyn Reporter) -> Result<bool, ServiceError> {
    let events = feed.ready().await?;
    events.iter().for_each(|event| reporter.on(event));
    Ok(!events.is_empty())
}

/// Shows what the engine recorded last.
async fn drain(feed: &mut Feed, unreadable: Option<ServiceError>, reporter: &mut dyn Reporter) -> Result<(), ServiceError> {
    if let Some(error) = unreadable {
        return Err(error);
    }
    while show_ready(feed, reporter).await? {}
    Ok(())
}

/// Ends with the job as the record has it: also when following failed, as far as it can be read.
pub(super) async fn conclude(
    service: &Service,
    job: JobId,
    result: anyhow::Result<()>,
    reporter: &mut dyn Reporter,
) -> Result<ExitStatus, CliError> {
    let view = service.job(job).await;
    if let Ok(Some(view)) = &view {
        reporter.finish(view);
    }
    if let Err(source) = result {
        return Err(CliError::Broke { job, source });
    }
    match view {
        Ok(Some(view)) => Ok(ExitStatus::of_job(&view)),
        Ok(None) => Err(CliError::Broke { job, source: ServiceError::NoJob(job).into() }),
        Err(error) => Err(CliError::Broke { job, source: error.into() }),
    }
}

/// What the person is told when a signal came.
fn told(asked: Asked, stop: &Stop, job: JobId) -> String {
    match asked {
        Asked::Soft => format!(
            "{}: no new host begins, running steps may finish within {} s; a second one stops now",
            stop.reason(),
            GRACE.as_secs()
        ),
        Asked::Hard => "stopping now: running hosts are let go, what was started on them goes on there".into(),
        Asked::Leave => format!("leaving: go on with `landfall job resume {job}`"),
    }
}
