//! One host: connect, its steps, an outcome. Every change of state is durable before the next thing happens.
//!
//! ```text
//! pass: first step not done ─► StepStarted ─► work ─► StepFinished ─► next … ─► Succeeded
//!   ▲                                          │
//!   └── pause ◄── AttemptFailed ◄── may be tried again? ── no ─► StepFinished(failed) ─► Failed | Unknown
//! ```
//! A session is a means, not a step that stays done: whoever needs one after it was lost goes through connect again.

use std::collections::HashMap;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use super::become_root::Become;
use super::cancel::HostStop;
use super::job_run::JobRun;
use super::journal::JournalError;
use super::retry::{self, Whose, is_link};
use super::steps;
use super::steps::connect::Access;
use super::stopwatch::Stopwatch;
use super::talk::Talk;
use crate::domain::event::{EventKind, Figures};
use crate::domain::failure::{Code, Failure};
use crate::domain::id::RunId;
use crate::domain::outcome::{Outcome, StepOutcome};
use crate::domain::plan::{Plan, Step, StepKind};
use crate::domain::record::HostRecord;
use crate::domain::state::HostState;
use crate::store::{Claim, StoreError, TaskRow, Write};
use crate::transport::Session;

/// Longest pause while a script is known to run on a host that cannot be reached.
const IN_FLIGHT_PAUSE: Duration = Duration::from_secs(10);

/// Bytes that an upload which is tried again must have brought to count as progress; the package's size bounds the tries.
const GAIN: u64 = 256 * 1024;

/// Why a host task ended without an outcome.
#[derive(Debug)]
pub(super) enum Left {
    /// The record failed.
    Journal(JournalError),
    /// Somebody else has the host now.
    Fenced,
}

/// Why work on a host stopped.
#[derive(Debug)]
pub(super) enum Halt {
    /// The step failed.
    Failed(Failure),
    /// Nobody can say what became of the run.
    Unknown(Failure),
    /// There is nothing to do on this host.
    Nothing(String),
    /// A stop was asked for.
    Stopped,
    /// The record failed or refused.
    Left(Left),
}

impl From<Failure> for Halt {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

impl From<crate::transport::TransportError> for Halt {
    fn from(error: crate::transport::TransportError) -> Self {
        Self::Failed(error.into())
    }
}

impl From<StoreError> for Halt {
    /// A record that cannot be had, or whose key is elsewhere, is no fault of the host: it is let go, and taken up by the
    /// next run. What is stored of this host alone and cannot be read is.
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Unavailable { .. } | StoreError::Key(_) => {
                Self::Left(Left::Journal(JournalError::Failed(error.to_string().into())))
            }
            _ => Self::Failed(Failure::new(Code::Store, error.to_string())),
        }
    }
}

/// How a step went, when it went.
#[derive(Debug)]
pub(super) struct Went {
    pub(super) outcome: StepOutcome,
    pub(super) figures: Figures,
    /// What it settled. Durable in one transaction with its end: a plan that stands needs no second probe.
    pub(super) plan: Option<Box<Plan>>,
}

impl Went {
    pub(super) fn new(outcome: StepOutcome, figures: Figures) -> Self {
        Self { outcome, figures, plan: None }
    }

    pub(super) fn changed(figures: Figures) -> Self {
        Self::new(StepOutcome::Done { changed: true }, figures)
    }

    pub(super) fn unchanged(detail: impl Into<String>) -> Self {
        Self::new(StepOutcome::Done { changed: false }, Figures::detail(detail))
    }
}

/// One host being worked on.
pub(super) struct HostTask {
    pub(super) job: Arc<JobRun>,
    pub(super) row: TaskRow,
    pub(super) claim: Claim,
    pub(super) record: HostRecord,
    pub(super) access: Access,
    pub(super) session: Option<Box<dyn Session>>,
    pub(super) stop: HostStop,
    stopwatch: Stopwatch,
    /// What happened and is not in the record yet.
    noted: Vec<EventKind>,
    /// Failed tries of each step since it last succeeded, in this process.
    tried: HashMap<(StepKind, Whose), u32>,
    /// Most bytes of the package that the host was seen to have.
    arrived: u64,
    /// The step that a dead executor was in: taking it up is not a new attempt.
    taken_over: Option<StepKind>,
    /// A script was started on the host, or may have been, and its end was not seen.
    pub(super) in_flight: bool,
}

