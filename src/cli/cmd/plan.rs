//! `landfall plan`: what a job would do on each host, without connecting and without recording anything.

use super::{answered, language, open};
use crate::cli::args::{JobSource, Output};
use crate::cli::exit::{CliError, ExitStatus};
use crate::cli::job_source::Draft;
use crate::cli::report::table::Table;
use crate::cli::style::Paint;
use crate::cli::{Context, text};
use crate::config;
use crate::domain::event::HostRef;
use crate::domain::plan::StepKind;
use crate::domain::site::Language;
use crate::lifecycle::Signals;
use crate::service::Stop;
use crate::service::preview::{HostPreview, PackagePreview, Preview, StepPreview, alike};
use crate::service::submit::Caller;

/// Hosts named per group on a page; JSON has all.
const NAMED: usize = 20;

pub(crate) async fn run(source: JobSource, context: &mut Context) -> Result<ExitStatus, CliError> {
    let result = plan(source, context).await;
    answered(result, context)
}

async fn plan(source: JobSource, context: &mut Context) -> Result<ExitStatus, CliError> {
    let draft = Draft::read(&source, context)?;
    let mut signals = Signals::listen(Stop::new()).map_err(|source| CliError::System { what: "take signals", source })?;
    let sources = draft.secrets(&mut signals).await?;
    let caller = Caller::at_terminal(config::caller_name(), language(), sources);
    let app = open(context).await?;
    let preview = app.service.preview(&draft.body, &caller).await.map_err(|rejection| draft.rejected(rejection))?;
    match context.output {
        Output::Json => context.out.json(&preview),
        Output::Text => context.out.data(&render(&preview, context.paint)),
    }
    Ok(if preview.is_clean() { ExitStatus::Success } else { ExitStatus::Unsuccessful })
}

fn render(preview: &Preview, paint: Paint) -> String {
    let left_out: Vec<&HostPreview> = preview.list.iter().filter(|host| host.exclusion.is_some()).collect();
    let ignored = if left_out.is_empty() { String::new() } else { format!(", {} ignored", left_out.len()) };
    let hosts = text::count(preview.list.len() - left_out.len(), "host");
    let mut page = format!("{}: {hosts}{ignored}\n", preview.job_type.wire_name());
    for (hosts, steps) in alike(preview) {
        page.push('\n');
        page.push_str(&group(&hosts, steps, paint));
    }
    if !left_out.is_empty() {
        page.push('\n');
    }
    for host in left_out {
        let why = host.exclusion.as_ref().map_or_else(String::new, |exclusion| exclusion.message(Language::En));
        let word = host.exclusion.as_ref().map_or("", |exclusion| exclusion.exception.word());
        page.push_str(&format!("{}  {}  {word}: {why}\n", name(host), paint.status(host.status)));
    }
    page
}

/// Hosts whose steps read the same, and those steps.
fn group(hosts: &[&HostPreview], steps: &[StepPreview], paint: Paint) -> String {
    let mut page = String::new();
    for host in hosts.iter().take(NAMED) {
        let login = if host.login.is_empty() { String::new() } else { format!("  {}", host.login) };
        let later = host.exclusion.as_ref().map_or("", |_| "  (not supported)");
        page.push_str(&format!("{}{login}{later}\n", paint.strong(&name(host))));
    }
    if hosts.len() > NAMED {
        page.push_str(&format!("and {} more, all named by `--output json`\n", hosts.len() - NAMED));
    }
    for package in hosts.iter().take(1).flat_map(|host| &host.packages) {
        page.push_str(&package_lines("package", package, paint));
    }
    for plugin in hosts.iter().take(1).flat_map(|host| &host.plugins) {
        page.push_str(&package_lines("plugin", plugin, paint));
    }
    let mut table = Table::new(&[">", "STEP", "WHAT IT DOES"]);
    for (number, step) in (1..).zip(steps) {
        // The login of each host stands beside it.
        let detail = if step.step == StepKind::Connect { "log in, as named above" } else { step.detail.as_str() };
        table.row([number.to_string(), step.step.to_string(), text::one_line(detail).into_owned()]);
    }
    page.push_str(&table.render("  "));
    page
}

fn package_lines(what: &str, package: &PackagePreview, paint: Paint) -> String {
    let PackagePreview { name, version, os, cpu, .. } = package;
    let digest = package.sha256.get(..12).unwrap_or(&package.sha256);
    let mut lines = format!("  {what} {name} {version} for {os} {cpu}, {}, sha256 {digest}\n", text::bytes(package.size));
    if let Some(start) = &package.start {
        lines.push_str(&format!("    start: {}\n", text::one_line(start)));
    }
    if let Some(fault) = &package.fault {
        lines.push_str(&format!("    {} {}\n", paint.bad("would fail:"), text::one_line(fault)));
    }
    lines
}

fn name(host: &HostPreview) -> String {
    let named = |ip| text::host(HostRef { ip, bk_cloud_id: host.bk_cloud_id });
    host.ip.map_or_else(|| "a host without address".into(), named)
}
