//! The steps of each job kind, in order (DESIGN 2, "Steps of the kinds").

use crate::domain::job::JobKind;
use crate::domain::plan::{Step, StepKind};

/// Seconds for logging in: TCP connect, handshake and login have deadlines of their own in the transport.
const CONNECT_S: u64 = 90;
/// Seconds for the probe: one exec, or two with sudo.
const PROBE_S: u64 = 60;
/// Seconds for small files.
const FILES_S: u64 = 120;
/// Seconds for asking the agent; its own `timeout_s` ends earlier.
const VERIFY_S: u64 = 600;
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
        // What becomes of the old proxy comes with the release that carries it out.
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
    let step = |kind: &StepKind| Step { kind: *kind, timeout_s: timeout(*kind, script_timeout_s) };
    kinds.iter().map(step).collect()
}

fn timeout(kind: StepKind, script_timeout_s: u64) -> u64 {
    match kind {
        StepKind::Connect => CONNECT_S,
        StepKind::Probe => PROBE_S,
        // Progress is its deadline: a thin link may take as long as it moves.
        StepKind::UploadPackage => 0,
        StepKind::UploadFiles => FILES_S,
        StepKind::RunScript | StepKind::SwitchBack => script_timeout_s,
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
    fn every_kind_has_steps_and_connects_before_it_touches_the_host() {
        for kind in JobKind::ALL {
            let steps = outline(kind, 600);
            let first = steps.first().map(|step| step.kind);
            assert_eq!(first, Some(if kind.touches_host() { StepKind::Connect } else { StepKind::Forget }), "{kind:?}");
            assert_eq!(steps.iter().any(|step| step.kind.is_on_host()), kind.touches_host(), "{kind:?}");
        }
    }
}
