//! The commit of a batch: events get their `seq`, and the columns that copy the fold for lists change with them.
//!
//! A batch is first settled in memory (which writes are refused, what the others amount to), then written by a handful of
//! multi-row statements, all in one transaction.
//!
//! Never here: whether an event may follow another (`domain::state`). To add a kind of write: an arm in `Settled::take`
//! and its statement in `Settled::write`.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::net::IpAddr;

use super::insert::{Target, insert};
use super::proxies::{self, Retired};
use super::session::{Session, numbers, query, words};
use super::{Record, credentials, host_id, inventory, output};
use crate::domain::event::{EVENT_VERSION, EventKind};
use crate::domain::host::Address;
use crate::domain::id::{Epoch, JobId, Seq, TaskId};
use crate::domain::job::Status;
use crate::domain::outcome::Outcome;
use crate::store::news::Topic;
use crate::store::row::{json, micros, number, task_id};
use crate::store::{Claim, HostRow, OutputChunk, PinnedKey, StoreError, Write, Written};

/// A row of `event`.
pub(super) struct EventRow {
    pub(super) job: JobId,
    pub(super) seq: i64,
    pub(super) host: Option<u32>,
    pub(super) at: i64,
    pub(super) body: String,
}

/// Writes a batch in one transaction.
pub(super) async fn commit(record: &Record, batch: &[Write]) -> Result<Vec<Written>, StoreError> {
    if batch.is_empty() {
        return Ok(Vec::new());
    }
    let mut tx = record.begin().await?;
    // Who else changes these jobs waits: what is read from here on is true until the end.
    tx.lock_jobs(batch.iter().filter_map(job_of)).await?;
    let known = known_tasks(&mut tx, batch).await?;
    let unfinished = unfinished_jobs(&mut tx, batch).await?;
    let seqs = reserve(&mut tx, batch, &known).await?;
    let topics = topics(batch, &known);
    let mut settled = Settled { known, unfinished, seqs, ..Settled::default() };
    let mut answers = Vec::with_capacity(batch.len());
    for write in batch {
        answers.push(settled.take(write)?);
    }
    let removed = settled.write(&mut tx).await?;
    tx.commit_telling(&record.teller, &topics, "commit a batch").await?;
    record.pools.soil(removed);
    Ok(answers)
}

/// Which jobs have something new to read.
fn topics(batch: &[Write], known: &HashMap<TaskId, Latest>) -> Vec<Topic> {
    let of_output = |write: &Write| match write {
        Write::Output(chunk) => known.get(&chunk.task).map(|latest| latest.claim.job),
        _ => None,
    };
    let jobs: BTreeSet<JobId> = batch.iter().filter_map(|write| job_of(write).or_else(|| of_output(write))).collect();
    jobs.into_iter().map(Topic::Written).collect()
}

/// The latest claim of a host task; `open` until the host task has ended.
#[derive(Clone, Copy)]
struct Latest {
    claim: Claim,
    open: bool,
}

/// Who may append to the host tasks that a batch names, asked in one query.
async fn known_tasks(tx: &mut Session, batch: &[Write]) -> Result<HashMap<TaskId, Latest>, StoreError> {
    let named: HashSet<TaskId> = batch.iter().filter_map(task_of).collect();
    if named.is_empty() {
        return Ok(HashMap::new());
    }
    let latest = |(id, job, index, epoch, open): (String, i64, i64, i64, i64)| {
        let task = task_id(&id)?;
        let claim = Claim { job: JobId(job), task, index: number("index", index)?, epoch: Epoch(epoch) };
        Ok((task, Latest { claim, open: open != 0 }))
    };
    let tasks = query("select id, job_id, host_index, epoch, open from host_task where id in list($1)")
        .list(words(named))
        .each(tx, "check claims", latest)
        .await?;
    Ok(tasks.into_iter().collect())
}

/// Which of the jobs that a batch finishes have an unfinished host, for somebody asked for a retry meanwhile, or are
/// finished already: several executors may find that nothing is left.
async fn unfinished_jobs(tx: &mut Session, batch: &[Write]) -> Result<HashSet<JobId>, StoreError> {
    let finishes = |write: &Write| match write {
        Write::Job { job, events, .. } if finishes(events) => Some(job.0),
        _ => None,
    };
    let named: Vec<i64> = batch.iter().filter_map(finishes).collect();
    if named.is_empty() {
        return Ok(HashSet::new());
    }
    let rows: Vec<(i64,)> = query(
        "select job_id from host_task where open = 1 and job_id in list($1)
         union select id from job where finished_at is not null and id in list($1)",
    )
    .list(numbers(named))
    .all(tx, "look for unfinished hosts")
    .await?;
    Ok(rows.into_iter().map(|(job,)| JobId(job)).collect())
}

