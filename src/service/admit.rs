//! Admission: which hosts of a request are left out, and why. What decides is the site, the hosts that other jobs hold, and
//! what is known of each host from finished jobs: its inventory row and the login that is kept.
//!
//! Never here: what is wrong with a body (`request`), the texts of the reasons ([`Exclusion`]). To add a reason:
//! [`Exception`], then its place in [`Known::exclusion`].

use std::collections::HashMap;

use super::request::{Request, RequestedHost};
use super::{Service, ServiceError};
use crate::domain::admission::{Exception, Exclusion};
use crate::domain::caller::Grant;
use crate::domain::credential::Credential;
use crate::domain::host::{Address, Addressing, AuthType, HostSpec, NEAREST, Os};
use crate::domain::id::JobId;
use crate::domain::job::JobKind;
use crate::domain::package::Role;
use crate::domain::site::Site;
use crate::store::HostRow;
use crate::store::page::Known as Which;

/// What is known of the hosts of one request.
struct Known<'a> {
    kind: JobKind,
    site: &'a Site,
    busy: HashMap<Address, JobId>,
    inventory: HashMap<Address, HostRow>,
    logins: HashMap<Address, (HostSpec, Credential)>,
    /// Those that carry, declared or installed by a job.
    proxies: Vec<Address>,
    /// Where each host stands first.
    first: HashMap<Address, usize>,
    /// Whose each number is: of the inventory, of the site, else of the first host of the request that names it.
    ids: HashMap<i64, Address>,
}

impl Service {
    /// Decides on every host, and lends kept logins to those that bring none (DESIGN 2). Nothing is told of any host to a
    /// caller who may not do this.
    pub(super) async fn admit(&self, request: &mut Request, grant: &Grant) -> Result<Vec<Option<Exclusion>>, ServiceError> {
        let kind = request.spec.kind;
        grant.may_do(kind, &request.spec.businesses)?;
        let addresses: Vec<Address> = request.hosts.iter().filter_map(|host| host.spec.address()).collect();
        // A removed host loses its kept login: whose that is has to be known where that is not everybody's business.
        let loses = kind == JobKind::RemoveAgent && grant.businesses().is_some();
        let borrowers: Vec<Address> =
            request.hosts.iter().filter(|host| loses || borrows(kind, host)).filter_map(|host| host.spec.address()).collect();
        let logins = if borrowers.is_empty() { Vec::new() } else { self.store.kept_logins(&borrowers).await? };
        let rows = self.store.known_hosts(Which::At(&addresses)).await?;
        let asked: Vec<i64> = request.hosts.iter().filter_map(|host| host.spec.bk_host_id).collect();
        let numbered = self.store.host_ids(Which::Numbered(&asked)).await?;
        let declared = self.site.proxy.iter().filter_map(|proxy| Some((proxy.host_id?, proxy.address()?)));
        let mut known = Known {
            kind,
            site: &self.site,
            busy: self.store.busy(&addresses).await?.into_iter().collect(),
            inventory: rows.into_iter().map(|row| (row.address, row)).collect(),
            proxies: self.carrying().await?,
            logins: self.declared_logins(&borrowers).chain(logins).map(|(host, spec, login)| (host, (spec, login))).collect(),
            first: HashMap::new(),
            ids: numbered.into_iter().map(|(host, id)| (id, host)).chain(declared).collect(),
        };
        let mut excluded = Vec::with_capacity(request.hosts.len());
        for (index, host) in request.hosts.iter_mut().enumerate() {
            let exclusion = known.exclusion(index, host);
            // A plan shows also what is not carried out yet.
            if exclusion.as_ref().is_none_or(|exclusion| exclusion.exception == Exception::Unsupported) {
                grant.may_do(kind, &known.owners(host))?;
            }
            if let (None, true) = (&exclusion, borrows(kind, host)) {
                known.lend(host);
            }
            known.place(&mut host.spec);
            excluded.push(exclusion);
        }
        Ok(excluded)
    }
}

