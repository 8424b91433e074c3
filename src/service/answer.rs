//! The published answer: envelope and `ip_filter` entries, value for value as in the API document.
//!
//! The HTTP door sends it, the terminal prints it for `--output json` when nothing ran.

use serde::Serialize;
use serde_json::{Value, json};

use super::request::{Fault, code};
use crate::domain::admission::Exclusion;
use crate::domain::host::HostSpec;
use crate::domain::job::Status;
use crate::domain::site::{Language, Site};

/// `{result, code, data, message, errors}`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Envelope {
    /// Did it work?
    pub result: bool,
    /// 0, or a published code.
    pub code: i64,
    /// What was asked for.
    pub data: Value,
    /// For people; ends with the code in full-width parentheses when something is wrong.
    pub message: String,
    /// `null`, or one entry a fault.
    pub errors: Option<Vec<Fault>>,
}

/// One host that was left out. Key order is the document's.
#[derive(Clone, Debug, PartialEq, Serialize, utoipa::ToSchema)]
pub struct FilterEntry {
    bk_biz_id: i64,
    bk_biz_name: String,
    /// Inner address, v4 or v6.
    pub ip: String,
    inner_ip: Option<String>,
    inner_ipv6: Option<String>,
    bk_host_id: Option<i64>,
    bk_cloud_name: String,
    /// Its cloud.
    pub bk_cloud_id: i64,
    status: Status,
    job_id: &'static str,
    /// The stable word.
    pub exception: &'static str,
    /// For people.
    pub msg: String,
}

impl FilterEntry {
    /// The entry of a host.
    #[must_use]
    pub fn new(host: &HostSpec, site: &Site, exclusion: &Exclusion, language: Language) -> Self {
        Self {
            bk_biz_id: host.bk_biz_id,
            bk_biz_name: site.business_name(host.bk_biz_id).to_owned(),
            ip: host.address().map(|address| address.ip.to_string()).unwrap_or_default(),
            inner_ip: host.inner_ip.map(|ip| ip.to_string()),
            inner_ipv6: host.inner_ipv6.map(|ip| ip.to_string()),
            bk_host_id: host.bk_host_id,
            bk_cloud_name: site.cloud(host.bk_cloud_id).map(|cloud| cloud.name.clone()).unwrap_or_default(),
            bk_cloud_id: host.bk_cloud_id,
            status: exclusion.exception.status(),
            job_id: "",
            exception: exclusion.exception.word(),
            msg: exclusion.message(language),
        }
    }
}

impl Envelope {
    fn wrong(code: i64, text: &str, data: Value) -> Self {
        Self { result: false, code, data, message: format!("{text}（{code}）"), errors: None }
    }

    /// It worked.
    #[must_use]
    pub fn done(data: Value) -> Self {
        Self { result: true, code: 0, data, message: String::new(), errors: None }
    }

    /// It did not, for a reason that has a published code.
    #[must_use]
    pub fn refused(code: i64, text: &str) -> Self {
        Self::wrong(code, text, Value::Null)
    }

    /// The body is wrong: all faults; the code is the first one's.
    #[must_use]
    pub fn faults(faults: &[Fault], language: Language) -> Self {
        let code = faults.first().map_or(code::INVALID, |fault| fault.code);
        // What is wrong with the body as a whole has no path.
        let first = faults.first().map(|fault| format!("{} {}", fault.path, fault.message));
        let first = first.as_deref().unwrap_or_default().trim_start();
        let text = match language {
            Language::Zh => format!("参数校验失败，共 {} 处：{first}", faults.len()),
            Language::En => format!("{} fault(s) in the request: {first}", faults.len()),
        };
        Self { errors: Some(faults.to_vec()), ..Self::wrong(code, &text, Value::Null) }
    }

    /// No job, because of these hosts.
    #[must_use]
    pub fn filtered(code: i64, entries: &[FilterEntry], language: Language) -> Self {
        let text = match (code, language) {
            (code::NO_PROXY, Language::Zh) => "不存在可用代理",
            (code::NO_PROXY, Language::En) => "no proxy is available",
            (_, Language::Zh) => "所有主机均被过滤",
            (_, Language::En) => "no host was accepted",
        };
        Self::wrong(code, text, json!({"job_id": "", "ip_filter": entries}))
    }

    /// Something of ours failed.
    #[must_use]
    pub fn internal(text: &str) -> Self {
        Self::wrong(3_800_500, text, Value::Null)
    }
}
