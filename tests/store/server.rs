//! What only the PostgreSQL backend promises: its address, its server that goes away and comes back, its leases, and many
//! executors at once.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use futures_util::future::{join, join_all};
use landfall::domain::event::EventKind;
use landfall::domain::id::{JobId, Seq};
use landfall::store::news::Topic;
use landfall::store::{Claim, Store, StoreError, Take, Which, Written};
use tokio::time::timeout;

use crate::fixture::{DAY_S, Postgres, at, claim_of, claimed, commit, end, host_write, job, job_of, kept};
use crate::postgres::Server;

const SHORT: Duration = Duration::from_millis(1500);

fn note(text: &str) -> Vec<EventKind> {
    vec![EventKind::CancelAsked { reason: text.into() }]
}

#[tokio::test]
async fn a_server_that_is_not_there_is_told_soon_and_without_the_password() {
    let directory = tempfile::tempdir().unwrap();
    let begun = Instant::now();
    let refusal = Postgres::open("postgres://landfall:geheim@127.0.0.1:9/x", directory.path(), SHORT).await.unwrap_err();
    assert!(matches!(refusal, StoreError::Unavailable { .. }), "{refusal}");
    assert!(!format!("{refusal} {refusal:?}").contains("geheim"), "{refusal:?}");
    assert!(begun.elapsed() < Duration::from_secs(5));
}

#[tokio::test(flavor = "multi_thread")]
async fn many_may_open_a_new_database_at_once() {
    let url = Server::shared().await.empty_database().await;
    let directory = tempfile::tempdir().unwrap();
    let opened = join_all((0..6).map(|_| Postgres::open(&url, directory.path(), SHORT))).await;
    for (store, index) in opened.into_iter().zip(0u32..) {
        store.unwrap().create_job(job(index..index + 1), at(0)).await.unwrap();
    }
}

#[tokio::test]
async fn a_record_of_a_later_release_or_another_key_is_refused() {
    let world = Postgres::new().await;
    world.store.create_job(job(0..1), at(0)).await.unwrap();
    let elsewhere = tempfile::tempdir().unwrap();
    let refusal = Postgres::open(&world.url, elsewhere.path(), SHORT).await.unwrap_err();
    assert!(matches!(refusal, StoreError::Key(_)), "{refusal}");
    world
        .change("insert into _sqlx_migrations (version, description, success, checksum, execution_time) values (9999, 'x', true, '', 1)")
        .await;
    let refusal = Postgres::open(&world.url, world.directory.path(), SHORT).await.unwrap_err();
    assert!(matches!(&refusal, StoreError::Corrupt { what } if what.contains("later release")), "{refusal}");
}

#[tokio::test]
async fn rows_that_make_no_sense_are_corrupt_and_not_a_panic() {
    for sql in
        ["update host_task set status = 'MAYBE'", "update host_task set ip = 'nowhere'", "update host_task set host_index = -1"]
    {
        let world = Postgres::new().await;
        let id = world.store.create_job(job(0..1), at(0)).await.unwrap();
        world.change(sql).await;
        let refusal = world.store.claim(Take::all(id, "executor")).await.unwrap_err();
        assert!(matches!(refusal, StoreError::Corrupt { .. }), "{sql}: {refusal}");
        assert_eq!(world.change("update host_task set epoch = 0 where epoch = 0").await, 1, "what cannot be read is not claimed");
    }
}

#[tokio::test]
async fn whoever_can_no_more_renew_a_hold_knows_before_another_may_take_it() {
    let server = Server::own().await;
    let world = Postgres::on(&server).await;
    let store = world.again(SHORT).await;
    let lease = store.hold(JobId(1)).await.unwrap();
    assert!(timeout(SHORT * 2, lease.lost()).await.is_err(), "it is renewed");
    server.stop();
    timeout(SHORT, lease.lost()).await.unwrap();
    server.start();
    // It lets go of it as soon as it can.
    lease.release().await;
    assert_eq!(world.store.holder(JobId(1)).await.unwrap(), None);
}

