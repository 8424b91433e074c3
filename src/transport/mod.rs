//! Reaching a host: connect, run commands, open connections from there.
//!
//! Only traits and their error live here; `ssh` implements them and alone names russh. Never here: what a command means,
//! retries (the engine's), quoting ([`crate::domain::shell`]).
//!
//! ```text
//! Transport::connect ──► Session ──exec──► Process: next() / write() / finish()
//!                               ├─forward─► Stream (a connection opened by the host itself)
//!                               ├─connector─► Connector (several of these at once)
//!                               └─sftp────► Sftp: files, where a command cannot be given its input
//! ```
//! Drop-safety: every future may be dropped at any await (the engine stops a call by dropping it). A dropped `Process`
//! closes its channel, a dropped `Session` its connection.
//!
//! A target may be behind a [`Gateway`]: the transport then shares few connections to that among all hosts behind it. Which
//! gateway is taken, and what follows when one fails, is the engine's.
//!
//! To add a transport: implement [`Transport`], [`Session`], [`Process`] and [`Sftp`], name it in `app`, run `tests/faults` on
//! it.

pub mod error;
pub mod ssh;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite};

use crate::domain::credential::Auth;
use crate::domain::host::Address;
use crate::domain::outcome::ExitReport;

pub use error::{ForwardError, TransportError};

/// What to connect to.
#[derive(Clone, Debug)]
pub struct Target {
    /// Which host it is.
    pub address: Address,
    /// The address to dial.
    pub dial: IpAddr,
    /// sshd's port.
    pub port: u16,
    /// May SHA-1 key exchange and ssh-rsa be used?
    pub legacy: bool,
    /// May another host key take the place of the pinned one, this time?
    pub accepts_new_key: bool,
    /// What the connection goes through; `None`: it is dialled directly.
    pub via: Option<Arc<Gateway>>,
}

impl Target {
    /// Address and port, and what stands before it: `10.1.0.7:22 via 192.0.2.10:22`.
    #[must_use]
    pub fn endpoint(&self) -> String {
        let own = SocketAddr::new(self.dial, self.port);
        match &self.via {
            Some(gateway) => format!("{own} via {}", gateway.target.endpoint()),
            None => own.to_string(),
        }
    }
}

/// A proxy or a jump server; its own target may be behind another one.
#[derive(Clone, Debug)]
pub struct Gateway {
    /// Where it is.
    pub target: Target,
    /// Who to be there.
    pub login: Login,
}

/// A pinned host key whose place another took; SHA-256 fingerprints.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplacedKey {
    /// The one before.
    pub pinned: String,
    /// The one that the host showed, and that is pinned now.
    pub shown: String,
}

/// Who to be there.
#[derive(Clone, Debug)]
pub struct Login {
    /// The account.
    pub account: String,
    /// What is offered, each proof at most once.
    pub auth: Auth,
}

/// A way to reach hosts.
#[async_trait]
pub trait Transport: Send + Sync {
    /// Connects and authenticates, within the transport's own deadlines. A refused login is never tried again in here.
    async fn connect(&self, target: &Target, login: &Login) -> Result<Box<dyn Session>, TransportError>;
}

/// An authenticated connection to one host. One process or stream at a time is enough for it (MaxSessions 1).
#[async_trait]
pub trait Session: Send + Sync {
    /// Starts a command line, already written for the login shell.
    async fn exec(&mut self, line: Vec<u8>) -> Result<Box<dyn Process>, TransportError>;

    /// The same on a terminal, for what asks its questions there only (sudo with requiretty, su). It echoes nothing, sends
    /// no signals and changes no byte that comes back, but keeps its input back until a line is whole, as those who ask
    /// expect, and has no end of input. Both streams come as stdout.
    async fn exec_on_terminal(&mut self, line: Vec<u8>) -> Result<Box<dyn Process>, TransportError>;

    /// The server's file service, in the place of a command.
    async fn sftp(&mut self) -> Result<Box<dyn Sftp>, TransportError>;

    /// A TCP connection opened by the host itself (direct-tcpip).
    async fn forward(&mut self, host: &str, port: u16) -> Result<Box<dyn Stream>, ForwardError>;

    /// The same for several at once. What it gives opens connections as long as the session lasts, and renews nothing.
    fn connector(&self) -> Arc<dyn Connector>;

    /// The pinned host key that the login replaced, if it did.
    fn replaced_key(&self) -> Option<ReplacedKey> {
        None
    }

    /// Says goodbye; bounded to about a second.
    async fn close(self: Box<Self>);
}

/// Has the host open connections, beside each other.
#[async_trait]
pub trait Connector: Send + Sync {
    /// Like [`Session::forward`].
    async fn connect(&self, host: &str, port: u16) -> Result<Box<dyn Stream>, ForwardError>;
}

/// A running command.
///
/// Its output is always drained by a reader of its own into a bounded buffer, so a slow caller never freezes the session;
/// a caller that lets the buffer overflow gets [`TransportError::Overrun`].
#[async_trait]
pub trait Process: Send {
    /// The next output; the exit report comes last, after everything was delivered, and again when asked again.
    async fn next(&mut self) -> Result<Output, TransportError>;

    /// Writes to the command's stdin: returns when the bytes are queued within the peer's window. Ends with
    /// [`TransportError::Ended`] when the command is over before the bytes could go, with [`TransportError::Stalled`]
    /// when no byte moved for 30 s.
    async fn write(&mut self, bytes: Bytes) -> Result<(), TransportError>;

    /// Closes the command's stdin.
    async fn finish(&mut self) -> Result<(), TransportError>;
}

/// Files of a host over SFTP: one at a time is written. Paths are absolute and in the server's own form: `/` between the
/// parts, on Windows `/C:/...` before them. Dropped, it ends; what it has opened keeps the bytes that arrived.
#[async_trait]
pub trait Sftp: Send {
    /// Makes a directory that only the account may enter; one that is there is closed to all others.
    async fn make_dir(&mut self, path: &str) -> Result<(), TransportError>;

    /// Opens a file for writing from `offset` on, made if it is not there and emptied when `offset` is 0.
    async fn open(&mut self, path: &str, offset: u64) -> Result<(), TransportError>;

    /// Writes on in the open file: returns when the bytes are on their way and few enough writes wait for their answer.
    /// Ends with [`TransportError::Stalled`] when none was answered for 30 s.
    async fn write(&mut self, bytes: Bytes) -> Result<(), TransportError>;

    /// Waits until the host has taken every write, and closes the file.
    async fn finish(&mut self) -> Result<(), TransportError>;

    /// Some bytes of a file from `offset` on: at most 32 KiB, none at its end; `None` where there is no such file. It stays
    /// open for the next read.
    async fn read(&mut self, path: &str, offset: u64) -> Result<Option<Bytes>, TransportError>;
}

/// What a command gave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Bytes of stdout.
    Stdout(Bytes),
    /// Bytes of stderr.
    Stderr(Bytes),
    /// It ended.
    Exit(ExitReport),
}

/// A two-way byte stream.
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// The pinned host keys of the record, keyed by (cloud, dialled address, port).
#[async_trait]
pub trait HostKeys: Send + Sync {
    /// The pinned key in OpenSSH form (`ssh-ed25519 AAAA...`).
    async fn pinned(&self, target: &Target) -> Result<Option<String>, TransportError>;

    /// Pins a key, in the place of the one before; called only after authentication succeeded.
    async fn pin(&self, target: &Target, key: &str) -> Result<(), TransportError>;
}
