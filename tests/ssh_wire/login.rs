//! Logging in: one method, once.

use std::sync::atomic::Ordering;
use std::time::Duration;

use landfall::domain::barred::Bar;
use landfall::domain::credential::Auth;
use landfall::domain::failure::{Failure, FailureClass, RetryAdvice};
use landfall::domain::plan::Effect;
use landfall::transport::TransportError;
use russh::MethodKind;
use russh::keys::ssh_key::LineEnding;
use russh::keys::ssh_key::private::RsaKeypair;
use russh::keys::{Algorithm, EcdsaCurve, HashAlg, PrivateKey};

use crate::client::{Client, key, password, settings};
use crate::server::{Ways, new_key, serve};

#[tokio::test]
async fn the_right_password_opens_a_session() {
    let server = serve(Ways::default()).await;
    Client::new().session(server.address).await.close().await;
    assert_eq!(server.book.passwords(), 1);
}

#[tokio::test]
async fn a_wrong_password_is_offered_once_and_is_final() {
    let server = serve(Ways::default()).await;
    let error = Client::new().fails(server.address, password("guess")).await;
    assert!(matches!(&error, TransportError::Refusal { method: "password", account, .. } if account == "root"), "{error:?}");
    assert_eq!(server.book.passwords(), 1, "not again by keyboard-interactive");
    assert_eq!(Failure::from(error).retry(Effect::ReadOnly), RetryAdvice::Never);
}

#[tokio::test]
async fn a_server_that_says_goodbye_to_a_wrong_password_allows_no_further_try() {
    // One refused try is allowed, and `none` is one: sshd's MaxAuthTries.
    let server = serve(Ways { tries: 1, ..Ways::default() }).await;
    let error = Client::new().fails(server.address, password("guess")).await;
    assert!(matches!(error, TransportError::Barred { bar: Bar::TooManyFailures, .. }), "{error:?}");
}

#[tokio::test]
async fn a_password_without_a_verdict_is_not_tried_again() {
    let server = serve(Ways { hangs_up: true, ..Ways::default() }).await;
    let error = Client::new().fails(server.address, password("guess")).await;
    assert!(matches!(error, TransportError::Undecided { .. }), "{error:?}");
    let failure = Failure::from(error);
    assert_eq!(failure.class, FailureClass::Unauthenticated);
    assert_eq!(failure.retry(Effect::ReadOnly), RetryAdvice::Never);
}

#[tokio::test]
async fn a_server_that_goes_before_a_secret_was_sent_closed_the_login() {
    let server = serve(Ways { hangs_up: true, ..Ways::default() }).await;
    let error = Client::new().fails(server.address, key(&new_key(Algorithm::Ed25519))).await;
    assert!(matches!(error, TransportError::Closed { phase: "login", .. }), "{error:?}");
}

#[tokio::test]
async fn an_account_that_needs_no_proof_gets_none() {
    let server = serve(Ways { open: true, ..Ways::default() }).await;
    Client::new().session(server.address).await.close().await;
    assert_eq!(server.book.passwords(), 0);
}

#[tokio::test]
async fn keyboard_interactive_takes_the_password_when_it_is_the_only_way() {
    let server = serve(Ways { methods: vec![MethodKind::KeyboardInteractive], ..Ways::default() }).await;
    Client::new().session(server.address).await.close().await;
    assert_eq!(server.book.passwords(), 1);
}

#[tokio::test]
async fn a_wrong_password_is_one_answer_to_keyboard_interactive() {
    let server = serve(Ways { methods: vec![MethodKind::KeyboardInteractive], ..Ways::default() }).await;
    let error = Client::new().fails(server.address, password("guess")).await;
    assert!(matches!(error, TransportError::Refusal { method: "password", .. }), "{error:?}");
    assert_eq!(server.book.passwords(), 1);
}

#[tokio::test]
async fn a_second_question_wants_a_second_proof() {
    let rounds = vec![vec!["Password: "], vec!["One-time code: "]];
    let server = serve(Ways { methods: vec![MethodKind::KeyboardInteractive], rounds, ..Ways::default() }).await;
    let error = Client::new().fails(server.address, password("correct horse")).await;
    assert!(matches!(error, TransportError::Barred { bar: Bar::SecondFactor, .. }), "{error:?}");
    assert_eq!(server.book.passwords(), 1);
}

#[tokio::test]
async fn two_questions_at_once_get_no_password() {
    let rounds = vec![vec!["Password: ", "One-time code: "]];
    let server = serve(Ways { methods: vec![MethodKind::KeyboardInteractive], rounds, ..Ways::default() }).await;
    let error = Client::new().fails(server.address, password("correct horse")).await;
    assert!(matches!(error, TransportError::Barred { bar: Bar::SecondFactor, .. }), "{error:?}");
    assert_eq!(server.book.passwords(), 0);
}

