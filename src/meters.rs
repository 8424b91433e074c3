//! Figures of this process for Prometheus: each name, label and bucket stands here, and only here are the crates named that
//! count. Whoever sees something happen calls the function for it; where nothing was started (`landfall run`), it counts nothing.
//!
//! Never a label whose values have no bound: no host, job, address or path. Labels are words of closed types, route templates
//! and statuses.
//!
//! To add a figure: its name, its line in [`describe`], its function; its row in `docs/api.md`, which a test asks for.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;

use metrics::{Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};

use crate::domain::failure::FailureClass;
use crate::domain::job::{JobKind, Status};
use crate::domain::outcome::{Outcome, StepOutcome};
use crate::domain::plan::StepKind;

const BUILD: &str = "landfall_build_info";
const JOBS: &str = "landfall_jobs";
const HOST_TASKS: &str = "landfall_host_tasks";
const QUEUE_AGE: &str = "landfall_queue_age_seconds";
const READABLE: &str = "landfall_record_readable";
const JOBS_ACCEPTED: &str = "landfall_jobs_accepted_total";
const JOBS_FINISHED: &str = "landfall_jobs_finished_total";
const HOST_TASKS_FINISHED: &str = "landfall_host_tasks_finished_total";
const STEP: &str = "landfall_step_seconds";
const FAILURES: &str = "landfall_failures_total";
const SENT: &str = "landfall_sent_bytes_total";
const LEASES_LOST: &str = "landfall_leases_lost_total";
const TRANSACTIONS: &str = "landfall_journal_transactions_total";
const BATCH: &str = "landfall_journal_batch_writes";
const COMMIT: &str = "landfall_journal_commit_seconds";
const REQUESTS: &str = "landfall_api_requests_total";
const REQUEST: &str = "landfall_api_request_seconds";

/// Bounds of the buckets: from a step that is skipped to a script at its deadline.
const STEP_SECONDS: &[f64] = &[0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0];
/// Up to the largest batch that the journal makes.
const BATCH_WRITES: &[f64] = &[1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0];
/// A commit waits for a disk.
const COMMIT_SECONDS: &[f64] = &[0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1.0, 5.0];
/// From a page of a list to 10,000 hosts in one body.
const REQUEST_SECONDS: &[f64] = &[0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 30.0];

static COUNTING: OnceLock<PrometheusHandle> = OnceLock::new();

/// Jobs or host tasks, by kind and status.
pub type Standing = HashMap<(JobKind, Status), u64>;

/// Begins to count, once in a process.
pub fn start() {
    if let Some(recorder) = recorder()
        && let Ok(()) = COUNTING.set(recorder.handle())
        && metrics::set_global_recorder(recorder).is_ok()
    {
        describe();
    }
}

/// All figures as Prometheus reads them; `None` when nothing is counted.
#[must_use]
pub fn text() -> Option<String> {
    COUNTING.get().map(PrometheusHandle::render)
}

/// Moves what was observed into its buckets. Has to be done now and then: a process that nobody asks for its figures must not
/// grow by them.
pub fn tidy() {
    if let Some(handle) = COUNTING.get() {
        handle.run_upkeep();
    }
}

fn recorder() -> Option<metrics_exporter_prometheus::PrometheusRecorder> {
    let buckets = [(STEP, STEP_SECONDS), (BATCH, BATCH_WRITES), (COMMIT, COMMIT_SECONDS), (REQUEST, REQUEST_SECONDS)];
    let builder = buckets.into_iter().try_fold(PrometheusBuilder::new(), |builder, (name, bounds)| {
        builder.set_buckets_for_metric(Matcher::Full(name.to_owned()), bounds)
    });
    // It fails for a list of bounds that is empty only.
    Some(builder.ok()?.build_recorder())
}

