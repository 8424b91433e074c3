//! Where the stories happen: an installation with a server, ports that stand for hosts, and a record that knows some hosts
//! already.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::net::TcpListener;
use std::process::Command;

use landfall::domain::Timestamp;
use landfall::domain::audit::{Action, Asker};
use landfall::domain::credential::Credential;
use landfall::domain::event::EventKind;
use landfall::domain::host::AuthType;
use landfall::domain::id::{JobId, RunId, TaskId};
use landfall::domain::outcome::Outcome;
use landfall::domain::package::Role;
use landfall::domain::plan::{Plan, StepKind};
use landfall::domain::site::{AccessPoint, Site};
use landfall::domain::spec::{Part, TaskSpec};
use landfall::service::request::{self, SecretSources};
use landfall::store::seal::Seal;
use landfall::store::sqlite::SqliteStore;
use landfall::store::{Claim, HostRow, NewHost, NewJob, Store as _, Take, Write};
use serde_json::{Value, json};

use crate::desk::Desk;
use crate::package::Package;
use crate::server::Server;

/// The site of the published example.
pub const EXAMPLE_SITE: &str =
    "[[business]]\nid = 2\nname = \"蓝鲸\"\n[[cloud]]\nid = 2\nname = \"1\"\n[[access_point]]\nid = 1\n";

pub struct Place {
    pub desk: Desk,
    pub server: Server,
}

impl Place {
    /// With a package for agents, one for proxies, and a site.
    pub fn with(site: &str) -> Self {
        let desk = Desk::new();
        for package in [Package::tiny("tiny"), Package::tiny("carrier").proxy()] {
            let archive = package.build(desk.dir.path());
            desk.landfall(&format!("package add {}", archive.file.display())).exits(0);
        }
        let server = start(desk.file("site.toml", site));
        Self { desk, server }
    }

    pub fn new() -> Self {
        Self::with("")
    }

    /// Asks the record of the installation itself.
    pub fn record<T>(&self, ask: impl AsyncFnOnce(SqliteStore) -> T) -> T {
        let data = self.desk.dir.path().join("data");
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let seal = Seal::open(&data.join("key")).unwrap();
            ask(SqliteStore::open(&data.join("landfall.db"), &data, seal).await.unwrap()).await
        })
    }

    /// The login that is kept of each host of a job.
    pub fn logins(&self, job: i64) -> Vec<Option<Credential>> {
        self.record(async |store| {
            let mut logins = Vec::new();
            for task in store.tasks(JobId(job)).await.unwrap() {
                logins.push(store.credential(task.id).await.unwrap());
            }
            logins
        })
    }

    /// Has finished jobs put into the record: each of these hosts was installed, and its login is kept for `retention` days.
    pub fn installed(&self, hosts: &[Value]) {
        let body = json!({"job_type": "INSTALL_AGENT", "hosts": hosts});
        let request = request::parse(&body, &Site::default(), &SecretSources::default()).unwrap();
        self.record(async |store| {
            let specs: Vec<_> = request.hosts.iter().map(|host| host.spec.clone()).collect();
            let hosts = request.hosts.into_iter().map(|host| NewHost {
                id: TaskId(uuid::Uuid::now_v7()),
                spec: TaskSpec {
                    host: host.spec,
                    access_point: AccessPoint::default(),
                    cloud_name: String::new(),
                    upstream: Vec::new(),
                    outline: Vec::new(),
                    part: Part::Whole,
                },
                credential: host.credential,
                exclusion: None,
            });
            let by = Asker::at_terminal("earlier").asks(Action::Run);
            let (hosts, spec) = (hosts.collect(), request.spec);
            let job = NewJob { hosts, created_by: "earlier".into(), by, served: false, spec };
            let at = Timestamp::now();
            let id = store.create_job(job, at).await.unwrap();
            let mut batch: Vec<Write> = Vec::new();
            for task in store.claim(Take::all(id, "executor")).await.unwrap() {
                let claim = Claim { job: id, task: task.id, index: task.index, epoch: task.epoch };
                batch.push(Write::Host { claim, at, events: course(task.id) });
            }
            let digest = "0".repeat(64);
            batch.extend(specs.into_iter().map(|spec| {
                let address = spec.address().unwrap();
                let (package, version) = ("tiny".into(), "1.0.0".into());
                let (digest, cpu) = (digest.clone(), "x86_64".into());
                Write::Register(Box::new(HostRow {
                    address,
                    spec,
                    package,
                    version,
                    digest,
                    cpu,
                    role: Role::Agent,
                    upstream: Vec::new(),
                    job: id,
                    at,
                }))
            }));
            let status = landfall::domain::job::Status::Success;
            batch.push(Write::Job { job: id, at, events: vec![EventKind::JobFinished { status }] });
            store.commit(batch).await.unwrap();
            store.purge_credentials(at).await.unwrap();
        });
    }
}

