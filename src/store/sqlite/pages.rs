//! Pages of lists: jobs, the host tasks of a job and their journals, the inventory. Filters, order and counts are the
//! database's work.
//!
//! Never here: the shape of an answer (the service's).

use std::net::IpAddr;

use sqlx::{QueryBuilder, Sqlite, SqlitePool};

use super::queries::{EventRecord, JobRecord, TaskRecord, with_hosts};
use super::{failed, host_list, list};
use crate::domain::event::Event;
use crate::domain::host::Address;
use crate::domain::id::JobId;
use crate::domain::job::Status;
use crate::store::page::{Counted, JobFilter, JobOrder, Known, Page, TaskFilter, TaskName};
use crate::store::row::{ip, micros, moment, number, of_json};
use crate::store::{HostRow, JobRow, StoreError, TaskRow};

/// The fold of a job's hosts (`Status::fold`) where its journal has not said it yet.
const STATUS: &str = "coalesce(j.status, (select case
        when total = 0 or (waiting > 0 and waiting + going = waiting and ended = 0) then 'PENDING'
        when waiting + going > 0 then 'RUNNING' when broken = 0 then 'SUCCESS' when good = 0 then 'FAILED' else 'PART_FAILED' end
    from (select count(*) as total, coalesce(sum(status = 'PENDING'), 0) as waiting, coalesce(sum(status = 'RUNNING'), 0) as going,
                 coalesce(sum(status = 'SUCCESS'), 0) as good,
                 coalesce(sum(status in ('FAILED', 'TERMINATED', 'PART_FAILED')), 0) as broken,
                 coalesce(sum(status in ('SUCCESS', 'FAILED', 'TERMINATED', 'PART_FAILED')), 0) as ended
          from host_task where job_id = j.id)))";

/// The jobs of a page, and how many there are on all pages.
pub(super) async fn jobs(
    readers: &SqlitePool,
    filter: &JobFilter,
    order: JobOrder,
    page: Page,
) -> Result<(u64, Vec<JobRow>), StoreError> {
    let mut snapshot = readers.begin().await.map_err(failed("list jobs"))?;
    let mut query = QueryBuilder::<Sqlite>::new("select count(*) from job j where 1");
    push_jobs(&mut query, filter)?;
    let total: i64 = query.build_query_scalar().fetch_one(&mut *snapshot).await.map_err(failed("count jobs"))?;
    let mut query = QueryBuilder::<Sqlite>::new(
        "select j.id, j.spec, j.created_by, j.created_at, j.finished_at, j.status from job j where 1",
    );
    push_jobs(&mut query, filter)?;
    query.push(" order by ");
    if let JobOrder::Hosts { counted, ascending } = order {
        query.push("(select count(*) from host_task t where t.job_id = j.id");
        if let Some(words) = counted.map(Counted::statuses) {
            push_in(&mut query, " and t.status", &words.iter().map(|status| status.word()).collect::<Vec<_>>())?;
        }
        query.push(if ascending { "), " } else { ") desc, " });
    }
    query.push("j.id desc");
    push_page(&mut query, page);
    let records: Vec<JobRecord> = query.build_query_as().fetch_all(&mut *snapshot).await.map_err(failed("list jobs"))?;
    Ok((number("count", total)?, with_hosts(&mut snapshot, records).await?))
}

fn push_jobs(query: &mut QueryBuilder<Sqlite>, filter: &JobFilter) -> Result<(), StoreError> {
    let JobFilter { ids, statuses, created_by, businesses, ips, kinds, from, until, unfinished } = filter;
    if let Some(ids) = ids {
        push_in(query, " and j.id", ids)?;
    }
    if let Some(statuses) = statuses {
        query.push(" and ");
        push_in(query, STATUS, &words(statuses))?;
    }
    if let Some(names) = created_by {
        push_in(query, " and j.created_by", names)?;
    }
    if let Some(businesses) = businesses {
        query.push(" and exists (select 1 from json_each(j.spec, '$.businesses') b where 1");
        push_in(query, " and b.value", businesses)?;
        query.push(")");
    }
    if let Some(ips) = ips {
        query.push(" and j.id in (select job_id from host_task where 1");
        push_in(query, " and ip", &texts(ips))?;
        query.push(")");
    }
    if let Some(kinds) = kinds {
        push_in(query, " and j.spec ->> '$.kind'", &kinds.iter().map(|kind| kind.wire_name()).collect::<Vec<_>>())?;
    }
    if let Some(from) = from {
        query.push(" and j.created_at >= ").push_bind(micros(*from));
    }
    if let Some(until) = until {
        query.push(" and j.created_at <= ").push_bind(micros(*until));
    }
    if *unfinished {
        query.push(" and j.finished_at is null");
    }
    Ok(())
}

