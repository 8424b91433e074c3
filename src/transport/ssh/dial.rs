//! The line below russh, and the stream that russh reads and writes: a TCP connection of our own, or a channel of a gateway.
//!
//! Never here: SSH. Three things are done to the bytes' way, each for a measured reason (`reference/performance.md` 1, 3):
//! TCP_QUICKACK is armed again after every read (sshd keeps Nagle on and would wait 40 ms for our delayed ACK: 2.4 times
//! the latency), reads go through 4 KiB (russh reads every packet in two small pieces), and nodelay is on.

use std::io;
use std::net::{Shutdown, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, BufReader, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::time::timeout;
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

use crate::transport::TransportError;

use super::gateway::Lease;
use super::greeting::Greeting;
use super::tunnel::Tunnel;

/// Read buffer: more only costs memory per session (8 KiB: +8 kB, no gain).
const READ_BUFFER: usize = 4096;

/// The kernel gives up on unacknowledged or unaccepted bytes after this. russh sends no keepalive while a write is
/// blocked, so a peer that died in the middle of an upload would else be noticed after a quarter of an hour.
const UNACKNOWLEDGED: Duration = Duration::from_secs(60);

/// What [`dial`] gives.
pub(super) struct Dialled {
    /// For russh.
    pub(super) line: BufReader<Line>,
    /// Shuts the connection down when dropped.
    pub(super) hangup: Hangup,
    /// What the server says first.
    pub(super) greeting: Greeting,
}

/// Opens the TCP connection within `after`.
pub(super) async fn dial(address: SocketAddr, after: Duration) -> Result<Dialled, TransportError> {
    let endpoint = address.to_string();
    let tcp = match timeout(after, TcpStream::connect(address)).await {
        Ok(Ok(tcp)) => Arc::new(tcp),
        Ok(Err(error)) => return Err(unreachable(endpoint, &error, after)),
        Err(_) => return Err(TransportError::TimedOut { endpoint, phase: "connect", after }),
    };
    // Neither option decides whether the host can be reached.
    let _ = tcp.set_nodelay(true);
    let _ = SockRef::from(&*tcp).set_tcp_user_timeout(Some(UNACKNOWLEDGED));
    Ok(dialled(Wire::Tcp(Arc::clone(&tcp)), End::Tcp(tcp)))
}

/// A line through a gateway; `lease` keeps the gateway's connection.
pub(super) fn through(tunnel: Tunnel, lease: Lease) -> Dialled {
    let hung_up = CancellationToken::new();
    let gone = Box::pin(hung_up.clone().cancelled_owned());
    dialled(Wire::Tunnel { tunnel, gone, _lease: lease }, End::Tunnel(hung_up))
}

fn dialled(wire: Wire, end: End) -> Dialled {
    let (traffic, greeting) = (Traffic::default(), Greeting::default());
    let hangup = Hangup { end, traffic: traffic.clone() };
    let line = BufReader::with_capacity(READ_BUFFER, Line { wire, traffic, listens: Some(greeting.clone()) });
    Dialled { line, hangup, greeting }
}

/// Why the connection was not made.
fn unreachable(endpoint: String, error: &io::Error, after: Duration) -> TransportError {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => TransportError::Refused { endpoint },
        io::ErrorKind::TimedOut => TransportError::TimedOut { endpoint, phase: "connect", after },
        io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionAborted => {
            TransportError::Closed { endpoint, phase: "handshake", cause: error.to_string() }
        }
        // Unreachable network or host, and what only our side can cause (no address, no descriptor, a local firewall).
        _ => TransportError::NoRoute { endpoint, cause: error.to_string() },
    }
}

/// Shuts the connection down when dropped, whatever russh's task is doing: it may be blocked in a write, or hold the
/// line for channels that nobody uses any more.
pub(super) struct Hangup {
    end: End,
    traffic: Traffic,
}

/// Our end of a line.
enum End {
    Tcp(Arc<TcpStream>),
    /// Ends the reading side, which russh always waits at.
    Tunnel(CancellationToken),
}

impl Hangup {
    /// What the connection has carried.
    pub(super) fn traffic(&self) -> Traffic {
        self.traffic.clone()
    }
}

impl Drop for Hangup {
    fn drop(&mut self) {
        match &self.end {
            // It fails when the server was faster.
            End::Tcp(tcp) => drop(SockRef::from(&**tcp).shutdown(Shutdown::Both)),
            End::Tunnel(hung_up) => hung_up.cancel(),
        }
    }
}

/// How many bytes the kernel has taken from russh. russh gathers a whole window (2 MiB) of what it is given in a buffer
/// that it never gives back; a writer that watches this keeps that buffer small while the kernel's own stays full.
#[derive(Clone, Default)]
pub(super) struct Traffic(Arc<Passed>);

