//! Submissions with a key: recorded once, however often they come and however many come together.

use futures_util::future::join_all;
use landfall::domain::id::JobId;
use landfall::store::{Created, First, Once, Store, StoreError};

use crate::fixture::{DAY_S, at, claimed, end, host, job, job_of};

fn once(app: &str, key: &str, fingerprint: &str) -> Once {
    Once { app: app.into(), key: key.into(), fingerprint: fingerprint.into(), answer: format!("[{fingerprint:?}]") }
}

fn first(job: JobId, fingerprint: &str) -> First {
    First { job, fingerprint: fingerprint.into(), answer: format!("[{fingerprint:?}]") }
}

async fn new(store: &dyn Store, from: u32, once: Once, seconds: i64) -> JobId {
    match store.create_job_once(job(from..from + 1), once, at(seconds)).await.unwrap() {
        Created::New(id) => id,
        Created::Before(first) => panic!("{first:?}"),
    }
}

pub(crate) async fn what_comes_again_with_its_key_finds_the_first_job(store: &dyn Store) {
    let id = new(store, 0, once("shop", "k", "one"), 0).await;
    assert_eq!(store.first_with_key("shop", "k", at(1)).await.unwrap(), Some(first(id, "one")));
    // Whatever it asks for, and though its hosts are busy: the caller tells one from another.
    for fingerprint in ["one", "two"] {
        let again = store.create_job_once(job(0..1), once("shop", "k", fingerprint), at(5)).await.unwrap();
        assert_eq!(again, Created::Before(first(id, "one")));
    }
    // The key of another app is another key.
    assert_eq!(store.first_with_key("", "k", at(1)).await.unwrap(), None);
    let theirs = new(store, 1, once("", "k", "one"), 5).await;
    let other = new(store, 2, once("shop", "K", "one"), 5).await;
    let jobs: Vec<JobId> = store.jobs(10).await.unwrap().iter().map(|row| row.id).collect();
    assert_eq!(jobs, [other, theirs, id]);
}

pub(crate) async fn a_key_counts_for_a_day(store: &dyn Store) {
    let id = new(store, 0, once("", "k", "one"), 0).await;
    assert_eq!(store.purge_keys(at(DAY_S - 1)).await.unwrap(), 0);
    assert_eq!(store.first_with_key("", "k", at(DAY_S - 1)).await.unwrap(), Some(first(id, "one")));
    assert_eq!(store.first_with_key("", "k", at(DAY_S)).await.unwrap(), None);
    // It counts for the next one from then on, whether it was purged or not.
    let next = new(store, 1, once("", "k", "two"), DAY_S).await;
    assert_eq!(store.first_with_key("", "k", at(DAY_S)).await.unwrap(), Some(first(next, "two")));
    assert_eq!(store.purge_keys(at(2 * DAY_S - 1)).await.unwrap(), 0);
    assert_eq!(store.purge_keys(at(2 * DAY_S)).await.unwrap(), 1);
    let third = new(store, 2, once("", "k", "three"), 0).await;
    assert_eq!(store.job(third).await.unwrap().map(|row| row.id), Some(third), "the job outlives the key of another");
}

pub(crate) async fn a_key_of_a_job_that_was_not_recorded_is_free(store: &dyn Store) {
    let (_, claims) = claimed(store, job(0..1)).await;
    let refusal = store.create_job_once(job(0..1), once("", "k", "one"), at(0)).await.unwrap_err();
    assert!(matches!(refusal, StoreError::Conflict(_)), "{refusal}");
    assert_eq!(store.first_with_key("", "k", at(0)).await.unwrap(), None);
    end(store, claims[0], 1).await;
    new(store, 0, once("", "k", "one"), 2).await;
}

pub(crate) async fn of_twins_that_come_together_one_is_recorded(store: &dyn Store) {
    let come = || store.create_job_once(job_of((0..50).map(host).collect()), once("", "k", "one"), at(0));
    let came: Vec<Created> = join_all((0..8).map(|_| come())).await.into_iter().map(Result::unwrap).collect();
    let jobs = store.jobs(10).await.unwrap();
    assert_eq!(jobs.len(), 1);
    let new = came.iter().filter(|created| **created == Created::New(jobs[0].id)).count();
    let before = came.iter().filter(|created| **created == Created::Before(first(jobs[0].id, "one"))).count();
    assert_eq!((new, before), (1, 7), "{came:?}");
}

pub(crate) async fn a_fingerprint_says_nothing_of_the_body(store: &dyn Store) {
    let body = |password: &str| serde_json::json!({"hosts": [{"password": password}]});
    let one = store.fingerprint("install", &body("geheim")).unwrap();
    assert_eq!(one, store.fingerprint("install", &body("geheim")).unwrap());
    assert!(!one.contains("geheim"));
    for other in [store.fingerprint("install", &body("geheim!")).unwrap(), store.fingerprint("operate", &body("geheim")).unwrap()]
    {
        assert_ne!(one, other);
    }
}
