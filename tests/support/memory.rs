//! A record in memory: the rules of the [`Store`] trait without a disk, so that engine tests need no real time.
//!
//! It can fail ([`MemoryStore::fail_from`]) and it can die: [`MemoryStore::die_before`] and [`MemoryStore::die_after`] stop
//! the world at one event, as a `kill -9` of the executor would, and tell whoever waits for [`MemoryStore::death`].

#![allow(dead_code, reason = "every test binary uses its own part of this")]

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use landfall::domain::Timestamp;
use landfall::domain::credential::Credential;
use landfall::domain::event::{Event, EventKind};
use landfall::domain::host::{Address, HostSpec};
use landfall::domain::id::{Epoch, JobId, Seq, TaskId};
use landfall::domain::job::{Statistics, Status};
use landfall::domain::plan::StepKind;
use landfall::domain::record::HostRecord;
use landfall::domain::spec::JobSpec;
use landfall::store::{
    Claim, HostRow, JobRow, Lease, NewJob, OUTPUT_HEAD, OUTPUT_TAIL, OutputChunk, PinnedKey, Store, StoreError, TaskRow, Write,
    Written,
};
use tokio::sync::Notify;

/// Longest life of a credential whose host task has not ended.
const UNFINISHED: Duration = Duration::from_secs(7 * 86_400);
/// Largest stored piece of output.
const PIECE: usize = 64 << 10;

#[derive(Default)]
struct Inner {
    jobs: BTreeMap<JobId, Job>,
    tasks: BTreeMap<TaskId, Task>,
    inventory: BTreeMap<Address, HostRow>,
    keys: HashMap<(i64, IpAddr, u16), PinnedKey>,
    output: Vec<Stream>,
    held: HashSet<JobId>,
    commits: u64,
    fail_from: Option<u64>,
    trap: Option<Trap>,
    dead: bool,
}

struct Job {
    spec: JobSpec,
    created_by: String,
    created_at: Timestamp,
    finished: Option<(Status, Timestamp)>,
    events: Vec<Event>,
}

struct Task {
    row: TaskRow,
    open: bool,
    credential: Option<Kept>,
}

struct Kept {
    credential: Credential,
    purge_at: Timestamp,
    long_term: bool,
}

struct Stream {
    of: (TaskId, StepKind, u32),
    pieces: BTreeMap<u64, Bytes>,
}

/// Recognises an event of a host.
type Sign = Box<dyn Fn(u32, &EventKind) -> bool + Send>;

/// Where the executor dies.
struct Trap {
    /// Is it this event of this host?
    at: Sign,
    /// Is the event durable?
    stored: bool,
}

/// A record in memory.
#[derive(Clone, Default)]
pub struct MemoryStore {
    inner: Arc<Mutex<Inner>>,
    died: Arc<Notify>,
}

#[derive(Debug)]
struct MemoryLease {
    store: std::sync::Weak<Mutex<Inner>>,
    job: JobId,
}

impl Lease for MemoryLease {}

impl Drop for MemoryLease {
    fn drop(&mut self) {
        if let Some(inner) = self.store.upgrade() {
            inner.lock().unwrap_or_else(PoisonError::into_inner).held.remove(&self.job);
        }
    }
}

impl std::fmt::Debug for Inner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Inner")
    }
}

impl MemoryStore {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Every commit from the `nth` on (1, 2, 3 ...) fails, and nothing of it is kept.
    pub fn fail_from(&self, nth: u64) {
        self.lock().fail_from = Some(nth);
    }

    /// The disk is well again.
    pub fn heal(&self) {
        self.lock().fail_from = None;
    }

    /// Commits so far, failed ones included.
    pub fn commits(&self) -> u64 {
        self.lock().commits
    }

    /// The executor dies when it is about to make such an event durable.
    pub fn die_before(&self, at: impl Fn(u32, &EventKind) -> bool + Send + 'static) {
        self.lock().trap = Some(Trap { at: Box::new(at), stored: false });
    }

    /// The executor dies when such an event is durable, before it learns of that.
    pub fn die_after(&self, at: impl Fn(u32, &EventKind) -> bool + Send + 'static) {
        self.lock().trap = Some(Trap { at: Box::new(at), stored: true });
    }

    /// Waits until the executor died.
    pub async fn death(&self) {
        loop {
            let died = self.died.notified();
            if self.lock().dead {
                return;
            }
            died.await;
        }
    }

    /// The next executor finds the record as the dead one left it.
    pub fn revive(&self) {
        let mut inner = self.lock();
        (inner.dead, inner.trap) = (false, None);
    }

