//! Landfall's own way to a host: its transport, and the program that receives a package there.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::Bytes;
use landfall::assets;
use landfall::domain::credential::Auth;
use landfall::domain::host::Address;
use landfall::domain::outcome::ExitReport;
use landfall::domain::shell::{Dialect, command_line};
use landfall::engine::bucket::Bucket;
use landfall::transport::ssh::{SshSettings, SshTransport};
use landfall::transport::{Gateway, HostKeys, Login, Output, Process, Session, Target, Transport, TransportError};
use tokio::sync::Barrier;

/// Bytes that the upload step gives to the session at once.
const PIECE: usize = 32 * 1024;

/// Host keys as they are first seen.
#[derive(Default)]
struct Pins(Mutex<HashMap<(IpAddr, u16), String>>);

#[async_trait]
impl HostKeys for Pins {
    async fn pinned(&self, target: &Target) -> Result<Option<String>, TransportError> {
        Ok(self.0.lock().unwrap().get(&(target.dial, target.port)).cloned())
    }

    async fn pin(&self, target: &Target, key: &str) -> Result<(), TransportError> {
        self.0.lock().unwrap().insert((target.dial, target.port), key.to_owned());
        Ok(())
    }
}

/// When the bytes of an upload may go.
#[derive(Clone, Copy, Default)]
pub struct Pace<'a> {
    pub budgets: &'a [&'a Bucket],
    /// All hosts begin to send together.
    pub start: Option<&'a Barrier>,
}

/// Landfall's client.
pub struct Ours {
    transport: SshTransport,
    login: Login,
    via: Option<Arc<Gateway>>,
}

impl Ours {
    pub fn new(key: &Path) -> Self {
        Self::through(None, key)
    }

    /// One whose hosts are behind a gateway with the same login.
    pub fn through(gateway: Option<SocketAddr>, key: &Path) -> Self {
        let transport = SshTransport::new(SshSettings::default(), Arc::new(Pins::default()));
        let pem = std::fs::read_to_string(key).unwrap();
        let login = Login { account: "root".into(), auth: Auth::Key { pem: pem.into(), passphrase: None } };
        let via = gateway.map(|at| Arc::new(Gateway { target: target(at, None), login: login.clone() }));
        Self { transport, login, via }
    }

    pub async fn connect(&self, to: SocketAddr) -> Box<dyn Session> {
        self.transport.connect(&target(to, self.via.clone()), &self.login).await.unwrap()
    }

    /// Connects, runs a command to its end, and goes.
    pub async fn exec(&self, to: SocketAddr, line: &str) {
        let mut session = self.connect(to).await;
        let mut process = session.exec(line.into()).await.unwrap();
        ends_well(&mut *process).await;
        drop(process);
        session.close().await;
    }

    /// Connects, uploads `payload` to its place in `state`, and goes; gives how long the sending took. `tool` is what proves
    /// the bytes there.
    pub async fn upload(
        &self,
        to: SocketAddr,
        (state, tool): (&str, &str),
        (sha256, payload): (&str, Bytes),
        pace: Pace<'_>,
    ) -> Duration {
        let mut session = self.connect(to).await;
        let size = payload.len().to_string();
        let words = ["sh", "-c", assets::PUT.as_str(), "lf", state, sha256, &size, tool];
        let mut process = session.exec(command_line(Dialect::Posix, &words)).await.unwrap();
        answers(&mut *process, "@@lf:want=0@@").await;
        if let Some(start) = pace.start {
            start.wait().await;
        }
        let (mut rest, began) = (payload, Instant::now());
        while !rest.is_empty() {
            let piece = rest.split_to(PIECE.min(rest.len()));
            for budget in pace.budgets {
                budget.pass(piece.len()).await;
            }
            process.write(piece).await.unwrap();
        }
        process.finish().await.unwrap();
        let took = began.elapsed();
        ends_well(&mut *process).await;
        drop(process);
        session.close().await;
        took
    }
}

fn target(to: SocketAddr, via: Option<Arc<Gateway>>) -> Target {
    let address = Address { cloud: 0, ip: to.ip() };
    Target { address, dial: to.ip(), port: to.port(), legacy: false, accepts_new_key: false, via }
}

async fn answers(process: &mut dyn Process, wanted: &str) {
    let mut told = String::new();
    while !told.contains(wanted) {
        match process.next().await.unwrap() {
            Output::Stdout(bytes) | Output::Stderr(bytes) => told.push_str(&String::from_utf8_lossy(&bytes)),
            Output::Exit(report) => panic!("{report} without {wanted}: {told}"),
        }
    }
}

async fn ends_well(process: &mut dyn Process) {
    loop {
        if let Output::Exit(report) = process.next().await.unwrap() {
            assert_eq!(report, ExitReport::Code(0));
            return;
        }
    }
}
