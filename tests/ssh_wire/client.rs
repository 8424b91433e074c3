//! Our side: a transport with short deadlines, a record of host keys in memory, and short words for what tests do.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use landfall::domain::credential::Auth;
use landfall::domain::host::Address;
use landfall::domain::outcome::ExitReport;
use landfall::domain::site::HostKeyPolicy;
use landfall::transport::ssh::{SshSettings, SshTransport};
use landfall::transport::{HostKeys, Login, Output, Process, Session, Target, Transport, TransportError};
use russh::keys::PrivateKey;
use russh::keys::ssh_key::LineEnding;

/// The record of host keys.
#[derive(Default)]
pub(crate) struct Record {
    pub(crate) pins: Mutex<HashMap<(Address, u16), String>>,
}

#[async_trait]
impl HostKeys for Record {
    async fn pinned(&self, target: &Target) -> Result<Option<String>, TransportError> {
        Ok(self.pins.lock().unwrap().get(&(target.address, target.port)).cloned())
    }

    async fn pin(&self, target: &Target, key: &str) -> Result<(), TransportError> {
        self.pins.lock().unwrap().insert((target.address, target.port), key.to_owned());
        Ok(())
    }
}

/// Short deadlines: a test that waits for one should not make people wait.
pub(crate) fn settings() -> SshSettings {
    SshSettings {
        connect_timeout: Duration::from_secs(5),
        progress_timeout: Duration::from_millis(300),
        ..SshSettings::default()
    }
}

/// A transport and its record.
pub(crate) struct Client {
    pub(crate) record: Arc<Record>,
    pub(crate) transport: SshTransport,
}

impl Client {
    pub(crate) fn new() -> Self {
        Self::with(settings())
    }

    pub(crate) fn with(settings: SshSettings) -> Self {
        let record = Arc::<Record>::default();
        Self { transport: SshTransport::new(settings, Arc::clone(&record) as Arc<dyn HostKeys>), record }
    }

    pub(crate) fn with_policy(host_keys: HostKeyPolicy) -> Self {
        Self::with(SshSettings { host_keys, ..settings() })
    }

    pub(crate) async fn connect(&self, to: SocketAddr, auth: Auth) -> Result<Box<dyn Session>, TransportError> {
        let login = Login { account: "root".into(), auth };
        self.transport.connect(&target(to), &login).await
    }

    /// A session that must come about.
    pub(crate) async fn session(&self, to: SocketAddr) -> Box<dyn Session> {
        self.connect(to, password("correct horse")).await.expect("a session")
    }

    /// How the connection fails.
    pub(crate) async fn fails(&self, to: SocketAddr, auth: Auth) -> TransportError {
        match self.connect(to, auth).await {
            Ok(_) => panic!("connected"),
            Err(error) => error,
        }
    }
}

pub(crate) fn target(to: SocketAddr) -> Target {
    let ip: IpAddr = to.ip();
    let address = Address { cloud: 0, ip };
    Target { address, dial: ip, port: to.port(), legacy: false, accepts_new_key: false, via: None }
}

pub(crate) fn password(text: &str) -> Auth {
    Auth::Password(text.into())
}

pub(crate) fn key(key: &PrivateKey) -> Auth {
    Auth::Key { pem: key.to_openssh(LineEnding::LF).unwrap().to_string().into(), passphrase: None }
}

/// All a command gave.
#[derive(Debug, Default)]
pub(crate) struct Told {
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: Vec<u8>,
}

/// Reads a command to its end.
pub(crate) async fn hear(process: &mut Box<dyn Process>) -> Result<(Told, ExitReport), TransportError> {
    let mut told = Told::default();
    loop {
        match process.next().await? {
            Output::Stdout(bytes) => told.stdout.extend_from_slice(&bytes),
            Output::Stderr(bytes) => told.stderr.extend_from_slice(&bytes),
            Output::Exit(report) => return Ok((told, report)),
        }
    }
}

/// Runs a command without input.
pub(crate) async fn run(session: &mut Box<dyn Session>, line: &str) -> Result<(Told, ExitReport), TransportError> {
    let mut process = session.exec(line.into()).await?;
    hear(&mut process).await
}
