//! Submissions that came with a key: each is recorded once, whoever else comes with the same key at the same time.
//!
//! The key's row comes first in the transaction that records the job. A twin waits for that row, and finds the job when the
//! transaction is over, or takes the row itself when nothing came of it.
//!
//! Never here: whether what came again is the same (the caller compares fingerprints).

use super::Record;
use super::session::{Session, query};
use crate::domain::Timestamp;
use crate::domain::id::JobId;
use crate::store::row::{corrupt, micros};
use crate::store::{First, KEY_LIFE, Once, StoreError};

/// Takes the key for this transaction; what came first where somebody else has it.
pub(super) async fn take(tx: &mut Session, once: &Once, at: i64) -> Result<Option<First>, StoreError> {
    let life = i64::try_from(KEY_LIFE.as_micros()).unwrap_or(i64::MAX);
    let taken = query(
        "insert into submission_key (app, key, fingerprint, answer, expires_at) values ($1, $2, $3, $4, $5)
         on conflict (app, key) do update set fingerprint = excluded.fingerprint, job_id = null, answer = excluded.answer,
             expires_at = excluded.expires_at
         where submission_key.expires_at <= $6",
    )
    .bind(once.app.as_str())
    .bind(once.key.as_str())
    .bind(once.fingerprint.as_str())
    .bind(once.answer.as_str())
    .bind(at.saturating_add(life))
    .bind(at)
    .execute(tx, "take a key")
    .await?;
    if taken > 0 {
        return Ok(None);
    }
    let first = first(tx, (&once.app, &once.key), at).await?;
    first.map(Some).ok_or_else(|| corrupt("a key is taken, and nothing came of it"))
}

/// Notes the job that came of it.
pub(super) async fn note(tx: &mut Session, once: &Once, job: JobId) -> Result<(), StoreError> {
    query("update submission_key set job_id = $3 where app = $1 and key = $2")
        .bind(once.app.as_str())
        .bind(once.key.as_str())
        .bind(job.0)
        .execute(tx, "note the job of a key")
        .await?;
    Ok(())
}

/// What came first with a key, as long as that counts.
pub(super) async fn first(on: &mut Session, (app, key): (&str, &str), at: i64) -> Result<Option<First>, StoreError> {
    let record: Option<(i64, String, String)> = query(
        "select job_id, fingerprint, answer from submission_key
         where app = $1 and key = $2 and expires_at > $3 and job_id is not null",
    )
    .bind(app)
    .bind(key)
    .bind(at)
    .optional(on, "look for a key")
    .await?;
    Ok(record.map(|(job, fingerprint, answer)| First { job: JobId(job), fingerprint, answer }))
}

/// Removes the keys whose time is over.
pub(super) async fn purge(record: &Record, now: Timestamp) -> Result<u64, StoreError> {
    let mut tx = record.begin().await?;
    let done = query("delete from submission_key where expires_at <= $1")
        .bind(micros(now))
        .execute(&mut tx, "purge keys of submissions")
        .await?;
    tx.commit("purge keys of submissions").await?;
    Ok(done)
}
