//! Is it the right host? What is expected of its key, and the judgement on the one it shows.
//!
//! The expectation is looked up before the handshake, so that judging needs no waiting and no secret is sent to a wrong
//! host. Never here: pinning (after the login, [`super::SshTransport`]).
//!
//! To add a policy: a variant of [`HostKeyPolicy`], and its arm in [`Expectation::look_up`].

use std::path::{Path, PathBuf};
use std::sync::Once;

use russh::keys::ssh_key::known_hosts::{KnownHosts, Marker};
use russh::keys::{Algorithm, HashAlg, PublicKey, known_hosts};

use crate::domain::site::HostKeyPolicy;
use crate::transport::{HostKeys, Target, TransportError};

use super::SshSettings;

/// What the key of a host may be.
#[derive(Debug)]
pub(super) enum Expectation {
    /// Anything: the check is off.
    Unchecked,
    /// Anything, because it is the first time; to be pinned.
    New,
    /// One of these; none of them when empty.
    Known(Vec<PublicKey>),
}

impl Expectation {
    /// Asks the record, or the known_hosts file.
    pub(super) async fn look_up(settings: &SshSettings, record: &dyn HostKeys, target: &Target) -> Result<Self, TransportError> {
        Ok(match settings.host_keys {
            HostKeyPolicy::Off => Self::Unchecked,
            HostKeyPolicy::AcceptNew => pinned(record, target).await?.map_or(Self::New, |key| Self::Known(vec![key])),
            HostKeyPolicy::Strict => Self::Known(pinned(record, target).await?.into_iter().collect()),
            // The same address in another cloud is another host, and the file knows only addresses.
            HostKeyPolicy::KnownHosts if target.address.cloud != 0 => Self::Known(Vec::new()),
            HostKeyPolicy::KnownHosts => Self::Known(read_known_hosts(settings.known_hosts.clone(), target).await?),
        })
    }

    /// Is this key what was expected?
    pub(super) fn judge(&self, endpoint: &str, offered: &PublicKey) -> Result<(), TransportError> {
        let Self::Known(keys) = self else { return Ok(()) };
        if keys.iter().any(|key| key.key_data() == offered.key_data()) {
            return Ok(());
        }
        let same_kind = keys.iter().find(|key| key.algorithm() == offered.algorithm());
        let (endpoint, fresh) = (endpoint.to_owned(), fingerprint(offered));
        Err(match same_kind.or(keys.first()) {
            Some(key) => TransportError::HostKeyChanged { endpoint, pinned: fingerprint(key), offered: fresh },
            None => TransportError::HostKeyUnknown { endpoint, offered: fresh },
        })
    }

    /// The algorithm to ask for first.
    pub(super) fn algorithm(&self) -> Option<Algorithm> {
        match self {
            Self::Known(keys) => keys.first().map(PublicKey::algorithm),
            Self::Unchecked | Self::New => None,
        }
    }

    /// Has the key to be pinned once the login succeeded?
    pub(super) fn pins(&self) -> bool {
        matches!(self, Self::New)
    }
}

/// Says once per process that keys are not checked.
pub(super) fn warn_unchecked() {
    static SAID: Once = Once::new();
    SAID.call_once(|| {
        tracing::warn!("host keys are not checked (host_keys = \"off\"): anybody in between can read passwords");
    });
}

/// SHA-256, as ssh-keygen prints it.
pub(super) fn fingerprint(key: &PublicKey) -> String {
    key.fingerprint(HashAlg::Sha256).to_string()
}

/// The same of a key as the record keeps it; `None` when it is no key.
#[must_use]
pub fn fingerprint_of(openssh: &str) -> Option<String> {
    PublicKey::from_openssh(openssh).ok().map(|key| fingerprint(&key))
}

/// The key as the record keeps it: algorithm and base64, no comment.
pub(super) fn openssh(key: &PublicKey) -> Result<String, TransportError> {
    PublicKey::new(key.key_data().clone(), "").to_openssh().map_err(|error| record_failed(error.to_string()))
}

/// The pinned key of the record.
async fn pinned(record: &dyn HostKeys, target: &Target) -> Result<Option<PublicKey>, TransportError> {
    let Some(text) = record.pinned(target).await? else { return Ok(None) };
    // Not "no key": whoever can damage the record must not get a new key accepted by it.
    PublicKey::from_openssh(&text).map(Some).map_err(|error| record_failed(format!("unreadable key: {error}")))
}

/// The keys of the file for the dialled address, without those it revokes.
async fn read_known_hosts(path: Option<PathBuf>, target: &Target) -> Result<Vec<PublicKey>, TransportError> {
    let (host, port) = (target.dial.to_string(), target.port);
    let path = path.or_else(|| std::env::home_dir().map(|home| home.join(".ssh/known_hosts")));
    let path = path.ok_or_else(|| record_failed("no known_hosts file and no home directory".to_owned()))?;
    tokio::task::spawn_blocking(move || keys_of_file(&path, &host, port))
        .await
        .map_err(|error| record_failed(error.to_string()))?
}

/// See [`read_known_hosts`].
fn keys_of_file(path: &Path, host: &str, port: u16) -> Result<Vec<PublicKey>, TransportError> {
    let failed = |error: &dyn std::fmt::Display| record_failed(format!("{}: {error}", path.display()));
    // russh takes a file that cannot be read for an empty one.
    let text = std::fs::read_to_string(path).map_err(|error| failed(&error))?;
    let found = known_hosts::known_host_keys_path(host, port, path).map_err(|error| failed(&error))?;
    let revoked: Vec<PublicKey> = KnownHosts::new(&text)
        .filter_map(Result::ok)
        .filter(|entry| entry.marker() == Some(&Marker::Revoked))
        .map(|entry| entry.public_key().clone())
        .collect();
    let is_revoked = |key: &PublicKey| revoked.iter().any(|bad| bad.key_data() == key.key_data());
    Ok(found.into_iter().map(|(_, key)| key).filter(|key| !is_revoked(key)).collect())
}

fn record_failed(cause: String) -> TransportError {
    TransportError::HostKeyRecord { cause }
}
