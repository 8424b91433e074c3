//! `landfall job log`: what the steps did and what the hosts printed.

use std::net::IpAddr;

use jiff::tz::TimeZone;

use super::open;
use crate::cli::args::Output;
use crate::cli::exit::{CliError, ExitStatus};
use crate::cli::style::{self, Paint};
use crate::cli::{Context, text};
use crate::domain::event::HostRef;
use crate::domain::id::JobId;
use crate::service::ServiceError;
use crate::service::view::{HostLog, StepLog};

pub(crate) async fn log(id: i64, host: Option<IpAddr>, context: &mut Context) -> Result<ExitStatus, CliError> {
    let id = JobId(id);
    let logs = open(context).await?.service.logs(id, host).await?.ok_or(ServiceError::NoJob(id))?;
    // A host that stands twice in a request was worked on once: the one with steps is meant.
    let one = host.map(|ip| {
        let meant = logs.iter().find(|log| !log.steps.is_empty()).or(logs.first());
        meant.ok_or_else(|| CliError::Usage(format!("job {id} has no host {ip}")))
    });
    match (context.output, one.transpose()?) {
        (Output::Json, Some(log)) => context.out.json(&log.steps),
        (Output::Json, None) => context.out.json(&logs),
        (Output::Text, Some(log)) => print(log, context),
        (Output::Text, None) => logs.iter().for_each(|log| print(log, context)),
    }
    Ok(ExitStatus::Success)
}

fn print(log: &HostLog, context: &mut Context) {
    let page = Page { paint: context.paint, zone: TimeZone::system(), is_terminal: style::stdout_is_terminal() };
    context.out.data(&page.render(log));
}

/// How a log is written.
struct Page {
    paint: Paint,
    zone: TimeZone,
    /// What a host printed must not command a terminal; a file gets it as it is.
    is_terminal: bool,
}

impl Page {
    fn render(&self, log: &HostLog) -> String {
        let host = text::host(HostRef { ip: log.ip, bk_cloud_id: log.bk_cloud_id });
        let mut text = format!("{}\n", self.paint.strong(&host));
        let begun: Vec<&StepLog> = log.steps.iter().filter(|step| step.start_time.is_some() || !step.log.is_empty()).collect();
        for step in &begun {
            text.push_str(&self.header(step));
            text.push_str(&if self.is_terminal { text::harmless(&step.log) } else { step.log.as_str().into() });
            if !step.log.is_empty() && !step.log.ends_with('\n') {
                text.push('\n');
            }
        }
        if begun.is_empty() {
            text.push_str("no step began\n");
        }
        text.push('\n');
        text
    }

    fn header(&self, step: &StepLog) -> String {
        let from = step.start_time.map_or_else(String::new, |at| format!("  {}", text::moment(at, &self.zone)));
        let took =
            step.start_time.zip(step.finish_time).map_or_else(String::new, |(from, to)| format!(", {}", text::between(from, to)));
        format!("{} {}  {}{from}{took}\n", self.paint.faint("---"), step.node_name, self.paint.status(step.status))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::report::sample;
    use crate::domain::job::Status;
    use crate::domain::plan::StepKind;

    #[test]
    fn a_log_is_a_header_per_step_and_what_was_printed() {
        let step = |step: StepKind, begun: bool, log: &str| StepLog {
            step,
            subject: None,
            node_name: step.to_string(),
            status: if begun { Status::Success } else { Status::Pending },
            start_time: begun.then(|| sample::at(0.0)),
            finish_time: begun.then(|| sample::at(1.5)),
            log: log.into(),
        };
        let steps = vec![
            step(StepKind::Connect, true, ""),
            step(StepKind::RunScript, true, "a\u{1b}[2J\nb"),
            step(StepKind::Verify, false, ""),
        ];
        let log = HostLog { instance_id: String::new(), ip: [10, 77, 0, 1].into(), bk_cloud_id: 0, steps };
        let page = |is_terminal| Page { paint: Paint::plain(), zone: TimeZone::UTC, is_terminal };
        let text = "10.77.0.1\n--- connect  SUCCESS  1970-01-01 00:00:00, 1.5 s\n\
            --- run_script  SUCCESS  1970-01-01 00:00:00, 1.5 s\na\u{1b}[2J\nb\n\n";
        assert_eq!(page(false).render(&log), text);
        assert_eq!(page(true).render(&log), text.replace('\u{1b}', "\\u{1b}"));
    }
}
