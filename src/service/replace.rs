//! REPLACE_PROXY at the door: which proxy is meant, and what becomes of it in the job.
//!
//! The job has two hosts: the new proxy, which is installed like any other, and the old one, which goes out of service when the
//! new one is proved (`engine::steps::retire`).
//!
//! Never here: what is done on either host.

use serde_json::Value;
use uuid::Uuid;

use super::request::{self, Fault, Request, code};
use super::{Service, ServiceError};
use crate::config;
use crate::domain::admission::{Exception, Exclusion};
use crate::domain::caller::Grant;
use crate::domain::credential::{Auth, Credential, Retention};
use crate::domain::host::{Address, HostSpec};
use crate::domain::id::TaskId;
use crate::domain::job::JobKind;
use crate::domain::package::Role;
use crate::domain::site::Proxy;
use crate::domain::spec::{Part, TaskSpec};
use crate::plan::{self, task::Place};
use crate::store::NewHost;
use crate::store::page::Known;

/// The proxy that is replaced.
#[derive(Debug)]
pub(super) struct Replaced {
    pub(super) spec: HostSpec,
    pub(super) address: Address,
    /// Its login, as far as one is kept or declared.
    credential: Option<Credential>,
}

impl Service {
    /// The proxy that a body wants replaced, or what is wrong with that.
    pub(super) async fn replaced(&self, body: &Value) -> Result<Result<Option<Replaced>, Fault>, ServiceError> {
        let Some(id) = request::replaces(body) else { return Ok(Ok(None)) };
        let fault = |message: String| Ok(Err(Fault { path: "replace_host_id".into(), message, code: code::NO_HOST }));
        match self.store.known_hosts(Known::Numbered(&[id])).await?.into_iter().next() {
            Some(row) if row.role == Role::Proxy => {
                let kept = self.store.kept_logins(&[row.address]).await?.into_iter().next();
                let (spec, credential) = match kept {
                    Some((_, login, credential)) => (with_login(row.spec, &login), Some(credential)),
                    None => (row.spec, None),
                };
                Ok(Ok(Some(Replaced { spec, address: row.address, credential })))
            }
            Some(row) => fault(format!("host {id} ({}) is an agent, no proxy", row.address)),
            None => match self.site.proxy_numbered(id).and_then(|proxy| Some((proxy, proxy.address()?))) {
                Some((_, address)) if self.store.proxies().await?.retired.contains(&address) => {
                    fault(format!("proxy {id} ({address}) was replaced already: take it out of the site file"))
                }
                Some((proxy, address)) => {
                    let spec = self.declared(proxy);
                    Ok(Ok(Some(Replaced { spec, address, credential: login(proxy) })))
                }
                None => fault(format!("there is no host {id} in the inventory")),
            },
        }
    }

    /// The logins that the site file has for some hosts.
    pub(super) fn declared_logins(&self, hosts: &[Address]) -> impl Iterator<Item = (Address, HostSpec, Credential)> {
        hosts.iter().filter_map(|host| {
            let proxy = self.site.proxy_at(*host)?;
            Some((*host, self.declared(proxy), login(proxy)?))
        })
    }

    /// A proxy of the site file as a host.
    fn declared(&self, proxy: &Proxy) -> HostSpec {
        let access_point = self.site.cloud(proxy.cloud).and_then(|cloud| cloud.access_point);
        proxy.host(access_point.or(self.site.access_points().first().map(|point| point.id)).unwrap_or_default())
    }

    /// What is wrong with replacing that proxy by the host of this request.
    pub(super) fn replacement_faults(&self, request: &Request, replaced: &Replaced) -> Vec<Fault> {
        let mut faults = Vec::new();
        let mut fault = |path: &str, message: String| faults.push(Fault { path: path.into(), message, code: code::INVALID });
        if request.hosts.len() != 1 {
            fault("hosts", format!("one host replaces a proxy, not {}", request.hosts.len()));
        }
        for (index, host) in request.hosts.iter().enumerate() {
            let new = host.spec.address();
            if new == Some(replaced.address) {
                fault("replace_host_id", format!("{} cannot replace itself: REINSTALL_PROXY installs it anew", replaced.address));
            } else if new.is_some_and(|new| new.cloud != replaced.address.cloud) {
                let cloud = replaced.address.cloud;
                fault(&format!("hosts[{index}].bk_cloud_id"), format!("the proxy that is replaced is of cloud {cloud}"));
            }
        }
        faults
    }

    /// Nothing is replaced while another job has the old proxy, or by whoever may not touch it.
    pub(super) async fn replaced_is_free(
        &self,
        replaced: &Replaced,
        grant: &Grant,
        excluded: &mut [Option<Exclusion>],
    ) -> Result<(), ServiceError> {
        grant.may_do(JobKind::ReplaceProxy, &[replaced.spec.bk_biz_id])?;
        if let Some((_, job)) = self.store.busy(&[replaced.address]).await?.first() {
            for exclusion in excluded.iter_mut().filter(|exclusion| exclusion.is_none()) {
                *exclusion = Some(Exclusion::new(Exception::Busy, job.to_string()));
            }
        }
        Ok(())
    }

    /// The old proxy as a host of the job.
    pub(super) fn retired(&self, replaced: Replaced, repoint_agents: bool) -> NewHost {
        let place = Place { site: &self.site, kind: JobKind::UninstallProxy, carrying: &[] };
        let outline = plan::outline::retirement(repoint_agents, self.site.limits.script_timeout_s);
        // Its login is needed until it is gone: a day is left for another try.
        let host = HostSpec { retention: Retention(1), ..replaced.spec };
        let spec = TaskSpec { part: Part::Retired, ..plan::task::spec(&place, host, &outline) };
        NewHost { id: TaskId(Uuid::now_v7()), spec, credential: replaced.credential, exclusion: None }
    }
}

/// A host with the way in that belongs to its kept login.
fn with_login(spec: HostSpec, login: &HostSpec) -> HostSpec {
    HostSpec { account: login.account.clone(), port: login.port, auth_type: login.auth_type, login_ip: login.login_ip, ..spec }
}

/// What the site file says of its login. One that cannot be read here is none: the job says so where it needs it.
fn login(proxy: &Proxy) -> Option<Credential> {
    let read = |given: &Option<crate::domain::site::Given>| given.as_ref().and_then(|given| config::given(given).ok());
    let password = read(&proxy.password);
    let sudo_password = read(&proxy.sudo_password).or_else(|| password.clone());
    let auth = match (read(&proxy.key), password) {
        (Some(pem), password) => Auth::Key { pem, passphrase: read(&proxy.passphrase).or(password) },
        (None, password) => Auth::Password(password?),
    };
    Some(Credential { auth, sudo_password })
}
