//! What a story needs: a fleet, a record, one package, and executors that come and go.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use landfall::domain::event::{Event, EventKind};
use landfall::domain::failure::Failure;
use landfall::domain::host::HostSpec;
use landfall::domain::id::JobId;
use landfall::domain::job::{JobKind, Status};
use landfall::domain::outcome::Outcome;
use landfall::domain::plan::StepKind;
use landfall::domain::record::HostRecord;
use landfall::domain::site::Site;
use landfall::domain::state::HostState;
use landfall::engine::cancel::Stop;
use landfall::engine::clock::Clock;
use landfall::engine::{Ended, Engine, EngineError};
use landfall::store::{Lease, Store};
use tokio::time::Instant;

use crate::fake::{Ask, Fleet, Host};
use crate::memory::MemoryStore;
use crate::order::{Shelf, WallClock, engine, order};

/// No story takes longer; one that does hangs.
const FOREVER: Duration = Duration::from_secs(30 * 86_400);

/// Everything of a story.
pub struct World {
    pub store: MemoryStore,
    pub fleet: Arc<Fleet>,
    pub shelf: Arc<Shelf>,
    pub site: Site,
    pub job: JobId,
    clock: Arc<WallClock>,
    /// Does the next job want plugins?
    pub wants_plugins: bool,
    /// Changes each host of the next job.
    pub spec: fn(&mut HostSpec),
}

impl World {
    /// An install of a small package on `hosts` hosts, recorded and not begun.
    pub async fn install(hosts: usize) -> Self {
        Self::with(hosts, 300_000, |_| {}).await
    }

    /// The same with another size of the package, or other hosts.
    pub async fn with(hosts: usize, size: usize, spec: fn(&mut HostSpec)) -> Self {
        let mut world = Self {
            store: MemoryStore::default(),
            fleet: Arc::new(Fleet::of(hosts)),
            shelf: Arc::new(Shelf::of(size)),
            site: Site::default(),
            job: JobId(0),
            clock: Arc::new(WallClock::new()),
            wants_plugins: true,
            spec,
        };
        world.submit(JobKind::InstallAgent).await;
        world
    }

    /// An agent that was installed before, and a job that takes it away.
    pub async fn uninstall(hosts: usize) -> Self {
        let mut world = Self::install(hosts).await;
        assert_eq!(world.run().await.unwrap(), Ended::Finished);
        world.submit(JobKind::UninstallAgent).await;
        world
    }

    /// Version 1.0 that was installed before, and a job that upgrades it to 2.0.
    pub async fn upgrade(hosts: usize) -> Self {
        let mut world = Self::install(hosts).await;
        assert_eq!(world.run().await.unwrap(), Ended::Finished);
        world.shelf = Arc::new(Shelf::version("2.0", 400_000));
        world.submit(JobKind::UpgradeAgent).await;
        world
    }

    /// The next job, on all hosts.
    pub async fn submit(&mut self, kind: JobKind) {
        let mut new = order(&self.fleet, kind, &self.site, self.spec);
        new.spec.install_latest_plugins = self.wants_plugins;
        self.job = self.store.create_job(new, self.clock.now()).await.unwrap();
        self.fleet.witnessed(witness(&self.store, self.job));
    }

    pub fn host(&self, index: usize) -> &Host {
        &self.fleet.hosts()[index]
    }

    pub fn hosts(&self) -> impl Iterator<Item = &Host> {
        self.fleet.hosts().iter().map(|host| &**host)
    }

    /// An executor that just came up.
    pub fn engine(&self) -> Engine {
        let parts = (self.fleet.clone(), self.shelf.clone(), self.clock.clone());
        engine(Arc::new(self.store.clone()), parts, &self.site)
    }

    /// A new executor works until the job ends.
    pub async fn run(&self) -> Result<Ended, EngineError> {
        self.run_until_stop(&Stop::new()).await
    }

    pub async fn run_until_stop(&self, stop: &Stop) -> Result<Ended, EngineError> {
        let engine = self.engine();
        let lease = Unseen::default();
        let running = engine.run(self.job, &lease, stop.clone());
        tokio::time::timeout(FOREVER, running).await.expect("the engine hangs")
    }

    /// A new executor works beside others until nothing is left for it.
    pub async fn join(&self, stop: &Stop) -> Result<Ended, EngineError> {
        let engine = self.engine();
        let lease = self.store.join(self.job).await.unwrap();
        let running = engine.run(self.job, lease.as_ref(), stop.clone());
        tokio::time::timeout(FOREVER, running).await.expect("the engine hangs")
    }

    /// A new executor works, and asks itself to stop softly after some time.
    pub async fn run_and_stop_after(&self, seconds: u64) -> (Ended, Duration) {
        let stop = Stop::new();
        let asking = async {
            tokio::time::sleep(Duration::from_secs(seconds)).await;
            stop.soft("Ctrl-C");
            Instant::now()
        };
        let (ended, asked) = tokio::join!(self.run_until_stop(&stop), asking);
        (ended.unwrap(), asked.elapsed())
    }

