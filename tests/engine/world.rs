//! What a story needs: a fleet, a record, one package, and executors that come and go.

use std::collections::HashSet;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use landfall::domain::Timestamp;
use landfall::domain::audit::{Action, Asker};
use landfall::domain::credential::{Auth, Credential, Retention};
use landfall::domain::event::EventKind;
use landfall::domain::failure::Failure;
use landfall::domain::host::{Address, Addressing, AuthType, HostSpec};
use landfall::domain::id::{JobId, TaskId};
use landfall::domain::job::{JobKind, Status};
use landfall::domain::outcome::Outcome;
use landfall::domain::package::{PackageChoice, PackageEntry};
use landfall::domain::plan::StepKind;
use landfall::domain::record::HostRecord;
use landfall::domain::site::{AccessPoint, Paths, Site};
use landfall::domain::spec::{JobSpec, TaskSpec};
use landfall::domain::state::HostState;
use landfall::engine::cancel::Stop;
use landfall::engine::clock::Clock;
use landfall::engine::{Ended, Engine, EngineError, Parts};
use landfall::packages::{PackageError, PackageSource};
use landfall::plan::outline::outline;
use landfall::store::{Lease, NewHost, NewJob, Store};
use sha2::{Digest, Sha256};
use tokio::time::Instant;

use crate::fake::{Ask, Fleet, Host, PASSWORD, Wire};
use crate::memory::MemoryStore;

/// No story takes longer; one that does hangs.
const FOREVER: Duration = Duration::from_secs(30 * 86_400);

/// Virtual time on the wall.
pub struct WallClock(Instant);

impl Clock for WallClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_second(1_764_000_000).unwrap() + self.0.elapsed()
    }
}

/// One package, and how often its archive was opened.
pub struct Shelf {
    entry: PackageEntry,
    bytes: Bytes,
    pub fetched: AtomicUsize,
    /// Milliseconds that opening it takes.
    pub opening: AtomicU64,
}

impl Shelf {
    fn of(size: usize) -> Self {
        let bytes: Bytes = (0..size).map(|at| (at % 251) as u8).collect();
        let manifest = "name = \"agent\"\nversion = \"1.0\"\nrole = \"agent\"\nos = \"linux\"\ncpu = \"x86_64\"\n\
            [process]\nstart = \"bin/agent\"\n[health]\nhttp = \"http://127.0.0.1:9100/metrics\"\ntimeout_s = 20\n";
        let sha256 = Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
        let entry = PackageEntry { sha256, size: size as u64, unpacked: 1 << 20, manifest: toml::from_str(manifest).unwrap() };
        Self { entry, bytes, fetched: AtomicUsize::new(0), opening: AtomicU64::new(50) }
    }

    pub fn size(&self) -> u64 {
        self.entry.size
    }
}

#[async_trait]
impl PackageSource for Shelf {
    async fn list(&self) -> Result<Vec<PackageEntry>, PackageError> {
        Ok(vec![self.entry.clone()])
    }

    async fn fetch(&self, entry: &PackageEntry) -> Result<Bytes, PackageError> {
        assert_eq!(*entry, self.entry);
        self.fetched.fetch_add(1, Ordering::Relaxed);
        tokio::time::sleep(Duration::from_millis(self.opening.load(Ordering::Relaxed))).await;
        Ok(self.bytes.clone())
    }
}

/// Everything of a story.
pub struct World {
    pub store: MemoryStore,
    pub fleet: Arc<Fleet>,
    pub shelf: Arc<Shelf>,
    pub site: Site,
    pub job: JobId,
    clock: Arc<WallClock>,
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
            clock: Arc::new(WallClock(Instant::now())),
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

    /// The next job, on all hosts.
    pub async fn submit(&mut self, kind: JobKind) {
        let spec = JobSpec {
            kind,
            package: PackageChoice { name: Some("agent".into()), version: None },
            vars: serde_json::Map::new(),
            paths: Paths::default(),
            upload_mb_per_s: 0,
            businesses: vec![2],
        };
        let outline = outline(kind, self.site.limits.script_timeout_s);
        let hosts = self.fleet.hosts().iter().map(|host| {
            let mut described = described(host.ip);
            (self.spec)(&mut described);
            NewHost {
                id: TaskId(uuid::Uuid::now_v7()),
                credential: Some(Credential { auth: Auth::Password(PASSWORD.into()), sudo_password: Some(PASSWORD.into()) }),
                exclusion: None,
                spec: TaskSpec {
                    host: described,
                    access_point: AccessPoint::default(),
                    cloud_name: "direct".into(),
                    outline: outline.clone(),
                },
            }
        });
        let by = Asker::at_terminal("operator").asks(Action::Run);
        let new = NewJob { spec, created_by: "operator".into(), by, served: true, hosts: hosts.collect() };
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
        let fleet = self.fleet.clone();
        Engine::new(Parts {
            store: Arc::new(self.store.clone()),
            packages: self.shelf.clone(),
            site: Arc::new(self.site.clone()),
            clock: self.clock.clone(),
            transport: Box::new(move |keys| Arc::new(Wire { fleet, keys })),
        })
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
        let host = Some(Address { cloud: 0, ip }.into());
        let mut state = HostState::Pending;
        for event in journal.iter().filter(|event| event.host == host) {
            state = state.next(&event.kind).unwrap();
        }
        match state {
            HostState::Running { step, .. } => Some(step),
            _ => None,
        }
    })
}

fn described(ip: IpAddr) -> HostSpec {
    let IpAddr::V4(inner_ip) = ip else { panic!("a fleet has IPv4 addresses") };
    HostSpec {
        bk_biz_id: 2,
        bk_cloud_id: 0,
        bk_host_id: None,
        bk_addressing: Addressing::Static,
        ap_id: 1,
        install_channel_id: None,
        inner_ip: Some(inner_ip),
        inner_ipv6: None,
        outer_ip: String::new(),
        outer_ipv6: None,
        login_ip: None,
        data_ip: None,
        os_type: None,
        auth_type: AuthType::Password,
        account: "root".into(),
        port: 22,
        is_manual: false,
        retention: Retention(1),
        peer_exchange_switch_for_agent: true,
        bt_speed_limit: 0,
        enable_compression: false,
        data_path: None,
        paths: Paths::default(),
        vars: serde_json::Map::new(),
    }
}

/// Times between asks of one kind.
pub fn pauses(host: &Host, ask: Ask) -> Vec<Duration> {
    host.times(ask).windows(2).map(|pair| pair[1] - pair[0]).collect()
}
