//! Secrets at rest: XChaCha20-Poly1305 under a key file that lives outside the database.
//!
//! Every row has a nonce of its own from the operating system and is bound to its table, row and key by associated data, so
//! a row that was moved, changed or sealed elsewhere does not open. Plain text exists only in buffers that are wiped.
//!
//! Which key is used is said by the record, so that all processes over it agree ([`Seal::use_key`]). A process that meets a
//! key it does not know looks into the key file once more: that is how a running `serve` survives a change of keys.
//!
//! ```text
//!  keys are changed:   file [a] ─prepare─► [a b] ─► record says b, every row is sealed anew ─retire─► [b]
//! ```
//! The same keys make fingerprints of requests: HMACs, which say nothing to who has not the key.
//!
//! Never here: rows and retention (a backend's), and the wire form of credentials (the request's). To seal another kind of
//! row: its variant of [`Bound`].

mod file;
mod plain;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use chacha20poly1305::aead::Generate;
use chacha20poly1305::{AeadInOut, KeyInit, XChaCha20Poly1305, XNonce};
use hmac::{Hmac, Mac};
use secrecy::ExposeSecret;
use serde_json::Value;
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use super::row::corrupt;
use super::{KeyChange, StoreError};
use crate::domain::credential::{Credential, SecretBytes};
use crate::domain::id::TaskId;
use file::KeyBytes;
use plain::Plain;

/// Bytes that sealing adds: room for them is reserved, so that the plain text is never moved by a growing buffer.
const TAG_BYTES: usize = 16;

/// Seals and opens secrets.
pub struct Seal {
    path: PathBuf,
    ring: RwLock<Ring>,
    /// The turn to change the key file, while it is ours.
    turn: Mutex<Option<std::fs::File>>,
}

impl std::fmt::Debug for Seal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Seal").field("key_id", &self.key_id()).finish_non_exhaustive()
    }
}

/// The keys that this process knows. One that was known stays so: rows that were read before a change of keys still open.
struct Ring {
    keys: Vec<Arc<Key>>,
    /// The one that is sealed under.
    used: Arc<Key>,
}

struct Key {
    id: String,
    cipher: XChaCha20Poly1305,
    /// For fingerprints; made from the key, so that it is of no use for the cipher.
    mark: KeyBytes,
}

impl Key {
    fn of(bytes: &KeyBytes, path: &Path) -> Result<Arc<Self>, StoreError> {
        let cipher = XChaCha20Poly1305::new_from_slice(bytes.as_slice()).map_err(|_| file::refused(path, "it is no key"))?;
        let mut mark = KeyBytes::default();
        let mut derived = Hmac::<Sha256>::new_from_slice(bytes.as_slice()).map_err(|_| file::refused(path, "it is no key"))?;
        derived.update(b"landfall fingerprint");
        mark.copy_from_slice(&derived.finalize().into_bytes());
        Ok(Arc::new(Self { id: id_of(bytes), cipher, mark }))
    }