    /// A new executor works until it dies of its record, or of `death`. True when it died.
    pub async fn run_until_death(&self, death: impl Future<Output = ()>) -> bool {
        let engine = self.engine();
        let lease = Unseen::default();
        let died = tokio::select! {
            ended = engine.run(self.job, &lease, Stop::new()) => {
                ended.unwrap();
                false
            }
            () = self.store.death() => true,
            () = death => true,
        };
        drop(engine);
        self.store.revive();
        died
    }

    pub fn record(&self, host: usize) -> HostRecord {
        self.store.folded(self.job, u32::try_from(host).unwrap())
    }

    pub fn outcome(&self, host: usize) -> Outcome {
        self.record(host)
            .outcome()
            .cloned()
            .unwrap_or_else(|| panic!("host {host} has no outcome: {:?}", self.record(host).state))
    }

    /// The failure that ended a host.
    pub fn failure(&self, host: usize) -> Failure {
        let outcome = self.outcome(host);
        outcome.failure().cloned().unwrap_or_else(|| panic!("host {host} did not fail: {outcome:?}"))
    }

    /// Events of one host, in order.
    pub fn events(&self, host: usize) -> Vec<EventKind> {
        let index = u32::try_from(host).ok();
        self.store.journal(self.job).into_iter().filter(|event| event.host_index == index).map(|event| event.kind).collect()
    }

    /// Pauses announced after failed tries of a step.
    pub fn retries(&self, host: usize, of: StepKind) -> Vec<(String, Duration)> {
        let failed = |event| match event {
            EventKind::AttemptFailed { step, failure, retry_in_ms } if step == of => {
                Some((failure.code.into_owned(), Duration::from_millis(retry_in_ms)))
            }
            _ => None,
        };
        self.events(host).into_iter().filter_map(failed).collect()
    }

    /// The status of the job, once its journal says it.
    pub async fn status(&self) -> Status {
        let row = self.store.job(self.job).await.unwrap().unwrap();
        assert!(row.finished_at.is_some(), "the job is not finished: {:?}", row.statistics);
        row.status
    }

    /// The output of a host's script, as the record has it.
    pub async fn output(&self, host: usize) -> Vec<u8> {
        let task = self.store.tasks(self.job).await.unwrap()[host].id;
        let mut all = Vec::new();
        for chunk in self.store.output(task).await.unwrap() {
            assert_eq!(chunk.offset, all.len() as u64, "the output has a gap or an overlap");
            all.extend_from_slice(&chunk.data);
        }
        all
    }

    /// Every host succeeded, and the laws were kept.
    pub async fn all_succeeded(&self) {
        for host in 0..self.fleet.hosts().len() {
            assert_eq!(self.outcome(host), Outcome::Succeeded, "host {host}");
            for step in &self.record(host).steps {
                assert!(step.outcome.is_some(), "host {host}: {} began and has no result", step.step);
            }
        }
        assert_eq!(self.status().await, Status::Success);
        self.laws();
    }

    /// What holds in every story: the journal folds and has no gaps, no run is started twice, nothing is asked of a host
    /// before the record says so.
    pub fn laws(&self) {
        let journal = self.store.journal(self.job);
        assert!(journal.iter().zip(1..).all(|(event, seq)| event.seq.0 == seq), "seq has gaps");
        let finished = journal.iter().filter(|event| matches!(event.kind, EventKind::JobFinished { .. })).count();
        assert!(finished <= 1, "the job finished {finished} times");
        for (index, host) in self.hosts().enumerate() {
            self.record(index);
            let history = host.history();
            assert_eq!(history.iter().collect::<HashSet<_>>().len(), history.len(), "host {index}: {history:?}");
            assert_eq!(host.breaches(), [""; 0], "host {index}");
        }
    }
}

/// A hold that nobody knows of: whoever claims after its owner takes the hosts from him.
#[derive(Debug)]
struct Unseen(String);

impl Default for Unseen {
    fn default() -> Self {
        Self(uuid::Uuid::now_v7().to_string())
    }
}

impl Lease for Unseen {
    fn owner(&self) -> &str {
        &self.0
    }
}

fn witness(store: &MemoryStore, job: JobId) -> crate::fake::Witness {
    let store = store.clone();
    Box::new(move |ip| {
        let journal = store.journal(job);
        let mut state = HostState::Pending;
        // Whatever cloud it is in: no fleet has an address twice.
        let its = |event: &&Event| event.host.as_ref().is_some_and(|host| host.ip == ip);
        for event in journal.iter().filter(its) {
            state = state.next(&event.kind).unwrap();
        }
        match state {
            HostState::Running { step, .. } => Some(step),
            _ => None,
        }
    })
}

/// Times between asks of one kind.
pub fn pauses(host: &Host, ask: Ask) -> Vec<Duration> {
    host.times(ask).windows(2).map(|pair| pair[1] - pair[0]).collect()
}
