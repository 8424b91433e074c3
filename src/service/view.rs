//! What the record shows of a job: lists, details, logs. Keys are the published API's (`reference/upstream.md` 3.1 to 3.3),
//! with ours beside them; the terminal's tables and `--output json` are both made from these.

use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use serde::Serialize;

use super::{Service, ServiceError};
use crate::domain::Timestamp;
use crate::domain::admission::Exclusion;
use crate::domain::event::{Event, Figures};
use crate::domain::failure::Failure;
use crate::domain::host::{Address, Os};
use crate::domain::id::{JobId, Seq, TaskId};
use crate::domain::job::{JobKind, Statistics, Status};
use crate::domain::outcome::{Outcome, StepOutcome};
use crate::domain::plan::StepKind;
use crate::domain::record::{HostRecord, StepRecord};
use crate::domain::site::Site;
use crate::domain::state::HostState;
use crate::store::page::Known;
use crate::store::{JobRow, OutputChunk, TaskRow};

/// One job in a list.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub struct JobLine {
    /// Its number.
    #[schema(value_type = i64)]
    pub id: JobId,
    /// Its kind.
    pub job_type: JobKind,
    /// Its status.
    pub status: Status,
    /// Its hosts by status.
    pub statistics: Statistics,
    /// Who asked for it.
    pub created_by: String,
    /// When it was recorded.
    #[schema(value_type = String, format = DateTime)]
    pub start_time: Timestamp,
    /// When its last host ended.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub end_time: Option<Timestamp>,
    /// Seconds it took.
    pub cost_time: Option<f64>,
    /// The businesses of its hosts.
    pub bk_biz_scope: Vec<i64>,
    /// What it does to what.
    #[serde(flatten)]
    pub meta: JobMeta,
}

/// What a job does to what, in upstream's words.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub struct JobMeta {
    /// `AGENT` or `PROXY`.
    pub step_type: String,
    /// `INSTALL`, `RESTART` ...
    pub op_type: String,
}

impl From<JobKind> for JobMeta {
    fn from(kind: JobKind) -> Self {
        let (op_type, step_type) = kind.wire_name().split_once('_').unwrap_or_default();
        Self { step_type: step_type.into(), op_type: op_type.into() }
    }
}

impl From<&JobRow> for JobLine {
    fn from(row: &JobRow) -> Self {
        Self {
            id: row.id,
            job_type: row.spec.kind,
            status: row.status,
            statistics: row.statistics,
            created_by: row.created_by.clone(),
            start_time: row.created_at,
            end_time: row.finished_at,
            cost_time: row.finished_at.map(|end| seconds(row.created_at, end)),
            bk_biz_scope: row.spec.businesses.clone(),
            meta: row.spec.kind.into(),
        }
    }
}

/// The data of a job list.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub struct JobList {
    /// Jobs on all pages.
    pub total: u64,
    /// Those of this page; the newest first unless asked otherwise.
    pub list: Vec<JobLine>,
}

/// The data of a job's details.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub struct JobView {
    /// Its number.
    #[schema(value_type = i64)]
    pub job_id: JobId,
    /// Everything the list shows.
    #[serde(flatten)]
    pub line: JobLine,
    /// Once more, where upstream's clients look for it.
    pub meta: JobMeta,
    /// Hosts on all pages.
    pub total: u64,
    /// Inner addresses of the hosts that were left out.
    #[schema(value_type = Vec<String>)]
    pub ip_filter_list: Vec<IpAddr>,
    /// Its hosts, in the order of the request.
    pub list: Vec<HostView>,
    /// Does a live process work on it? Its process id.
    pub held_by: Option<u32>,
}

