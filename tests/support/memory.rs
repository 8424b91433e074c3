//! A record in memory: the rules of the [`Store`] trait without a disk, so that engine tests need no real time.
//!
//! It can fail ([`MemoryStore::fail_from`]) and die ([`MemoryStore::die_before`], [`MemoryStore::die_after`]), as by `kill -9`.

#![allow(dead_code, reason = "every test binary uses its own part of this")]

#[path = "memory_lease.rs"]
mod memory_lease;
#[path = "memory_proxies.rs"]
mod memory_proxies;
#[path = "memory_rules.rs"]
mod memory_rules;

use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use landfall::domain::Timestamp;
use landfall::domain::audit::AuditLine;
use landfall::domain::credential::{Credential, SecretBytes};
use landfall::domain::event::{Event, EventKind};
use landfall::domain::host::{Address, HostSpec};
use landfall::domain::id::{JobId, Seq, TaskId};
use landfall::domain::plan::StepKind;
use landfall::domain::record::HostRecord;
use landfall::store::manual::{ManualHost, Offer, Overdue, Revoke, Spend};
use landfall::store::news::{News, Topic};
use landfall::store::once::{Created, First, KEY_LIFE, Once};
use landfall::store::page::{HostFilter, JobFilter, JobOrder, Known, Page, Standing, TaskFilter, TaskName};
use landfall::store::{
    Asked, Cancel, HostRow, JobRow, KeyChange, Lease, NewJob, NewLogin, OutputChunk, PinnedKey, Proxies, Resealed, Retry, Store,
    StoreError, Take, TaskRow, Write, Written,
};
use memory_lease::{Hold, MemoryLease};
use memory_proxies::cut;
use memory_rules::{Inner, Stream, Task, Trap};
use tokio::sync::Notify;

/// A record in memory.
#[derive(Clone, Default)]
pub struct MemoryStore {
    inner: Arc<Mutex<Inner>>,
    died: Arc<Notify>,
}

impl std::fmt::Debug for Inner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Inner")
    }
}

