//! Pages of lists: jobs, the host tasks of a job and their journals, the inventory. Filters, order and counts are the
//! database's work.
//!
//! Never here: the shape of an answer (the service's).

use std::net::IpAddr;

use super::inventory::{COLUMNS, HostRecord};
use super::queries::{EventRecord, JobRecord, TaskRecord, with_hosts};
use super::session::{self, List, Query, Session, either, numbers, pairs, query, words};
use crate::domain::event::Event;
use crate::domain::id::JobId;
use crate::domain::job::{JobKind, Status};
use crate::store::page::{Counted, HostFilter, JobFilter, JobOrder, Known, Page, Standing, TaskFilter, TaskName};
use crate::store::row::{corrupt, micros, moment, number, status};
use crate::store::{HostRow, JobRow, StoreError, TaskRow};

/// The fold of a job's hosts (`Status::fold`) where its journal has not said it yet.
const STATUS: &str = " and coalesce(j.status, (select case
        when total = 0 or (waiting > 0 and going = 0 and ended = 0) then 'PENDING'
        when waiting + going > 0 then 'RUNNING' when broken = 0 then 'SUCCESS' when ended = broken then 'FAILED'
        else 'PART_FAILED' end
    from (select count(*) as total, count(*) filter (where status = 'PENDING') as waiting,
                 count(*) filter (where status = 'RUNNING') as going,
                 count(*) filter (where status in ('FAILED', 'TERMINATED', 'PART_FAILED')) as broken,
                 count(*) filter (where status in ('SUCCESS', 'FAILED', 'TERMINATED', 'PART_FAILED')) as ended
          from host_task where job_id = j.id) counted)) in list(?)";

/// The jobs of a page, and how many there are on all pages.
pub(super) async fn jobs(
    on: &mut Session,
    filter: &JobFilter,
    order: JobOrder,
    page: Page,
) -> Result<(u64, Vec<JobRow>), StoreError> {
    let mut count = query("select count(*) from job j where 1 = 1");
    push_jobs(&mut count, filter);
    let total: i64 = count.one(on, "count jobs").await?;
    let mut select =
        query("select j.id, j.spec, j.created_by, j.served, j.created_at, j.finished_at, j.status from job j where 1 = 1");
    push_jobs(&mut select, filter);
    select.push(" order by ");
    if let JobOrder::Hosts { counted, ascending } = order {
        select.push("(select count(*) from host_task t where t.job_id = j.id");
        if let Some(statuses) = counted.map(Counted::statuses) {
            select.push(" and t.status in list(?)").values(status_words(statuses));
        }
        select.push(if ascending { "), " } else { ") desc, " });
    }
    select.push("j.id desc");
    push_page(&mut select, page);
    let records: Vec<JobRecord> = select.all(on, "list jobs").await?;
    Ok((number("count", total)?, with_hosts(on, records).await?))
}

/// How the unfinished jobs stand. What has ended is not looked at, however much it is.
pub(super) async fn standing(on: &mut Session) -> Result<Standing, StoreError> {
    let counts: Vec<(i64, String, String, i64)> = either(
        "select j.id, j.spec ->> 'kind', t.status, count(*) from job j join host_task t on t.job_id = j.id
         where j.finished_at is null group by j.id, t.status order by j.id, t.status",
        "select j.id, j.spec::jsonb ->> 'kind', t.status, count(*) from job j join host_task t on t.job_id = j.id
         where j.finished_at is null group by j.id, t.status order by j.id, t.status",
    )
    .all(on, "count unfinished hosts")
    .await?;
    // The last event of a host that waits is the one that opened it again. Where nothing was asked there is none.
    let waits_since: Option<i64> = query(
        "select min(case when j.asked = 0 then j.created_at else coalesce(
                (select max(e.at) from event e where e.job_id = t.job_id and e.host_index = t.host_index), j.created_at) end)
         from job j join host_task t on t.job_id = j.id where j.finished_at is null and t.status = 'PENDING'",
    )
    .one(on, "look who waits longest")
    .await?;
    let mut standing = Standing { jobs: Vec::new(), waits_since: waits_since.map(moment).transpose()? };
    let mut last = None;
    for (job, kind, word, count) in counts {
        if last.replace(job) != Some(job) {
            let kind = JobKind::from_wire(&kind).ok_or_else(|| corrupt(format!("job {job} is of the kind `{kind}`")))?;
            standing.jobs.push((kind, Vec::new()));
        }
        if let Some((_, hosts)) = standing.jobs.last_mut() {
            hosts.push((status(&word)?, number("count", count)?));
        }
    }
    Ok(standing)
}

