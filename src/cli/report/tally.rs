//! Where the hosts of a job stand right now, folded from its events. Holds the hosts in flight only, so ten thousand cost no
//! more than the two hundred that run.

use std::collections::BTreeMap;

use crate::domain::Timestamp;
use crate::domain::event::{Event, EventKind, HostRef};
use crate::domain::job::{JobKind, Status};
use crate::domain::outcome::Outcome;
use crate::domain::plan::StepKind;
use crate::domain::plan::Work;

/// Hosts by how they stand, and those in flight.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    /// What the job does.
    pub(crate) kind: Option<JobKind>,
    /// Hosts that are worked on.
    pub(crate) hosts: u64,
    /// Hosts left out.
    pub(crate) ignored: u64,
    /// Hosts that ended SUCCESS.
    pub(crate) success: u64,
    /// Hosts that ended otherwise.
    pub(crate) failed: u64,
    /// Payload bytes sent by finished steps.
    pub(crate) bytes: u64,
    begun: BTreeMap<u32, HostNow>,
}

/// A host that began and did not end.
#[derive(Clone, Debug)]
pub(crate) struct HostNow {
    /// Which.
    pub(crate) host: HostRef,
    /// When an executor took it first.
    pub(crate) since: Timestamp,
    /// Does an executor work on it? Not when it was interrupted.
    pub(crate) is_running: bool,
    /// The step it is in.
    pub(crate) step: Option<StepKind>,
    /// Its attempt at that step.
    pub(crate) attempt: u32,
    /// Payload bytes sent by its finished steps.
    pub(crate) bytes: u64,
    /// `node-exporter 1.5.0`, once the plan is settled.
    pub(crate) package: Option<String>,
    /// What is done with it, in the past tense; nothing to say where it is installed.
    pub(crate) did: Option<&'static str>,
    /// Why the last try failed, while the next one is waited for.
    pub(crate) trouble: Option<String>,
}

impl Tally {
    /// Takes the next event; returns the host that ended with it.
    pub(crate) fn take(&mut self, event: &Event) -> Option<HostNow> {
        match (&event.kind, event.host_index) {
            (EventKind::JobAccepted { job_type, hosts, ignored }, _) => {
                self.kind = Some(*job_type);
                self.hosts = *hosts;
                self.ignored = *ignored;
            }
            (EventKind::HostFinished { outcome }, Some(index)) => return self.end(index, outcome),
            (EventKind::RetryAsked { .. }, Some(_)) => self.failed = self.failed.saturating_sub(1),
            (EventKind::HostStarted, Some(index)) => {
                if let Some(host) = event.host {
                    let now = self.begun.entry(index).or_insert_with(|| HostNow::begin(host, event.at));
                    now.is_running = true;
                    now.step = None;
                }
            }
            (EventKind::StepFinished { figures, .. }, Some(index)) => {
                let bytes = figures.bytes_sent.unwrap_or(0);
                self.bytes += bytes;
                if let Some(now) = self.begun.get_mut(&index) {
                    now.bytes += bytes;
                    now.take(&event.kind);
                }
            }
            (kind, Some(index)) => {
                if let Some(now) = self.begun.get_mut(&index) {
                    now.take(kind);
                }
            }
            (_, None) => {}
        }
        None
    }

    fn end(&mut self, index: u32, outcome: &Outcome) -> Option<HostNow> {
        match Status::of_outcome(outcome) {
            Status::Success => self.success += 1,
            Status::Failed | Status::Terminated => self.failed += 1,
            Status::Removed => self.success += 1,
            // Interrupted: it goes on some day, so it stays known.
            _ => {
                let now = self.begun.get_mut(&index)?;
                now.is_running = false;
                return Some(now.clone());
            }
        }
        self.begun.remove(&index)
    }

    /// Takes events from before: what they left in the middle is not running, because nobody works on it.
    pub(crate) fn recall(&mut self, events: &[Event]) {
        for event in events {
            self.take(event);
        }
        for now in self.begun.values_mut() {
            now.is_running = false;
        }
    }

    /// The host of an event, while it is in flight.
    pub(crate) fn host(&self, event: &Event) -> Option<&HostNow> {
        self.begun.get(&event.host_index?)
    }

    /// The host at that position of the request, while it is in flight.
    pub(crate) fn at(&self, index: u32) -> Option<&HostNow> {
        self.begun.get(&index).filter(|now| now.is_running)
    }

