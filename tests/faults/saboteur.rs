//! The real SSH transport, with somebody in between who knows what is being asked and breaks the way at one ask of each host.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use landfall::transport::ssh::SshTransport;
use landfall::transport::{ForwardError, Login, Output, Process, Session, Stream, Target, Transport, TransportError};

use crate::asks::{Ask, Command};
use crate::cells::{Cell, Moment};
use crate::proxy::Proxy;
use crate::world::World;

/// A host of the table, and the way to it.
pub struct Rig {
    pub cell: Cell,
    pub proxy: Proxy,
    /// Its name in the world.
    pub name: String,
    pub world: Arc<World>,
    /// SHA-256 of the package that it gets, and its size.
    pub package: (String, u64),
    spent: AtomicBool,
}

/// The transport. Hosts are told apart by the port of their proxy.
pub struct Saboteur {
    pub ssh: SshTransport,
    pub rigs: HashMap<u16, Arc<Rig>>,
}

impl Rig {
    pub fn new(cell: Cell, proxy: Proxy, (world, name): (Arc<World>, String), package: (String, u64)) -> Self {
        Self { cell, proxy, name, world, package, spent: AtomicBool::new(false) }
    }

    /// Is it the ask at which the way breaks? Only the first time.
    fn is_due(&self, ask: Ask) -> bool {
        ask == self.cell.ask && !self.spent.swap(true, Ordering::SeqCst)
    }

    /// Waits until the host has done what it was asked for, beside SSH; lets it begin first, if it waits for that.
    async fn await_deed(&self) {
        let line = format!(
            ": >{GATE}; left=600; until {}; do left=$((left - 1)); [ $left -gt 0 ] || exit 1; sleep 0.1; done",
            deed(self.cell.ask, &self.package.0)
        );
        let (world, name) = (Arc::clone(&self.world), self.name.clone());
        let output = tokio::task::spawn_blocking(move || world.output(&name, &line)).await.unwrap();
        assert!(output.status.success(), "{}: not done within a minute: {output:?}", self.name);
    }

    /// The answer is on its way, or will never be sent: the fault meets it.
    async fn lose_the_answer(&self) {
        self.await_deed().await;
        self.proxy.strike(self.cell.fault);
    }
}

/// A program that waits for this file has not begun.
const GATE: &str = "/tmp/go";

/// How its deed is seen on the host: a condition of sh.
fn deed(ask: Ask, sha256: &str) -> String {
    let state = "/var/lib/landfall";
    match ask {
        Ask::Put => format!("[ -f {state}/blobs/{sha256} ]"),
        Ask::Bundle => format!("[ -f {state}/stage/*/landfall.toml ]"),
        Ask::Start => format!("grep -q 'run START' {state}/history.log"),
        Ask::Follow => format!("[ -f {state}/runs/*/exit ]"),
        Ask::Cleanup => format!("[ ! -d {state}/stage/* ]"),
        other => panic!("nobody knows how to see that {other:?} is done"),
    }
}

#[async_trait]
impl Transport for Saboteur {
    async fn connect(&self, target: &Target, login: &Login) -> Result<Box<dyn Session>, TransportError> {
        let session = self.ssh.connect(target, login).await?;
        let rig = Arc::clone(&self.rigs[&target.port]);
        Ok(Box::new(Watched { session, rig }))
    }
}

/// A session whose commands are looked at.
struct Watched {
    session: Box<dyn Session>,
    rig: Arc<Rig>,
}

#[async_trait]
impl Session for Watched {
    async fn exec(&mut self, line: Vec<u8>) -> Result<Box<dyn Process>, TransportError> {
        let ask = Command::read(&String::from_utf8_lossy(&line)).ask;
        if !self.rig.is_due(ask) {
            return self.session.exec(line).await;
        }
        let rig = Arc::clone(&self.rig);
        match rig.cell.moment {
            Moment::Asked => rig.proxy.arm(rig.cell.fault, 0),
            Moment::Halfway => rig.proxy.arm(rig.cell.fault, rig.package.1 / 2),
            // It is done when its stdin has ended, and not before.
            Moment::Done if ask.takes_bytes() => {
                let process = self.session.exec(line).await?;
                return Ok(Box::new(LastWords { process, rig }));
            }
            Moment::Done => {
                let gated = [format!("while [ ! -e {GATE} ]; do sleep 0.05; done; ").as_bytes(), &line].concat();
                let process = self.session.exec(gated).await?;
                rig.proxy.hold();
                rig.lose_the_answer().await;
                return Ok(process);
            }
        }
        self.session.exec(line).await
    }

    async fn forward(&mut self, host: &str, port: u16) -> Result<Box<dyn Stream>, ForwardError> {
        self.session.forward(host, port).await
    }

    async fn close(self: Box<Self>) {
        self.session.close().await;
    }
}

/// A command whose answer is lost.
struct LastWords {
    process: Box<dyn Process>,
    rig: Arc<Rig>,
}

#[async_trait]
impl Process for LastWords {
    async fn next(&mut self) -> Result<Output, TransportError> {
        self.process.next().await
    }

    async fn write(&mut self, bytes: Bytes) -> Result<(), TransportError> {
        self.process.write(bytes).await
    }

    async fn finish(&mut self) -> Result<(), TransportError> {
        self.rig.proxy.hold();
        self.process.finish().await?;
        self.rig.lose_the_answer().await;
        Ok(())
    }
}
