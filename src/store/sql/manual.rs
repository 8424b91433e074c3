//! Hosts that a person installs: their one-time tokens, and the run that has each of them.
//!
//! Spending a token, raising the epoch of its host and noting the run are one transaction under the lock of the job: of two
//! who bring the same token one is let in, whichever process they ask.
//!
//! Never here: how a token is made or compared (the service's).

use sqlx::FromRow;

use super::Record;
use super::insert::{Target, insert};
use super::queries::TaskRecord;
use super::session::{Session, query, words};
use crate::domain::Timestamp;
use crate::domain::id::{JobId, TaskId};
use crate::store::manual::{ManualHost, ManualRun, Offer, Overdue, Revoke, Spend, TOKEN_LIFE};
use crate::store::row::{corrupt, micros, moment, task_id};
use crate::store::{StoreError, TaskRow};

/// Until when a host is waited for that becomes open at that moment.
pub(super) fn patience(at: i64) -> i64 {
    at.saturating_add(i64::try_from(TOKEN_LIFE.as_micros()).unwrap_or(i64::MAX))
}

/// Hosts of a new job wait for a person.
pub(super) async fn expect(tx: &mut Session, tasks: &[TaskId], at: i64) -> Result<(), StoreError> {
    let into = Target { table: "manual_host (task_id, until)", tail: "" };
    insert(tx, into, tasks, |task| [task.to_string().into(), patience(at).into()]).await
}

/// They were opened again: what had them is over, and they are waited for anew.
pub(super) async fn expect_again(tx: &mut Session, tasks: &[TaskId], at: i64) -> Result<(), StoreError> {
    query("update manual_host set until = $1, run = null, epoch = null, seen = null where task_id in list($2)")
        .bind(patience(at))
        .list(words(tasks))
        .execute(tx, "wait for a person again")
        .await?;
    Ok(())
}

/// Keeps one-time tokens; gives the hosts that they are for. Those that count no more go.
pub(super) async fn offer(record: &Record, offers: &[Offer], now: Timestamp) -> Result<Vec<TaskId>, StoreError> {
    let mut tx = record.begin().await?;
    let waiting = query(
        "select t.id from host_task t join manual_host m on m.task_id = t.id
         where t.open = 1 and t.cancel_asked = 0 and t.id in list($1)",
    )
    .list(words(offers.iter().map(|offer| offer.task)))
    .each(&mut tx, "look which hosts wait for a person", |(id,): (String,)| task_id(&id))
    .await?;
    let kept: Vec<&Offer> = offers.iter().filter(|offer| waiting.contains(&offer.task)).collect();
    query("delete from manual_token where expires_at <= $1").bind(micros(now)).execute(&mut tx, "forget old tokens").await?;
    let into = Target { table: "manual_token (hash, task_id, expires_at)", tail: "" };
    insert(&mut tx, into, &kept, |offer| {
        [offer.token.as_str().into(), offer.task.to_string().into(), micros(offer.until).into()]
    })
    .await?;
    for offer in &kept {
        query("update manual_host set until = $2 where task_id = $1 and until < $2")
            .bind(offer.task.to_string())
            .bind(micros(offer.until))
            .execute(&mut tx, "wait for a person longer")
            .await?;
    }
    tx.commit("keep tokens").await?;
    Ok(waiting)
}

/// Digests of the tokens of a host that can be spent now.
pub(super) async fn offered(on: &mut Session, task: TaskId, now: Timestamp) -> Result<Vec<String>, StoreError> {
    query("select hash from manual_token where task_id = $1 and spent_at is null and revoked_at is null and expires_at > $2")
        .bind(task.to_string())
        .bind(micros(now))
        .each(on, "look for tokens", |(hash,): (String,)| Ok(hash))
        .await
}

/// Spends a token: its host is claimed for the run that fetched the script. `None`: it cannot be spent.
pub(super) async fn spend(record: &Record, spend: Spend<'_>) -> Result<Option<TaskRow>, StoreError> {
    let at = micros(spend.at);
    let mut tx = record.begin().await?;
    if !lock(&mut tx, spend.task).await? {
        return Ok(None);
    }
    let spent = query(
        "update manual_token set spent_at = $3
         where hash = $1 and task_id = $2 and spent_at is null and revoked_at is null and expires_at > $3
         and exists (select 1 from host_task t where t.id = $2 and t.open = 1 and t.cancel_asked = 0)",
    )
    .bind(spend.token)
    .bind(spend.task.to_string())
    .bind(at)
    .execute(&mut tx, "spend a token")
    .await?;
    if spent == 0 {
        return Ok(None);
    }
    let row = claim(&mut tx, (spend.task, spend.run), at).await?;
    tx.commit("spend a token").await?;
    Ok(Some(row))
}

/// Whoever else changes the job of a host waits; false when there is no such host.
async fn lock(tx: &mut Session, task: TaskId) -> Result<bool, StoreError> {
    let job: Option<(i64,)> =
        query("select job_id from host_task where id = $1").bind(task.to_string()).optional(tx, "look for a host").await?;
    let Some((job,)) = job else { return Ok(false) };
    tx.lock_jobs([JobId(job)]).await?;
    Ok(true)
}

