//! What only processes can show: who holds a job when its holder is killed, and what a commit is worth then.
//!
//! The other process is this test program again, with a role in its environment.

use std::io::{BufRead, BufReader, Lines};
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use landfall::domain::event::EventKind;
use landfall::domain::id::{JobId, Seq};
use landfall::domain::outcome::StepOutcome;
use landfall::domain::plan::StepKind;
use landfall::store::{Claim, OutputChunk, Store, StoreError, Take, Write, Written};

use crate::fixture::{Postgres, Sqlite, claim_of, folded, host_write, job};

const ROLE: &str = "LANDFALL_TEST_ROLE";
const DIRECTORY: &str = "LANDFALL_TEST_DIRECTORY";
/// Address of a record in PostgreSQL; without it the record is the directory's file.
const URL: &str = "LANDFALL_TEST_URL";
/// Lease of other processes: what waits for the end of one is a test.
const LEASE: Duration = Duration::from_millis(1200);

/// Hosts of the job that is killed again and again.
const HOSTS: u32 = 4;

/// Where a record is.
struct Place {
    directory: PathBuf,
    url: Option<String>,
}

impl Place {
    fn of_sqlite(world: &Sqlite) -> Self {
        Self { directory: world.directory.path().into(), url: None }
    }

    fn of_postgres(world: &Postgres) -> Self {
        Self { directory: world.directory.path().into(), url: Some(world.url.clone()) }
    }

    async fn open(&self) -> Box<dyn Store> {
        match &self.url {
            None => Box::new(Sqlite::open(self.directory.clone()).await.unwrap()),
            Some(url) => Box::new(Postgres::open(url, &self.directory, LEASE).await.unwrap()),
        }
    }
}

