//! What the suite is run on: a record in a directory of its own, and jobs to put into it.

use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use landfall::domain::Timestamp;
use landfall::domain::admission::{Exception, Exclusion};
use landfall::domain::audit::{Action, Asker, Asking};
use landfall::domain::credential::{Auth, Credential, Retention};
use landfall::domain::event::EventKind;
use landfall::domain::host::{Addressing, AuthType, HostSpec};
use landfall::domain::id::{JobId, Seq, TaskId};
use landfall::domain::job::JobKind;
use landfall::domain::outcome::{Outcome, StepOutcome};
use landfall::domain::package::{PackageChoice, Role};
use landfall::domain::plan::{Step, StepKind};
use landfall::domain::record::HostRecord;
use landfall::domain::site::{AccessPoint, Paths};
use landfall::domain::spec::{JobSpec, Part, TaskSpec};
use landfall::store::postgres::PostgresStore;
use landfall::store::seal::Seal;
use landfall::store::sqlite::SqliteStore;
use landfall::store::{Claim, HostRow, NewHost, NewJob, Retry, Store, StoreError, Take, TaskRow, Write, Written};
use sqlx::Connection;
use tempfile::TempDir;

use crate::postgres::Server;

/// The password of every host of a [`job`].
pub(crate) const PASSWORD: &str = "correct-horse-battery-staple";
pub(crate) const DAY_S: i64 = 86_400;

/// A SQLite record and its directory.
pub(crate) struct Sqlite {
    pub(crate) store: SqliteStore,
    pub(crate) directory: TempDir,
}

impl Sqlite {
    pub(crate) async fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let store = Self::open(directory.path().to_owned()).await.unwrap();
        Self { store, directory }
    }

    /// Opens the record of a data directory, as another process would.
    pub(crate) async fn open(directory: PathBuf) -> Result<SqliteStore, StoreError> {
        let seal = Seal::open(&directory.join("key"))?;
        SqliteStore::open(&directory.join("record.db"), &directory, seal).await
    }
}

/// A record in a database of its own on the server that all tests share.
pub(crate) struct Postgres {
    pub(crate) store: PostgresStore,
    pub(crate) url: String,
    /// For the key.
    pub(crate) directory: TempDir,
}

impl Postgres {
    /// How long a job stays held when its holder was killed.
    pub(crate) const LEASE: Duration = Duration::from_secs(15);

    pub(crate) async fn new() -> Self {
        Self::on(&Server::shared().await).await
    }

    pub(crate) async fn on(server: &Server) -> Self {
        let (url, directory) = (server.database().await, tempfile::tempdir().unwrap());
        let store = Self::open(&url, directory.path(), Self::LEASE).await.unwrap();
        Self { store, url, directory }
    }

    /// Opens the record as another process would.
    pub(crate) async fn open(url: &str, directory: &Path, lease: Duration) -> Result<PostgresStore, StoreError> {
        PostgresStore::open(url, lease, Seal::open(&directory.join("key"))?).await
    }

    /// The same record, opened again.
    pub(crate) async fn again(&self, lease: Duration) -> PostgresStore {
        Self::open(&self.url, self.directory.path(), lease).await.unwrap()
    }

    /// Another program's look into the record.
    pub(crate) async fn change(&self, sql: &'static str) -> u64 {
        let mut shell = sqlx::PgConnection::connect(&self.url).await.unwrap();
        sqlx::query(sql).execute(&mut shell).await.unwrap().rows_affected()
    }
}

/// Seconds after the beginning of the tests' time.
pub(crate) fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_700_000_000 + seconds).unwrap()
}

pub(crate) fn ip(index: u32) -> Ipv4Addr {
    Ipv4Addr::from(0x0a00_0001 + index)
}

