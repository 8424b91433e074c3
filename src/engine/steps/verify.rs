//! verify: "installed" means that the agent answered, and that the process that was started lives before and after.
//!
//! The question goes through the host's own session (direct-tcpip), so nothing is needed on the target; where sshd does not
//! forward, and for commands, the target asks itself.

use std::time::Duration;

use tokio::time::Instant;

use crate::assets;
use crate::domain::event::Figures;
use crate::domain::facts;
use crate::domain::failure::{Code, Failure};
use crate::domain::id::RunId;
use crate::domain::outcome::ExitReport;
use crate::domain::package::{Health, Question, Role};
use crate::domain::plan::{Plan, StepKind};
use crate::domain::shell;
use crate::engine::ask::{self, Answer};
use crate::engine::host_task::{Halt, HostTask, Went};
use crate::engine::steps::{finish, gateway_role};
use crate::plan::params;
use crate::transport::ForwardError;

/// Runs the agent script of a run for its short answers, attached.
const AGENT_NOW: &str = "echo; echo @@lf:ready@@; PATH=/usr/xpg4/bin:$PATH; exec sh \"$1/agent.sh\" \"$2\" \"$1\"";

/// First pause between two questions; doubles to a second.
const FIRST_PAUSE: Duration = Duration::from_millis(100);

/// Room for what `health.sh` needs beside its own timeout.
const MARGIN: Duration = Duration::from_secs(15);

/// Longest status text that is read.
const STATUS_CAP: usize = 64 * 1024;

pub(in crate::engine) async fn carry_out(task: &mut HostTask) -> Result<Went, Halt> {
    let health = task.plan()?.work.installed().health.clone();
    let mut went = proved(task, &health, StepKind::RunScript).await?;
    if task.kind().role() == Role::Proxy {
        let role = gateway_role::proved(task).await?;
        went.figures.detail = Some(went.figures.detail.into_iter().chain([role]).collect::<Vec<_>>().join("; "));
    }
    finish::note_upstream(task).await?;
    Ok(went)
}

/// Asks the agent that the run of `step` left.
pub(in crate::engine) async fn proved(task: &mut HostTask, health: &Health, step: StepKind) -> Result<Went, Halt> {
    let before = process(task, step).await?.ok_or_else(|| Failure::new(Code::AgentDied, "the agent's process is not running"))?;
    let question = health.question().ok_or_else(|| Failure::new(Code::BadPackage, "the package has no health check"))?;
    let begun = Instant::now();
    let answered = asked(task, (question, step), Duration::from_secs(health.timeout_s)).await;
    let after = process(task, step).await?;
    // A dead agent explains a missing answer better than the silence does.
    match (after, answered) {
        (None, _) => Err(Failure::new(Code::AgentDied, "the agent ended while it was asked").into()),
        (Some(_), Err(failure)) => Err(failure.into()),
        (Some(after), Ok(())) if after != before => {
            Err(Failure::new(Code::AgentDied, format!("the agent was started again while it was asked ({before}, then {after})"))
                .into())
        }
        (Some(_), Ok(())) => {
            Ok(Went::changed(Figures::detail(format!("answered after {:.1} s ({before})", begun.elapsed().as_secs_f64()))))
        }
    }
}