/// Raises the epoch of a host for a run.
async fn claim(tx: &mut Session, (task, run): (TaskId, &str), at: i64) -> Result<TaskRow, StoreError> {
    let task = task.to_string();
    let epoch: i64 = query("update host_task set epoch = epoch + 1, holder = null where id = $1 returning epoch")
        .bind(task.as_str())
        .one(tx, "claim a host for its run")
        .await?;
    query("update manual_host set run = $2, epoch = $3, seen = $4 where task_id = $1")
        .bind(task.as_str())
        .bind(run)
        .bind(epoch)
        .bind(at)
        .execute(tx, "note a run")
        .await?;
    let row: Option<TaskRecord> =
        query("select id, host_index, job_id, cloud, ip, spec, status, epoch, cancel_asked from host_task where id = $1")
            .bind(task.as_str())
            .optional(tx, "read a claimed host")
            .await?;
    TaskRow::try_from(row.ok_or_else(|| corrupt("a claimed host is gone"))?)
}

/// A run takes its turn. `None`: it has the host no more.
pub(super) async fn turn(record: &Record, (task, run): (TaskId, &str), at: Timestamp) -> Result<Option<TaskRow>, StoreError> {
    let mut tx = record.begin().await?;
    if !lock(&mut tx, task).await? {
        return Ok(None);
    }
    let has: Option<(i64,)> = query(
        "select t.epoch from host_task t join manual_host m on m.task_id = t.id
         where t.id = $1 and t.open = 1 and m.epoch = t.epoch and m.run = $2",
    )
    .bind(task.to_string())
    .bind(run)
    .optional(&mut tx, "look whose turn it is")
    .await?;
    if has.is_none() {
        return Ok(None);
    }
    let row = claim(&mut tx, (task, run), micros(at)).await?;
    tx.commit("take a turn").await?;
    Ok(Some(row))
}

#[derive(FromRow)]
struct HostRecord {
    #[sqlx(flatten)]
    task: TaskRecord,
    until: i64,
    run: Option<String>,
    seen: Option<i64>,
}

impl HostRecord {
    fn host(self) -> Result<ManualHost, StoreError> {
        let run = match (self.run, self.seen) {
            (Some(token), Some(seen)) => Some(ManualRun { token, seen: moment(seen)? }),
            _ => None,
        };
        Ok(ManualHost { row: self.task.try_into()?, until: moment(self.until)?, run })
    }
}

/// An unfinished host, with the run that has it still.
pub(super) async fn host(on: &mut Session, task: TaskId) -> Result<Option<ManualHost>, StoreError> {
    let record: Option<HostRecord> = query(
        "select t.id, t.host_index, t.job_id, t.cloud, t.ip, t.spec, t.status, t.epoch, t.cancel_asked, m.until,
                case when m.epoch = t.epoch then m.run end as run, m.seen
         from host_task t join manual_host m on m.task_id = t.id where t.open = 1 and t.id = $1",
    )
    .bind(task.to_string())
    .optional(on, "read a host that a person installs")
    .await?;
    record.map(HostRecord::host).transpose()
}

/// A run was heard of.
pub(super) async fn heard(record: &Record, (task, run): (TaskId, &str), at: Timestamp) -> Result<(), StoreError> {
    let mut tx = record.begin().await?;
    query("update manual_host set seen = $3 where task_id = $1 and run = $2 and seen < $3")
        .bind(task.to_string())
        .bind(run)
        .bind(micros(at))
        .execute(&mut tx, "note that a run was heard of")
        .await?;
    tx.commit("note that a run was heard of").await
}

/// Takes tokens back that were not spent; how many.
pub(super) async fn revoke(record: &Record, revoke: Revoke<'_>) -> Result<u64, StoreError> {
    let mut tx = record.begin().await?;
    let mut taken = query("update manual_token set revoked_at = $1 where spent_at is null and revoked_at is null");
    taken = taken.bind(micros(revoke.at));
    taken.push(" and expires_at > ?").value(micros(revoke.at));
    taken.push(" and task_id in (select id from host_task where job_id = ?)").value(revoke.job.0);
    if let Some(tasks) = revoke.tasks {
        taken.push(" and task_id in list(?)").values(words(tasks));
    }
    let count = taken.execute(&mut tx, "take tokens back").await?;
    tx.commit("take tokens back").await?;
    Ok(count)
}

/// Unfinished hosts that are waited for no longer.
pub(super) async fn overdue(on: &mut Session, overdue: Overdue) -> Result<Vec<ManualHost>, StoreError> {
    query(
        "select t.id, t.host_index, t.job_id, t.cloud, t.ip, t.spec, t.status, t.epoch, t.cancel_asked, m.until,
                case when m.epoch = t.epoch then m.run end as run, m.seen
         from host_task t join manual_host m on m.task_id = t.id
         where t.open = 1 and (
             case when m.run is null or m.epoch <> t.epoch then m.until <= $1 or t.cancel_asked = 1
                  else m.seen < $2 or (t.cancel_asked = 1 and m.seen < $3) end)
         order by t.job_id, t.host_index limit $4",
    )
    .bind(micros(overdue.now))
    .bind(micros(overdue.silent))
    .bind(micros(overdue.deaf))
    .bind(i64::from(overdue.most))
    .each(on, "look for hosts that are waited for no longer", HostRecord::host)
    .await
}