fn push_jobs(query: &mut Query, filter: &JobFilter) {
    let JobFilter { ids, statuses, created_by, businesses, within, ips, kinds, from, until } = filter;
    if let Some(ids) = ids {
        query.push(" and j.id in list(?)").values(numbers(ids.iter().map(|id| id.0)));
    }
    if let Some(statuses) = statuses {
        query.push(STATUS).values(status_words(statuses));
    }
    if let Some(names) = created_by {
        query.push(" and j.created_by in list(?)").values(words(names));
    }
    if let Some(businesses) = businesses {
        let each = (
            " and exists (select 1 from json_each(j.spec, '$.businesses') b where cast(b.value as text) in list(?))",
            " and exists (select 1 from jsonb_array_elements_text(j.spec::jsonb -> 'businesses') b (value) where b.value in list(?))",
        );
        query.push_either(each.0, each.1).values(words(businesses));
    }
    if let Some(businesses) = within {
        let one = (
            " and json_array_length(j.spec, '$.businesses') > 0",
            " and jsonb_array_length(coalesce(j.spec::jsonb -> 'businesses', '[]')) > 0",
        );
        let each = (
            " and not exists (select 1 from json_each(j.spec, '$.businesses') b where cast(b.value as text) not in list(?))",
            " and not exists (select 1 from jsonb_array_elements_text(j.spec::jsonb -> 'businesses') b (value)
                              where b.value not in list(?))",
        );
        query.push_either(one.0, one.1).push_either(each.0, each.1).values(words(businesses));
    }
    if let Some(ips) = ips {
        query.push(" and j.id in (select job_id from host_task where ip in list(?))").values(addresses(ips));
    }
    if let Some(kinds) = kinds {
        let kind = (" and j.spec ->> 'kind' in list(?)", " and j.spec::jsonb ->> 'kind' in list(?)");
        query.push_either(kind.0, kind.1).values(words(kinds.iter().map(|kind| kind.wire_name())));
    }
    if let Some(from) = from {
        query.push(" and j.created_at >= ?").value(micros(*from));
    }
    if let Some(until) = until {
        query.push(" and j.created_at <= ?").value(micros(*until));
    }
}

/// The host tasks of a page, in the order of the request, and how many there are on all pages.
pub(super) async fn tasks(
    on: &mut Session,
    job: JobId,
    filter: &TaskFilter,
    page: Page,
) -> Result<(u64, Vec<TaskRow>), StoreError> {
    // Hosts are numbered without gaps: of all of them the last one tells how many there are, however many.
    let mut count = query(match *filter == TaskFilter::default() {
        true => "select coalesce(max(host_index) + 1, 0) from host_task where job_id = $1",
        false => "select count(*) from host_task where job_id = $1",
    })
    .bind(job.0);
    push_tasks(&mut count, filter);
    let total: i64 = count.one(on, "count host tasks").await?;
    let mut select =
        query("select id, host_index, job_id, cloud, ip, spec, status, epoch, cancel_asked from host_task where job_id = $1")
            .bind(job.0);
    push_tasks(&mut select, filter);
    select.push(" order by host_index");
    push_page(&mut select, page);
    let rows = select.each(on, "read host tasks", |record: TaskRecord| TaskRow::try_from(record)).await?;
    Ok((number("count", total)?, rows))
}

fn push_tasks(query: &mut Query, filter: &TaskFilter) {
    let TaskFilter { ips, statuses, named, excluded } = filter;
    if let Some(ips) = ips {
        query.push(" and ip in list(?)").values(addresses(ips));
    }
    if let Some(statuses) = statuses {
        query.push(" and status in list(?)").values(status_words(statuses));
    }
    if let Some(names) = named {
        push_names(query, " and (", names);
    }
    if !excluded.is_empty() {
        push_names(query, " and not (", excluded);
    }
}

fn push_names(query: &mut Query, head: &'static str, names: &[TaskName]) {
    let mut places = Vec::new();
    let mut numbers = Vec::new();
    for name in names {
        match name {
            TaskName::At(address) => places.push(format!("{} {}", address.cloud, address.ip)),
            TaskName::Numbered(number) => numbers.push(*number),
        }
    }
    query.push(head).push("cloud || ' ' || ip in list(?)").values(words(places));
    // Without a number there is nothing to compare: null would make neither yes nor no.
    let number = (
        " or coalesce(cast(spec ->> '$.host.bk_host_id' as text), '') in list(?))",
        " or coalesce(spec::jsonb -> 'host' ->> 'bk_host_id', '') in list(?))",
    );
    query.push_either(number.0, number.1).values(words(numbers));
}

