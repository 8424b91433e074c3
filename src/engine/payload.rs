//! Package archives of a job: read, hashed and recompressed once, shared by all hosts as one buffer.
//!
//! Whoever needs an archive first loads it while the others wait for the same cell; a thousand hosts cost one copy.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use tokio::sync::OnceCell;

use crate::domain::failure::{Code, Failure};
use crate::domain::package::PackageEntry;
use crate::domain::plan::{Form, PayloadRef};
use crate::packages::{PackageError, PackageSource, archive};
use crate::plan::render::Templates;

/// The archives of a job.
pub(super) struct Payloads {
    source: Arc<dyn PackageSource>,
    index: OnceCell<Vec<PackageEntry>>,
    archives: Mutex<HashMap<String, Arc<OnceCell<Arc<Archive>>>>>,
}

/// One archive in memory.
pub(super) struct Archive {
    /// What it is.
    pub(super) entry: PackageEntry,
    /// Its templates.
    pub(super) templates: Templates,
    stored: Payload,
    zstd: OnceCell<Option<Payload>>,
    gzip: OnceCell<Option<Payload>>,
    tar: OnceCell<Option<Payload>>,
    tree: OnceCell<Option<Payload>>,
}

/// Bytes that travel.
#[derive(Clone, Debug)]
pub(super) struct Payload {
    /// What they are.
    pub(super) reference: PayloadRef,
    /// The bytes, shared.
    pub(super) bytes: Bytes,
    /// The files in them, where these travel one by one.
    pub(super) parts: Arc<[archive::Part]>,
}

impl Payload {
    fn new(bytes: Bytes, form: Form) -> Self {
        let reference = PayloadRef { sha256: archive::digest(&bytes), size: bytes.len() as u64, form };
        Self { reference, bytes, parts: Arc::default() }
    }

    /// A bare archive whose files travel one by one.
    fn in_parts(bytes: Bytes) -> Result<Self, PackageError> {
        let parts = archive::parts(&bytes)?;
        let size = parts.iter().map(|part| part.size as u64).sum();
        let reference = PayloadRef { sha256: archive::digest(&bytes), size, form: Form::Tree };
        Ok(Self { reference, bytes, parts: parts.into() })
    }

    /// Its bytes from `offset` on.
    pub(super) fn rest(&self, offset: u64) -> Bytes {
        self.bytes.slice(usize::try_from(offset).unwrap_or(usize::MAX).min(self.bytes.len())..)
    }

    /// Have its first `count` bytes this SHA-256?
    pub(super) async fn starts_with_digest(&self, count: usize, digest: &str) -> Result<bool, Failure> {
        let start = self.bytes.slice(..count.min(self.bytes.len()));
        Ok(count == 0 || compute(move || Ok(archive::digest(&start))).await? == digest)
    }
}

fn failure(error: &PackageError) -> Failure {
    let code = match error {
        PackageError::Invalid { .. } | PackageError::Damaged { .. } | PackageError::Taken { .. } => Code::BadPackage,
        PackageError::Unavailable { .. } => Code::Store,
    };
    Failure::new(code, error.to_string())
}

/// Work for a core, not for the runtime.
async fn compute<T: Send + 'static>(work: impl FnOnce() -> Result<T, PackageError> + Send + 'static) -> Result<T, Failure> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|error| Failure::new(Code::Internal, error.to_string()))?.map_err(|error| failure(&error))
}

impl Payloads {
    pub(super) fn new(source: Arc<dyn PackageSource>) -> Self {
        Self { source, index: OnceCell::new(), archives: Mutex::default() }
    }

    /// All packages there are, as the first who asks finds them: a thousand hosts must not read the same list.
    pub(super) async fn index(&self) -> Result<&[PackageEntry], Failure> {
        let index = self.index.get_or_try_init(|| async { self.source.list().await.map_err(|error| failure(&error)) });
        index.await.map(Vec::as_slice)
    }

    /// The archive of a package, loaded by the first who asks.
    pub(super) async fn archive(&self, entry: &PackageEntry) -> Result<Arc<Archive>, Failure> {
        let cell = {
            let mut archives = self.archives.lock().unwrap_or_else(PoisonError::into_inner);
            archives.entry(entry.sha256.clone()).or_default().clone()
        };
        cell.get_or_try_init(|| self.load(entry)).await.cloned()
    }

    async fn load(&self, entry: &PackageEntry) -> Result<Arc<Archive>, Failure> {
        let bytes = self.source.fetch(entry).await.map_err(|error| failure(&error))?;
        let names: Vec<String> = entry.manifest.config.iter().map(|config| config.template.clone()).collect();
        let templates = if names.is_empty() {
            BTreeMap::new()
        } else {
            let bytes = bytes.clone();
            let read = move || archive::read_files(&bytes, &names.iter().map(String::as_str).collect::<Vec<_>>());
            compute(read).await?
        };
        let reference = PayloadRef { sha256: entry.sha256.clone(), size: bytes.len() as u64, form: Form::Gzip };
        Ok(Arc::new(Archive {
            entry: entry.clone(),
            templates,
            stored: Payload { reference, bytes, parts: Arc::default() },
            zstd: OnceCell::new(),
            gzip: OnceCell::new(),
            tar: OnceCell::new(),
            tree: OnceCell::new(),
        }))
    }
}

impl Archive {
    /// The bytes that travel to a host that can unpack `form`; recompressed only when `compress` asks for it and it is
    /// worth it. A host without gzip gets the bare archive either way.
    pub(super) async fn payload(&self, form: Form, compress: bool) -> Result<Payload, Failure> {
        let other = match (form, compress) {
            (Form::Zstd, true) => self.form(&self.zstd, Form::Zstd).await?,
            (Form::Gzip, true) => self.form(&self.gzip, Form::Gzip).await?,
            (Form::Tar, _) => self.form(&self.tar, Form::Tar).await?,
            (Form::Tree, _) => self.form(&self.tree, Form::Tree).await?,
            (Form::Zstd | Form::Gzip, false) => None,
        };
        Ok(other.unwrap_or_else(|| self.stored.clone()))
    }

    async fn form(&self, cell: &OnceCell<Option<Payload>>, form: Form) -> Result<Option<Payload>, Failure> {
        let made = cell.get_or_try_init(|| async {
            let stored = self.stored.bytes.clone();
            let made = compute(move || {
                let bytes = Bytes::from(archive::recompress(&stored, form)?);
                if form == Form::Tree { Payload::in_parts(bytes) } else { Ok(Payload::new(bytes, form)) }
            });
            let made = made.await?;
            let worth_it = archive::pays(self.stored.reference.size, made.reference.size);
            Ok::<_, Failure>((worth_it || matches!(form, Form::Tar | Form::Tree)).then_some(made))
        });
        made.await.cloned()
    }
}
