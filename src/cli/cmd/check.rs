//! `landfall check`: what a job would meet on its hosts; connects and looks, changes nothing.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use super::{answered, language, open};
use crate::cli::args::{JobSource, Output};
use crate::cli::exit::{CliError, ExitStatus};
use crate::cli::job_source::Draft;
use crate::cli::report::table::Table;
use crate::cli::style::Paint;
use crate::cli::{Context, text};
use crate::config;
use crate::domain::event::HostRef;
use crate::domain::finding::{Finding, Subject, Verdict};
use crate::domain::site::Language;
use crate::lifecycle::Signals;
use crate::service::Stop;
use crate::service::check::{Checking, HostCheck};
use crate::service::submit::Caller;

pub(crate) async fn run(source: JobSource, context: &mut Context) -> Result<ExitStatus, CliError> {
    let result = check(source, context).await;
    answered(result, context)
}

async fn check(source: JobSource, context: &mut Context) -> Result<ExitStatus, CliError> {
    let draft = Draft::read(&source, context)?;
    let stop = Stop::new();
    let mut signals = Signals::listen(stop.clone()).map_err(|source| CliError::System { what: "take signals", source })?;
    let sources = draft.secrets(&mut signals).await?;
    let caller = Caller::at_terminal(config::caller_name(), language(), sources);
    let app = open(context).await?;
    let begun = app.service.check(&draft.body, &caller, stop).await.map_err(|rejection| draft.rejected(rejection))?;
    drop(draft);
    let Checking { job_type, mut list, mut findings } = begun;
    let is_json = context.output == Output::Json;
    let mut interrupted = false;
    loop {
        tokio::select! {
            found = findings.recv() => {
                let Some((index, found)) = found else { break };
                let done = list.iter().filter(|host| host.ready.is_some()).count() + 1;
                let total = list.len();
                if let Some(host) = list.get_mut(index) {
                    host.take(found);
                    if is_json {
                        context.out.json(&*host);
                    } else {
                        let word = if host.ready == Some(true) { "ready" } else { "not ready" };
                        context.out.note(format!("{}  {word}  ({done} of {total})", name(host)));
                    }
                }
            }
            _ = signals.next() => {
                interrupted = true;
                context.out.note("stopping: hosts that were not looked at stay unknown");
            }
        }
    }
    if is_json {
        context.out.json(&serde_json::json!({"job_type": job_type, "list": list}));
    } else {
        context.out.data(&render(&list, context.paint));
    }
    Ok(match (interrupted, list.iter().all(|host| host.ready == Some(true))) {
        (true, _) => ExitStatus::Interrupted,
        (false, true) => ExitStatus::Success,
        (false, false) => ExitStatus::Unsuccessful,
    })
}

/// Hosts named per complaint; the others are counted.
const NAMED: usize = 10;

/// One line a host, then what is wrong and what to do about it.
fn render(list: &[HostCheck], paint: Paint) -> String {
    let mut table = Table::new(&["HOST", "READY", "LOGIN", "ROOT", "SYSTEM", "PACKAGE", "SETUP", "STATE", "TEMP", "TOOLS", "AP"]);
    for host in list {
        let ready = match host.ready {
            Some(true) => paint.good("yes"),
            Some(false) => paint.bad("no"),
            None => paint.warn("unknown"),
        };
        let cells = Subject::ALL.map(|subject| cell(host, subject, paint));
        table.row([name(host), ready].into_iter().chain(cells));
    }
    let mut page = table.render("");
    for (complaint, hosts) in complaints(list, paint) {
        let named = text::some(hosts.iter().map(|host| name(host)), NAMED);
        page.push_str(&format!("\n{complaint}\n  {named}\n"));
    }
    page
}

/// The worst verdict on a subject; for what a person compares, what was found.
fn cell(host: &HostCheck, subject: Subject, paint: Paint) -> String {
    let of_subject = || host.findings.iter().filter(|finding| finding.subject == subject);
    let Some(worst) = of_subject().max_by_key(|finding| finding.verdict) else { return "-".into() };
    match (worst.verdict, subject) {
        (Verdict::Ok, Subject::System | Subject::Privilege) => text::one_line(&worst.detail).into_owned(),
        (Verdict::Ok, _) => paint.good("ok"),
        (Verdict::Warning, _) => paint.warn("warning"),
        (Verdict::Failed, _) => paint.bad("failed"),
    }
}

/// What is wrong, each thing once, with the hosts that have it; the worst first.
fn complaints(list: &[HostCheck], paint: Paint) -> Vec<(String, Vec<&HostCheck>)> {
    let mut found: BTreeMap<(Reverse<Verdict>, String), Vec<&HostCheck>> = BTreeMap::new();
    for host in list {
        if let Some(exclusion) = &host.exclusion {
            let text = format!("{} {}: {}", paint.warn("IGNORED"), exclusion.exception.word(), exclusion.message(Language::En));
            found.entry((Reverse(Verdict::Failed), text)).or_default().push(host);
        }
        for finding in host.findings.iter().filter(|finding| finding.verdict > Verdict::Ok) {
            found.entry((Reverse(finding.verdict), complaint(finding, paint))).or_default().push(host);
        }
    }
    found.into_iter().map(|((_, text), hosts)| (text, hosts)).collect()
}

fn complaint(finding: &Finding, paint: Paint) -> String {
    let word = if finding.verdict == Verdict::Failed { paint.bad("failed") } else { paint.warn("warning") };
    let code = finding.code.as_ref().map_or_else(String::new, |code| format!(" [{code}]"));
    let remedy = finding.remedy.as_ref().map_or_else(String::new, |remedy| format!("\n  remedy: {}", text::one_line(remedy)));
    format!("{}: {word}: {}{code}{remedy}", finding.subject.word(), text::one_line(&finding.detail))
}

fn name(host: &HostCheck) -> String {
    let named = |ip| text::host(HostRef { ip, bk_cloud_id: host.bk_cloud_id });
    host.ip.map_or_else(|| "a host without address".into(), named)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::failure::{Code, Failure};

    #[test]
    fn a_host_is_one_line_and_what_is_wrong_stands_below_with_its_remedy() {
        let host = |last: u8, findings: Vec<Finding>| {
            let ip = Some(std::net::IpAddr::from([10, 0, 0, last]));
            let mut host = HostCheck { ip, bk_cloud_id: 0, ready: None, exclusion: None, findings: Vec::new() };
            host.take(findings);
            host
        };
        let good =
            vec![Finding::ok(Subject::Login, "root at x by key"), Finding::ok(Subject::System, "debian 12 x86_64, systemd")];
        let refused = Failure::new(Code::PasswordRefused, "the password was refused");
        let page = render(&[host(1, good), host(2, vec![Finding::failed(Subject::Login, &refused)])], Paint::plain());
        let lines: Vec<&str> = page.lines().collect();
        assert!(lines[1].starts_with("10.0.0.1  yes") && lines[1].contains("debian 12 x86_64, systemd"), "{page}");
        assert!(lines[2].starts_with("10.0.0.2  no") && lines[2].contains("failed"), "{page}");
        assert!(page.contains("login: failed: the password was refused [password_refused]\n  remedy: correct"), "{page}");
        assert!(page.ends_with("\n  10.0.0.2\n"), "{page}");
    }
}
