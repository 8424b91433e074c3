//! `landfall job show`: a job with its hosts; of few hosts, or of one that is named, all steps.

use std::collections::BTreeMap;
use std::net::IpAddr;

use jiff::tz::TimeZone;

use super::open;
use crate::cli::args::Output;
use crate::cli::exit::{CliError, ExitStatus};
use crate::cli::report::summary;
use crate::cli::report::table::Table;
use crate::cli::style::Paint;
use crate::cli::{Context, text};
use crate::domain::audit::AuditLine;
use crate::domain::event::{EventKind, HostRef};
use crate::domain::id::{JobId, Seq};
use crate::domain::job::Status;
use crate::domain::plan::{Plan, Privilege, StepKind, Work};
use crate::service::ServiceError;
use crate::service::feed::Feed;
use crate::service::view::{HostView, JobView};

/// Jobs of at most so many hosts are shown with all their steps.
const FEW: usize = 5;

/// How a page is written.
struct Page {
    paint: Paint,
    zone: TimeZone,
}

pub(crate) async fn show(id: i64, host: Option<IpAddr>, context: &mut Context) -> Result<ExitStatus, CliError> {
    let id = JobId(id);
    let service = open(context).await?.service;
    let mut job = service.job(id).await?.ok_or(ServiceError::NoJob(id))?;
    let is_full = host.is_some() || job.list.len() <= FEW;
    let is_shown = |view: &HostView| host.is_none_or(|ip| ip == view.ip);
    if let Some(ip) = host.filter(|_| !job.list.iter().any(is_shown)) {
        return Err(CliError::Usage(format!("job {id} has no host {ip}")));
    }
    if context.output == Output::Json {
        job.list.retain(is_shown);
        context.out.json(&job);
        return Ok(ExitStatus::Success);
    }
    let plans = if is_full { plans(service.feed(id, Seq::default())).await? } else { BTreeMap::new() };
    let page = Page { paint: context.paint, zone: TimeZone::system() };
    let mut text = page.head(&job, job.list.iter().filter(|view| is_shown(view)));
    if is_full {
        for (index, view) in job.list.iter().enumerate().filter(|(_, view)| is_shown(view)) {
            text.push_str(&page.host(view, plans.get(&index)));
        }
    }
    text.push_str(&page.audit(job.audit.as_deref().unwrap_or_default()));
    text.push_str(&tail(&job));
    context.out.data(&text);
    Ok(ExitStatus::Success)
}

/// The settled plans of a job, by position of the host in the request.
async fn plans(mut feed: Feed) -> Result<BTreeMap<usize, Plan>, ServiceError> {
    let mut plans = BTreeMap::new();
    loop {
        let events = feed.ready().await?;
        if events.is_empty() {
            return Ok(plans);
        }
        for event in events {
            if let (Some(index), EventKind::PlanSettled { plan }) = (event.host_index, event.kind) {
                plans.insert(index as usize, *plan);
            }
        }
    }
}

/// Who works on it, when it did not end.
fn tail(job: &JobView) -> String {
    let counts = &job.line.statistics;
    if counts.pending_count + counts.running_count == 0 {
        return String::new();
    }
    match job.held_by {
        Some(pid) => format!("\nprocess {pid} works on it\n"),
        None if job.list.iter().any(|host| host.place.is_manual) => {
            format!("\nit waits for a person; new commands: landfall job commands {}\n", job.job_id)
        }
        None => format!("\nno executor works on it; resume with: landfall job resume {}\n", job.job_id),
    }
}

