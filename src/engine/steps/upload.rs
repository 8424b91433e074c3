//! upload_package: the payload goes to its content address: skipped when it is there, taken up where it broke off, verified
//! on the target, renamed last.
//!
//! It is one exec, or two with SFTP between them where commands get no stdin: the first tells what is there of it, the second
//! takes what was brought.

use std::time::Duration;

use bytes::Bytes;

use crate::assets;
use crate::domain::event::Figures;
use crate::domain::failure::{Code, Failure};
use crate::domain::outcome::StepOutcome;
use crate::domain::plan::{Plan, StepKind, Work};
use crate::engine::bucket::Bucket;
use crate::engine::host_task::{Halt, HostTask, Went};
use crate::engine::inbox::Inbox;
use crate::engine::payload::Payload;
use crate::engine::progress::Progress;
use crate::engine::talk::Talk;
use crate::engine::windows::{self, package::There};
use crate::meters;
use crate::transport::{Sftp, TransportError};

/// Bytes given to a budget and to the session at once: OpenSSH's packet.
const PIECE: usize = 32 * 1024;

/// The target hashes what it got: slow disks and old CPUs do a MB/s or two.
const DIGEST_DEADLINE: Duration = Duration::from_secs(600);

/// How the payload came to be there.
enum Came {
    /// It was.
    Before,
    /// It was brought.
    Now(Brought),
}

/// What was brought.
struct Brought {
    /// From where on.
    offset: u64,
    /// Bytes sent.
    sent: u64,
    /// What the host says of the whole.
    stored: String,
}

pub(in crate::engine) async fn carry_out(task: &mut HostTask, step: StepKind) -> Result<Went, Halt> {
    let plan = task.plan_of(step)?;
    let Work::Install { package, payload: wanted, previous, .. } = &plan.work else {
        return Ok(Went::unchanged("nothing to upload"));
    };
    if previous.as_ref().is_some_and(|there| there.digest == package.sha256) {
        let outcome = StepOutcome::Skipped { why: "this release is installed already".into() };
        return Ok(Went::new(outcome, Figures { bytes_sent: Some(0), ..Figures::default() }));
    }
    let archive = task.job.payloads.archive(package).await?;
    let payload = archive.payload(wanted.form, task.row.spec.host.enable_compression).await?;
    if payload.reference != *wanted {
        return Err(Failure::new(Code::Internal, "the package is not made of the same bytes again").into());
    }
    let job = task.job.clone();
    let _permit = job.limits.upload().await;
    let came = match &plan.inbox {
        _ if plan.is_windows() => to_windows(task, &plan, (&payload, step)).await?,
        None => by_stdin(task, &plan, (&payload, step)).await?,
        Some(dir) => {
            let inbox = Inbox::new(dir, &format!("{}.part", wanted.sha256));
            by_sftp(task, &plan, (&payload, step), &inbox).await?
        }
    };
    let figures = |sent: u64| Figures {
        bytes_sent: Some(sent),
        stored_bytes: Some(package.size),
        payload_bytes: Some(wanted.size),
        detail: None,
    };
    let Came::Now(Brought { offset, sent, stored }) = came else {
        let outcome = StepOutcome::Skipped { why: "the host has these bytes already".into() };
        return Ok(Went::new(outcome, figures(0)));
    };
    let mut went = Went::changed(figures(sent));
    let mut notes = vec![format!("{} bytes as {}", wanted.size, wanted.form.word())];
    if plan.inbox.is_some() && !plan.is_windows() {
        notes.push("by SFTP".into());
    }
    if offset > 0 {
        notes.push(format!("taken up at {offset}"));
    }
    went.figures.detail = Some(notes.join(", "));
    if stored == "stored=unverified" {
        went.outcome =
            StepOutcome::Warned { message: "the host has no tool to verify SHA-256 with; only the size was checked".into() };
    }
    Ok(went)
}

/// The program that takes the payload in, and the first thing it says: what is there already is hashed before that.
async fn put(task: &mut HostTask, plan: &Plan, payload: &Payload, inbox: Option<&Inbox>) -> Result<(Talk, String), Failure> {
    let argument = inbox.map(Inbox::argument);
    let size = payload.reference.size.to_string();
    let args = [&plan.state_dir, &payload.reference.sha256, &size, &plan.digest_tool].map(String::as_str);
    let args: Vec<&str> = argument.as_deref().into_iter().chain(args).collect();
    let opening = async {
        let mut talk = task.talk(&assets::PUT, &args).await?;
        let first = answer(&mut talk).await?;
        Ok((talk, first))
    };
    in_time("say what it has of the package", opening).await
}