impl HostTask {
    pub(super) fn new(job: Arc<JobRun>, (row, claim): (TaskRow, Claim), record: HostRecord, stop: HostStop) -> Self {
        let taken_over = match record.state {
            HostState::Running { step, .. } => Some(step),
            // Let go in the middle of a step, or between two tries of it.
            _ => record.steps.iter().rfind(|step| step.outcome.is_none() && !step.is_past).map(|step| step.step),
        };
        let in_flight = record.run_in_flight();
        let stopwatch = Stopwatch::new(job.spec.kind);
        Self {
            job,
            row,
            claim,
            record,
            access: Access::default(),
            session: None,
            stop,
            stopwatch,
            noted: Vec::new(),
            tried: HashMap::new(),
            arrived: 0,
            taken_over,
            in_flight,
        }
    }

    /// Works until there is an outcome, and records it.
    pub(super) async fn run(mut self) -> Result<(), Left> {
        let cancelled = self.stop.is_cancelled();
        let mut ended = if cancelled { Err(Halt::Stopped) } else { self.work().await };
        if matches!(ended, Err(Halt::Stopped)) && self.stop.is_cancelled() {
            ended = self.terminate().await;
        }
        let outcome = match ended {
            Ok(outcome) => outcome,
            Err(Halt::Failed(failure)) => Outcome::Failed { failure },
            Err(Halt::Unknown(failure)) => Outcome::Unknown { failure },
            Err(Halt::Nothing(why)) => Outcome::Skipped { why },
            Err(Halt::Stopped) => Outcome::Interrupted { why: self.interrupted_in() },
            Err(Halt::Left(left)) => {
                self.leave().await;
                return Err(left);
            }
        };
        self.leave().await;
        let mut events: Vec<EventKind> = self.end_of_step(&outcome).into_iter().collect();
        events.push(EventKind::HostFinished { outcome });
        match self.append(events).await {
            Ok(()) => Ok(()),
            Err(Halt::Left(left)) => Err(left),
            Err(_) => Ok(()),
        }
    }

    async fn leave(&mut self) {
        if let Some(session) = self.session.take() {
            session.close().await;
        }
    }

    /// The end of the step that decided the outcome. Durable in one transaction with it: between the two, whoever takes the
    /// host up would offer a refused password once more.
    pub(super) fn end_of_step(&self, outcome: &Outcome) -> Option<EventKind> {
        let HostState::Running { step, attempt } = self.record.state else { return None };
        let (outcome, figures) = match outcome {
            Outcome::Failed { failure } | Outcome::Unknown { failure } => {
                (StepOutcome::Failed { failure: failure.clone() }, Figures::default())
            }
            Outcome::Skipped { why } => (StepOutcome::Done { changed: false }, Figures::detail(why.clone())),
            // As long as its script may run, a retry has to look for it before it starts another.
            Outcome::Terminated { why } if !self.in_flight => {
                (StepOutcome::Failed { failure: Failure::new(Code::Cancelled, why.clone()).at(step) }, Figures::default())
            }
            Outcome::Succeeded | Outcome::Removed | Outcome::Interrupted { .. } | Outcome::Terminated { .. } => return None,
        };
        Some(EventKind::StepFinished { step, attempt, outcome, figures })
    }

    fn interrupted_in(&self) -> String {
        let when = match &self.record.state {
            HostState::Running { step, .. } if step.is_run() => {
                format!("during {step}; the script goes on by itself on the host")
            }
            HostState::Running { step, .. } => format!("during {step}"),
            _ => "between steps".into(),
        };
        format!("{} {when}", self.stop.reason())
    }

