//! A good server behind a way that breaks (`tests/support/proxy.rs`): at the greeting, at the login, under a command.
//!
//! What a host task makes of a broken way at each of its steps is told by `tests/faults`, with real hosts.

use std::time::{Duration, Instant};

use bytes::Bytes;
use landfall::domain::failure::{Failure, FailureClass};
use landfall::domain::outcome::ExitReport;
use landfall::transport::TransportError;
use landfall::transport::ssh::SshSettings;

use crate::client::{Client, hear, password, run, settings};
use crate::proxy::{End, Fault, Proxy};
use crate::server::{Lie, Server, Ways, serve};

/// The faults that end a connection.
const ENDS: [Fault; 5] = [
    Fault::Cut,
    Fault::HalfClose(End::Client),
    Fault::HalfClose(End::Server),
    Fault::Corrupt(End::Client),
    Fault::Corrupt(End::Server),
];

/// Nobody waits longer for a broken way.
const PATIENCE: Duration = Duration::from_secs(8);

const KEEPALIVE: Duration = Duration::from_millis(400);

async fn behind(ways: Ways) -> (Server, Proxy) {
    let server = serve(ways).await;
    let proxy = Proxy::before(server.address).await;
    (server, proxy)
}

fn client() -> Client {
    Client::with(SshSettings {
        connect_timeout: Duration::from_secs(1),
        login_timeout: Duration::from_millis(500),
        keepalive: KEEPALIVE,
        progress_timeout: Duration::from_secs(4),
        ..settings()
    })
}

#[tokio::test]
async fn a_way_that_breaks_in_the_handshake_leaves_the_host_unreachable_for_now() {
    let codes = [
        (Fault::Cut, "connection_closed"),
        (Fault::Stall, "connect_timeout"),
        (Fault::HalfClose(End::Client), "connection_closed"),
        (Fault::HalfClose(End::Server), "connection_closed"),
        (Fault::Corrupt(End::Client), "handshake_garbled"),
        // The host signs what it has heard, and that is not what was said.
        (Fault::Corrupt(End::Server), "handshake_garbled"),
    ];
    for (fault, code) in codes {
        let (server, proxy) = behind(Ways::default()).await;
        let begun = Instant::now();
        // In the client's list of algorithms.
        proxy.arm(fault, 100);
        let failure = Failure::from(client().fails(proxy.address, password("correct horse")).await);
        assert_eq!((failure.code.as_ref(), server.book.passwords()), (code, 0), "{fault}: {failure}");
        assert_eq!(failure.class, FailureClass::Unreachable, "{fault}");
        assert!(begun.elapsed() < PATIENCE, "{fault}");
        client().session(proxy.address).await.close().await;
        assert_eq!((proxy.struck(), proxy.connections()), (1, 2), "{fault}");
    }
}

#[tokio::test]
async fn a_way_that_breaks_under_a_password_leaves_the_login_undecided() {
    for fault in ENDS.into_iter().chain([Fault::Stall]) {
        let (server, proxy) = behind(Ways { lie: Some(Lie::IgnoresPasswords), ..Ways::default() }).await;
        let begun = Instant::now();
        let breaking = async {
            server.book.reaches(|book| &book.passwords, 1).await;
            proxy.strike(fault);
        };
        let client = client();
        let (error, ()) = tokio::join!(client.fails(proxy.address, password("correct horse")), breaking);
        assert!(matches!(error, TransportError::Undecided { .. }), "{fault}: {error:?}");
        assert_eq!(server.book.passwords(), 1, "{fault}");
        assert!(begun.elapsed() < PATIENCE, "{fault}");
    }
}

#[tokio::test]
async fn a_way_that_breaks_under_a_command_is_lost_and_the_command_has_no_end() {
    for fault in ENDS.into_iter().chain([Fault::Stall]) {
        let (_server, proxy) = behind(Ways::default()).await;
        let mut session = client().session(proxy.address).await;
        let mut process = session.exec("hang".into()).await.unwrap();
        let begun = Instant::now();
        proxy.strike(fault);
        let error = hear(&mut process).await.unwrap_err();
        assert!(matches!(error, TransportError::Lost { .. }), "{fault}: {error:?}");
        let later = session.exec("say hello".into()).await.map(drop).unwrap_err();
        assert!(matches!(later, TransportError::Lost { .. }), "{fault}: {later:?}");
        assert!(begun.elapsed() < PATIENCE, "{fault}");
    }
}

#[tokio::test]
async fn a_silent_way_is_asked_for_a_sign_of_life_and_given_up_after_three_intervals() {
    let (_server, proxy) = behind(Ways::default()).await;
    let mut session = client().session(proxy.address).await;
    let mut process = session.exec("hang".into()).await.unwrap();
    // A live server answers as often as it is asked.
    assert!(tokio::time::timeout(5 * KEEPALIVE, process.next()).await.is_err());
    let begun = Instant::now();
    proxy.strike(Fault::Stall);
    let error = process.next().await.unwrap_err();
    assert!(matches!(&error, TransportError::Lost { cause, .. } if cause.contains("keepalive")), "{error:?}");
    let silence = begun.elapsed();
    // The last sign may have come just after it was asked for.
    assert!((2 * KEEPALIVE..8 * KEEPALIVE).contains(&silence), "{silence:?}");
}

#[tokio::test]
async fn a_way_that_stalls_under_an_upload_stalls_the_write_and_nothing_waits_for_it() {
    let (_server, proxy) = behind(Ways::default()).await;
    let client = Client::with(SshSettings { progress_timeout: Duration::from_millis(300), ..settings() });
    let mut session = client.session(proxy.address).await;
    let mut process = session.exec("sink".into()).await.unwrap();
    proxy.arm(Fault::Stall, 1_000_000);
    let begun = Instant::now();
    let error = process.write(Bytes::from(vec![7; 20_000_000])).await.unwrap_err();
    assert!(matches!(error, TransportError::Stalled(_)), "{error:?}");
    assert_eq!(Failure::from(error).code, "transfer_stalled");
    drop((process, session));
    assert!(begun.elapsed() < PATIENCE);
}

#[tokio::test]
async fn a_changed_bit_under_an_upload_never_reaches_the_command() {
    for end in [End::Client, End::Server] {
        let (_server, proxy) = behind(Ways::default()).await;
        let mut session = client().session(proxy.address).await;
        let mut process = session.exec("sink".into()).await.unwrap();
        proxy.arm(Fault::Corrupt(end), 1_000_000);
        let sent = process.write(Bytes::from(vec![7; 4_000_000])).await;
        let error = match sent {
            Ok(()) => hear(&mut process).await.unwrap_err(),
            Err(error) => error,
        };
        assert!(matches!(error, TransportError::Lost { .. }), "{end:?}: {error:?}");
    }
}

#[tokio::test]
async fn a_long_way_is_only_slow() {
    let (_server, proxy) = behind(Ways::default()).await;
    let client = Client::with(SshSettings { progress_timeout: Duration::from_secs(5), ..settings() });
    let mut session = client.session(proxy.address).await;
    let begun = Instant::now();
    proxy.strike(Fault::Delay(Duration::from_millis(200)));
    let (told, report) = run(&mut session, "say hello").await.unwrap();
    assert_eq!((told.stdout.as_slice(), report), (b"hello".as_slice(), ExitReport::Code(0)));
    // One round trip for the channel, one for the command.
    assert!((Duration::from_millis(800)..Duration::from_secs(3)).contains(&begun.elapsed()), "{:?}", begun.elapsed());
}
