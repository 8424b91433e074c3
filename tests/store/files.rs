//! What only the SQLite backend promises: its files, their modes, their key, and what it says when they are not right.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use landfall::domain::credential::{Auth, Credential};
use landfall::domain::event::EventKind;
use landfall::domain::id::Seq;
use landfall::store::seal::Seal;
use landfall::store::sqlite::SqliteStore;
use landfall::store::{NewHost, Store, StoreError, Take};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, SqliteConnection};

use crate::fixture::{DAY_S, Sqlite, at, claimed, commit, end, host, host_write, job, job_of, kept};

/// Another program's look into the record.
async fn shell(world: &Sqlite) -> SqliteConnection {
    let file = world.directory.path().join("record.db");
    sqlx::sqlite::SqliteConnectOptions::new().filename(file).connect().await.unwrap()
}

async fn change(world: &Sqlite, sql: impl Into<String>) {
    let mut shell = shell(world).await;
    let sql = sql.into();
    let done = sqlx::query(AssertSqlSafe(sql.clone())).execute(&mut shell).await.unwrap();
    assert!(done.rows_affected() > 0, "{sql}");
    shell.close().await.unwrap();
}

fn files_below(directory: &Path) -> Vec<(String, Vec<u8>)> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(files_below(&path));
        } else {
            files.push((path.display().to_string(), std::fs::read(&path).unwrap()));
        }
    }
    files
}

fn contains(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|window| window == text.as_bytes())
}

fn hex(text: &str) -> String {
    text.bytes().map(|byte| format!("{byte:02x}")).collect()
}

#[tokio::test]
async fn no_file_of_the_data_directory_holds_a_secret() {
    let world = Sqlite::new().await;
    let secrets = ["the-password-of-a", "the-pem-of-b", "the-passphrase-of-b", "the-sudo-password-of-b"];
    let mut a = host(0);
    a.credential = Some(Credential { auth: Auth::Password(secrets[0].into()), sudo_password: None });
    let mut b = host(1);
    b.credential = Some(Credential {
        auth: Auth::Key { pem: secrets[1].into(), passphrase: Some(secrets[2].into()) },
        sudo_password: Some(secrets[3].into()),
    });
    let (id, claims) = claimed(&world.store, job_of(vec![a, b])).await;
    let lease = world.store.hold(id).await.unwrap();
    end(&world.store, claims[0], 1).await;
    let files = files_below(world.directory.path());
    for name in ["record.db", "record.db-wal", "key", "jobs/1.lock"] {
        assert!(files.iter().any(|(path, _)| path.ends_with(name)), "{name}");
    }
    assert!(files.iter().any(|(_, bytes)| contains(bytes, "operator")), "the search itself finds what is there");
    for (path, bytes) in &files {
        for secret in secrets {
            assert!(!contains(bytes, secret) && !contains(bytes, &hex(secret)), "{secret} is in {path}");
        }
    }
    drop(lease);
}

#[tokio::test]
async fn a_record_whose_credentials_need_another_key_is_not_opened() {
    let world = Sqlite::new().await;
    world.store.create_job(job(0..2), at(0)).await.unwrap();
    let key_id = Seal::open(&world.directory.path().join("key")).unwrap().key_id();
    std::fs::rename(world.directory.path().join("key"), world.directory.path().join("key.old")).unwrap();
    let refusal = Sqlite::open(world.directory.path().into()).await.unwrap_err();
    assert!(matches!(&refusal, StoreError::Key(text) if text.contains(&key_id)), "{refusal}");
    // With nothing sealed in it, any key will do.
    world.store.purge_credentials(at(8 * 86_400)).await.unwrap();
    Sqlite::open(world.directory.path().into()).await.unwrap();
}

#[tokio::test]
async fn a_credential_that_was_changed_or_moved_does_not_open() {
    for set in [
        "sealed = cast(x'00' || substr(sealed, 2) as blob)",
        "sealed = substr(sealed, 1, length(sealed) - 1)",
        "sealed = x''",
        "nonce = x'00'",
        "(nonce, sealed) = (select nonce, sealed from credential other where other.task_id <> credential.task_id)",
    ] {
        let world = Sqlite::new().await;
        let id = world.store.create_job(job(0..2), at(0)).await.unwrap();
        let of_the_first = "where task_id = (select id from host_task where host_index = 0)";
        change(&world, format!("update credential set {set} {of_the_first}")).await;
        let tasks = world.store.tasks(id).await.unwrap();
        let refusal = world.store.credential(tasks[0].id).await.unwrap_err();
        assert!(matches!(&refusal, StoreError::Corrupt { what } if what.contains(&tasks[0].id.to_string())), "{set}: {refusal}");
        assert!(world.store.credential(tasks[1].id).await.unwrap().is_some(), "the other one opens");
    }
}