    async fn work(&mut self) -> Result<Outcome, Halt> {
        let attempt = self.record.attempts.max(1);
        self.note(vec![EventKind::HostStarted, EventKind::AttemptStarted { attempt }])?;
        self.access.credential = self.job.store.credential(self.row.id).await?;
        loop {
            match self.pass().await {
                Ok(()) if self.record.goes_back() => return Err(self.went_back()),
                Ok(()) if self.job.spec.kind.touches_host() => return Ok(Outcome::Succeeded),
                Ok(()) => return Ok(Outcome::Removed),
                Err(Halt::Failed(failure)) => match self.after(failure).await {
                    Ok(()) => {}
                    Err(halt) if self.record.goes_back() => return Err(self.strayed(halt)?),
                    Err(Halt::Failed(failure)) if self.must_go_back(&failure) => self.turn_back(failure).await?,
                    Err(Halt::Failed(failure)) if self.is_registered() => {
                        self.leave_untidied(failure).await?;
                        return Ok(Outcome::Succeeded);
                    }
                    Err(halt) => return Err(halt),
                },
                Err(halt) if self.record.goes_back() => return Err(self.strayed(halt)?),
                Err(halt) => return Err(halt),
            }
        }
    }

    /// Is tidying up all that is left?
    fn is_registered(&self) -> bool {
        let before = |step: &&Step| !matches!(step.kind, StepKind::Connect | StepKind::Cleanup);
        self.record.plan.is_some()
            && self.row.spec.outline.iter().any(|step| step.kind == StepKind::Cleanup)
            && self.row.spec.outline.iter().filter(before).all(|step| !self.is_due(step.kind))
    }

    /// The host could not be reached for its cleanup: what the job wanted is proved and registered all the same.
    async fn leave_untidied(&mut self, failure: Failure) -> Result<(), Halt> {
        let warned = steps::finish::warned(&failure);
        let step = StepKind::Cleanup;
        let (mut events, attempt) = match self.record.state {
            HostState::Running { step: StepKind::Cleanup, attempt } => (Vec::new(), attempt),
            // Not even connected: the cleanup has not begun.
            _ => {
                let attempt = self.attempt_of(step);
                let connect = self.end_of_step(&Outcome::Failed { failure });
                (connect.into_iter().chain([EventKind::StepStarted { step, attempt, run_id: None }]).collect(), attempt)
            }
        };
        events.push(EventKind::StepFinished { step, attempt, outcome: warned.outcome, figures: warned.figures });
        self.append(events).await
    }

    /// Does every step that is not done yet, in order.
    pub(super) async fn pass(&mut self) -> Result<(), Halt> {
        for step in self.steps().to_vec() {
            if self.is_due(step.kind) {
                self.step(step).await?;
            }
        }
        Ok(())
    }

    /// Its steps: the plan's, until there is one the outline's.
    fn steps(&self) -> &[Step] {
        self.record.plan.as_ref().map_or(&self.row.spec.outline, |plan| &plan.steps)
    }

    fn is_due(&self, step: StepKind) -> bool {
        match step {
            StepKind::Connect => self.session.is_none() && self.needs_session(),
            // On the way back nothing else is done.
            _ if self.record.goes_back() && step != StepKind::SwitchBack => false,
            // What the probe found is in the plan.
            StepKind::Probe => self.record.plan.is_none(),
            _ => !self.record.is_done(step),
        }
    }

    /// Is anything left that is done on the host itself?
    fn needs_session(&self) -> bool {
        self.steps().iter().any(|step| step.kind.is_on_host() && self.is_due(step.kind))
    }

    async fn step(&mut self, step: Step) -> Result<(), Halt> {
        if self.stop.is_asked() {
            return Err(Halt::Stopped);
        }
        let kind = step.kind;
        let attempt = self.attempt_of(kind);
        let run_id = kind.is_run().then(|| RunId::new(self.row.id, kind, attempt));
        self.append(vec![EventKind::StepStarted { step: kind, attempt, run_id }]).await?;
        let stop = self.stop.clone();
        let let_go = async {
            // Nothing was begun on the host yet: no reason to wait for it.
            if kind == StepKind::Connect { stop.asked().await } else { stop.over().await }
        };
        let went = tokio::select! {
            went = self.carry_out(step, attempt) => went,
            () = let_go => return Err(Halt::Stopped),
        };
        match went {
            Ok(Went { outcome, figures, plan }) => {
                self.tried.retain(|(tried, _), _| *tried != kind);
                let mut events: Vec<EventKind> = plan.map(|plan| EventKind::PlanSettled { plan }).into_iter().collect();
                events.push(EventKind::StepFinished { step: kind, attempt, outcome, figures });
                self.note(events)
            }
            Err(Halt::Failed(failure)) => Err(Halt::Failed(failure.at(kind))),
            Err(Halt::Unknown(failure)) => Err(Halt::Unknown(failure.at(kind))),
            Err(halt) => Err(halt),
        }
    }

