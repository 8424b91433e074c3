//! What may be asked of a recorded job: to be cancelled, to try hosts again. Whoever works on it obeys, in whatever process;
//! where nobody does, whoever asked takes the job up.
//!
//! Never here: how that is done on a host (the engine's).

use std::collections::HashMap;
use std::net::IpAddr;

use super::logins::{Entry, LoginList};
use super::request::code;
use super::submit::Rejection;
use super::{Service, ServiceError, view};
use crate::domain::audit::Asking;
use crate::domain::host::Address;
use crate::domain::id::{JobId, TaskId};
use crate::domain::job::{JobKind, Status};
use crate::domain::spec::Part;
use crate::store::{Cancel, Retry, StoreError, TaskRow};

/// Which hosts of a job are to be tried again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Again {
    /// All that failed or were cancelled.
    Failed,
    /// These; each must have failed or been cancelled.
    Hosts(Vec<IpAddr>),
    /// These, by `instance_id`, and those that another login comes for; each must have failed or been cancelled.
    Instances(Vec<String>),
    /// Those that another login comes for, as far as they failed or were cancelled.
    Listed,
}

/// What is asked for when hosts are to be tried again.
#[derive(Clone, Debug)]
pub struct RetryAsk<'a> {
    /// Which.
    pub again: Again,
    /// Other logins for some of them.
    pub logins: Option<LoginList<'a>>,
    /// Every step again from the first; else each host goes on with the first that is not known to be done.
    pub from_start: bool,
    /// Who asks.
    pub by: Asking,
}

/// What came of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Retried {
    /// The hosts that will be tried again.
    pub hosts: Vec<Address>,
    /// Logins that came for other hosts, and were passed over.
    pub passed_over: usize,
}

impl Service {
    /// What a job is about: its kind and the businesses of its hosts.
    ///
    /// # Errors
    /// [`ServiceError::NoJob`]; when the record fails.
    pub async fn scope(&self, job: JobId) -> Result<(JobKind, Vec<i64>), ServiceError> {
        let spec = self.store.job(job).await?.ok_or(ServiceError::NoJob(job))?.spec;
        Ok((spec.kind, spec.businesses))
    }

    /// Asks for a job to be cancelled: hosts that have not ended end TERMINATED, what runs on them is ended. False when
    /// every host has ended already.
    ///
    /// # Errors
    /// [`ServiceError::NoJob`]; when the record fails.
    pub async fn cancel(&self, job: JobId, by: &Asking) -> Result<bool, ServiceError> {
        if self.store.job(job).await?.is_none() {
            return Err(ServiceError::NoJob(job));
        }
        let asked = self.store.ask_cancel(Cancel { job, tasks: None, by, at: self.engine.now() }).await? > 0;
        // Of hosts that nobody came for yet nobody else ends them.
        self.sweep_manual().await?;
        Ok(asked)
    }

    /// The same for some hosts of a job, by `instance_id`; the others go on. Those that have ended keep their result: false
    /// when all have.
    ///
    /// # Errors
    /// [`ServiceError::NoJob`], [`ServiceError::NoInstance`]: nothing is asked then; when the record fails.
    pub async fn cancel_hosts(&self, job: JobId, names: &[String], by: &Asking) -> Result<bool, ServiceError> {
        if self.store.job(job).await?.is_none() {
            return Err(ServiceError::NoJob(job));
        }
        let tasks = self.store.tasks(job).await?;
        let chosen = named(job, &tasks, names, |task| matches!(task.status, Status::Pending | Status::Running))?;
        let ids: Vec<TaskId> = chosen.iter().map(|task| task.id).collect();
        let asked = self.store.ask_cancel(Cancel { job, tasks: Some(&ids), by, at: self.engine.now() }).await? > 0;
        self.sweep_manual().await?;
        Ok(asked)
    }

    /// Leaves a job to whichever executor is there: what was asked of it must not wait for the person who began it.
    ///
    /// # Errors
    /// When the record fails.
    pub async fn hand_over(&self, job: JobId) -> Result<(), ServiceError> {
        Ok(self.store.hand_over(job).await?)
    }