impl Service {
    /// The proxies that carry connections into their clouds.
    pub(super) async fn carrying(&self) -> Result<Vec<Address>, ServiceError> {
        Ok(self.store.proxies().await?.carrying(self.site.proxies()))
    }
}

/// Does the host need a login that the request does not bring? Where a request must bring one, its checks said so already.
fn borrows(kind: JobKind, host: &RequestedHost) -> bool {
    !kind.needs_login() && kind.touches_host() && host.credential.is_none() && !host.spec.is_manual
}

impl Known<'_> {
    /// Why a host is left out, if it is: the first reason that holds.
    fn exclusion(&mut self, index: usize, host: &RequestedHost) -> Option<Exclusion> {
        let address = host.spec.address()?;
        let first = *self.first.entry(address).or_insert(index);
        let holder = host.spec.bk_host_id.map(|id| *self.ids.entry(id).or_insert(address));
        let duplicate = (first != index).then(|| Exclusion::new(Exception::Duplicate, format!("hosts[{first}]")));
        self.no_proxy(host)
            .or_else(|| self.site.blacklisted(address).map(|reason| Exclusion::new(Exception::Blacklisted, reason)))
            .or(duplicate)
            .or_else(|| self.busy.get(&address).map(|job| Exclusion::new(Exception::Busy, job.to_string())))
            .or_else(|| self.identity(address, host))
            .or_else(|| elsewhere(address, holder))
            .or_else(|| unsupported(host, self.kind))
            .or_else(|| self.login(address, host))
    }

    /// F1: an agent host in a cloud without proxy; RESTART needs none (`reference/upstream.md` 2.2).
    fn no_proxy(&self, host: &RequestedHost) -> Option<Exclusion> {
        let cloud = host.spec.bk_cloud_id;
        let has_proxy = self.proxies.iter().any(|proxy| proxy.cloud == cloud);
        let lacks = cloud != 0 && self.kind.role() == Role::Agent && self.kind != JobKind::RestartAgent && !has_proxy;
        lacks.then(|| Exclusion::new(Exception::NoProxy, ""))
    }

    /// F2 to F4 for installs, F6 and F7 for everything else: is the host who the request says it is?
    fn identity(&self, address: Address, host: &RequestedHost) -> Option<Exclusion> {
        let spec = &host.spec;
        let row = self.inventory.get(&address);
        let is_proxy = self.proxies.contains(&address);
        match self.kind {
            JobKind::InstallProxy => None,
            JobKind::InstallAgent | JobKind::ReplaceProxy => {
                let known = &row?.spec;
                if spec.bk_addressing == Addressing::Dynamic {
                    return Some(Exclusion::new(Exception::AgentAlive, address.ip.to_string()));
                }
                if known.bk_biz_id != spec.bk_biz_id {
                    return Some(Exclusion::new(Exception::IpInUse, self.business(known.bk_biz_id)));
                }
                let rebound =
                    known.inner_ipv6.filter(|bound| spec.inner_ip.is_some() && spec.inner_ipv6.is_some_and(|v6| v6 != *bound));
                rebound.map(|bound| Exclusion::new(Exception::Ipv6Rebound, bound.to_string()))
            }
            _ => {
                let role = if is_proxy { Some(Role::Proxy) } else { row.map(|row| row.role) };
                if let Some(role) = role.filter(|role| *role != self.kind.role()) {
                    return Some(Exclusion::new(Exception::NodeTypeMismatch, role.word().to_uppercase()));
                }
                let declared = || self.site.proxy_at(address).and_then(|proxy| proxy.host_id);
                let known = row.and_then(|row| row.spec.bk_host_id).or_else(declared);
                let differs = known.zip(spec.bk_host_id).filter(|(known, asked)| known != asked);
                differs.map(|(known, _)| Exclusion::new(Exception::HostIdMismatch, known.to_string()))
            }
        }
    }

    /// F5 and F8 to F10: how to log in to a host whose login the request leaves out?
    fn login(&self, address: Address, host: &RequestedHost) -> Option<Exclusion> {
        if !borrows(self.kind, host) {
            return None;
        }
        let exception = match self.logins.get(&address) {
            Some((kept, _)) if host.names_auth && kept.auth_type != host.spec.auth_type => match host.spec.auth_type {
                AuthType::Key => Exception::KeyRequired,
                AuthType::Password | AuthType::Agent | AuthType::Vault => Exception::PasswordRequired,
            },
            Some(_) => return None,
            None if self.inventory.contains_key(&address) => Exception::CredentialExpired,
            None => Exception::NotInstalled,
        };
        Some(Exclusion::new(exception, ""))
    }

    /// The businesses that a host belongs to: what request, inventory and site say of it, and whose kept login it is. A
    /// request that calls another one's host its own must not get at it.
    fn owners(&self, host: &RequestedHost) -> Vec<i64> {
        let address = host.spec.address();
        let known = address.and_then(|address| self.inventory.get(&address)).map(|row| row.spec.bk_biz_id);
        let kept = address.and_then(|address| self.logins.get(&address)).map(|(spec, _)| spec.bk_biz_id);
        let declared = address.and_then(|address| self.site.proxy_at(address)).and_then(|proxy| proxy.business);
        [Some(host.spec.bk_biz_id), known, kept, declared].into_iter().flatten().collect()
    }

    fn lend(&self, host: &mut RequestedHost) {
        let kept = host.spec.address().and_then(|address| self.logins.get(&address));
        let Some((spec, credential)) = kept else { return };
        host.credential = Some(credential.clone());
        host.spec.auth_type = spec.auth_type;
        if !host.names_login {
            host.spec.account.clone_from(&spec.account);
            host.spec.port = spec.port;
            host.spec.login_ip = host.spec.login_ip.or(spec.login_ip);
        }
    }

    /// A host that asks for the nearest access point, and is acted on as it is, has the one it was installed with.
    fn place(&self, spec: &mut HostSpec) {
        if spec.ap_id != NEAREST || self.kind.installs() {
            return;
        }
        let known = spec.address().and_then(|address| self.inventory.get(&address)).map(|row| row.spec.ap_id);
        let points = self.site.access_points();
        spec.ap_id = known.filter(|id| points.iter().any(|point| point.id == *id)).unwrap_or(NEAREST);
    }

    /// A business by name, else by number.
    fn business(&self, id: i64) -> String {
        let name = self.site.business_name(id);
        if name.is_empty() { id.to_string() } else { format!("{name} ({id})") }
    }
}

/// A number belongs to one host: one that is another's is no number of this one.
fn elsewhere(address: Address, holder: Option<Address>) -> Option<Exclusion> {
    let other = holder.filter(|holder| *holder != address)?;
    Some(Exclusion::new(Exception::HostIdMismatch, other.to_string()))
}

/// Agents everywhere, proxies on Linux.
fn is_served(os: Os, role: Role) -> bool {
    os == Os::Linux || role != Role::Proxy
}

/// What this release knows of but does not carry out (DESIGN 2).
fn unsupported(host: &RequestedHost, kind: JobKind) -> Option<Exclusion> {
    let spec = &host.spec;
    let what = if spec.is_manual && kind.touches_host() && !kind.can_be_by_hand() {
        return Some(Exclusion::new(Exception::Unsupported, format!("is_manual {}", kind.wire_name())));
    } else if spec.is_manual && spec.ap_id == NEAREST {
        "is_manual with ap_id -1"
    } else if let Some(os) = spec.os_type.filter(|os| !is_served(*os, kind.role())) {
        return Some(Exclusion::new(Exception::Unsupported, format!("os_type {}", os.word())));
    } else {
        return None;
    };
    Some(Exclusion::new(Exception::Unsupported, what))
}
