//! What proves the login, made ready: passwords, and a private key read from its text.
//!
//! Keys are read off the runtime: the bcrypt of an encrypted one takes a good part of a second of CPU. A fleet shares one
//! key, so the last few are remembered; they live as long as the transport and are wiped with it. Never here: sending.
//!
//! Texts of errors name neither key nor passphrase.

use std::collections::VecDeque;
use std::sync::Arc;

use russh::keys::{PrivateKey, decode_secret_key};
use secrecy::ExposeSecret;
use sha2::{Digest, Sha256};
use tokio::sync::{Mutex, OnceCell};

use crate::domain::credential::{Auth, Secret};
use crate::transport::TransportError;

/// Read keys that are remembered: a job has one, or one per team.
const REMEMBERED: usize = 8;

/// What will be offered in one login, each at most once: what was taken out is gone.
#[derive(Default)]
pub(super) struct Proofs {
    /// By a signature.
    pub(super) key: Option<Arc<PrivateKey>>,
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
        if self.key.is_some() { "key" } else { "password" }
    }
}

/// A key, or why its text gives none: that is remembered too, a wrong passphrase costs as much as the right one.
type Slot = Arc<OnceCell<Result<Arc<PrivateKey>, String>>>;

/// The keys read so far, newest last, by a digest of text and passphrase.
#[derive(Default)]
pub(super) struct Keys {
    known: Mutex<VecDeque<([u8; 32], Slot)>>,
}

impl Keys {
    /// Makes a credential ready.
    pub(super) async fn prepare(&self, auth: &Auth) -> Result<Proofs, TransportError> {
        let (first, second) = auth.parts();
        let password = |name, secret: &Secret| Password { name, secret: secret.clone() };
        let mut proofs = Proofs { key: None, passwords: second.map(|secret| password(SECOND, secret)).into_iter().collect() };
        match first {
            Auth::Password(secret) => proofs.passwords.push_front(password("password", secret)),
            Auth::Key { pem, passphrase } => proofs.key = Some(self.key(pem, passphrase.as_ref()).await?),
            Auth::Both { .. } => return Err(TransportError::KeyUnusable { cause: "a login has two proofs at most".to_owned() }),
        }
        Ok(proofs)
    }