/// The journals of some hosts of a job, in order of `seq`.
pub(super) async fn host_events(on: &mut Session, job: JobId, hosts: &[u32]) -> Result<Vec<Event>, StoreError> {
    query(
        "select e.seq, e.host_index, e.at, e.version, e.body, t.cloud, t.ip
         from event e join host_task t on t.job_id = e.job_id and t.host_index = e.host_index
         where e.job_id = $1 and e.host_index in list($2) order by e.seq",
    )
    .bind(job.0)
    .list(numbers(hosts.iter().copied().map(i64::from)))
    .each(on, "read the journal of hosts", |record: EventRecord| record.event(job))
    .await
}

/// The hosts of a page of the inventory, and how many there are on all pages.
pub(super) async fn hosts(on: &mut Session, filter: &HostFilter, page: Page) -> Result<(u64, Vec<HostRow>), StoreError> {
    let mut count = query("select count(*) from host_id n cross join host h where h.cloud = n.cloud and h.ip = n.ip");
    push_hosts(&mut count, filter);
    let total: i64 = count.one(on, "count hosts").await?;
    let mut select = query("select ");
    select.push(COLUMNS).push(" from host_id n cross join host h where h.cloud = n.cloud and h.ip = n.ip");
    push_hosts(&mut select, filter);
    select.push(" order by n.id");
    push_page(&mut select, page);
    let rows = select.each(on, "list hosts", |record: HostRecord| HostRow::try_from(record)).await?;
    Ok((number("count", total)?, rows))
}

fn push_hosts(query: &mut Query, filter: &HostFilter) {
    let HostFilter { ids, excluded, roles, businesses, clouds, access_points, ips, systems, packages, versions } = filter;
    let list = |items: &Vec<i64>| numbers(items.iter().copied());
    if let Some(ids) = ids {
        query.push(" and n.id in list(?)").values(list(ids));
    }
    if !excluded.is_empty() {
        query.push(" and n.id not in list(?)").values(list(excluded));
    }
    if let Some(roles) = roles {
        query.push(" and h.role in list(?)").values(words(roles.iter().map(|role| role.word())));
    }
    if let Some(clouds) = clouds {
        query.push(" and h.cloud in list(?)").values(list(clouds));
    }
    if let Some(ips) = ips {
        let any = (
            " and (h.ip in list(?) or h.spec ->> '$.inner_ipv6' in list(?))",
            " and (h.ip in list(?) or h.spec::jsonb ->> 'inner_ipv6' in list(?))",
        );
        query.push_either(any.0, any.1).values(addresses(ips));
    }
    if let Some(packages) = packages {
        query.push(" and h.package in list(?)").values(words(packages));
    }
    if let Some(versions) = versions {
        query.push(" and h.version in list(?)").values(words(versions));
    }
    if let Some(businesses) = businesses {
        let of = (" and cast(h.spec ->> '$.bk_biz_id' as text) in list(?)", " and h.spec::jsonb ->> 'bk_biz_id' in list(?)");
        query.push_either(of.0, of.1).values(words(businesses));
    }
    if let Some(points) = access_points {
        let of = (" and cast(h.spec ->> '$.ap_id' as text) in list(?)", " and h.spec::jsonb ->> 'ap_id' in list(?)");
        query.push_either(of.0, of.1).values(words(points));
    }
    if let Some(systems) = systems {
        let of = (" and h.spec ->> '$.os_type' in list(?)", " and h.spec::jsonb ->> 'os_type' in list(?)");
        query.push_either(of.0, of.1).values(words(systems.iter().map(|os| os.word())));
    }
}

/// What is known of some hosts, in the order they were asked for.
pub(super) async fn known_hosts(on: &mut Session, which: Known<'_>) -> Result<Vec<HostRow>, StoreError> {
    let (from, asked) = match which {
        Known::At(addresses) => (
            " from pairs(?) asked cross join host h where h.cloud = asked.number and h.ip = asked.word order by asked.place",
            session::hosts(addresses)?,
        ),
        Known::Numbered(numbers) => (
            " from pairs(?) asked cross join host_id n cross join host h
             where n.id = asked.number and h.cloud = n.cloud and h.ip = n.ip order by asked.place",
            pairs(numbers.iter().map(|number| (*number, String::new())))?,
        ),
    };
    let mut select = query("select ");
    select.push(COLUMNS).push(from).values(asked);
    select.each(on, "read the inventory", |record: HostRecord| HostRow::try_from(record)).await
}

fn push_page(query: &mut Query, page: Page) {
    query.push(" limit ?").value(page.limit.map_or(i64::MAX, i64::from));
    query.push(" offset ?").value(i64::try_from(page.offset).unwrap_or(i64::MAX));
}

fn status_words(statuses: &[Status]) -> List {
    words(statuses.iter().map(|status| status.word()))
}

fn addresses(ips: &[IpAddr]) -> List {
    words(ips)
}
