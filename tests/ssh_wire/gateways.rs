//! Hosts behind gateways: few connections for many hosts, and whose fault it is when something breaks.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use landfall::domain::credential::Auth;
use landfall::transport::ssh::SshSettings;
use landfall::transport::{Gateway, Login, Session, Target, Transport, TransportError};

use crate::client::{Client, hear, password, run, settings, target};
use crate::proxy::{End, Fault, Proxy};
use crate::server::{Lie, Ways, serve};

/// What goes wrong with a line.
const FAULTS: [Fault; 5] =
    [Fault::Cut, Fault::HalfClose(End::Client), Fault::HalfClose(End::Server), Fault::Corrupt(End::Client), Fault::Stall];

fn login(auth: Auth) -> Login {
    Login { account: "root".into(), auth }
}

/// The host at `to` behind the gateway at `gateway`.
fn behind(gateway: SocketAddr, to: SocketAddr) -> Target {
    let gateway = Gateway { target: target(gateway), login: login(password("correct horse")) };
    Target { via: Some(Arc::new(gateway)), ..target(to) }
}

fn client() -> Client {
    Client::with(SshSettings {
        connect_timeout: Duration::from_secs(2),
        login_timeout: Duration::from_secs(1),
        keepalive: Duration::from_millis(400),
        ..settings()
    })
}

async fn connect(client: &Client, target: &Target) -> Result<Box<dyn Session>, TransportError> {
    client.transport.connect(target, &login(password("correct horse"))).await
}

#[tokio::test]
async fn a_hundred_hosts_share_four_connections_to_their_gateway() {
    let (gateway, host) = (serve(Ways::default()).await, serve(Ways::default()).await);
    let (client, target) = (Arc::new(client()), behind(gateway.address, host.address));
    let hosts = (0..100).map(|number| {
        let (client, target) = (Arc::clone(&client), target.clone());
        tokio::spawn(async move {
            let mut session = connect(&client, &target).await.unwrap();
            let (told, _) = run(&mut session, &format!("say {number}")).await.unwrap();
            (session, String::from_utf8(told.stdout).unwrap())
        })
    });
    let mut sessions = Vec::new();
    for (number, host) in hosts.collect::<Vec<_>>().into_iter().enumerate() {
        let (session, told) = host.await.unwrap();
        assert_eq!(told, number.to_string());
        sessions.push(session);
    }
    assert_eq!((gateway.book.connections.load(Ordering::SeqCst), host.book.logins.load(Ordering::SeqCst)), (4, 100));
}

#[tokio::test]
async fn a_host_whose_output_nobody_reads_holds_up_none_of_the_others() {
    let (gateway, host) = (serve(Ways::default()).await, serve(Ways::default()).await);
    let (client, target) = (client(), behind(gateway.address, host.address));
    let mut unread = connect(&client, &target).await.unwrap();
    let mut flood = unread.exec("flood 300".into()).await.unwrap();
    let mut other = connect(&client, &target).await.unwrap();
    assert_eq!(gateway.book.connections.load(Ordering::SeqCst), 1, "they share one connection");
    assert_eq!(run(&mut other, "say hello").await.unwrap().0.stdout, b"hello");
    drop(hear(&mut flood).await);
}

#[tokio::test]
async fn a_gateway_that_breaks_under_the_password_of_a_host_is_blamed_for_it() {
    for fault in FAULTS {
        let silent = Ways { lie: Some(Lie::IgnoresPasswords), ..Ways::default() };
        let (gateway, host) = (serve(Ways::default()).await, serve(silent).await);
        let way = Proxy::before(gateway.address).await;
        let (client, target) = (client(), behind(way.address, host.address));
        let breaking = async {
            host.book.reaches(|book| &book.passwords, 1).await;
            way.strike(fault);
        };
        let (done, ()) = tokio::join!(connect(&client, &target), breaking);
        let error = done.map(drop).unwrap_err();
        let blamed = way.address.to_string();
        assert!(matches!(&error, TransportError::Gateway { gateway, .. } if *gateway == blamed), "{fault}: {error:?}");
        // And the next host gets a connection that is whole.
        let well = serve(Ways::default()).await;
        connect(&client, &behind(way.address, well.address)).await.unwrap().close().await;
    }
}

