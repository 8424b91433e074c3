//! Is it the right host?

use std::sync::atomic::Ordering;

use landfall::domain::site::HostKeyPolicy;
use landfall::transport::ssh::SshSettings;
use landfall::transport::{Login, Target, Transport as _, TransportError};
use russh::keys::{Algorithm, EcdsaCurve, HashAlg, PublicKey};

use crate::client::{Client, password, settings, target};
use crate::server::{Server, Ways, new_key, serve};

/// The record's form of a key.
fn line(key: &PublicKey) -> String {
    key.to_openssh().unwrap()
}

fn pin(client: &Client, server: &Server, key: &PublicKey) {
    let target = target(server.address);
    client.record.pins.lock().unwrap().insert((target.address, target.port), line(key));
}

fn pins(client: &Client) -> Vec<String> {
    client.record.pins.lock().unwrap().values().cloned().collect()
}

#[tokio::test]
async fn a_new_key_is_pinned_after_the_login_and_accepted_again() {
    let server = serve(Ways::default()).await;
    let client = Client::new();
    client.session(server.address).await.close().await;
    assert_eq!(pins(&client), [line(&server.host_keys[0])]);
    client.session(server.address).await.close().await;
}

#[tokio::test]
async fn the_key_of_a_host_that_refused_the_login_is_not_pinned() {
    let server = serve(Ways::default()).await;
    let client = Client::new();
    client.fails(server.address, password("guess")).await;
    assert!(pins(&client).is_empty());
}

#[tokio::test]
async fn a_changed_key_is_refused_before_any_secret_is_sent() {
    let server = serve(Ways::default()).await;
    let client = Client::new();
    let before = new_key(Algorithm::Ed25519).public_key().clone();
    pin(&client, &server, &before);
    let error = client.fails(server.address, password("correct horse")).await;
    let TransportError::HostKeyChanged { pinned, offered, .. } = &error else { panic!("{error:?}") };
    assert_eq!(*pinned, before.fingerprint(HashAlg::Sha256).to_string());
    assert_eq!(*offered, server.host_keys[0].fingerprint(HashAlg::Sha256).to_string());
    assert_eq!((server.book.passwords(), server.book.logins.load(Ordering::SeqCst)), (0, 0));
    assert_eq!(pins(&client), [line(&before)], "the pin stays");
}

#[tokio::test]
async fn a_server_with_several_keys_shows_the_pinned_one() {
    let kinds = [Algorithm::Ed25519, Algorithm::Ecdsa { curve: EcdsaCurve::NistP256 }];
    let host_keys = kinds.map(new_key).to_vec();
    let server = serve(Ways { host_keys, ..Ways::default() }).await;
    for key in &server.host_keys {
        let client = Client::new();
        pin(&client, &server, key);
        client.session(server.address).await.close().await;
    }
}

#[tokio::test]
async fn strict_takes_only_what_is_pinned() {
    let server = serve(Ways::default()).await;
    let client = Client::with_policy(HostKeyPolicy::Strict);
    let error = client.fails(server.address, password("correct horse")).await;
    assert!(matches!(error, TransportError::HostKeyUnknown { .. }), "{error:?}");
    assert_eq!(server.book.passwords(), 0);
    pin(&client, &server, &server.host_keys[0]);
    client.session(server.address).await.close().await;
}

#[tokio::test]
async fn off_takes_anything_and_pins_nothing() {
    let server = serve(Ways::default()).await;
    let client = Client::with_policy(HostKeyPolicy::Off);
    pin(&client, &server, new_key(Algorithm::Ed25519).public_key());
    let before = pins(&client);
    client.session(server.address).await.close().await;
    assert_eq!(pins(&client), before);
}

