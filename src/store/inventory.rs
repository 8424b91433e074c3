//! What the record knows of hosts beyond one job: values of the [`super::Store`] trait.
//!
//! Never here: how they are stored (`sql`).

use crate::domain::Timestamp;
use crate::domain::host::{Address, HostSpec};
use crate::domain::id::{JobId, TaskId};
use crate::domain::package::Role;

/// An inventory row: what is known of a host from finished jobs.
#[derive(Clone, Debug, PartialEq)]
pub struct HostRow {
    /// Which host.
    pub address: Address,
    /// How it was described.
    pub spec: HostSpec,
    /// Package name.
    pub package: String,
    /// Package version.
    pub version: String,
    /// SHA-256 of the package archive.
    pub digest: String,
    /// CPU the package is for; empty when it is for any.
    pub cpu: String,
    /// What it is.
    pub role: Role,
    /// Agents: the proxies that it was configured with.
    pub upstream: Vec<std::net::IpAddr>,
    /// The job that put it there.
    pub job: JobId,
    /// When.
    pub at: Timestamp,
}

/// The proxies of the record.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Proxies {
    /// Those that jobs installed.
    pub known: Vec<HostRow>,
    /// Those that carry nobody any more; the site may declare some of them still.
    pub retired: Vec<Address>,
    /// Whose login is that of each of them ([`super::Store::kept_logins`]), where one is kept.
    pub logins: Vec<(Address, TaskId)>,
}

impl Proxies {
    /// Those that carry connections into their clouds, of these and of the declared ones; each once.
    #[must_use]
    pub fn carrying(&self, declared: impl Iterator<Item = Address>) -> Vec<Address> {
        let mut all: Vec<Address> = declared.chain(self.known.iter().map(|row| row.address)).collect();
        all.retain(|proxy| !self.retired.contains(proxy));
        all.sort_unstable();
        all.dedup();
        all
    }
}

/// A pinned host key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PinnedKey {
    /// Network zone.
    pub cloud: i64,
    /// Dialled address.
    pub address: std::net::IpAddr,
    /// Dialled port.
    pub port: u16,
    /// OpenSSH form.
    pub key: String,
    /// When it was seen first.
    pub at: Timestamp,
}
