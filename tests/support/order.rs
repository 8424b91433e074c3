//! What a job on a fake fleet is made of: a clock, one package, the order itself, and an engine that carries it out.

#![allow(dead_code, unreachable_pub, reason = "every test binary uses its own part of this")]

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use landfall::domain::Timestamp;
use landfall::domain::audit::{Action, Asker};
use landfall::domain::credential::{Auth, Credential, Retention};
use landfall::domain::host::{Address, Addressing, AuthType, HostSpec};
use landfall::domain::id::TaskId;
use landfall::domain::job::JobKind;
use landfall::domain::package::{PackageChoice, PackageEntry};
use landfall::domain::site::{AccessPoint, Paths, Site};
use landfall::domain::spec::{JobSpec, Part, TaskSpec};
use landfall::engine::clock::Clock;
use landfall::engine::gateways::{KnownGateway, Leads};
use landfall::engine::{Engine, Parts};
use landfall::packages::{PackageError, PackageSource};
use landfall::plan::outline::{outline, with_choice};
use landfall::store::{NewHost, NewJob, Store};
use landfall::transport::{Gateway, Login, Target};
use sha2::{Digest, Sha256};
use tokio::time::Instant;

use crate::fake::{Fleet, Host, PASSWORD, Wire};

/// Virtual time on the wall.
pub struct WallClock(Instant);

impl WallClock {
    #[allow(clippy::new_without_default, reason = "its begin is now, which is no default")]
    pub fn new() -> Self {
        Self(Instant::now())
    }
}

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
    plugins: Vec<(PackageEntry, Bytes)>,
}

impl Shelf {
    pub fn of(size: usize) -> Self {
        Self::version("1.0", size)
    }

    pub fn version(version: &str, size: usize) -> Self {
        let bytes: Bytes = (0..size).map(|at| (at % 251) as u8).collect();
        let manifest = format!(
            "name = \"agent\"\nversion = \"{version}\"\nrole = \"agent\"\nos = \"linux\"\ncpu = \"x86_64\"\n\
            [process]\nstart = \"bin/agent\"\n[health]\nhttp = \"http://127.0.0.1:9100/metrics\"\ntimeout_s = 20\n"
        );
        let sha256 = Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
        let entry = PackageEntry { sha256, size: size as u64, unpacked: 1 << 20, manifest: toml::from_str(&manifest).unwrap() };
        Self { entry, bytes, fetched: AtomicUsize::new(0), opening: AtomicU64::new(50), plugins: Vec::new() }
    }

    /// And a plugin of `size` bytes beside it, which comes with it and listens on a port of its own.
    pub fn plugin(mut self, name: &str, version: &str, (port, size): (u16, usize)) -> Self {
        let bytes: Bytes = (0..size).map(|at| (at % 241) as u8 ^ port as u8).collect();
        let manifest = format!(
            "name = \"{name}\"\nversion = \"{version}\"\nrole = \"plugin\"\nos = \"linux\"\ncpu = \"any\"\nauto_install = true\n\
            [process]\nstart = \"bin/plugin\"\n[health]\ntcp = \"127.0.0.1:{port}\"\ntimeout_s = 20\n"
        );
        let sha256 = Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
        let entry = PackageEntry { sha256, size: size as u64, unpacked: 1 << 20, manifest: toml::from_str(&manifest).unwrap() };
        self.plugins.push((entry, bytes));
        self
    }

    pub fn size(&self) -> u64 {
        self.entry.size
    }
}

#[async_trait]
impl PackageSource for Shelf {
    async fn list(&self) -> Result<Vec<PackageEntry>, PackageError> {
        Ok(std::iter::once(&self.entry).chain(self.plugins.iter().map(|(entry, _)| entry)).cloned().collect())
    }

    async fn fetch(&self, entry: &PackageEntry) -> Result<Bytes, PackageError> {
        if let Some((_, bytes)) = self.plugins.iter().find(|(plugin, _)| plugin == entry) {
            return Ok(bytes.clone());
        }
        assert_eq!(*entry, self.entry);
        self.fetched.fetch_add(1, Ordering::Relaxed);
        tokio::time::sleep(Duration::from_millis(self.opening.load(Ordering::Relaxed))).await;
        Ok(self.bytes.clone())
    }
}

/// A job of that kind on all hosts of a fleet.
pub fn order(fleet: &Fleet, kind: JobKind, site: &Site, change: fn(&mut HostSpec)) -> NewJob {
    let package = PackageChoice { name: Some("agent".into()), version: None };
    let spec = JobSpec { package, businesses: vec![2], install_latest_plugins: true, ..JobSpec::of(kind) };
    let outline = outline(kind, site.limits.script_timeout_s);
    let hosts = fleet.hosts().iter().map(|host| {
        let mut described = described(host.ip);
        change(&mut described);
        let nearest = described.ap_id == -1;
        NewHost {
            id: TaskId(uuid::Uuid::now_v7()),
            credential: Some(Credential { auth: Auth::Password(PASSWORD.into()), sudo_password: Some(PASSWORD.into()) }),
            exclusion: None,
            spec: TaskSpec {
                host: described,
                access_point: AccessPoint::default(),
                cloud_name: "direct".into(),
                upstream: Vec::new(),
                outline: if nearest { with_choice(&outline) } else { outline.clone() },
                part: Part::Whole,
            },
        }
    });
    NewJob {
        spec,
        created_by: "operator".into(),
        by: Asker::at_terminal("operator").asks(Action::Run),
        served: true,
        hosts: hosts.collect(),
    }
}

/// An executor that just came up.
pub fn engine(store: Arc<dyn Store>, (fleet, shelf, clock): (Arc<Fleet>, Arc<Shelf>, Arc<WallClock>), site: &Site) -> Engine {
    let known = |(cloud, host): (i64, Arc<Host>)| KnownGateway {
        version: None,
        rank: 0,
        leads: Leads::Cloud(cloud),
        gateway: Ok(gateway(cloud, host.ip)),
    };
    let gateways: Vec<KnownGateway> = fleet.gateways().into_iter().map(known).collect();
    Engine::new(Parts {
        store,
        packages: shelf,
        site: Arc::new(site.clone()),
        clock,
        gateways: Box::new(move |_| gateways.clone()),
        clouds: Vec::new(),
        transport: Box::new(move |keys| Arc::new(Wire { fleet, keys })),
    })
}

fn gateway(cloud: i64, dial: IpAddr) -> Arc<Gateway> {
    let address = Address { cloud, ip: dial };
    let target = Target { address, dial, port: 22, legacy: false, accepts_new_key: false, via: None };
    Arc::new(Gateway { target, login: Login { account: "root".into(), auth: Auth::Password(PASSWORD.into()) } })
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
        accept_new_host_key: false,
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
