//! What is asked of a job from outside: cancel and retry. Whoever works on it looks at `job.asked`.
//!
//! Never here: how a host is cancelled or tried again (the engine's).

use std::collections::HashSet;
use std::net::IpAddr;

use super::credentials::LoginDraft;
use super::journal::{self, EventRow};
use super::session::{Session, query, words};
use super::{Record, credentials, queries};
use crate::domain::Timestamp;
use crate::domain::event::EventKind;
use crate::domain::host::Address;
use crate::domain::id::{JobId, TaskId};
use crate::domain::job::Status;
use crate::store::row::{corrupt, ip, json, micros, number, task_id};
use crate::store::{Asked, Retry, StoreError};

/// Asks for a job to be cancelled.
pub(super) async fn cancel(record: &Record, job: JobId, reason: &str, at: Timestamp) -> Result<bool, StoreError> {
    let mut tx = record.begin().await?;
    tx.lock_jobs([job]).await?;
    let seq: Option<(i64,)> = query(
        "update job set asked = asked + 1, cancel_asked_at = $2, next_seq = next_seq + 1
         where id = $1 and exists (select 1 from host_task where job_id = $1 and open = 1) returning next_seq - 1",
    )
    .bind(job.0)
    .bind(micros(at))
    .optional(&mut tx, "ask for a cancel")
    .await?;
    let Some((seq,)) = seq else { return Ok(false) };
    let body = json("event", &EventKind::CancelAsked { reason: reason.to_owned() })?;
    journal::insert_events(&mut tx, &[EventRow { job, seq, host: None, at: micros(at), body }]).await?;
    tx.commit("ask for a cancel").await?;
    Ok(true)
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
    let body = json("event", &EventKind::RetryAsked { reason: retry.reason.clone(), from_start: retry.from_start })?;
    let rows: Vec<EventRow> = ended
        .iter()
        .zip(first..)
        .map(|(task, seq)| EventRow { job, seq, host: Some(task.index), at, body: body.clone() })
        .collect();
    journal::insert_events(&mut tx, &rows).await?;
    credentials::keep_on(&mut tx, &ids, at).await?;
    let opened: HashSet<TaskId> = ids.iter().copied().collect();
    credentials::replace(&mut tx, &record.seal, logins.iter().filter(|login| opened.contains(&login.task))).await?;
    tx.commit("ask for a retry").await?;
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
    query("update host_task set open = 1, epoch = epoch + 1, status = $1 where id in list($2)")
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
