//! The life of one channel: opened, drained into a bounded buffer, closed.
//!
//! ```text
//! russh's task ──16 messages──► drain (a task per channel) ──pieces, ≤ 4 MiB──► Pieces ──► process or tunnel
//!                                 └── over (a token) ──────────────────────────────────► whoever writes
//! ```
//! The task never waits for its reader: one channel that is not read stops all of a russh session, keepalives included
//! (`reference/performance.md` 4). It ends when its reader is gone ([`Pieces`] dropped), and closes the channel then, also
//! when that happens before the channel is open: so a caller may leave at any await.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use russh::client::Msg;
use russh::{Channel, ChannelMsg, ChannelReadHalf, ChannelWriteHalf, Sig};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use crate::domain::outcome::ExitReport;

use super::listener::Link;
use super::terminal;

/// Output that may wait for its reader.
const BUFFER: usize = 4 * 1024 * 1024;

/// What a waiting piece costs besides its bytes, so that many small ones are bounded too.
const PIECE: usize = 64;

/// After its exit status a command's channel should close. It stays open while something it started holds its output;
/// after so long without a message it counts as closed.
const LINGER: Duration = Duration::from_secs(5);

/// And after so long in all, however busy it is: time for a full window on a slow link.
const LINGER_IN_ALL: Duration = Duration::from_secs(60);

/// How long the task tries to say that the channel is closed.
const CLOSE: Duration = Duration::from_secs(5);

/// What to open.
#[derive(Clone)]
pub(super) enum Order {
    /// A command line for the login shell.
    Exec(Vec<u8>),
    /// The same on a terminal.
    ExecOnTerminal(Vec<u8>),
    /// The file service.
    Sftp,
    /// A TCP connection made by the host.
    Connect {
        /// Where to.
        host: String,
        /// And which port.
        port: u16,
    },
}

/// Something a channel gave.
pub(super) enum Piece {
    /// Bytes of stdout.
    Out(Bytes),
    /// Bytes of stderr.
    Err(Bytes),
    /// No more bytes will come.
    Eof,
}

/// How a channel ended.
#[derive(Debug)]
pub(super) enum End {
    /// It was closed.
    Closed(ExitReport),
    /// Its connection went away.
    Lost,
    /// Its reader was too slow.
    Overrun,
}

/// Why a channel was not opened.
pub(super) enum NotOpen {
    /// The server refused the channel.
    Channel(russh::ChannelOpenFailure),
    /// The server refused the command, or the file service.
    Command,
    /// The server refused the terminal.
    Terminal,
    /// The connection was gone before the server said anything about the channel: nothing was begun.
    Gone,
    /// The connection went away.
    Lost,
}

/// What both ends of the drain share.
#[derive(Default)]
struct Shared {
    held: AtomicUsize,
    end: OnceLock<End>,
    over: CancellationToken,
}

/// The reader's end.
pub(super) struct Pieces {
    queue: mpsc::UnboundedReceiver<Piece>,
    shared: Arc<Shared>,
}

/// An open channel.
pub(super) struct Opened {
    /// What it gives.
    pub(super) pieces: Pieces,
    /// What it takes.
    pub(super) write: Arc<ChannelWriteHalf<Msg>>,
}

/// Opens a channel.
pub(super) async fn open(link: Arc<Link>, order: Order) -> Result<Opened, NotOpen> {
    let shared = Arc::<Shared>::default();
    let (queue, pieces) = mpsc::unbounded_channel();
    let pieces = Pieces { queue: pieces, shared: Arc::clone(&shared) };
    let (ready, opened) = oneshot::channel();
    // Not joined: it is tied to `pieces` by their queue.
    tokio::spawn(Drain { queue, shared }.live(link, order, ready));
    match opened.await {
        Ok(Ok(write)) => Ok(Opened { pieces, write }),
        Ok(Err(why)) => Err(why),
        Err(_) => Err(NotOpen::Lost),
    }
}

impl Pieces {
    /// The next piece; `None` after the last, when [`Self::end`] is known. May be dropped at its await.
    pub(super) async fn next(&mut self) -> Option<Piece> {
        std::future::poll_fn(|cx| self.poll_next(cx)).await
    }