    /// The journal of a job.
    pub fn journal(&self, job: JobId) -> Vec<Event> {
        self.lock().jobs.get(&job).map(|job| job.events.clone()).unwrap_or_default()
    }

    /// The journal of one host, folded.
    pub fn folded(&self, job: JobId, index: u32) -> HostRecord {
        let mut record = HostRecord::default();
        for event in self.journal(job).iter().filter(|event| event.host_index == Some(index)) {
            record.apply(&event.kind, event.at).unwrap();
        }
        record
    }
}

impl Inner {
    fn task_rows(&self, job: JobId) -> Vec<&Task> {
        let mut tasks: Vec<&Task> = self.tasks.values().filter(|task| task.row.job == job).collect();
        tasks.sort_by_key(|task| task.row.index);
        tasks
    }

    fn job_row(&self, id: JobId, job: &Job) -> JobRow {
        let statuses = || self.task_rows(id).into_iter().map(|task| task.row.status);
        JobRow {
            id,
            spec: job.spec.clone(),
            created_by: job.created_by.clone(),
            created_at: job.created_at,
            finished_at: job.finished.map(|(_, at)| at),
            statistics: Statistics::of(statuses()),
            status: job.finished.map_or_else(|| Status::fold(statuses()), |(status, _)| status),
        }
    }

    fn holder(&self, host: Address) -> Option<JobId> {
        self.tasks.values().find(|task| task.open && task.row.address == host).map(|task| task.row.job)
    }

    fn create(&mut self, job: NewJob, at: Timestamp) -> Result<JobId, StoreError> {
        let ignored = job.hosts.iter().filter(|host| host.exclusion.is_some()).count();
        let mut seen = BTreeSet::new();
        for host in job.hosts.iter().filter(|host| host.exclusion.is_none()) {
            let address = host.spec.host.address().unwrap();
            if let Some(holder) = self.holder(address) {
                return Err(StoreError::Conflict(format!("host {address} is held by unfinished job {holder}")));
            }
            if !seen.insert(address) {
                return Err(StoreError::Conflict(format!("host {address} stands twice in the job")));
            }
        }
        let id = JobId(self.jobs.len() as i64 + 1);
        let accepted = EventKind::JobAccepted {
            job_type: job.spec.kind,
            hosts: (job.hosts.len() - ignored) as u64,
            ignored: ignored as u64,
        };
        let new = Job { spec: job.spec, created_by: job.created_by, created_at: at, finished: None, events: Vec::new() };
        self.jobs.insert(id, new);
        self.append(id, None, at, vec![accepted]);
        for (host, index) in job.hosts.into_iter().zip(0..) {
            let address = host.spec.host.address().unwrap();
            let status = host.exclusion.as_ref().map_or(Status::Pending, |exclusion| exclusion.exception.status());
            let open = host.exclusion.is_none();
            let credential = host.credential.map(|credential| Kept { credential, purge_at: at + UNFINISHED, long_term: false });
            let row = TaskRow { id: host.id, index, job: id, address, spec: host.spec, status, epoch: Epoch(0) };
            self.tasks.insert(host.id, Task { row, open, credential });
            if let Some(exclusion) = host.exclusion {
                self.append(id, Some((index, address)), at, vec![EventKind::HostIgnored { exclusion }]);
            }
        }
        Ok(id)
    }

    fn append(&mut self, id: JobId, host: Option<(u32, Address)>, at: Timestamp, events: Vec<EventKind>) -> Written {
        let Some(job) = self.jobs.get_mut(&id) else { return Written::Stale };
        let mut last = None;
        for kind in events {
            let seq = Seq(job.events.len() as i64 + 1);
            let (host_index, host) = (host.map(|(index, _)| index), host.map(|(_, address)| address.into()));
            job.events.push(Event { seq, at, job_id: id, host_index, host, kind });
            last = Some(seq);
        }
        Written::Done(last)
    }

    fn take(&mut self, write: Write) -> Written {
        match write {
            Write::Host { claim, at, events } => self.take_host(claim, at, events),
            Write::Job { job, at, events } => {
                let status = events.iter().rev().find_map(|event| match event {
                    EventKind::JobFinished { status } => Some(*status),
                    _ => None,
                });
                if let (Some(status), Some(job)) = (status, self.jobs.get_mut(&job)) {
                    job.finished = Some((status, at));
                }
                self.append(job, None, at, events)
            }
            Write::Output(chunk) if !self.tasks.contains_key(&chunk.task) => Written::Stale,
            Write::Output(chunk) => {
                self.take_output(chunk);
                Written::Done(None)
            }
            Write::Register(row) => {
                self.inventory.insert(row.address, *row);
                Written::Done(None)
            }
            Write::Forget(address) => {
                self.inventory.remove(&address);
                Written::Done(None)
            }
            Write::PinKey(key) => {
                self.keys.entry((key.cloud, key.address, key.port)).or_insert(key);
                Written::Done(None)
            }
        }
    }

