//! Everything of the story: a host and a breakable way per cell, and Landfall's own parts around them, joined as `app` does.

use std::collections::HashMap;
use std::sync::Arc;

use landfall::domain::event::EventKind;
use landfall::domain::failure::Failure;
use landfall::domain::id::{JobId, Seq};
use landfall::domain::record::HostRecord;
use landfall::domain::site::{Language, Site};
use landfall::engine::clock::SystemClock;
use landfall::engine::{Ended, Engine, Parts};
use landfall::packages::repository::Repository;
use landfall::service::request::SecretSources;
use landfall::service::submit::Caller;
use landfall::service::{Service, Stop};
use landfall::store::Store;
use landfall::store::seal::Seal;
use landfall::store::sqlite::SqliteStore;
use landfall::transport::ssh::{SshSettings, SshTransport};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::cells::Cell;
use crate::host::Found;
use crate::package::{Archive, Package};
use crate::proxy::Proxy;
use crate::saboteur::{Rig, Saboteur};
use crate::world::World;

/// Bytes of the package: what is left at [`crate::cells::Moment::Halfway`] is more than a window (2 MiB), so that a stall is met by a write.
const NOISE: usize = 2_800_000;

/// Hosts that are looked at at the same time: a dozen processes each.
const LOOKS: usize = 4;

/// No cell waits for another one's permit.
const SITE: &str = "[limits]\nconcurrency = 1000\nuploads = 1000\n";

pub struct Stage {
    pub world: Arc<World>,
    pub archive: Archive,
    pub rigs: Vec<Arc<Rig>>,
    pub store: Arc<dyn Store>,
    service: Service,
    _dir: TempDir,
}

/// What the record says of one host.
pub struct Told {
    pub record: HostRecord,
    /// Why each attempt failed that was followed by another.
    pub failed: Vec<Failure>,
    /// The script's output.
    pub output: Vec<u8>,
}

impl Stage {
    /// A host for every cell.
    pub async fn of(cells: &[Cell]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let archive = Package::tiny("tiny").with_noise(NOISE).build(dir.path());
        let count = cells.len();
        let world = tokio::task::spawn_blocking(move || Arc::new(World::count(count, "password"))).await.unwrap();
        let mut rigs = Vec::new();
        for (cell, host) in cells.iter().zip(world.hosts()) {
            let proxy = Proxy::before(format!("{}:{}", host.ip, host.port).parse().unwrap()).await;
            rigs.push(Arc::new(Rig::new(*cell, proxy, (Arc::clone(&world), host.name.clone()), archive.sha256.clone())));
        }

        let seal = Seal::open(&dir.path().join("key")).unwrap();
        let store = SqliteStore::open(&dir.path().join("landfall.db"), dir.path(), seal).await.unwrap();
        let store: Arc<dyn Store> = Arc::new(store);
        let packages = Arc::new(Repository::open(&dir.path().join("packages")).unwrap());
        packages.add(&archive.file).await.unwrap();
        let site: Arc<Site> = Arc::new(toml::from_str(SITE).unwrap());
        let by_port: HashMap<u16, Arc<Rig>> = rigs.iter().map(|rig| (rig.proxy.address.port(), Arc::clone(rig))).collect();
        let engine = Engine::new(Parts {
            store: Arc::clone(&store),
            packages: packages.clone(),
            site: Arc::clone(&site),
            clock: Arc::new(SystemClock),
            gateways: Box::new(|_| Vec::new()),
            clouds: Vec::new(),
            transport: Box::new(|keys| {
                Arc::new(Saboteur { ssh: SshTransport::new(SshSettings::default(), keys), rigs: by_port })
            }),
        });
        let service = Service::new(Arc::clone(&store), packages, Arc::new(engine), site);
        Self { world, archive, rigs, store, service, _dir: dir }
    }

    /// One install on all hosts, through their ways, to its end; and what was on each host when it had ended.
    pub async fn run(&self) -> (JobId, Vec<Found>) {
        let hosts: Vec<Value> = self.rigs.iter().map(|rig| self.entry(rig)).collect();
        let caller = Caller::at_terminal("operator", Language::En, SecretSources::default());
        let body = json!({"job_type": "INSTALL_AGENT", "hosts": hosts});
        let accepted = self.service.submit(&body, &caller).await.unwrap_or_else(|rejection| panic!("{rejection:?}"));
        let job = accepted.job;
        let (ended, found) = tokio::join!(self.service.run(job, accepted.lease, Stop::new()), self.look_at_all(job));
        assert_eq!(ended.unwrap(), Ended::Finished);
        (job, found)
    }

    /// Looks at each host as soon as it has ended: others wait for a deadline meanwhile, and the machine is idle.
    async fn look_at_all(&self, job: JobId) -> Vec<Found> {
        let mut feed = self.service.feed(job, Seq(0));
        let mut looks = JoinSet::new();
        let at_once = Arc::new(Semaphore::new(LOOKS));
        while looks.len() < self.rigs.len() {
            let events = feed.next().await.unwrap();
            for index in events.iter().filter(|event| event.kind.word() == "host_finished").filter_map(|event| event.host_index) {
                let (at_once, rig) = (Arc::clone(&at_once), Arc::clone(&self.rigs[index as usize]));
                looks.spawn(async move {
                    let _permit = at_once.acquire().await;
                    let found = tokio::task::spawn_blocking(move || Found::on(&rig.world, &rig.name)).await.unwrap();
                    (index, found)
                });
            }
        }
        let mut found = looks.join_all().await;
        found.sort_by_key(|(index, _)| *index);
        found.into_iter().map(|(_, found)| found).collect()
    }

    fn entry(&self, rig: &Rig) -> Value {
        let host = self.world.host(&rig.name);
        json!({
            "bk_biz_id": 2, "bk_cloud_id": 0, "ap_id": 1, "os_type": "LINUX",
            "inner_ip": host.ip, "login_ip": rig.proxy.address.ip(), "port": rig.proxy.address.port(),
            "account": host.user, "auth_type": "PASSWORD", "password": host.password,
        })
    }

    /// What the record says, host by host.
    pub async fn told(&self, job: JobId) -> Vec<Told> {
        let mut told = Vec::new();
        let events = self.store.events(job, Seq(0), u32::MAX).await.unwrap();
        for (task, index) in self.store.tasks(job).await.unwrap().into_iter().zip(0..) {
            let mut record = HostRecord::default();
            let mut failed = Vec::new();
            for event in events.iter().filter(|event| event.host_index == Some(index)) {
                record.apply(&event.kind, event.at).unwrap();
                if let EventKind::AttemptFailed { failure, .. } = &event.kind {
                    failed.push(failure.clone());
                }
            }
            let mut output = Vec::new();
            for chunk in self.store.output(task.id).await.unwrap() {
                assert_eq!(chunk.offset, output.len() as u64, "host {index}: the output has a gap or an overlap");
                output.extend_from_slice(&chunk.data);
            }
            told.push(Told { record, failed, output });
        }
        told
    }
}
