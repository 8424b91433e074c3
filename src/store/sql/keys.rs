//! Keys: pairs that callers seal with, and the change of the key that everything is sealed under.
//!
//! A change goes in steps, and each may be the last one before the power goes: the next key stands in the key file before
//! the record says that it is used; from then on no transaction seals under the old one ([`credentials::sealing_key`]); then
//! what is there is sealed anew, a few rows at a time, until nothing is left and the old key goes from the file.
//!
//! Never here: the file (`store::seal`).

use std::sync::Arc;

use sqlx::FromRow;

use super::credentials::{self, SealedRecord, SealedRow, sealing_key};
use super::session::{Session, either, query};
use super::{Record, computed};
use crate::domain::Timestamp;
use crate::domain::credential::SecretBytes;
use crate::store::row::{micros, task_id};
use crate::store::seal::{Bound, Seal, Sealed};
use crate::store::{KeyChange, Resealed, StoreError};

/// The private half of a key pair.
pub(super) async fn pair(record: &Record, name: &str) -> Result<Option<SecretBytes>, StoreError> {
    let mut on = record.read().await?;
    let sealed: Option<SealedRecord> = query("select key_id, nonce, sealed from key_pair where name = $1")
        .bind(name)
        .optional(&mut on, "read a key pair")
        .await?;
    drop(on);
    let Some(sealed) = sealed else { return Ok(None) };
    let (seal, name) = (record.seal.clone(), name.to_owned());
    computed(move || seal.unseal_pair(&name, &sealed.into()).map(Some)).await
}

/// Keeps a key pair unless there is one.
pub(super) async fn keep_pair(record: &Record, name: &str, private: &SecretBytes, at: Timestamp) -> Result<(), StoreError> {
    let mut tx = record.begin().await?;
    if let Some(key) = sealing_key(&mut tx).await? {
        let seal = record.seal.clone();
        computed(move || seal.use_key(&key)).await?;
    }
    let sealed = record.seal.seal_pair(name, private)?;
    query(
        "insert into key_pair (name, key_id, nonce, sealed, made_at) values ($1, $2, $3, $4, $5)
         on conflict (name) do nothing",
    )
    .bind(name)
    .bind(sealed.key_id)
    .bind(sealed.nonce)
    .bind(sealed.sealed)
    .bind(micros(at))
    .execute(&mut tx, "keep a key pair")
    .await?;
    tx.commit("keep a key pair").await
}

/// One step of a change.
pub(super) async fn reseal(record: &Record, change: &KeyChange, most: u32) -> Result<Resealed, StoreError> {
    let mut tx = record.begin().await?;
    adopt(&mut tx, &record.seal, change).await?;
    let done =
        reseal_credentials(&mut tx, &record.seal, change, most).await? + reseal_pairs(&mut tx, &record.seal, change).await?;
    let left = left(&mut tx, change).await?;
    tx.commit("seal secrets anew").await?;
    record.pools.soil(done);
    Ok(Resealed { done, left })
}

/// From this transaction on everybody seals under the new key.
async fn adopt(tx: &mut Session, seal: &Arc<Seal>, change: &KeyChange) -> Result<(), StoreError> {
    let named = either("select key_id from sealing where id = 1", "select key_id from sealing where id = 1 for update");
    let before: String = named.one(tx, "look which key is sealed under").await?;
    let (seal, to) = (seal.clone(), change.to.clone());
    let differs = before != to;
    computed(move || {
        // A change under another key file: what that one sealed would not open here.
        if !before.is_empty() {
            seal.use_key(&before)?;
        }
        seal.use_key(&to)
    })
    .await?;
    if differs {
        let say = query("update sealing set key_id = $1 where id = 1").bind(change.to.as_str());
        say.execute(tx, "change the key that is sealed under").await?;
    }
    Ok(())
}

#[derive(FromRow)]
struct CredentialRecord {
    task_id: String,
    #[sqlx(flatten)]
    sealed: SealedRecord,
    retention_s: Option<i64>,
    purge_at: Option<i64>,
}

impl TryFrom<CredentialRecord> for SealedRow {
    type Error = StoreError;

    fn try_from(record: CredentialRecord) -> Result<Self, StoreError> {
        let CredentialRecord { task_id: task, sealed, retention_s, purge_at } = record;
        Ok(Self { task: task_id(&task)?, sealed: sealed.into(), retention_s, purge_at })
    }
}

async fn reseal_credentials(tx: &mut Session, seal: &Arc<Seal>, change: &KeyChange, most: u32) -> Result<u64, StoreError> {
    // Rows that another transaction has in hand come later: waiting for them could be mutual.
    let rows = either(
        "select task_id, key_id, nonce, sealed, retention_s, purge_at from credential where key_id = $1 limit $2",
        "select task_id, key_id, nonce, sealed, retention_s, purge_at from credential where key_id = $1 limit $2
         for update skip locked",
    )
    .bind(change.from.as_str())
    .bind(i64::from(most))
    .each(tx, "read secrets of the old key", |record: CredentialRecord| SealedRow::try_from(record))
    .await?;
    let seal = seal.clone();
    let rows = computed(move || rows.into_iter().map(|row| row.sealed_anew(&seal)).collect::<Result<Vec<_>, _>>()).await?;
    credentials::put(tx, &rows).await?;
    Ok(rows.len() as u64)
}

#[derive(FromRow)]
struct PairRecord {
    name: String,
    #[sqlx(flatten)]
    sealed: SealedRecord,
}

/// There are few.
async fn reseal_pairs(tx: &mut Session, seal: &Arc<Seal>, change: &KeyChange) -> Result<u64, StoreError> {
    let pairs: Vec<PairRecord> = query("select name, key_id, nonce, sealed from key_pair where key_id = $1")
        .bind(change.from.as_str())
        .all(tx, "read key pairs of the old key")
        .await?;
    let count = pairs.len() as u64;
    for PairRecord { name, sealed } in pairs {
        let sealed: Sealed = seal.reseal(Bound::KeyPair(&name), &sealed.into())?;
        query("update key_pair set key_id = $2, nonce = $3, sealed = $4 where name = $1")
            .bind(name)
            .bind(sealed.key_id)
            .bind(sealed.nonce)
            .bind(sealed.sealed)
            .execute(tx, "seal a key pair anew")
            .await?;
    }
    Ok(count)
}

/// Secrets that are under the old key still.
async fn left(on: &mut Session, change: &KeyChange) -> Result<u64, StoreError> {
    let left: i64 =
        query("select (select count(*) from credential where key_id = $1) + (select count(*) from key_pair where key_id = $1)")
            .bind(change.from.as_str())
            .one(on, "count the secrets of the old key")
            .await?;
    Ok(left.unsigned_abs())
}

/// The end of a change.
pub(super) async fn retire(record: &Record, change: &KeyChange) -> Result<(), StoreError> {
    let left = left(&mut record.read().await?, change).await?;
    if left > 0 {
        return Err(StoreError::Conflict(format!("{left} secrets are sealed under the old key still")));
    }
    let (seal, change) = (record.seal.clone(), change.clone());
    computed(move || seal.retire(&change)).await?;
    record.pools.scrub().await
}