#[tokio::test]
async fn known_hosts_decides_when_it_is_asked() {
    let server = serve(Ways::default()).await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("known_hosts");
    let name = format!("[{}]:{}", server.address.ip(), server.address.port());
    let ours = line(&server.host_keys[0]);
    let other = line(new_key(Algorithm::Ed25519).public_key());
    let client = || {
        let known_hosts = Some(file.clone());
        Client::with(SshSettings { host_keys: HostKeyPolicy::KnownHosts, known_hosts, ..settings() })
    };
    let fails = async || client().fails(server.address, password("correct horse")).await;

    let missing = fails().await;
    assert!(matches!(missing, TransportError::HostKeyRecord { .. }), "{missing:?}");

    std::fs::write(&file, format!("elsewhere {ours}\n")).unwrap();
    let unknown = fails().await;
    assert!(matches!(unknown, TransportError::HostKeyUnknown { .. }), "{unknown:?}");

    std::fs::write(&file, format!("# ours\n{name} {other}\n")).unwrap();
    let changed = fails().await;
    assert!(matches!(changed, TransportError::HostKeyChanged { .. }), "{changed:?}");

    std::fs::write(&file, format!("{name} {ours} with a comment\n")).unwrap();
    client().session(server.address).await.close().await;

    std::fs::write(&file, format!("{name} {ours}\n@revoked * {ours}\n")).unwrap();
    let revoked = fails().await;
    assert!(matches!(revoked, TransportError::HostKeyRevoked { .. }), "{revoked:?}");
    assert_eq!(server.book.passwords(), 1);
}

#[tokio::test]
async fn a_damaged_record_is_not_an_empty_one() {
    let server = serve(Ways::default()).await;
    let client = Client::new();
    let target = target(server.address);
    client.record.pins.lock().unwrap().insert((target.address, target.port), "ssh-ed25519 garbage".into());
    let error = client.fails(server.address, password("correct horse")).await;
    assert!(matches!(error, TransportError::HostKeyRecord { .. }), "{error:?}");
}

/// A target whose key may have changed.
fn anew(server: &Server) -> Target {
    Target { accepts_new_key: true, ..target(server.address) }
}

#[tokio::test]
async fn a_host_that_was_set_up_anew_has_its_new_key_pinned_once_the_login_succeeded() {
    let server = serve(Ways::default()).await;
    let client = Client::new();
    let before = new_key(Algorithm::Ed25519).public_key().clone();
    pin(&client, &server, &before);

    let login = |text: &str| Login { account: "root".into(), auth: password(text) };
    let refused = client.transport.connect(&anew(&server), &login("guess")).await.map(drop).unwrap_err();
    assert!(matches!(refused, TransportError::Refusal { .. }), "{refused:?}");
    assert_eq!(pins(&client), [line(&before)], "whoever does not know the account keeps no key");

    let session = client.transport.connect(&anew(&server), &login("correct horse")).await.expect("a session");
    let replaced = session.replaced_key().expect("the key before");
    let sha256 = |key: &PublicKey| key.fingerprint(HashAlg::Sha256).to_string();
    assert_eq!((replaced.pinned, replaced.shown), (sha256(&before), sha256(&server.host_keys[0])));
    assert_eq!(pins(&client), [line(&server.host_keys[0])]);
    session.close().await;

    let again = client.transport.connect(&anew(&server), &login("correct horse")).await.expect("a session");
    assert_eq!(again.replaced_key(), None, "it is the pinned one now");
    again.close().await;
}

#[tokio::test]
async fn strict_keeps_the_pinned_key_whatever_a_job_says() {
    let server = serve(Ways::default()).await;
    let client = Client::with_policy(HostKeyPolicy::Strict);
    pin(&client, &server, new_key(Algorithm::Ed25519).public_key());
    let login = Login { account: "root".into(), auth: password("correct horse") };
    let error = client.transport.connect(&anew(&server), &login).await.map(drop).unwrap_err();
    assert!(matches!(error, TransportError::HostKeyChanged { .. }), "{error:?}");
    assert_eq!(server.book.passwords(), 0);
}
