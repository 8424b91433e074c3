//! One host: connect, its steps, an outcome. Every change of state is durable before the next thing happens.
//!
//! ```text
//! pass: first step not done ─► StepStarted ─► work ─► StepFinished ─► next … ─► Succeeded
//!   ▲                                          │
//!   └── pause ◄── AttemptFailed ◄── may be tried again? ── no ─► StepFinished(failed) ─► Failed | Unknown
//! ```
//! A session is a means, not a step that stays done: whoever needs one after it was lost goes through connect again.

mod tries;

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::OwnedSemaphorePermit;

use super::become_root::Become;
use super::cancel::HostStop;
pub(super) use super::halt::{Halt, Left, Went, within};
use super::job_run::JobRun;
use super::journal::JournalError;
use super::retry::Whose;
use super::steps;
use super::steps::connect::Access;
use super::stopwatch::Stopwatch;
use super::talk::Talk;
use crate::domain::Timestamp;
use crate::domain::event::{EventKind, Figures};
use crate::domain::facts::Facts;
use crate::domain::failure::{Code, Failure};
use crate::domain::id::RunId;
use crate::domain::job::JobKind;
use crate::domain::outcome::{Outcome, StepOutcome};
use crate::domain::plan::{Plan, Privilege, Step, StepKind};
use crate::domain::record::HostRecord;
use crate::domain::spec::Part;
use crate::domain::state::HostState;
use crate::store::{Claim, TaskRow, Write};
use crate::transport::Session;

/// Longest pause while a script is known to run on a host that cannot be reached.
const IN_FLIGHT_PAUSE: Duration = Duration::from_secs(10);

/// Bytes that an upload which is tried again must have brought to count as progress; the package's size bounds the tries.
const GAIN: u64 = 256 * 1024;

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
    /// Its place among the hosts in flight.
    place: Option<OwnedSemaphorePermit>,
    /// What happened and is not in the record yet.
    noted: Vec<EventKind>,
    /// Failed tries of each step since it last succeeded, in this process.
    tried: HashMap<(StepKind, Whose), u32>,
    /// Most bytes of the package of a step that the host was seen to have.
    arrived: Option<(StepKind, u64)>,
    /// The step that a dead executor was in: taking it up is not a new attempt.
    taken_over: Option<StepKind>,
    /// A script was started on the host, or may have been, and its end was not seen.
    pub(super) in_flight: bool,
    /// When the script of a plugin began that this process started, until its end.
    pub(super) run_began: Option<Timestamp>,
    /// What the probe found, until there is a plan.
    pub(super) probed: Option<(Facts, Privilege)>,
    /// Windows: are our programs known to be there?
    pub(super) has_programs: bool,
    /// The call in which a script runs that could not be started apart from the session. Nobody talks with it any more.
    pub(super) held: Option<Mutex<Talk>>,
}

impl HostTask {
    pub(super) fn new(job: Arc<JobRun>, (mut row, claim): (TaskRow, Claim), record: HostRecord, stop: HostStop) -> Self {
        // What was chosen once stays chosen, whoever goes on.
        if let Some(point) = record.plan.as_ref().and_then(|plan| plan.access_point.clone()) {
            row.spec.take_access_point(point);
        }
        let taken_over = match record.state {
            HostState::Running { step, .. } => Some(step),
            // Let go in the middle of a step, or between two tries of it.
            _ => record.steps.iter().rfind(|step| step.outcome.is_none() && !step.is_past).map(|step| step.step),
        };
        let in_flight = record.run_in_flight();
        let stopwatch = Stopwatch::new(row.spec.kind(&job.spec));
        Self {
            job,
            row,
            claim,
            record,
            access: Access::default(),
            session: None,
            stop,
            stopwatch,
            place: None,
            noted: Vec::new(),
            tried: HashMap::new(),
            arrived: None,
            taken_over,
            in_flight,
            run_began: None,
            probed: None,
            has_programs: false,
            held: None,
        }
    }

    /// With its place among the hosts in flight.
    pub(super) fn in_place(self, place: Option<OwnedSemaphorePermit>) -> Self {
        Self { place, ..self }
    }

    /// It waits for other hosts, which may need the place.
    pub(super) fn leave_place(&mut self) {
        self.place = None;
    }

    /// It goes on.
    pub(super) async fn take_place(&mut self) {
        self.place = self.job.limits.host().await;
    }

    /// What is done on this host.
    pub(super) fn kind(&self) -> JobKind {
        self.row.spec.kind(&self.job.spec)
    }

