//! The end of a job for people: what happened to how many, grouped by cause, with what to do about it.

use std::collections::BTreeMap;

use crate::cli::style::Paint;
use crate::cli::text;
use crate::domain::event::HostRef;
use crate::domain::job::Status;
use crate::domain::site::Language;
use crate::service::view::{HostView, JobView};

/// Hosts named per cause; the others are counted.
const NAMED: usize = 5;

/// The outcome of a host whose executor stopped ([`crate::domain::outcome::Outcome::word`]).
const INTERRUPTED: &str = "interrupted";

/// Hosts that share a cause.
struct Group<'a> {
    title: String,
    texts: Vec<String>,
    remedy: Option<String>,
    hosts: Vec<&'a HostView>,
}

/// The summary of a job, finished or interrupted.
pub(crate) fn render(job: &JobView, paint: Paint) -> String {
    let mut text = headline(job, paint);
    let failed = groups(job, |host| {
        let failure = host.failure.as_ref()?;
        let at = failure.step.map_or_else(String::new, |step| format!(" in {step}"));
        Some((format!("{}{at}", failure.code), failure.to_string(), Some(failure.remedy.to_string())))
    });
    for group in &failed {
        section(&mut text, &format!("{} ", paint.bad("FAILED")), group);
    }
    let cancelled = groups(job, |host| {
        let remedy = format!("`landfall job retry {}` tries them again", job.job_id);
        (host.status == Status::Terminated).then(|| ("cancelled".to_owned(), host.status_display.clone(), Some(remedy)))
    });
    for group in &cancelled {
        section(&mut text, &format!("{} ", paint.bad("TERMINATED")), group);
    }
    let ignored = groups(job, |host| {
        let exclusion = host.exclusion.as_ref()?;
        Some((exclusion.exception.word().to_owned(), exclusion.message(Language::En), None))
    });
    for group in &ignored {
        section(&mut text, &paint.warn("IGNORED"), group);
    }
    let open = job.list.iter().filter(|host| matches!(host.status, Status::Pending | Status::Running)).count();
    if open > 0 {
        text.push_str(&format!(
            "{} did not end\ninterrupted: resume with `landfall job resume {}`\n",
            text::count(open, "host"),
            job.job_id
        ));
    }
    text
}

/// Job, status, kind, figures.
pub(crate) fn headline(job: &JobView, paint: Paint) -> String {
    let (line, counts) = (&job.line, &job.line.statistics);
    let took = line.cost_time.map_or_else(String::new, |seconds| format!(" in {}", text::span(seconds)));
    let bytes: u64 = job.list.iter().map(|host| host.bytes_sent).sum();
    let sent = if bytes == 0 { String::new() } else { format!(", {} sent", text::bytes(bytes)) };
    // On the wire an interrupted host is RUNNING.
    let interrupted = job.list.iter().filter(|host| host.outcome == Some(INTERRUPTED)).count() as u64;
    // What the published figures lump together a person wants apart.
    let of = |status: Status| job.list.iter().filter(|host| host.status == status).count() as u64;
    let (terminated, removed) = (of(Status::Terminated), of(Status::Removed));
    let words = [
        (counts.success_count, "success"),
        (removed, "removed"),
        (counts.failed_count.saturating_sub(terminated), "failed"),
        (terminated, "terminated"),
        (counts.ignored_count.saturating_sub(removed), "ignored"),
        (counts.running_count.saturating_sub(interrupted), "running"),
        (interrupted, "interrupted"),
        (counts.pending_count, "pending"),
    ];
    let words: Vec<String> =
        words.iter().filter(|(count, _)| *count > 0).map(|(count, word)| format!("{count} {word}")).collect();
    format!(
        "job {}  {}  {}, {}{took}{sent}: {}\n",
        job.job_id,
        paint.status(line.status),
        line.job_type.wire_name(),
        text::count(job.list.len(), "host"),
        words.join(", ")
    )
}

/// Hosts by cause, the most frequent cause first. `cause` gives title, text and remedy.
fn groups(job: &JobView, cause: impl Fn(&HostView) -> Option<(String, String, Option<String>)>) -> Vec<Group<'_>> {
    let mut by_title: BTreeMap<String, Group<'_>> = BTreeMap::new();
    for host in &job.list {
        let Some((title, text, remedy)) = cause(host) else { continue };
        let group =
            by_title.entry(title.clone()).or_insert_with(|| Group { title, texts: Vec::new(), remedy, hosts: Vec::new() });
        group.hosts.push(host);
        // One more than is shown, to know whether all say the same.
        if group.texts.len() < 2 && !group.texts.contains(&text) {
            group.texts.push(text);
        }
    }
    let mut groups: Vec<_> = by_title.into_values().collect();
    groups.sort_by_key(|group| std::cmp::Reverse(group.hosts.len()));
    groups
}

fn section(text: &mut String, status: &str, group: &Group<'_>) {
    let hosts = group.hosts.iter().map(|host| text::host(HostRef { ip: host.ip, bk_cloud_id: host.bk_cloud_id }));
    text.push_str(&format!(
        "{status}  {}  {}: {}\n",
        text::count(group.hosts.len(), "host"),
        group.title,
        text::some(hosts, NAMED)
    ));
    if let Some(first) = group.texts.first() {
        let example = if group.texts.len() > 1 { "for example: " } else { "" };
        text.push_str(&format!("         {example}{}\n", text::one_line(first)));
    }
    if let Some(remedy) = &group.remedy {
        text.push_str(&format!("         remedy: {}\n", text::one_line(remedy)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::report::sample;

    #[test]
    fn causes_are_counted_once_with_their_remedy() {
        let mut statuses = vec![Status::Success];
        statuses.extend([Status::Failed; 17]);
        statuses.push(Status::Ignored);
        assert_eq!(
            render(&sample::job(&statuses), Paint::plain()),
            "job 1  PART_FAILED  INSTALL_AGENT, 19 hosts in 12.3 s, 4.2 MB sent: 1 success, 17 failed, 1 ignored\n\
             FAILED   17 hosts  connection_refused in connect: 10.77.0.2, 10.77.0.3, 10.77.0.4, 10.77.0.5, 10.77.0.6 and 12 more\n         \
             for example: 10.77.0.2:22 refused the connection\n         \
             remedy: start sshd on the host, or correct `port`\n\
             IGNORED  1 host  duplicate: 10.77.0.19\n         \
             the same host stands in hosts[0] already\n"
        );
    }

    #[test]
    fn an_interrupted_job_says_how_to_go_on() {
        let text = render(&sample::job(&[Status::Success, Status::Running, Status::Pending]), Paint::plain());
        assert!(text.ends_with("2 hosts did not end\ninterrupted: resume with `landfall job resume 1`\n"), "{text}");
    }
}
