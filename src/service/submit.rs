//! Submission: body → checked request → admitted hosts → one recorded job. Nothing is recorded unless all of it is.
//!
//! Never here: waiting for a host. To add a reason to leave a host out: [`Exception`], then [`exclusion`].

use std::collections::HashMap;

use serde_json::Value;
use uuid::Uuid;

use super::answer::{Envelope, FilterEntry};
use super::request::{self, Fault, Request, RequestedHost, SecretSources, code};
use super::{Service, ServiceError};
use crate::domain::admission::{Exception, Exclusion};
use crate::domain::host::{Address, AuthType, HostSpec, Os};
use crate::domain::id::{JobId, TaskId};
use crate::domain::job::JobKind;
use crate::domain::package::Role;
use crate::domain::plan::Step;
use crate::domain::site::Language;
use crate::domain::spec::TaskSpec;
use crate::plan;
use crate::store::{Lease, NewHost, NewJob, StoreError};

/// Who submits, and how to talk to them.
#[derive(Clone, Debug)]
pub struct Caller {
    /// For the audit when the body names nobody.
    pub name: String,
    /// Language of messages.
    pub language: Language,
    /// Where secrets may come from.
    pub sources: SecretSources,
}

/// A recorded job, held by this process.
#[derive(Debug)]
pub struct Accepted {
    /// Its number.
    pub job: JobId,
    /// Keeps it for this process.
    pub lease: Box<dyn Lease>,
    /// Hosts left out.
    pub filtered: Vec<FilterEntry>,
}

/// A request that may be carried out, at least for some of its hosts.
pub(super) struct Admitted {
    pub(super) request: Request,
    /// By position in the request.
    pub(super) excluded: Vec<Option<Exclusion>>,
    pub(super) filtered: Vec<FilterEntry>,
}

/// Why nothing was recorded.
#[derive(Debug, thiserror::Error)]
pub enum Rejection {
    /// The body is wrong.
    #[error("the job is not valid: {} fault(s)", .0.len())]
    Faults(Vec<Fault>),
    /// Some hosts are in a cloud without proxy: the whole request fails, with these entries only.
    #[error("a cloud has no proxy")]
    NoProxy(Vec<FilterEntry>),
    /// No host was accepted.
    #[error("no host was accepted")]
    AllFiltered(Vec<FilterEntry>),
    /// It could not be decided or recorded.
    #[error(transparent)]
    Service(#[from] ServiceError),
}

impl From<StoreError> for Rejection {
    fn from(error: StoreError) -> Self {
        Self::Service(error.into())
    }
}

impl Rejection {
    /// The published envelope of this answer.
    #[must_use]
    pub fn envelope(&self, language: Language) -> Envelope {
        match self {
            Self::Faults(faults) => Envelope::faults(faults, language),
            Self::NoProxy(entries) => Envelope::filtered(code::NO_PROXY, entries, language),
            Self::AllFiltered(entries) => Envelope::filtered(code::ALL_FILTERED, entries, language),
            Self::Service(error) => Envelope::internal(&error.to_string()),
        }
    }
}

impl Service {
    /// Checks a body, admits its hosts and records the job. When this returns, nothing of it can be lost.
    ///
    /// # Errors
    /// [`Rejection`]; nothing was recorded then.
    pub async fn submit(&self, body: &Value, caller: &Caller) -> Result<Accepted, Rejection> {
        let Admitted { request, excluded, filtered } = self.examine(body, caller).await?;
        let job = self.store.create_job(self.new_job(request, excluded, caller), self.engine.now()).await?;
        let lease = self.store.hold(job).await?;
        Ok(Accepted { job, lease, filtered })
    }

