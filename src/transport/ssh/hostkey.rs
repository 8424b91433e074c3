//! Is it the right host? What is expected of its key, and the judgement on the one it shows.
//!
//! The expectation is looked up before the handshake, so that judging needs no waiting and no secret is sent to a wrong
//! host. Never here: pinning (after the login, [`super::SshTransport`]).
//!
//! A certificate counts where a known_hosts file names its authority for the host; then no key is pinned, for the authority
//! vouches for the next one, too. What the file revokes is refused under every policy but `off`.
//!
//! To add a policy: a variant of [`HostKeyPolicy`], and its arm in [`Expectation::look_up`].

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Once;

use russh::keys::ssh_key::public::KeyData;
use russh::keys::{Algorithm, Certificate, HashAlg, PublicKey, PublicKeyOrCertificate};

use crate::domain::site::HostKeyPolicy;
use crate::transport::{HostKeys, Target, TransportError};

use super::SshSettings;
use super::known_hosts::{Listed, glob};

/// What a host may show.
#[derive(Debug)]
pub(super) struct Expectation {
    keys: Keys,
    /// What a known_hosts file says beside keys.
    listed: Listed,
    /// May another key take the place of the pinned one?
    accepts_new: bool,
}

/// The plain keys of a host.
#[derive(Debug)]
enum Keys {
    /// Anything: the check is off.
    Unchecked,
    /// Anything, because it is the first time; to be pinned.
    New,
    /// One of these; none of them when empty.
    Known(Vec<PublicKey>),
}

/// The judgement on what a host showed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Judgement {
    /// Known, vouched for, or not checked: nothing to write down.
    Fits,
    /// To be pinned once the login succeeded.
    First,
    /// The same, in place of the pinned one with this fingerprint.
    Replaces(String),
}

impl Expectation {
    /// Asks the record, or the known_hosts file.
    pub(super) async fn look_up(settings: &SshSettings, record: &dyn HostKeys, target: &Target) -> Result<Self, TransportError> {
        let policy = settings.host_keys;
        // The same address in another cloud is another host, and the file knows only addresses.
        let listed = match (&settings.known_hosts, policy) {
            (_, HostKeyPolicy::Off) => Listed::default(),
            (None, HostKeyPolicy::AcceptNew | HostKeyPolicy::Strict) => Listed::default(),
            _ if target.address.cloud != 0 => Listed::default(),
            (path, _) => read_known_hosts(path.clone(), target).await?,
        };
        let keys = match policy {
            HostKeyPolicy::Off => Keys::Unchecked,
            HostKeyPolicy::AcceptNew => pinned(record, target).await?.map_or(Keys::New, |key| Keys::Known(vec![key])),
            HostKeyPolicy::Strict => Keys::Known(pinned(record, target).await?.into_iter().collect()),
            HostKeyPolicy::KnownHosts => Keys::Known(listed.keys.clone()),
        };
        let accepts_new = target.accepts_new_key && policy == HostKeyPolicy::AcceptNew;
        Ok(Self { keys, listed, accepts_new })
    }

    /// Is this what was expected of the host at `target`?
    pub(super) fn judge(
        &self,
        host: IpAddr,
        endpoint: &str,
        shown: &PublicKeyOrCertificate,
    ) -> Result<Judgement, TransportError> {
        let offered = shown.public_key();
        let revoked = |key: &KeyData| self.listed.revoked.iter().any(|bad| bad.key_data() == key);
        let authority = shown.certificate().map(Certificate::signature_key);
        if revoked(offered.key_data()) || authority.is_some_and(revoked) {
            return Err(TransportError::HostKeyRevoked { endpoint: endpoint.to_owned(), offered: fingerprint(&offered) });
        }
        if let Some(certificate) = shown.certificate().filter(|certificate| self.trusts(certificate)) {
            return match flaw(certificate, host) {
                None => Ok(Judgement::Fits),
                Some(flaw) => Err(TransportError::HostCertificate { endpoint: endpoint.to_owned(), flaw }),
            };
        }
        // A certificate of a stranger is worth as much as the key in it, as with ssh.
        self.judge_key(endpoint, &offered)
    }

    fn judge_key(&self, endpoint: &str, offered: &PublicKey) -> Result<Judgement, TransportError> {
        let keys = match &self.keys {
            Keys::Unchecked => return Ok(Judgement::Fits),
            Keys::New => return Ok(Judgement::First),
            Keys::Known(keys) => keys,
        };
        if keys.iter().any(|key| key.key_data() == offered.key_data()) {
            return Ok(Judgement::Fits);
        }
        let same_kind = keys.iter().find(|key| key.algorithm() == offered.algorithm());
        let (endpoint, fresh) = (endpoint.to_owned(), fingerprint(offered));
        match same_kind.or(keys.first()).map(fingerprint) {
            Some(pinned) if self.accepts_new => Ok(Judgement::Replaces(pinned)),
            Some(pinned) => Err(TransportError::HostKeyChanged { endpoint, pinned, offered: fresh }),
            None => Err(TransportError::HostKeyUnknown { endpoint, offered: fresh }),
        }
    }

    fn trusts(&self, certificate: &Certificate) -> bool {
        self.listed.authorities.iter().any(|authority| authority.key_data() == certificate.signature_key())
    }

    /// The algorithm to ask for first.
    pub(super) fn algorithm(&self) -> Option<Algorithm> {
        match &self.keys {
            Keys::Known(keys) => keys.first().map(PublicKey::algorithm),
            Keys::Unchecked | Keys::New => None,
        }
    }

    /// Is a certificate of use? Who asks for one gets it from every server that has one, and no plain key.
    pub(super) fn wants_certificate(&self) -> bool {
        !self.listed.authorities.is_empty()
    }
}

/// What is wrong with a certificate that a trusted authority signed.
fn flaw(certificate: &Certificate, host: IpAddr) -> Option<&'static str> {
    let authority = certificate.signature_key().fingerprint(HashAlg::Sha256);
    let name = host.to_string();
    let principals = certificate.valid_principals();
    if !certificate.cert_type().is_host() {
        Some("it is a user's")
    } else if certificate.verify_signature().is_err() {
        Some("its signature is not its authority's")
    } else if certificate.validate([&authority]).is_err() {
        Some("it has expired, or is not valid yet")
    } else if !principals.is_empty() && !principals.iter().any(|principal| glob(principal, &name)) {
        Some("it is another host's: the address that was dialled is not among its principals")
    } else if !certificate.critical_options().is_empty() {
        Some("it has critical options, and there are none for hosts")
    } else {
        None
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

/// The lines of the file for the dialled address.
async fn read_known_hosts(path: Option<PathBuf>, target: &Target) -> Result<Listed, TransportError> {
    let path = path.or_else(|| std::env::home_dir().map(|home| home.join(".ssh/known_hosts")));
    let path = path.ok_or_else(|| record_failed("no known_hosts file and no home directory".to_owned()))?;
    let text = tokio::fs::read_to_string(&path).await.map_err(|error| record_failed(format!("{}: {error}", path.display())))?;
    Ok(Listed::read(&text, &target.dial.to_string(), target.port))
}

fn record_failed(cause: String) -> TransportError {
    TransportError::HostKeyRecord { cause }
}
