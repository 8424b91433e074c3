//! `landfall job log ID HOST --follow`: one host's steps and what it prints, as it comes, until it ends.

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;
use std::time::Duration;

use jiff::tz::TimeZone;
use serde_json::json;

use super::open;
use crate::cli::args::Output;
use crate::cli::exit::{CliError, ExitStatus};
use crate::cli::style::{self, Paint};
use crate::cli::{Context, text};
use crate::domain::event::{Event, EventKind};
use crate::domain::id::{JobId, Seq};
use crate::domain::outcome::StepOutcome;
use crate::domain::plan::StepKind;
use crate::domain::record::HostRecord;
use crate::domain::text::decoded;
use crate::lifecycle::Signals;
use crate::service::feed::Tail;
use crate::service::{OutputChunk, ServiceError, Stop};

/// Longest wait for the next event before output is looked for: nothing else tells of it.
const LOOK: Duration = Duration::from_millis(300);

pub(crate) async fn follow(id: i64, host: IpAddr, context: &mut Context) -> Result<ExitStatus, CliError> {
    let id = JobId(id);
    let service = open(context).await?.service;
    let job = service.job(id).await?.ok_or(ServiceError::NoJob(id))?;
    // Of a host that stands twice in a request the one that is worked on is meant.
    let of_host = || job.list.iter().zip(0u32..).filter(|(view, _)| view.ip == host);
    let meant = of_host().find(|(view, _)| view.exclusion.is_none()).or_else(|| of_host().next());
    let (view, index) = meant.ok_or(ServiceError::NoHost { job: id, host })?;
    let mut feed = service.feed(id, Seq::default());
    let mut page = Page::new(context, service.tail(view.task));
    let mut record = HostRecord::default();
    let mut signals = Signals::listen(Stop::new()).map_err(|source| CliError::System { what: "take signals", source })?;
    loop {
        let events = tokio::select! {
            events = tokio::time::timeout(LOOK, feed.next()) => events.unwrap_or_else(|_| Ok(Vec::new()))?,
            _ = signals.next() => return Ok(ExitStatus::Interrupted),
        };
        for event in events.iter().filter(|event| event.host_index == Some(index)) {
            record.apply(&event.kind, event.at).map_err(ServiceError::from)?;
            page.event(event).await?;
        }
        page.output().await?;
        if !events.is_empty() {
            continue;
        }
        if record.state.is_terminal() {
            return Ok(ExitStatus::Success);
        }
        if service.holder(id).await?.is_none() && !service.has_ended(id).await? {
            page.note(&format!("nobody works on job {id}: go on with `landfall job resume {id}`"));
            return Ok(ExitStatus::Interrupted);
        }
    }
}

/// Where it is written, in either form.
struct Page<'a> {
    context: &'a mut Context,
    zone: TimeZone,
    paint: Paint,
    /// What a host printed must not command a terminal; a file gets it as it is.
    is_terminal: bool,
    tail: Tail,
    /// Attempts whose beginning was shown: what others printed waits for theirs.
    begun: HashSet<(StepKind, u32)>,
    waiting: Vec<OutputChunk>,
    /// Where each attempt's output ends so far, and the line it has begun.
    streams: HashMap<(StepKind, u32), (u64, Vec<u8>)>,
}

impl<'a> Page<'a> {
    fn new(context: &'a mut Context, tail: Tail) -> Self {
        let paint = context.paint;
        let (zone, is_terminal) = (TimeZone::system(), style::stdout_is_terminal());
        let (begun, waiting, streams) = (HashSet::new(), Vec::new(), HashMap::new());
        Self { context, zone, paint, is_terminal, tail, begun, waiting, streams }
    }

    fn note(&mut self, text: &str) {
        self.context.out.note(text);
    }

    async fn event(&mut self, event: &Event) -> Result<(), CliError> {
        // What a step printed stands before its end.
        if let EventKind::StepStarted { step, attempt, .. } = event.kind {
            self.begun.insert((step, attempt));
        } else {
            self.output().await?;
            self.finish_lines();
        }
        if self.context.output == Output::Json {
            self.context.out.json(event);
            return Ok(());
        }
        if let Some(line) = self.line(event) {
            self.context.out.line(line);
        }
        Ok(())
    }

