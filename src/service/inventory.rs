//! What is known of hosts: those of finished jobs, and the proxies that the site declares.
//!
//! Never here: what is done with them (`operate`), secrets.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use serde::Serialize;
use serde_json::Value;

use super::request::values::{both, ip, items, number, text};
use super::{Service, ServiceError};
use crate::domain::Timestamp;
use crate::domain::host::{Address, Os};
use crate::domain::id::JobId;
use crate::domain::package::Role;
use crate::domain::site::{Proxy, Site};
use crate::store::page::Page;
use crate::store::{HostRow, Proxies};

// What the doors need of the record's lists.
pub use crate::store::page::HostFilter;

/// Which hosts a list shows.
#[derive(Clone, Debug, Default)]
pub struct HostQuery {
    /// What the inventory is asked for.
    pub filter: HostFilter,
}

/// A page of the inventory.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub struct HostList {
    /// Hosts on all pages.
    pub total: u64,
    /// Those of this page: declared proxies first, then hosts by number.
    pub list: Vec<HostLine>,
}

/// One host of the inventory. What is not known is null.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub struct HostLine {
    /// Its number.
    pub bk_host_id: Option<i64>,
    /// Its cloud.
    pub bk_cloud_id: i64,
    /// Name of its cloud.
    pub bk_cloud_name: String,
    /// Its business.
    pub bk_biz_id: Option<i64>,
    /// Name of its business.
    pub bk_biz_name: String,
    /// Inner address, v4.
    #[schema(value_type = Option<String>)]
    pub inner_ip: Option<Ipv4Addr>,
    /// Inner address, v6.
    #[schema(value_type = Option<String>)]
    pub inner_ipv6: Option<Ipv6Addr>,
    /// Its system.
    pub os_type: Option<Os>,
    /// CPU of what is installed.
    pub cpu_arch: Option<String>,
    /// `AGENT` or `PROXY`.
    pub node_type: String,
    /// Its access point.
    pub ap_id: Option<i64>,
    /// What is installed.
    pub package: Option<String>,
    /// In which version.
    pub version: Option<String>,
    /// The job that installed it.
    #[schema(value_type = Option<i64>)]
    pub job_id: Option<JobId>,
    /// When.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub registered_at: Option<Timestamp>,
    /// Is a login kept, or declared?
    pub has_credential: bool,
    /// Until when; null also when it is kept without end.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub credential_until: Option<Timestamp>,
}

impl Service {
    /// A page of the inventory.
    ///
    /// # Errors
    /// When the record cannot be read.
    pub async fn host_page(&self, query: &HostQuery, page: Page) -> Result<HostList, ServiceError> {
        let proxies = self.declared_proxies(query).await?;
        let before = proxies.len() as u64;
        let limit = page.limit.map_or(usize::MAX, |limit| limit as usize);
        let offset = usize::try_from(page.offset).unwrap_or(usize::MAX);
        let mut list: Vec<HostLine> =
            proxies.into_iter().skip(offset).take(limit).map(|proxy| of_proxy(proxy, &self.site)).collect();
        let rest = page.limit.map(|limit| limit.saturating_sub(u32::try_from(list.len()).unwrap_or(u32::MAX)));
        let page = Page { offset: page.offset.saturating_sub(before), limit: rest };
        let (known, rows) = self.store.host_page(&query.filter, page).await?;
        let places: Vec<Address> = rows.iter().map(|row| row.address).collect();
        let kept: HashMap<Address, Option<Timestamp>> = self.store.logins_kept_until(&places).await?.into_iter().collect();
        list.extend(rows.into_iter().map(|row| {
            let until = kept.get(&row.address).copied();
            of_host(row, &self.site, until)
        }));
        Ok(HostList { total: before + known, list })
    }
}

impl HostQuery {
    /// What hosts may be chosen by.
    pub const KEYS: [&str; 9] =
        ["node_type", "bk_host_id", "bk_biz_id", "bk_cloud_id", "ap_id", "ip", "os_type", "package", "version"];

    /// Chooses by one more key, a value or a list of them. The places of values that are not understood; `None` when there is
    /// no such key.
    pub fn narrow(&mut self, key: &str, value: &Value) -> Option<Vec<usize>> {
        let role = |value: &Value| match value.as_str() {
            Some("AGENT") => Some(Role::Agent),
            Some("PROXY") => Some(Role::Proxy),
            _ => None,
        };
        let system = |value: &Value| serde_json::from_value(value.clone()).ok();
        let filter = &mut self.filter;
        Some(match key {
            "node_type" => both(&mut filter.roles, items(value, role)),
            "bk_host_id" => both(&mut filter.ids, items(value, number)),
            "bk_biz_id" => both(&mut filter.businesses, items(value, number)),
            "bk_cloud_id" => both(&mut filter.clouds, items(value, number)),
            "ap_id" => both(&mut filter.access_points, items(value, number)),
            "ip" | "inner_ip" | "inner_ipv6" => both(&mut filter.ips, items(value, ip)),
            "os_type" => both(&mut filter.systems, items(value, system)),
            "package" => both(&mut filter.packages, items(value, text)),
            "version" => both(&mut filter.versions, items(value, text)),
            _ => return None,
        })
    }

