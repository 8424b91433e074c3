//! Credentials at rest: XChaCha20-Poly1305 under a key file that lives outside the database.
//!
//! Every row has a nonce of its own from the operating system and is bound to its table, host task and key by associated
//! data, so a row that was moved, changed or sealed elsewhere does not open. Plain text exists only in buffers that are
//! wiped; the secrets stand in them as hexadecimal, so that the JSON reader hands out slices of the wiped buffer instead of
//! unescaped copies of its own.
//!
//! Never here: rows and retention (a backend's), and the wire form of credentials (the request's).
//!
//! To add a kind of credential: a field in `Plain`, absent by default, and its arms in `Plain::of` and `Plain::credential`.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::Path;

use chacha20poly1305::aead::Generate;
use chacha20poly1305::{AeadInOut, KeyInit, XChaCha20Poly1305, XNonce};
use hmac::{Hmac, Mac};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};
use uuid::Uuid;
use zeroize::Zeroizing;

use super::StoreError;
use super::row::corrupt;
use crate::domain::credential::{Auth, Credential};
use crate::domain::id::TaskId;

/// Bytes of a key.
const KEY_BYTES: usize = 32;
/// Bytes that sealing adds: room for them is reserved, so that the plain text is never moved by a growing buffer.
const TAG_BYTES: usize = 16;
/// JSON of `Plain` around its secrets, at most.
const FRAME_BYTES: usize = 128;

/// Seals and opens credentials under one key.
pub struct Seal {
    cipher: XChaCha20Poly1305,
    key_id: String,
    /// For fingerprints; made from the key, so that it is of no use for the cipher.
    mark: Zeroizing<[u8; KEY_BYTES]>,
}

impl std::fmt::Debug for Seal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Seal").field("key_id", &self.key_id).finish_non_exhaustive()
    }
}

/// A sealed credential, as a row keeps it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Sealed {
    /// The key it was sealed under.
    pub(super) key_id: String,
    /// Its own nonce.
    pub(super) nonce: Vec<u8>,
    /// Cipher text and tag.
    pub(super) sealed: Vec<u8>,
}

impl Seal {
    /// The seal of a key file. An absent one is made: 32 bytes from the operating system, 0600, in a directory that is made
    /// 0700 when it is absent too.
    ///
    /// # Errors
    /// [`StoreError::Key`] when the file cannot be used: others may read it, it is no key, or it cannot be read or made.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let key = match read_key(path)? {
            Some(key) => key,
            None => {
                make_key(path)?;
                read_key(path)?.ok_or_else(|| refused(path, "it vanished while it was made"))?
            }
        };
        let digest = Sha256::digest(key.as_slice());
        let key_id = digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
        let cipher = XChaCha20Poly1305::new_from_slice(key.as_slice()).map_err(|_| refused(path, "it is no key"))?;
        let mut mark = Zeroizing::new([0; KEY_BYTES]);
        let mut derived = Hmac::<Sha256>::new_from_slice(key.as_slice()).map_err(|_| refused(path, "it is no key"))?;
        derived.update(b"landfall fingerprint");
        mark.copy_from_slice(&derived.finalize().into_bytes());
        Ok(Self { cipher, key_id, mark })
    }

    /// Which key this is: the first 8 bytes of its SHA-256, hex. Stored with every row.
    #[must_use]
    pub fn key_id(&self) -> &str {
        &self.key_id
    }

    /// What tells one request from another: an HMAC under this key, with the key's id before it. The order of an object's keys
    /// does not matter.
    pub(super) fn fingerprint(&self, what: &str, body: &Value) -> Result<String, StoreError> {
        let unmarked = || StoreError::Key("the request cannot be fingerprinted".into());
        let mut mac = Hmac::<Sha256>::new_from_slice(self.mark.as_slice()).map_err(|_| unmarked())?;
        mac.update(what.as_bytes());
        mac.update(b"\n");
        // Piece by piece: no copy of the body, and of the passwords in it, is made.
        serde_json::to_writer(Marked(&mut mac), body).map_err(|_| unmarked())?;
        let digest: String = mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
        Ok(format!("{}:{digest}", self.key_id))
    }

    /// Seals the credential of a host task.
    pub(super) fn seal(&self, task: TaskId, credential: &Credential) -> Result<Sealed, StoreError> {
        let mut buffer = Plain::of(credential)?;
        let nonce = XNonce::try_generate().map_err(|error| StoreError::Unavailable {
            what: "random bytes of the operating system".into(),
            source: error.to_string().into(),
        })?;
        self.cipher
            .encrypt_in_place(&nonce, bound_to(task, &self.key_id).as_bytes(), &mut *buffer)
            .map_err(|_| StoreError::Key("the credential cannot be sealed".into()))?;
        Ok(Sealed { key_id: self.key_id.clone(), nonce: nonce.to_vec(), sealed: buffer.to_vec() })
    }

    /// Opens the credential of a host task.
    pub(super) fn unseal(&self, task: TaskId, row: &Sealed) -> Result<Credential, StoreError> {
        if row.key_id != self.key_id {
            return Err(foreign_key(&row.key_id, &self.key_id));
        }
        let damaged = || corrupt(format!("the sealed credential of host task {task} does not open: it was changed or moved"));
        let nonce = XNonce::try_from(row.nonce.as_slice()).map_err(|_| damaged())?;
        let mut buffer = Zeroizing::new(row.sealed.clone());
        self.cipher.decrypt_in_place(&nonce, bound_to(task, &self.key_id).as_bytes(), &mut *buffer).map_err(|_| damaged())?;
        let plain: Plain<'_> = serde_json::from_slice(&buffer).map_err(|_| damaged())?;
        plain.credential().ok_or_else(damaged)
    }
}

