//! Operations on hosts that are known: named by number, or by cloud and address, they become the submission that an install
//! would be, with what the inventory knows of each host filled in.
//!
//! Never here: admission and recording (`submit`).

use std::collections::HashMap;
use std::net::IpAddr;

use serde_json::{Map, Value};

use super::request::{Fault, Fields, SECRETS, code};
use super::submit::Rejection;
use super::{Service, ServiceError};
use crate::domain::host::Address;
use crate::domain::job::JobKind;
use crate::store::HostRow;
use crate::store::page::Known;

/// How upstream selects hosts over all pages of its list.
const ACROSS_PAGES: [&str; 2] = ["exclude_hosts", "conditions"];

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
    pub async fn expand(&self, body: &Value) -> Result<Value, Rejection> {
        let mut faults = Vec::new();
        let empty = Map::new();
        let object = body.as_object().unwrap_or(&empty);
        let asked = read(&mut Fields::new(object, String::new(), &mut faults));
        let rows = self.rows(&asked).await?;
        let mut hosts = Vec::with_capacity(asked.len());
        for host in asked {
            match rows.of(&host.name) {
                Some(row) => hosts.push(filled_in(row, host.given)),
                None => {
                    let message = "there is no such host in the inventory".into();
                    faults.push(Fault { path: host.path, message, code: code::NO_HOST });
                }
            }
        }
        if !faults.is_empty() {
            return Err(Rejection::Faults(faults));
        }
        let mut submission = object.clone();
        submission.remove("bk_host_id");
        submission.insert("hosts".into(), hosts.into());
        Ok(Value::Object(submission))
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

/// The hosts of an operation; what is wrong is noted.
fn read(top: &mut Fields<'_>) -> Vec<Asked> {
    let installs = [JobKind::InstallAgent, JobKind::InstallProxy, JobKind::ReplaceProxy];
    if let Some(kind) = top.text("job_type").as_deref().and_then(JobKind::from_wire).filter(|kind| installs.contains(kind)) {
        top.fault("job_type", format!("{} is no operation on known hosts: submit it to install/", kind.wire_name()));
    }
    for key in ACROSS_PAGES {
        if top.value(key).is_some() {
            top.fault(key, "is not supported: name the hosts");
        }
    }
    match (top.value("bk_host_id"), top.value("hosts")) {
        (Some(_), Some(_)) => top.fault("hosts", "cannot stand beside bk_host_id"),
        (Some(Value::Array(numbers)), None) => {
            return numbers.iter().enumerate().filter_map(|entry| number(top, entry)).collect();
        }
        (Some(_), None) => top.fault("bk_host_id", "must be an array of numbers"),
        (None, Some(Value::Array(hosts))) => return hosts.iter().enumerate().filter_map(|entry| host(top, entry)).collect(),
        (None, Some(_)) => top.fault("hosts", "must be an array"),
        (None, None) => top.fault("hosts", "hosts or bk_host_id is required"),
    }
    Vec::new()
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
    let is_said = |(_, value): &(String, Value)| !value.is_null() && value.as_str() != Some("");
    host.extend(given.into_iter().filter(is_said));
    Value::Object(host)
}