/// One host in a job's details.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub struct HostView {
    /// `host|instance|host|<ip>-<cloud>-0`, or with the host's id.
    pub instance_id: String,
    /// Inner address.
    #[schema(value_type = String)]
    pub ip: IpAddr,
    /// Its cloud.
    pub bk_cloud_id: i64,
    /// Its number: the request's, else the inventory's.
    pub bk_host_id: Option<i64>,
    /// Its business.
    pub bk_biz_id: i64,
    /// Where it is, further.
    #[serde(flatten)]
    pub place: Place,
    /// As requested, or as found.
    pub os_type: Option<Os>,
    /// Wire status.
    pub status: Status,
    /// One phrase for people.
    pub status_display: String,
    /// The step it is in, or ended in.
    pub step: Option<StepKind>,
    /// `succeeded`, `failed` ... once it ended.
    pub outcome: Option<&'static str>,
    /// Why it failed.
    pub failure: Option<Failure>,
    /// Why it was left out.
    #[serde(flatten)]
    pub exclusion: Option<Exclusion>,
    /// Tries of the host task.
    pub attempts: u32,
    /// Payload bytes sent.
    pub bytes_sent: u64,
    /// When an executor took it.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub start_time: Option<Timestamp>,
    /// When it ended.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub end_time: Option<Timestamp>,
    /// Seconds it took.
    pub cost_time: Option<f64>,
    /// Its steps.
    pub steps: Vec<StepView>,
    /// Its identity in the record.
    #[serde(skip)]
    pub task: TaskId,
}

/// Where a host is, under the published keys.
#[derive(Clone, Debug, Default, Serialize, utoipa::ToSchema)]
pub struct Place {
    /// Inner address, v4.
    #[schema(value_type = Option<String>)]
    pub inner_ip: Option<Ipv4Addr>,
    /// Inner address, v6.
    #[schema(value_type = Option<String>)]
    pub inner_ipv6: Option<Ipv6Addr>,
    /// Name of its cloud.
    pub bk_cloud_name: String,
    /// Name of its business.
    pub bk_biz_name: String,
    /// Its access point.
    pub ap_id: i64,
    /// Is it installed by a person?
    pub is_manual: bool,
    /// Was it left out?
    pub filter_host: bool,
}

/// One step of a host in a job's details.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub struct StepView {
    /// Which.
    pub step: StepKind,
    /// Wire status: PENDING, RUNNING, SUCCESS or FAILED.
    pub status: Status,
    /// First start.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub start_time: Option<Timestamp>,
    /// Last end.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub finish_time: Option<Timestamp>,
    /// Tries.
    pub attempts: u32,
    /// How it ended: nothing changed, warned, skipped ...
    pub detail: Option<String>,
    /// Figures.
    pub figures: Figures,
}

/// One step of a host's log.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub struct StepLog {
    /// Which.
    pub step: StepKind,
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

fn seconds(from: Timestamp, to: Timestamp) -> f64 {
    to.duration_since(from).as_secs_f64().max(0.0)
}

/// How many events are read at a time: bounds memory, not the job.
const PAGE: u32 = 5_000;

impl Service {
    /// The newest jobs.
    ///
    /// # Errors
    /// When the record cannot be read.
    pub async fn jobs(&self, limit: u32) -> Result<JobList, ServiceError> {
        let list: Vec<JobLine> = self.store.jobs(limit).await?.iter().map(JobLine::from).collect();
        Ok(JobList { total: list.len() as u64, list })
    }

    /// A job with all its hosts and steps; `None` when there is no such job.
    ///
    /// # Errors
    /// When the record cannot be read.
    pub async fn job(&self, id: JobId) -> Result<Option<JobView>, ServiceError> {
        let Some(row) = self.store.job(id).await? else { return Ok(None) };
        let tasks = self.store.tasks(id).await?;
        let records = self.records(id).await?;
        let list = self.views(&tasks, &records).await?;
        let line = JobLine::from(&row);
        let ip_filter_list = list.iter().filter(|host| host.place.filter_host).map(|host| host.ip).collect();
        let (meta, total, held_by) = (line.meta.clone(), list.len() as u64, self.store.holder(id).await?);
        Ok(Some(JobView { job_id: id, line, meta, total, ip_filter_list, list, held_by }))
    }

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

