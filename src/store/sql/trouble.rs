//! What the databases say when something is wrong, in the record's own terms.
//!
//! Never here: what is done about it (`outage`).

use sqlx::migrate::MigrateError;

use crate::store::StoreError;
use crate::store::row::corrupt;

/// Translates what sqlx says, once. `what` was tried.
pub(in crate::store) fn failed(what: &'static str) -> impl Fn(sqlx::Error) -> StoreError {
    move |error| {
        if matches!(error, sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_)) || says_corrupt(&error) {
            return corrupt(error.to_string());
        }
        StoreError::Unavailable { what: what.into(), source: Box::new(error) }
    }
}

/// PostgreSQL's codes are five characters; SQLite's are numbers whose low byte is the family: 11 SQLITE_CORRUPT, 26
/// SQLITE_NOTADB.
fn says_corrupt(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(|error| error.code());
    code.is_some_and(|code| match code.len() {
        5 => matches!(&*code, "XX001" | "XX002"),
        _ => code.parse::<u32>().is_ok_and(|number| matches!(number & 0xff, 11 | 26)),
    })
}

/// What is wrong when a record cannot be brought to this release's form.
pub(in crate::store) fn not_migrated(error: MigrateError) -> StoreError {
    match error {
        MigrateError::VersionMissing(version) => {
            corrupt(format!("a later release of landfall wrote it (migration {version}): use that release"))
        }
        MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _) => {
            failed("bring the job record up to date")(error)
        }
        error => corrupt(error.to_string()),
    }
}
