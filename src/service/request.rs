//! The request: the published JSON body, checked as a whole. A job file is the same body.
//!
//! Wire quirks taken on purpose (DESIGN 2): `port` and `bt_speed_limit` as number or string; `bk_addressing` as 0/1 or words;
//! switches as bool or 0/1; empty strings as absent; unknown fields, `actions` and `bk_token` ignored. Every fault of every
//! host is reported at once, with its path.
//!
//! Never here: whether a host may be touched (`submit`). To add a field: [`crate::domain::host::HostSpec`], then [`host`] and
//! its [`HOST_FIELDS`], then `docs/job.md` and `docs/job.schema.json`; tests hold them together.

mod fields;
mod host;
mod login;
#[cfg(test)]
mod tests;
pub(crate) mod values;

pub use host::FIELDS as HOST_FIELDS;
pub(super) use login::GivenLogin;
pub use login::SECRETS;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

use serde_json::{Map, Value};

use super::envelope::Opened;
use crate::domain::credential::{Credential, Secret};
use crate::domain::host::HostSpec;
use crate::domain::job::JobKind;
use crate::domain::package::PackageChoice;
use crate::domain::site::{Paths, Site};
use crate::domain::spec::JobSpec;
pub(crate) use fields::Fields;

/// One thing wrong with a request.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, utoipa::ToSchema)]
pub struct Fault {
    /// Where: `hosts[3].port`.
    pub path: String,
    /// What: lower case, no full stop, no secret.
    pub message: String,
    /// Published code of this fault.
    #[serde(skip)]
    pub code: i64,
}

/// Published codes of faults (`reference/upstream.md` 2.6, DESIGN 2).
pub mod code {
    /// The body or a value in it is wrong.
    pub const INVALID: i64 = 3_800_001;
    /// No such business.
    pub const BUSINESS: i64 = 3_800_004;
    /// No such cloud.
    pub const CLOUD: i64 = 3_801_001;
    /// A proxy in the direct zone.
    pub const PROXY_IN_DIRECT_ZONE: i64 = 3_801_006;
    /// No such access point.
    pub const ACCESS_POINT: i64 = 3_801_007;
    /// No such host in the inventory.
    pub const NO_HOST: i64 = 3_801_010;
    /// No such job.
    pub const NO_JOB: i64 = 3_801_012;
    /// No such host in the job, or none that can be tried again.
    pub const NO_INSTANCE: i64 = 3_800_007;
    /// No script was started on the host, or its log is gone.
    pub const NO_RUN: i64 = 3_800_013;
    /// No host of the job is unfinished.
    pub const NOT_RUNNING: i64 = 3_800_016;
    /// Another request came with the same key.
    pub const CONFLICT: i64 = 3_800_409;
    /// Another job has the host.
    pub const BUSY: i64 = 3_801_020;
    /// The cloud has no proxy.
    pub const NO_PROXY: i64 = 3_801_013;
    /// Hosts that a person installs beside others.
    pub const MIXED: i64 = 3_801_024;
    /// No such install channel.
    pub const CHANNEL: i64 = 3_801_037;
    /// No host was accepted.
    pub const ALL_FILTERED: i64 = 3_801_018;
}

/// The keys of a body that are read; everything else in it is ignored.
pub const FIELDS: [&str; 10] = [
    "job_type",
    "hosts",
    "replace_host_id",
    "repoint_agents",
    "is_install_latest_plugins",
    "bk_username",
    "package",
    "paths",
    "vars",
    "limits",
];

/// Where secrets may come from.
#[derive(Clone, Debug, Default)]
pub struct SecretSources {
    /// May `{"env": ...}` and `{"file": ...}` be used? Only in a job file: over HTTP they would read the server's.
    pub references: bool,
    /// Asked from the person at the terminal: used where a host needs a password and gives none.
    pub asked: Option<Secret>,
    /// Relative files are looked up here: the job file's directory.
    pub base: PathBuf,
    /// What was in the envelopes of the body.
    pub envelopes: Envelopes,
    /// Did the request come over a line that others can read? Then a secret in clear is a fault.
    pub exposed: bool,
}

/// What became of the envelopes of a body.
#[derive(Clone, Debug, Default)]
pub enum Envelopes {
    /// Nobody opened them: each is a fault.
    #[default]
    Closed,
    /// They stand for themselves: for a look at a body that goes nowhere.
    Unread,
    /// They were opened.
    Opened(Arc<Opened>),
}

/// A request that passed its checks.
#[derive(Debug)]
pub struct Request {
    /// What the job is.
    pub spec: JobSpec,
    /// For the audit.
    pub username: Option<String>,
    /// Its hosts.
    pub hosts: Vec<RequestedHost>,
}

/// One host of a request.
#[derive(Debug)]
pub struct RequestedHost {
    /// The host.
    pub spec: HostSpec,
    /// Its login, when the request brings one.
    pub credential: Option<Credential>,
    /// Does the request name account or port? Else a kept login brings its own.
    pub names_login: bool,
    /// Does the request name the kind of login?
    pub names_auth: bool,
}

