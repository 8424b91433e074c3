//! A command on the host: its output, its stdin, its end.
//!
//! Never here: the channel's life ([`super::channel`]), what the command is.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use russh::ChannelWriteHalf;
use russh::client::Msg;
use tokio::time::timeout;

use crate::transport::{Output, Process, TransportError};

use super::channel::{End, Opened, Piece, Pieces};
use super::dial::Traffic;
use super::listener::Notes;

/// One write to russh: its packet size. A slice shares the bytes, nothing is copied on the way to russh's queue.
const SLICE: usize = 32 * 1024;

/// Bytes that russh may hold for a session: enough to keep the kernel's send buffer full.
const BACKLOG: u64 = 256 * 1024;

/// A writer that had to wait goes on when this much of it is left, so that each time it is woken it has more than one write.
const LOW: u64 = BACKLOG / 2;

/// A running command; dropped, its channel is closed.
pub(super) struct SshProcess {
    pieces: Pieces,
    write: Arc<ChannelWriteHalf<Msg>>,
    notes: Arc<Notes>,
    stalled: Duration,
    traffic: Traffic,
    /// The traffic at which all that was given to russh has reached the kernel, SSH's own bytes left out.
    due: u64,
}

impl SshProcess {
    /// A command that was started on an open channel; a write that moves nothing for `stalled` is an error.
    pub(super) fn new(opened: Opened, notes: Arc<Notes>, stalled: Duration, traffic: Traffic) -> Self {
        let Opened { pieces, write } = opened;
        let due = traffic.bytes();
        Self { pieces, write, notes, stalled, traffic, due }
    }

    /// Why the channel takes no more bytes.
    fn over(&self) -> TransportError {
        match self.pieces.end() {
            Some(End::Lost) => self.notes.lost(),
            Some(End::Overrun) => TransportError::Overrun,
            Some(End::Closed(_)) | None => TransportError::Ended,
        }
    }

    /// Sends something within the progress deadline, unless the command ends before.
    async fn send(&self, sending: impl Future<Output = Result<(), russh::Error>>) -> Result<(), TransportError> {
        tokio::select! {
            // First, so that nothing is sent to a command that has ended.
            biased;
            () = self.pieces.over().cancelled() => Err(self.over()),
            sent = timeout(self.stalled, sending) => match sent {
                Ok(Ok(())) => Ok(()),
                Ok(Err(_)) => Err(self.notes.lost()),
                Err(_) => Err(TransportError::Stalled(self.stalled)),
            },
        }
    }
}

#[async_trait]
impl Process for SshProcess {
    async fn next(&mut self) -> Result<Output, TransportError> {
        loop {
            match self.pieces.next().await {
                Some(Piece::Out(bytes)) => return Ok(Output::Stdout(bytes)),
                Some(Piece::Err(bytes)) => return Ok(Output::Stderr(bytes)),
                // Its exit report is still to come.
                Some(Piece::Eof) => {}
                None => break,
            }
        }
        match self.pieces.end() {
            Some(End::Closed(report)) => Ok(Output::Exit(report.clone())),
            Some(End::Overrun) => Err(TransportError::Overrun),
            Some(End::Lost) | None => Err(self.notes.lost()),
        }
    }

    async fn write(&mut self, mut bytes: Bytes) -> Result<(), TransportError> {
        while !bytes.is_empty() {
            let slice = bytes.split_to(bytes.len().min(SLICE));
            let size = slice.len() as u64;
            self.send(async {
                if self.traffic.bytes() < self.due.saturating_sub(BACKLOG) {
                    self.traffic.reach(self.due.saturating_sub(LOW)).await;
                }
                self.write.data_bytes(slice).await
            })
            .await?;
            // An idle writer starts from where the connection is now.
            self.due = self.due.max(self.traffic.bytes()) + size;
        }
        Ok(())
    }

    async fn finish(&mut self) -> Result<(), TransportError> {
        match self.send(self.write.eof()).await {
            // The stdin of a command that has ended is closed.
            Err(TransportError::Ended) => Ok(()),
            other => other,
        }
    }
}
