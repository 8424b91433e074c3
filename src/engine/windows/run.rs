//! The run of a script on Windows: begun outside of sshd's job object, followed by reading its log, killed by its run id.
//!
//! There is no program that streams a log: SFTP reads it from any byte on, and now and then a batch file tells whether the run
//! lives. Never here: what an exit code means ([`super::super::steps::script`]).

use std::sync::Mutex;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::{Instant, sleep, timeout};

use super::{SOON, open, sftp_place, write};
use crate::domain::codepage;
use crate::domain::failure::{Code, Failure};
use crate::domain::id::RunId;
use crate::domain::plan::{Plan, Step};
use crate::domain::run::RunEnd;
use crate::engine::host_task::{Halt, HostTask};
use crate::plan::params::{self, Run};
use crate::transport::{Sftp, TransportError};

/// Between two looks at a log that does not grow: nothing over SFTP tells that it has grown.
const PAUSE: Duration = Duration::from_millis(250);

/// Between two questions whether the run lives.
const BEAT: Duration = Duration::from_secs(5);

/// What a program is told that its run has begun in this very call: there is no way to start it apart from the session.
const HELD: &str = "held";

/// Starts the run; where the host cannot start it apart, it goes on in a channel that the task keeps, as long as the session
/// lasts.
pub(in crate::engine) async fn start(task: &mut HostTask, plan: &Plan, run: &Run, step: Step) -> Result<(), Failure> {
    let params = params::render(plan, run)?;
    let page = plan.codepage.unwrap_or(437);
    let bytes = codepage::encoded(&params, page).ok_or_else(|| foreign("a value of this host", page))?;
    let id = run.id.to_string();
    let (owner, epoch, deadline) = (run.task.to_string(), run.epoch.0.to_string(), step.timeout_s.to_string());
    let dir = sftp_place(plan, &["stage", &id])?;
    let brought = bring(task, &dir, bytes).await;
    let words = [id.as_str(), plan.work.action(run.step), &owner, &epoch, &deadline];
    let mut talk = task.call(plan, "start", &words).await?;
    let answer = talk.answer().await.map_err(|failure| brought.clone().err().unwrap_or(failure))?;
    match answer {
        // One that runs needs nothing more.
        Some(word) if word == "attached" => talk.end().await,
        _ if brought.is_err() => return brought,
        Some(word) if word == "started" => talk.end().await,
        Some(word) if word == HELD => {
            tracing::warn!(host = %task.row.address, "the script runs within the session: this host has no other way");
            task.held = Some(Mutex::new(talk));
        }
        other => {
            let message = format!("the host did not start the script ({})", other.as_deref().unwrap_or("no answer"));
            return Err(Failure::new(Code::ConnectionLost, message).with_tail(&talk.complaint()));
        }
    }
    Ok(())
}

async fn bring(task: &mut HostTask, dir: &str, params: Vec<u8>) -> Result<(), Failure> {
    let mut sftp = open(task.session()?).await?;
    sftp.make_dir(dir).await?;
    write(&mut *sftp, &format!("{dir}/params"), Bytes::from(params)).await
}

/// A text that the host's batch files could not read.
pub(in crate::engine) fn foreign(what: &str, page: u32) -> Failure {
    Failure::new(Code::NotInCodepage, format!("{what} has characters that code page {page} of the host has not"))
}

/// What a look at a run gave.
#[derive(Debug)]
pub(in crate::engine) enum Seen {
    /// Bytes of its log.
    Bytes(Bytes),
    /// Its end, with the whole log read before.
    End(RunEnd),
}

/// Follows a run.
pub(in crate::engine) struct Follower {
    /// Not while a command runs: a server may allow one channel at a time (MaxSessions 1).
    sftp: Option<Box<dyn Sftp>>,
    log: String,
    exit: String,
    /// When it was last known to live.
    seen: Option<Instant>,
    /// How it ended; its log may have more.
    end: Option<RunEnd>,
}

impl Follower {
    /// Begins to follow.
    pub(in crate::engine) async fn begin(task: &mut HostTask, plan: &Plan, run: &RunId) -> Result<Self, Failure> {
        let place = |file| sftp_place(plan, &["runs", run.as_str(), file]);
        let (log, exit) = (place("log")?, place("exit")?);
        Ok(Self { sftp: Some(open(task.session()?).await?), log, exit, seen: None, end: None })
    }

