//! What kinds and hosts are called by people, in Chinese and in English.
//!
//! Chinese names of kinds are those of the published table.

use crate::domain::job::JobKind;
use crate::domain::outcome::Outcome;
use crate::domain::package::Role;
use crate::domain::record::HostRecord;
use crate::domain::site::Language;
use crate::domain::state::HostState;

/// What a kind does: the published word, and what it is called in Chinese and in English.
fn operation(kind: JobKind) -> (&'static str, &'static str, &'static str) {
    match kind {
        JobKind::InstallAgent | JobKind::InstallProxy => ("INSTALL", "安装", "install"),
        JobKind::RestartAgent | JobKind::RestartProxy => ("RESTART", "重启", "restart"),
        JobKind::ReinstallAgent | JobKind::ReinstallProxy => ("REINSTALL", "重装", "reinstall"),
        JobKind::UninstallAgent | JobKind::UninstallProxy => ("UNINSTALL", "卸载", "uninstall"),
        JobKind::RemoveAgent => ("REMOVE", "移除", "remove"),
        JobKind::UpgradeAgent | JobKind::UpgradeProxy => ("UPGRADE", "升级", "upgrade"),
        JobKind::ReloadAgent | JobKind::ReloadProxy => ("RELOAD", "重载配置", "reload"),
        JobKind::ReplaceProxy => ("REPLACE", "替换", "replace"),
    }
}

/// `INSTALL`, `RESTART` ...
#[must_use]
pub fn op_type(kind: JobKind) -> &'static str {
    operation(kind).0
}

/// What the operation is called.
#[must_use]
pub fn op_type_display(kind: JobKind, language: Language) -> &'static str {
    let (_, zh, en) = operation(kind);
    in_language(language, zh, en)
}

/// What it is done to.
#[must_use]
pub fn step_type_display(kind: JobKind) -> &'static str {
    match kind.role() {
        Role::Proxy => "Proxy",
        Role::Agent | Role::Plugin => "Agent",
    }
}

/// What the kind is called.
#[must_use]
pub fn job_type_display(kind: JobKind, language: Language) -> String {
    let node = step_type_display(kind);
    match (language, kind) {
        (Language::Zh, JobKind::ReloadAgent | JobKind::ReloadProxy) => format!("重载{node}配置"),
        (Language::Zh, _) => format!("{}{node}", op_type_display(kind, language)),
        (Language::En, _) => format!("{} {}", op_type_display(kind, language), node.to_lowercase()),
    }
}

/// How a host stands, in one phrase.
pub(super) fn status_display(record: &HostRecord, language: Language) -> String {
    let say = |zh: &str, en: &str| in_language(language, zh, en).to_owned();
    match &record.state {
        HostState::Pending => say("等待执行", "waiting"),
        HostState::Ready => say("正在执行", "between steps"),
        HostState::Running { step, attempt: 1 } => match language {
            Language::Zh => format!("正在执行 {step}"),
            Language::En => format!("{step}"),
        },
        HostState::Running { step, attempt } => match language {
            Language::Zh => format!("正在执行 {step}，第 {attempt} 次"),
            Language::En => format!("{step}, attempt {attempt}"),
        },
        HostState::Finished(Outcome::Succeeded) => say("执行成功", "done"),
        HostState::Finished(Outcome::Skipped { why }) => say("无需操作：", "nothing to do: ") + why,
        HostState::Finished(Outcome::Failed { failure } | Outcome::Unknown { failure }) => match (language, failure.step) {
            (Language::Zh, Some(step)) => format!("{step} 执行失败：{failure}"),
            (Language::Zh, None) => format!("执行失败：{failure}"),
            (Language::En, _) => failure.to_string(),
        },
        HostState::Finished(Outcome::Interrupted { why }) => say("已中断：", "interrupted: ") + why,
        HostState::Finished(Outcome::Terminated { why }) => say("已终止：", "") + why,
        HostState::Finished(Outcome::Removed) => say("已移出主机清单", "no longer in the inventory"),
        HostState::LeftOut { .. } => record.exclusion.as_ref().map_or_else(String::new, |exclusion| exclusion.message(language)),
    }
}

fn in_language<'a>(language: Language, zh: &'a str, en: &'a str) -> &'a str {
    match language {
        Language::Zh => zh,
        Language::En => en,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_called_as_in_the_published_table() {
        for (kind, zh, en) in [
            (JobKind::InstallAgent, "安装Agent", "install agent"),
            (JobKind::RemoveAgent, "移除Agent", "remove agent"),
            (JobKind::ReloadAgent, "重载Agent配置", "reload agent"),
            (JobKind::UpgradeProxy, "升级Proxy", "upgrade proxy"),
            (JobKind::ReloadProxy, "重载Proxy配置", "reload proxy"),
            (JobKind::ReplaceProxy, "替换Proxy", "replace proxy"),
        ] {
            assert_eq!((job_type_display(kind, Language::Zh).as_str(), job_type_display(kind, Language::En).as_str()), (zh, en));
        }
        for kind in JobKind::ALL {
            assert_eq!(format!("{}_{}", op_type(kind), step_type_display(kind).to_uppercase()), kind.wire_name());
        }
    }
}
