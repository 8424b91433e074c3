//! Files of the host: SFTP on a channel, by `russh_sftp`.
//!
//! Many writes are under way at once, so that a far host costs no round trip for each of them. Never here: the channel's life
//! ([`super::channel`]), where a file goes and whether it is whole.
//!
//! To add an operation: its method in [`Sftp`], and a request here; every answer is waited for by [`Service::ask`].

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use russh_sftp::client::error::Error;
use russh_sftp::client::{Config, RawSftpSession};
use russh_sftp::protocol::{FileAttributes, OpenFlags, Status, StatusCode};
use tokio::time::timeout;

use crate::transport::{Sftp, TransportError};

use super::channel::{Fate, Opened};
use super::listener::Notes;
use super::tunnel::Tunnel;

/// Bytes of one write: what every server takes.
const SLICE: usize = 32 * 1024;

/// Writes that wait for their answer: 2 MiB, a channel's whole window.
const IN_FLIGHT: usize = 64;

/// The limit of `russh_sftp` for one request, which begins while that still waits for its turn; ours is about progress.
const NEVER: u64 = 365 * 24 * 3600;

/// Who owns it may do everything, nobody else anything.
const PRIVATE: u32 = 0o700;

/// A file service; dropped, its channel is closed.
pub(super) struct SshSftp {
    service: Service,
    file: Option<File>,
    /// Handles of the files that are read, by path.
    reading: BTreeMap<String, String>,
}

/// Who is asked.
struct Service {
    raw: Arc<RawSftpSession>,
    fate: Fate,
    notes: Arc<Notes>,
    /// Deadline of the next answer.
    patience: Duration,
}

/// The file that is being written.
struct File {
    path: String,
    handle: String,
    offset: u64,
    flying: FuturesUnordered<Flight>,
}

/// A write under way.
type Flight = Pin<Box<dyn Future<Output = Result<Status, Error>> + Send>>;

impl SshSftp {
    /// The service on an open channel.
    pub(super) async fn begin(opened: Opened, notes: Arc<Notes>, patience: Duration) -> Result<Self, TransportError> {
        let tunnel = Tunnel::new(opened);
        let fate = tunnel.fate();
        let raw = RawSftpSession::new_with_config(tunnel, Config { request_timeout_secs: NEVER, ..Config::default() });
        let service = Service { raw: Arc::new(raw), fate, notes, patience };
        match timeout(patience, service.raw.init()).await {
            Ok(Ok(_)) => Ok(Self { service, file: None, reading: BTreeMap::new() }),
            // The request was granted, and what should have served it is not there or said something else.
            Ok(Err(error)) if !service.fate.is_lost() => {
                let cause = format!("it began and ended ({error})");
                Err(TransportError::NoSftp { endpoint: service.notes.endpoint(), cause })
            }
            Ok(Err(_)) => Err(service.notes.lost()),
            Err(_) => Err(TransportError::Stalled(patience)),
        }
    }

    /// Waits for answers until at most so many writes are without one.
    async fn landed(&mut self, most: usize) -> Result<(), TransportError> {
        let Some(File { path, flying, .. }) = self.file.as_mut() else { return Ok(()) };
        while flying.len() > most {
            let next = async { flying.next().await.transpose() };
            self.service.ask(path, next).await?;
        }
        Ok(())
    }

    /// Sends what was begun and takes in the answers that are there, without waiting.
    async fn stir(&mut self) -> Result<(), TransportError> {
        let Some(File { path, flying, .. }) = self.file.as_mut() else { return Ok(()) };
        let failed = std::future::poll_fn(|cx| {
            loop {
                match flying.poll_next_unpin(cx) {
                    Poll::Ready(Some(Ok(_))) => {}
                    Poll::Ready(Some(Err(error))) => return Poll::Ready(Some(error)),
                    Poll::Ready(None) | Poll::Pending => return Poll::Ready(None),
                }
            }
        });
        failed.await.map_or(Ok(()), |error| Err(self.service.failure(path, error)))
    }
}

