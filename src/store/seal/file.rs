//! The key file: 32 bytes, and while keys are changed the next key behind them, 32 more. Nobody but its owner may use it.
//!
//! It is never seen half written: what it shall become is written beside it and renamed. Whoever changes it holds a lock, so
//! two who would change keys at once do it one after the other.
//!
//! Never here: which key is used (the seal's).

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, fchown};
use std::path::Path;
use std::time::{Duration, Instant};

use chacha20poly1305::aead::Generate;
use uuid::Uuid;
use zeroize::Zeroizing;

use crate::store::StoreError;

/// Bytes of a key.
pub(super) const KEY_BYTES: usize = 32;
/// Keys in a file at most: the present one and the next.
const MOST_KEYS: usize = 2;
/// How long the turn to change the file is waited for: another one sealing a large record anew takes seconds.
const PATIENCE: Duration = Duration::from_secs(60);
/// Between two looks whether it is free.
const PAUSE: Duration = Duration::from_millis(50);

/// The bytes of a key.
pub(super) type KeyBytes = Zeroizing<[u8; KEY_BYTES]>;

/// The keys of a file, the present one first. An absent file is made, with one key.
pub(super) fn open(path: &Path) -> Result<Vec<KeyBytes>, StoreError> {
    if let Some(keys) = read(path)? {
        return Ok(keys);
    }
    make(path)?;
    read(path)?.ok_or_else(|| refused(path, "it vanished while it was made"))
}

/// The keys of a file; `None` when there is none.
pub(super) fn read(path: &Path) -> Result<Option<Vec<KeyBytes>>, StoreError> {
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
    let bytes = usize::try_from(facts.len()).unwrap_or(usize::MAX);
    let count = bytes / KEY_BYTES;
    if count == 0 || count > MOST_KEYS || bytes % KEY_BYTES != 0 {
        return Err(refused(path, &format!("it has {bytes} bytes instead of {KEY_BYTES}")));
    }
    let mut keys = Vec::with_capacity(count);
    for _ in 0..count {
        let mut key = KeyBytes::default();
        file.read_exact(key.as_mut_slice()).map_err(|error| refused(path, &error.to_string()))?;
        keys.push(key);
    }
    Ok(Some(keys))
}

/// A key that nobody has yet.
pub(super) fn fresh(path: &Path) -> Result<KeyBytes, StoreError> {
    <[u8; KEY_BYTES]>::try_generate().map(Zeroizing::new).map_err(|error| refused(path, &error.to_string()))
}

/// Makes the key file. It appears complete or not at all, and never replaces one: it is written beside (O_EXCL) and then
/// linked, which fails when somebody else was first. That one's key is then ours.
fn make(path: &Path) -> Result<(), StoreError> {
    let failed = |error: std::io::Error| refused(path, &format!("it cannot be made: {error}"));
    let directory = directory(path);
    DirBuilder::new().recursive(true).mode(0o700).create(directory).map_err(failed)?;
    let beside = directory.join(format!(".key-{}", Uuid::now_v7()));
    drop(write_beside(&beside, &[fresh(path)?]).map_err(failed)?);
    let made = match std::fs::hard_link(&beside, path) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => Err(error),
        _ => Ok(()),
    };
    let removed = std::fs::remove_file(&beside);
    made.and(removed).and_then(|()| File::open(directory)?.sync_all()).map_err(failed)
}

/// Gives the file these keys; its owner keeps it. It has the old ones or the new ones, whatever happens. Only for whoever has
/// the turn.
pub(super) fn replace(path: &Path, keys: &[KeyBytes]) -> Result<(), StoreError> {
    let failed = |error: std::io::Error| refused(path, &format!("it cannot be written: {error}"));
    // A link stays a link to the file that it leads to.
    let path = std::fs::canonicalize(path).map_err(failed)?;
    let owner = std::fs::metadata(&path).map_err(failed)?;
    let directory = directory(&path);
    let mut name = std::ffi::OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(".next");
    let beside = directory.join(name);
    // One that was broken off left keys behind.
    match std::fs::remove_file(&beside) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(failed(error)),
        _ => {}
    }
    let file = write_beside(&beside, keys).map_err(failed)?;
    let put = fchown(&file, Some(owner.uid()), Some(owner.gid())).and_then(|()| std::fs::rename(&beside, &path));
    if put.is_err() {
        // What is left behind would be a second copy of the keys.
        let _ = std::fs::remove_file(&beside);
    }
    put.and_then(|()| File::open(directory)?.sync_all()).map_err(failed)
}

