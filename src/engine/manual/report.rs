//! What a script reports: lines of the run's log, and how each step begins and ends (`reference/upstream.md` 3.9).

use bytes::Bytes;
use serde::Deserialize;
use serde_json::Value;

use super::{Engine, ManualError, Visit, words};
use crate::domain::event::{EventKind, Figures};
use crate::domain::failure::{Code, Failure};
use crate::domain::outcome::{Outcome, StepOutcome};
use crate::domain::plan::StepKind;
use crate::domain::text;
use crate::engine::steps::finish::registration;
use crate::store::OutputChunk;

/// End of the log that goes into a failure, bytes.
const TAIL: usize = 8 * 1024;

/// What the script says when it was cancelled and has ended what it started.
const CANCEL: &str = "cancel";

/// One line of a report. Every field may be missing.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Entry {
    /// As the host wrote it.
    pub timestamp: Value,
    /// INFO, WARN or ERROR.
    pub level: String,
    /// A step of the plan, or a stage of the script that runs.
    pub step: String,
    /// The message.
    pub log: String,
    /// START, DONE, FAILED or `-`.
    pub status: String,
}

/// What a script reports at once.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Where the lines of the run's log begin in it, bytes. With it nothing in the report is more than a line, whatever a
    /// tool wrote; without it lines go to the end of what is kept.
    pub offset: Option<u64>,
    /// The lines.
    pub logs: Vec<Entry>,
    /// Bytes of the run's log as they are, of a script that cannot part them into lines.
    pub raw: Bytes,
}

/// What the script is told in return.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    /// Go on.
    GoOn,
    /// End what was started, and say so.
    Cancel,
    /// The host task has ended.
    Ended,
}

impl Entry {
    /// The step of the plan whose begin or end it tells.
    fn turn(&self) -> Option<StepKind> {
        let tells = matches!(self.status.as_str(), "START" | "DONE" | "FAILED");
        let word = Value::String(self.step.clone());
        serde_json::from_value(word).ok().filter(|_| tells)
    }

    fn is_line(&self) -> bool {
        self.turn().is_none() && self.step != CANCEL
    }

    /// The line as it stands in the log of the run.
    fn line(&self) -> String {
        let timestamp = match &self.timestamp {
            Value::String(text) => text.clone(),
            Value::Null => String::new(),
            other => other.to_string(),
        };
        let is_plain = self.step.is_empty() && self.status.is_empty();
        let head = [timestamp.as_str(), &self.level, &self.step, &self.status];
        if is_plain { format!("{}\n", self.log) } else { format!("{} {}\n", head.join(" "), self.log) }
    }
}

impl Engine {
    /// Takes a report in: first its lines, then the steps that begin or end in it.
    ///
    /// # Errors
    /// [`ManualError::Over`]; [`ManualError::OutOfTurn`] for a step that cannot begin or end now; when the record fails.
    pub async fn report_manual(&self, visit: &mut Visit, report: &Report) -> Result<Told, ManualError> {
        self.keep_lines(visit, report).await?;
        for entry in report.logs.iter().filter(|_| report.offset.is_none()) {
            if entry.step == CANCEL && visit.row.cancel_asked {
                self.cancelled(visit, &entry.log).await?;
                return Ok(Told::Ended);
            }
            let Some(step) = entry.turn() else { continue };
            let told = if entry.status == "START" {
                self.step_begins(visit, step).await?
            } else {
                self.step_ends(visit, step, entry).await?
            };
            if told == Told::Ended {
                return Ok(told);
            }
        }
        Ok(if visit.row.cancel_asked { Told::Cancel } else { Told::GoOn })
    }

    async fn keep_lines(&self, visit: &Visit, report: &Report) -> Result<(), ManualError> {
        let lines: String =
            report.logs.iter().filter(|entry| report.offset.is_some() || entry.is_line()).map(Entry::line).collect();
        let data = if report.raw.is_empty() { Bytes::from(lines) } else { report.raw.clone() };
        if data.is_empty() || visit.record.step(StepKind::RunScript).is_none() {
            return Ok(());
        }
        let (step, attempt) = (StepKind::RunScript, visit.record.step(StepKind::RunScript).map_or(1, |step| step.attempts));
        let offset = match report.offset {
            Some(offset) => offset,
            None => self.store.output_end(visit.row.id, step, attempt).await?,
        };
        let chunk = OutputChunk { task: visit.row.id, step, attempt, offset, data };
        self.write(crate::store::Write::Output(chunk)).await
    }

    /// One that has begun already, or is done, was told before: the script was begun again, or did not get our answer.
    async fn step_begins(&self, visit: &mut Visit, step: StepKind) -> Result<Told, ManualError> {
        if visit.record.is_done(step) || visit.is_in(step) {
            return Ok(Told::GoOn);
        }
        let before = visit.plan()?.steps.iter().take_while(|known| known.kind != step);
        let undone = before.filter(|known| !visit.record.is_done(known.kind)).map(|known| known.kind).next();
        let is_planned = visit.plan()?.steps.iter().any(|known| known.kind == step);
        if !is_planned || undone.is_some() {
            return Err(ManualError::OutOfTurn(format!("it is not the turn of {step}")));
        }
        let started = visit.starts(step);
        self.append(visit, vec![started]).await?;
        Ok(Told::GoOn)
    }

