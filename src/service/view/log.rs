//! What the steps of hosts did and what the hosts printed, as one text a step.

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde::Serialize;

use super::{instance_id, step_detail, step_views};
use crate::domain::Timestamp;
use crate::domain::id::JobId;
use crate::domain::job::Status;
use crate::domain::outcome::StepOutcome;
use crate::domain::plan::StepKind;
use crate::domain::record::{HostRecord, StepRecord};
use crate::domain::text;
use crate::service::view::StepView;
use crate::service::{Service, ServiceError};
use crate::store::{OutputChunk, TaskRow};

/// One step of a host's log.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub struct StepLog {
    /// Which.
    pub step: StepKind,
    /// The plugin it is about, where there may be several steps of a kind.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// The step for people: with plugin and version.
    pub node_name: String,
    /// Wire status.
    pub status: Status,
    /// First start.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub start_time: Option<Timestamp>,
    /// Last end.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub finish_time: Option<Timestamp>,
    /// What happened and what the target printed, one line each.
    pub log: String,
}

/// The log of one host.
#[derive(Clone, Debug, Serialize)]
pub struct HostLog {
    /// Its instance id.
    pub instance_id: String,
    /// Inner address.
    pub ip: IpAddr,
    /// Its cloud.
    pub bk_cloud_id: i64,
    /// Its steps.
    pub steps: Vec<StepLog>,
}

impl Service {
    /// The logs of a job's hosts, of all or of the one with address `host`.
    ///
    /// # Errors
    /// When the record cannot be read.
    pub async fn logs(&self, id: JobId, host: Option<IpAddr>) -> Result<Option<Vec<HostLog>>, ServiceError> {
        if self.store.job(id).await?.is_none() {
            return Ok(None);
        }
        let mut records = self.records(id).await?;
        let mut logs = Vec::new();
        for task in self.store.tasks(id).await? {
            if host.is_some_and(|host| host != task.address.ip) {
                continue;
            }
            let record = records.remove(&task.index).unwrap_or_default();
            let steps = step_logs(&task, &record, &self.store.output(task.id).await?);
            logs.push(HostLog { instance_id: instance_id(&task), ip: task.address.ip, bk_cloud_id: task.address.cloud, steps });
        }
        Ok(Some(logs))
    }
}

/// The log of each step of a host.
pub(in crate::service) fn step_logs(task: &TaskRow, record: &HostRecord, chunks: &[OutputChunk]) -> Vec<StepLog> {
    let mut output: BTreeMap<StepKind, Vec<u8>> = BTreeMap::new();
    let mut ends: BTreeMap<(StepKind, u32), u64> = BTreeMap::new();
    for chunk in chunks {
        let text = output.entry(chunk.step).or_default();
        join(text, ends.entry((chunk.step, chunk.attempt)).or_default(), chunk);
    }
    let page = record.plan.as_ref().and_then(|plan| plan.codepage);
    let log = |view: StepView| StepLog {
        step: view.step,
        subject: view.subject,
        node_name: view.node_name,
        status: view.status,
        start_time: view.start_time,
        finish_time: view.finish_time,
        log: step_log(record.step(view.step), &text::decoded_from(output.get(&view.step).map_or(&[], Vec::as_slice), page)),
    };
    step_views(task, record).into_iter().map(log).collect()
}

/// Adds a piece to the output of its attempt, which was had up to `end`. What the record left out is marked; what a second
/// connection brought once more is there already.
fn join(text: &mut Vec<u8>, end: &mut u64, piece: &OutputChunk) {
    if piece.offset > *end {
        text.extend_from_slice(format!("\n... {} bytes left out ...\n", piece.offset - *end).as_bytes());
    }
    let again = usize::try_from(end.saturating_sub(piece.offset)).unwrap_or(usize::MAX);
    text.extend_from_slice(piece.data.get(again..).unwrap_or_default());
    *end = (*end).max(piece.offset.saturating_add(piece.data.len() as u64));
}

/// What the record knows of a step, then what the target printed.
fn step_log(step: Option<&StepRecord>, output: &str) -> String {
    let mut log = String::new();
    let mut say = |line: String| {
        log.push_str(&line);
        log.push('\n');
    };
    for failure in step.map_or(&[][..], |step| &step.failures) {
        say(format!("[landfall] attempt failed: {failure}"));
    }
    // Without an end its detail is the failure that stands above.
    if let Some(detail) = step.filter(|step| step.outcome.is_some()).and_then(step_detail) {
        say(format!("[landfall] {detail}"));
    }
    if let Some(StepOutcome::Failed { failure }) = step.and_then(|step| step.outcome.as_ref()) {
        say(format!("[landfall] remedy: {}", failure.remedy));
        if output.is_empty() && !failure.tail.is_empty() {
            say(failure.tail.clone());
        }
    }
    log.push_str(output);
    log
}
