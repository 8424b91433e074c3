//! What the doors ask: jobs, host tasks, events, busy hosts.
//!
//! Never here: writing. Statistics and status are read in one snapshot (a session), so they never contradict each other.

use std::collections::HashMap;

use sqlx::FromRow;

use super::session::{Session, hosts, numbers, query};
use crate::domain::event::{EVENT_VERSION, Event, HostRef};
use crate::domain::host::Address;
use crate::domain::id::{Epoch, JobId, Seq};
use crate::domain::job::{Statistics, Status};
use crate::store::row::{corrupt, ip, moment, number, of_json, status, task_id};
use crate::store::{JobRow, StoreError, TaskRow};

/// A row of `job`.
#[derive(FromRow)]
pub(super) struct JobRecord {
    id: i64,
    spec: String,
    created_by: String,
    served: i64,
    created_at: i64,
    finished_at: Option<i64>,
    status: Option<String>,
}

/// A row of `host_task`.
#[derive(FromRow)]
pub(super) struct TaskRecord {
    id: String,
    host_index: i64,
    job_id: i64,
    cloud: i64,
    ip: String,
    spec: String,
    status: String,
    epoch: i64,
    cancel_asked: i64,
}

impl TryFrom<TaskRecord> for TaskRow {
    type Error = StoreError;

    fn try_from(record: TaskRecord) -> Result<Self, StoreError> {
        Ok(Self {
            id: task_id(&record.id)?,
            index: number("index", record.host_index)?,
            job: JobId(record.job_id),
            address: Address { cloud: record.cloud, ip: ip(&record.ip)? },
            spec: of_json("host task", &record.spec)?,
            status: status(&record.status)?,
            epoch: Epoch(record.epoch),
            cancel_asked: record.cancel_asked != 0,
        })
    }
}

/// A row of `event`, with the address of its host.
#[derive(FromRow)]
pub(super) struct EventRecord {
    seq: i64,
    host_index: Option<i64>,
    at: i64,
    version: i64,
    body: String,
    cloud: Option<i64>,
    ip: Option<String>,
}

impl EventRecord {
    pub(super) fn event(self, job: JobId) -> Result<Event, StoreError> {
        if self.version != i64::from(EVENT_VERSION) {
            return Err(corrupt(format!(
                "event {} of job {job} has version {}, this release reads {EVENT_VERSION}",
                self.seq, self.version
            )));
        }
        let host = match (self.cloud, &self.ip) {
            (Some(cloud), Some(text)) => Some(HostRef::from(Address { cloud, ip: ip(text)? })),
            _ => None,
        };
        Ok(Event {
            seq: Seq(self.seq),
            at: moment(self.at)?,
            job_id: job,
            host_index: self.host_index.map(|index| number("index", index)).transpose()?,
            host,
            kind: of_json("event", &self.body)?,
        })
    }
}

/// One job.
pub(super) async fn job(on: &mut Session, id: JobId) -> Result<Option<JobRow>, StoreError> {
    let record: Option<JobRecord> =
        query("select id, spec, created_by, served, created_at, finished_at, status from job where id = $1")
            .bind(id.0)
            .optional(on, "read a job")
            .await?;
    let rows = with_hosts(on, record.into_iter().collect()).await?;
    Ok(rows.into_iter().next())
}

/// The newest jobs first.
pub(super) async fn jobs(on: &mut Session, limit: u32) -> Result<Vec<JobRow>, StoreError> {
    let records: Vec<JobRecord> =
        query("select id, spec, created_by, served, created_at, finished_at, status from job order by id desc limit $1")
            .bind(i64::from(limit))
            .all(on, "list jobs")
            .await?;
    with_hosts(on, records).await
}

/// Adds what their hosts say to jobs.
pub(super) async fn with_hosts(on: &mut Session, records: Vec<JobRecord>) -> Result<Vec<JobRow>, StoreError> {
    let counts: Vec<(i64, String, i64)> =
        query("select job_id, status, count(*) from host_task where job_id in list($1) group by job_id, status")
            .list(numbers(records.iter().map(|record| record.id)))
            .all(on, "count hosts")
            .await?;
    let mut hosts: HashMap<i64, Vec<(Status, usize)>> = HashMap::new();
    for (job, word, count) in counts {
        hosts.entry(job).or_default().push((status(&word)?, number("count", count)?));
    }
    let row = |record: JobRecord| {
        let counts = hosts.get(&record.id).map(Vec::as_slice).unwrap_or_default();
        let each = || counts.iter().flat_map(|(status, count)| std::iter::repeat_n(*status, *count));
        Ok(JobRow {
            id: JobId(record.id),
            spec: of_json("job", &record.spec)?,
            created_by: record.created_by,
            served: record.served != 0,
            created_at: moment(record.created_at)?,
            finished_at: record.finished_at.map(moment).transpose()?,
            statistics: Statistics::of(each()),
            status: record.status.as_deref().map_or_else(|| Ok(Status::fold(each())), status)?,
        })
    };
    records.into_iter().map(row).collect()
}

/// The host tasks of a job, in the order of the request.
pub(super) async fn tasks(on: &mut Session, job: JobId) -> Result<Vec<TaskRow>, StoreError> {
    query(
        "select id, host_index, job_id, cloud, ip, spec, status, epoch, cancel_asked from host_task
         where job_id = $1 order by host_index",
    )
    .bind(job.0)
    .each(on, "read host tasks", |record: TaskRecord| TaskRow::try_from(record))
    .await
}

/// Events after a cursor, in order of `seq`.
pub(super) async fn events(on: &mut Session, job: JobId, after: Seq, limit: u32) -> Result<Vec<Event>, StoreError> {
    query(
        "select e.seq, e.host_index, e.at, e.version, e.body, t.cloud, t.ip
         from event e left join host_task t on t.job_id = e.job_id and t.host_index = e.host_index
         where e.job_id = $1 and e.seq > $2 order by e.seq limit $3",
    )
    .bind(job.0)
    .bind(after.0)
    .bind(i64::from(limit))
    .each(on, "read events", |record: EventRecord| record.event(job))
    .await
}

/// Which of these hosts an unfinished job holds, in the order they were asked.
pub(super) async fn held(on: &mut Session, asked: &[Address]) -> Result<Vec<(Address, JobId)>, StoreError> {
    // `cross join` keeps SQLite from walking all open hosts: each host asked for is one look into the partial index.
    query(
        "select t.cloud, t.ip, t.job_id from pairs($1) asked cross join host_task t
         where t.open = 1 and t.cloud = asked.number and t.ip = asked.word order by asked.place",
    )
    .list(hosts(asked)?)
    .each(on, "look for busy hosts", |(cloud, text, job): (i64, String, i64)| Ok((Address { cloud, ip: ip(&text)? }, JobId(job))))
    .await
}
