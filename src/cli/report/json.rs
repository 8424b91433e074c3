//! For programs: one event a line, the result as the last one (DESIGN 10).

use std::net::IpAddr;

use serde::Serialize;

use super::Reporter;
use crate::cli::out::Printer;
use crate::domain::admission::Exception;
use crate::domain::event::Event;
use crate::domain::failure::{Failure, FailureClass};
use crate::domain::id::JobId;
use crate::domain::job::{Statistics, Status};
use crate::domain::plan::StepKind;
use crate::service::view::{HostView, JobView};

/// Writes events and the result as JSON.
pub(crate) struct Json<'a> {
    out: &'a mut Printer,
}

impl<'a> Json<'a> {
    pub(crate) fn new(out: &'a mut Printer) -> Self {
        Self { out }
    }
}

impl Reporter for Json<'_> {
    fn on(&mut self, event: &Event) {
        self.out.json(event);
    }

    fn note(&mut self, text: &str) {
        self.out.note(text);
    }

    fn finish(&mut self, job: &JobView) {
        self.out.json(&JobResult::from(job));
    }
}

/// The last line of `run` and `resume`.
#[derive(Serialize)]
struct JobResult<'a> {
    job_id: JobId,
    status: Status,
    statistics: Statistics,
    hosts: Vec<HostResult<'a>>,
}

#[derive(Serialize)]
struct HostResult<'a> {
    ip: IpAddr,
    bk_cloud_id: i64,
    status: Status,
    outcome: Option<&'static str>,
    failure: Option<FailureResult<'a>>,
    attempts: u32,
    bytes_sent: u64,
    seconds: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    exception: Option<Exception>,
}

#[derive(Serialize)]
struct FailureResult<'a> {
    class: FailureClass,
    code: &'a str,
    step: Option<StepKind>,
    #[serde(skip_serializing_if = "Option::is_none")]
    subject: Option<String>,
    message: &'a str,
    remedy: &'a str,
}

impl<'a> From<&'a JobView> for JobResult<'a> {
    fn from(job: &'a JobView) -> Self {
        let hosts = job.list.iter().map(HostResult::from).collect();
        Self { job_id: job.job_id, status: job.line.status, statistics: job.line.statistics, hosts }
    }
}

impl<'a> From<&'a HostView> for HostResult<'a> {
    fn from(host: &'a HostView) -> Self {
        Self {
            ip: host.ip,
            bk_cloud_id: host.bk_cloud_id,
            status: host.status,
            outcome: host.outcome,
            failure: host.failure.as_ref().map(FailureResult::from),
            attempts: host.attempts,
            bytes_sent: host.bytes_sent,
            seconds: host.cost_time.map(|seconds| (seconds * 1000.0).round() / 1000.0),
            exception: host.exclusion.as_ref().map(|exclusion| exclusion.exception),
        }
    }
}

impl<'a> From<&'a Failure> for FailureResult<'a> {
    fn from(failure: &'a Failure) -> Self {
        let Failure { class, step, message, remedy, .. } = failure;
        let subject = step.as_ref().and_then(StepKind::plugin).map(ToString::to_string);
        Self { class: *class, code: &failure.code, step: *step, subject, message, remedy }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::report::sample;

    #[test]
    fn the_result_has_the_promised_keys_and_ignored_hosts_their_exception() {
        let job = sample::job(&[Status::Success, Status::Failed, Status::Ignored]);
        let result = serde_json::to_value(JobResult::from(&job)).unwrap();
        assert_eq!(result["job_id"], 1);
        assert_eq!(result["status"], "PART_FAILED");
        assert_eq!(result["statistics"]["ignored_count"], 1);
        let hosts = result["hosts"].as_array().unwrap();
        let keys: Vec<_> = hosts[0].as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(keys.len(), 8, "{keys:?}");
        assert_eq!((hosts[0]["outcome"].as_str(), hosts[0]["failure"].is_null()), (Some("succeeded"), true));
        let failure: Vec<_> = hosts[1]["failure"].as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(failure.len(), 5, "{failure:?}");
        assert_eq!((hosts[2]["exception"].as_str(), hosts[2]["outcome"].is_null()), (Some("duplicate"), true));
    }
}