impl MemoryStore {
    fn take(&self, job: JobId, shared: bool) -> Result<Box<dyn Lease>, StoreError> {
        let mut inner = self.lock();
        if inner.holds.iter().any(|hold| hold.job == job && !(hold.shared && shared)) {
            return Err(StoreError::Held { job, pid: std::process::id() });
        }
        let owner = uuid::Uuid::now_v7().to_string();
        inner.holds.push(Hold { job, owner: owner.clone(), shared });
        Ok(Box::new(MemoryLease { store: Arc::downgrade(&self.inner), job, owner, shared }))
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Every commit from the `nth` on (1, 2, 3 ...) fails, and nothing of it is kept.
    pub fn fail_from(&self, nth: u64) {
        self.lock().fail_from = Some(nth);
    }

    /// Logins cannot be read.
    pub fn fail_logins(&self) {
        self.lock().logins_fail = true;
    }

    /// The disk is well again.
    pub fn heal(&self) {
        let mut inner = self.lock();
        (inner.fail_from, inner.logins_fail) = (None, false);
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

#[async_trait]
impl Store for MemoryStore {
    async fn create_job(&self, job: NewJob, at: Timestamp) -> Result<JobId, StoreError> {
        self.lock().create(job, at)
    }

    fn fingerprint(&self, what: &str, body: &serde_json::Value) -> Result<String, StoreError> {
        Ok(format!("{what} {body}"))
    }

    async fn create_job_once(&self, job: NewJob, once: Once, at: Timestamp) -> Result<Created, StoreError> {
        let mut inner = self.lock();
        let place = (once.app, once.key);
        if let Some((first, until)) = inner.firsts.get(&place)
            && *until > at
        {
            return Ok(Created::Before(first.clone()));
        }
        let job = inner.create(job, at)?;
        let first = First { job, fingerprint: once.fingerprint, answer: once.answer };
        inner.firsts.insert(place, (first, at + KEY_LIFE));
        Ok(Created::New(job))
    }

    async fn first_with_key(&self, app: &str, key: &str, now: Timestamp) -> Result<Option<First>, StoreError> {
        let inner = self.lock();
        let kept = inner.firsts.get(&(app.to_owned(), key.to_owned())).filter(|(_, until)| *until > now);
        Ok(kept.map(|(first, _)| first.clone()))
    }

    async fn purge_keys(&self, now: Timestamp) -> Result<u64, StoreError> {
        let mut inner = self.lock();
        let before = inner.firsts.len();
        inner.firsts.retain(|_, (_, until)| *until > now);
        Ok((before - inner.firsts.len()) as u64)
    }

    async fn hold(&self, job: JobId) -> Result<Box<dyn Lease>, StoreError> {
        self.take(job, false)
    }

    async fn join(&self, job: JobId) -> Result<Box<dyn Lease>, StoreError> {
        self.take(job, true)
    }

    async fn holder(&self, job: JobId) -> Result<Option<u32>, StoreError> {
        Ok(self.lock().holds.iter().any(|hold| hold.job == job).then(std::process::id))
    }

    async fn left_over(&self, clouds: &[i64]) -> Result<Vec<JobId>, StoreError> {
        Ok(self.lock().left_over(clouds))
    }

    async fn hand_over(&self, job: JobId) -> Result<(), StoreError> {
        self.lock().jobs.get_mut(&job).into_iter().for_each(|job| job.served = true);
        Ok(())
    }

    fn news(&self) -> News {
        self.lock().teller.news()
    }

    async fn claim(&self, take: Take<'_>) -> Result<Vec<TaskRow>, StoreError> {
        Ok(self.lock().claim(take))
    }

    async fn ask_cancel(&self, cancel: Cancel<'_>) -> Result<u64, StoreError> {
        Ok(self.lock().cancel(cancel))
    }

    async fn cancelled(&self, job: JobId) -> Result<Vec<TaskId>, StoreError> {
        let inner = self.lock();
        let tasks = inner.task_rows(job).into_iter().filter(|task| task.open && task.row.cancel_asked);
        Ok(tasks.map(|task| task.row.id).collect())
    }

    async fn ask_retry(&self, job: JobId, retry: &Retry) -> Result<Vec<TaskId>, StoreError> {
        self.lock().retry(job, retry)
    }

    async fn give_logins(&self, job: JobId, logins: &[NewLogin], at: Timestamp) -> Result<Vec<TaskId>, StoreError> {
        let mut inner = self.lock();
        let lacks = |task: &&Task| task.open && task.credential.is_none();
        let lacking: Vec<TaskId> = inner.task_rows(job).into_iter().filter(lacks).map(|task| task.row.id).collect();
        let given = logins.iter().filter(|login| lacking.contains(&login.task));
        given.clone().for_each(|login| inner.give(login, at));
        Ok(given.map(|login| login.task).collect())
    }

    async fn audit(&self, job: JobId) -> Result<Vec<AuditLine>, StoreError> {
        Ok(self.lock().jobs.get(&job).map(|job| job.audit.clone()).unwrap_or_default())
    }

    async fn asked(&self, job: JobId) -> Result<Asked, StoreError> {
        Ok(self.lock().jobs.get(&job).map_or_else(Asked::default, |job| job.asked))
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
                inner.teller.tell(Topic::Anything);
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

    async fn output_after(&self, task: TaskId, after: i64, limit: u32) -> Result<(Vec<OutputChunk>, i64), StoreError> {
        let (from, limit) = (usize::try_from(after).unwrap(), limit as usize);
        let chunks: Vec<OutputChunk> = self.output(task).await?.into_iter().skip(from).take(limit).collect();
        let next = after + chunks.len() as i64;
        Ok((chunks, next))
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
        if inner.logins_fail {
            return Err(StoreError::Unavailable { what: "read a login".into(), source: "the disk is gone".into() });
        }
        Ok(inner.tasks.get(&task).and_then(|task| task.credential.as_ref()).map(|kept| kept.credential.clone()))
    }

    async fn kept_logins(&self, hosts: &[Address]) -> Result<Vec<(Address, HostSpec, Credential)>, StoreError> {
        let inner = self.lock();
        let newest = |host: &Address| {
            let task = inner.login_of(*host)?;
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

    async fn key_pair(&self, name: &str) -> Result<Option<SecretBytes>, StoreError> {
        Ok(self.lock().pairs.get(name).cloned())
    }

    async fn keep_key_pair(&self, name: &str, private: &SecretBytes, _at: Timestamp) -> Result<SecretBytes, StoreError> {
        Ok(self.lock().pairs.entry(name.into()).or_insert_with(|| private.clone()).clone())
    }

    // Nothing in memory is sealed: there is no key to change.
    async fn prepare_key(&self) -> Result<KeyChange, StoreError> {
        Ok(KeyChange { from: "none".into(), to: "none".into() })
    }

    async fn reseal(&self, _change: &KeyChange, _most: u32) -> Result<Resealed, StoreError> {
        Ok(Resealed { done: 0, left: 0 })
    }

    async fn retire_key(&self, _change: &KeyChange) -> Result<(), StoreError> {
        Ok(())
    }

    // Manual hosts are the real records': `tests/store/rules_manual.rs`. Here nobody offers anything.
    async fn offer(&self, _offers: &[Offer], _now: Timestamp) -> Result<Vec<TaskId>, StoreError> {
        Ok(Vec::new())
    }

    async fn offered(&self, _task: TaskId, _now: Timestamp) -> Result<Vec<String>, StoreError> {
        Ok(Vec::new())
    }

    async fn spend(&self, _spend: Spend<'_>) -> Result<Option<TaskRow>, StoreError> {
        Ok(None)
    }

    async fn manual_host(&self, _task: TaskId) -> Result<Option<ManualHost>, StoreError> {
        Ok(None)
    }

    async fn heard(&self, _task: TaskId, _run: &str, _at: Timestamp) -> Result<(), StoreError> {
        Ok(())
    }

    async fn turn(&self, _task: TaskId, _run: &str, _at: Timestamp) -> Result<Option<TaskRow>, StoreError> {
        Ok(None)
    }

    async fn revoke_offers(&self, _revoke: Revoke<'_>) -> Result<u64, StoreError> {
        Ok(0)
    }

    async fn overdue(&self, _overdue: Overdue) -> Result<Vec<ManualHost>, StoreError> {
        Ok(Vec::new())
    }

    async fn host(&self, address: Address) -> Result<Option<HostRow>, StoreError> {
        Ok(self.lock().inventory.get(&address).cloned())
    }

    async fn proxies(&self) -> Result<Proxies, StoreError> {
        Ok(self.lock().proxies())
    }

    async fn behind(&self, proxy: Address) -> Result<Vec<HostRow>, StoreError> {
        Ok(self.lock().behind(proxy))
    }

    async fn running_in(&self, cloud: i64) -> Result<Vec<(JobId, TaskId)>, StoreError> {
        Ok(self.lock().running_in(cloud))
    }

    async fn children(&self, job: JobId) -> Result<Vec<JobId>, StoreError> {
        Ok(self.lock().children(job))
    }

    async fn job_page(&self, filter: &JobFilter, order: JobOrder, page: Page) -> Result<(u64, Vec<JobRow>), StoreError> {
        assert!(filter.within.is_none(), "lists of jobs are the real records'");
        assert_eq!((filter.created_by.is_some(), order), (false, JobOrder::Newest), "lists of jobs are the real records'");
        let rows = self.jobs(u32::MAX).await?;
        Ok((rows.len() as u64, cut(rows, page)))
    }

    async fn task_page(&self, job: JobId, filter: &TaskFilter, page: Page) -> Result<(u64, Vec<TaskRow>), StoreError> {
        let has = |names: &[TaskName], row: &TaskRow| {
            names.iter().any(|name| match name {
                TaskName::At(address) => *address == row.address,
                TaskName::Numbered(number) => row.spec.host.bk_host_id == Some(*number),
            })
        };
        let meant = |row: &TaskRow| {
            filter.ips.as_ref().is_none_or(|ips| ips.contains(&row.address.ip))
                && filter.statuses.as_ref().is_none_or(|statuses| statuses.contains(&row.status))
                && filter.named.as_ref().is_none_or(|names| has(names, row))
                && !has(&filter.excluded, row)
        };
        let rows: Vec<TaskRow> = self.tasks(job).await?.into_iter().filter(meant).collect();
        Ok((rows.len() as u64, cut(rows, page)))
    }

    async fn host_events(&self, job: JobId, hosts: &[u32]) -> Result<Vec<Event>, StoreError> {
        let of_hosts = |event: &Event| event.host_index.is_some_and(|index| hosts.contains(&index));
        Ok(self.journal(job).into_iter().filter(of_hosts).collect())
    }

    async fn standing(&self) -> Result<Standing, StoreError> {
        Ok(self.lock().standing())
    }

    async fn known_hosts(&self, which: Known<'_>) -> Result<Vec<HostRow>, StoreError> {
        let inner = self.lock();
        let by_number = |number: &i64| inner.inventory.values().find(|row| row.spec.bk_host_id == Some(*number)).cloned();
        Ok(match which {
            Known::At(addresses) => addresses.iter().filter_map(|address| inner.inventory.get(address).cloned()).collect(),
            Known::Numbered(numbers) => numbers.iter().filter_map(by_number).collect(),
        })
    }

    async fn host_page(&self, filter: &HostFilter, page: Page) -> Result<(u64, Vec<HostRow>), StoreError> {
        let mut rows = self.lock().hosts(filter);
        rows.sort_by_key(|row| row.spec.bk_host_id);
        Ok((rows.len() as u64, cut(rows, page)))
    }

    async fn logins_kept_until(&self, hosts: &[Address]) -> Result<Vec<(Address, Option<Timestamp>)>, StoreError> {
        let inner = self.lock();
        let newest = |host: &Address| {
            let kept = inner.login_of(*host)?.credential.as_ref()?;
            Some((*host, (!kept.long_term).then_some(kept.purge_at)))
        };
        Ok(hosts.iter().filter_map(newest).collect())
    }

    async fn host_ids(&self, which: Known<'_>) -> Result<Vec<(Address, i64)>, StoreError> {
        let inner = self.lock();
        let holder = |id: &i64| inner.ids.iter().find(|(_, taken)| *taken == id).map(|(host, id)| (*host, *id));
        Ok(match which {
            Known::At(hosts) => hosts.iter().filter_map(|host| Some((*host, *inner.ids.get(host)?))).collect(),
            Known::Numbered(ids) => ids.iter().filter_map(holder).collect(),
        })
    }

    async fn reserve_host_ids(&self, id: i64) -> Result<(), StoreError> {
        let mut inner = self.lock();
        inner.last_id = inner.last_id.max(id);
        Ok(())
    }

    async fn pinned_key(&self, cloud: i64, address: IpAddr, port: u16) -> Result<Option<PinnedKey>, StoreError> {
        Ok(self.lock().keys.get(&(cloud, address, port)).cloned())
    }

    async fn pinned_keys(&self) -> Result<Vec<PinnedKey>, StoreError> {
        let mut keys: Vec<PinnedKey> = self.lock().keys.values().cloned().collect();
        keys.sort_by_key(|key| (key.cloud, key.address, key.port));
        Ok(keys)
    }

    async fn forget_keys(&self, host: Address, port: Option<u16>) -> Result<u64, StoreError> {
        let mut kept = self.lock();
        let before = kept.keys.len();
        kept.keys.retain(|key, _| !(key.0 == host.cloud && key.1 == host.ip && port.is_none_or(|port| port == key.2)));
        Ok((before - kept.keys.len()) as u64)
    }
}