impl Service {
    /// Waits for an answer about `path`.
    async fn ask<T>(&self, path: &str, asking: impl Future<Output = Result<T, Error>>) -> Result<T, TransportError> {
        match timeout(self.patience, asking).await {
            Ok(answer) => answer.map_err(|error| self.failure(path, error)),
            Err(_) => Err(TransportError::Stalled(self.patience)),
        }
    }

    /// The same, where one refusal is an answer, too.
    async fn unless<T>(
        &self,
        path: &str,
        refusal: StatusCode,
        asking: impl Future<Output = Result<T, Error>>,
    ) -> Result<Option<T>, TransportError> {
        let asked = async {
            match asking.await {
                Err(Error::Status(status)) if status.status_code == refusal => Ok(None),
                answer => answer.map(Some),
            }
        };
        self.ask(path, asked).await
    }

    fn failure(&self, path: &str, error: Error) -> TransportError {
        match error {
            Error::Status(status) => {
                let cause = format!("{} ({})", status.error_message, status.status_code);
                TransportError::File { path: path.to_owned(), cause }
            }
            _ if self.fate.is_lost() => self.notes.lost(),
            ended => TransportError::Lost { endpoint: self.notes.endpoint(), cause: format!("its SFTP ended: {ended}") },
        }
    }
}

#[async_trait]
impl Sftp for SshSftp {
    async fn make_dir(&mut self, path: &str) -> Result<(), TransportError> {
        let private = || FileAttributes { permissions: Some(PRIVATE), ..FileAttributes::empty() };
        let Service { raw, .. } = &self.service;
        match self.service.ask(path, raw.mkdir(path, private())).await {
            // Nothing tells one that is there from one that cannot be made.
            Err(TransportError::File { .. }) => self.service.ask(path, raw.setstat(path, private())).await.map(drop),
            made => made.map(drop),
        }
    }

    async fn open(&mut self, path: &str, offset: u64) -> Result<(), TransportError> {
        let flags = OpenFlags::WRITE | OpenFlags::CREATE;
        let flags = if offset == 0 { flags | OpenFlags::TRUNCATE } else { flags };
        let handle = self.service.ask(path, self.service.raw.open(path, flags, FileAttributes::empty())).await?.handle;
        self.file = Some(File { path: path.to_owned(), handle, offset, flying: FuturesUnordered::new() });
        Ok(())
    }

    async fn write(&mut self, mut bytes: Bytes) -> Result<(), TransportError> {
        while !bytes.is_empty() {
            self.landed(IN_FLIGHT - 1).await?;
            let slice = bytes.split_to(bytes.len().min(SLICE));
            let raw = Arc::clone(&self.service.raw);
            let Some(file) = self.file.as_mut() else { return Err(TransportError::Ended) };
            let (handle, offset) = (file.handle.clone(), file.offset);
            file.offset += slice.len() as u64;
            file.flying.push(Box::pin(async move { raw.write(handle, offset, slice.to_vec()).await }));
            self.stir().await?;
        }
        Ok(())
    }

    async fn finish(&mut self) -> Result<(), TransportError> {
        self.landed(0).await?;
        let Some(File { path, handle, .. }) = self.file.take() else { return Ok(()) };
        self.service.ask(&path, self.service.raw.close(handle)).await.map(drop)
    }

    async fn read(&mut self, path: &str, offset: u64) -> Result<Option<Bytes>, TransportError> {
        let Service { raw, .. } = &self.service;
        let handle = match self.reading.get(path) {
            Some(handle) => handle.clone(),
            None => {
                let opening = raw.open(path, OpenFlags::READ, FileAttributes::empty());
                let Some(opened) = self.service.unless(path, StatusCode::NoSuchFile, opening).await? else { return Ok(None) };
                self.reading.insert(path.to_owned(), opened.handle.clone());
                opened.handle
            }
        };
        let reading = raw.read(handle, offset, SLICE as u32);
        let data = self.service.unless(path, StatusCode::Eof, reading).await?;
        Ok(Some(data.map_or_else(Bytes::new, |data| data.data.into())))
    }
}
