//! Servers that speak SSH and lie: every lie ends in a typed error, in time, and no password goes out twice.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use bytes::Bytes;
use landfall::domain::failure::{Failure, RetryAdvice};
use landfall::domain::outcome::ExitReport;
use landfall::domain::plan::Effect;
use landfall::transport::TransportError;
use landfall::transport::ssh::SshSettings;
use russh::keys::HashAlg;
use sha2::{Digest, Sha256};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;

use crate::client::{Client, hear, password, run, settings};
use crate::server::{Lie, Server, Ways, says, serve};

/// No lie is listened to for longer.
const PATIENCE: Duration = Duration::from_secs(3);

/// Deadlines that pass while a test waits.
fn short() -> Client {
    let (connect_timeout, login_timeout) = (Duration::from_secs(1), Duration::from_millis(300));
    Client::with(SshSettings { connect_timeout, login_timeout, ..settings() })
}

async fn liar(lie: Lie) -> Server {
    serve(Ways { lie: Some(lie), ..Ways::default() }).await
}

/// What a host task makes of an error: its code, and whether it tries again.
fn seen(error: TransportError) -> (String, bool) {
    let failure = Failure::from(error);
    (failure.code.to_string(), failure.retry(Effect::Idempotent) != RetryAdvice::Never)
}

/// How the first command on a session fails.
async fn first_command(client: &Client, server: &Server) -> TransportError {
    let mut session = client.session(server.address).await;
    match run(&mut session, "say hello").await {
        Ok((told, report)) => panic!("{told:?}, {report}"),
        Err(error) => error,
    }
}

#[tokio::test]
async fn a_server_that_leaves_after_the_login_is_lost_and_worth_another_try() {
    let server = liar(Lie::LeavesAfterLogin).await;
    let error = first_command(&short(), &server).await;
    assert!(matches!(&error, TransportError::Lost { cause, .. } if cause.contains("no room")), "{error:?}");
    assert_eq!(seen(error), ("connection_lost".into(), true));
    assert_eq!((server.book.passwords(), server.book.logins.load(Ordering::SeqCst)), (1, 1));
}

#[tokio::test]
async fn a_server_that_answers_no_login_times_out_before_it_gets_a_password() {
    let server = liar(Lie::IgnoresLogins).await;
    let begun = Instant::now();
    let error = short().fails(server.address, password("correct horse")).await;
    assert!(matches!(error, TransportError::TimedOut { phase: "login", .. }), "{error:?}");
    assert_eq!(seen(error), ("connect_timeout".into(), true));
    assert_eq!(server.book.passwords(), 0);
    assert!(begun.elapsed() < PATIENCE);
}

#[tokio::test]
async fn a_password_without_a_verdict_is_given_up_in_time_and_offered_no_second_time() {
    let server = liar(Lie::IgnoresPasswords).await;
    let begun = Instant::now();
    let error = short().fails(server.address, password("correct horse")).await;
    assert!(matches!(error, TransportError::Undecided { .. }), "{error:?}");
    assert_eq!(seen(error), ("login_undecided".into(), false));
    assert_eq!(server.book.passwords(), 1);
    assert!(begun.elapsed() < PATIENCE);
}

#[tokio::test]
async fn a_server_that_opens_no_channel_and_says_nothing_is_lost() {
    let server = liar(Lie::IgnoresChannels).await;
    let begun = Instant::now();
    let error = first_command(&short(), &server).await;
    assert!(matches!(&error, TransportError::Lost { cause, .. } if cause.contains("no answer")), "{error:?}");
    assert_eq!(seen(error), ("connection_lost".into(), true));
    assert!(begun.elapsed() < PATIENCE);
}

#[tokio::test]
async fn a_server_that_refuses_every_channel_may_have_a_place_later() {
    let server = serve(Ways { max_sessions: 0, ..Ways::default() }).await;
    let error = first_command(&short(), &server).await;
    assert_eq!(seen(error), ("no_channel".into(), true));
}

#[tokio::test]
async fn a_server_that_runs_nothing_is_not_asked_again() {
    let server = serve(Ways::default()).await;
    let mut session = short().session(server.address).await;
    let error = session.exec("refuse".into()).await.map(drop).unwrap_err();
    assert_eq!(seen(error), ("no_shell".into(), false));
}