fn unexpected(answer: &str) -> Failure {
    Failure::new(Code::Internal, format!("unexpected answer `{answer}`"))
}

async fn by_stdin(task: &mut HostTask, plan: &Plan, (payload, step): (&Payload, StepKind)) -> Result<Came, Halt> {
    let (mut talk, first) = put(task, plan, payload, None).await?;
    if first == "have" {
        talk.end().await;
        return Ok(Came::Before);
    }
    let offset = first.strip_prefix("want=").and_then(|offset| offset.parse::<u64>().ok());
    let offset = offset.filter(|offset| *offset <= payload.reference.size).ok_or_else(|| unexpected(&first))?;
    task.has_bytes(step, offset);
    let sent = send(task, &mut Sink::Stdin(&mut talk), (payload.rest(offset), step), (offset, payload.reference.size)).await?;
    let stored = in_time("confirm the package", answer(&mut talk)).await?;
    talk.end().await;
    Ok(Came::Now(Brought { offset, sent, stored }))
}

async fn by_sftp(task: &mut HostTask, plan: &Plan, (payload, step): (&Payload, StepKind), inbox: &Inbox) -> Result<Came, Halt> {
    let mut brought = None;
    loop {
        let (mut talk, first) = put(task, plan, payload, Some(inbox)).await?;
        let (part, digest) = match first.as_str() {
            "have" => {
                talk.end().await;
                return Ok(Came::Before);
            }
            "want=0" => {
                let stored = in_time("confirm the package", answer(&mut talk)).await?;
                talk.end().await;
                let (offset, sent) = brought.unwrap_or((payload.reference.size, 0));
                return Ok(Came::Now(Brought { offset, sent, stored }));
            }
            other => other.strip_prefix("part=").and_then(|part| part.split_once(' ')).ok_or_else(|| unexpected(other))?,
        };
        talk.end().await;
        if brought.is_some() {
            let message = format!("what SFTP wrote to {} is not there for commands", inbox.path());
            return Err(Failure::new(Code::NoStdin, message).into());
        }
        let there = part.parse().ok().and_then(|part| payload.bytes.get(..part)).ok_or_else(|| unexpected(&first))?;
        // Its end may have been written before something in the middle was.
        let is_ours = plan.digest_tool == "none" || payload.starts_with_digest(there.len(), digest).await?;
        let offset = if is_ours { there.len() as u64 } else { 0 };
        task.has_bytes(step, offset);
        let mut sink = Sink::Inbox(inbox.open(task, offset).await?);
        let rest = payload.rest(offset);
        brought = Some((offset, send(task, &mut sink, (rest, step), (offset, payload.reference.size)).await?));
    }
}

/// By SFTP into the state directory, where a batch file looks before and proves after; the file that is not whole, or each of
/// those of a tree that are missing.
async fn to_windows(task: &mut HostTask, plan: &Plan, (payload, step): (&Payload, StepKind)) -> Result<Came, Halt> {
    let looking = windows::package::there(task, plan, payload);
    let (offset, sent) = match in_time("say what it has of the package", looking).await? {
        (There::Whole, false) => return Ok(Came::Before),
        // Brought whole by a try that did not hear of it.
        (There::Whole | There::Unverified, _) => (payload.reference.size, 0),
        (There::Part(size, digest), _) => {
            let there = usize::try_from(size).unwrap_or(usize::MAX).min(payload.bytes.len());
            let offset = if payload.starts_with_digest(there, &digest).await? { there as u64 } else { 0 };
            task.has_bytes(step, offset);
            let mut sftp = windows::open(task.session()?).await?;
            sftp.open(&windows::package::part_path(plan, &payload.reference.sha256)?, offset).await.map_err(Failure::from)?;
            let rest = payload.rest(offset);
            (offset, send(task, &mut Sink::Inbox(sftp), (rest, step), (offset, payload.reference.size)).await?)
        }
        (There::Lacks(lacks), _) => tree_to_windows(task, plan, (payload, step), &lacks).await?,
    };
    let (there, _) = in_time("confirm the package", windows::package::there(task, plan, payload)).await?;
    match there {
        There::Whole => Ok(Came::Now(Brought { offset, sent, stored: "stored".into() })),
        There::Unverified => Ok(Came::Now(Brought { offset, sent, stored: "stored=unverified".into() })),
        There::Part(..) | There::Lacks(_) => {
            let message = "the host has not all of the package that was sent";
            Err(Failure::new(Code::ChecksumMismatch, message).into())
        }
    }
}