/// What the journal of an installed host says, as far as anybody asks.
fn course(task: TaskId) -> Vec<EventKind> {
    let paths = json!({"setup_path": "/s", "data_path": "/d", "run_path": "/r", "log_path": "/l", "temp_path": "/t"});
    let plan = json!({
        "version": 1, "steps": [], "state_dir": "/var/lib/landfall", "dialect": "posix", "privilege": "root",
        "digest_tool": "sha256sum", "paths": paths,
        "work": {"work": "restart", "installed": {
            "name": "tiny", "version": "1.0.0", "role": "agent", "digest": "0", "release": "1.0.0-0", "start": "bin/tiny",
            "paths": paths, "health": {"tcp": "127.0.0.1:9100"},
        }},
    });
    let run = RunId::new(task, StepKind::RunScript, 1);
    vec![
        EventKind::HostStarted,
        EventKind::PlanSettled { plan: Box::new(serde_json::from_value::<Plan>(plan).unwrap()) },
        EventKind::StepStarted { step: StepKind::RunScript, attempt: 1, run_id: Some(run) },
        EventKind::HostFinished { outcome: Outcome::Succeeded },
    ]
}

/// A server at a desk whose record is in that database.
pub fn start_on(desk: &Desk, database: &str) -> Server {
    let mut command: Command = desk.command("");
    command.env("LANDFALL_SITE", desk.dir.path().join("site.toml")).env("LANDFALL_DATABASE_URL", database);
    Server::start(command)
}

/// A server at a desk.
pub fn start(desk: &Desk) -> Server {
    let mut command: Command = desk.command("");
    command.env("LANDFALL_SITE", desk.dir.path().join("site.toml"));
    Server::start(command)
}

/// A host of a request, with the login that its kind needs.
pub fn host(ip: &str) -> Value {
    json!({"bk_biz_id": 2, "bk_cloud_id": 0, "ap_id": 1, "inner_ip": ip, "os_type": "LINUX",
        "account": "root", "port": 22, "auth_type": "PASSWORD", "password": "hunter2"})
}

/// The same, without any login.
pub fn bare(ip: &str) -> Value {
    json!({"bk_biz_id": 2, "bk_cloud_id": 0, "ap_id": 1, "inner_ip": ip})
}

pub fn with(mut value: Value, more: Value) -> Value {
    for (key, more) in more.as_object().unwrap() {
        value[key] = more.clone();
    }
    value
}

pub fn job(kind: &str, hosts: &[Value]) -> Value {
    json!({"job_type": kind, "hosts": hosts})
}

/// A port on all of 127.0.0.0/8 where something that is no sshd answers: a host there fails at once and is not tried again.
pub fn nonsense() -> u16 {
    let listener = TcpListener::bind("0.0.0.0:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let _ = stream.and_then(|mut stream| stream.write_all(b"SSH-1.0-museum\r\n"));
        }
    });
    port
}

/// A port on all of 127.0.0.0/8 where nobody ever says a word: a host there is RUNNING until the handshake is given up.
pub fn deaf() -> (TcpListener, u16) {
    let listener = TcpListener::bind("0.0.0.0:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    (listener, port)
}

/// `(ip, exception)` of the hosts that an answer leaves out.
pub fn left_out(data: &Value) -> BTreeSet<(String, String)> {
    let word = |entry: &Value, key: &str| entry[key].as_str().unwrap().to_owned();
    data["ip_filter"].as_array().unwrap().iter().map(|entry| (word(entry, "ip"), word(entry, "exception"))).collect()
}

/// A kind of login without its secret.
pub fn auth(kind: AuthType) -> Value {
    json!({"auth_type": kind})
}