    /// Hosts as they are shown.
    pub(super) async fn views(
        &self,
        tasks: &[TaskRow],
        records: &BTreeMap<u32, HostRecord>,
    ) -> Result<Vec<HostView>, ServiceError> {
        // Who came without a number may have got one since.
        let unnumbered = tasks.iter().filter(|task| task.spec.host.bk_host_id.is_none());
        let places: Vec<Address> = unnumbered.map(|task| task.address).collect();
        let ids: HashMap<Address, i64> = self.store.host_ids(Known::At(&places)).await?.into_iter().collect();
        let empty = HostRecord::default();
        let view = |task: &TaskRow| HostView {
            bk_host_id: task.spec.host.bk_host_id.or_else(|| ids.get(&task.address).copied()),
            ..host_view(task, records.get(&task.index).unwrap_or(&empty), &self.site)
        };
        Ok(tasks.iter().map(view).collect())
    }

    /// The journals of a job's hosts, folded.
    async fn records(&self, id: JobId) -> Result<BTreeMap<u32, HostRecord>, ServiceError> {
        let mut records: BTreeMap<u32, HostRecord> = BTreeMap::new();
        let mut after = Seq(0);
        loop {
            let events: Vec<Event> = self.store.events(id, after, PAGE).await?;
            let Some(last) = events.last() else { return Ok(records) };
            after = last.seq;
            apply(&mut records, &events)?;
        }
    }
}

/// Journals of hosts, folded, by position in the request.
pub(super) fn fold(events: &[Event]) -> Result<BTreeMap<u32, HostRecord>, ServiceError> {
    let mut records = BTreeMap::new();
    apply(&mut records, events)?;
    Ok(records)
}

fn apply(records: &mut BTreeMap<u32, HostRecord>, events: &[Event]) -> Result<(), ServiceError> {
    for event in events {
        if let Some(index) = event.host_index {
            records.entry(index).or_default().apply(&event.kind, event.at)?;
        }
    }
    Ok(())
}

/// The log of each step of a host.
pub(super) fn step_logs(task: &TaskRow, record: &HostRecord, chunks: &[OutputChunk]) -> Vec<StepLog> {
    let mut output: BTreeMap<StepKind, Vec<u8>> = BTreeMap::new();
    for chunk in chunks {
        let text = output.entry(chunk.step).or_default();
        mark_gap(text, chunk.offset);
        text.extend_from_slice(&chunk.data);
    }
    let log = |view: StepView| StepLog {
        step: view.step,
        status: view.status,
        start_time: view.start_time,
        finish_time: view.finish_time,
        log: step_log(record.step(view.step), output.get(&view.step).map_or(&[], Vec::as_slice)),
    };
    step_views(task, record).into_iter().map(log).collect()
}

/// Marks where the record left output out: the text so far ends before `offset`.
fn mark_gap(text: &mut Vec<u8>, offset: u64) {
    let have = text.len() as u64;
    if offset > have && have > 0 && !text.ends_with(b"...\n") && offset - have > 0 {
        text.extend_from_slice(format!("\n... {} bytes left out ...\n", offset - have).as_bytes());
    }
}

/// What the API calls a host of a job.
pub(super) fn instance_id(task: &TaskRow) -> String {
    match task.spec.host.bk_host_id {
        Some(id) => format!("host|instance|host|{id}"),
        None => format!("host|instance|host|{}-{}-0", task.address.ip, task.address.cloud),
    }
}

