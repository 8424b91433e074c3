//! Sealed credentials: how they get in, when they go, and who may still use them.
//!
//! A transaction that seals asks the record under which key ([`sealing_key`]), so that none comes in under the old one once
//! keys are being changed (`keys`).
//!
//! Retention runs from the terminal state of the host task. Until then the credential is kept, but never longer than
//! [`UNFINISHED_S`]: a job that nobody takes up must not keep a password for ever.
//!
//! Never here: the cipher (`store::seal`) and the clock that decides when to purge (the caller's).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::Deserialize;
use sqlx::FromRow;

use super::insert::{Target, insert};
use super::session::{Session, either, hosts, pairs, query, words};
use super::{Record, computed};
use crate::domain::Timestamp;
use crate::domain::credential::{Credential, Retention};
use crate::domain::host::{Address, HostSpec};
use crate::domain::id::{JobId, TaskId};
use crate::store::row::{ip, json, micros, moment, of_json, task_id};
use crate::store::seal::{Bound, Seal, Sealed, foreign_key};
use crate::store::{NewLogin, StoreError};

/// Longest life of a credential whose host task has not ended, seconds: 7 days (DESIGN 11).
const UNFINISHED_S: i64 = 7 * 86_400;
/// Longest retention that is not long term, seconds: a hundred years, so that moments stay within 64 bits.
const RETENTION_CAP_S: i64 = 100 * 365 * 86_400;
const MICROS: i64 = 1_000_000;

/// A row of `credential`.
#[derive(Clone)]
pub(super) struct SealedRow {
    pub(super) task: TaskId,
    pub(super) sealed: Sealed,
    pub(super) retention_s: Option<i64>,
    /// Null only for long term credentials of host tasks that have ended.
    pub(super) purge_at: Option<i64>,
}

impl SealedRow {
    /// The row of a host task that was recorded just now.
    pub(super) fn new(task: TaskId, sealed: Sealed, retention: Retention, created_at: i64) -> Self {
        let retention_s = retention.seconds().map(|seconds| seconds.min(RETENTION_CAP_S));
        Self { task, sealed, retention_s, purge_at: Some(created_at.saturating_add(UNFINISHED_S * MICROS)) }
    }

    /// The same secret under the key that is used now.
    pub(super) fn sealed_anew(mut self, seal: &Seal) -> Result<Self, StoreError> {
        self.sealed = seal.reseal(Bound::Credential(self.task), &self.sealed)?;
        Ok(self)
    }
}

/// Secrets that cannot be opened are found when the record is opened, not when the first host needs one.
pub(in crate::store) async fn check_key(on: &mut Session, seal: &Seal) -> Result<(), StoreError> {
    let known = seal.known();
    let (Some(low), Some(high)) = (known.iter().min(), known.iter().max()) else { return Ok(()) };
    // Ranges instead of `not in`: a look at a few places of the index, however many rows there are.
    let foreign: Option<(String,)> = query(
        "select key_id from credential where key_id < $1 union all
         select key_id from credential where key_id > $1 and key_id < $2 union all
         select key_id from credential where key_id > $2 union all
         select key_id from key_pair where key_id <> $1 and key_id <> $2 limit 1",
    )
    .bind(low.as_str())
    .bind(high.as_str())
    .optional(on, "look for secrets of another key")
    .await?;
    foreign.map_or(Ok(()), |(key_id,)| Err(foreign_key(&key_id, &known)))
}

/// The key that this transaction has to seal under, where the record names one. Whoever changes that waits until the
/// transaction is over.
pub(super) async fn sealing_key(tx: &mut Session) -> Result<Option<String>, StoreError> {
    let named = either("select key_id from sealing where id = 1", "select key_id from sealing where id = 1 for share");
    let id: String = named.one(tx, "look which key is sealed under").await?;
    Ok(Some(id).filter(|id| !id.is_empty()))
}

/// Inserts credentials. One that is kept of the same host task is replaced.
pub(super) async fn insert_rows(tx: &mut Session, seal: &Arc<Seal>, rows: &[SealedRow]) -> Result<(), StoreError> {
    if rows.is_empty() {
        return Ok(());
    }
    match sealing_key(tx).await? {
        // They were sealed before this began, and keys are being changed, or were since this process looked.
        Some(key) if rows.iter().any(|row| row.sealed.key_id != key) => {
            let (seal, rows) = (seal.clone(), rows.to_vec());
            let anew = move || {
                seal.use_key(&key)?;
                rows.into_iter().map(|row| row.sealed_anew(&seal)).collect::<Result<Vec<_>, _>>()
            };
            put(tx, &computed(anew).await?).await
        }
        _ => put(tx, rows).await,
    }
}

