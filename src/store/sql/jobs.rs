//! Jobs as they come in and are taken: [`create`] and [`claim`].
//!
//! Never here: reading them (`queries`) and what happens to them later (`journal`).

use std::collections::HashSet;

use super::credentials::{self, SealedRow};
use super::insert::{Target, insert};
use super::journal::{self, EventRow};
use super::queries::{self, TaskRecord};
use super::session::{Session, query, words};
use super::{Record, computed, outage};
use crate::domain::Timestamp;
use crate::domain::event::EventKind;
use crate::domain::host::Address;
use crate::domain::id::{Epoch, JobId, TaskId};
use crate::domain::job::Status;
use crate::store::row::{corrupt, json, micros};
use crate::store::seal::Seal;
use crate::store::{NewHost, NewJob, StoreError, TaskRow};

/// Records a job in one transaction.
pub(super) async fn create(record: &Record, job: NewJob, at: Timestamp) -> Result<JobId, StoreError> {
    let seal = record.seal.clone();
    let draft = computed(move || Draft::of(job, at, &seal)).await?;
    outage::again(|| draft.record(record)).await
}

/// A new job as rows, made before the transaction begins: ten thousand seals must not keep other writers waiting.
struct Draft {
    spec: String,
    created_by: String,
    created_at: i64,
    tasks: Vec<TaskDraft>,
    /// Hosts the job will hold.
    held: Vec<Address>,
    credentials: Vec<SealedRow>,
    /// Bodies of the first events, with the host each is about.
    events: Vec<(Option<u32>, String)>,
}

struct TaskDraft {
    id: TaskId,
    index: u32,
    address: Address,
    left_out: Option<Status>,
    spec: String,
}

impl Draft {
    fn of(job: NewJob, at: Timestamp, seal: &Seal) -> Result<Self, StoreError> {
        let ignored = job.hosts.iter().filter(|host| host.exclusion.is_some()).count() as u64;
        let hosts = job.hosts.len() as u64 - ignored;
        let accepted = EventKind::JobAccepted { job_type: job.spec.kind, hosts, ignored };
        let mut draft = Self {
            spec: json("job", &job.spec)?,
            created_by: job.created_by,
            created_at: micros(at),
            tasks: Vec::with_capacity(job.hosts.len()),
            held: Vec::new(),
            credentials: Vec::new(),
            events: vec![(None, json("event", &accepted)?)],
        };
        for (host, index) in job.hosts.into_iter().zip(0u32..) {
            draft.add(host, index, seal)?;
        }
        let mut seen = HashSet::new();
        if let Some(twice) = draft.held.iter().find(|host| !seen.insert(**host)) {
            return Err(StoreError::Conflict(format!("host {twice} stands twice in the job")));
        }
        Ok(draft)
    }

    fn add(&mut self, host: NewHost, index: u32, seal: &Seal) -> Result<(), StoreError> {
        let nowhere = || corrupt(format!("host {index} of the new job has no inner address"));
        let address = host.spec.host.address().ok_or_else(nowhere)?;
        if let Some(credential) = &host.credential {
            let sealed = seal.seal(host.id, credential)?;
            self.credentials.push(SealedRow::new(host.id, sealed, host.spec.host.retention, self.created_at));
        }
        let left_out = host.exclusion.as_ref().map(|exclusion| exclusion.exception.status());
        match host.exclusion {
            Some(exclusion) => self.events.push((Some(index), json("event", &EventKind::HostIgnored { exclusion })?)),
            None => self.held.push(address),
        }
        self.tasks.push(TaskDraft { id: host.id, index, address, left_out, spec: json("host task", &host.spec)? });
        Ok(())
    }

    /// In one transaction.
    async fn record(&self, record: &Record) -> Result<JobId, StoreError> {
        let mut tx = record.begin().await?;
        tx.queue_for_hosts().await?;
        let held = queries::held(&mut tx, &self.held).await?;
        if let Some((host, job)) = held.first() {
            let more = if held.len() > 1 { format!(" (and {} more hosts are held)", held.len() - 1) } else { String::new() };
            return Err(StoreError::Conflict(format!("host {host} is held by unfinished job {job}{more}")));
        }
        let id = self.insert_job(&mut tx).await?;
        self.insert_tasks(&mut tx, id).await?;
        credentials::insert_rows(&mut tx, &record.seal, &self.credentials).await?;
        journal::insert_events(&mut tx, &self.events_of(id)).await?;
        tx.commit("commit a new job").await?;
        Ok(id)
    }

    async fn insert_job(&self, tx: &mut Session) -> Result<JobId, StoreError> {
        let next_seq = self.events.len() as i64 + 1;
        let id: i64 = query("insert into job (next_seq, created_by, created_at, spec) values ($1, $2, $3, $4) returning id")
            .bind(next_seq)
            .bind(self.created_by.as_str())
            .bind(self.created_at)
            .bind(self.spec.as_str())
            .one(tx, "insert a job")
            .await?;
        Ok(JobId(id))
    }

    async fn insert_tasks(&self, tx: &mut Session, job: JobId) -> Result<(), StoreError> {
        let table = "host_task (id, job_id, host_index, cloud, ip, status, epoch, open, spec)";
        insert(tx, Target { table, tail: "" }, &self.tasks, |task| {
            [
                task.id.to_string().into(),
                job.0.into(),
                i64::from(task.index).into(),
                task.address.cloud.into(),
                task.address.ip.to_string().into(),
                task.left_out.unwrap_or(Status::Pending).word().into(),
                Epoch::default().0.into(),
                i64::from(task.left_out.is_none()).into(),
                task.spec.as_str().into(),
            ]
        })
        .await
    }

    fn events_of(&self, job: JobId) -> Vec<EventRow> {
        let at = self.created_at;
        let row = |((host, body), seq): (&(Option<u32>, String), i64)| EventRow { job, seq, host: *host, at, body: body.clone() };
        self.events.iter().zip(1..).map(row).collect()
    }
}

/// Raises the epochs of the unfinished host tasks of a job that are not `mine` already, and returns them.
pub(super) async fn claim(record: &Record, job: JobId, mine: &[TaskId]) -> Result<Vec<TaskRow>, StoreError> {
    let mut tx = record.begin().await?;
    tx.lock_jobs([job]).await?;
    query("update host_task set epoch = epoch + 1 where job_id = $1 and open = 1 and id not in list($2)")
        .bind(job.0)
        .list(words(mine))
        .execute(&mut tx, "claim host tasks")
        .await?;
    // Read before the claim stands: rows that cannot be read are not claimed.
    let rows = query(
        "select id, host_index, job_id, cloud, ip, spec, status, epoch from host_task
         where job_id = $1 and open = 1 and id not in list($2) order by host_index",
    )
    .bind(job.0)
    .list(words(mine))
    .each(&mut tx, "read the claimed host tasks", |record: TaskRecord| TaskRow::try_from(record))
    .await?;
    tx.commit("commit a claim").await?;
    Ok(rows)
}
