//! A TCP connection made by the host, as a byte stream.
//!
//! Never here: the channel's life ([`super::channel`]). What the other side sends is drained like a command's output, so a
//! reader that falls 4 MiB behind gets an error, and the session goes on.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_util::sync::WaitForCancellationFutureOwned;

use super::channel::{End, Fate, Opened, Piece, Pieces};

/// The stream; dropped, its channel is closed.
pub(super) struct Tunnel {
    pieces: Pieces,
    /// What was taken from `pieces` and not read yet.
    rest: Bytes,
    eof: bool,
    write: Pin<Box<dyn AsyncWrite + Send>>,
    over: Pin<Box<WaitForCancellationFutureOwned>>,
}

impl Tunnel {
    /// The stream of an open channel.
    pub(super) fn new(opened: Opened) -> Self {
        let Opened { pieces, write } = opened;
        let over = Box::pin(pieces.over().clone().cancelled_owned());
        Self { pieces, rest: Bytes::new(), eof: false, write: Box::pin(write.make_writer()), over }
    }

    /// What will be known of its end.
    pub(super) fn fate(&self) -> Fate {
        self.pieces.fate()
    }

    /// Errors when nothing can be written any more: russh's writer would wait for window for ever.
    fn check_open(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        match self.over.as_mut().poll(cx) {
            Poll::Ready(()) => Err(io::ErrorKind::BrokenPipe.into()),
            Poll::Pending => Ok(()),
        }
    }

    /// What the end of the channel means to a reader.
    fn end(&self) -> io::Result<()> {
        match self.pieces.end() {
            Some(End::Closed(_)) => Ok(()),
            Some(End::Overrun) => Err(io::Error::other("output came faster than it was read")),
            Some(End::Lost) | None => Err(io::ErrorKind::ConnectionReset.into()),
        }
    }
}

impl AsyncRead for Tunnel {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        while self.rest.is_empty() {
            if self.eof {
                return Poll::Ready(Ok(()));
            }
            match ready!(self.pieces.poll_next(cx)) {
                Some(Piece::Out(bytes)) => self.rest = bytes,
                Some(Piece::Err(_)) => {}
                Some(Piece::Eof) => self.eof = true,
                None => return Poll::Ready(self.end()),
            }
        }
        let count = self.rest.len().min(buf.remaining());
        buf.put_slice(&self.rest.split_to(count));
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Tunnel {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if bytes.is_empty() {
            return Poll::Ready(Ok(0));
        }
        self.check_open(cx)?;
        self.write.as_mut().poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.write.as_mut().poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.check_open(cx).is_err() {
            return Poll::Ready(Ok(()));
        }
        self.write.as_mut().poll_shutdown(cx)
    }
}
