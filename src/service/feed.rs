//! A job's events as they become durable, and what its hosts print.
//!
//! A feed reads the record after a cursor and is woken by news of it, so a slow reader never holds up a host, loses no
//! event, and costs no memory for what it has not read yet.

use super::{Service, ServiceError};
use crate::domain::event::Event;
use crate::domain::id::{JobId, Seq, TaskId};
use crate::store::OutputChunk;
use crate::store::news::News;

/// Events read at once.
const PAGE: u32 = 500;

/// Pieces of output read at once: at most 4 MiB.
const PIECES: u32 = 64;

/// What one host prints, from a cursor on.
pub struct Tail {
    service: Service,
    task: TaskId,
    after: i64,
}

/// The events of one job after a cursor.
#[derive(Clone)]
pub struct Feed {
    service: Service,
    job: JobId,
    after: Seq,
    news: News,
}

impl Service {
    /// The events of `job` after `after`.
    #[must_use]
    pub fn feed(&self, job: JobId, after: Seq) -> Feed {
        Feed { service: self.clone(), job, after, news: self.store.news() }
    }
}

impl Service {
    /// What a host of a job printed and will print.
    #[must_use]
    pub fn tail(&self, task: TaskId) -> Tail {
        Tail { service: self.clone(), task, after: 0 }
    }
}

impl Tail {
    /// The next pieces that are there already, each once, in the order they came; empty when nothing new is.
    ///
    /// # Errors
    /// When the record cannot be read.
    pub async fn ready(&mut self) -> Result<Vec<OutputChunk>, ServiceError> {
        let (chunks, next) = self.service.store.output_after(self.task, self.after, PIECES).await?;
        self.after = next;
        Ok(chunks)
    }
}

impl Feed {
    /// Whose events they are.
    #[must_use]
    pub fn job(&self) -> JobId {
        self.job
    }

    /// The next events, at least one; waits until there are some. Drop-safe.
    ///
    /// # Errors
    /// When the record cannot be read.
    pub async fn next(&mut self) -> Result<Vec<Event>, ServiceError> {
        loop {
            // What was told so far is about what is read now.
            self.news.forget();
            let events = self.ready().await?;
            if !events.is_empty() {
                return Ok(events);
            }
            let job = self.job;
            self.news.next(|topic| topic.concerns(job)).await;
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
