//! What is asked of a job from outside: cancel and retry. Whoever works on it looks at `job.asked`.
//!
//! Never here: how a host is cancelled or tried again (the engine's).

use std::collections::HashSet;
use std::net::IpAddr;

use super::credentials::LoginDraft;
use super::journal::{self, EventRow};
use super::session::{Session, query, words};
use super::{Record, audit, credentials, manual, queries};
use crate::domain::event::EventKind;
use crate::domain::host::Address;
use crate::domain::id::{JobId, TaskId};
use crate::domain::job::Status;
use crate::store::news::Topic;
use crate::store::row::{corrupt, ip, json, micros, number, task_id};
use crate::store::{Asked, Cancel, Retry, StoreError};

/// Asks for a job or some of its hosts to be cancelled; how many unfinished hosts that is about.
pub(super) async fn cancel(record: &Record, cancel: Cancel<'_>) -> Result<u64, StoreError> {
    let Cancel { job, tasks, by, at } = cancel;
    let mut tx = record.begin().await?;
    tx.lock_jobs([job]).await?;
    let mut flagged = query("update host_task set cancel_asked = 1 where open = 1 and job_id = $1").bind(job.0);
    if let Some(tasks) = tasks {
        flagged.push(" and id in list(?)").values(words(tasks));
    }
    flagged.push(" returning host_index");
    let mut hosts = flagged.each(&mut tx, "ask for a cancel", |(index,): (i64,)| number("index", index)).await?;
    hosts.sort_unstable();
    if hosts.is_empty() {
        return Ok(0);
    }
    // Of the job as a whole one event tells; of some of its hosts each has its own.
    let about: Vec<Option<u32>> = if tasks.is_some() { hosts.iter().copied().map(Some).collect() } else { vec![None] };
    let whole = tasks.is_none().then(|| micros(at));
    let first: i64 = query(
        "update job set asked = asked + 1, cancel_asked_at = coalesce($2, cancel_asked_at), next_seq = next_seq + $3
         where id = $1 returning next_seq - $3",
    )
    .bind(job.0)
    .bind(whole)
    .bind(about.len() as i64)
    .one(&mut tx, "ask for a cancel")
    .await?;
    let body = json("event", &EventKind::CancelAsked { reason: by.asker.reason() })?;
    let row = |(host, seq): (Option<u32>, i64)| EventRow { job, seq, host, at: micros(at), body: body.clone() };
    journal::insert_events(&mut tx, &about.into_iter().zip(first..).map(row).collect::<Vec<_>>()).await?;
    audit::note(&mut tx, job, by, micros(at), hosts.len() as u64).await?;
    tx.commit_telling(&record.teller, &[Topic::Asked(job)], "ask for a cancel").await?;
    Ok(hosts.len() as u64)
}

/// Unfinished host tasks of a job that are to be cancelled.
pub(super) async fn cancelled(on: &mut Session, job: JobId) -> Result<Vec<TaskId>, StoreError> {
    query("select id from host_task where job_id = $1 and open = 1 and cancel_asked = 1 order by host_index")
        .bind(job.0)
        .each(on, "look for hosts to cancel", |(id,): (String,)| task_id(&id))
        .await
}

/// A host task that ended in a way that can be tried again.
struct Ended {
    id: TaskId,
    index: u32,
    address: Address,
}

/// Opens host tasks again.
pub(super) async fn retry(record: &Record, job: JobId, retry: &Retry, logins: &[LoginDraft]) -> Result<Vec<TaskId>, StoreError> {
    let at = micros(retry.at);
    let mut tx = record.begin().await?;
    tx.queue_for_hosts().await?;
    tx.lock_jobs([job]).await?;
    let ended = ended(&mut tx, job, &retry.tasks).await?;
    if ended.is_empty() {
        return Ok(Vec::new());
    }
    let addresses: Vec<Address> = ended.iter().map(|task| task.address).collect();
    if let Some((host, holder)) = queries::held(&mut tx, &addresses).await?.first() {
        return Err(StoreError::Conflict(format!("host {host} is held by unfinished job {holder}")));
    }
    let ids: Vec<TaskId> = ended.iter().map(|task| task.id).collect();
    let first = open(&mut tx, job, &ids).await?;
    let body = json("event", &EventKind::RetryAsked { reason: retry.by.asker.reason(), from_start: retry.from_start })?;
    let rows: Vec<EventRow> = ended
        .iter()
        .zip(first..)
        .map(|(task, seq)| EventRow { job, seq, host: Some(task.index), at, body: body.clone() })
        .collect();
    journal::insert_events(&mut tx, &rows).await?;
    credentials::keep_on(&mut tx, &ids, at).await?;
    manual::expect_again(&mut tx, &ids, at).await?;
    let opened: HashSet<TaskId> = ids.iter().copied().collect();
    credentials::replace(&mut tx, &record.seal, logins.iter().filter(|login| opened.contains(&login.task))).await?;
    audit::note(&mut tx, job, &retry.by, at, ids.len() as u64).await?;
    tx.commit_telling(&record.teller, &[Topic::Asked(job)], "ask for a retry").await?;
    record.pools.soil(logins.len() as u64);
    Ok(ids)
}

/// Which of these host tasks ended in a way that can be tried again, in the order of the request.
async fn ended(tx: &mut Session, job: JobId, tasks: &[TaskId]) -> Result<Vec<Ended>, StoreError> {
    query(
        "select id, host_index, cloud, ip from host_task
         where job_id = $1 and open = 0 and status in ($2, $3) and id in list($4) order by host_index",
    )
    .bind(job.0)
    .bind(Status::Failed.word())
    .bind(Status::Terminated.word())
    .list(words(tasks))
    .each(tx, "look for hosts to try again", |(id, index, cloud, text): (String, i64, i64, String)| {
        let address: IpAddr = ip(&text)?;
        Ok(Ended { id: task_id(&id)?, index: number("index", index)?, address: Address { cloud, ip: address } })
    })
    .await
}

/// Makes host tasks pending and their job unfinished; the first of as many `seq`. The epoch rises, so that nobody who had
/// a host before may append to it.
async fn open(tx: &mut Session, job: JobId, ids: &[TaskId]) -> Result<i64, StoreError> {
    query("update host_task set open = 1, epoch = epoch + 1, status = $1, holder = null, cancel_asked = 0 where id in list($2)")
        .bind(Status::Pending.word())
        .list(words(ids))
        .execute(tx, "open hosts again")
        .await?;
    let count = i64::try_from(ids.len()).map_err(|_| corrupt("too many hosts"))?;
    query(
        "update job set asked = asked + 1, cancel_asked_at = null, finished_at = null, status = null, next_seq = next_seq + $2
         where id = $1 returning next_seq - $2",
    )
    .bind(job.0)
    .bind(count)
    .one(tx, "open a job again")
    .await
}

/// What was asked of a job.
pub(super) async fn asked(on: &mut Session, job: JobId) -> Result<Asked, StoreError> {
    let row: Option<(i64, Option<i64>)> =
        query("select asked, cancel_asked_at from job where id = $1").bind(job.0).optional(on, "look at what was asked").await?;
    Ok(row.map_or_else(Asked::default, |(count, cancel)| Asked { count, cancel: cancel.is_some() }))
}
