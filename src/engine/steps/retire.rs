//! What happens to the old proxy of a replacement before it is uninstalled, in this order:
//!
//! ```text
//! switch_routing   the new proxy proved itself ─► nobody new goes through this one
//! repoint_agents   the agents behind it get the zone's other proxies, by a RELOAD_AGENT job of their own
//! drain_gateway    who goes through it still may end
//! ```
//! Each can be done again at any moment: it looks at the record first. While it waits for other hosts, the host task has no
//! place among the hosts in flight.
//!
//! Never here: how the new proxy is installed, and how the old one is uninstalled (the usual steps).

use std::collections::{HashMap, HashSet};

use tokio::time::{Instant, sleep};
use uuid::Uuid;

use crate::domain::admission::{Exception, Exclusion};
use crate::domain::audit::{Action, Asker, Source};
use crate::domain::event::Figures;
use crate::domain::failure::{Code, Failure};
use crate::domain::host::Address;
use crate::domain::id::{JobId, TaskId};
use crate::domain::job::{JobKind, Status};
use crate::domain::outcome::StepOutcome;
use crate::domain::plan::Step;
use crate::domain::spec::{JobSpec, Part};
use crate::engine::gateways::roster;
use crate::engine::host_task::{Halt, HostTask, Went};
use crate::meters;
use crate::plan::{self, task::Place};
use crate::store::news::News;
use crate::store::{HostRow, NewHost, NewJob, StoreError, TaskRow, Write};

/// Hosts that a message names; of the others it says how many.
const NAMED: usize = 5;

/// Waits until the new proxy is a proven one, and takes this one out of the zone's routing.
pub(in crate::engine) async fn switch_routing(task: &mut HostTask) -> Result<Went, Halt> {
    let news = task.job.store.news();
    task.leave_place();
    let successor = successor(task, news).await?;
    task.take_place().await;
    let (proxy, at) = (task.row.address, task.job.clock.now());
    task.write(Write::Retire { proxy, job: task.job.job, at }).await?;
    Ok(Went::changed(Figures::detail(format!("proxy {successor} is in service"))))
}

async fn successor(task: &HostTask, mut news: News) -> Result<Address, Halt> {
    let job = task.job.job;
    loop {
        let others: Vec<TaskRow> =
            task.job.store.tasks(job).await?.into_iter().filter(|other| other.spec.part == Part::Whole).collect();
        if let Some(proved) = others.iter().find(|other| other.status == Status::Success) {
            return Ok(proved.address);
        }
        if !others.iter().any(|other| matches!(other.status, Status::Pending | Status::Running)) {
            let message = "the new proxy did not get into service: this one stays in service, untouched";
            return Err(Failure::new(Code::NotReplaced, message).into());
        }
        tokio::select! {
            () = news.next(|topic| topic.concerns(job)) => {}
            () = task.stop.asked() => return Err(Halt::Stopped),
        }
    }
}

/// Points the agents behind this proxy at the others of the zone.
pub(in crate::engine) async fn repoint_agents(task: &mut HostTask) -> Result<Went, Halt> {
    let store = task.job.store.clone();
    task.leave_place();
    let mut last = None;
    // Of an earlier try, or of an executor that died: it is not begun again beside itself.
    for child in store.children(task.job.job).await? {
        await_end(task, child).await?;
        last = Some(child);
    }
    let behind = store.behind(task.row.address).await?;
    if !behind.is_empty() {
        let child = begin(task, &behind).await?;
        await_end(task, child).await?;
        last = Some(child);
    }
    task.take_place().await;
    let left = store.behind(task.row.address).await?;
    match last {
        _ if !left.is_empty() => Err(still_behind(&left, last).into()),
        Some(child) => Ok(Went::changed(Figures::detail(format!("job {child} pointed the agents at the other proxies")))),
        None => Ok(Went::unchanged("no known agent has this proxy as upstream")),
    }
}