#[tokio::test]
async fn whoever_finds_a_hold_taken_knows_at_once() {
    let world = Postgres::new().await;
    let store = world.again(SHORT).await;
    let lease = store.hold(JobId(1)).await.unwrap();
    assert_eq!(world.change("update lease set owner = 'another'").await, 1);
    timeout(SHORT / 2, lease.lost()).await.unwrap();
    drop(lease);
    assert_eq!(world.change("update lease set owner = 'another'").await, 1, "what is another's stays");
}

#[tokio::test]
async fn a_hold_that_is_let_go_of_is_free_at_once_for_everybody() {
    let world = Postgres::new().await;
    let other = world.again(Postgres::LEASE).await;
    world.store.hold(JobId(1)).await.unwrap().release().await;
    other.hold(JobId(1)).await.unwrap().release().await;
    let _lease = world.store.hold(JobId(1)).await.unwrap();
}

#[tokio::test]
async fn executors_share_a_job_and_what_a_dead_one_had_is_free_when_its_hold_ends() {
    let world = Postgres::new().await;
    let other = world.again(SHORT).await;
    let id = world.store.create_job(job(0..4), at(0)).await.unwrap();
    let (mine, theirs) = (world.store.join(id).await.unwrap(), other.join(id).await.unwrap());
    assert!(mine.is_shared() && mine.owner() != theirs.owner());
    let refusal = world.store.hold(id).await.unwrap_err();
    assert!(matches!(refusal, StoreError::Held { .. }), "nobody gets it for himself: {refusal}");
    let first = world.store.claim(Take { which: Which::Next(2), ..Take::all(id, mine.owner()) }).await.unwrap();
    let second = other.claim(Take { which: Which::Next(2), ..Take::all(id, theirs.owner()) }).await.unwrap();
    assert_eq!(first.iter().chain(&second).map(|row| row.index).collect::<Vec<_>>(), [0, 1, 2, 3]);
    assert!(world.store.left_over(&[]).await.unwrap().is_empty(), "somebody alive has every host");

    // As if it had been killed: nobody renews, nobody lets go.
    assert_eq!(
        world.change("update lease set expires_at = clock_timestamp() where owner = (select max(owner) from lease)").await,
        1
    );
    assert_eq!(world.store.left_over(&[]).await.unwrap(), [id]);
    let taken = world.store.claim(Take { mine: &[first[0].id, first[1].id], ..Take::all(id, mine.owner()) }).await.unwrap();
    assert_eq!(taken.iter().map(|row| (row.index, row.epoch.0)).collect::<Vec<_>>(), [(2, 2), (3, 2)]);
    let late = host_write(claim_of(&second[0]), 5, note("late"));
    assert_eq!(other.commit(vec![late]).await.unwrap(), [Written::Stale]);
    timeout(SHORT * 3, theirs.lost()).await.unwrap();
}

#[tokio::test]
async fn a_job_that_somebody_holds_for_himself_is_not_joined() {
    let world = Postgres::new().await;
    let other = world.again(SHORT).await;
    let lease = world.store.hold(JobId(1)).await.unwrap();
    let refusal = other.join(JobId(1)).await.unwrap_err();
    assert!(matches!(refusal, StoreError::Held { job: JobId(1), .. }), "{refusal}");
    lease.release().await;
    other.join(JobId(1)).await.unwrap();
}

