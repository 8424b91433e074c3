//! Keys that an authority vouches for, and keys that stay with ssh-agent.

use std::sync::atomic::Ordering;

use landfall::domain::credential::Auth;
use landfall::transport::TransportError;
use landfall::transport::ssh::SshSettings;
use russh::keys::agent::client::AgentClient;
use russh::keys::agent::server as agent;
use russh::keys::ssh_key::LineEnding;
use russh::keys::ssh_key::certificate::{Builder, CertType};
use russh::keys::ssh_key::private::RsaKeypair;
use russh::keys::{Algorithm, Certificate, EcdsaCurve, HashAlg, PrivateKey};
use tokio::net::UnixListener;

use crate::client::{Client, settings};
use crate::server::{Ways, new_key, serve};

const FOR_EVER: u64 = 1 << 33;

fn rsa() -> PrivateKey {
    PrivateKey::from(RsaKeypair::random(&mut russh::keys::key::safe_rng(), 2048).unwrap())
}

fn sign(key: &PrivateKey, authority: &PrivateKey, kind: CertType, until: u64) -> Certificate {
    let public = key.public_key().key_data().clone();
    let mut builder = Builder::new_with_random_nonce(&mut russh::keys::key::safe_rng(), public, 1, until).unwrap();
    builder.key_id("somebody").unwrap().cert_type(kind).unwrap().valid_principal("root").unwrap();
    builder.sign(authority).unwrap()
}

/// A key with a certificate behind it, as a job brings them.
fn with(key: &PrivateKey, certificate: &Certificate) -> Auth {
    let pem = format!("{}\n{}\n", *key.to_openssh(LineEnding::LF).unwrap(), certificate.to_openssh().unwrap());
    Auth::Key { pem: pem.into(), passphrase: None }
}

#[tokio::test]
async fn a_certificate_logs_in_where_the_key_alone_is_not_known() {
    let authority = new_key(Algorithm::Ed25519);
    for ours in [new_key(Algorithm::Ed25519), new_key(Algorithm::Ecdsa { curve: EcdsaCurve::NistP384 }), rsa()] {
        let server = serve(Ways { authorities: vec![authority.public_key().clone()], ..Ways::default() }).await;
        let certificate = sign(&ours, &authority, CertType::User, FOR_EVER);
        Client::new().connect(server.address, with(&ours, &certificate)).await.expect("a session").close().await;
        assert_eq!(server.book.passwords(), 0);
    }
}

#[tokio::test]
async fn a_certificate_of_a_stranger_is_refused_once() {
    let (authority, stranger, ours) = (new_key(Algorithm::Ed25519), new_key(Algorithm::Ed25519), new_key(Algorithm::Ed25519));
    let server = serve(Ways { authorities: vec![authority.public_key().clone()], ..Ways::default() }).await;
    let certificate = sign(&ours, &stranger, CertType::User, FOR_EVER);
    let error = Client::new().fails(server.address, with(&ours, &certificate)).await;
    assert!(matches!(error, TransportError::Refusal { method: "key", .. }), "{error:?}");
    assert_eq!(server.book.keys.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_certificate_that_cannot_do_costs_no_connection() {
    let (authority, ours) = (new_key(Algorithm::Ed25519), new_key(Algorithm::Ed25519));
    let server = serve(Ways::default()).await;
    for (certificate, why) in [
        (sign(&ours, &authority, CertType::User, 1_000_000_000), "expired"),
        (sign(&ours, &authority, CertType::Host, FOR_EVER), "a host's"),
        (sign(&authority, &ours, CertType::User, FOR_EVER), "another key's"),
    ] {
        let error = Client::new().fails(server.address, with(&ours, &certificate)).await;
        assert!(matches!(&error, TransportError::KeyUnusable { cause } if cause.contains(why)), "{error:?}");
    }
    assert_eq!(server.book.connections.load(Ordering::SeqCst), 0);
}

#[derive(Clone)]
struct Obliging;
impl agent::Agent for Obliging {}

/// An agent that holds these keys, and a client that knows where it listens.
struct Desk {
    client: Client,
    _folder: tempfile::TempDir,
}

async fn desk(keys: &[PrivateKey]) -> Desk {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("agent");
    let listener = UnixListener::bind(&socket).unwrap();
    let visitors = futures_util::stream::unfold(listener, async |listener| {
        let visitor = listener.accept().await.map(|(stream, _)| stream);
        Some((visitor, listener))
    });
    tokio::spawn(agent::serve(Box::pin(visitors), Obliging));
    let mut owner = AgentClient::connect_uds(&socket).await.unwrap();
    for key in keys {
        owner.add_identity(key, &[]).await.unwrap();
    }
    Desk { client: Client::with(SshSettings { agent: Some(socket), ..settings() }), _folder: folder }
}

fn sha256(key: &PrivateKey) -> String {
    key.public_key().fingerprint(HashAlg::Sha256).to_string()
}

#[tokio::test]
async fn an_agent_signs_with_the_key_that_was_named() {
    for ours in [new_key(Algorithm::Ed25519), rsa()] {
        let server = serve(Ways { authorized: vec![ours.public_key().clone()], ..Ways::default() }).await;
        let desk = desk(&[new_key(Algorithm::Ed25519), ours.clone(), new_key(Algorithm::Ed25519)]).await;
        for name in [sha256(&ours), ours.public_key().to_openssh().unwrap()] {
            desk.client.connect(server.address, Auth::Agent(name)).await.expect("a session").close().await;
        }
        assert_eq!(server.book.keys.load(Ordering::SeqCst), 2, "no other key was offered");
    }
}

#[tokio::test]
async fn the_only_key_of_an_agent_needs_no_name() {
    let ours = new_key(Algorithm::Ed25519);
    let server = serve(Ways { authorized: vec![ours.public_key().clone()], ..Ways::default() }).await;
    let desk = desk(&[ours]).await;
    desk.client.connect(server.address, Auth::Agent(String::new())).await.expect("a session").close().await;
}

#[tokio::test]
async fn an_agent_that_cannot_help_says_why_and_no_host_is_asked() {
    let server = serve(Ways::default()).await;
    let key = || new_key(Algorithm::Ed25519);
    let nobody = Client::with(SshSettings { agent: Some("/no/such/socket".into()), ..settings() });
    let (empty, two) = (desk(&[]).await, desk(&[key(), key()]).await);
    let another = sha256(&key());
    for (client, name, why) in [
        (&Client::new(), "", "SSH_AUTH_SOCK"),
        (&nobody, "", "does not answer"),
        (&empty.client, "", "holds no key"),
        (&two.client, "", "holds 2 keys"),
        (&two.client, another.as_str(), "none of that name"),
    ] {
        let error = client.fails(server.address, Auth::Agent(name.to_owned())).await;
        assert!(matches!(&error, TransportError::KeyUnusable { cause } if cause.contains(why)), "{error:?}");
    }
    assert_eq!(server.book.connections.load(Ordering::SeqCst), 0);
}
