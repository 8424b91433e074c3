//! The job record in PostgreSQL: for several executors, on one machine or many.
//!
//! Every transaction that changes a job locks its row first, so what it reads of the job stays true until it is over; those
//! that take hosts queue up before that. A job is held by a row that its holder keeps renewing: who stops renewing, for
//! whatever reason, loses it by the time of the database, and epochs fence what it may still send.
//!
//! ```text
//!  open.rs   address, connections, migrations        lease.rs   who holds a job
//!  news.rs   what other processes write              outage.rs  when the server is away
//! ```
//!
//! Never here: statements on the record (`store::sql`), and the password, which stays in sqlx's options. To add a setting of
//! a connection: `open.rs`.

mod lease;
mod news;
mod open;
pub(super) mod outage;

use std::sync::Arc;
use std::time::Duration;

use tokio_util::task::AbortOnDropHandle;

use super::StoreError;
use super::news::Teller;
use super::seal::Seal;
use super::sql::{Pools, SqlStore, credentials};

pub use lease::LeaseTable;
use outage::Server;

/// The job record in PostgreSQL.
pub type PostgresStore = SqlStore<LeaseTable>;

impl PostgresStore {
    /// Opens the record at `url` (`postgres://USER@HOST/DATABASE`; what it leaves out comes from libpq's variables and
    /// password file), and brings it to this release's form. Jobs are held for `lease` at a time.
    ///
    /// # Errors
    /// [`StoreError::Key`] when credentials in it are sealed under another key, [`StoreError::Corrupt`] when it is no
    /// record or that of a later release, [`StoreError::Unavailable`] when the server cannot be reached or refuses.
    pub async fn open(url: &str, lease: Duration, seal: Seal) -> Result<Self, StoreError> {
        let open::Connections { work, holds, news } = open::connections(url, lease).await?;
        let pools = Pools::Postgres(Arc::new(Server::new(work)));
        credentials::check_key(&mut pools.read().await?, &seal).await?;
        let teller = Teller::new(news::PERIOD);
        let ear = AbortOnDropHandle::new(tokio::spawn(news::listen(news, teller.clone())));
        Ok(Self::new(pools, seal, LeaseTable::new(holds, lease, ear), teller))
    }
}
