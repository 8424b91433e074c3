//! A look at hosts: log in once, probe, ask for the access point's ports. Nothing on a host changes, and nothing of it is
//! recorded but host keys that are seen first.
//!
//! Never here: what a finding means (`plan::examine`), trying again: a refused login is offered once.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::Engine;
use super::become_root::Become;
use super::cancel::Stop;
use super::host_task::Halt;
use super::payload::Payloads;
use super::steps::connect::Reached;
use super::steps::probe;
use super::talk::Talk;
use crate::assets;
use crate::domain::credential::Credential;
use crate::domain::facts::Facts;
use crate::domain::failure::{Code, Failure};
use crate::domain::finding::{Finding, Subject};
use crate::domain::host::Os;
use crate::domain::plan::{Step, StepKind};
use crate::domain::spec::{JobSpec, TaskSpec};
use crate::plan::choose;
use crate::plan::settle::{Known, paths};
use crate::transport::{ForwardError, Session};

/// Findings that wait to be taken: a slow reader holds the looking up, not the memory.
const WAITING: usize = 64;

/// Seconds for logging in, and for the probe, like the steps of the same names.
const CONNECT_S: u64 = 90;
const PROBE_S: u64 = 60;

/// Longest wait for one port of an access point, as the host sees it.
const PORT_DEADLINE: Duration = Duration::from_secs(5);

/// Seconds that a host which looks itself goes on asking.
const OWN_LOOK_S: u64 = 2;

/// Room for what `health.sh` needs beside its own timeout.
const MARGIN: Duration = Duration::from_secs(15);

/// A host to look at.
#[derive(Debug)]
pub struct Visit {
    /// What it is.
    pub task: TaskSpec,
    /// Its login.
    pub credential: Option<Credential>,
}

/// What all visits share.
struct Round {
    job: JobSpec,
    payloads: Payloads,
}

impl Engine {
    /// Looks at hosts, as many at once as the limits allow. Findings come as hosts are done, each with
    /// the number its visit came with.
    #[must_use]
    pub fn check(
        self: &Arc<Self>,
        job: JobSpec,
        visits: Vec<(Visit, usize)>,
        stop: Stop,
    ) -> mpsc::Receiver<(usize, Vec<Finding>)> {
        let (found, findings) = mpsc::channel(WAITING);
        let engine = self.clone();
        let round = Arc::new(Round { job, payloads: Payloads::new(engine.packages.clone()) });
        tokio::spawn(async move {
            let mut running = JoinSet::new();
            for (visit, index) in visits {
                let permit = tokio::select! {
                    permit = engine.limits.host() => permit,
                    () = stop.asked() => break,
                };
                let (engine, round, found) = (engine.clone(), round.clone(), found.clone());
                running.spawn(async move {
                    let _permit = permit;
                    let findings = look(&engine, &round, visit).await;
                    // Nobody waits for it any more.
                    let _ = found.send((index, findings)).await;
                });
                while running.try_join_next().is_some() {}
            }
            tokio::select! {
                () = async { while running.join_next().await.is_some() {} } => {}
                () = stop.asked() => running.abort_all(),
            }
        });
        findings
    }
}

/// Everything about one host, as far as it can be reached.
async fn look(engine: &Engine, round: &Round, visit: Visit) -> Vec<Finding> {
    let Visit { task, credential } = visit;
    let step = |kind, timeout_s| Step { kind, timeout_s };
    let logged_in = match credential {
        Some(credential) => {
            engine.ways(round.job.kind.role()).log_in(&task.host, credential, step(StepKind::Connect, CONNECT_S)).await
        }
        None => Err(Failure::new(Code::CredentialExpired, "no login of this host is kept").into()),
    };
    let Reached { mut session, sudo_password, how, .. } = match logged_in {
        Ok(reached) => reached,
        Err(halt) => return vec![Finding::failed(Subject::Login, &failure(halt))],
    };
    let mut findings = vec![Finding::ok(Subject::Login, how)];
    let places = paths(&round.job, &task);
    let method = probe::method(&engine.site, &task.host);
    let probed =
        tokio::time::timeout(Duration::from_secs(PROBE_S), probe::ask(&mut *session, &places, method, sudo_password.as_ref()));
    match probed.await {
        Err(_) => {
            let failure = Failure::new(Code::StepTimeout, format!("the probe did not end within {PROBE_S} s"));
            findings.push(Finding::failed(Subject::System, &failure));
        }
        Ok(Err(halt)) => {
            let failure = failure(halt);
            let subject = if failure.class == crate::domain::failure::FailureClass::Unprivileged {
                Subject::Privilege
            } else {
                Subject::System
            };
            findings.push(Finding::failed(subject, &failure));
        }
        Ok(Ok((facts, privilege))) => {
            findings.push(Finding::ok(Subject::Privilege, privilege.word()));
            // Then all that a job brings comes by SFTP.
            if facts.no_stdin
                && let Err(error) = session.sftp().await
            {
                findings.push(Finding::failed(Subject::System, &error.into()));
            }
            let known = Known { job: &round.job, task: &task, facts: &facts, privilege };
            findings.extend(known.examine_system());
            findings.extend(package(round, &known).await);
            let root =
                Become { privilege, dialect: facts.dialect(), password: sudo_password.as_ref().filter(|_| !facts.no_stdin) };
            findings.extend(access_point(&mut *session, &task, root).await);
        }
    }
    session.close().await;
    findings.sort_by_key(|finding| finding.subject);
    findings
}

