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
use crate::domain::shell;
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
    let mut facts = answer(talk, Some(paths)).await?;
    // What was sent did not arrive; the shell is known now, so it may come as arguments.
    let arguments = [paths.setup_path.as_str(), paths.temp_path.as_str()];
    if facts.no_stdin {
        let line = shell::command_line(facts.dialect(), &[&["sh", "-c", &*assets::PROBE_LINE, "lf"], &arguments[..]].concat());
        facts = Facts { no_stdin: true, ..answer(Talk::open(session, line).await?, None).await? };
        if !facts.home.starts_with('/') {
            let message =
                format!("commands get no stdin, and the account's home is `{}`: no place for SFTP to write to", facts.home);
            return Err(Failure::new(Code::NoStdin, message).into());
        }
    }
    if facts.uid == 0 {
        return Ok((facts, Privilege::Root));
    }
    if !facts.has(method.word()) {
        let message = format!("the account {} is not root and there is no {} on the host", facts.user, method.word());
        return Err(Failure::new(Code::NotRoot, message).into());
    }
    let root = Become { privilege: Become::first(method), dialect: facts.dialect(), password: sudo_password };
    let (talk, root, sent) = if facts.no_stdin {
        (as_root_unasked(session, &arguments, root).await?, root, None)
    } else {
        let (talk, root) = as_root(session, root).await?;
        (talk, root, Some(paths))
    };
    let known = answer(talk, sent).await?;
    if known.uid == 0 {
        // As root everything but what is the account's own is known better.
        Ok((Facts { shell: facts.shell, home: facts.home, no_stdin: facts.no_stdin, ..known }, root.privilege))
    } else {
        Err(Failure::new(Code::NotRoot, format!("{} did not make the account root", root.privilege.word())).into())
    }
}

/// The probe as root, by the first way that leads there.
async fn as_root<'a>(session: &mut dyn Session, mut root: Become<'a>) -> Result<(Talk, Become<'a>), Failure> {
    loop {
        match Talk::open_as_root(session, &assets::PROBE_LINE, &[], root).await {
            Ok(talk) => return Ok((talk, root)),
            Err(failure) => match root.otherwise(&failure) {
                Some(privilege) => root = Become { privilege, ..root },
                None => return Err(failure),
            },
        }
    }
}

/// The probe as root where no question can be answered: only by a way that asks none.
async fn as_root_unasked(session: &mut dyn Session, arguments: &[&str], root: Become<'_>) -> Result<Talk, Failure> {
    let unasked = Become { password: None, ..root };
    let asks = |why: &str| Failure::new(Code::NoStdin, format!("commands get no stdin, and {why}"));
    if root.privilege.is_on_terminal() {
        return Err(asks(&format!("{} asks for a password", root.privilege.word())));
    }
    let opened = Talk::open_as_root(session, &assets::PROBE_LINE, arguments, unasked).await;
    let is = |failure: &Failure, code: Code| failure.code == code.row().word;
    opened.map_err(|failure| {
        if is(&failure, Code::SudoPasswordMissing) || is(&failure, Code::DoasPasswordMissing) {
            asks(&format!("{} asks for a password", root.privilege.word())).because(failure)
        } else {
            failure
        }
    })
}

/// What the probe says, after it was sent what it asks for.
async fn answer(mut talk: Talk, sent: Option<&HostPaths>) -> Result<Facts, Halt> {
    // A shell that is gone already gives no answer, which says more than the write's error.
    if let Some(paths) = sent
        && talk.send(Bytes::from(format!("{}\n{}\n", paths.setup_path, paths.temp_path))).await.is_ok()
    {
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