    /// How it ends when everything went well.
    fn well(&self) -> Outcome {
        let stays = self.job.spec.kind.touches_host() && !self.is_retired();
        if stays { Outcome::Succeeded } else { Outcome::Removed }
    }

    /// Is it the old proxy of a replacement?
    pub(super) fn is_retired(&self) -> bool {
        self.row.spec.part == Part::Retired
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
            // Nothing of ours is on it, and it carries nobody any more.
            Err(Halt::Nothing(_)) if self.is_retired() => match self.write(Write::Remove(self.row.address)).await {
                Err(Halt::Left(left)) => {
                    self.leave().await;
                    return Err(left);
                }
                _ => Outcome::Removed,
            },
            Err(Halt::Nothing(why)) => Outcome::Skipped { why },
            Err(Halt::Stopped) => Outcome::Interrupted { why: self.interrupted_in() },
            Err(Halt::Left(left)) => {
                self.leave().await;
                return Err(left);
            }
        };
        if let Err(Halt::Left(left)) = self.keep_proved(&outcome).await {
            self.leave().await;
            return Err(left);
        }
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
            Outcome::Removed => {
                (StepOutcome::Done { changed: false }, Figures::detail("no proxy of Landfall's is installed there"))
            }
            Outcome::Succeeded | Outcome::Interrupted { .. } | Outcome::Terminated { .. } => return None,
        };
        Some(EventKind::StepFinished { step, attempt, outcome, figures })
    }

    fn interrupted_in(&self) -> String {
        let when = match &self.record.state {
            HostState::Running { step, .. } if self.held.is_some() => format!("during {step}; the script ends with the session"),
            // A plugin's step begins with an upload.
            HostState::Running { step, .. } if step.is_run() && (self.in_flight || step.plugin().is_none()) => {
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
                Ok(()) => return Ok(self.well()),
                Err(Halt::Failed(failure)) => match self.after(failure).await {
                    Ok(()) => {}
                    Err(halt) if self.record.goes_back() => return Err(self.strayed(halt)?),
                    Err(Halt::Failed(failure)) if self.must_go_back(&failure) => self.turn_back(failure).await?,
                    Err(Halt::Failed(failure)) if self.is_registered() => {
                        self.leave_untidied(failure).await?;
                        return Ok(self.well());
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
            && self.steps().iter().any(|step| step.kind == StepKind::Cleanup)
            && self.steps().iter().filter(before).all(|step| !self.is_due(step.kind))
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
        // A plan that is settled on the way goes on where its outline was.
        let mut next = 0;
        while let Some(step) = self.steps().get(next).copied() {
            if self.is_due(step.kind) {
                self.step(step).await?;
            }
            next += 1;
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
            StepKind::Probe | StepKind::ChooseAccessPoint => self.record.plan.is_none(),
            _ => !self.record.is_done(step),
        }
    }

    /// Is its access point still to be chosen, before its plan can be settled?
    pub(super) fn chooses_access_point(&self) -> bool {
        self.row.spec.outline.iter().any(|step| step.kind == StepKind::ChooseAccessPoint)
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
            StepKind::ChooseAccessPoint => steps::choose_access_point::carry_out(self, step).await,
            StepKind::UploadPackage => steps::upload::carry_out(self, step.kind).await,
            StepKind::UploadFiles => steps::files::carry_out(self, step).await,
            StepKind::RunScript => steps::script::carry_out(self, attempt, step).await,
            StepKind::Verify => within(step, steps::verify::carry_out(self)).await,
            StepKind::SwitchBack => steps::switch_back::carry_out(self, attempt, step).await,
            StepKind::VerifyGone => within(step, steps::verify::gone(self, StepKind::RunScript)).await,
            StepKind::InstallPlugins(_) => steps::plugins::install(self, attempt, step).await,
            StepKind::RemovePlugins(_) => steps::plugins::remove(self, attempt, step).await,
            StepKind::SwitchRouting => steps::retire::switch_routing(self).await,
            StepKind::RepointAgents => steps::retire::repoint_agents(self).await,
            StepKind::DrainGateway => steps::retire::drain_gateway(self, step).await,
            StepKind::Register => steps::finish::register(self).await,
            StepKind::Forget => steps::finish::forget(self).await,
            StepKind::Cleanup => steps::finish::cleanup(self, step).await,
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

    /// The settled plan, as that step sees it.
    pub(super) fn plan_of(&self, step: StepKind) -> Result<Plan, Failure> {
        let plan = self.record.plan.as_ref().and_then(|plan| plan.of_step(step));
        plan.ok_or_else(|| Failure::new(Code::Internal, format!("there is no settled plan for {step}")))
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
