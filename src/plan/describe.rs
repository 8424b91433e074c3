//! A step in one phrase for people, before anything is known of the host but what the request says.

use crate::domain::host::{NEAREST, Os};
use crate::domain::job::JobKind;
use crate::domain::package::{PackageEntry, Role};
use crate::domain::plan::{Step, StepKind};
use crate::domain::site::HostPaths;
use crate::domain::spec::{JobSpec, TaskSpec};

/// What a phrase is about.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    /// The job.
    pub job: &'a JobSpec,
    /// The host.
    pub task: &'a TaskSpec,
    /// Where things go.
    pub paths: &'a HostPaths,
    /// How the login is done: `root at 10.0.0.5:22 by password`.
    pub login: &'a str,
    /// The access points that the nearest is chosen of, for people.
    pub access_points: &'a str,
    /// The package, where it is known already.
    pub package: Option<&'a PackageEntry>,
    /// The plugins that it may get.
    pub plugins: &'a [&'a PackageEntry],
    /// The health check of that package, filled in.
    pub health: Option<&'a str>,
}

/// What a step will do.
#[must_use]
pub fn describe(step: &Step, subject: &Subject<'_>) -> String {
    let Subject { job, task, paths, package, .. } = subject;
    let kind = task.kind(job);
    let what = package.map_or_else(
        || if kind.installs() { "the package for its system and CPU".into() } else { "what is installed".into() },
        |entry| format!("{} {}", entry.manifest.name, entry.manifest.version),
    );
    match step.kind {
        StepKind::Connect => format!("log in as {}", subject.login),
        StepKind::Probe => {
            let root = match task.host.os_type {
                // An administrator is one, or is none: nobody becomes one on the way.
                Some(Os::Windows) => "",
                _ if task.host.account == "root" => "",
                _ => ", become root by sudo",
            };
            let settles = if task.host.ap_id == NEAREST && job.kind.configures() { "" } else { "; settle and record the plan" };
            format!("ask for system, CPU, tools, room and what is installed{root}{settles}")
        }
        StepKind::ChooseAccessPoint => {
            let points = subject.access_points;
            format!(
                "measure from the host how far the access points are ({points}), take the nearest; settle and record the plan"
            )
        }
        StepKind::UploadPackage => upload(&what, subject),
        StepKind::UploadFiles => files(subject),
        StepKind::RunScript => {
            let (action, place) = match kind {
                JobKind::UninstallAgent | JobKind::UninstallProxy => ("take its plugins away, then uninstall", ""),
                JobKind::RestartAgent | JobKind::RestartProxy => ("restart", ""),
                JobKind::ReloadAgent | JobKind::ReloadProxy => ("reload", ""),
                JobKind::UpgradeAgent | JobKind::UpgradeProxy => ("upgrade", paths.setup_path.as_str()),
                _ => ("install", paths.setup_path.as_str()),
            };
            let place = if place.is_empty() { String::new() } else { format!(" in {place}") };
            format!("{action} {what}{place}, detached, within {} s", step.timeout_s)
        }
        StepKind::Verify => verify(kind, subject),
        StepKind::InstallPlugins(plugin) => {
            let is_it = |entry: &&&PackageEntry| entry.manifest.name == plugin.as_str();
            let told = |entry: &&PackageEntry| match entry.manifest.cpu.as_str() {
                "any" => entry.manifest.version.clone(),
                cpu => format!("{} for {cpu}", entry.manifest.version),
            };
            let versions: Vec<String> = subject.plugins.iter().filter(is_it).map(told).collect();
            let versions = versions.join(" or ");
            format!("bring {plugin} {versions}, start it, detached, within {} s, and ask it by its health check", step.timeout_s)
        }
        StepKind::RemovePlugins(plugin) => format!("stop {plugin} and take it away"),
        StepKind::SwitchBack => "start the release before again, and ask it".into(),
        StepKind::VerifyGone => "make sure that neither process nor files are left".into(),
        StepKind::SwitchRouting | StepKind::RepointAgents | StepKind::DrainGateway => retirement(step),
        StepKind::Register if kind.installs() => format!("note {what} in the inventory"),
        StepKind::Register => "take the host out of the inventory".into(),
        StepKind::Forget => "take the host and its kept logins out of the inventory; the machine is not touched".into(),
        StepKind::Cleanup => "tidy up what the job left on the host".into(),
    }
}

