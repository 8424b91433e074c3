//! Why a job leaves a host out: the stable `exception` words and their messages.
//!
//! To add one: a variant, its word, its two texts. Deciding which hosts get it is the service's.

use serde::{Deserialize, Serialize};

use super::job::Status;
use super::site::Language;

/// Reason of an `ip_filter` entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Exception {
    /// The cloud has no proxy (F1).
    NoProxy,
    /// The same host stands earlier in the request.
    Duplicate,
    /// Another job holds the host.
    Busy,
    /// The site wants it left alone.
    Blacklisted,
    /// Known, but not carried out by this release.
    Unsupported,
}

impl Exception {
    /// The word on the wire.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::NoProxy => "no_proxy",
            Self::Duplicate => "duplicate",
            Self::Busy => "busy",
            Self::Blacklisted => "blacklisted",
            Self::Unsupported => "unsupported",
        }
    }

    /// How the host shows in the job.
    #[must_use]
    pub fn status(self) -> Status {
        match self {
            Self::Blacklisted => Status::Filtered,
            Self::NoProxy | Self::Duplicate | Self::Busy | Self::Unsupported => Status::Ignored,
        }
    }
}

/// Why one host was left out, with what the text needs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exclusion {
    /// The stable word.
    pub exception: Exception,
    /// What exactly: the job that holds the host, the thing that is not supported.
    pub detail: String,
}

impl Exclusion {
    /// An exclusion with its detail.
    #[must_use]
    pub fn new(exception: Exception, detail: impl Into<String>) -> Self {
        Self { exception, detail: detail.into() }
    }

    /// The sentence for people. `no_proxy` is the published text, value for value.
    #[must_use]
    pub fn message(&self, language: Language) -> String {
        let detail = &self.detail;
        match (self.exception, language) {
            (Exception::NoProxy, Language::Zh) => "该管控区域下不存在代理".into(),
            (Exception::NoProxy, Language::En) => "the cloud has no proxy".into(),
            (Exception::Duplicate, Language::Zh) => format!("同一请求中重复的主机，已在 {detail} 中提交"),
            (Exception::Duplicate, Language::En) => format!("the same host stands in {detail} already"),
            (Exception::Busy, Language::Zh) => format!("主机正被任务 {detail} 占用（3801020）"),
            (Exception::Busy, Language::En) => format!("job {detail} is working on this host (3801020)"),
            (Exception::Blacklisted, Language::Zh) => format!("主机在站点黑名单中：{detail}"),
            (Exception::Blacklisted, Language::En) => format!("the site's blacklist names this host: {detail}"),
            (Exception::Unsupported, Language::Zh) => format!("暂不支持：{detail}"),
            (Exception::Unsupported, Language::En) => format!("not supported yet: {detail}"),
        }
    }
}