/// What each figure is, and a first value where there is only one series of it: what has not happened yet is 0, not nothing.
fn describe() {
    describe_gauge!(BUILD, "1; the version of this process");
    gauge!(BUILD, "version" => env!("CARGO_PKG_VERSION")).set(1.0);
    describe_gauge!(JOBS, "Unfinished jobs in the record");
    describe_gauge!(HOST_TASKS, "Host tasks of unfinished jobs in the record");
    describe_gauge!(QUEUE_AGE, Unit::Seconds, "How long the host task that waits longest has waited to be begun");
    describe_gauge!(READABLE, "1 when the record could be read for these figures, else 0, and those of the record are old");
    describe_counter!(JOBS_ACCEPTED, "Jobs that this process recorded");
    describe_counter!(JOBS_FINISHED, "Jobs that this process saw to their end");
    describe_counter!(HOST_TASKS_FINISHED, "Host tasks that this process ended");
    describe_histogram!(STEP, Unit::Seconds, "Duration of one attempt of a step");
    describe_counter!(FAILURES, "Failed attempts, those that were tried again included");
    describe_counter!(SENT, Unit::Bytes, "Payload sent to hosts");
    counter!(SENT).absolute(0);
    describe_counter!(LEASES_LOST, "Holds of a job that could not be renewed in time");
    counter!(LEASES_LOST).absolute(0);
    describe_counter!(TRANSACTIONS, "Transactions of the journal, those that failed included");
    counter!(TRANSACTIONS).absolute(0);
    describe_histogram!(BATCH, "Writes in one transaction of the journal");
    describe_histogram!(COMMIT, Unit::Seconds, "Duration of one transaction of the journal");
    describe_counter!(REQUESTS, "Answered requests, by the template of their route");
    describe_histogram!(REQUEST, Unit::Seconds, "Time until a request was answered");
}

/// A job was recorded.
pub fn job_accepted(kind: JobKind) {
    counter!(JOBS_ACCEPTED, "kind" => kind.wire_name()).increment(1);
}

/// The end of a job was recorded.
pub fn job_finished(kind: JobKind, status: Status) {
    counter!(JOBS_FINISHED, "kind" => kind.wire_name(), "status" => status.word()).increment(1);
}

/// The end of a host task was recorded.
pub fn host_finished(kind: JobKind, outcome: &Outcome) {
    counter!(HOST_TASKS_FINISHED, "kind" => kind.wire_name(), "outcome" => outcome.word()).increment(1);
}

/// An attempt of a step ended, and the step with it.
pub fn step_ended(step: StepKind, outcome: &StepOutcome, took: Duration) {
    let end = match outcome {
        StepOutcome::Done { changed: true } => "changed",
        StepOutcome::Done { changed: false } => "unchanged",
        StepOutcome::Warned { .. } => "warned",
        StepOutcome::Skipped { .. } => "skipped",
        StepOutcome::Failed { .. } => "failed",
    };
    histogram!(STEP, "step" => step.word(), "end" => end).record(took);
}

/// An attempt of a step failed, and another one follows.
pub fn step_tried_again(step: StepKind, took: Duration) {
    histogram!(STEP, "step" => step.word(), "end" => "tried_again").record(took);
}

/// An attempt failed.
pub fn failed(class: FailureClass, step: Option<StepKind>) {
    counter!(FAILURES, "class" => class.word(), "step" => step.map_or("none", StepKind::word)).increment(1);
}

/// Payload went to a host.
pub fn sent(bytes: u64) {
    counter!(SENT).increment(bytes);
}

/// A hold could not be renewed.
pub fn lease_lost() {
    counter!(LEASES_LOST).increment(1);
}

/// The journal wrote a batch, or tried to.
pub fn committed(writes: usize, took: Duration) {
    counter!(TRANSACTIONS).increment(1);
    histogram!(BATCH).record(f64::from(u32::try_from(writes).unwrap_or(u32::MAX)));
    histogram!(COMMIT).record(took);
}

/// A request was answered. `route` is a template, never a path that somebody asked for.
pub fn answered(route: &str, method: &'static str, status: u16, took: Duration) {
    let route = route.to_owned();
    counter!(REQUESTS, "route" => route.clone(), "method" => method, "status" => status.to_string()).increment(1);
    histogram!(REQUEST, "route" => route, "method" => method).record(took);
}

