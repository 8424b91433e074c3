//! The change of the key that secrets are sealed under: while others work, after being killed, over several machines.

use std::path::Path;

use landfall::domain::credential::{Auth, SecretBytes};
use landfall::domain::id::{JobId, TaskId};
use landfall::store::{KeyChange, Store, StoreError};
use secrecy::ExposeSecret;

use crate::fixture::{PASSWORD, Postgres, Sqlite, at, job};

/// Seals everything anew, `most` secrets a step.
async fn rotate(store: &dyn Store, most: u32) -> KeyChange {
    let change = store.prepare_key().await.unwrap();
    while store.reseal(&change, most).await.unwrap().left > 0 {}
    store.retire_key(&change).await.unwrap();
    change
}

async fn tasks(store: &dyn Store) -> Vec<TaskId> {
    let mut tasks = Vec::new();
    for job in store.jobs(1000).await.unwrap() {
        tasks.extend(store.tasks(job.id).await.unwrap().into_iter().map(|row| row.id));
    }
    tasks
}

/// Every credential of the record opens.
pub(crate) async fn assert_all_open(store: &dyn Store) {
    let tasks = tasks(store).await;
    assert!(!tasks.is_empty());
    for task in tasks {
        let credential = store.credential(task).await.unwrap().expect("it is kept");
        let Auth::Password(password) = credential.auth else { panic!("a key") };
        assert_eq!(password.expose_secret(), PASSWORD);
    }
}

/// Bytes of the key file: as many keys as 32 go into it.
fn keys_in(directory: &Path) -> u64 {
    std::fs::metadata(directory.join("key")).unwrap().len() / 32
}

