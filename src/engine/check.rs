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
use super::measure;
use super::payload::Payloads;
use super::steps::connect::Reached;
use super::steps::probe::{self, Asked};
use super::talk::Talk;
use crate::assets;
use crate::domain::credential::Credential;
use crate::domain::facts::Facts;
use crate::domain::failure::{Code, Failure, FailureClass};
use crate::domain::finding::{Finding, Subject};
use crate::domain::host::Os;
use crate::domain::plan::{Privilege, Step, StepKind};
use crate::domain::site::Site;
use crate::domain::spec::{JobSpec, TaskSpec};
use crate::plan::settle::Known;
use crate::plan::{choose, nearest};
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

/// Longest that all access points may take together, like the step of that name.
const MEASURING: Duration = Duration::from_secs(180);

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
    let Visit { mut task, credential } = visit;
    let step = |kind, timeout_s| Step { kind, timeout_s };
    let logged_in = match credential {
        Some(credential) => {
            engine.ways(task.kind(&round.job).role()).log_in(&task.host, credential, step(StepKind::Connect, CONNECT_S)).await
        }
        None => Err(Failure::new(Code::CredentialExpired, "no login of this host is kept").into()),
    };
    let Reached { mut session, sudo_password, how, .. } = match logged_in {
        Ok(reached) => reached,
        Err(halt) => return vec![Finding::failed(Subject::Login, &failure(halt))],
    };
    let mut findings = vec![Finding::ok(Subject::Login, how)];
    let asked = Asked::of((&round.job, &task), &engine.site, sudo_password.clone());
    let probed = tokio::time::timeout(Duration::from_secs(PROBE_S), probe::ask(&mut *session, &asked));
    match probed.await {
        Err(_) => {
            let failure = Failure::new(Code::StepTimeout, format!("the probe did not end within {PROBE_S} s"));
            findings.push(Finding::failed(Subject::System, &failure));
        }
        Ok(Err(halt)) => findings.push(unprobed(&failure(halt))),
        Ok(Ok((mut facts, privilege))) => {
            findings.push(Finding::ok(Subject::Privilege, privilege.word()));
            let password = sudo_password.as_ref().filter(|_| !facts.no_stdin);
            let root = Become { privilege, dialect: facts.dialect(), password };
            if task.outline.iter().any(|step| step.kind == StepKind::ChooseAccessPoint) {
                findings.push(nearest(&mut *session, (&mut task, &engine.site), root).await);
                // What the probe said of room was about the places of another one.
                let there = Asked::of((&round.job, &task), &engine.site, sudo_password.clone());
                if (&there.posix, &there.windows) != (&asked.posix, &asked.windows)
                    && let Ok(Ok((anew, _))) =
                        tokio::time::timeout(Duration::from_secs(PROBE_S), probe::ask(&mut *session, &there)).await
                {
                    facts = anew;
                }
            } else {
                findings.extend(access_point(&mut *session, &task, root).await);
            }
            // Then all that a job brings comes by SFTP.
            if facts.no_stdin
                && let Err(error) = session.sftp().await
            {
                findings.push(Finding::failed(Subject::System, &error.into()));
            }
            let known = Known { job: &round.job, task: &task, facts: &facts, privilege };
            findings.extend(known.examine_system());
            findings.extend(package(round, &known).await);
        }
    }
    session.close().await;
    findings.sort_by_key(|finding| finding.subject);
    findings
}

/// What it means that the probe failed.
fn unprobed(failure: &Failure) -> Finding {
    let is_unprivileged = failure.class == FailureClass::Unprivileged;
    Finding::failed(if is_unprivileged { Subject::Privilege } else { Subject::System }, failure)
}

/// The package of a job that installs, or what is there for one that acts on it.
async fn package(round: &Round, known: &Known<'_>) -> Vec<Finding> {
    let kind = known.task.kind(&round.job);
    let lacks = kind.upgrades() && matches!(known.installed(), Ok(None) | Err(_));
    if !kind.installs() || lacks {
        return known.examine_installed();
    }
    let chosen = async {
        let index = round.payloads.index().await?;
        let entry = choose::pick(index, kind.role(), &round.job.package, (os(known.facts), &known.facts.cpu))?;
        round.payloads.archive(entry).await
    };
    match chosen.await {
        Ok(archive) => {
            let mut findings = known.examine_install(&archive.entry, &archive.templates);
            if round.job.install_latest_plugins && !round.job.kind.upgrades() {
                findings.extend(plugins(round, known, &archive.entry.manifest.name).await);
            }
            findings
        }
        Err(failure) => vec![Finding::failed(Subject::Package, &failure)],
    }
}

/// The plugins that would come with the package of that name.
async fn plugins(round: &Round, known: &Known<'_>, beside: &str) -> Vec<Finding> {
    let Ok(index) = round.payloads.index().await else { return Vec::new() };
    let mut findings = Vec::new();
    for entry in choose::plugins(index, (os(known.facts), &known.facts.cpu)) {
        findings.push(match round.payloads.archive(entry).await {
            Ok(archive) => known.examine_plugin(beside, (&archive.entry, &archive.templates)),
            Err(failure) => Finding::failed(Subject::Package, &failure),
        });
    }
    findings
}

fn os(facts: &Facts) -> Os {
    Os::from_uname(&facts.os).unwrap_or(Os::Linux)
}

/// The nearest access point, which is the host's from here on.
async fn nearest(session: &mut dyn Session, (task, site): (&mut TaskSpec, &Site), root: Become<'_>) -> Finding {
    let points = site.access_points_of(&task.host);
    let judged = match tokio::time::timeout(MEASURING, measure::judged(session, &points, root)).await {
        Ok(Ok(judged)) => judged,
        Ok(Err(failure)) => return Finding::failed(Subject::AccessPoint, &failure),
        Err(_) => {
            let message = format!("measuring the access points did not end within {} s", MEASURING.as_secs());
            return Finding::failed(Subject::AccessPoint, &Failure::new(Code::StepTimeout, message));
        }
    };
    match nearest::nearest(&judged) {
        Ok(point) => {
            task.take_access_point(point.clone());
            Finding::ok(Subject::AccessPoint, format!("{} of {}", point.id, nearest::told(&judged)))
        }
        Err(failure) => Finding::failed(Subject::AccessPoint, &failure),
    }
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
    if root.privilege == Privilege::Elevated {
        return Err("sshd does not forward, and nothing on Windows is asked to look".into());
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
