//! The key that secrets are sealed under: another one takes its place, whatever else runs.
//!
//! Never here: how a secret is sealed, and which step of a change has to be durable before the next (the record's).

use std::time::Duration;

use super::{Service, ServiceError, StoreError};
use crate::domain::Timestamp;
pub use crate::store::KeyChange;

/// Secrets in one transaction: a moment's work, so that nobody else waits for long.
const BATCH: u32 = 500;
/// Pause when all that is left is in the hands of other transactions.
const PAUSE: Duration = Duration::from_millis(100);
/// That many pauses in a row are a fault: no transaction of ours takes half a minute.
const MOST_PAUSES: u32 = 600;

/// A change of keys that is over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rotated {
    /// From which key to which.
    pub change: KeyChange,
    /// Secrets that were sealed anew.
    pub resealed: u64,
}

impl Service {
    /// Makes the next key and has it wait in the key file. Nothing is sealed under it yet.
    ///
    /// # Errors
    /// When the key file cannot be changed.
    pub async fn prepare_key(&self) -> Result<KeyChange, ServiceError> {
        Ok(self.store.prepare_key().await?)
    }

    /// Puts another key in the place of the present one and seals everything anew. What was broken off is gone on with.
    /// `told` gets how many secrets each step sealed, and how many are left.
    ///
    /// # Errors
    /// When the key file or the record cannot be changed; the next call goes on.
    pub async fn rotate_key(&self, mut told: impl FnMut(u64, u64)) -> Result<Rotated, ServiceError> {
        let change = self.store.prepare_key().await?;
        let (mut resealed, mut pauses) = (0, 0);
        loop {
            let step = self.store.reseal(&change, BATCH).await?;
            resealed += step.done;
            told(step.done, step.left);
            if step.left == 0 {
                break;
            }
            pauses = if step.done == 0 { pauses + 1 } else { 0 };
            if pauses > MOST_PAUSES {
                let source = "other transactions do not let go of them".into();
                return Err(StoreError::Unavailable { what: format!("seal {} secrets anew", step.left), source }.into());
            }
            if pauses > 0 {
                tokio::time::sleep(PAUSE).await;
            }
        }
        self.store.retire_key(&change).await?;
        Ok(Rotated { change, resealed })
    }

    /// Removes the credentials whose time has come at a moment; how many.
    ///
    /// # Errors
    /// When the record fails.
    pub async fn purge_at(&self, at: Timestamp) -> Result<u64, ServiceError> {
        Ok(self.store.purge_credentials(at).await?)
    }

    /// What time it is for the record.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.engine.now()
    }
}