#[tokio::test]
async fn another_host_key_the_second_time_is_refused_before_the_password_goes_out() {
    let server = liar(Lie::ChangesKey).await;
    let client = short();
    client.session(server.address).await.close().await;
    for _ in 0..2 {
        let error = client.fails(server.address, password("correct horse")).await;
        let TransportError::HostKeyChanged { pinned, offered, .. } = &error else { panic!("{error:?}") };
        assert_eq!(*pinned, server.host_keys[0].fingerprint(HashAlg::Sha256).to_string());
        assert_ne!(pinned, offered);
        assert_eq!(seen(error), ("host_key_changed".into(), false));
    }
    assert_eq!((server.book.connections.load(Ordering::SeqCst), server.book.passwords()), (3, 1));
}

#[tokio::test]
async fn the_first_of_two_exit_statuses_counts() {
    let server = serve(Ways::default()).await;
    let mut session = short().session(server.address).await;
    assert_eq!(run(&mut session, "twice").await.unwrap().1, ExitReport::Code(3));
}

#[tokio::test]
async fn tiny_windows_and_packets_carry_an_upload_whole() {
    let payload: Vec<u8> = (0..3_000_u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    for (window, packet) in [(2, 32 * 1024), (7, 3), (64, 1), (2 * 1024 * 1024, 1), (64, 64)] {
        let server = serve(Ways { window, packet, ..Ways::default() }).await;
        // A window of two bytes moves them by the hundred a second, on a busy machine with pauses.
        let patient = Client::with(SshSettings { progress_timeout: Duration::from_secs(10), ..settings() });
        let mut session = patient.session(server.address).await;
        let mut process = session.exec("sink".into()).await.unwrap();
        process.write(Bytes::from(payload.clone())).await.unwrap_or_else(|error| panic!("{window} {packet}: {error}"));
        process.finish().await.unwrap();
        let (told, report) = hear(&mut process).await.unwrap();
        assert_eq!(told.stdout, Sha256::digest(&payload).to_vec(), "{window} {packet}");
        assert!(report.is_success());
    }
}

#[tokio::test]
async fn packets_without_room_for_a_byte_end_the_write() {
    let server = serve(Ways { packet: 0, ..Ways::default() }).await;
    let mut session = short().session(server.address).await;
    let begun = Instant::now();
    let sent = async {
        let mut process = session.exec("sink".into()).await?;
        process.write(Bytes::from_static(b"stuck")).await?;
        // What was queued meets the size of packets a moment later.
        hear(&mut process).await
    };
    let error = sent.await.expect_err("nothing can be sent");
    assert_eq!(seen(error), ("connection_lost".into(), true));
    assert!(begun.elapsed() < PATIENCE);
}

#[tokio::test]
async fn a_huge_banner_is_no_hindrance() {
    let banner = "All activity on this system is logged.\r\n".repeat(5_000);
    let server = serve(Ways { banner, ..Ways::default() }).await;
    let mut session = short().session(server.address).await;
    assert!(run(&mut session, "say hello").await.unwrap().1.is_success());
}

#[tokio::test]
async fn a_banner_that_no_packet_can_hold_ends_the_login_without_a_password() {
    let server = serve(Ways { banner: "x".repeat(2_000_000), ..Ways::default() }).await;
    let begun = Instant::now();
    let error = short().fails(server.address, password("correct horse")).await;
    assert!(matches!(error, TransportError::Closed { phase: "login", .. }), "{error:?}");
    assert_eq!((seen(error), server.book.passwords()), (("connection_closed".into(), true), 0));
    assert!(begun.elapsed() < PATIENCE);
}

#[tokio::test]
async fn a_version_that_is_too_long_is_none() {
    let words: &'static [u8] = format!("SSH-2.0-{}\r\n", "x".repeat(5_000)).leak().as_bytes();
    let (address, task) = says(words, false).await;
    let begun = Instant::now();
    let error = short().fails(address, password("correct horse")).await;
    assert!(matches!(error, TransportError::NotSsh { .. }), "{error:?}");
    assert!(begun.elapsed() < PATIENCE);
    task.abort();
}

#[tokio::test]
async fn a_server_that_never_stops_talking_is_cut_short() {
    for words in ["Welcome to example.org\r\n", "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let talking = tokio::spawn(async move {
            let (mut socket, _) = listener.accept().await.unwrap();
            while socket.write_all(words.as_bytes()).await.is_ok() {}
        });
        let begun = Instant::now();
        let error = short().fails(address, password("correct horse")).await;
        assert!(matches!(&error, TransportError::NotSsh { cause, .. } if cause.len() < 300), "{error:?}");
        assert!(begun.elapsed() < PATIENCE);
        talking.await.unwrap();
    }
}
