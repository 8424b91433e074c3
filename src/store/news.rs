//! What is written into a record, told to whoever waits for it.
//!
//! A piece of news says which job it is about, and nothing more: whoever is concerned reads the record. News may be lost
//! (a connection breaks, a reader is slow); then everybody is woken. Where another process writes a record that tells
//! nothing, [`News::period`] is how often it has to be looked at.
//!
//! Never here: what happened. To tell more: a variant of [`Topic`], sent where it is written.

use std::time::Duration;

use tokio::sync::broadcast::error::RecvError;
use tokio::sync::broadcast::{self, Receiver, Sender};

use crate::domain::id::JobId;

/// Pieces that a reader may be behind before it is woken for everything.
const BEHIND: usize = 1024;

/// What a piece of news is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Topic {
    /// Events or output of a job were written.
    Written(JobId),
    /// A job came in, something is asked of it, or somebody let go of it.
    Asked(JobId),
    /// Something may have been missed.
    Anything,
}

impl Topic {
    /// Is there something new to read of this job?
    #[must_use]
    pub fn concerns(self, job: JobId) -> bool {
        match self {
            Self::Written(about) | Self::Asked(about) => about == job,
            Self::Anything => true,
        }
    }

    /// May something be to do for executors?
    #[must_use]
    pub fn calls(self) -> bool {
        !matches!(self, Self::Written(_))
    }
}

/// Where news are told.
#[derive(Clone, Debug)]
pub struct Teller {
    sender: Sender<Topic>,
    period: Duration,
}

impl Teller {
    /// `period`: see [`News::period`].
    #[must_use]
    pub fn new(period: Duration) -> Self {
        Self { sender: broadcast::channel(BEHIND).0, period }
    }

    /// Tells everybody in this process.
    pub fn tell(&self, topic: Topic) {
        // Nobody may be listening.
        let _ = self.sender.send(topic);
    }

    /// News from now on.
    #[must_use]
    pub fn news(&self) -> News {
        News { receiver: self.sender.subscribe(), period: self.period }
    }
}

/// News from a moment on.
#[derive(Debug)]
pub struct News {
    receiver: Receiver<Topic>,
    period: Duration,
}

impl News {
    /// What is not told has to be looked for this often.
    #[must_use]
    pub fn period(&self) -> Duration {
        self.period
    }

    /// What was told so far needs no waking any more.
    pub fn forget(&mut self) {
        self.receiver = self.receiver.resubscribe();
    }

    /// Waits for news that match, or for the end of a period, whichever is first. Drop-safe.
    pub async fn next(&mut self, matches: impl Fn(Topic) -> bool) {
        let told = async {
            loop {
                match self.receiver.recv().await {
                    Ok(topic) if !matches(topic) => {}
                    Ok(_) | Err(RecvError::Lagged(_)) => return,
                    // The record is gone: only the period is left.
                    Err(RecvError::Closed) => std::future::pending().await,
                }
            }
        };
        // Over: the period.
        let _ = tokio::time::timeout(self.period, told).await;
    }
}

impl Clone for News {
    /// News from now on.
    fn clone(&self) -> Self {
        Self { receiver: self.receiver.resubscribe(), period: self.period }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Longer than any test waits: who is woken was told.
    const NEVER: Duration = Duration::from_secs(u32::MAX as u64);

    #[tokio::test(start_paused = true)]
    async fn a_reader_is_woken_by_what_concerns_it_and_by_a_gap() {
        let teller = Teller::new(NEVER);
        let mut news = teller.news();
        let of_two = |topic: Topic| topic.concerns(JobId(2));
        teller.tell(Topic::Written(JobId(1)));
        assert!(tokio::time::timeout(Duration::from_secs(1), news.next(of_two)).await.is_err());
        for topic in [Topic::Written(JobId(2)), Topic::Asked(JobId(2)), Topic::Anything] {
            teller.tell(topic);
            tokio::time::timeout(Duration::from_secs(1), news.next(of_two)).await.unwrap();
        }
        (0..=BEHIND).for_each(|_| teller.tell(Topic::Written(JobId(1))));
        tokio::time::timeout(Duration::from_secs(1), news.next(of_two)).await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn without_news_a_reader_looks_again_after_the_period() {
        let teller = Teller::new(Duration::from_secs(5));
        let begun = tokio::time::Instant::now();
        teller.news().next(Topic::calls).await;
        assert_eq!(begun.elapsed(), Duration::from_secs(5));
    }
}
