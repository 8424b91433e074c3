//! A session that goes on although its connection ended: some servers end it after each command (tinyssh).
//!
//! The next command or connection of the host logs in anew then, once; what comes of that is the caller's. Never here: a
//! connection that breaks under a command, or that cannot be had again, which are tries of the host ([`super::host_task`]).

use std::sync::Arc;

use async_trait::async_trait;

use super::limits::Limits;
use crate::transport::{
    Connector, ForwardError, Login, Process, ReplacedKey, Session, Sftp, Stream, Target, Transport, TransportError,
};

/// How the host is logged in to again.
pub(super) struct Again {
    pub(super) transport: Arc<dyn Transport>,
    pub(super) limits: Arc<Limits>,
    pub(super) target: Target,
    pub(super) login: Login,
}

/// A session, and how to have another one in its place.
pub(super) struct Renewed {
    session: Box<dyn Session>,
    replaced_key: Option<ReplacedKey>,
    again: Again,
}

impl Renewed {
    /// A session that was had by the very login.
    pub(super) fn new(session: Box<dyn Session>, mut again: Again) -> Self {
        // The first login pinned what may be met from now on.
        again.target.accepts_new_key = false;
        Self { replaced_key: session.replaced_key(), session, again }
    }

    /// Logs in anew. A refusal is told as it is; whatever else keeps us out is a connection that was lost, and a try.
    async fn renew(&mut self) -> Result<(), TransportError> {
        let Again { transport, limits, target, login } = &self.again;
        let _permit = match target.via {
            None => limits.handshake(target.dial, target.port).await,
            Some(_) => {
                limits.start().await;
                None
            }
        };
        tracing::debug!(host = %target.address, "the server ended the connection after a command");
        self.session = transport.connect(target, login).await.map_err(|error| match error {
            error if error.is_final() => error,
            error => TransportError::Lost { endpoint: target.endpoint(), cause: format!("it ended after a command; {error}") },
        })?;
        Ok(())
    }
}

#[async_trait]
impl Session for Renewed {
    async fn exec(&mut self, line: Vec<u8>) -> Result<Box<dyn Process>, TransportError> {
        match self.session.exec(line.clone()).await {
            Err(TransportError::Spent { .. }) => {
                self.renew().await?;
                self.session.exec(line).await
            }
            begun => begun,
        }
    }

    async fn exec_on_terminal(&mut self, line: Vec<u8>) -> Result<Box<dyn Process>, TransportError> {
        match self.session.exec_on_terminal(line.clone()).await {
            Err(TransportError::Spent { .. }) => {
                self.renew().await?;
                self.session.exec_on_terminal(line).await
            }
            begun => begun,
        }
    }

    async fn sftp(&mut self) -> Result<Box<dyn Sftp>, TransportError> {
        match self.session.sftp().await {
            Err(TransportError::Spent { .. }) => {
                self.renew().await?;
                self.session.sftp().await
            }
            opened => opened,
        }
    }

    fn connector(&self) -> Arc<dyn Connector> {
        self.session.connector()
    }

    async fn forward(&mut self, host: &str, port: u16) -> Result<Box<dyn Stream>, ForwardError> {
        match self.session.forward(host, port).await {
            Err(ForwardError::Transport(TransportError::Spent { .. })) => {
                self.renew().await?;
                self.session.forward(host, port).await
            }
            opened => opened,
        }
    }

    fn replaced_key(&self) -> Option<ReplacedKey> {
        self.replaced_key.clone()
    }

    async fn close(self: Box<Self>) {
        self.session.close().await;
    }
}