/// Takes what is written into a fingerprint.
struct Marked<'a>(&'a mut Hmac<Sha256>);

impl Write for Marked<'_> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// What is said when rows were sealed under a key that is not the one at hand.
pub(super) fn foreign_key(theirs: &str, ours: &str) -> StoreError {
    StoreError::Key(format!(
        "credentials in the record are sealed under key {theirs}, but the key file holds key {ours}: give the right file with LANDFALL_KEY_FILE"
    ))
}

/// The associated data of a row: table, row and key.
fn bound_to(task: TaskId, key_id: &str) -> String {
    format!("credential\n{task}\n{key_id}")
}

/// The sealed form of a [`Credential`]; every value is hexadecimal.
#[derive(Serialize, Deserialize)]
struct Plain<'a> {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    password: Option<&'a str>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pem: Option<&'a str>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    passphrase: Option<&'a str>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    sudo_password: Option<&'a str>,
}

impl Plain<'_> {
    /// The plain text of a credential, with room for the tag.
    fn of(credential: &Credential) -> Result<Zeroizing<Vec<u8>>, StoreError> {
        let (password, pem, passphrase) = match &credential.auth {
            Auth::Password(password) => (Some(hex(password)), None, None),
            Auth::Key { pem, passphrase } => (None, Some(hex(pem)), passphrase.as_ref().map(hex)),
        };
        let sudo_password = credential.sudo_password.as_ref().map(hex);
        let values = [&password, &pem, &passphrase, &sudo_password];
        let length: usize = values.iter().filter_map(|value| value.as_ref().map(|text| text.len())).sum();
        let plain = Plain {
            password: text(&password),
            pem: text(&pem),
            passphrase: text(&passphrase),
            sudo_password: text(&sudo_password),
        };
        let mut buffer = Zeroizing::new(Vec::with_capacity(length + FRAME_BYTES + TAG_BYTES));
        serde_json::to_writer(&mut *buffer, &plain).map_err(|_| StoreError::Key("the credential cannot be sealed".into()))?;
        Ok(buffer)
    }

    /// The credential; `None` when this is not the plain text of one.
    fn credential(&self) -> Option<Credential> {
        let auth = match (self.password, self.pem) {
            (Some(password), None) => Auth::Password(of_hex(password)?),
            (None, Some(pem)) => Auth::Key { pem: of_hex(pem)?, passphrase: optional(self.passphrase)? },
            _ => return None,
        };
        Some(Credential { auth, sudo_password: optional(self.sudo_password)? })
    }
}

fn text(value: &Option<Zeroizing<String>>) -> Option<&str> {
    value.as_ref().map(|text| text.as_str())
}

