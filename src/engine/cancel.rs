//! Stopping: softly (finish the step), hard (let go now), or for good (let go now, and end what was started on the hosts).
//!
//! Two tokens: the hard one is the parent, so whoever waits for a soft stop is woken by a hard one as well. A cancel is a
//! hard stop with another end.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio_util::sync::CancellationToken;

/// How long a step may go on after a soft stop (issue 2: 30 s).
pub const GRACE: Duration = Duration::from_secs(30);

/// A way to stop a job, shared by everybody who works on it.
#[derive(Clone, Debug, Default)]
pub struct Stop {
    hard: CancellationToken,
    soft: CancellationToken,
    cancelled: Arc<AtomicBool>,
    reason: Arc<OnceLock<String>>,
}

impl Stop {
    /// Not stopped.
    #[must_use]
    pub fn new() -> Self {
        let hard = CancellationToken::new();
        let soft = hard.child_token();
        Self { hard, soft, cancelled: Arc::default(), reason: Arc::default() }
    }

    /// No new hosts; running ones finish their step, within [`GRACE`]. The first reason stays.
    pub fn soft(&self, reason: &str) {
        let _ = self.reason.set(reason.to_owned());
        self.soft.cancel();
    }

    /// Let go of everything now.
    pub fn hard(&self, reason: &str) {
        let _ = self.reason.set(reason.to_owned());
        self.hard.cancel();
    }

    /// Let go of everything now, and end what was started on the hosts.
    pub fn cancel(&self) {
        // Before the token: whoever is woken by it asks what for.
        self.cancelled.store(true, Ordering::SeqCst);
        self.hard("cancelled");
    }

    /// Is it for good?
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::SeqCst)
    }

    /// Was a stop asked for?
    #[must_use]
    pub fn is_asked(&self) -> bool {
        self.soft.is_cancelled()
    }

    /// Why.
    #[must_use]
    pub fn reason(&self) -> &str {
        self.reason.get().map_or("stopped", String::as_str)
    }

    /// Waits until a stop is asked for.
    pub async fn asked(&self) {
        self.soft.cancelled().await;
    }

    /// Waits until work has to be let go: a hard stop, or the end of a soft stop's grace.
    pub async fn over(&self) {
        tokio::select! {
            () = self.hard.cancelled() => {}
            () = async {
                self.soft.cancelled().await;
                tokio::time::sleep(GRACE).await;
            } => {}
        }
    }
}

/// What one host obeys: its job's stop, and a cancel of its own.
#[derive(Clone, Debug)]
pub(super) struct HostStop {
    job: Stop,
    own: Stop,
}

impl HostStop {
    pub(super) fn new(job: Stop) -> Self {
        Self { job, own: Stop::new() }
    }

    /// This host is cancelled, whatever the others do.
    pub(super) fn cancel(&self) {
        self.own.cancel();
    }

    /// See [`Stop::is_cancelled`].
    pub(super) fn is_cancelled(&self) -> bool {
        self.own.is_cancelled() || self.job.is_cancelled()
    }

    /// See [`Stop::is_asked`].
    pub(super) fn is_asked(&self) -> bool {
        self.own.is_asked() || self.job.is_asked()
    }

    /// See [`Stop::reason`].
    pub(super) fn reason(&self) -> &str {
        if self.own.is_asked() { self.own.reason() } else { self.job.reason() }
    }

    /// See [`Stop::asked`].
    pub(super) async fn asked(&self) {
        tokio::select! {
            () = self.own.asked() => {}
            () = self.job.asked() => {}
        }
    }

    /// See [`Stop::over`].
    pub(super) async fn over(&self) {
        tokio::select! {
            () = self.own.over() => {}
            () = self.job.over() => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_soft_stop_ends_after_its_grace_and_a_hard_one_at_once() {
        let stop = Stop::new();
        stop.soft("Ctrl-C");
        stop.asked().await;
        let begun = tokio::time::Instant::now();
        stop.over().await;
        assert_eq!(begun.elapsed(), GRACE);
        stop.hard("Ctrl-C twice");
        stop.over().await;
        assert_eq!(begun.elapsed(), GRACE);
        assert_eq!(stop.reason(), "Ctrl-C");
    }
}
