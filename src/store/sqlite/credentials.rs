//! Sealed credentials: how they get in, when they go, and who may still use them.
//!
//! Retention runs from the terminal state of the host task. Until then the credential is kept, but never longer than
//! [`UNFINISHED_S`]: a job that nobody takes up must not keep a password for ever.
//!
//! Never here: the cipher (`store::seal`) and the clock that decides when to purge (the caller's).

use std::collections::BTreeMap;

use sqlx::{FromRow, SqlitePool};

use super::{SqliteStore, Tx, computed, failed, host_list, insert, list};
use crate::domain::Timestamp;
use crate::domain::credential::{Credential, Retention};
use crate::domain::host::{Address, HostSpec};
use crate::domain::id::TaskId;
use crate::store::StoreError;
use crate::store::row::{ip, micros, of_json, task_id};
use crate::store::seal::{Seal, Sealed, foreign_key};

/// Longest life of a credential whose host task has not ended, seconds: 7 days (DESIGN 11).
const UNFINISHED_S: i64 = 7 * 86_400;
/// Longest retention that is not long term, seconds: a hundred years, so that moments stay within 64 bits.
const RETENTION_CAP_S: i64 = 100 * 365 * 86_400;
const MICROS: i64 = 1_000_000;

/// A row of `credential`.
pub(super) struct SealedRow {
    task: TaskId,
    sealed: Sealed,
    retention_s: Option<i64>,
    purge_at: i64,
}

impl SealedRow {
    /// The row of a host task that was recorded just now.
    pub(super) fn new(task: TaskId, sealed: Sealed, retention: Retention, created_at: i64) -> Self {
        let retention_s = retention.seconds().map(|seconds| seconds.min(RETENTION_CAP_S));
        Self { task, sealed, retention_s, purge_at: created_at.saturating_add(UNFINISHED_S * MICROS) }
    }
}

/// Credentials that cannot be opened are found when the record is opened, not when the first host needs one.
pub(super) async fn check_key(readers: &SqlitePool, seal: &Seal) -> Result<(), StoreError> {
    // Two ranges instead of `<>`: a look at each end of the index, however many rows there are.
    let foreign: Option<String> = sqlx::query_scalar(
        "select key_id from credential where key_id < $1 union all
         select key_id from credential where key_id > $1 limit 1",
    )
    .bind(seal.key_id())
    .fetch_optional(readers)
    .await
    .map_err(failed("look for credentials of another key"))?;
    foreign.map_or(Ok(()), |key_id| Err(foreign_key(&key_id, seal.key_id())))
}

/// Inserts the credentials of a new job.
pub(super) async fn insert_rows(tx: &mut Tx, rows: &[SealedRow]) -> Result<(), StoreError> {
    let text = ("insert into credential (task_id, key_id, nonce, sealed, retention_s, purge_at) ", "");
    insert(tx, text, rows, |row, credential| {
        row.push_bind(credential.task.to_string())
            .push_bind(credential.sealed.key_id.clone())
            .push_bind(credential.sealed.nonce.clone())
            .push_bind(credential.sealed.sealed.clone())
            .push_bind(credential.retention_s)
            .push_bind(credential.purge_at);
    })
    .await
}

/// Starts the retention of host tasks that have ended. One of 0 ends at once, in the same transaction.
pub(super) async fn end(tx: &mut Tx, ended: &BTreeMap<TaskId, i64>) -> Result<(), StoreError> {
    if ended.is_empty() {
        return Ok(());
    }
    // A null retention makes a null moment: long term.
    sqlx::query(
        "update credential set purge_at = (ended.value ->> 1) + retention_s * 1000000
         from json_each($1) ended where task_id = ended.value ->> 0",
    )
    .bind(list(ended.iter())?)
    .execute(&mut **tx)
    .await
    .map_err(failed("start the retention of credentials"))?;
    sqlx::query("delete from credential where retention_s = 0 and task_id in (select value from json_each($1))")
        .bind(list(ended.keys())?)
        .execute(&mut **tx)
        .await
        .map_err(failed("remove credentials without retention"))?;
    Ok(())
}