    fn take_host(&mut self, claim: Claim, at: Timestamp, events: Vec<EventKind>) -> Written {
        let Some(task) = self.tasks.get_mut(&claim.task) else { return Written::Stale };
        let was_open = task.open;
        let row = &mut task.row;
        if (claim.job, claim.index, claim.epoch) != (row.job, row.index, row.epoch) {
            return Written::Stale;
        }
        for event in &events {
            match event {
                _ if !task.open => {}
                EventKind::HostStarted => row.status = Status::Running,
                EventKind::HostFinished { outcome } => {
                    row.status = Status::of_outcome(outcome);
                    task.open = !outcome.is_terminal();
                }
                _ => {}
            }
        }
        if was_open && !task.open {
            task.credential = task.credential.take().and_then(|kept| kept.after_end(row.spec.host.retention.seconds(), at));
        }
        let host = (row.index, row.address);
        self.append(claim.job, Some(host), at, events)
    }

    fn take_output(&mut self, chunk: OutputChunk) {
        let of = (chunk.task, chunk.step, chunk.attempt);
        if !self.output.iter().any(|stream| stream.of == of) {
            self.output.push(Stream { of, pieces: BTreeMap::new() });
        }
        let stream = self.output.iter_mut().find(|stream| stream.of == of).unwrap();
        let (mut offset, mut data) = (chunk.offset, chunk.data);
        while !data.is_empty() {
            let piece = data.split_to(PIECE.min(data.len()));
            let size = piece.len() as u64;
            let kept = stream.pieces.entry(offset).or_default();
            if piece.len() > kept.len() {
                *kept = piece;
            }
            offset += size;
        }
        let tail = stream.end().saturating_sub(OUTPUT_TAIL);
        stream.pieces.retain(|offset, piece| *offset < OUTPUT_HEAD || offset + piece.len() as u64 > tail);
    }

    fn springs(&self, batch: &[Write], stored: bool) -> bool {
        let Some(trap) = self.trap.as_ref().filter(|trap| trap.stored == stored) else { return false };
        batch.iter().any(|write| match write {
            Write::Host { claim, events, .. } => events.iter().any(|event| (trap.at)(claim.index, event)),
            _ => false,
        })
    }
}

impl Kept {
    fn after_end(self, retention_s: Option<i64>, at: Timestamp) -> Option<Self> {
        let Some(seconds) = retention_s else { return Some(Self { long_term: true, ..self }) };
        let seconds = seconds.min(100 * 365 * 86_400);
        (seconds > 0).then(|| Self { purge_at: at + Duration::from_secs(seconds.unsigned_abs()), ..self })
    }
}

impl Stream {
    fn end(&self) -> u64 {
        self.pieces.iter().map(|(offset, piece)| offset + piece.len() as u64).max().unwrap_or(0)
    }
}

#[async_trait]
impl Store for MemoryStore {
    async fn create_job(&self, job: NewJob, at: Timestamp) -> Result<JobId, StoreError> {
        self.lock().create(job, at)
    }

    async fn hold(&self, job: JobId) -> Result<Box<dyn Lease>, StoreError> {
        if !self.lock().held.insert(job) {
            return Err(StoreError::Held { job, pid: std::process::id() });
        }
        Ok(Box::new(MemoryLease { store: Arc::downgrade(&self.inner), job }))
    }

    async fn holder(&self, job: JobId) -> Result<Option<u32>, StoreError> {
        Ok(self.lock().held.contains(&job).then(std::process::id))
    }

    async fn claim(&self, job: JobId) -> Result<Vec<TaskRow>, StoreError> {
        let mut inner = self.lock();
        for task in inner.tasks.values_mut().filter(|task| task.open && task.row.job == job) {
            task.row.epoch.0 += 1;
        }
        Ok(inner.task_rows(job).into_iter().filter(|task| task.open).map(|task| task.row.clone()).collect())
    }

