//! What is known of hosts from finished jobs, and the keys their sshd showed first.
//!
//! Never here: deciding whether a key is trusted (`transport`).

use std::collections::BTreeMap;
use std::net::IpAddr;

use sqlx::{FromRow, SqlitePool};

use super::{SqliteStore, Tx, failed, host_list, insert};
use crate::domain::host::Address;
use crate::domain::id::JobId;
use crate::store::row::{ip, json, micros, moment, number, of_json};
use crate::store::{HostRow, PinnedKey, StoreError};

/// Replaces and removes inventory rows; `None` is removed.
pub(super) async fn write(tx: &mut Tx, changes: BTreeMap<Address, Option<HostRow>>) -> Result<(), StoreError> {
    let mut known = Vec::new();
    let mut gone = Vec::new();
    for (address, change) in changes {
        match change {
            Some(row) => known.push((json("host", &row.spec)?, row)),
            None => gone.push(address),
        }
    }
    let text = (
        "insert into host (cloud, ip, spec, package, version, digest, job_id, registered_at) ",
        " on conflict (cloud, ip) do update set spec = excluded.spec, package = excluded.package, version = excluded.version,
          digest = excluded.digest, job_id = excluded.job_id, registered_at = excluded.registered_at",
    );
    insert(tx, text, &known, |bind, (spec, row)| {
        bind.push_bind(row.address.cloud)
            .push_bind(row.address.ip.to_string())
            .push_bind(spec.clone())
            .push_bind(row.package.clone())
            .push_bind(row.version.clone())
            .push_bind(row.digest.clone())
            .push_bind(row.job.0)
            .push_bind(micros(row.at));
    })
    .await?;
    if gone.is_empty() {
        return Ok(());
    }
    // Each is one look into the key; `(cloud, ip) in (…)` would walk all hosts of the cloud.
    sqlx::query(
        "delete from host where rowid in (
             select h.rowid from json_each($1) gone cross join host h
             where h.cloud = gone.value ->> 0 and h.ip = gone.value ->> 1)",
    )
    .bind(host_list(&gone)?)
    .execute(&mut **tx)
    .await
    .map_err(failed("forget hosts"))?;
    Ok(())
}

/// Pins keys; an endpoint that has one keeps it.
pub(super) async fn pin(tx: &mut Tx, keys: &[PinnedKey]) -> Result<(), StoreError> {
    let text = ("insert into host_key (cloud, ip, port, key, pinned_at) ", " on conflict (cloud, ip, port) do nothing");
    insert(tx, text, keys, |row, key| {
        row.push_bind(key.cloud)
            .push_bind(key.address.to_string())
            .push_bind(i64::from(key.port))
            .push_bind(key.key.clone())
            .push_bind(micros(key.at));
    })
    .await
}

#[derive(FromRow)]
struct HostRecord {
    spec: String,
    package: String,
    version: String,
    digest: String,
    job_id: i64,
    registered_at: i64,
}

/// What is known of a host.
pub(super) async fn host(readers: &SqlitePool, address: Address) -> Result<Option<HostRow>, StoreError> {
    let record: Option<HostRecord> =
        sqlx::query_as("select spec, package, version, digest, job_id, registered_at from host where cloud = $1 and ip = $2")
            .bind(address.cloud)
            .bind(address.ip.to_string())
            .fetch_optional(readers)
            .await
            .map_err(failed("read the inventory"))?;
    let row = |record: HostRecord| {
        Ok(HostRow {
            address,
            spec: of_json("host", &record.spec)?,
            package: record.package,
            version: record.version,
            digest: record.digest,
            job: JobId(record.job_id),
            at: moment(record.registered_at)?,
        })
    };
    record.map(row).transpose()
}

/// Forgets the pinned keys of a host, of one port or of all.
pub(super) async fn forget_keys(store: &SqliteStore, host: Address, port: Option<u16>) -> Result<u64, StoreError> {
    let mut tx = store.begin().await?;
    let done = sqlx::query("delete from host_key where cloud = $1 and ip = $2 and ($3 is null or port = $3)")
        .bind(host.cloud)
        .bind(host.ip.to_string())
        .bind(port.map(i64::from))
        .execute(&mut *tx)
        .await
        .map_err(failed("forget host keys"))?;
    tx.commit().await.map_err(failed("forget host keys"))?;
    Ok(done.rows_affected())
}

/// All pinned keys, by cloud, address and port.
pub(super) async fn pinned_keys(readers: &SqlitePool) -> Result<Vec<PinnedKey>, StoreError> {
    let records: Vec<(i64, String, i64, String, i64)> =
        sqlx::query_as("select cloud, ip, port, key, pinned_at from host_key order by cloud, ip, port")
            .fetch_all(readers)
            .await
            .map_err(failed("read the pinned keys"))?;
    let pinned = |(cloud, text, port, key, at): (i64, String, i64, String, i64)| {
        Ok(PinnedKey { cloud, address: ip(&text)?, port: number("port", port)?, key, at: moment(at)? })
    };
    records.into_iter().map(pinned).collect()
}

/// The pinned key of an endpoint.
pub(super) async fn pinned_key(
    readers: &SqlitePool,
    cloud: i64,
    address: IpAddr,
    port: u16,
) -> Result<Option<PinnedKey>, StoreError> {
    let record: Option<(String, i64)> =
        sqlx::query_as("select key, pinned_at from host_key where cloud = $1 and ip = $2 and port = $3")
            .bind(cloud)
            .bind(address.to_string())
            .bind(i64::from(port))
            .fetch_optional(readers)
            .await
            .map_err(failed("read a pinned key"))?;
    record.map(|(key, at)| Ok(PinnedKey { cloud, address, port, key, at: moment(at)? })).transpose()
}
