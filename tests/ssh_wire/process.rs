//! Commands and tunnels on a session.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use bytes::Bytes;
use landfall::domain::outcome::ExitReport;
use landfall::transport::{ForwardError, Output, Session, TransportError};
use sha2::{Digest, Sha256};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use crate::client::{Client, hear, run, settings};
use crate::server::{Server, Ways, serve};

async fn session() -> (Server, Box<dyn Session>) {
    let server = serve(Ways::default()).await;
    let session = Client::new().session(server.address).await;
    (server, session)
}

#[tokio::test]
async fn output_and_exit_code_come_back() {
    let (_server, mut session) = session().await;
    let (told, report) = run(&mut session, "say hello").await.unwrap();
    assert_eq!((told.stdout.as_slice(), report), (b"hello".as_slice(), ExitReport::Code(0)));
    assert_eq!(run(&mut session, "exit 42").await.unwrap().1, ExitReport::Code(42));
}

#[tokio::test]
async fn stdout_and_stderr_stay_apart() {
    let (_server, mut session) = session().await;
    let (told, _) = run(&mut session, "both").await.unwrap();
    assert_eq!((told.stdout.as_slice(), told.stderr.as_slice()), (b"to stdout".as_slice(), b"to stderr".as_slice()));
}

#[tokio::test]
async fn an_end_by_signal_is_told_by_its_name() {
    let (_server, mut session) = session().await;
    for signal in ["KILL", "XCPU@example.org"] {
        let (_, report) = run(&mut session, &format!("killed {signal}")).await.unwrap();
        assert_eq!(report, ExitReport::Signal(signal.into()));
    }
}

#[tokio::test]
async fn a_channel_that_closes_without_a_status_says_so() {
    let (_server, mut session) = session().await;
    assert_eq!(run(&mut session, "mute").await.unwrap().1, ExitReport::NoStatus);
}

#[tokio::test]
async fn output_after_eof_and_after_the_status_is_delivered() {
    let (_server, mut session) = session().await;
    let (told, report) = run(&mut session, "late").await.unwrap();
    assert_eq!(String::from_utf8_lossy(&told.stdout), "after eof, after the status");
    assert_eq!(report, ExitReport::Code(4));
}

#[tokio::test]
async fn output_before_the_answer_to_the_request_is_delivered() {
    let (_server, mut session) = session().await;
    let (told, _) = run(&mut session, "hasty").await.unwrap();
    assert_eq!(String::from_utf8_lossy(&told.stdout), "before the answer, and after it");
}

#[tokio::test]
async fn a_request_without_an_answer_is_a_lost_session() {
    let (_server, mut session) = session().await;
    let error = session.exec("ignore".into()).await.map(drop).unwrap_err();
    assert!(matches!(error, TransportError::Lost { .. }), "{error:?}");
}

#[tokio::test]
async fn a_status_counts_without_a_close_only_when_the_output_was_complete() {
    let (_server, mut session) = session().await;
    assert_eq!(run(&mut session, "cut after-eof").await.unwrap().1, ExitReport::Code(0));
    let (_server, mut session) = self::session().await;
    let error = run(&mut session, "cut").await.unwrap_err();
    assert!(matches!(error, TransportError::Lost { .. }), "{error:?}");
}

#[tokio::test]
async fn the_exit_report_is_told_again_when_asked_again() {
    let (_server, mut session) = session().await;
    let mut process = session.exec("exit 3".into()).await.unwrap();
    for _ in 0..3 {
        assert_eq!(process.next().await.unwrap(), Output::Exit(ExitReport::Code(3)));
    }
}

#[tokio::test]
async fn a_channel_that_stays_open_after_the_status_is_given_up() {
    let (server, mut session) = session().await;
    let begun = Instant::now();
    let (told, report) = run(&mut session, "linger").await.unwrap();
    assert_eq!((told.stdout.as_slice(), report), (b"done".as_slice(), ExitReport::Code(0)));
    assert!(begun.elapsed() < Duration::from_secs(8));
    server.book.reaches(|book| &book.closed, 1).await;
}

