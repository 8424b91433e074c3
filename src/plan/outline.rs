//! The steps of each job kind, in order (DESIGN 2, "Steps of the kinds").

use std::collections::BTreeSet;

use crate::domain::job::JobKind;
use crate::domain::package::PackageEntry;
use crate::domain::plan::{PluginName, Step, StepKind};

/// Seconds for logging in: TCP connect, handshake and login have deadlines of their own in the transport.
const CONNECT_S: u64 = 90;
/// Seconds for the probe: one exec, or two with sudo.
const PROBE_S: u64 = 60;
/// Seconds for small files.
const FILES_S: u64 = 120;
/// Seconds for asking the agent; its own `timeout_s` ends earlier.
const VERIFY_S: u64 = 600;
/// Seconds for those who go through a proxy that is taken out of service: what they do there goes on without it.
const DRAIN_S: u64 = 600;
/// Seconds for measuring access points: a port that is silent costs six of them, and several are asked at once.
const CHOOSE_S: u64 = 180;
/// Seconds for the short ones.
const SHORT_S: u64 = 60;

/// The steps of a kind. `script_timeout_s` is the site's deadline of one script run.
#[must_use]
pub fn outline(kind: JobKind, script_timeout_s: u64) -> Vec<Step> {
    let kinds: &[StepKind] = match kind {
        JobKind::InstallAgent
        | JobKind::ReinstallAgent
        | JobKind::UpgradeAgent
        | JobKind::InstallProxy
        | JobKind::ReinstallProxy
        | JobKind::UpgradeProxy
        // That is the new one; the old one goes by [`retirement`].
        | JobKind::ReplaceProxy => &[
            StepKind::Connect,
            StepKind::Probe,
            StepKind::UploadPackage,
            StepKind::UploadFiles,
            StepKind::RunScript,
            StepKind::Verify,
            StepKind::Register,
            StepKind::Cleanup,
        ],
        JobKind::UninstallAgent | JobKind::UninstallProxy => &[
            StepKind::Connect,
            StepKind::Probe,
            StepKind::RunScript,
            StepKind::VerifyGone,
            StepKind::Register,
            StepKind::Cleanup,
        ],
        JobKind::RestartAgent | JobKind::RestartProxy => {
            &[StepKind::Connect, StepKind::Probe, StepKind::RunScript, StepKind::Verify]
        }
        JobKind::ReloadAgent | JobKind::ReloadProxy => {
            &[StepKind::Connect, StepKind::Probe, StepKind::UploadFiles, StepKind::RunScript, StepKind::Verify]
        }
        JobKind::RemoveAgent => &[StepKind::Forget],
    };
    steps(kinds, script_timeout_s)
}

/// The steps of the old proxy of a replacement.
#[must_use]
pub fn retirement(repoint_agents: bool, script_timeout_s: u64) -> Vec<Step> {
    let before = [StepKind::SwitchRouting, StepKind::RepointAgents, StepKind::DrainGateway];
    let before = before.into_iter().filter(|kind| repoint_agents || *kind != StepKind::RepointAgents);
    let kinds: Vec<StepKind> =
        before.chain(outline(JobKind::UninstallProxy, script_timeout_s).into_iter().map(|step| step.kind)).collect();
    steps(&kinds, script_timeout_s)
}

fn steps(kinds: &[StepKind], script_timeout_s: u64) -> Vec<Step> {
    kinds.iter().map(|kind| Step { kind: *kind, timeout_s: timeout(*kind, script_timeout_s) }).collect()
}

/// The same steps for a host that is to get the nearest access point.
#[must_use]
pub fn with_choice(outline: &[Step]) -> Vec<Step> {
    let choice = Step { kind: StepKind::ChooseAccessPoint, timeout_s: CHOOSE_S };
    let with = |step: &Step| [Some(*step), (step.kind == StepKind::Probe).then_some(choice)];
    outline.iter().flat_map(with).flatten().collect()
}

