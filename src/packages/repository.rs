//! The repository on an object store: a directory by default.
//!
//! ```text
//! archives/<sha256>.tgz    the bytes as they were added
//! index/<sha256>.json      what they are; written last, so what is listed is complete
//! ```
//!
//! Never here: what an archive must look like (`archive`). To add a kind of storage: another constructor of [`Repository`].

use std::path::Path as FilePath;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt};
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt, PutPayload};

use super::{PackageError, PackageSource, archive};
use crate::domain::package::{PackageEntry, version_key};

/// Largest archive, bytes: it is held in memory, once.
const ARCHIVE_CAP: u64 = 1 << 30;
/// Index entries read at once: a directory gains nothing by more, a remote store hides its latency.
const READS: usize = 16;

/// The package repository.
#[derive(Clone, Debug)]
pub struct Repository {
    store: Arc<dyn ObjectStore>,
}

/// What a look at one stored package found.
#[derive(Clone, Debug)]
pub struct Checked {
    /// Digest it is stored under.
    pub sha256: String,
    /// What the index says it is; `None` when the index entry cannot be read.
    pub entry: Option<PackageEntry>,
    /// What is wrong with it; `None` when all is well.
    pub damage: Option<String>,
}

impl Repository {
    /// The repository in a directory, which is made when it is absent.
    ///
    /// # Errors
    /// When the directory cannot be made or used.
    pub fn open(directory: &FilePath) -> Result<Self, PackageError> {
        let what = || format!("open {}", directory.display());
        std::fs::create_dir_all(directory).map_err(|error| unavailable(what(), error))?;
        let store = LocalFileSystem::new_with_prefix(directory).map_err(|error| unavailable(what(), error))?;
        // An archive that was acknowledged survives a power cut.
        Ok(Self { store: Arc::new(store.with_fsync(true)) })
    }

    /// Checks an archive and stores it. Adding it again changes nothing, and repairs it when it was damaged.
    ///
    /// # Errors
    /// [`PackageError::Invalid`] with every fault, [`PackageError::Taken`] when name, version, OS and CPU belong to other
    /// bytes.
    pub async fn add(&self, path: &FilePath) -> Result<PackageEntry, PackageError> {
        let file = path.to_owned();
        let (bytes, entry) = computed(move || {
            let bytes = read(&file)?;
            let entry = archive::inspect(&file.display().to_string(), &bytes)?;
            Ok((bytes, entry))
        })
        .await?;
        // Its own index entry is not asked: it may be what has to be repaired.
        let others: Vec<String> = self.stored().await?.into_iter().filter(|sha256| *sha256 != entry.sha256).collect();
        if let Some(other) = self.entries(others).await?.into_iter().find(|other| is_same_release(other, &entry)) {
            return Err(PackageError::Taken { what: title(&other), sha256: other.sha256 });
        }
        let index = serde_json::to_vec_pretty(&entry).map_err(|error| unavailable("write the index", error))?;
        self.put(archive_path(&entry.sha256), bytes).await?;
        self.put(index_path(&entry.sha256), index.into()).await?;
        Ok(entry)
    }

    /// Looks through everything that is stored, one archive after another.
    ///
    /// # Errors
    /// When the storage itself cannot be read.
    pub async fn verify(&self) -> Result<Vec<Checked>, PackageError> {
        let mut all = Vec::new();
        for sha256 in self.stored().await? {
            let (entry, damage) = match self.entry(sha256.clone()).await {
                Ok(entry) => (Some(entry.clone()), self.check(entry).await?),
                Err(PackageError::Damaged { what, .. }) => (None, Some(what)),
                Err(error) => return Err(error),
            };
            all.push(Checked { sha256, entry, damage });
        }
        Ok(all)
    }

    /// What is wrong with the stored archive of an index entry.
    async fn check(&self, entry: PackageEntry) -> Result<Option<String>, PackageError> {
        let bytes = match self.fetch(&entry).await {
            Ok(bytes) => bytes,
            Err(PackageError::Damaged { what, .. }) => return Ok(Some(what)),
            Err(error) => return Err(error),
        };
        computed(move || match archive::inspect("the stored archive", &bytes) {
            Ok(found) if found == entry => Ok(None),
            Ok(_) => Ok(Some("its index entry says something else than the archive".into())),
            Err(error) => Ok(Some(error.to_string())),
        })
        .await
    }

    /// Digests of what is stored, in order.
    async fn stored(&self) -> Result<Vec<String>, PackageError> {
        let listed = self.store.list(Some(&Path::from("index")));
        let names: Vec<_> = listed.try_collect().await.map_err(|error| unavailable("list the index", error))?;
        let mut digests: Vec<String> = names.iter().filter_map(|object| digest_of(object.location.filename()?)).collect();
        digests.sort_unstable();
        Ok(digests)
    }

