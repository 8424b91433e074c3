//! The link to a host: login, commands, forwarding. What breaks here is the way, not the host.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use landfall::domain::credential::Auth;
use landfall::domain::outcome::ExitReport;
use landfall::transport::{
    Connector, ForwardError, Gateway, HostKeys, Login, Output, Process, Session, Sftp, Stream, Target, Transport, TransportError,
};
use secrecy::ExposeSecret;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::machine::Knock;
use super::programs::{self, Io};
use super::{Ask, Fleet, Host, Inside, Sudo, Trouble};
use crate::asks::Command;

/// Writes that wait in the window.
const WINDOW: usize = 64;
/// No byte moved for so long: the transport's own rule.
const STALLED: Duration = Duration::from_secs(30);

/// The way to a fleet.
pub struct Wire {
    pub fleet: Arc<Fleet>,
    pub keys: Arc<dyn HostKeys>,
}

#[async_trait]
impl Transport for Wire {
    async fn connect(&self, target: &Target, login: &Login) -> Result<Box<dyn Session>, TransportError> {
        let endpoint = format!("{}:{}", target.dial, target.port);
        if let Some(gateway) = &target.via {
            self.pass(gateway).await?;
        }
        let Some(host) = self.fleet.at(target.dial) else {
            return Err(TransportError::NoRoute { endpoint, cause: "no such host".into() });
        };
        let trouble = self.fleet.asked(&host, Ask::Connect);
        let (latency, down, password) = {
            let machine = host.lock();
            (machine.latency, machine.is_down(), machine.password.clone())
        };
        tokio::time::sleep(latency).await;
        match trouble {
            None if down => return Err(TransportError::Refused { endpoint }),
            None => {}
            Some(Trouble::Busy) => {
                return Err(TransportError::Busy { endpoint, cause: "it says \"Exceeded MaxStartups\"".into() });
            }
            Some(Trouble::Refused) => return Err(TransportError::Refused { endpoint }),
            Some(Trouble::Silence) => std::future::pending().await,
            Some(Trouble::Panic) => panic!("the transport broke"),
            Some(_) => return Err(TransportError::Closed { endpoint, phase: "handshake", cause: "reset".into() }),
        }
        let account = login.account.clone();
        match &login.auth {
            Auth::Password(given) if given.expose_secret() == password => {}
            Auth::Password(_) => return Err(TransportError::Refusal { endpoint, method: "password", account }),
            _ => return Err(TransportError::Refusal { endpoint, method: "key", account }),
        }
        if self.keys.pinned(target).await?.is_none() {
            self.keys.pin(target, "ssh-ed25519 AAAA").await?;
        }
        let link = Link { host, endpoint, up: CancellationToken::new(), fleet: self.fleet.clone() };
        Ok(Box::new(FakeSession { link, _inside: self.fleet.sessions.enter() }))
    }
}

impl Wire {
    /// As far as the gateway.
    async fn pass(&self, gateway: &Gateway) -> Result<(), TransportError> {
        let endpoint = gateway.target.endpoint();
        let known = self.fleet.gateways().into_iter().find(|(_, known)| known.ip == gateway.target.dial);
        let (_, known) = known.expect("a gateway of the fleet");
        let (latency, trouble) = {
            let mut machine = known.lock();
            (machine.latency, machine.meets(Ask::Connect))
        };
        tokio::time::sleep(latency).await;
        let cause = match trouble {
            None => return Ok(()),
            Some(Trouble::Busy) => TransportError::Dropped { endpoint: endpoint.clone() },
            Some(Trouble::NotAllowed) => TransportError::NoForwarding { endpoint: endpoint.clone(), cause: "no".into() },
            Some(_) => TransportError::Refused { endpoint: endpoint.clone() },
        };
        Err(TransportError::Gateway { gateway: endpoint, cause: Arc::new(cause) })
    }
}

