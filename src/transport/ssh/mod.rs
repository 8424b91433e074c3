//! SSH by russh: from a target and a login to a session.
//!
//! The only room that names russh. Never here: retries and pacing (the engine's), what a command means, where keys and
//! passwords come from.
//!
//! ```text
//! record ──pinned──► hostkey ─┐ expectation                        ┌──► process   a command
//!                             ▼                                    │
//! dial ──► line ──► russh ──► listener ──► auth ──► pin ──► session┤
//! (TCP)    (stream)  (task)   (host key,   (none, its              ├──► tunnel    a connection of the host
//!   ▲                          goodbye)     proofs)                └──► sftp      its files
//!   └── gateway: a tunnel of a connection that many hosts share, in place of TCP
//! ```
//! One session is one TCP connection and one task of russh; those of hosts that may use old algorithms have a thread of their
//! own (`apart`). Every channel adds one task (`channel`) that drains it.
//! A dropped session shuts its socket down, which ends all of them: russh alone would not notice while it is blocked.
//!
//! The log: target `russh` must be capped at `warn` by whoever sets up telemetry, whatever the level asked for. Below that
//! russh prints packets that it does not expect, lines of known_hosts, and a line for every message.
//!
//! To add a way to log in: a variant of [`crate::domain::credential::Auth`], its preparation in `key`, its exchange in
//! `auth`. To add an algorithm: `config`; a form of private keys: `pem`.

mod apart;
mod auth;
mod channel;
mod config;
mod dial;
mod gateway;
mod greeting;
mod hostkey;
mod key;
mod known_hosts;
mod listener;
mod pem;
mod process;
mod questions;
mod session;
mod sftp;
mod signer;
mod terminal;
mod tunnel;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::timeout;

use crate::domain::site::{HostKeyPolicy, SshPolicy};

use super::{Gateway, HostKeys, Login, Session, Target, Transport, TransportError};
use auth::Exchange;
use config::Configs;
use dial::Dialled;
use gateway::{Gateways, Way};
use hostkey::Expectation;
pub use hostkey::fingerprint_of;
use key::{Keys, Proofs};
use listener::{Link, Listener, Notes};
use session::SshSession;

/// Deadline of the whole login. Long, because PAM stacks ask directories, and delay their answer to a wrong password.
pub const LOGIN_TIMEOUT: Duration = Duration::from_secs(30);

/// A write that moves no byte for so long has stalled. Not a total: a slow transfer that moves is fine.
pub const PROGRESS_TIMEOUT: Duration = Duration::from_secs(30);

/// A server that says nothing for so long is asked for a sign of life, and given up after three times that.
pub const KEEPALIVE: Duration = Duration::from_secs(15);

/// How this transport behaves, for all its connections.
#[derive(Clone, Debug)]
pub struct SshSettings {
    /// What an unknown or changed host key means.
    pub host_keys: HostKeyPolicy,
    /// The file of policy `KnownHosts`; the user's own when absent.
    pub known_hosts: Option<PathBuf>,
    /// Deadline of TCP connect, and again of the handshake.
    pub connect_timeout: Duration,
    /// Deadline of the login.
    pub login_timeout: Duration,
    /// Deadline of the next byte of a write, and of an answer to a request on an established session.
    pub progress_timeout: Duration,
    /// Silence after which a server is asked for a sign of life; three times that is the end of the connection.
    pub keepalive: Duration,
    /// Logins of hosts that are under way at once through one gateway.
    pub handshakes_per_gateway: usize,
    /// Where ssh-agent listens (`SSH_AUTH_SOCK`).
    pub agent: Option<PathBuf>,
}

impl Default for SshSettings {
    fn default() -> Self {
        Self {
            host_keys: HostKeyPolicy::AcceptNew,
            known_hosts: None,
            connect_timeout: Duration::from_secs(15),
            login_timeout: LOGIN_TIMEOUT,
            progress_timeout: PROGRESS_TIMEOUT,
            keepalive: KEEPALIVE,
            handshakes_per_gateway: 8,
            agent: None,
        }
    }
}

impl From<&SshPolicy> for SshSettings {
    fn from(policy: &SshPolicy) -> Self {
        Self {
            host_keys: policy.host_keys,
            known_hosts: policy.known_hosts.as_ref().map(PathBuf::from),
            connect_timeout: Duration::from_secs(policy.connect_timeout_s),
            ..Self::default()
        }
    }
}

/// Reaches hosts by SSH, directly or through gateways.
pub struct SshTransport {
    settings: SshSettings,
    host_keys: Arc<dyn HostKeys>,
    configs: Configs,
    keys: Keys,
    gateways: Gateways,
}

