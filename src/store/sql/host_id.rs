//! Numbers of hosts (`bk_host_id`): given when a host is registered that has none, kept through later jobs, never given twice.
//!
//! What a request says goes before, unless that number is another host's. A host that is uninstalled keeps its number; one
//! that is removed gives it up, and nobody gets it again.
//!
//! Never here: whether a request's number fits the host (admission).

use std::collections::HashMap;

use super::Record;
use super::insert::{Target, insert};
use super::session::{Session, either, hosts, pairs, query};
use crate::domain::host::Address;
use crate::store::page::Known;
use crate::store::row::ip;
use crate::store::{HostRow, StoreError};

/// Largest number that every reader of JSON takes as it is.
const LARGEST: i64 = (1 << 53) - 1;

/// Gives every row its number.
pub(super) async fn give(tx: &mut Session, rows: &mut [HostRow]) -> Result<(), StoreError> {
    if rows.is_empty() {
        return Ok(());
    }
    let asked = |row: &HostRow| row.spec.bk_host_id.filter(|id| (1..=LARGEST).contains(id));
    // First of all, for it locks the counter: whoever else gives numbers waits until this transaction is over.
    let mut next = beyond(tx, rows.iter().filter_map(asked).max().unwrap_or(0)).await?;
    let places: Vec<Address> = rows.iter().map(|row| row.address).collect();
    let known: HashMap<Address, i64> = of(tx, Known::At(&places)).await?.into_iter().collect();
    let ids: Vec<i64> = rows.iter().filter_map(asked).collect();
    let taken = of(tx, Known::Numbered(&ids)).await?;
    let mut holders: HashMap<i64, Address> = taken.into_iter().map(|(host, id)| (id, host)).collect();
    let mut changed = Vec::new();
    for row in rows.iter_mut() {
        let own = asked(row).filter(|id| *holders.entry(*id).or_insert(row.address) == row.address);
        let before = known.get(&row.address).copied();
        let id = own.or(before).unwrap_or_else(|| {
            next += 1;
            next - 1
        });
        row.spec.bk_host_id = Some(id);
        if before != Some(id) {
            changed.push((id, row.address));
        }
    }
    let into = Target { table: "host_id (id, cloud, ip)", tail: "on conflict (cloud, ip) do update set id = excluded.id" };
    insert(tx, into, &changed, |(id, host)| [(*id).into(), host.cloud.into(), host.ip.to_string().into()]).await?;
    query("update host_counter set next = $1").bind(next).execute(tx, "count numbers of hosts").await?;
    Ok(())
}

/// The next number to be given, which is beyond `id` from now on.
async fn beyond(tx: &mut Session, id: i64) -> Result<i64, StoreError> {
    query("update host_counter set next = case when next <= $1 then $1 + 1 else next end returning next")
        .bind(id)
        .one(tx, "take numbers of hosts")
        .await
}

/// Hosts and their numbers, as far as there are any.
pub(super) async fn of(on: &mut Session, which: Known<'_>) -> Result<Vec<(Address, i64)>, StoreError> {
    let select = match which {
        Known::At(places) => query(
            "select n.id, n.cloud, n.ip from pairs($1) asked cross join host_id n
             where n.cloud = asked.number and n.ip = asked.word order by asked.place",
        )
        .list(hosts(places)?),
        Known::Numbered(ids) => query(
            "select n.id, n.cloud, n.ip from pairs($1) asked cross join host_id n where n.id = asked.number order by asked.place",
        )
        .list(pairs(ids.iter().map(|id| (*id, String::new())))?),
    };
    let numbered = |(id, cloud, text): (i64, i64, String)| Ok((Address { cloud, ip: ip(&text)? }, id));
    select.each(on, "read numbers of hosts", numbered).await
}

/// Hosts that are removed give up their numbers.
pub(super) async fn give_up(tx: &mut Session, gone: &[Address]) -> Result<(), StoreError> {
    if gone.is_empty() {
        return Ok(());
    }
    // As with the inventory: each is one look into the key.
    either(
        "delete from host_id where id in (
             select n.id from pairs($1) gone cross join host_id n where n.cloud = gone.number and n.ip = gone.word)",
        "delete from host_id using pairs($1) gone where cloud = gone.number and ip = gone.word",
    )
    .list(hosts(gone)?)
    .execute(tx, "give up numbers of hosts")
    .await?;
    Ok(())
}

/// Numbers up to `id` are not given any more.
pub(super) async fn reserve(record: &Record, id: i64) -> Result<(), StoreError> {
    let mut on = record.read().await?;
    let next: i64 = query("select next from host_counter").one(&mut on, "read the counter of hosts").await?;
    drop(on);
    if next > id.min(LARGEST) {
        return Ok(());
    }
    let mut tx = record.begin().await?;
    beyond(&mut tx, id.min(LARGEST)).await?;
    tx.commit("reserve numbers of hosts").await
}