fn optional(value: Option<&str>) -> Option<Option<SecretString>> {
    value.map_or(Some(None), |text| of_hex(text).map(Some))
}

fn hex(secret: &SecretString) -> Zeroizing<String> {
    let secret = secret.expose_secret();
    let mut text = Zeroizing::new(String::with_capacity(secret.len() * 2));
    for byte in secret.bytes() {
        for digit in [byte >> 4, byte & 15] {
            text.push(char::from_digit(digit.into(), 16).unwrap_or('0'));
        }
    }
    text
}

fn of_hex(text: &str) -> Option<SecretString> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    // Exactly as long as it will be: turning it into a secret then moves the buffer instead of copying it.
    let mut bytes = Zeroizing::new(Vec::with_capacity(text.len() / 2));
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    for [high, low] in pairs {
        bytes.push(digit(*high)? << 4 | digit(*low)?);
    }
    if !rest.is_empty() {
        return None;
    }
    String::from_utf8(std::mem::take(&mut *bytes)).ok().map(SecretString::from)
}

/// Reads the key file; `None` when there is none.
fn read_key(path: &Path) -> Result<Option<Zeroizing<[u8; KEY_BYTES]>>, StoreError> {
    let mut file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(refused(path, &error.to_string())),
    };
    let facts = file.metadata().map_err(|error| refused(path, &error.to_string()))?;
    if !facts.is_file() {
        return Err(refused(path, "it is no file"));
    }
    if facts.mode() & 0o077 != 0 {
        return Err(refused(path, &format!("others may use it (mode {:04o}): chmod 600 it", facts.mode() & 0o7777)));
    }
    if facts.len() != KEY_BYTES as u64 {
        return Err(refused(path, &format!("it has {} bytes instead of {KEY_BYTES}", facts.len())));
    }
    let mut key = Zeroizing::new([0; KEY_BYTES]);
    file.read_exact(key.as_mut_slice()).map_err(|error| refused(path, &error.to_string()))?;
    Ok(Some(key))
}

/// Makes the key file. It appears complete or not at all, and never replaces one: it is written beside (O_EXCL) and then
/// linked, which fails when somebody else was first. That one's key is then ours.
fn make_key(path: &Path) -> Result<(), StoreError> {
    let failed = |error: std::io::Error| refused(path, &format!("it cannot be made: {error}"));
    let directory = path.parent().filter(|directory| !directory.as_os_str().is_empty()).unwrap_or(Path::new("."));
    DirBuilder::new().recursive(true).mode(0o700).create(directory).map_err(failed)?;
    let key = Zeroizing::new(<[u8; KEY_BYTES]>::try_generate().map_err(|error| refused(path, &error.to_string()))?);
    let beside = directory.join(format!(".key-{}", Uuid::now_v7()));
    let made = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&beside)
        .and_then(|mut file| file.write_all(key.as_slice()).and_then(|()| file.sync_all()))
        .and_then(|()| match std::fs::hard_link(&beside, path) {
            Err(error) if error.kind() != ErrorKind::AlreadyExists => Err(error),
            _ => Ok(()),
        });
    let removed = std::fs::remove_file(&beside);
    made.and(removed).and_then(|()| File::open(directory)?.sync_all()).map_err(failed)
}