    fn fingerprint(&self, what: &str, body: &Value) -> Result<String, StoreError> {
        let unmarked = || StoreError::Key("the request cannot be fingerprinted".into());
        let mut mac = Hmac::<Sha256>::new_from_slice(self.mark.as_slice()).map_err(|_| unmarked())?;
        mac.update(what.as_bytes());
        mac.update(b"\n");
        // Piece by piece: no copy of the body, and of the passwords in it, is made.
        serde_json::to_writer(Marked(&mut mac), body).map_err(|_| unmarked())?;
        let digest: String = mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
        Ok(format!("{}:{digest}", self.id))
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

fn id_of(bytes: &KeyBytes) -> String {
    Sha256::digest(bytes.as_slice()).iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

/// A sealed secret, as a row keeps it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Sealed {
    /// The key it was sealed under.
    pub(super) key_id: String,
    /// Its own nonce.
    pub(super) nonce: Vec<u8>,
    /// Cipher text and tag.
    pub(super) sealed: Vec<u8>,
}

/// The row that a secret is bound to.
#[derive(Clone, Copy, Debug)]
pub(super) enum Bound<'a> {
    /// The credential of a host task.
    Credential(TaskId),
    /// The private half of a key pair.
    KeyPair(&'a str),
}

impl Bound<'_> {
    /// The associated data: table, row and key.
    fn data(self, key_id: &str) -> String {
        match self {
            Self::Credential(task) => format!("credential\n{task}\n{key_id}"),
            Self::KeyPair(name) => format!("key_pair\n{name}\n{key_id}"),
        }
    }

    fn damaged(self) -> StoreError {
        let what = match self {
            Self::Credential(task) => format!("credential of host task {task}"),
            Self::KeyPair(name) => format!("key pair {name}"),
        };
        corrupt(format!("the sealed {what} does not open: it was changed or moved"))
    }
}

impl Seal {
    /// The seal of a key file. An absent one is made: 32 bytes from the operating system, 0600, in a directory that is made
    /// 0700 when it is absent too.
    ///
    /// # Errors
    /// [`StoreError::Key`] when the file cannot be used: others may read it, it is no key, or it cannot be read or made.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let keys = file::open(path)?.iter().map(|bytes| Key::of(bytes, path)).collect::<Result<Vec<_>, _>>()?;
        let used = keys.first().cloned().ok_or_else(|| file::refused(path, "it is empty"))?;
        Ok(Self { path: path.to_owned(), ring: RwLock::new(Ring { keys, used }), turn: Mutex::default() })
    }

    /// The key that is sealed under: the first 8 bytes of its SHA-256, hex. Stored with every row.
    #[must_use]
    pub fn key_id(&self) -> String {
        self.ring.read().unwrap_or_else(PoisonError::into_inner).used.id.clone()
    }

    /// All keys that are known.
    pub(super) fn known(&self) -> Vec<String> {
        self.ring.read().unwrap_or_else(PoisonError::into_inner).keys.iter().map(|key| key.id.clone()).collect()
    }

    /// Seals under this key from now on: the record says so.
    pub(super) fn use_key(&self, id: &str) -> Result<(), StoreError> {
        let key = self.key(id)?;
        self.ring.write().unwrap_or_else(PoisonError::into_inner).used = key;
        Ok(())
    }

    /// A key; one that is not known is looked for in the file.
    fn key(&self, id: &str) -> Result<Arc<Key>, StoreError> {
        if let Some(key) = self.find(id) {
            return Ok(key);
        }
        self.learn(&file::read(&self.path)?.unwrap_or_default())?;
        self.find(id).ok_or_else(|| foreign_key(id, &self.known()))
    }

    fn find(&self, id: &str) -> Option<Arc<Key>> {
        self.ring.read().unwrap_or_else(PoisonError::into_inner).keys.iter().find(|key| key.id == id).cloned()
    }

    fn learn(&self, keys: &[KeyBytes]) -> Result<(), StoreError> {
        for bytes in keys {
            let key = Key::of(bytes, &self.path)?;
            let mut ring = self.ring.write().unwrap_or_else(PoisonError::into_inner);
            if !ring.keys.iter().any(|known| known.id == key.id) {
                ring.keys.push(key);
            }
        }
        Ok(())
    }

    /// What tells one request from another: an HMAC under the key that is used now, with the key's id before it. The order of
    /// an object's keys does not matter.
    pub(super) fn fingerprint(&self, what: &str, body: &Value) -> Result<String, StoreError> {
        let key = self.ring.read().unwrap_or_else(PoisonError::into_inner).used.clone();
        key.fingerprint(what, body)
    }

    /// Is that the fingerprint of this request, under whatever key it was made? One of a key that is gone since tells nothing:
    /// then a request that comes again is taken for the same, for what it asks for must not be done twice.
    pub(super) fn is_same(&self, fingerprint: &str, what: &str, body: &Value) -> Result<bool, StoreError> {
        let id = fingerprint.split_once(':').map_or("", |(id, _)| id);
        match self.key(id) {
            Ok(key) => Ok(key.fingerprint(what, body)? == fingerprint),
            Err(StoreError::Key(_)) => Ok(true),
            Err(error) => Err(error),
        }
    }

