//! probe: learn what the host is, become root, settle the plan. Changes nothing.

use bytes::Bytes;

use crate::assets;
use crate::domain::credential::Secret;
use crate::domain::event::Figures;
use crate::domain::facts::{Facts, ProbeError};
use crate::domain::failure::{Code, Failure};
use crate::domain::host::{HostSpec, Os};
use crate::domain::installed::Installed;
use crate::domain::job::JobKind;
use crate::domain::plan::{Plan, Privilege, Step};
use crate::domain::site::{HostPaths, Method, Site};
use crate::engine::become_root::Become;
use crate::engine::host_task::{Halt, HostTask, Went, within};
use crate::engine::talk::Talk;
use crate::plan::choose;
use crate::plan::settle::{Known, Package, paths};
use crate::transport::Session;

/// Longest answer of a probe: a `landfall.toml` and a few blobs.
const ANSWER_CAP: usize = 1 << 20;

pub(in crate::engine) async fn carry_out(task: &mut HostTask, step: Step) -> Result<Went, Halt> {
    let paths = paths(&task.job.spec, &task.row.spec);
    let sudo_password = task.access.sudo_password.clone();
    let method = method(&task.job.site, &task.row.spec.host);
    let (facts, privilege) = within(step, ask(task.session()?, &paths, method, sudo_password.as_ref())).await?;
    let detail = format!("{} {}, {}, {}", facts.distro, facts.cpu, facts.init, privilege.word());
    match settle(task, &facts, privilege).await? {
        Some(plan) => Ok(Went { plan: Some(Box::new(plan)), ..Went::changed(Figures::detail(detail.trim())) }),
        None => Err(Halt::Nothing("no such agent is installed on the host".into())),
    }
}

/// Who makes an account root on this host.
pub(in crate::engine) fn method(site: &Site, host: &HostSpec) -> Method {
    host.login_address().map_or_else(Method::default, |ip| site.privilege_of(ip))
}

/// What the host is, seen by root.
pub(in crate::engine) async fn ask(
    session: &mut dyn Session,
    paths: &HostPaths,
    method: Method,
    sudo_password: Option<&Secret>,
) -> Result<(Facts, Privilege), Halt> {
    let line = format!("sh -c '{}'", *assets::PROBE_LINE).into_bytes();
    let talk = Talk::open(session, line).await?;
    let facts = answer(talk, paths).await?;
    if facts.uid == 0 {
        return Ok((facts, Privilege::Root));
    }
    if !facts.has(method.word()) {
        let message = format!("the account {} is not root and there is no {} on the host", facts.user, method.word());
        return Err(Failure::new(Code::NotRoot, message).into());
    }
    let mut root = Become { privilege: Become::first(method), dialect: facts.dialect(), password: sudo_password };
    let talk = loop {
        match Talk::open_as_root(session, &assets::PROBE_LINE, &[], root).await {
            Ok(talk) => break talk,
            Err(failure) => match root.otherwise(&failure) {
                Some(privilege) => root = Become { privilege, ..root },
                None => return Err(failure.into()),
            },
        }
    };
    // As root everything but the login shell of the account is known better.
    let facts = Facts { shell: facts.shell.clone(), ..answer(talk, paths).await? };
    if facts.uid == 0 {
        Ok((facts, root.privilege))
    } else {
        Err(Failure::new(Code::NotRoot, format!("{} did not make the account root", root.privilege.word())).into())
    }
}

async fn answer(mut talk: Talk, paths: &HostPaths) -> Result<Facts, Halt> {
    // A shell that is gone already gives no answer, which says more than the write's error.
    if talk.send(Bytes::from(format!("{}\n{}\n", paths.setup_path, paths.temp_path))).await.is_ok() {
        let _ = talk.finish().await;
    }
    let output = talk.rest(ANSWER_CAP).await?;
    Facts::parse(&output).map_err(|error| {
        let code = match error {
            ProbeError::Incomplete if talk.was_ended() => Code::NoExitStatus,
            ProbeError::Incomplete => Code::NoShell,
            ProbeError::BadInstalled { .. } => Code::SeveralInstalled,
        };
        let how = talk.exit().map(|exit| format!(" ({exit})")).unwrap_or_default();
        Halt::Failed(Failure::new(code, format!("{error}{how}")).with_tail(&talk.complaint()))
    })
}

/// The plan, when there is something to do.
async fn settle(task: &HostTask, facts: &Facts, privilege: Privilege) -> Result<Option<Plan>, Failure> {
    let kind = task.job.spec.kind;
    let known = Known { job: &task.job.spec, task: &task.row.spec, facts, privilege };
    let os = known.check_os()?;
    if kind.installs() && !kind.upgrades() {
        return install(task, &known, os, None).await.map(Some);
    }
    let there = known.installed()?;
    match (kind, there) {
        (JobKind::UpgradeAgent | JobKind::UpgradeProxy, Some(there)) => install(task, &known, os, Some(there)).await.map(Some),
        (JobKind::UninstallAgent | JobKind::UninstallProxy, None) => Ok(None),
        (JobKind::UninstallAgent | JobKind::UninstallProxy, Some(there)) => known.uninstall(there).map(Some),
        (JobKind::RestartAgent | JobKind::RestartProxy, Some(there)) => known.restart(there).map(Some),
        (JobKind::ReloadAgent | JobKind::ReloadProxy, Some(there)) => reload(task, &known, &there).await.map(Some),
        (_, None) => Err(Failure::new(Code::NotInstalled, not_installed(&known))),
        (_, Some(_)) => Err(Failure::new(Code::Internal, format!("{} has no plan", kind.wire_name()))),
    }
}

/// The plan of an install; of an upgrade when something is `there`.
async fn install(task: &HostTask, known: &Known<'_>, os: Os, there: Option<Installed>) -> Result<Plan, Failure> {
    let job = known.job;
    let index = task.job.payloads.index().await?;
    let entry = choose::pick(index, job.kind.role(), &job.package, (os, &known.facts.cpu))?;
    let form = known.form()?;
    let archive = task.job.payloads.archive(entry).await?;
    let payload = archive.payload(form, known.task.host.enable_compression).await?;
    let package = Package { entry: &archive.entry, payload: &payload.reference, templates: &archive.templates };
    match there {
        Some(there) => known.upgrade(package, there),
        None => known.install(package),
    }
}

/// The templates of a reload are those of the very package that was installed.
async fn reload(task: &HostTask, known: &Known<'_>, there: &Installed) -> Result<Plan, Failure> {
    let index = task.job.payloads.index().await?;
    let entry = index.iter().find(|entry| entry.sha256 == there.digest).ok_or_else(|| {
        let message = format!("{} {}, which is installed on the host, is not among the packages", there.name, there.version);
        Failure::new(Code::NoPackage, message)
    })?;
    let archive = task.job.payloads.archive(entry).await?;
    known.reload(there, &archive.entry, &archive.templates)
}

fn not_installed(known: &Known<'_>) -> String {
    let what = known.job.package.name.as_deref().unwrap_or(known.job.kind.role().word());
    format!("no {what} of Landfall's is installed under {}", known.paths().setup_path)
}
