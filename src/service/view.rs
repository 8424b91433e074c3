//! What the record shows of a job: lists, details, logs. Keys are the published API's (`reference/upstream.md` 3.1 to 3.3),
//! with ours beside them; the terminal's tables and `--output json` are both made from these.

mod log;
pub mod words;

use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use serde::Serialize;

use super::{Service, ServiceError};
use crate::domain::Timestamp;
use crate::domain::admission::Exclusion;
use crate::domain::audit::AuditLine;
use crate::domain::event::{Event, Figures};
use crate::domain::failure::Failure;
use crate::domain::host::{Address, Os};
use crate::domain::id::{JobId, Seq, TaskId};
use crate::domain::job::{JobKind, Statistics, Status};
use crate::domain::outcome::{Outcome, StepOutcome};
use crate::domain::plan::StepKind;
use crate::domain::record::{HostRecord, StepRecord};
use crate::domain::site::{Language, Site};
use crate::domain::state::HostState;
use crate::store::page::Known;
use crate::store::{JobRow, TaskRow};

pub(super) use log::step_logs;
pub use log::{HostLog, StepLog};

/// One job in a list.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub struct JobLine {
    /// Its number.
    #[schema(value_type = i64)]
    pub id: JobId,
    /// Its kind.
    pub job_type: JobKind,
    /// The same for people.
    pub job_type_display: String,
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
    /// Their names, where the site has them.
    pub bk_biz_scope_display: Vec<String>,
    /// What it does to what.
    #[serde(flatten)]
    pub meta: JobMeta,
}

/// What a job does to what, in upstream's words and for people.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub struct JobMeta {
    /// `AGENT` or `PROXY`.
    pub step_type: String,
    /// The same for people.
    pub step_type_display: &'static str,
    /// `INSTALL`, `RESTART` ...
    pub op_type: &'static str,
    /// The same for people.
    pub op_type_display: &'static str,
}

impl JobMeta {
    /// Of a kind.
    #[must_use]
    pub fn of(kind: JobKind, language: Language) -> Self {
        let step_type_display = words::step_type_display(kind);
        Self {
            step_type: step_type_display.to_uppercase(),
            step_type_display,
            op_type: words::op_type(kind),
            op_type_display: words::op_type_display(kind, language),
        }
    }
}

impl JobLine {
    pub(super) fn of(row: &JobRow, site: &Site, language: Language) -> Self {
        let named = |id: &i64| match site.business_name(*id) {
            "" => id.to_string(),
            name => name.to_owned(),
        };
        Self {
            id: row.id,
            job_type: row.spec.kind,
            job_type_display: words::job_type_display(row.spec.kind, language),
            status: row.status,
            statistics: row.statistics,
            created_by: row.created_by.clone(),
            start_time: row.created_at,
            end_time: row.finished_at,
            cost_time: row.finished_at.map(|end| seconds(row.created_at, end)),
            bk_biz_scope: row.spec.businesses.clone(),
            bk_biz_scope_display: row.spec.businesses.iter().map(named).collect(),
            meta: JobMeta::of(row.spec.kind, language),
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
    pub meta: DetailMeta,
    /// Hosts on all pages.
    pub total: u64,
    /// Inner addresses of the hosts that were left out.
    #[schema(value_type = Vec<String>)]
    pub ip_filter_list: Vec<IpAddr>,
    /// Its hosts, in the order of the request.
    pub list: Vec<HostView>,
    /// Does a live process work on it? Its process id.
    pub held_by: Option<u32>,
    /// Who asked for what. For the terminal only: the callers of one app would read of another's.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(ignore)]
    pub audit: Option<Vec<AuditLine>>,
}

/// What a job's details say of its kind.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub struct DetailMeta {
    /// Upstream has plugins here as well; ours are `AGENT` and `PROXY`.
    pub r#type: String,
    /// The rest.
    #[serde(flatten)]
    pub kind: JobMeta,
}

impl From<&JobMeta> for DetailMeta {
    fn from(kind: &JobMeta) -> Self {
        Self { r#type: kind.step_type.clone(), kind: kind.clone() }
    }
}

/// One host in a job's details.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub struct HostView {
    /// `host|instance|host|<ip>-<cloud>-0`, or with the host's id.
    pub instance_id: String,
    /// Its job.
    #[schema(value_type = i64)]
    pub job_id: JobId,
    /// What is done to it: `INSTALL`, `RESTART` ...
    pub op_type: &'static str,
    /// The same for people.
    pub op_type_display: &'static str,
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
    /// The plugin of that step, where it is one's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// Position of that step among its steps, from 0; -1 without one.
    pub node_id: i64,
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
    /// Its access point; -1 until the nearest was chosen.
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
    /// The plugin it is about, where there may be several steps of a kind.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// The step for people: with plugin and version.
    pub node_name: String,
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

fn seconds(from: Timestamp, to: Timestamp) -> f64 {
    to.duration_since(from).as_secs_f64().max(0.0)
}

/// How many events are read at a time: bounds memory, not the job.
const PAGE: u32 = 5_000;

impl Service {
    /// The newest jobs, as the terminal names things.
    ///
    /// # Errors
    /// When the record cannot be read.
    pub async fn jobs(&self, limit: u32) -> Result<JobList, ServiceError> {
        let line = |row: &JobRow| JobLine::of(row, &self.site, Language::En);
        let list: Vec<JobLine> = self.store.jobs(limit).await?.iter().map(line).collect();
        Ok(JobList { total: list.len() as u64, list })
    }

