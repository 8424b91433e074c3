//! Plain lines, for files, pipes and dumb terminals: one per host that ends, failures and retries as they happen.

use super::tally::{HostNow, Tally};
use super::{Reporter, summary};
use crate::cli::out::Printer;
use crate::cli::style::Paint;
use crate::cli::text;
use crate::domain::event::{Event, EventKind};
use crate::domain::failure::Failure;
use crate::domain::outcome::{Outcome, StepOutcome};
use crate::domain::site::Language;
use crate::service::view::JobView;

/// Widest usual address, so that the words behind it line up.
pub(super) const HOST_WIDTH: usize = 15;

/// Writes one line per thing worth knowing.
pub(crate) struct Lines<'a> {
    out: &'a mut Printer,
    wording: Wording,
    tally: Tally,
    has_told: bool,
}

impl<'a> Lines<'a> {
    pub(crate) fn new(out: &'a mut Printer, paint: Paint) -> Self {
        Self { out, wording: Wording { paint, remedy_apart: false }, tally: Tally::default(), has_told: false }
    }
}

impl Reporter for Lines<'_> {
    fn recall(&mut self, events: &[Event]) {
        self.tally.recall(events);
    }

    fn on(&mut self, event: &Event) {
        let ended = self.tally.take(event);
        let host = ended.as_ref().or(self.tally.host(event));
        if let Some(line) = self.wording.line(event, host) {
            self.out.line(line);
            self.has_told = true;
        }
    }

    fn note(&mut self, text: &str) {
        self.out.note(text);
    }

    fn finish(&mut self, job: &JobView) {
        let gap = if self.has_told { "\n" } else { "" };
        self.out.data(&format!("{gap}{}", summary::render(job, self.wording.paint)));
    }
}

/// How events become lines.
#[derive(Clone, Copy)]
pub(super) struct Wording {
    pub(super) paint: Paint,
    /// On a terminal a failure's remedy has a line of its own; in a file one host is one line.
    pub(super) remedy_apart: bool,
}

impl Wording {
    /// The line of an event, if it deserves one.
    pub(super) fn line(self, event: &Event, now: Option<&HostNow>) -> Option<String> {
        let about = |text: String| event.host.map(|host| format!("{:<HOST_WIDTH$}  {text}", text::host(host)));
        match &event.kind {
            EventKind::JobAccepted { job_type, hosts, ignored } => {
                let left_out = if *ignored == 0 { String::new() } else { format!(", {ignored} ignored") };
                let hosts = text::count(usize::try_from(*hosts).unwrap_or(usize::MAX), "host");
                // The first line stands alone: whoever reads it knows that nothing of the job can be lost any more.
                Some(format!("job {} accepted\n{}: {hosts}{left_out}", event.job_id, job_type.wire_name()))
            }
            EventKind::HostIgnored { exclusion } => {
                let reason = format!("{}: {}", exclusion.exception.word(), exclusion.message(Language::En));
                about(format!("{}  {}", self.paint.status(exclusion.exception.status()), text::one_line(&reason)))
            }
            EventKind::AttemptFailed { step, failure, retry_in_ms } => {
                let pause = text::span(*retry_in_ms as f64 / 1000.0);
                let next = now.map_or(1, |now| now.attempt) + 1;
                about(format!("{step}: {}; again in {pause} (try {next})", text::one_line(&failure.to_string())))
            }
            EventKind::StepFinished { step, outcome: StepOutcome::Warned { message }, .. } => {
                about(format!("{step}: {} {}", self.paint.warn("warning:"), text::one_line(message)))
            }
            EventKind::StepAdded { step, .. } => {
                about(format!("{} the new release failed, {step} follows", self.paint.warn("warning:")))
            }
            EventKind::HostKeyReplaced { pinned, shown } => {
                about(format!("connect: {} host key {pinned} is replaced by {shown}", self.paint.warn("warning:")))
            }
            EventKind::HostFinished { outcome } => about(self.ending(event, outcome, now)),
            EventKind::CancelAsked { reason } => Some(format!("job {} is cancelled: {}", event.job_id, text::one_line(reason))),
            EventKind::RetryAsked { reason, from_start } => {
                about(format!("to be tried again{}: {}", text::from_start(*from_start), text::one_line(reason)))
            }
            EventKind::HostStarted
            | EventKind::AttemptStarted { .. }
            | EventKind::PlanSettled { .. }
            | EventKind::StepStarted { .. }
            | EventKind::StepFinished { .. }
            | EventKind::JobFinished { .. }
            | EventKind::Unknown => None,
        }
    }