#[tokio::test]
async fn news_cross_processes() {
    let world = Postgres::new().await;
    let other = world.again(SHORT).await;
    let mut news = other.news();
    timeout(Duration::from_secs(5), news.next(|topic| topic == Topic::Anything)).await.unwrap();
    let id = world.store.create_job(job(0..1), at(0)).await.unwrap();
    let begun = tokio::time::Instant::now();
    news.next(|topic| topic == Topic::Asked(id)).await;
    assert!(begun.elapsed() < news.period(), "it was told, not found");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_executor_that_lost_its_claims_appends_nothing_however_close_it_is() {
    let world = Postgres::new().await;
    let other = world.again(SHORT).await;
    let (id, mut claims) = claimed(&world.store, job(0..4)).await;
    for round in 0..15 {
        let over = AtomicBool::new(false);
        let old = async {
            let mut refused = 0;
            while refused == 0 {
                let begun = over.load(Ordering::SeqCst);
                let batch = claims.iter().map(|claim| host_write(*claim, round, note("old"))).collect();
                let answers = world.store.commit(batch).await.unwrap();
                refused = answers.iter().filter(|answer| **answer == Written::Stale).count();
                assert!(refused == 0 || refused == answers.len(), "a claim takes all hosts or none");
                assert!(!begun || refused > 0, "written after the other one's claim");
            }
        };
        let new = async {
            tokio::time::sleep(Duration::from_millis(3 + round as u64)).await;
            let rows = other.claim(Take::all(id, "executor")).await.unwrap();
            over.store(true, Ordering::SeqCst);
            rows.iter().map(claim_of).collect::<Vec<Claim>>()
        };
        claims = join(old, new).await.1;
    }
    let seqs: Vec<i64> = world.store.events(id, Seq(0), 100_000).await.unwrap().iter().map(|event| event.seq.0).collect();
    assert_eq!(seqs, (1..=seqs.len() as i64).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_who_want_the_same_hosts_one_gets_them_and_the_others_are_told_who() {
    let world = Postgres::new().await;
    let others = join_all((0..4).map(|_| world.again(SHORT))).await;
    for round in 0..5u32 {
        let (from, to) = (round * 300, round * 300 + 300);
        let wanting = others.iter().enumerate().map(|(place, store)| {
            let mut hosts: Vec<_> = (from..to).map(crate::fixture::host).collect();
            if place % 2 == 1 {
                hosts.reverse();
            }
            store.create_job(job_of(hosts), at(0))
        });
        let answers = join_all(wanting).await;
        let [id] = answers.iter().filter_map(|answer| answer.as_ref().ok()).collect::<Vec<_>>()[..] else {
            panic!("{answers:?}")
        };
        for refusal in answers.iter().filter_map(|answer| answer.as_ref().err()) {
            assert!(matches!(refusal, StoreError::Conflict(text) if text.contains(&format!("job {id}"))), "{refusal}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn executors_of_several_jobs_do_not_get_into_each_others_way() {
    let world = Postgres::new().await;
    let others = join_all((0..3).map(|_| world.again(SHORT))).await;
    let working = others.iter().zip(0u32..).map(|(store, place)| async move {
        for round in 0..6u32 {
            let from = place * 1000 + round * 20;
            let (id, claims) = claimed(store, job_of((from..from + 20).map(|index| kept(index, 1)).collect())).await;
            for claim in claims {
                end(store, claim, i64::from(round)).await;
            }
            store.purge_credentials(at(DAY_S + i64::from(round))).await.unwrap();
            assert_eq!(store.job(id).await.unwrap().unwrap().statistics.success_count, 20);
        }
    });
    join_all(working).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_restarts_in_the_middle_of_the_work_loses_and_doubles_nothing() {
    let server = Server::own().await;
    let world = Postgres::on(&server).await;
    let (id, claims) = claimed(&world.store, job(0..4)).await;
    let over = AtomicBool::new(false);
    let working = join_all(claims.iter().map(|claim| async {
        let mut written = 0usize;
        while !over.load(Ordering::SeqCst) {
            commit(&world.store, host_write(*claim, 1, note(&format!("{} {written}", claim.index)))).await;
            written += 1;
        }
        written
    }));
    let restarting = async {
        for round in 0..5 {
            tokio::time::sleep(Duration::from_millis(300 + round * 37)).await;
            tokio::task::block_in_place(|| {
                server.stop();
                server.start();
            });
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
        over.store(true, Ordering::SeqCst);
    };
    let (written, ()) = join(working, restarting).await;
    let events = world.store.events(id, Seq(1), 1_000_000).await.unwrap();
    for (claim, count) in claims.iter().zip(&written) {
        let mut said = events.iter().filter(|event| event.host_index == Some(claim.index)).map(|event| event.kind.clone());
        for number in 0..*count {
            assert_eq!(said.next(), note(&format!("{} {number}", claim.index)).pop(), "of {count}");
        }
        assert_eq!(said.next(), None);
    }
    let seqs: Vec<i64> = events.iter().map(|event| event.seq.0).collect();
    assert_eq!(seqs, (2..2 + seqs.len() as i64).collect::<Vec<_>>());
    assert!(written.iter().sum::<usize>() > 50, "{written:?}");
}
