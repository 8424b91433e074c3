//! Live bars on a terminal. The only file that names indicatif.
//!
//! ```text
//! 10.77.0.3  FAILED   connect: ...            printed once, above
//! job 12  [=====>      ] 40/100  0:12  12 running, 48 pending, 38 success, 2 failed, 1 ignored
//!         sent 120.4 MB, 4.2 MB/s
//! 10.77.0.7  upload_package  [==>   ] 1.1/4.2 MB  380 kB/s
//! 10.77.0.9  run_script
//! ... and 183 more
//! ```
//! At most as many host lines as the terminal has room for: a thousand hosts do not flood it.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::lines::{HOST_WIDTH, Wording};
use super::tally::{HostNow, Tally};
use super::{Reporter, summary};
use crate::cli::out::Printer;
use crate::cli::quiet::Quiet;
use crate::cli::style::{self, Paint};
use crate::cli::text;
use crate::domain::event::{Event, EventKind};
use crate::domain::host::Address;
use crate::domain::outcome::{Outcome, StepOutcome};
use crate::domain::plan::StepKind;
use crate::service::Progress;
use crate::service::view::JobView;
use crate::telemetry::{Logs, Redirect};

/// Redraws a second; more costs CPU and nobody sees it.
const HERTZ: u8 = 10;
/// Lines that are not hosts: the job, the bytes, "and more", two of what was printed before.
const OTHER_LINES: usize = 5;
/// Host lines at most, however tall the terminal is.
const MOST_LINES: usize = 40;
/// Columns a host line with a bar needs.
const BAR_COLUMNS: usize = 92;

/// Draws a job.
pub(crate) struct Bars<'a> {
    out: &'a mut Printer,
    wording: Wording,
    tally: Tally,
    multi: MultiProgress,
    job: ProgressBar,
    bytes: ProgressBar,
    /// In the order they got their line; a host keeps it as long as it runs.
    hosts: Vec<HostBar>,
    more: Option<ProgressBar>,
    sending: Sending,
    /// Log lines go above the bars while these are drawn.
    _redirect: Redirect,
    /// An echo would move the cursor under the bars.
    _quiet: Quiet,
}

/// The line of one running host.
struct HostBar {
    bar: ProgressBar,
    /// Its position in the request.
    index: u32,
    form: Form,
}

/// Form of a host's line.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    /// Its step.
    Words,
    /// An upload in figures.
    Figures,
    /// An upload in figures with a bar.
    Bar,
}

impl Form {
    fn template(self) -> &'static str {
        match self {
            Self::Words => "{wide_msg}",
            Self::Figures => "{prefix}  {msg:14}  {decimal_bytes}/{decimal_total_bytes}  {decimal_bytes_per_sec}",
            Self::Bar => "{prefix}  {msg:14}  [{bar:20.cyan}] {decimal_bytes}/{decimal_total_bytes}  {decimal_bytes_per_sec}",
        }
    }
}

/// Bytes of uploads in flight. What a target had before is not counted as sent.
#[derive(Default)]
struct Sending {
    first: BTreeMap<Address, u64>,
    shown: u64,
}

impl Sending {
    /// Payload bytes sent so far, never less than before: an upload leaves the board a moment before its step ends.
    fn total(&mut self, finished: u64, sending: &[Progress]) -> u64 {
        let alive: BTreeSet<Address> = sending.iter().map(|progress| progress.host).collect();
        self.first.retain(|host, _| alive.contains(host));
        let since = |first: &mut BTreeMap<Address, u64>, now: &Progress| {
            now.done.saturating_sub(*first.entry(now.host).or_insert(now.done))
        };
        let in_flight: u64 = sending.iter().map(|now| since(&mut self.first, now)).sum();
        self.shown = self.shown.max(finished + in_flight);
        self.shown
    }
}

impl<'a> Bars<'a> {
    pub(crate) fn new(out: &'a mut Printer, paint: Paint, logs: &Logs, quiet: Quiet) -> Self {
        let multi = MultiProgress::with_draw_target(ProgressDrawTarget::stderr_with_hz(HERTZ));
        let line = |template: &str| multi.add(ProgressBar::no_length().with_style(look(template)));
        let job = line("{prefix}  [{bar:24.green}] {pos}/{len}  {elapsed}  {wide_msg}");
        let bytes = line("        sent {decimal_bytes}, {decimal_bytes_per_sec}  {wide_msg}");
        let above = multi.clone();
        let redirect = logs.through(move |line| {
            above.suspend(|| {
                // Nobody can be told that stderr is closed.
                let _ = std::io::stderr().lock().write_all(line);
            });
        });
        let wording = Wording { paint, remedy_apart: true };
        let (tally, hosts, more, sending) = (Tally::default(), Vec::new(), None, Sending::default());
        Self { out, wording, tally, multi, job, bytes, hosts, more, sending, _redirect: redirect, _quiet: quiet }
    }