/// A connection that may be lost.
#[derive(Clone)]
pub(super) struct Link {
    pub(super) host: Arc<Host>,
    pub(super) fleet: Arc<Fleet>,
    endpoint: String,
    up: CancellationToken,
}

impl Link {
    pub(super) fn lose(&self) {
        self.up.cancel();
    }

    fn lost(&self) -> TransportError {
        TransportError::Lost { endpoint: self.endpoint.clone(), cause: "reset by peer".into() }
    }

    fn check(&self) -> Result<(), TransportError> {
        if self.host.lock().is_down() {
            self.lose();
        }
        if self.up.is_cancelled() { Err(self.lost()) } else { Ok(()) }
    }
}

#[async_trait]
impl Connector for Link {
    /// To a server that the host reaches, or does not; every way takes the one to the host, too.
    async fn connect(&self, host: &str, port: u16) -> Result<Box<dyn Stream>, ForwardError> {
        self.check()?;
        match self.fleet.asked(&self.host, Ask::Measure) {
            Some(Trouble::NotAllowed) => return Err(ForwardError::NotAllowed("administratively prohibited".into())),
            Some(Trouble::Silence) => std::future::pending().await,
            Some(_) => {
                self.lose();
                return Err(self.lost().into());
            }
            None => {}
        }
        let (latency, away) = {
            let machine = self.host.lock();
            (machine.latency, machine.servers.get(&format!("{host}:{port}")).copied())
        };
        tokio::time::sleep(latency + away.unwrap_or_default()).await;
        match away {
            Some(_) => Ok(Box::new(tokio::io::duplex(64).0)),
            None => Err(ForwardError::NotYet),
        }
    }
}

struct FakeSession {
    link: Link,
    _inside: Inside,
}

#[async_trait]
impl Session for FakeSession {
    async fn exec(&mut self, line: Vec<u8>) -> Result<Box<dyn Process>, TransportError> {
        self.link.check()?;
        let command = Command::read(&String::from_utf8(line).unwrap());
        let trouble = self.link.fleet.asked(&self.link.host, command.ask);
        match trouble {
            Some(Trouble::Panic) => panic!("the transport broke"),
            Some(Trouble::Lost) => {
                self.link.lose();
                return Err(self.link.lost());
            }
            _ => {}
        }
        let (output, outputs) = mpsc::unbounded_channel();
        let (stdin, writes) = mpsc::channel(WINDOW);
        let io = Io { link: self.link.clone(), output: output.clone(), stdin: writes, line: VecDeque::new(), trouble };
        let program = tokio::spawn(async move {
            let report = match trouble {
                Some(Trouble::Silence) => std::future::pending().await,
                Some(Trouble::Killed) => ExitReport::Signal("KILL".into()),
                _ => ExitReport::Code(run(command, io).await),
            };
            let report = if trouble == Some(Trouble::NoStatus) { ExitReport::NoStatus } else { report };
            let _ = output.send(Output::Exit(report));
        });
        Ok(Box::new(FakeProcess { link: self.link.clone(), outputs, stdin: Some(stdin), exit: None, program }))
    }

    async fn exec_on_terminal(&mut self, _line: Vec<u8>) -> Result<Box<dyn Process>, TransportError> {
        panic!("no host of the fleet wants a terminal")
    }

    async fn sftp(&mut self) -> Result<Box<dyn Sftp>, TransportError> {
        Err(TransportError::NoSftp { endpoint: self.link.host.ip.to_string(), cause: "a fake has none".into() })
    }