fn finishes(events: &[EventKind]) -> bool {
    events.iter().any(|event| matches!(event, EventKind::JobFinished { .. }))
}

/// May this claim append? One that is over may not: its epoch was raised, or its host task has ended. So whatever an
/// executor that was presumed dead still sends, the journal of a host folds.
fn may_append(known: &HashMap<TaskId, Latest>, claim: &Claim) -> bool {
    known.get(&claim.task).is_some_and(|latest| latest.open && latest.claim == *claim)
}

fn task_of(write: &Write) -> Option<TaskId> {
    match write {
        Write::Host { claim, .. } => Some(claim.task),
        Write::Output(chunk) => Some(chunk.task),
        Write::Job { .. } | Write::Register(_) | Write::Forget(_) | Write::Remove(_) => None,
        Write::PinKey(_) | Write::ReplaceKey(_) | Write::Retire { .. } => None,
    }
}

/// Whose journal it goes to.
fn job_of(write: &Write) -> Option<JobId> {
    match write {
        Write::Host { claim, .. } => Some(claim.job),
        Write::Job { job, .. } => Some(*job),
        Write::Output(_) | Write::Register(_) | Write::Forget(_) | Write::Remove(_) => None,
        Write::PinKey(_) | Write::ReplaceKey(_) | Write::Retire { .. } => None,
    }
}

/// Takes as many `seq` of every job as the batch will append to it; the first of them by job.
async fn reserve(tx: &mut Session, batch: &[Write], known: &HashMap<TaskId, Latest>) -> Result<HashMap<JobId, i64>, StoreError> {
    let mut counts: BTreeMap<JobId, i64> = BTreeMap::new();
    for write in batch {
        match write {
            Write::Host { claim, events, .. } if may_append(known, claim) => {
                *counts.entry(claim.job).or_default() += events.len() as i64;
            }
            Write::Job { job, events, .. } => *counts.entry(*job).or_default() += events.len() as i64,
            _ => {}
        }
    }
    let mut seqs = HashMap::new();
    for (job, count) in counts {
        let first: Option<(i64,)> = query("update job set next_seq = next_seq + $2 where id = $1 returning next_seq - $2")
            .bind(job.0)
            .bind(count)
            .optional(tx, "take the next seq")
            .await?;
        seqs.extend(first.map(|(first,)| (job, first)));
    }
    Ok(seqs)
}

/// What a batch amounts to.
#[derive(Default)]
struct Settled {
    known: HashMap<TaskId, Latest>,
    unfinished: HashSet<JobId>,
    /// Next `seq` by job; a job that is not here does not exist.
    seqs: HashMap<JobId, i64>,
    events: Vec<EventRow>,
    /// Wire status of a host task, and whether it still holds its host.
    hosts: BTreeMap<TaskId, (Status, bool)>,
    /// Host tasks whose login let us in.
    proved: BTreeSet<TaskId>,
    /// When host tasks became terminal.
    ended: BTreeMap<TaskId, i64>,
    /// Host tasks that ended with their host removed.
    forgotten: BTreeSet<TaskId>,
    jobs: BTreeMap<JobId, (Status, i64)>,
    /// `None`: the host is forgotten.
    inventory: BTreeMap<Address, Option<HostRow>>,
    /// Hosts whose kept logins go.
    removed: Vec<Address>,
    retired: Vec<Retired>,
    keys: Vec<PinnedKey>,
    /// Those that take the place of another: one statement may not write a row twice.
    new_keys: HashMap<(i64, IpAddr, u16), PinnedKey>,
    output: Vec<OutputChunk>,
}

impl Settled {
    fn take(&mut self, write: &Write) -> Result<Written, StoreError> {
        match write {
            Write::Host { claim, at, events } => {
                if !may_append(&self.known, claim) {
                    return Ok(Written::Stale);
                }
                for event in events {
                    self.follow(claim.task, event, micros(*at));
                }
                self.append(claim.job, Some(claim.index), micros(*at), events)
            }
            Write::Job { job, events, .. } if finishes(events) && self.unfinished.contains(job) => Ok(Written::Stale),
            Write::Job { job, at, events } => {
                for event in events {
                    if let EventKind::JobFinished { status } = event {
                        self.jobs.insert(*job, (*status, micros(*at)));
                    }
                }
                self.append(*job, None, micros(*at), events)
            }
            Write::Output(chunk) if !self.known.contains_key(&chunk.task) => Ok(Written::Stale),
            Write::Output(chunk) => {
                self.output.push(chunk.clone());
                Ok(Written::Done(None))
            }
            Write::Register(row) => {
                self.inventory.insert(row.address, Some((**row).clone()));
                Ok(Written::Done(None))
            }
            Write::Forget(address) => {
                self.inventory.insert(*address, None);
                Ok(Written::Done(None))
            }
            Write::Remove(address) => {
                self.inventory.insert(*address, None);
                self.removed.push(*address);
                Ok(Written::Done(None))
            }
            Write::Retire { proxy, job, at } => {
                self.retired.push(Retired { proxy: *proxy, job: *job, at: *at });
                Ok(Written::Done(None))
            }
            Write::PinKey(key) => {
                self.keys.push(key.clone());
                Ok(Written::Done(None))
            }
            Write::ReplaceKey(key) => {
                self.new_keys.insert((key.cloud, key.address, key.port), key.clone());
                Ok(Written::Done(None))
            }
        }
    }

