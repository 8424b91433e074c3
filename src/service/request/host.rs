//! One host of the request: its fields, its login, and whether what it names exists.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::fields::Fields;
use super::login::{self, AUTH_TYPES};
use super::{RequestedHost, SecretSources, code};
use crate::domain::credential::Retention;
use crate::domain::host::{Addressing, AuthType, HostSpec, NEAREST, Os};
use crate::domain::job::JobKind;
use crate::domain::package::Role;
use crate::domain::site::{HostKeyPolicy, Site, target_path};

/// The keys of a host that are read; everything else in it is ignored.
pub const FIELDS: [&str; 31] = [
    "bk_biz_id",
    "bk_cloud_id",
    "bk_host_id",
    "bk_addressing",
    "ap_id",
    "install_channel_id",
    "inner_ip",
    "inner_ipv6",
    "outer_ip",
    "outer_ipv6",
    "login_ip",
    "data_ip",
    "os_type",
    "auth_type",
    "account",
    "port",
    "password",
    "second_password",
    "key",
    "certificate",
    "passphrase",
    "sudo_password",
    "accept_new_host_key",
    "is_manual",
    "retention",
    "peer_exchange_switch_for_agent",
    "bt_speed_limit",
    "enable_compression",
    "data_path",
    "paths",
    "vars",
];

/// Reads one host; its faults are noted in `fields`.
pub(super) fn read(mut fields: Fields<'_>, kind: JobKind, site: &Site, sources: &SecretSources) -> Option<RequestedHost> {
    let before = fields.faults();
    let required = |fields: &mut Fields<'_>, key: &str| {
        let number = fields.integer(key);
        if fields.value(key).is_none() {
            fields.fault(key, "is required");
        }
        number.unwrap_or(0)
    };
    let bk_biz_id = required(&mut fields, "bk_biz_id");
    let bk_cloud_id = required(&mut fields, "bk_cloud_id");
    let os_type: Option<Os> = fields.word("os_type", "LINUX, WINDOWS, AIX, SOLARIS");
    let is_manual = fields.switch("is_manual").unwrap_or(false);
    let inner_ip = fields.parsed::<Ipv4Addr>("inner_ip", "an IPv4 address");
    let inner_ipv6 = fields.parsed::<Ipv6Addr>("inner_ipv6", "an IPv6 address");
    let outer_ip = outer_addresses(&mut fields);
    let outer_ipv6 = fields.parsed("outer_ipv6", "an IPv6 address");
    if fields.value("inner_ip").is_none() && fields.value("inner_ipv6").is_none() {
        fields.fault("inner_ip", "inner_ip or inner_ipv6 is required");
    }
    if kind.role() == Role::Proxy && outer_ip.is_empty() && outer_ipv6.is_none() {
        fields.fault("outer_ip", "outer_ip or outer_ipv6 is required for a proxy");
    }
    let auth_type = fields.word("auth_type", AUTH_TYPES).unwrap_or(AuthType::Password);
    let data_path = fields.target_path("data_path");
    let port = login::port(&mut fields).unwrap_or(22);
    let ap_id = known(&mut fields, bk_biz_id, bk_cloud_id, kind, site);
    let credential = if is_manual { None } else { login::credential(&mut fields, auth_type, (kind, site), sources) };
    let spec = HostSpec {
        bk_biz_id,
        bk_cloud_id,
        // 0 is how clients say that there is none.
        bk_host_id: fields.integer("bk_host_id").filter(|id| *id != 0),
        bk_addressing: addressing(&mut fields),
        ap_id,
        install_channel_id: channel(&mut fields, bk_cloud_id, site),
        inner_ip,
        inner_ipv6,
        outer_ip,
        outer_ipv6,
        login_ip: fields.parsed::<IpAddr>("login_ip", "an IP address"),
        data_ip: fields.parsed::<IpAddr>("data_ip", "an IP address"),
        os_type,
        auth_type,
        account: fields.text("account").unwrap_or_else(|| default_account(os_type).into()),
        port,
        accept_new_host_key: new_host_key(&mut fields, kind, site),
        is_manual,
        retention: Retention(fields.integer("retention").unwrap_or(default_retention(kind))),
        peer_exchange_switch_for_agent: fields.switch("peer_exchange_switch_for_agent").unwrap_or(true),
        bt_speed_limit: fields.count("bt_speed_limit").unwrap_or(0),
        enable_compression: fields.switch("enable_compression").unwrap_or(false),
        data_path,
        paths: fields.paths("paths"),
        vars: fields.vars("vars"),
    };
    windows_paths(&mut fields, &spec);
    let names_auth = fields.value("auth_type").is_some();
    let names_login = fields.value("account").is_some() || fields.value("port").is_some();
    (fields.faults() == before).then_some(RequestedHost { spec, credential, names_login, names_auth })
}

