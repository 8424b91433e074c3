//! A server that takes any key and says of every command that it ended well; in a process of its own.

use std::borrow::Cow;
use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use russh::keys::{Algorithm, PrivateKey};
use russh::server::{Auth, Config, Handler, Msg, Session, VerifiedPublicKey};
use russh::{Channel, ChannelId, Preferred, cipher};
use tokio::net::TcpListener;

/// The server, as its clients see it.
pub struct Light {
    child: Child,
    pub port: u16,
}

impl Light {
    pub fn start() -> Self {
        let mut command = Command::new(std::env::current_exe().unwrap());
        let mut child = command.arg("light").stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        Self { child, port: line.trim().parse().unwrap() }
    }
}

impl Drop for Light {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

struct Anybody;

impl Handler for Anybody {
    type Error = russh::Error;

    async fn auth_publickey(&mut self, _: &str, _: VerifiedPublicKey<'_>) -> Result<Auth, Self::Error> {
        Ok(Auth::Accept)
    }

    async fn channel_open_session(
        &mut self,
        _: Channel<Msg>,
        reply: russh::server::ChannelOpenHandle,
        _: &mut Session,
    ) -> Result<(), Self::Error> {
        reply.accept().await;
        Ok(())
    }

    async fn exec_request(&mut self, channel: ChannelId, _: &[u8], session: &mut Session) -> Result<(), Self::Error> {
        session.channel_success(channel)?;
        session.exit_status_request(channel, 0)?;
        session.eof(channel)?;
        session.close(channel)
    }
}

/// Serves until it is killed.
pub fn serve() {
    let key = PrivateKey::random(&mut russh::keys::key::safe_rng(), Algorithm::Ed25519).unwrap();
    let preferred = Preferred { cipher: Cow::Borrowed(&[cipher::AES_128_GCM]), ..Preferred::DEFAULT };
    // By default russh lets whoever is refused wait for a second, and `none` always is.
    let (auth_rejection_time, auth_rejection_time_initial) = (Duration::ZERO, Some(Duration::ZERO));
    let config = Config {
        keys: vec![key],
        nodelay: true,
        preferred,
        auth_rejection_time,
        auth_rejection_time_initial,
        ..Config::default()
    };
    let config = Arc::new(config);
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
        let listener = TcpListener::bind(("0.0.0.0", 0)).await.unwrap();
        println!("{}", listener.local_addr().unwrap().port());
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let config = config.clone();
            tokio::spawn(async move {
                if let Ok(session) = russh::server::run_stream(config, stream, Anybody).await {
                    let _ = session.await;
                }
            });
        }
    });
}
