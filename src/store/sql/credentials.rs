//! Sealed credentials: how they get in, when they go, and who may still use them.
//!
//! Retention runs from the terminal state of the host task. Until then the credential is kept, but never longer than
//! [`UNFINISHED_S`]: a job that nobody takes up must not keep a password for ever.
//!
//! Never here: the cipher (`store::seal`) and the clock that decides when to purge (the caller's).

use std::collections::BTreeMap;

use serde::Deserialize;
use sqlx::FromRow;

use super::insert::{Target, insert};
use super::session::{Session, either, hosts, pairs, query, words};
use super::{Record, computed};
use crate::domain::Timestamp;
use crate::domain::credential::{Credential, Retention};
use crate::domain::host::{Address, HostSpec};
use crate::domain::id::TaskId;
use crate::store::StoreError;
use crate::store::row::{ip, micros, moment, of_json, task_id};
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
pub(in crate::store) async fn check_key(on: &mut Session, seal: &Seal) -> Result<(), StoreError> {
    // Two ranges instead of `<>`: a look at each end of the index, however many rows there are.
    let foreign: Option<(String,)> = query(
        "select key_id from credential where key_id < $1 union all
         select key_id from credential where key_id > $1 limit 1",
    )
    .bind(seal.key_id())
    .optional(on, "look for credentials of another key")
    .await?;
    foreign.map_or(Ok(()), |(key_id,)| Err(foreign_key(&key_id, seal.key_id())))
}

/// Inserts the credentials of a new job.
pub(super) async fn insert_rows(tx: &mut Session, rows: &[SealedRow]) -> Result<(), StoreError> {
    let table = "credential (task_id, key_id, nonce, sealed, retention_s, purge_at)";
    insert(tx, Target { table, tail: "" }, rows, |credential| {
        [
            credential.task.to_string().into(),
            credential.sealed.key_id.as_str().into(),
            credential.sealed.nonce.clone().into(),
            credential.sealed.sealed.clone().into(),
            credential.retention_s.into(),
            credential.purge_at.into(),
        ]
    })
    .await
}

/// Starts the retention of host tasks that have ended. One of 0 ends at once, in the same transaction.
pub(super) async fn end(tx: &mut Session, ended: &BTreeMap<TaskId, i64>) -> Result<(), StoreError> {
    if ended.is_empty() {
        return Ok(());
    }
    // A null retention makes a null moment: long term.
    query(
        "update credential set purge_at = ended.number + retention_s * 1000000
         from pairs($1) ended where task_id = ended.word",
    )
    .list(pairs(ended.iter().map(|(task, at)| (*at, task.to_string())))?)
    .execute(tx, "start the retention of credentials")
    .await?;
    query("delete from credential where retention_s = 0 and task_id in list($1)")
        .list(words(ended.keys()))
        .execute(tx, "remove credentials without retention")
        .await?;
    Ok(())
}

/// The host tasks are unfinished again: what is still there of their credentials lives as long as those of a new job.
pub(super) async fn keep_on(tx: &mut Session, tasks: &[TaskId], at: i64) -> Result<(), StoreError> {
    query("update credential set purge_at = $1 where task_id in list($2)")
        .bind(at.saturating_add(UNFINISHED_S * MICROS))
        .list(words(tasks))
        .execute(tx, "keep credentials")
        .await?;
    Ok(())
}

/// Removes the credentials that ended jobs kept of these hosts.
pub(super) async fn remove(tx: &mut Session, gone: &[Address]) -> Result<(), StoreError> {
    if gone.is_empty() {
        return Ok(());
    }
    query(
        "delete from credential where task_id in (
             select t.id from pairs($1) gone cross join host_task t where t.cloud = gone.number and t.ip = gone.word)",
    )
    .list(hosts(gone)?)
    .execute(tx, "remove kept credentials")
    .await?;
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
pub(super) async fn read(record: &Record, task: TaskId) -> Result<Option<Credential>, StoreError> {
    let mut on = record.read().await?;
    let sealed: Option<SealedRecord> = query("select key_id, nonce, sealed from credential where task_id = $1")
        .bind(task.to_string())
        .optional(&mut on, "read a credential")
        .await?;
    sealed.map(|sealed| record.seal.unseal(task, &sealed.into())).transpose()
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
pub(super) async fn kept_logins(record: &Record, asked: &[Address]) -> Result<Vec<(Address, HostSpec, Credential)>, StoreError> {
    let mut on = record.read().await?;
    let records: Vec<LoginRecord> = query(
        "select id, cloud, ip, spec, key_id, nonce, sealed from (
             select t.id, t.cloud, t.ip, t.spec, c.key_id, c.nonce, c.sealed, asked.place,
                    row_number() over (partition by t.cloud, t.ip order by t.job_id desc, t.host_index desc) as age
             from pairs($1) asked cross join host_task t cross join credential c
             where t.cloud = asked.number and t.ip = asked.word and c.task_id = t.id) login
         where age = 1 order by place",
    )
    .list(hosts(asked)?)
    .all(&mut on, "read kept credentials")
    .await?;
    drop(on);
    let seal = record.seal.clone();
    computed(move || records.into_iter().map(|record| record.login(&seal)).collect()).await
}

/// For which of these hosts a credential is kept, and until when.
pub(super) async fn kept_until(on: &mut Session, asked: &[Address]) -> Result<Vec<(Address, Option<Timestamp>)>, StoreError> {
    let kept = |(cloud, text, until): (i64, String, Option<i64>)| {
        Ok((Address { cloud, ip: ip(&text)? }, until.map(moment).transpose()?))
    };
    query(
        "select cloud, ip, purge_at from (
             select t.cloud, t.ip, c.purge_at, asked.place,
                    row_number() over (partition by t.cloud, t.ip order by t.job_id desc, t.host_index desc) as age
             from pairs($1) asked cross join host_task t cross join credential c
             where t.cloud = asked.number and t.ip = asked.word and c.task_id = t.id) login
         where age = 1 order by place",
    )
    .list(hosts(asked)?)
    .each(on, "look for kept credentials", kept)
    .await
}

/// What is read of a host task's description.
#[derive(Deserialize)]
struct Described {
    host: HostSpec,
}

impl LoginRecord {
    fn login(self, seal: &Seal) -> Result<(Address, HostSpec, Credential), StoreError> {
        let address = Address { cloud: self.cloud, ip: ip(&self.ip)? };
        let credential = seal.unseal(task_id(&self.id)?, &self.sealed.into())?;
        let described: Described = of_json("host task", &self.spec)?;
        Ok((address, described.host, credential))
    }
}

/// Removes credentials whose time has come.
pub(super) async fn purge(record: &Record, now: Timestamp) -> Result<u64, StoreError> {
    let mut tx = record.begin().await?;
    // Rows that another transaction has in hand are left for the next time: waiting for them could be mutual.
    let done = either(
        "delete from credential where purge_at <= $1",
        "delete from credential where task_id in
             (select task_id from credential where purge_at <= $1 for update skip locked)",
    )
    .bind(micros(now))
    .execute(&mut tx, "purge credentials")
    .await?;
    tx.commit("purge credentials").await?;
    Ok(done)
}
