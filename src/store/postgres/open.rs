//! Opening the database: its address, connections, migrations.
//!
//! No message here says the address: it may hold a password.

use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{ConnectOptions, Connection, PgPool};

use crate::store::StoreError;
use crate::store::sql::{failed, not_migrated};

/// How long the first connection may take: a wrong address is told soon.
const FIRST: Duration = Duration::from_secs(10);
/// How long somebody waits for a connection.
const ACQUIRE: Duration = Duration::from_secs(15);
/// Connections of this process that work on the record: its one writer, and the doors' questions.
const CONNECTIONS: u32 = 6;
/// Options that an address may have.
const KNOWN: [&str; 9] = ["host", "hostaddr", "port", "dbname", "user", "password", "sslmode", "application_name", "options"];
/// The server ends what takes longer. The longest of ours (a job of 10,000 hosts) takes a second or two.
const STATEMENT: &str = "30s";
/// The server ends a transaction whose executor fell silent: its locks would keep everybody else waiting.
const SILENCE: &str = "30s";

/// Connections, apart from each other by what they are for.
pub(super) struct Connections {
    /// Of those who work on the record.
    pub(super) work: PgPool,
    /// Of those who renew holds of jobs, which must not wait for work.
    pub(super) holds: PgPool,
    /// Of the one who listens.
    pub(super) news: PgPool,
}

/// Opens the database.
pub(super) async fn connections(url: &str, lease: Duration) -> Result<Connections, StoreError> {
    let options = options(url)?;
    migrate(&options).await?;
    let work = PgPoolOptions::new().max_connections(CONNECTIONS).min_connections(1).acquire_timeout(ACQUIRE);
    let holds = PgPoolOptions::new().max_connections(1).min_connections(0).acquire_timeout(lease / 3);
    let news = PgPoolOptions::new().max_connections(1).min_connections(0).acquire_timeout(ACQUIRE);
    Ok(Connections {
        work: work.connect_lazy_with(options.clone()),
        holds: holds.connect_lazy_with(options.clone()),
        news: news.connect_lazy_with(options),
    })
}

/// What every connection is told.
fn options(url: &str) -> Result<PgConnectOptions, StoreError> {
    only_known(url)?;
    let options: PgConnectOptions = url.parse().map_err(failed("read the address of the job record"))?;
    let options = options.options([
        ("statement_timeout", STATEMENT),
        ("idle_in_transaction_session_timeout", SILENCE),
        // Somebody who waits for the network that is gone keeps locks as well.
        ("tcp_keepalives_idle", "15"),
        ("tcp_keepalives_interval", "5"),
        ("tcp_keepalives_count", "3"),
    ]);
    Ok(options.application_name("landfall").disable_statement_logging())
}

/// sqlx logs an option that it does not know, value and all: a misspelt `password` must not get that far.
fn only_known(url: &str) -> Result<(), StoreError> {
    let options = url.split_once('?').map_or("", |(_, options)| options);
    let names = options.split('&').map(|option| option.split('=').next().unwrap_or_default());
    match names.filter(|name| !name.is_empty()).find(|name| !KNOWN.contains(name)) {
        None => Ok(()),
        Some(_) => Err(StoreError::Unavailable {
            what: "read the address of the job record".into(),
            source: format!("after `?` only these options are known: {}", KNOWN.join(", ")).into(),
        }),
    }
}

/// One connection of its own, which also tells whether the server can be reached at all. sqlx lets one process at a time
/// through.
async fn migrate(options: &PgConnectOptions) -> Result<(), StoreError> {
    let late = |_| StoreError::Unavailable { what: "connect to PostgreSQL".into(), source: "no answer in time".into() };
    let connecting = tokio::time::timeout(FIRST, options.connect());
    let mut connection = connecting.await.map_err(late)?.map_err(failed("connect to PostgreSQL"))?;
    sqlx::migrate!("src/store/migrations/postgres").run(&mut connection).await.map_err(not_migrated)?;
    // Those of processes that ended; nobody asks for one that is older than a minute.
    let old = sqlx::query("delete from written where at < now() - interval '1 day'").execute(&mut connection).await;
    old.map_err(failed("remove old marks"))?;
    connection.close().await.map_err(failed("close the first connection"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_address_is_refused_without_saying_what_is_in_it() {
        for url in [
            "postgres://user:geheim@host:port/db",
            "postgres://user:geheim@[::1/db",
            "postgres://user:geheim@h/db?port=geheim",
            "postgres://h/db?pasword=geheim",
        ] {
            let refusal = options(url).unwrap_err();
            let StoreError::Unavailable { what, source } = refusal else { panic!("{refusal}") };
            assert!(!format!("{what}: {source} {source:?}").contains("geheim"), "{source}");
        }
    }
}
