//! run_script: start the script detached, follow its log by byte offset, take its exit code.
//!
//! The run belongs to the target: it survives the session and the executor. Starting is guarded by the run id, so starting
//! again is how a lost session, a retry and a takeover all find their run.

use std::time::Duration;

use bytes::Bytes;

use crate::assets;
use crate::domain::event::Figures;
use crate::domain::failure::{Code, Failure};
use crate::domain::id::RunId;
use crate::domain::outcome::StepOutcome;
use crate::domain::plan::{Plan, Step, StepKind};
use crate::domain::run::{RunEnd, last_message, last_warning};
use crate::domain::text;
use crate::engine::host_task::{Halt, HostTask, Went};
use crate::engine::retry::is_link;
use crate::engine::steps::files::{stream, triples};
use crate::engine::talk::Raw;
use crate::engine::windows;
use crate::engine::windows::run::{Follower, Seen};
use crate::plan::params::{self, Run};
use crate::plan::render::RenderedFile;
use crate::store::OutputChunk;

/// The follower beats every 5 s; six missed beats are a dead link.
const BEAT_DEADLINE: Duration = Duration::from_secs(30);

/// Starting is a few small files and one fork.
const START_DEADLINE: Duration = Duration::from_secs(120);

/// A kill waits for TERM, then KILL.
const KILL_DEADLINE: Duration = Duration::from_secs(30);

/// End of the log that goes into a failure.
const TAIL: usize = 8 * 1024;

pub(in crate::engine) async fn carry_out(task: &mut HostTask, attempt: u32, step: Step) -> Result<Went, Halt> {
    let plan = task.plan_of(step.kind)?;
    let run =
        Run { id: RunId::new(task.row.id, step.kind, attempt), step: step.kind, task: task.row.id, epoch: task.claim.epoch };
    let deadline = remaining(task, step);
    task.run_began.get_or_insert_with(|| task.job.clock.now());
    // From here on the run may be there, whatever becomes of the session.
    let was_in_flight = std::mem::replace(&mut task.in_flight, true);
    let whole = async {
        if let Err(halt) = begin(task, &plan, (&run, attempt), step).await {
            let refused = matches!(&halt, Halt::Failed(failure) if !is_link(failure));
            task.in_flight = was_in_flight || !refused;
            return Err(halt);
        }
        follow(task, &plan, &run, attempt).await
    };
    let (end, tail) = match tokio::time::timeout(deadline, whole).await {
        Ok(ended) => ended?,
        Err(_) => return Err(ended_late(task, &plan, &run.id, step).await),
    };
    task.in_flight = false;
    task.run_began = None;
    let was_held = task.held.take().is_some();
    match end {
        RunEnd::Exit { code: 0, .. } if was_held => {
            let message = format!("{}; it ran within the session, and would have ended with it", last_message(&tail));
            Ok(Went::new(StepOutcome::Warned { message }, Figures::default()))
        }
        RunEnd::Exit { code: 0, .. } => Ok(Went::changed(Figures::detail(last_message(&tail)))),
        RunEnd::Exit { code, .. } => Err(failure(code, &tail).into()),
        RunEnd::Rebooted => {
            Err(Failure::new(Code::Rebooted, "the host was restarted while the script ran").with_tail(&tail).into())
        }
        RunEnd::Lost => Err(Failure::new(Code::RunLost, "the script is gone and left no exit code").with_tail(&tail).into()),
    }
}

/// What is left of the run's deadline; a takeover does not begin it anew.
fn remaining(task: &HostTask, step: Step) -> Duration {
    let whole = step.deadline().unwrap_or(Duration::from_secs(600));
    let gone = task.job.clock.now().duration_since(task.run_began(step.kind)).unsigned_abs();
    // A run that ended while nobody looked must still be asked for its result.
    whole.saturating_sub(gone).max(BEAT_DEADLINE)
}

/// Starts the run, after the one before was ended: what that may have left running must not meet the new one.
async fn begin(task: &mut HostTask, plan: &Plan, (run, attempt): (&Run, u32), step: Step) -> Result<(), Halt> {
    if attempt > 1 {
        kill(task, plan, &RunId::new(run.task, run.step, attempt - 1)).await?;
    }
    start(task, plan, run, step).await
}

/// What a run is made of on the target.
pub(in crate::engine) fn files_of(plan: &Plan, run: &Run) -> Result<[RenderedFile; 3], Failure> {
    let file = |name: &str, text: &str| RenderedFile { name: name.into(), mode: "0700".into(), bytes: text.as_bytes().to_vec() };
    Ok([
        file("agent.sh", assets::agent(plan.os, plan.work.installed().role)),
        file("runner.sh", &assets::RUNNER),
        RenderedFile { mode: "0600".into(), ..file("params", &params::render(plan, run)?) },
    ])
}

