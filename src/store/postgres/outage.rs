//! When the server is away for a while: it restarts, it fails over, a connection breaks.
//!
//! A transaction that broke before its commit was sent left nothing, and is tried again as a whole. Of one whose commit got
//! no answer the server is asked what became of it, so nothing is written twice and nothing acknowledged is lost.
//!
//! Never here: what a transaction does. To call another fault passing: [`is_passing`].

use std::future::Future;
use std::io::ErrorKind;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sqlx::{PgPool, Postgres, Transaction};
use tokio::time::{Instant, sleep, timeout};
use uuid::Uuid;

use super::news;
use crate::store::StoreError;
use crate::store::news::Topic;
use crate::store::sql::failed;
use crate::store::sql::session::Session;

/// How long the server may be away before somebody is told.
const PATIENCE: Duration = Duration::from_secs(10);
/// Pause between two tries.
const PAUSE: Duration = Duration::from_millis(100);
/// Longest wait for one answer. The server ends a statement before that; this is for a server that is gone without a word.
pub(in crate::store) const ANSWER: Duration = Duration::from_secs(45);

/// Does the transaction until it is done or fails for good. Nothing of a failed try is left.
pub(in crate::store) async fn again<T, F>(mut transaction: impl FnMut() -> F + Send) -> Result<T, StoreError>
where
    F: Future<Output = Result<T, StoreError>> + Send,
{
    let begun = Instant::now();
    loop {
        match transaction().await {
            Err(StoreError::Unavailable { source, .. })
                if source.downcast_ref().is_some_and(is_passing) && begun.elapsed() < PATIENCE => {}
            done => return done,
        }
        sleep(PAUSE).await;
    }
}

/// The server, as this process writes to it.
#[derive(Debug)]
pub(in crate::store) struct Server {
    pool: PgPool,
    /// Marks of transactions whose commit was answered: nobody will ask for them again.
    answered: Mutex<Vec<String>>,
}

impl Server {
    pub(super) fn new(pool: PgPool) -> Self {
        Self { pool, answered: Mutex::default() }
    }

    /// Begins a transaction on a live connection; waits for the server to come back.
    pub(in crate::store) async fn begin(self: &Arc<Self>, statement: &'static str) -> Result<Session, StoreError> {
        let what = "begin a transaction";
        let begun = Instant::now();
        loop {
            match within(what, self.pool.begin_with(statement)).await? {
                Ok(tx) => return Ok(Session::Postgres(tx, self.clone())),
                Err(error) if is_passing(&error) && begun.elapsed() < PATIENCE => sleep(PAUSE).await,
                Err(error) => return Err(failed(what)(error)),
            }
        }
    }

    /// Commits, and finds out whether it did when there was no answer. The transaction leaves a mark for that; its number
    /// would not do, for a server that crashed gives numbers again.
    pub(in crate::store) async fn commit(
        &self,
        mut tx: Transaction<'static, Postgres>,
        topics: &[Topic],
        what: &'static str,
    ) -> Result<(), StoreError> {
        let mark = Uuid::now_v7().to_string();
        let answered = std::mem::take(&mut *self.answered());
        // News are told with the same statement, by the commit.
        let marked = sqlx::query(
            "with old as (delete from written where mark = any($2)) insert into written (mark)
             select $1 where (select count(pg_notify($3, word)) from unnest($4::text[]) as word) >= 0",
        )
        .bind(&mark)
        .bind(answered)
        .bind(news::CHANNEL)
        .bind(topics.iter().filter_map(|topic| news::word(*topic)).collect::<Vec<_>>())
        .execute(&mut *tx);
        within(what, marked).await?.map_err(failed(what))?;
        let why = match timeout(ANSWER, tx.commit()).await {
            Ok(Ok(())) => None,
            Ok(Err(error)) if !is_passing(&error) => return Err(failed(what)(error)),
            Ok(Err(error)) => Some(failed(what)(error)),
            Err(_) => Some(silent(what)),
        };
        match why {
            Some(why) if !self.became_durable(&mark, what).await? => Err(why),
            _ => {
                self.answered().push(mark);
                Ok(())
            }
        }
    }

    /// Did the transaction with this mark become durable? Leaves the mark itself when it did not. So whoever is still about
    /// to commit it is waited for, and whoever comes later can not.
    async fn became_durable(&self, mark: &str, what: &'static str) -> Result<bool, StoreError> {
        let begun = Instant::now();
        while begun.elapsed() < PATIENCE {
            let left =
                sqlx::query("insert into written (mark) values ($1) on conflict do nothing").bind(mark).execute(&self.pool);
            match timeout(ANSWER, left).await {
                Ok(Ok(done)) => return Ok(done.rows_affected() == 0),
                Ok(Err(_)) | Err(_) => sleep(PAUSE).await,
            }
        }
        let unknown = "the connection broke and the server does not say whether it was written";
        Err(StoreError::Unavailable { what: what.into(), source: unknown.into() })
    }

    fn answered(&self) -> MutexGuard<'_, Vec<String>> {
        self.answered.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An answer with a deadline.
pub(in crate::store) async fn within<F: Future>(what: &'static str, answer: F) -> Result<F::Output, StoreError> {
    timeout(ANSWER, answer).await.map_err(|_| silent(what))
}

fn silent(what: &'static str) -> StoreError {
    StoreError::Unavailable { what: what.into(), source: "the database does not answer".into() }
}

/// Will it go by, and did it leave nothing behind?
fn is_passing(error: &sqlx::Error) -> bool {
    match error {
        // 08 connection; 57P01 to 57P03 shutting down, crashed, starting up; 40001 and 40P01 two transactions in each
        // other's way; 53300 too many connections.
        sqlx::Error::Database(error) => error.code().is_some_and(|code| {
            code.starts_with("08") || matches!(&*code, "57P01" | "57P02" | "57P03" | "40001" | "40P01" | "53300")
        }),
        // Not found: the socket of a server that is down.
        sqlx::Error::Io(error) => matches!(
            error.kind(),
            ErrorKind::NotFound
                | ErrorKind::ConnectionRefused
                | ErrorKind::ConnectionReset
                | ErrorKind::ConnectionAborted
                | ErrorKind::BrokenPipe
                | ErrorKind::NotConnected
                | ErrorKind::UnexpectedEof
                | ErrorKind::TimedOut
        ),
        _ => false,
    }
}
