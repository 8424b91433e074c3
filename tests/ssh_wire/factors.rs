//! Two proofs in one login, dialogues in several rounds, and accounts that something else bars.

use std::sync::atomic::Ordering;

use landfall::domain::barred::Bar;
use landfall::domain::failure::{Failure, FailureClass, RetryAdvice};
use landfall::domain::plan::Effect;
use landfall::transport::TransportError;
use russh::MethodKind;
use russh::keys::{Algorithm, PrivateKey};

use crate::client::{Client, key, password};
use crate::server::{Server, Ways, new_key, serve};

const SECOND: &str = "246810";

fn said(server: &Server) -> Vec<String> {
    server.book.said.lock().unwrap().clone()
}

/// A server that takes this key, and then wants more.
async fn after_the_key(ours: &PrivateKey, then: MethodKind) -> Server {
    let (methods, authorized) = (vec![MethodKind::PublicKey], vec![ours.public_key().clone()]);
    // There every answer is that of a later stage.
    serve(Ways { methods, authorized, then: vec![then], ..Ways::default() }).await
}

#[track_caller]
fn assert_bar(error: TransportError, wanted: Bar) {
    let TransportError::Barred { bar, account, .. } = &error else { panic!("{error:?}") };
    assert_eq!((*bar, account.as_str()), (wanted, "root"), "{error:?}");
    let failure = Failure::from(error);
    assert_eq!(failure.class, FailureClass::Unauthenticated);
    assert_eq!(failure.retry(Effect::ReadOnly), RetryAdvice::Never);
}

#[tokio::test]
async fn a_key_and_then_a_password_are_one_login() {
    let ours = new_key(Algorithm::Ed25519);
    for then in [MethodKind::Password, MethodKind::KeyboardInteractive] {
        let server = after_the_key(&ours, then).await;
        let auth = key(&ours).and(Some(SECOND.into()));
        Client::new().connect(server.address, auth).await.expect("a session").close().await;
        assert_eq!(server.book.keys.load(Ordering::SeqCst), 1);
        assert_eq!(said(&server), [SECOND]);
        assert_eq!(server.book.connections.load(Ordering::SeqCst), 1);
    }
}

#[tokio::test]
async fn a_password_may_be_wanted_before_the_key() {
    let ours = new_key(Algorithm::Ed25519);
    let server = serve(Ways {
        methods: vec![MethodKind::Password],
        password: SECOND,
        authorized: vec![ours.public_key().clone()],
        then: vec![MethodKind::PublicKey],
        ..Ways::default()
    })
    .await;
    let auth = key(&ours).and(Some(SECOND.into()));
    Client::new().connect(server.address, auth).await.expect("a session").close().await;
    assert_eq!((server.book.passwords(), server.book.keys.load(Ordering::SeqCst)), (1, 1));
}

#[tokio::test]
async fn a_password_and_then_a_code_are_one_login() {
    let server = serve(Ways {
        methods: vec![MethodKind::Password],
        then: vec![MethodKind::KeyboardInteractive],
        rounds: vec![vec![], vec!["Verification code: "]],
        ..Ways::default()
    })
    .await;
    let auth = password("correct horse").and(Some(SECOND.into()));
    Client::new().connect(server.address, auth).await.expect("a session").close().await;
    assert_eq!(said(&server), ["correct horse", SECOND]);
}

#[tokio::test]
async fn a_code_and_a_password_go_to_the_questions_that_ask_for_them_in_whatever_order() {
    for rounds in [
        vec![vec!["Password: "], vec!["Verification code: "]],
        vec![vec!["Verification code: "], vec!["Password: "]],
        vec![vec![], vec!["Verification code: ", "Password: "], vec![]],
    ] {
        let server = serve(Ways { methods: vec![MethodKind::KeyboardInteractive], rounds, ..Ways::default() }).await;
        let auth = password("correct horse").and(Some(SECOND.into()));
        Client::new().connect(server.address, auth).await.expect("a session").close().await;
        assert_eq!(server.book.passwords(), 2);
    }
}

