//! What is known of hosts from finished jobs, and the keys their sshd showed first.
//!
//! Never here: deciding whether a key is trusted (`transport`).

use std::collections::BTreeMap;
use std::net::IpAddr;

use sqlx::FromRow;

use super::insert::{Target, insert};
use super::session::{Session, either, hosts, query};
use super::{Record, host_id, proxies};
use crate::domain::host::Address;
use crate::domain::id::JobId;
use crate::store::row::{ip, json, micros, moment, number, of_json, of_word};
use crate::store::{HostRow, PinnedKey, StoreError};

/// Replaces and removes inventory rows; `None` is removed.
pub(super) async fn write(tx: &mut Session, changes: BTreeMap<Address, Option<HostRow>>) -> Result<(), StoreError> {
    let mut known = Vec::new();
    let mut gone = Vec::new();
    for (address, change) in changes {
        match change {
            Some(row) => known.push(row),
            None => gone.push(address),
        }
    }
    host_id::give(tx, &mut known).await?;
    proxies::restore(tx, &known).await?;
    let known: Vec<(String, String, HostRow)> = known
        .into_iter()
        .map(|row| Ok((json("host", &row.spec)?, json("upstream", &row.upstream)?, row)))
        .collect::<Result<_, StoreError>>()?;
    let into = Target {
        table: "host (cloud, ip, spec, package, version, digest, cpu, role, upstream, job_id, registered_at)",
        tail: "on conflict (cloud, ip) do update set spec = excluded.spec, package = excluded.package,
               version = excluded.version, digest = excluded.digest, cpu = excluded.cpu, role = excluded.role,
               upstream = excluded.upstream, job_id = excluded.job_id, registered_at = excluded.registered_at",
    };
    insert(tx, into, &known, |(spec, upstream, row)| {
        [
            row.address.cloud.into(),
            row.address.ip.to_string().into(),
            spec.as_str().into(),
            row.package.as_str().into(),
            row.version.as_str().into(),
            row.digest.as_str().into(),
            row.cpu.as_str().into(),
            row.role.word().into(),
            upstream.as_str().into(),
            row.job.0.into(),
            micros(row.at).into(),
        ]
    })
    .await?;
    if gone.is_empty() {
        return Ok(());
    }
    // Each is one look into the key; with `(cloud, ip) in (…)` SQLite would walk all hosts of the cloud.
    either(
        "delete from host where rowid in (
             select h.rowid from pairs($1) gone cross join host h where h.cloud = gone.number and h.ip = gone.word)",
        "delete from host using pairs($1) gone where cloud = gone.number and ip = gone.word",
    )
    .list(hosts(&gone)?)
    .execute(tx, "forget hosts")
    .await?;
    Ok(())
}

/// Pins keys; an endpoint that has one keeps it.
pub(super) async fn pin(tx: &mut Session, keys: &[PinnedKey]) -> Result<(), StoreError> {
    write_keys(tx, keys, "on conflict (cloud, ip, port) do nothing").await
}

/// Pins keys in the place of those that are pinned; each endpoint once.
pub(super) async fn replace_keys(tx: &mut Session, keys: &[PinnedKey]) -> Result<(), StoreError> {
    write_keys(tx, keys, "on conflict (cloud, ip, port) do update set key = excluded.key, pinned_at = excluded.pinned_at").await
}

async fn write_keys(tx: &mut Session, keys: &[PinnedKey], tail: &'static str) -> Result<(), StoreError> {
    let into = Target { table: "host_key (cloud, ip, port, key, pinned_at)", tail };
    insert(tx, into, keys, |key| {
        [
            key.cloud.into(),
            key.address.to_string().into(),
            i64::from(key.port).into(),
            key.key.as_str().into(),
            micros(key.at).into(),
        ]
    })
    .await
}

/// What [`HostRecord`] is read from, of `host h`.
pub(super) const COLUMNS: &str =
    "h.cloud, h.ip, h.spec, h.package, h.version, h.digest, h.cpu, h.role, h.upstream, h.job_id, h.registered_at";

/// A row of `host`.
#[derive(FromRow)]
pub(super) struct HostRecord {
    cloud: i64,
    ip: String,
    spec: String,
    package: String,
    version: String,
    digest: String,
    cpu: String,
    role: String,
    upstream: String,
    job_id: i64,
    registered_at: i64,
}

impl TryFrom<HostRecord> for HostRow {
    type Error = StoreError;

    fn try_from(record: HostRecord) -> Result<Self, StoreError> {
        Ok(Self {
            address: Address { cloud: record.cloud, ip: ip(&record.ip)? },
            spec: of_json("host", &record.spec)?,
            package: record.package,
            version: record.version,
            digest: record.digest,
            cpu: record.cpu,
            role: of_word("role", &record.role)?,
            upstream: of_json("upstream", &record.upstream)?,
            job: JobId(record.job_id),
            at: moment(record.registered_at)?,
        })
    }
}

/// What is known of a host.
pub(super) async fn host(on: &mut Session, address: Address) -> Result<Option<HostRow>, StoreError> {
    let mut select = query("select ");
    select.push(COLUMNS).push(" from host h where h.cloud = ?").value(address.cloud);
    select.push(" and h.ip = ?").value(address.ip.to_string());
    let record: Option<HostRecord> = select.optional(on, "read the inventory").await?;
    record.map(HostRow::try_from).transpose()
}

/// Forgets the pinned keys of a host, of one port or of all.
pub(super) async fn forget_keys(record: &Record, host: Address, port: Option<u16>) -> Result<u64, StoreError> {
    let mut tx = record.begin().await?;
    let done = query("delete from host_key where cloud = $1 and ip = $2 and ($3 is null or port = $3)")
        .bind(host.cloud)
        .bind(host.ip.to_string())
        .bind(port.map(i64::from))
        .execute(&mut tx, "forget host keys")
        .await?;
    tx.commit("forget host keys").await?;
    Ok(done)
}

/// All pinned keys, by cloud, address and port.
pub(super) async fn pinned_keys(on: &mut Session) -> Result<Vec<PinnedKey>, StoreError> {
    let pinned = |(cloud, text, port, key, at): (i64, String, i64, String, i64)| {
        Ok(PinnedKey { cloud, address: ip(&text)?, port: number("port", port)?, key, at: moment(at)? })
    };
    query("select cloud, ip, port, key, pinned_at from host_key order by cloud, ip, port")
        .each(on, "read the pinned keys", pinned)
        .await
}

/// The pinned key of an endpoint.
pub(super) async fn pinned_key(
    on: &mut Session,
    cloud: i64,
    address: IpAddr,
    port: u16,
) -> Result<Option<PinnedKey>, StoreError> {
    let record: Option<(String, i64)> = query("select key, pinned_at from host_key where cloud = $1 and ip = $2 and port = $3")
        .bind(cloud)
        .bind(address.to_string())
        .bind(i64::from(port))
        .optional(on, "read a pinned key")
        .await?;
    record.map(|(key, at)| Ok(PinnedKey { cloud, address, port, key, at: moment(at)? })).transpose()
}