fn host_view(task: &TaskRow, record: &HostRecord, site: &Site) -> HostView {
    let outcome = record.outcome();
    let step = match (&record.state, outcome.and_then(Outcome::failure)) {
        (HostState::Running { step, .. }, _) => Some(*step),
        (_, Some(failure)) => failure.step,
        _ => None,
    };
    HostView {
        instance_id: instance_id(task),
        ip: task.address.ip,
        bk_cloud_id: task.address.cloud,
        bk_host_id: task.spec.host.bk_host_id,
        bk_biz_id: task.spec.host.bk_biz_id,
        place: Place {
            inner_ip: task.spec.host.inner_ip,
            inner_ipv6: task.spec.host.inner_ipv6,
            bk_cloud_name: task.spec.cloud_name.clone(),
            bk_biz_name: site.business_name(task.spec.host.bk_biz_id).to_owned(),
            ap_id: task.spec.host.ap_id,
            is_manual: task.spec.host.is_manual,
            filter_host: record.exclusion.is_some(),
        },
        os_type: task.spec.host.os_type,
        status: record.state.status(),
        status_display: status_display(record),
        step,
        outcome: outcome.map(Outcome::word),
        failure: outcome.and_then(Outcome::failure).cloned(),
        exclusion: record.exclusion.clone(),
        attempts: record.attempts,
        bytes_sent: record.bytes_sent(),
        start_time: record.started,
        end_time: record.finished,
        cost_time: record.started.zip(record.finished).map(|(from, to)| seconds(from, to)),
        steps: step_views(task, record),
        task: task.id,
    }
}

fn status_display(record: &HostRecord) -> String {
    match &record.state {
        HostState::Pending => "waiting".into(),
        HostState::Ready => "between steps".into(),
        HostState::Running { step, attempt: 1 } => format!("{step}"),
        HostState::Running { step, attempt } => format!("{step}, attempt {attempt}"),
        HostState::Finished(Outcome::Succeeded) => "done".into(),
        HostState::Finished(Outcome::Skipped { why }) => format!("nothing to do: {why}"),
        HostState::Finished(Outcome::Failed { failure } | Outcome::Unknown { failure }) => failure.to_string(),
        HostState::Finished(Outcome::Interrupted { why }) => format!("interrupted: {why}"),
        HostState::Finished(Outcome::Terminated { why }) => why.clone(),
        HostState::Finished(Outcome::Removed) => "no longer in the inventory".into(),
        HostState::LeftOut { .. } => {
            record.exclusion.as_ref().map_or_else(String::new, |exclusion| exclusion.message(crate::domain::site::Language::En))
        }
    }
}

/// The steps of the settled plan, else of the outline, each as it went.
fn step_views(task: &TaskRow, record: &HostRecord) -> Vec<StepView> {
    if record.exclusion.is_some() {
        return Vec::new();
    }
    let planned = record.plan.as_ref().map_or(&task.spec.outline, |plan| &plan.steps);
    planned
        .iter()
        .map(|step| match record.step(step.kind) {
            Some(went) if !went.is_past => StepView {
                step: went.step,
                status: step_status(went, &record.state),
                start_time: Some(went.started),
                finish_time: went.finished,
                attempts: went.attempts,
                detail: step_detail(went),
                figures: went.figures.clone(),
            },
            past => StepView {
                step: step.kind,
                status: Status::Pending,
                start_time: None,
                finish_time: None,
                attempts: past.map_or(0, |past| past.attempts),
                detail: None,
                figures: Figures::default(),
            },
        })
        .collect()
}

fn step_status(step: &StepRecord, host: &HostState) -> Status {
    match &step.outcome {
        Some(outcome) if outcome.is_done() => Status::Success,
        Some(_) => Status::Failed,
        // A host that failed in this step has no StepFinished for it when the connection went first.
        None if host.is_terminal() => Status::Failed,
        None => Status::Running,
    }
}

fn step_detail(step: &StepRecord) -> Option<String> {
    match &step.outcome {
        Some(StepOutcome::Done { changed: true }) => step.figures.detail.clone(),
        // Between two tries, or given up there: why the last one failed.
        None => step.failures.last().map(ToString::to_string),
        Some(StepOutcome::Done { changed: false }) => Some(step.figures.detail.clone().unwrap_or_else(|| "nothing to do".into())),
        Some(StepOutcome::Warned { message }) => Some(message.clone()),
        Some(StepOutcome::Skipped { why }) => Some(why.clone()),
        Some(StepOutcome::Failed { failure }) => Some(failure.to_string()),
    }
}

/// What the record knows of a step, then what the target printed.
fn step_log(step: Option<&StepRecord>, output: &[u8]) -> String {
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
    log.push_str(&String::from_utf8_lossy(output));
    log
}