#[tokio::test]
async fn a_password_is_not_sent_where_only_keys_are_taken() {
    let server = serve(Ways { methods: vec![MethodKind::PublicKey], ..Ways::default() }).await;
    let error = Client::new().fails(server.address, password("correct horse")).await;
    let TransportError::MethodNotOffered { method, offered, .. } = &error else { panic!("{error:?}") };
    assert_eq!((*method, offered.as_str()), ("password", "publickey"));
    assert_eq!(server.book.passwords(), 0);
}

#[tokio::test]
async fn keys_of_every_common_kind_log_in() {
    for algorithm in [
        Algorithm::Ed25519,
        Algorithm::Ecdsa { curve: EcdsaCurve::NistP256 },
        Algorithm::Ecdsa { curve: EcdsaCurve::NistP384 },
        Algorithm::Ecdsa { curve: EcdsaCurve::NistP521 },
    ] {
        let ours = new_key(algorithm);
        let server = serve(Ways { authorized: vec![ours.public_key().clone()], ..Ways::default() }).await;
        Client::new().connect(server.address, key(&ours)).await.expect("a session").close().await;
        assert_eq!(server.book.keys.load(Ordering::SeqCst), 1);
    }
}

#[tokio::test]
async fn an_rsa_key_signs_with_sha2_and_is_offered_once() {
    let pair = RsaKeypair::random(&mut russh::keys::key::safe_rng(), 2048).unwrap();
    let ours = PrivateKey::from(pair);
    let server = serve(Ways { authorized: vec![ours.public_key().clone()], ..Ways::default() }).await;
    Client::new().connect(server.address, key(&ours)).await.expect("a session").close().await;
    let stranger = serve(Ways::default()).await;
    let error = Client::new().fails(stranger.address, key(&ours)).await;
    assert!(matches!(error, TransportError::Refusal { method: "key", .. }), "{error:?}");
    assert_eq!([&server, &stranger].map(|server| server.book.keys.load(Ordering::SeqCst)), [1, 1]);
    assert_eq!(*server.book.signatures.lock().unwrap(), [Algorithm::Rsa { hash: Some(HashAlg::Sha512) }]);
}

#[tokio::test]
async fn a_key_that_is_not_authorized_is_refused_and_no_password_follows() {
    let server = serve(Ways::default()).await;
    let error = Client::new().fails(server.address, key(&new_key(Algorithm::Ed25519))).await;
    assert!(matches!(error, TransportError::Refusal { method: "key", .. }), "{error:?}");
    assert_eq!((server.book.keys.load(Ordering::SeqCst), server.book.passwords()), (1, 0));
}

#[tokio::test]
async fn an_encrypted_key_opens_with_its_passphrase_only() {
    let ours = new_key(Algorithm::Ed25519);
    let server = serve(Ways { authorized: vec![ours.public_key().clone()], ..Ways::default() }).await;
    let locked = ours.encrypt(&mut russh::keys::key::safe_rng(), "open sesame").unwrap();
    let pem = locked.to_openssh(LineEnding::LF).unwrap().to_string();
    let auth = |passphrase: Option<&str>| Auth::Key { pem: pem.clone().into(), passphrase: passphrase.map(Into::into) };
    let client = Client::new();
    client.connect(server.address, auth(Some("open sesame"))).await.expect("a session").close().await;
    for passphrase in [None, Some("open barley")] {
        let error = client.fails(server.address, auth(passphrase)).await;
        assert!(matches!(error, TransportError::KeyUnusable { .. }), "{error:?}");
    }
    assert_eq!(server.book.connections.load(Ordering::SeqCst), 1, "an unusable key costs no connection");
}

#[tokio::test]
async fn what_is_not_a_key_is_told_without_its_text() {
    let server = serve(Ways::default()).await;
    for text in ["hunter2", "-----BEGIN OPENSSH PRIVATE KEY-----\nhunter2\n-----END OPENSSH PRIVATE KEY-----\n", ""] {
        let error = Client::new().fails(server.address, Auth::Key { pem: text.into(), passphrase: None }).await;
        assert!(matches!(error, TransportError::KeyUnusable { .. }), "{error:?}");
        assert!(!format!("{error} {error:?}").contains("hunter2"), "{error:?}");
    }
}

#[tokio::test]
async fn an_answer_that_does_not_come_ends_at_the_login_deadline() {
    // One round asks nothing, again and again: the server never decides.
    let rounds = vec![vec![]; 100_000];
    let server = serve(Ways { methods: vec![MethodKind::KeyboardInteractive], rounds, ..Ways::default() }).await;
    let client = Client::with(landfall::transport::ssh::SshSettings { login_timeout: Duration::from_millis(200), ..settings() });
    let error = client.fails(server.address, password("correct horse")).await;
    assert!(matches!(error, TransportError::TimedOut { phase: "login", .. }), "{error:?}");
}
