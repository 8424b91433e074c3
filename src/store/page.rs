//! What the doors' lists ask of the record: filters, orders, pages. A backend answers them inside the database, so that a page
//! costs the page, not the list.

use std::net::IpAddr;

use crate::domain::Timestamp;
use crate::domain::host::{Address, Os};
use crate::domain::id::JobId;
use crate::domain::job::{JobKind, Status};
use crate::domain::package::Role;

/// What is unfinished in the record.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// Every unfinished job: its kind, and its hosts by status.
    pub jobs: Vec<(JobKind, Vec<(Status, u64)>)>,
    /// Since when the host task waits that waits longest to be begun: recorded then, or opened again.
    pub waits_since: Option<Timestamp>,
}

/// A part of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Page {
    /// Entries before it.
    pub offset: u64,
    /// Entries at most; `None`: all that follow.
    pub limit: Option<u32>,
}

/// Which jobs are meant. `None` means all, an empty list none.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct JobFilter {
    /// These.
    pub ids: Option<Vec<JobId>>,
    /// In one of these states.
    pub statuses: Option<Vec<Status>>,
    /// Asked for by one of these.
    pub created_by: Option<Vec<String>>,
    /// With a host of one of these businesses.
    pub businesses: Option<Vec<i64>>,
    /// Of these businesses alone: all those of its hosts are among them, and there is one.
    pub within: Option<Vec<i64>>,
    /// With one of these hosts.
    pub ips: Option<Vec<IpAddr>>,
    /// Of one of these kinds.
    pub kinds: Option<Vec<JobKind>>,
    /// Recorded then or later.
    pub from: Option<Timestamp>,
    /// Recorded then or earlier.
    pub until: Option<Timestamp>,
}

/// What a list of jobs is ordered by; the newest first among equals.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum JobOrder {
    /// The newest first.
    #[default]
    Newest,
    /// By the number of their hosts that ended so; `None`: of all their hosts.
    Hosts {
        /// Which hosts are counted.
        counted: Option<Counted>,
        /// The smallest number first.
        ascending: bool,
    },
}

/// Hosts as the published statistics count them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Counted {
    /// `success_count`.
    Succeeded,
    /// `failed_count`.
    Failed,
}

impl Counted {
    /// The statuses that count.
    #[must_use]
    pub fn statuses(self) -> &'static [Status] {
        match self {
            Self::Succeeded => &[Status::Success],
            Self::Failed => &[Status::Failed, Status::Terminated, Status::PartFailed],
        }
    }
}

/// Which host tasks of a job are meant. `None` means all, an empty list none.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TaskFilter {
    /// With one of these addresses, whatever their cloud.
    pub ips: Option<Vec<IpAddr>>,
    /// In one of these states.
    pub statuses: Option<Vec<Status>>,
    /// One of these.
    pub named: Option<Vec<TaskName>>,
    /// None of these.
    pub excluded: Vec<TaskName>,
}

/// What the API calls a host of a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TaskName {
    /// By cloud and inner address.
    At(Address),
    /// By the `bk_host_id` of the request.
    Numbered(i64),
}

/// Which hosts of the inventory a list shows. `None` means all, an empty list none.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct HostFilter {
    /// With one of these numbers.
    pub ids: Option<Vec<i64>>,
    /// None of these numbers.
    pub excluded: Vec<i64>,
    /// Agents, proxies or both.
    pub roles: Option<Vec<Role>>,
    /// Of one of these businesses.
    pub businesses: Option<Vec<i64>>,
    /// In one of these clouds.
    pub clouds: Option<Vec<i64>>,
    /// With one of these access points.
    pub access_points: Option<Vec<i64>>,
    /// With one of these inner addresses, v4 or v6.
    pub ips: Option<Vec<IpAddr>>,
    /// With one of these systems.
    pub systems: Option<Vec<Os>>,
    /// With one of these packages.
    pub packages: Option<Vec<String>>,
    /// With one of these versions of their package.
    pub versions: Option<Vec<String>>,
}

/// Which hosts of the inventory are meant.
#[derive(Clone, Copy, Debug)]
pub enum Known<'a> {
    /// At these addresses.
    At(&'a [Address]),
    /// With these `bk_host_id`.
    Numbered(&'a [i64]),
}