    /// Seals the credential of a host task.
    pub(super) fn seal(&self, task: TaskId, credential: &Credential) -> Result<Sealed, StoreError> {
        self.close(Bound::Credential(task), Plain::of(credential)?)
    }

    /// Opens the credential of a host task.
    pub(super) fn unseal(&self, task: TaskId, row: &Sealed) -> Result<Credential, StoreError> {
        let bound = Bound::Credential(task);
        let buffer = self.reveal(bound, row)?;
        let plain: Plain<'_> = serde_json::from_slice(&buffer).map_err(|_| bound.damaged())?;
        plain.credential().ok_or_else(|| bound.damaged())
    }

    /// Seals the private half of a key pair.
    pub(super) fn seal_pair(&self, name: &str, private: &SecretBytes) -> Result<Sealed, StoreError> {
        let private = private.expose_secret();
        let mut buffer = Zeroizing::new(Vec::with_capacity(private.len() + TAG_BYTES));
        buffer.extend_from_slice(private);
        self.close(Bound::KeyPair(name), buffer)
    }

    /// Opens the private half of a key pair.
    pub(super) fn unseal_pair(&self, name: &str, row: &Sealed) -> Result<SecretBytes, StoreError> {
        let buffer = self.reveal(Bound::KeyPair(name), row)?;
        // A copy of its exact length: a secret that is boxed would else leave the longer buffer behind as it is.
        let mut exact = Vec::with_capacity(buffer.len());
        exact.extend_from_slice(&buffer);
        Ok(exact.into())
    }

    /// The same secret under the key that is used now.
    pub(super) fn reseal(&self, bound: Bound<'_>, row: &Sealed) -> Result<Sealed, StoreError> {
        let mut buffer = self.reveal(bound, row)?;
        // Decrypting left the room of the tag free.
        buffer.reserve_exact(TAG_BYTES);
        self.close(bound, buffer)
    }

    fn close(&self, bound: Bound<'_>, mut buffer: Zeroizing<Vec<u8>>) -> Result<Sealed, StoreError> {
        let key = self.ring.read().unwrap_or_else(PoisonError::into_inner).used.clone();
        let nonce = XNonce::try_generate().map_err(|error| StoreError::Unavailable {
            what: "random bytes of the operating system".into(),
            source: error.to_string().into(),
        })?;
        key.cipher
            .encrypt_in_place(&nonce, bound.data(&key.id).as_bytes(), &mut *buffer)
            .map_err(|_| StoreError::Key("a secret cannot be sealed".into()))?;
        Ok(Sealed { key_id: key.id.clone(), nonce: nonce.to_vec(), sealed: buffer.to_vec() })
    }

    fn reveal(&self, bound: Bound<'_>, row: &Sealed) -> Result<Zeroizing<Vec<u8>>, StoreError> {
        let key = self.key(&row.key_id)?;
        let nonce = XNonce::try_from(row.nonce.as_slice()).map_err(|_| bound.damaged())?;
        let mut buffer = Zeroizing::new(row.sealed.clone());
        let opened = key.cipher.decrypt_in_place(&nonce, bound.data(&key.id).as_bytes(), &mut *buffer);
        opened.map_err(|_| bound.damaged())?;
        Ok(buffer)
    }

    /// Sees that a next key waits in the file, and takes the turn to change keys for this process. One that waits already,
    /// of a change that was prepared or broken off, is that key.
    pub(super) fn prepare(&self) -> Result<KeyChange, StoreError> {
        let mut turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        if turn.is_none() {
            *turn = Some(file::turn(&self.path)?);
        }
        let mut keys = file::read(&self.path)?.ok_or_else(|| file::refused(&self.path, "it is gone"))?;
        if keys.len() == 1 {
            keys.push(file::fresh(&self.path)?);
            file::replace(&self.path, &keys)?;
        }
        self.learn(&keys)?;
        match keys.as_slice() {
            [from, to] => Ok(KeyChange { from: id_of(from), to: id_of(to) }),
            _ => Err(file::refused(&self.path, "it has not two keys")),
        }
    }

