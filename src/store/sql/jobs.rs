//! Jobs as they come in and are taken: [`create`] and [`claim`].
//!
//! Never here: reading them (`queries`) and what happens to them later (`journal`).

use std::collections::HashSet;

use super::credentials::{self, SealedRow};
use super::insert::{Target, insert};
use super::journal::{self, EventRow};
use super::queries::{self, TaskRecord};
use super::session::{Session, either, numbers, query, words};
use super::{Record, audit, computed, manual, outage};
use crate::domain::Timestamp;
use crate::domain::audit::Asking;
use crate::domain::event::EventKind;
use crate::domain::host::Address;
use crate::domain::id::{Epoch, JobId, TaskId};
use crate::domain::job::Status;
use crate::store::news::Topic;
use crate::store::once::{Created, First, Once};
use crate::store::row::{corrupt, json, micros};
use crate::store::seal::Seal;
use crate::store::{NewHost, NewJob, StoreError, Take, TaskRow, Which};

/// Records a job in one transaction.
pub(super) async fn create(record: &Record, job: NewJob, at: Timestamp) -> Result<JobId, StoreError> {
    let seal = record.seal.clone();
    let draft = computed(move || Draft::of(job, at, &seal)).await?;
    match outage::again(|| draft.record(record, None)).await? {
        Created::New(id) | Created::Before(First { job: id, .. }) => Ok(id),
    }
}

/// The same, unless a submission with this key was recorded before.
pub(super) async fn create_once(record: &Record, job: NewJob, once: Once, at: Timestamp) -> Result<Created, StoreError> {
    let seal = record.seal.clone();
    let draft = computed(move || Draft::of(job, at, &seal)).await?;
    outage::again(|| draft.record(record, Some(&once))).await
}

/// A new job as rows, made before the transaction begins: ten thousand seals must not keep other writers waiting.
struct Draft {
    spec: String,
    created_by: String,
    created_at: i64,
    by: Asking,
    served: bool,
    parent: Option<i64>,
    /// No executor claims its hosts.
    manual: bool,
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
            manual: job.is_manual(),
            spec: json("job", &job.spec)?,
            created_by: job.created_by,
            served: job.served,
            parent: job.spec.parent.map(|parent| parent.0),
            created_at: micros(at),
            by: job.by,
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
    async fn record(&self, record: &Record, once: Option<&Once>) -> Result<Created, StoreError> {
        let mut tx = record.begin().await?;
        if let Some(once) = once
            && let Some(first) = super::once::take(&mut tx, once, self.created_at).await?
        {
            return Ok(Created::Before(first));
        }
        tx.queue_for_hosts().await?;
        let held = queries::held(&mut tx, &self.held).await?;
        if let Some((host, job)) = held.first() {
            let more = if held.len() > 1 { format!(" (and {} more hosts are held)", held.len() - 1) } else { String::new() };
            return Err(StoreError::Conflict(format!("host {host} is held by unfinished job {job}{more}")));
        }
        let id = self.insert_job(&mut tx).await?;
        self.insert_tasks(&mut tx, id).await?;
        if self.manual {
            let open = self.tasks.iter().filter(|task| task.left_out.is_none()).map(|task| task.id);
            manual::expect(&mut tx, &open.collect::<Vec<_>>(), self.created_at).await?;
        }
        credentials::insert_rows(&mut tx, &record.seal, &self.credentials).await?;
        journal::insert_events(&mut tx, &self.events_of(id)).await?;
        audit::note(&mut tx, id, &self.by, self.created_at, self.held.len() as u64).await?;
        if let Some(once) = once {
            super::once::note(&mut tx, once, id).await?;
        }
        tx.commit_telling(&record.teller, &[Topic::Asked(id)], "commit a new job").await?;
        Ok(Created::New(id))
    }

