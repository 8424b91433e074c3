//! What the record in memory says of proxies, and of the hosts behind them.

use landfall::domain::host::Address;
use landfall::domain::id::{JobId, TaskId};
use landfall::domain::job::Status;
use landfall::domain::package::Role;
use landfall::store::page::{HostFilter, Page};
use landfall::store::{HostRow, Proxies};

use super::memory_rules::{Inner, Task};

impl Inner {
    pub(super) fn proxies(&self) -> Proxies {
        let known: Vec<HostRow> = self.inventory.values().filter(|row| row.role == Role::Proxy).cloned().collect();
        let logins = known.iter().filter_map(|row| Some((row.address, self.login_of(row.address)?.row.id))).collect();
        Proxies { known, retired: self.retired.iter().copied().collect(), logins }
    }

    /// The host task whose login is that of a host: the newest that let us in, of none such the newest.
    pub(super) fn login_of(&self, host: Address) -> Option<&Task> {
        let kept = self.tasks.values().filter_map(|task| Some((task, task.credential.as_ref()?)));
        let of_host = kept.filter(|(task, _)| task.row.address == host);
        of_host.max_by_key(|(task, kept)| (kept.proved, task.row.job, task.row.index)).map(|(task, _)| task)
    }

    pub(super) fn behind(&self, proxy: Address) -> Vec<HostRow> {
        let is_behind = |row: &&HostRow| row.address.cloud == proxy.cloud && row.upstream.contains(&proxy.ip);
        self.inventory.values().filter(|row| row.role == Role::Agent).filter(is_behind).cloned().collect()
    }

    pub(super) fn running_in(&self, cloud: i64) -> Vec<(JobId, TaskId)> {
        let is_running = |task: &&Task| task.open && task.row.status == Status::Running && task.row.address.cloud == cloud;
        let mut running: Vec<(JobId, TaskId)> =
            self.tasks.values().filter(is_running).map(|task| (task.row.job, task.row.id)).collect();
        running.sort_unstable();
        running
    }

    pub(super) fn children(&self, job: JobId) -> Vec<JobId> {
        self.jobs.iter().filter(|(_, child)| child.spec.parent == Some(job)).map(|(id, _)| *id).collect()
    }

    /// The inventory's hosts of some clouds and roles.
    pub(super) fn hosts(&self, filter: &HostFilter) -> Vec<HostRow> {
        let HostFilter { clouds, roles, .. } = filter;
        let only = HostFilter { clouds: clouds.clone(), roles: roles.clone(), ..HostFilter::default() };
        assert_eq!(*filter, only, "other filters of the inventory are the real records'");
        let is_meant = |row: &&HostRow| {
            clouds.as_ref().is_none_or(|clouds| clouds.contains(&row.address.cloud))
                && roles.as_ref().is_none_or(|roles| roles.contains(&row.role))
        };
        self.inventory.values().filter(is_meant).cloned().collect()
    }
}

/// A page of rows.
pub(super) fn cut<T>(rows: Vec<T>, page: Page) -> Vec<T> {
    let offset = usize::try_from(page.offset).unwrap();
    rows.into_iter().skip(offset).take(page.limit.map_or(usize::MAX, |limit| limit as usize)).collect()
}