/// The host tasks of a page, in the order of the request, and how many there are on all pages.
pub(super) async fn tasks(
    readers: &SqlitePool,
    job: JobId,
    filter: &TaskFilter,
    page: Page,
) -> Result<(u64, Vec<TaskRow>), StoreError> {
    let mut snapshot = readers.begin().await.map_err(failed("read host tasks"))?;
    let mut query = QueryBuilder::<Sqlite>::new("select count(*) from host_task where job_id = ");
    query.push_bind(job.0);
    push_tasks(&mut query, filter)?;
    let total: i64 = query.build_query_scalar().fetch_one(&mut *snapshot).await.map_err(failed("count host tasks"))?;
    let mut query = QueryBuilder::<Sqlite>::new(
        "select id, host_index, job_id, cloud, ip, spec, status, epoch from host_task where job_id = ",
    );
    query.push_bind(job.0);
    push_tasks(&mut query, filter)?;
    query.push(" order by host_index");
    push_page(&mut query, page);
    let records: Vec<TaskRecord> = query.build_query_as().fetch_all(&mut *snapshot).await.map_err(failed("read host tasks"))?;
    Ok((number("count", total)?, records.into_iter().map(TaskRow::try_from).collect::<Result<_, _>>()?))
}

fn push_tasks(query: &mut QueryBuilder<Sqlite>, filter: &TaskFilter) -> Result<(), StoreError> {
    let TaskFilter { ips, statuses, named, excluded } = filter;
    if let Some(ips) = ips {
        push_in(query, " and ip", &texts(ips))?;
    }
    if let Some(statuses) = statuses {
        push_in(query, " and status", &words(statuses))?;
    }
    if let Some(names) = named {
        push_names(query, " and (", names)?;
    }
    if !excluded.is_empty() {
        push_names(query, " and not (", excluded)?;
    }
    Ok(())
}

fn push_names(query: &mut QueryBuilder<Sqlite>, head: &'static str, names: &[TaskName]) -> Result<(), StoreError> {
    let mut places = Vec::new();
    let mut numbers = Vec::new();
    for name in names {
        match name {
            TaskName::At(address) => places.push(format!("{} {}", address.cloud, address.ip)),
            TaskName::Numbered(number) => numbers.push(*number),
        }
    }
    query.push(head);
    push_in(query, "cloud || ' ' || ip", &places)?;
    // Without a number there is nothing to compare: null would make neither yes nor no.
    push_in(query, " or coalesce(spec ->> '$.host.bk_host_id', 'none')", &numbers)?;
    query.push(")");
    Ok(())
}

/// The journals of some hosts of a job, in order of `seq`.
pub(super) async fn host_events(readers: &SqlitePool, job: JobId, hosts: &[u32]) -> Result<Vec<Event>, StoreError> {
    let records: Vec<EventRecord> = sqlx::query_as(
        "select e.seq, e.host_index, e.at, e.version, e.body, t.cloud, t.ip
         from json_each($2) asked cross join event e cross join host_task t
         where e.job_id = $1 and e.host_index = asked.value and t.job_id = $1 and t.host_index = e.host_index order by e.seq",
    )
    .bind(job.0)
    .bind(list(hosts)?)
    .fetch_all(readers)
    .await
    .map_err(failed("read the journal of hosts"))?;
    records.into_iter().map(|record| record.event(job)).collect()
}

type KnownRecord = (i64, String, String, String, String, String, i64, i64);

/// What is known of some hosts, in the order they were asked for.
pub(super) async fn known_hosts(readers: &SqlitePool, which: Known<'_>) -> Result<Vec<HostRow>, StoreError> {
    let query = match which {
        Known::At(addresses) => sqlx::query_as::<_, KnownRecord>(
            "select h.cloud, h.ip, h.spec, h.package, h.version, h.digest, h.job_id, h.registered_at
             from json_each($1) asked cross join host h
             where h.cloud = asked.value ->> 0 and h.ip = asked.value ->> 1 order by asked.key",
        )
        .bind(host_list(addresses)?),
        Known::Numbered(numbers) => sqlx::query_as(
            "select h.cloud, h.ip, h.spec, h.package, h.version, h.digest, h.job_id, h.registered_at
             from json_each($1) asked cross join host h where h.spec ->> '$.bk_host_id' = asked.value order by asked.key",
        )
        .bind(list(numbers)?),
    };
    let records = query.fetch_all(readers).await.map_err(failed("read the inventory"))?;
    let row = |(cloud, text, spec, package, version, digest, job, at): KnownRecord| {
        Ok(HostRow {
            address: Address { cloud, ip: ip(&text)? },
            spec: of_json("host", &spec)?,
            package,
            version,
            digest,
            job: JobId(job),
            at: moment(at)?,
        })
    };
    records.into_iter().map(row).collect()
}

/// `expression in (items)`: any number of items, one parameter.
fn push_in<T: serde::Serialize>(
    query: &mut QueryBuilder<Sqlite>,
    expression: &'static str,
    items: &[T],
) -> Result<(), StoreError> {
    query.push(expression).push(" in (select value from json_each(").push_bind(list(items)?).push("))");
    Ok(())
}

fn push_page(query: &mut QueryBuilder<Sqlite>, page: Page) {
    // A negative limit is none.
    query.push(" limit ").push_bind(page.limit.map_or(-1, i64::from));
    query.push(" offset ").push_bind(i64::try_from(page.offset).unwrap_or(i64::MAX));
}

fn words(statuses: &[Status]) -> Vec<&'static str> {
    statuses.iter().map(|status| status.word()).collect()
}

fn texts(ips: &[IpAddr]) -> Vec<String> {
    ips.iter().map(IpAddr::to_string).collect()
}