#[tokio::test]
async fn a_server_that_runs_nothing_is_told_from_a_lost_one() {
    let (_server, mut session) = session().await;
    let refused = session.exec("refuse".into()).await.map(drop).unwrap_err();
    assert!(matches!(refused, TransportError::NoExec { .. }), "{refused:?}");
    let lost = run(&mut session, "vanish").await.unwrap_err();
    assert!(matches!(&lost, TransportError::Lost { cause, .. } if cause.contains("going down")), "{lost:?}");
    let later = session.exec("say hello".into()).await.map(drop).unwrap_err();
    assert!(matches!(later, TransportError::Lost { .. }), "{later:?}");
}

#[tokio::test]
async fn an_upload_arrives_whole() {
    let (_server, mut session) = session().await;
    let payload: Vec<u8> = (0..5_000_000_u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let mut process = session.exec("sink".into()).await.unwrap();
    process.write(Bytes::from(payload.clone())).await.unwrap();
    process.finish().await.unwrap();
    let (told, report) = hear(&mut process).await.unwrap();
    assert_eq!(told.stdout, Sha256::digest(&payload).to_vec());
    assert!(report.is_success());
}

#[tokio::test]
async fn a_command_that_ends_while_we_write_ends_the_write() {
    let server = serve(Ways { window: 0, ..Ways::default() }).await;
    let client = Client::with(landfall::transport::ssh::SshSettings { progress_timeout: Duration::from_secs(20), ..settings() });
    let mut session = client.session(server.address).await;
    let mut process = session.exec("soon-over".into()).await.unwrap();
    let write = timeout(Duration::from_secs(5), process.write(Bytes::from_static(b"too late"))).await;
    let error = write.expect("it does not hang").unwrap_err();
    assert!(matches!(error, TransportError::Ended), "{error:?}");
    process.finish().await.unwrap();
    assert_eq!(process.next().await.unwrap(), Output::Exit(ExitReport::Code(1)));
}

#[tokio::test]
async fn a_server_that_takes_nothing_stalls_the_write() {
    let server = serve(Ways { window: 0, ..Ways::default() }).await;
    let mut session = Client::new().session(server.address).await;
    let mut process = session.exec("sink".into()).await.unwrap();
    let error = process.write(Bytes::from_static(b"stuck")).await.unwrap_err();
    assert!(matches!(error, TransportError::Stalled(after) if after == settings().progress_timeout), "{error:?}");
}

#[tokio::test]
async fn a_connection_that_goes_while_we_write_is_lost() {
    let server = serve(Ways { window: 0, ..Ways::default() }).await;
    let client = Client::with(landfall::transport::ssh::SshSettings { progress_timeout: Duration::from_secs(20), ..settings() });
    let mut session = client.session(server.address).await;
    let mut process = session.exec("vanish".into()).await.unwrap();
    let error = process.write(Bytes::from_static(b"too late")).await.unwrap_err();
    assert!(matches!(error, TransportError::Lost { .. }), "{error:?}");
}

#[tokio::test]
async fn an_unread_command_does_not_freeze_its_session() {
    let (_server, mut session) = session().await;
    let mut flood = session.exec("flood 640".into()).await.unwrap();
    let begun = Instant::now();
    assert!(run(&mut session, "say still here").await.unwrap().1.is_success());
    assert!(begun.elapsed() < Duration::from_secs(2));
    // The reader who comes too late gets what fitted, and is told.
    let error = hear(&mut flood).await.unwrap_err();
    assert!(matches!(error, TransportError::Overrun), "{error:?}");
    assert!(matches!(flood.next().await.unwrap_err(), TransportError::Overrun));
}

#[tokio::test]
async fn much_output_comes_whole_when_it_is_read() {
    let (_server, mut session) = session().await;
    let (told, report) = run(&mut session, "flood 640").await.unwrap();
    assert_eq!((told.stdout.len(), report), (640 * 32 * 1024, ExitReport::Code(0)));
}

#[tokio::test]
async fn a_dropped_command_closes_its_channel_and_the_session_goes_on() {
    let (server, mut session) = session().await;
    drop(session.exec("hang".into()).await.unwrap());
    server.book.reaches(|book| &book.closed, 1).await;
    assert!(run(&mut session, "say next").await.unwrap().1.is_success());
}

#[tokio::test]
async fn one_place_is_enough_for_commands_one_after_another() {
    let server = serve(Ways { max_sessions: 1, tidies_up: Duration::from_millis(20), ..Ways::default() }).await;
    let mut session = Client::new().session(server.address).await;
    drop(session.exec("hang".into()).await.unwrap());
    for _ in 0..3 {
        assert!(run(&mut session, "say next").await.unwrap().1.is_success());
    }
    assert!(server.book.refused.load(Ordering::SeqCst) > 0, "the server was asked while its place was taken");
}

#[tokio::test]
async fn a_server_without_a_place_is_asked_once() {
    let server = serve(Ways { max_sessions: 0, ..Ways::default() }).await;
    let mut session = Client::new().session(server.address).await;
    let error = session.exec("say hello".into()).await.map(drop).unwrap_err();
    assert!(matches!(error, TransportError::NoChannel { .. }), "{error:?}");
    assert_eq!(server.book.refused.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_command_that_nobody_waits_for_any_more_is_closed_too() {
    let (server, mut session) = session().await;
    for _ in 0..20 {
        // Dropped somewhere between the request and the answer.
        let _ = timeout(Duration::ZERO, session.exec("hang".into())).await;
        tokio::task::yield_now().await;
    }
    assert!(run(&mut session, "say next").await.unwrap().1.is_success());
    let opened = server.book.opened.load(Ordering::SeqCst);
    server.book.reaches(|book| &book.closed, opened - 1).await;
}

#[tokio::test]
async fn a_dropped_session_ends_its_commands() {
    let (_server, mut session) = session().await;
    let mut process = session.exec("hang".into()).await.unwrap();
    drop(session);
    let error = timeout(Duration::from_secs(5), process.next()).await.expect("it does not hang").unwrap_err();
    assert!(matches!(error, TransportError::Lost { .. }), "{error:?}");
}

#[tokio::test]
async fn a_server_may_not_open_channels_to_us() {
    let (_server, mut session) = session().await;
    assert!(run(&mut session, "call-back").await.unwrap().1.is_success());
}

#[tokio::test]
async fn a_tunnel_carries_bytes_both_ways() {
    let (_server, mut session) = session().await;
    let mut tunnel = session.forward("127.0.0.1", 7).await.expect("a tunnel");
    tunnel.write_all(b"echo this").await.unwrap();
    tunnel.shutdown().await.unwrap();
    let mut back = Vec::new();
    tunnel.read_to_end(&mut back).await.unwrap();
    assert_eq!(back, b"echo this");
}

#[tokio::test]
async fn nobody_there_yet_is_told_from_not_allowed() {
    let (_server, mut session) = session().await;
    assert!(matches!(session.forward("127.0.0.1", 1).await.map(drop), Err(ForwardError::NotYet)));
    assert!(matches!(session.forward("127.0.0.1", 2).await.map(drop), Err(ForwardError::NotAllowed(_))));
}

#[tokio::test]
async fn fifty_sessions_run_side_by_side() {
    let server = serve(Ways::default()).await;
    let client = Arc::new(Client::new());
    let sessions = (0..50).map(|i| {
        let (client, to) = (Arc::clone(&client), server.address);
        tokio::spawn(async move {
            let mut session = client.session(to).await;
            let (told, report) = run(&mut session, &format!("say {i}")).await.unwrap();
            session.close().await;
            (String::from_utf8(told.stdout).unwrap(), report)
        })
    });
    for (i, session) in sessions.collect::<Vec<_>>().into_iter().enumerate() {
        assert_eq!(session.await.unwrap(), (i.to_string(), ExitReport::Code(0)));
    }
}