    /// A job with all its hosts and steps, as the terminal names things; `None` when there is no such job.
    ///
    /// # Errors
    /// When the record cannot be read.
    pub async fn job(&self, id: JobId) -> Result<Option<JobView>, ServiceError> {
        let Some(row) = self.store.job(id).await? else { return Ok(None) };
        let tasks = self.store.tasks(id).await?;
        let records = self.records(id).await?;
        let list = self.views(row.spec.kind, &tasks, &records, Language::En).await?;
        let line = JobLine::of(&row, &self.site, Language::En);
        let ip_filter_list = list.iter().filter(|host| host.place.filter_host).map(|host| host.ip).collect();
        let (meta, total, held_by) = ((&line.meta).into(), list.len() as u64, self.store.holder(id).await?);
        let audit = Some(self.store.audit(id).await?);
        Ok(Some(JobView { job_id: id, line, meta, total, ip_filter_list, list, held_by, audit }))
    }

    /// Hosts as they are shown.
    pub(super) async fn views(
        &self,
        kind: JobKind,
        tasks: &[TaskRow],
        records: &BTreeMap<u32, HostRecord>,
        language: Language,
    ) -> Result<Vec<HostView>, ServiceError> {
        // Who came without a number may have got one since.
        let unnumbered = tasks.iter().filter(|task| task.spec.host.bk_host_id.is_none());
        let places: Vec<Address> = unnumbered.map(|task| task.address).collect();
        let ids: HashMap<Address, i64> = self.store.host_ids(Known::At(&places)).await?.into_iter().collect();
        let empty = HostRecord::default();
        let view = |task: &TaskRow| HostView {
            bk_host_id: task.spec.host.bk_host_id.or_else(|| ids.get(&task.address).copied()),
            ..host_view((kind, language), task, records.get(&task.index).unwrap_or(&empty), &self.site)
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

/// What the API calls a host of a job.
pub(super) fn instance_id(task: &TaskRow) -> String {
    match task.spec.host.bk_host_id {
        Some(id) => format!("host|instance|host|{id}"),
        None => format!("host|instance|host|{}-{}-0", task.address.ip, task.address.cloud),
    }
}

fn host_view((kind, language): (JobKind, Language), task: &TaskRow, record: &HostRecord, site: &Site) -> HostView {
    let outcome = record.outcome();
    let step = match (&record.state, outcome.and_then(Outcome::failure)) {
        (HostState::Running { step, .. }, _) => Some(*step),
        (_, Some(failure)) => failure.step,
        _ => None,
    };
    let steps = step_views(task, record);
    let at = step.and_then(|current| steps.iter().position(|view| view.step == current));
    HostView {
        instance_id: instance_id(task),
        job_id: task.job,
        op_type: words::op_type(kind),
        op_type_display: words::op_type_display(kind, language),
        ip: task.address.ip,
        bk_cloud_id: task.address.cloud,
        bk_host_id: task.spec.host.bk_host_id,
        bk_biz_id: task.spec.host.bk_biz_id,
        place: Place {
            inner_ip: task.spec.host.inner_ip,
            inner_ipv6: task.spec.host.inner_ipv6,
            bk_cloud_name: task.spec.cloud_name.clone(),
            bk_biz_name: site.business_name(task.spec.host.bk_biz_id).to_owned(),
            ap_id: record
                .plan
                .as_ref()
                .and_then(|plan| plan.access_point.as_ref())
                .map_or(task.spec.host.ap_id, |point| point.id),
            is_manual: task.spec.host.is_manual,
            filter_host: record.exclusion.is_some(),
        },
        os_type: task.spec.host.os_type,
        status: record.state.status(),
        status_display: words::status_display(record, language),
        step,
        subject: step.as_ref().and_then(subject),
        node_id: at.and_then(|at| i64::try_from(at).ok()).unwrap_or(-1),
        outcome: outcome.map(Outcome::word),
        failure: outcome.and_then(Outcome::failure).cloned(),
        exclusion: record.exclusion.clone(),
        attempts: record.attempts,
        bytes_sent: record.bytes_sent(),
        start_time: record.started,
        end_time: record.finished,
        cost_time: record.started.zip(record.finished).map(|(from, to)| seconds(from, to)),
        steps,
        task: task.id,
    }
}

/// The steps of the settled plan, else of the outline, each as it went.
fn step_views(task: &TaskRow, record: &HostRecord) -> Vec<StepView> {
    if record.exclusion.is_some() {
        return Vec::new();
    }
    let planned = record.plan.as_ref().map_or(&task.spec.outline, |plan| &plan.steps);
    let name = |step: StepKind| record.plan.as_ref().map_or_else(|| step.to_string(), |plan| plan.name_of(step));
    planned
        .iter()
        .map(|step| match record.step(step.kind) {
            Some(went) if !went.is_past => StepView {
                step: went.step,
                subject: subject(&went.step),
                node_name: name(went.step),
                status: step_status(went, &record.state),
                start_time: Some(went.started),
                finish_time: went.finished,
                attempts: went.attempts,
                detail: step_detail(went),
                figures: went.figures.clone(),
            },
            past => StepView {
                step: step.kind,
                subject: subject(&step.kind),
                node_name: name(step.kind),
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

/// The plugin of a step, where it is one's.
pub(super) fn subject(step: &StepKind) -> Option<String> {
    step.plugin().map(ToString::to_string)
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