/// The host tasks are unfinished again: what is still there of their credentials lives as long as those of a new job.
pub(super) async fn keep_on(tx: &mut Tx, tasks: &[TaskId], at: i64) -> Result<(), StoreError> {
    sqlx::query("update credential set purge_at = $1 where task_id in (select value from json_each($2))")
        .bind(at.saturating_add(UNFINISHED_S * MICROS))
        .bind(list(tasks)?)
        .execute(&mut **tx)
        .await
        .map_err(failed("keep credentials"))?;
    Ok(())
}

/// Removes the credentials that ended jobs kept of these hosts.
pub(super) async fn remove(tx: &mut Tx, hosts: &[Address]) -> Result<(), StoreError> {
    if hosts.is_empty() {
        return Ok(());
    }
    sqlx::query(
        "delete from credential where task_id in (
             select t.id from json_each($1) gone cross join host_task t
             where t.cloud = gone.value ->> 0 and t.ip = gone.value ->> 1)",
    )
    .bind(host_list(hosts)?)
    .execute(&mut **tx)
    .await
    .map_err(failed("remove kept credentials"))?;
    Ok(())
}

#[derive(FromRow)]
struct SealedRecord {
    key_id: String,
    nonce: Vec<u8>,
    sealed: Vec<u8>,
}

impl From<SealedRecord> for Sealed {
    fn from(record: SealedRecord) -> Self {
        Self { key_id: record.key_id, nonce: record.nonce, sealed: record.sealed }
    }
}

/// The credential of a host task.
pub(super) async fn read(store: &SqliteStore, task: TaskId) -> Result<Option<Credential>, StoreError> {
    let record: Option<SealedRecord> = sqlx::query_as("select key_id, nonce, sealed from credential where task_id = $1")
        .bind(task.to_string())
        .fetch_optional(&store.readers)
        .await
        .map_err(failed("read a credential"))?;
    record.map(|record| store.seal.unseal(task, &record.into())).transpose()
}

#[derive(FromRow)]
struct LoginRecord {
    id: String,
    cloud: i64,
    ip: String,
    spec: String,
    #[sqlx(flatten)]
    sealed: SealedRecord,
}

/// The newest credential that is kept for each of these hosts.
pub(super) async fn kept_logins(
    store: &SqliteStore,
    hosts: &[Address],
) -> Result<Vec<(Address, HostSpec, Credential)>, StoreError> {
    let records: Vec<LoginRecord> = sqlx::query_as(
        "select id, cloud, ip, spec, key_id, nonce, sealed from (
             select t.id, t.cloud, t.ip, t.spec -> 'host' as spec, c.key_id, c.nonce, c.sealed, asked.key as place,
                    row_number() over (partition by t.cloud, t.ip order by t.job_id desc, t.host_index desc) as age
             from json_each($1) asked cross join host_task t cross join credential c
             where t.cloud = asked.value ->> 0 and t.ip = asked.value ->> 1 and c.task_id = t.id)
         where age = 1 order by place",
    )
    .bind(host_list(hosts)?)
    .fetch_all(&store.readers)
    .await
    .map_err(failed("read kept credentials"))?;
    let seal = store.seal.clone();
    computed(move || records.into_iter().map(|record| record.login(&seal)).collect()).await
}

impl LoginRecord {
    fn login(self, seal: &Seal) -> Result<(Address, HostSpec, Credential), StoreError> {
        let address = Address { cloud: self.cloud, ip: ip(&self.ip)? };
        let credential = seal.unseal(task_id(&self.id)?, &self.sealed.into())?;
        Ok((address, of_json("host", &self.spec)?, credential))
    }
}

/// Removes credentials whose time has come.
pub(super) async fn purge(store: &SqliteStore, now: Timestamp) -> Result<u64, StoreError> {
    let mut tx = store.begin().await?;
    let done = sqlx::query("delete from credential where purge_at <= $1")
        .bind(micros(now))
        .execute(&mut *tx)
        .await
        .map_err(failed("purge credentials"))?;
    tx.commit().await.map_err(failed("purge credentials"))?;
    Ok(done.rows_affected())
}