fn refused(path: &Path, why: &str) -> StoreError {
    StoreError::Key(format!("the key file {} cannot be used: {why}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seal(directory: &Path) -> Seal {
        Seal::open(&directory.join("key")).unwrap()
    }

    fn keyed() -> Credential {
        let pem = "-----BEGIN KEY-----\n\"quoted\\\" 中\n".into();
        Credential { auth: Auth::Key { pem, passphrase: Some("opens it".into()) }, sudo_password: Some("sudo\u{0}!".into()) }
    }

    #[test]
    fn what_was_sealed_opens_again_whatever_characters_it_has() {
        let directory = tempfile::tempdir().unwrap();
        let seal = seal(directory.path());
        let task = TaskId(Uuid::now_v7());
        let opened = seal.unseal(task, &seal.seal(task, &keyed()).unwrap()).unwrap();
        let Auth::Key { pem, passphrase } = opened.auth else { panic!("another kind") };
        assert_eq!(pem.expose_secret(), "-----BEGIN KEY-----\n\"quoted\\\" 中\n");
        assert_eq!(passphrase.unwrap().expose_secret(), "opens it");
        assert_eq!(opened.sudo_password.unwrap().expose_secret(), "sudo\u{0}!");
    }

    #[test]
    fn the_plain_text_fits_the_buffer_that_was_reserved_for_it() {
        let buffer = Plain::of(&keyed()).unwrap();
        assert!(buffer.len() + TAG_BYTES <= buffer.capacity());
        let empty =
            Credential { auth: Auth::Key { pem: "".into(), passphrase: Some("".into()) }, sudo_password: Some("".into()) };
        assert!(Plain::of(&empty).unwrap().len() <= FRAME_BYTES);
    }

    #[test]
    fn a_row_opens_for_its_own_host_task_only() {
        let directory = tempfile::tempdir().unwrap();
        let seal = seal(directory.path());
        let sealed = seal.seal(TaskId(Uuid::now_v7()), &keyed()).unwrap();
        assert!(matches!(seal.unseal(TaskId(Uuid::now_v7()), &sealed), Err(StoreError::Corrupt { .. })));
    }

    #[test]
    fn a_nonce_is_never_used_twice() {
        let directory = tempfile::tempdir().unwrap();
        let seal = seal(directory.path());
        let task = TaskId(Uuid::now_v7());
        let nonces: std::collections::BTreeSet<_> = (0..100).map(|_| seal.seal(task, &keyed()).unwrap().nonce).collect();
        assert_eq!(nonces.len(), 100);
    }

    #[test]
    fn a_fingerprint_tells_requests_apart_and_needs_the_key() {
        let directory = tempfile::tempdir().unwrap();
        let seal = seal(directory.path());
        let body = |text: &str| serde_json::from_str::<Value>(text).unwrap();
        let one = seal.fingerprint("install", &body(r#"{"a": "geheim", "b": [1, 2]}"#)).unwrap();
        assert_eq!(one, seal.fingerprint("install", &body(r#"{"b":[1,2],"a":"geheim"}"#)).unwrap());
        assert!(one.starts_with(&format!("{}:", seal.key_id())) && !one.contains("geheim"), "{one}");
        let others = [("operate", r#"{"a": "geheim", "b": [1, 2]}"#), ("install", r#"{"a": "geheim", "b": [2, 1]}"#)];
        for (what, text) in others {
            assert_ne!(one, seal.fingerprint(what, &body(text)).unwrap(), "{what} {text}");
        }
        let other = Seal::open(&directory.path().join("other")).unwrap();
        let theirs = other.fingerprint("install", &body(r#"{"a": "geheim", "b": [1, 2]}"#)).unwrap();
        assert_ne!(one.split_once(':').unwrap().1, theirs.split_once(':').unwrap().1);
    }

    #[test]
    fn a_key_file_is_made_once_for_its_owner_only() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("made/key");
        let first = Seal::open(&path).unwrap();
        assert_eq!(first.key_id(), Seal::open(&path).unwrap().key_id());
        assert_eq!(std::fs::metadata(&path).unwrap().mode() & 0o7777, 0o600);
        assert_eq!(std::fs::metadata(path.parent().unwrap()).unwrap().mode() & 0o7777, 0o700);
        assert_eq!(std::fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
    }

    #[test]
    fn ten_processes_that_find_no_key_agree_on_one() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("key");
        let ids: std::collections::BTreeSet<String> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..10).map(|_| scope.spawn(|| Seal::open(&path).unwrap().key_id().to_owned())).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert_eq!(ids.len(), 1);
    }

    #[test]
    fn a_key_file_that_others_may_read_or_that_is_no_key_is_refused() {
        use std::os::unix::fs::PermissionsExt;
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("key");
        Seal::open(&path).unwrap();
        for (mode, fault) in [(0o640, "0640"), (0o604, "0604"), (0o620, "0620")] {
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
            let refusal = Seal::open(&path).unwrap_err();
            assert!(matches!(&refusal, StoreError::Key(text) if text.contains(fault)), "{refusal}");
        }
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        std::fs::write(&path, b"short").unwrap();
        let refusal = Seal::open(&path).unwrap_err();
        assert!(matches!(&refusal, StoreError::Key(text) if text.contains("5 bytes")), "{refusal}");
    }
}
