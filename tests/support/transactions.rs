//! The cost of a job in write transactions, counted by the databases themselves.

#![allow(dead_code, unreachable_pub, reason = "the bench and the test use their own part of this")]

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use landfall::domain::job::{JobKind, Status};
use landfall::domain::site::Site;
use landfall::engine::Ended;
use landfall::engine::cancel::Stop;
use landfall::meters;
use landfall::store::Store;
use landfall::store::postgres::PostgresStore;
use landfall::store::seal::Seal;
use landfall::store::sqlite::SqliteStore;
use sqlx::{Connection, PgConnection, SqliteConnection};

use crate::fake::Fleet;
use crate::order::{Shelf, WallClock, engine, order};
use crate::postgres::Server;

/// Where the record is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Record {
    Sqlite,
    Postgres,
}

/// What a job cost.
#[derive(Clone, Copy, Debug)]
pub struct Cost {
    /// Transactions that wrote, as the database counts them; all of them, that which recorded the job too.
    pub counted: u64,
    /// Those of the journal, as it counts them.
    pub journal: u64,
    pub took: Duration,
}

impl Record {
    pub const ALL: [Self; 2] = [Self::Sqlite, Self::Postgres];

    pub fn name(self) -> &'static str {
        match self {
            Self::Sqlite => "SQLite",
            Self::Postgres => "PostgreSQL",
        }
    }
}

/// Installs an agent on so many hosts that are not there, and gives what that cost.
pub async fn install(record: Record, hosts: usize) -> Cost {
    let dir = tempfile::tempdir().unwrap();
    let seal = Seal::open(&dir.path().join("key")).unwrap();
    match record {
        Record::Sqlite => {
            let file = dir.path().join("landfall.db");
            let store = SqliteStore::open(&file, dir.path(), seal).await.unwrap();
            let log = Log::keep(&file).await;
            let before = log.commits();
            let (journal, took) = run(Arc::new(store), hosts).await;
            Cost { counted: log.commits() - before, journal, took }
        }
        Record::Postgres => {
            let server = Server::shared().await;
            let url = server.database().await;
            let store = PostgresStore::open(&url, Duration::from_secs(15), seal).await.unwrap();
            let mut outside = PgConnection::connect(&url).await.unwrap();
            let before = written(&mut outside).await;
            let (journal, took) = run(Arc::new(store), hosts).await;
            // The look before was one of them.
            Cost { counted: written(&mut outside).await - before - 1, journal, took }
        }
    }
}

async fn run(store: Arc<dyn Store>, hosts: usize) -> (u64, Duration) {
    meters::start();
    let (site, fleet, clock) = (Site::default(), Arc::new(Fleet::of(hosts)), Arc::new(WallClock::new()));
    let before = journaled();
    let begun = Instant::now();
    let new = order(&fleet, JobKind::InstallAgent, &site, |_| {});
    let job = store.create_job(new, landfall::engine::clock::Clock::now(&*clock)).await.unwrap();
    let lease = store.join(job).await.unwrap();
    let executor = engine(store.clone(), (fleet, Arc::new(Shelf::of(300_000)), clock), &site);
    assert_eq!(executor.run(job, lease.as_ref(), Stop::new()).await.unwrap(), Ended::Finished);
    let took = begun.elapsed();
    let row = store.job(job).await.unwrap().unwrap();
    assert_eq!((row.status, row.statistics.success_count), (Status::Success, hosts as u64));
    (journaled() - before, took)
}

/// What the journal says of itself.
fn journaled() -> u64 {
    let text = meters::text().unwrap();
    let count = text.lines().find_map(|line| line.strip_prefix("landfall_journal_transactions_total "));
    count.expect("the journal counts").parse().unwrap()
}

/// PostgreSQL numbers a transaction when it writes, and this look is one that has a number.
async fn written(outside: &mut PgConnection) -> u64 {
    let number: String = sqlx::query_scalar("select txid_current()::text").fetch_one(outside).await.unwrap();
    number.parse().unwrap()
}

/// SQLite's write-ahead log. As long as somebody reads an old state, none of it is written over.
struct Log {
    file: std::path::PathBuf,
    _reader: SqliteConnection,
}

impl Log {
    async fn keep(database: &Path) -> Self {
        let url = format!("sqlite://{}?mode=ro", database.display());
        let mut reader = SqliteConnection::connect(&url).await.unwrap();
        sqlx::query("begin").execute(&mut reader).await.unwrap();
        sqlx::query("select count(*) from job").execute(&mut reader).await.unwrap();
        let mut file = database.as_os_str().to_owned();
        file.push("-wal");
        Self { file: file.into(), _reader: reader }
    }

    /// Frames that end a transaction: their header has the size of the database after it, that of others 0.
    fn commits(&self) -> u64 {
        let log = std::fs::read(&self.file).unwrap();
        let number = |bytes: &[u8]| u32::from_be_bytes(bytes.try_into().unwrap());
        let (page, salt) = (number(&log[8..12]) as usize, &log[16..24]);
        let frames = log[32..].chunks_exact(24 + page).take_while(|frame| &frame[8..16] == salt);
        frames.filter(|frame| number(&frame[4..8]) > 0).count() as u64
    }
}
