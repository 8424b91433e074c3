//! A job's events as they become durable.
//!
//! A feed reads the record after a cursor and is woken by the journal, so a slow reader never holds up a host, loses no
//! event, and costs no memory for what it has not read yet.

use std::time::Duration;

use tokio::sync::watch;

use super::{Service, ServiceError};
use crate::domain::event::Event;
use crate::domain::id::{JobId, Seq};

/// Events read at once.
const PAGE: u32 = 500;

/// How often the record is looked at when another process writes it: nothing wakes us then.
const FOREIGN_PERIOD: Duration = Duration::from_millis(500);

/// The events of one job after a cursor.
pub struct Feed {
    service: Service,
    job: JobId,
    after: Seq,
    wake: watch::Receiver<u64>,
}

impl Service {
    /// The events of `job` after `after`.
    #[must_use]
    pub fn feed(&self, job: JobId, after: Seq) -> Feed {
        Feed { service: self.clone(), job, after, wake: self.engine.commits() }
    }
}

impl Feed {
    /// The next events, at least one; waits until there are some. Drop-safe.
    ///
    /// # Errors
    /// When the record cannot be read.
    pub async fn next(&mut self) -> Result<Vec<Event>, ServiceError> {
        loop {
            self.wake.mark_unchanged();
            let events = self.ready().await?;
            if !events.is_empty() {
                return Ok(events);
            }
            // A closed channel means that the engine is gone: only the period is left.
            let _ = tokio::time::timeout(FOREIGN_PERIOD, self.wake.changed()).await;
        }
    }

    /// What is there already; empty when nothing new is.
    ///
    /// # Errors
    /// When the record cannot be read.
    pub async fn ready(&mut self) -> Result<Vec<Event>, ServiceError> {
        let events = self.service.store.events(self.job, self.after, PAGE).await?;
        if let Some(last) = events.last() {
            self.after = last.seq;
        }
        Ok(events)
    }
}
