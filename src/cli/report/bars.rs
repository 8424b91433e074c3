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

use std::collections::BTreeMap;
use std::io::Write as _;

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::lines::line;
use super::slots::Slots;
use super::tally::{HostNow, Tally};
use super::{Reporter, summary};
use crate::cli::out::Printer;
use crate::cli::style::{self, Paint};
use crate::cli::text;
use crate::domain::event::{Event, EventKind};
use crate::domain::host::Address;
use crate::domain::outcome::{Outcome, StepOutcome};
use crate::service::Progress;
use crate::service::view::JobView;
use crate::telemetry::{Logs, Redirect};

/// Redraws a second; more costs CPU and nobody sees it.
const HERTZ: u8 = 10;
/// Lines that are not hosts: the job, the bytes, "and more", two of what was before.
const OTHER_LINES: usize = 5;
/// Host lines at most, however tall the terminal is.
const MOST_LINES: usize = 40;
/// Columns a host line with a bar needs.
const BAR_COLUMNS: usize = 92;

/// Draws a job.
pub(crate) struct Bars<'a> {
    out: &'a mut Printer,
    paint: Paint,
    tally: Tally,
    multi: MultiProgress,
    job: ProgressBar,
    bytes: ProgressBar,
    more: ProgressBar,
    hosts: Vec<HostBar>,
    slots: Slots,
    sending: Sending,
    /// Log lines go above the bars while these are drawn.
    _redirect: Redirect,
}

/// One host line.
struct HostBar {
    bar: ProgressBar,
    host: Option<u32>,
    sends: bool,
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
        self.first.retain(|host, _| sending.iter().any(|progress| progress.host == *host));
        let since = |first: &mut BTreeMap<Address, u64>, now: &Progress| {
            now.done.saturating_sub(*first.entry(now.host).or_insert(now.done))
        };
        let in_flight: u64 = sending.iter().map(|now| since(&mut self.first, now)).sum();
        self.shown = self.shown.max(finished + in_flight);
        self.shown
    }
}

impl<'a> Bars<'a> {
    pub(crate) fn new(out: &'a mut Printer, paint: Paint, logs: &Logs) -> Self {
        let multi = MultiProgress::with_draw_target(ProgressDrawTarget::stderr_with_hz(HERTZ));
        let line = |template: &str| multi.add(ProgressBar::no_length().with_style(look(template)));
        let job = line("{prefix}  [{bar:24.green}] {pos}/{len}  {elapsed}  {wide_msg}");
        let bytes = line("        sent {decimal_bytes}, {decimal_bytes_per_sec}");
        let more = line("{wide_msg}");
        let above = multi.clone();
        let redirect = logs.through(move |line| {
            above.suspend(|| {
                // Nobody can be told that stderr is closed.
                let _ = std::io::stderr().lock().write_all(line);
            });
        });
        let (tally, hosts, slots, sending) = (Tally::default(), Vec::new(), Slots::default(), Sending::default());
        Self { out, paint, tally, multi, job, bytes, more, hosts, slots, sending, _redirect: redirect }
    }

    /// As many host lines as there is room for.
    fn fit(&mut self) {
        let room = style::size().0.saturating_sub(OTHER_LINES).clamp(1, MOST_LINES);
        while self.hosts.len() < room {
            let bar = self.multi.insert_before(&self.more, ProgressBar::no_length().with_style(look("{wide_msg}")));
            self.hosts.push(HostBar { bar, host: None, sends: false });
        }
        for gone in self.hosts.drain(room..) {
            gone.bar.finish_and_clear();
            self.multi.remove(&gone.bar);
        }
        self.slots.resize(room);
    }

    fn draw_hosts(&mut self, sending: &[Progress]) {
        let running: Vec<u32> = self.tally.running().map(|(index, _)| index).collect();
        let more = self.slots.assign(&running);
        let sending: BTreeMap<Address, &Progress> = sending.iter().map(|progress| (progress.host, progress)).collect();
        let wide = style::size().1 >= BAR_COLUMNS;
        for (line, index) in self.hosts.iter_mut().zip(self.slots.shown()) {
            match index.and_then(|index| Some((index, self.tally.at(index)?))) {
                Some((index, now)) => line.show(index, now, sending.get(&address(now)).copied(), wide),
                None => line.clear(),
            }
        }
        self.more.set_message(if more == 0 { String::new() } else { format!("... and {more} more") });
    }

    /// Prints to stdout above the bars.
    fn above(&mut self, text: &str) {
        let Self { multi, out, .. } = self;
        multi.suspend(|| out.line(text));
    }
}

impl HostBar {
    fn show(&mut self, index: u32, now: &HostNow, sending: Option<&Progress>, wide: bool) {
        let name = format!("{:<15}", text::host(now.host));
        let step = now.step.map_or("", |step| step.word());
        let is_new = self.host != Some(index) || self.sends != sending.is_some();
        self.host = Some(index);
        self.sends = sending.is_some();
        match sending {
            Some(progress) => {
                if is_new {
                    self.bar.reset();
                    let bar = if wide { "[{bar:20.cyan}] " } else { "" };
                    self.bar.set_style(look(&format!(
                        "{{prefix}}  {{msg:14}}  {bar}{{decimal_bytes}}/{{decimal_total_bytes}}  {{decimal_bytes_per_sec}}"
                    )));
                    self.bar.set_prefix(name);
                    self.bar.set_message(step);
                }
                self.bar.set_length(progress.total);
                self.bar.set_position(progress.done);
            }
            None => {
                if is_new {
                    self.bar.set_style(look("{wide_msg}"));
                }
                let attempt = if now.attempt > 1 { format!(", try {}", now.attempt) } else { String::new() };
                let trouble =
                    now.trouble.as_deref().map_or_else(String::new, |trouble| format!("  waits: {}", text::one_line(trouble)));
                self.bar.set_message(format!("{name}  {step}{attempt}{trouble}"));
            }
        }
    }

    fn clear(&mut self) {
        if self.host.take().is_some() || self.sends {
            self.sends = false;
            self.bar.set_style(look("{wide_msg}"));
        }
        self.bar.set_message("");
    }
}

impl Reporter for Bars<'_> {
    fn recall(&mut self, event: &Event) {
        self.tally.take(event);
        self.tally.rest();
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
        if is_worth_a_line && let Some(line) = line(event, ended.as_ref().or(self.tally.host(event)), self.paint) {
            self.above(&line);
        }
    }

    fn is_live(&self) -> bool {
        true
    }

    fn tick(&mut self, sending: &[Progress]) {
        self.fit();
        self.job.set_length(self.tally.hosts);
        self.job.set_position(self.tally.ended());
        self.job.set_message(self.tally.counts());
        self.bytes.set_position(self.sending.total(self.tally.bytes, sending));
        self.draw_hosts(sending);
    }

    fn note(&mut self, text: &str) {
        let Self { multi, out, .. } = self;
        multi.suspend(|| out.note(text));
    }

    fn finish(&mut self, job: &JobView) {
        // A terminal that went away cannot be cleared and need not be.
        let _ = self.multi.clear();
        self.multi.set_draw_target(ProgressDrawTarget::hidden());
        self.out.data(&summary::render(job, self.paint));
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
    use crate::domain::plan::StepKind;

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
