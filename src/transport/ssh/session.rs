//! An authenticated connection: opens commands, tunnels and the file service on it, says goodbye.
//!
//! Never here: the login ([`super::auth`]), the life of a channel ([`super::channel`]).

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use russh::{ChannelOpenFailure, Disconnect};
use tokio::time::{Instant, sleep, timeout};

use crate::transport::{Connector, ForwardError, Process, ReplacedKey, Session, Sftp, Stream, TransportError};

use super::channel::{self, Fate, NotOpen, Opened, Order};
use super::dial::Hangup;
use super::listener::{Link, Notes};
use super::process::SshProcess;
use super::sftp::SshSftp;
use super::tunnel::Tunnel;

/// How long the goodbye may take.
const GOODBYE: Duration = Duration::from_secs(1);

/// How long a refused channel is asked for again when this session had one before. Under MaxSessions 1 sshd counts a
/// channel until it has tidied up, a moment after both sides closed it; one that was dropped, until its command notices.
const SLOT: Duration = Duration::from_secs(10);

/// First pause of asking again; doubles up to [`SLOT_PAUSE_MAX`].
const SLOT_PAUSE: Duration = Duration::from_millis(2);

/// See [`SLOT_PAUSE`].
const SLOT_PAUSE_MAX: Duration = Duration::from_millis(250);

/// What channels are opened on.
#[derive(Clone)]
struct Line {
    link: Arc<Link>,
    notes: Arc<Notes>,
    /// Deadline of answers and of progress.
    patience: Duration,
}

/// A session; dropped, its connection is shut down, and with it everything that was opened on it.
pub(super) struct SshSession {
    line: Line,
    /// What became of the command before, if there was one.
    last: Option<Fate>,
    hangup: Hangup,
}

impl Line {
    /// Opens a channel; `None` when the server does not answer in time.
    async fn open(&self, order: Order) -> Option<Result<Opened, NotOpen>> {
        timeout(self.patience, channel::open(Arc::clone(&self.link), order)).await.ok()
    }

    /// The server's own words on the channel it refused, or what its code means.
    fn words(&self, why: &ChannelOpenFailure) -> String {
        self.notes.refusal().filter(|words| !words.is_empty()).unwrap_or_else(|| why.description().to_owned())
    }

    /// A connection made by the host; no error where the session was gone before it was asked for.
    async fn forward(&self, host: &str, port: u16) -> Result<Box<dyn Stream>, Option<ForwardError>> {
        match self.open(Order::Connect { host: host.to_owned(), port }).await {
            Some(Ok(opened)) => Ok(Box::new(Tunnel::new(opened))),
            // No answer: the host is still trying, which takes minutes where packets are dropped.
            Some(Err(NotOpen::Channel(ChannelOpenFailure::ConnectFailed))) | None => Err(Some(ForwardError::NotYet)),
            Some(Err(NotOpen::Channel(why))) => Err(Some(ForwardError::NotAllowed(self.words(&why)))),
            Some(Err(NotOpen::Gone)) => Err(None),
            Some(Err(NotOpen::Command | NotOpen::Terminal | NotOpen::Lost)) => Err(Some(self.notes.lost().into())),
        }
    }
}

#[async_trait]
impl Connector for Line {
    async fn connect(&self, host: &str, port: u16) -> Result<Box<dyn Stream>, ForwardError> {
        self.forward(host, port).await.map_err(|error| error.unwrap_or_else(|| self.notes.lost().into()))
    }
}

impl SshSession {
    /// A session on a connection that has logged in.
    pub(super) fn new(link: Link, hangup: Hangup, notes: Arc<Notes>, patience: Duration) -> Self {
        Self { line: Line { link: Arc::new(link), notes, patience }, last: None, hangup }
    }

