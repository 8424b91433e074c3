//! What proves the login, made ready: passwords, and a private key read from its text.
//!
//! Keys are read off the runtime: the bcrypt of an encrypted one takes a good part of a second of CPU. A fleet shares one
//! key, so the last few are remembered; they live as long as the transport and are wiped with it. Never here: sending.
//!
//! Texts of errors name neither key nor passphrase.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::Arc;

use russh::keys::{Certificate, HashAlg, PrivateKey};
use secrecy::ExposeSecret;
use sha2::{Digest, Sha256};
use tokio::sync::{Mutex, OnceCell};

use crate::domain::credential::{Auth, Secret};
use crate::transport::TransportError;

use super::pem;
use super::signer::Signer;

/// Read keys that are remembered: a job has one, or one per team.
const REMEMBERED: usize = 8;

/// What will be offered in one login, each at most once: what was taken out is gone.
#[derive(Default)]
pub(super) struct Proofs {
    /// By a signature.
    pub(super) signer: Option<Box<Signer>>,
    /// As `password`, or to keyboard-interactive questions; in this order.
    pub(super) passwords: VecDeque<Password>,
}

/// One of them.
pub(super) struct Password {
    /// Its word in errors.
    pub(super) name: &'static str,
    /// What goes out.
    pub(super) secret: Secret,
}

/// The name of a password beside another proof.
pub(super) const SECOND: &str = "second password";

impl Proofs {
    /// The word for what comes first, in errors and their codes.
    pub(super) fn method(&self) -> &'static str {
        if self.signer.is_some() { "key" } else { "password" }
    }
}

/// A key and the certificate that came with it.
struct Pair {
    key: Arc<PrivateKey>,
    certificate: Option<Certificate>,
}

/// A key, or why its text gives none: that is remembered too, a wrong passphrase costs as much as the right one.
type Slot = Arc<OnceCell<Result<Arc<Pair>, String>>>;

/// The keys read so far, newest last, by a digest of text and passphrase.
#[derive(Default)]
pub(super) struct Keys {
    known: Mutex<VecDeque<([u8; 32], Slot)>>,
    /// Where ssh-agent listens.
    agent: Option<PathBuf>,
}

impl Keys {
    /// None read yet; an agent listens at `agent`.
    pub(super) fn new(agent: Option<PathBuf>) -> Self {
        Self { known: Mutex::default(), agent }
    }

    /// Makes a credential ready.
    pub(super) async fn prepare(&self, auth: &Auth) -> Result<Proofs, TransportError> {
        let (first, second) = auth.parts();
        let password = |name, secret: &Secret| Password { name, secret: secret.clone() };
        let mut proofs = Proofs { signer: None, passwords: second.map(|secret| password(SECOND, secret)).into_iter().collect() };
        match first {
            Auth::Password(secret) => proofs.passwords.push_front(password("password", secret)),
            Auth::Key { pem, passphrase } => proofs.signer = Some(Box::new(self.key(pem, passphrase.as_ref()).await?)),
            Auth::Agent(wanted) => proofs.signer = Some(Box::new(Signer::of_agent(self.agent.as_deref(), wanted).await?)),
            // Neither is ever made: whoever prepares a login puts the vault's password there, and two proofs are not three.
            Auth::Vault | Auth::Both { .. } => {
                return Err(TransportError::KeyUnusable { cause: "the login was not prepared".to_owned() });
            }
        }
        Ok(proofs)
    }

    async fn key(&self, pem: &Secret, passphrase: Option<&Secret>) -> Result<Signer, TransportError> {
        let slot = self.slot(digest(pem, passphrase)).await;
        // Hosts that come meanwhile wait here instead of reading it again.
        let read = slot.get_or_init(|| read(pem.clone(), passphrase.cloned())).await.clone();
        let pair = read.map_err(|cause| TransportError::KeyUnusable { cause })?;
        // Not remembered with the key: it may expire meanwhile.
        if pair.certificate.as_ref().is_some_and(has_expired) {
            return Err(TransportError::KeyUnusable { cause: "its certificate has expired, or is not valid yet".to_owned() });
        }
        Ok(Signer::Own { key: Arc::clone(&pair.key), certificate: pair.certificate.clone() })
    }

    async fn slot(&self, digest: [u8; 32]) -> Slot {
        let mut known = self.known.lock().await;
        if let Some((_, slot)) = known.iter().find(|(other, _)| *other == digest) {
            return Arc::clone(slot);
        }
        if known.len() >= REMEMBERED {
            known.pop_front();
        }
        let slot = Slot::default();
        known.push_back((digest, Arc::clone(&slot)));
        slot
    }
}

/// Tells one key text from another.
fn digest(pem: &Secret, passphrase: Option<&Secret>) -> [u8; 32] {
    let mut hash = Sha256::new();
    hash.update(pem.expose_secret());
    // No key text holds a zero byte.
    hash.update([0, u8::from(passphrase.is_some())]);
    hash.update(passphrase.map_or("", |secret| secret.expose_secret()));
    hash.finalize().into()
}

/// Reads a key on a thread of its own.
async fn read(pem: Secret, passphrase: Option<Secret>) -> Result<Arc<Pair>, String> {
    let reading = tokio::task::spawn_blocking(move || {
        let key = Arc::new(pem::parse(pem.expose_secret(), passphrase.as_ref())?);
        let certificate = pem::certificate(pem.expose_secret(), &key)?;
        Ok(Arc::new(Pair { key, certificate }))
    });
    reading.await.unwrap_or_else(|_| Err("its reader broke".to_owned()))
}

fn has_expired(certificate: &Certificate) -> bool {
    let authority = certificate.signature_key().fingerprint(HashAlg::Sha256);
    certificate.validate([&authority]).is_err()
}

#[cfg(test)]
mod tests {
    use russh::keys::Algorithm;
    use russh::keys::ssh_key::LineEnding;

    use super::*;

    fn fresh() -> (PrivateKey, String) {
        let key = PrivateKey::random(&mut russh::keys::key::safe_rng(), Algorithm::Ed25519);
        let text = key.as_ref().ok().and_then(|key| key.to_openssh(LineEnding::LF).ok()).map(|text| text.to_string());
        key.ok().zip(text).unwrap_or_else(|| unreachable!("a random key has a text"))
    }

    #[tokio::test]
    async fn a_key_is_read_once_for_all_hosts_and_only_a_few_are_remembered() {
        let keys = Keys::default();
        let (_, text) = fresh();
        let auth = |text: &str| Auth::Key { pem: text.into(), passphrase: None };
        let key = async || match keys.prepare(&auth(&text)).await.ok().and_then(|proofs| proofs.signer).map(|signer| *signer) {
            Some(Signer::Own { key, certificate: None }) => Some(key),
            _ => None,
        };
        let (first, again) = (key().await, key().await);
        assert!(first.zip(again).is_some_and(|(first, again)| Arc::ptr_eq(&first, &again)));
        for i in 0..2 * REMEMBERED {
            assert!(keys.prepare(&auth(&format!("not a key {i}"))).await.is_err());
        }
        assert_eq!(keys.known.lock().await.len(), REMEMBERED);
    }
}