/// The sealed secrets as they stand in the record, of small and of large ones.
async fn sealed(world: &Sqlite) -> Vec<Vec<u8>> {
    let mut shell = shell(world).await;
    let rows = sqlx::query_scalar("select sealed from credential").fetch_all(&mut shell).await.unwrap();
    shell.close().await.unwrap();
    rows
}

fn with_key(index: u32, bytes: usize) -> NewHost {
    let pem = char::from(b'a' + index as u8).to_string().repeat(bytes);
    let auth = Auth::Key { pem: pem.into(), passphrase: None };
    NewHost { credential: Some(Credential { auth, sudo_password: None }), ..host(index) }
}

#[track_caller]
fn assert_found(world: &Sqlite, blobs: &[Vec<u8>], expected: bool) {
    let files = files_below(world.directory.path());
    for blob in blobs {
        // A large one is spread over pages: its first bytes are together.
        let begin = &blob[..48];
        let holds = files.iter().find(|(_, bytes)| bytes.windows(begin.len()).any(|window| window == begin));
        assert_eq!(holds.is_some(), expected, "{} bytes in {:?}", blob.len(), holds.map(|(path, _)| path));
        let end = &blob[blob.len() - 48..];
        let holds = files.iter().find(|(_, bytes)| bytes.windows(end.len()).any(|window| window == end));
        assert_eq!(holds.is_some(), expected, "the end of {} bytes in {:?}", blob.len(), holds.map(|(path, _)| path));
    }
}

#[tokio::test]
async fn of_a_purged_credential_no_byte_is_left_in_any_file() {
    let world = Sqlite::new().await;
    let hosts = vec![host(0), with_key(1, 3000), with_key(2, 40_000)];
    let (_, claims) = claimed(&world.store, job_of(hosts)).await;
    let blobs = sealed(&world).await;
    assert_eq!(blobs.len(), 3);
    for claim in claims {
        end(&world.store, claim, 1).await;
    }
    assert_found(&world, &blobs, true);
    assert_eq!(world.store.purge_credentials(at(10 * DAY_S)).await.unwrap(), 3);
    assert_found(&world, &blobs, false);
}

#[tokio::test]
async fn of_what_goes_with_the_end_of_a_host_and_of_what_was_sealed_anew_no_byte_is_left_either() {
    let world = Sqlite::new().await;
    let (id, claims) = claimed(&world.store, job_of(vec![kept(0, 0), with_key(1, 3000)])).await;
    let blobs = sealed(&world).await;
    end(&world.store, claims[0], 1).await;
    let change = world.store.prepare_key().await.unwrap();
    while world.store.reseal(&change, 1).await.unwrap().left > 0 {}
    world.store.retire_key(&change).await.unwrap();
    assert_found(&world, &blobs, false);
    let tasks = world.store.tasks(id).await.unwrap();
    assert!(world.store.credential(tasks[0].id).await.unwrap().is_none());
    assert!(world.store.credential(tasks[1].id).await.unwrap().is_some());
}

#[tokio::test]
async fn an_event_of_an_unknown_version_is_refused_and_named() {
    let world = Sqlite::new().await;
    let (id, claims) = claimed(&world.store, job(0..1)).await;
    commit(&world.store, host_write(claims[0], 1, vec![EventKind::HostStarted])).await;
    change(&world, "update event set version = 2 where seq = 2").await;
    assert_eq!(world.store.events(id, Seq(0), 1).await.unwrap().len(), 1, "what comes before it is readable");
    let refusal = world.store.events(id, Seq(0), 10).await.unwrap_err();
    assert!(matches!(&refusal, StoreError::Corrupt { what } if what.contains("event 2 of job 1 has version 2")), "{refusal}");
}

