//! The rules of the record in memory, without the trait round them.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;
use std::time::Duration;

use bytes::Bytes;
use landfall::domain::Timestamp;
use landfall::domain::audit::{Asking, AuditLine, Detail};
use landfall::domain::credential::{Credential, SecretBytes};
use landfall::domain::event::{Event, EventKind};
use landfall::domain::host::Address;
use landfall::domain::id::{Epoch, JobId, Seq, TaskId};
use landfall::domain::job::{Statistics, Status};
use landfall::domain::outcome::Outcome;
use landfall::domain::package::Role;
use landfall::domain::plan::StepKind;
use landfall::domain::spec::JobSpec;
use landfall::store::news::{Teller, Topic};
use landfall::store::once::First;
use landfall::store::page::Standing;
use landfall::store::{
    Asked, Cancel, Claim, HostRow, JobRow, NewJob, NewLogin, OUTPUT_HEAD, OUTPUT_TAIL, OutputChunk, PinnedKey, Retry, StoreError,
    Take, TaskRow, Which, Write, Written,
};

use super::memory_lease::Hold;

/// Longest life of a credential whose host task has not ended.
pub(super) const UNFINISHED: Duration = Duration::from_secs(7 * 86_400);
/// Largest stored piece of output.
const PIECE: usize = 64 << 10;

pub(super) struct Inner {
    pub(super) jobs: BTreeMap<JobId, Job>,
    pub(super) tasks: BTreeMap<TaskId, Task>,
    pub(super) inventory: BTreeMap<Address, HostRow>,
    /// Numbers that hosts have.
    pub(super) ids: BTreeMap<Address, i64>,
    /// Proxies that carry nobody any more.
    pub(super) retired: BTreeSet<Address>,
    /// The largest number that was ever given or reserved.
    pub(super) last_id: i64,
    /// Submissions that came with a key, and until when it counts.
    pub(super) firsts: HashMap<(String, String), (First, Timestamp)>,
    pub(super) keys: HashMap<(i64, IpAddr, u16), PinnedKey>,
    pub(super) output: Vec<Stream>,
    pub(super) holds: Vec<Hold>,
    pub(super) teller: Teller,
    pub(super) commits: u64,
    pub(super) fail_from: Option<u64>,
    pub(super) logins_fail: bool,
    pub(super) trap: Option<Trap>,
    pub(super) dead: bool,
    pub(super) pairs: HashMap<String, SecretBytes>,
}

impl Default for Inner {
    fn default() -> Self {
        Self {
            jobs: BTreeMap::new(),
            tasks: BTreeMap::new(),
            inventory: BTreeMap::new(),
            firsts: HashMap::new(),
            keys: HashMap::new(),
            ids: Default::default(),
            retired: BTreeSet::new(),
            last_id: 0,
            output: Vec::new(),
            holds: Vec::new(),
            teller: Teller::new(Duration::from_millis(500)),
            commits: 0,
            fail_from: None,
            logins_fail: false,
            trap: None,
            dead: false,
            pairs: HashMap::new(),
        }
    }
}

pub(super) struct Job {
    pub(super) served: bool,
    pub(super) spec: JobSpec,
    pub(super) created_by: String,
    pub(super) created_at: Timestamp,
    pub(super) finished: Option<(Status, Timestamp)>,
    pub(super) asked: Asked,
    pub(super) events: Vec<Event>,
    pub(super) audit: Vec<AuditLine>,
}

pub(super) struct Task {
    pub(super) row: TaskRow,
    pub(super) open: bool,
    pub(super) holder: Option<String>,
    pub(super) credential: Option<Kept>,
}

pub(super) struct Kept {
    pub(super) credential: Credential,
    pub(super) purge_at: Timestamp,
    pub(super) long_term: bool,
    /// It let us in.
    pub(super) proved: bool,
}

pub(super) struct Stream {
    pub(super) of: (TaskId, StepKind, u32),
    pub(super) pieces: BTreeMap<u64, Bytes>,
}

/// Recognises an event of a host.
pub(super) type Sign = Box<dyn Fn(u32, &EventKind) -> bool + Send>;

/// Where the executor dies.
pub(super) struct Trap {
    /// Is it this event of this host?
    pub(super) at: Sign,
    /// Is the event durable?
    pub(super) stored: bool,
}

impl Inner {
    pub(super) fn task_rows(&self, job: JobId) -> Vec<&Task> {
        let mut tasks: Vec<&Task> = self.tasks.values().filter(|task| task.row.job == job).collect();
        tasks.sort_by_key(|task| task.row.index);
        tasks
    }