/// A file of its own, on the disk.
fn write_beside(beside: &Path, keys: &[KeyBytes]) -> std::io::Result<File> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(beside)?;
    let written = keys.iter().try_for_each(|key| file.write_all(key.as_slice())).and_then(|()| file.sync_all());
    if let Err(error) = written {
        let _ = std::fs::remove_file(beside);
        return Err(error);
    }
    Ok(file)
}

/// Waits for the turn to change the file; it is ours as long as what is returned lives.
pub(super) fn turn(path: &Path) -> Result<File, StoreError> {
    let failed = |error: std::io::Error| refused(path, &format!("it cannot be locked: {error}"));
    let mut name = std::fs::canonicalize(path).map_err(failed)?.into_os_string();
    name.push(".lock");
    let lock = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&name).map_err(failed)?;
    let begun = Instant::now();
    loop {
        match lock.try_lock() {
            Ok(()) => return Ok(lock),
            Err(TryLockError::WouldBlock) if begun.elapsed() < PATIENCE => std::thread::sleep(PAUSE),
            Err(TryLockError::WouldBlock) => return Err(refused(path, "another process changes its keys right now")),
            Err(TryLockError::Error(error)) => return Err(failed(error)),
        }
    }
}

fn directory(path: &Path) -> &Path {
    path.parent().filter(|directory| !directory.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

pub(super) fn refused(path: &Path, why: &str) -> StoreError {
    StoreError::Key(format!("the key file {} cannot be used: {why}", path.display()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_key_file_is_made_once_for_its_owner_only() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("made/key");
        let first = open(&path).unwrap();
        assert_eq!(first, open(&path).unwrap());
        assert_eq!(std::fs::metadata(&path).unwrap().mode() & 0o7777, 0o600);
        assert_eq!(std::fs::metadata(path.parent().unwrap()).unwrap().mode() & 0o7777, 0o700);
        assert_eq!(std::fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
    }

    #[test]
    fn ten_processes_that_find_no_key_agree_on_one() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("key");
        let keys: Vec<Vec<KeyBytes>> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..10).map(|_| scope.spawn(|| open(&path).unwrap())).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert!(keys.iter().all(|key| *key == keys[0]));
    }

    #[test]
    fn a_key_file_that_others_may_read_or_that_is_no_key_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("key");
        open(&path).unwrap();
        for (mode, fault) in [(0o640, "0640"), (0o604, "0604"), (0o620, "0620")] {
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
            let refusal = open(&path).unwrap_err();
            assert!(matches!(&refusal, StoreError::Key(text) if text.contains(fault)), "{refusal}");
        }
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        for length in [0, 5, 33, 96] {
            std::fs::write(&path, vec![7; length]).unwrap();
            let refusal = open(&path).unwrap_err();
            assert!(matches!(&refusal, StoreError::Key(text) if text.contains(&format!("{length} bytes"))), "{refusal}");
        }
    }

    #[test]
    fn a_file_that_is_replaced_keeps_its_mode_and_leaves_nothing_beside_it() {
        let directory = tempfile::tempdir().unwrap();
        let (path, link) = (directory.path().join("key"), directory.path().join("link"));
        let old = open(&path).unwrap();
        std::os::unix::fs::symlink(&path, &link).unwrap();
        let both = [old[0].clone(), fresh(&path).unwrap()];
        // What one left behind that was killed is not left for long.
        std::fs::write(directory.path().join(".key.next"), b"half a k").unwrap();
        replace(&link, &both).unwrap();
        assert_eq!(read(&path).unwrap().unwrap(), both);
        assert!(std::fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(std::fs::metadata(&path).unwrap().mode() & 0o7777, 0o600);
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 2);
    }
}
