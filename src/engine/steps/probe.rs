//! probe: learn what the host is, become root, settle the plan, unless its access point is still to be chosen. Changes nothing,
//! but that a Windows host gets the programs which it is asked by.

use std::net::IpAddr;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use crate::assets;
use crate::domain::credential::Secret;
use crate::domain::event::Figures;
use crate::domain::facts::{Facts, ProbeError};
use crate::domain::failure::{Code, Failure};
use crate::domain::host::{HostSpec, Os};
use crate::domain::plan::{Privilege, Step};
use crate::domain::shell;
use crate::domain::site::{HostPaths, Method, Site};
use crate::domain::spec::{JobSpec, TaskSpec};
use crate::engine::become_root::Become;
use crate::engine::host_task::{Halt, HostTask, Went, within};
use crate::engine::settling::{self, Wanted};
use crate::engine::talk::Talk;
use crate::engine::windows;
use crate::plan::settle::paths;
use crate::plan::task::{self, Place};
use crate::transport::Session;

/// A shell that does not know a command says so at once; and cmd.exe answers as fast.
const AT_ONCE: Duration = Duration::from_secs(10);

/// Longest answer of a probe: a `landfall.toml` and a few blobs.
const ANSWER_CAP: usize = 1 << 20;

pub(in crate::engine) async fn carry_out(task: &mut HostTask, step: Step) -> Result<Went, Halt> {
    let job = task.job.clone();
    let asked = Asked::of((&job.spec, &task.row.spec), &job.site, task.access.sudo_password.clone());
    let (facts, privilege) = within(step, ask(task.session()?, &asked)).await?;
    task.has_programs = facts.is_windows();
    let detail = format!("{}, {}", facts.shown(), privilege.word());
    task.row.spec.upstream = upstream(task).await?;
    if task.chooses_access_point() {
        settling::check(Wanted::of(task), &facts, privilege)?;
        task.probed = Some((facts, privilege));
        return Ok(Went::changed(Figures::detail(detail.trim())));
    }
    match settling::settle(Wanted::of(task), &facts, privilege).await? {
        Some(plan) => Ok(Went { plan: Some(Box::new(plan)), ..Went::changed(Figures::detail(detail.trim())) }),
        None => Err(Halt::Nothing("no such agent is installed on the host".into())),
    }
}

/// Who makes an account root on this host.
pub(in crate::engine) fn method(site: &Site, host: &HostSpec) -> Method {
    host.login_address().map_or_else(Method::default, |ip| site.privilege_of(ip))
}

/// What is asked of a host whose system may not be known.
pub(in crate::engine) struct Asked {
    /// Its places, should it be Windows.
    pub(in crate::engine) windows: HostPaths,
    /// Its places elsewhere.
    pub(in crate::engine) posix: HostPaths,
    /// What the request says that it runs.
    pub(in crate::engine) stated: Option<Os>,
    /// Who makes the account root.
    pub(in crate::engine) method: Method,
    /// What sudo is answered with.
    pub(in crate::engine) sudo_password: Option<Secret>,
}

impl Asked {
    pub(in crate::engine) fn of((job, task): (&JobSpec, &TaskSpec), site: &Site, sudo_password: Option<Secret>) -> Self {
        Self {
            windows: paths(job, task, Os::Windows),
            posix: paths(job, task, Os::Linux),
            stated: task.host.os_type,
            method: method(site, &task.host),
            sudo_password,
        }
    }
}

/// What the host is, seen by root, or by an administrator of Windows. Of the two questions that the systems understand the
/// likelier one comes first.
pub(in crate::engine) async fn ask(session: &mut dyn Session, asked: &Asked) -> Result<(Facts, Privilege), Halt> {
    if asked.stated == Some(Os::Windows)
        && let Some(found) = ask_windows(session, asked).await?
    {
        return Ok(found);
    }
    let begun = Instant::now();
    let told = ask_posix(session, asked).await;
    match &told {
        Ok((facts, _)) if is_on_windows(&facts.os) => {}
        // A shell that hangs or asks would do so again.
        Err(Halt::Failed(failure)) if is_no_shell(failure) && asked.stated != Some(Os::Windows) && begun.elapsed() < AT_ONCE => {}
        _ => return told,
    }
    match tokio::time::timeout(AT_ONCE, windows::greet(session)).await {
        Ok(Ok(Some(greeting))) => by_batch(session, &greeting, asked).await,
        // What was said first says more.
        _ => told,
    }
}

fn is_no_shell(failure: &Failure) -> bool {
    failure.code == Code::NoShell.row().word
}

/// Shells of Cygwin and its like answer there, too.
fn is_on_windows(uname: &str) -> bool {
    ["CYGWIN", "MINGW", "MSYS"].iter().any(|name| uname.starts_with(name))
}

async fn ask_windows(session: &mut dyn Session, asked: &Asked) -> Result<Option<(Facts, Privilege)>, Halt> {
    match windows::greet(session).await? {
        Some(greeting) => by_batch(session, &greeting, asked).await.map(Some),
        None => Ok(None),
    }
}

/// The probe of a host that greeted as Windows does.
async fn by_batch(session: &mut dyn Session, greeting: &windows::Greeting, asked: &Asked) -> Result<(Facts, Privilege), Halt> {
    if asked.stated.is_some_and(|stated| stated != Os::Windows) {
        // Nothing is brought to a host that is not the one that was meant.
        return Ok((Facts { os: "Windows_NT".into(), ..Facts::default() }, Privilege::Elevated));
    }
    Ok((windows::probe(session, greeting, &asked.windows).await?, Privilege::Elevated))
}

async fn ask_posix(session: &mut dyn Session, asked: &Asked) -> Result<(Facts, Privilege), Halt> {
    let (paths, method, sudo_password) = (&asked.posix, asked.method, asked.sudo_password.as_ref());
    // What any login shell takes as it is: see the rules of the probe.
    let line = format!("sh -c '{}' lf '{}' lf", shell::POSIX, *assets::PROBE_LINE).into_bytes();
    let talk = Talk::open(session, line).await?;
    let mut facts = answer(talk, Some(paths)).await?;
    // What was sent did not arrive; the shell is known now, so it may come as arguments.
    let arguments = [paths.setup_path.as_str(), paths.temp_path.as_str()];
    if facts.no_stdin {
        let line = shell::command_line(facts.dialect(), &shell::program(&assets::PROBE_LINE, &arguments));
        facts = Facts { no_stdin: true, ..answer(Talk::open(session, line).await?, None).await? };
        if !facts.home.starts_with('/') {
            let message =
                format!("commands get no stdin, and the account's home is `{}`: no place for SFTP to write to", facts.home);
            return Err(Failure::new(Code::NoStdin, message).into());
        }
    }
    if facts.uid == 0 || is_on_windows(&facts.os) {
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

/// The proxies that the host's agent reaches everything through, as of now: since the job was recorded one may have been
/// replaced.
async fn upstream(of: &HostTask) -> Result<Vec<IpAddr>, Halt> {
    let (site, host) = (&of.job.site, &of.row.spec.host);
    let carrying = match host.bk_cloud_id {
        0 => Vec::new(),
        _ => of.job.store.proxies().await?.carrying(site.proxies()),
    };
    Ok(task::upstream(&Place { site, kind: of.kind(), carrying: &carrying }, host))
}
