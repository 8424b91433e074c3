//! One host of the request: its fields, its login, and whether what it names exists.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::Path;

use secrecy::ExposeSecret;
use serde_json::Value;

use super::fields::{Fields, is_target_path};
use super::{RequestedHost, SecretSources, code};
use crate::domain::credential::{Auth, Credential, Retention, Secret};
use crate::domain::host::{Addressing, AuthType, HostSpec, Os};
use crate::domain::job::JobKind;
use crate::domain::package::Role;
use crate::domain::site::Site;

/// The keys of a host that are read; everything else in it is ignored.
pub const FIELDS: [&str; 28] = [
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
    "key",
    "passphrase",
    "sudo_password",
    "is_manual",
    "retention",
    "peer_exchange_switch_for_agent",
    "bt_speed_limit",
    "enable_compression",
    "data_path",
    "paths",
    "vars",
];

/// Those of them that are secrets: text, or a reference where references are allowed.
pub const SECRETS: [&str; 4] = ["password", "key", "passphrase", "sudo_password"];

/// Largest file a secret is read from: a private key with comments stays far below.
const SECRET_FILE_CAP: u64 = 64 * 1024;

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
    let auth_type = fields.word("auth_type", "PASSWORD, KEY, TJJ_PASSWORD").unwrap_or(AuthType::Password);
    let data_path = fields.text("data_path");
    if data_path.as_deref().is_some_and(|path| !is_target_path(path)) {
        fields.fault("data_path", "must be an absolute path without `..`");
    }
    let port = port(&mut fields);
    let ap_id = known(&mut fields, bk_biz_id, bk_cloud_id, kind, site);
    let credential = if is_manual { None } else { credential(&mut fields, auth_type, kind, sources) };
    let spec = HostSpec {
        bk_biz_id,
        bk_cloud_id,
        // 0 is how clients say that there is none.
        bk_host_id: fields.integer("bk_host_id").filter(|id| *id != 0),
        bk_addressing: addressing(&mut fields),
        ap_id,
        install_channel_id: fields.integer("install_channel_id"),
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
        is_manual,
        retention: Retention(fields.integer("retention").unwrap_or(default_retention(kind))),
        peer_exchange_switch_for_agent: fields.switch("peer_exchange_switch_for_agent").unwrap_or(true),
        bt_speed_limit: fields.count("bt_speed_limit").unwrap_or(0),
        enable_compression: fields.switch("enable_compression").unwrap_or(false),
        data_path,
        paths: fields.paths("paths"),
        vars: fields.object("vars"),
    };
    let names_auth = fields.value("auth_type").is_some();
    let names_login = fields.value("account").is_some() || fields.value("port").is_some();
    (fields.faults() == before).then_some(RequestedHost { spec, credential, names_login, names_auth })
}

fn default_account(os: Option<Os>) -> &'static str {
    if os == Some(Os::Windows) { "Administrator" } else { "root" }
}

/// One day; long term for proxies (DESIGN 5).
fn default_retention(kind: JobKind) -> i64 {
    if kind.role() == Role::Proxy { -1 } else { 1 }
}

fn port(fields: &mut Fields<'_>) -> u16 {
    let Some(number) = fields.integer("port") else { return 22 };
    match u16::try_from(number) {
        Ok(port) if port > 0 => port,
        _ => {
            fields.fault("port", format!("{number} must be between 1 and 65535"));
            22
        }
    }
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
    text
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
    match fields.integer("ap_id") {
        Some(-1) => -1,
        Some(id) => {
            if !points.iter().any(|point| point.id == id) {
                fields.fault_with("ap_id", code::ACCESS_POINT, format!("there is no access point {id}"));
            }
            id
        }
        None => match (site.cloud(cloud).and_then(|cloud| cloud.access_point), points.as_slice()) {
            (Some(id), _) => id,
            (None, [only]) => only.id,
            (None, _) => {
                fields.fault_with("ap_id", code::ACCESS_POINT, "is required: there are several access points");
                1
            }
        },
    }
}

/// The login that the request brings. `None` with a fault when one is needed and not there; `None` without a fault when a
/// kept one may stand in.
fn credential(fields: &mut Fields<'_>, auth_type: AuthType, kind: JobKind, sources: &SecretSources) -> Option<Credential> {
    let password = secret(fields, "password", sources).or_else(|| match auth_type {
        AuthType::Password => sources.asked.clone(),
        AuthType::Key | AuthType::Vault => None,
    });
    let key = secret(fields, "key", sources);
    let passphrase = secret(fields, "passphrase", sources);
    let sudo = secret(fields, "sudo_password", sources);
    let missing = |fields: &mut Fields<'_>, name: &str| {
        if kind.needs_login() && fields.value(name).is_none() {
            fields.fault(name, format!("is required when auth_type is {}", if name == "key" { "KEY" } else { "PASSWORD" }));
        }
    };
    match auth_type {
        AuthType::Password => match password {
            Some(password) => {
                Some(Credential { sudo_password: sudo.or_else(|| Some(password.clone())), auth: Auth::Password(password) })
            }
            None => {
                missing(fields, "password");
                None
            }
        },
        AuthType::Key => match key {
            Some(pem) => Some(Credential {
                sudo_password: sudo.or_else(|| password.clone()),
                auth: Auth::Key { pem, passphrase: passphrase.or(password) },
            }),
            None => {
                missing(fields, "key");
                None
            }
        },
        // The vault is asked at run time.
        AuthType::Vault => None,
    }
}

/// A secret: text, or in a job file `{"env": NAME}` or `{"file": PATH}`.
fn secret(fields: &mut Fields<'_>, key: &str, sources: &SecretSources) -> Option<Secret> {
    match fields.value(key)? {
        Value::String(text) if text.contains('\0') => {
            fields.fault(key, "must not contain a NUL byte");
            None
        }
        Value::String(_) if sources.exposed => {
            fields.fault(key, "may not be sent in clear: call over TLS");
            None
        }
        Value::String(text) => Some(Secret::from(text.clone())),
        Value::Object(reference) if reference.len() == 1 && sources.references => {
            let read = match (reference.get("env"), reference.get("file")) {
                (Some(Value::String(name)), None) => from_env(name),
                (None, Some(Value::String(path))) => from_file(&sources.base.join(path)),
                _ => Err("must be text, {\"env\": NAME} or {\"file\": PATH}".into()),
            };
            match read {
                Ok(secret) if secret.expose_secret().is_empty() => {
                    fields.fault(key, "is empty");
                    None
                }
                Ok(secret) => Some(secret),
                Err(message) => {
                    fields.fault(key, message);
                    None
                }
            }
        }
        Value::Object(_) if !sources.references => {
            fields.fault(key, "must be text: references are for job files only");
            None
        }
        _ => {
            fields.fault(key, "must be text, {\"env\": NAME} or {\"file\": PATH}");
            None
        }
    }
}

fn from_env(name: &str) -> Result<Secret, String> {
    crate::config::caller_variable(name).map(Secret::from).ok_or_else(|| format!("the environment has no variable {name}"))
}

/// A file's text without the newline an editor puts at its end.
fn from_file(path: &Path) -> Result<Secret, String> {
    crate::config::secret_file(path, SECRET_FILE_CAP)
        .map(|text| {
            Secret::from(text.strip_suffix('\n').map(|text| text.strip_suffix('\r').unwrap_or(text)).unwrap_or(&text).to_owned())
        })
        .map_err(|error| format!("cannot read {}: {error}", path.display()))
}