    async fn step_ends(&self, visit: &mut Visit, step: StepKind, entry: &Entry) -> Result<Told, ManualError> {
        if !visit.is_in(step) {
            if visit.record.is_done(step) {
                return Ok(Told::GoOn);
            }
            return Err(ManualError::OutOfTurn(format!("{step} has not begun")));
        }
        let attempt = visit.attempt_of(step);
        let tail = if step == StepKind::RunScript { self.tail(visit, attempt).await? } else { String::new() };
        let (outcome, figures) = match entry.status.as_str() {
            "DONE" => words::done(visit.plan()?, step, &entry.log, &tail)
                .map_err(|_| ManualError::OutOfTurn(format!("the end of {step} is not understood")))?,
            _ => words::not_done(step, &entry.log, &tail),
        };
        let failed = match &outcome {
            StepOutcome::Failed { failure } => Some(failure.clone().at(step)),
            _ => None,
        };
        let events = vec![EventKind::StepFinished { step, attempt, outcome, figures }];
        if let Some(failure) = failed {
            self.end_manual(visit, events, Outcome::Failed { failure }).await?;
            return Ok(Told::Ended);
        }
        self.append(visit, events).await?;
        self.advance(visit).await
    }

    /// Does what is ours to do next, and ends the host task when nothing is left.
    async fn advance(&self, visit: &mut Visit) -> Result<Told, ManualError> {
        loop {
            let next = visit.plan()?.steps.iter().map(|step| step.kind).find(|step| !visit.record.is_done(*step));
            match next {
                Some(StepKind::Register) => self.register_manual(visit).await?,
                Some(_) => return Ok(Told::GoOn),
                None => {
                    self.end_manual(visit, Vec::new(), Outcome::Succeeded).await?;
                    return Ok(Told::Ended);
                }
            }
        }
    }

    async fn register_manual(&self, visit: &mut Visit) -> Result<(), ManualError> {
        let step = StepKind::Register;
        let attempt = visit.attempt_of(step);
        if !visit.is_in(step) {
            let started = visit.starts(step);
            self.append(visit, vec![started]).await?;
        }
        let registration = registration(visit.plan()?, &visit.row, self.now());
        let (changed, detail) = match registration {
            Some((write, detail)) => {
                self.write(write).await?;
                (true, detail)
            }
            None => (false, "nothing to register".into()),
        };
        let outcome = StepOutcome::Done { changed };
        let finished = EventKind::StepFinished { step, attempt, outcome, figures: Figures::detail(detail) };
        self.append(visit, vec![finished]).await
    }

    /// The script has ended what it started, or nothing ran.
    async fn cancelled(&self, visit: &mut Visit, said: &str) -> Result<(), ManualError> {
        let (why, is_sure) = match said {
            "killed" => ("cancelled; its script was ended", true),
            "gone" | "nothing" => ("cancelled; nothing ran on the host", true),
            _ => ("cancelled; what was started on the host may still be running", false),
        };
        self.terminate_manual(visit, why, is_sure).await
    }

    /// Ends the host task as cancelled. As long as its script may run, a retry has to look for it before it starts another.
    pub(super) async fn terminate_manual(&self, visit: &mut Visit, why: &str, is_sure: bool) -> Result<(), ManualError> {
        let mut events = Vec::new();
        if let Some(step) = visit.open_step().filter(|step| is_sure || !step.is_run()) {
            let failure = Failure::new(Code::Cancelled, why).at(step);
            let (attempt, outcome) = (visit.attempt_of(step), StepOutcome::Failed { failure });
            events.push(EventKind::StepFinished { step, attempt, outcome, figures: Figures::default() });
        }
        self.end_manual(visit, events, Outcome::Terminated { why: why.into() }).await
    }

    /// The end of the run's log that is kept.
    async fn tail(&self, visit: &Visit, attempt: u32) -> Result<String, ManualError> {
        let mut tail = Vec::new();
        let chunks = self.store.output(visit.row.id).await?;
        for chunk in chunks.iter().filter(|chunk| chunk.step == StepKind::RunScript && chunk.attempt == attempt) {
            tail.extend_from_slice(&chunk.data);
            tail.drain(..tail.len().saturating_sub(TAIL));
        }
        Ok(text::decoded(&tail))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(json: &str) -> Entry {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn a_line_is_what_the_run_wrote() {
        let stage = r#"{"timestamp":"2026-11-24 10:00:00","level":"INFO","step":"check_env","status":"START","log":"a b"}"#;
        assert_eq!(entry(stage).line(), "2026-11-24 10:00:00 INFO check_env START a b\n");
        assert_eq!(entry(r#"{"log":"  \"中文\" \\ "}"#).line(), "  \"中文\" \\ \n");
        // Upstream's scripts send seconds.
        assert_eq!(entry(r#"{"timestamp":12,"level":"INFO","step":"s","status":"-","log":"x"}"#).line(), "12 INFO s - x\n");
    }

    #[test]
    fn only_steps_of_the_plan_begin_and_end() {
        let turn = |step: &str, status: &str| Entry { step: step.into(), status: status.into(), ..Entry::default() }.turn();
        assert_eq!(turn("run_script", "START"), Some(StepKind::RunScript));
        assert_eq!(turn("run_script", "-"), None);
        assert_eq!(turn("setup_agent", "DONE"), None);
    }
}