    /// Asks for hosts to be tried again. Gives those that will be; none when no host failed.
    ///
    /// # Errors
    /// [`ServiceError::NoJob`], [`ServiceError::NoHost`], [`ServiceError::NoInstance`], [`ServiceError::NotFailed`];
    /// [`ServiceError::Busy`] when another job has one of them meanwhile; [`Rejection::Faults`]: everything wrong with the
    /// logins. Nothing is asked then.
    pub async fn retry(&self, job: JobId, ask: &RetryAsk<'_>) -> Result<Retried, Rejection> {
        if self.store.job(job).await?.is_none() {
            return Err(ServiceError::NoJob(job).into());
        }
        let tasks = self.store.tasks(job).await?;
        let strict = matches!(ask.again, Again::Instances(_));
        let (mut faults, mut passed_over) = (Vec::new(), 0);
        let mut entries = ask.logins.map_or_else(Vec::new, |list| {
            list.named(&tasks, &mut faults, |fields| {
                passed_over += 1;
                if strict {
                    fields.fault_with("", code::NO_INSTANCE, format!("is no host of job {job}"));
                }
            })
        });
        let mut chosen = choose(job, &tasks, &ask.again, &entries)?;
        with_waiting(&tasks, &mut chosen);
        let ids: Vec<TaskId> = chosen.iter().map(|task| task.id).collect();
        let count = entries.len();
        entries.retain(|entry| ids.contains(&entry.task.id));
        passed_over += count - entries.len();
        let logins = match ask.logins {
            Some(list) => self.new_logins(list, &entries, faults).await?,
            None => Vec::new(),
        };
        if ids.is_empty() {
            return Ok(Retried { hosts: Vec::new(), passed_over });
        }
        let (by, at) = (ask.by.clone(), self.engine.now());
        let retry = Retry { tasks: ids, logins, from_start: ask.from_start, by, at };
        let opened = match self.store.ask_retry(job, &retry).await {
            Ok(opened) => opened,
            Err(StoreError::Conflict(message)) => return Err(ServiceError::Busy(message).into()),
            Err(error) => return Err(error.into()),
        };
        let hosts = chosen.iter().filter(|task| opened.contains(&task.id)).map(|task| task.address).collect();
        Ok(Retried { hosts, passed_over })
    }
}

/// The old proxy of a replacement waits for the new one, so it is tried again with it.
fn with_waiting<'a>(tasks: &'a [TaskRow], chosen: &mut Vec<&'a TaskRow>) {
    let waits = |task: &&TaskRow| task.spec.part == Part::Retired && task.status == Status::Failed;
    let is_chosen = |task: &TaskRow| chosen.iter().any(|other| other.id == task.id);
    let waiting: Vec<&TaskRow> = tasks.iter().filter(waits).filter(|task| !chosen.is_empty() && !is_chosen(task)).collect();
    chosen.extend(waiting);
}

fn choose<'a>(job: JobId, tasks: &'a [TaskRow], again: &Again, entries: &[Entry<'a>]) -> Result<Vec<&'a TaskRow>, ServiceError> {
    let in_order = |mut chosen: Vec<&'a TaskRow>| {
        chosen.sort_by_key(|task| task.index);
        chosen.dedup_by_key(|task| task.index);
        chosen
    };
    match again {
        Again::Failed => Ok(tasks.iter().filter(failed).collect()),
        Again::Hosts(hosts) => {
            let one = |host: &IpAddr| {
                let of_host: Vec<&TaskRow> = tasks.iter().filter(|task| task.address.ip == *host).collect();
                match (of_host.iter().copied().find(failed), of_host.first()) {
                    (Some(task), _) => Ok(task),
                    (None, Some(task)) => Err(ServiceError::NotFailed { job, host: *host, status: task.status }),
                    (None, None) => Err(ServiceError::NoHost { job, host: *host }),
                }
            };
            Ok(in_order(hosts.iter().map(one).collect::<Result<_, _>>()?))
        }
        Again::Instances(names) => {
            let mut chosen = named(job, tasks, names, |task| failed(&task))?;
            chosen.extend(entries.iter().map(|entry| entry.task));
            let ended = |task: &&TaskRow| ServiceError::NotFailed { job, host: task.address.ip, status: task.status };
            match chosen.iter().find(|task| !failed(task)) {
                Some(task) => Err(ended(task)),
                None => Ok(in_order(chosen)),
            }
        }
        Again::Listed => Ok(in_order(entries.iter().map(|entry| entry.task).filter(failed).collect())),
    }
}

/// The host tasks that these `instance_id`s name; of several with the same name the one that is `wanted`.
fn named<'a>(
    job: JobId,
    tasks: &'a [TaskRow],
    names: &[String],
    wanted: impl Fn(&TaskRow) -> bool,
) -> Result<Vec<&'a TaskRow>, ServiceError> {
    let mut known: HashMap<String, Vec<&TaskRow>> = HashMap::new();
    for task in tasks {
        known.entry(view::instance_id(task)).or_default().push(task);
    }
    let one = |name: &String| match known.get(name).map(Vec::as_slice) {
        None | Some([]) => Err(ServiceError::NoInstance { job, instance: name.clone() }),
        Some(of_host @ [first, ..]) => Ok(of_host.iter().copied().find(|task| wanted(task)).unwrap_or(first)),
    };
    names.iter().map(one).collect()
}

fn failed(task: &&TaskRow) -> bool {
    matches!(task.status, Status::Failed | Status::Terminated)
}
