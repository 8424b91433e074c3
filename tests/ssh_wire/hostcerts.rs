//! Certificates of hosts, and keys that are revoked: what a known_hosts file says with its markers.

use std::net::SocketAddr;

use landfall::domain::failure::{Failure, FailureClass};
use landfall::domain::site::HostKeyPolicy;
use landfall::transport::TransportError;
use landfall::transport::ssh::SshSettings;
use russh::keys::ssh_key::certificate::{Builder, CertType};
use russh::keys::ssh_key::private::RsaKeypair;
use russh::keys::{Algorithm, Certificate, EcdsaCurve, PrivateKey, PublicKey};

use crate::client::{Client, password, settings};
use crate::server::{Server, Ways, new_key, serve};

/// What a certificate says.
#[derive(Clone, Copy)]
struct Says {
    principal: &'static str,
    kind: CertType,
    /// Seconds since 1970.
    until: u64,
}

/// What is right for a server of these tests.
const RIGHT: Says = Says { principal: "127.0.0.*", kind: CertType::Host, until: 1 << 33 };

fn sign(key: &PrivateKey, authority: &PrivateKey, says: Says) -> Certificate {
    let public = key.public_key().key_data().clone();
    let mut rng = russh::keys::key::safe_rng();
    let mut builder = Builder::new_with_random_nonce(&mut rng, public, 1, says.until).unwrap();
    builder.key_id("host").unwrap().cert_type(says.kind).unwrap().valid_principal(says.principal).unwrap();
    builder.sign(authority).unwrap()
}

/// A server whose key this authority signed.
async fn certified(key: PrivateKey, authority: &PrivateKey, says: Says) -> Server {
    let certificates = vec![sign(&key, authority, says)];
    serve(Ways { host_keys: vec![key], certificates, ..Ways::default() }).await
}

fn text(key: &PublicKey) -> String {
    key.to_openssh().unwrap()
}

/// A client with a known_hosts file.
struct Knowing {
    client: Client,
    _folder: tempfile::TempDir,
}

fn knowing(host_keys: HostKeyPolicy, lines: &str) -> Knowing {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("known_hosts");
    std::fs::write(&file, lines).unwrap();
    let client = Client::with(SshSettings { host_keys, known_hosts: Some(file), ..settings() });
    Knowing { client, _folder: folder }
}

impl Knowing {
    async fn enters(&self, address: SocketAddr) {
        self.client.session(address).await.close().await;
    }

    async fn fails(&self, address: SocketAddr) -> TransportError {
        self.client.fails(address, password("correct horse")).await
    }

    fn pins(&self) -> usize {
        self.client.record.pins.lock().unwrap().len()
    }
}

#[tokio::test]
async fn an_authority_vouches_for_hosts_of_every_kind_of_key_and_none_is_pinned() {
    let authority = new_key(Algorithm::Ed25519);
    let line = format!("@cert-authority 127.0.* {}\n", text(authority.public_key()));
    let rsa = PrivateKey::from(RsaKeypair::random(&mut russh::keys::key::safe_rng(), 2048).unwrap());
    let keys = [new_key(Algorithm::Ed25519), new_key(Algorithm::Ecdsa { curve: EcdsaCurve::NistP256 }), rsa];
    for key in keys {
        let server = certified(key, &authority, RIGHT).await;
        for policy in [HostKeyPolicy::AcceptNew, HostKeyPolicy::Strict, HostKeyPolicy::KnownHosts] {
            let knowing = knowing(policy, &line);
            knowing.enters(server.address).await;
            assert_eq!(knowing.pins(), 0, "{policy:?}");
        }
    }
}

#[tokio::test]
async fn a_certificate_that_does_not_do_is_refused_with_its_flaw_before_any_secret_is_sent() {
    let authority = new_key(Algorithm::Ed25519);
    let line = format!("@cert-authority * {}\n", text(authority.public_key()));
    for (says, flaw) in [
        (Says { until: 1_000_000_000, ..RIGHT }, "expired"),
        (Says { principal: "10.0.0.1", ..RIGHT }, "principals"),
        (Says { kind: CertType::User, ..RIGHT }, "user's"),
    ] {
        let server = certified(new_key(Algorithm::Ed25519), &authority, says).await;
        let error = knowing(HostKeyPolicy::AcceptNew, &line).fails(server.address).await;
        assert!(matches!(&error, TransportError::HostCertificate { flaw: said, .. } if said.contains(flaw)), "{error:?}");
        let failure = Failure::from(error);
        assert_eq!((failure.class, failure.code.as_ref()), (FailureClass::HostKey, "host_certificate"));
        assert_eq!(server.book.passwords(), 0);
    }
}

#[tokio::test]
async fn a_certificate_of_a_stranger_is_worth_the_key_in_it() {
    let (ours, stranger) = (new_key(Algorithm::Ed25519), new_key(Algorithm::Ed25519));
    let server = certified(new_key(Algorithm::Ed25519), &stranger, RIGHT).await;
    let line = format!("@cert-authority * {}\n", text(ours.public_key()));
    let error = knowing(HostKeyPolicy::KnownHosts, &line).fails(server.address).await;
    assert!(matches!(error, TransportError::HostKeyUnknown { .. }), "{error:?}");
    let first = knowing(HostKeyPolicy::AcceptNew, &line);
    first.enters(server.address).await;
    assert_eq!(first.pins(), 1, "as on every first visit");
}

#[tokio::test]
async fn a_server_without_a_certificate_is_still_known_by_its_key() {
    let authority = new_key(Algorithm::Ed25519);
    let server = serve(Ways::default()).await;
    let name = format!("[{}]:{}", server.address.ip(), server.address.port());
    let lines = format!("@cert-authority * {}\n{name} {}\n", text(authority.public_key()), text(&server.host_keys[0]));
    knowing(HostKeyPolicy::KnownHosts, &lines).enters(server.address).await;
}

#[tokio::test]
async fn a_revoked_key_is_refused_whoever_vouches_for_it() {
    let authority = new_key(Algorithm::Ed25519);
    let server = certified(new_key(Algorithm::Ed25519), &authority, RIGHT).await;
    let trust = format!("@cert-authority * {}\n", text(authority.public_key()));
    for bad in [text(authority.public_key()), text(&server.host_keys[0])] {
        for policy in [HostKeyPolicy::AcceptNew, HostKeyPolicy::Strict, HostKeyPolicy::KnownHosts] {
            let error = knowing(policy, &format!("{trust}@revoked * {bad}\n")).fails(server.address).await;
            assert!(matches!(error, TransportError::HostKeyRevoked { .. }), "{policy:?}: {error:?}");
            assert_eq!(Failure::from(error).code, "host_key_revoked");
        }
    }
    assert_eq!(server.book.passwords(), 0);
}
