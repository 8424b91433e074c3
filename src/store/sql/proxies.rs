//! Proxies of zones: who carries connections, who carries none any more, and which agents were configured with which.
//!
//! Never here: which proxy a host is taken through (the engine's).

use super::insert::{Target, insert};
use super::inventory::{COLUMNS, HostRecord};
use super::session::{Session, query};
use crate::domain::Timestamp;
use crate::domain::host::Address;
use crate::domain::id::{JobId, TaskId};
use crate::domain::package::Role;
use crate::store::row::{ip, micros, task_id};
use crate::store::{HostRow, Proxies, StoreError};

/// A proxy that carries nobody any more.
pub(super) struct Retired {
    pub(super) proxy: Address,
    pub(super) job: JobId,
    pub(super) at: Timestamp,
}

/// All proxies of the record.
pub(super) async fn all(on: &mut Session) -> Result<Proxies, StoreError> {
    let mut select = query("select ");
    select.push(COLUMNS).push(" from host h where h.role = 'proxy' order by h.cloud, h.ip");
    let known = select.each(on, "read the proxies", |record: HostRecord| HostRow::try_from(record)).await?;
    let retired = query("select cloud, ip from retired_proxy order by cloud, ip")
        .each(on, "read the retired proxies", |(cloud, text): (i64, String)| Ok(Address { cloud, ip: ip(&text)? }))
        .await?;
    let mut logins: Vec<(Address, TaskId)> = query(
        "select t.cloud, t.ip, t.id from host h
         join host_task t on t.cloud = h.cloud and t.ip = h.ip join credential c on c.task_id = t.id
         where h.role = 'proxy' order by t.cloud, t.ip, c.proved desc, t.job_id desc, t.host_index desc",
    )
    .each(on, "look for the logins of proxies", |(cloud, text, id): (i64, String, String)| {
        Ok((Address { cloud, ip: ip(&text)? }, task_id(&id)?))
    })
    .await?;
    logins.dedup_by_key(|(proxy, _)| *proxy);
    Ok(Proxies { known, retired, logins })
}

/// The agents that were configured with a proxy.
pub(super) async fn behind(on: &mut Session, proxy: Address) -> Result<Vec<HostRow>, StoreError> {
    let mut select = query("select ");
    select.push(COLUMNS).push(" from host h where h.role = 'agent' and h.cloud = ?").value(proxy.cloud);
    // An address in quotes stands in such a list only as a whole.
    select.push(" and h.upstream like ?").value(format!("%\"{}\"%", proxy.ip)).push(" order by h.ip");
    select.each(on, "look who is behind a proxy", |record: HostRecord| HostRow::try_from(record)).await
}

/// The host tasks of a cloud that began and have not ended, with their jobs.
pub(super) async fn running_in(on: &mut Session, cloud: i64) -> Result<Vec<(JobId, TaskId)>, StoreError> {
    query("select job_id, id from host_task where open = 1 and status = 'RUNNING' and cloud = $1 order by job_id, id")
        .bind(cloud)
        .each(on, "look who is worked on in a cloud", |(job, id): (i64, String)| Ok((JobId(job), task_id(&id)?)))
        .await
}

/// The jobs that a job began.
pub(super) async fn children(on: &mut Session, job: JobId) -> Result<Vec<JobId>, StoreError> {
    query("select id from job where parent_id = $1 order by id")
        .bind(job.0)
        .each(on, "look for the jobs that a job began", |(id,): (i64,)| Ok(JobId(id)))
        .await
}

/// These carry nobody any more.
pub(super) async fn retire(tx: &mut Session, retired: &[Retired]) -> Result<(), StoreError> {
    let into = Target { table: "retired_proxy (cloud, ip, job_id, retired_at)", tail: "on conflict (cloud, ip) do nothing" };
    insert(tx, into, retired, |retired| {
        [retired.proxy.cloud.into(), retired.proxy.ip.to_string().into(), retired.job.0.into(), micros(retired.at).into()]
    })
    .await
}

/// What was installed as a proxy carries again, whatever was before.
pub(super) async fn restore(tx: &mut Session, rows: &[HostRow]) -> Result<(), StoreError> {
    for row in rows.iter().filter(|row| row.role == Role::Proxy) {
        query("delete from retired_proxy where cloud = $1 and ip = $2")
            .bind(row.address.cloud)
            .bind(row.address.ip.to_string())
            .execute(tx, "restore a proxy")
            .await?;
    }
    Ok(())
}