    /// The index entries of digests.
    async fn entries(&self, digests: Vec<String>) -> Result<Vec<PackageEntry>, PackageError> {
        futures_util::stream::iter(digests).map(|sha256| self.entry(sha256)).buffered(READS).try_collect().await
    }

    /// The index entry of a digest.
    async fn entry(&self, sha256: String) -> Result<PackageEntry, PackageError> {
        let object = self.store.get(&index_path(&sha256)).await;
        let text = match object {
            Ok(object) => object.bytes().await,
            Err(error) => Err(error),
        };
        let text = text.map_err(|error| unavailable(format!("read the index entry of {sha256}"), error))?;
        match serde_json::from_slice::<PackageEntry>(&text) {
            Ok(entry) if entry.sha256 == sha256 => Ok(entry),
            Ok(_) => Err(PackageError::Damaged { sha256, what: "its index entry is that of another archive".into() }),
            Err(error) => Err(PackageError::Damaged { sha256, what: format!("its index entry cannot be read: {error}") }),
        }
    }

    async fn put(&self, to: Path, bytes: Bytes) -> Result<(), PackageError> {
        let put = self.store.put(&to, PutPayload::from_bytes(bytes)).await;
        put.map(drop).map_err(|error| unavailable(format!("write {to}"), error))
    }
}

#[async_trait]
impl PackageSource for Repository {
    async fn list(&self) -> Result<Vec<PackageEntry>, PackageError> {
        let mut entries = self.entries(self.stored().await?).await?;
        entries.sort_by_cached_key(|entry| {
            let manifest = &entry.manifest;
            (manifest.name.clone(), version_key(&manifest.version), manifest.os.clone(), manifest.cpu.clone())
        });
        Ok(entries)
    }

    async fn fetch(&self, entry: &PackageEntry) -> Result<Bytes, PackageError> {
        let sha256 = entry.sha256.clone();
        let object = match self.store.get(&archive_path(&sha256)).await {
            Err(object_store::Error::NotFound { .. }) => {
                return Err(PackageError::Damaged { sha256, what: "the archive is gone".into() });
            }
            object => object.map_err(|error| unavailable(format!("read archive {sha256}"), error))?,
        };
        // The size in the entry was that of the bytes that were hashed: anything else need not be read.
        if object.meta.size != entry.size {
            let what = format!("it has {} bytes instead of {}", object.meta.size, entry.size);
            return Err(PackageError::Damaged { sha256, what });
        }
        let bytes = object.bytes().await.map_err(|error| unavailable(format!("read archive {sha256}"), error))?;
        computed(move || match archive::digest(&bytes) {
            found if found == sha256 => Ok(bytes),
            found => Err(PackageError::Damaged { sha256, what: format!("its bytes have SHA-256 {found}") }),
        })
        .await
    }
}

fn archive_path(sha256: &str) -> Path {
    Path::from_iter(["archives", &format!("{sha256}.tgz")])
}

fn index_path(sha256: &str) -> Path {
    Path::from_iter(["index", &format!("{sha256}.json")])
}

/// The digest an index file is named after; other files are none of ours.
fn digest_of(filename: &str) -> Option<String> {
    let digest = filename.strip_suffix(".json")?;
    (digest.len() == 64 && digest.bytes().all(|byte| byte.is_ascii_hexdigit())).then(|| digest.to_owned())
}

fn is_same_release(one: &PackageEntry, other: &PackageEntry) -> bool {
    let (one, other) = (&one.manifest, &other.manifest);
    (&one.name, &one.version, &one.os, &one.cpu) == (&other.name, &other.version, &other.os, &other.cpu)
}

fn title(entry: &PackageEntry) -> String {
    let manifest = &entry.manifest;
    format!("{} {} for {} {}", manifest.name, manifest.version, manifest.os, manifest.cpu)
}

fn read(path: &FilePath) -> Result<Bytes, PackageError> {
    let what = || format!("read {}", path.display());
    let size = std::fs::metadata(path).map_err(|error| unavailable(what(), error))?.len();
    if size > ARCHIVE_CAP {
        let fault = format!("it has {size} bytes, more than {ARCHIVE_CAP}");
        return Err(PackageError::Invalid { file: path.display().to_string(), faults: vec![fault] });
    }
    std::fs::read(path).map(Bytes::from).map_err(|error| unavailable(what(), error))
}

fn unavailable(what: impl Into<String>, source: impl std::error::Error + Send + Sync + 'static) -> PackageError {
    PackageError::Unavailable { what: what.into(), source: Box::new(source) }
}

/// Runs work that only computes away from the tasks that must answer.
async fn computed<T, F>(work: F) -> Result<T, PackageError>
where
    T: Send + 'static,
    F: FnOnce() -> Result<T, PackageError> + Send + 'static,
{
    tokio::task::spawn_blocking(work).await.map_err(|error| unavailable("computation", error))?
}