/// Asks through the session, else lets the target ask itself.
async fn asked(task: &mut HostTask, (question, step): (Question<'_>, StepKind), patience: Duration) -> Result<(), Failure> {
    let (mode, target) = match question {
        Question::Command(_) if task.plan()?.is_windows() => return by_batch(task, step, patience).await,
        Question::Command(command) => {
            let command = in_current(&task.plan_of(step)?, command);
            return on_target(task, "command", &command, patience).await;
        }
        Question::Http(url) => ("http", url),
        Question::Tcp(endpoint) => ("tcp", endpoint),
    };
    match through_session(task, question, patience).await {
        Ok(()) => Ok(()),
        Err(Refused::Failed(failure)) => Err(failure),
        Err(Refused::NoForwarding(why)) if task.plan()?.is_windows() => {
            let message = format!("there is no way to ask the agent: sshd does not forward ({why}), and nothing on Windows asks");
            Err(Failure::new(Code::CannotAsk, message))
        }
        Err(Refused::NoForwarding(why)) => on_target(task, mode, target, patience)
            .await
            .map_err(|failure| failure.because(format!("sshd does not forward: {why}"))),
    }
}

/// A command of the package runs where its agent runs.
pub(in crate::engine) fn in_current(plan: &Plan, command: &str) -> String {
    let current = format!("{}/{}/current", plan.paths.setup_path, plan.work.installed().name);
    format!("cd {} || exit 1; {command}", shell::quote_str(&current))
}

/// verify_gone: neither process nor files of what the run of `step` took away are there.
pub(in crate::engine) async fn gone(task: &mut HostTask, step: StepKind) -> Result<Went, Halt> {
    let (exit, text) = status(task, step).await?;
    let not_installed = assets::script_exit_named("not_installed").map(|row| row.exit.unsigned_abs());
    match exit {
        ExitReport::Code(code) if Some(code) == not_installed => Ok(Went::changed(Figures::detail("process and files are gone"))),
        ExitReport::NoStatus | ExitReport::Signal(_) => Err(no_status(&exit).into()),
        ExitReport::Code(_) => {
            Err(Failure::new(Code::AgentStillThere, format!("the agent is still on the host ({exit})")).with_tail(&text).into())
        }
    }
}

/// Identity of the agent's process; `None` when it does not run.
async fn process(task: &mut HostTask, step: StepKind) -> Result<Option<String>, Failure> {
    let (exit, text) = status(task, step).await?;
    let not_running = assets::script_exit_named("not_running").map(|row| row.exit.unsigned_abs());
    match exit {
        ExitReport::Code(0) => {
            let identity =
                text.lines().find_map(|line| line.split_once("process=").map(|(_, identity)| identity.trim().to_owned()));
            identity.map(Some).ok_or_else(|| Failure::new(Code::Internal, "the status names no process").with_tail(&text))
        }
        ExitReport::Code(code) if Some(code) == not_running => Ok(None),
        ExitReport::NoStatus | ExitReport::Signal(_) => Err(no_status(&exit)),
        ExitReport::Code(_) => {
            Err(Failure::new(Code::AgentDied, format!("the agent's status cannot be had ({exit})")).with_tail(&text))
        }
    }
}

/// Neither yes nor no: it says nothing about the agent.
fn no_status(exit: &ExitReport) -> Failure {
    Failure::new(Code::NoExitStatus, format!("the agent's status cannot be had ({exit})"))
}

async fn status(task: &mut HostTask, step: StepKind) -> Result<(ExitReport, String), Failure> {
    let plan = task.plan()?;
    let attempt = task.record.step(step).map_or(1, |record| record.attempts);
    let run_id = RunId::new(task.row.id, step, attempt);
    let mut talk = if plan.is_windows() {
        task.call(&plan, "now", &[run_id.as_str(), "status"]).await?
    } else {
        task.talk(AGENT_NOW, &[&params::run_dir(&plan, &run_id), "status"]).await?
    };
    let text = talk.rest(STATUS_CAP).await?;
    // A shell between us and a Windows host may change the code, so it is also said.
    let said = facts::answers(&text).find_map(|answer| answer.strip_prefix("exit=")?.parse().ok());
    let exit = said.map(ExitReport::Code).or(talk.exit().cloned()).unwrap_or(ExitReport::NoStatus);
    Ok((exit, format!("{text}{}", talk.complaint())))
}

/// Why asking through the session gave no yes.
enum Refused {
    NoForwarding(String),
    Failed(Failure),
}

/// Asks through the host's session until the agent says yes or the time is over.
async fn through_session(task: &mut HostTask, question: Question<'_>, patience: Duration) -> Result<(), Refused> {
    let (host, port) = ask::endpoint(question).map_err(Refused::Failed)?;
    let until = Instant::now() + patience;
    let mut pause = FIRST_PAUSE;
    loop {
        let session = task.session().map_err(Refused::Failed)?;
        // A port behind a packet filter swallows the connection without a word.
        let opened = tokio::time::timeout(ask::ONE_ANSWER, session.forward(&host, port)).await;
        let last = match opened.unwrap_or(Err(ForwardError::NotYet)) {
            Ok(stream) => match ask::once(stream, question).await {
                Answer::Yes => return Ok(()),
                Answer::NotYet(what) => what,
            },
            Err(ForwardError::NotYet) => format!("nobody listens on {host}:{port}"),
            Err(ForwardError::NotAllowed(why)) => return Err(Refused::NoForwarding(why)),
            Err(ForwardError::Transport(error)) => return Err(Refused::Failed(error.into())),
        };
        if Instant::now() + pause > until {
            let message = format!("the agent did not answer within {} s: {last}", patience.as_secs());
            return Err(Refused::Failed(Failure::new(Code::AgentSilent, message)));
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(Duration::from_secs(1));
    }
}

/// Lets a Windows host run the command of the package, which lies beside the release.
async fn by_batch(task: &mut HostTask, step: StepKind, patience: Duration) -> Result<(), Failure> {
    let plan = task.plan()?;
    let attempt = task.record.step(step).map_or(1, |record| record.attempts);
    let run = RunId::new(task.row.id, step, attempt);
    let timeout = patience.as_secs().to_string();
    let asking = async { task.call(&plan, "health", &[&timeout, run.as_str()]).await?.last().await };
    healthy(asking, patience).await
}

/// Lets the target ask, in one exec.
async fn on_target(task: &mut HostTask, mode: &str, target: &str, patience: Duration) -> Result<(), Failure> {
    let timeout = patience.as_secs().to_string();
    let asking = async { task.talk(&assets::HEALTH, &[&timeout, mode, target]).await?.last().await };
    healthy(asking, patience).await
}

/// What the target's asking comes to.
async fn healthy(asking: impl Future<Output = Result<Option<String>, Failure>>, patience: Duration) -> Result<(), Failure> {
    let timeout = patience.as_secs();
    let answer = tokio::time::timeout(patience + MARGIN, asking)
        .await
        .map_err(|_| Failure::new(Code::AgentSilent, format!("the agent did not answer within {timeout} s")))??;
    match answer.as_deref().map(|word| word.split_once('=').unwrap_or((word, ""))) {
        Some(("healthy", _)) => Ok(()),
        Some(("unhealthy", last)) => {
            Err(Failure::new(Code::AgentSilent, format!("the agent did not answer within {timeout} s: {last}")))
        }
        Some(("cannot", why)) => Err(Failure::new(Code::CannotAsk, format!("there is no way to ask the agent: {why}"))),
        _ => Err(Failure::new(Code::ConnectionLost, "asking the agent ended without an answer")),
    }
}