struct Passed {
    bytes: AtomicU64,
    /// What the first of those who wait is waiting for. Nobody is woken before: a wake-up for each write of the kernel's costs
    /// more than the write's own share of an upload.
    wanted: AtomicU64,
    moved: Notify,
}

impl Default for Passed {
    fn default() -> Self {
        Self { bytes: AtomicU64::new(0), wanted: AtomicU64::new(u64::MAX), moved: Notify::new() }
    }
}

impl Traffic {
    /// Bytes so far, what SSH adds to them included.
    pub(super) fn bytes(&self) -> u64 {
        self.0.bytes.load(Ordering::SeqCst)
    }

    /// Waits until at least `bytes` have passed.
    pub(super) async fn reach(&self, bytes: u64) {
        loop {
            // Registered and said before the look, so that no step between is missed.
            let moved = self.0.moved.notified();
            if self.bytes() >= bytes {
                return;
            }
            self.0.wanted.fetch_min(bytes, Ordering::SeqCst);
            if self.bytes() >= bytes {
                return;
            }
            moved.await;
        }
    }

    fn add(&self, count: usize) {
        let count = count as u64;
        let bytes = self.0.bytes.fetch_add(count, Ordering::SeqCst) + count;
        if bytes >= self.0.wanted.load(Ordering::SeqCst) {
            // Whoever wants more says so again.
            self.0.wanted.store(u64::MAX, Ordering::SeqCst);
            self.0.moved.notify_waiters();
        }
    }
}

/// The line as russh sees it.
pub(super) struct Line {
    wire: Wire,
    traffic: Traffic,
    /// Until it has heard enough.
    listens: Option<Greeting>,
}

/// What the bytes go over.
enum Wire {
    Tcp(Arc<TcpStream>),
    Tunnel { tunnel: Tunnel, gone: Pin<Box<WaitForCancellationFutureOwned>>, _lease: Lease },
}

impl AsyncRead for Line {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        ready!(self.wire.poll_read(cx, buf))?;
        let fresh = buf.filled().get(before..).unwrap_or_default();
        if self.listens.as_ref().is_some_and(|greeting| !greeting.hear(fresh)) {
            self.listens = None;
        }
        Poll::Ready(Ok(()))
    }
}

impl Wire {
    fn poll_read(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let tcp = match self {
            Self::Tcp(tcp) => tcp,
            Self::Tunnel { tunnel, gone, .. } => {
                if gone.as_mut().poll(cx).is_ready() {
                    return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
                }
                return Pin::new(tunnel).poll_read(cx, buf);
            }
        };
        loop {
            ready!(tcp.poll_read_ready(cx))?;
            match tcp.try_read(buf.initialize_unfilled()) {
                Ok(count) => {
                    buf.advance(count);
                    // The kernel forgets it after every few segments.
                    let _ = SockRef::from(&**tcp).set_tcp_quickack(true);
                    return Poll::Ready(Ok(()));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let tcp = match self {
            Self::Tcp(tcp) => tcp,
            Self::Tunnel { tunnel, .. } => return Pin::new(tunnel).poll_write(cx, bytes),
        };
        loop {
            ready!(tcp.poll_write_ready(cx))?;
            match tcp.try_write(bytes) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                done => return Poll::Ready(done),
            }
        }
    }
}

impl AsyncWrite for Line {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let done = ready!(self.wire.poll_write(cx, bytes));
        self.traffic.add(*done.as_ref().unwrap_or(&0));
        Poll::Ready(done)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.wire {
            Wire::Tcp(_) => Poll::Ready(Ok(())),
            Wire::Tunnel { tunnel, .. } => Pin::new(tunnel).poll_flush(cx),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.wire {
            Wire::Tcp(tcp) => {
                // A connection that is gone already is shut down enough; russh would report this error in place of the true one.
                let _ = SockRef::from(&**tcp).shutdown(Shutdown::Write);
                Poll::Ready(Ok(()))
            }
            Wire::Tunnel { tunnel, .. } => Pin::new(tunnel).poll_shutdown(cx),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_system_says_decides_what_it_means() {
        let say = |code| unreachable("h:22".into(), &io::Error::from_raw_os_error(code), Duration::from_secs(1));
        assert!(matches!(say(nix::libc::ECONNREFUSED), TransportError::Refused { .. }));
        assert!(matches!(say(nix::libc::EHOSTUNREACH), TransportError::NoRoute { .. }));
        assert!(matches!(say(nix::libc::ENETUNREACH), TransportError::NoRoute { .. }));
        assert!(matches!(say(nix::libc::ETIMEDOUT), TransportError::TimedOut { phase: "connect", .. }));
    }
}
