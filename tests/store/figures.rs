//! Ten thousand hosts: what they cost is printed, not judged.

use std::time::{Duration, Instant};

use landfall::domain::host::Address;
use landfall::domain::id::Seq;
use landfall::domain::job::Status;
use landfall::store::{Store, StoreError, Take, Write};

use crate::fixture::{Postgres, Sqlite, address, at, claim_of, good_course, host_write, job};

const HOSTS: u32 = 10_000;

fn print(what: &str, amount: usize, took: Duration) {
    eprintln!("{what}: {amount} in {took:?}, {:.0} a second", amount as f64 / took.as_secs_f64());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_hosts_are_recorded_in_one_transaction_and_worked_off() {
    let world = Sqlite::new().await;
    work_off(&world.store).await;
    for name in ["record.db", "record.db-wal"] {
        eprintln!("{name}: {} kB", std::fs::metadata(world.directory.path().join(name)).unwrap().len() >> 10);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_hosts_are_recorded_in_one_transaction_of_postgresql_and_worked_off() {
    work_off(&Postgres::new().await.store).await;
}

async fn work_off(store: &dyn Store) {
    let new = job(0..HOSTS);

    let begun = Instant::now();
    let id = store.create_job(new, at(0)).await.unwrap();
    print("hosts created", HOSTS as usize, begun.elapsed());
    let all: Vec<Address> = (0..HOSTS).map(address).collect();
    let begun = Instant::now();
    assert_eq!(store.busy(&all).await.unwrap().len(), all.len());
    print("hosts asked whether they are busy", all.len(), begun.elapsed());
    let refusal = store.create_job(job(0..HOSTS), at(0)).await.unwrap_err();
    assert!(matches!(&refusal, StoreError::Conflict(text) if text.contains("and 9999 more")), "{refusal}");

    let begun = Instant::now();
    let rows = store.claim(Take::all(id, "executor")).await.unwrap();
    print("hosts claimed", rows.len(), begun.elapsed());

    // Three events of a hundred hosts a commit: what a writer that groups commits sees with some hundred hosts in flight.
    let courses: Vec<_> = rows.iter().map(|row| (claim_of(row), good_course())).collect();
    let (mut commits, mut events) = (0, 0);
    let begun = Instant::now();
    for group in courses.chunks(100) {
        for part in 0..3 {
            let of_part = |course: &[_]| course.chunks(3).nth(part).map(<[_]>::to_vec).unwrap_or_default();
            let batch: Vec<Write> = group.iter().map(|(claim, course)| host_write(*claim, 1, of_part(course))).collect();
            events += batch.len() * 3;
            commits += 1;
            store.commit(batch).await.unwrap();
        }
    }
    let took = begun.elapsed();
    print("events appended", events, took);
    print("commits", commits, took);

    let begun = Instant::now();
    let row = store.job(id).await.unwrap().unwrap();
    print("jobs asked", 1, begun.elapsed());
    assert_eq!((row.status, row.statistics.success_count), (Status::Success, u64::from(HOSTS)));
    let begun = Instant::now();
    print("host tasks listed", store.tasks(id).await.unwrap().len(), begun.elapsed());
    let begun = Instant::now();
    let read = store.events(id, Seq(0), 1_000_000).await.unwrap().len();
    print("events read", read, begun.elapsed());
    assert_eq!(read, 1 + events);
    let begun = Instant::now();
    let logins = store.kept_logins(&all).await.unwrap().len();
    print("kept logins opened", logins, begun.elapsed());
    assert_eq!(logins, all.len());
    let begun = Instant::now();
    let purged = store.purge_credentials(at(1 + crate::fixture::DAY_S)).await.unwrap();
    print("credentials purged", purged as usize, begun.elapsed());
    assert_eq!(purged, u64::from(HOSTS));
}