    async fn key(&self, pem: &Secret, passphrase: Option<&Secret>) -> Result<Arc<PrivateKey>, TransportError> {
        let slot = self.slot(digest(pem, passphrase)).await;
        // Hosts that come meanwhile wait here instead of reading it again.
        let key = slot.get_or_init(|| read(pem.clone(), passphrase.cloned())).await.clone();
        key.map_err(|cause| TransportError::KeyUnusable { cause })
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
async fn read(pem: Secret, passphrase: Option<Secret>) -> Result<Arc<PrivateKey>, String> {
    let reading = tokio::task::spawn_blocking(move || parse(pem.expose_secret(), passphrase.as_ref()));
    reading.await.unwrap_or_else(|_| Err("its reader broke".to_owned())).map(Arc::new)
}

/// OpenSSH, PEM (PKCS#1, SEC1), PKCS#8 and PuTTY texts.
fn parse(text: &str, passphrase: Option<&Secret>) -> Result<PrivateKey, String> {
    let text = repair(text);
    let text = text.expose_secret();
    if !text.contains("PRIVATE KEY-----") && !text.starts_with("PuTTY-User-Key-File-") {
        return Err("it is not a private key in OpenSSH or PEM form".to_owned());
    }
    // An open PKCS#8 key is taken for an encrypted one when a passphrase comes with it; an OpenSSH one says what it is.
    let open = !["ENCRYPTED", "BEGIN OPENSSH", "PuTTY"].iter().any(|mark| text.contains(mark));
    let passphrase = passphrase.filter(|_| !open);
    let opened = decode_secret_key(text, passphrase.map(|secret| secret.expose_secret()));
    let key = opened.map_err(|error| explain(&error, text, passphrase.is_some()))?;
    // An OpenSSH key stays encrypted without a word when no passphrase was given.
    if key.is_encrypted() { Err("it is encrypted and no passphrase was given".to_owned()) } else { Ok(key) }
}

/// Undoes what forms, spreadsheets and Windows do to a key: CR LF, lone CR, `\n` in letters, blanks around lines.
fn repair(text: &str) -> Secret {
    let mut clean = String::with_capacity(text.len() + 1);
    let text = text.trim_start_matches('\u{feff}');
    let unescaped;
    let text = if text.contains("\\n") && !text.trim().contains('\n') {
        unescaped = Secret::from(text.replace("\\r", "").replace("\\n", "\n"));
        unescaped.expose_secret()
    } else {
        text
    };
    for line in text.split(['\r', '\n']).map(str::trim).filter(|line| !line.is_empty()) {
        clean.push_str(line);
        clean.push('\n');
    }
    Secret::from(clean)
}

/// Our words for what russh says: never its own, which may quote what it could not read.
fn explain(error: &russh::keys::Error, text: &str, with_passphrase: bool) -> String {
    use russh::keys::Error;
    let encrypted = text.contains("ENCRYPTED") || matches!(error, Error::KeyIsEncrypted);
    let words = match error {
        _ if encrypted && !with_passphrase => "it is encrypted and no passphrase was given",
        Error::UnsupportedKeyType { .. } | Error::UnknownAlgorithm(_) => "its type is not supported",
        Error::SshKey(russh::keys::ssh_key::Error::AlgorithmUnknown) => "its type is not supported",
        // Of the old PEM encryption russh reads RSA keys under AES-128 only.
        _ if with_passphrase && text.contains("DEK-Info") => {
            "the passphrase does not open it, or it is an old form to be rewritten with `ssh-keygen -p`"
        }
        _ if with_passphrase => "the passphrase does not open it, or its text is damaged",
        _ => "its text is damaged",
    };
    words.to_owned()
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

    fn parses_to(text: &str, key: &PrivateKey) -> bool {
        parse(text, None).is_ok_and(|read| read.public_key().key_data() == key.public_key().key_data())
    }

    #[test]
    fn a_key_that_forms_and_windows_have_mangled_is_read() {
        let (key, text) = fresh();
        for mangled in [
            text.clone(),
            text.replace('\n', "\r\n"),
            text.replace('\n', "\r"),
            text.replace('\n', "\\n"),
            text.trim().to_owned(),
            format!("\u{feff}{text}"),
            text.lines().map(|line| format!("    {line}  \n")).collect(),
        ] {
            assert!(parses_to(&mangled, &key), "{}", mangled.escape_debug());
        }
    }

    #[test]
    fn a_passphrase_that_is_not_needed_does_no_harm() {
        let (key, openssh) = fresh();
        let mut pkcs8 = Vec::new();
        assert!(russh::keys::encode_pkcs8_pem(&key, &mut pkcs8).is_ok());
        for text in [openssh, String::from_utf8_lossy(&pkcs8).into_owned()] {
            assert!(parse(&text, Some(&"unneeded".into())).is_ok());
        }
    }

    #[test]
    fn an_encrypted_pkcs8_key_opens_with_its_passphrase_only() {
        let (key, _) = fresh();
        let mut text = Vec::new();
        assert!(russh::keys::encode_pkcs8_pem_encrypted(&key, b"sesame", 100, &mut text).is_ok());
        let text = String::from_utf8_lossy(&text);
        assert!(parse(&text, Some(&"sesame".into())).is_ok());
        for passphrase in [None, Some(Secret::from("barley"))] {
            assert!(parse(&text, passphrase.as_ref()).is_err_and(|cause| !cause.contains("barley")));
        }
    }

    #[tokio::test]
    async fn a_key_is_read_once_for_all_hosts_and_only_a_few_are_remembered() {
        let keys = Keys::default();
        let (_, text) = fresh();
        let auth = |text: &str| Auth::Key { pem: text.into(), passphrase: None };
        let first = keys.prepare(&auth(&text)).await.ok().and_then(|proofs| proofs.key);
        let again = keys.prepare(&auth(&text)).await.ok().and_then(|proofs| proofs.key);
        assert!(first.zip(again).is_some_and(|(first, again)| Arc::ptr_eq(&first, &again)));
        for i in 0..2 * REMEMBERED {
            assert!(keys.prepare(&auth(&format!("not a key {i}"))).await.is_err());
        }
        assert_eq!(keys.known.lock().await.len(), REMEMBERED);
    }
}
