//! Operations on hosts that are known: named by number, or by cloud and address, or chosen over all pages of the inventory.
//! They become the submission that an install would be, with what is known of each host filled in.
//!
//! Never here: admission and recording (`submit`).

use std::collections::HashMap;
use std::net::IpAddr;

use serde_json::{Map, Value, json};

use super::inventory::HostQuery;
use super::request::values::{self, items};
use super::request::{Fault, Fields, SECRETS, code};
use super::submit::Rejection;
use super::{Service, ServiceError};
use crate::domain::caller::Grant;
use crate::domain::host::Address;
use crate::domain::job::JobKind;
use crate::domain::package::Role;
use crate::domain::site::Proxy;
use crate::store::HostRow;
use crate::store::page::{Known, Page};

/// What says that hosts are chosen over all pages: those that are left out, none of them if it is empty. Without it nothing
/// is chosen: a request that lost its hosts on the way must not reach all there are.
const MARK: &str = "exclude_hosts";

/// What they are chosen by.
const CHOICE: [&str; 3] = ["conditions", "bk_biz_id", "version"];

/// Hosts of an operation.
enum Meant {
    Named(Vec<Asked>),
    Chosen(Box<HostQuery>),
}

/// One host of an operation.
struct Asked {
    /// Where it stands in the body.
    path: String,
    name: Name,
    /// What the entry says of it.
    given: Map<String, Value>,
}

enum Name {
    Number(i64),
    At(Address),
}

impl Service {
    /// The submission that an operation stands for.
    ///
    /// # Errors
    /// [`Rejection::Faults`]: everything wrong with it, each unknown host among it.
    pub async fn expand(&self, body: &Value, grant: &Grant) -> Result<Value, Rejection> {
        let mut faults = Vec::new();
        let empty = Map::new();
        let object = body.as_object().unwrap_or(&empty);
        let hosts = match read(&mut Fields::new(object, String::new(), &mut faults)) {
            Meant::Named(asked) => self.named(asked, &mut faults).await?,
            // A choice that is not understood reaches nobody.
            Meant::Chosen(mut query) if faults.is_empty() => {
                // Whoever sees a part of the inventory only means that.
                query.keep_within(grant.businesses());
                self.chosen(&query, &mut faults).await?
            }
            Meant::Chosen(_) => Vec::new(),
        };
        if !faults.is_empty() {
            return Err(Rejection::Faults(faults));
        }
        let mut submission = object.clone();
        submission.remove("bk_host_id");
        submission.insert("hosts".into(), hosts.into());
        Ok(Value::Object(submission))
    }

    async fn named(&self, asked: Vec<Asked>, faults: &mut Vec<Fault>) -> Result<Vec<Value>, ServiceError> {
        let rows = self.rows(&asked).await?;
        let mut hosts = Vec::with_capacity(asked.len());
        for host in asked {
            let declared = match host.name {
                Name::Number(id) => self.site.proxy_numbered(id),
                Name::At(address) => self.site.proxy_at(address),
            };
            match (declared, rows.of(&host.name)) {
                // What a job installed there is known better than what was declared.
                (_, Some(row)) => hosts.push(filled_in(row, host.given)),
                (Some(proxy), None) => hosts.push(over(of_proxy(proxy), host.given)),
                (None, None) => faults.push(unknown(host.path, "there is no such host in the inventory")),
            }
        }
        Ok(hosts)
    }

    async fn chosen(&self, query: &HostQuery, faults: &mut Vec<Fault>) -> Result<Vec<Value>, ServiceError> {
        let mut hosts: Vec<Value> =
            self.declared_proxies(query).await?.into_iter().map(|proxy| over(of_proxy(proxy), Map::new())).collect();
        let (_, rows) = self.store.host_page(&query.filter, Page { offset: 0, limit: None }).await?;
        hosts.extend(rows.iter().map(|row| filled_in(row, Map::new())));
        if hosts.is_empty() {
            faults.push(unknown(MARK.into(), "no host of the inventory is chosen"));
        }
        Ok(hosts)
    }

    async fn rows(&self, asked: &[Asked]) -> Result<Rows, ServiceError> {
        let (mut numbers, mut places) = (Vec::new(), Vec::new());
        for host in asked {
            match host.name {
                Name::Number(number) => numbers.push(number),
                Name::At(address) => places.push(address),
            }
        }
        let numbered = self.store.known_hosts(Known::Numbered(&numbers)).await?;
        let at = self.store.known_hosts(Known::At(&places)).await?;
        Ok(Rows {
            numbered: numbered.into_iter().filter_map(|row| Some((row.spec.bk_host_id?, row))).collect(),
            at: at.into_iter().map(|row| (row.address, row)).collect(),
        })
    }
}

/// What the inventory has of the hosts of an operation.
struct Rows {
    numbered: HashMap<i64, HostRow>,
    at: HashMap<Address, HostRow>,
}

impl Rows {
    fn of(&self, name: &Name) -> Option<&HostRow> {
        match name {
            Name::Number(number) => self.numbered.get(number),
            Name::At(address) => self.at.get(address),
        }
    }
}

fn unknown(path: String, message: &str) -> Fault {
    Fault { path, message: message.into(), code: code::NO_HOST }
}