    /// Hosts somebody works on, by position in the request.
    pub(crate) fn running(&self) -> impl Iterator<Item = (u32, &HostNow)> {
        self.begun.iter().filter(|(_, now)| now.is_running).map(|(index, now)| (*index, now))
    }

    /// Hosts that ended.
    pub(crate) fn ended(&self) -> u64 {
        self.success + self.failed
    }

    /// `3 running, 20 pending, 75 success, 2 failed, 1 ignored`.
    pub(crate) fn counts(&self) -> String {
        let running = self.running().count() as u64;
        let pending = self.hosts.saturating_sub(self.ended() + running);
        let all = [
            (running, "running"),
            (pending, "pending"),
            (self.success, "success"),
            (self.failed, "failed"),
            (self.ignored, "ignored"),
        ];
        all.map(|(count, word)| format!("{count} {word}")).join(", ")
    }
}

impl HostNow {
    fn begin(host: HostRef, since: Timestamp) -> Self {
        let (step, package, trouble) = (None, None, None);
        Self { host, since, is_running: true, step, attempt: 0, bytes: 0, package, did: None, trouble }
    }

    fn take(&mut self, kind: &EventKind) {
        match kind {
            EventKind::PlanSettled { plan } => {
                let installed = plan.work.installed();
                self.package = Some(format!("{} {}", installed.name, installed.version));
                self.did = match plan.work {
                    Work::Install { previous: Some(_), .. } => Some("upgraded"),
                    Work::Install { .. } => None,
                    Work::Uninstall { .. } => Some("removed"),
                    Work::Restart { .. } => Some("restarted"),
                    Work::Reload { .. } => Some("reloaded"),
                };
            }
            EventKind::StepStarted { step, attempt, .. } => {
                self.step = Some(*step);
                self.attempt = *attempt;
                self.trouble = None;
            }
            EventKind::AttemptFailed { step, failure, .. } => {
                self.step = Some(*step);
                self.trouble = Some(failure.message.clone());
            }
            EventKind::StepFinished { .. } => self.trouble = None,
            EventKind::JobAccepted { .. }
            | EventKind::HostIgnored { .. }
            | EventKind::HostStarted
            | EventKind::AttemptStarted { .. }
            | EventKind::StepAdded { .. }
            | EventKind::CancelAsked { .. }
            | EventKind::HostKeyReplaced { .. }
            | EventKind::RetryAsked { .. }
            | EventKind::HostFinished { .. }
            | EventKind::JobFinished { .. }
            | EventKind::Unknown => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::report::sample::{event, failure};
    use crate::domain::failure::Code;

    #[test]
    fn hosts_move_from_pending_over_running_to_an_end() {
        let mut tally = Tally::default();
        tally.take(&event(None, EventKind::JobAccepted { job_type: JobKind::InstallAgent, hosts: 3, ignored: 1 }));
        assert_eq!(tally.counts(), "0 running, 3 pending, 0 success, 0 failed, 1 ignored");
        for index in 0..3 {
            tally.take(&event(Some(index), EventKind::HostStarted));
        }
        tally.take(&event(Some(0), EventKind::HostFinished { outcome: Outcome::Succeeded }));
        let outcome = Outcome::Failed { failure: failure(Code::NoRoute, StepKind::Connect) };
        let ended = tally.take(&event(Some(1), EventKind::HostFinished { outcome }));
        assert!(ended.is_some());
        assert_eq!(tally.counts(), "1 running, 0 pending, 1 success, 1 failed, 1 ignored");
    }

    #[test]
    fn an_interrupted_host_is_pending_again_and_keeps_its_plan() {
        let mut tally = Tally { hosts: 1, ..Tally::default() };
        tally.take(&event(Some(0), EventKind::HostStarted));
        tally.take(&event(Some(0), EventKind::HostFinished { outcome: Outcome::Interrupted { why: "Ctrl-C".into() } }));
        assert_eq!(tally.counts(), "0 running, 1 pending, 0 success, 0 failed, 0 ignored");
        tally.take(&event(Some(0), EventKind::HostStarted));
        assert!(tally.at(0).is_some());
        tally.recall(&[]);
        assert_eq!(tally.counts(), "0 running, 1 pending, 0 success, 0 failed, 0 ignored");
    }
}