/// How the record stands, and how long the oldest host task waits.
pub fn standing(jobs: &Standing, hosts: &Standing, waits: Duration) {
    stand(JOBS, jobs);
    stand(HOST_TASKS, hosts);
    gauge!(QUEUE_AGE).set(waits);
    gauge!(READABLE).set(1.0);
}

/// The record could not be asked.
pub fn unreadable() {
    gauge!(READABLE).set(0.0);
}

/// Series that were there before and are not counted any more go to 0.
fn stand(name: &'static str, counts: &Standing) {
    static SEEN: Mutex<Option<HashSet<(&str, JobKind, Status)>>> = Mutex::new(None);
    let mut seen = SEEN.lock().unwrap_or_else(PoisonError::into_inner);
    let seen = seen.get_or_insert_default();
    seen.extend(counts.keys().map(|(kind, status)| (name, *kind, *status)));
    for (_, kind, status) in seen.iter().filter(|(of, ..)| *of == name) {
        let count = counts.get(&(*kind, *status)).copied().unwrap_or_default();
        let count = u32::try_from(count).unwrap_or(u32::MAX);
        gauge!(name, "kind" => kind.wire_name(), "status" => status.word()).set(f64::from(count));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is rendered after `happens`.
    fn rendered(happens: impl FnOnce()) -> String {
        let recorder = recorder().unwrap();
        metrics::with_local_recorder(&recorder, || {
            describe();
            happens();
        });
        recorder.handle().render()
    }

    #[test]
    fn what_happened_stands_in_the_text_under_its_labels() {
        let text = rendered(|| {
            step_ended(StepKind::Verify, &StepOutcome::Done { changed: false }, Duration::from_millis(300));
            step_tried_again(StepKind::Connect, Duration::from_secs(7));
            failed(FailureClass::Unreachable, Some(StepKind::Connect));
            failed(FailureClass::Internal, None);
            sent(5_000);
            committed(3, Duration::from_millis(2));
            answered("/api/job/{id}/details", "POST", 200, Duration::from_millis(20));
        });
        for line in [
            "# TYPE landfall_step_seconds histogram",
            r#"landfall_step_seconds_bucket{step="verify",end="unchanged",le="0.25"} 0"#,
            r#"landfall_step_seconds_bucket{step="verify",end="unchanged",le="0.5"} 1"#,
            r#"landfall_step_seconds_bucket{step="connect",end="tried_again",le="10"} 1"#,
            r#"landfall_failures_total{class="unreachable",step="connect"} 1"#,
            r#"landfall_failures_total{class="internal",step="none"} 1"#,
            "landfall_sent_bytes_total 5000",
            "landfall_leases_lost_total 0",
            "landfall_journal_transactions_total 1",
            r#"landfall_journal_batch_writes_bucket{le="4"} 1"#,
            r#"landfall_api_requests_total{route="/api/job/{id}/details",method="POST",status="200"} 1"#,
        ] {
            assert!(text.lines().any(|told| told == line), "`{line}` is missing in:\n{text}");
        }
    }

    #[test]
    fn what_stands_no_more_is_zero() {
        let text = rendered(|| {
            let running = HashMap::from([((JobKind::InstallAgent, Status::Running), 2)]);
            standing(&running, &running, Duration::from_secs(9));
            standing(&HashMap::new(), &running, Duration::ZERO);
            unreadable();
        });
        for line in [
            r#"landfall_jobs{kind="INSTALL_AGENT",status="RUNNING"} 0"#,
            r#"landfall_host_tasks{kind="INSTALL_AGENT",status="RUNNING"} 2"#,
            "landfall_queue_age_seconds 0",
            "landfall_record_readable 0",
        ] {
            assert!(text.lines().any(|told| told == line), "`{line}` is missing in:\n{text}");
        }
    }
}