    /// [`Self::next`] by polling.
    pub(super) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Piece>> {
        let piece = ready!(self.queue.poll_recv(cx));
        if let Some(piece) = &piece {
            self.shared.held.fetch_sub(piece.cost(), Ordering::Relaxed);
        }
        Poll::Ready(piece)
    }

    /// How it ended, once it has.
    pub(super) fn end(&self) -> Option<&End> {
        self.shared.end.get()
    }

    /// What will be known of its end, also after it was read.
    pub(super) fn fate(&self) -> Fate {
        Fate(Arc::clone(&self.shared))
    }

    /// Cancelled when nothing more can be written: the command has ended or the connection is gone.
    pub(super) fn over(&self) -> &CancellationToken {
        &self.shared.over
    }
}

/// How a channel ends, for whoever does not read it.
pub(super) struct Fate(Arc<Shared>);

impl Fate {
    /// Did the connection go away under it?
    pub(super) fn is_lost(&self) -> bool {
        matches!(self.0.end.get(), Some(End::Lost))
    }
}

impl Piece {
    fn cost(&self) -> usize {
        match self {
            Self::Out(bytes) | Self::Err(bytes) => PIECE.saturating_add(bytes.len()),
            Self::Eof => PIECE,
        }
    }
}

/// The task's end.
struct Drain {
    queue: mpsc::UnboundedSender<Piece>,
    shared: Arc<Shared>,
}

type Ready = oneshot::Sender<Result<Arc<ChannelWriteHalf<Msg>>, NotOpen>>;

impl Drain {
    /// From the request to open until the channel is closed.
    async fn live(self, link: Arc<Link>, order: Order, ready: Ready) {
        let channel = match request(&link, &order).await {
            Ok(channel) => channel,
            Err(why) => return drop(ready.send(Err(why))),
        };
        // From here on only the channel keeps the connection's queue.
        drop(link);
        let (mut read, write) = channel.split();
        let write = Arc::new(write);
        let mut course = Course::default();
        let started = self.begin(order, (&mut read, &write), &mut course);
        let started = started.await;
        match started {
            Ok(()) => drop(ready.send(Ok(Arc::clone(&write)))),
            Err(why) => {
                close(&write).await;
                return drop(ready.send(Err(why)));
            }
        }
        let end = self.drain(&mut read, course).await;
        if let Some(end) = end {
            let _ = self.shared.end.set(end);
        }
        self.shared.over.cancel();
        drop(self);
        // Also when the server closed it: russh drops what is meant for a channel that is gone.
        close(&write).await;
    }

    /// Asks for what the open channel is for.
    async fn begin(
        &self,
        order: Order,
        (read, write): (&mut ChannelReadHalf, &ChannelWriteHalf<Msg>),
        course: &mut Course,
    ) -> Result<(), NotOpen> {
        let lost = |_| NotOpen::Lost;
        if let Order::ExecOnTerminal(_) = &order {
            terminal::request(write).await.map_err(lost)?;
            self.granted(read, NotOpen::Terminal, course).await?;
        }
        match order {
            Order::Exec(line) | Order::ExecOnTerminal(line) => write.exec(true, line).await.map_err(lost)?,
            Order::Sftp => write.request_subsystem(true, "sftp").await.map_err(lost)?,
            Order::Connect { .. } => return Ok(()),
        }
        self.granted(read, NotOpen::Command, course).await
    }

    /// Waits for the answer to a request; `refused` is what a no means. Output that comes before the answer is kept.
    async fn granted(&self, read: &mut ChannelReadHalf, refused: NotOpen, course: &mut Course) -> Result<(), NotOpen> {
        loop {
            let message = tokio::select! {
                message = read.wait() => message,
                () = self.queue.closed() => return Err(NotOpen::Lost),
            };
            match message {
                Some(ChannelMsg::Success) => return Ok(()),
                Some(ChannelMsg::Failure | ChannelMsg::Close) => return Err(refused),
                None => return Err(NotOpen::Lost),
                Some(other) => {
                    if self.take(other, course).is_some() {
                        return Err(refused);
                    }
                }
            }
        }
    }

