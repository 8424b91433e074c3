//! Who asked for what: a line with every submission, retry and cancel, in the transaction of the thing itself.
//!
//! Never here: who may ask.

use super::session::{Cell, Session, query};
use crate::domain::audit::{Asking, AuditLine, Detail};
use crate::domain::id::JobId;
use crate::store::StoreError;
use crate::store::row::{json, moment, of_json, of_word};

/// Writes a line; `at` in microseconds.
pub(super) async fn note(tx: &mut Session, job: JobId, by: &Asking, at: i64, hosts: u64) -> Result<(), StoreError> {
    query("insert into audit (at, job_id, action, app, username, source, detail) values ($1, $2, $3, $4, $5, $6, $7)")
        .bind(at)
        .bind(job.0)
        .bind(by.action.word())
        .bind(Cell::Word(by.asker.app.clone()))
        .bind(by.asker.user.as_str())
        .bind(by.asker.source.to_string())
        .bind(json("detail", &Detail { hosts })?)
        .execute(tx, "write the audit")
        .await?;
    Ok(())
}

type Row = (i64, String, Option<String>, String, String, String);

/// The lines of a job, the first one first.
pub(super) async fn lines(on: &mut Session, job: JobId) -> Result<Vec<AuditLine>, StoreError> {
    query("select at, action, app, username, source, detail from audit where job_id = $1 order by id")
        .bind(job.0)
        .each(on, "read the audit", |(at, action, app, user, source, detail): Row| {
            let (action, detail) = (of_word("deed", &action)?, of_json("detail", &detail)?);
            Ok(AuditLine { at: moment(at)?, action, app, user, source, detail })
        })
        .await
}