/// The package of a job that installs, or what is there for one that acts on it.
async fn package(round: &Round, known: &Known<'_>) -> Vec<Finding> {
    let lacks = round.job.kind.upgrades() && matches!(known.installed(), Ok(None) | Err(_));
    if !round.job.kind.installs() || lacks {
        return known.examine_installed();
    }
    let chosen = async {
        let index = round.payloads.index().await?;
        let entry = choose::pick(index, round.job.kind.role(), &round.job.package, (os(known.facts), &known.facts.cpu))?;
        round.payloads.archive(entry).await
    };
    match chosen.await {
        Ok(archive) => known.examine_install(&archive.entry, &archive.templates),
        Err(failure) => vec![Finding::failed(Subject::Package, &failure)],
    }
}

fn os(facts: &Facts) -> Os {
    Os::from_uname(&facts.os).unwrap_or(Os::Linux)
}

/// Can the host reach every server of its access point?
async fn access_point(session: &mut dyn Session, task: &TaskSpec, root: Become<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (purpose, servers) in &task.access_point.servers {
        for server in servers {
            findings.push(match reach(session, server, root).await {
                Ok(()) => Finding::ok(Subject::AccessPoint, format!("{purpose} {server} answers")),
                Err(why) => Finding::warning(
                    Subject::AccessPoint,
                    format!("{purpose} {server} cannot be reached from the host: {why}"),
                    "check routes and firewalls between the host and the access point: the agent needs its servers",
                ),
            });
        }
    }
    findings
}

/// Does the host get a connection? By its sshd, else by its own tools.
async fn reach(session: &mut dyn Session, server: &str, root: Become<'_>) -> Result<(), String> {
    let bad = || "not ADDRESS:PORT".to_owned();
    let (host, port) = server.rsplit_once(':').ok_or_else(bad)?;
    let port: u16 = port.parse().map_err(|_| bad())?;
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let silent = format!("no answer within {} s", PORT_DEADLINE.as_secs());
    match tokio::time::timeout(PORT_DEADLINE, session.forward(host, port)).await {
        Err(_) => return Err(silent),
        Ok(Ok(_)) => return Ok(()),
        Ok(Err(ForwardError::NotYet)) => return Err("refused or unreachable".into()),
        Ok(Err(ForwardError::Transport(error))) => return Err(error.to_string()),
        // Whoever may not be asked that way may still be asked to look himself.
        Ok(Err(ForwardError::NotAllowed(_))) => {}
    }
    // It asks again until then.
    let timeout = OWN_LOOK_S.to_string();
    let asking = async {
        let mut talk = Talk::open_as_root(session, &assets::HEALTH, &[&timeout, "tcp", server], root).await?;
        talk.last().await
    };
    match tokio::time::timeout(PORT_DEADLINE + MARGIN, asking).await {
        Err(_) => Err(silent),
        Ok(Err(failure)) => Err(failure.to_string()),
        Ok(Ok(answer)) => match answer.as_deref().map(|word| word.split_once('=').unwrap_or((word, ""))) {
            Some(("healthy", _)) => Ok(()),
            Some((_, why)) if !why.is_empty() => Err(why.to_owned()),
            _ => Err("refused or unreachable".into()),
        },
    }
}

/// What a step that was done outside of a job failed with.
pub(super) fn failure(halt: Halt) -> Failure {
    match halt {
        Halt::Failed(failure) | Halt::Unknown(failure) => failure,
        Halt::Nothing(_) | Halt::Stopped | Halt::Left(_) => Failure::new(Code::Internal, "it broke off"),
    }
}
