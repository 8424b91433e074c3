//! Records that an earlier release wrote: what is in them is there after they were brought up to date.

use std::path::Path;

use landfall::domain::host::HostSpec;
use landfall::store::Store;
use landfall::store::page::Known;
use sqlx::migrate::Migrator;
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, PgConnection, SqliteConnection};

use crate::fixture::{Postgres, Sqlite, address, host_spec};
use crate::postgres::Server;

/// The migrations before that of this number.
async fn migrator(backend: &str, before: &str) -> Migrator {
    let all = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/store/migrations").join(backend);
    let earlier = tempfile::tempdir().unwrap();
    for file in std::fs::read_dir(all).unwrap().map(|entry| entry.unwrap().path()) {
        let name = file.file_name().unwrap().to_str().unwrap().to_owned();
        if name.as_str() < before {
            std::fs::copy(&file, earlier.path().join(name)).unwrap();
        }
    }
    Migrator::new(earlier.path()).await.unwrap()
}

/// Rows of hosts as they were before hosts had numbers of the record; the number of each is the request's.
fn hosts(numbers: &[Option<i64>]) -> Vec<String> {
    let row = |(index, id): (u32, &Option<i64>)| {
        let spec = serde_json::to_string(&HostSpec { bk_host_id: *id, ..host_spec(index) }).unwrap();
        let ip = address(index).ip;
        format!("insert into host values (0, '{ip}', '{spec}', 'node-exporter', '1', '{}', 1, {index})", "d".repeat(64))
    };
    (0..).zip(numbers).map(row).collect()
}

/// Of two hosts with one number the later one had it last; who had none gets one.
async fn every_host_has_a_number(store: &dyn Store) {
    let places: Vec<_> = (0..4).map(address).collect();
    let ids = store.host_ids(Known::At(&places)).await.unwrap();
    assert_eq!(ids, [(places[0], 10), (places[1], 9), (places[2], 11), (places[3], 3)]);
    let rows = store.known_hosts(Known::At(&places)).await.unwrap();
    let told: Vec<_> = rows.iter().map(|row| row.spec.bk_host_id.unwrap()).collect();
    assert_eq!(told, [10, 9, 11, 3]);
    assert_eq!(rows[0].spec, HostSpec { bk_host_id: Some(10), ..host_spec(0) });
}

const NUMBERS: [Option<i64>; 4] = [Some(9), Some(9), None, Some(3)];

#[tokio::test]
async fn hosts_of_an_earlier_sqlite_record_get_numbers() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("record.db");
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(file).create_if_missing(true);
    let mut earlier: SqliteConnection = options.connect().await.unwrap();
    migrator("sqlite", "0005").await.run(&mut earlier).await.unwrap();
    for row in hosts(&NUMBERS) {
        sqlx::query(AssertSqlSafe(row)).execute(&mut earlier).await.unwrap();
    }
    earlier.close().await.unwrap();
    every_host_has_a_number(&Sqlite::open(directory.path().to_owned()).await.unwrap()).await;
}

#[tokio::test]
async fn hosts_of_an_earlier_postgres_record_get_numbers() {
    let (url, directory) = (Server::shared().await.empty_database().await, tempfile::tempdir().unwrap());
    let mut earlier = PgConnection::connect(&url).await.unwrap();
    migrator("postgres", "0004").await.run(&mut earlier).await.unwrap();
    for row in hosts(&NUMBERS) {
        sqlx::query(AssertSqlSafe(row)).execute(&mut earlier).await.unwrap();
    }
    earlier.close().await.unwrap();
    every_host_has_a_number(&Postgres::open(&url, directory.path(), Postgres::LEASE).await.unwrap()).await;
}