    /// The next bytes of the log from `offset` on, or the end of the run.
    pub(in crate::engine) async fn next(
        &mut self,
        task: &mut HostTask,
        plan: &Plan,
        (run, offset): (&RunId, u64),
    ) -> Result<Seen, Halt> {
        loop {
            let sftp = match self.sftp.as_mut() {
                Some(sftp) => sftp,
                None => self.sftp.insert(open(task.session()?).await?),
            };
            let read = sftp.read(&self.log, offset).await.map_err(unreadable)?;
            if let Some(bytes) = read.filter(|bytes| !bytes.is_empty()) {
                return Ok(Seen::Bytes(bytes));
            }
            if let Some(end) = self.end {
                return Ok(Seen::End(match end {
                    RunEnd::Exit { code, .. } => RunEnd::Exit { code, log_size: offset },
                    other => other,
                }));
            }
            // What is written before the exit code is there when that is: the log is looked at once more.
            // Another file than the one that is read on and on.
            self.end = exit_code(sftp.read(&self.exit, 0).await.map_err(unreadable)?);
            if self.end.is_none() && self.seen.is_none_or(|seen| seen.elapsed() >= BEAT) {
                self.sftp = None;
                self.end = alive(task, plan, run).await?;
                self.seen = Some(Instant::now());
            }
            if self.end.is_none() {
                sleep(PAUSE).await;
            }
        }
    }
}

fn exit_code(bytes: Option<Bytes>) -> Option<RunEnd> {
    let code = String::from_utf8_lossy(&bytes?).trim().parse().ok()?;
    Some(RunEnd::Exit { code, log_size: 0 })
}

/// A file in the hands of a virus scanner can be read a moment later: the run goes on, and so does whoever follows it.
fn unreadable(error: TransportError) -> Failure {
    match error {
        TransportError::File { .. } => Failure::new(Code::ConnectionLost, format!("the run cannot be followed: {error}")),
        error => error.into(),
    }
}

/// Does the run live? `None`: it does.
async fn alive(task: &mut HostTask, plan: &Plan, run: &RunId) -> Result<Option<RunEnd>, Failure> {
    let word = one_answer(task, plan, ("alive", &[run.as_str()])).await?;
    RunEnd::parse(&word).map_err(|error| Failure::new(Code::Internal, error.to_string()))
}

/// Was the run started on the host, whatever became of it?
pub(in crate::engine) async fn was_started(task: &mut HostTask, plan: &Plan, run: &RunId) -> Result<bool, Failure> {
    Ok(one_answer(task, plan, ("alive", &[run.as_str()])).await? != "missing")
}

/// Ends a run and everything it started; the word about it.
pub(in crate::engine) async fn kill(task: &mut HostTask, plan: &Plan, run: &RunId) -> Result<String, Failure> {
    // What runs within a call ends with it, also where nothing there can tell which processes are its.
    task.held = None;
    one_answer(task, plan, ("kill", &[run.as_str()])).await
}

/// Runs a program that gives one answer.
pub(in crate::engine) async fn one_answer(
    task: &mut HostTask,
    plan: &Plan,
    (program, words): (&str, &[&str]),
) -> Result<String, Failure> {
    let asking = async {
        let mut talk = task.call(plan, program, words).await?;
        let answer = talk.last().await?;
        answer.ok_or_else(|| {
            Failure::new(Code::ConnectionLost, format!("{program}.bat ended without an answer")).with_tail(&talk.complaint())
        })
    };
    let late = |_| Failure::new(Code::ConnectionLost, format!("{program}.bat did not answer within {} s", SOON.as_secs()));
    timeout(SOON, asking).await.map_err(late)?
}

/// The log of a run from its end, at most so many bytes; `None` when there is none.
pub(in crate::engine) async fn tail(
    sftp: &mut dyn Sftp,
    dir: &str,
    run: &RunId,
    most: usize,
) -> Result<Option<(u64, Vec<u8>)>, Failure> {
    let path = format!("{dir}/runs/{run}/log");
    let (mut bytes, mut size) = (Vec::new(), 0);
    loop {
        match sftp.read(&path, size).await? {
            None => return Ok(None),
            Some(more) if more.is_empty() => {
                bytes.drain(..bytes.len().saturating_sub(most));
                return Ok(Some((size, bytes)));
            }
            Some(more) => {
                size += more.len() as u64;
                bytes.extend_from_slice(&more);
                if bytes.len() > 2 * most {
                    bytes.drain(..bytes.len() - most);
                }
            }
        }
    }
}
