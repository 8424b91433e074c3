//! What answers when it is not a good sshd.

use std::time::Duration;

use landfall::domain::failure::Failure;
use landfall::transport::ssh::SshSettings;
use landfall::transport::{Login, Target, Transport, TransportError};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::time::timeout;

use crate::client::{Client, password, run, settings, target};
use crate::server::{Ways, says, serve};

/// How a connection to a listener that says this, and then closes or keeps silent, fails.
async fn meets(words: &'static [u8], then_closes: bool) -> TransportError {
    let (address, task) = says(words, then_closes).await;
    let client = Client::with(SshSettings { connect_timeout: Duration::from_millis(300), ..settings() });
    let error = client.fails(address, password("correct horse")).await;
    task.abort();
    error
}

#[tokio::test]
async fn a_port_where_nobody_listens_refuses() {
    let free = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let error = Client::new().fails(free, password("x")).await;
    assert!(matches!(error, TransportError::Refused { .. }), "{error:?}");
}

#[tokio::test]
async fn a_silent_server_times_out_in_the_handshake() {
    let error = meets(b"", false).await;
    assert!(matches!(error, TransportError::TimedOut { phase: "handshake", .. }), "{error:?}");
}

#[tokio::test]
async fn a_server_that_closes_at_once_may_be_full_and_says_nothing_of_it() {
    let error = meets(b"", true).await;
    assert!(matches!(error, TransportError::Dropped { .. }) && error.is_busy(), "{error:?}");
    assert_eq!(Failure::from(error).code, "connection_closed");
}

#[tokio::test]
async fn a_server_that_closes_after_its_banner_closed_the_handshake() {
    let error = meets(b"SSH-2.0-OpenSSH_9.2\r\n", true).await;
    assert!(matches!(error, TransportError::Closed { phase: "handshake", .. }), "{error:?}");
}

#[tokio::test]
async fn a_server_that_stops_after_its_banner_times_out() {
    let error = meets(b"SSH-2.0-OpenSSH_9.2\r\n", false).await;
    assert!(matches!(error, TransportError::TimedOut { phase: "handshake", .. }), "{error:?}");
}

#[tokio::test]
async fn a_full_sshd_is_busy_and_is_not_a_stranger() {
    for words in [b"Exceeded MaxStartups\r\n".as_slice(), b"Not allowed at this time\r\n"] {
        let error = meets(words, true).await;
        assert!(matches!(error, TransportError::Busy { .. }), "{error:?}");
    }
}

#[tokio::test]
async fn what_does_not_speak_ssh_is_called_so() {
    for (words, closes) in [
        (b"HTTP/1.1 400 Bad Request\r\nServer: nginx\r\n\r\n<html>".as_slice(), true),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", false),
        (b"220 mail.example.org ESMTP\r\n", false),
        (b"SSH-1.5-old\r\n", true),
        (&[0x15, 0x03, 0x01, 0x00, 0x02, 0x02, 0x16], true),
        (&[b'x'; 4096], true),
    ] {
        let error = meets(words, closes).await;
        assert!(matches!(error, TransportError::NotSsh { .. }), "{error:?}");
        assert!(error.to_string().chars().all(|c| !c.is_control()), "{error}");
    }
}

#[tokio::test]
async fn a_connect_that_nobody_waits_for_any_more_hangs_up() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let to = listener.local_addr().unwrap();
    let client = Client::with(SshSettings { connect_timeout: Duration::from_secs(60), ..settings() });
    let abandoned = timeout(Duration::from_millis(100), client.connect(to, password("x")));
    let (abandoned, accepted) = tokio::join!(abandoned, listener.accept());
    assert!(abandoned.is_err());
    let (mut socket, _) = accepted.unwrap();
    socket.write_all(b"SSH-2.0-OpenSSH_9.2\r\n").await.unwrap();
    let mut rest = Vec::new();
    let end = timeout(Duration::from_secs(5), socket.read_to_end(&mut rest)).await;
    assert!(end.is_ok(), "the connection stays open");
}

#[tokio::test]
async fn a_handshake_that_nobody_waits_for_any_more_hangs_up() {
    for legacy in [false, true] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let target = Target { legacy, ..target(listener.local_addr().unwrap()) };
        let client = Client::with(SshSettings { connect_timeout: Duration::from_secs(60), ..settings() });
        let login = Login { account: "root".into(), auth: password("x") };
        let server = async {
            let (mut socket, _) = listener.accept().await.unwrap();
            // From here on russh has a task of its own.
            socket.write_all(b"SSH-2.0-OpenSSH_9.2\r\n").await.unwrap();
            let mut rest = Vec::new();
            timeout(Duration::from_secs(5), socket.read_to_end(&mut rest)).await
        };
        let connecting = timeout(Duration::from_millis(100), client.transport.connect(&target, &login));
        let (abandoned, end) = tokio::join!(connecting, server);
        assert!(abandoned.is_err());
        assert!(end.is_ok(), "the connection stays open");
    }
}

#[test]
fn the_session_of_an_old_sshd_is_no_work_for_the_runtime_that_the_others_share() {
    let there = Runtime::new().unwrap();
    let old = there.block_on(serve(Ways { old: true, ..Ways::default() }));
    let other = there.block_on(serve(Ways::default()));
    Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
        let work = || Handle::current().metrics().num_alive_tasks();
        let client = Client::new();
        let login = Login { account: "root".into(), auth: password("correct horse") };
        let connect = |to, legacy| {
            let target = Target { legacy, ..target(to) };
            let (transport, login) = (&client.transport, &login);
            async move { transport.connect(&target, login).await.expect("a session") }
        };
        let mut session = connect(old.address, true).await;
        assert_eq!(work(), 0, "the handshake left work here");
        run(&mut session, "say hello").await.expect("a session that works");
        let _session = connect(other.address, false).await;
        assert!(work() > 0, "nobody counts");
    });
}

#[tokio::test]
async fn an_old_sshd_is_reached_only_where_old_algorithms_are_allowed() {
    let server = serve(Ways { old: true, ..Ways::default() }).await;
    let client = Client::new();
    let error = client.fails(server.address, password("correct horse")).await;
    let TransportError::NoCommonAlgorithm { what, .. } = &error else { panic!("{error:?}") };
    assert_eq!(what, "key exchange (it offers diffie-hellman-group14-sha1)");
    let login = Login { account: "root".into(), auth: password("correct horse") };
    let target = Target { legacy: true, ..target(server.address) };
    client.transport.connect(&target, &login).await.expect("a session").close().await;
}

#[tokio::test]
async fn lines_before_the_banner_are_tolerated() {
    let greeting = "Welcome to example.org\r\nUnauthorised access is forbidden\r\n";
    let server = serve(Ways { greeting, ..Ways::default() }).await;
    Client::new().session(server.address).await.close().await;
}