    /// Takes all messages until the end; `None` when the reader left before.
    async fn drain(&self, read: &mut ChannelReadHalf, mut course: Course) -> Option<End> {
        loop {
            let message = tokio::select! {
                () = self.queue.closed() => return None,
                message = read.wait() => message,
                () = lingered(course.linger) => return Some(course.closed()),
            };
            let end = match message {
                Some(message) => self.take(message, &mut course),
                None => Some(course.cut()),
            };
            if end.is_some() {
                return end;
            }
        }
    }

    /// Takes one message.
    fn take(&self, message: ChannelMsg, course: &mut Course) -> Option<End> {
        let kept = match message {
            ChannelMsg::Data { data } => self.keep(Piece::Out(data)),
            ChannelMsg::ExtendedData { data, .. } => self.keep(Piece::Err(data)),
            ChannelMsg::Eof => {
                course.eof = true;
                self.keep(Piece::Eof)
            }
            ChannelMsg::ExitStatus { exit_status } => {
                self.report(ExitReport::Code(exit_status), course);
                true
            }
            ChannelMsg::ExitSignal { signal_name, .. } => {
                self.report(ExitReport::Signal(name(signal_name)), course);
                true
            }
            ChannelMsg::Close => return Some(course.closed()),
            // Window credit is counted by russh; the rest is for servers, or an answer that nobody waits for.
            _ => return None,
        };
        course.touch();
        (!kept).then_some(End::Overrun)
    }

    /// Queues a piece; false when there is no room.
    fn keep(&self, piece: Piece) -> bool {
        let cost = piece.cost();
        let held = self.shared.held.fetch_add(cost, Ordering::Relaxed);
        if held.saturating_add(cost) > BUFFER {
            return false;
        }
        // A reader who is gone is noticed by the loop.
        let _ = self.queue.send(piece);
        true
    }

    fn report(&self, report: ExitReport, course: &mut Course) {
        course.report.get_or_insert(report);
        course.give_up.get_or_insert_with(|| Instant::now() + LINGER_IN_ALL);
        self.shared.over.cancel();
    }
}

/// What a channel has shown so far.
#[derive(Default)]
struct Course {
    report: Option<ExitReport>,
    eof: bool,
    /// When it counts as closed unless another message comes.
    linger: Option<Instant>,
    /// When it counts as closed in any case.
    give_up: Option<Instant>,
}

impl Course {
    /// A message came.
    fn touch(&mut self) {
        self.linger = self.give_up.map(|last| last.min(Instant::now() + LINGER));
    }

    fn closed(&mut self) -> End {
        End::Closed(self.report.take().unwrap_or(ExitReport::NoStatus))
    }

    /// The connection went away. A command that said how it ended, and that its output is complete, has ended.
    fn cut(&mut self) -> End {
        match self.report.take() {
            Some(report) if self.eof => End::Closed(report),
            _ => End::Lost,
        }
    }
}

/// Opens the channel itself.
async fn request(link: &Link, order: &Order) -> Result<Channel<Msg>, NotOpen> {
    let opened = match order {
        Order::Exec(_) | Order::ExecOnTerminal(_) | Order::Sftp => link.channel_open_session().await,
        // The originator is for the server's log only.
        Order::Connect { host, port } => link.channel_open_direct_tcpip(host.clone(), u32::from(*port), "127.0.0.1", 0).await,
    };
    match opened {
        Ok(channel) => Ok(channel),
        Err(russh::Error::ChannelOpenFailure(why)) => Err(NotOpen::Channel(why)),
        Err(_) => Err(NotOpen::Gone),
    }
}

/// Waits for the moment; for ever without one.
async fn lingered(until: Option<Instant>) {
    match until {
        Some(until) => sleep_until(until).await,
        None => std::future::pending().await,
    }
}

/// Tells the server that the channel is closed; it may be gone.
async fn close(write: &ChannelWriteHalf<Msg>) {
    let _ = timeout(CLOSE, write.close()).await;
}

/// The signal's name as in RFC 4254.
fn name(signal: Sig) -> String {
    match signal {
        Sig::Custom(name) => name,
        known => format!("{known:?}"),
    }
}
