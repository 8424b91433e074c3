//! Who holds a job: rows with an end, which their holders put off again and again. A job has one holder, or any number of
//! executors that share it; each host of it belongs to the hold under which it was claimed.
//!
//! The end is a time of the database, so the clocks of executors do not matter. Three times within a lease the holder renews
//! it. One that could not for two thirds of a lease counts it as lost ([`Lease::lost`]) while there is still a third left to
//! let go in; it measures with a clock that goes on while the machine sleeps. Whoever wants a job that somebody holds looks
//! whether the hold is still renewed: then it is [`StoreError::Held`]; a hold that nobody renews is taken when it ends.
//!
//! Never here: claims and epochs, which fence what a former holder may still write.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use nix::time::{ClockId, clock_gettime};
use sqlx::PgPool;
use tokio::runtime::Handle;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;
use uuid::Uuid;

use super::news::CHANNEL;
use super::outage::{again, within};
use crate::domain::id::JobId;
use crate::store::sql::{Holds, failed};
use crate::store::{Lease, StoreError};

/// Those who want to hold a job queue up at this number plus the job's.
const GATE: i64 = 5_007_216_000_000;
/// Pause between two looks at a hold of somebody else.
const LOOK: Duration = Duration::from_millis(200);

/// Jobs are held by rows of the table `lease`.
#[derive(Clone, Debug)]
pub struct LeaseTable(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    pool: PgPool,
    lease: Duration,
    /// News of other processes are heard as long as the table is there.
    _ear: AbortOnDropHandle<()>,
    /// Holds that were let go of and whose rows may still be there.
    released: Mutex<Vec<String>>,
}

/// A row as somebody else sees it.
#[derive(sqlx::FromRow)]
struct Hold {
    owner: String,
    pid: i64,
    renewals: i64,
}

impl LeaseTable {
    pub(super) fn new(pool: PgPool, lease: Duration, ear: AbortOnDropHandle<()>) -> Self {
        Self(Arc::new(Inner { pool, lease, _ear: ear, released: Mutex::default() }))
    }
}

#[async_trait]
impl Holds for LeaseTable {
    async fn hold(&self, job: JobId) -> Result<Box<dyn Lease>, StoreError> {
        again(|| self.0.forget_released()).await?;
        let owner = Uuid::now_v7().to_string();
        let begun = Instant::now();
        let mut first: Option<Hold> = None;
        loop {
            let asked = boot_time();
            if again(|| self.0.take(job, &owner, Share::Alone)).await? {
                return Ok(Box::new(RowLease::renewed(self.0.clone(), (job, owner), Share::Alone, asked)));
            }
            // None: it was let go of just now.
            if let Some(hold) = again(|| self.0.look(job)).await? {
                let pid = u32::try_from(hold.pid).unwrap_or(0);
                let alive = |first: &Hold| first.owner != hold.owner || first.renewals != hold.renewals;
                let ours = pid == std::process::id();
                if ours || first.as_ref().is_some_and(alive) || begun.elapsed() > self.0.lease * 2 {
                    return Err(StoreError::Held { job, pid });
                }
                first.get_or_insert(hold);
            }
            sleep(LOOK.min(self.0.lease / 10)).await;
        }
    }

    async fn join(&self, job: JobId) -> Result<Box<dyn Lease>, StoreError> {
        again(|| self.0.forget_released()).await?;
        let owner = Uuid::now_v7().to_string();
        let asked = boot_time();
        if again(|| self.0.take(job, &owner, Share::WithOthers)).await? {
            return Ok(Box::new(RowLease::renewed(self.0.clone(), (job, owner), Share::WithOthers, asked)));
        }
        let hold = again(|| self.0.look(job)).await?;
        Err(StoreError::Held { job, pid: hold.and_then(|hold| u32::try_from(hold.pid).ok()).unwrap_or(0) })
    }

    async fn holder(&self, job: JobId) -> Result<Option<u32>, StoreError> {
        again(|| self.0.forget_released()).await?;
        Ok(again(|| self.0.look(job)).await?.and_then(|hold| u32::try_from(hold.pid).ok()))
    }

    fn patience(&self) -> Duration {
        self.0.lease
    }
}

impl Inner {
    fn milliseconds(&self) -> i64 {
        i64::try_from(self.lease.as_millis()).unwrap_or(i64::MAX)
    }

    fn released(&self) -> std::sync::MutexGuard<'_, Vec<String>> {
        self.released.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a job that nobody holds any more, or only such as share it too, or that was taken when there was no answer.
    async fn take(&self, job: JobId, owner: &str, share: Share) -> Result<bool, StoreError> {
        let what = "hold a job";
        let taking = async {
            let mut tx = self.pool.begin().await?;
            // One at a time: a row that is not there yet cannot be locked.
            sqlx::query("select pg_advisory_xact_lock($1)").bind(GATE + job.0).execute(&mut *tx).await?;
            let ended = sqlx::query("delete from lease where job_id = $1 and expires_at <= clock_timestamp()");
            ended.bind(job.0).execute(&mut *tx).await?;
            let taken = sqlx::query(
                "insert into lease (job_id, owner, pid, shared, renewals, expires_at)
                 select $1, $2, $3, $4, 0, clock_timestamp() + $5 * interval '1 millisecond'
                 where not exists (select 1 from lease where job_id = $1 and owner <> $2 and (shared = 0 or $4 = 0))
                 on conflict (owner) do update set expires_at = excluded.expires_at",
            )
            .bind(job.0)
            .bind(owner)
            .bind(i64::from(std::process::id()))
            .bind(i64::from(share == Share::WithOthers))
            .bind(self.milliseconds());
            let taken = taken.execute(&mut *tx).await?.rows_affected() > 0;
            tx.commit().await?;
            Ok(taken)
        };
        within(what, taking).await?.map_err(failed(what))
    }