async fn start(task: &mut HostTask, plan: &Plan, run: &Run, step: Step) -> Result<(), Halt> {
    let late = || Failure::new(Code::ConnectionLost, "starting the script got no answer");
    if plan.is_windows() {
        let started = tokio::time::timeout(START_DEADLINE, windows::run::start(task, plan, run, step)).await;
        return Ok(started.unwrap_or_else(|_| Err(late()))?);
    }
    let files = files_of(plan, run)?;
    let (id, owner, epoch, deadline) =
        (run.id.to_string(), run.task.to_string(), run.epoch.0.to_string(), step.timeout_s.to_string());
    let list = triples(&files);
    let mut args = vec![plan.state_dir.as_str(), &id, plan.work.action(step.kind), &owner, &epoch, &deadline];
    args.extend(list.iter().map(String::as_str));
    let starting = async {
        let mut talk = task.talk_with(&assets::START_RUN, &args, (&id, stream(&files))).await?;
        match talk.last().await {
            Ok(Some(word)) if word == "started" || word == "attached" => Ok(()),
            // A slow machine: the run is there, its process was not seen yet. Following tells.
            Err(failure) if failure.code == Code::RunLost.row().word => Ok(()),
            Ok(other) => {
                let message = format!("the host did not start the script ({})", other.as_deref().unwrap_or("no answer"));
                Err(Halt::Failed(Failure::new(Code::ConnectionLost, message).with_tail(&talk.complaint())))
            }
            Err(failure) => Err(failure.into()),
        }
    };
    tokio::time::timeout(START_DEADLINE, starting).await.unwrap_or_else(|_| Err(late().into()))
}

/// Streams the log from where the record has it, until the run ended. One that is printed faster than the record takes it is
/// asked for again from where it broke off: that is our haste and no fault of the link, and each time much of it has come.
async fn follow(task: &mut HostTask, plan: &Plan, run: &Run, attempt: u32) -> Result<(RunEnd, String), Halt> {
    let mut offset = task.job.store.output_end(task.row.id, run.step, attempt).await?;
    let mut tail = earlier(task, (run.step, attempt), offset).await?;
    if plan.is_windows() {
        let end = watch(task, plan, (run, attempt), (&mut offset, &mut tail)).await?;
        return Ok((end, text::decoded_from(&tail, plan.codepage)));
    }
    loop {
        if let Some(end) = listen(task, plan, (run, attempt), (&mut offset, &mut tail)).await? {
            return Ok((end, text::decoded_from(&tail, plan.codepage)));
        }
        tracing::debug!(host = %task.row.address, offset, "the output came too fast");
    }
}

/// Streams the log from `offset` on over one channel; `None` when more came than could be taken.
async fn listen(
    task: &mut HostTask,
    plan: &Plan,
    (run, attempt): (&Run, u32),
    (offset, tail): (&mut u64, &mut Vec<u8>),
) -> Result<Option<RunEnd>, Halt> {
    let from = offset.to_string();
    let opened =
        tokio::time::timeout(BEAT_DEADLINE, task.talk(&assets::FOLLOW, &[&plan.state_dir, run.id.as_str(), &from])).await;
    let mut talk = opened.map_err(|_| silent())??;
    let mut end: Option<(RunEnd, u64)> = None;
    loop {
        if let Some((end, _)) = end.take_if(|(_, size)| *offset >= *size) {
            talk.end().await;
            return Ok(Some(end));
        }
        let next = tokio::time::timeout(BEAT_DEADLINE, talk.raw()).await;
        match next.map_err(|_| silent())?? {
            Raw::Bytes(data) => {
                take(task, (run.step, attempt), (offset, tail), data).await;
            }
            Raw::Word(word) => end = end.or(ending(&word, *offset)?),
            Raw::Overrun => return Ok(None),
            Raw::Exit => {
                let how = talk.exit().map_or_else(String::new, ToString::to_string);
                return Err(Failure::new(Code::ConnectionLost, format!("following the script ended ({how})"))
                    .with_tail(&talk.complaint())
                    .into());
            }
        }
    }
}

/// The same on Windows, where the log is read.
async fn watch(
    task: &mut HostTask,
    plan: &Plan,
    (run, attempt): (&Run, u32),
    (offset, tail): (&mut u64, &mut Vec<u8>),
) -> Result<RunEnd, Halt> {
    let mut follower = Follower::begin(task, plan, &run.id).await?;
    loop {
        match follower.next(task, plan, (&run.id, *offset)).await? {
            Seen::Bytes(data) => take(task, (run.step, attempt), (offset, tail), data).await,
            Seen::End(end) => return Ok(end),
        }
    }
}

/// Keeps what came of the log.
async fn take(task: &HostTask, (step, attempt): (StepKind, u32), (offset, tail): (&mut u64, &mut Vec<u8>), data: Bytes) {
    tail.extend_from_slice(&data);
    if tail.len() > 2 * TAIL {
        tail.drain(..tail.len() - TAIL);
    }
    let chunk = OutputChunk { task: task.row.id, step, attempt, offset: *offset, data };
    *offset += chunk.data.len() as u64;
    task.job.journal.output(chunk).await;
}

