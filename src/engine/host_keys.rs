//! Pinned host keys, read from the record and written through the journal.

use std::sync::Arc;

use async_trait::async_trait;

use super::clock::Clock;
use super::journal::Journal;
use crate::store::{PinnedKey, Store, Write};
use crate::transport::{HostKeys, Target, TransportError};

/// The record's host keys, as the transport sees them.
pub(super) struct RecordedKeys {
    pub(super) store: Arc<dyn Store>,
    pub(super) journal: Journal,
    pub(super) clock: Arc<dyn Clock>,
}

#[async_trait]
impl HostKeys for RecordedKeys {
    async fn pinned(&self, target: &Target) -> Result<Option<String>, TransportError> {
        let pinned = self.store.pinned_key(target.address.cloud, target.dial, target.port).await;
        pinned
            .map(|pinned| pinned.map(|pinned| pinned.key))
            .map_err(|error| TransportError::HostKeyRecord { cause: error.to_string() })
    }

    async fn pin(&self, target: &Target, key: &str) -> Result<(), TransportError> {
        let pinned = PinnedKey {
            cloud: target.address.cloud,
            address: target.dial,
            port: target.port,
            key: key.to_owned(),
            at: self.clock.now(),
        };
        let write = if target.accepts_new_key { Write::ReplaceKey(pinned) } else { Write::PinKey(pinned) };
        self.journal.write(write).await.map_err(|error| TransportError::HostKeyRecord { cause: error.to_string() })
    }
}