    /// [`Self::open`], which waits for the place of an earlier one where the server has only so many.
    async fn start(&mut self, order: Order) -> Option<Result<Opened, NotOpen>> {
        let give_up = Instant::now() + SLOT;
        let mut pause = SLOT_PAUSE;
        loop {
            let opened = self.line.open(order.clone()).await;
            let refused = matches!(&opened, Some(Err(NotOpen::Channel(_))));
            if !(refused && self.last.is_some() && Instant::now() < give_up) {
                if let Some(Ok(opened)) = &opened {
                    self.last = Some(opened.pieces.fate());
                }
                return opened;
            }
            sleep(pause).await;
            pause = SLOT_PAUSE_MAX.min(pause * 2);
        }
    }

    /// The connection was gone before anything was begun on it; no fault, where a command had its end before.
    fn gone(&self) -> TransportError {
        match (self.line.notes.lost(), &self.last) {
            (TransportError::Lost { endpoint, cause }, Some(last)) if !last.is_lost() => {
                TransportError::Spent { endpoint, cause }
            }
            (lost, _) => lost,
        }
    }

    fn silent(&self) -> TransportError {
        let cause = format!("no answer within {} s", self.line.patience.as_secs());
        TransportError::Lost { endpoint: self.line.notes.endpoint(), cause }
    }

    /// Opens a channel with a command or the file service on it.
    async fn run(&mut self, order: Order) -> Result<Opened, TransportError> {
        let endpoint = self.line.notes.endpoint();
        let is_sftp = matches!(order, Order::Sftp);
        let cause = "the request failed".to_owned();
        match self.start(order).await {
            Some(Ok(opened)) => Ok(opened),
            // Another session may find a place.
            Some(Err(NotOpen::Channel(why))) => Err(TransportError::NoChannel { endpoint, cause: self.line.words(&why) }),
            Some(Err(NotOpen::Command)) if is_sftp => Err(TransportError::NoSftp { endpoint, cause }),
            Some(Err(NotOpen::Command)) => Err(TransportError::NoExec { endpoint, cause }),
            Some(Err(NotOpen::Terminal)) => Err(TransportError::NoTerminal { endpoint }),
            Some(Err(NotOpen::Gone)) => Err(self.gone()),
            Some(Err(NotOpen::Lost)) => Err(self.line.notes.lost()),
            None => Err(self.silent()),
        }
    }

    fn process(&self, opened: Opened) -> Box<dyn Process> {
        Box::new(SshProcess::new(opened, Arc::clone(&self.line.notes), self.line.patience, self.hangup.traffic()))
    }
}

#[async_trait]
impl Session for SshSession {
    async fn exec(&mut self, line: Vec<u8>) -> Result<Box<dyn Process>, TransportError> {
        self.run(Order::Exec(line)).await.map(|opened| self.process(opened))
    }

    async fn exec_on_terminal(&mut self, line: Vec<u8>) -> Result<Box<dyn Process>, TransportError> {
        self.run(Order::ExecOnTerminal(line)).await.map(|opened| self.process(opened))
    }

    async fn sftp(&mut self) -> Result<Box<dyn Sftp>, TransportError> {
        let opened = self.run(Order::Sftp).await?;
        Ok(Box::new(SshSftp::begin(opened, Arc::clone(&self.line.notes), self.line.patience).await?))
    }

    async fn forward(&mut self, host: &str, port: u16) -> Result<Box<dyn Stream>, ForwardError> {
        match self.line.forward(host, port).await {
            Err(None) => Err(self.gone().into()),
            Err(Some(error)) => Err(error),
            Ok(stream) => Ok(stream),
        }
    }

    fn connector(&self) -> Arc<dyn Connector> {
        Arc::new(self.line.clone())
    }

    fn replaced_key(&self) -> Option<ReplacedKey> {
        self.line.notes.replaced_key()
    }

    async fn close(self: Box<Self>) {
        let goodbye = async {
            let traffic = self.hangup.traffic();
            let before = traffic.bytes();
            if self.line.link.disconnect(Disconnect::ByApplication, "done", "").await.is_ok() {
                // Once it is on its way the line may go: some servers never close their end.
                tokio::select! {
                    () = traffic.reach(before + 1) => {}
                    () = self.line.notes.ended() => {}
                }
            }
        };
        let _ = timeout(GOODBYE, goodbye).await;
    }
}