    pub(super) fn job_row(&self, id: JobId, job: &Job) -> JobRow {
        let statuses = || self.task_rows(id).into_iter().map(|task| task.row.status);
        JobRow {
            id,
            spec: job.spec.clone(),
            created_by: job.created_by.clone(),
            served: job.served,
            created_at: job.created_at,
            finished_at: job.finished.map(|(_, at)| at),
            statistics: Statistics::of(statuses()),
            status: job.finished.map_or_else(|| Status::fold(statuses()), |(status, _)| status),
        }
    }

    pub(super) fn standing(&self) -> Standing {
        let (mut jobs, mut waits) = (Vec::new(), Vec::new());
        for (id, job) in self.jobs.iter().filter(|(_, job)| job.finished.is_none()) {
            let mut hosts: BTreeMap<&str, (Status, u64)> = BTreeMap::new();
            for Task { row, .. } in self.task_rows(*id) {
                hosts.entry(row.status.word()).or_insert((row.status, 0)).1 += 1;
                let last = job.events.iter().rfind(|event| event.host_index == Some(row.index));
                waits.extend((row.status == Status::Pending).then(|| last.map_or(job.created_at, |event| event.at)));
            }
            jobs.push((job.spec.kind, hosts.into_values().collect()));
        }
        Standing { jobs, waits_since: waits.into_iter().min() }
    }

    pub(super) fn holder(&self, host: Address) -> Option<JobId> {
        self.tasks.values().find(|task| task.open && task.row.address == host).map(|task| task.row.job)
    }

    pub(super) fn create(&mut self, job: NewJob, at: Timestamp) -> Result<JobId, StoreError> {
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
        let new = Job {
            served: job.served,
            spec: job.spec,
            created_by: job.created_by,
            created_at: at,
            finished: None,
            asked: Asked::default(),
            events: Vec::new(),
            audit: Vec::new(),
        };
        self.jobs.insert(id, new);
        self.note(id, &job.by, at, job.hosts.len() - ignored);
        self.append(id, None, at, vec![accepted]);
        for (host, index) in job.hosts.into_iter().zip(0..) {
            let address = host.spec.host.address().unwrap();
            let status = host.exclusion.as_ref().map_or(Status::Pending, |exclusion| exclusion.exception.status());
            let open = host.exclusion.is_none();
            let credential =
                host.credential.map(|credential| Kept { credential, purge_at: at + UNFINISHED, long_term: false, proved: false });
            let row =
                TaskRow { id: host.id, index, job: id, address, spec: host.spec, status, epoch: Epoch(0), cancel_asked: false };
            self.tasks.insert(host.id, Task { row, open, holder: None, credential });
            if let Some(exclusion) = host.exclusion {
                self.append(id, Some((index, address)), at, vec![EventKind::HostIgnored { exclusion }]);
            }
        }
        Ok(id)
    }

    pub(super) fn note(&mut self, id: JobId, by: &Asking, at: Timestamp, hosts: usize) {
        let Asking { asker, action } = by.clone();
        let (source, detail) = (asker.source.to_string(), Detail { hosts: hosts as u64 });
        let line = AuditLine { at, action, app: asker.app, user: asker.user, source, detail };
        self.jobs.entry(id).and_modify(|job| job.audit.push(line));
    }