/// A machine that was set up anew has another host key. Whoever says so changes what is pinned: for a reinstall only, and not
/// against the site's word.
fn new_host_key(fields: &mut Fields<'_>, kind: JobKind, site: &Site) -> bool {
    let accepts = fields.switch("accept_new_host_key").unwrap_or(false);
    if accepts && !matches!(kind, JobKind::ReinstallAgent | JobKind::ReinstallProxy) {
        fields.fault("accept_new_host_key", "is for REINSTALL_AGENT and REINSTALL_PROXY");
    }
    if accepts && matches!(site.ssh.host_keys, HostKeyPolicy::Strict | HostKeyPolicy::KnownHosts) {
        fields.fault("accept_new_host_key", "is not for a site whose host_keys is strict or known_hosts");
    }
    accepts
}

/// A host that is said to be Windows has paths of Windows.
fn windows_paths(fields: &mut Fields<'_>, spec: &HostSpec) {
    if spec.os_type != Some(Os::Windows) {
        return;
    }
    let data_path = spec.data_path.as_deref().map(|path| ("data_path".to_owned(), path));
    let paths = spec.paths.given().map(|(name, path)| (format!("paths.{name}"), path));
    for (name, path) in paths.chain(data_path) {
        if let Some(fault) = target_path::windows_fault(path) {
            fields.fault(&name, fault);
        }
    }
}

fn default_account(os: Option<Os>) -> &'static str {
    if os == Some(Os::Windows) { "Administrator" } else { "root" }
}

/// One day; long term for proxies (DESIGN 5).
fn default_retention(kind: JobKind) -> i64 {
    if kind.role() == Role::Proxy { -1 } else { 1 }
}

fn addressing(fields: &mut Fields<'_>) -> Addressing {
    match fields.value("bk_addressing") {
        None => Addressing::Static,
        Some(value) => match value.as_str().map(str::to_owned).unwrap_or_else(|| value.to_string()).as_str() {
            "0" | "static" => Addressing::Static,
            "1" | "dynamic" => Addressing::Dynamic,
            other => {
                fields.fault("bk_addressing", format!("{other} is none of 0, 1, static, dynamic"));
                Addressing::Static
            }
        },
    }
}

/// A comma list of addresses, v4 or v6 (DESIGN 11).
fn outer_addresses(fields: &mut Fields<'_>) -> String {
    let text = fields.text("outer_ip").unwrap_or_default();
    for item in text.split(',').map(str::trim).filter(|item| !item.is_empty()) {
        if item.parse::<IpAddr>().is_err() {
            fields.fault("outer_ip", format!("`{item}` is not an IP address"));
        }
    }
    let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
    items.collect::<Vec<_>>().join(",")
}

/// The install channel: known, and of the host's cloud; -1 stands for the one of its network, or for none.
fn channel(fields: &mut Fields<'_>, cloud: i64, site: &Site) -> Option<i64> {
    let id = fields.integer("install_channel_id")?;
    if id == -1 {
        let ip = |key: &str| fields.value(key)?.as_str()?.trim().parse::<IpAddr>().ok();
        return site.channel_for(cloud, ip("inner_ip").or_else(|| ip("inner_ipv6"))?).map(|channel| channel.id);
    }
    match site.channel(id) {
        None => fields.fault_with("install_channel_id", code::CHANNEL, format!("there is no install channel {id}")),
        Some(channel) if channel.cloud != cloud => {
            let of = channel.cloud;
            fields.fault_with("install_channel_id", code::CHANNEL, format!("install channel {id} is of cloud {of}, not {cloud}"));
        }
        Some(_) => {}
    }
    Some(id)
}

/// Are business, cloud and access point known? Gives the access point's id.
fn known(fields: &mut Fields<'_>, business: i64, cloud: i64, kind: JobKind, site: &Site) -> i64 {
    if fields.value("bk_biz_id").is_some() && !site.knows_business(business) {
        fields.fault_with("bk_biz_id", code::BUSINESS, format!("there is no business {business}"));
    }
    if cloud == 0 && kind.role() == Role::Proxy {
        fields.fault_with("bk_cloud_id", code::PROXY_IN_DIRECT_ZONE, "cloud 0 is reached directly and has no proxies");
    }
    if cloud != 0 && site.cloud(cloud).is_none() {
        fields.fault_with("bk_cloud_id", code::CLOUD, format!("there is no cloud {cloud}"));
    }
    let points = site.access_points();
    let of_cloud = site.cloud(cloud).and_then(|cloud| cloud.access_point);
    match fields.integer("ap_id") {
        // What stands behind proxies does not reach access points: that is for its cloud to say.
        Some(NEAREST) => of_cloud.unwrap_or(NEAREST),
        Some(id) => {
            if !points.iter().any(|point| point.id == id) {
                fields.fault_with("ap_id", code::ACCESS_POINT, format!("there is no access point {id}"));
            }
            id
        }
        None => match (of_cloud, points.as_slice()) {
            (Some(id), _) => id,
            (None, [only]) => only.id,
            (None, _) => {
                fields.fault_with("ap_id", code::ACCESS_POINT, "is required: there are several access points");
                1
            }
        },
    }
}