/// The hosts of an operation; what is wrong is noted.
fn read(top: &mut Fields<'_>) -> Meant {
    let installs = [JobKind::InstallAgent, JobKind::InstallProxy, JobKind::ReplaceProxy];
    let kind = top.text("job_type").as_deref().and_then(JobKind::from_wire);
    if let Some(kind) = kind.filter(|kind| installs.contains(kind)) {
        top.fault("job_type", format!("{} is no operation on known hosts: submit it to install/", kind.wire_name()));
    }
    let is_named = top.value("bk_host_id").is_some() || top.value("hosts").is_some();
    if !is_named && top.value(MARK).is_some() {
        return Meant::Chosen(Box::new(choice(top, kind.map(JobKind::role))));
    }
    for key in [MARK].into_iter().chain(CHOICE) {
        if top.value(key).is_some() {
            top.fault(key, if is_named { "cannot stand beside hosts that are named" } else { "needs exclude_hosts beside it" });
        }
    }
    match (top.value("bk_host_id"), top.value("hosts")) {
        (Some(_), Some(_)) => top.fault("hosts", "cannot stand beside bk_host_id"),
        (Some(Value::Array(numbers)), None) => {
            return Meant::Named(numbers.iter().enumerate().filter_map(|entry| number(top, entry)).collect());
        }
        (Some(_), None) => top.fault("bk_host_id", "must be an array of numbers"),
        (None, Some(Value::Array(hosts))) => {
            return Meant::Named(hosts.iter().enumerate().filter_map(|entry| host(top, entry)).collect());
        }
        (None, Some(_)) => top.fault("hosts", "must be an array"),
        (None, None) => top.fault("hosts", "hosts, bk_host_id or exclude_hosts is required"),
    }
    Meant::Named(Vec::new())
}

/// Which hosts of all pages; agents or proxies, as the kind has it.
fn choice(top: &mut Fields<'_>, role: Option<Role>) -> HostQuery {
    let mut query = HostQuery::default();
    query.filter.roles = role.map(|role| vec![role]);
    let mut narrow = |top: &mut Fields<'_>, (path, key): (&str, &str), value: &Value| match query.narrow(key, value) {
        None => top.fault(&format!("{path}.key"), format!("must be one of {}", HostQuery::KEYS.join(", "))),
        Some(faulty) => faulty.into_iter().for_each(|place| top.fault(&format!("{path}[{place}]"), "is not understood")),
    };
    for key in ["bk_biz_id", "version"] {
        if let Some(value) = top.value(key) {
            narrow(top, (key, key), value);
        }
    }
    match top.value("conditions") {
        None => {}
        Some(Value::Array(conditions)) => {
            for (index, condition) in conditions.iter().enumerate() {
                let (path, value) = (format!("conditions[{index}]"), condition.get("value").unwrap_or(&Value::Null));
                match condition.get("key").and_then(Value::as_str) {
                    Some(key) if HostQuery::KEYS.contains(&key) => narrow(top, (&format!("{path}.value"), key), value),
                    key => narrow(top, (&path, key.unwrap_or_default()), value),
                }
            }
        }
        Some(_) => top.fault("conditions", "must be an array of {key, value}"),
    }
    let (excluded, faulty) = top.value(MARK).map(|value| items(value, values::number)).unwrap_or_default();
    for place in faulty {
        top.fault(&format!("{MARK}[{place}]"), "must be a whole number");
    }
    query.filter.excluded = excluded;
    query
}

fn number(top: &mut Fields<'_>, (index, value): (usize, &Value)) -> Option<Asked> {
    let path = format!("bk_host_id[{index}]");
    match value.as_i64() {
        Some(number) => Some(Asked { path, name: Name::Number(number), given: Map::new() }),
        None => {
            top.fault(&path, "must be a whole number");
            None
        }
    }
}

fn host(top: &mut Fields<'_>, (index, value): (usize, &Value)) -> Option<Asked> {
    let path = format!("hosts[{index}]");
    let ip = |key: &str| value.get(key)?.as_str()?.parse::<IpAddr>().ok();
    let number = value.get("bk_host_id").and_then(Value::as_i64);
    let place = || {
        let ip = ["inner_ip", "inner_ipv6", "ip"].into_iter().find_map(ip)?;
        Some(Address { cloud: value.get("bk_cloud_id")?.as_i64()?, ip })
    };
    match (number.map(Name::Number).or_else(|| place().map(Name::At)), value.as_object()) {
        (Some(name), Some(given)) => Some(Asked { path, name, given: given.clone() }),
        _ => {
            top.fault(&path, "needs bk_host_id, or bk_cloud_id and inner_ip or inner_ipv6");
            None
        }
    }
}

/// The inventory's host with what the entry says over it. Where the entry brings no login the kept one decides, with the
/// account and port that belong to it.
fn filled_in(row: &HostRow, given: Map<String, Value>) -> Value {
    // A host is written in the words of the wire.
    let mut host = match serde_json::to_value(&row.spec) {
        Ok(Value::Object(host)) => host,
        _ => Map::new(),
    };
    if !SECRETS.iter().any(|secret| given.contains_key(*secret)) {
        for key in ["account", "port", "auth_type", "login_ip"] {
            host.remove(key);
        }
    }
    over(host, given)
}

/// What the site says of a proxy, in the words of the wire.
fn of_proxy(proxy: &Proxy) -> Map<String, Value> {
    let said = [
        ("bk_host_id", json!(proxy.host_id)),
        ("bk_biz_id", json!(proxy.business)),
        ("bk_cloud_id", json!(proxy.cloud)),
        ("inner_ip", json!(proxy.inner_ip)),
        ("inner_ipv6", json!(proxy.inner_ipv6)),
        ("outer_ip", json!(proxy.outer_ip)),
        ("outer_ipv6", json!(proxy.outer_ipv6)),
    ];
    said.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
}

/// What is known of a host, and what the entry says over it.
fn over(mut known: Map<String, Value>, given: Map<String, Value>) -> Value {
    let is_said = |(_, value): &(String, Value)| !value.is_null() && value.as_str() != Some("");
    known.extend(given.into_iter().filter(is_said));
    Value::Object(known)
}
