//! From what is known of a host to its plan: reads the packages that the pure rules (`plan::settle`) need.
//!
//! Never here: asking the host.

use super::host_task::HostTask;
use super::payload::Payloads;
use crate::domain::facts::Facts;
use crate::domain::failure::{Code, Failure};
use crate::domain::host::Os;
use crate::domain::installed::Installed;
use crate::domain::job::JobKind;
use crate::domain::plan::{Plan, Privilege};
use crate::domain::spec::{JobSpec, TaskSpec};
use crate::plan::choose;
use crate::plan::settle::{Known, Package};

/// What a plan is settled for.
#[derive(Clone, Copy)]
pub(super) struct Wanted<'a> {
    pub(super) job: &'a JobSpec,
    pub(super) task: &'a TaskSpec,
    pub(super) payloads: &'a Payloads,
}

impl<'a> Wanted<'a> {
    /// That of a host that this process works on.
    pub(super) fn of(task: &'a HostTask) -> Self {
        Self { job: &task.job.spec, task: &task.row.spec, payloads: &task.job.payloads }
    }
}

/// What speaks against any plan for the host, whatever access point it gets.
pub(super) fn check(task: Wanted<'_>, facts: &Facts, privilege: Privilege) -> Result<(), Failure> {
    let kind = task.task.kind(task.job);
    let known = Known { job: task.job, task: task.task, facts, privilege };
    known.check_os()?;
    let acts = !kind.installs() || kind.upgrades();
    if acts && known.installed()?.is_none() { Err(Failure::new(Code::NotInstalled, not_installed(&known))) } else { Ok(()) }
}

/// The plan, when there is something to do.
pub(super) async fn settle(task: Wanted<'_>, facts: &Facts, privilege: Privilege) -> Result<Option<Plan>, Failure> {
    let kind = task.task.kind(task.job);
    let known = Known { job: task.job, task: task.task, facts, privilege };
    let os = known.check_os()?;
    if kind.installs() && !kind.upgrades() {
        return install(task, &known, os, None).await.map(Some);
    }
    let there = known.installed()?;
    match (kind, there) {
        (JobKind::UpgradeAgent | JobKind::UpgradeProxy, Some(there)) => install(task, &known, os, Some(there)).await.map(Some),
        (JobKind::UninstallAgent | JobKind::UninstallProxy, None) => Ok(None),
        (JobKind::UninstallAgent | JobKind::UninstallProxy, Some(there)) => {
            let mut plan = known.uninstall(there)?;
            // A person takes away what a person installed: without plugins.
            if !known.task.host.is_manual {
                known.remove_plugins(&mut plan)?;
            }
            Ok(Some(plan))
        }
        (JobKind::RestartAgent | JobKind::RestartProxy, Some(there)) => known.restart(there).map(Some),
        (JobKind::ReloadAgent | JobKind::ReloadProxy, Some(there)) => reload(task, &known, &there).await.map(Some),
        (_, None) => Err(Failure::new(Code::NotInstalled, not_installed(&known))),
        (_, Some(_)) => Err(Failure::new(Code::Internal, format!("{} has no plan", kind.wire_name()))),
    }
}

/// The plan of an install; of an upgrade when something is `there`.
async fn install(task: Wanted<'_>, known: &Known<'_>, os: Os, there: Option<Installed>) -> Result<Plan, Failure> {
    let job = known.job;
    let index = task.payloads.index().await?;
    let entry = choose::pick(index, job.kind.role(), &job.package, (os, &known.facts.cpu))?;
    let form = known.form()?;
    let archive = task.payloads.archive(entry).await?;
    let payload = archive.payload(form, known.task.host.enable_compression).await?;
    let package = Package { entry: &archive.entry, payload: &payload.reference, templates: &archive.templates };
    match there {
        Some(there) => known.upgrade(package, there),
        None => {
            let mut plan = known.install(package)?;
            if job.install_latest_plugins && !known.task.host.is_manual {
                plugins(task, known, os, &mut plan).await?;
            }
            Ok(plan)
        }
    }
}

/// The plugins that come with an install.
async fn plugins(task: Wanted<'_>, known: &Known<'_>, os: Os, plan: &mut Plan) -> Result<(), Failure> {
    let index = task.payloads.index().await?;
    let form = known.form()?;
    let mut archives = Vec::new();
    for entry in choose::plugins(index, (os, &known.facts.cpu)) {
        let archive = task.payloads.archive(entry).await?;
        let payload = archive.payload(form, known.task.host.enable_compression).await?;
        archives.push((archive, payload));
    }
    let packages: Vec<Package<'_>> = archives
        .iter()
        .map(|(archive, payload)| Package { entry: &archive.entry, payload: &payload.reference, templates: &archive.templates })
        .collect();
    known.add_plugins(plan, &packages)
}

/// The templates of a reload are those of the very package that was installed.
async fn reload(task: Wanted<'_>, known: &Known<'_>, there: &Installed) -> Result<Plan, Failure> {
    let index = task.payloads.index().await?;
    let entry = index.iter().find(|entry| entry.sha256 == there.digest).ok_or_else(|| {
        let message = format!("{} {}, which is installed on the host, is not among the packages", there.name, there.version);
        Failure::new(Code::NoPackage, message)
    })?;
    let archive = task.payloads.archive(entry).await?;
    known.reload(there, &archive.entry, &archive.templates)
}

fn not_installed(known: &Known<'_>) -> String {
    let what = known.job.package.name.as_deref().unwrap_or(known.job.kind.role().word());
    format!("no {what} of Landfall's is installed under {}", known.paths().setup_path)
}