pub(crate) fn host_spec(index: u32) -> HostSpec {
    HostSpec {
        bk_biz_id: 2,
        bk_cloud_id: 0,
        bk_host_id: None,
        bk_addressing: Addressing::Static,
        ap_id: 1,
        install_channel_id: None,
        inner_ip: Some(ip(index)),
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

pub(crate) fn host(index: u32) -> NewHost {
    let kinds = [StepKind::Connect, StepKind::Probe, StepKind::UploadPackage, StepKind::RunScript, StepKind::Verify];
    NewHost {
        id: TaskId(uuid::Uuid::now_v7()),
        spec: TaskSpec {
            host: host_spec(index),
            access_point: AccessPoint::default(),
            cloud_name: "direct".into(),
            upstream: Vec::new(),
            outline: kinds.map(|kind| Step { kind, timeout_s: 60 }).into(),
            part: Part::Whole,
        },
        credential: Some(Credential { auth: Auth::Password(PASSWORD.into()), sudo_password: None }),
        exclusion: None,
    }
}

/// A host that the job leaves out.
pub(crate) fn left_out(index: u32) -> NewHost {
    NewHost { credential: None, exclusion: Some(Exclusion::new(Exception::Duplicate, "hosts[0]")), ..host(index) }
}

pub(crate) fn kept(index: u32, days: i64) -> NewHost {
    let mut host = host(index);
    host.spec.host.retention = Retention(days);
    host
}

pub(crate) fn job_of(hosts: Vec<NewHost>) -> NewJob {
    let spec = JobSpec {
        package: PackageChoice { name: Some("node-exporter".into()), version: None },
        vars: serde_json::from_str(r#"{"port": 9100}"#).unwrap(),
        upload_mb_per_s: 7,
        install_latest_plugins: false,
        businesses: vec![2],
        ..JobSpec::of(JobKind::InstallAgent)
    };
    NewJob { spec, created_by: "operator".into(), by: by("operator", Action::Run), served: true, hosts }
}

/// Somebody at a terminal asks for something.
pub(crate) fn by(user: &str, action: Action) -> Asking {
    Asker::at_terminal(user).asks(action)
}

/// A job of the hosts of these numbers.
pub(crate) fn job(indexes: std::ops::Range<u32>) -> NewJob {
    job_of(indexes.map(host).collect())
}

pub(crate) fn claim_of(row: &TaskRow) -> Claim {
    Claim { job: row.job, task: row.id, index: row.index, epoch: row.epoch }
}

/// Records a job at second 0 and claims it.
pub(crate) async fn claimed(store: &dyn Store, job: NewJob) -> (JobId, Vec<Claim>) {
    let id = store.create_job(job, at(0)).await.unwrap();
    let rows = store.claim(Take::all(id, "executor")).await.unwrap();
    (id, rows.iter().map(claim_of).collect())
}

pub(crate) fn host_write(claim: Claim, seconds: i64, events: Vec<EventKind>) -> Write {
    Write::Host { claim, at: at(seconds), events }
}

pub(crate) fn ended(outcome: Outcome) -> EventKind {
    EventKind::HostFinished { outcome }
}

pub(crate) fn interrupted() -> EventKind {
    ended(Outcome::Interrupted { why: "stopped".into() })
}

/// The events of a host from its start to success.
pub(crate) fn good_course() -> Vec<EventKind> {
    let mut events = vec![EventKind::HostStarted, EventKind::AttemptStarted { attempt: 1 }];
    for step in [StepKind::Connect, StepKind::Probe, StepKind::RunScript] {
        events.push(EventKind::StepStarted { step, attempt: 1, run_id: None });
        events.push(EventKind::StepFinished {
            step,
            attempt: 1,
            outcome: StepOutcome::Done { changed: true },
            figures: Default::default(),
        });
    }
    events.push(ended(Outcome::Succeeded));
    events
}

/// Commits one write that must be accepted.
pub(crate) async fn commit(store: &dyn Store, write: Write) -> Option<Seq> {
    match store.commit(vec![write]).await.unwrap().as_slice() {
        [Written::Done(seq)] => *seq,
        other => panic!("{other:?}"),
    }
}

/// Ends a host at a second.
pub(crate) async fn end(store: &dyn Store, claim: Claim, seconds: i64) {
    commit(store, host_write(claim, seconds, good_course())).await;
}

/// Folds the journal of every host of a job, the way every reader does.
pub(crate) async fn folded(store: &dyn Store, job: JobId) -> Vec<HostRecord> {
    let mut records = vec![HostRecord::default(); store.tasks(job).await.unwrap().len()];
    let mut after = Seq(0);
    loop {
        let page = store.events(job, after, 500).await.unwrap();
        let Some(last) = page.last() else { return records };
        after = last.seq;
        for event in &page {
            if let Some(index) = event.host_index {
                records[index as usize].apply(&event.kind, event.at).unwrap();
            }
        }
    }
}

/// An inventory row.
pub(crate) fn known(index: u32, id: Option<i64>, job: JobId) -> HostRow {
    HostRow {
        address: address(index),
        spec: HostSpec { bk_host_id: id, ..host_spec(index) },
        package: "node-exporter".into(),
        version: "1".into(),
        digest: "d".repeat(64),
        cpu: "x86_64".into(),
        role: Role::Agent,
        upstream: Vec::new(),
        job,
        at: at(4),
    }
}

pub(crate) fn address(index: u32) -> landfall::domain::host::Address {
    landfall::domain::host::Address { cloud: 0, ip: IpAddr::V4(ip(index)) }
}

/// Tried again at that second, with nothing else changed.
pub(crate) fn again(tasks: &[TaskId], seconds: i64) -> Retry {
    Retry { tasks: tasks.to_vec(), logins: Vec::new(), from_start: false, by: by("ops", Action::Retry), at: at(seconds) }
}
