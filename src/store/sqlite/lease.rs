//! Who holds a job: a lock on `<data>/jobs/<id>.lock`. The kernel lets go of it when its holder dies, however it dies, so
//! taking up a job after `kill -9` waits for nothing.
//!
//! The file keeps the holder's pid, for people only. It is never removed: a process that waits on a file which another one
//! removes would hold nothing.
//!
//! Never here: claims and epochs, which fence what a former holder may still write.

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::sys::signal::kill;
use nix::unistd::Pid;
use uuid::Uuid;

use super::computed;
use crate::domain::id::JobId;
use crate::store::{Lease, StoreError};

/// Looks at a lock whose file does not name a living holder. There are microseconds between locking and writing the pid.
const LOOKS: u32 = 20;
/// Pause between two looks.
const PAUSE: Duration = Duration::from_millis(10);

/// The lock of one job, held.
#[derive(Debug)]
struct FileLease {
    lock: File,
    owner: String,
}

impl Lease for FileLease {
    fn owner(&self) -> &str {
        &self.owner
    }
}

impl Drop for FileLease {
    /// Takes the pid out. A process that goes on living would else pass for the holder whenever somebody looks at the lock
    /// ([`holder_of`]) while another one takes it.
    fn drop(&mut self) {
        // What stays behind when this fails is a pid that is asked again until the look is over.
        let _ = self.lock.set_len(0);
    }
}

/// Holds `job` for this process.
pub(super) async fn hold(locks: PathBuf, job: JobId) -> Result<Box<dyn Lease>, StoreError> {
    computed(move || take(&locks, job)).await
}

/// The live process that holds `job`. Looks with a shared lock, so that two who look do not disturb each other.
pub(super) async fn holder_of(locks: PathBuf, job: JobId) -> Result<Option<u32>, StoreError> {
    computed(move || {
        let path = locks.join(format!("{job}.lock"));
        let Ok(mut lock) = File::open(&path) else { return Ok(None) };
        match lock.try_lock_shared() {
            Err(TryLockError::WouldBlock) => Ok(holder(&mut lock).ok().filter(|pid| is_alive(*pid))),
            Ok(()) | Err(TryLockError::Error(_)) => Ok(None),
        }
    })
    .await
}

fn take(locks: &Path, job: JobId) -> Result<Box<dyn Lease>, StoreError> {
    let path = locks.join(format!("{job}.lock"));
    let failed = |source| StoreError::Unavailable { what: format!("lock {}", path.display()), source: Box::new(source) };
    DirBuilder::new().recursive(true).mode(0o700).create(locks).map_err(failed)?;
    let open = OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(&path);
    let mut lock = open.map_err(failed)?;
    let mut pid = 0;
    for _ in 0..LOOKS {
        match lock.try_lock() {
            Ok(()) => {
                sign(&mut lock).map_err(failed)?;
                return Ok(Box::new(FileLease { lock, owner: Uuid::now_v7().to_string() }));
            }
            Err(TryLockError::Error(error)) => return Err(failed(error)),
            Err(TryLockError::WouldBlock) => {}
        }
        pid = holder(&mut lock).map_err(failed)?;
        if is_alive(pid) {
            break;
        }
        std::thread::sleep(PAUSE);
    }
    Err(StoreError::Held { job, pid })
}

/// Writes this process's pid into its lock.
fn sign(lock: &mut File) -> std::io::Result<()> {
    lock.rewind()?;
    lock.set_len(0)?;
    writeln!(lock, "{}", std::process::id())
}

/// The pid in a lock; 0 while there is none.
fn holder(lock: &mut File) -> std::io::Result<u32> {
    let mut text = String::new();
    lock.rewind()?;
    lock.take(16).read_to_string(&mut text)?;
    Ok(text.trim().parse().unwrap_or(0))
}

fn is_alive(pid: u32) -> bool {
    let Some(pid) = i32::try_from(pid).ok().filter(|pid| *pid > 0) else { return false };
    // EPERM: it lives, and is another user's.
    !matches!(kill(Pid::from_raw(pid), None), Err(nix::errno::Errno::ESRCH))
}
