//! The record rules: who lost a claim stops silently, and what cannot be recorded is not claimed.

use std::time::Duration;

use landfall::domain::event::EventKind;
use landfall::domain::job::Status;
use landfall::domain::outcome::Outcome;
use landfall::engine::{Ended, EngineError};
use landfall::store::{Store, Take};
use tokio::time::Instant;

use crate::fake::{Ask, Script};
use crate::world::World;

#[tokio::test(start_paused = true)]
async fn whoever_lost_the_claim_ends_silently_and_writes_nothing_more() {
    let world = World::install(2).await;
    for host in world.hosts() {
        host.runs([Script::takes(50)]);
    }
    let claiming = async {
        tokio::time::sleep(Duration::from_secs(10)).await;
        world.store.claim(Take::all(world.job, "executor")).await.unwrap();
        world.store.journal(world.job).len()
    };
    let (ended, before) = tokio::join!(world.run(), claiming);
    assert_eq!(ended.unwrap(), Ended::Interrupted);
    assert_eq!(world.store.journal(world.job).len(), before);
    assert!((0..2).all(|host| world.record(host).outcome().is_none()));
    world.run().await.unwrap();
    world.all_succeeded().await;
}

#[tokio::test(start_paused = true)]
async fn many_hosts_share_their_transactions() {
    let world = World::install(200).await;
    assert_eq!(world.run().await.unwrap(), Ended::Finished);
    world.all_succeeded().await;
    assert!(world.store.commits() < 100, "{} transactions", world.store.commits());
}

#[tokio::test(start_paused = true)]
async fn two_executors_of_one_job_do_every_host_once() {
    for lead in [0, 100, 1_000, 3_400] {
        let world = World::install(5).await;
        let second = async {
            tokio::time::sleep(Duration::from_millis(lead)).await;
            world.run().await
        };
        let (first, second) = tokio::join!(world.run(), second);
        assert_eq!(second.unwrap(), Ended::Finished, "{lead}");
        first.unwrap();
        world.all_succeeded().await;
        assert!(world.hosts().all(|host| host.history().len() == 1));
    }
}

#[tokio::test(start_paused = true)]
async fn a_record_that_fails_ends_the_run_with_its_error_and_claims_nothing() {
    for nth in 1..100 {
        let world = World::install(2).await;
        world.host(1).latency(Duration::from_millis(170));
        world.store.fail_from(nth);
        let error = match world.run().await {
            Err(error) => error,
            Ok(ended) => {
                assert_eq!(ended, Ended::Finished);
                assert!(world.store.commits() < nth, "a failed commit was passed over");
                world.all_succeeded().await;
                return;
            }
        };
        assert!(matches!(error, EngineError::Journal(_)), "{error:?}");
        assert!(error.to_string().contains("the disk is full"), "{error}");
        let journal = world.store.journal(world.job);
        assert!(!journal.iter().any(|event| matches!(event.kind, EventKind::JobFinished { .. })));
        let failed = |event: &EventKind| matches!(event, EventKind::HostFinished { outcome } if *outcome != Outcome::Succeeded);
        assert!(!journal.iter().any(|event| failed(&event.kind)), "the record's failure is no host's");
        world.store.heal();
        assert_eq!(world.run().await.unwrap(), Ended::Finished);
        world.all_succeeded().await;
        assert!(world.hosts().all(|host| host.history().len() == 1));
    }
    panic!("an install of two hosts needs fewer commits than that");
}

#[tokio::test(start_paused = true)]
async fn a_record_that_fails_lets_go_of_scripts_that_run_for_long() {
    let world = World::install(2).await;
    world.host(0).runs([Script::takes(500)]);
    let failing = async {
        tokio::time::sleep(Duration::from_secs(2)).await;
        world.store.fail_from(0);
        Instant::now()
    };
    let (ended, failed) = tokio::join!(world.run(), failing);
    ended.unwrap_err();
    assert!(failed.elapsed() < Duration::from_secs(10), "{:?}", failed.elapsed());
    world.store.heal();
    world.run().await.unwrap();
    world.all_succeeded().await;
    assert_eq!((world.host(0).history().len(), world.host(0).count(Ask::Kill)), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn a_record_that_cannot_be_read_is_no_hosts_failure() {
    let world = World::install(2).await;
    world.store.fail_logins();
    let error = world.run().await.unwrap_err();
    assert!(error.to_string().contains("read a login"), "{error}");
    assert!((0..2).all(|host| world.record(host).outcome().is_none()));
    world.store.heal();
    assert_eq!(world.run().await.unwrap(), Ended::Finished);
    world.all_succeeded().await;
}

#[tokio::test(start_paused = true)]
async fn a_login_that_was_purged_is_told_as_such() {
    let world = World::install(1).await;
    tokio::time::sleep(Duration::from_secs(8 * 86_400)).await;
    world.store.purge_credentials(world.engine().now()).await.unwrap();
    world.run().await.unwrap();
    assert_eq!(world.failure(0).code, "credential_expired");
    assert_eq!((world.host(0).count(Ask::Connect), world.status().await), (0, Status::Failed));
}