    /// A hold of a job, unless all have ended.
    async fn look(&self, job: JobId) -> Result<Option<Hold>, StoreError> {
        let what = "look who holds a job";
        let hold = sqlx::query_as(
            "select owner, pid, renewals from lease where job_id = $1 and expires_at > clock_timestamp() order by owner limit 1",
        );
        within(what, hold.bind(job.0).fetch_optional(&self.pool)).await?.map_err(failed(what))
    }

    /// False when the hold has ended, for it was renewed too late.
    async fn renew(&self, job: JobId, owner: &str) -> sqlx::Result<bool> {
        let renewed = sqlx::query(
            "update lease set renewals = renewals + 1, expires_at = clock_timestamp() + $3 * interval '1 millisecond'
             where job_id = $1 and owner = $2 and expires_at > clock_timestamp()",
        );
        let done = renewed.bind(job.0).bind(owner).bind(self.milliseconds()).execute(&self.pool).await?;
        Ok(done.rows_affected() > 0)
    }

    /// Removes the rows of holds that were let go of. They stay on the list until that is done.
    async fn forget_released(&self) -> Result<(), StoreError> {
        let owners = self.released().clone();
        if owners.is_empty() {
            return Ok(());
        }
        let what = "let go of a job";
        // Whoever waits for work need not wait for a look.
        let gone = sqlx::query(
            "with gone as (delete from lease where owner = any($1) returning job_id)
             select pg_notify($2, 'asked ' || job_id) from gone",
        );
        let gone = gone.bind(&owners).bind(CHANNEL).execute(&self.pool);
        within(what, gone).await?.map_err(failed(what))?;
        self.released().retain(|owner| !owners.contains(owner));
        Ok(())
    }
}

/// Does a hold leave room for others?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Share {
    Alone,
    WithOthers,
}

/// A hold of this process.
#[derive(Debug)]
struct RowLease {
    table: Arc<Inner>,
    owner: String,
    share: Share,
    lost: CancellationToken,
    over: CancellationToken,
}

impl RowLease {
    /// Keeps renewing it in the background.
    fn renewed(table: Arc<Inner>, (job, owner): (JobId, String), share: Share, taken: Duration) -> Self {
        let (lost, over) = (CancellationToken::new(), CancellationToken::new());
        let keeper = Keeper { table: table.clone(), job, owner: owner.clone(), renewed: taken };
        let (tell, until) = (lost.clone(), over.clone());
        tokio::spawn(async move {
            // Told only when it ends by itself.
            if until.run_until_cancelled(keeper.keep()).await.is_some() {
                tell.cancel();
            }
        });
        Self { table, owner, share, lost, over }
    }
}

#[async_trait]
impl Lease for RowLease {
    fn owner(&self) -> &str {
        &self.owner
    }

    fn is_shared(&self) -> bool {
        self.share == Share::WithOthers
    }

    async fn lost(&self) {
        self.lost.cancelled().await;
    }

    async fn release(self: Box<Self>) {
        let table = self.table.clone();
        drop(self);
        // When this fails the hold ends by itself.
        let _ = timeout(table.lease, table.forget_released()).await;
    }
}

impl Drop for RowLease {
    fn drop(&mut self) {
        self.over.cancel();
        self.table.released().push(self.owner.clone());
        if let Ok(runtime) = Handle::try_current() {
            let table = self.table.clone();
            runtime.spawn(async move { timeout(table.lease, table.forget_released()).await });
        }
    }
}

/// What renews a hold.
struct Keeper {
    table: Arc<Inner>,
    job: JobId,
    owner: String,
    /// When the last successful renewal was asked for.
    renewed: Duration,
}

impl Keeper {
    /// Ends when the hold is lost.
    async fn keep(mut self) {
        let lease = self.table.lease;
        let mut pause = lease / 3;
        loop {
            // Asleep at most until it counts as lost.
            sleep(pause.min(self.left())).await;
            let asked = boot_time();
            let left = self.left();
            if left.is_zero() {
                return;
            }
            match timeout(left, self.table.renew(self.job, &self.owner)).await {
                Ok(Ok(true)) => (self.renewed, pause) = (asked, lease / 3),
                Ok(Ok(false)) => return,
                Ok(Err(_)) | Err(_) => pause = lease / 30,
            }
        }
    }

    /// Until the hold counts as lost.
    fn left(&self) -> Duration {
        (self.table.lease * 2 / 3).saturating_sub(boot_time().saturating_sub(self.renewed))
    }
}

/// A clock that goes on while the machine sleeps.
fn boot_time() -> Duration {
    // It cannot fail where it exists, and every Linux has it.
    clock_gettime(ClockId::CLOCK_BOOTTIME).map(Duration::from).unwrap_or_default()
}