#[tokio::test]
async fn an_event_kind_of_a_later_release_is_read_as_unknown() {
    let world = Sqlite::new().await;
    let (id, _) = claimed(&world.store, job(0..1)).await;
    change(&world, r#"update event set body = '{"kind": "moon_phase", "phase": 3}'"#).await;
    assert_eq!(world.store.events(id, Seq(0), 10).await.unwrap()[0].kind, EventKind::Unknown);
}

#[tokio::test]
async fn rows_that_make_no_sense_are_corrupt_and_not_a_panic() {
    for sql in [
        "update host_task set status = 'MAYBE'",
        "update host_task set spec = '{'",
        "update host_task set ip = 'nowhere'",
        "update host_task set host_index = -1",
        "update host_task set host_index = 5000000000",
    ] {
        let world = Sqlite::new().await;
        let id = world.store.create_job(job(0..1), at(0)).await.unwrap();
        change(&world, sql).await;
        let refusal = world.store.tasks(id).await.unwrap_err();
        assert!(matches!(refusal, StoreError::Corrupt { .. }), "{sql}: {refusal}");
        let refused = world.store.claim(Take::all(id, "executor")).await.unwrap_err();
        assert!(matches!(refused, StoreError::Corrupt { .. }), "{sql}: {refused}");
        let mut shell = shell(&world).await;
        let epoch: i64 = sqlx::query_scalar("select epoch from host_task").fetch_one(&mut shell).await.unwrap();
        assert_eq!(epoch, 0, "what cannot be read is not claimed");
    }
}

#[tokio::test]
async fn the_files_are_for_their_owner_only() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("made/landfall");
    let store = Sqlite::open(data.clone()).await.unwrap();
    let (id, _) = claimed(&store, job(0..1)).await;
    let _lease = store.hold(id).await.unwrap();
    let mode = |name: &str| std::fs::metadata(data.join(name)).unwrap().permissions().mode() & 0o7777;
    for name in ["record.db", "record.db-wal", "record.db-shm", "key", "jobs/1.lock"] {
        assert_eq!(mode(name), 0o600, "{name}");
    }
    for name in ["", "jobs"] {
        assert_eq!(mode(name), 0o700, "{name}");
    }
}

#[tokio::test]
async fn a_record_that_others_could_read_is_made_private() {
    let world = Sqlite::new().await;
    let file = world.directory.path().join("record.db");
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).unwrap();
    Sqlite::open(world.directory.path().into()).await.unwrap();
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o7777, 0o600);
}

#[tokio::test(flavor = "multi_thread")]
async fn many_may_open_a_new_record_at_once() {
    let directory = tempfile::tempdir().unwrap();
    let opened = (0..8).map(|_| tokio::spawn(Sqlite::open(directory.path().into())));
    let mut stores: Vec<SqliteStore> = Vec::new();
    for store in opened.collect::<Vec<_>>() {
        stores.push(store.await.unwrap().unwrap());
    }
    // And write to it in turn.
    let created = stores.iter().zip(0u32..).map(|(store, index)| store.create_job(job(index..index + 1), at(0)));
    let mut ids: Vec<i64> = Vec::new();
    for id in futures_util::future::join_all(created).await {
        ids.push(id.unwrap().0);
    }
    ids.sort_unstable();
    assert_eq!(ids, (1..=8).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_record_of_a_later_release_is_refused() {
    let world = Sqlite::new().await;
    change(
        &world,
        "insert into _sqlx_migrations (version, description, success, checksum, execution_time) values (9999, 'later', 1, x'00', 1)",
    )
    .await;
    let refusal = Sqlite::open(world.directory.path().into()).await.unwrap_err();
    assert!(matches!(&refusal, StoreError::Corrupt { what } if what.contains("later release")), "{refusal}");
}

#[tokio::test]
async fn what_is_no_record_is_not_overwritten() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("record.db");
    std::fs::write(&file, vec![b'x'; 10_000]).unwrap();
    let refusal = Sqlite::open(directory.path().into()).await.unwrap_err();
    assert!(matches!(refusal, StoreError::Corrupt { .. }), "{refusal}");
    assert_eq!(std::fs::read(&file).unwrap(), vec![b'x'; 10_000]);
    let seal = Seal::open(&directory.path().join("key")).unwrap();
    let refusal = SqliteStore::open(&file.join("record.db"), directory.path(), seal).await.unwrap_err();
    assert!(matches!(refusal, StoreError::Unavailable { .. }), "{refusal}");
}

#[tokio::test]
async fn a_commit_is_on_the_disk_before_it_is_acknowledged() {
    let world = Sqlite::new().await;
    let mut shell = shell(&world).await;
    let journal: String = sqlx::query_scalar("pragma journal_mode").fetch_one(&mut shell).await.unwrap();
    assert_eq!(journal, "wal");
    // The pragma is the connection's own: that the writer's is FULL shows in `strace -f -e fdatasync`, one per commit.
    let ours = "type = 'table' and name not like 'sqlite%' and name not like '_sqlx%'";
    let lax: Vec<String> =
        sqlx::query_scalar(AssertSqlSafe(format!("select name from sqlite_schema where {ours} and sql not like '%strict%'")))
            .fetch_all(&mut shell)
            .await
            .unwrap();
    assert_eq!(lax, Vec::<String>::new());
}