#[tokio::test]
async fn whoever_has_one_proof_is_told_that_two_are_wanted() {
    let ours = new_key(Algorithm::Ed25519);
    let server = after_the_key(&ours, MethodKind::Password).await;
    let error = Client::new().fails(server.address, key(&ours)).await;
    assert!(error.to_string().contains("(offered: password)"), "{error}");
    assert_bar(error, Bar::SecondFactor);
    assert_eq!(server.book.passwords(), 0);
}

#[tokio::test]
async fn a_code_is_never_answered_by_the_password() {
    let rounds = vec![vec!["Verification code: "]];
    let server = serve(Ways { methods: vec![MethodKind::KeyboardInteractive], rounds, ..Ways::default() }).await;
    let error = Client::new().fails(server.address, password("correct horse")).await;
    assert!(error.to_string().contains("Verification code"), "{error}");
    assert_bar(error, Bar::SecondFactor);
    assert_eq!(server.book.passwords(), 0);
}

#[tokio::test]
async fn a_refused_key_is_final_and_the_second_proof_stays_at_home() {
    let server = serve(Ways::default()).await;
    let auth = key(&new_key(Algorithm::Ed25519)).and(Some("correct horse".into()));
    let error = Client::new().fails(server.address, auth).await;
    assert!(matches!(error, TransportError::Refusal { method: "key", .. }), "{error:?}");
    assert_eq!(server.book.passwords(), 0);
}

#[tokio::test]
async fn a_wrong_second_password_is_called_that_and_goes_out_once() {
    let ours = new_key(Algorithm::Ed25519);
    for then in [MethodKind::Password, MethodKind::KeyboardInteractive] {
        let server = after_the_key(&ours, then).await;
        let error = Client::new().fails(server.address, key(&ours).and(Some("guess".into()))).await;
        assert!(matches!(error, TransportError::Refusal { method: "second password", .. }), "{error:?}");
        assert_eq!(Failure::from(error).code, "password_refused");
        assert_eq!(server.book.passwords(), 1);
    }
}

#[tokio::test]
async fn the_same_question_again_is_a_refusal() {
    let rounds = vec![vec!["Password: "], vec!["Password: "]];
    let server = serve(Ways { methods: vec![MethodKind::KeyboardInteractive], rounds, ..Ways::default() }).await;
    let error = Client::new().fails(server.address, password("correct horse").and(Some(SECOND.into()))).await;
    assert!(matches!(error, TransportError::Refusal { method: "password", .. }), "{error:?}");
    assert_eq!(said(&server), ["correct horse"]);
}

#[tokio::test]
async fn nobody_chooses_a_new_password_for_somebody_else() {
    let rounds = vec![vec!["Password: "], vec!["Current password: "], vec!["New password: "]];
    let server = serve(Ways { methods: vec![MethodKind::KeyboardInteractive], rounds, ..Ways::default() }).await;
    let error = Client::new().fails(server.address, password("correct horse").and(Some(SECOND.into()))).await;
    assert_bar(error, Bar::PasswordExpired);
    assert_eq!(said(&server), ["correct horse"]);
}

#[tokio::test]
async fn what_the_server_tells_in_a_dialogue_says_what_bars_the_account_and_no_answer_goes_out() {
    let tells = "The account is locked due to 3 failed logins.\n(10 minutes left to unlock)";
    let server = serve(Ways { methods: vec![MethodKind::KeyboardInteractive], tells, ..Ways::default() }).await;
    let error = Client::new().fails(server.address, password("guess")).await;
    assert!(error.to_string().contains("10 minutes left to unlock"), "{error}");
    assert_bar(error, Bar::AccountLocked);
    assert_eq!(server.book.passwords(), 0);
}

#[tokio::test]
async fn a_banner_that_warns_everybody_bars_nobody() {
    let banner = "Your account has been locked? Call 1234.\n".to_owned();
    let server = serve(Ways { banner, ..Ways::default() }).await;
    let error = Client::new().fails(server.address, password("guess")).await;
    assert!(matches!(error, TransportError::Refusal { .. }), "{error:?}");
}