impl SshTransport {
    /// A transport with these settings; `host_keys` is the record of pinned keys.
    #[must_use]
    pub fn new(settings: SshSettings, host_keys: Arc<dyn HostKeys>) -> Self {
        if settings.host_keys == HostKeyPolicy::Off {
            hostkey::warn_unchecked();
        }
        let gateways = Gateways::new(settings.handshakes_per_gateway);
        let (configs, keys) = (Configs::build(settings.keepalive), Keys::new(settings.agent.clone()));
        Self { configs, settings, host_keys, keys, gateways }
    }

    /// A line to the target: a TCP connection of our own, or a channel of its gateway.
    async fn line(&self, target: &Target) -> Result<(Dialled, Option<Way>), TransportError> {
        let after = self.settings.connect_timeout;
        match &target.via {
            Some(gateway) => self.gateways.line(self, (target, gateway), after).await.map(|(line, way)| (line, Some(way))),
            None => Ok((dial::dial(SocketAddr::new(target.dial, target.port), after).await?, None)),
        }
    }

    /// [`Self::log_in`] for a gateway, whose own way may lead through another one.
    fn log_in_before<'a>(
        &'a self,
        gateway: &'a Gateway,
    ) -> Pin<Box<dyn Future<Output = Result<LoggedIn, TransportError>> + Send + 'a>> {
        Box::pin(self.log_in(&gateway.target, &gateway.login))
    }

    /// A connection that has logged in.
    async fn log_in(&self, target: &Target, login: &Login) -> Result<LoggedIn, TransportError> {
        // Before the dial: what cannot be used, or not be looked up, costs the host no connection.
        let proofs = self.keys.prepare(&login.auth).await?;
        let expectation = Expectation::look_up(&self.settings, &*self.host_keys, target).await?;
        let notes = Arc::new(Notes::new(target, expectation));

        let (dialled, way) = self.line(target).await?;
        let entry = Entry {
            config: self.configs.pick(target.legacy, notes.expectation()),
            notes: Arc::clone(&notes),
            account: login.account.clone(),
            legacy: target.legacy,
            timeouts: (self.settings.connect_timeout, self.settings.login_timeout),
        };
        let entered = if target.legacy {
            let lost = |cause| TransportError::Closed { endpoint: target.endpoint(), phase: "handshake", cause };
            apart::run(entry.enter(dialled, proofs)).await.map_err(lost).flatten()
        } else {
            entry.enter(dialled, proofs).await
        };
        let Established { link, hangup } = match (entered, way) {
            (Ok(established), _) => established,
            (Err(error), Some(way)) => return Err(way.blamed(error).await),
            (Err(error), None) => return Err(error),
        };
        if let Some(key) = notes.to_pin()? {
            self.host_keys.pin(target, &key).await?;
        }
        Ok(LoggedIn { link, hangup, notes })
    }
}

/// What it takes to get in once there is a line.
struct Entry {
    config: Arc<russh::client::Config>,
    notes: Arc<Notes>,
    account: String,
    legacy: bool,
    /// Deadlines of the handshake and of the login.
    timeouts: (Duration, Duration),
}

impl Entry {
    /// Handshake and login.
    async fn enter(self, dialled: Dialled, proofs: Proofs) -> Result<Established, TransportError> {
        let Established { mut link, hangup } = self.handshake(dialled).await?;
        let exchange = Exchange::new(&mut link, &self.notes, &self.account, self.legacy);
        exchange.run(proofs, self.timeouts.1).await?;
        Ok(Established { link, hangup })
    }

    /// Version exchange, key exchange and host key, under one deadline.
    async fn handshake(&self, dialled: Dialled) -> Result<Established, TransportError> {
        let Dialled { line, hangup, greeting } = dialled;
        let notes = &self.notes;
        let handshake = russh::client::connect_stream(Arc::clone(&self.config), line, Listener::new(Arc::clone(notes)));
        let after = self.timeouts.0;
        match timeout(after, handshake).await {
            Ok(Ok(link)) => Ok(Established { link, hangup }),
            // A host key that was refused ends the handshake with an error of its own.
            Ok(Err(error)) => Err(notes.verdict().unwrap_or_else(|| notes.handshake_failure(&error, &greeting))),
            Err(_) => Err(notes.handshake_silence(&greeting, after)),
        }
    }
}

/// A connection whose host key was accepted.
struct Established {
    link: Link,
    hangup: dial::Hangup,
}

/// A connection after the login.
struct LoggedIn {
    link: Link,
    hangup: dial::Hangup,
    notes: Arc<Notes>,
}

#[async_trait]
impl Transport for SshTransport {
    async fn connect(&self, target: &Target, login: &Login) -> Result<Box<dyn Session>, TransportError> {
        let LoggedIn { link, hangup, notes } = self.log_in(target, login).await?;
        Ok(Box::new(SshSession::new(link, hangup, notes, self.settings.progress_timeout)))
    }
}