    /// Everything of a submission but the recording: `plan` and `check` stop here.
    pub(super) async fn examine(&self, body: &Value, caller: &Caller) -> Result<Admitted, Rejection> {
        let mut request = request::parse(body, &self.site, &caller.sources).map_err(Rejection::Faults)?;
        self.lend_kept_logins(&mut request).await?;
        let excluded = self.admit(&request).await?;
        let entry = |index: usize, exclusion: &Exclusion| {
            request.hosts.get(index).map(|host| FilterEntry::new(&host.spec, &self.site, exclusion, caller.language))
        };
        let entries = |only: Option<Exception>| -> Vec<FilterEntry> {
            let chosen = excluded.iter().enumerate().filter_map(|(index, exclusion)| {
                exclusion
                    .as_ref()
                    .filter(|exclusion| only.is_none_or(|only| only == exclusion.exception))
                    .and_then(|exclusion| entry(index, exclusion))
            });
            chosen.collect()
        };
        let no_proxy = entries(Some(Exception::NoProxy));
        if !no_proxy.is_empty() && !self.site.partial_no_proxy {
            return Err(Rejection::NoProxy(no_proxy));
        }
        let filtered = entries(None);
        if filtered.len() == request.hosts.len() {
            return Err(Rejection::AllFiltered(filtered));
        }
        self.check_package(&mut request).await?;
        Ok(Admitted { request, excluded, filtered })
    }

    /// A login is required only when none is kept for the host (DESIGN 2).
    async fn lend_kept_logins(&self, request: &mut Request) -> Result<(), Rejection> {
        let kind = request.spec.kind;
        let lacks = |host: &RequestedHost| {
            !kind.needs_login()
                && kind.touches_host()
                && host.credential.is_none()
                && !host.spec.is_manual
                && host.spec.auth_type != AuthType::Vault
                && kind.is_carried_out()
        };
        let wanted: Vec<Address> =
            request.hosts.iter().filter(|host| lacks(host)).filter_map(|host| host.spec.address()).collect();
        if wanted.is_empty() {
            return Ok(());
        }
        let mut kept: HashMap<Address, _> = self
            .store
            .kept_logins(&wanted)
            .await?
            .into_iter()
            .map(|(address, spec, credential)| (address, (spec, credential)))
            .collect();
        let mut faults = Vec::new();
        for (index, host) in request.hosts.iter_mut().enumerate().filter(|(_, host)| lacks(host)) {
            match host.spec.address().and_then(|address| kept.remove(&address)) {
                Some((spec, credential)) => {
                    host.credential = Some(credential);
                    host.spec.auth_type = spec.auth_type;
                    if !host.names_login {
                        host.spec.account = spec.account;
                        host.spec.port = spec.port;
                        host.spec.login_ip = host.spec.login_ip.or(spec.login_ip);
                    }
                }
                None => faults.push(Fault {
                    path: format!("hosts[{index}].{}", if host.spec.auth_type == AuthType::Key { "key" } else { "password" }),
                    message: "is required: no login of this host is kept".into(),
                    code: code::INVALID,
                }),
            }
        }
        if faults.is_empty() { Ok(()) } else { Err(Rejection::Faults(faults)) }
    }

    /// Which hosts are left out, and why.
    async fn admit(&self, request: &Request) -> Result<Vec<Option<Exclusion>>, Rejection> {
        let addresses: Vec<Option<Address>> = request.hosts.iter().map(|host| host.spec.address()).collect();
        let known: Vec<Address> = addresses.iter().flatten().copied().collect();
        let busy: HashMap<Address, JobId> = self.store.busy(&known).await?.into_iter().collect();
        let mut first: HashMap<Address, usize> = HashMap::new();
        let mut excluded = Vec::with_capacity(request.hosts.len());
        for (index, (host, address)) in request.hosts.iter().zip(&addresses).enumerate() {
            let earlier = address.and_then(|address| {
                let first = *first.entry(address).or_insert(index);
                (first != index).then_some(first)
            });
            let reason = match (earlier, address.and_then(|address| busy.get(&address))) {
                (Some(first), _) => Some(Exclusion::new(Exception::Duplicate, format!("hosts[{first}]"))),
                (None, Some(job)) => Some(Exclusion::new(Exception::Busy, job.to_string())),
                (None, None) => None,
            };
            let no_proxy = self.lacks_proxy(host, request.spec.kind).then(|| Exclusion::new(Exception::NoProxy, ""));
            let blacklisted = address
                .and_then(|address| self.site.blacklisted(address))
                .map(|reason| Exclusion::new(Exception::Blacklisted, reason));
            excluded.push(no_proxy.or(blacklisted).or(reason).or_else(|| unsupported(host, request.spec.kind)));
        }
        Ok(excluded)
    }

