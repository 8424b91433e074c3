//! Follows a job that another process works on. Leaving it changes nothing for the job.

use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior};

use crate::cli::exit::CliError;
use crate::cli::report::Reporter;
use crate::domain::event::EventKind;
use crate::domain::id::{JobId, Seq};
use crate::lifecycle::Signals;
use crate::service::feed::Feed;
use crate::service::{Service, ServiceError, Stop};

/// Between two looks at who works on the job.
const LOOK: Duration = Duration::from_secs(1);

/// Why following ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Watched {
    /// Every host ended.
    Ended,
    /// Nobody works on the job, and it has not ended.
    Abandoned,
    /// The person left.
    Left,
    /// It took too long.
    Late,
}

/// Follows `feed` until one of them, or until `patience` is over.
pub(super) async fn watch(
    service: &Service,
    feed: &mut Feed,
    job: JobId,
    reporter: &mut dyn Reporter,
    patience: Option<Duration>,
) -> Result<Watched, CliError> {
    // The signals of somebody who only looks on stop nothing.
    let mut signals = Signals::listen(Stop::new()).map_err(|source| CliError::System { what: "take signals", source })?;
    let mut look = tokio::time::interval(LOOK);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    // Nobody holds a job that a person carries out.
    let by_hand = service.is_by_hand(job).await?;
    let late = patience.map(|patience| Instant::now() + patience);
    loop {
        let ended = tokio::select! {
            events = feed.next() => {
                let events = events?;
                events.iter().for_each(|event| reporter.on(event));
                events.iter().any(|event| matches!(event.kind, EventKind::JobFinished { .. })) && service.has_ended(job).await?
            }
            _ = look.tick() => {
                // First who works on it, then how it stands: who let go of it in between has finished it.
                let holder = service.holder(job).await?;
                let ended = service.has_ended(job).await? && holder.is_none();
                if holder.is_none() && !ended && !by_hand {
                    drain(feed, reporter).await?;
                    return Ok(Watched::Abandoned);
                }
                ended
            }
            _ = signals.next() => return Ok(Watched::Left),
            () = at(late) => return Ok(Watched::Late),
        };
        if ended {
            drain(feed, reporter).await?;
            return Ok(Watched::Ended);
        }
    }
}

async fn at(moment: Option<Instant>) {
    match moment {
        Some(moment) => tokio::time::sleep_until(moment).await,
        None => std::future::pending().await,
    }
}

async fn drain(feed: &mut Feed, reporter: &mut dyn Reporter) -> Result<(), ServiceError> {
    loop {
        let events = feed.ready().await?;
        if events.is_empty() {
            return Ok(());
        }
        events.iter().for_each(|event| reporter.on(event));
    }
}

/// A feed that shows only what happens from now on; what happened before is known to the reporter.
pub(super) async fn recall(service: &Service, job: JobId, reporter: &mut dyn Reporter) -> Result<Feed, ServiceError> {
    let mut feed = service.feed(job, Seq::default());
    loop {
        let events = feed.ready().await?;
        if events.is_empty() {
            return Ok(feed);
        }
        reporter.recall(&events);
    }
}