    async fn forward(&mut self, host: &str, port: u16) -> Result<Box<dyn Stream>, ForwardError> {
        if port != 9100 && (host, port) != ("127.0.0.1", 1) {
            return self.ask_plugin(port).await;
        }
        if port != 9100 {
            return self.link.connect(host, port).await;
        }
        self.link.check()?;
        match self.link.fleet.asked(&self.link.host, Ask::Forward) {
            Some(Trouble::Silence) => std::future::pending().await,
            Some(Trouble::NotAllowed) => return Err(ForwardError::NotAllowed("administratively prohibited".into())),
            Some(Trouble::Panic) => panic!("the transport broke"),
            Some(_) => {
                self.link.lose();
                return Err(self.link.lost().into());
            }
            None => {}
        }
        let knock = self.link.host.lock().knock().ok_or(ForwardError::NotYet)?;
        let (ours, mut theirs) = tokio::io::duplex(4096);
        tokio::spawn(async move {
            let mut request = [0; 4096];
            while theirs.read(&mut request).await.is_ok_and(|read| read > 0) {
                if let Knock::Status(status) = knock {
                    let answer = format!("HTTP/1.1 {status} X\r\ncontent-length: 3\r\nconnection: close\r\n\r\nok\n");
                    let _ = theirs.write_all(answer.as_bytes()).await;
                    return;
                }
            }
        });
        Ok(Box::new(ours))
    }

    fn connector(&self) -> Arc<dyn Connector> {
        Arc::new(self.link.clone())
    }

    async fn close(self: Box<Self>) {}
}

impl FakeSession {
    async fn ask_plugin(&self, port: u16) -> Result<Box<dyn Stream>, ForwardError> {
        self.link.check()?;
        match self.link.fleet.asked(&self.link.host, Ask::Forward) {
            Some(Trouble::NotAllowed) => Err(ForwardError::NotAllowed("administratively prohibited".into())),
            Some(Trouble::Silence) => std::future::pending().await,
            Some(_) => {
                self.link.lose();
                Err(self.link.lost().into())
            }
            None if self.link.host.lock().plugin_listens(port) => Ok(Box::new(tokio::io::duplex(64).0)),
            None => Err(ForwardError::NotYet),
        }
    }
}

struct FakeProcess {
    link: Link,
    outputs: mpsc::UnboundedReceiver<Output>,
    stdin: Option<mpsc::Sender<Bytes>>,
    exit: Option<ExitReport>,
    program: JoinHandle<()>,
}

impl Drop for FakeProcess {
    fn drop(&mut self) {
        self.program.abort();
    }
}

#[async_trait]
impl Process for FakeProcess {
    async fn next(&mut self) -> Result<Output, TransportError> {
        if let Some(exit) = &self.exit {
            return Ok(Output::Exit(exit.clone()));
        }
        tokio::select! {
            biased;
            Some(output) = self.outputs.recv() => {
                if let Output::Exit(report) = &output {
                    self.exit = Some(report.clone());
                }
                Ok(output)
            }
            () = self.link.up.cancelled() => Err(self.link.lost()),
        }
    }

    async fn write(&mut self, bytes: Bytes) -> Result<(), TransportError> {
        let Some(stdin) = &self.stdin else { return Err(TransportError::Ended) };
        tokio::select! {
            biased;
            () = self.link.up.cancelled() => Err(self.link.lost()),
            sent = tokio::time::timeout(STALLED, stdin.send(bytes)) => match sent {
                Ok(sent) => sent.map_err(|_| TransportError::Ended),
                Err(_) => Err(TransportError::Stalled(STALLED)),
            },
        }
    }

    async fn finish(&mut self) -> Result<(), TransportError> {
        self.stdin = None;
        if self.link.up.is_cancelled() { Err(self.link.lost()) } else { Ok(()) }
    }
}

/// Runs a command line to its end; gives the exit code.
async fn run(command: Command, mut io: Io) -> u32 {
    match programs::become_root(&mut io, command.sudo.as_ref()).await {
        Ok(as_root) => programs::run(command.ask, io, &command.args, as_root).await,
        Err(code) => code,
    }
}

impl Io {
    /// What sudo of this host wants.
    pub(super) fn sudo(&self) -> Sudo {
        self.link.host.lock().sudo
    }
}