impl Page {
    /// Headline and one line per host.
    fn head<'a>(&self, job: &JobView, hosts: impl Iterator<Item = &'a HostView>) -> String {
        let line = &job.line;
        let ended = line.end_time.map_or_else(String::new, |at| format!(", ended {}", text::moment(at, &self.zone)));
        let mut table = Table::new(&["HOST", "STATUS", "STEP", ">TRIES", ">SENT", ">TOOK", "DETAIL"]);
        for host in hosts {
            table.row([
                name(host),
                self.paint.status(host.status),
                host.step.map_or_else(|| "-".into(), |step| step.to_string()),
                host.attempts.to_string(),
                text::bytes(host.bytes_sent),
                host.cost_time.map_or_else(|| "-".into(), text::span),
                detail(host),
            ]);
        }
        format!(
            "{}started {}{ended}, by {}\n\n{}",
            summary::headline(job, self.paint),
            text::moment(line.start_time, &self.zone),
            text::one_line(&line.created_by),
            table.render("")
        )
    }

    /// Who asked for what.
    fn audit(&self, lines: &[AuditLine]) -> String {
        if lines.is_empty() {
            return String::new();
        }
        let mut table = Table::new(&["ASKED", "WHAT", ">HOSTS", "BY", "FROM"]);
        for line in lines {
            let app = line.app.as_ref().map(|app| format!(" ({app})")).unwrap_or_default();
            table.row([
                text::moment(line.at, &self.zone),
                line.action.word().into(),
                line.detail.hosts.to_string(),
                text::one_line(&format!("{}{app}", line.user)).into_owned(),
                line.source.clone(),
            ]);
        }
        format!("\n{}", table.render(""))
    }

    /// One host in full.
    fn host(&self, host: &HostView, plan: Option<&Plan>) -> String {
        let number = host.bk_host_id.map_or_else(String::new, |id| format!("  number {id}"));
        let mut text = format!("\n{}  {}{number}\n", self.paint.strong(&name(host)), self.paint.status(host.status));
        if let Some(plan) = plan {
            text.push_str(&plan_facts(plan));
        }
        if !host.steps.is_empty() {
            text.push_str(&self.steps(host));
        }
        if let Some(failure) = &host.failure {
            text.push_str(&format!("  failure: {} ({})\n", text::one_line(&failure.to_string()), failure.code));
            text.push_str(&format!("  remedy: {}\n", text::one_line(&failure.remedy)));
            for line in failure.tail.lines() {
                text.push_str(&format!("  | {}\n", text::harmless(line)));
            }
        }
        text
    }

    fn steps(&self, host: &HostView) -> String {
        let mut table = Table::new(&["STEP", "STATUS", "START", "FINISH", ">TRIES", ">TOOK", "DETAIL"]);
        let clock = |at: Option<_>| at.map_or_else(|| "-".into(), |at| text::clock(at, &self.zone));
        for step in &host.steps {
            let took = step.start_time.zip(step.finish_time).map_or_else(|| "-".into(), |(from, to)| text::between(from, to));
            let sent = step.figures.bytes_sent.map(|bytes| format!("{} sent", text::bytes(bytes)));
            let detail: Vec<String> =
                sent.into_iter().chain(step.detail.as_deref().map(|text| text::one_line(text).into_owned())).collect();
            table.row([
                step.node_name.clone(),
                self.paint.status(step.status),
                clock(step.start_time),
                clock(step.finish_time),
                step.attempts.to_string(),
                took,
                detail.join("; "),
            ]);
        }
        table.render("  ")
    }
}

fn name(host: &HostView) -> String {
    text::host(HostRef { ip: host.ip, bk_cloud_id: host.bk_cloud_id })
}

fn detail(host: &HostView) -> String {
    let display = text::one_line(&host.status_display);
    match (&host.exclusion, host.status) {
        (Some(exclusion), _) => format!("{}: {display}", exclusion.exception.word()),
        (None, Status::Success) if display == "done" => String::new(),
        (None, _) => display.into_owned(),
    }
}