    /// How a host ended: status first, so that a search for it finds its line.
    fn ending(self, event: &Event, outcome: &Outcome, now: Option<&HostNow>) -> String {
        let (good, bad) = (self.paint.good("SUCCESS"), self.paint.bad("FAILED"));
        match outcome {
            Outcome::Succeeded => format!("{good}  {}", now.map_or_else(|| "done".into(), |now| done(event, now))),
            Outcome::Skipped { why } => format!("{good}  nothing to do: {}", text::one_line(why)),
            Outcome::Failed { failure } => format!("{bad}   {}", self.cause(failure)),
            Outcome::Unknown { failure } => format!("{bad}   how it stands there is unknown: {}", self.cause(failure)),
            Outcome::Interrupted { why } => format!("{}  {}", self.paint.warn("INTERRUPTED"), text::one_line(why)),
            Outcome::Terminated { why } => format!("{}  {}", self.paint.bad("TERMINATED"), text::one_line(why)),
            Outcome::Removed => format!("{}  no longer in the inventory", self.paint.good("REMOVED")),
        }
    }

    /// Step, cause and remedy of a failure.
    fn cause(self, failure: &Failure) -> String {
        let step = failure.step.map_or_else(String::new, |step| format!("{step}: "));
        let what = failure.to_string();
        let gap = if self.remedy_apart { format!("\n{:HOST_WIDTH$}  ", "") } else { "; ".into() };
        format!("{step}{} [{}]{gap}remedy: {}", text::one_line(&what), failure.code, text::one_line(&failure.remedy))
    }
}

/// `node-exporter 1.5.0 in 3.4 s, 4.2 MB sent`.
fn done(event: &Event, now: &HostNow) -> String {
    let what = now.package.as_deref().unwrap_or("done");
    let sent = if now.bytes > 0 { format!(", {} sent", text::bytes(now.bytes)) } else { String::new() };
    let did = now.did.map_or_else(String::new, |did| format!(" {did}"));
    format!("{what}{did} in {}{sent}", text::between(now.since, event.at))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::report::sample::{at, event, failure, plan};
    use crate::domain::admission::{Exception, Exclusion};
    use crate::domain::event::Figures;
    use crate::domain::failure::Code;
    use crate::domain::job::JobKind;
    use crate::domain::plan::StepKind;

    /// The lines of a journal.
    fn lines(events: Vec<Event>) -> Vec<String> {
        let (mut tally, wording) = (Tally::default(), Wording { paint: Paint::plain(), remedy_apart: false });
        let told = events.iter().filter_map(|event| {
            let ended = tally.take(event);
            wording.line(event, ended.as_ref().or(tally.host(event)))
        });
        told.collect()
    }

    #[test]
    fn a_job_reads_as_one_line_per_host() {
        let upload = EventKind::StepFinished {
            step: StepKind::UploadPackage,
            attempt: 1,
            outcome: StepOutcome::Done { changed: true },
            figures: Figures { bytes_sent: Some(4_200_000), ..Figures::default() },
        };
        let mut refused = failure(Code::ConnectionRefused, StepKind::Connect);
        refused.message = "10.77.0.2:22 refused the connection".into();
        let refused_again = EventKind::AttemptFailed { step: StepKind::Connect, failure: refused.clone(), retry_in_ms: 2100 };
        let told = lines(vec![
            event(None, EventKind::JobAccepted { job_type: JobKind::InstallAgent, hosts: 2, ignored: 1 }),
            event(Some(2), EventKind::HostIgnored { exclusion: Exclusion::new(Exception::Duplicate, "hosts[0]") }),
            event(Some(0), EventKind::HostStarted),
            event(Some(0), EventKind::PlanSettled { plan: Box::new(plan()) }),
            event(Some(1), EventKind::HostStarted),
            event(Some(1), EventKind::StepStarted { step: StepKind::Connect, attempt: 1, run_id: None }),
            event(Some(1), refused_again),
            event(Some(0), upload),
            Event { at: at(3.4), ..event(Some(0), EventKind::HostFinished { outcome: Outcome::Succeeded }) },
            event(Some(1), EventKind::HostFinished { outcome: Outcome::Failed { failure: refused } }),
        ]);
        assert_eq!(
            told.join("\n"),
            "job 1 accepted\n\
             INSTALL_AGENT: 2 hosts, 1 ignored\n\
             10.77.0.3        IGNORED  duplicate: the same host stands in hosts[0] already\n\
             10.77.0.2        connect: 10.77.0.2:22 refused the connection; again in 2.1 s (try 2)\n\
             10.77.0.1        SUCCESS  node-exporter 1.5.0 in 3.4 s, 4.2 MB sent\n\
             10.77.0.2        FAILED   connect: 10.77.0.2:22 refused the connection [connection_refused]; \
             remedy: start sshd on the host, or correct `port`"
        );
    }

    #[test]
    fn what_a_host_sent_stays_on_one_line() {
        let mut failed = failure(Code::NoSpace, StepKind::RunScript);
        failed.message = "first\nsecond\u{1b}[2J".into();
        let told = lines(vec![event(Some(0), EventKind::HostFinished { outcome: Outcome::Failed { failure: failed } })]);
        assert_eq!(told.len(), 1);
        assert!(!told[0].contains(['\n', '\u{1b}']), "{told:?}");
    }
}