async fn tree_to_windows(
    task: &mut HostTask,
    plan: &Plan,
    (payload, step): (&Payload, StepKind),
    lacks: &[usize],
) -> Result<(u64, u64), Halt> {
    windows::package::begin_tree(task, plan, (payload, lacks)).await?;
    let missing: Vec<_> = lacks.iter().filter_map(|at| payload.parts.get(*at)).collect();
    let total = payload.reference.size;
    let offset = total.saturating_sub(missing.iter().map(|part| part.size as u64).sum());
    task.has_bytes(step, offset);
    let mut sent = 0;
    let mut sftp = windows::open(task.session()?).await?;
    for part in missing {
        sftp.open(&windows::package::file_path(plan, &payload.reference.sha256, part)?, 0).await.map_err(Failure::from)?;
        let mut sink = Sink::Inbox(sftp);
        let bytes = payload.bytes.slice(part.at..part.at + part.size);
        sent += send(task, &mut sink, (bytes, step), (offset + sent, total)).await?;
        let Sink::Inbox(same) = sink else { return Err(Failure::new(Code::Internal, "another way").into()) };
        sftp = same;
    }
    Ok((offset, sent))
}

/// Where the payload goes.
enum Sink<'a> {
    Stdin(&'a mut Talk),
    Inbox(Box<dyn Sftp>),
}

impl Sink<'_> {
    async fn send(&mut self, bytes: Bytes) -> Result<(), TransportError> {
        match self {
            Self::Stdin(talk) => talk.send(bytes).await,
            Self::Inbox(sftp) => sftp.write(bytes).await,
        }
    }

    async fn finish(&mut self) -> Result<(), TransportError> {
        match self {
            Self::Stdin(talk) => talk.finish().await,
            Self::Inbox(sftp) => sftp.finish().await,
        }
    }
}

/// Progress is the deadline of the transfer; an answer has one of its own.
async fn in_time<T>(what: &str, work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let late = |_| Failure::new(Code::StepTimeout, format!("the host did not {what} within {} s", DIGEST_DEADLINE.as_secs()));
    tokio::time::timeout(DIGEST_DEADLINE, work).await.map_err(late)?
}

async fn answer(talk: &mut Talk) -> Result<String, Failure> {
    talk.answer().await?.ok_or_else(|| {
        let how = talk.exit().map_or_else(String::new, ToString::to_string);
        Failure::new(Code::ConnectionLost, format!("the host ended the upload without an answer ({how})"))
            .with_tail(&talk.complaint())
    })
}

/// Sends what is left, behind so many bytes of so many, within all budgets; gives the bytes sent.
async fn send(
    task: &HostTask,
    sink: &mut Sink<'_>,
    (mut rest, step): (Bytes, StepKind),
    (offset, total): (u64, u64),
) -> Result<u64, Halt> {
    let entry = task.job.board.enter(Progress { host: task.row.address, step, done: offset, total });
    let own = Bucket::new(task.row.spec.host.bt_speed_limit);
    // The tightest wins: a piece goes when the last of them lets it.
    let gateways = task.access.gateway_bandwidth.iter().map(AsRef::as_ref);
    let shared = [task.job.bandwidth.as_ref(), task.job.limits.bandwidth.as_ref()];
    let budgets: Vec<&Bucket> = own.iter().chain(gateways).chain(shared.into_iter().flatten()).collect();
    let mut sent = 0;
    while !rest.is_empty() {
        let piece = rest.split_to(PIECE.min(rest.len()));
        let size = piece.len();
        for budget in &budgets {
            budget.pass(size).await;
        }
        match sink.send(piece).await {
            Ok(()) => {}
            // It says why in its answer.
            Err(TransportError::Ended) => return Ok(sent),
            Err(error) => return Err(error.into()),
        }
        sent += size as u64;
        meters::sent(size as u64);
        entry.at(offset + sent);
    }
    match sink.finish().await {
        Ok(()) | Err(TransportError::Ended) => Ok(sent),
        Err(error) => Err(error.into()),
    }
}