    /// Leaves hosts of other businesses out, those of none among them; `None`: leaves out none.
    pub fn keep_within(&mut self, businesses: Option<&[i64]>) {
        let Some(allowed) = businesses else { return };
        let asked = self.filter.businesses.get_or_insert_with(|| allowed.to_vec());
        asked.retain(|id| allowed.contains(id));
    }

    /// Are nodes of this kind among those that are meant?
    fn means(&self, role: Role) -> bool {
        self.filter.roles.as_ref().is_none_or(|roles| roles.contains(&role))
    }
}

impl Service {
    /// The declared proxies that are meant and of which the record says nothing else: that a job installed them, or another one
    /// replaced them.
    pub(super) async fn declared_proxies(&self, query: &HostQuery) -> Result<Vec<&Proxy>, ServiceError> {
        if !query.means(Role::Proxy) {
            return Ok(Vec::new());
        }
        let Proxies { known, retired, .. } = self.store.proxies().await?;
        let is_recorded = |place: Address| retired.contains(&place) || known.iter().any(|row| row.address == place);
        let meant = self.site.proxy.iter().filter(|proxy| fits(&query.filter, proxy));
        Ok(meant.filter(|proxy| !proxy.address().is_some_and(is_recorded)).collect())
    }
}

/// Is a proxy meant, as far as the site says anything of it?
fn fits(filter: &HostFilter, proxy: &Proxy) -> bool {
    let HostFilter { ids, excluded, roles: _, businesses, clouds, access_points, ips, systems, packages, versions } = filter;
    let has = |wanted: &Option<Vec<i64>>, value: Option<i64>| {
        wanted.as_ref().is_none_or(|wanted| value.is_some_and(|value| wanted.contains(&value)))
    };
    let inner = [proxy.inner_ip.map(IpAddr::V4), proxy.inner_ipv6.map(IpAddr::V6)];
    has(ids, proxy.host_id)
        && !proxy.host_id.is_some_and(|id| excluded.contains(&id))
        && has(businesses, proxy.business)
        && has(clouds, Some(proxy.cloud))
        && ips.as_ref().is_none_or(|ips| inner.iter().flatten().any(|ip| ips.contains(ip)))
        // None of these is known of it.
        && access_points.is_none()
        && systems.is_none()
        && packages.is_none()
        && versions.is_none()
}

fn node_type(role: Role) -> String {
    role.word().to_uppercase()
}

fn cloud_name(site: &Site, cloud: i64) -> String {
    site.cloud(cloud).map(|cloud| cloud.name.clone()).unwrap_or_default()
}

fn of_proxy(proxy: &Proxy, site: &Site) -> HostLine {
    HostLine {
        bk_host_id: proxy.host_id,
        bk_cloud_id: proxy.cloud,
        bk_cloud_name: cloud_name(site, proxy.cloud),
        bk_biz_id: proxy.business,
        bk_biz_name: proxy.business.map(|id| site.business_name(id).to_owned()).unwrap_or_default(),
        inner_ip: proxy.inner_ip,
        inner_ipv6: proxy.inner_ipv6,
        os_type: None,
        cpu_arch: None,
        node_type: node_type(Role::Proxy),
        ap_id: None,
        package: None,
        version: None,
        job_id: None,
        registered_at: None,
        has_credential: proxy.password.is_some() || proxy.key.is_some(),
        credential_until: None,
    }
}

/// `kept`: until when its login is kept, where one is.
fn of_host(row: HostRow, site: &Site, kept: Option<Option<Timestamp>>) -> HostLine {
    let HostRow { spec, package, version, cpu, role, job, at, .. } = row;
    HostLine {
        bk_host_id: spec.bk_host_id,
        bk_cloud_id: spec.bk_cloud_id,
        bk_cloud_name: cloud_name(site, spec.bk_cloud_id),
        bk_biz_id: Some(spec.bk_biz_id),
        bk_biz_name: site.business_name(spec.bk_biz_id).to_owned(),
        inner_ip: spec.inner_ip,
        inner_ipv6: spec.inner_ipv6,
        os_type: spec.os_type,
        cpu_arch: Some(cpu).filter(|cpu| !cpu.is_empty()),
        node_type: node_type(role),
        ap_id: Some(spec.ap_id),
        package: Some(package),
        version: Some(version),
        job_id: Some(job),
        registered_at: Some(at),
        has_credential: kept.is_some(),
        credential_until: kept.flatten(),
    }
}