    /// Gives events the next `seq` of their job.
    fn append(&mut self, job: JobId, host: Option<u32>, at: i64, events: &[EventKind]) -> Result<Written, StoreError> {
        let Some(next) = self.seqs.get_mut(&job) else { return Ok(Written::Stale) };
        let mut last = None;
        for event in events {
            self.events.push(EventRow { job, seq: *next, host, at, body: json("event", event)? });
            last = Some(Seq(*next));
            *next += 1;
        }
        Ok(Written::Done(last))
    }

    /// Copies what an event means for lists.
    fn follow(&mut self, task: TaskId, event: &EventKind, at: i64) {
        if event.is_login() {
            self.proved.insert(task);
        }
        let (status, open) = match event {
            EventKind::HostStarted => (Status::Running, true),
            EventKind::HostIgnored { exclusion } => (exclusion.exception.status(), false),
            EventKind::HostFinished { outcome } => (Status::of_outcome(outcome), !outcome.is_terminal()),
            EventKind::JobAccepted { .. }
            | EventKind::AttemptStarted { .. }
            | EventKind::PlanSettled { .. }
            | EventKind::StepAdded { .. }
            | EventKind::StepStarted { .. }
            | EventKind::StepFinished { .. }
            | EventKind::AttemptFailed { .. }
            | EventKind::CancelAsked { .. }
            | EventKind::HostKeyReplaced { .. }
            // Opening a host again is more than an event (`asked`).
            | EventKind::RetryAsked { .. }
            | EventKind::JobFinished { .. }
            | EventKind::Unknown => return,
        };
        self.hosts.insert(task, (status, open));
        if matches!(event, EventKind::HostFinished { outcome: Outcome::Removed }) {
            self.forgotten.insert(task);
        }
        if !open {
            self.ended.insert(task, at);
        }
    }

    /// Gives how many credentials went.
    async fn write(self, tx: &mut Session) -> Result<u64, StoreError> {
        insert_events(tx, &self.events).await?;
        update_hosts(tx, &self.hosts).await?;
        credentials::proved(tx, &self.proved).await?;
        let mut removed = credentials::end(tx, &self.ended).await? + credentials::forget(tx, &self.forgotten).await?;
        for (job, (status, at)) in &self.jobs {
            query("update job set status = $2, finished_at = $3 where id = $1")
                .bind(job.0)
                .bind(status.word())
                .bind(*at)
                .execute(tx, "finish a job")
                .await?;
        }
        removed += credentials::remove(tx, &self.removed).await?;
        host_id::give_up(tx, &self.removed).await?;
        inventory::write(tx, self.inventory).await?;
        proxies::retire(tx, &self.retired).await?;
        inventory::pin(tx, &self.keys).await?;
        let new_keys: Vec<PinnedKey> = self.new_keys.values().cloned().collect();
        inventory::replace_keys(tx, &new_keys).await?;
        output::write(tx, self.output).await?;
        Ok(removed)
    }
}

/// Appends rows to the journal.
pub(super) async fn insert_events(tx: &mut Session, events: &[EventRow]) -> Result<(), StoreError> {
    let table = "event (job_id, seq, host_index, at, version, body)";
    insert(tx, Target { table, tail: "" }, events, |event| {
        [
            event.job.0.into(),
            event.seq.into(),
            event.host.map(i64::from).into(),
            event.at.into(),
            i64::from(EVENT_VERSION).into(),
            event.body.as_str().into(),
        ]
    })
    .await
}

/// Writes the status columns, one statement per status. What is terminal stays as it is.
async fn update_hosts(tx: &mut Session, hosts: &BTreeMap<TaskId, (Status, bool)>) -> Result<(), StoreError> {
    let mut alike: HashMap<(Status, bool), Vec<TaskId>> = HashMap::new();
    for (task, change) in hosts {
        alike.entry(*change).or_default().push(*task);
    }
    for ((status, open), tasks) in alike {
        query("update host_task set status = $1, open = $2 where open = 1 and id in list($3)")
            .bind(status.word())
            .bind(i64::from(open))
            .list(words(tasks))
            .execute(tx, "write the status of hosts")
            .await?;
    }
    Ok(())
}