/// Checks a body.
///
/// # Errors
/// All faults of the body.
pub fn parse(body: &Value, site: &Site, sources: &SecretSources) -> Result<Request, Vec<Fault>> {
    let mut faults = Vec::new();
    let Some(object) = body.as_object() else {
        return Err(vec![Fault { path: String::new(), message: "the body must be a JSON object".into(), code: code::INVALID }]);
    };
    let mut top = Fields::new(object, String::new(), &mut faults);
    let kind = match (job_kind(&mut top), replaced(&mut top)) {
        (Some(JobKind::InstallProxy), Some(_)) => Some(JobKind::ReplaceProxy),
        (Some(JobKind::ReplaceProxy), None) => {
            top.fault("replace_host_id", "is required for REPLACE_PROXY");
            Some(JobKind::ReplaceProxy)
        }
        // Other kinds are sent it too, and it means nothing for them.
        (kind, _) => kind,
    };
    let repoint_agents = top.switch("repoint_agents").unwrap_or(true);
    let install_latest_plugins = top.switch("is_install_latest_plugins").unwrap_or(true);
    let username = top.text("bk_username");
    let package: PackageChoice = top.structure("package").unwrap_or_default();
    let paths: Paths = top.paths("paths");
    let vars = top.vars("vars");
    let upload_mb_per_s = top.child("limits").and_then(|mut limits| limits.count("upload_mb_per_s")).unwrap_or(0);
    let entries = host_entries(&mut top, object);
    // Without a kind the hosts are checked by the one that asks least of them.
    let least = kind.unwrap_or(JobKind::UninstallAgent);
    let mut hosts = Vec::with_capacity(entries.len());
    for (index, entry) in entries.iter().enumerate() {
        let path = format!("hosts[{index}]");
        match entry.as_object() {
            Some(object) => hosts.extend(host::read(Fields::new(object, path, &mut faults), least, site, sources)),
            None => faults.push(Fault { path, message: "must be an object".into(), code: code::INVALID }),
        }
    }
    faults.extend(mixed(&hosts));
    let Some(kind) = kind.filter(|_| faults.is_empty()) else { return Err(faults) };
    let businesses: BTreeSet<i64> = hosts.iter().map(|host| host.spec.bk_biz_id).collect();
    let businesses = businesses.into_iter().collect();
    let repoint_agents = repoint_agents && kind == JobKind::ReplaceProxy;
    let spec = JobSpec {
        package,
        vars,
        paths,
        upload_mb_per_s,
        install_latest_plugins,
        businesses,
        repoint_agents,
        ..JobSpec::of(kind)
    };
    Ok(Request { spec, username, hosts })
}

/// A job is carried out by a person or by an executor: the first host that wants it otherwise than those before it.
fn mixed(hosts: &[RequestedHost]) -> Option<Fault> {
    let is_manual = hosts.first()?.spec.is_manual;
    let index = hosts.iter().position(|host| host.spec.is_manual != is_manual)?;
    let (one, others) = if is_manual { ("an automatic host", "manual ones") } else { ("a manual host", "automatic ones") };
    let message = format!("{one} cannot stand beside {others}: send two requests");
    Some(Fault { path: format!("hosts[{index}].is_manual"), message, code: code::MIXED })
}

/// The proxy that a body wants replaced, whatever else is wrong with it.
#[must_use]
pub fn replaces(body: &Value) -> Option<i64> {
    let (mut faults, empty) = (Vec::new(), Map::new());
    let mut top = Fields::new(body.as_object().unwrap_or(&empty), String::new(), &mut faults);
    let kind = top.text("job_type").as_deref().and_then(JobKind::from_wire);
    replaced(&mut top).filter(|_| matches!(kind, Some(JobKind::ReplaceProxy | JobKind::InstallProxy)))
}

/// 0 is how clients say that nothing is replaced.
fn replaced(top: &mut Fields<'_>) -> Option<i64> {
    top.integer("replace_host_id").filter(|id| *id != 0)
}

fn job_kind(top: &mut Fields<'_>) -> Option<JobKind> {
    let Some(name) = top.text("job_type") else {
        if top.value("job_type").is_none() {
            top.fault("job_type", "is required");
        }
        return None;
    };
    let kind = JobKind::from_wire(&name);
    if kind.is_none() {
        let known: Vec<_> = JobKind::ALL.iter().map(|kind| kind.wire_name()).collect();
        top.fault("job_type", format!("`{name}` is none of {}", known.join(", ")));
    }
    kind
}

fn host_entries<'a>(top: &mut Fields<'_>, object: &'a Map<String, Value>) -> &'a [Value] {
    match object.get("hosts") {
        Some(Value::Array(entries)) if !entries.is_empty() => entries,
        Some(Value::Array(_)) => {
            top.fault("hosts", "must name at least one host");
            &[]
        }
        Some(_) => {
            top.fault("hosts", "must be an array");
            &[]
        }
        None => {
            top.fault("hosts", "is required");
            &[]
        }
    }
}