    /// F1: an agent host in a cloud without proxy; RESTART needs none (`reference/upstream.md` 2.2).
    fn lacks_proxy(&self, host: &RequestedHost, kind: JobKind) -> bool {
        let cloud = host.spec.bk_cloud_id;
        let has_proxy = self.site.proxy.iter().any(|proxy| proxy.get("cloud").and_then(toml::Value::as_integer) == Some(cloud));
        cloud != 0 && kind.role() == Role::Agent && kind != JobKind::RestartAgent && !has_proxy
    }

    /// Settles which package the job is about, as far as that can be known before the hosts are.
    async fn check_package(&self, request: &mut Request) -> Result<(), Rejection> {
        let spec = &mut request.spec;
        if !spec.kind.installs() {
            return Ok(());
        }
        let index = self.packages.list().await.map_err(ServiceError::from)?;
        let default = self.site.default_package.get(spec.kind.role().word()).map(String::as_str);
        spec.package = plan::choose::settle(&index, spec.kind.role(), &spec.package, default)
            .map_err(|message| Rejection::Faults(vec![Fault { path: "package".into(), message, code: code::INVALID }]))?;
        Ok(())
    }

    fn new_job(&self, request: Request, excluded: Vec<Option<Exclusion>>, caller: &Caller) -> NewJob {
        let outline = plan::outline::outline(request.spec.kind, self.site.limits.script_timeout_s);
        let touches_host = request.spec.kind.touches_host();
        let hosts = request.hosts.into_iter().zip(excluded).map(|(host, exclusion)| NewHost {
            id: TaskId(Uuid::now_v7()),
            credential: host.credential.filter(|_| exclusion.is_none() && touches_host),
            spec: self.task_spec(host.spec, &outline),
            exclusion,
        });
        NewJob { hosts: hosts.collect(), created_by: request.username.unwrap_or_else(|| caller.name.clone()), spec: request.spec }
    }

    /// A host with what the site says of it.
    pub(super) fn task_spec(&self, host: HostSpec, outline: &[Step]) -> TaskSpec {
        let points = self.site.access_points();
        TaskSpec {
            access_point: points.iter().find(|point| point.id == host.ap_id).cloned().unwrap_or_default(),
            cloud_name: self.site.cloud(host.bk_cloud_id).map(|cloud| cloud.name.clone()).unwrap_or_default(),
            outline: outline.to_vec(),
            host,
        }
    }
}

/// What this release knows of but does not carry out (DESIGN 2).
fn unsupported(host: &RequestedHost, kind: JobKind) -> Option<Exclusion> {
    let spec = &host.spec;
    let what = if !kind.is_carried_out() {
        kind.wire_name()
    } else if spec.bk_cloud_id != 0 {
        "bk_cloud_id other than 0"
    } else if spec.install_channel_id.is_some() {
        "install_channel_id"
    } else if spec.is_manual {
        "is_manual"
    } else if spec.auth_type == AuthType::Vault {
        "auth_type TJJ_PASSWORD"
    } else if spec.ap_id == -1 {
        "ap_id -1"
    } else if let Some(os) = spec.os_type.filter(|os| *os != Os::Linux) {
        return Some(Exclusion::new(Exception::Unsupported, format!("os_type {}", os.word())));
    } else {
        return None;
    };
    Some(Exclusion::new(Exception::Unsupported, what))
}
