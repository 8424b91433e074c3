//! Why a job leaves a host out: the stable `exception` words and their messages.
//!
//! To add one: a variant, its word, its two texts. Deciding which hosts get it is the service's.

use serde::{Deserialize, Serialize};

use super::job::Status;
use super::site::Language;

/// Reason of an `ip_filter` entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Exception {
    /// The cloud has no proxy (F1).
    NoProxy,
    /// Another business has the address (F2).
    IpInUse,
    /// The host is known with another IPv6 address (F3).
    Ipv6Rebound,
    /// An agent is at this dynamic address already (F4).
    AgentAlive,
    /// Nothing is known of the host, and the request brings no login (F5).
    NotInstalled,
    /// The host is known by another number (F6), or the number is another host's.
    HostIdMismatch,
    /// A proxy is asked for as an agent, or the other way round (F7).
    NodeTypeMismatch,
    /// The kept login is no key, and the request brings none (F8).
    KeyRequired,
    /// The kept login is no password, and the request brings none (F9).
    PasswordRequired,
    /// No login of the host is kept any more (F10).
    CredentialExpired,
    /// The same host stands earlier in the request.
    Duplicate,
    /// Another job holds the host.
    Busy,
    /// The site wants it left alone.
    Blacklisted,
    /// Known, but not carried out: a proxy on another system than Linux, a kind that nobody can do by hand.
    Unsupported,
}

impl Exception {
    /// The word on the wire.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::NoProxy => "no_proxy",
            Self::IpInUse => "ip_in_use",
            Self::Ipv6Rebound => "ipv6_rebound",
            Self::AgentAlive => "agent_alive",
            Self::NotInstalled => "not_installed",
            Self::HostIdMismatch => "host_id_mismatch",
            Self::NodeTypeMismatch => "node_type_mismatch",
            Self::KeyRequired => "key_required",
            Self::PasswordRequired => "password_required",
            Self::CredentialExpired => "credential_expired",
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
            Self::NoProxy
            | Self::IpInUse
            | Self::Ipv6Rebound
            | Self::AgentAlive
            | Self::NotInstalled
            | Self::HostIdMismatch
            | Self::NodeTypeMismatch
            | Self::KeyRequired
            | Self::PasswordRequired
            | Self::CredentialExpired
            | Self::Duplicate
            | Self::Busy
            | Self::Unsupported => Status::Ignored,
        }
    }
}

/// Why one host was left out, with what the text needs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
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
        match language {
            Language::Zh => self.in_chinese(),
            Language::En => self.in_english(),
        }
    }

    /// Is the detail of [`Exception::HostIdMismatch`] the number that the host has, not the host that has the number?
    fn names_a_number(&self) -> bool {
        self.detail.parse::<i64>().is_ok()
    }

    fn in_chinese(&self) -> String {
        let detail = &self.detail;
        match self.exception {
            Exception::NoProxy => "该管控区域下不存在代理".into(),
            Exception::IpInUse => format!("IP 已被业务 {detail} 占用（3801009）"),
            Exception::Ipv6Rebound => format!("主机已绑定 IPv6 地址 {detail}，不允许修改"),
            Exception::AgentAlive => format!("动态地址 {detail} 上已有 Agent，请使用重装"),
            Exception::NotInstalled => "主机尚未安装，请求中也没有登录凭据".into(),
            Exception::HostIdMismatch if self.names_a_number() => format!("主机 ID 不一致，已知为 {detail}"),
            Exception::HostIdMismatch => format!("主机 ID 已属于主机 {detail}"),
            Exception::NodeTypeMismatch => format!("节点类型不一致，主机为 {detail}"),
            Exception::KeyRequired => "认证方式已改为密钥，但未提供密钥".into(),
            Exception::PasswordRequired => "认证方式已改为密码，但未提供密码".into(),
            Exception::CredentialExpired => "主机的登录凭据已过期，请重新提供".into(),
            Exception::Duplicate => format!("同一请求中重复的主机，已在 {detail} 中提交"),
            Exception::Busy => format!("主机正被任务 {detail} 占用（3801020）"),
            Exception::Blacklisted => format!("主机在站点黑名单中：{detail}"),
            Exception::Unsupported => format!("不支持：{detail}"),
        }
    }

    fn in_english(&self) -> String {
        let detail = &self.detail;
        match self.exception {
            Exception::NoProxy => "the cloud has no proxy".into(),
            Exception::IpInUse => format!("business {detail} has this address (3801009)"),
            Exception::Ipv6Rebound => format!("the host is known with IPv6 address {detail}, which cannot be changed"),
            Exception::AgentAlive => format!("an agent is at the dynamic address {detail} already: reinstall it instead"),
            Exception::NotInstalled => "nothing is installed there as far as is known, and the request brings no login".into(),
            Exception::HostIdMismatch if self.names_a_number() => format!("the host is known as number {detail}"),
            Exception::HostIdMismatch => format!("the number is that of host {detail}"),
            Exception::NodeTypeMismatch => format!("the host is a node of type {detail}"),
            Exception::KeyRequired => "the kept login is no key, and the request brings none".into(),
            Exception::PasswordRequired => "the kept login is no password, and the request brings none".into(),
            Exception::CredentialExpired => "no login of this host is kept any more: send it again".into(),
            Exception::Duplicate => format!("the same host stands in {detail} already"),
            Exception::Busy => format!("job {detail} is working on this host (3801020)"),
            Exception::Blacklisted => format!("the site's blacklist names this host: {detail}"),
            Exception::Unsupported => format!("not supported: {detail}"),
        }
    }
}