    pub(super) fn append(&mut self, id: JobId, host: Option<(u32, Address)>, at: Timestamp, events: Vec<EventKind>) -> Written {
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

    pub(super) fn take(&mut self, write: Write) -> Written {
        match write {
            Write::Host { claim, at, events } => self.take_host(claim, at, events),
            Write::Job { job, at, events } => {
                let status = events.iter().rev().find_map(|event| match event {
                    EventKind::JobFinished { status } => Some(*status),
                    _ => None,
                });
                let is_finished = self.jobs.get(&job).is_some_and(|job| job.finished.is_some());
                if status.is_some() && (is_finished || self.tasks.values().any(|task| task.open && task.row.job == job)) {
                    return Written::Stale;
                }
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
            Write::Register(mut row) => {
                let id = self.id_of(&row);
                self.last_id = self.last_id.max(id);
                self.ids.insert(row.address, id);
                row.spec.bk_host_id = Some(id);
                if row.role == Role::Proxy {
                    self.retired.remove(&row.address);
                }
                self.inventory.insert(row.address, *row);
                Written::Done(None)
            }
            Write::Forget(address) => {
                self.inventory.remove(&address);
                Written::Done(None)
            }
            Write::Remove(address) => {
                self.inventory.remove(&address);
                self.ids.remove(&address);
                let ended = |task: &&mut Task| task.row.address == address && !task.open;
                self.tasks.values_mut().filter(ended).for_each(|task| task.credential = None);
                Written::Done(None)
            }
            Write::Retire { proxy, .. } => {
                self.retired.insert(proxy);
                Written::Done(None)
            }
            Write::PinKey(key) => {
                self.keys.entry((key.cloud, key.address, key.port)).or_insert(key);
                Written::Done(None)
            }
            Write::ReplaceKey(key) => {
                self.keys.insert((key.cloud, key.address, key.port), key);
                Written::Done(None)
            }
        }
    }

    fn id_of(&self, row: &HostRow) -> i64 {
        let is_free = |id: &i64| self.ids.iter().all(|(host, taken)| taken != id || *host == row.address);
        let asked = row.spec.bk_host_id.filter(|id| (1..1 << 53).contains(id)).filter(is_free);
        asked.or(self.ids.get(&row.address).copied()).unwrap_or(self.last_id + 1)
    }

    pub(super) fn take_host(&mut self, claim: Claim, at: Timestamp, events: Vec<EventKind>) -> Written {
        let Some(task) = self.tasks.get_mut(&claim.task) else { return Written::Stale };
        let was_open = task.open;
        let row = &mut task.row;
        if (claim.job, claim.index, claim.epoch) != (row.job, row.index, row.epoch) {
            return Written::Stale;
        }
        for event in &events {
            if let Some(kept) = task.credential.as_mut().filter(|_| event.is_login()) {
                kept.proved = true;
            }
            match event {
                _ if !task.open => {}
                EventKind::HostStarted => row.status = Status::Running,
                EventKind::HostFinished { outcome } => {
                    row.status = Status::of_outcome(outcome);
                    task.open = !outcome.is_terminal();
                    task.credential = task.credential.take().filter(|_| !matches!(outcome, Outcome::Removed));
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

    /// Nobody alive works on it, but perhaps `owner`.
    fn is_free(&self, task: &Task, owner: Option<&str>) -> bool {
        let alive = |holder: &String| owner != Some(holder) && self.holds.iter().any(|hold| hold.owner == *holder);
        task.open && !task.holder.as_ref().is_some_and(alive)
    }

    pub(super) fn left_over(&self, clouds: &[i64]) -> Vec<JobId> {
        let is_ours = |task: &Task| clouds.is_empty() || clouds.contains(&task.row.address.cloud);
        let is_left_over = |id: JobId, job: &Job| {
            let open = self.task_rows(id).into_iter().filter(|task| task.open).count();
            let free = self.task_rows(id).into_iter().any(|task| self.is_free(task, None) && is_ours(task));
            let mut holds = self.holds.iter().filter(|hold| hold.job == id);
            let held = holds.clone().next().is_some();
            job.served && job.finished.is_none() && holds.all(|hold| hold.shared) && (free || open == 0 && !held)
        };
        self.jobs.iter().filter(|(id, job)| is_left_over(**id, job)).map(|(id, _)| *id).collect()
    }

    pub(super) fn claim(&mut self, take: Take<'_>) -> Vec<TaskRow> {
        let wanted = |task: &&Task| {
            self.is_free(task, Some(take.owner))
                && !take.mine.contains(&task.row.id)
                && (take.clouds.is_empty() || take.clouds.contains(&task.row.address.cloud))
                && (take.which != Which::Cancelled || task.row.cancel_asked)
        };
        let limit = if let Which::Next(limit) = take.which { limit as usize } else { usize::MAX };
        let chosen = self.task_rows(take.job).into_iter().filter(wanted).take(limit);
        let ids: Vec<TaskId> = chosen.map(|task| task.row.id).collect();
        let mut rows = Vec::new();
        for id in ids {
            let task = self.tasks.get_mut(&id).unwrap();
            task.row.epoch.0 += 1;
            task.holder = Some(take.owner.to_owned());
            rows.push(task.row.clone());
        }
        rows
    }

    pub(super) fn cancel(&mut self, cancel: Cancel<'_>) -> u64 {
        let named = |id: &TaskId| cancel.tasks.is_none_or(|tasks| tasks.contains(id));
        let of_job = |task: &&mut Task| task.open && task.row.job == cancel.job && named(&task.row.id);
        let mut hosts = Vec::new();
        for task in self.tasks.values_mut().filter(of_job) {
            task.row.cancel_asked = true;
            hosts.push((task.row.index, task.row.address));
        }
        hosts.sort_unstable_by_key(|(index, _)| *index);
        if hosts.is_empty() {
            return 0;
        }
        let count = hosts.len() as u64;
        let asked = &mut self.jobs.get_mut(&cancel.job).unwrap().asked;
        *asked = Asked { count: asked.count + 1, cancel: asked.cancel || cancel.tasks.is_none() };
        let event = EventKind::CancelAsked { reason: cancel.by.asker.reason() };
        match cancel.tasks {
            None => drop(self.append(cancel.job, None, cancel.at, vec![event])),
            Some(_) => {
                for host in hosts {
                    self.append(cancel.job, Some(host), cancel.at, vec![event.clone()]);
                }
            }
        }
        self.note(cancel.job, cancel.by, cancel.at, count as usize);
        self.teller.tell(Topic::Asked(cancel.job));
        count
    }

    pub(super) fn retry(&mut self, job: JobId, retry: &Retry) -> Result<Vec<TaskId>, StoreError> {
        let at = retry.at;
        let ended = |task: &&Task| !task.open && matches!(task.row.status, Status::Failed | Status::Terminated);
        let again: Vec<(TaskId, u32, Address)> = self
            .task_rows(job)
            .into_iter()
            .filter(|task| retry.tasks.contains(&task.row.id))
            .filter(ended)
            .map(|task| (task.row.id, task.row.index, task.row.address))
            .collect();
        if let Some((host, holder)) = again.iter().find_map(|(_, _, host)| Some((*host, self.holder(*host)?))) {
            return Err(StoreError::Conflict(format!("host {host} is held by unfinished job {holder}")));
        }
        for (id, index, address) in &again {
            let task = self.tasks.get_mut(id).unwrap();
            task.open = true;
            task.row.epoch.0 += 1;
            task.row.status = Status::Pending;
            (task.holder, task.row.cancel_asked) = (None, false);
            if let Some(kept) = &mut task.credential {
                kept.purge_at = at + UNFINISHED;
            }
            let (reason, from_start) = (retry.by.asker.reason(), retry.from_start);
            self.append(job, Some((*index, *address)), at, vec![EventKind::RetryAsked { reason, from_start }]);
        }
        let opened = |login: &&NewLogin| again.iter().any(|(id, _, _)| *id == login.task);
        retry.logins.iter().filter(opened).for_each(|login| self.give(login, at));
        if let Some(job) = self.jobs.get_mut(&job).filter(|_| !again.is_empty()) {
            job.finished = None;
            job.asked = Asked { count: job.asked.count + 1, cancel: false };
        }
        self.teller.tell(Topic::Asked(job));
        Ok(again.into_iter().map(|(id, _, _)| id).collect())
    }

    /// Another login.
    pub(super) fn give(&mut self, login: &NewLogin, at: Timestamp) {
        let task = self.tasks.get_mut(&login.task).unwrap();
        task.row.spec = login.spec.clone();
        if let Some(credential) = &login.credential {
            task.credential =
                Some(Kept { credential: credential.clone(), purge_at: at + UNFINISHED, long_term: false, proved: false });
        }
    }

    pub(super) fn take_output(&mut self, chunk: OutputChunk) {
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

    pub(super) fn springs(&self, batch: &[Write], stored: bool) -> bool {
        let Some(trap) = self.trap.as_ref().filter(|trap| trap.stored == stored) else { return false };
        batch.iter().any(|write| match write {
            Write::Host { claim, events, .. } => events.iter().any(|event| (trap.at)(claim.index, event)),
            _ => false,
        })
    }
}

impl Kept {
    pub(super) fn after_end(self, retention_s: Option<i64>, at: Timestamp) -> Option<Self> {
        let Some(seconds) = retention_s else { return Some(Self { long_term: true, ..self }) };
        let seconds = seconds.min(100 * 365 * 86_400);
        (seconds > 0).then(|| Self { purge_at: at + Duration::from_secs(seconds.unsigned_abs()), ..self })
    }
}

impl Stream {
    pub(super) fn end(&self) -> u64 {
        self.pieces.iter().map(|(offset, piece)| offset + piece.len() as u64).max().unwrap_or(0)
    }
}

impl Kept {
    pub(super) fn is_over(&self, open: bool, now: Timestamp) -> bool {
        (open || !self.long_term) && now >= self.purge_at
    }
}