/// What was settled before the first change.
fn plan_facts(plan: &Plan) -> String {
    let installed = plan.work.installed();
    let what = match &plan.work {
        Work::Install { package, payload, .. } => {
            let digest = package.sha256.get(..12).unwrap_or(&package.sha256);
            format!("sha256 {digest}, {} as {}", text::bytes(payload.size), payload.form.word())
        }
        Work::Uninstall { .. } | Work::Restart { .. } | Work::Reload { .. } => format!("release {}", installed.release),
    };
    let privilege = match plan.privilege {
        Privilege::Root => "as root".to_owned(),
        other => format!("by {}", other.word()),
    };
    let facts = format!(
        "  plan: {} {} {} ({what}) in {}, {privilege}; state in {}",
        plan.work.action(StepKind::RunScript),
        installed.name,
        installed.version,
        plan.paths.setup_path,
        plan.state_dir
    );
    format!("{}\n", text::one_line(&facts))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::report::sample;
    use crate::domain::audit::{Action, Detail};
    use crate::domain::event::Figures;
    use crate::domain::plan::StepKind;
    use crate::service::view::StepView;

    fn page() -> Page {
        Page { paint: Paint::plain(), zone: TimeZone::UTC }
    }

    #[test]
    fn a_job_is_a_headline_and_a_line_per_host() {
        let job = sample::job(&[Status::Success, Status::Failed, Status::Ignored]);
        assert_eq!(
            page().head(&job, job.list.iter()),
            "job 1  PART_FAILED  INSTALL_AGENT, 3 hosts in 12.3 s, 4.2 MB sent: 1 success, 1 failed, 1 ignored\n\
             started 1970-01-01 00:00:00, ended 1970-01-01 00:00:12, by root\n\n\
             HOST       STATUS   STEP  TRIES    SENT   TOOK  DETAIL\n\
             10.77.0.1  SUCCESS  -         1  4.2 MB  3.4 s  success\n\
             10.77.0.2  FAILED   -         1     0 B  3.4 s  failed\n\
             10.77.0.3  IGNORED  -         1     0 B  3.4 s  duplicate: ignored\n"
        );
    }

    #[test]
    fn who_asked_for_what_is_a_block_of_its_own() {
        let line = |action, app: Option<&str>, source: &str| AuditLine {
            at: sample::at(1.0),
            action,
            app: app.map(str::to_owned),
            user: "ann".into(),
            source: source.into(),
            detail: Detail { hosts: 12 },
        };
        let lines = [line(Action::Install, Some("esb_test"), "192.0.2.7"), line(Action::Cancel, None, "cli")];
        assert_eq!(
            page().audit(&lines),
            "\nASKED                WHAT     HOSTS  BY              FROM\n\
             1970-01-01 00:00:01  install     12  ann (esb_test)  192.0.2.7\n\
             1970-01-01 00:00:01  cancel      12  ann             cli\n"
        );
        assert_eq!(page().audit(&[]), "");
    }

    #[test]
    fn a_host_in_full_shows_plan_steps_and_remedy() {
        let mut job = sample::job(&[Status::Success, Status::Failed]);
        let host = &mut job.list[1];
        host.steps = vec![StepView {
            step: StepKind::Connect,
            subject: None,
            node_name: "connect".into(),
            status: Status::Failed,
            start_time: Some(sample::at(1.0)),
            finish_time: Some(sample::at(2.5)),
            attempts: 3,
            detail: Some("refused".into()),
            figures: Figures::default(),
        }];
        assert_eq!(
            page().host(host, Some(&sample::plan())),
            "\n10.77.0.2  FAILED\n  \
             plan: install node-exporter 1.5.0 (sha256 c15a0bb3dd2d, 4.2 MB as gzip) in /usr/local/gse, as root; state in /var/lib/landfall\n  \
             STEP     STATUS  START         FINISH        TRIES   TOOK  DETAIL\n  \
             connect  FAILED  00:00:01.000  00:00:02.500      3  1.5 s  refused\n  \
             failure: 10.77.0.2:22 refused the connection (connection_refused)\n  \
             remedy: start sshd on the host, or correct `port`\n"
        );
    }

    #[test]
    fn an_unfinished_job_says_who_works_on_it() {
        let mut job = sample::job(&[Status::Success, Status::Running]);
        assert_eq!(tail(&job), "\nno executor works on it; resume with: landfall job resume 1\n");
        job.list[0].place.is_manual = true;
        assert_eq!(tail(&job), "\nit waits for a person; new commands: landfall job commands 1\n");
        job.held_by = Some(4711);
        assert_eq!(tail(&job), "\nprocess 4711 works on it\n");
        assert_eq!(tail(&sample::job(&[Status::Failed])), "");
    }
}
