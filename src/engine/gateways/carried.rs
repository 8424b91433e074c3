//! A session that counts as one of its gateway's as long as it lives.
//!
//! Never here: which gateway that is (`gateways`).

use std::sync::Arc;

use async_trait::async_trait;

use super::Load;
use crate::transport::{Connector, ForwardError, Process, ReplacedKey, Session, Sftp, Stream, TransportError};

/// A session through a gateway.
pub(super) struct Carried {
    session: Box<dyn Session>,
    _load: Load,
}

impl Carried {
    pub(super) fn new(session: Box<dyn Session>, load: Load) -> Self {
        Self { session, _load: load }
    }
}

#[async_trait]
impl Session for Carried {
    async fn exec(&mut self, line: Vec<u8>) -> Result<Box<dyn Process>, TransportError> {
        self.session.exec(line).await
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

    fn replaced_key(&self) -> Option<ReplacedKey> {
        self.session.replaced_key()
    }

    async fn close(self: Box<Self>) {
        self.session.close().await;
    }
}