    /// Takes the key that nothing is sealed under any more out of the file, and gives the turn back.
    pub(super) fn retire(&self, change: &KeyChange) -> Result<(), StoreError> {
        let mut turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let keys = file::read(&self.path)?.unwrap_or_default();
        let next: Vec<KeyBytes> = keys.into_iter().filter(|key| id_of(key) == change.to).collect();
        if turn.is_none() || next.len() != 1 {
            return Err(file::refused(&self.path, "somebody else changed it meanwhile"));
        }
        file::replace(&self.path, &next)?;
        *turn = None;
        Ok(())
    }
}

/// What is said when rows were sealed under a key that is not at hand.
pub(super) fn foreign_key(theirs: &str, ours: &[String]) -> StoreError {
    let ours = ours.join(" and ");
    StoreError::Key(format!(
        "secrets in the record are sealed under key {theirs}, but the key file holds key {ours}: give the right file with \
         LANDFALL_KEY_FILE; where `landfall key rotate` was run on another machine, copy the file from there"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::credential::Auth;
    use secrecy::ExposeSecret;
    use uuid::Uuid;

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
    fn a_row_opens_for_its_own_place_only() {
        let directory = tempfile::tempdir().unwrap();
        let seal = seal(directory.path());
        let sealed = seal.seal(TaskId(Uuid::now_v7()), &keyed()).unwrap();
        assert!(matches!(seal.unseal(TaskId(Uuid::now_v7()), &sealed), Err(StoreError::Corrupt { .. })));
        let pair = seal.seal_pair("DEFAULT", &vec![1, 2, 3].into()).unwrap();
        assert_eq!(seal.unseal_pair("DEFAULT", &pair).unwrap().expose_secret(), [1, 2, 3]);
        assert!(matches!(seal.unseal_pair("OTHER", &pair), Err(StoreError::Corrupt { .. })));
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
    fn a_fingerprint_is_known_again_after_a_change_of_keys() {
        let directory = tempfile::tempdir().unwrap();
        let seal = seal(directory.path());
        let (one, other) = (serde_json::json!({"a": 1}), serde_json::json!({"a": 2}));
        let old = seal.fingerprint("install", &one).unwrap();
        let change = seal.prepare().unwrap();
        seal.use_key(&change.to).unwrap();
        assert_ne!(seal.fingerprint("install", &one).unwrap(), old);
        seal.retire(&change).unwrap();
        assert!(seal.is_same(&old, "install", &one).unwrap() && !seal.is_same(&old, "install", &other).unwrap());
        // Whoever comes after the change cannot tell, and does nothing twice.
        let late = Seal::open(&directory.path().join("key")).unwrap();
        assert!(late.is_same(&old, "install", &one).unwrap() && late.is_same(&old, "install", &other).unwrap());
    }

    #[test]
    fn keys_are_changed_in_steps_and_rows_of_both_open_until_the_last() {
        let directory = tempfile::tempdir().unwrap();
        let (changing, serving) = (seal(directory.path()), seal(directory.path()));
        let task = TaskId(Uuid::now_v7());
        let old = serving.seal(task, &keyed()).unwrap();
        let change = changing.prepare().unwrap();
        assert_eq!(change.from, serving.key_id());
        assert_eq!(changing.key_id(), change.from, "prepared is not begun");
        // Broken off and begun again: the same key.
        assert_eq!(changing.prepare().unwrap(), change);
        changing.use_key(&change.to).unwrap();
        let new = changing.reseal(Bound::Credential(task), &old).unwrap();
        assert_eq!((new.key_id.as_str(), new.sealed == old.sealed), (change.to.as_str(), false));
        // Who began before the change reads the file again when it has to.
        serving.unseal(task, &new).unwrap();
        changing.retire(&change).unwrap();
        serving.unseal(task, &old).unwrap();
        let late = seal(directory.path());
        assert_eq!(late.key_id(), change.to);
        late.unseal(task, &new).unwrap();
        assert!(matches!(late.unseal(task, &old), Err(StoreError::Key(text)) if text.contains(&change.from)));
    }
}
