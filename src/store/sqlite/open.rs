//! Opening the file: permissions, pragmas, migrations, pools.
//!
//! Never here: queries. To add a pragma: [`options`], with the reason.

use std::fs::{DirBuilder, File, OpenOptions, Permissions};
use std::io::ErrorKind;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{AssertSqlSafe, ConnectOptions, SqlitePool};

use super::{computed, failed, not_migrated};
use crate::store::StoreError;

/// How long a statement waits for another process's transaction. The longest of ours (a job of 10,000 hosts) takes a second.
const BUSY_TIMEOUT: Duration = Duration::from_secs(30);
/// Connections that read: the doors ask one question at a time each, and the machine has few cores.
const READERS: u32 = 4;
/// The write-ahead log keeps at most this much room after a checkpoint, bytes.
const WAL_KEPT: &str = "67108864";

/// Opens the file: the pool of the one writer, and that of the readers.
pub(super) async fn pools(path: &Path) -> Result<(SqlitePool, SqlitePool), StoreError> {
    let owned = path.to_owned();
    // Held while the file is made and migrated. SQLite cannot wait for a change to WAL, and two processes that find a new
    // file would both run its first migration.
    let _turn = computed(move || turn(&owned)).await?;
    let writer = pool(1, options(path).journal_mode(SqliteJournalMode::Wal).create_if_missing(true)).await?;
    sqlx::migrate!("src/store/migrations/sqlite").run(&writer).await.map_err(not_migrated)?;
    let readers = pool(READERS, options(path).read_only(true)).await?;
    Ok((writer, readers))
}

/// What every connection is told.
fn options(path: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(path)
        .synchronous(SqliteSynchronous::Full)
        .foreign_keys(true)
        .busy_timeout(BUSY_TIMEOUT)
        // A purged credential is overwritten, not only unlinked. `fast` would leave large ones, keys, on free pages.
        .pragma("secure_delete", "on")
        .pragma("journal_size_limit", WAL_KEPT)
        .disable_statement_logging()
}

async fn pool(connections: u32, options: SqliteConnectOptions) -> Result<SqlitePool, StoreError> {
    SqlitePoolOptions::new()
        .max_connections(connections)
        .min_connections(1)
        // A file does not go away as a server does: connections live as long as the process and need no check.
        .idle_timeout(None)
        .max_lifetime(None)
        .test_before_acquire(false)
        .acquire_timeout(BUSY_TIMEOUT * 2)
        .connect_with(options)
        .await
        .map_err(failed("open the job record"))
}

/// Brings the log into the file and empties it; false when somebody reads it for longer than can be waited.
pub(in crate::store) async fn truncate_log(writer: &SqlitePool) -> Result<bool, StoreError> {
    let what = "empty the log of the job record";
    let mut connection = writer.acquire().await.map_err(failed(what))?;
    // Whoever wants to write waits as long.
    sqlx::query("pragma busy_timeout = 2000").execute(&mut *connection).await.map_err(failed(what))?;
    let done = sqlx::query_as::<_, (i64, i64, i64)>("pragma wal_checkpoint(truncate)").fetch_one(&mut *connection).await;
    let usual = format!("pragma busy_timeout = {}", BUSY_TIMEOUT.as_millis());
    sqlx::query(AssertSqlSafe(usual)).execute(&mut *connection).await.map_err(failed(what))?;
    let (busy, _, _) = done.map_err(failed(what))?;
    Ok(busy == 0)
}

/// Makes file and directory as they must be, and waits for this process's turn to open the file.
fn turn(path: &Path) -> Result<File, StoreError> {
    let unusable = |what: &str, path: &Path, source: std::io::Error| StoreError::Unavailable {
        what: format!("{what} {}", path.display()),
        source: Box::new(source),
    };
    if let Some(directory) = path.parent().filter(|directory| !directory.as_os_str().is_empty()) {
        let made = DirBuilder::new().recursive(true).mode(0o700).create(directory);
        made.map_err(|error| unusable("make directory", directory, error))?;
    }
    make_private(path).map_err(|error| unusable("make", path, error))?;
    let lock_path = lock_path(path);
    let lock = OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(&lock_path);
    let lock = lock.map_err(|error| unusable("open", &lock_path, error))?;
    let begun = Instant::now();
    while let Err(error) = lock.try_lock() {
        if begun.elapsed() > BUSY_TIMEOUT {
            return Err(unusable("lock", &lock_path, error.into()));
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(lock)
}

/// Makes the file for its owner only; SQLite gives its log and index files the same mode. A file that is there is not
/// opened: closing it would drop every lock that this process holds on it through SQLite.
fn make_private(path: &Path) -> std::io::Result<()> {
    match OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
        made => return made.map(drop),
    }
    if std::fs::metadata(path)?.mode() & 0o077 == 0 {
        return Ok(());
    }
    std::fs::set_permissions(path, Permissions::from_mode(0o600))
}

/// A file of its own: the locks on the database file are SQLite's.
fn lock_path(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".lock");
    name.into()
}