#[tokio::test]
async fn a_host_that_breaks_behind_a_good_gateway_is_blamed_itself() {
    for fault in FAULTS {
        let silent = Ways { lie: Some(Lie::IgnoresPasswords), ..Ways::default() };
        let (gateway, host) = (serve(Ways::default()).await, serve(silent).await);
        let way = Proxy::before(host.address).await;
        let (client, target) = (client(), behind(gateway.address, way.address));
        let breaking = async {
            host.book.reaches(|book| &book.passwords, 1).await;
            way.strike(fault);
        };
        let (done, ()) = tokio::join!(connect(&client, &target), breaking);
        let error = done.map(drop).unwrap_err();
        assert!(matches!(&error, TransportError::Undecided { .. }), "{fault}: {error:?}");
        assert!(error.to_string().starts_with(&format!("{} via {} ", way.address, gateway.address)), "{error}");
    }
}

#[tokio::test]
async fn a_gateway_that_refuses_the_login_is_asked_once_for_all_who_wait() {
    let gateway = serve(Ways { password: "another", ..Ways::default() }).await;
    let host = serve(Ways::default()).await;
    let (client, target) = (client(), behind(gateway.address, host.address));
    let waiting = (0..8).map(|_| connect(&client, &target));
    for done in futures_util::future::join_all(waiting).await {
        let error = done.map(drop).unwrap_err();
        let TransportError::Gateway { cause, .. } = &error else { panic!("{error:?}") };
        assert!(matches!(**cause, TransportError::Refusal { .. }) && cause.is_final(), "{error:?}");
    }
    assert_eq!((gateway.book.passwords(), host.book.connections.load(Ordering::SeqCst)), (1, 0));
}

#[tokio::test]
async fn what_a_gateway_says_of_a_host_is_the_hosts_and_what_it_does_not_do_is_its_own() {
    let gateway = serve(Ways::default()).await;
    let at = |port: u16| behind(gateway.address, SocketAddr::from(([127, 0, 0, 1], port)));
    let client = client();
    let nobody = connect(&client, &at(1)).await.map(drop).unwrap_err();
    assert!(matches!(nobody, TransportError::NoRoute { .. }), "{nobody:?}");
    let forbidden = connect(&client, &at(2)).await.map(drop).unwrap_err();
    let TransportError::Gateway { cause, .. } = &forbidden else { panic!("{forbidden:?}") };
    assert!(matches!(**cause, TransportError::NoForwarding { .. }), "{forbidden:?}");
    assert_eq!(gateway.book.connections.load(Ordering::SeqCst), 1, "one connection has told both");
}

#[tokio::test]
async fn a_chain_of_two_gateways_carries_a_host_and_names_the_one_that_broke() {
    let (outer, inner, host) = (serve(Ways::default()).await, serve(Ways::default()).await, serve(Ways::default()).await);
    let way = Proxy::before(inner.address).await;
    let chain = |through: SocketAddr| {
        let jump = Gateway { target: behind(outer.address, through), login: login(password("correct horse")) };
        Target { via: Some(Arc::new(jump)), ..target(host.address) }
    };
    let client = client();
    let mut session = connect(&client, &chain(way.address)).await.unwrap();
    assert_eq!(run(&mut session, "say hello").await.unwrap().0.stdout, b"hello");
    session.close().await;

    let refuses = serve(Ways { password: "another", ..Ways::default() }).await;
    let error = connect(&client, &chain(refuses.address)).await.map(drop).unwrap_err();
    let TransportError::Gateway { gateway, cause } = &error else { panic!("{error:?}") };
    assert_eq!(*gateway, format!("{} via {}", refuses.address, outer.address));
    assert!(matches!(**cause, TransportError::Refusal { .. }), "{error:?}");

    way.strike(Fault::Cut);
    let mut session = connect(&client, &chain(way.address)).await.unwrap();
    assert!(run(&mut session, "say again").await.unwrap().1.is_success());
}

#[tokio::test]
async fn hosts_that_are_gone_keep_nobodys_turn_at_the_gateway() {
    let (gateway, host) = (serve(Ways::default()).await, serve(Ways::default()).await);
    let one_at_a_time = SshSettings { connect_timeout: Duration::from_secs(4), handshakes_per_gateway: 1, ..settings() };
    let client = Client::with(one_at_a_time);
    let gone = behind(gateway.address, SocketAddr::from(([127, 0, 0, 1], 3)));
    let target = behind(gateway.address, host.address);
    let waiting = connect(&client, &gone);
    let working = async {
        for number in 0..5 {
            let mut session = connect(&client, &target).await.unwrap();
            assert_eq!(run(&mut session, &format!("say {number}")).await.unwrap().0.stdout, number.to_string().as_bytes());
            session.close().await;
        }
    };
    tokio::select! {
        biased;
        done = waiting => panic!("it was waited for: {:?}", done.map(drop)),
        () = working => {}
    }
}
