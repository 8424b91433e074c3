//! A PostgreSQL for tests: one server for all tests of a run, and a database of its own for each.
//!
//! The server belongs to whoever runs the tests (nextest, cargo, a shell) and goes down with it. The first test that needs
//! it brings it up, the others wait for that. A test that stops its server has one of its own ([`Server::own`]).

#![allow(dead_code, reason = "every test binary uses its own part of this")]

use std::fs::{DirBuilder, File};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};

/// The database that others are made from.
const TEMPLATE: &str = "brought_up_to_date";

/// A running server.
pub(crate) struct Server {
    dir: PathBuf,
}

impl Server {
    /// The server that the tests of this run share.
    pub(crate) async fn shared() -> Self {
        let dir = std::env::temp_dir().join(format!("landfall-postgres-{}", std::os::unix::process::parent_id()));
        let lock = File::create(dir.with_extension("lock")).unwrap();
        lock.lock().unwrap();
        let server = Self { dir };
        if !server.dir.join("ready").exists() {
            server.script("up", Some(std::os::unix::process::parent_id()));
            server.make_template().await;
            File::create(server.dir.join("ready")).unwrap();
        }
        server
    }

    /// A server for this test alone.
    pub(crate) async fn own() -> Self {
        let name = format!("landfall-postgres-{}-own", std::process::id());
        let server = Self { dir: std::env::temp_dir().join(name) };
        server.script("up", Some(std::process::id()));
        server.make_template().await;
        server
    }

    /// The address of a database.
    pub(crate) fn url(&self, database: &str) -> String {
        format!("postgres:///{database}?host={}&user=landfall", self.dir.display())
    }

    /// The address of a new database with a record of this release in it.
    pub(crate) async fn database(&self) -> String {
        let name = format!("test_{}", uuid::Uuid::now_v7().simple());
        self.tell(format!("create database {name} template {TEMPLATE} strategy file_copy")).await;
        self.url(&name)
    }

    /// The address of a new database with nothing in it.
    pub(crate) async fn empty_database(&self) -> String {
        let name = format!("test_{}", uuid::Uuid::now_v7().simple());
        self.tell(format!("create database {name}")).await;
        self.url(&name)
    }

    /// Takes it down as if its machine lost power.
    pub(crate) fn stop(&self) {
        self.script("stop", None);
    }

    /// Brings it up again.
    pub(crate) fn start(&self) {
        self.script("start", None);
    }

    async fn make_template(&self) {
        self.tell(format!("create database {TEMPLATE}")).await;
        let key = tempfile::tempdir().unwrap();
        let seal = landfall::store::seal::Seal::open(&key.path().join("key")).unwrap();
        let lease = std::time::Duration::from_secs(15);
        let opened = landfall::store::postgres::PostgresStore::open(&self.url(TEMPLATE), lease, seal).await;
        drop(opened.unwrap());
    }

    /// Says something to the server. A template that somebody is still leaving is waited for.
    async fn tell(&self, sql: String) {
        let mut connection = PgConnection::connect(&self.url("postgres")).await.unwrap();
        for tries in 0.. {
            match connection.execute(AssertSqlSafe(sql.clone())).await {
                Err(error) if tries < 50 && error.to_string().contains("being accessed") => {
                    tokio::time::sleep(std::time::Duration::from_millis(20)).await;
                }
                done => {
                    done.unwrap();
                    return;
                }
            }
        }
    }

    fn script(&self, verb: &str, owner: Option<u32>) {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/support/postgres.sh");
        if verb == "up" {
            let _ = std::fs::remove_dir_all(&self.dir);
            DirBuilder::new().mode(0o700).create(&self.dir).unwrap();
        }
        let mut command = Command::new(script);
        let done = command.arg(verb).arg(&self.dir).args(owner.map(|pid| pid.to_string())).output().unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    }
}