/// A RELOAD_AGENT job for those agents, with the logins that are kept. One whose login is gone stays in it, left out.
async fn begin(task: &HostTask, behind: &[HostRow]) -> Result<JobId, Halt> {
    let (store, site) = (&task.job.store, &task.job.site);
    let unreadable = || Failure::new(Code::Internal, "the job is not in the record");
    let parent = store.job(task.job.job).await?.ok_or_else(unreadable)?;
    let places: Vec<Address> = behind.iter().map(|row| row.address).collect();
    let mut logins = store.kept_logins(&places).await?;
    let busy: HashSet<Address> = store.busy(&places).await?.into_iter().map(|(host, _)| host).collect();
    let carrying = store.proxies().await?.carrying(site.proxies());
    let place = Place { site, kind: JobKind::ReloadAgent, carrying: &carrying };
    let outline = plan::outline::outline(JobKind::ReloadAgent, site.limits.script_timeout_s);
    let hosts: Vec<NewHost> = behind
        .iter()
        .map(|row| {
            let kept = logins.iter().position(|(address, ..)| *address == row.address).map(|place| logins.swap_remove(place));
            let mut host = row.spec.clone();
            let (credential, exclusion) = match kept {
                _ if busy.contains(&row.address) => (None, Some(Exclusion::new(Exception::Busy, "another job"))),
                None => (None, Some(Exclusion::new(Exception::CredentialExpired, ""))),
                Some((_, login, credential)) => {
                    (host.account, host.port, host.auth_type, host.login_ip) =
                        (login.account, login.port, login.auth_type, login.login_ip);
                    (Some(credential), None)
                }
            };
            NewHost { id: TaskId(Uuid::now_v7()), spec: plan::task::spec(&place, host, &outline), credential, exclusion }
        })
        .collect();
    if hosts.iter().all(|host| host.exclusion.is_some()) {
        return Err(still_behind(behind, None).because("of none of them a login is kept, or another job has them").into());
    }
    let businesses = hosts.iter().map(|host| host.spec.host.bk_biz_id).collect::<std::collections::BTreeSet<_>>();
    let spec =
        JobSpec { parent: Some(task.job.job), businesses: businesses.into_iter().collect(), ..JobSpec::of(JobKind::ReloadAgent) };
    let by = asker(task, &parent.created_by).await?.asks(Action::Repoint);
    let job = NewJob { spec, created_by: parent.created_by, by, served: parent.served, hosts };
    match store.create_job(job, task.job.clock.now()).await {
        Ok(child) => {
            meters::job_accepted(JobKind::ReloadAgent);
            Ok(child)
        }
        // Somebody took one of the hosts just now.
        Err(StoreError::Conflict(why)) => Err(still_behind(behind, None).because(why).into()),
        Err(error) => Err(error.into()),
    }
}

/// Who asked for the replacement asked for what it takes.
async fn asker(task: &HostTask, created_by: &str) -> Result<Asker, StoreError> {
    let first = task.job.store.audit(task.job.job).await?.into_iter().next();
    Ok(first.map_or_else(
        || Asker::at_terminal(created_by),
        |line| Asker { app: line.app, user: line.user, source: line.source.parse().map_or(Source::Terminal, Source::Address) },
    ))
}

async fn await_end(task: &HostTask, job: JobId) -> Result<(), Halt> {
    let mut news = task.job.store.news();
    while task.job.store.job(job).await?.is_some_and(|row| row.finished_at.is_none()) {
        tokio::select! {
            () = news.next(|topic| topic.concerns(job)) => {}
            () = task.stop.asked() => return Err(Halt::Stopped),
        }
    }
    Ok(())
}

/// Lets those end that go through this proxy still: whoever was worked on in its cloud when nobody could choose it any more.
pub(in crate::engine) async fn drain_gateway(task: &mut HostTask, step: Step) -> Result<Went, Halt> {
    let store = task.job.store.clone();
    let behind = store.behind(task.row.address).await?;
    if !behind.is_empty() {
        return Err(still_behind(&behind, None).into());
    }
    task.leave_place();
    // No event tells when the last executor has looked at the record.
    let until = Instant::now() + step.deadline().unwrap_or_default();
    pause(task, roster::LIFE).await?;
    let mut through = going_through(task).await?;
    let count = through.len();
    while !through.is_empty() && Instant::now() < until {
        // Hosts end in many jobs, told to nobody as one piece of news.
        pause(task, roster::LIFE).await?;
        let now = going_through(task).await?;
        through.retain(|id| now.contains(id));
    }
    task.take_place().await;
    Ok(match through.len() {
        0 if count == 0 => Went::unchanged("nobody goes through it"),
        0 => Went::changed(Figures::detail(format!("{count} host tasks ended"))),
        left => {
            let message = format!("{left} of {count} host tasks of the cloud did not end within {} s", step.timeout_s);
            Went::new(StepOutcome::Warned { message }, Figures::default())
        }
    })
}

/// The hosts of other jobs in this cloud that an executor works on. One that was let go of, or that a person installs, goes
/// through no proxy.
async fn going_through(task: &HostTask) -> Result<HashSet<TaskId>, StoreError> {
    let store = &task.job.store;
    let mut held = HashMap::new();
    let mut through = HashSet::new();
    for (job, id) in store.running_in(task.row.address.cloud).await? {
        if job == task.job.job {
            continue;
        }
        let is_held = match held.get(&job) {
            Some(is_held) => *is_held,
            None => *held.entry(job).or_insert(store.holder(job).await?.is_some()),
        };
        if is_held {
            through.insert(id);
        }
    }
    Ok(through)
}

async fn pause(task: &HostTask, pause: std::time::Duration) -> Result<(), Halt> {
    tokio::select! {
        () = sleep(pause) => Ok(()),
        () = task.stop.asked() => Err(Halt::Stopped),
    }
}

fn still_behind(agents: &[HostRow], child: Option<JobId>) -> Failure {
    let named: Vec<String> = agents.iter().take(NAMED).map(|row| row.address.to_string()).collect();
    let more = agents.len().saturating_sub(NAMED);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    let message = format!("{} agent(s) have this proxy as upstream still: {}{more}", agents.len(), named.join(", "));
    let failure = Failure::new(Code::StillUpstream, message);
    match child {
        Some(child) => failure.because(format!("job {child} did not point all of them at another proxy")),
        None => failure,
    }
}
