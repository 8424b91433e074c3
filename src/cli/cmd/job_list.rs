//! `landfall job list`: the newest jobs.

use jiff::tz::TimeZone;

use super::open;
use crate::cli::args::Output;
use crate::cli::exit::{CliError, ExitStatus};
use crate::cli::report::table::Table;
use crate::cli::style::Paint;
use crate::cli::{Context, text};
use crate::service::view::JobList;

pub(crate) async fn list(limit: u32, context: &mut Context) -> Result<ExitStatus, CliError> {
    let jobs = open(context).await?.service.jobs(limit).await?;
    match context.output {
        Output::Json => context.out.json(&jobs),
        Output::Text if jobs.list.is_empty() => context.out.note("no job is recorded here"),
        Output::Text => context.out.data(&render(&jobs, context.paint, &TimeZone::system())),
    }
    Ok(ExitStatus::Success)
}

fn render(jobs: &JobList, paint: Paint, zone: &TimeZone) -> String {
    let mut table = Table::new(&[">ID", "KIND", "STATUS", ">OK", ">FAILED", ">IGNORED", ">TOTAL", "STARTED", ">TOOK", "BY"]);
    for job in &jobs.list {
        let counts = job.statistics;
        table.row([
            job.id.to_string(),
            job.job_type.wire_name().to_owned(),
            paint.status(job.status),
            counts.success_count.to_string(),
            counts.failed_count.to_string(),
            counts.ignored_count.to_string(),
            counts.total_count.to_string(),
            text::moment(job.start_time, zone),
            job.cost_time.map_or_else(|| "-".into(), text::span),
            text::one_line(&job.created_by).into_owned(),
        ]);
    }
    table.render("")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::report::sample;
    use crate::domain::job::Status;

    #[test]
    fn a_job_is_one_line() {
        let line = sample::job(&[Status::Success, Status::Failed]).line;
        let jobs = JobList { total: 1, list: vec![line] };
        assert_eq!(
            render(&jobs, Paint::plain(), &TimeZone::UTC),
            "ID  KIND           STATUS       OK  FAILED  IGNORED  TOTAL  STARTED                TOOK  BY\n \
             1  INSTALL_AGENT  PART_FAILED   1       1        0      2  1970-01-01 00:00:00  12.3 s  root\n"
        );
    }
}