/// The end of what came over earlier connections: a failure's reason may stand there.
async fn earlier(task: &HostTask, (step, attempt): (StepKind, u32), offset: u64) -> Result<Vec<u8>, Halt> {
    let mut tail = Vec::new();
    if offset > 0 {
        let chunks = task.job.store.output(task.row.id).await?;
        for chunk in chunks.iter().filter(|chunk| chunk.step == step && chunk.attempt == attempt) {
            tail.extend_from_slice(&chunk.data);
            if tail.len() > 2 * TAIL {
                tail.drain(..tail.len() - TAIL);
            }
        }
    }
    Ok(tail)
}

fn silent() -> Failure {
    Failure::new(Code::ConnectionLost, format!("no sign of the script for {} s", BEAT_DEADLINE.as_secs()))
}

/// What a word of `follow.sh` says about the end, and how long the log is then.
fn ending(word: &str, offset: u64) -> Result<Option<(RunEnd, u64)>, Failure> {
    let end = RunEnd::parse(word).map_err(|error| Failure::new(Code::Internal, error.to_string()))?;
    Ok(end.map(|end| match end {
        RunEnd::Exit { log_size, .. } => (end, log_size),
        RunEnd::Rebooted | RunEnd::Lost => (end, offset),
    }))
}

/// The run is past its deadline: it is killed, and only when that is confirmed it is called late.
async fn ended_late(task: &mut HostTask, plan: &Plan, run: &RunId, step: Step) -> Halt {
    let message = format!("the script did not end within {} s", step.timeout_s);
    match kill(task, plan, run).await {
        Ok(()) => {
            task.in_flight = false;
            Halt::Failed(Failure::new(Code::StepTimeout, format!("{message} and was killed")))
        }
        Err(Halt::Failed(cause)) => {
            Halt::Unknown(Failure::new(Code::StepTimeout, format!("{message} and may still be running")).because(cause))
        }
        Err(halt) => halt,
    }
}

/// Was the run started on the host, whatever became of it?
pub(in crate::engine) async fn was_started(task: &mut HostTask, run: &RunId) -> Result<bool, Halt> {
    let plan = task.plan()?;
    if plan.is_windows() {
        return Ok(windows::run::was_started(task, &plan, run).await?);
    }
    let state_dir = plan.state_dir;
    let asking = async {
        let mut talk = task.talk(&assets::COLLECT, &[&state_dir, run.as_str(), "0"]).await?;
        loop {
            match talk.raw().await? {
                Raw::Word(word) => {
                    talk.end().await;
                    return Ok(word != "missing");
                }
                Raw::Bytes(_) => {}
                Raw::Overrun | Raw::Exit => {
                    return Err(
                        Failure::new(Code::ConnectionLost, "asking for the run got no answer").with_tail(&talk.complaint())
                    );
                }
            }
        }
    };
    let asked = tokio::time::timeout(BEAT_DEADLINE, asking).await;
    Ok(asked.unwrap_or_else(|_| Err(Failure::new(Code::ConnectionLost, "asking for the run got no answer")))?)
}

/// Ends a run and everything in its process group.
pub(in crate::engine) async fn kill(task: &mut HostTask, plan: &Plan, run: &RunId) -> Result<(), Halt> {
    let killing = async {
        let answer = if plan.is_windows() {
            Some(windows::run::kill(task, plan, run).await?)
        } else {
            task.talk(&assets::KILL, &[&plan.state_dir, run.as_str()]).await?.last().await?
        };
        match answer.as_deref() {
            Some("killed" | "gone") => Ok(()),
            other => {
                Err(Failure::new(Code::RunLost, format!("run {run} could not be killed ({})", other.unwrap_or("no answer"))))
            }
        }
    };
    let killed = tokio::time::timeout(KILL_DEADLINE, killing).await;
    Ok(killed.unwrap_or_else(|_| Err(Failure::new(Code::ConnectionLost, "killing the run got no answer")))?)
}

/// The failure that an exit code stands for.
pub(in crate::engine) fn failure(code: i32, tail: &str) -> Failure {
    match assets::script_exit(code) {
        Some(row) => {
            let failure = Failure::of_script(row, format!("{}: {}", row.message, last_message(tail))).with_tail(tail);
            match last_warning(tail) {
                Some(warning) => failure.because(warning),
                None => failure,
            }
        }
        None => Failure::new(Code::ScriptUnknownExit, format!("the script ended with exit code {code}")).with_tail(tail),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_has_the_last_message_and_the_warning_before_it() {
        let log = "2026-11-24 10:00:00 WARN start_agent - address already in use\n2026-11-24 10:00:01 ERROR start_agent FAILED a ended\n";
        let failure = failure(32, log);
        assert!(failure.message.ends_with(": a ended"), "{}", failure.message);
        assert_eq!(failure.causes, ["address already in use"]);
    }

    #[test]
    fn an_exit_code_of_the_table_has_its_name_and_another_one_is_told_as_it_is() {
        assert_eq!(failure(21, "").code, "disk_full");
        assert_eq!(failure(99, "").code, "script_unknown_exit");
    }
}
