//! The package repository: archives by SHA-256, with an index of what they are.
//!
//! Never here: which package a job gets (`plan`) and how it travels (the engine). An archive is checked once, when it is
//! added, and its digest again whenever it is read.
//!
//! To add a place where packages live: another `object_store` behind [`repository::Repository`], chosen in `app`.

pub mod archive;
mod contents;
pub mod repository;

use async_trait::async_trait;
use bytes::Bytes;

use crate::domain::package::PackageEntry;

/// The repository did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum PackageError {
    /// The archive or its manifest is wrong; every fault found.
    #[error("{file} is not a package: {}", faults.join("; "))]
    Invalid {
        /// What was read.
        file: String,
        /// Everything wrong with it.
        faults: Vec<String>,
    },
    /// Same name, version, OS and CPU, other bytes.
    #[error("{what} is there already with other content (sha256 {sha256})")]
    Taken {
        /// Name, version, OS and CPU.
        what: String,
        /// Digest of the one that is there.
        sha256: String,
    },
    /// The stored bytes are not those that were added.
    #[error("stored archive {sha256} is damaged: {what}")]
    Damaged {
        /// Its digest.
        sha256: String,
        /// What was found.
        what: String,
    },
    /// It cannot be read or written.
    #[error("the package repository is not available: {what}")]
    Unavailable {
        /// What was tried.
        what: String,
        /// What the storage says.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// Where the engine gets packages from.
#[async_trait]
pub trait PackageSource: Send + Sync {
    /// All packages.
    async fn list(&self) -> Result<Vec<PackageEntry>, PackageError>;

    /// The bytes of an archive: opened once, digest checked.
    async fn fetch(&self, entry: &PackageEntry) -> Result<Bytes, PackageError>;
}