    async fn commit(&self, batch: Vec<Write>) -> Result<Vec<Written>, StoreError> {
        let answers = {
            let mut inner = self.lock();
            inner.commits += 1;
            if inner.fail_from.is_some_and(|nth| inner.commits >= nth) {
                return Err(StoreError::Unavailable { what: "write".into(), source: "the disk is full".into() });
            }
            let dies_after = inner.springs(&batch, true);
            if inner.dead || inner.springs(&batch, false) {
                inner.dead = true;
                None
            } else {
                let answers: Vec<Written> = batch.into_iter().map(|write| inner.take(write)).collect();
                inner.dead = dies_after;
                (!dies_after).then_some(answers)
            }
        };
        match answers {
            Some(answers) => Ok(answers),
            None => {
                self.died.notify_waiters();
                std::future::pending().await
            }
        }
    }

    async fn job(&self, id: JobId) -> Result<Option<JobRow>, StoreError> {
        let inner = self.lock();
        Ok(inner.jobs.get(&id).map(|job| inner.job_row(id, job)))
    }

    async fn jobs(&self, limit: u32) -> Result<Vec<JobRow>, StoreError> {
        let inner = self.lock();
        Ok(inner.jobs.iter().rev().take(limit as usize).map(|(id, job)| inner.job_row(*id, job)).collect())
    }

    async fn tasks(&self, job: JobId) -> Result<Vec<TaskRow>, StoreError> {
        Ok(self.lock().task_rows(job).into_iter().map(|task| task.row.clone()).collect())
    }

    async fn events(&self, job: JobId, after: Seq, limit: u32) -> Result<Vec<Event>, StoreError> {
        let journal = self.journal(job);
        Ok(journal.into_iter().filter(|event| event.seq > after).take(limit as usize).collect())
    }

    async fn output(&self, task: TaskId) -> Result<Vec<OutputChunk>, StoreError> {
        let inner = self.lock();
        let of_task = inner.output.iter().filter(|stream| stream.of.0 == task);
        let chunks = of_task.flat_map(|stream| {
            let (task, step, attempt) = stream.of;
            stream.pieces.iter().map(move |(offset, data)| OutputChunk {
                task,
                step,
                attempt,
                offset: *offset,
                data: data.clone(),
            })
        });
        Ok(chunks.collect())
    }

    async fn output_end(&self, task: TaskId, step: StepKind, attempt: u32) -> Result<u64, StoreError> {
        let inner = self.lock();
        Ok(inner.output.iter().find(|stream| stream.of == (task, step, attempt)).map_or(0, Stream::end))
    }

    async fn busy(&self, hosts: &[Address]) -> Result<Vec<(Address, JobId)>, StoreError> {
        let inner = self.lock();
        Ok(hosts.iter().filter_map(|host| Some((*host, inner.holder(*host)?))).collect())
    }

    async fn credential(&self, task: TaskId) -> Result<Option<Credential>, StoreError> {
        let inner = self.lock();
        Ok(inner.tasks.get(&task).and_then(|task| task.credential.as_ref()).map(|kept| kept.credential.clone()))
    }

    async fn kept_logins(&self, hosts: &[Address]) -> Result<Vec<(Address, HostSpec, Credential)>, StoreError> {
        let inner = self.lock();
        let newest = |host: &Address| {
            let of_host = inner.tasks.values().filter(|task| task.row.address == *host && task.credential.is_some());
            let task = of_host.max_by_key(|task| (task.row.job, task.row.index))?;
            Some((*host, task.row.spec.host.clone(), task.credential.as_ref()?.credential.clone()))
        };
        Ok(hosts.iter().filter_map(newest).collect())
    }

    async fn purge_credentials(&self, now: Timestamp) -> Result<u64, StoreError> {
        let mut purged = 0;
        for task in self.lock().tasks.values_mut() {
            if task.credential.as_ref().is_some_and(|kept| kept.is_over(task.open, now)) {
                task.credential = None;
                purged += 1;
            }
        }
        Ok(purged)
    }

    async fn host(&self, address: Address) -> Result<Option<HostRow>, StoreError> {
        Ok(self.lock().inventory.get(&address).cloned())
    }

    async fn pinned_key(&self, cloud: i64, address: IpAddr, port: u16) -> Result<Option<PinnedKey>, StoreError> {
        Ok(self.lock().keys.get(&(cloud, address, port)).cloned())
    }

    async fn forget_keys(&self, host: Address, port: Option<u16>) -> Result<u64, StoreError> {
        let mut kept = self.lock();
        let before = kept.keys.len();
        kept.keys.retain(|key, _| !(key.0 == host.cloud && key.1 == host.ip && port.is_none_or(|port| port == key.2)));
        Ok((before - kept.keys.len()) as u64)
    }
}

impl Kept {
    fn is_over(&self, open: bool, now: Timestamp) -> bool {
        (open || !self.long_term) && now >= self.purge_at
    }
}