async fn survives(changing: &dyn Store, serving: &dyn Store, directory: &Path) {
    serving.create_job(job(0..7), at(0)).await.unwrap();
    serving.keep_key_pair("DEFAULT", &b"private".to_vec().into(), at(0)).await.unwrap();
    let change = changing.prepare_key().await.unwrap();
    assert_eq!(keys_in(directory), 2);
    // Prepared is not begun: both still seal under the old key.
    serving.create_job(job(7..8), at(1)).await.unwrap();
    let first = changing.reseal(&change, 3).await.unwrap();
    assert_eq!((first.done, first.left), (4, 5), "three credentials and the key pair");
    assert_all_open(serving).await;
    // Who began under the old key seals under the new one from now on.
    serving.create_job(job(8..10), at(2)).await.unwrap();
    assert_eq!(changing.reseal(&change, 3).await.unwrap().left, 2);
    let early = changing.retire_key(&change).await.unwrap_err();
    assert!(matches!(&early, StoreError::Conflict(text) if text.contains("2 secrets")), "{early}");
    let last = changing.reseal(&change, 3).await.unwrap();
    assert_eq!((last.done, last.left), (2, 0));
    changing.retire_key(&change).await.unwrap();
    assert_eq!(keys_in(directory), 1);
    assert_all_open(serving).await;
    serving.create_job(job(10..11), at(3)).await.unwrap();
    assert_eq!(serving.key_pair("DEFAULT").await.unwrap().unwrap().expose_secret(), b"private");
    // And another one after it.
    let next = rotate(changing, 100).await;
    assert_eq!(next.from, change.to);
    assert_all_open(serving).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_works_on_survives_a_change_of_keys() {
    let world = Sqlite::new().await;
    let directory = world.directory.path();
    let changing = Sqlite::open(directory.into()).await.unwrap();
    survives(&changing, &world.store, directory).await;
    assert_all_open(&Sqlite::open(directory.into()).await.unwrap()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_works_on_over_postgresql_survives_a_change_of_keys() {
    let world = Postgres::new().await;
    let changing = world.again(Postgres::LEASE).await;
    survives(&changing, &world.store, world.directory.path()).await;
    assert_all_open(&world.again(Postgres::LEASE).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_that_come_in_while_keys_are_changed_are_sealed_under_a_key_that_stays() {
    let world = Postgres::new().await;
    let changing = world.again(Postgres::LEASE).await;
    let serving = &world.store;
    serving.create_job(job(0..200), at(0)).await.unwrap();
    let coming = async {
        for index in 200..240 {
            serving.create_job(job(index..index + 1), at(0)).await.unwrap();
        }
    };
    let changes = async {
        for _ in 0..3 {
            rotate(&changing, 20).await;
        }
    };
    tokio::join!(coming, changes);
    assert_eq!(keys_in(world.directory.path()), 1);
    assert_all_open(&world.again(Postgres::LEASE).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_that_change_keys_at_once_do_it_one_after_the_other() {
    let world = Sqlite::new().await;
    let directory = world.directory.path();
    world.store.create_job(job(0..50), at(0)).await.unwrap();
    let (one, other) = (Sqlite::open(directory.into()).await.unwrap(), Sqlite::open(directory.into()).await.unwrap());
    let (first, second) = tokio::join!(rotate(&one, 5), rotate(&other, 5));
    assert!(first.to == second.from || second.to == first.from, "{first:?} {second:?}");
    assert_eq!(keys_in(directory), 1);
    assert_all_open(&world.store).await;
    assert_all_open(&Sqlite::open(directory.into()).await.unwrap()).await;
}

#[tokio::test]
async fn a_machine_without_the_new_key_seals_and_opens_nothing_until_it_has_it() {
    let world = Postgres::new().await;
    let elsewhere = tempfile::tempdir().unwrap();
    let copy = || std::fs::copy(world.directory.path().join("key"), elsewhere.path().join("key")).unwrap();
    copy();
    let other = Postgres::open(&world.url, elsewhere.path(), Postgres::LEASE).await.unwrap();
    let id = other.create_job(job(0..3), at(0)).await.unwrap();
    let change = rotate(&world.store, 100).await;
    let refusal = other.create_job(job(3..4), at(1)).await.unwrap_err();
    assert!(matches!(&refusal, StoreError::Key(text) if text.contains(&change.to)), "{refusal}");
    assert!(other.job(JobId(id.0 + 1)).await.unwrap().is_none(), "a job without its login");
    let task = other.tasks(id).await.unwrap()[0].id;
    assert!(matches!(other.credential(task).await.unwrap_err(), StoreError::Key(_)));
    let stale = other.prepare_key().await.unwrap();
    let refusal = other.reseal(&stale, 10).await.unwrap_err();
    assert!(matches!(refusal, StoreError::Key(_)), "a change under another key file: {refusal}");
    copy();
    other.create_job(job(3..4), at(1)).await.unwrap();
    assert_all_open(&other).await;
}

#[tokio::test]
async fn a_key_that_was_copied_before_it_is_used_is_missed_by_nobody() {
    let world = Postgres::new().await;
    let elsewhere = tempfile::tempdir().unwrap();
    world.store.create_job(job(0..3), at(0)).await.unwrap();
    world.store.prepare_key().await.unwrap();
    std::fs::copy(world.directory.path().join("key"), elsewhere.path().join("key")).unwrap();
    let other = Postgres::open(&world.url, elsewhere.path(), Postgres::LEASE).await.unwrap();
    other.create_job(job(3..4), at(0)).await.unwrap();
    rotate(&world.store, 100).await;
    other.create_job(job(4..5), at(0)).await.unwrap();
    assert_all_open(&other).await;
    assert_all_open(&world.store).await;
}

#[tokio::test]
async fn a_key_pair_is_made_once_whoever_makes_it() {
    let world = Postgres::new().await;
    let others = [world.again(Postgres::LEASE).await, world.again(Postgres::LEASE).await];
    assert!(world.store.key_pair("DEFAULT").await.unwrap().is_none());
    let privates: [SecretBytes; 2] = [b"one".to_vec().into(), b"other".to_vec().into()];
    let (one, other) = tokio::join!(
        others[0].keep_key_pair("DEFAULT", &privates[0], at(0)),
        others[1].keep_key_pair("DEFAULT", &privates[1], at(0)),
    );
    let (one, other) = (one.unwrap(), other.unwrap());
    assert_eq!(one.expose_secret(), other.expose_secret());
    assert_eq!(world.store.key_pair("DEFAULT").await.unwrap().unwrap().expose_secret(), one.expose_secret());
}