    async fn insert_job(&self, tx: &mut Session) -> Result<JobId, StoreError> {
        let next_seq = self.events.len() as i64 + 1;
        let id: i64 = query(
            "insert into job (next_seq, created_by, created_at, spec, served, parent_id, manual)
                 values ($1, $2, $3, $4, $5, $6, $7) returning id",
        )
        .bind(next_seq)
        .bind(self.created_by.as_str())
        .bind(self.created_at)
        .bind(self.spec.as_str())
        .bind(i64::from(self.served))
        .bind(self.parent)
        .bind(i64::from(self.manual))
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

/// Nobody alive has the host. With SQLite one executor holds a job: whoever else had its hosts is gone.
const FREE: (&str, &str) =
    ("true", "not exists (select 1 from lease l where l.owner = t.holder and l.expires_at > clock_timestamp())");

/// Raises the epochs of unfinished host tasks that nobody alive works on, and returns them.
pub(super) async fn claim(record: &Record, take: Take<'_>) -> Result<Vec<TaskRow>, StoreError> {
    let mut tx = record.begin().await?;
    tx.lock_jobs([take.job]).await?;
    let mut chosen =
        query("select t.id, t.host_index, t.job_id, t.cloud, t.ip, t.spec, t.status, t.epoch + 1 as epoch, t.cancel_asked");
    chosen.push(" from host_task t where t.open = 1 and t.job_id = ?").value(take.job.0);
    // A person has those of a manual job.
    chosen.push(" and not exists (select 1 from job j where j.id = t.job_id and j.manual = 1)");
    chosen.push(" and (t.holder is null or t.holder = ? or ").value(take.owner).push_either(FREE.0, FREE.1);
    chosen.push(") and t.id not in list(?)").values(words(take.mine));
    if take.which == Which::Cancelled {
        chosen.push(" and t.cancel_asked = 1");
    }
    if !take.clouds.is_empty() {
        chosen.push(" and t.cloud in list(?)").values(numbers(take.clouds.iter().copied()));
    }
    chosen.push(" order by t.host_index");
    if let Which::Next(limit) = take.which {
        chosen.push(" limit ?").value(i64::from(limit));
    }
    // Read before the claim stands: rows that cannot be read are not claimed.
    let rows: Vec<TaskRow> =
        chosen.each(&mut tx, "read the host tasks to claim", |record: TaskRecord| TaskRow::try_from(record)).await?;
    if rows.is_empty() {
        return Ok(rows);
    }
    query("update host_task set epoch = epoch + 1, holder = $1 where id in list($2)")
        .bind(take.owner)
        .list(words(rows.iter().map(|row| row.id)))
        .execute(&mut tx, "claim host tasks")
        .await?;
    tx.commit("commit a claim").await?;
    Ok(rows)
}

/// Unfinished jobs of `serve` in which something is to do that nobody alive does: a host to work on, or an end to write. Of a
/// manual job it is the end only.
pub(super) async fn left_over(on: &mut Session, clouds: &[i64]) -> Result<Vec<JobId>, StoreError> {
    // With SQLite it is the holds that tell; they are no rows.
    let mut look = either(
        "select id from job j where finished_at is null and served = 1
         and (manual = 0 or not exists (select 1 from host_task t where t.job_id = j.id and t.open = 1))",
        "select j.id from job j where j.finished_at is null and j.served = 1
         and (j.manual = 0 or not exists (select 1 from host_task t where t.job_id = j.id and t.open = 1))
         and not exists (select 1 from lease l where l.job_id = j.id and l.shared = 0 and l.expires_at > clock_timestamp())
         and (exists (select 1 from host_task t where t.job_id = j.id and t.open = 1 and (t.holder is null
                  or not exists (select 1 from lease l where l.owner = t.holder and l.expires_at > clock_timestamp())))
              or not exists (select 1 from host_task t where t.job_id = j.id and t.open = 1)
                  and not exists (select 1 from lease l where l.job_id = j.id and l.expires_at > clock_timestamp()))",
    );
    if !clouds.is_empty() {
        // One of ours that is free, or none open at all: then there is an end to write.
        look.push(" and (exists (select 1 from host_task t where t.job_id = j.id and t.open = 1 and t.cloud in list(?)")
            .values(numbers(clouds.iter().copied()))
            .push_either("", " and (t.holder is null or not exists (select 1 from lease l where l.owner = t.holder and l.expires_at > clock_timestamp()))")
            .push(") or not exists (select 1 from host_task t where t.job_id = j.id and t.open = 1))");
    }
    look.push(" order by j.id");
    look.each(on, "look for jobs to take up", |(id,): (i64,)| Ok(JobId(id))).await
}

/// Makes a job one of `serve`.
pub(super) async fn hand_over(record: &Record, job: JobId) -> Result<(), StoreError> {
    let mut tx = record.begin().await?;
    let changed =
        query("update job set served = 1 where id = $1 and served = 0").bind(job.0).execute(&mut tx, "hand a job over").await?;
    if changed == 0 {
        return Ok(());
    }
    tx.commit_telling(&record.teller, &[Topic::Asked(job)], "hand a job over").await
}