    fn line(&self, event: &Event) -> Option<String> {
        let at = text::clock(event.at, &self.zone);
        Some(match &event.kind {
            EventKind::StepStarted { step, attempt: 1, .. } => format!("{} {step}  {at}", self.paint.faint("---")),
            EventKind::StepStarted { step, attempt, .. } => {
                format!("{} {step}, attempt {attempt}  {at}", self.paint.faint("---"))
            }
            EventKind::StepFinished { outcome: StepOutcome::Failed { failure }, .. } => {
                format!("[landfall] failed: {}\n[landfall] remedy: {}", text::one_line(&failure.to_string()), failure.remedy)
            }
            EventKind::StepFinished { outcome: StepOutcome::Warned { message }, .. } => {
                format!("[landfall] warning: {}", text::one_line(message))
            }
            EventKind::StepFinished { figures, .. } => format!("[landfall] {}", text::one_line(figures.detail.as_deref()?)),
            EventKind::AttemptFailed { failure, retry_in_ms, .. } => {
                let pause = text::span(*retry_in_ms as f64 / 1000.0);
                format!("[landfall] attempt failed: {}; again in {pause}", text::one_line(&failure.to_string()))
            }
            EventKind::RetryAsked { reason, from_start } => {
                format!("[landfall] to be tried again{}: {}", text::from_start(*from_start), text::one_line(reason))
            }
            EventKind::HostFinished { outcome } => format!("{} {}  {at}", self.paint.faint("---"), outcome.word()),
            _ => return None,
        })
    }

    /// Writes what was printed since the last look.
    async fn output(&mut self) -> Result<(), CliError> {
        loop {
            let chunks = self.tail.ready().await?;
            if chunks.is_empty() {
                break;
            }
            self.waiting.extend(chunks);
        }
        let begun = |chunk: &OutputChunk| self.begun.contains(&(chunk.step, chunk.attempt));
        let (ready, waiting) = std::mem::take(&mut self.waiting).into_iter().partition::<Vec<_>, _>(begun);
        self.waiting = waiting;
        ready.iter().for_each(|chunk| self.chunk(chunk));
        Ok(())
    }

    fn chunk(&mut self, chunk: &OutputChunk) {
        let (end, begun) = self.streams.entry((chunk.step, chunk.attempt)).or_default();
        // A follower that connected anew may have sent some of it again.
        let known = usize::try_from(end.saturating_sub(chunk.offset)).unwrap_or(usize::MAX);
        let Some(new) = chunk.data.get(known..).filter(|new| !new.is_empty()) else { return };
        let offset = chunk.offset + known as u64;
        *end = chunk.offset + chunk.data.len() as u64;
        if self.context.output == Output::Json {
            let (step, attempt, text) = (chunk.step, chunk.attempt, decoded(new));
            let mut line = json!({"kind": "output", "step": step, "attempt": attempt, "offset": offset, "text": text});
            if let (Some(plugin), Some(line)) = (step.plugin(), line.as_object_mut()) {
                line.insert("subject".into(), plugin.as_str().into());
            }
            self.context.out.json(&line);
            return;
        }
        begun.extend_from_slice(new);
        // A character or an escape must not be cut in two.
        let whole = begun.iter().rposition(|byte| *byte == b'\n').map_or(0, |newline| newline + 1);
        let lines: Vec<u8> = begun.drain(..whole).collect();
        self.write(&lines);
    }

    /// Writes lines that will not be finished any more.
    fn finish_lines(&mut self) {
        let begun: Vec<Vec<u8>> = self.streams.values_mut().map(|(_, begun)| std::mem::take(begun)).collect();
        for mut line in begun.into_iter().filter(|line| !line.is_empty()) {
            line.push(b'\n');
            self.write(&line);
        }
    }

    fn write(&mut self, bytes: &[u8]) {
        let text = decoded(bytes);
        self.context.out.data(&if self.is_terminal { text::harmless(&text) } else { text.into() });
    }
}
