//! The real SSH transport, with somebody in between who knows what is being asked and breaks the way at one ask of each host.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use landfall::transport::ssh::SshTransport;
use landfall::transport::{
    Connector, ForwardError, Login, Output, Process, Session, Sftp, Stream, Target, Transport, TransportError,
};

use crate::asks::{Ask, Command};
use crate::cells::{Cell, Moment};
use crate::proxy::{Fault, Proxy};
use crate::world::World;

/// A host of the table, and the way to it.
pub struct Rig {
    pub cell: Cell,
    pub proxy: Proxy,
    /// Its name in the world.
    pub name: String,
    pub world: Arc<World>,
    /// SHA-256 of the package that it gets.
    package: String,
    asked: AtomicUsize,
}

/// The transport. Hosts are told apart by the port of their proxy.
pub struct Saboteur {
    pub ssh: SshTransport,
    pub rigs: HashMap<u16, Arc<Rig>>,
}

impl Rig {
    pub fn new(cell: Cell, proxy: Proxy, (world, name): (Arc<World>, String), package: String) -> Self {
        Self { cell, proxy, name, world, package, asked: AtomicUsize::new(0) }
    }

    /// How often it was asked before what the way breaks at; `None` for any other ask.
    fn asked(&self, ask: Ask) -> Option<usize> {
        (ask == self.cell.ask).then(|| self.asked.fetch_add(1, Ordering::SeqCst))
    }

    /// Bytes of a payload that come before the fault. The small ones are a packet or two; those of a connection end before
    /// the password goes out, because a login without a verdict is not tried again.
    fn part(&self) -> u64 {
        match self.cell.ask {
            Ask::Put => 200_000,
            Ask::Connect => 500,
            _ => 1_000,
        }
    }

    /// Waits until the host has done what it was asked for, beside SSH; lets it begin first, if it waits for that.
    async fn await_deed(&self) {
        let line = format!(": >{GATE}; {}", until(&deed(self.cell.ask, &self.package)));
        self.on_host(line).await;
    }

    /// Lets the bytes of the stalled connection come, and waits until the program that they are for has ended.
    async fn let_the_late_one_end(&self) {
        // Every program is called `lf`, grep's own argument too; the oldest is the one that waits.
        let oldest = "grep -lzx lf /proc/[0-9]*/cmdline | tr -dc '0-9\\n' | sort -n | head -n 1";
        let pid = self.on_host(oldest.to_owned()).await;
        self.proxy.relent();
        let gone = format!("! [ -d /proc/{} ]", pid.trim());
        self.on_host(until(&gone)).await;
    }

    /// Runs a line of shell on the host, beside SSH; it must succeed.
    async fn on_host(&self, line: String) -> String {
        let (world, name) = (Arc::clone(&self.world), self.name.clone());
        tokio::task::spawn_blocking(move || world.exec(&name, &line)).await.unwrap()
    }

    /// The answer is on its way, or will never be sent: the fault meets it.
    async fn lose_the_answer(&self) {
        self.await_deed().await;
        self.proxy.strike(self.cell.fault);
    }
}

/// Waits a minute at most for a condition of sh.
fn until(condition: &str) -> String {
    format!("left=600; until {condition}; do left=$((left - 1)); [ $left -gt 0 ] || exit 1; sleep 0.1; done")
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
        let rig = Arc::clone(&self.rigs[&target.port]);
        if rig.asked(Ask::Connect) == Some(0) {
            // Halfway: in the key exchange.
            rig.proxy.arm(rig.cell.fault, if rig.cell.moment == Moment::Asked { 0 } else { rig.part() });
        }
        let session = self.ssh.connect(target, login).await?;
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
        let rig = Arc::clone(&self.rig);
        match (rig.asked(ask), rig.cell.moment) {
            (Some(0), Moment::Asked) => {
                rig.proxy.arm(rig.cell.fault, 0);
                self.session.exec(line).await
            }
            (Some(0), Moment::Halfway) => {
                let process = self.session.exec(line).await?;
                rig.proxy.arm(rig.cell.fault, rig.part());
                Ok(process)
            }
            // It is done when its stdin has ended, and not before.
            (Some(0), Moment::Done) if ask.takes_bytes() => {
                let process = self.session.exec(line).await?;
                Ok(Box::new(LastWords { process, rig }))
            }
            (Some(0), Moment::Done) => {
                let gated = [format!("while [ ! -e {GATE} ]; do sleep 0.05; done; ").as_bytes(), &line].concat();
                let process = self.session.exec(gated).await?;
                rig.proxy.hold();
                rig.lose_the_answer().await;
                Ok(process)
            }
            (Some(1), Moment::Halfway) if rig.cell.fault == Fault::Late => {
                let process = self.session.exec(line).await?;
                Ok(Box::new(Overtaken { process, rig, relented: false }))
            }
            (Some(_) | None, _) => self.session.exec(line).await,
        }
    }

    async fn exec_on_terminal(&mut self, line: Vec<u8>) -> Result<Box<dyn Process>, TransportError> {
        self.session.exec_on_terminal(line).await
    }

    async fn sftp(&mut self) -> Result<Box<dyn Sftp>, TransportError> {
        self.session.sftp().await
    }

    fn connector(&self) -> Arc<dyn Connector> {
        self.session.connector()
    }

    async fn forward(&mut self, host: &str, port: u16) -> Result<Box<dyn Stream>, ForwardError> {
        self.session.forward(host, port).await
    }

    async fn close(self: Box<Self>) {
        self.session.close().await;
    }
}

/// A command that takes the place of one whose bytes come late: just before its own.
struct Overtaken {
    process: Box<dyn Process>,
    rig: Arc<Rig>,
    relented: bool,
}

#[async_trait]
impl Process for Overtaken {
    async fn next(&mut self) -> Result<Output, TransportError> {
        self.process.next().await
    }

    async fn write(&mut self, bytes: Bytes) -> Result<(), TransportError> {
        if !std::mem::replace(&mut self.relented, true) {
            self.rig.let_the_late_one_end().await;
        }
        self.process.write(bytes).await
    }

    async fn finish(&mut self) -> Result<(), TransportError> {
        self.process.finish().await
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