    async fn carry_out(&mut self, step: Step, attempt: u32) -> Result<Went, Halt> {
        match step.kind {
            StepKind::Connect => steps::connect::carry_out(self, step).await,
            StepKind::Probe => steps::probe::carry_out(self, step).await,
            StepKind::UploadPackage => steps::upload::carry_out(self).await,
            StepKind::UploadFiles => steps::files::carry_out(self, step).await,
            StepKind::RunScript => steps::script::carry_out(self, attempt, step).await,
            StepKind::Verify => within(step, steps::verify::carry_out(self)).await,
            StepKind::SwitchBack => steps::switch_back::carry_out(self, attempt, step).await,
            StepKind::VerifyGone => within(step, steps::verify::gone(self)).await,
            StepKind::Register => steps::finish::register(self).await,
            StepKind::Forget => steps::finish::forget(self).await,
            StepKind::Cleanup => steps::finish::cleanup(self, step).await,
        }
    }

    /// Number of the attempt that begins now.
    pub(super) fn attempt_of(&mut self, kind: StepKind) -> u32 {
        let before = self.record.step(kind).map_or(0, |record| record.attempts);
        let same = match kind {
            // The run goes on by itself while we reconnect or are replaced. One whose end was seen needs another id, and so
            // does one of before a retry from the first step: starting the new one ends it.
            StepKind::RunScript | StepKind::SwitchBack => {
                self.in_flight && !self.record.step(kind).is_some_and(|record| record.is_past)
            }
            _ => self.taken_over.take_if(|taken| *taken == kind).is_some(),
        };
        if same { before.max(1) } else { before + 1 }
    }

    /// Decides what follows a failure: a pause and another pass, or the end.
    async fn after(&mut self, failure: Failure) -> Result<(), Halt> {
        let step = failure.step.unwrap_or(StepKind::Connect);
        if self.session.take_if(|_| step != StepKind::Connect).is_some() {
            tracing::debug!(host = %self.row.address, step = %step, code = %failure.code, "session dropped");
        }
        let tried = self.tried.entry((step, Whose::of(&failure))).or_insert(0);
        *tried += 1;
        let tried = *tried;
        let pause = match self.in_flight_until(&failure) {
            Some(left) if !left.is_zero() => Some(Duration::from_secs(u64::from(tried)).min(IN_FLIGHT_PAUSE).min(left)),
            // A run that is taken up long after its deadline gets the usual tries to tell how it ended.
            _ => retry::pause(&failure, step.effect(), tried),
        };
        let Some(pause) = pause else { return Err(self.gives_up(failure)) };
        let retry_in_ms = u64::try_from(pause.as_millis()).unwrap_or(u64::MAX);
        self.append(vec![EventKind::AttemptFailed { step, failure, retry_in_ms }]).await?;
        tokio::select! {
            () = tokio::time::sleep(pause) => Ok(()),
            () = self.stop.asked() => Err(Halt::Stopped),
        }
    }

    /// Whatever keeps us from asking, a script in flight goes on or went on: nobody can say how it ended.
    fn gives_up(&self, failure: Failure) -> Halt {
        if self.in_flight { Halt::Unknown(failure) } else { Halt::Failed(failure) }
    }

    /// How long a host may stay out of reach while its script is known to run; `None` when that is not the case.
    fn in_flight_until(&self, failure: &Failure) -> Option<Duration> {
        let kind = self.run_step();
        let run = self.record.step(kind).filter(|_| self.in_flight && is_link(failure))?;
        let timeout = self.steps().iter().find(|step| step.kind == kind).and_then(Step::deadline)?;
        let gone = self.job.clock.now().duration_since(run.attempt_started).unsigned_abs();
        Some(timeout.saturating_sub(gone))
    }

