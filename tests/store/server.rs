//! What only the PostgreSQL backend promises: its address, its server that goes away and comes back, its leases.

use landfall::store::{Store, StoreError};

use crate::fixture::{Postgres, at, job};

#[tokio::test]
async fn a_server_that_is_not_there_is_told_soon_and_without_the_password() {
    let directory = tempfile::tempdir().unwrap();
    let refusal = Postgres::open("postgres://landfall:geheim@127.0.0.1:9/x", directory.path()).await.unwrap_err();
    assert!(matches!(refusal, StoreError::Unavailable { .. }), "{refusal}");
    assert!(!format!("{refusal} {refusal:?}").contains("geheim"), "{refusal:?}");
}

#[tokio::test]
async fn a_record_is_the_same_for_all_who_open_it() {
    let world = Postgres::new().await;
    let id = world.store.create_job(job(0..2), at(0)).await.unwrap();
    let other = Postgres::open(&world.url, world.directory.path()).await.unwrap();
    assert_eq!(other.tasks(id).await.unwrap().len(), 2);
}