    /// Takes the lines of hosts that ended away and gives free ones to others.
    fn assign(&mut self) {
        let Self { multi, hosts, tally, more, .. } = self;
        let room = style::size().0.saturating_sub(OTHER_LINES).clamp(1, MOST_LINES);
        let mut kept = 0;
        hosts.retain(|line| {
            let keeps = kept < room && tally.at(line.index).is_some();
            if keeps {
                kept += 1;
            } else {
                multi.remove(&line.bar);
            }
            keeps
        });
        let shown: BTreeSet<u32> = hosts.iter().map(|line| line.index).collect();
        let mut waiting = tally.running().map(|(index, _)| index).filter(|index| !shown.contains(index));
        for index in waiting.by_ref().take(room - kept) {
            let bar = ProgressBar::no_length().with_style(look("{wide_msg}"));
            let bar = match more.as_ref() {
                Some(more) => multi.insert_before(more, bar),
                None => multi.add(bar),
            };
            hosts.push(HostBar { bar, index, form: Form::Words });
        }
        match (waiting.count(), more.is_some()) {
            (0, true) => more.take().into_iter().for_each(|line| multi.remove(&line)),
            (0, false) => {}
            (count, _) => {
                let line = more.get_or_insert_with(|| multi.add(ProgressBar::no_length().with_style(look("{wide_msg}"))));
                line.set_message(format!("... and {count} more"));
            }
        }
    }

    fn draw_hosts(&mut self, sending: &[Progress]) {
        let sending: BTreeMap<Address, &Progress> = sending.iter().map(|progress| (progress.host, progress)).collect();
        let wide = style::size().1 >= BAR_COLUMNS;
        for line in &mut self.hosts {
            if let Some(now) = self.tally.at(line.index) {
                line.show(now, sending.get(&address(now)).copied(), wide);
            }
        }
    }

    /// Prints to stdout above the bars.
    fn above(&mut self, text: &str) {
        let Self { multi, out, .. } = self;
        multi.suspend(|| out.line(text));
    }
}

impl HostBar {
    fn show(&mut self, now: &HostNow, sending: Option<&Progress>, wide: bool) {
        let form = match (sending, wide) {
            (None, _) => Form::Words,
            (Some(_), false) => Form::Figures,
            (Some(_), true) => Form::Bar,
        };
        let begins = self.form == Form::Words && form != Form::Words;
        if self.form != form {
            self.bar.set_style(look(form.template()));
            self.form = form;
        }
        let name = format!("{:<HOST_WIDTH$}", text::host(now.host));
        let step = now.step.map_or("", StepKind::word);
        let Some(progress) = sending else {
            let attempt = if now.attempt > 1 { format!(", try {}", now.attempt) } else { String::new() };
            let trouble =
                now.trouble.as_deref().map_or_else(String::new, |trouble| format!("; failed: {}", text::one_line(trouble)));
            self.bar.set_message(format!("{name}  {step}{attempt}{trouble}"));
            return;
        };
        self.bar.set_length(progress.total);
        self.bar.set_position(progress.done);
        if begins {
            self.bar.set_prefix(name);
            self.bar.set_message(step);
            // What the target had before is no speed of ours.
            self.bar.reset_eta();
        }
    }
}

impl Reporter for Bars<'_> {
    fn recall(&mut self, events: &[Event]) {
        self.tally.recall(events);
        if let Some(event) = events.first() {
            self.job.set_prefix(format!("job {}", event.job_id));
        }
    }

    fn on(&mut self, event: &Event) {
        let ended = self.tally.take(event);
        let is_worth_a_line = match &event.kind {
            EventKind::JobAccepted { .. } => {
                self.job.set_prefix(format!("job {}", event.job_id));
                true
            }
            EventKind::StepFinished { outcome: StepOutcome::Warned { .. }, .. } => true,
            EventKind::HostFinished { outcome: Outcome::Failed { .. } | Outcome::Unknown { .. } } => true,
            _ => false,
        };
        if is_worth_a_line && let Some(line) = self.wording.line(event, ended.as_ref().or(self.tally.host(event))) {
            self.above(&line);
        }
    }

    fn is_live(&self) -> bool {
        true
    }

    fn tick(&mut self, sending: &[Progress]) {
        self.assign();
        self.job.set_length(self.tally.hosts);
        self.job.set_position(self.tally.ended());
        self.job.set_message(self.tally.counts());
        let is_first = self.bytes.position() == 0;
        self.bytes.set_position(self.sending.total(self.tally.bytes, sending));
        if is_first {
            // What was sent before this process took the job up is no speed of ours.
            self.bytes.reset_eta();
        }
        self.draw_hosts(sending);
    }

    fn note(&mut self, text: &str) {
        let Self { multi, out, .. } = self;
        multi.suspend(|| out.note(text));
        // Failures may push it out of sight.
        self.bytes.set_message(text.to_owned());
    }

    fn finish(&mut self, job: &JobView) {
        // A terminal that went away cannot be cleared and need not be.
        let _ = self.multi.clear();
        self.multi.set_draw_target(ProgressDrawTarget::hidden());
        let gap = if self.tally.ended() > 0 { "\n" } else { "" };
        self.out.data(&format!("{gap}{}", summary::render(job, self.wording.paint)));
    }
}

fn address(now: &HostNow) -> Address {
    Address { cloud: now.host.bk_cloud_id, ip: now.host.ip }
}

/// A look from a template of this file.
fn look(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar()).progress_chars("=> ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn progress(last: u8, done: u64) -> Progress {
        let host = Address { cloud: 0, ip: [10, 77, 0, last].into() };
        Progress { host, step: StepKind::UploadPackage, done, total: 1000 }
    }

    #[test]
    fn bytes_sent_never_go_back_and_leave_out_what_the_target_had() {
        let mut sending = Sending::default();
        assert_eq!(sending.total(0, &[progress(1, 400)]), 0);
        assert_eq!(sending.total(0, &[progress(1, 900), progress(2, 0)]), 500);
        // Host 1 left the board; its step has not ended yet.
        assert_eq!(sending.total(0, &[progress(2, 100)]), 500);
        assert_eq!(sending.total(600, &[progress(2, 100)]), 700);
    }
}