    /// The host has so many bytes of the package. One that gets further with every try, however often the line breaks, is
    /// not one that was tried in vain.
    pub(super) fn has_bytes(&mut self, arrived: u64) {
        if arrived >= self.arrived + GAIN {
            self.arrived = arrived;
            self.tried.retain(|(tried, _), _| *tried != StepKind::UploadPackage);
        }
    }

    /// Makes events part of our own state. They are durable with what follows, in one transaction: nothing happens on the
    /// host in between.
    pub(super) fn note(&mut self, events: Vec<EventKind>) -> Result<(), Halt> {
        let at = self.job.clock.now();
        for event in &events {
            self.record
                .apply(event, at)
                .map_err(|error| Halt::Left(Left::Journal(JournalError::Failed(error.to_string().into()))))?;
            self.log(event);
        }
        self.noted.extend(events);
        Ok(())
    }

    /// Makes events durable, and those that were noted before.
    pub(super) async fn append(&mut self, events: Vec<EventKind>) -> Result<(), Halt> {
        self.note(events)?;
        let events = std::mem::take(&mut self.noted);
        let at = self.job.clock.now();
        let told: Vec<EventKind> = events.iter().filter(|event| Stopwatch::wants(event)).cloned().collect();
        self.write(Write::Host { claim: self.claim, at, events }).await?;
        told.iter().for_each(|event| self.stopwatch.saw(event));
        Ok(())
    }

    /// The operator's log; what a person has to know stands in the record.
    fn log(&self, event: &EventKind) {
        let host = self.row.address;
        match event {
            EventKind::StepStarted { step, attempt, .. } => tracing::info!(%host, %step, attempt, "begins"),
            EventKind::StepFinished { step, attempt, outcome, .. } => {
                tracing::info!(%host, %step, attempt, done = outcome.is_done(), "ended");
            }
            EventKind::AttemptFailed { step, failure, retry_in_ms } => {
                tracing::info!(%host, %step, code = %failure.code, retry_in_ms, "failed, to be tried again");
            }
            EventKind::HostFinished { outcome } => tracing::info!(%host, outcome = outcome.word(), "finished"),
            other => tracing::debug!(%host, "{}", other.word()),
        }
    }

    /// Makes a write durable.
    pub(super) async fn write(&self, write: Write) -> Result<(), Halt> {
        self.job.journal.write(write).await.map_err(|error| match error {
            JournalError::Stale => Halt::Left(Left::Fenced),
            JournalError::Failed(_) => Halt::Left(Left::Journal(error)),
        })
    }

    /// The settled plan.
    pub(super) fn plan(&self) -> Result<Plan, Failure> {
        self.record.plan.clone().ok_or_else(|| Failure::new(Code::Internal, "there is no settled plan"))
    }

    /// The session.
    pub(super) fn session(&mut self) -> Result<&mut dyn Session, Failure> {
        match self.session.as_mut() {
            Some(session) => Ok(&mut **session),
            None => Err(Failure::new(Code::ConnectionLost, "there is no session with the host")),
        }
    }

    /// Starts a program as root, as the plan says how.
    pub(super) async fn talk(&mut self, program: &str, args: &[&str]) -> Result<Talk, Failure> {
        let plan = self.plan()?;
        // Without stdin nothing can be answered.
        let password = self.access.sudo_password.clone().filter(|_| plan.inbox.is_none());
        let root = Become { privilege: plan.privilege, dialect: plan.dialect, password: password.as_ref() };
        Talk::open_as_root(self.session()?, program, args, root).await
    }
}

/// The step's deadline round what the host does. What this process waits for stays outside: permits, a package that is being
/// read, the record. run_script has one of its own, because a run must be ended before it may be called late.
pub(super) async fn within<T, E: Into<Halt>>(step: Step, work: impl Future<Output = Result<T, E>>) -> Result<T, Halt> {
    let Some(deadline) = step.deadline() else { return work.await.map_err(Into::into) };
    match tokio::time::timeout(deadline, work).await {
        Ok(done) => done.map_err(Into::into),
        Err(_) => {
            let message = format!("{} did not end within {} s", step.kind, step.timeout_s);
            Err(Failure::new(Code::StepTimeout, message).into())
        }
    }
}