/// The same steps with those of the plugins that a host may get.
#[must_use]
pub fn with_plugins(outline: &[Step], plugins: &[&PackageEntry]) -> Vec<Step> {
    let run = outline.iter().find(|step| step.kind == StepKind::RunScript);
    let names: BTreeSet<&str> = plugins.iter().map(|entry| entry.manifest.name.as_str()).collect();
    let step = |name: &&str| {
        Some(Step { kind: StepKind::InstallPlugins(PluginName::new(name)?), timeout_s: run.map_or(0, |run| run.timeout_s) })
    };
    let with = |planned: &Step| {
        let follow = planned.kind == StepKind::Verify;
        std::iter::once(*planned).chain(names.iter().filter(move |_| follow).filter_map(step)).collect::<Vec<_>>()
    };
    outline.iter().flat_map(with).collect()
}

/// What is left of the steps where a person runs a script on the host: nobody connects, and what the script cannot do is not
/// promised.
#[must_use]
pub fn by_hand(outline: &[Step]) -> Vec<Step> {
    let can = |step: &&Step| {
        matches!(
            step.kind,
            StepKind::Probe
                | StepKind::UploadPackage
                | StepKind::UploadFiles
                | StepKind::RunScript
                | StepKind::Verify
                | StepKind::VerifyGone
                | StepKind::Register
                | StepKind::Cleanup
        )
    };
    // What touches no host is done by an executor all the same.
    if outline.iter().all(|step| step.kind != StepKind::Connect) {
        return outline.to_vec();
    }
    outline.iter().filter(can).copied().collect()
}

fn timeout(kind: StepKind, script_timeout_s: u64) -> u64 {
    match kind {
        StepKind::Connect => CONNECT_S,
        StepKind::Probe => PROBE_S,
        StepKind::ChooseAccessPoint => CHOOSE_S,
        // Progress is its deadline: a thin link may take as long as it moves; and so may other hosts, which have their own.
        StepKind::UploadPackage | StepKind::SwitchRouting | StepKind::RepointAgents => 0,
        StepKind::DrainGateway => DRAIN_S,
        StepKind::UploadFiles => FILES_S,
        StepKind::RunScript | StepKind::SwitchBack | StepKind::InstallPlugins(_) | StepKind::RemovePlugins(_) => script_timeout_s,
        StepKind::Verify => VERIFY_S,
        StepKind::VerifyGone | StepKind::Register | StepKind::Forget | StepKind::Cleanup => SHORT_S,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_install_proves_the_agent_before_it_is_registered() {
        let steps: Vec<_> = outline(JobKind::InstallAgent, 600).into_iter().map(|step| step.kind.word()).collect();
        assert_eq!(steps, ["connect", "probe", "upload_package", "upload_files", "run_script", "verify", "register", "cleanup"]);
    }

    #[test]
    fn an_access_point_is_chosen_right_after_the_probe() {
        let steps: Vec<_> = with_choice(&outline(JobKind::InstallAgent, 600)).iter().map(|step| step.kind.word()).collect();
        assert_eq!(steps[..4], ["connect", "probe", "choose_access_point", "upload_package"]);
    }

    #[test]
    fn by_hand_everything_is_done_but_the_login() {
        let steps: Vec<_> = by_hand(&outline(JobKind::UninstallAgent, 600)).into_iter().map(|step| step.kind.word()).collect();
        assert_eq!(steps, ["probe", "run_script", "verify_gone", "register", "cleanup"]);
        assert_eq!(by_hand(&outline(JobKind::RemoveAgent, 600)).len(), 1);
    }

    #[test]
    fn every_kind_has_steps_and_connects_before_it_touches_the_host() {
        for kind in JobKind::ALL {
            let steps = outline(kind, 600);
            let first = steps.first().map(|step| step.kind);
            assert_eq!(first, Some(if kind.touches_host() { StepKind::Connect } else { StepKind::Forget }), "{kind:?}");
            assert_eq!(steps.iter().any(|step| step.kind.is_on_host()), kind.touches_host(), "{kind:?}");
        }
    }
}