/// Writes rows as they are.
pub(super) async fn put(tx: &mut Session, rows: &[SealedRow]) -> Result<(), StoreError> {
    let table = "credential (task_id, key_id, nonce, sealed, retention_s, purge_at)";
    let tail = "on conflict (task_id) do update set key_id = excluded.key_id, nonce = excluded.nonce,
                sealed = excluded.sealed, retention_s = excluded.retention_s, purge_at = excluded.purge_at";
    insert(tx, Target { table, tail }, rows, |credential| {
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

/// Starts the retention of host tasks that have ended. One of 0 ends at once, in the same transaction; how many did.
pub(super) async fn end(tx: &mut Session, ended: &BTreeMap<TaskId, i64>) -> Result<u64, StoreError> {
    if ended.is_empty() {
        return Ok(0);
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
        .await
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

/// The credentials of these host tasks let us in.
pub(super) async fn proved(tx: &mut Session, tasks: &BTreeSet<TaskId>) -> Result<(), StoreError> {
    if tasks.is_empty() {
        return Ok(());
    }
    query("update credential set proved = 1 where proved = 0 and task_id in list($1)")
        .list(words(tasks))
        .execute(tx, "note which credentials let us in")
        .await?;
    Ok(())
}

/// Removes the credentials of host tasks that ended with their host removed; how many.
pub(super) async fn forget(tx: &mut Session, removed: &BTreeSet<TaskId>) -> Result<u64, StoreError> {
    if removed.is_empty() {
        return Ok(0);
    }
    query("delete from credential where task_id in list($1)")
        .list(words(removed))
        .execute(tx, "remove the credentials of removed hosts")
        .await
}

/// Removes the credentials that ended host tasks kept of these hosts; how many. One that goes on still needs its own: should its
/// executor die now, the next one has to log in.
pub(super) async fn remove(tx: &mut Session, gone: &[Address]) -> Result<u64, StoreError> {
    if gone.is_empty() {
        return Ok(0);
    }
    query(
        "delete from credential where task_id in (
             select t.id from pairs($1) gone cross join host_task t
             where t.cloud = gone.number and t.ip = gone.word and t.open = 0)",
    )
    .list(hosts(gone)?)
    .execute(tx, "remove kept credentials")
    .await
}

#[derive(FromRow)]
pub(super) struct SealedRecord {
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
    drop(on);
    let Some(sealed) = sealed else { return Ok(None) };
    let seal = record.seal.clone();
    // It may have to look into the key file.
    computed(move || seal.unseal(task, &sealed.into()).map(Some)).await
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

/// The newest credential that is kept for each of these hosts and let us in; of none such the newest.
pub(super) async fn kept_logins(record: &Record, asked: &[Address]) -> Result<Vec<(Address, HostSpec, Credential)>, StoreError> {
    let mut on = record.read().await?;
    let records: Vec<LoginRecord> = query(
        "select id, cloud, ip, spec, key_id, nonce, sealed from (
             select t.id, t.cloud, t.ip, t.spec, c.key_id, c.nonce, c.sealed, asked.place,
                    row_number() over (partition by t.cloud, t.ip order by c.proved desc, t.job_id desc, t.host_index desc) as age
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
                    row_number() over (partition by t.cloud, t.ip order by c.proved desc, t.job_id desc, t.host_index desc) as age
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
    record.pools.soil(done);
    record.pools.scrub().await?;
    Ok(done)
}

/// Gives unfinished host tasks that have no credential any more a new one; which.
pub(super) async fn give(record: &Record, job: JobId, drafts: &[LoginDraft]) -> Result<Vec<TaskId>, StoreError> {
    let mut tx = record.begin().await?;
    tx.lock_jobs([job]).await?;
    let lacking: Vec<TaskId> = query(
        "select t.id from host_task t left join credential c on c.task_id = t.id
         where t.job_id = $1 and t.open = 1 and c.task_id is null and t.id in list($2) order by t.host_index",
    )
    .bind(job.0)
    .list(words(drafts.iter().map(|draft| draft.task)))
    .each(&mut tx, "look for hosts without a credential", |(id,): (String,)| task_id(&id))
    .await?;
    replace(&mut tx, &record.seal, drafts.iter().filter(|draft| lacking.contains(&draft.task))).await?;
    tx.commit("give hosts a credential").await?;
    Ok(lacking)
}

/// Another login of a host task, sealed before the transaction begins.
pub(super) struct LoginDraft {
    pub(super) task: TaskId,
    spec: String,
    row: Option<SealedRow>,
}

impl LoginDraft {
    /// Of each of these, away from the tasks that must answer.
    pub(super) async fn of(record: &Record, logins: &[NewLogin], at: Timestamp) -> Result<Vec<Self>, StoreError> {
        let (seal, logins) = (record.seal.clone(), logins.to_vec());
        let draft = move |login: NewLogin| {
            let row = login.credential.map(|credential| seal.seal(login.task, &credential)).transpose()?;
            let row = row.map(|sealed| SealedRow::new(login.task, sealed, login.spec.host.retention, micros(at)));
            Ok(Self { task: login.task, spec: json("host task", &login.spec)?, row })
        };
        computed(move || logins.into_iter().map(draft).collect()).await
    }
}

/// Gives host tasks their other logins.
pub(super) async fn replace(
    tx: &mut Session,
    seal: &Arc<Seal>,
    logins: impl Iterator<Item = &LoginDraft>,
) -> Result<(), StoreError> {
    let mut rows = Vec::new();
    for login in logins {
        query("update host_task set spec = $2 where id = $1")
            .bind(login.task.to_string())
            .bind(login.spec.as_str())
            .execute(tx, "change the login of a host")
            .await?;
        rows.extend(login.row.clone());
    }
    insert_rows(tx, seal, &rows).await?;
    // What let us in before says nothing of the new ones.
    query("update credential set proved = 0 where task_id in list($1)")
        .list(words(rows.iter().map(|row| row.task)))
        .execute(tx, "note which credentials are new")
        .await?;
    Ok(())
}