fn verify(kind: JobKind, subject: &Subject<'_>) -> String {
    let who = kind.role().word();
    let asked = match subject.health {
        Some(health) => format!("ask the {who}: {health}"),
        None if kind.installs() => format!("ask the {who} by its health check"),
        None => format!("ask the {who} by the health check it was installed with"),
    };
    let zone = if kind.role() == Role::Proxy { "; then reach a host of its zone through it" } else { "" };
    let back = if kind.upgrades() { "; without an answer, switch back to the release before" } else { "" };
    format!("{asked}{zone}{back}")
}

fn retirement(step: &Step) -> String {
    match step.kind {
        StepKind::SwitchRouting => "wait until the new proxy is proved, then take nobody through this one any more".into(),
        StepKind::RepointAgents => "point the agents behind it at the other proxies of the zone, by a RELOAD_AGENT job".into(),
        _ => format!("let those who go through it end, for {} s at most", step.timeout_s),
    }
}

fn upload(what: &str, subject: &Subject<'_>) -> String {
    let host = &subject.task.host;
    let size = subject.package.map_or_else(String::new, |entry| format!(", {:.1} MB", entry.size as f64 / 1e6));
    let form = if host.enable_compression { ", recompressed where that pays" } else { "" };
    let limit = match host.bt_speed_limit {
        0 => String::new(),
        limit => format!(", at most {limit} MB/s"),
    };
    format!("bring {what}{size}{form}{limit}, unless the host has it")
}

fn files(subject: &Subject<'_>) -> String {
    let configs = subject.package.map_or(&[][..], |entry| &entry.manifest.config);
    let names: Vec<&str> = configs.iter().map(|config| config.to.as_str()).collect();
    match (names.as_slice(), subject.job.kind.installs()) {
        ([], true) => "bring its service files".into(),
        (names, true) if subject.job.kind.upgrades() => {
            format!("bring its service files, and {} where the release before has none", names.join(", "))
        }
        (names, true) => format!("bring its service files and {}", names.join(", ")),
        (_, false) => "bring its configuration, rendered anew".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::outline::{outline, with_choice};

    #[test]
    fn every_step_of_every_kind_has_a_phrase() {
        let task = serde_json::json!({
            "host": {"bk_biz_id": 2, "bk_cloud_id": 0, "bk_host_id": null, "bk_addressing": "static", "ap_id": 1, "install_channel_id": null,
                "inner_ip": "10.0.0.5", "inner_ipv6": null, "outer_ip": "", "outer_ipv6": null, "login_ip": null, "data_ip": null,
                "os_type": null, "auth_type": "PASSWORD", "account": "ops", "port": 22, "is_manual": false, "retention": 1,
                "peer_exchange_switch_for_agent": true, "bt_speed_limit": 3, "enable_compression": true, "data_path": null,
                "paths": {}, "vars": {}},
            "access_point": {"id": 1}, "cloud_name": "", "outline": []
        });
        let task: TaskSpec = serde_json::from_value(task).unwrap();
        for kind in JobKind::ALL {
            let job: JobSpec = serde_json::from_value(serde_json::json!({"kind": kind})).unwrap();
            let paths = crate::plan::settle::paths(&job, &task, Os::Linux);
            let login = "ops at 10.0.0.5:22 by password";
            let subject = Subject {
                job: &job,
                task: &task,
                paths: &paths,
                login,
                access_points: "1, 2",
                package: None,
                plugins: &[],
                health: None,
            };
            let phrases: Vec<String> = with_choice(&outline(kind, 600)).iter().map(|step| describe(step, &subject)).collect();
            assert!(!phrases.is_empty() && phrases.iter().all(|phrase| !phrase.is_empty()), "{kind:?}");
            if kind.installs() {
                assert!(phrases[1].contains("sudo") && phrases[3].contains("at most 3 MB/s"), "{phrases:?}");
                let mut windows = task.clone();
                windows.host.os_type = Some(Os::Windows);
                let probe = with_choice(&outline(kind, 600))[1];
                assert!(!describe(&probe, &Subject { task: &windows, ..subject }).contains("sudo"));
            }
        }
    }
}