/// Another process with a role; what it says are its lines that begin with `@`.
struct Other {
    process: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Other {
    fn start(role: &str, place: &Place) -> Self {
        let mut process = Command::new(std::env::current_exe().unwrap())
            .args(["processes::in_another_process", "--exact", "--nocapture"])
            .envs([(ROLE, role.as_ref()), (DIRECTORY, place.directory.as_os_str())])
            .envs(place.url.iter().map(|url| (URL, url)))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(process.stdout.take().unwrap()).lines();
        Self { process, lines }
    }

    /// The next thing it says; `None` when it is gone.
    fn says(&mut self) -> Option<String> {
        // libtest writes to the same line before the first one.
        self.lines.by_ref().map_while(Result::ok).find_map(|line| Some(line.split_once('@')?.1.to_owned()))
    }

    /// Kills it with SIGKILL; what it had still said.
    fn kill(mut self) -> Vec<String> {
        self.process.kill().unwrap();
        let last = std::iter::from_fn(|| self.says()).collect();
        self.process.wait().unwrap();
        last
    }
}

/// Does nothing by itself: it is what [`Other::start`] runs.
#[tokio::test]
async fn in_another_process() {
    let Ok(role) = std::env::var(ROLE) else { return };
    let place = Place { directory: std::env::var_os(DIRECTORY).unwrap().into(), url: std::env::var(URL).ok() };
    let store = place.open().await;
    match role.as_str() {
        "hold" => {
            let _lease = store.hold(JobId(1)).await.unwrap();
            println!("@held");
            // Beside the runtime: a hold is renewed in the background.
            tokio::task::spawn_blocking(|| std::io::stdin().lines().next()).await.unwrap();
        }
        "append" => append(store.as_ref()).await,
        "create" => loop {
            // Numbers of jobs that were broken off are not given again.
            let jobs = store.jobs(u32::MAX).await.unwrap().len() as u32;
            store.create_job(job(jobs * 2000..(jobs + 1) * 2000), crate::fixture::at(0)).await.unwrap();
            println!("@{}", jobs + 1);
        },
        "rotate" => {
            let change = store.prepare_key().await.unwrap();
            println!("@prepared");
            loop {
                let step = store.reseal(&change, 7).await.unwrap();
                println!("@{}", step.left);
                if step.left == 0 {
                    break;
                }
            }
            store.retire_key(&change).await.unwrap();
            println!("@done");
        }
        other => panic!("{other}"),
    }
}

/// Claims the job and works on all its hosts at once until it is killed; says every `seq` that was acknowledged.
async fn append(store: &dyn Store) {
    let _lease = store.hold(JobId(1)).await.unwrap();
    let claims: Vec<Claim> = store.claim(Take::all(JobId(1), "executor")).await.unwrap().iter().map(claim_of).collect();
    let step = StepKind::RunScript;
    let mut batch: Vec<Write> = claims.iter().map(|claim| host_write(*claim, 0, vec![EventKind::HostStarted])).collect();
    for attempt in 1.. {
        match store.commit(batch).await.unwrap().last() {
            Some(Written::Done(Some(seq))) => println!("@{}", seq.0),
            other => panic!("{other:?}"),
        }
        batch = Vec::new();
        for claim in &claims {
            batch.push(Write::Output(OutputChunk { task: claim.task, step, attempt, offset: 0, data: vec![b'x'; 5000].into() }));
            let outcome = StepOutcome::Done { changed: true };
            let events = vec![
                EventKind::StepStarted { step, attempt, run_id: None },
                EventKind::StepFinished { step, attempt, outcome, figures: Default::default() },
            ];
            batch.push(host_write(*claim, i64::from(attempt), events));
        }
    }
}

#[tokio::test]
async fn a_job_is_free_as_soon_as_its_holder_was_killed() {
    let world = Sqlite::new().await;
    let mut holder = Other::start("hold", &Place::of_sqlite(&world));
    assert_eq!(holder.says().as_deref(), Some("held"));
    let pid = holder.process.id();
    let refusal = world.store.hold(JobId(1)).await.unwrap_err();
    assert!(matches!(refusal, StoreError::Held { job: JobId(1), pid: named } if named == pid), "{refusal}");
    world.store.hold(JobId(2)).await.unwrap();
    holder.kill();
    let lease = world.store.hold(JobId(1)).await.unwrap();
    // And now it is ours.
    let refusal = world.store.hold(JobId(1)).await.unwrap_err();
    assert!(matches!(refusal, StoreError::Held { pid, .. } if pid == std::process::id()), "{refusal}");
    drop(lease);
}

#[tokio::test]
async fn a_job_is_free_when_the_lease_of_its_killed_holder_is_over() {
    let world = Postgres::new().await;
    let mut holder = Other::start("hold", &Place::of_postgres(&world));
    assert_eq!(holder.says().as_deref(), Some("held"));
    let pid = holder.process.id();
    assert_eq!(world.store.holder(JobId(1)).await.unwrap(), Some(pid));
    // It is renewed, so its holder is alive.
    let refusal = world.store.hold(JobId(1)).await.unwrap_err();
    assert!(matches!(refusal, StoreError::Held { job: JobId(1), pid: named } if named == pid), "{refusal}");
    world.store.hold(JobId(2)).await.unwrap();
    holder.kill();
    assert_eq!(world.store.holder(JobId(1)).await.unwrap(), Some(pid), "nobody can know yet");
    let begun = Instant::now();
    let _lease = world.store.hold(JobId(1)).await.unwrap();
    assert!(begun.elapsed() < LEASE + Duration::from_secs(1), "{:?}", begun.elapsed());
    assert_eq!(world.store.holder(JobId(1)).await.unwrap(), Some(std::process::id()));
}

#[tokio::test]
async fn nothing_acknowledged_is_lost_and_nothing_is_half_there_after_kill_9() {
    let world = Sqlite::new().await;
    kill_who_appends(&world.store, &Place::of_sqlite(&world), 12).await;
}

#[tokio::test]
async fn nothing_acknowledged_by_postgresql_is_lost_after_kill_9() {
    let world = Postgres::new().await;
    kill_who_appends(&world.store, &Place::of_postgres(&world), 5).await;
}

async fn kill_who_appends(store: &dyn Store, place: &Place, rounds: usize) {
    let id = store.create_job(job(0..HOSTS), crate::fixture::at(0)).await.unwrap();
    for round in 0..rounds {
        let mut writer = Other::start("append", place);
        let mut acknowledged = Vec::new();
        while acknowledged.len() < 1 + (round * 7) % 31 {
            acknowledged.push(writer.says().unwrap());
        }
        acknowledged.extend(writer.kill());
        let last: i64 = acknowledged.last().unwrap().parse().unwrap();

        let store = place.open().await;
        let events = store.events(id, Seq(0), 1_000_000).await.unwrap();
        let seqs: Vec<i64> = events.iter().map(|event| event.seq.0).collect();
        assert_eq!(seqs, (1..=seqs.len() as i64).collect::<Vec<_>>(), "no gap");
        assert!(*seqs.last().unwrap() >= last, "{last} was acknowledged, {} is there", seqs.len());
        // Every batch went over all hosts: all of it is there, or none.
        let per_host: Vec<usize> =
            (0..HOSTS).map(|host| events.iter().filter(|event| event.host_index == Some(host)).count()).collect();
        assert!(per_host.iter().all(|count| *count == per_host[0]), "{per_host:?}");
        let tasks = store.tasks(id).await.unwrap();
        for (record, task) in folded(store.as_ref(), id).await.iter().zip(&tasks) {
            assert_eq!(record.state.status(), task.status);
            assert_eq!(task.epoch.0 as usize, round + 1);
        }
    }
}

#[tokio::test]
async fn a_job_whose_recording_was_killed_is_not_there() {
    let world = Sqlite::new().await;
    kill_who_creates(&world.store, &Place::of_sqlite(&world)).await;
}

#[tokio::test]
async fn a_job_whose_recording_in_postgresql_was_killed_is_not_there() {
    let world = Postgres::new().await;
    kill_who_creates(&world.store, &Place::of_postgres(&world)).await;
}

async fn kill_who_creates(store: &dyn Store, place: &Place) {
    for round in 0..6u64 {
        let mut writer = Other::start("create", place);
        let first = writer.says().unwrap();
        std::thread::sleep(Duration::from_millis(37 * round));
        let last = writer.kill().pop().unwrap_or(first);
        let jobs = store.jobs(1000).await.unwrap();
        assert!(jobs.len() as i64 >= last.parse().unwrap());
        assert!(jobs.iter().all(|job| job.statistics.total_count == 2000), "whole or not at all");
        for job in jobs.iter().take(2) {
            assert_eq!(store.events(job.id, Seq(0), 10).await.unwrap().len(), 1);
            let task = &store.tasks(job.id).await.unwrap()[1999];
            assert!(store.credential(task.id).await.unwrap().is_some());
        }
    }
}

#[tokio::test]
async fn a_change_of_keys_that_is_killed_loses_no_secret_and_is_gone_on_with() {
    let world = Sqlite::new().await;
    kill_who_rotates(&world.store, &Place::of_sqlite(&world)).await;
}

#[tokio::test]
async fn a_change_of_keys_in_postgresql_that_is_killed_loses_no_secret_and_is_gone_on_with() {
    let world = Postgres::new().await;
    kill_who_rotates(&world.store, &Place::of_postgres(&world)).await;
}

/// Kills it after each of its first steps, after more of them, and near its end; the last one comes through.
async fn kill_who_rotates(store: &dyn Store, place: &Place) {
    store.create_job(job(0..60), crate::fixture::at(0)).await.unwrap();
    let mut left = Vec::new();
    for steps in [1, 2, 3, 5, 9, 20] {
        let mut changing = Other::start("rotate", place);
        let mut said: Vec<String> = (0..steps).map_while(|_| changing.says()).collect();
        said.extend(changing.kill());
        left.extend(said.iter().filter_map(|word| word.parse::<u32>().ok()));
        // Whoever works on, and whoever comes new.
        crate::keys::assert_all_open(store).await;
        crate::keys::assert_all_open(place.open().await.as_ref()).await;
    }
    assert!(left.contains(&0) && left.iter().any(|left| *left > 0), "{left:?}");
    let mut last = Other::start("rotate", place);
    let said: Vec<String> = std::iter::from_fn(|| last.says()).collect();
    assert_eq!(said.last().map(String::as_str), Some("done"), "{said:?}");
    assert_eq!(std::fs::metadata(place.directory.join("key")).unwrap().len(), 32);
    crate::keys::assert_all_open(place.open().await.as_ref()).await;
}
